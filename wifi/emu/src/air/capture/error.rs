//! [`CaptureError`]: why a file is not replayed.

use std::io;

use super::{BARE, RADIOTAP};

/// Why a capture could not be read. Says what was expected and what came; the file's name is the caller's to add.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file could not be read, or is a damaged or truncated gzip file.
    #[error("cannot read the capture: {message}")]
    Io {
        /// The kind of failure.
        kind: io::ErrorKind,
        /// The system's words for it.
        message: String,
    },
    /// There is nothing in it.
    #[error("the file is empty; expected a pcap or pcapng capture, plain or gzip")]
    Empty,
    /// It does not begin as a capture does.
    #[error("not a capture: expected pcap or pcapng, plain or gzip, but the file begins with {}", hex(.found))]
    NotACapture {
        /// Its first bytes, at most four.
        found: Vec<u8>,
    },
    /// It ends within a record.
    #[error("the capture is cut short: it ends {missing} after {frames} whole frames")]
    Truncated {
        /// Frames before that.
        frames: usize,
        /// Where it ends.
        missing: &'static str,
    },
    /// A record or block contradicts itself.
    #[error("the capture is damaged after {frames} frames: {reason}")]
    Malformed {
        /// Frames before that.
        frames: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// It holds something else than 802.11 frames.
    #[error(
        "link type {found} ({}) is not supported; expected {RADIOTAP} (802.11 with radiotap) or {BARE} (802.11)",
        link_name(*.found)
    )]
    LinkType {
        /// The link type of the file, or of the frame's interface.
        found: u32,
    },
    /// A radiotap header is malformed.
    #[error("frame {frame} has a malformed radiotap header: {reason}")]
    Radiotap {
        /// The frame, counted from 1.
        frame: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A frame is longer than any receiver can report.
    #[error("frame {frame} has {length} bytes; a receiver reports at most {limit}")]
    TooLong {
        /// The frame, counted from 1.
        frame: usize,
        /// Its length.
        length: usize,
        /// The most there may be.
        limit: usize,
    },
    /// The file is larger than what is read into memory.
    #[error("the capture is too large: more than {} MiB, decompressed; cut it into parts, with editcap for example", .limit >> 20)]
    TooLarge {
        /// The most bytes there may be.
        limit: u64,
    },
    /// The file has more frames than are kept in memory.
    #[error("the capture has more than {limit} frames; cut it into parts, with editcap for example")]
    TooMany {
        /// The most frames there may be.
        limit: usize,
    },
}

impl CaptureError {
    #[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
    pub(crate) fn io(error: io::Error) -> Self {
        Self::Io { kind: error.kind(), message: error.to_string() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Names of link types that a foreign capture is likely to have.
fn link_name(link: u32) -> &'static str {
    match link {
        0 => "BSD loopback",
        1 => "Ethernet",
        101 | 12 => "raw IP",
        113 => "Linux cooked",
        119 => "802.11 with a Prism header",
        163 => "802.11 with an AVS header",
        189 | 220 => "USB",
        192 => "PPI",
        195 | 230 => "802.15.4",
        201 | 187 => "Bluetooth",
        276 => "Linux cooked v2",
        _ => "not 802.11",
    }
}
