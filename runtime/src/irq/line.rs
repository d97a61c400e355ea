//! [`IrqLine`]: what a host thread holds to interrupt the kernel.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::edges::{IrqEdges, Watch};
use super::latch::Latch;
use crate::executor;
use crate::kernel::KernelGone;
use crate::shared::Shared;

/// The message on the IRQ channel: the line of this number is pending.
///
/// A number, since a count of references would be one more cache line that the two processors pass to and fro. Should
/// all who could hear the line be gone when its token is taken, there is nothing to interrupt; should another line have
/// the number by then, it is not pending, or has a token of its own.
#[derive(Debug)]
pub(crate) struct IrqToken {
    pub(crate) number: u32,
}

/// What all handles of one line share.
pub(crate) struct LineShared {
    pub(crate) latch: Latch,
    /// How often it is disabled more than enabled. This and the next two: written on the kernel's thread only.
    pub(crate) depth: AtomicU32,
    /// Threaded handlers that keep it masked.
    pub(crate) oneshot_threads: AtomicU32,
    /// Disabled by the kernel, since nobody cared for its interrupts.
    pub(crate) shut_off: AtomicBool,
    /// Somebody has requested it.
    pub(crate) requested: AtomicBool,
    /// Deliveries that no handler claimed and no stream saw.
    pub(crate) unhandled: AtomicU64,
    /// Handlers of this line that panicked.
    pub(crate) panics: AtomicU64,
    pub(crate) watch: Watch,
    pub(crate) kernel: Arc<Shared>,
    pub(crate) number: u32,
    pub(crate) name: String,
}

impl LineShared {
    /// Counts an edge and, if the line was not pending, sends its token and wakes the executor.
    pub(crate) fn raise(self: &Arc<Self>) -> Result<(), KernelGone> {
        if !self.kernel.is_running() {
            return Err(KernelGone);
        }
        // The channel is unbounded, so only a closed one refuses; the latch bounds what is in it.
        let kernel = &self.kernel;
        let sent =
            self.latch.signal(&kernel.bell, || kernel.tokens.try_send(IrqToken { number: self.number }));
        sent.map_err(|_| KernelGone)
    }

    /// [`raise`](Self::raise) by someone who got no answer to the last one: should the queue be empty although
    /// the line is pending, its token was lost, and another takes its place.
    pub(crate) fn raise_again(self: &Arc<Self>) -> Result<(), KernelGone> {
        self.raise()?;
        if self.latch.is_pending() && self.kernel.tokens.is_empty() {
            let _ = self.kernel.tokens.try_send(IrqToken { number: self.number });
        }
        self.kernel.bell.ring();
        Ok(())
    }

    /// Whether its interrupt would be taken: somebody has requested or watches it, and it is not masked.
    pub(crate) fn is_heard(&self) -> bool {
        !self.is_masked() && (self.requested.load(Ordering::Acquire) || self.watch.is_watched())
    }

    /// Whether interrupts of it are to stay pending: it is disabled, or a thread has it masked.
    pub(crate) fn is_masked(&self) -> bool {
        self.depth.load(Ordering::Acquire) > 0 || self.oneshot_threads.load(Ordering::Acquire) > 0
    }
}

impl fmt::Debug for LineShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineShared")
            .field("number", &self.number)
            .field("name", &self.name)
            .field("latch", &self.latch)
            .finish_non_exhaustive()
    }
}

impl Drop for LineShared {
    fn drop(&mut self) {
        self.kernel.lines().forget(self.number);
    }
}

/// All lines of a kernel, by number.
#[derive(Debug, Default)]
pub(crate) struct LineTable {
    lines: BTreeMap<u32, Weak<LineShared>>,
}

impl LineTable {
    /// The line with this number, or with `None` a new one with the lowest free number; 0 is the timer's.
    pub(crate) fn get_or_add(
        &mut self,
        kernel: &Arc<Shared>,
        number: Option<u32>,
        name: &str,
    ) -> Arc<LineShared> {
        let number = match number {
            Some(number) => {
                if let Some(line) = self.lines.get(&number).and_then(Weak::upgrade) {
                    return line;
                }
                number
            }
            None => {
                let mut free = 1;
                for &taken in self.lines.keys() {
                    if taken == free {
                        free += 1;
                    }
                }
                free
            }
        };
        let line = Arc::new(LineShared {
            number,
            name: name.to_owned(),
            kernel: kernel.clone(),
            latch: Latch::new(),
            watch: Watch::new(),
            unhandled: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            requested: AtomicBool::new(false),
            depth: AtomicU32::new(0),
            oneshot_threads: AtomicU32::new(0),
            shut_off: AtomicBool::new(false),
        });
        self.lines.insert(number, Arc::downgrade(&line));
        line
    }

    pub(crate) fn get(&self, number: u32) -> Option<Arc<LineShared>> {
        self.lines.get(&number).and_then(Weak::upgrade)
    }

    /// A line's last handle is gone. (Another one may have taken the number in the meantime.)
    fn forget(&mut self, number: u32) {
        if self.lines.get(&number).is_some_and(|line| line.strong_count() == 0) {
            self.lines.remove(&number);
        }
    }

    pub(crate) fn live(&self) -> Vec<Arc<LineShared>> {
        self.lines.values().filter_map(Weak::upgrade).collect()
    }
}

/// An interrupt line of a kernel, for whoever raises it: a host thread that serves USB transfers, a timer, a test.
///
/// Clones are the same line. The line's number is free again when all clones, streams and handlers are gone.
#[derive(Clone)]
pub struct IrqLine {
    pub(crate) shared: Arc<LineShared>,
}

impl IrqLine {
    /// The line's number, unique within its kernel.
    pub fn number(&self) -> u32 {
        self.shared.number
    }

    /// The name that it was made with.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Raises the line: its handlers run on the kernel's thread. From any thread; never blocks; never fails while
    /// the kernel runs. A line that is pending already *coalesces*: the edge is counted, the handler runs once.
    ///
    /// Called on the kernel's own thread with IRQs on, the handlers have run when it returns; with IRQs off, they
    /// run at the outermost restore. Called in a handler, another line's handlers run after the current one,
    /// and the current line's run exactly once more.
    ///
    /// A line that nobody requested and nobody [watches](Self::edges) stays pending until somebody does.
    ///
    /// # Errors
    ///
    /// [`KernelGone`] after the kernel's shutdown has begun.
    pub fn trigger(&self) -> Result<(), KernelGone> {
        self.shared.raise()?;
        executor::deliver_if_current(&self.shared.kernel);
        Ok(())
    }

    /// The line's edges from now on, as a stream of counts: each item is the number of edges raised since the last
    /// item, coalesced ones too. Independent of handlers, from any thread. It ends with the kernel.
    pub fn edges(&self) -> IrqEdges {
        IrqEdges::new(self.shared.clone())
    }

    /// Whether it is disabled ([`Cpu::disable_irq`](crate::Cpu::disable_irq)), by the kernel too if nobody cared
    /// for its interrupts.
    pub fn is_disabled(&self) -> bool {
        self.shared.depth.load(Ordering::Acquire) > 0
    }

    /// Whether the line was raised and its handlers have not been started since.
    pub fn is_pending(&self) -> bool {
        self.shared.latch.is_pending()
    }
}

impl fmt::Debug for IrqLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrqLine")
            .field("number", &self.number())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use super::*;
    use crate::time::Clock;

    #[test]
    fn r2_a_trigger_that_the_end_overtakes_fails_and_is_not_counted() {
        let (shared, tokens) = Shared::new("test".to_owned(), Clock::virtual_time());
        let line = shared.lines().get_or_add(&shared, None, "late");
        let line = IrqLine { shared: line };
        line.trigger().unwrap();
        // The kernel ran when the caller looked, and has closed the channel before its token was there.
        let token = tokens.try_recv().unwrap();
        assert_eq!((token.number, line.shared.latch.take()), (line.number(), Some(1)));
        tokens.close();
        assert!(shared.is_running());
        assert_eq!(line.trigger(), Err(KernelGone));
        assert_eq!((line.shared.latch.raised(), line.is_pending()), (1, false));
    }
}
