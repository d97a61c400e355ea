//! [`HostDevice`]: a device on the system's bus, seen from outside; and the list of them.

use core::fmt;
use std::fs::OpenOptions as FileOptions;
use std::io;
use std::path::PathBuf;

use rusb::{Context, UsbContext as _};

use super::error::{Holder, OpenError};
use super::status;
use super::sysfs::{HostInterface, Sysfs};
use crate::function::Speed;

/// `bDeviceClass` of a hub.
const HUB: u8 = 9;

/// A device on the system's bus, as it was when it was listed. Nothing was opened for it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HostDevice {
    /// Bus and ports, as Linux names them: `3-2`, `1-4.1`. It stays the same when the device is plugged in again.
    pub location: String,
    /// Number of the bus.
    pub bus: u8,
    /// The address on it, new each time the device is plugged in.
    pub address: u8,
    /// `idVendor`.
    pub vendor_id: u16,
    /// `idProduct`.
    pub product_id: u16,
    /// The speed of its connection.
    pub speed: Speed,
    /// Its serial number, where the system tells it.
    pub serial: Option<String>,
    /// Its interfaces, where the system tells of them.
    pub interfaces: Vec<HostInterface>,
}

/// Which device is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selector {
    /// The first one with these ids.
    Id {
        /// `idVendor`.
        vendor: u16,
        /// `idProduct`.
        product: u16,
    },
    /// The one at this bus and these ports: `3-2`.
    Location(String),
    /// The one with this serial number.
    Serial(String),
}

impl Selector {
    /// Whether it means `device`.
    pub fn matches(&self, device: &HostDevice) -> bool {
        match self {
            Self::Id { vendor, product } => (device.vendor_id, device.product_id) == (*vendor, *product),
            Self::Location(location) => device.location == *location,
            Self::Serial(serial) => device.serial.as_ref() == Some(serial),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id { vendor, product } => write!(f, "{vendor:04x}:{product:04x}"),
            Self::Location(location) => write!(f, "at {location}"),
            Self::Serial(serial) => write!(f, "with serial number {serial}"),
        }
    }
}

impl fmt::Display for HostDevice {
    /// `0bda:8812 at 3-2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x} at {}", self.vendor_id, self.product_id, self.location)
    }
}

impl HostDevice {
    /// The node through which Linux lets programs at the device.
    pub fn node(&self) -> PathBuf {
        PathBuf::from(format!("/dev/bus/usb/{:03}/{:03}", self.bus, self.address))
    }

    /// Whether this process could open the device now and take its interfaces of `class` (all of them: `None`),
    /// without trying to: the error is the one that [`open`](crate::HostController::open) without
    /// [`detach`](super::OpenOptions::detach) would give. Where the system does not tell, there is none. Reads a
    /// few files, so it may block for a moment.
    ///
    /// # Errors
    /// [`OpenError::Permission`], [`OpenError::Held`], [`OpenError::InUse`], [`OpenError::Busy`],
    /// [`OpenError::Unplugged`].
    pub fn availability_blocking(&self, class: Option<u8>) -> Result<(), OpenError> {
        if cfg!(target_os = "linux") {
            match FileOptions::new().read(true).write(true).open(self.node()) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(OpenError::Permission { device: self.to_string(), node: self.node() });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(OpenError::Unplugged { device: self.to_string() });
                }
                _ => {}
            }
        }
        self.holder(|interface| class.is_none_or(|class| interface.class == class))
    }

    /// Who holds one of the interfaces that are `wanted`, the worst obstacle first.
    pub(super) fn holder(&self, wanted: impl Fn(&HostInterface) -> bool) -> Result<(), OpenError> {
        let held = self.interfaces.iter().filter(|interface| wanted(interface));
        let mut obstacle = Ok(());
        for interface in held {
            let Some(driver) = &interface.driver else { continue };
            let up = interface.networks.iter().find(|network| network.up);
            let network = up.or(interface.networks.first()).cloned();
            let (device, holder) = (self.to_string(), Holder { driver: driver.clone(), network });
            match up {
                Some(_) => return Err(OpenError::InUse { device, holder }),
                None if driver == "usbfs" => obstacle = Err(OpenError::Busy { device }),
                None if obstacle.is_ok() => obstacle = Err(OpenError::Held { device, holder }),
                None => {}
            }
        }
        obstacle
    }
}

/// The devices on the system's buses, hubs left out, by location. Nothing is opened; the system's tables are read,
/// which may block for a moment.
///
/// # Errors
/// [`OpenError::NoUsb`].
pub fn devices_blocking() -> Result<Vec<HostDevice>, OpenError> {
    listed(&context()?)
}

/// The first device that `selector` means, by location.
///
/// # Errors
/// [`OpenError::NoUsb`], [`OpenError::NotFound`].
pub fn find_blocking(selector: &Selector) -> Result<HostDevice, OpenError> {
    let found = devices_blocking()?.into_iter().find(|device| selector.matches(device));
    found.ok_or_else(|| OpenError::NotFound(selector.to_string()))
}

/// A libusb context of its own.
pub(super) fn context() -> Result<Context, OpenError> {
    Context::new().map_err(|error| OpenError::NoUsb(no_usb(error)))
}

/// libusb only says "other error" where Linux has no bus to show.
fn no_usb(error: rusb::Error) -> String {
    if cfg!(target_os = "linux") && error == rusb::Error::Other {
        return "there is no device node in /dev/bus/usb".into();
    }
    format!("libusb does not start: {error}")
}

pub(super) fn listed(context: &Context) -> Result<Vec<HostDevice>, OpenError> {
    let failed = |error: rusb::Error| OpenError::NoUsb(format!("devices cannot be listed: {error}"));
    let list = context.devices().map_err(failed)?;
    let sysfs = Sysfs::system();
    let mut devices: Vec<_> = list.iter().filter_map(|device| describe(&device, &sysfs)).collect();
    devices.sort_by_key(|device| (device.bus, ports(&device.location)));
    Ok(devices)
}

/// `None` for hubs, and for what has no descriptor (any more).
fn describe(device: &rusb::Device<Context>, sysfs: &Sysfs) -> Option<HostDevice> {
    let descriptor = device.device_descriptor().ok()?;
    if descriptor.class_code() == HUB {
        return None;
    }
    let location = location(device.bus_number(), device.address(), &device.port_numbers().ok()?);
    let rusb::Version(major, minor, sub_minor) = descriptor.usb_version();
    let version = u16::from(major) << 8 | u16::from(minor) << 4 | u16::from(sub_minor);
    Some(HostDevice {
        bus: device.bus_number(),
        address: device.address(),
        vendor_id: descriptor.vendor_id(),
        product_id: descriptor.product_id(),
        speed: status::speed(device.speed(), version),
        serial: sysfs.text(&location, "serial"),
        interfaces: sysfs.interfaces(&location),
        location,
    })
}

/// Bus and ports as Linux names them. Where the system tells no ports the address has to do.
fn location(bus: u8, address: u8, ports: &[u8]) -> String {
    match ports {
        [] => format!("{bus}-@{address}"),
        ports => {
            let ports: Vec<String> = ports.iter().map(u8::to_string).collect();
            format!("{bus}-{}", ports.join("."))
        }
    }
}

fn ports(location: &str) -> Vec<u8> {
    let ports = location.split_once('-').map_or("", |(_, ports)| ports);
    ports.split('.').filter_map(|port| port.parse().ok()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::sysfs::Network;
    use super::*;

    pub(in super::super) fn device(location: &str) -> HostDevice {
        HostDevice {
            location: location.into(),
            bus: 3,
            address: 7,
            vendor_id: 0x0bda,
            product_id: 0x8812,
            speed: Speed::High,
            serial: None,
            interfaces: Vec::new(),
        }
    }

    fn interface(class: u8, driver: Option<&str>, networks: &[(&str, bool)]) -> HostInterface {
        let networks = networks.iter().map(|(name, up)| Network { name: (*name).into(), up: *up }).collect();
        HostInterface { number: 0, class, driver: driver.map(Into::into), networks }
    }

    fn obstacle(interfaces: Vec<HostInterface>) -> Result<(), String> {
        let device = HostDevice { interfaces, ..device("3-2") };
        device.holder(|interface| interface.class == 0xff).map_err(|error| error.to_string())
    }

    #[test]
    fn a_device_is_named_as_linux_names_it() {
        assert_eq!(location(3, 7, &[2]), "3-2");
        assert_eq!(location(1, 7, &[4, 1, 2]), "1-4.1.2");
        assert_eq!(location(1, 7, &[]), "1-@7");
        assert_eq!(device("3-2").to_string(), "0bda:8812 at 3-2");
        assert_eq!(device("3-2").node(), PathBuf::from("/dev/bus/usb/003/007"));
    }

    #[test]
    fn port_numbers_are_ordered_as_numbers() {
        assert!(ports("1-2") < ports("1-10"));
        assert!(ports("1-2") < ports("1-2.1"));
    }

    #[test]
    fn a_device_is_chosen_by_id_by_location_and_by_serial_number() {
        let mut device = device("1-4.1");
        device.serial = Some("00e04c".into());
        assert!(Selector::Id { vendor: 0x0bda, product: 0x8812 }.matches(&device));
        assert!(!Selector::Id { vendor: 0x0bda, product: 0x8811 }.matches(&device));
        assert!(Selector::Location("1-4.1".into()).matches(&device));
        assert!(!Selector::Location("1-4".into()).matches(&device));
        assert!(Selector::Serial("00e04c".into()).matches(&device));
        device.serial = None;
        assert!(!Selector::Serial(String::new()).matches(&device));
    }

    #[test]
    fn who_holds_an_interface_is_told_and_what_is_up_comes_first() {
        assert_eq!(obstacle(vec![interface(0xff, None, &[])]), Ok(()));
        // Bluetooth beside Wi-Fi is none of ours.
        assert_eq!(obstacle(vec![interface(0xe0, Some("btusb"), &[]), interface(0xff, None, &[])]), Ok(()));
        let down = interface(0xff, Some("rtw88_8821au"), &[("wlan1", false)]);
        let up = interface(0xff, Some("rtw88_8821au"), &[("mon0", false), ("wlan1", true)]);
        let held = "cannot open 0bda:8812 at 3-2: held by rtw88_8821au (wlan1, down)";
        assert_eq!(obstacle(vec![down.clone()]), Err(held.into()));
        let used = "cannot open 0bda:8812 at 3-2: in use by rtw88_8821au (wlan1, up)";
        assert_eq!(obstacle(vec![down.clone(), up]), Err(used.into()));
        let busy = "cannot open 0bda:8812 at 3-2: another program has it";
        assert_eq!(obstacle(vec![interface(0xff, Some("usbfs"), &[]), down]), Err(busy.into()));
    }
}
