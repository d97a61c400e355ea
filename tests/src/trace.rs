//! [`Traced`]: a device that records its register accesses, and what is sent to its bulk OUT endpoints, whichever driver
//! makes them.
//!
//! The Realtek chips of this family know one vendor request, 5, whose value is the address and whose data the
//! register's bytes (`rtw88 usb.c`, `rtw_usb_read`, `rtw_usb_write`). A trace is written one access a line:
//!
//! ```text
//! 1042117 W1 0080 = 05
//! 1042291 R4 0030 = 80000012
//! 1043001 W196 1000 # 1b5e0f9c44a3d2f1
//! ```
//!
//! that is, microseconds since the device was plugged in, direction and width, address, and the value, or for
//! longer blocks a hash of the bytes. A `!` in place of `=` marks a transfer that failed.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use airlift_hcd::{Departure, Descriptors, FunctionUrb, Reply, Submit, UrbId, UsbFunction};

/// The request that accesses registers.
const REGISTER_REQUEST: u8 = 5;
/// Bytes of bulk OUT transfers that are kept at most: what comes later is only counted.
const BULK_MAX: usize = 4 << 20;

/// One register access.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// Time since the clock's origin at which the access was made.
    pub at: Duration,
    /// The register's address.
    pub address: u16,
    /// Whether the host wrote.
    pub write: bool,
    /// The bytes written or read.
    pub data: Vec<u8>,
    /// Whether the device took it.
    pub ok: bool,
}

impl Access {
    /// The value of an access of up to four bytes, little-endian.
    pub fn value(&self) -> Option<u32> {
        let mut bytes = [0; 4];
        bytes.get_mut(..self.data.len())?.copy_from_slice(&self.data);
        Some(u32::from_le_bytes(bytes))
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.write { 'W' } else { 'R' };
        let mark = if self.ok { '=' } else { '!' };
        let width = self.data.len();
        write!(f, "{:>8} {direction}{width} {:04x} ", self.at.as_micros(), self.address)?;
        match self.value() {
            Some(value) => write!(f, "{mark} {value:0digits$x}", digits = width * 2),
            None => write!(f, "# {:016x}", hash([&self.data[..]])),
        }
    }
}

/// FNV-1a over 64 bits: short, the same everywhere, and enough to tell two traces apart.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let bytes = parts.into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What all handles of one trace share.
#[derive(Default)]
struct Record {
    accesses: Vec<Access>,
    bulk_out: u64,
    /// Endpoint and bytes.
    transfers: Vec<(u8, Vec<u8>)>,
    kept: usize,
}

impl Record {
    fn bulk_out(&mut self, endpoint: u8, bytes: &[u8]) {
        self.bulk_out += 1;
        if self.kept + bytes.len() <= BULK_MAX {
            self.kept += bytes.len();
            self.transfers.push((endpoint, bytes.to_vec()));
        }
    }
}

/// Reads a trace while the device is in use.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Record>>);

impl Trace {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All accesses so far.
    pub fn accesses(&self) -> Vec<Access> {
        self.lock().accesses.clone()
    }

    /// How many accesses there were so far.
    pub fn len(&self) -> usize {
        self.lock().accesses.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything so far.
    pub fn clear(&self) {
        *self.lock() = Record::default();
    }

    /// Bulk OUT transfers so far.
    pub fn bulk_out(&self) -> u64 {
        self.lock().bulk_out
    }

    /// The first of them, endpoint and bytes, as far as there was room for them.
    pub fn transfers(&self) -> Vec<(u8, Vec<u8>)> {
        self.lock().transfers.clone()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A function with a [`Trace`] of the register accesses that reach it.
#[derive(Debug)]
pub struct Traced<F> {
    inner: F,
    trace: Trace,
}

impl<F: UsbFunction> Traced<F> {
    /// Wraps `inner`.
    pub fn new(inner: F) -> (Self, Trace) {
        let trace = Trace::default();
        (Self { inner, trace: trace.clone() }, trace)
    }
}

impl<F: UsbFunction> UsbFunction for Traced<F> {
    fn descriptors(&self) -> Descriptors {
        self.inner.descriptors()
    }

    fn departs(&mut self, now: Duration) -> Option<Departure> {
        self.inner.departs(now)
    }

    fn plugged(&mut self, now: Duration, waker: Waker) {
        self.inner.plugged(now, waker);
    }

    fn submit(&mut self, now: Duration, urb: FunctionUrb) -> Submit {
        let Some(setup) =
            urb.setup().filter(|s| s.request == REGISTER_REQUEST && s.request_type & 0x60 == 0x40)
        else {
            if urb.endpoint() & 0x8f != 0 && !urb.is_in() {
                self.trace.lock().bulk_out(urb.endpoint(), urb.data());
            }
            return self.inner.submit(now, urb);
        };
        let write = !setup.is_in();
        let written = urb.data().to_vec();
        let submit = self.inner.submit(now, urb);
        let (data, ok) = match &submit {
            Submit::Done(reply) | Submit::After(_, reply) => match reply.status {
                Ok(_) if write => (written, true),
                Ok(actual) => (reply.buffer.get(..actual).unwrap_or_default().to_vec(), true),
                Err(_) => (written, false),
            },
            Submit::Parked => (written, false),
        };
        self.trace.lock().accesses.push(Access { at: now, address: setup.value, write, data, ok });
        submit
    }

    fn poll(&mut self, now: Duration) -> Option<Reply> {
        self.inner.poll(now)
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.inner.next_deadline()
    }

    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        self.inner.cancel(id)
    }

    fn set_configuration(&mut self, now: Duration, value: u8) {
        self.inner.set_configuration(now, value);
    }

    fn reset(&mut self, now: Duration) {
        self.inner.reset(now);
    }
}
