//! Bring-up of the emulated adapter, in virtual time: what it costs, what state it leaves, that it repeats.

mod common;

use std::sync::{Arc, Mutex};

use airlift_emu::efuse::offset;
use airlift_emu::{Air, Efuse, Rtl8812au};
use airlift_wifi::{Channel, Progress, Stage, Width};
use common::{Bench, options};

fn channel(primary: u16, width: Width) -> Channel {
    Channel::new(primary, width).unwrap()
}

#[tokio::test]
async fn w1_an_adapter_comes_up_on_channel_11_without_breaking_a_rule() {
    let bench = Bench::ordinary();
    let wlan = bench.attach().await.unwrap();
    assert_eq!(wlan.channel(), Some(channel(11, Width::Mhz20)));
    assert_eq!(wlan.mac_address().unwrap().0, bench.probe.efuse().mac_address());
    assert_eq!(wlan.chains(), 2);
    assert!(bench.probe.firmware_runs());
    assert_eq!(bench.probe.tuning().unwrap().to_string(), "channel 11 (2462 MHz), 20 MHz");
    assert!(bench.probe.llt().iter().all(Option::is_some), "every page is linked");
    wlan.down().await.unwrap();
    assert!(!bench.probe.firmware_runs());
    assert_eq!(bench.probe.tuning(), None);
    bench.assert_no_violations();
    bench.shutdown().await;
}

/// EFUSEs of about 235 programmed bytes: as it comes from a shop, and with some of it programmed again.
fn usual_efuses() -> Vec<Efuse> {
    let trimmed = Efuse::ordinary().with(offset::CRYSTAL_CAP, &[0x1f]);
    let renamed = Efuse::ordinary().with_mac_address([2, 0, 0, 0, 0, 1]);
    vec![Efuse::ordinary(), Efuse::seeded(7), trimmed, renamed]
}

/// Mainline needs 3,654 transfers and waits for each. The bounds are those of the published figures.
#[tokio::test]
async fn w1_bring_up_stays_within_its_bounds_of_transfers_and_waits() {
    for efuse in usual_efuses() {
        let programmed = efuse.programmed();
        assert!((230..=250).contains(&programmed), "{programmed}");
        let bench = Bench::new(Rtl8812au::builder().efuse(efuse));
        let wlan = bench.attach().await.unwrap();
        let counted = bench.latency.counters();
        println!("{programmed} programmed bytes: {counted:?}");
        assert!(counted.control_transfers <= 2_400 - 50, "{counted:?}");
        assert!(counted.waits <= 250 - 50, "{counted:?}");
        assert!(counted.control_time.as_micros() * 4 <= 457_000, "{counted:?}");
        wlan.down().await.unwrap();
    }
}

/// What the driver says that its bring-up took is what is seen on the bus.
#[tokio::test]
async fn w1_the_drivers_own_count_of_transfers_and_waits_is_that_of_the_bus() {
    for serial in [false, true] {
        for (primary, width) in [(11, Width::Mhz20), (36, Width::Mhz80), (6, Width::Mhz40)] {
            let bench = Bench::ordinary();
            let start = bench.clock.now();
            let options = options().serial_io(serial).channel(channel(primary, width));
            let wlan = bench.attach_with(options).await.unwrap();
            let (stats, counted) = (wlan.bring_up_stats(), bench.latency.counters());
            let seen = (counted.control_transfers, counted.control_reads, counted.waits);
            assert_eq!((stats.transfers, stats.reads, stats.waits), seen);
            assert!(stats.duration >= counted.control_time, "{stats:?}");
            assert!(stats.duration <= bench.clock.now() - start, "{stats:?}");
            wlan.down().await.unwrap();
        }
    }
}

#[tokio::test]
async fn w1_only_the_cells_of_the_efuse_that_are_programmed_and_used_are_read() {
    for (efuse, most) in [(Efuse::blank(), 8), (Efuse::ordinary(), 170)] {
        let bench = Bench::new(Rtl8812au::builder().efuse(efuse));
        bench.probe.start_log();
        let wlan = bench.attach().await.unwrap();
        let cells = bench.probe.take_log().iter().filter(|a| a.write && a.address == 0x30).count();
        assert!(cells <= most, "{cells} cells read");
        wlan.down().await.unwrap();
        bench.assert_no_violations();
    }
}

/// Everything that the chip holds after bring-up.
fn state(bench: &Bench) -> impl PartialEq + std::fmt::Debug {
    let probe = &bench.probe;
    let radio: Vec<u32> =
        (0..2).flat_map(|path| (0..=0xff).map(move |reg| (path, reg))).map(|(p, r)| probe.rf(p, r)).collect();
    let mut registers = probe.registers();
    // The TSF runs on, and the two ways take different times.
    registers[0x560..0x568].fill(None);
    (registers, radio, probe.llt(), probe.agc(), probe.firmware(), probe.rf_modes(0), probe.rf_modes(1))
}

#[tokio::test]
async fn w1_serial_and_posted_writes_leave_the_same_chip() {
    for (primary, width) in [(11, Width::Mhz20), (6, Width::Mhz40), (36, Width::Mhz80), (165, Width::Mhz20)] {
        let posted = Bench::ordinary();
        let serial = Bench::ordinary();
        let on = |serial| options().channel(channel(primary, width)).serial_io(serial);
        let first = posted.attach_with(on(false)).await.unwrap();
        let second = serial.attach_with(on(true)).await.unwrap();
        let (a, b) = (state(&posted), state(&serial));
        assert!(a == b, "channel {primary}: the registers differ: {}", differences(&posted, &serial));
        let counted = serial.latency.counters();
        assert_eq!(counted.waits, counted.control_transfers, "serial means one at a time");
        first.down().await.unwrap();
        second.down().await.unwrap();
        posted.assert_no_violations();
        serial.assert_no_violations();
    }
}

fn differences(a: &Bench, b: &Bench) -> String {
    let (a, b) = (a.probe.registers(), b.probe.registers());
    let at = (0..a.len()).filter(|n| a[*n] != b[*n]);
    at.map(|n| format!("{}: {:?} {:?}; ", airlift_regs::name_of(n as u16), a[n], b[n])).collect()
}

#[tokio::test]
async fn w1_both_ways_write_the_same_values_in_the_same_order() {
    let mut logs = Vec::new();
    for serial in [false, true] {
        let bench = Bench::ordinary();
        bench.probe.start_log();
        let wlan = bench.attach_with(options().serial_io(serial)).await.unwrap();
        let log = bench.probe.take_log();
        logs.push(log.into_iter().filter(|access| access.write).collect::<Vec<_>>());
        wlan.down().await.unwrap();
    }
    assert_eq!(logs[0].len(), logs[1].len());
    assert!(logs[0] == logs[1]);
}

/// E4 and the driver's own part of it: nothing depends on how threads happen to run.
#[tokio::test]
async fn e4_a_thousand_seeded_bring_ups_are_the_same_transfer_for_transfer() {
    const SEEDS: u64 = 10;
    let mut firsts = Vec::new();
    for round in 0..1_000 {
        let seed = round % SEEDS;
        let adapter = Rtl8812au::builder().seed(seed).efuse(Efuse::seeded(seed)).air(&Air::quiet(seed));
        let bench = Bench::without_latency(adapter);
        bench.probe.start_log();
        let wlan = bench.attach().await.unwrap();
        let log = (bench.probe.take_log(), wlan.bring_up_stats());
        match firsts.get(seed as usize) {
            None => firsts.push(log),
            Some(first) => assert!(*first == log, "round {round}: {:?} and {:?}", first.1, log.1),
        }
        wlan.down().await.unwrap();
        bench.shutdown().await;
    }
    assert_ne!(firsts[0].0, firsts[1].0, "seeds make a difference");
}

/// The same with time on the bus, which the waits depend on.
#[tokio::test]
async fn e4_bring_up_under_a_model_of_the_bus_repeats_to_the_last_wait() {
    let mut first = None;
    for _ in 0..5 {
        let bench = Bench::ordinary();
        bench.probe.start_log();
        let wlan = bench.attach().await.unwrap();
        let log = (bench.probe.take_log(), bench.latency.counters());
        match &first {
            None => first = Some(log),
            Some(first) => assert!(*first == log, "{:?} and {:?}", first.1, log.1),
        }
        wlan.down().await.unwrap();
        bench.shutdown().await;
    }
}

#[tokio::test]
async fn w1_channels_of_both_bands_and_all_widths_are_tuned() {
    let bench = Bench::ordinary();
    let wlan = bench.attach().await.unwrap();
    for (primary, width, expected) in [
        (1, Width::Mhz20, "channel 1 (2412 MHz), 20 MHz"),
        (6, Width::Mhz40, "channel 6 (2437 MHz), 40 MHz"),
        (36, Width::Mhz20, "channel 36 (5180 MHz), 20 MHz"),
        (36, Width::Mhz80, "channel 36 (5180 MHz), 80 MHz"),
        (149, Width::Mhz40, "channel 149 (5745 MHz), 40 MHz"),
        (165, Width::Mhz20, "channel 165 (5825 MHz), 20 MHz"),
        (11, Width::Mhz20, "channel 11 (2462 MHz), 20 MHz"),
    ] {
        wlan.set_channel(channel(primary, width)).await.unwrap();
        assert_eq!(wlan.channel(), Some(channel(primary, width)));
        let tuning = bench.probe.tuning().unwrap().to_string();
        assert!(tuning.starts_with(expected), "{tuning}, expected {expected}");
    }
    bench.assert_no_violations();
    wlan.down().await.unwrap();
}

#[tokio::test]
async fn w1_calibrate_and_transmit_power_work_on_a_running_interface() {
    let bench = Bench::ordinary();
    let wlan = bench.attach().await.unwrap();
    wlan.set_tx_power(Some(10)).await.unwrap();
    wlan.set_tx_power(None).await.unwrap();
    wlan.calibrate().await.unwrap();
    wlan.set_channel(channel(36, Width::Mhz80)).await.unwrap();
    wlan.calibrate().await.unwrap();
    bench.assert_no_violations();
    wlan.down().await.unwrap();
    bench.assert_no_violations();
}

#[tokio::test]
async fn w1_progress_counts_the_nine_stages_and_the_firmware() {
    let bench = Bench::ordinary();
    let heard: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let sink = heard.clone();
    let wlan = bench.attach_with(options().on_progress(move |p| sink.lock().unwrap().push(p))).await.unwrap();
    let heard = heard.lock().unwrap().clone();
    let mut numbers: Vec<u8> = heard.iter().filter_map(|p| p.stage.number()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    numbers.dedup();
    assert_eq!(numbers, (1..=Stage::BRING_UP).collect::<Vec<_>>());
    let firmware: Vec<u8> = heard.iter().filter(|p| p.stage == Stage::Firmware).map(|p| p.percent).collect();
    assert!(firmware.len() > 3 && firmware.is_sorted() && firmware.last() == Some(&100), "{firmware:?}");
    wlan.down().await.unwrap();
}

#[tokio::test]
async fn w1_down_and_up_again_is_as_the_first_time() {
    let bench = Bench::ordinary();
    let first = bench.attach().await.unwrap();
    let fresh = bench.probe.registers();
    first.down().await.unwrap();
    let second = bench.attach().await.unwrap();
    let again = bench.probe.registers();
    // The always-powered system block keeps what only switching off writes.
    let differing =
        (0x100..fresh.len()).filter(|at| !(0x560..0x568).contains(at) && fresh[*at] != again[*at]);
    let names: Vec<_> = differing.map(|at| airlift_regs::name_of(at as u16)).collect();
    assert!(names.is_empty(), "{names:?}");
    second.down().await.unwrap();
    bench.assert_no_violations();
}

#[tokio::test]
async fn w6_an_adapter_that_was_left_on_is_switched_off_and_comes_up() {
    let bench = Bench::ordinary();
    let first = bench.attach().await.unwrap();
    // Its driver goes away in the middle of things: a second one finds the chip running.
    let second = bench.attach().await.unwrap();
    assert!(bench.probe.firmware_runs());
    bench.assert_no_violations();
    second.down().await.unwrap();
    drop(first);
}

/// The shadow is honest: whatever register outside the host-only pages changes behind the driver's back, a change
/// of channel takes it from the chip. Only fields are rewritten, so the other bits must survive.
#[tokio::test]
async fn w1_what_the_chip_may_change_is_read_again_each_time() {
    let bench = Bench::ordinary();
    let wlan = bench.attach().await.unwrap();
    bench.probe.start_log();
    wlan.set_channel(channel(36, Width::Mhz40)).await.unwrap();
    let log = bench.probe.take_log();
    // Every masked write outside the pages is preceded by a read of the same register.
    for access in log.iter().filter(|a| a.write && !(0x800..0xf00).contains(&a.address)) {
        let whole = [0x483].contains(&access.address);
        let read = log.iter().any(|other| !other.write && other.address == access.address);
        assert!(whole || read, "{access} without a look at what it held");
    }
    // And what it reads is what it writes back: bits that another has set stay.
    for (address, mask) in [(0x0454_u16, 0x40_u8), (0x0668, 0x01), (0x0442, 0x40)] {
        let held = bench.probe.register(address, 1) as u8;
        bench.probe.poke(address, held ^ mask);
        wlan.set_channel(channel(11, Width::Mhz20)).await.unwrap();
        wlan.set_channel(channel(36, Width::Mhz20)).await.unwrap();
        let now = bench.probe.register(address, 1) as u8;
        assert_eq!(now & mask, (held ^ mask) & mask, "{}", airlift_regs::name_of(address));
    }
    wlan.down().await.unwrap();
}
