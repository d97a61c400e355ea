//! [`UsbFunction`]: a USB device in software, as a state machine without I/O and without a clock.
//!
//! The mock backend serves a function from a host thread of its own, the USB/IP server exports it to another
//! kernel; both drive a [`FunctionHost`](crate::FunctionHost), which hands the function its [`FunctionUrb`]s and
//! the time, and carries its [`Reply`]s back. Standard requests (descriptors, configuration, `CLEAR_FEATURE`) are
//! answered for it from [`Descriptors`].

use core::fmt;
use core::time::Duration;
use std::task::Waker;

use bytes::BytesMut;

use crate::setup::Setup;
use crate::status::TransferError;

/// Names one URB while a function holds it. Unique among the URBs of one device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct UrbId(pub u64);

/// Speed of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Speed {
    /// 1.5 Mbit/s.
    Low,
    /// 12 Mbit/s.
    Full,
    /// 480 Mbit/s.
    High,
    /// 5 Gbit/s.
    Super,
}

/// What a device says of itself, as the bytes that stand on the bus (USB 2.0, section 9.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Descriptors {
    /// The 18 bytes of the device descriptor.
    pub device: [u8; 18],
    /// The configuration descriptor with all its interfaces and endpoints (`wTotalLength` bytes).
    pub configuration: Vec<u8>,
    /// The string descriptors by index, 1 first.
    pub strings: Vec<String>,
    /// The speed at which the device is connected.
    pub speed: Speed,
}

/// An URB as a function sees it: it owns the buffer until it gives it back in a [`Reply`].
pub struct FunctionUrb {
    pub(crate) id: UrbId,
    pub(crate) endpoint: u8,
    pub(crate) setup: Option<Setup>,
    pub(crate) buffer: BytesMut,
    pub(crate) length: usize,
}

impl FunctionUrb {
    /// An URB for `endpoint` (bit 7 set: device to host). For the host's side of a function, and for tests.
    ///
    /// `buffer` holds the bytes to send of an OUT transfer, and nothing but room for an IN transfer of
    /// `length` bytes.
    pub fn new(id: UrbId, endpoint: u8, setup: Option<Setup>, buffer: BytesMut, length: usize) -> Self {
        Self { id, endpoint, setup, buffer, length }
    }

    /// The URB's name.
    pub fn id(&self) -> UrbId {
        self.id
    }

    /// The endpoint's address; bit 7 set: device to host. 0 (or 0x80) is the control endpoint.
    pub fn endpoint(&self) -> u8 {
        self.endpoint
    }

    /// The set-up packet; present exactly on the control endpoint.
    pub fn setup(&self) -> Option<Setup> {
        self.setup
    }

    /// Bytes asked for (IN) or sent (OUT).
    pub fn length(&self) -> usize {
        self.length
    }

    /// The bytes sent; empty for IN transfers.
    pub fn data(&self) -> &[u8] {
        if self.is_in() { &[] } else { &self.buffer }
    }

    /// Whether data runs from the device to the host.
    pub fn is_in(&self) -> bool {
        match self.setup {
            Some(setup) => setup.is_in(),
            None => self.endpoint & 0x80 != 0,
        }
    }

    /// Ends an OUT transfer whose bytes were all taken (or an IN transfer with none).
    pub fn ok(self) -> Reply {
        let actual = if self.is_in() { 0 } else { self.buffer.len() };
        Reply { id: self.id, status: Ok(actual), buffer: self.buffer }
    }

    /// Ends an IN transfer with `data`; more than was asked for ends it with [`TransferError::Overflow`].
    pub fn reply(self, data: &[u8]) -> Reply {
        self.fill(|buffer| buffer.extend_from_slice(data))
    }

    /// Ends an IN transfer whose bytes `write` appends to the (empty) buffer, without a copy in between.
    pub fn fill(mut self, write: impl FnOnce(&mut BytesMut)) -> Reply {
        self.buffer.clear();
        write(&mut self.buffer);
        let actual = self.buffer.len();
        if actual > self.length {
            self.buffer.truncate(self.length);
            return Reply { id: self.id, status: Err(TransferError::Overflow), buffer: self.buffer };
        }
        Reply { id: self.id, status: Ok(actual), buffer: self.buffer }
    }

    /// Ends the transfer with an error: [`TransferError::Stall`] for a request that the device does not know.
    pub fn fail(self, error: TransferError) -> Reply {
        Reply { id: self.id, status: Err(error), buffer: self.buffer }
    }
}

impl fmt::Debug for FunctionUrb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionUrb")
            .field("id", &self.id)
            .field("endpoint", &format_args!("{:#04x}", self.endpoint))
            .field("setup", &self.setup)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// The end of an URB, with its buffer.
#[derive(Debug)]
pub struct Reply {
    /// Which URB ended.
    pub id: UrbId,
    /// Bytes transferred, or why none count.
    pub status: Result<usize, TransferError>,
    /// The URB's buffer: the bytes received, or those that were to be sent.
    pub buffer: BytesMut,
}

/// What becomes of an URB that a function was handed.
#[derive(Debug)]
pub enum Submit {
    /// It ends at once.
    Done(Reply),
    /// It ends this long from now. Until then its endpoint is occupied: the next URB waits.
    After(Duration, Reply),
    /// The function keeps it and gives it back from [`UsbFunction::poll`] or [`UsbFunction::cancel`].
    Parked,
}

/// A device drops itself off the bus: its half of being unplugged, without anybody touching the cable.
///
/// Chips do so to come back as something else: at another speed, after new firmware, as the device behind a disc of
/// drivers. What they come back as is what [`UsbFunction::descriptors`] says then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Departure {
    /// How long it stays away; `None`: for good. A port takes 100 ms at least to see a device again (USB 2.0, section
    /// 7.1.7.3, T_ATTDB), so less counts as that.
    pub back_after: Option<Duration>,
}

/// The least time that a device stays away.
const DEBOUNCE: Duration = Duration::from_millis(100);

impl Departure {
    /// How long the device stays away, as its port sees it; `None`: for good.
    pub(crate) fn absence(self) -> Option<Duration> {
        self.back_after.map(|time| time.max(DEBOUNCE))
    }
}

impl From<Reply> for Submit {
    fn from(reply: Reply) -> Self {
        Self::Done(reply)
    }
}

/// A USB device in software.
///
/// `now` is the time since the clock's origin; it never runs backwards. A function does no I/O, starts no
/// thread and reads no clock, so that a test can step it.
pub trait UsbFunction: Send + 'static {
    /// What the device says of itself. Asked once at each connection.
    fn descriptors(&self) -> Descriptors;

    /// Whether the device drops itself off the bus now. Asked after each [`submit`](Self::submit) and before each
    /// [`poll`](Self::poll); say so once.
    ///
    /// What it has ended by then is still given back; every other URB is taken back and ends with
    /// [`TransferError::Shutdown`]. When it is back it is asked for its [`descriptors`](Self::descriptors) and
    /// [`plugged`](Self::plugged) anew.
    fn departs(&mut self, now: Duration) -> Option<Departure> {
        let _ = now;
        None
    }

    /// The device was plugged in. `waker` may be kept and woken, from any thread, to have
    /// [`poll`](Self::poll) called when something outside (another radio, a test) gave it work.
    fn plugged(&mut self, now: Duration, waker: Waker) {
        let _ = (now, waker);
    }

    /// An URB arrives: vendor and class requests on the control endpoint, and whatever the host sends to the
    /// other endpoints. URBs of one endpoint arrive one at a time, in the order in which they were submitted: the
    /// next when the one before has ended.
    fn submit(&mut self, now: Duration, urb: FunctionUrb) -> Submit;

    /// Gives back one parked URB that has ended, or `None`. Called until it says `None`, after every
    /// [`submit`](Self::submit) and whenever [`next_deadline`](Self::next_deadline) has passed.
    fn poll(&mut self, now: Duration) -> Option<Reply> {
        let _ = now;
        None
    }

    /// When [`poll`](Self::poll) wants to be called next, if nothing is submitted before.
    fn next_deadline(&self) -> Option<Duration> {
        None
    }

    /// The host takes a parked URB back. Returns it, or `None` if the function does not hold it.
    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        let _ = id;
        None
    }

    /// The host chose a configuration (0: none). All parked URBs were taken back before.
    fn set_configuration(&mut self, now: Duration, value: u8) {
        let _ = (now, value);
    }

    /// The bus was reset. All parked URBs were taken back before.
    fn reset(&mut self, now: Duration) {
        let _ = now;
    }
}

impl<F: UsbFunction + ?Sized> UsbFunction for Box<F> {
    fn descriptors(&self) -> Descriptors {
        (**self).descriptors()
    }
    fn departs(&mut self, now: Duration) -> Option<Departure> {
        (**self).departs(now)
    }
    fn plugged(&mut self, now: Duration, waker: Waker) {
        (**self).plugged(now, waker);
    }
    fn submit(&mut self, now: Duration, urb: FunctionUrb) -> Submit {
        (**self).submit(now, urb)
    }
    fn poll(&mut self, now: Duration) -> Option<Reply> {
        (**self).poll(now)
    }
    fn next_deadline(&self) -> Option<Duration> {
        (**self).next_deadline()
    }
    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        (**self).cancel(id)
    }
    fn set_configuration(&mut self, now: Duration, value: u8) {
        (**self).set_configuration(now, value);
    }
    fn reset(&mut self, now: Duration) {
        (**self).reset(now);
    }
}
