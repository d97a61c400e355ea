//! USB/IP: devices over TCP.
//!
//! [`Server`] exports any [`UsbFunction`](crate::UsbFunction), so that a stock Linux kernel attaches it with
//! its `vhci_hcd` and drives it with its own drivers:
//!
//! ```no_run
//! # fn demo(function: Box<dyn airlift_hcd::UsbFunction>) -> std::io::Result<()> {
//! let server = airlift_hcd::usbip::Server::bind("127.0.0.1:3240")?.export("1-1", function).start()?;
//! println!("usbip attach --remote {} --busid 1-1", server.address().ip());
//! server.stop_blocking();
//! # Ok(())
//! # }
//! ```
//!
//! [`HostController::import`](crate::HostController::import) is the other end: a device of any such server, ours
//! or Linux's `usbipd`, as a local one.
//!
//! [`protocol`] is the wire format. A connection has two threads: one reads, one owns the device
//! (`session.rs`), through the same [`FunctionHost`](crate::FunctionHost) as the mock backend. Who may be connected is
//! up to `places.rs`.

pub(crate) mod client;
mod places;
pub mod protocol;
mod server;
mod session;
#[cfg(test)]
mod tests;

pub use client::{ImportError, ImportOptions, list_blocking};
pub use server::{Limits, Server, ServerHandle};
pub use session::SessionError;
