//! Devices that come, go, break, and outlive what they are plugged into. Nothing hangs and nothing leaks.

mod common;

use std::time::Duration;

use airlift_hcd::{Anchor, HostController, HotplugEvent, Latency, LatencyModel, TransferError, Urb};
use airlift_runtime::{Clock, Kernel};
use common::*;
use futures::StreamExt;

#[test]
fn h6_devices_come_and_go_as_a_stream() {
    let rig = rig();
    let mut events = rig.controller.hotplug();
    let arrived = block_on(events.next());
    assert!(
        matches!(arrived, Some(HotplugEvent::Arrived(device)) if device == rig.device),
        "those there come first"
    );
    let second = rig.controller.plug(Gadget::new().0);
    let Some(HotplugEvent::Arrived(device)) = block_on(events.next()) else { panic!() };
    assert_eq!(device, second.device());
    assert_eq!(rig.controller.devices(), [rig.device.clone(), device.clone()]);
    rig.port.unplug();
    assert!(matches!(block_on(events.next()), Some(HotplugEvent::Left(id)) if id == rig.device.id()));
    // One that came and went while nobody looked costs the reader nothing.
    drop(rig.controller.plug(Gadget::new().0));
    drop(second);
    assert!(matches!(block_on(events.next()), Some(HotplugEvent::Left(id)) if id == device.id()));
    assert!(rig.controller.devices().is_empty());
    block_on(rig.kernel.shutdown());
    assert!(block_on(events.next()).is_none(), "the stream ends with the kernel");
}

#[test]
fn h6_unplug_gives_every_pending_urb_its_error() {
    let rig = rig();
    let _still = rig.clock.hold(); // or the hour's limit may come first
    let anchor = Anchor::new();
    let device = &rig.device;
    let mut handles: Vec<_> = (0..10).map(|_| device.submit(park())).collect();
    handles.extend((0..10).map(|_| device.submit(Urb::bulk_in(BULK_IN, 64))));
    handles.push(device.submit(Urb::interrupt_in(INTERRUPT_IN, 64).timeout(Duration::from_secs(3600))));
    device.submit(note(1)).post(&anchor, 5);
    drop(device.submit(park()));
    rig.port.unplug();
    assert!(device.is_unplugged());
    for handle in handles {
        let ended = block_on(handle);
        assert_eq!(ended.status, Err(TransferError::Shutdown));
    }
    assert_eq!(block_on(anchor.barrier()).unwrap_err().error, TransferError::Shutdown);
    assert_eq!(block_on(device.submit(echo(1))).status, Err(TransferError::Shutdown));
    assert_eq!(block_on(device.clear_halt(BULK_IN)), Err(TransferError::Shutdown));
    block_on(device.closed());
    assert_eq!(device.pending(), 0);
    assert!(rig.seen.lock().unwrap().dropped, "the function is gone");
}

/// Names of this process's threads that begin with `prefix`.
#[cfg(target_os = "linux")]
fn threads(prefix: &str) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks
        .flatten()
        .map(name)
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn h6_the_threads_of_a_device_have_ended_when_it_is_closed() {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().name("threads").clock(clock).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    // Numbers that no other test's devices reach.
    for _ in 0..900 {
        let port = controller.plug(Gadget::new().0);
        let device = port.device();
        drop(port);
        block_on(device.closed());
    }
    let latency =
        Latency::new(LatencyModel { round_trip: Duration::from_micros(125), posted: Duration::ZERO });
    let port = controller.plug_with(Gadget::new().0, &[&latency]);
    let device = port.device();
    // Served, so both threads are well under way.
    assert_eq!(block_on(device.submit(echo(1))).status, Ok(()));
    assert_eq!(threads("mock-90"), ["mock-901", "mock-901-latenc"]);
    drop(port);
    block_on(device.closed());
    // Joined, but Linux may take a moment more to strike them from its list.
    let begin = std::time::Instant::now();
    while !threads("mock-90").is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(30), "outlived their device: {:?}", threads("mock-90"));
        std::thread::yield_now();
    }
}

#[test]
fn h6_unplug_at_the_kth_transfer_hangs_nothing() {
    for k in 0..40 {
        let rig = rig();
        let latency = Latency::new(LatencyModel {
            round_trip: Duration::from_micros(125),
            posted: Duration::from_micros(30),
        });
        let port = rig.controller.plug_with(Gadget::new().0, &[&latency]);
        let device = port.device();
        let worked = rig.kernel.handle().spawn("driver", move |cpu| async move {
            let anchor = Anchor::new();
            let receive = device.submit(Urb::bulk_in(BULK_IN, 64));
            let mut port = Some(port);
            let mut errors = 0;
            for n in 0..30u16 {
                if u32::from(n) == k {
                    port.take();
                }
                device.submit(note(n)).post(&anchor, n.into());
                if n % 3 == 0 {
                    errors += u32::from(device.submit(echo(n)).await.status.is_err());
                }
                if n % 5 == 0 {
                    errors += u32::from(anchor.barrier().await.is_err());
                    cpu.sleep(Duration::from_micros(40)).await;
                }
            }
            drop(port);
            assert_eq!(receive.await.status, Err(TransferError::Shutdown));
            device.closed().await;
            (errors, device.pending())
        });
        let (errors, pending) = block_on(worked.unwrap()).unwrap();
        assert_eq!(pending, 0);
        assert_eq!(errors > 0, k < 28, "unplugged at {k}: {errors} errors");
    }
}

#[test]
fn h6_a_function_that_panics_is_a_device_that_fell_off() {
    let rig = rig();
    let parked = rig.device.submit(Urb::bulk_in(BULK_IN, 64));
    let setup = airlift_hcd::Setup::vendor_in(PANIC, 0, 0, 1);
    assert_eq!(block_on(rig.device.submit(Urb::control_in(setup))).status, Err(TransferError::Shutdown));
    assert_eq!(block_on(parked).status, Err(TransferError::Shutdown));
    block_on(rig.device.closed());
    assert!(rig.device.is_unplugged() && rig.controller.devices().is_empty());
    let second = rig.controller.plug(Gadget::new().0);
    assert_eq!(block_on(second.device().submit(echo(1))).status, Ok(()), "the rest runs on");
}

#[test]
fn h6_the_end_of_the_kernel_ends_every_urb_and_thread() {
    let rig = rig();
    let parked: Vec<_> = (0..5).map(|_| rig.device.submit(Urb::bulk_in(BULK_IN, 64))).collect();
    let waiting =
        std::thread::spawn(move || parked.into_iter().map(|urb| block_on(urb).status).collect::<Vec<_>>());
    block_on(rig.kernel.shutdown());
    assert_eq!(waiting.join().unwrap(), [Err(TransferError::Shutdown); 5]);
    block_on(rig.device.closed());
    assert!(rig.seen.lock().unwrap().dropped);
    assert_eq!(block_on(rig.device.submit(echo(1))).status, Err(TransferError::Shutdown));
    let late = rig.controller.plug(Gadget::new().0);
    assert!(late.device().is_unplugged());
    block_on(late.device().closed());
}

#[test]
fn h6_the_controller_ends_with_its_last_user() {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().name("users").clock(clock).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let (gadget, seen) = Gadget::new();
    let port = controller.plug(gadget);
    let device = port.device();
    drop(controller);
    assert_eq!(block_on(device.submit(echo(1))).status, Ok(()), "a port or device keeps it");
    drop(port);
    block_on(device.closed());
    drop(device);
    assert!(seen.lock().unwrap().dropped);
    // The kernel task has ended by itself: nothing is left to drop at the shutdown.
    let report = block_on(async {
        kernel.handle().spawn("last", |cpu| async move { cpu.msleep(1).await }).unwrap().await.unwrap();
        kernel.shutdown().await
    });
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn h6_two_kernels_have_controllers_of_their_own() {
    let (one, two) = (rig(), rig());
    let anchor = Anchor::new();
    for n in 0..100 {
        one.device.submit(note(n)).post(&anchor, n.into());
        two.device.submit(note(n + 1000)).post(&anchor, n.into());
    }
    assert_eq!(block_on(anchor.barrier()), Ok(()));
    assert!(one.seen.lock().unwrap().notes.iter().copied().eq(0..100));
    assert!(two.seen.lock().unwrap().notes.iter().copied().eq(1000..1100));
    block_on(one.kernel.shutdown());
    assert_eq!(block_on(one.device.submit(echo(1))).status, Err(TransferError::Shutdown));
    assert_eq!(block_on(two.device.submit(echo(1))).status, Ok(()));
}
