//! [`LockClass`]: what the validator reasons about in place of single locks.

use std::fmt;
use std::panic::Location;

/// All locks that one line of a program makes are one class (as `struct lock_class_key` is for Linux): what is learnt
/// of one holds for all. A class that is nested in itself on purpose is told apart by a subclass.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct LockClass {
    pub(crate) name: &'static str,
    /// Where locks of the class are made.
    pub(crate) site: &'static Location<'static>,
    pub(crate) subclass: u8,
    pub(crate) kind: ClassKind,
}

/// What the locks of a class are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ClassKind {
    /// A lock.
    Lock,
    /// A lock made by `Default`: if that is derived, all fields of one type are made by one line.
    DefaultLock,
    /// Not a lock, but runs of something that others wait for: its run holds it, to wait for its end is to take it.
    Work,
    Workqueue,
    Timer,
}

#[cfg(any(debug_assertions, feature = "lock-validator"))]
impl ClassKind {
    pub(crate) fn is_lock(self) -> bool {
        matches!(self, Self::Lock | Self::DefaultLock)
    }

    /// Whether to take one of the class while another is held can go wrong by itself.
    pub(crate) fn nests_badly(self) -> bool {
        self == Self::Lock
    }
}

impl LockClass {
    #[track_caller]
    pub(crate) const fn here(name: &'static str) -> Self {
        Self { name, site: Location::caller(), subclass: 0, kind: ClassKind::Lock }
    }

    /// Of a lock that `Default` makes, around a `T`.
    #[track_caller]
    pub(crate) fn of_default<T: ?Sized>() -> Self {
        let name = std::any::type_name::<T>();
        Self { name, kind: ClassKind::DefaultLock, ..Self::here("") }
    }

    /// Of what is made here and is not a lock.
    #[track_caller]
    pub(crate) fn of(kind: ClassKind) -> Self {
        Self { kind, ..Self::here("") }
    }

    pub(crate) fn nested(self, subclass: u8) -> Self {
        Self { subclass, ..self }
    }
}

impl fmt::Display for LockClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ClassKind::Lock | ClassKind::DefaultLock => "lock",
            ClassKind::Work => "work item",
            ClassKind::Workqueue => "workqueue",
            ClassKind::Timer => "timer",
        };
        match (self.kind, self.name) {
            (ClassKind::DefaultLock, of) => write!(f, "lock of {of} made at {}", self.site)?,
            (_, "") => write!(f, "{what} made at {}", self.site)?,
            (_, name) => write!(f, "{name:?}")?,
        }
        match self.subclass {
            0 => Ok(()),
            subclass => write!(f, " (nested {subclass})"),
        }
    }
}
