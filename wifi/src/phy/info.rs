//! [`PhyInfo`]: what one chip's baseband and radio are, as facts and tables.
//!
//! Code that the family shares reads these and never asks which chip it is. Where a chip has steps of its own
//! in the middle of a shared sequence, a function of the facts gives them as a list of [`FieldWrite`]s, so that
//! they can be looked at without a chip.

use std::ops::RangeInclusive;

pub(crate) use crate::regio::FieldWrite;

use super::tables::{FrontEndMatch, PairTable, RowTable};
use crate::channel::{Band, Width};
use crate::chip::Board;

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
    #[expect(dead_code, reason = "the RTL8814A's way")]
    Mapped([u16; 4]),
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
    /// Transmit power by rate, by RFE option; an option beyond the last is not supported.
    pub(crate) power_by_rate: &'static [&'static RowTable<6>],
    /// Transmit power limits.
    pub(crate) power_limits: &'static RowTable<6>,
    /// How the tables' conditions name the front end.
    pub(crate) front_end: FrontEndMatch,
    /// Field of AFE_CTRL3 that takes the crystal's trim twice, 6 bits each.
    pub(crate) crystal_trim: u32,
    /// Highest TXAGC index.
    pub(crate) max_power_index: u8,
    /// How RF registers are read.
    pub(crate) rf_read: RfRead,
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
