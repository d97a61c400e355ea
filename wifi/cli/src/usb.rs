//! Adapters on the system's USB buses: which there are, whether they can be had, and how to open one.
//!
//! Neighbours: [`crate::devices`] lists and chooses, [`crate::session`] opens. A program without the feature `libusb`
//! has `no_usb` in place of this.

use airlift_hcd::libusb::{HostDevice, OpenError, OpenOptions, Selector, devices_blocking, find_blocking};
use airlift_hcd::{HostController, Layer, Port, Speed};
use airlift_wifi::Chip;

use crate::args::Device;
use crate::exit::{Exit, Failure, UDEV_HELP};

/// The class of a Wi-Fi adapter's interface: the vendor's own. A Bluetooth controller beside it has another.
const WIFI_CLASS: u8 = 0xff;

/// An adapter on the bus, with a chip that the driver knows.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    device: HostDevice,
    chip: Chip,
}

/// The adapters that are plugged in; none on a system without USB.
pub(crate) fn adapters() -> Vec<Adapter> {
    let devices = devices_blocking().unwrap_or_default();
    let known = |device: HostDevice| {
        let chip = Chip::from_usb_id(device.vendor_id, device.product_id)?;
        Some(Adapter { device, chip })
    };
    devices.into_iter().filter_map(known).collect()
}

/// The adapter that `asked` names; `chip` says what it carries if its id does not.
///
/// # Errors
/// It is not there, or not known to carry a chip that the driver knows.
pub(crate) fn find(asked: &Device, chip: Option<Chip>) -> Result<Adapter, Failure> {
    let selector = match asked {
        Device::Id(vendor, product) => Selector::Id { vendor: *vendor, product: *product },
        Device::Port(port) => Selector::Location(port.clone()),
        Device::Serial(serial) => Selector::Serial(serial.clone()),
        Device::Emulated(_) | Device::Usbip(_) => {
            return Err(Failure::failed(format!("{asked} is on no bus of this machine")));
        }
    };
    let device = find_blocking(&selector).map_err(|error| absent(asked, error))?;
    match chip.or_else(|| Chip::from_usb_id(device.vendor_id, device.product_id)) {
        Some(chip) => Ok(Adapter { device, chip }),
        None => {
            let chips: Vec<&str> = Chip::ALL.iter().map(|chip| chip.name()).collect();
            let message = format!("{device} is not supported ({} are)", chips.join(", "));
            let add = "if it is one of these under another id, add --chip rtl8812au";
            Err(Failure::failed(message).help(add))
        }
    }
}

fn absent(asked: &Device, error: OpenError) -> Failure {
    let message = match error {
        OpenError::NotFound(_) => format!("no adapter {asked} is plugged in"),
        error => format!("no adapter {asked}: {error}"),
    };
    Failure::new(Exit::NoAdapter, message)
        .help("airlift devices lists what can be used; without --device it is the first of these")
}

impl Adapter {
    /// Bus and ports, and id: `3-2  0bda:8812`.
    pub(crate) fn name(&self) -> String {
        let HostDevice { location, vendor_id, product_id, .. } = &self.device;
        format!("{location}  {vendor_id:04x}:{product_id:04x}")
    }

    pub(crate) fn chip(&self) -> Chip {
        self.chip
    }

    /// The speed of its connection, in bits a second.
    pub(crate) fn usb(&self) -> &'static str {
        match self.device.speed {
            Speed::Low => "1.5M",
            Speed::Full => "12M",
            Speed::High => "480M",
            Speed::Super => "5G",
        }
    }

    /// Whether it can be had, in a few words.
    pub(crate) fn state(&self) -> String {
        state(self.device.availability_blocking(Some(WIFI_CLASS)))
    }

    /// Whether it could be opened now.
    pub(crate) fn is_ready(&self, detach: bool) -> bool {
        match self.device.availability_blocking(Some(WIFI_CLASS)) {
            Ok(()) => true,
            Err(OpenError::Held { .. }) => detach,
            Err(_) => false,
        }
    }

    /// Opens it on `controller`.
    ///
    /// # Errors
    /// No permission, held by somebody else, unplugged.
    pub(crate) async fn open(
        &self,
        controller: &HostController,
        detach: bool,
        layers: &[&dyn Layer],
    ) -> Result<Port, Failure> {
        let options = OpenOptions::new().class(WIFI_CLASS).detach(detach);
        controller.open(&self.device, options, layers).await.map_err(Failure::from)
    }
}

fn state(availability: Result<(), OpenError>) -> String {
    match availability {
        Ok(()) => "ready".into(),
        Err(OpenError::Permission { .. }) => "no permission; fix: airlift udev".into(),
        Err(OpenError::Held { holder, .. }) => format!("held by {holder}; --detach takes it"),
        Err(OpenError::InUse { holder, .. }) => format!("in use by {holder}"),
        Err(OpenError::Busy { .. }) => "another program has it".into(),
        Err(OpenError::Unplugged { .. }) => "just unplugged".into(),
        Err(error) => error.to_string(),
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let message = error.to_string();
        match error {
            OpenError::Permission { .. } => Self::new(Exit::Busy, message).help(UDEV_HELP),
            OpenError::Held { .. } => {
                Self::new(Exit::Busy, message).help("--detach takes it, and gives it back at the end")
            }
            OpenError::InUse { holder, .. } => {
                let network = holder.network.map_or_else(|| "IFACE".into(), |network| network.name);
                let help = format!("if it is not needed: sudo ip link set {network} down, and add --detach");
                Self::new(Exit::Busy, message).help(help)
            }
            OpenError::Busy { .. } => Self::new(Exit::Busy, message).help("end that program first"),
            OpenError::Unplugged { .. } => {
                Self::new(Exit::Unplugged, message).help("plug the adapter in again")
            }
            OpenError::NoUsb(_) | OpenError::NotFound(_) => Self::new(Exit::NoAdapter, message),
            _ => Self::failed(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn device() -> String {
        "0bda:8812 at 3-2".into()
    }

    #[test]
    fn a_missing_permission_is_told_with_its_fix() {
        let error = OpenError::Permission { device: device(), node: PathBuf::from("/dev/bus/usb/003/007") };
        assert_eq!(state(Err(error.clone())), "no permission; fix: airlift udev");
        let failure = Failure::from(error);
        assert_eq!(failure.exit, Exit::Busy);
        assert_eq!(
            failure.render(),
            "error: cannot open 0bda:8812 at 3-2: permission denied on /dev/bus/usb/003/007\n\
             help:  airlift udev | sudo tee /etc/udev/rules.d/70-airlift.rules\n       \
             sudo udevadm control --reload, then replug\n"
        );
    }

    #[test]
    fn a_busy_or_lost_adapter_has_its_exit_code_and_a_way_out() {
        for (error, exit, shown, help) in [
            (OpenError::Busy { device: device() }, Exit::Busy, "another program has it", "end that program"),
            (
                OpenError::Unplugged { device: device() },
                Exit::Unplugged,
                "just unplugged",
                "plug the adapter in",
            ),
        ] {
            assert_eq!(state(Err(error.clone())), shown);
            let failure = Failure::from(error);
            assert_eq!(failure.exit, exit);
            assert!(failure.render().contains(help), "{}", failure.render());
        }
        let failure = Failure::from(OpenError::NoUsb("none".into()));
        assert_eq!(failure.exit, Exit::NoAdapter);
        assert_eq!(state(Ok(())), "ready");
    }

    #[test]
    fn an_adapter_that_is_absent_is_named_as_it_was_asked_for() {
        let failure = absent(&Device::Port("3-2".into()), OpenError::NotFound("at 3-2".into()));
        assert!(failure.render().starts_with("error: no adapter 3-2 is plugged in\nhelp:  airlift devices"));
        let failure = absent(&Device::Id(0x0bda, 0x8812), OpenError::NoUsb("no bus".into()));
        assert!(failure.render().starts_with(
            "error: no adapter 0bda:8812: this system offers no USB: no bus\nhelp:  airlift devices"
        ));
        assert_eq!(failure.exit, Exit::NoAdapter);
    }
}
