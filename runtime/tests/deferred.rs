//! What handlers put off: softirqs and their bounds, tasklets. R8.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use airlift_runtime::{Clock, Completion, Cpu, IrqReturn, JoinError, Kernel, Softirq, Tasklet};
use common::{Log, kernel, on_kernel};
use futures::executor::block_on;

const MS: Duration = Duration::from_millis(1);

async fn settle(cpu: &Cpu) {
    for _ in 0..6 {
        cpu.yield_now().await;
    }
}

// ---- softirqs --------------------------------------------------------------------------------------------------

#[test]
fn r8_after_ten_passes_ksoftirqd_goes_on_in_turns_with_the_tasks() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |softirq| {
            count.set(count.get() + 1);
            if count.get() < 35 {
                softirq.raise_softirq(Softirq::NetRx);
            }
        });
        let _irq = cpu.request_irq(&line, "test", |irq| {
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        let mut seen = vec![runs.get()];
        // What ksoftirqd has taken over, no interrupt does meanwhile.
        line.trigger().unwrap();
        seen.push(runs.get());
        for _ in 0..4 {
            cpu.yield_now().await;
            seen.push(runs.get());
        }
        let stats = cpu.kernel().stats();
        (seen, stats.task("ksoftirqd").map(|task| task.service))
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (vec![10, 10, 20, 30, 35, 35], Some(true)));
    assert!(kernel.shutdown_blocking().is_clean());
}

#[test]
fn r8_after_two_milliseconds_ksoftirqd_goes_on() {
    // Time passes within a softirq on the system clock only; it can pass faster than asked for, never slower.
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |softirq| {
            count.set(count.get() + 1);
            let begin = softirq.now();
            while softirq.now() - begin < MS {
                std::hint::spin_loop();
            }
            if count.get() < 8 {
                softirq.raise_softirq(Softirq::NetRx);
            }
        });
        let _irq = cpu.request_irq(&line, "test", |irq| {
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        let at_exit = runs.get();
        while runs.get() < 8 {
            cpu.yield_now().await;
        }
        at_exit
    });
    assert!(block_on(task.unwrap()).unwrap() <= 2);
}

#[test]
fn r8_what_ksoftirqd_has_caught_up_with_runs_at_the_end_of_interrupts_again() {
    on_kernel(|cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let (runs, left) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(20)));
        let (count, again) = (runs.clone(), left.clone());
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |softirq| {
            count.set(count.get() + 1);
            again.set(again.get() - 1);
            if again.get() > 0 {
                softirq.raise_softirq(Softirq::NetRx);
            }
        });
        let _irq = cpu.request_irq(&line, "test", |irq| {
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        assert_eq!(runs.get(), 10);
        settle(&cpu).await;
        assert_eq!((runs.get(), left.replace(1)), (20, 0));
        line.trigger().unwrap();
        assert_eq!(runs.get(), 21);
    });
}

#[test]
fn r8_a_softirq_never_breaks_into_another() {
    let log = on_kernel(|cpu| async move {
        let log = Log::new();
        let (entries, inside) = (log.clone(), cpu.clone());
        let _tx = cpu.open_softirq(Softirq::NetTx, move |_| {
            entries.push("tx begins");
            // The end of this would run what was raised, anywhere else.
            inside.with_softirqs_off(|| inside.raise_softirq(Softirq::NetRx));
            entries.push("tx ends");
        });
        let entries = log.clone();
        let _rx = cpu.open_softirq(Softirq::NetRx, move |_| entries.push("rx"));
        cpu.with_softirqs_off(|| cpu.raise_softirq(Softirq::NetTx));
        log.take()
    });
    assert_eq!(log, ["tx begins", "tx ends", "rx"]);
}

#[test]
fn r6_a_softirq_that_leaves_irqs_off_leaves_them_on_for_the_next() {
    let seen = on_kernel(|cpu| async move {
        let (off, looks, seen) = (cpu.clone(), cpu.clone(), Rc::new(Cell::new(None)));
        let _tx = cpu.open_softirq(Softirq::NetTx, move |_| off.local_irq_disable());
        let found = seen.clone();
        let _rx = cpu.open_softirq(Softirq::NetRx, move |_| found.set(Some(looks.irqs_enabled())));
        cpu.with_softirqs_off(|| {
            cpu.raise_softirq(Softirq::NetTx);
            cpu.raise_softirq(Softirq::NetRx);
        });
        (seen.get(), cpu.irqs_enabled())
    });
    assert_eq!(seen, (Some(true), true));
}

#[test]
fn r6_no_softirq_runs_within_a_handler_whatever_it_enables() {
    let log = on_kernel(|cpu| async move {
        let (line, log) = (cpu.kernel().irq_line("test").unwrap(), Log::new());
        let entries = log.clone();
        let _rx = cpu.open_softirq(Softirq::NetRx, move |_| entries.push("softirq"));
        let (entries, inside) = (log.clone(), cpu.clone());
        let _irq = cpu.request_irq(&line, "test", move |_| {
            inside.local_irq_enable();
            inside.with_softirqs_off(|| inside.raise_softirq(Softirq::NetRx));
            inside.local_irq_disable();
            entries.push("handler");
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        log.take()
    });
    assert_eq!(log, ["handler", "softirq"]);
}

#[test]
fn r8_a_softirq_raised_by_a_task_runs_without_any_interrupt() {
    let ran = on_kernel(|cpu| async move {
        let done = Rc::new(Completion::new());
        let complete = done.clone();
        let _softirq = cpu.open_softirq(Softirq::Block, move |_| complete.complete());
        cpu.raise_softirq(Softirq::Block);
        let before = done.is_done();
        done.wait(&cpu).await;
        (before, cpu.now())
    });
    assert_eq!(ran, (false, Duration::ZERO));
}

#[test]
fn r8_softirqs_put_off_run_at_the_outermost_enable() {
    let log = on_kernel(|cpu| async move {
        let log = Log::new();
        let entries = log.clone();
        let _softirq = cpu.open_softirq(Softirq::Block, move |_| entries.push("softirq"));
        cpu.with_softirqs_off(|| {
            cpu.with_softirqs_off(|| cpu.raise_softirq(Softirq::Block));
            log.push("still off");
        });
        log.push("on");
        // It needed nobody's help.
        assert!(cpu.kernel().stats().task("ksoftirqd").is_none());
        log.take()
    });
    assert_eq!(log, ["still off", "softirq", "on"]);
}

// ---- tasklets --------------------------------------------------------------------------------------------------

#[test]
fn r8_a_tasklet_is_scheduled_once_and_runs_once_after_the_handler() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let log = Log::new();
        let entries = log.clone();
        let low = cpu.tasklet("low", move |_| entries.push("low"));
        let entries = log.clone();
        let high = cpu.tasklet("high", move |_| entries.push("high"));
        let entries = log.clone();
        let _irq = cpu.request_irq(&line, "test", move |_| {
            assert_eq!((low.schedule(), low.schedule(), high.hi_schedule()), (true, false, true));
            entries.push("handler");
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        log.take()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), ["handler", "high", "low"]);
}

#[test]
fn r8_a_tasklet_scheduled_while_it_runs_runs_again_and_never_within_itself() {
    on_kernel(|cpu| async move {
        let log = Log::new();
        let own: Rc<RefCell<Option<Tasklet>>> = Rc::default();
        let (entries, again) = (log.clone(), own.clone());
        let tasklet = cpu.tasklet("self", move |_| {
            entries.push("begins");
            if entries.len() < 3 {
                let again = again.borrow();
                assert!(again.as_ref().unwrap().schedule());
            }
            entries.push("ends");
        });
        *own.borrow_mut() = Some(tasklet.clone());
        tasklet.schedule();
        tasklet.kill(&cpu).await;
        settle(&cpu).await;
        assert_eq!(log.take(), ["begins", "ends", "begins", "ends"]);
        own.borrow_mut().take();
    });
}

#[test]
fn r8_a_disabled_tasklet_waits_for_its_outermost_enable() {
    on_kernel(|cpu| async move {
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let tasklet = cpu.tasklet("test", move |_| count.set(count.get() + 1));
        tasklet.disable();
        tasklet.disable();
        tasklet.schedule();
        settle(&cpu).await;
        tasklet.enable();
        settle(&cpu).await;
        assert_eq!((runs.get(), tasklet.is_scheduled()), (0, true));
        tasklet.enable();
        settle(&cpu).await;
        assert_eq!((runs.get(), tasklet.is_scheduled()), (1, false));
        // Disabled and enabled before its softirq came: once.
        tasklet.schedule();
        tasklet.disable();
        tasklet.enable();
        settle(&cpu).await;
        assert_eq!(runs.get(), 2);
    });
}

#[test]
fn r8_kill_waits_for_a_scheduled_tasklet_and_unschedules_a_disabled_one() {
    on_kernel(|cpu| async move {
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let tasklet = cpu.tasklet("test", move |_| count.set(count.get() + 1));
        tasklet.schedule();
        assert_eq!(runs.get(), 0);
        tasklet.kill(&cpu).await;
        assert_eq!(runs.get(), 1);
        tasklet.disable();
        tasklet.schedule();
        tasklet.kill(&cpu).await;
        tasklet.enable();
        settle(&cpu).await;
        assert_eq!(runs.get(), 1);
        // A dropped one does not run.
        tasklet.schedule();
        drop(tasklet);
        settle(&cpu).await;
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn r12_a_panic_in_a_tasklet_is_told_by_its_handle_and_the_others_run() {
    on_kernel(|cpu| async move {
        let bomb = cpu.tasklet("bomb", |_| panic!("on purpose"));
        let ran = Rc::new(Cell::new(false));
        let flag = ran.clone();
        let other = cpu.tasklet("other", move |_| flag.set(true));
        bomb.schedule();
        other.schedule();
        bomb.kill(&cpu).await;
        assert_eq!(
            (bomb.panicked().as_deref(), ran.get(), bomb.schedule()),
            (Some("on purpose"), true, false)
        );
    });
}

#[test]
fn r8_enabling_a_tasklet_more_often_than_it_was_disabled_is_refused() {
    let kernel = kernel();
    let task = kernel.handle().spawn("confused", |cpu| async move {
        let tasklet = cpu.tasklet("test", |_| {});
        tasklet.disable();
        tasklet.enable();
        tasklet.enable();
    });
    let Err(JoinError::Panicked(message)) = block_on(task.unwrap()) else { panic!("it went through") };
    assert!(message.contains("more often than it was disabled"), "{message}");
}

#[test]
fn r8_a_tasklet_that_was_taken_off_one_queue_runs_in_the_turn_of_the_other() {
    let order = on_kernel(|cpu| async move {
        let log = Log::new();
        let tasklet = |name: &'static str| {
            let log = log.clone();
            cpu.tasklet(name, move |_| log.push(name))
        };
        let (first, moved) = (tasklet("first"), tasklet("moved"));
        moved.disable();
        moved.hi_schedule();
        moved.kill(&cpu).await;
        moved.enable();
        first.schedule();
        moved.schedule();
        cpu.msleep(1).await;
        log.take()
    });
    assert_eq!(order, ["first", "moved"]);
}

#[test]
fn a5_a_cancelled_kill_leaves_a_scheduled_tasklet_to_run_and_a_disabled_one_off_the_schedule() {
    on_kernel(|cpu| async move {
        let (runs, waker) = (Rc::new(Cell::new(0)), std::task::Waker::noop());
        let count = runs.clone();
        let tasklet = cpu.tasklet("test", move |_| count.set(count.get() + 1));
        tasklet.schedule();
        let mut kill = Box::pin(tasklet.kill(&cpu));
        assert!(kill.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        drop(kill);
        assert!(tasklet.is_scheduled());
        settle(&cpu).await;
        assert_eq!(runs.get(), 1);
        tasklet.disable();
        tasklet.schedule();
        // Not polled, it has done nothing.
        drop(tasklet.kill(&cpu));
        assert!(tasklet.is_scheduled());
        let mut kill = Box::pin(tasklet.kill(&cpu));
        assert!(kill.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready());
        assert!(!tasklet.is_scheduled());
        tasklet.enable();
        settle(&cpu).await;
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn r8_a_tasklet_killed_while_disabled_and_scheduled_again_runs_once_wherever_it_was_queued() {
    on_kernel(|cpu| async move {
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let tasklet = cpu.tasklet("test", move |_| count.set(count.get() + 1));
        let forsake = |high: bool| {
            tasklet.disable();
            assert!(if high { tasklet.hi_schedule() } else { tasklet.schedule() });
            assert_eq!(futures::FutureExt::now_or_never(tasklet.kill(&cpu)), Some(()));
            tasklet.enable();
            assert!(!tasklet.is_scheduled());
        };
        for (before, after) in [(false, false), (false, true), (true, false), (true, true)] {
            cpu.with_softirqs_off(|| {
                forsake(before);
                assert!(if after { tasklet.hi_schedule() } else { tasklet.schedule() });
            });
            assert_eq!(runs.replace(0), 1, "{before} {after}");
            assert!(!tasklet.is_scheduled());
        }
        // One that is in the other queue still.
        cpu.with_softirqs_off(|| {
            forsake(true);
            forsake(false);
            assert!(tasklet.hi_schedule());
        });
        settle(&cpu).await;
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn r6_restoring_saved_disabled_takes_nothing_in_a_softirq_a_timer_or_a_handler() {
    let log = on_kernel(|cpu| async move {
        let (line, log) = (cpu.kernel().irq_line("pending").unwrap(), Log::new());
        let entries = log.clone();
        let _irq = cpu.request_irq(&line, "pending", move |_| {
            entries.push("taken");
            IrqReturn::Handled
        });
        // Something is pending that would be taken at once if IRQs were on for an instant.
        let nested = {
            let (cpu, log) = (cpu.clone(), log.clone());
            move |what: &'static str| {
                log.push(what);
                let outer = cpu.local_irq_save();
                line.trigger().unwrap();
                let inner = cpu.local_irq_save();
                cpu.local_irq_restore(inner);
                cpu.with_irqs_off(|| {});
                cpu.cpu_relax();
                log.push("inner restored");
                cpu.local_irq_restore(outer);
                log.push("outer restored");
                // From on, with another pending.
                line.trigger().unwrap();
                cpu.local_irq_restore(inner);
                assert!(!cpu.irqs_enabled());
                line.trigger().unwrap();
                log.push("saved-disabled again");
                cpu.local_irq_restore(outer);
            }
        };
        let within = nested.clone();
        let _rx = cpu.open_softirq(Softirq::NetRx, move |_| within("softirq"));
        cpu.with_softirqs_off(|| cpu.raise_softirq(Softirq::NetRx));
        let within = nested.clone();
        let timer = cpu.timer("test", move |_| within("timer"));
        timer.mod_timer(cpu.jiffies() + 1);
        cpu.msleep(5).await;
        let (device, within) = (cpu.kernel().irq_line("device").unwrap(), nested);
        let _device = cpu.request_irq(&device, "device", move |_| {
            within("handler");
            IrqReturn::Handled
        });
        device.trigger().unwrap();
        log.take()
    });
    let (softirq, rest) = log.split_at(7);
    let (timer, handler) = rest.split_at(7);
    let open = ["inner restored", "taken", "outer restored", "taken", "saved-disabled again", "taken"];
    assert_eq!((softirq[0], &softirq[1..]), ("softirq", &open[..]));
    assert_eq!((timer[0], &timer[1..]), ("timer", &open[..]));
    // There is no outermost restore in a handler: its own end is.
    assert_eq!(handler, ["handler", "inner restored", "outer restored", "saved-disabled again", "taken"]);
}
