//! What each context may do: recursion, atomic turns, balance at the ends, and what a report leads to.

use super::*;

#[test]
fn r10_taking_a_lock_again_or_another_of_its_class_is_recursion() {
    let report = only(
        reports(|cpu| async move {
            let locks = [(); 2].map(|()| SpinLock::new("port", ()));
            let _first = locks[0].lock(&cpu);
            let _second = locks[1].lock(&cpu);
        }),
        LockProblem::Recursion,
    );
    assert_names(&report, &["another lock of its class", "context.rs"]);
    assert_ne!(report.event.site, report.against[0].site);
    // Told apart, they are two classes, in one order.
    let nested = reports(|cpu| async move {
        let locks = [(); 2].map(|()| SpinLock::new("port", ()));
        let _first = locks[0].lock(&cpu);
        let _second = locks[1].lock_nested(&cpu, 1);
    });
    assert_eq!(nested, []);
    // A mutex that its own task holds: it would wait for ever.
    let report = only(
        reports(|cpu| async move {
            let mutex = Mutex::named("bus", ());
            let _held = mutex.lock(&cpu).await;
            cpu.timeout(Cpu::JIFFY, mutex.lock(&cpu)).await.unwrap_err();
        }),
        LockProblem::Recursion,
    );
    assert_names(&report, &[r#""bus""#]);
}

#[test]
fn r10_a_turn_given_up_with_a_lock_held_softirqs_off_or_irqs_off_is_reported() {
    #[expect(clippy::await_holding_invalid_type, reason = "the bug that is to be reported")]
    let found = reports(|cpu| async move {
        let lock = SpinLock::new("held", ());
        let guard = lock.lock(&cpu);
        pending_once().await;
        drop(guard);
    });
    assert_names(&only(found, LockProblem::HeldAcrossYield), &[r#""held" taken"#, r#"task "test""#]);
    let found = reports(|cpu| async move {
        let flags = cpu.local_irq_save();
        pending_once().await;
        cpu.local_irq_restore(flags);
    });
    only(found, LockProblem::IrqsOffAcrossYield);
}

#[test]
fn r10_sleeping_in_atomic_context_is_reported_by_all_that_sleeps() {
    type Sleeping = fn(Cpu) -> Pin<Box<dyn Future<Output = ()>>>;
    let sleeping: [(&str, Sleeping); 7] = [
        ("msleep", |cpu| Box::pin(async move { cpu.msleep(1).await })),
        ("yield_now", |cpu| Box::pin(async move { cpu.yield_now().await })),
        ("cond_resched", |cpu| Box::pin(async move { cpu.cond_resched().await })),
        ("mutex", |cpu| Box::pin(async move { drop(Mutex::new(()).lock(&cpu).await) })),
        ("completion", |cpu| {
            Box::pin(async move {
                let done = Completion::new();
                done.complete();
                done.wait(&cpu).await;
            })
        }),
        ("wait queue", |cpu| Box::pin(async move { WaitQueue::new().wait_event(&cpu, || true).await })),
        ("might_sleep", |cpu| Box::pin(async move { cpu.might_sleep() })),
    ];
    for (what, sleep) in sleeping {
        // Once, whether or not it sleeps, and with what made the context atomic.
        let found = reports(move |cpu| async move {
            let lock = SpinLock::new("held", ());
            let _guard = lock.lock(&cpu);
            let mut work = sleep(cpu.clone());
            poll_once(&mut work);
        });
        let report = only(found, LockProblem::SleepInAtomic);
        assert_names(&report, &[r#""held" taken by task "test""#, "context.rs"]);
        assert_ne!(report.event.site, report.against[0].site, "{what}");
        let found = reports(move |cpu| async move {
            let mut work = cpu.with_irqs_off(|| sleep(cpu.clone()));
            let flags = cpu.local_irq_save();
            poll_once(&mut work);
            cpu.local_irq_restore(flags);
        });
        assert_names(&only(found, LockProblem::SleepInAtomic), &["irqs turned off"]);
        let found = reports(move |cpu| async move {
            let outer = cpu.clone();
            in_handler(&cpu, move |_| {
                poll_once(&mut sleep(outer.clone()));
            });
        });
        let report = only(found, LockProblem::SleepInAtomic);
        assert_names(&report, &[r#"irq handler "rx""#]);
        assert_eq!(report.against, [], "it is the handler that is atomic, whatever is off in it");
        let found = reports(move |cpu| async move {
            let outer = cpu.clone();
            in_softirq(&cpu, move |_| {
                poll_once(&mut sleep(outer.clone()));
            });
        });
        assert_names(&only(found, LockProblem::SleepInAtomic), &["softirq NET_RX"]);
        let found = reports(move |cpu| async move {
            sleep(cpu.clone()).await;
        });
        assert_eq!(found, [], "{what}");
    }
}

#[test]
fn r10_unbalanced_counts_at_the_end_of_a_handler_softirq_or_timer_are_reported() {
    let found = reports(|cpu| async move {
        let inner = cpu.clone();
        in_handler(&cpu, move |_| inner.local_irq_enable());
    });
    let report = only(found, LockProblem::UnbalancedIrqs);
    assert_names(&report, &["returned with irqs on", r#"irq handler "rx""#, "context.rs"]);
    let found = reports(|cpu| async move {
        let inner = cpu.clone();
        in_softirq(&cpu, move |_| inner.local_irq_disable());
        assert!(cpu.irqs_enabled());
    });
    assert_names(
        &only(found, LockProblem::UnbalancedIrqs),
        &["returned with irqs off", "softirq NET_RX", "context.rs"],
    );
    let found = reports(|cpu| async move {
        let inner = cpu.clone();
        let timer = cpu.timer("tick", move |_| inner.local_irq_disable());
        timer.arm_in(Cpu::JIFFY);
        cpu.msleep(2).await;
    });
    assert_names(&only(found, LockProblem::UnbalancedIrqs), &["softirq TIMER"]);
    let found = reports(|cpu| async move {
        let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("left", ())));
        in_softirq(&cpu, move |softirq| std::mem::forget(lock.lock_bh(softirq)));
    });
    let problems: Vec<_> = found.iter().map(|report| report.problem).collect();
    assert_eq!(problems, [LockProblem::HeldAtEnd, LockProblem::UnbalancedPreempt], "{found:#?}");
}

#[test]
fn r10_a_lock_left_by_a_handler_and_locks_released_out_of_order_are_reported() {
    let found = reports(|cpu| async move {
        let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("left", ())));
        in_handler(&cpu, move |irq| std::mem::forget(lock.lock(irq)));
    });
    assert_names(&only(found, LockProblem::HeldAtEnd), &[r#""left" taken"#, r#"irq handler "rx""#]);
    let found = reports(|cpu| async move {
        let (a, b) = (SpinLock::new("a", ()), SpinLock::new("b", ()));
        let (first, second) = (a.lock(&cpu), b.lock(&cpu));
        drop(first);
        drop(second);
    });
    assert_names(&only(found, LockProblem::ReleaseOrder), &[r#""a" released before "b""#]);
}

#[test]
fn r10_the_validator_never_touches_the_irq_state() {
    let kernel = kernel();
    let task = kernel.handle().spawn("test", |cpu| async move {
        // `other` is raised within the handler: were IRQs on for an instant, it would run there.
        let log = Log::new();
        let other = cpu.kernel().irq_line("other").unwrap();
        let entries = log.clone();
        let _other = cpu.request_irq(&other, "other", move |_| {
            entries.push("other");
            IrqReturn::Handled
        });
        let states = Rc::new(RefCell::new(Vec::new()));
        let (a, b) = (Rc::new(SpinLock::new("a", ())), Rc::new(SpinLock::new("b", ())));
        let (watched, inner, entries) = (states.clone(), cpu.clone(), log.clone());
        in_handler(&cpu, move |irq| {
            let watch = || watched.borrow_mut().push(inner.irqs_enabled());
            entries.push("begin");
            other.trigger().unwrap();
            for _ in 0..2 {
                // Twice, in both orders and recursively: the second time round each step is reported.
                let first = a.lock_irqsave(irq);
                watch();
                let second = b.lock(irq);
                watch();
                drop(second);
                watch();
                drop(first);
                watch();
                let second = b.lock_bh(irq);
                watch();
                let first = a.try_lock(irq);
                watch();
                drop(first);
                watch();
                a.with_irqsave(irq, |()| watch());
                drop(second);
                watch();
                inner.with_softirqs_off(watch);
                inner.with_irqs_off(watch);
                inner.might_sleep();
                watch();
            }
            entries.push("end");
        });
        // In a task, with IRQs off, and in the midst of reports.
        let (c, d) = (SpinLock::new("c", ()), SpinLock::new("d", ()));
        let flags = cpu.local_irq_save();
        for _ in 0..2 {
            let guard = c.lock_irqsave(&cpu);
            d.with_bh(&cpu, |()| states.borrow_mut().push(cpu.irqs_enabled()));
            drop(guard);
            states.borrow_mut().push(cpu.irqs_enabled());
            d.with(&cpu, |()| c.with_irqsave(&cpu, |()| cpu.might_sleep()));
            states.borrow_mut().push(cpu.irqs_enabled());
        }
        cpu.local_irq_restore(flags);
        assert!(cpu.irqs_enabled());
        (states.take(), log.take())
    });
    let (states, log) = block_on(task.unwrap()).unwrap();
    assert_eq!(states.len(), 2 * 12 + 2 * 3);
    assert!(states.iter().all(|on| !on), "{states:?}");
    assert_eq!(log, ["begin", "end", "other"]);
    // It had something to say at many of those steps.
    let reports = kernel.handle().lock_reports();
    for problem in [LockProblem::OrderInversion, LockProblem::SleepInAtomic] {
        assert!(reports.iter().any(|report| report.problem == problem), "{reports:#?}");
    }
}

#[test]
fn r10_a_report_panics_if_asked_to_and_only_its_author_ends() {
    let kernel =
        Kernel::builder().clock(Clock::virtual_time()).on_lock_report(OnLockReport::Panic).build().unwrap();
    let handle = kernel.handle();
    let inverts = handle.spawn("inverts", |cpu| async move {
        let (a, b) = (SpinLock::new("a", ()), SpinLock::new("b", ()));
        a.with(&cpu, |()| b.with(&cpu, |()| ()));
        b.with(&cpu, |()| a.with(&cpu, |()| ()));
    });
    let Err(JoinError::Panicked(message)) = block_on(inverts.unwrap()) else { panic!("it went on") };
    assert!(message.contains("locks taken in opposite orders"), "{message}");
    let yields = handle.spawn("yields", |cpu| async move {
        cpu.local_irq_disable();
        pending_once().await;
    });
    let Err(JoinError::Panicked(message)) = block_on(yields.unwrap()) else { panic!("it went on") };
    assert!(message.contains("irqs off"), "{message}");
    let leaves = handle.spawn("leaves", |cpu| async move {
        let line = cpu.kernel().irq_line("device").unwrap();
        let inner = cpu.clone();
        let action = cpu
            .request_irq(&line, "rx", move |_| {
                inner.local_irq_enable();
                IrqReturn::Handled
            })
            .unwrap();
        line.trigger().unwrap();
        assert!(cpu.irqs_enabled());
        action.panicked().map(|panic| panic.message)
    });
    let message = block_on(leaves.unwrap()).unwrap().expect("the handler was ended");
    assert!(message.contains("returned with irqs on"), "{message}");
    block_on(handle.spawn("works", |cpu| async move { cpu.msleep(1).await }).unwrap()).unwrap();
}

#[test]
fn r10_a_finding_is_reported_once() {
    let found = reports(|cpu| async move {
        let lock = Rc::new(SpinLock::new("ring", ()));
        let ours = lock.clone();
        let (line, _action) = handler(&cpu, move |irq| ours.with(irq, |()| ()));
        for _ in 0..100 {
            line.trigger().unwrap();
            lock.with(&cpu, |()| ());
        }
    });
    only(found, LockProblem::IrqUnsafe);
}

#[test]
fn r10_contention_panics_naming_both_owners_and_the_validator_had_seen_why() {
    let kernel = kernel();
    let task = kernel.handle().spawn("driver", |cpu| async move {
        let lock = Rc::new(SpinLock::new("ring", ()));
        let theirs = lock.clone();
        let line = cpu.kernel().irq_line("device").unwrap();
        let action = cpu
            .request_irq(&line, "rx", move |irq| {
                theirs.with(irq, |()| ());
                IrqReturn::Handled
            })
            .unwrap();
        lock.with(&cpu, |()| line.trigger().unwrap());
        action.panicked().unwrap().message
    });
    let message = block_on(task.unwrap()).unwrap();
    assert!(message.contains(r#"irq handler "rx""#) && message.contains(r#"task "driver""#), "{message}");
    only(kernel.handle().lock_reports(), LockProblem::IrqUnsafe);
}

#[test]
fn r10_sleeping_with_softirqs_or_preemption_off_is_reported() {
    let found = reports(|cpu| async move { cpu.with_softirqs_off(|| cpu.might_sleep()) });
    assert_names(&only(found, LockProblem::SleepInAtomic), &["softirqs or preemption turned off"]);
    // Twice at one place is one finding.
    let found = reports(|cpu| async move {
        for _ in 0..2 {
            cpu.with_preempt_off(|| cpu.might_sleep());
        }
    });
    assert_names(&only(found, LockProblem::SleepInAtomic), &["softirqs or preemption turned off"]);
}

#[test]
fn r10_a_lock_left_by_a_task_or_released_by_another_is_reported() {
    let found = reports(|cpu| async move {
        let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("left", ())));
        let leaky = cpu.spawn("leaky", move |cpu| async move { std::mem::forget(lock.lock(&cpu)) });
        leaky.await.unwrap();
    });
    assert_names(&only(found, LockProblem::HeldAtEnd), &["a task ended", r#""left" taken"#]);
    let found = reports(|cpu| async move {
        let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("passed on", ())));
        let guard = Rc::new(RefCell::new(None));
        let taker = guard.clone();
        let takes = cpu.spawn("takes", move |cpu| async move {
            *taker.borrow_mut() = Some(lock.lock(&cpu));
            pending_once().await;
        });
        cpu.yield_now().await;
        drop(guard.borrow_mut().take());
        takes.await.unwrap();
    });
    let problems: Vec<_> = found.iter().map(|report| report.problem).collect();
    assert_eq!(problems, [LockProblem::HeldAcrossYield, LockProblem::ReleaseOrder], "{found:#?}");
}

#[test]
fn r10_what_a_softirq_leaves_held_or_off_is_reported_with_the_site_that_did_it() {
    let (send, sites) = std::sync::mpsc::channel();
    let found = reports(move |cpu| async move {
        let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("left", ())));
        in_softirq(&cpu, move |softirq| {
            let (site, guard) = (here(), lock.lock(softirq));
            std::mem::forget(guard);
            send.send(site).unwrap();
        });
    });
    let report = only(found, LockProblem::HeldAtEnd);
    let site = sites.recv().unwrap();
    assert_names(&report, &[r#""left" taken by softirq NET_RX"#, &site]);
    assert!(report.against[0].site.to_string().starts_with(&site), "{report}");

    let (send, sites) = std::sync::mpsc::channel();
    let found = reports(move |cpu| async move {
        let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("left", ())));
        in_softirq(&cpu, move |softirq| {
            let (site, guard) = (here(), lock.lock_bh(softirq));
            std::mem::forget(guard);
            send.send(site).unwrap();
        });
    });
    let site = sites.recv().unwrap();
    for (report, problem) in found.iter().zip([LockProblem::HeldAtEnd, LockProblem::UnbalancedPreempt]) {
        assert_eq!(report.problem, problem);
        assert!(report.event.site.to_string().starts_with(&site), "{report}");
    }
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn r10_softirqs_enabled_with_irqs_off_or_in_a_handler_are_reported() {
    let found = reports(|cpu| async move {
        let lock = SpinLock::new("ring", ());
        let flags = cpu.local_irq_save();
        lock.with_bh(&cpu, |()| ());
        cpu.local_irq_restore(flags);
    });
    let report = only(found, LockProblem::SoftirqsInAtomic);
    assert_names(&report, &["irqs turned off", r#"task "test""#]);
    assert!(report.event.site.file().ends_with("context.rs"), "{report}");
    // Though they stay off, by another.
    let found = reports(|cpu| async move {
        cpu.with_softirqs_off(|| cpu.with_irqs_off(|| cpu.with_softirqs_off(|| ())));
    });
    only(found, LockProblem::SoftirqsInAtomic);
    let found = reports(|cpu| async move {
        in_handler(&cpu, |irq| SpinLock::new("ring", ()).with_bh(irq, |()| ()));
    });
    assert_names(&only(found, LockProblem::SoftirqsInAtomic), &[r#"irq handler "rx""#, "context.rs"]);
    // The other way around, and in softirqs, it is right.
    let found = reports(|cpu| async move {
        cpu.with_softirqs_off(|| cpu.with_irqs_off(|| ()));
        in_softirq(&cpu, |softirq| SpinLock::new("ring", ()).with_bh(softirq, |()| ()));
    });
    assert_eq!(found, []);
}

#[test]
fn r5_a_task_that_ends_with_irqs_off_is_counted_and_reported_with_the_site() {
    let kernel = kernel();
    let handle = kernel.handle();
    let ends = handle.spawn("ends", |cpu| async move { cpu.local_irq_disable() });
    block_on(ends.unwrap()).unwrap();
    let enabled = handle.spawn("next", |cpu| async move { cpu.irqs_enabled() });
    assert!(block_on(enabled.unwrap()).unwrap());
    kernel.shutdown_blocking();
    assert_eq!(handle.stats().suspended_with_irqs_off, 1);
    let report = only(handle.lock_reports(), LockProblem::UnbalancedIrqs);
    assert_names(&report, &[r#"irqs turned off by task "ends""#, "context.rs"]);
}

/// As a driver may write it.
#[derive(Default)]
struct Derived {
    tx: SpinLock<u32>,
    rx: SpinLock<u32>,
    state: Mutex<Vec<u8>>,
    log: Mutex<String>,
}

#[test]
fn r10_locks_that_a_derived_default_makes_are_not_taken_for_one_lock() {
    let found = reports(|cpu| async move {
        let device = Derived::default();
        device.tx.with(&cpu, |_| device.rx.with(&cpu, |_| ()));
        let _state = device.state.lock(&cpu).await;
        drop(device.log.lock(&cpu).await);
    });
    assert_eq!(found, []);
    // Those of two types are two classes, with an order; and each is one lock.
    let found = reports(|cpu| async move {
        let device = Derived::default();
        drop((device.state.lock(&cpu).await, device.log.lock(&cpu).await));
        drop((device.log.lock(&cpu).await, device.state.lock(&cpu).await));
    });
    assert_names(&only(found, LockProblem::OrderInversion), &["lock of alloc::string::String made at"]);
}
