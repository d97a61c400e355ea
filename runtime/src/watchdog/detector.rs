//! [`Detector`]: from what is seen of a kernel, look by look, to what is reported.
//!
//! What stands still is dated from the last look at which it was seen to move, or that its movement came after. So a
//! report of a watchdog that is not held up is never later than the threshold after the stall's true beginning, and at
//! most one look early.
//!
//! Time in which the watchdog itself was held up does not count: when a process is stopped and continued, or its
//! machine is, the kernel could no more go on than its watchdog could. (Linux: `kvm_check_and_clear_guest_paused`,
//! `kernel/watchdog.c`, `watchdog_timer_fn`.)

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

    /// Takes `time` out of the account.
    fn forgive(&mut self, time: Duration) {
        self.moved = self.moved.saturating_add(time);
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
    /// When it was to look next.
    look_due: Duration,
    ticks: Watched,
    /// The poll in progress, by the number of polls so far.
    poll: Option<Watched>,
    lines: BTreeMap<u32, Watched>,
}

impl Detector {
    pub(super) fn new(threshold: Duration, now: Duration) -> Self {
        let ticks = Watched { count: 0, moved: now, reported: false };
        Self { threshold, looked: now, look_due: now, ticks, poll: None, lines: BTreeMap::new() }
    }

    /// Takes in what is seen at `now`; what is to be reported of it.
    pub(super) fn look(&mut self, now: Duration, sight: Sight) -> Vec<WatchdogReport> {
        let mut before = std::mem::replace(&mut self.looked, now);
        let late = now.saturating_sub(self.look_due);
        if late >= self.threshold / 2 {
            before += late;
            self.watched().for_each(|watched| watched.forgive(late));
        }
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

    fn watched(&mut self) -> impl Iterator<Item = &mut Watched> {
        std::iter::once(&mut self.ticks).chain(self.poll.as_mut()).chain(self.lines.values_mut())
    }

    /// When to look next: after Linux's sample period, or when something will have stood still for too long.
    pub(super) fn look_again(&mut self, now: Duration) -> Duration {
        let limit = self.threshold;
        let due = [self.ticks.due(limit), self.poll.as_ref().and_then(|poll| poll.due(2 * limit))];
        let due = due.into_iter().chain(self.lines.values().map(|line| line.due(limit))).flatten();
        let period = now.saturating_add(2 * limit / 5);
        self.look_due = due.min().map_or(period, |due| due.clamp(now.saturating_add(limit / 100), period));
        self.look_due
    }
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use super::*;
    use crate::Kernel;

    const THRESHOLD: Duration = Duration::from_secs(10);

    fn stalls(reports: Vec<WatchdogReport>) -> Vec<(Stall, Duration)> {
        reports.into_iter().map(|report| (report.stall, report.lasted)).collect()
    }

    /// A detector that has looked once, what it saw, and when it is to look again.
    fn begun(task: Option<(u64, String)>) -> (Detector, Sight, Duration) {
        let kernel = Kernel::new().unwrap();
        let mut sight = see(&kernel.handle());
        sight.state.task = task;
        sight.waiting.insert(1, ("usb".to_owned(), 0));
        let mut detector = Detector::new(THRESHOLD, Duration::ZERO);
        assert_eq!(stalls(detector.look(Duration::ZERO, sight.clone())), []);
        let due = detector.look_again(Duration::ZERO);
        (detector, sight, due)
    }

    #[test]
    fn r11_time_in_which_the_watchdog_was_held_up_too_is_not_held_against_the_kernel() {
        let (mut detector, mut sight, due) = begun(Some((1, "busy".to_owned())));
        // The process is stopped for an hour; the timer interrupt was taken before that, nothing else has moved.
        sight.ticks += 1;
        let now = due + Duration::from_secs(3_600);
        assert_eq!(stalls(detector.look(now, sight.clone())), []);
        // The time that it does count is that before and after: 4 s and 6 s.
        let due = detector.look_again(now);
        sight.ticks += 1;
        assert_eq!(stalls(detector.look(due, sight.clone())), []);
        detector.look_again(due);
        sight.ticks += 1;
        let pending = Stall::LinePending { number: 1, name: "usb".to_owned() };
        assert_eq!(stalls(detector.look(now + Duration::from_secs(6), sight)), [(pending, THRESHOLD)]);
    }

    #[test]
    fn r11_a_watchdog_that_is_a_little_late_still_reports_in_time() {
        let (mut detector, sight, _) = begun(None);
        let stall = [Stall::JiffiesFrozen, Stall::LinePending { number: 1, name: "usb".to_owned() }];
        let mut now = Duration::ZERO;
        let late = THRESHOLD / 20;
        loop {
            now = detector.look_again(now) + late;
            let found = stalls(detector.look(now, sight.clone()));
            if !found.is_empty() {
                let found: Vec<_> = found.into_iter().map(|(stall, _)| stall).collect();
                assert_eq!(found, stall);
                break;
            }
        }
        assert!(now <= THRESHOLD + late, "{now:?}");
    }
}
