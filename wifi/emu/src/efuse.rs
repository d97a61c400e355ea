//! [`Efuse`]: the fuses of an adapter, as the physical bytes that stand in the array.
//!
//! The array holds a log of sections: a header of one or two bytes that names a block of eight logical bytes
//! and which of its four words follow, then those words. A later section overrides an earlier one; 0xff where
//! a header should be ends the log (`rtw88 efuse.c`, `rtw_dump_logical_efuse_map`). The logical map's layout
//! is that of `rtw88 rtw88xxa.h`, `struct rtw88xxa_efuse`, and `rtw8814a.h`, `struct rtw8814a_efuse`.
//!
//! The RTL8814AU's log is as long as the array. On the others addresses 512 to 1023 are the factory's: the Linux
//! driver reads the RTL8812AU's antenna and mode straps at 1018 to 1021 by their physical addresses
//! (`rtw88 rtw88xxa.c`, `rtw88xxa_read_usb_type`), beyond the 512 bytes of the log. Nothing says that they wrap
//! into it, so here they are fuses of their own.

use crate::Model;
use crate::model::Fuses;
use crate::rng::Rng;

/// Bytes of the logical map.
const MAP: usize = 512;
/// Bytes that the address field of EFUSE_CTRL can reach.
const ARRAY: usize = 1024;

/// Offsets of the logical map, the same for the whole family unless told otherwise.
pub mod offset {
    /// RTL8812AU: USB mode; bit 1 lets the driver switch the device to USB 3.
    pub const USB_MODE: u16 = 0x08;
    /// Transmit power indices of path A, 42 bytes: 18 for 2.4 GHz, 24 for 5 GHz.
    pub const TX_POWER_A: u16 = 0x10;
    /// RTL8814AU: USB mode; bit 4 lets the driver switch the device to USB 3.
    pub const USB_MODE_8814A: u16 = 0x0e;
    /// Transmit power indices of path B; those of paths C and D follow.
    pub const TX_POWER_B: u16 = 0x3a;
    /// Channel plan.
    pub const CHANNEL_PLAN: u16 = 0xb8;
    /// Crystal load capacitance, 6 bits.
    pub const CRYSTAL_CAP: u16 = 0xb9;
    /// Thermal meter at calibration.
    pub const THERMAL_METER: u16 = 0xba;
    /// Power amplifiers: bits 5:4 at 2.4 GHz, bits 1:0 at 5 GHz.
    pub const PA_TYPE: u16 = 0xbc;
    /// Low-noise amplifiers at 2.4 GHz.
    pub const LNA_TYPE_2G: u16 = 0xbd;
    /// Low-noise amplifiers at 5 GHz.
    pub const LNA_TYPE_5G: u16 = 0xbf;
    /// Board option: bits 7:5 are 001 with Bluetooth, bits 2:0 are the regulatory domain.
    pub const RF_BOARD_OPTION: u16 = 0xc1;
    /// Bluetooth setting.
    pub const RF_BT_SETTING: u16 = 0xc3;
    /// Transmit swing at 2.4 GHz, two bits a path.
    pub const TX_BB_SWING_2G: u16 = 0xc6;
    /// Transmit swing at 5 GHz, two bits a path.
    pub const TX_BB_SWING_5G: u16 = 0xc7;
    /// Antenna option.
    pub const RF_ANTENNA_OPTION: u16 = 0xc9;
    /// Front-end option.
    pub const RFE_OPTION: u16 = 0xca;
    /// RTL8812AU: USB vendor identity.
    pub const VENDOR_ID: u16 = 0xd0;
    /// RTL8812AU: USB product identity.
    pub const PRODUCT_ID: u16 = 0xd2;
    /// RTL8812AU: MAC address, six bytes. [`Efuse::with_mac_address`](super::Efuse::with_mac_address) knows each
    /// chip's place.
    pub const MAC_ADDRESS: u16 = 0xd7;
}

/// The fuses of one adapter.
///
/// Functions that name no model make those of an RTL8812AU.
#[derive(Clone, PartialEq, Eq)]
pub struct Efuse {
    model: Model,
    array: Box<[u8; ARRAY]>,
}

impl core::fmt::Debug for Efuse {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Efuse({}, {} of {} bytes programmed)", self.model, self.programmed(), self.fuses().log)
    }
}

impl Default for Efuse {
    fn default() -> Self {
        Self::ordinary()
    }
}

impl Efuse {
    /// No fuse programmed: every byte 0xff.
    pub fn blank() -> Self {
        Self::blank_of(Model::Rtl8812au)
    }

    /// No fuse of a `model` programmed.
    pub fn blank_of(model: Model) -> Self {
        Self { model, array: Box::new([0xff; ARRAY]) }
    }

    /// An adapter as it comes from a shop: internal amplifiers, two antennas, about 235 bytes programmed, among
    /// them two sections that override earlier ones. The same at every call; see [`Efuse::seeded`].
    pub fn ordinary() -> Self {
        Self::seeded(0)
    }

    /// An adapter of a `model` as it comes from a shop, with as many antennas as the chip has.
    pub fn ordinary_of(model: Model) -> Self {
        Self::seeded_of(model, 0)
    }

    /// Like [`Efuse::ordinary`], with a MAC address (locally administered) and calibration of `seed`'s own.
    pub fn seeded(seed: u64) -> Self {
        Self::seeded_of(Model::Rtl8812au, seed)
    }

    /// Like [`Efuse::ordinary_of`], with a MAC address (locally administered) and calibration of `seed`'s own.
    pub fn seeded_of(model: Model, seed: u64) -> Self {
        let facts = model.facts();
        let fuses = &facts.fuses;
        let mut rng = Rng::new(seed);
        let mut map = [0xff_u8; MAP];
        let set = |map: &mut [u8; MAP], at: u16, bytes: &[u8]| {
            map[usize::from(at)..][..bytes.len()].copy_from_slice(bytes);
        };

        for path in fuses.tx_power {
            let block = tx_power_block(&mut rng);
            set(&mut map, *path, &block);
        }
        let calibrated = [0x20, 0x18 + rng.below(16) as u8, 0x18 + rng.below(8) as u8, 0x00];
        set(&mut map, offset::CHANNEL_PLAN, &calibrated);
        let (vendor, product) = facts.usb.identity;
        set(&mut map, fuses.identity, &vendor.to_le_bytes());
        set(&mut map, fuses.identity + 2, &product.to_le_bytes());
        let mut mac = rng.next().to_le_bytes();
        mac[0] = 0x02;
        set(&mut map, fuses.mac_address, &mac[..6]);
        for (at, bytes) in fuses.ordinary {
            set(&mut map, *at, bytes);
        }

        let mut efuse = Self::blank_of(model);
        for block in fuses.blocks.iter().cloned().flatten() {
            let bytes: [u8; 8] = core::array::from_fn(|i| map[usize::from(block) * 8 + i]);
            efuse.append(block, 0x0, &bytes);
        }
        // Calibration done again on the line: the thermal meter and the antenna option stand twice.
        let thermal = map[usize::from(offset::THERMAL_METER)].wrapping_add(1);
        efuse = efuse
            .with(offset::THERMAL_METER, &[thermal])
            .with(offset::RF_ANTENNA_OPTION, &[fuses.antenna_option]);
        for (at, byte) in fuses.straps {
            efuse.array[usize::from(*at)] = *byte;
        }
        efuse
    }

    /// An ordinary adapter with external amplifiers on both bands and front-end option 3.
    pub fn external_pa() -> Self {
        Self::external_pa_of(Model::Rtl8812au)
    }

    /// An ordinary adapter of a `model` with external amplifiers, and the front-end option that goes with them.
    pub fn external_pa_of(model: Model) -> Self {
        let additions = model.facts().fuses.external_pa;
        additions.iter().fold(Self::ordinary_of(model), |efuse, (at, bytes)| efuse.with(*at, bytes))
    }

    /// The array's bytes as given, from address 0 on; the rest is blank.
    ///
    /// # Panics
    ///
    /// If there are more than 1,024.
    pub fn from_physical(bytes: &[u8]) -> Self {
        Self::from_physical_of(Model::Rtl8812au, bytes)
    }

    /// The bytes of a `model`'s array as given, from address 0 on; the rest is blank.
    ///
    /// # Panics
    ///
    /// If there are more than 1,024.
    pub fn from_physical_of(model: Model, bytes: &[u8]) -> Self {
        let mut efuse = Self::blank_of(model);
        efuse.array[..bytes.len()].copy_from_slice(bytes);
        efuse
    }

    /// The model whose layout these fuses have.
    pub fn model(&self) -> Model {
        self.model
    }

    fn fuses(&self) -> &'static Fuses {
        &self.model.facts().fuses
    }

    /// Programs logical bytes over, as a factory does: as further sections at the end of the log.
    ///
    /// # Panics
    ///
    /// If the log has no room left, or the bytes run past the logical map.
    #[must_use]
    pub fn with(mut self, offset: u16, bytes: &[u8]) -> Self {
        let map = self.logical();
        let mut wanted = map;
        wanted[usize::from(offset)..][..bytes.len()].copy_from_slice(bytes);
        let first = offset / 8;
        let last = (offset + bytes.len() as u16 - 1) / 8;
        for block in first..=last {
            let old = &map[usize::from(block) * 8..][..8];
            let new: [u8; 8] = core::array::from_fn(|i| wanted[usize::from(block) * 8 + i]);
            let skip = (0..4_u8).filter(|word| {
                let at = usize::from(*word) * 2;
                let covered = (at as u16 + block * 8..at as u16 + block * 8 + 2)
                    .any(|a| a >= offset && a < offset + bytes.len() as u16);
                !covered && old[at..at + 2] == new[at..at + 2]
            });
            let skip = skip.fold(0, |mask, word| mask | 1 << word);
            self.append(block as u8, skip, &new);
        }
        self
    }

    /// With this MAC address.
    #[must_use]
    pub fn with_mac_address(self, address: [u8; 6]) -> Self {
        let place = self.fuses().mac_address;
        self.with(place, &address)
    }

    /// With this front-end option.
    #[must_use]
    pub fn with_rfe_option(self, option: u8) -> Self {
        self.with(offset::RFE_OPTION, &[option])
    }

    /// That lets the driver switch the device to USB 3; of a chip that has no USB 3 they stay as they are.
    #[must_use]
    pub fn with_usb3_switch(self) -> Self {
        let Some((place, bit)) = self.fuses().usb_switch else { return self };
        let mode = self.logical()[usize::from(place)] | bit;
        self.with(place, &[mode])
    }

    /// The MAC address in the logical map.
    pub fn mac_address(&self) -> [u8; 6] {
        let map = self.logical();
        let place = usize::from(self.fuses().mac_address);
        core::array::from_fn(|i| map[place + i])
    }

    /// The 1,024 physical bytes.
    pub fn physical(&self) -> &[u8; 1024] {
        &self.array
    }

    /// How many bytes of the log are programmed: the length of its sections.
    pub fn programmed(&self) -> usize {
        self.sections().1
    }

    /// The 512 bytes that the log says; 0xff where it says nothing.
    pub fn logical(&self) -> [u8; 512] {
        self.sections().0
    }

    fn sections(&self) -> ([u8; MAP], usize) {
        let log = self.fuses().log;
        let mut map = [0xff; MAP];
        let mut at = 0;
        while at + 1 < log && self.array[at] != 0xff {
            let (first, second) = (self.array[at], self.array[at + 1]);
            let extended = first & 0x1f == 0x0f;
            if extended && second == 0xff {
                break;
            }
            let (block, skip, header) = match extended {
                true => ((usize::from(second & 0xf0) >> 1) | usize::from(first >> 5), second & 0x0f, 2),
                false => (usize::from(first >> 4), first & 0x0f, 1),
            };
            at += header;
            for word in (0..4).filter(|word| skip & (1 << word) == 0) {
                if at + 1 >= log || block * 8 + word * 2 + 1 >= MAP {
                    return (map, at);
                }
                map[block * 8 + word * 2] = self.array[at];
                map[block * 8 + word * 2 + 1] = self.array[at + 1];
                at += 2;
            }
        }
        (map, at)
    }

    fn append(&mut self, block: u8, skip: u8, bytes: &[u8; 8]) {
        let mut section = Vec::with_capacity(10);
        if block < 16 {
            section.push(block << 4 | skip);
        } else {
            section.push((block & 0x07) << 5 | 0x0f);
            section.push((block & 0x78) << 1 | skip);
        }
        for word in (0..4).filter(|word| skip & (1 << word) == 0) {
            section.extend_from_slice(&bytes[word * 2..word * 2 + 2]);
        }
        let at = self.programmed();
        assert!(at + section.len() <= self.fuses().log, "the EFUSE has no room for another section");
        self.array[at..at + section.len()].copy_from_slice(&section);
    }
}

/// Indices for one path: bases near 0x2d, differences of a few steps, as calibration leaves them.
fn tx_power_block(rng: &mut Rng) -> [u8; 42] {
    let mut block = [0_u8; 42];
    let mut base = |from: u8| from + rng.below(6) as u8;
    for group in &mut block[0..11] {
        *group = base(0x28); // 2.4 GHz: CCK in six groups, 40 MHz in five
    }
    for group in &mut block[18..32] {
        *group = base(0x26); // 5 GHz: 40 MHz in fourteen groups
    }
    for differences in (11..18).chain(32..42) {
        // Two signed nibbles, -2 to 2.
        let mut nibble = || (rng.below(5) as u8).wrapping_sub(2) & 0x0f;
        block[differences] = nibble() << 4 | nibble();
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ordinary_efuse_has_about_235_programmed_bytes() {
        let efuse = Efuse::ordinary();
        assert!((225..=245).contains(&efuse.programmed()), "{}", efuse.programmed());
        assert_eq!(efuse.mac_address()[0], 0x02);
        assert_ne!(efuse.mac_address(), Efuse::seeded(1).mac_address());
        assert_eq!(efuse.logical()[usize::from(offset::RF_ANTENNA_OPTION)], 0x01);
    }

    #[test]
    fn what_is_programmed_over_is_what_the_log_says() {
        let efuse = Efuse::ordinary().with_mac_address([2, 1, 2, 3, 4, 5]).with_rfe_option(2);
        assert_eq!(efuse.mac_address(), [2, 1, 2, 3, 4, 5]);
        assert_eq!(efuse.logical()[usize::from(offset::RFE_OPTION)], 2);
        let before = Efuse::ordinary().logical();
        let changed: Vec<_> = (0..512).filter(|i| before[*i] != efuse.logical()[*i]).collect();
        assert!(
            changed.iter().all(|i| [0xca, 0xd7, 0xd8, 0xd9, 0xda, 0xdb, 0xdc].contains(i)),
            "{changed:x?}"
        );
    }

    #[test]
    fn any_bytes_parse_without_leaving_the_array() {
        let mut rng = Rng::new(7);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..1024).map(|_| rng.next() as u8).collect();
            for model in Model::ALL {
                let efuse = Efuse::from_physical_of(*model, &bytes);
                assert!(efuse.programmed() <= model.facts().fuses.log);
            }
        }
    }
}
