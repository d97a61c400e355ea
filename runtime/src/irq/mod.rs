//! Interrupts: lines that host threads raise ([`IrqLine`]), handlers that the kernel runs ([`IrqAction`]), and the
//! delivery between the two.
//!
//! A raised line sends one token over the IRQ channel; [`Core::deliver`] takes tokens off it when the flag of the
//! task being polled allows. Handlers run to completion, one after another, never nested, with IRQs off.
//!
//! - [`latch`], [`mod@line`], [`edges`]: the line, as any thread sees it
//! - [`entry`]: from a token to the handlers and back
//! - [`manage`], [`thread`]: requesting, disabling, freeing; threaded handlers
//! - [`nmi`]: what passes by all of this

pub(crate) mod edges;
mod entry;
pub(crate) mod latch;
pub(crate) mod line;
mod manage;
pub(crate) mod nmi;
mod thread;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use edges::IrqEdges;
pub use line::IrqLine;
pub use manage::{IrqAction, IrqOptions};
pub use nmi::{CpuState, Nmi};

use crate::cpu::{Context, sealed::Sealed};
use crate::executor::Core;
use crate::softirq::Softirq;
use line::LineShared;
use manage::Descs;

/// What a handler says of the interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IrqReturn {
    /// The device did not interrupt.
    None,
    /// The interrupt was the device's, and is handled.
    Handled,
    /// The interrupt was the device's, and the threaded handler is to go on with it.
    WakeThread,
}

/// Why a line cannot be requested.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IrqError {
    /// Somebody has the line.
    #[error("irq line {number} is in use by {owner:?}")]
    Busy {
        /// The line's number.
        number: u32,
        /// The name under which it was requested.
        owner: String,
    },
    /// The line is enabled, so there is nothing to enable.
    #[error("irq line {number} is enabled already")]
    NotDisabled {
        /// The line's number.
        number: u32,
    },
    /// A shared line cannot be requested disabled: others count on it.
    #[error("irq line {number} cannot be requested shared and disabled")]
    SharedNotEnabled {
        /// The line's number.
        number: u32,
    },
    /// The line belongs to another kernel.
    #[error("irq line {number} belongs to another kernel core")]
    ForeignLine {
        /// The line's number.
        number: u32,
    },
}

/// A handler's end by panic.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("irq handler {handler:?} panicked: {message}")]
#[non_exhaustive]
pub struct HandlerPanic {
    /// The name under which the line was requested.
    pub handler: String,
    /// The panic's message.
    pub message: String,
}

/// The kernel thread's side of its lines.
#[derive(Default)]
pub(crate) struct Irq {
    descs: RefCell<Descs>,
    next_dev_id: Cell<u64>,
    /// Name of the handler that runs now, and its `dev_id`.
    running: RefCell<Option<Rc<str>>>,
    running_id: Cell<u64>,
    /// Lines to be looked at when all tokens are taken, each once.
    due: RefCell<VecDeque<Arc<LineShared>>>,
    /// A host thread did not settle; do not wait for it again until it has.
    unsettled: Cell<bool>,
}

/// In place of a name, for handlers that nobody has requested.
pub(crate) const KERNELS_OWN: &str = "of the kernel";

impl Irq {
    /// Name of the handler that runs now.
    pub(crate) fn running(&self) -> Rc<str> {
        self.running.borrow().clone().unwrap_or_else(|| KERNELS_OWN.into())
    }

    /// The `dev_id` of the handler that runs now; 0: nobody has requested it.
    pub(crate) fn running_id(&self) -> u64 {
        self.running_id.get()
    }

    pub(crate) fn has_due(&self) -> bool {
        !self.due.borrow().is_empty()
    }

    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled.get()
    }

    pub(crate) fn set_unsettled(&self, unsettled: bool) {
        self.unsettled.set(unsettled);
    }

    fn next_dev_id(&self) -> u64 {
        self.next_dev_id.set(self.next_dev_id.get() + 1);
        self.next_dev_id.get()
    }
}

/// Hard-IRQ context: what a handler may do. Nothing here sleeps.
pub struct HardIrq<'a> {
    core: &'a Rc<Core>,
    line: &'a Arc<LineShared>,
    dev_id: u64,
}

impl HardIrq<'_> {
    /// The line that interrupted.
    pub fn line(&self) -> IrqLine {
        IrqLine { shared: self.line.clone() }
    }

    /// Which of the line's actions this is; see [`IrqAction::dev_id`].
    pub fn dev_id(&self) -> u64 {
        self.dev_id
    }

    /// As [`Cpu::disable_irq_nosync`](crate::Cpu::disable_irq_nosync), for a handler that wants no more interrupts
    /// for now.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn disable_irq_nosync(&mut self, line: &IrqLine) -> Result<(), IrqError> {
        self.core.disable_line(line)
    }

    /// As [`Cpu::enable_irq`](crate::Cpu::enable_irq); what is replayed runs after this handler.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn enable_irq(&mut self, line: &IrqLine) -> Result<(), IrqError> {
        self.core.enable_line(line)
    }

    /// Asks for a softirq, which runs when the handlers are done.
    pub fn raise_softirq(&mut self, vector: Softirq) {
        self.core.softirq.raise(vector);
    }

    /// The kernel's jiffies.
    pub fn jiffies(&self) -> u64 {
        self.core.freshen_jiffies();
        self.core.shared.counters.jiffies.load(Ordering::Relaxed)
    }

    /// The time since the clock's origin.
    pub fn now(&self) -> Duration {
        self.core.shared.clock.now()
    }
}

impl Sealed for HardIrq<'_> {
    #[allow(private_interfaces)]
    fn core(&self) -> &Rc<Core> {
        self.core
    }
}
impl Context for HardIrq<'_> {}

impl fmt::Debug for HardIrq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HardIrq").field("line", &self.line.number).finish_non_exhaustive()
    }
}
