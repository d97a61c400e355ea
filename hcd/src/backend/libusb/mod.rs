//! Devices on the system's USB buses, through libusb.
//!
//! [`devices_blocking`] lists them, [`watch_blocking`] tells as they come and go, [`HostController::open`] makes one
//! a [`UsbDevice`] like any other. Transfers are libusb's asynchronous ones; each open device has a libusb context
//! and an event thread of its own.
//!
//! ```no_run
//! use airlift_hcd::{HostController, libusb::{OpenOptions, Selector, find_blocking}};
//!
//! # async fn example(kernel: airlift_runtime::Kernel) -> Result<(), Box<dyn std::error::Error>> {
//! let adapter = find_blocking(&Selector::Id { vendor: 0x0bda, product: 0x8812 })?;
//! let controller = HostController::new(&kernel.handle())?;
//! let port = controller.open(&adapter, OpenOptions::new().class(0xff).detach(true), &[]).await?;
//! let device = port.device();
//! // ...
//! port.close().await; // the system's driver has it again
//! # Ok(()) }
//! ```
//!
//! # The system's own driver
//!
//! An interface that a driver of the system holds is left alone, unless [`OpenOptions::detach`] asks for it; then the
//! driver gets it back when the device is closed, however that comes about, short of the process being killed. One that
//! is up as a network interface is refused in either case. On Linux opening a device needs write access to its node;
//! without, [`OpenError::Permission`] names the node.
//!
//! # Unplugging
//!
//! libusb tells by a transfer that ends, by its hotplug events, or (where it has none) by the list of devices, which
//! is looked at each second. Every URB in flight and each one submitted later ends with
//! [`TransferError::Shutdown`](crate::TransferError::Shutdown).
//!
//! A device that drops itself off the bus to come back at another speed is found again while
//! [`UsbDevice::returned`](crate::UsbDevice::returned) waits for it.
//!
//! Inside: `transfer` is the one file with unsafe code; `schedule` knows which URBs are where; `open` gets a device
//! and gives it back, `returning` finds it again; `thread` serves it; `sysfs` reads what Linux tells of drivers.
//!
//! [`HostController::open`]: crate::HostController::open
//! [`UsbDevice`]: crate::UsbDevice

mod error;
mod list;
mod open;
mod returning;
mod schedule;
mod status;
mod sysfs;
mod thread;
#[allow(unsafe_code)]
mod transfer;
mod watch;

pub use error::{Holder, OpenError};
pub use list::{HostDevice, Selector, devices_blocking, find_blocking};
pub use open::OpenOptions;
pub use sysfs::{HostInterface, Network};
pub use watch::{Watch, WatchEvent, watch_blocking};

use crate::controller::{HostController, Port};
use crate::layer::Layer;
use crate::outside::Unseated;

impl HostController {
    /// Opens a device on the system's bus, claims its interfaces, and makes it a device of this controller, with
    /// layers in between as for [`plug_with`](Self::plug_with).
    ///
    /// A thread opens it and wraps the layers; nothing blocks here. Dropping the port closes the device: for its users
    /// it is unplugged, its interfaces go back to the system's drivers if they were taken from them, and
    /// [`Port::close`] waits for that. After the kernel core has shut down the device is one that was unplugged at
    /// once.
    ///
    /// # Cancel safety
    /// Dropping the future closes the device, as soon as its thread has it; [`closed`](Self::closed) waits for that.
    ///
    /// # Errors
    /// All of [`OpenError`] but [`OpenError::NotFound`].
    pub async fn open(
        &self,
        device: &HostDevice,
        options: OpenOptions,
        layers: &[&dyn Layer],
    ) -> Result<Port, OpenError> {
        if self.clock().is_virtual() {
            return Err(OpenError::VirtualTime);
        }
        let way_back = returning::Reopen::new(device.clone(), options);
        let (opener, wanted) = (way_back.clone(), device.clone());
        let first = move |id| opener.open_blocking(id, wanted);
        let seated = self.open_outside(layers, &way_back, way_back.thread(), first).await;
        let failed = |problem| OpenError::Failed { device: device.to_string(), problem };
        seated.map_err(|error| match error {
            Unseated::Open(error) => error,
            Unseated::Start(error) => failed(returning::not_started(&error)),
            Unseated::LetGo => failed("its thread ended".into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use airlift_runtime::{Clock, Kernel};
    use futures::executor::block_on;

    use super::list::tests::device;
    use super::*;

    fn refusal(clock: Clock) -> OpenError {
        let kernel = Kernel::builder().clock(clock).build().unwrap();
        let controller = HostController::new(&kernel.handle()).unwrap();
        // No device of this id has this address.
        let absent = HostDevice { vendor_id: 0xffff, bus: 250, ..device("250-1") };
        block_on(controller.open(&absent, OpenOptions::new(), &[])).unwrap_err()
    }

    #[test]
    fn h4_a_device_that_has_left_cannot_be_opened_and_the_answer_comes_from_its_thread() {
        let error = refusal(Clock::system());
        assert!(matches!(error, OpenError::Unplugged { .. } | OpenError::NoUsb(_)), "{error:?}");
    }

    #[test]
    fn h4_a_device_outside_does_not_follow_virtual_time() {
        assert_eq!(refusal(Clock::virtual_time()), OpenError::VirtualTime);
    }
}
