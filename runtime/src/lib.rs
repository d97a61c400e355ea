//! Airlift's kernel core: tasks, interrupts, softirqs, timers and locks with Linux's meaning of those words, on one
//! thread of an ordinary application.
//!
//! A driver written for a kernel wants a processor that it can turn interrupts off on, handlers that break into what
//! runs, `msleep`, spinlocks. Here the processor is one OS thread with one executor; its tasks are futures, and all
//! other threads of the application are *devices*: they reach it only by raising interrupt lines.
//!
//! ```
//! use airlift_runtime::{Clock, Completion, IrqReturn, Kernel};
//! use std::rc::Rc;
//!
//! let kernel = Kernel::builder().clock(Clock::virtual_time()).build()?;
//! let line = kernel.handle().irq_line("uart")?;
//!
//! // A device: any thread that raises its line.
//! let raise = line.clone();
//! let device = std::thread::spawn(move || raise.trigger());
//!
//! // A driver: a task on the kernel. Nothing in it needs to be `Send`.
//! let driver = kernel.handle().spawn("uart driver", move |cpu| async move {
//!     let received = Rc::new(Completion::new());
//!     let complete = received.clone();
//!     let _irq = cpu.request_irq(&line, "uart", move |_irq| {
//!         complete.complete();
//!         IrqReturn::Handled
//!     })?;
//!     received.wait(&cpu).await;
//!     cpu.msleep(20).await;
//!     Ok::<_, airlift_runtime::IrqError>(cpu.now())
//! })?;
//!
//! // An application: awaits it on any runtime.
//! let up_at = futures::executor::block_on(driver)??;
//! assert_eq!(up_at.as_millis(), 20);
//! # device.join().unwrap()?;
//! kernel.shutdown_blocking();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The pieces
//!
//! | what | types |
//! |---|---|
//! | starting, reaching and ending a kernel | [`Kernel`], [`KernelHandle`], [`ShutdownReport`] |
//! | being on the kernel | [`Cpu`] in tasks, [`HardIrq`] in handlers, [`SoftIrq`] in softirqs and timers |
//! | tasks | [`Cpu::spawn`], [`KernelHandle::spawn`], [`KernelHandle::spawn_service`], [`JoinHandle`] |
//! | interrupts | [`IrqLine`], [`Cpu::request_irq`], [`Cpu::request_threaded_irq`], [`IrqEdges`], [`Cpu::local_irq_save`] |
//! | work put off | [`Softirq`], [`Tasklet`], [`Work`] on a [`Workqueue`] |
//! | looking in, whatever it does | [`KernelHandle::nmi`], [`CpuState`] |
//! | time | [`Clock`], [`Cpu::msleep`], [`Timer`], [`HostTimer`] for host threads |
//! | locks | [`SpinLock`], [`Mutex`], [`Completion`], [`WaitQueue`] |
//! | what is wrong | [`LockReport`]s of the lock validator, [`WatchdogReport`]s of a [`Watchdog`] |
//! | what happened | [`KernelStats`] |
//!
//! # When an interrupt is taken
//!
//! The flag of the task being polled *now* decides, and no other: a task that was suspended with IRQs off defers
//! nobody's interrupts (Linux forbids that, so it is reported). If the poll in progress has IRQs off, interrupts wait
//! for its outermost enable or its end, whichever is first. Otherwise they are taken at the next *delivery point*:
//! before every poll, in [`Cpu::cpu_relax`] and [`Cpu::cond_resched`], between softirqs, and at once when the kernel is
//! idle or the line is triggered by the kernel itself.
//!
//! # Threads, blocking, cancelling
//!
//! Nothing here blocks the calling thread except what is named so ([`Kernel::shutdown_blocking`],
//! [`HostTimer::wait_until`]). Futures for the host ([`JoinHandle`], [`IrqEdges`], [`Kernel::shutdown`],
//! [`Clock::run_until`]) are `Send` and need no runtime of any kind. Every future says what cancelling it does.
//!
//! A task's work must not block the kernel's thread: it would stop all tasks and all interrupts of its kernel.
//!
//! Being on the kernel cannot be carried off it:
//!
//! ```compile_fail,E0277
//! # let kernel = airlift_runtime::Kernel::new().unwrap();
//! kernel.handle().spawn("thief", |cpu| async move {
//!     std::thread::spawn(move || cpu.local_irq_disable()); // `Cpu` is not `Send`
//! });
//! ```
//!
//! and handlers cannot sleep:
//!
//! ```compile_fail,E0599
//! # use airlift_runtime::{Cpu, IrqLine, IrqReturn};
//! # fn request(cpu: &Cpu, line: &IrqLine) {
//! let action = cpu.request_irq(line, "sleepy", |irq| {
//!     let _ = irq.msleep(1); // no such method
//!     IrqReturn::Handled
//! });
//! # }
//! ```
//!
#![doc = include_str!("../FROM-LINUX.md")]
#![doc = include_str!("../BENCHMARKS.md")]
#![forbid(unsafe_code)]

mod callbacks;
mod cpu;
mod executor;
mod irq;
mod kernel;
mod lock;
mod shared;
mod softirq;
mod stats;
mod sync;
mod tasklet;
mod time;
mod watchdog;
mod workqueue;

pub use cpu::{Context, Cpu, Elapsed, IrqFlags, IrqGuard};
pub use executor::policy::IrqPolicy;
pub use executor::published::CpuContext;
pub use executor::task::{JoinError, JoinHandle};
pub use irq::{
    CpuState, HandlerPanic, HardIrq, IrqAction, IrqEdges, IrqError, IrqLine, IrqOptions, IrqReturn, Nmi,
};
pub use kernel::{Kernel, KernelBuilder, KernelError, KernelGone, KernelHandle, ShutdownReport};
pub use lock::{
    Completion, LOCK_VALIDATOR, LockEvent, LockProblem, LockReport, Mutex, MutexGuard, OnLockReport,
    SpinLock, SpinLockGuard, WaitQueue,
};
pub use softirq::{SoftIrq, Softirq, SoftirqAction, SoftirqBusy};
pub use stats::{ChaosStats, KernelStats, LineStats, TaskStats};
pub use tasklet::Tasklet;
pub use time::{
    Clock, HZ, Hold, HostTimer, JIFFY, Notifier, Sleep, Timer, Woken, jiffies_to_msecs, msecs_to_jiffies,
    time_after, time_before,
};
pub use watchdog::{Stall, Watchdog, WatchdogBuilder, WatchdogReport};
pub use workqueue::{Work, Workqueue};
