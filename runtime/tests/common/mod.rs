//! What the tests of the kernel core share.
#![allow(dead_code)]

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use airlift_runtime::{Clock, Cpu, Kernel};
use futures::executor::block_on;

/// Ends a test that would hang. No test passes or fails by it otherwise.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// A kernel on a virtual clock of its own.
pub(crate) fn kernel() -> Kernel {
    Kernel::builder().clock(Clock::virtual_time()).build().unwrap()
}

/// Runs one task on a fresh kernel in virtual time and returns what it returns.
pub(crate) fn on_kernel<F, Fut>(start: F) -> Fut::Output
where
    F: FnOnce(Cpu) -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    let kernel = kernel();
    let task = kernel.handle().spawn("test", start).unwrap();
    block_on(task).unwrap()
}

/// Receives, or fails the test instead of hanging it.
pub(crate) fn receive<T>(from: &mpsc::Receiver<T>) -> T {
    from.recv_timeout(HANG).expect("what the test waits for never came")
}

/// A log that tasks, handlers and timers of one kernel write.
#[derive(Clone, Debug)]
pub(crate) struct Log<T>(Rc<RefCell<Vec<T>>>);

impl<T> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Rc::default())
    }

    pub(crate) fn push(&self, entry: T) {
        self.0.borrow_mut().push(entry);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

/// Says so when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
