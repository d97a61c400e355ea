//! The executor: one thread that polls tasks and takes interrupts.
//!
//! # Who touches what, and when
//!
//! ```text
//!   any thread                                  the kernel's thread
//!   ──────────                                  ───────────────────
//!   trigger()   Latch ─▶ token channel ─┐
//!   wake()      TaskHeader ─▶ ready ────┼─▶ ring ─▶ run(): deliver ─▶ softirqs ─▶ poll one task ─┐
//!   spawn()     closure ─▶ ready ───────┘            ▲                                          │
//!                                                    └────────── idle() when all is empty ◀─────┘
//! ```
//!
//! - [`Shared`] is what host threads see: the token channel's sending end, the ready queue under a mutex, the
//!   [`Doorbell`](doorbell::Doorbell), counters.
//! - [`Core`] belongs to the kernel's thread and never leaves it (it is full of `Rc` and `Cell`): tasks, handlers,
//!   timers, and the *processor state*: is an IRQ handler running, a softirq, are IRQs on.
//! - `irqs_on` is the flag of the task being polled **now**. [`Core::in_task`] loads it from the task before a poll
//!   and stores it back after; between polls IRQs are on. A suspended task's flag is only a value in that task.
//!
//! # The life of a task
//!
//! ```text
//!   spawn ─▶ Work::Create ─▶ [queued] ─▶ poll ─▶ Pending ─▶ [suspended] ─ wake ─▶ [queued] …
//!                                          ├──▶ Ready, panic ─▶ result sent, future dropped in task context
//!   abort ─▶ [queued, aborted] ────────────┴──▶ future dropped in task context, never polled again
//! ```
//!
//! # Delivery points
//!
//! [`Core::deliver`] takes tokens off the channel: before every poll, at the outermost off-to-on of the flag, in
//! `cpu_relax()`, between softirq vectors, in `trigger()` called on this thread, and when idle. Each call takes as
//! many as were queued when it began, and at least [`IRQ_BUDGET`] in all, so that a storm leaves turns to tasks.
//!
//! Before a poll the executor looks at the channel itself, not at the bell. A sender that has queued its token may lose
//! its processor before it rings, and what others raise on its line meanwhile coalesces and rings nothing: their
//! interrupt must not wait until that sender goes on. The bell is for sleeping only, and stays rung until then, so
//! that its cache line is not passed to and fro.

pub(crate) mod chaos;
pub(crate) mod core;
pub(crate) mod doorbell;
pub(crate) mod leavings;
pub(crate) mod policy;
pub(crate) mod published;
mod queued;
mod shutdown;
pub(crate) mod task;
mod tasks;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::chaos::Place;
use self::core::Task;
pub(crate) use self::core::{Core, CoreOptions, Parts};
use self::policy::IrqPolicy;
use self::published::CpuContext;
use self::task::TaskHeader;

use crate::kernel::ShutdownReport;
use crate::shared::{Shared, Work, bump};
use crate::time::clock::Inner;
use crate::time::virtual_clock::Step;

/// Interrupts taken at one delivery point before tasks get their turn.
pub(crate) const IRQ_BUDGET: usize = 64;

thread_local! {
    /// The kernel core that this thread runs, if it is a kernel's thread.
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// The core of `kernel`, if this is its thread.
pub(crate) fn current_core(kernel: &Arc<Shared>) -> Option<Rc<Core>> {
    let core = CURRENT.try_with(|current| {
        current.borrow().as_ref().filter(|core| Arc::ptr_eq(&core.shared, kernel)).cloned()
    });
    core.ok().flatten()
}

/// A delivery point for callers that may or may not be on the kernel's own thread.
pub(crate) fn deliver_if_current(kernel: &Arc<Shared>) {
    if let Some(core) = current_core(kernel) {
        core.deliver();
    }
}

/// Queues a task of the kernel that this thread runs. False: this is not its kernel's thread.
pub(crate) fn enqueue_if_current(task: &TaskHeader) -> bool {
    let queued = CURRENT.try_with(|current| match &*current.borrow() {
        Some(core) if task.is_of(&core.shared) => {
            core.enqueue(task);
            true
        }
        _ => false,
    });
    // Without thread-local storage this is no kernel's thread any more.
    queued.unwrap_or(false)
}

/// The kernel's thread: runs until it is asked to stop, then takes everything down.
pub(crate) fn run(parts: Parts) -> ShutdownReport {
    let core = Core::new(parts);
    CURRENT.with(|current| *current.borrow_mut() = Some(core.clone()));
    let broken = core.contain_panic("the executor itself", || {
        while !core.is_called() || core.answer() {
            core.leave_no_softirq();
            match core.next_turn() {
                Some(turn) => {
                    core.set_idle(false);
                    // Not once a round: how many rounds there are depends on the host's threads, turns do not.
                    if core.chaos_point(Place::BeforePoll) {
                        core.deliver();
                    }
                    core.perform(turn);
                }
                None => idle(&core),
            }
        }
    });
    if broken.is_some() {
        // A defect of ours. All who wait for this kernel are to learn that it has ended, not to wait for ever.
        core.shared.stop();
    }
    let report = shutdown::shut_down(&core);
    CURRENT.with(|current| *current.borrow_mut() = None);
    report
}

/// One entry of the executor's own queue.
pub(crate) enum Turn {
    /// A task that this thread has woken.
    Own(Rc<Task>),
    /// What another thread has queued.
    Other(Work),
}

impl Core {
    /// Whether others may want something: interrupts to be taken, tasks to be created, an end.
    ///
    /// A turn costs a look at the channel and one at the kernel's state while nobody does. Tokens count whether their
    /// senders have rung yet or not. In virtual time, what a host thread does at this instant is waited for, too.
    fn is_called(&self) -> bool {
        self.attentive.get() || self.has_interrupts() || !self.shared.is_running()
    }

    /// Before a turn: takes the interrupts that are pending. False: the kernel is to end.
    fn answer(self: &Rc<Self>) -> bool {
        if !self.shared.is_running() {
            return false;
        }
        self.take_released_timer();
        self.deliver();
        let always = self.shared.clock.is_virtual() || self.irq_policy == IrqPolicy::Global;
        self.attentive.set(always || !self.tokens.is_empty() || self.irq.has_due());
        true
    }

    /// The next entry of the ready queue.
    fn next_turn(&self) -> Option<Turn> {
        self.take_over();
        self.batch.borrow_mut().pop_front()
    }

    /// Puts what others have queued behind what this thread has, in one piece, to lock it seldom.
    fn take_over(&self) {
        if self.shared.ready_waits.load(Ordering::Acquire) {
            let mut ready = self.shared.ready();
            self.batch.borrow_mut().extend(ready.queue.drain(..).map(Turn::Other));
            self.shared.ready_waits.store(false, Ordering::Release);
        }
    }

    /// Queues a task for a turn, on this thread.
    fn enqueue(&self, task: &TaskHeader) {
        if self.closed.get() {
            return;
        }
        // Wakers may outlive their task.
        let Some(task) = self.task(task) else { return };
        if !task.woken.replace(true) {
            // What was ready before it goes first.
            self.take_over();
            self.batch.borrow_mut().push_back(Turn::Own(task));
        }
    }

    fn perform(self: &Rc<Self>, turn: Turn) {
        match turn {
            Turn::Own(task) => self.poll_task(&task),
            Turn::Other(work) => {
                if self.irqs_on.get() {
                    // No interrupt may have come with it that would have had the clock looked at.
                    self.update_jiffies();
                }
                match work {
                    Work::Poll(header) => {
                        if let Some(task) = self.task(&header) {
                            self.poll_task(&task);
                        }
                    }
                    Work::Create(new) => (new.create)(&self.cpu()),
                }
            }
        }
    }

    /// Whether there are interrupts to be taken. With IRQs off between turns, which only the global policy knows, what
    /// is pending can wait for ever.
    fn has_interrupts(&self) -> bool {
        self.irqs_on.get() && (!self.tokens.is_empty() || self.irq.has_due())
    }

    fn enter_idle(&self) {
        bump(&self.shared.counters.parks);
        self.shared.published.enter(CpuContext::Idle);
    }

    /// Whether another task waits for its turn.
    pub(crate) fn has_ready(&self) -> bool {
        !self.batch.borrow().is_empty() || self.shared.ready_waits.load(Ordering::Acquire)
    }

    /// Whether anything waits for the executor.
    fn has_work(&self) -> bool {
        self.has_interrupts()
            || self.irqs_on.get() && self.softirq.is_pending()
            || self.has_ready()
            || !self.shared.is_running()
    }
}

/// Nothing to do: sleeps until there is. On the virtual clock this is where time moves.
fn idle(core: &Rc<Core>) {
    core.freshen_jiffies();
    let bell = &core.shared.bell;
    let mut awake = false;
    match &core.shared.clock.inner {
        Inner::System(_) => {
            if core.has_work() {
                return;
            }
            core.set_idle(true);
            core.enter_idle();
            awake = bell.wait_for(&mut core.spin.borrow_mut(), || core.has_work());
        }
        Inner::Virtual(clock) => {
            // What is not to be seen after this rings.
            bell.begin();
            if core.has_work() || clock.has_released(core.executor_id()) {
                return;
            }
            core.set_idle(true);
            match clock.idle(core.executor_id(), core.next_timer()) {
                Step::Work => return,
                Step::Timer(key) => {
                    core.release_timer(key);
                    core.chaos_after_idle();
                    return;
                }
                Step::Sleep => {
                    core.enter_idle();
                    bell.sleep(&mut core.spin.borrow_mut(), None);
                }
            }
        }
    }
    core.shared.published.enter(CpuContext::Executor);
    core.chaos_after_idle();
    if awake {
        // Before all else that the executor does, and that is a look at the clock too: a handler that asks for jiffies
        // has it, and a turn that another thread has asked for begins with one.
        core.take_interrupts();
    } else if core.has_interrupts() {
        if !core.shared.clock.is_virtual() {
            core.deliver();
        }
    } else if core.irqs_on.get() {
        // As Linux does when it leaves a tickless idle: whatever runs next sees the right jiffies.
        core.update_jiffies();
    }
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use futures::executor::block_on;

    use super::doorbell::Spin;
    use super::{Core, CoreOptions, CpuContext, Parts, idle};
    use crate::irq::line::IrqToken;
    use crate::shared::{NewTask, Shared, Work};
    use crate::{Clock, IrqLine, IrqReturn, Kernel};

    /// An executor goes idle once, on the system's clock. A host thread raises a line when it is, and the handler has
    /// run when idling ends.
    fn interrupt_idle(spins: bool, is_ready: impl Fn(&Shared) -> bool + Send + 'static) {
        let (shared, tokens) = Shared::new("idle".to_owned(), Clock::system());
        let core = Core::new(Parts::prepare(shared.clone(), tokens, CoreOptions::default()).unwrap());
        *core.spin.borrow_mut() = Spin::always(spins);
        let line = IrqLine { shared: shared.lines().get_or_add(&shared, None, "test") };
        let ran = Rc::new(Cell::new(false));
        let runs = ran.clone();
        let action = core.cpu().request_irq(&line, "test", move |_| {
            runs.set(true);
            IrqReturn::Handled
        });
        let host = thread::spawn(move || {
            while !is_ready(&shared) {
                thread::yield_now();
            }
            line.trigger().unwrap();
        });
        idle(&core);
        host.join().unwrap();
        assert!(ran.get());
        drop(action);
        core.detach_clock();
    }

    #[test]
    fn r4_pending_interrupts_are_taken_by_an_idle_kernel_that_spins() {
        // It spins as soon as it is idle, for longer than this takes: it never parks.
        interrupt_idle(true, |shared| shared.published.context() == CpuContext::Idle);
    }

    #[test]
    fn r4_pending_interrupts_are_taken_by_an_idle_kernel_that_is_parked() {
        interrupt_idle(false, |shared| shared.bell.is_asleep());
    }

    #[test]
    fn r1_an_idle_kernel_is_told_to_end_whether_it_spins_or_is_parked() {
        for spins in [true, false] {
            let (shared, tokens) = Shared::new("ends".to_owned(), Clock::system());
            let stopped = shared.clone();
            let (ended, has_ended) = mpsc::channel();
            thread::spawn(move || {
                let parts = Parts::prepare(shared.clone(), tokens, CoreOptions::default()).unwrap();
                let core = Core::new(parts);
                *core.spin.borrow_mut() = Spin::always(spins);
                while shared.is_running() {
                    idle(&core);
                }
                core.detach_clock();
                ended.send(()).unwrap();
            });
            let is_idle = || match spins {
                true => stopped.published.context() == CpuContext::Idle,
                false => stopped.bell.is_asleep(),
            };
            while !is_idle() {
                thread::yield_now();
            }
            stopped.stop();
            has_ended.recv_timeout(Duration::from_secs(60)).expect("it sleeps for ever");
        }
    }

    #[test]
    fn r1_a_task_waits_for_one_turn_however_often_it_is_woken() {
        let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
        let task = kernel.handle().spawn("woken", |cpu| {
            std::future::poll_fn(move |cx| {
                (0..1_000).for_each(|_| cx.waker().wake_by_ref());
                let waker = cx.waker().clone();
                thread::spawn(move || (0..1_000).for_each(|_| waker.wake_by_ref())).join().unwrap();
                let core = cpu.core();
                core.take_over();
                // One turn that this thread has asked for, and one that others have.
                std::task::Poll::Ready(core.batch.borrow().len())
            })
        });
        assert_eq!(block_on(task.unwrap()).unwrap(), 2);
    }

    #[test]
    fn r1_after_the_end_nothing_is_queued_any_more_though_somebody_keeps_the_processor() {
        let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
        let handle = kernel.handle();
        let keeps = handle.spawn("keeps", |cpu| async move {
            cpu.schedule_work(&cpu.work("test", |_| async {}));
            std::mem::forget(cpu);
        });
        block_on(keeps.unwrap()).unwrap();
        kernel.shutdown_blocking();
        let work = Work::Create(Box::new(NewTask { create: Box::new(|_| {}), service: false }));
        assert!(handle.shared.enqueue(work).is_err());
        assert!(handle.shared.tokens.is_closed());
    }

    #[test]
    fn r4_a_token_is_taken_before_the_next_poll_though_its_sender_has_yet_to_ring() {
        let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
        let handle = kernel.handle();
        let line = handle.irq_line("shared").unwrap();
        let (to_task, at_task) = mpsc::channel::<()>();
        let (to_host, at_host) = mpsc::channel::<()>();
        let requested = line.clone();
        let task = handle.spawn("busy", move |cpu| async move {
            let ran = Rc::new(Cell::new(false));
            let runs = ran.clone();
            let _irq = cpu.request_irq(&requested, "shared", move |_| {
                runs.set(true);
                IrqReturn::Handled
            });
            // All who have rung for this task so far are answered.
            at_task.recv().unwrap();
            cpu.yield_now().await;
            cpu.yield_now().await;
            to_host.send(()).unwrap();
            at_task.recv().unwrap();
            assert!(!ran.get(), "no delivery point yet");
            // The kernel is never idle.
            cpu.yield_now().await;
            ran.get()
        });
        to_task.send(()).unwrap();
        at_host.recv().unwrap();
        let (sent, is_sent) = mpsc::channel();
        let (to_sender, at_sender) = mpsc::channel::<()>();
        let stopped = line.clone();
        let sender = thread::spawn(move || {
            let line = &stopped.shared;
            line.latch.signal(&line.kernel.bell, || {
                let token = line.kernel.tokens.try_send(IrqToken { number: line.number, again: false });
                sent.send(()).unwrap();
                // Its processor is taken away before it rings.
                at_sender.recv().unwrap();
                token
            })
        });
        is_sent.recv().unwrap();
        line.trigger().unwrap();
        to_task.send(()).unwrap();
        let ran = block_on(task.unwrap()).unwrap();
        to_sender.send(()).unwrap();
        sender.join().unwrap().unwrap();
        assert!(ran, "the interrupt waits for a thread that does not run");
    }
}
