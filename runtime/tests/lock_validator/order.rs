//! Which locks are taken while which are held, and where a handler or softirq may break in.

use super::*;

#[test]
fn r10_opposite_orders_of_two_locks_in_two_tasks_are_reported_with_both_sites() {
    let (send, sites) = std::sync::mpsc::channel();
    let reports = reports(move |cpu| async move {
        let locks = Rc::new((SpinLock::new("a", ()), SpinLock::new("b", ())));
        let ours = locks.clone();
        let first = cpu.spawn("first", move |cpu| async move {
            let _a = ours.0.lock(&cpu);
            let (_b, site) = (ours.1.lock(&cpu), here());
            site
        });
        let first = first.await.unwrap();
        let second = cpu.spawn("second", move |cpu| async move {
            let _b = locks.1.lock(&cpu);
            let (_a, site) = (locks.0.lock(&cpu), here());
            site
        });
        send.send((first, second.await.unwrap())).unwrap();
    });
    let (first, second) = sites.recv().unwrap();
    let report = only(reports, LockProblem::OrderInversion);
    assert_names(&report, &[r#"task "first""#, r#"task "second""#, &first, &second]);
    assert!(report.event.site.to_string().starts_with(&second));
    assert!(report.against[0].site.to_string().starts_with(&first));
}

#[test]
fn r10_an_inversion_over_five_locks_and_tasks_is_reported_with_the_whole_chain() {
    const LOCKS: usize = 5;
    let reports = reports(|cpu| async move {
        let locks: Rc<[SpinLock<()>; LOCKS]> = Rc::new([
            SpinLock::new("l0", ()),
            SpinLock::new("l1", ()),
            SpinLock::new("l2", ()),
            SpinLock::new("l3", ()),
            SpinLock::new("l4", ()),
        ]);
        for number in 0..LOCKS {
            let locks = locks.clone();
            let task = cpu.spawn(format!("task {number}"), move |cpu| async move {
                let _held = locks[number].lock(&cpu);
                let _next = locks[(number + 1) % LOCKS].lock(&cpu);
            });
            task.await.unwrap();
        }
    });
    let report = only(reports, LockProblem::OrderInversion);
    assert_eq!(report.against.len(), LOCKS - 1);
    assert_names(&report, &[r#""task 0""#, r#""task 3""#, r#"by task "task 4""#, r#""l0" taken while "l4""#]);
}

#[test]
fn r10_one_order_taken_by_all_is_no_inversion() {
    let reports = reports(|cpu| async move {
        let locks = Rc::new((SpinLock::new("a", ()), SpinLock::new("b", ()), SpinLock::new("c", ())));
        for skip in 0..3 {
            let locks = locks.clone();
            let task = cpu.spawn("task", move |cpu| async move {
                let _a = (skip != 0).then(|| locks.0.lock(&cpu));
                let _b = (skip != 1).then(|| locks.1.lock(&cpu));
                let _c = (skip != 2).then(|| locks.2.lock(&cpu));
            });
            task.await.unwrap();
        }
        // Trying closes no circle: it does not wait.
        let _c = locks.2.lock(&cpu);
        let _a = locks.0.try_lock(&cpu).unwrap();
    });
    assert_eq!(reports, []);
}

#[test]
fn r10_mutexes_held_across_awaits_are_in_the_order_too() {
    let reports = reports(|cpu| async move {
        let locks = Rc::new((Mutex::named("config", ()), Mutex::named("bus", ())));
        let ours = locks.clone();
        let first = cpu.spawn("first", move |cpu| async move {
            let _config = ours.0.lock(&cpu).await;
            cpu.msleep(5).await;
            let _bus = ours.1.lock(&cpu).await;
        });
        // Runs while the first sleeps; what it holds is not the first's.
        let second = cpu.spawn("second", move |cpu| async move {
            cpu.msleep(1).await;
            let bus = locks.1.lock(&cpu).await;
            cpu.msleep(1).await;
            drop(bus);
            cpu.msleep(10).await;
            let _bus = locks.1.lock(&cpu).await;
            let _config = locks.0.lock(&cpu).await;
        });
        first.await.unwrap();
        second.await.unwrap();
    });
    let report = only(reports, LockProblem::OrderInversion);
    assert_names(&report, &[r#""config" taken while "bus""#, r#""bus" taken while "config""#]);
}

#[test]
fn r10_a_lock_of_a_handler_taken_before_with_irqs_on_is_reported() {
    let reports = reports(|cpu| async move {
        let lock = Rc::new(SpinLock::new("ring", ()));
        lock.with(&cpu, |()| ());
        in_handler(&cpu, move |irq| lock.with(irq, |()| ()));
    });
    let report = only(reports, LockProblem::IrqUnsafe);
    assert_names(
        &report,
        &[r#""ring" taken in an irq handler by irq handler "rx""#, r#"with irqs on by task "test""#],
    );
}

#[test]
fn r10_a_lock_of_a_handler_taken_after_with_irqs_on_is_reported() {
    let reports = reports(|cpu| async move {
        let lock = Rc::new(SpinLock::new("ring", ()));
        let theirs = lock.clone();
        in_handler(&cpu, move |irq| theirs.with(irq, |()| ()));
        lock.with_irqsave(&cpu, |()| ());
        lock.with(&cpu, |()| ());
    });
    let report = only(reports, LockProblem::IrqUnsafe);
    assert_names(
        &report,
        &[r#""ring" taken with irqs on by task "test""#, r#"in an irq handler by irq handler "rx""#],
    );
}

#[test]
fn r10_a_lock_of_a_handler_exposed_while_held_is_reported() {
    let (send, site) = std::sync::mpsc::channel();
    let reports = reports(move |cpu| async move {
        let lock = Rc::new(SpinLock::new("ring", ()));
        let theirs = lock.clone();
        in_handler(&cpu, move |irq| theirs.with(irq, |()| ()));
        let flags = cpu.local_irq_save();
        let guard = lock.lock(&cpu);
        let (site, ()) = (here(), cpu.local_irq_restore(flags));
        send.send(site).unwrap();
        drop(guard);
    });
    let report = only(reports, LockProblem::IrqUnsafe);
    assert_names(&report, &["held when irqs went on", &site.recv().unwrap()]);
}

#[test]
fn r10_irq_misuse_through_a_chain_is_reported_whichever_piece_comes_last() {
    // Three pieces: a handler takes `outer`; `inner` is taken while `outer` is held; `inner` is taken with IRQs on.
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let reports = reports(move |cpu| async move {
            let locks = Rc::new((
                SpinLock::new("outer", ()),
                SpinLock::new("middle", ()),
                SpinLock::new("inner", ()),
            ));
            for piece in order {
                let ours = locks.clone();
                match piece {
                    0 => in_handler(&cpu, move |irq| ours.0.with(irq, |()| ())),
                    1 => locks.0.with_irqsave(&cpu, |()| {
                        locks.1.with(&cpu, |()| locks.2.with(&cpu, |()| ()));
                    }),
                    _ => locks.2.with(&cpu, |()| ()),
                }
            }
        });
        assert!(!reports.is_empty(), "{order:?}");
        assert!(
            reports.iter().all(|report| report.problem == LockProblem::IrqUnsafe),
            "{order:?} {reports:#?}"
        );
        assert_names(&reports[0], &[r#""outer" taken in an irq handler"#, r#""inner" taken with irqs on"#]);
    }
}

#[test]
fn r10_a_lock_of_a_softirq_taken_with_softirqs_on_is_reported_in_both_orders() {
    for softirq_first in [false, true] {
        let reports = reports(move |cpu| async move {
            let lock = Rc::new(SpinLock::new("queue", ()));
            let ours = lock.clone();
            if !softirq_first {
                lock.with(&cpu, |()| ());
            }
            in_softirq(&cpu, move |softirq| ours.with(softirq, |()| ()));
            if softirq_first {
                lock.with(&cpu, |()| ());
            }
        });
        let report = only(reports, LockProblem::SoftirqUnsafe);
        assert_names(&report, &["in a softirq by softirq NET_RX", r#"with softirqs on by task "test""#]);
    }
}

#[test]
fn r10_a_lock_held_when_softirqs_go_on_is_reported_with_both_sites_in_both_orders() {
    for softirq_first in [false, true] {
        let (send, sites) = std::sync::mpsc::channel();
        let reports = reports(move |cpu| async move {
            let (outer, lock) = (SpinLock::new("outer", ()), Rc::new(SpinLock::new("queue", ())));
            let in_softirqs = || {
                let (ours, send) = (lock.clone(), send.clone());
                in_softirq(&cpu, move |softirq| {
                    let (site, ()) = (here(), ours.with(softirq, |()| ()));
                    send.send(site).unwrap();
                });
            };
            if softirq_first {
                in_softirqs();
            }
            // Taken while softirqs are off, which is right, and held when they go on, which is not.
            let bh = outer.lock_bh(&cpu);
            let (site, guard) = (here(), lock.lock(&cpu));
            send.send(site).unwrap();
            drop(bh);
            drop(guard);
            if !softirq_first {
                in_softirqs();
            }
        });
        let found: Vec<_> =
            reports.into_iter().filter(|report| report.problem != LockProblem::ReleaseOrder).collect();
        let report = only(found, LockProblem::SoftirqUnsafe);
        let sites: Vec<_> = sites.try_iter().collect();
        assert_names(&report, &["held when softirqs went on", "in a softirq by softirq NET_RX"]);
        assert_names(&report, &[&sites[0], &sites[1], r#"by task "test""#, "order.rs"]);
    }
}

#[test]
fn r10_a_lock_taken_with_softirqs_off_and_held_behind_their_enable_is_reported_at_that_place() {
    let (send, sites) = std::sync::mpsc::channel();
    let reports = reports(move |cpu| async move {
        let lock = Rc::new(SpinLock::new("queue", ()));
        let ours = lock.clone();
        in_softirq(&cpu, move |softirq| ours.with(softirq, |()| ()));
        let (site, guard) = (here(), cpu.with_softirqs_off(|| lock.lock(&cpu)));
        send.send(site).unwrap();
        drop(guard);
    });
    let report = only(reports, LockProblem::SoftirqUnsafe);
    assert_names(&report, &["held when softirqs went on"]);
    assert!(report.event.site.to_string().starts_with(&sites.recv().unwrap()), "{report}");
    assert!(report.against[0].what.contains("in a softirq"), "{report}");
}

#[test]
fn r10_irqsave_and_bh_are_the_right_ways_and_not_reported() {
    let reports = reports(|cpu| async move {
        let (ring, queue) = (Rc::new(SpinLock::new("ring", ())), Rc::new(SpinLock::new("queue", ())));
        let (in_irq, also) = (ring.clone(), ring.clone());
        in_handler(&cpu, move |irq| in_irq.with(irq, |()| ()));
        let ours = queue.clone();
        in_softirq(&cpu, move |softirq| {
            ours.with(softirq, |()| ());
            also.with_irqsave(softirq, |()| ());
        });
        ring.with_irqsave(&cpu, |()| ());
        queue.with_bh(&cpu, |()| ());
        queue.with_irqsave(&cpu, |()| ());
        queue.with_bh(&cpu, |()| ring.with_irqsave(&cpu, |()| ()));
    });
    assert_eq!(reports, []);
}
