//! Tasks: what is known of one from any thread ([`TaskHeader`]), and the handle to await it ([`JoinHandle`]).

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures::channel::oneshot;

use super::queued::Queued;
use crate::executor;
use crate::shared::{Shared, Work};

/// The part of a task that any thread may touch; its wakers point here.
///
/// [`Queued`] is set by whoever puts the task on the ready queue and cleared by the executor right before the poll,
/// so a wake during the poll queues it again. `aborted` is only ever set.
pub(crate) struct TaskHeader {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// It serves the kernel for as long as that runs: its end by the shutdown leaves nothing undone.
    pub(crate) service: bool,
    pub(crate) queued: Queued,
    /// Its place in the executor's table, once it has one. The kernel's thread's.
    pub(super) slot: AtomicUsize,
    pub(crate) aborted: AtomicBool,
    pub(crate) polls: AtomicU64,
    /// Mirrors of the task's own state for reports.
    pub(crate) irqs_off: AtomicBool,
    shared: Weak<Shared>,
}

impl TaskHeader {
    pub(crate) fn new(shared: &Arc<Shared>, name: String, service: bool) -> Arc<Self> {
        Arc::new(Self {
            id: shared.next_task(),
            name,
            service,
            queued: Queued::new(),
            slot: AtomicUsize::new(usize::MAX),
            aborted: AtomicBool::new(false),
            polls: AtomicU64::new(0),
            irqs_off: AtomicBool::new(false),
            shared: Arc::downgrade(shared),
        })
    }

    /// Queues the task for a turn, from whatever thread, unless it is queued.
    fn schedule(self: &Arc<Self>) {
        // Most wake-ups are by the kernel's own thread, and find its queue without locks.
        if !executor::enqueue_if_current(self)
            && self.queued.ask()
            && let Some(shared) = self.shared.upgrade()
        {
            // After the end there is nothing left to wake.
            let _ = shared.enqueue(Work::Poll(self.clone()));
        }
    }

    /// Whether it is a task of this kernel.
    pub(crate) fn is_of(&self, kernel: &Arc<Shared>) -> bool {
        std::ptr::eq(self.shared.as_ptr(), Arc::as_ptr(kernel))
    }
}

impl Wake for TaskHeader {
    fn wake(self: Arc<Self>) {
        self.schedule();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.schedule();
    }
}

impl fmt::Debug for TaskHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHeader").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a task has no result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It panicked, with this message.
    #[error("task panicked: {0}")]
    Panicked(String),
    /// It was aborted through its handle.
    #[error("task was aborted")]
    Aborted,
    /// The kernel was shut down before it finished.
    #[error("the kernel core was shut down before the task finished")]
    KernelGone,
}

/// The text of a panic.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast_ref::<&'static str>() {
        Some(text) => (*text).to_owned(),
        None => match payload.downcast_ref::<String>() {
            Some(text) => text.clone(),
            None => "a panic without a message".to_owned(),
        },
    };
    // The payload is a value of the user's, whose drop may panic as well.
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(payload))).is_err() {
        return format!("{text} (and again when the payload was dropped)");
    }
    text
}

/// The executor's end of a task's result.
pub(crate) type Finish<T> = oneshot::Sender<Result<T, JoinError>>;

pub(crate) fn join<T>(header: &Arc<TaskHeader>) -> (Finish<T>, JoinHandle<T>) {
    let (finish, result) = oneshot::channel();
    (finish, JoinHandle { header: header.clone(), result })
}

/// Awaits a task of the kernel, from anywhere: it needs no particular runtime, and is `Send` if the result is.
///
/// Dropping it *detaches*: the task runs on. The result is lost with the handle; cancelling an await on `&mut
/// handle` loses nothing.
pub struct JoinHandle<T> {
    header: Arc<TaskHeader>,
    result: oneshot::Receiver<Result<T, JoinError>>,
}

impl<T> JoinHandle<T> {
    /// Cancels the task: its future is dropped on the kernel at the next turn instead of being polled again. If it
    /// has finished already, this does nothing.
    pub fn abort(&self) {
        self.header.aborted.store(true, Ordering::Release);
        self.header.schedule();
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker::from(self.header.clone())
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.header.name
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(cx).map(|result| {
            result.unwrap_or_else(|oneshot::Canceled| {
                let aborted = self.header.aborted.load(Ordering::Acquire);
                Err(if aborted { JoinError::Aborted } else { JoinError::KernelGone })
            })
        })
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("task", &self.header).finish_non_exhaustive()
    }
}
