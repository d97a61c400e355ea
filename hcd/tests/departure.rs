//! Devices that drop themselves off the bus and come back as something else. Nothing hangs and nothing leaks.

mod common;

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use airlift_hcd::usbip::{ImportError, ImportOptions, Server, list_blocking};
use airlift_hcd::{
    Backend, Connect, Departure, Descriptors, Faults, FunctionHost, FunctionUrb, HostController,
    HotplugEvent, Latency, LatencyModel, Layer, LayerContext, Port, Reply, ReturnError, Setup, Speed, Submit,
    TransferError, Upcall, Urb, UrbId, UsbDevice, UsbFunction,
};
use airlift_runtime::{Clock, Kernel};
use common::{BULK_IN, DEVICE, block_on, configuration, control, transfer};
use futures::StreamExt as _;

/// Vendor request: leave, and be back after `value` milliseconds; 0xffff: never.
const LEAVE: u8 = 1;
/// Vendor request: leave, and be back after `value` seconds.
const LEAVE_FOR_LONG: u8 = 3;
/// Vendor request: how often it was plugged in.
const COUNT: u8 = 2;
/// The least time away.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// What a test looks at from outside.
#[derive(Default)]
struct Seen {
    plugged: AtomicU32,
    dropped: AtomicU32,
    cancelled: AtomicU32,
    /// Names of the threads that asked for its descriptors or dropped it.
    threads: Mutex<Vec<String>>,
}

impl Seen {
    fn note_thread(&self) {
        self.threads.lock().unwrap().push(std::thread::current().name().unwrap_or_default().into());
    }
}

/// Leaves when it is told to, and comes back at the other one of two speeds.
struct Chameleon {
    seen: Arc<Seen>,
    speed: Speed,
    leaving: Option<Departure>,
    parked: Vec<FunctionUrb>,
    /// How often it leaves as soon as it is there.
    restless: u32,
    /// It panics when it is to say what it is at super speed.
    broken: bool,
}

impl Chameleon {
    fn new() -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let parked = Vec::new();
        let (speed, leaving) = (Speed::High, None);
        (Self { seen: seen.clone(), speed, leaving, parked, restless: 0, broken: false }, seen)
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

fn leave(milliseconds: u16) -> Urb {
    Urb::control_out(Setup::vendor_out(LEAVE, milliseconds, 0, 0), [])
}

fn count() -> Urb {
    Urb::control_in(Setup::vendor_in(COUNT, 0, 0, 1))
}

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
    while rig.seen.dropped.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
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
fn h4_a_device_that_leaves_its_usbip_server_is_imported_anew_at_its_new_speed() {
    let (chameleon, seen) = Chameleon::new();
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(chameleon)).start().unwrap();
    let address = server.address().to_string();
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[])).unwrap();
    let first = port.device();
    let reading = first.submit(Urb::bulk_in(BULK_IN, 64));
    assert_eq!(block_on(first.submit(leave(0))).status, Ok(()));
    assert_eq!(block_on(reading).status, Err(TransferError::Shutdown));
    block_on(first.closed());
    let second = block_on(first.returned(Duration::from_secs(300))).unwrap();
    assert_eq!((first.speed(), second.speed()), (Speed::High, Speed::Super));
    assert_eq!(second.info().location, first.info().location);
    assert_eq!(second.endpoints().get(BULK_IN).map(|endpoint| endpoint.max_packet_size), Some(1024));
    assert_eq!(block_on(second.submit(count())).into_result().unwrap()[..], [2]);
    assert_eq!(port.device(), second);
    // A server that lost it for good says so.
    assert_eq!(block_on(second.submit(leave(0xffff))).status, Ok(()));
    block_on(second.closed());
    let late = block_on(second.returned(Duration::from_millis(300))).unwrap_err();
    let ReturnError::Late { problem: Some(problem), .. } = late else { panic!("{late:?}") };
    assert!(problem.contains("exports no device 1-1"), "{problem}");
    assert_eq!(seen.dropped.load(Ordering::SeqCst), 1);
    drop(port);
    server.stop_blocking();
}

#[test]
fn h4_a_device_that_is_away_is_not_on_its_servers_list() {
    let (chameleon, _seen) = Chameleon::new();
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(chameleon)).start().unwrap();
    let address = server.address().to_string();
    let list = || list_blocking(&address, &ImportOptions::new()).unwrap();
    let before = list();
    assert_eq!(before.len(), 1);
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[])).unwrap();
    let device = port.device();
    let hour = Urb::control_out(Setup::vendor_out(LEAVE_FOR_LONG, 3_600, 0, 0), []);
    assert_eq!(block_on(device.submit(hour)).status, Ok(()));
    block_on(device.closed());
    while server.is_imported("1-1") {
        std::thread::yield_now();
    }
    assert_eq!(list(), []);
    drop(port);
    server.stop_blocking();
}

/// Some attempts to connect fail, or come to their end late.
#[derive(Clone)]
struct Odd {
    attempts: Arc<AtomicU32>,
    fails: core::ops::Range<u32>,
    /// The first one's end waits until this has a device.
    until: Option<HostController>,
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

#[test]
fn h4_a_function_that_panics_instead_of_coming_back_is_off_its_servers_list() {
    let (mut chameleon, seen) = Chameleon::new();
    chameleon.broken = true;
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(chameleon)).start().unwrap();
    let address = server.address().to_string();
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let import = || block_on(controller.import(&address, "1-1", ImportOptions::new(), &[]));
    let port = import().unwrap();
    block_on(port.device().submit(leave(0))).status.unwrap();
    block_on(port.device().closed());
    while seen.dropped.load(Ordering::SeqCst) == 0 || server.is_imported("1-1") {
        std::thread::yield_now();
    }
    let error = import().unwrap_err();
    assert!(matches!(error, ImportError::NoDevice { .. }), "{error:?}");
    server.stop_blocking();
}

#[test]
fn h6_a_device_outside_that_cannot_be_connected_is_no_device_that_came_back() {
    let (chameleon, _seen) = Chameleon::new();
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(chameleon)).start().unwrap();
    let address = server.address().to_string();
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let layer = Odd { attempts: Arc::default(), fails: 2..4, until: None };
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[&layer])).unwrap();
    let first = port.device();
    block_on(first.submit(leave(0))).status.unwrap();
    let second = block_on(first.returned(Duration::from_secs(300))).unwrap();
    assert!(!second.is_unplugged());
    assert!(controller.devices().iter().eq([&second]), "those that failed never were there");
    assert_eq!(block_on(second.submit(count())).into_result().unwrap()[..], [4]);
    assert_eq!(layer.attempts.load(Ordering::SeqCst), 4);
    drop(port);
    server.stop_blocking();
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
