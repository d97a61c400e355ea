//! [`HostTimer`] and [`Notifier`]: how a host thread waits for work or for an instant, in real or virtual time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::{Clock, Inner};
use super::virtual_clock::{HostId, VirtualClock};
use crate::executor::doorbell::{Doorbell, Spin};

/// Why [`HostTimer::wait_until`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// The instant has come.
    Due,
    /// Somebody called [`Notifier::notify`] since the last wait returned.
    Notified,
}

/// A host thread's place in the time of a [`Clock`]: the thread owns it and does all its waiting on it.
///
/// In virtual time the thread is *busy* except within [`wait_until`](Self::wait_until), and time stands still
/// while it is. It must not block on anything else that only the kernel or the passing of time can end. Dropping
/// the timer takes the thread out of the clock's count. Kernels move the virtual time: on a clock without one, no
/// instant ever comes, and only notifications end a wait.
#[derive(Debug)]
pub struct HostTimer {
    name: String,
    bell: Arc<Doorbell>,
    spin: Spin,
    time: Time,
}

#[derive(Clone, Debug)]
enum Time {
    System(Instant),
    Virtual(Arc<VirtualClock>, HostId),
}

impl HostTimer {
    pub(super) fn new(clock: &Clock, name: String) -> Self {
        let bell = Arc::new(Doorbell::new());
        let time = match &clock.inner {
            Inner::System(origin) => Time::System(*origin),
            Inner::Virtual(clock) => Time::Virtual(clock.clone(), clock.join(bell.clone())),
        };
        Self { name, bell, spin: Spin::new(), time }
    }

    /// Never spins before it parks: for threads whose waits are long.
    pub(crate) fn without_spin(mut self) -> Self {
        self.spin = Spin::never();
        self
    }

    /// The name that it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time since the clock's origin.
    pub fn now(&self) -> Duration {
        match &self.time {
            Time::System(origin) => origin.elapsed(),
            Time::Virtual(clock, _) => clock.now(),
        }
    }

    /// A handle with which others wake this thread.
    pub fn notifier(&self) -> Notifier {
        Notifier { bell: self.bell.clone(), time: self.time.clone() }
    }

    /// Blocks the calling thread until `due` (with `None`: for ever) or until notified, whichever is first. A
    /// notification that came since the last wait returned ends this one at once, and several count as one. In
    /// virtual time a `due` that has passed already waits for its turn among the others that are due.
    ///
    /// On the system clock it spins for some microseconds, if work has come quickly of late, before it parks.
    pub fn wait_until(&mut self, due: Option<Duration>) -> Woken {
        match &self.time {
            Time::System(origin) => {
                // An instant too far for the system's clock is as good as never.
                let deadline = due.and_then(|due| origin.checked_add(due));
                if deadline.is_none_or(|deadline| deadline > Instant::now()) {
                    self.bell.wait(&mut self.spin, deadline);
                }
                if self.bell.begin() { Woken::Notified } else { Woken::Due }
            }
            Time::Virtual(clock, id) => {
                self.bell.begin();
                if let Some(woken) = clock.host_waits(*id, due) {
                    return woken;
                }
                loop {
                    if let Some(woken) = clock.host_woken(*id) {
                        return woken;
                    }
                    if self.bell.arm() {
                        self.bell.sleep(&mut self.spin, None);
                    }
                    self.bell.begin();
                }
            }
        }
    }
}

impl Drop for HostTimer {
    fn drop(&mut self) {
        if let Time::Virtual(clock, id) = &self.time {
            clock.leave(*id);
        }
    }
}

/// Wakes the host thread that owns a [`HostTimer`]. It keeps neither the thread nor the timer alive.
#[derive(Clone, Debug)]
pub struct Notifier {
    bell: Arc<Doorbell>,
    time: Time,
}

impl Notifier {
    /// Ends the thread's current or next [`wait_until`](HostTimer::wait_until). Whatever was queued for the thread
    /// before is seen by it after. Never blocks. In virtual time the thread counts as busy from here on.
    pub fn notify(&self) {
        match &self.time {
            Time::System(_) => self.bell.ring(),
            Time::Virtual(clock, id) => clock.notify(*id),
        }
    }
}
