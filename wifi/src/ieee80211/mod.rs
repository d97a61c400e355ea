//! Views of 802.11 frames: MAC header, management bodies, elements, and a line that says what a frame is.
//!
//! Every view borrows the bytes and reads a field when it is asked for; making one checks only that the bytes
//! reach as far as its fixed part. Whatever comes from the air is hostile: a view never panics, and what does
//! not parse is a [`Malformed`] that says what was expected and what came.
//!
//! Key types: [`Header`], [`FrameControl`], [`Subtype`], [`MacAddr`], [`Management`], [`Elements`], [`Info`].
//! Neighbours: [`frame`](crate::frame) offers them on a frame, [`filter`](crate::filter) matches on them.
//!
//! Sources: IEEE 802.11-2020, chapter 9 (sections are named at the items).

mod addr;
mod control;
mod element;
mod header;
mod info;
mod management;
mod rsn;

use crc32fast::Hasher;

pub use addr::{AddrError, MacAddr};
pub use control::{FrameControl, FrameType, Subtype};
pub use element::{
    Element, Elements, HtCapabilities, HtOperation, Ssid, VhtCapabilities, VhtOperation, id, is_printable,
};
pub use header::{Header, QosControl, SequenceControl};
pub use info::Info;
pub use management::{Beacon, Management};
pub use rsn::{Rsn, Suite};

/// Bytes of the frame check sequence (IEEE 802.11-2020, 9.2.4.8).
pub const FCS_LEN: usize = 4;

/// Bytes that are no 802.11 frame, or end too early.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end before a part that must be there.
    #[error("{what} needs {need} bytes, {have} came")]
    Short {
        /// The part.
        what: &'static str,
        /// How many bytes it takes.
        need: usize,
        /// How many are there.
        have: usize,
    },
    /// A field holds a value that the standard does not know.
    #[error("{what} is {got}, expected {expected}")]
    Value {
        /// The field.
        what: &'static str,
        /// What was expected of it.
        expected: &'static str,
        /// What it holds.
        got: u32,
    },
}

/// Fails unless there are `need` bytes for `what`.
fn need(bytes: &[u8], what: &'static str, need: usize) -> Result<(), Malformed> {
    if bytes.len() < need { Err(Malformed::Short { what, need, have: bytes.len() }) } else { Ok(()) }
}

/// The little-endian 16 bits at `at`; 0 beyond the end. Views check their length when they are made.
fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

/// The little-endian 32 bits at `at`; 0 beyond the end.
fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// The frame check sequence of a frame: the CRC-32 over header and body, as it stands on the air.
pub fn fcs(mpdu: &[u8]) -> [u8; FCS_LEN] {
    let mut hasher = Hasher::new();
    hasher.update(mpdu);
    hasher.finalize().to_le_bytes()
}

/// Whether the last four bytes are the frame check sequence of those before. Shorter input has none.
pub fn fcs_matches(frame: &[u8]) -> bool {
    frame.split_last_chunk::<FCS_LEN>().is_some_and(|(mpdu, sequence)| fcs(mpdu) == *sequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fcs_of_an_ack_is_the_one_seen_on_the_air() {
        // An ACK to 00:1b:2f:01:02:03 and the CRC-32 of its ten bytes, least significant byte first.
        let ack = [0xd4, 0x00, 0x00, 0x00, 0x00, 0x1b, 0x2f, 0x01, 0x02, 0x03];
        let mut crc = !0u32;
        for byte in ack {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        assert_eq!(fcs(&ack), (!crc).to_le_bytes());
        // The check value of the polynomial, from its definition.
        assert_eq!(fcs(b"123456789"), 0xcbf4_3926_u32.to_le_bytes());
    }

    #[test]
    fn one_flipped_bit_is_found() {
        let mut frame = vec![0xc4, 0, 0x2c, 1, 2, 0, 0, 0, 0, 1];
        frame.extend(fcs(&frame));
        assert!(fcs_matches(&frame));
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(!fcs_matches(&frame), "bit {bit}");
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(!fcs_matches(&[1, 2, 3]));
    }

    /// Asks every view of these bytes for everything.
    fn look_at_all(mpdu: &[u8]) {
        let _ = Info::new(mpdu).to_string();
        let Ok(header) = Header::new(mpdu) else { return };
        assert_eq!(header.len() + header.body().len(), mpdu.len());
        let addrs = [header.receiver(), header.transmitter(), header.addr3(), header.addr4()];
        for addr in [header.source(), header.destination(), header.bssid()].into_iter().flatten() {
            let signalled = |a: MacAddr| MacAddr([a.0[0] & !1, a.0[1], a.0[2], a.0[3], a.0[4], a.0[5]]);
            assert!(addrs.iter().flatten().any(|&a| a == addr || signalled(a) == addr));
        }
        let _ = (header.sequence(), header.qos(), header.ht_control(), header.duration_id());
        let Ok(body) = Management::new(&header) else { return };
        let Some(elements) = body.elements() else { return };
        let len: usize = elements.clone().map_while(Result::ok).map(|e| 2 + e.body.len()).sum();
        assert!(len <= header.body().len());
        let _ = (elements.ssid().map(|ssid| ssid.to_string()), elements.channel(), elements.rates().count());
        let _ =
            elements.rsn().map(|rsn| (rsn.to_string(), rsn.pairwise().count(), rsn.key_management().count()));
        let _ = elements.ht_capabilities().map(|ht| (ht.streams(), ht.short_gi(), ht.supports_40mhz()));
        let _ = elements.ht_operation().map(|ht| (ht.primary_channel(), ht.secondary_offset()));
        let _ = elements.vht_capabilities().map(VhtCapabilities::streams);
        let _ = elements.vht_operation().map(|vht| (vht.channel_width(), vht.centers()));
        let _ = elements.country();
    }

    proptest! {
        #[test]
        fn w2_any_bytes_are_looked_at_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            look_at_all(&bytes);
        }

        #[test]
        fn w2_any_management_body_is_looked_at_or_refused(
            subtype in 0u8..16,
            body in proptest::collection::vec(any::<u8>(), 0..40),
            elements in proptest::collection::vec(
                (prop_oneof![Just(0u8), Just(1), Just(3), Just(45), Just(48), Just(61), Just(191), Just(192)],
                 proptest::collection::vec(any::<u8>(), 0..40)),
                0..8,
            ),
        ) {
            let mut bytes = vec![subtype << 4, 0];
            bytes.resize(24, 2);
            bytes.extend(body);
            for (id, body) in elements {
                bytes.extend([id, body.len() as u8]);
                bytes.extend(body);
            }
            look_at_all(&bytes);
        }
    }
}
