//! What goes wrong: stuck polls, bad firmware, an adapter that is pulled out, futures that are dropped.

mod common;

use core::time::Duration;

use airlift_emu::{Air, Personality, Poll, Rtl8812au, stand_in_firmware};
use airlift_wifi::{Channel, ErrorKind, Firmware, Stage, StreamEnd, Width, Wlan, WlanOptions};
use common::{Bench, options};
use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};

/// Each fault is named with its stage and register, and is gone once the chip behaves.
#[tokio::test]
async fn w6_a_stuck_poll_names_stage_and_register_and_bring_up_can_be_retried() {
    for (poll, stage, register) in [
        (Poll::PowerReady, Stage::Power, "0x0006"),
        (Poll::MacOn, Stage::Power, "SYS_PW_CTRL+1"),
        (Poll::PageList, Stage::Queues, "LLT_INIT"),
        (Poll::Checksum, Stage::Firmware, "MCUFW_CTRL"),
        (Poll::FirmwareReady, Stage::Firmware, "MCUFW_CTRL"),
        (Poll::Efuse, Stage::Efuse, "EFUSE_CTRL"),
    ] {
        let bench = Bench::ordinary();
        bench.probe.stick_poll(poll);
        let error = bench.attach().await.expect_err("a stuck poll");
        assert_eq!(error.stage(), stage, "{poll:?}: {error}");
        let text = error.to_string();
        assert!(text.contains(register) && text.contains("expected"), "{poll:?}: {text}");
        assert!(error.is_retryable() && error.hint().is_some(), "{error:?}");
        bench.probe.unstick();
        let wlan = bench.attach().await.unwrap_or_else(|error| panic!("retry after {poll:?}: {error}"));
        wlan.down().await.unwrap();
    }
}

#[tokio::test]
async fn w6_personalities_from_the_field_fail_by_name() {
    for (personality, stage) in [
        (Personality::ChecksumFails, Stage::Firmware),
        (Personality::McuNeverBoots, Stage::Firmware),
        (Personality::StuckPoll(Poll::DownloadEnable), Stage::Firmware),
        (Personality::Silent { after: 1_000 }, Stage::Efuse),
    ] {
        let bench = Bench::new(Rtl8812au::builder().personality(personality));
        match bench.attach().await {
            Err(error) => assert_eq!(error.stage(), stage, "{personality:?}: {error}"),
            // Mainline goes on when the enable bit does not read back; the chip decides.
            Ok(wlan) => {
                assert_eq!(personality, Personality::StuckPoll(Poll::DownloadEnable));
                wlan.down().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn w6_a_slow_chip_is_waited_for() {
    let bench = Bench::new(Rtl8812au::builder().personality(Personality::Slow(50)));
    let wlan = bench.attach().await.unwrap();
    let fast = Bench::ordinary();
    let twin = fast.attach().await.unwrap();
    assert_eq!(bench.probe.llt(), fast.probe.llt());
    assert_eq!(wlan.mac_address(), twin.mac_address());
    bench.assert_no_violations();
    wlan.down().await.unwrap();
    twin.down().await.unwrap();
}

#[tokio::test]
async fn w4_firmware_that_does_not_fit_is_refused_before_the_chip_is_touched() {
    let mut truncated = stand_in_firmware();
    truncated.truncate(1_000);
    let mut other = stand_in_firmware();
    other[..2].copy_from_slice(&0x2101_u16.to_le_bytes());
    for (data, says) in [(truncated, "truncated"), (other, "RTL8821A"), (Vec::new(), "truncated")] {
        let bench = Bench::ordinary();
        let options = WlanOptions::new().firmware(Firmware::bytes("test image", data));
        let error = bench.attach_with(options).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(matches!(error.kind(), ErrorKind::FirmwareInvalid { .. }), "{error:?}");
        assert_eq!(bench.latency.counters().control_transfers, 0);
    }
}

#[tokio::test]
async fn w4_missing_firmware_says_where_it_looked_and_what_to_install() {
    let bench = Bench::ordinary();
    let options = WlanOptions::new().firmware(Firmware::Directory("/nonexistent/airlift".into()));
    let error = bench.attach_with(options).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/airlift/rtw88/rtw8812a_fw.bin"), "{error}");
    assert!(error.hint().unwrap().contains("firmware-realtek"));
}

#[tokio::test]
async fn w6_an_unknown_device_is_refused_by_name_and_can_be_told_its_chip() {
    let bench = Bench::new(Rtl8812au::builder().identity(0x0bda, 0xb812));
    let error = bench.attach().await.unwrap_err();
    assert!(error.to_string().contains("0bda:b812"), "{error}");
    assert!(error.hint().unwrap().contains("WlanOptions::chip"));
    let wlan = bench.attach_with(options().chip(airlift_wifi::Chip::Rtl8812au)).await.unwrap();
    wlan.down().await.unwrap();
}

/// Unplugs when the chip has seen so many transfers; the adapter says what came of it.
#[tokio::test]
async fn w6_unplugged_at_any_time_during_bring_up_it_ends_as_unplugged() {
    let whole = {
        let bench = Bench::ordinary();
        let wlan = bench.attach().await.unwrap();
        let time = bench.clock.now();
        wlan.down().await.unwrap();
        time
    };
    for part in 0..24_u32 {
        let bench = Bench::ordinary();
        let at = whole * part / 24;
        let clock = bench.clock.clone();
        let handle = bench.kernel.handle();
        let port = bench.port;
        handle
            .spawn("unplug", move |cpu| async move {
                cpu.sleep_until(at).await;
                drop(port);
            })
            .unwrap();
        let device = bench.controller.devices().into_iter().next();
        let Some(device) = device else { continue };
        let result = Wlan::attach(device, options()).await;
        drop(clock);
        match result {
            Err(error) => assert!(error.is_unplugged(), "at {at:?}: {error}"),
            Ok(wlan) => assert!(matches!(wlan.closed().await, StreamEnd::Unplugged)),
        }
    }
}

#[tokio::test]
async fn w6_unplugged_while_it_is_up_everything_ends_as_unplugged() {
    let air = Air::default_scene(1);
    let bench = Bench::new(Rtl8812au::builder().air(&air));
    let wlan = bench.attach().await.unwrap();
    let mut frames = wlan.frames();
    assert!(frames.next().await.is_some());
    bench.port.unplug();
    assert!(matches!(wlan.closed().await, StreamEnd::Unplugged));
    while frames.next().await.is_some() {}
    assert!(matches!(frames.end(), Some(StreamEnd::Unplugged)));
    let channel = Channel::new(6, Width::Mhz20).unwrap();
    assert!(wlan.set_channel(channel).await.unwrap_err().is_unplugged());
    wlan.down().await.expect("down is down");
}

#[tokio::test]
async fn w6_unplugged_before_bring_up_it_says_so() {
    let bench = Bench::ordinary();
    let device = bench.device();
    bench.port.unplug();
    device.closed().await;
    assert!(Wlan::attach(device, options()).await.unwrap_err().is_unplugged());
}

/// Dropping `attach` at any await gives the interface up; the adapter can be brought up again.
#[tokio::test]
async fn w6_a_bring_up_that_is_dropped_at_any_time_leaves_the_adapter_usable() {
    for part in 0..12_u32 {
        let bench = Bench::ordinary();
        let clock = bench.clock.clone();
        let at = Duration::from_millis(45) * part;
        {
            let attach = Box::pin(bench.attach());
            let later = Box::pin(async {
                drop(clock.run_until(at).await);
            });
            match select(attach, later).await {
                Either::Left((result, _)) => drop(result.unwrap()),
                Either::Right(((), attach)) => drop(attach),
            }
        }
        // The earlier driver may be switching the chip off meanwhile: it has ended when its URBs are back.
        let handle = bench.kernel.handle();
        let settled = handle.spawn("settle", |cpu| async move { cpu.msleep(3_000).await }).unwrap();
        settled.await.unwrap();
        assert_eq!(bench.device().pending(), 0, "part {part}");
        let wlan = bench.attach().await.unwrap_or_else(|error| panic!("part {part}: {error}"));
        wlan.down().await.unwrap();
        bench.assert_no_violations();
        bench.shutdown().await;
    }
}

#[tokio::test]
async fn a5_a_command_whose_future_is_dropped_is_still_carried_out() {
    let bench = Bench::ordinary();
    let wlan = bench.attach().await.unwrap();
    let channel = Channel::new(36, Width::Mhz80).unwrap();
    assert!(wlan.set_channel(channel).now_or_never().is_none());
    // The next command is behind it.
    wlan.set_tx_power(None).await.unwrap();
    assert_eq!(wlan.channel(), Some(channel));
    wlan.down().await.unwrap();
}

#[tokio::test]
async fn a4_down_returns_when_no_urb_is_left_and_the_chip_is_off() {
    let bench = Bench::ordinary();
    let wlan = bench.attach().await.unwrap();
    let twin = wlan.clone();
    wlan.down().await.unwrap();
    assert_eq!(bench.device().pending(), 0);
    assert!(!bench.probe.firmware_runs());
    twin.down().await.expect("again is no error");
    assert!(matches!(twin.closed().await, StreamEnd::Down));
    let channel = Channel::new(1, Width::Mhz20).unwrap();
    assert_eq!(*twin.set_channel(channel).await.unwrap_err().kind(), ErrorKind::Down);
    bench.shutdown().await;
}

#[tokio::test]
async fn a4_the_last_handle_dropped_takes_the_interface_down() {
    let bench = Bench::ordinary();
    let wlan = bench.attach().await.unwrap();
    let mut frames = wlan.frames();
    drop(wlan.clone());
    drop(wlan);
    while frames.next().await.is_some() {}
    assert!(matches!(frames.end(), Some(StreamEnd::Down)));
    assert_eq!(bench.device().pending(), 0);
    assert!(!bench.probe.firmware_runs());
}

#[tokio::test]
async fn a6_a_kernel_that_shuts_down_ends_the_interface_and_its_streams() {
    let air = Air::default_scene(1);
    let bench = Bench::new(Rtl8812au::builder().air(&air));
    let wlan = bench.attach().await.unwrap();
    let mut frames = wlan.frames();
    frames.next().await.unwrap();
    drop(bench.kernel.shutdown().await);
    while frames.next().await.is_some() {}
    assert!(frames.end().is_some());
    wlan.closed().await;
    assert!(wlan.calibrate().await.is_err());
}

/// A1: without a kernel it makes its own, on the system's clock, and that ends with it.
#[tokio::test]
async fn a1_an_interface_without_a_kernel_has_one_of_its_own() {
    let adapter = Rtl8812au::builder().air(&Air::default_scene(1)).build();
    let probe = adapter.probe();
    let wlan = Wlan::open(adapter, options()).await.unwrap();
    let mut frames = wlan.frames();
    assert!(frames.next().await.is_some());
    wlan.down().await.unwrap();
    assert!(!probe.firmware_runs());
    assert!(probe.violations().is_empty(), "{:?}", probe.violations());
}

/// A3: host-side futures need no reactor of tokio's.
#[test]
fn a3_an_interface_works_without_tokio() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let bench = Bench::ordinary();
    let wlan = futures::executor::block_on(is_send(bench.attach())).unwrap();
    futures::executor::block_on(is_send(wlan.down())).unwrap();
}
