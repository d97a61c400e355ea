//! Bring-up to monitor mode on channel 11, 20 MHz, in numbers: control transfers, waits, and the time that they take
//! under a model of the bus, beside what mainline's driver needs on the same emulated adapter.
//!
//! `cargo bench -p airlift-tests --bench bring_up`
//!
//! The bus model: 125 us for a transfer that is waited for, 30 us for one that is posted behind others. The delays
//! that silicon needs are kept, printed, and excluded. Everything runs on the virtual clock, so that the figures
//! are exact and repeat.

use std::time::{Duration, Instant};

use airlift_emu::{Air, Efuse, Rtl8812au, stand_in_firmware};
use airlift_hcd::{HostController, Latency, LatencyModel, Layer};
use airlift_runtime::{Clock, Kernel};
use airlift_wifi::{BringUpStats, Firmware, Wlan, WlanOptions};

/// Control transfers of mainline's driver (Linux 7.2, probe to channel 11), each of which it waits for.
const MAINLINE_TRANSFERS: u32 = 3_654;
const MODEL: LatencyModel =
    LatencyModel { round_trip: Duration::from_micros(125), posted: Duration::from_micros(30) };

fn main() {
    let mainline = MODEL.round_trip * MAINLINE_TRANSFERS;
    println!(
        "bring-up of an emulated RTL8812AU to channel 11, 20 MHz; EFUSE with {} programmed bytes",
        Efuse::ordinary().programmed()
    );
    println!("{:<26} {:>9} {:>6} {:>6} {:>10} {:>10}", "", "transfers", "reads", "waits", "bus", "delays");
    println!(
        "{:<26} {:>9} {:>6} {:>6} {:>10} {:>10}",
        "mainline (rtw88, measured)",
        MAINLINE_TRANSFERS,
        1_097,
        MAINLINE_TRANSFERS,
        ms(mainline),
        "-"
    );
    for (name, serial) in [("airlift, posted", false), ("airlift, --serial-io", true)] {
        let latency = Latency::new(MODEL);
        let mut counts = latency.counters();
        let stats = bring_up(serial, &[&latency], || counts = latency.counters());
        // The driver's own count, which the program prints, is that of the bus.
        assert_eq!((stats.transfers, stats.waits), (counts.control_transfers, counts.waits));
        println!(
            "{name:<26} {:>9} {:>6} {:>6} {:>10} {:>10}   {:.2} of mainline's time",
            stats.transfers,
            stats.reads,
            stats.waits,
            ms(counts.control_time),
            ms(stats.duration - counts.control_time),
            counts.control_time.as_secs_f64() / mainline.as_secs_f64(),
        );
    }
    let start = Instant::now();
    const RUNS: u32 = 50;
    for _ in 0..RUNS {
        bring_up(false, &[], || {});
    }
    println!(
        "the host's own time for one of them, up and down, without the model: {}",
        ms(start.elapsed() / RUNS)
    );
}

/// Up through `layers` and down again, in virtual time; what going up took. Calls `when_up` in between.
fn bring_up(serial: bool, layers: &[&dyn Layer], when_up: impl FnOnce()) -> BringUpStats {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().expect("a kernel core");
    let clock = kernel.handle().clock();
    let controller = HostController::new(&kernel.handle()).expect("a controller");
    let adapter = Rtl8812au::builder().efuse(Efuse::ordinary()).air(&Air::quiet(1)).strict(true).build();
    let held = clock.hold();
    let port = controller.plug_with(adapter, layers);
    let options = WlanOptions::new()
        .firmware(Firmware::bytes("stand-in", stand_in_firmware()))
        .serial_io(serial)
        .channel("11".parse().expect("a channel"));
    let attach = Wlan::attach(port.device(), options);
    drop(held);
    let wlan = futures::executor::block_on(attach).expect("an interface");
    let stats = wlan.bring_up_stats();
    when_up();
    futures::executor::block_on(wlan.down()).expect("the chip is switched off");
    drop(port);
    kernel.shutdown_blocking();
    stats
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
