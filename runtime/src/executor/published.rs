//! [`Published`]: what the kernel's thread lets other threads see of its processor state.
//!
//! Only the kernel's thread writes here, with plain stores; whoever looks reads each word by itself. While the kernel
//! works, two words need not be of one instant. While it is stuck nothing changes, and then they are.
//!
//! Readers are NMIs ([`Nmi`](crate::Nmi)) and, through them, the watchdog.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::shared::Shared;
use crate::softirq::Softirq;

const IDLE: u8 = 0;
const EXECUTOR: u8 = 1;
const TASK: u8 = 2;
const SOFTIRQ: u8 = 3;
const HARDIRQ: u8 = 4;

/// What the processor of a kernel core is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CpuContext {
    /// It sleeps, since there is nothing to do.
    Idle,
    /// It is between tasks, handlers and softirqs.
    Executor,
    /// It polls a task.
    Task,
    /// It runs this softirq.
    Softirq(Softirq),
    /// It runs the handlers of the line of this number.
    HardIrq(u32),
}

impl fmt::Display for CpuContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Executor => f.write_str("between tasks"),
            Self::Task => f.write_str("in a task"),
            Self::Softirq(vector) => write!(f, "in softirq {}", vector.name()),
            Self::HardIrq(line) => write!(f, "in the handlers of irq {line}"),
        }
    }
}

/// The published words, on a cache line of their own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Published {
    irqs_on: AtomicBool,
    context: AtomicU8,
    /// The vector or the line, for the contexts that have one.
    number: AtomicU32,
    /// The task being polled, in whatever context that was broken into; 0: none.
    task: AtomicU64,
    /// NMIs that run now, on any thread.
    nmis: AtomicU32,
    nmis_taken: AtomicU64,
}

impl Default for Published {
    fn default() -> Self {
        Self {
            irqs_on: AtomicBool::new(true),
            context: AtomicU8::new(EXECUTOR),
            number: AtomicU32::new(0),
            task: AtomicU64::new(0),
            nmis: AtomicU32::new(0),
            nmis_taken: AtomicU64::new(0),
        }
    }
}

impl Published {
    // ---- the kernel's thread ---------------------------------------------------------------------------------

    /// Tells the context.
    pub(crate) fn enter(&self, context: CpuContext) {
        let (word, number) = match context {
            CpuContext::Idle => (IDLE, 0),
            CpuContext::Executor => (EXECUTOR, 0),
            CpuContext::Task => (TASK, 0),
            CpuContext::Softirq(vector) => (SOFTIRQ, vector as u32),
            CpuContext::HardIrq(line) => (HARDIRQ, line),
        };
        self.number.store(number, Ordering::Release);
        self.context.store(word, Ordering::Release);
    }

    pub(crate) fn set_task(&self, task: u64) {
        self.task.store(task, Ordering::Release);
    }

    // ---- anybody ---------------------------------------------------------------------------------------------

    pub(crate) fn context(&self) -> CpuContext {
        let word = self.context.load(Ordering::Acquire);
        let number = self.number.load(Ordering::Acquire);
        match word {
            IDLE => CpuContext::Idle,
            TASK => CpuContext::Task,
            SOFTIRQ => Softirq::from_number(number).map_or(CpuContext::Executor, CpuContext::Softirq),
            HARDIRQ => CpuContext::HardIrq(number),
            _ => CpuContext::Executor,
        }
    }

    pub(crate) fn irqs_on(&self) -> bool {
        self.irqs_on.load(Ordering::Acquire)
    }

    pub(crate) fn task(&self) -> u64 {
        self.task.load(Ordering::Acquire)
    }

    pub(crate) fn nmi_enter(&self) {
        self.nmis.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn nmi_exit(&self) {
        self.nmis.fetch_sub(1, Ordering::AcqRel);
        self.nmis_taken.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn nmis_taken(&self) -> u64 {
        self.nmis_taken.load(Ordering::Acquire)
    }
}

/// The IRQ flag of the processor: a cell of the kernel's thread that others may look at.
pub(crate) struct IrqFlag {
    shared: Arc<Shared>,
}

impl IrqFlag {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn get(&self) -> bool {
        self.shared.published.irqs_on.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, irqs_on: bool) {
        self.shared.published.irqs_on.store(irqs_on, Ordering::Release);
    }

    pub(crate) fn replace(&self, irqs_on: bool) -> bool {
        let before = self.get();
        self.set(irqs_on);
        before
    }
}
