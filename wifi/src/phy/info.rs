//! [`PhyInfo`]: what one chip's baseband and radio are, as facts and tables.
//!
//! Code that the family shares reads these and never asks which chip it is. Where a chip has steps of its own
//! in the middle of a shared sequence, a function of the facts gives them as a list of [`FieldWrite`]s, so that
//! they can be looked at without a chip.

use std::ops::RangeInclusive;

use airlift_regs::Reg;

use super::tables::{FrontEndMatch, PairTable, RowTable};
use crate::channel::{Band, Width};
use crate::chip::Board;

/// A field of a register and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldWrite {
    /// Bus address.
    pub(crate) addr: u16,
    /// Whether the register is written as one byte instead of four.
    pub(crate) byte: bool,
    /// The bits of the field; all of them: the register is written without a look at what it holds.
    pub(crate) mask: u32,
    /// The field's value, not shifted.
    pub(crate) value: u32,
}

impl FieldWrite {
    /// `value` into the field `mask` of `reg`.
    pub(crate) const fn field(reg: Reg<u32>, mask: u32, value: u32) -> Self {
        Self { addr: reg.addr(), byte: false, mask, value }
    }

    /// `value` into the whole of `reg`.
    pub(crate) const fn whole(reg: Reg<u32>, value: u32) -> Self {
        Self::field(reg, u32::MAX, value)
    }

    /// `value` into the field `mask` of a byte.
    pub(crate) const fn byte(reg: Reg<u8>, mask: u8, value: u8) -> Self {
        Self { addr: reg.addr(), byte: true, mask: mask as u32, value: value as u32 }
    }
}

/// What reading an RF register needs on a given cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RfReadRule {
    /// Clear channel assessment must be off meanwhile, or the value may be wrong.
    pub(crate) cca_off: bool,
    /// The value takes 20 us to arrive in the read-back window.
    pub(crate) settles: bool,
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
    /// What reading an RF register needs, by cut.
    pub(crate) rf_read: fn(cut: u8) -> RfReadRule,
    /// The chip's own part of a switch to `band`, between the reset of the path selection and the choice of
    /// the CCK paths.
    pub(crate) switch_band: fn(board: &Board, band: Band, width: Width) -> Vec<FieldWrite>,
    /// Choice of the ADC clock against spurs, by cut, centre channel and width.
    pub(crate) fix_spur: fn(cut: u8, center: u8, width: Width) -> Vec<FieldWrite>,
    /// Steps that leave a chip of two paths with one.
    pub(crate) one_path: &'static [FieldWrite],
}
