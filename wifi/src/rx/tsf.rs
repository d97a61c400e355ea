//! [`TsfClock`]: the chip's 32-bit time stamps as 64 bits, and when that was on the host's clock.

use core::time::Duration;

/// How far the two clocks may drift apart: 802.11 allows each 25 ppm (IEEE 802.11-2020, 19.3.18.4).
const DRIFT_PPM: i128 = 50;

/// A frame that seems to have waited longer than this in the chip means that its clock was set.
const MAX_DELAY_NS: i128 = 1_000_000_000;

/// Half of the half range in which an unwrapped value is certain, in microseconds.
const TRUSTED_US: u64 = 1 << 30;

/// Unwraps the lower half of the TSF, and relates it to the host's clock.
///
/// A descriptor holds 32 bits, which wrap every 71.6 minutes. Of all 64-bit values that end in them, the one
/// is taken that lies nearest to where the TSF should be by the host's clock, so silence of any length does no
/// harm.
///
/// When a frame was on the air follows from the smallest delay seen between its TSF and its arrival at the
/// host, which is let grow by the drift of two crystals.
#[derive(Debug, Default)]
pub(crate) struct TsfClock {
    /// A TSF, and when it was on the host's clock, if any frame came yet.
    anchor: Option<(u64, Duration)>,
    /// Host clock minus TSF in nanoseconds, and when it was last looked at.
    offset: Option<(i128, Duration)>,
    /// Where the frame before was placed.
    placed: Duration,
}

impl TsfClock {
    /// Says what all 64 bits of the TSF are at a time on the host's clock.
    pub(crate) fn set(&mut self, tsf: u64, at: Duration) {
        self.anchor = Some((tsf, at));
    }

    /// All 64 bits of a TSF of which only the lower half is known, and which arrived at `at`.
    pub(crate) fn unwrap(&mut self, low: u32, at: Duration) -> u64 {
        let expected = match self.anchor {
            None => u64::from(low),
            Some((tsf, anchored)) => {
                let passed = at.saturating_sub(anchored).as_micros();
                tsf.wrapping_add(u64::try_from(passed).unwrap_or(u64::MAX))
            }
        };
        let ahead = low.wrapping_sub(expected as u32) as i32;
        let tsf = expected.checked_add_signed(i64::from(ahead)).unwrap_or(u64::from(low));
        if self.anchor.is_none() || tsf.abs_diff(expected) < TRUSTED_US {
            self.anchor = Some((tsf, at));
        }
        tsf
    }

    /// Learns from a frame with this TSF, which arrived at `at`, how far the clocks are apart.
    pub(crate) fn observe(&mut self, tsf: u64, at: Duration) {
        let delay_free = at.as_nanos() as i128 - i128::from(tsf) * 1000;
        let offset = match self.offset {
            None => delay_free,
            Some((offset, looked)) => {
                let passed = at.saturating_sub(looked).as_nanos() as i128;
                let relaxed = offset + passed * DRIFT_PPM / 1_000_000;
                if delay_free - relaxed > MAX_DELAY_NS { delay_free } else { relaxed.min(delay_free) }
            }
        };
        self.offset = Some((offset, at));
    }

    /// When the frame with this TSF, which arrived at `at`, was on the air, on the host's clock: never later than
    /// `at`, and never before a frame that was placed earlier, so that a capture is in order.
    pub(crate) fn place(&mut self, tsf: u64, at: Duration) -> Duration {
        let at_ns = at.as_nanos() as i128;
        let offset = self.offset.map_or(0, |(offset, _)| offset);
        let time = (i128::from(tsf) * 1000 + offset).clamp(0, at_ns);
        let time = Duration::new((time / 1_000_000_000) as u64, (time % 1_000_000_000) as u32);
        self.placed = time.max(self.placed).min(at);
        self.placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn w3_the_tsf_goes_on_beyond_32_bits() {
        let mut clock = TsfClock::default();
        let start = u64::from(u32::MAX - 500_000);
        assert_eq!(clock.unwrap(start as u32, SECOND), start);
        assert_eq!(clock.unwrap((start + 1_000_000) as u32, 2 * SECOND), start + 1_000_000);
        // A frame that was on the air before the wrap, and came after one that was not.
        assert_eq!(clock.unwrap(start as u32, 2 * SECOND), start);
    }

    #[test]
    fn w3_hours_of_silence_do_not_lose_a_wrap() {
        let mut clock = TsfClock::default();
        clock.unwrap(1000, Duration::ZERO);
        for hours in [1, 5, 24, 24 * 365] {
            let at = Duration::from_secs(3600 * hours);
            let tsf = 1000 + at.as_micros() as u64;
            assert_eq!(clock.unwrap(tsf as u32, at), tsf, "{hours} h");
        }
    }

    #[test]
    fn w3_a_crystal_that_runs_fast_is_followed_for_days() {
        let mut clock = TsfClock::default();
        // One percent in 100 hours is an hour, and half of what 32 bits tell apart is less.
        for step in 0..12_000 {
            let at = Duration::from_secs(30 * step);
            let tsf = (at + at / 100).as_micros() as u64;
            assert_eq!(clock.unwrap(tsf as u32, at), tsf, "{at:?}");
        }
    }

    #[test]
    fn w3_one_wild_stamp_does_not_move_the_upper_half() {
        let mut clock = TsfClock::default();
        clock.set(7 << 32 | 1000, Duration::ZERO);
        clock.unwrap(0x7fff_0000, SECOND);
        clock.unwrap(0xfffe_0000, SECOND);
        assert_eq!(clock.unwrap(2_001_000, 2 * SECOND), 7 << 32 | 2_001_000);
    }

    #[test]
    fn w3_air_time_follows_the_tsf_and_not_the_delay_of_the_transfer() {
        let mut clock = TsfClock::default();
        let at = |us| SECOND + Duration::from_micros(us);
        // Three frames of one transfer: the last one waited least, and places them all.
        for tsf in [1000, 2000, 3000] {
            clock.observe(tsf, at(3050));
        }
        for tsf in [1000, 2000, 3000] {
            assert_eq!(clock.place(tsf, at(3050)), at(tsf + 50));
        }
        // A transfer that came late says nothing new but for the drift of two crystals.
        clock.observe(3500, at(9000));
        assert_eq!(clock.place(3500, at(9000)).as_micros(), at(3550).as_micros());
        // One that came sooner than all before moves the later ones, and keeps the order.
        clock.observe(8990, at(9000));
        assert_eq!(clock.place(8990, at(9000)), at(9000));
        clock.observe(9000, at(9001));
        assert!(clock.place(9000, at(9001)) >= at(9000));
    }

    #[test]
    fn w3_air_time_is_in_order_whatever_the_stamps_are() {
        let mut clock = TsfClock::default();
        let mut last = Duration::ZERO;
        for (step, tsf) in [5_000_000, 10, u64::MAX, 0, 6_000_000, 5_999_999, 1 << 40].into_iter().enumerate()
        {
            let at = SECOND * (step as u32 + 1);
            clock.observe(tsf, at);
            let time = clock.place(tsf, at);
            assert!(time >= last && time <= at, "{tsf}");
            last = time;
        }
    }

    #[test]
    fn w3_frames_that_swapped_places_in_the_chip_are_not_placed_backwards() {
        let mut clock = TsfClock::default();
        clock.observe(2000, SECOND);
        let first = clock.place(2000, SECOND);
        clock.observe(1000, SECOND);
        assert_eq!((first, clock.place(1000, SECOND)), (SECOND, SECOND));
    }

    #[test]
    fn w3_a_tsf_that_was_set_back_is_followed() {
        let mut clock = TsfClock::default();
        clock.observe(50_000_000, 60 * SECOND);
        clock.place(50_000_000, 60 * SECOND);
        clock.observe(10, 100 * SECOND);
        assert_eq!(clock.place(10, 100 * SECOND), 100 * SECOND);
    }
}
