//! [`Tasklet`]: a function that handlers put off to the tasklet softirqs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;

use crate::callbacks::{Callback, Listed};
use crate::cpu::Cpu;
use crate::executor::{Core, leavings::Item, task::panic_message};
use crate::lock::WaitQueue;
use crate::softirq::{SoftIrq, Softirq};

type TaskletFn = Box<dyn FnMut(&mut SoftIrq<'_>)>;

/// The scheduled tasklets, those of high priority first.
#[derive(Default)]
pub(crate) struct Tasklets {
    queues: RefCell<[VecDeque<Weak<State>>; 2]>,
}

/// `scheduled` is set by whoever schedules and cleared right before the callback runs; meanwhile, the tasklet is in
/// one queue. (One that was killed while it was disabled stays in its queue until that is run, and is passed over.) So it
/// is scheduled once, however often it is asked for, and once more if it is asked for while it runs.
struct State {
    name: String,
    callback: RefCell<Option<TaskletFn>>,
    scheduled: Cell<bool>,
    /// Whether it is in each of the queues, be it scheduled or not.
    queued: [Cell<bool>; 2],
    running: Cell<bool>,
    disabled: Cell<u32>,
    /// Which queue it was scheduled to.
    high: Cell<bool>,
    dropped: Cell<bool>,
    panic: RefCell<Option<String>>,
    /// `kill` waits here.
    idle: WaitQueue,
    #[expect(dead_code, reason = "it is there for its drop")]
    listed: Listed,
}

impl Callback for State {
    fn drop_callback(&self) {
        let callback = self.callback.borrow_mut().take();
        drop(callback);
    }
}

/// A function that runs in softirq context once each time that it is scheduled (`struct tasklet_struct`); made by
/// [`Cpu::tasklet`]. It never runs within itself, nor twice for one scheduling. Clones are the same tasklet; with the
/// last one gone it does not run any more, and its callback is dropped; at the latest, the kernel's end does that. A
/// callback that has the tasklet itself, to schedule it again, lives until then; see [`Work`](crate::Work) for one that
/// has it weakly.
#[derive(Clone)]
pub struct Tasklet {
    core: Weak<Core>,
    state: Rc<State>,
}

impl Cpu {
    /// Makes a tasklet, not scheduled yet. The name is for reports.
    pub fn tasklet(
        &self,
        name: impl Into<String>,
        callback: impl FnMut(&mut SoftIrq<'_>) + 'static,
    ) -> Tasklet {
        let state = Rc::new_cyclic(|me: &Weak<State>| State {
            name: name.into(),
            listed: self.core().list_callback(me.clone()),
            callback: RefCell::new(Some(Box::new(callback))),
            scheduled: Cell::new(false),
            queued: Default::default(),
            running: Cell::new(false),
            disabled: Cell::new(0),
            high: Cell::new(false),
            dropped: Cell::new(false),
            panic: RefCell::default(),
            idle: WaitQueue::new(),
        });
        Tasklet { core: Rc::downgrade(self.core()), state }
    }
}

impl Tasklet {
    /// Schedules it (`tasklet_schedule`), from any context of the kernel. False if it was scheduled already.
    pub fn schedule(&self) -> bool {
        self.schedule_to(false)
    }

    /// Schedules it before those of ordinary priority (`tasklet_hi_schedule`). False if it was scheduled already.
    pub fn hi_schedule(&self) -> bool {
        self.schedule_to(true)
    }

    fn schedule_to(&self, high: bool) -> bool {
        if self.state.panic.borrow().is_some() || self.state.scheduled.replace(true) {
            return false;
        }
        self.state.high.set(high);
        self.queue();
        true
    }

    fn queue(&self) {
        if let Some(core) = self.core.upgrade() {
            let high = self.state.high.get();
            if self.state.queued[usize::from(!high)].replace(true) {
                // Disabled and enabled again since: its turn is still to come.
                return;
            }
            core.tasklets.queues.borrow_mut()[usize::from(!high)].push_back(Rc::downgrade(&self.state));
            core.raise_softirq(if high { Softirq::Hi } else { Softirq::Tasklet });
        }
    }

    /// Keeps it from running until as many [`enable`](Self::enable). It may be scheduled meanwhile, and runs then.
    pub fn disable(&self) {
        self.state.disabled.set(self.state.disabled.get() + 1);
    }

    /// Undoes one [`disable`](Self::disable).
    ///
    /// # Panics
    ///
    /// If it is enabled.
    pub fn enable(&self) {
        let depth = self.state.disabled.get();
        assert!(depth > 0, "tasklet {:?} is enabled more often than it was disabled", self.state.name);
        self.state.disabled.set(depth - 1);
        if depth == 1 && self.state.scheduled.get() && !self.state.running.get() {
            self.queue();
        }
    }

    /// Whether it is scheduled and has not begun to run.
    pub fn is_scheduled(&self) -> bool {
        self.state.scheduled.get()
    }

    /// Waits until it has run, if it is scheduled (`tasklet_kill`). One that is disabled is taken off the schedule
    /// instead, as it would never run. To be sure that it does not run again, see to it that nobody schedules it.
    ///
    /// Cancelling it stops the waiting: one that is scheduled runs. One that is disabled is off the schedule from the
    /// first poll on.
    #[track_caller]
    pub fn kill(&self, cpu: &Cpu) -> impl Future<Output = ()> {
        let site = Location::caller();
        async move {
            if self.state.disabled.get() > 0 {
                self.state.scheduled.set(false);
            }
            let state = &self.state;
            state.idle.wait_event_at(cpu, site, || !state.scheduled.get() && !state.running.get()).await;
        }
    }

    /// The message of its panic, if it ended that way. It does not run again then.
    pub fn panicked(&self) -> Option<String> {
        self.state.panic.borrow().clone()
    }
}

impl Drop for Tasklet {
    fn drop(&mut self) {
        if Rc::strong_count(&self.state) == 1 {
            self.state.dropped.set(true);
            let callback = self.state.callback.borrow_mut().take();
            drop(callback);
        }
    }
}

impl fmt::Debug for Tasklet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasklet")
            .field("name", &self.state.name)
            .field("scheduled", &self.state.scheduled.get())
            .finish_non_exhaustive()
    }
}

impl Core {
    /// The softirq of one of the two queues: runs what was scheduled when it began.
    pub(crate) fn run_tasklets(&self, high: bool, context: &mut SoftIrq<'_>) {
        let index = usize::from(!high);
        let scheduled = std::mem::take(&mut self.tasklets.queues.borrow_mut()[index]);
        for tasklet in scheduled.iter().filter_map(Weak::upgrade) {
            tasklet.queued[index].set(false);
            // Enabling puts a disabled one back; killing one that is in the queue takes only this away.
            if tasklet.disabled.get() > 0 || tasklet.high.get() != high || !tasklet.scheduled.replace(false) {
                continue;
            }
            let callback = tasklet.callback.borrow_mut().take();
            let Some(mut callback) = callback else { continue };
            tasklet.running.set(true);
            let result = self.run_item(Item("tasklet", &tasklet.name), || callback(context));
            tasklet.running.set(false);
            match result {
                Ok(()) if tasklet.dropped.get() => {
                    self.contain("drop of a tasklet", || drop(callback));
                }
                Ok(()) => *tasklet.callback.borrow_mut() = Some(callback),
                Err(payload) => {
                    let message = panic_message(payload);
                    tracing::error!(tasklet = %tasklet.name, message, "a tasklet panicked; it does not run again");
                    self.shared.counters.softirq_panics.fetch_add(1, Ordering::Relaxed);
                    *tasklet.panic.borrow_mut() = Some(message);
                    tasklet.scheduled.set(false);
                    self.contain("drop of a panicked tasklet", || drop(callback));
                }
            }
            tasklet.idle.wake_up_all();
        }
    }
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use futures::executor::block_on;

    use crate::{Clock, Kernel};

    #[test]
    fn r8_a_tasklet_is_in_a_queue_once_however_often_it_is_disabled_and_enabled() {
        let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
        let task = kernel.handle().spawn("test", |cpu| async move {
            let tasklet = cpu.tasklet("test", |_| {});
            cpu.with_softirqs_off(|| {
                for high in [false, true] {
                    if high {
                        tasklet.hi_schedule();
                    } else {
                        tasklet.schedule();
                    }
                    for _ in 0..1_000 {
                        tasklet.disable();
                        tasklet.enable();
                    }
                    tasklet.disable();
                    futures::FutureExt::now_or_never(tasklet.kill(&cpu)).unwrap();
                    tasklet.enable();
                }
                cpu.core().tasklets.queues.borrow().each_ref().map(|queue| queue.len())
            })
        });
        assert_eq!(block_on(task.unwrap()).unwrap(), [1, 1]);
    }
}
