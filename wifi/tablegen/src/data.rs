//! [`render`]: a table as the text of a data file.
//!
//! Header lines start with `#` and read `# key: value`; every other line is a row of hexadecimal words. The
//! format is described for readers in `wifi/tables/README.md`.

use std::fmt::Write as _;

use crate::source::{Kind, Table};

/// Where a table comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// File name in the driver's folder.
    pub(crate) file: &'a str,
    /// Kernel version.
    pub(crate) kernel: &'a str,
}

/// The data file of `table`, ready to be written.
pub(crate) fn render(table: &Table, origin: &Origin<'_>) -> String {
    let (kind, digits) = match table.kind {
        Kind::Pairs => ("pairs (address or condition, value)", 8),
        Kind::PowerByRate => ("power-by-rate (band, path, tx-number, address, mask, value)", 8),
        Kind::PowerLimit => {
            ("power-limit (regulation, band, width, section, channel, limit as an 8-bit two's complement)", 2)
        }
        Kind::PowerTracking => ("power-tracking (one row of 30 steps each, named by `row`)", 2),
    };
    let mut text = String::new();
    text.push_str("# airlift-table: 1\n");
    let _ = writeln!(text, "# kind: {kind}");
    let _ =
        writeln!(text, "# origin: linux/drivers/net/wireless/realtek/rtw88/{}, {}", origin.file, table.array);
    let _ = writeln!(text, "# kernel: {}", origin.kernel);
    text.push_str("# licence: BSD-3-Clause, Copyright(c) Realtek Corporation; see ../LICENSE\n");
    for (index, row) in table.rows.iter().enumerate() {
        if let Some(label) = table.labels.get(index) {
            let _ = writeln!(text, "# row: {label}");
        }
        for (column, word) in row.iter().enumerate() {
            if column > 0 {
                text.push(' ');
            }
            let _ = write!(text, "{word:0digits$x}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_header_and_rows_of_hexadecimal_words() {
        let table = Table {
            kind: Kind::PowerLimit,
            array: "rtw1_txpwr_lmt".into(),
            file_stem: "txpwr_lmt".into(),
            rows: vec![vec![2, 0, 0, 1, 13, 0xfe]],
            labels: vec![],
        };
        let text = render(&table, &Origin { file: "rtw1_table.c", kernel: "7.2" });
        assert!(text.starts_with("# airlift-table: 1\n# kind: power-limit "));
        assert!(text.contains("# kernel: 7.2\n"));
        assert!(text.ends_with("\n02 00 00 01 0d fe\n"));
    }
}
