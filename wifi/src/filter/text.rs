//! Filters as text: `subtype=beacon and not (signal>=-60 or fcs=bad)`.

use core::fmt;
use core::str::FromStr;

use super::{Filter, Node};
use crate::ieee80211::{FrameType, Subtype};

/// How deep parentheses and `not` may nest.
const MAX_DEPTH: usize = 32;

/// Text that is no filter.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("filter: expected {expected}, got {}", if got.is_empty() { "the end" } else { got })]
pub struct FilterError {
    expected: &'static str,
    got: String,
}

impl FilterError {
    fn new(expected: &'static str, got: &str) -> Self {
        Self { expected, got: got.chars().take(40).collect() }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, 0)
    }
}

impl Node {
    /// Writes the node; `binding` is 0 where anything may stand, 1 within `or`, 2 within `and`, 3 after `not`.
    fn write(&self, f: &mut fmt::Formatter<'_>, binding: u8) -> fmt::Result {
        let (nodes, word, own, empty) = match self {
            Self::Kind(kind) => return write!(f, "type={kind}"),
            Self::Subtype(Subtype::Reserved { kind, bits }) => return write!(f, "subtype={kind}:{bits}"),
            Self::Subtype(subtype) => return write!(f, "subtype={subtype}"),
            Self::Address(addr) => return write!(f, "addr={addr}"),
            Self::Receiver(addr) => return write!(f, "ra={addr}"),
            Self::Transmitter(addr) => return write!(f, "ta={addr}"),
            Self::Bssid(addr) => return write!(f, "bssid={addr}"),
            Self::MinSignal(dbm) => return write!(f, "signal>={dbm}"),
            Self::BadFcs(bad) => return write!(f, "fcs={}", if *bad { "bad" } else { "good" }),
            Self::Not(node) => {
                f.write_str("not ")?;
                return node.write(f, 3);
            }
            Self::All(nodes) => (nodes, " and ", 2, "any"),
            Self::Any(nodes) => (nodes, " or ", 1, "none"),
        };
        if nodes.is_empty() {
            return f.write_str(empty);
        }
        let parentheses = binding >= own;
        if parentheses {
            f.write_str("(")?;
        }
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                f.write_str(word)?;
            }
            node.write(f, own)?;
        }
        if parentheses { f.write_str(")") } else { Ok(()) }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut parser = Parser { rest: text };
        let filter = parser.or(0)?;
        match parser.peek() {
            "" => Ok(filter),
            got => Err(FilterError::new("`and`, `or` or the end", got)),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// The next word or parenthesis.
    fn peek(&self) -> &'a str {
        let rest = self.rest.trim_start();
        let end = match rest.chars().next() {
            Some('(' | ')') => 1,
            _ => rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')').unwrap_or(rest.len()),
        };
        &rest[..end]
    }

    fn next(&mut self) -> &'a str {
        let word = self.peek();
        self.rest = &self.rest.trim_start()[word.len()..];
        word
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.peek() == word;
        if is_next {
            self.next();
        }
        is_next
    }

    fn or(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut filter = self.and(depth)?;
        while self.takes("or") {
            filter = filter | self.and(depth)?;
        }
        Ok(filter)
    }

    fn and(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut filter = self.factor(depth)?;
        while self.takes("and") {
            filter = filter & self.factor(depth)?;
        }
        Ok(filter)
    }

    fn factor(&mut self, depth: usize) -> Result<Filter, FilterError> {
        if depth >= MAX_DEPTH {
            return Err(FilterError::new("at most 32 levels of nesting", self.rest));
        }
        if self.takes("not") {
            return Ok(!self.factor(depth + 1)?);
        }
        if self.takes("(") {
            let filter = self.or(depth + 1)?;
            return match self.next() {
                ")" => Ok(filter),
                got => Err(FilterError::new("`)`", got)),
            };
        }
        term(self.next()).map(Filter)
    }
}

fn term(word: &str) -> Result<Node, FilterError> {
    const TERM: &str =
        "any, none, type=, subtype=, addr=, ra=, ta=, bssid=, signal>=, fcs=, `not` or a parenthesis";
    match word {
        "any" => return Ok(Node::All(Vec::new())),
        "none" => return Ok(Node::Any(Vec::new())),
        _ => {}
    }
    let (key, value) = word.split_once('=').ok_or_else(|| FilterError::new(TERM, word))?;
    let addr = || value.parse().map_err(|_| FilterError::new("a MAC address", value));
    Ok(match key {
        "type" => Node::Kind(kind(value)?),
        "subtype" => Node::Subtype(subtype(value)?),
        "addr" => Node::Address(addr()?),
        "ra" => Node::Receiver(addr()?),
        "ta" => Node::Transmitter(addr()?),
        "bssid" => Node::Bssid(addr()?),
        "signal>" => Node::MinSignal(
            value.parse().map_err(|_| FilterError::new("a signal in dBm, -128 to 127", value))?,
        ),
        "fcs" => match value {
            "good" => Node::BadFcs(false),
            "bad" => Node::BadFcs(true),
            _ => return Err(FilterError::new("good or bad", value)),
        },
        _ => return Err(FilterError::new(TERM, word)),
    })
}

fn kind(name: &str) -> Result<FrameType, FilterError> {
    [FrameType::Management, FrameType::Control, FrameType::Data, FrameType::Extension]
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| FilterError::new("management, control, data or extension", name))
}

fn subtype(name: &str) -> Result<Subtype, FilterError> {
    let error = || FilterError::new("a subtype such as beacon or qos-data", name);
    match name.split_once(':') {
        None => Subtype::from_name(name).ok_or_else(error),
        Some((word, bits)) => match bits.parse() {
            Ok(bits @ 0..16) => Ok(Subtype::from_bits(kind(word)?, bits)),
            _ => Err(error()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ieee80211::MacAddr;
    use proptest::prelude::*;

    #[test]
    fn w1_text_that_is_no_filter_says_what_was_expected() {
        for (text, error) in [
            ("", "filter: expected any, none, type="),
            ("beacon", "got beacon"),
            ("type=beacon", "expected management, control, data or extension, got beacon"),
            ("subtype=data:16", "expected a subtype such as beacon or qos-data"),
            ("ra=02:00", "expected a MAC address, got 02:00"),
            ("signal>=-200", "expected a signal in dBm, -128 to 127, got -200"),
            ("any any", "expected `and`, `or` or the end, got any"),
            ("(any", "expected `)`, got the end"),
            ("fcs=wrong", "expected good or bad"),
        ] {
            let got = text.parse::<Filter>().unwrap_err().to_string();
            assert!(got.contains(error), "{text:?}: {got}");
        }
        assert!("(".repeat(100_000).parse::<Filter>().is_err());
        assert!("not ".repeat(100_000).parse::<Filter>().is_err());
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let addr = any::<[u8; 6]>().prop_map(MacAddr);
        let leaf = prop_oneof![
            Just(Filter::everything()),
            (0..16u8).prop_map(|bits| Filter::subtype(Subtype::from_bits(FrameType::Data, bits))),
            Just(Filter::kind(FrameType::Control)),
            addr.clone().prop_map(Filter::address),
            addr.prop_map(Filter::bssid),
            any::<i8>().prop_map(Filter::min_signal_dbm),
            Just(Filter::bad_fcs()),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a & b),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a | b),
                inner.prop_map(|a| !a),
            ]
        })
    }

    proptest! {
        #[test]
        fn w1_a_filter_round_trips_through_text(filter in filters()) {
            let text = filter.to_string();
            prop_assert_eq!(text.parse::<Filter>(), Ok(filter), "{}", text);
        }

        #[test]
        fn w1_any_text_is_parsed_or_refused(text in ".{0,80}") {
            let _ = text.parse::<Filter>();
        }
    }
}
