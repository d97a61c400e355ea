//! The switch from USB 2 to USB 3, cut: unplugged, dropped, or with transfers that fail on the way. Nothing hangs, and
//! nothing is left.

mod common;

use core::time::Duration;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use airlift_emu::{Air, Model, Personality};
use airlift_hcd::{Fault, Faults, TransferError};
use airlift_wifi::{ErrorKind, Stage, UsbSwitch, Wlan};
use common::options_of;
use common::usb3::{Rig, SWITCHED, asking};
use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::future::{Either, select};

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
