//! [`IrqPolicy`]: whose flag decides whether an interrupt is taken.

use std::sync::atomic::Ordering;

use super::Core;
use super::core::Task;

/// Whose IRQ flag decides whether an interrupt is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum IrqPolicy {
    /// Each task has a flag of its own, and only that of the task being polled counts.
    #[default]
    PerTask,
    /// The processor has one flag for all, as on silicon. A task that is suspended with IRQs off leaves them off for
    /// everybody: nothing is delivered any more, the timer neither, until somebody turns them on.
    ///
    /// It is there to show that failure, not to be used.
    Global,
}

impl Core {
    /// A task's turn begins: its flag is the processor's now. What the processor's was.
    pub(super) fn load_flag(&self, task: &Task) -> bool {
        match self.irq_policy {
            IrqPolicy::PerTask => {
                let irqs_on = task.irqs_on.get();
                if !irqs_on {
                    // Others had them on meanwhile, and ticks were taken.
                    self.jiffies_due.set(true);
                }
                self.irqs_on.replace(irqs_on)
            }
            IrqPolicy::Global => self.irqs_on.get(),
        }
    }

    /// A task's turn ends: its flag is put aside, and the processor's is again what it was.
    pub(super) fn store_flag(&self, task: &Task, outer: bool) {
        let irqs_off = &task.header.irqs_off;
        match self.irq_policy {
            IrqPolicy::PerTask => {
                let irqs_on = self.irqs_on.replace(outer);
                task.irqs_on.set(irqs_on);
                irqs_off.store(!irqs_on, Ordering::Relaxed);
            }
            IrqPolicy::Global => {
                let irqs_on = self.irqs_on.get();
                task.irqs_on.set(irqs_on);
                if irqs_on && !outer {
                    // Whoever had them off: that is over.
                    for task in self.shared.tasks().values() {
                        task.irqs_off.store(false, Ordering::Relaxed);
                    }
                } else if outer && !irqs_on {
                    // It was this one, and not those that merely ran meanwhile.
                    irqs_off.store(true, Ordering::Relaxed);
                }
                if !irqs_on {
                    // No tick is taken any more: jiffies stand still for all.
                    self.freshen_jiffies();
                }
            }
        }
    }
}
