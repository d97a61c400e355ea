//! TXAGC registers: one byte a rate, four rates a register, a block of them for each of two paths; and the power
//! training that goes with them.
//!
//! Facts: rtw88 `rtw88xxa.c`, `rtw88xxa_set_tx_power_index`, `rtw88xxa_tx_power_training`.

use airlift_regs::{Reg, bb};

use super::super::Path;
use super::super::info::FieldWrite;
use super::rates::{self, Section};
use super::{Phy, TxPower};
use crate::channel::{Band, Channel};
use crate::error::Error;

impl TxPower {
    /// What to write for `channel` on `path`: address and value of each TXAGC register, then of the training
    /// register, whose upper byte stays as it is.
    pub(super) fn registers(&self, path: usize, paths: usize, channel: Channel) -> (Vec<(u16, u32)>, u32) {
        let base = match path {
            0 => bb::TX_AGC_A_CCK_11_CCK_1.addr(),
            _ => bb::TX_AGC_B_CCK_11_CCK_1.addr(),
        };
        let mut registers = Vec::new();
        let mut word = 0;
        for section in Section::UP_TO_TWO_STREAMS {
            if section == Section::Cck && channel.band() == Band::Ghz5 {
                continue;
            }
            if section.streams() > paths {
                continue;
            }
            for rate in section.rates() {
                let byte = rate & 3;
                word |= u32::from(self.index(path, rate, channel)) << (8 * byte);
                let last = section == Section::Vht(1) && rate + 1 == section.rates().end && paths == 1;
                if byte == 3 || last {
                    registers.push((base + rates::register(rate), word));
                    word = 0;
                }
            }
        }
        (registers, training(self.index(path, rates::MCS7, channel)))
    }
}

/// Power levels of the training sequence: 5, 9 and 12 dB below MCS7's, never below 1 dB. A level that would be
/// negative wraps, as mainline's does.
pub(super) fn training(mcs7: u8) -> u32 {
    let mut level = u32::from(mcs7);
    let mut word = 0;
    for (byte, step) in [10, 8, 6].into_iter().enumerate() {
        level = level.wrapping_sub(step);
        word |= level.max(2) << (8 * byte);
    }
    word & 0xff_ffff
}

impl Phy {
    /// TXAGC and power training of every path.
    pub(super) fn power_registers(&self, channel: Channel) -> Vec<FieldWrite> {
        let count = usize::from(self.board.chains);
        let mut writes = Vec::new();
        for path in self.paths() {
            let (registers, training) = self.power.borrow().registers(path.index(), count, channel);
            writes.extend(registers.into_iter().map(|(addr, value)| {
                // A path alone has no second stream to fill the last register with.
                let alone = count == 1 && addr == bb::TX_AGC_A_CCK_11_CCK_1.addr() + rates::register(0x34);
                FieldWrite::field(Reg::new(addr), if alone { 0xffff } else { u32::MAX }, value)
            }));
            let reg = match path {
                Path::A => bb::TX_PWR_TRAINING_A,
                _ => bb::TX_PWR_TRAINING_B,
            };
            writes.push(FieldWrite::field(reg, 0xff_ffff, training));
        }
        writes
    }

    /// Writes TXAGC and power training of every path.
    pub(super) async fn write_power_registers(&self, channel: Channel) -> Result<(), Error> {
        self.regs.apply(&self.power_registers(channel)).await
    }
}
