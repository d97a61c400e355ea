//! E1: what only the RTL8814AU has: reserved pages and DMA, four radios, ports for powers and calibration.

mod common;

use std::time::Duration;

use airlift_emu::air::CHAINS;
use airlift_emu::{Air, AirFrame, Model, Personality, Poll, RadioOptions, Rate, Rtl8814au, Tuning};
use common::rtl8814a::internal;
use common::{Host, packets};

fn up() -> Host {
    let mut host = Host::new(Rtl8814au::builder().air(&Air::quiet(1)));
    host.receive_on(6).unwrap();
    host
}

#[test]
fn e1_firmware_goes_by_reserved_pages_and_dma_and_the_word_reads_c078_when_it_runs() {
    let mut host = Host::new(Rtl8814au::builder());
    host.power_on(&[]).unwrap();
    let image = Model::Rtl8814au.stand_in_firmware();
    assert_eq!(host.firmware(&image), Ok((true, true)));
    assert_eq!(host.read(0x80, 2), Ok(0xc078));
    assert_eq!(host.probe.firmware(), image[64..]);
    host.mcu_enable(false).unwrap();
    assert!(!host.probe.firmware_runs());
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e1_a_damaged_section_is_told_by_the_dma_and_nothing_runs_that_a_driver_calls_good() {
    let good = Model::Rtl8814au.stand_in_firmware();
    // The first and the last byte of the data memory, and of the instructions' first and last page.
    for at in [64, 64 + 5_771, 64 + 5_780, good.len() - 9] {
        let mut image = good.clone();
        image[at] ^= 0x01;
        let mut host = Host::new(Rtl8814au::builder());
        host.power_on(&[]).unwrap();
        assert_eq!(host.firmware(&image), Ok((false, false)), "{at}");
        // A driver that does not look: all bits set as if all were right.
        host.write16(0x80, 0x4078).unwrap();
        host.mcu_enable(true).unwrap();
        host.sleep(Duration::from_millis(10));
        assert!(!host.probe.firmware_runs());
    }
}

#[test]
fn e1_dma_out_of_bounds_copies_nothing_and_says_so() {
    let mut host = Host::new(Rtl8814au::builder());
    host.power_on(&[]).unwrap();
    host.download_begin(&[]).unwrap();
    host.reserved_page(&[0x55; 512], &[]).unwrap();
    for (from, to, length) in [
        (0x1878_0000_u32, 0x0000_0000, 0x3_ffff), // more than was sent
        (0x1878_0000, 0x0020_fff0, 64),           // past the data memory
        (0x1878_0000, 0xffff_fff0, 64),
        (0x1000_0000, 0x0020_0000, 64),
        (0xffff_ffff, 0x0020_0000, 64),
    ] {
        host.write32(0x1200, from).unwrap();
        host.write32(0x1204, to).unwrap();
        host.write32(0x1208, 1 << 31 | 1 << 29 | length).unwrap();
        assert!(host.poll8(0x120b, 0x80, 0).unwrap(), "the DMA ends");
        assert_ne!(host.read32(0x1208).unwrap() & 1 << 27, 0, "{from:#x} to {to:#x}");
    }
    assert_eq!(host.probe.firmware(), []);
    // Pages beyond the packet buffer are thrown away.
    host.write16(0x204, 0x8fff).unwrap();
    host.change8(0x101, 0, 0x01).unwrap();
    assert_eq!(host.send(0x02, &internal(16, 40, &[0xaa; 4096])), Some(Ok(())));
}

#[test]
fn e3_a_stuck_dma_and_a_stuck_list_are_stuck() {
    let image = Model::Rtl8814au.stand_in_firmware();
    for (poll, outcome) in [(Poll::Checksum, (false, false)), (Poll::FirmwareReady, (true, false))] {
        let mut host = Host::new(Rtl8814au::builder().personality(Personality::StuckPoll(poll)));
        host.power_on(&[]).unwrap();
        assert_eq!(host.firmware(&image), Ok(outcome), "{poll:?}");
    }
    let mut host = Host::new(Rtl8814au::builder().personality(Personality::StuckPoll(Poll::PageList)));
    host.power_on(&[]).unwrap();
    host.change8(0x208, 0, 0x01).unwrap();
    assert!(!host.poll8(0x208, 0x01, 0).unwrap());
}

#[test]
fn e1_four_radios_are_written_through_their_windows_and_read_as_words() {
    let mut host = up();
    for (path, (window, base)) in
        [(0xc90, 0x2800), (0xe90, 0x2c00), (0x1890, 0x3800), (0x1a90, 0x3c00)].into_iter().enumerate()
    {
        let value = 0x1_2340 + path as u32;
        host.write32(window, 0x0560_0000 | value).unwrap();
        assert_eq!(host.read32(base + 4 * 0x56), Ok(value));
        assert_eq!(host.probe.rf(path, 0x56), value);
    }
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e1_powers_and_the_engines_program_stand_behind_their_ports() {
    let mut host = up();
    // The first word only turns the table on.
    host.write32(0x1998, 0x0080_1000 | 0x2d << 24 | 2 << 8 | 0x0c).unwrap();
    assert!(host.probe.tx_powers().is_empty());
    host.write32(0x1998, 0x0080_1000 | 0x2d << 24 | 2 << 8 | 0x0c).unwrap();
    host.write32(0x1998, 0x0080_1000 | 0x2f << 24 | 0x04).unwrap();
    let powers: Vec<_> = host.probe.tx_powers().into_iter().collect();
    assert_eq!(powers, [((0, 0x04), 0x2f), ((2, 0x0c), 0x2d)]);
    for word in [0x090a_0005, 0x090a_0007, 0x1234_1f25, 0x1234_1f27, 0x0000_0006, 0x0000_0002] {
        host.write32(0x1b80, word).unwrap();
    }
    let program: Vec<_> = host.probe.calibration_program().into_iter().collect();
    assert_eq!(program, [(0x000, 0x090a), (0x1f2, 0x1234)]);
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e1_each_path_has_calibration_registers_of_its_own() {
    let mut host = up();
    for path in 0..4 {
        host.write32(0x1b00, 0xf800_0000 | path << 1).unwrap();
        host.write32(0x1b38, 0x1000 + path).unwrap();
    }
    host.write32(0x1b00, 0xf800_0000).unwrap();
    assert_eq!(host.read32(0x1b38), Ok(0x1000));
    for path in 0..4 {
        assert_eq!(host.probe.calibration_registers(path)[0x38 / 4], 0x1000 + path as u32);
    }
}

#[test]
fn e1_a_calibration_takes_its_time_and_two_rounds_agree() {
    let mut host = up();
    let mut round = |path: u32, kind: u32, report: u16| {
        host.write32(0x1b00, 0xf800_0001 | kind << 8 | 1 << (path + 4)).unwrap();
        assert_eq!(host.read32(0x1b00).unwrap() & 1, 1, "not done at once");
        host.sleep(Duration::from_millis(10));
        assert_eq!(host.read32(0x1b00).unwrap() & 1, 0);
        host.write32(0x1b00, 0xf800_0000 | path << 1).unwrap();
        assert_eq!(host.read32(0x1b08).unwrap() >> 26 & 1, 0, "not failed");
        host.read32(report).unwrap()
    };
    for path in 0..4 {
        for (kind, report) in [(0, 0x1bfc), (3, 0x1b38), (9, 0x1b3c)] {
            let (first, second) = (round(path, kind, report), round(path, kind, report));
            assert_ne!(first, 0);
            assert!((first & 0x1f).abs_diff(second & 0x1f) <= 6, "{first:#x} {second:#x}");
        }
    }
}

#[test]
fn e1_command_packets_reach_the_firmware_and_the_queues_pointers_agree() {
    let mut host = up();
    assert_eq!(host.read32(0x10d0), Ok(0x3_f000));
    assert_eq!(host.read32(0x10d4), Ok(0x3_f000));
    let packet: Vec<u8> = (0..32).collect();
    // Of one that is too long the firmware takes as much as a packet holds.
    for length in [32, 200] {
        let sent: Vec<u8> = (0..length).collect();
        assert_eq!(host.send(0x02, &internal(19, 0, &sent)), Some(Ok(())));
    }
    assert_eq!(host.probe.command_packets(), [packet.clone(), packet]);
    assert_eq!(host.probe.transmit_stats().sent, 0);
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e1_pages_given_to_the_queues_show_as_available() {
    let mut host = up();
    assert_eq!(host.read32(0x230), Ok(32 | 32 << 16));
    assert_eq!(host.read32(0x240), Ok(1858 | 1858 << 16));
    assert_eq!(host.read8(0x22f).unwrap() & 0x80, 0, "the load bit falls");
    assert!(host.probe.llt().is_empty(), "the chip's own list is nobody's business");
}

#[test]
fn e1_the_phy_tells_the_signal_of_every_chain() {
    let air = Air::quiet(1);
    let mut other = air.join(RadioOptions::default());
    other.tune(Duration::ZERO, Tuning::channel(6));
    let mut host = Host::new(Rtl8814au::builder().air(&air));
    host.receive_on(6).unwrap();
    let mut frame = vec![0; 100];
    frame[0] = 0x80;
    frame[4..10].fill(0xff);
    for rate in [Rate::OFDM_6M, Rate::DSSS_1M] {
        other.transmit(host.now, AirFrame::new(frame.clone().into(), rate)).unwrap();
    }
    host.post_receive();
    let until = host.now + Duration::from_millis(10);
    let heard: Vec<_> = host.receive_until(until).into_iter().flat_map(packets).collect();
    assert_eq!((heard.len(), CHAINS), (2, 4));
    let info = &heard[0].info;
    for at in [0, 1, 23, 24] {
        let dbm = i16::from(info[at] & 0x7f) - 110;
        assert!((-95..0).contains(&dbm), "byte {at} tells {dbm} dBm");
    }
    // CCK: the stages of the amplifiers as `rtw8814a_cck_rx_pwr` reads them.
    let (lna, vga) = (heard[1].info[5] >> 5, i16::from(heard[1].info[5] & 0x1f));
    let strongest = match lna {
        7 => -38,
        5 => -28,
        3 => -8,
        2 => -1,
        other => panic!("no stage {other}"),
    };
    assert!((-95..0).contains(&(strongest - 2 * vga)));
}
