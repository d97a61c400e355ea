//! What the libusb backend costs beside a bare loop over libusb's own asynchronous transfers, on the same device:
//!
//! ```text
//! libusb_overhead VENDOR PRODUCT [PAIRS]
//! ```
//!
//! The device answers vendor reads of endpoint 0 and always has something at bulk IN 0x81 (`tests/src/gadget.rs` is
//! one; `tests/mainline/run.sh --libusb-bench` exports it to a virtual machine and runs this there). Both sides run in
//! turns, and each pair of turns gives a ratio; median and spread of these are told. The processor's time is that of
//! all threads of the process, user and system, by `/proc/self/task/*/schedstat`.
//!
//! The bare loop is one thread that submits, waits for events and submits again from the callback: nothing can do with
//! less, and no program could be made of it.

// The bare loop calls libusb by itself.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

use airlift_hcd::libusb::{OpenOptions, Selector, find_blocking};
use airlift_hcd::{HostController, Setup, Urb, UsbDevice};
use airlift_runtime::Kernel;
use bytes::BytesMut;
use futures::executor::block_on;
use rusb::UsbContext as _;

/// What is asked for, over and over.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    /// 0x81, or 0 for control reads.
    endpoint: u8,
    length: usize,
    in_flight: usize,
    requests: usize,
}

const LOADS: [Load; 4] = [
    Load { name: "control reads, one at a time", endpoint: 0, length: 4, in_flight: 1, requests: 400 },
    Load { name: "control reads, 16 in flight", endpoint: 0, length: 4, in_flight: 16, requests: 2_000 },
    Load {
        name: "bulk in of 512 bytes, 4 in flight",
        endpoint: 0x81,
        length: 512,
        in_flight: 4,
        requests: 1_500,
    },
    Load {
        name: "bulk in of 16 KiB, 4 in flight",
        endpoint: 0x81,
        length: 16_384,
        in_flight: 4,
        requests: 500,
    },
];

/// What one turn took.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

/// The read of endpoint 0.
fn setup(length: usize) -> Setup {
    Setup::vendor_in(1, 0, 0, length as u16)
}

/// The processor's time that this process's threads have had so far.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let run_time = |task: std::fs::DirEntry| -> Option<u64> {
        std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(run_time).sum())
}

fn measured(run: impl FnOnce()) -> Took {
    let (cpu, started) = (cpu_time(), Instant::now());
    run();
    Took { wall: started.elapsed(), cpu: cpu_time().saturating_sub(cpu) }
}

mod bare {
    //! The bare loop.

    use std::ffi::c_int;

    use rusb::ffi::{self, libusb_transfer};
    use rusb::{Context, DeviceHandle, UsbContext as _};

    use super::{Load, setup};

    /// What the callbacks count.
    struct Progress {
        to_submit: usize,
        in_flight: usize,
        completed: usize,
        done: c_int,
    }

    extern "system" fn on_end(transfer: *mut libusb_transfer) {
        // SAFETY: libusb hands back the record that was submitted; `user_data` is the `Progress` of `run`, which
        // outlives every transfer, and is reached by nobody else while libusb handles events on the only thread.
        unsafe {
            let progress = (*transfer).user_data.cast::<Progress>();
            assert_eq!((*transfer).status, 0, "a transfer failed");
            (*progress).completed += 1;
            if (*progress).to_submit > 0 {
                (*progress).to_submit -= 1;
                assert_eq!(ffi::libusb_submit_transfer(transfer), 0, "libusb refuses a transfer");
            } else {
                (*progress).in_flight -= 1;
                (*progress).done = c_int::from((*progress).in_flight == 0);
            }
        }
    }

    /// Runs a load to its end.
    pub(super) fn run(handle: &DeviceHandle<Context>, load: Load) {
        let control = load.endpoint == 0;
        let mut counts = Progress {
            to_submit: load.requests - load.in_flight,
            in_flight: load.in_flight,
            completed: 0,
            done: 0,
        };
        let progress = &raw mut counts;
        let mut buffers = vec![vec![0_u8; load.length + if control { 8 } else { 0 }]; load.in_flight];
        let mut transfers = Vec::new();
        for buffer in &mut buffers {
            if control {
                buffer[..8].copy_from_slice(&setup(load.length).to_bytes());
            }
            let length = buffer.len() as c_int;
            // SAFETY: the record is a fresh one of libusb's; its buffer and `progress` outlive the loop below, which
            // ends when no transfer is in flight any more; the device is open.
            unsafe {
                let transfer = ffi::libusb_alloc_transfer(0);
                assert!(!transfer.is_null(), "no memory");
                (*transfer).dev_handle = handle.as_raw();
                (*transfer).endpoint = load.endpoint;
                (*transfer).transfer_type = if control {
                    rusb::constants::LIBUSB_TRANSFER_TYPE_CONTROL
                } else {
                    rusb::constants::LIBUSB_TRANSFER_TYPE_BULK
                };
                (*transfer).timeout = 0;
                (*transfer).buffer = buffer.as_mut_ptr();
                (*transfer).length = length;
                (*transfer).callback = on_end;
                (*transfer).user_data = progress.cast();
                assert_eq!(ffi::libusb_submit_transfer(transfer), 0, "libusb refuses a transfer");
                transfers.push(transfer);
            }
        }
        let context = handle.context().as_raw();
        // SAFETY: `progress` is alive; the callbacks run within the call below, on this thread.
        while unsafe { (*progress).done } == 0 {
            // SAFETY: so is the context; libusb looks at `done` between events.
            let code = unsafe { ffi::libusb_handle_events_completed(context, &raw mut (*progress).done) };
            assert_eq!(code, 0, "libusb cannot handle events");
        }
        for transfer in transfers {
            // SAFETY: the record is libusb's own and not in flight.
            unsafe { ffi::libusb_free_transfer(transfer) };
        }
        assert_eq!(counts.completed, load.requests);
    }
}

/// A turn of the bare loop.
fn bare_turn(vendor: u16, product: u16, load: Load) -> Result<Took, Box<dyn Error>> {
    let context = rusb::Context::new()?;
    let handle = context.open_device_with_vid_pid(vendor, product).ok_or("the device cannot be opened")?;
    handle.claim_interface(0)?;
    bare::run(&handle, load.warm_up());
    let took = measured(|| bare::run(&handle, load));
    handle.release_interface(0)?;
    Ok(took)
}

/// A turn of the backend, used as the driver uses it: by a task of the kernel core.
fn our_turn(vendor: u16, product: u16, load: Load) -> Result<Took, Box<dyn Error>> {
    let kernel = Kernel::builder().build()?;
    let controller = HostController::new(&kernel.handle())?;
    let found = find_blocking(&Selector::Id { vendor, product })?;
    let port = block_on(controller.open(&found, OpenOptions::new(), &[]))?;
    let device = port.device();
    let took = block_on(kernel.handle().spawn("load", move |_cpu| async move {
        run(&device, load.warm_up()).await;
        let (cpu, started) = (cpu_time(), Instant::now());
        run(&device, load).await;
        Took { wall: started.elapsed(), cpu: cpu_time().saturating_sub(cpu) }
    })?)?;
    let device = port.device();
    drop(port);
    block_on(device.closed());
    kernel.shutdown_blocking();
    Ok(took)
}

/// Runs a load to its end. URBs of one endpoint end in the order of their submission.
async fn run(device: &UsbDevice, load: Load) {
    let urb = |room: BytesMut| match load.endpoint {
        0 => Urb::control_in(setup(load.length)),
        endpoint => Urb::bulk_in(endpoint, (room, load.length)),
    };
    let mut pending: VecDeque<_> = (0..load.in_flight).map(|_| device.submit(urb(BytesMut::new()))).collect();
    let mut to_submit = load.requests - load.in_flight;
    while let Some(handle) = pending.pop_front() {
        let completion = handle.await;
        assert_eq!(completion.status, Ok(()), "a transfer failed");
        if to_submit > 0 {
            to_submit -= 1;
            pending.push_back(device.submit(urb(completion.buffer)));
        }
    }
}

impl Load {
    /// A tenth of it.
    fn warm_up(self) -> Self {
        Self { requests: (self.requests / 10).max(self.in_flight), ..self }
    }
}

/// Median, least and greatest.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (vendor, product, pairs) = match &arguments[..] {
        [vendor, product] => (vendor, product, 7),
        [vendor, product, pairs] => (vendor, product, pairs.parse()?),
        _ => return Err("usage: libusb_overhead VENDOR PRODUCT [PAIRS]".into()),
    };
    let (vendor, product) = (u16::from_str_radix(vendor, 16)?, u16::from_str_radix(product, 16)?);
    println!("{pairs} pairs; ours in parts of the bare loop: median (least to greatest)");
    for load in LOADS {
        let (mut rates, mut cpus) = (Vec::new(), Vec::new());
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            // Whatever the machine does meanwhile hits both alike.
            let (first, second) = if pair % 2 == 0 {
                let first = bare_turn(vendor, product, load)?;
                (first, our_turn(vendor, product, load)?)
            } else {
                let second = our_turn(vendor, product, load)?;
                (bare_turn(vendor, product, load)?, second)
            };
            rates.push(first.wall.as_secs_f64() / second.wall.as_secs_f64());
            cpus.push(second.cpu.as_secs_f64() / first.cpu.as_secs_f64());
            bare.push(first);
            ours.push(second);
        }
        let each = |took: &[Took], of: fn(&Took) -> Duration| {
            spread(took.iter().map(|took| of(took).as_secs_f64() * 1e6 / load.requests as f64).collect()).0
        };
        let ((rate, slow, fast), (cpu, less, more)) = (spread(rates), spread(cpus));
        println!("{}", load.name);
        println!(
            "  per second   {rate:.2} ({slow:.2} to {fast:.2})   bare {:.0} us, ours {:.0} us each",
            each(&bare, |took| took.wall),
            each(&ours, |took| took.wall),
        );
        println!(
            "  CPU per URB  {cpu:.2} ({less:.2} to {more:.2})   bare {:.0} us, ours {:.0} us each",
            each(&bare, |took| took.cpu),
            each(&ours, |took| took.cpu),
        );
    }
    Ok(())
}
