//! Baseband and radio: tables, channel, transmit power, calibration.
//!
//! [`Phy`] is the one key type. The driver calls it at three points of bring-up, in mainline's order, and again
//! for every channel:
//!
//! ```text
//!   firmware runs ──► load_mac ──► (queues, filters: driver) ──► init_baseband ──► init_radio ──► init_band
//!                                                                                                    │
//!                 calibrate ◄── set_channel, set_tx_power ◄── (protocol timers, RCR: driver) ◄───────┘
//! ```
//!
//! Inside: [`tables`] reads the data files and decides on their conditions, [`info`] holds what differs between
//! chips ([`rtl8812a`], [`rtl8821a`] and [`rtl8814a`]; [`xxa`] is what those with one or two paths share), [`bb`] and
//! [`rf`] write the two halves of the radio, [`tune`] sets a channel, [`txpower`] computes and sets the transmit power,
//! [`calibrate`] and [`iqk`] run LCK and IQK. [`Coex`] hears of the band.
//!
//! Every access goes through [`Regs`]; writes are posted. Dropping the future of a call leaves the radio
//! between two states; [`Phy`] remembers that it is, and the next `set_channel` sets everything anew.
//!
//! Mainline's `rtw_phy_init` and `rtw88xxa_pwrtrack_init` write no register on these chips: they prepare the
//! watchdog (initial gain, power tracking), which this driver does not have.

pub(crate) mod info;
pub(crate) mod rtl8812a;
pub(crate) mod rtl8814a;
pub(crate) mod rtl8821a;

mod bb;
mod calibrate;
#[cfg(test)]
mod calibrate_tests;
mod iqk;
mod rf;
mod tables;
#[cfg(test)]
mod testbus;
#[cfg(test)]
mod tests;
mod tune;
mod txpower;
mod xxa;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::channel::{Band, Channel};
use crate::chip::Board;
use crate::coex::Coex;
use crate::error::{Error, ErrorKind, Stage};
use crate::regio::Regs;
use info::PhyInfo;
use tables::{Conditions, INTERFACE_USB, TableError};
use txpower::TxPower;

pub(crate) use rf::Path;

/// The radio of one adapter. Lives on the kernel's thread beside its [`Regs`].
#[derive(Debug)]
pub(crate) struct Phy {
    regs: Regs,
    board: Rc<Board>,
    info: &'static PhyInfo,
    conditions: Conditions,
    power: RefCell<TxPower>,
    /// Registers that a workaround has put aside, 0 for none.
    kept: Cell<[u32; 2]>,
    /// The band that the radio is set to; `None` before the first switch and after one that did not end.
    band: Cell<Option<Band>>,
    /// The channel that the radio is set to; `None` likewise.
    channel: Cell<Option<Channel>>,
    /// The power is that of another channel than the one that the radio is set to.
    power_is_stale: Cell<bool>,
    /// What a Bluetooth part is to be told of all this.
    coex: Coex,
    /// What was last written to each path's CFGCH, where it is not to be read back before a change.
    synthesizers: Cell<[Option<u32>; 4]>,
}

impl Phy {
    /// The radio of `board`. Touches no register.
    ///
    /// # Errors
    /// The board has a front end that no table is for.
    pub(crate) fn new(regs: &Regs, board: Rc<Board>) -> Result<Phy, Error> {
        let info = board.chip.phy;
        let power = TxPower::new(info, &board).map_err(|error| regs.error(error))?;
        Ok(Phy {
            regs: regs.clone(),
            info,
            conditions: conditions(info, &board),
            power: RefCell::new(power),
            kept: Cell::default(),
            band: Cell::new(None),
            channel: Cell::new(None),
            synthesizers: Cell::default(),
            power_is_stale: Cell::new(false),
            coex: Coex::new(regs, board.clone()),
            board,
        })
    }

    /// The channel that the radio is on; `None` before the first and after a switch that failed.
    pub(crate) fn channel(&self) -> Option<Channel> {
        self.channel.get()
    }

    /// Coexistence with Bluetooth, which is told of each change of band.
    pub(crate) fn coex(&self) -> &Coex {
        &self.coex
    }

    /// Paths in use, path A first.
    fn paths(&self) -> impl Iterator<Item = Path> + use<> {
        let count = usize::from(self.board.chains);
        Path::ALL.into_iter().take(count)
    }

    /// Errors belong to `stage` until what is returned is dropped.
    fn during(&self, stage: Stage) -> StageGuard<'_> {
        let before = self.regs.stage();
        self.regs.enter(stage);
        StageGuard { regs: &self.regs, before }
    }

    fn table_error(&self, error: TableError) -> Error {
        self.regs.error(unusable(&error))
    }
}

/// Puts the stage back that was before, on every way out.
struct StageGuard<'a> {
    regs: &'a Regs,
    before: Stage,
}

impl Drop for StageGuard<'_> {
    fn drop(&mut self) {
        self.regs.enter(self.before);
    }
}

/// A table that cannot be read is a build that cannot drive the chip.
fn unusable(error: &TableError) -> ErrorKind {
    ErrorKind::Unsupported(format!("built with a malformed table: {error}"))
}

/// rtw88 `phy.c`, `rtw_phy_setup_phy_cond`. The chips behind USB tell no package, which counts as 15.
fn conditions(info: &PhyInfo, board: &Board) -> Conditions {
    let ext = &board.efuse.table_front_end;
    let types = &board.efuse.amplifier_types;
    let rfe = match info.front_end {
        tables::FrontEndMatch::Option => board.efuse.rfe_option,
        tables::FrontEndMatch::Amplifiers => {
            u8::from(ext.ext_lna_2g)
                | u8::from(ext.ext_pa_2g) << 1
                | u8::from(ext.ext_lna_5g) << 2
                | u8::from(ext.ext_pa_5g) << 3
                | u8::from(board.efuse.table_bt_coex) << 4
        }
    };
    Conditions {
        cut: if board.cut == 0 { 15 } else { board.cut },
        package: 15,
        interface: INTERFACE_USB,
        rfe,
        front_end: info.front_end,
        glna: types.glna,
        gpa: types.gpa,
        alna: types.alna,
        apa: types.apa,
    }
}
