//! [`Nmi`]: looking at a kernel core from outside, whatever it is doing.
//!
//! A non-maskable interrupt asks nobody: it runs at once, on the thread that raises it, while the kernel's own thread
//! goes on (or, if that is the raising thread, waits below it). So it works while the executor is stuck in a poll or
//! a handler with IRQs off, which is what it is for. It has an enter and an exit of its own and passes through
//! nothing of the entry protocol of [`entry`](super::entry): at its end no softirq runs and nothing is preempted.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::executor::{self, Core, published::CpuContext};
use crate::kernel::KernelHandle;
use crate::shared::Shared;

/// NMI context: what may be seen of a kernel core at any moment. Given to the closure of [`KernelHandle::nmi`].
pub struct Nmi<'a> {
    shared: &'a Arc<Shared>,
}

/// What a processor was doing when an NMI looked; made by [`Nmi::state`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CpuState {
    /// The kernel's name.
    pub kernel: String,
    /// What runs.
    pub context: CpuContext,
    /// Identity and name of the task being polled, whatever has broken into it.
    pub task: Option<(u64, String)>,
    /// Whether IRQs are on for what runs.
    pub irqs_enabled: bool,
    /// Turns given to tasks so far: the same number as before means the same turn, or none.
    pub polls: u64,
    /// Jiffies, as the kernel last saw them.
    pub jiffies: u64,
    /// Number and name of the lines that are raised and not delivered.
    pub pending_lines: Vec<(u32, String)>,
}

impl fmt::Display for CpuState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = if self.irqs_enabled { "on" } else { "off" };
        write!(f, "kernel {:?}: {}", self.kernel, self.context)?;
        if let Some((id, name)) = &self.task {
            write!(f, ", task #{id} {name:?}")?;
        }
        write!(f, ", irqs {flag}, jiffies {}", self.jiffies)?;
        for (number, name) in &self.pending_lines {
            write!(f, "; irq {number} {name:?} is pending")?;
        }
        Ok(())
    }
}

impl Nmi<'_> {
    /// What the processor does now.
    pub fn context(&self) -> CpuContext {
        self.shared.published.context()
    }

    /// Whether IRQs are on for what the processor does now.
    pub fn irqs_enabled(&self) -> bool {
        self.shared.published.irqs_on()
    }

    /// The identity of the task being polled now.
    pub fn task_id(&self) -> Option<u64> {
        Some(self.shared.published.task()).filter(|&id| id != 0)
    }

    /// Turns given to tasks so far.
    pub fn polls(&self) -> u64 {
        self.shared.counters.polls.load(Ordering::Relaxed)
    }

    /// Jiffies, as the kernel last saw them.
    pub fn jiffies(&self) -> u64 {
        self.shared.counters.jiffies.load(Ordering::Relaxed)
    }

    /// The time by the kernel's clock, which runs on although the kernel may not look at it.
    pub fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// All of it, as a value that can be printed. Each word is exact; while the kernel works, they need not be of
    /// one instant.
    pub fn state(&self) -> CpuState {
        // No code of a user runs under the locks of these two tables, so a stuck kernel holds neither.
        let task = self.task_id().and_then(|id| {
            let name = self.shared.tasks().get(&id).map(|task| task.name.clone());
            name.map(|name| (id, name))
        });
        let lines = self.shared.lines().live();
        let pending = lines.iter().filter(|line| line.latch.is_pending());
        CpuState {
            kernel: self.shared.name.clone(),
            context: self.context(),
            task,
            irqs_enabled: self.irqs_enabled(),
            polls: self.polls(),
            jiffies: self.jiffies(),
            pending_lines: pending.map(|line| (line.number, line.name.clone())).collect(),
        }
    }
}

impl fmt::Debug for Nmi<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nmi").field("kernel", &self.shared.name).finish_non_exhaustive()
    }
}

/// Between `nmi_enter` and `nmi_exit`; its drop is the exit, should the handler panic too.
struct Entered<'a> {
    shared: &'a Arc<Shared>,
    /// On the kernel's own thread: what it broke into, and the flag to restore.
    below: Option<(Rc<Core>, bool)>,
}

impl<'a> Entered<'a> {
    fn enter(shared: &'a Arc<Shared>) -> Self {
        shared.published.nmi_enter();
        let below = executor::current_core(shared).map(|core| {
            core.nmis.set(core.nmis.get() + 1);
            let irqs_on = core.irqs_on.get();
            (core, irqs_on)
        });
        Self { shared, below }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some((core, irqs_on)) = &self.below {
            core.irqs_on.set(*irqs_on);
            core.nmis.set(core.nmis.get() - 1);
        }
        self.shared.published.nmi_exit();
    }
}

impl KernelHandle {
    /// Raises a non-maskable interrupt: runs `handler` at once on the calling thread, whatever the kernel is doing,
    /// stuck with IRQs off too, and returns what it returns.
    ///
    /// Nothing follows from it: no softirq runs at its end and nothing is preempted. Lines that `handler` triggers
    /// are taken at the kernel's next delivery point, on the kernel's thread, never within the NMI. After the
    /// kernel's end it tells the kernel's last state.
    ///
    /// A panic of `handler` is the caller's.
    pub fn nmi<R>(&self, handler: impl FnOnce(&mut Nmi<'_>) -> R) -> R {
        let _entered = Entered::enter(&self.shared);
        handler(&mut Nmi { shared: &self.shared })
    }
}
