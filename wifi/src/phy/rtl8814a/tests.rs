//! The RTL8814A's radio on a register RAM: what is written, in which order.

use std::time::Duration;

use airlift_hcd::TransferError;
use airlift_regs::bits::rxpsel::RX_PSEL_RST;
use airlift_regs::{bb, mac, sys};
use futures::executor::block_on;

use super::super::Phy;
use super::super::rf::Path;
use super::super::testbus::{RadioBus, board_of, channel, radio};
use crate::channel::{Channel, Width};
use crate::chip::{Board, Chip};
use crate::error::{ErrorKind, Stage};
use crate::regio::fake::Op;

/// An adapter as it left the factory, with front end `option`.
fn ordinary(option: u8) -> Board {
    board_of(Chip::Rtl8814au, |map| {
        map[0x10..0x10 + 168].fill(0x28);
        map[0xb9] = 0x1a;
        map[0xc6..0xc8].copy_from_slice(&[0x00, 0xe4]);
        map[0xca] = option;
    })
}

fn brought_up(board: Board) -> (Phy, RadioBus) {
    let (phy, bus) = radio(board);
    block_on(async {
        phy.load_mac().await?;
        phy.init_baseband().await?;
        phy.init_radio().await?;
        phy.init_band().await
    })
    .expect("bring-up");
    (phy, bus)
}

/// The words that went through the TXAGC port.
fn port(writes: &[(u16, Vec<u8>)]) -> Vec<u32> {
    let words = writes.iter().filter(|(addr, _)| *addr == bb::AGC_TBL.addr());
    words.map(|(_, data)| u32::from_le_bytes(data[..].try_into().unwrap())).collect()
}

const WINDOWS: [u16; 4] = [0xc90, 0xe90, 0x1890, 0x1a90];

#[test]
fn w1_every_table_goes_where_mainline_writes_it() {
    // Rows of the gain tables and of the four radios, by front end.
    for (option, radios) in [(0, [428, 357, 357, 357]), (1, [348, 276, 276, 276])] {
        let (_, bus) = brought_up(ordinary(option));
        let log = bus.fake.take_log();
        let writes =
            |wanted: u16| log.iter().filter(|op| matches!(op, Op::Write(at, _) if *at == wanted)).count();
        assert_eq!(writes(bb::AGC_PORT.addr()), 257);
        assert_eq!(writes(0x1b80), 1027, "the calibration's sequencer");
        assert_eq!(writes(bb::AGC_TBL.addr()), 265);
        // Paths B to D take one more register from path A.
        let shared = [0, 1, 1, 1];
        for path in 0..4 {
            assert_eq!(writes(WINDOWS[path]), radios[path] + shared[path], "option {option}, path {path}");
        }
        let long = log.iter().filter(|op| **op == Op::Sleep(Duration::from_millis(50))).count();
        assert_eq!(long, 3, "in path A's table");
    }
}

#[test]
fn w1_all_four_radios_are_powered_and_take_their_rc_calibration_from_path_a() {
    let (phy, bus) = radio(ordinary(1));
    block_on(phy.init_baseband()).unwrap();
    let start: Vec<_> = bus.fake.take_writes().into_iter().take(6).collect();
    assert_eq!(
        start,
        [(2, vec![4]), (0x1002, vec![3]), (0x1f, vec![7]), (0x20, vec![7]), (0x21, vec![7]), (0x76, vec![7])]
    );
    assert_eq!(bus.fake.peek(sys::AFE_CTRL3.addr()) >> 15 & 0xfff, 0x1a | 0x1a << 6);
    assert_eq!(bus.fake.peek(bb::CCK_RX.addr()) >> 24, 0x45);

    bus.clears(Path::A, 0x1c, 0xfffff & !0x12345);
    block_on(phy.init_radio()).unwrap();
    let of_a = bus.rf(Path::A, 0x1c);
    assert_eq!(of_a & !0x12345, 0);
    for path in [Path::B, Path::C, Path::D] {
        assert_eq!(bus.rf(path, 0x1c), of_a);
    }
    assert_eq!(bus.fake.peek(bb::RXPSEL.addr()) & RX_PSEL_RST, RX_PSEL_RST);
    assert_eq!((bus.fake.peek(0x1994) & 0xf, bus.fake.peek(0x42) & 0xf0), (0xf, 0xf0));
}

#[test]
fn w1_a_fields_old_value_comes_from_all_four_radios_together() {
    let (phy, bus) = brought_up(ordinary(1));
    for (n, path) in Path::ALL.into_iter().enumerate() {
        bus.poke_rf(path, 0x18, 0x8_0000 | n as u32);
    }
    bus.fake.take_log();
    block_on(phy.write_rf_everywhere(airlift_regs::rf::CFGCH, 0xc00, 3)).unwrap();
    let log = bus.fake.take_log();
    assert_eq!(log[..4], [0x2860, 0x2c60, 0x3860, 0x3c60].map(|addr| Op::Read(addr, 4)));
    for (n, path) in Path::ALL.into_iter().enumerate() {
        assert_eq!(log[4 + n], Op::Write(WINDOWS[n], (0x0188_0c00_u32 | n as u32).to_le_bytes().to_vec()));
        assert_eq!(bus.rf(path, 0x18), 0x8_0c00 | n as u32);
    }
}

/// RF CFGCH, CLKTRK field, DATA_SC, ADCCLK under 0x3f (sub-channel only where there is one), gain field of CCASEL,
/// gain table, as mainline has them after `set_channel`.
#[test]
fn w1_a_channel_sets_synthesizers_width_and_sub_channel() {
    for (primary, mhz, cfgch, clock, sub, adc, gain, table) in [
        (1, 20, 0x00c01, 0x96a, 0x00, 0x00, 6, None),
        (14, 20, 0x00c0e, 0x96a, 0x00, 0x00, 6, None),
        (6, 40, 0x00408, 0x96a, 0x02, 0x09, 7, None),
        (36, 20, 0x10d24, 0x494, 0x00, 0x00, 6, Some(1)),
        (36, 40, 0x10526, 0x494, 0x02, 0x09, 8, Some(1)),
        (40, 40, 0x10526, 0x494, 0x01, 0x05, 8, Some(1)),
        (36, 80, 0x1012a, 0x494, 0xa4, 0x12, 3, Some(1)),
        (48, 80, 0x1012a, 0x494, 0x93, 0x0e, 3, Some(1)),
        (64, 20, 0x10d40, 0x453, 0x00, 0x00, 6, Some(1)),
        (100, 20, 0x30d64, 0x452, 0x00, 0x00, 6, Some(2)),
        (140, 20, 0x30d8c, 0x412, 0x00, 0x00, 6, Some(2)),
        (144, 20, 0x50d90, 0x412, 0x00, 0x00, 6, Some(2)),
        (165, 20, 0x50da5, 0x412, 0x00, 0x00, 6, Some(3)),
    ] {
        let (phy, bus) = brought_up(ordinary(1));
        bus.fake.poke(mac::WMAC_TRXPTCL_CTL.addr(), &[0xff, 0xff]);
        let tuned = channel(primary, mhz);
        let before = bus.fake.peek(bb::AGC_TABLE.addr()) & 0x1f;
        block_on(phy.set_channel(tuned)).unwrap();
        for path in Path::ALL {
            assert_eq!(bus.rf(path, 0x18) & 0x70fff, cfgch, "{tuned:?} {path:?}");
        }
        assert_eq!(bus.fake.peek(0x860) >> 17 & 0xfff, clock, "{tuned:?}");
        assert_eq!(bus.fake.peek(0x483) & 0xff, sub, "{tuned:?}");
        let mask = if mhz == 20 { 0x03 } else { 0x3f };
        assert_eq!(bus.fake.peek(0x8ac) & mask, adc, "{tuned:?}");
        assert_eq!(bus.fake.peek(0x82c) >> 12 & 0xf, gain, "{tuned:?}");
        assert_eq!(bus.fake.peek(bb::AGC_TABLE.addr()) & 0x1f, table.unwrap_or(before), "{tuned:?}");
        if mhz == 40 {
            assert_eq!(bus.fake.peek(bb::RXSB.addr()) >> 4 & 1, u32::from(sub == 1), "{tuned:?}");
        }
        let mode = match mhz {
            20 => 0,
            40 => 0x80,
            _ => 0x100,
        };
        assert_eq!(bus.fake.peek(0x668) & 0xffff, 0xfe7f | mode, "{tuned:?}");
    }
}

#[test]
fn w1_cck_has_a_filter_for_the_upper_end_of_the_band() {
    let (phy, bus) = brought_up(ordinary(1));
    for (primary, filter) in [
        (1, [0x090e_1317, 0x204]),
        (12, [0x090e_1217, 0x305]),
        (14, [0x0000_0e17, 0]),
        (11, [0x090e_1317, 0x204]),
    ] {
        block_on(phy.set_channel(channel(primary, 20))).unwrap();
        assert_eq!([0xa24, 0xa28].map(|addr| bus.fake.peek(addr)), filter, "channel {primary}");
    }
}

#[test]
fn w1_a_radio_that_is_on_the_band_is_not_switched_to_it() {
    let (phy, bus) = brought_up(ordinary(1));
    bus.fake.take_log();
    block_on(phy.set_channel(channel(11, 20))).unwrap();
    let writes = bus.fake.take_writes();
    assert!(!writes.iter().any(|(addr, _)| *addr == 0x454 || *addr == 0x1002), "mainline does not, either");

    // A chip that comes up at 5 GHz is.
    let (phy, bus) = radio(ordinary(1));
    bus.fake.poke(0x454, &[0x80]);
    block_on(async {
        phy.init_band().await.unwrap();
        phy.set_channel(channel(11, 20)).await.unwrap();
    });
    assert_eq!(bus.fake.peek(0x454) & 0xff, 0);
}

#[test]
fn w1_the_modems_stand_still_while_the_band_changes() {
    let (phy, bus) = brought_up(ordinary(1));
    bus.fake.take_log();
    block_on(phy.set_channel(channel(36, 20))).unwrap();
    let writes = bus.fake.take_writes();
    let at = |wanted: u16| writes.iter().position(|(addr, _)| *addr == wanted).unwrap();
    assert_eq!(writes[0], (0x1002, vec![2]), "they stop before anything else");
    let again = writes.iter().position(|write| *write == (0x1002, vec![3])).unwrap();
    assert!(at(0x454) < again && at(0xcb0) < again && at(0x1a1c) < again && again < at(0x860));
    assert_eq!(bus.fake.peek(0x454) & 0xff, 0x80);
    assert_eq!(
        [0xcb0, 0xeb0, 0x18b4, 0x1ab4].map(|addr| bus.fake.peek(addr)),
        [0x3317_3317, 0x3317_3317, 0x3317_3317, 0x7717_7717]
    );
    assert_eq!(bus.fake.peek(0x1abc) >> 20 & 0xff, 0x33);
    // 0xe4: 0 dB on path A, then 3 dB less on each.
    let swing = [0xc1c, 0xe1c, 0x181c, 0x1a1c].map(|addr| bus.fake.peek(addr) >> 21);
    assert_eq!(swing, [0x200, 0x16a, 0x101, 0x0b6]);
    assert_eq!(bus.fake.peek(0x808) & RX_PSEL_RST, 2 << 28);
    assert_eq!((bus.fake.peek(0xa80) >> 18 & 1, bus.fake.peek(0xa04) >> 24 & 0xf), (1, 0xf));

    block_on(phy.set_channel(channel(1, 20))).unwrap();
    assert_eq!(bus.fake.peek(0x808) & RX_PSEL_RST, 3 << 28);
    assert_eq!((bus.fake.peek(0xa80) >> 18 & 1, bus.fake.peek(0xa04) >> 24 & 0xf), (0, 5));
    assert_eq!(bus.fake.peek(0xcb0), 0x7777_7777);
    assert_eq!(bus.fake.peek(0x958) & 0x1f, 0);
}

#[test]
fn w1_front_end_0_leaves_path_ds_pins_alone_at_2_4_ghz() {
    let (phy, bus) = brought_up(ordinary(0));
    block_on(phy.set_channel(channel(36, 20))).unwrap();
    assert_eq!((bus.fake.peek(0xcb0), bus.fake.peek(0x1ab4)), (0x5477_5477, 0x5477_5477));
    block_on(phy.set_channel(channel(1, 20))).unwrap();
    assert_eq!((bus.fake.peek(0xcb0), bus.fake.peek(0x1ab4)), (0x7777_7777, 0x5477_5477));
}

#[test]
fn w1_a_front_end_without_tables_is_refused_by_number() {
    let made = ordinary(2);
    let regs = crate::regio::Regs::new(RadioBus::new(), crate::regio::Io::Posted, made.chip.shadow);
    let error = Phy::new(&regs, std::rc::Rc::new(made)).unwrap_err();
    assert_eq!(error.to_string(), "RF front end 2 is not supported (0 to 1 are)");
}

#[test]
fn w1_the_port_hears_of_every_rate_once_and_then_of_what_has_changed() {
    let (phy, bus) = brought_up(ordinary(1));
    bus.fake.take_log();
    block_on(phy.set_channel(channel(11, 20))).unwrap();
    let words = port(&bus.fake.take_writes());
    assert_eq!(words.len(), 268, "67 a path: 62 without CCK, and 1 Mb/s twice");
    assert_eq!(words[0], words[1]);
    let order: Vec<_> = words[1..67].iter().map(|word| word & 0xff).collect();
    let expected: Vec<u32> = (0..0x14).chain(0x2c..0x36).chain(0x14..0x1c).chain(0x36..0x40).collect();
    assert_eq!(order[..expected.len()], expected);
    assert_eq!(order[expected.len()..], (0x1c..0x24).chain(0x40..0x4a).collect::<Vec<_>>());
    assert!(words.iter().all(|word| word & 0x00ff_fc00 == 0x0080_1000 && word >> 24 <= 0x3f));
    let paths: Vec<_> = words.chunks(67).map(|words| words[0] >> 8 & 3).collect();
    assert_eq!(paths, [0, 1, 2, 3]);

    block_on(phy.set_channel(channel(11, 20))).unwrap();
    assert!(port(&bus.fake.take_writes()).is_empty(), "the table behind the port is the host's alone");
    block_on(phy.set_tx_power(Some(10))).unwrap();
    let capped = port(&bus.fake.take_writes());
    assert!(!capped.is_empty() && capped.len() <= 268);
    block_on(phy.set_tx_power(None)).unwrap();
    assert_eq!(port(&bus.fake.take_writes()).len(), capped.len());
}

#[test]
fn w6_after_a_write_that_failed_the_port_hears_of_everything_again() {
    let (phy, bus) = brought_up(ordinary(1));
    block_on(phy.set_channel(channel(36, 20))).unwrap();
    bus.fake.fail(bb::AGC_TBL.addr(), TransferError::Stall);
    let error = block_on(phy.set_channel(channel(100, 20))).unwrap_err();
    assert_eq!(error.stage(), Stage::Channel);
    assert!(error.to_string().contains("AGC_TBL"), "{error}");
    bus.fake.heal(bb::AGC_TBL.addr());
    bus.fake.take_log();
    block_on(phy.set_channel(channel(100, 20))).unwrap();
    assert_eq!(port(&bus.fake.take_writes()).len(), 4 * 62);
}

#[test]
fn w1_channel_140s_thresholds_go_when_it_does() {
    let (phy, bus) = brought_up(ordinary(0));
    block_on(async {
        phy.set_channel(channel(136, 20)).await.unwrap();
        let before = bus.fake.peek(0x830);
        phy.set_channel(channel(140, 20)).await.unwrap();
        assert_eq!((bus.fake.peek(0x82c), bus.fake.peek(0x830)), (0x7543_8170, 0x79a1_8a0a));
        phy.set_channel(channel(140, 20)).await.unwrap();
        phy.set_channel(channel(136, 20)).await.unwrap();
        assert_eq!(bus.fake.peek(0x830), before);
        // The width has changed CCASEL before anybody looks at it, so that the rest of it stays.
        assert_eq!(bus.fake.peek(0x82c), 0x7543_6170);
    });
}

#[test]
fn w1_cut_as_converters_are_restarted_and_everything_else_put_back() {
    let (phy, bus) = brought_up(Board { cut: 0, ..ordinary(1) });
    bus.fake.poke(0x522, &[0x11]);
    bus.fake.answer(bb::DBGRPT.addr(), |_| 0);
    let held = |bus: &RadioBus| {
        [0x8fc, 0x808, 0xc10, 0xe10, 0x1810, 0x1a10, 0x90c, 0x804].map(|addr| bus.fake.peek(addr))
    };
    block_on(phy.set_channel(channel(11, 20))).unwrap();
    let before = held(&bus);
    bus.fake.take_log();
    // At the same width they keep their clock.
    block_on(phy.set_channel(channel(6, 20))).unwrap();
    assert!(!bus.fake.take_log().contains(&Op::Read(0xfa0, 4)));
    block_on(phy.set_channel(channel(6, 40))).unwrap();
    assert_eq!(held(&bus), before);
    assert_eq!(bus.fake.peek(0x522) & 0xff, 0x11);
    assert_eq!([0xc60, 0xe60, 0x1860, 0x1a60].map(|addr| bus.fake.peek(addr)), [0x0780_8003; 4]);
    assert_eq!(bus.fake.peek(0xc14), 0x0100_0000);
    let log = bus.fake.take_log();
    assert_eq!(log.iter().filter(|op| **op == Op::Read(0xfa0, 4)).count(), 1);

    bus.fake.answer(bb::DBGRPT.addr(), |_| 0x8000_0000);
    block_on(phy.set_channel(channel(11, 20))).unwrap();
    let log = bus.fake.take_log();
    assert_eq!(
        log.iter().filter(|op| **op == Op::Read(0xfa0, 4)).count(),
        1001,
        "a busy MAC is not waited for longer"
    );
}

#[test]
fn w1_every_channel_and_width_can_be_tuned_from_every_other() {
    let (phy, bus) = brought_up(ordinary(0));
    let mut tuned = 0;
    for primary in (0..200).chain((0..200).rev()) {
        for width in [Width::Mhz80, Width::Mhz20, Width::Mhz40] {
            let Ok(channel) = Channel::new(primary, width) else { continue };
            block_on(phy.set_channel(channel)).unwrap();
            assert_eq!(bus.rf(Path::D, 0x18) & 0xff, u32::from(channel.center()));
            assert_eq!(bus.fake.peek(0x454) & 0x80 != 0, primary > 14);
            tuned += 1;
        }
    }
    assert_eq!(tuned, 2 * (14 + 13 + 25 + 24 + 24));
}

/// Registers that calibration borrows, and the mode of each radio.
fn borrowed(bus: &RadioBus) -> Vec<u32> {
    let registers = [
        0x520, 0x550, 0xa14, 0x808, 0x838, 0x90c, 0x810, 0xcb0, 0xeb0, 0x18b4, 0x1ab4, 0x1abc, 0x9a4, 0x764,
        0xcbc, 0x910,
    ];
    registers
        .map(|addr| bus.fake.peek(addr))
        .into_iter()
        .chain(Path::ALL.map(|path| bus.rf(path, 0)))
        .collect()
}

#[test]
fn w1_calibration_sets_what_the_sequencer_finds_and_puts_back_the_rest() {
    for (primary, front) in [(11, 0xf800_0ef1_u32), (36, 0xf800_0ff1)] {
        let (phy, bus) = brought_up(ordinary(1));
        block_on(phy.set_channel(channel(primary, 20))).unwrap();
        // Done at once; 0x11 of leakage both ways; a correction to keep.
        bus.fake.answer(0x1b00, |held| held & !1);
        bus.fake.answer(0x1bfc, |_| 0x11 << 17 | 0x11 << 1);
        bus.fake.answer(0x1b38, |_| 0x1234_5678);
        let before = borrowed(&bus);
        bus.fake.take_log();
        block_on(phy.calibrate()).unwrap();
        assert_eq!(borrowed(&bus), before);
        let writes = bus.fake.take_writes();
        let commands: Vec<_> = writes
            .iter()
            .filter(|(addr, data)| *addr == 0x1b00 && data[0] & 1 != 0)
            .map(|(_, data)| u32::from_le_bytes(data[..].try_into().unwrap()))
            .collect();
        let paths = [0x11, 0x21, 0x41, 0x81];
        let expected = [vec![front], paths.map(|path| 0xf800_0000 | path).to_vec()];
        let expected = [expected.concat(), paths.map(|path| 0xf800_0300 | path).to_vec()].concat();
        assert_eq!(commands, [expected, paths.map(|path| 0xf800_0900 | path).to_vec()].concat());
        for path in Path::ALL {
            assert_eq!(bus.rf(path, 0x08) & 0xf_fc00, 0x10 << 10 | 0x10 << 15, "{path:?}");
            assert_eq!(bus.rf(path, 0xdf) & 1 << 11, 0);
        }
        let kept = writes.iter().filter(|(addr, _)| *addr == 0x1b38).count();
        assert_eq!(kept, 4, "each transmitter's correction is written again");
    }
}

#[test]
fn w6_a_path_without_a_solution_is_named_and_its_correction_switched_off() {
    let (phy, bus) = brought_up(ordinary(1));
    block_on(phy.set_channel(channel(36, 80))).unwrap();
    let before = borrowed(&bus);
    // The sequencer never ends.
    bus.fake.answer(0x1b00, |held| held | 1);
    let error = block_on(phy.calibrate()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Calibration(_)), "{error:?}");
    for what in ["the LO leakage of path A", "the transmitter of path C", "the receiver of path D"] {
        assert!(error.to_string().contains(what), "{error}");
    }
    assert_eq!(borrowed(&bus), before, "everything is put back all the same");
    assert_eq!([0xc94, 0xe94, 0x1894, 0x1a94].map(|addr| bus.fake.peek(addr) & 0xc01), [0; 4]);

    // It ends without a solution.
    bus.fake.answer(0x1b00, |held| held & !1);
    bus.fake.answer(0x1b08, |_| 1 << 26);
    let error = block_on(phy.calibrate()).unwrap_err();
    assert!(
        !error.to_string().contains("leakage") && error.to_string().contains("receiver of path A"),
        "{error}"
    );
}
