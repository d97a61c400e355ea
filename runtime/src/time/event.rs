//! [`ClockEvent`]: the device that raises the timer line on the system clock.
//!
//! One host thread a kernel waits for the instant that the kernel programmed and triggers line 0. It re-arms by
//! itself: until the kernel has answered by programming another instant, it triggers again every jiffy, and sends
//! a fresh token should the queue have lost the last one. No single lost token can stop the kernel's time.
//!
//! On the virtual clock there is no such thread: the executor's own idle step raises the line.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::clock::Clock;
use super::host::{Notifier, Woken};
use super::{HostTimer, JIFFY};
use crate::irq::line::LineShared;

const NEVER: u64 = u64::MAX;

/// The kernel's side of the timer thread.
#[derive(Debug)]
pub(crate) struct ClockEvent {
    register: Arc<Register>,
    notifier: Notifier,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the two sides share: the compare register, and a word to stop.
#[derive(Debug)]
struct Register {
    due_ns: AtomicU64,
    stop: AtomicBool,
}

impl ClockEvent {
    /// Starts the thread that triggers `line`.
    pub(crate) fn start(clock: &Clock, name: String, line: Arc<LineShared>) -> io::Result<Self> {
        let timer = clock.host_timer(name.clone()).without_spin();
        let notifier = timer.notifier();
        let register = Arc::new(Register { due_ns: AtomicU64::new(NEVER), stop: AtomicBool::new(false) });
        let shared = register.clone();
        let thread = thread::Builder::new().name(name).spawn(move || run(timer, &shared, &line))?;
        Ok(Self { register, notifier, thread: Some(thread) })
    }

    /// Programs the next interrupt; `None`: none is wanted. One more may come all the same.
    pub(crate) fn program(&self, due: Option<Duration>) {
        let due_ns = due.map_or(NEVER, |due| u64::try_from(due.as_nanos()).unwrap_or(NEVER));
        let before = self.register.due_ns.swap(due_ns, Ordering::AcqRel);
        if due_ns < before || (due_ns != NEVER && due_ns != before) {
            self.notifier.notify();
        }
    }
}

impl Drop for ClockEvent {
    /// Ends the thread. It waits on nothing but its bell, so this takes microseconds.
    fn drop(&mut self) {
        self.register.stop.store(true, Ordering::Release);
        self.notifier.notify();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut timer: HostTimer, register: &Register, line: &Arc<LineShared>) {
    // The instant that was answered by an interrupt, and when to send another if the kernel stays silent.
    let mut fired: Option<(u64, Duration)> = None;
    while !register.stop.load(Ordering::Acquire) {
        let due_ns = register.due_ns.load(Ordering::Acquire);
        let wake_at = match fired {
            Some((answered, again)) if answered == due_ns => Some(again),
            _ => {
                fired = None;
                (due_ns != NEVER).then(|| Duration::from_nanos(due_ns))
            }
        };
        if timer.wait_until(wake_at) == Woken::Due && register.due_ns.load(Ordering::Acquire) == due_ns {
            let sent = if fired.is_some() { line.raise_again() } else { line.raise().map(drop) };
            if sent.is_err() {
                return;
            }
            fired = Some((due_ns, timer.now() + JIFFY));
        }
    }
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::kernel::Kernel;
    use crate::shared::Shared;

    #[test]
    fn r9_no_single_lost_token_stops_the_kernels_time() {
        let clock = Clock::system();
        // A kernel without an executor: the test takes the tokens.
        let (shared, tokens) = Shared::new("test".to_owned(), clock.clone());
        let line = shared.lines().get_or_add(&shared, Some(0), "timer");
        let event = ClockEvent::start(&clock, "test/timer".to_owned(), line.clone()).unwrap();
        event.program(Some(clock.now()));
        const LOST: u64 = 3;
        for _ in 0..LOST {
            // Lost: taken off the channel, and nobody hears of it.
            let lost = block_on(tokens.recv()).unwrap();
            assert_eq!(lost.number, line.number);
            assert!(line.latch.is_pending());
        }
        let token = block_on(tokens.recv()).unwrap();
        assert_eq!(token.number, line.number);
        assert!(line.latch.take().is_some());
        // One answer, and an edge for each token at least: while the kernel stays silent, there is one every jiffy.
        assert_eq!(line.latch.delivered(), 1);
        assert!(line.latch.raised() > LOST);
        // The answer ends the repetition, and a later instant begins another.
        event.program(Some(clock.now() + JIFFY));
        loop {
            assert_eq!(block_on(tokens.recv()).unwrap().number, line.number);
            if line.latch.take().is_some() {
                break;
            }
        }
    }

    #[test]
    fn r9_the_timer_interrupts_at_the_programmed_instant_and_every_jiffy_until_it_is_answered() {
        const US: Duration = Duration::from_micros(1);
        // Virtual time, in which the thread's every wait is seen; a kernel moves it.
        let clock = Clock::virtual_time();
        let mut hold = clock.hold();
        let mover = Kernel::builder().clock(clock.clone()).build().unwrap();
        let (shared, _tokens) = Shared::new("test".to_owned(), Clock::system());
        let line = shared.lines().get_or_add(&shared, Some(0), "timer");
        let event = ClockEvent::start(&clock, "test/timer".to_owned(), line.clone()).unwrap();
        let mut raised_by = |at: Duration| {
            hold = block_on(clock.run_until(at));
            line.latch.raised()
        };
        event.program(Some(1_000 * US));
        assert_eq!((raised_by(999 * US), raised_by(1_000 * US)), (0, 1));
        // No answer, and a jiffy each until there is one.
        assert_eq!((raised_by(1_999 * US), raised_by(2_000 * US)), (1, 2));
        assert_eq!((raised_by(2_999 * US), raised_by(3_000 * US)), (2, 3));
        assert!(line.latch.take().is_some());
        // The answer is the next instant, though it is nearer than a jiffy, or farther.
        event.program(Some(3_100 * US));
        assert_eq!((raised_by(3_099 * US), raised_by(3_100 * US)), (3, 4));
        event.program(Some(9_000 * US));
        event.program(Some(5_000 * US));
        assert_eq!((raised_by(4_999 * US), raised_by(5_000 * US)), (4, 5));
        event.program(None);
        assert_eq!(raised_by(50_000 * US), 5);
        drop((event, hold, mover));
    }

    #[test]
    fn a4_the_timers_thread_has_ended_when_its_kernel_lets_go_of_it() {
        let clock = Clock::system();
        let (shared, _tokens) = Shared::new("test".to_owned(), clock.clone());
        let line = shared.lines().get_or_add(&shared, Some(0), "timer");
        for _ in 0..20 {
            let event = ClockEvent::start(&clock, "test/timer".to_owned(), line.clone()).unwrap();
            let register = event.register.clone();
            drop(event);
            // The thread held the other one.
            assert_eq!(Arc::strong_count(&register), 1);
        }
    }
}
