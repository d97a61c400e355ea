//! [`Opened`]: a device that is opened and whose interfaces are ours, and what it takes to get there and back.
//!
//! All of this blocks, and runs on a thread that is there to open it (see `outside`), then on the device's own (see
//! [`thread`](super::thread)).

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusb::{Context, DeviceHandle, UsbContext as _};

use super::error::{Holder, OpenError};
use super::list::{HostDevice, context};
use super::returning::{Beside, Present};
use super::status;
use super::sysfs::Sysfs;
use crate::backend::DeviceOp;
use crate::descriptor::{CONFIGURATION, Configuration, DEVICE};
use crate::status::TransferError;

/// A device answers descriptor requests within this, or not at all (USB 2.0, section 9.2.6.4: half a second).
const DESCRIPTOR_TIMEOUT: Duration = Duration::from_secs(1);

const GET_DESCRIPTOR: u8 = 6;

/// How a device is opened.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct OpenOptions {
    detach: bool,
    class: Option<u8>,
}

impl OpenOptions {
    /// All interfaces are claimed, and a device that a driver of the system holds is left to it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes interfaces away from the system's driver, and gives them back when the device is closed. An interface
    /// that the system has up as a network interface is refused all the same.
    pub fn detach(mut self, detach: bool) -> Self {
        self.detach = detach;
        self
    }

    /// Claims the interfaces of this class only (0xff: the vendor's own), and leaves the others to whoever has
    /// them: a Wi-Fi adapter may have a Bluetooth controller beside it.
    pub fn class(mut self, class: u8) -> Self {
        self.class = Some(class);
        self
    }
}

/// An open device. Dropping it gives the interfaces back, to the system's drivers too, and closes it.
pub(super) struct Opened {
    pub(super) handle: Arc<DeviceHandle<Context>>,
    name: String,
    pub(super) descriptor: [u8; 18],
    pub(super) configuration: Option<Configuration>,
    options: OpenOptions,
    claimed: Mutex<Vec<u8>>,
    /// Interfaces whose drivers want them back.
    detached: Vec<u8>,
}

impl Opened {
    /// Opens `device` and claims its interfaces; notes the others of its kind.
    pub(super) fn new(device: &HostDevice, options: OpenOptions, beside: &Beside) -> Result<Self, OpenError> {
        let context = context()?;
        let list = context.devices().map_err(|error| failed(device, "listing the devices", error))?;
        let found = list.iter().find(|found| is_same(found, device));
        let found = found.ok_or_else(|| OpenError::Unplugged { device: device.to_string() })?;
        beside.note_all(device, list.iter().filter_map(|present| seen(&present)));
        let handle = Arc::new(found.open().map_err(|error| failed(device, "opening it", error))?);

        if handle.active_configuration().unwrap_or(0) == 0 {
            let first = found.config_descriptor(0).map_or(1, |descriptor| descriptor.number());
            let chosen = handle.set_active_configuration(first);
            chosen.map_err(|error| failed(device, "choosing its configuration", error))?;
        }
        let descriptor = device_descriptor(&handle)
            .map_err(|error| failed(device, "reading its device descriptor", error))?;
        let configuration = configuration(&handle, descriptor[17])
            .map_err(|error| failed(device, "reading its configuration", error))?;
        let mut opened = Self {
            handle,
            name: device.to_string(),
            descriptor,
            configuration,
            options,
            claimed: Mutex::default(),
            detached: Vec::new(),
        };
        opened.take_from_drivers(device)?;
        for number in opened.wanted() {
            opened.claim(number).map_err(|error| match error {
                // What the system's drivers had is ours by now: this is another program.
                rusb::Error::Busy => OpenError::Busy { device: device.to_string() },
                error => failed(device, &format!("claiming interface {number}"), error),
            })?;
        }
        Ok(opened)
    }

    /// Numbers of the interfaces that are to be claimed.
    fn wanted(&self) -> Vec<u8> {
        let Some(configuration) = &self.configuration else { return Vec::new() };
        let mut numbers: Vec<u8> = configuration
            .alternates()
            .filter(|setting| self.options.class.is_none_or(|class| setting.class() == class))
            .map(|setting| setting.interface())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Detaches the system's drivers, if that was asked for and nothing that they have is up.
    fn take_from_drivers(&mut self, device: &HostDevice) -> Result<(), OpenError> {
        let wanted = self.wanted();
        // As it is now, not as it was when the device was listed.
        let interfaces = Sysfs::system().interfaces(&device.location);
        let now = HostDevice { interfaces, ..device.clone() };
        match now.holder(|interface| wanted.contains(&interface.number)) {
            Err(OpenError::Held { .. }) if self.options.detach => {}
            other => other?,
        }
        for number in wanted {
            match self.handle.kernel_driver_active(number) {
                Ok(true) if self.options.detach => {
                    let detached = self.handle.detach_kernel_driver(number);
                    detached.map_err(|error| {
                        failed(device, &format!("detaching the driver of interface {number}"), error)
                    })?;
                    self.detached.push(number);
                }
                Ok(true) => {
                    let driver = now.interfaces.iter().find(|interface| interface.number == number);
                    let driver = driver.and_then(|interface| interface.driver.clone());
                    let driver = driver.unwrap_or_else(|| "a driver of the system".into());
                    let holder = Holder { driver, network: None };
                    return Err(OpenError::Held { device: device.to_string(), holder });
                }
                // No driver, or a system on which there is no telling: claiming shows it.
                Ok(false) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn claimed(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, number: u8) -> rusb::Result<()> {
        self.handle.claim_interface(number)?;
        self.claimed().push(number);
        // Another program may have left another setting behind.
        let settings = self.configuration.iter().flat_map(|configuration| configuration.alternates());
        if settings.filter(|setting| setting.interface() == number).count() > 1 {
            self.handle.set_alternate_setting(number, 0)?;
        }
        Ok(())
    }

    /// Does what a host does to a device beside transfers. Blocks.
    pub(super) fn operate(&self, op: DeviceOp) -> Result<(), TransferError> {
        match op {
            DeviceOp::ClearHalt(endpoint) => self.handle.clear_halt(endpoint).map_err(status::operation),
            DeviceOp::SetInterface { interface, alternate } => {
                self.handle.set_alternate_setting(interface, alternate).map_err(status::operation)
            }
            DeviceOp::SetConfiguration(value) => self.configure(value),
            DeviceOp::Reset => self.handle.reset().map_err(|error| match error {
                // It came back as another device, which this handle does not reach.
                rusb::Error::NotFound => TransferError::Shutdown,
                error => status::operation(error),
            }),
        }
    }

    /// The system changes the configuration only while nobody has an interface.
    fn configure(&self, value: u8) -> Result<(), TransferError> {
        for number in core::mem::take(&mut *self.claimed()) {
            self.handle.release_interface(number).map_err(status::operation)?;
        }
        if value == 0 {
            return self.handle.unconfigure().map_err(status::operation);
        }
        let chosen = self.handle.set_active_configuration(value).map_err(status::operation);
        // Also after a refusal: the configuration before is still there.
        let active = self.handle.active_configuration().unwrap_or(0);
        if self.configuration.as_ref().is_some_and(|configuration| configuration.value() == active) {
            for number in self.wanted() {
                self.claim(number).map_err(status::operation)?;
            }
        }
        chosen
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let claimed = core::mem::take(self.claimed.get_mut().unwrap_or_else(PoisonError::into_inner));
        for number in claimed {
            // Fails only if the device is gone, and with it the claim.
            _ = self.handle.release_interface(number);
        }
        for number in self.detached.drain(..) {
            match self.handle.attach_kernel_driver(number) {
                Ok(()) | Err(rusb::Error::NoDevice) => {}
                Err(error) => {
                    let device = &self.name;
                    tracing::warn!(%device, number, %error, "the system's driver did not take its interface back");
                }
            }
        }
    }
}

/// Whether libusb's device is the one that was listed: addresses are not used again soon, and ids rule out the rest.
pub(super) fn is_same(found: &rusb::Device<Context>, device: &HostDevice) -> bool {
    (found.bus_number(), found.address()) == (device.bus, device.address) && has_ids(found, device)
}

fn has_ids(found: &rusb::Device<Context>, device: &HostDevice) -> bool {
    seen(found).is_some_and(|present| present.ids == (device.vendor_id, device.product_id))
}

/// What it tells without being opened.
fn seen(device: &rusb::Device<Context>) -> Option<Present> {
    let descriptor = device.device_descriptor().ok()?;
    let ids = (descriptor.vendor_id(), descriptor.product_id());
    Some(Present { bus: device.bus_number(), address: device.address(), ids })
}

fn failed(device: &HostDevice, tried: &str, error: rusb::Error) -> OpenError {
    let name = device.to_string();
    match error {
        rusb::Error::Access => OpenError::Permission { device: name, node: device.node() },
        rusb::Error::NoDevice => OpenError::Unplugged { device: name },
        error => OpenError::Failed { device: name, problem: format!("{tried}: {error}") },
    }
}

fn descriptor(handle: &DeviceHandle<Context>, kind: u8, index: u8, buffer: &mut [u8]) -> rusb::Result<usize> {
    let value = u16::from_be_bytes([kind, index]);
    handle.read_control(0x80, GET_DESCRIPTOR, value, 0, buffer, DESCRIPTOR_TIMEOUT)
}

fn device_descriptor(handle: &DeviceHandle<Context>) -> rusb::Result<[u8; 18]> {
    let mut bytes = [0; 18];
    match descriptor(handle, DEVICE, 0, &mut bytes)? {
        18 => Ok(bytes),
        _ => Err(rusb::Error::BadDescriptor),
    }
}

/// The descriptors of the configuration that is chosen; `None` if what the device sends is no such thing.
fn configuration(handle: &DeviceHandle<Context>, count: u8) -> rusb::Result<Option<Configuration>> {
    let active = handle.active_configuration()?;
    for index in 0..count {
        let mut head = [0; 9];
        if descriptor(handle, CONFIGURATION, index, &mut head)? < head.len() || head[5] != active {
            continue;
        }
        let mut bytes = vec![0; usize::from(u16::from_le_bytes([head[2], head[3]]))];
        let length = descriptor(handle, CONFIGURATION, index, &mut bytes)?;
        bytes.truncate(length);
        return Ok(Configuration::parse(Bytes::from(bytes)).ok());
    }
    Ok(None)
}
