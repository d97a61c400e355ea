//! The RTL8812A behind USB: two chains, 2.4 and 5 GHz, up to 80 MHz.
//!
//! Facts from rtw88 `rtw8812a.c` (`rtw8812a_hw_spec` and its tables), `rtw8812a_table.c` (power sequences) and
//! `rtw8812au.c` (USB ids). Numeric tables of baseband and radio are data files and belong to `phy`.

use core::time::Duration;

use airlift_regs::{bits, mac};

use super::{Chip, ChipInfo, Mac, Mac8051, PowerStep, QueuePages, ShadowPolicy, TO_USB3, poll, w};
use crate::coex::{CoexInfo, On};
use crate::efuse::{self, BtCoex, EfuseLayout, Options};
use crate::firmware::{FirmwareFormat, FirmwareInfo};
use crate::regio::FieldWrite;

/// rtw88 `rtw8812au.c`, `rtw_8812au_id_table`.
const USB_IDS: &[(u16, u16)] = &[
    (0x0bda, 0x8812),
    (0x0bda, 0x881a),
    (0x0bda, 0x881b),
    (0x0bda, 0x881c),
    (0x0409, 0x0408), // NEC
    (0x0411, 0x025d), // Buffalo
    (0x04bb, 0x0952), // I-O DATA
    (0x050d, 0x1106), // Belkin
    (0x050d, 0x1109), // Belkin
    (0x0586, 0x3426), // ZyXEL
    (0x0789, 0x016e), // Logitec
    (0x07b8, 0x8812), // Abocom
    (0x0846, 0x9051), // Netgear
    (0x0b05, 0x17d2), // ASUS
    (0x0df6, 0x0074), // Sitecom
    (0x0e66, 0x0022), // Hawking
    (0x1058, 0x0632), // WD
    (0x13b1, 0x003f), // Linksys
    (0x148f, 0x9097), // Amped Wireless
    (0x1740, 0x0100), // EnGenius
    (0x2001, 0x330e), // D-Link
    (0x2001, 0x3313), // D-Link
    (0x2001, 0x3315), // D-Link
    (0x2001, 0x3316), // D-Link
    (0x2019, 0xab30), // Planex
    (0x20f4, 0x805b), // TRENDnet
    (0x2357, 0x0101), // TP-Link
    (0x2357, 0x0103), // TP-Link
    (0x2357, 0x010d), // TP-Link
    (0x2357, 0x010e), // TP-Link
    (0x2357, 0x010f), // TP-Link
    (0x2357, 0x0122), // TP-Link
    (0x2604, 0x0012), // Tenda
    (0x7392, 0xa822), // Edimax
];

/// Baseband and AGC pages are written by the host alone. Not among them: fault-alarm and CRC counters, the
/// calibration's results and the RF read-back windows. No MAC or system register is listed: firmware, the power
/// state machine and the DMA engines write there too.
pub(super) const SHADOW: ShadowPolicy = ShadowPolicy {
    host_only: &[0x0800..=0x0eff],
    live: &[
        0x0a5c..=0x0a5f, // CCK false-alarm counter
        0x0b58..=0x0b5b, // counter reset, self-clearing
        0x0d00..=0x0d7f, // IQK results, PI/SI read-back of both paths
    ],
};

/// rtw88 `rtw8812a_table.c`, `card_enable_flow_8812a`, the steps for USB.
const POWER_ON: &[PowerStep] = &[
    // card disabled -> card emulation
    w(0x0012, 0x01, 0x01),
    w(0x0014, 0x80, 0x00),
    w(0x0015, 0x01, 0x00),
    w(0x0023, 0x10, 0x00),
    w(0x0046, 0xff, 0x00),
    w(0x0043, 0xff, 0x00),
    w(0x0005, 0x08, 0x00),
    w(0x0003, 0x04, 0x04),
    w(0x0024, 0x02, 0x02),
    w(0x0028, 0x08, 0x08),
    // card emulation -> active
    w(0x0005, 0x04, 0x00),
    poll(0x0006, 0x02, 0x02),
    w(0x0005, 0x08, 0x00),
    w(0x0005, 0x01, 0x01),
    poll(0x0005, 0x01, 0x00),
    w(0x0024, 0x02, 0x00),
    w(0x0028, 0x08, 0x00),
];

/// rtw88 `rtw8812a_table.c`, `enter_lps_flow_8812a`, the steps for USB.
const ENTER_LPS: &[PowerStep] = &[
    w(0x0522, 0xff, 0x7f),
    poll(0x05f8, 0xff, 0x00),
    poll(0x05f9, 0xff, 0x00),
    poll(0x05fa, 0xff, 0x00),
    poll(0x05fb, 0xff, 0x00),
    w(0x0c00, 0xff, 0x04),
    w(0x0e00, 0xff, 0x04),
    w(0x0002, 0x01, 0x00),
    PowerStep::Delay(Duration::from_micros(2)),
    w(0x0002, 0x02, 0x00),
    w(0x0100, 0xff, 0x03),
    w(0x0101, 0x02, 0x00),
    w(0x0553, 0x20, 0x20),
];

/// rtw88 `rtw8812a_table.c`, `card_disable_flow_8812a`, the steps for USB.
const POWER_OFF: &[PowerStep] = &[
    // active -> card emulation
    w(0x0c00, 0xff, 0x04),
    w(0x0e00, 0xff, 0x04),
    w(0x0002, 0x01, 0x00),
    PowerStep::Delay(Duration::from_micros(2)),
    w(0x0007, 0xff, 0x2a),
    w(0x0008, 0x02, 0x00),
    w(0x0005, 0x02, 0x02),
    poll(0x0005, 0x02, 0x00),
    // card emulation -> card disabled
    w(0x0003, 0x04, 0x00),
    w(0x0080, 0xff, 0x05),
    w(0x0042, 0xf0, 0xcc),
    w(0x0043, 0xff, 0x07),
    w(0x0045, 0xff, 0x00),
    w(0x0046, 0xff, 0xff),
    w(0x0047, 0xff, 0x00),
    w(0x0014, 0x80, 0x80),
    w(0x0015, 0x01, 0x01),
    w(0x0012, 0x01, 0x00),
    w(0x0023, 0x10, 0x10),
    w(0x0008, 0x02, 0x00),
    w(0x0007, 0xff, 0x20),
    w(0x001f, 0x02, 0x00),
    w(0x0076, 0x02, 0x00),
    w(0x0005, 0x08, 0x08),
];

/// rtw88 `rtw88xxa.c`, `rtw88xxa_power_on`, what it does for this chip alone.
const OWN_MAC_FIELDS: &[FieldWrite] = &[
    // 512 bytes a transmit page, 64 a receive page.
    FieldWrite::byte(mac::PBP, 0xff, (bits::pbp::PBP_512 << 4 | bits::pbp::PBP_64) as u8),
    FieldWrite::byte(mac::AMPDU_MAX_TIME, 0xff, 0x70),
    FieldWrite::byte(mac::FWHW_TXQ_CTRL.byte(0), 0x80, 0),
];

/// What is known of the RTL8812AU.
pub(crate) static INFO: ChipInfo = ChipInfo {
    chip: Chip::Rtl8812au,
    usb_ids: USB_IDS,
    shadow: SHADOW,
    power_on: POWER_ON,
    power_forced: &[(0x0024, 0x02), (0x0028, 0x08)],
    enter_lps: ENTER_LPS,
    power_off: POWER_OFF,
    mac: Mac::With8051(Mac8051 {
        wrapper_bit: 3,
        releases_radios: true,
        trims_supply: false,
        own_fields: OWN_MAC_FIELDS,
    }),
    firmware: FirmwareInfo {
        name: "rtw88/rtw8812a_fw.bin",
        signature: 0x9500,
        format: FirmwareFormat::Legacy { max_size: 0x8000 },
    },
    efuse: EfuseLayout {
        physical_size: 512,
        logical_size: 512,
        mac_address: 0xd7,
        usb_switch: Some((0x08, 0x02)),
        tx_power_paths: 2,
        own_offsets: efuse::RTL8812A_OFFSETS,
        front_end: efuse::rtl8812a_front_end,
        blank_crystal_cap: 0x20,
        bt_coex: BtCoex::BoardOption,
        options: Options::Cells,
    },
    chains: 2,
    read_phy_status: crate::rx::phy_status_8812a,
    cut_offset: 1,
    to_usb3: Some(TO_USB3),
    tx_fifo_size: 131_072,
    rx_fifo_size: 16_128,
    page_size: 512,
    reserved_pages: 9,
    // Two, three and four bulk-out endpoints (rtw88 `page_table_8812a`, `rqpn_table_8812a`).
    queue_pages: [
        QueuePages { high: 16, normal: 0, low: 0, extra: 0, gap: 1, map: [3, 3, 2, 2, 3, 3] },
        QueuePages { high: 16, normal: 0, low: 16, extra: 0, gap: 1, map: [3, 2, 1, 1, 3, 3] },
        QueuePages { high: 16, normal: 0, low: 16, extra: 0, gap: 1, map: [2, 2, 1, 1, 0, 3] },
    ],
    tx_aggregate_descriptors: 1,
    tx_fallback_limit: true,
    coex: CoexInfo {
        on: On::NoBoard,
        told_power_off: On::BoardsWithBluetooth,
        owns_switch: true,
        set_up: |_| Vec::new(),
        switch: |_, _| Vec::new(),
        policies: None,
    },
    phy: &crate::phy::rtl8812a::INFO,
};
