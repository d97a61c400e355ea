//! [`SpinLock`]: exclusive access for the length of one turn.
//!
//! On one executor nobody can be spun for: whoever finds a spinlock taken would wait for ever. So contention is a
//! bug (usually a handler that wants what its task holds with IRQs on), and panics naming both owners.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::rc::Rc;

use super::class::LockClass;
use super::validator::HeldLock;
use crate::cpu::{Context, Cpu, IrqFlags};
use crate::executor::{Core, core::ContextId};

/// Exclusive access to data for the length of one turn, in tasks, softirqs and handlers.
///
/// Data that a handler touches must be locked with IRQs off elsewhere ([`with_irqsave`](Self::with_irqsave)). Prefer
/// the closure forms: a guard must not live across an await, which the guard forms let one write.
pub struct SpinLock<T: ?Sized> {
    class: LockClass,
    /// Who took it last, and where; of meaning while the value is borrowed.
    owner: Cell<Owner>,
    value: RefCell<T>,
}

#[derive(Clone, Copy)]
struct Owner {
    context: ContextId,
    site: &'static Location<'static>,
}

impl<T> SpinLock<T> {
    /// A lock around `value`; the name is for reports.
    ///
    /// Locks that one line makes, under one name, are of one *class* for the lock validator. So are all that one
    /// derived `Default` makes around one type: the validator then cannot tell their orders apart, and does not take
    /// one held beside another for a mistake. Fields that are used together are better made by `new`, under names.
    #[must_use]
    #[track_caller]
    pub const fn new(name: &'static str, value: T) -> Self {
        let owner = Owner { context: ContextId::Executor, site: Location::caller() };
        Self { class: LockClass::here(name), owner: Cell::new(owner), value: RefCell::new(value) }
    }

    /// The value, without its lock.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Default> Default for SpinLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self { class: LockClass::of_default::<T>(), ..Self::new("", T::default()) }
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Runs `work` with the lock held (`spin_lock`).
    ///
    /// # Panics
    ///
    /// If the lock is taken, naming both owners.
    #[track_caller]
    pub fn with<R>(&self, context: &impl Context, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock(context))
    }

    /// Runs `work` with the lock held and IRQs off (`spin_lock_irqsave`).
    ///
    /// # Panics
    ///
    /// If the lock is taken, naming both owners.
    #[track_caller]
    pub fn with_irqsave<R>(&self, context: &impl Context, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock_irqsave(context))
    }

    /// Runs `work` with the lock held and softirqs put off (`spin_lock_bh`).
    ///
    /// # Panics
    ///
    /// If the lock is taken, naming both owners.
    #[track_caller]
    pub fn with_bh<R>(&self, context: &impl Context, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock_bh(context))
    }

    /// Takes the lock.
    ///
    /// Spinlocks are released in the reverse order of their taking, which Linux does not ask for: another order is
    /// reported. A lock that is taken hand over hand, along a list for example, needs one turn with each.
    ///
    /// # Panics
    ///
    /// If the lock is taken, naming both owners.
    #[track_caller]
    pub fn lock(&self, context: &impl Context) -> SpinLockGuard<'_, T> {
        self.acquire(context.core(), Undo::Nothing, 0)
    }

    /// As [`lock`](Self::lock), for a lock that is taken while another of its class is held (`spin_lock_nested`): the
    /// lock validator takes each `subclass` for a class of its own.
    ///
    /// # Panics
    ///
    /// If the lock is taken, naming both owners.
    #[track_caller]
    pub fn lock_nested(&self, context: &impl Context, subclass: u8) -> SpinLockGuard<'_, T> {
        self.acquire(context.core(), Undo::Nothing, subclass)
    }

    /// Takes the lock if it is free (`spin_trylock`).
    #[track_caller]
    pub fn try_lock(&self, context: &impl Context) -> Option<SpinLockGuard<'_, T>> {
        let core = context.core();
        let value = self.value.try_borrow_mut().ok()?;
        let site = Location::caller();
        core.lock_tried(self.class, site);
        let release = Release { core: core.clone(), undo: Undo::Nothing, depth: 0, held: None };
        Some(self.take(value, release, self.class, site))
    }

    /// Turns IRQs off and takes the lock; the guard undoes both.
    ///
    /// # Panics
    ///
    /// If the lock is taken, naming both owners.
    #[track_caller]
    pub fn lock_irqsave(&self, context: &impl Context) -> SpinLockGuard<'_, T> {
        let cpu = Cpu::new(context.core().clone());
        let flags = cpu.local_irq_save();
        self.acquire(context.core(), Undo::Irqs(flags), 0)
    }

    /// Puts softirqs off and takes the lock; the guard undoes both.
    ///
    /// # Panics
    ///
    /// If the lock is taken, naming both owners.
    #[track_caller]
    pub fn lock_bh(&self, context: &impl Context) -> SpinLockGuard<'_, T> {
        let site = Location::caller();
        context.core().softirq.disable();
        context.core().preemption_went_off(site);
        self.acquire(context.core(), Undo::Softirqs(site), 0)
    }

    /// Whether somebody holds the lock.
    pub fn is_locked(&self) -> bool {
        self.value.try_borrow().is_err()
    }

    #[track_caller]
    fn acquire(&self, core: &Rc<Core>, undo: Undo, subclass: u8) -> SpinLockGuard<'_, T> {
        let site = Location::caller();
        // Made first, so that a panic below undoes what the caller did.
        let release = Release { core: core.clone(), undo, depth: 0, held: None };
        let class = self.class.nested(subclass);
        core.lock_wanted(class, self.address(), site);
        match self.value.try_borrow_mut() {
            Ok(value) => self.take(value, release, class, site),
            Err(_) => self.contended(core, class, site),
        }
    }

    #[cold]
    #[inline(never)]
    fn contended(&self, core: &Core, class: LockClass, site: &'static Location<'static>) -> ! {
        let owner = self.owner.get();
        panic!(
            "spinlock {class} wanted by {} at {site} is held by {} since {}: on one processor it would spin for ever",
            core.context(),
            core.context_named(owner.context),
            owner.site,
        )
    }

    /// Makes the lock, whose value is free, the caller's.
    fn take<'a>(
        &'a self,
        value: RefMut<'a, T>,
        mut release: Release,
        class: LockClass,
        site: &'static Location<'static>,
    ) -> SpinLockGuard<'a, T> {
        let core = &release.core;
        self.owner.set(Owner { context: core.context_id(), site });
        release.held = Some(core.lock_taken(class, self.address(), true, site));
        release.depth = core.locks_held.get() + 1;
        core.locks_held.set(release.depth);
        SpinLockGuard { value, release, not_send: PhantomData }
    }

    /// What tells it from other locks.
    fn address(&self) -> usize {
        (&raw const self.owner).addr()
    }
}

impl<T: ?Sized> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock")
            .field("name", &self.class.name)
            .field("locked", &self.is_locked())
            .finish_non_exhaustive()
    }
}

enum Undo {
    Nothing,
    Irqs(IrqFlags),
    Softirqs(&'static Location<'static>),
}

/// What unlocking restores, after the value is free.
struct Release {
    core: Rc<Core>,
    undo: Undo,
    /// How many spinlocks were held with this one; 0 if it was not taken.
    depth: u32,
    held: Option<HeldLock>,
}

impl Release {
    #[cold]
    fn report_order(&self) {
        tracing::warn!(
            context = %self.core.context(),
            "spinlocks were released out of order, or by another turn than took them"
        );
    }
}

impl Drop for Release {
    #[inline]
    fn drop(&mut self) {
        // Before IRQs may go on: what breaks in then does not find the lock held.
        drop(self.held.take());
        if self.depth > 0 {
            let held = self.core.locks_held.get();
            if held != self.depth {
                self.report_order();
            }
            self.core.locks_held.set(held.saturating_sub(1));
        }
        match self.undo {
            Undo::Nothing => {}
            Undo::Irqs(flags) => Cpu::new(self.core.clone()).local_irq_restore(flags),
            Undo::Softirqs(site) => self.core.enable_softirqs(site),
        }
    }
}

/// Holds a [`SpinLock`]. Must not live across an await; guards are dropped in the reverse order of their taking.
///
/// It cannot leave the kernel's thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<airlift_runtime::SpinLockGuard<'_, u32>>();
/// ```
#[must_use = "the lock is released as soon as this is dropped"]
pub struct SpinLockGuard<'a, T: ?Sized> {
    value: RefMut<'a, T>,
    /// Dropped after the value, by its place here: what is pending is taken with the lock free.
    #[expect(dead_code, reason = "it is there for its drop")]
    release: Release,
    not_send: PhantomData<*const ()>,
}

impl<T: ?Sized> Deref for SpinLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for SpinLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for SpinLockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
