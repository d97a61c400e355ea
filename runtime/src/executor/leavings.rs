//! What a callback leaves behind: whoever runs next finds the processor as if it had not been there.
//!
//! Callbacks of different owners run one after another in one task, one softirq or one interrupt. The flag, the depths
//! and the locks of one are noted when it begins ([`Levels`]) and put right when it ends, whether it returns or panics,
//! and what it left is told under its name ([`Item`]).

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::thread;

use super::Core;
use super::policy::IrqPolicy;
use crate::lock::validator::{Entry, Frame};

/// The name of a callback, for reports: `tasklet "rx"`.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a>(pub(crate) &'static str, pub(crate) &'a str);

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.0, self.1)
    }
}

/// What runs now, looked up only when it is told.
pub(crate) struct Running<'a>(pub(crate) &'a Core);

impl fmt::Display for Running<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.context().fmt(f)
    }
}

/// As in `tasklet "rx", softirq TASKLET`.
struct WithinRunning<'a>(Item<'a>, Running<'a>);

impl fmt::Display for WithinRunning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.0, self.1)
    }
}

/// The processor's state when a callback begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    irqs_on: bool,
    locks: u32,
    preempt: u32,
    softirqs_off: u32,
}

impl Core {
    pub(crate) fn levels(&self) -> Levels {
        Levels {
            irqs_on: self.irqs_on.get(),
            locks: self.locks_held.get(),
            preempt: self.preempt.get(),
            softirqs_off: self.softirq.disabled(),
        }
    }

    /// Undoes what a callback has left, and tells it.
    pub(crate) fn put_right(&self, levels: Levels, who: &impl fmt::Display) {
        let locks = self.locks_held.replace(levels.locks);
        let preempt = self.preempt.replace(levels.preempt);
        let softirqs_off = self.softirq.swap_disabled(levels.softirqs_off);
        if (locks, preempt, softirqs_off) != (levels.locks, levels.preempt, levels.softirqs_off) {
            self.shared.counters.suspended_with_lock.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%who, "returned with other locks, softirqs or preemption than it was called with; that was undone");
        }
        if self.irqs_on.get() != levels.irqs_on {
            self.irqs_on.set(levels.irqs_on);
            tracing::warn!(%who, irqs_on = !levels.irqs_on, "returned with another IRQ flag than it was called with; that was undone");
        }
    }

    /// Runs one of the callbacks that share a softirq.
    pub(crate) fn run_item<R>(&self, who: Item<'_>, work: impl FnOnce() -> R) -> thread::Result<R> {
        let who = WithinRunning(who, Running(self));
        let levels = self.levels();
        self.enter_frame(Frame::Interrupt);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let entry = self.frame_entry();
            let result = work();
            self.check_frame_end(entry, &who);
            result
        }));
        self.leave_frame(Frame::Interrupt);
        self.put_right(levels, &who);
        result
    }

    /// Awaits one of the callbacks that a task runs one after another. Their owner is to catch what panics.
    pub(crate) async fn run_async_item<R>(&self, who: Item<'_>, work: impl Future<Output = R>) -> R {
        /// In a drop, so that one that panics, or is cancelled, leaves nothing either.
        struct End<'a>(&'a Core, Item<'a>, Levels, Entry);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                let Self(core, who, levels, entry) = self;
                core.check_left(*entry, who);
                let levels = match core.irq_policy {
                    IrqPolicy::PerTask => *levels,
                    // It may be somebody else who has them off.
                    IrqPolicy::Global => Levels { irqs_on: core.irqs_on.get(), ..*levels },
                };
                core.put_right(levels, who);
            }
        }
        let entry = self.frame_entry();
        let _end = End(self, who, self.levels(), entry);
        let mut work = pin!(work);
        let result = poll_fn(|cx| {
            let poll = work.as_mut().poll(cx);
            if poll.is_pending() {
                // Before the task does it, for a report that panics: it is the callback's.
                self.check_turn_end();
            }
            poll
        })
        .await;
        self.check_item_end(entry, &who);
        result
    }
}
