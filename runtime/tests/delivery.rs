//! When interrupts are taken, and that nobody starves meanwhile. R4.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use airlift_runtime::{Clock, Cpu, CpuContext, IrqAction, IrqReturn, Kernel, Softirq, SpinLock};
use common::{HANG, Log, kernel, on_kernel, receive};
use futures::executor::block_on;

/// A line, how often its handler has run, and a way to have it raised by a host thread, which is done when this is.
fn host_line(cpu: &Cpu) -> (IrqAction, Rc<Cell<u32>>, impl Fn() + use<>) {
    let line = cpu.kernel().irq_line("test").unwrap();
    let runs = Rc::new(Cell::new(0));
    let count = runs.clone();
    let action = cpu.request_irq(&line, "test", move |_| {
        count.set(count.get() + 1);
        IrqReturn::Handled
    });
    let raise = move || {
        let line = line.clone();
        thread::spawn(move || line.trigger().unwrap()).join().unwrap();
    };
    (action.unwrap(), runs, raise)
}

#[test]
fn r4_pending_interrupts_are_taken_at_the_outermost_enable() {
    type Form = fn(&Cpu, &dyn Fn());
    let forms: [(&str, Form); 5] = [
        ("restore", |cpu, inside| {
            let flags = cpu.local_irq_save();
            inside();
            cpu.local_irq_restore(flags);
        }),
        ("enable", |cpu, inside| {
            cpu.local_irq_disable();
            inside();
            cpu.local_irq_enable();
        }),
        ("guard", |cpu, inside| {
            let guard = cpu.irqs_off();
            inside();
            drop(guard);
        }),
        ("closure", |cpu, inside| cpu.with_irqs_off(inside)),
        ("spinlock", |cpu, inside| SpinLock::new("test", ()).with_irqsave(cpu, |()| inside())),
    ];
    on_kernel(move |cpu| async move {
        let (_irq, runs, raise) = host_line(&cpu);
        for (number, (form, irqs_off)) in (0..).zip(forms) {
            irqs_off(&cpu, &|| {
                irqs_off(&cpu, &|| {
                    raise();
                    assert_eq!(runs.get(), number, "{form}: IRQs are off");
                });
                // An enable enables, however often they were turned off.
                assert_eq!(runs.get(), number + u32::from(form == "enable"), "{form}: the inner end");
            });
            assert_eq!(runs.get(), number + 1, "{form}: the outermost end");
        }
    });
}

#[test]
fn r4_pending_interrupts_are_taken_before_every_poll() {
    on_kernel(|cpu| async move {
        let (_irq, runs, raise) = host_line(&cpu);
        let seen = runs.clone();
        let next = cpu.spawn("next", move |_| async move { seen.get() });
        // No delivery point before the end of this turn.
        raise();
        assert_eq!(runs.get(), 0);
        assert_eq!(next.await.unwrap(), 1);
    });
}

/// Whether it spins or has parked already. That it does so in either is proven where the executor is.
#[test]
fn r4_pending_interrupts_are_taken_when_idle_on_either_clock() {
    for clock in [Clock::system(), Clock::virtual_time()] {
        let kernel = Kernel::builder().clock(clock.clone()).build().unwrap();
        let _hold = clock.hold();
        let line = kernel.handle().irq_line("test").unwrap();
        let (ran, runs) = mpsc::channel();
        let for_handler = line.clone();
        let driver = kernel.handle().spawn_service("driver", move |cpu| async move {
            let _irq = cpu.request_irq(&for_handler, "test", move |_| {
                ran.send(()).unwrap();
                IrqReturn::Handled
            });
            std::future::pending::<()>().await;
        });
        drop(driver);
        block_on(kernel.handle().spawn("settled", |_| async {}).unwrap()).unwrap();
        for _ in 0..3 {
            let begin = Instant::now();
            while kernel.handle().nmi(|nmi| nmi.context()) != CpuContext::Idle {
                assert!(begin.elapsed() < HANG);
                thread::yield_now();
            }
            line.trigger().unwrap();
            receive(&runs);
        }
    }
}

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
fn r4_pending_interrupts_are_taken_in_cond_resched() {
    on_kernel(|cpu| async move {
        let (_irq, runs, raise) = host_line(&cpu);
        raise();
        let mut resched = std::pin::pin!(cpu.cond_resched());
        let ended = std::future::poll_fn(|cx| std::task::Poll::Ready(resched.as_mut().poll(cx))).await;
        // Within this turn: nobody else is ready.
        assert!(ended.is_ready());
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn r4_pending_is_drained_until_it_is_empty() {
    const LINES: usize = 10;
    on_kernel(|cpu| async move {
        let lines: Vec<_> = (0..LINES).map(|_| cpu.kernel().irq_line("chain").unwrap()).collect();
        let runs = Rc::new(Cell::new(0));
        let _actions: Vec<_> = (0..LINES)
            .map(|number| {
                let (count, next) = (runs.clone(), lines.get(number + 1).cloned());
                cpu.request_irq(&lines[number], "chain", move |_| {
                    count.set(count.get() + 1);
                    next.iter().for_each(|next| next.trigger().unwrap());
                    IrqReturn::Handled
                })
            })
            .collect();
        // Each becomes pending while the one before is taken: all are, at this one point.
        lines[0].trigger().unwrap();
        assert_eq!(runs.get(), LINES);
    });
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
