//! [`Watchdog`]: a host thread that looks whether a kernel still lives, and says what it is stuck in if not.
//!
//! The thresholds are Linux's (`Documentation/admin-guide/lockup-watchdogs.rst`): it looks every 4 s, raises the timer
//! line to see whether interrupts are taken, and reports jiffies that stood still for 10 s (a *hard lockup*), a poll
//! that has not returned for 20 s (a *soft lockup*), and a line that is pending for 10 s although somebody listens.
//!
//! It learns what it needs by NMI, so that it works while the executor is stuck, with IRQs off too. It lives by a
//! clock of its own choice, the host's by default: a kernel that stands still does not stop its watchdog.
//!
//! - [`detector`]: from what is seen to what is reported; no thread and no clock inside
//! - [`report`]: the report

mod detector;
mod report;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::kernel::{KernelError, KernelHandle};
use crate::time::{Clock, HostTimer, Notifier};
use detector::Detector;
pub use report::{Stall, WatchdogReport};

/// Linux: `watchdog_thresh`.
const THRESHOLD: Duration = Duration::from_secs(10);
/// Reports that nobody has taken; later ones are only said by `tracing`.
const REPORTS_KEPT: usize = 64;

/// Options for a watchdog; made by [`Watchdog::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct WatchdogBuilder {
    threshold: Duration,
    clock: Option<Clock>,
}

impl WatchdogBuilder {
    /// Linux's `watchdog_thresh`: how long jiffies may stand still, or a line be pending. A poll may take twice that;
    /// it looks five times in that. Default: 10 s. At least a millisecond.
    pub fn threshold(mut self, threshold: Duration) -> Self {
        self.threshold = threshold.max(Duration::from_millis(1));
        self
    }

    /// The clock that it lives by; it takes part in that clock's time as a host thread. Default: a [`Clock::system`]
    /// of its own.
    ///
    /// A virtual clock does not move while an executor on it is stuck in a poll. To watch for that in virtual time,
    /// give the watchdog another clock than the kernel has.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Starts to watch a kernel.
    ///
    /// # Errors
    ///
    /// [`KernelError::Thread`] if the system refuses a thread.
    pub fn watch(self, kernel: &KernelHandle) -> Result<Watchdog, KernelError> {
        let clock = self.clock.unwrap_or_else(Clock::system);
        let name = format!("{}/watchdog", kernel.name());
        let timer = clock.host_timer(name.clone()).without_spin();
        let notifier = timer.notifier();
        let stop = Arc::new(AtomicBool::new(false));
        let (send, reports) = async_channel::bounded(REPORTS_KEPT);
        let detector = Detector::new(self.threshold, timer.now());
        let (kernel, stopped) = (kernel.clone(), stop.clone());
        thread::Builder::new().name(name).spawn(move || run(timer, detector, &kernel, &stopped, &send))?;
        Ok(Watchdog { reports, notifier, stop })
    }
}

/// Watches a kernel from a host thread, until it is dropped or the kernel ends. Dropping it waits for nothing.
pub struct Watchdog {
    reports: async_channel::Receiver<WatchdogReport>,
    notifier: Notifier,
    stop: Arc<AtomicBool>,
}

impl Watchdog {
    /// Starts to describe a watchdog.
    pub fn builder() -> WatchdogBuilder {
        WatchdogBuilder { threshold: THRESHOLD, clock: None }
    }

    /// Starts to watch a kernel, by the host's clock and with Linux's thresholds.
    ///
    /// # Errors
    ///
    /// [`KernelError::Thread`] if the system refuses a thread.
    pub fn watch(kernel: &KernelHandle) -> Result<Self, KernelError> {
        Self::builder().watch(kernel)
    }

    /// The next report; `None` when the kernel has ended and all were taken. Each stall is reported once; it is
    /// reported again if it ended and came back. 64 are kept, oldest first; more are only said by `tracing`.
    ///
    /// Cancelling it loses nothing.
    pub fn next_report(&self) -> impl Future<Output = Option<WatchdogReport>> + Send + use<> {
        let reports = self.reports.clone();
        async move { reports.recv().await.ok() }
    }

    /// The next report, if there is one already.
    pub fn try_report(&self) -> Option<WatchdogReport> {
        self.reports.try_recv().ok()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.notifier.notify();
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("reports", &self.reports.len()).finish_non_exhaustive()
    }
}

fn run(
    mut timer: HostTimer,
    mut detector: Detector,
    kernel: &KernelHandle,
    stop: &AtomicBool,
    reports: &async_channel::Sender<WatchdogReport>,
) {
    while !stop.load(Ordering::Acquire) && kernel.is_running() {
        for report in detector.look(timer.now(), detector::see(kernel)) {
            tracing::error!(kernel = kernel.name(), %report, "watchdog");
            // Full or closed: nobody takes them.
            let _ = reports.try_send(report);
        }
        // A tick: jiffies are to move on, and it is to be seen that interrupts are taken.
        if kernel.shared.raise_timer().is_err() {
            return;
        }
        timer.wait_until(Some(detector.look_again(timer.now())));
    }
}
