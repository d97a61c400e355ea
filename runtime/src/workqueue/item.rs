//! [`Work`]: an item, by itself.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::QueueState;
use crate::callbacks::{Callback, Listed};
use crate::cpu::Cpu;
use crate::executor::Core;
use crate::lock::{ClassKind, LockClass, WaitQueue};
use crate::softirq::SoftIrq;
use crate::time::{Timer, timers::Owner};

type WorkFn = Box<dyn FnMut(Cpu) -> Pin<Box<dyn Future<Output = ()>>>>;

/// An item's being queued once: by its number, and where.
type Queued = (u64, Rc<QueueState>);

pub(super) struct WorkState {
    pub(super) name: String,
    pub(super) core: Weak<Core>,
    pub(super) class: LockClass,
    pub(super) listed: Listed,
    pub(super) work: RefCell<Option<WorkFn>>,
    pub(super) pending: RefCell<Option<Queued>>,
    pub(super) running: RefCell<Option<Queued>>,
    /// The task that runs it.
    pub(super) task: Cell<u64>,
    pub(super) timer: OnceCell<Timer>,
    /// Where it is queued when its timer fires, while that is armed.
    pub(super) delayed_to: RefCell<Option<Rc<QueueState>>>,
    /// Calls of `cancel_sync` in progress, during which it is not queued.
    pub(super) cancelling: Cell<u32>,
    pub(super) panic: RefCell<Option<String>>,
    pub(super) idle: WaitQueue,
}

/// A work item (`struct work_struct`, `struct delayed_work`): a function that may sleep, for a
/// [`Workqueue`](super::Workqueue) to run; made by [`Cpu::work`]. Clones are the same item. One that is pending, or
/// waits for its delay, when its last clone goes still runs.
///
/// The function is dropped when the item is neither pending nor has a clone left; at the latest, the kernel's end drops
/// it. A function that keeps a clone of its own item lives until then. One that is to go earlier keeps it weakly:
///
/// ```
/// # use std::cell::Cell;
/// # use std::rc::{Rc, Weak};
/// # use std::time::Duration;
/// # use airlift_runtime::{Clock, Kernel, Work};
/// # let kernel = Kernel::builder().clock(Clock::virtual_time()).build()?;
/// # let polls = kernel.handle().spawn("driver", |cpu| async move {
/// let queue = cpu.system_workqueue();
/// # let (polls, polled) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
/// # let counted = polled.clone();
/// let poll = Rc::new_cyclic(|own: &Weak<Work>| {
///     let own = own.clone();
///     cpu.work("poll", move |cpu| {
///         // Again in a while, for as long as somebody has it.
///         if let Some(own) = own.upgrade() {
///             cpu.system_workqueue().queue_delayed_work(&own, Duration::from_millis(100));
///         }
/// #       counted.set(counted.get() + 1);
///         async { /* look at the device */ }
///     })
/// });
/// queue.queue_work(&poll);
/// # cpu.msleep(250).await;
/// # poll.cancel();
/// # drop(poll);
/// # cpu.msleep(250).await;
/// # polls.set(polled.get());
/// # (polls.get(), Rc::strong_count(&polled))
/// # })?;
/// # assert_eq!(futures::executor::block_on(polls)?, (3, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Work {
    pub(super) state: Rc<WorkState>,
}

/// # Work items
impl Cpu {
    /// Makes a work item, not queued yet. `work` is called, and its future run to its end, each time that it is
    /// queued. The name is for reports.
    ///
    /// Items that one line makes are one *class* for the lock validator: to wait for one while a lock is held that
    /// another takes is reported.
    #[track_caller]
    pub fn work<Fut>(&self, name: impl Into<String>, mut work: impl FnMut(Self) -> Fut + 'static) -> Work
    where
        Fut: Future<Output = ()> + 'static,
    {
        let class = LockClass::of(ClassKind::Work);
        let state = Rc::new_cyclic(|me: &Weak<WorkState>| WorkState {
            name: name.into(),
            core: Rc::downgrade(self.core()),
            class,
            listed: self.core().list_callback(me.clone()),
            work: RefCell::new(Some(Box::new(move |cpu| Box::pin(work(cpu))))),
            pending: RefCell::default(),
            running: RefCell::default(),
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

impl Work {
    /// Whether it is queued, or waits for its delay. (It may run as well.)
    pub fn is_pending(&self) -> bool {
        self.state.pending.borrow().is_some() || self.state.is_delayed()
    }

    /// Whether it runs now.
    pub fn is_running(&self) -> bool {
        self.state.running.borrow().is_some()
    }

    /// Takes it off its queue, or its delay, without waiting for a run in progress. True if it was pending.
    pub fn cancel(&self) -> bool {
        let delayed = self.state.undelay().is_some();
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
    #[track_caller]
    pub fn cancel_sync(&self, cpu: &Cpu) -> impl Future<Output = bool> {
        struct Cancelling<'a>(&'a Cell<u32>);
        impl Drop for Cancelling<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let site = Location::caller();
        async move {
            self.refuse_own(cpu, "cancel_sync");
            let state = &self.state;
            state.wanted(cpu, site);
            state.cancelling.set(state.cancelling.get() + 1);
            let _cancelling = Cancelling(&state.cancelling);
            let was_pending = self.cancel();
            state.idle.wait_event_at(cpu, site, || !self.is_running()).await;
            was_pending
        }
    }

    /// Waits until it has run for its last queueing before this was called (`flush_work`); one that waits for its
    /// delay is queued at once (`flush_delayed_work`). What is cancelled meanwhile is not waited for.
    ///
    /// Cancelling it does nothing else.
    ///
    /// # Panics
    ///
    /// When awaited by the item itself, which would wait for itself.
    #[track_caller]
    pub fn flush(&self, cpu: &Cpu) -> impl Future<Output = ()> {
        let site = Location::caller();
        async move {
            self.refuse_own(cpu, "flush");
            cpu.core().might_sleep_at(site);
            let state = &self.state;
            state.wanted(cpu, site);
            if state.is_delayed() {
                state.due();
            }
            let awaited = [state.running.borrow().clone(), state.pending.borrow().clone()];
            for (number, queue) in awaited.into_iter().flatten() {
                if queue.max_active == 1 {
                    // All that is before it in the queue, too.
                    queue.wanted(cpu, site);
                }
                let is_done = || !queue.unfinished.borrow().contains(&number);
                queue.finished.wait_event_at(cpu, site, is_done).await;
            }
        }
    }

    fn refuse_own(&self, cpu: &Cpu, what: &str) {
        let current = cpu.core().current_task().map(|task| task.id);
        assert!(
            !self.is_running() || current != Some(self.state.task.get()),
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
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

impl WorkState {
    /// Somebody is about to wait for a run of this.
    fn wanted(&self, cpu: &Cpu, site: &'static Location<'static>) {
        cpu.core().lock_wanted(self.class, std::ptr::from_ref(self).addr(), site);
    }

    pub(super) fn is_delayed(&self) -> bool {
        self.delayed_to.borrow().is_some()
    }

    /// Has it wait for its delay. False if the kernel is on its way down.
    pub(super) fn delay(self: &Rc<Self>, queue: &Rc<QueueState>, delay: Duration) -> bool {
        let core = self.core.upgrade().filter(|core| core.shared.is_running());
        let Some(core) = core else { return false };
        self.delayed_to.borrow_mut().replace(queue.clone());
        queue.delayed.borrow_mut().insert(self.listed.id(), self.clone());
        let timer = self.timer.get_or_init(|| {
            let work = Rc::downgrade(self);
            let due = move |_: &mut SoftIrq<'_>| {
                if let Some(work) = work.upgrade() {
                    work.due();
                }
            };
            Timer::owned(&core, self.name.clone(), Owner::Work, Box::new(due))
        });
        timer.arm_in(delay);
        true
    }

    /// It waits for its delay no more; where it was to be queued.
    fn undelay(&self) -> Option<Rc<QueueState>> {
        let queue = self.delayed_to.borrow_mut().take()?;
        self.timer.get().map(Timer::timer_delete);
        let kept = queue.delayed.borrow_mut().remove(&self.listed.id());
        drop(kept);
        Some(queue)
    }

    /// Its delay is over.
    fn due(self: &Rc<Self>) {
        if let Some(queue) = self.undelay() {
            queue.push(self);
        }
    }
}

impl Callback for WorkState {
    fn drop_callback(&self) {
        self.undelay();
        let work = self.work.borrow_mut().take();
        drop(work);
    }
}
