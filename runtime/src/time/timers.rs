//! The kernel's timers: sleeps, which wake a task from the timer interrupt, and [`Timer`]s, whose callbacks run in
//! the timer softirq.
//!
//! All are kept in one map under `(due, sequence)`. The earliest key is what the clock event is programmed with, or,
//! on the virtual clock, what the executor waits for; there each timer fires alone, when its very key is released.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::clock::Inner;
use super::virtual_clock::Key;
use super::{jiffies_at, jiffy_start};
use crate::callbacks::{Callback, Listed};
use crate::executor::{Core, leavings::Item, task::panic_message};
use crate::lock::{ClassKind, LockClass};
use crate::softirq::{SoftIrq, Softirq};

enum Entry {
    Sleep(Rc<Sleeper>),
    Timer(Rc<TimerState>),
}

/// Whom a sleep wakes.
#[derive(Default)]
struct Sleeper {
    waker: RefCell<Option<Waker>>,
    /// It is a service's.
    service: Cell<bool>,
}

/// What is armed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Armed {
    /// Timers, and sleeps of tasks; without those of services.
    pub(crate) timers: usize,
    /// Work items that wait for their delay.
    pub(crate) works: usize,
}

/// Whose a timer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    User,
    Service,
    /// The delay of a work item.
    Work,
}

/// The kernel thread's timers.
#[derive(Default)]
pub(crate) struct Timers {
    queue: RefCell<BTreeMap<Key, Entry>>,
    /// Timers whose callbacks the softirq is to run.
    expired: RefCell<VecDeque<Rc<TimerState>>>,
    sequence: Cell<u64>,
    /// Virtual clock: all up to this key may fire.
    released: Cell<Option<Key>>,
}

impl Timers {
    /// The key of the earliest timer.
    pub(crate) fn next(&self) -> Option<Key> {
        self.queue.borrow().first_key_value().map(|(&key, _)| key)
    }

    pub(crate) fn release(&self, key: Key) {
        self.released.set(self.released.get().max(Some(key)));
    }

    fn remove(&self, key: Key) -> bool {
        let entry = self.queue.borrow_mut().remove(&key);
        entry.is_some()
    }

    /// What is armed now, or expired and not run yet.
    pub(crate) fn armed(&self) -> Armed {
        let mut armed = Armed::default();
        let mut count = |owner| match owner {
            Owner::User => armed.timers += 1,
            Owner::Service => {}
            Owner::Work => armed.works += 1,
        };
        for entry in self.queue.borrow().values() {
            count(match entry {
                Entry::Sleep(sleeper) if sleeper.service.get() => Owner::Service,
                Entry::Sleep(_) => Owner::User,
                Entry::Timer(timer) => timer.owner,
            });
        }
        self.expired.borrow().iter().filter(|timer| timer.expired.get()).for_each(|timer| count(timer.owner));
        armed
    }

    /// Disarms all.
    pub(crate) fn clear(&self) {
        let queue = std::mem::take(&mut *self.queue.borrow_mut());
        let expired = std::mem::take(&mut *self.expired.borrow_mut());
        for entry in queue.values() {
            if let Entry::Timer(timer) = entry {
                timer.key.set(None);
            }
        }
        drop((queue, expired));
    }
}

impl Core {
    fn arm(&self, due: Duration, entry: Entry) -> Key {
        let sequence = match &self.shared.clock.inner {
            Inner::System(_) => {
                let sequence = self.timers.sequence.get();
                self.timers.sequence.set(sequence + 1);
                sequence
            }
            // One order for kernel timers and host threads.
            Inner::Virtual(clock) => clock.sequence(),
        };
        let key = (due, sequence);
        self.timers.queue.borrow_mut().insert(key, entry);
        if self.timers.next() == Some(key) {
            self.program_timer();
        }
        key
    }

    /// The timer interrupt: wakes sleepers, hands expired timers to the softirq, programs the next interrupt.
    pub(crate) fn timer_interrupt(&self) {
        self.update_jiffies();
        let up_to = match &self.shared.clock.inner {
            Inner::System(_) => Some((self.shared.clock.now(), u64::MAX)),
            Inner::Virtual(_) => self.timers.released.take(),
        };
        while let Some(key) = self.timers.next().filter(|&key| Some(key) <= up_to) {
            let entry = self.timers.queue.borrow_mut().remove(&key);
            match entry {
                Some(Entry::Sleep(sleeper)) => {
                    let waker = sleeper.waker.borrow_mut().take();
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
                Some(Entry::Timer(timer)) => {
                    timer.key.set(None);
                    timer.expired.set(true);
                    self.timers.expired.borrow_mut().push_back(timer);
                    self.softirq.raise(Softirq::Timer);
                }
                None => {}
            }
        }
        self.program_timer();
    }

    /// The timer softirq: runs the callbacks of those that expired and were not deleted since.
    pub(crate) fn run_timers(&self, context: &mut SoftIrq<'_>) {
        let mut turns = self.timers.expired.borrow().len();
        while turns > 0 {
            turns -= 1;
            let timer = self.timers.expired.borrow_mut().pop_front();
            let Some(timer) = timer else { return };
            if !timer.expired.replace(false) {
                continue;
            }
            let callback = timer.callback.borrow_mut().take();
            let Some(mut callback) = callback else { continue };
            timer.running.set(true);
            let result = self.run_item(Item("timer", &timer.name), || {
                let _run = self.run_begins(timer.class, Rc::as_ptr(&timer).addr());
                callback(context);
            });
            timer.running.set(false);
            match result {
                Ok(()) if timer.dropped.get() => {
                    self.contain("drop of a timer's callback", || drop(callback));
                }
                Ok(()) => *timer.callback.borrow_mut() = Some(callback),
                Err(payload) => {
                    let message = panic_message(payload);
                    tracing::error!(timer = %timer.name, message, "a timer panicked; it does not fire again");
                    self.shared.counters.timer_panics.fetch_add(1, Ordering::Relaxed);
                    if let Some(key) = timer.key.take() {
                        self.timers.remove(key);
                    }
                    *timer.panic.borrow_mut() = Some(message);
                    self.contain("drop of a panicked timer's callback", || drop(callback));
                }
            }
        }
    }
}

/// A sleep of a kernel task; made by [`Cpu::sleep`](crate::Cpu::sleep) and its kin. Never ends early.
///
/// The time runs from the call that made it, not from its first poll. Dropping it disarms it.
///
/// One that is awaited in the turn in which it was made gives up that turn, were it a sleep of nothing: all tasks that
/// are ready then go first. (Collections that poll a woken future again within one turn, such as `FuturesUnordered`,
/// take that from it.) One that came due while others ran ends at its first poll. So keep a sleep from poll to poll:
/// one of nothing that is made anew in each poll never ends. In a loop of sleeps of nothing, as in any other that never
/// waits, virtual time stands still.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    core: Rc<Core>,
    due: Duration,
    site: &'static Location<'static>,
    key: Option<Key>,
    /// The turn that it was made or reset in, until it has been polled.
    made_in: Option<u64>,
    sleeper: Rc<Sleeper>,
}

impl Sleep {
    #[track_caller]
    pub(crate) fn new(core: Rc<Core>, due: Duration) -> Self {
        Self::at(core, due, Location::caller())
    }

    /// A sleep that was asked for at `site`.
    pub(crate) fn at(core: Rc<Core>, due: Duration, site: &'static Location<'static>) -> Self {
        let made_in = Some(core.turn());
        Self { core, due, site, key: None, made_in, sleeper: Rc::default() }
    }

    /// When it ends, by the kernel's clock.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Has it end at `due` instead, by the kernel's clock, whether it has ended or not. It is disarmed until it is
    /// polled again, and then as one that was made now. One that is used again and again allocates once.
    pub fn reset(&mut self, due: Duration) {
        if let Some(key) = self.key.take() {
            self.core.timers.remove(key);
        }
        self.due = due;
        self.made_in = Some(self.core.turn());
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.key.is_none() {
            self.core.might_sleep_at(self.site);
        }
        let made_in = self.made_in.take();
        if self.core.shared.clock.now() >= self.due {
            if made_in == Some(self.core.turn()) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(key) = self.key.take() {
                self.core.timers.remove(key);
            }
            return Poll::Ready(());
        }
        *self.sleeper.waker.borrow_mut() = Some(cx.waker().clone());
        if self.key.is_none() {
            self.sleeper.service.set(self.core.in_service());
            self.key = Some(self.core.arm(self.due, Entry::Sleep(self.sleeper.clone())));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.core.timers.remove(key);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("due", &self.due).finish_non_exhaustive()
    }
}

type TimerFn = Box<dyn FnMut(&mut SoftIrq<'_>)>;

struct TimerState {
    name: String,
    owner: Owner,
    class: LockClass,
    callback: RefCell<Option<TimerFn>>,
    key: Cell<Option<Key>>,
    /// In the `expired` list, and not deleted since.
    expired: Cell<bool>,
    running: Cell<bool>,
    dropped: Cell<bool>,
    panic: RefCell<Option<String>>,
    #[expect(dead_code, reason = "it is there for its drop")]
    listed: Listed,
}

impl Callback for TimerState {
    fn drop_callback(&self) {
        let callback = self.callback.borrow_mut().take();
        drop(callback);
    }
}

/// A timer of the kernel: its callback runs in softirq context once each time that it is armed. The callback may arm
/// it again. Dropping it disarms it and drops the callback; at the latest, the kernel's end does. A callback that has
/// the timer itself, to arm it again, lives until then; see [`Work`](crate::Work) for one that has it weakly.
pub struct Timer {
    core: Weak<Core>,
    state: Rc<TimerState>,
}

impl Timer {
    #[track_caller]
    pub(crate) fn new(core: &Rc<Core>, name: String, callback: TimerFn) -> Self {
        let owner = if core.in_service() { Owner::Service } else { Owner::User };
        Self::owned(core, name, owner, callback)
    }

    #[track_caller]
    pub(crate) fn owned(core: &Rc<Core>, name: String, owner: Owner, callback: TimerFn) -> Self {
        let class = LockClass::of(ClassKind::Timer);
        Self {
            core: Rc::downgrade(core),
            state: Rc::new_cyclic(|me: &Weak<TimerState>| TimerState {
                name,
                owner,
                class,
                listed: core.list_callback(me.clone()),
                callback: RefCell::new(Some(callback)),
                key: Cell::new(None),
                expired: Cell::new(false),
                running: Cell::new(false),
                dropped: Cell::new(false),
                panic: RefCell::default(),
            }),
        }
    }

    /// Arms it, or moves it, to fire when jiffy `expires` begins, not earlier. True if it was armed.
    ///
    /// As on Linux, a jiffy that has begun by the kernel's [jiffies](crate::Cpu::jiffies) means the next one: a timer
    /// that arms itself again for `jiffies` fires once in every jiffy.
    pub fn mod_timer(&self, expires: u64) -> bool {
        match self.core.upgrade() {
            Some(core) => {
                let jiffies = core.shared.counters.jiffies.load(Ordering::Relaxed);
                self.arm(jiffy_start(expires.max(jiffies.saturating_add(1))))
            }
            None => false,
        }
    }

    /// Arms it, or moves it, to fire `delay` from now, with the clock's resolution. True if it was armed.
    ///
    /// It may be due at once, as Linux's high-resolution timers may. One that arms itself again without a delay leaves
    /// others their turns, but while it does, virtual time stands still.
    pub fn arm_in(&self, delay: Duration) -> bool {
        match self.core.upgrade() {
            Some(core) => self.arm(core.shared.clock.now().saturating_add(delay)),
            None => false,
        }
    }

    fn arm(&self, due: Duration) -> bool {
        let was_armed = self.timer_delete();
        if let Some(core) = self.core.upgrade()
            && self.state.panic.borrow().is_none()
        {
            self.state.key.set(Some(core.arm(due, Entry::Timer(self.state.clone()))));
        }
        was_armed
    }

    /// Whether it is armed and its callback has not begun.
    pub fn is_pending(&self) -> bool {
        self.state.key.get().is_some() || self.state.expired.get()
    }

    /// Disarms it. True if it was armed.
    pub fn timer_delete(&self) -> bool {
        let queued = self.state.key.take().is_some_and(|key| {
            // Without its core it is armed no more.
            self.core.upgrade().is_some_and(|core| core.timers.remove(key))
        });
        let expired = self.state.expired.replace(false);
        queued || expired
    }

    /// Disarms it, and knows that its callback does not run when this returns. True if it was armed.
    ///
    /// With one executor, a callback that is running is below the caller on the stack: the caller is the callback
    /// itself, or an interrupt or softirq that broke into it. Waiting would be for ever, so that is refused.
    ///
    /// # Panics
    ///
    /// If the callback is running.
    #[track_caller]
    pub fn timer_delete_sync(&self) -> bool {
        if let Some(core) = self.core.upgrade() {
            core.lock_wanted(self.state.class, Rc::as_ptr(&self.state).addr(), Location::caller());
        }
        assert!(
            !self.state.running.get(),
            "timer_delete_sync of {:?} while its callback runs below: it would wait for itself",
            self.state.name
        );
        self.timer_delete()
    }

    /// The message of the callback's panic, if it ended that way. It does not fire again then.
    pub fn panicked(&self) -> Option<String> {
        self.state.panic.borrow().clone()
    }

    /// The jiffy at which it fires, if it is armed. `None` from the interrupt on that finds it expired, though it
    /// [is pending](Self::is_pending) until the softirq gets to its callback.
    pub fn expires(&self) -> Option<u64> {
        self.state.key.get().map(|(due, _)| jiffies_at(due))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.timer_delete();
        self.state.dropped.set(true);
        let callback = self.state.callback.borrow_mut().take();
        drop(callback);
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("name", &self.state.name)
            .field("key", &self.state.key)
            .finish_non_exhaustive()
    }
}
