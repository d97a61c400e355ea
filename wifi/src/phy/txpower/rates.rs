//! Descriptor rates and the sections that they fall into.
//!
//! Facts: rtw88 `main.h`, `enum rtw_trx_desc_rate`, `enum rtw_rate_section`; `phy.c`, `rtw_rate_section`.

use std::ops::Range;

/// Rates that have a number.
pub(super) const COUNT: usize = 0x54;
/// The fastest rate of one HT stream.
pub(super) const MCS7: u8 = 0x13;
/// The fastest CCK rate, 11 Mb/s.
pub(super) const CCK_11: u8 = 0x03;
const OFDM_6: u8 = 0x04;
const MCS0: u8 = 0x0c;
const VHT: u8 = 0x2c;
/// MCS of a VHT stream.
const VHT_MCS: u8 = 10;

/// Rates that share a reference power and a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// 1 to 11 Mb/s.
    Cck,
    /// 6 to 54 Mb/s.
    Ofdm,
    /// HT with this many streams.
    Ht(u8),
    /// VHT with this many streams.
    Vht(u8),
}

impl Section {
    /// Those of chips with up to two streams, in the order in which their registers are written.
    pub(super) const UP_TO_TWO_STREAMS: [Section; 6] =
        [Section::Cck, Section::Ofdm, Section::Ht(1), Section::Ht(2), Section::Vht(1), Section::Vht(2)];

    /// Those of chips with up to three streams, in the order in which they go through the port.
    pub(super) const UP_TO_THREE_STREAMS: [Section; 8] = [
        Section::Cck,
        Section::Ofdm,
        Section::Ht(1),
        Section::Vht(1),
        Section::Ht(2),
        Section::Vht(2),
        Section::Ht(3),
        Section::Vht(3),
    ];

    /// All sections, by [`Section::number`].
    pub(super) const ALL: [Section; 10] = [
        Section::Cck,
        Section::Ofdm,
        Section::Ht(1),
        Section::Ht(2),
        Section::Vht(1),
        Section::Vht(2),
        Section::Ht(3),
        Section::Ht(4),
        Section::Vht(3),
        Section::Vht(4),
    ];

    /// The section's number in the tables; its index in [`Section::ALL`].
    pub(super) fn number(self) -> usize {
        Section::ALL.iter().position(|section| *section == self).unwrap_or(0)
    }

    /// The section of a descriptor rate.
    pub(super) fn of(rate: u8) -> Option<Section> {
        Section::ALL.into_iter().find(|section| section.rates().contains(&rate))
    }

    /// Its rates.
    pub(super) fn rates(self) -> Range<u8> {
        match self {
            Section::Cck => 0..OFDM_6,
            Section::Ofdm => OFDM_6..MCS0,
            Section::Ht(streams) => MCS0 + 8 * (streams - 1)..MCS0 + 8 * streams,
            Section::Vht(streams) => VHT + VHT_MCS * (streams - 1)..VHT + VHT_MCS * streams,
        }
    }

    /// The rate whose power is the section's reference: the fastest, with VHT MCS7.
    pub(super) fn reference(self) -> u8 {
        let rates = self.rates();
        match self {
            Section::Vht(_) => rates.end - 3,
            _ => rates.end - 1,
        }
    }

    /// Spatial streams.
    pub(super) fn streams(self) -> usize {
        match self {
            Section::Cck | Section::Ofdm => 1,
            Section::Ht(streams) | Section::Vht(streams) => usize::from(streams),
        }
    }

    /// Whether its rates are an HT or VHT MCS.
    pub(super) fn is_mcs(self) -> bool {
        matches!(self, Section::Ht(_) | Section::Vht(_))
    }
}

/// Offset of a rate's TXAGC register from the first. HT rates of three and four streams have none, so VHT
/// follows the second stream's at once.
pub(super) fn register(rate: u8) -> u16 {
    let aligned = u16::from(rate & 0xfc);
    if rate >= VHT { aligned - 0x10 } else { aligned }
}

/// The rates, four or less, in the TXAGC register at `offset` from the first one. Those of three streams stand apart
/// from the others; the tables name them thus even for the RTL8814A, whose TXAGC is behind a port.
pub(super) fn rates_at(offset: u32) -> Option<Range<u8>> {
    let offset = u8::try_from(offset).ok().filter(|offset| offset % 4 == 0)?;
    let (first, section) = match offset {
        0x00..=0x18 => (offset, None),
        0x1c..=0x2c => (offset + 0x10, None),
        0xb8..=0xbc => (offset - 0xb8 + Section::Ht(3).rates().start, None),
        0xc0..=0xc8 => (offset - 0xc0 + Section::Vht(3).rates().start, Some(Section::Vht(3))),
        _ => return None,
    };
    let end = section.map_or(u8::MAX, |section| section.rates().end);
    Some(first..(first + 4).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_cover_the_rates_one_after_the_other() {
        let mut ranges: Vec<_> = Section::ALL.iter().map(|section| section.rates()).collect();
        ranges.sort_by_key(|range| range.start);
        assert_eq!(ranges.first().map(|range| range.start), Some(0));
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(ranges.last().map(|range| usize::from(range.end)), Some(COUNT));
        assert_eq!(Section::of(0x35), Some(Section::Vht(1)));
        assert_eq!(Section::of(0x54), None);
        assert_eq!(Section::Vht(2).reference(), 0x3d);
    }

    #[test]
    fn registers_and_rates_map_both_ways() {
        assert_eq!((register(0x03), register(0x13), register(0x2c), register(0x3f)), (0, 0x10, 0x1c, 0x2c));
        for offset in (0..=0x2c).step_by(4) {
            assert_eq!(register(rates_at(offset).unwrap().start), offset as u16);
        }
        assert_eq!((rates_at(0x30), rates_at(0x02), rates_at(0x100)), (None, None, None));
        assert_eq!((rates_at(0xb8), rates_at(0xbc)), (Some(0x1c..0x20), Some(0x20..0x24)));
        assert_eq!((rates_at(0xc0), rates_at(0xc8)), (Some(0x40..0x44), Some(0x48..0x4a)));
        assert_eq!(rates_at(0xcc), None);
    }
}
