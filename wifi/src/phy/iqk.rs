//! I/Q calibration: finds, for each path, the correction that makes the two branches of transmitter and
//! receiver mirror each other.
//!
//! The chip sends itself a tone and measures; one shot gives one pair (x, y) a path. Shots are repeated until two
//! agree ([`agree`]), first for the transmitter, then, with its solution set, for the receiver. A path that
//! finds none gets neutral values. [`calibrate`](super::calibrate) is around this.
//!
//! Facts: rtw88 `rtw8812a.c`, `rtw8812a_iqk`, `rtw8812a_iqk_tx_fill`, `rtw8812a_iqk_rx_fill`; `rtw88xxa.c`,
//! `rtw88xxa_iqk_finish`.

use std::time::Duration;

use airlift_regs::rf::{self, RfReg};
use airlift_regs::{Reg, bb};

use super::Phy;
use super::rf::{Path, RF_MASK};
use crate::channel::Band;
use crate::error::Error;

/// The calibration registers of one path. Those from `tx_tone` on show only on page C1.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathRegs {
    pub(super) path: Path,
    pub(super) afe_power: [Reg<u32>; 2],
    pub(super) wait: Reg<u32>,
    pub(super) three_wire: Reg<u32>,
    pub(super) clock: Reg<u32>,
    pub(super) gain_index: Reg<u32>,
    pub(super) pins: Reg<u32>,
    pub(super) inverted: Reg<u32>,
    pub(super) end: Reg<u32>,
    pub(super) rx_correction: Reg<u32>,
    pub(super) tx_tone: Reg<u32>,
    pub(super) rx_tone: Reg<u32>,
    pub(super) tx_mode: Reg<u32>,
    pub(super) rx_mode: Reg<u32>,
    pub(super) control: Reg<u32>,
    pub(super) interpolation: Reg<u32>,
    pub(super) predistortion: Reg<u32>,
    pub(super) dpd: Reg<u32>,
    pub(super) pmpd: Reg<u32>,
    pub(super) tx_y: Reg<u32>,
    pub(super) tx_x: Reg<u32>,
    /// Receiver mode of a shot where the board's front end is not option 1.
    pub(super) rx_shot: u32,
}

/// Path A, path B.
pub(super) const PATHS: [PathRegs; 2] = [
    PathRegs {
        path: Path::A,
        afe_power: [bb::AFE_PWR1_A, bb::AFE_PWR2_A],
        wait: bb::RX_WAIT_CCA_TX_CCK_RFON_A,
        three_wire: bb::HSSI_3WIRE_A,
        clock: bb::CK_MONHA,
        gain_index: bb::TXAGCIDX,
        pins: bb::RFE_PINMUX_A,
        inverted: bb::RFE_INV_A,
        end: bb::IQKA_END,
        rx_correction: bb::RX_IQC_AB_A,
        tx_tone: bb::OFDM0_XA_TX_IQ_IMBALANCE,
        rx_tone: bb::OFDM0_A_TX_AFE,
        tx_mode: bb::OFDM0_XB_TX_IQ_IMBALANCE,
        rx_mode: bb::TSSI_TRK_SW,
        control: bb::RFECTL_A,
        interpolation: bb::INTPO_SETA,
        predistortion: bb::PREDISTA,
        dpd: bb::IQK_DPD_CFG,
        pmpd: bb::CFG_PMPD,
        tx_y: bb::IQC_Y,
        tx_x: bb::IQC_X,
        rx_shot: 0x2816_0cc0,
    },
    PathRegs {
        path: Path::B,
        afe_power: [bb::AFE_PWR1_B, bb::AFE_PWR2_B],
        wait: bb::RX_WAIT_CCA_TX_CCK_RFON_B,
        three_wire: bb::HSSI_3WIRE_B,
        clock: bb::CK_MONHB,
        gain_index: bb::INIDLYB,
        pins: bb::RFE_PINMUX_B,
        inverted: bb::RFE_INV_B,
        end: bb::IQKB_END,
        rx_correction: bb::RX_IQC_AB_B,
        tx_tone: bb::TXTONEB,
        rx_tone: bb::RXTONEB,
        tx_mode: bb::TXPITMB,
        rx_mode: bb::RXPITMB,
        control: bb::RFECTL_B,
        interpolation: bb::INTPO_SETB,
        predistortion: bb::PREDISTB,
        dpd: bb::BPBDB,
        pmpd: bb::PHYTXONB,
        tx_y: bb::IQKYB,
        tx_x: bb::IQKXB,
        rx_shot: 0x2816_0ca0,
    },
];

/// Receiver mode of a shot where the board's front end is option 1.
const RX_SHOT_OPTION_1: u32 = 0x2816_1500;
/// Receiver mode between shots.
const RX_IDLE: u32 = 0x3c00_0000;

/// Bits of a path's result register.
pub(super) mod end {
    /// The shot is done.
    pub(in crate::phy) const DONE: u32 = 1 << 10;
    /// The receiver's shot failed.
    pub(in crate::phy) const RX_FAILED: u32 = 1 << 11;
    /// The transmitter's shot failed.
    pub(in crate::phy) const TX_FAILED: u32 = 1 << 12;
    /// The value that the control register has chosen.
    pub(in crate::phy) const VALUE: u32 = 0x07ff_0000;
}

/// Attempts that a path has, failed shots and good ones together.
const ATTEMPTS: usize = 10;
/// Looks at the done bits after a shot, 1 ms apart.
const LOOKS: u32 = 20;

/// An 11-bit two's complement as the result register gives it.
pub(super) fn signed(value: u32) -> i32 {
    (value << 21) as i32 >> 21
}

/// What one path has measured in one direction.
#[derive(Debug, Default)]
struct Search {
    samples: Vec<(i32, i32)>,
    failures: usize,
    solution: Option<(i32, i32)>,
}

impl Search {
    fn spent(&self) -> bool {
        self.failures + self.samples.len() >= ATTEMPTS
    }

    /// Looks for two samples that agree, once there are two.
    fn conclude(&mut self, first_partner: bool) {
        if self.samples.len() >= 2 {
            self.solution = agree(&self.samples, first_partner);
        }
    }
}

/// The mean of two samples that lie less than 4 apart in both values. Of several such pairs it is that of the
/// latest first sample, with its last partner, or with its first one if `first_partner`.
fn agree(samples: &[(i32, i32)], first_partner: bool) -> Option<(i32, i32)> {
    let mut mean = None;
    for (n, a) in samples.iter().enumerate() {
        for b in &samples[n + 1..] {
            if a.0.abs_diff(b.0) < 4 && a.1.abs_diff(b.1) < 4 {
                mean = Some(((a.0 + b.0) / 2, (a.1 + b.1) / 2));
                if first_partner {
                    break;
                }
            }
        }
    }
    mean
}

/// What the receiver's correction takes: half of each value, or neutral ones where they are out of range.
fn rx_correction((x, y): (i32, i32)) -> (u32, u32) {
    let (x, y) = (x as u32 >> 1, y as u32 >> 1);
    if x >= 0x112 || (0x12..=0x3ee).contains(&y) { (0x100, 0) } else { (x, y) }
}

impl Phy {
    /// Calibrates both paths. `Some` text says which path found no solution in which direction.
    pub(super) async fn calibrate_iq(&self, band: Band) -> Result<Option<String>, Error> {
        self.prepare(band).await?;
        // A path's done bit is looked at only while the path has no solution; what it told last counts then.
        let mut done = [false; 2];
        let tx = self.search_tx(&mut done).await?;
        self.turn_to_receivers(&tx).await?;
        let rx = self.search_rx(&tx, &mut done).await?;

        let mut missing = Vec::new();
        for (regs, (tx, rx)) in PATHS.iter().zip(tx.iter().zip(&rx)) {
            let used = regs.path.index() < usize::from(self.board.chains);
            for (search, direction) in [(tx, "transmitter"), (rx, "receiver")] {
                if used && search.solution.is_none() {
                    missing.push(format!("the {direction} of path {:?}", regs.path));
                }
            }
            self.fill_tx(regs, tx.solution.unwrap_or((0x200, 0))).await?;
            self.fill_rx(regs, rx.solution.unwrap_or((0x200, 0))).await?;
        }
        Ok((!missing.is_empty()).then(|| format!("no I/Q solution for {}", missing.join(", "))))
    }

    pub(super) async fn rf_rows(&self, path: Path, rows: &[(RfReg, u32)]) -> Result<(), Error> {
        for (reg, value) in rows {
            self.write_rf(path, *reg, RF_MASK, *value).await?;
        }
        Ok(())
    }

    /// Converters on, radios into loop-back, tones chosen.
    async fn prepare(&self, band: Band) -> Result<(), Error> {
        let regs = &self.regs;
        self.show_page_c1(false).await?;
        for path in PATHS {
            for power in path.afe_power {
                regs.write(power, 0x7777_7777).await?;
            }
        }
        for path in PATHS {
            regs.write(path.wait, 0x1979_1979).await?;
        }
        for path in PATHS {
            regs.set_field(path.three_wire, 0xf, 4).await?;
        }
        for path in PATHS {
            regs.set_field(path.clock, 0x0700_0000, 7).await?;
        }
        self.show_page_c1(false).await?;
        for path in PATHS {
            let rows = [
                (rf::LUTWE, 0x80002),
                (rf::MODE_TABLE_ADDR, 0x20000),
                (rf::MODE_TABLE_DATA0, 0x3fffd),
                (rf::MODE_TABLE_DATA1, 0xfe83f),
                (rf::TXA_PREPAD, 0x931d5),
                (rf::RXBB2, 0x8a001),
            ];
            self.rf_rows(path.path, &rows).await?;
        }
        regs.write(bb::DAC_RSTB, 0x8000).await?;
        for path in PATHS {
            regs.set_field(path.gain_index, 1, 1).await?;
        }
        regs.write(bb::IQK_COM00, 0x2900_2000).await?;
        regs.write(bb::IQK_COM32, 0xa900_2000).await?;
        regs.write(bb::IQK_COM96, 0x0046_2910).await?;
        self.show_page_c1(true).await?;

        let efuse = &self.board.efuse;
        let tx_mode = match (efuse.front_end.ext_pa_5g, efuse.rfe_option) {
            (false, _) => 0x8214_03f1,
            (true, 1) => 0x8214_03e3,
            (true, _) => 0x8214_03f7,
        };
        for path in PATHS {
            regs.write(path.tx_mode, tx_mode).await?;
        }
        let rx_mode = match band {
            Band::Ghz5 => 0x6816_3e96,
            Band::Ghz2 => 0x2816_3e96,
        };
        for path in PATHS {
            regs.write(path.rx_mode, rx_mode).await?;
        }
        if band == Band::Ghz2 && efuse.rfe_option == 3 {
            let tx_mode = if efuse.front_end.ext_pa_2g { 0x8214_03e3 } else { 0x8214_03f7 };
            regs.write(PATHS[0].tx_mode, tx_mode).await?;
        }
        for path in PATHS {
            regs.write(path.tx_tone, 0x1800_8c10).await?;
            regs.write(path.rx_tone, 0x3800_8c10).await?;
            regs.write(path.interpolation, 0).await?;
        }
        Ok(())
    }

    pub(super) async fn result(&self, regs: &PathRegs, mask: u32) -> Result<u32, Error> {
        Ok((self.regs.read(regs.end).await? & mask) >> mask.trailing_zeros())
    }

    /// Waits for the paths that are `wanted`; whether all of them are done in time.
    async fn wait_for_shots(&self, wanted: [bool; 2], done: &mut [bool; 2]) -> Result<bool, Error> {
        for _ in 0..LOOKS {
            for (n, regs) in PATHS.iter().enumerate() {
                if wanted[n] {
                    done[n] = self.result(regs, end::DONE).await? != 0;
                }
            }
            if done[0] && done[1] {
                return Ok(true);
            }
            self.regs.delay(Duration::from_millis(1)).await?;
        }
        Ok(false)
    }

    /// Takes the pair that the control words `x` and `y` choose.
    async fn sample(&self, regs: &PathRegs, x: u32, y: u32) -> Result<(i32, i32), Error> {
        self.regs.write(regs.control, x).await?;
        let first = self.result(regs, end::VALUE).await?;
        self.regs.write(regs.control, y).await?;
        let second = self.result(regs, end::VALUE).await?;
        Ok((signed(first), signed(second)))
    }

    /// Takes one shot's samples. Whether a path has used up its failures.
    async fn take(
        &self,
        searches: &mut [Search; 2],
        may: [bool; 2],
        failed: u32,
        control: [u32; 2],
    ) -> Result<bool, Error> {
        let mut failures = [false; 2];
        for (n, regs) in PATHS.iter().enumerate() {
            failures[n] = self.result(regs, failed).await? != 0;
        }
        for (n, regs) in PATHS.iter().enumerate() {
            if !failures[n] && searches[n].solution.is_none() && may[n] {
                let [x, y] = control;
                let sample = self.sample(regs, x, y).await?;
                searches[n].samples.push(sample);
            } else {
                searches[n].failures += 1;
                if searches[n].failures == ATTEMPTS {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn search_tx(&self, done: &mut [bool; 2]) -> Result<[Search; 2], Error> {
        let regs = &self.regs;
        let mut searches = <[Search; 2]>::default();
        loop {
            for path in PATHS {
                regs.write(path.control, 0x0010_0000).await?;
            }
            regs.write(bb::IQK_COM64, 0xfa00_0000).await?;
            regs.write(bb::IQK_COM64, 0xf800_0000).await?;
            regs.delay(Duration::from_millis(10)).await?;
            for path in PATHS {
                regs.write(path.control, 0).await?;
            }
            let open = [0, 1].map(|n: usize| searches[n].solution.is_none());
            let exhausted = if self.wait_for_shots(open, done).await? {
                self.take(&mut searches, [true; 2], end::TX_FAILED, [0x0200_0000, 0x0400_0000]).await?
            } else {
                miss(&mut searches)
            };
            if exhausted {
                return Ok(searches);
            }
            searches.iter_mut().for_each(|search| search.conclude(false));
            if searches.iter().all(|search| search.solution.is_some()) || searches.iter().any(Search::spent) {
                return Ok(searches);
            }
        }
    }

    /// Stores the transmitters' local-oscillator leakage and sets radios and front end for the receivers.
    async fn turn_to_receivers(&self, tx: &[Search; 2]) -> Result<(), Error> {
        let regs = &self.regs;
        self.show_page_c1(false).await?;
        for path in PATHS {
            let leakage = self.read_rf(path.path, rf::DTXLOK, 0xffc00).await?;
            self.write_rf(path.path, rf::TXMOD, 0x7fe00, leakage).await?;
        }
        self.show_page_c1(true).await?;
        self.show_page_c1(false).await?;
        let solved = |n: usize| tx[n].solution.is_some();
        for (n, path) in PATHS.iter().enumerate().filter(|(n, _)| solved(*n)) {
            tracing::debug!(path = ?path.path, solution = ?tx[n].solution, "transmitter balanced");
            let rows = [
                (rf::LUTWE, 0x80000),
                (rf::MODE_TABLE_ADDR, 0x30000),
                (rf::MODE_TABLE_DATA0, 0x3f7ff),
                (rf::MODE_TABLE_DATA1, 0xfe7bf),
                (rf::RXBB2, 0x88001),
                (rf::TXA_PREPAD, 0x931d1),
                (rf::LUTWE, 0x00000),
            ];
            self.rf_rows(path.path, &rows).await?;
        }
        regs.set_field(bb::IQK_COM00, 1 << 31, 1).await?;
        regs.set_field(bb::IQK_COM00, 1 << 31, 0).await?;
        regs.write(bb::DAC_RSTB, 0x8000).await?;
        regs.write(bb::IQK_COM96, 0x0046_a890).await?;
        let inverted = if self.board.efuse.rfe_option == 1 { 0x77 } else { 0x0200_0077 };
        for path in PATHS {
            regs.write(path.pins, 0x7777_7717).await?;
            regs.write(path.inverted, inverted).await?;
        }
        self.show_page_c1(true).await?;
        for (_, path) in PATHS.iter().enumerate().filter(|(n, _)| solved(*n)) {
            regs.write(path.tx_tone, 0x3800_8c10).await?;
            regs.write(path.rx_tone, 0x1800_8c10).await?;
            regs.write(path.tx_mode, 0x8214_0119).await?;
        }
        Ok(())
    }

    /// One receiver shot of a path whose transmitter has the solution `(x, y)`.
    async fn shoot_rx(&self, path: &PathRegs, (x, y): (i32, i32)) -> Result<(), Error> {
        let regs = &self.regs;
        regs.set_field(bb::IQK_COM00, 0x03ff_8000, x as u32 & 0x7ff).await?;
        regs.set_field(bb::IQK_COM00, 0x0000_07ff, y as u32 & 0x7ff).await?;
        self.show_page_c1(true).await?;
        let shot = if self.board.efuse.rfe_option == 1 { RX_SHOT_OPTION_1 } else { path.rx_shot };
        regs.write(path.rx_mode, shot).await?;
        regs.write(path.control, 0x0030_0000).await?;
        regs.write(path.control, 0x0010_0000).await?;
        regs.delay(Duration::from_millis(5)).await?;
        regs.write(path.rx_mode, RX_IDLE).await?;
        regs.write(path.control, 0).await
    }

    async fn search_rx(&self, tx: &[Search; 2], done: &mut [bool; 2]) -> Result<[Search; 2], Error> {
        let mut searches = <[Search; 2]>::default();
        let possible = [0, 1].map(|n: usize| tx[n].solution.is_some());
        loop {
            self.show_page_c1(false).await?;
            for (n, path) in PATHS.iter().enumerate() {
                if let Some(solution) = tx[n].solution {
                    if n > 0 {
                        self.show_page_c1(false).await?;
                    }
                    self.shoot_rx(path, solution).await?;
                }
            }
            let open = [0, 1].map(|n: usize| searches[n].solution.is_none() && possible[n]);
            let exhausted = if self.wait_for_shots(open, done).await? {
                self.take(&mut searches, possible, end::RX_FAILED, [0x0600_0000, 0x0800_0000]).await?
            } else {
                miss(&mut searches)
            };
            if exhausted {
                return Ok(searches);
            }
            searches.iter_mut().for_each(|search| search.conclude(true));
            let settled = (0..2).all(|n| searches[n].solution.is_some() || !possible[n]);
            if settled || searches.iter().any(|search| search.spent() || search.samples.len() == 3) {
                return Ok(searches);
            }
        }
    }

    async fn fill_tx(&self, path: &PathRegs, (x, y): (i32, i32)) -> Result<(), Error> {
        let regs = &self.regs;
        self.show_page_c1(true).await?;
        regs.set_field(path.predistortion, 1 << 7, 1).await?;
        regs.set_field(path.dpd, 1 << 18, 1).await?;
        regs.set_field(path.dpd, 1 << 29, 1).await?;
        regs.set_field(path.pmpd, 1 << 29, 1).await?;
        regs.set_field(path.tx_y, 0x7ff, y as u32).await?;
        regs.set_field(path.tx_x, 0x7ff, x as u32).await
    }

    async fn fill_rx(&self, path: &PathRegs, solution: (i32, i32)) -> Result<(), Error> {
        let (x, y) = rx_correction(solution);
        self.show_page_c1(false).await?;
        self.regs.set_field(path.rx_correction, 0x0000_03ff, x).await?;
        self.regs.set_field(path.rx_correction, 0x03ff_0000, y).await
    }
}

/// Counts a shot that was not done in time against both paths. Whether path A has used up its failures.
fn miss(searches: &mut [Search; 2]) -> bool {
    searches.iter_mut().for_each(|search| search.failures += 1);
    searches[0].failures == ATTEMPTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_samples_that_agree_give_their_mean() {
        assert_eq!(agree(&[(100, -20), (200, 7), (103, -23)], false), Some((101, -21)));
        assert_eq!(agree(&[(100, 0), (104, 0)], false), None);
        assert_eq!(agree(&[(100, 0), (103, 4)], false), None);
        assert_eq!(agree(&[(1, 1)], false), None);
    }

    #[test]
    fn of_several_partners_the_first_or_the_last_counts() {
        let samples = [(10, 0), (12, 0), (8, 0)];
        assert_eq!(agree(&samples, false), Some((9, 0)));
        assert_eq!(agree(&samples, true), Some((11, 0)));
    }

    #[test]
    fn eleven_bits_are_signed() {
        assert_eq!((signed(0x3ff), signed(0x400), signed(0x7ff)), (1023, -1024, -1));
    }

    #[test]
    fn a_receiver_value_out_of_range_becomes_neutral() {
        assert_eq!(rx_correction((0x200, 0x10)), (0x100, 8));
        assert_eq!(rx_correction((0x224, 0)), (0x100, 0));
        assert_eq!(rx_correction((-2, 0)), (0x100, 0));
        assert_eq!(rx_correction((0x200, 0x24)), (0x100, 0));
        let (_, y) = rx_correction((0x200, -4));
        assert_eq!(y & 0x3ff, 0x3fe);
    }
}
