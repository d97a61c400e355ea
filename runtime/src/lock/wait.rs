//! [`WaitQueue`] and [`Completion`]: sleeping until something happens, and the list of waiters below them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::cpu::Cpu;

/// A first-come, first-served list of waiting futures.
#[derive(Default)]
pub(super) struct WaitList {
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Default)]
struct Waiter {
    waker: RefCell<Option<Waker>>,
    woken: Cell<bool>,
}

impl WaitList {
    pub(super) const fn new() -> Self {
        Self { waiters: RefCell::new(VecDeque::new()) }
    }

    /// Wakes the one who has waited longest. False if nobody waits.
    pub(super) fn wake_one(&self) -> bool {
        let waiter = self.waiters.borrow_mut().pop_front();
        let Some(waiter) = waiter else { return false };
        waiter.woken.set(true);
        // Foreign code, so nothing of ours is borrowed.
        let waker = waiter.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    pub(super) fn wake_all(&self) {
        let mut left = self.waiters.borrow().len();
        while left > 0 && self.wake_one() {
            left -= 1;
        }
    }

    /// A place in the list, taken at the first poll.
    pub(super) fn wait(&self) -> Wait<'_> {
        Wait { list: self, waiter: None, pass_on: true }
    }
}

/// A place in a [`WaitList`]: ready once it was woken. Dropped between its wake-up and its poll, it passes the
/// wake-up on, so that a cancelled waiter swallows nothing.
pub(super) struct Wait<'a> {
    list: &'a WaitList,
    waiter: Option<Rc<Waiter>>,
    pass_on: bool,
}

impl Wait<'_> {
    /// For waiters to whom a wake-up hands something over: takes the wake-up back from a place that was woken and
    /// not polled since. True if it was; the caller then passes on what it was handed.
    pub(super) fn forfeit(&mut self) -> bool {
        let unclaimed = std::mem::take(&mut self.pass_on);
        unclaimed && self.waiter.as_ref().is_some_and(|waiter| waiter.woken.get())
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let list = self.list;
        let waiter = self.waiter.get_or_insert_with(|| {
            let waiter = Rc::new(Waiter::default());
            list.waiters.borrow_mut().push_back(waiter.clone());
            waiter
        });
        if waiter.woken.get() {
            self.pass_on = false;
            return Poll::Ready(());
        }
        *waiter.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        if waiter.woken.get() {
            if self.pass_on {
                self.list.wake_one();
            }
        } else {
            self.list.waiters.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiter));
        }
    }
}

/// Tasks that wait for a condition (`wait_queue_head_t`). Wake it from tasks, softirqs and handlers of the kernel.
#[derive(Default)]
pub struct WaitQueue {
    list: WaitList,
}

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: WaitList::new() }
    }

    /// Sleeps until `condition` holds; it is looked at now and after every wake-up. (`wait_event`.)
    ///
    /// Cancelling it leaves the queue; a wake-up that was meant for it goes to the next.
    #[track_caller]
    pub fn wait_event(&self, cpu: &Cpu, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
        let site = Location::caller();
        async move {
            cpu.core().might_sleep_at(site);
            while !condition() {
                self.list.wait().await;
            }
        }
    }

    /// Wakes the one who has waited longest.
    pub fn wake_up(&self) {
        self.list.wake_one();
    }

    /// Wakes all who wait now.
    pub fn wake_up_all(&self) {
        self.list.wake_all();
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue")
            .field("waiting", &self.list.waiters.borrow().len())
            .finish_non_exhaustive()
    }
}

/// Something that happens, once or several times, for tasks to wait for (`struct completion`). Complete it from
/// tasks, softirqs and handlers of the kernel.
#[derive(Default)]
pub struct Completion {
    /// Completions that nobody has waited for yet; `u32::MAX` after `complete_all`.
    done: Cell<u32>,
    list: WaitList,
}

impl Completion {
    /// Nothing has happened.
    #[must_use]
    pub const fn new() -> Self {
        Self { done: Cell::new(0), list: WaitList::new() }
    }

    /// It happened: one waiter, present or future, goes on.
    pub fn complete(&self) {
        if self.done.get() < u32::MAX - 1 {
            self.done.set(self.done.get() + 1);
        }
        self.list.wake_one();
    }

    /// It happened for good: all waiters go on, until [`reinit`](Self::reinit).
    pub fn complete_all(&self) {
        self.done.set(u32::MAX);
        self.list.wake_all();
    }

    /// Nothing has happened any more.
    pub fn reinit(&self) {
        self.done.set(0);
    }

    /// Whether a wait would end at once.
    pub fn is_done(&self) -> bool {
        self.done.get() > 0
    }

    /// Takes one completion if there is one.
    pub fn try_wait(&self) -> bool {
        match self.done.get() {
            0 => false,
            u32::MAX => true,
            done => {
                self.done.set(done - 1);
                true
            }
        }
    }

    /// Sleeps until it happens.
    ///
    /// Cancelling it takes no completion: one that was meant for it goes to the next. For a time limit, see
    /// [`Cpu::timeout`].
    #[track_caller]
    pub fn wait(&self, cpu: &Cpu) -> impl Future<Output = ()> {
        let site = Location::caller();
        async move {
            cpu.core().might_sleep_at(site);
            while !self.try_wait() {
                self.list.wait().await;
            }
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("done", &self.done.get()).finish_non_exhaustive()
    }
}
