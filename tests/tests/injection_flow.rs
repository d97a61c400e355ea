//! Frames that an application sends, many at a time: in their order, held back, refused, given back, and none lost.

mod common;

use airlift_emu::{Air, Rtl8812au};
use airlift_wifi::tx::InjectErrorKind;
use airlift_wifi::{Channel, Delivery, LegacyRate, Rate, TxFrame};
use bytes::Bytes;
use common::Bench;
use common::pair::{EVERYONE, Pair, data};
use futures::future::{join_all, poll_immediate};
use futures::{SinkExt, StreamExt};

#[tokio::test]
async fn w1_tickets_pipeline_and_back_pressure_drops_nothing() {
    let air = Air::quiet(1);
    let pair = Pair::on("36", &air).await;
    let mut heard = pair.heard();
    let (wlan, rate) = (pair.wlan.clone(), Rate::Legacy(LegacyRate::M54));
    let sender = tokio::spawn(async move {
        let mut tickets = Vec::new();
        let mut most_waiting = 0;
        for n in 0..600_u32 {
            let mut frame = data(EVERYONE, 400, 0);
            frame[24..28].copy_from_slice(&n.to_le_bytes());
            tickets.push(wlan.send(TxFrame::new(frame).rate(rate)).await);
            most_waiting = most_waiting.max(wlan.tx_stats().waiting);
        }
        assert!(most_waiting <= 64, "{most_waiting}");
        for outcome in join_all(tickets).await {
            assert_eq!(outcome.unwrap().delivery, Delivery::Sent);
        }
    });
    for n in 0..600_u32 {
        let frame = heard.next().await.unwrap();
        assert_eq!(
            frame.mpdu()[24..28],
            n.to_le_bytes(),
            "in order and whole {:?} {:?} {:?}",
            pair.probe.receive_stats(),
            air.stats(),
            heard.stats()
        );
    }
    sender.await.unwrap();
    assert_eq!(pair.wlan.tx_stats().sent, 600);
    pair.end().await;
}

#[tokio::test]
async fn w1_a_sink_sends_what_it_is_fed() {
    let air = Air::quiet(1);
    let pair = Pair::on("36", &air).await;
    let mut heard = pair.heard();
    let mut sink = pair.wlan.sink();
    let frames = futures::stream::iter((0..200_u8).map(|n| Ok(TxFrame::new(data(EVERYONE, 60, n)))));
    let (sent, received) = futures::join!(
        async {
            sink.send_all(&mut frames.fuse()).await.unwrap();
            sink.close().await.unwrap();
            sink.stats()
        },
        heard.by_ref().take(200).collect::<Vec<_>>()
    );
    assert_eq!((sent.others, sent.failed, sent.pending), (200, 0, 0));
    assert!(received.iter().enumerate().all(|(n, frame)| frame.mpdu()[24] == n as u8));
    // What cannot be sent comes back.
    sink.feed(TxFrame::new(vec![0; 5])).await.unwrap();
    let error = sink.flush().await.unwrap_err();
    assert!(error.refusal().is_some());
    assert_eq!(error.into_frame().bytes().len(), 5);
    pair.end().await;
}

#[tokio::test]
async fn a8_frames_that_cannot_be_sent_are_refused_and_given_back() {
    let air = Air::quiet(1);
    let pair = Pair::on("36", &air).await;
    for (frame, why) in [
        (TxFrame::new(vec![0x08; 4]), "a frame to be sent needs 10 bytes, 4 came"),
        (TxFrame::new(data(EVERYONE, 5000, 0)), "5028 bytes, a PPDU at 6.0 carries at most 4095"),
        (
            TxFrame::new(data(EVERYONE, 50, 0)).rate(Rate::Legacy(LegacyRate::M11)),
            "11.0 Mbit/s exists at 2.4 GHz only",
        ),
        (
            TxFrame::new(data(EVERYONE, 50, 0)).rate(Rate::Ht { mcs: 23 }),
            "MCS23 needs 3 chains, the adapter has 2",
        ),
        (TxFrame::new(Bytes::new()), "needs 10 bytes, 0 came"),
    ] {
        let error = pair.wlan.inject(frame.clone()).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(matches!(error.kind(), InjectErrorKind::Refused(_)) && !error.is_retryable());
        assert_eq!(error.into_frame(), frame);
    }
    assert_eq!(pair.wlan.tx_stats().refused, 5);
    assert_eq!(pair.bench.probe.transmit_stats().sent, 0);
    pair.end().await;
}

#[tokio::test]
async fn w6_an_unplug_gives_every_frame_back() {
    let air = Air::quiet(1);
    let bench = Bench::without_latency(Rtl8812au::builder().air(&air));
    let wlan = bench.attach().await.unwrap();
    let hold = bench.clock.hold();
    let mut tickets = Vec::new();
    for n in 0..40_u8 {
        tickets.push(wlan.send(data(EVERYONE, 1000, n)).await);
    }
    let Bench { port, kernel, .. } = bench;
    drop(port);
    drop(hold);
    let mut given = 0;
    for (n, ticket) in tickets.into_iter().enumerate() {
        match ticket.await {
            Ok(outcome) => panic!("{n}: {outcome:?} while the clock stood"),
            Err(error) => {
                assert!(error.is_unplugged(), "{error}");
                let unknown = error.to_string().starts_with("unknown whether the frame was sent");
                assert_eq!(error.may_have_been_sent(), unknown, "{error}");
                given += u64::from(unknown);
                assert_eq!(error.into_frame().bytes()[24], n as u8);
            }
        }
    }
    let late = wlan.inject(data(EVERYONE, 10, 99)).await.unwrap_err();
    assert!(late.is_unplugged() && !late.may_have_been_sent());
    let stats = wlan.tx_stats();
    assert!(stats.is_balanced() && stats.accepted == 40, "{stats:?}");
    assert_eq!((stats.cut_off, stats.failed), (given, 40 - given));
    assert!(given > 0, "some were on their way");
    wlan.closed().await;
    kernel.shutdown().await;
}

#[tokio::test]
async fn a5_futures_dropped_at_any_await_leave_the_interface_working() {
    let air = Air::quiet(1);
    let pair = Pair::on("36", &air).await;
    // Polled so often and then dropped.
    for polls in 0..6 {
        let hold = pair.bench.clock.hold();
        let mut inject = Box::pin(pair.wlan.inject(data(EVERYONE, 30, polls)));
        for _ in 0..polls {
            assert!(poll_immediate(&mut inject).await.is_none());
            tokio::task::yield_now().await;
        }
        drop(inject);
        drop(hold);
    }
    let mut sink = pair.wlan.sink();
    for _ in 0..100 {
        // The queue is full at some time; what was not taken is given up with the sink.
        let _ = poll_immediate(sink.feed(TxFrame::new(data(EVERYONE, 30, 50)))).await;
    }
    drop(sink);
    let mut heard = pair.heard();
    let outcome = pair.wlan.inject(data(EVERYONE, 30, 200)).await.unwrap();
    assert_eq!(outcome.delivery, Delivery::Sent);
    while heard.next().await.unwrap().mpdu()[24] != 200 {}
    pair.end().await;
}

#[tokio::test]
async fn w1_going_down_sends_what_the_chip_has_and_gives_the_rest_back() {
    let air = Air::quiet(1);
    let pair = Pair::on("36", &air).await;
    let mut tickets = Vec::new();
    for n in 0..64_u8 {
        tickets.push(pair.wlan.send(data(EVERYONE, 1000, n)).await);
    }
    pair.wlan.down().await.unwrap();
    let (mut sent, mut failed) = (0, 0);
    for (n, ticket) in tickets.into_iter().enumerate() {
        match ticket.await {
            Ok(outcome) => {
                assert_eq!(outcome.delivery, Delivery::Sent);
                sent += 1;
            }
            Err(error) => {
                assert_eq!(error.frame().bytes()[24], n as u8);
                assert!(error.hint().is_some());
                failed += 1;
            }
        }
    }
    let stats = pair.wlan.tx_stats();
    assert_eq!((stats.sent, stats.failed + stats.cut_off), (sent, failed));
    assert_eq!(pair.bench.probe.transmit_stats().sent, sent, "what was on the air and no more");
    pair.end().await;
}

#[tokio::test]
async fn w1_frames_go_out_on_the_channel_that_they_were_handed_over_on() {
    for hop in [false, true] {
        handed_over_before_a_change(hop).await;
    }
}

async fn handed_over_before_a_change(hop: bool) {
    let air = Air::quiet(1);
    let pair = Pair::on("36", &air).await;
    let other: Channel = "149".parse().unwrap();
    let mut heard = pair.heard();
    let mut tickets = Vec::new();
    for n in 0..20_u8 {
        tickets.push(pair.wlan.send(data(EVERYONE, 300, n)).await);
    }
    match hop {
        true => pair.wlan.hop(other).await.unwrap(),
        false => pair.wlan.set_channel(other).await.unwrap(),
    }
    let before = join_all(tickets).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(before, 20);
    pair.listener.set_channel(other).await.unwrap();
    pair.wlan.inject(data(EVERYONE, 300, 99)).await.unwrap();
    let mut channels = Vec::new();
    loop {
        let frame = heard.next().await.unwrap();
        channels.push(frame.channel().unwrap().primary());
        if frame.mpdu()[24] == 99 {
            break;
        }
    }
    assert_eq!(channels.last(), Some(&149));
    assert!(channels[..channels.len() - 1].iter().all(|&channel| channel == 36), "{channels:?}");
    pair.end().await;
}

#[tokio::test]
async fn w5_sending_while_receiving_loses_nothing_silently() {
    let air = Air::default_scene(9);
    let pair = Pair::on("11", &air).await;
    let mut own = pair.wlan.frames();
    let mut heard = pair.heard();
    let wlan = pair.wlan.clone();
    let rate = Rate::Legacy(LegacyRate::M54);
    let sender = tokio::spawn(async move {
        for n in 0..300_u32 {
            let mut frame = data(EVERYONE, 1400, 0);
            frame[24..28].copy_from_slice(&n.to_le_bytes());
            wlan.inject(TxFrame::new(frame).rate(rate)).await.unwrap();
        }
    });
    let listen = tokio::spawn(async move {
        for n in 0..300_u32 {
            assert_eq!(heard.next().await.unwrap().mpdu()[24..28], n.to_le_bytes());
        }
    });
    let reader = tokio::spawn(async move {
        let mut delivered = 0_u64;
        while own.next().await.is_some() {
            delivered += 1;
        }
        (delivered, own.stats())
    });
    sender.await.unwrap();
    listen.await.unwrap();
    pair.wlan.down().await.unwrap();
    let (delivered, stats) = reader.await.unwrap();
    assert!(delivered > 20 && stats.is_balanced() && stats.delivered == delivered, "{stats}");
    assert_eq!(pair.bench.probe.frames_admitted(), pair.wlan.stats().chip);
    assert_eq!(pair.wlan.tx_stats().sent, 300);
    pair.end().await;
}
