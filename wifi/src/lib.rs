//! Airlift's Wi-Fi driver: Realtek's RTL8812AU as `wlan0`, in a tokio application.
//!
//! [`channel`] says where to listen, [`error`] what went wrong. Inside: [`chip`] holds the facts of each chip, [`regio`] its registers over the
//! control endpoint, [`efuse`] what was burnt into the adapter.
#![forbid(unsafe_code)]

pub mod channel;
pub mod error;

mod chip;
mod driver;
mod efuse;
pub mod firmware;
mod regio;

pub use channel::{Band, Channel, ChannelError, Side, Width};
pub use chip::Chip;
pub use error::{Error, ErrorKind, Stage};
pub use firmware::Firmware;
