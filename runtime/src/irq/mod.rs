//! Interrupts: lines that host threads raise ([`IrqLine`]), handlers that the kernel runs ([`IrqAction`]), and the
//! delivery between the two.
//!
//! A raised line sends one token over the IRQ channel; [`Core::deliver`] takes tokens off it when the flag of the
//! task being polled allows. Handlers run to completion, one after another, never nested, with IRQs off.

pub(crate) mod edges;
pub(crate) mod latch;
pub(crate) mod line;
pub(crate) mod nmi;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use edges::IrqEdges;
pub use line::IrqLine;
pub use nmi::{CpuState, Nmi};

use crate::cpu::{Context, sealed::Sealed};
use crate::executor::{Core, IRQ_BUDGET, published::CpuContext, task::panic_message};
use crate::lock::validator::Frame;
use crate::softirq::Softirq;
use line::LineShared;

/// What a handler says of the interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IrqReturn {
    /// The device did not interrupt.
    None,
    /// The interrupt was the device's, and is handled.
    Handled,
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

type Handler = Box<dyn FnMut(&mut HardIrq<'_>) -> IrqReturn>;

/// One requested handler.
struct Action {
    name: Rc<str>,
    line: Arc<LineShared>,
    /// `None` while it runs and after a panic.
    handler: RefCell<Option<Handler>>,
    freed: Cell<bool>,
    panic: RefCell<Option<HandlerPanic>>,
}

/// The kernel thread's side of its lines.
#[derive(Default)]
pub(crate) struct Irq {
    actions: RefCell<BTreeMap<u32, Rc<Action>>>,
    /// Name of the handler that runs now.
    running: RefCell<Option<Rc<str>>>,
    /// A host thread did not settle; do not wait for it again until it has.
    unsettled: Cell<bool>,
}

impl Irq {
    pub(crate) fn running(&self) -> Rc<str> {
        self.running.borrow().clone().unwrap_or_else(|| "of the kernel".into())
    }

    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled.get()
    }

    pub(crate) fn set_unsettled(&self, unsettled: bool) {
        self.unsettled.set(unsettled);
    }

    /// Drops all handlers.
    pub(crate) fn clear(&self) {
        let actions = std::mem::take(&mut *self.actions.borrow_mut());
        for action in actions.into_values() {
            action.freed.set(true);
            let handler = action.handler.borrow_mut().take();
            let _ = catch_unwind(AssertUnwindSafe(|| drop(handler)));
        }
    }
}

impl Core {
    /// A delivery point: takes pending interrupts, if IRQs are on and no handler runs; then pending softirqs.
    pub(crate) fn deliver(self: &Rc<Self>) {
        if self.in_hardirq.get() || !self.irqs_on.get() || self.nmis.get() > 0 {
            return;
        }
        self.settle();
        // All that is queued now, so that a caller's own trigger is among it; new arrivals within the budget.
        let mut left = self.tokens.len().max(IRQ_BUDGET);
        let mut any = false;
        while left > 0 {
            let Ok(token) = self.tokens.try_recv() else { break };
            left -= 1;
            if !any {
                any = true;
                self.update_jiffies();
            }
            self.interrupt(&token.line);
        }
        if any {
            // irq_exit
            self.run_softirqs();
        }
    }

    /// One interrupt, from its token to the end of its handler.
    fn interrupt(self: &Rc<Self>, line: &Arc<LineShared>) {
        let action = self.irq.actions.borrow().get(&line.number).cloned();
        let is_timer = self.is_timer_line(line);
        if action.is_none() && !is_timer && line.watchers().wakers.is_empty() {
            // Nobody to hear it: it stays pending until somebody requests or watches the line.
            return;
        }
        let Some(edges) = line.latch.take() else { return };
        line.delivered_edges.store(edges, Ordering::Release);
        let broken_into = self.shared.published.enter(CpuContext::HardIrq(line.number));
        let span = tracing::trace_span!("irq", line = line.number, name = %line.name);
        span.in_scope(|| {
            // In hard-IRQ context too, so that a waker that triggers a line nests nothing.
            let watched = self.hard_irq(None, || line.wake_watchers()).unwrap_or(true);
            let claimed = match (is_timer, action) {
                (true, _) => {
                    // Its work is ours and the wakers'; theirs may panic, and are logged like any handler.
                    if let Err(message) = self.hard_irq(None, || self.timer_interrupt()) {
                        tracing::error!(message, "a waker panicked in the timer interrupt");
                    }
                    true
                }
                (false, Some(action)) => self.run_handler(line, &action),
                (false, None) => false,
            };
            if !watched && !claimed {
                line.unhandled.fetch_add(1, Ordering::Relaxed);
            }
        });
        self.shared.published.enter(broken_into);
    }

    /// Runs `work` in hard-IRQ context: IRQs off, nothing delivered. `Err`: it panicked.
    fn hard_irq<R>(&self, handler: Option<&Rc<str>>, work: impl FnOnce() -> R) -> Result<R, String> {
        self.in_hardirq.set(true);
        self.irqs_on.set(false);
        let locks = self.locks_held.replace(0);
        self.irq.running.replace(handler.cloned());
        self.enter_frame(Frame::Interrupt);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let entry = self.frame_entry();
            let result = work();
            self.check_frame_end(entry);
            result
        }));
        self.leave_frame(Frame::Interrupt);
        if self.locks_held.replace(locks) > 0 {
            self.shared.counters.suspended_with_lock.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(handler = %self.irq.running(), "an irq handler returned with a spinlock held");
        }
        if self.irqs_on.get() {
            self.shared.counters.handler_left_irqs_on.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(handler = %self.irq.running(), "an irq handler returned with IRQs on; they were forced off");
        }
        // Delivery only ever starts with IRQs on, and that is what is returned to.
        self.irqs_on.set(true);
        self.in_hardirq.set(false);
        result.map_err(panic_message)
    }

    /// True if the handler claims the interrupt.
    fn run_handler(self: &Rc<Self>, line: &Arc<LineShared>, action: &Rc<Action>) -> bool {
        let Some(mut handler) = action.handler.borrow_mut().take() else { return false };
        let mut context = HardIrq { core: self, line };
        match self.hard_irq(Some(&action.name), || handler(&mut context)) {
            Ok(outcome) => {
                if !action.freed.get() {
                    *action.handler.borrow_mut() = Some(handler);
                }
                outcome == IrqReturn::Handled
            }
            Err(message) => {
                tracing::error!(handler = %action.name, message, "an irq handler panicked; it is not called again");
                line.panics.fetch_add(1, Ordering::Relaxed);
                *action.panic.borrow_mut() = Some(HandlerPanic { handler: action.name.to_string(), message });
                self.contain("drop of a panicked irq handler", || drop(handler));
                false
            }
        }
    }

    /// `request_irq`.
    pub(crate) fn request_irq(
        self: &Rc<Self>,
        line: &IrqLine,
        name: String,
        handler: Handler,
    ) -> Result<IrqAction, IrqError> {
        let number = line.number();
        if !Arc::ptr_eq(&line.shared.kernel, &self.shared) {
            return Err(IrqError::ForeignLine { number });
        }
        if self.is_timer_line(&line.shared) {
            return Err(IrqError::Busy { number, owner: "timer".to_owned() });
        }
        if let Some(action) = self.irq.actions.borrow().get(&number) {
            return Err(IrqError::Busy { number, owner: action.name.to_string() });
        }
        let action = Rc::new(Action {
            name: name.into(),
            line: line.shared.clone(),
            handler: RefCell::new(Some(handler)),
            freed: Cell::new(false),
            panic: RefCell::default(),
        });
        self.irq.actions.borrow_mut().insert(number, action.clone());
        line.shared.requested.store(true, Ordering::Release);
        if line.shared.latch.is_pending() {
            // Raised before anybody cared.
            self.shared.recheck_masked(&line.shared);
            self.deliver();
        }
        Ok(IrqAction { core: Rc::downgrade(self), action })
    }
}

/// A requested interrupt. Dropping it frees the line (`free_irq`): the handler is not called again. It may be dropped
/// within the handler itself.
#[must_use = "the line is freed when this is dropped"]
pub struct IrqAction {
    core: Weak<Core>,
    action: Rc<Action>,
}

impl IrqAction {
    /// The line.
    pub fn line(&self) -> IrqLine {
        IrqLine { shared: self.action.line.clone() }
    }

    /// The handler's panic, if it ended that way. It is not called again then.
    pub fn panicked(&self) -> Option<HandlerPanic> {
        self.action.panic.borrow().clone()
    }
}

impl Drop for IrqAction {
    fn drop(&mut self) {
        self.action.freed.set(true);
        if let Some(core) = self.core.upgrade() {
            let mut actions = core.irq.actions.borrow_mut();
            if actions.get(&self.action.line.number).is_some_and(|action| Rc::ptr_eq(action, &self.action)) {
                actions.remove(&self.action.line.number);
                self.action.line.requested.store(false, Ordering::Release);
            }
        }
        // The handler is the user's: it goes when nothing of ours is borrowed.
        let handler = self.action.handler.borrow_mut().take();
        drop(handler);
    }
}

impl fmt::Debug for IrqAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrqAction")
            .field("line", &self.action.line.number)
            .field("name", &self.action.name)
            .finish_non_exhaustive()
    }
}

/// Hard-IRQ context: what a handler may do. Nothing here sleeps.
pub struct HardIrq<'a> {
    core: &'a Rc<Core>,
    line: &'a Arc<LineShared>,
}

impl HardIrq<'_> {
    /// The line that interrupted.
    pub fn line(&self) -> IrqLine {
        IrqLine { shared: self.line.clone() }
    }

    /// Asks for a softirq, which runs when the handlers are done.
    pub fn raise_softirq(&mut self, vector: Softirq) {
        self.core.softirq.raise(vector);
    }

    /// The kernel's jiffies.
    pub fn jiffies(&self) -> u64 {
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
