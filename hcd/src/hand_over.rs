//! [`HandOver`]: a queue between threads, made for the commonest case: it holds one entry or none.
//!
//! Two threads that exchange URBs one by one spend most of their time in passing cache lines to one another, some
//! 80 ns each. So the first entry lies beside the lock, where the thread that fetches the lock finds it, and only
//! what comes while that one waits goes into memory elsewhere.

use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More room than this for entries is given back after a rush.
const SPARE_ENTRIES: usize = 1_024;

/// A queue between threads, by two cache lines of its own, which a processor fetches as a pair.
#[repr(align(128))]
pub(crate) struct HandOver<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    first: Option<T>,
    /// Those behind the first. Empty while there is no first.
    rest: Vec<T>,
    /// Room for those that come while the others are being worked on. Empty.
    spare: Vec<T>,
    closed: bool,
}

impl<T> HandOver<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues entries, in this order. False: it is closed, and nobody will take them out unless the caller does.
    #[must_use]
    pub(crate) fn push(&self, entries: impl IntoIterator<Item = T>) -> bool {
        let mut state = self.lock();
        for entry in entries {
            match &mut state.first {
                Some(_) => state.rest.push(entry),
                none => *none = Some(entry),
            }
        }
        !state.closed
    }

    /// Takes out all that is queued now and does `work` with each in its turn; what comes meanwhile stays.
    pub(crate) fn drain(&self, mut work: impl FnMut(T)) {
        let (first, mut rest) = {
            let mut state = self.lock();
            let first = state.first.take();
            if state.rest.is_empty() {
                (first, Vec::new())
            } else {
                let spare = core::mem::take(&mut state.spare);
                (first, core::mem::replace(&mut state.rest, spare))
            }
        };
        if let Some(first) = first {
            work(first);
        }
        if rest.is_empty() {
            return;
        }
        rest.drain(..).for_each(work);
        if rest.capacity() <= SPARE_ENTRIES {
            let mut state = self.lock();
            if state.spare.capacity() < rest.capacity() {
                state.spare = rest;
            }
        }
    }

    /// Whoever drained it drains it no more after this but once.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }
}

impl<T> Default for HandOver<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { first: None, rest: Vec::new(), spare: Vec::new(), closed: false }) }
    }
}

impl<T> fmt::Debug for HandOver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let queued = usize::from(state.first.is_some()) + state.rest.len();
        f.debug_struct("HandOver").field("queued", &queued).field("closed", &state.closed).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(queue: &HandOver<u32>) -> Vec<u32> {
        let mut entries = Vec::new();
        queue.drain(|entry| entries.push(entry));
        entries
    }

    #[test]
    fn h2_what_is_handed_over_stays_in_order_whether_one_or_many() {
        let queue = HandOver::default();
        assert!(queue.push([1]));
        assert_eq!(drained(&queue), [1]);
        assert!(queue.push([2]) && queue.push([3, 4]) && queue.push([5]));
        assert_eq!(drained(&queue), [2, 3, 4, 5]);
        assert_eq!(drained(&queue), [0; 0]);
    }

    #[test]
    fn h2_what_comes_during_a_drain_waits_for_the_next() {
        let queue = HandOver::default();
        assert!(queue.push([1, 2]));
        let mut entries = Vec::new();
        queue.drain(|entry| {
            assert!(queue.push([entry + 10]));
            entries.push(entry);
        });
        assert_eq!(entries, [1, 2]);
        assert_eq!(drained(&queue), [11, 12]);
    }

    #[test]
    fn h6_who_hands_over_to_a_closed_queue_is_told_and_can_take_it_back() {
        let queue = HandOver::default();
        assert!(queue.push([1]));
        queue.close();
        assert!(!queue.push([2]));
        assert_eq!(drained(&queue), [1, 2]);
    }

    #[test]
    fn h2_a_rush_leaves_no_memory_behind() {
        let queue = HandOver::default();
        assert!(queue.push(0..10_000));
        assert_eq!(drained(&queue).len(), 10_000);
        assert!(room(&queue) <= 2 * SPARE_ENTRIES);
        assert!(queue.push(0..100));
        assert_eq!(drained(&queue).len(), 100);
        assert!(room(&queue) >= 99, "room that is used again");
    }

    /// What it has taken from the heap, in entries.
    fn room(queue: &HandOver<u32>) -> usize {
        let state = queue.lock();
        state.rest.capacity() + state.spare.capacity()
    }

    #[test]
    fn h2_room_is_used_again_though_some_come_while_others_are_worked_on() {
        let queue = HandOver::default();
        let mut rooms = Vec::new();
        for _ in 0..8 {
            assert!(queue.push(0..100));
            let mut meanwhile = true;
            queue.drain(|_| {
                if core::mem::take(&mut meanwhile) {
                    assert!(queue.push(0..3));
                }
            });
            let state = queue.lock();
            let mut both = [state.rest.as_ptr().addr(), state.spare.as_ptr().addr()];
            both.sort_unstable();
            rooms.push(both);
        }
        // Once both are as large as they need to be, they only change places.
        let warm = &rooms[4..];
        assert!(warm.iter().all(|both| *both == warm[0]), "{warm:?}");
    }
}
