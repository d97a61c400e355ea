//! Baseband: power-on, tables, band.
//!
//! Facts: rtw88 `rtw88xxa.c`, `rtw88xxa_phy_bb_config`, `rtw88xxa_phy_rf_config`, `rtw88xxa_switch_band`,
//! `rtw88xxa_set_channel_bb_swing`, `rtw88xxa_get_bb_swing`; `phy.c`, `rtw_phy_cfg_mac`, `rtw_phy_cfg_agc`,
//! `rtw_phy_cfg_bb`.

use std::time::Duration;

use airlift_regs::bits::{cck_check, rxpsel, txscale_a};
use airlift_regs::rf::RfReg;
use airlift_regs::{Reg, bb, mac, sys};

use super::Phy;
use super::rf::{Path, RF_MASK};
use super::tables::{PairTable, Step, Target};
use crate::channel::{Band, Width};
use crate::chip::Board;
use crate::error::{Error, Stage};

/// TX baseband swing: the four choices of the EFUSE, 0 dB, -3 dB, -6 dB, -9 dB.
const SWING: [u32; 4] = [0x200, 0x16a, 0x101, 0x0b6];

/// Basic rates, one bit a descriptor rate: 1, 2, 5.5, 11 Mb/s; 6, 12, 24 Mb/s.
const BASIC_CCK: u32 = 0x00f;
const BASIC_OFDM: u32 = 1 << 4 | 1 << 6 | 1 << 8;

/// Bits of TXPKT_EMPTY: nothing waits in the queues that CCK frames come from.
const QUEUES_EMPTY: u16 = 0x30;

/// The TX baseband swing of `path` (0 is A), as the EFUSE chooses it: two bits a path.
pub(super) fn swing(board: &Board, band: Band, path: usize) -> u32 {
    let setting = match band {
        Band::Ghz2 => board.efuse.bb_swing_2g,
        Band::Ghz5 => board.efuse.bb_swing_5g,
    };
    SWING[usize::from(setting >> (2 * path) & 3)]
}

impl Phy {
    /// Loads the MAC registers' table; the firmware must be running.
    ///
    /// # Errors
    /// Transfer errors.
    pub(crate) async fn load_mac(&self) -> Result<(), Error> {
        self.load(self.info.mac, Path::A).await
    }

    /// Powers baseband and radio, loads the baseband and gain tables, trims the crystal.
    ///
    /// # Errors
    /// Transfer errors.
    pub(crate) async fn init_baseband(&self) -> Result<(), Error> {
        let _stage = self.during(Stage::Baseband);
        let regs = &self.regs;

        self.forget_power();
        regs.apply(self.info.power_up).await?;
        self.load(self.info.baseband, Path::A).await?;
        self.load(self.info.agc, Path::A).await?;

        let trim = u32::from(self.board.efuse.crystal_cap & 0x3f);
        regs.set_field(sys::AFE_CTRL3, self.info.crystal_trim, trim | trim << 6).await?;
        regs.apply(self.info.after_baseband).await
    }

    /// Loads the radio tables of the paths in use; switches off a path that is not.
    ///
    /// # Errors
    /// Transfer errors.
    pub(crate) async fn init_radio(&self) -> Result<(), Error> {
        let _stage = self.during(Stage::Radio);
        for (path, table) in self.paths().zip(self.info.radio) {
            self.load(table, path).await?;
        }
        if self.board.chains == 1 {
            self.regs.apply(self.info.one_path).await?;
        }
        for reg in self.info.shared_rf {
            let value = self.read_rf(Path::A, *reg, RF_MASK).await?;
            for path in self.paths().skip(1) {
                self.write_rf(path, *reg, RF_MASK, value).await?;
            }
        }
        self.regs.apply(&(self.info.after_radio)(&self.board)).await
    }

    /// Puts the radio on a band, or finds out on which it is. The channel is set by `set_channel`.
    ///
    /// # Errors
    /// Transfer errors.
    pub(crate) async fn init_band(&self) -> Result<(), Error> {
        let _stage = self.during(Stage::Channel);
        self.channel.set(None);
        (self.info.procedures.init_band)(self).await
    }

    /// Does what a table says for this board.
    pub(super) async fn load(&self, table: &PairTable, path: Path) -> Result<(), Error> {
        let steps = table.steps(&self.conditions).map_err(|error| self.table_error(error))?;
        for step in steps {
            match (table.target(), step) {
                (_, Step::Delay(time)) => self.regs.delay(time).await?,
                (Target::Mac, Step::Write { addr, value }) => {
                    self.regs.write(Reg::<u8>::new(addr), value as u8).await?;
                }
                (Target::Radio, Step::Write { addr, value }) => {
                    self.write_rf_row(path, RfReg(addr as u8), value).await?;
                }
                (Target::Agc | Target::Baseband, Step::Write { addr, value }) => {
                    self.regs.write(Reg::<u32>::new(addr), value).await?;
                }
            }
        }
        Ok(())
    }

    /// Sets everything that depends on the band.
    pub(super) async fn switch_band(&self, band: Band, width: Width) -> Result<(), Error> {
        self.band.set(None);
        (self.info.procedures.switch_band)(self, band, width).await?;
        self.band.set(Some(band));
        Ok(())
    }

    /// The band switch of the chips with one or two paths.
    pub(super) async fn switch_band_88xxa(&self, band: Band, width: Width) -> Result<(), Error> {
        let regs = &self.regs;
        regs.apply(&(self.info.before_band)(&self.board, band)).await?;
        if band == Band::Ghz5 {
            regs.set_bits(mac::CCK_CHECK.byte(0), cck_check::CHECK_CCK_EN as u8).await?;
            self.let_queues_run_dry().await?;
        }
        regs.set_bits(bb::RXPSEL, rxpsel::RX_PSEL_RST).await?;
        self.regs.apply(&(self.info.switch_band)(&self.board, band, width)).await?;
        let (cck_transmits, cck_receives, rates) = match band {
            Band::Ghz2 => (1, 1, BASIC_CCK | BASIC_OFDM),
            Band::Ghz5 => (0, 0xf, BASIC_OFDM),
        };
        regs.set_field(bb::TXPSEL, 0xf0, cck_transmits).await?;
        regs.set_field(bb::CCK_RX, 0x0f00_0000, cck_receives).await?;
        regs.set_field(mac::RRSR, 0xf_ffff, rates).await?;
        if band == Band::Ghz2 {
            regs.clear_bits(mac::CCK_CHECK.byte(0), cck_check::CHECK_CCK_EN as u8).await?;
        }
        let [a, b] = [0, 1].map(|path| swing(&self.board, band, path));
        regs.set_field(bb::TXSCALE_A, txscale_a::BB_SWING_MASK, a).await?;
        regs.set_field(bb::TXSCALE_B, txscale_a::BB_SWING_MASK, b).await
    }

    /// Waits up to 2.5 ms for CCK frames to leave their queues. Mainline goes on if they do not, so do we.
    async fn let_queues_run_dry(&self) -> Result<(), Error> {
        for attempt in 0..=50 {
            if attempt > 0 {
                self.regs.delay(Duration::from_micros(50)).await?;
            }
            if self.regs.read(mac::TXPKT_EMPTY.cast::<u16>(0)).await? & QUEUES_EMPTY == QUEUES_EMPTY {
                return Ok(());
            }
        }
        tracing::debug!("transmit queues did not run dry before the band switch");
        Ok(())
    }
}
