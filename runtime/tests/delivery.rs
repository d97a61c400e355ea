//! When interrupts are taken, and that nobody starves meanwhile. R4.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;

use airlift_runtime::{Clock, IrqReturn, Kernel, Softirq};
use common::{Log, kernel, receive};
use futures::executor::block_on;

#[test]
fn r4_pending_interrupts_are_taken_in_cpu_relax() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let (spins, is_spinning) = mpsc::channel();
    let for_handler = line.clone();
    let task = kernel.handle().spawn("spinner", move |cpu| async move {
        let ran = Rc::new(Cell::new(false));
        let flag = ran.clone();
        let _irq = cpu.request_irq(&for_handler, "test", move |_| {
            flag.set(true);
            IrqReturn::Handled
        });
        spins.send(()).unwrap();
        while !ran.get() {
            cpu.cpu_relax();
        }
    });
    receive(&is_spinning);
    line.trigger().unwrap();
    block_on(task.unwrap()).unwrap();
}

#[test]
fn r4_pending_interrupts_are_taken_between_softirq_vectors() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let (to_host, at_host) = mpsc::channel();
    let (to_kernel, at_kernel) = mpsc::channel();
    let for_handler = line.clone();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let log = Log::new();
        let entries = log.clone();
        let _irq = cpu.request_irq(&for_handler, "test", move |_| {
            entries.push("irq");
            IrqReturn::Handled
        });
        let entries = log.clone();
        let _tx = cpu.open_softirq(Softirq::NetTx, move |_| {
            to_host.send(()).unwrap();
            receive(&at_kernel);
            entries.push("tx");
        });
        let entries = log.clone();
        let _rx = cpu.open_softirq(Softirq::NetRx, move |_| entries.push("rx"));
        cpu.raise_softirq(Softirq::NetRx);
        cpu.raise_softirq(Softirq::NetTx);
        cpu.yield_now().await;
        log.take()
    });
    receive(&at_host);
    line.trigger().unwrap();
    to_kernel.send(()).unwrap();
    assert_eq!(block_on(task.unwrap()).unwrap(), ["tx", "irq", "rx"]);
}

#[test]
fn r4_a_storm_starves_neither_tasks_nor_timers() {
    // The handler raises its own line for ever: the line is never not pending.
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let line = kernel.handle().irq_line("storm").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let again = line.clone();
        let _irq = cpu.request_irq(&line, "storm", move |_| {
            again.trigger().unwrap();
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        cpu.msleep(2).await;
        for _ in 0..10 {
            cpu.yield_now().await;
        }
        assert!(line.is_pending());
    });
    block_on(task.unwrap()).unwrap();
}

#[test]
fn r4_busy_tasks_starve_no_timer() {
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let busy = cpu.spawn("busy", |cpu| async move {
            loop {
                cpu.yield_now().await;
            }
        });
        cpu.msleep(2).await;
        busy.abort();
        busy.await
    });
    assert!(block_on(task.unwrap()).unwrap().is_err());
}
