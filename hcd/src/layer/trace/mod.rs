//! [`Trace`]: writes every transfer down, in a file that Wireshark and tshark open as if Linux's usbmon had made it.
//!
//! Each URB gives two records, one when it is submitted and one when it comes back, under the same number, with
//! set-up packet, data, status and time. The times are the kernel clock's. Records are made on the threads that
//! the transfers run on and written by a thread of the trace's own: the disk holds nothing up. When it falls
//! behind by more than [`TraceOptions::budget`], records are left out and counted; the file's last block tells.
//!
//! [`record`] is the shape of the records and of the file. Neighbours: [`Layer`], which this is one of.

mod record;
#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use airlift_runtime::Clock;

use self::record::{Event, Record};
use super::{Layer, LayerContext};
use crate::backend::{Backend, Connect, DeviceOp, FlatUrb, Upcall};
use crate::descriptor::TransferType;
use crate::function::{Reply, UrbId};
use crate::status::TransferError;
use crate::urb_map::UrbMap;

/// Devices beyond this many share a number in the trace: a device address has seven bits.
const ADDRESS_MAX: u8 = 127;

/// Where a device's number stands in the numbers of its URBs.
const DEVICE_SHIFT: u32 = 48;

/// What a [`Trace`] says of itself, and what it may hold.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct TraceOptions {
    application: String,
    origin: Duration,
    budget: usize,
}

impl Default for TraceOptions {
    /// Written by this crate, times from the clock's origin, at most 64 MiB unwritten.
    fn default() -> Self {
        Self {
            application: concat!("airlift ", env!("CARGO_PKG_VERSION")).to_owned(),
            origin: Duration::ZERO,
            budget: 64 << 20,
        }
    }
}

impl TraceOptions {
    /// As [`default`](Self::default).
    pub fn new() -> Self {
        Self::default()
    }

    /// The program that writes.
    pub fn application(mut self, name: impl Into<String>) -> Self {
        self.application = name.into();
        self
    }

    /// How long after the start of 1970 the clock had its origin.
    pub fn clock_origin(mut self, since_1970: Duration) -> Self {
        self.origin = since_1970;
        self
    }

    /// Bytes that may wait to be written.
    pub fn budget(mut self, bytes: usize) -> Self {
        self.budget = bytes;
        self
    }
}

/// What a trace came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TraceSummary {
    /// Records in the file: two for an URB that came back.
    pub records: u64,
    /// Records left out, because the disk fell behind or failed.
    pub dropped: u64,
}

/// The trace layer. Clones write to the same file, and so do all devices that it is put above.
///
/// The file is complete after [`finish_blocking`](Self::finish_blocking); dropping the last clone, after the last
/// device, completes it in the background.
#[derive(Clone)]
pub struct Trace {
    file: Arc<TraceFile>,
}

impl Trace {
    /// Starts a trace into `out`.
    ///
    /// # Errors
    /// The system refuses a thread. `out` is first written to by that thread, whose errors
    /// [`finish_blocking`](Self::finish_blocking) tells.
    pub fn start(out: impl Write + Send + 'static, options: TraceOptions) -> io::Result<Self> {
        let mut head = Vec::new();
        record::head(&mut head, &options.application);
        let queue = Queue { waiting: head, ..Queue::default() };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            filled: Condvar::new(),
            budget: options.budget,
            origin: options.origin,
        });
        let writing = shared.clone();
        let thread = thread::Builder::new().name("usb-trace".into()).spawn(move || writing.write_all(out))?;
        Ok(Self { file: Arc::new(TraceFile { shared, thread: Mutex::new(Some(thread)) }) })
    }

    /// Ends the trace: later records are left out, the file is completed and flushed. Again: the same answer,
    /// without an error that was told before.
    ///
    /// # Errors
    /// The first that writing met. The file then ends there.
    pub fn finish_blocking(&self) -> io::Result<TraceSummary> {
        self.file.shared.close();
        let thread = self.file.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let written = match thread {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked"))),
            None => Ok(()),
        };
        let queue = self.file.shared.lock();
        written.map(|()| queue.summary)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("summary", &self.file.shared.lock().summary).finish_non_exhaustive()
    }
}

/// Ends with the last [`Trace`] and the last device that is traced.
struct TraceFile {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Between the threads that transfers run on and the one that writes.
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    budget: usize,
    origin: Duration,
}

#[derive(Default)]
struct Queue {
    /// Blocks ready to be written.
    waiting: Vec<u8>,
    closed: bool,
    summary: TraceSummary,
    /// Devices that have a number.
    devices: u64,
    /// Stamp of the first record and of the last, in nanoseconds since 1970.
    span: Option<(u64, u64)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn put(&self, now: Duration, record: &Record<'_>) {
        let stamp = self.origin.saturating_add(now);
        let mut queue = self.lock();
        if queue.closed || queue.waiting.len() + record.len() > self.budget {
            queue.summary.dropped += 1;
            return;
        }
        record.emit(stamp, &mut queue.waiting);
        queue.summary.records += 1;
        let stamp = record::nanoseconds(stamp);
        queue.span = Some((queue.span.map_or(stamp, |(first, _)| first), stamp));
        drop(queue);
        self.filled.notify_one();
    }

    /// The writer's thread.
    fn write_all(&self, mut out: impl Write) -> io::Result<()> {
        let mut taken = Vec::new();
        loop {
            let ending = {
                let mut queue = self.lock();
                while queue.waiting.is_empty() && !queue.closed {
                    queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                core::mem::swap(&mut queue.waiting, &mut taken);
                if queue.closed {
                    record::statistics(&mut taken, queue.span, queue.summary);
                }
                queue.closed
            };
            let written = out.write_all(&taken).and_then(|()| if ending { out.flush() } else { Ok(()) });
            if let Err(error) = written {
                // Nobody writes any more: what comes is counted as left out instead of gathered.
                let mut queue = self.lock();
                queue.closed = true;
                queue.waiting = Vec::new();
                return Err(error);
            }
            if ending {
                return Ok(());
            }
            taken.clear();
        }
    }
}

impl Layer for Trace {
    fn wrap(
        &self,
        context: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<dyn Backend>> {
        let number = {
            let mut queue = self.file.shared.lock();
            queue.devices += 1;
            queue.devices
        };
        let link = Arc::new(Link {
            file: self.file.clone(),
            clock: context.clock.clone(),
            upcall,
            below: OnceLock::new(),
            number,
            flying: Mutex::default(),
        });
        let connected = below(Arc::new(LinkUpcall(Arc::downgrade(&link))))?;
        _ = link.below.set(connected);
        Ok(link)
    }
}

/// The layer above one device.
struct Link {
    file: Arc<TraceFile>,
    clock: Clock,
    upcall: Arc<dyn Upcall>,
    below: OnceLock<Arc<dyn Backend>>,
    /// Of the device, counted from 1.
    number: u64,
    flying: Mutex<UrbMap<Flying>>,
}

/// What the record of an URB's end says again.
#[derive(Clone, Copy)]
struct Flying {
    transfer_type: TransferType,
    /// With the direction in bit 7, on the control endpoint too.
    endpoint: u8,
}

impl Link {
    fn flying(&self) -> MutexGuard<'_, UrbMap<Flying>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record<'a>(&self, id: UrbId, flying: Flying, event: Event<'a>) -> Record<'a> {
        Record {
            urb: self.number << DEVICE_SHIFT | id.0 & ((1 << DEVICE_SHIFT) - 1),
            transfer_type: flying.transfer_type,
            endpoint: flying.endpoint,
            device: u8::try_from(self.number).unwrap_or(ADDRESS_MAX).min(ADDRESS_MAX),
            event,
        }
    }

    fn submitted(&self, id: UrbId, flying: Flying, event: Event<'_>) {
        self.flying().insert(id, flying);
        self.file.shared.put(self.clock.now(), &self.record(id, flying, event));
    }
}

impl Backend for Link {
    fn submit(&self, urb: FlatUrb) {
        let direction = if urb.is_in() { 0x80 } else { 0 };
        let flying = Flying { transfer_type: urb.transfer_type, endpoint: urb.endpoint & 0x0f | direction };
        let data = if urb.is_in() { &[][..] } else { &urb.buffer[..] };
        self.submitted(urb.id, flying, Event::Submit { setup: urb.setup, length: urb.length, data });
        match self.below.get() {
            Some(below) => below.submit(urb),
            None => self.lost(urb.id, urb.buffer),
        }
    }

    fn cancel(&self, id: UrbId) {
        if let Some(below) = self.below.get() {
            below.cancel(id);
        }
    }

    fn operate(&self, id: UrbId, op: DeviceOp) {
        // A reset is no transfer.
        if let Some(setup) = op.setup() {
            let flying = Flying { transfer_type: TransferType::Control, endpoint: 0 };
            self.submitted(id, flying, Event::Submit { setup: Some(setup), length: 0, data: &[] });
        }
        match self.below.get() {
            Some(below) => below.operate(id, op),
            None => self.lost(id, bytes::BytesMut::new()),
        }
    }

    fn close(&self) {
        if let Some(below) = self.below.get() {
            below.close();
        }
    }

    fn reap(&self) {
        if let Some(below) = self.below.get() {
            below.reap();
        }
    }
}

impl Link {
    /// Nothing is connected below (yet).
    fn lost(&self, id: UrbId, buffer: bytes::BytesMut) {
        let reply = Reply { id, status: Err(TransferError::Shutdown), buffer };
        self.give_back(&mut vec![reply]);
    }

    fn give_back(&self, replies: &mut Vec<Reply>) {
        let now = self.clock.now();
        for reply in replies.iter() {
            let Some(flying) = self.flying().remove(&reply.id) else { continue };
            let is_in = flying.endpoint & 0x80 != 0;
            let data = if is_in { &reply.buffer[..] } else { &[] };
            let actual = match reply.status {
                Ok(actual) => actual,
                Err(_) => data.len(),
            };
            let event = Event::Complete { status: reply.status.map(drop), actual, data };
            self.file.shared.put(now, &self.record(reply.id, flying, event));
        }
        self.upcall.give_back(replies);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What the backend below reports to. It holds no more than a weak handle, for the link holds that backend.
struct LinkUpcall(Weak<Link>);

impl Upcall for LinkUpcall {
    fn give_back(&self, replies: &mut Vec<Reply>) {
        match self.0.upgrade() {
            Some(link) => link.give_back(replies),
            None => replies.clear(),
        }
    }

    fn gone(&self) {
        let Some(link) = self.0.upgrade() else { return };
        // Whatever is not back by now ends with the device; the trace says so.
        let left: Vec<_> = link.flying().drain().collect();
        let now = link.clock.now();
        for (id, flying) in left {
            let event = Event::Complete { status: Err(TransferError::Shutdown), actual: 0, data: &[] };
            link.file.shared.put(now, &link.record(id, flying, event));
        }
        link.upcall.gone();
    }
}
