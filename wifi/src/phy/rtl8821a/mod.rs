//! Baseband and radio of the RTL8821A: one path. Its front end's pins are set field by field, and on boards without
//! Bluetooth a switch chooses the antenna's band.
//!
//! [`iqk`] is its calibration.
//!
//! Facts: rtw88 `rtw8821a.c`, `rtw8821a_hw_spec`; `rtw88xxa.c`, `rtw8821a_set_ext_band_switch`,
//! `rtw8821a_phy_set_rfe_reg_24g`, `rtw8821a_phy_set_rfe_reg_5g`, `rtw88xxa_switch_band`, `rtw88xxa_phy_bb_config`,
//! `rtw88xxa_phy_read_rf`.

mod iqk;
#[cfg(test)]
mod tests;

use airlift_regs::bits::led_cfg;
use airlift_regs::{bb, sys};

use super::info::{FieldWrite, FrontEndTables, PhyInfo, PowerOutput, Procedures, RfRead, RfReadRule};
use super::tables::{FrontEndMatch, PairTable, RowTable, Target};
use super::xxa;
use crate::channel::{Band, Width};
use crate::chip::Board;

macro_rules! data {
    ($file:literal) => {
        include_str!(concat!("../../../tables/rtl8821a/", $file, ".txt"))
    };
}

static MAC: PairTable = PairTable::new(Target::Mac, "rtl8821a/mac", data!("mac"));
static BASEBAND: PairTable = PairTable::new(Target::Baseband, "rtl8821a/bb", data!("bb"));
static AGC: PairTable = PairTable::new(Target::Agc, "rtl8821a/agc", data!("agc"));
static RADIO_A: PairTable = PairTable::new(Target::Radio, "rtl8821a/rf_a", data!("rf_a"));
static POWER: RowTable<6> = RowTable::new("rtl8821a/bb_pg", data!("bb_pg"));
static LIMITS: RowTable<6> = RowTable::new("rtl8821a/txpwr_lmt", data!("txpwr_lmt"));

static PROCEDURES: Procedures =
    Procedures { calibrate: |phy, channel| Box::pin(phy.calibrate_8821a(channel)), ..xxa::PROCEDURES };

/// The RTL8821A.
pub(crate) static INFO: PhyInfo = PhyInfo {
    mac: &MAC,
    baseband: &BASEBAND,
    agc: &AGC,
    radio: &[&RADIO_A],
    agc_by_channel: &[],
    front_ends: &[FrontEndTables { power_by_rate: &POWER, power_limits: &LIMITS }],
    power_output: PowerOutput::Registers,
    front_end: FrontEndMatch::Amplifiers,
    crystal_trim: 0x00ff_f000,
    max_power_index: 0x3f,
    rf_read: RfRead::Serial(|_| RfReadRule { cca_off: false, settles: true }),
    power_up: &xxa::POWER_UP,
    after_baseband: &[],
    shared_rf: &[],
    after_radio: |_| Vec::new(),
    procedures: &PROCEDURES,
    before_band,
    switch_band,
    fix_spur: |_, _, _| Vec::new(),
    one_path: &[],
};

const fn set(reg: airlift_regs::Reg<u32>, mask: u32, value: u32) -> FieldWrite {
    FieldWrite::field(reg, mask, value)
}

/// The antenna's switch, and at 5 GHz the pins too: they come before CCK is told to stop.
fn before_band(board: &Board, band: Band) -> Vec<FieldWrite> {
    let mut writes = Vec::new();
    if !board.efuse.bt_coex {
        let side = match band {
            Band::Ghz2 => 1,
            Band::Ghz5 => 2,
        };
        writes.extend([
            set(sys::LED_CFG, led_cfg::DPDT_SEL_EN, 0),
            set(sys::LED_CFG, led_cfg::DPDT_WL_SEL, 1),
            set(bb::RFE_INV_A, 0x0f, 7),
            set(bb::RFE_INV_A, 0xf0, 7),
            set(bb::RFE_INV_A, 0x3000_0000, side),
        ]);
    }
    if band == Band::Ghz5 {
        writes.extend(pins(5, 4, false));
    }
    writes
}

fn switch_band(board: &Board, band: Band, _: Width) -> Vec<FieldWrite> {
    match band {
        Band::Ghz2 => {
            let mut writes = pins(7, 7, board.efuse.front_end.ext_lna_2g).to_vec();
            writes.push(set(bb::TXSCALE_A, 0xf00, 0));
            writes
        }
        Band::Ghz5 => vec![set(bb::TXSCALE_A, 0xf00, 1)],
    }
}

/// Signals of the pins to the amplifiers of 5 GHz, and of those to the low-noise amplifier of 2.4 GHz outside the
/// chip: in use or passed by.
fn pins(lna: u32, pa: u32, outside: bool) -> [FieldWrite; 6] {
    let signal = if outside { 2 } else { 7 };
    [
        set(bb::RFE_PINMUX_A, 0xf000, lna),
        set(bb::RFE_PINMUX_A, 0x00f0, pa),
        set(bb::RFE_INV_A, 1 << 20, u32::from(outside)),
        set(bb::RFE_INV_A, 1 << 22, 0),
        set(bb::RFE_PINMUX_A, 0x0007, signal),
        set(bb::RFE_PINMUX_A, 0x0700, signal),
    ]
}
