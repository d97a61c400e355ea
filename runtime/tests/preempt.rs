//! The entry protocol and preemption: R7; a kernel unit test from a host thread, and recursion.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use airlift_runtime::{Cpu, CpuContext, IrqReturn, Kernel, Softirq, SpinLock};
use common::{Log, kernel, on_kernel, receive};
use futures::executor::block_on;

/// A line whose handler makes another task ready; the task, once it ran.
fn waking_line(cpu: &Cpu) -> (impl Fn() + use<>, airlift_runtime::IrqAction, Rc<Cell<bool>>) {
    let line = cpu.kernel().irq_line("waking").unwrap();
    let (ran, in_handler) = (Rc::new(Cell::new(false)), cpu.clone());
    let flag = ran.clone();
    let action = cpu
        .request_irq(&line, "waking", move |_| {
            let flag = flag.clone();
            drop(in_handler.spawn("woken", move |_| async move { flag.set(true) }));
            IrqReturn::Handled
        })
        .unwrap();
    (move || line.trigger().unwrap(), action, ran)
}

#[test]
fn r7_an_interrupt_goes_in_and_out_by_the_protocol() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("interrupted", move |cpu| async move {
        let log = Log::new();
        let note = {
            let (cpu, log) = (cpu.clone(), log.clone());
            move |what: &'static str| {
                log.push((what, cpu.preempt_count(), cpu.irqs_enabled(), cpu.need_resched()));
            }
        };
        let (in_handler, spawner) = (note.clone(), cpu.clone());
        let _irq = cpu.request_irq(&line, "test", move |irq| {
            in_handler("handler");
            irq.raise_softirq(Softirq::NetRx);
            drop(spawner.spawn("woken", |_| async {}));
            IrqReturn::Handled
        });
        let in_softirq = note.clone();
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| in_softirq("softirq"));
        note("before");
        line.trigger().unwrap();
        note("after");
        log.take()
    });
    assert_eq!(
        block_on(task.unwrap()).unwrap(),
        [
            ("before", 0, true, false),
            // irqentry_enter, irq_enter
            ("handler", 0x10000, false, false),
            // irq_exit
            ("softirq", 0x100, true, false),
            // irqentry_exit and undo
            ("after", 0, true, true),
        ]
    );
}

#[test]
fn r7_every_context_knows_what_it_is() {
    let seen = on_kernel(|cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let log = Log::new();
        let note = {
            let (cpu, log) = (cpu.clone(), log.clone());
            move |what: &'static str| log.push((what, cpu.in_task(), cpu.in_interrupt(), cpu.in_hardirq()))
        };
        let in_handler = note.clone();
        let _irq = cpu.request_irq(&line, "test", move |irq| {
            in_handler("handler");
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        let in_softirq = note.clone();
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| in_softirq("softirq"));
        note("task");
        line.trigger().unwrap();
        cpu.with_softirqs_off(|| note("softirqs off"));
        cpu.kernel().nmi(|_| note("nmi"));
        cpu.with_irqs_off(|| note("irqs off"));
        log.take()
    });
    assert_eq!(
        seen,
        [
            ("task", true, false, false),
            ("handler", false, true, true),
            ("softirq", false, true, false),
            ("softirqs off", true, true, false),
            ("nmi", false, true, false),
            ("irqs off", true, false, false),
        ]
    );
}

#[test]
fn r7_what_an_interrupt_broke_into_is_put_aside_and_put_back() {
    let kernel = kernel();
    let task = kernel.handle().spawn("interrupted", |cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let (log, lock) = (Log::new(), SpinLock::new("held", ()));
        let look = {
            let (cpu, log) = (cpu.clone(), log.clone());
            move || log.push((cpu.preempt_count(), cpu.kernel().nmi(|nmi| nmi.context())))
        };
        let in_handler = look.clone();
        let _irq = cpu.request_irq(&line, "test", move |_| {
            in_handler();
            IrqReturn::Handled
        });
        let (in_softirq, again) = (look.clone(), line.clone());
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| {
            again.trigger().unwrap();
            in_softirq();
        });
        lock.with(&cpu, |()| {
            line.trigger().unwrap();
            look();
        });
        cpu.with_softirqs_off(|| cpu.raise_softirq(Softirq::NetRx));
        look();
        log.take()
    });
    let softirq = CpuContext::Softirq(Softirq::NetRx);
    assert_eq!(
        block_on(task.unwrap()).unwrap(),
        [
            (0x10000, CpuContext::HardIrq(1)),
            // The lock is the task's again.
            (1, CpuContext::Task),
            (0x10100, CpuContext::HardIrq(1)),
            (0x100, softirq),
            (0, CpuContext::Task),
        ]
    );
    assert_eq!(kernel.handle().stats().suspended_with_lock, 0);
}

#[test]
fn r7_an_interrupt_within_a_poll_sets_need_resched_which_cond_resched_obeys() {
    let (before, after, ran, again) = on_kernel(|cpu| async move {
        let (trigger, _irq, ran) = waking_line(&cpu);
        let before = cpu.need_resched();
        trigger();
        let after = cpu.need_resched();
        cpu.cond_resched().await;
        (before, after, ran.get(), cpu.need_resched())
    });
    assert_eq!((before, after, ran, again), (false, true, true, false));
}

#[test]
fn r7_an_interrupt_that_makes_nobody_ready_asks_for_no_rescheduling() {
    let asked = on_kernel(|cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let _irq = cpu.request_irq(&line, "test", |_| IrqReturn::Handled);
        line.trigger().unwrap();
        cpu.need_resched()
    });
    assert!(!asked);
}

#[test]
fn r7_a_preempt_count_above_zero_puts_preemption_off_until_it_is_zero() {
    let seen = on_kernel(|cpu| async move {
        let (trigger, _irq, _ran) = waking_line(&cpu);
        let mut seen = Vec::new();
        let inside = cpu.with_preempt_off(|| {
            trigger();
            (cpu.preempt_count(), cpu.need_resched())
        });
        seen.push((inside, cpu.need_resched()));
        cpu.yield_now().await;
        let inside = cpu.with_softirqs_off(|| {
            trigger();
            (cpu.preempt_count(), cpu.need_resched())
        });
        seen.push((inside, cpu.need_resched()));
        cpu.yield_now().await;
        let lock = SpinLock::new("test", ());
        let inside = lock.with(&cpu, |()| {
            trigger();
            (cpu.preempt_count(), cpu.need_resched())
        });
        cpu.cond_resched().await;
        seen.push((inside, true));
        seen
    });
    assert_eq!(seen, [((1, false), true), ((0x200, false), true), ((1, false), true)]);
}

#[test]
fn r7_between_polls_the_executor_chooses_the_next_task_after_the_interrupt() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let log = Log::new();
        let (entries, spawner) = (log.clone(), cpu.clone());
        let _irq = cpu.request_irq(&line, "test", move |_| {
            entries.push(("handler", spawner.task_name()));
            let entries = entries.clone();
            drop(spawner.spawn("woken", move |cpu| async move { entries.push(("woken", cpu.task_name())) }));
            IrqReturn::Handled
        });
        // Raised with IRQs off, so that the interrupt comes between this turn and the next one.
        cpu.local_irq_disable();
        line.trigger().unwrap();
        let entries = log.clone();
        drop(cpu.spawn("first", move |_| async move { entries.push(("first", None)) }));
        cpu.yield_now().await;
        cpu.local_irq_enable();
        cpu.yield_now().await;
        assert!(!cpu.need_resched());
        log.take()
    });
    let log = block_on(task.unwrap()).unwrap();
    let order: Vec<_> = log.iter().map(|(what, _)| *what).collect();
    assert_eq!(order, ["handler", "first", "woken"]);
    // It broke into no task.
    assert_eq!(log[0].1, None);
}

#[test]
fn r7_a_turn_that_ends_with_preemption_off_is_reported_and_harms_nobody() {
    let kernel = kernel();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let (left_off, other) = (cpu.clone(), cpu.clone());
        let bad = cpu.spawn("bad", move |_| async move {
            let yields = left_off.yield_now();
            // A future that is polled with preemption off, and suspends so.
            let mut yields = std::pin::pin!(yields);
            std::future::poll_fn(|cx| left_off.with_preempt_off(|| yields.as_mut().poll(cx))).await;
        });
        bad.await.unwrap();
        other.preempt_count()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), 0);
}

#[test]
fn r3_a_host_thread_triggers_while_the_last_task_has_irqs_off() {
    // In the shape of a kernel unit test: no context but the thread's own.
    let kernel = Kernel::builder().name("kunit").build().unwrap();
    let handle = kernel.handle();
    let line = handle.irq_line("kunit").unwrap();
    let (ran, runs) = mpsc::channel();
    let for_handler = line.clone();
    let (suspended, is_suspended) = mpsc::channel();
    let task = handle.spawn("irqs off", move |cpu| async move {
        let _irq = cpu.request_irq(&for_handler, "kunit", move |_| {
            ran.send((thread::current().id(), Instant::now())).unwrap();
            IrqReturn::Handled
        });
        suspended.send(thread::current().id()).unwrap();
        cpu.local_irq_disable();
        std::future::pending::<()>().await;
    });
    let kernel_thread = receive(&is_suspended);
    // Until it says so, the poll with IRQs off may still be in progress.
    while !handle.stats().task("irqs off").is_some_and(|task| task.irqs_off) {
        thread::yield_now();
    }
    let triggered = thread::spawn(move || {
        let at = Instant::now();
        line.trigger().unwrap();
        (thread::current().id(), at)
    });
    let (host_thread, at) = triggered.join().unwrap();
    let (handler_thread, ran_at) = receive(&runs);
    assert_ne!(handler_thread, host_thread);
    assert_eq!(handler_thread, kernel_thread);
    assert!(ran_at - at < Duration::from_millis(500), "{:?}", ran_at - at);
    kernel.shutdown_blocking();
    assert!(runs.try_recv().is_err(), "the handler runs exactly once");
    drop(task);
}

#[test]
#[cfg_attr(miri, ignore = "addresses tell nothing of the stack there")]
fn r3_the_recursion_of_triggers_stays_within_two_levels_of_stack() {
    /// Where the stack is now, as a number.
    #[inline(never)]
    fn depth() -> usize {
        let here = 0u8;
        std::ptr::from_ref(&here).addr()
    }
    const ROUNDS: u32 = 10_000;
    let kernel = kernel();
    let line = kernel.handle().irq_line("ping").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let rounds = Rc::new(Cell::new(0u32));
        let deepest = Rc::new(RefCell::new([usize::MAX; 2]));
        let stack = deepest.clone();
        let _irq = cpu.request_irq(&line, "ping", move |irq| {
            let now = depth().min(stack.borrow()[0]);
            stack.borrow_mut()[0] = now;
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        let (stack, again, count) = (deepest.clone(), line.clone(), rounds.clone());
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| {
            let now = depth().min(stack.borrow()[1]);
            stack.borrow_mut()[1] = now;
            count.set(count.get() + 1);
            if count.get() < ROUNDS {
                again.trigger().unwrap();
            }
        });
        let here = depth();
        line.trigger().unwrap();
        while rounds.get() < ROUNDS {
            cpu.yield_now().await;
        }
        let deepest = *deepest.borrow();
        deepest.map(|deep| here.saturating_sub(deep))
    });
    let used = block_on(task.unwrap()).unwrap();
    assert!(used.iter().all(|&bytes| bytes < 64 * 1024), "{used:?}");
}
