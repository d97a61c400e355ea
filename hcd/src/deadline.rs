//! Time limits of URBs: which come next, and a bell for the kernel task that waits for them.

use core::fmt;
use core::task::Poll;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::task::AtomicWaker;

use crate::urb::UrbShared;

/// Names an entry: when it is due, and its turn among those due then.
pub(crate) type Deadline = (Duration, u64);

#[derive(Default)]
pub(crate) struct Deadlines {
    state: Mutex<State>,
    bell: AtomicWaker,
}

#[derive(Default)]
struct State {
    /// In the order of their deadlines, which is most often that of their coming too: the limits are alike.
    entries: VecDeque<(Deadline, Weak<UrbShared>)>,
    sequence: u64,
    /// Until when the kernel task sleeps; `None`: until the bell.
    armed: Option<Duration>,
    /// The bell was rung and not yet heard.
    rung: bool,
}

impl Deadlines {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Limits an URB that is on its way already.
    pub(crate) fn limit(&self, urb: &Arc<UrbShared>, due: Duration) {
        let (deadline, earlier) = {
            let mut state = self.lock();
            state.sequence += 1;
            let deadline = (due, state.sequence);
            let later = state.entries.iter().rev().take_while(|(other, _)| *other > deadline).count();
            let at = state.entries.len() - later;
            state.entries.insert(at, (deadline, Arc::downgrade(urb)));
            let earlier = state.armed.is_none_or(|armed| due < armed);
            // The task hears of an earlier deadline only; it looks again by itself when it wakes.
            state.rung |= earlier;
            (deadline, earlier)
        };
        if !urb.set_deadline(deadline) {
            self.forget(deadline);
        } else if earlier {
            self.bell.wake();
        }
    }

    /// The URB has ended.
    pub(crate) fn forget(&self, deadline: Deadline) {
        let mut state = self.lock();
        if let Ok(at) = state.entries.binary_search_by_key(&deadline, |(deadline, _)| *deadline) {
            state.entries.remove(at);
        }
    }

    /// Takes out what is due by `now`, and notes until when the caller will sleep.
    pub(crate) fn due(&self, now: Duration) -> (Vec<Arc<UrbShared>>, Option<Duration>) {
        let mut state = self.lock();
        let count = state.entries.partition_point(|((due, _), _)| *due <= now);
        let due = state.entries.drain(..count).filter_map(|(_, urb)| urb.upgrade()).collect();
        state.armed = state.entries.front().map(|((due, _), _)| *due);
        (due, state.armed)
    }

    /// Rings the bell, whatever the deadlines.
    pub(crate) fn ring(&self) {
        self.lock().rung = true;
        self.bell.wake();
    }

    /// Waits for the bell. There is one listener, the kernel task.
    pub(crate) fn bell(&self) -> impl Future<Output = ()> + '_ {
        core::future::poll_fn(|context| {
            self.bell.register(context.waker());
            if core::mem::take(&mut self.lock().rung) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

impl fmt::Debug for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadlines").field("entries", &self.lock().entries.len()).finish_non_exhaustive()
    }
}
