//! The scripted cells: what they say, that it repeats, and how they answer.

use std::collections::BTreeMap;
use std::time::Duration;

use airlift_emu::air::{
    AccessPoint, Air, AirFrame, Modulation, Radio, RadioOptions, Rate, Signal, Station, Traffic, Tuning,
    Width,
};
use bytes::Bytes;

const COFFEE: [u8; 6] = [2, 0, 0, 0, 0x0a, 1];
const STATION: [u8; 6] = [2, 0, 0, 0, 0x0b, 7];
const SLOT_US: u64 = 102_400;

fn listen(air: &Air, tuning: Option<Tuning>, from: Duration, until: Duration) -> Vec<AirFrame> {
    let mut radio = air.join(RadioOptions::default());
    radio.tune(from, tuning);
    std::iter::from_fn(|| radio.receive(until)).collect()
}

fn second(air: &Air, channel: u8) -> Vec<AirFrame> {
    listen(air, Tuning::channel(channel), Duration::ZERO, Duration::from_secs(1))
}

/// The elements of a beacon or probe response, by number.
fn elements(frame: &AirFrame) -> BTreeMap<u8, Vec<u8>> {
    let mut rest = &frame.bytes[36..];
    let mut found = BTreeMap::new();
    while let [id, length, tail @ ..] = rest {
        let (body, after) = tail.split_at(usize::from(*length));
        found.insert(*id, body.to_vec());
        rest = after;
    }
    assert!(rest.is_empty());
    found
}

fn beacons(frames: &[AirFrame]) -> Vec<&AirFrame> {
    frames.iter().filter(|frame| frame.bytes[0] == 0x80).collect()
}

#[test]
fn e2_coffee_beacons_every_102400_us_with_its_clock_and_its_elements() {
    let frames = second(&Air::default_scene(1), 11);
    let beacons = beacons(&frames);
    assert_eq!(beacons.len(), 10);
    for pair in beacons.windows(2) {
        assert_eq!((pair[1].start - pair[0].start).as_micros(), u128::from(SLOT_US));
        let sequence = |frame: &AirFrame| u16::from_le_bytes([frame.bytes[22], frame.bytes[23]]) >> 4;
        assert_eq!(sequence(pair[1]), sequence(pair[0]) + 1);
    }
    for beacon in beacons {
        assert_eq!((beacon.transmitter(), beacon.rate), (Some(COFFEE), Rate::DSSS_1M));
        // 192 us of preamble and 24 bytes of header at 1 Mbit/s before the time stamp.
        let tsf = u64::from_le_bytes(beacon.bytes[24..32].try_into().unwrap());
        assert_eq!(u128::from(tsf), beacon.start.as_micros() + 192 + 24 * 8);
        let elements = elements(beacon);
        assert_eq!(elements[&0], b"coffee");
        assert_eq!(elements[&3], [11]);
        for (id, length) in [(1, 8), (5, 4), (42, 1), (48, 20), (45, 26), (50, 4), (61, 22), (221, 24)] {
            assert_eq!(elements[&id].len(), length, "element {id}");
        }
    }
}

#[test]
fn e2_channel_11_carries_every_common_kind_of_frame() {
    let frames = listen(&Air::default_scene(1), Tuning::channel(11), Duration::ZERO, Duration::from_secs(4));
    assert!(frames.len() > 4 * 60, "{} frames in 4 s", frames.len());
    assert!(frames.len() < 4 * 200, "{} frames in 4 s", frames.len());
    let has = |test: &dyn Fn(&AirFrame) -> bool| frames.iter().filter(|frame| !frame.bad_fcs()).any(test);
    // Beacon, probe request and response, data, null, QoS data, ACK, CTS, RTS, block ack.
    for control in [0x80, 0x40, 0x50, 0x08, 0x48, 0x88, 0xd4, 0xc4, 0xb4, 0x94] {
        assert!(has(&|frame| frame.bytes[0] == control), "{control:#x}");
    }
    let protected = |frame: &AirFrame| frame.bytes[0] == 0x88 && frame.bytes[1] & 0x40 != 0;
    assert!(has(&|frame| protected(frame) && frame.transmitter() == Some(STATION)));
    assert!(has(&|frame| protected(frame) && frame.receiver() == Some(STATION)));
    assert!(has(&|frame| frame.rate.modulation == Modulation::Ht { mcs: 7 }));
    assert!(has(&|frame| frame.ampdu.is_some_and(|ampdu| ampdu.last)));
    let bad = frames.iter().filter(|frame| frame.bad_fcs()).count();
    assert!((1..frames.len() / 10).contains(&bad), "{bad} damaged of {}", frames.len());
}

#[test]
fn e2_scripted_frames_never_overlap_but_in_an_aggregate() {
    let frames = listen(&Air::default_scene(3), Tuning::channel(11), Duration::ZERO, Duration::from_secs(20));
    for pair in frames.windows(2) {
        let same = pair[0].ampdu.is_some()
            && pair[0].ampdu.map(|a| a.reference) == pair[1].ampdu.map(|a| a.reference);
        assert!(pair[1].start >= pair[0].end || same, "{pair:?}");
        assert!(pair[1].end > pair[0].end);
    }
}

#[test]
fn e2_sequence_and_packet_numbers_count_on_without_gap_or_repeat() {
    let frames = listen(&Air::default_scene(5), Tuning::channel(11), Duration::ZERO, Duration::from_secs(60));
    let mut last: Option<(u16, u64)> = None;
    let mut count = 0;
    for frame in
        frames.iter().filter(|f| f.bytes[0] == 0x88 && f.transmitter() == Some(STATION) && !f.bad_fcs())
    {
        let sequence = u16::from_le_bytes([frame.bytes[22], frame.bytes[23]]) >> 4;
        let b = &frame.bytes[26..34];
        let packet = u64::from_le_bytes([b[0], b[1], b[4], b[5], b[6], b[7], 0, 0]);
        if let Some((before, packet_before)) = last {
            let step = sequence.wrapping_sub(before) & 0xfff;
            assert_eq!(packet - packet_before, u64::from(step));
            assert!((1..8).contains(&step), "damaged frames make small gaps, {step} is none");
        }
        last = Some((sequence, packet));
        count += 1;
    }
    assert!(count > 500);
}

#[test]
fn e4_the_same_seed_gives_the_same_air_whoever_asks_and_however() {
    let all = second(&Air::default_scene(9), 11);
    assert_eq!(all, second(&Air::default_scene(9), 11));
    assert_ne!(all, second(&Air::default_scene(10), 11));

    // In small steps, as an adapter asks.
    let air = Air::default_scene(9);
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, Tuning::channel(11));
    let mut stepped = Vec::new();
    while let Some(at) = radio.next_arrival().filter(|at| *at <= Duration::from_secs(1)) {
        stepped.extend(radio.receive(at));
    }
    assert_eq!(all, stepped);

    // After a detour over another channel the rest is the same.
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, Tuning::channel(1));
    let middle = Duration::from_millis(431);
    while radio.receive(middle).is_some() {}
    radio.tune(middle, Tuning::channel(11));
    let rest: Vec<Bytes> = std::iter::from_fn(|| radio.receive(Duration::from_secs(1)))
        .filter(|frame| !frame.bad_fcs())
        .map(|frame| frame.bytes)
        .collect();
    let undamaged = all.iter().filter(|frame| frame.start >= middle && !frame.bad_fcs()).count();
    assert!(rest.len().abs_diff(undamaged) < 10 && !rest.is_empty(), "{} {undamaged}", rest.len());
}

#[test]
fn e2_every_channel_of_both_bands_is_alive() {
    let air = Air::default_scene(1);
    let channels = (1..=14).chain([36, 40, 44, 48]).chain((52..=64).step_by(4)).chain((100..=144).step_by(4));
    for channel in channels.chain((149..=177).step_by(4)) {
        assert!(beacons(&second(&air, channel)).len() >= 9, "channel {channel}");
    }
}

#[test]
fn e2_wide_channels_carry_wide_frames() {
    let air = Air::default_scene(1);
    let hear = |tuning| listen(&air, tuning, Duration::ZERO, Duration::from_secs(1));
    for (primary, center) in [(36, 42), (149, 155)] {
        let frames = hear(Tuning::new(primary, Width::Mhz80, center));
        let wide = |frame: &&AirFrame| {
            frame.rate.width == Width::Mhz80
                && matches!(frame.rate.modulation, Modulation::Vht { nss: 2, .. })
        };
        assert!(frames.iter().filter(wide).count() > 50);
        let elements = elements(beacons(&frames)[0]);
        assert_eq!((elements[&191].len(), elements[&192][..2].to_vec()), (12, vec![1, center]));
    }
    let frames = hear(Tuning::new(6, Width::Mhz40, 8));
    assert!(frames.iter().any(|frame| frame.rate.width == Width::Mhz40));
    assert!(
        !hear(Tuning::channel(6))
            .iter()
            .any(|frame| frame.rate.width == Width::Mhz40 && frame.bytes[0] == 0x88)
    );
}

fn probe(to: [u8; 6], from: [u8; 6], ssid: &[u8]) -> AirFrame {
    let mut bytes = vec![0x40, 0, 0, 0];
    bytes.extend(to);
    bytes.extend(from);
    bytes.extend(to);
    bytes.extend([0x10, 0, 0, ssid.len() as u8]);
    bytes.extend(ssid);
    bytes.extend([1, 1, 0x82]);
    AirFrame::new(bytes.into(), Rate::DSSS_1M)
}

fn answers(radio: &mut Radio, from: Duration, me: [u8; 6]) -> Vec<AirFrame> {
    let until = from + Duration::from_millis(90);
    std::iter::from_fn(|| radio.receive(until)).filter(|frame| frame.receiver() == Some(me)).collect()
}

#[test]
fn e2_an_access_point_answers_probe_requests_for_any_network_and_for_its_own() {
    let me = [2, 0, 0, 0, 0xcc, 1];
    let air = Air::quiet(1);
    air.add_cell(AccessPoint::new(COFFEE, "coffee", Tuning::channel(11).unwrap()), []);
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, Tuning::channel(11));
    let mut now = Duration::from_millis(10);
    for ssid in [&b""[..], b"coffee"] {
        let sent = radio.transmit(now, probe([0xff; 6], me, ssid)).unwrap();
        assert_eq!(sent.acknowledged, None);
        let answers = answers(&mut radio, now, me);
        assert_eq!(answers.len(), 1);
        assert_eq!((answers[0].bytes[0], answers[0].transmitter()), (0x50, Some(COFFEE)));
        assert_eq!(elements(&answers[0])[&0], b"coffee");
        assert!(!elements(&answers[0]).contains_key(&5), "no TIM in a probe response");
        assert!(answers[0].start > sent.end);
        now += Duration::from_secs(1);
    }
    radio.transmit(now, probe([0xff; 6], me, b"tea")).unwrap();
    assert_eq!(answers(&mut radio, now, me), []);
    now += Duration::from_secs(1);
    // To it alone: acknowledged first, then answered.
    let sent = radio.transmit(now, probe(COFFEE, me, b"")).unwrap();
    assert_eq!(sent.acknowledged, Some(true));
    let kinds: Vec<u8> = answers(&mut radio, now, me).iter().map(|frame| frame.bytes[0]).collect();
    assert_eq!(kinds, [0xd4, 0x50]);
}

#[test]
fn e2_scripted_stations_acknowledge_and_clear_to_send() {
    let me = [2, 0, 0, 0, 0xcc, 1];
    let air = Air::quiet(1);
    let station = Station {
        address: STATION,
        signal: Signal::Fixed(-55),
        rate: Rate::ht(7).unwrap(),
        traffic: Traffic { up: 0, ..Traffic::default() },
    };
    air.add_cell(AccessPoint::new(COFFEE, "coffee", Tuning::channel(11).unwrap()), [station]);
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, Tuning::channel(11));
    let now = Duration::from_millis(10);
    let mut rts = vec![0xb4, 0, 0xe8, 0x03];
    rts.extend(STATION);
    rts.extend(me);
    let sent = radio.transmit(now, AirFrame::new(rts.into(), Rate::legacy(48).unwrap())).unwrap();
    assert_eq!(sent.acknowledged, Some(true));
    let cts = &answers(&mut radio, now, me)[0];
    assert_eq!(cts.bytes[0], 0xc4);
    // 1000 us reserved, less SIFS (10) and the CTS itself (34).
    assert_eq!(u16::from_le_bytes([cts.bytes[2], cts.bytes[3]]), 1000 - 44);
    let mut nobody = vec![0x08, 0, 0, 0];
    nobody.extend([2, 9, 9, 9, 9, 9]);
    nobody.extend(me);
    nobody.extend([0; 8]);
    let sent = radio.transmit(now * 20, AirFrame::new(nobody.into(), Rate::DSSS_1M)).unwrap();
    assert_eq!(sent.acknowledged, Some(false));
}

#[test]
fn e2_malformed_frames_from_a_radio_are_borne() {
    let air = Air::default_scene(1);
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, Tuning::channel(11));
    let mut now = Duration::ZERO;
    for length in 0..40 {
        for control in [0x40, 0x50, 0x80, 0x88, 0xa4, 0xb4, 0xc4, 0xd4, 0x08, 0xff] {
            for fill in [0x00, 0x02, 0xff] {
                let mut bytes = vec![fill; length];
                if let Some(first) = bytes.first_mut() {
                    *first = control;
                }
                now = radio.transmit(now, AirFrame::new(bytes.into(), Rate::OFDM_6M)).unwrap().end;
            }
        }
    }
    while radio.receive(now + Duration::from_secs(1)).is_some() {}
}
