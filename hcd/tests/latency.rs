//! The latency layer: exact on the virtual clock.

mod common;

use std::time::Duration;

use airlift_hcd::{
    Anchor, HostController, Latency, LatencyCounters, LatencyModel, MockPort, TransferError, Urb, UsbDevice,
};
use airlift_runtime::{Clock, Cpu, Kernel};
use common::*;

const MODEL: LatencyModel =
    LatencyModel { round_trip: Duration::from_micros(125), posted: Duration::from_micros(30) };

fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// Runs a driver on a port under `MODEL`; gives what it returned and what was counted.
fn drive_port<T: Send + 'static, F: Future<Output = T> + 'static>(
    driver: impl FnOnce(Cpu, MockPort) -> F + Send + 'static,
) -> (T, LatencyCounters) {
    drive_model(MODEL, driver)
}

/// Runs a driver on a device under `model`; gives what it returned and what was counted.
fn drive<T: Send + 'static, F: Future<Output = T> + 'static>(
    model: LatencyModel,
    driver: impl FnOnce(Cpu, UsbDevice) -> F + Send + 'static,
) -> (T, LatencyCounters) {
    drive_model(model, move |cpu, port| async move { driver(cpu, port.device()).await })
}

fn drive_model<T: Send + 'static, F: Future<Output = T> + 'static>(
    model: LatencyModel,
    driver: impl FnOnce(Cpu, MockPort) -> F + Send + 'static,
) -> (T, LatencyCounters) {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let latency = Latency::new(model);
    let port = controller.plug_with(Gadget::new().0, &[&latency]);
    let task = kernel.handle().spawn("driver", move |cpu| driver(cpu, port)).unwrap();
    (block_on(task).unwrap(), latency.counters())
}

#[test]
fn h5_a_control_transfer_with_none_in_flight_costs_a_round_trip() {
    let (took, counted) = drive(MODEL, |cpu, device| async move {
        let started = cpu.now();
        for n in 0..10 {
            assert_eq!(device.submit(echo(n)).await.status, Ok(()));
            assert_eq!(device.submit(note(n)).await.status, Ok(()));
        }
        cpu.now() - started
    });
    assert_eq!(took, us(20 * 125));
    assert_eq!((counted.control_transfers, counted.control_reads, counted.control_writes), (20, 10, 10));
    assert_eq!((counted.waits, counted.control_time), (20, us(20 * 125)));
}

#[test]
fn h5_one_behind_others_costs_only_its_post() {
    let (took, counted) = drive(MODEL, |cpu, device| async move {
        let started = cpu.now();
        let anchor = Anchor::new();
        for n in 0..100 {
            device.submit(note(n)).post(&anchor, 0);
        }
        anchor.barrier().await.unwrap();
        let posted = cpu.now() - started;
        // A read behind writes waits for them by itself.
        (0..4).for_each(|n| device.submit(note(n)).post(&anchor, 0));
        assert_eq!(device.submit(echo(7)).await.buffer[0], 7);
        (posted, cpu.now() - started - posted)
    });
    assert_eq!(took, (us(125 + 99 * 30), us(125 + 4 * 30)));
    assert_eq!((counted.control_transfers, counted.waits), (105, 2));
}

#[test]
fn h5_other_transfers_pass_at_once_and_are_no_waits() {
    let (took, counted) = drive(MODEL, |cpu, device| async move {
        let started = cpu.now();
        let held = device.submit(note(1));
        assert_eq!(device.submit(Urb::bulk_out(BULK_OUT, &[1][..])).await.status, Ok(()));
        let bulk = cpu.now() - started;
        assert_eq!(held.await.status, Ok(()));
        (bulk, cpu.now() - started)
    });
    assert_eq!(took, (us(0), us(125)));
    assert_eq!((counted.other_transfers, counted.waits), (1, 1));
}

#[test]
fn h5_a_held_transfer_can_be_cancelled_and_timed_out() {
    let (statuses, _) = drive(MODEL, |cpu, device| async move {
        let timed = device.submit(note(1).timeout(us(50)));
        let killed = device.submit(note(2));
        let third = device.submit(note(3));
        killed.kill();
        let killed = killed.await.status;
        assert_eq!(cpu.now(), us(0));
        let timed = timed.await.status;
        assert_eq!(cpu.now(), us(50));
        let third = third.await.status;
        assert_eq!(cpu.now(), us(185), "the others keep their times");
        [killed, timed, third]
    });
    assert_eq!(statuses, [Err(TransferError::Cancelled), Err(TransferError::Timeout), Ok(())]);
}

#[test]
fn h5_operations_keep_their_place_among_control_transfers() {
    let (took, counted) = drive(MODEL, |cpu, device| async move {
        let before = device.submit(note(1));
        device.clear_halt(BULK_OUT).await.unwrap();
        assert!(before.is_done());
        let cleared = cpu.now();
        device.reset().await.unwrap();
        (cleared, cpu.now())
    });
    assert_eq!(took, (us(155), us(155)));
    assert_eq!((counted.control_writes, counted.waits), (2, 1));
}

#[test]
fn h5_without_a_model_it_only_counts() {
    let (took, counted) = drive(LatencyModel::default(), |cpu, device| async move {
        for n in 0..50 {
            assert_eq!(device.submit(echo(n)).await.status, Ok(()));
        }
        cpu.now()
    });
    assert_eq!(took, us(0));
    assert_eq!((counted.control_reads, counted.waits, counted.control_time), (50, 50, us(0)));
}

#[test]
fn h5_layers_stack() {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let (outer, inner) = (Latency::new(MODEL), Latency::new(LatencyModel::default()));
    let port = controller.plug_with(Gadget::new().0, &[&outer, &inner]);
    assert_eq!(block_on(port.device().submit(echo(1))).status, Ok(()));
    assert_eq!((outer.counters().control_time, inner.counters().control_time), (us(125), us(0)));
    assert_eq!(inner.counters().control_reads, 1);
    assert_eq!(controller.clock().now(), us(125));
}

#[test]
fn h6_unplug_gives_held_transfers_back_with_their_buffers() {
    let (ended, _) = drive_port(|cpu, port| async move {
        let device = port.device();
        let write = |n| Urb::control_out(airlift_hcd::Setup::vendor_out(NOTE, n, 0, 4), [n as u8; 4]);
        let held: Vec<_> = (0..5).map(|n| device.submit(write(n))).collect();
        cpu.sleep(us(130)).await;
        drop(port);
        let mut ended = Vec::new();
        for handle in held {
            let completion = handle.await;
            ended.push((completion.status, completion.buffer[..].to_vec()));
        }
        device.closed().await;
        ended
    });
    let gone = |n: u8| (Err(TransferError::Shutdown), vec![n; 4]);
    assert_eq!(ended, [(Ok(()), vec![0; 4]), gone(1), gone(2), gone(3), gone(4)]);
}
