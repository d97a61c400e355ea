//! [`Latch`]: the pending bit of an IRQ line, and its counters.
//!
//! Raising a line that is already pending only counts (*coalesces*); otherwise the caller sends one token. So at
//! most one token a line is ever queued, and an IRQ storm needs no memory.
//!
//! The pending bit and the count of edges are one word, so that an edge that coalesces is one step, and a delivery
//! knows exactly which edges it delivers:
//!
//! ```text
//!   raise    add an edge ─▶ it was pending: no more to do
//!                        └▶ set the bit ─▶ it was clear: the token is the caller's to send
//!   take     clear the bit; the edges so far are delivered
//! ```
//!
//! An edge that was added before the bit is set by another can be delivered with the other's token; its own then
//! finds nothing new, and its handler runs once more. What has no delivery of its own was coalesced, so that
//! `raised == delivered + coalesced` whenever nothing is pending: two are counted, the third is what they leave.
//!
//! An edge that coalesces relies on the token of another, who may lose its processor before it has sent it. The two
//! steps are next to each other; nothing that can block comes between them. To a host thread that is good enough. The
//! kernel's own thread, whose handler is to run now or at its next delivery point, relies on nobody: if its edge
//! coalesces, the executor looks at the line once more when it has taken all tokens. Whoever comes second, that look or
//! the token, finds nothing to take.
//!
//! A token that is sent [again](Latch::send_again), since somebody listens now, is known by a bit of its own, so that
//! there is one at most.

use crate::executor::doorbell::Doorbell;
use crate::sync::{AtomicU64, Ordering};

/// The line is pending: its token is on its way.
const PENDING: u64 = 1;
/// A token that was sent again is in the channel.
const AGAIN: u64 = 2;
/// One edge, in the bits above.
const EDGE: u64 = 4;

/// Counters of a [`Latch`]. There are at least as many edges as deliveries, and one more for a line that is pending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EdgeCounts {
    pub(crate) raised: u64,
    pub(crate) delivered: u64,
    /// Edges without a delivery of their own: neither one that is counted nor the one that is pending.
    pub(crate) coalesced: u64,
    pub(crate) pending: bool,
}

/// Pending bit and counters of one line, on a cache line of their own: whatever else a trigger or a delivery reads
/// there would first fetch it to look, and then once more to write.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Latch {
    /// [`PENDING`], [`AGAIN`], and the edges raised so far.
    state: AtomicU64,
    /// The executor alone counts these.
    delivered: AtomicU64,
}

impl Latch {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU64::new(0), delivered: AtomicU64::new(0) }
    }

    /// Raises the line: counts the edge and, unless the line is pending already, sends its token and rings. False: it
    /// coalesced.
    pub(crate) fn signal<E>(&self, bell: &Doorbell, send: impl FnOnce() -> Result<(), E>) -> Result<bool, E> {
        let raised = self.raise();
        if raised {
            match send() {
                Ok(()) => bell.ring(),
                Err(refused) if self.unraise() => return Err(refused),
                Err(_) => {}
            }
        }
        Ok(raised)
    }

    /// From any thread: has the token of a line sent again that may be pending without one, unless it was already.
    pub(crate) fn send_again<E>(&self, bell: &Doorbell, send: impl FnOnce() -> Result<(), E>) {
        if self.state.fetch_or(AGAIN, Ordering::AcqRel) & AGAIN == 0 {
            match send() {
                Ok(()) => bell.ring(),
                Err(_) => self.again_came(),
            }
        }
    }

    /// The executor has a token in hand that was sent again, and may interrupt nobody: another may be sent.
    pub(crate) fn again_came(&self) {
        self.state.fetch_and(!AGAIN, Ordering::AcqRel);
    }

    /// Counts one edge. True: the line was not pending, and the caller must send its token.
    fn raise(&self) -> bool {
        self.state.fetch_add(EDGE, Ordering::AcqRel) & PENDING == 0
            && self.state.fetch_or(PENDING, Ordering::AcqRel) & PENDING == 0
    }

    /// Takes back a [`raise`](Self::raise) whose token could not be sent. False: the edge was delivered all the same,
    /// with a token that the executor had sent again.
    fn unraise(&self) -> bool {
        let without = |state| (state & PENDING != 0).then(|| state - (EDGE | PENDING));
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, without).is_ok()
    }

    /// The executor, token in hand: edges from here on need a token of their own. Returns how many were raised
    /// so far. `None`: the token was a duplicate, sent again for one believed lost, or the second of two.
    pub(crate) fn take(&self) -> Option<u64> {
        self.take_with(PENDING)
    }

    /// As [`take`](Self::take), for a token that was sent again.
    pub(crate) fn take_again(&self) -> Option<u64> {
        self.take_with(PENDING | AGAIN)
    }

    fn take_with(&self, bits: u64) -> Option<u64> {
        let state = self.state.fetch_and(!bits, Ordering::AcqRel);
        if state & PENDING == 0 {
            return None;
        }
        self.delivered.store(self.delivered.load(Ordering::Relaxed) + 1, Ordering::Release);
        Some(state / EDGE)
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.state.load(Ordering::Acquire) & PENDING != 0
    }

    pub(crate) fn raised(&self) -> u64 {
        self.state.load(Ordering::Acquire) / EDGE
    }

    /// What is counted, of one moment.
    pub(crate) fn counts(&self) -> EdgeCounts {
        // In this order: every delivery that is counted here has its edge in the word that is looked at next.
        let delivered = self.delivered();
        let state = self.state.load(Ordering::Acquire);
        let (raised, pending) = (state / EDGE, state & PENDING != 0);
        let coalesced = raised.saturating_sub(delivered + u64::from(pending));
        EdgeCounts { raised, delivered, coalesced, pending }
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }
}

#[cfg(all(test, not(airlift_loom)))]
mod tests {
    use super::*;

    #[test]
    fn r2_a_token_that_is_sent_again_is_in_the_channel_once() {
        let (latch, bell) = (Latch::new(), Doorbell::new());
        let mut tokens = 0;
        let mut send = || -> Result<(), ()> {
            tokens += 1;
            Ok(())
        };
        assert_eq!(latch.signal(&bell, &mut send), Ok(true));
        assert_eq!(latch.signal(&bell, &mut send), Ok(false));
        (0..1_000).for_each(|_| latch.send_again(&bell, &mut send));
        // It finds a disabled line.
        latch.again_came();
        (0..1_000).for_each(|_| latch.send_again(&bell, &mut send));
        assert_eq!(latch.take_again(), Some(2));
        assert_eq!(latch.take(), None, "a duplicate");
        assert_eq!(latch.signal(&bell, &mut send), Ok(true));
        latch.send_again(&bell, || Err("closed"));
        latch.send_again(&bell, &mut send);
        assert_eq!(tokens, 1 + 2 + 1 + 1);
    }

    #[test]
    fn r2_a_refused_trigger_is_not_counted_and_one_that_was_delivered_before_is() {
        let (latch, bell) = (Latch::new(), Doorbell::new());
        assert_eq!(latch.signal(&bell, || Err("closed")), Err("closed"));
        assert_eq!(latch.counts(), EdgeCounts { raised: 0, delivered: 0, coalesced: 0, pending: false });
        let delivered_first = latch.signal(&bell, || {
            // The executor has found the line pending at an unmasking, and closes its channel after that.
            assert_eq!(latch.take(), Some(1));
            Err("closed")
        });
        assert_eq!(delivered_first, Ok(true));
        assert_eq!(latch.counts(), EdgeCounts { raised: 1, delivered: 1, coalesced: 0, pending: false });
    }
}

/// The hand-over from host threads to the executor, checked by exhaustion: every interleaving that the memory model
/// allows. `RUSTFLAGS="--cfg airlift_loom" cargo test -p airlift-runtime --lib --release loom`
#[cfg(all(test, airlift_loom))]
mod loom_tests {
    use std::collections::VecDeque;
    use std::sync::atomic as plain;

    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::executor::doorbell::Spin;
    use crate::sync::{Mutex, lock};

    struct Model {
        latch: Latch,
        bell: Doorbell,
        /// In the channel's place.
        tokens: Mutex<VecDeque<()>>,
        /// The executor is to look at the line. Its own thread's.
        due: plain::AtomicBool,
        /// What the device has written before it raises its line.
        written: AtomicU64,
        /// Runs of the handler, and the edges up to its last one. No part of what is modelled.
        runs: plain::AtomicU64,
        edges: plain::AtomicU64,
        /// Tokens, and looks, that found nothing to take.
        duplicates: plain::AtomicU64,
    }

    impl Model {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                latch: Latch::new(),
                bell: Doorbell::new(),
                tokens: Mutex::new(VecDeque::new()),
                due: plain::AtomicBool::new(false),
                written: AtomicU64::new(0),
                runs: plain::AtomicU64::new(0),
                edges: plain::AtomicU64::new(0),
                duplicates: plain::AtomicU64::new(0),
            })
        }

        fn trigger(&self) {
            self.written.fetch_add(1, Ordering::Relaxed);
            let sent: Result<bool, ()> = self.latch.signal(&self.bell, || {
                lock(&self.tokens).push_back(());
                Ok(())
            });
            sent.unwrap();
        }

        /// A trigger on the kernel's own thread, up to its delivery.
        fn trigger_own(&self) {
            self.written.fetch_add(1, Ordering::Relaxed);
            let sent: Result<bool, ()> = self.latch.signal(&self.bell, || {
                lock(&self.tokens).push_back(());
                Ok(())
            });
            self.due.store(!sent.unwrap(), Ordering::Relaxed);
        }

        /// Takes what is pending; what the last handler saw.
        fn deliver(&self) -> Option<u64> {
            let mut seen = None;
            loop {
                let token = lock(&self.tokens).pop_front();
                if token.is_none() && !self.due.swap(false, Ordering::Relaxed) {
                    break;
                }
                let Some(edges) = self.latch.take() else {
                    self.duplicates.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                self.runs.fetch_add(1, Ordering::Relaxed);
                self.edges.store(edges, Ordering::Relaxed);
                seen = Some(self.written.load(Ordering::Relaxed));
            }
            seen
        }

        /// The executor, until its handler has seen `writes` writes: `deliver`, then `idle` on the system's
        /// clock, as in the real loop: the bell stays rung until it wants to sleep.
        fn execute(&self, writes: u64) {
            let mut spin = Spin::never();
            let mut seen = 0;
            while seen < writes {
                seen = self.deliver().unwrap_or(seen);
                let has_work = || !lock(&self.tokens).is_empty();
                if seen < writes && !has_work() {
                    // A lost wake-up is a deadlock here, which loom reports.
                    self.bell.wait_for(&mut spin, has_work);
                }
            }
        }
    }

    fn check(hosts: usize, edges: usize) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let model = Model::new();
            // As an owner leaves it that is awake.
            model.bell.ring();
            let threads: Vec<_> = (0..hosts)
                .map(|_| {
                    let model = model.clone();
                    thread::spawn(move || (0..edges).for_each(|_| model.trigger()))
                })
                .collect();
            // On a thread of its own that joins nobody: loom lets a late `unpark` break into a join.
            let executor = model.clone();
            let executor = thread::spawn(move || executor.execute((hosts * edges) as u64));
            threads.into_iter().chain([executor]).for_each(|thread| thread.join().unwrap());
            // A line may be raised after its write was seen: that edge is still to be delivered.
            model.deliver();
            assert_eq!(model.duplicates.load(Ordering::Relaxed), 0, "no token without a pending line");
            let (triggers, runs) = ((hosts * edges) as u64, model.runs.load(Ordering::Relaxed));
            assert_eq!(model.edges.load(Ordering::Relaxed), triggers, "edges that were delivered");
            let told =
                EdgeCounts { raised: triggers, delivered: runs, coalesced: triggers - runs, pending: false };
            assert_eq!(model.latch.counts(), told);
        });
    }

    #[test]
    fn r4_loom_no_wake_up_is_lost_between_nothing_pending_and_parked() {
        check(1, 2);
    }

    #[test]
    fn r2_loom_two_hosts_raise_one_line_and_every_write_is_seen() {
        check(2, 1);
    }

    #[test]
    fn r3_loom_a_trigger_on_the_kernels_thread_is_delivered_at_once_though_hosts_raise_the_line() {
        const KERNEL_EDGES: u64 = 2;
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let model = Model::new();
            let hosts: Vec<_> = (0..2)
                .map(|_| {
                    let model = model.clone();
                    thread::spawn(move || model.trigger())
                })
                .collect();
            for own in 1..=KERNEL_EDGES {
                model.trigger_own();
                let seen = model.deliver().expect("it relied on a token that was not sent yet");
                assert!(seen >= own, "the handler has not seen what it was triggered for");
                assert!(!model.latch.is_pending() || model.written.load(Ordering::Relaxed) > own);
            }
            hosts.into_iter().for_each(|host| host.join().unwrap());
            model.deliver();
            let runs = model.runs.load(Ordering::Relaxed);
            let raised = KERNEL_EDGES + 2;
            assert_eq!(model.edges.load(Ordering::Relaxed), raised, "edges that were delivered");
            let told = EdgeCounts { raised, delivered: runs, coalesced: raised - runs, pending: false };
            assert_eq!(model.latch.counts(), told);
            assert_eq!(model.latch.state.load(Ordering::Relaxed) & (PENDING | AGAIN), 0);
        });
    }

    #[test]
    fn r13_loom_counts_are_of_one_moment_while_a_line_is_raised_and_delivered() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            const EDGES: u64 = 2;
            let model = Model::new();
            let host = model.clone();
            let host = thread::spawn(move || (0..EDGES).for_each(|_| host.trigger()));
            let observer = model.clone();
            let observer = thread::spawn(move || observer.latch.counts());
            model.deliver();
            let EdgeCounts { raised, delivered, coalesced, pending } = observer.join().unwrap();
            host.join().unwrap();
            assert!(raised <= EDGES && delivered <= model.runs.load(Ordering::Relaxed));
            assert_eq!(raised, delivered + coalesced + u64::from(pending), "a delivery without its edge");
        });
    }

    /// A channel that may be closed, in the channel's place.
    #[derive(Default)]
    struct Channel {
        tokens: VecDeque<()>,
        closed: bool,
    }

    #[test]
    fn r2_loom_a_trigger_that_races_the_shutdown_is_delivered_dropped_or_refused() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let shared = Arc::new((Latch::new(), Doorbell::new(), Mutex::new(Channel::default())));
            let hosts: Vec<_> = (0..2)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || {
                        let (latch, bell, channel) = &*shared;
                        let mut queued = 0;
                        let sent = latch.signal(bell, || {
                            let mut channel = lock(channel);
                            if channel.closed {
                                return Err(());
                            }
                            channel.tokens.push_back(());
                            queued = 1;
                            Ok(())
                        });
                        (u64::from(sent.is_ok()), queued)
                    })
                })
                .collect();
            // The executor's last acts: what is raised is delivered, the channel closed, the rest counted.
            let (latch, _, channel) = &*shared;
            let mut runs = 0;
            if lock(channel).tokens.pop_front().is_some() {
                latch.take().expect("no token without a pending line");
                runs = 1;
            }
            lock(channel).closed = true;
            let (mut accepted, mut queued) = (0, 0);
            for host in hosts {
                let (sent, token) = host.join().unwrap();
                accepted += sent;
                queued += token;
            }
            let dropped = lock(channel).tokens.len() as u64;
            assert_eq!(queued, runs + dropped, "tokens");
            let told = EdgeCounts {
                raised: accepted,
                delivered: runs,
                coalesced: accepted - runs - dropped,
                pending: dropped > 0,
            };
            assert_eq!(latch.counts(), told);
        });
    }

    #[test]
    fn r4_loom_a_deadline_loses_no_ring() {
        loom::model(|| {
            let bell = Arc::new(Doorbell::new());
            let ringer = bell.clone();
            let thread = thread::spawn(move || ringer.ring());
            // A sleep that may end at any moment, as at a deadline; then one without.
            let mut rung = bell.begin();
            if !rung && bell.arm() {
                thread::yield_now();
                bell.disarm();
                rung = bell.begin();
            }
            while !rung {
                bell.wait(&mut Spin::never(), None);
                rung = bell.begin();
            }
            thread.join().unwrap();
        });
    }
}
