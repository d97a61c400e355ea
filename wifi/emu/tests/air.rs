//! E1, E2: frames between the air and the bulk endpoints.

mod common;

use std::time::Duration;

use airlift_emu::{Air, AirFrame, Capture, RadioOptions, Rate, ReplayOptions, Rtl8812au, Tuning};
use airlift_hcd::UsbFunction;
use common::{Host, outgoing, packets};

fn listening(air: &Air, channel: u8) -> Host {
    let mut host = Host::new(Rtl8812au::builder().air(air));
    host.receive_on(channel).unwrap();
    // Aggregates of five pages or about a millisecond.
    host.write16(0x280, 0x2005).unwrap();
    host.change8(0x10c, 0, 0x04).unwrap();
    for _ in 0..4 {
        host.post_receive();
    }
    host
}

/// A beacon-like frame to everybody.
fn broadcast(length: usize) -> Vec<u8> {
    let mut frame = vec![0; length];
    frame[0] = 0x80;
    frame[4..10].fill(0xff);
    frame[10..16].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[16..22].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame
}

#[test]
fn e2_the_default_scene_is_heard_on_channel_11() {
    let mut host = listening(&Air::default_scene(1), 11);
    let until = host.now + Duration::from_secs(1);
    let transfers = host.receive_until(until);
    let packets: Vec<_> = transfers.into_iter().flat_map(packets).collect();
    let beacons = packets.iter().filter(|packet| packet.payload[0] == 0x80).count();
    assert!(beacons >= 8, "{beacons} beacons in a second");
    assert_eq!(packets.len() as u64, host.probe.frames_admitted());
    let stats = host.probe.receive_stats();
    assert_eq!(stats.heard, stats.admitted + stats.filtered + stats.overflowed);
    for packet in &packets {
        assert_eq!(packet.info.len(), 32);
        assert!(packet.payload.len() > 14);
    }
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e4_the_same_seed_gives_the_same_transfers() {
    let run = || {
        let mut host = listening(&Air::default_scene(7), 11);
        let until = host.now + Duration::from_millis(300);
        host.receive_until(until)
    };
    assert_eq!(run(), run());
}

#[test]
fn e2_what_one_adapter_sends_another_receives_with_rate_and_signal() {
    let air = Air::quiet(3);
    let (mut sender, mut receiver) = (listening(&air, 36), listening(&air, 36));
    receiver.now = sender.now;
    let frame = broadcast(120);
    assert_eq!(sender.send(0x02, &outgoing(&frame, 0x0c + 7, None)), Some(Ok(())));
    let until = receiver.now + Duration::from_millis(20);
    let got: Vec<_> = receiver.receive_until(until).into_iter().flat_map(packets).collect();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].payload[..120], frame);
    assert_eq!(got[0].payload.len(), 124, "the FCS follows");
    assert_eq!(got[0].rate(), 0x0c + 7);
    let signal = i16::from(got[0].info[0] & 0x7f) - 110;
    assert!((-95..=0).contains(&signal), "{signal} dBm");
    assert_eq!(sender.probe.transmit_stats().sent, 1);
}

#[test]
fn e1_a_report_follows_a_frame_that_asked_for_one() {
    let air = Air::quiet(3);
    let mut host = listening(&air, 1);
    host.write16(0x42a, 0x0303).unwrap();
    host.send(0x02, &outgoing(&broadcast(60), 0, Some(0x24))).unwrap().unwrap();
    // To somebody who is not there: tried again as often as the limit allows, then given up.
    let mut frame = broadcast(60);
    frame[0] = 0x08;
    frame[4..10].copy_from_slice(&[2, 9, 9, 9, 9, 9]);
    host.send(0x02, &outgoing(&frame, 4, Some(0x28))).unwrap().unwrap();
    let until = host.now + Duration::from_millis(50);
    let got: Vec<_> = host.receive_until(until).into_iter().flat_map(packets).collect();
    let reports: Vec<_> = got.iter().filter(|packet| packet.is_message()).collect();
    assert_eq!(reports.len(), 2, "{got:?}");
    let report = |i: usize| (reports[i].payload[0], reports[i].payload[2] & 0xc0, reports[i].payload[8]);
    assert_eq!(report(0), (0x03, 0, 0x24));
    assert_eq!(report(1), (0x03, 0x80, 0x28));
    assert_eq!(reports[1].payload[4], 3, "retries");
    assert_eq!(host.probe.transmit_stats().retries, 3);
}

#[test]
fn e1_the_filter_decides_by_address_kind_and_check_sum() {
    let heard_with = |rcr: u32, frame: Vec<u8>, fcs_error: u32| {
        let air = Air::quiet(5);
        let mut other = air.join(RadioOptions::default());
        other.tune(Duration::ZERO, Tuning::channel(6));
        let mut host = listening(&air, 6);
        host.write32(0x610, 2).unwrap();
        host.write16(0x614, 0x0500).unwrap();
        host.write32(0x608, rcr).unwrap();
        let mut sent = AirFrame::new(frame.into(), Rate::DSSS_1M);
        sent.fcs_error = fcs_error;
        other.transmit(host.now, sent).unwrap();
        let until = host.now + Duration::from_millis(20);
        host.receive_until(until);
        let stats = host.probe.receive_stats();
        assert_eq!(stats.heard, 1);
        assert_eq!(stats.admitted + stats.filtered, 1);
        stats.admitted == 1
    };
    let to = |address: [u8; 6]| {
        let mut frame = broadcast(60);
        frame[0] = 0x08;
        frame[4..10].copy_from_slice(&address);
        frame
    };
    let (own, foreign, group) = ([2, 0, 0, 0, 0, 5], [2, 0, 0, 0, 0, 6], [1, 0, 0x5e, 0, 0, 1]);
    assert!(heard_with(0x02, to(own), 0) && !heard_with(0x02, to(foreign), 0));
    assert!(heard_with(0x01, to(foreign), 0) && !heard_with(0x01, to(group), 0));
    assert!(heard_with(0x04, to(group), 0) && !heard_with(0x04, to([0xff; 6]), 0));
    assert!(heard_with(0x08, to([0xff; 6]), 0));
    assert!(!heard_with(0x0f, to(own), 1) && heard_with(0x10f, to(own), 1));
    // Control frames: only PS-Poll passes the map that the bring-up writes.
    let mut poll = to(own);
    poll[0] = 0xa4;
    let mut ack = to(own);
    ack[0] = 0xd4;
    ack.truncate(10);
    assert!(heard_with(0x0f, poll, 0) && !heard_with(0x0f, ack, 0));
    // A foreign cell's data, when the filter asks for the own cell's.
    assert!(!heard_with(
        0x4f,
        broadcast(60).into_iter().enumerate().map(|(i, b)| if i == 0 { 8 } else { b }).collect(),
        0
    ));
}

#[test]
fn e1_a_full_buffer_overflows_and_says_so() {
    let air = Air::quiet(5);
    let mut other = air.join(RadioOptions::default());
    other.tune(Duration::ZERO, Tuning::channel(6));
    let mut host = Host::new(Rtl8812au::builder().air(&air));
    host.receive_on(6).unwrap();
    for _ in 0..40 {
        other.transmit(host.now, AirFrame::new(broadcast(1000).into(), Rate::legacy(108).unwrap())).unwrap();
    }
    host.now += Duration::from_millis(100);
    assert!(host.device.poll(host.now).is_none());
    let stats = host.probe.receive_stats();
    assert_eq!((stats.heard, stats.filtered), (40, 0));
    // 24 of descriptor, 32 of PHY status, 1,004 of frame, padded to 8: 1,064, fifteen of which fit 16,000.
    assert_eq!((stats.admitted, stats.overflowed), (15, 25));
}

#[test]
fn e1_aggregates_end_by_size_or_time() {
    let air = Air::quiet(5);
    let mut other = air.join(RadioOptions::default());
    other.tune(Duration::ZERO, Tuning::channel(6));
    let mut host = listening(&air, 6);
    let mut burst = |host: &mut Host, frames: usize| {
        for _ in 0..frames {
            other
                .transmit(host.now, AirFrame::new(broadcast(1000).into(), Rate::legacy(108).unwrap()))
                .unwrap();
        }
        let until = host.now + Duration::from_millis(100);
        let transfers = host.receive_until(until);
        transfers.into_iter().map(|transfer| packets(transfer).len()).collect::<Vec<_>>()
    };
    // 1,000 bytes at 54 Mbit/s and the gap take about 200 us: five or six in 1,024 us.
    let by_time = burst(&mut host, 12);
    assert_eq!(by_time.iter().sum::<usize>(), 12);
    assert!(by_time.iter().all(|packets| (4..=7).contains(packets) || *packets < 4), "{by_time:?}");
    assert!(by_time.len() <= 3);
    // A page of 4 KiB: four packets.
    host.write16(0x280, 0xff01).unwrap();
    assert_eq!(burst(&mut host, 8), [4, 4]);
    // No aggregation: each by itself.
    host.write16(0x280, 0x0100).unwrap();
    assert_eq!(burst(&mut host, 3), [1, 1, 1]);
}

#[test]
fn e1_a_half_tuned_chip_is_deaf() {
    let air = Air::quiet(5);
    let mut host = listening(&air, 6);
    assert_eq!(host.probe.tuning(), Tuning::channel(6));
    // The synthesizer on channel 36 without its band, then with, then the baseband's band and clock.
    host.write32(0xc90, 0x0180_0c24).unwrap();
    assert_eq!(host.probe.tuning(), None);
    host.write32(0xc90, 0x0181_0d24).unwrap();
    assert_eq!(host.probe.tuning(), None);
    host.write8(0x454, 0x80).unwrap();
    host.write32(0x834, 0x0037_a706).unwrap();
    assert_eq!(host.probe.tuning(), None);
    host.write32(0x860, 0x494 << 17).unwrap();
    assert_eq!(host.probe.tuning(), Tuning::channel(36));
}

#[test]
fn e2_a_replay_waits_until_its_frames_have_been_fetched() {
    // A capture in the classic format, link type 105: two hundred frames of up to 8,000 bytes at one instant.
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x0004_0000, 105] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    let lengths: Vec<usize> = (0..200).map(|i| 40 + i * 7919 % 7960).collect();
    for (number, length) in lengths.iter().enumerate() {
        for word in [1, 0, *length as u32, *length as u32] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        let mut frame = broadcast(*length);
        frame[24..28].copy_from_slice(&(number as u32).to_le_bytes());
        file.extend_from_slice(&frame);
    }
    let air = Air::replay(Capture::read(&file[..]).unwrap(), ReplayOptions::default());
    let mut host = Host::new(Rtl8812au::builder().air(&air));
    host.receive_on(11).unwrap();
    host.write16(0x280, 0x2005).unwrap();
    host.change8(0x10c, 0, 0x04).unwrap();
    // Nobody fetches for a long time; then one transfer after the other.
    host.sleep(Duration::from_secs(5));
    let mut got = Vec::new();
    while got.len() < lengths.len() {
        host.post_receive();
        let reply = host.device.poll(host.now).unwrap_or_else(|| panic!("silent after {} frames", got.len()));
        got.extend(packets(reply.buffer.freeze()).iter().map(|packet| packet.payload.len() - 4));
    }
    assert_eq!(got, lengths);
    assert_eq!(host.probe.receive_stats().overflowed, 0);
}
