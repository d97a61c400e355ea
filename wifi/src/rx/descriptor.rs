//! [`Descriptor`]: the 24 bytes that the chip puts before every received packet.
//!
//! Sources: rtw88 `rx.h` and `rx.c`, `rtw_rx_query_rx_desc` (lengths, check, rate, width, TSF); Realtek's own
//! names for the 8812A family, `GET_RX_STATUS_DESC_{PAGGR,SPLCP,LDPC,STBC}_8812`, for the bits that rtw88
//! leaves alone: part of an A-MPDU (word 1, bit 15), short guard interval, LDPC, STBC (word 4, bits 0 to 2).

use crate::channel::Width;
use crate::frame::{LegacyRate, Rate};

/// Bytes of a descriptor.
pub(crate) const LEN: usize = 24;

/// Bits of the six little-endian words: word, shift, width.
mod field {
    pub(super) type Field = (usize, u32, u32);
    pub(super) const PKT_LEN: Field = (0, 0, 14);
    pub(super) const CRC32: Field = (0, 14, 1);
    pub(super) const DRV_INFO_SIZE: Field = (0, 16, 4);
    pub(super) const SHIFT: Field = (0, 24, 2);
    pub(super) const PHYST: Field = (0, 26, 1);
    pub(super) const PAGGR: Field = (1, 15, 1);
    pub(super) const C2H: Field = (2, 28, 1);
    pub(super) const PPDU_CNT: Field = (2, 29, 2);
    pub(super) const RX_RATE: Field = (3, 0, 7);
    pub(super) const SGI: Field = (4, 0, 1);
    pub(super) const LDPC: Field = (4, 1, 1);
    pub(super) const STBC: Field = (4, 2, 1);
    pub(super) const BW: Field = (4, 4, 2);
    pub(super) const TSFL: Field = (5, 0, 32);
}

use field::Field;

/// A view of a receive descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor<T>(T);

impl<T: AsRef<[u8]>> Descriptor<T> {
    /// The descriptor that `bytes` begin with; `None` if there are fewer than [`LEN`].
    pub(crate) fn new(bytes: T) -> Option<Self> {
        (bytes.as_ref().len() >= LEN).then_some(Self(bytes))
    }

    fn get(&self, (word, shift, width): Field) -> u32 {
        let at = word * 4;
        let bytes = self.0.as_ref().get(at..at + 4).and_then(|b| b.try_into().ok()).unwrap_or([0; 4]);
        u32::from_le_bytes(bytes) >> shift & (u32::MAX >> (32 - width))
    }

    /// Bytes of the packet, with its frame check sequence.
    pub(crate) fn packet_len(&self) -> usize {
        self.get(field::PKT_LEN) as usize
    }

    /// Whether the frame check sequence is wrong.
    pub(crate) fn crc_error(&self) -> bool {
        self.get(field::CRC32) != 0
    }

    /// Size of the PHY status between descriptor and packet, in units of 8 bytes.
    pub(crate) fn driver_info_units(&self) -> usize {
        self.get(field::DRV_INFO_SIZE) as usize
    }

    /// Bytes of padding between descriptor and PHY status.
    pub(crate) fn shift(&self) -> usize {
        self.get(field::SHIFT) as usize
    }

    /// Whether the PHY status is filled in.
    pub(crate) fn has_phy_status(&self) -> bool {
        self.get(field::PHYST) != 0
    }

    /// Whether the frame is part of an A-MPDU.
    pub(crate) fn is_ampdu(&self) -> bool {
        self.get(field::PAGGR) != 0
    }

    /// Whether the packet is a message from the firmware and no frame.
    pub(crate) fn is_c2h(&self) -> bool {
        self.get(field::C2H) != 0
    }

    /// Two bits that count PPDUs.
    pub(crate) fn ppdu_count(&self) -> u8 {
        self.get(field::PPDU_CNT) as u8
    }

    /// The chip's number of the rate.
    pub(crate) fn rate_code(&self) -> u8 {
        self.get(field::RX_RATE) as u8
    }

    /// Whether the guard interval is short.
    pub(crate) fn short_gi(&self) -> bool {
        self.get(field::SGI) != 0
    }

    /// Whether LDPC is used.
    pub(crate) fn ldpc(&self) -> bool {
        self.get(field::LDPC) != 0
    }

    /// Whether space-time block coding is used.
    pub(crate) fn stbc(&self) -> bool {
        self.get(field::STBC) != 0
    }

    /// The PPDU's bandwidth. rtw88 takes 3 for 20 MHz, and so do we.
    pub(crate) fn bandwidth(&self) -> Width {
        match self.get(field::BW) {
            1 => Width::Mhz40,
            2 => Width::Mhz80,
            _ => Width::Mhz20,
        }
    }

    /// The lower half of the TSF at the frame's start, in microseconds.
    pub(crate) fn tsf_low(&self) -> u32 {
        self.get(field::TSFL)
    }
}

#[cfg(test)]
impl<T: AsRef<[u8]> + AsMut<[u8]>> Descriptor<T> {
    fn set(&mut self, (word, shift, width): Field, value: u32) {
        let mask = u32::MAX >> (32 - width);
        assert!(value <= mask, "{value:#x} does not fit {width} bits");
        let bytes = &mut self.0.as_mut()[word * 4..word * 4 + 4];
        let old = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        bytes.copy_from_slice(&(old & !(mask << shift) | value << shift).to_le_bytes());
    }
}

/// What a descriptor says, as values.
#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Repr {
    pub(crate) packet_len: u16,
    pub(crate) crc_error: bool,
    pub(crate) driver_info_units: u8,
    pub(crate) shift: u8,
    pub(crate) phy_status: bool,
    pub(crate) ampdu: bool,
    pub(crate) c2h: bool,
    pub(crate) ppdu_count: u8,
    pub(crate) rate_code: u8,
    pub(crate) short_gi: bool,
    pub(crate) ldpc: bool,
    pub(crate) stbc: bool,
    pub(crate) bandwidth: Width,
    pub(crate) tsf_low: u32,
}

#[cfg(test)]
impl Repr {
    /// What the descriptor says.
    pub(crate) fn parse<T: AsRef<[u8]>>(descriptor: &Descriptor<T>) -> Self {
        Self {
            packet_len: descriptor.packet_len() as u16,
            crc_error: descriptor.crc_error(),
            driver_info_units: descriptor.driver_info_units() as u8,
            shift: descriptor.shift() as u8,
            phy_status: descriptor.has_phy_status(),
            ampdu: descriptor.is_ampdu(),
            c2h: descriptor.is_c2h(),
            ppdu_count: descriptor.ppdu_count(),
            rate_code: descriptor.rate_code(),
            short_gi: descriptor.short_gi(),
            ldpc: descriptor.ldpc(),
            stbc: descriptor.stbc(),
            bandwidth: descriptor.bandwidth(),
            tsf_low: descriptor.tsf_low(),
        }
    }

    /// The bytes of a descriptor that says this. Values that do not fit their field are a caller's mistake.
    pub(crate) fn emit(&self) -> [u8; LEN] {
        let mut descriptor = Descriptor([0; LEN]);
        descriptor.set(field::PKT_LEN, self.packet_len.into());
        descriptor.set(field::CRC32, self.crc_error.into());
        descriptor.set(field::DRV_INFO_SIZE, self.driver_info_units.into());
        descriptor.set(field::SHIFT, self.shift.into());
        descriptor.set(field::PHYST, self.phy_status.into());
        descriptor.set(field::PAGGR, self.ampdu.into());
        descriptor.set(field::C2H, self.c2h.into());
        descriptor.set(field::PPDU_CNT, self.ppdu_count.into());
        descriptor.set(field::RX_RATE, self.rate_code.into());
        descriptor.set(field::SGI, self.short_gi.into());
        descriptor.set(field::LDPC, self.ldpc.into());
        descriptor.set(field::STBC, self.stbc.into());
        descriptor.set(field::BW, self.bandwidth as u32);
        descriptor.set(field::TSFL, self.tsf_low);
        descriptor.0
    }
}

/// The chip's number of its first HT rate and of its first VHT rate, and how many numbers there are
/// (rtw88 `main.h`, `enum rtw_trx_desc_rate`).
const FIRST_HT: u8 = 0x0c;
const FIRST_VHT: u8 = 0x2c;
const RATES: u8 = 0x54;

/// The rate that the chip numbers `code`; `None` if there is none such.
pub(crate) fn rate(code: u8) -> Option<Rate> {
    Some(match code {
        0..FIRST_HT => Rate::Legacy(LegacyRate::ALL[usize::from(code)]),
        FIRST_HT..FIRST_VHT => Rate::Ht { mcs: code - FIRST_HT },
        FIRST_VHT..RATES => Rate::Vht { mcs: (code - FIRST_VHT) % 10, nss: (code - FIRST_VHT) / 10 + 1 },
        RATES.. => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A VHT frame of 1,504 bytes with a wrong check sequence, as the words would stand in memory.
    const BYTES: [u8; LEN] = [
        0xe0, 0x45, 0x04, 0x06, // 1504, CRC32, 4 * 8 bytes of PHY status, shift 2, PHYST
        0x00, 0x80, 0x00, 0x00, // PAGGR
        0x00, 0x00, 0x00, 0x40, // PPDU_CNT 2
        0x3f, 0x00, 0x00, 0x00, // VHT, two streams, MCS 9
        0x25, 0x00, 0x00, 0x00, // 80 MHz, STBC, short guard interval
        0x78, 0x56, 0x34, 0x12,
    ];

    const REPR: Repr = Repr {
        packet_len: 1504,
        crc_error: true,
        driver_info_units: 4,
        shift: 2,
        phy_status: true,
        ampdu: true,
        c2h: false,
        ppdu_count: 2,
        rate_code: 0x3f,
        short_gi: true,
        ldpc: false,
        stbc: true,
        bandwidth: Width::Mhz80,
        tsf_low: 0x1234_5678,
    };

    #[test]
    fn a_descriptor_parses_and_emits() {
        assert_eq!(Repr::parse(&Descriptor::new(&BYTES).unwrap()), REPR);
        assert_eq!(REPR.emit(), BYTES);
        assert!(Descriptor::new(&BYTES[..23]).is_none());
    }

    #[test]
    fn rates_have_the_chips_numbers() {
        assert_eq!(rate(0), Some(Rate::Legacy(LegacyRate::M1)));
        assert_eq!(rate(0x0b), Some(Rate::Legacy(LegacyRate::M54)));
        assert_eq!(rate(0x0c), Some(Rate::Ht { mcs: 0 }));
        assert_eq!(rate(0x2b), Some(Rate::Ht { mcs: 31 }));
        assert_eq!(rate(0x2c), Some(Rate::Vht { mcs: 0, nss: 1 }));
        assert_eq!(rate(0x3f), Some(Rate::Vht { mcs: 9, nss: 2 }));
        assert_eq!(rate(0x53), Some(Rate::Vht { mcs: 9, nss: 4 }));
        assert!((0x54..=0x7f).all(|code| rate(code).is_none()));
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_emitted_again(bytes in any::<[u8; LEN]>()) {
            let repr = Repr::parse(&Descriptor::new(&bytes).unwrap());
            let again = repr.emit();
            prop_assert_eq!(Repr::parse(&Descriptor::new(&again).unwrap()), repr);
        }
    }
}
