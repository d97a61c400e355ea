//! [`Clock`]: the time that a kernel and the host threads around it share, real or virtual.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::host::HostTimer;
use super::virtual_clock::VirtualClock;

/// The time, as duration since the clock's origin.
///
/// On the **system clock** it runs by itself. On the **virtual clock** it stands still while anything happens and
/// then moves straight to the next instant at which something is due: tests and simulations take no time, and the
/// same seed gives the same order of events.
///
/// Who takes part in virtual time: kernels built on this clock, and host threads that own a [`HostTimer`]. Nobody
/// else is waited for. An application that is to be waited for takes a [`hold`](Self::hold), or steps the time
/// with [`run_until`](Self::run_until). tokio's own paused clock (`tokio::time::pause`) knows nothing of this one
/// nor of the kernel's thread: do not combine them.
///
/// Its range is 2^64 ns, 584 years. What is due later, like [`Duration::MAX`] or Linux's `MAX_SCHEDULE_TIMEOUT`, is
/// never due: nobody waits for it, and virtual time does not run there.
#[derive(Clone, Debug)]
pub struct Clock {
    pub(crate) inner: Inner,
}

#[derive(Clone, Debug)]
pub(crate) enum Inner {
    System(Instant),
    Virtual(Arc<VirtualClock>),
}

impl Clock {
    /// A clock that follows the system's monotonic clock; its origin is now.
    pub fn system() -> Self {
        Self { inner: Inner::System(Instant::now()) }
    }

    /// A virtual clock that stands at its origin.
    pub fn virtual_time() -> Self {
        Self { inner: Inner::Virtual(Arc::default()) }
    }

    /// The time since the origin; it never runs backwards.
    pub fn now(&self) -> Duration {
        match &self.inner {
            Inner::System(origin) => origin.elapsed(),
            Inner::Virtual(clock) => clock.now(),
        }
    }

    /// Whether this is a virtual clock.
    pub fn is_virtual(&self) -> bool {
        matches!(self.inner, Inner::Virtual(_))
    }

    /// Makes virtual time stand still until the hold is dropped. What is due already still happens; nothing that
    /// needs the time to move does. Without effect on the system clock.
    #[must_use = "time runs on as soon as the hold is dropped"]
    pub fn hold(&self) -> Hold {
        match &self.inner {
            Inner::System(_) => Hold { clock: None },
            Inner::Virtual(clock) => {
                clock.hold();
                Hold { clock: Some(clock.clone()) }
            }
        }
    }

    /// Lets virtual time run up to exactly `until`, even while holds live, and ends when all that is due by then
    /// has happened. Time then stands at `until` while the returned hold (or another one) lives.
    ///
    /// An instant that has passed already ends as soon as all is quiet. Time is moved by the kernels of the clock:
    /// with none running this never ends.
    ///
    /// Cancelling it (dropping the future) leaves the time where it is then; it may go on moving, up to `until`,
    /// until the kernel notices.
    ///
    /// # Panics
    ///
    /// On the system clock, which nobody can step.
    pub async fn run_until(&self, until: Duration) -> Hold {
        let Inner::Virtual(clock) = &self.inner else { panic!("run_until needs a virtual clock") };
        // The hold is there before the sender reports, and passes to the caller here.
        struct Passing<'a> {
            clock: &'a Arc<VirtualClock>,
            done: futures::channel::oneshot::Receiver<()>,
        }
        impl Drop for Passing<'_> {
            fn drop(&mut self) {
                self.done.close();
                if let Ok(Some(())) = self.done.try_recv() {
                    self.clock.unhold();
                }
            }
        }
        let mut passing = Passing { clock, done: clock.until(until) };
        let reached = (&mut passing.done).await;
        debug_assert!(reached.is_ok(), "a party of the clock is dropped only with the clock");
        Hold { clock: Some(clock.clone()) }
    }

    /// A timer for one host thread that takes part in this time: it sleeps on it, and is woken through its
    /// [`Notifier`](super::Notifier).
    ///
    /// In virtual time the thread counts as busy from here on until its first
    /// [`wait_until`](HostTimer::wait_until).
    pub fn host_timer(&self, name: impl Into<String>) -> HostTimer {
        HostTimer::new(self, name.into())
    }
}

/// Keeps virtual time where it is; see [`Clock::hold`].
#[derive(Debug)]
pub struct Hold {
    clock: Option<Arc<VirtualClock>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(clock) = &self.clock {
            clock.unhold();
        }
    }
}
