//! What is observed of a run: of the kernel, and of the reference model.

/// Whose doing it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    Task(usize),
    Handler(usize),
    Softirq(usize),
    Timer(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Begins,
    /// An operation, and what it returned.
    Did(bool),
    /// A task's future is dropped, however it ended.
    Dropped,
}

/// One observation, from within the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) who: Who,
    pub(crate) what: What,
    pub(crate) irqs_on: bool,
    pub(crate) preempt_count: u32,
    /// A bit for each line.
    pub(crate) pending: u8,
    pub(crate) now_ms: u64,
    pub(crate) jiffies: u64,
    /// Of tasks.
    pub(crate) need_resched: bool,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct LineCounts {
    pub(crate) raised: u64,
    pub(crate) delivered: u64,
    pub(crate) coalesced: u64,
    pub(crate) panics: u64,
    /// By its stream.
    pub(crate) edges: u64,
    pub(crate) pending: bool,
}

/// What is left when nothing moves any more.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) lines: Vec<LineCounts>,
    /// Runs of the timer softirq, and of those that programs open.
    pub(crate) softirqs: Vec<u64>,
    pub(crate) tasks_finished: u64,
    pub(crate) tasks_cancelled: u64,
    pub(crate) tasks_panicked: u64,
    pub(crate) softirq_panics: u64,
    pub(crate) timer_panics: u64,
    pub(crate) suspended_with_irqs_off: u64,
    pub(crate) handler_left_irqs_on: u64,
}

/// A whole run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) log: Vec<Entry>,
    pub(crate) counts: Counts,
}
