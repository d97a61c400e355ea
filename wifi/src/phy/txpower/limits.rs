//! Limits of the regulations, by band, width, rate section and channel.
//!
//! The table tells limits for some regulations. Worldwide is the lowest of them all; a regulation that it does
//! not tell takes those of a relative. At 5 GHz the limits of HT and VHT stand in for each other.
//!
//! Facts: rtw88 `phy.c`, `rtw_parse_tbl_txpwr_lmt`, `rtw_xref_txpwr_lmt`, `rtw_phy_get_tx_power_limit`,
//! `rtw_channel_idx_5g`; `regd.c`, `rtw_regd_alt`; `main.h`, `enum rtw_regulatory_domains`.

use super::super::tables::{Row, RowTable, TableError};
use super::rates::Section;
use crate::channel::{Band, Channel, Width};

/// Whose limits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Regulation {
    /// The lowest limit of all: what holds where nothing is known.
    Worldwide,
    /// The regulation with this number in the table.
    #[cfg_attr(not(test), expect(dead_code, reason = "nothing tells the driver a country yet"))]
    Numbered(u8),
}

/// Numbers of regulations in the table.
mod regulation {
    pub(super) const FCC: u8 = 0;
    pub(super) const ETSI: u8 = 2;
    pub(super) const WORLDWIDE: u8 = 12;
}

impl Regulation {
    /// The relative whose limits hold where the table tells none for this one.
    fn relative(self) -> Option<u8> {
        match self {
            // Canada, Chile, Mexico.
            Regulation::Numbered(3 | 6 | 8) => Some(regulation::FCC),
            // Korea, Australia, Ukraine, China, Qatar, United Kingdom.
            Regulation::Numbered(4 | 5 | 7 | 9 | 10 | 11) => Some(regulation::ETSI),
            _ => None,
        }
    }
}

const WIDTHS: usize = 3;
const SECTIONS: usize = Section::ALL.len();
/// Channels of both bands: 14 and 49.
const CHANNELS: usize = 14 + CHANNELS_5G.len();

/// Centres that have limits of their own.
const CHANNELS_5G: [u8; 49] = [
    36, 38, 40, 42, 44, 46, 48, 52, 54, 56, 58, 60, 62, 64, 100, 102, 104, 106, 108, 110, 112, 116, 118, 120,
    122, 124, 126, 128, 132, 134, 136, 138, 140, 142, 144, 149, 151, 153, 155, 157, 159, 161, 165, 167, 169,
    171, 173, 175, 177,
];

/// Place of a centre among the channels.
fn place(center: u8) -> Option<usize> {
    match center {
        1..=14 => Some(usize::from(center) - 1),
        _ => CHANNELS_5G.iter().position(|channel| *channel == center).map(|at| at + 14),
    }
}

/// The limits of one regulation in half dBm.
#[derive(Debug)]
pub(super) struct Limits {
    limits: Box<[[[i8; CHANNELS]; SECTIONS]; WIDTHS]>,
    max: i8,
}

impl Limits {
    /// The limits of `regulation` in `table`; `max` where there is none.
    pub(super) fn new(table: &RowTable<6>, regulation: Regulation, max: i8) -> Result<Limits, TableError> {
        let rows = table.rows()?;
        let told = |number: u8| rows.iter().any(|row| row.words[0] == u32::from(number));
        let wanted = match regulation {
            Regulation::Numbered(number) if number != regulation::WORLDWIDE && told(number) => Some(number),
            other => other.relative().filter(|relative| told(*relative)),
        };
        let mut limits = Box::new([[[max; CHANNELS]; SECTIONS]; WIDTHS]);
        for row in rows {
            let (width, section, channel, limit) = entry(table, row)?;
            let place = &mut limits[width][section][channel];
            let limit = limit.clamp(-max, max);
            match wanted {
                Some(number) if row.words[0] == u32::from(number) => *place = limit,
                Some(_) => {}
                None => *place = limit.min(*place),
            }
        }
        let mut limits = Limits { limits, max };
        limits.cross_reference();
        Ok(limits)
    }

    /// At 5 GHz and up to 40 MHz, HT takes VHT's limit where it has none of its own, and the other way round.
    fn cross_reference(&mut self) {
        for sections in &mut self.limits[..2] {
            for streams in 1..=4 {
                let [ht, vht] = [Section::Ht(streams), Section::Vht(streams)].map(Section::number);
                let Ok([own, other]) = sections.get_disjoint_mut([ht, vht]) else { continue };
                for (a, b) in own.iter_mut().zip(other).skip(14) {
                    if *a == self.max {
                        *a = *b;
                    } else if *b == self.max {
                        *b = *a;
                    }
                }
            }
        }
    }

    /// The limit for `section` on `channel`: the lowest of the widths up to the channel's, each at its own
    /// centre. CCK and OFDM are 20 MHz wide, HT at most 40.
    pub(super) fn get(&self, channel: Channel, section: Section) -> i16 {
        let widest = match section {
            Section::Cck | Section::Ofdm => Width::Mhz20,
            Section::Ht(_) => channel.width().min(Width::Mhz40),
            Section::Vht(_) => channel.width(),
        };
        let limit = [Width::Mhz20, Width::Mhz40, Width::Mhz80]
            .into_iter()
            .zip(self.limits.iter())
            .filter(|(width, _)| *width <= widest)
            .filter_map(|(width, sections)| {
                sections[section.number()].get(place(channel.center_at(width)?)?).copied()
            })
            .min();
        i16::from(limit.unwrap_or(self.max).min(self.max))
    }
}

/// Width, section, channel and limit of a row, as indexes.
fn entry(table: &RowTable<6>, row: &Row<6>) -> Result<(usize, usize, usize, i8), TableError> {
    let [regulation, band, width, section, center, limit] = row.words;
    let (width, section) = (width as usize, section as usize);
    let channel = u8::try_from(center).ok().and_then(place);
    let band = match band {
        0 => Some(Band::Ghz2),
        1 => Some(Band::Ghz5),
        _ => None,
    };
    match (band, channel) {
        (Some(band), Some(channel))
            if regulation <= u32::from(regulation::WORLDWIDE)
                && width < WIDTHS
                && section < SECTIONS
                && (band == Band::Ghz2) == (channel < 14) =>
        {
            Ok((width, section, channel, limit as u8 as i8))
        }
        _ => Err(table.invalid(row, "no such regulation, band, width, section or channel")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &str, regulation: Regulation) -> Result<Limits, TableError> {
        let text: &'static str = format!("# airlift-table: 1\n{rows}").leak();
        Limits::new(&RowTable::new("test", text), regulation, 63)
    }

    fn channel(primary: u16, width: Width) -> Channel {
        Channel::new(primary, width).unwrap()
    }

    /// Channel 11, CCK: FCC 20, MKK 18, ETSI 10.
    const ROWS: &str = "0 0 0 0 b 14\n1 0 0 0 b 12\n2 0 0 0 b 0a\n";

    #[test]
    fn w1_worldwide_is_the_lowest_and_a_regulation_without_limits_takes_a_relatives() {
        let at_11 = |regulation| read(ROWS, regulation).unwrap().get(channel(11, Width::Mhz20), Section::Cck);
        assert_eq!(at_11(Regulation::Worldwide), 10);
        assert_eq!(at_11(Regulation::Numbered(0)), 20);
        assert_eq!(at_11(Regulation::Numbered(1)), 18);
        assert_eq!(at_11(Regulation::Numbered(3)), 20, "Canada as FCC");
        assert_eq!(at_11(Regulation::Numbered(9)), 10, "China as ETSI");
        assert_eq!(at_11(Regulation::Numbered(12)), 10);
        let none = read(ROWS, Regulation::Worldwide).unwrap().get(channel(12, Width::Mhz20), Section::Cck);
        assert_eq!(none, 63);
    }

    #[test]
    fn w1_the_lowest_width_that_holds_the_primary_counts() {
        // VHT 1S (section 4) at 36 of 20 MHz: 30; at 38 of 40 MHz: 26; at 42 of 80 MHz: 28.
        let rows = "0 1 0 4 24 1e\n0 1 1 4 26 1a\n0 1 2 4 2a 1c\n";
        let limits = read(rows, Regulation::Worldwide).unwrap();
        assert_eq!(limits.get(channel(36, Width::Mhz20), Section::Vht(1)), 30);
        assert_eq!(limits.get(channel(36, Width::Mhz80), Section::Vht(1)), 26);
        assert_eq!(limits.get(channel(44, Width::Mhz80), Section::Vht(1)), 28);
        assert_eq!(limits.get(channel(36, Width::Mhz80), Section::Ht(1)), 26, "HT is at most 40 MHz wide");
        assert_eq!(limits.get(channel(36, Width::Mhz80), Section::Ofdm), 63);
    }

    #[test]
    fn w1_ht_and_vht_stand_in_for_each_other_at_5_ghz_only() {
        let five = read("0 1 0 2 24 1e\n", Regulation::Worldwide).unwrap();
        assert_eq!(five.get(channel(36, Width::Mhz20), Section::Vht(1)), 30);
        let two = read("0 0 0 2 1 1e\n", Regulation::Worldwide).unwrap();
        assert_eq!(two.get(channel(1, Width::Mhz20), Section::Vht(1)), 63);
    }

    #[test]
    fn w1_a_limit_is_an_8_bit_twos_complement_and_stays_within_the_index() {
        let limits = read("0 0 0 0 1 fe\n0 0 0 0 2 7f\n0 0 0 0 3 80\n", Regulation::Worldwide).unwrap();
        let at = |primary| limits.get(channel(primary, Width::Mhz20), Section::Cck);
        assert_eq!([at(1), at(2), at(3)], [-2, 63, -63]);
    }

    #[test]
    fn w6_a_row_for_no_channel_is_an_error() {
        for row in [
            "0 0 0 0 0 14",
            "0 0 0 0 24 14",
            "0 1 0 0 1 14",
            "0 2 0 0 1 14",
            "d 0 0 0 1 14",
            "0 0 3 0 1 14",
            "0 0 0 a 1 14",
            "0 1 0 0 32 14",
            "0 0 0 0 101 14",
        ] {
            assert!(read(&format!("{row}\n"), Regulation::Worldwide).is_err(), "{row}");
        }
    }
}
