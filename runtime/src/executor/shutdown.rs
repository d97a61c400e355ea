//! The end of a kernel: what is raised already is delivered, all else is dropped and counted.

use std::rc::Rc;
use std::sync::Arc;

use super::{Core, Turn};
use crate::irq::line::LineShared;
use crate::kernel::ShutdownReport;
use crate::shared::{NewTask, Work};

/// Delivers what is raised, cancels the tasks, oldest first, services last, and counts what was left.
pub(super) fn shut_down(core: &Rc<Core>) -> ShutdownReport {
    core.deliver();
    core.run_softirqs();

    let mut report = ShutdownReport::default();
    // Before anything is dropped, which disarms, frees and cancels what it owns.
    let armed = core.timers.armed();
    report.timers_dropped = armed.timers;
    report.works_dropped = armed.works + core.workqueues.unfinished();
    let threads = core.irq.threads_active();
    let wanted = wanted_lines(core);
    core.closed.set(true);
    let queue = {
        let mut ready = core.shared.ready();
        ready.closed = true;
        std::mem::take(&mut ready.queue)
    };
    let batch = std::mem::take(&mut *core.batch.borrow_mut());
    for turn in batch.into_iter().chain(queue.into_iter().map(Turn::Other)) {
        if let Turn::Other(Work::Create(new)) = turn {
            let NewTask { create, service } = *new;
            report.spawns_dropped += usize::from(!service);
            // The closure is the user's; so is what its drop does.
            core.contain("drop of a task that was not created", || drop(create));
        }
    }
    report.tasks_dropped = core.cancel_all();
    report.spawns_dropped += core.spawns_refused.get();
    core.timers.clear();
    drop(core.system_workqueue.take());
    core.irq.clear(core);
    core.softirq.clear();
    core.drop_callbacks();
    // From here on raising a line fails.
    core.tokens.close();
    report.irqs_dropped = threads + wanted.iter().filter(|line| line.latch.is_pending()).count();
    core.detach_clock();
    core.shared.gone();
    let lines = core.shared.lines().live();
    for line in lines {
        line.watch.wake();
    }
    report
}

/// Lines whose interrupt a handler or a stream would have, now or when they are unmasked. Not the timer's, which the
/// kernel raises for itself.
fn wanted_lines(core: &Core) -> Vec<Arc<LineShared>> {
    let mut lines = core.shared.lines().live();
    lines.retain(|line| line.is_wanted() && !core.is_timer_line(line));
    lines
}
