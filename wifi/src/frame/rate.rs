//! [`Rate`]: at which rate a frame was sent, as a legacy rate, an HT MCS or a VHT MCS with its streams.
//!
//! Neighbours: [`descriptor`](crate::rx::descriptor) makes it from the chip's own numbering,
//! [`radiotap`](crate::radiotap) writes it down, [`Modulation`] holds the rest of what the preamble tells.

use core::fmt;

use crate::channel::Width;

/// The twelve rates of 802.11b, g and a, by their speed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LegacyRate {
    /// 1 Mbit/s, DSSS.
    M1,
    /// 2 Mbit/s, DSSS.
    M2,
    /// 5.5 Mbit/s, CCK.
    M5_5,
    /// 11 Mbit/s, CCK.
    M11,
    /// 6 Mbit/s, OFDM.
    M6,
    /// 9 Mbit/s, OFDM.
    M9,
    /// 12 Mbit/s, OFDM.
    M12,
    /// 18 Mbit/s, OFDM.
    M18,
    /// 24 Mbit/s, OFDM.
    M24,
    /// 36 Mbit/s, OFDM.
    M36,
    /// 48 Mbit/s, OFDM.
    M48,
    /// 54 Mbit/s, OFDM.
    M54,
}

impl LegacyRate {
    /// All of them: the four of 802.11b, then the eight of OFDM, each by rising speed.
    pub const ALL: [Self; 12] = [
        Self::M1,
        Self::M2,
        Self::M5_5,
        Self::M11,
        Self::M6,
        Self::M9,
        Self::M12,
        Self::M18,
        Self::M24,
        Self::M36,
        Self::M48,
        Self::M54,
    ];

    /// The rate in units of 500 kbit/s, as radiotap and the supported-rates element count.
    pub const fn half_mbps(self) -> u8 {
        match self {
            Self::M1 => 2,
            Self::M2 => 4,
            Self::M5_5 => 11,
            Self::M11 => 22,
            Self::M6 => 12,
            Self::M9 => 18,
            Self::M12 => 24,
            Self::M18 => 36,
            Self::M24 => 48,
            Self::M36 => 72,
            Self::M48 => 96,
            Self::M54 => 108,
        }
    }

    /// The rate of `half_mbps` times 500 kbit/s; `None` if no legacy PHY has such a rate.
    pub fn from_half_mbps(half_mbps: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|rate| rate.half_mbps() == half_mbps)
    }

    /// Whether it is one of the four single-carrier rates of 802.11b.
    pub const fn is_cck(self) -> bool {
        matches!(self, Self::M1 | Self::M2 | Self::M5_5 | Self::M11)
    }
}

/// The rate of a PPDU.
///
/// Displayed as the program's tables have it: `1.0` and `54.0` in Mbit/s, `MCS7`, `VHT9x2` (VHT MCS 9, two streams).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rate {
    /// 802.11b, g or a.
    Legacy(LegacyRate),
    /// 802.11n.
    Ht {
        /// The MCS index, 0 to 31: it tells the streams too (`mcs / 8 + 1`).
        mcs: u8,
    },
    /// 802.11ac.
    Vht {
        /// The MCS index, 0 to 9.
        mcs: u8,
        /// Spatial streams, 1 to 4.
        nss: u8,
    },
}

impl Rate {
    /// Whether it is one of the four single-carrier rates of 802.11b.
    pub const fn is_cck(self) -> bool {
        matches!(self, Self::Legacy(rate) if rate.is_cck())
    }

    /// How many spatial streams it has.
    pub const fn streams(self) -> u8 {
        match self {
            Self::Legacy(_) => 1,
            Self::Ht { mcs } => mcs / 8 + 1,
            Self::Vht { nss, .. } => nss,
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::Legacy(rate) => {
                let half = rate.half_mbps();
                format!("{}.{}", half / 2, if half % 2 == 1 { 5 } else { 0 })
            }
            Self::Ht { mcs } => format!("MCS{mcs}"),
            Self::Vht { mcs, nss } => format!("VHT{mcs}x{nss}"),
        };
        f.pad(&text)
    }
}

/// How a PPDU was sent: its rate, and what the preamble tells beside it. What is not known is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Modulation {
    /// The rate.
    pub rate: Rate,
    /// The bandwidth, which may be narrower than the channel that the radio is tuned to.
    pub bandwidth: Option<Width>,
    /// Short guard interval (HT and VHT).
    pub short_gi: Option<bool>,
    /// LDPC instead of the convolutional code (HT and VHT).
    pub ldpc: Option<bool>,
    /// Space-time block coding (HT and VHT).
    pub stbc: Option<bool>,
}

impl Modulation {
    /// The rate alone; nothing else is known.
    pub const fn new(rate: Rate) -> Self {
        Self { rate, bandwidth: None, short_gi: None, ldpc: None, stbc: None }
    }
}

impl From<Rate> for Modulation {
    fn from(rate: Rate) -> Self {
        Self::new(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_shown_as_the_program_shows_them() {
        assert_eq!(Rate::Legacy(LegacyRate::M1).to_string(), "1.0");
        assert_eq!(Rate::Legacy(LegacyRate::M5_5).to_string(), "5.5");
        assert_eq!(Rate::Ht { mcs: 7 }.to_string(), "MCS7");
        assert_eq!(format!("{:>12}|", Rate::Vht { mcs: 9, nss: 2 }), "      VHT9x2|");
    }

    #[test]
    fn legacy_rates_round_trip_through_units_of_500_kbits() {
        for rate in LegacyRate::ALL {
            assert_eq!(LegacyRate::from_half_mbps(rate.half_mbps()), Some(rate));
        }
        assert_eq!(LegacyRate::from_half_mbps(0), None);
        assert_eq!(LegacyRate::from_half_mbps(23), None);
    }

    #[test]
    fn streams_follow_from_the_rate() {
        assert_eq!(Rate::Legacy(LegacyRate::M54).streams(), 1);
        assert_eq!(Rate::Ht { mcs: 7 }.streams(), 1);
        assert_eq!(Rate::Ht { mcs: 8 }.streams(), 2);
        assert_eq!(Rate::Vht { mcs: 0, nss: 3 }.streams(), 3);
    }
}
