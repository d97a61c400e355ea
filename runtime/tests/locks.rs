//! Locks and waiting: what exists of R10, and A5 for all that sleeps.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use airlift_runtime::{Completion, Cpu, Elapsed, IrqReturn, JoinError, Mutex, Softirq, SpinLock, WaitQueue};
use common::{Log, kernel, on_kernel};
use futures::executor::block_on;

const MS: Duration = Duration::from_millis(1);

/// Polls a future once; it is not woken by this.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&futures::task::noop_waker()))
}

#[test]
fn r10_a_contended_spinlock_panics_and_names_both_owners() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("device").unwrap();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let lock = Rc::new(SpinLock::new("rx ring", 0));
        let (in_handler, theirs) = (cpu.clone(), lock.clone());
        let action = cpu
            .request_irq(&line, "rx", move |irq| {
                let _ = &in_handler;
                theirs.with(irq, |count| *count += 1);
                IrqReturn::Handled
            })
            .unwrap();
        // The bug: the lock is taken without irqsave.
        lock.with(&cpu, |_| line.trigger().unwrap());
        (action.panicked().unwrap().message, lock.is_locked())
    });
    let (message, locked) = block_on(task.unwrap()).unwrap();
    for part in [r#""rx ring""#, r#"irq handler "rx""#, r#"task "driver""#, "locks.rs"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!locked);
}

#[test]
fn r10_irqsave_keeps_the_handler_out_until_the_lock_is_free() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("device").unwrap();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let lock = Rc::new(SpinLock::new("ring", Vec::new()));
        let theirs = lock.clone();
        let _irq = cpu.request_irq(&line, "rx", move |irq| {
            theirs.with(irq, |log| log.push("handler"));
            IrqReturn::Handled
        });
        lock.with_irqsave(&cpu, |log| {
            log.push("begin");
            line.trigger().unwrap();
            log.push("end");
        });
        // The guard form, nested.
        let other = SpinLock::new("other", ());
        let outer = lock.lock_irqsave(&cpu);
        let inner = other.lock_irqsave(&cpu);
        drop(inner);
        assert!(!cpu.irqs_enabled());
        drop(outer);
        assert!(cpu.irqs_enabled());
        lock.with(&cpu, |log| log.clone())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), ["begin", "end", "handler"]);
}

#[test]
fn r10_bh_keeps_softirqs_out_until_the_lock_is_free() {
    let log = on_kernel(|cpu| async move {
        let log = Log::new();
        let lock = Rc::new(SpinLock::new("shared", ()));
        let (entries, theirs) = (log.clone(), lock.clone());
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |softirq| {
            theirs.with(softirq, |()| entries.push("softirq"));
        });
        lock.with_bh(&cpu, |()| {
            cpu.raise_softirq(Softirq::NetRx);
            // An interrupt would run softirqs on its way out.
            cpu.cpu_relax();
            log.push("held");
        });
        log.push("released");
        log.take()
    });
    assert_eq!(log, ["held", "softirq", "released"]);
}

#[test]
fn r10_a_spinlock_held_across_an_await_is_reported() {
    let kernel = kernel();
    #[expect(clippy::await_holding_invalid_type, reason = "the bug that is to be reported")]
    let task = kernel.handle().spawn("bad", |cpu| async move {
        let lock = SpinLock::new("held", ());
        let guard = lock.lock(&cpu);
        cpu.yield_now().await;
        drop(guard);
    });
    block_on(task.unwrap()).unwrap();
    assert_eq!(kernel.handle().stats().suspended_with_lock, 1);
}

#[test]
fn r10_a_lock_is_tried_and_not_taken_while_it_is_held() {
    on_kernel(|cpu| async move {
        let lock = SpinLock::new("tried", 1);
        let held = lock.try_lock(&cpu).unwrap();
        assert!(lock.try_lock(&cpu).is_none());
        assert_eq!((*held, cpu.preempt_count()), (1, 1));
        drop(held);
        assert_eq!(cpu.preempt_count(), 0);
        assert!(lock.try_lock(&cpu).is_some());
    });
}

#[test]
fn r10_a_lock_that_a_handler_or_softirq_keeps_is_counted_and_not_its_victims() {
    let kernel = kernel();
    let task = kernel.handle().spawn("victim", |cpu| async move {
        let line = cpu.kernel().irq_line("leaky").unwrap();
        let locks = [(); 2].map(|()| &*Box::leak(Box::new(SpinLock::new("kept", ()))));
        let _irq = cpu.request_irq(&line, "leaky", move |irq| {
            std::mem::forget(locks[0].lock(irq));
            IrqReturn::Handled
        });
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |softirq| {
            std::mem::forget(locks[1].lock(softirq));
        });
        let count = |cpu: &Cpu| (cpu.preempt_count(), cpu.kernel().stats().suspended_with_lock);
        line.trigger().unwrap();
        let after_handler = count(&cpu);
        cpu.with_softirqs_off(|| cpu.raise_softirq(Softirq::NetRx));
        (after_handler, count(&cpu))
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), ((0, 1), (0, 2)));
}

#[test]
fn r10_a_mutex_is_held_across_awaits_and_handed_on_in_order() {
    let log = on_kernel(|cpu| async move {
        let mutex = Rc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let mutex = mutex.clone();
                cpu.spawn(format!("{number}"), move |cpu| async move {
                    for _ in 0..2 {
                        let mut log = mutex.lock(&cpu).await;
                        log.push((number, "in"));
                        cpu.msleep(1).await;
                        log.push((number, "out"));
                    }
                })
            })
            .collect();
        futures::future::join_all(tasks).await;
        mutex.lock(&cpu).await.clone()
    });
    let order: Vec<_> = log.chunks(2).map(|pair| pair[0].0).collect();
    assert!(log.chunks(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 == "in" && pair[1].1 == "out"));
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a5_a_cancelled_lock_leaves_the_queue_and_passes_the_mutex_on() {
    on_kernel(|cpu| async move {
        let mutex = Mutex::new(0);
        let held = mutex.try_lock(&cpu).unwrap();
        let mut third = {
            let mut first = Box::pin(mutex.lock(&cpu));
            let mut second = Box::pin(mutex.lock(&cpu));
            let mut third = Box::pin(mutex.lock(&cpu));
            assert!(poll_once(first.as_mut()).is_pending());
            assert!(poll_once(second.as_mut()).is_pending());
            assert!(poll_once(third.as_mut()).is_pending());
            // One leaves the queue before its turn, one after it was handed the mutex.
            drop(second);
            drop(held);
            assert!(mutex.try_lock(&cpu).is_none(), "it is the first one's");
            drop(first);
            third
        };
        let guard = match poll_once(third.as_mut()) {
            Poll::Ready(guard) => guard,
            Poll::Pending => panic!("the cancelled one swallowed its turn"),
        };
        drop(guard);
        let mut last = Box::pin(mutex.lock(&cpu));
        let guard = poll_once(last.as_mut());
        drop(guard);
        // Handed to one that is cancelled while nobody else waits: free again.
        let held = mutex.try_lock(&cpu).unwrap();
        let mut only = Box::pin(mutex.lock(&cpu));
        assert!(poll_once(only.as_mut()).is_pending());
        drop(held);
        drop(only);
        assert!(mutex.try_lock(&cpu).is_some());
    });
}

#[test]
fn r10_a_completion_counts_and_a_handler_may_complete_it() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("device").unwrap();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let done = Rc::new(Completion::new());
        let complete = done.clone();
        let _irq = cpu.request_irq(&line, "device", move |_| {
            complete.complete();
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        line.trigger().unwrap();
        done.wait(&cpu).await;
        done.wait(&cpu).await;
        let third = cpu.timeout(Cpu::JIFFY, done.wait(&cpu)).await.is_err();
        let raiser = cpu.spawn("later", move |cpu| async move {
            cpu.msleep(1).await;
            line.trigger().unwrap();
        });
        done.wait(&cpu).await;
        raiser.await.unwrap();
        done.complete_all();
        done.wait(&cpu).await;
        done.wait(&cpu).await;
        let for_good = done.is_done();
        done.reinit();
        (third, for_good, done.is_done())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (true, true, false));
}

#[test]
fn a5_a_cancelled_wait_takes_no_completion() {
    on_kernel(|cpu| async move {
        let done = Completion::new();
        let mut first = Box::pin(done.wait(&cpu));
        let mut second = Box::pin(done.wait(&cpu));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        done.complete();
        drop(first);
        assert!(poll_once(second.as_mut()).is_ready());
        assert!(!done.is_done());
    });
}

/// Tasks that wait for their bit of `open`, each with its number; they log it when they go on.
fn wait_for_bits(
    cpu: &Cpu,
    waiting: &Rc<(WaitQueue, Cell<u32>)>,
    log: &Log<u32>,
    numbers: std::ops::Range<u32>,
    exclusive: bool,
) -> Vec<airlift_runtime::JoinHandle<()>> {
    numbers
        .map(|number| {
            let (waiting, log) = (waiting.clone(), log.clone());
            cpu.spawn(format!("{number}"), move |cpu| async move {
                let (queue, open) = &*waiting;
                let is_open = || open.get() & 1 << number != 0;
                if exclusive {
                    queue.wait_event_exclusive(&cpu, is_open).await;
                } else {
                    queue.wait_event(&cpu, is_open).await;
                }
                log.push(number);
            })
        })
        .collect()
}

#[test]
fn r10_a_wake_up_wakes_all_who_wait_and_each_looks_at_its_condition() {
    let order = on_kernel(|cpu| async move {
        let (waiting, log) = (Rc::new((WaitQueue::new(), Cell::new(0))), Log::new());
        let tasks = wait_for_bits(&cpu, &waiting, &log, 0..3, false);
        let (queue, open) = &*waiting;
        cpu.yield_now().await;
        // Woken for nothing.
        queue.wake_up_all();
        cpu.yield_now().await;
        assert_eq!(log.take(), []);
        cpu.yield_now().await;
        // One wake-up, and it is the last one's condition that holds.
        open.set(0b100);
        queue.wake_up();
        cpu.yield_now().await;
        assert_eq!(log.take(), [2]);
        open.set(0b111);
        queue.wake_up();
        futures::future::join_all(tasks).await;
        log.take()
    });
    assert_eq!(order, [0, 1]);
}

#[test]
fn r10_a_wake_up_wakes_one_of_those_who_wait_exclusively_and_wake_up_all_all() {
    on_kernel(|cpu| async move {
        let (waiting, log) = (Rc::new((WaitQueue::new(), Cell::new(u32::MAX))), Log::new());
        let (queue, open) = &*waiting;
        open.set(0);
        let mut tasks = wait_for_bits(&cpu, &waiting, &log, 0..4, true);
        tasks.extend(wait_for_bits(&cpu, &waiting, &log, 4..6, false));
        cpu.yield_now().await;
        open.set(u32::MAX);
        queue.wake_up();
        cpu.yield_now().await;
        assert_eq!(log.take(), [4, 5, 0]);
        queue.wake_up();
        cpu.yield_now().await;
        assert_eq!(log.take(), [1]);
        queue.wake_up_all();
        futures::future::join_all(tasks).await;
        assert_eq!(log.take(), [2, 3]);
    });
}

#[test]
fn a5_a_cancelled_wait_event_leaves_the_queue_and_the_others_their_wake_up() {
    on_kernel(|cpu| async move {
        let (queue, open) = (WaitQueue::new(), Cell::new(false));
        let mut first = Box::pin(queue.wait_event(&cpu, || open.get()));
        let mut second = Box::pin(queue.wait_event(&cpu, || open.get()));
        let mut third = Box::pin(queue.wait_event(&cpu, || open.get()));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        assert!(poll_once(third.as_mut()).is_pending());
        // Before the wake-up, and after it.
        drop(first);
        assert!(format!("{queue:?}").contains("waiting: 2"), "{queue:?}");
        open.set(true);
        queue.wake_up();
        drop(second);
        assert!(format!("{queue:?}").contains("waiting: 0"), "{queue:?}");
        assert!(poll_once(third.as_mut()).is_ready());
    });
}

#[test]
fn a5_a_cancelled_wait_event_exclusive_passes_its_wake_up_on() {
    on_kernel(|cpu| async move {
        let (queue, open) = (WaitQueue::new(), Cell::new(false));
        let mut first = Box::pin(queue.wait_event_exclusive(&cpu, || open.get()));
        let mut second = Box::pin(queue.wait_event_exclusive(&cpu, || open.get()));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        open.set(true);
        queue.wake_up();
        assert!(format!("{queue:?}").contains("exclusive: 1"), "{queue:?}");
        drop(first);
        // The second was woken in its place: its entry has left the queue.
        assert!(format!("{queue:?}").contains("exclusive: 0"), "{queue:?}");
        assert!(poll_once(second.as_mut()).is_ready());
    });
}

#[test]
fn r10_waiting_for_a_time_tells_what_is_left_of_it() {
    on_kernel(|cpu| async move {
        let (waiting, done) = (Rc::new((WaitQueue::new(), Cell::new(false))), Rc::new(Completion::new()));
        let (theirs, completes) = (waiting.clone(), done.clone());
        let wakes = cpu.spawn("wakes", move |cpu| async move {
            cpu.msleep(2).await;
            // Woken for nothing: that does not give it more time.
            theirs.0.wake_up();
            cpu.msleep(1).await;
            theirs.1.set(true);
            theirs.0.wake_up();
            completes.complete();
        });
        let (queue, open) = &*waiting;
        assert_eq!(queue.wait_event_timeout(&cpu, 10 * MS, || open.get()).await, Ok(7 * MS));
        assert_eq!(done.wait_timeout(&cpu, 4 * MS).await, Ok(4 * MS));
        wakes.await.unwrap();
        // What holds already takes no time, and nothing has to come for what never holds.
        assert_eq!(queue.wait_event_timeout(&cpu, Duration::ZERO, || true).await, Ok(Duration::ZERO));
        assert_eq!(done.wait_timeout(&cpu, Duration::ZERO).await, Err(Elapsed));
        let before = cpu.now();
        assert_eq!(queue.wait_event_timeout(&cpu, 5 * MS, || false).await, Err(Elapsed));
        assert_eq!(done.wait_timeout(&cpu, 5 * MS).await, Err(Elapsed));
        assert_eq!(cpu.now() - before, 10 * MS);
        // One that comes while it is waited for, with time left.
        let late = done.clone();
        let later = cpu.spawn("later", move |cpu| async move {
            cpu.msleep(1).await;
            late.complete();
        });
        assert_eq!(done.wait_timeout(&cpu, 5 * MS).await, Ok(4 * MS));
        later.await.unwrap();
    });
}

#[test]
fn r10_a_condition_is_looked_at_once_more_when_the_time_is_up() {
    on_kernel(|cpu| async move {
        // It comes to hold and nobody is woken for it.
        let (queue, now) = (WaitQueue::new(), cpu.clone());
        let waited = queue.wait_event_timeout(&cpu, 5 * MS, move || now.now() >= 5 * MS).await;
        assert_eq!((waited, cpu.now()), (Ok(Duration::ZERO), 5 * MS));
    });
}

#[test]
fn a5_a_cancelled_or_elapsed_wait_for_a_time_takes_no_completion_and_leaves_the_queue() {
    on_kernel(|cpu| async move {
        let done = Completion::new();
        let mut first = Box::pin(done.wait_timeout(&cpu, 5 * MS));
        let mut second = Box::pin(done.wait(&cpu));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        done.complete();
        drop(first);
        assert!(poll_once(second.as_mut()).is_ready());
        assert!(!done.is_done());
        // One whose time is up waits no more: the next completion is another's.
        let mut second = Box::pin(done.wait(&cpu));
        assert_eq!(done.wait_timeout(&cpu, MS).await, Err(Elapsed));
        assert!(poll_once(second.as_mut()).is_pending());
        done.complete();
        assert!(poll_once(second.as_mut()).is_ready());
        let queue = WaitQueue::new();
        let mut waits = Box::pin(queue.wait_event_timeout(&cpu, MS, || false));
        assert!(poll_once(waits.as_mut()).is_pending());
        assert!(format!("{queue:?}").contains("waiting: 1"), "{queue:?}");
        drop(waits);
        assert!(format!("{queue:?}").contains("waiting: 0"), "{queue:?}");
    });
}

#[test]
fn a5_a_cancelled_timeout_cancels_its_work() {
    on_kernel(|cpu| async move {
        let done = Completion::new();
        let mut first = Box::pin(cpu.timeout(500 * MS, done.wait(&cpu)));
        let mut second = Box::pin(done.wait(&cpu));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        done.complete();
        drop(first);
        // As the wait alone would have, it passed its completion on.
        assert!(poll_once(second.as_mut()).is_ready());
        // And so does one whose time is up.
        let mut second = Box::pin(done.wait(&cpu));
        assert_eq!(cpu.timeout(MS, done.wait(&cpu)).await, Err(Elapsed));
        assert!(poll_once(second.as_mut()).is_pending());
        done.complete();
        assert!(poll_once(second.as_mut()).is_ready());
    });
}

#[test]
fn a5_a_cancelled_yield_now_or_cond_resched_leaves_the_turn_and_its_end_as_they_were() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("device").unwrap();
    let task = kernel.handle().spawn("test", move |cpu| async move {
        let (log, done) = (Log::new(), Rc::new(Completion::new()));
        let (entries, awaited, completes) = (log.clone(), done.clone(), done.clone());
        let other = cpu.spawn("other", move |cpu| async move {
            awaited.wait(&cpu).await;
            entries.push("other");
        });
        cpu.yield_now().await;
        let _irq = cpu.request_irq(&line, "device", move |_| {
            completes.complete();
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        let mut yields = Box::pin(cpu.yield_now());
        assert!(poll_once(yields.as_mut()).is_pending());
        drop(yields);
        let mut yields = Box::pin(cpu.cond_resched());
        assert!(poll_once(yields.as_mut()).is_pending());
        drop(yields);
        // Nobody had a turn meanwhile, and it is still asked for.
        assert!(cpu.need_resched());
        assert_eq!(log.take(), [""; 0]);
        cpu.cond_resched().await;
        assert_eq!(log.take(), ["other"]);
        other.await.unwrap();
    });
    block_on(task.unwrap()).unwrap();
}

#[test]
fn r8_softirqs_run_lowest_first_and_not_before_the_handlers_are_done() {
    let kernel = kernel();
    let (a, b) = (kernel.handle().irq_line("a").unwrap(), kernel.handle().irq_line("b").unwrap());
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let log = Log::new();
        let mut opened = Vec::new();
        for vector in [Softirq::Rcu, Softirq::NetTx, Softirq::NetRx] {
            let entries = log.clone();
            opened.push(cpu.open_softirq(vector, move |_| entries.push(format!("{vector:?}"))).unwrap());
        }
        for taken in [Softirq::NetTx, Softirq::Hi, Softirq::Tasklet] {
            assert!(cpu.open_softirq(taken, |_| {}).is_err());
        }
        assert!(cpu.open_softirq(Softirq::Timer, |_| {}).is_err());
        let entries = log.clone();
        let _a = cpu.request_irq(&a, "a", move |irq| {
            irq.raise_softirq(Softirq::Rcu);
            irq.raise_softirq(Softirq::NetRx);
            b.trigger().unwrap();
            entries.push("a".into());
            IrqReturn::Handled
        });
        let entries = log.clone();
        let b = cpu.kernel().irq_line_at(2, "b").unwrap();
        let _b = cpu.request_irq(&b, "b", move |irq| {
            irq.raise_softirq(Softirq::NetTx);
            entries.push("b".into());
            IrqReturn::Handled
        });
        a.trigger().unwrap();
        log.take()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), ["a", "b", "NetTx", "NetRx", "Rcu"]);
}

#[test]
fn r10_a_contended_spinlock_names_its_owner_whatever_it_is_or_was() {
    let kernel = kernel();
    let task = kernel.handle().spawn("wants", |cpu| async move {
        let locks = [(); 4].map(|()| &*Box::leak(Box::new(SpinLock::new("kept", ()))));
        let line = cpu.kernel().irq_line("leaky").unwrap();
        let irq = cpu.request_irq(&line, "leaky", move |irq| {
            std::mem::forget(locks[0].try_lock(irq));
            std::mem::forget(locks[1].try_lock(irq));
            IrqReturn::Handled
        });
        let irq = irq.unwrap();
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |softirq| {
            std::mem::forget(locks[2].try_lock(softirq));
        });
        line.trigger().unwrap();
        cpu.with_softirqs_off(|| cpu.raise_softirq(Softirq::NetRx));
        let keeps = cpu.spawn("keeps", move |cpu| async move { std::mem::forget(locks[3].lock(&cpu)) });
        keeps.await.unwrap();
        let want = |lock: &'static SpinLock<()>| {
            let wants = cpu.spawn("wants", move |cpu| async move { lock.with(&cpu, |()| ()) });
            async {
                let Err(JoinError::Panicked(message)) = wants.await else { panic!("it was free") };
                message
            }
        };
        let mut messages = vec![want(locks[0]).await];
        drop(irq);
        for lock in &locks[1..] {
            messages.push(want(lock).await);
        }
        messages
    });
    let messages = block_on(task.unwrap()).unwrap();
    let owners = [
        r#"irq handler "leaky""#,
        "an irq handler that was freed since",
        "softirq NET_RX",
        "a task that has ended since",
    ];
    assert_eq!(messages.len(), owners.len());
    for (message, owner) in messages.iter().zip(owners) {
        assert!(message.contains(&format!("is held by {owner} since")), "{owner}: {message}");
        assert!(message.contains(r#"wanted by task "wants""#), "{message}");
    }
}

#[test]
fn r10_a_wake_up_wakes_all_who_wait_for_a_time() {
    on_kernel(|cpu| async move {
        let waiting = Rc::new((WaitQueue::new(), Cell::new(false)));
        let tasks = [(); 2].map(|()| {
            let waiting = waiting.clone();
            cpu.spawn("waits", move |cpu| async move {
                waiting.0.wait_event_timeout(&cpu, 10 * MS, || waiting.1.get()).await
            })
        });
        cpu.msleep(1).await;
        waiting.1.set(true);
        waiting.0.wake_up();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(9 * MS));
        }
    });
}
