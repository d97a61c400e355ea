//! [`LockReport`]: what the lock validator found, as a value that can be printed.

use std::fmt;
use std::panic::Location;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LockProblem {
    /// Locks are taken in opposite orders, directly or through others: two processors would wait for each other.
    OrderInversion,
    /// A lock that handlers take, or one that is held while such a lock's successor is wanted, is elsewhere taken
    /// with IRQs on: the handler may break in right there.
    IrqUnsafe,
    /// The same with softirqs.
    SoftirqUnsafe,
    /// A lock is taken while it, or another lock of its class, is held by the same turn.
    Recursion,
    /// A task gave up its turn with a spinlock held or softirqs off.
    HeldAcrossYield,
    /// A task gave up its turn with IRQs off.
    IrqsOffAcrossYield,
    /// Something that may sleep was called in a handler or softirq, with IRQs or softirqs off, or with a spinlock held.
    SleepInAtomic,
    /// A handler, softirq, tasklet or timer returned with a spinlock held, or a task, work item, threaded handler or
    /// drop ended with any lock held. A mutex whose guard was leaked stays locked: whoever wants it waits for ever.
    /// One whose guard was handed to somebody who lives on does not, but to Linux it is its taker who releases it.
    HeldAtEnd,
    /// A handler, threaded or not, softirq, tasklet, timer or work item returned with another IRQ flag than it was
    /// called with, or a task ended with IRQs off.
    UnbalancedIrqs,
    /// A handler, threaded or not, softirq, tasklet, timer or work item returned with softirqs off, or preemption,
    /// that it was called with on, or the other way around.
    UnbalancedPreempt,
    /// Softirqs were put off and on again in a handler or with IRQs off, where those that are due cannot run: a lock
    /// that was taken with [`with_bh`](super::SpinLock::with_bh) there, for example.
    SoftirqsInAtomic,
    /// Spinlocks were released in another order than the reverse of their taking, or by another turn than took them.
    ReleaseOrder,
}

impl fmt::Display for LockProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OrderInversion => "locks taken in opposite orders",
            Self::IrqUnsafe => "lock of irq handlers taken with irqs on",
            Self::SoftirqUnsafe => "lock of softirqs taken with softirqs on",
            Self::Recursion => "lock taken again by its holder",
            Self::HeldAcrossYield => "turn given up in atomic context",
            Self::IrqsOffAcrossYield => "turn given up with irqs off",
            Self::SleepInAtomic => "sleeping call in atomic context",
            Self::HeldAtEnd => "lock held at the end of its holder",
            Self::UnbalancedIrqs => "irq flag not restored at the end",
            Self::UnbalancedPreempt => "preemption count not restored at the end",
            Self::SoftirqsInAtomic => "softirqs enabled in a handler or with irqs off",
            Self::ReleaseOrder => "locks released out of order",
        })
    }
}

/// One event that a report rests on: who did what, where.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LockEvent {
    /// What was done, with which lock: `"ring" taken while "table" is held`.
    pub what: String,
    /// What ran: `task "rx"`, or `tasklet "rx", softirq TASKLET`.
    pub context: String,
    /// Where.
    pub site: &'static Location<'static>,
}

impl fmt::Display for LockEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {} at {}", self.what, self.context, self.site)
    }
}

/// A finding of the lock validator: the event that completed it, and the earlier ones that it contradicts.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LockReport {
    /// What is wrong.
    pub problem: LockProblem,
    /// What happened now.
    pub event: LockEvent,
    /// What happened before, in the order of the argument: for an inversion, the chain of locks that leads back; for
    /// a sleep, what made the context atomic.
    pub against: Vec<LockEvent>,
}

impl fmt::Display for LockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.event)?;
        for event in &self.against {
            write!(f, "; {event}")?;
        }
        Ok(())
    }
}

/// What follows when the validator finds something, besides the report and a `tracing` event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OnLockReport {
    /// Nothing: the code goes on.
    #[default]
    Continue,
    /// The code that did it panics, which ends the task, handler, softirq or timer, and nobody else. (A release does
    /// not panic: it happens in drops.)
    Panic,
}
