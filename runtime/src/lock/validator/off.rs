//! The validator that is not there: the same calls, nothing in them.

use std::panic::Location;
use std::rc::Rc;

use super::super::class::LockClass;
use super::super::report::OnLockReport;
use super::Frame;
use crate::executor::Core;

#[derive(Debug)]
pub(crate) struct Validator;

impl Validator {
    pub(crate) fn new(_on_report: OnLockReport) -> Self {
        Self
    }
}

/// A lock that is held.
#[derive(Debug)]
pub(crate) struct HeldLock;

/// What a handler, softirq, timer, item or drop began with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry;

// Nothing is kept that a lock or a guard would have to carry.
const _: () = assert!(size_of::<(Validator, HeldLock, Entry)>() == 0);

type Site = &'static Location<'static>;

#[rustfmt::skip]
impl Core {
    #[inline(always)] pub(crate) fn lock_wanted(&self, _: LockClass, _: usize, _: Site) {}
    #[inline(always)] pub(crate) fn lock_taken(self: &Rc<Self>, _: LockClass, _: usize, _: bool, _: Site) -> HeldLock { HeldLock }
    #[inline(always)] pub(crate) fn lock_tried(&self, _: LockClass, _: Site) {}
    #[inline(always)] pub(crate) fn irqs_went_off(&self, _: Site) {}
    #[inline(always)] pub(crate) fn irqs_went_on(&self, _: Site) {}
    #[inline(always)] pub(crate) fn preemption_went_off(&self, _: Site) {}
    #[inline(always)] pub(crate) fn preemption_went_on(&self, _: Site) {}
    #[inline(always)] pub(crate) fn might_sleep_at(&self, _: Site) {}
    #[inline(always)] pub(crate) fn enter_frame(&self, _: Frame) {}
    #[inline(always)] pub(crate) fn leave_frame(&self, _: Frame) {}
    #[inline(always)] pub(crate) fn frame_entry(&self) -> Entry { Entry }
    #[inline(always)] pub(crate) fn check_frame_end(&self, _: Entry, _: &impl std::fmt::Display) {}
    #[inline(always)] pub(crate) fn check_turn_end(&self) {}
    #[inline(always)] pub(crate) fn check_item_end(&self, _: Entry, _: &impl std::fmt::Display) {}
    #[inline(always)] pub(crate) fn check_task_end(&self, _: bool) {}
    #[inline(always)] pub(crate) fn run_begins(&self, _: LockClass, _: usize) -> HeldLock { HeldLock }
    #[inline(always)] pub(crate) fn check_left(&self, _: Entry, _: &impl std::fmt::Display) {}
    #[inline(always)] pub(crate) fn softirqs_go_on(&self, _: Site) {}
    #[inline(always)] pub(crate) fn forget_task(&self, _: u64) {}
}
