//! RF registers: 20 bits each behind a serial bus, one bus a path.
//!
//! A write goes through the path's LSSI window as one word, address and value. A read puts the address on the
//! bus and takes the value from the read-back window of the mode (SI or PI) that the bus is in; the RTL8814A maps
//! its RF registers into the bus's addresses instead. The value of a masked write's other bits is always read back:
//! the radio changes some of them by itself.
//!
//! Facts: rtw88 `phy.c`, `rtw_phy_write_rf_reg_sipi`, `rtw_phy_cfg_rf`; `rtw88xxa.c`, `rtw88xxa_phy_read_rf`.

use std::time::Duration;

use airlift_regs::rf::{self, RfReg};
use airlift_regs::{Reg, bb};

use super::Phy;
use super::info::{RfRead, RfReadRule};
use crate::error::Error;

/// One chain of the radio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Path {
    /// Path A.
    A,
    /// Path B.
    B,
    /// Path C.
    C,
    /// Path D.
    D,
}

impl Path {
    /// All that a chip of the family can have.
    pub(crate) const ALL: [Path; 4] = [Path::A, Path::B, Path::C, Path::D];

    /// 0 for path A.
    pub(crate) const fn index(self) -> usize {
        match self {
            Path::A => 0,
            Path::B => 1,
            Path::C => 2,
            Path::D => 3,
        }
    }

    /// The window that writes go through.
    const fn lssi(self) -> Reg<u32> {
        match self {
            Path::A => bb::LSSI_WRITE_A,
            Path::B => bb::LSSI_WRITE_B,
            Path::C => bb::LSSI_WRITE_C,
            Path::D => bb::LSSI_WRITE_D,
        }
    }
}

/// What reading over the serial bus goes through: the register that tells the bus's mode, and the window that values
/// come back in, in SI and in PI mode. Paths C and D are on chips that map their registers.
const SERIAL: [(Reg<u32>, Reg<u32>, Reg<u32>); 2] =
    [(bb::HSSI_3WIRE_A, bb::SI_READ_A, bb::PI_READ_A), (bb::HSSI_3WIRE_B, bb::SI_READ_B, bb::PI_READ_B)];

/// All 20 bits of an RF register.
pub(crate) const RF_MASK: u32 = 0xf_ffff;

/// Bit of CCA2ND that switches clear channel assessment off.
const CCA_OFF: u32 = 1 << 3;
/// Bit of the 3-wire register: the bus is in PI mode.
const PI_MODE: u32 = 1 << 2;
/// How long a value takes on the serial bus.
const WRITE_TIME: Duration = Duration::from_micros(13);
/// A table's row gets a little more.
const ROW_TIME: Duration = Duration::from_micros(14);
/// How long a value takes to come back, where it does not come at once.
const READ_TIME: Duration = Duration::from_micros(20);

impl Phy {
    /// Whether the radio has this path in use.
    fn has(&self, path: Path) -> bool {
        path.index() < usize::from(self.board.chains)
    }

    /// Reads the field `mask` of `reg`; zeros from a path that is not in use.
    pub(super) async fn read_rf(&self, path: Path, reg: RfReg, mask: u32) -> Result<u32, Error> {
        if !self.has(path) {
            return Ok(0);
        }
        let value = match self.info.rf_read {
            RfRead::Serial(rule) => self.read_serial(path, reg, rule(self.board.cut)).await?,
            RfRead::Mapped(first) => {
                self.regs.read_at::<u32>(first[path.index()] + 4 * u16::from(reg.0)).await?
            }
        };
        Ok((value & mask & RF_MASK) >> mask.trailing_zeros().min(31))
    }

    async fn read_serial(&self, path: Path, reg: RfReg, rule: RfReadRule) -> Result<u32, Error> {
        let Some((mode, serial, parallel)) = SERIAL.get(path.index()) else { return Ok(0) };
        let regs = &self.regs;
        // Switching CCA would change the mode register (0x00) itself.
        let cca_off = rule.cca_off && reg.0 != 0;
        if cca_off {
            regs.set_bits(bb::CCA2ND, CCA_OFF).await?;
        }
        let window = if regs.current(*mode).await? & PI_MODE != 0 { parallel } else { serial };
        regs.set_field(bb::HSSI_READ, 0xff, u32::from(reg.0)).await?;
        if rule.settles {
            regs.delay(READ_TIME).await?;
        }
        let value = regs.read(*window).await?;
        if cca_off {
            regs.clear_bits(bb::CCA2ND, CCA_OFF).await?;
        }
        Ok(value)
    }

    /// Writes `value` into the field `mask` of `reg`; nothing on a path that is not in use.
    pub(super) async fn write_rf(&self, path: Path, reg: RfReg, mask: u32, value: u32) -> Result<(), Error> {
        if !self.has(path) {
            return Ok(());
        }
        let word = if mask == RF_MASK {
            value & RF_MASK
        } else {
            let old = self.read_rf(path, reg, RF_MASK).await?;
            (old & !mask) | (value << mask.trailing_zeros() & mask)
        };
        self.shift_out(path, reg, word).await?;
        self.regs.pace(WRITE_TIME).await
    }

    /// Writes `value` into the field `mask` of `reg` on every path in use. Where the registers are mapped, their old
    /// values are asked for together.
    pub(super) async fn write_rf_everywhere(&self, reg: RfReg, mask: u32, value: u32) -> Result<(), Error> {
        let mut old = Vec::new();
        if let (RfRead::Mapped(first), true) = (self.info.rf_read, mask != RF_MASK) {
            for path in self.paths() {
                let addr = first[path.index()] + 4 * u16::from(reg.0);
                old.push(self.regs.start_read(Reg::<u32>::new(addr)).await?);
            }
        } else {
            for path in self.paths() {
                self.write_rf(path, reg, mask, value).await?;
            }
            return Ok(());
        }
        let mut words = Vec::with_capacity(old.len());
        for old in old {
            words.push((old.value().await? & RF_MASK & !mask) | (value << mask.trailing_zeros() & mask));
        }
        for (path, word) in self.paths().zip(words) {
            self.write_rf(path, reg, RF_MASK, word).await?;
        }
        Ok(())
    }

    /// Writes `fields` of `reg`, `(mask, value)`, together as one word, if they change it. The other bits are read back,
    /// but for where `held` says what there is.
    pub(super) async fn write_rf_fields(
        &self,
        path: Path,
        reg: RfReg,
        held: Option<u32>,
        fields: &[(u32, u32)],
    ) -> Result<(), Error> {
        let old = match held {
            Some(word) => word,
            None => self.read_rf(path, reg, RF_MASK).await?,
        };
        let set = |word, (mask, value): &(u32, u32)| (word & !mask) | (value << mask.trailing_zeros() & mask);
        let new = fields.iter().fold(old, set);
        if new != old {
            self.shift_out(path, reg, new).await?;
            self.regs.pace(WRITE_TIME).await?;
        }
        Ok(())
    }

    /// Writes one row of a radio table.
    pub(super) async fn write_rf_row(&self, path: Path, reg: RfReg, value: u32) -> Result<(), Error> {
        if !self.has(path) {
            return Ok(());
        }
        self.shift_out(path, reg, value & RF_MASK).await?;
        self.regs.pace(ROW_TIME).await
    }

    async fn shift_out(&self, path: Path, reg: RfReg, value: u32) -> Result<(), Error> {
        if reg == rf::CFGCH {
            let mut held = self.synthesizers.get();
            held[path.index()] = Some(value);
            self.synthesizers.set(held);
        }
        self.regs.write(path.lssi(), u32::from(reg.0) << 20 | value).await
    }
}
