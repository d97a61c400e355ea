//! [`Urb`], [`UrbHandle`] and [`Completion`]: the three states of a USB request.
//!
//! An `Urb` is built and idle; [`UsbDevice::submit`](crate::UsbDevice::submit) turns it into a pending
//! `UrbHandle`, a future; that ends in a `Completion`, which brings the buffer home. While an URB is pending its
//! buffer belongs to the controller: nobody else can touch it, and dropping the handle only *asks* for the URB
//! back. The buffer is freed when the backend has let go of it.
//!
//! ```text
//!   Urb ──submit──► UrbHandle ──await──► Completion { status, actual_length, buffer }
//!                     │  │ └─post──► Anchor (a failure surfaces at its barrier)
//!                     │  └─kill──► awaits Completion { status: Err(Cancelled) }
//!                     └─drop──► cancelled, buffer freed when it comes back
//! ```

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;

use crate::anchor::{Anchor, AnchorInner};
use crate::backend::DeviceOp;
use crate::controller::User;
use crate::deadline::Deadline;
use crate::descriptor::TransferType;
use crate::device::DeviceInner;
use crate::function::{Reply, UrbId};
use crate::setup::Setup;
use crate::status::TransferError;

/// Room for the bytes of an IN transfer: so many fresh bytes, or a buffer that is used again.
#[derive(Debug)]
pub struct InBuffer {
    buffer: BytesMut,
    length: usize,
}

impl From<usize> for InBuffer {
    /// A fresh buffer of that many bytes.
    fn from(length: usize) -> Self {
        Self { buffer: BytesMut::with_capacity(length), length }
    }
}

impl From<BytesMut> for InBuffer {
    /// The buffer's whole capacity; what it held is overwritten.
    fn from(mut buffer: BytesMut) -> Self {
        buffer.clear();
        let length = buffer.capacity();
        Self { buffer, length }
    }
}

impl From<(BytesMut, usize)> for InBuffer {
    /// So many bytes, in the given buffer if it has the room.
    fn from((mut buffer, length): (BytesMut, usize)) -> Self {
        buffer.clear();
        buffer.reserve(length);
        Self { buffer, length }
    }
}

/// A USB request that is not submitted yet.
#[must_use = "an URB does nothing until it is submitted"]
pub struct Urb {
    pub(crate) transfer_type: TransferType,
    pub(crate) endpoint: u8,
    pub(crate) setup: Option<Setup>,
    pub(crate) buffer: BytesMut,
    pub(crate) length: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) short_not_ok: bool,
    pub(crate) zero_packet: bool,
}

impl Urb {
    fn new(
        transfer_type: TransferType,
        endpoint: u8,
        setup: Option<Setup>,
        buffer: BytesMut,
        length: usize,
    ) -> Self {
        Self {
            transfer_type,
            endpoint,
            setup,
            buffer,
            length,
            timeout: None,
            short_not_ok: false,
            zero_packet: false,
        }
    }

    /// A control transfer that reads `setup.length` bytes.
    pub fn control_in(setup: Setup) -> Self {
        let length = usize::from(setup.length);
        Self::new(TransferType::Control, 0, Some(setup), BytesMut::with_capacity(length), length)
    }

    /// A control transfer that writes `data`. `setup.length` must be its length.
    pub fn control_out(setup: Setup, data: impl AsRef<[u8]>) -> Self {
        let data = data.as_ref();
        Self::new(TransferType::Control, 0, Some(setup), BytesMut::from(data), data.len())
    }

    /// A bulk transfer from the device. `endpoint` has bit 7 set; `room` is a number of bytes or a buffer.
    pub fn bulk_in(endpoint: u8, room: impl Into<InBuffer>) -> Self {
        let InBuffer { buffer, length } = room.into();
        Self::new(TransferType::Bulk, endpoint, None, buffer, length)
    }

    /// A bulk transfer to the device.
    pub fn bulk_out(endpoint: u8, data: impl Into<BytesMut>) -> Self {
        let data = data.into();
        let length = data.len();
        Self::new(TransferType::Bulk, endpoint, None, data, length)
    }

    /// An interrupt transfer from the device.
    pub fn interrupt_in(endpoint: u8, room: impl Into<InBuffer>) -> Self {
        Self { transfer_type: TransferType::Interrupt, ..Self::bulk_in(endpoint, room) }
    }

    /// An interrupt transfer to the device.
    pub fn interrupt_out(endpoint: u8, data: impl Into<BytesMut>) -> Self {
        Self { transfer_type: TransferType::Interrupt, ..Self::bulk_out(endpoint, data) }
    }

    /// Ends the URB with [`TransferError::Timeout`] if it has not ended this long after its submission.
    pub fn timeout(self, limit: Duration) -> Self {
        Self { timeout: Some(limit), ..self }
    }

    /// Fewer bytes than asked for are an error, [`TransferError::Short`] (Linux's `URB_SHORT_NOT_OK`).
    pub fn short_not_ok(self) -> Self {
        Self { short_not_ok: true, ..self }
    }

    /// An OUT transfer that fills its last packet is followed by an empty one, so that the device sees where it
    /// ends (Linux's `URB_ZERO_PACKET`). Without effect on other transfers.
    pub fn zero_packet(self) -> Self {
        Self { zero_packet: true, ..self }
    }

    /// Whether data runs from the device to the host.
    pub fn is_in(&self) -> bool {
        match self.setup {
            Some(setup) => setup.is_in(),
            None => self.endpoint & 0x80 != 0,
        }
    }
}

impl fmt::Debug for Urb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Urb")
            .field("transfer_type", &self.transfer_type)
            .field("endpoint", &format_args!("{:#04x}", self.endpoint))
            .field("setup", &self.setup)
            .field("length", &self.length)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// How an URB ended, with its buffer.
#[derive(Debug)]
#[must_use = "the status tells whether the transfer took place"]
pub struct Completion {
    /// Whether the transfer took place.
    pub status: Result<(), TransferError>,
    /// Bytes transferred; with an error, those received before it.
    pub actual_length: usize,
    /// The bytes received (IN), or those that were to be sent (OUT).
    pub buffer: BytesMut,
}

impl Completion {
    /// The buffer of a transfer that took place.
    ///
    /// # Errors
    /// The transfer's own. Use the fields to keep the buffer then.
    pub fn into_result(self) -> Result<BytesMut, TransferError> {
        self.status.map(|()| self.buffer)
    }
}

/// What the controller keeps of a pending URB. The device keeps the record after the URB's end, for another one.
pub(crate) struct UrbShared {
    pub(crate) id: UrbId,
    /// `None` only in a record that waits for another URB: the device must not keep itself.
    device: Option<Arc<DeviceInner>>,
    pub(crate) op: Option<DeviceOp>,
    is_in: bool,
    length: usize,
    short_not_ok: bool,
    timed_out: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: bool,
    completion: Option<Completion>,
    waker: Option<Waker>,
    /// Where a detached URB reports its end.
    anchored: Option<(Arc<AnchorInner>, u64)>,
    deadline: Option<Deadline>,
}

impl UrbShared {
    pub(crate) fn new(id: UrbId, device: Arc<DeviceInner>, urb: &Urb) -> Self {
        Self {
            id,
            device: Some(device),
            op: None,
            is_in: urb.is_in(),
            length: urb.length,
            short_not_ok: urb.short_not_ok,
            timed_out: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    pub(crate) fn operation(id: UrbId, device: Arc<DeviceInner>, op: DeviceOp) -> Self {
        Self {
            id,
            device: Some(device),
            op: Some(op),
            is_in: false,
            length: 0,
            short_not_ok: false,
            timed_out: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Puts the record where its handles find it: in place of one that is over, if there is one.
    pub(crate) fn share(self, spare: Option<Arc<Self>>) -> Arc<Self> {
        if let Some(mut spare) = spare
            && let Some(place) = Arc::get_mut(&mut spare)
        {
            *place = self;
            return spare;
        }
        Arc::new(self)
    }

    /// Gives the record of an URB that is over to the device, if nobody else holds it.
    pub(crate) fn retire(mut urb: Arc<Self>) {
        if let Some(record) = Arc::get_mut(&mut urb)
            && let Some(device) = record.device.take()
        {
            // The completion that nobody fetched, with its buffer.
            *record.state.get_mut().unwrap_or_else(PoisonError::into_inner) = State::default();
            device.keep(urb);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URB has come back: turns the backend's reply into the completion and wakes who waits.
    pub(crate) fn finish(&self, reply: Reply) {
        let mut status = reply.status;
        if status == Err(TransferError::Cancelled) && self.timed_out.load(Ordering::Acquire) {
            status = Err(TransferError::Timeout);
        }
        let actual_length = match status {
            Ok(actual) => actual,
            Err(_) if self.is_in => reply.buffer.len(),
            Err(_) => 0,
        };
        let short = self.short_not_ok && self.is_in && actual_length < self.length;
        let status = match status {
            Ok(_) if short => Err(TransferError::Short),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        let (anchored, waker, deadline) = {
            let mut state = self.lock();
            if state.done {
                return;
            }
            state.done = true;
            state.completion = Some(Completion { status, actual_length, buffer: reply.buffer });
            (state.anchored.take(), state.waker.take(), state.deadline.take())
        };
        if let (Some(deadline), Some(device)) = (deadline, &self.device) {
            device.core.deadlines.forget(deadline);
        }
        if let Some((anchor, sequence)) = anchored {
            anchor.returned(sequence, status.err());
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.lock().done
    }

    /// Notes the URB's deadline; `false` if it has ended already.
    pub(crate) fn set_deadline(&self, deadline: Deadline) -> bool {
        let mut state = self.lock();
        if !state.done {
            state.deadline = Some(deadline);
        }
        !state.done
    }

    /// Asks the backend for the URB back.
    pub(crate) fn cancel(&self) {
        if !self.is_done()
            && let Some(device) = &self.device
        {
            device.cancel(self.id);
        }
    }

    /// The URB's time limit has passed.
    pub(crate) fn time_out(&self) {
        self.timed_out.store(true, Ordering::Release);
        self.cancel();
    }
}

impl fmt::Debug for UrbShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrbShared").field("id", &self.id).field("op", &self.op).finish_non_exhaustive()
    }
}

/// A submitted URB: a future of its [`Completion`].
///
/// It can be awaited on the kernel core or anywhere else. Awaiting `&mut handle` is cancel-safe: the URB goes on
/// and can be awaited again. Dropping the handle cancels the URB; [`post`](Self::post) lets go of it without.
#[must_use = "dropping the handle cancels the URB; use `post` to let it run"]
pub struct UrbHandle {
    /// `None` once it is detached or its completion was taken.
    urb: Option<Arc<UrbShared>>,
    _user: Option<Arc<User>>,
}

impl UrbHandle {
    pub(crate) fn new(urb: Arc<UrbShared>, user: Arc<User>) -> Self {
        Self { urb: Some(urb), _user: Some(user) }
    }

    /// Asks for the URB back; awaiting the handle then gives its completion, with
    /// [`TransferError::Cancelled`] unless it ended first.
    pub fn kill(&self) {
        if let Some(urb) = &self.urb {
            urb.cancel();
        }
    }

    /// Whether the URB has ended, so that awaiting it gives its completion at once.
    pub fn is_done(&self) -> bool {
        self.urb.as_ref().is_none_or(|urb| urb.is_done())
    }

    /// Detaches the URB: it runs on by itself, and a failure surfaces at the next
    /// [`barrier`](Anchor::barrier) of `anchor`, under `tag`.
    pub fn post(mut self, anchor: &Anchor, tag: u32) {
        let Some(urb) = self.urb.take() else { return };
        let sequence = anchor.inner.posted(&urb, tag);
        let ended = {
            let mut state = urb.lock();
            match &state.completion {
                Some(completion) => Some(completion.status.err()),
                None => {
                    state.anchored = Some((anchor.inner.clone(), sequence));
                    None
                }
            }
        };
        if let Some(error) = ended {
            anchor.inner.returned(sequence, error);
        }
    }
}

impl Future for UrbHandle {
    type Output = Completion;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completion> {
        let urb = self.urb.as_ref().expect("UrbHandle polled after its completion was taken");
        let completion = {
            let mut state = urb.lock();
            match state.completion.take() {
                Some(completion) => completion,
                None => {
                    match &mut state.waker {
                        Some(waker) => waker.clone_from(context.waker()),
                        none => *none = Some(context.waker().clone()),
                    }
                    return Poll::Pending;
                }
            }
        };
        if let Some(urb) = self.urb.take() {
            UrbShared::retire(urb);
        }
        Poll::Ready(completion)
    }
}

impl Drop for UrbHandle {
    fn drop(&mut self) {
        if let Some(urb) = self.urb.take() {
            urb.cancel();
        }
    }
}

impl fmt::Debug for UrbHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrbHandle")
            .field("id", &self.urb.as_ref().map(|urb| urb.id))
            .field("done", &self.is_done())
            .finish()
    }
}
