//! The thread of an open device: it handles libusb's events for it, and closes it again.
//!
//! Each device has a libusb context and a thread of its own, so that devices do not wait for each other, and
//! "closed" means that nothing of libusb is left of it.
//!
//! ```text
//!   Opened ─► start ─► events … ─► give back, close ─► Upcall::gone
//! ```

use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread;

use bytes::BytesMut;
use rusb::{Context, Device, Hotplug, HotplugBuilder, Registration, UsbContext as _};

use super::list::HostDevice;
use super::open::{Opened, is_same};
use super::returning::Beside;
use super::schedule::{Schedule, Wire};
use super::transfer::Transfer;
use crate::backend::{Backend, DeviceOp, FlatUrb, Upcall};
use crate::descriptor::Configuration;
use crate::function::UrbId;
use crate::status::TransferError;
use crate::threads::Threads;

/// How often a system without hotplug events is asked whether the device is still there.
const PRESENCE_PERIOD: Duration = Duration::from_secs(1);
/// Failures in a row of libusb's event handling after which the device is given up.
const EVENT_ATTEMPTS: u32 = 100;
const EVENT_PAUSE: Duration = Duration::from_millis(10);
/// Transfers that are kept for URBs to come.
const SPARE_TRANSFERS: usize = 64;

type LibusbSchedule = Schedule<LibusbWire>;
/// Has a thread of its own serve an open device. If the system refuses one, the device is closed.
pub(super) fn start(
    device: HostDevice,
    opened: Opened,
    beside: Arc<Beside>,
    upcall: Arc<dyn Upcall>,
) -> io::Result<Arc<dyn Backend>> {
    let opened = Arc::new(opened);
    let wire = LibusbWire { opened: RwLock::new(Some(opened.clone())), spare: Mutex::default() };
    let schedule = Schedule::new(wire, upcall);
    let serving = Serving { schedule: schedule.clone(), opened: Some(opened) };
    let name = format!("usb {}", device.location);
    let running = move || {
        if let Some(opened) = &serving.opened {
            serve(&device, &beside, opened.handle.context(), &serving.schedule);
        }
        serving.schedule.join_helper();
    };
    let thread = thread::Builder::new().name(name).spawn(running)?;
    Ok(Arc::new(LibusbBackend { schedule, threads: Threads::new([thread]) }))
}

/// Closes the device, and says that it is gone, whatever happens on its thread.
struct Serving {
    schedule: Arc<LibusbSchedule>,
    opened: Option<Arc<Opened>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.schedule.wire().shut();
        // The last reference, unless a transfer is stuck in libusb: interfaces go back, the device is closed.
        self.opened = None;
        self.schedule.upcall().gone();
    }
}

/// Handles events until the schedule has ended and everything is back.
fn serve(device: &HostDevice, beside: &Arc<Beside>, context: &Context, schedule: &Arc<LibusbSchedule>) {
    let watched = watch(device, beside, context, schedule);
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
    beside: &Arc<Beside>,
    context: &Context,
    schedule: &Arc<LibusbSchedule>,
) -> Option<Registration<Context>> {
    if !rusb::has_hotplug() {
        return None;
    }
    let (beside, schedule) = (beside.clone(), Arc::downgrade(schedule));
    let watchman = Watchman { bus: device.bus, address: device.address, beside, schedule };
    let mut builder = HotplugBuilder::new();
    builder.vendor_id(device.vendor_id).product_id(device.product_id);
    builder.register(context, Box::new(watchman)).ok()
}

struct Watchman {
    bus: u8,
    address: u8,
    beside: Arc<Beside>,
    schedule: Weak<LibusbSchedule>,
}

impl Hotplug<Context> for Watchman {
    fn device_arrived(&mut self, other: Device<Context>) {
        self.beside.note(other.bus_number(), other.address());
    }

    fn device_left(&mut self, left: Device<Context>) {
        if (left.bus_number(), left.address()) == (self.bus, self.address) {
            self.beside.left();
            if let Some(schedule) = self.schedule.upgrade() {
                schedule.end();
            }
        } else {
            self.beside.forget(left.bus_number(), left.address());
        }
    }
}

/// libusb as what carries transfers.
pub(super) struct LibusbWire {
    /// Taken away when the device is closed.
    opened: RwLock<Option<Arc<Opened>>>,
    /// Transfers that are over, the oldest first: it is the least likely to be still held by the thread that submitted
    /// it. They hold the device open and the schedule, so there are none once the device is taken away.
    spare: Mutex<VecDeque<Arc<Transfer<LibusbSchedule>>>>,
}

impl LibusbWire {
    fn with<T>(&self, use_it: impl FnOnce(&Arc<Opened>) -> T) -> Option<T> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(use_it)
    }

    /// Lets go of the device.
    fn shut(&self) {
        let opened = self.opened.write().unwrap_or_else(PoisonError::into_inner).take();
        // After it: none is added any more.
        let spare = core::mem::take(&mut *self.spare());
        drop((spare, opened));
    }

    fn spare(&self) -> MutexGuard<'_, VecDeque<Arc<Transfer<LibusbSchedule>>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire for LibusbWire {
    type Flight = Arc<Transfer<LibusbSchedule>>;

    fn prepare(
        &self,
        urb: FlatUrb,
        schedule: &Arc<LibusbSchedule>,
    ) -> Result<Self::Flight, (TransferError, BytesMut)> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = &*opened else { return Err((TransferError::Shutdown, urb.buffer)) };
        let spare = self.spare().pop_front();
        Transfer::prepare(spare, urb, &opened.handle, schedule)
    }

    fn start(&self, flight: &Self::Flight) -> Result<(), TransferError> {
        flight.start()
    }

    fn cancel(&self, flight: &Self::Flight) {
        flight.cancel();
    }

    fn retire(&self, flight: Self::Flight) {
        let dropped = self.with(|_| {
            let mut spare = self.spare();
            if spare.len() < SPARE_TRANSFERS {
                spare.push_back(flight);
                None
            } else {
                Some(flight)
            }
        });
        drop(dropped);
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
    threads: Threads,
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
        self.threads.join_blocking();
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
