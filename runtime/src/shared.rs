//! [`Shared`]: what host threads and the executor share of a kernel core.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cpu::Cpu;
use crate::executor::chaos::PLACES;
use crate::executor::doorbell::Doorbell;
use crate::executor::published::Published;
use crate::executor::task::TaskHeader;
use crate::irq::line::{IrqToken, LineTable};
use crate::kernel::KernelGone;
use crate::lock::LockReport;
use crate::softirq::VECTORS;
use crate::time::Clock;

/// One entry of the ready queue.
pub(crate) enum Work {
    /// A task that another thread has woken.
    Poll(Arc<TaskHeader>),
    Create(Box<NewTask>),
}

/// A task that another thread has asked for.
pub(crate) struct NewTask {
    pub(crate) create: Box<dyn FnOnce(&Cpu) + Send>,
    pub(crate) service: bool,
}

/// The ready queue, and whether it still takes anything. Away from what host threads look at to trigger.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Ready {
    pub(crate) queue: VecDeque<Work>,
    pub(crate) closed: bool,
}

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const GONE: u8 = 2;

/// Counters of the executor; each is written on its thread only. Away from what host threads look at to trigger.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) jiffies: AtomicU64,
    pub(crate) polls: AtomicU64,
    pub(crate) parks: AtomicU64,
    pub(crate) tasks_spawned: AtomicU64,
    pub(crate) tasks_finished: AtomicU64,
    pub(crate) tasks_cancelled: AtomicU64,
    pub(crate) tasks_panicked: AtomicU64,
    pub(crate) suspended_with_irqs_off: AtomicU64,
    pub(crate) suspended_with_lock: AtomicU64,
    pub(crate) handler_left_irqs_on: AtomicU64,
    pub(crate) softirqs: [AtomicU64; VECTORS],
    pub(crate) softirq_panics: AtomicU64,
    pub(crate) timer_panics: AtomicU64,
    pub(crate) chaos: [AtomicU64; PLACES],
}

/// Counts, where only one thread does.
pub(crate) fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// What host threads and the executor share. Holding it keeps no thread alive.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) clock: Clock,
    pub(crate) bell: Arc<Doorbell>,
    pub(crate) tokens: async_channel::Sender<IrqToken>,
    pub(crate) counters: Counters,
    pub(crate) published: Published,
    ready: Mutex<Ready>,
    /// Something is in `ready`'s queue; written under its lock, read without.
    pub(crate) ready_waits: AtomicBool,
    lines: Mutex<LineTable>,
    tasks: Mutex<BTreeMap<u64, Arc<TaskHeader>>>,
    lock_reports: Mutex<Vec<LockReport>>,
    next_task: AtomicU64,
    state: AtomicU8,
}

impl Shared {
    /// A kernel's shared part, and the receiving end of its token channel.
    pub(crate) fn new(name: String, clock: Clock) -> (Arc<Self>, async_channel::Receiver<IrqToken>) {
        let (tokens, receiver) = async_channel::unbounded();
        let shared = Arc::new(Self {
            name,
            clock,
            bell: Arc::new(Doorbell::new()),
            tokens,
            counters: Counters::default(),
            published: Published::default(),
            ready: Mutex::default(),
            ready_waits: AtomicBool::new(false),
            lines: Mutex::default(),
            tasks: Mutex::default(),
            lock_reports: Mutex::default(),
            next_task: AtomicU64::new(1),
            state: AtomicU8::new(RUNNING),
        });
        (shared, receiver)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) == RUNNING
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state.load(Ordering::Acquire) == GONE
    }

    /// Asks the executor to end. Does not wait.
    pub(crate) fn stop(&self) {
        let _ = self.state.compare_exchange(RUNNING, STOPPING, Ordering::AcqRel, Ordering::Acquire);
        self.bell.ring();
    }

    pub(crate) fn gone(&self) {
        self.state.store(GONE, Ordering::Release);
    }

    pub(crate) fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lines(&self) -> MutexGuard<'_, LineTable> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tasks(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<TaskHeader>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises the timer line.
    pub(crate) fn raise_timer(&self) -> Result<(), KernelGone> {
        let timer = self.lines().get(0).ok_or(KernelGone)?;
        timer.raise().map(drop)
    }

    pub(crate) fn lock_reports(&self) -> MutexGuard<'_, Vec<LockReport>> {
        self.lock_reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next_task(&self) -> u64 {
        self.next_task.fetch_add(1, Ordering::Relaxed)
    }

    /// Queues work for the executor, or gives it back after the end.
    pub(crate) fn enqueue(&self, work: Work) -> Result<(), Work> {
        {
            let mut ready = self.ready();
            if ready.closed {
                return Err(work);
            }
            ready.queue.push_back(work);
            self.ready_waits.store(true, Ordering::Release);
        }
        self.bell.ring();
        Ok(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}
