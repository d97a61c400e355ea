//! What the chips with one or two paths (RTL8812A, RTL8821A) do alike; mainline calls them 88xxA.
//!
//! The procedures themselves stand with their subjects: [`bb`](super::bb), [`tune`](super::tune),
//! [`calibrate`](super::calibrate).

use airlift_regs::bits::{rf_ctrl, sys_func_en};
use airlift_regs::sys;

use super::info::{FieldWrite, Procedures};
use crate::channel::{Band, Width};

const RADIO_ON: u8 = (rf_ctrl::RF_EN | rf_ctrl::RF_RSTB | rf_ctrl::RF_SDM_RSTB) as u8;

/// Baseband, then both radios (rtw88 `rtw88xxa.c`, `rtw88xxa_phy_bb_config`).
pub(super) static POWER_UP: [FieldWrite; 4] = [
    FieldWrite::byte(sys::SYS_FUNC_EN.byte(0), sys_func_en::FEN_USBA as u8, 1),
    FieldWrite::byte(
        sys::SYS_FUNC_EN.byte(0),
        (sys_func_en::FEN_BB_RSTB | sys_func_en::FEN_BB_GLB_RST) as u8,
        3,
    ),
    FieldWrite::byte(sys::RF_CTRL, 0xff, RADIO_ON),
    FieldWrite::byte(sys::RF_B_CTRL, 0xff, RADIO_ON),
];

/// Bring-up leaves the radio at 2.4 GHz, whatever was before.
pub(super) static PROCEDURES: Procedures = Procedures {
    init_band: |phy| Box::pin(phy.switch_band(Band::Ghz2, Width::Mhz20)),
    switch_band: |phy, band, width| Box::pin(phy.switch_band_88xxa(band, width)),
    tune: |phy, channel| Box::pin(phy.tune_88xxa(channel)),
    retune: Some(|phy, from, to| Box::pin(phy.retune_88xxa(from, to))),
    calibrate: |phy, channel| Box::pin(phy.calibrate_88xxa(channel)),
};
