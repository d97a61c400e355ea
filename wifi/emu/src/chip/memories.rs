//! EFUSE port (0x30), page list (0x1e0), key store (0x670) and gain tables (0x81c): memories behind one register.

use core::time::Duration;

use airlift_regs::{bb, mac, sys};

use super::power::take_due;
use super::{Chip, Latency, at};
use crate::model::PageList as Maker;
use crate::{Efuse, Poll};

/// The EFUSE behind EFUSE_CTRL: bits 17:8 address, bits 7:0 data, bit 31 done.
///
/// Bit 31 written as 0 starts a read (`rtw88 efuse.c`, `rtw_dump_physical_efuse_map`). Written as 1 it would
/// program, but only while access is granted: mainline itself writes it back as 1 with access shut
/// (`rtw_read8_physical_efuse` after the dump), and fuses stay whole.
#[derive(Debug)]
pub(super) struct EfusePort {
    pub(super) fuses: Efuse,
    pub(super) granted: bool,
    pub(super) done_at: Option<Duration>,
}

impl EfusePort {
    pub(super) fn new(fuses: Efuse) -> Self {
        Self { fuses, granted: false, done_at: None }
    }
}

/// The page list: for each of 256 pages of the transmit buffer the page that follows.
#[derive(Debug)]
pub(super) struct PageList {
    pub(super) next: [Option<u8>; 256],
    pub(super) done_at: Option<Duration>,
    /// The chip has made a list by itself.
    made: bool,
}

impl PageList {
    pub(super) fn new() -> Self {
        Self { next: [None; 256], done_at: None, made: false }
    }

    /// Whether every page was given a successor.
    pub(super) fn is_complete(&self) -> bool {
        self.made || self.next.iter().all(Option::is_some)
    }
}

/// Eight words for each of 64 keys.
pub(super) type Cam = [[u32; 8]; 64];

impl Chip {
    pub(super) fn efuse_control_written(&mut self) {
        let control = self.word(sys::EFUSE_CTRL.addr());
        if control & 0x8000_0000 == 0 {
            self.efuse.done_at = Some(self.now + self.latency(Latency::Efuse));
        }
    }

    pub(super) fn page_list_written(&mut self) {
        // Bits 31:30: 01 writes, and both fall when it is done.
        if self.byte(at::LIST_COMMAND) & 0xc0 == 0x40 {
            let page = self.byte(at::LIST_PAGE);
            self.page_list.next[usize::from(page)] = Some(self.byte(at::LIST_NEXT));
            self.page_list.done_at = Some(self.now + self.latency(Latency::PageList));
        }
    }

    /// AUTO_LLT_V1 was written: bit 0 has the chip make the list by itself, and falls when it is done.
    pub(super) fn page_list_ordered(&mut self) {
        if self.byte(mac::AUTO_LLT_V1.addr()) & 1 != 0 && self.page_list.done_at.is_none() {
            self.page_list.done_at = Some(self.now + self.latency(Latency::PageList));
        }
    }

    pub(super) fn advance_memories(&mut self) {
        if !self.is_stuck(Poll::Efuse) && take_due(&mut self.efuse.done_at, self.now) {
            let address = self.word(sys::EFUSE_CTRL.addr()) >> 8 & 0x3ff;
            let data = self.efuse.fuses.physical()[address as usize];
            self.set_byte(at::EFUSE_DATA, data);
            self.change(at::EFUSE_FLAG, 0, 0x80);
        }
        if !self.is_stuck(Poll::PageList) && take_due(&mut self.page_list.done_at, self.now) {
            match self.facts.buffer.page_list {
                Maker::Written => self.change(at::LIST_COMMAND, 0xc0, 0),
                Maker::Automatic => {
                    self.page_list.made = true;
                    self.change(mac::AUTO_LLT_V1.addr(), 0x01, 0);
                }
            }
        }
    }

    /// The command register of the key store: bit 31 acts and falls, bit 30 clears all, bit 16 writes
    /// (`rtw88 sec.c`, `sec.h`).
    pub(super) fn cam_command_written(&mut self) {
        let command = self.word(mac::SEC_CMD.addr());
        if command & 0x8000_0000 == 0 {
            return;
        }
        let (key, part) = ((command >> 3 & 0x3f) as usize, (command & 7) as usize);
        if command & 0x4000_0000 != 0 {
            *self.cam = [[0; 8]; 64];
        } else if command & 0x0001_0000 != 0 {
            self.cam[key][part] = self.word(mac::SEC_WRITE.addr());
        } else {
            let value = self.cam[key][part];
            self.set_word(mac::SEC_READ.addr(), value);
        }
        self.set_word(mac::SEC_CMD.addr(), command & 0x3fff_ffff);
    }

    /// A word of the gain tables: the low 24 bits say which table and which entry, the high byte is the gain.
    pub(super) fn agc_written(&mut self) {
        let value = self.word(bb::AGC_PORT.addr());
        self.agc.insert(value & 0x00ff_ffff, (value >> 24) as u8);
    }
}
