//! A line as a stream of counted edges, from its first listener to the kernel's end: R14.

mod common;

use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use airlift_runtime::{IrqEdges, IrqReturn};
use common::{kernel, on_kernel, receive};
use futures::executor::block_on;
use futures::{Stream, StreamExt};

/// Says so when it is woken.
struct Tell(mpsc::Sender<()>);

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        self.0.send(()).unwrap();
    }
}

/// Polls a stream that has nothing to tell; what says when it has.
fn wait(edges: &mut IrqEdges) -> (Arc<Tell>, mpsc::Receiver<()>) {
    let (woken, is_woken) = mpsc::channel();
    let teller = Arc::new(Tell(woken));
    let waker = Waker::from(teller.clone());
    assert_eq!(Pin::new(edges).poll_next(&mut Context::from_waker(&waker)), Poll::Pending);
    (teller, is_woken)
}

#[test]
fn r14_a_line_that_was_raised_before_anybody_listened_is_heard_of_from_then_on() {
    // What was raised before is not told, and does not keep from the stream what comes after.
    let kernel = kernel();
    let line = kernel.handle().irq_line("early").unwrap();
    (0..3).for_each(|_| line.trigger().unwrap());
    block_on(kernel.handle().spawn("settled", |_| async {}).unwrap()).unwrap();
    assert!(line.is_pending());
    let mut edges = line.edges();
    line.trigger().unwrap();
    assert_eq!(block_on(edges.next()), Some(1));
    // A later one hears of less.
    let mut later = line.edges();
    line.trigger().unwrap();
    assert_eq!((block_on(later.next()), block_on(edges.next())), (Some(1), Some(1)));
}

#[test]
fn r14_a_stream_made_on_the_kernel_takes_what_was_pending() {
    on_kernel(|cpu| async move {
        let line = cpu.kernel().irq_line("early").unwrap();
        line.trigger().unwrap();
        assert!(line.is_pending());
        let mut edges = line.edges();
        assert!(!line.is_pending());
        line.trigger().unwrap();
        assert_eq!(edges.next().await, Some(1));
    });
}

#[test]
fn r14_a_stream_that_waits_is_woken_by_the_end_of_the_kernel() {
    let kernel = kernel();
    let line = kernel.handle().irq_line("edges").unwrap();
    let mut edges = line.edges();
    let (_teller, is_woken) = wait(&mut edges);
    kernel.shutdown_blocking();
    receive(&is_woken);
    assert_eq!(block_on(edges.next()), None);
    // And one that is made after it ends at once.
    assert_eq!(block_on(line.edges().next()), None);
}

#[test]
fn a5_a_dropped_stream_listens_no_more_and_leaves_no_waker() {
    on_kernel(|cpu| async move {
        let line = cpu.kernel().irq_line("edges").unwrap();
        let mut edges = line.edges();
        let (teller, is_woken) = wait(&mut edges);
        drop(edges);
        assert_eq!(Arc::strong_count(&teller), 1);
        // Nobody listens: it stays pending, for whoever comes.
        line.trigger().unwrap();
        assert!(line.is_pending() && is_woken.try_recv().is_err());
        let _irq = cpu.request_irq(&line, "late", |_| IrqReturn::Handled);
        assert!(!line.is_pending());
    });
}

#[test]
fn r14_a_waker_that_owns_another_stream_of_the_line_is_dropped_where_that_stream_can_leave() {
    struct Owner(#[expect(dead_code, reason = "it is there for its drop")] Mutex<Option<IrqEdges>>);
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }
    let kernel = kernel();
    let line = kernel.handle().irq_line("test").unwrap();
    let (done, is_done) = mpsc::channel();
    // On a thread of its own: what is wrong here is a deadlock.
    thread::spawn(move || {
        let poll = |edges: &mut IrqEdges, waker: &Waker| {
            assert!(Pin::new(edges).poll_next(&mut Context::from_waker(waker)).is_pending());
        };
        let owner = || Waker::from(Arc::new(Owner(Mutex::new(Some(line.edges())))));
        let mut edges = line.edges();
        // Replaced by another waker.
        poll(&mut edges, &owner());
        poll(&mut edges, Waker::noop());
        // Dropped with its stream.
        poll(&mut edges, &owner());
        drop(edges);
        done.send(()).unwrap();
    });
    receive(&is_done);
}
