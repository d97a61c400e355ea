//! Baseband and radio of the RTL8812A: its tables, front ends and workarounds.
//!
//! Facts: rtw88 `rtw8812a.c`, `rtw8812a_hw_spec`; `rtw88xxa.c`, `rtw8812a_config_1t`,
//! `rtw8812a_phy_set_rfe_reg_24g`, `rtw8812a_phy_set_rfe_reg_5g`, `rtw8812a_phy_fix_spur`,
//! `rtw88xxa_switch_band`.

use airlift_regs::bb;
use airlift_regs::bits::rfe_ctrl8::RFE_INV_MASK;

use super::info::{FieldWrite, FrontEndTables, PhyInfo, PowerOutput, RfRead, RfReadRule};
use super::tables::{FrontEndMatch, PairTable, RowTable, Target};
use crate::channel::{Band, Width};
use crate::chip::Board;

macro_rules! data {
    ($file:literal) => {
        include_str!(concat!("../../tables/rtl8812a/", $file, ".txt"))
    };
}

static MAC: PairTable = PairTable::new(Target::Mac, "rtl8812a/mac", data!("mac"));
static BASEBAND: PairTable = PairTable::new(Target::Baseband, "rtl8812a/bb", data!("bb"));
static AGC: PairTable = PairTable::new(Target::Agc, "rtl8812a/agc", data!("agc"));
static AGC_LOW: PairTable = PairTable::new(Target::Agc, "rtl8812a/agc_diff_lb", data!("agc_diff_lb"));
static AGC_HIGH: PairTable = PairTable::new(Target::Agc, "rtl8812a/agc_diff_hb", data!("agc_diff_hb"));
static RADIO_A: PairTable = PairTable::new(Target::Radio, "rtl8812a/rf_a", data!("rf_a"));
static RADIO_B: PairTable = PairTable::new(Target::Radio, "rtl8812a/rf_b", data!("rf_b"));
static POWER: RowTable<6> = RowTable::new("rtl8812a/bb_pg", data!("bb_pg"));
static POWER_RFE3: RowTable<6> = RowTable::new("rtl8812a/bb_pg_rfe3", data!("bb_pg_rfe3"));
static LIMITS: RowTable<6> = RowTable::new("rtl8812a/txpwr_lmt", data!("txpwr_lmt"));

const FRONT_END: FrontEndTables = FrontEndTables { power_by_rate: &POWER, power_limits: &LIMITS };
const FRONT_END_3: FrontEndTables = FrontEndTables { power_by_rate: &POWER_RFE3, power_limits: &LIMITS };

/// Cut C, as rtw88 `main.h` numbers cuts (`RTW_CHIP_VER_CUT_C`).
const CUT_C: u8 = 2;

/// The RTL8812A.
pub(crate) static INFO: PhyInfo = PhyInfo {
    mac: &MAC,
    baseband: &BASEBAND,
    agc: &AGC,
    radio: &[&RADIO_A, &RADIO_B],
    agc_by_channel: &[(36..=64, &AGC_LOW), (100..=u8::MAX, &AGC_HIGH)],
    front_ends: &[FRONT_END, FRONT_END, FRONT_END, FRONT_END_3],
    power_output: PowerOutput::Registers,
    front_end: FrontEndMatch::Amplifiers,
    crystal_trim: 0x7ff8_0000,
    max_power_index: 0x3f,
    rf_read: RfRead::Serial(|cut| RfReadRule { cca_off: cut != CUT_C, settles: cut == CUT_C }),
    power_up: &super::xxa::POWER_UP,
    after_baseband: &[],
    shared_rf: &[],
    after_radio: |_| Vec::new(),
    procedures: &super::xxa::PROCEDURES,
    before_band: |_, _| Vec::new(),
    switch_band,
    fix_spur,
    one_path: ONE_PATH,
};

const fn set(reg: airlift_regs::Reg<u32>, mask: u32, value: u32) -> FieldWrite {
    FieldWrite::field(reg, mask, value)
}

/// Path A alone: path selection of OFDM and CCK, MCS limit, then path B's 3-wire bus, radio and converters off.
const ONE_PATH: &[FieldWrite] = &[
    set(bb::RXPSEL, 0xff, 0x11),
    set(bb::TXPSEL, 0xffff, 0x1111),
    set(bb::CCK_RX, 0x0c00_0000, 0),
    set(bb::RX_MCS_LIMIT, 0xc000_0060, 4),
    set(bb::HSSI_3WIRE_B, 0xf, 4),
    FieldWrite::whole(bb::LSSI_WRITE_B, 0),
    FieldWrite::whole(bb::AFE_PWR1_B, 0),
    FieldWrite::whole(bb::AFE_PWR2_B, 0),
];

fn switch_band(board: &Board, band: Band, width: Width) -> Vec<FieldWrite> {
    let (indication, threshold, clear_channel) = match band {
        Band::Ghz2 => (1, 0x17, 0),
        Band::Ghz5 => (2, 0x15, 1),
    };
    let low_detection =
        band == Band::Ghz2 && width == Width::Mhz20 && board.chains == 1 && !board.efuse.front_end.ext_lna_2g;
    let mut writes = vec![
        set(bb::BWINDICATION, 0x3, indication),
        set(bb::PDMFTH, 0x0003_e000, threshold),
        set(bb::PDMFTH, 0xe, if low_detection { 2 } else { 4 }),
        set(bb::CCASEL, 0x3, clear_channel),
    ];
    writes.extend(front_end(board.efuse.rfe_option, board.efuse.bt_coex, band));
    writes
}

/// Pins to the amplifiers and switches of the board: which signal drives each, and which are inverted.
fn front_end(option: u8, bluetooth: bool, band: Band) -> Vec<FieldWrite> {
    let pins = |both: u32| pins_each(both, both);
    let inverted = |value| [set(bb::RFE_INV_A, RFE_INV_MASK, value), set(bb::RFE_INV_B, RFE_INV_MASK, value)];
    let antenna = set(bb::ANTSEL_SW, 0x0303, 1);
    match (option, band) {
        (0 | 2, Band::Ghz2) => [pins(0x7777_7777), inverted(0)].concat(),
        (4, Band::Ghz2) => [pins(0x7777_7777), inverted(1)].concat(),
        (0, Band::Ghz5) => [pins(0x7733_7717), inverted(0x10)].concat(),
        (2 | 4, Band::Ghz5) => [pins(0x7733_7777), inverted(0x10)].concat(),
        (1, band) => {
            let low = if band == Band::Ghz2 { 0x77_7777 } else { 0x33_7717 };
            if bluetooth {
                // Path A's upper pins and two of its inverters are Bluetooth's.
                vec![
                    set(bb::RFE_PINMUX_A, 0xff_ffff, low),
                    FieldWrite::whole(bb::RFE_PINMUX_B, 0x7700_0000 | low),
                    set(bb::RFE_INV_A, 0x33f0_0000, 0),
                    set(bb::RFE_INV_B, RFE_INV_MASK, 0),
                ]
            } else {
                [pins(0x7700_0000 | low), inverted(0)].concat()
            }
        }
        (3, band) => {
            let both = if band == Band::Ghz2 { 0x5433_7770 } else { 0x5433_7717 };
            let mut writes = [pins(both), inverted(0x10)].concat();
            writes.push(antenna);
            writes
        }
        (5, band) => {
            let (pin, both, bit, value) = match band {
                Band::Ghz2 => (0x77, 0x7777_7777, 0, 0),
                Band::Ghz5 => (0x33, 0x7733_7777, 1, 0x10),
            };
            vec![
                FieldWrite::byte(bb::RFE_PINMUX_A.byte(2), 0xff, pin),
                FieldWrite::whole(bb::RFE_PINMUX_B, both),
                FieldWrite::byte(bb::RFE_INV_A.byte(3), 1, bit),
                set(bb::RFE_INV_B, RFE_INV_MASK, value),
            ]
        }
        (6, band) => {
            let both = if band == Band::Ghz2 { 0x0777_2770 } else { 0x0773_7717 };
            let mut writes = pins(both).to_vec();
            writes.push(FieldWrite::whole(bb::RFE_INV_A, 0x77));
            writes.push(FieldWrite::whole(bb::RFE_INV_B, 0x77));
            writes
        }
        _ => Vec::new(),
    }
}

const fn pins_each(a: u32, b: u32) -> [FieldWrite; 2] {
    [FieldWrite::whole(bb::RFE_PINMUX_A, a), FieldWrite::whole(bb::RFE_PINMUX_B, b)]
}

/// The ADC clock makes a spur at 2480 MHz; 160 MHz moves it away. Cut C also needs another FIFO clock.
fn fix_spur(cut: u8, center: u8, width: Width) -> Vec<FieldWrite> {
    let fifo = |value| set(bb::ADCCLK, 0xc00, value);
    let clock = |value| set(bb::ADCCLK, 0x300, value);
    let fast = |value| set(bb::ADC160, 1 << 30, value);
    let near_spur_20 = width == Width::Mhz20 && matches!(center, 13 | 14);
    let near_spur_40 = width == Width::Mhz40 && center == 11;

    let mut writes = Vec::new();
    if cut == CUT_C {
        writes.push(fifo(if near_spur_40 { 3 } else { 2 }));
        if near_spur_20 {
            writes.extend([clock(3), fast(1)]);
        } else if near_spur_40 {
            writes.push(fast(1));
        } else if width != Width::Mhz80 {
            writes.extend([clock(2), fast(0)]);
        }
    } else if near_spur_20 {
        writes.push(clock(3));
    } else if center <= 14 {
        writes.push(clock(2));
    }
    writes
}
