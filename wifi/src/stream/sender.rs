//! [`FrameSender`] and [`FrameSource`]: the writing end of all streams, and the desk where they are opened.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use airlift_runtime::Clock;

use super::pace::Pace;
use super::reader::{FrameStream, Shared};
use super::{RxBuffer, StreamEnd, StreamOptions};
use crate::error::{Error, ErrorKind, Stage};
use crate::frame::{Fcs, Frame};
use crate::stats::{MalformedCounts, RxStats};

/// What sender and sources share.
#[derive(Debug, Default)]
struct Hub {
    /// Raised whenever `list` changes, so that the sender need not lock it for every transfer.
    version: AtomicU64,
    list: Mutex<List>,
    stats: Mutex<RxStats>,
    /// What readers hold; `None` where time cannot be held.
    pace: Option<Arc<Pace>>,
}

#[derive(Debug, Default)]
struct List {
    streams: Vec<Arc<Shared>>,
    end: Option<StreamEnd>,
}

impl Hub {
    /// Changes the list of streams.
    fn change<T>(&self, change: impl FnOnce(&mut List) -> T) -> T {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut list);
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    fn count(&self, count: impl FnOnce(&mut RxStats)) {
        count(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The writing end of an interface's streams: what the driver has, or a test without an adapter.
///
/// Dropping it ends the streams as [`StreamEnd::Down`]; as [`StreamEnd::Failed`] if a panic drops it.
#[derive(Debug)]
pub struct FrameSender {
    hub: Arc<Hub>,
    /// The streams as they were at `version`.
    streams: Vec<Arc<Shared>>,
    version: u64,
    buffers: u64,
    ended: bool,
}

impl FrameSender {
    /// A sender without any reader yet.
    #[expect(clippy::new_without_default, reason = "a sender is an end of something, not a value")]
    pub fn new() -> Self {
        Self::with_hub(Hub::default())
    }

    /// A sender whose readers may hold `clock` ([`StreamOptions::hold_virtual_time`]), if it is a virtual one.
    pub fn with_clock(clock: &Clock) -> Self {
        Self::with_hub(Hub { pace: Pace::new(clock).map(Arc::new), ..Hub::default() })
    }

    fn with_hub(hub: Hub) -> Self {
        // An empty list has version 0.
        Self { hub: Arc::new(hub), streams: Vec::new(), version: 0, buffers: 0, ended: false }
    }

    /// Where streams of this sender are opened.
    pub fn source(&self) -> FrameSource {
        FrameSource { hub: self.hub.clone() }
    }

    /// Sends one frame to every stream that wants it, as if the chip had handed it over. Never waits.
    pub fn send(&mut self, frame: Frame) {
        let buffer = self.buffer(frame.bytes().len());
        self.send_transfer(&[frame], buffer, &MalformedCounts::default(), |stats| stats.transfers += 1);
    }

    /// A new name for a buffer of so many bytes.
    pub(crate) fn buffer(&mut self, size: usize) -> RxBuffer {
        self.buffers += 1;
        RxBuffer { id: self.buffers, size }
    }

    /// Sends the frames of one transfer, and tells of the packets in it that were none.
    pub(crate) fn send_transfer(
        &mut self,
        frames: &[Frame],
        buffer: RxBuffer,
        malformed: &MalformedCounts,
        count: impl FnOnce(&mut RxStats),
    ) {
        self.hub.count(|stats| {
            count(stats);
            stats.chip += frames.len() as u64 + malformed.total();
            stats.frames += frames.len() as u64;
            stats.malformed.add(malformed);
            for frame in frames {
                stats.bytes += frame.bytes().len() as u64;
                stats.bad_fcs += u64::from(frame.fcs() == Fcs::Bad);
            }
        });
        self.refresh();
        for stream in &self.streams {
            stream.push(frames, buffer, malformed);
        }
    }

    /// Counts a transfer that ended in an error.
    pub(crate) fn count_failed_transfer(&self) {
        self.hub.count(|stats| stats.failed_transfers += 1);
    }

    fn refresh(&mut self) {
        let version = self.hub.version.load(Ordering::Acquire);
        if version != self.version {
            let list = self.hub.list.lock().unwrap_or_else(PoisonError::into_inner);
            self.streams.clone_from(&list.streams);
            // Read under the lock: the list cannot change between.
            self.version = self.hub.version.load(Ordering::Acquire);
        }
    }

    /// Ends all streams, and those that are opened later. Each reader gets its queued frames first.
    pub fn end(mut self, end: StreamEnd) {
        self.finish(end);
    }

    fn finish(&mut self, end: StreamEnd) {
        if core::mem::replace(&mut self.ended, true) {
            return;
        }
        let streams = self.hub.change(|list| {
            list.end = Some(end.clone());
            core::mem::take(&mut list.streams)
        });
        for stream in streams {
            stream.finish(end.clone());
        }
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        let end = if std::thread::panicking() {
            let kind = ErrorKind::Kernel("the receive task panicked".to_owned());
            StreamEnd::Failed(Error::new(Stage::Up, kind))
        } else {
            StreamEnd::Down
        };
        self.finish(end);
    }
}

/// Opens streams. Clones open streams of the same interface, from any thread.
#[derive(Clone, Debug)]
pub struct FrameSource {
    hub: Arc<Hub>,
}

impl FrameSource {
    /// Opens a stream: it gets the frames that come from now on.
    ///
    /// After the end a stream can still be opened; it ends at once, with the same reason.
    pub fn open(&self, options: impl Into<StreamOptions>) -> FrameStream {
        let shared = Arc::new(Shared::new(options.into(), self.hub.pace.clone()));
        let end = self.hub.change(|list| {
            if list.end.is_none() {
                list.streams.push(shared.clone());
            }
            list.end.clone()
        });
        if let Some(end) = end {
            shared.finish(end);
        }
        let hub = Arc::downgrade(&self.hub);
        FrameStream::new(shared, move |shared| {
            if let Some(hub) = hub.upgrade() {
                hub.change(|list| list.streams.retain(|stream| !Arc::ptr_eq(stream, shared)));
            }
        })
    }

    /// How many streams are open. One that was dropped is none, and costs nothing any more.
    pub fn open_streams(&self) -> usize {
        self.hub.list.lock().unwrap_or_else(PoisonError::into_inner).streams.len()
    }

    /// What was received, whoever read it.
    pub fn stats(&self) -> RxStats {
        *self.hub.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the streams ended; `None` while they run.
    pub fn end(&self) -> Option<StreamEnd> {
        self.hub.list.lock().unwrap_or_else(PoisonError::into_inner).end.clone()
    }
}

impl FrameSource {
    /// Lets virtual time move on while the guard lives, however far any reader is behind.
    ///
    /// For operations that need the time themselves: the application that awaits one may be the reader whose
    /// queue holds the time.
    pub fn let_time_run(&self) -> TimeRuns {
        if let Some(pace) = &self.hub.pace {
            pace.start();
            // Without the lock on the list: letting go of a hold may wake the kernel.
            let streams = self.hub.list.lock().unwrap_or_else(PoisonError::into_inner).streams.clone();
            for stream in streams {
                stream.release();
            }
        }
        TimeRuns { pace: self.hub.pace.clone() }
    }
}

/// While it lives no stream holds virtual time; see [`FrameSource::let_time_run`].
#[derive(Debug)]
#[must_use = "streams hold the time again as soon as it is dropped"]
pub struct TimeRuns {
    pace: Option<Arc<Pace>>,
}

impl Drop for TimeRuns {
    fn drop(&mut self) {
        if let Some(pace) = &self.pace {
            pace.stop();
        }
    }
}
