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
//!
//! Here are the queues; an item by itself is in `item`, what the tasks do in `worker`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::cpu::Cpu;
use crate::executor::Core;
use crate::lock::{ClassKind, LockClass, WaitQueue};

mod item;
mod worker;
pub use item::Work;
use item::WorkState;
use worker::Worker;

/// Linux: `WQ_DFL_ACTIVE`.
const DEFAULT_ACTIVE: usize = 1024;

struct QueueState {
    name: String,
    core: Weak<Core>,
    class: LockClass,
    max_active: usize,
    pending: RefCell<VecDeque<(u64, Rc<WorkState>)>>,
    /// What waits for its delay, kept alive by this: its handles may all be gone.
    delayed: RefCell<BTreeMap<u64, Rc<WorkState>>>,
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
    /// It takes nothing more, what was delayed neither.
    destroyed: Cell<bool>,
    more: WaitQueue,
    finished: WaitQueue,
}

/// A queue of work (`struct workqueue_struct`); made by [`Cpu::alloc_workqueue`] and
/// [`Cpu::alloc_ordered_workqueue`]. Clones are the same queue; with the last one gone, its workers end after what is
/// queued, or waits for its delay.
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

/// The queues of a kernel, to be counted at its end.
#[derive(Default)]
pub(crate) struct Workqueues(RefCell<Vec<Weak<QueueState>>>);

impl Workqueues {
    fn add(&self, queue: &Rc<QueueState>) {
        let mut queues = self.0.borrow_mut();
        if queues.len() == queues.capacity() {
            queues.retain(|queue| queue.strong_count() > 0);
        }
        queues.push(Rc::downgrade(queue));
    }

    /// Items that are queued or run.
    pub(crate) fn unfinished(&self) -> usize {
        let queues = self.0.borrow();
        queues.iter().filter_map(Weak::upgrade).map(|queue| queue.unfinished.borrow().len()).sum()
    }
}

/// # Work queues
impl Cpu {
    /// A queue that runs up to `max_active` items at once (0: as many as Linux's default, 1,024). Not for handlers and
    /// other atomic context: in Linux it may sleep.
    #[track_caller]
    pub fn alloc_workqueue(&self, name: impl Into<String>, max_active: usize) -> Workqueue {
        self.might_sleep();
        self.make_workqueue(name.into(), max_active)
    }

    #[track_caller]
    fn make_workqueue(&self, name: String, max_active: usize) -> Workqueue {
        let max_active = if max_active == 0 { DEFAULT_ACTIVE } else { max_active };
        let state = Rc::new(QueueState {
            name,
            core: Rc::downgrade(self.core()),
            class: LockClass::of(ClassKind::Workqueue),
            max_active,
            pending: RefCell::default(),
            delayed: RefCell::default(),
            unfinished: RefCell::default(),
            next: Cell::new(0),
            workers: Cell::new(0),
            tasks: RefCell::default(),
            idle: Cell::new(0),
            closed: Cell::new(false),
            destroyed: Cell::new(false),
            more: WaitQueue::new(),
            finished: WaitQueue::new(),
        });
        self.core().workqueues.add(&state);
        Workqueue { handles: Rc::new(Handles(state.clone())), state }
    }

    /// A queue that runs one item at a time, in the order in which they were queued. Not for atomic context, as
    /// [`alloc_workqueue`](Self::alloc_workqueue).
    #[track_caller]
    pub fn alloc_ordered_workqueue(&self, name: impl Into<String>) -> Workqueue {
        self.alloc_workqueue(name, 1)
    }

    /// The kernel's own queue, `events` (`system_wq`), for short work of all kinds.
    pub fn system_workqueue(&self) -> Workqueue {
        let queue = &self.core().system_workqueue;
        if let Some(queue) = &*queue.borrow() {
            return queue.clone();
        }
        // Wherever it is first asked for.
        let made = self.make_workqueue("events".to_owned(), 0);
        queue.borrow_mut().replace(made.clone());
        made
    }

    /// Queues `work` on the kernel's own queue. False if it was pending already, or may not be queued now.
    pub fn schedule_work(&self, work: &Work) -> bool {
        self.system_workqueue().queue_work(work)
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
        work.state.delay(&self.state, delay)
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
    #[track_caller]
    pub fn flush(&self, cpu: &Cpu) -> impl Future<Output = ()> {
        let site = Location::caller();
        async move {
            let state = &self.state;
            let until = state.next.get();
            state.refuse_own(cpu, "flushes");
            state.wanted(cpu, site);
            let is_done = || state.unfinished.borrow().first().is_none_or(|&n| n >= until);
            state.finished.wait_event_at(cpu, site, is_done).await;
        }
    }

    /// Takes no more work, and waits until all that is queued has run and the workers are gone (`destroy_workqueue`).
    /// What waits for its delay is not queued yet: it is cancelled, with a warning that names it, since Linux leaves
    /// it to the caller to see to it first.
    ///
    /// Cancelling it stops the waiting; the queue is closed from the call on.
    ///
    /// # Panics
    ///
    /// When called or awaited by an item of this queue, which would wait for itself.
    #[track_caller]
    pub fn destroy(self, cpu: &Cpu) -> impl Future<Output = ()> + use<> {
        let (site, state, cpu) = (Location::caller(), self.state.clone(), cpu.clone());
        state.refuse_own(&cpu, "destroys");
        state.destroyed.set(true);
        state.closed.set(true);
        let delayed = std::mem::take(&mut *state.delayed.borrow_mut());
        for work in delayed.into_values() {
            tracing::warn!(queue = %state.name, work = %work.name, "a workqueue is destroyed while an item waits for its delay: it does not run");
            Work { state: work }.cancel();
        }
        state.more.wake_up_all();
        drop(self);
        async move {
            state.refuse_own(&cpu, "destroys");
            state.wanted(&cpu, site);
            let is_done = || state.unfinished.borrow().is_empty() && state.workers.get() == 0;
            state.finished.wait_event_at(&cpu, site, is_done).await;
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

impl QueueState {
    /// Somebody is about to wait for all that runs here.
    fn wanted(&self, cpu: &Cpu, site: &'static Location<'static>) {
        cpu.core().lock_wanted(self.class, std::ptr::from_ref(self).addr(), site);
    }

    fn refuse_own(&self, cpu: &Cpu, what: &str) {
        let current = cpu.core().current_task().map_or(0, |task| task.id);
        let own = self.tasks.borrow().contains(&current);
        assert!(!own, "an item of workqueue {:?} {what} its own queue and waits for itself", self.name);
    }

    fn takes(&self, work: &WorkState) -> bool {
        !self.destroyed.get() && work.cancelling.get() == 0 && work.panic.borrow().is_none()
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
        let index = pending.iter().take(looked_at).position(|(_, work)| work.running.borrow().is_none())?;
        pending.remove(index)
    }

    fn finish(&self, number: u64) {
        self.unfinished.borrow_mut().remove(&number);
        self.finished.wake_up_all();
    }
}
