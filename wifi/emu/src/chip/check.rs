//! Strict mode: whether an access breaks a [`Rule`], before it has any effect.

use airlift_regs::{bb, mac, more, sys};

use super::power::{LOW_POWER, MAC_OFF, MAC_ON, SUSPEND, State};
use super::{Chip, at};
use crate::Rule;
use crate::model::{Mcu, PageList, Path, ReadBack, Step, TxPower};

/// An access of the host.
#[derive(Clone, Copy)]
pub(crate) enum Host<'a> {
    /// A read of so many bytes.
    Read(usize),
    /// A write of these bytes.
    Write(&'a [u8]),
}

impl Host<'_> {
    fn length(self) -> usize {
        match self {
            Self::Read(length) => length,
            Self::Write(data) => data.len(),
        }
    }
}

impl Chip {
    /// The rule that this access breaks, if any.
    pub(crate) fn broken_rule(&self, address: u16, host: Host<'_>) -> Option<Rule> {
        let length = host.length();
        let write = match host {
            Host::Read(_) => None,
            Host::Write(data) => Some(Write { address, data }),
        };
        if write.is_some() && self.is_firmware_window(address) {
            return self.firmware_rule();
        }
        if !matches!(length, 1 | 2 | 4) {
            return Some(Rule::BlockOutsideFirmware);
        }
        let radio = self.radio_at(address, length);
        if radio.is_none() && !self.facts.registers.exist(address, length) {
            return Some(Rule::UnknownRegister);
        }
        if write.is_some() && self.facts.registers.wholly_read_only(address, length) {
            return Some(Rule::ReadOnlyRegister);
        }
        self.domain_rule(address, length, write.is_some())
            .or_else(|| write.as_ref().and_then(|write| self.write_rule(write)))
            .or_else(|| if write.is_none() { self.read_rule(address, length) } else { None })
    }

    /// Rules about what has power and is out of reset.
    fn domain_rule(&self, address: u16, length: usize, write: bool) -> Option<Rule> {
        if !(0x0100..0xf000).contains(&address) || self.facts.registers.always_on.contains(&address) {
            return None;
        }
        if !self.power.mac_is_on() {
            // Mainline looks at CR to learn whether the MAC is on; it rewrites RCR whenever the stack changes its
            // filter, and the transmit powers when the regulatory domain changes, on or off
            // (`rtw88 mac80211.c`, `rtw_ops_configure_filter`; `regd.c`, `rtw_regd_notifier`).
            let power = match self.facts.baseband.tx_power {
                TxPower::Registers => matches!(address & !0x0200, 0x0c20..0x0c58),
                TxPower::Port => address == bb::AGC_TBL.addr() && write,
            };
            // Changing an interface's type writes its address, network type and beacon control at any time
            // (`mac80211.c`, `rtw_ops_remove_interface`; `main.c`, `rtw_vif_port_config`).
            let interface = match address {
                0x0100 => length == 4,
                0x0550 => true,
                0x0610..0x0620 => write,
                _ => false,
            };
            let seen = address == mac::CR.addr() && !write || address == mac::RCR.addr() && write;
            let excused = power || interface || seen;
            return (!excused).then_some(Rule::MacWhileOff);
        }
        if let Some(rule) = self.missing(self.facts.power.running) {
            return Some(rule);
        }
        let facts = &self.facts.baseband;
        let baseband = facts.blocks.iter().any(|block| block.contains(&address));
        let parking = (address..address + length as u16).all(|byte| facts.parking.contains(&byte));
        (baseband && !parking && !self.baseband_answers()).then_some(Rule::BasebandWhileReset)
    }

    /// The rule of the first of these steps that was not taken.
    fn missing(&self, steps: &[Step]) -> Option<Rule> {
        let missing = steps.iter().find(|step| self.byte(step.register) & step.mask != step.value);
        missing.map(|step| step.rule)
    }

    /// The path whose radio's registers these are, where they stand in the address space.
    fn radio_at(&self, address: u16, length: usize) -> Option<usize> {
        self.facts.paths.iter().position(|path| {
            let ReadBack::Direct(base) = path.read else { return false };
            (base..=base + 0x400 - length as u16).contains(&address)
        })
    }

    fn read_rule(&self, address: u16, length: usize) -> Option<Rule> {
        let overlaps = |start: u16| address < start + 4 && start < address + length as u16;
        if let Some(path) = self.radio_at(address, length) {
            return (!self.radio_is_on(path)).then_some(Rule::RfWhileOff);
        }
        for (path, facts) in self.facts.paths.iter().enumerate() {
            let ReadBack::Serial { mode, si, pi } = facts.read else { continue };
            if !overlaps(si) && !overlaps(pi) {
                continue;
            }
            if !self.radio_is_on(path) {
                return Some(Rule::RfWhileOff);
            }
            if overlaps(if self.parallel_mode(mode) { si } else { pi }) {
                return Some(Rule::RfReadbackNotSelected);
            }
            // The RTL8812A's cut C reads right at any time; earlier ones only with the CCA shut off. RF 0x00 is
            // exempt, since shutting it off would change it.
            let cca_off = self.byte(bb::CCA2ND.addr()) & 0x08 != 0;
            if self.facts.baseband.cca_harmless.is_some_and(|cut| self.cut != cut)
                && !cca_off
                && self.byte(bb::HSSI_READ.addr()) != 0
            {
                return Some(Rule::RfReadWithoutCcaOff);
            }
        }
        None
    }

    fn write_rule(&self, write: &Write<'_>) -> Option<Rule> {
        self.power_rule(write)
            .or_else(|| self.efuse_rule(write))
            .or_else(|| self.mcu_rule(write))
            .or_else(|| self.mac_rule(write))
            .or_else(|| self.rf_rule(write))
    }

    fn power_rule(&self, write: &Write<'_>) -> Option<Rule> {
        let (old, new) = (self.byte(at::POWER), write.byte(at::POWER)?);
        if let Some(rule) = self.power_down_rule(old, new) {
            return Some(rule);
        }
        let rises = |bit: u8| new & bit != 0 && old & bit == 0;
        if rises(SUSPEND) {
            if self.power.mac_is_on() {
                return Some(Rule::SuspendWithMacOn);
            }
            if let Some(rule) = self.missing(self.facts.power.suspend) {
                return Some(rule);
            }
        }
        if rises(MAC_OFF) && self.power.mac_is_on() {
            return self.missing(self.facts.power.off);
        }
        if !rises(MAC_ON) || self.power.mac_is_on() {
            return None;
        }
        let broken = [
            (self.power.state == State::Disabled || new & SUSPEND != 0, Rule::MacOnWhileSuspended),
            (new & LOW_POWER != 0, Rule::MacOnInLowPower),
            (self.byte(at::POWER_READY) & 0x02 == 0, Rule::MacOnBeforePowerReady),
        ];
        let broken = broken.into_iter().find_map(|(broken, rule)| broken.then_some(rule));
        let steps = &self.facts.power;
        broken
            .or_else(|| self.missing(steps.on))
            .or_else(|| if self.power.from_disable { self.missing(steps.on_from_disable) } else { None })
    }

    fn efuse_rule(&self, write: &Write<'_>) -> Option<Rule> {
        let control = write.byte(at::EFUSE_FLAG)?;
        if control & 0x80 != 0 {
            let granted = self.byte(sys::EFUSE_ACCESS.addr()) == 0x69;
            return granted.then_some(Rule::EfuseProgram);
        }
        let broken = [
            (!self.efuse.granted, Rule::EfuseWithoutGrant),
            (self.byte(at::FUNCTIONS) & 0x10 == 0, Rule::EfuseWithoutLoader),
            (self.byte(at::CLOCKS) & 0x22 != 0x22, Rule::EfuseWithoutClock),
            (self.efuse.done_at.is_some(), Rule::EfuseBusy),
        ];
        broken.into_iter().find_map(|(broken, rule)| broken.then_some(rule))
    }

    fn firmware_rule(&self) -> Option<Rule> {
        if !self.power.mac_is_on() {
            return Some(Rule::MacWhileOff);
        }
        (self.byte(sys::MCUFW_CTRL.addr()) & 1 == 0).then_some(Rule::FirmwareWithoutEnable)
    }

    fn mcu_rule(&self, write: &Write<'_>) -> Option<Rule> {
        if let Some(control) = write.byte(sys::MCUFW_CTRL.addr()) {
            let rises = control & 1 != 0 && self.byte(sys::MCUFW_CTRL.addr()) & 1 == 0;
            if rises && self.mcu.running && self.power.mac_is_on() {
                return Some(Rule::FirmwareWhileRunning);
            }
        }
        if let Some(enable) = write.byte(at::FUNCTIONS) {
            let released = enable & 0x04 != 0 && self.byte(at::FUNCTIONS) & 0x04 == 0;
            if released && self.power.mac_is_on() && self.starts_into_ram() {
                if self.byte(sys::MCUFW_CTRL.addr()) & 1 != 0 {
                    return Some(Rule::McuStartWhileDownloading);
                }
                let (bus, clocked) = match self.facts.mcu {
                    Mcu::I8051 { bus, .. } => (bus, true),
                    Mcu::I3081 { .. } => {
                        (0x01, self.byte(at::MCU_CLOCK_ON) & 0x40 != 0 && self.byte(at::PLATFORM) & 0x01 != 0)
                    }
                };
                if self.byte(at::MCU_BUS) & bus == 0 {
                    return Some(Rule::McuStartWithoutIo);
                }
                if !clocked {
                    return Some(Rule::McuStartWithoutClock);
                }
            }
        }
        if let (Mcu::I3081 { .. }, Some(start)) = (self.facts.mcu, write.byte(more::DDMA_CH0CTRL.addr() + 3))
        {
            if self.mcu.ocp.done_at.is_some() {
                return Some(Rule::DdmaBusy);
            }
            if start & 0x80 != 0 {
                if self.byte(sys::MCUFW_CTRL.addr()) & 1 == 0 {
                    return Some(Rule::FirmwareWithoutEnable);
                }
                // Bit 16: the platform; bit 8: its DMA.
                if self.word(sys::CPU_DMEM_CON.addr()) & 0x0001_0100 != 0x0001_0100 {
                    return Some(Rule::DdmaWithoutPlatform);
                }
            }
        }
        for mailbox in 0..4 {
            if write.touches(mac::HMEBOX0.addr() + 4 * mailbox, 4) {
                if !self.mcu.running {
                    return Some(Rule::MailboxBeforeFirmware);
                }
                if self.byte(mac::HMETFR.addr()) & 1 << mailbox != 0 {
                    return Some(Rule::MailboxFull);
                }
            }
        }
        None
    }

    fn mac_rule(&self, write: &Write<'_>) -> Option<Rule> {
        let list = match self.facts.buffer.page_list {
            PageList::Written => (mac::LLT_INIT.addr(), 4),
            PageList::Automatic => (mac::AUTO_LLT_V1.addr(), 1),
        };
        if write.touches(list.0, list.1) && self.page_list.done_at.is_some() {
            return Some(Rule::LltBusy);
        }
        let control = write.byte(mac::CR.addr()).unwrap_or(self.byte(mac::CR.addr()));
        let resets = self.facts.baseband.reset;
        let reset = write.byte(resets).unwrap_or(self.byte(resets));
        let touched = write.touches(mac::CR.addr(), 1) || write.touches(resets, 1);
        if touched && self.power.mac_is_on() && receives(control) && reset & 3 == 3 {
            if !self.mcu.running {
                return Some(Rule::ReceiveBeforeFirmware);
            }
            if self.buffer_size() == 0 {
                return Some(Rule::ReceiveWithoutBoundary);
            }
        }
        None
    }

    fn rf_rule(&self, write: &Write<'_>) -> Option<Rule> {
        if self.baseband.page_c1 {
            return None;
        }
        let dark = |(path, facts): (usize, &Path)| write.touches(facts.window, 4) && !self.radio_is_on(path);
        self.facts.paths.iter().enumerate().any(dark).then_some(Rule::RfWhileOff)
    }
}

/// Whether CR lets frames in: the receiver and both halves of its DMA.
pub(super) fn receives(control: u8) -> bool {
    control & 0x8a == 0x8a
}

struct Write<'a> {
    address: u16,
    data: &'a [u8],
}

impl Write<'_> {
    fn touches(&self, address: u16, length: u16) -> bool {
        self.address < address + length && self.address + self.data.len() as u16 > address
    }

    /// The byte at `address` as the write would leave it, if it reaches there.
    fn byte(&self, address: u16) -> Option<u8> {
        self.data.get(usize::from(address.checked_sub(self.address)?)).copied()
    }
}
