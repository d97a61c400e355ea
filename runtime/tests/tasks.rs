//! Tasks: A1 to A3, A5 for handles, R1 and R5.

mod common;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;

use airlift_runtime::{IrqReturn, JoinError, Kernel, KernelHandle};
use common::{Log, OnDrop, kernel, on_kernel, receive};
use futures::executor::block_on;

#[test]
fn a1_a_handle_is_send_and_sync_and_works_from_any_thread() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let kernel = kernel();
    let handle = kernel.handle();
    shared(&handle);
    let from_another_thread = std::thread::spawn(move || {
        let task = handle.spawn("remote", |cpu| async move { cpu.task_name() }).unwrap();
        block_on(task).unwrap()
    });
    assert_eq!(from_another_thread.join().unwrap().as_deref(), Some("remote"));
}

#[test]
fn a1_a_handle_keeps_nothing_alive() {
    let kernel = kernel();
    let handle = kernel.handle();
    let (end, ended) = mpsc::channel::<()>();
    let task = handle.spawn("forever", move |_| async move {
        let _until_dropped = end;
        pending::<()>().await;
    });
    drop(kernel);
    assert!(ended.recv_timeout(common::HANG).is_err_and(|e| e == mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(block_on(task.unwrap()), Err(JoinError::KernelGone));
    assert!(!handle.is_running());
    assert!(handle.spawn("late", |_| async {}).is_err());
    assert!(handle.irq_line("late").is_err());
}

#[test]
fn a2_a_tasks_future_needs_to_be_neither_send_nor_its_spawner_on_the_kernel() {
    let sum = on_kernel(|cpu| async move {
        let shared = Rc::new(Cell::new(0));
        let (one, two) = (shared.clone(), shared.clone());
        let first = cpu.spawn("first", move |cpu| async move {
            cpu.yield_now().await;
            one.set(one.get() + 1);
        });
        let second = cpu.spawn("second", move |_| async move { two.set(two.get() + 10) });
        first.await.unwrap();
        second.await.unwrap();
        shared.get()
    });
    assert_eq!(sum, 11);
}

fn a3_works_here(kernel: &KernelHandle) -> impl Future<Output = u64> + Send + use<> {
    let line = kernel.irq_line("runtime").unwrap();
    let mut edges = line.edges();
    let task = kernel.spawn("task", move |cpu| async move {
        cpu.msleep(20).await;
        line.trigger().unwrap();
        cpu.jiffies()
    });
    async move {
        use futures::StreamExt;
        assert_eq!(edges.next().await, Some(1));
        task.unwrap().await.unwrap()
    }
}

#[test]
fn a3_host_futures_need_nothing_of_tokios_current_thread() {
    // Neither I/O nor time is enabled.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let kernel = kernel();
        assert_eq!(a3_works_here(&kernel.handle()).await, 20);
        kernel.shutdown().await;
    });
}

#[test]
fn a3_host_futures_need_nothing_of_tokios_multi_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let kernel = kernel();
        let works = tokio::spawn(a3_works_here(&kernel.handle()));
        assert_eq!(works.await.unwrap(), 20);
        tokio::spawn(kernel.shutdown()).await.unwrap();
    });
}

#[test]
fn a3_host_futures_work_on_another_executor() {
    let kernel = kernel();
    assert_eq!(block_on(a3_works_here(&kernel.handle())), 20);
    block_on(kernel.shutdown());
}

#[test]
fn a5_dropping_a_join_handle_detaches() {
    let kernel = kernel();
    let (done, is_done) = mpsc::channel();
    drop(kernel.handle().spawn("detached", move |cpu| async move {
        cpu.msleep(5).await;
        done.send(()).unwrap();
    }));
    receive(&is_done);
}

#[test]
fn a5_abort_drops_the_future_on_the_kernel_and_tells_the_handle() {
    let kernel = kernel();
    let (started, is_started) = mpsc::channel();
    let (dropped, is_dropped) = mpsc::channel();
    let task = kernel.handle().spawn("aborted", move |cpu| async move {
        let kernel_thread = std::thread::current().id();
        let _drop = OnDrop(move || dropped.send(std::thread::current().id() == kernel_thread).unwrap());
        started.send(()).unwrap();
        cpu.sleep(std::time::Duration::MAX).await;
    });
    let task = task.unwrap();
    // Held, or the year 584 would have come before the abort.
    let hold = kernel.handle().clock().hold();
    receive(&is_started);
    task.abort();
    assert!(receive(&is_dropped));
    assert_eq!(block_on(task), Err(JoinError::Aborted));
    drop(hold);
}

#[test]
fn a5_aborting_a_task_that_has_not_begun_never_runs_it() {
    let aborted = on_kernel(|cpu| async move {
        let task = cpu.spawn("never", |_| async { unreachable!("it was aborted before its first turn") });
        task.abort();
        task.await
    });
    assert_eq!(aborted, Err(JoinError::Aborted));
}

#[test]
fn r1_several_kernels_in_one_process_do_not_meet() {
    let (one, two) = (kernel(), kernel());
    let clock = two.handle().clock();
    let task = one.handle().spawn("one", |cpu| async move {
        cpu.msleep(1000).await;
        (cpu.now().as_millis(), std::thread::current().id())
    });
    let (millis, thread_of_one) = block_on(task.unwrap()).unwrap();
    let thread_of_two = two.handle().spawn("two", |_| async { std::thread::current().id() });
    assert_ne!(thread_of_one, block_on(thread_of_two.unwrap()).unwrap());
    assert_eq!((millis, clock.now().as_millis()), (1000, 0));
}

#[test]
fn r1_tasks_take_turns_in_the_order_in_which_they_were_made_ready() {
    let order = on_kernel(|cpu| async move {
        let log = Log::new();
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let log = log.clone();
                cpu.spawn(format!("{number}"), move |cpu| async move {
                    for _ in 0..2 {
                        log.push(number);
                        cpu.yield_now().await;
                    }
                })
            })
            .collect();
        futures::future::join_all(tasks).await;
        log.take()
    });
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn r1_a_task_that_a_host_thread_woke_goes_before_those_that_were_woken_later() {
    on_kernel(|cpu| async move {
        let log = Log::new();
        let waiter = |name: &'static str| {
            let (sender, receiver) = futures::channel::oneshot::channel::<()>();
            let log = log.clone();
            drop(cpu.spawn(name, move |_| async move {
                receiver.await.unwrap();
                log.push(name);
            }));
            sender
        };
        let (by_host, by_kernel) = (waiter("woken by a host"), waiter("woken by the kernel"));
        cpu.yield_now().await;
        std::thread::spawn(move || by_host.send(()).unwrap()).join().unwrap();
        by_kernel.send(()).unwrap();
        cpu.yield_now().await;
        assert_eq!(log.take(), ["woken by a host", "woken by the kernel"]);
    });
}

#[test]
fn r5_a_task_that_ends_with_softirqs_off_leaves_them_on_for_others() {
    on_kernel(|cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let (ran_in, inside) = (Rc::new(Cell::new(None)), cpu.clone());
        let seen = ran_in.clone();
        let _softirq = cpu.open_softirq(airlift_runtime::Softirq::NetRx, move |_| {
            seen.set(Some(inside.task_name()));
        });
        let _irq = cpu.request_irq(&line, "test", |irq| {
            irq.raise_softirq(airlift_runtime::Softirq::NetRx);
            IrqReturn::Handled
        });
        let raise = line.clone();
        let leaky = cpu.spawn("leaky", move |cpu| async move {
            let lock = Box::leak(Box::new(airlift_runtime::SpinLock::new("kept", ())));
            std::mem::forget(lock.lock_bh(&cpu));
            // Taken between this turn, the last, and the next.
            cpu.local_irq_disable();
            raise.trigger().unwrap();
        });
        drop(leaky);
        cpu.yield_now().await;
        // At the end of the interrupt, not in ksoftirqd.
        assert_eq!(ran_in.take(), Some(None));
    });
}

#[test]
fn r1_a_wake_from_any_host_thread_gives_a_task_its_turn() {
    let kernel = kernel();
    let (sender, receiver) = futures::channel::oneshot::channel();
    let task = kernel.handle().spawn("waiter", move |_| receiver);
    std::thread::spawn(move || sender.send(7).unwrap()).join().unwrap();
    assert_eq!(block_on(task.unwrap()).unwrap(), Ok(7));
}

#[test]
fn r5_the_flag_moves_with_its_task_and_new_tasks_start_enabled() {
    let kernel = kernel();
    let flags = kernel.handle().spawn("main", |cpu| async move {
        let log = Log::new();
        let entries = log.clone();
        let off = cpu.spawn("off", move |cpu| async move {
            cpu.local_irq_disable();
            let child = cpu.spawn("child of off", |cpu| async move { cpu.irqs_enabled() });
            for _ in 0..3 {
                cpu.yield_now().await;
                entries.push(("off", cpu.irqs_enabled()));
            }
            cpu.local_irq_enable();
            entries.push(("child", child.await.unwrap()));
        });
        let entries = log.clone();
        let on = cpu.spawn("on", move |cpu| async move {
            for _ in 0..3 {
                entries.push(("on", cpu.irqs_enabled()));
                cpu.yield_now().await;
            }
        });
        off.await.unwrap();
        on.await.unwrap();
        log.take()
    });
    let flags = block_on(flags.unwrap()).unwrap();
    for (who, flag) in flags {
        assert_eq!(flag, who != "off", "{who}");
    }
    assert_eq!(kernel.handle().stats().suspended_with_irqs_off, 3);
}

#[test]
fn r5_a_cancelled_dropped_or_panicked_task_leaves_the_executor_clean() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let task = kernel.handle().spawn("main", move |cpu| async move {
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let _irq = cpu.request_irq(&line, "test", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        let in_drop = cpu.clone();
        let cancelled = cpu.spawn("cancelled", move |cpu| async move {
            let _drop = OnDrop(move || {
                // Its context, and its flag, to the last.
                assert_eq!(in_drop.task_name().as_deref(), Some("cancelled"));
                assert!(!in_drop.irqs_enabled());
            });
            cpu.local_irq_disable();
            pending::<()>().await;
        });
        let finished = cpu.spawn("finished", |cpu| async move { cpu.local_irq_disable() });
        let panicked = cpu.spawn("panicked", |cpu| async move {
            cpu.local_irq_disable();
            panic!("on purpose");
        });
        cpu.yield_now().await;
        cancelled.abort();
        let ends = (cancelled.await, finished.await, panicked.await);
        let mut handled = Vec::new();
        for _ in 0..2 {
            assert!(cpu.irqs_enabled());
            line.trigger().unwrap();
            handled.push(runs.get());
            cpu.yield_now().await;
        }
        (ends, handled)
    });
    let (ends, handled) = block_on(task.unwrap()).unwrap();
    assert_eq!(ends.0, Err(JoinError::Aborted));
    assert_eq!(ends.1, Ok(()));
    assert_eq!(ends.2, Err(JoinError::Panicked("on purpose".into())));
    assert_eq!(handled, [1, 2]);
    // One was suspended so, and two ended.
    assert_eq!(kernel.handle().stats().suspended_with_irqs_off, 3);
}

#[test]
fn r7_cond_resched_gives_up_the_turn_only_if_somebody_waits_for_it() {
    let (alone, with_another) = on_kernel(|cpu| async move {
        async fn turns(cpu: &airlift_runtime::Cpu) -> u32 {
            let mut resched = std::pin::pin!(cpu.cond_resched());
            let mut turns = 0;
            std::future::poll_fn(|cx| {
                turns += 1;
                resched.as_mut().poll(cx)
            })
            .await;
            turns
        }
        let alone = turns(&cpu).await;
        let other = cpu.spawn("other", |_| async {});
        let with_another = turns(&cpu).await;
        other.await.unwrap();
        (alone, with_another)
    });
    assert_eq!((alone, with_another), (1, 2));
}

#[test]
fn a_waker_that_outlives_its_task_wakes_nobody() {
    let kernel = kernel();
    let (waker, wakers) = mpsc::channel();
    let task = kernel.handle().spawn("short", move |_| {
        std::future::poll_fn(move |cx| {
            waker.send(cx.waker().clone()).unwrap();
            Poll::Ready(())
        })
    });
    block_on(task.unwrap()).unwrap();
    let waker = receive(&wakers);
    waker.wake_by_ref();
    let next = kernel.handle().spawn("next", |_| async { 1 });
    assert_eq!(block_on(next.unwrap()), Ok(1));
    kernel.shutdown_blocking();
    waker.wake();
}

#[test]
fn a_kernel_is_built_from_within_a_task_of_another() {
    let inner = on_kernel(|_| async {
        let kernel = Kernel::new().unwrap();
        let task = kernel.handle().spawn("inner", |_| async { 3 }).unwrap();
        let result = task.await.unwrap();
        kernel.shutdown().await;
        result
    });
    assert_eq!(inner, 3);
}
