//! Interrupt lines in Linux's manner: shared, threaded, disabled, freed, stuck. R8.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;

use airlift_runtime::{Completion, Cpu, IrqAction, IrqError, IrqLine, IrqOptions, IrqReturn};
use common::{Log, OnDrop, kernel, on_kernel};
use futures::executor::block_on;

/// Requests `line` with a handler that counts.
fn counting(cpu: &Cpu, line: &IrqLine) -> (IrqAction, Rc<Cell<u32>>) {
    let runs = Rc::new(Cell::new(0));
    let count = runs.clone();
    let action = cpu.request_irq(line, "counter", move |_| {
        count.set(count.get() + 1);
        IrqReturn::Handled
    });
    (action.unwrap(), runs)
}

fn line(cpu: &Cpu) -> IrqLine {
    cpu.kernel().irq_line("test").unwrap()
}

/// A threaded handler that waits for `go` at each run.
fn threaded(
    cpu: &Cpu,
    line: &IrqLine,
    options: IrqOptions,
) -> (IrqAction, Log<&'static str>, Rc<Completion>) {
    let (log, go) = (Log::new(), Rc::new(Completion::new()));
    let (primary, entries, wait) = (log.clone(), log.clone(), go.clone());
    let action = cpu.request_threaded_irq(
        line,
        "device",
        options,
        move |_| {
            primary.push("primary");
            IrqReturn::WakeThread
        },
        move |cpu| {
            let (entries, wait) = (entries.clone(), wait.clone());
            async move {
                assert!(cpu.irqs_enabled());
                entries.push("thread begins");
                wait.wait(&cpu).await;
                entries.push("thread ends");
                IrqReturn::Handled
            }
        },
    );
    (action.unwrap(), log, go)
}

async fn settle(cpu: &Cpu) {
    for _ in 0..4 {
        cpu.yield_now().await;
    }
}

#[test]
fn r8_all_handlers_of_a_shared_line_are_called_and_know_their_dev_id() {
    let kernel = kernel();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let (line, log, shared) = (line(&cpu), Log::new(), IrqOptions::new().shared());
        let mut actions = Vec::new();
        for (name, answer) in
            [("first", IrqReturn::None), ("second", IrqReturn::Handled), ("third", IrqReturn::None)]
        {
            let entries = log.clone();
            let action = cpu.request_irq_with(&line, name, shared, move |irq| {
                entries.push((name, irq.dev_id()));
                answer
            });
            actions.push(action.unwrap());
        }
        line.trigger().unwrap();
        let called = log.take();
        let ids: Vec<_> = actions.iter().map(IrqAction::dev_id).collect();
        // Freeing one leaves the others.
        drop(actions.remove(0));
        line.trigger().unwrap();
        (called, ids, log.take())
    });
    let (called, ids, rest) = block_on(task.unwrap()).unwrap();
    assert_eq!(called, [("first", ids[0]), ("second", ids[1]), ("third", ids[2])]);
    assert_eq!(rest, [("second", ids[1]), ("third", ids[2])]);
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    // One of them claims each interrupt.
    assert!(kernel.handle().stats().lines.iter().all(|line| line.unhandled == 0));
}

#[test]
fn r8_a_line_is_shared_only_among_those_who_all_say_so() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let handled = |_: &mut airlift_runtime::HardIrq<'_>| IrqReturn::Handled;
        let shared = IrqOptions::new().shared();
        let busy = |owner: &str| IrqError::Busy { number: line.number(), owner: owner.into() };
        let first = cpu.request_irq_with(&line, "first", shared, handled).unwrap();
        assert_eq!(cpu.request_irq(&line, "alone", handled).unwrap_err(), busy("first"));
        assert_eq!(cpu.request_irq_with(&line, "x", shared.oneshot(), handled).unwrap_err(), busy("first"));
        drop(first);
        let _alone = cpu.request_irq(&line, "alone", handled).unwrap();
        assert_eq!(cpu.request_irq_with(&line, "x", shared, handled).unwrap_err(), busy("alone"));
        let no = cpu.request_irq_with(&line, "x", shared.no_autoen(), handled).unwrap_err();
        assert_eq!(no, IrqError::SharedNotEnabled { number: line.number() });
    });
}

#[test]
fn r8_disable_nests_and_the_last_enable_replays_once() {
    let kernel = kernel();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let line = line(&cpu);
        let (_irq, runs) = counting(&cpu, &line);
        cpu.disable_irq(&line).await.unwrap();
        cpu.disable_irq_nosync(&line).unwrap();
        (0..5).for_each(|_| line.trigger().unwrap());
        settle(&cpu).await;
        assert_eq!((runs.get(), line.is_pending(), line.is_disabled()), (0, true, true));
        assert!(cpu.kernel().stats().to_string().contains("test, pending, disabled"));
        cpu.enable_irq(&line).unwrap();
        settle(&cpu).await;
        assert_eq!((runs.get(), line.is_pending()), (0, true));
        cpu.enable_irq(&line).unwrap();
        // It has interrupted already, and not again.
        assert_eq!((runs.get(), line.is_disabled()), (1, false));
        settle(&cpu).await;
        assert_eq!(runs.get(), 1);
        let unbalanced = cpu.enable_irq(&line).unwrap_err();
        assert_eq!(unbalanced, IrqError::NotDisabled { number: line.number() });
        line.trigger().unwrap();
        // The line is gone with its last handle.
        let stats = cpu.kernel().stats();
        let stats = stats.line(line.number()).unwrap();
        (runs.get(), (stats.raised, stats.delivered, stats.coalesced, stats.pending))
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), (2, (6, 2, 4, false)));
}

#[test]
fn r8_a_replay_with_nothing_raised_is_none() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let (_irq, runs) = counting(&cpu, &line);
        cpu.disable_irq(&line).await.unwrap();
        cpu.enable_irq(&line).unwrap();
        settle(&cpu).await;
        assert_eq!(runs.get(), 0);
    });
}

#[test]
fn r8_a_handler_may_disable_its_own_line() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let runs = Rc::new(Cell::new(0));
        let (count, own) = (runs.clone(), line.clone());
        let _irq = cpu.request_irq(&line, "once", move |irq| {
            count.set(count.get() + 1);
            irq.disable_irq_nosync(&own).unwrap();
            IrqReturn::Handled
        });
        (0..3).for_each(|_| line.trigger().unwrap());
        assert_eq!(runs.get(), 1);
        cpu.enable_irq(&line).unwrap();
        assert_eq!(runs.get(), 2);
    });
}

#[test]
fn r8_a_line_requested_disabled_waits_for_its_enable() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let _irq = cpu.request_irq_with(&line, "later", IrqOptions::new().no_autoen(), move |_| {
            count.set(count.get() + 1);
            IrqReturn::Handled
        });
        line.trigger().unwrap();
        assert_eq!(runs.get(), 0);
        cpu.enable_irq(&line).unwrap();
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn r8_a_oneshot_line_is_masked_until_its_thread_is_done() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let (_irq, log, go) = threaded(&cpu, &line, IrqOptions::new().oneshot());
        line.trigger().unwrap();
        settle(&cpu).await;
        // Raised twice meanwhile: pending, and taken once, after.
        (0..2).for_each(|_| line.trigger().unwrap());
        settle(&cpu).await;
        assert_eq!(log.take(), ["primary", "thread begins"]);
        assert!(line.is_pending());
        go.complete();
        settle(&cpu).await;
        assert_eq!(log.take(), ["thread ends", "primary", "thread begins"]);
        go.complete();
        settle(&cpu).await;
        assert_eq!(log.take(), ["thread ends"]);
        assert!(!line.is_pending());
    });
}

#[test]
fn r8_without_oneshot_the_thread_runs_once_more_if_it_was_woken_meanwhile() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let (_irq, log, go) = threaded(&cpu, &line, IrqOptions::new());
        line.trigger().unwrap();
        settle(&cpu).await;
        (0..2).for_each(|_| line.trigger().unwrap());
        assert_eq!(log.take(), ["primary", "thread begins", "primary", "primary"]);
        (0..2).for_each(|_| go.complete());
        settle(&cpu).await;
        assert_eq!(log.take(), ["thread ends", "thread begins", "thread ends"]);
        settle(&cpu).await;
        assert_eq!(log.take(), [""; 0]);
        // However often it was woken, it is done.
        assert_eq!(cpu.timeout(Cpu::JIFFY, cpu.synchronize_irq(&line)).await, Ok(()));
    });
}

#[test]
fn r8_synchronize_and_disable_wait_for_the_thread() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let (_irq, log, go) = threaded(&cpu, &line, IrqOptions::new().oneshot());
        // Nothing runs: no wait.
        cpu.synchronize_irq(&line).await;
        line.trigger().unwrap();
        settle(&cpu).await;
        let waiters: Vec<_> = ["synchronized", "disabled"]
            .into_iter()
            .map(|what| {
                let (line, log) = (line.clone(), log.clone());
                cpu.spawn(what, move |cpu| async move {
                    if what == "disabled" {
                        cpu.disable_irq(&line).await.unwrap();
                    } else {
                        cpu.synchronize_irq(&line).await;
                    }
                    log.push(what);
                })
            })
            .collect();
        settle(&cpu).await;
        assert_eq!(log.take(), ["primary", "thread begins"]);
        go.complete();
        futures::future::join_all(waiters).await;
        assert_eq!(log.take(), ["thread ends", "synchronized", "disabled"]);
    });
}

#[test]
fn r8_free_irq_waits_for_the_thread_and_drops_the_handlers() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let (irq, log, go) = threaded(&cpu, &line, IrqOptions::new().oneshot());
        line.trigger().unwrap();
        settle(&cpu).await;
        let handlers = Rc::strong_count(&go);
        let (free, entries) = (irq.free(), log.clone());
        let free = cpu.spawn("free", move |_| async move {
            free.await;
            entries.push("freed");
        });
        settle(&cpu).await;
        assert_eq!(log.take(), ["primary", "thread begins"]);
        // The line is free already, for others, and not before its mask is gone will they hear of it.
        let (_irq, runs) = counting(&cpu, &line);
        line.trigger().unwrap();
        assert_eq!(runs.get(), 0);
        go.complete();
        free.await.unwrap();
        assert_eq!(log.take(), ["thread ends", "freed"]);
        assert_eq!((runs.get(), handlers, Rc::strong_count(&go)), (1, 3, 1));
        assert!(cpu.kernel().stats().tasks.iter().all(|task| !task.name.starts_with("irq/")));
    });
}

#[test]
fn r8_freeing_a_line_in_its_own_thread_and_waiting_is_refused() {
    let panicked = on_kernel(|cpu| async move {
        let line = line(&cpu);
        let own: Rc<RefCell<Option<IrqAction>>> = Rc::default();
        let seen: Rc<RefCell<Option<String>>> = Rc::default();
        let (action, said) = (own.clone(), seen.clone());
        let irq = cpu.request_threaded_irq(
            &line,
            "suicidal",
            IrqOptions::new().oneshot(),
            |_| IrqReturn::WakeThread,
            move |_| {
                let (action, said) = (action.clone(), said.clone());
                async move {
                    let irq = action.borrow_mut().take().unwrap();
                    let waiting = std::panic::AssertUnwindSafe(irq.free());
                    let panic = futures::FutureExt::catch_unwind(waiting).await.unwrap_err();
                    *said.borrow_mut() = panic.downcast_ref::<&str>().map(ToString::to_string);
                    IrqReturn::Handled
                }
            },
        );
        *own.borrow_mut() = Some(irq.unwrap());
        line.trigger().unwrap();
        settle(&cpu).await;
        seen.take()
    });
    assert!(panicked.unwrap().contains("waits for itself"));
}

#[test]
#[cfg_attr(miri, ignore = "100,000 interrupts take too long there")]
fn r8_a_line_that_nobody_cares_for_is_shut_off_and_a_new_handler_starts_it_again() {
    let kernel = kernel();
    let task = kernel.handle().spawn("main", |cpu| async move {
        let (line, shared) = (line(&cpu), IrqOptions::new().shared());
        let runs = Rc::new(Cell::new(0u32));
        let count = runs.clone();
        let _deaf = cpu.request_irq_with(&line, "deaf", shared, move |_| {
            count.set(count.get() + 1);
            // One in a thousand is its device's: 99,900 of 100,000 are not too many.
            if count.get() <= 100_000 && count.get().is_multiple_of(1_000) {
                IrqReturn::Handled
            } else {
                IrqReturn::None
            }
        });
        (0..199_999).for_each(|_| line.trigger().unwrap());
        let (before, not_yet) = (runs.get(), line.is_disabled());
        line.trigger().unwrap();
        let shut_off = cpu.kernel().stats().line(line.number()).unwrap().shut_off;
        line.trigger().unwrap();
        assert_eq!((before, not_yet, shut_off, runs.get()), (199_999, false, true, 200_000));
        assert!(cpu.kernel().stats().to_string().contains(", pending, shut off"));
        let other = cpu.request_irq_with(&line, "cares", shared, |_| IrqReturn::Handled).unwrap();
        assert_eq!((runs.get(), line.is_disabled()), (200_001, false));
        drop(other);
    });
    block_on(task.unwrap()).unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "100,000 interrupts take too long there")]
fn r8_a_line_that_was_shut_off_works_again_when_it_is_enabled_or_requested_anew() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let shut_off = |cpu: &Cpu| {
            let stats = cpu.kernel().stats();
            let stats = stats.line(1).unwrap();
            (stats.shut_off, stats.disable_depth)
        };
        let deaf = cpu.request_irq(&line, "deaf", |_| IrqReturn::None).unwrap();
        let storm = || (0..100_000).for_each(|_| line.trigger().unwrap());
        storm();
        assert_eq!(shut_off(&cpu), (true, 1));
        cpu.enable_irq(&line).unwrap();
        assert_eq!(shut_off(&cpu), (false, 0));
        storm();
        assert_eq!(shut_off(&cpu), (true, 1));
        drop(deaf);
        let (_irq, runs) = counting(&cpu, &line);
        assert_eq!(shut_off(&cpu), (false, 0));
        line.trigger().unwrap();
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn r8_a_thread_that_handles_its_interrupts_is_not_spurious() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let _irq = cpu.request_threaded_irq(
            &line,
            "good",
            IrqOptions::new(),
            |_| IrqReturn::WakeThread,
            |_| async { IrqReturn::Handled },
        );
        for _ in 0..20 {
            line.trigger().unwrap();
            settle(&cpu).await;
        }
        let stats = cpu.kernel().stats();
        let stats = stats.line(line.number()).unwrap();
        assert_eq!((stats.delivered, stats.unhandled), (20, 0));
    });
}

#[test]
#[cfg_attr(miri, ignore = "100,000 interrupts take too long there")]
fn r8_stray_interrupts_now_and_then_shut_nothing_off() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let _deaf = cpu.request_irq(&line, "deaf", |_| IrqReturn::None);
        for _ in 0..100 {
            (0..1_000).for_each(|_| line.trigger().unwrap());
            cpu.msleep(200).await;
        }
        assert!(!line.is_disabled());
    });
}

#[test]
#[cfg_attr(miri, ignore = "100,000 interrupts take too long there")]
fn r8_a_thread_that_never_handles_anything_is_spurious_too() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let _deaf = cpu.request_threaded_irq(
            &line,
            "deaf",
            IrqOptions::new(),
            |_| IrqReturn::WakeThread,
            |_| async { IrqReturn::None },
        );
        for _ in 0..100_000 {
            line.trigger().unwrap();
        }
        assert!(line.is_disabled());
    });
}

#[test]
fn r12_a_panic_in_a_threaded_handler_is_told_by_its_action_and_unmasks_the_line() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let dropped = Rc::new(Cell::new(false));
        let flag = dropped.clone();
        let witness = OnDrop(move || flag.set(true));
        let irq = cpu.request_threaded_irq(
            &line,
            "bomb",
            IrqOptions::new().oneshot(),
            |_| IrqReturn::WakeThread,
            move |_| {
                let _keep = &witness;
                async { panic!("on purpose") }
            },
        );
        let irq = irq.unwrap();
        line.trigger().unwrap();
        cpu.synchronize_irq(&line).await;
        settle(&cpu).await;
        assert_eq!(irq.panicked().unwrap().message, "on purpose");
        assert!(dropped.get());
        line.trigger().unwrap();
        assert!(!line.is_pending());
        // Nobody waits for a thread that is no more.
        assert_eq!(cpu.timeout(Cpu::JIFFY, cpu.synchronize_irq(&line)).await, Ok(()));
    });
}

#[test]
fn r12_a_threaded_handler_that_panics_while_it_is_woken_again_keeps_nobody_waiting() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let again = line.clone();
        let irq = cpu.request_threaded_irq(
            &line,
            "bomb",
            IrqOptions::new(),
            |_| IrqReturn::WakeThread,
            move |_| {
                again.trigger().unwrap();
                async { panic!("on purpose") }
            },
        );
        let irq = irq.unwrap();
        line.trigger().unwrap();
        settle(&cpu).await;
        assert!(irq.panicked().is_some());
        assert_eq!(cpu.timeout(Cpu::JIFFY, cpu.synchronize_irq(&line)).await, Ok(()));
    });
}

#[test]
fn r8_disabling_or_synchronizing_a_line_in_its_own_thread_is_refused() {
    // In the second round, the thread's own action was freed before; another has the line still.
    for freed in [false, true] {
        let said = on_kernel(move |cpu| async move {
            let line = line(&cpu);
            let own: Rc<RefCell<Option<IrqAction>>> = Rc::default();
            let (action, said, the_line) = (own.clone(), Log::new(), line.clone());
            let entries = said.clone();
            let options = IrqOptions::new().shared();
            let _other = cpu.request_irq_with(&line, "other", options, |_| IrqReturn::None).unwrap();
            let irq = cpu.request_threaded_irq(
                &line,
                "suicidal",
                options,
                |_| IrqReturn::WakeThread,
                move |cpu| {
                    let (action, entries, line) = (action.clone(), entries.clone(), the_line.clone());
                    async move {
                        if freed {
                            drop(action.borrow_mut().take());
                        }
                        let disable = std::panic::AssertUnwindSafe(cpu.disable_irq(&line));
                        let panic = futures::FutureExt::catch_unwind(disable).await.unwrap_err();
                        entries.push(panic.downcast_ref::<String>().cloned());
                        let synchronize = std::panic::AssertUnwindSafe(cpu.synchronize_irq(&line));
                        let panic = futures::FutureExt::catch_unwind(synchronize).await.unwrap_err();
                        entries.push(panic.downcast_ref::<String>().cloned());
                        assert!(!line.is_disabled());
                        IrqReturn::Handled
                    }
                },
            );
            own.borrow_mut().replace(irq.unwrap());
            line.trigger().unwrap();
            settle(&cpu).await;
            // Others may.
            cpu.disable_irq(&line).await.unwrap();
            said.take()
        });
        assert_eq!(said.len(), 2);
        for (said, what) in said.into_iter().zip(["disable_irq of", "synchronize_irq of"]) {
            let said = said.unwrap();
            assert!(said.contains(what) && said.contains("wait for itself"), "{said}");
        }
    }
}

/// Polls `work` once, and drops it.
async fn cancel(work: impl Future<Output: std::fmt::Debug>) {
    let mut work = std::pin::pin!(work);
    let poll = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    assert!(poll.is_pending(), "{poll:?}");
}

#[test]
fn a5_a_cancelled_disable_irq_leaves_the_line_disabled_for_one_enable() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let (_irq, log, go) = threaded(&cpu, &line, IrqOptions::new());
        line.trigger().unwrap();
        settle(&cpu).await;
        // Not polled, it has done nothing.
        drop(cpu.disable_irq(&line));
        assert!(!line.is_disabled());
        cancel(cpu.disable_irq(&line)).await;
        assert!(line.is_disabled());
        line.trigger().unwrap();
        assert_eq!(log.take(), ["primary", "thread begins"]);
        cpu.enable_irq(&line).unwrap();
        assert!(!line.is_disabled());
        assert_eq!(log.take(), ["primary"]);
        // The thread was not disturbed.
        go.complete_all();
        settle(&cpu).await;
        assert_eq!(log.take(), ["thread ends", "thread begins", "thread ends"]);
    });
}

#[test]
fn a5_a_cancelled_synchronize_irq_does_nothing_else() {
    on_kernel(|cpu| async move {
        let line = line(&cpu);
        let (_irq, log, go) = threaded(&cpu, &line, IrqOptions::new());
        line.trigger().unwrap();
        settle(&cpu).await;
        cancel(cpu.synchronize_irq(&line)).await;
        assert!(!line.is_disabled());
        go.complete();
        // One that is not cancelled is told.
        cpu.synchronize_irq(&line).await;
        assert_eq!(log.take(), ["primary", "thread begins", "thread ends"]);
        line.trigger().unwrap();
        assert_eq!(log.take(), ["primary"]);
    });
}

#[test]
fn a5_a_cancelled_free_has_freed_the_line_and_the_thread_ends_its_run() {
    for polled in [false, true] {
        on_kernel(move |cpu| async move {
            let line = line(&cpu);
            let (irq, log, go) = threaded(&cpu, &line, IrqOptions::new());
            line.trigger().unwrap();
            settle(&cpu).await;
            let free = irq.free();
            if polled {
                cancel(free).await;
            } else {
                drop(free);
            }
            // It is free for others, though the thread is at work.
            let (_irq, runs) = counting(&cpu, &line);
            line.trigger().unwrap();
            assert_eq!((runs.get(), log.take()), (1, vec!["primary", "thread begins"]));
            go.complete();
            settle(&cpu).await;
            assert_eq!((log.take(), Rc::strong_count(&go)), (vec!["thread ends"], 1));
        });
    }
}
