//! The register bus: one read or write as a control transfer carries it, from the rules' check to the block
//! that owns the register.

use super::{Chip, Latency, at, engine};
use crate::model::{Mcu, PageList, TxPower};
use airlift_regs::{bb, mac, more, sys};

/// One access of the host, for traces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Access {
    /// Bus address.
    pub address: u16,
    /// Bytes.
    pub length: u16,
    /// Whether the host wrote.
    pub write: bool,
    /// The value (of a block: its first four bytes), little endian.
    pub value: u32,
}

impl core::fmt::Display for Access {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let direction = if self.write { "<-" } else { "->" };
        let width = usize::from(self.length.min(4)) * 2;
        write!(f, "{:#06x} {direction} {:0width$x}", self.address, self.value)?;
        if self.length > 4 { write!(f, ".. ({} bytes)", self.length) } else { Ok(()) }
    }
}

impl Chip {
    pub(super) fn byte(&self, address: u16) -> u8 {
        self.regs[usize::from(address)]
    }

    pub(super) fn set_byte(&mut self, address: u16, value: u8) {
        self.regs[usize::from(address)] = value;
    }

    /// Bits of one byte set and cleared by the hardware.
    pub(super) fn change(&mut self, address: u16, clear: u8, set: u8) {
        let byte = &mut self.regs[usize::from(address)];
        *byte = *byte & !clear | set;
    }

    pub(super) fn word(&self, address: u16) -> u32 {
        let at = usize::from(address);
        u32::from_le_bytes([self.regs[at], self.regs[at + 1], self.regs[at + 2], self.regs[at + 3]])
    }

    pub(super) fn set_word(&mut self, address: u16, value: u32) {
        self.regs[usize::from(address)..][..4].copy_from_slice(&value.to_le_bytes());
    }

    /// What the bus answers to a read, without side effects.
    pub(crate) fn peek(&self, address: u16, length: usize) -> u32 {
        let mut bytes = [0; 4];
        for (i, byte) in bytes[..length].iter_mut().enumerate() {
            *byte = self.visible(address.wrapping_add(i as u16));
        }
        u32::from_le_bytes(bytes)
    }

    /// One byte as the bus shows it now.
    fn visible(&self, address: u16) -> u8 {
        let value = if self.is_off(address) {
            0xea
        } else {
            match address {
                0x0560..=0x0567 => self.tsf().to_le_bytes()[usize::from(address - 0x0560)],
                _ if self.is_readback(address) => self.readback_byte(address),
                _ => self.byte(address),
            }
        };
        self.stuck
            .iter()
            .filter(|stuck| stuck.0 == address)
            .fold(value, |value, stuck| value & !stuck.1 | stuck.2)
    }

    /// Whether the 8051's firmware is written here.
    pub(super) fn is_firmware_window(&self, address: u16) -> bool {
        matches!(self.facts.mcu, Mcu::I8051 { .. }) && (0x1000..0x2000).contains(&address)
    }

    /// Whether the register lies in the part that the powered-off MAC takes down with it.
    pub(super) fn is_off(&self, address: u16) -> bool {
        (0x0100..0xf000).contains(&address)
            && !self.facts.registers.always_on.contains(&address)
            && !self.power.mac_is_on()
    }

    /// A read of the host.
    pub(crate) fn read(&mut self, address: u16, length: usize) -> u32 {
        let value = self.peek(address, length);
        self.log(Access { address, length: length as u16, write: false, value });
        value
    }

    /// A write of the host: 1, 2 or 4 bytes, or a block into the firmware window.
    pub(crate) fn write(&mut self, address: u16, data: &[u8]) {
        let mut value = [0; 4];
        let head = data.len().min(4);
        value[..head].copy_from_slice(&data[..head]);
        self.log(Access {
            address,
            length: data.len() as u16,
            write: true,
            value: u32::from_le_bytes(value),
        });
        if self.is_off(address) {
            return;
        }
        if self.is_firmware_window(address) {
            self.firmware_write(address, data);
            return;
        }
        let touched = address..address.saturating_add(data.len() as u16);
        let old = Old {
            mcu_enabled: self.byte(at::FUNCTIONS) & 0x04 != 0,
            firmware_control: self.word(at::FIRMWARE),
        };
        for (i, byte) in data.iter().enumerate() {
            self.write_byte(address.wrapping_add(i as u16), *byte);
        }
        self.after_write(&touched, &old);
    }

    fn write_byte(&mut self, address: u16, value: u8) {
        if self.facts.registers.is_read_only(address) {
            return;
        }
        let clear = self.facts.registers.cleared_by_one(address);
        let old = self.byte(address);
        let new = match address {
            at::POWER_READY => value & !0x02 | old & 0x02, // power ready is the hardware's
            at::FIRMWARE => self.firmware_control_write(old, value),
            at::FIRMWARE_UPPER => self.firmware_upper_write(old, value),
            _ => (value & !clear) | (old & clear & !value),
        };
        self.set_byte(address, new);
    }

    /// Tells the blocks whose registers were written.
    fn after_write(&mut self, touched: &core::ops::Range<u16>, old: &Old) {
        let hits = |address: u16, length: u16| touched.start < address + length && touched.end > address;
        if hits(sys::SYS_FUNC_EN.addr(), 2) {
            self.mcu_enable_written(old.mcu_enabled);
        }
        if hits(at::POWER, 1) {
            self.power_control_written();
        }
        if self.facts.paths.iter().any(|path| hits(path.power, 1)) {
            self.radio_power_written();
        }
        if hits(sys::EFUSE_ACCESS.addr(), 1) {
            self.efuse.granted |= self.byte(sys::EFUSE_ACCESS.addr()) == 0x69;
        }
        if hits(at::EFUSE_FLAG, 1) {
            self.efuse_control_written();
        }
        if hits(sys::MCUFW_CTRL.addr(), 1) {
            self.firmware_control_written(old.firmware_control);
        }
        match self.facts.buffer.page_list {
            PageList::Written if hits(mac::LLT_INIT.addr(), 4) => self.page_list_written(),
            PageList::Automatic if hits(mac::AUTO_LLT_V1.addr(), 1) => self.page_list_ordered(),
            _ => {}
        }
        if let Mcu::I3081 { .. } = self.facts.mcu {
            if hits(more::DDMA_CH0CTRL.addr(), 4) {
                self.ddma_written();
            }
            if hits(mac::H2C_INFO.addr(), 1) {
                self.command_queue_written();
            }
        }
        if let TxPower::Port = self.facts.baseband.tx_power {
            if hits(bb::AGC_TBL.addr(), 4) {
                self.tx_power_written();
            }
            if hits(engine::PROGRAM, 4) {
                self.program_written();
            }
            if hits(engine::COMMAND, 4) {
                self.engine_written();
            }
        }
        for mailbox in 0..4 {
            if hits(mac::HMEBOX0.addr() + 4 * mailbox, 4) {
                self.mailbox_written(mailbox);
            }
        }
        if hits(self.facts.buffer.load, 1) {
            self.pages_written();
        }
        if hits(mac::SEC_CMD.addr() + 3, 1) {
            self.cam_command_written();
        }
        if hits(bb::AGC_PORT.addr(), 4) {
            self.agc_written();
        }
        if hits(at::PAGE_C1, 1) {
            self.page_c_selected();
        }
        if !self.baseband.page_c1 {
            for (path, facts) in self.facts.paths.iter().enumerate() {
                if hits(facts.window, 4) {
                    self.rf_written(path);
                }
            }
        }
        if self.baseband.page_c1 && (hits(bb::RFECTL_A.addr(), 4) || hits(bb::RFECTL_B.addr(), 4)) {
            self.calibration_control_written();
        }
        if hits(bb::IQK_COM64.addr(), 4) {
            self.calibration_triggered();
        }
        if hits(bb::CNTRST.addr(), 1) && self.byte(bb::CNTRST.addr()) & 1 != 0 {
            self.counters_reset();
        }
        self.reception_changed();
    }

    /// The registers as the bus shows them; `None` where there are none.
    pub(crate) fn snapshot(&self) -> Vec<Option<u8>> {
        let mut image = vec![None; 0x1_0000];
        for address in self.facts.registers.addresses() {
            image[usize::from(address)] = Some(self.visible(address));
        }
        image
    }

    fn log(&mut self, access: Access) {
        if let Some(log) = &mut self.log {
            log.push(access);
        }
    }

    /// `microseconds`, stretched by a slow personality.
    pub(super) fn latency(&self, latency: Latency) -> core::time::Duration {
        core::time::Duration::from_micros(latency as u64) * self.slow
    }
}

/// Values from before a write, where the change is what counts.
struct Old {
    mcu_enabled: bool,
    firmware_control: u32,
}
