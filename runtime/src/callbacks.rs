//! [`Callbacks`]: what works, timers and tasklets call, listed so that the kernel's end drops all of it.
//!
//! A callback that refers to its own handle, to arm itself again for example, keeps itself alive: nobody else's drop
//! would ever reach it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use crate::executor::Core;

/// What has a callback.
pub(crate) trait Callback {
    /// Drops the callback, which is not called any more.
    fn drop_callback(&self);
}

/// The callbacks of one kernel.
#[derive(Default)]
pub(crate) struct Callbacks {
    listed: RefCell<BTreeMap<u64, Weak<dyn Callback>>>,
    next: Cell<u64>,
}

/// A place in the list, given up when this is dropped.
pub(crate) struct Listed {
    core: Weak<Core>,
    id: u64,
}

impl Listed {
    /// Tells what is listed from all else that is.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.callbacks.listed.borrow_mut().remove(&self.id);
        }
    }
}

impl Core {
    pub(crate) fn list_callback(self: &Rc<Self>, callback: Weak<dyn Callback>) -> Listed {
        let id = self.callbacks.next.get();
        self.callbacks.next.set(id + 1);
        self.callbacks.listed.borrow_mut().insert(id, callback);
        Listed { core: Rc::downgrade(self), id }
    }

    /// The end: drops all callbacks that are left, and those that their drops make, within reason.
    pub(crate) fn drop_callbacks(&self) {
        const PASSES: u32 = 100;
        for _ in 0..PASSES {
            let listed = std::mem::take(&mut *self.callbacks.listed.borrow_mut());
            if listed.is_empty() {
                return;
            }
            for callback in listed.into_values().filter_map(|callback| callback.upgrade()) {
                self.contain("drop of a callback", || callback.drop_callback());
            }
        }
        let left = self.callbacks.listed.borrow().len();
        if left > 0 {
            tracing::warn!(
                left,
                "the drops of callbacks make others without an end; the last are not dropped"
            );
        }
    }
}
