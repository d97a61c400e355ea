//! [`FrameStream`]: one reader's end.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use airlift_runtime::Hold;
use futures::stream::{FusedStream, Stream};

use super::pace::Pace;
use super::queue::Queue;
use super::{RxBuffer, StreamEnd, StreamOptions};
use crate::frame::{Fcs, Frame};
use crate::stats::{MalformedCounts, StreamStats};

/// What a stream and the sender share. The lock is held for moving frames only, never while anybody waits.
#[derive(Debug)]
pub(super) struct Shared {
    options: StreamOptions,
    /// What to hold while the reader is behind.
    pace: Option<Arc<Pace>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    stats: StreamStats,
    waker: Option<Waker>,
    end: Option<StreamEnd>,
    /// The reader is gone.
    closed: bool,
    /// Keeps virtual time until the queue is drained.
    hold: Option<Hold>,
}

impl Shared {
    pub(super) fn new(options: StreamOptions, pace: Option<Arc<Pace>>) -> Self {
        let state = State {
            queue: Queue::new(options.budget, options.policy),
            stats: StreamStats::default(),
            waker: None,
            end: None,
            closed: false,
            hold: None,
        };
        let pace = pace.filter(|_| options.hold_virtual_time);
        Self { options, pace, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the frames of one transfer in, and the account of what were none.
    pub(super) fn push(&self, frames: &[Frame], buffer: RxBuffer, malformed: &MalformedCounts) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closed || state.end.is_some() {
            return;
        }
        let before = state.queue.len();
        let bad = malformed.total();
        state.stats.chip += frames.len() as u64 + bad;
        state.stats.malformed.add(malformed);
        // Where in the transfer they stood is not told: the next frame has them before it.
        state.queue.lose(bad);
        for frame in frames {
            if frame.fcs() == Fcs::Bad && self.options.drops_bad_fcs() {
                state.stats.bad_fcs += 1;
            } else if !self.options.filter.matches(frame) {
                state.stats.filtered += 1;
            } else {
                let pushed = state.queue.push(frame, buffer);
                state.stats.queue += pushed.dropped;
                state.stats.copied += u64::from(pushed.copied);
            }
        }
        if state.hold.is_none() && state.queue.is_above_half() {
            state.hold = self.pace.as_ref().and_then(|pace| pace.hold());
        }
        let waker = if state.queue.len() > before { state.waker.take() } else { None };
        // Woken without the lock: a waker may run anything.
        drop(guard);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Lets go of virtual time.
    pub(super) fn release(&self) {
        let hold = self.lock().hold.take();
        drop(hold);
    }

    /// Ends the stream after what is queued. The first reason stays.
    pub(super) fn finish(&self, end: StreamEnd) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        // Nothing more comes, and switching off takes time.
        let hold = state.hold.take();
        let waker = state.waker.take();
        drop(state);
        drop(hold);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    /// Takes a frame for the reader. What comes beside it is to be dropped without the lock.
    fn take(&mut self) -> (Option<Frame>, Option<Hold>) {
        let frame = self.queue.pop();
        self.stats.delivered += u64::from(frame.is_some());
        (frame, if self.queue.is_empty() { self.hold.take() } else { None })
    }
}

/// How a stream takes itself off its hub's list.
type Leave = Box<dyn Fn(&Arc<Shared>) + Send + Sync>;

/// The frames of an interface, for one reader: a [`Stream`] of [`Frame`]s.
///
/// It ends with a reason: after the frames that were queued comes `None`, and then [`FrameStream::end`] tells
/// why. Frames that were lost (queue overrun, packets from the chip that were malformed) are told by the next
/// one's [`Frame::lost_before`]; frames that the reader does not want (filter, wrong check sequence) are no
/// loss. [`FrameStream::stats`] accounts for all of them.
///
/// It is `Send`, needs no reactor, and works on any executor.
///
/// # Cancel safety
/// Dropping a pending `next()` loses nothing. Dropping the stream gives up what it has queued, and nothing
/// else: the interface and other streams go on.
#[must_use = "a stream that is not read loses frames when its queue is full"]
pub struct FrameStream {
    shared: Arc<Shared>,
    leave: Leave,
    terminated: bool,
}

impl FrameStream {
    pub(super) fn new(shared: Arc<Shared>, leave: impl Fn(&Arc<Shared>) + Send + Sync + 'static) -> Self {
        Self { shared, leave: Box::new(leave), terminated: false }
    }

    /// Takes a frame if one is queued, without waiting.
    pub fn try_next(&mut self) -> Option<Frame> {
        let (frame, hold) = self.shared.lock().take();
        drop(hold);
        frame
    }

    /// Why the stream ended; `None` until every queued frame was taken.
    pub fn end(&self) -> Option<StreamEnd> {
        let state = self.shared.lock();
        if state.queue.is_empty() { state.end.clone() } else { None }
    }

    /// What became of every frame since the stream was opened.
    pub fn stats(&self) -> StreamStats {
        let state = self.shared.lock();
        StreamStats { waiting: state.queue.len() as u64, pinned_bytes: state.queue.pinned(), ..state.stats }
    }

    /// The same stream with the reason for its end as a last `Err`, for `?` and `try_for_each`.
    pub fn try_frames(self) -> TryFrameStream {
        TryFrameStream { stream: self, told: false }
    }
}

impl Stream for FrameStream {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        if let (Some(frame), hold) = state.take() {
            drop(state);
            drop(hold);
            return Poll::Ready(Some(frame));
        }
        if state.end.is_some() {
            this.terminated = true;
            return Poll::Ready(None);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let state = self.shared.lock();
        let queued = state.queue.len();
        (queued, state.end.is_some().then_some(queued))
    }
}

impl FusedStream for FrameStream {
    fn is_terminated(&self) -> bool {
        self.terminated
    }
}

impl Drop for FrameStream {
    fn drop(&mut self) {
        let abandoned = {
            let mut state = self.shared.lock();
            state.closed = true;
            let options = &self.shared.options;
            let queue = core::mem::replace(&mut state.queue, Queue::new(options.budget, options.policy));
            (queue, state.waker.take(), state.hold.take())
        };
        (self.leave)(&self.shared);
        drop(abandoned);
    }
}

impl fmt::Debug for FrameStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameStream")
            .field("options", &self.shared.options)
            .field("stats", &self.stats())
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

/// A [`FrameStream`] whose last item is the reason for its end, as an `Err`.
#[derive(Debug)]
#[must_use = "a stream that is not read loses frames when its queue is full"]
pub struct TryFrameStream {
    stream: FrameStream,
    told: bool,
}

impl TryFrameStream {
    /// The stream without its last `Err`.
    pub fn into_inner(self) -> FrameStream {
        self.stream
    }
}

impl Stream for TryFrameStream {
    type Item = Result<Frame, StreamEnd>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.told {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.stream).poll_next(cx) {
            Poll::Ready(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) => {
                self.told = true;
                Poll::Ready(self.stream.end().map(Err))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl FusedStream for TryFrameStream {
    fn is_terminated(&self) -> bool {
        self.told
    }
}
