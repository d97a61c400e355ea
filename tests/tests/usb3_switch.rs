//! The switch from USB 2 to USB 3: an adapter whose EFUSE asks for it leaves and comes back, the driver waits for it,
//! and goes on with what it gets. On the virtual clock.

mod common;

use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use airlift_emu::{Access, Air, Model, Personality};
use airlift_hcd::{
    Backend, Connect, DeviceOp, FlatUrb, Layer, LayerContext, Speed, TransferType, Upcall, UrbId,
};
use airlift_wifi::{Delivery, ErrorKind, Stage, TxFrame, UsbSwitch};
use common::options_of;
use common::usb3::{Rig, SWITCHED, asking, switches};
use futures::StreamExt as _;

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
