//! From the virtual air to an application's stream, and the account of every frame.

mod common;

use core::time::Duration;

use airlift_emu::air::{CapturedFrame, Quality};
use airlift_emu::{Air, Capture, ReplayOptions, Rtl8812au};
use airlift_wifi::{Channel, StreamEnd, StreamOptions, Width};
use bytes::Bytes;
use common::{Bench, options};
use futures::StreamExt;

fn on_air(air: &Air) -> Bench {
    Bench::new(Rtl8812au::builder().air(air))
}

/// The beacons of the default scene's access point carry what the air says.
#[tokio::test]
async fn w1_beacons_come_as_a_stream_with_channel_signal_and_time() {
    let air = Air::default_scene(7);
    let bench = on_air(&air);
    let wlan = bench.attach().await.unwrap();
    let mut frames = wlan.frames();
    let mut last = Duration::ZERO;
    for _ in 0..50 {
        let frame = frames.next().await.expect("the air is never quiet here");
        assert_eq!(frame.channel(), wlan.channel());
        assert!(frame.signal_dbm().is_some_and(|dbm| (-100..0).contains(&dbm)), "{frame:?}");
        assert!(frame.meta().received_at >= last);
        last = frame.meta().received_at;
    }
    bench.assert_no_violations();
    wlan.down().await.unwrap();
}

/// Frames that the chip let in are those that came to the driver, and each of them is delivered or has a cause.
#[tokio::test]
async fn w5_every_frame_that_the_chip_admits_is_accounted_for() {
    for bad_fcs in [false, true] {
        let air = Air::default_scene(3);
        let bench = on_air(&air);
        // Nothing is heard until both streams are open, since a stream accounts for what comes after it was.
        air.set_quality(Quality { loss: 1.0, damage: 0.0 });
        let wlan =
            bench.attach_with(options().bad_fcs(bad_fcs).channel("36/80".parse().unwrap())).await.unwrap();
        let mut frames = wlan.frames();
        let mut slow = wlan.frames_with(StreamOptions::new().budget(0).hold_virtual_time(false));
        air.set_quality(Quality { loss: 0.0, damage: 0.05 });
        let mut delivered = 0_u64;
        while delivered < 300 {
            frames.next().await.unwrap();
            delivered += 1;
        }
        wlan.down().await.unwrap();
        while frames.next().await.is_some() {
            delivered += 1;
        }
        assert!(matches!(frames.end(), Some(StreamEnd::Down)));
        let admitted = bench.probe.frames_admitted();
        let stats = wlan.stats();
        assert_eq!(stats.chip, admitted, "{stats:?} {:?}", bench.probe.receive_stats());
        let stream = frames.stats();
        assert_eq!(stream.delivered, delivered);
        assert!(stream.is_balanced() && stream.chip == admitted, "{stream:?}");
        while slow.next().await.is_some() {}
        assert!(slow.stats().is_balanced() && slow.stats().chip == admitted, "{:?}", slow.stats());
        bench.assert_no_violations();
    }
}

#[tokio::test]
async fn w1_a_change_of_channel_is_seen_on_the_frames() {
    let air = Air::default_scene(5);
    let bench = on_air(&air);
    let wlan = bench.attach().await.unwrap();
    let mut frames = wlan.frames();
    frames.next().await.unwrap();
    let there = Channel::new(36, Width::Mhz80).unwrap();
    wlan.set_channel(there).await.unwrap();
    let mut seen = false;
    for _ in 0..2_000 {
        let Some(frame) = frames.next().await else { break };
        if frame.channel() == Some(there) {
            seen = true;
            break;
        }
    }
    assert!(seen, "no frame of the new channel");
    wlan.down().await.unwrap();
}

/// An interface that is up and down again leaves the adapter to the next one.
#[tokio::test]
async fn w1_an_interface_can_be_opened_again_and_again() {
    let air = Air::default_scene(2);
    let bench = on_air(&air);
    for _ in 0..4 {
        let wlan = bench.attach().await.unwrap();
        let mut frames = wlan.frames();
        assert!(frames.next().await.is_some());
        wlan.down().await.unwrap();
    }
    bench.assert_no_violations();
    bench.shutdown().await;
}

/// The upper half of time stamps is the chip's from the first frame on.
#[tokio::test]
async fn w3_the_tsf_starts_where_the_chips_is() {
    let air = Air::default_scene(5);
    let bench = on_air(&air);
    // A chip whose TSF was not at zero.
    bench.probe.stick(0x0564, 0xff, 0x07);
    let wlan = bench.attach().await.unwrap();
    let mut frames = wlan.frames();
    for _ in 0..20 {
        let tsf = frames.next().await.unwrap().tsf().unwrap();
        assert_eq!(tsf >> 32, 7, "{tsf:#x}");
    }
    drop(frames);
    wlan.down().await.unwrap();
}

/// The descriptor's 32 bits wrap every 71.6 minutes; nothing is heard for hours, before the first frame and after.
#[tokio::test]
async fn w3_the_tsf_is_right_after_silences_of_hours() {
    let hour = Duration::from_secs(3600);
    let frame = |at| CapturedFrame {
        at,
        bytes: Bytes::from_static(&[0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1]),
        rate: None,
        signal_dbm: None,
        fcs_error: 0,
        ampdu: None,
    };
    let silences = [hour * 10, hour * 35];
    let capture = Capture::from_frames(silences.map(|after| frame(after - silences[0])));
    let air = Air::replay(capture, ReplayOptions { wait_for_start: true, ..ReplayOptions::default() });
    let bench = on_air(&air);
    let wlan = bench.attach_with(options().control_frames(true)).await.unwrap();
    let mut frames = wlan.frames();
    let held = bench.clock.run_until(silences[0]).await;
    air.start_replay();
    drop(held);
    for after in silences {
        let tsf = Duration::from_micros(frames.next().await.unwrap().tsf().unwrap());
        // The chip's clock began with its power, within the first second.
        let late = after.abs_diff(tsf);
        assert!(late < Duration::from_secs(2), "{tsf:?} after {after:?}");
    }
    drop(frames);
    wlan.down().await.unwrap();
}

/// Between the MAC's start and the opening of its filter nothing comes in: it would be without check sequence and
/// signal.
#[tokio::test]
async fn w3_no_frame_of_the_time_before_the_filter_is_set_comes_through() {
    for model in [airlift_emu::Model::Rtl8812au, airlift_emu::Model::Rtl8821au] {
        // The air is full while the adapter comes up.
        for seed in 0..12 {
            let air = Air::default_scene(seed);
            let bench = Bench::new(model.builder().air(&air));
            let mut sampled = 0;
            let wlan = bench.attach().await.unwrap();
            let mut frames = wlan.frames();
            while sampled < 5 {
                let frame = frames.next().await.unwrap();
                assert!(frame.signal_dbm().is_some(), "{model}, seed {seed}: {frame:?}");
                let (body, sent) = frame.bytes().split_last_chunk::<4>().unwrap();
                assert_eq!(airlift_emu::air::fcs(body).to_le_bytes(), *sent, "{model}, seed {seed}");
                sampled += 1;
            }
            wlan.down().await.unwrap();
        }
    }
}
