//! The client: lists the devices of a USB/IP server and imports them, so that they look like local ones.
//!
//! [`list_blocking`] asks what there is; [`HostController::import`] takes a device and makes it a
//! [`UsbDevice`](crate::UsbDevice) like any other, carried by the `usbip` backend. Whatever a server sends is held
//! to the protocol: one that breaks it, falls silent in the middle of a message or does not answer an unlink is
//! hung up on, and its device counts as unplugged.
//!
//! ```no_run
//! use airlift_hcd::{HostController, usbip::{ImportOptions, list_blocking}};
//!
//! # async fn example(kernel: airlift_runtime::Kernel) -> Result<(), Box<dyn std::error::Error>> {
//! for device in list_blocking("192.0.2.7:3240", &ImportOptions::new())? {
//!     println!("{} {:04x}:{:04x}", device.bus_id, device.vendor, device.product);
//! }
//! let controller = HostController::new(&kernel.handle())?;
//! let port = controller.import("192.0.2.7:3240", "1-1", ImportOptions::new(), &[]).await?;
//! let device = port.device();
//! # Ok(()) }
//! ```

use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use super::protocol::{self, Answer, Command, DEVICE_LEN, DeviceRecord, OpHeader, ProtocolError};
use crate::backend::{Connect, DeviceOp, usbip};
use crate::controller::{HostController, Port};
use crate::descriptor::{CONFIGURATION, Configuration, DEVICE, DeviceDescriptor};
use crate::device::{DeviceId, Identity};
use crate::layer::Layer;
use crate::outside::{self, Found, Look, ReturnProblem, Unseated, WayBack};
use crate::seat::Seat;
use crate::setup::Setup;

/// Devices that a list may name; more is no list of devices.
const LISTED_MAX: u32 = 4096;

const GET_DESCRIPTOR: u8 = 6;

/// Asks for the device descriptor, which every device has given before.
pub(crate) const DEVICE_DESCRIPTOR: Setup = Setup {
    request_type: 0x80,
    request: GET_DESCRIPTOR,
    value: u16::from_be_bytes([DEVICE, 0]),
    index: 0,
    length: 18,
};

/// Why a server's devices cannot be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The server cannot be reached.
    #[error("cannot connect to USB/IP server {server}: {problem}")]
    Connect {
        /// As it was asked for.
        server: String,
        /// What the system said.
        problem: String,
    },
    /// The server is there and does not answer in time.
    #[error("USB/IP server {server} did not answer within {} s while {doing}", .limit.as_secs_f32())]
    Timeout {
        /// As it was asked for.
        server: String,
        /// What was waited for.
        doing: &'static str,
        /// The time limit of it all.
        limit: Duration,
    },
    /// The connection ended.
    #[error("USB/IP server {server} ended the connection while {doing}: {problem}")]
    Ended {
        /// As it was asked for.
        server: String,
        /// What was going on.
        doing: &'static str,
        /// What the system said.
        problem: String,
    },
    /// What the server sends is not USB/IP, or not as it should be.
    #[error("USB/IP server {server} broke the protocol while {doing}: {problem}")]
    Protocol {
        /// As it was asked for.
        server: String,
        /// What was going on.
        doing: &'static str,
        /// What was wrong.
        problem: String,
    },
    /// The server has no such device.
    #[error("USB/IP server {server} exports no device {bus_id}")]
    NoDevice {
        /// As it was asked for.
        server: String,
        /// As it was asked for.
        bus_id: String,
    },
    /// Somebody else has imported the device.
    #[error("device {bus_id} of USB/IP server {server} is in use by somebody else")]
    Busy {
        /// As it was asked for.
        server: String,
        /// As it was asked for.
        bus_id: String,
    },
    /// The server does not give the device, for a reason of its own.
    #[error("USB/IP server {server} refused device {bus_id} with status {status}")]
    Refused {
        /// As it was asked for.
        server: String,
        /// As it was asked for.
        bus_id: String,
        /// The protocol's number.
        status: u32,
    },
    /// The server has another device there than the one that left, which is not imported in its place.
    #[error(
        "USB/IP server {server} has another device at {bus_id} now: {:04x}:{:04x}, expected {:04x}:{:04x}",
        .found.0, .found.1, .expected.0, .expected.1
    )]
    Replaced {
        /// As it was asked for.
        server: String,
        /// As it was asked for.
        bus_id: String,
        /// `idVendor` and `idProduct` of the one that left.
        expected: (u16, u16),
        /// Those of the one that is there.
        found: (u16, u16),
    },
    /// A device on another machine does not follow a virtual clock.
    #[error("a device on another machine does not follow virtual time")]
    VirtualTime,
    /// The system refuses a thread.
    #[error("cannot start a thread: {0}")]
    Thread(String),
}

/// How long a server is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct ImportOptions {
    timeout: Duration,
    patience: Duration,
}

impl Default for ImportOptions {
    /// Five seconds each.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), patience: Duration::from_secs(5) }
    }
}

impl ImportOptions {
    /// As [`default`](Self::default).
    pub fn new() -> Self {
        Self::default()
    }

    /// The limit for connecting, importing and reading the descriptors, all together; for a list likewise. It begins
    /// when the server's name has become an address: the system's resolver keeps time limits of its own.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// How long an imported device's server may take to answer an unlink or to go on with a message that it has
    /// begun. A connection on which nothing has come for this long is probed; a probe that is not answered within this
    /// time is unlinked. So a server that has gone is noticed after three times as long.
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }
}

/// Asks `server` (`host:port`) which devices it exports.
///
/// # Errors
/// The server cannot be reached, does not answer in time, or speaks something else.
pub fn list_blocking(server: &str, options: &ImportOptions) -> Result<Vec<DeviceRecord>, ImportError> {
    let mut talk = Talk::connect(server, options.timeout)?;
    talk.doing = "listing its devices";
    talk.send(&OpHeader { code: protocol::OP_REQ_DEVLIST, status: protocol::ST_OK }.emit())?;
    let status = talk.op_reply(protocol::OP_REP_DEVLIST)?;
    if status != protocol::ST_OK {
        return Err(talk.broken(format!("status {status}")));
    }
    let count = u32::from_be_bytes(talk.take()?);
    if count > LISTED_MAX {
        return Err(talk.broken(format!("a list of {count} devices, expected at most {LISTED_MAX}")));
    }
    let mut devices = Vec::new();
    for _ in 0..count {
        let mut device = talk.record()?;
        for _ in 0..device.counts[2] {
            let [class, subclass, protocol, _padding] = talk.take()?;
            device.interfaces.push([class, subclass, protocol]);
        }
        devices.push(device);
    }
    Ok(devices)
}

/// A device that is ours, before its backend takes over.
pub(crate) struct Imported {
    pub(crate) stream: TcpStream,
    pub(crate) record: DeviceRecord,
    pub(crate) descriptor: DeviceDescriptor,
    pub(crate) configuration: Option<Configuration>,
    pub(crate) patience: Duration,
}

impl HostController {
    /// Imports device `bus_id` of `server` (`host:port`), chooses its first configuration and makes it a device of
    /// this controller, with layers in between as for [`plug_with`](Self::plug_with).
    ///
    /// A thread of its own connects and wraps the layers; nothing blocks here. Dropping the future gives the device
    /// back, when that thread has it. When the connection is lost, or the server breaks the protocol, the device is
    /// unplugged. Dropping the port gives the device back to the server.
    ///
    /// # Errors
    /// Every [`ImportError`]; a server that hangs is one after [`ImportOptions::timeout`].
    pub async fn import(
        &self,
        server: &str,
        bus_id: &str,
        options: ImportOptions,
        layers: &[&dyn Layer],
    ) -> Result<Port, ImportError> {
        if self.clock().is_virtual() {
            return Err(ImportError::VirtualTime);
        }
        let import = Import { server: server.to_owned(), bus_id: bus_id.to_owned(), options };
        let way_back = Reimport { import, ids: Arc::default() };
        let first = way_back.clone();
        let seated = self.open_outside(layers, &way_back, THREAD.into(), move |id| first.found(id)).await;
        seated.map_err(ImportError::from)
    }
}

/// The name of the threads that import.
const THREAD: &str = "usbip-import";

/// What is imported, and how.
#[derive(Clone)]
struct Import {
    server: String,
    bus_id: String,
    options: ImportOptions,
}

/// A device that is imported, once and again.
#[derive(Clone)]
struct Reimport {
    import: Import,
    /// `idVendor` and `idProduct`, once it was imported.
    ids: Arc<OnceLock<(u16, u16)>>,
}

impl Reimport {
    /// Imports; the device with the ids of the one that was imported first, or none. Blocks.
    fn found(&self, id: DeviceId) -> Result<Found, ImportError> {
        let Import { server, bus_id, .. } = &self.import;
        let imported = self.import.run(self.ids.get().copied())?;
        let mut identity = Identity::new(
            id,
            format!("{server}/{bus_id}"),
            imported.record.speed,
            imported.descriptor,
            imported.configuration.clone(),
        );
        identity.info.remote_path = Some(imported.record.path.clone());
        self.ids.get_or_init(|| (identity.info.vendor_id, identity.info.product_id));
        let bottom: Box<Connect<'static>> = Box::new(move |upcall| usbip::start(imported, upcall));
        Ok((identity, bottom))
    }
}

impl WayBack for Reimport {
    fn look<'a>(&'a self, seat: &'a Arc<Seat>) -> Look<'a> {
        let again = self.clone();
        Box::pin(async move {
            let seated = outside::open(seat, THREAD.into(), move |id| again.found(id)).await;
            seated.map_err(|error| ImportError::from(error).into())
        })
    }
}

impl From<Unseated<Self>> for ImportError {
    fn from(error: Unseated<Self>) -> Self {
        match error {
            Unseated::Open(error) => error,
            Unseated::Start(error) => Self::Thread(error.to_string()),
            Unseated::LetGo => Self::Thread("it ended".into()),
        }
    }
}

impl From<ImportError> for ReturnProblem {
    fn from(error: ImportError) -> Self {
        let problem = error.to_string();
        match error {
            ImportError::Busy { .. } => Self::Busy(problem),
            _ => Self::Other(problem),
        }
    }
}

impl Import {
    /// Connects and imports, up to a chosen configuration; only a device with the `expected` ids, where there are some.
    fn run(&self, expected: Option<(u16, u16)>) -> Result<Imported, ImportError> {
        let Self { server, bus_id, options } = self;
        let mut talk = Talk::connect(server, options.timeout)?;
        talk.doing = "importing";
        let mut request = OpHeader { code: protocol::OP_REQ_IMPORT, status: protocol::ST_OK }.emit().to_vec();
        request.extend(protocol::emit_bus_id(bus_id));
        talk.send(&request)?;
        let (server, bus_id) = (server.to_owned(), bus_id.to_owned());
        match talk.op_reply(protocol::OP_REP_IMPORT)? {
            protocol::ST_OK => {}
            protocol::ST_NODEV => return Err(ImportError::NoDevice { server, bus_id }),
            protocol::ST_DEV_BUSY => return Err(ImportError::Busy { server, bus_id }),
            status => return Err(ImportError::Refused { server, bus_id, status }),
        }
        let record = talk.record()?;
        talk.doing = "reading its descriptors";
        let device = record.device_id();
        let descriptor = talk.control(device, DEVICE_DESCRIPTOR)?;
        let descriptor =
            DeviceDescriptor::parse(&descriptor).map_err(|error| talk.broken(error.to_string()))?;
        let found = (descriptor.vendor_id(), descriptor.product_id());
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(ImportError::Replaced { server, bus_id, expected, found });
        }
        let head = talk.descriptor(device, CONFIGURATION, 9)?;
        let total = match head[..] {
            [_, _, low, high, ..] => u16::from_le_bytes([low, high]),
            _ => 0,
        };
        let bytes = talk.descriptor(device, CONFIGURATION, total)?;
        let configuration = Configuration::parse(Bytes::from(bytes)).ok();
        let chosen = configuration.as_ref().and_then(|c| DeviceOp::SetConfiguration(c.value()).setup());
        if let Some(setup) = chosen {
            talk.doing = "choosing its configuration";
            talk.control(device, setup)?;
        }
        let Talk { stream, .. } = talk;
        Ok(Imported { stream, record, descriptor, configuration, patience: options.patience })
    }
}

/// A conversation in which every answer is waited for, up to one deadline.
struct Talk<'a> {
    server: &'a str,
    stream: TcpStream,
    limit: Duration,
    deadline: Instant,
    doing: &'static str,
    sequence: u32,
}

impl<'a> Talk<'a> {
    fn connect(server: &'a str, limit: Duration) -> Result<Self, ImportError> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                ImportError::Timeout { server: server.to_owned(), doing: "connecting", limit }
            }
            _ => ImportError::Connect { server: server.to_owned(), problem: error.to_string() },
        };
        let deadline = Instant::now() + limit;
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in server.to_socket_addrs().map_err(failed)? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(failed(ErrorKind::TimedOut.into()));
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(failed)?;
                    return Ok(Self { server, stream, limit, deadline, doing: "connecting", sequence: 0 });
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    fn server(&self) -> String {
        self.server.to_owned()
    }

    fn broken(&self, problem: impl Into<String>) -> ImportError {
        ImportError::Protocol { server: self.server(), doing: self.doing, problem: problem.into() }
    }

    fn malformed(&self, error: ProtocolError) -> ImportError {
        self.broken(error.to_string())
    }

    fn failed(&self, error: &io::Error) -> ImportError {
        let (server, doing) = (self.server(), self.doing);
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                ImportError::Timeout { server, doing, limit: self.limit }
            }
            ErrorKind::UnexpectedEof => ImportError::Ended { server, doing, problem: "it closed it".into() },
            _ => ImportError::Ended { server, doing, problem: error.to_string() },
        }
    }

    /// What is left of the time; a server may not stretch it by sending a byte now and then.
    fn left(&self) -> Result<Duration, ImportError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.failed(&ErrorKind::TimedOut.into())) } else { Ok(left) }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        let left = self.left()?;
        let sent = self.stream.set_write_timeout(Some(left)).and_then(|()| self.stream.write_all(bytes));
        sent.map_err(|error| self.failed(&error))
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), ImportError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let left = self.left()?;
            let read = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.stream.read(&mut buffer[filled..]));
            match read {
                Ok(0) => return Err(self.failed(&ErrorKind::UnexpectedEof.into())),
                Ok(length) => filled += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// The status of the answer `code`.
    fn op_reply(&mut self, code: u16) -> Result<u32, ImportError> {
        let header = OpHeader::parse(&self.take()?).map_err(|error| self.malformed(error))?;
        if header.code != code {
            return Err(self.malformed(ProtocolError::Operation(header.code)));
        }
        Ok(header.status)
    }

    fn record(&mut self) -> Result<DeviceRecord, ImportError> {
        let bytes: [u8; DEVICE_LEN] = self.take()?;
        DeviceRecord::parse(&bytes).map_err(|error| self.malformed(error))
    }

    /// A control transfer without data to send.
    fn control(&mut self, device: u32, setup: Setup) -> Result<Vec<u8>, ImportError> {
        let length = usize::from(setup.length);
        let (sequence, endpoint) = (self.sequence + 1, setup.request_type & 0x80);
        self.sequence = sequence;
        self.send(&Command::Submit { sequence, device, endpoint, flags: 0, length, setup }.emit())?;
        let answer = Answer::parse(&self.take()?, length).map_err(|error| self.malformed(error))?;
        let Answer::Submit { sequence: answered, status, actual } = answer else {
            return Err(self.broken("an unlink that was not asked for is answered"));
        };
        if answered != sequence {
            return Err(self.broken(format!("an answer to transfer {answered}, expected {sequence}")));
        }
        let mut data = vec![0; if endpoint == 0 { 0 } else { actual }];
        self.read(&mut data)?;
        protocol::from_errno(status).map_err(|error| self.broken(error.to_string()))?;
        Ok(data)
    }

    fn descriptor(&mut self, device: u32, kind: u8, length: u16) -> Result<Vec<u8>, ImportError> {
        let value = u16::from_be_bytes([kind, 0]);
        self.control(device, Setup { request_type: 0x80, request: GET_DESCRIPTOR, value, index: 0, length })
    }
}
