//! The USB/IP backend: a device on another machine, over a TCP connection that [`client`](crate::usbip) made.
//!
//! Two threads serve it. One writes what was submitted, so that no submitter waits for the network; one reads
//! answers and gives URBs back, as many at once as have come. When the connection ends, for whatever reason, so does
//! the device: the reader gives everything back, reports it gone and takes the writer with it.
//!
//! The server is not trusted. An answer that fits no URB in flight, more data than was asked for, a message that
//! stops in the middle, an unlink that is not answered: each ends the connection. Whether an idle server is still
//! there shows a probe, a transfer to the device; one that is not answered in time is unlinked like any other, so that
//! a device that takes its time does not count as a server that is gone.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::BytesMut;

use super::{Backend, DeviceOp, FlatUrb, Upcall};
use crate::descriptor::{EndpointMap, TransferType};
use crate::function::{Reply, Speed, UrbId};
use crate::setup::Setup;
use crate::status::TransferError;
use crate::threads::Threads;
use crate::urb_map::UrbMap;
use crate::usbip::client::{DEVICE_DESCRIPTOR, Imported};
use crate::usbip::protocol::{self, Answer, Command, HEADER_LEN, ProtocolError};

/// How often the reader looks at the clock while nothing comes, as a part of the patience.
const TICKS: u32 = 8;

const READ_BUFFER: usize = 64 * 1024;

/// Resets the device's port: what Linux's server takes for a reset (USB 2.0, section 11.24.2.13, `SET_FEATURE` of
/// `PORT_RESET`).
pub(crate) const PORT_RESET: Setup = Setup { request_type: 0x23, request: 3, value: 4, index: 0, length: 0 };

/// An URB that the server has.
struct Flying {
    id: UrbId,
    buffer: BytesMut,
    length: usize,
    is_in: bool,
}

#[derive(Default)]
struct State {
    flying: HashMap<u32, Flying>,
    sequences: UrbMap<u32>,
    /// Unlinks on their way: victim, and since when.
    unlinks: HashMap<u32, (u32, Instant)>,
    /// The sign of life that is asked for, and since when. Taken back when that is too long ago.
    probe: Option<(u32, Instant)>,
    last_sequence: u32,
    /// What the writer takes next.
    outgoing: Vec<u8>,
    closed: bool,
}

struct Shared {
    stream: TcpStream,
    upcall: Arc<dyn Upcall>,
    device: u32,
    speed: Speed,
    endpoints: EndpointMap,
    patience: Duration,
    state: Mutex<State>,
    filled: Condvar,
}

/// See the module's text.
pub(crate) struct UsbipBackend {
    shared: Arc<Shared>,
    threads: Threads,
}

/// Starts the threads of an imported device.
pub(crate) fn start(imported: Imported, upcall: Arc<dyn Upcall>) -> io::Result<Arc<dyn Backend>> {
    let Imported { stream, record, configuration, patience, .. } = imported;
    stream.set_write_timeout(None)?;
    stream.set_read_timeout(Some((patience / TICKS).max(Duration::from_millis(1))))?;
    let (reading, writing) = (stream.try_clone()?, stream.try_clone()?);
    let shared = Arc::new(Shared {
        stream,
        upcall,
        device: record.device_id(),
        speed: record.speed,
        endpoints: configuration.as_ref().map(EndpointMap::new).unwrap_or_default(),
        patience,
        // The conversation before has used the first numbers.
        state: Mutex::new(State { last_sequence: 1 << 16, ..State::default() }),
        filled: Condvar::new(),
    });
    let name = |part: &str| thread::Builder::new().name(format!("usbip-{}{part}", record.bus_id));
    let (reader, writer) = (shared.clone(), shared.clone());
    let writer = name("-tx").spawn(move || writer.write_all(writing))?;
    let reader = name("-rx").spawn(move || reader.run(reading)).inspect_err(|_| shared.hang_up())?;
    Ok(Arc::new(UsbipBackend { shared, threads: Threads::new([reader, writer]) }))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection; the reader notices.
    fn hang_up(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The writer's thread.
    fn write_all(&self, mut stream: TcpStream) {
        let mut taken = Vec::new();
        loop {
            {
                let mut state = self.lock();
                while state.outgoing.is_empty() && !state.closed {
                    state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.closed {
                    return;
                }
                core::mem::swap(&mut state.outgoing, &mut taken);
            }
            if let Err(error) = stream.write_all(&taken) {
                tracing::debug!(%error, "cannot write to the USB/IP server");
                return self.hang_up();
            }
            taken.clear();
            taken.shrink_to(READ_BUFFER);
        }
    }

    /// The reader's thread.
    fn run(&self, stream: TcpStream) {
        match self.read_all(&stream) {
            Ok(()) => tracing::debug!("the USB/IP server closed the connection"),
            // Ours to close, so nobody wonders.
            Err(_) if self.lock().closed => {}
            Err(error) => tracing::warn!(%error, "the connection to the USB/IP server is lost"),
        }
        self.hang_up();
        let left = {
            let mut state = self.lock();
            state.sequences.clear();
            state.outgoing = Vec::new();
            core::mem::take(&mut state.flying)
        };
        let mut left: Vec<_> = left.into_iter().collect();
        left.sort_unstable_by_key(|(sequence, _)| *sequence);
        let end = |(_, urb): (u32, Flying)| Reply {
            id: urb.id,
            status: Err(TransferError::Shutdown),
            buffer: urb.buffer,
        };
        let mut replies: Vec<_> = left.into_iter().map(end).collect();
        if !replies.is_empty() {
            self.upcall.give_back(&mut replies);
        }
        self.upcall.gone();
    }

    fn read_all(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(READ_BUFFER, stream);
        let mut replies = Vec::new();
        let mut header = [0; HEADER_LEN];
        // The wait for a first byte is limited by what the server owes us, not by itself.
        while self.fill(&mut reader, &mut header, true)? {
            // Also while the device has much to say: what is owed is owed.
            self.check_debts()?;
            self.answer(&mut reader, &header, &mut replies)?;
            // What has come together goes up together.
            if reader.buffer().len() < HEADER_LEN && !replies.is_empty() {
                self.upcall.give_back(&mut replies);
            }
        }
        Ok(())
    }

    /// Fills `buffer`; `false` if the connection was closed before its first byte. `between`: messages, where it
    /// may take as long as it likes while it owes nothing. What has begun must be whole within the patience.
    fn fill(&self, reader: &mut impl Read, buffer: &mut [u8], between: bool) -> io::Result<bool> {
        let (mut filled, mut since) = (0, Instant::now());
        while filled < buffer.len() {
            match reader.read(&mut buffer[filled..]) {
                Ok(0) if between && filled == 0 => return Ok(false),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    if between && filled == 0 {
                        since = Instant::now();
                    }
                    filled += length;
                    if filled < buffer.len() && since.elapsed() >= self.patience {
                        return Err(late());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    let silent = since.elapsed() >= self.patience;
                    if between && filled == 0 {
                        self.check_debts()?;
                        if silent {
                            self.probe();
                            since = Instant::now();
                        }
                    } else if silent {
                        return Err(late());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether an unlink has waited too long for its answer. Takes a probe back that has.
    fn check_debts(&self) -> io::Result<()> {
        let overdue = |since: &Instant| since.elapsed() >= self.patience;
        let owed = {
            let mut state = self.lock();
            let late = state.probe.filter(|(_, since)| overdue(since));
            if let Some((probe, _)) = late.filter(|(probe, _)| !state.unlinking(*probe) && !state.closed) {
                self.unlink(&mut state, probe);
            }
            state.unlinks.values().any(|(_, since)| overdue(since))
        };
        match owed {
            true => Err(io::Error::new(ErrorKind::TimedOut, "it does not answer")),
            false => Ok(()),
        }
    }

    /// Takes one message.
    fn answer(
        &self,
        reader: &mut impl Read,
        header: &[u8; HEADER_LEN],
        replies: &mut Vec<Reply>,
    ) -> io::Result<()> {
        match Answer::parse(header, usize::MAX).map_err(broken)? {
            Answer::Submit { sequence, status, actual } => {
                let urb = {
                    let mut state = self.lock();
                    if state.probe.take_if(|(probe, _)| *probe == sequence).is_some() {
                        drop(state);
                        return self.alive(reader, actual);
                    }
                    let urb = state.flying.remove(&sequence);
                    urb.inspect(|urb| _ = state.sequences.remove(&urb.id))
                };
                let Some(mut urb) = urb else {
                    return Err(broken(format!("an answer to transfer {sequence}, which is not in flight")));
                };
                let fits = actual <= urb.length;
                if urb.is_in && fits {
                    urb.buffer.resize(actual, 0);
                    let read = self.fill(reader, &mut urb.buffer, false);
                    if let Err(error) = read {
                        replies.push(urb.end(Err(TransferError::Shutdown)));
                        self.upcall.give_back(replies);
                        return Err(error);
                    }
                }
                if !fits {
                    let length = urb.length;
                    replies.push(urb.end(Err(TransferError::Shutdown)));
                    self.upcall.give_back(replies);
                    return Err(broken(ProtocolError::Length(
                        i32::try_from(actual).unwrap_or(i32::MAX),
                        length,
                    )));
                }
                replies.push(urb.end(protocol::from_errno(status).map(|()| actual)));
            }
            Answer::Unlink { sequence, .. } => {
                let mut state = self.lock();
                let Some((victim, _)) = state.unlinks.remove(&sequence) else {
                    return Err(broken(format!("an answer to unlink {sequence}, which was not asked for")));
                };
                // The device kept the probe waiting; the server is there.
                state.probe.take_if(|(probe, _)| *probe == victim);
                // Its end came before, unless it was taken back.
                if let Some(urb) = state.flying.remove(&victim) {
                    state.sequences.remove(&urb.id);
                    replies.push(urb.end(Err(TransferError::Cancelled)));
                }
            }
        }
        Ok(())
    }

    /// Takes the answer to a probe, whatever it says.
    fn alive(&self, reader: &mut impl Read, length: usize) -> io::Result<()> {
        let mut descriptor = [0; DEVICE_DESCRIPTOR.length as usize];
        let limit = descriptor.len();
        let Some(answer) = descriptor.get_mut(..length) else {
            let length = i32::try_from(length).unwrap_or(i32::MAX);
            return Err(broken(ProtocolError::Length(length, limit)));
        };
        self.fill(reader, answer, false).map(drop)
    }

    fn put(&self, id: UrbId, setup: Option<Setup>, urb: FlatUrb) {
        let is_in = urb.is_in();
        let refused = {
            let mut state = self.lock();
            if state.closed {
                Some(urb.buffer)
            } else {
                let sequence = state.next_sequence();
                let endpoint = urb.endpoint & 0x0f | if is_in { 0x80 } else { 0 };
                let mut header = Command::Submit {
                    sequence,
                    device: self.device,
                    endpoint,
                    flags: if urb.zero_packet { protocol::ZERO_PACKET } else { 0 },
                    length: urb.length,
                    setup: setup.unwrap_or(Setup::from_bytes([0; 8])),
                }
                .emit();
                if urb.transfer_type == TransferType::Interrupt {
                    protocol::set_interval(&mut header, self.interval(urb.endpoint));
                }
                state.outgoing.extend_from_slice(&header);
                if !is_in {
                    state.outgoing.extend_from_slice(&urb.buffer);
                }
                state.sequences.insert(id, sequence);
                state.flying.insert(sequence, Flying { id, buffer: urb.buffer, length: urb.length, is_in });
                None
            }
        };
        match refused {
            Some(buffer) => {
                let reply = Reply { id, status: Err(TransferError::Shutdown), buffer };
                self.upcall.give_back(&mut vec![reply]);
            }
            None => self.filled.notify_one(),
        }
    }

    /// The interval of an interrupt endpoint, in (micro)frames: Linux's server takes no interrupt URB without.
    fn interval(&self, endpoint: u8) -> u32 {
        let interval = self.endpoints.get(endpoint).map_or(1, |endpoint| endpoint.interval.max(1));
        match self.speed {
            Speed::Low | Speed::Full => interval.into(),
            Speed::High | Speed::Super => 1 << (interval.min(16) - 1),
        }
    }

    fn unlink(&self, state: &mut State, victim: u32) {
        let sequence = state.next_sequence();
        let command = Command::Unlink { sequence, device: self.device, victim };
        state.outgoing.extend_from_slice(&command.emit());
        state.unlinks.insert(sequence, (victim, Instant::now()));
        self.filled.notify_one();
    }

    /// Asks for a sign of life, by a transfer that the server, and its device, have carried out before. An unlink of
    /// nothing would do it without troubling the device, but there are servers that pass over one, as nobody waits for
    /// it. If the device does not answer in time, the unlink of this is what the server has to answer.
    fn probe(&self) {
        let mut state = self.lock();
        if state.closed || state.probe.is_some() || !state.unlinks.is_empty() {
            return;
        }
        let sequence = state.next_sequence();
        let setup = DEVICE_DESCRIPTOR;
        let length = usize::from(setup.length);
        let command =
            Command::Submit { sequence, device: self.device, endpoint: 0x80, flags: 0, length, setup };
        state.outgoing.extend_from_slice(&command.emit());
        state.probe = Some((sequence, Instant::now()));
        self.filled.notify_one();
    }
}

impl State {
    /// Whether a transfer is being taken back.
    fn unlinking(&self, sequence: u32) -> bool {
        self.unlinks.values().any(|(victim, _)| *victim == sequence)
    }

    fn next_sequence(&mut self) -> u32 {
        loop {
            self.last_sequence = self.last_sequence.wrapping_add(1).max(1);
            let sequence = self.last_sequence;
            let probes = self.probe.is_some_and(|(probe, _)| probe == sequence);
            if !probes && !self.flying.contains_key(&sequence) && !self.unlinks.contains_key(&sequence) {
                return sequence;
            }
        }
    }
}

impl Flying {
    fn end(self, status: Result<usize, TransferError>) -> Reply {
        Reply { id: self.id, status, buffer: self.buffer }
    }
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "it stopped within a message")
}

fn broken(problem: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, problem)
}

impl Backend for UsbipBackend {
    fn submit(&self, urb: FlatUrb) {
        self.shared.put(urb.id, urb.setup, urb);
    }

    fn cancel(&self, id: UrbId) {
        let mut state = self.shared.lock();
        let Some(&sequence) = state.sequences.get(&id) else { return };
        if !state.unlinking(sequence) && !state.closed {
            self.shared.unlink(&mut state, sequence);
        }
    }

    fn operate(&self, id: UrbId, op: DeviceOp) {
        let setup = op.setup().unwrap_or(PORT_RESET);
        let urb = FlatUrb {
            id,
            transfer_type: TransferType::Control,
            endpoint: 0,
            setup: Some(setup),
            buffer: BytesMut::new(),
            length: 0,
            zero_packet: false,
        };
        self.shared.put(id, Some(setup), urb);
    }

    fn close(&self) {
        self.shared.hang_up();
    }

    fn reap(&self) {
        self.threads.join_blocking();
    }
}

impl Drop for UsbipBackend {
    fn drop(&mut self) {
        self.shared.hang_up();
    }
}

impl fmt::Debug for UsbipBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsbipBackend").field("device", &self.shared.device).finish_non_exhaustive()
    }
}
