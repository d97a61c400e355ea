//! The switch from USB 2 to USB 3: an adapter whose EFUSE asks for it leaves and comes back, the driver waits for it,
//! and goes on with what it gets. On the virtual clock.

mod common;

use core::time::Duration;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock};

use airlift_emu::{Access, Air, Builder, Efuse, Model, Personality, Probe};
use airlift_hcd::{
    Backend, Connect, DeviceOp, Fault, Faults, FlatUrb, HostController, Layer, LayerContext, Port, Speed,
    TransferError, TransferType, Upcall, UrbId,
};
use airlift_runtime::{Clock, Kernel};
use airlift_wifi::{Delivery, Error, ErrorKind, Stage, TxFrame, UsbSwitch, Wlan, WlanOptions};
use common::options_of;
use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::future::{Either, select};

const SWITCHED: [Model; 2] = [Model::Rtl8812au, Model::Rtl8814au];

/// The writes of the switch, in mainline's order.
const WRITES: [(u16, u32); 5] = [(0x74, 0x08), (0x70, 0x02), (0x3e, 0x01), (0x3d, 0x03), (0x05, 0x80)];

/// An adapter whose EFUSE asks for USB 3, at high speed in a port that has it.
fn asking(model: Model) -> Builder {
    model.builder().efuse(Efuse::ordinary_of(model).with_usb3_switch()).usb3_port(true)
}

struct Rig {
    clock: Clock,
    kernel: Kernel,
    controller: HostController,
    port: Port,
    probe: Probe,
    model: Model,
}

impl Rig {
    fn new(adapter: Builder) -> Self {
        Self::behind(adapter, &[])
    }

    fn behind(adapter: Builder, layers: &[&dyn Layer]) -> Self {
        let clock = Clock::virtual_time();
        let kernel = Kernel::builder().clock(clock.clone()).build().unwrap();
        let controller = HostController::new(&kernel.handle()).unwrap();
        let adapter = adapter.build();
        let (probe, model) = (adapter.probe(), adapter.model());
        probe.start_log();
        let port = controller.plug_with(adapter, layers);
        Self { clock, kernel, controller, port, probe, model }
    }

    async fn attach(&self) -> Result<Wlan, Error> {
        self.attach_with(options_of(self.model)).await
    }

    async fn attach_with(&self, options: WlanOptions) -> Result<Wlan, Error> {
        Wlan::attach(self.port.device(), options).await
    }

    /// Lets time pass on the kernel.
    async fn pause(&self, time: Duration) {
        let paused = self.kernel.handle().spawn("pause", move |cpu| async move { cpu.sleep(time).await });
        paused.unwrap().await.unwrap();
    }

    /// Nothing of any interface is left on the kernel or on the bus.
    async fn end(self) {
        assert_eq!(self.probe.violations(), []);
        let device = self.port.device();
        drop(self.port);
        device.closed().await;
        assert_eq!(device.pending(), 0);
        drop((device, self.controller));
        // Whoever waits for a device hears that there is none.
        let paused = self.kernel.handle().spawn("last", |cpu| async move { cpu.msleep(1).await });
        paused.unwrap().await.unwrap();
        let report = self.kernel.shutdown().await;
        assert!(report.is_clean(), "{report:?}");
    }
}

/// The log's writes to the registers of the switch that carry out a switch: from the first to the last of them.
fn switches(log: &[Access]) -> usize {
    let writes: Vec<_> = log.iter().filter(|access| access.write && access.length == 1).collect();
    let made = |window: &[&Access]| window.iter().zip(WRITES).all(|(a, w)| (a.address, a.value) == w);
    writes.windows(WRITES.len()).filter(|window| made(window)).count()
}

#[tokio::test]
async fn w1_an_adapter_whose_efuse_asks_for_it_comes_back_at_super_speed_and_frames_flow() {
    for model in SWITCHED {
        let rig = Rig::new(asking(model).air(&Air::default_scene(1)));
        let before = rig.port.device();
        assert_eq!((before.speed(), rig.probe.departures()), (Speed::High, 0), "{model}");
        let wlan = rig.attach().await.unwrap();
        let stats = wlan.bring_up_stats();
        assert_eq!(stats.usb_switch, UsbSwitch::Done, "{model}");
        assert!(stats.duration > Duration::from_millis(350), "{model}: {stats:?}");
        assert_eq!((wlan.device_info().speed, rig.probe.departures()), (Speed::Super, 1), "{model}");
        assert_eq!((wlan.device_info(), before.is_unplugged()), (rig.port.device().info(), true), "{model}");
        assert_eq!(wlan.device_info().location, before.info().location, "{model}");
        let mut frames = wlan.frames();
        for _ in 0..20 {
            assert!(frames.next().await.is_some(), "{model}");
        }
        let log = rig.probe.take_log();
        assert_eq!(switches(&log), 1, "{model}");
        // Bursts are as long as super speed's packets.
        let burst = log.iter().rfind(|access| access.write && access.address == 0x290).unwrap().value;
        assert_eq!(burst >> 4 & 3, 0, "{model}: {burst:#x}");
        wlan.down().await.unwrap();
        drop((wlan, frames, before));
        rig.end().await;
    }
}

#[tokio::test]
async fn w1_told_not_to_switch_the_driver_writes_nothing_of_it() {
    for model in SWITCHED {
        let rig = Rig::new(asking(model).air(&Air::quiet(1)));
        let wlan = rig.attach_with(options_of(model).usb3_switch(false)).await.unwrap();
        assert_eq!(wlan.bring_up_stats().usb_switch, UsbSwitch::Off, "{model}");
        assert_eq!((wlan.device_info().speed, rig.probe.departures()), (Speed::High, 0), "{model}");
        wlan.down().await.unwrap();
        let log = rig.probe.take_log();
        let choice = |access: &&Access| match access.address {
            0x74 | 0x3d => access.write,
            // Each start resets what an earlier switch may have left there.
            0x70 | 0x3e => access.write && access.length == 1 && access.value & 0x03 != 0,
            0x05 => access.write && access.value & 0x80 != 0,
            _ => false,
        };
        let written: Vec<_> = log.iter().filter(choice).collect();
        assert!(written.is_empty(), "{model}: {written:?}");
        assert!(!log.iter().any(|access| access.address == 0x74), "{model}: nor does it look");
        drop(wlan);
        rig.end().await;
    }
}

#[tokio::test]
async fn w1_where_nothing_asks_for_usb_3_nothing_is_switched() {
    let ordinary = |model: Model| model.builder().usb3_port(true);
    let cases = [
        (ordinary(Model::Rtl8812au), Speed::High),
        (ordinary(Model::Rtl8814au), Speed::High),
        // It has no USB 3.
        (asking(Model::Rtl8821au), Speed::High),
        // It is there already.
        (asking(Model::Rtl8812au).speed(Speed::Super), Speed::Super),
        (asking(Model::Rtl8814au).speed(Speed::Super), Speed::Super),
        // USB 1 has nothing to be switched from.
        (asking(Model::Rtl8812au).speed(Speed::Full), Speed::Full),
    ];
    for (adapter, speed) in cases {
        let rig = Rig::new(adapter.air(&Air::quiet(1)));
        let wlan = rig.attach().await.unwrap();
        assert_eq!(wlan.bring_up_stats().usb_switch, UsbSwitch::NotAsked);
        assert_eq!((wlan.device_info().speed, rig.probe.departures()), (speed, 0));
        assert_eq!(switches(&rig.probe.take_log()), 0);
        wlan.down().await.unwrap();
        drop(wlan);
        rig.end().await;
    }
}

#[tokio::test]
async fn w1_in_a_port_without_usb_3_the_driver_goes_on_at_high_speed_and_does_not_ask_again() {
    for model in SWITCHED {
        let rig = Rig::new(asking(model).usb3_port(false).air(&Air::default_scene(1)));
        for attachment in 0..3 {
            let wlan = rig.attach().await.unwrap();
            let expected = if attachment == 0 { UsbSwitch::NoUsb3 } else { UsbSwitch::ToldBefore };
            assert_eq!(wlan.bring_up_stats().usb_switch, expected, "{model}: {attachment}");
            assert_eq!(wlan.device_info().speed, Speed::High, "{model}");
            assert!(wlan.frames().next().await.is_some(), "{model}");
            wlan.down().await.unwrap();
            assert_eq!(rig.probe.departures(), 1, "{model}: {attachment}");
        }
        assert_eq!(switches(&rig.probe.take_log()), 1, "{model}");
        rig.end().await;
    }
}

#[tokio::test]
async fn w1_an_adapter_that_forgets_that_it_was_switched_is_told_once_in_a_bring_up() {
    for model in SWITCHED {
        let forgetful = asking(model).usb3_port(false).personality(Personality::ForgetsUsbMode);
        let rig = Rig::new(forgetful.air(&Air::quiet(1)));
        for departures in 1..=2 {
            let wlan = rig.attach().await.unwrap();
            assert_eq!(wlan.bring_up_stats().usb_switch, UsbSwitch::NoUsb3, "{model}");
            assert_eq!(rig.probe.departures(), departures, "{model}");
            wlan.down().await.unwrap();
        }
        rig.end().await;
    }
}

#[tokio::test]
async fn a8_an_adapter_that_does_not_come_back_is_told_within_seconds_with_what_to_do() {
    let rig = Rig::new(asking(Model::Rtl8812au).personality(Personality::NeverReturns));
    let begin = rig.clock.now();
    let error = rig.attach().await.unwrap_err();
    let ErrorKind::NotBack { waited, problem: None } = error.kind() else { panic!("{error:?}") };
    assert_eq!((*waited, error.stage()), (Duration::from_secs(5), Stage::UsbSwitch));
    assert_eq!(error.to_string(), "the adapter left for USB 3 and did not come back within 5 s");
    assert!(error.hint().unwrap().contains("plug it into a USB 3 port"), "{:?}", error.hint());
    assert!(error.is_unplugged() && !error.is_retryable());
    // What came before is some 200 ms.
    let took = rig.clock.now() - begin;
    assert!((Duration::from_secs(5)..Duration::from_secs(6)).contains(&took), "{took:?}");
    rig.end().await;
}

#[tokio::test]
async fn w6_an_adapter_that_leaves_again_and_again_is_unplugged_each_time_and_nothing_goes_in_circles() {
    for model in SWITCHED {
        let length = {
            let rig = Rig::new(asking(model).air(&Air::quiet(1)));
            rig.attach().await.unwrap().bring_up_stats().transfers
        };
        // After the first of two bring-ups, in the middle of the second, and soon after both.
        for after in [length / 5, length / 2, length * 3 / 4] {
            let restless = asking(model).air(&Air::quiet(1)).personality(Personality::Leaves { after });
            let rig = Rig::new(restless);
            for _ in 0..3 {
                let begin = (rig.clock.now(), rig.probe.departures());
                let error = match rig.attach().await {
                    Ok(wlan) => loop {
                        if let Err(error) = wlan.set_tx_power(None).await {
                            break error;
                        }
                    },
                    Err(error) => error,
                };
                assert!(error.is_unplugged(), "{model}, {after}: {error:?}");
                assert!(rig.probe.departures() - begin.1 <= 2, "{model}, {after}");
                assert!(rig.clock.now() - begin.0 < Duration::from_secs(10), "{model}, {after}");
                // It is there again.
                rig.pause(Duration::from_secs(1)).await;
                assert!(!rig.port.device().is_unplugged(), "{model}, {after}");
            }
            rig.end().await;
        }
    }
}

/// The numbers of the URBs of a switch: its first write, and the one that makes the adapter leave; and of all.
async fn places(model: Model) -> (u64, u64, u64) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writes = seen.clone();
    let faults = Faults::new().when(
        move |target| {
            let write = target.setup.filter(|setup| !setup.is_in());
            writes.lock().unwrap().push((target.number, write.map(|setup| setup.value)));
            false
        },
        Fault::Silence,
    );
    let rig = Rig::behind(asking(model).air(&Air::quiet(1)), &[&faults]);
    let wlan = rig.attach().await.unwrap();
    let all = faults.seen();
    wlan.down().await.unwrap();
    let seen = seen.lock().unwrap();
    let place = |register: u16| {
        let found: Vec<_> = seen.iter().filter(|(_, value)| *value == Some(register)).collect();
        assert_eq!(found.len(), 1, "{register:#x}");
        found[0].0
    };
    let (first, last) = (place(0x74), place(0x3d) + 1);
    assert_eq!((first + 4, seen[last as usize - 1].1), (last, Some(0x05)));
    (first, last, all)
}

#[tokio::test]
async fn w6_unplugged_at_any_transfer_of_the_switch_it_ends_as_unplugged() {
    let model = Model::Rtl8812au;
    let (first, last, all) = places(model).await;
    // Switching off comes before it.
    let around = (first - 60..last + 30).chain((last..all).step_by(97));
    for k in around {
        let faults = Faults::new().at(k, Fault::Unplug);
        let rig = Rig::behind(asking(model).air(&Air::quiet(1)), &[&faults]);
        let error = rig.attach().await.unwrap_err();
        assert!(error.is_unplugged(), "{k}: {error:?}");
        assert!(rig.clock.now() < Duration::from_secs(10), "{k}: {:?}", rig.clock.now());
        rig.end().await;
    }
}

#[tokio::test]
async fn w6_unplugged_while_it_is_away_or_just_back_it_ends_as_unplugged() {
    for wait in (0..40).map(|step| Duration::from_millis(10) * step) {
        let (gone, left) = oneshot::channel();
        let gone = Mutex::new(Some(gone));
        let faults = Faults::new().when(
            move |target| {
                if target.setup.is_some_and(|setup| !setup.is_in() && setup.value == 0x3d)
                    && let Some(gone) = gone.lock().unwrap().take()
                {
                    let _ = gone.send(());
                }
                false
            },
            Fault::Silence,
        );
        let Rig { clock, kernel, controller, port, probe, model } =
            Rig::behind(asking(Model::Rtl8812au).air(&Air::quiet(1)), &[&faults]);
        let device = port.device();
        let unplugging = kernel.handle().spawn("hand", move |cpu| async move {
            left.await.unwrap();
            cpu.sleep(wait).await;
            drop(port);
        });
        let error = Wlan::attach(device.clone(), options_of(model)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unplugged), "{wait:?}: {error:?}");
        assert!(clock.now() < Duration::from_secs(1), "at once: {wait:?}");
        unplugging.unwrap().await.unwrap();
        device.closed().await;
        assert_eq!((device.pending(), controller.devices().len()), (0, 0), "{wait:?}");
        assert_eq!(probe.violations(), []);
        drop((device, controller));
        assert!(kernel.shutdown().await.tasks_dropped.iter().all(|name| !name.starts_with("wlan0")));
    }
}

#[tokio::test]
async fn a5_dropped_at_any_transfer_of_the_switch_or_while_it_is_away_nothing_is_left_and_it_comes_up_again()
{
    let model = Model::Rtl8812au;
    let (first, last, all) = places(model).await;
    let at = (first - 60..=last).step_by(3).chain(last - 5..=last).chain((last + 1..all).step_by(211));
    let at = at.map(|k| (k, Duration::ZERO));
    let away = (0..=24).map(|step| (last, Duration::from_millis(20) * step));
    for (k, wait) in at.chain(away) {
        let (reached, told) = oneshot::channel();
        let reached = Mutex::new(Some(reached));
        let faults = Faults::new().when(
            move |target| {
                if target.number == k
                    && let Some(reached) = reached.lock().unwrap().take()
                {
                    let _ = reached.send(());
                }
                false
            },
            Fault::Silence,
        );
        let rig = Rig::behind(asking(model).air(&Air::default_scene(1)), &[&faults]);
        let (device, options) = (rig.port.device(), options_of(model));
        let dropped = rig.kernel.handle().spawn("a life", move |cpu| async move {
            let attach = pin!(Wlan::attach(device, options));
            let cut = pin!(async {
                told.await.unwrap();
                cpu.sleep(wait).await;
            });
            matches!(select(attach, cut).await, Either::Right(_))
        });
        assert!(dropped.unwrap().await.unwrap(), "{k}: it came up before");
        // Time to switch off, and to come back.
        rig.pause(Duration::from_secs(2)).await;
        let device = rig.port.device();
        assert!(!device.is_unplugged() && device.pending() == 0, "{k}, {wait:?}");
        assert!(!rig.probe.firmware_runs(), "{k}, {wait:?}: switched off");
        let tasks: Vec<_> = rig.kernel.handle().stats().tasks.into_iter().map(|task| task.name).collect();
        let left = |name: &&String| name.starts_with("wlan0") || name.starts_with("hcd ");
        assert_eq!(tasks.iter().filter(left).count(), 0, "{k}, {wait:?}: {tasks:?}");
        let wlan = rig.attach().await.unwrap_or_else(|error| panic!("{k}, {wait:?}: {error}"));
        assert!(wlan.frames().next().await.is_some(), "{k}, {wait:?}");
        assert!(rig.probe.departures() <= 1, "{k}, {wait:?}");
        wlan.down().await.unwrap();
        drop((wlan, device));
        rig.end().await;
    }
}

#[tokio::test]
async fn w6_whatever_becomes_of_the_last_write_what_the_adapter_does_counts() {
    let model = Model::Rtl8814au;
    let (first, last, _) = places(model).await;
    // It has left before its answer came through.
    for fault in [Fault::Lose(TransferError::Protocol), Fault::Lose(TransferError::Timeout)] {
        let rig = Rig::behind(asking(model).air(&Air::quiet(1)), &[&Faults::new().at(last, fault)]);
        let wlan = rig.attach().await.unwrap();
        assert_eq!(wlan.bring_up_stats().usb_switch, UsbSwitch::Done, "{fault:?}");
        wlan.down().await.unwrap();
        drop(wlan);
        rig.end().await;
    }
    // It has heard nothing, and stays: that is told, and it comes up when it is asked again.
    let faults = [Fault::Fail(TransferError::Protocol), Fault::Fail(TransferError::Stall), Fault::Silence];
    for (k, fault) in (first..=last).flat_map(|k| faults.map(|fault| (k, fault))) {
        let rig = Rig::behind(asking(model).air(&Air::quiet(1)), &[&Faults::new().at(k, fault)]);
        let error = rig.attach().await.unwrap_err();
        assert_eq!(
            (error.stage(), error.is_retryable()),
            (Stage::UsbSwitch, true),
            "{k}, {fault:?}: {error}"
        );
        assert_eq!(rig.probe.departures(), 0, "{k}, {fault:?}");
        let wlan = rig.attach().await.unwrap_or_else(|error| panic!("{k}, {fault:?}: {error}"));
        // As for mainline: one that knows that it was told is not told again.
        let expected = if k == first { UsbSwitch::Done } else { UsbSwitch::ToldBefore };
        assert_eq!(wlan.bring_up_stats().usb_switch, expected, "{k}, {fault:?}");
        wlan.down().await.unwrap();
        drop(wlan);
        rig.end().await;
    }
}

#[tokio::test]
async fn w6_an_adapter_that_takes_what_it_is_told_and_stays_goes_on_as_it_is() {
    let model = Model::Rtl8812au;
    let rig = Rig::new(asking(model).strict(false).air(&Air::quiet(1)));
    rig.probe.bend(0x05, 0x80, 0x00);
    let wlan = rig.attach().await.unwrap();
    assert_eq!(wlan.bring_up_stats().usb_switch, UsbSwitch::Stayed);
    assert_eq!((wlan.device_info().speed, rig.probe.departures()), (Speed::High, 0));
    wlan.down().await.unwrap();
    drop(wlan);
    rig.end().await;
}

/// Bulk transfers as they go down: endpoint, length, whether an empty packet follows a full last one.
#[derive(Clone, Default)]
struct Bulk {
    out: Arc<Mutex<Vec<(u8, usize, bool)>>>,
    asked: Arc<Mutex<Vec<usize>>>,
}

struct BulkLink(Bulk, OnceLock<Arc<dyn Backend>>);

impl Layer for Bulk {
    fn wrap(
        &self,
        _: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<dyn Backend>> {
        Ok(Arc::new(BulkLink(self.clone(), OnceLock::from(below(upcall)?))))
    }
}

impl BulkLink {
    fn below(&self) -> &dyn Backend {
        &**self.1.get().expect("it was connected")
    }
}

impl Backend for BulkLink {
    fn submit(&self, urb: FlatUrb) {
        if urb.transfer_type == TransferType::Bulk && urb.is_in() {
            self.0.asked.lock().unwrap().push(urb.length);
        } else if urb.transfer_type == TransferType::Bulk {
            self.0.out.lock().unwrap().push((urb.endpoint, urb.length, urb.zero_packet));
        }
        self.below().submit(urb);
    }
    fn cancel(&self, id: UrbId) {
        self.below().cancel(id);
    }
    fn operate(&self, id: UrbId, op: DeviceOp) {
        self.below().operate(id, op);
    }
    fn close(&self) {
        self.below().close();
    }
    fn reap(&self) {
        self.below().reap();
    }
}

#[tokio::test]
async fn w3_at_super_speed_transfers_are_whole_packets_of_1024_or_end_with_a_short_one() {
    const PACKET: usize = 1024;
    for model in SWITCHED {
        let air = Air::quiet(1);
        let bulk = Bulk::default();
        let rig = Rig::behind(asking(model).air(&air), &[&bulk]);
        let wlan = rig.attach().await.unwrap();
        let device = rig.port.device();
        let sizes: Vec<u16> = device
            .configuration()
            .unwrap()
            .alternates()
            .flat_map(|setting| setting.endpoints().collect::<Vec<_>>())
            .filter(|endpoint| endpoint.transfer_type == TransferType::Bulk)
            .map(|endpoint| endpoint.max_packet_size)
            .collect();
        assert!(
            sizes.len() >= 3 && sizes.iter().all(|size| usize::from(*size) == PACKET),
            "{model}: {sizes:?}"
        );
        // What is received ends with a short packet or fills its URB.
        assert!(bulk.asked.lock().unwrap().iter().all(|length| length % PACKET == 0), "{model}");
        bulk.out.lock().unwrap().clear();
        // With 40 bytes of descriptor: a byte less than packets of 512 and 1024, as much, a byte more.
        let lengths: Vec<usize> =
            [512, 1024, 2048].into_iter().flat_map(|all: usize| [all - 41, all - 40, all - 39]).collect();
        for length in &lengths {
            let mut frame = vec![0x08, 0, 0, 0];
            frame.resize(*length, 0xff);
            let outcome = wlan.inject(TxFrame::new(frame)).await.unwrap();
            assert_ne!(outcome.delivery, Delivery::NotAcknowledged, "{model}: {length}");
        }
        let out = bulk.out.lock().unwrap().clone();
        assert_eq!(
            out.iter().map(|urb| urb.1).collect::<Vec<_>>(),
            lengths.iter().map(|l| l + 40).collect::<Vec<_>>()
        );
        // An empty packet goes behind those that fill their last one, whatever its size: the controller knows that.
        assert!(out.iter().all(|urb| urb.2), "{model}: {out:?}");
        // Pages are the chip's, not the bus's.
        assert_eq!(rig.probe.transmit_stats().sent, lengths.len() as u64, "{model}");
        wlan.down().await.unwrap();
        drop((wlan, device));
        rig.end().await;
    }
}
