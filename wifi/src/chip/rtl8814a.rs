//! The RTL8814A behind USB: four paths, 2.4 and 5 GHz, up to 80 MHz, a 3081 for its microcontroller.
//!
//! Facts from rtw88 `rtw8814a.c` (`rtw8814a_hw_spec` and its tables), `rtw8814a_table.c` (power sequences),
//! `rtw8814au.c` (USB ids), `rtw8814a.h` (EFUSE) and `mac.h` (pages). Numeric tables of baseband and radio are data
//! files and belong to `phy`.

use core::time::Duration;

use super::{Chip, ChipInfo, Mac, Mac3081, OwnPages, PowerStep, QueuePages, ShadowPolicy, TO_USB3};
use crate::coex::{CoexInfo, On};
use crate::efuse::{self, BtCoex, EfuseLayout, Options};
use crate::firmware::{FirmwareFormat, FirmwareInfo};

/// rtw88 `rtw8814au.c`, `rtw_8814au_id_table`.
const USB_IDS: &[(u16, u16)] = &[
    (0x0bda, 0x8813),
    (0x056e, 0x400b), // ELECOM
    (0x056e, 0x400d), // ELECOM
    (0x0846, 0x9054), // Netgear
    (0x0b05, 0x1817), // ASUS
    (0x0b05, 0x1852), // ASUS
    (0x0b05, 0x1853), // ASUS
    (0x0e66, 0x0026), // Hawking
    (0x2001, 0x331a), // D-Link
    (0x20f4, 0x809a), // TRENDnet
    (0x20f4, 0x809b), // TRENDnet
    (0x2357, 0x0106), // TP-Link
    (0x7392, 0xa833), // Edimax
    (0x7392, 0xa834), // Edimax
];

/// Baseband and AGC pages of all four paths are written by the host alone. Not among them: fault-alarm and CRC counters,
/// the calibration's sequencer (0x1b00), and the mapped RF registers.
const SHADOW: ShadowPolicy = ShadowPolicy {
    host_only: &[0x0800..=0x0eff, 0x1800..=0x1aff],
    live: &[
        0x0a5c..=0x0a5f, // CCK false-alarm counter
        0x0b58..=0x0b5b, // counter reset, self-clearing
        0x0d00..=0x0d7f, // results and read-back
    ],
};

const fn w(addr: u16, mask: u8, value: u8) -> PowerStep {
    PowerStep::Write { addr, mask, value }
}

const fn poll(addr: u16, mask: u8, value: u8) -> PowerStep {
    PowerStep::Poll { addr, mask, value }
}

/// rtw88 `rtw8814a_table.c`, `card_enable_flow_8814a`, the steps for USB.
const POWER_ON: &[PowerStep] = &[
    w(0x10c2, 0x02, 0x02),
    // card disabled -> card emulation
    w(0x0012, 0x40, 0x40),
    w(0x0015, 0x20, 0x00),
    w(0x0015, 0x40, 0x00),
    w(0x0023, 0x10, 0x00),
    w(0x0046, 0xff, 0x00),
    w(0x0062, 0xff, 0x00),
    w(0x0005, 0x08, 0x00),
    // card emulation -> active
    w(0x0005, 0x04, 0x00),
    poll(0x0006, 0x02, 0x02),
    w(0x0005, 0x08, 0x00),
    w(0x00f0, 0x80, 0x00),
    w(0x0081, 0x30, 0x20),
    w(0x0005, 0x01, 0x01),
    poll(0x0005, 0x01, 0x00),
];

/// rtw88 `rtw8814a_table.c`, `card_disable_flow_8814a`, the steps for USB.
const POWER_OFF: &[PowerStep] = &[
    // active -> card emulation
    w(0x0c00, 0xff, 0x04),
    w(0x0e00, 0xff, 0x04),
    w(0x1002, 0x01, 0x00),
    PowerStep::Delay(Duration::from_micros(2)),
    w(0x001f, 0xff, 0x00),
    w(0x0007, 0xff, 0x28),
    w(0x0008, 0x02, 0x00),
    w(0x0066, 0x80, 0x00),
    w(0x0041, 0x10, 0x00),
    w(0x0042, 0x02, 0x00),
    w(0x004e, 0x20, 0x20),
    w(0x0041, 0x01, 0x00),
    w(0x0005, 0x02, 0x02),
    poll(0x0005, 0x02, 0x00),
    // card emulation -> card disabled
    w(0x0003, 0x04, 0x00),
    w(0x0080, 0xff, 0x01),
    w(0x0081, 0xff, 0x30),
    w(0x0045, 0xff, 0x00),
    w(0x0046, 0xff, 0xff),
    w(0x0047, 0xff, 0x00),
    w(0x0015, 0x40, 0x40),
    w(0x0015, 0x20, 0x20),
    w(0x0012, 0x40, 0x00),
    w(0x0023, 0x10, 0x10),
    w(0x0008, 0x02, 0x00),
    w(0x0007, 0xff, 0x20),
    w(0x001f, 0x02, 0x00),
    w(0x0020, 0x02, 0x00),
    w(0x0021, 0x02, 0x00),
    w(0x0076, 0x02, 0x00),
    w(0x0091, 0xa0, 0xa0),
    w(0x0070, 0x08, 0x08),
    w(0x0005, 0x08, 0x08),
];

/// Each queue has as much, with any number of endpoints (rtw88 `page_table_8814a`, `rqpn_table_8814a`).
const fn pages(map: [u8; 6]) -> QueuePages {
    QueuePages { high: 32, normal: 32, low: 32, extra: 32, gap: 0, map }
}

/// What is known of the RTL8814AU.
pub(crate) static INFO: ChipInfo = ChipInfo {
    chip: Chip::Rtl8814au,
    usb_ids: USB_IDS,
    shadow: SHADOW,
    power_on: POWER_ON,
    power_forced: &[],
    enter_lps: &[],
    power_off: POWER_OFF,
    mac: Mac::With3081(Mac3081 { functions: 0xdc, pages: OwnPages { firmware: 4, commands: 8 } }),
    firmware: FirmwareInfo {
        name: "rtw88/rtw8814a_fw.bin",
        signature: 0x8810,
        format: FirmwareFormat::Sections,
    },
    efuse: EfuseLayout {
        physical_size: 1024,
        logical_size: 512,
        mac_address: 0xd8,
        usb_switch: Some((0x0e, 0x10)),
        tx_power_paths: 4,
        own_offsets: efuse::RTL8814A_OFFSETS,
        front_end: efuse::rtl8814a_front_end,
        blank_crystal_cap: 0,
        bt_coex: BtCoex::BoardOption,
        options: Options::Fixed,
    },
    chains: 4,
    read_phy_status: crate::rx::phy_status_8814a,
    cut_offset: 0,
    to_usb3: Some(TO_USB3),
    tx_fifo_size: (2048 - 10) * 128,
    rx_fifo_size: 23_552,
    page_size: 128,
    // The driver's 8; then commands' extra and static information, 24 and 8, the queue of commands, 8, and the
    // firmware's transmit buffer, 4.
    reserved_pages: 8 + 24 + 8 + 8 + 4,
    queue_pages: [pages([3, 3, 2, 2, 3, 3]), pages([3, 2, 1, 1, 3, 3]), pages([3, 2, 1, 1, 3, 3])],
    tx_aggregate_descriptors: 3,
    tx_fallback_limit: false,
    // Path C does not work while the switch is Wi-Fi's (rtw88 `rtw8814a_coex_cfg_ant_switch`).
    coex: CoexInfo {
        on: On::EveryBoard,
        told_power_off: On::EveryBoard,
        owns_switch: false,
        set_up: |_| Vec::new(),
        switch: |_, _| Vec::new(),
        policies: None,
    },
    phy: &crate::phy::rtl8814a::INFO,
};
