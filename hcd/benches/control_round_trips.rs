//! What a control round trip on the mock device costs, beside the floor: bare round trips between two threads
//! that wait in the same way.
//!
//! `cargo bench -p airlift-hcd --bench control_round_trips`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use airlift_hcd::{
    Descriptors, FunctionUrb, HostController, Setup, Speed, Submit, Urb, UsbDevice, UsbFunction,
};
use airlift_runtime::{Clock, Kernel};

const ROUND_TRIPS: u32 = 8_000;
const RUNS: usize = 11;

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

fn median(mut runs: Vec<Duration>) -> Duration {
    runs.sort_unstable();
    runs[runs.len() / 2]
}

fn report(what: &str, runs: Vec<Duration>) {
    let (best, worst) = (runs.iter().min().copied(), runs.iter().max().copied());
    let median = median(runs);
    println!(
        "{what:<44} median {:>7.2} ms  ({:.2} us each; best {:.2}, worst {:.2} ms)",
        median.as_secs_f64() * 1e3,
        median.as_secs_f64() * 1e6 / f64::from(ROUND_TRIPS),
        best.unwrap_or_default().as_secs_f64() * 1e3,
        worst.unwrap_or_default().as_secs_f64() * 1e3,
    );
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
    println!("{ROUND_TRIPS} control round trips, {RUNS} runs");
    report("floor: two threads, nothing in between", (0..RUNS).map(|_| floor()).collect());
    report("awaited on the kernel core", (0..RUNS).map(|_| on_kernel(None)).collect());
    let limit = Some(Duration::from_millis(500));
    report("the same, each with a time limit", (0..RUNS).map(|_| on_kernel(limit)).collect());
    let from_host = || futures::executor::block_on(round_trips(port.device(), None));
    report("awaited on a host thread", (0..RUNS).map(|_| from_host()).collect());
}
