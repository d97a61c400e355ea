//! The few primitives that threads meet over, behind one door.
//!
//! The hand-over between a host thread and the executor ([`Doorbell`](crate::executor::doorbell::Doorbell),
//! [`Latch`](crate::irq::latch::Latch), [`Watch`](crate::irq::edges::Watch), the tasks' `Queued`) is written against
//! this module only, so that the model checker `loom` can take the place of `std`:
//!
//! ```text
//! RUSTFLAGS="--cfg airlift_loom" cargo test -p airlift-runtime --lib --release --target-dir target/loom loom
//! ```

#[cfg(not(airlift_loom))]
pub(crate) use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    },
    thread::{Thread, current, park},
};

#[cfg(airlift_loom)]
pub(crate) use loom::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    },
    thread::{Thread, current, park},
};

/// Locks, whatever became of the last owner: no code of a user runs under these locks, so a poisoned one still
/// guards whole data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Parks until unparked or until `timeout` has passed, with spurious wake-ups.
#[cfg(not(airlift_loom))]
pub(crate) fn park_timeout(timeout: std::time::Duration) {
    std::thread::park_timeout(timeout);
}

/// The model has no time: a bounded park is one that may end at once.
#[cfg(airlift_loom)]
pub(crate) fn park_timeout(_timeout: std::time::Duration) {
    loom::thread::yield_now();
}
