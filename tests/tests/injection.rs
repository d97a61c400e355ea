//! Frames that an application sends: what is on the air, and what becomes of them.

mod common;

use core::time::Duration;

use airlift_emu::{Air, Model};
use airlift_hcd::HostController;
use airlift_runtime::{Clock, Kernel};
use airlift_tests::trace::Traced;
use airlift_wifi::frame::Modulation;
use airlift_wifi::tx::{Unhonoured, Unknown};
use airlift_wifi::{Channel, Delivery, Filter, LegacyRate, MacAddr, Rate, TxFrame, Width, Wlan, radiotap};
use common::options_of;
use common::pair::{COFFEE, EVERYONE, NOBODY, OWN, Pair, assert_same, data};
use futures::StreamExt;
use futures::future::join_all;

fn modulation(rate: Rate, bandwidth: Width, short_gi: bool, ldpc: bool, stbc: bool) -> Modulation {
    Modulation {
        rate,
        bandwidth: Some(bandwidth),
        short_gi: Some(short_gi),
        ldpc: Some(ldpc),
        stbc: Some(stbc),
    }
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
