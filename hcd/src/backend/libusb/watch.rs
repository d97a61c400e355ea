//! [`Watch`]: devices that come to the system's buses and leave them, as a stream.
//!
//! A thread with a libusb context of its own lists the devices anew whenever libusb tells of a change, or each second
//! where libusb cannot tell. A reader gets the difference between what it has seen and what is there, so that nothing
//! piles up while it does not look.

use core::fmt;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures::Stream;
use rusb::{Context, Device, Hotplug, HotplugBuilder, UsbContext as _};

use super::error::OpenError;
use super::list::{HostDevice, context, listed};

/// How often the devices are listed where the system does not tell of changes.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a list may be old: a device's nodes and drivers come a while after the device.
const FRESH: Duration = Duration::from_secs(5);

/// A device came to the system's buses or left them.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// A device is there.
    Arrived(HostDevice),
    /// A device is gone. One that was plugged in again has left and arrived.
    Left(HostDevice),
}

/// A stream of [`WatchEvent`]s, opening with the devices that are there. Made by [`watch_blocking`]. It does not end.
///
/// Dropping it ends its thread soon after. Cancelling a `next` loses nothing.
pub struct Watch {
    shared: Arc<Shared>,
    context: Context,
    known: Vec<HostDevice>,
    due: VecDeque<WatchEvent>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    present: Vec<HostDevice>,
    /// `present` was not looked at yet.
    news: bool,
    waker: Option<Waker>,
    ending: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, present: Vec<HostDevice>) {
        let waker = {
            let mut state = self.lock();
            state.present = present;
            state.news = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Watches the system's buses. Listing the devices for the first time may block for a moment, later ones do so on a
/// thread of the watch.
///
/// # Errors
/// [`OpenError::NoUsb`], also if the system refuses the thread.
pub fn watch_blocking() -> Result<Watch, OpenError> {
    let context = context()?;
    let shared = Arc::new(Shared::default());
    shared.show(listed(&context)?);
    let (watched, told) = (context.clone(), shared.clone());
    let thread = thread::Builder::new().name("usb watch".into()).spawn(move || run(&watched, &told));
    thread.map_err(|error| OpenError::NoUsb(format!("cannot start the thread that watches it: {error}")))?;
    Ok(Watch { shared, context, known: Vec::new(), due: VecDeque::new() })
}

/// Whatever happens, the devices are listed again: `handle_events` returns for it.
struct Bell;

impl Hotplug<Context> for Bell {
    fn device_arrived(&mut self, _: Device<Context>) {}

    fn device_left(&mut self, _: Device<Context>) {}
}

fn run(context: &Context, shared: &Shared) {
    let registered =
        if rusb::has_hotplug() { HotplugBuilder::new().register(context, Box::new(Bell)).ok() } else { None };
    let period = if registered.is_some() { FRESH } else { PERIOD };
    let mut shown = Vec::new();
    loop {
        if context.handle_events(Some(period)).is_err() {
            thread::sleep(PERIOD);
        }
        if shared.lock().ending {
            return;
        }
        if let Ok(present) = listed(context)
            && present != shown
        {
            shown.clone_from(&present);
            shared.show(present);
        }
    }
}

/// What tells a plugged-in device from any other, before and after: drivers that come and go do not.
fn is_same(a: &HostDevice, b: &HostDevice) -> bool {
    let key = |device: &HostDevice| (device.bus, device.address, device.vendor_id, device.product_id);
    key(a) == key(b) && a.location == b.location
}

/// What happened between two lists: departures first, since an address may be used again.
fn difference(before: &[HostDevice], now: &[HostDevice]) -> impl Iterator<Item = WatchEvent> {
    let without = |from: &[HostDevice], others: &[HostDevice]| -> Vec<HostDevice> {
        from.iter().filter(|device| !others.iter().any(|other| is_same(device, other))).cloned().collect()
    };
    let left = without(before, now).into_iter().map(WatchEvent::Left);
    left.chain(without(now, before).into_iter().map(WatchEvent::Arrived))
}

impl Stream for Watch {
    type Item = WatchEvent;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<WatchEvent>> {
        let this = &mut *self;
        {
            let mut state = this.shared.lock();
            if core::mem::take(&mut state.news) {
                this.due.extend(difference(&this.known, &state.present));
                this.known.clone_from(&state.present);
            }
            state.waker = Some(task.waker().clone());
        }
        this.due.pop_front().map_or(Poll::Pending, |event| Poll::Ready(Some(event)))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.context.interrupt_handle_events();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("known", &self.known).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::device;
    use super::*;

    fn at(location: &str, address: u8) -> HostDevice {
        HostDevice { address, ..device(location) }
    }

    fn changes(before: &[HostDevice], now: &[HostDevice]) -> Vec<WatchEvent> {
        difference(before, now).collect()
    }

    #[test]
    fn h6_what_came_and_what_left_is_the_difference_of_two_lists() {
        let (a, b, c) = (at("1-1", 4), at("1-2", 5), at("2-1", 6));
        let one = [a.clone()];
        assert_eq!(changes(&[], &one), [WatchEvent::Arrived(a.clone())]);
        assert_eq!(changes(&[a.clone(), b.clone()], &[a.clone(), b.clone()]), []);
        let expected = [WatchEvent::Left(a.clone()), WatchEvent::Arrived(c.clone())];
        assert_eq!(changes(&[a, b.clone()], &[b, c]), expected);
    }

    #[test]
    fn h6_a_device_that_was_plugged_in_again_has_left_and_arrived() {
        let (before, after) = (at("3-2", 7), at("3-2", 8));
        let expected = [WatchEvent::Left(before.clone()), WatchEvent::Arrived(after.clone())];
        assert_eq!(changes(&[before], &[after]), expected);
    }

    #[test]
    fn h6_a_driver_that_comes_or_goes_is_no_change_of_devices() {
        let mut held = at("3-2", 7);
        held.serial = Some("1".into());
        assert_eq!(changes(&[at("3-2", 7)], &[held]), []);
    }
}
