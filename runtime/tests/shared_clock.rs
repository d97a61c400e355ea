//! Several kernels on one virtual clock: R16.

mod common;

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use airlift_runtime::{Clock, Kernel, KernelHandle};
use common::receive;
use futures::executor::block_on;

const MS: Duration = Duration::from_millis(1);

fn kernel_on(clock: &Clock) -> Kernel {
    Kernel::builder().clock(clock.clone()).build().unwrap()
}

/// A task that sleeps until `due`, and sends the time at which it wakes. Its kernel is asleep when this returns, and
/// waits for that instant.
fn asleep_until(due: Duration, kernel: &KernelHandle) -> mpsc::Receiver<Duration> {
    let (woke, awake) = mpsc::channel();
    let (begins, has_begun) = mpsc::channel();
    let task = kernel.spawn("sleeper", move |cpu| async move {
        begins.send(cpu.kernel().stats().parks).unwrap();
        cpu.sleep_until(due).await;
        let _ = woke.send(cpu.now());
    });
    let parks = receive(&has_begun);
    let begin = std::time::Instant::now();
    while kernel.stats().parks == parks {
        assert!(begin.elapsed() < common::HANG, "{}", kernel.stats());
        thread::yield_now();
    }
    drop(task);
    awake
}

#[test]
fn r16_kernels_on_one_clock_wait_for_each_other() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let (one, two) = (kernel_on(&clock), kernel_on(&clock));
    let log = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = [(&one, 2), (&two, 3)]
        .into_iter()
        .map(|(kernel, period)| {
            let log = log.clone();
            let task = kernel.handle().spawn("ticker", move |cpu| async move {
                for _ in 0..4 {
                    cpu.msleep(period).await;
                    log.lock().unwrap().push((cpu.now().as_millis(), period));
                }
            });
            task.unwrap()
        })
        .collect();
    for kernel in [&one, &two] {
        block_on(kernel.handle().spawn("probe", |_| async {}).unwrap()).unwrap();
    }
    drop(hold);
    tasks.into_iter().for_each(|task| block_on(task).unwrap());
    let log = log.lock().unwrap();
    let times: Vec<_> = log.iter().map(|(at, _)| *at).collect();
    assert!(times.is_sorted(), "{log:?}");
    assert_eq!(log.len(), 8);
}

#[test]
fn r16_a_kernel_in_the_midst_of_a_turn_stops_the_time_of_the_others() {
    let clock = Clock::virtual_time();
    let (busy, idle) = (kernel_on(&clock), kernel_on(&clock));
    let (in_turn, is_in_turn) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let turn = busy.handle().spawn("busy", move |_| async move {
        in_turn.send(()).unwrap();
        receive(&released);
    });
    receive(&is_in_turn);
    // It has nothing to do and a timer to wait for, and does not move the time.
    let awake = asleep_until(MS, &idle.handle());
    assert_eq!(clock.now(), Duration::ZERO);
    release.send(()).unwrap();
    block_on(turn.unwrap()).unwrap();
    assert_eq!(receive(&awake), MS);
}

#[test]
fn r16_the_end_of_a_kernel_wakes_those_whose_time_it_kept_from_running() {
    let clock = Clock::virtual_time();
    let (leaves, stays) = (kernel_on(&clock), kernel_on(&clock));
    let (in_turn, is_in_turn) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let turn = leaves.handle().spawn("busy", move |_| async move {
        in_turn.send(()).unwrap();
        receive(&released);
    });
    receive(&is_in_turn);
    let awake = asleep_until(5 * MS, &stays.handle());
    // It ends straight from that turn, without being idle once.
    let end = leaves.shutdown();
    release.send(()).unwrap();
    block_on(end);
    assert_eq!(receive(&awake), 5 * MS);
    drop(turn);
}

#[test]
fn r16_chaos_moves_no_time_while_another_kernel_is_in_the_midst_of_a_turn() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let chaotic = Kernel::builder().clock(clock.clone()).chaos(1).build().unwrap();
    let awake = asleep_until(MS, &chaotic.handle());
    let busy = kernel_on(&clock);
    let (in_turn, is_in_turn) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let turn = busy.handle().spawn("busy", move |_| async move {
        in_turn.send(()).unwrap();
        receive(&released);
    });
    receive(&is_in_turn);
    drop(hold);
    // One in four of these lets the time move, if it may.
    let relaxes = chaotic.handle().spawn("relaxes", |cpu| async move {
        for _ in 0..100 {
            cpu.cpu_relax();
            cpu.yield_now().await;
        }
        cpu.now()
    });
    assert_eq!(block_on(relaxes.unwrap()).unwrap(), Duration::ZERO);
    release.send(()).unwrap();
    block_on(turn.unwrap()).unwrap();
    assert_eq!(receive(&awake), MS);
}

#[test]
fn r16_the_steps_of_several_kernels_under_chaos_come_in_the_order_of_time_and_none_early() {
    for seed in 0..3 {
        let clock = Clock::virtual_time();
        let hold = clock.hold();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kernels = [3, 4, 7].map(|period| {
            let kernel = Kernel::builder().clock(clock.clone()).chaos(seed * 10 + period).build().unwrap();
            let log = log.clone();
            let task = kernel.handle().spawn("steps", move |cpu| async move {
                for step in 1..=12 {
                    let due = Duration::from_millis(period * step);
                    cpu.sleep_until(due).await;
                    // While this turn goes on, nobody else lets the time move; it does so itself where it relaxes.
                    log.lock().unwrap().push((cpu.now(), due));
                    (0..step % 3).for_each(|_| cpu.cpu_relax());
                }
            });
            (kernel, task.unwrap())
        });
        drop(hold);
        let kernels = kernels.map(|(kernel, task)| {
            block_on(task).unwrap();
            kernel
        });
        drop(kernels);
        let log = std::mem::take(&mut *log.lock().unwrap());
        assert_eq!(log.len(), 3 * 12);
        assert!(log.is_sorted_by_key(|(now, _)| *now), "seed {seed}: {log:?}");
        assert!(log.iter().all(|(now, due)| now >= due), "seed {seed}: {log:?}");
    }
}
