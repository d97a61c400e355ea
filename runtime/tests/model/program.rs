//! Random programs: what tasks, handlers, softirqs, timers and a device do.

use airlift_runtime::Softirq;
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) const LINES: usize = 3;
pub(crate) const LOCKS: usize = 2;
pub(crate) const TIMERS: usize = 2;
/// The vectors that programs open.
pub(crate) const VECTORS: [Softirq; 2] = [Softirq::NetTx, Softirq::NetRx];

/// How a spinlock is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taking {
    Plain,
    Irqsave,
    Bh,
}

/// What any context does within its turn.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Save,
    /// To what the last [`Op::Save`] of this turn, handler, … found that was not restored yet.
    Restore,
    Disable,
    Enable,
    /// By the kernel's own thread.
    Trigger(usize),
    /// By another thread, which is done when this is.
    HostTrigger(usize),
    Relax,
    Raise(usize),
    /// In so many jiffies.
    Arm(usize, u64),
    Delete(usize),
    DisableLine(usize),
    EnableLine(usize),
    Abort(usize),
    Panic,
    IrqsOff(Vec<Self>),
    SoftirqsOff(Vec<Self>),
    PreemptOff(Vec<Self>),
    Locked(usize, Taking, Vec<Self>),
}

/// What a task does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Do(Op),
    Yield,
    CondResched,
    Sleep(u64),
}

/// A program. Handlers, softirqs and timers do the first of their lists in their first run, and so on; after the last
/// list they do nothing.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) tasks: Vec<Vec<Step>>,
    pub(crate) handlers: Vec<Vec<Vec<Op>>>,
    pub(crate) softirqs: Vec<Vec<Vec<Op>>>,
    pub(crate) timers: Vec<Vec<Vec<Op>>>,
    /// A host thread in the program's time: after so many milliseconds it raises that line.
    pub(crate) device: Vec<(u64, usize)>,
}

fn op() -> impl Strategy<Value = Op> {
    let line = 0..LINES;
    let leaf = prop_oneof![
        3 => Just(Op::Save),
        3 => Just(Op::Restore),
        1 => Just(Op::Disable),
        1 => Just(Op::Enable),
        4 => line.clone().prop_map(Op::Trigger),
        4 => line.clone().prop_map(Op::HostTrigger),
        2 => Just(Op::Relax),
        3 => (0..VECTORS.len()).prop_map(Op::Raise),
        2 => (0..TIMERS, 0..6u64).prop_map(|(timer, delay)| Op::Arm(timer, delay)),
        1 => (0..TIMERS).prop_map(Op::Delete),
        1 => line.clone().prop_map(Op::DisableLine),
        2 => line.prop_map(Op::EnableLine),
        1 => (0..4usize).prop_map(Op::Abort),
        1 => Just(Op::Panic),
    ];
    leaf.prop_recursive(2, 12, 4, |op| {
        let ops = || vec(op.clone(), 0..4);
        let taking = prop_oneof![Just(Taking::Plain), Just(Taking::Irqsave), Just(Taking::Bh)];
        prop_oneof![
            ops().prop_map(Op::IrqsOff),
            ops().prop_map(Op::SoftirqsOff),
            ops().prop_map(Op::PreemptOff),
            (0..LOCKS, taking, ops()).prop_map(|(lock, taking, ops)| Op::Locked(lock, taking, ops)),
        ]
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => op().prop_map(Step::Do),
        1 => Just(Step::Yield),
        1 => Just(Step::CondResched),
        1 => (1..5u64).prop_map(Step::Sleep),
    ]
}

/// Lists for as many sources.
fn runs(sources: usize) -> impl Strategy<Value = Vec<Vec<Vec<Op>>>> {
    vec(vec(vec(op(), 0..4), 0..4), sources)
}

pub(crate) fn program() -> impl Strategy<Value = Program> {
    let tasks = vec(vec(step(), 0..12), 1..4);
    let device = vec((1..6u64, 0..LINES), 0..5);
    (tasks, runs(LINES), runs(VECTORS.len()), runs(TIMERS), device).prop_map(
        |(tasks, handlers, softirqs, timers, device)| Program { tasks, handlers, softirqs, timers, device },
    )
}
