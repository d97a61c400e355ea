//! The chip behind the USB endpoints: a set of state machines over one register file, written once for the family,
//! that read the [`Facts`] of the chip at hand.
//!
//! Blocks, each in its own file: [`bus`](self) reads and writes (who may, and what it sets off), power, memories
//! behind a port (EFUSE, page list, keys, gain tables), MCU, baseband and radios, MAC, transmit and receive.
//! Nothing here has a clock: `now` is handed in. Every control transfer moves the chip's own time on by at
//! least [`TRANSFER`], since on a real bus none is shorter; so a driver that polls without waiting makes
//! progress even where the host's clock stands still.

use core::time::Duration;
use std::borrow::Cow;
use std::collections::BTreeMap;

use airlift_hcd::Speed;

mod at;
mod baseband;
mod bus;
mod check;
mod engine;
mod front_end;
mod mac;
mod mcu;
mod memories;
mod ocp;
mod power;
mod receive;
mod reset;
mod transmit;
mod usb_mode;

pub use bus::Access;
pub(crate) use check::Host;
pub use receive::ReceiveStats;
pub use reset::ResetValues;
pub(crate) use transmit::Outgoing;
pub use transmit::TransmitStats;

use crate::model::{Facts, Mcu, PageList};
use crate::personality::{Personality, Poll};
use crate::{Efuse, Model, Rule, Violation};

/// What a control transfer takes of the chip's time at least.
const TRANSFER: Duration = Duration::from_micros(10);
/// Violations kept; further ones are only counted.
const VIOLATIONS_KEPT: usize = 1024;

/// How long things take inside, in microseconds. Short enough that a healthy chip is ready at the first look
/// over any real bus, so that runs are alike; a slow personality stretches them.
#[derive(Clone, Copy)]
enum Latency {
    PowerReady = 40,
    MacOn = 30,
    MacOff = 31,
    Efuse = 8,
    PageList = 2,
    Checksum = 9,
    Boot = 5,
    Mailbox = 20,
    Iqk = 3_000,
    Lck = 80_000,
}

/// How the chip is built; see [`crate::Builder`].
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) model: Model,
    pub(crate) efuse: Efuse,
    pub(crate) strict: bool,
    pub(crate) cut: u8,
    pub(crate) seed: u64,
    pub(crate) speed: Speed,
    pub(crate) usb3_port: bool,
    pub(crate) reset_values: ResetValues,
    pub(crate) bluetooth: bool,
    pub(crate) personalities: Vec<Personality>,
}

/// The chip.
#[derive(Debug)]
pub(crate) struct Chip {
    pub(crate) model: Model,
    facts: &'static Facts,
    regs: Box<[u8; 0x1_0000]>,
    /// The chip's own time, for what takes time inside.
    now: Duration,
    /// The host's time, for what it shares with others: the air, the timer.
    host_now: Duration,
    power: power::Power,
    efuse: memories::EfusePort,
    page_list: memories::PageList,
    cam: Box<memories::Cam>,
    agc: BTreeMap<u32, u8>,
    mcu: mcu::Mcu,
    baseband: baseband::Baseband,
    engine: engine::Engine,
    mac: mac::Mac,
    front_end: front_end::FrontEnd,
    receive: receive::Receive,
    transmit: transmit::Transmit,
    thermal: u8,
    reset_values: ResetValues,
    bluetooth: bool,
    cut: u8,
    seed: u64,
    slow: u32,
    never_boots: bool,
    checksum_fails: bool,
    silent_after: Option<u64>,
    /// Bits of bytes that reads show stuck: address, mask, value.
    stuck: Vec<(u16, u8, u8)>,
    /// Bits of bytes that every write of the host is bent to: address, mask, value.
    bent: Vec<(u16, u8, u8)>,
    /// Things inside that begin and never end.
    stuck_polls: Vec<Poll>,
    pub(crate) speed: Speed,
    usb3_port: bool,
    usb_mode: usb_mode::UsbMode,
    strict: bool,
    violations: Vec<Violation>,
    pub(crate) violations_seen: u64,
    transfers: u64,
    log: Option<Vec<Access>>,
}

impl Chip {
    pub(crate) fn new(options: Options) -> Self {
        let thermal = options.efuse.logical()[usize::from(crate::efuse::offset::THERMAL_METER)];
        let facts = options.model.facts();
        let mut chip = Self {
            model: options.model,
            facts,
            regs: Box::new([0; 0x1_0000]),
            now: Duration::ZERO,
            host_now: Duration::ZERO,
            power: power::Power::new(),
            efuse: memories::EfusePort::new(options.efuse),
            page_list: memories::PageList::new(),
            cam: Box::new([[0; 8]; 64]),
            agc: BTreeMap::new(),
            mcu: mcu::Mcu::new(),
            baseband: baseband::Baseband::new(facts),
            engine: engine::Engine::default(),
            mac: mac::Mac::new(),
            front_end: front_end::FrontEnd::default(),
            receive: receive::Receive::default(),
            transmit: transmit::Transmit::default(),
            thermal: if thermal == 0xff { 0x1a } else { thermal.wrapping_add(options.seed as u8 & 1) & 0x3f },
            reset_values: options.reset_values,
            bluetooth: options.bluetooth,
            cut: options.cut,
            seed: options.seed,
            slow: 1,
            never_boots: false,
            checksum_fails: false,
            silent_after: None,
            stuck: Vec::new(),
            bent: Vec::new(),
            stuck_polls: Vec::new(),
            speed: options.speed,
            usb3_port: options.usb3_port,
            usb_mode: usb_mode::UsbMode::default(),
            strict: options.strict,
            violations: Vec::new(),
            violations_seen: 0,
            transfers: 0,
            log: None,
        };
        for personality in options.personalities {
            chip.take_on(personality);
        }
        chip.reset_plain_registers(0);
        chip.power_registers();
        chip
    }

    fn take_on(&mut self, personality: Personality) {
        match personality {
            Personality::ChecksumFails => self.checksum_fails = true,
            Personality::McuNeverBoots => self.never_boots = true,
            Personality::StuckPoll(poll) => self.stuck_polls.push(poll),
            Personality::Slow(factor) => self.slow = factor.max(1),
            Personality::Silent { after } => self.silent_after = Some(after),
            Personality::Leaves { after } => self.usb_mode.leaves_after = Some(after),
            Personality::NeverReturns => self.usb_mode.never_returns = true,
            Personality::ForgetsUsbMode => self.usb_mode.forgets = true,
        }
    }

    /// The supply comes back, or the bus resets a chip that did not forbid it: all state is gone, but for the USB mode
    /// if it is kept.
    fn cold_reset(&mut self, keeps_usb_mode: bool) {
        let choice = self.usb_choice();
        self.regs.fill(0);
        self.power = power::Power::new();
        self.efuse = memories::EfusePort::new(self.efuse.fuses.clone());
        self.mac_reset();
        self.mcu.commands.clear();
        self.reset_plain_registers(0);
        if keeps_usb_mode {
            choice.into_iter().for_each(|(address, value)| self.set_byte(address, value));
        }
        self.power_registers();
    }

    /// A reset of the bus. RSV_CTRL bits 5 and 6 keep it away from the MAC (`rtw88 rtw88xxa.c`,
    /// `rtw88xxa_power_on`).
    pub(crate) fn bus_reset(&mut self) {
        if self.byte(airlift_regs::sys::RSV_CTRL.addr()) & 0x60 != 0x60 {
            self.cold_reset(true);
        }
    }

    /// Whether the chip has stopped answering.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent_after.is_some_and(|after| self.transfers >= after)
    }

    /// Begins a control transfer at `now`.
    pub(crate) fn begin_transfer(&mut self, now: Duration) {
        self.host_now = self.host_now.max(now);
        self.now = now.max(self.now + TRANSFER);
        self.transfers += 1;
        self.usb_accessed();
        self.advance();
    }

    /// Brings the chip to `now`.
    pub(crate) fn advance_to(&mut self, now: Duration) {
        self.host_now = self.host_now.max(now);
        self.now = self.now.max(now);
        self.advance();
    }

    /// When the chip wants to be brought forward next. `waiting`: the host waits for received packets.
    pub(crate) fn deadline(&self, waiting: bool) -> Option<Duration> {
        self.receive_deadline(waiting).into_iter().chain(self.transmit_deadline()).min()
    }

    /// Whether this poll is not to end well.
    fn is_stuck(&self, poll: Poll) -> bool {
        self.stuck_polls.contains(&poll)
    }

    fn advance(&mut self) {
        self.advance_power();
        self.advance_memories();
        self.advance_mcu();
        self.advance_baseband();
        self.advance_engine();
        self.pump_transmitter();
        self.pump_receiver();
    }

    /// Whether the access may go on: it breaks no rule, or nobody asked to be strict.
    pub(crate) fn admit(&mut self, broken: Option<Rule>, address: u16, written: Option<u32>) -> bool {
        let Some(rule) = broken else { return true };
        self.violations_seen += 1;
        if self.violations.len() < VIOLATIONS_KEPT {
            let register = airlift_regs::name_of(address);
            let violation =
                Violation { rule, address, register, written, transfer: self.transfers, at: self.now };
            tracing::warn!(%violation, "silicon would not bear this");
            self.violations.push(violation);
        }
        !self.strict
    }

    /// The MAC loses its power or gets it: everything but the always-on part begins anew.
    fn mac_reset(&mut self) {
        let living = &self.facts.registers.always_on;
        let kept = usize::from(living.start)..usize::from(living.end);
        if kept.is_empty() {
            self.regs[0x0100..0xf000].fill(0);
        } else {
            self.regs[0x0100..kept.start].fill(0);
            self.regs[kept.end..0xf000].fill(0);
        }
        for address in [at::FIRMWARE_PAGE, at::FIRMWARE] {
            self.set_byte(address, 0);
        }
        if let Mcu::I3081 { .. } = self.facts.mcu {
            self.change(at::FIRMWARE_UPPER, !at::MCU_CLOCK, 0);
        }
        self.page_list = memories::PageList::new();
        *self.cam = [[0; 8]; 64];
        self.agc.clear();
        self.mcu.reset();
        self.baseband = baseband::Baseband::new(self.facts);
        self.engine = engine::Engine::default();
        self.mac = mac::Mac::new();
        self.mac.tsf_origin = self.host_now;
        self.receive.reset();
        self.transmit.reset();
        self.reset_plain_registers(0x0100);
        for path in 0..self.facts.paths.len() {
            self.reset_radio(path);
        }
        self.mac_registers();
    }
}

/// What tests and traces may look at and do; see [`crate::Probe`].
impl Chip {
    pub(crate) fn rf(&self, path: usize, address: u8) -> u32 {
        self.baseband.radios[path].regs[usize::from(address)]
    }
    pub(crate) fn rf_modes(&self, path: usize) -> BTreeMap<u32, (u32, u32)> {
        self.baseband.radios[path].modes.clone()
    }
    pub(crate) fn page_list(&self) -> Vec<Option<u8>> {
        match self.facts.buffer.page_list {
            PageList::Written => self.page_list.next.to_vec(),
            PageList::Automatic => Vec::new(),
        }
    }
    pub(crate) fn gain_tables(&self) -> BTreeMap<u32, u8> {
        self.agc.clone()
    }
    pub(crate) fn keys(&self) -> Vec<[u32; 8]> {
        self.cam.to_vec()
    }
    pub(crate) fn tx_powers(&self) -> BTreeMap<(u8, u8), u8> {
        self.engine.powers.clone()
    }
    pub(crate) fn engine_program(&self) -> BTreeMap<u16, u16> {
        self.engine.program.clone()
    }
    pub(crate) fn firmware(&self) -> Vec<u8> {
        match self.facts.mcu {
            Mcu::I8051 { .. } => self.mcu.ram[..self.mcu.written].to_vec(),
            Mcu::I3081 { .. } => self.mcu.ocp.image(),
        }
    }
    pub(crate) fn command_packets(&self) -> Vec<Vec<u8>> {
        self.mcu.packets.clone()
    }
    pub(crate) fn firmware_runs(&self) -> bool {
        self.mcu.running
    }
    pub(crate) fn commands(&self) -> Vec<(u32, u32)> {
        self.mcu.commands.clone()
    }
    pub(crate) fn fuses(&self) -> &Efuse {
        &self.efuse.fuses
    }
    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }
    pub(crate) fn receive_stats(&self) -> ReceiveStats {
        self.receive.stats
    }
    pub(crate) fn transmit_stats(&self) -> TransmitStats {
        self.transmit.stats
    }
    pub(crate) fn mute_reports(&mut self, mute: bool) {
        self.transmit.mute = mute;
    }
    pub(crate) fn transfers(&self) -> u64 {
        self.transfers
    }
    pub(crate) fn departures(&self) -> u64 {
        self.usb_mode.departures
    }
    pub(crate) fn poke(&mut self, address: u16, value: u8) {
        self.set_byte(address, value);
        self.reception_changed();
    }
    pub(crate) fn poke_rf(&mut self, path: usize, address: u8, value: u32) {
        self.baseband.radios[path].regs[usize::from(address)] = value & 0xf_ffff;
        self.reception_changed();
    }
    pub(crate) fn stick(&mut self, stuck: (u16, u8, u8)) {
        self.stuck.push(stuck);
    }
    pub(crate) fn bend(&mut self, bent: (u16, u8, u8)) {
        self.bent.push(bent);
    }
    /// A write of the host as it arrives.
    pub(crate) fn as_bent<'a>(&self, address: u16, data: &'a [u8]) -> Cow<'a, [u8]> {
        let mut data = Cow::Borrowed(data);
        for (at, mask, value) in &self.bent {
            let offset = usize::from(at.wrapping_sub(address));
            if offset < data.len() {
                let byte = &mut data.to_mut()[offset];
                *byte = *byte & !mask | value & mask;
            }
        }
        data
    }
    pub(crate) fn stick_poll(&mut self, poll: Poll) {
        self.stuck_polls.push(poll);
    }
    pub(crate) fn unstick(&mut self) {
        self.stuck_polls.clear();
        self.stuck.clear();
    }
    pub(crate) fn start_log(&mut self) {
        self.log = Some(Vec::new());
    }
    pub(crate) fn take_log(&mut self) -> Vec<Access> {
        self.log.as_mut().map(core::mem::take).unwrap_or_default()
    }
}
