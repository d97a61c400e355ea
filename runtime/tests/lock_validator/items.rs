//! Work items, their queues and timers: who waits for whom, with which locks held, and what they leave behind.

use std::time::Duration;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// An item that takes `mutex`.
#[track_caller]
fn takes(cpu: &Cpu, mutex: &Rc<Mutex<()>>) -> Work {
    let mutex = mutex.clone();
    cpu.work("takes", move |cpu| {
        let mutex = mutex.clone();
        async move { drop(mutex.lock(&cpu).await) }
    })
}

#[test]
fn r10_waiting_for_work_in_atomic_context_is_reported_with_the_site_of_the_call() {
    type Sleeping = fn(Cpu) -> Pin<Box<dyn Future<Output = ()>>>;
    let sleeping: [(&str, Sleeping); 7] = [
        ("flush", |cpu| Box::pin(async move { cpu.work("w", |_| async {}).flush(&cpu).await })),
        ("cancel_sync", |cpu| {
            Box::pin(async move { assert!(!cpu.work("w", |_| async {}).cancel_sync(&cpu).await) })
        }),
        ("queue flush", |cpu| Box::pin(async move { cpu.system_workqueue().flush(&cpu).await })),
        ("alloc", |cpu| Box::pin(async move { drop(cpu.alloc_workqueue("q", 0)) })),
        ("alloc ordered", |cpu| Box::pin(async move { drop(cpu.alloc_ordered_workqueue("q")) })),
        ("wait_event_timeout", |cpu| {
            Box::pin(
                async move { assert!(WaitQueue::new().wait_event_timeout(&cpu, MS, || true).await.is_ok()) },
            )
        }),
        ("wait_timeout", |cpu| {
            Box::pin(
                async move { assert!(Completion::new().wait_timeout(&cpu, Duration::ZERO).await.is_err()) },
            )
        }),
    ];
    for (what, sleep) in sleeping {
        let found = reports(move |cpu| async move {
            let lock = SpinLock::new("held", ());
            let _guard = lock.lock(&cpu);
            poll_once(&mut sleep(cpu.clone()));
        });
        let report = only(found, LockProblem::SleepInAtomic);
        assert_names(&report, &[r#""held" taken by task "test""#]);
        assert!(report.event.site.file().ends_with("items.rs"), "{what}: {report}");
        let found = reports(move |cpu| async move {
            let outer = cpu.clone();
            in_handler(&cpu, move |_| poll_once(&mut sleep(outer.clone())));
        });
        let report = only(found, LockProblem::SleepInAtomic);
        assert_names(&report, &[r#"irq handler "rx""#]);
        assert!(report.event.site.file().ends_with("items.rs"), "{what}: {report}");
        let found = reports(move |cpu| async move { sleep(cpu).await });
        assert_eq!(found, [], "{what}");
    }
    // Two mistakes are two reports.
    let found = reports(|cpu| async move {
        let (queue, outer) = (cpu.alloc_workqueue("q", 0), cpu.clone());
        in_handler(&cpu, move |_| {
            let mut destroy: Pin<Box<dyn Future<Output = ()>>> = Box::pin(queue.clone().destroy(&outer));
            poll_once(&mut destroy);
            let (queue, cpu) = (queue.clone(), outer.clone());
            let mut flush: Pin<Box<dyn Future<Output = ()>>> =
                Box::pin(async move { queue.flush(&cpu).await });
            poll_once(&mut flush);
        });
    });
    assert_eq!(found.len(), 2, "{found:#?}");
    // The kernel's own queue is there for handlers.
    let found = reports(|cpu| async move {
        let (work, outer) = (cpu.work("w", |_| async {}), cpu.clone());
        in_handler(&cpu, move |_| assert!(outer.schedule_work(&work)));
    });
    assert_eq!(found, []);
}

#[test]
fn r10_waiting_for_an_item_with_a_lock_held_that_it_takes_is_reported() {
    type Waits = fn(Cpu, Work) -> Pin<Box<dyn Future<Output = ()>>>;
    let waits: [(&str, Waits); 2] = [
        ("flush", |cpu, work| Box::pin(async move { work.flush(&cpu).await })),
        ("cancel_sync", |cpu, work| Box::pin(async move { assert!(!work.cancel_sync(&cpu).await) })),
    ];
    for (what, wait) in waits {
        let found = reports(move |cpu| async move {
            let mutex = Rc::new(Mutex::named("bus", ()));
            let work = takes(&cpu, &mutex);
            cpu.schedule_work(&work);
            work.flush(&cpu).await;
            // It is idle now, and nothing hangs; another time it would.
            let _held = mutex.lock(&cpu).await;
            wait(cpu.clone(), work).await;
        });
        let report = only(found, LockProblem::OrderInversion);
        assert_names(&report, &["work item made at", r#""bus""#, "items.rs"]);
        assert!(report.event.what.starts_with("work item"), "{what}: {report}");
    }
    // Without the lock it is right, and so is a lock that the item does not take.
    let found = reports(|cpu| async move {
        let (mutex, other) = (Rc::new(Mutex::named("bus", ())), Mutex::named("other", ()));
        let work = takes(&cpu, &mutex);
        for _ in 0..2 {
            cpu.schedule_work(&work);
            let _held = other.lock(&cpu).await;
            work.flush(&cpu).await;
            work.cancel_sync(&cpu).await;
        }
    });
    assert_eq!(found, []);
}

#[test]
fn r10_waiting_for_a_queue_with_a_lock_held_that_its_items_take_is_reported() {
    let found = reports(|cpu| async move {
        let mutex = Rc::new(Mutex::named("bus", ()));
        let (work, queue) = (takes(&cpu, &mutex), cpu.alloc_workqueue("q", 0));
        queue.queue_work(&work);
        queue.flush(&cpu).await;
        let _held = mutex.lock(&cpu).await;
        queue.destroy(&cpu).await;
    });
    assert_names(&only(found, LockProblem::OrderInversion), &["workqueue made at", r#""bus""#]);
    // An item that waits for one behind it in an ordered queue.
    let found = reports(|cpu| async move {
        let queue = cpu.alloc_ordered_workqueue("ordered");
        let behind = cpu.work("behind", |_| async {});
        let awaited = behind.clone();
        let before = cpu.work("before", move |cpu| {
            let awaited = awaited.clone();
            async move { assert!(cpu.timeout(MS, awaited.flush(&cpu)).await.is_err()) }
        });
        queue.queue_work(&before);
        queue.queue_work(&behind);
        queue.flush(&cpu).await;
    });
    let report = only(found, LockProblem::Recursion);
    assert_names(&report, &["workqueue made at", r#"task "kworker/ordered""#]);
    // On another queue it may, and so may an item on a queue that takes it at once.
    let found = reports(|cpu| async move {
        let (ordered, other) = (cpu.alloc_ordered_workqueue("ordered"), cpu.alloc_workqueue("other", 0));
        for queue in [ordered.clone(), other.clone()] {
            let behind = cpu.work("behind", |_| async {});
            let awaited = behind.clone();
            let before = cpu.work("before", move |cpu| {
                let awaited = awaited.clone();
                async move { awaited.flush(&cpu).await }
            });
            other.queue_work(&before);
            queue.queue_work(&behind);
            other.flush(&cpu).await;
        }
    });
    assert_eq!(found, []);
}

#[test]
fn r10_deleting_a_timer_with_a_lock_held_that_it_takes_is_reported() {
    let found = reports(|cpu| async move {
        let lock = Rc::new(SpinLock::new("ring", ()));
        let theirs = lock.clone();
        let timer = cpu.timer("tick", move |softirq| theirs.with(softirq, |()| ()));
        timer.arm_in(MS);
        cpu.msleep(2).await;
        lock.with_bh(&cpu, |()| timer.timer_delete());
        timer.timer_delete_sync();
        lock.with_bh(&cpu, |()| timer.timer_delete_sync());
    });
    assert_names(&only(found, LockProblem::OrderInversion), &["timer made at", r#""ring""#, "softirq TIMER"]);
    // A callback that is deleted with no lock held, or another one, is in order.
    let found = reports(|cpu| async move {
        let (lock, other) = (Rc::new(SpinLock::new("ring", ())), SpinLock::new("other", ()));
        let timer = cpu.timer("tick", move |softirq| lock.with(softirq, |()| ()));
        for _ in 0..2 {
            timer.arm_in(MS);
            cpu.msleep(2).await;
            other.with_bh(&cpu, |()| timer.timer_delete_sync());
        }
    });
    assert_eq!(found, []);
}

#[test]
fn r10_a_mutex_left_by_a_task_or_work_item_is_reported_and_stays_locked() {
    let found = reports(|cpu| async move {
        let mutex: &'static Mutex<()> = Box::leak(Box::new(Mutex::named("left", ())));
        let leaks = move |cpu: Cpu| async move { std::mem::forget(mutex.lock(&cpu).await) };
        cpu.spawn("leaks", leaks).await.unwrap();
        assert!(mutex.try_lock(&cpu).is_none());
    });
    assert_names(&only(found, LockProblem::HeldAtEnd), &["a task ended", r#""left" taken"#, "items.rs"]);
    let found = reports(|cpu| async move {
        let mutex: &'static Mutex<()> = Box::leak(Box::new(Mutex::named("left", ())));
        let leaks = move |cpu: Cpu| async move { std::mem::forget(mutex.lock(&cpu).await) };
        let (leaky, next) = (cpu.work("leaky", leaks), cpu.work("next", |_| async {}));
        let queue = cpu.alloc_ordered_workqueue("q");
        queue.queue_work(&leaky);
        queue.queue_work(&next);
        queue.destroy(&cpu).await;
        assert!(mutex.try_lock(&cpu).is_none());
    });
    let report = only(found, LockProblem::HeldAtEnd);
    assert_names(&report, &[r#"work "leaky" ended"#, r#""left" taken"#, "items.rs"]);
    // One that is handed on is left too, though it can be had again.
    let found = reports(|cpu| async move {
        let mutex: &'static Mutex<()> = Box::leak(Box::new(Mutex::named("left", ())));
        let (send, guard) = futures::channel::oneshot::channel();
        let hands = move |cpu: Cpu| async move { drop(send.send(mutex.lock(&cpu).await)) };
        cpu.spawn("hands on", hands).await.unwrap();
        drop(guard.await);
        assert!(mutex.try_lock(&cpu).is_some());
    });
    assert_names(&only(found, LockProblem::HeldAtEnd), &["a task ended", r#""left" taken"#, "items.rs"]);
    // A guard that goes with the task is none that it left.
    let found = reports(|cpu| async move {
        let mutex = Rc::new(Mutex::named("dropped", ()));
        let theirs = mutex.clone();
        let holds = cpu.spawn("holds", move |cpu| async move {
            let _held = theirs.lock(&cpu).await;
            std::future::pending::<()>().await;
        });
        cpu.yield_now().await;
        holds.abort();
        holds.await.unwrap_err();
        assert!(mutex.try_lock(&cpu).is_some());
    });
    assert_eq!(found, []);
}

#[test]
fn r12_an_item_that_a_report_ends_as_its_turn_ends_is_told_of_and_its_queue_goes_on() {
    let kernel =
        Kernel::builder().clock(Clock::virtual_time()).on_lock_report(OnLockReport::Panic).build().unwrap();
    let task = kernel.handle().spawn("test", |cpu| async move {
        let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("held", ())));
        #[expect(clippy::await_holding_invalid_type, reason = "the bug that is to be reported")]
        let bad = cpu.work("bad", move |cpu| async move {
            let _guard = lock.lock(&cpu);
            pending_once().await;
        });
        let next = cpu.work("next", |_| async {});
        let queue = cpu.alloc_ordered_workqueue("q");
        assert!(queue.queue_work(&bad) && queue.queue_work(&next));
        cpu.timeout(5 * MS, queue.flush(&cpu)).await.expect("the queue starves");
        bad.panicked()
    });
    let message = block_on(task.unwrap()).unwrap().expect("the item was ended");
    assert!(message.contains("turn given up in atomic context"), "{message}");
    let task = kernel.handle().spawn("test", |cpu| async move {
        let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("held too", ())));
        let line = cpu.kernel().irq_line("device").unwrap();
        #[expect(clippy::await_holding_invalid_type, reason = "the bug that is to be reported")]
        let thread = move |cpu: Cpu| async move {
            let _guard = lock.lock(&cpu);
            pending_once().await;
            IrqReturn::Handled
        };
        let options = IrqOptions::new().oneshot();
        let action =
            cpu.request_threaded_irq(&line, "bad", options, |_| IrqReturn::WakeThread, thread).unwrap();
        line.trigger().unwrap();
        cpu.msleep(1).await;
        action.panicked().map(|panic| panic.message)
    });
    let message = block_on(task.unwrap()).unwrap().expect("the handler was ended");
    assert!(message.contains("turn given up in atomic context"), "{message}");
}

#[test]
fn r10_a_lock_that_the_drop_of_a_callback_leaves_is_told_of_it_and_of_nobody_after() {
    struct Leave(Cpu);
    impl Drop for Leave {
        fn drop(&mut self) {
            let lock: &'static SpinLock<()> = Box::leak(Box::new(SpinLock::new("left", ())));
            std::mem::forget(lock.lock(&self.0));
        }
    }
    let found = reports(|cpu| async move {
        let leaves = Leave(cpu.clone());
        // Dropped when it has panicked.
        let bomb = cpu.work("bomb", move |_| {
            let _keep = &leaves;
            async { panic!("on purpose") }
        });
        let next = cpu.work("next", |cpu| async move { cpu.msleep(1).await });
        let queue = cpu.alloc_ordered_workqueue("q");
        queue.queue_work(&bomb);
        queue.queue_work(&next);
        queue.destroy(&cpu).await;
    });
    let report = only(found, LockProblem::HeldAtEnd);
    assert_names(&report, &["drop of a panicked work item ended", r#""left" taken"#, "items.rs"]);
}

#[test]
fn r10_a_mutex_left_by_a_threaded_handler_is_reported_when_its_run_ends_and_not_held_by_the_next() {
    let kernel = kernel();
    let task = kernel.handle().spawn("test", |cpu| async move {
        let mutex: &'static Mutex<()> = Box::leak(Box::new(Mutex::named("left", ())));
        let other: &'static Mutex<()> = Box::leak(Box::new(Mutex::named("other", ())));
        let line = cpu.kernel().irq_line("device").unwrap();
        let leaks = move |cpu: Cpu| async move {
            if let Some(guard) = mutex.try_lock(&cpu) {
                std::mem::forget(guard);
                return IrqReturn::Handled;
            }
            drop(other.lock(&cpu).await);
            IrqReturn::Handled
        };
        let options = IrqOptions::new().oneshot();
        let action = cpu.request_threaded_irq(&line, "leaky", options, |_| IrqReturn::WakeThread, leaks);
        for _ in 0..2 {
            line.trigger().unwrap();
            cpu.msleep(1).await;
        }
        // What the first run left is not held by the second: there is no order of the two.
        let held = other.lock(&cpu).await;
        cpu.timeout(MS, mutex.lock(&cpu)).await.unwrap_err();
        drop((held, action));
        cpu.kernel().lock_reports()
    });
    let report = only(block_on(task.unwrap()).unwrap(), LockProblem::HeldAtEnd);
    assert_names(&report, &[r#"threaded irq handler "leaky" ended"#, r#""left" taken"#, "items.rs"]);
}

#[test]
fn r10_nobody_is_blamed_for_the_flag_that_another_turned_off_for_all() {
    let kernel =
        Kernel::builder().clock(Clock::virtual_time()).irq_policy(IrqPolicy::Global).build().unwrap();
    let task = kernel.handle().spawn("guilty", |cpu| async move {
        let (go, queue) = (Rc::new(RefCell::new(None)), cpu.alloc_ordered_workqueue("q"));
        let waits = go.clone();
        let item = cpu.work("item", move |_| {
            let (sends, gone) = futures::channel::oneshot::channel::<()>();
            waits.borrow_mut().replace(sends);
            async move {
                gone.await.unwrap_err();
            }
        });
        queue.queue_work(&item);
        pending_once().await;
        assert!(item.is_running());
        cpu.local_irq_disable();
        drop(go.take());
        let ends = cpu.spawn("ends", |_| async {});
        ends.await.unwrap();
        pending_once().await;
        assert!(!item.is_running());
        cpu.local_irq_enable();
        // Who has turned it off and ends is to blame.
        cpu.spawn("leaves", |cpu| async move { cpu.local_irq_disable() }).await.unwrap();
        cpu.spawn("ends", |_| async {}).await.unwrap();
        cpu.local_irq_enable();
        let reports = cpu.kernel().lock_reports();
        reports.into_iter().filter(|report| report.problem == LockProblem::UnbalancedIrqs).collect()
    });
    let found: Vec<LockReport> = block_on(task.unwrap()).unwrap();
    assert_names(
        &only(found, LockProblem::UnbalancedIrqs),
        &[r#"a task ended with irqs off by task "leaves""#],
    );
}
