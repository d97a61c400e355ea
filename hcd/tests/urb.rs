//! URBs on the mock backend: how they start, end, fail and come back. All on the virtual clock.

mod common;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use airlift_hcd::{
    Anchor, Backend, Completion, Connect, HostController, Layer, LayerContext, MockPort, PostedError, Reply,
    Setup, StringError, TransferError, Upcall, Urb, UrbHandle, UsbDevice,
};
use airlift_runtime::{Clock, Kernel};
use bytes::BytesMut;
use common::*;

fn status(rig: &Rig, urb: Urb) -> Result<(), TransferError> {
    block_on(rig.device.submit(urb)).status
}

#[test]
fn h1_a_submitted_urb_starts_without_being_awaited() {
    let rig = rig();
    let first = rig.device.submit(note(1));
    // The second ends behind the first, which nobody awaited.
    assert_eq!(status(&rig, echo(2)), Ok(()));
    assert_eq!(rig.seen.lock().unwrap().notes, [1]);
    assert!(first.is_done());
}

#[test]
fn h1_a_completion_has_status_length_and_buffer() {
    let rig = rig();
    let read = block_on(rig.device.submit(echo(0x1234)));
    assert_eq!((read.status, read.actual_length, &read.buffer[..]), (Ok(()), 2, &[0x34, 0x12][..]));
    let written = block_on(rig.device.submit(Urb::bulk_out(BULK_OUT, &b"air"[..])));
    assert_eq!((written.status, written.actual_length, &written.buffer[..]), (Ok(()), 3, &b"air"[..]));
    rig.seen.lock().unwrap().outbox.push_back(b"lift".to_vec());
    let received = block_on(rig.device.submit(Urb::bulk_in(BULK_IN, 512)));
    assert_eq!((received.status, received.actual_length, &received.buffer[..]), (Ok(()), 4, &b"lift"[..]));
    let refused = block_on(rig.device.submit(Urb::bulk_out(BULK_OUT, &[0xee, 1][..])));
    assert_eq!((refused.status, refused.actual_length), (Err(TransferError::Stall), 0));
    assert_eq!(refused.buffer[..], [0xee, 1], "an error gives the buffer back");
}

#[test]
fn h1_a_buffer_is_used_again() {
    let rig = rig();
    let mut buffer = BytesMut::with_capacity(512);
    let first = buffer.as_ptr();
    for round in 0..3 {
        rig.seen.lock().unwrap().outbox.push_back(vec![round; 100]);
        buffer = block_on(rig.device.submit(Urb::bulk_in(BULK_IN, buffer))).into_result().unwrap();
        assert_eq!((buffer.as_ptr(), &buffer[..]), (first, &[round; 100][..]));
    }
}

#[test]
fn h1_the_statuses_are_those_of_linux() {
    let rig = rig();
    let vendor = |request, length| Urb::control_in(Setup::vendor_in(request, 0, 0, length));
    assert_eq!(status(&rig, vendor(99, 1)), Err(TransferError::Stall));
    assert_eq!(status(&rig, vendor(TOO_MUCH, 64)), Err(TransferError::Overflow));
    assert_eq!(status(&rig, vendor(GARBLE, 64)), Err(TransferError::Protocol));
    assert_eq!(status(&rig, vendor(ECHO, 64)), Ok(()), "a short read is no error by itself");
    assert_eq!(status(&rig, vendor(ECHO, 64).short_not_ok()), Err(TransferError::Short));
    assert_eq!(status(&rig, vendor(ECHO, 2).short_not_ok()), Ok(()));
    let handle = rig.device.submit(vendor(PARK, 64));
    handle.kill();
    assert_eq!(block_on(handle).status, Err(TransferError::Cancelled));
    rig.port.unplug();
    assert_eq!(status(&rig, vendor(ECHO, 2)), Err(TransferError::Shutdown));
}

#[test]
fn h1_an_urb_ends_at_its_own_time_limit_and_not_before() {
    let rig = rig();
    let (clock, device) = (rig.clock.clone(), rig.device.clone());
    let hold = clock.hold();
    let started = clock.now();
    // The limits come in another order than the submissions.
    let limited = |urb: Urb, ms| (device.submit(urb.timeout(Duration::from_millis(ms))), ms);
    let mut limits = vec![
        limited(Urb::bulk_in(BULK_IN, 64), 30),
        limited(park(), 10),
        limited(Urb::interrupt_in(INTERRUPT_IN, 64), 20),
    ];
    limits.sort_by_key(|(_, ms)| *ms);
    let ended = rig.kernel.handle().spawn("waits", move |cpu| async move {
        let mut ended = Vec::new();
        for (handle, _) in limits {
            ended.push((handle.await.status, cpu.now() - started));
        }
        ended
    });
    drop(hold);
    let ended = block_on(ended.unwrap()).unwrap();
    let expected = [10, 20, 30].map(|ms| (Err(TransferError::Timeout), Duration::from_millis(ms)));
    assert_eq!(ended, expected);
    assert_eq!(status(&rig, echo(1).timeout(Duration::from_millis(10))), Ok(()), "the endpoint goes on");
}

#[test]
fn h1_a_failed_posted_write_surfaces_at_the_next_barrier_with_its_tag() {
    let rig = rig();
    let anchor = Anchor::new();
    let write = |request| Urb::control_out(Setup::vendor_out(request, 0, 0, 1), [0]);
    rig.device.submit(write(NOTE)).post(&anchor, 0x100);
    rig.device.submit(write(99)).post(&anchor, 0x522);
    rig.device.submit(write(GARBLE)).post(&anchor, 0x523);
    rig.device.submit(write(NOTE)).post(&anchor, 0x101);
    let failed = block_on(anchor.barrier()).unwrap_err();
    assert_eq!(failed, PostedError { tag: 0x522, error: TransferError::Stall });
    assert!(failed.to_string().contains("0x522"));
    assert!(anchor.is_empty(), "the barrier waits for all");
    assert_eq!(rig.seen.lock().unwrap().notes.len(), 2, "later writes go on");
    assert_eq!(block_on(anchor.barrier()), Ok(()), "told once");
    // An URB that ended before it was posted counts too.
    let early = rig.device.submit(write(99));
    assert_eq!(status(&rig, echo(1)), Ok(()));
    assert!(early.is_done());
    early.post(&anchor, 7);
    assert_eq!(block_on(anchor.barrier()).unwrap_err().tag, 7);
}

#[test]
fn h1_a_barrier_waits_for_what_was_posted_before_it_only() {
    let rig = rig();
    let anchor = Anchor::new();
    rig.device.submit(note(1)).post(&anchor, 1);
    let barrier = anchor.barrier();
    rig.device.submit(park()).post(&anchor, 2);
    assert_eq!(block_on(barrier), Ok(()));
    assert_eq!(anchor.len(), 1);
    drop(anchor.barrier());
    anchor.kill_all();
    let failed = block_on(anchor.barrier()).unwrap_err();
    assert_eq!(failed, PostedError { tag: 2, error: TransferError::Cancelled });
}

#[test]
fn h1_a_failure_behind_a_barrier_is_the_next_barriers_to_tell() {
    let rig = rig();
    let anchor = Anchor::new();
    rig.device.submit(park()).post(&anchor, 1);
    let first = anchor.barrier();
    rig.device.submit(park()).post(&anchor, 2);
    // Both are back before anybody looks.
    rig.port.unplug();
    block_on(rig.device.closed());
    assert_eq!(block_on(first).unwrap_err().tag, 1);
    assert_eq!(block_on(anchor.barrier()).unwrap_err().tag, 2);
    assert_eq!(block_on(anchor.barrier()), Ok(()), "told once each");
}

#[test]
fn h1_isochronous_is_refused_clearly() {
    let rig = rig();
    let refused = status(&rig, Urb::bulk_in(ISOCHRONOUS_IN, 64)).unwrap_err();
    assert_eq!(refused, TransferError::Isochronous);
    assert!(refused.to_string().contains("isochronous"));
}

#[test]
fn h1_an_urb_that_does_not_fit_its_endpoint_is_refused() {
    let rig = rig();
    let wrong = [
        Urb::bulk_in(BULK_OUT, 64),
        Urb::bulk_out(BULK_IN, &[1][..]),
        Urb::bulk_in(INTERRUPT_IN, 64),
        Urb::interrupt_in(BULK_IN, 64),
        Urb::bulk_in(0x8f, 64),
        Urb::bulk_in(0x00, 64),
        Urb::control_out(Setup::vendor_out(NOTE, 0, 0, 4), [1]),
        Urb::control_out(Setup::vendor_in(NOTE, 0, 0, 1), [1]),
        Urb::control_in(Setup::vendor_out(NOTE, 0, 0, 4)),
        Urb::control_out(standard(0, 9, 1, 0, 0), []),
        Urb::control_out(standard(1, 11, 1, 0, 0), []),
    ];
    for urb in wrong {
        let name = format!("{urb:?}");
        assert_eq!(status(&rig, urb), Err(TransferError::Invalid), "{name}");
    }
    assert!(rig.seen.lock().unwrap().notes.is_empty());
}

#[test]
fn h2_any_number_in_flight_and_first_in_first_out_per_endpoint() {
    let rig = rig();
    let hold = rig.clock.hold();
    let slow = |us| Urb::control_out(Setup::vendor_out(SLOW, us, 0, 0), []);
    let mut control: Vec<_> = [500, 1, 300].map(|us| rig.device.submit(slow(us))).into();
    let mut bulk: Vec<_> =
        (0..1000u16).map(|n| rig.device.submit(Urb::bulk_out(BULK_OUT, &n.to_be_bytes()[..]))).collect();
    assert_eq!(block_on(bulk.pop().unwrap()).status, Ok(()));
    assert!(bulk.iter().all(UrbHandle::is_done), "those before the last ended before it");
    assert!(!control[0].is_done(), "another endpoint does not wait");
    let received = rig.seen.lock().unwrap().received.clone();
    assert!(received.iter().map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]])).eq(0..1000));
    drop(hold);
    assert_eq!(block_on(control.remove(1)).status, Ok(()));
    assert!(control[0].is_done(), "the quicker second did not overtake");
    assert_eq!(block_on(control.pop().unwrap()).status, Ok(()));
    assert_eq!(rig.seen.lock().unwrap().notes, [500, 1, 300]);
    assert_eq!(rig.clock.now(), Duration::from_micros(801));
}

#[test]
fn h2_dropping_a_handle_cancels_and_awaiting_by_reference_does_not() {
    let rig = rig();
    drop(rig.device.submit(park()));
    assert_eq!(status(&rig, echo(1)), Ok(()), "the endpoint is free again");
    assert_eq!(rig.seen.lock().unwrap().parked, 0);
    let mut handle = rig.device.submit(Urb::bulk_in(BULK_IN, 64));
    block_on(async {
        let other = rig.device.submit(echo(2));
        let gave_up = futures::future::select(&mut handle, other).await;
        assert!(matches!(gave_up, futures::future::Either::Right(_)));
    });
    rig.seen.lock().unwrap().outbox.push_back(vec![9]);
    assert_eq!(status(&rig, echo(3)), Ok(()));
    assert_eq!(block_on(handle).buffer[..], [9]);
}

#[test]
fn h2_kill_gives_the_buffer_back_and_is_harmless_after_the_end() {
    let rig = rig();
    let buffer = BytesMut::with_capacity(4096);
    let place = buffer.as_ptr();
    let handle = rig.device.submit(Urb::bulk_in(BULK_IN, buffer));
    handle.kill();
    let Completion { status: ended, buffer, .. } = block_on(handle);
    assert_eq!((ended, buffer.as_ptr()), (Err(TransferError::Cancelled), place));
    let handle = rig.device.submit(echo(1));
    assert_eq!(status(&rig, echo(2)), Ok(()));
    handle.kill();
    assert_eq!(block_on(handle).status, Ok(()));
}

#[test]
fn h2_a_halt_ends_with_clear_halt() {
    let rig = rig();
    let out = |byte| Urb::bulk_out(BULK_OUT, &[byte][..]);
    assert_eq!(status(&rig, out(0xee)), Err(TransferError::Stall));
    assert_eq!(status(&rig, out(1)), Err(TransferError::Stall));
    block_on(rig.device.clear_halt(BULK_OUT)).unwrap();
    assert_eq!(status(&rig, out(1)), Ok(()));
    assert_eq!(block_on(rig.device.clear_halt(0x0e)), Err(TransferError::Stall));
}

#[test]
fn h2_configuration_alternate_setting_and_reset() {
    let rig = rig();
    let device = &rig.device;
    assert_eq!((device.configuration_value(), device.endpoints().iter().count()), (1, 4));
    let pending = device.submit(Urb::bulk_in(BULK_IN, 64));
    block_on(device.set_interface(0, 1)).unwrap();
    assert_eq!(block_on(pending).status, Err(TransferError::Cancelled));
    assert_eq!(status(&rig, Urb::bulk_out(BULK_OUT, &[1][..])), Err(TransferError::Invalid));
    let pending = device.submit(Urb::bulk_in(BULK_IN, 64));
    block_on(device.reset()).unwrap();
    assert_eq!(block_on(pending).status, Err(TransferError::Cancelled));
    assert_eq!(device.endpoints().iter().count(), 1, "a reset keeps the alternate setting");
    rig.seen.lock().unwrap().outbox.push_back(vec![1, 2]);
    assert_eq!(status(&rig, Urb::bulk_in(BULK_IN, 64)), Ok(()), "and the device agrees");
    assert_eq!(block_on(device.set_interface(0, 7)), Err(TransferError::Stall));
    block_on(device.set_configuration(0)).unwrap();
    assert_eq!(status(&rig, Urb::bulk_in(BULK_IN, 64)), Err(TransferError::Invalid));
    assert_eq!(block_on(device.set_configuration(3)), Err(TransferError::Stall));
    block_on(device.set_configuration(1)).unwrap();
    assert_eq!(device.endpoints().iter().count(), 4);
    assert_eq!(status(&rig, Urb::bulk_out(BULK_OUT, &[1][..])), Ok(()));
    assert_eq!(rig.seen.lock().unwrap().configurations, [1, 1, 0, 1]);
}

#[test]
fn h2_descriptors_and_strings() {
    let rig = rig();
    let device = &rig.device;
    assert_eq!(device.device_descriptor().as_bytes(), &DEVICE);
    assert_eq!((device.info().vendor_id, device.info().product_id), (0x1209, 1));
    let setting = device.configuration().unwrap().alternate(0, 0).unwrap().string_index();
    let strings = block_on(device.strings()).unwrap();
    assert_eq!(strings.manufacturer.as_deref(), Some("Airlift"));
    assert_eq!(strings.product.as_deref(), Some("Gadget π"));
    assert_eq!(strings.serial, None);
    assert_eq!(block_on(device.string(setting)).unwrap(), "bulk");
    assert_eq!(block_on(device.string(9)), Err(StringError::Transfer(TransferError::Stall)));
}

/// Keeps what comes up until the test lets it go, and notes who brought it.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<GateState>>);

#[derive(Default)]
struct GateState {
    shut: bool,
    kept: Vec<Reply>,
    upcall: Option<Arc<dyn Upcall>>,
    brought_by: Vec<String>,
}

impl Gate {
    fn kept(&self) -> usize {
        self.0.lock().unwrap().kept.len()
    }

    fn open(&self) {
        let (mut kept, upcall) = {
            let mut state = self.0.lock().unwrap();
            state.shut = false;
            (std::mem::take(&mut state.kept), state.upcall.clone().unwrap())
        };
        upcall.give_back(&mut kept);
    }
}

impl Layer for Gate {
    fn wrap(
        &self,
        _: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<dyn Backend>> {
        self.0.lock().unwrap().upcall = Some(upcall);
        below(Arc::new(self.clone()))
    }
}

impl Upcall for Gate {
    fn give_back(&self, replies: &mut Vec<Reply>) {
        let upcall = {
            let mut state = self.0.lock().unwrap();
            state.brought_by.push(std::thread::current().name().unwrap_or_default().to_owned());
            if state.shut {
                state.kept.append(replies);
                return;
            }
            state.upcall.clone().unwrap()
        };
        upcall.give_back(replies);
    }

    fn gone(&self) {
        let upcall = self.0.lock().unwrap().upcall.clone().unwrap();
        upcall.gone();
    }
}

fn gated() -> (Kernel, Gate, MockPort, UsbDevice) {
    let kernel = Kernel::builder().name("gated").clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let gate = Gate::default();
    let port = controller.plug_with(Gadget::new().0, &[&gate]);
    let device = port.device();
    (kernel, gate, port, device)
}

/// Waits until as many replies are kept, by doing nothing but yield.
fn until_kept(gate: &Gate, count: usize) {
    while gate.kept() < count {
        std::thread::yield_now();
    }
}

#[test]
fn h2_a_cancelled_urbs_buffer_stays_with_the_controller_until_the_backend_lets_go() {
    let (_kernel, gate, _port, device) = gated();
    gate.0.lock().unwrap().shut = true;
    drop(device.submit(Urb::bulk_in(BULK_IN, 512)));
    until_kept(&gate, 1);
    assert_eq!(device.pending(), 1, "asked for, and not back yet");
    assert_eq!(gate.0.lock().unwrap().kept[0].buffer.capacity(), 512);
    gate.open();
    assert_eq!(block_on(device.submit(echo(1))).status, Ok(()));
    assert_eq!(device.pending(), 0);
}

#[test]
fn h3_one_irq_may_give_back_many_urbs() {
    let (kernel, gate, _port, device) = gated();
    gate.0.lock().unwrap().shut = true;
    let handles: Vec<_> = (0..50).map(|n| device.submit(echo(n))).collect();
    until_kept(&gate, 50);
    let before = delivered(&kernel);
    gate.open();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(block_on(handle).buffer[0], n as u8);
    }
    assert_eq!(delivered(&kernel) - before, 1);
}

/// IRQs that the controller's line delivered.
fn delivered(kernel: &Kernel) -> u64 {
    let stats = kernel.handle().stats();
    stats.lines.iter().find(|line| line.name == "hcd").unwrap().delivered
}

#[test]
fn h3_completions_come_from_a_host_thread_and_wake_on_the_kernel_core() {
    struct Where(Mutex<Option<String>>);
    impl std::task::Wake for Where {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() = std::thread::current().name().map(str::to_owned);
        }
    }
    let (_kernel, gate, _port, device) = gated();
    gate.0.lock().unwrap().shut = true;
    let mut handle = device.submit(echo(1));
    until_kept(&gate, 1);
    let woken = Arc::new(Where(Mutex::new(None)));
    let waker = std::task::Waker::from(woken.clone());
    let poll = Future::poll(std::pin::Pin::new(&mut handle), &mut std::task::Context::from_waker(&waker));
    assert!(poll.is_pending());
    gate.open();
    assert_eq!(block_on(device.submit(echo(2))).status, Ok(()));
    assert!(handle.is_done());
    let kernel_thread = woken.0.lock().unwrap().clone().unwrap();
    assert!(kernel_thread.contains("gated"), "woken on {kernel_thread:?}");
    let brought_by = gate.0.lock().unwrap().brought_by.clone();
    assert!(brought_by.iter().all(|name| name == "mock-1"), "{brought_by:?}");
}

#[test]
fn h3_an_urb_can_be_submitted_and_awaited_anywhere() {
    fn travels<T: Send + 'static>(_: &T) {}
    let rig = rig();
    let handle = rig.device.submit(echo(7));
    travels(&handle);
    travels(&rig.device.submit(note(1)));
    travels(&Anchor::new().barrier());
    let on_kernel =
        rig.kernel.handle().spawn("reader", move |_cpu| async move { handle.await.buffer }).unwrap();
    assert_eq!(block_on(on_kernel).unwrap()[..], [7, 0]);
    let device = rig.device.clone();
    let on_thread = std::thread::spawn(move || block_on(device.submit(echo(8))).buffer);
    assert_eq!(on_thread.join().unwrap()[..], [8, 0]);
    let device = rig.device.clone();
    let inside = rig
        .kernel
        .handle()
        .spawn("both", move |cpu| async move {
            let handle = cpu.with_irqs_off(|| device.submit(echo(9)));
            handle.await.buffer
        })
        .unwrap();
    assert_eq!(block_on(inside).unwrap()[..], [9, 0]);
}
