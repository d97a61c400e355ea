//! The messages of USB/IP 1.1.1, as views over bytes: what a client asks, what a server answers.
//!
//! Two families share one TCP connection. The `OP_*` messages come first (list the devices, import one); after
//! a successful import only 48-byte transfer headers follow, each with its data. All integers are big-endian.
//! Both directions of each message are here: the server parses what a client emits and the other way round.
//!
//! Source of the layouts: Linux, `Documentation/usb/usbip_protocol.rst` and `drivers/usb/usbip/usbip_common.h`.

use crate::function::{Descriptors, Speed};
use crate::setup::Setup;
use crate::status::TransferError;

/// The protocol version in binary-coded decimal: 1.1.1.
pub const VERSION: u16 = 0x0111;

/// The TCP port that IANA has assigned to USB/IP.
pub const PORT: u16 = 3240;

/// Where [`Server`](super::Server)'s devices say that they sit: so a client can tell a device in software.
pub const EXPORT_PATH: &str = "/airlift/";

/// Bytes of the header that opens every `OP_*` message.
pub const OP_HEADER_LEN: usize = 8;
/// Bytes of a bus id, NUL-padded.
pub const BUS_ID_LEN: usize = 32;
/// Bytes of a device record in `OP_REP_DEVLIST` (without its interfaces) and `OP_REP_IMPORT`.
pub const DEVICE_LEN: usize = 312;
/// Bytes of the header of every transfer message.
pub const HEADER_LEN: usize = 48;

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

const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;

/// `transfer_flags`: a transfer that ends short is an error (`URB_SHORT_NOT_OK`).
pub const SHORT_NOT_OK: u32 = 0x0001;
/// `transfer_flags`: an OUT transfer that fills its last packet is followed by an empty one (`URB_ZERO_PACKET`).
pub const ZERO_PACKET: u32 = 0x0040;

/// Why bytes are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The peer speaks another version.
    #[error("protocol version {0:#06x}, expected {VERSION:#06x}")]
    Version(u16),
    /// An `OP_*` code that is not known here.
    #[error("operation {0:#06x} is not known")]
    Operation(u16),
    /// A transfer command that is not known here, or that only the other side sends.
    #[error("transfer command {0:#x} is not known")]
    Command(u32),
    /// The direction is neither 0 nor 1.
    #[error("direction {0}, expected 0 (out) or 1 (in)")]
    Direction(u32),
    /// The endpoint number is above 15.
    #[error("endpoint number {0}, expected at most 15")]
    Endpoint(u32),
    /// The length is negative or above what a peer may ask for.
    #[error("transfer of {0} bytes, expected 0 to {1}")]
    Length(i32, usize),
    /// Isochronous packets, which are not served.
    #[error("isochronous transfer of {0} packets is not supported")]
    Isochronous(i32),
    /// The bus id is not NUL-terminated text.
    #[error("bus id is not NUL-terminated text")]
    BusId,
    /// The speed is none of USB's.
    #[error("speed code {0} is not known")]
    Speed(u32),
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

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

/// A transfer message from client to server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// `USBIP_CMD_SUBMIT`; for OUT, `length` bytes follow.
    Submit {
        /// Names the URB on this connection.
        sequence: u32,
        /// The device id that the import gave.
        device: u32,
        /// Endpoint address, bit 7 set for IN; 0 or 0x80 is the control endpoint.
        endpoint: u8,
        /// `transfer_flags` of the URB.
        flags: u32,
        /// Bytes to send or to receive.
        length: usize,
        /// The set-up packet; meaningful on the control endpoint.
        setup: Setup,
    },
    /// `USBIP_CMD_UNLINK`.
    Unlink {
        /// Names this request.
        sequence: u32,
        /// The device id that the import gave.
        device: u32,
        /// The URB to take back.
        victim: u32,
    },
}

impl Command {
    /// Reads a header of which a transfer may have at most `limit` bytes.
    pub fn parse(bytes: &[u8; HEADER_LEN], limit: usize) -> Result<Self, ProtocolError> {
        let (sequence, device) = (be32(bytes, 4), be32(bytes, 8));
        match be32(bytes, 0) {
            CMD_SUBMIT => {
                let direction = be32(bytes, 12);
                if direction > 1 {
                    return Err(ProtocolError::Direction(direction));
                }
                let number = be32(bytes, 16);
                let number =
                    u8::try_from(number).ok().filter(|n| *n < 16).ok_or(ProtocolError::Endpoint(number))?;
                let length = be32(bytes, 24) as i32;
                let length = usize::try_from(length)
                    .ok()
                    .filter(|n| *n <= limit)
                    .ok_or(ProtocolError::Length(length, limit))?;
                // A client says 0 or, by another reading of the text, -1 where there are no packets.
                let packets = be32(bytes, 32) as i32;
                if packets > 0 {
                    return Err(ProtocolError::Isochronous(packets));
                }
                let mut setup = [0; 8];
                setup.copy_from_slice(&bytes[40..48]);
                Ok(Self::Submit {
                    sequence,
                    device,
                    endpoint: number | (direction as u8) << 7,
                    flags: be32(bytes, 20),
                    length,
                    setup: Setup::from_bytes(setup),
                })
            }
            CMD_UNLINK => Ok(Self::Unlink { sequence, device, victim: be32(bytes, 20) }),
            other => Err(ProtocolError::Command(other)),
        }
    }

    /// Writes the header.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        match *self {
            Self::Submit { sequence, device, endpoint, flags, length, setup } => {
                let words =
                    [CMD_SUBMIT, sequence, device, u32::from(endpoint >> 7), u32::from(endpoint & 15)];
                emit_words(&mut bytes, &words);
                bytes[20..24].copy_from_slice(&flags.to_be_bytes());
                bytes[24..28].copy_from_slice(&(length as u32).to_be_bytes());
                bytes[40..48].copy_from_slice(&setup.to_bytes());
            }
            Self::Unlink { sequence, device, victim } => {
                emit_words(&mut bytes, &[CMD_UNLINK, sequence, device, 0, 0, victim]);
            }
        }
        bytes
    }
}

/// Sets the interval of an interrupt transfer, in frames or microframes, in a header that
/// [`Command::emit`] made.
pub fn set_interval(header: &mut [u8; HEADER_LEN], interval: u32) {
    header[36..40].copy_from_slice(&interval.to_be_bytes());
}

/// A transfer message from server to client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// `USBIP_RET_SUBMIT`; for an IN transfer, `actual` bytes follow.
    Submit {
        /// The URB that ended.
        sequence: u32,
        /// 0 or a negative errno.
        status: i32,
        /// Bytes transferred.
        actual: usize,
    },
    /// `USBIP_RET_UNLINK`.
    Unlink {
        /// The request that this answers.
        sequence: u32,
        /// `-ECONNRESET` if the URB was taken back, 0 if it had ended before.
        status: i32,
    },
}

impl Answer {
    /// Reads a header.
    pub fn parse(bytes: &[u8; HEADER_LEN], limit: usize) -> Result<Self, ProtocolError> {
        let (sequence, status) = (be32(bytes, 4), be32(bytes, 20) as i32);
        match be32(bytes, 0) {
            RET_SUBMIT => {
                let actual = be32(bytes, 24) as i32;
                let actual = usize::try_from(actual)
                    .ok()
                    .filter(|n| *n <= limit)
                    .ok_or(ProtocolError::Length(actual, limit))?;
                Ok(Self::Submit { sequence, status, actual })
            }
            RET_UNLINK => Ok(Self::Unlink { sequence, status }),
            other => Err(ProtocolError::Command(other)),
        }
    }

    /// Writes the header. Device, direction and endpoint are zero: only the sequence number counts.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        match *self {
            Self::Submit { sequence, status, actual } => {
                emit_words(&mut bytes, &[RET_SUBMIT, sequence, 0, 0, 0, status as u32, actual as u32]);
            }
            Self::Unlink { sequence, status } => {
                emit_words(&mut bytes, &[RET_UNLINK, sequence, 0, 0, 0, status as u32]);
            }
        }
        bytes
    }
}

fn emit_words(bytes: &mut [u8], words: &[u32]) {
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

/// The status of an URB that was taken back: `-ECONNRESET`.
pub const UNLINKED: i32 = -104;

/// The negative errno (Linux, asm-generic numbers) under which a transfer error travels.
pub const fn errno(error: TransferError) -> i32 {
    match error {
        TransferError::Stall => -32,
        TransferError::Timeout => -110,
        TransferError::Cancelled => UNLINKED,
        TransferError::Shutdown => -108,
        TransferError::Overflow => -75,
        TransferError::Protocol => -71,
        TransferError::Short => -121,
        TransferError::Invalid => -22,
        TransferError::Isochronous => -38,
        TransferError::NoMemory => -12,
    }
}

/// The transfer error that a status from the wire stands for; an unknown one is a protocol error.
pub const fn from_errno(status: i32) -> Result<(), TransferError> {
    match status {
        0 => Ok(()),
        -32 => Err(TransferError::Stall),
        -110 | -62 => Err(TransferError::Timeout),
        -104 | -2 => Err(TransferError::Cancelled),
        -108 | -19 => Err(TransferError::Shutdown),
        -75 => Err(TransferError::Overflow),
        -121 => Err(TransferError::Short),
        -22 => Err(TransferError::Invalid),
        -38 => Err(TransferError::Isochronous),
        -12 => Err(TransferError::NoMemory),
        _ => Err(TransferError::Protocol),
    }
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

    /// A control read as Linux's vhci puts it on the wire.
    const SUBMIT: [u8; HEADER_LEN] = [
        0, 0, 0, 1, 0, 0, 0x0d, 0x05, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 4, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0x05, 0xf0, 0x00, 0, 0, 4, 0,
    ];

    #[test]
    fn h4_submit_header_carries_endpoint_length_and_setup() {
        let command = Command::parse(&SUBMIT, 4096).unwrap();
        let expected = Command::Submit {
            sequence: 0x0d05,
            device: 0x0001_0002,
            endpoint: 0x80,
            flags: 0x200,
            length: 4,
            setup: Setup::vendor_in(5, 0x00f0, 0, 4),
        };
        assert_eq!(command, expected);
        assert_eq!(expected.emit(), SUBMIT);
    }

    #[test]
    fn h4_a_submit_header_that_lies_is_refused() {
        let with = |at: usize, word: u32| {
            let mut bytes = SUBMIT;
            bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            Command::parse(&bytes, 4096).unwrap_err()
        };
        assert_eq!(with(0, 3), ProtocolError::Command(3));
        assert_eq!(with(12, 2), ProtocolError::Direction(2));
        assert_eq!(with(16, 16), ProtocolError::Endpoint(16));
        assert_eq!(with(16, 0x101), ProtocolError::Endpoint(0x101));
        assert_eq!(with(24, 4097), ProtocolError::Length(4097, 4096));
        assert_eq!(with(24, u32::MAX), ProtocolError::Length(-1, 4096));
        assert_eq!(with(32, 8), ProtocolError::Isochronous(8));
    }

    #[test]
    fn h4_unlink_and_answers_round_trip() {
        let unlink = Command::Unlink { sequence: 9, device: 0x10002, victim: 7 };
        assert_eq!(Command::parse(&unlink.emit(), 0), Ok(unlink));
        assert_eq!(
            unlink.emit()[..24],
            [0, 0, 0, 2, 0, 0, 0, 9, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]
        );
        let answers = [
            Answer::Submit { sequence: 7, status: 0, actual: 512 },
            Answer::Submit { sequence: 7, status: -32, actual: 0 },
            Answer::Unlink { sequence: 9, status: UNLINKED },
        ];
        for answer in answers {
            assert_eq!(Answer::parse(&answer.emit(), 512), Ok(answer));
        }
        assert_eq!(Answer::Unlink { sequence: 9, status: UNLINKED }.emit()[20..24], [0xff, 0xff, 0xff, 0x98]);
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
    fn h4_every_transfer_error_survives_the_wire() {
        use TransferError::*;
        for error in [Stall, Timeout, Cancelled, Shutdown, Overflow, Protocol, Short, Invalid] {
            assert_eq!(from_errno(errno(error)), Err(error));
        }
        assert_eq!(from_errno(0), Ok(()));
        assert_eq!(from_errno(-9999), Err(Protocol));
    }

    #[test]
    fn h4_a_bus_id_without_an_end_is_refused() {
        assert_eq!(parse_bus_id(&[b'1'; BUS_ID_LEN]), Err(ProtocolError::BusId));
        assert_eq!(parse_bus_id(&emit_bus_id("1-1")), Ok("1-1"));
    }
}
