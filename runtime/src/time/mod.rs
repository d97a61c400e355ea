//! Time: the [`Clock`], host threads in it ([`HostTimer`]), and the kernel's own timers.

pub(crate) mod clock;
pub(crate) mod event;
pub(crate) mod host;
mod jiffies;
pub(crate) mod timers;
pub(crate) mod virtual_clock;

pub use clock::{Clock, Hold};
pub use host::{HostTimer, Notifier, Woken};
pub use jiffies::{jiffies_to_msecs, msecs_to_jiffies, time_after, time_before};
pub use timers::{Sleep, Timer};

use std::time::Duration;

/// Jiffies per second: one jiffy is a millisecond, as with Linux's `CONFIG_HZ=1000`.
pub const HZ: u64 = 1000;

/// Length of a jiffy.
pub const JIFFY: Duration = Duration::from_nanos(1_000_000_000 / HZ);

/// The jiffy that `at` lies in.
pub(crate) fn jiffies_at(at: Duration) -> u64 {
    at.as_secs().saturating_mul(HZ).saturating_add(u64::from(at.subsec_nanos() / JIFFY.subsec_nanos()))
}

/// The instant at which jiffy `jiffies` begins. Exact for all of them, though the last are beyond any clock's range.
pub(crate) fn jiffy_start(jiffies: u64) -> Duration {
    Duration::from_secs(jiffies / HZ) + JIFFY * (jiffies % HZ) as u32
}
