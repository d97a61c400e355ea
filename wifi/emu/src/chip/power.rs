//! Power: card-disable, card-emulation and active, stepped through APS_FSMCO (0x04-0x07).
//!
//! What must hold at which step is the chip's own: [`Power`](crate::model::Power).
//! A chip that was just plugged in is as a card-disable leaves it.

use core::time::Duration;

use airlift_regs::sys;

use super::{Chip, Latency, at};
use crate::Poll;

/// MAC on requested; clears by itself.
pub(super) const MAC_ON: u8 = 0x01;
/// MAC off requested; clears by itself.
pub(super) const MAC_OFF: u8 = 0x02;
/// Software low power.
pub(super) const LOW_POWER: u8 = 0x04;
/// The card is suspended.
pub(super) const SUSPEND: u8 = 0x08;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Suspended: only the always-on part lives.
    Disabled,
    /// Awake, with the MAC off.
    Emulation,
    /// The MAC is powered.
    Active,
}

#[derive(Debug)]
pub(super) struct Power {
    pub(super) state: State,
    /// Whether the chip came out of card-disable since the MAC was last on.
    pub(super) from_disable: bool,
    ready_at: Option<Duration>,
    on_at: Option<Duration>,
    off_at: Option<Duration>,
}

impl Power {
    pub(super) fn new() -> Self {
        Self { state: State::Disabled, from_disable: true, ready_at: None, on_at: None, off_at: None }
    }

    pub(super) fn mac_is_on(&self) -> bool {
        self.state == State::Active
    }
}

impl Chip {
    /// Registers of the always-on part as a card-disable leaves them, and what the strapping says.
    pub(super) fn power_registers(&mut self) {
        self.set_byte(at::FUNCTIONS, 0x00);
        self.set_byte(at::POWER, SUSPEND);
        for (register, value) in self.facts.power.asleep {
            self.set_byte(*register, *value);
        }
        if let Some((address, bit)) = self.facts.registers.bluetooth.filter(|_| self.bluetooth) {
            self.change(address, 0, bit);
        }
        let version = self.facts.registers.version;
        self.set_word(sys::SYS_CFG1.addr(), version | u32::from(self.cut & 0x0f) << 12);
        self.set_byte(at::STATUS, 0x01);
        if self.speed == airlift_hcd::Speed::Super {
            self.set_byte(sys::SYS_CFG2.addr() + 3, 0x20);
        }
    }

    pub(super) fn power_control_written(&mut self) {
        let control = self.byte(at::POWER);
        match self.power.state {
            State::Disabled if control & SUSPEND == 0 => {
                self.power.state = State::Emulation;
                self.power.from_disable = true;
                self.power.ready_at = Some(self.now + self.latency(Latency::PowerReady));
            }
            State::Emulation if control & SUSPEND != 0 => {
                self.power.state = State::Disabled;
                self.power.ready_at = None;
                self.change(at::POWER_READY, 0x02, 0);
            }
            _ => {}
        }
        if control & MAC_ON != 0 && self.power.on_at.is_none() && self.power.state != State::Disabled {
            self.power.on_at = Some(self.now + self.latency(Latency::MacOn));
        }
        if control & MAC_OFF != 0 && self.power.off_at.is_none() {
            self.power.off_at = Some(self.now + self.latency(Latency::MacOff));
        }
        self.usb_power_written();
    }

    pub(super) fn advance_power(&mut self) {
        if !self.is_stuck(Poll::PowerReady) && take_due(&mut self.power.ready_at, self.now) {
            self.change(at::POWER_READY, 0, 0x02);
        }
        if !self.is_stuck(Poll::MacOn) && take_due(&mut self.power.on_at, self.now) {
            self.change(at::POWER, MAC_ON, 0);
            if self.power.state == State::Emulation {
                self.power.state = State::Active;
                self.power.from_disable = false;
                self.change(at::STATUS, 0x01, 0);
                self.mac_reset();
            }
        }
        if !self.is_stuck(Poll::MacOff) && take_due(&mut self.power.off_at, self.now) {
            self.change(at::POWER, MAC_OFF, 0);
            if self.power.state == State::Active {
                self.power.state = State::Emulation;
                self.change(at::STATUS, 0, 0x01);
                self.mac_reset();
            }
        }
    }
}

/// Whether `at` has passed; then it is cleared.
pub(super) fn take_due(at: &mut Option<Duration>, now: Duration) -> bool {
    let due = at.is_some_and(|at| at <= now);
    if due {
        *at = None;
    }
    due
}
