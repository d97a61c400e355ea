//! A bus that fails: transfers end in error, nothing falls silent, and nothing holds up the end.

mod common;

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use airlift_emu::{Air, Probe, Rtl8812au};
use airlift_hcd::{
    Fault, FaultTarget, Faults, FunctionUrb, HostController, Reply, TransferError, TransferType,
};
use airlift_runtime::{Clock, Kernel};
use airlift_tests::meddled::{Meddled, Meddler};
use airlift_wifi::tx::InjectErrorKind;
use airlift_wifi::{Delivery, ErrorKind, StreamEnd, Wlan};
use common::options;
use futures::StreamExt;

/// A cable that loses every `every`-th bulk-in transfer.
struct BadCable {
    error: TransferError,
    every: u64,
    seen: Arc<AtomicU64>,
}

impl Meddler for BadCable {
    fn urb(&mut self, urb: FunctionUrb) -> Result<FunctionUrb, Reply> {
        if urb.endpoint() & 0x80 != 0 && urb.setup().is_none() {
            let count = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_multiple_of(self.every) {
                return Err(urb.fail(self.error));
            }
        }
        Ok(urb)
    }
}

struct Lab {
    kernel: Kernel,
    wlan: Wlan,
    probe: Probe,
    seen: Arc<AtomicU64>,
    _port: airlift_hcd::MockPort,
}

async fn lab(error: TransferError, every: u64) -> Lab {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let adapter = Rtl8812au::builder().air(&Air::default_scene(4)).build();
    let probe = adapter.probe();
    let seen = Arc::new(AtomicU64::new(0));
    let port = controller.plug(Meddled::new(adapter, BadCable { error, every, seen: seen.clone() }));
    let wlan = Wlan::attach(port.device(), options()).await.unwrap();
    Lab { kernel, wlan, probe, seen, _port: port }
}

#[tokio::test]
async fn w5_a_transfer_that_ends_in_error_is_counted_and_replaced() {
    for error in [TransferError::Protocol, TransferError::Overflow, TransferError::Stall] {
        let Lab { kernel, wlan, probe, seen, _port } = lab(error, 5).await;
        let mut frames = wlan.frames();
        for n in 0..60 {
            assert!(frames.next().await.is_some(), "{error}: frame {n}: {:?}", frames.end());
        }
        wlan.down().await.unwrap();
        let stats = wlan.stats();
        assert!(stats.failed_transfers >= 5, "{stats:?}");
        assert!(stats.failed_transfers <= seen.load(Ordering::Relaxed), "{stats:?}");
        assert!(!probe.firmware_runs());
        drop(kernel.shutdown().await);
    }
}

#[tokio::test]
async fn w6_an_adapter_that_stops_answering_after_a_stall_does_not_hold_up_the_end() {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let adapter = Rtl8812au::builder().air(&Air::default_scene(4)).build();
    let stalls = AtomicU64::new(0);
    let faults = Faults::new()
        .when(
            move |target| {
                target.transfer_type == TransferType::Bulk && stalls.fetch_add(1, Ordering::Relaxed) == 8
            },
            Fault::Fail(TransferError::Stall),
        )
        .when(ends_a_halt, Fault::Silence);
    let port = controller.plug_with(adapter, &[&faults]);
    let wlan = Wlan::attach(port.device(), options()).await.unwrap();
    // On the kernel core no time passes between what it is told and what it does.
    let life = kernel.handle().spawn("life", move |cpu| async move {
        let mut frames = wlan.frames();
        let mut seen = 0;
        while seen < 5 && frames.next().await.is_some() {
            seen += 1;
        }
        // By now the receive endpoint has halted, and the driver waits for the end of that.
        let before = cpu.now();
        wlan.down().await.unwrap();
        assert!(cpu.now() - before < Duration::from_secs(2), "{:?}", cpu.now() - before);
    });
    life.unwrap().await.unwrap();
    drop(kernel.shutdown().await);
}

/// The end of an endpoint's halt: CLEAR_FEATURE.
fn ends_a_halt(target: &FaultTarget) -> bool {
    target.setup.is_some_and(|setup| (setup.request_type, setup.request) == (2, 1))
}

#[tokio::test]
async fn w6_a_send_endpoint_whose_halt_does_not_end_holds_up_neither_reports_nor_the_end() {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let adapter = Rtl8812au::builder().air(&Air::quiet(4)).build();
    let sent = AtomicU64::new(0);
    let faults = Faults::new()
        .when(
            move |target| {
                target.endpoint & 0x80 == 0
                    && target.transfer_type == TransferType::Bulk
                    && sent.fetch_add(1, Ordering::Relaxed) == 1
            },
            Fault::Fail(TransferError::Stall),
        )
        .when(ends_a_halt, Fault::Silence);
    let port = controller.plug_with(adapter, &[&faults]);
    let wlan = Wlan::attach(port.device(), options()).await.unwrap();
    let frame = [&[8, 0, 0, 0][..], &[0xff; 6], &[2; 90]].concat();
    // On the kernel core no time passes between what it is told and what it does.
    let life = kernel.handle().spawn("life", move |cpu| async move {
        let (first, stalls) = (wlan.send(frame.clone()).await, wlan.send(frame.clone()).await);
        let error = stalls.await.unwrap_err();
        assert!(matches!(error.kind(), InjectErrorKind::Transfer(TransferError::Stall)), "{error}");
        assert!(error.may_have_been_sent());
        // The endpoint is halted from here on; the report of the frame before comes all the same.
        let before = cpu.now();
        let waits = wlan.send(frame).await;
        assert_eq!(first.await.unwrap().delivery, Delivery::Sent);
        wlan.down().await.unwrap();
        assert!(cpu.now() - before < Duration::from_millis(200), "{:?}", cpu.now() - before);
        assert!(!waits.await.unwrap_err().may_have_been_sent());
    });
    life.unwrap().await.unwrap();
    drop(kernel.shutdown().await);
}

#[tokio::test]
async fn w6_after_a_stall_frames_are_sent_on() {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let adapter = Rtl8812au::builder().air(&Air::quiet(4)).build();
    let (sent, cleared) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let count = cleared.clone();
    let faults = Faults::new()
        .when(
            move |target| {
                target.endpoint & 0x80 == 0
                    && target.transfer_type == TransferType::Bulk
                    && sent.fetch_add(1, Ordering::Relaxed).is_multiple_of(3)
            },
            Fault::Fail(TransferError::Stall),
        )
        .when(
            move |target| ends_a_halt(target) && count.fetch_add(1, Ordering::Relaxed) == u64::MAX,
            Fault::Silence,
        );
    let port = controller.plug_with(adapter, &[&faults]);
    let wlan = Wlan::attach(port.device(), options()).await.unwrap();
    let frame = [&[8, 0, 0, 0][..], &[0xff; 6], &[2; 90]].concat();
    for n in 0..12 {
        assert_eq!(wlan.inject(frame.clone()).await.is_err(), n % 3 == 0, "frame {n}");
    }
    wlan.down().await.unwrap();
    assert_eq!(cleared.load(Ordering::Relaxed), 4);
    drop(kernel.shutdown().await);
}

#[tokio::test]
async fn w5_reception_that_keeps_failing_ends_with_its_reason() {
    let Lab { kernel, wlan, probe, _port, .. } = lab(TransferError::Protocol, 1).await;
    let mut frames = wlan.frames();
    assert!(frames.next().await.is_none());
    let Some(StreamEnd::Failed(error)) = frames.end() else { panic!("{:?}", frames.end()) };
    let ErrorKind::Receive { attempts, source } = error.kind() else { panic!("{error:?}") };
    assert_eq!((*attempts, *source), (8, TransferError::Protocol));
    assert!(error.is_retryable() && error.hint().is_some());
    assert!(matches!(wlan.closed().await, StreamEnd::Failed(_)));
    assert!(!probe.firmware_runs(), "the chip was switched off");
    drop(kernel.shutdown().await);
}
