//! [`ChipInfo`]: what one chip of the family is, as named facts.
//!
//! Code that the family shares reads these facts and never asks which chip it is. A chip's own module
//! ([`rtl8812a`], [`rtl8821a`]) holds only what is its own. Neighbours: [`regio`](crate::regio) asks the [`ShadowPolicy`],
//! `driver` runs the power sequences, `phy` reads the radio's facts.

pub(crate) mod rtl8812a;
pub(crate) mod rtl8814a;
pub(crate) mod rtl8821a;

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;
use core::time::Duration;

use airlift_hcd::Speed;
use airlift_regs::sys;

use crate::coex::CoexInfo;
use crate::efuse::{EfuseInfo, EfuseLayout};
use crate::firmware::FirmwareInfo;
use crate::phy::info::PhyInfo;
use crate::regio::FieldWrite;

/// A chip of the family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Chip {
    /// RTL8812AU: two chains, 802.11ac.
    Rtl8812au,
    /// RTL8814AU: four chains, 802.11ac.
    Rtl8814au,
    /// RTL8821AU and RTL8811AU: one chain, 802.11ac; the former with Bluetooth beside it.
    Rtl8821au,
}

impl Chip {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Rtl8812au, Self::Rtl8814au, Self::Rtl8821au];

    /// The name on the package.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rtl8812au => "RTL8812AU",
            Self::Rtl8814au => "RTL8814AU",
            Self::Rtl8821au => "RTL8821AU",
        }
    }

    /// USB ids that are known to carry it, vendor and product.
    pub const fn usb_ids(self) -> &'static [(u16, u16)] {
        self.info().usb_ids
    }

    /// The chip that `vendor:product` is known to carry, if it is one of the family.
    pub fn from_usb_id(vendor: u16, product: u16) -> Option<Self> {
        ALL.iter().find(|info| info.usb_ids.contains(&(vendor, product))).map(|info| info.chip)
    }

    pub(crate) const fn info(self) -> &'static ChipInfo {
        match self {
            Self::Rtl8812au => &rtl8812a::INFO,
            Self::Rtl8814au => &rtl8814a::INFO,
            Self::Rtl8821au => &rtl8821a::INFO,
        }
    }
}

impl FromStr for Chip {
    type Err = UnknownChip;

    /// Reads a [`name`](Self::name), in small or capital letters.
    fn from_str(name: &str) -> Result<Self, UnknownChip> {
        Self::ALL.iter().copied().find(|chip| chip.name().eq_ignore_ascii_case(name)).ok_or(UnknownChip)
    }
}

/// The name is none of a chip of the family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownChip;

impl fmt::Display for UnknownChip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected ")?;
        for (number, chip) in Chip::ALL.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{}", chip.name().to_ascii_lowercase())?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownChip {}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const ALL: &[&ChipInfo] = &[&rtl8812a::INFO, &rtl8814a::INFO, &rtl8821a::INFO];

/// Which registers the host alone changes, so that their value need not be read back before a field of theirs
/// is written.
///
/// A byte is host-only if it lies in one of `host_only` and in none of `live`. What is not listed is always
/// read from the chip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShadowPolicy {
    /// Registers that nobody but the host writes.
    pub(crate) host_only: &'static [RangeInclusive<u16>],
    /// Exceptions: status, counters, read-back windows.
    pub(crate) live: &'static [RangeInclusive<u16>],
}

impl ShadowPolicy {
    /// Nothing is answered from a shadow.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { host_only: &[], live: &[] };

    /// Whether the byte at `addr` is changed by the host alone.
    pub(crate) fn is_host_only(&self, addr: u16) -> bool {
        self.host_only.iter().any(|range| range.contains(&addr))
            && !self.live.iter().any(|range| range.contains(&addr))
    }
}

/// One step of a power sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PowerStep {
    /// Write `value` under `mask` into the byte at `addr`.
    Write { addr: u16, mask: u8, value: u8 },
    /// Wait until the byte at `addr` is `value` under `mask`.
    Poll { addr: u16, mask: u8, value: u8 },
    /// Let time pass.
    Delay(Duration),
}

const fn w(addr: u16, mask: u8, value: u8) -> PowerStep {
    PowerStep::Write { addr, mask, value }
}

const fn poll(addr: u16, mask: u8, value: u8) -> PowerStep {
    PowerStep::Poll { addr, mask, value }
}

/// Pages of the transmit buffer that each queue has for itself, and which DMA queue serves which traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuePages {
    /// Pages of the high queue.
    pub(crate) high: u16,
    /// Pages of the normal queue.
    pub(crate) normal: u16,
    /// Pages of the low queue.
    pub(crate) low: u16,
    /// Pages of the extra queue.
    pub(crate) extra: u16,
    /// Pages that nobody may have.
    pub(crate) gap: u16,
    /// DMA queue (0 extra, 1 low, 2 normal, 3 high) of voice, video, best effort, background, management and
    /// high traffic.
    pub(crate) map: [u8; 6],
}

impl QueuePages {
    /// [`map`](Self::map) as TXDMA_PQ_MAP takes it.
    pub(crate) fn dma_map(&self) -> u16 {
        let [voice, video, best_effort, background, management, high] = self.map.map(u16::from);
        voice << 4 | video << 6 | best_effort << 8 | background << 10 | management << 12 | high << 14
    }

    /// Pages that are not for all.
    pub(crate) fn taken(&self) -> u16 {
        self.high + self.normal + self.low + self.extra + self.gap
    }
}

/// How a chip that begins at USB 2 is switched to USB 3: by what it is told, it drops off the bus and comes back.
///
/// What it was told outlives that, and a reset of the bus, so that one that comes back at USB 2 all the same (its port or
/// cable has no more) is not told again.
#[derive(Debug)]
pub(crate) struct ToUsb3 {
    /// Shows that it was told before: address of a byte, mask, value.
    pub(crate) told: (u16, u8, u8),
    /// How to come back: bytes to be written.
    pub(crate) choice: &'static [(u16, u8)],
    /// What drops it off the bus then.
    pub(crate) leave: (u16, u8),
}

/// By the option register of the host interface (rtw88 `usb.c`, `rtw_usb_switch_mode_old`).
const TO_USB3: ToUsb3 = ToUsb3 {
    told: (sys::HCI_OPT_CTRL.addr(), 0x0c, 0x08),
    choice: &[
        (sys::HCI_OPT_CTRL.addr(), 0x08),
        (sys::SYS_SDIO_CTRL.addr(), 0x02),
        (sys::ACLK_MON.addr(), 0x01),
        (0x003d, 0x03),
    ],
    leave: (sys::SYS_PW_CTRL.addr() + 1, 0x80),
};

/// The facts of a chip.
#[derive(Debug)]
pub(crate) struct ChipInfo {
    /// Which chip.
    pub(crate) chip: Chip,
    /// `vendor:product` pairs that carry it.
    pub(crate) usb_ids: &'static [(u16, u16)],
    /// Registers that may be answered from a shadow.
    pub(crate) shadow: ShadowPolicy,
    /// From "card disabled" to "active".
    pub(crate) power_on: &'static [PowerStep],
    /// Clocks that [`power_on`](Self::power_on) forces while it runs and releases at its end: `(address, bits)`. A
    /// sequence that was broken off leaves them forced.
    pub(crate) power_forced: &'static [(u16, u8)],
    /// Before switching off: transmitters stop, queues run dry.
    pub(crate) enter_lps: &'static [PowerStep],
    /// From "active" to "card disabled".
    pub(crate) power_off: &'static [PowerStep],
    /// MAC and microcontroller, with what the chip has of its own there.
    pub(crate) mac: Mac,
    /// The firmware's file, what it must look like, and how it gets into the chip.
    pub(crate) firmware: FirmwareInfo,
    /// What stands where in the EFUSE.
    pub(crate) efuse: EfuseLayout,
    /// Paths of the radio when the EFUSE does not say otherwise.
    pub(crate) chains: u8,
    /// What the report before a frame says of its signal.
    pub(crate) read_phy_status: crate::rx::ReadPhyStatus,
    /// Added to the cut that SYS_CFG1 tells.
    pub(crate) cut_offset: u8,
    /// How it is switched to USB 3 where its EFUSE asks for it; `None`: it has no USB 3, or is not switched.
    pub(crate) to_usb3: Option<ToUsb3>,
    /// Transmit buffer, in bytes.
    pub(crate) tx_fifo_size: u32,
    /// Receive buffer, in bytes.
    pub(crate) rx_fifo_size: u16,
    /// Bytes of a page of the transmit buffer.
    pub(crate) page_size: u16,
    /// Pages at the transmit buffer's end that no queue may have: the driver's and the firmware's own.
    pub(crate) reserved_pages: u16,
    /// Queue layout with two, three and four bulk-out endpoints.
    pub(crate) queue_pages: [QueuePages; 3],
    /// Frames that one bulk-out transfer may carry.
    pub(crate) tx_aggregate_descriptors: u8,
    /// Whether transmit descriptors hold a limit of the rate's fall-back even when there is none (rtw88
    /// `old_datarate_fb_limit`).
    pub(crate) tx_fallback_limit: bool,
    /// What it does so that Bluetooth has its share.
    pub(crate) coex: CoexInfo,
    /// Baseband and radio.
    pub(crate) phy: &'static PhyInfo,
}

impl ChipInfo {
    /// Pages of the transmit buffer.
    pub(crate) fn tx_pages(&self) -> u16 {
        u16::try_from(self.tx_fifo_size / u32::from(self.page_size)).unwrap_or(u16::MAX)
    }

    /// First page that no queue may have: queues end here.
    pub(crate) fn reserved_boundary(&self) -> u16 {
        self.tx_pages() - self.reserved_pages
    }
}

/// The MAC with the microcontroller beside it. It decides how power is switched, how the transmit buffer's pages
/// become a list, how queues, filters and timing are set up (rtw88 `wlan_cpu`). `driver` has a module for each.
#[derive(Debug)]
pub(crate) enum Mac {
    /// With an 8051: the list of pages is written entry by entry, queues have 8-bit registers.
    With8051(Mac8051),
    /// With a 3081: the chip makes the list of pages, queues have 16-bit registers, firmware comes through a queue.
    With3081(Mac3081),
}

/// What a chip with a 3081 has of its own.
#[derive(Debug)]
pub(crate) struct Mac3081 {
    /// Functions to switch on with the MAC: the upper byte of SYS_FUNC_EN.
    pub(crate) functions: u8,
    /// The pages that are the firmware's and its command queue's.
    pub(crate) pages: OwnPages,
}

/// Pages at the very end of the transmit buffer; the last ones are the firmware's, those before them its commands'.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnPages {
    /// What the firmware sends by itself.
    pub(crate) firmware: u16,
    /// Commands that wait for it.
    pub(crate) commands: u16,
}

/// What a chip with an 8051 has of its own.
#[derive(Debug)]
pub(crate) struct Mac8051 {
    /// Bit of RSV_CTRL+1 that resets the MCU's bus wrapper.
    pub(crate) wrapper_bit: u8,
    /// The radios' resets are released before the MAC gets power.
    pub(crate) releases_radios: bool,
    /// A chip whose version says so (SYS_CFG1 bit 24) has its supply trimmed once it has power.
    pub(crate) trims_supply: bool,
    /// Fields of the MAC's registers that are this chip's own, in order, before the transmitters are enabled.
    pub(crate) own_fields: &'static [FieldWrite],
}

/// One adapter as it was found: its chip, cut, chains and EFUSE. What `phy` needs to know beside [`Regs`].
///
/// [`Regs`]: crate::regio::Regs
#[derive(Debug)]
pub(crate) struct Board {
    /// The chip's facts.
    pub(crate) chip: &'static ChipInfo,
    /// Cut of the silicon as mainline numbers it (0 is A), the chip's offset included.
    pub(crate) cut: u8,
    /// Paths of the radio in use: 1 to 4.
    pub(crate) chains: u8,
    /// Whether the EFUSE allows 80 MHz (and VHT).
    pub(crate) allows_80_mhz: bool,
    /// The EFUSE.
    pub(crate) efuse: EfuseInfo,
    /// Speed of the USB connection.
    pub(crate) speed: Speed,
    /// Bulk-out endpoints: 2, 3 or 4.
    pub(crate) bulk_out: u8,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn w1_a_usb_id_names_one_chip_and_every_chip_is_known_by_name() {
        let mut ids = HashSet::new();
        for chip in Chip::ALL {
            assert_eq!(chip.name().to_ascii_lowercase().parse(), Ok(*chip));
            assert!(!chip.usb_ids().is_empty());
            for &(vendor, product) in chip.usb_ids() {
                assert!(ids.insert((vendor, product)), "{vendor:04x}:{product:04x} is there twice");
                assert_eq!(Chip::from_usb_id(vendor, product), Some(*chip));
            }
        }
        assert_eq!(Chip::from_usb_id(0x2357, 0x0120), Some(Chip::Rtl8821au));
        assert_eq!(Chip::from_usb_id(0x0bda, 0x8813), Some(Chip::Rtl8814au));
        assert_eq!(Chip::from_usb_id(0x0bda, 0xb812), None);
    }

    #[test]
    fn w1_queues_leave_pages_for_all_and_fit_their_registers() {
        for chip in Chip::ALL {
            let info = chip.info();
            for pages in &info.queue_pages {
                assert!(pages.taken() < info.reserved_boundary(), "{chip}");
            }
            match info.mac {
                Mac::With8051(_) => assert_eq!(info.tx_pages(), 256, "{chip}: the page list has 256 entries"),
                Mac::With3081(ref own) => {
                    assert!(info.tx_pages() < 1 << 12, "{chip}: a page's number has 12 bits");
                    assert!(own.pages.firmware + own.pages.commands < info.reserved_pages, "{chip}");
                }
            }
        }
    }
}
