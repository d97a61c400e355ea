//! Locks and waiting, for code on the kernel.
//!
//! [`SpinLock`] for data that handlers touch, held within one turn; [`Mutex`], [`Completion`] and [`WaitQueue`] for
//! tasks, which sleep on them. All live on the kernel's thread: to signal it from a host thread, trigger a line.

mod mutex;
mod spin;
mod wait;

pub use mutex::{Mutex, MutexGuard};
pub use spin::{SpinLock, SpinLockGuard};
pub use wait::{Completion, WaitQueue};
