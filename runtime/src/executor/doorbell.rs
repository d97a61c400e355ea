//! [`Doorbell`]: how a thread sleeps without losing a wake-up.
//!
//! One thread owns the bell and sleeps on it; any thread rings it. The state is a single word:
//!
//! ```text
//!            begin                 arm                  ring
//!   RUNG ───────────▶ AWAKE ───────────────▶ ASLEEP ───────────▶ RUNG
//!     ▲                 │ ring                  │ begin (deadline passed)
//!     └─────────────────┘                       └──────────▶ AWAKE
//! ```
//!
//! The owner calls [`begin`](Doorbell::begin), *then* looks at its queues, then [`arm`](Doorbell::arm)s; a ringer
//! fills a queue, *then* calls [`ring`](Doorbell::ring), which looks at the word. Nothing is lost between "nothing
//! pending" and "parked", whatever it finds there:
//!
//! 1. `AWAKE` or `ASLEEP`: it rings, by a read-modify-write like `begin` and `arm`. That comes before the owner's next
//!    `begin`, which then sees what was queued; and if it comes after the last one, `arm` fails, or is undone by an
//!    unpark, so that there is a next one.
//! 2. `RUNG`, from before a `begin`: it writes nothing. There is a fence between filling the queue and looking at the
//!    word, and another between `begin` and looking at the queues. Who missed what `begin` wrote has passed its fence
//!    before the owner passed its own: the owner sees what was queued.
//! 3. `RUNG`, which another ringer wrote after that `begin`, so that the owner may have looked too early: it writes
//!    nothing either. The other's ring has `arm` fail, or has unparked the owner. It begins anew before it sleeps, and
//!    to that `begin` this is the second case.
//!
//! So the word's cache line stays where it is while an owner is awake that has other ways to see what is queued, and
//! begins only when it wants to sleep.
//!
//! [`wait`](Doorbell::wait) is both the last steps. It spins first, still `AWAKE`, so that whoever rings meanwhile
//! has nobody to unpark. [`wait_for`](Doorbell::wait_for) is all of them, for an owner that looks at its queues while
//! it spins; the bell stays `RUNG` meanwhile.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::sync::{AtomicU32, Mutex, Ordering, Thread, current, fence, lock, park, park_timeout};

const AWAKE: u32 = 0;
const RUNG: u32 = 1;
const ASLEEP: u32 = 2;

/// How long a thread that was just active spins before it parks. Waking a parked thread costs 6 to 16 us, an
/// answer from a spinning one 0.2 us; beyond this the processor is better left to others.
pub(crate) const SPIN: Duration = Duration::from_micros(50);
/// A parked sleep shorter than this, its own wake-up included, would have been caught by spinning.
const LEARN: Duration = Duration::from_micros(100);

/// A wake-up word with one owner; see the module's text. It shares its cache line with nobody's.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Doorbell {
    state: AtomicU32,
    /// Whom to unpark. Written by the owner before it arms, read by ringers that found it asleep.
    sleeper: Mutex<Option<Thread>>,
}

impl Doorbell {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU32::new(AWAKE), sleeper: Mutex::new(None) }
    }

    /// Rings: the owner will look at its queues once more. Never blocks, from any thread.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Acquire) == RUNG {
            return;
        }
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            // Not under the lock: where the woken thread runs before this one goes on, it would soon wait for it.
            let sleeper = lock(&self.sleeper).clone();
            if let Some(thread) = sleeper {
                thread.unpark();
            }
        }
    }

    /// Owner: forgets earlier rings; the queues must be looked at after this. Says whether it had been rung.
    pub(crate) fn begin(&self) -> bool {
        let rung = self.state.swap(AWAKE, Ordering::AcqRel) == RUNG;
        fence(Ordering::SeqCst);
        rung
    }

    /// Owner: declares that it found nothing to do. False if it was rung since [`begin`](Self::begin).
    pub(crate) fn arm(&self) -> bool {
        {
            let me = current();
            let mut sleeper = lock(&self.sleeper);
            if sleeper.as_ref().is_none_or(|known| known.id() != me.id()) {
                *sleeper = Some(me);
            }
        }
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the owner sleeps and nobody has rung since.
    pub(crate) fn is_asleep(&self) -> bool {
        self.state.load(Ordering::Acquire) == ASLEEP
    }

    /// Owner: takes back an [`arm`](Self::arm) that was not slept on. A ring in between stays.
    pub(crate) fn disarm(&self) {
        let _ = self.state.compare_exchange(ASLEEP, AWAKE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Owner, having found nothing to do: sleeps until rung (true) or until `deadline` (false). True at once if it was
    /// rung since [`begin`](Self::begin). Spins first, as `spin` tells.
    pub(crate) fn wait(&self, spin: &mut Spin, deadline: Option<Instant>) -> bool {
        let start = spin.begin();
        let over = || self.state.load(Ordering::Acquire) != AWAKE;
        if spin.catch(over, start, deadline) || !self.arm() {
            return true;
        }
        self.park(spin, start, deadline)
    }

    /// Owner, which has not begun: sleeps until it `has_work`, by its own looking or since it was rung. Looks while it
    /// spins, with the bell rung, which is cheap for those who ring. True: it was no longer than that.
    pub(crate) fn wait_for(&self, spin: &mut Spin, has_work: impl Fn() -> bool) -> bool {
        let start = spin.begin();
        if spin.catch(&has_work, start, None) {
            return true;
        }
        self.begin();
        if !has_work() && self.arm() {
            self.park(spin, start, None);
        }
        false
    }

    /// As [`wait`](Self::wait), for an owner that has armed the bell, which others look at.
    pub(crate) fn sleep(&self, spin: &mut Spin, deadline: Option<Instant>) -> bool {
        let start = spin.begin();
        spin.catch(|| !self.is_asleep(), start, deadline) || self.park(spin, start, deadline)
    }

    fn park(&self, spin: &mut Spin, start: Option<Instant>, deadline: Option<Instant>) -> bool {
        while self.is_asleep() {
            match deadline {
                None => park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        self.disarm();
                        break;
                    }
                    park_timeout(left);
                }
            }
        }
        spin.learn(start);
        self.state.load(Ordering::Acquire) == RUNG
    }
}

/// Whether its owner spins before it parks: yes, if spinning would have caught the last ring. Never on one processor.
#[derive(Debug)]
pub(crate) struct Spin {
    window: Duration,
    /// The window is adapted; otherwise it stays zero.
    adaptive: bool,
}

/// Whether anybody can ring while the owner spins: not if the process has but one processor. Asked once; it takes some
/// reading of files.
fn others_can_run() -> bool {
    static MANY: OnceLock<bool> = OnceLock::new();
    *MANY.get_or_init(|| std::thread::available_parallelism().map_or(true, |processors| processors.get() > 1))
}

impl Spin {
    pub(crate) fn new() -> Self {
        let adaptive = !cfg!(airlift_loom) && others_can_run();
        Self { window: if adaptive { SPIN } else { Duration::ZERO }, adaptive }
    }

    /// For tests that are to know: spins for a minute, which nobody gets to the end of, or does not spin at all.
    #[cfg(all(test, not(airlift_loom)))]
    pub(crate) fn always(spins: bool) -> Self {
        Self { window: if spins { Duration::from_secs(60) } else { Duration::ZERO }, adaptive: spins }
    }

    /// For a thread that is seldom in a hurry, such as one that waits for timers.
    pub(crate) fn never() -> Self {
        Self { window: Duration::ZERO, adaptive: false }
    }

    /// When a sleep begins; `None` if nobody needs to know.
    fn begin(&self) -> Option<Instant> {
        self.adaptive.then(Instant::now)
    }

    /// Spins. True: it is `over`, within the window.
    fn catch(&self, over: impl Fn() -> bool, start: Option<Instant>, deadline: Option<Instant>) -> bool {
        let Some(start) = start.filter(|_| !self.window.is_zero()) else { return false };
        loop {
            for _ in 0..32 {
                if over() {
                    return true;
                }
                core::hint::spin_loop();
            }
            let now = Instant::now();
            if now - start >= self.window || deadline.is_some_and(|deadline| now >= deadline) {
                return false;
            }
        }
    }

    /// Learns from a sleep that was parked: the next one is likely to be as long.
    fn learn(&mut self, start: Option<Instant>) {
        if let Some(start) = start {
            self.window = if start.elapsed() < LEARN { SPIN } else { Duration::ZERO };
        }
    }
}

#[cfg(all(test, airlift_loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::sync::AtomicU64;

    /// A bell, and a queue that orders nothing by itself.
    fn model(ringers: u64) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let shared = Arc::new((Doorbell::new(), AtomicU64::new(0)));
            // As an owner leaves it that is awake.
            shared.0.ring();
            let ringers_left: Vec<_> = (0..ringers)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || {
                        shared.1.fetch_add(1, Ordering::Relaxed);
                        shared.0.ring();
                    })
                })
                .collect();
            let owner = shared.clone();
            let owner = thread::spawn(move || {
                let (bell, queued) = &*owner;
                for seen in 0..ringers {
                    let has_work = || queued.load(Ordering::Relaxed) > seen;
                    while !has_work() {
                        // A lost wake-up is a deadlock here, which loom reports.
                        bell.wait_for(&mut Spin::never(), has_work);
                    }
                }
            });
            ringers_left.into_iter().chain([owner]).for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn r4_loom_a_ring_that_finds_the_bell_rung_is_not_lost() {
        model(1);
    }

    #[test]
    fn r4_loom_two_rings_of_a_bell_that_is_rung_are_not_lost() {
        model(2);
    }
}
