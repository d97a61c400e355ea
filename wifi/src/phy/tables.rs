//! Numeric tables: reading a data file, and deciding which of its rows a board is meant to get.
//!
//! A data file (`wifi/tables/README.md` tells the format) is text in the binary, parsed once at its first use.
//! [`RowTable`] is any of them; [`PairTable`] adds the conditions and delays of those that are written to the
//! chip. [`Conditions`] says what a board is, [`PairTable::steps`] what to do for it, and `phy::bb` and
//! `phy::rf` do it.
//!
//! Facts: rtw88 `phy.c`, `rtw_parse_tbl_phy_cond`, `check_positive`, `rtw_phy_cfg_bb`, `rtw_phy_cfg_rf`;
//! `main.h`, `struct rtw_phy_cond`.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// First line of every data file.
const MAGIC: &str = "# airlift-table: 1";

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableError {
    /// Name of the table.
    table: &'static str,
    /// Line of the data file, counted from 1.
    line: usize,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Magic,
    Word(String),
    Columns { expected: usize, got: usize },
    Address(u32),
    Condition(&'static str),
    Value(&'static str),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}, line {}: ", self.table, self.line)?;
        match &self.problem {
            Problem::Magic => write!(f, "expected `{MAGIC}`"),
            Problem::Word(word) => write!(f, "expected a hexadecimal word, got `{word}`"),
            Problem::Columns { expected, got } => write!(f, "expected {expected} words, got {got}"),
            Problem::Address(addr) => write!(f, "address {addr:#x} is outside the bus"),
            Problem::Condition(what) | Problem::Value(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for TableError {}

/// One row and the line that it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<const N: usize> {
    line: usize,
    /// The words.
    pub(crate) words: [u32; N],
}

/// A data file with `N` words a row.
pub(crate) struct RowTable<const N: usize> {
    name: &'static str,
    text: &'static str,
    rows: OnceLock<Result<Vec<Row<N>>, TableError>>,
}

impl<const N: usize> RowTable<N> {
    /// The table `name` in the data file `text`.
    pub(crate) const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, rows: OnceLock::new() }
    }

    /// The rows; parsed at the first call.
    pub(crate) fn rows(&self) -> Result<&[Row<N>], TableError> {
        match self.rows.get_or_init(|| self.parse()) {
            Ok(rows) => Ok(rows),
            Err(error) => Err(error.clone()),
        }
    }

    /// An error about the content of `row`.
    pub(crate) fn invalid(&self, row: &Row<N>, what: &'static str) -> TableError {
        TableError { table: self.name, line: row.line, problem: Problem::Value(what) }
    }

    fn parse(&self) -> Result<Vec<Row<N>>, TableError> {
        let error = |line, problem| TableError { table: self.name, line, problem };
        let mut lines = (1..).zip(self.text.lines());
        if lines.next().is_none_or(|(_, first)| first != MAGIC) {
            return Err(error(1, Problem::Magic));
        }
        let mut rows = Vec::new();
        for (line, text) in lines {
            if text.starts_with('#') {
                continue;
            }
            let mut words = [0; N];
            let mut got = 0;
            for word in text.split_ascii_whitespace() {
                // `from_str_radix` alone would take a sign.
                let value = Some(word)
                    .filter(|word| word.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|word| u32::from_str_radix(word, 16).ok())
                    .ok_or_else(|| error(line, Problem::Word(word.chars().take(16).collect())))?;
                if let Some(place) = words.get_mut(got) {
                    *place = value;
                }
                got += 1;
            }
            if got != N {
                return Err(error(line, Problem::Columns { expected: N, got }));
            }
            rows.push(Row { line, words });
        }
        Ok(rows)
    }
}

impl<const N: usize> fmt::Debug for RowTable<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowTable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a chip's tables name the front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrontEndMatch {
    /// One bit an external amplifier, and its type in the condition's second word (RTL8812A, RTL8821A).
    Amplifiers,
    /// The board's RFE option as a number (RTL8814A).
    Option,
}

/// What the conditions of a table are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// Chip cut; 15 where it is unknown (0).
    pub(crate) cut: u8,
    /// Package; 15 where it is unknown.
    pub(crate) package: u8,
    /// Host interface: 1 PCIe, 2 USB, 4 SDIO.
    pub(crate) interface: u8,
    /// The front end, to be read as `front_end` says: as bits, 2.4 GHz LNA 1, 2.4 GHz PA 2, 5 GHz LNA 4,
    /// 5 GHz PA 8, Bluetooth 16.
    pub(crate) rfe: u8,
    /// How conditions name the front end.
    pub(crate) front_end: FrontEndMatch,
    /// Type of the 2.4 GHz LNA.
    pub(crate) glna: u8,
    /// Type of the 2.4 GHz PA.
    pub(crate) gpa: u8,
    /// Type of the 5 GHz LNA.
    pub(crate) alna: u8,
    /// Type of the 5 GHz PA.
    pub(crate) apa: u8,
}

/// Host interface "USB" in a condition.
pub(crate) const INTERFACE_USB: u8 = 2;

impl Conditions {
    /// Whether a board is what the two words of a condition ask for. Fields that are zero ask for nothing.
    fn meets(&self, condition: [u32; 2]) -> bool {
        let [first, second] = condition;
        let nibble = |shift: u32| (first >> shift & 0xf) as u8;
        let asks = |wanted: u8, is: u8| wanted == 0 || wanted == is;
        if !(asks(nibble(24), self.cut) && asks(nibble(12), self.package) && asks(nibble(8), self.interface))
        {
            return false;
        }
        let rfe = (first & 0xff) as u8;
        match self.front_end {
            FrontEndMatch::Option => rfe == self.rfe,
            // Without one of the four amplifiers in the condition, the Bluetooth bit is not looked at either.
            FrontEndMatch::Amplifiers if rfe & 0x0f == 0 => true,
            FrontEndMatch::Amplifiers => {
                let [glna, gpa, alna, apa] = second.to_le_bytes();
                let typed = |bit: u8, wanted: u8, is: u8| rfe & bit == 0 || wanted == is;
                rfe & self.rfe == rfe
                    && typed(1, glna, self.glna)
                    && typed(2, gpa, self.gpa)
                    && typed(4, alna, self.alna)
                    && typed(8, apa, self.apa)
            }
        }
    }
}

/// What a table of pairs is for; it says which addresses are delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// MAC registers, a byte each.
    Mac,
    /// AGC: writes to one baseband port.
    Agc,
    /// Baseband registers.
    Baseband,
    /// RF registers of one path.
    Radio,
}

impl Target {
    /// The pause that `addr` stands for, if it is none of the target's registers.
    fn delay(self, addr: u32) -> Option<Duration> {
        match (self, addr) {
            (Target::Baseband, 0xfe) | (Target::Radio, 0xffe) => Some(Duration::from_millis(50)),
            (Target::Baseband, 0xfd) => Some(Duration::from_millis(5)),
            (Target::Baseband, 0xfc) => Some(Duration::from_millis(1)),
            (Target::Baseband, 0xfb) => Some(Duration::from_micros(50)),
            (Target::Baseband, 0xfa) => Some(Duration::from_micros(5)),
            (Target::Baseband, 0xf9) => Some(Duration::from_micros(1)),
            (Target::Radio, 0xfe) => Some(Duration::from_micros(100)),
            _ => None,
        }
    }

    /// The highest address that a row may write to.
    fn last_address(self) -> u32 {
        match self {
            Target::Radio => 0xff,
            _ => 0xffff,
        }
    }
}

/// What to do for one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write `value` to the register at `addr`.
    Write {
        /// Bus address, or the number of an RF register.
        addr: u16,
        /// The value.
        value: u32,
    },
    /// Let time pass between the writes before and after.
    Delay(Duration),
}

/// A table of addresses, values and conditions.
#[derive(Debug)]
pub(crate) struct PairTable {
    target: Target,
    rows: RowTable<2>,
}

/// What a row's first word says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// `if` and `elif`: the condition that the next [`Mark::Apply`] decides on.
    Condition {
        opens: bool,
    },
    Else,
    EndIf,
    /// Decides whether the rows that follow are for this board.
    Apply,
    /// An address and its value.
    Pair,
}

impl Mark {
    fn of(word: u32) -> Mark {
        match (word >> 31 != 0, word >> 30 & 1 != 0, word >> 28 & 3) {
            (true, _, 3) => Mark::EndIf,
            (true, _, 2) => Mark::Else,
            (true, _, branch) => Mark::Condition { opens: branch == 0 },
            (false, true, _) => Mark::Apply,
            (false, false, _) => Mark::Pair,
        }
    }
}

impl PairTable {
    /// The table `name` for `target` in the data file `text`.
    pub(crate) const fn new(target: Target, name: &'static str, text: &'static str) -> Self {
        Self { target, rows: RowTable::new(name, text) }
    }

    /// What the table is for.
    pub(crate) fn target(&self) -> Target {
        self.target
    }

    /// What to do for a board that is as `conditions` says, in order.
    ///
    /// # Errors
    /// The data file is malformed anywhere, or its conditions do not pair up: nothing is done by halves.
    pub(crate) fn steps(&self, conditions: &Conditions) -> Result<Vec<Step>, TableError> {
        let rows = self.rows.rows()?;
        let mut steps = Vec::with_capacity(rows.len());
        let mut inside = false;
        let mut pending: Option<[u32; 2]> = None;
        let (mut taken, mut active) = (false, true);
        for row in rows {
            let [first, value] = row.words;
            let error = |problem| TableError { table: self.rows.name, line: row.line, problem };
            match Mark::of(first) {
                Mark::Condition { opens } => {
                    if opens == inside {
                        let what = if opens { "`if` inside an `if`" } else { "`elif` without an `if`" };
                        return Err(error(Problem::Condition(what)));
                    }
                    inside = true;
                    pending = Some(row.words);
                }
                Mark::Apply => {
                    let Some(condition) = pending.take() else {
                        return Err(error(Problem::Condition("a decision without a condition")));
                    };
                    active = !taken && conditions.meets(condition);
                    taken |= active;
                }
                Mark::Else if inside => active = !taken,
                Mark::EndIf if inside => (inside, taken, active, pending) = (false, false, true, None),
                Mark::Else => return Err(error(Problem::Condition("`else` without an `if`"))),
                Mark::EndIf => return Err(error(Problem::Condition("`endif` without an `if`"))),
                Mark::Pair => {
                    let step = match (self.target.delay(first), u16::try_from(first)) {
                        (Some(time), _) => Step::Delay(time),
                        (None, Ok(addr)) if first <= self.target.last_address() => {
                            Step::Write { addr, value }
                        }
                        _ => return Err(error(Problem::Address(first))),
                    };
                    if active {
                        steps.push(step);
                    }
                }
            }
        }
        match (inside, rows.last()) {
            (true, Some(last)) => Err(TableError {
                table: self.rows.name,
                line: last.line,
                problem: Problem::Condition("`if` without an `endif`"),
            }),
            _ => Ok(steps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Conditions = Conditions {
        cut: 15,
        package: 15,
        interface: INTERFACE_USB,
        rfe: 0,
        front_end: FrontEndMatch::Amplifiers,
        glna: 0,
        gpa: 0,
        alna: 0,
        apa: 0,
    };

    fn steps(rows: &str, conditions: &Conditions) -> Result<Vec<Step>, TableError> {
        let text: &'static str = format!("{MAGIC}\n{rows}").leak();
        PairTable::new(Target::Baseband, "test", text).steps(conditions)
    }

    fn values(rows: &str, conditions: &Conditions) -> Vec<u32> {
        let steps = steps(rows, conditions).expect("well formed");
        steps.iter().map(|s| if let Step::Write { value, .. } = s { *value } else { u32::MAX }).collect()
    }

    /// if 5 GHz PA of type 5 on both paths, elif 2.4 GHz LNA, else, endif.
    const BRANCHES: &str = "80000008 05000000\n40000000 0\n0800 1\n\
                            90000001 0\n40000000 0\n0800 2\n\
                            a0000000 0\n0800 3\n\
                            b0000000 0\n0804 9\n";

    #[test]
    fn w1_exactly_one_branch_is_taken_and_what_follows_is_for_all() {
        assert_eq!(values(BRANCHES, &BARE), [3, 9]);
        assert_eq!(values(BRANCHES, &Conditions { rfe: 8, apa: 5, ..BARE }), [1, 9]);
        assert_eq!(values(BRANCHES, &Conditions { rfe: 8, apa: 4, ..BARE }), [3, 9]);
        assert_eq!(values(BRANCHES, &Conditions { rfe: 1, ..BARE }), [2, 9]);
        // The first branch that fits wins.
        assert_eq!(values(BRANCHES, &Conditions { rfe: 9, apa: 5, ..BARE }), [1, 9]);
        assert_eq!(values(BRANCHES, &Conditions { rfe: 9, apa: 1, ..BARE }), [2, 9]);
    }

    #[test]
    fn w1_every_amplifier_asked_for_must_be_there_with_its_type() {
        let both = "80000003 00000701\n40000000 0\n0800 1\nb0000000 0\n";
        assert_eq!(values(both, &Conditions { rfe: 3, glna: 1, gpa: 7, ..BARE }), [1]);
        assert!(values(both, &Conditions { rfe: 1, glna: 1, gpa: 7, ..BARE }).is_empty());
        assert!(values(both, &Conditions { rfe: 3, glna: 2, gpa: 7, ..BARE }).is_empty());
        assert!(values(both, &Conditions { rfe: 3, glna: 1, gpa: 6, ..BARE }).is_empty());
        let lna_5g = "80000004 00030000\n40000000 0\n0800 1\nb0000000 0\n";
        assert_eq!(values(lna_5g, &Conditions { rfe: 0x1f, alna: 3, ..BARE }), [1]);
        assert!(values(lna_5g, &Conditions { rfe: 0x1f, alna: 2, ..BARE }).is_empty());
        // Bluetooth alone asks for nothing.
        assert_eq!(values("80000010 0\n40000000 0\n0800 1\nb0000000 0\n", &BARE), [1]);
    }

    #[test]
    fn w1_cut_package_and_interface_must_fit_where_they_are_named() {
        for (condition, fits) in [
            ("80000200", true),  // USB
            ("80000100", false), // PCIe
            ("82000000", false), // cut 2
            ("83000000", true),  // cut 3
            ("83005200", true),  // cut 3, package 5, USB
            ("83004200", false),
            ("80000000", true),
        ] {
            let board = Conditions { cut: 3, package: 5, ..BARE };
            let rows = format!("{condition} 0\n40000000 0\n0800 1\na0000000 0\n0800 0\nb0000000 0\n");
            assert_eq!(values(&rows, &board), [u32::from(fits)], "{condition}");
        }
    }

    #[test]
    fn w1_a_front_end_option_must_be_equal() {
        let rows = "80000002 0\n40000000 0\n0800 1\nb0000000 0\n";
        let board = Conditions { front_end: FrontEndMatch::Option, rfe: 2, ..BARE };
        assert_eq!(values(rows, &board), [1]);
        assert!(values(rows, &Conditions { rfe: 3, ..board }).is_empty());
    }

    #[test]
    fn w1_delay_codes_belong_to_their_target() {
        let text = "# airlift-table: 1\n000000fe 0\n000000fd 0\n000000fa 0\n";
        let of = |target| PairTable::new(target, "test", text).steps(&BARE).unwrap();
        assert_eq!(of(Target::Baseband), [50_000, 5_000, 5].map(|us| Step::Delay(Duration::from_micros(us))));
        assert_eq!(of(Target::Radio)[0], Step::Delay(Duration::from_micros(100)));
        assert_eq!(of(Target::Radio)[1], Step::Write { addr: 0xfd, value: 0 });
        assert_eq!(of(Target::Mac)[0], Step::Write { addr: 0xfe, value: 0 });
        let long = PairTable::new(Target::Radio, "test", "# airlift-table: 1\n00000ffe 0\n");
        assert_eq!(long.steps(&BARE).unwrap(), [Step::Delay(Duration::from_millis(50))]);
    }

    #[test]
    fn w6_a_malformed_table_is_an_error_that_names_its_line() {
        for (rows, expected) in [
            ("0800\n", "table test, line 2: expected 2 words, got 1"),
            ("0800 1 2\n", "table test, line 2: expected 2 words, got 3"),
            ("0800 1\n\n", "table test, line 3: expected 2 words, got 0"),
            ("0800 +1\n", "table test, line 2: expected a hexadecimal word, got `+1`"),
            ("0800 123456789\n", "table test, line 2: expected a hexadecimal word, got `123456789`"),
            ("10800 1\n", "table test, line 2: address 0x10800 is outside the bus"),
            ("40000000 0\n", "table test, line 2: a decision without a condition"),
            ("b0000000 0\n", "table test, line 2: `endif` without an `if`"),
            ("a0000000 0\n", "table test, line 2: `else` without an `if`"),
            ("90000001 0\n", "table test, line 2: `elif` without an `if`"),
            ("80000001 0\n80000001 0\n", "table test, line 3: `if` inside an `if`"),
            ("80000001 0\n40000000 0\n0800 1\n", "table test, line 4: `if` without an `endif`"),
        ] {
            assert_eq!(steps(rows, &BARE).unwrap_err().to_string(), expected);
        }
        let foreign = PairTable::new(Target::Mac, "test", "0800 1\n").steps(&BARE).unwrap_err();
        assert_eq!(foreign.to_string(), "table test, line 1: expected `# airlift-table: 1`");
        assert!(RowTable::<2>::new("test", "").rows().is_err());
    }
}
