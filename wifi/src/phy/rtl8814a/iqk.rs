//! I/Q calibration of the RTL8814A: a sequencer in the baseband does the searching, one command a path and purpose.
//!
//! ```text
//!   traffic stops, converters wait ─► LO leakage A..D ─► transmitters A..D ─► receivers A..D ─► all put back
//! ```
//!
//! A command goes to the port's first register, whose lowest bit falls when the sequencer is done. What it has found it
//! applies by itself; a transmitter's correction is read and written again, since the receiver's search overwrites it.
//! A path without a solution has its correction switched off.
//!
//! Facts: rtw88 `rtw8814a.c`, `rtw8814a_do_iqk` and the `rtw8814a_iqk_*` functions that it calls,
//! `rtw8814a_lok_one_shot`.

use std::time::Duration;

use airlift_regs::bits::{bcn_ctrl, prectrl, psd, rfe_invsel_d};
use airlift_regs::rf::{self, RfReg};
use airlift_regs::{Reg, bb, mac, more};

use super::super::Phy;
use super::super::rf::{Path, RF_MASK};
use crate::channel::{Band, Channel, Width};
use crate::error::{Error, ErrorKind};

/// The sequencer's port: command and done bit; configuration; result; corrections of transmitter and receiver; the
/// LO leakage that was found, and what shows it.
const COMMAND: Reg<u32> = Reg::new(0x1b00);
const RESULT: Reg<u32> = Reg::new(0x1b08);
const TX_CORRECTION: Reg<u32> = Reg::new(0x1b38);
const RX_CORRECTION: Reg<u32> = Reg::new(0x1b3c);
const PORT: Reg<u32> = Reg::new(0x1b80);
const LEAKAGE_SELECT: Reg<u32> = Reg::new(0x1bd4);
const LEAKAGE: Reg<u32> = Reg::new(0x1bfc);

/// What every command starts with.
const OPEN: u32 = 0xf800_0000;
/// The sequencer starts; falls when it is done.
const RUN: u32 = 1;
/// The sequencer found no solution.
const FAILED: u32 = 1 << 26;

/// Registers that calibration changes, in the order of being put back.
const BORROWED: [u16; 16] = [
    0x520, 0x550, 0xa14, 0x808, 0x838, 0x90c, 0x810, 0xcb0, 0xeb0, 0x18b4, 0x1ab4, 0x1abc, 0x9a4, 0x764,
    0xcbc, 0x910,
];

const CONVERTERS: [Reg<u32>; 4] = [bb::AFE_PWR1_A, bb::AFE_PWR1_B, more::AFE_PWR1_C, bb::AFE_PWR1_D];
/// Where each path's corrections are switched on: transmitter bit 0, receiver bits 11:10.
const APPLIED: [Reg<u32>; 4] = [bb::TX_AGC_A, bb::TX_AGC_B, more::TX_AGC_C, bb::TX_AGC_D];
/// Which of the converters' clocks the sequencer takes: bits 21:20.
const CLOCK_SOURCE: u32 = 3 << 20;
const OFDM_CONFIG: Reg<u32> = Reg::new(0x0810);

/// Attempts that a path has in one direction.
const ATTEMPTS: usize = 4;
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A command for one path.
fn command(path: Path, number: u32) -> u32 {
    OPEN | number << 8 | 1 << path.index() << 4 | RUN
}

/// The five bits of `value` under `mask`, turned round, with the uppermost one inverted before.
fn leakage(value: u32, mask: u32) -> u32 {
    let found = (((value & mask) >> mask.trailing_zeros()) + 0x10) & 0x1f;
    found.reverse_bits() >> 27
}

impl Phy {
    /// Calibrates all paths for `channel`. Everything that is borrowed is put back, whatever comes of it.
    pub(super) async fn calibrate_8814a(&self, channel: Channel) -> Result<(), Error> {
        let regs = &self.regs;
        let mut borrowed = Vec::with_capacity(BORROWED.len());
        for addr in BORROWED {
            borrowed.push(regs.read_at::<u32>(addr).await?);
        }
        self.set_converters(0x0e80_8003).await?;
        let mut modes = Vec::new();
        for path in self.paths() {
            modes.push(self.read_rf(path, rf::MODE, RF_MASK).await?);
        }
        self.quieten().await?;
        let missing = self.search(channel).await?;
        self.reset_sequencer().await?;
        self.set_converters(0x0780_8003).await?;
        for (addr, value) in BORROWED.into_iter().zip(borrowed) {
            regs.write_at::<u32>(addr, value).await?;
        }
        for (reg, value) in [(rf::LUTWE, 0), (rf::RXBB2, 0x8_8001)] {
            self.write_rf_everywhere(reg, RF_MASK, value).await?;
        }
        for (path, mode) in self.paths().zip(modes) {
            self.write_rf(path, rf::MODE, RF_MASK, mode).await?;
        }
        regs.barrier().await?;
        match missing.is_empty() {
            true => Ok(()),
            false => {
                let what = format!("no I/Q solution for {}", missing.join(", "));
                Err(regs.error(ErrorKind::Calibration(what)))
            }
        }
    }

    /// Sets what the converters do, and lets them take it on.
    async fn set_converters(&self, mode: u32) -> Result<(), Error> {
        let regs = &self.regs;
        for converter in CONVERTERS {
            regs.write(converter, mode).await?;
        }
        regs.set_field(bb::DAC_RSTB, 1 << 13, 1).await?;
        regs.set_bits(mac::GNT_BT, 0x06).await?;
        regs.clear_bits(mac::GNT_BT, 0x06).await?;
        regs.set_bits(bb::CCK_RPT_FORMAT, 1 << 2).await?;
        regs.clear_bits(bb::CCK_RPT_FORMAT, 1 << 2).await
    }

    /// Nothing is sent, received or beaconed, and no amplifier is on.
    async fn quieten(&self) -> Result<(), Error> {
        let regs = &self.regs;
        let beacons = bcn_ctrl::EN_BCN_FUNCTION | bcn_ctrl::EN_BCN_FUNCTION << 8;
        regs.write(mac::TXPAUSE.byte(0), 0x3f).await?;
        regs.clear_bits(mac::BCN_CTRL, beacons).await?;
        regs.write(bb::RXPSEL.byte(0), 0).await?;
        regs.set_field(bb::CCA2ND, 0xf, 0xe).await?;
        regs.set_bits(bb::PRECTRL, prectrl::IQ_WGT).await?;
        for pins in [bb::RFE_PINMUX_A, bb::RFE_PINMUX_B, more::RFE_PINMUX_C, bb::RFE_PINMUX_D] {
            regs.write(pins, 0x7777_7777).await?;
        }
        regs.set_field(bb::RFE_INVSEL_D, rfe_invsel_d::RFE_SELSW0_D, 0x77).await?;
        regs.set_field(bb::PSD, psd::PSD_INI, 0).await?;
        regs.set_field(bb::RFE_INV0, 0xf, 0).await
    }

    /// Makes the sequencer forget a command that it did not finish.
    async fn reset_sequencer(&self) -> Result<(), Error> {
        for value in [0x06, 0x02] {
            self.regs.write(COMMAND, OPEN).await?;
            self.regs.write(PORT, value).await?;
        }
        Ok(())
    }

    /// Runs the searches. Tells which paths found nothing, in words.
    async fn search(&self, channel: Channel) -> Result<Vec<String>, Error> {
        let regs = &self.regs;
        self.write_rf_everywhere(rf::TXMOD, 1 << 19, 1).await?;
        for applied in APPLIED {
            // Bits 11, 10 and 0 become 0, 1 and 1.
            regs.set_field(applied, 0xc01, 0x401).await?;
        }
        let five = channel.band() == Band::Ghz5;
        regs.write(COMMAND, if five { 0xf800_0ff1 } else { 0xf800_0ef1 }).await?;
        regs.delay(Duration::from_millis(1)).await?;
        regs.write(OFDM_CONFIG, 0x2010_1063).await?;
        regs.write(bb::DAC_RSTB, 0x0b00_c000).await?;

        let mut missing = Vec::new();
        for path in self.paths() {
            if !self.find_leakage(path).await? {
                missing.push(format!("the LO leakage of path {path:?}"));
            }
        }
        let width = match channel.width() {
            Width::Mhz20 => 0,
            Width::Mhz40 => 1,
            Width::Mhz80 => 2,
        };
        let mut transmitters = Vec::new();
        for path in self.paths() {
            let found = self.shoot(path, command(path, width + 3), None).await?;
            regs.write(COMMAND, OPEN | (path.index() as u32) << 1).await?;
            transmitters.push(if found { Some(regs.read(TX_CORRECTION).await?) } else { None });
            if !found {
                missing.push(format!("the transmitter of path {path:?}"));
            }
        }
        for (path, transmitter) in self.paths().zip(transmitters) {
            if !self.balance_receiver(path, channel.band(), width, transmitter).await? {
                missing.push(format!("the receiver of path {path:?}"));
            }
        }
        Ok(missing)
    }

    /// Waits for the sequencer; whether it is done in time.
    async fn sequencer_done(&self, first: Duration, looks: u32) -> Result<bool, Error> {
        self.regs.delay(first).await?;
        for look in 0..=looks {
            if look > 0 {
                self.regs.delay(LOOK_EVERY).await?;
            }
            if self.regs.read(COMMAND).await? & RUN == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds what cancels the local oscillator's leakage, and sets it.
    async fn find_leakage(&self, path: Path) -> Result<bool, Error> {
        let regs = &self.regs;
        regs.set_field(bb::FAS, CLOCK_SOURCE, path.index() as u32).await?;
        regs.write(COMMAND, command(path, 0)).await?;
        if !self.sequencer_done(Duration::from_millis(1), 10).await? {
            self.reset_sequencer().await?;
            self.write_rf(path, rf::DTXLOK, RF_MASK, 0x0_8400).await?;
            return Ok(false);
        }
        regs.write(COMMAND, OPEN | (path.index() as u32) << 1).await?;
        regs.write(LEAKAGE_SELECT, 0x003f_0001).await?;
        let q = leakage(regs.read(LEAKAGE).await?, 0x003e_0000);
        let i = leakage(regs.read(LEAKAGE).await?, 0x0000_003e);
        self.write_rf(path, rf::DTXLOK, 0x0_7c00, i).await?;
        self.write_rf(path, rf::DTXLOK, 0xf_8000, q).await?;
        Ok(true)
    }

    /// Runs `command` until it finds something, at most [`ATTEMPTS`] times. `front_end` says on which band's front end
    /// a receiver listens to itself.
    async fn shoot(&self, path: Path, command: u32, front_end: Option<Band>) -> Result<bool, Error> {
        let regs = &self.regs;
        for _ in 0..ATTEMPTS {
            regs.set_field(bb::FAS, CLOCK_SOURCE, path.index() as u32).await?;
            if front_end == Some(Band::Ghz2) {
                self.loop_back(path).await?;
            }
            regs.write(COMMAND, command).await?;
            if !self.sequencer_done(Duration::from_millis(10), 20).await? {
                self.reset_sequencer().await?;
            } else if regs.read(RESULT).await? & FAILED == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// At 2.4 GHz a path's receiver hears its own transmitter over the front end.
    async fn loop_back(&self, path: Path) -> Result<(), Error> {
        const TABLE_DEBUG: RfReg = rf::LUTDBG;
        self.write_rf(path, TABLE_DEBUG, 1 << 11, 1).await?;
        self.write_rf(path, rf::GAINTX, RF_MASK, 0x5_1ce1).await?;
        match path {
            Path::A | Path::B => self.regs.write(bb::RFE_PINMUX_B, 0x5477_5477).await,
            Path::C => self.regs.write(more::RFE_PINMUX_C, 0x5477_5477).await,
            Path::D => {
                self.regs.write(bb::RFE_INVSEL_D, 0x7540_0000).await?;
                self.regs.write(bb::RFE_PINMUX_D, 0x7777_7777).await
            }
        }
    }

    async fn balance_receiver(
        &self,
        path: Path,
        band: Band,
        width: u32,
        transmitter: Option<u32>,
    ) -> Result<bool, Error> {
        let regs = &self.regs;
        let found = self.shoot(path, command(path, 9 - width), Some(band)).await?;
        regs.write(COMMAND, OPEN | (path.index() as u32) << 1).await?;
        if found {
            regs.write(RX_CORRECTION, 0x2000_0000).await?;
            let correction = regs.read(RX_CORRECTION).await?;
            tracing::debug!(?path, transmitter, correction, "path balanced");
        }
        let applied = APPLIED[path.index()];
        match transmitter {
            Some(correction) => regs.write(TX_CORRECTION, correction).await?,
            None => regs.set_field(applied, 1, 0).await?,
        }
        if !found {
            regs.set_field(applied, 0xc00, 0).await?;
        }
        if band == Band::Ghz2 {
            self.write_rf(path, rf::LUTDBG, 1 << 11, 0).await?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leakage_is_turned_round() {
        // 0x10 is no leakage: 0 after the inversion of the uppermost bit.
        assert_eq!(leakage(0x10 << 1, 0x3e), 0);
        assert_eq!(leakage(0x11 << 1, 0x3e), 0x10);
        assert_eq!(leakage(0x00, 0x3e), 0x01);
        assert_eq!(leakage(0x1e << 17 | 0x3e, 0x003e_0000), 0b01110);
    }

    #[test]
    fn commands_name_path_and_purpose() {
        assert_eq!(command(Path::A, 0), 0xf800_0011);
        assert_eq!(command(Path::D, 0), 0xf800_0081);
        assert_eq!(command(Path::C, 5), 0xf800_0541);
    }
}
