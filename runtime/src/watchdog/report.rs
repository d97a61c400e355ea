//! [`WatchdogReport`]: what a watchdog saw of a kernel that does not go on.

use std::fmt;
use std::time::Duration;

use crate::irq::CpuState;

/// What does not go on.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Stall {
    /// No timer interrupt is taken, so jiffies stand still (Linux's hard lockup).
    JiffiesFrozen,
    /// A task's poll does not return (Linux's soft lockup).
    PollStuck,
    /// A line is raised, somebody listens to it, and its interrupt is not taken.
    LinePending {
        /// The line's number.
        number: u32,
        /// The line's name.
        name: String,
    },
}

/// A stall, and what the kernel was doing.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WatchdogReport {
    /// What does not go on.
    pub stall: Stall,
    /// How long it has been so, at the most: since it was last seen to go on.
    pub lasted: Duration,
    /// What the kernel was doing: its context, the task being polled and the flag, and the pending lines.
    pub state: CpuState,
    /// Identity and name of the tasks that were suspended with IRQs off.
    pub suspended_with_irqs_off: Vec<(u64, String)>,
}

impl fmt::Display for WatchdogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.lasted.as_secs_f64();
        match &self.stall {
            Stall::JiffiesFrozen => {
                write!(f, "jiffies have stood at {} for {secs:.1} s", self.state.jiffies)?;
            }
            Stall::PollStuck => write!(f, "a poll has not returned for {secs:.1} s")?,
            Stall::LinePending { number, name } => {
                write!(f, "irq {number} {name:?} has been pending for {secs:.1} s")?;
            }
        }
        write!(f, "; {}", self.state)?;
        for (id, name) in &self.suspended_with_irqs_off {
            write!(f, "; task #{id} {name:?} is suspended with irqs off")?;
        }
        Ok(())
    }
}
