//! [`Ticket`]: the future of one frame's outcome.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use futures::channel::oneshot;

use super::queue::{Asker, Job, Sent, TxQueue};
use super::{InjectError, Outcome, TxFrame};

/// What [`Wlan::send`](crate::Wlan::send) gives for a frame: a future of what becomes of it.
///
/// # Cancel safety
/// Dropping it has no effect on the frame, which is sent all the same; only nobody learns of its outcome. Awaiting
/// `&mut ticket` can be given up and taken up again.
///
/// # Panics
/// When polled again after it was ready.
#[must_use = "only the ticket tells what becomes of the frame"]
pub struct Ticket {
    told: oneshot::Receiver<Sent>,
}

impl Ticket {
    /// Hands `frame` to `queue`, as soon as it has room.
    pub(crate) async fn issue(queue: Arc<TxQueue>, frame: TxFrame) -> Self {
        let (asker, told) = oneshot::channel();
        let job = queue.job(frame, Asker::Ticket(asker));
        Push { queue, job: Some(job), place: None }.await;
        Self { told }
    }
}

impl Future for Ticket {
    type Output = Result<Outcome, InjectError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.told).poll(context).map(|told| match told {
            Ok(sent) => sent,
            // A job answers whatever happens to it.
            Err(oneshot::Canceled) => panic!("a ticket polled after it was ready"),
        })
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

/// Waits for room in the queue; dropped before there was any, the frame was never there.
struct Push {
    queue: Arc<TxQueue>,
    job: Option<Job>,
    place: Option<u64>,
}

impl Future for Push {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.queue.poll_push(context, &mut this.job, &mut this.place)
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.queue.leave(&mut self.place);
    }
}
