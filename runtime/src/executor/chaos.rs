//! Settling and chaos: when the interrupts of virtual time land.
//!
//! In virtual time a host thread's work takes no time. So at every delivery point the executor first lets busy host
//! threads *settle*: what they have raised by then is what a run with this seed always sees there.
//!
//! *Chaos* adds what silicon does: at a delivery point, or right after IRQs went off, it may let the clock take its
//! next step at once, in the middle of whatever runs. What lands so is counted by its [`Place`].

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Core;
use crate::time::clock::Inner;
use crate::time::virtual_clock::VirtualClock;

/// How long the executor waits, in real time, for a busy host thread, unless it is told otherwise. One that blocks on
/// the kernel costs the run its determinism then, not its life.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A seeded generator (SplitMix64) that decides where the clock steps.
#[derive(Debug)]
pub(crate) struct Chaos {
    state: Cell<u64>,
}

impl Chaos {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: Cell::new(seed) }
    }

    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Where chaos lets interrupts land: at each of the delivery points, and where they have to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    BeforePoll,
    IrqsOn,
    CpuRelax,
    BetweenSoftirqs,
    Idle,
    /// No delivery point: the middle of a poll, right after its IRQs went off.
    IrqsOff,
}

/// Number of places.
pub(crate) const PLACES: usize = 6;

impl Core {
    /// Waits until no host thread is busy. Immediate on the system clock.
    #[inline]
    pub(crate) fn settle(&self) {
        if let Inner::Virtual(clock) = &self.shared.clock.inner {
            self.settle_on(clock);
        }
    }

    fn settle_on(&self, clock: &VirtualClock) {
        if !clock.is_busy() {
            self.irq.set_unsettled(false);
            return;
        }
        if self.irq.is_unsettled() {
            return;
        }
        let deadline = Instant::now() + self.patience;
        let bell = &self.shared.bell;
        while clock.is_busy() {
            bell.begin();
            if clock.is_busy() && bell.arm() {
                bell.sleep(&mut self.spin.borrow_mut(), Some(deadline));
                bell.begin();
            }
            if Instant::now() >= deadline {
                tracing::warn!(
                    kernel = %self.shared.name,
                    "a host thread stays busy in virtual time; it may be waiting for the kernel"
                );
                self.irq.set_unsettled(true);
                return;
            }
        }
    }

    /// Counts what has landed since the token channel held `before`.
    fn count_landed(&self, place: Place, before: usize) {
        let landed = self.tokens.len().saturating_sub(before);
        self.shared.counters.chaos[place as usize].fetch_add(landed as u64, Ordering::Relaxed);
    }

    /// Counts what ended the idling, which is where time moves without chaos too.
    pub(super) fn chaos_after_idle(&self) {
        if self.chaos.is_some() {
            self.settle();
            self.count_landed(Place::Idle, 0);
        }
    }

    /// May let the virtual clock take a step here. True if it may have.
    #[inline]
    pub(crate) fn chaos_point(&self, place: Place) -> bool {
        self.chaos.as_ref().is_some_and(|chaos| self.may_step(chaos, place))
    }

    fn may_step(&self, chaos: &Chaos, place: Place) -> bool {
        if self.in_hardirq.get() || chaos.next() & 3 != 0 {
            return false;
        }
        self.settle();
        let before = self.tokens.len();
        if let Inner::Virtual(clock) = &self.shared.clock.inner
            && let Some(key) = clock.step_early(self.executor_id(), self.timers.next())
        {
            self.release_timer(key);
        }
        self.settle();
        self.count_landed(place, before);
        true
    }
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use super::*;
    use crate::executor::{CoreOptions, Parts};
    use crate::shared::Shared;
    use crate::time::Clock;

    #[test]
    fn r16_a_host_thread_that_was_not_waited_for_any_more_is_waited_for_again_once_it_has_settled() {
        let clock = Clock::virtual_time();
        let (shared, tokens) = Shared::new("settles".to_owned(), clock.clone());
        let options = CoreOptions { patience: Duration::ZERO, ..CoreOptions::default() };
        let core = Core::new(Parts::prepare(shared, tokens, options).unwrap());
        let busy = clock.host_timer("busy");
        core.settle();
        assert!(core.irq.is_unsettled(), "patience is at its end");
        drop(busy);
        core.settle();
        assert!(!core.irq.is_unsettled(), "it has settled");
        core.detach_clock();
    }
}
