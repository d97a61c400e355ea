//! [`FieldWrite`]: a field of a register and its value, as data. Steps that a chip has of its own are lists of them.

use airlift_regs::Reg;

use super::Regs;
use crate::error::Error;

/// A field of a register and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldWrite {
    /// Bus address.
    pub(crate) addr: u16,
    /// Whether the register is written as one byte instead of four.
    pub(crate) byte: bool,
    /// The bits of the field; all of them: the register is written without a look at what it holds.
    pub(crate) mask: u32,
    /// The field's value, not shifted.
    pub(crate) value: u32,
}

impl FieldWrite {
    /// `value` into the field `mask` of `reg`.
    pub(crate) const fn field(reg: Reg<u32>, mask: u32, value: u32) -> Self {
        Self { addr: reg.addr(), byte: false, mask, value }
    }

    /// `value` into the whole of `reg`.
    pub(crate) const fn whole(reg: Reg<u32>, value: u32) -> Self {
        Self::field(reg, u32::MAX, value)
    }

    /// `value` into the field `mask` of a byte.
    pub(crate) const fn byte(reg: Reg<u8>, mask: u8, value: u8) -> Self {
        Self { addr: reg.addr(), byte: true, mask: mask as u32, value: value as u32 }
    }
}

impl Regs {
    /// Writes fields in order.
    pub(crate) async fn apply(&self, writes: &[FieldWrite]) -> Result<(), Error> {
        for write in writes {
            if write.byte {
                let reg = Reg::<u8>::new(write.addr);
                self.set_field(reg, write.mask as u8, write.value as u8).await?;
            } else {
                self.set_field(Reg::<u32>::new(write.addr), write.mask, write.value).await?;
            }
        }
        Ok(())
    }

    /// What [`apply`](Self::apply) would leave, in as few writes as that takes: each register that differs from what
    /// it is known to hold is written once, in the order in which `writes` first name it.
    pub(crate) async fn apply_changes(&self, writes: &[FieldWrite]) -> Result<(), Error> {
        let mut changes: Vec<Change> = Vec::new();
        for write in writes {
            let place =
                changes.iter().position(|change| change.addr == write.addr && change.byte == write.byte);
            let old = match place {
                Some(place) => changes[place].new,
                None if write.byte => u32::from(self.current(Reg::<u8>::new(write.addr)).await?),
                None => self.current(Reg::<u32>::new(write.addr)).await?,
            };
            let shift = write.mask.trailing_zeros().min(31);
            let new = (old & !write.mask) | (write.value << shift & write.mask);
            match place {
                Some(place) => changes[place].new = new,
                None => changes.push(Change { addr: write.addr, byte: write.byte, old, new }),
            }
        }
        for change in changes.iter().filter(|change| change.new != change.old) {
            if change.byte {
                self.write(Reg::<u8>::new(change.addr), change.new as u8).await?;
            } else {
                self.write(Reg::<u32>::new(change.addr), change.new).await?;
            }
        }
        Ok(())
    }
}

/// A register and what it becomes.
struct Change {
    addr: u16,
    byte: bool,
    old: u32,
    new: u32,
}
