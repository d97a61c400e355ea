//! [`ResetValues`]: what registers hold before anybody writes them.
//!
//! Nobody has published the reset values of this chip, so an emulated one starts its registers at zero, which
//! hides mistakes: a bit that a driver should keep is zero either way, and so is a register that it should have
//! cleared. A scrambled chip starts with other values, the same after each reset, wherever that changes nothing
//! about how the chip itself works.

use super::Chip;
use crate::model::Registers;
use crate::rng::Rng;

/// What registers hold before anybody writes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum ResetValues {
    /// Zero, but for those whose value a driver relies on.
    #[default]
    Zero,
    /// Values other than zero, made from this seed, in every plain register: one that the host alone changes, and
    /// that no part of the emulated chip acts upon before a driver has written it. RF registers too.
    Scrambled(u64),
}

/// Registers that parts of the chip act upon as they are, or whose value after a reset a driver relies on, beside
/// those that the hardware changes.
const FUNCTIONAL: &[core::ops::RangeInclusive<u16>] = &[
    0x0000..=0x0009, // isolation, functions, power steps, clocks
    0x0012..=0x0015, // regulators
    0x001c..=0x001f, // write protection, radio A's power
    0x0023..=0x0024, // bandgap, start-up clock
    0x0028..=0x0028, // start-up clock
    0x0030..=0x0037, // EFUSE
    0x0042..=0x0047, // pads
    0x0074..=0x0077, // USB mode, radio B's power
    0x0080..=0x0083, // firmware control
    0x00b0..=0x00bf, // interrupts
    0x00cc..=0x00cf, // EFUSE access
    0x0100..=0x0103, // MAC enable
    0x010c..=0x010f, // queues' endpoints, receive aggregation
    0x0114..=0x0117, // buffer boundaries
    0x01a0..=0x01af, // messages
    0x01cc..=0x01ff, // mailboxes, page list
    0x0200..=0x0217, // pages
    0x0280..=0x0283, // aggregates' ends
    0x0522..=0x0522, // transmit pause
    0x0550..=0x0553, // beacon and timer control
    0x0670..=0x067f, // key memory
    0x081c..=0x081f, // gain tables' port
    0x082f..=0x082f, // page C or C1
    0x0838..=0x083b, // second CCA
    0x08b0..=0x08b3, // radios' read address
    0x0a5c..=0x0a5f, // counters
    0x0b58..=0x0b5b, // counters
    0x0c00..=0x0c03, // radio A's serial mode
    0x0c90..=0x0c93, // radio A's window
    0x0e00..=0x0e03, // radio B's serial mode
    0x0e90..=0x0e93, // radio B's window
];

/// RF registers of that kind: mode, channel with its calibration's start, thermal meter.
const FUNCTIONAL_RF: [u8; 3] = [0x00, 0x18, 0x42];

/// Where the part of the chip ends that has plain registers; above are USB's own.
const END: u16 = 0x1000;

/// Whether a register is as [`ResetValues::Scrambled`] describes.
fn is_plain(registers: &Registers, address: u16) -> bool {
    address < END
        && !registers.is_read_only(address)
        && registers.cleared_by_one(address) == 0
        && !FUNCTIONAL.iter().chain(registers.functional).any(|range| range.contains(&address))
}

/// A seed's value for one place, never zero in its low byte.
fn scrambled(seed: u64, place: u32) -> u32 {
    let value = Rng::new(seed ^ u64::from(place) << 32).next() as u32;
    if value & 0xff == 0 { value | 0x5a } else { value }
}

impl Chip {
    /// Puts the reset values into plain registers at or above `start`.
    pub(super) fn reset_plain_registers(&mut self, start: u16) {
        let ResetValues::Scrambled(seed) = self.reset_values else { return };
        let registers = &self.facts.registers;
        let plain = |address: &u16| *address >= start && is_plain(registers, *address);
        for address in registers.addresses().filter(plain) {
            self.set_byte(address, scrambled(seed, u32::from(address)) as u8);
        }
    }

    /// Puts the reset values into a radio's registers.
    pub(super) fn reset_radio(&mut self, path: usize) {
        let ResetValues::Scrambled(seed) = self.reset_values else { return };
        for (address, value) in (0_u8..=0xff).zip(&mut self.baseband.radios[path].regs) {
            if !FUNCTIONAL_RF.contains(&address) {
                *value = scrambled(seed, 0x1_0000 + path as u32 * 0x100 + u32::from(address)) & 0xf_ffff;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;

    #[test]
    fn most_registers_are_plain() {
        for model in Model::ALL {
            let registers = &model.facts().registers;
            let below = || registers.addresses().filter(|address| *address < END);
            let (plain, all) = (below().filter(|a| is_plain(registers, *a)).count(), below().count());
            assert!(plain * 3 > all * 2, "{model}: {plain} of {all}");
        }
    }
}
