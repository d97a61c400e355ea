//! [`PhyStatus`]: the PHY's report between descriptor and packet, from which the signal is worked out.
//!
//! The 8812A, 8821A and 8814A share its layout ("jaguar"). Single-carrier (CCK) frames are received on chain A
//! alone, and report the gain of the low-noise and the variable-gain amplifier; OFDM frames report a power a
//! chain.
//!
//! Sources: rtw88 `rtw88xxa.h` (layout), `rtw88xxa.c`, `rtw88xxa_query_phy_status`; `rtw8812a.c`,
//! `rtw8812a_cck_rx_pwr`; `rtw8821a.c`, `rtw8821a_cck_rx_pwr`. The CCK report format (`cck_high_power`, from
//! CCK_RPT_FORMAT) changes only rtw88's quality figure in percent, not the power in dBm, so it has no place here.

use crate::channel::Width;
use crate::frame::ChainSignals;

/// Bytes that the report takes in a packet: 28 of it, padded to units of 8.
pub(crate) const LEN: usize = 32;

/// What a report says of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    /// The overall signal in dBm.
    pub(crate) overall_dbm: i8,
    /// The signal of each chain.
    pub(crate) chains: ChainSignals,
    /// The bandwidth, on chips whose descriptor does not tell it.
    pub(crate) bandwidth: Option<Width>,
}

/// Reads a chip's report of a CCK or an OFDM frame; the radio has so many chains in use.
pub(crate) type ReadPhyStatus = fn(status: PhyStatus<'_>, cck: bool, chains: usize) -> Report;

/// Power in dBm from the gain indices of the low-noise and the variable-gain amplifier of a CCK frame.
type CckPower = fn(lna: u8, vga: u8) -> i8;

/// A view of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PhyStatus<'a>(&'a [u8]);

impl<'a> PhyStatus<'a> {
    /// The report that `bytes` begin with; `None` if they are fewer than [`LEN`].
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.get(..LEN).map(Self)
    }

    /// The gain of chain A (0) or B (1), 0 to 127: power in dBm plus 110.
    fn gain(self, chain: usize) -> u8 {
        self.0[chain] & 0x7f
    }

    /// The gains of chains A to D.
    fn gains(self) -> [u8; 4] {
        [self.gain(0), self.gain(1), self.0[23] & 0x7f, self.0[24] & 0x7f]
    }

    /// The bandwidth of an OFDM frame: the width that the radio is set to, and the part of it that the frame took.
    fn bandwidth(self) -> Width {
        match (self.0[3] >> 6, self.0[3] >> 2 & 0xf) {
            (1, 0) | (2, 9 | 10) => Width::Mhz40,
            (2, 0) => Width::Mhz80,
            _ => Width::Mhz20,
        }
    }

    /// The low-noise amplifier's gain index of a CCK frame, 0 to 7.
    fn lna(self) -> u8 {
        self.0[5] >> 5
    }

    /// The variable-gain amplifier's gain index of a CCK frame, 0 to 31.
    fn vga(self) -> u8 {
        self.0[5] & 0x1f
    }

    /// The report of the chips with one or two chains: `chains` is how many the radio has, and the strongest of them
    /// is the overall signal.
    fn of_two(self, cck: bool, chains: usize, cck_power: CckPower) -> Report {
        let mut signals = ChainSignals::NONE;
        if cck {
            let power = cck_power(self.lna(), self.vga());
            signals.set(0, power);
            return Report { overall_dbm: power, chains: signals, bandwidth: None };
        }
        let mut overall = MIN_POWER_DBM;
        for chain in 0..chains.min(2) {
            let power = (i16::from(self.gain(chain)) - 110) as i8;
            signals.set(chain, power);
            overall = overall.max(power);
        }
        Report { overall_dbm: overall, chains: signals, bandwidth: None }
    }
}

/// The RTL8812A's report.
pub(crate) fn phy_status_8812a(status: PhyStatus<'_>, cck: bool, chains: usize) -> Report {
    status.of_two(cck, chains, cck_power_8812a)
}

/// The RTL8821A's report.
pub(crate) fn phy_status_8821a(status: PhyStatus<'_>, cck: bool, chains: usize) -> Report {
    status.of_two(cck, chains, cck_power_8821a)
}

/// The RTL8814A's report (rtw88 `rtw8814a.c`, `rtw8814a_query_phy_status`, `rtw8814a_cck_rx_pwr`). Paths A and C may
/// tell unbelievable gains; the second lowest of the four is the overall signal.
pub(crate) fn phy_status_8814a(status: PhyStatus<'_>, cck: bool, chains: usize) -> Report {
    let mut signals = ChainSignals::NONE;
    if cck {
        let power = cck_power_8814a(status.lna(), status.vga());
        signals.set(0, power);
        return Report { overall_dbm: power, chains: signals, bandwidth: Some(Width::Mhz20) };
    }
    let mut powers = status.gains().map(|gain| gain as i8 - 110);
    for (chain, power) in powers.into_iter().enumerate().take(chains) {
        signals.set(chain, power);
    }
    powers.sort_unstable();
    Report { overall_dbm: powers[1], chains: signals, bandwidth: Some(status.bandwidth()) }
}

fn cck_power_8814a(lna: u8, vga: u8) -> i8 {
    let base = match lna {
        7 => -38,
        5 => -28,
        3 => -8,
        2 => -1,
        _ => return 0,
    };
    base - 2 * vga as i8
}

/// No overall signal is reported below this.
const MIN_POWER_DBM: i8 = -120;

/// The RTL8812A's amplifiers.
fn cck_power_8812a(lna: u8, vga: u8) -> i8 {
    let (base, knee) = match lna {
        // The lowest stage saturates at its weakest.
        7 => return -94 + 2 * (27 - vga.min(27) as i8),
        6 => (-42, 2),
        5 => (-36, 7),
        4 => (-30, 7),
        3 => (-18, 7),
        2 => (0, 5),
        1 => (14, 0),
        _ => (20, 0),
    };
    base + 2 * (knee - vga.min(31) as i8)
}

/// The RTL8821A's amplifiers; it has no stages 3, 6 and 7.
fn cck_power_8821a(lna: u8, vga: u8) -> i8 {
    let base = match lna {
        5 => -38,
        4 => -30,
        2 => -17,
        1 => -1,
        0 => 15,
        _ => return 0,
    };
    base - 2 * vga.min(31) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(at: &[(usize, u8)]) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        for &(index, value) in at {
            bytes[index] = value;
        }
        bytes
    }

    #[test]
    fn w3_ofdm_signal_is_per_chain_and_the_stronger_is_the_overall() {
        // 0xd2 and 0x3c: the switch bit does not belong to the gain.
        let bytes = report(&[(0, 0xd2), (1, 0x3c)]);
        let read = |cck, chains| phy_status_8812a(PhyStatus::new(&bytes).unwrap(), cck, chains);
        let Report { overall_dbm: overall, chains, .. } = read(false, 2);
        assert_eq!((chains.get(0), chains.get(1), chains.get(2)), (Some(-28), Some(-50), None));
        assert_eq!(overall, -28);
        let one = read(false, 1);
        assert_eq!((one.overall_dbm, one.chains.get(1)), (-28, None));
    }

    #[test]
    fn w3_cck_signal_is_of_chain_a_alone() {
        let bytes = report(&[(0, 0x50), (1, 0x50), (5, 6 << 5 | 12)]);
        let report = phy_status_8812a(PhyStatus::new(&bytes).unwrap(), true, 2);
        let chains = report.chains;
        assert_eq!((report.overall_dbm, chains.get(0), chains.get(1)), (-62, Some(-62), None));
    }

    #[test]
    fn w3_the_8812as_gain_stages_are_those_of_mainline() {
        let vectors = [
            (7, 0, -40),
            (7, 27, -94),
            (7, 28, -94),
            (7, 31, -94),
            (6, 2, -42),
            (6, 31, -100),
            (5, 7, -36),
            (4, 7, -30),
            (3, 0, -4),
            (2, 5, 0),
            (1, 0, 14),
            (0, 0, 20),
            (0, 31, -42),
        ];
        for (lna, vga, dbm) in vectors {
            assert_eq!(cck_power_8812a(lna, vga), dbm, "LNA {lna}, VGA {vga}");
        }
    }

    #[test]
    fn w3_the_8821as_gain_stages_are_those_of_mainline() {
        let vectors = [
            (5, 0, -38),
            (5, 31, -100),
            (4, 3, -36),
            (2, 10, -37),
            (1, 0, -1),
            (0, 0, 15),
            (3, 9, 0),
            (7, 31, 0),
        ];
        for (lna, vga, dbm) in vectors {
            assert_eq!(cck_power_8821a(lna, vga), dbm, "LNA {lna}, VGA {vga}");
        }
    }

    #[test]
    fn a_cut_report_is_none() {
        assert!(PhyStatus::new(&[0; LEN - 1]).is_none());
    }

    #[test]
    fn w3_the_rtl8814a_tells_four_chains_and_the_second_lowest_is_the_overall() {
        // A front end that exaggerates on paths A and C.
        let bytes = report(&[(0, 106), (1, 66), (23, 0x80 | 88), (24, 72), (3, 2 << 6 | 9 << 2)]);
        let read = |bytes: &[u8], cck| phy_status_8814a(PhyStatus::new(bytes).unwrap(), cck, 4);
        let ofdm = read(&bytes, false);
        assert_eq!(
            (0..4).map(|n| ofdm.chains.get(n)).collect::<Vec<_>>(),
            [Some(-4), Some(-44), Some(-22), Some(-38)]
        );
        assert_eq!((ofdm.overall_dbm, ofdm.bandwidth), (-38, Some(Width::Mhz40)));
        let width =
            |mode: u8, part: u8| read(&report(&[(3, mode << 6 | part << 2)]), false).bandwidth.unwrap();
        let wide = [(1, 0, Width::Mhz40), (1, 1, Width::Mhz20), (2, 0, Width::Mhz80), (2, 10, Width::Mhz40)];
        for (mode, part, expected) in wide.into_iter().chain([(2, 1, Width::Mhz20), (0, 0, Width::Mhz20)]) {
            assert_eq!(width(mode, part), expected, "{mode} {part}");
        }

        let cck = read(&report(&[(5, 5 << 5 | 12), (3, 0xff)]), true);
        assert_eq!((cck.overall_dbm, cck.chains.get(0), cck.chains.get(1)), (-52, Some(-52), None));
        assert_eq!(cck.bandwidth, Some(Width::Mhz20));
        for (lna, power) in [(7, -48), (3, -18), (2, -11), (6, 0)] {
            assert_eq!(read(&report(&[(5, lna << 5 | 5)]), true).overall_dbm, power);
        }
    }
}
