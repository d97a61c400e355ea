//! The 3081's memories and how firmware gets there: reserved pages of the packet buffer, and the DMA that copies
//! them on (DDMA).
//!
//! The host sends a page by bulk OUT to the beacon queue; it lands in the packet buffer where FIFOPAGE_CTRL_2 says,
//! descriptor and all (`rtw88 fw.c`, `rtw_fw_write_data_rsvd_page`). Then DDMA copies it to the instruction or data
//! memory: source, destination, and in the control word the length (bits 17:0), whether the sum goes on (24),
//! whether there is one (29) and the start (31), which falls when it is over; bit 27 says that the sum is wrong
//! (`mac.c`, `iddma_download_firmware`). The sum is the XOR of 16-bit words: over each memory of the image that
//! `linux-firmware` ships, with the eight bytes behind it, it is zero.

use core::time::Duration;

use airlift_regs::{mac, more};

use super::power::take_due;
use super::{Chip, Latency};
use crate::Poll;

/// Where the packet buffer stands, and its bytes: 2,048 pages of 128.
const PACKETS: (u32, usize) = (0x1878_0000, 0x4_0000);
/// Instruction, extended and data memory: where each stands, and its bytes at most.
const MEMORIES: [(u32, usize); 3] =
    [(0x0000_0000, 0x2_0000), (0x0010_0000, 0x4_0000), (0x0020_0000, 0x1_0000)];

const LENGTH: u32 = 0x3_ffff;
const GOES_ON: u32 = 1 << 24;
const CLEAR_STATUS: u32 = 1 << 25;
const SUM_WRONG: u32 = 1 << 27;
const SUM: u32 = 1 << 29;
const OWN: u32 = 1 << 31;

#[derive(Debug, Default)]
pub(super) struct Ocp {
    /// The packet buffer, as far as it was written.
    packets: Vec<u8>,
    /// The memories, as far as each was written, in the order of [`MEMORIES`].
    memories: [Vec<u8>; 3],
    /// Whether what each holds came with a right sum.
    good: [bool; 3],
    sum: u16,
    pub(super) done_at: Option<Duration>,
    /// A personality damages the first byte of what is copied next.
    pub(super) lose_bit: bool,
}

impl Ocp {
    /// What was downloaded: data memory, then instructions, as in an image.
    pub(super) fn image(&self) -> Vec<u8> {
        [&self.memories[2][..], &self.memories[0], &self.memories[1]].concat()
    }

    /// Whether instructions and data came as they should.
    pub(super) fn is_good(&self) -> bool {
        self.good[0] && self.good[2]
    }

    /// Whether instructions or data were downloaded at all.
    pub(super) fn begin(&mut self) {
        self.good = [false; 3];
    }
}

impl Chip {
    /// A reserved page arrives, behind its descriptor.
    pub(super) fn page_arrived(&mut self, descriptor: &[u8], payload: &[u8]) {
        let head = u16::from_le_bytes([
            self.byte(mac::FIFOPAGE_CTRL_2.addr()),
            self.byte(mac::FIFOPAGE_CTRL_2.addr() + 1),
        ]);
        let start = usize::from(head & 0x0fff) * self.facts.buffer.page;
        let end = (start + descriptor.len() + payload.len()).min(PACKETS.1);
        let packets = &mut self.mcu.ocp.packets;
        if packets.len() < end {
            packets.resize(end, 0);
        }
        let bytes = descriptor.iter().chain(payload);
        packets.iter_mut().skip(start).zip(bytes).for_each(|(place, byte)| *place = *byte);
    }

    /// DDMA's control word was written.
    pub(super) fn ddma_written(&mut self) {
        let control = self.word(more::DDMA_CH0CTRL.addr());
        if control & CLEAR_STATUS != 0 {
            self.set_word(more::DDMA_CH0CTRL.addr(), control & !(CLEAR_STATUS | SUM_WRONG));
        }
        if control & OWN != 0 && self.mcu.ocp.done_at.is_none() {
            self.mcu.ocp.done_at = Some(self.now + self.latency(Latency::Checksum));
        }
    }

    pub(super) fn advance_ddma(&mut self) {
        if self.is_stuck(Poll::Checksum) || !take_due(&mut self.mcu.ocp.done_at, self.now) {
            return;
        }
        let control = self.word(more::DDMA_CH0CTRL.addr());
        let right = self.copy(
            self.word(more::DDMA_CH0SA.addr()),
            self.word(more::DDMA_CH0DA.addr()),
            (control & LENGTH) as usize,
            control & GOES_ON != 0,
        );
        let status = if control & SUM != 0 && !right { SUM_WRONG } else { 0 };
        self.set_word(more::DDMA_CH0CTRL.addr(), control & !(OWN | SUM_WRONG) | status);
    }

    /// Copies from the packet buffer to one of the memories; whether the sum so far is right.
    fn copy(&mut self, source: u32, destination: u32, length: usize, goes_on: bool) -> bool {
        let ocp = &mut self.mcu.ocp;
        let Some(from) = source.checked_sub(PACKETS.0).map(|from| from as usize) else { return false };
        let Some(data) = ocp.packets.get(from..from.saturating_add(length)) else { return false };
        let place = MEMORIES.iter().enumerate().find_map(|(number, (start, size))| {
            let at = destination.checked_sub(*start)? as usize;
            (at + length <= *size).then_some((number, at))
        });
        let Some((number, at)) = place else { return false };
        let mut data = data.to_vec();
        if let Some(first) = data.first_mut().filter(|_| core::mem::take(&mut ocp.lose_bit)) {
            *first ^= 0x10;
        }
        let memory = &mut ocp.memories[number];
        if !goes_on {
            ocp.sum = 0;
            memory.truncate(at);
        }
        memory.resize(memory.len().max(at + length), 0);
        memory[at..at + length].copy_from_slice(&data);
        ocp.sum ^= crate::checksum(&data);
        ocp.good[number] = ocp.sum == 0;
        ocp.good[number]
    }

    /// The host has set up the queue of command packets: it is empty.
    pub(super) fn command_queue_written(&mut self) {
        let head = self.word(mac::H2C_READ_ADDR.addr()) & 0x3_ffff;
        self.set_word(airlift_regs::sys::H2C_PKT_READADDR.addr(), head);
        self.set_word(airlift_regs::sys::H2C_PKT_WRITEADDR.addr(), head);
    }
}
