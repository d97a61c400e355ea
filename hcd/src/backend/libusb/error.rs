//! [`OpenError`]: why a device on the system's bus cannot be had.

use core::fmt;
use std::path::PathBuf;

use super::sysfs::Network;

/// Why a device on the system's bus cannot be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system offers no USB at all: no bus, or none that this process may see (a container, for example).
    #[error("this system offers no USB: {0}")]
    NoUsb(String),
    /// No such device is plugged in.
    #[error("no USB device {0}")]
    NotFound(String),
    /// The system does not let this user open it.
    #[error("cannot open {device}: permission denied on {}", .node.display())]
    Permission {
        /// Which device: `0bda:8812 at 3-2`.
        device: String,
        /// Its node below `/dev`.
        node: PathBuf,
    },
    /// A driver of the system has it, and was to be left alone.
    #[error("cannot open {device}: held by {holder}")]
    Held {
        /// Which device.
        device: String,
        /// Who holds it.
        holder: Holder,
    },
    /// A driver of the system has it and a network interface on it is up. It is not taken away.
    #[error("cannot open {device}: in use by {holder}")]
    InUse {
        /// Which device.
        device: String,
        /// Who uses it.
        holder: Holder,
    },
    /// Another program has it.
    #[error("cannot open {device}: another program has it")]
    Busy {
        /// Which device.
        device: String,
    },
    /// It was there and is not any more.
    #[error("cannot open {device}: it was unplugged")]
    Unplugged {
        /// Which device.
        device: String,
    },
    /// Something else went wrong.
    #[error("cannot open {device}: {problem}")]
    Failed {
        /// Which device.
        device: String,
        /// What was tried, and what came of it.
        problem: String,
    },
    /// The kernel core runs on virtual time, which a device outside cannot follow.
    #[error("a real device needs a kernel core on the system's clock, not on virtual time")]
    VirtualTime,
}

/// A driver of the system that has an interface, and the network interface that it made of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Holder {
    /// The driver's name.
    pub driver: String,
    /// Its network interface: one that is up, if there is one.
    pub network: Option<Network>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.driver)?;
        match &self.network {
            Some(Network { name, up }) => write!(f, " ({name}, {})", if *up { "up" } else { "down" }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_device_and_who_has_it() {
        let device = || String::from("0bda:8812 at 3-2");
        let node = PathBuf::from("/dev/bus/usb/003/007");
        assert_eq!(
            OpenError::Permission { device: device(), node }.to_string(),
            "cannot open 0bda:8812 at 3-2: permission denied on /dev/bus/usb/003/007"
        );
        let network = Some(Network { name: "wlan1".into(), up: false });
        let holder = Holder { driver: "rtw88_8812au".into(), network };
        assert_eq!(
            OpenError::Held { device: device(), holder: holder.clone() }.to_string(),
            "cannot open 0bda:8812 at 3-2: held by rtw88_8812au (wlan1, down)"
        );
        let alone = Holder { network: None, ..holder };
        assert_eq!(
            OpenError::Held { device: device(), holder: alone }.to_string(),
            "cannot open 0bda:8812 at 3-2: held by rtw88_8812au"
        );
    }
}
