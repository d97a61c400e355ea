//! [`Queued`]: whether another thread has queued a task for its turn, so that it is queued once however often it is
//! woken.
//!
//! Whoever wakes the task has changed something that its poll is to see. Both steps are read-modify-writes of one
//! word: a wake comes either before the turn's [`take`](Queued::take), which then sees what was changed, or after it,
//! and then asks for another turn. The kernel's own thread has a flag of its own, which no other touches.

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

    /// A turn begins: a wake from here on means another one. True: there was one.
    ///
    /// Where nobody asked, looking is enough: a turn that was queued by another thread comes after its asking, and one
    /// that was not may miss what has an entry of its own in the queue.
    pub(crate) fn take(&self) -> bool {
        self.0.load(Ordering::Acquire) && self.0.swap(false, Ordering::AcqRel)
    }
}

#[cfg(all(test, airlift_loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::sync::AtomicU64;

    /// A task, its queue, and a host thread that changes something and wakes the task.
    struct Model {
        queued: Queued,
        changed: AtomicU64,
        /// Entries of the queue that the host thread has made.
        entries: AtomicU64,
    }

    fn model(check: impl Fn(&Model) -> bool + Sync + Send + 'static) {
        loom::model(move || {
            let model = Arc::new(Model {
                queued: Queued::new(),
                changed: AtomicU64::new(0),
                entries: AtomicU64::new(0),
            });
            let host = model.clone();
            let host = thread::spawn(move || {
                host.changed.store(1, Ordering::Relaxed);
                if host.queued.ask() {
                    host.entries.fetch_add(1, Ordering::Release);
                }
            });
            let seen = check(&model);
            host.join().unwrap();
            // What is in the queue still has its turn, which sees all.
            let due = model.entries.load(Ordering::Acquire) > 0 && model.queued.take();
            assert!(seen || due, "changed, not seen, and no other turn");
        });
    }

    #[test]
    fn r4_loom_a_wake_during_a_poll_asks_for_another() {
        model(|model| {
            // Queued by another, and about to be polled.
            model.queued.ask();
            assert!(model.queued.take());
            model.changed.load(Ordering::Relaxed) == 1
        });
    }

    #[test]
    fn r4_loom_a_wake_during_a_turn_of_the_kernels_own_is_not_lost() {
        model(|model| {
            // A turn that the kernel's thread has given by its own flag.
            let _ = model.queued.take();
            model.changed.load(Ordering::Relaxed) == 1
        });
    }
}
