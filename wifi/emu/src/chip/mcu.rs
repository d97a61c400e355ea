//! The MCU: firmware download, checksum, boot, and the mailboxes of host commands.
//!
//! The 8051's MCUFW_CTRL (0x80): bit 0 enables the download and raises bit 7 (RAM selected); bit 2 written as 1 starts a
//! new sum and reads as 1 once the sum over what arrived comes out as zero; bits 18:16 choose the 4 KiB page
//! that the window 0x1000-0x1fff shows; bit 1 says that the image is in, bit 6 is raised by the firmware when
//! it runs (`rtw88 mac.c`, `__rtw_download_firmware_legacy`). The sum is the XOR of 16-bit words: over the code
//! of the images that `linux-firmware` ships for this family it is zero. The image's header never arrives, so
//! nothing here looks at it.
//!
//! The 3081's (`__rtw_download_firmware`): bit 0 enables the download, which goes by [`ocp`](super::ocp); the host
//! notes in bits 3 to 6 that each memory is in and its sum right, and in bit 14 that all is; bits 13:12 choose the
//! clock until the firmware does, which raises bit 15 when it runs. Then the word reads 0xc078.

use core::time::Duration;

use airlift_regs::mac;

use super::power::take_due;
use super::{Chip, Latency, at};
use crate::Poll;
use crate::model::Mcu as Kind;

const DOWNLOAD: u8 = 0x01;
const READY: u8 = 0x02;
const SUM_OK: u8 = 0x04;
const INIT_READY: u8 = 0x40;
const RAM: u8 = 0x80;

/// 3081: both memories are in, with their sums right.
const MEMORIES_IN: u8 = 0x78;
/// 3081, second byte: the image is in.
const IMAGE_IN: u8 = 0x40;
/// 3081, second byte: the firmware runs.
const RUNS: u8 = 0x80;

/// Bytes of program memory: eight pages.
pub(super) const RAM_SIZE: usize = 0x8000;

#[derive(Debug)]
pub(super) struct Mcu {
    pub(super) ram: Box<[u8; RAM_SIZE]>,
    pub(super) written: usize,
    sum: [u8; 2],
    count: u64,
    sum_at: Option<Duration>,
    boot_at: Option<Duration>,
    pub(super) running: bool,
    mailbox_at: [Option<Duration>; 4],
    /// Host commands that the firmware took: extension word, then the word itself.
    pub(super) commands: Vec<(u32, u32)>,
    /// The bit of the download that a lossy personality drops is still to be dropped.
    pub(super) lose_bit: bool,
    /// The 3081's memories.
    pub(super) ocp: super::ocp::Ocp,
    /// Command packets that the firmware took.
    pub(super) packets: Vec<Vec<u8>>,
}

/// Bytes of a command packet (`rtw88 fw.h`, `H2C_PKT_SIZE`); the firmware looks at no more.
const COMMAND_PACKET: usize = 32;

/// Host commands kept for a test to look at.
const COMMANDS_KEPT: usize = 1024;

impl Mcu {
    pub(super) fn new() -> Self {
        Self {
            ram: Box::new([0; RAM_SIZE]),
            written: 0,
            sum: [0; 2],
            count: 0,
            sum_at: None,
            boot_at: None,
            running: false,
            mailbox_at: [None; 4],
            commands: Vec::new(),
            lose_bit: false,
            ocp: super::ocp::Ocp::default(),
            packets: Vec::new(),
        }
    }

    pub(super) fn reset(&mut self) {
        let commands = core::mem::take(&mut self.commands);
        let packets = core::mem::take(&mut self.packets);
        *self = Self { commands, packets, ..Self::new() };
    }
}

impl Chip {
    /// Byte 0 of MCUFW_CTRL as a write leaves it.
    pub(super) fn firmware_control_write(&mut self, old: u8, value: u8) -> u8 {
        let value = if self.is_stuck(Poll::DownloadEnable) { value & !DOWNLOAD } else { value };
        if let Kind::I3081 { .. } = self.facts.mcu {
            if value & !old & DOWNLOAD != 0 && self.power.mac_is_on() {
                self.mcu.ocp.begin();
                self.mcu.ocp.lose_bit = self.checksum_fails;
            }
            return value;
        }
        let mut new = value & !(SUM_OK | INIT_READY | RAM);
        new |= old & value & (INIT_READY | RAM); // the host can only clear these
        new |= old & SUM_OK;
        // Power-off writes 0x05 here with the MAC already down: that enables nothing.
        if value & DOWNLOAD != 0 && self.power.mac_is_on() {
            new |= RAM;
            if value & SUM_OK != 0 {
                new &= !SUM_OK;
                (self.mcu.sum, self.mcu.count, self.mcu.sum_at) = ([0; 2], 0, None);
                self.mcu.lose_bit = self.checksum_fails;
            }
        } else if value & SUM_OK == 0 {
            new &= !SUM_OK;
        }
        new
    }

    /// Byte 1 of MCUFW_CTRL as a write leaves it: the host can clear the 3081's word that it runs, not give it.
    pub(super) fn firmware_upper_write(&self, old: u8, value: u8) -> u8 {
        match self.facts.mcu {
            Kind::I8051 { .. } => value,
            Kind::I3081 { .. } => value & !(RUNS & !old),
        }
    }

    pub(super) fn firmware_control_written(&mut self, old: u32) {
        if let Kind::I3081 { .. } = self.facts.mcu {
            return;
        }
        if old as u8 & INIT_READY != 0
            && self.byte(at::FIRMWARE) & INIT_READY == 0
            && self.mcu.boot_at.is_some()
        {
            self.mcu.boot_at = None;
        }
    }

    pub(super) fn firmware_write(&mut self, address: u16, data: &[u8]) {
        if self.byte(at::FIRMWARE) & DOWNLOAD == 0 {
            return;
        }
        let page = usize::from(self.byte(at::FIRMWARE_PAGE) & 7) << 12;
        for (i, byte) in data.iter().enumerate() {
            let offset = usize::from(address - 0x1000) + i;
            if offset >= 0x1000 {
                break;
            }
            let mut byte = *byte;
            if core::mem::take(&mut self.mcu.lose_bit) {
                byte ^= 0x10;
            }
            self.mcu.ram[page | offset] = byte;
            self.mcu.sum[offset & 1] ^= byte;
            self.mcu.count += 1;
            self.mcu.written = self.mcu.written.max((page | offset) + 1);
        }
        self.change(at::FIRMWARE, SUM_OK, 0);
        self.mcu.sum_at = Some(self.now + self.latency(Latency::Checksum));
    }

    /// SYS_FUNC_EN was written; `was` tells whether the MCU was released before.
    pub(super) fn mcu_enable_written(&mut self, was: bool) {
        let enabled = self.byte(at::FUNCTIONS) & 0x04 != 0;
        if was && !enabled {
            self.mcu.running = false;
            self.mcu.boot_at = None;
            self.mcu.mailbox_at = [None; 4];
        }
        if !was && enabled && self.power.mac_is_on() && self.starts_into_ram() && !self.never_boots {
            self.mcu.boot_at = Some(self.now + self.latency(Latency::Boot));
        }
    }

    /// Whether releasing the MCU now would start the downloaded image.
    pub(super) fn starts_into_ram(&self) -> bool {
        match self.facts.mcu {
            Kind::I8051 { .. } => self.byte(at::FIRMWARE) & READY != 0,
            Kind::I3081 { .. } => self.byte(at::FIRMWARE_UPPER) & IMAGE_IN != 0,
        }
    }

    fn image_is_good(&self) -> bool {
        if let Kind::I3081 { .. } = self.facts.mcu {
            let control = self.byte(at::FIRMWARE);
            return self.mcu.ocp.is_good() && control & (MEMORIES_IN | DOWNLOAD) == MEMORIES_IN;
        }
        let control = self.byte(at::FIRMWARE);
        control & (RAM | READY | SUM_OK | DOWNLOAD) == RAM | READY | SUM_OK && self.byte(at::MCU_BUS) & 1 != 0
    }

    pub(super) fn mailbox_written(&mut self, mailbox: u16) {
        self.change(at::MAILBOXES, 0, 1 << mailbox);
        if self.mcu.running {
            self.mcu.mailbox_at[usize::from(mailbox)] = Some(self.now + self.latency(Latency::Mailbox));
        }
    }

    /// A command packet arrives through the queue for them.
    pub(super) fn packet_arrived(&mut self, packet: &[u8]) {
        if self.mcu.packets.len() < COMMANDS_KEPT {
            self.mcu.packets.push(packet[..packet.len().min(COMMAND_PACKET)].to_vec());
        }
    }

    pub(super) fn advance_mcu(&mut self) {
        if !self.is_stuck(Poll::Checksum)
            && take_due(&mut self.mcu.sum_at, self.now)
            && self.mcu.sum == [0; 2]
            && self.mcu.count > 0
        {
            self.change(at::FIRMWARE, 0, SUM_OK);
        }
        if !self.is_stuck(Poll::FirmwareReady)
            && take_due(&mut self.mcu.boot_at, self.now)
            && self.image_is_good()
        {
            self.mcu.running = true;
            match self.facts.mcu {
                Kind::I8051 { .. } => self.change(at::FIRMWARE, 0, INIT_READY),
                Kind::I3081 { .. } => self.change(at::FIRMWARE_UPPER, at::MCU_CLOCK, RUNS),
            }
            self.reception_changed();
        }
        self.advance_ddma();
        for mailbox in 0..4_u16 {
            if !self.is_stuck(Poll::Mailbox)
                && take_due(&mut self.mcu.mailbox_at[usize::from(mailbox)], self.now)
            {
                self.change(at::MAILBOXES, 1 << mailbox, 0);
                let command = (
                    self.word(mac::HMEBOX0_EX.addr() + 4 * mailbox),
                    self.word(mac::HMEBOX0.addr() + 4 * mailbox),
                );
                if self.mcu.commands.len() < COMMANDS_KEPT {
                    self.mcu.commands.push(command);
                }
            }
        }
    }
}
