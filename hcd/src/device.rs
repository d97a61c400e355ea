//! [`UsbDevice`]: one device on the controller, as a driver sees it.

mod requests;

use core::fmt;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::{Bytes, BytesMut};

use crate::backend::{Backend, DeviceOp, FlatUrb};
use crate::controller::{Core, User, shutdown_reply};
use crate::descriptor::{Configuration, DeviceDescriptor, EndpointMap, TransferType};
use crate::function::{Descriptors, Reply, Speed, UrbId};
use crate::seat::Seat;
use crate::status::TransferError;
use crate::urb::{Urb, UrbHandle, UrbShared};
use crate::urb_map::UrbMap;

pub use requests::{StringError, Strings};

const SET_CONFIGURATION: u8 = 9;
const SET_INTERFACE: u8 = 11;

/// How long a standard request may take: Linux's `USB_CTRL_GET_TIMEOUT` and `USB_CTRL_SET_TIMEOUT`.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Records of URBs that a device keeps for those to come.
const SPARE_RECORDS: usize = 64;

/// Names a device; no two devices of a controller have the same one, ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DeviceId(pub(crate) u32);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What tells devices apart in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its name on this controller.
    pub id: DeviceId,
    /// Where it is plugged in, for people: `mock-1`.
    pub location: String,
    /// `idVendor`.
    pub vendor_id: u16,
    /// `idProduct`.
    pub product_id: u16,
    /// The speed of its connection.
    pub speed: Speed,
    /// Where it sits on the machine that has it, in the words of the USB/IP server there; none for a local one.
    pub remote_path: Option<String>,
}

/// What a device said of itself when it arrived.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) info: DeviceInfo,
    descriptor: DeviceDescriptor,
    configuration: Option<Configuration>,
}

impl Identity {
    pub(crate) fn of_function(id: DeviceId, descriptors: &Descriptors) -> Self {
        let descriptor = DeviceDescriptor::from_bytes(descriptors.device);
        let configuration = Configuration::parse(Bytes::copy_from_slice(&descriptors.configuration)).ok();
        Self::new(id, format!("mock-{id}"), descriptors.speed, descriptor, configuration)
    }

    /// A device at `location` (for people) with these descriptors, of which `configuration` is chosen.
    pub(crate) fn new(
        id: DeviceId,
        location: String,
        speed: Speed,
        descriptor: DeviceDescriptor,
        configuration: Option<Configuration>,
    ) -> Self {
        let info = DeviceInfo {
            id,
            location,
            vendor_id: descriptor.vendor_id(),
            product_id: descriptor.product_id(),
            speed,
            remote_path: None,
        };
        Self { info, descriptor, configuration }
    }
}

/// What all handles on one device share.
pub(crate) struct DeviceInner {
    pub(crate) core: Arc<Core>,
    pub(crate) identity: Identity,
    /// Where it sits.
    pub(crate) seat: Weak<Seat>,
    backend: OnceLock<Arc<dyn Backend>>,
    next_urb: AtomicU64,
    unplugged: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    configuration: u8,
    endpoints: EndpointMap,
    pending: UrbMap<Arc<UrbShared>>,
    /// Records of URBs that are over, for those to come.
    spare: Vec<Arc<UrbShared>>,
    /// Nothing comes from the backend any more.
    closed: bool,
    closers: Vec<Waker>,
}

impl DeviceInner {
    pub(crate) fn new(core: Arc<Core>, identity: Identity, seat: Weak<Seat>) -> Self {
        let mut state = State::default();
        if let Some(configuration) = identity.configuration.as_ref().filter(|c| c.value() != 0) {
            state.configuration = configuration.value();
            state.endpoints = EndpointMap::new(configuration);
        }
        Self {
            core,
            identity,
            seat,
            backend: OnceLock::new(),
            next_urb: AtomicU64::new(1),
            unplugged: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connected(&self, backend: Arc<dyn Backend>) {
        _ = self.backend.set(backend);
    }

    pub(crate) fn cancel(&self, id: UrbId) {
        if let Some(backend) = self.backend.get() {
            backend.cancel(id);
        }
    }

    pub(crate) fn mark_unplugged(&self) {
        self.unplugged.store(true, Ordering::Release);
    }

    /// Lets go of the device, from the host's side.
    pub(crate) fn unplug(&self) {
        self.core.leave(self);
        if let Some(backend) = self.backend.get() {
            backend.close();
        }
    }

    /// Makes an URB's record, and enters it among the pending ones if the device takes it: then there is a backend
    /// to hand it to.
    fn admit(
        self: &Arc<Self>,
        record: UrbShared,
        urb: Option<&Urb>,
    ) -> (Arc<UrbShared>, Result<&Arc<dyn Backend>, TransferError>) {
        let mut state = self.lock();
        let gone = state.closed || self.unplugged.load(Ordering::Acquire);
        let taken = self.backend.get().filter(|_| !gone).ok_or(TransferError::Shutdown);
        let taken = taken.and_then(|backend| match urb {
            Some(urb) => check(urb, &state.endpoints).map(|()| backend),
            None => Ok(backend),
        });
        let shared = record.share(state.spare.pop());
        if taken.is_ok() {
            state.pending.insert(shared.id, shared.clone());
        }
        (shared, taken)
    }

    /// Keeps the record of an URB that is over.
    pub(crate) fn keep(&self, record: Arc<UrbShared>) {
        let mut state = self.lock();
        if state.spare.len() < SPARE_RECORDS && !state.closed {
            state.spare.push(record);
        }
    }

    /// The backend gave an URB back.
    pub(crate) fn finish(&self, reply: Reply) {
        let urb = {
            let mut state = self.lock();
            let Some(urb) = state.pending.remove(&reply.id) else { return };
            if let (Some(op), Ok(_)) = (urb.op, reply.status) {
                self.apply(&mut state, op);
            }
            urb
        };
        urb.finish(reply);
        // Unless somebody holds its handle.
        UrbShared::retire(urb);
    }

    /// The backend is gone: nothing more will be given back.
    pub(crate) fn finish_all(&self) {
        self.mark_unplugged();
        let (pending, closers, spare) = {
            let mut state = self.lock();
            state.closed = true;
            let spare = core::mem::take(&mut state.spare);
            (core::mem::take(&mut state.pending), core::mem::take(&mut state.closers), spare)
        };
        drop(spare);
        for urb in pending.into_values() {
            urb.finish(shutdown_reply(urb.id));
        }
        closers.into_iter().for_each(|waker| waker.wake());
    }

    /// Follows what an operation did to the device.
    fn apply(&self, state: &mut State, op: DeviceOp) {
        let configuration = self.identity.configuration.as_ref();
        match op {
            DeviceOp::SetConfiguration(value) => {
                state.configuration = value;
                state.endpoints = configuration
                    .filter(|configuration| value != 0 && configuration.value() == value)
                    .map(EndpointMap::new)
                    .unwrap_or_default();
            }
            DeviceOp::SetInterface { interface, alternate } => {
                if let Some(setting) = configuration.and_then(|c| c.alternate(interface, alternate)) {
                    state.endpoints.select(&setting);
                }
            }
            DeviceOp::ClearHalt(_) | DeviceOp::Reset => {}
        }
    }
}

/// Whether an URB is one that the endpoint takes.
fn check(urb: &Urb, endpoints: &EndpointMap) -> Result<(), TransferError> {
    if let Some(setup) = urb.setup {
        // IN URBs carry no data, OUT URBs all of it; and what changes the endpoints has calls of its own.
        let matching = setup.is_in() == urb.buffer.is_empty() || urb.length == 0;
        let reserved =
            matches!((setup.request_type, setup.request), (0, SET_CONFIGURATION) | (1, SET_INTERFACE));
        return if matching && urb.length == usize::from(setup.length) && !reserved {
            Ok(())
        } else {
            Err(TransferError::Invalid)
        };
    }
    // An IN endpoint with bytes to send, or an OUT endpoint with room to receive.
    if urb.is_in() != urb.buffer.is_empty() && urb.length != 0 {
        return Err(TransferError::Invalid);
    }
    match endpoints.get(urb.endpoint) {
        Some(endpoint) if endpoint.transfer_type == TransferType::Isochronous => {
            Err(TransferError::Isochronous)
        }
        Some(endpoint) if endpoint.transfer_type == urb.transfer_type => Ok(()),
        _ => Err(TransferError::Invalid),
    }
}

impl Drop for DeviceInner {
    fn drop(&mut self) {
        self.core.forget(self.identity.info.id);
    }
}

impl fmt::Debug for DeviceInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceInner").field("info", &self.identity.info).finish_non_exhaustive()
    }
}

/// A device on a [`HostController`](crate::HostController). Clones are the same device.
///
/// It arrives enumerated, with its first configuration chosen. All calls may be made from any thread. The futures
/// are `Send` and need no reactor; dropping one cancels the transfer that it waits for, so that the device may or
/// may not have done it. Calls that make a standard request end with [`TransferError::Timeout`] after 5 s; an URB has
/// the limit that it is given.
#[derive(Clone)]
pub struct UsbDevice {
    pub(crate) inner: Arc<DeviceInner>,
    user: Arc<User>,
}

impl UsbDevice {
    pub(crate) fn new(inner: Arc<DeviceInner>, user: Arc<User>) -> Self {
        Self { inner, user }
    }

    /// A device of the same controller.
    pub(crate) fn beside(&self, inner: Arc<DeviceInner>) -> Self {
        Self::new(inner, self.user.clone())
    }

    /// The device's name on its controller.
    pub fn id(&self) -> DeviceId {
        self.inner.identity.info.id
    }

    /// The kernel core that its controller lives on: where a driver's tasks belong.
    pub fn kernel(&self) -> airlift_runtime::KernelHandle {
        self.inner.core.kernel.clone()
    }

    /// What tells it from others.
    pub fn info(&self) -> &DeviceInfo {
        &self.inner.identity.info
    }

    /// Its device descriptor.
    pub fn device_descriptor(&self) -> &DeviceDescriptor {
        &self.inner.identity.descriptor
    }

    /// Its configuration; `None` if what the device sent cannot be read as one.
    pub fn configuration(&self) -> Option<&Configuration> {
        self.inner.identity.configuration.as_ref()
    }

    /// The value of the configuration that is chosen; 0: none.
    pub fn configuration_value(&self) -> u8 {
        self.inner.lock().configuration
    }

    /// The endpoints that are there under the present configuration and alternate settings.
    pub fn endpoints(&self) -> EndpointMap {
        self.inner.lock().endpoints.clone()
    }

    /// The speed of its connection.
    pub fn speed(&self) -> Speed {
        self.inner.identity.info.speed
    }

    /// Starts an URB at once, and returns the handle on which its end can be awaited.
    ///
    /// URBs of one endpoint are carried out in the order in which they are submitted, any number of them. An URB
    /// that cannot be carried out ends at once: with [`TransferError::Shutdown`] when the device is gone, with
    /// [`TransferError::Invalid`] when it has no such endpoint or the set-up packet does not match the data, with
    /// [`TransferError::Isochronous`] on an isochronous endpoint. `SET_CONFIGURATION` and `SET_INTERFACE` are
    /// refused likewise: use [`set_configuration`](Self::set_configuration) and
    /// [`set_interface`](Self::set_interface).
    pub fn submit(&self, urb: Urb) -> UrbHandle {
        let inner = &self.inner;
        let id = inner.next_id();
        let (shared, taken) = inner.admit(UrbShared::new(id, inner.clone(), &urb), Some(&urb));
        match taken {
            Ok(backend) => {
                let due = urb.timeout.map(|limit| inner.core.clock().now().saturating_add(limit));
                let zero_packet = urb.zero_packet && urb.transfer_type == TransferType::Bulk && !urb.is_in();
                let Urb { transfer_type, endpoint, setup, buffer, length, .. } = urb;
                backend.submit(FlatUrb { id, transfer_type, endpoint, setup, buffer, length, zero_packet });
                if let Some(due) = due {
                    inner.core.deadlines.limit(&shared, due);
                }
            }
            Err(error) => shared.finish(Reply { id, status: Err(error), buffer: urb.buffer }),
        }
        UrbHandle::new(shared, self.user.clone())
    }

    async fn operate(&self, op: DeviceOp) -> Result<(), TransferError> {
        let id = self.inner.next_id();
        let (shared, taken) = self.inner.admit(UrbShared::operation(id, self.inner.clone(), op), None);
        match taken {
            Ok(backend) => {
                backend.operate(id, op);
                let due = self.inner.core.clock().now().saturating_add(REQUEST_LIMIT);
                self.inner.core.deadlines.limit(&shared, due);
            }
            Err(error) => shared.finish(Reply { id, status: Err(error), buffer: BytesMut::new() }),
        }
        UrbHandle::new(shared, self.user.clone()).await.status
    }

    /// Whether the device is gone. URBs submitted from now on are refused; pending ones are on their way back.
    pub fn is_unplugged(&self) -> bool {
        self.inner.unplugged.load(Ordering::Acquire)
    }

    /// URBs that are not back yet.
    pub fn pending(&self) -> usize {
        self.inner.lock().pending.len()
    }

    /// Waits until the device is gone, every URB is back and the threads that served it have ended.
    ///
    /// Cancelling it has no effect on the device.
    pub async fn closed(&self) {
        poll_fn(|context| {
            let mut state = self.inner.lock();
            if state.closed {
                return Poll::Ready(());
            }
            if !state.closers.iter().any(|waker| waker.will_wake(context.waker())) {
                state.closers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
        if let Some(backend) = self.inner.backend.get() {
            backend.reap();
        }
    }
}

impl DeviceInner {
    fn next_id(&self) -> UrbId {
        UrbId(self.next_urb.fetch_add(1, Ordering::Relaxed))
    }
}

impl PartialEq for UsbDevice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for UsbDevice {}

impl fmt::Debug for UsbDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsbDevice")
            .field("info", self.info())
            .field("unplugged", &self.is_unplugged())
            .finish_non_exhaustive()
    }
}
