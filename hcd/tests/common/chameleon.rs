//! A device that drops itself off the bus and comes back as something else, and a layer that it meets there.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use airlift_hcd::{
    Backend, Connect, Departure, Descriptors, FunctionUrb, HostController, Layer, LayerContext, Setup, Speed,
    Submit, TransferError, Upcall, Urb, UrbId, UsbFunction,
};

use super::{BULK_IN, DEVICE, configuration};

/// Vendor request: leave, and be back after `value` milliseconds; 0xffff: never.
pub const LEAVE: u8 = 1;
/// Vendor request: leave, and be back after `value` seconds.
pub const LEAVE_FOR_LONG: u8 = 3;
/// Vendor request: how often it was plugged in.
pub const COUNT: u8 = 2;
/// What a test looks at from outside.
#[derive(Default)]
pub struct Seen {
    pub plugged: AtomicU32,
    pub dropped: AtomicU32,
    pub cancelled: AtomicU32,
    /// Names of the threads that asked for its descriptors or dropped it.
    pub threads: Mutex<Vec<String>>,
}

impl Seen {
    fn note_thread(&self) {
        self.threads.lock().unwrap().push(std::thread::current().name().unwrap_or_default().into());
    }
}

/// Leaves when it is told to, and comes back at the other one of two speeds.
pub struct Chameleon {
    seen: Arc<Seen>,
    speed: Speed,
    leaving: Option<Departure>,
    parked: Vec<FunctionUrb>,
    /// How often it leaves as soon as it is there.
    pub restless: u32,
    /// It panics when it is to say what it is at super speed.
    pub broken: bool,
    /// It has another `idProduct` at super speed.
    pub disguised: bool,
}

impl Chameleon {
    pub fn new() -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let parked = Vec::new();
        let (speed, leaving) = (Speed::High, None);
        let calm =
            Self { seen: seen.clone(), speed, leaving, parked, restless: 0, broken: false, disguised: false };
        (calm, seen)
    }
}

impl UsbFunction for Chameleon {
    fn descriptors(&self) -> Descriptors {
        self.seen.note_thread();
        let mut device = DEVICE;
        let mut configuration = configuration();
        if self.speed == Speed::Super {
            assert!(!self.broken, "as the test asked for");
            (device[3], device[7]) = (3, 9);
            device[10] ^= u8::from(self.disguised);
            configuration.truncate(9 + 9);
            configuration[13] = 1;
            configuration.extend([7, 5, BULK_IN, 2, 0, 4, 0, 6, 0x30, 3, 0, 0, 0]);
            configuration[2] = configuration.len() as u8;
        }
        Descriptors { device, configuration, strings: vec!["Airlift".into()], speed: self.speed }
    }

    fn departs(&mut self, _now: Duration) -> Option<Departure> {
        let departure = self.leaving.take()?;
        self.speed = if self.speed == Speed::High { Speed::Super } else { Speed::High };
        Some(departure)
    }

    fn plugged(&mut self, _now: Duration, _waker: Waker) {
        self.seen.plugged.fetch_add(1, Ordering::SeqCst);
        if self.restless > 0 {
            self.restless -= 1;
            self.leaving = Some(Departure { back_after: Some(Duration::ZERO) });
        }
    }

    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        assert!(self.leaving.is_none(), "it was told to leave");
        match urb.setup() {
            Some(Setup { request: LEAVE, value, .. }) => {
                let back_after = (value != 0xffff).then(|| Duration::from_millis(value.into()));
                self.leaving = Some(Departure { back_after });
                urb.ok().into()
            }
            Some(Setup { request: LEAVE_FOR_LONG, value, .. }) => {
                self.leaving = Some(Departure { back_after: Some(Duration::from_secs(value.into())) });
                urb.ok().into()
            }
            Some(Setup { request: COUNT, .. }) => {
                urb.reply(&[self.seen.plugged.load(Ordering::SeqCst) as u8]).into()
            }
            Some(_) => urb.fail(TransferError::Stall).into(),
            None => {
                self.parked.push(urb);
                Submit::Parked
            }
        }
    }

    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        self.seen.cancelled.fetch_add(1, Ordering::SeqCst);
        let at = self.parked.iter().position(|urb| urb.id() == id)?;
        Some(self.parked.remove(at))
    }
}

impl Drop for Chameleon {
    fn drop(&mut self) {
        self.seen.note_thread();
        self.seen.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

pub fn leave(milliseconds: u16) -> Urb {
    Urb::control_out(Setup::vendor_out(LEAVE, milliseconds, 0, 0), [])
}

pub fn count() -> Urb {
    Urb::control_in(Setup::vendor_in(COUNT, 0, 0, 1))
}

/// Some attempts to connect fail, or come to their end late.
#[derive(Clone)]
pub struct Odd {
    pub attempts: Arc<AtomicU32>,
    pub fails: core::ops::Range<u32>,
    /// The first one's end waits until this has a device.
    pub until: Option<HostController>,
}

impl Layer for Odd {
    fn wrap(
        &self,
        _: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<dyn Backend>> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        if self.fails.contains(&attempt) {
            return Err(io::Error::other("out of threads"));
        }
        let backend = below(upcall);
        if let Some(controller) = self.until.as_ref().filter(|_| attempt == 1) {
            while controller.devices().is_empty() {
                std::thread::yield_now();
            }
        }
        backend
    }
}
