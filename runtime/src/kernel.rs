//! [`Kernel`] and [`KernelHandle`]: starting, reaching and ending a kernel core.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;

use crate::cpu::Cpu;
use crate::executor::policy::IrqPolicy;
use crate::executor::task::{self, JoinHandle, TaskHeader};
use crate::executor::{self, CoreOptions, Parts};
use crate::irq::line::IrqLine;
use crate::lock::{LockReport, OnLockReport};
use crate::shared::{NewTask, Shared, Work};
use crate::stats::KernelStats;
use crate::time::Clock;
use crate::time::clock::Inner;

/// The kernel was shut down, or is being shut down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the kernel core has been shut down")]
pub struct KernelGone;

/// Why a kernel could not be started.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The system refused a thread.
    #[error("cannot start the kernel core's thread: {0}")]
    Thread(Arc<io::Error>),
}

impl From<io::Error> for KernelError {
    fn from(error: io::Error) -> Self {
        Self::Thread(Arc::new(error))
    }
}

/// What a shutdown found unfinished.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Names of the tasks that were cancelled, oldest first; without [services](KernelHandle::spawn_service).
    pub tasks_dropped: Vec<String>,
    /// Tasks that were asked for and had not been created yet.
    pub spawns_dropped: usize,
    /// IRQs that were raised and not delivered any more, those of masked lines that a handler or a stream would have
    /// had, too, and threaded handlers that were not done. A line that nobody listens to stays pending without being
    /// missed.
    pub irqs_dropped: usize,
    /// Timers that were still armed, and sleeps of tasks; without those of [services](KernelHandle::spawn_service), of
    /// work items and of threaded handlers.
    pub timers_dropped: usize,
    /// Work items that were queued, waited for their delay, or ran.
    pub works_dropped: usize,
}

impl ShutdownReport {
    /// Whether nothing was left undone: no task, interrupt, timer, sleep or work item that somebody still counted on.
    /// Services end with their kernel, and with them the timers that they have made and the sleeps that they sleep:
    /// that leaves nothing undone.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// One line: `clean`, or what was dropped.
impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("clean");
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let mut separator = "dropped ";
        if !self.tasks_dropped.is_empty() {
            let count = self.tasks_dropped.len();
            write!(f, "{separator}{count} task{} ({})", plural(count), self.tasks_dropped.join(", "))?;
            separator = ", ";
        }
        for (count, what) in [
            (self.spawns_dropped, "task"),
            (self.irqs_dropped, "pending interrupt"),
            (self.timers_dropped, "armed timer"),
            (self.works_dropped, "work item"),
        ] {
            if count > 0 {
                write!(f, "{separator}{count} {what}{}", plural(count))?;
                if what == "task" {
                    f.write_str(" not yet created")?;
                }
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Options for a new kernel; made by [`Kernel::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct KernelBuilder {
    name: String,
    clock: Option<Clock>,
    options: CoreOptions,
}

impl KernelBuilder {
    /// The kernel's name, which its threads carry too. Default: `airlift`. A NUL in it, which no thread's name may
    /// have, becomes U+FFFD.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().replace('\0', "\u{fffd}");
        self
    }

    /// The clock it lives by. Default: a [`Clock::system`] of its own. Several kernels may share one clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Chaos: in virtual time, lets timers and host threads come due at arbitrary delivery points, in the middle of
    /// polls and with IRQs off too, as they do on silicon; the same seed gives the same order. Without effect on
    /// the system clock, where that happens by itself.
    pub fn chaos(mut self, seed: u64) -> Self {
        self.options.chaos = Some(seed);
        self
    }

    /// In virtual time, how long the kernel waits, in real time, for a host thread that stays busy, before it goes on
    /// without it. Only a thread that waits for the kernel meanwhile, against the rules of
    /// [`HostTimer`](crate::HostTimer), takes so long; the run repeats itself no more then. Default: 5 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.options.patience = patience;
        self
    }

    /// What follows when the lock validator finds something; see [`KernelHandle::lock_reports`]. Default: nothing but
    /// the report. Without effect in builds that have [no validator](crate::LOCK_VALIDATOR).
    pub fn on_lock_report(mut self, then: OnLockReport) -> Self {
        self.options.on_lock_report = then;
        self
    }

    /// Whose IRQ flag counts. Default: [`IrqPolicy::PerTask`].
    pub fn irq_policy(mut self, policy: IrqPolicy) -> Self {
        self.options.irq_policy = policy;
        self
    }

    /// Starts the kernel's thread.
    ///
    /// # Errors
    ///
    /// [`KernelError::Thread`] if the system refuses a thread.
    pub fn build(self) -> Result<Kernel, KernelError> {
        let clock = self.clock.unwrap_or_else(Clock::system);
        let (shared, receiver) = Shared::new(self.name.clone(), clock);
        let (report, done) = oneshot::channel();
        let parts = Parts::prepare(shared.clone(), receiver, self.options)?;
        let started = thread::Builder::new().name(self.name).spawn(move || {
            // Nobody may be waiting for it.
            let _ = report.send(executor::run(parts));
        });
        let thread = started.inspect_err(|_| {
            if let Inner::Virtual(clock) = &shared.clock.inner {
                // Its executor will never be heard of again.
                clock.detach_bell(&shared.bell);
            }
        })?;
        Ok(Kernel { shared, end: Some(End { done, thread }) })
    }
}

/// A running kernel core: one OS thread with one executor. The owner; [`KernelHandle`]s are for everybody else.
///
/// Dropping it asks the kernel to end and does not wait for that; its thread ends soon after. To know that it has
/// ended, and what it left unfinished, use [`shutdown`](Self::shutdown).
#[must_use = "the kernel ends when this is dropped"]
pub struct Kernel {
    shared: Arc<Shared>,
    /// Until somebody waits for it.
    end: Option<End>,
}

/// What is left of a kernel's thread.
struct End {
    done: oneshot::Receiver<ShutdownReport>,
    thread: thread::JoinHandle<()>,
}

impl End {
    /// Blocks until the thread is gone.
    fn wait(mut self) -> ShutdownReport {
        // The report is the thread's last act but for its thread-locals; without one it has panicked.
        let _ = self.thread.join();
        self.done.try_recv().ok().flatten().unwrap_or_default()
    }

    /// Has a thread wait, and hears from that. Gives back what cannot be waited for so.
    fn wait_elsewhere(self, name: String) -> Result<oneshot::Receiver<ShutdownReport>, Self> {
        // By a channel: a thread that the system refuses drops its closure.
        let (give, take) = mpsc::channel::<Self>();
        let (report, joined) = oneshot::channel();
        let waiter = thread::Builder::new().name(name).spawn(move || {
            if let Ok(end) = take.recv() {
                // Nobody may be waiting for it.
                let _ = report.send(end.wait());
            }
        });
        match waiter {
            Ok(_) => give.send(self).map(|()| joined).map_err(|mpsc::SendError(end)| end),
            Err(_) => Err(self),
        }
    }
}

impl Kernel {
    /// Starts a kernel on a system clock of its own.
    ///
    /// # Errors
    ///
    /// [`KernelError::Thread`] if the system refuses a thread.
    pub fn new() -> Result<Self, KernelError> {
        Self::builder().build()
    }

    /// Starts to describe a kernel.
    pub fn builder() -> KernelBuilder {
        KernelBuilder { name: "airlift".to_owned(), clock: None, options: CoreOptions::default() }
    }

    /// A handle for tasks, host threads and applications.
    pub fn handle(&self) -> KernelHandle {
        KernelHandle { shared: self.shared.clone() }
    }

    /// Ends the kernel: what is raised already is delivered, tasks are cancelled, and the thread is gone when this
    /// is ready, its thread-locals dropped. It needs no particular runtime.
    ///
    /// The end is asked for when this is called, not when it is first polled. Cancelling it (dropping the future)
    /// only gives up the report.
    ///
    /// No poll of it waits: a thread of its own joins the kernel's thread, and ends when it has told the report. Only if
    /// the system refuses that thread does the last poll wait, until the kernel's thread-locals are dropped.
    pub fn shutdown(mut self) -> impl Future<Output = ShutdownReport> + Send + 'static {
        self.shared.stop();
        let name = format!("{}/end", self.shared.name);
        let joined = self.end.take().map(|end| end.wait_elsewhere(name));
        async move {
            match joined {
                Some(Ok(report)) => report.await.unwrap_or_default(),
                Some(Err(End { done, thread })) => {
                    let report = done.await.unwrap_or_default();
                    if thread.thread().id() != thread::current().id() {
                        let _ = thread.join();
                    }
                    report
                }
                None => ShutdownReport::default(),
            }
        }
    }

    /// [`shutdown`](Self::shutdown) for a thread that may block.
    ///
    /// # Panics
    ///
    /// On the kernel's own thread, which would wait for itself.
    pub fn shutdown_blocking(mut self) -> ShutdownReport {
        assert!(
            self.end.as_ref().is_none_or(|end| end.thread.thread().id() != thread::current().id()),
            "shutdown_blocking was called on the kernel's own thread, which it waits for"
        );
        self.shared.stop();
        self.end.take().map_or_else(ShutdownReport::default, End::wait)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// Reaches a kernel from anywhere. It keeps nothing alive: after the kernel's end its calls say [`KernelGone`].
#[derive(Clone)]
pub struct KernelHandle {
    pub(crate) shared: Arc<Shared>,
}

impl KernelHandle {
    /// Starts a task on the kernel. `start` runs there; the future that it makes stays there and need not be
    /// `Send`. Tasks are created in the order of these calls. The name is for reports.
    ///
    /// # Errors
    ///
    /// [`KernelGone`] after the kernel's shutdown has begun.
    pub fn spawn<F, Fut>(
        &self,
        name: impl Into<String>,
        start: F,
    ) -> Result<JoinHandle<Fut::Output>, KernelGone>
    where
        F: FnOnce(Cpu) -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        self.spawn_task(name.into(), false, start)
    }

    /// As [`spawn`](Self::spawn), a task that *serves* others for as long as the kernel runs, like the task of a
    /// controller or a queue: it never ends by itself, and so the shutdown, which ends services after all other
    /// tasks, does not report it as work that was left undone.
    ///
    /// # Errors
    ///
    /// [`KernelGone`] after the kernel's shutdown has begun.
    pub fn spawn_service<F, Fut>(
        &self,
        name: impl Into<String>,
        start: F,
    ) -> Result<JoinHandle<Fut::Output>, KernelGone>
    where
        F: FnOnce(Cpu) -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        self.spawn_task(name.into(), true, start)
    }

    fn spawn_task<F, Fut>(
        &self,
        name: String,
        service: bool,
        start: F,
    ) -> Result<JoinHandle<Fut::Output>, KernelGone>
    where
        F: FnOnce(Cpu) -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        if !self.is_running() {
            return Err(KernelGone);
        }
        let header = TaskHeader::new(&self.shared, name, service);
        let (finish, join) = task::join(&header);
        let create = Box::new(move |cpu: &Cpu| cpu.core().create_task(header, finish, start));
        match self.shared.enqueue(Work::Create(Box::new(NewTask { create, service }))) {
            Ok(()) => Ok(join),
            Err(_) => Err(KernelGone),
        }
    }

    /// A new interrupt line, with the lowest number that is free.
    ///
    /// # Errors
    ///
    /// [`KernelGone`] after the kernel's shutdown has begun.
    pub fn irq_line(&self, name: &str) -> Result<IrqLine, KernelGone> {
        self.line(None, name)
    }

    /// The interrupt line of this number; it is made, with this name, unless it is in use already. Line 0 is the
    /// kernel's timer.
    ///
    /// # Errors
    ///
    /// [`KernelGone`] after the kernel's shutdown has begun.
    pub fn irq_line_at(&self, number: u32, name: &str) -> Result<IrqLine, KernelGone> {
        self.line(Some(number), name)
    }

    fn line(&self, number: Option<u32>, name: &str) -> Result<IrqLine, KernelGone> {
        if !self.is_running() {
            return Err(KernelGone);
        }
        Ok(IrqLine { shared: self.shared.lines().get_or_add(&self.shared, number, name) })
    }

    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The clock that the kernel lives by.
    pub fn clock(&self) -> Clock {
        self.shared.clock.clone()
    }

    /// A snapshot of the kernel's counters.
    pub fn stats(&self) -> KernelStats {
        KernelStats::take(&self.shared)
    }

    /// What the lock validator has found so far, oldest first; each finding once. Always empty in builds that have
    /// [no validator](crate::LOCK_VALIDATOR).
    pub fn lock_reports(&self) -> Vec<LockReport> {
        self.shared.lock_reports().clone()
    }

    /// Whether the kernel takes work: not shut down, nor about to be.
    pub fn is_running(&self) -> bool {
        self.shared.is_running()
    }
}

impl fmt::Debug for KernelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelHandle").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use super::*;

    #[test]
    fn r1_a_spawn_that_the_end_overtakes_fails() {
        let (shared, _tokens) = Shared::new("test".to_owned(), Clock::virtual_time());
        let handle = KernelHandle { shared: shared.clone() };
        assert!(handle.spawn("in time", |_| async {}).is_ok());
        // The kernel ran when the caller looked, and takes no more when its task was to be queued.
        shared.ready().closed = true;
        assert!(handle.is_running());
        assert_eq!(handle.spawn("late", |_| async {}).map(drop), Err(KernelGone));
    }
}
