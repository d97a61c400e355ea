//! [`Rate`]: how a frame is modulated, and for how long it is on the air.
//!
//! Durations follow IEEE 802.11-2020: TXTIME of HR/DSSS (16.3.4), OFDM (17.4.3), ERP-OFDM (18.5.3.2), HT mixed
//! format (19.4.3) and VHT (21.4.3). Neighbours: [`super::AirFrame`] carries one, [`super::capture`] reads one
//! from radiotap.

use core::fmt;
use core::time::Duration;

use super::Width;

/// Modulation and coding of a frame, without bandwidth and guard interval.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Modulation {
    /// DSSS, CCK or OFDM, in units of 500 kbit/s: 2, 4, 11, 22 and 12, 18, 24, 36, 48, 72, 96, 108.
    Legacy(u8),
    /// HT: MCS 0-31, eight to each number of streams.
    Ht {
        /// MCS index.
        mcs: u8,
    },
    /// VHT: MCS 0-9 on `nss` streams.
    Vht {
        /// MCS index.
        mcs: u8,
        /// Spatial streams, 1-4.
        nss: u8,
    },
}

/// Modulation, bandwidth, guard interval and coding of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rate {
    /// Modulation and coding.
    pub modulation: Modulation,
    /// Bandwidth that the frame occupies.
    pub width: Width,
    /// Guard interval of 400 ns rather than 800 (HT, VHT).
    pub short_gi: bool,
    /// LDPC rather than convolutional coding (HT, VHT).
    pub ldpc: bool,
    /// Space-time block coding (HT, VHT).
    pub stbc: bool,
    /// Short preamble (2, 5.5 and 11 Mbit/s).
    pub short_preamble: bool,
}

/// Data bits of one symbol at 20 MHz and one stream, for each MCS (IEEE 802.11-2020, tables 19-27 and 21-29).
const BITS_20: [u32; 10] = [26, 52, 78, 104, 156, 208, 234, 260, 312, 346];
/// At 40 MHz.
const BITS_40: [u32; 10] = [54, 108, 162, 216, 324, 432, 486, 540, 648, 720];
/// At 80 MHz.
const BITS_80: [u32; 10] = [117, 234, 351, 468, 702, 936, 1053, 1170, 1404, 1560];

impl Rate {
    const fn of(modulation: Modulation) -> Self {
        Self {
            modulation,
            width: Width::Mhz20,
            short_gi: false,
            ldpc: false,
            stbc: false,
            short_preamble: false,
        }
    }

    /// 1 Mbit/s DSSS with a long preamble: what beacons of the 2.4 GHz band use.
    pub const DSSS_1M: Self = Self::of(Modulation::Legacy(2));
    /// 6 Mbit/s OFDM: what beacons of the 5 GHz band use.
    pub const OFDM_6M: Self = Self::of(Modulation::Legacy(12));

    /// A DSSS, CCK or OFDM rate in units of 500 kbit/s, as in radiotap; `None` if there is no such rate.
    pub const fn legacy(half_mbps: u8) -> Option<Self> {
        match half_mbps {
            2 | 4 | 11 | 22 | 12 | 18 | 24 | 36 | 48 | 72 | 96 | 108 => {
                Some(Self::of(Modulation::Legacy(half_mbps)))
            }
            _ => None,
        }
    }

    /// An HT rate at 20 MHz; `None` above MCS 31.
    pub const fn ht(mcs: u8) -> Option<Self> {
        if mcs < 32 { Some(Self::of(Modulation::Ht { mcs })) } else { None }
    }

    /// A VHT rate at 20 MHz; `None` above MCS 9 or outside 1-4 streams.
    pub const fn vht(mcs: u8, nss: u8) -> Option<Self> {
        if mcs < 10 && nss >= 1 && nss <= 4 { Some(Self::of(Modulation::Vht { mcs, nss })) } else { None }
    }

    /// The rate at another bandwidth.
    #[must_use]
    pub const fn with_width(mut self, width: Width) -> Self {
        self.width = width;
        self
    }

    /// The rate with the short guard interval or without.
    #[must_use]
    pub const fn with_short_gi(mut self, short_gi: bool) -> Self {
        self.short_gi = short_gi;
        self
    }

    /// The rate with LDPC or without.
    #[must_use]
    pub const fn with_ldpc(mut self, ldpc: bool) -> Self {
        self.ldpc = ldpc;
        self
    }

    /// Whether this is DSSS or CCK.
    pub const fn is_cck(self) -> bool {
        matches!(self.modulation, Modulation::Legacy(2 | 4 | 11 | 22))
    }

    /// Number of spatial streams.
    pub const fn streams(self) -> u8 {
        match self.modulation {
            Modulation::Legacy(_) => 1,
            Modulation::Ht { mcs } => mcs / 8 + 1,
            Modulation::Vht { nss, .. } => nss,
        }
    }

    /// Data bits of one symbol; meaningless for DSSS and CCK, which have none.
    fn bits_per_symbol(self) -> u32 {
        let index = match self.modulation {
            // 4 us symbols: half_mbps * 500 kbit/s * 4 us.
            Modulation::Legacy(half_mbps) => return u32::from(half_mbps) * 2,
            Modulation::Ht { mcs } => usize::from(mcs % 8),
            Modulation::Vht { mcs, .. } => usize::from(mcs.min(9)),
        };
        let one = match self.width {
            Width::Mhz20 => BITS_20[index],
            Width::Mhz40 => BITS_40[index],
            Width::Mhz80 => BITS_80[index],
        };
        one * u32::from(self.streams())
    }

    /// Bits a second, without preamble.
    pub fn bits_per_second(self) -> u64 {
        match self.modulation {
            Modulation::Legacy(half_mbps) => u64::from(half_mbps) * 500_000,
            _ => {
                let bits = u64::from(self.bits_per_symbol());
                if self.short_gi { bits * 10_000_000 / 36 } else { bits * 250_000 }
            }
        }
    }

    /// Time on the air of a frame of `length` bytes, FCS included, from the start of its preamble.
    ///
    /// `band_2ghz` adds the 6 us by which OFDM frames there are extended.
    pub fn air_time(self, length: usize, band_2ghz: bool) -> Duration {
        let length = u64::try_from(length).unwrap_or(u64::MAX / 16);
        if let (Modulation::Legacy(half_mbps), true) = (self.modulation, self.is_cck()) {
            let preamble_us = if self.short_preamble && half_mbps > 2 { 96 } else { 192 };
            return Duration::from_micros(preamble_us + (length * 16).div_ceil(u64::from(half_mbps)));
        }
        let extension_us = if band_2ghz { 6 } else { 0 };
        // 16 bits of service field and 6 of tail.
        let symbols = (length * 8 + 22).div_ceil(u64::from(self.bits_per_symbol()));
        let streams = u64::from(self.streams());
        // One long training field a stream; three streams use four.
        let training_us = 4 * if streams == 3 { 4 } else { streams };
        let preamble_us = match self.modulation {
            Modulation::Legacy(_) => 20,
            // L-STF, L-LTF, L-SIG 20; HT-SIG 8; HT-STF 4.
            Modulation::Ht { .. } => 32 + training_us,
            // The same with VHT-SIG-A 8, VHT-STF 4, VHT-SIG-B 4.
            Modulation::Vht { .. } => 36 + training_us,
        };
        let symbol_ns = if self.short_gi { 3600 } else { 4000 };
        // Frames end on a 4 us boundary whatever the guard interval.
        let payload_us = (symbols * symbol_ns).div_ceil(4000) * 4;
        Duration::from_micros(preamble_us + payload_us + extension_us)
    }

    /// Weakest signal in dBm at which a receiver still decodes the rate: the sensitivities that the standard
    /// asks for (tables 17-18, 19-23, 21-25), less the 10 dB by which receivers are usually better.
    pub(crate) fn sensitivity_dbm(self) -> i16 {
        const MCS: [i16; 10] = [-82, -79, -77, -74, -70, -66, -65, -64, -59, -57];
        let at_20 = match self.modulation {
            Modulation::Legacy(half_mbps) => match half_mbps {
                0..=2 => -88,
                3..=11 => -84,
                12 | 18 => -82,
                22 => -80,
                24 => -79,
                36 => -77,
                48 => -74,
                72 => -70,
                96 => -66,
                _ => -65,
            },
            Modulation::Ht { mcs } => MCS[usize::from(mcs % 8)],
            Modulation::Vht { mcs, .. } => MCS[usize::from(mcs.min(9))],
        };
        let wider = match self.width {
            Width::Mhz20 => 0,
            Width::Mhz40 => 3,
            Width::Mhz80 => 6,
        };
        at_20 + wider - 10
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.modulation {
            Modulation::Legacy(half_mbps) => write!(f, "{}.{}", half_mbps / 2, (half_mbps % 2) * 5)?,
            Modulation::Ht { mcs } => write!(f, "MCS{mcs}")?,
            Modulation::Vht { mcs, nss } => write!(f, "VHT{mcs}x{nss}")?,
        }
        if self.width == Width::Mhz20 { Ok(()) } else { write!(f, "/{}", self.width.mhz()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(rate: Rate, length: usize) -> u128 {
        rate.air_time(length, true).as_micros()
    }

    #[test]
    fn e2_air_time_follows_the_rate() {
        // An ACK (14 bytes) at 1 Mbit/s: 192 us of preamble and 112 us.
        assert_eq!(us(Rate::DSSS_1M, 14), 304);
        // 5.5 Mbit/s rounds up: 14 * 8 / 5.5 = 20.4.
        assert_eq!(us(Rate::legacy(11).unwrap(), 14), 213);
        // An ACK at 24 Mbit/s: 20 + 2 symbols + 6 of extension.
        assert_eq!(us(Rate::legacy(48).unwrap(), 14), 34);
        assert_eq!(Rate::legacy(48).unwrap().air_time(14, false).as_micros(), 28);
        // 1500 bytes at MCS 7: 36 + 47 symbols + 6.
        assert_eq!(us(Rate::ht(7).unwrap(), 1500), 36 + 4 * 47 + 6);
        // With the short guard interval: 47 * 3.6 = 169.2, up to 172.
        assert_eq!(us(Rate::ht(7).unwrap().with_short_gi(true), 1500), 36 + 172 + 6);
        // VHT MCS 9, two streams, 80 MHz: 3120 bits a symbol.
        let vht = Rate::vht(9, 2).unwrap().with_width(Width::Mhz80);
        assert_eq!(vht.air_time(1500, false).as_micros(), 44 + 4 * 4);
    }

    #[test]
    fn rates_that_do_not_exist_are_refused() {
        assert!(Rate::legacy(0).is_none() && Rate::legacy(3).is_none() && Rate::legacy(255).is_none());
        assert!(Rate::ht(32).is_none());
        assert!(Rate::vht(10, 1).is_none() && Rate::vht(0, 0).is_none() && Rate::vht(0, 5).is_none());
    }

    #[test]
    fn bit_rates_match_the_tables_of_the_standard() {
        assert_eq!(Rate::ht(7).unwrap().bits_per_second(), 65_000_000);
        assert_eq!(
            Rate::ht(15).unwrap().with_width(Width::Mhz40).with_short_gi(true).bits_per_second(),
            300_000_000
        );
        assert_eq!(Rate::vht(9, 2).unwrap().with_width(Width::Mhz80).bits_per_second(), 780_000_000);
        assert_eq!(Rate::legacy(11).unwrap().bits_per_second(), 5_500_000);
    }
}
