//! The radio on a register RAM: what is written, in which order, with which pauses.

use std::time::Duration;

use airlift_hcd::TransferError;
use airlift_regs::rf::{self, RfReg};
use airlift_regs::{bb, mac, sys};
use futures::executor::block_on;

use super::Phy;
use super::rf::{Path, RF_MASK};
use super::testbus::{RadioBus, board, channel, radio};
use crate::channel::{Channel, Width};
use crate::chip::Board;
use crate::error::{ErrorKind, Stage};
use crate::regio::fake::Op;
use crate::regio::{Io, Regs};

/// Cut C.
const CUT_C: u8 = 2;

fn word(addr: u16, value: u32) -> Op {
    Op::Write(addr, value.to_le_bytes().to_vec())
}

fn micros(us: u64) -> Op {
    Op::Sleep(Duration::from_micros(us))
}

/// An adapter as it left the factory, without amplifiers outside the chip.
fn ordinary() -> Board {
    board(|map| {
        map[0x10..0x10 + 84].fill(0x28);
        map[0xb9] = 0x1a;
        map[0xbc..0xc8].fill(0);
        map[0xca] = 0;
    })
}

fn brought_up(board: Board) -> (Phy, RadioBus) {
    let (phy, bus) = radio(board);
    block_on(async {
        phy.init_baseband().await?;
        phy.init_radio().await?;
        phy.init_band().await
    })
    .expect("bring-up");
    bus.fake.take_log();
    (phy, bus)
}

#[test]
fn w1_a_masked_rf_write_reads_back_and_keeps_the_other_bits() {
    let (phy, bus) = brought_up(ordinary());
    bus.poke_rf(Path::A, 0x18, 0x17c01);
    let cca = bus.fake.peek(bb::CCA2ND.addr());
    let hssi = bus.fake.peek(bb::HSSI_READ.addr());
    block_on(phy.write_rf(Path::A, rf::CFGCH, 0xff, 11)).unwrap();
    // The radio table leaves the bus in PI mode.
    assert_eq!(
        bus.fake.take_log(),
        [
            word(0x838, cca | 8),
            word(0x8b0, (hssi & !0xff) | 0x18),
            Op::Read(0xd04, 4),
            word(0x838, cca & !8),
            word(0xc90, 0x0181_7c0b),
        ]
    );
    assert_eq!(bus.rf(Path::A, 0x18), 0x17c0b);
}

#[test]
fn w1_cut_c_lets_an_rf_value_settle_instead_of_switching_cca_off() {
    let (phy, bus) = brought_up(Board { cut: CUT_C, ..ordinary() });
    bus.poke_rf(Path::B, 0x18, 0xabcde);
    let hssi = bus.fake.peek(bb::HSSI_READ.addr());
    assert_eq!(block_on(phy.read_rf(Path::B, rf::CFGCH, 0xff00)).unwrap(), 0xbc);
    let expected = [word(0x8b0, (hssi & !0xff) | 0x18), Op::Flush, micros(20), Op::Read(0xd44, 4)];
    assert_eq!(bus.fake.take_log(), expected);
}

#[test]
fn w1_the_mode_register_is_read_with_cca_on() {
    let (phy, bus) = brought_up(ordinary());
    block_on(phy.read_rf(Path::A, rf::MODE, RF_MASK)).unwrap();
    assert!(!bus.fake.take_writes().iter().any(|(addr, _)| *addr == bb::CCA2ND.addr()));
}

#[test]
fn w1_a_whole_rf_write_reads_nothing() {
    let (phy, bus) = brought_up(ordinary());
    block_on(phy.write_rf(Path::B, RfReg(0xef), RF_MASK, 0x80002)).unwrap();
    assert_eq!(bus.fake.take_log(), [word(0xe90, 0x0ef8_0002)]);
}

#[test]
fn w1_an_rf_value_comes_from_the_radio_each_time() {
    let (phy, bus) = brought_up(ordinary());
    block_on(async {
        phy.write_rf(Path::A, rf::CFGCH, RF_MASK, 0x00001).await.unwrap();
        bus.poke_rf(Path::A, 0x18, 0x30000);
        phy.write_rf(Path::A, rf::CFGCH, 0xff, 6).await.unwrap();
    });
    assert_eq!(bus.rf(Path::A, 0x18), 0x30006);
}

#[test]
fn w1_the_radio_tables_long_pauses_are_kept() {
    let (phy, bus) = radio(ordinary());
    block_on(phy.init_radio()).unwrap();
    let log = bus.fake.take_log();
    let rows = log.iter().filter(|op| matches!(op, Op::Write(0xc90 | 0xe90, _))).count();
    assert!(rows > 300, "{rows} rows");
    let long: Vec<_> = (0..log.len()).filter(|n| log[*n] == Op::Sleep(Duration::from_millis(50))).collect();
    assert_eq!(long.len(), 4, "200 ms in path A's table");
    // A pause counts from the end of what was written before it.
    assert!(long.iter().all(|n| log[n - 1] == Op::Flush));
}

#[test]
fn w1_in_serial_mode_every_row_of_a_radio_table_gets_its_14_us() {
    let made = ordinary();
    let bus = RadioBus::new();
    let regs = Regs::new(bus.clone(), Io::Serial, made.chip.shadow);
    let phy = Phy::new(&regs, std::rc::Rc::new(made)).unwrap();
    block_on(phy.init_radio()).unwrap();
    let log = bus.fake.take_log();
    for (n, op) in log.iter().enumerate() {
        if matches!(op, Op::Write(0xc90 | 0xe90, _)) {
            assert_eq!(log[n + 1..n + 3], [Op::Flush, micros(14)]);
        }
    }
}

#[test]
fn w1_the_baseband_is_powered_before_its_tables_and_the_crystal_trimmed_after() {
    let (phy, bus) = radio(ordinary());
    bus.fake.poke(sys::SYS_FUNC_EN.addr(), &[0x10]);
    bus.fake.poke(sys::AFE_CTRL3.addr(), &0x8000_ffff_u32.to_le_bytes());
    block_on(phy.init_baseband()).unwrap();
    let writes = bus.fake.take_writes();
    let start: Vec<_> = writes.iter().take(4).cloned().collect();
    assert_eq!(start, [(2, vec![0x14]), (2, vec![0x17]), (0x1f, vec![7]), (0x76, vec![7])]);
    assert_eq!(writes[4].0, 0x800);
    let trim = 0x8000_ffff_u32 & !0x7ff8_0000 | (0x1a | 0x1a << 6) << 19;
    assert_eq!(writes.last(), Some(&(0x2c, trim.to_le_bytes().to_vec())));
}

/// Mainline's RF CFGCH, CLKTRK field, DATA_SC, ADCCLK under 0x003003ff, L1PKTH field after `set_channel`.
#[test]
fn w1_a_channel_sets_synthesizer_width_and_sub_channel() {
    for (primary, mhz, cfgch, clock, sub, adc, threshold) in [
        (1, 20, 0x00c01, 0x96a, 0x00, 0x0030_0200, 7),
        (14, 20, 0x00c0e, 0x96a, 0x00, 0x0030_0300, 7),
        (6, 40, 0x00408, 0x96a, 0x02, 0x0030_0209, 7),
        (36, 20, 0x10d24, 0x494, 0x00, 0x0030_0200, 7),
        (36, 40, 0x10526, 0x494, 0x02, 0x0030_0209, 7),
        (40, 40, 0x10526, 0x494, 0x01, 0x0030_0205, 7),
        (36, 80, 0x1012a, 0x494, 0xa4, 0x0030_0212, 6),
        (40, 80, 0x1012a, 0x494, 0xa2, 0x0030_020a, 6),
        (44, 80, 0x1012a, 0x494, 0x91, 0x0030_0206, 6),
        (48, 80, 0x1012a, 0x494, 0x93, 0x0030_020e, 6),
        (64, 20, 0x10d40, 0x453, 0x00, 0x0030_0200, 7),
        (100, 20, 0x30d64, 0x452, 0x00, 0x0030_0200, 7),
        (140, 20, 0x30d8c, 0x412, 0x00, 0x0030_0200, 7),
        (144, 20, 0x50d90, 0x412, 0x00, 0x0030_0200, 7),
        (165, 20, 0x50da5, 0x412, 0x00, 0x0030_0200, 7),
    ] {
        let (phy, bus) = brought_up(ordinary());
        bus.fake.poke(mac::WMAC_TRXPTCL_CTL.addr(), &[0xff, 0xff]);
        bus.fake.answer(mac::TXPKT_EMPTY.addr(), |_| 0x30);
        let tuned = channel(primary, mhz);
        block_on(phy.set_channel(tuned)).unwrap();
        assert_eq!(phy.channel(), Some(tuned));
        for path in [Path::A, Path::B] {
            assert_eq!(bus.rf(path, 0x18) & 0x70fff, cfgch, "{tuned:?} {path:?}");
        }
        assert_eq!(bus.fake.peek(0x860) >> 17 & 0xfff, clock, "{tuned:?}");
        assert_eq!(bus.fake.peek(0x483) & 0xff, sub, "{tuned:?}");
        // Cut B chooses no ADC clock of its own at 5 GHz, so the width's stays; at 2.4 GHz the spur decides.
        let mask = if primary > 14 { 0x0030_03ff } else { 0x0030_033f };
        let held = bus.fake.peek(0x8ac) & mask & if mhz == 20 { !0x3c } else { !0 };
        assert_eq!(held, adc & mask, "{tuned:?}");
        assert_eq!(bus.fake.peek(0x848) >> 22 & 0xf, threshold, "{tuned:?}");
        assert_eq!(bus.fake.peek(0x8c4) >> 30 & 1, u32::from(mhz == 80), "{tuned:?}");
        let mode = match mhz {
            20 => 0,
            40 => 0x80,
            _ => 0x100,
        };
        assert_eq!(bus.fake.peek(0x668) & 0xffff, 0xfe7f | mode, "{tuned:?}");
    }
}

#[test]
fn w1_a_change_of_band_switches_cck_off_and_on() {
    let (phy, bus) = brought_up(ordinary());
    bus.fake.answer(mac::TXPKT_EMPTY.addr(), |_| 0x30);
    block_on(phy.set_channel(channel(36, 20))).unwrap();
    let log = bus.fake.take_log();
    let first = log.iter().find(|op| matches!(op, Op::Write(..)));
    assert_eq!(first, Some(&Op::Write(0x454, vec![0x80])), "CCK goes off before anything else");
    assert_eq!(bus.fake.peek(0x440) & 0xf_ffff, 0x150, "OFDM basic rates only");
    assert_eq!(bus.fake.peek(0xa04) >> 24 & 0xf, 0xf);
    assert_eq!(bus.fake.peek(0xcb0), 0x7733_7717);

    block_on(phy.set_channel(channel(11, 20))).unwrap();
    assert_eq!(bus.fake.peek(0x454) & 0x80, 0);
    assert_eq!(bus.fake.peek(0x440) & 0xf_ffff, 0x15f);
    assert_eq!(bus.fake.peek(0xcb0), 0x7777_7777);

    bus.fake.take_log();
    block_on(phy.set_channel(channel(6, 20))).unwrap();
    let writes = bus.fake.take_writes();
    assert!(!writes.iter().any(|(addr, _)| *addr == 0x454), "the band stays");
}

#[test]
fn w1_queues_that_never_run_dry_delay_the_band_switch_by_2_5_ms_at_most() {
    let (phy, bus) = brought_up(ordinary());
    bus.fake.answer(mac::TXPKT_EMPTY.addr(), |_| 0);
    block_on(phy.set_channel(channel(36, 20))).unwrap();
    let log = bus.fake.take_log();
    assert_eq!(log.iter().filter(|op| **op == micros(50)).count(), 50);
    assert_eq!(log.iter().filter(|op| **op == Op::Read(0x41a, 2)).count(), 51);
}

#[test]
fn w1_a_front_end_switches_its_own_pins() {
    let pins = |option: u8, bluetooth: bool, primary: u16| {
        let made = board(|map| {
            map[0xbc..0xc8].fill(0);
            map[0xc1] = if bluetooth { 0x20 } else { 0 };
            map[0xca] = option;
        });
        let (phy, bus) = brought_up(made);
        bus.fake.poke(0xcb0, &0xdddd_dddd_u32.to_le_bytes());
        bus.fake.answer(mac::TXPKT_EMPTY.addr(), |_| 0x30);
        // Away and back, so that the band switch is done in either case.
        block_on(async {
            phy.set_channel(channel(if primary > 14 { 1 } else { 36 }, 20)).await.unwrap();
            phy.set_channel(channel(primary, 20)).await.unwrap();
        });
        let inverted = |addr| bus.fake.peek(addr) >> 20 & 0x3ff;
        [bus.fake.peek(0xcb0), bus.fake.peek(0xeb0), inverted(0xcb4), inverted(0xeb4)]
    };
    assert_eq!(pins(0, false, 1), [0x7777_7777, 0x7777_7777, 0, 0]);
    assert_eq!(pins(0, false, 36), [0x7733_7717, 0x7733_7717, 0x10, 0x10]);
    assert_eq!(pins(1, false, 36), [0x7733_7717, 0x7733_7717, 0, 0]);
    assert_eq!(pins(1, true, 1)[0] & 0xff_ffff, 0x77_7777);
    assert_eq!(pins(2, false, 36), [0x7733_7777, 0x7733_7777, 0x10, 0x10]);
    assert_eq!(pins(3, false, 1), [0x5433_7770, 0x5433_7770, 0x10, 0x10]);
    assert_eq!(pins(3, false, 36), [0x5433_7717, 0x5433_7717, 0x10, 0x10]);
}

#[test]
fn w1_80_mhz_is_refused_where_the_efuse_rules_it_out() {
    let (phy, bus) = brought_up(Board { allows_80_mhz: false, ..ordinary() });
    let error = block_on(phy.set_channel(channel(36, 80))).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Channel(_)));
    assert!(error.to_string().contains("possible: 20 and 40 MHz"), "{error}");
    assert!(bus.fake.take_log().is_empty(), "nothing is touched");
}

#[test]
fn w1_a_front_end_without_tables_is_refused_by_number() {
    let made = board(|map| {
        map[0xbc..0xc8].fill(0);
        map[0xca] = 9;
    });
    let regs = Regs::new(RadioBus::new(), Io::Posted, made.chip.shadow);
    let error = Phy::new(&regs, std::rc::Rc::new(made)).unwrap_err();
    assert_eq!(error.to_string(), "RF front end 9 is not supported (0 to 3 are)");
}

#[test]
fn w6_a_switch_that_fails_names_its_register_and_the_next_one_starts_over() {
    let (phy, bus) = brought_up(ordinary());
    bus.fake.answer(mac::TXPKT_EMPTY.addr(), |_| 0x30);
    block_on(phy.set_channel(channel(1, 20))).unwrap();
    bus.fake.fail(bb::TXSCALE_B.addr(), TransferError::Stall);
    let error = block_on(phy.set_channel(channel(36, 20))).unwrap_err();
    assert_eq!(error.stage(), Stage::Channel);
    assert!(error.to_string().contains("TXSCALE_B"), "{error}");
    assert_eq!(phy.channel(), None);

    bus.fake.heal(bb::TXSCALE_B.addr());
    bus.fake.take_log();
    block_on(phy.set_channel(channel(36, 20))).unwrap();
    let writes = bus.fake.take_writes();
    assert!(writes.iter().any(|(addr, _)| *addr == 0x454), "the band is switched again");
}

#[test]
fn w1_a_board_with_one_path_leaves_the_other_alone() {
    let (phy, bus) = radio(Board { chains: 1, ..ordinary() });
    block_on(async {
        phy.init_baseband().await.unwrap();
        phy.init_radio().await.unwrap();
        phy.init_band().await.unwrap();
        assert_eq!(bus.fake.peek(0x808) & 0xff, 0x11);
        let to_b: Vec<_> = bus.fake.take_writes().into_iter().filter(|(addr, _)| *addr == 0xe90).collect();
        assert_eq!(to_b, [(0xe90, vec![0; 4])], "path B's radio is switched off and not written to");
        phy.set_channel(channel(11, 20)).await.unwrap();
    });
    let writes = bus.fake.take_writes();
    assert!(!writes.iter().any(|(addr, _)| (0xe20..=0xe90).contains(addr)), "nothing of path B's");
}

#[test]
fn posted_and_serial_access_leave_the_same_state() {
    let state = |io| {
        let made = ordinary();
        let bus = RadioBus::new();
        bus.fake.answer(mac::TXPKT_EMPTY.addr(), |_| 0x30);
        let regs = Regs::new(bus.clone(), io, made.chip.shadow);
        let phy = Phy::new(&regs, std::rc::Rc::new(made)).unwrap();
        block_on(async {
            phy.load_mac().await.unwrap();
            phy.init_baseband().await.unwrap();
            phy.init_radio().await.unwrap();
            phy.init_band().await.unwrap();
            phy.set_channel(channel(36, 80)).await.unwrap();
            phy.set_channel(channel(6, 40)).await.unwrap();
        });
        let registers: Vec<_> = (0..0x1000).step_by(4).map(|addr| bus.fake.peek(addr)).collect();
        let radios: Vec<_> = [Path::A, Path::B]
            .into_iter()
            .flat_map(|path| (0..=255).map(move |reg| (path, reg)))
            .map(|(path, reg)| bus.rf(path, reg))
            .collect();
        (registers, radios, bus.fake.take_writes())
    };
    assert_eq!(state(Io::Posted), state(Io::Serial));
}

#[test]
fn w1_every_channel_and_width_can_be_tuned_from_every_other() {
    let (phy, bus) = brought_up(ordinary());
    bus.fake.answer(mac::TXPKT_EMPTY.addr(), |_| 0x30);
    let mut tuned = 0;
    for primary in (0..200).chain((0..200).rev()) {
        for width in [Width::Mhz80, Width::Mhz20, Width::Mhz40] {
            let Ok(channel) = Channel::new(primary, width) else { continue };
            block_on(phy.set_channel(channel)).unwrap();
            assert_eq!(bus.rf(Path::A, 0x18) & 0xff, u32::from(channel.center()));
            assert_eq!(bus.fake.peek(0x454) & 0x80 != 0, primary > 14);
            tuned += 1;
        }
    }
    assert_eq!(tuned, 2 * (14 + 13 + 25 + 24 + 24));
}
