//! [`Detector`]: from what is seen of a kernel, look by look, to what is reported.
//!
//! What stands still is dated from the last look at which it was seen to move, or that its movement came after. So a
//! report is never later than the threshold after the stall's true beginning, and at most one look early.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::report::{Stall, WatchdogReport};
use crate::irq::CpuState;
use crate::kernel::KernelHandle;

/// What one look sees.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    state: CpuState,
    /// Timer interrupts taken so far.
    ticks: u64,
    /// Pending lines that somebody listens to, with the interrupts taken of each so far.
    waiting: BTreeMap<u32, (String, u64)>,
    suspended_with_irqs_off: Vec<(u64, String)>,
}

/// Looks at a kernel, whatever it does.
pub(super) fn see(kernel: &KernelHandle) -> Sight {
    kernel.nmi(|nmi| {
        let shared = &kernel.shared;
        let lines = shared.lines().live();
        let ticks = lines.iter().find(|line| line.number == 0).map_or(0, |timer| timer.latch.delivered());
        let waiting =
            lines.iter().filter(|line| line.number != 0 && line.latch.is_pending() && line.is_heard());
        Sight {
            state: nmi.state(),
            ticks,
            waiting: waiting.map(|line| (line.number, (line.name.clone(), line.latch.delivered()))).collect(),
            suspended_with_irqs_off: shared
                .tasks()
                .values()
                .filter(|task| task.irqs_off.load(Ordering::Relaxed))
                .map(|task| (task.id, task.name.clone()))
                .collect(),
        }
    })
}

/// Something that is to move on.
#[derive(Debug)]
struct Watched {
    /// Its count when it was last looked at.
    count: u64,
    /// It has moved since then, or is so young.
    moved: Duration,
    reported: bool,
}

impl Watched {
    /// It is seen with this `count` now, and was last looked at `before`.
    fn see(&mut self, count: u64, before: Duration) {
        if count != self.count {
            *self = Self { count, moved: before, reported: false };
        }
    }

    /// How long it has stood still, if that is as long as `limit` and was not told yet.
    fn overdue(&mut self, now: Duration, limit: Duration) -> Option<Duration> {
        let lasted = now.saturating_sub(self.moved);
        (lasted >= limit && !std::mem::replace(&mut self.reported, true)).then_some(lasted)
    }

    fn due(&self, limit: Duration) -> Option<Duration> {
        (!self.reported).then(|| self.moved.saturating_add(limit))
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Detector {
    threshold: Duration,
    /// When it last looked.
    looked: Duration,
    ticks: Watched,
    /// The poll in progress, by the number of polls so far.
    poll: Option<Watched>,
    lines: BTreeMap<u32, Watched>,
}

impl Detector {
    pub(super) fn new(threshold: Duration, now: Duration) -> Self {
        let ticks = Watched { count: 0, moved: now, reported: false };
        Self { threshold, looked: now, ticks, poll: None, lines: BTreeMap::new() }
    }

    /// Takes in what is seen at `now`; what is to be reported of it.
    pub(super) fn look(&mut self, now: Duration, sight: Sight) -> Vec<WatchdogReport> {
        let before = std::mem::replace(&mut self.looked, now);
        let mut stalls = Vec::new();
        self.ticks.see(sight.ticks, before);
        stalls.extend(self.ticks.overdue(now, self.threshold).map(|lasted| (Stall::JiffiesFrozen, lasted)));

        if sight.state.task.is_some() {
            let count = sight.state.polls;
            let poll = self.poll.get_or_insert(Watched { count, moved: before, reported: false });
            poll.see(count, before);
            stalls.extend(poll.overdue(now, 2 * self.threshold).map(|lasted| (Stall::PollStuck, lasted)));
        } else {
            self.poll = None;
        }

        self.lines.retain(|number, _| sight.waiting.contains_key(number));
        for (&number, (name, count)) in &sight.waiting {
            // Young: it may have been raised just now.
            let young = Watched { count: *count, moved: now, reported: false };
            let line = self.lines.entry(number).or_insert(young);
            line.see(*count, now);
            if let Some(lasted) = line.overdue(now, self.threshold) {
                stalls.push((Stall::LinePending { number, name: name.clone() }, lasted));
            }
        }

        let reports = stalls.into_iter().map(|(stall, lasted)| WatchdogReport {
            stall,
            lasted,
            state: sight.state.clone(),
            suspended_with_irqs_off: sight.suspended_with_irqs_off.clone(),
        });
        reports.collect()
    }

    /// When to look next: after Linux's sample period, or when something will have stood still for too long.
    pub(super) fn look_again(&self, now: Duration) -> Duration {
        let limit = self.threshold;
        let due = [self.ticks.due(limit), self.poll.as_ref().and_then(|poll| poll.due(2 * limit))];
        let due = due.into_iter().chain(self.lines.values().map(|line| line.due(limit))).flatten();
        let period = now.saturating_add(2 * limit / 5);
        due.min().map_or(period, |due| due.clamp(now.saturating_add(limit / 100), period))
    }
}
