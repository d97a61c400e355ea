//! [`Reopen`]: a device on the system's bus that left by itself, found again.
//!
//! At super speed a device hangs on another bus than at high speed: a port of USB 3 is two ports, each of a hub of its
//! own, which Linux calls peers (`Documentation/ABI/testing/sysfs-bus-usb`, `usb<bus>-port<n>/peer`). Each look lists
//! the devices anew, on a thread; so it makes no difference whether the system tells of changes. Where a port has no
//! peer the device is known by what was not there before: [`Beside`] remembers the others of its kind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures::channel::oneshot;

use super::error::OpenError;
use super::list::{HostDevice, devices_blocking};
use super::open::OpenOptions;
use super::sysfs::Sysfs;
use super::thread::Opening;
use crate::backend::Connect;
use crate::descriptor::DeviceDescriptor;
use crate::device::{DeviceId, Identity};
use crate::seat::{Found, Look, WayBack};

/// Bus and address of the other devices with a device's ids that were there while it was.
#[derive(Debug, Default)]
pub(super) struct Beside(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    others: Vec<(u8, u8)>,
    left: bool,
}

impl Beside {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is another one of its kind; after the device [has left](Self::left) this may be itself, and does not count.
    pub(super) fn note(&self, bus: u8, address: u8) {
        let mut known = self.lock();
        if !known.left && !known.others.contains(&(bus, address)) {
            known.others.push((bus, address));
        }
    }

    pub(super) fn left(&self) {
        self.lock().left = true;
    }

    fn others(&self) -> Vec<(u8, u8)> {
        self.lock().others.clone()
    }
}

/// Opens a device; its thread does so. Also returns what is beside it from now on.
pub(super) async fn open(
    id: DeviceId,
    device: &HostDevice,
    options: &OpenOptions,
) -> Result<(Found, Arc<Beside>), OpenError> {
    let beside = Arc::new(Beside::default());
    let failed = |problem: String| OpenError::Failed { device: device.to_string(), problem };
    let (opening, opened) = Opening::start(device.clone(), options.clone(), beside.clone())
        .map_err(|error| failed(format!("its thread does not start: {error}")))?;
    let opened = opened.await.map_err(|_| failed("its thread ended".into()))??;
    let identity = Identity::new(
        id,
        device.location.clone(),
        device.speed,
        DeviceDescriptor::from_bytes(opened.descriptor),
        opened.configuration.clone(),
    );
    let bottom: Box<Connect<'static>> = Box::new(move |upcall| Ok(opening.serve(&opened, upcall)));
    Ok(((identity, bottom), beside))
}

/// A device that was opened, and how.
pub(super) struct Reopen {
    /// As it was when it was opened last, and what was beside it then.
    device: Mutex<(HostDevice, Arc<Beside>)>,
    options: OpenOptions,
}

impl Reopen {
    pub(super) fn new(device: HostDevice, beside: Arc<Beside>, options: OpenOptions) -> Self {
        Self { device: Mutex::new((device, beside)), options }
    }

    fn device(&self) -> MutexGuard<'_, (HostDevice, Arc<Beside>)> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WayBack for Reopen {
    fn look(&self, id: DeviceId) -> Look<'_> {
        Box::pin(async move {
            let (left, beside) = self.device().clone();
            let (tell, told) = oneshot::channel();
            let looking = move || _ = tell.send(find_again_blocking(&left, &beside));
            let thread = thread::Builder::new().name("usb return".into()).spawn(looking);
            thread.map_err(|error| format!("cannot start a thread: {error}"))?;
            let found = told.await.map_err(|_| "its thread ended".to_owned())??;
            let opened = open(id, &found, &self.options).await;
            let (opened, beside) = opened.map_err(|error| error.to_string())?;
            *self.device() = (found, beside);
            Ok(opened)
        })
    }
}

fn find_again_blocking(left: &HostDevice, beside: &Beside) -> Result<HostDevice, String> {
    let present = devices_blocking().map_err(|error| error.to_string())?;
    let peer = Sysfs::system().peer(&left.location);
    let found = again(left, &beside.others(), peer.as_deref(), &present).cloned();
    found.ok_or_else(|| match peer {
        Some(peer) => format!("there is none at {} or {peer}", left.location),
        None => format!("there is none at {}, and nowhere else the only new one", left.location),
    })
}

/// The ports of a location, without the bus. `None` if the system tells none.
fn ports(location: &str) -> Option<&str> {
    location.split_once('-').map(|(_, ports)| ports).filter(|ports| !ports.starts_with('@'))
}

/// The device among those `present` that `left`, which had `others` of its kind beside it, is now. See
/// [`UsbDevice::returned`](crate::UsbDevice::returned).
fn again<'a>(
    left: &HostDevice,
    others: &[(u8, u8)],
    peer: Option<&str>,
    present: &'a [HostDevice],
) -> Option<&'a HostDevice> {
    let alike: Vec<&HostDevice> = present
        .iter()
        .filter(|device| {
            // The one that left may still be on the list.
            let itself = (device.bus, device.address) == (left.bus, left.address);
            let ids = (device.vendor_id, device.product_id) == (left.vendor_id, left.product_id);
            let serial = left.serial.is_none() || device.serial.is_none() || device.serial == left.serial;
            !itself && ids && serial
        })
        .collect();
    let at = |location: &str| alike.iter().copied().find(|device| device.location == location);
    if let Some(device) = at(&left.location) {
        return Some(device);
    }
    if let Some(peer) = peer {
        return at(peer);
    }
    let new = alike.iter().copied().filter(|device| !others.contains(&(device.bus, device.address)));
    let new: Vec<&HostDevice> = new.collect();
    let wanted = ports(&left.location);
    let same_ports = |device: &HostDevice| wanted.is_some() && ports(&device.location) == wanted;
    new.iter().copied().find(|device| same_ports(device)).or(match new[..] {
        [only] => Some(only),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::device;
    use super::*;

    /// A device at `location` with an address of its own.
    fn at(location: &str, address: u8) -> HostDevice {
        let bus = location.split_once('-').and_then(|(bus, _)| bus.parse().ok()).unwrap();
        HostDevice { bus, address, ..device(location) }
    }

    fn found(left: &HostDevice, peer: Option<&str>, present: &[HostDevice]) -> Option<String> {
        found_beside(left, &[], peer, present)
    }

    /// The same for one that had these beside it.
    fn found_beside(
        left: &HostDevice,
        others: &[HostDevice],
        peer: Option<&str>,
        present: &[HostDevice],
    ) -> Option<String> {
        let beside = Beside::default();
        others.iter().for_each(|other| beside.note(other.bus, other.address));
        beside.left();
        again(left, &beside.others(), peer, present).map(|device| device.location.clone())
    }

    #[test]
    fn h6_a_device_is_found_again_at_its_port_and_at_the_peer_of_that() {
        let left = at("3-2", 7);
        assert_eq!(found(&left, None, &[at("3-2", 8)]).as_deref(), Some("3-2"));
        // It has not been struck off the list yet.
        assert_eq!(found(&left, None, core::slice::from_ref(&left)), None);
        let others = [at("4-1", 2), at("4-2", 3), at("3-1", 9)];
        assert_eq!(found(&left, Some("4-1"), &others).as_deref(), Some("4-1"));
        // Another adapter of its kind is not it, wherever that is.
        assert_eq!(found(&left, Some("4-3"), &others), None);
    }

    #[test]
    fn h6_where_peers_are_unknown_the_same_ports_do_or_the_only_one_of_its_kind() {
        let left = at("3-2.1", 7);
        assert_eq!(found(&left, None, &[at("4-1", 2), at("4-2.1", 3)]).as_deref(), Some("4-2.1"));
        assert_eq!(found(&left, None, &[at("4-1", 2)]).as_deref(), Some("4-1"));
        assert_eq!(found(&left, None, &[at("4-1", 2), at("4-3", 3)]), None);
    }

    #[test]
    fn h6_of_two_equal_adapters_the_one_that_stayed_is_not_the_one_that_left() {
        let (left, stayed) = (at("1-1.2", 7), at("2-3", 4));
        let only = core::slice::from_ref(&stayed);
        assert_eq!(found_beside(&left, only, None, only), None);
        let back = [stayed.clone(), at("4-2", 2)];
        assert_eq!(found_beside(&left, only, None, &back).as_deref(), Some("4-2"));
        let back = [stayed.clone(), at("1-1.2", 8)];
        assert_eq!(found_beside(&left, only, None, &back).as_deref(), Some("1-1.2"));
        // Equal ports of another bus make it no more likely.
        let stayed = [at("2-1.2", 4)];
        assert_eq!(found_beside(&left, &stayed, None, &stayed), None);
    }

    #[test]
    fn h6_one_that_comes_when_the_device_has_left_may_be_itself() {
        let beside = Beside::default();
        beside.note(2, 4);
        beside.note(2, 4);
        beside.left();
        beside.note(2, 5);
        assert_eq!(beside.others(), [(2, 4)]);
    }

    #[test]
    fn h6_an_address_is_no_port() {
        let left = at("3-@7", 7);
        assert_eq!(found(&left, None, &[at("4-@7", 7), at("4-@9", 9)]), None);
        assert_eq!(found(&left, None, &[at("3-@9", 9)]).as_deref(), Some("3-@9"));
    }

    #[test]
    fn h6_another_id_or_serial_number_is_another_device() {
        let left = HostDevice { serial: Some("1".into()), ..at("3-2", 7) };
        let other = |serial: &str| HostDevice { serial: Some(serial.into()), ..at("3-2", 8) };
        assert_eq!(found(&left, None, &[other("2")]), None);
        assert_eq!(found(&left, None, &[other("1")]).as_deref(), Some("3-2"));
        let product = HostDevice { product_id: 0x8813, ..at("3-2", 8) };
        assert_eq!(found(&left, None, &[product]), None);
    }
}
