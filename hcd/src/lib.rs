//! Airlift's virtual USB host controller: an URB is a future.
//!
//! A [`HostController`] belongs to a kernel core of `airlift-runtime`. Devices are plugged into it; a driver gets a
//! [`UsbDevice`] and [`submit`](UsbDevice::submit)s [`Urb`]s, which start at once and come back as [`Completion`]s
//! or, posted on an [`Anchor`], surface at its barrier if they fail. Completions come from host threads, through
//! the controller's IRQ line, and wake the futures on the kernel core.
//!
//! ```text
//!   driver ── Urb ──► UsbDevice ──► layers (latency, …) ──► Backend ──► device
//!      ▲                                                       │ host thread
//!      └── Completion ◄── IRQ handler on the kernel core ◄── Upcall
//! ```
//!
//! # A device of one's own
//!
//! A [`UsbFunction`] is a device in software: its descriptors, and what it does with an URB. Standard requests are
//! answered for it. This one reads a temperature by a vendor request and echoes bulk transfers:
//!
//! ```
//! use std::{collections::VecDeque, time::Duration};
//! use airlift_hcd::{
//!     Descriptors, FunctionUrb, HostController, Reply, Setup, Speed, Submit, TransferError, Urb, UsbFunction,
//! };
//!
//! #[derive(Default)]
//! struct Echo { stored: VecDeque<Vec<u8>>, reading: Option<FunctionUrb> }
//!
//! impl UsbFunction for Echo {
//!     fn descriptors(&self) -> Descriptors {
//!         let mut configuration = vec![9, 2, 32, 0, 1, 1, 0, 0x80, 50]; // one interface, value 1, bus-powered
//!         configuration.extend([9, 4, 0, 0, 2, 0xff, 0, 0, 0]); // vendor class, two endpoints:
//!         configuration.extend([7, 5, 0x81, 2, 0, 2, 0]); // 1, bulk IN
//!         configuration.extend([7, 5, 0x02, 2, 0, 2, 0]); // 2, bulk OUT
//!         let device = [18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 1, 0, 0, 1, 0, 1, 0, 1]; // 1209:0001
//!         Descriptors { device, configuration, strings: vec!["Echo".into()], speed: Speed::High }
//!     }
//!     fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
//!         match (urb.setup(), urb.endpoint()) {
//!             (Some(setup), _) if setup.request == 1 => urb.reply(&[21]).into(),
//!             (Some(_), _) => urb.fail(TransferError::Stall).into(),
//!             (None, 0x02) => {
//!                 self.stored.push_back(urb.data().to_vec());
//!                 Submit::After(Duration::from_micros(10), urb.ok())
//!             }
//!             (None, _) => {
//!                 self.reading = Some(urb);
//!                 Submit::Parked // until there is something to send
//!             }
//!         }
//!     }
//!     fn poll(&mut self, _now: Duration) -> Option<Reply> {
//!         let urb = self.reading.take_if(|_| !self.stored.is_empty())?;
//!         Some(urb.reply(&self.stored.pop_front()?))
//!     }
//!     fn cancel(&mut self, id: airlift_hcd::UrbId) -> Option<FunctionUrb> {
//!         self.reading.take_if(|urb| urb.id() == id)
//!     }
//! }
//!
//! let kernel = airlift_runtime::Kernel::new()?;
//! let port = HostController::new(&kernel.handle())?.plug(Echo::default());
//! let device = port.device();
//! futures::executor::block_on(async {
//!     let celsius = device.submit(Urb::control_in(Setup::vendor_in(1, 0, 0, 1))).await;
//!     assert_eq!(celsius.into_result()?[..], [21]);
//!     let reading = device.submit(Urb::bulk_in(0x81, 512)); // in flight from here on
//!     device.submit(Urb::bulk_out(0x02, &b"hello"[..])).await.status?;
//!     assert_eq!(reading.await.into_result()?[..], *b"hello");
//!     Ok::<(), TransferError>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
// Allowed in one file: libusb's transfers.
#![deny(unsafe_code)]

mod anchor;
mod backend;
mod controller;
mod deadline;
mod descriptor;
mod device;
mod function;
mod function_host;
mod hand_over;
mod hotplug;
mod layer;
mod outside;
pub mod pcapng;
mod seat;
mod setup;
mod status;
mod threads;
mod urb;
mod urb_map;
pub mod usbip;

pub use anchor::{Anchor, Barrier, PostedError};
#[cfg(feature = "libusb")]
pub use backend::libusb;
pub use backend::{Backend, Connect, DeviceOp, FlatUrb, Upcall};
pub use controller::{HostController, MockPort, Port};
pub use descriptor::{
    AlternateSetting, Configuration, DescriptorError, DeviceDescriptor, Endpoint, EndpointMap, RawDescriptor,
    TransferType, Walk, parse_string,
};
pub use device::{DeviceId, DeviceInfo, StringError, Strings, UsbDevice};
pub use function::{Departure, Descriptors, FunctionUrb, Reply, Speed, Submit, UrbId, UsbFunction};
pub use function_host::FunctionHost;
pub use hotplug::{Hotplug, HotplugEvent};
pub use layer::{
    Fault, FaultTarget, Faults, Latency, LatencyCounters, LatencyModel, Layer, LayerClone, LayerContext,
    Trace, TraceOptions, TraceSummary,
};
pub use outside::ReturnProblem;
pub use seat::ReturnError;
pub use setup::Setup;
pub use status::TransferError;
pub use urb::{Completion, InBuffer, Urb, UrbHandle};
