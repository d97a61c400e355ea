//! Coexistence: Wi-Fi and Bluetooth of one chip, or of one board, share antennas and the 2.4 GHz band.
//!
//! An arbiter in the chip grants the antennas, by tables of who may have them when; the firmware hands out slots of time
//! to both sides and asks the Bluetooth part how it is. [`Coex`] sets that up as mainline does for a station that is
//! connected to nobody: once at the end of bring-up, and whenever the band is another one. [`CoexInfo`] holds what the
//! chips do differently: two have neither arbiter tables nor slots, on the RTL8814A Wi-Fi may not own the switch, and for
//! an RTL8812A with Bluetooth on the board nobody knows what to set up (mainline's driver comes to a call of a function
//! that it has not got, `coex_set_gnt_debug`, and the kernel stops it).
//!
//! Facts: rtw88 `coex.c`, `rtw_coex_power_on_setting`, `__rtw_coex_init_hw_config`, `rtw_coex_switchband_notify`,
//! `rtw_coex_run_coex`, `rtw_coex_action_wl_linkscan`, `rtw_coex_action_wl_under5g`, `rtw_coex_set_ant_path`,
//! `rtw_coex_table`, `rtw_coex_tdma`; `fw.c`, `rtw_fw_bt_wifi_control`, `rtw_fw_coex_tdma_type`,
//! `rtw_fw_query_bt_info`.
//!
//! Left out: what mainline does upon the firmware's messages about Bluetooth's state, and that it takes Bluetooth for
//! switched off after ten changes of channel without any of its traffic in between.

mod mailbox;
#[cfg(test)]
mod tests;

use core::cell::Cell;
use std::rc::Rc;

use airlift_regs::bits::{sys_func_en, sys_sdio_ctrl};
use airlift_regs::{Reg, mac, sys};

use crate::channel::Band;
use crate::chip::Board;
use crate::error::Error;
use crate::regio::{FieldWrite, Regs};
use mailbox::Mailboxes;

/// Of no known name; "red x issue" in mainline.
const RED_X: Reg<u8> = Reg::new(0xff1a);

/// Tells the firmware not to stretch Wi-Fi's share of time by 5 ms.
const PLAIN_SHARE: [u8; 7] = [0x69, 0x0c, 0x01, 0, 0, 0, 0];
/// Asks for Bluetooth's state.
const HOW_IS_BLUETOOTH: [u8; 7] = [0x61, 0x01, 0, 0, 0, 0, 0];
/// Hands out slots of time; five bytes tell how.
const SLOTS: u8 = 0x60;

/// Which boards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum On {
    /// None.
    NoBoard,
    /// Those with a Bluetooth part.
    BoardsWithBluetooth,
    /// All.
    EveryBoard,
}

/// What a chip does for coexistence.
pub(crate) struct CoexInfo {
    /// On which boards bring-up sets it up.
    pub(crate) on: On,
    /// Whether Wi-Fi owns the front end's switch.
    pub(crate) owns_switch: bool,
    /// The chip's own part of the set-up.
    pub(crate) set_up: fn(&Board) -> Vec<FieldWrite>,
    /// The switch of a board with Bluetooth on a band.
    pub(crate) switch: fn(&Board, Band) -> Vec<FieldWrite>,
    /// Tables and slots, with antennas that are shared and with some for each; `None`: the arbiter is left alone.
    pub(crate) shares: Option<BySharing>,
}

/// What depends on whether Wi-Fi and Bluetooth share their antennas.
#[derive(Debug)]
pub(crate) struct BySharing {
    /// They do.
    pub(crate) shared: Shares,
    /// They do not.
    pub(crate) apart: Shares,
}

/// Who gets what, by where Wi-Fi is.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Before the first channel, if anything is said there.
    pub(crate) first: Option<Share>,
    /// At 2.4 GHz.
    pub(crate) ghz2: Share,
    /// At 5 GHz.
    pub(crate) ghz5: Share,
}

/// Who gets what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// The arbiter's tables for Bluetooth's slots and for Wi-Fi's.
    pub(crate) tables: [u32; 2],
    /// How time is handed out; all 0: not at all.
    pub(crate) slots: [u8; 5],
}

/// The arbiter's third table, the same everywhere.
const BREAK_TABLE: u32 = 0xf0ff_ffff;

/// Coexistence of one adapter. Lives on the kernel's thread beside its [`Regs`].
pub(crate) struct Coex {
    regs: Regs,
    board: Rc<Board>,
    mailboxes: Mailboxes,
    /// The band that it was told of last; `None` before the first, and after a failure.
    band: Cell<Option<Band>>,
    /// How time is handed out now, as far as the firmware was told.
    slots: Cell<[u8; 5]>,
}

impl core::fmt::Debug for Coex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Coex").field("band", &self.band.get()).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for CoexInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CoexInfo").field("shares", &self.shares).finish_non_exhaustive()
    }
}

impl Coex {
    /// That of `board`, whose firmware has been given no message yet. Touches no register.
    pub(crate) fn new(regs: &Regs, board: Rc<Board>) -> Self {
        let mailboxes = Mailboxes::new(regs);
        Self { regs: regs.clone(), board, mailboxes, band: Cell::new(None), slots: Cell::default() }
    }

    fn info(&self) -> &'static CoexInfo {
        &self.board.chip.coex
    }

    fn shares(&self) -> Option<&'static Shares> {
        let by_sharing = self.info().shares.as_ref()?;
        Some(if self.board.efuse.shares_antennas { &by_sharing.shared } else { &by_sharing.apart })
    }

    /// The end of bring-up, before the first channel. The firmware runs.
    ///
    /// # Errors
    /// Transfer errors.
    pub(crate) async fn set_up(&self) -> Result<(), Error> {
        let (regs, info) = (&self.regs, self.info());
        match info.on {
            On::EveryBoard => {}
            On::BoardsWithBluetooth if self.board.efuse.bt_coex => {}
            On::NoBoard | On::BoardsWithBluetooth => return Ok(()),
        }
        let baseband = (sys_func_en::FEN_BB_RSTB | sys_func_en::FEN_BB_GLB_RST) as u8;
        regs.update_bytes(&[
            (sys::SYS_FUNC_EN.byte(0).addr(), baseband, baseband),
            self.switch_owner(),
            // Answers and beacons go before Bluetooth.
            (mac::BT_COEX_TABLE_H.byte(0).addr(), 0x18, 0x18),
            (mac::BT_COEX_TABLE_H.byte(3).addr(), 0x08, 0x08),
        ])
        .await?;
        regs.write(RED_X, 0).await?;
        self.mailboxes.send(PLAIN_SHARE).await?;
        regs.apply(&(info.set_up)(&self.board)).await?;
        if let Some(first) = self.shares().and_then(|shares| shares.first) {
            self.share_out(first).await?;
        }
        self.mailboxes.send(HOW_IS_BLUETOOTH).await
    }

    /// Wi-Fi is on a channel of `band`. Nothing, if it was before.
    ///
    /// # Errors
    /// As [`set_up`](Self::set_up).
    pub(crate) async fn enter(&self, band: Band) -> Result<(), Error> {
        if self.band.replace(None) != Some(band) {
            if self.info().owns_switch {
                self.own_switch().await?;
            }
            if self.board.efuse.bt_coex {
                self.regs.apply(&(self.info().switch)(&self.board, band)).await?;
            }
            if let Some(shares) = self.shares() {
                let share = match band {
                    Band::Ghz2 => shares.ghz2,
                    Band::Ghz5 => shares.ghz5,
                };
                self.write_tables(share.tables).await?;
                if share.slots != self.slots.get() {
                    self.hand_out(share.slots).await?;
                }
            }
        }
        self.band.set(Some(band));
        Ok(())
    }

    /// Nobody knows what the chip holds.
    pub(crate) fn forget(&self) {
        self.band.set(None);
    }

    /// The byte and bit that say whose the front end's switch is.
    fn switch_owner(&self) -> (u16, u8, u8) {
        let bit = (sys_sdio_ctrl::LTE_MUX_CTRL_PATH >> 24) as u8;
        (sys::SYS_SDIO_CTRL.byte(3).addr(), bit, if self.info().owns_switch { bit } else { 0 })
    }

    /// Takes the front end's switch away from a Bluetooth part, whether the board has one or not.
    async fn own_switch(&self) -> Result<(), Error> {
        let (address, mask, owner) = self.switch_owner();
        let old: u8 = self.regs.read_at(address).await?;
        if old & mask == owner { Ok(()) } else { self.regs.write_at(address, old & !mask | owner).await }
    }

    async fn share_out(&self, share: Share) -> Result<(), Error> {
        self.write_tables(share.tables).await?;
        self.hand_out(share.slots).await
    }

    async fn write_tables(&self, [bluetooth, wifi]: [u32; 2]) -> Result<(), Error> {
        self.regs.write(mac::BT_COEX_TABLE0, bluetooth).await?;
        self.regs.write(mac::BT_COEX_TABLE1, wifi).await?;
        self.regs.write(mac::BT_COEX_BRK_TABLE, BREAK_TABLE).await
    }

    async fn hand_out(&self, slots: [u8; 5]) -> Result<(), Error> {
        let [a, b, c, d, e] = slots;
        self.mailboxes.send([SLOTS, a, b, c, d, e, 0]).await?;
        self.slots.set(slots);
        Ok(())
    }
}
