//! Emulated adapters with the RTL8812AU, RTL8821AU or RTL8814AU, register-level state machines that the Linux driver
//! can drive, and the virtual air between them.
//!
//! [`Rtl8812au::builder`], [`Rtl8821au::builder`] and [`Rtl8814au::builder`] begin an [`Adapter`], or
//! [`Model::builder`] where the chip is chosen at run time. An adapter is a
//! [`UsbFunction`](airlift_hcd::UsbFunction): plug it into a host controller, or serve it to another kernel over
//! USB/IP. [`Efuse`] says what is burnt into it, [`Personality`] what is wrong with it, and a [`Probe`] looks inside;
//! [`Air`] is what it sends into and hears from. In strict mode an access that silicon would not survive stalls and is
//! listed as a [`Violation`] of a [`Rule`]. [`Model::stand_in_firmware`] makes an image that its MCU takes.
//!
//! The crate knows nothing of the driver in `airlift-wifi`; both were written from the same source of facts,
//! the Linux driver `rtw88`, and share nothing but register names.
#![forbid(unsafe_code)]

mod adapter;
pub mod air;
mod chip;
mod descriptors;
pub mod efuse;
mod firmware;
mod model;
mod personality;
mod probe;
mod rng;
mod rules;

pub use adapter::{Adapter, Builder, Rtl8812au, Rtl8814au, Rtl8821au};
pub use air::{
    Air, AirFrame, Capture, CaptureError, Radio, RadioOptions, Rate, ReplayOptions, Tuning, Width,
};
pub use chip::{Access, ReceiveStats, ResetValues, TransmitStats};
pub use efuse::Efuse;
pub use firmware::{checksum, stand_in_firmware};
pub use model::{Model, UnknownModel};
pub use personality::{Personality, Poll};
pub use probe::Probe;
pub use rules::{Rule, Violation};
