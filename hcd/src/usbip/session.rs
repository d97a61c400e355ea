//! One import: what the peer sends is served as it comes, and what the device ends later goes out by itself.
//!
//! Two threads share the [`Book`], which owns the device, under one lock. The *reader* (the connection's own thread)
//! parses commands, hands those that have come together to the function and writes the answers; a device that answers
//! at once costs no hand-over. The *alarm* thread sleeps until the function wakes it or a deadline of its passes, and
//! writes what has ended by then. Answers are written under the lock, so their order is that in which URBs ended.
//! A peer that does not read its answers stops the reader in `write`, which then reads no further: what a peer can
//! make the server hold is bounded at every step.

use core::time::Duration;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use bytes::BytesMut;

use super::protocol::{self, Answer, Command, HEADER_LEN, ProtocolError, SHORT_NOT_OK, UNLINKED};
use super::server::Limits;
use crate::backend::usbip::PORT_RESET;
use crate::function::{FunctionUrb, Reply, UrbId};
use crate::function_host::FunctionHost;
use crate::status::TransferError;

/// So many commands that have come together are served together.
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
    /// The device dropped itself off the bus, so there is nothing to serve any more.
    #[error("the device has left the bus")]
    Departed,
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

/// When the alarm thread is to look after the device.
#[derive(Default)]
struct Times {
    /// The function's deadline, as of the last look.
    due: Option<Duration>,
    /// The function asked to be polled.
    woken: bool,
    closed: bool,
}

/// Rung by the function, from any thread, and by the reader when a deadline has come nearer.
#[derive(Default)]
struct Alarm {
    times: Mutex<Times>,
    rung: Condvar,
}

impl Alarm {
    fn lock(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device is next due at `due`.
    fn set(&self, due: Option<Duration>) {
        let mut times = self.lock();
        let nearer = due.is_some_and(|due| times.due.is_none_or(|old| due < old));
        times.due = due;
        if nearer {
            self.rung.notify_one();
        }
    }

    /// Sleeps until the function wants to be polled; `false` once the session is over.
    fn sleep(&self, origin: Instant) -> bool {
        let mut times = self.lock();
        loop {
            if times.closed {
                return false;
            }
            let left = times.due.map(|due| due.saturating_sub(origin.elapsed()));
            if times.woken || left == Some(Duration::ZERO) {
                times.woken = false;
                return true;
            }
            times = match left {
                Some(left) => self.rung.wait_timeout(times, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.rung.wait(times).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.rung.notify_one();
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.lock().woken = true;
        self.rung.notify_one();
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

/// Reads commands and has them served until the peer leaves.
fn read_commands(stream: &TcpStream, device_id: u32, desk: &Desk<'_>) -> Result<(), SessionError> {
    let mut stream = io::BufReader::with_capacity(64 * 1024, stream);
    let mut batch = Vec::new();
    let mut header = [0; HEADER_LEN];
    loop {
        // Nothing waits here while the reader does.
        if batch.len() >= BATCH || stream.buffer().len() < HEADER_LEN {
            desk.serve(&mut batch)?;
        }
        if !read_message(&mut stream, &mut header)? {
            return Ok(());
        }
        let command = Command::parse(&header, desk.transfer)?;
        let (Command::Submit { device, .. } | Command::Unlink { device, .. }) = command;
        if device != device_id {
            return Err(SessionError::Device { got: device, expected: device_id });
        }
        let mut data = BytesMut::new();
        if let Command::Submit { endpoint, length, .. } = command
            && endpoint & 0x80 == 0
        {
            if stream.buffer().len() < length {
                desk.serve(&mut batch)?;
            }
            data.resize(length, 0);
            stream.read_exact(&mut data)?;
        }
        batch.push((command, data));
    }
}

/// An URB that the peer has in flight.
struct InFlight {
    is_in: bool,
    flags: u32,
    length: usize,
}

/// Releases the session's other thread from `read`, `write` or sleep, also when the function panics: the scope waits
/// for both either way.
struct HangUp<'a> {
    stream: &'a TcpStream,
    alarm: &'a Alarm,
}

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.alarm.close();
    }
}

/// Where both threads have the device do its work.
struct Desk<'a> {
    book: Mutex<Book<'a>>,
    alarm: &'a Alarm,
    stream: &'a TcpStream,
    origin: Instant,
    /// Bytes of the longest transfer.
    transfer: usize,
}

impl Desk<'_> {
    /// Hands the function what is in `batch`, and writes the answers that there are.
    fn serve(&self, batch: &mut Vec<(Command, BytesMut)>) -> Result<(), SessionError> {
        if batch.is_empty() {
            return Ok(());
        }
        // The function has panicked on the other thread: the connection ends.
        let Ok(mut book) = self.book.lock() else { return Ok(()) };
        let now = self.origin.elapsed();
        for (command, data) in batch.drain(..) {
            book.command(now, command, data)?;
            book.collect(now);
            if book.out.len() >= WRITE_EARLY {
                book.write(self.stream)?;
            }
        }
        self.finish(&mut book)
    }

    /// Writes what the function has ended by itself.
    fn look_after(&self) -> Result<(), SessionError> {
        let Ok(mut book) = self.book.lock() else { return Ok(()) };
        self.finish(&mut book)
    }

    fn finish(&self, book: &mut Book<'_>) -> Result<(), SessionError> {
        book.collect(self.origin.elapsed());
        self.alarm.set(book.device.next_deadline());
        book.write(self.stream)?;
        match book.device.departure() {
            Some(_) => Err(SessionError::Departed),
            None => Ok(()),
        }
    }
}

/// Serves an imported device until the peer leaves, breaks the protocol, the device drops itself off the bus, or the
/// server stops. Of a device that does, every URB has been answered.
pub(super) fn serve(
    stream: &TcpStream,
    device: &mut FunctionHost,
    device_id: u32,
    limits: &Limits,
    origin: Instant,
) -> Result<(), SessionError> {
    let alarm = Arc::new(Alarm::default());
    device.plug(origin.elapsed(), Waker::from(alarm.clone()));
    alarm.set(device.next_deadline());
    let book = Book { device, limits, flight: HashMap::new(), held: 0, out: Vec::new() };
    let (book, transfer) = (Mutex::new(book), limits.transfer);
    let desk = Desk { book, alarm: &alarm, stream, origin, transfer };
    let result = std::thread::scope(|scope| {
        let hang_up = HangUp { stream, alarm: &alarm };
        let looking_after =
            std::thread::Builder::new().name("usbip-alarm".into()).spawn_scoped(scope, || {
                let _hang_up = HangUp { stream, alarm: &alarm };
                while alarm.sleep(origin) {
                    desk.look_after()?;
                }
                Ok(())
            })?;
        let read = read_commands(stream, device_id, &desk);
        drop(hang_up);
        match looking_after.join() {
            // What broke first took the connection from the other.
            Ok(looked_after) => looked_after.and(read),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    if device.departure().is_none() {
        device.reset(origin.elapsed());
    }
    while device.poll(origin.elapsed()).is_some() {}
    match result {
        Err(SessionError::Departed) => Ok(()),
        result => result,
    }
}

/// The book of what the peer has in flight, and the answers not yet written.
struct Book<'a> {
    device: &'a mut FunctionHost,
    limits: &'a Limits,
    flight: HashMap<u32, InFlight>,
    /// Bytes that `flight` sends or asks for.
    held: usize,
    out: Vec<u8>,
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
        self.device.reset_and_restore(now, OWN_URB);
        self.collect(now);
    }

    /// Answers for all URBs that have ended.
    fn collect(&mut self, now: Duration) {
        while let Some(reply) = self.device.poll(now) {
            self.answer(reply);
        }
    }

    /// Writes the answers that have come together.
    fn write(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        if !self.out.is_empty() {
            stream.write_all(&self.out)?;
            self.out.clear();
            self.out.shrink_to(WRITE_EARLY);
        }
        Ok(())
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
