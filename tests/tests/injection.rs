//! Frames that an application sends: what is on the air, what becomes of them, and that none is lost unasked.

mod common;

use core::time::Duration;

use airlift_emu::{Air, Model, Probe, Rtl8812au};
use airlift_hcd::{HostController, MockPort};
use airlift_runtime::{Clock, Kernel};
use airlift_tests::trace::Traced;
use airlift_wifi::frame::Modulation;
use airlift_wifi::tx::{InjectErrorKind, Unhonoured, Unknown};
use airlift_wifi::{
    Channel, Delivery, Filter, Frame, FrameStream, LegacyRate, MacAddr, Rate, StreamOptions, TxFrame, Width,
    Wlan, radiotap,
};
use bytes::Bytes;
use common::{Bench, options, options_of};
use futures::future::{join_all, poll_immediate};
use futures::{SinkExt, StreamExt};

const OWN: [u8; 6] = [0x02, 0xa1, 0, 0, 0, 1];
const EVERYONE: [u8; 6] = [0xff; 6];
const NOBODY: [u8; 6] = [0x02, 0xdd, 0, 0, 0, 9];
/// The access point "coffee" of the default scene, on channel 11.
const COFFEE: [u8; 6] = [0x02, 0, 0, 0, 0x0a, 0x01];

/// A data frame from us with `body` bytes of `fill`.
fn data(to: [u8; 6], body: usize, fill: u8) -> Vec<u8> {
    let mut frame = vec![0x08, 0, 0, 0];
    for address in [to, OWN, OWN] {
        frame.extend(address);
    }
    frame.extend([0xb0, 0x0b]);
    frame.resize(24 + body, fill);
    frame
}

/// Two adapters on one air: one that sends, one that listens.
struct Pair {
    bench: Bench,
    wlan: Wlan,
    listener: Wlan,
    _port: MockPort,
    probe: Probe,
}

impl Pair {
    async fn on(channel: &str, air: &Air) -> Self {
        let bench = Bench::without_latency(Rtl8812au::builder().air(air));
        let other = Rtl8812au::builder().air(air).seed(2).build();
        let probe = other.probe();
        let port = bench.controller.plug(other);
        let channel: Channel = channel.parse().unwrap();
        let wlan = bench.attach_with(options().channel(channel)).await.unwrap();
        let listener = Wlan::attach(port.device(), options().channel(channel)).await.unwrap();
        Self { bench, wlan, listener, _port: port, probe }
    }

    /// What the listener hears from us, from now on.
    fn heard(&self) -> FrameStream {
        let ours = Filter::transmitter(MacAddr(OWN));
        self.listener.frames_with(StreamOptions::new().filter(ours))
    }

    async fn end(self) {
        self.wlan.down().await.unwrap();
        self.listener.down().await.unwrap();
        self.bench.assert_no_violations();
        let violations = self.probe.violations();
        assert!(violations.is_empty(), "{violations:#?}");
        assert!(self.wlan.tx_stats().is_balanced(), "{:?}", self.wlan.tx_stats());
    }
}

fn modulation(rate: Rate, bandwidth: Width, short_gi: bool, ldpc: bool, stbc: bool) -> Modulation {
    Modulation {
        rate,
        bandwidth: Some(bandwidth),
        short_gi: Some(short_gi),
        ldpc: Some(ldpc),
        stbc: Some(stbc),
    }
}

/// The same frame but for what the chip fills in: the sequence number.
fn assert_same(heard: &Frame, sent: &[u8]) {
    let mut mpdu = heard.mpdu().to_vec();
    mpdu[22..24].copy_from_slice(&sent[22..24]);
    assert_eq!(mpdu, sent);
}

#[tokio::test]
async fn w3_what_one_adapter_injects_another_receives_with_its_rate_and_coding() {
    use Width::{Mhz20, Mhz40, Mhz80};
    let air = Air::quiet(1);
    let pair = Pair::on("36/80", &air).await;
    let mut heard = pair.heard();
    let cases = [
        modulation(Rate::Ht { mcs: 0 }, Mhz20, false, false, false),
        modulation(Rate::Ht { mcs: 7 }, Mhz40, true, true, true),
        modulation(Rate::Ht { mcs: 15 }, Mhz40, true, false, false),
        modulation(Rate::Vht { mcs: 8, nss: 1 }, Mhz20, false, true, false),
        modulation(Rate::Vht { mcs: 9, nss: 2 }, Mhz80, true, true, false),
        modulation(Rate::Vht { mcs: 0, nss: 1 }, Mhz80, false, false, true),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        let sent = data(EVERYONE, 100 * n, n as u8);
        let outcome = pair.wlan.inject(TxFrame::new(sent.clone()).rate(case)).await.unwrap();
        assert_eq!((outcome.delivery, outcome.retries), (Delivery::Sent, Some(0)));
        assert_eq!((outcome.rate, outcome.unhonoured), (Some(case.rate), Unhonoured::empty()));
        let frame = heard.next().await.unwrap();
        assert_same(&frame, &sent);
        assert_eq!(frame.meta().modulation, Some(case));
    }
    for rate in LegacyRate::ALL.into_iter().filter(|rate| !rate.is_cck()) {
        let outcome =
            pair.wlan.inject(TxFrame::new(data(EVERYONE, 8, 1)).rate(Rate::Legacy(rate))).await.unwrap();
        assert_eq!(outcome.rate, Some(Rate::Legacy(rate)));
        assert_eq!(heard.next().await.unwrap().rate(), Some(Rate::Legacy(rate)));
    }
    pair.end().await;
}

#[tokio::test]
async fn w3_without_a_rate_the_lowest_of_the_band_is_taken() {
    let air = Air::quiet(1);
    let pair = Pair::on("1", &air).await;
    let mut heard = pair.heard();
    for (channel, rate) in [("1", LegacyRate::M1), ("36", LegacyRate::M6), ("6+", LegacyRate::M1)] {
        let channel: Channel = channel.parse().unwrap();
        pair.wlan.set_channel(channel).await.unwrap();
        pair.listener.set_channel(channel).await.unwrap();
        pair.wlan.inject(data(EVERYONE, 20, 3)).await.unwrap();
        let frame = heard.next().await.unwrap();
        assert_eq!((frame.rate(), frame.channel()), (Some(Rate::Legacy(rate)), Some(channel)));
    }
    pair.end().await;
}

#[tokio::test]
async fn w3_the_outcome_tells_who_was_answered_and_how_often_was_tried() {
    let air = Air::default_scene(4);
    let pair = Pair::on("11", &air).await;
    let mut heard = pair.heard();
    let rate = Rate::Legacy(LegacyRate::M24);
    let to = |whom, fill| TxFrame::new(data(whom, 30, fill)).rate(rate);

    let outcome = pair.wlan.inject(to(COFFEE, 1)).await.unwrap();
    assert_eq!(outcome.delivery, Delivery::Acknowledged);
    heard.next().await.unwrap();

    let outcome = pair.wlan.inject(to(NOBODY, 2).retries(3)).await.unwrap();
    assert_eq!((outcome.delivery, outcome.retries), (Delivery::NotAcknowledged, Some(3)));
    for attempt in 0..4 {
        let frame = heard.next().await.unwrap();
        assert_eq!(frame.mpdu()[24], 2);
        assert_eq!(frame.header().unwrap().frame_control().retry(), attempt > 0);
    }

    // Sent once, and nobody asks for the answer.
    let outcome = pair.wlan.inject(to(NOBODY, 3).no_ack()).await.unwrap();
    assert_eq!((outcome.delivery, outcome.retries), (Delivery::Sent, Some(0)));
    // As often as the MAC is set up for.
    let outcome = pair.wlan.inject(to(NOBODY, 4)).await.unwrap();
    assert_eq!((outcome.delivery, outcome.retries), (Delivery::NotAcknowledged, Some(48)));
    let (mut third, mut fourth) = (0, 0);
    while fourth < 49 {
        match heard.next().await.unwrap().mpdu()[24] {
            3 => third += 1,
            _ => fourth += 1,
        }
    }
    assert_eq!(third, 1);

    let outcome = pair.wlan.inject(to(COFFEE, 5).report(false)).await.unwrap();
    assert_eq!((outcome.delivery, outcome.retries), (Delivery::Unknown(Unknown::NotAsked), None));
    let stats = pair.wlan.tx_stats();
    assert_eq!((stats.acknowledged, stats.not_acknowledged, stats.sent, stats.unknown), (1, 2, 1, 1));
    assert_eq!((stats.retries, stats.stray_reports), (51, 0));
    pair.end().await;
}

#[tokio::test]
async fn w3_sequence_numbers_are_the_chips_or_the_frames_own() {
    let air = Air::quiet(1);
    let pair = Pair::on("11", &air).await;
    let mut heard = pair.heard();
    let mut number = async |frame: TxFrame| {
        pair.wlan.inject(frame).await.unwrap();
        heard.next().await.unwrap().header().unwrap().sequence().unwrap()
    };
    let first = number(TxFrame::new(data(EVERYONE, 9, 0))).await.number();
    let second = number(TxFrame::new(data(EVERYONE, 9, 0))).await.number();
    assert_eq!(second, first + 1);
    assert_eq!(number(TxFrame::new(data(EVERYONE, 9, 0)).keep_sequence()).await.0, 0x0bb0);
    pair.end().await;
}

#[tokio::test]
async fn w3_a_packet_with_radiotap_is_sent_as_its_header_says() {
    let air = Air::quiet(1);
    let pair = Pair::on("36+", &air).await;
    let mut heard = pair.heard();
    use radiotap::{Mcs, tx_flag};
    let header = radiotap::Fields {
        tx_flags: Some(tx_flag::NO_SEQUENCE | tx_flag::NO_ACK),
        data_retries: Some(5),
        tx_power_dbm: Some(10),
        mcs: Some(Mcs {
            known: Mcs::KNOWN_MCS | Mcs::KNOWN_BANDWIDTH | Mcs::KNOWN_GUARD_INTERVAL,
            flags: Mcs::BANDWIDTH_40 | Mcs::SHORT_GI,
            mcs: 12,
        }),
        ..radiotap::Fields::default()
    };
    let sent = data(NOBODY, 200, 7);
    let packet = [&header.emit()[..], &sent].concat();
    let outcome = pair.wlan.inject(TxFrame::from_radiotap(packet).unwrap()).await.unwrap();
    assert_eq!(outcome.delivery, Delivery::Sent);
    // The descriptor has no power of its own.
    assert_eq!(outcome.unhonoured, Unhonoured::TX_POWER);
    let frame = heard.next().await.unwrap();
    // To the last bit: the sequence number too.
    assert_eq!(frame.mpdu(), sent);
    let expected = modulation(Rate::Ht { mcs: 12 }, Width::Mhz40, true, false, false);
    assert_eq!(frame.meta().modulation, Some(expected));
    pair.end().await;
}

#[tokio::test]
async fn w3_what_was_received_can_be_sent_again_as_it_came() {
    let air = Air::default_scene(4);
    let pair = Pair::on("11", &air).await;
    let mut beacons = pair.wlan.frames_with(Filter::transmitter(MacAddr(COFFEE)));
    let beacon = beacons.next().await.unwrap();
    drop(beacons);
    let mut again = pair.listener.frames_with(Filter::transmitter(MacAddr(COFFEE)));
    pair.wlan.inject(TxFrame::from(&beacon).keep_sequence()).await.unwrap();
    let mut copies = 0;
    while copies == 0 {
        let frame = again.next().await.unwrap();
        copies += usize::from(frame.mpdu() == beacon.mpdu() && frame.rate() == beacon.rate());
    }
    pair.end().await;
}

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

/// A chip whose firmware reports nothing, as one that is busy may.
#[tokio::test]
async fn w3_without_a_report_the_outcome_is_unknown_in_time() {
    let air = Air::quiet(1);
    let pair = Pair::on("36", &air).await;
    let begin = pair.bench.clock.now();
    pair.bench.probe.mute_reports(true);
    let outcome = pair.wlan.inject(data(EVERYONE, 100, 1)).await.unwrap();
    assert_eq!((outcome.delivery, outcome.retries), (Delivery::Unknown(Unknown::NoReport), None));
    let waited = pair.bench.clock.now() - begin;
    assert!((2000..2020).contains(&waited.as_millis()), "{waited:?}");
    // When none came for long, waiting for the next takes little.
    // 64 reports can be told apart: without a number nothing is waited for.
    let outcomes = join_all((0..100).map(|_| pair.wlan.inject(data(EVERYONE, 100, 2)))).await;
    let unknown = |why| {
        let why = Delivery::Unknown(why);
        outcomes
            .iter()
            .filter(|outcome| outcome.as_ref().is_ok_and(|outcome| outcome.delivery == why))
            .count()
    };
    assert_eq!((unknown(Unknown::NoReport), unknown(Unknown::NoNumber)), (63, 37));
    let begin = pair.bench.clock.now();
    pair.wlan.inject(data(EVERYONE, 100, 3)).await.unwrap();
    let waited = pair.bench.clock.now() - begin;
    assert!(waited < Duration::from_millis(12), "{waited:?}");
    pair.bench.probe.mute_reports(false);
    // No late report can come any more.
    drop(pair.bench.clock.run_until(pair.bench.clock.now() + Duration::from_secs(30)).await);
    let outcome = pair.wlan.inject(data(EVERYONE, 100, 4)).await.unwrap();
    assert_eq!(outcome.delivery, Delivery::Sent);
    pair.end().await;
}

/// Every chip of the family, in its own descriptors and with as many frames to a transfer as it takes.
#[tokio::test]
async fn w3_each_chip_sends_and_another_one_hears_it() {
    for (at, &model) in Model::ALL.iter().enumerate() {
        let other = Model::ALL[(at + 1) % Model::ALL.len()];
        let air = Air::quiet(1);
        let clock = Clock::virtual_time();
        let kernel = Kernel::builder().clock(clock.clone()).build().unwrap();
        let controller = HostController::new(&kernel.handle()).unwrap();
        let (adapter, listener) = (model.builder().air(&air).build(), other.builder().air(&air).build());
        let (probe, others_probe) = (adapter.probe(), listener.probe());
        let (adapter, trace) = Traced::new(adapter);
        let (port, others_port) = (controller.plug(adapter), controller.plug(listener));
        let channel: Channel = "36/80".parse().unwrap();
        let options = |model: Model| options_of(model).channel(channel);
        let wlan = Wlan::attach(port.device(), options(model)).await.unwrap();
        let listener = Wlan::attach(others_port.device(), options(other)).await.unwrap();
        let mut heard = listener.frames_with(Filter::transmitter(MacAddr(OWN)));
        let before = trace.bulk_out();

        // Of many lengths, and some in other queues, so that transfers are cut off at different places.
        let mut sent = Vec::new();
        let mut tickets = Vec::new();
        let hold = clock.hold();
        for n in 0..60_u8 {
            let mut frame = data(EVERYONE, usize::from(n) * 37 % 1_400, n);
            if n % 10 == 9 {
                // A probe request, in the management queue.
                frame[0] = 0x40;
            }
            let modulation = modulation(Rate::Vht { mcs: 4, nss: 1 }, Width::Mhz80, n % 2 == 0, false, false);
            sent.push((frame.clone(), modulation));
            tickets.push(wlan.send(TxFrame::new(frame).rate(modulation).keep_sequence()).await);
        }
        drop(hold);
        for outcome in join_all(tickets).await {
            assert_eq!(outcome.unwrap().delivery, Delivery::Sent, "{model}");
        }
        let mut received = Vec::new();
        while received.len() < sent.len() {
            let frame = heard.next().await.unwrap();
            received.push((frame.mpdu().to_vec(), frame.meta().modulation.unwrap()));
        }
        // Frames of one queue keep their order; those of another may overtake them.
        for management in [false, true] {
            let of = |frames: &[(Vec<u8>, Modulation)]| {
                frames.iter().filter(|(mpdu, _)| (mpdu[0] == 0x40) == management).cloned().collect::<Vec<_>>()
            };
            assert!(of(&received) == of(&sent), "{model} heard by {other}, management: {management}");
        }
        let transfers = trace.bulk_out() - before;
        match model {
            Model::Rtl8812au => assert_eq!(transfers, 60),
            _ => assert!(transfers < 60, "{model} takes several frames in a transfer; {transfers}"),
        }
        wlan.down().await.unwrap();
        listener.down().await.unwrap();
        for probe in [probe, others_probe] {
            assert!(probe.violations().is_empty(), "{model}: {:#?}", probe.violations());
        }
        drop((port, others_port, controller));
        kernel.shutdown().await;
    }
}
