//! [`tables`]: the numeric tables in a C source file.
//!
//! Only what the driver's table files use is understood: constant arrays of numbers or of brace-enclosed
//! records of numbers, and the designated initialiser that says which arrays make up a power-tracking table.
//! What else the file holds (power sequences, table descriptors) is skipped. Anything odd inside a wanted
//! array is an error that names it, so that a change of the source's shape is seen and not guessed around.

/// What a table holds; it fixes the number of words in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Address and value, or two words of a condition.
    Pairs,
    /// Transmit power by rate: six words.
    PowerByRate,
    /// Transmit power limits: six small numbers.
    PowerLimit,
    /// Steps of power over temperature: 30 small numbers in a named row.
    PowerTracking,
}

/// One table, ready to be written.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) kind: Kind,
    /// Name in the source.
    pub(crate) array: String,
    /// Name of the data file, without its ending.
    pub(crate) file_stem: String,
    pub(crate) rows: Vec<Vec<u32>>,
    /// Names of the rows; empty where rows have none.
    pub(crate) labels: Vec<String>,
}

/// What in the source was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SourceError {
    #[error("`{array}`: expected a number, got `{token}`")]
    Number { array: String, token: String },
    #[error("`{array}`: {words} words do not fill rows of {columns}")]
    Ragged { array: String, words: usize, columns: usize },
    #[error("`{array}`: initialiser has no end")]
    Unterminated { array: String },
    #[error("`{array}`: expected `.field = array`, got `{entry}`")]
    Designator { array: String, entry: String },
    #[error("`{array}` refers to `{missing}`, which is not there or has another shape")]
    Missing { array: String, missing: String },
}

/// Steps in a row of a power-tracking table (rtw88 `main.h`, `RTW_PWR_TRK_TBL_SZ`).
const TRACKING_STEPS: usize = 30;

/// Every table of `text` whose name starts with `prefix`, in the order of the source.
pub(crate) fn tables(text: &str, prefix: &str) -> Result<Vec<Table>, SourceError> {
    let text = strip_comments(text);
    let declarations = declarations(&text, prefix)?;
    let mut tables = Vec::new();
    for declaration in &declarations {
        let (kind, columns) = match declaration.element {
            "u32" => (Kind::Pairs, 2),
            "struct rtw_phy_pg_cfg_pair" => (Kind::PowerByRate, 6),
            "struct rtw_txpwr_lmt_cfg_pair" => (Kind::PowerLimit, 6),
            "struct rtw_pwr_track_tbl" => {
                tables.push(tracking_table(declaration, &declarations, prefix)?);
                continue;
            }
            _ => continue,
        };
        let mask = if kind == Kind::PowerLimit { 0xff } else { u32::MAX };
        let words = numbers(declaration, declaration.body)?;
        tables.push(Table {
            kind,
            array: declaration.name.to_owned(),
            file_stem: declaration.name[prefix.len()..].to_owned(),
            rows: rows(declaration, words.into_iter().map(|word| word & mask).collect(), columns)?,
            labels: Vec::new(),
        });
    }
    Ok(tables)
}

/// A constant with an initialiser.
#[derive(Debug)]
struct Declaration<'a> {
    element: &'a str,
    name: &'a str,
    /// What stands between the outer braces.
    body: &'a str,
}

/// `const TYPE NAME… = {…};` for every NAME with the prefix.
fn declarations<'a>(text: &'a str, prefix: &str) -> Result<Vec<Declaration<'a>>, SourceError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("const ") {
        rest = &rest[at + "const ".len()..];
        let Some(stop) = rest.find(['=', ';', '{', '(']) else { break };
        if !rest[stop..].starts_with('=') {
            continue;
        }
        let head = rest[..stop].split('[').next().unwrap_or("").trim();
        let Some((element, name)) = head.rsplit_once(char::is_whitespace) else { continue };
        if !name.starts_with(prefix) {
            continue;
        }
        let initialiser = rest[stop + 1..].trim_start();
        let body = braced(initialiser).ok_or_else(|| SourceError::Unterminated { array: name.to_owned() })?;
        found.push(Declaration { element: element.trim(), name, body });
    }
    Ok(found)
}

/// What stands between the first brace of `text`, which it must start with, and its partner.
fn braced(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(&text[1..at]),
            b'}' => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The numbers in an initialiser, inner braces ignored.
fn numbers(declaration: &Declaration<'_>, body: &str) -> Result<Vec<u32>, SourceError> {
    body.split([',', '{', '}'])
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .map(|token| {
            number(token).ok_or_else(|| SourceError::Number {
                array: declaration.name.to_owned(),
                token: token.to_owned(),
            })
        })
        .collect()
}

/// A C integer of at most 32 bits; a negative one as its two's complement.
fn number(token: &str) -> Option<u32> {
    let (negative, digits) = match token.strip_prefix('-') {
        Some(digits) => (true, digits.trim_start()),
        None => (false, token),
    };
    let digits = digits.trim_end_matches(['u', 'U', 'l', 'L']);
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

fn rows(
    declaration: &Declaration<'_>,
    words: Vec<u32>,
    columns: usize,
) -> Result<Vec<Vec<u32>>, SourceError> {
    if words.is_empty() || !words.len().is_multiple_of(columns) {
        return Err(SourceError::Ragged { array: declaration.name.to_owned(), words: words.len(), columns });
    }
    Ok(words.chunks(columns).map(<[u32]>::to_vec).collect())
}

/// Resolves `.field[i] = array[j]` to a named row of numbers.
fn tracking_table(
    declaration: &Declaration<'_>,
    all: &[Declaration<'_>],
    prefix: &str,
) -> Result<Table, SourceError> {
    let mut table = Table {
        kind: Kind::PowerTracking,
        array: declaration.name.to_owned(),
        file_stem: tracking_stem(&declaration.name[prefix.len()..]),
        rows: Vec::new(),
        labels: Vec::new(),
    };
    for entry in declaration.body.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let odd = || SourceError::Designator { array: declaration.name.to_owned(), entry: entry.to_owned() };
        let (field, value) = entry.strip_prefix('.').and_then(|e| e.split_once('=')).ok_or_else(odd)?;
        let (field, field_index) = indexed(field.trim()).ok_or_else(odd)?;
        let (array, index) = indexed(value.trim()).ok_or_else(odd)?;
        let missing =
            || SourceError::Missing { array: declaration.name.to_owned(), missing: value.trim().to_owned() };
        let source = all.iter().find(|d| d.name == array).ok_or_else(missing)?;
        let steps = tracking_rows(source)?.into_iter().nth(index.unwrap_or(0)).ok_or_else(missing)?;
        let label = field.strip_prefix("pwrtrk_").ok_or_else(odd)?;
        table.labels.push(match field_index {
            Some(index) => format!("{label}_{}", index + 1),
            None => label.to_owned(),
        });
        table.rows.push(steps);
    }
    Ok(table)
}

/// The rows of a one- or two-dimensional array of steps. C fills a short initialiser up with zeros, so do we.
fn tracking_rows(source: &Declaration<'_>) -> Result<Vec<Vec<u32>>, SourceError> {
    let groups: Vec<&str> = match source.body.contains('{') {
        true => source.body.split('{').skip(1).map(|group| group.split('}').next().unwrap_or("")).collect(),
        false => vec![source.body],
    };
    groups
        .into_iter()
        .map(|group| {
            let mut steps = numbers(source, group)?;
            if steps.is_empty() || steps.len() > TRACKING_STEPS {
                return Err(SourceError::Ragged {
                    array: source.name.to_owned(),
                    words: steps.len(),
                    columns: TRACKING_STEPS,
                });
            }
            steps.resize(TRACKING_STEPS, 0);
            Ok(steps)
        })
        .collect()
}

/// `rtw_pwr_track_rfe3_tbl` and `rtw_pwrtrk_type0_tbl` become `pwr_track_rfe3` and `pwr_track_type0`.
fn tracking_stem(name: &str) -> String {
    let name = name.strip_prefix("rtw_").unwrap_or(name);
    let name = name.strip_suffix("_tbl").unwrap_or(name);
    name.replace("pwrtrk", "pwr_track")
}

/// `name` or `name[2]`; a symbolic index ends in its number, counted from 1 (`RTW_PWR_TRK_5G_1` is 0).
fn indexed(text: &str) -> Option<(&str, Option<usize>)> {
    let Some((name, index)) = text.split_once('[') else { return Some((text, None)) };
    let index = index.strip_suffix(']')?.trim();
    let index = match index.strip_prefix("RTW_PWR_TRK_5G_") {
        Some(ordinal) => ordinal.parse::<usize>().ok()?.checked_sub(1)?,
        None => index.parse().ok()?,
    };
    Some((name.trim(), Some(index)))
}

/// The text without `/* … */` and `// …`.
fn strip_comments(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else {
            clean.push('/');
            1
        };
        rest = &rest[end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
        /* a comment, with { and 0x99, */
        static const u32 rtw1_bb[] = {
            0x800, 0x8020D090, // trailing
            0x80000001, 0x00000000, 0x40000000, 0x00000000,
        };
        RTW_DECL_TABLE_PHY_COND(rtw1_bb, rtw_phy_cfg_bb);
        static const u32 other_bb[] = { 1, 2 };
        static const struct rtw_txpwr_lmt_cfg_pair rtw1_txpwr_lmt[] = {
            { 0, 0, 0, 0, 1, 36, }, { 2, 1, 0, 1, 36, -2, },
        };
        static const u8
        rtw1_pwrtrk_5ga_n[2][RTW_PWR_TRK_TBL_SZ] = {
            {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1},
            {7,2},
        };
        const struct rtw_pwr_track_tbl rtw1_rtw_pwrtrk_type0_tbl = {
            .pwrtrk_5ga_n[RTW_PWR_TRK_5G_2] = rtw1_pwrtrk_5ga_n[RTW_PWR_TRK_5G_1],
            .pwrtrk_5ga_n[0] = rtw1_pwrtrk_5ga_n[1],
        };";

    #[test]
    fn arrays_records_and_tracking_rows_are_read() {
        let tables = tables(SOURCE, "rtw1_").expect("well formed");
        let stems: Vec<_> = tables.iter().map(|table| table.file_stem.as_str()).collect();
        assert_eq!(stems, ["bb", "txpwr_lmt", "pwr_track_type0"]);
        assert_eq!(tables[0].rows, [[0x800, 0x8020_d090], [0x8000_0001, 0], [0x4000_0000, 0]]);
        assert_eq!(tables[1].rows[1], [2, 1, 0, 1, 36, 0xfe]);
        assert_eq!(tables[2].labels, ["5ga_n_2", "5ga_n_1"]);
        assert_eq!(tables[2].rows[0][29], 1);
        assert_eq!(tables[2].rows[1][..3], [7, 2, 0]);
        assert_eq!(tables[2].rows[1].len(), 30);
    }

    #[test]
    fn an_odd_word_is_an_error_that_names_its_array() {
        let error = tables("static const u32 rtw1_bb[] = { 0x800, SOME_MACRO };", "rtw1_").unwrap_err();
        assert_eq!(error, SourceError::Number { array: "rtw1_bb".into(), token: "SOME_MACRO".into() });
    }

    #[test]
    fn half_a_pair_and_a_missing_end_are_errors() {
        let half = tables("static const u32 rtw1_bb[] = { 1, 2, 3 };", "rtw1_").unwrap_err();
        assert_eq!(half, SourceError::Ragged { array: "rtw1_bb".into(), words: 3, columns: 2 });
        let open = tables("static const u32 rtw1_bb[] = { 1, 2, ", "rtw1_").unwrap_err();
        assert_eq!(open, SourceError::Unterminated { array: "rtw1_bb".into() });
    }

    #[test]
    fn a_tracking_table_that_names_a_missing_array_is_an_error() {
        let text = "const struct rtw_pwr_track_tbl rtw1_t = { .pwrtrk_2ga_n = rtw1_gone };";
        assert!(matches!(tables(text, "rtw1_"), Err(SourceError::Missing { .. })));
    }
}
