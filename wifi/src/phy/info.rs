//! [`PhyInfo`]: what one chip's baseband and radio are, as facts and tables.
//!
//! Code that the family shares reads these and never asks which chip it is. Where a chip has steps of its own
//! in the middle of a shared sequence, a function of the facts gives them as a list of [`FieldWrite`]s, so that
//! they can be looked at without a chip.

use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;

use airlift_regs::rf::RfReg;

pub(crate) use crate::regio::FieldWrite;

use super::Phy;
use super::tables::{FrontEndMatch, PairTable, RowTable};
use crate::channel::{Band, Channel, Width};
use crate::chip::Board;
use crate::error::Error;

/// What reading an RF register needs on a given cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RfReadRule {
    /// Clear channel assessment must be off meanwhile, or the value may be wrong.
    pub(crate) cca_off: bool,
    /// The value takes 20 us to arrive in the read-back window.
    pub(crate) settles: bool,
}

/// How the values of RF registers come back. They are written through a window of each path in any case.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RfRead {
    /// The address goes out on the serial bus, the value comes back in a window; what that needs depends on the cut.
    Serial(fn(cut: u8) -> RfReadRule),
    /// Each path's registers show at this address and the words after it.
    Mapped([u16; 4]),
}

/// How a chip takes the power index of each rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PowerOutput {
    /// Registers of each path, four rates each.
    Registers,
    /// A port that takes path, rate and index as one word; each index is raised by so much.
    Port {
        /// Half decibels.
        raise: u8,
    },
}

/// Tables for one kind of front end (rtw88 `main.h`, `struct rtw_rfe_def`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrontEndTables {
    /// Transmit power by rate.
    pub(crate) power_by_rate: &'static RowTable<6>,
    /// Transmit power limits.
    pub(crate) power_limits: &'static RowTable<6>,
}

/// What is done to a radio.
pub(crate) type Procedure<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

/// What chips do each in a way of their own, because more differs than values. [`Phy`] calls these and keeps account of
/// band and channel; what they have in common they take from it.
pub(crate) struct Procedures {
    /// Sets or finds the band, once the tables are loaded. Tells [`Phy`].
    pub(crate) init_band: for<'a> fn(&'a Phy) -> Procedure<'a>,
    /// Sets everything that depends on the band.
    pub(crate) switch_band: for<'a> fn(&'a Phy, Band, Width) -> Procedure<'a>,
    /// Sets everything that depends on the channel beyond its band, power apart.
    pub(crate) tune: for<'a> fn(&'a Phy, Channel) -> Procedure<'a>,
    /// Changes what must change between two channels of one band, power apart; with what the synthesizers are known to
    /// hold, which it keeps. `None`: the chip is always tuned anew.
    pub(crate) retune: Option<for<'a> fn(&'a Phy, Channel, Channel) -> Procedure<'a>>,
    /// Calibrates the radio for the channel that it is on, and puts back what that borrows.
    pub(crate) calibrate: for<'a> fn(&'a Phy, Channel) -> Procedure<'a>,
}

impl fmt::Debug for Procedures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Procedures").finish_non_exhaustive()
    }
}

/// The facts of a chip's baseband and radio.
#[derive(Debug)]
pub(crate) struct PhyInfo {
    /// MAC registers to set once the firmware runs.
    pub(crate) mac: &'static PairTable,
    /// Baseband registers.
    pub(crate) baseband: &'static PairTable,
    /// Gain tables.
    pub(crate) agc: &'static PairTable,
    /// RF registers, one table a path.
    pub(crate) radio: &'static [&'static PairTable],
    /// Gain tables to load after calibration, by centre channel.
    pub(crate) agc_by_channel: &'static [(RangeInclusive<u8>, &'static PairTable)],
    /// Tables of transmit power by RFE option; an option beyond the last is not supported.
    pub(crate) front_ends: &'static [FrontEndTables],
    /// How power is set.
    pub(crate) power_output: PowerOutput,
    /// How the tables' conditions name the front end.
    pub(crate) front_end: FrontEndMatch,
    /// Field of AFE_CTRL3 that takes the crystal's trim twice, 6 bits each.
    pub(crate) crystal_trim: u32,
    /// Highest TXAGC index.
    pub(crate) max_power_index: u8,
    /// How RF registers are read.
    pub(crate) rf_read: RfRead,
    /// Fields that power baseband and radio, before the tables.
    pub(crate) power_up: &'static [FieldWrite],
    /// Fields to set once the baseband's tables are loaded.
    pub(crate) after_baseband: &'static [FieldWrite],
    /// RF registers that all paths take from path A once the radio's tables are loaded.
    pub(crate) shared_rf: &'static [RfReg],
    /// Fields to set once the radio's tables are loaded.
    pub(crate) after_radio: fn(board: &Board) -> Vec<FieldWrite>,
    /// What the chip does in its own way.
    pub(crate) procedures: &'static Procedures,
    /// The chip's own steps before a switch to `band` begins.
    pub(crate) before_band: fn(board: &Board, band: Band) -> Vec<FieldWrite>,
    /// The chip's own part of a switch to `band`, between the reset of the path selection and the choice of
    /// the CCK paths.
    pub(crate) switch_band: fn(board: &Board, band: Band, width: Width) -> Vec<FieldWrite>,
    /// Choice of the ADC clock against spurs, by cut, centre channel and width.
    pub(crate) fix_spur: fn(cut: u8, center: u8, width: Width) -> Vec<FieldWrite>,
    /// Steps that leave a chip of two paths with one.
    pub(crate) one_path: &'static [FieldWrite],
}
