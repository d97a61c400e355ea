//! [`FrameStream`]: the frames of an interface, for one reader of many.
//!
//! ```text
//!  Receiver ──> FrameSender ──┬──> queue ──> FrameStream    filter, budget and policy are each stream's own
//!  (kernel thread)            ├──> queue ──> FrameStream    (any thread, any executor)
//!                             └──> queue ──> FrameStream
//!               FrameSource opens streams, and knows the totals
//! ```
//!
//! The sender never waits: a reader that is slower than the air loses frames, and is told so in-band
//! ([`Frame::lost_before`](crate::Frame::lost_before)) and in its account ([`FrameStream::stats`]). No reader can hold
//! up another one.
//!
//! Neighbours: [`rx`](crate::rx) sends, `wlan` hands out streams, [`filter`](crate::filter) and
//! [`stats`](crate::stats) are what their names say. A test makes a [`FrameSender`] of its own and needs no
//! adapter.

mod pace;
mod queue;
mod reader;
mod sender;

pub use reader::{FrameStream, TryFrameStream};
pub use sender::{FrameSender, FrameSource, TimeRuns};

use crate::error::Error;
use crate::filter::Filter;

/// Names the buffer that a frame is a slice of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RxBuffer {
    /// Unique among the buffers of a sender.
    pub(crate) id: u64,
    /// How many bytes it takes in memory.
    pub(crate) size: usize,
}

/// Why a stream ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamEnd {
    /// The interface was taken down, or its kernel was shut down.
    #[error("the interface is down")]
    Down,
    /// The adapter was unplugged.
    #[error("the adapter was unplugged")]
    Unplugged,
    /// Receiving failed for good.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl StreamEnd {
    /// How a stream ends that this error ends: an unplugged adapter is [`StreamEnd::Unplugged`].
    pub fn from_error(error: Error) -> Self {
        if error.is_unplugged() { Self::Unplugged } else { Self::Failed(error) }
    }
}

/// Which frame is dropped when a queue is full.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum DropPolicy {
    /// The one that comes: the reader sees a whole stretch of the past.
    #[default]
    Newest,
    /// The ones that waited longest: the reader sees the present.
    Oldest,
}

/// What a reader wants of its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct StreamOptions {
    filter: Filter,
    bad_fcs: bool,
    budget: usize,
    policy: DropPolicy,
    hold_virtual_time: bool,
}

impl StreamOptions {
    /// The smallest budget: a few transfers.
    pub const MIN_BUDGET: usize = 64 * 1024;

    /// Every frame whose check sequence is right, a budget of 4 MiB, the newest frame dropped when it is full,
    /// virtual time held while it fills up.
    pub fn new() -> Self {
        Self {
            filter: Filter::everything(),
            bad_fcs: false,
            budget: 4 * 1024 * 1024,
            policy: DropPolicy::default(),
            hold_virtual_time: true,
        }
    }

    /// Only frames that match. A filter that says anything about the check sequence also decides whether
    /// frames with a wrong one come; any other leaves that to [`StreamOptions::bad_fcs`].
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Whether frames with a wrong check sequence come too. If not, they are counted as dropped.
    pub fn bad_fcs(mut self, wanted: bool) -> Self {
        self.bad_fcs = wanted;
        self
    }

    /// How many bytes the queue may keep alive, whole transfer buffers counted; at least
    /// [`StreamOptions::MIN_BUDGET`]. Beyond half of it, small frames are copied out of their buffers.
    pub fn budget(mut self, bytes: usize) -> Self {
        self.budget = bytes.max(Self::MIN_BUDGET);
        self
    }

    /// Which frame is dropped when the queue is full.
    pub fn policy(mut self, policy: DropPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Whether virtual time stands still from when the queue is above half of its budget until it is empty, so
    /// that an emulated air waits for this reader. Without effect on the system's clock.
    ///
    /// Turn it off for a stream that is read only after time has been moved on, as a test of a slow reader does.
    pub fn hold_virtual_time(mut self, hold: bool) -> Self {
        self.hold_virtual_time = hold;
        self
    }

    /// Whether frames with a wrong check sequence are dropped before the filter sees them.
    fn drops_bad_fcs(&self) -> bool {
        !self.bad_fcs && !self.filter.mentions_fcs()
    }
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Filter> for StreamOptions {
    fn from(filter: Filter) -> Self {
        Self::new().filter(filter)
    }
}

#[cfg(test)]
mod tests;
