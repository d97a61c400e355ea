//! [`Workqueue`] and [`Work`]: functions that any context puts off to a task, where they may sleep.
//!
//! # The life of a work item
//!
//! ```text
//!             queue_work                 a worker is free               done
//!   [idle] ─────────────▶ [pending] ────────────────────▶ [running] ─────────▶ [idle]
//!     │ queue_delayed_work     ▲                              │
//!     └──────▶ [its timer] ────┘◀──────── queue_work ─────────┘ (pending and running: runs once more, after)
//! ```
//!
//! An item is pending at most once and never runs beside itself, on no queue. A queue runs at most `max_active` items
//! at once, in tasks (`kworker/…`) that it makes as they are needed; one of them stays to wait for more.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::cpu::Cpu;
use crate::executor::Core;
use crate::lock::WaitQueue;
use crate::time::Timer;

mod worker;
use worker::Worker;

/// Linux: `WQ_DFL_ACTIVE`.
const DEFAULT_ACTIVE: usize = 1024;

type WorkFn = Box<dyn FnMut(Cpu) -> Pin<Box<dyn Future<Output = ()>>>>;

struct QueueState {
    name: String,
    core: Weak<Core>,
    max_active: usize,
    pending: RefCell<VecDeque<(u64, Rc<WorkState>)>>,
    /// Numbers of the items that are pending or running here, in the order in which they were queued.
    unfinished: RefCell<BTreeSet<u64>>,
    next: Cell<u64>,
    workers: Cell<usize>,
    /// The tasks of its workers.
    tasks: RefCell<BTreeSet<u64>>,
    /// Workers that wait for an item; at most one.
    idle: Cell<usize>,
    /// All handles are gone, or it is being destroyed: idle workers end.
    closed: Cell<bool>,
    more: WaitQueue,
    finished: WaitQueue,
}

struct WorkState {
    name: String,
    core: Weak<Core>,
    work: RefCell<Option<WorkFn>>,
    /// Its number and queue while it is pending.
    pending: RefCell<Option<(u64, Rc<QueueState>)>>,
    running: Cell<bool>,
    /// The task that runs it.
    task: Cell<u64>,
    /// Where to queue it again, if it became due while it ran.
    timer: OnceCell<Timer>,
    delayed_to: RefCell<Option<Rc<QueueState>>>,
    /// Calls of `cancel_sync` in progress, during which it is not queued.
    cancelling: Cell<u32>,
    panic: RefCell<Option<String>>,
    idle: WaitQueue,
}

/// A work item (`struct work_struct`, `struct delayed_work`): a function that may sleep, for a [`Workqueue`] to run;
/// made by [`Cpu::work`]. Clones are the same item. One that is pending when its last clone goes still runs.
#[derive(Clone)]
pub struct Work {
    state: Rc<WorkState>,
}

/// A queue of work (`struct workqueue_struct`); made by [`Cpu::alloc_workqueue`] and
/// [`Cpu::alloc_ordered_workqueue`]. Clones are the same queue; with the last one gone, its workers end after what is
/// queued.
#[derive(Clone)]
pub struct Workqueue {
    state: Rc<QueueState>,
    /// Shared by the handles, not by the workers.
    handles: Rc<Handles>,
}

struct Handles(Rc<QueueState>);

impl Drop for Handles {
    fn drop(&mut self) {
        self.0.closed.set(true);
        self.0.more.wake_up_all();
    }
}

/// # Work queues
impl Cpu {
    /// A queue that runs up to `max_active` items at once (0: as many as Linux's default, 1,024).
    pub fn alloc_workqueue(&self, name: impl Into<String>, max_active: usize) -> Workqueue {
        let max_active = if max_active == 0 { DEFAULT_ACTIVE } else { max_active };
        let state = Rc::new(QueueState {
            name: name.into(),
            core: Rc::downgrade(self.core()),
            max_active,
            pending: RefCell::default(),
            unfinished: RefCell::default(),
            next: Cell::new(0),
            workers: Cell::new(0),
            tasks: RefCell::default(),
            idle: Cell::new(0),
            closed: Cell::new(false),
            more: WaitQueue::new(),
            finished: WaitQueue::new(),
        });
        Workqueue { handles: Rc::new(Handles(state.clone())), state }
    }

    /// A queue that runs one item at a time, in the order in which they were queued.
    pub fn alloc_ordered_workqueue(&self, name: impl Into<String>) -> Workqueue {
        self.alloc_workqueue(name, 1)
    }

    /// The kernel's own queue, `events` (`system_wq`), for short work of all kinds.
    pub fn system_workqueue(&self) -> Workqueue {
        let queue = &self.core().system_workqueue;
        if let Some(queue) = &*queue.borrow() {
            return queue.clone();
        }
        let made = self.alloc_workqueue("events", 0);
        queue.borrow_mut().replace(made.clone());
        made
    }

    /// Queues `work` on the kernel's own queue. False if it was pending already, or may not be queued now.
    pub fn schedule_work(&self, work: &Work) -> bool {
        self.system_workqueue().queue_work(work)
    }

    /// Makes a work item, not queued yet. `work` is called, and its future run to its end, each time that it is
    /// queued. The name is for reports.
    pub fn work<Fut>(&self, name: impl Into<String>, mut work: impl FnMut(Self) -> Fut + 'static) -> Work
    where
        Fut: Future<Output = ()> + 'static,
    {
        let state = Rc::new(WorkState {
            name: name.into(),
            core: Rc::downgrade(self.core()),
            work: RefCell::new(Some(Box::new(move |cpu| Box::pin(work(cpu))))),
            pending: RefCell::default(),
            running: Cell::new(false),
            task: Cell::new(0),
            timer: OnceCell::new(),
            delayed_to: RefCell::default(),
            cancelling: Cell::new(0),
            panic: RefCell::default(),
            idle: WaitQueue::new(),
        });
        Work { state }
    }
}

impl Workqueue {
    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Queues `work`, from any context of the kernel, handlers too. False if it is pending already, is being
    /// cancelled, has panicked, or the queue is destroyed.
    pub fn queue_work(&self, work: &Work) -> bool {
        if work.state.is_delayed() {
            return false;
        }
        self.state.push(&work.state)
    }

    /// Queues `work` when `delay` has passed, not earlier. False as for [`queue_work`](Self::queue_work), and if it
    /// waits for its delay already.
    pub fn queue_delayed_work(&self, work: &Work, delay: Duration) -> bool {
        if !self.state.takes(&work.state) || work.is_pending() {
            return false;
        }
        if delay.is_zero() {
            return self.state.push(&work.state);
        }
        work.state.delay(&self.state, delay);
        true
    }

    /// As [`queue_delayed_work`](Self::queue_delayed_work), but sets the time anew if `work` is pending. True if it
    /// was.
    pub fn mod_delayed_work(&self, work: &Work, delay: Duration) -> bool {
        let was_pending = work.cancel();
        if self.state.takes(&work.state) {
            if delay.is_zero() {
                self.state.push(&work.state);
            } else {
                work.state.delay(&self.state, delay);
            }
        }
        was_pending
    }

    /// Waits until all that was queued here when this was called has run (`flush_workqueue`). What waits for its
    /// delay has not been queued yet.
    ///
    /// Cancelling it does nothing else.
    ///
    /// # Panics
    ///
    /// When awaited by an item of this queue, which would wait for itself.
    pub async fn flush(&self, cpu: &Cpu) {
        let state = &self.state;
        let until = state.next.get();
        let current = cpu.core().current_task().map_or(0, |task| task.id);
        let own = state.tasks.borrow().contains(&current);
        assert!(!own, "an item of workqueue {:?} flushes its own queue and waits for itself", state.name);
        state
            .finished
            .wait_event(cpu, || state.unfinished.borrow().first().is_none_or(|&n| n >= until))
            .await;
    }

    /// Takes no more work, and waits until all that is queued has run (`destroy_workqueue`).
    ///
    /// Cancelling it stops the waiting; the queue is closed from the call on.
    pub fn destroy(self, cpu: &Cpu) -> impl Future<Output = ()> + use<> {
        let (state, cpu) = (self.state.clone(), cpu.clone());
        state.closed.set(true);
        state.more.wake_up_all();
        drop(self);
        async move {
            state
                .finished
                .wait_event(&cpu, || state.unfinished.borrow().is_empty() && state.workers.get() == 0)
                .await;
        }
    }
}

impl fmt::Debug for Workqueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workqueue")
            .field("name", &self.state.name)
            .field("handles", &Rc::strong_count(&self.handles))
            .field("pending", &self.state.pending.borrow().len())
            .finish_non_exhaustive()
    }
}

impl Work {
    /// Whether it is queued, or waits for its delay. (It may run as well.)
    pub fn is_pending(&self) -> bool {
        self.state.pending.borrow().is_some() || self.state.is_delayed()
    }

    /// Whether it runs now.
    pub fn is_running(&self) -> bool {
        self.state.running.get()
    }

    /// Takes it off its queue, or its delay, without waiting for a run in progress. True if it was pending.
    pub fn cancel(&self) -> bool {
        let delayed = self.state.timer.get().is_some_and(Timer::timer_delete);
        self.state.delayed_to.borrow_mut().take();
        let Some((number, queue)) = self.state.pending.borrow_mut().take() else { return delayed };
        let mut pending = queue.pending.borrow_mut();
        let found = pending.iter().position(|&(other, _)| other == number);
        let removed = found.and_then(|index| pending.remove(index));
        drop(pending);
        drop(removed);
        queue.finish(number);
        true
    }

    /// Takes it off its queue, or its delay, and waits for a run in progress; meanwhile it cannot be queued, by
    /// itself neither (`cancel_work_sync`). True if it was pending.
    ///
    /// Cancelling it stops the waiting; it may be queued again then.
    ///
    /// # Panics
    ///
    /// When awaited by the item itself, which would wait for itself.
    pub async fn cancel_sync(&self, cpu: &Cpu) -> bool {
        struct Cancelling<'a>(&'a Cell<u32>);
        impl Drop for Cancelling<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        self.refuse_own(cpu, "cancel_sync");
        let state = &self.state;
        state.cancelling.set(state.cancelling.get() + 1);
        let _cancelling = Cancelling(&state.cancelling);
        let was_pending = self.cancel();
        state.idle.wait_event(cpu, || !state.running.get()).await;
        was_pending
    }

    /// Waits until it has run for its last queueing (`flush_work`); one that waits for its delay is queued at once
    /// (`flush_delayed_work`).
    ///
    /// Cancelling it does nothing else.
    ///
    /// # Panics
    ///
    /// When awaited by the item itself, which would wait for itself.
    pub async fn flush(&self, cpu: &Cpu) {
        self.refuse_own(cpu, "flush");
        let state = &self.state;
        if state.timer.get().is_some_and(Timer::timer_delete) {
            state.due();
        }
        state.idle.wait_event(cpu, || state.pending.borrow().is_none() && !state.running.get()).await;
    }

    fn refuse_own(&self, cpu: &Cpu, what: &str) {
        let current = cpu.core().current_task().map(|task| task.id);
        assert!(
            !self.state.running.get() || current != Some(self.state.task.get()),
            "{what} of work {:?} by itself: it would wait for itself",
            self.state.name
        );
    }

    /// The message of its panic, if it ended that way. It does not run again then.
    pub fn panicked(&self) -> Option<String> {
        self.state.panic.borrow().clone()
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("name", &self.state.name)
            .field("pending", &self.is_pending())
            .field("running", &self.state.running.get())
            .finish_non_exhaustive()
    }
}

impl WorkState {
    fn is_delayed(&self) -> bool {
        self.timer.get().is_some_and(Timer::is_pending)
    }

    fn delay(self: &Rc<Self>, queue: &Rc<QueueState>, delay: Duration) {
        let Some(core) = self.core.upgrade() else { return };
        self.delayed_to.borrow_mut().replace(queue.clone());
        let timer = self.timer.get_or_init(|| {
            let work = Rc::downgrade(self);
            core.cpu().timer(self.name.clone(), move |_| {
                if let Some(work) = work.upgrade() {
                    work.due();
                }
            })
        });
        timer.arm_in(delay);
    }

    /// Its delay is over.
    fn due(self: &Rc<Self>) {
        let queue = self.delayed_to.borrow_mut().take();
        if let Some(queue) = queue {
            queue.push(self);
        }
    }
}

impl QueueState {
    fn takes(&self, work: &WorkState) -> bool {
        !self.closed.get() && work.cancelling.get() == 0 && work.panic.borrow().is_none()
    }

    fn push(self: &Rc<Self>, work: &Rc<WorkState>) -> bool {
        if !self.takes(work) || work.pending.borrow().is_some() {
            return false;
        }
        let number = self.next.get();
        self.next.set(number + 1);
        self.unfinished.borrow_mut().insert(number);
        work.pending.borrow_mut().replace((number, self.clone()));
        self.pending.borrow_mut().push_back((number, work.clone()));
        self.have_worker();
        true
    }

    /// Sees to it that somebody takes the next item.
    fn have_worker(self: &Rc<Self>) {
        if self.idle.get() > 0 {
            self.more.wake_up_all();
        } else if self.workers.get() < self.max_active
            && let Some(core) = self.core.upgrade()
        {
            self.workers.set(self.workers.get() + 1);
            Worker::start(&core, self.clone());
        }
    }

    /// The next item that does not run elsewhere.
    fn take(&self) -> Option<(u64, Rc<WorkState>)> {
        let mut pending = self.pending.borrow_mut();
        // An ordered queue keeps its order: it waits for the first.
        let looked_at = if self.max_active == 1 { 1 } else { pending.len() };
        let index = pending.iter().take(looked_at).position(|(_, work)| !work.running.get())?;
        pending.remove(index)
    }

    fn finish(&self, number: u64) {
        self.unfinished.borrow_mut().remove(&number);
        self.finished.wake_up_all();
    }
}
