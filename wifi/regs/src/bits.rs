//! Bits and masks, one module a register, in the register's own numbering: bit 0 is the least significant bit of its
//! first byte.
//!
//! They stand in files by the part of the chip, as the registers do.

mod bb;
mod mac;
mod more;
mod sys;
mod usb;

pub use bb::*;
pub use mac::*;
pub use more::*;
pub use sys::*;
pub use usb::*;
