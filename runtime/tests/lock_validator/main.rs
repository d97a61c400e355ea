//! R10's validator: it finds locking that can go wrong, tells both sites, and touches nothing.
#![cfg(any(debug_assertions, feature = "lock-validator"))]

#[path = "../common/mod.rs"]
mod common;
mod context;
mod irqs;
mod items;
mod order;

use std::cell::RefCell;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use airlift_runtime::{
    Clock, Completion, Cpu, HardIrq, IrqAction, IrqLine, IrqOptions, IrqPolicy, IrqReturn, JoinError, Kernel,
    LockProblem, LockReport, Mutex, OnLockReport, SoftIrq, Softirq, SpinLock, Tasklet, WaitQueue, Work,
};
use common::{Log, kernel};
use futures::executor::block_on;

/// Runs one task on a fresh kernel; what the validator reported.
fn reports<F, Fut>(start: F) -> Vec<LockReport>
where
    F: FnOnce(Cpu) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let kernel = kernel();
    let handle = kernel.handle();
    block_on(handle.spawn("test", start).unwrap()).unwrap();
    kernel.shutdown_blocking();
    handle.lock_reports()
}

/// The one report that there is.
fn only(reports: Vec<LockReport>, problem: LockProblem) -> LockReport {
    assert_eq!(reports.len(), 1, "{reports:#?}");
    let report = reports.into_iter().next().unwrap();
    assert_eq!(report.problem, problem, "{report}");
    report
}

/// The line that it is called in, as the sites of reports name it.
#[track_caller]
fn here() -> String {
    Location::caller().to_string().rsplit_once(':').unwrap().0.to_owned()
}

#[track_caller]
fn assert_names(report: &LockReport, parts: &[&str]) {
    let text = report.to_string();
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

/// Gives up the turn without a call that the validator knows to sleep.
async fn pending_once() {
    let mut polled = false;
    std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn poll_once(work: &mut Pin<Box<dyn Future<Output = ()>>>) {
    let _ = work.as_mut().poll(&mut Context::from_waker(futures::task::noop_waker_ref()));
}

/// A handler on a line of its own; `trigger` runs it.
fn handler(cpu: &Cpu, mut work: impl FnMut(&mut HardIrq<'_>) + 'static) -> (IrqLine, IrqAction) {
    let line = cpu.kernel().irq_line("device").unwrap();
    let action = cpu.request_irq(&line, "rx", move |irq| {
        work(irq);
        IrqReturn::Handled
    });
    (line, action.unwrap())
}

fn in_handler(cpu: &Cpu, work: impl FnMut(&mut HardIrq<'_>) + 'static) {
    let (line, _action) = handler(cpu, work);
    line.trigger().unwrap();
}

fn in_softirq(cpu: &Cpu, work: impl FnMut(&mut SoftIrq<'_>) + 'static) {
    let _action = cpu.open_softirq(Softirq::NetRx, work).unwrap();
    cpu.with_softirqs_off(|| cpu.raise_softirq(Softirq::NetRx));
}
