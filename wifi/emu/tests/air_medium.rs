//! Radios among themselves: who hears whom, when, how strong, and what is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use airlift_emu::air::{
    AccessPoint, Air, AirFrame, Quality, Radio, RadioOptions, Rate, Sender, Signal, Station, Traffic,
    TransmitError, Tuning, Width,
};
use bytes::Bytes;

const US: Duration = Duration::from_micros(1);
const FAR: Duration = Duration::from_secs(3600);

fn channel(number: u8) -> Option<Tuning> {
    Tuning::channel(number)
}

fn radio(air: &Air, tuning: Option<Tuning>) -> Radio {
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, tuning);
    radio
}

fn data(to: [u8; 6], from: [u8; 6], number: u16) -> Bytes {
    let mut bytes = vec![0x08, 0, 0, 0];
    bytes.extend(to);
    bytes.extend(from);
    bytes.extend([2; 6]);
    bytes.extend((number << 4).to_le_bytes());
    bytes.extend([0x5a; 40]);
    bytes.into()
}

const A: [u8; 6] = [2, 0, 0, 0, 0, 0xaa];
const B: [u8; 6] = [2, 0, 0, 0, 0, 0xbb];
const GROUP: [u8; 6] = [0xff; 6];

#[test]
fn e2_what_one_radio_injects_another_receives_with_rate_signal_and_times() {
    let air = Air::quiet(1);
    let mut sender = radio(&air, channel(11));
    let mut near = air.join(RadioOptions { position_m: [1.0, 0.0], ..RadioOptions::default() });
    let mut far = air.join(RadioOptions { position_m: [30.0, 0.0], ..RadioOptions::default() });
    let mut elsewhere = radio(&air, channel(6));
    near.tune(Duration::ZERO, channel(11));
    far.tune(Duration::ZERO, channel(11));

    let rate = Rate::ht(7).unwrap();
    let frame = AirFrame::new(data(GROUP, A, 1), rate);
    let sent = sender.transmit(100 * US, frame.clone()).unwrap();
    assert_eq!(sent.start, 100 * US);
    assert_eq!(sent.end - sent.start, rate.air_time(frame.bytes.len() + 4, true));
    assert_eq!(sent.acknowledged, None, "a group frame asks for no answer");

    assert_eq!(near.next_arrival(), Some(sent.end));
    assert_eq!(near.receive(sent.end - US), None, "not before it is over");
    let heard = near.receive(sent.end).unwrap();
    assert_eq!((&heard.bytes, heard.rate, heard.tuning), (&frame.bytes, rate, channel(11).unwrap()));
    assert_eq!((heard.start, heard.end), (sent.start, sent.end));
    assert!(!heard.bad_fcs());
    // 20 dBm less 40 dB over the first metre, 2 dB of fading either way; 30 dB more per tenfold.
    assert!(heard.signal_dbm.iter().all(|dbm| (-22..=-18).contains(dbm)), "{:?}", heard.signal_dbm);
    let heard = far.receive(sent.end).unwrap();
    assert!(heard.signal_dbm.iter().all(|dbm| (-67..=-62).contains(dbm)), "{:?}", heard.signal_dbm);

    assert_eq!(elsewhere.receive(FAR), None);
    assert_eq!(sender.receive(FAR), None, "a radio does not hear itself");
    assert_eq!(air.stats().sent, 1);
    assert_eq!(air.stats().received, 2);
}

#[test]
fn e2_a_wide_frame_reaches_wide_radios_only_and_a_narrow_one_its_primary_channel() {
    let air = Air::quiet(1);
    let wide = Tuning::new(36, Width::Mhz80, 42);
    let mut sender = radio(&air, wide);
    let mut wide_other_primary = radio(&air, Tuning::new(48, Width::Mhz80, 42));
    let mut narrow = radio(&air, channel(36));
    let vht = Rate::vht(3, 1).unwrap();
    sender.transmit(US, AirFrame::new(data(GROUP, A, 1), vht.with_width(Width::Mhz80))).unwrap();
    assert!(wide_other_primary.receive(FAR).is_some());
    assert!(narrow.receive(FAR).is_none());
    sender.transmit(FAR, AirFrame::new(data(GROUP, A, 2), vht)).unwrap();
    assert!(wide_other_primary.receive(2 * FAR).is_none());
    assert!(narrow.receive(2 * FAR).is_some());
    let error =
        radio(&air, channel(36)).transmit(3 * FAR, AirFrame::new(Bytes::new(), vht.with_width(Width::Mhz40)));
    assert_eq!(error, Err(TransmitError::TooWide { frame: Width::Mhz40, radio: Width::Mhz20 }));
    let error = air.join(RadioOptions::default()).transmit(3 * FAR, AirFrame::new(Bytes::new(), vht));
    assert_eq!(error, Err(TransmitError::NotTuned));
}

#[test]
fn e2_radios_do_not_talk_over_each_other_and_are_deaf_while_they_send() {
    let air = Air::quiet(1);
    let (mut a, mut b) = (radio(&air, channel(1)), radio(&air, channel(1)));
    let first = a.transmit(US, AirFrame::new(data(GROUP, A, 1), Rate::DSSS_1M)).unwrap();
    let second = b.transmit(2 * US, AirFrame::new(data(GROUP, B, 1), Rate::DSSS_1M)).unwrap();
    assert!(second.start > first.end, "the second waits for a free channel");
    assert!(b.receive(FAR).is_some() && a.receive(FAR).is_some());

    // A scripted beacon that runs while a radio sends is not heard by it.
    let air = Air::quiet(1);
    let mut listener = radio(&air, channel(1));
    let mut sender = radio(&air, channel(1));
    air.add_cell(AccessPoint::new([2, 0, 0, 0, 1, 1], "one", channel(1).unwrap()), []);
    // Begins before the beacon of slot 1 (102.4 ms) and ends within it.
    let sent = sender.transmit(102_000 * US, AirFrame::new(data(GROUP, A, 1), Rate::DSSS_1M)).unwrap();
    assert_eq!(sent.start, 102_000 * US);
    let beacons = |radio: &mut Radio| {
        let until = Duration::from_millis(300);
        std::iter::from_fn(|| radio.receive(until)).filter(|frame| frame.bytes[0] == 0x80).count()
    };
    assert_eq!((beacons(&mut listener), beacons(&mut sender)), (3, 2));
    assert_eq!(air.stats().missed_while_sending, 1);
}

#[test]
fn e2_a_radio_with_an_address_acknowledges_and_the_sender_is_told() {
    let air = Air::quiet(1);
    let mut sender = radio(&air, channel(36));
    let mut receiver = radio(&air, channel(36));
    receiver.set_address(Some(B));
    let sent = sender.transmit(US, AirFrame::new(data(B, A, 1), Rate::OFDM_6M)).unwrap();
    assert_eq!(sent.acknowledged, Some(true));
    let ack = sender.receive(FAR).unwrap();
    assert_eq!(ack.bytes[..], [&[0xd4, 0, 0, 0][..], &A].concat());
    assert_eq!(ack.start, sent.end + 16 * US, "SIFS at 5 GHz");
    assert_eq!(ack.end - ack.start, 44 * US, "14 bytes at 6 Mbit/s");

    receiver.set_address(None);
    let sent = sender.transmit(FAR, AirFrame::new(data(B, A, 2), Rate::OFDM_6M)).unwrap();
    assert_eq!(sent.acknowledged, Some(false));
    receiver.set_address(Some(B));
    air.set_link(Sender::Radio(sender.id()), None, Quality { loss: 1.0, damage: 0.0 });
    let sent = sender.transmit(2 * FAR, AirFrame::new(data(B, A, 3), Rate::OFDM_6M)).unwrap();
    assert_eq!(sent.acknowledged, Some(false), "what is lost is not acknowledged");
}

#[test]
fn e2_loss_and_damage_belong_to_a_link_and_follow_the_seed() {
    let run = |seed, quality| {
        let air = Air::quiet(seed);
        let (mut sender, mut lossy) = (radio(&air, channel(1)), radio(&air, channel(1)));
        let mut clear = radio(&air, channel(1));
        air.set_link(Sender::Radio(sender.id()), Some(lossy.id()), quality);
        let (mut got, mut all) = (Vec::new(), 0);
        for number in 0..1000u16 {
            let now = Duration::from_millis(u64::from(number) * 10);
            sender.transmit(now, AirFrame::new(data(GROUP, A, number), Rate::DSSS_1M)).unwrap();
            let later = now + Duration::from_millis(9);
            got.extend(lossy.receive(later).map(|frame| (number, frame.bad_fcs())));
            all += usize::from(clear.receive(later).is_some_and(|frame| !frame.bad_fcs()));
        }
        assert_eq!(all, 1000, "the other link is whole");
        got
    };
    let lossy = run(1, Quality { loss: 0.3, damage: 0.0 });
    assert!((640..760).contains(&lossy.len()), "{}", lossy.len());
    assert!(lossy.iter().all(|(_, bad)| !bad));
    assert_eq!(lossy, run(1, Quality { loss: 0.3, damage: 0.0 }));
    assert_ne!(lossy, run(2, Quality { loss: 0.3, damage: 0.0 }));
    let damaged = run(1, Quality { loss: 0.0, damage: 0.2 });
    assert_eq!(damaged.len(), 1000);
    assert!((150..250).contains(&damaged.iter().filter(|(_, bad)| *bad).count()));
}

#[test]
fn e2_what_arrives_below_the_sensitivity_of_its_rate_is_not_received() {
    let air = Air::quiet(1);
    let mut listener = radio(&air, channel(6));
    let tuning = channel(6).unwrap();
    let cell = |number: u8, dbm| {
        AccessPoint::new([2, 0, 0, 0, 9, number], "far", tuning).with_signal(Signal::Fixed(dbm))
    };
    air.add_cell(cell(1, -97), []);
    air.add_cell(cell(2, -99), []);
    let heard: Vec<AirFrame> = std::iter::from_fn(|| listener.receive(Duration::from_secs(1))).collect();
    assert!(heard.len() > 5);
    assert!(heard.iter().all(|frame| frame.transmitter() == Some([2, 0, 0, 0, 9, 1])));
    assert!(heard.iter().all(|frame| frame.signal_dbm == [-97; 4]));
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn e2_a_radio_is_woken_when_another_sends_or_a_station_appears() {
    let air = Air::quiet(1);
    let (mut sender, mut listener) = (radio(&air, channel(1)), radio(&air, channel(1)));
    let count = Arc::new(Count(AtomicUsize::new(0)));
    listener.set_waker(Waker::from(Arc::clone(&count)));
    assert_eq!(listener.next_arrival(), None);
    let sent = sender.transmit(US, AirFrame::new(data(GROUP, A, 1), Rate::DSSS_1M)).unwrap();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(listener.next_arrival(), Some(sent.end));
    air.add_cell(AccessPoint::new([2, 0, 0, 0, 1, 1], "one", channel(1).unwrap()), []);
    assert_eq!(count.0.load(Ordering::SeqCst), 2);
}

#[test]
fn e2_an_inbox_that_nobody_empties_is_bounded_and_its_losses_are_counted() {
    let air = Air::quiet(1);
    let (mut sender, mut sleeper) = (radio(&air, channel(1)), radio(&air, channel(1)));
    let frame = AirFrame::new(vec![0; 16_000].into(), Rate::ht(7).unwrap());
    let sent = 400;
    let mut now = Duration::ZERO;
    for _ in 0..sent {
        now = sender.transmit(now, frame.clone()).unwrap().end + Duration::from_secs(1);
    }
    let received = std::iter::from_fn(|| sleeper.receive(now)).count() as u64;
    assert!(received < sent && received * 16_000 <= 4 << 20);
    assert_eq!(received + air.stats().inbox_overruns, sent);
}

#[test]
fn e2_retuning_forgets_the_old_channel_and_leaving_ends_reception() {
    let air = Air::quiet(1);
    let (mut sender, mut listener) = (radio(&air, channel(1)), radio(&air, channel(1)));
    let sent = sender.transmit(US, AirFrame::new(data(GROUP, A, 1), Rate::DSSS_1M)).unwrap();
    listener.tune(sent.start, channel(6));
    assert_eq!(listener.receive(FAR), None);
    listener.tune(FAR, None);
    assert_eq!((listener.next_arrival(), listener.tuning()), (None, None));
    drop(listener);
    sender.transmit(FAR, AirFrame::new(data(GROUP, A, 1), Rate::DSSS_1M)).unwrap();
}

#[test]
fn e2_an_air_is_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn movable<T: Send + 'static>(_: &T) {}
    let air = Air::quiet(1);
    shared(&air);
    movable(&air.join(RadioOptions::default()));
    movable(&air.finished());
}

#[test]
fn e2_a_link_that_loses_everything_does_not_stall_the_air() {
    let air = Air::quiet(1);
    let mut listener = radio(&air, channel(1));
    let busy = Station {
        address: A,
        signal: Signal::Fixed(-40),
        rate: Rate::ht(7).unwrap(),
        traffic: Traffic { up: 8, down: 8, ..Traffic::default() },
    };
    air.add_cell(AccessPoint::new(B, "lost", channel(1).unwrap()), [busy]);
    air.set_quality(Quality { loss: 1.0, damage: 0.0 });
    assert_eq!(listener.receive(Duration::from_secs(10)), None);
    let again = listener.next_arrival().unwrap();
    assert!(again > Duration::from_secs(10) && again < Duration::from_secs(11), "{again:?}");
}
