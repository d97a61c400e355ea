//! Airlift's Wi-Fi driver: Realtek's RTL8812AU as `wlan0`, in a tokio application.
//!
//! [`Wlan`] is the interface: [`Wlan::attach`] brings an adapter up in monitor mode, [`Wlan::frames`] opens streams of
//! [`Frame`]s. [`channel`] says where to listen, [`firmware`] what the chip needs, [`error`] what went wrong.
//!
//! Inside: `chip` holds the facts of each chip, `regio` its registers over the control endpoint, `efuse` what was burnt
//! into the adapter, `phy` baseband and radio, `driver` the tasks on the kernel core.
#![forbid(unsafe_code)]

pub mod channel;
pub mod error;
pub mod filter;
pub mod frame;
pub mod ieee80211;
pub mod pcapng;
pub mod radiotap;
pub mod rx;
pub mod stats;
pub mod stream;

mod chip;
mod driver;
mod efuse;
pub mod firmware;
mod phy;
mod regio;
mod wlan;

pub use channel::{Band, Channel, ChannelError, Side, Width};
pub use chip::{Chip, UnknownChip};
pub use driver::Progress;
pub use error::{Error, ErrorKind, Stage};
pub use firmware::Firmware;
pub use frame::{Frame, LegacyRate, Rate};
pub use ieee80211::MacAddr;
pub use pcapng::{PcapngOptions, PcapngWriter};
pub use rx::Receiver;
pub use stats::{RxStats, StreamStats};
pub use stream::{DropPolicy, FrameSender, FrameSource, FrameStream, StreamEnd, StreamOptions};
pub use wlan::{Wlan, WlanOptions};
