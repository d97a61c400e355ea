//! E1: the smaller state machines, one after the other.

mod common;

use std::time::Duration;

use airlift_emu::{Air, AirFrame, RadioOptions, Rate, Rtl8812au, Tuning};
use airlift_hcd::UsbFunction;
use common::{Host, outgoing, packets};

fn up(air: &Air) -> Host {
    let mut host = Host::new(Rtl8812au::builder().air(air));
    host.receive_on(6).unwrap();
    host
}

#[test]
fn e1_calibration_takes_its_time_and_two_rounds_agree() {
    let mut host = up(&Air::quiet(1));
    let round = |host: &mut Host| {
        host.change32(0x82c, 0, 0x8000_0000).unwrap();
        host.write32(0xcb8, 0x0010_0000).unwrap();
        host.write32(0xeb8, 0x0010_0000).unwrap();
        host.write32(0x980, 0xfa00_0000).unwrap();
        host.write32(0x980, 0xf800_0000).unwrap();
        assert_eq!(host.read32(0xd00).unwrap() & 0x400, 0, "not ready at once");
        host.sleep(Duration::from_millis(10));
        [(0xcb8, 0xd00), (0xeb8, 0xd40)].map(|(control, report)| {
            [0x0200_0000, 0x0400_0000].map(|which| {
                host.write32(control, which).unwrap();
                let value = host.read32(report).unwrap();
                assert_eq!(value & 0x1c00, 0x400, "ready and not failed");
                (value >> 16 & 0x7ff) as i32
            })
        })
    };
    let (first, second) = (round(&mut host), round(&mut host));
    for (a, b) in first.as_flattened().iter().zip(second.as_flattened()) {
        assert!((a - b).abs() < 4);
    }
    assert!((0x1f0..0x210).contains(&first[0][0]) && first[0][1] < 0x12);
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e1_the_pages_c_and_c1_keep_their_own_values() {
    let mut host = up(&Air::quiet(1));
    host.write32(0xc80, 0x1111_1111).unwrap();
    host.change32(0x82c, 0, 0x8000_0000).unwrap();
    assert_eq!(host.read32(0xc80), Ok(0));
    host.write32(0xc80, 0x2222_2222).unwrap();
    // The window to the RF registers is page C's: this is no RF write.
    host.write32(0xc90, 0x0560_0001).unwrap();
    assert_eq!(host.probe.rf(0, 0x56), 0);
    host.change32(0x82c, 0x8000_0000, 0).unwrap();
    assert_eq!(host.read32(0xc80), Ok(0x1111_1111));
}

#[test]
fn e1_the_lc_calibration_bit_falls_by_itself() {
    let mut host = up(&Air::quiet(1));
    host.write32(0xc90, 0x0180_8c06).unwrap();
    host.write8(0x8b0, 0x18).unwrap();
    assert_ne!(host.read32(0xd04).unwrap() & 0x8000, 0);
    host.sleep(Duration::from_millis(150));
    assert_eq!(host.read32(0xd04).unwrap() & 0xf_ffff, 0x0_0c06);
}

#[test]
fn e1_the_thermal_meter_measures_when_told() {
    let mut host = up(&Air::quiet(1));
    host.write8(0x8b0, 0x42).unwrap();
    assert_eq!(host.read32(0xd04).unwrap() >> 10 & 0x3f, 0);
    host.write32(0xc90, 0x0423_0000).unwrap();
    let reading = host.read32(0xd04).unwrap() >> 10 & 0x3f;
    assert!((0x10..0x30).contains(&reading), "{reading:#x}");
}

#[test]
fn e1_memories_behind_ports_hold_what_was_written() {
    let mut host = up(&Air::quiet(1));
    host.write32(0x81c, 0xfb02_0001).unwrap();
    host.write32(0x81c, 0xfa04_0001).unwrap();
    assert_eq!(host.probe.agc().into_iter().collect::<Vec<_>>(), [(0x02_0001, 0xfb), (0x04_0001, 0xfa)]);
    host.write32(0x674, 0xdead_beef).unwrap();
    host.write32(0x670, 0x8001_0000 | 5 << 3 | 2).unwrap();
    assert_eq!(host.read32(0x670).unwrap() >> 30, 0);
    assert_eq!(host.probe.keys()[5][2], 0xdead_beef);
    host.write32(0x670, 0xc000_0000).unwrap();
    assert_eq!(host.probe.keys()[5][2], 0);
    // Mode tables of the radio.
    for (register, value) in [(0x30, 0x1_8000), (0x31, 0x0_0120), (0x32, 0x0_2345)] {
        host.write32(0xe90, register << 20 | value).unwrap();
    }
    assert_eq!(host.probe.rf_modes(1)[&0x1_8000], (0x0_0120, 0x0_2345));
}

#[test]
fn e1_the_timer_runs_with_the_clock() {
    let mut host = up(&Air::quiet(1));
    let before = host.read32(0x560).unwrap();
    host.sleep(Duration::from_millis(7));
    let after = host.read32(0x560).unwrap();
    assert_eq!(after - before, 7_125);
}

#[test]
fn e1_pages_given_to_the_queues_show_as_available() {
    let mut host = up(&Air::quiet(1));
    assert_eq!(host.read32(0x204), Ok(0x00d7_1010));
    assert_eq!(host.read8(0x203).unwrap() & 0x80, 0, "the load bit falls");
    assert_eq!(host.read(0x41a, 2), Ok(0xffff), "all queues are empty");
}

#[test]
fn e1_frames_wait_while_the_queues_are_paused_or_full() {
    let air = Air::quiet(1);
    let mut listener = air.join(RadioOptions::default());
    listener.tune(Duration::ZERO, Tuning::channel(6));
    let mut host = up(&air);
    let mut frame = vec![0x55; 1500];
    frame[0] = 0x08;
    frame[1] = 0;
    frame[4..10].fill(0xff);
    let data = outgoing(&frame, 0, None);
    host.write8(0x522, 0xff).unwrap();
    assert_eq!(host.send(0x02, &data), None, "paused");
    assert!(host.device.poll(host.now).is_none());
    host.write8(0x522, 0).unwrap();
    assert!(host.device.poll(host.now).is_some_and(|reply| reply.status.is_ok()));
    // 247 pages; each frame takes four, and at 1 Mbit/s none is over before all are there.
    let mut kept = 0;
    for _ in 0..70 {
        kept += usize::from(host.send(0x02, &data).is_none());
    }
    assert!((1..=10).contains(&kept), "{kept} had to wait");
    let until = host.now + Duration::from_secs(2);
    while let Some(at) = host.device.next_deadline().filter(|at| *at <= until) {
        host.now = host.now.max(at);
        while host.device.poll(host.now).is_some() {
            kept -= 1;
        }
    }
    assert_eq!(kept, 0);
    let heard = std::iter::from_fn(|| listener.receive(until)).count();
    assert_eq!(heard as u64, host.probe.transmit_stats().sent);
    assert_eq!(heard, 71);
}

#[test]
fn e1_every_admitted_frame_is_delivered_waiting_or_discarded() {
    let air = Air::quiet(1);
    let mut other = air.join(RadioOptions::default());
    other.tune(Duration::ZERO, Tuning::channel(6));
    let mut host = up(&air);
    let mut frame = vec![0; 200];
    frame[0] = 0x80;
    frame[4..10].fill(0xff);
    for _ in 0..5 {
        other.transmit(host.now, AirFrame::new(frame.clone().into(), Rate::OFDM_6M)).unwrap();
    }
    host.sleep(Duration::from_millis(20));
    host.post_receive();
    let delivered = packets(host.device.poll(host.now).unwrap().buffer.freeze()).len() as u64;
    let stats = host.probe.receive_stats();
    assert_eq!((delivered, stats.admitted, stats.waiting, stats.discarded), (1, 5, 4, 0));
    host.write8(0x02, 0).unwrap();
    host.change8(0x05, 0, 0x02).unwrap();
    host.poll8(0x05, 0x02, 0).unwrap();
    let stats = host.probe.receive_stats();
    assert_eq!((stats.admitted, stats.waiting, stats.discarded), (5, 0, 4));
}

#[test]
fn e1_a_packet_longer_than_the_transfer_goes_on_in_the_next_one() {
    let air = Air::quiet(1);
    let mut other = air.join(RadioOptions::default());
    other.tune(Duration::ZERO, Tuning::channel(6));
    let mut host = up(&air);
    let mut frame: Vec<u8> = (0..=255).cycle().take(1400).collect();
    frame[0] = 0x80;
    frame[4..10].fill(0xff);
    other.transmit(host.now, AirFrame::new(frame.clone().into(), Rate::OFDM_6M)).unwrap();
    host.sleep(Duration::from_millis(20));
    let mut bytes = Vec::new();
    for _ in 0..3 {
        let urb = airlift_hcd::FunctionUrb::new(host.id(), 0x81, None, bytes::BytesMut::new(), 512);
        assert!(matches!(host.device.submit(host.now, urb), airlift_hcd::Submit::Parked));
        bytes.extend_from_slice(&host.device.poll(host.now).unwrap().buffer);
    }
    assert_eq!(packets(bytes.into())[0].payload[..1400], frame);
}
