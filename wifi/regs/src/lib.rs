//! Register and bit names of Realtek's RTL8812A family (RTL8812A, RTL8821A, RTL8814A).
//!
//! This crate holds names and nothing else: it is the only thing that the driver and the emulated adapters
//! share, so that neither can lean on the other's idea of what a register *does*.
//!
//! A [`Reg`] fixes the type of its value, `REG.name()` prints in traces, and [`name_of`] turns a bus address
//! back into a name (`0x0101` is `CR+1`). Names and addresses are those of the Linux driver `rtw88`
//! (`drivers/net/wireless/realtek/rtw88/reg.h`, offered under GPL-2.0 OR BSD-3-Clause).
#![forbid(unsafe_code)]

mod reg;

pub mod bb;
pub mod bits;
pub mod mac;
pub mod more;
pub mod rf;
pub mod sys;
pub mod usb;

pub(crate) use reg::registers;
pub use reg::{Reg, Width, name_of};
