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
//! fills a queue, *then* calls [`ring`](Doorbell::ring). All steps are read-modify-writes of one word, so a ring
//! comes either before `begin` (which then sees what was queued) or after it (and then `arm` fails). There is no
//! third place: nothing is lost between "nothing pending" and "parked".

use std::time::{Duration, Instant};

use crate::sync::{AtomicU32, Mutex, Ordering, Thread, current, lock, park, park_timeout};

const AWAKE: u32 = 0;
const RUNG: u32 = 1;
const ASLEEP: u32 = 2;

/// How long a thread that was just active spins before it parks. Waking a parked thread costs 6 to 16 us, an
/// answer from a spinning one 0.2 us; beyond this the processor is better left to others.
pub(crate) const SPIN: Duration = Duration::from_micros(50);
/// The spin after one that caught nothing: enough for an answer that is already on its way.
const SPIN_SHORT: Duration = Duration::from_micros(5);

/// A wake-up word with one owner; see the module's text.
#[derive(Debug)]
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
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP
            && let Some(thread) = &*lock(&self.sleeper)
        {
            thread.unpark();
        }
    }

    /// Owner: forgets earlier rings; the queues must be looked at after this. Says whether it had been rung.
    pub(crate) fn begin(&self) -> bool {
        self.state.swap(AWAKE, Ordering::AcqRel) == RUNG
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

    /// Owner, armed: sleeps until rung (true) or until `deadline` (false); spins first, as `spin` tells.
    pub(crate) fn sleep(&self, spin: &mut Spin, deadline: Option<Instant>) -> bool {
        if spin.catch(self, deadline) {
            return true;
        }
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
        self.state.load(Ordering::Acquire) == RUNG
    }
}

/// How long its owner spins before it parks: long after a spin that caught something, short after one in vain.
#[derive(Debug)]
pub(crate) struct Spin {
    window: Duration,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self { window: if cfg!(airlift_loom) { Duration::ZERO } else { SPIN } }
    }

    /// For a thread that is seldom in a hurry, such as one that waits for timers.
    pub(crate) fn never() -> Self {
        Self { window: Duration::ZERO }
    }

    fn catch(&mut self, bell: &Doorbell, deadline: Option<Instant>) -> bool {
        if self.window.is_zero() {
            return false;
        }
        let start = Instant::now();
        let mut round = 0u32;
        loop {
            if !bell.is_asleep() {
                self.window = SPIN;
                return true;
            }
            round += 1;
            if round.is_multiple_of(64) {
                let now = Instant::now();
                let spun = now - start;
                if spun >= self.window || deadline.is_some_and(|deadline| now >= deadline) {
                    self.window = SPIN_SHORT;
                    return false;
                }
                if spun > SPIN_SHORT && round.is_multiple_of(512) {
                    // On a crowded machine, whoever is to ring may need this very core.
                    std::thread::yield_now();
                }
            }
            core::hint::spin_loop();
        }
    }
}
