//! [`WaitQueue`] and [`Completion`]: sleeping until something happens, and the list of waiters below them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::cpu::{Cpu, Elapsed};
use crate::time::Sleep;

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

    /// A place in the list, taken at the first poll, of one of those of whom one is woken.
    pub(super) fn wait(&self) -> Wait<'_> {
        Wait { list: self, waiter: None, pass_on: true }
    }

    /// As [`wait`](Self::wait), in a list of which all are woken: there is nobody to pass a wake-up on to.
    fn wait_with_all(&self) -> Wait<'_> {
        Wait { list: self, waiter: None, pass_on: false }
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
///
/// As in Linux, a wake-up goes to all who wait, but to one only of those who wait
/// [exclusively](Self::wait_event_exclusive). Each looks at its condition and goes on waiting if that does not hold.
#[derive(Default)]
pub struct WaitQueue {
    list: WaitList,
    exclusive: WaitList,
}

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: WaitList::new(), exclusive: WaitList::new() }
    }

    /// Sleeps until `condition` holds; it is looked at now and after every wake-up. (`wait_event`.)
    ///
    /// Cancelling it leaves the queue.
    #[track_caller]
    pub fn wait_event(&self, cpu: &Cpu, condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
        self.wait_event_at(cpu, Location::caller(), condition)
    }

    /// As [`wait_event`](Self::wait_event), for what was called at `site`.
    pub(crate) async fn wait_event_at(
        &self,
        cpu: &Cpu,
        site: &'static Location<'static>,
        mut condition: impl FnMut() -> bool,
    ) {
        cpu.core().might_sleep_at(site);
        while !condition() {
            self.list.wait_with_all().await;
        }
    }

    /// As [`wait_event`](Self::wait_event), but of those who wait so, a [`wake_up`](Self::wake_up) wakes only the one
    /// who has waited longest: for many of whom one can go on. (`wait_event_exclusive`.)
    ///
    /// Cancelling it leaves the queue; a wake-up that was meant for it goes to the next who waits so.
    #[track_caller]
    pub fn wait_event_exclusive(
        &self,
        cpu: &Cpu,
        mut condition: impl FnMut() -> bool,
    ) -> impl Future<Output = ()> {
        let site = Location::caller();
        async move {
            cpu.core().might_sleep_at(site);
            while !condition() {
                self.exclusive.wait().await;
            }
        }
    }

    /// As [`wait_event`](Self::wait_event), for at most `limit`. Tells what is left of that (`wait_event_timeout`):
    /// nothing, if the condition came to hold without a wake-up and was found to when the time was up.
    ///
    /// Cancelling it leaves the queue.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if the condition did not hold when the time was up.
    #[track_caller]
    pub fn wait_event_timeout(
        &self,
        cpu: &Cpu,
        limit: Duration,
        condition: impl FnMut() -> bool,
    ) -> impl Future<Output = Result<Duration, Elapsed>> {
        within(cpu, limit, Location::caller(), || self.list.wait_with_all(), condition)
    }

    /// Wakes all who wait, of those who wait [exclusively](Self::wait_event_exclusive) the one who has waited longest.
    pub fn wake_up(&self) {
        self.list.wake_all();
        self.exclusive.wake_one();
    }

    /// Wakes all who wait now, however they do.
    pub fn wake_up_all(&self) {
        self.list.wake_all();
        self.exclusive.wake_all();
    }
}

/// Waits on `wait`'s list until `condition` holds, for at most `limit`; what is left of that.
async fn within<'a>(
    cpu: &Cpu,
    limit: Duration,
    site: &'static Location<'static>,
    wait: impl Fn() -> Wait<'a>,
    mut condition: impl FnMut() -> bool,
) -> Result<Duration, Elapsed> {
    cpu.core().might_sleep_at(site);
    let due = cpu.now().saturating_add(limit);
    let mut sleep = Sleep::at(cpu.core().clone(), due, site);
    loop {
        // In this order: whatever the time does, the condition is looked at once when it is up.
        let left = due.saturating_sub(cpu.now());
        if condition() {
            return Ok(left);
        }
        if left.is_zero() {
            return Err(Elapsed);
        }
        let mut wait = wait();
        std::future::poll_fn(|cx| match Pin::new(&mut wait).poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => Pin::new(&mut sleep).poll(cx),
        })
        .await;
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue")
            .field("waiting", &self.list.waiters.borrow().len())
            .field("exclusive", &self.exclusive.waiters.borrow().len())
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
    /// Cancelling it takes no completion: one that was meant for it goes to the next.
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

    /// As [`wait`](Self::wait), for at most `limit`. Tells what is left of that (`wait_for_completion_timeout`):
    /// nothing, if it happened at the very instant when the time was up.
    ///
    /// Cancelling it takes no completion, and neither does its failure: one that was meant for it goes to the next.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if it had not happened when the time was up.
    #[track_caller]
    pub fn wait_timeout(
        &self,
        cpu: &Cpu,
        limit: Duration,
    ) -> impl Future<Output = Result<Duration, Elapsed>> {
        within(cpu, limit, Location::caller(), || self.list.wait(), || self.try_wait())
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("done", &self.done.get()).finish_non_exhaustive()
    }
}
