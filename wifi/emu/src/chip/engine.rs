//! The RTL8814A's ports: transmit powers behind 0x1998, and the calibration engine behind 0x1b00.
//!
//! A word to the engine's program port (0x1b80) has the data in its upper half and the address in bits 15:4; bit 1
//! latches it. Each path has registers of its own at 0x1b04-0x1bff, of which bits 2:1 of 0x1b00 show one set. Bit 0
//! of 0x1b00 starts a command: bits 7:4 say for which paths, bits 11:8 which; it falls when the engine is done
//! (`rtw88 rtw8814a.c`, `rtw8814a_iqk` and what it calls; the program is part of `rtw8814a_bb`).

use core::time::Duration;
use std::collections::BTreeMap;

use airlift_regs::bb;

use super::power::take_due;
use super::{Chip, Latency};

/// The engine's command register.
pub(super) const COMMAND: u16 = 0x1b00;
/// Its program port, which is none of a path's own.
pub(super) const PROGRAM: u16 = 0x1b80;
/// Bit 26: the last calibration failed.
const RESULT: usize = 0x08;
/// The correction of the transmitter.
const TX_MATRIX: usize = 0x38;
/// The correction of the receiver.
const RX_MATRIX: usize = 0x3c;
/// The leak of the local oscillator: bits 21:17 and 5:1.
const LEAK: usize = 0xfc;

#[derive(Debug, Default)]
pub(super) struct Engine {
    /// Transmit powers by path and rate.
    pub(super) powers: BTreeMap<(u8, u8), u8>,
    /// The first word only turns the table of powers on.
    powers_on: bool,
    pub(super) program: BTreeMap<u16, u16>,
    /// Registers of the paths that are not shown.
    banks: BTreeMap<usize, Box<[u8; 0x100]>>,
    shown: usize,
    done_at: Option<Duration>,
    rounds: u32,
}

/// Offsets of a path's own registers.
fn own() -> impl Iterator<Item = usize> {
    (0x04..0x100).filter(|offset| !(0x80..0x84).contains(offset))
}

impl Chip {
    /// A word to the port of transmit powers: power, path and rate.
    pub(super) fn tx_power_written(&mut self) {
        let word = self.word(bb::AGC_TBL.addr());
        if word & 0x0080_1000 != 0x0080_1000 || !core::mem::replace(&mut self.engine.powers_on, true) {
            return;
        }
        let (path, rate) = ((word >> 8 & 0x03) as u8, word as u8 & 0x7f);
        self.engine.powers.insert((path, rate), (word >> 24) as u8 & 0x3f);
    }

    pub(super) fn program_written(&mut self) {
        let word = self.word(PROGRAM);
        if word & 0x07 == 0x07 {
            self.engine.program.insert((word >> 4) as u16 & 0x0fff, (word >> 16) as u16);
        }
    }

    /// The engine's command register was written.
    pub(super) fn engine_written(&mut self) {
        let command = self.word(COMMAND);
        if command & 1 != 0 {
            if self.engine.done_at.is_none() {
                self.engine.done_at = Some(self.now + self.latency(Latency::Iqk));
            }
            return;
        }
        let wanted = (command >> 1 & 3) as usize;
        if wanted != self.engine.shown {
            let incoming = self.engine.banks.remove(&wanted).unwrap_or_else(|| Box::new([0; 0x100]));
            let mut outgoing = Box::new([0; 0x100]);
            for offset in own() {
                let register = &mut self.regs[usize::from(COMMAND) + offset];
                outgoing[offset] = core::mem::replace(register, incoming[offset]);
            }
            self.engine.banks.insert(self.engine.shown, outgoing);
            self.engine.shown = wanted;
        }
    }

    pub(super) fn advance_engine(&mut self) {
        if !take_due(&mut self.engine.done_at, self.now) {
            return;
        }
        let command = self.word(COMMAND);
        self.set_word(COMMAND, command & !1);
        let (paths, kind) = (command >> 4 & 0x0f, command >> 8 & 0x0f);
        self.engine.rounds += 1;
        for path in (0..self.facts.paths.len()).filter(|path| paths & 1 << path != 0) {
            // Each adapter has its own imbalance; two rounds differ by a step at most.
            let own = (self.seed.rotate_left(8 * path as u32) & 7) as u32 + (self.engine.rounds & 1);
            match kind {
                0 => self.engine_result(path, LEAK, (0x0c + (own & 3)) << 17 | (0x10 + (own & 3)) << 1),
                3..=5 => self.engine_result(path, TX_MATRIX, 0x2000_0000 | own << 16 | own),
                7..=9 => self.engine_result(path, RX_MATRIX, 0x2000_0000 | own << 12 | own),
                _ => {}
            }
            self.engine_result(path, RESULT, 0);
        }
    }

    fn engine_result(&mut self, path: usize, offset: usize, value: u32) {
        let bytes = value.to_le_bytes();
        if path == self.engine.shown {
            self.regs[usize::from(COMMAND) + offset..][..4].copy_from_slice(&bytes);
        } else {
            let bank = self.engine.banks.entry(path).or_insert_with(|| Box::new([0; 0x100]));
            bank[offset..offset + 4].copy_from_slice(&bytes);
        }
    }

    /// A path's own registers of the engine, as 64 words from 0x1b00 on; those that all paths share are zero.
    pub(crate) fn engine_registers(&self, path: usize) -> [u32; 64] {
        let shown = &self.regs[usize::from(COMMAND)..][..0x100];
        let bank = match self.engine.banks.get(&path) {
            _ if path == self.engine.shown => Some(shown),
            bank => bank.map(|bank| &bank[..]),
        };
        let mut words = [[0; 4]; 64];
        for offset in own() {
            words[offset / 4][offset % 4] = bank.map_or(0, |bank| bank[offset]);
        }
        words.map(u32::from_le_bytes)
    }
}
