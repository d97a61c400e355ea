use core::time::Duration;

use airlift_runtime::{Clock, Kernel};
use futures::FutureExt;
use futures::executor::block_on;
use futures::stream::{FusedStream, StreamExt, TryStreamExt};

use super::*;
use crate::error::{ErrorKind, Stage};
use crate::frame::{Fcs, Frame};
use crate::ieee80211::Subtype;

fn beacon(len: usize) -> Frame {
    let mut bytes = vec![0; len];
    bytes[0] = 0x80;
    Frame::builder(bytes).append_fcs().build()
}

fn ack() -> Frame {
    Frame::builder(&[0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1][..]).append_fcs().build()
}

fn is_send<T: Send + Unpin + 'static>(value: T) -> T {
    value
}

/// Awaits on a thread of its own, on no runtime, and returns when that waits. What is returned tells the outcome, and
/// fails where it would wait for ever.
fn waits_elsewhere<T: Send + 'static>(
    reading: impl Future<Output = T> + Send + 'static,
) -> impl FnOnce() -> T {
    let (waits, waiting) = std::sync::mpsc::channel();
    let (done, result) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut reading = Box::pin(reading);
        let reading = core::future::poll_fn(move |cx| {
            let poll = reading.as_mut().poll(cx);
            let _ = waits.send(());
            poll
        });
        done.send(block_on(reading))
    });
    waiting.recv().expect("it was polled");
    move || result.recv_timeout(Duration::from_secs(60)).expect("the reader was never woken")
}

#[test]
fn a3_streams_are_send_and_need_no_reactor() {
    let mut sender = is_send(FrameSender::new());
    let mut stream = is_send(sender.source().open(StreamOptions::new()));
    let read = waits_elsewhere(async move { stream.next().await.unwrap() });
    sender.send(ack());
    assert_eq!(read(), ack());
}

#[test]
fn a6_queued_frames_come_first_then_none_then_the_reason() {
    let mut sender = FrameSender::new();
    let mut stream = sender.source().open(StreamOptions::new());
    sender.send(ack());
    sender.send(ack());
    sender.end(StreamEnd::Unplugged);
    assert!(stream.end().is_none(), "frames are still queued");
    assert!(block_on(stream.next()).is_some());
    assert!(block_on(stream.next()).is_some());
    assert!(block_on(stream.next()).is_none());
    assert!(stream.is_terminated());
    assert!(matches!(stream.end(), Some(StreamEnd::Unplugged)));
}

#[test]
fn a6_a_waiting_reader_is_woken_by_the_end() {
    let sender = FrameSender::new();
    let mut stream = sender.source().open(StreamOptions::new());
    let ended = waits_elsewhere(async move { stream.next().await.is_none() });
    drop(sender);
    assert!(ended());
}

#[test]
fn a6_try_frames_has_the_reason_as_its_last_err() {
    let mut sender = FrameSender::new();
    let source = sender.source();
    let stream = source.open(StreamOptions::new());
    sender.send(ack());
    let kind = ErrorKind::Kernel("gone".to_owned());
    sender.end(StreamEnd::from_error(Error::new(Stage::Up, kind)));
    let mut seen = 0;
    let result = block_on(stream.try_frames().try_for_each(|_| {
        seen += 1;
        core::future::ready(Ok(()))
    }));
    assert_eq!(seen, 1);
    assert_eq!(result.unwrap_err().to_string(), "kernel: gone");
    let mut late = source.open(StreamOptions::new()).try_frames();
    assert!(matches!(block_on(late.next()), Some(Err(StreamEnd::Failed(_)))));
    assert!(block_on(late.next()).is_none());
}

#[test]
fn a6_a_dropped_sender_ends_as_down_and_a_panicked_one_as_failed() {
    let sender = FrameSender::new();
    let source = sender.source();
    drop(sender);
    assert!(matches!(source.end(), Some(StreamEnd::Down)));

    let sender = FrameSender::new();
    let source = sender.source();
    let task = std::thread::spawn(move || {
        let _sender = sender;
        panic!("a bug of the test's own making");
    });
    assert!(task.join().is_err());
    let Some(StreamEnd::Failed(error)) = source.end() else { panic!("{:?}", source.end()) };
    assert_eq!(error.to_string(), "kernel: the receive task panicked");
}

#[test]
fn a7_streams_that_were_dropped_leave_nothing_behind() {
    let mut sender = FrameSender::new();
    let source = sender.source();
    let kept = source.open(StreamOptions::new());
    for _ in 0..100 {
        let stream = source.open(StreamOptions::new());
        sender.send(ack());
        assert_eq!(source.open_streams(), 2);
        drop(stream);
    }
    assert_eq!(source.open_streams(), 1);
    assert_eq!(kept.stats().waiting, 100);
    sender.end(StreamEnd::Down);
    assert_eq!(source.open_streams(), 0);
}

#[test]
fn a7_a_slow_reader_stalls_nobody_and_is_told_what_it_lost() {
    let mut sender = FrameSender::new();
    let source = sender.source();
    let mut slow = source.open(StreamOptions::new().budget(0));
    let mut fast = source.open(StreamOptions::new());
    let mut taken = 0;
    for _ in 0..1000 {
        sender.send(beacon(1000));
        taken += u64::from(fast.try_next().is_some());
    }
    assert_eq!((taken, fast.stats().queue), (1000, 0));
    let stats = slow.stats();
    assert!(stats.queue > 0 && stats.is_balanced(), "{stats}");
    assert!(stats.pinned_bytes <= StreamOptions::MIN_BUDGET);
    let waiting = stats.waiting;
    for _ in 0..waiting {
        assert_eq!(slow.try_next().unwrap().lost_before(), 0);
    }
    sender.send(ack());
    assert_eq!(slow.try_next().unwrap().lost_before(), 1000 - waiting);
    assert_eq!(slow.stats().delivered, waiting + 1);
}

#[test]
fn a7_drop_oldest_keeps_the_present() {
    let mut sender = FrameSender::new();
    let options = StreamOptions::new().budget(0).policy(DropPolicy::Oldest);
    let mut stream = sender.source().open(options);
    for tsf in 0..1000 {
        sender.send(Frame::builder(beacon(1000).bytes().clone()).fcs(Fcs::Good).tsf(tsf).build());
    }
    let first = stream.try_next().unwrap();
    assert_eq!(first.lost_before(), first.tsf().unwrap());
    let last = core::iter::from_fn(|| stream.try_next()).last().unwrap();
    assert_eq!(last.tsf(), Some(999));
}

#[test]
fn w1_each_stream_has_its_own_filter_and_account() {
    let mut sender = FrameSender::new();
    let source = sender.source();
    let mut beacons = source.open(Filter::subtype(Subtype::Beacon));
    let mut good = source.open(StreamOptions::new());
    let mut bad = source.open(Filter::bad_fcs());
    let broken = Frame::builder(ack().bytes().clone()).fcs(Fcs::Bad).build();
    for frame in [ack(), beacon(100), broken, beacon(100)] {
        sender.send(frame);
    }
    assert_eq!(beacons.try_next().unwrap().header().unwrap().subtype(), Subtype::Beacon);
    for _ in 0..3 {
        assert!(good.try_next().is_some());
    }
    assert_eq!(bad.try_next().unwrap().fcs(), Fcs::Bad);
    assert_eq!(
        beacons.stats().to_string(),
        "chip 4 = delivered 1 + filtered 1 + waiting 1 + dropped 1 (bad FCS 1, queue 0, malformed 0)"
    );
    assert_eq!(
        good.stats().to_string(),
        "chip 4 = delivered 3 + dropped 1 (bad FCS 1, queue 0, malformed 0)"
    );
    assert_eq!(
        bad.stats().to_string(),
        "chip 4 = delivered 1 + filtered 3 + dropped 0 (bad FCS 0, queue 0, malformed 0)"
    );
}

#[test]
fn a5_dropping_a_pending_next_loses_nothing() {
    let mut sender = FrameSender::new();
    let mut stream = sender.source().open(StreamOptions::new());
    for _ in 0..3 {
        assert!(stream.next().now_or_never().is_none());
    }
    sender.send(ack());
    assert_eq!(block_on(stream.next()), Some(ack()));
}

#[test]
fn a5_dropping_a_stream_leaves_the_others() {
    let mut sender = FrameSender::new();
    let source = sender.source();
    let gone = source.open(StreamOptions::new());
    let mut stays = source.open(StreamOptions::new());
    sender.send(ack());
    drop(gone);
    sender.send(ack());
    assert_eq!(stays.stats().waiting, 2);
    assert!(stays.try_next().is_some());
    assert_eq!(source.stats().frames, 2);
}

#[test]
fn a6_virtual_time_waits_for_a_reader_that_is_behind() {
    const FRAMES: u64 = 5000;
    let kernel = Kernel::builder().name("pace").clock(Clock::virtual_time()).build().unwrap();
    let clock = kernel.handle().clock();
    let mut sender = FrameSender::with_clock(&clock);
    let mut stream = sender.source().open(StreamOptions::new().budget(0));
    let sending = kernel.handle().spawn("air", move |cpu| async move {
        for _ in 0..FRAMES {
            cpu.sleep(Duration::from_millis(1)).await;
            sender.send(beacon(1000));
        }
    });
    // The reader looks only when it is far behind. Without the hold the air would be over long before.
    while stream.stats().pinned_bytes <= StreamOptions::MIN_BUDGET / 2 {
        std::thread::yield_now();
    }
    let frames = block_on(stream.by_ref().map(|frame| frame.lost_before()).collect::<Vec<_>>());
    assert_eq!((frames.len() as u64, frames.iter().sum::<u64>()), (FRAMES, 0));
    assert_eq!(stream.stats().queue, 0);
    assert_eq!(clock.now(), Duration::from_millis(FRAMES));
    block_on(sending.unwrap()).unwrap();
    kernel.shutdown_blocking();
}

#[test]
fn a6_an_operation_gets_its_time_however_far_a_reader_is_behind() {
    let kernel = Kernel::builder().name("pace").clock(Clock::virtual_time()).build().unwrap();
    let clock = kernel.handle().clock();
    let mut sender = FrameSender::with_clock(&clock);
    let source = sender.source();
    let stream = source.open(StreamOptions::new().budget(0));
    for _ in 0..60 {
        sender.send(beacon(1000));
    }
    assert!(stream.stats().pinned_bytes > StreamOptions::MIN_BUDGET / 2);
    let runs = source.let_time_run();
    sender.send(beacon(1000));
    let handle = kernel.handle();
    let operation = handle.spawn("operation", |cpu| async move { cpu.sleep(Duration::from_secs(1)).await });
    block_on(operation.unwrap()).unwrap();
    assert_eq!(clock.now(), Duration::from_secs(1));
    drop(runs);
    // The end of the interface needs time as well.
    sender.send(beacon(1000));
    sender.end(StreamEnd::Down);
    let operation = handle.spawn("down", |cpu| async move { cpu.sleep(Duration::from_secs(1)).await });
    block_on(operation.unwrap()).unwrap();
    kernel.shutdown_blocking();
}
