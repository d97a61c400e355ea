//! Locks and waiting, for code on the kernel.
//!
//! [`SpinLock`] for data that handlers touch, held within one turn; [`Mutex`], [`Completion`] and [`WaitQueue`] for
//! tasks, which sleep on them. All live on the kernel's thread: to signal it from a host thread, trigger a line.
//!
//! In debug builds a [validator](validator) watches how they are used, and files a [`LockReport`] when that can go
//! wrong, whether or not it just did.

mod class;
mod mutex;
mod report;
mod spin;
pub(crate) mod validator;
mod wait;

pub(crate) use class::{ClassKind, LockClass};
pub use mutex::{Mutex, MutexGuard};
pub use report::{LockEvent, LockProblem, LockReport, OnLockReport};
pub use spin::{SpinLock, SpinLockGuard};
pub use validator::LOCK_VALIDATOR;
pub use wait::{Completion, WaitQueue};
