//! Coexistence on a register RAM.

use std::rc::Rc;

use airlift_hcd::{Speed, TransferError};
use airlift_regs::mac;
use futures::executor::block_on;

use super::{Coex, tell_power_off};
use crate::channel::Band;
use crate::chip::{Board, Chip};
use crate::efuse::EfuseInfo;
use crate::error::ErrorKind;
use crate::regio::fake::{FakeBus, Op};
use crate::regio::{Io, Regs};

/// Coexistence of a board with a Bluetooth part or without.
fn coex(chip: Chip, bluetooth: bool, shares_antennas: bool) -> (Coex, FakeBus) {
    let info = chip.info();
    let map = vec![0xff; info.efuse.logical_size];
    let mut efuse = EfuseInfo::new(&info.efuse, &map, 1);
    (efuse.bt_coex, efuse.shares_antennas) = (bluetooth, shares_antennas);
    let board = Board {
        chip: info,
        cut: 1,
        chains: info.chains,
        allows_80_mhz: true,
        efuse,
        speed: Speed::High,
        bulk_out: 4,
    };
    let fake = FakeBus::new();
    let regs = Regs::new(fake.clone(), Io::Posted, info.shadow);
    (Coex::new(&regs, Rc::new(board)), fake)
}

/// The H2C commands among the writes: the box, then the bytes.
fn commands(fake: &FakeBus) -> Vec<(u16, [u8; 8])> {
    let writes = fake.take_writes();
    let sent = |at: usize| {
        let (address, first) = &writes[at];
        let number = (0..4).find(|number| *address == mac::HMEBOX0.addr() + 4 * number)?;
        let (before, rest) = &writes[at - 1];
        assert_eq!(*before, mac::HMEBOX0_EX.addr() + 4 * number, "the rest of the command comes first");
        Some((number, [&first[..], &rest[..]].concat().try_into().expect("eight bytes")))
    };
    (0..writes.len()).filter_map(sent).collect()
}

#[test]
fn w1_a_board_without_bluetooth_gets_the_ptas_tables_of_its_band_and_no_more() {
    let (coex, fake) = coex(Chip::Rtl8821au, false, false);
    block_on(coex.set_up()).unwrap();
    assert!(fake.take_writes().is_empty(), "nothing to set up");
    block_on(coex.enter(Band::Ghz2)).unwrap();
    assert_eq!(fake.peek(0x06c0), 0xffff_55ff);
    assert_eq!(fake.peek(0x0cb4) & 0xff, 0, "the pins are the band switch's");
    assert_eq!(commands(&fake), [(0, [0x60, 0x61, 0x30, 0x03, 0x11, 0x10, 0, 0])]);
    block_on(coex.enter(Band::Ghz2)).unwrap();
    assert!(fake.take_writes().is_empty(), "the band is the same");
    block_on(coex.enter(Band::Ghz5)).unwrap();
    assert_eq!((fake.peek(0x06c0), fake.peek(0x06c4), fake.peek(0x06c8)), (u32::MAX, u32::MAX, 0xf0ff_ffff));
    assert_eq!(commands(&fake), [(1, [0x60, 0, 0, 0, 0x40, 0, 0, 0])]);
    coex.forget();
    block_on(coex.enter(Band::Ghz5)).unwrap();
    assert_eq!(commands(&fake), [(2, [0x60, 0, 0, 0, 0x40, 0, 0, 0])], "nobody knows what the firmware has");
    assert_eq!(fake.peek(0x06c0), u32::MAX);
}

#[test]
fn w1_bluetooth_has_shared_antennas_at_2_4_ghz_and_wifi_at_5_ghz() {
    let (coex, fake) = coex(Chip::Rtl8821au, true, true);
    block_on(coex.set_up()).unwrap();
    assert_eq!(fake.peek(0x0040) & 0x20, 0x20, "the PTA's pins");
    assert_eq!(fake.peek(0x076e) & 0xff, 0x0c);
    let begun = [[0x69, 0x0c, 1, 0, 0, 0, 0, 0], [0x60, 0, 0, 0, 0, 0, 0, 0], [0x61, 1, 0, 0, 0, 0, 0, 0]];
    assert_eq!(commands(&fake), [(0, begun[0]), (1, begun[1]), (2, begun[2])]);
    for (band, pins, by_host, table, tdma) in [
        (Band::Ghz2, 0x1000_0066, 0x00, 0x6655_5555, [0x60, 0x61, 0x35, 0x03, 0x11, 0x10, 0, 0]),
        (Band::Ghz5, 0x2000_0077, 0x18, 0x5555_5555, [0x60, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        block_on(coex.enter(band)).unwrap();
        assert_eq!(fake.peek(0x0cb4), pins, "{band:?}");
        assert_eq!(fake.peek(0x0765) & 0x18, by_host, "{band:?}");
        assert_eq!(fake.peek(0x06c0), table, "{band:?}");
        assert_eq!(fake.peek(0x0070) >> 26 & 1, 1, "{band:?}: Wi-Fi owns the switch");
        let sent = commands(&fake);
        assert_eq!(sent.iter().map(|(_, command)| *command).collect::<Vec<_>>(), [tdma], "{band:?}");
    }
}

#[test]
fn w1_antennas_of_its_own_leave_wifi_its_pins() {
    let (coex, fake) = coex(Chip::Rtl8821au, true, false);
    block_on(coex.set_up()).unwrap();
    for band in [Band::Ghz2, Band::Ghz5] {
        block_on(coex.enter(band)).unwrap();
        assert_eq!(fake.peek(0x0cb4), 0x1000_0077, "{band:?}");
    }
}

#[test]
fn w1_chips_without_pta_tables_say_whose_the_switch_is() {
    for bluetooth in [false, true] {
        let (rtl8814a, fake) = coex(Chip::Rtl8814au, bluetooth, true);
        fake.poke(0x0073, &[0x04]);
        block_on(rtl8814a.set_up()).unwrap();
        let sent: Vec<u8> = commands(&fake).iter().map(|(_, command)| command[0]).collect();
        assert_eq!(sent, [0x69, 0x61]);
        assert_eq!(fake.peek(0x06cc), 0x0800_0018, "answers and beacons first");
        block_on(rtl8814a.enter(Band::Ghz5)).unwrap();
        assert_eq!((fake.peek(0x0070) >> 26 & 1, fake.peek(0x06c0)), (0, 0), "path C needs it");

        let (rtl8812a, fake) = coex(Chip::Rtl8812au, bluetooth, true);
        block_on(rtl8812a.set_up()).unwrap();
        assert!(fake.take_writes().is_empty(), "nothing is set up");
        block_on(rtl8812a.enter(Band::Ghz5)).unwrap();
        assert_eq!((fake.peek(0x0070) >> 26 & 1, fake.peek(0x06c0)), (1, 0), "Wi-Fi owns the switch");
    }
}

/// As a chip may be whose firmware knows nothing of it: mainline's driver goes on too.
#[test]
fn w6_mailboxes_that_stay_full_cost_their_commands_alone() {
    let (coex, fake) = coex(Chip::Rtl8814au, false, false);
    fake.answer(mac::HMETFR.addr(), |_| 0x0f);
    block_on(coex.set_up()).unwrap();
    assert_eq!(fake.peek(0x06cc), 0x0800_0018, "all else is set up");
    assert!(commands(&fake).is_empty());
    // A command that was not sent takes no box.
    fake.answer(mac::HMETFR.addr(), |_| 0x0e);
    block_on(coex.set_up()).unwrap();
    let sent: Vec<u8> = commands(&fake).iter().map(|(_, command)| command[0]).collect();
    assert_eq!(sent, [0x69], "the second box is full");
    fake.answer(mac::HMETFR.addr(), |_| 0);
    block_on(coex.catch_up()).unwrap();
    let sent: Vec<u8> = commands(&fake).iter().map(|(_, command)| command[0]).collect();
    assert_eq!(sent, [0x61], "the other one, when there is room");
    fake.fail(mac::HMETFR.addr(), TransferError::Stall);
    assert!(matches!(block_on(coex.set_up()).unwrap_err().kind(), ErrorKind::Transfer { .. }));
}

#[test]
fn w6_a_band_whose_tdma_did_not_reach_the_firmware_tells_it_again() {
    let (coex, fake) = coex(Chip::Rtl8821au, false, false);
    let [ghz2, ghz5] = [[0x60, 0x61, 0x30, 0x03, 0x11, 0x10, 0, 0], [0x60, 0, 0, 0, 0x40, 0, 0, 0]];
    block_on(coex.enter(Band::Ghz2)).unwrap();
    assert_eq!(commands(&fake), [(0, ghz2)]);

    // The last write of all is posted, and fails; the barrier behind tells.
    let last = mac::HMEBOX1.addr();
    fake.fail(last, TransferError::Stall);
    block_on(coex.enter(Band::Ghz5)).unwrap();
    assert!(matches!(block_on(coex.regs.barrier()).unwrap_err().kind(), ErrorKind::Transfer { .. }));
    coex.forget();
    fake.heal(last);
    fake.take_writes();
    block_on(coex.enter(Band::Ghz5)).unwrap();
    assert_eq!(commands(&fake), [(2, ghz5)]);
}

#[test]
fn w6_what_finds_the_mailbox_full_waits_for_room_and_nothing_else_does() {
    let (coex, fake) = coex(Chip::Rtl8821au, false, false);
    let [ghz2, ghz5] = [[0x60, 0x61, 0x30, 0x03, 0x11, 0x10, 0, 0], [0x60, 0, 0, 0, 0x40, 0, 0, 0]];
    fake.answer(mac::HMETFR.addr(), |_| 0x01);
    block_on(coex.enter(Band::Ghz2)).unwrap();
    assert_eq!(fake.peek(0x06c0), 0xffff_55ff, "the PTA is written all the same");
    assert_eq!(commands(&fake), []);
    assert!(coex.owes());

    // As long as there is no room, a look is all that it costs.
    fake.take_log();
    block_on(coex.catch_up()).unwrap();
    assert_eq!(fake.take_log(), [Op::Read(mac::HMETFR.addr(), 1), Op::Flush]);

    // Of two bands the later one is told, once.
    block_on(coex.enter(Band::Ghz5)).unwrap();
    fake.answer(mac::HMETFR.addr(), |_| 0);
    block_on(coex.catch_up()).unwrap();
    assert_eq!(commands(&fake), [(0, ghz5)]);
    block_on(coex.catch_up()).unwrap();
    block_on(coex.enter(Band::Ghz5)).unwrap();
    assert!(!coex.owes() && fake.take_writes().is_empty(), "the firmware was told");

    // What is forgotten with the band is not told later.
    fake.answer(mac::HMETFR.addr(), |_| 0x02);
    block_on(coex.enter(Band::Ghz2)).unwrap();
    coex.forget();
    assert!(!coex.owes());

    // One whose writes fail waits on.
    block_on(coex.enter(Band::Ghz2)).unwrap();
    fake.answer(mac::HMETFR.addr(), |_| 0);
    let box_1 = mac::HMEBOX1.addr();
    fake.fail(box_1, TransferError::Stall);
    assert!(matches!(block_on(coex.catch_up()).unwrap_err().kind(), ErrorKind::Transfer { .. }));
    fake.heal(box_1);
    fake.take_writes();
    block_on(coex.catch_up()).unwrap();
    assert_eq!(commands(&fake), [(2, ghz2)]);
    assert!(!coex.owes());
}

#[test]
fn w1_bluetooth_is_told_of_power_off_where_mainline_tells_it() {
    for (chip, bluetooth, told) in [
        (Chip::Rtl8812au, false, false),
        (Chip::Rtl8812au, true, true),
        (Chip::Rtl8821au, false, false),
        (Chip::Rtl8821au, true, true),
        (Chip::Rtl8814au, false, true),
        (Chip::Rtl8814au, true, true),
    ] {
        let (coex, fake) = coex(chip, bluetooth, false);
        block_on(tell_power_off(&coex.regs, chip.info(), bluetooth)).unwrap();
        let farewell = told.then(|| (0x00aa, vec![0x00, 0x80]));
        assert_eq!(fake.take_writes(), Vec::from_iter(farewell), "{chip:?}, {bluetooth}");
    }
}
