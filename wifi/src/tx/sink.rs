//! [`Transmitter`]: frames to be sent, as a [`Sink`].

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::Sink;

use super::queue::{Asker, Job, Sent, TxQueue};
use super::{Delivery, InjectError, TxFrame};

/// Sends whatever is fed to it. Made by [`Wlan::sink`](crate::Wlan::sink); any number may be open.
///
/// It is ready as long as the interface's queue has room. Flushing waits until it is known of every frame what became
/// of it. A frame that could not be sent is the error of the next call, with the frame in it; there may be several,
/// one for each call, and the sink can be used on after each. That a frame was not acknowledged is no error; use
/// [`Wlan::send`](crate::Wlan::send) to hear of each outcome, or look at [`SinkStats`].
///
/// # Cancel safety
/// A frame that [`start_send`](Sink::start_send) took is sent when the queue has room for it, which flushing, closing
/// or asking for readiness waits for. Dropping the sink gives up one frame at most that waits so, and leaves those that
/// were handed over.
pub struct Transmitter {
    queue: Arc<TxQueue>,
    state: Arc<SinkState>,
    job: Option<Job>,
    place: Option<u64>,
}

/// What became of the frames of one [`Transmitter`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct SinkStats {
    /// Frames of which the chip told that they were acknowledged.
    pub acknowledged: u64,
    /// Frames that were given to the chip, and either need no acknowledgement or got none, or it did not tell.
    pub others: u64,
    /// Frames that the chip had been given when their transfer failed or the interface ended: whether they were sent is
    /// unknown.
    pub cut_off: u64,
    /// Frames that were not sent.
    pub failed: u64,
    /// Frames of which nothing is known yet.
    pub pending: u64,
}

/// What a sink shares with its frames.
#[derive(Debug, Default)]
pub(crate) struct SinkState {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    stats: SinkStats,
    errors: VecDeque<InjectError>,
    flusher: Option<Waker>,
}

impl SinkState {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is known what became of a frame.
    pub(crate) fn over(&self, sent: Sent) {
        let waker = {
            let mut inner = self.lock();
            inner.stats.pending -= 1;
            match sent {
                Ok(outcome) if outcome.delivery == Delivery::Acknowledged => inner.stats.acknowledged += 1,
                Ok(_) => inner.stats.others += 1,
                Err(error) => {
                    let stats = &mut inner.stats;
                    *if error.may_have_been_sent() { &mut stats.cut_off } else { &mut stats.failed } += 1;
                    inner.errors.push_back(error);
                }
            }
            inner.flusher.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Transmitter {
    pub(crate) fn new(queue: Arc<TxQueue>) -> Self {
        Self { queue, state: Arc::default(), job: None, place: None }
    }

    /// What became of its frames so far.
    pub fn stats(&self) -> SinkStats {
        self.state.lock().stats
    }

    fn poll_hand_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.job.is_none() {
            return Poll::Ready(());
        }
        self.queue.poll_push(context, &mut self.job, &mut self.place)
    }
}

impl Sink<TxFrame> for Transmitter {
    type Error = InjectError;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), InjectError>> {
        let this = self.get_mut();
        if let Some(error) = this.state.lock().errors.pop_front() {
            return Poll::Ready(Err(error));
        }
        this.poll_hand_over(context).map(Ok)
    }

    /// # Panics
    /// Without a [`poll_ready`](Sink::poll_ready) before it that said so.
    fn start_send(self: Pin<&mut Self>, frame: TxFrame) -> Result<(), InjectError> {
        let this = self.get_mut();
        assert!(this.job.is_none(), "a frame fed to a sink that was not ready");
        this.state.lock().stats.pending += 1;
        this.job = Some(this.queue.job(frame, Asker::Sink(this.state.clone())));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), InjectError>> {
        let this = self.get_mut();
        let handed_over = this.poll_hand_over(context).is_ready();
        let mut inner = this.state.lock();
        if let Some(error) = inner.errors.pop_front() {
            return Poll::Ready(Err(error));
        }
        if handed_over && inner.stats.pending == 0 {
            return Poll::Ready(Ok(()));
        }
        inner.flusher = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), InjectError>> {
        self.poll_flush(context)
    }
}

impl Drop for Transmitter {
    fn drop(&mut self) {
        self.queue.leave(&mut self.place);
    }
}

impl fmt::Debug for Transmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmitter").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
