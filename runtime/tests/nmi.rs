//! Non-maskable interrupts: the part of R7 that passes through nothing of the rest.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use airlift_runtime::{CpuContext, IrqReturn, Softirq};
use common::{Log, kernel, receive};
use futures::executor::block_on;

#[test]
fn r7_an_nmi_runs_on_the_raising_thread_while_the_executor_is_stuck() {
    let kernel = kernel();
    let handle = kernel.handle();
    let line = handle.irq_line("victim").unwrap();
    let (stuck, is_stuck) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let for_handler = line.clone();
    let task = handle.spawn("stuck task", move |cpu| async move {
        let _irq = cpu.request_irq(&for_handler, "victim", |_| IrqReturn::Handled);
        cpu.msleep(3).await;
        cpu.with_irqs_off(|| {
            stuck.send(()).unwrap();
            receive(&released);
        });
    });
    receive(&is_stuck);
    line.trigger().unwrap();
    let (thread, state) = handle.nmi(|nmi| (thread::current().id(), nmi.state()));
    assert_eq!(thread, thread::current().id());
    assert_eq!(state.context, CpuContext::Task);
    assert_eq!(state.task.as_ref().map(|(_, name)| name.as_str()), Some("stuck task"));
    assert!(!state.irqs_enabled);
    assert_eq!((state.polls, state.jiffies), (2, 3));
    assert_eq!(state.pending_lines, [(line.number(), "victim".to_owned())]);
    let text = state.to_string();
    assert_eq!(
        text,
        "kernel \"airlift\": in a task, task #1 \"stuck task\", irqs off, jiffies 3; irq 1 \"victim\" is pending"
    );
    release.send(()).unwrap();
    block_on(task.unwrap()).unwrap();
    assert_eq!(handle.stats().nmis, 1);
}

#[test]
fn r7_an_nmi_sees_handlers_and_softirqs_and_the_task_below_them() {
    let kernel = kernel();
    let handle = kernel.handle();
    let line = handle.irq_line("stuck").unwrap();
    let number = line.number();
    let (stuck, is_stuck) = mpsc::channel();
    let (release_softirq, released_softirq) = mpsc::channel::<()>();
    let (release_irq, released_irq) = mpsc::channel::<()>();
    let task = handle.spawn("broken into", move |cpu| async move {
        let in_softirq = stuck.clone();
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| {
            in_softirq.send(()).unwrap();
            receive(&released_softirq);
        });
        let _irq = cpu.request_irq(&line, "stuck", move |irq| {
            stuck.send(()).unwrap();
            receive(&released_irq);
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        line.trigger().unwrap();
    });
    receive(&is_stuck);
    let in_handler = handle.nmi(|nmi| nmi.state());
    release_irq.send(()).unwrap();
    receive(&is_stuck);
    let in_softirq = handle.nmi(|nmi| nmi.state());
    release_softirq.send(()).unwrap();
    block_on(task.unwrap()).unwrap();
    assert_eq!((in_handler.context, in_handler.irqs_enabled), (CpuContext::HardIrq(number), false));
    assert_eq!((in_softirq.context, in_softirq.irqs_enabled), (CpuContext::Softirq(Softirq::NetRx), true));
    for state in [in_handler, in_softirq] {
        assert_eq!(state.task.map(|(_, name)| name).as_deref(), Some("broken into"));
    }
}

#[test]
fn r7_an_idle_processor_is_seen_idle() {
    let kernel = kernel();
    let hold = kernel.handle().clock().hold();
    // It says so as soon as it sleeps; nothing else can happen on the way there.
    let begin = std::time::Instant::now();
    while kernel.handle().nmi(|nmi| nmi.context()) != CpuContext::Idle {
        assert!(begin.elapsed() < common::HANG);
        thread::yield_now();
    }
    assert_eq!(kernel.handle().nmi(|nmi| nmi.task_id()), None);
    drop(hold);
}

#[test]
fn r7_an_nmi_on_the_kernels_own_thread_delivers_runs_and_preempts_nothing() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let log = Log::new();
        let entries = log.clone();
        let _irq = cpu.request_irq(&line, "test", move |irq| {
            entries.push("irq");
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        let entries = log.clone();
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| entries.push("softirq"));
        let (in_nmi, entries) = (cpu.clone(), log.clone());
        let own = cpu.clone();
        cpu.kernel().nmi(|nmi| {
            assert_eq!((nmi.context(), in_nmi.preempt_count()), (CpuContext::Task, 0x10_0000));
            line.trigger().unwrap();
            in_nmi.raise_softirq(Softirq::NetRx);
            // As in any interrupt, it waits for the next exit, and wakes nobody.
            assert!(in_nmi.kernel().stats().task("ksoftirqd").is_none());
            // Nothing opens a window, neither what a confused handler does to the flag.
            in_nmi.local_irq_disable();
            in_nmi.local_irq_enable();
            in_nmi.cpu_relax();
            in_nmi.local_irq_disable();
            entries.push("nmi");
        });
        log.push("after");
        // Its exit restored the flag, and delivered nothing.
        assert!(own.irqs_enabled());
        cpu.cpu_relax();
        log.take()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), ["nmi", "after", "irq", "softirq"]);
}

#[test]
fn r7_an_nmi_that_panics_leaves_by_its_exit() {
    let kernel = kernel();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let ran = Rc::new(Cell::new(false));
        let flag = ran.clone();
        let _irq = cpu.request_irq(&line, "test", move |_| {
            flag.set(true);
            IrqReturn::Handled
        });
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cpu.kernel().nmi(|_| panic!("on purpose"));
        }));
        line.trigger().unwrap();
        (caught.is_err(), ran.get())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (true, true));
}

#[test]
fn r7_an_nmi_after_the_kernels_end_tells_its_last_state() {
    let kernel = kernel();
    let handle = kernel.handle();
    block_on(handle.spawn("done", |cpu| async move { cpu.msleep(4).await }).unwrap()).unwrap();
    kernel.shutdown_blocking();
    assert_eq!(handle.nmi(|nmi| (nmi.jiffies(), nmi.task_id(), nmi.irqs_enabled())), (4, None, true));
}
