//! The 3081's MAC on a register RAM that answers as the chip does.

use core::cell::{Cell, RefCell};
use core::future::ready;
use std::rc::Rc;

use airlift_hcd::{Speed, TransferError};
use airlift_regs::{mac, more, sys, usb};
use futures::executor::block_on;

use super::packet::{Kind, PacketSink, packet};
use super::{configure, download, introduction, power};
use crate::chip::{Board, Chip, Mac, Mac3081};
use crate::efuse::EfuseInfo;
use crate::error::{Error, ErrorKind};
use crate::firmware::{Firmware, Image};
use crate::phy::Phy;
use crate::regio::fake::{FakeBus, Op};
use crate::regio::{Io, Local, Regs};

/// Keeps what is sent, and lets the page arrive unless told not to.
#[derive(Clone, Default)]
struct Sink {
    packets: Rc<RefCell<Vec<Vec<u8>>>>,
    fails: Rc<Cell<bool>>,
}

impl PacketSink for Sink {
    fn send(&self, packet: Vec<u8>) -> Local<Result<(), TransferError>> {
        self.packets.borrow_mut().push(packet);
        Box::pin(ready(if self.fails.get() { Err(TransferError::Stall) } else { Ok(()) }))
    }
}

fn own() -> &'static Mac3081 {
    match &Chip::Rtl8814au.info().mac {
        Mac::With3081(own) => own,
        Mac::With8051(_) => unreachable!("the RTL8814A has a 3081"),
    }
}

fn board(bulk_out: u8, speed: Speed, antenna_option: u8) -> Board {
    let chip = Chip::Rtl8814au.info();
    let mut map = vec![0xff; chip.efuse.logical_size];
    map[0xc9] = antenna_option;
    Board {
        chip,
        cut: 1,
        chains: 4,
        allows_80_mhz: true,
        efuse: EfuseInfo::new(&chip.efuse, &map, 1),
        speed,
        bulk_out,
    }
}

/// 0x1010 bytes of data memory and 0x20 of instructions, each with 8 bytes of sum.
fn image() -> Image {
    let mut data = vec![0_u8; 64];
    data[..2].copy_from_slice(&0x8814_u16.to_le_bytes());
    for (at, word) in [(0x20, 0x8020_0000_u32), (0x24, 0x1010), (0x30, 0x20), (0x3c, 0x8003_0000)] {
        data[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    data.extend((0..0x1018 + 0x28).map(|n: u32| n as u8));
    Firmware::bytes("test", data).load(Chip::Rtl8814au.info()).expect("a file of the chip")
}

/// A chip that takes what it is given; its firmware runs once MCUFW_CTRL says that it is in.
fn chip() -> (Regs, FakeBus) {
    let fake = FakeBus::new();
    fake.answer(mac::FIFOPAGE_CTRL_2.addr(), |held| held | 0x8000);
    fake.answer(more::DDMA_CH0CTRL.addr(), |held| held & 0x7fff_ffff);
    fake.answer(mac::AUTO_LLT_V1.addr(), |held| held & !1);
    fake.answer(sys::MCUFW_CTRL.addr(), |held| if held & 0x4000 != 0 { held | 0x8000 } else { held });
    (Regs::new(fake.clone(), Io::Posted, Chip::Rtl8814au.info().shadow), fake)
}

fn downloaded(regs: &Regs, sink: &Sink) -> Result<(), Error> {
    block_on(download::download(regs, sink, &image(), &|_, _| {}))
}

fn word(addr: u16, value: u32) -> (u16, Vec<u8>) {
    (addr, value.to_le_bytes().to_vec())
}

#[test]
fn w4_pages_go_through_the_beacon_queue_and_dma_carries_them_to_their_memories() {
    let (regs, fake) = chip();
    let sink = Sink::default();
    fake.poke(mac::BCN_CTRL.addr(), &[0x18]);
    fake.poke(mac::CR.addr(), &[0xff, 0x06]);
    downloaded(&regs, &sink).unwrap();

    let packets = sink.packets.borrow();
    let lengths: Vec<_> = packets.iter().map(|packet| packet.len() - 40).collect();
    assert_eq!(lengths, [0x1000, 0x18, 0x28]);
    assert_eq!(packets[0][40..][..4], [0, 1, 2, 3]);
    assert_eq!(packets[1][40], 0, "the second page begins where the first ended");
    let writes = fake.take_writes();
    let dma: Vec<_> = writes.iter().filter(|(addr, _)| (0x1204..=0x1208).contains(addr)).cloned().collect();
    let reset = 0x0200_0000;
    assert_eq!(
        dma,
        [
            word(0x1208, reset),
            word(0x1204, 0x0020_0000),
            word(0x1208, 0xa000_1000),
            word(0x1204, 0x0020_1000),
            word(0x1208, 0xa100_0018),
            word(0x1208, 0x2100_0018 | reset),
            word(0x1204, 0x0003_0000),
            word(0x1208, 0xa000_0028),
        ]
    );
    assert!(writes.contains(&word(0x1200, 0x1878_0028)), "behind the descriptor");
    assert_eq!(fake.peek(sys::MCUFW_CTRL.addr()) & 0xffff, 0x4078, "in, right, and download mode is over");
    // What was borrowed is back, and the MCU runs.
    assert_eq!((fake.peek(mac::BCN_CTRL.addr()) & 0xff, fake.peek(mac::CR.addr())), (0x18, 0x06ff));
    assert_eq!(fake.peek(sys::SYS_FUNC_EN.addr()) & 0x400, 0x400);
}

#[test]
fn w4_each_page_is_waited_for_before_it_is_copied_and_all_before_it_is_sent() {
    let (regs, fake) = chip();
    downloaded(&regs, &Sink::default()).unwrap();
    let log = fake.take_log();
    let arrivals: Vec<_> = (0..log.len()).filter(|n| log[*n] == Op::Read(0x204, 2)).collect();
    assert_eq!(arrivals.len(), 3);
    for n in arrivals {
        assert_eq!(log[n - 1], Op::Flush, "the page's place is set when it comes");
        assert!(matches!(log[n + 1], Op::Write(0x1200, _)));
        assert_eq!(log[n + 4], Op::Read(0x1208, 4));
    }
}

#[test]
fn w6_a_wrong_checksum_is_told_to_the_chip_and_named() {
    let (regs, fake) = chip();
    fake.answer(more::DDMA_CH0CTRL.addr(), |held| held & 0x7fff_ffff | 0x0800_0000);
    let error = downloaded(&regs, &Sink::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unexpected { register: 0x1208, .. }), "{error:?}");
    assert!(error.to_string().contains("checksum"), "{error}");
    let mcu = fake.peek(sys::MCUFW_CTRL.addr());
    assert_eq!(mcu & 0x61, 0x20, "in but wrong, and download mode is over");
}

#[test]
fn w6_a_page_that_does_not_arrive_or_an_mcu_that_does_not_start_is_named() {
    let (regs, fake) = chip();
    fake.answer(mac::FIFOPAGE_CTRL_2.addr(), |_| 0);
    let error = downloaded(&regs, &Sink::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { register: 0x204, .. }), "{error:?}");

    let (regs, fake) = chip();
    fake.answer(sys::MCUFW_CTRL.addr(), |held| held & 0x7fff);
    let error = downloaded(&regs, &Sink::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { register: 0x80, .. }), "{error:?}");
    fake.poke(sys::FW_DBG7.addr(), &0xfaaa_aa07_u32.to_le_bytes());
    let error = downloaded(&regs, &Sink::default()).unwrap_err();
    assert!(error.to_string().contains("key"), "{error}");

    let (regs, _) = chip();
    let sink = Sink::default();
    sink.fails.set(true);
    let error = downloaded(&regs, &sink).unwrap_err();
    assert!(error.to_string().contains("sending a page of the firmware"), "{error}");
}

#[test]
fn a_packets_checksum_covers_its_descriptor() {
    let page = packet(Kind::ReservedPage, &[7; 100]);
    assert_eq!(page.len(), 140);
    assert_eq!(page[..8], [100, 0, 40, 4, 0, 16, 0, 0]);
    let sum = page[..32].chunks(2).fold(0, |sum, pair| sum ^ u16::from_le_bytes([pair[0], pair[1]]));
    assert_eq!((sum, page[28..30] != [0, 0]), (0, true));
    assert_eq!(packet(Kind::Command, &[])[..8], [0, 0, 0, 0, 0, 19, 0, 0]);
}

#[test]
fn w1_the_firmware_hears_where_its_pages_are_and_of_the_radio() {
    let told = |board: &Board| {
        let (regs, _) = chip();
        let sink = Sink::default();
        block_on(introduction::introduce(&regs, &sink, board, own())).unwrap();
        let packets = sink.packets.take();
        packets.into_iter().map(|packet| packet[40..].to_vec()).collect::<Vec<_>>()
    };
    let high = told(&board(3, Speed::High, 0xff));
    assert_eq!(high.iter().map(Vec::len).collect::<Vec<_>>(), [32, 32]);
    // 2,034 less 1,986.
    assert_eq!(high[0][..12], [0x01, 0xff, 0x0d, 0, 12, 0, 0, 0, 0, 0, 48, 0]);
    // A blank EFUSE is front end 1; two antennas at high speed, cut B.
    assert_eq!(high[1][..12], [0x01, 0xff, 0x11, 0, 16, 0, 1, 0, 1, 2, 1, 0x33]);
    assert_eq!(told(&board(3, Speed::Super, 0xee))[1][8..12], [1, 0, 1, 0x77]);
    assert_eq!(told(&board(3, Speed::Super, 0x66))[1][8..12], [1, 2, 1, 0x33]);
}

#[test]
fn w1_queues_filters_and_timers_are_set() {
    for (bulk_out, map) in [(2, 0xfaf1), (3, 0xf5b1), (4, 0xf5b1)] {
        let (regs, fake) = chip();
        let board = Rc::new(board(bulk_out, Speed::High, 0xff));
        let phy = Phy::new(&regs, board.clone()).unwrap();
        block_on(configure::configure(&regs, &board, own(), &phy)).unwrap();
        let half = |addr| fake.peek(addr) & 0xffff;
        assert_eq!(half(0x10c), map, "{bulk_out} endpoints");
        assert_eq!([0x230, 0x234, 0x238, 0x23c, 0x240].map(half), [32, 32, 32, 32, 1986 - 128]);
        assert_eq!([0x204, 0x206, 0x424, 0x456].map(half), [1986; 4]);
        assert_eq!(fake.peek(0x11c), 23_552 - 256 - 1);
        assert_eq!((fake.peek(0x244), fake.peek(0x24c), fake.peek(0x248)), (0x3f500, 0x3f500, 0x3f900));
        assert_eq!(fake.peek(0x208) >> 24, 6);
        assert_eq!(half(mac::CR.addr()), 0x06ff);
        assert_eq!(fake.peek(mac::RRSR.addr()) & 0xf_ffff, 0xf_ffff);
        assert_eq!(fake.peek(0x7d5) & 0xff, 0xbc, "as the table has it");
        assert_eq!(fake.peek(mac::MAX_AGGR_NUM.addr()) & 0xffff, 0x3636, "after the table");
    }
}

#[test]
fn w6_a_list_that_the_chip_does_not_finish_is_named() {
    let (regs, fake) = chip();
    fake.answer(mac::AUTO_LLT_V1.addr(), |held| held);
    let board = Rc::new(board(3, Speed::High, 0xff));
    let phy = Phy::new(&regs, board.clone()).unwrap();
    let error = block_on(configure::configure(&regs, &board, own(), &phy)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { register: 0x208, .. }), "{error:?}");
    let error = block_on(configure::configure(&regs, &self::board(5, Speed::High, 0xff), own(), &phy));
    assert!(error.unwrap_err().to_string().contains("5 bulk-out endpoints"));
}

#[test]
fn w6_a_chip_that_was_left_on_is_woken_and_switched_off_first() {
    let (regs, fake) = chip();
    fake.poke(sys::MCUFW_CTRL.addr(), &0xc078_u32.to_le_bytes());
    fake.poke(mac::CR.addr(), &[0xff]);
    fake.answer(0x0006, |_| 0x02);
    fake.answer(0x0005, |held| held & !0x03);
    block_on(power::power_on(&regs, Chip::Rtl8814au.info(), own())).unwrap();
    let writes = fake.take_writes();
    let at = |wanted: (u16, Vec<u8>)| writes.iter().position(|write| *write == wanted).unwrap();
    let woken = at((usb::USB_HRPWM.addr(), vec![0x80]));
    let off = at((0x0007, vec![0x28]));
    let on = at((0x10c2, vec![0x02]));
    assert!(woken < off && off < on);

    let (regs, fake) = chip();
    fake.answer(mac::CR.addr(), |_| 0xea);
    fake.answer(0x0006, |_| 0x02);
    fake.answer(0x0005, |held| held & !0x03);
    block_on(power::power_on(&regs, Chip::Rtl8814au.info(), own())).unwrap();
    let writes = fake.take_writes();
    assert!(!writes.iter().any(|(addr, _)| *addr == 0x0007 || *addr == usb::USB_HRPWM.addr()));
    assert_eq!(fake.peek(0x1103) & 0xff, 0x0c);
    assert_eq!(fake.peek(sys::SYS_FUNC_EN.addr()) >> 8 & 0xff, 0xdc);
    block_on(power::power_off(&regs, Chip::Rtl8814au.info(), true)).unwrap();
    assert!(fake.take_writes().is_empty(), "a chip without power is left alone");
}

#[test]
fn w1_bluetooth_is_told_of_power_off_on_every_board_before_the_chip_goes() {
    for bluetooth in [false, true] {
        let (regs, fake) = chip();
        fake.poke(sys::MCUFW_CTRL.addr(), &0xc078_u32.to_le_bytes());
        fake.poke(mac::CR.addr(), &[0xff]);
        fake.answer(0x0005, |held| held & !0x03);
        block_on(power::power_off(&regs, Chip::Rtl8814au.info(), bluetooth)).unwrap();
        let writes = fake.take_writes();
        let told = |write: &&(u16, Vec<u8>)| write.0 == sys::WIFI_BT_INFO.addr();
        assert_eq!(writes[0], (sys::WIFI_BT_INFO.addr(), vec![0x00, 0x80]), "{bluetooth}");
        assert_eq!(writes[1].0, usb::USB_HRPWM.addr(), "the firmware is woken");
        assert_eq!(writes.iter().filter(told).count(), 1);
        assert!(writes.iter().any(|(addr, _)| *addr == 0x0007), "it is switched off");

        // One that leaves the bus has not told Bluetooth anything before either.
        block_on(power::mac_power_off(&regs, Chip::Rtl8814au.info())).unwrap();
        let writes = fake.take_writes();
        assert_eq!(writes.iter().filter(told).count(), 0);
        assert!(writes.iter().any(|(addr, _)| *addr == 0x0007), "it is switched off");
    }
}
