//! Baseband and radio of the RTL8814A: four paths, whose RF registers are mapped into the bus.
//!
//! [`band`] has what a band needs, [`tune`] a channel, [`spur`] what is done against spurs, [`iqk`] the calibration.
//!
//! Facts: rtw88 `rtw8814a.c`, `rtw8814a_hw_spec`, `rtw8814a_phy_set_param`, `rtw8814a_config_trx_path`,
//! `rtw8814a_config_cck_rx_antenna_init`.

mod band;
mod iqk;
mod spur;
#[cfg(test)]
mod tests;
mod tune;

use airlift_regs::bits::{
    antsel, cca, cca_mf, cck0_fareport, ccktx, prectrl, rf_ctrl, rxpsel, rxsb, sys_func_en,
};
use airlift_regs::{bb, rf, sys};

use super::info::{FieldWrite, FrontEndTables, PhyInfo, PowerOutput, Procedures, RfRead};
use super::tables::{FrontEndMatch, PairTable, RowTable, Target};
use crate::chip::Board;

macro_rules! data {
    ($file:literal) => {
        include_str!(concat!("../../../tables/rtl8814a/", $file, ".txt"))
    };
}

static MAC: PairTable = PairTable::new(Target::Mac, "rtl8814a/mac", data!("mac"));
static BASEBAND: PairTable = PairTable::new(Target::Baseband, "rtl8814a/bb", data!("bb"));
static AGC: PairTable = PairTable::new(Target::Agc, "rtl8814a/agc", data!("agc"));
static RADIO_A: PairTable = PairTable::new(Target::Radio, "rtl8814a/rf_a", data!("rf_a"));
static RADIO_B: PairTable = PairTable::new(Target::Radio, "rtl8814a/rf_b", data!("rf_b"));
static RADIO_C: PairTable = PairTable::new(Target::Radio, "rtl8814a/rf_c", data!("rf_c"));
static RADIO_D: PairTable = PairTable::new(Target::Radio, "rtl8814a/rf_d", data!("rf_d"));
static POWER_0: RowTable<6> = RowTable::new("rtl8814a/bb_pg_type0", data!("bb_pg_type0"));
static POWER_1: RowTable<6> = RowTable::new("rtl8814a/bb_pg", data!("bb_pg"));
static LIMITS_0: RowTable<6> = RowTable::new("rtl8814a/txpwr_lmt_type0", data!("txpwr_lmt_type0"));
static LIMITS_1: RowTable<6> = RowTable::new("rtl8814a/txpwr_lmt_type1", data!("txpwr_lmt_type1"));

/// The RTL8814A.
pub(crate) static INFO: PhyInfo = PhyInfo {
    mac: &MAC,
    baseband: &BASEBAND,
    agc: &AGC,
    radio: &[&RADIO_A, &RADIO_B, &RADIO_C, &RADIO_D],
    agc_by_channel: &[],
    front_ends: &[
        FrontEndTables { power_by_rate: &POWER_0, power_limits: &LIMITS_0 },
        FrontEndTables { power_by_rate: &POWER_1, power_limits: &LIMITS_1 },
    ],
    power_output: PowerOutput::Port { raise: 2 },
    front_end: FrontEndMatch::Option,
    crystal_trim: 0x07ff_8000,
    max_power_index: 0x3f,
    rf_read: RfRead::Mapped([0x2800, 0x2c00, 0x3800, 0x3c00]),
    power_up: POWER_UP,
    after_baseband: CCK_PATHS,
    shared_rf: &[rf::RCK1_V1],
    after_radio,
    procedures: &PROCEDURES,
    before_band: |_, _| Vec::new(),
    switch_band: band::switch_writes,
    fix_spur: |_, _, _| Vec::new(),
    one_path: &[],
};

static PROCEDURES: Procedures = Procedures {
    init_band: |phy| Box::pin(phy.find_band()),
    switch_band: |phy, band, width| {
        Box::pin(async move { phy.regs.apply(&(phy.info.switch_band)(&phy.board, band, width)).await })
    },
    tune: |phy, channel| Box::pin(phy.tune_8814a(channel)),
    retune: Some(|phy, from, to| Box::pin(phy.retune_8814a(from, to))),
    calibrate: |phy, channel| Box::pin(phy.calibrate_8814a(channel)),
};

const RADIO_ON: u8 = (rf_ctrl::RF_EN | rf_ctrl::RF_RSTB | rf_ctrl::RF_SDM_RSTB) as u8;

/// The bus's part of the baseband, the baseband, then the radios A to D.
const POWER_UP: &[FieldWrite] = &[
    FieldWrite::byte(sys::SYS_FUNC_EN.byte(0), sys_func_en::FEN_USBA as u8, 1),
    FieldWrite::byte(sys::SYS_CFG3_8814A.byte(2), 0x03, 0x03),
    FieldWrite::byte(sys::RF_CTRL, 0xff, RADIO_ON),
    FieldWrite::byte(sys::RF_CTRL1, 0xff, RADIO_ON),
    FieldWrite::byte(sys::RF_CTRL2, 0xff, RADIO_ON),
    FieldWrite::byte(sys::RF_CTRL3, 0xff, RADIO_ON),
];

/// CCK is sent and received on path B alone.
const CCK_PATHS: &[FieldWrite] = &[
    FieldWrite::field(bb::CCK0_FAREPORT, cck0_fareport::CCK0_2RX | cck0_fareport::CCK0_MRC, 0),
    FieldWrite::field(bb::CCK_RX, 0xf000_0000, 0x4),
    FieldWrite::field(bb::CCK_RX, 0x0f00_0000, 0x5),
];

/// CCK's receivers without antenna diversity; receivers on; pins of the front end.
fn after_radio(board: &Board) -> Vec<FieldWrite> {
    let mut writes = vec![
        FieldWrite::field(bb::RXPSEL, rxpsel::RX_PSEL_RST, 3),
        FieldWrite::field(bb::RXSB, rxsb::RXSB_ANA_DIV, 0),
        FieldWrite::field(bb::CCA, cca::CCA_CO, 0),
        FieldWrite::field(bb::ANTSEL, antsel::ANT_BYCO, 0),
        FieldWrite::field(bb::PRECTRL, prectrl::DIS_CO_PATHSEL, 0),
        FieldWrite::field(bb::CCA_MF, cca_mf::MBC_WIN, 1),
        FieldWrite::field(bb::CCKTX, ccktx::CMB_CCA_2R, 1),
    ];
    writes.extend(band::own_pins(board.efuse.rfe_option));
    writes
}
