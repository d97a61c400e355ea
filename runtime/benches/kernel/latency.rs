//! From a host thread's trigger to the handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use airlift_runtime::{IrqAction, IrqLine, IrqReturn, Kernel};

use crate::pairs::{Goal, compare, median};
use crate::spin_for;

/// A word that one side sets to the time at which it was reached.
struct Stamp {
    origin: Instant,
    reached_ns: AtomicU64,
}

impl Stamp {
    fn new() -> Arc<Self> {
        Arc::new(Self { origin: Instant::now(), reached_ns: AtomicU64::new(0) })
    }

    fn set(&self) {
        self.reached_ns.store(self.origin.elapsed().as_nanos() as u64, Ordering::Release);
    }

    /// How long after `start` it was set.
    fn wait(&self, start: Duration) -> Duration {
        loop {
            let reached = self.reached_ns.swap(0, Ordering::AcqRel);
            if reached != 0 {
                return Duration::from_nanos(reached).saturating_sub(start);
            }
            std::hint::spin_loop();
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A kernel whose handler sets a stamp.
struct Ours {
    line: IrqLine,
    stamp: Arc<Stamp>,
    _kernel: Kernel,
}

impl Ours {
    fn new() -> Self {
        let kernel = Kernel::new().unwrap();
        let line = kernel.handle().irq_line("late").unwrap();
        let stamp = Stamp::new();
        let (reached, requested) = (stamp.clone(), line.clone());
        let task = kernel.handle().spawn("driver", move |cpu| async move {
            let action: IrqAction = cpu
                .request_irq(&requested, "late", move |_| {
                    reached.set();
                    IrqReturn::Handled
                })
                .unwrap();
            // Never dropped: the line is requested for as long as the kernel runs.
            std::mem::forget(action);
        });
        futures::executor::block_on(task.unwrap()).unwrap();
        Self { line, stamp, _kernel: kernel }
    }

    fn trigger(&self) -> Duration {
        let start = self.stamp.now();
        self.line.trigger().unwrap();
        self.stamp.wait(start)
    }
}

/// A bare thread that sets a stamp when a flag is set: parked, or spinning.
struct Floor {
    flag: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    stamp: Arc<Stamp>,
    thread: Option<thread::JoinHandle<()>>,
    parks: bool,
}

impl Floor {
    fn new(parks: bool) -> Self {
        let (flag, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let stamp = Stamp::new();
        let (seen, stopped, reached) = (flag.clone(), stop.clone(), stamp.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if seen.swap(false, Ordering::AcqRel) {
                    reached.set();
                } else if parks {
                    thread::park();
                } else {
                    std::hint::spin_loop();
                }
            }
        });
        Self { flag, stop, stamp, thread: Some(thread), parks }
    }

    fn trigger(&self) -> Duration {
        let start = self.stamp.now();
        self.flag.store(true, Ordering::Release);
        if self.parks {
            self.thread.as_ref().unwrap().thread().unpark();
        }
        self.stamp.wait(start)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().unwrap();
        thread.thread().unpark();
        thread.join().unwrap();
    }
}

pub(crate) fn parked() {
    let (ours, floor) = (Ours::new(), Floor::new(true));
    // Long enough that nobody spins any more.
    let rested = |trigger: &dyn Fn() -> Duration| {
        spin_for(Duration::from_micros(500));
        trigger()
    };
    compare(
        "host trigger -> handler, kernel parked",
        Goal::AtMost(1.25),
        600,
        1,
        || rested(&|| ours.trigger()),
        || rested(&|| floor.trigger()),
    );
}

pub(crate) fn spinning() {
    const EACH: u32 = 200;
    let ours = Ours::new();
    // The median, since a spinning thread that loses its processor for once is late by milliseconds.
    let batch = |trigger: &dyn Fn() -> Duration| {
        Duration::from_secs_f64(median((0..EACH).map(|_| trigger().as_secs_f64())))
    };
    compare(
        "host trigger -> handler, spinning",
        Goal::AtMost(2.5),
        60,
        1,
        || batch(&|| ours.trigger()),
        || {
            // Only while it is measured: a spinning thread takes a processor.
            let floor = Floor::new(false);
            floor.trigger();
            batch(&|| floor.trigger())
        },
    );
}
