//! The validator's memory: every class of locks, how it was used, and which class was ever taken while which was held.
//!
//! Pure data: it knows no kernel and no flag, only what it is told.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::super::class::LockClass;
use super::super::report::{LockEvent, LockProblem};

/// Names a class within its graph.
pub(super) type ClassId = usize;

/// What breaks into what: the two levels at which a lock may be wanted by somebody who cannot wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Irq = 0,
    Softirq = 1,
}

impl Level {
    const ALL: [Self; 2] = [Self::Irq, Self::Softirq];

    fn problem(self) -> LockProblem {
        match self {
            Self::Irq => LockProblem::IrqUnsafe,
            Self::Softirq => LockProblem::SoftirqUnsafe,
        }
    }
}

/// How a lock was taken, seen from a level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Usage {
    /// Within it.
    In,
    /// Where it could break in.
    Exposed,
}

/// An edge from a class to one that was taken while it was held.
#[derive(Debug)]
struct Edge {
    event: LockEvent,
}

#[derive(Debug, Default)]
struct Class {
    /// First use within each level, and first use exposed to it.
    within: [Option<LockEvent>; 2],
    exposed: [Option<LockEvent>; 2],
    after: BTreeMap<ClassId, Edge>,
    before: Vec<ClassId>,
}

/// A problem and the events that it rests on; the event that completed it comes with the call.
pub(super) type Finding = (LockProblem, Vec<LockEvent>);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Graph {
    ids: HashMap<LockClass, ClassId>,
    classes: Vec<Class>,
}

impl Graph {
    /// The class's identity. Classes are lines of the program, so there are not many.
    pub(super) fn id(&mut self, class: LockClass) -> ClassId {
        if let Some(&id) = self.ids.get(&class) {
            return id;
        }
        let id = self.classes.len();
        self.classes.push(Class::default());
        self.ids.insert(class, id);
        id
    }

    /// `id` was taken within `level`, or exposed to it. Says what that contradicts.
    pub(super) fn mark(
        &mut self,
        id: ClassId,
        level: Level,
        usage: Usage,
        event: impl FnOnce() -> LockEvent,
    ) -> Option<Finding> {
        let slot = match usage {
            Usage::In => &mut self.classes[id].within[level as usize],
            Usage::Exposed => &mut self.classes[id].exposed[level as usize],
        };
        if slot.is_some() {
            return None;
        }
        *slot = Some(event());
        // A class taken within the level, and by whatever chain one that is exposed to it is wanted while it is held.
        let (from, to) = match usage {
            Usage::In => (id, self.find(id, true, |class| class.exposed[level as usize].is_some())?),
            Usage::Exposed => (self.find(id, false, |class| class.within[level as usize].is_some())?, id),
        };
        let mut against = self.chain(from, to);
        let other = match usage {
            Usage::In => self.classes[to].exposed[level as usize].clone(),
            Usage::Exposed => self.classes[from].within[level as usize].clone(),
        };
        against.extend(other);
        Some((level.problem(), against))
    }

    /// `next` was taken while `prev` was held. Says what that contradicts.
    pub(super) fn order(
        &mut self,
        prev: ClassId,
        next: ClassId,
        event: impl FnOnce() -> LockEvent,
    ) -> Vec<Finding> {
        if self.classes[prev].after.contains_key(&next) {
            return Vec::new();
        }
        if self.path(next, prev).is_some() {
            // Not remembered, so that the graph stays free of circles.
            return vec![(LockProblem::OrderInversion, self.chain(next, prev))];
        }
        self.classes[prev].after.insert(next, Edge { event: event() });
        self.classes[next].before.push(prev);
        let mut findings = Vec::new();
        for level in Level::ALL {
            let within = self.find(prev, false, |class| class.within[level as usize].is_some());
            let exposed = self.find(next, true, |class| class.exposed[level as usize].is_some());
            if let (Some(within), Some(exposed)) = (within, exposed) {
                // Told at the edge that joins them, unless one class is both: that was told when it became so.
                let mut against = Vec::new();
                against.extend(self.classes[within].within[level as usize].clone());
                against.extend(self.chain(within, exposed));
                against.extend(self.classes[exposed].exposed[level as usize].clone());
                findings.push((level.problem(), against));
            }
        }
        findings
    }

    /// The nearest class, `from` first, along the edges or against them, that `wanted` holds for.
    fn find(&self, from: ClassId, forward: bool, wanted: impl Fn(&Class) -> bool) -> Option<ClassId> {
        let mut seen = vec![false; self.classes.len()];
        let mut queue = VecDeque::from([from]);
        seen[from] = true;
        while let Some(id) = queue.pop_front() {
            let class = &self.classes[id];
            if wanted(class) {
                return Some(id);
            }
            let mut visit = |next: ClassId| {
                if !std::mem::replace(&mut seen[next], true) {
                    queue.push_back(next);
                }
            };
            if forward {
                class.after.keys().for_each(|&next| visit(next));
            } else {
                class.before.iter().for_each(|&next| visit(next));
            }
        }
        None
    }

    /// The shortest way from `from` to `to` along the edges: all classes on it.
    fn path(&self, from: ClassId, to: ClassId) -> Option<Vec<ClassId>> {
        let mut came_from: Vec<Option<ClassId>> = vec![None; self.classes.len()];
        let mut queue = VecDeque::from([from]);
        while let Some(id) = queue.pop_front() {
            if id == to {
                let mut path = vec![to];
                let mut at = to;
                while at != from {
                    at = came_from[at]?;
                    path.push(at);
                }
                path.reverse();
                return Some(path);
            }
            for &next in self.classes[id].after.keys() {
                if next != from && came_from[next].is_none() {
                    came_from[next] = Some(id);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// The events of the edges from `from` to `to`.
    fn chain(&self, from: ClassId, to: ClassId) -> Vec<LockEvent> {
        let path = self.path(from, to).unwrap_or_default();
        let edges = path.windows(2).filter_map(|pair| self.classes[pair[0]].after.get(&pair[1]));
        edges.map(|edge| edge.event.clone()).collect()
    }
}
