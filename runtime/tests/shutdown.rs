//! The end of a kernel: A4, A5 and R1.

mod common;

use std::any::Any;
use std::cell::RefCell;
use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use airlift_runtime::{Clock, IrqPolicy, IrqReturn, JoinError, Kernel, KernelGone, Softirq, Watchdog};
use common::{OnDrop, kernel, receive};
use futures::executor::block_on;

#[test]
fn a4_dropping_a_kernel_waits_for_nothing() {
    let kernel = kernel();
    let (in_poll, is_in_poll) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (end, ended) = mpsc::channel::<()>();
    let task = kernel.handle().spawn("stuck", move |_| async move {
        let _until_dropped = end;
        in_poll.send(()).unwrap();
        receive(&released);
        pending::<()>().await;
    });
    receive(&is_in_poll);
    // The kernel's thread is stuck in that poll, and only what comes after this drop releases it.
    drop(kernel);
    release.send(()).unwrap();
    assert_eq!(ended.recv_timeout(common::HANG), Err(mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(block_on(task.unwrap()), Err(JoinError::KernelGone));
}

#[test]
fn a4_after_the_shutdown_the_threads_are_gone() {
    fn threads(name: &str) -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        tasks
            .filter(|task| {
                let comm = std::fs::read_to_string(task.path().join("comm"));
                comm.is_ok_and(|comm| comm.starts_with(name))
            })
            .count()
    }
    let kernel = Kernel::builder().name("a4gone").clock(Clock::system()).build().unwrap();
    let up = kernel.handle().spawn("up", |cpu| async move {
        cpu.msleep(1).await;
        // A processor that is kept for ever keeps no thread.
        std::mem::forget(cpu);
    });
    block_on(up.unwrap()).unwrap();
    if cfg!(all(target_os = "linux", not(miri))) {
        // The kernel's own and its timer's. (Miri's threads are not the system's.)
        assert_eq!(threads("a4gone"), 2);
    }
    block_on(kernel.shutdown());
    // Joined, but Linux may take a moment more to strike it from its list.
    let begin = std::time::Instant::now();
    while threads("a4gone") > 0 {
        assert!(begin.elapsed() < common::HANG, "a thread outlived the shutdown");
        std::thread::yield_now();
    }
}

#[test]
fn a4_the_shutdown_waits_until_the_kernels_thread_has_returned() {
    thread_local! {
        static LAST: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
    }
    for future in [false, true] {
        let kernel = kernel();
        let (returned, has_returned) = mpsc::channel();
        let (said, says) = mpsc::channel();
        let task = kernel.handle().spawn("main", move |_| async move {
            // The very last that the thread does, after its report. It gives a shutdown that does not wait for it
            // the time to overtake it; one that does never sends anything, however long this takes.
            let last = OnDrop(move || {
                let overtaken = has_returned.recv_timeout(Duration::from_millis(20)).is_ok();
                said.send(overtaken).unwrap();
            });
            LAST.with(|slot| *slot.borrow_mut() = Some(Box::new(last)));
        });
        block_on(task.unwrap()).unwrap();
        if future {
            block_on(kernel.shutdown());
        } else {
            kernel.shutdown_blocking();
        }
        let _ = returned.send(());
        assert!(!receive(&says), "the kernel's thread goes on behind its shutdown");
    }
}

#[test]
fn a4_polling_the_shutdown_waits_for_nothing_though_the_kernels_thread_takes_its_time_to_end() {
    thread_local! {
        static LAST: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
    }
    let kernel = kernel();
    let (dropping, is_dropping) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (said, says) = mpsc::channel();
    let task = kernel.handle().spawn("main", move |_| async move {
        // The thread's last act takes until the polls have returned.
        let last = OnDrop(move || {
            dropping.send(()).unwrap();
            said.send(released.recv_timeout(common::HANG).is_ok()).unwrap();
        });
        LAST.with(|slot| *slot.borrow_mut() = Some(Box::new(last)));
    });
    block_on(task.unwrap()).unwrap();
    let mut shutdown = Box::pin(kernel.shutdown());
    let waker = futures::task::noop_waker();
    let mut context = std::task::Context::from_waker(&waker);
    assert!(shutdown.as_mut().poll(&mut context).is_pending());
    receive(&is_dropping);
    assert!(shutdown.as_mut().poll(&mut context).is_pending(), "its thread is not gone");
    release.send(()).unwrap();
    assert!(block_on(shutdown).is_clean());
    assert!(receive(&says), "a poll waited for the thread's end");
}

#[test]
fn r1_a_name_that_no_thread_may_have_is_mended_and_stops_nobodys_time() {
    let clock = Clock::virtual_time();
    let other = Kernel::builder().clock(clock.clone()).build().unwrap();
    for clock in [clock.clone(), Clock::system()] {
        let kernel = Kernel::builder().name("a\0b").clock(clock.clone()).build().unwrap();
        assert_eq!(kernel.handle().name(), "a\u{fffd}b");
        let watchdog = Watchdog::builder().clock(clock).watch(&kernel.handle()).unwrap();
        block_on(kernel.handle().spawn("sleeper", |cpu| async move { cpu.msleep(1).await }).unwrap())
            .unwrap();
        drop(watchdog);
        block_on(kernel.shutdown());
    }
    let slept = other.handle().spawn("sleeper", |cpu| async move { cpu.msleep(1).await }).unwrap();
    let (ended, has_ended) = mpsc::channel();
    std::thread::spawn(move || ended.send(block_on(slept)));
    receive(&has_ended).unwrap();
}

#[test]
fn r1_a_dropped_kernels_thread_ends_soon_after() {
    thread_local! {
        static LAST: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
    }
    let kernel = kernel();
    let (said, says) = mpsc::channel();
    let task = kernel.handle().spawn("main", move |_| async move {
        let last = OnDrop(move || said.send(()).unwrap());
        LAST.with(|slot| *slot.borrow_mut() = Some(Box::new(last)));
    });
    block_on(task.unwrap()).unwrap();
    drop(kernel);
    receive(&says);
}

#[test]
fn a4_shutting_down_by_blocking_the_kernels_own_thread_is_refused() {
    let kernel = kernel();
    let handle = kernel.handle();
    let task = handle.spawn("suicidal", move |_| async move { drop(kernel.shutdown_blocking()) });
    let Err(JoinError::Panicked(message)) = block_on(task.unwrap()) else { panic!("it went through") };
    assert!(message.contains("which it waits for"), "{message}");
}

#[test]
fn r1_shutdown_reports_what_it_dropped() {
    let kernel = kernel();
    let hold = kernel.handle().clock().hold();
    let line = kernel.handle().irq_line("unheard").unwrap();
    line.trigger().unwrap();
    let (ready, is_ready) = mpsc::channel();
    for name in ["first", "second"] {
        let ready = ready.clone();
        let task = kernel.handle().spawn(name, move |cpu| async move {
            let sleep = cpu.msleep(10);
            ready.send(()).unwrap();
            sleep.await;
        });
        drop(task);
    }
    (0..2).for_each(|_| receive(&is_ready));
    let report = kernel.shutdown_blocking();
    assert_eq!(report.tasks_dropped, ["first", "second"]);
    assert!(!report.is_clean());
    drop(hold);
}

#[test]
fn r1_a_shutdown_with_nothing_left_is_clean() {
    let kernel = kernel();
    let task = kernel.handle().spawn("done", |cpu| async move { cpu.msleep(10).await });
    block_on(task.unwrap()).unwrap();
    assert!(kernel.shutdown_blocking().is_clean());
}

#[test]
fn r1_what_is_raised_before_the_shutdown_is_delivered() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("last").unwrap();
    let (handled, is_handled) = mpsc::channel();
    let (in_poll, is_in_poll) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let for_handler = line.clone();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let softirq_ran = handled.clone();
        let _irq = cpu.request_irq(&for_handler, "last", move |irq| {
            handled.send("irq").unwrap();
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| softirq_ran.send("softirq").unwrap());
        in_poll.send(()).unwrap();
        receive(&released);
        pending::<()>().await;
    });
    receive(&is_in_poll);
    line.trigger().unwrap();
    let ended = kernel.shutdown();
    release.send(()).unwrap();
    let report = block_on(ended);
    assert_eq!((receive(&is_handled), receive(&is_handled)), ("irq", "softirq"));
    assert_eq!(report.tasks_dropped, ["driver"]);
    assert_eq!(report.irqs_dropped, 0);
    drop(task);
}

#[test]
fn a5_dropping_the_shutdown_future_still_ends_the_kernel() {
    let kernel = kernel();
    let (end, ended) = mpsc::channel::<()>();
    let task = kernel.handle().spawn("forever", move |_| async move {
        let _until_dropped = end;
        pending::<()>().await;
    });
    drop(kernel.shutdown());
    assert_eq!(ended.recv_timeout(common::HANG), Err(mpsc::RecvTimeoutError::Disconnected));
    drop(task);
}

#[test]
fn a_task_may_shut_down_the_kernel_that_runs_it() {
    let kernel = kernel();
    let handle = kernel.handle();
    let task = handle.spawn("suicidal", move |_| async move { kernel.shutdown().await });
    assert_eq!(block_on(task.unwrap()).map(drop), Err(JoinError::KernelGone));
}

#[test]
fn r1_tasks_dropped_by_the_shutdown_may_still_use_their_kernel() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let (ready, is_ready) = mpsc::channel();
    let (said, says) = mpsc::channel();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let in_drop = cpu.clone();
        let irq = cpu.request_irq(&line, "test", |_| IrqReturn::Handled).unwrap();
        let mut irq = Some(irq);
        let _drop = OnDrop(move || {
            drop(irq.take());
            let spawned = in_drop.spawn("too late", |_| async {});
            said.send((line.trigger().is_err(), in_drop.irqs_enabled(), block_on(spawned))).unwrap();
        });
        ready.send(()).unwrap();
        pending::<()>().await;
    });
    receive(&is_ready);
    let report = kernel.shutdown_blocking();
    assert_eq!(receive(&says), (true, true, Err(JoinError::KernelGone)));
    assert_eq!(report.spawns_dropped, 1);
    drop(task);
}

#[test]
fn r1_what_was_asked_for_and_not_begun_is_dropped_and_counted_and_softirqs_that_were_raised_run() {
    let kernel = kernel();
    let handle = kernel.handle();
    let (in_poll, is_in_poll) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (ran, runs) = mpsc::channel();
    let task = handle.spawn("busy", move |cpu| async move {
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| ran.send(()).unwrap());
        in_poll.send(()).unwrap();
        receive(&released);
        // ksoftirqd does not get its turn any more.
        cpu.raise_softirq(Softirq::NetRx);
        pending::<()>().await;
    });
    receive(&is_in_poll);
    let (said, says) = mpsc::channel();
    let witness = OnDrop(move || said.send(()).unwrap());
    let late = handle.spawn("late", move |_| async move { drop(witness) }).unwrap();
    let service = handle.spawn_service("late service", |_| pending::<()>()).unwrap();
    let ended = kernel.shutdown();
    // From here on nothing is taken any more, though the kernel has yet to notice.
    assert_eq!(handle.spawn("too late", |_| async {}).map(drop), Err(KernelGone));
    assert_eq!(handle.irq_line("too late").map(drop), Err(KernelGone));
    release.send(()).unwrap();
    let report = block_on(ended);
    assert_eq!((report.spawns_dropped, report.tasks_dropped), (1, vec!["busy".to_owned()]));
    receive(&says);
    receive(&runs);
    assert_eq!(block_on(late), Err(JoinError::KernelGone));
    assert_eq!(block_on(service), Err(JoinError::KernelGone));
    drop(task);
}

#[test]
fn r1_handlers_that_hold_their_processor_are_dropped_with_the_kernel() {
    let kernel = kernel();
    let (said, says) = mpsc::channel();
    let task = kernel.handle().spawn("leaky", move |cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let witness = |what: &'static str| {
            let (cpu, said) = (cpu.clone(), said.clone());
            OnDrop(move || {
                let _keep = &cpu;
                said.send(what).unwrap();
            })
        };
        let (irq, softirq, timer) = (witness("irq"), witness("softirq"), witness("timer"));
        // For as long as the kernel runs.
        std::mem::forget(cpu.request_irq(&line, "test", move |_| {
            let _keep = &irq;
            IrqReturn::Handled
        }));
        std::mem::forget(cpu.open_softirq(Softirq::NetRx, move |_| {
            let _keep = &softirq;
        }));
        drop(cpu.timer("test", move |_| {
            let _keep = &timer;
        }));
    });
    block_on(task.unwrap()).unwrap();
    kernel.shutdown_blocking();
    assert_eq!([receive(&says), receive(&says), receive(&says)], ["timer", "irq", "softirq"]);
}

#[test]
fn r12_a_panic_in_a_drop_at_the_shutdown_is_contained() {
    let kernel = kernel();
    let handle = kernel.handle();
    let (in_poll, is_in_poll) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let task = handle.spawn("busy", move |cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let (irq, softirq) = (OnDrop(|| panic!("irq")), OnDrop(|| panic!("softirq")));
        std::mem::forget(cpu.request_irq(&line, "test", move |_| {
            let _keep = &irq;
            IrqReturn::Handled
        }));
        std::mem::forget(cpu.open_softirq(Softirq::NetRx, move |_| {
            let _keep = &softirq;
        }));
        in_poll.send(()).unwrap();
        receive(&released);
        pending::<()>().await;
    });
    receive(&is_in_poll);
    let bomb = OnDrop(|| panic!("spawn"));
    let late = handle.spawn("late", move |_| async move { drop(bomb) }).unwrap();
    let ended = kernel.shutdown();
    release.send(()).unwrap();
    // All goes on to the report.
    let report = block_on(ended);
    assert_eq!((report.spawns_dropped, report.tasks_dropped), (1, vec!["busy".to_owned()]));
    assert_eq!(block_on(late), Err(JoinError::KernelGone));
    drop(task);
}

#[test]
fn r1_the_end_of_a_service_is_no_work_undone() {
    let kernel = kernel();
    let (said, says) = mpsc::channel();
    let service_ends = said.clone();
    let service = kernel.handle().spawn_service("service", move |cpu| async move {
        let ends = service_ends.clone();
        let inner = cpu.spawn_service("inner service", move |_| async move {
            let _drop = OnDrop(move || ends.send("inner service").unwrap());
            pending::<()>().await;
        });
        let _drop = OnDrop(move || service_ends.send("service").unwrap());
        inner.await
    });
    let task = kernel.handle().spawn("task", move |_| async move {
        let _drop = OnDrop(move || said.send("task").unwrap());
        pending::<()>().await;
    });
    block_on(kernel.handle().spawn("settled", |cpu| async move { cpu.yield_now().await }).unwrap()).unwrap();
    let stats = kernel.handle().stats();
    assert!(stats.task("inner service").unwrap().service && !stats.task("task").unwrap().service);
    let report = kernel.shutdown_blocking();
    // Services serve to the last: they end after the tasks.
    assert_eq!([receive(&says), receive(&says), receive(&says)], ["task", "service", "inner service"]);
    assert_eq!(report.tasks_dropped, ["task"]);
    drop((service, task));
}

#[test]
fn r1_a_shutdown_that_ended_only_services_is_clean_and_says_so() {
    let kernel = kernel();
    let service = kernel.handle().spawn_service("service", |_| pending::<()>());
    block_on(kernel.handle().spawn("done", |_| async {}).unwrap()).unwrap();
    let report = kernel.shutdown_blocking();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.to_string(), "clean");
    drop(service);
}

#[test]
fn r1_the_report_is_told_in_a_line() {
    let kernel = kernel();
    let hold = kernel.handle().clock().hold();
    let (ready, is_ready) = mpsc::channel();
    let line = kernel.handle().irq_line("unheard").unwrap();
    for name in ["first", "second"] {
        let ready = ready.clone();
        drop(kernel.handle().spawn(name, move |cpu| async move {
            let timer = cpu.timer("forgotten", |_| {});
            timer.mod_timer(1_000);
            std::mem::forget(timer);
            ready.send(()).unwrap();
            pending::<()>().await;
        }));
    }
    (0..2).for_each(|_| receive(&is_ready));
    let report = kernel.shutdown_blocking();
    assert_eq!(report.to_string(), "dropped 2 tasks (first, second), 2 armed timers");
    drop((hold, line));
}

#[test]
fn r2_a_storm_that_nobody_takes_is_one_interrupt_at_the_end() {
    // IRQs are off for good and for all.
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().clock(clock).irq_policy(IrqPolicy::Global).build().unwrap();
    let line = kernel.handle().irq_line("storm").unwrap();
    let (off, is_off) = mpsc::channel();
    let deaf = kernel.handle().spawn("deaf", move |cpu| async move {
        cpu.local_irq_disable();
        off.send(()).unwrap();
        pending::<()>().await;
    });
    receive(&is_off);
    let edges = line.edges();
    (0..1000).for_each(|_| line.trigger().unwrap());
    let stats = kernel.handle().stats();
    let storm = stats.line(line.number()).unwrap();
    assert_eq!((storm.raised, storm.delivered, storm.coalesced), (1000, 0, 999));
    assert_eq!(kernel.shutdown_blocking().irqs_dropped, 1);
    assert_eq!(block_on(deaf.unwrap()), Err(JoinError::KernelGone));
    drop(edges);
}

#[test]
fn a5_a_sleep_that_is_cancelled_is_disarmed() {
    let kernel = kernel();
    let task = kernel.handle().spawn("impatient", |cpu| async move {
        let sleep = cpu.msleep(1000);
        assert!(cpu.timeout(Duration::from_millis(1), sleep).await.is_err());
        // Whatever is armed now stays so until it is counted.
        cpu.clock().hold()
    });
    let _hold = block_on(task.unwrap()).unwrap();
    assert_eq!(kernel.handle().clock().now(), Duration::from_millis(1));
    assert_eq!(kernel.shutdown_blocking().timers_dropped, 0);
}

#[test]
fn r1_a_kernel_that_is_never_idle_ends_when_it_is_told_to_on_either_clock() {
    for clock in [Clock::virtual_time(), Clock::system()] {
        let kernel = Kernel::builder().clock(clock).build().unwrap();
        let (begins, has_begun) = mpsc::channel();
        let task = kernel.handle().spawn("busy", move |cpu| async move {
            begins.send(()).unwrap();
            loop {
                cpu.yield_now().await;
            }
        });
        receive(&has_begun);
        let (ended, has_ended) = mpsc::channel();
        std::thread::spawn(move || ended.send(kernel.shutdown_blocking().tasks_dropped));
        assert_eq!(receive(&has_ended), ["busy"]);
        drop(task);
    }
}
