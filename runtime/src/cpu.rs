//! [`Cpu`]: being on the kernel, as a type.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use crate::executor::task::{self, JoinHandle, TaskHeader};
use crate::executor::{Core, chaos::Place, core::ContextId};
use crate::kernel::KernelHandle;
use crate::softirq::{SoftIrq, Softirq, SoftirqAction, SoftirqBusy};
use crate::time::{Clock, JIFFY, Sleep, Timer, jiffies_at, jiffy_start};

pub(crate) mod sealed {
    use std::rc::Rc;

    use crate::executor::Core;

    /// Keeps [`Context`](super::Context) ours.
    pub trait Sealed {
        /// The core that this is the processor of.
        #[doc(hidden)]
        #[allow(private_interfaces)]
        fn core(&self) -> &Rc<Core>;
    }
}

/// Any context on the kernel's thread: a task's [`Cpu`], a handler's [`HardIrq`](crate::HardIrq), a softirq's
/// [`SoftIrq`]. Spinlocks take it. It cannot be implemented elsewhere.
pub trait Context: sealed::Sealed {}

/// The processor, for code that runs on the kernel: given to every task, and needed for all that only the kernel's
/// thread may do. It cannot leave that thread (it is `!Send`); handlers may keep a clone.
///
/// The IRQ flag that its methods read and set is that of the task being polled *now*, whichever clone is used: it
/// moves with the task, and a suspended task's flag affects nobody.
#[derive(Clone)]
pub struct Cpu {
    core: Rc<Core>,
}

impl sealed::Sealed for Cpu {
    #[allow(private_interfaces)]
    fn core(&self) -> &Rc<Core> {
        &self.core
    }
}
impl Context for Cpu {}

/// The IRQ flag as [`Cpu::local_irq_save`] found it.
#[derive(Clone, Copy, Debug)]
#[must_use = "local_irq_restore needs it"]
pub struct IrqFlags {
    pub(crate) irqs_on: bool,
    /// A flag means nothing on another thread.
    not_send: PhantomData<*const ()>,
}

impl Cpu {
    pub(crate) fn new(core: Rc<Core>) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// A handle to this kernel.
    pub fn kernel(&self) -> KernelHandle {
        KernelHandle { shared: self.core.shared.clone() }
    }

    // ---- tasks -----------------------------------------------------------------------------------------------

    /// Starts another task, which nothing needs to be `Send` for. It gets its first turn after those that are
    /// ready already. During a shutdown it is dropped unpolled, and its handle says so.
    pub fn spawn<F, Fut>(&self, name: impl Into<String>, start: F) -> JoinHandle<Fut::Output>
    where
        F: FnOnce(Cpu) -> Fut + 'static,
        Fut: Future + 'static,
    {
        self.spawn_task(name.into(), false, start)
    }

    /// As [`spawn`](Self::spawn), a task that serves others for as long as the kernel runs; see
    /// [`KernelHandle::spawn_service`].
    pub fn spawn_service<F, Fut>(&self, name: impl Into<String>, start: F) -> JoinHandle<Fut::Output>
    where
        F: FnOnce(Self) -> Fut + 'static,
        Fut: Future + 'static,
    {
        self.spawn_task(name.into(), true, start)
    }

    fn spawn_task<F, Fut>(&self, name: String, service: bool, start: F) -> JoinHandle<Fut::Output>
    where
        F: FnOnce(Self) -> Fut + 'static,
        Fut: Future + 'static,
    {
        let header = TaskHeader::new(&self.core.shared, name, service);
        let (finish, join) = task::join(&header);
        self.core.create_task(header, finish, start);
        join
    }

    /// The name of the task being polled now.
    pub fn task_name(&self) -> Option<String> {
        self.core.current_task().map(|task| task.name.clone())
    }

    /// Gives up the turn: all tasks that are ready now go first. Cancelling it does nothing else.
    #[track_caller]
    pub fn yield_now(&self) -> impl Future<Output = ()> + use<> {
        self.core.might_sleep_at(Location::caller());
        let mut yielded = false;
        std::future::poll_fn(move |cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Takes pending interrupts, and gives up the turn if another task is ready. For long work between awaits.
    /// Cancelling it does nothing else.
    #[track_caller]
    pub fn cond_resched(&self) -> impl Future<Output = ()> {
        let site = Location::caller();
        async move { self.resched(site).await }
    }

    async fn resched(&self, site: &'static Location<'static>) {
        self.core.might_sleep_at(site);
        self.core.deliver();
        self.core.preempt_check_resched();
        if self.core.need_resched.get() {
            self.yield_now().await;
        }
    }

    /// Whether the caller should give up its turn: an interrupt that would have preempted it, were that possible,
    /// has made another task ready. [`cond_resched`](Self::cond_resched) does it.
    pub fn need_resched(&self) -> bool {
        self.core.need_resched.get()
    }

    /// Runs `work` with preemption off (`preempt_disable`): no interrupt asks the caller to give up its turn.
    #[track_caller]
    pub fn with_preempt_off<R>(&self, work: impl FnOnce() -> R) -> R {
        struct Enable<'a>(&'a Rc<Core>);
        impl Drop for Enable<'_> {
            fn drop(&mut self) {
                self.0.preempt.set(self.0.preempt.get().saturating_sub(1));
                self.0.preempt_check_resched();
            }
        }
        self.core.preempt.set(self.core.preempt.get() + 1);
        self.core.preemption_went_off(Location::caller());
        let _enable = Enable(&self.core);
        work()
    }

    /// What stands in the way of preemption, in Linux's layout (`include/linux/preempt.h`): bits 0-7 spinlocks held
    /// and [`with_preempt_off`](Self::with_preempt_off), bits 8-15 softirqs (`0x100` runs, `0x200` for each
    /// [`with_softirqs_off`](Self::with_softirqs_off)), bits 16-19 a handler, bits 20-23 NMIs. 0: nothing.
    pub fn preempt_count(&self) -> u32 {
        self.core.preempt_count()
    }

    /// Whether the caller is a handler (`in_hardirq`).
    pub fn in_hardirq(&self) -> bool {
        self.core.in_hardirq.get()
    }

    /// Whether the caller is a handler, a softirq, a tasklet, a timer's callback or an NMI, or has softirqs off
    /// (`in_interrupt`).
    pub fn in_interrupt(&self) -> bool {
        self.core.in_interrupt()
    }

    /// Whether the caller is a task and nothing has broken into it (`in_task`).
    pub fn in_task(&self) -> bool {
        matches!(self.core.context_id(), ContextId::Task(_)) && self.core.nmis.get() == 0
    }

    // ---- interrupts ------------------------------------------------------------------------------------------

    /// Whether IRQs are on for the caller. Off in handlers.
    pub fn irqs_enabled(&self) -> bool {
        self.core.irqs_on.get()
    }

    /// Turns IRQs off and tells how they were. Nests.
    #[track_caller]
    pub fn local_irq_save(&self) -> IrqFlags {
        let irqs_on = self.irqs_off_here();
        self.core.chaos_point(Place::IrqsOff);
        IrqFlags { irqs_on, not_send: PhantomData }
    }

    /// Sets IRQs to what they were at the [`local_irq_save`](Self::local_irq_save) that gave `flags`. If that turns
    /// them on, pending interrupts are taken before it returns; if not, they are not on for an instant. In a handler
    /// nothing is taken.
    #[track_caller]
    pub fn local_irq_restore(&self, flags: IrqFlags) {
        if flags.irqs_on {
            self.local_irq_enable();
        } else {
            self.irqs_off_here();
        }
    }

    /// Turns IRQs off; whether they were on.
    #[track_caller]
    fn irqs_off_here(&self) -> bool {
        let irqs_on = self.core.irqs_on.replace(false);
        if irqs_on {
            // Nobody has looked at the clock for whoever asks now.
            self.core.jiffies_due.set(true);
            self.core.irqs_went_off(Location::caller());
        }
        irqs_on
    }

    /// Turns IRQs off, whatever they were.
    #[track_caller]
    pub fn local_irq_disable(&self) {
        self.irqs_off_here();
        self.core.chaos_point(Place::IrqsOff);
    }

    /// Turns IRQs on, whatever they were; pending interrupts are taken before it returns. In a handler nothing is
    /// taken, and the handler is reported when it returns so.
    #[track_caller]
    pub fn local_irq_enable(&self) {
        if !self.core.irqs_on.replace(true) {
            self.core.irqs_went_on(Location::caller());
            self.core.chaos_point(Place::IrqsOn);
            self.core.deliver();
        }
    }

    /// Runs `work` with IRQs off, and restores them after, should it panic too.
    #[track_caller]
    pub fn with_irqs_off<R>(&self, work: impl FnOnce() -> R) -> R {
        let _guard = self.irqs_off();
        work()
    }

    /// Turns IRQs off until the guard is dropped. Prefer [`with_irqs_off`](Self::with_irqs_off): a guard must not
    /// live across an await, which this form lets one write.
    #[track_caller]
    pub fn irqs_off(&self) -> IrqGuard {
        IrqGuard { flags: self.local_irq_save(), cpu: self.clone() }
    }

    /// For loops that wait for something without giving up the turn: with IRQs on, takes pending interrupts.
    ///
    /// Virtual time stands still while a task spins.
    pub fn cpu_relax(&self) {
        std::hint::spin_loop();
        self.core.chaos_point(Place::CpuRelax);
        self.core.deliver();
    }

    // ---- softirqs --------------------------------------------------------------------------------------------

    /// Gives a softirq vector its handler, until the returned action is dropped.
    ///
    /// # Errors
    ///
    /// [`SoftirqBusy`] if it has one, or belongs to the kernel.
    pub fn open_softirq(
        &self,
        vector: Softirq,
        handler: impl FnMut(&mut SoftIrq<'_>) + 'static,
    ) -> Result<SoftirqAction, SoftirqBusy> {
        self.core.open_softirq(vector, Box::new(handler))
    }

    /// Asks for a softirq. It runs at the end of the next interrupt, or in the kernel's task `ksoftirqd`.
    pub fn raise_softirq(&self, vector: Softirq) {
        self.core.raise_softirq(vector);
    }

    /// Runs `work` with softirqs put off (`local_bh_disable`).
    #[track_caller]
    pub fn with_softirqs_off<R>(&self, work: impl FnOnce() -> R) -> R {
        struct Enable<'a>(&'a Rc<Core>, &'static Location<'static>);
        impl Drop for Enable<'_> {
            fn drop(&mut self) {
                self.0.enable_softirqs(self.1);
            }
        }
        let site = Location::caller();
        self.core.softirq.disable();
        self.core.preemption_went_off(site);
        let _enable = Enable(&self.core, site);
        work()
    }

    /// Tells the lock validator that the caller may sleep (`might_sleep`): in atomic context that is reported, whether
    /// it then sleeps or not. All that sleeps here calls it; call it in code that sleeps sometimes.
    #[track_caller]
    pub fn might_sleep(&self) {
        self.core.might_sleep_at(Location::caller());
    }

    // ---- time ------------------------------------------------------------------------------------------------

    /// The kernel's clock.
    pub fn clock(&self) -> Clock {
        self.core.shared.clock.clone()
    }

    /// The time since the clock's origin.
    pub fn now(&self) -> Duration {
        self.core.shared.clock.now()
    }

    /// Jiffies since the clock's origin, [`HZ`](crate::HZ) a second. With IRQs off they stand still, from the first
    /// look on, which finds them right: the tick that would advance them cannot interrupt.
    pub fn jiffies(&self) -> u64 {
        if self.core.irqs_on.get() && !self.core.in_hardirq.get() {
            self.core.update_jiffies();
        } else {
            self.core.freshen_jiffies();
        }
        self.core.shared.counters.jiffies.load(Ordering::Relaxed)
    }

    /// Sleeps for at least `ms` milliseconds; with 0, gives up the turn once.
    #[track_caller]
    pub fn msleep(&self, ms: u64) -> Sleep {
        self.sleep(Duration::from_millis(ms))
    }

    /// Sleeps for at least `duration`, with the clock's resolution.
    #[track_caller]
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(self.core.clone(), self.now().saturating_add(duration))
    }

    /// Sleeps until the clock says `due`.
    #[track_caller]
    pub fn sleep_until(&self, due: Duration) -> Sleep {
        Sleep::new(self.core.clone(), due)
    }

    /// Sleeps for at least `timeout` whole jiffies, to the beginning of one. 0 at the beginning of one gives up the turn
    /// once. Linux's `MAX_SCHEDULE_TIMEOUT`, or any other beyond the [clock's range](Clock), never ends.
    #[track_caller]
    pub fn schedule_timeout(&self, timeout: u64) -> Sleep {
        let now = self.now();
        let begun = jiffies_at(now);
        let whole = if jiffy_start(begun) == now { begun } else { begun.saturating_add(1) };
        Sleep::new(self.core.clone(), jiffy_start(whole.saturating_add(timeout)))
    }

    /// Awaits `work` for at most `limit`. When the time is up, `work` is dropped. For a condition that is to be looked
    /// at once more then, see [`WaitQueue::wait_event_timeout`](crate::WaitQueue::wait_event_timeout).
    ///
    /// Cancelling it drops `work`, and does what cancelling `work` does.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time was up first. `work` that is ready at that very instant wins.
    #[track_caller]
    pub fn timeout<F: Future>(
        &self,
        limit: Duration,
        work: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> {
        let site = Location::caller();
        async move {
            let mut sleep = Sleep::at(self.core.clone(), self.now().saturating_add(limit), site);
            let mut work = std::pin::pin!(work);
            std::future::poll_fn(move |cx| {
                if let Poll::Ready(output) = work.as_mut().poll(cx) {
                    return Poll::Ready(Ok(output));
                }
                Pin::new(&mut sleep).poll(cx).map(|()| Err(Elapsed))
            })
            .await
        }
    }

    /// Makes a timer, not armed yet. Its callback runs in softirq context.
    #[track_caller]
    pub fn timer(&self, name: impl Into<String>, callback: impl FnMut(&mut SoftIrq<'_>) + 'static) -> Timer {
        Timer::new(&self.core, name.into(), Box::new(callback))
    }

    /// The length of a jiffy.
    pub const JIFFY: Duration = JIFFY;
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cpu")
            .field("kernel", &self.core.shared.name)
            .field("context", &self.core.context())
            .finish_non_exhaustive()
    }
}

/// The time given to [`Cpu::timeout`] was up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the time was up")]
pub struct Elapsed;

/// IRQs are off while this lives; made by [`Cpu::irqs_off`]. Must not live across an await.
///
/// It cannot leave the kernel's thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<airlift_runtime::IrqGuard>();
/// ```
#[must_use = "IRQs are restored as soon as this is dropped"]
pub struct IrqGuard {
    cpu: Cpu,
    flags: IrqFlags,
}

impl Drop for IrqGuard {
    fn drop(&mut self) {
        self.cpu.local_irq_restore(self.flags);
    }
}

impl fmt::Debug for IrqGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrqGuard").field("flags", &self.flags).finish_non_exhaustive()
    }
}
