//! [`Worker`]: the tasks that do the work.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures::FutureExt;

use super::{QueueState, Work, WorkState};
use crate::cpu::Cpu;
use crate::executor::{Core, leavings::Item, task::panic_message};

/// A worker of a queue, counted while it lives.
pub(super) struct Worker {
    queue: Rc<QueueState>,
    task: Cell<u64>,
}

impl Worker {
    /// Starts another one.
    pub(super) fn start(core: &Rc<Core>, queue: Rc<QueueState>) {
        let name = format!("kworker/{}", queue.name);
        let worker = Self { queue, task: Cell::new(0) };
        drop(core.cpu().spawn_service(name, move |cpu| run(cpu, worker)));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let queue = &self.queue;
        queue.workers.set(queue.workers.get() - 1);
        queue.tasks.borrow_mut().remove(&self.task.get());
        if queue.core.upgrade().is_none_or(|core| !core.shared.is_running()) {
            // Nobody will run it any more, and it must not keep itself alive.
            let left = std::mem::take(&mut *queue.pending.borrow_mut());
            for (number, work) in left {
                let pending = work.pending.borrow_mut().take();
                drop(pending);
                queue.finish(number);
            }
        } else if !queue.pending.borrow().is_empty() {
            // It may have died of a panic that was no item's: of the drop of the last handle to one, for example.
            queue.have_worker();
        }
        // The last of a closed queue sends the one who waits home.
        queue.more.wake_up_all();
        queue.finished.wake_up_all();
    }
}

/// A run in progress; over when this is dropped, by the cancelling of the worker too.
struct Run<'a> {
    queue: &'a Rc<QueueState>,
    work: &'a Rc<WorkState>,
    number: u64,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let was = self.work.running.take();
        drop(was);
        self.work.idle.wake_up_all();
        self.queue.finish(self.number);
        // It may have been queued again while it ran, here or elsewhere, where nobody could take it.
        let elsewhere = self.work.pending.borrow().as_ref().map(|(_, queue)| queue.clone());
        if let Some(queue) = elsewhere {
            queue.have_worker();
        }
    }
}

async fn run(cpu: Cpu, worker: Worker) {
    let queue = &worker.queue;
    worker.task.set(cpu.core().current_task().map_or(0, |task| task.id));
    queue.tasks.borrow_mut().insert(worker.task.get());
    loop {
        let Some((number, work)) = queue.take() else {
            let waits = !queue.pending.borrow().is_empty();
            if (queue.closed.get() && !waits) || queue.idle.get() > 0 {
                return;
            }
            wait_for_more(&cpu, queue).await;
            continue;
        };
        work.pending.borrow_mut().take();
        work.running.replace(Some((number, queue.clone())));
        work.task.set(worker.task.get());
        let run = Run { queue, work: &work, number };
        if !queue.pending.borrow().is_empty() {
            queue.have_worker();
        }
        let function = work.work.borrow_mut().take();
        if let Some(mut function) = function {
            let core = cpu.core();
            let item = core.run_async_item(Item("work", &work.name), async {
                let _queue = core.run_begins(queue.class, Rc::as_ptr(queue).addr());
                let _work = core.run_begins(work.class, Rc::as_ptr(&work).addr());
                function(cpu.clone()).await;
            });
            let result = AssertUnwindSafe(item).catch_unwind().await;
            match result {
                Ok(()) => *work.work.borrow_mut() = Some(function),
                Err(payload) => {
                    let message = panic_message(payload);
                    tracing::error!(work = %work.name, message, "a work item panicked; it does not run again");
                    *work.panic.borrow_mut() = Some(message);
                    Work { state: work.clone() }.cancel();
                    cpu.core().contain("drop of a panicked work item", || drop(function));
                }
            }
        }
        drop(run);
        cpu.cond_resched().await;
    }
}

async fn wait_for_more(cpu: &Cpu, queue: &QueueState) {
    struct Idle<'a>(&'a Cell<usize>);
    impl Drop for Idle<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    queue.idle.set(queue.idle.get() + 1);
    let _idle = Idle(&queue.idle);
    let runnable = || queue.pending.borrow().iter().any(|(_, work)| work.running.borrow().is_none());
    queue
        .more
        .wait_event(cpu, || runnable() || (queue.closed.get() && queue.pending.borrow().is_empty()))
        .await;
}
