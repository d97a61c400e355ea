//! The lock validator: finds locking that *can* go wrong, the first time that its pieces have each happened once.
//!
//! It is what lockdep is for Linux, and follows its rules (Documentation/locking/lockdep-design.rst): it reasons about
//! [classes](super::class::LockClass) of locks, and remembers for each whether it was ever taken in a handler or
//! softirq, or where one could break in, and which class was ever taken while it was held. Whoever adds a piece that
//! contradicts what is remembered is reported, with the sites of both.
//!
//! ```text
//!   lock_wanted ──▶ marks (within / exposed) ─┐
//!                   order (held ─▶ wanted) ───┼─▶ Graph ─▶ findings ─▶ Shared: reports, a tracing event, a panic
//!   irqs_went_on ─▶ marks of all that is held ┘
//!   might_sleep, the ends of turns, handlers, softirqs and timers ─▶ what is held or off then
//! ```
//!
//! It reads the processor's state and has no way to change it: nothing here calls back into the kernel. It is there
//! with debug assertions or with the feature `lock-validator`; otherwise its calls are empty and its types have no
//! size.

#[cfg(any(debug_assertions, feature = "lock-validator"))]
mod graph;
#[cfg(any(debug_assertions, feature = "lock-validator"))]
mod on;
#[cfg(any(debug_assertions, feature = "lock-validator"))]
pub(crate) use on::{Entry, HeldLock, Validator};

#[cfg(not(any(debug_assertions, feature = "lock-validator")))]
mod off;
#[cfg(not(any(debug_assertions, feature = "lock-validator")))]
pub(crate) use off::{Entry, HeldLock, Validator};

/// Whether this build has the lock validator: with debug assertions, or with the feature `lock-validator`.
pub const LOCK_VALIDATOR: bool = cfg!(any(debug_assertions, feature = "lock-validator"));

/// A level of execution, each with held locks of its own: what breaks in shares no order with what it broke into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Frame {
    /// A task's turn; its locks wait for its next one.
    Task(u64),
    /// A handler, a softirq or a timer.
    Interrupt,
}
