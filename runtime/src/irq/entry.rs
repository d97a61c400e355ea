//! From a token to its handlers and back: the entry protocol.
//!
//! ```text
//!   token ─▶ context complete ─▶ irqentry_enter ─▶ irq_enter ─▶ handlers ─▶ irq_exit ─▶ irqentry_exit ─▶ undo
//!            what was broken     IRQs off          hard-IRQ                 softirqs,   preemption       the flag, the
//!            into is recorded                      context                  IRQs on                      locks, the rest
//! ```
//!
//! What the first half finds travels to the second in an [`IrqEntry`]. Softirqs run with the interrupted context
//! still put aside; interrupts taken meanwhile are nested in them and find a softirq running, so they start none: two
//! levels are the most.
//!
//! *Preemption* cannot take a poll its turn away. So within a poll it sets `need_resched`, which
//! [`Cpu::cond_resched`](crate::Cpu::cond_resched) obeys; between polls the executor chooses the next task anyway.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::line::{IrqToken, LineShared};
use super::manage::{Action, Desc, Outcome};
use super::{HandlerPanic, HardIrq, IrqReturn};
use crate::executor::{Core, IRQ_BUDGET, leavings::Running, published::CpuContext, task::panic_message};
use crate::lock::validator::Frame;

/// What an interrupt broke into; made by `irqentry_enter`, undone by `irqentry_exit`.
#[must_use]
pub(super) struct IrqEntry {
    irqs_on: bool,
    from_idle: bool,
    locks: u32,
    preempt: u32,
    context: CpuContext,
}

/// Whether the end of an interrupt preempts what it broke into.
const fn preempts(irqs_on: bool, from_idle: bool, preempt_count: u32, resched_due: bool) -> bool {
    irqs_on && !from_idle && preempt_count == 0 && resched_due
}

impl Core {
    /// A delivery point: takes pending interrupts, if IRQs are on and neither a handler nor an NMI runs.
    pub(crate) fn deliver(self: &Rc<Self>) {
        if self.take_interrupts() {
            self.freshen_jiffies();
        }
    }

    /// As [`deliver`](Self::deliver), without a look at the clock for those who run next. False: there was nothing, or
    /// it was not the time.
    pub(crate) fn take_interrupts(self: &Rc<Self>) -> bool {
        if self.in_hardirq.get() || !self.irqs_on.get() || self.nmis.get() > 0 {
            return false;
        }
        self.settle();
        // All that is queued now, so that a caller's own trigger is among it; new arrivals within the budget. Taken
        // in batches: a look at how many there are takes the channel's end away from those who send.
        let mut batch = self.tokens.len();
        if batch == 0 && !self.irq.has_due() {
            return false;
        }
        let mut left = batch.max(IRQ_BUDGET);
        self.jiffies_due.set(true);
        loop {
            while batch > 0 {
                left -= batch;
                for _ in 0..batch {
                    let Ok(token) = self.tokens.try_recv() else { break };
                    self.interrupt(&token);
                }
                batch = self.tokens.len().min(left);
            }
            if !self.take_due() || left == 0 {
                return true;
            }
            left -= 1;
            batch = self.tokens.len().min(left);
        }
    }

    /// An edge of this thread's own has coalesced: should the token of the one before not be in the channel yet, the
    /// line is interrupted without it, at the next delivery point.
    pub(crate) fn look_at(&self, line: &Arc<LineShared>) {
        // A masked one is replayed at its unmasking.
        if !line.is_masked() && !line.due.load(Ordering::Relaxed) {
            line.due.store(true, Ordering::Relaxed);
            self.irq.due.borrow_mut().push_back(line.clone());
        }
    }

    /// Interrupts the lines to be looked at that are pending still. False: there was none to be looked at.
    fn take_due(self: &Rc<Self>) -> bool {
        let lines = self.irq.due.borrow().len();
        for _ in 0..lines {
            // Interrupts nest in softirqs, so another may have taken it.
            let Some(line) = self.irq.due.borrow_mut().pop_front() else { break };
            line.due.store(false, Ordering::Relaxed);
            if line.latch.is_pending() {
                self.interrupt(&IrqToken { number: line.number, again: false });
            }
        }
        lines > 0
    }

    /// One interrupt, from its token to its end.
    fn interrupt(self: &Rc<Self>, token: &IrqToken) {
        let &IrqToken { number, mut again } = token;
        let desc = self.irq.desc(number);
        let is_timer = number == self.timer_line().number;
        let watched_only;
        let line = match &desc {
            Some(desc) => &desc.line,
            None if is_timer => self.timer_line(),
            None => {
                watched_only = self.shared.lines().get(number);
                let Some(line) = &watched_only else { return };
                if std::mem::take(&mut again) {
                    // Before the look for streams: one that is made after it sends another.
                    line.latch.again_came();
                }
                if !line.watch.is_watched() {
                    // Nobody to hear it: it stays pending until somebody requests or watches the line.
                    return;
                }
                line
            }
        };
        if line.is_masked() {
            // Disabled, or its thread is at work: it stays pending, and is replayed once at the unmasking.
            if again {
                line.latch.again_came();
            }
            return;
        }
        let taken = if again { line.latch.take_again() } else { line.latch.take() };
        let Some(edges) = taken else { return };
        line.watch.deliver(edges);
        let watched = line.watch.is_watched();
        let entry = self.irqentry_enter(number);
        self.irq_enter();
        let span = tracing::trace_span!("irq", line = number, name = %line.name);
        span.in_scope(|| {
            if watched {
                // In hard-IRQ context too, so that a waker that triggers a line nests nothing.
                let _ = self.run_in_hardirq(None, || line.watch.wake());
            }
            if is_timer {
                // Its work is ours and the wakers'; theirs may panic, and are logged like any handler.
                if let Err(message) = self.run_in_hardirq(None, || self.timer_interrupt()) {
                    tracing::error!(message, "a waker panicked in the timer interrupt");
                }
            } else if let Some(desc) = &desc {
                let outcome = self.run_handlers(line, desc);
                if !watched {
                    self.note_interrupt(line, desc, outcome);
                }
            }
        });
        self.irq_exit();
        self.irqentry_exit(entry);
    }

    /// Records what is broken into, and turns IRQs off.
    fn irqentry_enter(&self, line: u32) -> IrqEntry {
        let entry = IrqEntry {
            irqs_on: self.irqs_on.replace(false),
            from_idle: self.is_idle(),
            locks: self.locks_held.replace(0),
            preempt: self.preempt.replace(0),
            context: self.shared.published.context(),
        };
        self.shared.published.enter(CpuContext::HardIrq(line));
        entry
    }

    fn irq_enter(&self) {
        self.in_hardirq.set(true);
    }

    /// Leaves hard-IRQ context; softirqs that were raised run now, with IRQs on.
    fn irq_exit(self: &Rc<Self>) {
        self.in_hardirq.set(false);
        if self.softirq.may_run_at_irq_exit() {
            self.irqs_on.set(true);
            self.run_softirqs();
            self.irqs_on.set(false);
        }
    }

    /// Preempts what was broken into, if it may be, and puts it back.
    fn irqentry_exit(&self, entry: IrqEntry) {
        let IrqEntry { irqs_on, from_idle, locks, preempt, context } = entry;
        self.locks_held.set(locks);
        self.preempt.set(preempt);
        self.shared.published.enter(context);
        if preempts(irqs_on, from_idle, self.preempt_count(), self.has_ready()) {
            self.need_resched.set(true);
        }
        self.irqs_on.set(irqs_on);
    }

    /// A point at which the context itself allows to be preempted.
    pub(crate) fn preempt_check_resched(&self) {
        if preempts(self.irqs_on.get(), false, self.preempt_count(), self.has_ready()) {
            self.need_resched.set(true);
        }
    }

    /// Runs `work` as one handler: whatever it does to the flag, IRQs are off after. `Err`: it panicked.
    pub(super) fn run_in_hardirq<R>(
        &self,
        handler: Option<&Action>,
        work: impl FnOnce() -> R,
    ) -> Result<R, String> {
        self.irq.running.replace(handler.map(|action| action.name.clone()));
        self.irq.running_id.set(handler.map_or(0, |action| action.dev_id));
        self.enter_frame(Frame::Interrupt);
        let softirqs_off = self.softirq.disabled();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let entry = self.frame_entry();
            let result = work();
            self.check_frame_end(entry, &Running(self));
            result
        }));
        self.leave_frame(Frame::Interrupt);
        let left_off = self.softirq.swap_disabled(softirqs_off) != softirqs_off;
        if (self.locks_held.replace(0) > 0) | (self.preempt.replace(0) > 0) | left_off {
            self.shared.counters.suspended_with_lock.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                handler = %self.irq.running(),
                "an irq handler returned with a spinlock held, or softirqs or preemption off"
            );
        }
        if self.irqs_on.replace(false) {
            self.shared.counters.handler_left_irqs_on.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(handler = %self.irq.running(), "an irq handler returned with IRQs on; they were forced off");
        }
        result.map_err(panic_message)
    }

    /// Runs all handlers of a line, in the order of their requests.
    fn run_handlers(self: &Rc<Self>, line: &Arc<LineShared>, desc: &Rc<Desc>) -> Outcome {
        let mut outcome = Outcome::default();
        let actions = desc.actions();
        for action in actions.iter() {
            match self.run_handler(line, action) {
                IrqReturn::None => {}
                IrqReturn::Handled => outcome.handled = true,
                IrqReturn::WakeThread => outcome.woken |= self.wake_irq_thread(desc, action),
            }
        }
        outcome
    }

    fn run_handler(self: &Rc<Self>, line: &Arc<LineShared>, action: &Rc<Action>) -> IrqReturn {
        let Some(mut handler) = action.handler.borrow_mut().take() else { return IrqReturn::None };
        let mut context = HardIrq { core: self, line, dev_id: action.dev_id };
        match self.run_in_hardirq(Some(action), || handler(&mut context)) {
            Ok(outcome) => {
                if action.freed.get() {
                    self.contain("drop of a freed irq handler", || drop(handler));
                } else {
                    *action.handler.borrow_mut() = Some(handler);
                }
                outcome
            }
            Err(message) => {
                tracing::error!(handler = %action.name, message, "an irq handler panicked; it is not called again");
                line.panics.fetch_add(1, Ordering::Relaxed);
                *action.panic.borrow_mut() = Some(HandlerPanic { handler: action.name.to_string(), message });
                self.contain("drop of a panicked irq handler", || drop(handler));
                IrqReturn::None
            }
        }
    }
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use super::*;
    use crate::executor::{CoreOptions, Parts};
    use crate::shared::{NewTask, Shared, Work};
    use crate::time::Clock;

    #[test]
    fn r7_the_preemption_table_has_one_case_of_sixteen_that_preempts() {
        let (shared, tokens) = Shared::new("table".to_owned(), Clock::virtual_time());
        let core = Core::new(Parts::prepare(shared.clone(), tokens, CoreOptions::default()).unwrap());
        let mut preempting = Vec::new();
        for case in 0..16u32 {
            let [irqs_on, from_idle, count, due] = [1, 2, 4, 8].map(|bit| case & bit != 0);
            shared.ready().queue.clear();
            shared.ready_waits.store(false, Ordering::Release);
            if due {
                let work = Work::Create(Box::new(NewTask { create: Box::new(|_| {}), service: false }));
                assert!(shared.enqueue(work).is_ok());
            }
            core.need_resched.set(false);
            core.irqs_on.set(irqs_on);
            core.set_idle(from_idle);
            core.preempt.set(u32::from(count));
            let entry = core.irqentry_enter(7);
            assert_eq!((core.irqs_on.get(), core.preempt_count()), (false, 0));
            core.irq_enter();
            core.irq_exit();
            core.irqentry_exit(entry);
            assert_eq!((core.irqs_on.get(), core.preempt_count()), (irqs_on, u32::from(count)), "undone");
            if core.need_resched.get() {
                preempting.push((irqs_on, from_idle, count, due));
            }
        }
        assert_eq!(preempting, [(true, false, false, true)]);
    }
}
