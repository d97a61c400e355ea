//! What a control round trip on the mock device costs, beside the floor: bare round trips between two threads
//! that wait in the same way.
//!
//! `cargo bench -p airlift-hcd --bench control_round_trips`; `-- core` measures only what is awaited there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use airlift_hcd::{
    Descriptors, FunctionUrb, HostController, Setup, Speed, Submit, Urb, UsbDevice, UsbFunction,
};
use airlift_runtime::{Clock, Kernel};

const ROUND_TRIPS: u32 = 8_000;
const RUNS: usize = 15;

/// Answers every request at once.
struct Answering;

impl UsbFunction for Answering {
    fn descriptors(&self) -> Descriptors {
        Descriptors {
            device: [18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 0x01, 0x00, 0, 1, 0, 0, 0, 1],
            configuration: vec![9, 2, 9, 0, 0, 1, 0, 0x80, 50],
            strings: Vec::new(),
            speed: Speed::High,
        }
    }

    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        urb.reply(&[1, 2, 3, 4]).into()
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures in turns with the floor, since a shared machine's neighbours come and go, and prints the medians: of both
/// times, and of the pairs' ratios.
fn compare(what: &str, round_trips: impl Fn() -> Duration) {
    // Once for the caches, the branch predictor and the adaptive spinning.
    floor();
    round_trips();
    let pairs: Vec<(f64, f64)> =
        (0..RUNS).map(|_| (floor().as_secs_f64(), round_trips().as_secs_f64())).collect();
    let floor = median(pairs.iter().map(|(floor, _)| floor * 1e3));
    let ours = median(pairs.iter().map(|(_, ours)| ours * 1e3));
    let each = ours * 1e3 / f64::from(ROUND_TRIPS);
    let ratio = median(pairs.iter().map(|(floor, ours)| ours / floor));
    println!("{what:<36} {ours:>7.2} ms ({each:.2} us each), floor {floor:.2} ms: {ratio:.2} x the time");
}

fn floor() -> Duration {
    let clock = Clock::system();
    let (mut here, mut there) = (clock.host_timer("here"), clock.host_timer("there"));
    let (to_here, to_there) = (here.notifier(), there.notifier());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let echo = std::thread::spawn(move || {
        loop {
            there.wait_until(None);
            if stopped.load(Ordering::Acquire) {
                return;
            }
            to_here.notify();
        }
    });
    let started = Instant::now();
    for _ in 0..ROUND_TRIPS {
        to_there.notify();
        here.wait_until(None);
    }
    let took = started.elapsed();
    stop.store(true, Ordering::Release);
    to_there.notify();
    echo.join().expect("the echoing thread panicked");
    took
}

async fn round_trips(device: UsbDevice, timeout: Option<Duration>) -> Duration {
    let started = Instant::now();
    for n in 0..ROUND_TRIPS {
        let urb = Urb::control_in(Setup::vendor_in(5, n as u16, 0, 4));
        let urb = match timeout {
            Some(limit) => urb.timeout(limit),
            None => urb,
        };
        let completion = device.submit(urb).await;
        assert_eq!(completion.actual_length, 4);
    }
    started.elapsed()
}

fn main() {
    let kernel = Kernel::new().expect("a kernel core");
    let controller = HostController::new(&kernel.handle()).expect("a host controller");
    let port = controller.plug(Answering);
    let on_kernel = |timeout| {
        let device = port.device();
        let task = kernel.handle().spawn("bench", move |_cpu| round_trips(device, timeout));
        futures::executor::block_on(task.expect("the kernel runs")).expect("the task ends")
    };
    let wanted = std::env::args().nth(1).filter(|arg| !arg.starts_with("--")).unwrap_or_default();
    println!("{ROUND_TRIPS} control round trips beside as many bare ones, medians of {RUNS} pairs");
    let limit = Some(Duration::from_millis(500));
    let from_host = || futures::executor::block_on(round_trips(port.device(), None));
    let rows: [(&str, &dyn Fn() -> Duration); 3] = [
        ("awaited on the kernel core", &|| on_kernel(None)),
        ("on the core, each with a time limit", &|| on_kernel(limit)),
        ("awaited on a host thread", &from_host),
    ];
    for (what, run) in rows.into_iter().filter(|(what, _)| what.contains(&wanted)) {
        compare(what, run);
    }
}
