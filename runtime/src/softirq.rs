//! Softirqs: work that a handler puts off until interrupts are on again, as Linux runs it: lowest vector first, at
//! most 10 passes or 2 ms; the rest runs in the kernel's task `ksoftirqd`, in turns with all other tasks.
//!
//! They run at the end of an interrupt, at the outermost `local_bh_enable`, and in `ksoftirqd`, which is woken when
//! there is more than fits, and by whoever raises one outside of interrupts. It is made when first needed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::cpu::{Context, sealed::Sealed};
use crate::executor::{Core, chaos::Place, leavings::Running, published::CpuContext, task::panic_message};
use crate::lock::validator::Frame;
use crate::shared::bump;

/// The softirq vectors, in order of precedence. The numbers are Linux's (`include/linux/interrupt.h`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Softirq {
    /// [Tasklets](crate::Tasklet) of high priority; taken.
    Hi = 0,
    /// The kernel's [timers](crate::Timer); taken.
    Timer = 1,
    /// Network transmission.
    NetTx = 2,
    /// Network reception.
    NetRx = 3,
    /// Block devices.
    Block = 4,
    /// Polling of interrupts.
    IrqPoll = 5,
    /// [Tasklets](crate::Tasklet); taken.
    Tasklet = 6,
    /// The scheduler.
    Sched = 7,
    /// High-resolution timers.
    Hrtimer = 8,
    /// Read-copy-update.
    Rcu = 9,
}

impl Softirq {
    /// Its name in `/proc/softirqs`.
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        const ALL: [Softirq; VECTORS] = [
            Softirq::Hi,
            Softirq::Timer,
            Softirq::NetTx,
            Softirq::NetRx,
            Softirq::Block,
            Softirq::IrqPoll,
            Softirq::Tasklet,
            Softirq::Sched,
            Softirq::Hrtimer,
            Softirq::Rcu,
        ];
        ALL.get(number as usize).copied()
    }
}

/// Number of vectors.
pub(crate) const VECTORS: usize = 10;

/// As `/proc/softirqs` names them.
pub(crate) const NAMES: [&str; VECTORS] =
    ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];

/// Linux: MAX_SOFTIRQ_RESTART.
const MAX_PASSES: u32 = 10;
/// Linux: MAX_SOFTIRQ_TIME.
const MAX_TIME: Duration = Duration::from_millis(2);

/// Why a softirq vector cannot be opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("softirq {} has a handler already", NAMES[*vector as usize])]
#[non_exhaustive]
pub struct SoftirqBusy {
    /// The vector.
    pub vector: Softirq,
}

type Handler = Box<dyn FnMut(&mut SoftIrq<'_>)>;

struct Action {
    handler: RefCell<Option<Handler>>,
    panic: RefCell<Option<String>>,
}

/// The kernel thread's softirq state.
#[derive(Default)]
pub(crate) struct Softirqs {
    pending: Cell<u32>,
    running: Cell<Option<u8>>,
    /// Depth of `local_bh_disable` of the task being polled now.
    disabled: Cell<u32>,
    actions: RefCell<[Option<Rc<Action>>; VECTORS]>,
    ksoftirqd: RefCell<Option<Waker>>,
    /// There was more than fits: the rest is `ksoftirqd`'s, so that a storm of interrupts does not run it again and
    /// again before any task has its turn.
    overflown: Cell<bool>,
}

impl Softirqs {
    pub(crate) fn raise(&self, vector: Softirq) {
        self.pending.set(self.pending.get() | 1 << vector as u8);
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending.get() != 0
    }

    /// The name of the vector that runs now.
    pub(crate) fn running(&self) -> Option<&'static str> {
        self.running.get().map(|vector| NAMES[usize::from(vector)])
    }

    /// Its number.
    pub(crate) fn running_vector(&self) -> Option<u8> {
        self.running.get()
    }

    /// The name of a vector.
    pub(crate) fn name_of(vector: u64) -> &'static str {
        usize::try_from(vector).ok().and_then(|vector| NAMES.get(vector).copied()).unwrap_or("of no vector")
    }

    /// Whether something is to run at the end of an interrupt that broke into what runs now.
    pub(crate) fn may_run_at_irq_exit(&self) -> bool {
        self.is_pending() && self.running.get().is_none() && self.disabled.get() == 0 && !self.overflown.get()
    }

    /// How often they are disabled for what runs now.
    pub(crate) fn disabled(&self) -> u32 {
        self.disabled.get()
    }

    pub(crate) fn swap_disabled(&self, depth: u32) -> u32 {
        self.disabled.replace(depth)
    }

    pub(crate) fn disable(&self) {
        self.disabled.set(self.disabled.get() + 1);
    }

    pub(crate) fn clear(&self) {
        let actions = std::mem::take(&mut *self.actions.borrow_mut());
        for action in actions.into_iter().flatten() {
            let handler = action.handler.borrow_mut().take();
            let _ = catch_unwind(AssertUnwindSafe(|| drop(handler)));
        }
    }
}

impl Core {
    /// Ends the `local_bh_disable` of `site`; what was raised meanwhile runs now.
    pub(crate) fn enable_softirqs(self: &Rc<Self>, site: &'static Location<'static>) {
        self.softirqs_go_on(site);
        let disabled = &self.softirq.disabled;
        disabled.set(disabled.get().saturating_sub(1));
        if disabled.get() == 0 && self.irqs_on.get() {
            self.preemption_went_on(site);
            if !self.softirq.overflown.get() {
                self.run_softirqs();
            }
            self.preempt_check_resched();
        }
    }

    /// Raises a softirq from whatever context. Outside of interrupts nobody's exit would run it, so `ksoftirqd` does.
    pub(crate) fn raise_softirq(self: &Rc<Self>, vector: Softirq) {
        self.softirq.raise(vector);
        if !self.in_interrupt() {
            self.wake_ksoftirqd();
        }
    }

    /// Between polls: what a poll raised and did not run, having ended with softirqs off for example, is
    /// `ksoftirqd`'s. (It could not run them with IRQs off, which only the global policy knows between polls.)
    pub(crate) fn leave_no_softirq(self: &Rc<Self>) {
        if self.softirq.is_pending() && self.irqs_on.get() {
            self.wake_ksoftirqd();
        }
    }

    fn wake_ksoftirqd(self: &Rc<Self>) {
        let waker = self.softirq.ksoftirqd.borrow().clone();
        match waker {
            Some(waker) => waker.wake(),
            None => {
                // A weak one: the core outlives its tasks, but not by its own doing.
                let core = Rc::downgrade(self);
                let task = self.cpu().spawn_service("ksoftirqd", move |_| {
                    std::future::poll_fn(move |cx| {
                        if let Some(core) = core.upgrade() {
                            core.softirq.ksoftirqd.replace(Some(cx.waker().clone()));
                            core.softirq.overflown.set(false);
                            core.run_softirqs();
                        }
                        Poll::<()>::Pending
                    })
                });
                // Until its first turn, this wakes it.
                self.softirq.ksoftirqd.replace(Some(task.waker()));
            }
        }
    }

    /// Runs pending softirqs, unless one is running, a handler is, or they are disabled. IRQs are on.
    pub(crate) fn run_softirqs(self: &Rc<Self>) {
        let softirq = &self.softirq;
        if !softirq.is_pending()
            || self.in_hardirq.get()
            || softirq.running.get().is_some()
            || softirq.disabled.get() > 0
            || !self.irqs_on.get()
        {
            return;
        }
        let start = self.shared.clock.now();
        // IRQs are on again: what became pending during the handlers comes first.
        self.deliver_in_softirq(softirq.pending.get().trailing_zeros() as u8);
        for _pass in 0..MAX_PASSES {
            let mut vectors = softirq.pending.take();
            while vectors != 0 {
                let vector = vectors.trailing_zeros() as u8;
                vectors &= vectors - 1;
                self.run_vector(vector);
                self.chaos_point(Place::BetweenSoftirqs);
                // Between vectors; interrupts taken here raise into the next pass.
                self.deliver_in_softirq(vector);
            }
            if !softirq.is_pending() {
                return;
            }
            if self.shared.clock.now().saturating_sub(start) >= MAX_TIME {
                break;
            }
        }
        softirq.overflown.set(true);
        self.wake_ksoftirqd();
    }

    /// Takes interrupts in softirq context: they start no softirqs of their own.
    fn deliver_in_softirq(self: &Rc<Self>, vector: u8) {
        self.softirq.running.set(Some(vector));
        self.deliver();
        self.softirq.running.set(None);
    }

    fn run_vector(self: &Rc<Self>, vector: u8) {
        let index = usize::from(vector);
        bump(&self.shared.counters.softirqs[index]);
        let action = self.softirq.actions.borrow()[index].clone();
        let mut context = SoftIrq { core: self };
        self.softirq.running.set(Some(vector));
        let known = Softirq::from_number(vector.into()).unwrap_or(Softirq::Sched);
        let broken_into = self.shared.published.context();
        self.shared.published.enter(CpuContext::Softirq(known));
        let locks = self.locks_held.replace(0);
        self.enter_frame(Frame::Interrupt);
        let preempt = self.preempt.replace(0);
        let span = tracing::trace_span!("softirq", vector = NAMES[index]);
        let _entered = span.entered();
        if vector == Softirq::Timer as u8 {
            self.run_timers(&mut context);
        } else if vector == Softirq::Hi as u8 || vector == Softirq::Tasklet as u8 {
            self.run_tasklets(vector == Softirq::Hi as u8, &mut context);
        } else if let Some(action) = action {
            let handler = action.handler.borrow_mut().take();
            if let Some(mut handler) = handler {
                let checked = || {
                    let entry = self.frame_entry();
                    handler(&mut context);
                    self.check_frame_end(entry, &Running(self));
                };
                match catch_unwind(AssertUnwindSafe(checked)) {
                    Ok(()) => *action.handler.borrow_mut() = Some(handler),
                    Err(payload) => {
                        let message = panic_message(payload);
                        tracing::error!(
                            vector = NAMES[index],
                            message,
                            "a softirq panicked; it is not called again"
                        );
                        self.shared.counters.softirq_panics.fetch_add(1, Ordering::Relaxed);
                        *action.panic.borrow_mut() = Some(message);
                        self.contain("drop of a panicked softirq handler", || drop(handler));
                    }
                }
            }
        }
        self.leave_frame(Frame::Interrupt);
        // They were on, or it would not have run.
        let softirqs_off = self.softirq.swap_disabled(0);
        if (self.locks_held.replace(locks) > 0) | (self.preempt.replace(preempt) > 0) | (softirqs_off > 0) {
            self.shared.counters.suspended_with_lock.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                vector = NAMES[index],
                "a softirq returned with a spinlock held, or softirqs or preemption off"
            );
        }
        self.softirq.running.set(None);
        self.shared.published.enter(broken_into);
        if !self.irqs_on.replace(true) {
            tracing::warn!(vector = NAMES[index], "a softirq returned with IRQs off; they were forced on");
        }
    }

    pub(crate) fn open_softirq(
        self: &Rc<Self>,
        vector: Softirq,
        handler: Handler,
    ) -> Result<SoftirqAction, SoftirqBusy> {
        let mut actions = self.softirq.actions.borrow_mut();
        let slot = &mut actions[vector as usize];
        if slot.is_some() || matches!(vector, Softirq::Hi | Softirq::Timer | Softirq::Tasklet) {
            return Err(SoftirqBusy { vector });
        }
        let action = Rc::new(Action { handler: RefCell::new(Some(handler)), panic: RefCell::default() });
        *slot = Some(action.clone());
        Ok(SoftirqAction { core: Rc::downgrade(self), vector, action })
    }
}

/// An opened softirq vector; dropping it closes the vector.
#[must_use = "the vector is closed when this is dropped"]
pub struct SoftirqAction {
    core: std::rc::Weak<Core>,
    vector: Softirq,
    action: Rc<Action>,
}

impl SoftirqAction {
    /// The vector.
    pub fn vector(&self) -> Softirq {
        self.vector
    }

    /// The message of the handler's panic, if it ended that way. It is not called again then.
    pub fn panicked(&self) -> Option<String> {
        self.action.panic.borrow().clone()
    }
}

impl Drop for SoftirqAction {
    fn drop(&mut self) {
        let mut removed = None;
        if let Some(core) = self.core.upgrade() {
            let mut actions = core.softirq.actions.borrow_mut();
            let slot = &mut actions[self.vector as usize];
            if slot.as_ref().is_some_and(|action| Rc::ptr_eq(action, &self.action)) {
                removed = slot.take();
            }
        }
        drop(removed);
    }
}

impl fmt::Debug for SoftirqAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftirqAction").field("vector", &self.vector).finish_non_exhaustive()
    }
}

/// Softirq context: what a softirq or a timer may do. IRQs are on; nothing here sleeps.
pub struct SoftIrq<'a> {
    core: &'a Rc<Core>,
}

impl SoftIrq<'_> {
    /// Asks for a softirq, this one too: it runs in the next pass.
    pub fn raise_softirq(&mut self, vector: Softirq) {
        self.core.softirq.raise(vector);
    }

    /// The kernel's jiffies.
    pub fn jiffies(&self) -> u64 {
        self.core.cpu().jiffies()
    }

    /// The time since the clock's origin.
    pub fn now(&self) -> Duration {
        self.core.shared.clock.now()
    }
}

impl Sealed for SoftIrq<'_> {
    #[allow(private_interfaces)]
    fn core(&self) -> &Rc<Core> {
        self.core
    }
}
impl Context for SoftIrq<'_> {}

impl fmt::Debug for SoftIrq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftIrq").field("running", &self.core.softirq.running()).finish_non_exhaustive()
    }
}
