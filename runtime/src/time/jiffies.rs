//! Jiffies and milliseconds, and which of two times is the later one, under Linux's names (`include/linux/jiffies.h`).

use super::HZ;

/// The jiffies that `ms` milliseconds take, rounded up.
pub const fn msecs_to_jiffies(ms: u64) -> u64 {
    let jiffies = (ms as u128 * HZ as u128).div_ceil(1_000);
    if jiffies > u64::MAX as u128 { u64::MAX } else { jiffies as u64 }
}

/// The whole milliseconds in `jiffies`.
pub const fn jiffies_to_msecs(jiffies: u64) -> u64 {
    let ms = jiffies as u128 * 1_000 / HZ as u128;
    if ms > u64::MAX as u128 { u64::MAX } else { ms as u64 }
}

/// Whether `a` is later than `b`. Jiffies here have 64 bits, begin at 0 and never wrap, so that this is `a > b`; it is
/// here for code that is brought over.
pub const fn time_after(a: u64, b: u64) -> bool {
    a > b
}

/// Whether `a` is earlier than `b`; see [`time_after`].
pub const fn time_before(a: u64, b: u64) -> bool {
    a < b
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use super::*;

    #[test]
    fn r9_milliseconds_and_jiffies_are_of_one_rate_and_never_overflow() {
        assert_eq!(
            (msecs_to_jiffies(0), msecs_to_jiffies(1), msecs_to_jiffies(250)),
            (0, HZ / 1_000, HZ / 4)
        );
        assert_eq!((jiffies_to_msecs(HZ), jiffies_to_msecs(0)), (1_000, 0));
        assert_eq!(msecs_to_jiffies(u64::MAX), u64::MAX);
        assert_eq!(jiffies_to_msecs(u64::MAX), u64::MAX);
        assert!(time_after(2, 1) && !time_after(1, 1) && time_before(1, 2) && !time_before(1, 1));
    }
}
