//! Panics are contained: R12. In each test one thing panics, its owner learns it, and all others run on.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use airlift_runtime::{IrqReturn, JoinError, Softirq};
use common::{OnDrop, kernel, on_kernel, receive};
use futures::executor::block_on;
use futures::{Stream, StreamExt};

#[test]
fn r12_a_panic_in_a_task_is_told_by_its_handle() {
    let kernel = kernel();
    let handle = kernel.handle();
    let hold = handle.clock().hold();
    let in_future = handle.spawn("future", |cpu| async move {
        cpu.msleep(1).await;
        panic!("in the {}", "future");
    });
    let in_closure = handle.spawn("closure", |_| -> std::future::Ready<()> { panic!("in the closure") });
    let other = handle.spawn("other", |cpu| async move {
        cpu.msleep(2).await;
        cpu.now().as_millis()
    });
    drop(hold);
    assert_eq!(block_on(in_future.unwrap()), Err(JoinError::Panicked("in the future".into())));
    assert_eq!(block_on(in_closure.unwrap()), Err(JoinError::Panicked("in the closure".into())));
    assert_eq!(block_on(other.unwrap()), Ok(2));
    assert_eq!(handle.stats().tasks_panicked, 2);
}

#[test]
fn r12_a_panic_in_a_drop_is_contained() {
    let kernel = kernel();
    let handle = kernel.handle();
    let finished = handle.spawn("finished", |_| {
        let bomb = OnDrop(|| panic!("in the drop of a finished task"));
        let mut bomb = Some(bomb);
        std::future::poll_fn(move |_| {
            let _keep = &mut bomb;
            std::task::Poll::Ready(1)
        })
    });
    let aborted = handle.spawn("aborted", |_| async {
        let _bomb = OnDrop(|| panic!("in the drop of an aborted task"));
        std::future::pending::<()>().await;
    });
    drop(finished);
    let aborted = aborted.unwrap();
    aborted.abort();
    assert!(block_on(aborted).is_err());
    let other = handle.spawn("other", |_| async { 5 });
    assert_eq!(block_on(other.unwrap()), Ok(5));
    let left = handle.spawn("left", |_| async {
        let _bomb = OnDrop(|| panic!("in the drop at the shutdown"));
        std::future::pending::<()>().await;
    });
    block_on(handle.spawn("settled", |_| async {}).unwrap()).unwrap();
    assert_eq!(kernel.shutdown_blocking().tasks_dropped, ["left"]);
    assert_eq!(block_on(left.unwrap()), Err(JoinError::KernelGone));
}

#[test]
fn r12_a_panic_in_a_handler_is_told_by_its_action_and_others_are_served() {
    let kernel = kernel();
    let (bad, good) = (kernel.handle().irq_line("bad").unwrap(), kernel.handle().irq_line("good").unwrap());
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let calls = Rc::new(Cell::new(0));
        let served = Rc::new(Cell::new(0));
        let (count, good_too) = (calls.clone(), good.clone());
        let action = cpu
            .request_irq(&bad, "bad driver", move |_| {
                count.set(count.get() + 1);
                good_too.trigger().unwrap();
                panic!("on purpose");
            })
            .unwrap();
        let count = served.clone();
        let _good = cpu.request_irq(&good, "good driver", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        assert_eq!(action.panicked(), None);
        bad.trigger().unwrap();
        bad.trigger().unwrap();
        assert!(cpu.irqs_enabled());
        (calls.get(), served.get(), action.panicked().unwrap().to_string())
    });
    let (calls, served, message) = block_on(task.unwrap()).unwrap();
    assert_eq!((calls, served), (1, 1));
    assert_eq!(message, r#"irq handler "bad driver" panicked: on purpose"#);
}

#[test]
fn r12_a_waker_that_panics_in_an_interrupt_is_contained() {
    struct Bomb;
    impl std::task::Wake for Bomb {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("on purpose");
        }
    }
    let kernel = kernel();
    let line = kernel.handle().irq_line("watched").unwrap();
    let (mut bad, mut good) = (line.edges(), line.edges());
    let bomb = std::task::Waker::from(std::sync::Arc::new(Bomb));
    let poll = std::pin::Pin::new(&mut bad).poll_next(&mut std::task::Context::from_waker(&bomb));
    assert!(poll.is_pending());
    // Already waiting, behind the bad one, when the interrupt comes.
    let (wakes, is_woken) = std::sync::mpsc::channel();
    struct Tell(std::sync::mpsc::Sender<()>);
    impl std::task::Wake for Tell {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }
    let teller = std::task::Waker::from(std::sync::Arc::new(Tell(wakes)));
    let poll = std::pin::Pin::new(&mut good).poll_next(&mut std::task::Context::from_waker(&teller));
    assert!(poll.is_pending());
    line.trigger().unwrap();
    receive(&is_woken);
    line.trigger().unwrap();
    assert_eq!((sum(&mut good, 2), sum(&mut bad, 2)), (2, 2));
}

/// Awaits edges until there were `edges`.
fn sum(stream: &mut airlift_runtime::IrqEdges, edges: u64) -> u64 {
    let mut seen = 0;
    while seen < edges {
        seen += block_on(stream.next()).unwrap();
    }
    seen
}

#[test]
fn r12_a_panic_in_a_softirq_is_told_by_its_action_and_other_vectors_run() {
    let kernel = kernel();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let served = Rc::new(Cell::new(0));
        let bad = cpu.open_softirq(Softirq::NetTx, |_| panic!("on purpose")).unwrap();
        let count = served.clone();
        let _good = cpu.open_softirq(Softirq::NetRx, move |_| count.set(count.get() + 1));
        for _ in 0..2 {
            cpu.raise_softirq(Softirq::NetTx);
            cpu.raise_softirq(Softirq::NetRx);
            cpu.yield_now().await;
        }
        (served.get(), bad.panicked())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (2, Some("on purpose".into())));
    assert_eq!(kernel.handle().stats().softirq_panics, 1);
}

#[test]
fn r12_a_panic_in_a_timer_is_told_by_it_and_other_timers_fire() {
    let kernel = kernel();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let served = Rc::new(Cell::new(0));
        let bad = cpu.timer("bad", |_| panic!("on purpose"));
        let count = served.clone();
        let good = cpu.timer("good", move |_| count.set(count.get() + 1));
        bad.mod_timer(1);
        good.mod_timer(1);
        cpu.msleep(2).await;
        assert!(!bad.mod_timer(3) && !bad.is_pending());
        good.mod_timer(3);
        cpu.msleep(2).await;
        (served.get(), bad.panicked())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (2, Some("on purpose".into())));
    assert_eq!(kernel.handle().stats().timer_panics, 1);
}

#[test]
fn r12_a_panic_with_irqs_off_and_a_lock_held_leaves_both_clean() {
    let (flag, lock) = on_kernel(|cpu| async move {
        let lock = Rc::new(airlift_runtime::SpinLock::new("shared", 1));
        let held = lock.clone();
        let task = cpu.spawn("bad", move |cpu| async move {
            let _guard = held.lock_irqsave(&cpu);
            panic!("on purpose");
        });
        assert!(task.await.is_err());
        (cpu.irqs_enabled(), lock.with(&cpu, |value| *value))
    });
    assert_eq!((flag, lock), (true, 1));
}

#[test]
fn r12_a_panic_in_the_drop_of_a_handler_that_freed_its_own_line_is_contained() {
    on_kernel(|cpu| async move {
        let line = cpu.kernel().irq_line("test").unwrap();
        let bomb = OnDrop(|| panic!("on purpose"));
        let own = Rc::new(RefCell::new(None));
        let frees = own.clone();
        let irq = cpu.request_irq(&line, "bomb", move |_| {
            let _keep = &bomb;
            drop(frees.borrow_mut().take());
            IrqReturn::Handled
        });
        *own.borrow_mut() = Some(irq.unwrap());
        line.trigger().unwrap();
        // The processor is as it was, and the line is anybody's.
        assert!(own.borrow().is_none() && cpu.irqs_enabled() && cpu.preempt_count() == 0);
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let _irq = cpu.request_irq(&line, "next", move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        assert_eq!(runs.get(), 1);
    });
}
