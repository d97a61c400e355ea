//! [`Server`]: listens, lists its devices, and hands each import to a session.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use socket2::{SockRef, TcpKeepalive};

use super::places::{Admission, Place, Places};
use super::protocol::{self, BUS_ID_LEN, DeviceRecord, OP_HEADER_LEN, OpHeader};
use super::session;
use crate::function::UsbFunction;
use crate::function_host::FunctionHost;

/// What one peer may make the server hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// URBs in flight on one connection.
    pub urbs: usize,
    /// Bytes that the URBs in flight on one connection send or ask for.
    pub bytes: usize,
    /// Bytes of one transfer.
    pub transfer: usize,
    /// Connections at a time. One more takes the place of one that has no device; if all have one, it is closed.
    pub connections: usize,
    /// How long a peer may stay silent before its first request and within a message, and take nothing of what it is
    /// sent. One that has imported a device and says nothing is asked by TCP's own keep-alive.
    pub patience: Duration,
}

impl Default for Limits {
    /// 1,024 URBs, 16 MiB, 1 MiB a transfer, 32 connections, 10 s.
    fn default() -> Self {
        Self {
            urbs: 1024,
            bytes: 16 << 20,
            transfer: 1 << 20,
            connections: 32,
            patience: Duration::from_secs(10),
        }
    }
}

/// A device on offer; `device` is away while a peer has it.
struct Export {
    record: DeviceRecord,
    device: Option<FunctionHost>,
    /// It has dropped itself off the bus, and is back then.
    back_at: Option<Duration>,
}

impl Export {
    fn new(bus_id: &str, number: u32, device: FunctionHost, back_at: Option<Duration>) -> Self {
        Self {
            record: DeviceRecord::new(bus_id, number, device.descriptors()),
            device: Some(device),
            back_at,
        }
    }

    /// Whether it is on the server's bus at `now`.
    fn is_there(&self, now: Duration) -> bool {
        self.back_at.is_none_or(|back_at| back_at <= now)
    }
}

struct Shared {
    exports: Mutex<BTreeMap<String, Export>>,
    /// The number of the next device that comes to the server's bus.
    next_number: AtomicU32,
    places: Arc<Places>,
    stopping: AtomicBool,
    limits: Limits,
    origin: Instant,
}

/// The bus's own hub is device 1.
const FIRST_NUMBER: u32 = 2;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A USB/IP server, bound but not yet accepting: add devices with [`export`](Self::export), then
/// [`start`](Self::start).
#[must_use = "a server that is not started serves nobody"]
pub struct Server {
    listener: TcpListener,
    exports: BTreeMap<String, Export>,
    limits: Limits,
}

impl Server {
    /// Binds to `address`. Give a loopback address unless the network is trusted: USB/IP neither authenticates
    /// nor encrypts, and whoever connects gets the device.
    ///
    /// # Errors
    /// The system does not give the address: it is in use, not this machine's, or reserved.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address)?,
            exports: BTreeMap::new(),
            limits: Limits::default(),
        })
    }

    /// Binds to IANA's port for USB/IP on the loopback interface.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_loopback() -> io::Result<Self> {
        Self::bind(("127.0.0.1", protocol::PORT))
    }

    /// Offers `function` under `bus_id` (`1-1`; at most 31 bytes count). A second one of the same name
    /// replaces the first.
    ///
    /// One that [departs](UsbFunction::departs) ends its peer's connection. When it is back it is on offer as before
    /// under its bus id, with another device number and as its descriptors are then; the peer imports it anew.
    pub fn export(mut self, bus_id: &str, function: Box<dyn UsbFunction>) -> Self {
        let number = self.exports.len() as u32 + FIRST_NUMBER;
        let export = Export::new(bus_id, number, FunctionHost::of(function), None);
        self.exports.insert(bus_id.to_owned(), export);
        self
    }

    /// Sets what one peer may make the server hold.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts to accept connections on a thread of its own.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn start(self) -> io::Result<ServerHandle> {
        let address = self.listener.local_addr()?;
        let next_number = AtomicU32::new(self.exports.len() as u32 + FIRST_NUMBER);
        let shared = Arc::new(Shared {
            exports: Mutex::new(self.exports),
            next_number,
            places: Arc::new(Places::new(self.limits.connections)),
            stopping: AtomicBool::new(false),
            limits: self.limits,
            origin: Instant::now(),
        });
        let (listener, accepting) = (self.listener, shared.clone());
        let thread = std::thread::Builder::new()
            .name("usbip-accept".into())
            .spawn(move || accept(&listener, &accepting))?;
        Ok(ServerHandle { address, shared, thread: Some(thread) })
    }
}

impl core::fmt::Debug for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("exports", &self.exports.keys())
            .finish_non_exhaustive()
    }
}

/// A running server. Dropping it stops the server without waiting for its threads.
#[must_use = "dropping the handle stops the server"]
pub struct ServerHandle {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a peer has imported the device.
    pub fn is_imported(&self, bus_id: &str) -> bool {
        lock(&self.shared.exports).get(bus_id).is_some_and(|export| export.device.is_none())
    }

    /// Ends every connection and waits until the server's threads are gone.
    pub fn stop_blocking(mut self) {
        self.stop();
        knock(self.door());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.places.shut();
    }

    /// Where a connection takes the accepting thread out of `accept`.
    fn door(&self) -> SocketAddr {
        let mut door = self.address;
        // A server bound to all addresses hears it on loopback.
        if door.ip().is_unspecified() {
            door.set_ip(match door {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        door
    }
}

fn knock(door: SocketAddr) {
    let _ = TcpStream::connect_timeout(&door, Duration::from_secs(1));
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop();
            // It may have to wait while connections come in a flood, and dropping waits for nothing.
            let door = self.door();
            let _ = std::thread::Builder::new().name("usbip-knock".into()).spawn(move || knock(door));
        }
    }
}

impl core::fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServerHandle").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Has TCP ask a silent peer whether it is still there: after 30 s, every 10 s, three times.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let times = TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    SockRef::from(stream).set_tcp_keepalive(&times.with_retries(3))
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads: BTreeMap<u64, JoinHandle<()>> = BTreeMap::new();
    for number in 0.. {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::SeqCst) {
            break;
        }
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // Out of descriptors, most likely: wait for connections to end instead of spinning.
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        tracing::debug!(%peer, "connection");
        threads.retain(|_, thread| !thread.is_finished());
        let Ok(second) = stream.try_clone() else { continue };
        let place = match shared.places.admit(number, second, peer.ip()) {
            Admission::Place(place, None) => place,
            Admission::Place(place, Some(left)) => {
                tracing::debug!(number = left, "a connection without a device had to make room");
                // Its socket is shut down, so that this takes no longer than what it is doing.
                if let Some(thread) = threads.remove(&left) {
                    let _ = thread.join();
                }
                place
            }
            Admission::Full => {
                tracing::warn!(%peer, "too many imports; closing the newest connection");
                continue;
            }
        };
        let serving = shared.clone();
        let spawned = std::thread::Builder::new().name(format!("usbip-{number}")).spawn(move || {
            match serve(stream, &serving, &place) {
                Ok(()) => {}
                // Of a flood there are as many as it likes to send.
                Err(error) if place.is_left() => tracing::debug!(%error, "connection ended to make room"),
                Err(error) => tracing::warn!(%error, "connection ended"),
            }
        });
        match spawned {
            Ok(thread) => _ = threads.insert(number, thread),
            Err(error) => tracing::warn!(%error, "no thread for a connection"),
        }
    }
    // A connection that was accepted while `stop` went through the list.
    shared.places.shut();
    for thread in threads.into_values() {
        let _ = thread.join();
    }
}

/// Answers `OP_*` requests until the peer leaves or has imported a device, then serves that.
fn serve(mut stream: TcpStream, shared: &Shared, place: &Place) -> Result<(), session::SessionError> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(shared.limits.patience))?;
    // Nobody can make the server wait by not reading, nor hold a device from a machine that is gone.
    stream.set_write_timeout(Some(shared.limits.patience))?;
    keep_alive(&stream)?;
    loop {
        let mut header = [0; OP_HEADER_LEN];
        match stream.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let header = OpHeader::parse(&header)?;
        match header.code {
            protocol::OP_REQ_DEVLIST => {
                place.asked();
                stream.write_all(&device_list(shared))?;
            }
            protocol::OP_REQ_IMPORT => {
                let mut id = [0; BUS_ID_LEN];
                stream.read_exact(&mut id)?;
                let id = protocol::parse_bus_id(&id)?.to_owned();
                if !place.importing() {
                    return Ok(());
                }
                match take(shared, &id) {
                    Ok((record, device)) => return import(stream, shared, &id, &record, device),
                    Err(status) => {
                        place.asked();
                        stream.write_all(&OpHeader { code: protocol::OP_REP_IMPORT, status }.emit())?;
                    }
                }
            }
            other => return Err(protocol::ProtocolError::Operation(other).into()),
        }
    }
}

fn device_list(shared: &Shared) -> Vec<u8> {
    let now = shared.origin.elapsed();
    let exports = lock(&shared.exports);
    let free: Vec<&Export> =
        exports.values().filter(|export| export.device.is_some() && export.is_there(now)).collect();
    let mut out = OpHeader { code: protocol::OP_REP_DEVLIST, status: protocol::ST_OK }.emit().to_vec();
    out.extend_from_slice(&(free.len() as u32).to_be_bytes());
    for export in free {
        out.extend_from_slice(&export.record.emit());
        for [class, subclass, protocol] in &export.record.interfaces {
            out.extend_from_slice(&[*class, *subclass, *protocol, 0]);
        }
    }
    out
}

fn take(shared: &Shared, id: &str) -> Result<(DeviceRecord, FunctionHost), u32> {
    let now = shared.origin.elapsed();
    let mut exports = lock(&shared.exports);
    let export = exports.get_mut(id).filter(|export| export.is_there(now)).ok_or(protocol::ST_NODEV)?;
    let device = export.device.take().ok_or(protocol::ST_DEV_BUSY)?;
    Ok((export.record.clone(), device))
}

/// Gives the device back to the list however the session ends. One whose function panicked has fallen off the bus; one
/// that has dropped itself off it is on the list when it is back.
struct GiveBack<'a> {
    shared: &'a Shared,
    id: &'a str,
    device: Option<FunctionHost>,
}

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        let (shared, id) = (self.shared, self.id);
        let Some(device) = self.device.take() else { return };
        if std::thread::panicking() {
            tracing::error!(id, "its function panicked; it is on offer no more");
            lock(&shared.exports).remove(id);
            return;
        }
        let back = match device.departure() {
            None => {
                if let Some(export) = lock(&shared.exports).get_mut(id) {
                    export.device = Some(device);
                }
                return;
            }
            Some(departure) => departure.absence(),
        };
        let export = back.and_then(|absence| {
            // Number after number as on a bus; those of a protocol header end at 16 bits.
            let number = shared.next_number.fetch_add(1, Ordering::Relaxed) & 0xffff;
            let back_at = shared.origin.elapsed().saturating_add(absence);
            let export = || Export::new(id, number, FunctionHost::of(device.into_function()), Some(back_at));
            let export = catch_unwind(AssertUnwindSafe(export));
            export.inspect_err(|_| tracing::error!(id, "its function panicked; it does not come back")).ok()
        });
        tracing::info!(id, ?back, "it has left the bus");
        let mut exports = lock(&shared.exports);
        match export {
            Some(export) => _ = exports.insert(id.to_owned(), export),
            None => _ = exports.remove(id),
        }
    }
}

fn import(
    mut stream: TcpStream,
    shared: &Shared,
    id: &str,
    record: &DeviceRecord,
    device: FunctionHost,
) -> Result<(), session::SessionError> {
    let mut guard = GiveBack { shared, id, device: Some(device) };
    let mut out = OpHeader { code: protocol::OP_REP_IMPORT, status: protocol::ST_OK }.emit().to_vec();
    out.extend_from_slice(&record.emit());
    stream.write_all(&out)?;
    tracing::info!(id, "imported");
    let result = match &mut guard.device {
        Some(device) => session::serve(&stream, device, record.device_id(), &shared.limits, shared.origin),
        None => Ok(()),
    };
    tracing::info!(id, "given back");
    result
}
