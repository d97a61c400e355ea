//! An RTL8812AU, an RTL8821AU and an RTL8814AU at once, on one kernel core, with 20,000 frames a second on the air:
//! whether each hears them all, and what a frame costs.
//!
//! `cargo bench -p airlift-tests --bench three_adapters`
//!
//! The air replays frames of 300 bytes, 50 µs apart, on the system's clock, and every adapter hears each: they keep the
//! air's pace, or are late. Processor time is that of each thread, as Linux tells it, for each frame that was
//! delivered: `airlift` is the kernel core with driver and host controller, the program's own thread the application,
//! and the `mock` ones are the emulated chips and the air.

use core::time::Duration;
use std::time::Instant;

use airlift_emu::air::{Capture, CapturedFrame, ReplayOptions};
use airlift_emu::{Air, Model, Rate, Width};
use airlift_hcd::HostController;
use airlift_runtime::{Clock, Kernel};
use airlift_tests::processor::{Times, told};
use airlift_wifi::{Firmware, FrameStream, Wlan, WlanOptions};
use bytes::Bytes;
use futures::StreamExt;
use futures::executor::block_on;
use futures::future::join_all;

/// From one frame to the next.
const GAP: Duration = Duration::from_micros(50);

/// So many frames, numbered.
fn frames(count: u32) -> Capture {
    let rate = Rate::vht(7, 1).expect("a rate").with_width(Width::Mhz80);
    Capture::from_frames((0..count).map(|number| {
        let mut bytes = vec![0x08, 0, 0, 0];
        bytes.extend([0xff; 6]);
        bytes.extend([2; 12]);
        bytes.extend([0, 0]);
        bytes.extend(number.to_le_bytes());
        bytes.resize(300, 0x5a);
        CapturedFrame {
            at: GAP * number,
            bytes: Bytes::from(bytes),
            rate: Some(rate),
            signal_dbm: None,
            fcs_error: 0,
            ampdu: None,
        }
    }))
}

/// Reads them all. Each must come, in order.
async fn read(mut stream: FrameStream, count: u32) {
    for expected in 0..count {
        let frame = stream.next().await.expect("the interface is up");
        assert_eq!(frame.lost_before(), 0, "before frame {expected}");
        assert_eq!(frame.mpdu()[24..28], expected.to_le_bytes());
    }
}

fn run(clock: Clock, count: u32) {
    let air = Air::replay(frames(count), ReplayOptions { wait_for_start: true, ..ReplayOptions::default() });
    let kernel = Kernel::builder().clock(clock.clone()).build().expect("a kernel");
    let controller = HostController::new(&kernel.handle()).expect("a controller");
    let adapters: Vec<_> = Model::ALL
        .iter()
        .map(|model| {
            let adapter = model.builder().air(&air).build();
            let probe = adapter.probe();
            let port = controller.plug(adapter);
            let options = WlanOptions::new()
                .channel("36/80".parse().expect("a channel"))
                .firmware(Firmware::bytes("stand-in", model.stand_in_firmware()));
            let wlan = block_on(Wlan::attach(port.device(), options)).expect("an interface");
            (wlan, probe, port)
        })
        .collect();

    let streams: Vec<FrameStream> = adapters.iter().map(|(wlan, ..)| wlan.frames()).collect();
    let hold = clock.hold();
    let (before, start, begin) = (Times::now(), Instant::now(), clock.now());
    air.start_replay();
    drop(hold);
    block_on(join_all(streams.into_iter().map(|stream| read(stream, count))));
    let (took, on_the_air) = (start.elapsed(), clock.now() - begin);
    let all = count * adapters.len() as u32;
    let (total, threads) = told(&Times::now().since(&before, all));
    println!(
        "{} adapters, {:.0} frames/s each, {count} frames each in {took:.2?}; {total:.2?} CPU/frame ({threads})",
        adapters.len(),
        f64::from(count) / on_the_air.as_secs_f64(),
    );
    for (wlan, probe, _port) in &adapters {
        let (radio, stats) = (probe.receive_stats(), wlan.stats());
        assert_eq!((radio.admitted, radio.overflowed), (u64::from(count), 0), "{}: {radio:?}", wlan.chip());
        assert_eq!((stats.chip, stats.frames), (u64::from(count), u64::from(count)), "{stats:?}");
        println!("  {}: heard {} = delivered {}, lost 0", wlan.chip(), radio.heard, stats.frames);
        block_on(wlan.down()).expect("down");
    }
    drop(adapters);
    block_on(kernel.shutdown());
}

fn main() {
    println!("frames of 300 bytes, one each {GAP:?}: 20,000 a second");
    match std::env::args().any(|arg| arg == "--bench") {
        true => run(Clock::system(), 100_000),
        // `cargo test --benches` runs this too, to see that it works; nobody looks at the time then.
        false => run(Clock::virtual_time(), 1_000),
    }
}
