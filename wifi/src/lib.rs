//! Airlift's Wi-Fi driver: Realtek's RTL8812AU as `wlan0`, in a tokio application.
//!
//! [`Wlan`] is the interface: [`Wlan::attach`] brings an adapter up in monitor mode, [`Wlan::frames`] opens streams of
//! [`Frame`]s. [`channel`] says where to listen, [`firmware`] what the chip needs, [`error`] what went wrong.
//!
//! ```
//! use airlift_wifi::{Filter, Subtype, UsbDevice, Wlan, WlanOptions};
//! use futures::StreamExt;
//!
//! async fn beacons(adapter: UsbDevice) -> Result<(), Box<dyn std::error::Error>> {
//!     let wlan0 = Wlan::attach(adapter, WlanOptions::new().channel("6+".parse()?)).await?;
//!     let mut beacons = wlan0.frames_with(Filter::subtype(Subtype::Beacon));
//!     while let Some(beacon) = beacons.next().await {
//!         println!("{:?} dBm {}", beacon.signal_dbm(), beacon.info());
//!     }
//!     println!("ended: {:?}", beacons.end());
//!     Ok(())
//! }
//! ```
//!
//! What an application needs of the kernel core and of the USB host controller is re-exported: the items that most
//! of them use at the top, everything else in [`runtime`] and [`hcd`].
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
pub mod tx;

mod chip;
mod coex;
mod driver;
mod efuse;
pub mod firmware;
mod phy;
mod regio;
mod wlan;

#[doc(no_inline)]
pub use airlift_hcd as hcd;
#[doc(no_inline)]
pub use airlift_hcd::{HostController, UsbDevice, UsbFunction};
#[doc(no_inline)]
pub use airlift_runtime as runtime;
#[doc(no_inline)]
pub use airlift_runtime::{Clock, Kernel, KernelHandle};

pub use channel::{Band, Channel, ChannelError, Side, Width};
pub use chip::{Chip, UnknownChip};
pub use driver::{BringUpStats, Progress, UsbSwitch};
pub use error::{Error, ErrorKind, Stage};
pub use filter::Filter;
pub use firmware::Firmware;
pub use frame::{Fcs, Frame, LegacyRate, Rate};
pub use ieee80211::{FrameType, MacAddr, Subtype};
pub use pcapng::{PcapngOptions, PcapngWriter};
pub use rx::Receiver;
pub use stats::{RxStats, StreamStats};
pub use stream::{DropPolicy, FrameSender, FrameSource, FrameStream, StreamEnd, StreamOptions};
pub use tx::{Delivery, InjectError, InjectErrorKind, Outcome, Ticket, Transmitter, TxFrame, TxStats};
pub use wlan::{Wlan, WlanOptions};
