//! Devices that drop themselves off the bus and come back as something else. Nothing hangs and nothing leaks.

mod common;

use std::future::Future as _;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use airlift_hcd::{
    Backend, Connect, Departure, Descriptors, Faults, FunctionHost, FunctionUrb, HostController,
    HotplugEvent, Latency, LatencyModel, Layer, LayerContext, Port, Reply, ReturnError, Setup, Speed, Submit,
    TransferError, Upcall, Urb, UsbDevice, UsbFunction,
};
use airlift_runtime::{Clock, Kernel};
use common::chameleon::{COUNT, Chameleon, LEAVE, Odd, Seen, count, leave};
use common::{BULK_IN, Gadget, block_on, control, transfer};
use futures::StreamExt as _;

/// The least time away.
const DEBOUNCE: Duration = Duration::from_millis(100);

struct Rig {
    kernel: Kernel,
    controller: HostController,
    clock: Clock,
    port: Port,
    seen: Arc<Seen>,
}

fn rig() -> Rig {
    let (chameleon, seen) = Chameleon::new();
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().name("rig").clock(clock.clone()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = controller.plug(chameleon);
    Rig { kernel, controller, clock, port, seen }
}

async fn back(device: &UsbDevice) -> UsbDevice {
    device.returned(Duration::from_secs(5)).await.unwrap()
}

#[test]
fn h6_what_has_ended_stays_ended_and_everything_else_ends_as_unplugged_when_a_device_leaves() {
    let (chameleon, seen) = Chameleon::new();
    let mut host = FunctionHost::new(chameleon);
    host.plug(Duration::ZERO, Waker::noop().clone());
    host.submit(Duration::ZERO, control(1, common::standard(0, 9, 1, 0, 0)));
    assert_eq!(host.poll(Duration::ZERO).unwrap().status, Ok(0));
    for id in 2..4 {
        host.submit(Duration::ZERO, transfer(id, BULK_IN, &[], 64));
    }
    host.submit(Duration::ZERO, control(4, Setup::vendor_out(LEAVE, 250, 0, 0)));
    // It has left: this one does not reach it any more.
    host.submit(Duration::ZERO, control(5, Setup::vendor_in(COUNT, 0, 0, 1)));
    let ended: Vec<Reply> = core::iter::from_fn(|| host.poll(Duration::ZERO)).collect();
    let ended: Vec<_> = ended.into_iter().map(|reply| (reply.id.0, reply.status)).collect();
    let gone = Err(TransferError::Shutdown);
    assert_eq!(ended, [(4, Ok(0)), (2, gone), (3, gone), (5, gone)]);
    assert_eq!(seen.cancelled.load(Ordering::SeqCst), 1, "the function held the first of two");
    assert_eq!(host.departure(), Some(Departure { back_after: Some(Duration::from_millis(250)) }));
    assert_eq!(host.next_deadline(), None);
    let again = FunctionHost::new(host.into_function());
    assert_eq!((again.descriptors().speed, again.departure()), (Speed::Super, None));
}

#[test]
fn h6_a_device_that_leaves_comes_back_as_another_one_in_the_same_port() {
    let rig = rig();
    let mut events = rig.controller.hotplug();
    let first = rig.port.device();
    assert!(matches!(block_on(events.next()), Some(HotplugEvent::Arrived(device)) if device == first));
    let worked = rig.kernel.handle().spawn("driver", move |cpu| async move {
        let reading = first.submit(Urb::bulk_in(BULK_IN, 64));
        assert_eq!(first.submit(leave(300)).await.status, Ok(()));
        let left = cpu.now();
        assert_eq!(reading.await.status, Err(TransferError::Shutdown));
        first.closed().await;
        assert!(first.is_unplugged());
        assert_eq!(first.submit(count()).await.status, Err(TransferError::Shutdown));
        let second = back(&first).await;
        assert_eq!(cpu.now() - left, Duration::from_millis(300));
        // There is nobody else to come.
        assert_eq!(back(&first).await, second);
        assert_eq!(second.submit(count()).await.into_result().unwrap()[..], [2]);
        (first, second)
    });
    let (first, second) = block_on(worked.unwrap()).unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(first.info().location, second.info().location);
    assert_eq!((first.speed(), second.speed()), (Speed::High, Speed::Super));
    assert_eq!(second.endpoints().get(BULK_IN).map(|endpoint| endpoint.max_packet_size), Some(1024));
    assert_eq!(rig.port.device(), second);
    assert!(rig.controller.devices().iter().eq([&second]));
    let mut next = || block_on(events.next()).unwrap();
    assert!(matches!(next(), HotplugEvent::Left(id) if id == first.id()));
    assert!(matches!(next(), HotplugEvent::Arrived(device) if device == second));
    drop(rig.port);
    block_on(second.closed());
    assert_eq!(rig.seen.dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn h6_a_device_that_does_not_come_back_is_waited_for_no_longer_than_asked() {
    let rig = rig();
    let device = rig.port.device();
    let limit = Duration::from_millis(1500);
    let worked = rig.kernel.handle().spawn("driver", move |cpu| async move {
        device.submit(leave(0xffff)).await.status.unwrap();
        let begin = cpu.now();
        let late = device.returned(limit).await.unwrap_err();
        (late, cpu.now() - begin)
    });
    let (late, waited) = block_on(worked.unwrap()).unwrap();
    assert_eq!(late, ReturnError::Late { limit, problem: None });
    assert_eq!(late.to_string(), "it did not come back within 1.5 s");
    assert_eq!(waited, limit);
    assert_eq!(rig.seen.dropped.load(Ordering::SeqCst), 1, "it is gone for good");
}

#[test]
fn h6_a_port_that_lets_go_ends_the_wait_and_nobody_comes_back() {
    for unplug_after_ms in [0, 1, 50, 99] {
        let rig = rig();
        let (device, port, clock) = (rig.port.device(), rig.port, rig.clock.clone());
        let worked = rig.kernel.handle().spawn("driver", move |cpu| async move {
            device.submit(leave(100)).await.status.unwrap();
            device.closed().await;
            cpu.msleep(unplug_after_ms).await;
            let begin = cpu.now();
            let waiting = cpu.spawn("waiting", {
                let device = device.clone();
                move |_| async move { device.returned(Duration::from_secs(5)).await }
            });
            cpu.yield_now().await;
            drop(port);
            assert_eq!(waiting.await.unwrap(), Err(ReturnError::LetGo));
            assert_eq!(cpu.now(), begin);
            assert_eq!(device.returned(Duration::from_secs(5)).await, Err(ReturnError::LetGo));
            // Whoever kept it for its return has let go as well.
            cpu.msleep(1).await;
        });
        block_on(worked.unwrap()).unwrap();
        assert_eq!(rig.seen.dropped.load(Ordering::SeqCst), 1, "{unplug_after_ms} ms");
        assert_eq!(rig.seen.plugged.load(Ordering::SeqCst), 1, "{unplug_after_ms} ms");
        assert!(rig.controller.devices().is_empty());
        drop(clock);
    }
}

#[test]
fn h6_the_end_of_the_kernel_ends_the_wait_and_the_device_that_is_away() {
    let rig = rig();
    let device = rig.port.device();
    let clock = rig.clock.hold();
    block_on(device.submit(leave(60_000))).status.unwrap();
    block_on(device.closed());
    let waiting = std::thread::spawn(move || block_on(device.returned(Duration::from_secs(3600))));
    block_on(rig.kernel.shutdown());
    assert_eq!(waiting.join().unwrap(), Err(ReturnError::LetGo));
    // A thread of its own does so.
    block_on(rig.port.close());
    assert_eq!(rig.seen.dropped.load(Ordering::SeqCst), 1);
    drop(clock);
}

#[test]
fn a5_a_wait_that_is_dropped_leaves_no_task() {
    let rig = rig();
    let device = rig.port.device();
    let worked = rig.kernel.handle().spawn("driver", move |cpu| async move {
        device.submit(leave(200)).await.status.unwrap();
        let tasks = |cpu: &airlift_runtime::Cpu| {
            let running = cpu.kernel().stats().tasks.into_iter().map(|task| task.name);
            running.filter(|name| name == "hcd wait").count()
        };
        for _ in 0..10 {
            let waiting = cpu.spawn("waiting", {
                let device = device.clone();
                move |cpu| async move {
                    let wait = core::pin::pin!(device.returned(Duration::from_secs(5)));
                    let pause = core::pin::pin!(cpu.msleep(1));
                    drop(futures::future::select(wait, pause).await);
                }
            });
            drop(waiting.await);
            cpu.msleep(1).await;
        }
        assert_eq!(tasks(&cpu), 0);
        back(&device).await
    });
    let second = block_on(worked.unwrap()).unwrap();
    assert_eq!(rig.port.device(), second);
    drop(second);
    drop(rig.port);
    let report = block_on(async {
        rig.kernel.handle().spawn("last", |cpu| async move { cpu.msleep(1).await }).unwrap().await.unwrap();
        rig.kernel.shutdown().await
    });
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn h6_a_device_that_leaves_again_and_again_costs_a_debounce_each_time_and_no_memory() {
    let (mut chameleon, seen) = Chameleon::new();
    chameleon.restless = u32::MAX;
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().name("restless").clock(clock.clone()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let _still = clock.hold();
    let port = controller.plug(chameleon);
    let mut events = controller.hotplug();
    drop(block_on(clock.run_until(DEBOUNCE * 200 + DEBOUNCE / 2)));
    drop(port);
    assert_eq!(seen.plugged.load(Ordering::SeqCst), 201);
    // A reader that did not look has nothing to read of those that are gone.
    assert!(controller.devices().is_empty());
    block_on(kernel.shutdown());
    let mut unread = 0;
    while block_on(events.next()).is_some() {
        unread += 1;
    }
    assert!(unread <= 2, "{unread} events");
}

#[test]
fn h5_layers_are_above_the_device_that_came_back_too() {
    let (chameleon, _seen) = Chameleon::new();
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().name("layers").clock(clock).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let round_trip = Duration::from_micros(125);
    let latency = Latency::new(LatencyModel { round_trip, posted: Duration::ZERO });
    let faults = Faults::new();
    let port = controller.plug_with(chameleon, &[&faults, &latency]);
    let device = port.device();
    let worked = kernel.handle().spawn("driver", move |cpu| async move {
        device.submit(leave(0)).await.status.unwrap();
        let second = back(&device).await;
        let begin = cpu.now();
        second.submit(count()).await.status.unwrap();
        assert_eq!(cpu.now() - begin, round_trip);
    });
    block_on(worked.unwrap()).unwrap();
    assert_eq!((faults.seen(), latency.counters().control_transfers), (2, 2));
}

#[test]
fn h6_a_device_that_leaves_before_it_is_connected_does_not_take_its_successors_place() {
    let (mut chameleon, _seen) = Chameleon::new();
    chameleon.restless = 1;
    let kernel = Kernel::builder().name("early").clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let late = Odd { attempts: Arc::default(), fails: 0..0, until: Some(controller.clone()) };
    let port = controller.plug_with(chameleon, &[&late]);
    let second = port.device();
    assert_eq!(second.speed(), Speed::Super);
    assert!(!second.is_unplugged());
    assert!(controller.devices().iter().eq([&second]));
    drop(port);
    block_on(second.closed());
}

#[test]
fn h6_a_function_that_panics_instead_of_coming_back_is_told_of_at_once() {
    let (mut chameleon, seen) = Chameleon::new();
    chameleon.broken = true;
    let kernel = Kernel::builder().name("broken").clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = controller.plug(chameleon);
    let device = port.device();
    let worked = kernel.handle().spawn("driver", move |cpu| async move {
        device.submit(leave(300)).await.status.unwrap();
        let begin = cpu.now();
        let gone = device.returned(Duration::from_secs(3600)).await;
        (gone, cpu.now() - begin)
    });
    let (gone, waited) = block_on(worked.unwrap()).unwrap();
    assert_eq!((gone, waited), (Err(ReturnError::LetGo), Duration::from_millis(300)));
    assert_eq!(seen.dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn a2_a_functions_code_never_runs_on_the_kernel_core() {
    for comes_back in [true, false] {
        let rig = rig();
        let (device, port) = (rig.port.device(), rig.port);
        let worked = rig.kernel.handle().spawn("driver", move |cpu| async move {
            device.submit(leave(100)).await.status.unwrap();
            device.closed().await;
            if comes_back {
                drop(back(&device).await);
            }
            drop(port);
            cpu.msleep(1).await;
            std::thread::current().name().map(str::to_owned)
        });
        let kernel = block_on(worked.unwrap()).unwrap().unwrap();
        let threads = rig.seen.threads.lock().unwrap().clone();
        assert_eq!(threads.len(), if comes_back { 3 } else { 2 }, "{threads:?}");
        assert!(!threads.contains(&kernel), "{threads:?}");
    }
}

/// Both halves of a race: the port is dropped as the device comes back.
#[test]
fn h6_a_device_that_comes_back_as_its_port_is_dropped_is_unplugged_or_never_plugged() {
    for round in 0..40 {
        let rig = rig();
        let (device, port) = (rig.port.device(), rig.port);
        let early = round % 2 == 0;
        let worked = rig.kernel.handle().spawn("driver", move |cpu| async move {
            device.submit(leave(0)).await.status.unwrap();
            device.closed().await;
            if early {
                // The two timers are due together.
                cpu.sleep(DEBOUNCE).await;
            } else {
                drop(back(&device).await);
            }
            drop(port);
            cpu.msleep(1).await;
        });
        block_on(worked.unwrap()).unwrap();
        assert!(rig.controller.devices().is_empty());
        assert!(early || rig.seen.plugged.load(Ordering::SeqCst) == 2);
        block_on(rig.kernel.shutdown());
        assert_eq!(rig.seen.dropped.load(Ordering::SeqCst), 1);
    }
}

/// A function that leaves as soon as it is there, and takes its time when it is dropped.
struct Reluctant {
    left: bool,
    dropping: mpsc::Sender<()>,
    go_on: mpsc::Receiver<()>,
}

impl UsbFunction for Reluctant {
    fn descriptors(&self) -> Descriptors {
        Gadget::new().0.descriptors()
    }

    fn departs(&mut self, _: Duration) -> Option<Departure> {
        let leaves = !std::mem::replace(&mut self.left, true);
        leaves.then_some(Departure { back_after: Some(Duration::from_secs(3600)) })
    }

    fn submit(&mut self, _: Duration, urb: FunctionUrb) -> Submit {
        urb.ok().into()
    }
}

impl Drop for Reluctant {
    fn drop(&mut self) {
        _ = self.dropping.send(());
        _ = self.go_on.recv();
    }
}

/// A layer that keeps its device's thread where the device is gone and nobody has the function yet.
#[derive(Clone)]
struct Between {
    gone: mpsc::Sender<()>,
    go_on: Arc<Mutex<mpsc::Receiver<()>>>,
}

struct AboveIt(Arc<dyn Upcall>, Between);

impl Layer for Between {
    fn wrap(
        &self,
        _: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<dyn Backend>> {
        below(Arc::new(AboveIt(upcall, self.clone())))
    }
}

impl Upcall for AboveIt {
    fn give_back(&self, replies: &mut Vec<Reply>) {
        self.0.give_back(replies);
    }

    fn gone(&self) {
        self.0.gone();
        _ = self.1.gone.send(());
        _ = self.1.go_on.lock().unwrap().recv();
    }
}

#[test]
fn a4_a_port_that_closes_just_as_its_function_has_left_waits_until_that_is_dropped() {
    let kernel = Kernel::builder().name("between").clock(Clock::system()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let (dropping, is_dropped) = mpsc::channel();
    let (finish_drop, go_on) = mpsc::channel();
    let function = Reluctant { left: false, dropping, go_on };
    let (gone, is_gone) = mpsc::channel();
    let (keep_it, go_on) = mpsc::channel();
    let between = Between { gone, go_on: Arc::new(Mutex::new(go_on)) };
    let port = controller.plug_with(function, &[&between]);
    let device = port.device();
    is_gone.recv().unwrap();
    port.unplug();
    keep_it.send(()).unwrap();
    is_dropped.recv().unwrap();
    block_on(device.closed());
    let mut context = Context::from_waker(Waker::noop());
    let mut closed = Box::pin(controller.closed());
    assert!(closed.as_mut().poll(&mut context).is_pending());
    let mut close = Box::pin(port.close());
    assert!(close.as_mut().poll(&mut context).is_pending());
    finish_drop.send(()).unwrap();
    block_on(close);
    block_on(closed);
}
