//! The virtual clock: R16.

mod common;

use std::sync::{Arc, Mutex, mpsc};
use std::task::Wake;
use std::thread;
use std::time::Duration;

use airlift_runtime::{Clock, IrqReturn, Kernel, Woken};
use common::{on_kernel, receive};
use futures::StreamExt;
use futures::executor::block_on;

const MS: Duration = Duration::from_millis(1);

fn kernel_on(clock: &Clock) -> Kernel {
    Kernel::builder().clock(clock.clone()).build().unwrap()
}

#[test]
fn r16_sleeping_for_a_year_takes_no_time() {
    let year = Duration::from_secs(365 * 24 * 3600);
    let now = on_kernel(move |cpu| async move {
        cpu.sleep(year).await;
        cpu.now()
    });
    assert_eq!(now, year);
}

#[test]
fn r16_host_threads_and_kernel_timers_come_in_one_order() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let kernel = kernel_on(&clock);
    let line = kernel.handle().irq_line("device").unwrap();
    let mut timer = clock.host_timer("device");
    let raise = line.clone();
    let device = thread::spawn(move || {
        for ms in [5, 10, 15] {
            assert_eq!(timer.wait_until(Some(ms * MS)), Woken::Due);
            assert_eq!(timer.now(), ms * MS);
            raise.trigger().unwrap();
        }
    });
    let (ready, is_ready) = mpsc::channel();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let mut log = Vec::new();
        let mut edges = line.edges();
        ready.send(()).unwrap();
        for _ in 0..3 {
            edges.next().await;
            log.push(cpu.now().as_millis());
            cpu.msleep(2).await;
            log.push(cpu.now().as_millis());
        }
        log
    });
    receive(&is_ready);
    drop(hold);
    assert_eq!(block_on(task.unwrap()).unwrap(), [5, 7, 10, 12, 15, 17]);
    device.join().unwrap();
}

#[test]
fn r16_parties_due_at_one_instant_are_released_one_by_one_in_the_order_of_their_registration() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let kernel = kernel_on(&clock);
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut threads = Vec::new();
    for number in 0..5 {
        let mut timer = clock.host_timer(format!("{number}"));
        let line = kernel.handle().irq_line(&format!("{number}")).unwrap();
        let (entries, for_handler, raise) = (log.clone(), line.clone(), line);
        let handler = kernel.handle().spawn("handler", move |cpu| async move {
            let _irq = cpu.request_irq(&for_handler, "test", move |_| {
                entries.lock().unwrap().push(format!("irq {number}"));
                IrqReturn::Handled
            });
            std::future::pending::<()>().await;
        });
        drop(handler);
        let (registers, is_registering) = mpsc::channel();
        let entries = log.clone();
        threads.push(thread::spawn(move || {
            registers.send(()).unwrap();
            timer.wait_until(Some(MS));
            entries.lock().unwrap().push(format!("host {number}"));
            raise.trigger().unwrap();
            // Still busy: nobody else may be released, however long this takes.
            (0..3).for_each(|_| thread::yield_now());
            entries.lock().unwrap().push(format!("done {number}"));
        }));
        receive(&is_registering);
        // The registration itself is the only thing that lets the kernel settle, and tasks run only then.
        block_on(kernel.handle().spawn("settled", |_| async {}).unwrap()).unwrap();
    }
    drop(hold);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    block_on(kernel.handle().spawn("settled", |_| async {}).unwrap()).unwrap();
    let log = log.lock().unwrap();
    for number in 0..5 {
        let of = |what: &str| log.iter().position(|entry| *entry == format!("{what} {number}")).unwrap();
        assert!(of("host") < of("irq"));
        if number > 0 {
            let before =
                |what: &str| log.iter().position(|e| *e == format!("{what} {}", number - 1)).unwrap();
            assert!(before("done") < of("host") && before("irq") < of("host"), "{log:?}");
        }
    }
}

#[test]
fn r16_a_kernel_timer_and_a_host_thread_due_at_one_instant_come_in_the_order_of_their_registration() {
    for host_first in [true, false] {
        let clock = Clock::virtual_time();
        let hold = clock.hold();
        let kernel = kernel_on(&clock);
        let log = Arc::new(Mutex::new(Vec::new()));
        // Until it waits it is busy, and no other turn begins.
        let host = || {
            let (mut timer, log) = (clock.host_timer("host"), log.clone());
            let host = thread::spawn(move || {
                timer.wait_until(Some(MS));
                log.lock().unwrap().push("host");
            });
            block_on(kernel.handle().spawn("settled", |_| async {}).unwrap()).unwrap();
            host
        };
        let before = host_first.then(host);
        let (ready, is_ready) = mpsc::channel();
        let entries = log.clone();
        let task = kernel.handle().spawn("task", move |cpu| async move {
            let mut sleep = std::pin::pin!(cpu.msleep(1));
            std::future::poll_fn(|cx| {
                let poll = sleep.as_mut().poll(cx);
                if poll.is_pending() {
                    ready.send(()).unwrap();
                }
                poll
            })
            .await;
            entries.lock().unwrap().push("task");
        });
        receive(&is_ready);
        let host = before.unwrap_or_else(host);
        drop(hold);
        host.join().unwrap();
        block_on(task.unwrap()).unwrap();
        let expected = if host_first { ["host", "task"] } else { ["task", "host"] };
        assert_eq!(*log.lock().unwrap(), expected);
    }
}

#[test]
fn r16_time_stands_still_while_a_host_thread_is_busy() {
    let clock = Clock::virtual_time();
    let kernel = kernel_on(&clock);
    let mut timer = clock.host_timer("worker");
    let notifier = timer.notifier();
    let (begin, begins) = mpsc::channel();
    let seen = clock.clone();
    let worker = thread::spawn(move || {
        assert_eq!(timer.wait_until(None), Woken::Notified);
        let before = seen.now();
        begin.send(()).unwrap();
        (0..3).for_each(|_| thread::yield_now());
        (before, seen.now())
    });
    let task = kernel.handle().spawn("main", move |cpu| async move {
        cpu.msleep(1).await;
        notifier.notify();
        cpu.msleep(1).await;
        cpu.now()
    });
    receive(&begins);
    assert_eq!(worker.join().unwrap(), (MS, MS));
    assert_eq!(block_on(task.unwrap()).unwrap(), 2 * MS);
}

#[test]
fn r16_a_host_threads_work_takes_no_time_what_it_raises_is_there_at_the_next_delivery_point() {
    let clock = Clock::virtual_time();
    let kernel = kernel_on(&clock);
    let line = kernel.handle().irq_line("device").unwrap();
    let mut timer = clock.host_timer("device");
    let notifier = timer.notifier();
    let raise = line.clone();
    let device = thread::spawn(move || {
        for _ in 0..10 {
            timer.wait_until(None);
            // However long it takes in the world of the host.
            (0..3).for_each(|_| thread::yield_now());
            raise.trigger().unwrap();
        }
    });
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let runs = std::rc::Rc::new(std::cell::Cell::new(0));
        let count = runs.clone();
        let _irq = cpu.request_irq(&line, "device", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        (0..10)
            .map(|_| {
                notifier.notify();
                cpu.cpu_relax();
                runs.get()
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (1..=10).collect::<Vec<_>>());
    device.join().unwrap();
}

#[test]
fn r16_a_host_thread_that_waits_for_the_kernel_stops_the_time_but_not_the_kernel() {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().clock(clock.clone()).patience(Duration::ZERO).build().unwrap();
    let mut timer = clock.host_timer("device");
    let notifier = timer.notifier();
    let (answer, answers) = mpsc::channel();
    let seen = clock.clone();
    let device = thread::spawn(move || {
        timer.wait_until(None);
        // Against the rules: only the kernel can end this wait.
        receive(&answers);
        (0..3).for_each(|_| thread::yield_now());
        seen.now()
    });
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        notifier.notify();
        // The kernel loses patience here, and goes on.
        cpu.cpu_relax();
        answer.send(()).unwrap();
        cpu.msleep(1).await;
        cpu.now()
    });
    assert_eq!(device.join().unwrap(), Duration::ZERO);
    assert_eq!(block_on(task.unwrap()).unwrap(), MS);
}

#[test]
fn r16_a_notification_during_work_ends_the_next_wait_and_counts_once() {
    let clock = Clock::virtual_time();
    let kernel = kernel_on(&clock);
    for clock in [clock.clone(), Clock::system()] {
        let mut timer = clock.host_timer("worker");
        let notifier = timer.notifier();
        notifier.notify();
        notifier.notify();
        assert_eq!(timer.wait_until(None), Woken::Notified);
        assert_eq!(timer.wait_until(Some(clock.now() + MS)), Woken::Due);
    }
    drop(kernel);
}

#[test]
fn r16_a_notification_takes_a_sleeper_off_the_clock() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let kernel = kernel_on(&clock);
    let mut timer = clock.host_timer("worker");
    let notifier = timer.notifier();
    let worker = thread::spawn(move || {
        let first = timer.wait_until(Some(Duration::from_secs(100)));
        (first, timer.now(), timer.wait_until(Some(MS)), timer.now())
    });
    notifier.notify();
    drop(hold);
    assert_eq!(worker.join().unwrap(), (Woken::Notified, Duration::ZERO, Woken::Due, MS));
    assert_eq!(kernel.handle().clock().now(), MS);
}

#[test]
fn r16_the_instant_of_a_wait_that_was_notified_ends_no_later_wait() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let kernel = kernel_on(&clock);
    let mut timer = clock.host_timer("worker");
    let notifier = timer.notifier();
    let worker = thread::spawn(move || [100, 300].map(|ms| (timer.wait_until(Some(ms * MS)), timer.now())));
    // Tasks have their turns when the worker waits.
    block_on(kernel.handle().spawn("settled", |_| async {}).unwrap()).unwrap();
    notifier.notify();
    block_on(kernel.handle().spawn("settled", |_| async {}).unwrap()).unwrap();
    drop(hold);
    assert_eq!(worker.join().unwrap(), [(Woken::Notified, Duration::ZERO), (Woken::Due, 300 * MS)]);
}

#[test]
fn r16_a_dropped_host_timer_holds_nobody_up() {
    let clock = Clock::virtual_time();
    let kernel = kernel_on(&clock);
    let timer = clock.host_timer("never waits");
    let task = kernel.handle().spawn("main", |cpu| async move {
        cpu.msleep(1).await;
        cpu.now()
    });
    drop(timer);
    assert_eq!(block_on(task.unwrap()).unwrap(), MS);
}

#[test]
fn r16_time_stands_still_under_a_hold_but_what_is_due_happens() {
    let clock = Clock::virtual_time();
    let kernel = kernel_on(&clock);
    let hold = clock.hold();
    let second = clock.hold();
    let (now, nows) = mpsc::channel();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let timer_now = now.clone();
        let timer = cpu.timer("due now", move |softirq| timer_now.send(softirq.now()).unwrap());
        timer.arm_in(Duration::ZERO);
        cpu.msleep(1).await;
        now.send(cpu.now()).unwrap();
    });
    assert_eq!(receive(&nows), Duration::ZERO);
    drop(hold);
    // Held by the other one: the kernel answers, and no time has passed.
    block_on(kernel.handle().spawn("probe", |cpu| async move { cpu.yield_now().await }).unwrap()).unwrap();
    assert_eq!(clock.now(), Duration::ZERO);
    assert!(nows.try_recv().is_err());
    drop(second);
    assert_eq!(receive(&nows), MS);
    block_on(task.unwrap()).unwrap();
}

#[test]
fn r16_run_until_moves_the_time_so_far_and_no_farther() {
    let clock = Clock::virtual_time();
    let kernel = kernel_on(&clock);
    let _hold = clock.hold();
    let log = Arc::new(Mutex::new(Vec::new()));
    let entries = log.clone();
    let task = kernel.handle().spawn("ticker", move |cpu| async move {
        loop {
            cpu.msleep(10).await;
            entries.lock().unwrap().push(cpu.now());
        }
    });
    let seen = || std::mem::take(&mut *log.lock().unwrap());
    drop(block_on(clock.run_until(25 * MS)));
    assert_eq!((clock.now(), seen()), (25 * MS, vec![10 * MS, 20 * MS]));
    // All that is due at that very instant has happened.
    drop(block_on(clock.run_until(40 * MS)));
    assert_eq!((clock.now(), seen()), (40 * MS, vec![30 * MS, 40 * MS]));
    // The past is reached already.
    drop(block_on(clock.run_until(MS)));
    assert_eq!((clock.now(), seen()), (40 * MS, vec![]));
    drop(task);
}

#[test]
fn r16_run_until_without_a_hold_stops_where_it_was_told_to() {
    let clock = Clock::virtual_time();
    let kernel = kernel_on(&clock);
    let start = clock.hold();
    let task = kernel.handle().spawn("sleeper", |cpu| async move {
        cpu.msleep(30).await;
        cpu.now()
    });
    let until = clock.run_until(20 * MS);
    let held = {
        let mut until = std::pin::pin!(until);
        let waker = futures::task::noop_waker();
        // Busy, this thread keeps the instant from coming before there is no hold but the one to come.
        let busy = clock.host_timer("main");
        assert!(until.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        drop((start, busy));
        block_on(until)
    };
    assert_eq!(clock.now(), 20 * MS);
    drop(held);
    assert_eq!(block_on(task.unwrap()).unwrap(), 30 * MS);
}

#[test]
fn a5_a_cancelled_run_until_lets_no_time_pass_after() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    {
        // No kernel runs on the clock yet, so nobody can have moved it.
        let mut until = std::pin::pin!(clock.run_until(Duration::from_secs(1)));
        let waker = futures::task::noop_waker();
        assert!(until.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    }
    let kernel = kernel_on(&clock);
    let task = kernel.handle().spawn("sleeper", |cpu| async move {
        cpu.msleep(1).await;
        cpu.now()
    });
    block_on(kernel.handle().spawn("probe", |cpu| async move { cpu.yield_now().await }).unwrap()).unwrap();
    assert_eq!(clock.now(), Duration::ZERO);
    drop(hold);
    assert_eq!(block_on(task.unwrap()).unwrap(), MS);
}

#[test]
fn a5_a_run_until_that_is_cancelled_when_its_instant_has_come_keeps_no_hold() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let kernel = kernel_on(&clock);
    let (woke, awake) = mpsc::channel();
    let task = kernel.handle().spawn("sleeper", move |cpu| async move {
        cpu.msleep(10).await;
        woke.send(cpu.now()).unwrap();
    });
    let mut until = Box::pin(clock.run_until(5 * MS));
    let mut context = std::task::Context::from_waker(futures::task::noop_waker_ref());
    drop(until.as_mut().poll(&mut context));
    while clock.now() < 5 * MS {
        thread::yield_now();
    }
    // Whoever has moved the time is done with it when this is counted.
    drop(clock.hold());
    drop(until);
    drop(hold);
    assert_eq!(receive(&awake), 10 * MS);
    block_on(task.unwrap()).unwrap();
}

#[test]
fn r9_a_task_that_a_host_thread_wakes_from_idle_finds_jiffies_up_to_date() {
    let clock = Clock::virtual_time();
    let kernel = kernel_on(&clock);
    let mut timer = clock.host_timer("device");
    let (wake, woken) = futures::channel::oneshot::channel();
    let device = thread::spawn(move || {
        assert_eq!(timer.wait_until(Some(5 * MS)), Woken::Due);
        wake.send(()).unwrap();
    });
    let task = kernel.handle().spawn("driver", |cpu| async move {
        woken.await.unwrap();
        // With IRQs off nothing brings them up to date any more.
        cpu.with_irqs_off(|| cpu.jiffies())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), 5);
    device.join().unwrap();
}

/// Tells what is in a log at the moment at which it is woken.
struct Snapshot {
    log: Arc<Mutex<Vec<&'static str>>>,
    tell: mpsc::Sender<Vec<&'static str>>,
}

impl Wake for Snapshot {
    fn wake(self: Arc<Self>) {
        self.tell.send(self.log.lock().unwrap().clone()).unwrap();
    }
}

#[test]
fn r16_a_run_until_that_is_reached_already_ends_behind_all_that_is_due() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let kernel = kernel_on(&clock);
    drop(block_on(clock.run_until(40 * MS)));
    let log = Arc::new(Mutex::new(Vec::new()));
    let (armed, is_armed) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel();
    let entries = log.clone();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let timer = cpu.timer("due now", move |_| entries.lock().unwrap().push("timer"));
        timer.arm_in(Duration::ZERO);
        armed.send(()).unwrap();
        // In the midst of its turn the kernel releases nobody.
        receive(&goes_on);
        cpu.msleep(1).await;
    });
    receive(&is_armed);
    let (tell, told) = mpsc::channel();
    let waker = Arc::new(Snapshot { log, tell }).into();
    let mut until = std::pin::pin!(clock.run_until(MS));
    let mut context = std::task::Context::from_waker(&waker);
    assert!(until.as_mut().poll(&mut context).is_pending());
    go_on.send(()).unwrap();
    assert_eq!(receive(&told), ["timer"]);
    assert!(until.as_mut().poll(&mut context).is_ready());
    assert_eq!(clock.now(), 40 * MS);
    drop(hold);
    block_on(task.unwrap()).unwrap();
}
