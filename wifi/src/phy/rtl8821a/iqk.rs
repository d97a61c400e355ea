//! I/Q calibration of the RTL8821A: three rounds, each a pair (x, y) of the transmitter and one of the receiver; what
//! two rounds agree on is filled in.
//!
//! A round tunes the local oscillator's leakage away, measures the transmitter with a tone (at 80 MHz with two tones
//! first, from which the path's delay follows), sets what it found, and measures the receiver. There is no LC
//! calibration on this chip.
//!
//! Mainline looks at the transmitter's "done" and "failed" bits and goes on whatever they say; they are not looked at
//! here.
//!
//! Facts: rtw88 `rtw8821a.c`, `rtw8821a_iqk` and what it calls; `rtw88xxa.c`, `rtw88xxa_iqk_finish`.

use std::time::Duration;

use airlift_regs::bb;
use airlift_regs::rf::{self, RfReg};

use super::super::Phy;
use super::super::iqk::{PATHS, PathRegs, end, signed};
use super::super::rf::{Path, RF_MASK};
use super::super::tune::cfgch;
use crate::channel::{Band, Channel, Width};
use crate::error::{Error, ErrorKind};

/// MAC and baseband registers that calibration changes, in the order of being put back.
const MAC_BB: [u16; 8] = [0x520, 0x550, 0x808, 0xa04, 0x90c, 0xc00, 0x838, 0x82c];
/// Converter registers, likewise.
const AFE: [u16; 4] = [0xc5c, 0xc60, 0xc64, 0xc68];
/// RF registers, likewise.
const RF: [RfReg; 3] = [rf::TXA_PREPAD, rf::RXBB2, rf::MODE];

const ROUNDS: usize = 3;
/// Shots that the receiver has in a round.
const ATTEMPTS: usize = 10;
const SHOT: Duration = Duration::from_millis(10);

/// A measured pair.
type Pair = (i32, i32);

impl Phy {
    /// Calibrates the only path for `channel`. Registers are put back whatever comes of it.
    ///
    /// # Errors
    /// [`ErrorKind::Calibration`] if rounds do not agree (neutral values are filled in); transfer errors.
    pub(super) async fn calibrate_8821a(&self, channel: Channel) -> Result<(), Error> {
        // Two pages of registers share their addresses from here on.
        self.regs.bypass_shadow(true);
        self.show_page_c1(false).await?;
        let mac_bb = self.read_all(&MAC_BB).await?;
        let afe = self.read_all(&AFE).await?;
        let mut radio = Vec::with_capacity(RF.len());
        for reg in RF {
            radio.push(self.read_rf(Path::A, reg, RF_MASK).await?);
        }
        self.stop_traffic().await?;
        let missing = self.balance(channel).await;

        self.show_page_c1(false).await?;
        for (reg, value) in RF.into_iter().zip(radio) {
            self.write_rf(Path::A, reg, RF_MASK, value).await?;
        }
        self.put_back_converter(&afe).await?;
        self.show_page_c1(false).await?;
        self.write_all(&MAC_BB, &mac_bb).await?;
        self.regs.barrier().await?;
        self.regs.bypass_shadow(false);
        match missing? {
            None => Ok(()),
            Some(direction) => {
                let what = format!("no I/Q solution for the {direction}");
                Err(self.regs.error(ErrorKind::Calibration(what)))
            }
        }
    }

    /// The rounds, and filling in. Tells which direction has no solution.
    async fn balance(&self, channel: Channel) -> Result<Option<&'static str>, Error> {
        let (mut transmitter, mut receiver) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            self.calibrate_leakage(channel).await?;
            self.prepare_transmitter(channel.band()).await?;
            let tx = match channel.width() {
                Width::Mhz80 => self.measure_delayed().await?,
                _ => {
                    self.tones(0x10).await?;
                    self.one_shot().await?;
                    self.pair(TX).await?
                }
            };
            transmitter.push(tx);
            self.prepare_receiver(tx).await?;
            receiver.extend(self.measure_receiver().await?);
        }
        let (tx, rx) = (agreed(&transmitter, 3), agreed(&receiver, 4));
        tracing::debug!(?tx, ?rx, "balanced");
        self.fill_transmitter(tx.unwrap_or(NEUTRAL)).await?;
        if !receiver.is_empty() {
            self.fill_receiver(rx.unwrap_or(NEUTRAL)).await?;
        }
        Ok(match (tx, rx) {
            (None, _) => Some("transmitter"),
            (_, None) => Some("receiver"),
            _ => None,
        })
    }

    /// The radio's mode table: its address, its two words.
    async fn mode_table(&self, address: u32, words: [u32; 2]) -> Result<(), Error> {
        self.rf_rows(
            Path::A,
            &[
                (rf::MODE_TABLE_ADDR, address),
                (rf::MODE_TABLE_DATA0, words[0]),
                (rf::MODE_TABLE_DATA1, words[1]),
            ],
        )
        .await
    }

    async fn common(&self, gain_control: u32) -> Result<(), Error> {
        let regs = &self.regs;
        regs.write(bb::DAC_RSTB, 0x8000).await?;
        regs.set_field(A.gain_index, 1, 1).await?;
        regs.write(bb::IQK_COM00, 0x2900_2000).await?;
        regs.write(bb::IQK_COM32, 0xa900_2000).await?;
        regs.write(bb::IQK_COM96, gain_control).await?;
        self.show_page_c1(true).await
    }

    async fn tones(&self, frequency: u32) -> Result<(), Error> {
        self.regs.write(A.tx_tone, 0x1800_8c00 | frequency).await?;
        self.regs.write(A.rx_tone, 0x3800_8c00 | frequency).await
    }

    /// Converter on, radio into loop-back at 20 MHz, one shot; the leakage that it found is kept by the radio.
    async fn calibrate_leakage(&self, channel: Channel) -> Result<(), Error> {
        let regs = &self.regs;
        self.show_page_c1(false).await?;
        for power in A.afe_power {
            regs.write(power, 0x7777_7777).await?;
        }
        regs.write(A.wait, 0x1979_1979).await?;
        regs.set_field(A.three_wire, 0xf, 4).await?;
        regs.set_field(A.clock, 0x0700_0000, 7).await?;
        self.write_rf(Path::A, rf::LUTWE, RF_MASK, 0x80002).await?;
        self.write_rf(Path::A, rf::CFGCH, cfgch::WIDTH, 3).await?;
        self.mode_table(0x20000, [0x0003f, 0xf3fc3]).await?;
        self.rf_rows(Path::A, &[(rf::TXA_PREPAD, 0x931d5), (rf::RXBB2, 0x8a001)]).await?;
        self.common(0x0046_2910).await?;
        let amplified = self.board.efuse.front_end.ext_pa_5g;
        regs.write(A.tx_mode, if amplified { 0x8214_03f7 } else { 0x8214_03f4 }).await?;
        regs.write(A.rx_mode, band_mode(channel.band(), 0x2816_3e96)).await?;
        self.tones(0x10).await?;
        self.one_shot().await?;

        self.show_page_c1(false).await?;
        let leakage = self.read_rf(Path::A, rf::DTXLOK, 0xffc00).await?;
        self.write_rf(Path::A, rf::TXMOD, 0x7fe00, leakage).await?;
        match channel.width() {
            Width::Mhz20 => Ok(()),
            Width::Mhz40 => self.write_rf(Path::A, rf::CFGCH, cfgch::WIDTH, 1).await,
            Width::Mhz80 => self.write_rf(Path::A, rf::CFGCH, cfgch::WIDTH, 0).await,
        }
    }

    async fn prepare_transmitter(&self, band: Band) -> Result<(), Error> {
        self.show_page_c1(false).await?;
        self.write_rf(Path::A, rf::LUTWE, RF_MASK, 0x80000).await?;
        self.mode_table(0x20000, [0x0003f, 0xf3fc3]).await?;
        let rows = [(rf::TXA_PREPAD, 0x931d5), (rf::RXBB2, 0x8a001), (rf::LUTWE, 0)];
        self.rf_rows(Path::A, &rows).await?;
        self.common(0x0046_a910).await?;
        let amplified = self.board.efuse.front_end.ext_pa_5g;
        self.regs.write(A.tx_mode, if amplified { 0x8214_03f7 } else { 0x8214_03e3 }).await?;
        self.regs.write(A.rx_mode, band_mode(band, 0x0016_3e96)).await
    }

    async fn prepare_receiver(&self, (x, y): Pair) -> Result<(), Error> {
        let regs = &self.regs;
        self.show_page_c1(false).await?;
        self.write_rf(Path::A, rf::LUTWE, RF_MASK, 0x80000).await?;
        self.mode_table(0x30000, [0x0002f, 0xfffbb]).await?;
        let rows = [(rf::RXBB2, 0x88001), (rf::TXA_PREPAD, 0x931d8), (rf::LUTWE, 0)];
        self.rf_rows(Path::A, &rows).await?;
        regs.set_field(bb::IQK_COM00, 0x03ff_8000, x as u32 & 0x7ff).await?;
        regs.set_field(bb::IQK_COM00, 0x0000_07ff, y as u32 & 0x7ff).await?;
        regs.set_field(bb::IQK_COM00, 1 << 31, 1).await?;
        regs.set_field(bb::IQK_COM00, 1 << 31, 0).await?;
        regs.write(bb::DAC_RSTB, 0x8000).await?;
        regs.write(bb::IQK_COM96, 0x0046_a911).await?;
        self.show_page_c1(true).await?;
        regs.write(A.tx_tone, 0x3800_8c10).await?;
        regs.write(A.rx_tone, 0x1800_8c10).await?;
        regs.write(A.tx_mode, 0x0214_0119).await?;
        regs.write(A.rx_mode, 0x2816_0d00).await
    }

    /// One shot, until its results can be read.
    async fn one_shot(&self) -> Result<(), Error> {
        self.regs.write(A.control, 0x0010_0000).await?;
        self.release_shot().await
    }

    async fn release_shot(&self) -> Result<(), Error> {
        let regs = &self.regs;
        regs.write(bb::IQK_COM64, 0xfa00_0000).await?;
        regs.write(bb::IQK_COM64, 0xf800_0000).await?;
        regs.delay(SHOT).await?;
        regs.write(A.control, 0).await
    }

    /// The pair that the control words choose.
    async fn pair(&self, words: [u32; 2]) -> Result<Pair, Error> {
        let mut values = [0; 2];
        for (value, word) in values.iter_mut().zip(words) {
            self.regs.write(A.control, word).await?;
            *value = signed(self.result(A, end::VALUE).await?);
        }
        Ok((values[0], values[1]))
    }

    /// The transmitter at 80 MHz: two tones tell the path's delay, with which the third shot counts.
    async fn measure_delayed(&self) -> Result<Pair, Error> {
        let regs = &self.regs;
        self.tones(0x38).await?;
        regs.set_field(A.interpolation, 1 << 31, 0).await?;
        self.one_shot().await?;
        let (_, first) = self.pair(TX).await?;
        regs.set_field(A.tx_tone, 1 << 28, 0).await?;
        regs.set_field(A.rx_tone, 1 << 28, 0).await?;
        regs.set_field(A.interpolation, 1 << 31, 0).await?;
        self.one_shot().await?;
        let (_, second) = self.pair(TX).await?;
        self.tones(0x20).await?;
        regs.set_field(A.interpolation, 1 << 31, 1).await?;
        regs.set_field(A.interpolation, 0x3fff_0000, delay(first, second)).await?;
        self.one_shot().await?;
        self.pair(TX).await
    }

    /// The receiver's pair; `None` if all its shots failed.
    async fn measure_receiver(&self) -> Result<Option<Pair>, Error> {
        self.regs.write(A.control, 0x0010_0000).await?;
        for _ in 0..ATTEMPTS {
            self.release_shot().await?;
            if self.result(A, end::RX_FAILED).await? == 0 {
                return self.pair(RX).await.map(Some);
            }
            self.regs.set_field(A.rx_correction, 0x0000_03ff, 0x100).await?;
            self.regs.set_field(A.rx_correction, 0x03ff_0000, 0).await?;
        }
        Ok(None)
    }

    async fn fill_transmitter(&self, (x, y): Pair) -> Result<(), Error> {
        self.show_page_c1(true).await?;
        self.enable_corrections().await?;
        self.regs.set_field(A.tx_y, 0x7ff, y as u32).await?;
        self.regs.set_field(A.tx_x, 0x7ff, x as u32).await
    }

    async fn fill_receiver(&self, (x, y): Pair) -> Result<(), Error> {
        self.show_page_c1(false).await?;
        self.regs.set_field(A.rx_correction, 0x0000_03ff, x as u32 >> 1).await?;
        self.regs.set_field(A.rx_correction, 0x03ff_0000, y as u32 >> 1 & 0x3ff).await
    }

    async fn enable_corrections(&self) -> Result<(), Error> {
        self.regs.write(A.predistortion, 0x0000_0080).await?;
        self.regs.write(A.dpd, 0x2004_0000).await?;
        self.regs.write(A.pmpd, 0x2000_0000).await
    }

    async fn put_back_converter(&self, afe: &[u32]) -> Result<(), Error> {
        let regs = &self.regs;
        self.show_page_c1(false).await?;
        self.write_all(&AFE, afe).await?;
        self.show_page_c1(true).await?;
        regs.write(A.tx_tone, 0).await?;
        regs.write(A.rx_tone, 0).await?;
        regs.write(A.tx_mode, 0).await?;
        regs.write(A.rx_mode, 0x3c00_0000).await?;
        self.enable_corrections().await?;
        regs.write(A.gain_index, 0).await?;
        regs.write(A.control, 0).await
    }
}

/// The only path.
const A: &PathRegs = &PATHS[0];
/// Control words that choose the transmitter's x and y.
const TX: [u32; 2] = [0x0200_0000, 0x0400_0000];
/// Control words that choose the receiver's.
const RX: [u32; 2] = [0x0600_0000, 0x0800_0000];
/// What corrects nothing.
const NEUTRAL: Pair = (0x200, 0);

/// Receiver mode of a shot; at 5 GHz bit 30 is set in it.
fn band_mode(band: Band, mode: u32) -> u32 {
    match band {
        Band::Ghz2 => mode,
        Band::Ghz5 => mode | 1 << 30,
    }
}

/// The interpolation filter's delay from the second values of two tones, in the field's 14 bits.
fn delay(first: i32, second: i32) -> u32 {
    let angle = (second - first) * 2;
    let delay = 16 * angle * 10_000 / 15_708;
    ((delay >> 1) + (delay & 1)) as u32 & 0x3fff
}

/// The mean of the first two samples that lie less than `threshold` apart in both values.
fn agreed(samples: &[Pair], threshold: u32) -> Option<Pair> {
    samples.iter().enumerate().find_map(|(n, a)| {
        let partner = |b: &&Pair| a.0.abs_diff(b.0) < threshold && a.1.abs_diff(b.1) < threshold;
        let b = samples[n + 1..].iter().find(partner)?;
        Some(((a.0 + b.0) / 2, (a.1 + b.1) / 2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_samples_that_agree_give_their_mean() {
        assert_eq!(agreed(&[(100, -20), (200, 7), (102, -21)], 3), Some((101, -20)));
        assert_eq!(agreed(&[(0, 0), (2, 0), (1, 0)], 3), Some((1, 0)));
        assert_eq!(agreed(&[(0, 0), (3, 0), (0, 3)], 3), None);
        assert_eq!(agreed(&[(1, 1)], 3), None);
    }

    #[test]
    fn the_delay_is_rounded_in_14_bits() {
        assert_eq!(delay(0, 0), 0);
        assert_eq!(delay(0, 100), 1019);
        assert_eq!(delay(100, 0), 0x4000 - 1018);
        for first in [-1024, 1023] {
            assert!(delay(first, -first) <= 0x3fff);
        }
    }
}
