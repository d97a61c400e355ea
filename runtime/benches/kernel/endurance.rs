//! A kernel in a storm, an idle one, and one with nothing but spinlocks to take.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use airlift_runtime::{IrqLine, IrqReturn, Kernel, LOCK_VALIDATOR, SpinLock};
use futures::executor::block_on;

use crate::pairs::{Goal, Nanos, compare, row};

const THREADS: u64 = 8;
const LINES: u32 = 64;
const TRIGGERS: u64 = 5_000_000;
const TICK: Duration = Duration::from_millis(1);

/// Kibibytes of this process's own memory; known on Linux only.
fn anonymous_kib() -> Option<u64> {
    status("RssAnon:", "/proc/self/status")
}

fn status(field: &str, file: &str) -> Option<u64> {
    let status = std::fs::read_to_string(file).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How late a thread is that never sleeps, as the kernel's does not in a storm, and has its processor taken away for
/// others now and then.
fn bare_ticks(stop: &AtomicBool) -> Vec<f64> {
    let mut late = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let due = Instant::now() + TICK;
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        late.push((Instant::now() - due).as_secs_f64());
    }
    late
}

pub(crate) fn storm() {
    let kernel = Kernel::new().unwrap();
    let handle = kernel.handle();
    let lines: Arc<[IrqLine]> = (1..=LINES).map(|n| handle.irq_line_at(n, "storm").unwrap()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicU64::new(0));
    let (requested, stopped, turned) = (lines.clone(), stop.clone(), turns.clone());
    let driver = handle.spawn("driver", move |cpu| async move {
        let runs = Rc::new(Cell::new(0u64));
        let actions: Vec<_> = requested
            .iter()
            .map(|line| {
                let runs = runs.clone();
                cpu.request_irq(line, "storm", move |_| {
                    runs.set(runs.get() + 1);
                    IrqReturn::Handled
                })
            })
            .collect();
        let (busy, over) = (stopped.clone(), stopped.clone());
        let busy = cpu.spawn("busy", move |cpu| async move {
            while !busy.load(Ordering::Relaxed) {
                turned.fetch_add(1, Ordering::Relaxed);
                cpu.yield_now().await;
            }
        });
        let mut late = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let due = cpu.now() + TICK;
            cpu.sleep_until(due).await;
            late.push((cpu.now() - due).as_secs_f64());
        }
        busy.await.unwrap();
        drop(actions);
        (late, runs.get())
    });
    let stopped = stop.clone();
    let floor = thread::spawn(move || bare_ticks(&stopped));
    thread::sleep(Duration::from_millis(20));
    let before = anonymous_kib();
    let mut peak = before;
    let start = Instant::now();
    let left = Arc::new(AtomicU64::new(THREADS));
    let storm: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (lines, left) = (lines.clone(), left.clone());
            thread::spawn(move || {
                for trigger in 0..TRIGGERS {
                    lines[((trigger + thread * 8) % u64::from(LINES)) as usize].trigger().unwrap();
                }
                left.fetch_sub(1, Ordering::Relaxed);
            })
        })
        .collect();
    while left.load(Ordering::Relaxed) > 0 {
        thread::sleep(Duration::from_millis(5));
        peak = peak.max(anonymous_kib());
    }
    let took = start.elapsed();
    storm.into_iter().for_each(|thread| thread.join().unwrap());
    stop.store(true, Ordering::Relaxed);
    let (late, runs) = block_on(driver.unwrap()).unwrap();
    let floor = floor.join().unwrap();
    let stats = handle.stats();
    let sum = |pick: fn(&airlift_runtime::LineStats) -> u64| {
        stats.lines.iter().filter(|line| line.number > 0).map(pick).sum::<u64>()
    };
    let (raised, delivered) = (sum(|line| line.raised), sum(|line| line.delivered));
    let unheard = sum(|line| line.coalesced + u64::from(line.pending));
    // Against what the threads have done and what the handlers have seen.
    let balanced = (raised, delivered, unheard) == (THREADS * TRIGGERS, runs, THREADS * TRIGGERS - runs);
    row(
        "storm: 8 threads, 64 lines, 5 M triggers each",
        &format!("{:.1} M/s in all", raised as f64 / took.as_secs_f64() / 1e6),
        &format!("{delivered} delivered"),
        Some(("all triggers raised, all runs delivered, the rest coalesced".to_owned(), balanced)),
    );
    if let (Some(before), Some(peak)) = (before, peak) {
        let grown = peak.saturating_sub(before);
        row(
            "  memory",
            &format!("{grown} KiB more at the peak"),
            "",
            Some(("flat".to_owned(), grown < 1024)),
        );
    }
    let (ticks, floors) = (late.len(), floor.len());
    let mean = |late: Vec<f64>| late.iter().sum::<f64>() / late.len() as f64;
    let (late, floor) = (mean(late), mean(floor));
    row(
        "  sleeps of 1 ms: mean lateness",
        &format!("{} (spinning thread {})", Nanos(late), Nanos(floor)),
        &format!("{ticks} ({floors})"),
        Some(("<= 2 x the spinning thread's".to_owned(), late <= 2.0 * floor)),
    );
    row("  turns of a busy task", &format!("{}", turns.load(Ordering::Relaxed)), "", None);
}

/// Wake-ups of the kernel's threads in a second, and what a kernel takes of memory.
pub(crate) fn idle() {
    const KERNELS: u64 = 32;
    let start = |name: &str| {
        let kernel = Kernel::builder().name(name).build().unwrap();
        let warm = kernel.handle().spawn("warm", |cpu| async move { cpu.msleep(5).await });
        block_on(warm.unwrap()).unwrap();
        kernel
    };
    let first = start("idle");
    thread::sleep(Duration::from_millis(20));
    let woken = || -> Option<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
            let path = task.path();
            if std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("idle")) {
                sum += status("voluntary_ctxt_switches:", path.join("status").to_str()?)?;
            }
        }
        Some(sum)
    };
    let before = woken();
    thread::sleep(Duration::from_secs(1));
    if let (Some(before), Some(after)) = (before, woken()) {
        let woken = after - before;
        row("idle kernel: wake-ups in a second", &woken.to_string(), "", Some(("0".to_owned(), woken == 0)));
    }
    let before = anonymous_kib();
    let kernels: Vec<_> = (0..KERNELS).map(|n| start(&format!("idle {n}"))).collect();
    if let (Some(before), Some(after)) = (before, anonymous_kib()) {
        let each = after.saturating_sub(before) / KERNELS;
        let told = "with its used stack";
        row("  memory of a kernel", &format!("{each} KiB"), told, Some(("< 1 MiB".to_owned(), each < 1024)));
    }
    drop((first, kernels));
}

/// What a spinlock costs beside a `RefCell` and the two things that it must do: count itself, name its owner.
pub(crate) fn spinlocks() {
    const EACH: u32 = 100_000;
    let kernel = Kernel::new().unwrap();
    let run = |floor: bool| {
        let task = kernel.handle().spawn("locks", move |cpu| async move {
            let lock = SpinLock::new("bench", 0u64);
            let (cell, held) = (RefCell::new(0u64), Cell::new(0u32));
            let start = Instant::now();
            for _ in 0..EACH {
                // The value is shown to be used, or it and the flag beside it are counted up as one piece.
                if floor {
                    held.set(held.get() + 1);
                    *std::hint::black_box(&mut *std::hint::black_box(&cell).borrow_mut()) += 1;
                    held.set(std::hint::black_box(&held).get() - 1);
                } else {
                    *std::hint::black_box(&mut *std::hint::black_box(&lock).lock(&cpu)) += 1;
                }
            }
            start.elapsed()
        });
        block_on(task.unwrap()).unwrap()
    };
    let validator = if LOCK_VALIDATOR { "on" } else { "off" };
    let what = format!("spinlock, validator {validator} (floor: RefCell)");
    compare(&what, Goal::None, 31, EACH, || run(false), || run(true));
}
