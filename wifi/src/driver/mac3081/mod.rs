//! The MAC of chips whose microcontroller is a 3081 (RTL8814A): its own ways of being powered, of taking firmware, of
//! sharing out the transmit buffer, and of being spoken to.
//!
//! | [`power`] | from "card disabled" to a running MAC and back |
//! |---|---|
//! | [`download`] | firmware in pages through a bulk endpoint, which DMA carries into the MCU's memories |
//! | [`configure`] | queues, filters, timers |
//! | [`introduction`] | what the firmware is told of the chip |
//! | [`packet`] | what goes to the chip itself through a bulk endpoint |

pub(super) mod configure;
pub(super) mod download;
pub(super) mod introduction;
pub(super) mod packet;
pub(super) mod power;
#[cfg(test)]
mod tests;
