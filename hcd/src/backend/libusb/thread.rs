//! The thread of an open device: it opens the device, handles libusb's events for it, and closes it again.
//!
//! Each device has a libusb context and a thread of its own, so that devices do not wait for each other, and
//! "closed" means that nothing of libusb is left of it.
//!
//! ```text
//!   Opening::start ─► open ─► [identity] ─► Opening::serve ─► events … ─► give back, close ─► Upcall::gone
//! ```

use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak, mpsc};
use std::thread::{self, JoinHandle};

use bytes::BytesMut;
use futures::channel::oneshot;
use rusb::{Context, Device, DeviceHandle, Hotplug, HotplugBuilder, Registration, UsbContext as _};

use super::error::OpenError;
use super::list::HostDevice;
use super::open::{OpenOptions, Opened, is_same};
use super::schedule::{Schedule, Wire};
use super::transfer::Transfer;
use crate::backend::{Backend, DeviceOp, FlatUrb, Upcall};
use crate::descriptor::Configuration;
use crate::function::UrbId;
use crate::status::TransferError;

/// How often a system without hotplug events is asked whether the device is still there.
const PRESENCE_PERIOD: Duration = Duration::from_secs(1);
/// Failures in a row of libusb's event handling after which the device is given up.
const EVENT_ATTEMPTS: u32 = 100;
const EVENT_PAUSE: Duration = Duration::from_millis(10);

type LibusbSchedule = Schedule<LibusbWire>;
/// What came of opening.
type Told = Result<Arc<Opened>, OpenError>;

/// A device that is being opened, or is open and waits to be served. Dropping it closes it, on its thread.
pub(super) struct Opening {
    thread: JoinHandle<()>,
    serve: mpsc::Sender<Arc<LibusbSchedule>>,
}

impl Opening {
    /// Starts the thread; it opens the device and tells.
    pub(super) fn start(
        device: HostDevice,
        options: OpenOptions,
    ) -> io::Result<(Self, oneshot::Receiver<Told>)> {
        let (tell, told) = oneshot::channel();
        let (serve, served) = mpsc::channel();
        let name = format!("usb {}", device.location);
        let thread = thread::Builder::new().name(name).spawn(move || run(&device, options, tell, &served))?;
        Ok((Self { thread, serve }, told))
    }

    /// Has the thread serve URBs.
    pub(super) fn serve(self, opened: &Arc<Opened>, upcall: Arc<dyn Upcall>) -> Arc<dyn Backend> {
        let wire = LibusbWire { opened: RwLock::new(Some(opened.clone())) };
        let schedule = Schedule::new(wire, upcall);
        if let Err(mpsc::SendError(schedule)) = self.serve.send(schedule.clone()) {
            // The thread is gone, which only a panic explains.
            schedule.end();
            schedule.wire().shut();
            schedule.upcall().gone();
        }
        Arc::new(LibusbBackend { schedule, thread: Mutex::new(Some(self.thread)) })
    }
}

fn run(
    device: &HostDevice,
    options: OpenOptions,
    tell: oneshot::Sender<Told>,
    served: &mpsc::Receiver<Arc<LibusbSchedule>>,
) {
    let opened = match Opened::new(device, options) {
        Ok(opened) => Arc::new(opened),
        Err(error) => {
            _ = tell.send(Err(error));
            return;
        }
    };
    _ = tell.send(Ok(opened.clone()));
    // Nobody may want it any more.
    let Ok(schedule) = served.recv() else { return };
    let gone = Gone(schedule.upcall().clone());
    serve(device, opened.handle.context(), &schedule);
    schedule.join_helper();
    schedule.wire().shut();
    // The last reference, unless a transfer is stuck in libusb: interfaces go back, the device is closed.
    drop(opened);
    drop(gone);
}

/// Says that the device is gone, whatever happens on its thread.
struct Gone(Arc<dyn Upcall>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.gone();
    }
}

/// Handles events until the schedule has ended and everything is back.
fn serve(device: &HostDevice, context: &Context, schedule: &Arc<LibusbSchedule>) {
    let watched = watch(device, context, schedule);
    let period = watched.is_none().then_some(PRESENCE_PERIOD);
    let mut failures = 0;
    while !schedule.turn() {
        schedule.advance();
        match context.handle_events(period) {
            Ok(()) | Err(rusb::Error::Interrupted) => failures = 0,
            Err(error) => {
                failures += 1;
                tracing::warn!(device = %device, %error, failures, "libusb cannot handle events");
                if failures >= EVENT_ATTEMPTS {
                    // What is in flight stays in libusb's hands, and its memory with it.
                    schedule.end();
                    schedule.turn();
                    return;
                }
                thread::sleep(EVENT_PAUSE);
            }
        }
        if watched.is_none() && !is_present(device, context) {
            schedule.end();
        }
    }
}

fn is_present(device: &HostDevice, context: &Context) -> bool {
    match context.devices() {
        Ok(list) => list.iter().any(|found| is_same(&found, device)),
        // No answer is no news.
        Err(_) => true,
    }
}

/// Hears of the device's unplugging when no transfer is there to tell of it; `None` if the system cannot tell.
fn watch(
    device: &HostDevice,
    context: &Context,
    schedule: &Arc<LibusbSchedule>,
) -> Option<Registration<Context>> {
    if !rusb::has_hotplug() {
        return None;
    }
    let watchman = Watchman { bus: device.bus, address: device.address, schedule: Arc::downgrade(schedule) };
    let mut builder = HotplugBuilder::new();
    builder.vendor_id(device.vendor_id).product_id(device.product_id);
    builder.register(context, Box::new(watchman)).ok()
}

struct Watchman {
    bus: u8,
    address: u8,
    schedule: Weak<LibusbSchedule>,
}

impl Hotplug<Context> for Watchman {
    fn device_arrived(&mut self, _: Device<Context>) {}

    fn device_left(&mut self, left: Device<Context>) {
        if (left.bus_number(), left.address()) == (self.bus, self.address)
            && let Some(schedule) = self.schedule.upgrade()
        {
            schedule.end();
        }
    }
}

/// libusb as what carries transfers.
pub(super) struct LibusbWire {
    /// Taken away when the device is closed.
    opened: RwLock<Option<Arc<Opened>>>,
}

impl LibusbWire {
    fn with<T>(&self, use_it: impl FnOnce(&Arc<Opened>) -> T) -> Option<T> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(use_it)
    }

    /// Lets go of the device.
    fn shut(&self) {
        let opened = self.opened.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(opened);
    }

    fn handle(&self) -> Option<Arc<DeviceHandle<Context>>> {
        self.with(|opened| opened.handle.clone())
    }
}

impl Wire for LibusbWire {
    type Flight = Arc<Transfer<LibusbSchedule>>;

    fn prepare(
        &self,
        urb: FlatUrb,
        schedule: &Arc<LibusbSchedule>,
    ) -> Result<Self::Flight, (TransferError, BytesMut)> {
        match self.handle() {
            Some(handle) => Transfer::new(urb, handle, schedule.clone()),
            None => Err((TransferError::Shutdown, urb.buffer)),
        }
    }

    fn start(&self, flight: &Self::Flight) -> Result<(), TransferError> {
        flight.start()
    }

    fn cancel(&self, flight: &Self::Flight) {
        flight.cancel();
    }

    fn reclaim(&self, flight: &Self::Flight) -> BytesMut {
        flight.reclaim()
    }

    fn displaces(&self, op: DeviceOp, endpoint: u8) -> bool {
        self.with(|opened| displaces(op, endpoint, opened.configuration.as_ref())).unwrap_or(true)
    }

    fn operate(&self, op: DeviceOp) -> Result<(), TransferError> {
        // Not under the lock: it may take its time.
        match self.with(Arc::clone) {
            Some(opened) => opened.operate(op),
            None => Err(TransferError::Shutdown),
        }
    }

    fn wake(&self) {
        self.with(|opened| opened.handle.context().interrupt_handle_events());
    }
}

/// Whether `op` takes URBs of `endpoint` away: a reset all, another configuration all but control transfers, another
/// setting those of its interface.
fn displaces(op: DeviceOp, endpoint: u8, configuration: Option<&Configuration>) -> bool {
    match op {
        DeviceOp::Reset => true,
        DeviceOp::SetConfiguration(_) => endpoint != 0,
        DeviceOp::SetInterface { interface, .. } => configuration.is_some_and(|configuration| {
            let settings = configuration.alternates().filter(|setting| setting.interface() == interface);
            settings.flat_map(|setting| setting.endpoints()).any(|ep| ep.address == endpoint)
        }),
        DeviceOp::ClearHalt(_) => false,
    }
}

/// The handle on an open device's thread.
struct LibusbBackend {
    schedule: Arc<LibusbSchedule>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Backend for LibusbBackend {
    fn submit(&self, urb: FlatUrb) {
        self.schedule.submit(urb);
    }

    fn cancel(&self, id: UrbId) {
        self.schedule.cancel(id);
    }

    fn operate(&self, id: UrbId, op: DeviceOp) {
        self.schedule.operate(id, op);
    }

    fn close(&self) {
        self.schedule.end();
    }

    fn reap(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// One interface with two settings and an endpoint each, and a second interface.
    fn configuration() -> Configuration {
        let mut bytes = vec![9, 2, 57, 0, 2, 1, 0, 0x80, 50];
        bytes.extend([9, 4, 0, 0, 1, 0xff, 0, 0, 0, 7, 5, 0x81, 2, 0, 2, 0]);
        bytes.extend([9, 4, 0, 1, 1, 0xff, 0, 0, 0, 7, 5, 0x82, 2, 0, 2, 0]);
        bytes.extend([9, 4, 1, 0, 1, 0xff, 0, 0, 0, 7, 5, 0x83, 2, 0, 2, 0]);
        Configuration::parse(Bytes::from(bytes)).unwrap()
    }

    #[test]
    fn h2_operations_take_away_the_urbs_of_the_endpoints_that_they_change() {
        let configuration = configuration();
        let displaced = |op| [0, 0x81, 0x82, 0x83].map(|ep| displaces(op, ep, Some(&configuration)));
        assert_eq!(displaced(DeviceOp::Reset), [true; 4]);
        assert_eq!(displaced(DeviceOp::SetConfiguration(1)), [false, true, true, true]);
        let setting = DeviceOp::SetInterface { interface: 0, alternate: 1 };
        assert_eq!(displaced(setting), [false, true, true, false]);
        assert_eq!(displaced(DeviceOp::ClearHalt(0x81)), [false; 4]);
    }
}
