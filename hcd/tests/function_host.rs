//! The host's side of a function, stepped by hand: no thread, no clock.

mod common;

use std::task::Waker;
use std::time::Duration;

use airlift_hcd::{
    FunctionHost, FunctionUrb, Reply, Setup, Speed, Submit, TransferError, UrbId, UsbFunction,
};
use common::*;

const NOW: Duration = Duration::from_secs(1);

fn configured(gadget: impl UsbFunction) -> FunctionHost {
    let mut host = FunctionHost::new(gadget);
    host.plug(NOW, Waker::noop().clone());
    let reply = run(&mut host, control(1000, standard(0, 9, 1, 0, 0)));
    assert_eq!(reply.status, Ok(0));
    host
}

/// Submits one URB and takes the one reply that must follow at once.
fn run(host: &mut FunctionHost, urb: FunctionUrb) -> Reply {
    let id = urb.id();
    host.submit(NOW, urb);
    let reply = host.poll(NOW).expect("no reply");
    assert_eq!(reply.id, id);
    reply
}

fn ask(host: &mut FunctionHost, setup: Setup) -> Result<Vec<u8>, TransferError> {
    let reply = run(host, control(77, setup));
    reply.status.map(|actual| reply.buffer[..actual].to_vec())
}

#[test]
fn h4_the_standard_requests_are_answered_from_the_descriptors() {
    let (gadget, seen) = Gadget::new();
    let mut host = FunctionHost::new(gadget);
    host.plug(NOW, Waker::noop().clone());
    assert_eq!(ask(&mut host, standard(0x80, 6, 0x0100, 0, 64)).unwrap(), DEVICE);
    assert_eq!(ask(&mut host, standard(0x80, 6, 0x0100, 0, 8)).unwrap(), DEVICE[..8]);
    assert_eq!(ask(&mut host, standard(0x80, 6, 0x0200, 0, 9)).unwrap(), configuration()[..9]);
    assert_eq!(ask(&mut host, standard(0x80, 6, 0x0200, 0, 999)).unwrap(), configuration());
    assert_eq!(ask(&mut host, standard(0x80, 6, 0x0300, 0, 255)).unwrap(), [4, 3, 9, 4]);
    let name = ask(&mut host, standard(0x80, 6, 0x0302, 0x0409, 255)).unwrap();
    assert_eq!(airlift_hcd::parse_string(&name).unwrap(), "Gadget π");
    for refused in [0x0309, 0x0201, 0x0600, 0x0f00] {
        assert_eq!(
            ask(&mut host, standard(0x80, 6, refused, 0, 64)),
            Err(TransferError::Stall),
            "{refused:#x}"
        );
    }
    assert_eq!(ask(&mut host, standard(0x80, 8, 0, 0, 1)).unwrap(), [0]);
    assert_eq!(ask(&mut host, standard(0x81, 10, 0, 0, 1)), Err(TransferError::Stall), "not configured yet");
    assert_eq!(ask(&mut host, standard(0, 9, 2, 0, 0)), Err(TransferError::Stall), "no such configuration");
    ask(&mut host, standard(0, 9, 1, 0, 0)).unwrap();
    assert_eq!(ask(&mut host, standard(0x80, 8, 0, 0, 1)).unwrap(), [1]);
    assert_eq!(ask(&mut host, standard(0x80, 0, 0, 0, 2)).unwrap(), [1, 0], "self-powered");
    assert_eq!(ask(&mut host, standard(0x81, 10, 0, 0, 1)).unwrap(), [0]);
    ask(&mut host, standard(1, 11, 1, 0, 0)).unwrap();
    assert_eq!(ask(&mut host, standard(0x81, 10, 0, 0, 1)).unwrap(), [1]);
    assert_eq!(ask(&mut host, standard(1, 11, 2, 0, 0)), Err(TransferError::Stall), "no such setting");
    ask(&mut host, standard(0, 3, 1, 0, 0)).unwrap();
    assert_eq!(ask(&mut host, standard(0x80, 0, 0, 0, 2)).unwrap(), [3, 0], "remote wake-up is on");
    assert_eq!(seen.lock().unwrap().configurations, [1]);
}

#[test]
fn h4_a_super_speed_function_has_an_object_store() {
    let (mut gadget, _seen) = Gadget::new();
    gadget.speed = Speed::Super;
    let mut host = configured(gadget);
    let store = ask(&mut host, standard(0x80, 6, 0x0f00, 0, 255)).unwrap();
    assert_eq!(store.len(), usize::from(u16::from_le_bytes([store[2], store[3]])));
    let kinds: Vec<_> = airlift_hcd::Walk::new(&store).map(|found| found.as_bytes().len()).collect();
    assert_eq!(kinds, [5, 7, 10]);
}

#[test]
fn h2_a_stall_halts_its_endpoint_until_the_halt_is_cleared() {
    let (gadget, seen) = Gadget::new();
    let mut host = configured(gadget);
    assert_eq!(run(&mut host, transfer(1, BULK_OUT, &[0xee], 0)).status, Err(TransferError::Stall));
    assert_eq!(run(&mut host, transfer(2, BULK_OUT, &[1], 0)).status, Err(TransferError::Stall));
    assert_eq!(ask(&mut host, standard(0x82, 0, 0, BULK_OUT.into(), 2)).unwrap(), [1, 0]);
    ask(&mut host, standard(2, 1, 0, BULK_OUT.into(), 0)).unwrap();
    assert_eq!(ask(&mut host, standard(0x82, 0, 0, BULK_OUT.into(), 2)).unwrap(), [0, 0]);
    assert_eq!(run(&mut host, transfer(3, BULK_OUT, &[1], 0)).status, Ok(1));
    assert_eq!(seen.lock().unwrap().received, [[1]]);
    // A refused control request does not halt endpoint 0.
    assert_eq!(ask(&mut host, Setup::vendor_in(99, 0, 0, 1)), Err(TransferError::Stall));
    assert_eq!(ask(&mut host, Setup::vendor_in(ECHO, 0x1234, 0, 2)).unwrap(), [0x34, 0x12]);
}

#[test]
fn h2_urbs_of_one_endpoint_end_in_order_and_do_not_wait_for_another_endpoint() {
    let (gadget, seen) = Gadget::new();
    let mut host = configured(gadget);
    host.submit(NOW, control(1, Setup::vendor_out(SLOW, 500, 0, 0)));
    host.submit(NOW, control(2, Setup::vendor_out(NOTE, 7, 0, 0)));
    host.submit(NOW, transfer(3, BULK_OUT, &[1], 0));
    assert_eq!(host.poll(NOW).unwrap().id, UrbId(3));
    assert!(host.poll(NOW).is_none());
    assert_eq!(seen.lock().unwrap().notes, [500], "the second reaches the device when the first has ended");
    let due = NOW + Duration::from_micros(500);
    assert_eq!(host.next_deadline(), Some(due));
    assert!(host.poll(due - Duration::from_nanos(1)).is_none());
    assert_eq!(host.poll(due).unwrap().id, UrbId(1));
    assert_eq!(host.poll(due).unwrap().id, UrbId(2));
    assert!(host.poll(due).is_none());
    assert_eq!(host.next_deadline(), None);
}

#[test]
fn h2_cancel_takes_an_urb_back_wherever_it_is_and_the_next_goes_on() {
    let (gadget, seen) = Gadget::new();
    let mut host = configured(gadget);
    host.submit(NOW, control(1, Setup::vendor_in(PARK, 0, 0, 8)));
    host.submit(NOW, control(2, Setup::vendor_in(PARK, 0, 0, 8)));
    host.submit(NOW, control(3, Setup::vendor_in(ECHO, 5, 0, 2)));
    assert!(host.poll(NOW).is_none());
    assert_eq!(host.cancel(UrbId(2)).unwrap().status, Err(TransferError::Cancelled), "still waiting");
    assert_eq!(host.cancel(UrbId(1)).unwrap().status, Err(TransferError::Cancelled), "in the function");
    assert!(host.cancel(UrbId(1)).is_none());
    assert!(host.next_deadline().is_some(), "the third can start");
    assert_eq!(host.poll(NOW).unwrap().id, UrbId(3));
    host.submit(NOW, control(4, Setup::vendor_out(SLOW, 500, 0, 0)));
    assert_eq!(host.cancel(UrbId(4)).unwrap().status, Err(TransferError::Cancelled), "ended but not due");
    assert!(host.poll(NOW + Duration::from_secs(1)).is_none());
    assert_eq!(seen.lock().unwrap().parked, 0);
}

#[test]
fn h6_unplug_gives_every_urb_its_error() {
    let (gadget, _seen) = Gadget::new();
    let mut host = configured(gadget);
    host.submit(NOW, control(1, Setup::vendor_in(PARK, 0, 0, 8)));
    host.submit(NOW, control(2, Setup::vendor_in(ECHO, 0, 0, 8)));
    host.submit(NOW, transfer(3, BULK_IN, &[], 64));
    host.submit(NOW, transfer(4, INTERRUPT_IN, &[], 64));
    host.unplug();
    host.submit(NOW, transfer(5, BULK_OUT, &[1], 0));
    let mut ids: Vec<_> = std::iter::from_fn(|| host.poll(NOW))
        .map(|reply| {
            assert_eq!(reply.status, Err(TransferError::Shutdown));
            reply.id.0
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert_eq!(host.next_deadline(), None);
}

#[test]
fn h2_another_configuration_setting_or_a_reset_takes_the_endpoints_urbs_back() {
    let (gadget, seen) = Gadget::new();
    let mut host = configured(gadget);
    let mut round = 0;
    let mut pending_then = |host: &mut FunctionHost, change: &dyn Fn(&mut FunctionHost)| {
        round += 10;
        host.submit(NOW, transfer(round, BULK_IN, &[], 64));
        host.submit(NOW, transfer(round + 1, BULK_IN, &[], 64));
        assert!(host.poll(NOW).is_none());
        change(host);
        let mut cancelled = 0;
        while let Some(reply) = host.poll(NOW) {
            cancelled += u32::from(reply.status == Err(TransferError::Cancelled));
        }
        assert_eq!(cancelled, 2);
    };
    pending_then(&mut host, &|host| host.submit(NOW, control(1, standard(1, 11, 1, 0, 0))));
    assert!(host.endpoints().get(BULK_OUT).is_none(), "setting 1 has bulk-IN only");
    pending_then(&mut host, &|host| host.submit(NOW, control(1, standard(0, 9, 1, 0, 0))));
    assert!(host.endpoints().get(BULK_OUT).is_some());
    pending_then(&mut host, &|host| host.reset(NOW));
    assert_eq!(host.configuration(), 0);
    assert_eq!(run(&mut host, transfer(9, BULK_IN, &[], 64)).status, Err(TransferError::Invalid));
    assert_eq!(seen.lock().unwrap().resets, 1);
}

#[test]
fn h1_isochronous_and_absent_endpoints_are_refused() {
    let (gadget, _seen) = Gadget::new();
    let mut host = configured(gadget);
    let refused = run(&mut host, transfer(1, ISOCHRONOUS_IN, &[], 64)).status;
    assert_eq!(refused, Err(TransferError::Isochronous));
    for endpoint in [0x85, 0x01, 0x7f] {
        assert_eq!(run(&mut host, transfer(1, endpoint, &[], 64)).status, Err(TransferError::Invalid));
    }
    let headless = FunctionUrb::new(UrbId(2), 0, None, Default::default(), 0);
    assert_eq!(run(&mut host, headless).status, Err(TransferError::Invalid));
}

/// Gives back URBs that nobody submitted, claims more bytes than it has, names deadlines that are long past.
struct Liar;

impl UsbFunction for Liar {
    fn descriptors(&self) -> airlift_hcd::Descriptors {
        Gadget::new().0.descriptors()
    }
    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        match urb.setup() {
            Some(setup) if setup.request == 1 => Submit::Parked,
            Some(setup) if setup.request == 2 => {
                let mut reply = urb.fail(TransferError::Stall);
                reply.status = Ok(1 << 40);
                reply.buffer.extend_from_slice(&[1, 2, 3]);
                reply.into()
            }
            _ => Submit::After(Duration::MAX, urb.ok()),
        }
    }
    fn poll(&mut self, _now: Duration) -> Option<Reply> {
        Some(Reply { id: UrbId(4_000_000), status: Ok(9), buffer: Default::default() })
    }
    fn next_deadline(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

#[test]
fn h4_a_function_that_lies_is_held_to_what_the_urb_allows() {
    let mut host = configured(Liar);
    assert!(host.poll(NOW).is_none(), "its endless stray replies are cut");
    assert!(host.next_deadline().unwrap() > NOW, "its stuck deadline does not hold time still");
    let reply = run(&mut host, control(1, Setup::vendor_in(2, 0, 0, 2)));
    assert_eq!((reply.status, reply.buffer.len()), (Err(TransferError::Overflow), 2));
    let reply = run(&mut host, control(2, Setup::vendor_out(2, 0, 0, 5)));
    assert_eq!(reply.status, Ok(5));
    host.submit(NOW, control(3, Setup::vendor_in(1, 0, 0, 2)));
    assert!(host.poll(NOW).is_none());
    assert_eq!(host.cancel(UrbId(3)).unwrap().status, Err(TransferError::Cancelled), "it cannot keep an URB");
    host.submit(NOW, transfer(4, BULK_OUT, &[1], 0));
    assert!(host.poll(NOW).is_none(), "a delay beyond all time does not overflow");
    assert!(host.cancel(UrbId(4)).is_some());
}
