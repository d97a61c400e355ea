//! [`Anchor`]: where URBs report that nobody awaits one by one.
//!
//! Posted writes are [`post`](crate::UrbHandle::post)ed on an anchor under a tag of the caller's (a register, for
//! example). [`Anchor::barrier`] waits until all of them are back and tells the first failure, once.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::status::TransferError;
use crate::urb::UrbShared;

/// A posted URB failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("posted transfer {tag:#x} failed: {error}")]
pub struct PostedError {
    /// The tag under which it was posted.
    pub tag: u32,
    /// How it ended.
    pub error: TransferError,
}

/// A group of posted URBs, of one device or of several. Clones are the same group.
///
/// A posted URB keeps nothing alive: when its device goes, or the last handle on the controller, it ends with
/// [`TransferError::Shutdown`].
#[derive(Clone, Default)]
pub struct Anchor {
    pub(crate) inner: Arc<AnchorInner>,
}

#[derive(Default)]
pub(crate) struct AnchorInner {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Sequence number of the next URB to be posted.
    next: u64,
    pending: BTreeMap<u64, Pending>,
    /// The failure that was posted first and no barrier has told yet.
    failure: Option<(u64, PostedError)>,
    /// The one that was posted last: a later barrier's, once an earlier one has told `failure`.
    latest: Option<(u64, PostedError)>,
    /// Barriers: the sequence number that each waits up to, and whom to wake.
    waiters: Vec<(u64, Waker)>,
}

struct Pending {
    tag: u32,
    urb: Weak<UrbShared>,
}

impl State {
    /// Whether all URBs before `until` are back.
    fn is_clear(&self, until: u64) -> bool {
        self.pending.first_key_value().is_none_or(|(&sequence, _)| sequence >= until)
    }
}

impl Anchor {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// URBs that are not back yet.
    pub fn len(&self) -> usize {
        self.inner.lock().pending.len()
    }

    /// Whether all URBs are back.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until every URB is back that was posted before this call.
    ///
    /// Dropping the future loses nothing: the URBs go on, and the next barrier tells what this one did not.
    ///
    /// # Errors
    /// The earliest posted of the failures since the last barrier that told one (of those that came back before that
    /// one told its own, the latest). It is told once, and stands for the others that this barrier waited for.
    pub fn barrier(&self) -> Barrier {
        let until = self.inner.lock().next;
        Barrier { anchor: self.inner.clone(), until }
    }

    /// Asks for all URBs back; those that had not ended count as failed with [`TransferError::Cancelled`].
    pub fn kill_all(&self) {
        let urbs: Vec<_> =
            self.inner.lock().pending.values().filter_map(|pending| pending.urb.upgrade()).collect();
        for urb in urbs {
            urb.cancel();
        }
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl AnchorInner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters an URB; its sequence number names it in `returned`.
    pub(crate) fn posted(&self, urb: &Arc<UrbShared>, tag: u32) -> u64 {
        let mut state = self.lock();
        let sequence = state.next;
        state.next += 1;
        state.pending.insert(sequence, Pending { tag, urb: Arc::downgrade(urb) });
        sequence
    }

    /// An entered URB is back.
    pub(crate) fn returned(&self, sequence: u64, error: Option<TransferError>) {
        let woken: Vec<_> = {
            let mut state = self.lock();
            let Some(Pending { tag, .. }) = state.pending.remove(&sequence) else { return };
            if let Some(error) = error {
                let failure = Some((sequence, PostedError { tag, error }));
                if state.failure.is_none_or(|(earlier, _)| sequence < earlier) {
                    state.failure = failure;
                }
                if state.latest.is_none_or(|(later, _)| sequence > later) {
                    state.latest = failure;
                }
            }
            if state.waiters.is_empty() {
                return;
            }
            let oldest = state.pending.first_key_value().map_or(u64::MAX, |(&sequence, _)| sequence);
            state.waiters.extract_if(.., |(until, _)| *until <= oldest).collect()
        };
        for (_, waker) in woken {
            waker.wake();
        }
    }
}

/// The future of [`Anchor::barrier`].
#[must_use = "a barrier does nothing unless it is awaited"]
pub struct Barrier {
    anchor: Arc<AnchorInner>,
    until: u64,
}

impl Future for Barrier {
    type Output = Result<(), PostedError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.anchor.lock();
        if !state.is_clear(self.until) {
            let until = self.until;
            if !state.waiters.iter().any(|(other, waker)| *other == until && waker.will_wake(context.waker()))
            {
                state.waiters.push((until, context.waker().clone()));
            }
            return Poll::Pending;
        }
        match state.failure {
            Some((sequence, failure)) if sequence < self.until => {
                // What was posted after this barrier is another one's to tell.
                state.latest = state.latest.filter(|(latest, _)| *latest >= self.until);
                state.failure = state.latest;
                Poll::Ready(Err(failure))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("until", &self.until).finish_non_exhaustive()
    }
}
