//! Ctrl-C and SIGTERM: the first one asks the program to end well, the second one ends it at once.
//!
//! One that follows within a quarter of a second is the same one still: `timeout` sends its signal to its child and then
//! to the whole group, and what it ends was not asked twice.
//!
//! The signals are awaited by a task on the runtime's worker, so that they are heard even while the main
//! thread is stuck in a write that nobody reads.

use std::future::poll_fn;
use std::pin::Pin;
use std::process;
use std::time::{Duration, Instant};

use futures::channel::oneshot;

use crate::exit::{Exit, Failure};

/// How long signals that follow the first are taken for the same one.
const SAME: Duration = Duration::from_millis(250);

/// Whether a signal that comes at `now`, when the first came at `first`, asks for the end at once.
fn asks_again(first: Instant, now: Instant) -> bool {
    now.saturating_duration_since(first) >= SAME
}

/// Tells of the first interrupt.
#[derive(Debug)]
pub(crate) struct Interrupt(oneshot::Receiver<()>);

impl Interrupt {
    /// Begins to listen. Needs to be called on the runtime.
    pub(crate) fn listen() -> Self {
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            if signal().await.is_err() {
                // No signals can be awaited here: the system's own way with them stays.
                return std::future::pending().await;
            }
            let first = Instant::now();
            let _ = tell.send(());
            while signal().await.is_ok() {
                if asks_again(first, Instant::now()) {
                    process::exit(Exit::Interrupted as i32);
                }
            }
        });
        Self(told)
    }

    /// Waits for the interrupt; cheap to drop and to call again before it came.
    pub(crate) async fn come(&mut self) {
        if poll_fn(|cx| Pin::new(&mut self.0).poll(cx)).await.is_err() {
            std::future::pending().await
        }
    }

    /// Does what may block on a thread of its own, and lets the interrupt end the wait for it: opening a named pipe
    /// lasts until somebody has its other end.
    ///
    /// # Errors
    /// Those of `work`, and the interrupt.
    pub(crate) async fn unless<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let done = tokio::task::spawn_blocking(work);
        tokio::select! {
            done = done => done.unwrap_or_else(|error| Err(Failure::failed(error.to_string()))),
            () = self.come() => Err(Failure::new(Exit::Interrupted, "interrupted while a file was opened")),
        }
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_sent_twice_at_once_is_one() {
        let first = Instant::now();
        assert!(!asks_again(first, first));
        assert!(!asks_again(first, first + Duration::from_millis(100)));
        assert!(asks_again(first, first + Duration::from_millis(300)));
    }
}
