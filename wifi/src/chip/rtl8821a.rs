//! The RTL8821A behind USB: one chain, 2.4 and 5 GHz, up to 80 MHz; as RTL8811AU without its Bluetooth part.
//!
//! Facts from rtw88 `rtw8821a.c` (`rtw8821a_hw_spec` and its tables), `rtw8821a_table.c` (power sequences),
//! `rtw8821au.c` (USB ids) and `rtw88xxa.c`, where it asks for this chip. Numeric tables of baseband and radio are data
//! files and belong to `phy`.

use core::time::Duration;

use airlift_regs::bits::{bt_coex_enh_intr_ctrl, bt_tdma_time, gnt_bt, gpio_muxcfg, led_cfg};
use airlift_regs::{bb, mac, sys};

use super::{Board, Chip, ChipInfo, Mac, Mac8051, PowerStep, QueuePages, ShadowPolicy, poll, w};
use crate::channel::Band;
use crate::coex::{ByAntennas, CoexInfo, On, Policies, Policy};
use crate::efuse::{self, BtCoex, EfuseLayout, Options};
use crate::firmware::{FirmwareFormat, FirmwareInfo};
use crate::regio::FieldWrite;

/// rtw88 `rtw8821au.c`, `rtw_8821au_id_table`.
const USB_IDS: &[(u16, u16)] = &[
    (0x0bda, 0x0811),
    (0x0bda, 0x0820),
    (0x0bda, 0x0821),
    (0x0bda, 0x8822),
    (0x0bda, 0x0823),
    (0x0bda, 0xa811),
    (0x0411, 0x0242), // Buffalo
    (0x0411, 0x029b), // Buffalo
    (0x04bb, 0x0953), // I-O DATA
    (0x056e, 0x4007), // ELECOM
    (0x056e, 0x400e), // ELECOM
    (0x056e, 0x400f), // ELECOM
    (0x0846, 0x9052), // Netgear
    (0x0e66, 0x0023), // HAWKING
    (0x2001, 0x3314), // D-Link
    (0x2001, 0x3318), // D-Link
    (0x2019, 0xab32), // Planex
    (0x20f4, 0x804b), // TRENDnet
    (0x2357, 0x011e), // TP Link
    (0x2357, 0x011f), // TP Link
    (0x2357, 0x0120), // TP Link
    (0x3823, 0x6249), // Obihai
    (0x7392, 0xa811), // Edimax
    (0x7392, 0xa812), // Edimax
    (0x7392, 0xa813), // Edimax
    (0x7392, 0xb611), // Edimax
];

/// As the RTL8812A's: the host alone writes baseband and AGC pages, counters, results and read-back windows apart.
const SHADOW: ShadowPolicy = super::rtl8812a::SHADOW;

/// rtw88 `rtw8821a_table.c`, `card_enable_flow_8821a`, the steps for USB.
const POWER_ON: &[PowerStep] = &[
    // card disabled -> card emulation
    w(0x0005, 0x88, 0x00),
    w(0x004a, 0x01, 0x00),
    w(0x0005, 0x18, 0x00),
    // card emulation -> active
    w(0x0020, 0x01, 0x01),
    w(0x0067, 0x10, 0x00),
    PowerStep::Delay(Duration::from_millis(1)),
    w(0x0000, 0x20, 0x00),
    w(0x0005, 0x1c, 0x00),
    poll(0x0006, 0x02, 0x02),
    w(0x0006, 0x01, 0x01),
    w(0x0005, 0x80, 0x00),
    w(0x0005, 0x18, 0x00),
    w(0x0005, 0x01, 0x01),
    poll(0x0005, 0x01, 0x00),
    w(0x004f, 0x01, 0x01),
    w(0x0067, 0x30, 0x30),
    w(0x0025, 0x40, 0x00),
    w(0x0049, 0x02, 0x02),
    w(0x0063, 0x02, 0x02),
    w(0x0062, 0x02, 0x00),
    w(0x0058, 0x01, 0x01),
    w(0x005a, 0x02, 0x02),
    w(0x002e, 0xff, 0x82),
    w(0x0010, 0x40, 0x40),
];

/// rtw88 `rtw8821a_table.c`, `enter_lps_flow_8821a`, the steps for USB.
const ENTER_LPS: &[PowerStep] = &[
    w(0x0522, 0xff, 0xff),
    poll(0x05f8, 0xff, 0x00),
    poll(0x05f9, 0xff, 0x00),
    poll(0x05fa, 0xff, 0x00),
    poll(0x05fb, 0xff, 0x00),
    w(0x0002, 0x01, 0x00),
    w(0x0002, 0x02, 0x00),
    w(0x0100, 0xff, 0x03),
    w(0x0101, 0x02, 0x00),
    w(0x0553, 0x20, 0x20),
];

/// rtw88 `rtw8821a_table.c`, `card_disable_flow_8821a`, the steps for USB.
const POWER_OFF: &[PowerStep] = &[
    // The baseband stops. `ENTER_LPS` has seen to that, but a chip that was left on comes here without.
    w(0x0002, 0x01, 0x00),
    // active -> card emulation
    w(0x001f, 0xff, 0x00),
    w(0x004f, 0x01, 0x00),
    w(0x0049, 0x02, 0x00),
    w(0x0006, 0x01, 0x01),
    w(0x0005, 0x02, 0x02),
    poll(0x0005, 0x02, 0x00),
    w(0x0000, 0x20, 0x20),
    w(0x0020, 0x01, 0x00),
    // card emulation -> card disabled
    w(0x0005, 0x18, 0x08),
    w(0x004a, 0x01, 0x01),
];

/// Frames that one bulk-out transfer may carry.
const TX_AGGREGATE: u8 = 6;

/// rtw88 `rtw88xxa.c`, `rtw88xxa_power_on` and `rtw88xxau_tx_aggregation`, what they do for this chip alone.
const OWN_MAC_FIELDS: &[FieldWrite] = &[
    FieldWrite::byte(mac::DWBCN1_CTRL, 0xff, TX_AGGREGATE << 1),
    FieldWrite::byte(mac::AMPDU_MAX_TIME, 0xff, 0x5e),
    FieldWrite::byte(mac::FWHW_TXQ_CTRL.byte(0), 0xff, 0x80),
    FieldWrite::whole(mac::FAST_EDCA_CTRL, 0x0308_7777),
];

const fn policy(bluetooth: u32, wifi: u32, tdma: [u8; 5]) -> Policy {
    Policy { pta: [bluetooth, wifi], tdma }
}

/// rtw88 `rtw8821a.c`, `table_sant_8821a`, cases 1, 9 and 0, and `tdma_sant_8821a`, cases 0 and 7; `table_nsant_8821a`,
/// cases 112 and 100, and `tdma_nsant_8821a`, cases 107 and 100.
const POLICIES: ByAntennas = ByAntennas {
    shared: Policies {
        first: Some(policy(0x5555_5555, 0x5555_5555, [0; 5])),
        ghz2: policy(0x6655_5555, 0x5a5a_5a5a, [0x61, 0x35, 0x03, 0x11, 0x10]),
        ghz5: policy(0x5555_5555, 0x5555_5555, [0; 5]),
    },
    separate: Policies {
        first: None,
        ghz2: policy(0xffff_55ff, 0xfafa_fafa, [0x61, 0x30, 0x03, 0x11, 0x10]),
        ghz5: policy(0xffff_ffff, 0xffff_ffff, [0, 0, 0, 0x40, 0]),
    },
};

/// Statistics of Bluetooth, and the PTA's pins (rtw88 `rtw8821a_coex_cfg_init`).
fn set_up_coex(board: &Board) -> Vec<FieldWrite> {
    let grants = if board.efuse.shares_antennas { bt_coex_enh_intr_ctrl::R_GRANTALL_WLMASK } else { 0 };
    let statistics = (bt_coex_enh_intr_ctrl::STATIS_BT_EN | grants) as u8;
    vec![
        FieldWrite::byte(mac::BT_TDMA_TIME, bt_tdma_time::MASK_SAMPLE_RATE as u8, 5),
        FieldWrite::byte(mac::BT_COEX_ENH_INTR_CTRL, 0xff, statistics),
        FieldWrite::byte(mac::BT_STAT_CTRL, 0xff, 3),
        FieldWrite::field(sys::GPIO_MUXCFG, gpio_muxcfg::BT_PTA_EN, 1),
    ]
}

/// At 2.4 GHz the PTA has shared antennas, at 5 GHz Wi-Fi has them (rtw88 `rtw8821a_coex_cfg_ant_switch`).
fn switch_antennas(board: &Board, band: Band) -> Vec<FieldWrite> {
    const BY_PTA: u8 = 0x66;
    const BY_WIFI: u8 = 0x77;
    let (by_host, pins, side) = match (band, board.efuse.shares_antennas) {
        (Band::Ghz2, true) => (0, BY_PTA, 1),
        (Band::Ghz2, false) => (0, BY_WIFI, 1),
        (Band::Ghz5, true) => (3, BY_WIFI, 2),
        (Band::Ghz5, false) => (3, BY_WIFI, 1),
    };
    vec![
        FieldWrite::field(sys::LED_CFG, led_cfg::DPDT_SEL_EN, 0),
        FieldWrite::field(sys::LED_CFG, led_cfg::DPDT_WL_SEL, 1),
        FieldWrite::byte(mac::GNT_BT, gnt_bt::PTA_SW_CTL as u8, by_host),
        FieldWrite::byte(bb::RFE_INV_A.byte(0), 0xff, pins),
        FieldWrite::field(bb::RFE_INV_A, 0x3000_0000, side),
    ]
}

/// What is known of the RTL8821AU.
pub(crate) static INFO: ChipInfo = ChipInfo {
    chip: Chip::Rtl8821au,
    usb_ids: USB_IDS,
    shadow: SHADOW,
    power_on: POWER_ON,
    power_forced: &[],
    enter_lps: ENTER_LPS,
    power_off: POWER_OFF,
    mac: Mac::With8051(Mac8051 {
        wrapper_bit: 0,
        releases_radios: false,
        trims_supply: true,
        own_fields: OWN_MAC_FIELDS,
    }),
    firmware: FirmwareInfo {
        name: "rtw88/rtw8821a_fw.bin",
        signature: 0x2100,
        format: FirmwareFormat::Legacy { max_size: 0x8000 },
    },
    efuse: EfuseLayout {
        physical_size: 512,
        logical_size: 512,
        mac_address: 0x107,
        usb_switch: None,
        tx_power_paths: 1,
        own_offsets: efuse::RTL8821A_OFFSETS,
        front_end: efuse::amplifier_front_end,
        blank_crystal_cap: 0x20,
        bt_coex: BtCoex::FunctionEnable,
        options: Options::Fixed,
    },
    chains: 1,
    read_phy_status: crate::rx::phy_status_8821a,
    cut_offset: 0,
    to_usb3: None,
    tx_fifo_size: 65_536,
    rx_fifo_size: 16_128,
    page_size: 256,
    reserved_pages: 8,
    // Two, three and four bulk-out endpoints (rtw88 `page_table_8821a`, `rqpn_table_8821a`).
    queue_pages: [
        QueuePages { high: 8, normal: 0, low: 0, extra: 0, gap: 1, map: [3, 3, 2, 2, 3, 3] },
        QueuePages { high: 8, normal: 0, low: 8, extra: 0, gap: 1, map: [3, 2, 1, 1, 3, 3] },
        QueuePages { high: 8, normal: 0, low: 8, extra: 4, gap: 1, map: [2, 2, 1, 1, 0, 3] },
    ],
    tx_aggregate_descriptors: TX_AGGREGATE,
    tx_fallback_limit: true,
    coex: CoexInfo {
        on: On::BoardsWithBluetooth,
        told_power_off: On::BoardsWithBluetooth,
        owns_switch: true,
        set_up: set_up_coex,
        switch: switch_antennas,
        policies: Some(POLICIES),
    },
    phy: &crate::phy::rtl8821a::INFO,
};
