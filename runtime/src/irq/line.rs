//! [`IrqLine`]: what a host thread holds to interrupt the kernel.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Sent by [`Latch::send_again`], which is to know when it has come.
    pub(crate) again: bool,
}

/// What all handles of one line share.
pub(crate) struct LineShared {
    pub(crate) latch: Latch,
    /// How often it is disabled more than enabled. This and the next three: written on the kernel's thread only.
    pub(crate) depth: AtomicU32,
    /// Threaded handlers that keep it masked.
    pub(crate) oneshot_threads: AtomicU32,
    /// The executor is to look at it when it has taken all tokens.
    pub(crate) due: AtomicBool,
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
    /// Counts an edge and, if the line was not pending, sends its token and wakes the executor. False: it coalesced.
    pub(crate) fn raise(self: &Arc<Self>) -> Result<bool, KernelGone> {
        if !self.kernel.is_running() {
            return Err(KernelGone);
        }
        // The channel is unbounded, so only a closed one refuses; the latch bounds what is in it.
        let kernel = &self.kernel;
        let sent = self.latch.signal(&kernel.bell, || kernel.tokens.try_send(self.token(false)));
        sent.map_err(|_| KernelGone)
    }

    /// Sends the token of a pending line once more, now that somebody listens to the line.
    pub(crate) fn recheck(&self) {
        self.latch.send_again(&self.kernel.bell, || self.kernel.tokens.try_send(self.token(true)));
    }

    fn token(&self, again: bool) -> IrqToken {
        IrqToken { number: self.number, again }
    }

    /// [`raise`](Self::raise) by someone who got no answer to the last one: should the queue be empty although
    /// the line is pending, its token was lost, and another takes its place.
    pub(crate) fn raise_again(self: &Arc<Self>) -> Result<(), KernelGone> {
        self.raise()?;
        if self.latch.is_pending() && self.kernel.tokens.is_empty() {
            let _ = self.kernel.tokens.try_send(self.token(false));
        }
        self.kernel.bell.ring();
        Ok(())
    }

    /// Whether its interrupt would be taken: somebody has requested or watches it, and it is not masked.
    pub(crate) fn is_heard(&self) -> bool {
        !self.is_masked() && self.is_wanted()
    }

    /// Whether somebody has requested or watches it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.requested.load(Ordering::Acquire) || self.watch.is_watched()
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
    /// From 1 up to this one, all numbers are taken but those that were [`freed`](Self::freed) since.
    all_taken_to: u32,
    freed: BTreeSet<u32>,
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
            None => self.lowest_free(),
        };
        self.freed.remove(&number);
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
            due: AtomicBool::new(false),
        });
        self.lines.insert(number, Arc::downgrade(&line));
        line
    }

    fn lowest_free(&mut self) -> u32 {
        if let Some(&freed) = self.freed.first() {
            return freed;
        }
        loop {
            self.all_taken_to += 1;
            if !self.lines.contains_key(&self.all_taken_to) {
                return self.all_taken_to;
            }
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<Arc<LineShared>> {
        self.lines.get(&number).and_then(Weak::upgrade)
    }

    /// A line's last handle is gone. (Another one may have taken the number in the meantime.)
    fn forget(&mut self, number: u32) {
        if self.lines.get(&number).is_some_and(|line| line.strong_count() == 0) {
            self.lines.remove(&number);
            if number > 0 && number <= self.all_taken_to {
                self.freed.insert(number);
            }
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
        let sent = self.shared.raise()?;
        if let Some(core) = executor::current_core(&self.shared.kernel) {
            if !sent {
                core.look_at(&self.shared);
            }
            core.deliver();
        }
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
    use std::cell::Cell;
    use std::future::Future;
    use std::rc::Rc;

    use futures::executor::block_on;

    use super::*;
    use crate::time::Clock;
    use crate::{Cpu, HardIrq, IrqAction, IrqReturn, Kernel};

    /// Runs `test` on a kernel, with a line that has a counting handler.
    fn on_kernel<Fut>(test: impl FnOnce(Cpu, IrqLine, Rc<Cell<u32>>) -> Fut + Send + 'static) -> Fut::Output
    where
        Fut: Future<Output: Send + 'static> + 'static,
    {
        let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
        let line = kernel.handle().irq_line("test").unwrap();
        let task = kernel.handle().spawn("test", move |cpu| async move {
            let runs = Rc::new(Cell::new(0));
            let _irq = counting(&cpu, &line, &runs, |_| {});
            test(cpu, line, runs).await
        });
        block_on(task.unwrap()).unwrap()
    }

    fn counting(
        cpu: &Cpu,
        line: &IrqLine,
        runs: &Rc<Cell<u32>>,
        mut then: impl FnMut(&mut HardIrq<'_>) + 'static,
    ) -> IrqAction {
        let count = runs.clone();
        let action = cpu.request_irq(line, "test", move |irq| {
            count.set(count.get() + 1);
            then(irq);
            IrqReturn::Handled
        });
        action.unwrap()
    }

    /// Does `meanwhile` when a host thread has set the line pending and has not sent its token yet.
    fn with_token_held<R>(line: &IrqLine, meanwhile: impl FnOnce() -> R) -> R {
        let (line, mut result) = (&line.shared, None);
        let sent = line.latch.signal(&line.kernel.bell, || {
            result = Some(meanwhile());
            line.kernel.tokens.try_send(line.token(false))
        });
        sent.unwrap();
        result.expect("the line was not pending")
    }

    #[test]
    fn r3_a_kernel_caller_with_irqs_on_relies_on_no_token_that_a_host_has_yet_to_send() {
        on_kernel(|cpu, line, runs| async move {
            let at_trigger = with_token_held(&line, || {
                line.trigger().unwrap();
                runs.get()
            });
            assert_eq!(at_trigger, 1);
            // The host's token finds nothing new.
            cpu.cpu_relax();
            let counts = line.shared.latch.counts();
            assert_eq!((runs.get(), counts.raised, counts.delivered, counts.coalesced), (1, 2, 1, 1));
            assert!(cpu.core().tokens.is_empty());
        });
    }

    #[test]
    fn r3_a_kernel_caller_with_irqs_off_relies_on_no_token_that_a_host_has_yet_to_send() {
        on_kernel(|cpu, line, runs| async move {
            let seen = with_token_held(&line, || {
                let at_inner = cpu.with_irqs_off(|| {
                    cpu.with_irqs_off(|| line.trigger().unwrap());
                    runs.get()
                });
                (at_inner, runs.get())
            });
            assert_eq!(seen, (0, 1), "not within, and at the outermost restore");
            cpu.cpu_relax();
            assert_eq!((runs.get(), line.shared.latch.raised(), line.is_pending()), (1, 2, false));
        });
    }

    #[test]
    fn r3_a_handler_that_triggers_its_own_line_has_one_rerun_though_a_hosts_token_is_not_sent() {
        on_kernel(|cpu, first, runs| async move {
            let line = cpu.kernel().irq_line("own").unwrap();
            let (again, total) = (line.clone(), Rc::new(Cell::new(0)));
            let is_first = Rc::new(Cell::new(true));
            let _irq = counting(&cpu, &line, &total, move |_| {
                if is_first.replace(false) {
                    // The token of the one who was first comes after all.
                    with_token_held(&again, || (0..100).for_each(|_| again.trigger().unwrap()));
                    first.trigger().unwrap();
                }
            });
            line.trigger().unwrap();
            assert_eq!((total.get(), runs.get()), (2, 1));
            assert_eq!((line.shared.latch.raised(), line.shared.latch.delivered()), (102, 2));
        });
    }

    #[test]
    fn r2_a_line_raised_disabled_and_enabled_with_irqs_off_holds_two_tokens_however_often() {
        on_kernel(|cpu, line, runs| async move {
            cpu.with_irqs_off(|| {
                let tokens = with_token_held(&line, || {
                    for _ in 0..10_000 {
                        line.trigger().unwrap();
                        cpu.disable_irq_nosync(&line).unwrap();
                        line.trigger().unwrap();
                        cpu.enable_irq(&line).unwrap();
                    }
                    cpu.core().tokens.len()
                });
                assert_eq!(tokens, 1);
                assert_eq!(cpu.core().tokens.len(), 2, "its own and the host's");
            });
            assert_eq!((runs.get(), line.shared.latch.raised()), (1, 20_001));
            // Nothing is lost by it: the next ones are taken each.
            for raised in 2..10 {
                line.trigger().unwrap();
                assert_eq!(runs.get(), raised);
            }
        });
    }

    #[test]
    fn r2_streams_of_a_line_that_nobody_takes_hold_one_token_however_many_are_made() {
        on_kernel(|cpu, _, _| async move {
            let line = cpu.kernel().irq_line("watched").unwrap();
            line.trigger().unwrap();
            assert!(line.is_pending(), "nobody hears it");
            let host = line.clone();
            cpu.with_irqs_off(|| {
                // Of a host thread, which cannot deliver.
                std::thread::spawn(move || (0..1_000).for_each(|_| drop(host.edges()))).join().unwrap();
                assert_eq!(cpu.core().tokens.len(), 1);
            });
            assert!(line.is_pending(), "they are gone");
            let _edges = line.edges();
            assert!(!line.is_pending());
        });
    }

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

    #[test]
    fn r2_lines_have_the_lowest_free_number_and_finding_it_takes_a_step_each() {
        const MANY: u32 = 5_000;
        let (shared, _tokens) = Shared::new("test".to_owned(), Clock::virtual_time());
        let line = |number| shared.lines().get_or_add(&shared, number, "test");
        let timer = line(Some(0));
        // Some are taken by number, before the others come there.
        let by_number = [3, 7, MANY].map(|number| line(Some(number)));
        let mut lines: Vec<_> = (1..=MANY - 3).map(|_| line(None)).collect();
        let mut numbers: Vec<u32> = lines.iter().chain(&by_number).map(|line| line.number).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=MANY));
        // It goes up by one for each number that it looks at.
        assert!(shared.lines().all_taken_to <= MANY);
        // What is freed is taken again, lowest first, by number too.
        lines.retain(|line| ![2, 9, 100].contains(&line.number));
        lines.push(line(Some(9)));
        assert_eq!([line(None), line(None), line(None)].map(|line| line.number), [2, 100, MANY + 1]);
        assert_eq!(shared.lines().all_taken_to, MANY + 1);
        drop((timer, by_number));
    }
}
