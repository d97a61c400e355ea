//! Runs in virtual time repeat themselves, and chaos by its seed lands interrupts where silicon would.

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use airlift_runtime::{
    ChaosStats, Clock, Completion, HostTimer, IrqLine, IrqReturn, Kernel, Notifier, Softirq, Woken,
};
use common::Log;
use futures::executor::block_on;

/// A device that answers each of `requests` requests by an interrupt some time later.
fn device(mut timer: HostTimer, line: IrqLine, requests: usize) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for request in 0..requests as u32 {
            assert_eq!(timer.wait_until(None), Woken::Notified);
            let due = timer.now() + Duration::from_micros(50 + u64::from(request) % 7 * 30);
            while timer.wait_until(Some(due)) == Woken::Notified {}
            if line.trigger().is_err() {
                return;
            }
        }
    })
}

/// What a small driver sees of its device, entry by entry, in one run with `seed`.
fn trace(seed: Option<u64>) -> Vec<String> {
    const REQUESTS: usize = 20;
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let mut builder = Kernel::builder().clock(clock.clone());
    if let Some(seed) = seed {
        builder = builder.chaos(seed);
    }
    let kernel = builder.build().unwrap();
    let line = kernel.handle().irq_line("device").unwrap();
    let timer = clock.host_timer("device");
    let notifier: Notifier = timer.notifier();
    let device = device(timer, line.clone(), REQUESTS);
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        // Nothing before the hold is over, whenever that is: chaos may step then, and may not before.
        cpu.sleep(Duration::from_nanos(1)).await;
        let log = Log::new();
        let done = Rc::new(Completion::new());
        let (entries, complete, in_handler) = (log.clone(), done.clone(), cpu.clone());
        let _irq = cpu.request_irq(&line, "device", move |_| {
            entries.push(format!("{:?} irq", in_handler.now()));
            complete.complete();
            IrqReturn::Handled
        });
        let entries = log.clone();
        let ticker = cpu.spawn("ticker", move |cpu| async move {
            loop {
                cpu.sleep(Duration::from_micros(40)).await;
                entries.push(format!("{:?} tick", cpu.now()));
            }
        });
        for request in 0..REQUESTS {
            notifier.notify();
            let pending = cpu.with_irqs_off(|| {
                // Mid-poll, IRQs off: chaos may land the interrupt here.
                let flags = cpu.local_irq_save();
                cpu.local_irq_restore(flags);
                line.is_pending()
            });
            log.push(format!("{:?} request {request} {pending}", cpu.now()));
            done.wait(&cpu).await;
        }
        ticker.abort();
        log.take()
    });
    drop(hold);
    let log = block_on(task.unwrap()).unwrap();
    drop(kernel);
    device.join().unwrap();
    log
}

#[test]
fn r16_a_run_in_virtual_time_repeats_itself_exactly() {
    let first = trace(None);
    for _ in 0..20 {
        assert_eq!(trace(None), first);
    }
}

#[test]
fn r16_chaos_repeats_itself_by_seed_and_differs_between_seeds() {
    let mut traces = BTreeSet::new();
    let mut landed_with_irqs_off = 0;
    for seed in 0..10 {
        let first = trace(Some(seed));
        assert_eq!(trace(Some(seed)), first, "seed {seed}");
        landed_with_irqs_off += first.iter().filter(|entry| entry.ends_with("true")).count();
        traces.insert(first);
    }
    assert!(traces.len() > 5, "{} different traces", traces.len());
    // In the middle of a poll, with IRQs off: never without chaos.
    assert!(landed_with_irqs_off > 0);
    assert!(trace(None).iter().all(|entry| !entry.ends_with("true")));
}

/// Where a driver is when its tick interrupts, for many ticks; and what the kernel says of it.
fn places(seed: Option<u64>) -> (BTreeMap<&'static str, u64>, ChaosStats) {
    let clock = Clock::virtual_time();
    // Until the driver is there, all ticks would come to a kernel that idles.
    let hold = clock.hold();
    let builder = Kernel::builder().clock(clock.clone());
    let kernel = match seed {
        Some(seed) => builder.chaos(seed),
        None => builder,
    }
    .build()
    .unwrap();
    let line = kernel.handle().irq_line("tick").unwrap();
    let raise = line.clone();
    let mut timer = clock.host_timer("ticks");
    let stop = timer.notifier();
    let ticks = thread::spawn(move || {
        for _ in 0..400 {
            let due = timer.now() + Duration::from_micros(100);
            if timer.wait_until(Some(due)) == Woken::Notified || raise.trigger().is_err() {
                return;
            }
        }
    });
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        cpu.sleep(Duration::from_nanos(1)).await;
        let place = Rc::new(Cell::new(""));
        let seen = Rc::new(Log::new());
        let (at, log) = (place.clone(), seen.clone());
        let _irq = cpu.request_irq(&line, "tick", move |_| {
            log.push(at.get());
            IrqReturn::Handled
        });
        // The first of two vectors; what is taken before the second begins is taken between them.
        let (first, second) = (place.clone(), place.clone());
        let _tx = cpu.open_softirq(Softirq::NetTx, move |_| first.set("between softirqs"));
        let _rx = cpu.open_softirq(Softirq::NetRx, move |_| second.set("after softirqs"));
        let mut waited = 0;
        for round in 0..200 {
            place.set("irqs on");
            let flags = cpu.local_irq_save();
            waited += u64::from(line.is_pending());
            cpu.local_irq_restore(flags);
            place.set("cpu_relax");
            cpu.cpu_relax();
            cpu.with_softirqs_off(|| {
                cpu.raise_softirq(Softirq::NetTx);
                cpu.raise_softirq(Softirq::NetRx);
            });
            place.set("before the poll");
            cpu.yield_now().await;
            if round % 4 == 0 {
                place.set("idle");
                cpu.sleep(Duration::from_micros(150)).await;
            }
        }
        let mut counts = BTreeMap::from([("irqs off", waited)]);
        seen.take().into_iter().for_each(|place| *counts.entry(place).or_default() += 1);
        counts
    });
    drop(hold);
    let counts = block_on(task.unwrap()).unwrap();
    let stats = kernel.handle().stats().chaos;
    kernel.shutdown_blocking();
    // Without a kernel no instant comes any more.
    stop.notify();
    ticks.join().unwrap();
    (counts, stats)
}

#[test]
fn r16_chaos_lands_interrupts_at_every_delivery_point_and_with_irqs_off() {
    let (seen, ChaosStats { before_poll, irqs_on, cpu_relax, between_softirqs, idle, irqs_off, .. }) =
        places(Some(1));
    let counted = [before_poll, irqs_on, cpu_relax, between_softirqs, idle, irqs_off];
    assert!(counted.iter().all(|&landed| landed > 0), "{counted:?}");
    // The driver saw them there too, and had some wait.
    for place in ["before the poll", "irqs on", "cpu_relax", "between softirqs", "idle", "irqs off"] {
        assert!(seen.get(place).is_some_and(|&times| times > 0), "{place}: {seen:?}");
    }
    let (seen, stats) = places(None);
    assert_eq!(stats, ChaosStats::default());
    // While nothing but idling moves the time, nothing is taken anywhere else.
    assert!(seen.iter().all(|(place, times)| *place == "idle" || *times == 0), "{seen:?}");
}
