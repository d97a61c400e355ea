//! [`Receiver`]: from bulk-in transfers to [`Frame`]s in streams.
//!
//! The driver's receive task hands each transfer over as it comes. It is taken apart (`aggregate`), the
//! descriptor (`descriptor`) and the PHY's report (`phy_status`) of each packet become a [`Meta`], the
//! time stamp is unwrapped (`tsf`), its channel looked up (`tuned`), and the frames, slices of the transfer's buffer,
//! go to all streams.
//!
//! There is no I/O, no clock and no chip in here: a test feeds it bytes and times.

mod aggregate;
mod ampdu;
mod descriptor;
mod phy_status;
#[cfg(test)]
mod testing;
mod tsf;
mod tuned;

use core::time::Duration;

use airlift_runtime::Clock;
use bytes::{Bytes, BytesMut};

use aggregate::{Packet, Packets};
use ampdu::AmpduTracker;
use descriptor::Descriptor;
pub(crate) use descriptor::rate as rate_of_code;
pub(crate) use phy_status::{ReadPhyStatus, phy_status_8812a, phy_status_8814a, phy_status_8821a};
use tsf::TsfClock;
use tuned::TunedLog;

use crate::channel::{Channel, Width};
use crate::chip::Chip;
use crate::error::Error;
use crate::frame::{ChainSignals, Fcs, Frame, Meta, Modulation, Rate};
use crate::stats::MalformedCounts;
use crate::stream::{FrameSender, FrameSource, StreamEnd};

/// A message from the firmware (chip to host).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct C2h {
    /// What kind of message it is.
    pub id: u8,
    /// The firmware's running number.
    pub sequence: u8,
    /// The rest.
    pub payload: Bytes,
}

/// A transfer's buffer with the bytes that came, and how much memory it takes.
#[derive(Debug)]
pub struct Transfer {
    bytes: Bytes,
    size: usize,
}

impl From<BytesMut> for Transfer {
    /// The whole capacity of the buffer is what a frame in it keeps alive.
    fn from(buffer: BytesMut) -> Self {
        let size = buffer.capacity();
        Self { bytes: buffer.freeze(), size }
    }
}

impl From<Bytes> for Transfer {
    /// The buffer is taken to be no larger than its bytes.
    fn from(bytes: Bytes) -> Self {
        Self { size: bytes.len(), bytes }
    }
}

/// Makes frames of what the chip sends. One for each interface that is up.
///
/// Dropping it ends its streams as [`StreamEnd::Down`].
#[derive(Debug)]
pub struct Receiver {
    sender: FrameSender,
    read_phy_status: ReadPhyStatus,
    chains: usize,
    channel: TunedLog,
    tsf: TsfClock,
    ampdus: AmpduTracker,
    /// The frames of the transfer at hand; kept for its memory.
    batch: Vec<Frame>,
}

impl Receiver {
    /// Bytes that the driver has room for in a transfer (rtw88 `usb.h`, `RTW_USB_MAX_RECVBUF_SZ`). Half of that would
    /// hold what the receive buffer of most chips can, but not the 23 KiB of the RTL8814A's, nor an aggregate that grows
    /// while it is read out; and one that does not fit is torn apart, or babble.
    pub const TRANSFER: usize = 32 * 1024;

    /// A receiver for `chip` with `chains` receive chains in use.
    pub fn new(chip: Chip, chains: u8) -> Self {
        Self {
            sender: FrameSender::new(),
            read_phy_status: chip.info().read_phy_status,
            chains: usize::from(chains),
            channel: TunedLog::default(),
            tsf: TsfClock::default(),
            ampdus: AmpduTracker::default(),
            batch: Vec::new(),
        }
    }

    /// The same receiver, with readers that may hold `clock` if it is a virtual one
    /// ([`StreamOptions::hold_virtual_time`](crate::StreamOptions::hold_virtual_time)). To be called before any
    /// stream is opened: streams that are open already end.
    #[must_use]
    pub fn with_clock(mut self, clock: &Clock) -> Self {
        self.sender = FrameSender::with_clock(clock);
        self
    }

    /// Where streams of this receiver's frames are opened.
    pub fn source(&self) -> FrameSource {
        self.sender.source()
    }

    /// Says to which channel the radio is tuned from `since` on (kernel's clock); `None` while that is not known.
    /// Frames that were on the air then have no channel, nor have any before the first call.
    pub fn set_channel(&mut self, channel: Option<Channel>, since: Duration) {
        self.channel.set(channel, since);
    }

    /// Says what the chip's 64-bit TSF is at the time `at` of the kernel's clock; else the upper half starts
    /// at 0.
    pub fn set_tsf(&mut self, tsf: u64, at: Duration) {
        self.tsf.set(tsf, at);
    }

    /// Takes in one transfer that ended well at `at` (kernel's clock), and gives back the firmware's messages
    /// in it. Whatever the bytes are, each packet becomes a frame in the streams, a message, or a counted drop.
    pub fn aggregate(&mut self, transfer: impl Into<Transfer>, at: Duration) -> Vec<C2h> {
        let Transfer { bytes: buffer, size } = transfer.into();
        let mut messages = Vec::new();
        let mut malformed = MalformedCounts::default();
        let mut batch = core::mem::take(&mut self.batch);
        let mut firmware_messages = 0;
        for packet in Packets::new(&buffer) {
            match packet {
                Packet::Frame { descriptor, phy_status, bytes } => {
                    let Some(meta) = self.meta(&descriptor, phy_status, at) else { continue };
                    batch.push(Frame::new(buffer.slice(bytes), meta));
                }
                Packet::C2h { bytes } => {
                    firmware_messages += 1;
                    if let [id, sequence, ..] = buffer[bytes.clone()] {
                        let payload = buffer.slice(bytes.start + 2..bytes.end);
                        messages.push(C2h { id, sequence, payload });
                    }
                }
                Packet::Dropped(cause) => {
                    tracing::debug!(%cause, transfer = buffer.len(), "dropped a packet");
                    malformed.count(cause);
                }
            }
        }
        // The frame that came last waited least: it tells best where on the host's clock all of its transfer were.
        for frame in &batch {
            self.tsf.observe(frame.tsf().unwrap_or_default(), at);
        }
        for frame in &mut batch {
            let time = self.tsf.place(frame.tsf().unwrap_or_default(), at);
            frame.place(time, self.channel.at(time));
        }
        let buffer = self.sender.buffer(size);
        self.sender.send_transfer(&batch, buffer, &malformed, |stats| {
            stats.transfers += 1;
            stats.firmware_messages += firmware_messages;
        });
        batch.clear();
        self.batch = batch;
        messages
    }

    /// Counts a transfer that ended in an error, and so carried nothing.
    pub fn transfer_failed(&mut self) {
        self.sender.count_failed_transfer();
    }

    /// Ends all streams: each reader gets its queued frames, and then this reason.
    pub fn end(self, end: StreamEnd) {
        self.sender.end(end);
    }

    /// Ends all streams with an error, or as unplugged if that is what it says.
    pub fn fail(self, error: Error) {
        self.end(StreamEnd::from_error(error));
    }

    /// What the chip says of a frame. `None` only for a rate that has no number, which is dropped before.
    fn meta(
        &mut self,
        descriptor: &Descriptor<&[u8]>,
        phy_status: Option<phy_status::PhyStatus<'_>>,
        at: Duration,
    ) -> Option<Meta> {
        let rate = descriptor::rate(descriptor.rate_code())?;
        let tsf = self.tsf.unwrap(descriptor.tsf_low(), at);
        let report = phy_status.map(|status| (self.read_phy_status)(status, rate.is_cck(), self.chains));
        let is_legacy = matches!(rate, Rate::Legacy(_));
        let coding = |bit| (!is_legacy).then_some(bit);
        let told = report.and_then(|report| report.bandwidth).unwrap_or_else(|| descriptor.bandwidth());
        let modulation = Modulation {
            rate,
            bandwidth: Some(match (rate, told) {
                // There is no HT at 80 MHz; mac80211 takes such a word for 20, too.
                (Rate::Ht { .. }, Width::Mhz80) => Width::Mhz20,
                (rate, _) if rate.is_cck() => Width::Mhz20,
                (_, told) => told,
            }),
            short_gi: coding(descriptor.short_gi()),
            ldpc: coding(descriptor.ldpc()),
            stbc: coding(descriptor.stbc()),
        };
        let ampdu = self.ampdus.next(descriptor.is_ampdu(), descriptor.ppdu_count(), modulation, tsf);
        Some(Meta {
            tsf: Some(tsf),
            // Both are set when all frames of the transfer are known.
            time: at,
            channel: None,
            received_at: at,
            modulation: Some(modulation),
            signal_dbm: report.map(|report| report.overall_dbm),
            chains: report.map_or(ChainSignals::NONE, |report| report.chains),
            ampdu,
            fcs: if descriptor.crc_error() { Fcs::Bad } else { Fcs::Good },
            lost_before: 0,
        })
    }
}

#[cfg(test)]
mod tests;
