//! TXAGC against what mainline's driver writes.
//!
//! The vectors are the last TXAGC writes of Linux 7.2's rtw88 on an emulated adapter with this EFUSE, on a
//! system that was told no country.

use airlift_regs::bb;

use super::super::testbus::{board, channel, radio};
use super::registers::training;
use super::*;
use crate::channel::Band;
use crate::chip::Board;
use crate::regio::fake::Op;

/// The EFUSE's blocks of path A and path B.
const PATHS: [[u8; 42]; 2] = [
    [
        0x2b, 0x2a, 0x2b, 0x2b, 0x29, 0x2b, 0x28, 0x2b, 0x2d, 0x29, 0x2b, 0x1e, 0x12, 0x0f, 0xfe, 0xfe, 0xf2,
        0x2f, 0x26, 0x28, 0x26, 0x2a, 0x2b, 0x28, 0x29, 0x27, 0x28, 0x27, 0x28, 0x28, 0x28, 0x28, 0x2e, 0xe0,
        0xe2, 0x11, 0xef, 0xf2, 0x0f, 0xe0, 0x11, 0x00,
    ],
    [
        0x29, 0x2d, 0x2c, 0x28, 0x2c, 0x2a, 0x28, 0x2a, 0x2b, 0x2a, 0x2c, 0x12, 0x01, 0xe1, 0xe0, 0x10, 0x12,
        0x00, 0x2a, 0x29, 0x2b, 0x29, 0x29, 0x2a, 0x26, 0x27, 0x2a, 0x27, 0x26, 0x27, 0x27, 0x27, 0xee, 0x22,
        0xe2, 0x2f, 0xe1, 0x10, 0x11, 0x0e, 0xf2, 0x02,
    ],
];

/// CCK to VHT 2S (0xc20 to 0xc4c), then the training levels.
type Vector = [u32; 13];

/// Primary channel, width in MHz, path A, path B.
const MAINLINE: [(u16, u16, Vector, Vector); 6] = [
    (
        11,
        20,
        [
            0x2929_2929,
            0x2929_2929,
            0x2729_2929,
            0x2e2e_2e2e,
            0x2a2c_2e2e,
            0x3030_3030,
            0x2c2e_3030,
            0x3638_3a3a,
            0x2a2c_2e32,
            0x3c3c_2628,
            0x3034_383a,
            0x282a_2c2e,
            0x0012_1820,
        ],
        [
            0x2626_2626,
            0x2e2e_2e2e,
            0x2c2e_2e2e,
            0x2f2f_2f2f,
            0x2b2d_2f2f,
            0x3030_3030,
            0x2c2e_3030,
            0x3739_3b3b,
            0x2b2d_2f33,
            0x3c3c_2729,
            0x3034_383a,
            0x282a_2c2e,
            0x0013_1921,
        ],
    ),
    (
        6,
        40,
        [
            0x2929_2929,
            0x2d2d_2d2d,
            0x2b2d_2d2d,
            0x3131_3131,
            0x2d2f_3131,
            0x3232_3232,
            0x2e30_3232,
            0x393b_3d3d,
            0x2d2f_3135,
            0x3e3e_292b,
            0x3236_3a3c,
            0x2a2c_2e30,
            0x0015_1b23,
        ],
        [
            0x2a2a_2a2a,
            0x2f2f_2f2f,
            0x2d2f_2f2f,
            0x2f2f_2f2f,
            0x2b2d_2f2f,
            0x2f2f_2f2f,
            0x2b2d_2f2f,
            0x3739_3b3b,
            0x2b2d_2f33,
            0x3b3b_2729,
            0x2f33_3739,
            0x2729_2b2d,
            0x0013_1921,
        ],
    ),
    (
        36,
        20,
        [
            0x0000_0000,
            0x2424_2424,
            0x2424_2424,
            0x2a2a_2a2a,
            0x282a_2a2a,
            0x2a2a_2a2a,
            0x282a_2a2a,
            0x2a2a_2a2a,
            0x282a_2a2a,
            0x2a2a_2426,
            0x2a2a_2a2a,
            0x2426_282a,
            0x0010_161e,
        ],
        [
            0x0000_0000,
            0x2828_2828,
            0x2828_2828,
            0x2a2a_2a2a,
            0x282a_2a2a,
            0x2c2c_2c2c,
            0x2a2c_2c2c,
            0x2a2a_2a2a,
            0x282a_2a2a,
            0x2c2c_2426,
            0x2c2c_2c2c,
            0x2628_2a2c,
            0x0010_161e,
        ],
    ),
    (
        36,
        80,
        [
            0x0000_0000,
            0x2424_2424,
            0x2424_2424,
            0x2929_2929,
            0x2729_2929,
            0x2727_2727,
            0x2527_2727,
            0x2929_2929,
            0x2729_2929,
            0x2727_2325,
            0x2727_2727,
            0x2123_2527,
            0x000f_151d,
        ],
        [
            0x0000_0000,
            0x2828_2828,
            0x2828_2828,
            0x2c2c_2c2c,
            0x2a2c_2c2c,
            0x2c2c_2c2c,
            0x2a2c_2c2c,
            0x2c2c_2c2c,
            0x2a2c_2c2c,
            0x2c2c_2628,
            0x2c2c_2c2c,
            0x2628_2a2c,
            0x0012_1820,
        ],
    ),
    (
        149,
        40,
        [
            0x0000_0000,
            0x2828_2828,
            0x2628_2828,
            0x2c2c_2c2c,
            0x282a_2c2c,
            0x2a2a_2a2a,
            0x2628_2a2a,
            0x2c2c_2c2c,
            0x282a_2c2c,
            0x2a2a_2426,
            0x2a2a_2a2a,
            0x2224_2628,
            0x0010_161e,
        ],
        [
            0x0000_0000,
            0x2626_2626,
            0x2426_2626,
            0x2a2a_2a2a,
            0x2628_2a2a,
            0x2c2c_2c2c,
            0x282a_2c2c,
            0x2a2a_2a2a,
            0x2628_2a2a,
            0x2c2c_2224,
            0x2c2c_2c2c,
            0x2426_282a,
            0x000e_141c,
        ],
    ),
    (
        165,
        20,
        [
            0x0000_0000,
            0x2828_2828,
            0x2628_2828,
            0x2e2e_2e2e,
            0x2a2c_2e2e,
            0x2e2e_2e2e,
            0x2a2c_2e2e,
            0x2e2e_2e2e,
            0x2a2c_2e2e,
            0x2e2e_2628,
            0x2e2e_2e2e,
            0x2628_2a2c,
            0x0012_1820,
        ],
        [
            0x0000_0000,
            0x2727_2727,
            0x2527_2727,
            0x2929_2929,
            0x2527_2929,
            0x2b2b_2b2b,
            0x2729_2b2b,
            0x2929_2929,
            0x2527_2929,
            0x2b2b_2123,
            0x2b2b_2b2b,
            0x2325_2729,
            0x000d_131b,
        ],
    ),
];

fn ordinary() -> Board {
    board(|map| {
        for (path, block) in PATHS.iter().enumerate() {
            map[0x10 + 42 * path..][..42].copy_from_slice(block);
        }
        map[0xbc..0xc8].fill(0);
        map[0xca] = 0;
    })
}

fn power(board: &Board) -> TxPower {
    TxPower::new(board.chip.phy, board).expect("an ordinary board")
}

#[test]
fn w1_every_rate_gets_the_power_that_mainline_gives_it() {
    let power = power(&ordinary());
    for (primary, mhz, a, b) in MAINLINE {
        let channel = channel(primary, mhz);
        for (path, expected) in [a, b].into_iter().enumerate() {
            let (registers, training) = power.registers(path, 2, channel);
            let first = if primary > 14 { 1 } else { 0 };
            let values: Vec<_> = registers.iter().map(|(_, value)| *value).collect();
            assert_eq!(values, expected[first..12], "channel {channel}, path {path}");
            assert_eq!(training, expected[12], "channel {channel}, path {path}");
            let base = [0xc20, 0xe20][path];
            let addresses: Vec<_> = registers.iter().map(|(addr, _)| addr - base).collect();
            assert_eq!(addresses, (0..12).map(|n| 4 * n).skip(first).collect::<Vec<_>>());
        }
    }
}

#[test]
fn w1_a_cap_lowers_what_is_above_it_and_nothing_else() {
    let mut power = power(&ordinary());
    let channel = channel(11, 20);
    let free = power.registers(0, 2, channel).0;
    power.cap = Some(126);
    assert_eq!(power.registers(0, 2, channel).0, free, "63 dBm caps nothing");

    // 15 dBm: the section's reference rate stands for its own power, 54 Mb/s for 15 dBm.
    power.cap = Some(30);
    let ofdm = |n: usize, power: &TxPower| power.registers(0, 2, channel).0[n].1.to_le_bytes();
    let reference = power.by_rate.reference(Band::Ghz2, 0, Section::Ofdm);
    let offset = |cap: i8| cap - reference;
    let base = power.paths[0].base(0x0b, channel);
    let expected = base.wrapping_add_signed(offset(30)).min(free[2].1.to_le_bytes()[3]);
    assert_eq!(ofdm(2, &power)[3], expected);
    power.cap = Some(0);
    let lowest = ofdm(2, &power);
    assert!(lowest.iter().all(|index| *index == base.wrapping_add_signed(offset(0))), "{lowest:?}");
    assert!(lowest[0] < free[2].1.to_le_bytes()[0]);
}

#[test]
fn w1_a_cap_takes_effect_at_once_and_stays_for_the_next_channel() {
    let (phy, bus) = radio(ordinary());
    futures::executor::block_on(async {
        phy.set_tx_power(Some(20)).await.unwrap();
        assert!(bus.fake.take_log().is_empty(), "without a channel there is nothing to set");
        phy.set_tx_power(None).await.unwrap();
        phy.set_channel(channel(11, 20)).await.unwrap();
        let free = bus.fake.peek(0xc28);
        bus.fake.take_log();
        phy.set_tx_power(Some(20)).await.unwrap();
        let capped = bus.fake.peek(0xc28);
        assert!(capped < free, "{capped:#x} is below {free:#x}");
        let log = bus.fake.take_log();
        assert_eq!(log.last(), Some(&Op::Flush), "it has reached the chip when the call ends");
        phy.set_channel(channel(11, 20)).await.unwrap();
        assert_eq!(bus.fake.peek(0xc28), capped);
        phy.set_tx_power(None).await.unwrap();
        assert_eq!(bus.fake.peek(0xc28), free);
    });
}

#[test]
fn w1_one_path_fills_half_of_the_last_register() {
    let power = power(&ordinary());
    let (registers, _) = power.registers(0, 1, channel(11, 20));
    let addresses: Vec<_> = registers.iter().map(|(addr, _)| *addr).collect();
    assert_eq!(addresses, [0xc20, 0xc24, 0xc28, 0xc2c, 0xc30, 0xc3c, 0xc40, 0xc44]);
    assert_eq!(registers[7].1 >> 16, 0);

    let (phy, bus) = radio(Board { chains: 1, ..ordinary() });
    bus.fake.poke(bb::TX_AGC_A_CCK_11_CCK_1.addr() + 0x24, &[1, 2, 3, 4]);
    futures::executor::block_on(phy.set_channel(channel(11, 20))).unwrap();
    assert_eq!(bus.fake.peek(0xc44), 0x0403_0000 | registers[7].1);
}

#[test]
fn w6_a_blank_efuse_gives_indexes_in_range() {
    let blank = board(|_| {});
    let power = power(&blank);
    for (primary, mhz) in [(1, 20), (14, 20), (13, 40), (36, 80), (165, 20)] {
        for path in 0..2 {
            let (registers, training) = power.registers(path, 2, channel(primary, mhz));
            for (addr, value) in registers {
                assert!(value.to_le_bytes().iter().all(|index| *index <= 0x3f), "{addr:#x} = {value:#x}");
            }
            assert!(training <= 0xff_ffff);
        }
    }
}

#[test]
fn training_steps_down_and_stops_at_one_decibel() {
    assert_eq!(training(0x29), 0x0011_171f);
    // 11 - 10 is raised to 2; what goes below zero wraps into the bytes above.
    assert_eq!(training(11), 0x00ff_f902);
}
