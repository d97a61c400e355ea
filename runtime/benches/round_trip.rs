//! What a trip between the kernel core and a host thread costs, beside the floor that this machine sets.
//!
//! `cargo bench -p airlift-runtime`. Medians over several runs, since one run tells more of its neighbours.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use airlift_runtime::{Completion, IrqReturn, Kernel, Woken};
use futures::executor::block_on;

const TRIPS: u64 = 8_000;
const RUNS: usize = 7;

fn main() {
    println!("{TRIPS} round trips between two threads, median of {RUNS} runs");
    report("floor: two threads spinning on two words", spinning);
    report("floor: two threads parking in turns", parking);
    report("kernel task -> host thread -> IRQ -> task", through_the_kernel);
    report("kernel task -> own trigger -> handler (no thread)", within_the_kernel);
    let samples = wake_latency();
    println!("trigger -> handler, kernel idle for 50 us before: median {:?}", samples[samples.len() / 2]);
    if let Some(cpu) = idle() {
        println!("an idle kernel, 1 s: {cpu:?} of processor time");
    }
}

fn report(what: &str, run: impl Fn() -> Duration) {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| run()).collect();
    times.sort();
    let median = times[RUNS / 2];
    println!("{median:>12.3?}  {:>9.3?} each  {what}", median / TRIPS as u32);
}

fn spinning() -> Duration {
    let word = Arc::new(AtomicU64::new(0));
    let other = word.clone();
    let thread = thread::spawn(move || {
        for trip in 0..TRIPS {
            while other.load(Ordering::Acquire) != 2 * trip + 1 {
                std::hint::spin_loop();
            }
            other.store(2 * trip + 2, Ordering::Release);
        }
    });
    let start = Instant::now();
    for trip in 0..TRIPS {
        word.store(2 * trip + 1, Ordering::Release);
        while word.load(Ordering::Acquire) != 2 * trip + 2 {
            std::hint::spin_loop();
        }
    }
    let took = start.elapsed();
    thread.join().unwrap();
    took
}

fn parking() -> Duration {
    let turn = Arc::new(AtomicBool::new(false));
    let other = turn.clone();
    let main = thread::current();
    let thread = thread::spawn(move || {
        for _ in 0..TRIPS {
            while !other.load(Ordering::Acquire) {
                thread::park();
            }
            other.store(false, Ordering::Release);
            main.unpark();
        }
    });
    let start = Instant::now();
    for _ in 0..TRIPS {
        turn.store(true, Ordering::Release);
        thread.thread().unpark();
        while turn.load(Ordering::Acquire) {
            thread::park();
        }
    }
    let took = start.elapsed();
    thread.join().unwrap();
    took
}

fn through_the_kernel() -> Duration {
    let kernel = Kernel::new().unwrap();
    let handle = kernel.handle();
    let line = handle.irq_line("echo").unwrap();
    let mut timer = handle.clock().host_timer("echo");
    let notifier = timer.notifier();
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, raise) = (stop.clone(), line.clone());
    let device = thread::spawn(move || {
        while timer.wait_until(None) == Woken::Notified && !stopped.load(Ordering::Acquire) {
            raise.trigger().unwrap();
        }
    });
    let to_device = notifier.clone();
    let task = handle.spawn("driver", move |cpu| async move {
        let done = Rc::new(Completion::new());
        let handler = done.clone();
        let _irq = cpu.request_irq(&line, "echo", move |_| {
            handler.complete();
            IrqReturn::Handled
        });
        let start = Instant::now();
        for _ in 0..TRIPS {
            to_device.notify();
            done.wait(&cpu).await;
        }
        start.elapsed()
    });
    let took = block_on(task.unwrap()).unwrap();
    stop.store(true, Ordering::Release);
    notifier.notify();
    device.join().unwrap();
    kernel.shutdown_blocking();
    took
}

fn within_the_kernel() -> Duration {
    let kernel = Kernel::new().unwrap();
    let line = kernel.handle().irq_line("self").unwrap();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let count = Rc::new(Cell::new(0u64));
        let handler = count.clone();
        let _irq = cpu.request_irq(&line, "self", move |_| {
            handler.set(handler.get() + 1);
            IrqReturn::Handled
        });
        let start = Instant::now();
        for _ in 0..TRIPS {
            line.trigger().unwrap();
        }
        assert_eq!(count.get(), TRIPS);
        start.elapsed()
    });
    block_on(task.unwrap()).unwrap()
}

fn wake_latency() -> Vec<Duration> {
    let kernel = Kernel::new().unwrap();
    let line = kernel.handle().irq_line("late").unwrap();
    let (times, took) = std::sync::mpsc::channel();
    let for_handler = line.clone();
    let _task = kernel.handle().spawn("driver", move |cpu| async move {
        let _irq = cpu.request_irq(&for_handler, "late", move |_| {
            times.send(Instant::now()).unwrap();
            IrqReturn::Handled
        });
        std::future::pending::<()>().await;
    });
    let mut samples: Vec<Duration> = (0..2_000)
        .map(|_| {
            let rest = Instant::now();
            while rest.elapsed() < Duration::from_micros(50) {
                std::hint::spin_loop();
            }
            let start = Instant::now();
            line.trigger().unwrap();
            took.recv().unwrap() - start
        })
        .collect();
    samples.sort();
    samples
}

/// Processor time that an idle kernel's threads take in a second; known on Linux only.
fn idle() -> Option<Duration> {
    let kernel = Kernel::builder().name("idle").build().unwrap();
    let warm = kernel.handle().spawn("warm", |cpu| async move { cpu.msleep(5).await });
    block_on(warm.unwrap()).unwrap();
    thread::sleep(Duration::from_millis(20));
    let used = || -> Option<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
            let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
            if comm.starts_with("idle") {
                let times = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
                sum += times.split_whitespace().next()?.parse::<u64>().ok()?;
            }
        }
        Some(sum)
    };
    let before = used()?;
    thread::sleep(Duration::from_secs(1));
    Some(Duration::from_nanos(used()? - before))
}
