//! [`Rsn`]: the robust security network element, which says how a network is protected.
//!
//! Source: IEEE 802.11-2020, 9.4.2.24, tables 9-149 and 9-151.

use core::fmt;

use super::{Malformed, le16, need};

/// A cipher or key-management suite: the organisation that defined it, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Suite(pub [u8; 4]);

/// The organisation of the suites that the standard defines.
const IEEE: [u8; 3] = [0x00, 0x0f, 0xac];

impl Suite {
    fn number(self) -> Option<u8> {
        (self.0[..3] == IEEE).then_some(self.0[3])
    }

    /// The name of a cipher suite: `CCMP`.
    pub fn cipher(self) -> Option<&'static str> {
        Some(match self.number()? {
            1 => "WEP-40",
            2 => "TKIP",
            4 => "CCMP",
            5 => "WEP-104",
            6 => "BIP-CMAC",
            8 => "GCMP",
            9 => "GCMP-256",
            10 => "CCMP-256",
            _ => return None,
        })
    }

    /// The name of a key-management suite: `PSK`.
    pub fn key_management(self) -> Option<&'static str> {
        Some(match self.number()? {
            1 => "802.1X",
            2 => "PSK",
            3 => "FT-802.1X",
            4 => "FT-PSK",
            5 => "802.1X-SHA256",
            6 => "PSK-SHA256",
            8 => "SAE",
            9 => "FT-SAE",
            18 => "OWE",
            _ => return None,
        })
    }
}

/// The parts of an RSN element. Parts that the element leaves out are empty: it may end after any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rsn<'a> {
    group: Option<Suite>,
    pairwise: &'a [u8],
    key_management: &'a [u8],
    capabilities: Option<u16>,
}

impl<'a> Rsn<'a> {
    /// The view of an element's body.
    ///
    /// # Errors
    /// [`Malformed`] if the version is not 1, or the body ends within a part.
    pub fn new(body: &'a [u8]) -> Result<Self, Malformed> {
        need(body, "RSN version", 2)?;
        let version = le16(body, 0);
        if version != 1 {
            return Err(Malformed::Value { what: "RSN version", expected: "1", got: version.into() });
        }
        let mut rest = &body[2..];
        let mut rsn = Self { group: None, pairwise: &[], key_management: &[], capabilities: None };
        if rest.is_empty() {
            return Ok(rsn);
        }
        need(rest, "RSN group cipher", 4)?;
        rsn.group = rest.first_chunk().map(|&suite| Suite(suite));
        rest = &rest[4..];
        rsn.pairwise = list(&mut rest, "RSN pairwise ciphers")?;
        rsn.key_management = list(&mut rest, "RSN key management")?;
        if !rest.is_empty() {
            need(rest, "RSN capabilities", 2)?;
            rsn.capabilities = Some(le16(rest, 0));
        }
        Ok(rsn)
    }

    /// The cipher of group traffic.
    pub fn group(&self) -> Option<Suite> {
        self.group
    }

    /// The ciphers of unicast traffic.
    pub fn pairwise(&self) -> impl Iterator<Item = Suite> + use<'a> {
        suites(self.pairwise)
    }

    /// The ways to get at keys.
    pub fn key_management(&self) -> impl Iterator<Item = Suite> + use<'a> {
        suites(self.key_management)
    }

    /// Whether management frames must be protected.
    pub fn requires_management_protection(&self) -> bool {
        self.capabilities.is_some_and(|capabilities| capabilities & 0x0040 != 0)
    }
}

impl fmt::Display for Rsn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.key_management().filter_map(Suite::key_management);
        f.write_str(names.next().unwrap_or("RSN"))?;
        names.try_for_each(|name| write!(f, "+{name}"))
    }
}

/// A count and so many suites; nothing if the element ends before.
fn list<'a>(rest: &mut &'a [u8], what: &'static str) -> Result<&'a [u8], Malformed> {
    if rest.is_empty() {
        return Ok(&[]);
    }
    need(rest, what, 2)?;
    let len = 4 * usize::from(le16(rest, 0));
    let after = &rest[2..];
    need(after, what, len)?;
    let (suites, after) = after.split_at(len);
    *rest = after;
    Ok(suites)
}

fn suites(bytes: &[u8]) -> impl Iterator<Item = Suite> + use<'_> {
    bytes.chunks_exact(4).filter_map(|suite| suite.try_into().ok().map(Suite))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WPA2: [u8; 20] = [1, 0, 0, 0x0f, 0xac, 4, 1, 0, 0, 0x0f, 0xac, 4, 1, 0, 0, 0x0f, 0xac, 2, 0x40, 0];

    #[test]
    fn wpa2_personal_is_ccmp_with_a_pre_shared_key() {
        let rsn = Rsn::new(&WPA2).unwrap();
        assert_eq!(rsn.group().and_then(Suite::cipher), Some("CCMP"));
        assert_eq!(rsn.pairwise().filter_map(Suite::cipher).collect::<Vec<_>>(), ["CCMP"]);
        assert!(rsn.requires_management_protection());
        assert_eq!(rsn.to_string(), "PSK");
    }

    #[test]
    fn it_may_end_after_any_part_and_within_none() {
        for len in 0..=WPA2.len() {
            let whole = matches!(len, 2 | 6 | 12 | 18 | 20);
            assert_eq!(Rsn::new(&WPA2[..len]).is_ok(), whole, "{len} bytes");
        }
        let mut too_many = WPA2;
        too_many[6] = 0xff;
        assert!(Rsn::new(&too_many).is_err());
        let mut version = WPA2;
        version[0] = 2;
        assert!(Rsn::new(&version).is_err());
    }
}
