//! [`Capture`]: the 802.11 frames of a pcap or pcapng file, plain or gzip.
//!
//! The file is read into memory whole, up to a limit, and frames are slices of it. Containers are taken apart
//! by the `pcap-parser` library, radiotap headers by [`radiotap`]. Neighbour: [`super::replay`] puts the
//! frames on the air.

mod error;
mod file;
mod radiotap;

use core::time::Duration;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::{Bytes, BytesMut};

pub use error::CaptureError;

use super::{Ampdu, CHAINS, Rate, fcs};

/// Bytes of a file, decompressed, beyond which it is refused.
const LIMIT: u64 = 256 << 20;
/// Frames beyond which a file is refused: each takes memory of its own, however short it is.
const MOST_FRAMES: usize = 4_000_000;
/// Bytes of the longest frame that a receiver's descriptor can tell (14 bits), less the FCS.
const LONGEST: usize = (1 << 14) - 1 - 4;
/// The longest time from a capture's first frame to its last. Stamps beyond it are damaged, and would have a
/// replay wait longer than clocks count.
const LONGEST_SPAN: Duration = Duration::from_secs(100 * 366 * 86_400);
/// A link type (as `pcap` numbers them) and how frames begin there.
const RADIOTAP: u32 = 127;
/// 802.11 without radiotap.
const BARE: u32 = 105;

/// One frame of a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapturedFrame {
    /// Time since the capture's first frame; never less than that of the frame before, and at most a century.
    pub at: Duration,
    /// The 802.11 frame without FCS.
    pub bytes: Bytes,
    /// The rate, if the capture tells it.
    pub rate: Option<Rate>,
    /// The signal in dBm at each chain, if the capture tells it. Chains that it does not tell apart are equal.
    pub signal_dbm: Option<[i8; CHAINS]>,
    /// The FCS as captured, exclusive or the right one; 0 if it is right or was not captured.
    pub fcs_error: u32,
    /// The aggregate that the frame was part of.
    pub ampdu: Option<Ampdu>,
}

/// The frames of a capture file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capture {
    frames: Vec<CapturedFrame>,
}

/// A record of a file, before its radiotap header is taken off.
#[derive(Debug)]
struct Record {
    bytes: Bytes,
    /// Time stamp in nanoseconds; `None` where the format has none.
    at_ns: Option<u64>,
    link: u32,
    /// Whether frames without radiotap end with their FCS.
    has_fcs: bool,
    /// Whether the record holds all of the frame.
    complete: bool,
}

impl Capture {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is not a capture, is damaged or cut short, or holds something else than 802.11
    /// frames. See [`CaptureError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        Self::read(File::open(path).map_err(CaptureError::io)?)
    }

    /// Reads a capture from its bytes, plain or gzip.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(reader: impl Read) -> Result<Self, CaptureError> {
        let mut capture = Self::default();
        let mut clock = Clock::default();
        file::each_record(&file::contents(reader, LIMIT)?, &mut |record| {
            let frame = capture.frames.len() + 1;
            if frame > MOST_FRAMES {
                return Err(CaptureError::TooMany { limit: MOST_FRAMES });
            }
            let parsed = parse(&record, frame)?;
            capture.frames.push(CapturedFrame { at: clock.at(record.at_ns), ..parsed });
            Ok(())
        })?;
        Ok(capture)
    }

    /// A capture of frames made by a test.
    pub fn from_frames(frames: impl IntoIterator<Item = CapturedFrame>) -> Self {
        Self { frames: frames.into_iter().collect() }
    }

    /// The frames, in the order of the file.
    pub fn frames(&self) -> &[CapturedFrame] {
        &self.frames
    }

    /// From the first frame to the last.
    pub fn duration(&self) -> Duration {
        self.frames.last().map_or(Duration::ZERO, |frame| frame.at)
    }

    pub(crate) fn into_frames(self) -> Vec<CapturedFrame> {
        self.frames
    }
}

/// Turns time stamps into times since the first, which never run backwards.
#[derive(Debug, Default)]
struct Clock {
    first: Option<u64>,
    last: Duration,
}

impl Clock {
    fn at(&mut self, ns: Option<u64>) -> Duration {
        if let Some(ns) = ns {
            let since = ns.saturating_sub(*self.first.get_or_insert(ns));
            self.last = self.last.max(Duration::from_nanos(since).min(LONGEST_SPAN));
        }
        self.last
    }
}

/// Takes the radiotap header and the FCS off a record.
fn parse(record: &Record, frame: usize) -> Result<CapturedFrame, CaptureError> {
    let mut info = radiotap::Info::default();
    let mut bytes = record.bytes.clone();
    match record.link {
        RADIOTAP => {
            let (parsed, length) =
                radiotap::parse(&bytes).map_err(|reason| CaptureError::Radiotap { frame, reason })?;
            info = parsed;
            bytes = bytes.slice(length..);
        }
        BARE => info.has_fcs = record.has_fcs,
        found => return Err(CaptureError::LinkType { found }),
    }
    // A frame that was cut short has lost its FCS with the rest of its end.
    let received = if info.has_fcs && record.complete { bytes.split_off_fcs() } else { None };
    if info.data_pad {
        bytes = without_pad(bytes);
    }
    if bytes.len() > LONGEST {
        return Err(CaptureError::TooLong { frame, length: bytes.len(), limit: LONGEST });
    }
    let fcs_error = match received {
        Some(received) => received ^ fcs(&bytes),
        // Said to be bad, but not there to say how.
        None => u32::from(info.bad_fcs) * 0xbad0_0fc5,
    };
    Ok(CapturedFrame {
        at: Duration::ZERO,
        bytes,
        rate: info.rate,
        signal_dbm: info.signal_dbm,
        fcs_error,
        ampdu: info.ampdu,
    })
}

trait SplitFcs {
    fn split_off_fcs(&mut self) -> Option<u32>;
}

impl SplitFcs for Bytes {
    /// Takes the last four bytes off; `None` if there are fewer.
    fn split_off_fcs(&mut self) -> Option<u32> {
        let end = self.split_off(self.len().checked_sub(4)?);
        Some(u32::from_le_bytes(end[..].try_into().ok()?))
    }
}

/// The frame without the bytes that some receivers put after a header whose length is no multiple of four.
fn without_pad(bytes: Bytes) -> Bytes {
    let [control, flags, ..] = bytes[..] else { return bytes };
    let data = control >> 2 & 3 == 2;
    let qos = data && control & 0x80 != 0;
    let four_addresses = data && flags & 3 == 3;
    let header = 24 + if four_addresses { 6 } else { 0 } + if qos { 2 } else { 0 };
    let pad = header % 4;
    if !data || pad == 0 || bytes.len() < header + pad {
        return bytes;
    }
    let mut out = BytesMut::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..header]);
    out.extend_from_slice(&bytes[header + pad..]);
    out.freeze()
}
