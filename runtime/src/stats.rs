//! [`KernelStats`]: what a kernel has counted, printed in the manner of `/proc/interrupts`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::executor::chaos::Place;
use crate::irq::latch::EdgeCounts;
use crate::shared::Shared;
use crate::softirq::{NAMES, VECTORS};

/// Counters of one interrupt line.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LineStats {
    /// The line's number.
    pub number: u32,
    /// The line's name.
    pub name: String,
    /// Calls of `trigger` that were not refused. When nothing is pending, `raised == delivered + coalesced`.
    pub raised: u64,
    /// Interrupts taken. Never more than were raised, at whatever moment the two are looked at.
    pub delivered: u64,
    /// Edges that got no interrupt of their own, since their line was pending already. It is what the other two leave,
    /// and counts, for a moment, an edge whose interrupt is just being sent or taken.
    pub coalesced: u64,
    /// Interrupts that no handler claimed and no stream saw.
    pub unhandled: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Whether the line was pending.
    pub pending: bool,
    /// How often it was disabled more than enabled.
    pub disable_depth: u32,
    /// Whether the kernel shut it off, since nobody cared for its interrupts.
    pub shut_off: bool,
}

/// Counters of one task that has not ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TaskStats {
    /// Unique within the kernel; ascending in order of creation.
    pub id: u64,
    /// The task's name.
    pub name: String,
    /// Turns it had.
    pub polls: u64,
    /// Whether it was suspended with IRQs off.
    pub irqs_off: bool,
    /// Whether it is a [service](crate::KernelHandle::spawn_service).
    pub service: bool,
}

/// Interrupts that [chaos](crate::KernelBuilder::chaos) let land in virtual time, by the place: every point at which
/// interrupts are taken, and one at which they wait.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ChaosStats {
    /// Before a task's turn.
    pub before_poll: u64,
    /// When IRQs went on.
    pub irqs_on: u64,
    /// In [`Cpu::cpu_relax`](crate::Cpu::cpu_relax).
    pub cpu_relax: u64,
    /// Between softirq vectors.
    pub between_softirqs: u64,
    /// While there was nothing to do, which is where all land without chaos.
    pub idle: u64,
    /// In the middle of a turn, right after its IRQs went off: they had to wait.
    pub irqs_off: u64,
}

impl ChaosStats {
    fn take(shared: &Shared) -> Self {
        let at = |place: Place| shared.counters.chaos[place as usize].load(Ordering::Relaxed);
        Self {
            before_poll: at(Place::BeforePoll),
            irqs_on: at(Place::IrqsOn),
            cpu_relax: at(Place::CpuRelax),
            between_softirqs: at(Place::BetweenSoftirqs),
            idle: at(Place::Idle),
            irqs_off: at(Place::IrqsOff),
        }
    }
}

/// A snapshot of a kernel's counters.
///
/// Each counter is exact; counters that are taken while the kernel works need not be of one instant.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct KernelStats {
    /// The kernel's name.
    pub kernel: String,
    /// Jiffies, as the kernel last saw them.
    pub jiffies: u64,
    /// Turns given to tasks.
    pub polls: u64,
    /// Times that the kernel's thread had nothing to do.
    pub parks: u64,
    /// Tasks created.
    pub tasks_spawned: u64,
    /// Tasks that ended by themselves, by panic too.
    pub tasks_finished: u64,
    /// Tasks that were aborted, or dropped by the shutdown.
    pub tasks_cancelled: u64,
    /// Tasks that panicked.
    pub tasks_panicked: u64,
    /// Times that a task gave up its turn, or ended, with IRQs off.
    pub suspended_with_irqs_off: u64,
    /// Times that a task gave up its turn, or ended, with a spinlock held or softirqs or preemption off, and that a
    /// handler, threaded or not, softirq, tasklet, timer, work item or drop ended with others than it began with.
    pub suspended_with_lock: u64,
    /// Times that a handler returned with IRQs on.
    pub handler_left_irqs_on: u64,
    /// Softirqs that panicked.
    pub softirq_panics: u64,
    /// Timers that panicked.
    pub timer_panics: u64,
    /// Non-maskable interrupts that were taken.
    pub nmis: u64,
    /// Runs of each softirq vector, in the order of `/proc/softirqs`.
    pub softirqs: [u64; VECTORS],
    /// What chaos did; all zero without.
    pub chaos: ChaosStats,
    /// The lines, by number; 0 is the timer.
    pub lines: Vec<LineStats>,
    /// The tasks that live, oldest first.
    pub tasks: Vec<TaskStats>,
}

impl KernelStats {
    pub(crate) fn take(shared: &Shared) -> Self {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &shared.counters;
        let lines = shared.lines().live();
        let lines = lines
            .iter()
            .map(|line| {
                let EdgeCounts { raised, delivered, coalesced, pending } = line.latch.counts();
                LineStats {
                    number: line.number,
                    name: line.name.clone(),
                    raised,
                    delivered,
                    coalesced,
                    unhandled: get(&line.unhandled),
                    panics: get(&line.panics),
                    pending,
                    disable_depth: line.depth.load(Ordering::Relaxed),
                    shut_off: line.shut_off.load(Ordering::Relaxed),
                }
            })
            .collect();
        let tasks = shared
            .tasks()
            .values()
            .map(|task| TaskStats {
                id: task.id,
                name: task.name.clone(),
                polls: get(&task.polls),
                irqs_off: task.irqs_off.load(Ordering::Relaxed),
                service: task.service,
            })
            .collect();
        Self {
            kernel: shared.name.clone(),
            jiffies: get(&counters.jiffies),
            polls: get(&counters.polls),
            parks: get(&counters.parks),
            tasks_spawned: get(&counters.tasks_spawned),
            tasks_finished: get(&counters.tasks_finished),
            tasks_cancelled: get(&counters.tasks_cancelled),
            tasks_panicked: get(&counters.tasks_panicked),
            suspended_with_irqs_off: get(&counters.suspended_with_irqs_off),
            suspended_with_lock: get(&counters.suspended_with_lock),
            handler_left_irqs_on: get(&counters.handler_left_irqs_on),
            softirq_panics: get(&counters.softirq_panics),
            timer_panics: get(&counters.timer_panics),
            nmis: shared.published.nmis_taken(),
            chaos: ChaosStats::take(shared),
            softirqs: std::array::from_fn(|vector| get(&counters.softirqs[vector])),
            lines,
            tasks,
        }
    }

    /// The counters of a line, if it is in use.
    pub fn line(&self, number: u32) -> Option<&LineStats> {
        self.lines.iter().find(|line| line.number == number)
    }

    /// The counters of the first living task of this name.
    pub fn task(&self, name: &str) -> Option<&TaskStats> {
        self.tasks.iter().find(|task| task.name == name)
    }
}

impl fmt::Display for KernelStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>8} {:>12} {:>12} {:>12}", "", "DELIVERED", "RAISED", "COALESCED")?;
        for line in &self.lines {
            write!(
                f,
                "{:>7}: {:>12} {:>12} {:>12}  {}",
                line.number, line.delivered, line.raised, line.coalesced, line.name
            )?;
            if line.pending {
                f.write_str(", pending")?;
            }
            if line.shut_off {
                f.write_str(", shut off")?;
            } else if line.disable_depth > 0 {
                f.write_str(", disabled")?;
            }
            if line.unhandled > 0 {
                write!(f, ", {} unhandled", line.unhandled)?;
            }
            if line.panics > 0 {
                write!(f, ", {} panicked", line.panics)?;
            }
            f.write_str("\n")?;
        }
        for (name, runs) in NAMES.iter().zip(self.softirqs) {
            if runs > 0 {
                writeln!(f, "{name:>8}: {runs:>11}  softirq")?;
            }
        }
        if self.nmis > 0 {
            writeln!(f, "{:>8}: {:>11}  non-maskable interrupts", "NMI", self.nmis)?;
        }
        for task in &self.tasks {
            let flag = if task.irqs_off { ", suspended with irqs off" } else { "" };
            writeln!(f, "{:>8}: {:>11}  task {}{flag}", format!("#{}", task.id), task.polls, task.name)?;
        }
        for (what, count) in [
            ("tasks suspended with irqs off", self.suspended_with_irqs_off),
            ("turns ended with a spinlock held", self.suspended_with_lock),
            ("handlers that returned with irqs on", self.handler_left_irqs_on),
            ("tasks panicked", self.tasks_panicked),
            ("softirqs panicked", self.softirq_panics),
            ("timers panicked", self.timer_panics),
        ] {
            if count > 0 {
                writeln!(f, "{:>8}: {count:>11}  {what}", "ERR")?;
            }
        }
        Ok(())
    }
}
