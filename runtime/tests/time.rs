//! Kernel time: R9.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use airlift_runtime::{Clock, Elapsed, HZ, JIFFY, Kernel, SpinLock, Timer};
use common::{Log, kernel, on_kernel, receive};
use futures::executor::block_on;

const MS: Duration = Duration::from_millis(1);

/// Some jiffies pass on the system's clock, and nobody looks at them. The jiffy that it is then, at least.
fn pass_jiffies(clock: &Clock) -> u64 {
    let passed = clock.now().as_millis() as u64 * HZ / 1000 + 3;
    while clock.now() < JIFFY * passed as u32 {
        std::hint::spin_loop();
    }
    passed
}

#[test]
fn r9_sleeps_are_never_early_on_either_clock() {
    for clock in [Clock::system(), Clock::virtual_time()] {
        let kernel = Kernel::builder().clock(clock).build().unwrap();
        let task = kernel.handle().spawn("sleeper", |cpu| async move {
            let mut slept = Vec::new();
            for _ in 0..3 {
                let before = cpu.now();
                cpu.msleep(2).await;
                slept.push((cpu.now() - before, 2 * MS));
                let before = cpu.now();
                cpu.sleep(Duration::from_nanos(70_001)).await;
                slept.push((cpu.now() - before, Duration::from_nanos(70_001)));
                let before = cpu.now();
                cpu.schedule_timeout(2).await;
                slept.push((cpu.now() - before, 2 * JIFFY));
            }
            slept
        });
        for (slept, asked) in block_on(task.unwrap()).unwrap() {
            assert!(slept >= asked, "{slept:?} < {asked:?}");
        }
    }
}

#[test]
fn r9_timers_that_are_close_to_each_other_are_never_early() {
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let early = Rc::new(Cell::new(0));
        let begin = cpu.now();
        let timers: Vec<Timer> = (1..=40u32)
            .map(|number| {
                let (count, due) = (early.clone(), begin + number * Duration::from_micros(150));
                let timer = cpu.timer("close", move |softirq| {
                    count.set(count.get() + u32::from(softirq.now() < due));
                });
                timer.arm_in(number * Duration::from_micros(150));
                timer
            })
            .collect();
        while timers.iter().any(Timer::is_pending) {
            cpu.msleep(1).await;
        }
        early.get()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), 0);
}

#[test]
fn r9_a_timer_that_has_expired_can_be_deleted_until_its_softirq_runs() {
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let fired = Rc::new(Cell::new(false));
        let flag = fired.clone();
        let timer = cpu.timer("test", move |_| flag.set(true));
        cpu.with_softirqs_off(|| {
            timer.arm_in(MS);
            // Until the interrupt has taken it off the queue.
            while timer.expires().is_some() {
                cpu.cpu_relax();
            }
            assert!(timer.is_pending());
            assert_eq!((timer.timer_delete(), timer.timer_delete()), (true, false));
        });
        cpu.yield_now().await;
        fired.get()
    });
    assert!(!block_on(task.unwrap()).unwrap());
}

#[test]
fn r9_a_dropped_timer_moves_no_time() {
    let kernel = kernel();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let timer = cpu.timer("dropped", |_| {});
        timer.mod_timer(1_000);
        drop(timer);
        cpu.msleep(1).await;
        cpu.clock().hold()
    });
    let _hold = block_on(task.unwrap()).unwrap();
    assert_eq!(kernel.shutdown_blocking().timers_dropped, 0);
}

#[test]
fn r9_a_high_resolution_sleep_ends_on_the_nanosecond() {
    let slept = on_kernel(|cpu| async move {
        cpu.sleep(Duration::from_nanos(1)).await;
        cpu.sleep(Duration::from_nanos(12_345)).await;
        cpu.now()
    });
    assert_eq!(slept, Duration::from_nanos(12_346));
}

#[test]
fn r9_schedule_timeout_sleeps_whole_jiffies_to_the_beginning_of_one() {
    let ends = on_kernel(|cpu| async move {
        cpu.schedule_timeout(2).await;
        let from_a_boundary = cpu.now();
        cpu.sleep(MS / 4).await;
        cpu.schedule_timeout(2).await;
        (from_a_boundary, cpu.now())
    });
    assert_eq!(ends, (2 * JIFFY, 5 * JIFFY));
}

#[test]
fn r9_jiffies_follow_the_clock_and_stand_still_with_irqs_off() {
    assert_eq!(JIFFY * HZ as u32, Duration::from_secs(1));
    let jiffies = on_kernel(|cpu| async move {
        let at_start = cpu.jiffies();
        cpu.msleep(7).await;
        (at_start, cpu.jiffies())
    });
    assert_eq!(jiffies, (0, 7));

    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let task = kernel.handle().spawn("spinner", |cpu| async move {
        let frozen = cpu.with_irqs_off(|| {
            let (jiffies, begin) = (cpu.jiffies(), cpu.now());
            while cpu.now() - begin < 3 * JIFFY {
                cpu.cpu_relax();
            }
            cpu.jiffies() == jiffies
        });
        let jiffies = cpu.jiffies();
        // The loop that Linux drivers write, `while (time_before(jiffies, end)) cpu_relax();`, ends.
        while cpu.jiffies() < jiffies + 2 {
            cpu.cpu_relax();
        }
        frozen
    });
    assert!(block_on(task.unwrap()).unwrap());
}

#[test]
fn r9_jiffies_are_right_at_the_first_look_with_irqs_off_and_stand_still_then() {
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let mut looks = Vec::new();
        for _ in 0..2 {
            let passed = pass_jiffies(&cpu.clock());
            looks.push(cpu.with_irqs_off(|| {
                let first = cpu.jiffies();
                pass_jiffies(&cpu.clock());
                (first >= passed, cpu.jiffies() == first)
            }));
        }
        looks
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), [(true, true); 2]);
}

#[test]
fn r9_a_task_that_a_host_thread_wakes_finds_jiffies_up_to_date_though_the_kernel_is_never_idle() {
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let handle = kernel.handle();
    let (wake, woken) = futures::channel::oneshot::channel::<u64>();
    let task = handle.spawn("woken", move |cpu| async move {
        let passed = woken.await.unwrap();
        // As others see them, before anybody here has looked; then with a lock held, as a driver arms its timer.
        let seen = cpu.kernel().stats().jiffies;
        let armed_from = SpinLock::new("test", ()).with_irqsave(&cpu, |()| cpu.jiffies());
        (seen >= passed, armed_from >= passed)
    });
    let (waits, is_waiting) = mpsc::channel();
    let busy = handle.spawn("busy", move |cpu| async move {
        // The other was created first, and has had its first turn.
        waits.send(()).unwrap();
        // No timer, no interrupt, no rest.
        loop {
            cpu.yield_now().await;
        }
    });
    let busy = busy.unwrap();
    receive(&is_waiting);
    wake.send(pass_jiffies(&handle.clock())).unwrap();
    assert_eq!(block_on(task.unwrap()).unwrap(), (true, true));
    busy.abort();
    assert!(block_on(busy).is_err());
}

#[test]
fn r9_an_interrupt_brings_jiffies_up_to_date_before_it_asks_and_when_it_ends() {
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let seen = Rc::new(Cell::new(None));
        let (asks, in_handler) = (Rc::new(Cell::new(true)), seen.clone());
        let ask = asks.clone();
        let _irq = cpu.request_irq(&line, "test", move |irq| {
            in_handler.set(ask.get().then(|| irq.jiffies()));
            airlift_runtime::IrqReturn::Handled
        });
        let passed = pass_jiffies(&cpu.clock());
        line.trigger().unwrap();
        let asked = seen.get().is_some_and(|jiffies| jiffies >= passed);
        asks.set(false);
        let passed = pass_jiffies(&cpu.clock());
        line.trigger().unwrap();
        (asked, cpu.kernel().stats().jiffies >= passed)
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (true, true));
}

#[test]
fn r9_mod_timer_arms_moves_and_fires_once() {
    let (armed, fired) = on_kernel(|cpu| async move {
        let log = Log::new();
        let entries = log.clone();
        let timer = cpu.timer("test", move |softirq| entries.push(softirq.jiffies()));
        let armed = [timer.mod_timer(5), timer.mod_timer(9), timer.is_pending(), timer.expires() == Some(9)];
        cpu.msleep(20).await;
        timer.arm_in(3 * MS);
        cpu.msleep(20).await;
        assert!(!timer.is_pending());
        (armed, log.take())
    });
    assert_eq!(armed, [false, true, true, true]);
    assert_eq!(fired, [9, 23]);
}

#[test]
fn r9_a_timer_may_arm_itself_again() {
    let fired = on_kernel(|cpu| async move {
        let log = Log::new();
        let own: Rc<RefCell<Option<Timer>>> = Rc::default();
        let (entries, again) = (log.clone(), own.clone());
        let timer = cpu.timer("periodic", move |softirq| {
            entries.push(softirq.jiffies());
            if entries.len() < 3 {
                again.borrow().as_ref().unwrap().mod_timer(softirq.jiffies() + 10);
            }
        });
        timer.mod_timer(10);
        *own.borrow_mut() = Some(timer);
        cpu.msleep(100).await;
        own.borrow_mut().take();
        log.take()
    });
    assert_eq!(fired, [10, 20, 30]);
}

#[test]
fn r9_a_deleted_timer_does_not_fire_even_when_it_was_due() {
    let fired = on_kernel(|cpu| async move {
        let fired = Rc::new(Cell::new(false));
        let flag = fired.clone();
        let timer = cpu.timer("test", move |_| flag.set(true));
        timer.mod_timer(5);
        let was_armed = timer.timer_delete_sync();
        let again = timer.timer_delete_sync();
        cpu.msleep(10).await;
        timer.mod_timer(15);
        drop(timer);
        cpu.msleep(10).await;
        // Expired in the interrupt, deleted before its softirq.
        let flag = fired.clone();
        let timer = cpu.timer("late", move |_| flag.set(true));
        timer.mod_timer(cpu.jiffies() + 1);
        let sleep = cpu.msleep(1);
        sleep.await;
        (was_armed, again, fired.get(), timer.timer_delete())
    });
    // The last one fired within the interrupt that ended the sleep, or was still to be deleted: never both.
    assert!(fired.0 && !fired.1);
    assert_ne!(fired.2, fired.3);
}

#[test]
fn r9_deleting_a_timer_from_its_own_callback_synchronously_is_refused() {
    let message = on_kernel(|cpu| async move {
        let own: Rc<RefCell<Option<Timer>>> = Rc::default();
        let again = own.clone();
        let timer = cpu.timer("own", move |_| {
            again.borrow().as_ref().unwrap().timer_delete_sync();
        });
        timer.mod_timer(1);
        *own.borrow_mut() = Some(timer);
        cpu.msleep(2).await;
        let timer = own.borrow_mut().take().unwrap();
        timer.panicked()
    });
    assert!(message.unwrap().contains("it would wait for itself"));
}

#[test]
fn r9_an_idle_kernel_is_tickless() {
    let kernel = kernel();
    let task = kernel.handle().spawn("sleeper", |cpu| async move {
        cpu.sleep(Duration::from_secs(3600)).await;
        cpu.jiffies()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), 3_600_000);
    let stats = kernel.handle().stats();
    // One interrupt in that hour: the one that ended the sleep.
    assert_eq!(stats.line(0).unwrap().raised, 1);
}

#[test]
fn r9_a_cancelled_sleep_moves_no_time() {
    let now = on_kernel(|cpu| async move {
        let short = cpu.timeout(Duration::from_secs(60), cpu.msleep(1)).await;
        assert_eq!(short, Ok(()));
        let long = cpu.timeout(2 * MS, cpu.sleep(Duration::from_secs(60))).await;
        assert_eq!(long, Err(Elapsed));
        cpu.yield_now().await;
        cpu.now()
    });
    assert_eq!(now, 3 * MS);
}

#[test]
fn r9_a_sleep_that_is_reset_ends_at_its_new_time_alone() {
    let ends = on_kernel(|cpu| async move {
        let mut ends = Vec::new();
        let mut sleep = Box::pin(cpu.sleep_until(60 * MS));
        assert_eq!(cpu.timeout(5 * MS, sleep.as_mut()).await, Err(Elapsed));
        // Armed, and nearer now.
        sleep.reset(20 * MS);
        assert_eq!(sleep.due(), 20 * MS);
        sleep.as_mut().await;
        ends.push(cpu.now());
        // Ended, begun anew, armed, and farther now.
        sleep.reset(30 * MS);
        assert_eq!(cpu.timeout(5 * MS, sleep.as_mut()).await, Err(Elapsed));
        sleep.reset(40 * MS);
        sleep.as_mut().await;
        ends.push(cpu.now());
        // Disarmed, it moves no time.
        sleep.reset(50 * MS);
        assert_eq!(cpu.timeout(5 * MS, sleep.as_mut()).await, Err(Elapsed));
        sleep.reset(Duration::from_secs(60));
        cpu.msleep(10).await;
        ends.push(cpu.now());
        ends
    });
    assert_eq!(ends, [20 * MS, 40 * MS, 55 * MS]);
}

#[test]
fn a5_a_sleep_counts_from_the_call_not_from_the_first_poll() {
    let now = on_kernel(|cpu| async move {
        let sleep = cpu.msleep(10);
        cpu.msleep(7).await;
        sleep.await;
        cpu.now()
    });
    assert_eq!(now, 10 * MS);
}

#[test]
fn r9_after_a_stall_all_that_came_due_fires_once_in_order_and_jiffies_are_right_at_once() {
    // As after a suspended host: the clock has run on, and the kernel finds many timers due together.
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let log = Log::new();
        let timers: Vec<Timer> = (0..100u64)
            .map(|number| {
                let entries = log.clone();
                cpu.timer(format!("{number}"), move |softirq| entries.push((number, softirq.jiffies())))
            })
            .collect();
        let begin = cpu.with_irqs_off(|| {
            // They stand still, so that none of them has begun when it is armed for.
            let begin = cpu.jiffies() + 1;
            // Armed out of order, over five jiffies.
            for (number, timer) in timers.iter().enumerate().rev() {
                timer.mod_timer(begin + number as u64 / 20);
            }
            while cpu.now() < JIFFY * (begin as u32 + 5) {
                std::hint::spin_loop();
            }
            begin
        });
        let stalled_until = cpu.jiffies();
        cpu.msleep(1).await;
        (log.take(), begin, stalled_until, timers.iter().any(Timer::is_pending))
    });
    let (fired, begin, stalled_until, pending) = block_on(task.unwrap()).unwrap();
    assert_eq!(fired.len(), 100);
    assert!(!pending && stalled_until >= begin + 5);
    // In the order of their instants; of one instant, in the order of their arming.
    let order: Vec<u64> = fired.iter().map(|&(number, _)| number).collect();
    let expected: Vec<u64> = (0..5).flat_map(|jiffy| (0..20).rev().map(move |n| jiffy * 20 + n)).collect();
    assert_eq!(order, expected);
    assert!(fired.iter().all(|&(_, jiffies)| jiffies >= begin + 5), "{fired:?}");
}

#[test]
fn r9_a_periodic_timer_that_catches_up_starves_no_task() {
    // It is always behind: armed for an instant that has passed, it is due at once, again and again.
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let fired = Rc::new(Cell::new(0u32));
        let own: Rc<RefCell<Option<Timer>>> = Rc::default();
        let (count, again) = (fired.clone(), own.clone());
        let timer = cpu.timer("behind", move |_| {
            count.set(count.get() + 1);
            if let Some(timer) = &*again.borrow() {
                timer.arm_in(Duration::ZERO);
            }
        });
        timer.arm_in(Duration::ZERO);
        *own.borrow_mut() = Some(timer);
        let mut turns = 0;
        while fired.get() < 50 {
            cpu.yield_now().await;
            turns += 1;
        }
        own.borrow_mut().take();
        turns
    });
    assert!(block_on(task.unwrap()).unwrap() > 0);
}

#[test]
#[cfg_attr(miri, ignore = "thousands of timers take too long there")]
fn r9_thousands_of_timers_and_sleeps_fire_each_at_its_instant() {
    const TIMERS: u64 = 5_000;
    let late = on_kernel(|cpu| async move {
        let log = Log::new();
        // A permutation of the instants, so that they are armed in no order.
        let instants = (0..TIMERS).map(|number| 1 + number * 7_919 % TIMERS);
        let timers: Vec<Timer> = instants
            .clone()
            .map(|at| {
                let entries = log.clone();
                let timer = cpu.timer("one of many", move |softirq| entries.push((at, softirq.jiffies())));
                timer.mod_timer(at);
                timer
            })
            .collect();
        let sleepers: Vec<_> = instants
            .map(|at| {
                let entries = log.clone();
                cpu.spawn("sleeper", move |cpu| async move {
                    cpu.sleep_until(JIFFY * at as u32).await;
                    entries.push((at, cpu.jiffies()));
                })
            })
            .collect();
        // Every third is deleted again.
        cpu.yield_now().await;
        let deleted = timers.iter().step_by(3).filter(|timer| timer.timer_delete()).count();
        futures::future::join_all(sleepers).await;
        let log = log.take();
        (log.len() + deleted, log.iter().filter(|(at, jiffies)| at != jiffies).count())
    });
    assert_eq!(late, (2 * TIMERS as usize, 0));
}

#[test]
#[cfg_attr(miri, ignore = "a storm takes too long there")]
fn r4_a_storm_of_distinct_lines_from_a_host_starves_neither_tasks_nor_timers() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let handle = kernel.handle();
    let lines: Vec<_> = (0..64).map(|number| handle.irq_line_at(100 + number, "storm").unwrap()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let (for_kernel, stopped) = (lines.clone(), stop.clone());
    let task = handle
        .spawn("main", move |cpu| async move {
            let runs: Rc<[Cell<u64>]> = for_kernel.iter().map(|_| Cell::new(0)).collect();
            let actions: Vec<_> = for_kernel
                .iter()
                .enumerate()
                .map(|(at, line)| {
                    let runs = runs.clone();
                    cpu.request_irq(line, "storm", move |irq| {
                        runs[at].set(runs[at].get() + 1);
                        irq.raise_softirq(airlift_runtime::Softirq::NetRx);
                        airlift_runtime::IrqReturn::Handled
                    })
                })
                .collect();
            // The softirq raises itself for ever, too.
            let _softirq = cpu.open_softirq(airlift_runtime::Softirq::NetRx, |softirq| {
                softirq.raise_softirq(airlift_runtime::Softirq::NetRx);
            });
            for _ in 0..3 {
                cpu.msleep(2).await;
                for _ in 0..10 {
                    cpu.yield_now().await;
                }
            }
            stopped.store(true, Ordering::Release);
            drop(actions);
            runs.iter().map(Cell::get).collect::<Vec<_>>()
        })
        .unwrap();
    let storm = std::thread::spawn(move || {
        let mut rounds = 0;
        while !stop.load(Ordering::Acquire) {
            lines.iter().for_each(|line| line.trigger().unwrap());
            rounds += 1;
        }
        (lines, rounds)
    });
    let runs = block_on(task).unwrap();
    let (lines, rounds) = storm.join().unwrap();
    let stats = kernel.handle().stats();
    for (line, runs) in lines.iter().zip(runs) {
        // What the storm raised after the handlers were freed stays pending.
        let line = stats.line(line.number()).unwrap();
        assert_eq!((line.raised, line.delivered), (rounds, runs), "{line:?}");
        assert_eq!(line.coalesced, rounds - runs - u64::from(line.pending), "{line:?}");
    }
}

#[test]
fn r9_a_timer_that_is_due_again_before_its_callback_ends_leaves_tasks_their_turns() {
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let line = kernel.handle().irq_line_at(0, "timer").unwrap();
    let task = kernel.handle().spawn("busy", move |cpu| async move {
        let stop = Rc::new(Cell::new(false));
        let timer = Rc::new(RefCell::new(None::<Timer>));
        let (stopped, again, inner) = (stop.clone(), timer.clone(), cpu.clone());
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        *timer.borrow_mut() = Some(cpu.timer("again", move |_| {
            count.set(count.get() + 1);
            if !stopped.get() {
                // Due at once, and its interrupt is taken in here.
                again.borrow().as_ref().unwrap().arm_in(Duration::ZERO);
                while !line.is_pending() {
                    std::hint::spin_loop();
                }
                while line.is_pending() {
                    inner.cpu_relax();
                }
            }
        }));
        timer.borrow().as_ref().unwrap().arm_in(Duration::ZERO);
        while runs.get() < 3 {
            cpu.yield_now().await;
        }
        stop.set(true);
        cpu.msleep(1).await;
        drop(timer.borrow_mut().take());
    });
    let (ended, has_ended) = mpsc::channel();
    std::thread::spawn(move || ended.send(block_on(task.unwrap())));
    receive(&has_ended).unwrap();
}

#[test]
fn r9_an_idle_kernel_is_tickless_on_the_systems_clock_too() {
    let kernel = Kernel::builder().clock(Clock::system()).build().unwrap();
    let handle = kernel.handle();
    block_on(handle.spawn("sleeper", |cpu| async move { cpu.msleep(1).await }).unwrap()).unwrap();
    // Since then no timer is armed, and the timer knows it; one interrupt more may be on its way.
    let raised = || handle.stats().line(0).unwrap().raised;
    let (before, clock) = (raised(), Clock::system());
    while clock.now() < JIFFY * 10 {
        std::thread::yield_now();
        assert!(raised() <= before + 1, "it ticks though nobody waits for it");
    }
}
