//! [`Mutex`]: exclusive access for tasks, across awaits.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::class::LockClass;
use super::validator::HeldLock;
use super::wait::{Wait, WaitList};
use crate::cpu::Cpu;
use crate::executor::Core;

/// Exclusive access for tasks of the kernel, first come, first served (`struct mutex`). The guard may be held
/// across an await.
///
/// What is held is held by the task, as in Linux. To the lock validator the halves of one task, in a `join!` for
/// example, are one flow of control: if one wants a mutex while another holds it, or a lock of its class, that is
/// reported as a [recursion](super::LockProblem::Recursion), though it may go well, since it cannot tell this from a task
/// that waits for itself. Halves that share mutexes are better tasks of their own.
///
/// A task, or a run of a work item or threaded handler, that ends while a mutex is held that it took is
/// [reported](super::LockProblem::HeldAtEnd), though another may have the guard by then: as in Linux, whoever takes a
/// mutex is to live as long as it is held.
pub struct Mutex<T: ?Sized> {
    class: LockClass,
    /// Taken, or handed to a waiter that has not had its turn yet.
    taken: Cell<bool>,
    list: WaitList,
    value: RefCell<T>,
}

impl<T> Mutex<T> {
    /// A mutex around `value`.
    ///
    /// Locks that one line makes are of one *class* for the lock validator; for those that a derived `Default` makes,
    /// see [`SpinLock::new`](super::SpinLock::new).
    #[must_use]
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self::named("", value)
    }

    /// A mutex around `value`, with a name for reports.
    #[must_use]
    #[track_caller]
    pub const fn named(name: &'static str, value: T) -> Self {
        Self {
            class: LockClass::here(name),
            taken: Cell::new(false),
            list: WaitList::new(),
            value: RefCell::new(value),
        }
    }

    /// The value, without its mutex.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self { class: LockClass::of_default::<T>(), ..Self::new(T::default()) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex, sleeping until it is free.
    ///
    /// Cancelling it leaves the queue; a mutex that was about to be its goes to the next.
    #[track_caller]
    pub fn lock(&self, cpu: &Cpu) -> impl Future<Output = MutexGuard<'_, T>> {
        self.acquire(cpu.core().clone(), self.class, Location::caller())
    }

    /// As [`lock`](Self::lock), for a mutex that is taken while another of its class is held (`mutex_lock_nested`):
    /// the lock validator takes each `subclass` for a class of its own.
    #[track_caller]
    pub fn lock_nested(&self, cpu: &Cpu, subclass: u8) -> impl Future<Output = MutexGuard<'_, T>> {
        self.acquire(cpu.core().clone(), self.class.nested(subclass), Location::caller())
    }

    async fn acquire(
        &self,
        core: Rc<Core>,
        class: LockClass,
        site: &'static Location<'static>,
    ) -> MutexGuard<'_, T> {
        core.might_sleep_at(site);
        core.lock_wanted(class, self.address(), site);
        if self.taken.replace(true) {
            // Woken, it has the mutex: whoever unlocked left it taken.
            Turn { mutex: self, wait: self.list.wait() }.await;
        }
        self.guard(&core, class, site)
    }

    /// Takes the mutex if it is free.
    #[track_caller]
    pub fn try_lock(&self, cpu: &Cpu) -> Option<MutexGuard<'_, T>> {
        let site = Location::caller();
        cpu.core().lock_tried(self.class, site);
        if self.taken.replace(true) {
            return None;
        }
        Some(self.guard(cpu.core(), self.class, site))
    }

    /// What tells it from other locks.
    fn address(&self) -> usize {
        (&raw const self.taken).addr()
    }

    /// Hands the mutex to the one who has waited longest, or frees it.
    fn release(&self) {
        if !self.list.wake_one() {
            self.taken.set(false);
        }
    }

    fn guard(
        &self,
        core: &Rc<Core>,
        class: LockClass,
        site: &'static Location<'static>,
    ) -> MutexGuard<'_, T> {
        let value =
            self.value.try_borrow_mut().expect("the value is borrowed exactly while the mutex is taken");
        let held = core.lock_taken(class, self.address(), false, site);
        MutexGuard { mutex: self, value: Some(value), held: Some(held) }
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

/// Holds a [`Mutex`]. It may go to another task, which is to be done with it before its taker ends,
/// but not to another thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<airlift_runtime::MutexGuard<'_, u32>>();
/// ```
#[must_use = "the mutex is released as soon as this is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// `Some` until the drop.
    value: Option<RefMut<'a, T>>,
    held: Option<HeldLock>,
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
        drop(self.held.take());
        self.mutex.release();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
