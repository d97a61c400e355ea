//! [`IrqEdges`]: a line as a stream; [`Watch`]: what its streams and the executor share.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::Stream;

use super::line::LineShared;
use crate::executor::{self, task::panic_message};
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock};

/// How many edges were delivered, and who waits for more.
///
/// The executor stores the count, *then* looks for streams; a stream leaves its waker, *then* looks at the count
/// again. Streams are counted by read-modify-writes, and wakers are kept under a lock, so one of the two sees the
/// other.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The line's edges at its last delivery.
    delivered: AtomicU64,
    streams: AtomicU32,
    /// Of streams that wait, by their identity.
    wakers: Mutex<Wakers>,
}

#[derive(Debug, Default)]
struct Wakers {
    next: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            delivered: AtomicU64::new(0),
            streams: AtomicU32::new(0),
            wakers: Mutex::new(Wakers::default()),
        }
    }

    // ---- the executor ----------------------------------------------------------------------------------------

    /// Tells the count of edges at a delivery.
    pub(super) fn deliver(&self, edges: u64) {
        self.delivered.store(edges, Ordering::Release);
    }

    /// Whether there are streams.
    pub(super) fn is_watched(&self) -> bool {
        self.streams.fetch_add(0, Ordering::AcqRel) > 0
    }

    /// Wakes all streams.
    pub(crate) fn wake(&self) {
        let waiting = std::mem::take(&mut lock(&self.wakers).waiting);
        // Foreign code: not under the lock, and one that panics keeps no other from its wake-up.
        for waker in waiting.into_values() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                tracing::error!(message = panic_message(payload), "a waker panicked");
            }
        }
    }

    // ---- streams ---------------------------------------------------------------------------------------------

    /// Another stream; its identity.
    fn join(&self) -> u64 {
        self.streams.fetch_add(1, Ordering::AcqRel);
        let mut wakers = lock(&self.wakers);
        wakers.next += 1;
        wakers.next
    }

    fn leave(&self, id: u64) {
        let left = lock(&self.wakers).waiting.remove(&id);
        self.streams.fetch_sub(1, Ordering::AcqRel);
        // Foreign code as well, which may own another stream of this line: not under the lock.
        drop(left);
    }

    fn wait(&self, id: u64, waker: &Waker) {
        let waker = waker.clone();
        let replaced = lock(&self.wakers).waiting.insert(id, waker);
        drop(replaced);
    }

    /// Edges delivered that a stream that was told of `told` has not heard of.
    fn news(&self, told: &mut u64) -> Option<u64> {
        let delivered = self.delivered.load(Ordering::Acquire);
        (delivered > *told).then(|| delivered - std::mem::replace(told, delivered))
    }
}

/// The edges of a line as a stream of counts; made by [`IrqLine::edges`](crate::IrqLine::edges).
///
/// `stream.next().await` waits for an interrupt. Each item is the number of edges since the last one, so that their
/// sum is what was raised, however many were coalesced. `None` after the kernel's shutdown.
///
/// Dropping a `next()` loses no edge: the next one tells them.
#[derive(Debug)]
pub struct IrqEdges {
    line: Arc<LineShared>,
    id: u64,
    /// Edges told so far, counted from the line's making.
    told: u64,
}

impl IrqEdges {
    pub(super) fn new(line: Arc<LineShared>) -> Self {
        let told = line.latch.raised();
        let id = line.watch.join();
        if line.latch.is_pending() {
            // Nobody may have cared for it before; now its token is due.
            line.recheck();
            executor::deliver_if_current(&line.kernel);
        }
        Self { line, id, told }
    }
}

impl Stream for IrqEdges {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let Self { line, id, told } = &mut *self;
        if let Some(count) = line.watch.news(told) {
            return Poll::Ready(Some(count));
        }
        line.watch.wait(*id, cx.waker());
        // Once more: a delivery or the end may have come before the waker was in place.
        if let Some(count) = line.watch.news(told) {
            return Poll::Ready(Some(count));
        }
        if line.kernel.is_gone() { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl Drop for IrqEdges {
    fn drop(&mut self) {
        self.line.watch.leave(self.id);
    }
}

/// The stream's side and the executor's, checked by exhaustion.
#[cfg(all(test, airlift_loom))]
mod loom_tests {
    use loom::thread;

    use super::*;
    use crate::executor::doorbell::{Doorbell, Spin};
    use crate::irq::latch::Latch;

    /// Wakes the reader's thread.
    struct Ring(loom::sync::Arc<Doorbell>);

    impl std::task::Wake for Ring {
        fn wake(self: Arc<Self>) {
            self.0.ring();
        }
    }

    #[test]
    fn r14_loom_a_stream_is_told_every_edge_once_and_misses_no_wake_up() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            const EDGES: u64 = 2;
            let line = loom::sync::Arc::new((Latch::new(), Watch::new(), Doorbell::new()));
            let id = line.1.join();
            let executor = line.clone();
            // A device and the executor in one: each edge is raised, and delivered unless it was with another.
            let executor = thread::spawn(move || {
                let (latch, watch, bell) = &*executor;
                for _ in 0..EDGES {
                    let sent: Result<bool, ()> = latch.signal(bell, || Ok(()));
                    sent.unwrap();
                    let edges = latch.take().expect("it was raised");
                    watch.deliver(edges);
                    if watch.is_watched() {
                        watch.wake();
                    }
                }
            });
            let reader = line.clone();
            let reader = thread::spawn(move || {
                let bell = loom::sync::Arc::new(Doorbell::new());
                let waker = Waker::from(Arc::new(Ring(bell.clone())));
                let (mut told, mut sum) = (0, 0);
                while sum < EDGES {
                    bell.begin();
                    if let Some(count) = reader.1.news(&mut told) {
                        sum += count;
                        continue;
                    }
                    reader.1.wait(id, &waker);
                    if let Some(count) = reader.1.news(&mut told) {
                        sum += count;
                    } else {
                        // A lost wake-up is a deadlock here, which loom reports.
                        bell.wait(&mut Spin::never(), None);
                    }
                }
                assert_eq!(sum, EDGES);
            });
            executor.join().unwrap();
            reader.join().unwrap();
            line.1.leave(id);
        });
    }

    #[test]
    fn r14_loom_a_stream_made_during_a_delivery_hears_of_what_is_raised_after() {
        loom::model(|| {
            let line = loom::sync::Arc::new((Latch::new(), Watch::new(), Doorbell::new()));
            let executor = line.clone();
            let sent: Result<bool, ()> = line.0.signal(&line.2, || Ok(()));
            sent.unwrap();
            let executor = thread::spawn(move || {
                let (latch, watch, _) = &*executor;
                watch.deliver(latch.take().expect("it was raised"));
                if watch.is_watched() {
                    watch.wake();
                }
            });
            let (latch, watch, bell) = &*line;
            let mut told = latch.raised();
            let id = watch.join();
            let woken = loom::sync::Arc::new(Doorbell::new());
            let waker = Waker::from(Arc::new(Ring(woken.clone())));
            // Another edge: with the first one, or pending by itself when that has been taken.
            let mut own = false;
            let sent: Result<bool, ()> = latch.signal(bell, || {
                own = true;
                Ok(())
            });
            sent.unwrap();
            watch.wait(id, &waker);
            let news = watch.news(&mut told);
            executor.join().unwrap();
            let heard = news.is_some() || woken.begin() && watch.news(&mut told).is_some();
            assert!(own || heard, "the edge came with the first one, and nobody told");
            watch.leave(id);
        });
    }
}
