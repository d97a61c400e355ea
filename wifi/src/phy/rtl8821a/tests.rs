//! The RTL8821A's radio on a register RAM.

use std::time::Duration;

use airlift_hcd::TransferError;
use airlift_regs::{bb, mac, sys};
use futures::executor::block_on;

use super::super::Phy;
use super::super::rf::Path;
use super::super::testbus::{RadioBus, board_of, channel, radio};
use crate::chip::{Board, Chip};
use crate::error::{ErrorKind, Stage};
use crate::regio::fake::Op;

/// Bit of the calibration's result register: the receiver's shot failed.
const RX_FAILED: u32 = 1 << 11;

fn ordinary() -> Board {
    board_of(Chip::Rtl8821au, |map| {
        map[0x10..0x3a].fill(0x28);
        map[0xb9] = 0x1a;
        map[0xbc..0xc8].fill(0);
    })
}

fn brought_up(board: Board) -> (Phy, RadioBus) {
    let (phy, bus) = radio(board);
    bus.fake.answer(mac::TXPKT_EMPTY.addr(), |_| 0x30);
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
fn w1_the_8821a_trims_its_crystal_and_writes_no_second_radio() {
    let (phy, bus) = radio(ordinary());
    bus.fake.poke(sys::AFE_CTRL3.addr(), &0xff00_0fff_u32.to_le_bytes());
    block_on(async {
        phy.init_baseband().await.unwrap();
        phy.init_radio().await.unwrap();
    });
    assert_eq!(bus.fake.peek(sys::AFE_CTRL3.addr()), 0xff00_0fff | (0x1a | 0x1a << 6) << 12);
    let writes = bus.fake.take_writes();
    assert!(writes.iter().any(|(addr, _)| *addr == 0xc90));
    assert!(!writes.iter().any(|(addr, _)| *addr == 0xe90), "there is no path B");
}

#[test]
fn w1_a_value_of_the_8821as_radio_is_given_20_us_and_cca_stays_on() {
    let (phy, bus) = brought_up(ordinary());
    bus.poke_rf(Path::A, 0x18, 0xabcde);
    // From the second on what else HSSI_READ holds is known.
    block_on(phy.read_rf(Path::A, airlift_regs::rf::CFGCH, 0xff00)).unwrap();
    bus.fake.take_log();
    let hssi = bus.fake.peek(bb::HSSI_READ.addr());
    assert_eq!(block_on(phy.read_rf(Path::A, airlift_regs::rf::CFGCH, 0xff00)).unwrap(), 0xbc);
    let named = ((hssi & !0xff) | 0x18).to_le_bytes().to_vec();
    let log = bus.fake.take_log();
    let settled = [Op::Write(0x8b0, named), Op::Flush, Op::Sleep(Duration::from_micros(20))];
    assert_eq!(log[..3], settled);
    assert!(matches!(log[3], Op::Read(0xd04 | 0xd08, 4)), "{:?}", log[3]);
    assert_eq!(log.len(), 4);
}

/// The pins' registers, the antenna's switch and the band's bits of TXSCALE after a switch to either band.
#[test]
fn w1_a_band_of_the_8821a_sets_pins_and_the_antennas_switch() {
    for (amplifier, bluetooth, primary, pins, inverted, switch, scale) in [
        (false, false, 1, 0x7777, 0x1000_0077, 0x0100_0000, 0),
        (true, false, 1, 0x7272, 0x1010_0077, 0x0100_0000, 0),
        (false, false, 36, 0x5747, 0x2000_0077, 0x0100_0000, 1),
        (true, false, 36, 0x5747, 0x2000_0077, 0x0100_0000, 1),
        // The switch is coexistence's.
        (false, true, 36, 0x5747, 0x1000_0077, 0x0100_0000, 1),
    ] {
        let mut made = ordinary();
        made.efuse.front_end.ext_lna_2g = amplifier;
        made.efuse.bt_coex = bluetooth;
        let (phy, bus) = brought_up(made);
        bus.fake.poke(sys::LED_CFG.addr(), &0x0080_0000_u32.to_le_bytes());
        bus.fake.poke(bb::RFE_INV_A.addr(), &[0; 4]);
        phy.regs.forget();
        block_on(async {
            phy.set_channel(channel(if primary > 14 { 1 } else { 36 }, 20)).await.unwrap();
            phy.set_channel(channel(primary, 20)).await.unwrap();
        });
        let held = [bb::RFE_PINMUX_A.addr(), bb::RFE_INV_A.addr(), sys::LED_CFG.addr()];
        let [pinmux, inverter, led] = held.map(|addr| bus.fake.peek(addr));
        let name = format!("channel {primary}, amplifier {amplifier}, bluetooth {bluetooth}");
        assert_eq!(pinmux & 0xf7f7, pins & 0xf7f7, "{name}: {pinmux:#x}");
        assert_eq!((inverter, led), (inverted, switch), "{name}: {inverter:#x} {led:#x}");
        assert_eq!(bus.fake.peek(bb::TXSCALE_A.addr()) >> 8 & 0xf, scale, "{name}");
    }
}

#[test]
fn w1_a_channel_of_the_8821a_sets_one_synthesizer() {
    let (phy, bus) = brought_up(ordinary());
    for (primary, mhz, cfgch, threshold) in [
        (1, 20, 0x00c01, 8),
        (6, 40, 0x00408, 8),
        (36, 80, 0x1012a, 7),
        (100, 20, 0x30d64, 8),
        (165, 20, 0x50da5, 8),
    ] {
        block_on(phy.set_channel(channel(primary, mhz))).unwrap();
        assert_eq!(bus.rf(Path::A, 0x18) & 0x70fff, cfgch, "{primary}/{mhz}");
        assert_eq!(bus.fake.peek(0x848) >> 22 & 0xf, threshold, "{primary}/{mhz}");
        assert!(!bus.fake.take_writes().iter().any(|(addr, _)| *addr == 0xe90));
    }
}

/// A radio on a channel whose shots give `answer(control word)`.
fn measured(primary: u16, mhz: u16, answer: fn(u32) -> u32) -> (Phy, RadioBus) {
    let (phy, bus) = brought_up(ordinary());
    let last = bus.last_written(bb::RFECTL_A.addr());
    bus.fake.answer(bb::IQKA_END.addr(), move |_| answer(last.get()));
    block_on(phy.set_channel(channel(primary, mhz))).unwrap();
    bus.fake.take_log();
    (phy, bus)
}

/// Transmitter (0x1f0, 0x7fd), receiver (0x204, 4).
fn well(control: u32) -> u32 {
    let value = match control {
        0x0200_0000 => 0x1f0,
        0x0400_0000 => 0x7fd,
        0x0600_0000 => 0x204,
        0x0800_0000 => 0x004,
        _ => 0,
    };
    value << 16
}

/// Registers that calibration borrows, and the radio's but for 0x00: this RAM has one page alone, where what page C1
/// has in place of the radio's window goes there.
fn borrowed(bus: &RadioBus) -> Vec<u32> {
    let registers = [0x520, 0x550, 0x808, 0xa04, 0x90c, 0xc00, 0x838, 0x82c, 0xc5c, 0xc60, 0xc64, 0xc68];
    let radio = [0x65, 0x8f, 0x18].map(|reg| bus.rf(Path::A, reg));
    registers.into_iter().map(|addr| bus.fake.peek(addr)).chain(radio).collect()
}

#[test]
fn w1_calibrating_the_8821a_fills_in_what_three_rounds_agree_on_and_puts_back_the_rest() {
    for (primary, mhz) in [(11, 20), (6, 40), (36, 20), (36, 80)] {
        let (phy, bus) = measured(primary, mhz, well);
        let before = borrowed(&bus);
        block_on(phy.calibrate()).unwrap();
        assert_eq!(borrowed(&bus), before, "{primary}/{mhz}");
        let writes = bus.fake.take_writes();
        let last = |addr: u16| {
            let found = writes.iter().rev().find(|(at, _)| *at == addr);
            found.map(|(_, data)| u32::from_le_bytes(data[..].try_into().unwrap()))
        };
        // The pages share a RAM here: what a field became is its last write.
        assert_eq!(last(bb::IQC_X.addr()).map(|word| word & 0x7ff), Some(0x1f0));
        assert_eq!(last(bb::IQC_Y.addr()).map(|word| word & 0x7ff), Some(0x7fd));
        assert_eq!(last(bb::RX_IQC_AB_A.addr()).map(|word| word & 0x03ff_03ff), Some(0x0002_0102));
        let shots = writes.iter().filter(|(addr, data)| *addr == 0x980 && data[3] == 0xfa).count();
        assert_eq!(shots, if mhz == 80 { 3 * 5 } else { 3 * 3 });
        let paused = writes.iter().filter(|(addr, _)| *addr == mac::TXPAUSE.addr()).count();
        assert!(paused > 0, "traffic is stopped meanwhile");
    }
}

#[test]
fn w1_a_receiver_without_a_solution_is_told_and_left_as_it_was() {
    let (phy, bus) = measured(36, 20, |control| well(control) | RX_FAILED);
    let before = borrowed(&bus);
    let error = block_on(phy.calibrate()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Calibration(_)), "{error}");
    assert!(error.to_string().contains("receiver"), "{error}");
    assert_eq!(error.stage(), Stage::Calibrate);
    assert_eq!(borrowed(&bus), before);
}

#[test]
fn w6_a_transfer_that_fails_during_calibration_is_told_by_register() {
    let (phy, bus) = measured(11, 20, well);
    bus.fake.fail(bb::IQK_COM96.addr(), TransferError::Stall);
    let error = block_on(phy.calibrate()).unwrap_err();
    assert!(error.to_string().contains("IQK_COM96"), "{error}");
}
