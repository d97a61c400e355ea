//! One import: a reader thread that parses what the peer sends, and the engine that owns the device.
//!
//! The reader puts commands into a bounded [`Mailbox`]; the engine (the connection's own thread) takes them,
//! drives the function and writes the answers, so that the order of answers is the order in which URBs ended.
//! A peer that does not read its answers stops the engine in `write`, the mailbox fills, the reader stops
//! reading: what a peer can make the server hold is bounded at every step.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use bytes::BytesMut;

use super::protocol::{self, Answer, Command, HEADER_LEN, ProtocolError, SHORT_NOT_OK, UNLINKED};
use super::server::Limits;
use crate::backend::DeviceOp;
use crate::backend::usbip::PORT_RESET;
use crate::function::{FunctionUrb, Reply, UrbId};
use crate::function_host::FunctionHost;
use crate::status::TransferError;

/// So many commands that have come together are handed to the engine together.
const BATCH: usize = 64;

/// Answers are written when this many bytes have come together, or when there is nothing else to do.
const WRITE_EARLY: usize = 64 * 1024;

/// The server's own URBs, beyond every sequence number.
const OWN_URB: UrbId = UrbId(u64::MAX);

/// Why an import ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The connection failed.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The peer sent what is no message.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The peer addressed a device that it has not imported.
    #[error("device id {got:#x}, expected {expected:#x}")]
    Device {
        /// Which device the peer named.
        got: u32,
        /// Which device it imported.
        expected: u32,
    },
    /// A sequence number came again while its URB was in flight.
    #[error("sequence number {0} is already in flight")]
    Sequence(u32),
    /// More in flight than a peer may have.
    #[error("{urbs} transfers with {bytes} bytes in flight are more than one peer may hold")]
    TooMuch {
        /// URBs in flight.
        urbs: usize,
        /// Bytes that they send or ask for.
        bytes: usize,
    },
}

/// What the reader tells the engine.
enum Event {
    Command(Command, BytesMut),
    End(Option<SessionError>),
}

#[derive(Default)]
struct Slots {
    events: VecDeque<Event>,
    bytes: usize,
    woken: bool,
    closed: bool,
}

/// Between reader, engine and whoever wakes the function.
struct Mailbox {
    slots: Mutex<Slots>,
    /// The engine waits here for events.
    filled: Condvar,
    /// The reader waits here for room.
    emptied: Condvar,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room and puts `events` in, all at once; `false` once the engine is gone. There is room when the
    /// limits leave some: a batch may go beyond them by its own size.
    fn put(&self, events: &mut Vec<Event>, limits: &Limits) -> bool {
        let data = |event: &Event| match event {
            Event::Command(_, data) => data.len(),
            Event::End(_) => 0,
        };
        let size: usize = events.iter().map(data).sum();
        let mut slots = self.lock();
        while !slots.closed
            && (slots.events.len() >= limits.urbs || slots.bytes > 0 && slots.bytes + size > limits.bytes)
        {
            slots = self.emptied.wait(slots).unwrap_or_else(PoisonError::into_inner);
        }
        if slots.closed {
            return false;
        }
        slots.bytes += size;
        slots.events.extend(events.drain(..));
        self.filled.notify_one();
        true
    }

    /// Takes everything there is, waiting until `timeout` for something or a wake-up.
    fn take(&self, timeout: Option<Duration>, into: &mut VecDeque<Event>) {
        let mut slots = self.lock();
        if slots.events.is_empty() && !slots.woken {
            slots = match timeout {
                Some(timeout) => {
                    self.filled.wait_timeout(slots, timeout).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.filled.wait(slots).unwrap_or_else(PoisonError::into_inner),
            };
        }
        slots.woken = false;
        slots.bytes = 0;
        core::mem::swap(&mut slots.events, into);
        self.emptied.notify_one();
    }

    fn close(&self) {
        let mut slots = self.lock();
        slots.closed = true;
        slots.events.clear();
        self.emptied.notify_one();
    }
}

impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.lock().woken = true;
        self.filled.notify_one();
    }
}

/// Fills `buffer`, waiting as long as it takes for its first byte and no longer than the socket's read time
/// limit between the others. `false`: the peer closed before the first.
fn read_message(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error)
                if filled == 0 && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn read_commands(
    stream: &mut TcpStream,
    device_id: u32,
    limits: &Limits,
    mailbox: &Mailbox,
    batch: &mut Vec<Event>,
) -> Option<SessionError> {
    let mut stream = io::BufReader::with_capacity(64 * 1024, stream);
    let mut header = [0; HEADER_LEN];
    loop {
        // Nothing waits here while the reader does.
        let enough = batch.len() >= BATCH || stream.buffer().len() < HEADER_LEN;
        if enough && !batch.is_empty() && !mailbox.put(batch, limits) {
            return None;
        }
        match read_message(&mut stream, &mut header) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(error.into()),
        }
        let command = match Command::parse(&header, limits.transfer) {
            Ok(command) => command,
            Err(error) => return Some(error.into()),
        };
        let (Command::Submit { device, .. } | Command::Unlink { device, .. }) = command;
        if device != device_id {
            return Some(SessionError::Device { got: device, expected: device_id });
        }
        let mut data = BytesMut::new();
        if let Command::Submit { endpoint, length, .. } = command
            && endpoint & 0x80 == 0
        {
            if stream.buffer().len() < length && !batch.is_empty() && !mailbox.put(batch, limits) {
                return None;
            }
            data.resize(length, 0);
            if let Err(error) = stream.read_exact(&mut data) {
                return Some(error.into());
            }
        }
        batch.push(Event::Command(command, data));
    }
}

/// An URB that the peer has in flight.
struct InFlight {
    is_in: bool,
    flags: u32,
    length: usize,
}

/// Releases the reader from `read` or from waiting for room, also when the function panics: the scope waits
/// for the reader either way.
struct HangUp<'a> {
    stream: &'a TcpStream,
    mailbox: &'a Mailbox,
}

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.mailbox.close();
    }
}

/// Serves an imported device until the peer leaves, breaks the protocol, or the server stops.
pub(super) fn serve(
    mut stream: TcpStream,
    device: &mut FunctionHost,
    device_id: u32,
    limits: &Limits,
    origin: Instant,
) -> Result<(), SessionError> {
    let mailbox =
        Arc::new(Mailbox { slots: Mutex::default(), filled: Condvar::new(), emptied: Condvar::new() });
    let mut reading = stream.try_clone()?;
    device.plug(origin.elapsed(), Waker::from(mailbox.clone()));
    let closing = stream.try_clone()?;
    let result = std::thread::scope(|scope| {
        let hang_up = HangUp { stream: &closing, mailbox: &mailbox };
        let reader = std::thread::Builder::new().name("usbip-read".into()).spawn_scoped(scope, || {
            let mut batch = Vec::new();
            let why = read_commands(&mut reading, device_id, limits, &mailbox, &mut batch);
            batch.push(Event::End(why));
            mailbox.put(&mut batch, limits);
        });
        let result = match reader {
            Ok(_) => engine(&mut stream, device, limits, origin, &mailbox),
            Err(error) => Err(error.into()),
        };
        drop(hang_up);
        result
    });
    device.reset(origin.elapsed());
    while device.poll(origin.elapsed()).is_some() {}
    result
}

/// The engine's book of what the peer has in flight, and the answers not yet written.
struct Book<'a> {
    device: &'a mut FunctionHost,
    limits: &'a Limits,
    flight: HashMap<u32, InFlight>,
    /// Bytes that `flight` sends or asks for.
    held: usize,
    out: Vec<u8>,
}

fn engine(
    stream: &mut TcpStream,
    device: &mut FunctionHost,
    limits: &Limits,
    origin: Instant,
    mailbox: &Mailbox,
) -> Result<(), SessionError> {
    let mut book = Book { device, limits, flight: HashMap::new(), held: 0, out: Vec::new() };
    let mut events = VecDeque::new();
    loop {
        let timeout = book.device.next_deadline().map(|due| due.saturating_sub(origin.elapsed()));
        mailbox.take(timeout, &mut events);
        let now = origin.elapsed();
        for event in events.drain(..) {
            match event {
                Event::End(None) => return Ok(()),
                Event::End(Some(error)) => return Err(error),
                Event::Command(command, data) => book.command(now, command, data)?,
            }
            book.collect(now);
            if book.out.len() >= WRITE_EARLY {
                stream.write_all(&book.out)?;
                book.out.clear();
            }
        }
        book.collect(origin.elapsed());
        if !book.out.is_empty() {
            stream.write_all(&book.out)?;
            book.out.clear();
            book.out.shrink_to(WRITE_EARLY);
        }
    }
}

impl Book<'_> {
    fn command(&mut self, now: Duration, command: Command, data: BytesMut) -> Result<(), SessionError> {
        match command {
            Command::Submit { sequence, endpoint, flags, length, setup, .. } => {
                let is_in = endpoint & 0x80 != 0;
                self.held += length;
                if self.flight.len() >= self.limits.urbs || self.held > self.limits.bytes {
                    let urbs = self.flight.len() + 1;
                    return Err(SessionError::TooMuch { urbs, bytes: self.held });
                }
                if self.flight.insert(sequence, InFlight { is_in, flags, length }).is_some() {
                    return Err(SessionError::Sequence(sequence));
                }
                let setup = (endpoint & 0x0f == 0).then_some(setup);
                let urb = FunctionUrb::new(UrbId(sequence.into()), endpoint, setup, data, length);
                // A set-up packet that contradicts its header would have the function answer where the peer
                // expects no data, or the other way round.
                if setup.is_some_and(|s| usize::from(s.length) > length || length != 0 && s.is_in() != is_in)
                {
                    self.answer(urb.fail(TransferError::Invalid));
                } else if setup == Some(PORT_RESET) {
                    self.reset(now);
                    self.answer(urb.ok());
                } else {
                    self.device.submit(now, urb);
                }
            }
            Command::Unlink { sequence, victim, .. } => {
                // What has ended goes out first: the peer sees either the URB's end or its unlinking.
                self.collect(now);
                let taken = self.device.cancel(UrbId(victim.into())).is_some();
                if taken && let Some(urb) = self.flight.remove(&victim) {
                    self.held -= urb.length;
                }
                let status = if taken { UNLINKED } else { 0 };
                self.out.extend_from_slice(&Answer::Unlink { sequence, status }.emit());
            }
        }
        Ok(())
    }

    /// Resets the device, as Linux's server does at this request; configuration and settings are restored.
    fn reset(&mut self, now: Duration) {
        let configuration = self.device.configuration();
        let alternates = self.device.alternates().to_vec();
        self.device.reset(now);
        let settings = alternates
            .into_iter()
            .map(|(interface, alternate)| DeviceOp::SetInterface { interface, alternate });
        for op in core::iter::once(DeviceOp::SetConfiguration(configuration)).chain(settings) {
            let urb = FunctionUrb::new(OWN_URB, 0, op.setup(), BytesMut::new(), 0);
            self.device.submit(now, urb);
        }
        self.collect(now);
    }

    /// Answers for all URBs that have ended.
    fn collect(&mut self, now: Duration) {
        while let Some(reply) = self.device.poll(now) {
            self.answer(reply);
        }
    }

    fn answer(&mut self, reply: Reply) {
        // One of our own names no URB of the peer's.
        let Ok(sequence) = u32::try_from(reply.id.0) else { return };
        let Some(urb) = self.flight.remove(&sequence) else { return };
        self.held -= urb.length;
        let (mut status, mut actual) = match reply.status {
            Ok(actual) => (0, actual),
            // The bytes that fitted are given with the error, as a host controller does.
            Err(error @ TransferError::Overflow) => (protocol::errno(error), reply.buffer.len()),
            Err(error) => (protocol::errno(error), 0),
        };
        actual = actual.min(urb.length);
        if urb.is_in {
            actual = actual.min(reply.buffer.len());
            if status == 0 && actual < urb.length && urb.flags & SHORT_NOT_OK != 0 {
                status = protocol::errno(TransferError::Short);
            }
        }
        self.out.extend_from_slice(&Answer::Submit { sequence, status, actual }.emit());
        if urb.is_in {
            self.out.extend_from_slice(&reply.buffer[..actual]);
        }
    }
}
