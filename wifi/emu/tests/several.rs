//! E2, E4: adapters of different chips on one air.

mod common;

use std::time::Duration;

use airlift_emu::air::{Quality, Sender};
use airlift_emu::{Air, Model};
use common::{Host, Packet, outgoing, packets};

/// Frames that are sent in a row.
const FRAMES: u8 = 40;

/// Three adapters on channel 11, one of each chip, and one that listens elsewhere.
struct Party {
    sender: Host,
    listeners: Vec<Host>,
    elsewhere: Host,
}

fn adapter(model: Model, air: &Air, channel: u8, position_m: [f32; 2]) -> Host {
    let mut host = Host::new(model.builder().air(air).position_m(position_m));
    host.receive_on(channel).unwrap();
    for _ in 0..4 {
        host.post_receive();
    }
    host
}

impl Party {
    fn new(air: &Air) -> Self {
        let sender = adapter(Model::Rtl8812au, air, 11, [0.0, 0.0]);
        let listeners = vec![
            adapter(Model::Rtl8821au, air, 11, [2.0, 0.0]),
            adapter(Model::Rtl8814au, air, 11, [8.0, 0.0]),
        ];
        let mut party = Self { sender, listeners, elsewhere: adapter(Model::Rtl8812au, air, 6, [1.0, 0.0]) };
        // The bring-ups took different times; from now on there is one.
        let now = party.all().map(|host| host.now).max().unwrap();
        party.all().for_each(|host| host.now = now);
        party
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Host> {
        self.listeners.iter_mut().chain([&mut self.sender, &mut self.elsewhere])
    }

    /// Injects frames at a rate, one every 3 ms, and collects what each listener and the one elsewhere get.
    fn send(&mut self, rate: u8) -> (Vec<Vec<Packet>>, Vec<Packet>) {
        let begin = self.sender.now;
        for number in 0..FRAMES {
            let (out, data) = (self.sender.bulk_out(), outgoing(&frame(number), rate, None));
            assert_eq!(self.sender.send(out, &data), Some(Ok(())));
            self.sender.sleep(Duration::from_millis(3));
        }
        let until = begin + Duration::from_secs(1);
        let collect = |host: &mut Host| -> Vec<Packet> {
            host.receive_until(until).into_iter().flat_map(packets).collect()
        };
        let heard = self.listeners.iter_mut().map(collect).collect();
        (heard, collect(&mut self.elsewhere))
    }
}

/// A group frame with a number.
fn frame(number: u8) -> Vec<u8> {
    let mut frame = vec![number; 60];
    frame[0] = 0x08;
    frame[1] = 0;
    frame[4..10].fill(0xff);
    frame[10..16].copy_from_slice(&[2, 0x88, 0x12, 0, 0, 1]);
    frame
}

fn numbers(heard: &[Packet]) -> Vec<u8> {
    heard.iter().map(|packet| packet.payload[30]).collect()
}

#[test]
fn e2_what_one_chip_injects_the_others_on_its_channel_receive_in_order_and_nobody_elsewhere() {
    let air = Air::quiet(1);
    let mut party = Party::new(&air);
    let (heard, elsewhere) = party.send(0x0b); // 54 Mbit/s
    let all: Vec<u8> = (0..FRAMES).collect();
    for (host, heard) in party.listeners.iter().zip(&heard) {
        assert_eq!(numbers(heard), all, "{}", host.model());
        assert!(heard.iter().all(|packet| packet.rate() == 0x0b && !packet.bad_fcs()));
        assert!(heard.iter().zip(0..).all(|(packet, number)| packet.payload[..60] == frame(number)));
        // The timer's low word: 3 ms from frame to frame.
        assert!(heard.windows(2).all(|pair| (2_900..3_200).contains(&(pair[1].words[5] - pair[0].words[5]))));
    }
    assert_eq!(elsewhere.len(), 0);
    // The one that is farther away hears less of it.
    let strength = |packets: &[Packet]| packets.iter().map(|packet| packet.info[0] & 0x7f).max().unwrap();
    assert!(strength(&heard[0]) > strength(&heard[1]));
    assert!(party.all().all(|host| host.probe.violations().is_empty()));
}

#[test]
fn e2_loss_is_that_of_the_link_and_of_no_other() {
    let air = Air::quiet(1);
    let mut party = Party::new(&air);
    let (sender, deaf) =
        (party.sender.probe.radio_id().unwrap(), party.listeners[0].probe.radio_id().unwrap());
    air.set_link(Sender::Radio(sender), Some(deaf), Quality { loss: 0.5, damage: 0.0 });
    let (heard, _) = party.send(0x04);
    let half = numbers(&heard[0]);
    assert!((10..=30).contains(&half.len()), "{} of {FRAMES} came through", half.len());
    assert!(half.windows(2).all(|pair| pair[0] < pair[1]), "in order: {half:?}");
    assert_eq!(numbers(&heard[1]).len(), usize::from(FRAMES));
}

#[test]
fn e2_more_streams_than_antennas_are_noise() {
    let air = Air::quiet(1);
    let mut party = Party::new(&air);
    let (heard, _) = party.send(0x14); // MCS 8: two streams
    assert_eq!(heard[0].len(), 0, "one antenna");
    assert_eq!(heard[1].len(), usize::from(FRAMES), "four antennas");
    assert!(heard[1].iter().all(|packet| packet.rate() == 0x14));
}

#[test]
fn e2_each_chip_injects_for_the_others() {
    for sender in Model::ALL {
        let air = Air::quiet(1);
        let mut from = adapter(*sender, &air, 36, [0.0, 0.0]);
        let mut to: Vec<Host> =
            Model::ALL.iter().map(|model| adapter(*model, &air, 36, [3.0, 0.0])).collect();
        let now = to.iter().map(|host| host.now).max().unwrap().max(from.now);
        from.now = now;
        let (out, data) = (from.bulk_out(), outgoing(&frame(9), 0x04, None));
        assert_eq!(from.send(out, &data), Some(Ok(())));
        for host in &mut to {
            host.now = now;
            let heard: Vec<_> =
                host.receive_until(now + Duration::from_millis(50)).into_iter().flat_map(packets).collect();
            assert_eq!(numbers(&heard), [9], "{sender} to {}", host.model());
        }
    }
}

#[test]
fn e4_the_same_seed_gives_the_same_transfers_to_each_of_several_adapters() {
    let run = |seed: u64| {
        let air = Air::default_scene(seed);
        let mut party = Party::new(&air);
        air.set_quality(Quality { loss: 0.2, damage: 0.1 });
        let (heard, elsewhere) = party.send(0x0b);
        let bytes = |packets: &[Packet]| -> Vec<_> {
            packets.iter().map(|packet| (packet.words, packet.payload.clone())).collect()
        };
        (heard.iter().map(|heard| bytes(heard)).collect::<Vec<_>>(), bytes(&elsewhere))
    };
    let first = run(3);
    assert!(first.0.iter().all(|heard| heard.len() > 20));
    assert_eq!(first, run(3));
    assert_ne!(first, run(4));
}
