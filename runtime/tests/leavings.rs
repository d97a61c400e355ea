//! What a callback leaves behind is put right before the next runs, and told under its name: R5, R6.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use airlift_runtime::{Cpu, IrqOptions, IrqReturn, Kernel, LOCK_VALIDATOR, Softirq, SpinLock};
use common::{Log, kernel};
use futures::executor::block_on;

/// `(IRQs on, preempt count)`, as a callback finds them.
type State = (bool, u32);

const IN_TASK: State = (true, 0);
const IN_SOFTIRQ: State = (true, 0x100);
const IN_HANDLER: State = (false, 0x1_0000);

fn state(cpu: &Cpu) -> State {
    (cpu.irqs_enabled(), cpu.preempt_count())
}

/// Leaves IRQs and softirqs off and a spinlock held.
fn leave(cpu: &Cpu) {
    std::mem::forget(cpu.irqs_off());
    let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("left", ())));
    std::mem::forget(lock.lock_bh(cpu));
}

/// Runs `test` as a task, which is as clean after as before. Whoever is called guilty is reported, nobody else.
fn check<Fut>(guilty: &str, test: impl FnOnce(Cpu, Log<State>) -> Fut + Send + 'static) -> Vec<State>
where
    Fut: Future<Output = ()> + 'static,
{
    let kernel: Kernel = kernel();
    let handle = kernel.handle();
    let task = handle.spawn("test", move |cpu| async move {
        let log = Log::new();
        test(cpu.clone(), log.clone()).await;
        assert_eq!(state(&cpu), IN_TASK);
        log.take()
    });
    let states = block_on(task.unwrap()).unwrap();
    assert_eq!(handle.stats().suspended_with_lock, 1);
    kernel.shutdown_blocking();
    let reports = handle.lock_reports();
    assert_eq!(!reports.is_empty(), LOCK_VALIDATOR);
    for report in reports {
        assert!(report.event.context.contains(guilty), "{report}");
        assert!(report.event.site.file().ends_with("leavings.rs"), "{report}");
    }
    states
}

#[test]
fn r5_a_tasklet_leaves_nothing_to_the_next() {
    let states = check(r#"tasklet "guilty""#, |cpu, log| async move {
        let (inside, entries) = (cpu.clone(), log.clone());
        let guilty = cpu.tasklet("guilty", move |_| {
            entries.push(state(&inside));
            leave(&inside);
        });
        let inside = cpu.clone();
        let next = cpu.tasklet("next", move |_| log.push(state(&inside)));
        cpu.with_softirqs_off(|| {
            guilty.schedule();
            next.schedule();
        });
    });
    assert_eq!(states, [IN_SOFTIRQ; 2]);
}

#[test]
fn r5_a_tasklet_that_panics_leaves_nothing_to_the_next() {
    let kernel = kernel();
    let task = kernel.handle().spawn("test", |cpu| async move {
        let log = Log::new();
        let inside = cpu.clone();
        let guilty = cpu.tasklet("guilty", move |_| {
            leave(&inside);
            panic!("on purpose");
        });
        let (inside, entries) = (cpu.clone(), log.clone());
        let next = cpu.tasklet("next", move |_| entries.push(state(&inside)));
        cpu.with_softirqs_off(|| {
            guilty.schedule();
            next.schedule();
        });
        (log.take(), state(&cpu), guilty.panicked())
    });
    let told = (vec![IN_SOFTIRQ], IN_TASK, Some("on purpose".to_owned()));
    assert_eq!(block_on(task.unwrap()).unwrap(), told);
}

#[test]
fn r5_a_timer_leaves_nothing_to_the_next() {
    let states = check(r#"timer "guilty""#, |cpu, log| async move {
        let (inside, entries) = (cpu.clone(), log.clone());
        let guilty = cpu.timer("guilty", move |_| {
            entries.push(state(&inside));
            leave(&inside);
        });
        let inside = cpu.clone();
        let next = cpu.timer("next", move |_| log.push(state(&inside)));
        let due = cpu.jiffies() + 1;
        guilty.mod_timer(due);
        next.mod_timer(due);
        cpu.msleep(10).await;
    });
    assert_eq!(states, [IN_SOFTIRQ; 2]);
}

#[test]
fn r5_a_softirq_leaves_nothing_to_the_next() {
    let states = check("softirq NET_TX", |cpu, log| async move {
        let (inside, entries) = (cpu.clone(), log.clone());
        let _tx = cpu.open_softirq(Softirq::NetTx, move |_| {
            entries.push(state(&inside));
            leave(&inside);
        });
        let inside = cpu.clone();
        let _rx = cpu.open_softirq(Softirq::NetRx, move |_| log.push(state(&inside)));
        cpu.with_softirqs_off(|| {
            cpu.raise_softirq(Softirq::NetTx);
            cpu.raise_softirq(Softirq::NetRx);
        });
    });
    assert_eq!(states, [IN_SOFTIRQ; 2]);
}

#[test]
fn r5_a_handler_leaves_nothing_to_the_next_nor_to_its_softirqs() {
    let states = check(r#"irq handler "guilty""#, |cpu, log| async move {
        let line = cpu.kernel().irq_line("shared").unwrap();
        let (inside, entries) = (cpu.clone(), log.clone());
        let _rx = cpu.open_softirq(Softirq::NetRx, move |_| entries.push(state(&inside)));
        for name in ["guilty", "next"] {
            let (inside, entries) = (cpu.clone(), log.clone());
            let action = cpu.request_irq_with(&line, name, IrqOptions::new().shared(), move |irq| {
                entries.push(state(&inside));
                if name == "guilty" {
                    leave(&inside);
                    irq.raise_softirq(Softirq::NetRx);
                }
                IrqReturn::Handled
            });
            std::mem::forget(action);
        }
        line.trigger().unwrap();
        assert_eq!(log.len(), 3, "its softirq ran at the end of the interrupt");
    });
    assert_eq!(states, [IN_HANDLER, IN_HANDLER, IN_SOFTIRQ]);
}

#[test]
fn r5_a_threaded_handler_leaves_nothing_to_its_next_run() {
    let states = check(r#"threaded irq handler "guilty""#, |cpu, log| async move {
        let line = cpu.kernel().irq_line("device").unwrap();
        let first = Rc::new(Cell::new(true));
        let irq = cpu.request_threaded_irq(
            &line,
            "guilty",
            IrqOptions::new().oneshot(),
            |_| IrqReturn::WakeThread,
            move |cpu| {
                let (log, first) = (log.clone(), first.replace(false));
                async move {
                    log.push(state(&cpu));
                    cpu.yield_now().await;
                    if first {
                        leave(&cpu);
                    }
                    IrqReturn::Handled
                }
            },
        );
        for _ in 0..2 {
            line.trigger().unwrap();
            cpu.msleep(1).await;
        }
        drop(irq);
    });
    assert_eq!(states, [IN_TASK; 2]);
}

#[test]
fn r5_a_work_item_leaves_nothing_to_the_next() {
    let states = check(r#"work "guilty""#, |cpu, log| async move {
        let queue = cpu.alloc_ordered_workqueue("test");
        for name in ["guilty", "next"] {
            let log = log.clone();
            queue.queue_work(&cpu.work(name, move |cpu| {
                let log = log.clone();
                async move {
                    log.push(state(&cpu));
                    cpu.yield_now().await;
                    if name == "guilty" {
                        leave(&cpu);
                    }
                }
            }));
        }
        queue.flush(&cpu).await;
    });
    assert_eq!(states, [IN_TASK; 2]);
}

#[test]
fn r5_a_work_item_that_panics_leaves_nothing_to_the_next() {
    let kernel = kernel();
    let task = kernel.handle().spawn("test", |cpu| async move {
        let (log, queue) = (Log::new(), cpu.alloc_ordered_workqueue("test"));
        let guilty = cpu.work("guilty", |cpu| async move {
            leave(&cpu);
            panic!("on purpose");
        });
        let entries = log.clone();
        let next = cpu.work("next", move |cpu| {
            entries.push(state(&cpu));
            async {}
        });
        queue.queue_work(&guilty);
        queue.queue_work(&next);
        queue.flush(&cpu).await;
        (log.take(), guilty.panicked())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (vec![IN_TASK], Some("on purpose".to_owned())));
}

#[test]
fn r5_what_the_drop_of_a_callback_leaves_is_put_right_too() {
    struct Leave(Cpu);
    impl Drop for Leave {
        fn drop(&mut self) {
            leave(&self.0);
        }
    }
    let kernel = kernel();
    let task = kernel.handle().spawn("test", |cpu| async move {
        let (log, leaves) = (Log::new(), Leave(cpu.clone()));
        // Dropped when it has panicked.
        let guilty = cpu.tasklet("guilty", move |_| {
            let _keep = &leaves;
            panic!("on purpose");
        });
        let (inside, entries) = (cpu.clone(), log.clone());
        let next = cpu.tasklet("next", move |_| entries.push(state(&inside)));
        cpu.with_softirqs_off(|| {
            guilty.schedule();
            next.schedule();
        });
        (log.take(), state(&cpu))
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (vec![IN_SOFTIRQ], IN_TASK));
}
