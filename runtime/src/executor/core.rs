//! [`Core`]: the state of the kernel's thread, and what happens around a poll.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use super::Turn;
use super::chaos::{Chaos, PATIENCE};
use super::doorbell::Spin;
use super::policy::IrqPolicy;
use super::published::{CpuContext, IrqFlag};
use super::task::{Finish, JoinError, TaskHeader, panic_message};
use super::tasks::Tasks;
use crate::callbacks::Callbacks;
use crate::cpu::Cpu;
use crate::irq::line::{IrqToken, LineShared};
use crate::irq::{Irq, KERNELS_OWN};
use crate::lock::OnLockReport;
use crate::lock::validator::{Frame, Validator};
use crate::shared::{Shared, bump};
use crate::softirq::Softirqs;
use crate::tasklet::Tasklets;
use crate::time::clock::Inner;
use crate::time::event::ClockEvent;
use crate::time::jiffies_at;
use crate::time::timers::Timers;
use crate::time::virtual_clock::{ExecutorId, Key};
use crate::workqueue::{Workqueue, Workqueues};

type BoxFuture = Pin<Box<dyn Future<Output = ()>>>;

/// A task, on the kernel's thread.
pub(crate) struct Task {
    pub(crate) header: Arc<TaskHeader>,
    waker: Waker,
    /// `None` after its end.
    future: RefCell<Option<BoxFuture>>,
    /// This thread has queued it for its turn.
    pub(super) woken: Cell<bool>,
    /// Its IRQ flag while it is suspended.
    pub(super) irqs_on: Cell<bool>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header.fmt(f)
    }
}

/// What runs on the kernel's thread; cheap to make, for records that are seldom read.
#[derive(Clone, Debug)]
pub(crate) enum RunningContext {
    Irq(Rc<str>),
    Softirq(&'static str),
    Task(Rc<Task>),
    Executor,
}

impl fmt::Display for RunningContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Irq(name) => write!(f, "irq handler {name:?}"),
            Self::Softirq(vector) => write!(f, "softirq {vector}"),
            Self::Task(task) => write!(f, "task {:?}", task.header.name),
            Self::Executor => f.write_str("the executor"),
        }
    }
}

/// Names what runs, in two words that cost nothing to keep; [`Core::context_named`] tells it in full.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ContextId {
    /// The action of this `dev_id`; 0: no action.
    Irq(u64),
    /// The vector of this number.
    Softirq(u64),
    Task(u64),
    Executor,
}

/// What a core is made of; sent to its thread.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tokens: async_channel::Receiver<IrqToken>,
    timer_line: Arc<LineShared>,
    event: Option<ClockEvent>,
    executor_id: ExecutorId,
    options: CoreOptions,
}

/// What the builder decides for the executor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreOptions {
    pub(crate) chaos: Option<u64>,
    /// For host threads that are busy in virtual time.
    pub(crate) patience: Duration,
    pub(crate) irq_policy: IrqPolicy,
    pub(crate) on_lock_report: OnLockReport,
}

impl Default for CoreOptions {
    fn default() -> Self {
        Self {
            chaos: None,
            patience: PATIENCE,
            irq_policy: IrqPolicy::default(),
            on_lock_report: OnLockReport::default(),
        }
    }
}

impl Parts {
    /// Joins the clock; on the system clock this starts the timer thread.
    pub(crate) fn prepare(
        shared: Arc<Shared>,
        tokens: async_channel::Receiver<IrqToken>,
        options: CoreOptions,
    ) -> io::Result<Self> {
        let timer_line = shared.lines().get_or_add(&shared, Some(0), "timer");
        let mut executor_id = 0;
        let mut event = None;
        match &shared.clock.inner {
            Inner::System(_) => {
                let name = format!("{}/timer", shared.name);
                event = Some(ClockEvent::start(&shared.clock, name, timer_line.clone())?);
            }
            Inner::Virtual(clock) => executor_id = clock.attach(shared.bell.clone()),
        }
        Ok(Self { shared, tokens, timer_line, event, executor_id, options })
    }
}

/// Everything that belongs to the kernel's thread; see the module above for who touches what.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    me: Weak<Core>,
    pub(crate) tokens: async_channel::Receiver<IrqToken>,
    /// What is ready: queued by this thread, or taken over from `shared`.
    pub(crate) batch: RefCell<VecDeque<Turn>>,
    /// The end has begun: nothing gets a turn any more.
    pub(super) closed: Cell<bool>,
    tasks: RefCell<Tasks>,
    /// The task being polled now.
    current: RefCell<Option<Rc<Task>>>,
    /// The flag of the task being polled now; on between polls.
    pub(crate) irqs_on: IrqFlag,
    pub(crate) irq_policy: IrqPolicy,
    pub(crate) in_hardirq: Cell<bool>,
    /// NMIs that were raised on this thread and run now.
    pub(crate) nmis: Cell<u32>,
    /// Depth of `preempt_disable` of the poll, handler or softirq that runs now.
    pub(crate) preempt: Cell<u32>,
    /// The poll in progress should give up its turn.
    pub(crate) need_resched: Cell<bool>,
    /// IRQs went off, for a handler or a task, and nobody has looked at the clock since.
    pub(crate) jiffies_due: Cell<bool>,
    /// To look at everything before the next turn, though nothing may have come.
    pub(super) attentive: Cell<bool>,
    /// Nothing was ready when the executor last looked.
    idle: Cell<bool>,
    /// Spinlocks held by the poll, handler or softirq that runs now.
    pub(crate) locks_held: Cell<u32>,
    #[cfg_attr(not(any(debug_assertions, feature = "lock-validator")), expect(dead_code))]
    pub(crate) validator: Validator,
    pub(crate) irq: Irq,
    pub(crate) softirq: Softirqs,
    pub(crate) timers: Timers,
    pub(crate) tasklets: Tasklets,
    pub(crate) callbacks: Callbacks,
    pub(crate) system_workqueue: RefCell<Option<Workqueue>>,
    pub(crate) workqueues: Workqueues,
    timer_line: Arc<LineShared>,
    event: RefCell<Option<ClockEvent>>,
    executor_id: ExecutorId,
    pub(crate) chaos: Option<Chaos>,
    pub(super) patience: Duration,
    pub(crate) spin: RefCell<Spin>,
    /// Tasks that were asked for, on this thread, when the end had begun.
    pub(crate) spawns_refused: Cell<usize>,
}

impl Core {
    /// Made on the kernel's own thread, of what the builder prepared.
    pub(crate) fn new(parts: Parts) -> Rc<Self> {
        let Parts { shared, tokens, timer_line, event, executor_id, options } = parts;
        let chaos = options.chaos.filter(|_| shared.clock.is_virtual()).map(Chaos::new);
        let core = Rc::new_cyclic(|me| Self {
            me: me.clone(),
            tokens,
            batch: RefCell::default(),
            closed: Cell::new(false),
            tasks: RefCell::default(),
            current: RefCell::default(),
            irqs_on: IrqFlag::new(shared.clone()),
            irq_policy: options.irq_policy,
            nmis: Cell::new(0),
            in_hardirq: Cell::new(false),
            preempt: Cell::new(0),
            need_resched: Cell::new(false),
            jiffies_due: Cell::new(false),
            attentive: Cell::new(true),
            idle: Cell::new(false),
            locks_held: Cell::new(0),
            validator: Validator::new(options.on_lock_report),
            irq: Irq::default(),
            softirq: Softirqs::default(),
            timers: Timers::default(),
            tasklets: Tasklets::default(),
            callbacks: Callbacks::default(),
            system_workqueue: RefCell::default(),
            workqueues: Workqueues::default(),
            timer_line,
            event: RefCell::new(event),
            executor_id,
            chaos,
            patience: options.patience,
            spin: RefCell::new(Spin::new()),
            spawns_refused: Cell::new(0),
            shared,
        });
        core.update_jiffies();
        core
    }

    pub(crate) fn rc(&self) -> Rc<Self> {
        self.me.upgrade().expect("a core is only ever reached through its Rc")
    }

    pub(crate) fn cpu(&self) -> Cpu {
        Cpu::new(self.rc())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.idle.get()
    }

    pub(crate) fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
    }

    /// As [`Cpu::preempt_count`] tells it.
    pub(crate) fn preempt_count(&self) -> u32 {
        const SOFTIRQ: u32 = 1 << 8;
        const SOFTIRQ_DISABLE: u32 = 2 * SOFTIRQ;
        const HARDIRQ: u32 = 1 << 16;
        const NMI: u32 = 1 << 20;
        self.preempt.get()
            + self.locks_held.get()
            + u32::from(self.softirq.running().is_some()) * SOFTIRQ
            + self.softirq.disabled() * SOFTIRQ_DISABLE
            + u32::from(self.in_hardirq.get()) * HARDIRQ
            + self.nmis.get() * NMI
    }

    /// In a handler, a softirq or an NMI, or with softirqs off.
    pub(crate) fn in_interrupt(&self) -> bool {
        self.in_hardirq.get()
            || self.softirq.running().is_some()
            || self.softirq.disabled() > 0
            || self.nmis.get() > 0
    }

    /// What runs now, for reports.
    pub(crate) fn context(&self) -> RunningContext {
        if self.in_hardirq.get() {
            return RunningContext::Irq(self.irq.running());
        }
        if let Some(vector) = self.softirq.running() {
            return RunningContext::Softirq(vector);
        }
        self.current.borrow().clone().map_or(RunningContext::Executor, RunningContext::Task)
    }

    /// As [`context`](Self::context), to be kept.
    #[inline]
    pub(crate) fn context_id(&self) -> ContextId {
        if self.in_hardirq.get() {
            return ContextId::Irq(self.irq.running_id());
        }
        if let Some(vector) = self.softirq.running_vector() {
            return ContextId::Softirq(vector.into());
        }
        self.current.borrow().as_ref().map_or(ContextId::Executor, |task| ContextId::Task(task.header.id))
    }

    /// What ran when `context` was kept, in the words of [`RunningContext`].
    pub(crate) fn context_named(&self, context: ContextId) -> String {
        match context {
            ContextId::Irq(0) => RunningContext::Irq(KERNELS_OWN.into()).to_string(),
            ContextId::Irq(dev_id) => match self.irq.name_of(dev_id) {
                Some(name) => RunningContext::Irq(name).to_string(),
                None => "an irq handler that was freed since".to_owned(),
            },
            ContextId::Softirq(vector) => RunningContext::Softirq(Softirqs::name_of(vector)).to_string(),
            ContextId::Task(id) => match self.tasks.borrow().find(id) {
                Some(task) => RunningContext::Task(task).to_string(),
                None => "a task that has ended since".to_owned(),
            },
            ContextId::Executor => RunningContext::Executor.to_string(),
        }
    }

    /// Whether the caller is a service, and not what has broken into it.
    pub(crate) fn in_service(&self) -> bool {
        matches!(self.context_id(), ContextId::Task(_))
            && self.current.borrow().as_ref().is_some_and(|task| task.header.service)
    }

    /// Tells one turn of a task from all others.
    pub(crate) fn turn(&self) -> u64 {
        self.shared.counters.polls.load(Ordering::Relaxed)
    }

    pub(crate) fn current_task(&self) -> Option<Arc<TaskHeader>> {
        self.current.borrow().as_ref().map(|task| task.header.clone())
    }

    // ---- tasks -----------------------------------------------------------------------------------------------

    /// Creates a task from its start closure; both the closure and the future may panic.
    pub(crate) fn create_task<F, Fut>(
        self: &Rc<Self>,
        header: Arc<TaskHeader>,
        finish: Finish<Fut::Output>,
        start: F,
    ) where
        F: FnOnce(Cpu) -> Fut + 'static,
        Fut: Future + 'static,
    {
        if header.aborted.load(Ordering::Acquire) {
            self.shared.counters.tasks_cancelled.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if !self.shared.is_running() {
            // Its handle learns it from the dropped `finish`.
            self.spawns_refused.set(self.spawns_refused.get() + usize::from(!header.service));
            return;
        }
        let cpu = self.cpu();
        let shared = self.shared.clone();
        let future = async move {
            use futures::FutureExt;
            // `start` runs within the first poll, so that it has the task's context and its panics are the task's.
            let whole = async move {
                let core = cpu.core().clone();
                let mut whole = std::pin::pin!(async move { start(cpu).await });
                std::future::poll_fn(move |cx| {
                    let irqs_on = core.irqs_on.get();
                    let poll = whole.as_mut().poll(cx);
                    match poll.is_pending() {
                        true => core.check_turn_end(),
                        false => core.check_task_end(irqs_on),
                    }
                    poll
                })
                .await
            };
            let result = AssertUnwindSafe(whole).catch_unwind().await.map_err(|payload| {
                shared.counters.tasks_panicked.fetch_add(1, Ordering::Relaxed);
                JoinError::Panicked(panic_message(payload))
            });
            // Nobody may be waiting for it.
            let _ = finish.send(result);
        };
        let task = Rc::new(Task {
            waker: Waker::from(header.clone()),
            header: header.clone(),
            future: RefCell::new(Some(Box::pin(future))),
            woken: Cell::new(false),
            irqs_on: Cell::new(true),
        });
        self.shared.counters.tasks_spawned.fetch_add(1, Ordering::Relaxed);
        self.shared.tasks().insert(header.id, header);
        self.tasks.borrow_mut().insert(task.clone());
        task.waker.wake_by_ref();
    }

    /// The task, if it lives.
    pub(super) fn task(&self, header: &TaskHeader) -> Option<Rc<Task>> {
        self.tasks.borrow().get(header.slot.load(Ordering::Relaxed), header.id)
    }

    /// Gives a task its turn, unless it has had it: both this thread and others may have queued it.
    pub(super) fn poll_task(&self, task: &Rc<Task>) {
        let header = &task.header;
        let due = task.woken.replace(false) | header.queued.take();
        // What it was queued for may have come when it had ended.
        if !due || task.future.borrow().is_none() {
            return;
        }
        if header.aborted.load(Ordering::Acquire) {
            self.shared.counters.tasks_cancelled.fetch_add(1, Ordering::Relaxed);
            self.retire(task);
            return;
        }
        bump(&header.polls);
        bump(&self.shared.counters.polls);
        let span = tracing::trace_span!("poll", task = %header.name);
        let ended = span.in_scope(|| {
            self.in_task(task, || {
                let mut place = task.future.borrow_mut();
                let Some(future) = place.as_mut() else { return true };
                let ended = future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready();
                if ended {
                    let future = place.take();
                    drop(place);
                    drop(future);
                }
                ended
            })
        });
        if header.irqs_off.load(Ordering::Relaxed) {
            self.report_suspended(task);
        }
        match ended {
            Some(false) => {}
            // Ended, or a drop of its future panicked, which the task's own containment cannot see.
            Some(true) | None => {
                self.shared.counters.tasks_finished.fetch_add(1, Ordering::Relaxed);
                self.retire(task);
            }
        }
    }

    /// Runs `work` as `task`: with its IRQ flag, which is stored back after. `None` if it panicked.
    fn in_task<R>(&self, task: &Rc<Task>, work: impl FnOnce() -> R) -> Option<R> {
        // Turns are given, and tasks retired, between all else.
        self.current.replace(Some(task.clone()));
        let published = &self.shared.published;
        published.enter(CpuContext::Task);
        published.set_task(task.header.id);
        let outer_irqs = self.load_flag(task);
        let outer_locks = self.locks_held.replace(0);
        let outer_bh = self.softirq.swap_disabled(0);
        self.enter_frame(Frame::Task(task.header.id));
        let outer_preempt = self.preempt.replace(0);
        let outer_resched = self.need_resched.replace(false);
        let result = catch_unwind(AssertUnwindSafe(work));
        self.leave_frame(Frame::Task(task.header.id));
        self.store_flag(task, outer_irqs);
        let locks = self.locks_held.replace(outer_locks);
        let bh = self.softirq.swap_disabled(outer_bh);
        let preempt = self.preempt.replace(outer_preempt);
        self.need_resched.set(outer_resched);
        if locks > 0 || bh > 0 || preempt > 0 {
            self.shared.counters.suspended_with_lock.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(task = %task.header.name, locks, bh, preempt, "a task gave up its turn with a spinlock held, or softirqs or preemption off");
        }
        published.set_task(0);
        published.enter(CpuContext::Executor);
        drop(self.current.take());
        result
            .map_err(panic_message)
            .map_err(|message| tracing::error!(task = %task.header.name, message))
            .ok()
    }

    fn report_suspended(&self, task: &Task) {
        self.shared.counters.suspended_with_irqs_off.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            task = %task.header.name,
            "a task gave up its turn or ended with IRQs off; nobody else is affected, but Linux forbids it"
        );
    }

    /// Takes a task off the books and drops what is left of it, in its own context.
    fn retire(&self, task: &Rc<Task>) {
        self.tasks.borrow_mut().remove(task);
        self.shared.tasks().remove(&task.header.id);
        let future = task.future.borrow_mut().take();
        if future.is_some() {
            self.in_task(task, || drop(future));
        }
        self.forget_task(task.header.id);
    }

    /// Drops all tasks, oldest first; their names. Services go last, and are not named: they serve as long as there
    /// are tasks, and their end is no work undone.
    pub(crate) fn cancel_all(&self) -> Vec<String> {
        let mut names = Vec::new();
        for services in [false, true] {
            // None comes and none goes meanwhile but by this loop: tasks are neither created nor polled any more.
            let tasks = self.tasks.borrow().by_age(services);
            for task in tasks {
                if !services {
                    names.push(task.header.name.clone());
                }
                self.shared.counters.tasks_cancelled.fetch_add(1, Ordering::Relaxed);
                self.retire(&task);
            }
        }
        names
    }

    /// Runs foreign code that has no owner to tell of its panic.
    pub(crate) fn contain(&self, what: &str, work: impl FnOnce()) -> Option<String> {
        let (levels, entry) = (self.levels(), self.frame_entry());
        let panic = self.contain_panic(what, work);
        self.check_left(entry, &what);
        self.put_right(levels, &what);
        panic
    }

    /// As [`contain`](Self::contain), for what may leave the processor in another state.
    pub(super) fn contain_panic(&self, what: &str, work: impl FnOnce()) -> Option<String> {
        let message = panic_message(catch_unwind(AssertUnwindSafe(work)).err()?);
        tracing::error!(what, message, "contained a panic");
        Some(message)
    }

    // ---- time ------------------------------------------------------------------------------------------------

    pub(crate) fn executor_id(&self) -> ExecutorId {
        self.executor_id
    }

    /// Brings jiffies up to date. They never run backwards, and stand still for those who look with IRQs off.
    pub(crate) fn update_jiffies(&self) {
        let now = jiffies_at(self.shared.clock.now());
        let jiffies = &self.shared.counters.jiffies;
        if now > jiffies.load(Ordering::Relaxed) {
            jiffies.store(now, Ordering::Relaxed);
        }
    }

    /// Brings jiffies up to date once after IRQs went off: when somebody asks, or at the end of
    /// [`deliver`](Self::deliver), or when the executor is idle again, so that nobody waits for a look at the clock
    /// that he does not need.
    pub(crate) fn freshen_jiffies(&self) {
        if self.jiffies_due.replace(false) {
            self.update_jiffies();
        }
    }

    /// The timer with this key is due by the virtual clock: raises the timer line.
    pub(crate) fn release_timer(&self, key: Key) {
        self.timers.release(key);
        // The kernel may be on its way down; then nobody waits for the timer.
        let _ = self.timer_line.raise();
    }

    /// As [`release_timer`](Self::release_timer), for one that another kernel on this clock released.
    pub(crate) fn take_released_timer(&self) {
        if let Inner::Virtual(clock) = &self.shared.clock.inner
            && let Some(key) = clock.take_released(self.executor_id())
        {
            self.release_timer(key);
        }
    }

    /// Tells the timer thread when the next timer is due. On the virtual clock, going idle tells it.
    pub(crate) fn program_timer(&self) {
        if let Some(event) = &*self.event.borrow() {
            event.program(self.timers.next().map(|(due, _)| due));
        }
    }

    /// The next timer that the clock may wait for: none while IRQs stay off and one is due already.
    pub(super) fn next_timer(&self) -> Option<Key> {
        let deaf = !self.irqs_on.get() && self.timer_line.latch.is_pending();
        self.timers.next().filter(|_| !deaf)
    }

    pub(crate) fn timer_line(&self) -> &Arc<LineShared> {
        &self.timer_line
    }

    pub(crate) fn is_timer_line(&self, line: &Arc<LineShared>) -> bool {
        Arc::ptr_eq(&self.timer_line, line)
    }

    /// Leaves the clock; on the system clock this ends the timer thread.
    pub(crate) fn detach_clock(&self) {
        drop(self.event.borrow_mut().take());
        if let Inner::Virtual(clock) = &self.shared.clock.inner {
            clock.detach(self.executor_id());
        }
    }
}
