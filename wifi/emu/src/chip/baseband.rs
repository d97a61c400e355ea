//! Baseband and radios: the serial window to the RF registers, page C and C1, calibration, counters.
//!
//! An RF register is written through the path's LSSI window (bits 27:20 address, 19:0 value; `rtw88 phy.c`,
//! `rtw_phy_write_rf_reg_sipi`) and read back through its SI or PI window, after the address went into HSSI_READ
//! (`rtw88xxa.c`, `rtw88xxa_phy_read_rf`); the RTL8814A's can be read as words of the address space
//! (`phy.c`, `rtw_phy_read_rf`).

use core::time::Duration;
use std::collections::BTreeMap;

use airlift_regs::bb;

use super::power::take_due;
use super::{Chip, Latency, at};
use crate::model::{Facts, ReadBack};

/// RF register: channel, band, bandwidth; bit 15 starts the LC calibration and falls when it is over.
const CHANNEL: u8 = 0x18;
/// RF register: bits 17:16 written as 3 measure, bits 15:10 are the reading.
const THERMAL: u8 = 0x42;

/// One path's radio.
#[derive(Debug)]
pub(super) struct Radio {
    pub(super) regs: [u32; 256],
    /// The mode tables: what was written through 0x30 (address), 0x31 and 0x32 (data).
    pub(super) modes: BTreeMap<u32, (u32, u32)>,
    lck_at: Option<Duration>,
}

impl Radio {
    fn new() -> Self {
        let mut regs = [0; 256];
        regs[0x00] = 0x1_0000;
        Self { regs, modes: BTreeMap::new(), lck_at: None }
    }
}

/// A calibration result: one of the four numbers of a path, 11 bits, 0x200 being no correction.
#[derive(Clone, Copy, Default, Debug)]
struct Iqk {
    done_at: Option<Duration>,
    ready: bool,
    rounds: u32,
}

#[derive(Debug)]
pub(super) struct Baseband {
    pub(super) radios: Vec<Radio>,
    pub(super) page_c1: bool,
    hidden: Box<[u8; 0x200]>,
    iqk: Vec<Iqk>,
    armed: bool,
}

impl Baseband {
    pub(super) fn new(facts: &Facts) -> Self {
        Self {
            radios: facts.paths.iter().map(|_| Radio::new()).collect(),
            page_c1: false,
            hidden: Box::new([0; 0x200]),
            iqk: vec![Iqk::default(); facts.paths.len()],
            armed: false,
        }
    }
}

impl Chip {
    /// Whether a path's radio is powered and out of reset.
    pub(super) fn radio_is_on(&self, path: usize) -> bool {
        self.byte(self.facts.paths[path].power) & 7 == 7 && self.baseband_is_on()
    }

    /// Whether the baseband is out of reset with the MAC powered.
    pub(super) fn baseband_is_on(&self) -> bool {
        self.power.mac_is_on() && self.byte(self.facts.baseband.reset) & 3 == 3
    }

    /// Whether the baseband's registers answer.
    pub(super) fn baseband_answers(&self) -> bool {
        let needed = self.facts.baseband.answers;
        self.power.mac_is_on() && self.byte(self.facts.baseband.reset) & needed == needed
    }

    pub(super) fn radio_power_written(&mut self) {
        for (path, facts) in self.facts.paths.iter().enumerate() {
            if self.byte(facts.power) & 2 == 0 {
                self.baseband.radios[path] = Radio::new();
                self.reset_radio(path);
            }
        }
    }

    pub(super) fn rf_written(&mut self, path: usize) {
        if !self.radio_is_on(path) {
            return;
        }
        let window = self.word(self.facts.paths[path].window);
        let (address, value) = ((window >> 20) as u8, window & 0xf_ffff);
        let lck_at = self.now + self.latency(Latency::Lck);
        let radio = &mut self.baseband.radios[path];
        radio.regs[usize::from(address)] = value;
        match address {
            CHANNEL if value & 0x8000 != 0 => radio.lck_at = Some(lck_at),
            THERMAL if value & 0x3_0000 == 0x3_0000 => {
                radio.regs[usize::from(THERMAL)] = value & !0xfc00 | u32::from(self.thermal & 0x3f) << 10;
            }
            0x32 => {
                let (at, first) = (radio.regs[0x30], radio.regs[0x31]);
                radio.modes.insert(at, (first, value));
            }
            _ => {}
        }
        if address == CHANNEL {
            self.reception_changed();
        }
    }

    /// Whether the path's 3-wire interface is in parallel mode, so that the PI window is the one that answers.
    pub(super) fn parallel_mode(&self, mode: u16) -> bool {
        self.page_c_byte(mode) & 0x04 != 0
    }

    /// A byte as page C has it, whichever page is shown.
    pub(super) fn page_c_byte(&self, address: u16) -> u8 {
        match (self.baseband.page_c1, address) {
            (true, 0x0c00..0x0d00) => self.baseband.hidden[usize::from(address - 0x0c00)],
            (true, 0x0e00..0x0f00) => self.baseband.hidden[usize::from(address - 0x0d00)],
            _ => self.byte(address),
        }
    }

    /// Whether a byte is read from a radio.
    pub(super) fn is_readback(&self, address: u16) -> bool {
        self.facts.paths.iter().any(|path| match path.read {
            ReadBack::Serial { .. } => (0x0d00..0x0d50).contains(&address),
            ReadBack::Direct(base) => (base..base + 0x400).contains(&address),
        })
    }

    /// A byte of what is read from the radios: a path's calibration report and its two windows, or its registers.
    pub(super) fn readback_byte(&self, address: u16) -> u8 {
        let word = address & !3;
        let latched = self.byte(bb::HSSI_READ.addr());
        let value = self.facts.paths.iter().enumerate().find_map(|(path, facts)| match facts.read {
            ReadBack::Serial { pi, .. } if word == pi - 4 => Some(self.iqk_report(path)),
            ReadBack::Serial { mode, si, pi } => {
                let window = if self.parallel_mode(mode) { pi } else { si };
                (word == window).then(|| self.rf_read(path, latched))
            }
            ReadBack::Direct(base) => {
                let register = word.checked_sub(base)? / 4;
                Some(self.rf_read(path, u8::try_from(register).ok()?))
            }
        });
        value.unwrap_or(0).to_le_bytes()[usize::from(address & 3)]
    }

    fn rf_read(&self, path: usize, address: u8) -> u32 {
        if self.radio_is_on(path) { self.baseband.radios[path].regs[usize::from(address)] } else { 0 }
    }

    /// Page C or C1 at 0xc00-0xcff and 0xe00-0xeff, by bit 31 of 0x82c.
    pub(super) fn page_c_selected(&mut self) {
        let selected = self.byte(at::PAGE_C1) & 0x80 != 0;
        if selected != self.baseband.page_c1 {
            self.baseband.page_c1 = selected;
            for (half, start) in [(0, 0x0c00), (0x100, 0x0e00)] {
                self.regs[start..start + 0x100]
                    .swap_with_slice(&mut self.baseband.hidden[half..half + 0x100]);
            }
        }
    }

    /// One-shot of the transmit calibration: 0x980 goes from 0xfa000000 to 0xf8000000 (`rtw88 rtw8812a.c`,
    /// `rtw8812a_iqk`).
    pub(super) fn calibration_triggered(&mut self) {
        match self.word(bb::IQK_COM64.addr()) {
            0xfa00_0000 => self.baseband.armed = true,
            0xf800_0000 if core::mem::take(&mut self.baseband.armed) => {
                for path in 0..self.facts.paths.len() {
                    self.start_calibration(path);
                }
            }
            _ => {}
        }
    }

    /// One-shot of the receive calibration: bit 21 of the path's 0xcb8/0xeb8 (page C1) falls.
    pub(super) fn calibration_control_written(&mut self) {
        for path in 0..self.facts.paths.len().min(2) {
            let control = self.word([bb::RFECTL_A, bb::RFECTL_B][path].addr());
            if control == 0x0030_0000 {
                self.start_calibration(path);
            }
        }
    }

    fn start_calibration(&mut self, path: usize) {
        let done_at = Some(self.now + self.latency(Latency::Iqk));
        let iqk = &mut self.baseband.iqk[path];
        *iqk = Iqk { done_at, ready: false, rounds: iqk.rounds + 1 };
    }

    /// What 0xd00/0xd40 reports: bit 10 ready, bits 12 and 11 failed (never here), bits 26:16 the number that
    /// bits 27:25 of the path's control choose.
    fn iqk_report(&self, path: usize) -> u32 {
        let iqk = &self.baseband.iqk[path];
        if !iqk.ready {
            return 0;
        }
        let register = [bb::RFECTL_A, bb::RFECTL_B][path].addr();
        let control = match self.baseband.page_c1 {
            true => self.word(register),
            false => {
                let at = path * 0x100 + usize::from(register & 0xff);
                let hidden = &self.baseband.hidden;
                u32::from_le_bytes([hidden[at], hidden[at + 1], hidden[at + 2], hidden[at + 3]])
            }
        };
        let which = control >> 25 & 7;
        // Each adapter has its own imbalance; two rounds differ by a step at most.
        let own = (self.seed.rotate_left(which * 8 + path as u32 * 4) & 7) as u32;
        let jitter = iqk.rounds & 1;
        let value = match which {
            1 | 3 => 0x1fc + own + jitter,
            2 | 4 => own + jitter,
            _ => 0,
        };
        1 << 10 | (value & 0x7ff) << 16
    }

    pub(super) fn advance_baseband(&mut self) {
        for path in 0..self.facts.paths.len() {
            if take_due(&mut self.baseband.radios[path].lck_at, self.now) {
                self.baseband.radios[path].regs[usize::from(CHANNEL)] &= !0x8000;
            }
            if take_due(&mut self.baseband.iqk[path].done_at, self.now) {
                self.baseband.iqk[path].ready = true;
            }
        }
    }

    /// CNTRST bit 0: the counters of frames seen begin again.
    pub(super) fn counters_reset(&mut self) {
        self.regs[0x0f00..0x1000].fill(0);
        self.set_byte(bb::FA_CCK.addr(), 0);
        self.set_byte(bb::FA_CCK.addr() + 1, 0);
    }
}
