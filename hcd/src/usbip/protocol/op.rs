//! The `OP_*` messages: the list of a server's devices, and taking one of them.

use super::{EXPORT_PATH, ProtocolError, VERSION, be16, be32};
use crate::function::{Descriptors, Speed};

/// Bytes of the header that opens every `OP_*` message.
pub const OP_HEADER_LEN: usize = 8;
/// Bytes of a bus id, NUL-padded.
pub const BUS_ID_LEN: usize = 32;
/// Bytes of a device record in `OP_REP_DEVLIST` (without its interfaces) and `OP_REP_IMPORT`.
pub const DEVICE_LEN: usize = 312;
/// `OP_REQ_DEVLIST`: the client asks for the list of devices.
pub const OP_REQ_DEVLIST: u16 = 0x8005;
/// `OP_REP_DEVLIST`: the list of devices.
pub const OP_REP_DEVLIST: u16 = 0x0005;
/// `OP_REQ_IMPORT`: the client takes a device, named by its bus id.
pub const OP_REQ_IMPORT: u16 = 0x8003;
/// `OP_REP_IMPORT`: whether it got the device.
pub const OP_REP_IMPORT: u16 = 0x0003;
/// `OP_*` status: done.
pub const ST_OK: u32 = 0;
/// `OP_*` status: refused for no better reason.
pub const ST_NA: u32 = 1;
/// `OP_*` status: the device is imported by somebody else.
pub const ST_DEV_BUSY: u32 = 2;
/// `OP_*` status: no device has that bus id.
pub const ST_NODEV: u32 = 4;

/// The header that opens every `OP_*` message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpHeader {
    /// Which operation: one of the `OP_*` codes.
    pub code: u16,
    /// [`ST_OK`] or why not; zero in requests.
    pub status: u32,
}

impl OpHeader {
    /// Reads the header.
    ///
    /// # Errors
    /// Another version of the protocol.
    pub fn parse(bytes: &[u8; OP_HEADER_LEN]) -> Result<Self, ProtocolError> {
        let version = be16(bytes, 0);
        if version != VERSION {
            return Err(ProtocolError::Version(version));
        }
        Ok(Self { code: be16(bytes, 2), status: be32(bytes, 4) })
    }

    /// Writes the header.
    pub fn emit(self) -> [u8; OP_HEADER_LEN] {
        let mut bytes = [0; OP_HEADER_LEN];
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.code.to_be_bytes());
        bytes[4..].copy_from_slice(&self.status.to_be_bytes());
        bytes
    }
}

/// Reads a NUL-padded bus id such as `1-1`.
///
/// # Errors
/// It has no end, or is no text.
pub fn parse_bus_id(bytes: &[u8; BUS_ID_LEN]) -> Result<&str, ProtocolError> {
    let end = bytes.iter().position(|&b| b == 0).ok_or(ProtocolError::BusId)?;
    core::str::from_utf8(&bytes[..end]).map_err(|_| ProtocolError::BusId)
}

/// Writes a bus id, NUL-padded; what does not fit is cut off, so that one NUL always ends it.
pub fn emit_bus_id(id: &str) -> [u8; BUS_ID_LEN] {
    let mut bytes = [0; BUS_ID_LEN];
    let length = id.len().min(BUS_ID_LEN - 1);
    bytes[..length].copy_from_slice(&id.as_bytes()[..length]);
    bytes
}

/// The code of a speed (Linux, `enum usb_device_speed`).
pub const fn speed_code(speed: Speed) -> u32 {
    match speed {
        Speed::Low => 1,
        Speed::Full => 2,
        Speed::High => 3,
        Speed::Super => 5,
    }
}

fn speed_from_code(code: u32) -> Result<Speed, ProtocolError> {
    match code {
        1 => Ok(Speed::Low),
        2 => Ok(Speed::Full),
        3 => Ok(Speed::High),
        // Super speed plus is carried as super speed.
        5 | 6 => Ok(Speed::Super),
        other => Err(ProtocolError::Speed(other)),
    }
}

/// A device as the lists show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRecord {
    /// Where the device sits, for a reader.
    pub path: String,
    /// The name that imports it.
    pub bus_id: String,
    /// Number of the bus; upper half of the device id in transfer headers.
    pub bus_number: u32,
    /// Number on the bus; lower half of the device id.
    pub device_number: u32,
    /// Speed of the connection.
    pub speed: Speed,
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
    /// `bcdDevice`.
    pub release: u16,
    /// Class, subclass, protocol of the device.
    pub class: [u8; 3],
    /// `bConfigurationValue` of the chosen configuration, `bNumConfigurations`, `bNumInterfaces`.
    pub counts: [u8; 3],
    /// Class, subclass and protocol of each interface (its first setting).
    pub interfaces: Vec<[u8; 3]>,
}

impl DeviceRecord {
    /// The record of a device with these descriptors, on bus 1.
    pub fn new(bus_id: &str, device_number: u32, descriptors: &Descriptors) -> Self {
        let d = &descriptors.device;
        let configuration = &descriptors.configuration;
        let interfaces = interface_classes(configuration);
        Self {
            path: format!("{EXPORT_PATH}{bus_id}"),
            bus_id: bus_id.to_owned(),
            bus_number: 1,
            device_number,
            speed: descriptors.speed,
            vendor: u16::from_le_bytes([d[8], d[9]]),
            product: u16::from_le_bytes([d[10], d[11]]),
            release: u16::from_le_bytes([d[12], d[13]]),
            class: [d[4], d[5], d[6]],
            counts: [configuration.get(5).copied().unwrap_or(0), d[17], interfaces.len() as u8],
            interfaces,
        }
    }

    /// The device id of transfer headers.
    pub fn device_id(&self) -> u32 {
        self.bus_number << 16 | self.device_number & 0xffff
    }

    /// Reads the fixed part of a record; the interfaces, which only lists carry, stay empty.
    ///
    /// # Errors
    /// A field that cannot be.
    pub fn parse(bytes: &[u8; DEVICE_LEN]) -> Result<Self, ProtocolError> {
        let path_end = bytes[..256].iter().position(|&b| b == 0).unwrap_or(256);
        let id: &[u8; BUS_ID_LEN] = bytes[256..288].try_into().map_err(|_| ProtocolError::BusId)?;
        Ok(Self {
            path: String::from_utf8_lossy(&bytes[..path_end]).into_owned(),
            bus_id: parse_bus_id(id)?.to_owned(),
            bus_number: be32(bytes, 288),
            device_number: be32(bytes, 292),
            speed: speed_from_code(be32(bytes, 296))?,
            vendor: be16(bytes, 300),
            product: be16(bytes, 302),
            release: be16(bytes, 304),
            class: [bytes[306], bytes[307], bytes[308]],
            counts: [bytes[309], bytes[310], bytes[311]],
            interfaces: Vec::new(),
        })
    }

    /// Writes the fixed part of a record.
    pub fn emit(&self) -> [u8; DEVICE_LEN] {
        let mut bytes = [0; DEVICE_LEN];
        let length = self.path.len().min(255);
        bytes[..length].copy_from_slice(&self.path.as_bytes()[..length]);
        bytes[256..288].copy_from_slice(&emit_bus_id(&self.bus_id));
        bytes[288..292].copy_from_slice(&self.bus_number.to_be_bytes());
        bytes[292..296].copy_from_slice(&self.device_number.to_be_bytes());
        bytes[296..300].copy_from_slice(&speed_code(self.speed).to_be_bytes());
        bytes[300..302].copy_from_slice(&self.vendor.to_be_bytes());
        bytes[302..304].copy_from_slice(&self.product.to_be_bytes());
        bytes[304..306].copy_from_slice(&self.release.to_be_bytes());
        bytes[306..309].copy_from_slice(&self.class);
        bytes[309..312].copy_from_slice(&self.counts);
        bytes
    }
}

/// Class triples of the interfaces' first settings, walking the configuration descriptor (USB 2.0, 9.6.5).
fn interface_classes(configuration: &[u8]) -> Vec<[u8; 3]> {
    let mut found = Vec::new();
    let mut rest = configuration;
    while let [length, kind, ..] = *rest {
        let length = usize::from(length);
        if length < 2 || length > rest.len() || found.len() == 255 {
            break;
        }
        if kind == 4 && length >= 9 && rest[3] == 0 {
            found.push([rest[5], rest[6], rest[7]]);
        }
        rest = &rest[length..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h4_op_header_is_version_code_status() {
        let bytes = [0x01, 0x11, 0x80, 0x05, 0, 0, 0, 0];
        assert_eq!(OpHeader::parse(&bytes), Ok(OpHeader { code: OP_REQ_DEVLIST, status: ST_OK }));
        assert_eq!(OpHeader { code: OP_REQ_DEVLIST, status: 0 }.emit(), bytes);
        let old = [0x01, 0x06, 0x80, 0x05, 0, 0, 0, 0];
        assert_eq!(OpHeader::parse(&old), Err(ProtocolError::Version(0x0106)));
    }

    #[test]
    fn h4_device_record_has_the_documented_layout() {
        let mut device = [0; 18];
        device[4..7].copy_from_slice(&[0, 0, 0]);
        device[8..14].copy_from_slice(&[0xda, 0x0b, 0x12, 0x88, 0x00, 0x02]);
        device[17] = 1;
        let configuration = vec![9, 2, 18, 0, 1, 1, 0, 0x80, 250, 9, 4, 0, 0, 5, 0xff, 0xfe, 0xfd, 0];
        let d = Descriptors { device, configuration, strings: Vec::new(), speed: Speed::High };
        let record = DeviceRecord::new("1-1", 2, &d);
        assert_eq!(record.interfaces, [[0xff, 0xfe, 0xfd]]);
        assert_eq!(record.device_id(), 0x0001_0002);
        let bytes = record.emit();
        assert_eq!(&bytes[256..260], b"1-1\0");
        assert_eq!(bytes[288..300], [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
        assert_eq!(bytes[300..306], [0x0b, 0xda, 0x88, 0x12, 0x02, 0x00]);
        assert_eq!(bytes[309..312], [1, 1, 1]);
        let parsed = DeviceRecord::parse(&bytes).unwrap();
        assert_eq!(parsed, DeviceRecord { interfaces: Vec::new(), ..record });
    }

    #[test]
    fn h4_a_bus_id_without_an_end_is_refused() {
        assert_eq!(parse_bus_id(&[b'1'; BUS_ID_LEN]), Err(ProtocolError::BusId));
        assert_eq!(parse_bus_id(&emit_bus_id("1-1")), Ok("1-1"));
    }
}
