//! [`Tasks`]: the tasks that live, each at a place of its own, so that a turn finds its task by index.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::core::Task;

#[derive(Default)]
pub(super) struct Tasks {
    slots: Vec<Option<Rc<Task>>>,
    free: Vec<usize>,
}

impl Tasks {
    pub(super) fn insert(&mut self, task: Rc<Task>) {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        task.header.slot.store(slot, Ordering::Relaxed);
        if slot == self.slots.len() {
            self.slots.push(Some(task));
        } else {
            self.slots[slot] = Some(task);
        }
    }

    /// The task, if it lives. Its place may be another's by now.
    pub(super) fn get(&self, slot: usize, id: u64) -> Option<Rc<Task>> {
        self.slots.get(slot)?.as_ref().filter(|task| task.header.id == id).cloned()
    }

    /// The task of this name, wherever its place is.
    pub(super) fn find(&self, id: u64) -> Option<Rc<Task>> {
        self.slots.iter().flatten().find(|task| task.header.id == id).cloned()
    }

    pub(super) fn remove(&mut self, task: &Task) {
        let slot = task.header.slot.load(Ordering::Relaxed);
        if self.get(slot, task.header.id).is_some() {
            self.slots[slot] = None;
            self.free.push(slot);
        }
    }

    /// All that live, oldest first: those that are services, or the others.
    pub(super) fn by_age(&self, services: bool) -> Vec<Rc<Task>> {
        let tasks = self.slots.iter().flatten().filter(|task| task.header.service == services);
        let mut tasks: Vec<_> = tasks.cloned().collect();
        tasks.sort_by_key(|task| task.header.id);
        tasks
    }
}
