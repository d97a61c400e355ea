//! Injection of 1,500-byte frames in numbers: processor time, allocations and copies for each.
//!
//! `cargo bench -p airlift-tests --bench inject`
//!
//! The first lines send to everyone from an emulated adapter, so that chip and air are counted too, on threads of their
//! own. The last ones put a device in its place that takes every frame at once and does nothing: what is left is the
//! application, the driver and the host controller. Processor time is that of each thread, as Linux tells it.

use core::time::Duration;
use std::alloc::System;
use std::collections::VecDeque;
use std::time::Instant;

use airlift_emu::{Air, Model};
use airlift_hcd::{FunctionUrb, HostController, Reply, UsbFunction};
use airlift_runtime::{Clock, Kernel};
use airlift_tests::meddled::{Meddled, Meddler};
use airlift_tests::processor::{Times, told};
use airlift_wifi::{Firmware, Rate, Ticket, TxFrame, Wlan, WlanOptions};
use bytes::Bytes;
use futures::executor::block_on;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tickets that are waited for at a time.
const AHEAD: usize = 48;

/// Before an adapter, takes everything for its bulk-out endpoints, at once and for nothing.
struct Taker;

impl Meddler for Taker {
    fn urb(&mut self, urb: FunctionUrb) -> Result<FunctionUrb, Reply> {
        match urb.endpoint() {
            1..=0x7f => Err(urb.ok()),
            _ => Ok(urb),
        }
    }
}

fn up(model: Model, function: impl UsbFunction, clock: Clock) -> (Kernel, HostController, Wlan, impl Sized) {
    let kernel = Kernel::builder().clock(clock).build().expect("a kernel");
    let controller = HostController::new(&kernel.handle()).expect("a controller");
    let port = controller.plug(function);
    let options = WlanOptions::new()
        .channel("36/80".parse().expect("a channel"))
        .firmware(Firmware::bytes("stand-in", model.stand_in_firmware()));
    let wlan = block_on(Wlan::attach(port.device(), options)).expect("an interface");
    (kernel, controller, wlan, port)
}

/// Sends so many frames, some ahead of their outcomes.
async fn send(wlan: &Wlan, mpdu: &Bytes, frames: usize, report: bool) {
    let mut tickets: VecDeque<Ticket> = VecDeque::with_capacity(AHEAD);
    for _ in 0..frames {
        let frame = TxFrame::new(mpdu.clone()).rate(Rate::Vht { mcs: 7, nss: 1 }).report(report);
        if tickets.len() == AHEAD
            && let Some(first) = tickets.pop_front()
        {
            first.await.expect("sent");
        }
        tickets.push_back(wlan.send(frame).await);
    }
    for ticket in tickets {
        ticket.await.expect("sent");
    }
}

fn measure(name: &str, wlan: &Wlan, frames: usize, report: bool) {
    let mut mpdu = vec![0x08, 0, 0, 0];
    mpdu.extend([0xff; 6]);
    mpdu.resize(1_500, 0x02);
    let mpdu = Bytes::from(mpdu);
    // Warms up the memory that is kept.
    block_on(send(wlan, &mpdu, frames / 10 + 100, report));
    let (before, start) = (Times::now(), Instant::now());
    let region = Region::new(ALLOCATOR);
    block_on(send(wlan, &mpdu, frames, report));
    let allocations = region.change().allocations as f64 / frames as f64;
    let took = start.elapsed();
    let per_thousand: Vec<(String, Duration)> = Times::now()
        .since(&before, frames as u32)
        .into_iter()
        .map(|(thread, time)| (thread, time * 1_000))
        .collect();
    let (total, threads) = told(&per_thousand);
    println!(
        "{name:<34} {:>8.0} frames/s  {:>8.1?} CPU/1,000 frames ({})  {allocations:.2} allocations/frame",
        frames as f64 / took.as_secs_f64(),
        total,
        threads,
    );
    assert!(wlan.tx_stats().is_balanced() && wlan.tx_stats().failed == 0, "{}", wlan.tx_stats());
}

fn main() {
    // `cargo test --benches` runs this too, to see that it works.
    let frames = if std::env::args().any(|arg| arg == "--bench") { 20_000 } else { 200 };
    println!(
        "1,500-byte frames; each is copied once, from the application's bytes into the transfer's buffer"
    );
    for model in [Model::Rtl8812au, Model::Rtl8821au] {
        let adapter = model.builder().air(&Air::quiet(1)).build();
        let (_kernel, _controller, wlan, _port) = up(model, adapter, Clock::virtual_time());
        measure(&format!("emulated {model}, reports"), &wlan, frames, true);
        measure(&format!("emulated {model}, no reports"), &wlan, frames, false);
        block_on(wlan.down()).expect("down");
        let adapter = Meddled::new(model.builder().build(), Taker);
        let (_kernel, _controller, wlan, _port) = up(model, adapter, Clock::system());
        measure(&format!("{model} that takes all"), &wlan, frames, false);
        block_on(wlan.down()).expect("down");
    }
}
