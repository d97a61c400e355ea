//! Which adapter is meant: [`Device`], as every command takes it.

use std::fmt;
use std::str::FromStr;

use airlift_hcd::usbip::protocol::{BUS_ID_LEN, PORT};

use super::Emulated;
use crate::remote::Remote;

/// Which adapter is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Device {
    /// An emulated one.
    Emulated(Emulated),
    /// USB vendor and product.
    Id(u16, u16),
    /// Bus and ports, as Linux names them: `3-2`, `1-4.1`.
    Port(String),
    /// The serial number.
    Serial(String),
    /// One that a USB/IP server exports.
    Usbip(Remote),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emulated(emulated) => write!(f, "emulated:{emulated}"),
            Self::Id(vendor, product) => write!(f, "{vendor:04x}:{product:04x}"),
            Self::Port(port) => f.write_str(port),
            Self::Serial(serial) => write!(f, "serial:{serial}"),
            Self::Usbip(Remote { server, bus_id }) => write!(f, "usbip:{server}/{bus_id}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(chip) = text.strip_prefix("emulated:") {
            return chip.parse().map(Self::Emulated);
        }
        if let Some(serial) = text.strip_prefix("serial:").filter(|serial| !serial.is_empty()) {
            return Ok(Self::Serial(serial.to_owned()));
        }
        if let Some(remote) = text.strip_prefix("usbip:") {
            let expected = || "expected usbip:HOST:PORT/BUSID such as usbip:192.0.2.7:3240/1-1".to_owned();
            let (server, bus_id) = remote.rsplit_once('/').ok_or_else(expected)?;
            // The port may be left out; what is in brackets is an address of version 6.
            let bare = server.rfind(':').is_none_or(|colon| server[colon..].contains(']'));
            let server = if bare { format!("{server}:{PORT}") } else { server.to_owned() };
            let (host, port) = server.rsplit_once(':').ok_or_else(expected)?;
            let named = !host.is_empty() && !bus_id.is_empty() && bus_id.len() < BUS_ID_LEN;
            return match port.parse::<u16>() {
                Ok(1..) if named => {
                    Ok(Self::Usbip(Remote { bus_id: bus_id.to_owned(), server: server.clone() }))
                }
                _ => Err(expected()),
            };
        }
        let hex = |part: &str| {
            let digits = part.len() == 4 && part.bytes().all(|b| b.is_ascii_hexdigit());
            u16::from_str_radix(part, 16).ok().filter(|_| digits)
        };
        if let Some((vendor, product)) = text.split_once(':')
            && let (Some(vendor), Some(product)) = (hex(vendor), hex(product))
        {
            return Ok(Self::Id(vendor, product));
        }
        if let Some((bus, ports)) = text.split_once('-') {
            let number = |part: &str| part.len() <= 3 && part.parse::<u8>().is_ok_and(|n| n > 0);
            if number(bus) && ports.split('.').all(number) {
                return Ok(Self::Port(text.to_owned()));
            }
        }
        Err("expected emulated:CHIP such as emulated:rtl8812au, VID:PID such as 0bda:8812, BUS-PORT such as 3-2, \
             serial:TEXT, or usbip:HOST:PORT/BUSID"
            .into())
    }
}

#[cfg(test)]
mod tests {
    use airlift_emu::Model;

    use super::*;

    #[test]
    fn devices_are_named_in_four_ways() {
        for model in Model::ALL {
            let device = Device::Emulated(Emulated::ordinary(*model));
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("emulated:rtl8812au".parse(), Ok(Device::Emulated(Emulated::ordinary(Model::Rtl8812au))));
        assert_eq!("0bda:8812".parse(), Ok(Device::Id(0x0bda, 0x8812)));
        assert_eq!("3-2".parse(), Ok(Device::Port("3-2".into())));
        assert_eq!("1-4.1.2".parse(), Ok(Device::Port("1-4.1.2".into())));
        assert_eq!("serial:00e04c".parse(), Ok(Device::Serial("00e04c".into())));
        for text in [
            "",
            "serial:",
            "emulated",
            "emulated:rtl8811bu",
            "emulated:rtl8821au,usb3-switch",
            "bda:8812",
            "0bda:+812",
            "3-",
            "-2",
            "0-1",
            "3-2.",
            "a-b",
        ] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_remote_device_is_named_by_server_and_bus_id() {
        let remote = |server: &str, bus_id: &str| {
            Ok(Device::Usbip(Remote { server: server.into(), bus_id: bus_id.into() }))
        };
        assert_eq!("usbip:192.0.2.7:4000/1-1".parse(), remote("192.0.2.7:4000", "1-1"));
        assert_eq!("usbip:lab.example/3-2.1".parse(), remote("lab.example:3240", "3-2.1"));
        assert_eq!("usbip:[::1]/1-1".parse(), remote("[::1]:3240", "1-1"));
        assert_eq!("usbip:[::1]:9/1-1".parse(), remote("[::1]:9", "1-1"));
        let long = format!("usbip:host:1/{}", "1".repeat(32));
        for text in
            ["usbip:", "usbip:host", "usbip:host/", "usbip:/1-1", "usbip:host:0/1-1", "usbip:h:x/1-1", &long]
        {
            assert!(text.parse::<Device>().unwrap_err().contains("usbip:HOST:PORT/BUSID"), "{text}");
        }
    }
}
