//! The virtual clock's state: who is busy, who sleeps, and who may move the time.
//!
//! Three kinds of party take part. *Host threads* are busy, or registered as sleepers under a [`Key`].
//! *Executors* are awake, or asleep on their doorbell with the key of their next kernel timer. *Holds* forbid that
//! the time moves. Only an executor that found nothing to do calls [`VirtualClock::idle`]; when every party is quiet
//! it moves the time to the earliest key and releases that one party, which is busy from that instant on. Keys are
//! `(due, sequence)`, so parties due at one instant are released in the order in which they registered.
//!
//! Every transition is made under one mutex. `now` and `busy` are mirrored in atomics for readers in a hurry.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;

use super::host::Woken;
use crate::executor::doorbell::Doorbell;

/// When a party is due, and its place among those due at the same instant.
pub(crate) type Key = (Duration, u64);

/// Names an executor on its clock.
pub(crate) type ExecutorId = u64;
/// Names a host thread on its clock.
pub(crate) type HostId = u64;

/// What [`VirtualClock::idle`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The caller's doorbell was rung: there is work after all.
    Work,
    /// The time is now that of the caller's kernel timer with this key, which is to fire.
    Timer(Key),
    /// A host thread or another executor was released, or nobody may be; the caller is armed and should sleep.
    Sleep,
}

#[derive(Debug)]
struct Executor {
    bell: Arc<Doorbell>,
    /// Its next kernel timer; told when it goes idle.
    timer: Option<Key>,
    /// A timer of its that another executor released.
    released: Option<Key>,
}

#[derive(Debug)]
struct Host {
    bell: Arc<Doorbell>,
    /// Counted in `busy`.
    busy: bool,
    /// Notified while busy: its next wait ends at once.
    notified: bool,
    /// How its wait ended.
    woken: Option<Woken>,
    key: Option<Key>,
}

#[derive(Debug)]
enum Sleeper {
    Host(HostId),
    /// A `run_until`; the sender's receiver takes over one hold.
    Until(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct State {
    /// The next sequence number and identity.
    next: u64,
    holds: usize,
    executors: BTreeMap<ExecutorId, Executor>,
    hosts: BTreeMap<HostId, Host>,
    sleepers: BTreeMap<Key, Sleeper>,
}

impl State {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn ring_all(&self) {
        for executor in self.executors.values() {
            executor.bell.ring();
        }
    }

    /// Until when a `run_until` lets the time run in spite of holds.
    fn leave(&self) -> Option<Duration> {
        self.sleepers.iter().rev().find(|(_, s)| matches!(s, Sleeper::Until(_))).map(|(key, _)| key.0)
    }
}

/// A clock that moves only when all who take part in it are quiet.
#[derive(Debug, Default)]
pub(crate) struct VirtualClock {
    now_ns: AtomicU64,
    busy: AtomicUsize,
    state: Mutex<State>,
}

impl VirtualClock {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns.load(Ordering::Acquire))
    }

    fn set_now(&self, to: Duration) {
        self.now_ns.store(u64::try_from(to.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Whether a host thread has work in hand.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) != 0
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.state().next()
    }

    // ---- executors -------------------------------------------------------------------------------------------

    pub(crate) fn attach(&self, bell: Arc<Doorbell>) -> ExecutorId {
        let mut state = self.state();
        let id = state.next();
        state.executors.insert(id, Executor { bell, timer: None, released: None });
        id
    }

    pub(crate) fn detach(&self, id: ExecutorId) {
        let mut state = self.state();
        state.executors.remove(&id);
        // It may have been the one that kept the time of the others from moving.
        state.ring_all();
    }

    /// [`detach`](Self::detach) for an executor that never came to life.
    pub(crate) fn detach_bell(&self, bell: &Arc<Doorbell>) {
        let mut state = self.state();
        state.executors.retain(|_, executor| !Arc::ptr_eq(&executor.bell, bell));
        state.ring_all();
    }

    /// The kernel timer of `id` that another executor released, if any.
    pub(crate) fn take_released(&self, id: ExecutorId) -> Option<Key> {
        self.state().executors.get_mut(&id).and_then(|executor| executor.released.take())
    }

    /// Whether there is such a timer.
    pub(crate) fn has_released(&self, id: ExecutorId) -> bool {
        self.state().executors.get(&id).is_some_and(|executor| executor.released.is_some())
    }

    /// An executor with empty queues: goes to sleep, or moves the time by one step. See the module's text.
    pub(crate) fn idle(&self, id: ExecutorId, timer: Option<Key>) -> Step {
        let mut state = self.state();
        let Some(executor) = state.executors.get_mut(&id) else { return Step::Sleep };
        executor.timer = timer;
        if !executor.bell.arm() {
            return Step::Work;
        }
        loop {
            if self.is_busy() || !state.executors.values().all(|executor| executor.bell.is_asleep()) {
                return Step::Sleep;
            }
            match self.release(&mut state, false) {
                Released::Executor(released, key) if released == id => {
                    if let Some(executor) = state.executors.get_mut(&id) {
                        executor.bell.disarm();
                    }
                    return Step::Timer(key);
                }
                Released::Executor(released, key) => {
                    if let Some(executor) = state.executors.get_mut(&released) {
                        executor.released = Some(key);
                        executor.bell.ring();
                    }
                    return Step::Sleep;
                }
                Released::Host | Released::Nobody => return Step::Sleep,
                Released::Until => {}
            }
        }
    }

    /// Chaos: an executor in the midst of its work lets the time move by one step, as it would on silicon.
    pub(crate) fn step_early(&self, id: ExecutorId, timer: Option<Key>) -> Option<Key> {
        let mut state = self.state();
        state.executors.get_mut(&id)?.timer = timer;
        if self.is_busy() || state.executors.iter().any(|(&other, e)| other != id && !e.bell.is_asleep()) {
            return None;
        }
        match self.release(&mut state, true) {
            Released::Executor(released, key) if released == id => Some(key),
            Released::Executor(released, key) => {
                if let Some(executor) = state.executors.get_mut(&released) {
                    executor.released = Some(key);
                    executor.bell.ring();
                }
                None
            }
            Released::Host | Released::Until | Released::Nobody => None,
        }
    }

    /// Moves the time to the earliest key, if that is allowed, and takes its party off the list. `early`: in the midst
    /// of somebody's work, when no `run_until` may end.
    fn release(&self, state: &mut State, early: bool) -> Released {
        // A `run_until` that was cancelled is due no more.
        state.sleepers.retain(|_, sleeper| !matches!(sleeper, Sleeper::Until(done) if done.is_canceled()));
        let timer = state.executors.iter().filter_map(|(&id, e)| e.timer.map(|key| (key, id))).min();
        let sleeper = state.sleepers.first_key_value().map(|(&key, _)| key);
        let key = match (timer, sleeper) {
            (Some((timer, _)), Some(sleeper)) => timer.min(sleeper),
            (Some((timer, _)), None) => timer,
            (None, Some(sleeper)) => sleeper,
            (None, None) => return Released::Nobody,
        };
        if early && matches!(state.sleepers.get(&key), Some(Sleeper::Until(_))) {
            return Released::Nobody;
        }
        let now = self.now();
        if key.0.as_nanos() >= u128::from(u64::MAX) {
            // Beyond the clock's range, 584 years: as good as never.
            return Released::Nobody;
        }
        if key.0 > now {
            if state.holds > 0 && state.leave().is_none_or(|leave| key.0 > leave) {
                return Released::Nobody;
            }
            self.set_now(key.0);
        }
        if let Some((_, id)) = timer.filter(|&(timer, _)| timer == key) {
            if let Some(executor) = state.executors.get_mut(&id) {
                executor.timer = None;
            }
            return Released::Executor(id, key);
        }
        match state.sleepers.remove(&key) {
            Some(Sleeper::Host(id)) => {
                self.wake_host(state, id, Woken::Due);
                Released::Host
            }
            Some(Sleeper::Until(done)) => {
                // The hold passes to the one who awaited this instant; if nobody does any more, time may run on.
                state.holds += 1;
                if done.send(()).is_err() {
                    state.holds -= 1;
                }
                Released::Until
            }
            None => Released::Nobody,
        }
    }

    // ---- host threads ----------------------------------------------------------------------------------------

    /// A host thread takes part, busy until its first wait.
    pub(crate) fn join(&self, bell: Arc<Doorbell>) -> HostId {
        let mut state = self.state();
        let id = state.next();
        state.hosts.insert(id, Host { bell, busy: true, notified: false, woken: None, key: None });
        self.busy.fetch_add(1, Ordering::AcqRel);
        id
    }

    pub(crate) fn leave(&self, id: HostId) {
        let mut state = self.state();
        if let Some(host) = state.hosts.remove(&id) {
            if let Some(key) = host.key {
                state.sleepers.remove(&key);
            }
            if host.busy {
                self.less_busy(&state);
            }
        }
    }

    /// The host thread has done all it had to. `Some`: it was notified meanwhile and goes on, busy.
    pub(crate) fn host_waits(&self, id: HostId, due: Option<Duration>) -> Option<Woken> {
        let mut state = self.state();
        let sequence = state.next();
        let host = state.hosts.get_mut(&id)?;
        if core::mem::take(&mut host.notified) {
            return Some(Woken::Notified);
        }
        host.key = due.map(|due| (due, sequence));
        host.woken = None;
        host.busy = false;
        if let Some(key) = host.key {
            state.sleepers.insert(key, Sleeper::Host(id));
        }
        self.less_busy(&state);
        None
    }

    /// How the wait of a host thread ended, if it did.
    pub(crate) fn host_woken(&self, id: HostId) -> Option<Woken> {
        self.state().hosts.get_mut(&id).and_then(|host| host.woken.take())
    }

    /// Work is handed to a host thread: it counts as busy on the caller's thread already.
    pub(crate) fn notify(&self, id: HostId) {
        let mut state = self.state();
        match state.hosts.get_mut(&id) {
            Some(host) if host.busy => host.notified = true,
            Some(_) => self.wake_host(&mut state, id, Woken::Notified),
            None => {}
        }
    }

    fn wake_host(&self, state: &mut State, id: HostId, woken: Woken) {
        let Some(host) = state.hosts.get_mut(&id) else { return };
        host.busy = true;
        host.woken = Some(woken);
        self.busy.fetch_add(1, Ordering::AcqRel);
        host.bell.ring();
        if let Some(key) = host.key.take() {
            state.sleepers.remove(&key);
        }
    }

    fn less_busy(&self, state: &State) {
        if self.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            state.ring_all();
        }
    }

    // ---- applications ----------------------------------------------------------------------------------------

    pub(crate) fn hold(&self) {
        self.state().holds += 1;
    }

    pub(crate) fn unhold(&self) {
        let mut state = self.state();
        state.holds -= 1;
        if state.holds == 0 {
            state.ring_all();
        }
    }

    /// A party that is due at `due`, behind all others of that instant, and lets the time run that far.
    pub(crate) fn until(&self, due: Duration) -> oneshot::Receiver<()> {
        let (done, until) = oneshot::channel();
        let mut state = self.state();
        // The upper half of the sequence is kept for these, so that they come last.
        let sequence = state.next() | (1 << 63);
        let due = due.max(self.now());
        state.sleepers.insert((due, sequence), Sleeper::Until(done));
        state.ring_all();
        until
    }
}

enum Released {
    Executor(ExecutorId, Key),
    Host,
    Until,
    Nobody,
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use super::*;

    #[test]
    fn r16_an_executor_that_never_came_to_life_keeps_nobodys_time_from_running() {
        let clock = VirtualClock::default();
        let (lives, never_did) = (Arc::new(Doorbell::new()), Arc::new(Doorbell::new()));
        let id = clock.attach(lives.clone());
        clock.attach(never_did.clone());
        let key = (Duration::from_millis(1), 7);
        assert_eq!(clock.idle(id, Some(key)), Step::Sleep, "the other one may have something to do");
        clock.detach_bell(&never_did);
        assert!(lives.begin(), "it was rung");
        assert_eq!(clock.idle(id, Some(key)), Step::Timer(key));
        assert_eq!(clock.now(), key.0);
    }
}
