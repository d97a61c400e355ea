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
}

impl LockClass {
    #[track_caller]
    pub(crate) const fn here(name: &'static str) -> Self {
        Self { name, site: Location::caller(), subclass: 0 }
    }

    pub(crate) fn nested(self, subclass: u8) -> Self {
        Self { subclass, ..self }
    }
}

impl fmt::Display for LockClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "lock made at {}", self.site)?;
        } else {
            write!(f, "{:?}", self.name)?;
        }
        match self.subclass {
            0 => Ok(()),
            subclass => write!(f, " (nested {subclass})"),
        }
    }
}
