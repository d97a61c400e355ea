//! [`Queued`]: whether a task waits for its turn, so that it is queued once however often it is woken.
//!
//! Whoever wakes the task has changed something that its poll is to see. Both steps are read-modify-writes of one
//! word: a wake comes either before the turn's [`begin`](Queued::begin), which then sees what was changed, or after
//! it, and then asks for another turn.

use crate::sync::{AtomicBool, Ordering};

#[derive(Debug)]
pub(crate) struct Queued(AtomicBool);

impl Queued {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// A wake-up. True: the task was not queued, and the caller must queue it.
    pub(crate) fn ask(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// A turn begins: a wake from here on means another one.
    pub(crate) fn begin(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}

#[cfg(all(test, airlift_loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::sync::AtomicU64;

    #[test]
    fn r4_loom_a_wake_during_a_poll_asks_for_another() {
        loom::model(|| {
            // Queued once, and about to be polled.
            let task = Arc::new((Queued::new(), AtomicU64::new(0), AtomicU64::new(0)));
            assert!(task.0.ask());
            let waker = task.clone();
            let host = thread::spawn(move || {
                let (queued, changed, turns) = &*waker;
                changed.store(1, Ordering::Relaxed);
                if queued.ask() {
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            });
            let (queued, changed, turns) = &*task;
            queued.begin();
            let seen = changed.load(Ordering::Relaxed) == 1;
            host.join().unwrap();
            assert!(seen || turns.load(Ordering::Relaxed) == 1, "changed, not seen, and no other turn");
        });
    }
}
