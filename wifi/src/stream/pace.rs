//! [`Pace`]: lets virtual time wait for readers.
//!
//! Under a virtual clock an emulated air would send an hour of frames before a reader was scheduled once. So a
//! stream whose queue is above half of its budget holds the time until it is drained. Operations on the
//! interface need the time to move on even then, since the application that awaits one may be the very reader
//! that is behind: they take a [`TimeRuns`].

use std::sync::atomic::{AtomicUsize, Ordering};

use airlift_runtime::{Clock, Hold};

/// The clock that streams hold.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    /// How many operations need the time to move.
    running: AtomicUsize,
}

impl Pace {
    /// A pace for readers on this clock; `None` on the system's, which nobody can hold.
    pub(super) fn new(clock: &Clock) -> Option<Self> {
        clock.is_virtual().then(|| Self { clock: clock.clone(), running: AtomicUsize::new(0) })
    }

    /// Holds the time, unless an operation needs it.
    pub(super) fn hold(&self) -> Option<Hold> {
        (self.running.load(Ordering::Acquire) == 0).then(|| self.clock.hold())
    }

    pub(super) fn start(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn stop(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }
}
