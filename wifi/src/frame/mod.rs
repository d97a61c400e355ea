//! [`Frame`]: one received 802.11 frame, cheap to clone.
//!
//! A frame is a slice of the USB buffer that it arrived in ([`Bytes`], not copied) and a [`Meta`] of what the
//! chip told about it. Views of the bytes are made when they are asked for: [`Frame::header`] for the 802.11
//! MAC header, [`Frame::radiotap`] for a radiotap header that says what `Meta` says. A test makes one with
//! [`Frame::builder`].
//!
//! Neighbours: [`rx`](crate::rx) makes frames, [`stream`](crate::stream) carries them,
//! [`pcapng`](crate::pcapng) writes them down.

mod builder;
mod meta;
mod rate;

use core::fmt;
use core::time::Duration;

use bytes::Bytes;

pub use builder::FrameBuilder;
pub use meta::{Ampdu, ChainSignals, Fcs, MAX_CHAINS, Meta};
pub use rate::{LegacyRate, Modulation, Rate};

use crate::channel::Channel;
use crate::ieee80211::{self, Info, Malformed};
use crate::radiotap;

/// One 802.11 frame and what is known of it. Cloning copies no bytes of it.
///
/// A clone, and every slice of [`Frame::bytes`], keeps the whole buffer of the USB transfer alive that the
/// frame arrived in (up to 32 KiB). Use [`Frame::detach`] on those few that are kept for long.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    meta: Meta,
}

impl Frame {
    pub(crate) fn new(bytes: Bytes, meta: Meta) -> Self {
        Self { bytes, meta }
    }

    /// Makes a frame by hand, as a test does without an adapter.
    ///
    /// ```
    /// use airlift_wifi::{Frame, Rate, LegacyRate};
    /// let frame = Frame::builder(&[0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1][..])
    ///     .append_fcs()
    ///     .rate(Rate::Legacy(LegacyRate::M24))
    ///     .signal_dbm(-40)
    ///     .build();
    /// assert_eq!(frame.header().unwrap().subtype().name(), "ack");
    /// assert!(frame.fcs_matches().unwrap());
    /// ```
    pub fn builder(bytes: impl Into<Bytes>) -> FrameBuilder {
        FrameBuilder::new(bytes.into())
    }

    /// The frame's bytes from the MAC header on, with the frame check sequence unless [`Frame::fcs`] is
    /// [`Fcs::Absent`].
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The frame's bytes without the frame check sequence.
    pub fn mpdu(&self) -> &[u8] {
        match self.meta.fcs {
            Fcs::Absent => &self.bytes,
            Fcs::Good | Fcs::Bad => &self.bytes[..self.bytes.len().saturating_sub(ieee80211::FCS_LEN)],
        }
    }

    /// Everything that is known of the frame beside its bytes.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The chip's TSF at the frame's start, in microseconds, unwrapped to 64 bits.
    pub fn tsf(&self) -> Option<u64> {
        self.meta.tsf
    }

    /// When the frame was on the air, on the kernel's clock (see [`Meta::time`]).
    pub fn time(&self) -> Duration {
        self.meta.time
    }

    /// The channel that the radio was tuned to.
    pub fn channel(&self) -> Option<Channel> {
        self.meta.channel
    }

    /// The rate.
    pub fn rate(&self) -> Option<Rate> {
        self.meta.rate()
    }

    /// The overall signal in dBm.
    pub fn signal_dbm(&self) -> Option<i8> {
        self.meta.signal_dbm
    }

    /// What is known of the frame check sequence.
    pub fn fcs(&self) -> Fcs {
        self.meta.fcs
    }

    /// How many frames the stream that gave this one lost just before it. See
    /// [`FrameStream`](crate::FrameStream) for what counts as lost.
    pub fn lost_before(&self) -> u64 {
        self.meta.lost_before
    }

    /// The 802.11 MAC header, parsed now.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes end before the header does, or its version is unknown.
    pub fn header(&self) -> Result<ieee80211::Header<'_>, Malformed> {
        ieee80211::Header::new(self.mpdu())
    }

    /// A line that says what the frame is, for a table: `"coffee"` of a beacon, `1500 B, protected` of data.
    /// Text from the air is escaped.
    pub fn info(&self) -> Info<'_> {
        Info::new(self.mpdu())
    }

    /// Whether the last four bytes are the CRC-32 of those before; `None` if there is no check sequence.
    pub fn fcs_matches(&self) -> Option<bool> {
        match self.meta.fcs {
            Fcs::Absent => None,
            Fcs::Good | Fcs::Bad => Some(ieee80211::fcs_matches(&self.bytes)),
        }
    }

    /// A radiotap header that says what the chip told, and nothing that it did not.
    pub fn radiotap(&self) -> radiotap::HeaderBytes {
        radiotap::of_received(&self.meta)
    }

    /// A copy with a buffer of its own, which no longer keeps the USB transfer's buffer alive.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), meta: self.meta }
    }

    /// Says when the frame was on the air, once its receiver knows.
    pub(crate) fn place(&mut self, time: Duration, channel: Option<Channel>) {
        self.meta.time = time;
        self.meta.channel = channel;
    }

    pub(crate) fn with_lost_before(mut self, lost_before: u64) -> Self {
        self.meta.lost_before = lost_before;
        self
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("info", &format_args!("{}", self.info()))
            .field("len", &self.bytes.len())
            .field("meta", &self.meta)
            .finish()
    }
}
