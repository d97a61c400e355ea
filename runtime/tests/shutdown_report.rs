//! What the end of a kernel reports as left undone: R1.

mod common;

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use airlift_runtime::{IrqOptions, IrqReturn, Kernel, ShutdownReport};
use common::{kernel, receive};
use futures::executor::block_on;

/// Runs `start` as a task, or as a service, until all is quiet, under a hold, and then ends the kernel.
fn ended_after<F, Fut>(service: bool, start: F) -> ShutdownReport
where
    F: FnOnce(airlift_runtime::Cpu) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let kernel = kernel();
    let clock = kernel.handle().clock();
    let _hold = clock.hold();
    let handle = kernel.handle();
    let task = if service { handle.spawn_service("main", start) } else { handle.spawn("main", start) };
    let _hold = block_on(clock.run_until(Duration::ZERO));
    let report = kernel.shutdown_blocking();
    drop(task);
    report
}

#[test]
fn r1_timers_and_sleeps_that_are_armed_are_counted_before_their_tasks_are_dropped() {
    let report = ended_after(false, |cpu| async move {
        let timers = [cpu.timer("armed", |_| {}), cpu.timer("not armed", |_| {})];
        timers[0].mod_timer(10);
        cpu.msleep(20).await;
    });
    assert_eq!((report.timers_dropped, &*report.tasks_dropped), (2, &["main".to_owned()][..]));
    assert_eq!(report.to_string(), "dropped 1 task (main), 2 armed timers");
}

#[test]
fn r1_timers_and_sleeps_of_a_service_are_no_work_undone() {
    let report = ended_after(true, |cpu| async move {
        let timer = cpu.timer("armed", |_| {});
        timer.mod_timer(10);
        cpu.msleep(20).await;
    });
    assert!(report.is_clean(), "{report}");
}

#[test]
fn r1_an_interrupt_that_is_masked_is_reported_if_somebody_would_have_had_it() {
    let kernel = kernel();
    let handle = kernel.handle();
    let line = |name| handle.irq_line(name).unwrap();
    let (requested, watched, unheard, idle) =
        (line("requested"), line("watched"), line("unheard"), line("idle"));
    let edges = watched.edges();
    let for_task = [requested.clone(), watched.clone(), idle.clone()];
    let (ready, is_ready) = mpsc::channel();
    let task = handle.spawn_service("driver", move |cpu| async move {
        let [requested, _, idle] = &for_task;
        let _actions =
            [requested, idle].map(|line| cpu.request_irq(line, "driver", |_| IrqReturn::Handled).unwrap());
        for_task.iter().for_each(|line| cpu.disable_irq_nosync(line).unwrap());
        ready.send(()).unwrap();
        pending::<()>().await;
    });
    receive(&is_ready);
    for line in [&requested, &requested, &watched, &unheard] {
        line.trigger().unwrap();
    }
    let report = kernel.shutdown_blocking();
    assert_eq!(report.irqs_dropped, 2);
    assert_eq!(report.to_string(), "dropped 2 pending interrupts");
    drop((task, edges));
}

#[test]
fn r1_a_line_that_waits_behind_its_thread_and_the_thread_are_reported_once_each() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("oneshot").unwrap();
    let raised = line.clone();
    let (woken, is_woken) = mpsc::channel();
    let task = kernel.handle().spawn_service("driver", move |cpu| async move {
        let _action = cpu
            .request_threaded_irq(
                &line,
                "driver",
                IrqOptions::new().oneshot(),
                |_| IrqReturn::WakeThread,
                move |_| {
                    woken.send(()).unwrap();
                    pending()
                },
            )
            .unwrap();
        line.trigger().unwrap();
        pending::<()>().await;
    });
    receive(&is_woken);
    // Of this thread, and again and again of the kernel's own: it is one interrupt.
    raised.trigger().unwrap();
    let again = kernel.handle().spawn("again", move |cpu| async move {
        for _ in 0..3 {
            cpu.disable_irq_nosync(&raised).unwrap();
            raised.trigger().unwrap();
            cpu.enable_irq(&raised).unwrap();
        }
    });
    block_on(again.unwrap()).unwrap();
    let report = kernel.shutdown_blocking();
    assert_eq!(report.to_string(), "dropped 2 pending interrupts");
    drop(task);
}

#[test]
fn r1_an_interrupt_that_nobody_listens_to_is_not_missed() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("unheard").unwrap();
    line.trigger().unwrap();
    block_on(kernel.handle().spawn("settled", |cpu| async move { cpu.msleep(1).await }).unwrap()).unwrap();
    let report = kernel.shutdown_blocking();
    assert!(line.is_pending() && report.is_clean(), "{report}");
}

#[test]
fn r1_works_that_are_queued_delayed_or_running_are_reported() {
    let report = ended_after(true, |cpu| async move {
        let queue = cpu.alloc_ordered_workqueue("ordered");
        let running = cpu.work("running", |_| pending());
        let queued = cpu.work("queued", |_| async {});
        let delayed = cpu.work("delayed", |_| async {});
        let cancelled = cpu.work("cancelled", |_| async {});
        let done = cpu.work("done", |_| async {});
        cpu.schedule_work(&done);
        done.flush(&cpu).await;
        assert!(queue.queue_work(&running) && queue.queue_work(&queued));
        for work in [&delayed, &cancelled] {
            assert!(queue.queue_delayed_work(work, Duration::from_millis(5)));
        }
        assert!(cancelled.cancel());
        pending::<()>().await;
        drop((queued, delayed));
    });
    assert_eq!((report.works_dropped, report.timers_dropped), (3, 0));
    assert_eq!(report.to_string(), "dropped 3 work items");
}

#[test]
fn r1_a_kernel_of_many_tasks_and_queues_counts_each_once() {
    const MANY: usize = 2_000;
    let kernel = Kernel::builder().clock(airlift_runtime::Clock::virtual_time()).build().unwrap();
    let (ready, is_ready) = mpsc::channel();
    let task = kernel.handle().spawn_service("main", move |cpu| async move {
        let mut kept = Vec::new();
        for number in 0..MANY {
            drop(cpu.spawn(format!("{number}"), |_| pending::<()>()));
            let (queue, work) = (cpu.alloc_workqueue("queue", 1), cpu.work("work", |_| pending()));
            queue.queue_work(&work);
            // Half of the queues go again, without and with what they have to do.
            if number % 2 == 0 {
                kept.push((queue, work));
            } else {
                work.cancel();
            }
        }
        cpu.yield_now().await;
        ready.send(()).unwrap();
        pending::<()>().await;
        drop(kept);
    });
    receive(&is_ready);
    let report = kernel.shutdown_blocking();
    let names: Vec<String> = (0..MANY).map(|number| number.to_string()).collect();
    assert_eq!((report.tasks_dropped, report.works_dropped), (names, MANY / 2));
    drop(task);
}
