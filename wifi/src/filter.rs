//! [`Filter`]: which frames a reader wants, as data.
//!
//! Terms are combined with `&`, `|` and `!`. A filter can be compared, shown, and read back from text:
//!
//! ```
//! use airlift_wifi::filter::Filter;
//! use airlift_wifi::ieee80211::{FrameType, Subtype};
//! let filter = Filter::subtype(Subtype::Beacon) & Filter::min_signal_dbm(-60) | Filter::kind(FrameType::Data);
//! assert_eq!(filter.to_string(), "subtype=beacon and signal>=-60 or type=data");
//! assert_eq!("subtype=beacon and signal>=-60 or type=data".parse(), Ok(filter));
//! ```
//!
//! Neighbours: [`stream`](crate::stream) applies it before a frame is queued.

mod text;

use core::ops::{BitAnd, BitOr, Not};

use crate::frame::{Fcs, Frame};
use crate::ieee80211::{FrameType, Header, MacAddr, Subtype};

pub use text::FilterError;

/// A predicate on frames. A term about something that a frame does not have (an address, a signal) is false.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Filter(Node);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Kind(FrameType),
    Subtype(Subtype),
    Address(MacAddr),
    Receiver(MacAddr),
    Transmitter(MacAddr),
    Bssid(MacAddr),
    MinSignal(i8),
    BadFcs(bool),
}

impl Filter {
    /// Matches every frame.
    pub fn everything() -> Self {
        Self(Node::All(Vec::new()))
    }

    /// Frames of a type.
    pub fn kind(kind: FrameType) -> Self {
        Self(Node::Kind(kind))
    }

    /// Frames of a type and subtype.
    pub fn subtype(subtype: Subtype) -> Self {
        Self(Node::Subtype(subtype))
    }

    /// Frames with `addr` in any of their addresses.
    pub fn address(addr: MacAddr) -> Self {
        Self(Node::Address(addr))
    }

    /// Frames to `addr` on the air.
    pub fn receiver(addr: MacAddr) -> Self {
        Self(Node::Receiver(addr))
    }

    /// Frames from `addr` on the air.
    pub fn transmitter(addr: MacAddr) -> Self {
        Self(Node::Transmitter(addr))
    }

    /// Frames of the network of this access point.
    pub fn bssid(addr: MacAddr) -> Self {
        Self(Node::Bssid(addr))
    }

    /// Frames received with at least `dbm`.
    pub fn min_signal_dbm(dbm: i8) -> Self {
        Self(Node::MinSignal(dbm))
    }

    /// Frames whose check sequence is right.
    pub fn good_fcs() -> Self {
        Self(Node::BadFcs(false))
    }

    /// Frames whose check sequence is wrong.
    pub fn bad_fcs() -> Self {
        Self(Node::BadFcs(true))
    }

    /// Whether the frame is wanted.
    pub fn matches(&self, frame: &Frame) -> bool {
        self.0.matches(frame, &mut Parsed::NotYet)
    }

    /// Whether it says anything about the check sequence.
    pub(crate) fn mentions_fcs(&self) -> bool {
        self.0.mentions_fcs()
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::everything()
    }
}

/// The header, parsed when the first term asks for it.
enum Parsed<'a> {
    NotYet,
    Header(Option<Header<'a>>),
}

impl<'a> Parsed<'a> {
    fn header(&mut self, frame: &'a Frame) -> Option<Header<'a>> {
        match self {
            Self::Header(header) => *header,
            Self::NotYet => {
                let header = frame.header().ok();
                *self = Self::Header(header);
                header
            }
        }
    }
}

impl Node {
    fn matches<'a>(&self, frame: &'a Frame, parsed: &mut Parsed<'a>) -> bool {
        let mut header = |test: &dyn Fn(Header<'a>) -> bool| parsed.header(frame).is_some_and(test);
        match self {
            Self::Kind(kind) => header(&|h| h.frame_control().kind() == *kind),
            Self::Subtype(subtype) => header(&|h| h.subtype() == *subtype),
            Self::Address(addr) => {
                header(&|h| [h.receiver(), h.transmitter(), h.addr3(), h.addr4()].contains(&Some(*addr)))
            }
            Self::Receiver(addr) => header(&|h| h.receiver() == Some(*addr)),
            Self::Transmitter(addr) => header(&|h| h.transmitter() == Some(*addr)),
            Self::Bssid(addr) => header(&|h| h.bssid() == Some(*addr)),
            Self::MinSignal(dbm) => frame.signal_dbm().is_some_and(|signal| signal >= *dbm),
            Self::BadFcs(bad) => match frame.fcs() {
                Fcs::Good => !bad,
                Fcs::Bad => *bad,
                Fcs::Absent => false,
            },
            Self::All(nodes) => nodes.iter().all(|node| node.matches(frame, parsed)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(frame, parsed)),
            Self::Not(node) => !node.matches(frame, parsed),
        }
    }

    fn mentions_fcs(&self) -> bool {
        match self {
            Self::BadFcs(_) => true,
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().any(Self::mentions_fcs),
            Self::Not(node) => node.mentions_fcs(),
            _ => false,
        }
    }
}

/// Both must match.
impl BitAnd for Filter {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        let mut nodes = match self.0 {
            Node::All(nodes) => nodes,
            node => vec![node],
        };
        match other.0 {
            Node::All(more) => nodes.extend(more),
            node => nodes.push(node),
        }
        Self(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }
}

/// At least one must match.
impl BitOr for Filter {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        let mut nodes = match self.0 {
            Node::Any(nodes) => nodes,
            node => vec![node],
        };
        match other.0 {
            Node::Any(more) => nodes.extend(more),
            node => nodes.push(node),
        }
        Self(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }
}

/// It must not match.
impl Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self(match self.0 {
            Node::Not(node) => *node,
            node => Node::Not(Box::new(node)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AP: MacAddr = MacAddr([2, 0, 0, 0, 0x0a, 1]);
    const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0x0b, 7]);

    fn data_to_ap() -> Frame {
        let mut bytes = vec![0x08, 0x01, 0, 0];
        for addr in [AP, STATION, MacAddr::BROADCAST] {
            bytes.extend(addr.0);
        }
        bytes.extend([0, 0]);
        Frame::builder(bytes).append_fcs().signal_dbm(-60).build()
    }

    #[test]
    fn w1_every_term_matches_what_it_names_and_nothing_else() {
        let frame = data_to_ap();
        let yes = [
            Filter::everything(),
            Filter::kind(FrameType::Data),
            Filter::subtype(Subtype::Data),
            Filter::address(AP),
            Filter::address(STATION),
            Filter::address(MacAddr::BROADCAST),
            Filter::receiver(AP),
            Filter::transmitter(STATION),
            Filter::bssid(AP),
            Filter::min_signal_dbm(-60),
            Filter::good_fcs(),
        ];
        let no = [
            Filter::kind(FrameType::Management),
            Filter::subtype(Subtype::QosData),
            Filter::address(MacAddr([9; 6])),
            Filter::receiver(STATION),
            Filter::transmitter(AP),
            Filter::bssid(STATION),
            Filter::min_signal_dbm(-59),
            Filter::bad_fcs(),
        ];
        for filter in &yes {
            assert!(filter.matches(&frame), "{filter}");
            assert!(!(!filter.clone()).matches(&frame), "not {filter}");
        }
        for filter in &no {
            assert!(!filter.matches(&frame), "{filter}");
            assert!((filter.clone() | yes[1].clone()).matches(&frame));
            assert!(!(filter.clone() & yes[1].clone()).matches(&frame));
        }
    }

    #[test]
    fn w1_a_term_about_what_a_frame_does_not_have_is_false() {
        let broken = Frame::builder(&[0x08][..]).build();
        for filter in [
            Filter::kind(FrameType::Data),
            Filter::address(MacAddr::default()),
            Filter::min_signal_dbm(i8::MIN),
            Filter::good_fcs(),
            Filter::bad_fcs(),
        ] {
            assert!(!filter.matches(&broken), "{filter}");
        }
        assert!(Filter::everything().matches(&broken));
    }
}
