//! Transmit power: the TXAGC index of every rate, and writing the indexes to the chip.
//!
//! An index is 0.5 dB of power, 0 to 63. For a path, a rate and a channel it is the sum of
//! - a *base* that was measured when the adapter was made ([`calibrated`]), by group of channels, with
//!   differences for OFDM, width and streams;
//! - the smallest of: the rate's *offset* from its section's reference rate ([`by_rate`]), the *limit* of the
//!   regulation for channel, width and section ([`limits`]), and the cap that the application asked for.
//!
//! Facts: rtw88 `phy.c`, `rtw_phy_get_tx_power_index`, `rtw_get_tx_power_params`; `sar.c`, `rtw_sar_to_phy`;
//! `rtw88xxa.c`, `rtw88xxa_set_tx_power_index`, `rtw88xxa_tx_power_training`; `regd.c`, `rtw_regd_init`.

mod by_rate;
mod calibrated;
mod limits;
mod rates;
#[cfg(test)]
mod tests;

use airlift_regs::{Reg, bb};

use self::by_rate::ByRate;
use self::calibrated::Calibrated;
use self::limits::{Limits, Regulation};
use self::rates::Section;
use super::info::PhyInfo;
use super::{Phy, unusable};
use crate::channel::{Band, Channel};
use crate::chip::Board;
use crate::error::{Error, ErrorKind, Stage};

/// Everything that a TXAGC index is computed from.
#[derive(Debug)]
pub(crate) struct TxPower {
    max_index: i8,
    by_rate: ByRate,
    limits: Limits,
    paths: Vec<Calibrated>,
    /// The application's cap in half dBm.
    cap: Option<i16>,
}

impl TxPower {
    /// The power of `board` under the worldwide limits, which are mainline's on a system that was told no
    /// country.
    pub(crate) fn new(info: &PhyInfo, board: &Board) -> Result<TxPower, ErrorKind> {
        let option = board.efuse.rfe_option;
        let table = info.power_by_rate.get(usize::from(option)).ok_or_else(|| {
            ErrorKind::Unsupported(format!(
                "RF front end {option} is not supported (0 to {} are)",
                info.power_by_rate.len().saturating_sub(1)
            ))
        })?;
        let by_rate = ByRate::new(table).map_err(|error| unusable(&error))?;
        let max_index = info.max_power_index as i8;
        let limits = Limits::new(info.power_limits, Regulation::Worldwide, max_index)
            .map_err(|error| unusable(&error))?;
        let paths = board.efuse.tx_power.iter().map(Calibrated::new).collect();
        Ok(TxPower { max_index, by_rate, limits, paths, cap: None })
    }

    /// The TXAGC index of a descriptor rate on `path` (0 is A) and `channel`.
    fn index(&self, path: usize, rate: u8, channel: Channel) -> u8 {
        let Some(section) = Section::of(rate) else { return 0 };
        let band = channel.band();
        let base = self.paths.get(path).map_or(0, |c| c.base(rate, channel));
        let reference = self.by_rate.reference(band, path, section);
        // Limits are held against path A's reference, the cap against the path's own.
        let limit = self.limits.get(channel, section) - i16::from(self.by_rate.reference(band, 0, section));
        let limit = limit.min(i16::from(self.max_index));
        let cap = match self.cap {
            Some(cap) => {
                let max = i16::from(self.max_index);
                cap.clamp(-max - 1, max) - i16::from(reference)
            }
            None => i16::from(self.max_index),
        };
        let offset = i16::from(self.by_rate.offset(band, path, rate)).min(limit).min(cap);
        // The sum wraps at 8 bits before it is held against the maximum, as mainline's does: a blank EFUSE
        // gives bases of 0xff.
        base.wrapping_add(offset as u8).min(self.max_index as u8)
    }

    /// What to write for `channel` on `path`: address and value of each TXAGC register, then of the training
    /// register, whose upper byte stays as it is.
    fn registers(&self, path: usize, paths: usize, channel: Channel) -> (Vec<(u16, u32)>, u32) {
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
fn training(mcs7: u8) -> u32 {
    let mut level = u32::from(mcs7);
    let mut word = 0;
    for (byte, step) in [10, 8, 6].into_iter().enumerate() {
        level = level.wrapping_sub(step);
        word |= level.max(2) << (8 * byte);
    }
    word & 0xff_ffff
}

impl Phy {
    /// Caps the transmit power at `half_dbm` (in 0.5 dBm), or lifts the cap. The regulation's limits and what
    /// the adapter was calibrated for hold all the same. Takes effect at once if a channel is set.
    ///
    /// Dropping the future may leave some rates with the old power; the next call or channel sets all.
    ///
    /// # Errors
    /// Transfer errors.
    pub(crate) async fn set_tx_power(&self, half_dbm: Option<i16>) -> Result<(), Error> {
        let _stage = self.during(Stage::Channel);
        self.power.borrow_mut().cap = half_dbm;
        if let Some(channel) = self.channel.get() {
            self.write_tx_power(channel).await?;
            self.regs.barrier().await?;
        }
        Ok(())
    }

    /// Writes TXAGC and power training of every path.
    pub(super) async fn write_tx_power(&self, channel: Channel) -> Result<(), Error> {
        let count = usize::from(self.board.chains);
        for path in self.paths() {
            let (registers, training) = self.power.borrow().registers(path.index(), count, channel);
            for (addr, value) in registers {
                let reg = Reg::<u32>::new(addr);
                // A path alone has no second stream to fill the last register with.
                let mask = if count == 1 && addr == bb::TX_AGC_A_CCK_11_CCK_1.addr() + rates::register(0x34) {
                    0xffff
                } else {
                    u32::MAX
                };
                self.regs.set_field(reg, mask, value).await?;
            }
            let reg = match path {
                super::Path::A => bb::TX_PWR_TRAINING_A,
                _ => bb::TX_PWR_TRAINING_B,
            };
            self.regs.set_field(reg, 0xff_ffff, training).await?;
        }
        Ok(())
    }
}
