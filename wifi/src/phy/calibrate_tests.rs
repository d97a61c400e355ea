//! Calibration on a register RAM whose results a test chooses.

use std::cell::Cell;
use std::time::Duration;

use airlift_regs::bb;
use futures::executor::block_on;

use super::Phy;
use super::rf::Path;
use super::testbus::{RadioBus, board, channel, radio};
use crate::error::{ErrorKind, Stage};
use crate::regio::fake::Op;

/// Bits of the result registers.
const DONE: u32 = 1 << 10;
const RX_FAILED: u32 = 1 << 11;
const TX_FAILED: u32 = 1 << 12;

/// A radio on `primary` whose shots give `answer(control word)` on both paths.
fn tuned(primary: u16, answer: fn(u32) -> u32) -> (Phy, RadioBus) {
    let (phy, bus) = radio(board(|map| {
        map[0x10..0x10 + 84].fill(0x28);
        map[0xbc..0xc8].fill(0);
        map[0xca] = 0;
    }));
    bus.fake.answer(airlift_regs::mac::TXPKT_EMPTY.addr(), |_| 0x30);
    for (end, control) in [(bb::IQKA_END, bb::RFECTL_A), (bb::IQKB_END, bb::RFECTL_B)] {
        let last = bus.last_written(control.addr());
        bus.fake.answer(end.addr(), move |_| answer(last.get()));
    }
    // The LC tank comes to rest at once.
    bus.clears(Path::A, 0x18, 0x8000);
    block_on(async {
        phy.init_baseband().await.unwrap();
        phy.init_radio().await.unwrap();
        phy.init_band().await.unwrap();
        phy.set_channel(channel(primary, 20)).await.unwrap();
    });
    bus.fake.take_log();
    (phy, bus)
}

/// A chip that finds transmitter (0x1f0, 0x7fd) and receiver (0x204, 4).
fn well(control: u32) -> u32 {
    let value = match control {
        0x0200_0000 => 0x1f0,
        0x0400_0000 => 0x7fd,
        0x0600_0000 => 0x204,
        0x0800_0000 => 0x004,
        _ => 0,
    };
    DONE | value << 16
}

/// Registers that calibration borrows.
fn borrowed(bus: &RadioBus) -> Vec<u32> {
    let registers = [
        0x520, 0x550, 0x808, 0xa04, 0x90c, 0xc00, 0xe00, 0x838, 0x82c, 0xc5c, 0xc60, 0xc64, 0xc68, 0xcb0,
        0xcb4, 0xe5c, 0xe60, 0xe64, 0xe68, 0xeb0, 0xeb4,
    ];
    let radios =
        [Path::A, Path::B].into_iter().flat_map(|path| [0x00, 0x18, 0x65, 0x8f].map(|reg| (path, reg)));
    let radios = radios.map(|(path, reg)| bus.rf(path, reg));
    registers.into_iter().map(|addr| bus.fake.peek(addr)).chain(radios).collect()
}

#[test]
fn w1_calibration_fills_in_what_two_shots_agree_on_and_puts_back_the_rest() {
    let (phy, bus) = tuned(11, well);
    let before = borrowed(&bus);
    block_on(phy.calibrate()).unwrap();
    assert_eq!(borrowed(&bus), before);
    for (x, y, rx) in [(0xcd4, 0xccc, 0xc10), (0xed4, 0xecc, 0xe10)] {
        assert_eq!((bus.fake.peek(x) & 0x7ff, bus.fake.peek(y) & 0x7ff), (0x1f0, 0x7fd));
        assert_eq!((bus.fake.peek(rx) & 0x3ff, bus.fake.peek(rx) >> 16 & 0x3ff), (0x102, 2));
    }
    let log = bus.fake.take_log();
    let waits = |time| log.iter().filter(|op| **op == Op::Sleep(Duration::from_millis(time))).count();
    assert_eq!(waits(150), 1, "the LC tank");
    assert_eq!(waits(10), 2, "two shots of the transmitters");
    assert_eq!(waits(5), 4, "two of each receiver");
    assert_eq!(log.last(), Some(&Op::Flush));
    assert!(!log.iter().any(|op| matches!(op, Op::Write(0x81c, _))), "2.4 GHz has no gain tables of its own");
}

#[test]
fn w1_calibration_at_5_ghz_loads_the_gain_tables_of_its_channels() {
    let tables = [
        include_str!("../../tables/rtl8812a/agc_diff_lb.txt"),
        include_str!("../../tables/rtl8812a/agc_diff_hb.txt"),
    ];
    for (primary, own) in [(36, 0), (64, 0), (100, 1), (165, 1)] {
        let (phy, bus) = tuned(primary, well);
        block_on(phy.calibrate()).unwrap();
        let writes = bus.fake.take_writes();
        let gains: Vec<_> = writes.iter().filter(|(addr, _)| *addr == 0x81c).collect();
        assert!(!gains.is_empty(), "channel {primary}");
        for (_, bytes) in gains {
            let row = format!("0000081c {:08x}", u32::from_le_bytes(bytes.clone().try_into().unwrap()));
            assert!(tables[own].contains(&row) && !tables[1 - own].contains(&row), "{primary}: {row}");
        }
    }
}

#[test]
fn w6_a_path_without_a_solution_is_named_and_gets_neutral_values() {
    fn receivers_fail(control: u32) -> u32 {
        well(control) | RX_FAILED
    }
    let (phy, bus) = tuned(11, receivers_fail);
    let before = borrowed(&bus);
    let error = block_on(phy.calibrate()).unwrap_err();
    assert_eq!(error.stage(), Stage::Calibrate);
    assert_eq!(
        error.to_string(),
        "calibration: no I/Q solution for the receiver of path A, the receiver of path B"
    );
    assert_eq!(borrowed(&bus), before);
    assert_eq!(bus.fake.peek(0xcd4) & 0x7ff, 0x1f0);
    assert_eq!(bus.fake.peek(0xc10) & 0x03ff_03ff, 0x100);
    assert_eq!(phy.channel(), Some(channel(11, 20)));
}

#[test]
fn w6_shots_that_are_never_done_end_after_ten_attempts() {
    let (phy, bus) = tuned(36, |_| 0);
    let before = borrowed(&bus);
    let error = block_on(phy.calibrate()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Calibration(what) if what.contains("transmitter of path A")));
    assert_eq!(borrowed(&bus), before);
    let log = bus.fake.take_log();
    let looks = log.iter().filter(|op| **op == Op::Sleep(Duration::from_millis(1))).count();
    assert_eq!(looks, 11 * 20, "20 looks a shot: ten of the transmitters, one pass without receivers");
}

#[test]
fn w6_samples_that_never_agree_end_too() {
    thread_local!(static NOISE: Cell<u32> = const { Cell::new(0) });
    fn noise(_: u32) -> u32 {
        NOISE.set(NOISE.get() + 37);
        let failed = if NOISE.get().is_multiple_of(3) { TX_FAILED } else { 0 };
        DONE | failed | ((NOISE.get() * 97) & 0x7ff) << 16
    }
    let (phy, bus) = tuned(36, noise);
    let before = borrowed(&bus);
    let _ = block_on(phy.calibrate());
    assert_eq!(borrowed(&bus), before);
}

#[test]
fn w6_an_lc_tank_that_does_not_rest_is_told_after_everything_is_put_back() {
    let (phy, bus) = tuned(11, well);
    bus.stays(Path::A);
    let before = borrowed(&bus);
    let error = block_on(phy.calibrate()).unwrap_err();
    assert!(error.to_string().contains("LC tank did not come to rest within 200 ms"), "{error}");
    assert_eq!(borrowed(&bus), before);
}

#[test]
fn w6_calibrating_before_a_channel_is_set_is_refused() {
    let (phy, bus) = radio(board(|map| map[0xbc..0xcb].fill(0)));
    let error = block_on(phy.calibrate()).unwrap_err();
    assert_eq!(error.to_string(), "calibration: no channel is set");
    assert!(bus.fake.take_log().is_empty());
}

#[test]
fn w1_no_register_is_answered_from_the_other_page_after_calibration() {
    let (phy, bus) = tuned(11, well);
    block_on(phy.calibrate()).unwrap();
    // The shadow starts anew, so what was put behind the driver's back now counts.
    bus.fake.poke(0xcb4, &0xc00f_5678_u32.to_le_bytes());
    block_on(phy.set_channel(channel(36, 20))).unwrap();
    assert_eq!(bus.fake.peek(0xcb4), 0xc10f_5678);
}
