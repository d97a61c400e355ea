//! [`Reopen`]: a device on the system's bus that left by itself, found again.
//!
//! At super speed a device hangs on another bus than at high speed: a port of USB 3 is two ports, each of a hub of its
//! own, which Linux calls peers (`Documentation/ABI/testing/sysfs-bus-usb`, `usb<bus>-port<n>/peer`). Each look lists
//! the devices anew, on a thread; so it makes no difference whether the system tells of changes. Where a port has no
//! peer the device is known by what was not there before: [`Beside`] remembers the others of its kind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::OpenError;
use super::list::{HostDevice, devices_blocking};
use super::open::{OpenOptions, Opened};
use super::sysfs::Sysfs;
use super::thread;
use crate::backend::Connect;
use crate::descriptor::DeviceDescriptor;
use crate::device::{DeviceId, Identity};
use crate::outside::{self, Found, Look, ReturnProblem, Unseated, WayBack};
use crate::seat::Seat;

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

    /// There is another one of its kind; after the device [has left](Self::left) this may be itself, and does not
    /// count.
    pub(super) fn note(&self, bus: u8, address: u8) {
        let mut known = self.lock();
        if !known.left && !known.others.contains(&(bus, address)) {
            known.others.push((bus, address));
        }
    }

    /// Notes those of the devices that are there, by bus, address and ids, which are of the kind of `device`.
    pub(super) fn note_all(&self, device: &HostDevice, present: impl Iterator<Item = Present>) {
        let alike = present.filter(|present| present.ids == (device.vendor_id, device.product_id));
        for Present { bus, address, .. } in alike {
            if (bus, address) != (device.bus, device.address) {
                self.note(bus, address);
            }
        }
    }

    /// One left. Its address may be given to another one.
    pub(super) fn forget(&self, bus: u8, address: u8) {
        self.lock().others.retain(|other| *other != (bus, address));
    }

    /// The device itself left.
    pub(super) fn left(&self) {
        self.lock().left = true;
    }

    fn others(&self) -> Vec<(u8, u8)> {
        self.lock().others.clone()
    }
}

/// A device that is there, as far as it tells without being opened.
pub(super) struct Present {
    pub(super) bus: u8,
    pub(super) address: u8,
    pub(super) ids: (u16, u16),
}

/// A device that is opened, once and again, and how.
#[derive(Clone)]
pub(super) struct Reopen {
    /// As it was when it was opened last, and what was beside it then.
    device: Arc<Mutex<(HostDevice, Arc<Beside>)>>,
    options: OpenOptions,
}

impl Reopen {
    pub(super) fn new(device: HostDevice, options: OpenOptions) -> Self {
        Self { device: Arc::new(Mutex::new((device, Arc::default()))), options }
    }

    fn device(&self) -> MutexGuard<'_, (HostDevice, Arc<Beside>)> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the thread that opens it.
    pub(super) fn thread(&self) -> String {
        format!("usb {}", self.device().0.location)
    }

    /// Opens `device`; remembers what is beside it from then on, once it is connected.
    pub(super) fn open_blocking(&self, id: DeviceId, device: HostDevice) -> Result<Found, OpenError> {
        let beside = Arc::new(Beside::default());
        let opened = Opened::new(&device, self.options.clone(), &beside)?;
        let identity = Identity::new(
            id,
            device.location.clone(),
            device.speed,
            DeviceDescriptor::from_bytes(opened.descriptor),
            opened.configuration.clone(),
        );
        let place = self.clone();
        let bottom: Box<Connect<'static>> = Box::new(move |upcall| {
            let backend = thread::start(device.clone(), opened, beside.clone(), upcall)?;
            // Only now: one that cannot be connected is still to be found where it is.
            *place.device() = (device, beside);
            Ok(backend)
        });
        Ok((identity, bottom))
    }

    /// Opens the device that left, where it is now.
    fn again_blocking(&self, id: DeviceId) -> Result<Found, ReturnProblem> {
        let (left, beside) = self.device().clone();
        let found = find_again_blocking(&left, &beside).map_err(ReturnProblem::Other)?;
        self.open_blocking(id, found).map_err(ReturnProblem::from)
    }
}

impl From<OpenError> for ReturnProblem {
    fn from(error: OpenError) -> Self {
        let problem = error.to_string();
        match error {
            OpenError::Permission { .. } => Self::Permission(problem),
            OpenError::Held { .. } | OpenError::InUse { .. } | OpenError::Busy { .. } => Self::Busy(problem),
            _ => Self::Other(problem),
        }
    }
}

impl WayBack for Reopen {
    fn look<'a>(&'a self, seat: &'a Arc<Seat>) -> Look<'a> {
        let (name, again) = (self.thread(), self.clone());
        Box::pin(async move {
            let seated = outside::open(seat, name, move |id| again.again_blocking(id)).await;
            seated.map_err(|error| match error {
                Unseated::Open(problem) => problem,
                Unseated::Start(error) => ReturnProblem::Other(not_started(&error)),
                Unseated::LetGo => ReturnProblem::Other("its thread ended".into()),
            })
        })
    }
}

pub(super) fn not_started(error: &std::io::Error) -> String {
    format!("its threads or those of its layers do not start: {error}")
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

    fn found_beside_known(left: &HostDevice, beside: &Beside, present: &[HostDevice]) -> Option<String> {
        again(left, &beside.others(), None, present).map(|device| device.location.clone())
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
    fn h6_all_of_its_kind_that_were_there_with_it_are_known_and_those_that_left_are_not() {
        let device = at("3-2", 7);
        let present = |device: &HostDevice| Present {
            bus: device.bus,
            address: device.address,
            ids: (device.vendor_id, device.product_id),
        };
        let (twin, other) = (at("1-4", 5), HostDevice { product_id: 0x8813, ..at("1-3", 6) });
        let beside = Beside::default();
        beside.note_all(&device, [&device, &twin, &other].into_iter().map(present));
        assert_eq!(beside.others(), [(1, 5)], "neither itself nor one with other ids");
        // A third one comes while it is open; where ports tell nothing, neither of the two is taken for it.
        let third = at("4-3", 9);
        beside.note(third.bus, third.address);
        beside.left();
        let here = [twin.clone(), third.clone(), at("4-1", 2)];
        assert_eq!(found_beside_known(&device, &beside, &here).as_deref(), Some("4-1"));
        assert_eq!(found_beside_known(&device, &beside, &here[..2]), None);
        // What has the address of one that left may well be it.
        beside.forget(third.bus, third.address);
        assert_eq!(found_beside_known(&device, &beside, &here[..2]).as_deref(), Some("4-3"));
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
