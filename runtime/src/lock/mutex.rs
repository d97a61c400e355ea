//! [`Mutex`]: exclusive access for tasks, across awaits.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::wait::{Wait, WaitList};
use crate::cpu::Cpu;

/// Exclusive access for tasks of the kernel, first come, first served (`struct mutex`). The guard may be held
/// across an await.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    /// Taken, or handed to a waiter that has not had its turn yet.
    taken: Cell<bool>,
    list: WaitList,
    value: RefCell<T>,
}

impl<T> Mutex<T> {
    /// A mutex around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { taken: Cell::new(false), list: WaitList::new(), value: RefCell::new(value) }
    }

    /// The value, without its mutex.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex, sleeping until it is free.
    ///
    /// Cancelling it leaves the queue; a mutex that was about to be its goes to the next.
    pub async fn lock(&self, cpu: &Cpu) -> MutexGuard<'_, T> {
        let _ = cpu;
        if self.taken.replace(true) {
            // Woken, it has the mutex: whoever unlocked left it taken.
            Turn { mutex: self, wait: self.list.wait() }.await;
        }
        self.guard()
    }

    /// Takes the mutex if it is free.
    pub fn try_lock(&self, cpu: &Cpu) -> Option<MutexGuard<'_, T>> {
        let _ = cpu;
        if self.taken.replace(true) {
            return None;
        }
        Some(self.guard())
    }

    /// Hands the mutex to the one who has waited longest, or frees it.
    fn release(&self) {
        if !self.list.wake_one() {
            self.taken.set(false);
        }
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        let value =
            self.value.try_borrow_mut().expect("the value is borrowed exactly while the mutex is taken");
        MutexGuard { mutex: self, value: Some(value) }
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("taken", &self.taken.get()).finish_non_exhaustive()
    }
}

/// A waiter's turn; dropped after it was handed the mutex and before it was polled, it hands the mutex on.
struct Turn<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    wait: Wait<'a>,
}

impl<T: ?Sized> Future for Turn<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.wait).poll(cx)
    }
}

impl<T: ?Sized> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        if self.wait.forfeit() {
            self.mutex.release();
        }
    }
}

/// Holds a [`Mutex`].
#[must_use = "the mutex is released as soon as this is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// `Some` until the drop.
    value: Option<RefMut<'a, T>>,
}

const HELD: &str = "the value is there until the guard is dropped";

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect(HELD)
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(HELD)
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        drop(self.value.take());
        self.mutex.release();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
