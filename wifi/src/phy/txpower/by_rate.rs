//! Power by rate: how far each rate lies from its section's reference rate.
//!
//! Facts: rtw88 `phy.c`, `rtw_parse_tbl_bb_pg`, `rtw_phy_get_rate_values_of_txpwr_by_rate`,
//! `rtw_phy_tx_power_by_rate_config_by_path`.

use super::super::tables::{RowTable, TableError};
use super::rates::{COUNT, Section, rates_at};
use crate::channel::Band;

/// Paths that tables know.
const PATHS: usize = 4;
/// First TXAGC register of each path, and what a row's address is an offset from.
const FIRST: [u32; PATHS] = [0xc20, 0xe20, 0x1820, 0x1a20];

/// In half dB, by band, path and rate.
#[derive(Debug)]
pub(super) struct ByRate {
    power: Box<[[[i8; COUNT]; PATHS]; 2]>,
}

impl ByRate {
    /// Reads a table of power by rate.
    pub(super) fn new(table: &RowTable<6>) -> Result<ByRate, TableError> {
        let mut power = Box::new([[[0; COUNT]; PATHS]; 2]);
        for row in table.rows()? {
            let [band, path, _streams, addr, _mask, value] = row.words;
            let place = usize::try_from(band)
                .ok()
                .and_then(|band| power.get_mut(band))
                .and_then(|paths| paths.get_mut(usize::try_from(path).ok()?))
                .ok_or_else(|| table.invalid(row, "no such band or path"))?;
            let rates = FIRST
                .iter()
                .find_map(|first| rates_at(addr.checked_sub(*first)?))
                .ok_or_else(|| table.invalid(row, "the address is no TXAGC register"))?;
            for (rate, byte) in rates.zip(value.to_le_bytes()) {
                // The bytes are binary-coded decimals.
                place[usize::from(rate)] = (byte & 0x0f).wrapping_add((byte >> 4).wrapping_mul(10)) as i8;
            }
        }
        Ok(ByRate { power })
    }

    /// The power of the section's reference rate, in half dBm.
    pub(super) fn reference(&self, band: Band, path: usize, section: Section) -> i8 {
        self.power(band, path, section.reference())
    }

    /// How far `rate` lies from the reference of its section.
    pub(super) fn offset(&self, band: Band, path: usize, rate: u8) -> i8 {
        let reference = Section::of(rate).map_or(0, |section| self.reference(band, path, section));
        self.power(band, path, rate).wrapping_sub(reference)
    }

    fn power(&self, band: Band, path: usize, rate: u8) -> i8 {
        let band = match band {
            Band::Ghz2 => 0,
            Band::Ghz5 => 1,
        };
        self.power[band].get(path).and_then(|rates| rates.get(usize::from(rate))).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &str) -> Result<ByRate, TableError> {
        let text: &'static str = format!("# airlift-table: 1\n{rows}").leak();
        ByRate::new(&RowTable::new("test", text))
    }

    #[test]
    fn w1_bytes_are_decimal_and_offsets_count_from_the_fastest_rate() {
        // 11, 5.5, 2, 1 Mb/s: 34, 36, 38, 40 half dBm.
        let table = read("0 0 0 c20 ffffffff 34363840\n").unwrap();
        assert_eq!(table.reference(Band::Ghz2, 0, Section::Cck), 34);
        let offsets: Vec<_> = (0..4).map(|rate| table.offset(Band::Ghz2, 0, rate)).collect();
        assert_eq!(offsets, [6, 4, 2, 0]);
        assert_eq!(table.offset(Band::Ghz5, 0, 0), 0);
        assert_eq!(table.offset(Band::Ghz2, 1, 0), 0);
    }

    #[test]
    fn w1_a_vht_register_that_spans_two_sections_fills_both() {
        // VHT 1S MCS7 to 9 and 2S MCS7 decide; C44 holds 1S MCS8, 1S MCS9, 2S MCS0, 2S MCS1.
        let table =
            read("1 1 0 e40 ffffffff 20222426\n1 1 0 e44 ffffffff 40421618\n1 1 0 e4c ffffffff 10121428\n")
                .unwrap();
        assert_eq!(table.reference(Band::Ghz5, 1, Section::Vht(1)), 20);
        assert_eq!(table.offset(Band::Ghz5, 1, 0x34), -2);
        assert_eq!(table.offset(Band::Ghz5, 1, 0x35), -4);
        assert_eq!(table.reference(Band::Ghz5, 1, Section::Vht(2)), 14);
        assert_eq!(table.offset(Band::Ghz5, 1, 0x36), 42 - 14);
    }

    #[test]
    fn w1_the_last_register_of_three_vht_streams_holds_two_rates() {
        let table = read("0 2 2 18e4 ffffffff 24262830\n0 2 2 18e8 0000ffff 99992022\n").unwrap();
        assert_eq!(table.reference(Band::Ghz2, 2, Section::Vht(3)), 24);
        assert_eq!(table.offset(Band::Ghz2, 2, 0x48), 22 - 24);
        assert_eq!(table.offset(Band::Ghz2, 2, 0x49), 20 - 24);
        assert_eq!(table.power(Band::Ghz2, 2, 0x4a), 0, "no rate of four streams");
    }

    #[test]
    fn w6_a_row_for_no_register_band_or_path_is_an_error() {
        assert!(read("0 0 0 c50 ffffffff 0\n").unwrap_err().to_string().contains("no TXAGC register"));
        for row in ["2 0 0 c20 ffffffff 0\n", "0 4 0 c20 ffffffff 0\n"] {
            assert!(read(row).unwrap_err().to_string().contains("no such band or path"));
        }
    }
}
