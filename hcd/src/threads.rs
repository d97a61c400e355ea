//! [`Threads`]: the threads that a backend or a layer has started and waits for in its `reap`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Threads to be waited for once.
#[derive(Debug, Default)]
pub(crate) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    pub(crate) fn new(threads: impl IntoIterator<Item = JoinHandle<()>>) -> Self {
        Self(Mutex::new(threads.into_iter().collect()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, thread: JoinHandle<()>) {
        self.lock().push(thread);
    }

    /// Waits until they have ended. The one that calls is not waited for: what it does last may be to let go of the
    /// backend that it serves.
    pub(crate) fn join_blocking(&self) {
        let threads = core::mem::take(&mut *self.lock());
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic has been told where it happened.
            _ = thread.join();
        }
    }
}
