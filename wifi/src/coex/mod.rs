//! Coexistence: Wi-Fi and Bluetooth of one chip, or of one board, share antennas and the 2.4 GHz band.
//!
//! An arbiter in the chip, the PTA (packet traffic arbitration), grants the antennas by tables of who may have them when;
//! the firmware deals out time to both sides, the TDMA, and asks the Bluetooth part how it is. It is told so by H2C
//! commands ([`H2c`]). [`Coex`] sets that up as mainline does for a station that is connected to nobody: once at the end of
//! bring-up, and whenever the band is another one. [`CoexInfo`] holds what the chips do differently. Two have neither PTA
//! tables nor TDMA; on the RTL8814A Wi-Fi may not own the front end's switch. An RTL8812A with Bluetooth on the board is
//! not set up, since mainline's driver comes to a call of a function there that it has not got (`coex_set_gnt_debug`), and
//! the kernel stops it: like one without, it takes the switch when the band changes, and nothing more than the farewell at
//! power-off ([`tell_power_off`]) goes to its Bluetooth part.
//!
//! Facts: rtw88 `coex.c`, `rtw_coex_power_on_setting`, `__rtw_coex_init_hw_config`, `rtw_coex_switchband_notify`,
//! `rtw_coex_run_coex`, `rtw_coex_action_wl_linkscan`, `rtw_coex_action_wl_under5g`, `rtw_coex_set_ant_path`,
//! `rtw_coex_table`, `rtw_coex_tdma`, `rtw_coex_wl_slot_extend`, `rtw_coex_power_off_setting`; `fw.c`,
//! `rtw_fw_bt_wifi_control`, `rtw_fw_coex_tdma_type`, `rtw_fw_query_bt_info`.
//!
//! Left out: what mainline does upon the firmware's messages about Bluetooth's state, and that it takes Bluetooth for
//! switched off after ten changes of channel without any of its traffic in between.

mod h2c;
#[cfg(test)]
mod tests;

use core::cell::Cell;
use std::rc::Rc;

use airlift_regs::bits::{sys_func_en, sys_sdio_ctrl};
use airlift_regs::{Reg, mac, sys};

use crate::channel::Band;
use crate::chip::{Board, ChipInfo};
use crate::error::Error;
use crate::regio::{FieldWrite, Regs};
use h2c::H2c;

/// Of no known name; "red x issue" in mainline.
const RED_X: Reg<u8> = Reg::new(0xff1a);

/// H2C "BT WIFI control", WL leak AP: no WL slot extend, by which Wi-Fi's slot would last 5 ms longer.
const NO_WL_SLOT_EXTEND: [u8; 7] = [0x69, 0x0c, 0x01, 0, 0, 0, 0];
/// H2C "query BT info": Bluetooth's state.
const QUERY_BT_INFO: [u8; 7] = [0x61, 0x01, 0, 0, 0, 0, 0];
/// The number of the H2C "coex TDMA type"; five bytes follow.
const COEX_TDMA_TYPE: u8 = 0x60;

/// In WIFI_BT_INFO, the score board: Bluetooth is to look at it.
const BT_INT_EN: u16 = 1 << 15;

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

impl On {
    /// Whether a board is one of them that has a Bluetooth part or, as far as is known, has none.
    fn includes(self, bluetooth: bool) -> bool {
        match self {
            Self::NoBoard => false,
            Self::BoardsWithBluetooth => bluetooth,
            Self::EveryBoard => true,
        }
    }
}

/// What a chip does for coexistence.
pub(crate) struct CoexInfo {
    /// On which boards bring-up sets it up.
    pub(crate) on: On,
    /// On which boards Bluetooth is told of power-off.
    pub(crate) told_power_off: On,
    /// Whether Wi-Fi owns the front end's switch.
    pub(crate) owns_switch: bool,
    /// The chip's own part of the set-up.
    pub(crate) set_up: fn(&Board) -> Vec<FieldWrite>,
    /// The switch of a board with Bluetooth on a band: the antenna path.
    pub(crate) switch: fn(&Board, Band) -> Vec<FieldWrite>,
    /// PTA and TDMA with shared antennas and with separate ones; `None`: the PTA is left alone.
    pub(crate) policies: Option<ByAntennas>,
}

/// What depends on whether Wi-Fi and Bluetooth share their antennas.
#[derive(Debug)]
pub(crate) struct ByAntennas {
    /// They do.
    pub(crate) shared: Policies,
    /// They do not.
    pub(crate) separate: Policies,
}

/// Who gets what, by where Wi-Fi is.
#[derive(Debug)]
pub(crate) struct Policies {
    /// Before the first channel, if anything is said there.
    pub(crate) first: Option<Policy>,
    /// At 2.4 GHz.
    pub(crate) ghz2: Policy,
    /// At 5 GHz.
    pub(crate) ghz5: Policy,
}

/// Who gets what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// The PTA's tables for Bluetooth's slots and for Wi-Fi's.
    pub(crate) pta: [u32; 2],
    /// How time is dealt out, the five bytes of the H2C "coex TDMA type"; all 0: not at all.
    pub(crate) tdma: [u8; 5],
}

/// The PTA's third table, the same everywhere.
const BREAK_TABLE: u32 = 0xf0ff_ffff;

/// Tells a Bluetooth part, on boards of which the chip wants it, that Wi-Fi is about to go and wants nothing.
///
/// # Errors
/// Transfer errors.
pub(crate) async fn tell_power_off(regs: &Regs, chip: &ChipInfo, bluetooth: bool) -> Result<(), Error> {
    if chip.coex.told_power_off.includes(bluetooth) {
        regs.write(sys::WIFI_BT_INFO, BT_INT_EN).await?;
    }
    Ok(())
}

/// Coexistence of one adapter. Lives on the kernel's thread beside its [`Regs`].
pub(crate) struct Coex {
    regs: Regs,
    board: Rc<Board>,
    h2c: H2c,
    /// The band that it was told of last; `None` before the first, and after a failure.
    band: Cell<Option<Band>>,
    /// The TDMA that the firmware was told of last, or is to be told as soon as it has room; `None` if that may not have
    /// reached it.
    tdma: Cell<Option<[u8; 5]>>,
}

impl core::fmt::Debug for Coex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Coex").field("band", &self.band.get()).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for CoexInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CoexInfo").field("policies", &self.policies).finish_non_exhaustive()
    }
}

impl Coex {
    /// That of `board`, whose firmware has been given no command yet, and so has no TDMA. Touches no register.
    pub(crate) fn new(regs: &Regs, board: Rc<Board>) -> Self {
        let (h2c, tdma) = (H2c::new(regs), Cell::new(Some([0; 5])));
        Self { regs: regs.clone(), board, h2c, band: Cell::new(None), tdma }
    }

    fn info(&self) -> &'static CoexInfo {
        &self.board.chip.coex
    }

    fn policies(&self) -> Option<&'static Policies> {
        let by_antennas = self.info().policies.as_ref()?;
        Some(if self.board.efuse.shares_antennas { &by_antennas.shared } else { &by_antennas.separate })
    }

    /// The end of bring-up, before the first channel. The firmware runs.
    ///
    /// # Errors
    /// Transfer errors.
    pub(crate) async fn set_up(&self) -> Result<(), Error> {
        let (regs, info) = (&self.regs, self.info());
        if !info.on.includes(self.board.efuse.bt_coex) {
            return Ok(());
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
        self.h2c.send(NO_WL_SLOT_EXTEND).await?;
        regs.apply(&(info.set_up)(&self.board)).await?;
        if let Some(first) = self.policies().and_then(|policies| policies.first) {
            self.write_pta(first.pta).await?;
            self.tell_tdma(first.tdma).await?;
        }
        self.h2c.send(QUERY_BT_INFO).await?;
        Ok(())
    }

    /// Wi-Fi is on a channel of `band`. If it was before, all that is left to do is to tell the firmware what may not have
    /// reached it then.
    ///
    /// # Errors
    /// As [`set_up`](Self::set_up).
    pub(crate) async fn enter(&self, band: Band) -> Result<(), Error> {
        let changes = self.band.replace(None) != Some(band);
        if changes && self.info().owns_switch {
            self.own_switch().await?;
        }
        if changes && self.board.efuse.bt_coex {
            self.regs.apply(&(self.info().switch)(&self.board, band)).await?;
        }
        if let Some(policies) = self.policies() {
            let policy = match band {
                Band::Ghz2 => policies.ghz2,
                Band::Ghz5 => policies.ghz5,
            };
            if changes {
                self.write_pta(policy.pta).await?;
            }
            if self.tdma.get() != Some(policy.tdma) {
                self.tell_tdma(policy.tdma).await?;
            }
        }
        self.band.set(Some(band));
        Ok(())
    }

    /// Whether there is something that the firmware could not be told yet, since its mailboxes were full.
    pub(crate) fn owes(&self) -> bool {
        self.h2c.is_waiting()
    }

    /// Tells the firmware what it could not be told, as far as it has room now. That takes no more than a few transfers;
    /// it is to be called again while [`owes`](Self::owes) is true.
    ///
    /// # Errors
    /// Transfer errors; all of it is still to be told.
    pub(crate) async fn catch_up(&self) -> Result<(), Error> {
        self.h2c.catch_up().await
    }

    /// Nobody knows what the chip holds, nor what its firmware was told.
    pub(crate) fn forget(&self) {
        self.band.set(None);
        self.tdma.set(None);
        self.h2c.withdraw(COEX_TDMA_TYPE);
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

    async fn write_pta(&self, [bluetooth, wifi]: [u32; 2]) -> Result<(), Error> {
        self.regs.write(mac::BT_COEX_TABLE0, bluetooth).await?;
        self.regs.write(mac::BT_COEX_TABLE1, wifi).await?;
        self.regs.write(mac::BT_COEX_BRK_TABLE, BREAK_TABLE).await
    }

    async fn tell_tdma(&self, tdma: [u8; 5]) -> Result<(), Error> {
        let [a, b, c, d, e] = tdma;
        self.tdma.set(None);
        self.h2c.send([COEX_TDMA_TYPE, a, b, c, d, e, 0]).await?;
        self.tdma.set(Some(tdma));
        Ok(())
    }
}
