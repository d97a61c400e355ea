//! How many interrupts, and how many turns, in how much time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use airlift_runtime::{IrqLine, IrqReturn, Kernel};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::executor::block_on;

use crate::pairs::{Goal, compare, median, row};

/// Triggers that find their line pending, by one thread and by two.
pub(crate) fn coalescing() {
    const EACH: u32 = 2_000_000;
    const GOAL: f64 = 15e6;
    for threads in [1, 2] {
        let kernel = Kernel::new().unwrap();
        // Nobody requests it: pending for ever.
        let line = kernel.handle().irq_line("busy").unwrap();
        let rates = (0..9).map(|_| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let line = line.clone();
                    thread::spawn(move || {
                        let start = Instant::now();
                        (0..EACH).for_each(|_| line.trigger().unwrap());
                        f64::from(EACH) / start.elapsed().as_secs_f64()
                    })
                })
                .collect();
            let rates: Vec<f64> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
            rates.iter().sum::<f64>() / f64::from(threads)
        });
        let rate = median(rates);
        row(
            &format!("triggers on a busy line, {threads} thread{}", if threads == 1 { "" } else { "s" }),
            &format!("{:.1} ns each", 1e9 / rate),
            &format!("{:.1} M/s a thread", rate / 1e6),
            Some((format!(">= {} M/s", GOAL / 1e6), rate >= GOAL)),
        );
    }
}

/// Each line once and again when all have been handled: none coalesces, each is a token of its own.
pub(crate) fn distinct_tokens() {
    const LINES: u32 = 4096;
    let kernel = Kernel::new().unwrap();
    let handle = kernel.handle();
    let lines: Arc<[IrqLine]> = (1..=LINES).map(|n| handle.irq_line_at(n, "one of many").unwrap()).collect();
    let handled = Arc::new(AtomicU64::new(0));
    let (requested, counted) = (lines.clone(), handled.clone());
    let task = handle.spawn("driver", move |cpu| async move {
        for line in requested.iter() {
            let counted = counted.clone();
            let handler = move |_: &mut airlift_runtime::HardIrq<'_>| {
                counted.fetch_add(1, Ordering::Release);
                IrqReturn::Handled
            };
            // Never dropped: the line is requested for as long as the kernel runs.
            std::mem::forget(cpu.request_irq(line, "one of many", handler).unwrap());
        }
    });
    block_on(task.unwrap()).unwrap();

    // The bare channel carries what the kernel's carries: a pointer that is counted, to a number that is looked at.
    let (send, receive) = async_channel::unbounded::<Arc<AtomicU64>>();
    let tokens: Vec<_> = (0..LINES).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let received = Arc::new(AtomicU64::new(0));
    let counted = received.clone();
    let consumer = thread::spawn(move || {
        while let Ok(token) = receive.recv_blocking() {
            token.fetch_add(1, Ordering::Relaxed);
            counted.fetch_add(1, Ordering::Release);
        }
    });
    let all = |count: &AtomicU64, send: &mut dyn FnMut()| {
        let target = count.load(Ordering::Acquire) + u64::from(LINES);
        let start = Instant::now();
        send();
        while count.load(Ordering::Acquire) < target {
            std::hint::spin_loop();
        }
        start.elapsed()
    };
    compare(
        "distinct tokens through the channel to handlers",
        Goal::AtLeast(0.8),
        101,
        LINES,
        || all(&handled, &mut || lines.iter().for_each(|line| line.trigger().unwrap())),
        || all(&received, &mut || tokens.iter().for_each(|token| send.try_send(token.clone()).unwrap())),
    );
    drop(send);
    consumer.join().unwrap();
}

/// Gives up the turn; the same for both executors.
async fn turn() {
    let mut given = false;
    std::future::poll_fn(move |cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn taking_turns() {
    // Not `Send`, as drivers' tasks are.
    let count = Rc::new(Cell::new(0));
    for _ in 0..TURNS {
        turn().await;
        count.set(count.get() + 1);
    }
}

const TASKS: u32 = 64;
const TURNS: u32 = 500;

/// Tasks that take turns, and two that wake each other.
pub(crate) fn tasks() {
    let kernel = Kernel::new().unwrap();
    let on_kernel = |work: fn(&airlift_runtime::Cpu) -> Vec<airlift_runtime::JoinHandle<()>>| {
        let task = kernel.handle().spawn("bench", move |cpu| async move {
            let start = Instant::now();
            for task in work(&cpu) {
                task.await.unwrap();
            }
            start.elapsed()
        });
        block_on(task.unwrap()).unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let on_tokio = |work: fn() -> Vec<tokio::task::JoinHandle<()>>| {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let start = Instant::now();
            for task in work() {
                task.await.unwrap();
            }
            start.elapsed()
        })
    };
    compare(
        "task turn (floor: tokio's LocalSet)",
        Goal::AtLeast(1.0),
        61,
        TASKS * TURNS,
        || on_kernel(|cpu| (0..TASKS).map(|_| cpu.spawn("turns", move |_| taking_turns())).collect()),
        || on_tokio(|| (0..TASKS).map(|_| tokio::task::spawn_local(taking_turns())).collect()),
    );
    compare(
        "task wakes task (floor: tokio's LocalSet)",
        Goal::AtLeast(1.0),
        61,
        2 * PINGS,
        || {
            on_kernel(|cpu| {
                let [ping, pong] = ping_pong();
                vec![cpu.spawn("ping", |_| ping), cpu.spawn("pong", |_| pong)]
            })
        },
        || on_tokio(|| ping_pong().into_iter().map(tokio::task::spawn_local).collect()),
    );
}

const PINGS: u32 = 10_000;

/// Two tasks that hand a token to and fro, each waiting for the other.
fn ping_pong() -> [impl Future<Output = ()> + 'static; 2] {
    let (to_pong, at_pong) = mpsc::unbounded();
    let (to_ping, at_ping) = mpsc::unbounded();
    to_ping.unbounded_send(()).unwrap();
    [(to_pong, at_ping), (to_ping, at_pong)].map(|(send, mut receive)| async move {
        for _ in 0..PINGS {
            receive.next().await;
            // The other has what it needs, at the very end.
            let _ = send.unbounded_send(());
        }
    })
}

/// One trigger by a task of the kernel, whose handler has run when it returns.
pub(crate) fn own_trigger() {
    const EACH: u32 = 100_000;
    let kernel = Kernel::new().unwrap();
    let line = kernel.handle().irq_line("self").unwrap();
    let times = (0..9).map(|_| {
        let line = line.clone();
        let task = kernel.handle().spawn("driver", move |cpu| async move {
            let count = Rc::new(Cell::new(0u32));
            let handler = count.clone();
            let _irq = cpu.request_irq(&line, "self", move |_| {
                handler.set(handler.get() + 1);
                IrqReturn::Handled
            });
            let start = Instant::now();
            (0..EACH).for_each(|_| line.trigger().unwrap());
            assert_eq!(count.get(), EACH);
            start.elapsed()
        });
        Duration::as_secs_f64(&block_on(task.unwrap()).unwrap()) / f64::from(EACH)
    });
    let each = median(times);
    row("trigger by a task -> its handler", &format!("{:.1} ns", each * 1e9), "", None);
}
