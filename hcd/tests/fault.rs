//! The fault layer: what strikes, and what it leaves alone. All on the virtual clock.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use airlift_hcd::{
    Completion, Fault, Faults, HostController, Latency, MockPort, TransferError, TransferType, Urb, UsbDevice,
};
use airlift_runtime::{Clock, Cpu, Kernel};
use common::*;
use futures::FutureExt as _;

struct Bench {
    kernel: Kernel,
    port: MockPort,
    faults: Faults,
    /// Counts what reaches the device.
    below: Latency,
    seen: Arc<Mutex<Seen>>,
}

fn bench(faults: Faults) -> Bench {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let below = Latency::default();
    let (gadget, seen) = Gadget::new();
    let port = controller.plug_with(gadget, &[&faults, &below]);
    Bench { kernel, port, faults, below, seen }
}

impl Bench {
    fn drive<T: Send + 'static, F: Future<Output = T> + 'static>(
        &self,
        driver: impl FnOnce(Cpu, UsbDevice) -> F + Send + 'static,
    ) -> T {
        let device = self.port.device();
        let task = self.kernel.handle().spawn("driver", move |cpu| driver(cpu, device)).unwrap();
        block_on(task).unwrap()
    }

    fn reached(&self) -> u64 {
        let counted = self.below.counters();
        counted.control_transfers + counted.other_transfers
    }
}

async fn three_echoes(device: UsbDevice) -> [Completion; 3] {
    let urbs = [1, 2, 3].map(|value| device.submit(echo(value)));
    let [a, b, c] = urbs;
    [a.await, b.await, c.await]
}

#[test]
fn h5_a_fault_at_k_strikes_the_kth_and_no_other() {
    for (fault, expected, reached) in [
        (Fault::Fail(TransferError::Stall), Err(TransferError::Stall), 2),
        (Fault::Fail(TransferError::Protocol), Err(TransferError::Protocol), 2),
        (Fault::Lose(TransferError::Protocol), Err(TransferError::Protocol), 3),
        (Fault::Overflow, Err(TransferError::Overflow), 3),
        (Fault::Short(1), Ok(()), 3),
    ] {
        let bench = bench(Faults::new().at(2, fault));
        let [first, second, third] = bench.drive(|_, device| three_echoes(device));
        assert_eq!(
            (first.into_result(), third.into_result()),
            (Ok((&[1, 0][..]).into()), Ok((&[3, 0][..]).into()))
        );
        assert_eq!(second.status, expected, "{fault:?}");
        assert_eq!(bench.reached(), reached, "{fault:?}");
        assert_eq!((bench.faults.seen(), bench.faults.struck()), (3, 1));
        if let Fault::Short(length) = fault {
            assert_eq!((second.actual_length, &second.buffer[..]), (length, &[2][..]));
        }
    }
}

#[test]
fn h5_a_short_transfer_is_an_error_where_it_is_forbidden() {
    let bench = bench(Faults::new().at(1, Fault::Short(1)));
    let status = bench.drive(|_, device| async move { device.submit(echo(7).short_not_ok()).await.status });
    assert_eq!(status, Err(TransferError::Short));
}

#[test]
fn h5_silence_occupies_the_endpoint_until_the_time_limit() {
    let bench = bench(Faults::new().at(1, Fault::Silence));
    let (silent, behind, took) = bench.drive(|cpu, device| async move {
        let limit = Duration::from_millis(500);
        let silent = device.submit(echo(1).timeout(limit));
        let behind = device.submit(echo(2));
        let (silent, behind) = (silent.await.status, behind.await.into_result());
        (silent, behind, cpu.now())
    });
    assert_eq!((silent, took), (Err(TransferError::Timeout), Duration::from_millis(500)));
    assert_eq!(behind.unwrap()[..], [2, 0]);
    assert_eq!(bench.reached(), 1);
}

#[test]
fn h1_a_standard_request_that_is_never_answered_has_a_time_limit() {
    let bench = bench(Faults::new().at(1, Fault::Silence));
    let (halt, took) =
        bench.drive(|cpu, device| async move { (device.clear_halt(BULK_IN).await, cpu.now()) });
    assert_eq!((halt, took), (Err(TransferError::Timeout), Duration::from_secs(5)));
}

#[test]
fn h5_a_delay_is_exact_and_keeps_the_endpoints_order() {
    let delay = Duration::from_micros(700);
    let bench = bench(Faults::new().at(1, Fault::Delay(delay)));
    let (first, second, other) = bench.drive(move |cpu, device| async move {
        let first = device.submit(note(1));
        let second = device.submit(note(2));
        device.submit(Urb::bulk_out(BULK_OUT, &b"x"[..])).await.status.unwrap();
        let other = cpu.now();
        first.await.status.unwrap();
        let at = cpu.now();
        second.await.status.unwrap();
        (at, cpu.now(), other)
    });
    assert_eq!((first, second, other), (delay, delay, Duration::ZERO));
    assert_eq!(bench.seen.lock().unwrap().notes, [1, 2]);
}

#[test]
fn h5_a_stall_halts_its_endpoint_until_it_is_cleared() {
    let faults = Faults::new().at(1, Fault::Fail(TransferError::Stall));
    let bench = bench(faults);
    let out = |device: &UsbDevice| device.submit(Urb::bulk_out(BULK_OUT, &b"x"[..]));
    let statuses = bench.drive(move |_, device| async move {
        let [struck, behind] = [out(&device), out(&device)];
        let (struck, behind) = (struck.await.status, behind.await.status);
        device.clear_halt(BULK_OUT).await.unwrap();
        [struck, behind, out(&device).await.status]
    });
    assert_eq!(statuses, [Err(TransferError::Stall), Err(TransferError::Stall), Ok(())]);
    assert_eq!(bench.seen.lock().unwrap().received.len(), 1);
}

/// A failure comes in its turn: not before what was submitted ahead of it.
#[test]
fn h2_an_urb_that_fails_ends_behind_those_before_it() {
    let bench = bench(Faults::new().at(2, Fault::Fail(TransferError::Protocol)));
    let device = bench.port.device();
    let reads = [(); 3].map(|()| device.submit(Urb::bulk_in(BULK_IN, 64)));
    bench.drive(|cpu, _| async move { cpu.msleep(5).await });
    assert!(reads.iter().all(|read| !read.is_done()));
    {
        let mut seen = bench.seen.lock().unwrap();
        seen.outbox.extend([vec![1], vec![3]]);
        seen.waker.as_ref().unwrap().wake_by_ref();
    }
    let [a, b, c] = reads;
    assert_eq!(block_on(a).into_result().unwrap()[..], [1]);
    assert_eq!(block_on(b).status, Err(TransferError::Protocol));
    assert_eq!(block_on(c).into_result().unwrap()[..], [3]);
}

#[test]
fn h5_a_predicate_chooses_by_kind_endpoint_and_setup() {
    let faults = Faults::new()
        .when(|target| target.setup.is_some_and(|s| s.value == 2), Fault::Fail(TransferError::Stall))
        .when(|target| target.transfer_type == TransferType::Bulk, Fault::Fail(TransferError::Protocol));
    let bench = bench(faults);
    let (echoes, bulk) = bench.drive(|_, device| async move {
        let bulk = device.submit(Urb::bulk_out(BULK_OUT, &b"x"[..])).await.status;
        (three_echoes(device).await.map(|completion| completion.status), bulk)
    });
    assert_eq!(echoes, [Ok(()), Err(TransferError::Stall), Ok(())]);
    assert_eq!(bulk, Err(TransferError::Protocol));
}

#[test]
fn h6_an_unplug_at_the_kth_urb_ends_it_and_all_that_pend() {
    let bench = bench(Faults::new().at(3, Fault::Unplug).at(2, Fault::Silence));
    let device = bench.port.device();
    let urbs = [device.submit(Urb::bulk_in(BULK_IN, 64)), device.submit(park()), device.submit(echo(1))];
    for urb in urbs {
        let completion = block_on(urb);
        assert_eq!(completion.status, Err(TransferError::Shutdown));
    }
    assert_eq!(block_on(device.submit(echo(1))).status, Err(TransferError::Shutdown));
    block_on(device.closed());
    assert!(device.is_unplugged() && bench.seen.lock().unwrap().dropped);
    assert_eq!(device.pending(), 0);
}

#[test]
fn h2_what_is_held_back_can_be_cancelled() {
    let delay = Duration::from_millis(10);
    let bench = bench(Faults::new().at(1, Fault::Delay(delay)).at(3, Fault::Silence));
    let statuses = bench.drive(|_, device| async move {
        let urbs = [1, 2, 3, 4].map(|value| device.submit(note(value)));
        urbs[0].kill();
        urbs[2].kill();
        futures::future::join_all(urbs.map(|urb| urb.map(|completion| completion.status))).await
    });
    let cancelled = Err(TransferError::Cancelled);
    assert_eq!(statuses, [cancelled, Ok(()), cancelled, Ok(())]);
    assert_eq!(bench.seen.lock().unwrap().notes, [2, 4]);
}

#[test]
fn h6_unplugged_from_outside_what_is_held_back_ends_too() {
    let faults = Faults::new().at(1, Fault::Silence).at(3, Fault::Delay(Duration::from_secs(1)));
    let bench = bench(faults);
    let device = bench.port.device();
    let urbs =
        [device.submit(echo(1)), device.submit(echo(2)), device.submit(Urb::bulk_out(BULK_OUT, &b"x"[..]))];
    bench.port.unplug();
    for urb in urbs {
        assert_eq!(block_on(urb).status, Err(TransferError::Shutdown));
    }
    block_on(device.closed());
    assert_eq!(device.pending(), 0);
}
