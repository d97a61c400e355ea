//! Interrupts: R2 to R6 as far as they are of lines, handlers and the flag; R14.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use airlift_runtime::{IrqError, IrqOptions, IrqReturn, KernelGone, Softirq};
use common::{Log, kernel, on_kernel, receive};
use futures::StreamExt;
use futures::executor::block_on;

#[test]
fn r2_a_storm_coalesces_and_every_edge_is_accounted_for() {
    const THREADS: u64 = 4;
    const EDGES: u64 = if cfg!(miri) { 20 } else { 20_000 };
    let kernel = kernel();
    let handle = kernel.handle();
    let line = handle.irq_line("storm").unwrap();
    let number = line.number();
    let (done, is_done) = mpsc::channel();
    let for_handler = line.clone();
    let task = handle
        .spawn("driver", move |cpu| async move {
            let runs = Rc::new(Cell::new(0u64));
            let count = runs.clone();
            let _irq = cpu.request_irq(&for_handler, "storm", move |_| {
                count.set(count.get() + 1);
                IrqReturn::Handled
            });
            let mut edges = for_handler.edges();
            done.send(()).unwrap();
            let mut seen = 0;
            while seen < THREADS * EDGES {
                seen += edges.next().await.unwrap();
            }
            runs.get()
        })
        .unwrap();
    receive(&is_done);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EDGES).for_each(|_| line.trigger().unwrap()));
        }
    });
    let runs = block_on(task).unwrap();
    let stats = handle.stats();
    let stats = stats.line(number).unwrap();
    // Against what the threads have done and what the handler has seen.
    let told = (stats.raised, stats.delivered, stats.coalesced, stats.pending);
    assert_eq!(told, (THREADS * EDGES, runs, THREADS * EDGES - runs, false));
}

#[test]
fn r2_a_pending_line_holds_one_token_however_often_it_is_raised() {
    const EDGES: u64 = if cfg!(miri) { 100 } else { 100_000 };
    let kernel = kernel();
    let handle = kernel.handle();
    let line = handle.irq_line("storm").unwrap();
    let (host, kernel_side) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (host_2, kernel_2, for_handler) = (host.clone(), kernel_side.clone(), line.clone());
    let task = handle
        .spawn("driver", move |cpu| async move {
            let runs = Rc::new(Cell::new(0u64));
            let count = runs.clone();
            let _irq = cpu.request_irq(&for_handler, "storm", move |_| {
                count.set(count.get() + 1);
                IrqReturn::Handled
            });
            cpu.with_irqs_off(|| {
                host_2.wait();
                kernel_2.wait();
                assert_eq!(runs.get(), 0);
            });
            runs.get()
        })
        .unwrap();
    host.wait();
    (0..EDGES).for_each(|_| line.trigger().unwrap());
    kernel_side.wait();
    assert_eq!(block_on(task).unwrap(), 1);
    let stats = handle.stats();
    let stats = stats.line(line.number()).unwrap();
    assert_eq!((stats.raised, stats.delivered, stats.coalesced), (EDGES, 1, EDGES - 1));
}

#[test]
fn r2_trigger_fails_after_the_shutdown() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("late").unwrap();
    line.trigger().unwrap();
    kernel.shutdown_blocking();
    assert_eq!(line.trigger(), Err(KernelGone));
}

#[test]
fn r2_lines_are_allocated_or_requested_by_number() {
    let kernel = kernel();
    let handle = kernel.handle();
    let first = handle.irq_line("first").unwrap();
    let ninth = handle.irq_line_at(9, "ninth").unwrap();
    let second = handle.irq_line("second").unwrap();
    assert_eq!((first.number(), second.number(), ninth.number()), (1, 2, 9));
    assert_eq!(handle.irq_line_at(9, "again").unwrap().name(), "ninth");
    drop(first);
    assert_eq!(handle.irq_line("reuses the number").unwrap().number(), 1);
}

#[test]
fn r2_a_token_that_was_sent_twice_interrupts_once() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("replayed").unwrap();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let _irq = cpu.request_irq(&line, "replayed", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        cpu.with_irqs_off(|| {
            cpu.disable_irq_nosync(&line).unwrap();
            line.trigger().unwrap();
            // Its token is still queued when the line is enabled, which asks for a replay.
            cpu.enable_irq(&line).unwrap();
            assert_eq!(runs.get(), 0);
        });
        runs.get()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), 1);
}

#[test]
fn r2_a_line_that_was_freed_stays_pending_until_it_is_requested_again() {
    on_kernel(|cpu| async move {
        let line = cpu.kernel().irq_line("freed").unwrap();
        let handled = |_: &mut airlift_runtime::HardIrq<'_>| IrqReturn::Handled;
        let stats = |cpu: &airlift_runtime::Cpu| {
            let stats = cpu.kernel().stats();
            let line = stats.line(1).unwrap();
            (line.raised, line.delivered, line.unhandled)
        };
        drop(cpu.request_irq(&line, "first", handled));
        line.trigger().unwrap();
        assert!(line.is_pending());
        assert_eq!(stats(&cpu), (1, 0, 0));
        let _irq = cpu.request_irq(&line, "second", handled);
        assert!(!line.is_pending());
        assert_eq!(stats(&cpu), (1, 1, 0));
    });
}

#[test]
fn r2_a_line_that_is_raised_before_it_is_requested_interrupts_then() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("early").unwrap();
    line.trigger().unwrap();
    let requested = line.clone();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        cpu.yield_now().await;
        let ran = Rc::new(Cell::new(0));
        let count = ran.clone();
        let _irq = cpu.request_irq(&requested, "early", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        ran.get()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), 1);
    assert!(!line.is_pending());
}

#[test]
fn r2_a_line_is_requested_once_on_its_own_kernel_and_the_timers_by_nobody() {
    let other = kernel();
    let foreign = other.handle().irq_line("foreign").unwrap();
    let kernel = kernel();
    let line = kernel.handle().irq_line("mine").unwrap();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let first = cpu.request_irq(&line, "first", |_| IrqReturn::Handled).unwrap();
        let second = cpu.request_irq(&line, "second", |_| IrqReturn::Handled).unwrap_err();
        drop(first);
        let third = cpu.request_irq(&line, "third", |_| IrqReturn::Handled).map(drop);
        let foreign = cpu.request_irq(&foreign, "foreign", |_| IrqReturn::Handled).unwrap_err();
        let timer = cpu.kernel().irq_line_at(0, "mine").unwrap();
        let busy = IrqError::Busy { number: 0, owner: "timer".into() };
        assert_eq!(cpu.request_irq(&timer, "fourth", |_| IrqReturn::Handled).unwrap_err(), busy);
        assert_eq!(cpu.disable_irq_nosync(&timer), Err(busy));
        (second, third, foreign)
    });
    let (second, third, foreign) = block_on(task.unwrap()).unwrap();
    assert_eq!(second, IrqError::Busy { number: 1, owner: "first".into() });
    assert_eq!(third, Ok(()));
    assert_eq!(foreign, IrqError::ForeignLine { number: 1 });
}

#[test]
fn r3_a_kernel_caller_with_irqs_on_has_its_handler_run_before_trigger_returns() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("caller", move |cpu| async move {
        let ran = Rc::new(Cell::new(0));
        let count = ran.clone();
        let _irq = cpu.request_irq(&line, "counter", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        ran.get()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), 1);
}

#[test]
fn r3_a_kernel_caller_with_irqs_off_has_its_handler_run_at_the_outermost_restore() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("caller", move |cpu| async move {
        let ran = Rc::new(Cell::new(0));
        let count = ran.clone();
        let _irq = cpu.request_irq(&line, "counter", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        let outer = cpu.local_irq_save();
        let inner = cpu.local_irq_save();
        line.trigger().unwrap();
        let at_trigger = ran.get();
        cpu.local_irq_restore(inner);
        let at_inner = ran.get();
        cpu.local_irq_restore(outer);
        (at_trigger, at_inner, ran.get())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (0, 0, 1));
}

#[test]
fn r3_a_host_token_waits_for_the_outermost_enable_of_the_poll_in_progress() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let (to_host, at_host) = mpsc::channel();
    let (to_kernel, at_kernel) = mpsc::channel();
    let for_handler = line.clone();
    let task = kernel.handle().spawn("busy", move |cpu| async move {
        let ran = Rc::new(Cell::new(0));
        let count = ran.clone();
        let _irq = cpu.request_irq(&for_handler, "test", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        let outer = cpu.local_irq_save();
        to_host.send(()).unwrap();
        receive(&at_kernel);
        cpu.cpu_relax();
        let inner = cpu.local_irq_save();
        cpu.local_irq_restore(inner);
        let before = ran.get();
        cpu.local_irq_restore(outer);
        (before, ran.get())
    });
    receive(&at_host);
    line.trigger().unwrap();
    to_kernel.send(()).unwrap();
    assert_eq!(block_on(task.unwrap()).unwrap(), (0, 1));
}

#[test]
fn r3_a_host_token_waits_for_the_end_of_the_poll_in_progress_and_no_longer() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let (to_host, at_host) = mpsc::channel();
    let (to_kernel, at_kernel) = mpsc::channel();
    let for_handler = line.clone();
    let task = kernel.handle().spawn("parent", move |cpu| async move {
        let log = Log::new();
        let entries = log.clone();
        let _irq = cpu.request_irq(&for_handler, "test", move |_| {
            entries.push("handler");
            IrqReturn::Handled
        });
        let entries = log.clone();
        let off = cpu.spawn("off", move |cpu| async move {
            cpu.local_irq_disable();
            to_host.send(()).unwrap();
            receive(&at_kernel);
            entries.push("poll with IRQs off");
            cpu.yield_now().await;
            // Its own flag moved with it.
            assert!(!cpu.irqs_enabled());
            cpu.local_irq_enable();
        });
        let entries = log.clone();
        let other = cpu.spawn("other", move |_| async move { entries.push("other task") });
        other.await.unwrap();
        off.await.unwrap();
        log.take()
    });
    receive(&at_host);
    line.trigger().unwrap();
    to_kernel.send(()).unwrap();
    assert_eq!(block_on(task.unwrap()).unwrap(), ["poll with IRQs off", "handler", "other task"]);
}

#[test]
fn r3_a_suspended_tasks_flag_defers_no_host_token() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let (ready, is_ready) = mpsc::channel();
    let (handled, is_handled) = mpsc::channel();
    let for_handler = line.clone();
    let sleeper = kernel.handle().spawn("sleeper", move |cpu| async move {
        cpu.local_irq_disable();
        std::future::pending::<()>().await;
    });
    let handler = kernel.handle().spawn("handler", move |cpu| async move {
        let _irq = cpu.request_irq(&for_handler, "test", move |_| {
            handled.send(()).unwrap();
            IrqReturn::Handled
        });
        ready.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    receive(&is_ready);
    assert!(kernel.handle().stats().task("sleeper").unwrap().irqs_off);
    line.trigger().unwrap();
    receive(&is_handled);
    drop((sleeper, handler));
}

#[test]
fn r3_in_a_handler_another_line_runs_after_it_and_its_own_exactly_once_more() {
    let kernel = kernel();
    let (a, b) = (kernel.handle().irq_line("a").unwrap(), kernel.handle().irq_line("b").unwrap());
    // The lines live as long as their handles.
    let lines = [a.clone(), b.clone()];
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let log = Log::new();
        let (entries, again, other) = (log.clone(), a.clone(), b.clone());
        let mut first = true;
        let _a = cpu.request_irq(&a, "a", move |_| {
            entries.push("a begins");
            if std::mem::take(&mut first) {
                other.trigger().unwrap();
                again.trigger().unwrap();
                again.trigger().unwrap();
                again.trigger().unwrap();
            }
            entries.push("a ends");
            IrqReturn::Handled
        });
        let entries = log.clone();
        let _b = cpu.request_irq(&b, "b", move |_| {
            entries.push("b");
            IrqReturn::Handled
        });
        a.trigger().unwrap();
        log.take()
    });
    let log = block_on(task.unwrap()).unwrap();
    assert_eq!(log, ["a begins", "a ends", "b", "a begins", "a ends"]);
    let stats = kernel.handle().stats();
    let counts = lines.map(|line| {
        let line = stats.line(line.number()).unwrap();
        (line.raised, line.delivered, line.coalesced, line.pending)
    });
    assert_eq!(counts, [(4, 2, 2, false), (1, 1, 0, false)]);
}

#[test]
fn r3_trigger_irq_softirq_trigger_ends_in_bounded_stack() {
    const ROUNDS: u32 = if cfg!(miri) { 100 } else { 100_000 };
    let kernel = kernel();
    let line = kernel.handle().irq_line("ping").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let log = Log::new();
        let rounds = Rc::new(Cell::new(0u32));
        let entries = log.clone();
        let _irq = cpu.request_irq(&line, "ping", move |irq| {
            entries.push("irq");
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        let (entries, again, count) = (log.clone(), line.clone(), rounds.clone());
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| {
            entries.push("softirq");
            count.set(count.get() + 1);
            if count.get() < ROUNDS {
                again.trigger().unwrap();
            }
        });
        line.trigger().unwrap();
        let when_trigger_returned = rounds.get();
        while rounds.get() < ROUNDS {
            cpu.yield_now().await;
        }
        (when_trigger_returned, log.take().chunks(2).all(|pair| pair == ["irq", "softirq"]))
    });
    // Ten passes, as Linux has it, and the caller goes on.
    assert_eq!(block_on(task.unwrap()).unwrap(), (10, true));
}

#[test]
fn r6_restore_sets_what_was_saved_and_never_enables_on_the_way() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("caller", move |cpu| async move {
        let ran = Rc::new(Cell::new(0));
        let count = ran.clone();
        let _irq = cpu.request_irq(&line, "counter", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        let on = cpu.local_irq_save();
        let off = cpu.local_irq_save();
        line.trigger().unwrap();
        // Restoring "off" from off.
        cpu.local_irq_restore(off);
        assert_eq!((ran.get(), cpu.irqs_enabled()), (0, false));
        // Restoring "on" from off.
        cpu.local_irq_restore(on);
        assert_eq!((ran.get(), cpu.irqs_enabled()), (1, true));
        // Restoring "off" from on.
        cpu.local_irq_restore(off);
        assert!(!cpu.irqs_enabled());
        line.trigger().unwrap();
        assert_eq!(ran.get(), 1);
        cpu.local_irq_enable();
        assert_eq!(ran.get(), 2);
        // The closure restores, should it panic too.
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cpu.with_irqs_off(|| panic!("on purpose"));
        }));
        assert!(caught.is_err() && cpu.irqs_enabled());
    });
    block_on(task.unwrap()).unwrap();
}

#[test]
fn r6_nothing_in_a_handler_opens_a_window_and_irqs_left_on_are_forced_off() {
    let kernel = kernel();
    let (a, b) = (kernel.handle().irq_line("a").unwrap(), kernel.handle().irq_line("b").unwrap());
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let log = Log::new();
        let (entries, other, in_handler) = (log.clone(), b.clone(), cpu.clone());
        let _a = cpu.request_irq(&a, "a", move |_| {
            assert!(!in_handler.irqs_enabled());
            other.trigger().unwrap();
            let flags = in_handler.local_irq_save();
            in_handler.local_irq_restore(flags);
            in_handler.cpu_relax();
            in_handler.local_irq_enable();
            in_handler.cpu_relax();
            entries.push("a ends");
            IrqReturn::Handled
        });
        let (entries, in_handler) = (log.clone(), cpu.clone());
        let _b = cpu.request_irq(&b, "b", move |_| {
            entries.push(if in_handler.irqs_enabled() { "b with IRQs on" } else { "b" });
            IrqReturn::Handled
        });
        a.trigger().unwrap();
        (log.take(), cpu.irqs_enabled())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (vec!["a ends", "b"], true));
    assert_eq!(kernel.handle().stats().handler_left_irqs_on, 1);
}

#[test]
fn free_irq_within_the_handler_itself_frees_the_line() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("once").unwrap();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let runs = Rc::new(Cell::new(0));
        let action = Rc::new(Cell::new(None));
        let (count, own) = (runs.clone(), action.clone());
        action.set(Some(cpu.request_irq(&line, "once", move |_| {
            count.set(count.get() + 1);
            drop(own.take());
            IrqReturn::Handled
        })));
        line.trigger().unwrap();
        line.trigger().unwrap();
        runs.get()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), 1);
}

#[test]
fn r14_a_line_is_a_stream_of_counted_edges_for_several_readers_on_any_thread() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("edges").unwrap();
    let (mut first, mut second) = (line.edges(), line.edges());
    line.trigger().unwrap();
    assert_eq!(block_on(first.next()), Some(1));
    // Edges that were coalesced count: two more, with IRQs off in between.
    let coalesced = line.clone();
    let task = kernel.handle().spawn("raiser", move |cpu| async move {
        cpu.with_irqs_off(|| (0..2).for_each(|_| coalesced.trigger().unwrap()));
    });
    block_on(task.unwrap()).unwrap();
    assert_eq!(block_on(first.next()), Some(2));
    let mut seen = 0;
    while seen < 3 {
        seen += block_on(second.next()).unwrap();
    }
    assert_eq!(seen, 3);
    kernel.shutdown_blocking();
    assert_eq!(block_on(first.next()), None);
}

#[test]
fn r14_a_kernel_task_awaits_a_line() {
    let edges = on_kernel(|cpu| async move {
        let line = cpu.kernel().irq_line("self").unwrap();
        let mut edges = line.edges();
        let raiser = cpu.spawn("raiser", move |cpu| async move {
            for _ in 0..3 {
                cpu.msleep(1).await;
                line.trigger().unwrap();
            }
        });
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push((edges.next().await.unwrap(), cpu.jiffies()));
        }
        raiser.await.unwrap();
        seen
    });
    assert_eq!(edges, [(1, 1), (1, 2), (1, 3)]);
}

#[test]
fn a5_a_cancelled_next_edge_loses_no_edge() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("edges").unwrap();
    let mut edges = line.edges();
    {
        let mut next = std::pin::pin!(edges.next());
        let waker = futures::task::noop_waker();
        assert!(next.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        line.trigger().unwrap();
    }
    assert_eq!(block_on(edges.next()), Some(1));
}

#[test]
fn r6_a_handler_that_leaves_irqs_on_opens_no_window_for_the_next_one_of_its_line() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("shared").unwrap();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let shared = IrqOptions::new().shared();
        let in_handler = cpu.clone();
        let _first = cpu.request_irq_with(&line, "first", shared, move |_| {
            in_handler.local_irq_enable();
            IrqReturn::Handled
        });
        let (seen, in_handler) = (Rc::new(Cell::new(None)), cpu.clone());
        let found = seen.clone();
        let _second = cpu.request_irq_with(&line, "second", shared, move |_| {
            found.set(Some(in_handler.irqs_enabled()));
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        seen.get()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), Some(false));
}
