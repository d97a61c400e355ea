//! Interrupts: R2, R3, R4, R6 and R14.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;

use airlift_runtime::{Clock, IrqReturn, Kernel, Softirq};
use futures::executor::block_on;

fn kernel() -> Kernel {
    Kernel::builder().clock(Clock::virtual_time()).build().unwrap()
}

#[test]
fn r3_a_kernel_caller_with_irqs_on_has_its_handler_run_before_trigger_returns() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("caller", move |cpu| async move {
        let ran = Rc::new(Cell::new(0));
        let in_handler = ran.clone();
        let _action = cpu.request_irq(&line, "counter", move |_| {
            in_handler.set(in_handler.get() + 1);
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        let with_irqs_on = ran.get();
        let flags = cpu.local_irq_save();
        line.trigger().unwrap();
        let with_irqs_off = ran.get();
        cpu.local_irq_restore(flags);
        (with_irqs_on, with_irqs_off, ran.get())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (1, 1, 2));
    kernel.shutdown_blocking();
}

#[test]
fn r3_a_suspended_tasks_flag_defers_no_host_token() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let (suspended, is_suspended) = mpsc::channel();
    let sleeper = kernel.handle().spawn("sleeper", move |cpu| async move {
        cpu.local_irq_disable();
        suspended.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    is_suspended.recv().unwrap();
    let (handled, is_handled) = mpsc::channel();
    let for_handler = line.clone();
    let handler = kernel.handle().spawn("handler", move |cpu| async move {
        let action = cpu.request_irq(&for_handler, "test", move |_| {
            handled.send(()).unwrap();
            IrqReturn::Handled
        });
        std::future::pending::<()>().await;
        drop(action);
    });
    line.trigger().unwrap();
    is_handled.recv_timeout(std::time::Duration::from_secs(5)).unwrap();
    assert_eq!(kernel.handle().stats().suspended_with_irqs_off, 1);
    drop((sleeper, handler));
    let report = kernel.shutdown_blocking();
    assert_eq!(report.tasks_dropped, ["sleeper", "handler"]);
}

#[test]
fn r3_trigger_irq_softirq_trigger_ends_in_bounded_stack() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("ping").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let order = Rc::new(RefCell::new(Vec::new()));
        let rounds = Rc::new(Cell::new(0u32));
        let log = order.clone();
        let _irq = cpu.request_irq(&line, "ping", move |irq| {
            log.borrow_mut().push("irq");
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        let (log, again, left) = (order.clone(), line.clone(), rounds.clone());
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| {
            log.borrow_mut().push("softirq");
            left.set(left.get() + 1);
            if left.get() < 100_000 {
                again.trigger().unwrap();
            }
        });
        line.trigger().unwrap();
        while rounds.get() < 100_000 {
            cpu.yield_now().await;
        }
        order.borrow().chunks(2).all(|pair| pair == ["irq", "softirq"])
    });
    assert!(block_on(task.unwrap()).unwrap());
}
