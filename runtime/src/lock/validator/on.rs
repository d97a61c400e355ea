//! The validator between the kernel and its [`Graph`]: what is held by whom, and when to look.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::panic::Location;
use std::rc::Rc;

use super::super::class::LockClass;
use super::super::report::{LockEvent, LockProblem, LockReport, OnLockReport};
use super::Frame;
use super::graph::{Graph, Level, Usage};
use crate::executor::Core;
use crate::executor::policy::IrqPolicy;

type Site = &'static Location<'static>;

/// A lock that is held.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: u64,
    class: LockClass,
    /// The lock's address: tells it from others of its class while it is held.
    instance: usize,
    spin: bool,
    site: Site,
}

#[derive(Debug, Default)]
struct State {
    graph: Graph,
    /// What is held by all that is below on the stack and by what runs now, which is last. Never empty.
    frames: Vec<(Frame, Vec<Held>)>,
    /// What suspended tasks hold.
    suspended: HashMap<u64, Vec<Held>>,
    /// What was reported, by problem and both sites: once is enough.
    reported: HashSet<(LockProblem, Site, Option<Site>)>,
    next: u64,
}

impl State {
    fn held(&mut self) -> &mut Vec<Held> {
        if self.frames.is_empty() {
            // What the executor itself runs in.
            self.frames.push((Frame::Interrupt, Vec::new()));
        }
        &mut self.frames.last_mut().expect("one was just pushed").1
    }
}

/// The state of the validator of one kernel.
#[derive(Debug)]
pub(crate) struct Validator {
    state: RefCell<State>,
    on_report: OnLockReport,
    /// Where IRQs last went off and on, and softirqs off.
    irqs_off_at: Cell<Option<Site>>,
    irqs_on_at: Cell<Option<Site>>,
    preemption_off_at: Cell<Option<Site>>,
}

impl Validator {
    pub(crate) fn new(on_report: OnLockReport) -> Self {
        Self {
            state: RefCell::default(),
            on_report,
            irqs_off_at: Cell::new(None),
            irqs_on_at: Cell::new(None),
            preemption_off_at: Cell::new(None),
        }
    }
}

/// A lock that is held; its drop is the release.
pub(crate) struct HeldLock {
    core: Rc<Core>,
    id: u64,
}

/// What a handler, softirq, timer, item or drop began with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    irqs_on: bool,
    preempt: u32,
    /// Locks that were taken by then have no higher id.
    last: u64,
}

impl Core {
    // ---- locks -----------------------------------------------------------------------------------------------

    /// A lock is about to be taken, or waited for.
    #[track_caller]
    pub(crate) fn lock_wanted(&self, class: LockClass, instance: usize, site: Site) {
        let mut found = if class.kind.is_lock() { self.mark_use(class, site) } else { Vec::new() };
        {
            let mut state = self.validator.state.borrow_mut();
            let held = state.held().clone();
            let id = state.graph.id(class);
            let again = held
                .iter()
                .rfind(|prev| prev.class == class && (prev.instance == instance || class.kind.nests_badly()));
            // Once it cannot be had, its order does not matter.
            for prev in again.map_or(&*held, std::slice::from_ref) {
                let event = || LockEvent {
                    what: format!("{class} taken while {}, taken at {}, is held", prev.class, prev.site),
                    context: self.context().to_string(),
                    site,
                };
                let prev_id = state.graph.id(prev.class);
                if prev_id == id {
                    if again.is_none() {
                        continue;
                    }
                    let which = if prev.instance == instance { "" } else { "another lock of its class, " };
                    let first = self.event(format!("{which}{} taken", prev.class), prev.site);
                    found.push((LockProblem::Recursion, event(), vec![first]));
                } else {
                    let findings = state.graph.order(prev_id, id, event);
                    found.extend(findings.into_iter().map(|(problem, against)| (problem, event(), against)));
                }
            }
        }
        self.report_all(found);
    }

    /// A lock was taken without waiting for it, if it was free: that closes no circle, but is a use of the lock.
    #[track_caller]
    pub(crate) fn lock_tried(&self, class: LockClass, site: Site) {
        let found = self.mark_use(class, site);
        self.report_all(found);
    }

    /// A lock is held from here on.
    pub(crate) fn lock_taken(
        self: &Rc<Self>,
        class: LockClass,
        instance: usize,
        spin: bool,
        site: Site,
    ) -> HeldLock {
        let mut state = self.validator.state.borrow_mut();
        state.next += 1;
        let id = state.next;
        state.held().push(Held { id, class, instance, spin, site });
        HeldLock { core: self.clone(), id }
    }

    /// What others may wait for, the run of a work item for example, begins: `class` is held until it ends. Waiting
    /// for that end is told by [`lock_wanted`](Self::lock_wanted), so that the graph knows who waits for whom.
    #[track_caller]
    pub(crate) fn run_begins(&self, class: LockClass, instance: usize) -> HeldLock {
        self.lock_wanted(class, instance, class.site);
        self.rc().lock_taken(class, instance, false, class.site)
    }

    fn mark_use(&self, class: LockClass, site: Site) -> Vec<Found> {
        let usages: &[(Level, Usage)] = if self.in_hardirq.get() {
            &[(Level::Irq, Usage::In)]
        } else if self.softirq.running().is_some() {
            &[(Level::Softirq, Usage::In), (Level::Irq, Usage::Exposed)]
        } else {
            &[(Level::Irq, Usage::Exposed), (Level::Softirq, Usage::Exposed)]
        };
        self.mark(class, usages, |what| self.event(format!("{class} taken {what}"), site))
    }

    /// Marks `class`, except as exposed to what cannot break in now.
    fn mark(
        &self,
        class: LockClass,
        usages: &[(Level, Usage)],
        event: impl Fn(&str) -> LockEvent,
    ) -> Vec<Found> {
        let mut found = Vec::new();
        let mut state = self.validator.state.borrow_mut();
        let id = state.graph.id(class);
        for &(level, usage) in usages {
            let what = match (level, usage) {
                (Level::Irq, Usage::In) => "in an irq handler",
                (Level::Softirq, Usage::In) => "in a softirq",
                (Level::Irq, Usage::Exposed) if self.irqs_on.get() => "with irqs on",
                (Level::Softirq, Usage::Exposed) if self.irqs_on.get() && self.softirq.disabled() == 0 => {
                    "with softirqs on"
                }
                (_, Usage::Exposed) => continue,
            };
            if let Some((problem, against)) = state.graph.mark(id, level, usage, || event(what)) {
                found.push((problem, event(what), against));
            }
        }
        found
    }

    fn lock_released(&self, id: u64) {
        let mut found = Vec::new();
        {
            let mut state = self.validator.state.borrow_mut();
            let held = state.held();
            if let Some(place) = held.iter().position(|held| held.id == id) {
                let released = held.remove(place);
                if released.spin
                    && let Some(later) = held[place..].iter().find(|held| held.spin)
                {
                    found.push(self.release_order(&released, "before", later));
                }
            } else {
                // Of a frame below or of another task; or it was left by a handler, which was reported.
                let State { frames, suspended, .. } = &mut *state;
                let others = frames.iter_mut().map(|(_, held)| held).chain(suspended.values_mut());
                for held in others {
                    if let Some(place) = held.iter().position(|held| held.id == id) {
                        let released = held.remove(place);
                        if released.spin {
                            let event = self.event(
                                format!("{} released by another turn than took it", released.class),
                                released.site,
                            );
                            found.push((LockProblem::ReleaseOrder, event, Vec::new()));
                        }
                        break;
                    }
                }
            }
        }
        // A release happens in drops, where nothing may panic.
        for (problem, event, against) in found {
            self.file_report(problem, event, against);
        }
    }

    fn release_order(&self, released: &Held, when: &str, later: &Held) -> Found {
        let event = self.event(format!("{} released {when} {}", released.class, later.class), released.site);
        let against = vec![self.event(format!("{} taken", later.class), later.site)];
        (LockProblem::ReleaseOrder, event, against)
    }

    // ---- the processor's state, as it changes ----------------------------------------------------------------

    pub(crate) fn irqs_went_off(&self, site: Site) {
        self.validator.irqs_off_at.set(Some(site));
    }

    /// IRQs are on; nothing was delivered yet.
    #[track_caller]
    pub(crate) fn irqs_went_on(&self, site: Site) {
        self.validator.irqs_on_at.set(Some(site));
        self.mark_held("held when irqs went on", site);
    }

    pub(crate) fn preemption_went_off(&self, site: Site) {
        self.validator.preemption_off_at.set(Some(site));
    }

    /// Softirqs may be on again; none was run yet.
    #[track_caller]
    pub(crate) fn preemption_went_on(&self, site: Site) {
        self.mark_held("held when softirqs went on", site);
    }

    /// All that is held is exposed to what may break in from here on.
    #[track_caller]
    fn mark_held(&self, what: &str, site: Site) {
        if self.in_hardirq.get() {
            return;
        }
        let held = self.validator.state.borrow_mut().held().clone();
        let usages: &[(Level, Usage)] = if self.softirq.running().is_some() {
            &[(Level::Irq, Usage::Exposed)]
        } else {
            &[(Level::Irq, Usage::Exposed), (Level::Softirq, Usage::Exposed)]
        };
        for held in held.into_iter().filter(|held| held.class.kind.is_lock()) {
            let event = |_: &str| self.event(format!("{}, taken at {}, {what}", held.class, held.site), site);
            let found = self.mark(held.class, usages, event);
            self.report_all(found);
        }
    }

    /// How often softirqs or preemption are off for what runs now.
    fn preempt_depth(&self) -> u32 {
        self.softirq.disabled() + self.preempt.get()
    }

    /// Softirqs are put off once less. Where nothing may run them that is a mistake (`__local_bh_enable_ip` warns), even
    /// if they stay off.
    pub(crate) fn softirqs_go_on(&self, site: Site) {
        let against = if self.in_hardirq.get() {
            Vec::new()
        } else if let Some(since) = self.irqs_off_since() {
            vec![since]
        } else {
            return;
        };
        let event = self.event("softirqs put off and on again".to_owned(), site);
        // It happens in drops, where nothing may panic.
        self.file_report(LockProblem::SoftirqsInAtomic, event, against);
    }

    // ---- sleeping, and the ends of things --------------------------------------------------------------------

    /// Something that may sleep was called.
    #[track_caller]
    pub(crate) fn might_sleep_at(&self, site: Site) {
        let against = if self.in_hardirq.get() || self.softirq.running().is_some() {
            Vec::new()
        } else {
            let against = self.atomic_since();
            if against.is_empty() {
                return;
            }
            against
        };
        let event = self.event("a call that may sleep".to_owned(), site);
        self.report_all(vec![(LockProblem::SleepInAtomic, event, against)]);
    }

    /// What makes the turn in progress atomic.
    fn atomic_since(&self) -> Vec<LockEvent> {
        let mut since = self.held_spinlocks();
        if self.preempt_depth() > 0 && since.is_empty() {
            let site = self.validator.preemption_off_at.get().unwrap_or(Location::caller());
            since.push(self.event("softirqs or preemption turned off".to_owned(), site));
        }
        since.extend(self.irqs_off_since());
        since
    }

    fn held_spinlocks(&self) -> Vec<LockEvent> {
        let held = self.validator.state.borrow_mut().held().clone();
        let spin = held.iter().filter(|held| held.spin);
        spin.map(|held| self.event(format!("{} taken", held.class), held.site)).collect()
    }

    fn irqs_off_since(&self) -> Option<LockEvent> {
        let site = self.validator.irqs_off_at.get().unwrap_or(Location::caller());
        (!self.irqs_on.get()).then(|| self.event("irqs turned off".to_owned(), site))
    }

    /// What runs from here on holds locks of its own.
    pub(crate) fn enter_frame(&self, frame: Frame) {
        let mut state = self.validator.state.borrow_mut();
        state.held();
        let held = match frame {
            Frame::Task(task) => state.suspended.remove(&task).unwrap_or_default(),
            Frame::Interrupt => Vec::new(),
        };
        state.frames.push((frame, held));
    }

    pub(crate) fn leave_frame(&self, frame: Frame) {
        let mut state = self.validator.state.borrow_mut();
        let left = state.frames.pop();
        debug_assert_eq!(left.as_ref().map(|(left, _)| *left), Some(frame), "frames nest");
        if let (Some((_, held)), Frame::Task(task)) = (left, frame)
            && !held.is_empty()
        {
            state.suspended.insert(task, held);
        }
    }

    /// For [`check_frame_end`](Self::check_frame_end) and [`check_left`](Self::check_left), when what they look at
    /// begins.
    pub(crate) fn frame_entry(&self) -> Entry {
        let last = self.validator.state.borrow().next;
        Entry { irqs_on: self.irqs_on.get(), preempt: self.preempt_depth(), last }
    }

    /// A handler, softirq or timer, named `who`, has returned; its frame and context are still there.
    #[track_caller]
    pub(crate) fn check_frame_end(&self, entry: Entry, who: &impl Display) {
        let event = |what: String, site| LockEvent { what, context: who.to_string(), site };
        let mut found: Vec<Found> = Vec::new();
        for taken in self.held_spinlocks() {
            let event = event("returned with a lock held".to_owned(), taken.site);
            found.push((LockProblem::HeldAtEnd, event, vec![taken]));
        }
        let irqs_on = self.irqs_on.get();
        if irqs_on != entry.irqs_on {
            let (what, at) = match irqs_on {
                true => ("returned with irqs on, called with irqs off", &self.validator.irqs_on_at),
                false => ("returned with irqs off, called with irqs on", &self.validator.irqs_off_at),
            };
            let event = event(what.to_owned(), at.get().unwrap_or(Location::caller()));
            found.push((LockProblem::UnbalancedIrqs, event, Vec::new()));
        }
        let preempt = self.preempt_depth();
        if preempt != entry.preempt {
            let what = format!("entered with preempt count {}, returned with {preempt}", entry.preempt);
            let site = self.validator.preemption_off_at.get().unwrap_or(Location::caller());
            found.push((LockProblem::UnbalancedPreempt, event(what, site), Vec::new()));
        }
        self.report_all(found);
    }

    /// A task's turn ends, and the task does not.
    #[track_caller]
    pub(crate) fn check_turn_end(&self) {
        let mut found: Vec<Found> = Vec::new();
        let since = self.atomic_since();
        for since in since {
            let irqs = since.what.starts_with("irqs");
            let problem = if irqs { LockProblem::IrqsOffAcrossYield } else { LockProblem::HeldAcrossYield };
            let event = self.event(format!("turn given up after {}", since.what), since.site);
            found.push((problem, event, vec![since]));
        }
        self.report_all(found);
    }

    /// A task has come to its end; its context is still there. `irqs_on`: its last turn began with them on.
    #[track_caller]
    pub(crate) fn check_task_end(&self, irqs_on: bool) {
        // Where one flag is for all, it may be somebody else who has them off.
        let is_its_own = irqs_on || self.irq_policy == IrqPolicy::PerTask;
        if is_its_own && let Some(since) = self.irqs_off_since() {
            let event = self.event("a task ended with irqs off".to_owned(), since.site);
            self.report_all(vec![(LockProblem::UnbalancedIrqs, event, vec![since])]);
        }
    }

    /// As [`check_frame_end`](Self::check_frame_end), for a callback that a task ran, in turns.
    #[track_caller]
    pub(crate) fn check_item_end(&self, entry: Entry, who: &impl Display) {
        let irqs_on = match self.irq_policy {
            IrqPolicy::PerTask => entry.irqs_on,
            // It may be somebody else who has changed the flag.
            IrqPolicy::Global => self.irqs_on.get(),
        };
        self.check_frame_end(Entry { irqs_on, ..entry }, who);
    }

    /// What is still held of all that was taken since `entry` is held by nobody who comes after `who`.
    pub(crate) fn check_left(&self, entry: Entry, who: &impl Display) {
        let left: Vec<_> = {
            let mut state = self.validator.state.borrow_mut();
            state.held().extract_if(.., |held| held.id > entry.last).collect()
        };
        self.report_left(left, who);
    }

    /// The task is gone, and its guards with it, unless they were leaked or handed on.
    pub(crate) fn forget_task(&self, task: u64) {
        let left = self.validator.state.borrow_mut().suspended.remove(&task);
        self.report_left(left.unwrap_or_default(), &"a task");
    }

    fn report_left(&self, left: Vec<Held>, who: &impl Display) {
        for held in left {
            let event = self.event(format!("{who} ended with a lock held"), held.site);
            let taken = self.event(format!("{} taken", held.class), held.site);
            self.file_report(LockProblem::HeldAtEnd, event, vec![taken]);
        }
    }

    // ---- reports ---------------------------------------------------------------------------------------------

    fn event(&self, what: String, site: Site) -> LockEvent {
        LockEvent { what, context: self.context().to_string(), site }
    }

    /// Reports, and panics if that is wanted. Nothing of the validator is borrowed.
    #[track_caller]
    fn report_all(&self, found: Vec<Found>) {
        let mut last = None;
        for (problem, event, against) in found {
            last = self.file_report(problem, event, against).or(last);
        }
        if let Some(report) = last
            && self.validator.on_report == OnLockReport::Panic
            && !std::thread::panicking()
        {
            panic!("{report}");
        }
    }

    /// Stores a report and says it, unless it was said before.
    fn file_report(
        &self,
        problem: LockProblem,
        event: LockEvent,
        against: Vec<LockEvent>,
    ) -> Option<LockReport> {
        let key = (problem, event.site, against.last().map(|event| event.site));
        if !self.validator.state.borrow_mut().reported.insert(key) {
            return None;
        }
        let report = LockReport { problem, event, against };
        tracing::error!(kernel = %self.shared.name, %report, "lock validator");
        self.shared.lock_reports().push(report.clone());
        Some(report)
    }
}

type Found = (LockProblem, LockEvent, Vec<LockEvent>);

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.core.lock_released(self.id);
    }
}
