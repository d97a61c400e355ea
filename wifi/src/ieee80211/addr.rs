//! [`MacAddr`]: 48 bits of address.

use core::fmt;
use core::str::FromStr;

/// A MAC address, shown and read as `02:00:00:00:0a:01`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names a group: multicast or broadcast (bit 0 of the first byte).
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether it is `ff:ff:ff:ff:ff:ff`.
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether it was assigned locally (bit 1 of the first byte).
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 == 2
    }

    /// The six bytes at `at`; zeros beyond the end.
    pub(super) fn at(bytes: &[u8], at: usize) -> Self {
        Self(bytes.get(at..at + 6).and_then(|b| b.try_into().ok()).unwrap_or_default())
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no MAC address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a MAC address as 02:00:00:00:0a:01, got {text:?}")]
pub struct AddrError {
    text: String,
}

impl FromStr for MacAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let error = || AddrError { text: text.chars().take(40).collect() };
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(error)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() { Err(error()) } else { Ok(Self(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip_through_text() {
        let addr = MacAddr([2, 0, 0, 0, 0x0a, 1]);
        assert_eq!(addr.to_string(), "02:00:00:00:0a:01");
        assert_eq!("02:00:00:00:0a:01".parse(), Ok(addr));
        assert_eq!("02-00-00-00-0A-01".parse(), Ok(addr));
        assert!(addr.is_local() && !addr.is_group());
        assert!(MacAddr::BROADCAST.is_group() && MacAddr::BROADCAST.is_broadcast());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "02:00:00:00:0a",
            "02:00:00:00:0a:01:02",
            "+2:00:00:00:0a:01",
            "0:0:0:0:0:0",
            "ßß:00:00:00:00:00",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text:?}");
        }
    }
}
