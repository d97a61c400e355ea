//! Airlift's kernel core: tasks, interrupts, softirqs, timers and locks with Linux's meaning of those words, on one
//! thread of an ordinary application.
#![forbid(unsafe_code)]

mod cpu;
mod executor;
mod irq;
mod kernel;
mod lock;
mod softirq;
mod stats;
mod sync;
mod time;

pub use cpu::{Context, Cpu, Elapsed, IrqFlags, IrqGuard};
pub use executor::task::{JoinError, JoinHandle};
pub use irq::{HandlerPanic, HardIrq, IrqAction, IrqEdges, IrqError, IrqLine, IrqReturn};
pub use kernel::{Kernel, KernelBuilder, KernelError, KernelGone, KernelHandle, ShutdownReport};
pub use lock::{Completion, Mutex, MutexGuard, SpinLock, SpinLockGuard, WaitQueue};
pub use softirq::{SoftIrq, Softirq, SoftirqAction, SoftirqBusy};
pub use stats::{KernelStats, LineStats, TaskStats};
pub use time::{Clock, HZ, Hold, HostTimer, JIFFY, Notifier, Sleep, Timer, Woken};
