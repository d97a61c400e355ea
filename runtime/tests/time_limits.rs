//! Kernel time at its limits, R9: what is due at once, has been due already, or never will be.

mod common;

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use airlift_runtime::{Clock, Cpu, JIFFY, Kernel, Sleep, SoftIrq, Timer};
use common::{Log, kernel, on_kernel, receive};
use futures::executor::block_on;

const MS: Duration = Duration::from_millis(1);

#[test]
fn r9_sleeps_and_timers_for_never_do_not_fire_and_let_no_time_pass() {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().clock(clock.clone()).build().unwrap();
    let (armed, is_armed) = mpsc::channel();
    let ended = Arc::new(AtomicUsize::new(0));
    let ends = ended.clone();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let timers: Vec<Timer> = (0..5)
            .map(|_| {
                let ends = ends.clone();
                cpu.timer("never", move |_| _ = ends.fetch_add(1, Ordering::SeqCst))
            })
            .collect();
        timers[0].mod_timer(u64::MAX);
        timers[1].mod_timer(u64::MAX / 2);
        timers[2].mod_timer(u64::MAX / 1_000_000 + 1);
        timers[3].arm_in(Duration::MAX);
        timers[4].arm_in(Duration::from_nanos(u64::MAX));
        let expires: Vec<_> = timers.iter().map(Timer::expires).collect();
        let sleeps = [
            cpu.schedule_timeout(u64::MAX),
            // Linux: `MAX_SCHEDULE_TIMEOUT`.
            cpu.schedule_timeout(i64::MAX as u64),
            cpu.msleep(u64::MAX),
            cpu.sleep(Duration::MAX),
            cpu.sleep(Duration::from_nanos(u64::MAX)),
            cpu.sleep_until(Duration::MAX),
        ];
        for sleep in sleeps {
            let ends = ends.clone();
            drop(cpu.spawn("never", |_| async move {
                sleep.await;
                ends.fetch_add(1, Ordering::SeqCst);
            }));
        }
        armed.send(expires).unwrap();
        std::future::pending::<()>().await;
        drop(timers);
    });
    let expires = receive(&is_armed);
    assert_eq!(expires[..3], [Some(u64::MAX), Some(u64::MAX / 2), Some(u64::MAX / 1_000_000 + 1)]);
    // All is idle, with nothing but those armed, and time may run as it likes.
    drop(block_on(clock.run_until(MS)));
    for round in 1..=3u64 {
        let slept = kernel.handle().spawn("other", |cpu| async move {
            cpu.msleep(1).await;
            cpu.now()
        });
        assert_eq!(block_on(slept.unwrap()).unwrap(), (1 + round as u32) * MS);
    }
    assert_eq!((ended.load(Ordering::SeqCst), clock.now()), (0, 4 * MS));
    drop(task);
}

#[test]
fn r9_a_sleep_of_nothing_gives_up_the_turn_once() {
    type Sleeps = fn(&Cpu) -> Sleep;
    let nothing: [Sleeps; 5] = [
        |cpu| cpu.msleep(0),
        |cpu| cpu.schedule_timeout(0),
        |cpu| cpu.sleep(Duration::ZERO),
        |cpu| cpu.sleep_until(cpu.now()),
        |cpu| {
            let mut sleep = cpu.sleep(MS);
            sleep.reset(Duration::ZERO);
            sleep
        },
    ];
    for nothing in nothing {
        let turns = on_kernel(move |cpu| async move {
            let turns = Rc::new(Cell::new(0));
            let (count, stop) = (turns.clone(), Rc::new(Cell::new(false)));
            let stopped = stop.clone();
            let other = cpu.spawn("other", |cpu| async move {
                while !stopped.get() {
                    count.set(count.get() + 1);
                    cpu.yield_now().await;
                }
            });
            let mut seen = Vec::new();
            for _ in 0..3 {
                nothing(&cpu).await;
                seen.push(turns.get());
            }
            stop.set(true);
            other.await.unwrap();
            (seen, cpu.now())
        });
        // The other one has its turn at each, and one only; time does not pass.
        assert_eq!(turns, (vec![1, 2, 3], Duration::ZERO));
    }
}

#[test]
fn r9_a_sleep_that_came_due_while_others_ran_ends_at_its_first_poll() {
    let polls = on_kernel(|cpu| async move {
        let mut early = cpu.sleep(MS);
        cpu.msleep(5).await;
        let late = cpu.sleep(Duration::ZERO);
        cpu.yield_now().await;
        let waker = futures::task::noop_waker();
        let mut context = Context::from_waker(&waker);
        let ended = [Pin::new(&mut early).poll(&mut context), Pin::new(&mut { late }).poll(&mut context)];
        // One that has ended already is another when it is reset.
        early.reset(Duration::ZERO);
        let again = Pin::new(&mut early).poll(&mut context);
        (ended, again)
    });
    assert_eq!(polls, ([Poll::Ready(()); 2], Poll::Pending));
}

#[test]
fn r9_a_loop_of_sleeps_of_nothing_stops_neither_others_nor_the_shutdown() {
    let waits: [fn(&Cpu) -> Sleep; 3] =
        [|cpu| cpu.msleep(0), |cpu| cpu.schedule_timeout(0), |cpu| cpu.sleep(Duration::from_nanos(1))];
    for (wait, clock) in waits.into_iter().flat_map(|w| [(w, Clock::virtual_time()), (w, Clock::system())]) {
        let kernel = Kernel::builder().clock(clock).build().unwrap();
        let ready = Arc::new(AtomicBool::new(false));
        let is_ready = ready.clone();
        let waiter = kernel.handle().spawn("waiter", move |cpu| async move {
            while !is_ready.load(Ordering::Acquire) {
                wait(&cpu).await;
            }
        });
        let forever = kernel.handle().spawn("forever", move |cpu| async move {
            loop {
                wait(&cpu).await;
            }
        });
        let (ended, has_ended) = mpsc::channel();
        std::thread::spawn(move || {
            let other =
                kernel.handle().spawn("other", move |_| async move { ready.store(true, Ordering::Release) });
            block_on(other.unwrap()).unwrap();
            block_on(waiter.unwrap()).unwrap();
            ended.send(kernel.shutdown_blocking().tasks_dropped).unwrap();
        });
        assert_eq!(receive(&has_ended), ["forever"]);
        drop(forever);
    }
}

#[test]
fn r9_mod_timer_for_a_jiffy_that_has_begun_means_the_next_one() {
    let fired = on_kernel(|cpu| async move {
        cpu.sleep(5 * JIFFY + JIFFY / 3).await;
        let log = Log::new();
        let entries = log.clone();
        let timer = cpu.timer("late", move |softirq| entries.push(softirq.now()));
        let mut expires = Vec::new();
        for late in [0, 5] {
            timer.mod_timer(late);
            expires.push(timer.expires());
        }
        cpu.msleep(3).await;
        // At the very beginning of a jiffy, too.
        cpu.sleep_until(10 * JIFFY).await;
        timer.mod_timer(cpu.jiffies());
        cpu.msleep(3).await;
        (expires, log.take())
    });
    assert_eq!(fired, (vec![Some(6); 2], vec![6 * JIFFY, 11 * JIFFY]));
}

#[test]
fn r9_a_timer_that_arms_itself_for_jiffies_fires_in_every_jiffy_and_stops_neither_time_nor_others() {
    let jiffies_now: [fn(&SoftIrq<'_>) -> u64; 2] = [|softirq| softirq.jiffies(), |_| 0];
    for expires in jiffies_now {
        let kernel = kernel();
        let task = kernel.handle().spawn("main", move |cpu| async move {
            let log = Log::new();
            let own: Rc<RefCell<Option<Timer>>> = Rc::default();
            let (entries, again) = (log.clone(), own.clone());
            let timer = cpu.timer("every jiffy", move |softirq| {
                entries.push(softirq.jiffies());
                if let Some(timer) = &*again.borrow() {
                    timer.mod_timer(expires(softirq));
                }
            });
            timer.mod_timer(3);
            *own.borrow_mut() = Some(timer);
            cpu.sleep_until(6 * JIFFY + JIFFY / 2).await;
            own.borrow_mut().take();
            (log.take(), cpu.now())
        });
        let (ended, has_ended) = mpsc::channel();
        std::thread::spawn(move || ended.send(block_on(task.unwrap()).unwrap()));
        assert_eq!(receive(&has_ended), (vec![3, 4, 5, 6], 6 * JIFFY + JIFFY / 2));
    }
}
