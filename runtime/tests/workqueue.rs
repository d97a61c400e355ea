//! Work queues: what may sleep, done by tasks of the kernel's own. R8.

mod common;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use airlift_runtime::{Completion, Cpu, IrqReturn, Tasklet, Timer, Work};
use common::{Log, OnDrop, kernel, on_kernel};
use futures::executor::block_on;

const MS: Duration = Duration::from_millis(1);

async fn settle(cpu: &Cpu) {
    for _ in 0..6 {
        cpu.yield_now().await;
    }
}

/// An item that logs its beginning and end, and waits for `go` in between.
fn slow(cpu: &Cpu, log: &Log<String>, name: &'static str, go: &Rc<Completion>) -> Work {
    let (log, go) = (log.clone(), go.clone());
    cpu.work(name, move |cpu| {
        let (log, go) = (log.clone(), go.clone());
        async move {
            log.push(format!("{name} begins"));
            go.wait(&cpu).await;
            log.push(format!("{name} ends"));
        }
    })
}

/// An item that counts its runs.
fn counting(cpu: &Cpu) -> (Work, Rc<Cell<u32>>) {
    let runs = Rc::new(Cell::new(0));
    let count = runs.clone();
    let work = cpu.work("counting", move |_| {
        count.set(count.get() + 1);
        async {}
    });
    (work, runs)
}

#[test]
fn r8_work_queued_by_a_handler_runs_in_a_task_that_may_sleep() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let queue = cpu.alloc_workqueue("test", 0);
        let log = Log::new();
        let entries = log.clone();
        let work = cpu.work("sleepy", move |cpu| {
            let entries = entries.clone();
            async move {
                cpu.msleep(5).await;
                entries.push((cpu.task_name(), cpu.jiffies()));
            }
        });
        let (to, item) = (queue.clone(), work.clone());
        let _irq = cpu.request_irq(&line, "test", move |_| {
            assert_eq!((to.queue_work(&item), to.queue_work(&item)), (true, false));
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        queue.flush(&cpu).await;
        log.take()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), [(Some("kworker/test".to_owned()), 5)]);
    assert!(kernel.shutdown_blocking().is_clean());
}

#[test]
fn r8_an_ordered_queue_runs_one_item_after_the_other_an_unordered_one_side_by_side() {
    on_kernel(|cpu| async move {
        let (log, go) = (Log::new(), Rc::new(Completion::new()));
        let (a, b) = (slow(&cpu, &log, "a", &go), slow(&cpu, &log, "b", &go));
        let ordered = cpu.alloc_ordered_workqueue("ordered");
        ordered.queue_work(&a);
        ordered.queue_work(&b);
        settle(&cpu).await;
        assert_eq!(log.take(), ["a begins"]);
        (0..2).for_each(|_| go.complete());
        ordered.flush(&cpu).await;
        assert_eq!(log.take(), ["a ends", "b begins", "b ends"]);
        let unordered = cpu.alloc_workqueue("unordered", 2);
        let c = slow(&cpu, &log, "c", &go);
        for item in [&a, &b, &c] {
            unordered.queue_work(item);
        }
        settle(&cpu).await;
        // No more than two.
        assert_eq!(log.take(), ["a begins", "b begins"]);
        (0..3).for_each(|_| go.complete());
        unordered.flush(&cpu).await;
        assert_eq!(log.len(), 4);
    });
}

#[test]
fn r8_an_item_never_runs_beside_itself_on_any_queue() {
    on_kernel(|cpu| async move {
        let (log, go) = (Log::new(), Rc::new(Completion::new()));
        let item = slow(&cpu, &log, "item", &go);
        let (one, two) = (cpu.alloc_workqueue("one", 0), cpu.alloc_ordered_workqueue("two"));
        one.queue_work(&item);
        settle(&cpu).await;
        // Running, so it may be queued once more; pending, so not twice.
        assert_eq!((two.queue_work(&item), one.queue_work(&item)), (true, false));
        settle(&cpu).await;
        assert_eq!(log.take(), ["item begins"]);
        go.complete();
        settle(&cpu).await;
        assert_eq!(log.take(), ["item ends", "item begins"]);
        go.complete();
        item.flush(&cpu).await;
        assert_eq!(log.take(), ["item ends"]);
    });
}

#[test]
fn r8_delayed_work_is_never_early_and_can_be_moved() {
    on_kernel(|cpu| async move {
        let (queue, log) = (cpu.alloc_workqueue("test", 0), Log::new());
        let entries = log.clone();
        let work = cpu.work("delayed", move |cpu| {
            entries.push(cpu.jiffies());
            async {}
        });
        assert!(queue.queue_delayed_work(&work, 10 * MS));
        assert_eq!((queue.queue_delayed_work(&work, MS), queue.queue_work(&work)), (false, false));
        assert!(work.is_pending());
        cpu.msleep(30).await;
        queue.queue_delayed_work(&work, 5 * MS);
        assert!(queue.mod_delayed_work(&work, 20 * MS));
        cpu.msleep(30).await;
        assert!(!queue.mod_delayed_work(&work, Duration::ZERO));
        work.flush(&cpu).await;
        // Flushed, it does not wait for its delay.
        queue.queue_delayed_work(&work, 500 * MS);
        work.flush(&cpu).await;
        assert_eq!(log.take(), [10, 50, 60, 60]);
    });
}

#[test]
fn r8_cancel_sync_takes_back_what_is_pending_and_waits_for_what_runs() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_workqueue("test", 0);
        let (work, runs) = counting(&cpu);
        queue.queue_work(&work);
        assert!(work.cancel_sync(&cpu).await);
        queue.queue_delayed_work(&work, 5 * MS);
        assert!(work.cancel_sync(&cpu).await);
        cpu.msleep(10).await;
        assert!(!work.cancel_sync(&cpu).await);
        assert_eq!(runs.get(), 0);
        queue.flush(&cpu).await;

        let (log, go) = (Log::new(), Rc::new(Completion::new()));
        let item = slow(&cpu, &log, "item", &go);
        queue.queue_work(&item);
        settle(&cpu).await;
        let (entries, cancelled) = (log.clone(), item.clone());
        let cancel = cpu.spawn("cancel", move |cpu| async move {
            let was_pending = cancelled.cancel_sync(&cpu).await;
            entries.push(format!("cancelled, pending: {was_pending}"));
        });
        settle(&cpu).await;
        // Nobody queues it while it is being cancelled.
        assert!(!queue.queue_work(&item));
        go.complete();
        cancel.await.unwrap();
        assert_eq!(log.take(), ["item begins", "item ends", "cancelled, pending: false"]);
        assert!(queue.queue_work(&item));
        item.cancel();
    });
}

#[test]
fn a5_a_cancelled_cancel_sync_lets_the_item_be_queued_again() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_workqueue("test", 0);
        let (log, go) = (Log::new(), Rc::new(Completion::new()));
        let item = slow(&cpu, &log, "item", &go);
        queue.queue_work(&item);
        settle(&cpu).await;
        assert!(cpu.timeout(MS, item.cancel_sync(&cpu)).await.is_err());
        assert!(queue.queue_work(&item));
        (0..2).for_each(|_| go.complete());
        item.flush(&cpu).await;
        assert_eq!(log.len(), 4);
    });
}

#[test]
fn r8_flush_waits_for_what_was_queued_before_and_for_no_more() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_workqueue("test", 0);
        let (log, first, second) = (Log::new(), Rc::new(Completion::new()), Rc::new(Completion::new()));
        let (before, after) = (slow(&cpu, &log, "before", &first), slow(&cpu, &log, "after", &second));
        queue.queue_work(&before);
        let (flushed, entries) = (queue.clone(), log.clone());
        let flush = cpu.spawn("flush", move |cpu| async move {
            flushed.flush(&cpu).await;
            entries.push("flushed".into());
        });
        settle(&cpu).await;
        queue.queue_work(&after);
        settle(&cpu).await;
        assert_eq!(log.take(), ["before begins", "after begins"]);
        first.complete();
        flush.await.unwrap();
        assert_eq!(log.take(), ["before ends", "flushed"]);
        second.complete();
        queue.flush(&cpu).await;
    });
}

#[test]
fn r8_destroying_a_queue_runs_what_is_queued_takes_no_more_and_ends_its_workers() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_workqueue("doomed", 0);
        let other = queue.clone();
        let (work, runs) = counting(&cpu);
        queue.queue_work(&work);
        queue.destroy(&cpu).await;
        assert_eq!((runs.get(), other.queue_work(&work)), (1, false));
        assert!(cpu.kernel().stats().task("kworker/doomed").is_none());
        // And so does the drop of its last handle, by and by.
        let queue = cpu.alloc_workqueue("dropped", 0);
        queue.queue_work(&work);
        drop(queue);
        work.flush(&cpu).await;
        settle(&cpu).await;
        assert_eq!(runs.get(), 2);
        assert!(cpu.kernel().stats().task("kworker/dropped").is_none());
        // The kernel's own is always there.
        assert!(cpu.schedule_work(&work));
        work.flush(&cpu).await;
        assert_eq!(runs.get(), 3);
        // An idle worker is waited for too.
        let queue = cpu.alloc_workqueue("idle", 0);
        queue.queue_work(&work);
        work.flush(&cpu).await;
        settle(&cpu).await;
        queue.destroy(&cpu).await;
        assert!(cpu.kernel().stats().task("kworker/idle").is_none());
    });
}

#[test]
fn r8_an_item_that_would_wait_for_itself_is_refused() {
    on_kernel(|cpu| async move {
        for what in ["cancel_sync", "flush", "queue", "destroy", "destroyed elsewhere"] {
            let queue = cpu.alloc_workqueue("test", 0);
            let own: Rc<RefCell<Option<Work>>> = Rc::default();
            let (item, to) = (own.clone(), queue.clone());
            let work = cpu.work("self", move |cpu| {
                let (item, to) = (item.borrow().clone().unwrap(), to.clone());
                async move {
                    match what {
                        "cancel_sync" => drop(item.cancel_sync(&cpu).await),
                        "flush" => item.flush(&cpu).await,
                        "queue" => to.flush(&cpu).await,
                        "destroy" => to.destroy(&cpu).await,
                        // The call is another's.
                        _ => {
                            let (send, call) = futures::channel::oneshot::channel();
                            let destroys = move |cpu: Cpu| async move { drop(send.send(to.destroy(&cpu))) };
                            cpu.spawn("calls", destroys).await.unwrap();
                            call.await.unwrap().await;
                        }
                    }
                }
            });
            *own.borrow_mut() = Some(work.clone());
            queue.queue_work(&work);
            queue.flush(&cpu).await;
            assert!(work.panicked().unwrap().contains("itself"), "{what}");
            own.borrow_mut().take();
        }
    });
}

#[test]
fn r8_a_worker_gives_up_its_turn_between_items() {
    on_kernel(|cpu| async move {
        let (queue, log) = (cpu.alloc_ordered_workqueue("test"), Log::new());
        let items: Vec<_> = (0..3)
            .map(|_| {
                let log = log.clone();
                cpu.work("item", move |_| {
                    log.push("item");
                    async {}
                })
            })
            .collect();
        items.iter().for_each(|item| assert!(queue.queue_work(item)));
        let entries = log.clone();
        drop(cpu.spawn("other", move |_| async move { entries.push("other") }));
        queue.flush(&cpu).await;
        assert_eq!(log.take(), ["item", "other", "item", "item"]);
    });
}

#[test]
fn r12_a_work_item_that_panics_while_it_is_queued_again_is_taken_off_its_queue() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_ordered_workqueue("test");
        let own: Rc<RefCell<Option<Work>>> = Rc::default();
        let (item, to) = (own.clone(), queue.clone());
        let bomb = cpu.work("bomb", move |_| {
            assert!(to.queue_work(item.borrow().as_ref().unwrap()));
            async { panic!("on purpose") }
        });
        *own.borrow_mut() = Some(bomb.clone());
        queue.queue_work(&bomb);
        queue.flush(&cpu).await;
        assert!(bomb.panicked().is_some() && !bomb.is_pending());
        assert_eq!(cpu.timeout(MS, queue.flush(&cpu)).await, Ok(()));
        own.borrow_mut().take();
    });
}

#[test]
fn r12_a_panic_in_a_work_item_is_told_by_its_handle_and_its_worker_goes_on() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_ordered_workqueue("test");
        let bomb = cpu.work("bomb", |cpu| async move {
            cpu.msleep(1).await;
            panic!("on purpose");
        });
        let (work, runs) = counting(&cpu);
        queue.queue_work(&bomb);
        queue.queue_work(&work);
        queue.flush(&cpu).await;
        assert_eq!((bomb.panicked().as_deref(), runs.get()), (Some("on purpose"), 1));
        assert!(!queue.queue_work(&bomb));
    });
}

#[test]
fn r12_what_a_worker_leaves_pending_when_it_dies_is_done_by_another() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_ordered_workqueue("test");
        // Its worker has the last of it, and drops it.
        let witness = OnDrop(|| panic!("on purpose"));
        let bomb = cpu.work("bomb", move |_| {
            let _keep = &witness;
            async {}
        });
        let (work, runs) = counting(&cpu);
        queue.queue_work(&bomb);
        queue.queue_work(&work);
        drop(bomb);
        cpu.timeout(5 * MS, queue.flush(&cpu)).await.expect("the queue starves");
        assert_eq!((runs.get(), cpu.kernel().stats().tasks_panicked), (1, 1));
    });
}

#[test]
fn r1_work_that_a_shutdown_finds_pending_is_dropped_with_it() {
    let kernel = kernel();
    let (dropped, drops) = std::sync::mpsc::channel();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let queue = cpu.alloc_ordered_workqueue("test");
        let stuck = cpu.work("stuck", |_| std::future::pending());
        let own = cpu.clone();
        let witness = OnDrop(move || dropped.send(()).unwrap());
        let waits = cpu.work("waits", move |_| {
            let _keep = (&witness, &own);
            async {}
        });
        queue.queue_work(&stuck);
        queue.queue_work(&waits);
        cpu.schedule_work(&cpu.work("also stuck", |_| std::future::pending()));
        settle(&cpu).await;
    });
    block_on(task.unwrap()).unwrap();
    kernel.shutdown_blocking();
    common::receive(&drops);
}

#[test]
fn r1_work_that_the_shutdown_finds_on_the_kernels_own_queue_is_dropped_with_it() {
    let kernel = kernel();
    let (dropped, drops) = std::sync::mpsc::channel();
    let (in_poll, is_in_poll) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let (own, witness) = (cpu.clone(), OnDrop(move || dropped.send(()).unwrap()));
        let late = cpu.work("late", move |_| {
            let _keep = (&witness, &own);
            async {}
        });
        in_poll.send(()).unwrap();
        common::receive(&released);
        // The end has begun: no worker has a turn any more.
        cpu.schedule_work(&late);
        std::future::pending::<()>().await;
    });
    common::receive(&is_in_poll);
    let end = kernel.shutdown();
    release.send(()).unwrap();
    block_on(end);
    common::receive(&drops);
    drop(task);
}

/// An item that queues itself again, `times` in all, and counts its runs.
fn again(cpu: &Cpu, times: u32) -> (Work, Rc<Cell<u32>>) {
    let (own, runs): (Rc<RefCell<Option<Work>>>, Rc<Cell<u32>>) = Default::default();
    let (item, count) = (own.clone(), runs.clone());
    let work = cpu.work("again", move |cpu| {
        count.set(count.get() + 1);
        let again = if count.get() < times { item.borrow().clone() } else { item.take() };
        let is_last = count.get() == times;
        async move { assert!(is_last || cpu.schedule_work(&again.unwrap())) }
    });
    *own.borrow_mut() = Some(work.clone());
    (work, runs)
}

#[test]
fn r8_flushing_an_item_waits_for_its_last_queueing_before_the_call_and_no_later_one() {
    on_kernel(|cpu| async move {
        let (work, runs) = again(&cpu, 1_000);
        cpu.schedule_work(&work);
        // Pending: that run is waited for, and not those that it asks for. (One may go first.)
        work.flush(&cpu).await;
        assert!((1..=2).contains(&runs.get()), "{runs:?}");
        work.cancel_sync(&cpu).await;

        // Running and queued again: both are waited for.
        let (log, go) = (Log::new(), Rc::new(Completion::new()));
        let item = slow(&cpu, &log, "item", &go);
        cpu.schedule_work(&item);
        settle(&cpu).await;
        cpu.schedule_work(&item);
        let (flushed, entries) = (item.clone(), log.clone());
        let flush = cpu.spawn("flush", move |cpu| async move {
            flushed.flush(&cpu).await;
            entries.push("flushed".into());
        });
        settle(&cpu).await;
        go.complete();
        settle(&cpu).await;
        // Queued once more, which is after the call.
        cpu.schedule_work(&item);
        go.complete();
        flush.await.unwrap();
        assert_eq!(log.take()[..5], ["item begins", "item ends", "item begins", "item ends", "flushed"]);
        // What is cancelled is not waited for, what runs is.
        settle(&cpu).await;
        cpu.schedule_work(&item);
        let flushed = item.clone();
        let flush = cpu.spawn("flush", move |cpu| async move { flushed.flush(&cpu).await });
        settle(&cpu).await;
        assert!(item.cancel());
        go.complete();
        flush.await.unwrap();
        assert!(!item.is_running() && !item.is_pending());
    });
}

#[test]
fn r8_delayed_work_runs_though_all_handles_to_it_and_to_its_queue_are_gone() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_ordered_workqueue("test");
        let (work, runs) = counting(&cpu);
        assert!(queue.queue_delayed_work(&work, 5 * MS));
        drop(work);
        cpu.msleep(4).await;
        assert_eq!(runs.get(), 0);
        drop(queue);
        cpu.msleep(2).await;
        // It has run, and nothing keeps it any more, nor its queue's worker.
        assert_eq!((runs.get(), Rc::strong_count(&runs)), (1, 1));
        settle(&cpu).await;
        assert!(cpu.kernel().stats().task("kworker/test").is_none());
    });
}

#[test]
fn r8_destroying_a_queue_cancels_what_waits_for_its_delay() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_workqueue("doomed", 0);
        let (work, runs) = counting(&cpu);
        queue.queue_delayed_work(&work, 5 * MS);
        queue.destroy(&cpu).await;
        assert!(!work.is_pending());
        cpu.msleep(10).await;
        assert_eq!(runs.get(), 0);
        // Nothing is wrong with the item itself.
        assert!(cpu.system_workqueue().queue_delayed_work(&work, MS));
        cpu.msleep(2).await;
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn a5_a_cancelled_flush_or_destroy_stops_the_waiting_and_nothing_else() {
    on_kernel(|cpu| async move {
        let queue = cpu.alloc_ordered_workqueue("test");
        let (log, go) = (Log::new(), Rc::new(Completion::new()));
        let (first, second) = (slow(&cpu, &log, "first", &go), slow(&cpu, &log, "second", &go));
        queue.queue_work(&first);
        queue.queue_work(&second);
        settle(&cpu).await;
        assert!(cpu.timeout(MS, first.flush(&cpu)).await.is_err());
        assert!(cpu.timeout(MS, second.flush(&cpu)).await.is_err());
        assert!(cpu.timeout(MS, queue.flush(&cpu)).await.is_err());
        assert_eq!((first.is_running(), second.is_pending()), (true, true));
        go.complete();
        settle(&cpu).await;
        assert_eq!(log.take(), ["first begins", "first ends", "second begins"]);
        // Still open, and as long as its item runs, the flush of what is delayed only queues it.
        assert!(queue.queue_delayed_work(&first, 500 * MS));
        assert!(cpu.timeout(MS, first.flush(&cpu)).await.is_err());
        assert!(first.is_pending());
        let other = queue.clone();
        assert!(cpu.timeout(MS, queue.destroy(&cpu)).await.is_err());
        // Closed all the same; what was queued runs.
        let (late, _) = counting(&cpu);
        assert!(!other.queue_work(&late));
        (0..2).for_each(|_| go.complete());
        settle(&cpu).await;
        assert_eq!(log.take(), ["second ends", "first begins", "first ends"]);
        // A destroy that nobody ever polls closes it as well.
        let queue = cpu.alloc_workqueue("unpolled", 0);
        let other = queue.clone();
        drop(queue.destroy(&cpu));
        assert!(!other.queue_work(&late));
    });
}

#[test]
fn r1_callbacks_that_refer_to_themselves_are_dropped_with_the_kernel() {
    let kernel = kernel();
    let (dropped, drops) = std::sync::mpsc::channel();
    let witness = |what: &'static str| {
        let dropped = dropped.clone();
        OnDrop(move || dropped.send(what).unwrap())
    };
    let witnesses = ["delayed work", "work", "timer", "tasklet"].map(witness);
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let [delayed, idle, armed, scheduled] = witnesses;
        let own: Rc<OnceCell<Work>> = Rc::default();
        let keep = (own.clone(), delayed);
        let work = cpu.work("delayed", move |_| {
            let _keep = &keep;
            async {}
        });
        cpu.alloc_workqueue("test", 0).queue_delayed_work(&work, 500 * MS);
        own.set(work).unwrap();
        let own: Rc<OnceCell<Work>> = Rc::default();
        let keep = (own.clone(), idle);
        let work = cpu.work("idle", move |_| {
            let _keep = &keep;
            async {}
        });
        own.set(work).unwrap();
        let own: Rc<OnceCell<Timer>> = Rc::default();
        let keep = (own.clone(), armed);
        let timer = cpu.timer("timer", move |_| {
            let (own, _) = &keep;
            own.get().unwrap().arm_in(MS);
        });
        timer.arm_in(MS);
        own.set(timer).unwrap();
        let own: Rc<OnceCell<Tasklet>> = Rc::default();
        let keep = (own.clone(), scheduled);
        let tasklet = cpu.tasklet("tasklet", move |_| {
            let _keep = &keep;
        });
        tasklet.schedule();
        own.set(tasklet).unwrap();
        cpu.msleep(5).await;
    });
    block_on(task.unwrap()).unwrap();
    kernel.shutdown_blocking();
    let mut dropped: Vec<_> = (0..4).map(|_| common::receive(&drops)).collect();
    dropped.sort_unstable();
    assert_eq!(dropped, ["delayed work", "tasklet", "timer", "work"]);
}

/// Says so when it is dropped, and is then kept by a callback that refers to itself, once less.
struct Again {
    cpu: Cpu,
    left: u32,
    dropped: std::sync::mpsc::Sender<u32>,
}

impl Again {
    fn keep(self) {
        let cpu = self.cpu.clone();
        match self.left % 3 {
            0 => {
                let own: Rc<OnceCell<Work>> = Rc::default();
                let keep = (own.clone(), self);
                let work = cpu.work("again", move |_| {
                    let _keep = &keep;
                    async {}
                });
                own.set(work).unwrap();
            }
            1 => {
                let own: Rc<OnceCell<Timer>> = Rc::default();
                let keep = (own.clone(), self);
                let timer = cpu.timer("again", move |_| {
                    let _keep = &keep;
                });
                own.set(timer).unwrap();
            }
            _ => {
                let own: Rc<OnceCell<Tasklet>> = Rc::default();
                let keep = (own.clone(), self);
                let tasklet = cpu.tasklet("again", move |_| {
                    let _keep = &keep;
                });
                own.set(tasklet).unwrap();
            }
        }
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        self.dropped.send(self.left).unwrap();
        if let Some(left) = self.left.checked_sub(1) {
            Self { cpu: self.cpu.clone(), left, dropped: self.dropped.clone() }.keep();
        }
    }
}

#[test]
fn r1_callbacks_that_the_drop_of_another_makes_are_dropped_with_the_kernel_too() {
    // A few, and without an end, which the kernel's is not kept from.
    for times in [6, u32::MAX] {
        let kernel = kernel();
        let (dropped, drops) = std::sync::mpsc::channel();
        let task = kernel.handle().spawn("main", move |cpu| async move {
            Again { cpu: cpu.clone(), left: times, dropped }.keep();
        });
        block_on(task.unwrap()).unwrap();
        kernel.shutdown_blocking();
        let expected: Vec<_> = (0..=times).rev().take(7).collect();
        assert_eq!(drops.try_iter().take(7).collect::<Vec<_>>(), expected);
    }
}
