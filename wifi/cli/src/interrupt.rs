//! Ctrl-C and SIGTERM: the first one asks the program to end well, the second one ends it at once.
//!
//! The signals are awaited by a task on the runtime's worker, so that they are heard even while the main
//! thread is stuck in a write that nobody reads.

use std::future::poll_fn;
use std::pin::Pin;
use std::process;

use futures::channel::oneshot;

use crate::exit::{Exit, Failure};

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
            let _ = tell.send(());
            if signal().await.is_ok() {
                process::exit(Exit::Interrupted as i32);
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
