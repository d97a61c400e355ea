//! [`IrqThread`]: the task of a threaded handler.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use futures::FutureExt;

use super::manage::{Action, Desc, less};
use super::{HandlerPanic, IrqReturn};
use crate::cpu::Cpu;
use crate::executor::{Core, leavings::Item, task::panic_message};
use crate::lock::WaitQueue;

pub(super) type ThreadFn = Box<dyn FnMut(Cpu) -> Pin<Box<dyn Future<Output = IrqReturn>>>>;

/// A threaded handler and what its task is told.
///
/// `run` is Linux's `IRQTF_RUNTHREAD`: set by the interrupt, cleared when a run begins; each setting counts once in
/// the line's `threads_active` until that run is done. `masks`: this thread holds the line's oneshot mask.
pub(super) struct IrqThread {
    work: RefCell<Option<ThreadFn>>,
    run: Cell<bool>,
    masks: Cell<bool>,
    stop: Cell<bool>,
    ended: Cell<bool>,
    task: Cell<u64>,
    /// The task waits here for `run` or `stop`, others for `ended`.
    queue: WaitQueue,
}

impl IrqThread {
    pub(super) fn new(work: ThreadFn) -> Rc<Self> {
        Rc::new(Self {
            work: RefCell::new(Some(work)),
            run: Cell::new(false),
            masks: Cell::new(false),
            stop: Cell::new(false),
            ended: Cell::new(false),
            task: Cell::new(0),
            queue: WaitQueue::new(),
        })
    }

    /// Starts the task.
    pub(super) fn start(self: Rc<Self>, core: &Rc<Core>, desc: &Rc<Desc>, action: &Rc<Action>) {
        let end = End { core: core.clone(), thread: self, desc: desc.clone(), action: action.clone() };
        let name = format!("irq/{}-{}", desc.line.number, action.name);
        drop(core.cpu().spawn_service(name, move |cpu| run(cpu, end)));
    }

    /// The interrupt's side: one run is wanted. False: the thread has ended.
    fn wake(&self, desc: &Desc, oneshot: bool) -> bool {
        if self.ended.get() {
            return false;
        }
        if !self.run.replace(true) {
            desc.threads_active.set(desc.threads_active.get() + 1);
            if oneshot && !self.masks.replace(true) {
                desc.line.oneshot_threads.fetch_add(1, Ordering::AcqRel);
            }
            self.queue.wake_up_all();
        }
        true
    }

    /// No run is begun any more; the task ends after the one that is.
    pub(super) fn stop(&self) {
        self.stop.set(true);
        self.queue.wake_up_all();
    }

    /// Waits for the task's end.
    pub(super) async fn ended(&self, cpu: &Cpu, site: &'static Location<'static>) {
        assert!(
            self.ended.get() || cpu.core().current_task().is_none_or(|task| task.id != self.task.get()),
            "a threaded irq handler frees its own line and waits for itself"
        );
        self.queue.wait_event_at(cpu, site, || self.ended.get()).await;
    }

    /// The run that was wanted is over: the line is unmasked, unless another is wanted.
    fn done(&self, core: &Rc<Core>, desc: &Desc) {
        desc.threads_active.set(desc.threads_active.get() - 1);
        if desc.threads_active.get() == 0 {
            desc.threads_done.wake_up_all();
        }
        if !self.run.get() && self.masks.replace(false) {
            less(&desc.line.oneshot_threads);
            core.unmask(&desc.line);
        }
    }
}

/// Leaves everything in order when the task ends, however it does.
struct End {
    core: Rc<Core>,
    thread: Rc<IrqThread>,
    desc: Rc<Desc>,
    action: Rc<Action>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.thread.ended.set(true);
        self.desc.thread_tasks.borrow_mut().remove(&self.thread.task.get());
        if self.thread.run.replace(false) {
            self.thread.done(&self.core, &self.desc);
        }
        let work = self.thread.work.borrow_mut().take();
        self.core.contain("drop of a threaded irq handler", || drop(work));
        self.thread.queue.wake_up_all();
    }
}

/// A run that has begun; over when this is dropped, by the cancelling of the task too.
struct Run<'a>(&'a End);

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.thread.done(&self.0.core, &self.0.desc);
    }
}

async fn run(cpu: Cpu, end: End) {
    let End { core, thread, desc, action } = &end;
    thread.task.set(core.current_task().map_or(0, |task| task.id));
    desc.thread_tasks.borrow_mut().insert(thread.task.get());
    loop {
        thread.queue.wait_event(&cpu, || thread.run.get() || thread.stop.get()).await;
        if thread.stop.get() {
            return;
        }
        let work = thread.work.borrow_mut().take();
        let Some(mut work) = work else { return };
        thread.run.set(false);
        let _run = Run(&end);
        let item = Item("threaded irq handler", &action.name);
        let result = AssertUnwindSafe(core.run_async_item(item, async { work(cpu.clone()).await }))
            .catch_unwind()
            .await;
        match result {
            Ok(outcome) => {
                if outcome == IrqReturn::Handled {
                    desc.threads_handled.set(desc.threads_handled.get() + 1);
                }
                *thread.work.borrow_mut() = Some(work);
            }
            Err(payload) => {
                let message = panic_message(payload);
                tracing::error!(handler = %action.name, message, "a threaded irq handler panicked; it is not called again");
                desc.line.panics.fetch_add(1, Ordering::Relaxed);
                *action.panic.borrow_mut() = Some(HandlerPanic { handler: action.name.to_string(), message });
                core.contain("drop of a panicked threaded irq handler", || drop(work));
                return;
            }
        }
    }
}

impl Core {
    /// A primary handler asked for its thread. False if there is none to do the work.
    pub(super) fn wake_irq_thread(&self, desc: &Rc<Desc>, action: &Rc<Action>) -> bool {
        match &action.thread {
            Some(thread) => thread.wake(desc, action.is_oneshot()),
            None => {
                tracing::warn!(handler = %action.name, "an irq handler wakes a thread that it does not have");
                false
            }
        }
    }
}
