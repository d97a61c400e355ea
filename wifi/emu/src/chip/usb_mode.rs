//! The USB mode: how the chip drops itself off the bus, and as what it comes back.
//!
//! A chip that can do super speed begins at USB 2. A driver chooses USB 3 in the part that is always on and powers the
//! chip's USB down by 0x05 bit 7; it comes back through its pins for USB 3, or, where nobody answers on these, through
//! those for USB 2 again. The choice outlives that, so that a driver sees that it was made before (`rtw88 usb.c`,
//! `rtw_usb_switch_mode_old`).

use core::time::Duration;

use airlift_hcd::{Departure, Speed};
use airlift_regs::sys;

use super::{Chip, at};
use crate::Rule;

/// How long the chip stays away: its own start, and what a hub takes to see a device.
const AWAY: Duration = Duration::from_millis(350);

/// What is written to 0x3d.
const WAY: u16 = 0x003d;
/// Bytes with the choice: of the way, the clock, the switch itself, and the host interface.
const CHOICE: [u16; 4] = [WAY, sys::ACLK_MON.addr(), sys::SYS_SDIO_CTRL.addr(), sys::HCI_OPT_CTRL.addr()];
/// Its USB powers down.
const POWER_DOWN: u8 = 0x80;

#[derive(Debug, Default)]
pub(super) struct UsbMode {
    /// It leaves at the next chance.
    leaving: bool,
    /// It has left, and nobody has plugged it in since.
    returning: bool,
    /// Register accesses since it was plugged in.
    accesses: u64,
    /// The accesses after which it leaves by itself.
    pub(super) leaves_after: Option<u64>,
    pub(super) never_returns: bool,
    pub(super) forgets: bool,
    pub(super) departures: u64,
}

impl Chip {
    /// Whether a driver has chosen USB 3.
    fn chose_usb3(&self) -> bool {
        self.byte(sys::HCI_OPT_CTRL.addr()) & 0x0c == 0x08
    }

    /// The rule that a power-down of the USB breaks: nobody but a chip that was told how comes back from it.
    pub(super) fn power_down_rule(&self, old: u8, new: u8) -> Option<Rule> {
        if new & POWER_DOWN == 0 || old & POWER_DOWN != 0 {
            return None;
        }
        let told = self.chose_usb3()
            && self.byte(sys::SYS_SDIO_CTRL.addr()) & 0x02 != 0
            && self.byte(sys::ACLK_MON.addr()) & 0x01 != 0
            && self.byte(WAY) & 0x03 == 0x03;
        let broken = [
            (self.power.mac_is_on(), Rule::UsbDownWithMacOn),
            (!self.facts.usb.super_speed || !told, Rule::UsbDownUnprepared),
        ];
        broken.into_iter().find_map(|(broken, rule)| broken.then_some(rule))
    }

    /// APS_FSMCO was written.
    pub(super) fn usb_power_written(&mut self) {
        if self.byte(at::POWER) & POWER_DOWN != 0 && self.chose_usb3() && self.facts.usb.super_speed {
            self.speed = if self.usb3_port { Speed::Super } else { Speed::High };
            self.usb_mode.leaving = true;
        }
    }

    /// A register access of the host begins.
    pub(super) fn usb_accessed(&mut self) {
        self.usb_mode.accesses += 1;
        if self.usb_mode.leaves_after.is_some_and(|after| self.usb_mode.accesses > after) {
            self.usb_mode.leaving = true;
        }
    }

    /// Whether the chip drops itself off the bus now. It does so with all that it is.
    pub(crate) fn departs(&mut self) -> Option<Departure> {
        if !core::mem::take(&mut self.usb_mode.leaving) {
            return None;
        }
        self.usb_mode.returning = true;
        self.usb_mode.departures += 1;
        self.cold_reset(true);
        self.reception_changed();
        Some(Departure { back_after: (!self.usb_mode.never_returns).then_some(AWAY) })
    }

    /// The chip is on a bus: with its supply just switched on, or back after it has left.
    pub(crate) fn plugged(&mut self) {
        let keeps = core::mem::take(&mut self.usb_mode.returning) && !self.usb_mode.forgets;
        self.usb_mode.leaving = false;
        self.usb_mode.accesses = 0;
        self.cold_reset(keeps);
    }

    /// The choice, to outlive a reset.
    pub(super) fn usb_choice(&self) -> [(u16, u8); 4] {
        CHOICE.map(|address| (address, self.byte(address)))
    }
}
