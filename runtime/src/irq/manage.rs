//! Requesting, disabling and freeing lines, and what the kernel remembers of a line in use ([`Desc`]).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::line::LineShared;
use super::thread::IrqThread;
use super::{HandlerPanic, HardIrq, IrqError, IrqLine, IrqReturn};
use crate::cpu::Cpu;
use crate::executor::Core;
use crate::lock::WaitQueue;
use crate::time::HZ;

/// Linux (`note_interrupt`): of this many interrupts …
const SPURIOUS_WINDOW: u32 = 100_000;
/// … more than this many that nobody cared for shut the line off.
const SPURIOUS_LIMIT: u32 = 99_900;

pub(super) type Handler = Box<dyn FnMut(&mut HardIrq<'_>) -> IrqReturn>;

/// How a line is requested (`IRQF_…`). The default: for oneself alone, enabled at once, not masked for a thread.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[must_use]
pub struct IrqOptions {
    shared: bool,
    oneshot: bool,
    no_autoen: bool,
}

impl IrqOptions {
    /// The default options.
    pub const fn new() -> Self {
        Self { shared: false, oneshot: false, no_autoen: false }
    }

    /// Others may request the line too, if they say the same; all handlers are called at each interrupt, and each
    /// tells whether its device was it. (`IRQF_SHARED`.)
    pub const fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// The line stays masked from the interrupt until the threaded handler is done. (`IRQF_ONESHOT`.)
    pub const fn oneshot(mut self) -> Self {
        self.oneshot = true;
        self
    }

    /// The line is requested disabled, for [`Cpu::enable_irq`] to enable. Not for shared lines, which others may
    /// count on. (`IRQF_NO_AUTOEN`.)
    pub const fn no_autoen(mut self) -> Self {
        self.no_autoen = true;
        self
    }
}

/// One requested handler.
pub(super) struct Action {
    pub(super) name: Rc<str>,
    pub(super) dev_id: u64,
    line: Arc<LineShared>,
    options: IrqOptions,
    /// `None` while it runs and after a panic.
    pub(super) handler: RefCell<Option<Handler>>,
    pub(super) thread: Option<Rc<IrqThread>>,
    pub(super) freed: Cell<bool>,
    pub(super) panic: RefCell<Option<HandlerPanic>>,
}

impl Action {
    pub(super) fn is_oneshot(&self) -> bool {
        self.options.oneshot
    }
}

/// A line in use (`struct irq_desc`), from its first request to the freeing of its last action.
pub(crate) struct Desc {
    pub(super) line: Arc<LineShared>,
    /// Replaced as a whole: a handler may free while they run, or request, though that is reported.
    actions: RefCell<Rc<[Rc<Action>]>>,
    /// Interrupts since the last look at how many were spurious.
    count: Cell<u32>,
    unhandled: Cell<u32>,
    last_unhandled: Cell<u64>,
    /// Threaded handlers that were woken and are not done.
    pub(super) threads_active: Cell<u32>,
    /// The tasks of all threads that have not ended, of freed actions too.
    pub(super) thread_tasks: RefCell<BTreeSet<u64>>,
    /// Interrupts that threads said to have handled.
    pub(super) threads_handled: Cell<u64>,
    /// What `threads_handled` was at the last interrupt that only woke threads, if the one before did too.
    threads_handled_last: Cell<Option<u64>>,
    /// `synchronize_irq` waits here.
    pub(super) threads_done: WaitQueue,
}

impl Desc {
    fn new(line: Arc<LineShared>) -> Rc<Self> {
        Rc::new(Self {
            line,
            actions: RefCell::new(Rc::new([])),
            count: Cell::new(0),
            unhandled: Cell::new(0),
            last_unhandled: Cell::new(0),
            threads_active: Cell::new(0),
            thread_tasks: RefCell::default(),
            threads_handled: Cell::new(0),
            threads_handled_last: Cell::new(None),
            threads_done: WaitQueue::new(),
        })
    }

    pub(super) fn actions(&self) -> Rc<[Rc<Action>]> {
        self.actions.borrow().clone()
    }
}

/// What the handlers of a line said.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Outcome {
    pub(super) handled: bool,
    pub(super) woken: bool,
}

/// The lines in use, by their number.
#[derive(Default)]
pub(super) struct Descs {
    /// Those below [`NEAR`](Self::NEAR), where an interrupt finds its line by index.
    near: Vec<Option<Rc<Desc>>>,
    far: BTreeMap<u32, Rc<Desc>>,
}

impl Descs {
    /// Lines are allocated from the lowest number up; who wants a greater one can wait for it.
    const NEAR: usize = 8192;

    fn get(&self, number: u32) -> Option<&Rc<Desc>> {
        match number as usize {
            near if near < Self::NEAR => self.near.get(near)?.as_ref(),
            _ => self.far.get(&number),
        }
    }

    fn insert(&mut self, number: u32, desc: Rc<Desc>) {
        match number as usize {
            near if near < Self::NEAR => {
                if self.near.len() <= near {
                    self.near.resize(near + 1, None);
                }
                self.near[near] = Some(desc);
            }
            _ => drop(self.far.insert(number, desc)),
        }
    }

    fn remove(&mut self, number: u32) {
        match number as usize {
            near if near < Self::NEAR => drop(self.near.get_mut(near).and_then(Option::take)),
            _ => drop(self.far.remove(&number)),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Rc<Desc>> {
        self.near.iter().flatten().chain(self.far.values())
    }
}

impl super::Irq {
    pub(super) fn desc(&self, number: u32) -> Option<Rc<Desc>> {
        self.descs.borrow().get(number).cloned()
    }

    /// Threaded handlers that were woken and are not done.
    pub(crate) fn threads_active(&self) -> usize {
        self.descs.borrow().iter().map(|desc| desc.threads_active.get() as usize).sum()
    }

    /// The name under which an action was requested that is not freed.
    pub(crate) fn name_of(&self, dev_id: u64) -> Option<Rc<str>> {
        let descs = self.descs.borrow();
        let mut actions = descs.iter().flat_map(|desc| desc.actions().iter().cloned().collect::<Vec<_>>());
        actions.find(|action| action.dev_id == dev_id).map(|action| action.name.clone())
    }

    /// Drops all handlers.
    pub(crate) fn clear(&self, core: &Core) {
        let descs = std::mem::take(&mut *self.descs.borrow_mut());
        for action in descs.iter().flat_map(|desc| desc.actions().iter().cloned().collect::<Vec<_>>()) {
            action.freed.set(true);
            let handler = action.handler.borrow_mut().take();
            core.contain("drop of an irq handler", || drop(handler));
        }
    }
}

impl Core {
    fn own_line(&self, line: &IrqLine) -> Result<(), IrqError> {
        let number = line.number();
        if !Arc::ptr_eq(&line.shared.kernel, &self.shared) {
            return Err(IrqError::ForeignLine { number });
        }
        if self.is_timer_line(&line.shared) {
            return Err(IrqError::Busy { number, owner: "timer".to_owned() });
        }
        Ok(())
    }

    /// `request_irq`, `request_threaded_irq`.
    fn request_irq(
        self: &Rc<Self>,
        line: &IrqLine,
        name: String,
        options: IrqOptions,
        handler: Handler,
        thread: Option<Rc<IrqThread>>,
    ) -> Result<IrqAction, IrqError> {
        self.own_line(line)?;
        let number = line.number();
        if options.shared && options.no_autoen {
            return Err(IrqError::SharedNotEnabled { number });
        }
        let desc = self.irq.desc(number).unwrap_or_else(|| Desc::new(line.shared.clone()));
        let others = desc.actions();
        if let Some(other) = others.first() {
            let agrees = other.options.shared && options.shared && other.options.oneshot == options.oneshot;
            if !agrees {
                return Err(IrqError::Busy { number, owner: other.name.to_string() });
            }
        }
        let action = Rc::new(Action {
            name: name.into(),
            dev_id: self.irq.next_dev_id(),
            line: line.shared.clone(),
            options,
            handler: RefCell::new(Some(handler)),
            thread,
            freed: Cell::new(false),
            panic: RefCell::default(),
        });
        *desc.actions.borrow_mut() = others.iter().cloned().chain([action.clone()]).collect();
        if others.is_empty() {
            // The first request of a line starts it, whatever became of it before.
            line.shared.shut_off.store(false, Ordering::Release);
            line.shared.depth.store(u32::from(options.no_autoen), Ordering::Release);
            line.shared.requested.store(true, Ordering::Release);
            self.irq.descs.borrow_mut().insert(number, desc.clone());
        } else if line.shared.shut_off.swap(false, Ordering::AcqRel) {
            // The new device may be the one that interrupts.
            less(&line.shared.depth);
        }
        if let Some(thread) = &action.thread {
            thread.clone().start(self, &desc, &action);
        }
        self.unmask(&line.shared);
        Ok(IrqAction { core: Rc::downgrade(self), desc, action })
    }

    /// Replays what was raised while nobody could take it.
    pub(super) fn unmask(self: &Rc<Self>, line: &Arc<LineShared>) {
        if !line.is_masked() && line.latch.is_pending() {
            line.recheck();
            self.deliver();
        }
    }

    fn free_irq(&self, desc: &Rc<Desc>, action: &Rc<Action>) {
        let left: Rc<[_]> =
            desc.actions().iter().filter(|other| !Rc::ptr_eq(other, action)).cloned().collect();
        let last = left.is_empty();
        *desc.actions.borrow_mut() = left;
        let mut descs = self.irq.descs.borrow_mut();
        let number = desc.line.number;
        if last && descs.get(number).is_some_and(|current| Rc::ptr_eq(current, desc)) {
            descs.remove(number);
            desc.line.requested.store(false, Ordering::Release);
        }
    }

    /// Linux's `note_interrupt`: counts what nobody cared for, and shuts off a line that is stuck.
    pub(super) fn note_interrupt(&self, line: &LineShared, desc: &Desc, outcome: Outcome) {
        let mut handled = outcome.handled;
        if outcome.woken && !handled {
            // Only the thread knows, and it has not run yet: ask it about the interrupt before.
            let now = desc.threads_handled.get();
            handled = desc.threads_handled_last.replace(Some(now)).is_none_or(|last| last != now);
        } else {
            desc.threads_handled_last.set(None);
        }
        if !handled {
            line.unhandled.fetch_add(1, Ordering::Relaxed);
            self.freshen_jiffies();
            let jiffies = self.shared.counters.jiffies.load(Ordering::Relaxed);
            // A stray one now and then is not a stuck line.
            let stray = jiffies > desc.last_unhandled.replace(jiffies) + HZ / 10;
            desc.unhandled.set(if stray { 1 } else { desc.unhandled.get() + 1 });
        }
        desc.count.set(desc.count.get() + 1);
        if desc.count.get() < SPURIOUS_WINDOW {
            return;
        }
        desc.count.set(0);
        if desc.unhandled.replace(0) > SPURIOUS_LIMIT {
            tracing::error!(line = line.number, name = %line.name, "nobody cared: the irq line is shut off");
            line.depth.fetch_add(1, Ordering::AcqRel);
            line.shut_off.store(true, Ordering::Release);
        }
    }

    pub(super) fn disable_line(&self, line: &IrqLine) -> Result<(), IrqError> {
        self.own_line(line)?;
        line.shared.depth.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    pub(super) fn enable_line(self: &Rc<Self>, line: &IrqLine) -> Result<(), IrqError> {
        self.own_line(line)?;
        if !less(&line.shared.depth) {
            tracing::warn!(line = line.number(), "unbalanced enable_irq");
            return Err(IrqError::NotDisabled { number: line.number() });
        }
        if line.shared.depth.load(Ordering::Acquire) == 0 {
            line.shared.shut_off.store(false, Ordering::Release);
            self.unmask(&line.shared);
        }
        Ok(())
    }
}

/// Takes one off a depth that only the kernel's thread changes. False: it was zero.
pub(super) fn less(depth: &AtomicU32) -> bool {
    let now = depth.load(Ordering::Acquire);
    depth.store(now.saturating_sub(1), Ordering::Release);
    now > 0
}

/// # Interrupt lines
impl Cpu {
    /// Requests a line: `handler` runs on every interrupt from now on, until the returned [`IrqAction`] is dropped.
    /// A line that was raised before interrupts at once.
    ///
    /// Not for atomic context: Linux's may sleep, so the lock validator reports it there. The line is requested all the
    /// same, unless [reports panic](crate::OnLockReport::Panic).
    ///
    /// # Errors
    ///
    /// [`IrqError::Busy`] if somebody has the line, [`IrqError::ForeignLine`] if it is another kernel's.
    #[track_caller]
    pub fn request_irq(
        &self,
        line: &IrqLine,
        name: impl Into<String>,
        handler: impl FnMut(&mut HardIrq<'_>) -> IrqReturn + 'static,
    ) -> Result<IrqAction, IrqError> {
        self.request_irq_with(line, name, IrqOptions::new(), handler)
    }

    /// [`request_irq`](Self::request_irq) with options.
    ///
    /// # Errors
    ///
    /// As `request_irq`, and [`IrqError::Busy`] too if somebody has the line with other options;
    /// [`IrqError::SharedNotEnabled`] for options that exclude each other.
    #[track_caller]
    pub fn request_irq_with(
        &self,
        line: &IrqLine,
        name: impl Into<String>,
        options: IrqOptions,
        handler: impl FnMut(&mut HardIrq<'_>) -> IrqReturn + 'static,
    ) -> Result<IrqAction, IrqError> {
        self.core().might_sleep_at(Location::caller());
        self.core().request_irq(line, name.into(), options, Box::new(handler), None)
    }

    /// Requests a line for a threaded handler: `handler` runs in the interrupt, and if it returns
    /// [`IrqReturn::WakeThread`], `thread` runs in a task of its own, which may sleep. With
    /// [`IrqOptions::oneshot`] the line is masked until that is done; without, `thread` runs once more if it was
    /// woken meanwhile. Not for atomic context, as `request_irq`.
    ///
    /// A line masked or disabled that is raised stays pending, and interrupts once when it is unmasked.
    ///
    /// # Errors
    ///
    /// As [`request_irq_with`](Self::request_irq_with).
    #[track_caller]
    pub fn request_threaded_irq<Fut>(
        &self,
        line: &IrqLine,
        name: impl Into<String>,
        options: IrqOptions,
        handler: impl FnMut(&mut HardIrq<'_>) -> IrqReturn + 'static,
        mut thread: impl FnMut(Self) -> Fut + 'static,
    ) -> Result<IrqAction, IrqError>
    where
        Fut: Future<Output = IrqReturn> + 'static,
    {
        self.core().might_sleep_at(Location::caller());
        let thread = IrqThread::new(Box::new(move |cpu| Box::pin(thread(cpu))));
        self.core().request_irq(line, name.into(), options, Box::new(handler), Some(thread))
    }

    /// Disables a line and waits until its handlers, threaded ones too, are done. Nests: as many
    /// [`enable_irq`](Self::enable_irq) enable it. What is raised meanwhile is pending and interrupts once then.
    ///
    /// The line is disabled from the first poll on. Cancelling it after that stops the waiting only: the line stays
    /// disabled, for one [`enable_irq`](Self::enable_irq) to undo.
    ///
    /// # Errors
    ///
    /// [`IrqError::ForeignLine`], and [`IrqError::Busy`] for the kernel's own timer.
    ///
    /// # Panics
    ///
    /// When awaited by a threaded handler of the line, which would wait for itself; the line is not disabled then. It
    /// may use [`disable_irq_nosync`](Self::disable_irq_nosync).
    #[track_caller]
    pub fn disable_irq(&self, line: &IrqLine) -> impl Future<Output = Result<(), IrqError>> {
        let site = Location::caller();
        async move {
            self.core().might_sleep_at(site);
            self.refuse_own_thread(line, "disable_irq");
            self.core().disable_line(line)?;
            self.threads_done(line, site).await;
            Ok(())
        }
    }

    /// [`disable_irq`](Self::disable_irq) without the waiting; a threaded handler may still run.
    ///
    /// # Errors
    ///
    /// As `disable_irq`.
    pub fn disable_irq_nosync(&self, line: &IrqLine) -> Result<(), IrqError> {
        self.core().disable_line(line)
    }

    /// Undoes one [`disable_irq`](Self::disable_irq). If it was the last, and the line was raised meanwhile, it
    /// interrupts, once.
    ///
    /// # Errors
    ///
    /// [`IrqError::NotDisabled`] if the line is enabled; otherwise as `disable_irq`.
    pub fn enable_irq(&self, line: &IrqLine) -> Result<(), IrqError> {
        self.core().enable_line(line)
    }

    /// Waits until no handler of the line runs, threaded ones too. (Others run to completion before any task does.)
    ///
    /// Cancelling it stops the waiting and does nothing else.
    ///
    /// # Panics
    ///
    /// When awaited by a threaded handler of the line, which would wait for itself.
    #[track_caller]
    pub fn synchronize_irq(&self, line: &IrqLine) -> impl Future<Output = ()> {
        let site = Location::caller();
        async move {
            self.core().might_sleep_at(site);
            self.refuse_own_thread(line, "synchronize_irq");
            self.threads_done(line, site).await;
        }
    }

    fn desc(&self, line: &IrqLine) -> Option<Rc<Desc>> {
        self.core().irq.desc(line.number()).filter(|desc| Arc::ptr_eq(&desc.line, &line.shared))
    }

    fn refuse_own_thread(&self, line: &IrqLine, what: &str) {
        let (Some(desc), Some(task)) = (self.desc(line), self.core().current_task()) else { return };
        let own = desc.thread_tasks.borrow().contains(&task.id);
        assert!(
            !own,
            "{what} of irq line {} by a threaded handler of its own: it would wait for itself",
            line.number()
        );
    }

    async fn threads_done(&self, line: &IrqLine, site: &'static Location<'static>) {
        if let Some(desc) = self.desc(line) {
            desc.threads_done.wait_event_at(self, site, || desc.threads_active.get() == 0).await;
        }
    }
}

/// A requested interrupt. Dropping it frees the line (`free_irq`): the handler is not called again. It may be dropped
/// within the handler itself. Nobody waits for a threaded handler that is at work: it goes on to the end of its run, and
/// is not called again. [`free`](Self::free) frees the line and waits for that end.
#[must_use = "the line is freed when this is dropped"]
pub struct IrqAction {
    core: Weak<Core>,
    desc: Rc<Desc>,
    action: Rc<Action>,
}

impl IrqAction {
    /// The line.
    pub fn line(&self) -> IrqLine {
        IrqLine { shared: self.action.line.clone() }
    }

    /// What tells this action from the others of a shared line; see [`HardIrq::dev_id`].
    pub fn dev_id(&self) -> u64 {
        self.action.dev_id
    }

    /// The handler's panic, the threaded one's too, if it ended that way. It is not called again then.
    pub fn panicked(&self) -> Option<HandlerPanic> {
        self.action.panic.borrow().clone()
    }

    /// Frees the line, waits until its threaded handler is done and gone, and drops the handlers (`free_irq`).
    ///
    /// The line is freed when this is called. Cancelling the future, polled or not, only stops the waiting: the threaded
    /// handler ends its run, and is dropped then.
    ///
    /// # Panics
    ///
    /// When awaited by the threaded handler itself, which would wait for itself.
    #[track_caller]
    pub fn free(self) -> impl Future<Output = ()> {
        let site = Location::caller();
        let thread = self.action.thread.clone();
        let core = self.core.clone();
        drop(self);
        async move {
            let Some(core) = core.upgrade() else { return };
            core.might_sleep_at(site);
            if let Some(thread) = thread {
                thread.ended(&core.cpu(), site).await;
            }
        }
    }
}

impl Drop for IrqAction {
    fn drop(&mut self) {
        self.action.freed.set(true);
        if let Some(core) = self.core.upgrade() {
            core.free_irq(&self.desc, &self.action);
        }
        if let Some(thread) = &self.action.thread {
            thread.stop();
        }
        // The handler is the user's: it goes when nothing of ours is borrowed.
        let handler = self.action.handler.borrow_mut().take();
        drop(handler);
    }
}

impl fmt::Debug for IrqAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrqAction")
            .field("line", &self.action.line.number)
            .field("name", &self.action.name)
            .finish_non_exhaustive()
    }
}
