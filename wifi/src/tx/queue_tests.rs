//! The queue between senders and the transmit task.

use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::poll_fn;
use futures::task::noop_waker;

use super::*;
use crate::tx::{Delivery, Ticket, Transmitter, Unhonoured};
use futures::{Sink, SinkExt};

fn frame(length: usize) -> TxFrame {
    TxFrame::new(vec![0; length])
}

fn outcome() -> Outcome {
    Outcome {
        delivery: Delivery::Acknowledged,
        retries: Some(2),
        rate: None,
        unhonoured: Unhonoured::empty(),
    }
}

fn take(queue: &TxQueue) -> Option<Job> {
    match queue.poll_take(&mut Context::from_waker(&noop_waker())) {
        Poll::Ready(job) => Some(job),
        Poll::Pending => None,
    }
}

fn down() -> Error {
    Error::new(Stage::Up, ErrorKind::Down)
}

#[test]
fn a7_a_full_queue_makes_senders_wait_in_their_order_and_drops_nothing() {
    let queue = Arc::new(TxQueue::new());
    let mut sends: Vec<_> =
        (0..FRAMES + 3).map(|n| Box::pin(Ticket::issue(queue.clone(), frame(100 + n)))).collect();
    let mut tickets = Vec::new();
    for send in &mut sends {
        tickets.extend(send.as_mut().now_or_never());
    }
    assert_eq!(tickets.len(), FRAMES);
    assert_eq!(queue.stats().waiting, FRAMES as u64);
    // The last of those that wait tries first, and is not let past.
    let job = take(&queue).unwrap();
    assert_eq!(job.frame().bytes().len(), 100);
    assert!(sends[FRAMES + 2].as_mut().now_or_never().is_none());
    assert!(sends[FRAMES].as_mut().now_or_never().is_some());
    // One gives up its place, and the one behind it has it.
    drop(sends.remove(FRAMES + 1));
    drop(take(&queue));
    let order: Vec<usize> =
        core::iter::from_fn(|| take(&queue)).map(|job| job.frame().bytes().len()).collect();
    assert_eq!(order, (102..=100 + FRAMES).collect::<Vec<_>>());
    assert!(sends[FRAMES + 1].as_mut().now_or_never().is_some());
}

/// A send that waited and was set aside keeps its room, and nobody else from theirs.
#[test]
fn a7_a_sender_that_does_not_come_for_its_room_holds_up_nobody() {
    let queue = Arc::new(TxQueue::new());
    let tickets: Vec<_> =
        (0..FRAMES).map(|n| Ticket::issue(queue.clone(), frame(100 + n)).now_or_never().unwrap()).collect();
    let mut set_aside = Box::pin(Ticket::issue(queue.clone(), frame(1)));
    let woken = Arc::new(Woken::default());
    assert!(set_aside.as_mut().now_or_never().is_none());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut second = Box::pin(Ticket::issue(queue.clone(), frame(2)));
    assert!(second.as_mut().poll(&mut context).is_pending());
    drop(take(&queue));
    assert!(second.as_mut().poll(&mut context).is_pending(), "the only place is the first one's");
    drop(take(&queue));
    assert!(woken.0.load(Ordering::Relaxed), "told that there is room");
    assert!(second.as_mut().poll(&mut context).is_ready());
    assert!(set_aside.as_mut().now_or_never().is_some(), "the first one's place was kept");
    drop(tickets);
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a7_the_queue_is_bounded_by_bytes_and_takes_any_single_frame() {
    let queue = Arc::new(TxQueue::new());
    assert!(Ticket::issue(queue.clone(), frame(BYTES * 2)).now_or_never().is_some());
    assert!(Ticket::issue(queue.clone(), frame(1)).now_or_never().is_none());
    drop(take(&queue));
    assert!(Ticket::issue(queue.clone(), frame(BYTES - 10)).now_or_never().is_some());
    assert!(Ticket::issue(queue.clone(), frame(11)).now_or_never().is_none());
    assert!(Ticket::issue(queue.clone(), frame(10)).now_or_never().is_some());
}

#[test]
fn a5_a_send_that_is_dropped_before_there_is_room_sends_nothing() {
    let queue = Arc::new(TxQueue::new());
    for _ in 0..FRAMES {
        assert!(Ticket::issue(queue.clone(), frame(50)).now_or_never().is_some());
    }
    {
        let mut send = pin!(Ticket::issue(queue.clone(), frame(99)));
        assert!(send.as_mut().now_or_never().is_none());
    }
    let lengths: Vec<usize> =
        core::iter::from_fn(|| take(&queue)).map(|job| job.frame().bytes().len()).collect();
    assert_eq!(lengths, [50; FRAMES]);
    assert_eq!(queue.stats().accepted, FRAMES as u64);
}

#[test]
fn a5_dropping_a_ticket_leaves_the_frame() {
    let queue = Arc::new(TxQueue::new());
    drop(Ticket::issue(queue.clone(), frame(50)).now_or_never().unwrap());
    let job = take(&queue).unwrap();
    assert!(job.is_abandoned());
    job.done(outcome());
    let stats = queue.stats();
    assert!(stats.is_balanced() && stats.acknowledged == 1 && stats.retries == 2, "{stats:?}");
}

#[test]
fn a8_whatever_ends_a_job_gives_its_frame_back() {
    let queue = Arc::new(TxQueue::new());
    let issue = |length| Ticket::issue(queue.clone(), frame(length)).now_or_never().unwrap();
    let (lost, failed, waiting) = (issue(10), issue(20), issue(30));
    // The task is dropped with it.
    drop(take(&queue));
    let mut job = take(&queue).unwrap();
    job.given_to_chip();
    job.failed(InjectErrorKind::Interface(down()));
    queue.close(&down());
    let late = issue(40);
    for (ticket, length, given) in
        [(lost, 10, false), (failed, 20, true), (waiting, 30, false), (late, 40, false)]
    {
        let error = block_on(ticket).unwrap_err();
        assert_eq!(error.may_have_been_sent(), given);
        let told = if given { "unknown whether the frame was sent: " } else { "frame not sent: " };
        assert!(error.to_string().starts_with(told), "{error}");
        assert_eq!(error.into_frame().bytes().len(), length);
    }
    let stats = queue.stats();
    assert!(stats.is_balanced() && stats.accepted == 3, "{stats:?}");
    assert_eq!((stats.failed, stats.cut_off), (2, 1));
    assert!(stats.to_string().contains("+ unknown since cut off 1 + not sent 2"), "{stats}");
}

#[test]
fn a8_inject_errors_are_clone_send_and_sync() {
    fn is<T: Clone + Send + Sync + 'static>() {}
    is::<InjectError>();
    is::<InjectErrorKind>();
}

#[test]
fn w1_a_sink_waits_for_room_and_flushes_when_all_is_known() {
    let queue = Arc::new(TxQueue::new());
    let mut sink = Transmitter::new(queue.clone());
    for _ in 0..FRAMES {
        assert!(sink.feed(frame(50)).now_or_never().is_some());
    }
    // One more is held by the sink itself, and then it is not ready.
    assert!(sink.feed(frame(60)).now_or_never().is_some());
    let ready = poll_fn(|context| Pin::new(&mut sink).poll_ready(context)).now_or_never();
    assert!(ready.is_none());
    let mut seen = 0;
    while sink.flush().now_or_never().is_none() {
        take(&queue).unwrap().done(outcome());
        seen += 1;
    }
    assert_eq!((seen, sink.stats().acknowledged, sink.stats().pending), (FRAMES + 1, FRAMES as u64 + 1, 0));
}

#[test]
fn a8_each_frame_that_a_sink_cannot_send_is_an_error_with_it() {
    let queue = Arc::new(TxQueue::new());
    let mut sink = Transmitter::new(queue.clone());
    for length in [10, 20, 30] {
        block_on(sink.feed(frame(length))).unwrap();
    }
    block_on(poll_fn(|context| Pin::new(&mut sink).poll_ready(context))).unwrap();
    queue.close(&down());
    for length in [10, 20, 30] {
        assert_eq!(block_on(sink.flush()).unwrap_err().into_frame().bytes().len(), length);
    }
    block_on(sink.flush()).unwrap();
    assert_eq!((sink.stats().failed, sink.stats().pending), (3, 0));
}
