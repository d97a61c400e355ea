//! Transmit power: the TXAGC index of every rate, and writing the indexes to the chip.
//!
//! An index is 0.5 dB of power, 0 to 63. For a path, a rate and a channel it is the sum of
//! - a *base* that was measured when the adapter was made ([`calibrated`]), by group of channels, with
//!   differences for OFDM, width and streams;
//! - the smallest of: the rate's *offset* from its section's reference rate ([`by_rate`]), the *limit* of the
//!   regulation for channel, width and section ([`limits`]), and the cap that the application asked for.
//!
//! The chips with one or two paths take the indexes in [`registers`], the RTL8814A through a [`port`].
//!
//! Facts: rtw88 `phy.c`, `rtw_phy_get_tx_power_index`, `rtw_get_tx_power_params`; `sar.c`, `rtw_sar_to_phy`;
//! `regd.c`, `rtw_regd_init`.

mod by_rate;
mod calibrated;
mod limits;
mod port;
mod rates;
mod registers;
#[cfg(test)]
mod tests;

use self::by_rate::ByRate;
use self::calibrated::Calibrated;
use self::limits::{Limits, Regulation};
use self::port::Held;
use self::rates::Section;
use super::info::{PhyInfo, PowerOutput};
use super::{Phy, unusable};
use crate::channel::Channel;
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
    /// What the port was told last.
    held: Held,
}

impl TxPower {
    /// The power of `board` under the worldwide limits, which are mainline's on a system that was told no
    /// country.
    pub(crate) fn new(info: &PhyInfo, board: &Board) -> Result<TxPower, ErrorKind> {
        let option = board.efuse.rfe_option;
        let tables = info.front_ends.get(usize::from(option)).ok_or_else(|| {
            ErrorKind::Unsupported(format!(
                "RF front end {option} is not supported (0 to {} are)",
                info.front_ends.len().saturating_sub(1)
            ))
        })?;
        let by_rate = ByRate::new(tables.power_by_rate).map_err(|error| unusable(&error))?;
        let max_index = info.max_power_index as i8;
        let limits = Limits::new(tables.power_limits, Regulation::Worldwide, max_index)
            .map_err(|error| unusable(&error))?;
        let paths = board.efuse.tx_power.iter().map(Calibrated::new).collect();
        Ok(TxPower { max_index, by_rate, limits, paths, cap: None, held: Held::default() })
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
        let Some(channel) = self.channel.get() else { return Ok(()) };
        let set = async {
            self.write_tx_power(channel).await?;
            self.regs.barrier().await
        };
        match set.await {
            Ok(()) => self.power_is_stale.set(false),
            Err(error) => {
                self.forget_power();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sets the power of every path and rate.
    pub(super) async fn write_tx_power(&self, channel: Channel) -> Result<(), Error> {
        match self.info.power_output {
            PowerOutput::Registers => self.write_power_registers(channel).await,
            PowerOutput::Port { raise } => self.write_power_port(channel, raise).await,
        }
    }

    /// Sets the power of those paths and rates whose power differs from what is known to be set.
    pub(super) async fn change_tx_power(&self, channel: Channel) -> Result<(), Error> {
        match self.info.power_output {
            PowerOutput::Registers => self.regs.apply_changes(&self.power_registers(channel)).await,
            PowerOutput::Port { raise } => self.write_power_port(channel, raise).await,
        }
    }

    /// Nothing is known any more of the power that the chip holds.
    pub(super) fn forget_power(&self) {
        self.power.borrow_mut().held = Held::default();
    }
}
