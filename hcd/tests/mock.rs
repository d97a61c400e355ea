//! The mock backend: functions in time, functions that wake themselves, operations that are given up.

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use airlift_hcd::{
    Descriptors, FunctionUrb, HostController, Latency, LatencyModel, Reply, Setup, Submit, TransferError,
    Urb, UrbId, UsbFunction,
};
use airlift_runtime::{Clock, Kernel};
use common::*;

/// Sends a byte on bulk-IN every millisecond, if somebody reads; polled only at its own deadlines.
#[derive(Default)]
struct Ticker {
    reading: VecDeque<FunctionUrb>,
    ticks: u8,
    next: Option<Duration>,
    polled_early: Arc<Mutex<u32>>,
}

impl UsbFunction for Ticker {
    fn descriptors(&self) -> Descriptors {
        Gadget::new().0.descriptors()
    }

    fn submit(&mut self, now: Duration, urb: FunctionUrb) -> Submit {
        self.next.get_or_insert(now + Duration::from_millis(1));
        self.reading.push_back(urb);
        Submit::Parked
    }

    fn poll(&mut self, now: Duration) -> Option<Reply> {
        let due = self.next?;
        if now < due {
            *self.polled_early.lock().unwrap() += 1;
            return None;
        }
        let urb = self.reading.pop_front()?;
        self.ticks += 1;
        self.next = Some(due + Duration::from_millis(1));
        Some(urb.reply(&[self.ticks]))
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.next.filter(|_| !self.reading.is_empty())
    }

    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        let at = self.reading.iter().position(|urb| urb.id() == id)?;
        self.reading.remove(at)
    }
}

#[test]
fn h4_a_function_is_polled_at_its_deadlines_and_at_no_other_time() {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let ticker = Ticker::default();
    let early = ticker.polled_early.clone();
    let port = controller.plug(ticker);
    let device = port.device();
    let task = kernel.handle().spawn("reader", move |cpu| async move {
        let mut ticks = Vec::new();
        for _ in 0..5 {
            let read = device.submit(Urb::bulk_in(BULK_IN, 64)).await;
            ticks.push((read.buffer[0], cpu.now()));
        }
        ticks
    });
    let ticks = block_on(task.unwrap()).unwrap();
    assert_eq!(ticks, [1, 2, 3, 4, 5].map(|n| (n, Duration::from_millis(n.into()))));
    assert!(*early.lock().unwrap() <= 10, "polled after each submission, and when due");
}

#[test]
fn h4_a_function_can_ask_from_outside_to_be_polled() {
    let rig = rig();
    let reading = rig.device.submit(Urb::bulk_in(BULK_IN, 64));
    assert_eq!(block_on(rig.device.submit(echo(1))).status, Ok(()));
    assert!(!reading.is_done());
    let waker = {
        let mut seen = rig.seen.lock().unwrap();
        seen.outbox.push_back(vec![42]);
        seen.waker.clone().unwrap()
    };
    waker.wake_by_ref();
    assert_eq!(block_on(reading).buffer[..], [42]);
    // Kept beyond the device's life it does nothing, and does not hold virtual time.
    rig.port.unplug();
    block_on(rig.device.closed());
    waker.wake();
    let slept = rig.kernel.handle().spawn("sleeper", |cpu| async move { cpu.msleep(1000).await });
    block_on(slept.unwrap()).unwrap();
}

/// A waker that panics when it is woken.
struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("asked to panic");
    }
}

#[test]
fn h3_a_waker_that_panics_keeps_no_other_urb_from_ending() {
    let rig = rig();
    let hold = rig.clock.hold();
    let slow = Setup::vendor_out(SLOW, 100, 0, 0);
    let mut first = rig.device.submit(Urb::control_out(slow, []));
    let bad = Waker::from(Arc::new(Bad));
    assert!(Future::poll(std::pin::Pin::new(&mut first), &mut Context::from_waker(&bad)).is_pending());
    let second = rig.device.submit(echo(1));
    drop(hold);
    assert_eq!(block_on(second).status, Ok(()));
    assert!(first.is_done());
}

#[test]
fn h2_an_operation_that_is_given_up_leaves_host_and_device_of_one_mind() {
    let rig = rig();
    let configured = || {
        let asked = block_on(rig.device.submit(Urb::control_in(standard(0x80, 8, 0, 0, 1))));
        asked.into_result().unwrap()[0]
    };
    for round in 0..200u8 {
        {
            let mut giving_up = std::pin::pin!(rig.device.set_configuration(round & 1));
            let mut context = Context::from_waker(Waker::noop());
            _ = giving_up.as_mut().poll(&mut context);
        }
        let device_says = configured();
        assert_eq!(rig.device.configuration_value(), device_says, "round {round}");
        let usable = rig.device.endpoints().iter().count() > 0;
        assert_eq!(usable, device_says == 1, "round {round}");
    }
}

#[test]
fn h2_an_operation_that_is_given_up_before_it_left_is_not_done() {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let model = LatencyModel { round_trip: Duration::from_micros(125), posted: Duration::from_micros(30) };
    let (gadget, seen) = Gadget::new();
    let port = controller.plug_with(gadget, &[&Latency::new(model)]);
    let device = port.device();
    let task = kernel.handle().spawn("driver", move |_cpu| async move {
        let before = device.submit(note(1));
        {
            let mut giving_up = std::pin::pin!(device.set_configuration(0));
            _ = giving_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        assert_eq!(before.await.status, Ok(()));
        assert_eq!(device.submit(Urb::bulk_out(BULK_OUT, &[1][..])).await.status, Ok(()));
        assert_eq!(device.configuration_value(), 1);
    });
    block_on(task.unwrap()).unwrap();
    assert_eq!(seen.lock().unwrap().configurations, [1]);
}

#[test]
fn h2_cancelling_what_has_ended_tells_how_it_ended() {
    let rig = rig();
    for n in 0..100 {
        let handle = rig.device.submit(note(n));
        handle.kill();
        let ended = block_on(handle).status;
        let noted = rig.seen.lock().unwrap().notes.contains(&n);
        assert_eq!(ended.is_ok(), noted, "{n}: {ended:?}");
        assert!(ended.is_ok() || ended == Err(TransferError::Cancelled));
    }
}

#[test]
fn h6_two_controllers_on_one_kernel_do_not_disturb_each_other() {
    let rig = rig();
    let other = HostController::new(&rig.kernel.handle()).unwrap();
    let port = other.plug(Gadget::new().0);
    let (one, two) = (rig.device.submit(echo(1)), port.device().submit(echo(2)));
    assert_eq!((block_on(one).buffer[0], block_on(two).buffer[0]), (1, 2));
    let parked = port.device().submit(park());
    drop((rig.controller, rig.port, rig.device));
    let device = port.device();
    assert_eq!(block_on(device.submit(Urb::bulk_out(BULK_OUT, &[3][..]))).status, Ok(()));
    drop(port);
    assert_eq!(block_on(parked).status, Err(TransferError::Shutdown));
}
