//! [`Elements`]: the tagged parts of a management body, and typed views of those that say what a network is.
//!
//! Source: IEEE 802.11-2020, 9.4.2 (the section of each element is named at its view).

use core::fmt::{self, Write as _};

use super::rsn::Rsn;
use super::{Malformed, le16, need};

/// Element numbers (table 9-92).
pub mod id {
    /// Service set identifier: the network's name.
    pub const SSID: u8 = 0;
    /// Supported rates.
    pub const SUPPORTED_RATES: u8 = 1;
    /// DSSS parameter set: the channel's number.
    pub const DS_PARAMETER: u8 = 3;
    /// Traffic indication map.
    pub const TIM: u8 = 5;
    /// Country.
    pub const COUNTRY: u8 = 7;
    /// HT capabilities.
    pub const HT_CAPABILITIES: u8 = 45;
    /// Robust security network.
    pub const RSN: u8 = 48;
    /// Extended supported rates.
    pub const EXTENDED_RATES: u8 = 50;
    /// HT operation.
    pub const HT_OPERATION: u8 = 61;
    /// VHT capabilities.
    pub const VHT_CAPABILITIES: u8 = 191;
    /// VHT operation.
    pub const VHT_OPERATION: u8 = 192;
    /// Vendor specific.
    pub const VENDOR: u8 = 221;
    /// Extension: the first byte of the body tells which.
    pub const EXTENSION: u8 = 255;
}

/// One element: its number and its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element<'a> {
    /// The element's number, see [`id`].
    pub id: u8,
    /// What comes after the length, 0 to 255 bytes.
    pub body: &'a [u8],
}

/// The elements of a body, in order. Ends after the first one that is cut off, which comes as an error.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The body of the first element numbered `id` before anything malformed.
    pub fn find(&self, id: u8) -> Option<&'a [u8]> {
        self.clone().map_while(Result::ok).find(|element| element.id == id).map(|element| element.body)
    }

    /// The network's name (9.4.2.2), if there is an SSID element of at most 32 bytes.
    pub fn ssid(&self) -> Option<Ssid<'a>> {
        self.find(id::SSID).and_then(Ssid::new)
    }

    /// The channel that the DSSS parameter set (9.4.2.4) or else the HT operation element names.
    pub fn channel(&self) -> Option<u8> {
        let ds = self.find(id::DS_PARAMETER).and_then(|body| body.first().copied());
        ds.or_else(|| self.ht_operation().map(|operation| operation.primary_channel()))
    }

    /// Supported and extended rates (9.4.2.3, 9.4.2.13) in units of 500 kbit/s, and whether each is basic.
    pub fn rates(&self) -> impl Iterator<Item = (u8, bool)> + use<'a> {
        let bodies = [self.find(id::SUPPORTED_RATES), self.find(id::EXTENDED_RATES)];
        bodies.into_iter().flatten().flatten().map(|&rate| (rate & 0x7f, rate & 0x80 != 0))
    }

    /// The security of the network (9.4.2.24), if an RSN element is there and parses.
    pub fn rsn(&self) -> Option<Rsn<'a>> {
        self.find(id::RSN).and_then(|body| Rsn::new(body).ok())
    }

    /// HT capabilities, if they are there and whole.
    pub fn ht_capabilities(&self) -> Option<HtCapabilities<'a>> {
        self.find(id::HT_CAPABILITIES).and_then(|body| HtCapabilities::new(body).ok())
    }

    /// HT operation, if it is there and whole.
    pub fn ht_operation(&self) -> Option<HtOperation<'a>> {
        self.find(id::HT_OPERATION).and_then(|body| HtOperation::new(body).ok())
    }

    /// VHT capabilities, if they are there and whole.
    pub fn vht_capabilities(&self) -> Option<VhtCapabilities<'a>> {
        self.find(id::VHT_CAPABILITIES).and_then(|body| VhtCapabilities::new(body).ok())
    }

    /// VHT operation, if it is there and whole.
    pub fn vht_operation(&self) -> Option<VhtOperation<'a>> {
        self.find(id::VHT_OPERATION).and_then(|body| VhtOperation::new(body).ok())
    }

    /// The country code (9.4.2.8): two letters and a byte for the environment.
    pub fn country(&self) -> Option<[u8; 3]> {
        self.find(id::COUNTRY).and_then(|body| body.first_chunk::<3>().copied())
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = core::mem::take(&mut self.rest);
        let (&id, after) = rest.split_first()?;
        let Some((&len, after)) = after.split_first() else {
            return Some(Err(Malformed::Short { what: "element header", need: 2, have: 1 }));
        };
        let Some((body, after)) = after.split_at_checked(usize::from(len)) else {
            return Some(Err(Malformed::Short {
                what: "element body",
                need: usize::from(len),
                have: after.len(),
            }));
        };
        self.rest = after;
        Some(Ok(Element { id, body }))
    }
}

/// A network's name: 0 to 32 bytes of any kind.
///
/// Displayed in quotes with everything escaped that is not printable, so that a name cannot drive a terminal.
/// A hidden one (empty, or all zeros) is displayed as `hidden`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ssid<'a>(&'a [u8]);

impl<'a> Ssid<'a> {
    /// The name in the body of an SSID element; `None` if it is longer than 32 bytes.
    pub fn new(body: &'a [u8]) -> Option<Self> {
        (body.len() <= 32).then_some(Self(body))
    }

    /// The bytes, as they came.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether the access point keeps its name to itself.
    pub fn is_hidden(self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }
}

impl fmt::Display for Ssid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_hidden() {
            return f.write_str("hidden");
        }
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '"' | '\\' => write!(f, "\\{c}")?,
                    c if is_printable(c) => f.write_char(c)?,
                    c => write!(f, "{}", c.escape_unicode())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')
    }
}

/// Whether a character of a text from outside may reach a terminal as it is: no control character (C0, DEL, C1),
/// none that turns the direction of text, none that is invisible or means something else on each machine.
pub fn is_printable(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}');
    !c.is_control() && !invisible
}

macro_rules! fixed_view {
    ($(#[$doc:meta])* $name:ident, $what:literal, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name<'a>(&'a [u8]);

        impl<'a> $name<'a> {
            /// The view of an element's body.
            ///
            /// # Errors
            /// [`Malformed`] if the body is shorter than the element's fixed part.
            pub fn new(body: &'a [u8]) -> Result<Self, Malformed> {
                need(body, $what, $len)?;
                Ok(Self(body))
            }
        }
    };
}

fixed_view! {
    /// HT capabilities (9.4.2.55).
    HtCapabilities, "HT capabilities", 26
}

impl HtCapabilities<'_> {
    /// Whether 40 MHz channels are supported.
    pub fn supports_40mhz(self) -> bool {
        le16(self.0, 0) & 0x0002 != 0
    }

    /// Whether a short guard interval is supported at 20 and at 40 MHz.
    pub fn short_gi(self) -> (bool, bool) {
        let info = le16(self.0, 0);
        (info & 0x0020 != 0, info & 0x0040 != 0)
    }

    /// How many spatial streams it receives, 0 to 4: the groups of eight in its MCS set.
    pub fn streams(self) -> u8 {
        self.0[3..7].iter().take_while(|&&mcs| mcs != 0).count() as u8
    }
}

fixed_view! {
    /// HT operation (9.4.2.56).
    HtOperation, "HT operation", 22
}

impl HtOperation<'_> {
    /// The number of the primary channel.
    pub fn primary_channel(self) -> u8 {
        self.0[0]
    }

    /// Where the secondary channel lies: +1 above the primary, -1 below, 0 if there is none.
    pub fn secondary_offset(self) -> i8 {
        match self.0[1] & 3 {
            1 => 1,
            3 => -1,
            _ => 0,
        }
    }
}

fixed_view! {
    /// VHT capabilities (9.4.2.157).
    VhtCapabilities, "VHT capabilities", 12
}

impl VhtCapabilities<'_> {
    /// How many spatial streams it receives, 0 to 8.
    pub fn streams(self) -> u8 {
        let map = le16(self.0, 4);
        (0..8).rev().find(|stream| map >> (2 * stream) & 3 != 3).map_or(0, |stream| stream + 1)
    }
}

fixed_view! {
    /// VHT operation (9.4.2.158).
    VhtOperation, "VHT operation", 5
}

impl VhtOperation<'_> {
    /// The channel width field: 0 leaves it to HT operation, 1 is 80 MHz (or wider), 2 and 3 are historic.
    pub fn channel_width(self) -> u8 {
        self.0[0]
    }

    /// The numbers of the centres of the two frequency segments.
    pub fn centers(self) -> (u8, u8) {
        (self.0[1], self.0[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_in_order_and_the_cut_one_as_an_error() {
        let bytes = [0, 2, b'h', b'i', 3, 1, 11, 221, 9, 1, 2];
        let elements = Elements::new(&bytes);
        assert_eq!(elements.ssid().unwrap().bytes(), b"hi");
        assert_eq!(elements.channel(), Some(11));
        let all: Vec<_> = elements.collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[1], Ok(Element { id: id::DS_PARAMETER, body: &[11] }));
        assert_eq!(all[2], Err(Malformed::Short { what: "element body", need: 9, have: 2 }));
        assert!(matches!(Elements::new(&[7]).next(), Some(Err(Malformed::Short { .. }))));
    }

    #[test]
    fn a_name_cannot_drive_a_terminal() {
        let shown = |bytes| Ssid::new(bytes).unwrap().to_string();
        assert_eq!(shown(b"coffee"), "\"coffee\"");
        assert_eq!(shown("Café ☕".as_bytes()), "\"Café ☕\"");
        assert_eq!(shown(b"\x1b[31m\"\\\n"), "\"\\u{1b}[31m\\\"\\\\\\u{a}\"");
        assert_eq!(shown(b"\xff\xfeok"), "\"\\xff\\xfeok\"");
        assert_eq!(shown("a\u{202e}b\u{9b}".as_bytes()), "\"a\\u{202e}b\\u{9b}\"");
        assert_eq!(shown(b""), "hidden");
        assert_eq!(shown(&[0; 6]), "hidden");
        assert!(Ssid::new(&[b'x'; 33]).is_none());
    }

    #[test]
    fn rates_tell_which_are_basic() {
        let bytes = [1, 4, 0x82, 0x84, 0x0b, 0x16, 50, 1, 0x6c];
        let rates: Vec<_> = Elements::new(&bytes).rates().collect();
        assert_eq!(rates, [(2, true), (4, true), (11, false), (22, false), (108, false)]);
    }

    #[test]
    fn ht_and_vht_tell_streams_and_channel() {
        let mut bytes = vec![45, 26];
        bytes.extend([0x6f, 0x00, 0x17, 0xff, 0xff, 0, 0]);
        bytes.extend([0; 19]);
        bytes.extend([61, 22, 36, 0x05]);
        bytes.extend([0; 20]);
        bytes.extend([191, 12, 0, 0, 0, 0, 0xfa, 0xff, 0, 0, 0xfa, 0xff, 0, 0]);
        bytes.extend([192, 5, 1, 42, 0, 0, 0]);
        let elements = Elements::new(&bytes);
        let ht = elements.ht_capabilities().unwrap();
        assert_eq!((ht.supports_40mhz(), ht.short_gi(), ht.streams()), (true, (true, true), 2));
        let operation = elements.ht_operation().unwrap();
        assert_eq!((operation.primary_channel(), operation.secondary_offset()), (36, 1));
        assert_eq!(elements.channel(), Some(36));
        assert_eq!(elements.vht_capabilities().unwrap().streams(), 2);
        assert_eq!(elements.vht_operation().unwrap().centers(), (42, 0));
        assert!(HtCapabilities::new(&[0; 25]).is_err());
    }
}
