//! Calibration: LC tank, I/Q balance, and the gain tables that belong to a calibrated radio.
//!
//! In monitor mode mainline runs none of it, so bring-up does not either: it is a call of its own. The I/Q part
//! is long and stands in [`iqk`](super::iqk); here is what goes around it: registers are put aside, traffic is
//! stopped, and both are put back whatever came of it.
//!
//! Facts: rtw88 `rtw8812a.c`, `rtw8812a_do_lck`, `rtw8812a_do_iqk`, `rtw8812a_phy_calibration`; `rtw88xxa.c`,
//! `rtw88xxa_phy_pwrtrack` (LCK comes first), `rtw88xxa_iqk_configure_mac`.

use std::time::Duration;

use airlift_regs::rf::{self, RfReg};
use airlift_regs::{Reg, bb, mac};

use super::Phy;
use super::iqk::{PATHS, PathRegs};
use super::rf::{Path, RF_MASK};
use crate::channel::Channel;
use crate::error::{Error, ErrorKind, Stage};

/// MAC and baseband registers that calibration changes, in the order of being put back.
const MAC_BB: [u16; 9] = [0x520, 0x550, 0x808, 0xa04, 0x90c, 0xc00, 0xe00, 0x838, 0x82c];
/// Converter and front-end registers, likewise.
const AFE: [u16; 12] = [0xc5c, 0xc60, 0xc64, 0xc68, 0xcb0, 0xcb4, 0xe5c, 0xe60, 0xe64, 0xe68, 0xeb0, 0xeb4];
/// RF registers of each path, likewise.
const RF: [RfReg; 3] = [rf::TXA_PREPAD, rf::RXBB2, rf::MODE];

/// Bit of CCASEL that shows page C1 (calibration) in place of page C at 0xc00 and 0xe00.
const PAGE_C1: u32 = 1 << 31;

/// Bit of the RF register CFGCH: LC calibration runs.
const LCK_BUSY: u32 = 0x8000;
/// Bit of the RF register LCK: calibration mode.
const LCK_MODE: u32 = 1 << 14;

/// What calibration changes and puts back.
struct Backup {
    mac_bb: Vec<u32>,
    front_end: [u32; 2],
    afe: Vec<u32>,
    rf: [Vec<u32>; 2],
}

impl Phy {
    /// Calibrates the radio for the channel that it is on: LC tank, I/Q balance of transmitter and receiver on
    /// each path, then the gain tables for a calibrated radio. Takes about half a second; nothing is received
    /// or sent meanwhile.
    ///
    /// The future must be run to its end: dropped half-way it leaves the radio deaf until the next bring-up.
    ///
    /// # Errors
    /// [`ErrorKind::Calibration`] if no channel is set, the LC tank does not come to rest or a path finds no
    /// solution (it then works with neutral values); transfer errors. Registers are put back in either case, if the
    /// device still answers; after a transfer error no channel is set.
    pub(crate) async fn calibrate(&self) -> Result<(), Error> {
        let _stage = self.during(Stage::Calibrate);
        let Some(channel) = self.channel.get() else {
            return Err(self.regs.error(ErrorKind::Calibration("no channel is set".into())));
        };
        let calibrated = (self.info.procedures.calibrate)(self, channel).await;
        // The radio has had the synthesizers to itself.
        self.synthesizers.set(Default::default());
        if calibrated.as_ref().is_err_and(|error| !matches!(error.kind(), ErrorKind::Calibration(_))) {
            // What the registers hold is not known: the next channel sets everything anew.
            self.regs.bypass_shadow(false);
            self.band.set(None);
            self.channel.set(None);
            self.forget_power();
        }
        calibrated
    }

    /// Calibration of the chips with one or two paths.
    pub(super) async fn calibrate_88xxa(&self, channel: Channel) -> Result<(), Error> {
        let tank = self.calibrate_lc_tank().await?;

        // Two pages of registers share their addresses from here on.
        self.regs.bypass_shadow(true);
        let backup = self.back_up().await?;
        let balance = match self.stop_traffic().await {
            Ok(()) => self.calibrate_iq(channel.band()).await,
            Err(error) => Err(error),
        };
        self.put_back(&backup).await?;
        self.regs.barrier().await?;
        self.regs.bypass_shadow(false);
        let unbalanced = balance?;

        let center = channel.center();
        let gains = self.info.agc_by_channel.iter().find(|(centers, _)| centers.contains(&center));
        if let Some((_, table)) = gains {
            self.load(table, Path::A).await?;
        }
        self.regs.barrier().await?;
        tank?;
        match unbalanced {
            None => Ok(()),
            Some(what) => Err(self.regs.error(ErrorKind::Calibration(what))),
        }
    }

    /// LC calibration. The outer error is of a transfer; the inner one says that it did not come to rest.
    async fn calibrate_lc_tank(&self) -> Result<Result<(), Error>, Error> {
        let regs = &self.regs;
        let pause = mac::TXPAUSE.byte(0);
        let sending_test_signal = regs.read(bb::SINGLE_TONE_CONT_TX).await? & 0x7_0000 != 0;
        let tuned = self.read_rf(Path::A, rf::CFGCH, RF_MASK).await?;
        if !sending_test_signal {
            regs.write(pause, 0xff).await?;
        }
        self.write_rf(Path::A, rf::LCK, LCK_MODE, 1).await?;
        self.write_rf(Path::A, rf::CFGCH, LCK_BUSY, 1).await?;
        regs.delay(Duration::from_millis(150)).await?;

        let mut rested = false;
        for _ in 0..5 {
            if self.read_rf(Path::A, rf::CFGCH, LCK_BUSY).await? != 1 {
                rested = true;
                break;
            }
            regs.delay(Duration::from_millis(10)).await?;
        }
        self.write_rf(Path::A, rf::CFGCH, RF_MASK, tuned).await?;
        self.write_rf(Path::A, rf::LCK, LCK_MODE, 0).await?;
        if !sending_test_signal {
            regs.write(pause, 0).await?;
        }
        self.write_rf(Path::A, rf::CFGCH, RF_MASK, tuned).await?;
        Ok(if rested {
            Ok(())
        } else {
            let what = "the LC tank did not come to rest within 200 ms (bit 15 of RF CFGCH stays set)";
            Err(regs.error(ErrorKind::Calibration(what.into())))
        })
    }

    /// Shows page C (normal) or C1 (calibration).
    pub(super) async fn show_page_c1(&self, calibration: bool) -> Result<(), Error> {
        self.regs.set_field(bb::CCASEL, PAGE_C1, u32::from(calibration)).await
    }

    pub(super) async fn read_all(&self, addresses: &[u16]) -> Result<Vec<u32>, Error> {
        let mut values = Vec::with_capacity(addresses.len());
        for addr in addresses {
            values.push(self.regs.read_at::<u32>(*addr).await?);
        }
        Ok(values)
    }

    pub(super) async fn write_all(&self, addresses: &[u16], values: &[u32]) -> Result<(), Error> {
        for (addr, value) in addresses.iter().zip(values) {
            self.regs.write(Reg::<u32>::new(*addr), *value).await?;
        }
        Ok(())
    }

    async fn back_up(&self) -> Result<Backup, Error> {
        self.show_page_c1(false).await?;
        let mac_bb = self.read_all(&MAC_BB).await?;
        self.show_page_c1(true).await?;
        let front_end = [self.regs.read(bb::RFECTL_A).await?, self.regs.read(bb::RFECTL_B).await?];
        self.show_page_c1(false).await?;

        self.show_page_c1(false).await?;
        let afe = self.read_all(&AFE).await?;
        self.show_page_c1(false).await?;
        let mut rf = [Vec::new(), Vec::new()];
        for reg in RF {
            for (values, path) in rf.iter_mut().zip([Path::A, Path::B]) {
                values.push(self.read_rf(path, reg, RF_MASK).await?);
            }
        }
        Ok(Backup { mac_bb, front_end, afe, rf })
    }

    /// No sending, no beacons, no receiving.
    pub(super) async fn stop_traffic(&self) -> Result<(), Error> {
        let regs = &self.regs;
        self.show_page_c1(false).await?;
        regs.write(mac::TXPAUSE.byte(0), 0x3f).await?;
        regs.set_field(mac::BCN_CTRL, 0x0808, 0).await?;
        regs.write(bb::RXPSEL.byte(0), 0).await?;
        regs.set_field(bb::CCA2ND, 0xf, 0xc).await?;
        regs.write(bb::CCK_RX.byte(3), 0xf).await
    }

    async fn put_back(&self, backup: &Backup) -> Result<(), Error> {
        for (values, path) in backup.rf.iter().zip([Path::A, Path::B]) {
            self.show_page_c1(false).await?;
            for (reg, value) in RF.into_iter().zip(values) {
                self.write_rf(path, reg, RF_MASK, *value).await?;
            }
            self.write_rf(path, rf::LUTWE, RF_MASK, 0).await?;
        }
        self.put_back_converters(&backup.afe).await?;
        self.show_page_c1(true).await?;
        let [a, b] = backup.front_end;
        self.regs.write(bb::RFECTL_A, a).await?;
        self.regs.write(bb::RFECTL_B, b).await?;
        self.show_page_c1(false).await?;

        self.show_page_c1(false).await?;
        self.write_all(&MAC_BB, &backup.mac_bb).await
    }

    async fn put_back_converters(&self, afe: &[u32]) -> Result<(), Error> {
        let regs = &self.regs;
        self.show_page_c1(false).await?;
        self.write_all(&AFE, afe).await?;
        self.show_page_c1(true).await?;
        for PathRegs { tx_tone, rx_tone, tx_mode, rx_mode, predistortion, dpd, pmpd, .. } in PATHS {
            regs.write(tx_tone, 0).await?;
            regs.write(rx_tone, 0).await?;
            regs.write(tx_mode, 0).await?;
            regs.write(rx_mode, 0x3c00_0000).await?;
            regs.set_field(predistortion, 1 << 7, 1).await?;
            regs.set_field(dpd, 1 << 18, 1).await?;
            regs.set_field(dpd, 1 << 29, 1).await?;
            regs.set_field(pmpd, 1 << 29, 1).await?;
        }
        Ok(())
    }
}
