//! A small device for the tests: echoes on bulk, remembers what control writes said, misbehaves on request.
#![allow(dead_code, unreachable_pub)]

pub mod chameleon;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use airlift_hcd::{
    Descriptors, FunctionUrb, HostController, MockPort, Reply, Setup, Speed, Submit, TransferError, Urb,
    UrbId, UsbDevice, UsbFunction,
};
use airlift_runtime::{Clock, Kernel};
use bytes::BytesMut;

/// Vendor request: read `value` back as two bytes.
pub const ECHO: u8 = 1;
/// Vendor request (OUT): note `value`.
pub const NOTE: u8 = 2;
/// Vendor request: ends after `value` microseconds.
pub const SLOW: u8 = 3;
/// Vendor request: never ends by itself.
pub const PARK: u8 = 4;
/// Vendor request: sends more than was asked for.
pub const TOO_MUCH: u8 = 5;
/// Vendor request: panics.
pub const PANIC: u8 = 6;
/// Vendor request: a bus error.
pub const GARBLE: u8 = 7;

pub const BULK_OUT: u8 = 0x02;
pub const BULK_IN: u8 = 0x81;
pub const INTERRUPT_IN: u8 = 0x83;
pub const ISOCHRONOUS_IN: u8 = 0x84;

/// What the test sees of the device from outside.
#[derive(Default)]
pub struct Seen {
    pub notes: Vec<u16>,
    pub received: Vec<Vec<u8>>,
    pub configurations: Vec<u8>,
    pub resets: usize,
    pub waker: Option<Waker>,
    /// Bytes that the bulk-IN endpoint has to give.
    pub outbox: VecDeque<Vec<u8>>,
    pub dropped: bool,
    pub parked: usize,
}

/// The device. See the constants for what it does.
pub struct Gadget {
    pub seen: Arc<Mutex<Seen>>,
    parked: Vec<FunctionUrb>,
    pub speed: Speed,
    pub configuration: Option<Vec<u8>>,
    /// Stalls the bulk-OUT transfer whose first byte is this.
    pub stall_on: u8,
}

impl Gadget {
    pub fn new() -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let gadget = Self {
            seen: seen.clone(),
            parked: Vec::new(),
            speed: Speed::High,
            configuration: None,
            stall_on: 0xee,
        };
        (gadget, seen)
    }
}

/// One configuration (value 1): interface 0 with a bulk pair, an interrupt and an isochronous endpoint; its
/// alternate setting 1 has only the bulk-IN endpoint.
pub fn configuration() -> Vec<u8> {
    let mut bytes = vec![9, 2, 0, 0, 1, 1, 0, 0xc0, 50];
    bytes.extend([9, 4, 0, 0, 4, 0xff, 0, 0, 3]);
    bytes.extend([7, 5, BULK_IN, 2, 0, 2, 0]);
    bytes.extend([7, 5, BULK_OUT, 2, 0, 2, 0]);
    bytes.extend([7, 5, INTERRUPT_IN, 3, 64, 0, 4]);
    bytes.extend([7, 5, ISOCHRONOUS_IN, 1, 64, 0, 1]);
    bytes.extend([9, 4, 0, 1, 1, 0xff, 0, 0, 0]);
    bytes.extend([7, 5, BULK_IN, 2, 0, 2, 0]);
    let total = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&total.to_le_bytes());
    bytes
}

pub const DEVICE: [u8; 18] = [18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 0x01, 0x00, 0, 1, 1, 2, 0, 1];

impl UsbFunction for Gadget {
    fn descriptors(&self) -> Descriptors {
        Descriptors {
            device: DEVICE,
            configuration: self.configuration.clone().unwrap_or_else(configuration),
            strings: vec!["Airlift".into(), "Gadget π".into(), "bulk".into()],
            speed: self.speed,
        }
    }

    fn plugged(&mut self, _now: Duration, waker: Waker) {
        self.seen.lock().unwrap().waker = Some(waker);
    }

    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        let mut seen = self.seen.lock().unwrap();
        if let Some(setup) = urb.setup() {
            return match setup.request {
                ECHO => urb.reply(&setup.value.to_le_bytes()).into(),
                NOTE => {
                    seen.notes.push(setup.value);
                    urb.ok().into()
                }
                SLOW => {
                    seen.notes.push(setup.value);
                    Submit::After(Duration::from_micros(setup.value.into()), urb.ok())
                }
                PARK => {
                    seen.parked += 1;
                    self.parked.push(urb);
                    Submit::Parked
                }
                TOO_MUCH => urb.reply(&[0; 4096]).into(),
                PANIC => panic!("asked to panic"),
                GARBLE => urb.fail(TransferError::Protocol).into(),
                _ => urb.fail(TransferError::Stall).into(),
            };
        }
        if urb.is_in() {
            seen.parked += 1;
            self.parked.push(urb);
            return Submit::Parked;
        }
        if urb.data().first() == Some(&self.stall_on) {
            return urb.fail(TransferError::Stall).into();
        }
        seen.received.push(urb.data().to_vec());
        urb.ok().into()
    }

    fn poll(&mut self, _now: Duration) -> Option<Reply> {
        let mut seen = self.seen.lock().unwrap();
        let at = self.parked.iter().position(|urb| urb.endpoint() == BULK_IN)?;
        let bytes = seen.outbox.pop_front()?;
        seen.parked -= 1;
        Some(self.parked.remove(at).reply(&bytes))
    }

    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        let at = self.parked.iter().position(|urb| urb.id() == id)?;
        self.seen.lock().unwrap().parked -= 1;
        Some(self.parked.remove(at))
    }

    fn set_configuration(&mut self, _now: Duration, value: u8) {
        assert!(self.parked.iter().all(|urb| urb.endpoint() & 0x0f == 0), "URBs were left here");
        self.seen.lock().unwrap().configurations.push(value);
    }

    fn reset(&mut self, _now: Duration) {
        assert!(self.parked.is_empty(), "URBs were left here");
        self.seen.lock().unwrap().resets += 1;
    }
}

impl Drop for Gadget {
    fn drop(&mut self) {
        if let Ok(mut seen) = self.seen.lock() {
            seen.dropped = true;
        }
    }
}

/// A control URB as the function sees it.
pub fn control(id: u64, setup: Setup) -> FunctionUrb {
    let buffer = if setup.is_in() { BytesMut::new() } else { BytesMut::zeroed(setup.length.into()) };
    FunctionUrb::new(UrbId(id), 0, Some(setup), buffer, setup.length.into())
}

/// A transfer to or from another endpoint; `data` is ignored for IN.
pub fn transfer(id: u64, endpoint: u8, data: &[u8], length: usize) -> FunctionUrb {
    let buffer = if endpoint & 0x80 == 0 { BytesMut::from(data) } else { BytesMut::with_capacity(length) };
    let length = if endpoint & 0x80 == 0 { data.len() } else { length };
    FunctionUrb::new(UrbId(id), endpoint, None, buffer, length)
}

/// A standard request.
pub const fn standard(request_type: u8, request: u8, value: u16, index: u16, length: u16) -> Setup {
    Setup { request_type, request, value, index, length }
}

/// A kernel on a virtual clock, a controller on it, and the gadget plugged in.
pub struct Rig {
    pub kernel: Kernel,
    pub clock: Clock,
    pub controller: HostController,
    pub port: MockPort,
    pub device: UsbDevice,
    pub seen: Arc<Mutex<Seen>>,
}

pub fn rig() -> Rig {
    rig_with(Gadget::new())
}

pub fn rig_with((gadget, seen): (Gadget, Arc<Mutex<Seen>>)) -> Rig {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().name("rig").clock(clock.clone()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = controller.plug(gadget);
    let device = port.device();
    Rig { kernel, clock, controller, port, device, seen }
}

pub fn echo(value: u16) -> Urb {
    Urb::control_in(Setup::vendor_in(ECHO, value, 0, 2))
}

pub fn note(value: u16) -> Urb {
    Urb::control_out(Setup::vendor_out(NOTE, value, 0, 0), [])
}

pub fn park() -> Urb {
    Urb::control_in(Setup::vendor_in(PARK, 0, 0, 8))
}

/// Runs a future on the test's thread, which is not the kernel's.
pub fn block_on<F: Future>(future: F) -> F::Output {
    futures::executor::block_on(future)
}
