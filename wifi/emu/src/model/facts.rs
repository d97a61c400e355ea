//! [`Facts`]: what the family's state machines have to know of one chip.

use core::ops::{Range, RangeInclusive};

use crate::Rule;

/// A chip.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) usb: Usb,
    pub(crate) registers: Registers,
    pub(crate) power: Power,
    pub(crate) fuses: Fuses,
    pub(crate) mcu: Mcu,
    pub(crate) baseband: Baseband,
    /// The radios, path A first.
    pub(crate) paths: &'static [Path],
    pub(crate) buffer: Buffer,
    /// Spatial streams that it sends and receives at most.
    pub(crate) streams: u8,
}

/// The device on the bus.
#[derive(Debug)]
pub(crate) struct Usb {
    /// Vendor and product.
    pub(crate) identity: (u16, u16),
    /// The product string.
    pub(crate) product: &'static str,
    /// The endpoints in the order of the interface's descriptors.
    pub(crate) endpoints: &'static [Endpoint],
    /// Whether it can do super speed.
    pub(crate) super_speed: bool,
}

/// An endpoint, by its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    /// Received packets.
    BulkIn(u8),
    /// Frames to send.
    BulkOut(u8),
    /// Reports that nobody reads.
    InterruptIn(u8),
}

/// The register file.
#[derive(Debug)]
pub(crate) struct Registers {
    /// Where there are registers: ranges `start..end` of bus addresses, in rising order.
    ///
    /// The words are those that `rtw88` names for the chip, or that its tables, its power sequence or its
    /// coexistence write, joined into ranges. Anything else is an address that no driver has a reason to touch.
    pub(crate) known: &'static [(u32, u32)],
    /// Above 0x00ff, what lives while the MAC has no power.
    pub(crate) always_on: Range<u16>,
    /// Bytes that the hardware alone changes; a write leaves them as they are.
    pub(crate) read_only: &'static [RangeInclusive<u16>],
    /// Bits of a byte that are cleared by writing 1.
    pub(crate) clear_by_one: &'static [(u16, u8)],
    /// Beside those of the whole family, registers that parts of the chip act upon as they are.
    pub(crate) functional: &'static [RangeInclusive<u16>],
    /// The bit that tells of a Bluetooth part in use, if the chip has one.
    pub(crate) bluetooth: Option<(u16, u8)>,
    /// SYS_CFG1 but for the cut.
    pub(crate) version: u32,
    /// The cut unless told otherwise.
    pub(crate) cut: u8,
}

/// Something that must hold at a step of the power sequence, and the rule that is broken if it does not.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) register: u16,
    pub(crate) mask: u8,
    pub(crate) value: u8,
    pub(crate) rule: Rule,
}

/// `value` in the bits of `mask`, or `rule` is broken.
pub(crate) const fn step(register: u16, mask: u8, value: u8, rule: Rule) -> Step {
    Step { register, mask, value, rule }
}

/// The power sequence: what `rtw88`'s card-enable and card-disable flows for the chip take care of.
#[derive(Debug)]
pub(crate) struct Power {
    /// Registers of the always-on part as a card-disable leaves them.
    pub(crate) asleep: &'static [(u16, u8)],
    /// When the MAC is to be powered on.
    pub(crate) on: &'static [Step],
    /// The same, out of card-disable.
    pub(crate) on_from_disable: &'static [Step],
    /// At every access to the powered MAC.
    pub(crate) running: &'static [Step],
    /// When the MAC is to be powered off.
    pub(crate) off: &'static [Step],
    /// When the card is to be suspended.
    pub(crate) suspend: &'static [Step],
}

/// The fuses.
#[derive(Debug)]
pub(crate) struct Fuses {
    /// Bytes of the log, from address 0 on.
    pub(crate) log: usize,
    /// Logical address of the MAC address.
    pub(crate) mac_address: u16,
    /// Logical address of the USB identity: vendor, product.
    pub(crate) identity: u16,
    /// Where the driver is allowed to switch the device to USB 3, if there is such a bit.
    pub(crate) usb_switch: Option<(u16, u8)>,
    /// Logical addresses of the transmit power indices of each path.
    pub(crate) tx_power: &'static [u16],
    /// Blocks of eight bytes that a factory programs.
    pub(crate) blocks: &'static [RangeInclusive<u8>],
    /// What an ordinary adapter has in them, beside what is its own or calibrated.
    pub(crate) ordinary: &'static [(u16, &'static [u8])],
    /// The antenna option as the line programs it.
    pub(crate) antenna_option: u8,
    /// What a board with external amplifiers has on top.
    pub(crate) external_pa: &'static [(u16, &'static [u8])],
    /// Physical bytes beyond the log.
    pub(crate) straps: &'static [(u16, u8)],
}

/// The microcontroller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mcu {
    /// An 8051: firmware through a window of registers.
    I8051 {
        /// Signature of its firmware.
        signature: u16,
        /// Version and subversion of the stand-in.
        version: (u16, u8),
        /// Bits of RSV_CTRL's second byte that open its bus interface, any of them.
        bus: u8,
    },
    /// A 3081: firmware through the packet buffer and DMA.
    I3081 {
        /// Signature of its firmware.
        signature: u16,
        /// Version and subversion of the stand-in.
        version: (u16, u8),
    },
}

/// Baseband and calibration.
#[derive(Debug)]
pub(crate) struct Baseband {
    /// The byte whose bits 1:0 release the baseband: the whole (1) and its logic (0).
    pub(crate) reset: u16,
    /// The bits of it without which its registers do not answer.
    pub(crate) answers: u8,
    /// Its registers.
    pub(crate) blocks: &'static [RangeInclusive<u16>],
    /// Bytes of it that may be written one by one while it does not answer.
    pub(crate) parking: &'static [u16],
    /// A cut whose radios read right with the CCA on; `None`: all of them.
    pub(crate) cca_harmless: Option<u8>,
    /// What tells the baseband its band: byte, bits, the value at 2.4 GHz, and those at 5 GHz up to a channel.
    pub(crate) band: (u16, u8, u8, &'static [(u8, u8)]),
    /// Where the transmit powers are.
    pub(crate) tx_power: TxPower,
    /// How a CCK signal is told: the low-noise amplifier's stages, weakest signal first, each with the dBm of
    /// its step 0; each step of the other amplifier is 2 dB less.
    pub(crate) cck_stages: &'static [(u8, i16)],
    /// The weakest CCK signal that can be told, in dBm.
    pub(crate) cck_weakest: i16,
}

/// Where the transmit powers are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TxPower {
    /// Bytes by rate, path A from 0xc20 on, path B from 0xe20 on.
    Registers,
    /// Behind a port at 0x1998.
    Port,
}

/// One radio.
#[derive(Debug)]
pub(crate) struct Path {
    /// The byte whose bits 2:0 power it and take it out of reset.
    pub(crate) power: u16,
    /// The window through which its registers are written.
    pub(crate) window: u16,
    pub(crate) read: ReadBack,
}

/// How a radio's registers are read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReadBack {
    /// Through one of two windows, by bit 2 of the mode register.
    Serial {
        /// The mode register.
        mode: u16,
        /// The window in serial mode.
        si: u16,
        /// The window in parallel mode.
        pi: u16,
    },
    /// In the address space, a word each from here on.
    Direct(u16),
}

/// Who makes the list of transmit pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PageList {
    /// The host, page by page, through LLT_INIT.
    Written,
    /// The chip, when AUTO_LLT_V1 bit 0 says so.
    Automatic,
}

/// The packet buffer.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Bytes of a page of the transmit half.
    pub(crate) page: usize,
    pub(crate) page_list: PageList,
    /// Register with the last byte of the receive half.
    pub(crate) receive_end: u16,
    /// Pages that the queues reserve and have left: registers, and their width in bytes.
    pub(crate) queues: &'static [(u16, u16)],
    /// Bytes of each of those registers.
    pub(crate) queue_width: usize,
    /// The byte whose bit 7 loads them.
    pub(crate) load: u16,
    /// A reserved page has arrived: byte and bit.
    pub(crate) beacon_valid: (u16, u8),
}

impl Usb {
    pub(crate) fn kind(&self, address: u8) -> Option<Endpoint> {
        self.endpoints.iter().copied().find(|endpoint| endpoint.address() == address)
    }
}

impl Endpoint {
    pub(crate) const fn address(self) -> u8 {
        match self {
            Self::BulkIn(address) | Self::BulkOut(address) | Self::InterruptIn(address) => address,
        }
    }
}

impl Registers {
    /// Whether the chip has registers at all of `address..address + length`.
    pub(crate) fn exist(&self, address: u16, length: usize) -> bool {
        let start = u32::from(address);
        let end = start + length as u32;
        let after = self.known.partition_point(|range| range.0 <= start);
        after > 0 && end <= self.known[after - 1].1
    }

    /// Every address that has a register.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = u16> + use<> {
        let known: &'static [(u32, u32)] = self.known;
        known.iter().flat_map(|(start, end)| (*start..*end).map(|address| address as u16))
    }

    pub(crate) fn is_read_only(&self, address: u16) -> bool {
        self.read_only.iter().any(|range| range.contains(&address))
    }

    pub(crate) fn cleared_by_one(&self, address: u16) -> u8 {
        self.clear_by_one.iter().find(|(byte, _)| *byte == address).map_or(0, |(_, bits)| *bits)
    }

    /// Whether a write to all of `address..address + length` reaches only read-only bytes.
    pub(crate) fn wholly_read_only(&self, address: u16, length: usize) -> bool {
        (0..length as u16).all(|i| self.is_read_only(address.wrapping_add(i)))
    }
}
