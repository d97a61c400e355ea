//! Changes of channel: what they cost, and that they leave what tuning anew leaves.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use airlift_emu::{Air, Builder, Efuse, Model, Probe};
use airlift_hcd::{
    Fault, FaultTarget, Faults, HostController, Latency, LatencyModel, MockPort, TransferError,
};
use airlift_runtime::{Clock, Kernel};
use airlift_wifi::{Channel, InjectErrorKind, Stage, TxFrame, Width, Wlan};
use common::{Bench, options_of};
use futures::StreamExt;
use futures::future::{Either, select};

fn channel(text: &str) -> Channel {
    text.parse().unwrap()
}

/// What a channel decides on but for powers: all registers but the running TSF and whether the firmware has emptied its
/// mailboxes, the radios, the gain tables.
fn state(bench: &Bench) -> impl PartialEq + std::fmt::Debug {
    let mut registers = bench.probe.registers();
    registers[0x560..0x568].fill(None);
    registers[0x1cc] = None;
    registers[0x1998..0x199c].fill(None);
    power_registers().for_each(|at| registers[at] = None);
    let radios: Vec<u32> = (0..bench.model.radios())
        .flat_map(|path| (0..=0xff).map(move |reg| (path, reg)))
        .map(|(path, reg)| bench.probe.rf(path, reg))
        .collect();
    (registers, radios, bench.probe.agc())
}

/// The powers: their registers, or what is behind their port.
fn powers(bench: &Bench) -> impl PartialEq + std::fmt::Debug {
    let registers = bench.probe.registers();
    (power_registers().map(|at| registers[at]).collect::<Vec<_>>(), bench.probe.tx_powers())
}

/// To everyone, and nobody is asked what became of it.
fn frame() -> TxFrame {
    TxFrame::new([&[0x08, 0, 0, 0][..], &[0xff; 6], &[0x02; 14]].concat()).report(false)
}

/// The control transfers and waits of `change`.
async fn cost(bench: &Bench, change: impl Future<Output = ()>) -> (u64, u64) {
    let before = bench.latency.counters();
    change.await;
    let after = bench.latency.counters();
    (after.control_transfers - before.control_transfers, after.waits - before.waits)
}

/// Every channel that matters: both ends and the middle of each sub-band, each width.
const PLACES: [&str; 16] = [
    "1", "6", "11", "13", "14", "1+", "6-", "11-", "36", "48", "64", "100+", "140", "36/80", "149/80", "165",
];

/// Channels with a notch against a spur of the RTL8814A, by the front end: centers 54, 118, 58, 122, 151 and 153.
const NOTCHES: [&str; 6] = ["52+", "116+", "52/80", "116/80", "149+", "153"];

#[tokio::test]
async fn v2_a_hop_from_any_channel_to_any_other_leaves_what_tuning_anew_leaves() {
    let ordinary = Model::ALL.iter().map(|&model| (model, Efuse::ordinary_of(model)));
    let external = Model::ALL.iter().map(|&model| (model, Efuse::external_pa_of(model)));
    for (model, efuse) in ordinary.chain(external) {
        hop_everywhere(model.builder().efuse(efuse), &PLACES).await;
    }
}

#[tokio::test]
async fn v2_a_hop_between_channels_with_spurs_leaves_what_tuning_anew_leaves() {
    let places = [&NOTCHES[..], &["1", "11", "13", "36", "36/80", "100+", "140", "149/80", "165"]].concat();
    // Each of these front ends fights other spurs.
    for option in [0, 1] {
        let model = Model::Rtl8814au;
        let efuse = Efuse::ordinary_of(model).with_rfe_option(option);
        hop_everywhere(model.builder().efuse(efuse), &places).await;
    }
}

/// Cut A restarts its converters where the width changes.
#[tokio::test]
async fn v2_a_hop_of_the_first_cut_leaves_what_tuning_anew_leaves() {
    for model in Model::ALL {
        hop_everywhere(model.builder().cut(0), &["1", "11", "6+", "36", "100+", "36/80", "149/80"]).await;
    }
}

async fn hop_everywhere(adapter: Builder, places: &[&str]) {
    let bench = Bench::without_latency(adapter);
    let wlan = bench.attach().await.unwrap();
    // As long as nothing is sent, hops leave the power alone.
    for sends in [false, true] {
        if sends {
            wlan.inject(frame()).await.unwrap();
        }
        for (from, to) in places.iter().flat_map(|from| places.iter().map(move |to| (from, to))) {
            for quick in if sends { &[true][..] } else { &[false, true] } {
                wlan.set_channel(channel(from)).await.unwrap();
                go(&wlan, to, *quick).await;
                let (left, power) = (state(&bench), powers(&bench));
                // Asked for the channel that it is on, it sets everything anew.
                wlan.set_channel(channel(to)).await.unwrap();
                let what = format!("{}: {from} to {to}, quick: {quick}, sends: {sends}", bench.model);
                assert!(left == state(&bench), "{what}");
                if sends || !quick {
                    assert!(power == powers(&bench), "{what}: powers");
                }
            }
        }
    }
    wlan.down().await.unwrap();
    bench.assert_no_violations();
}

async fn go(wlan: &Wlan, to: &str, quick: bool) {
    match quick {
        true => wlan.hop(channel(to)).await.unwrap(),
        false => wlan.set_channel(channel(to)).await.unwrap(),
    }
    assert_eq!(wlan.channel(), Some(channel(to)));
}

/// Registers of transmit powers, and of their training.
fn power_registers() -> impl Iterator<Item = usize> {
    (0xc20..0xc58).chain(0xe20..0xe58).filter(|at| at & 0xff != 0x50)
}

/// At most a transfer a path and one more, and a single round trip.
#[tokio::test]
async fn w1_a_hop_within_a_sub_band_costs_a_transfer_a_path_and_a_single_wait() {
    for &model in Model::ALL {
        // A front end on which these channels have no spurs.
        let bench = Bench::new(model.builder().efuse(Efuse::ordinary_of(model).with_rfe_option(1)));
        let wlan = bench.attach().await.unwrap();
        for (from, hops) in
            [("1", ["6", "11", "2"]), ("36", ["40", "44", "48"]), ("100/80", ["116/80", "100/80", "116/80"])]
        {
            wlan.set_channel(channel(from)).await.unwrap();
            for to in hops {
                let (transfers, waits) = cost(&bench, go(&wlan, to, true)).await;
                println!("{model} to {to}: {transfers} transfers, {waits} waits");
                let most = (model.radios() + 1) as u64;
                assert!(transfers <= most, "{model} to {to}: {transfers} transfers");
                assert_eq!(waits, 1, "{model} to {to}");
            }
        }
        wlan.down().await.unwrap();
        bench.assert_no_violations();
    }
}

/// The transfers of mainline's driver: 113 for the RTL8812AU's change from 6 to 1 and 307 for the RTL8814AU's, 268 of
/// them powers (counted in the trace of a run), and by the same functions 46 for the RTL8821AU's. At 5 GHz it has no
/// powers and no filter of CCK to set, and at 40 and 80 MHz it sets more fields, with a read before each write.
fn mainlines(model: Model, to: Channel) -> u64 {
    let (all, without_cck, wider) = match model {
        Model::Rtl8812au => (113, 4, [6, 4]),
        Model::Rtl8821au => (46, 2, [6, 4]),
        // Without the powers.
        _ => (39, 1, [4, 2]),
    };
    let without_cck = if to.primary() > 14 { without_cck } else { 0 };
    let wider = match to.width() {
        Width::Mhz20 => 0,
        Width::Mhz40 => wider[0],
        Width::Mhz80 => wider[1],
    };
    all - without_cck + wider
}

/// How many powers behind the port are others than `before`. The first one of each path is written twice.
fn changed_powers(bench: &Bench, before: &BTreeMap<(u8, u8), u8>) -> u64 {
    let now = bench.probe.tx_powers();
    let changed = now.iter().filter(|(place, power)| before.get(place) != Some(power));
    changed.map(|((_, rate), _)| if *rate == 0 { 2 } else { 1 }).sum()
}

#[tokio::test]
async fn w1_a_hop_within_a_band_costs_at_most_a_third_of_mainlines() {
    within_a_band(true).await;
}

/// The RTL8814A takes its powers through a port, a word for each path and rate; mainline sends all 268, the driver those
/// that change. Where the EFUSE has powers of its own for each group of channels, as it has from the factory, that is
/// nearly all of them, and there is nothing to be left out: a word holds one power, and what it replaces is another. So
/// they are counted apart. A hop leaves them out.
#[tokio::test]
async fn w1_a_channel_change_within_a_band_costs_at_most_a_third_of_mainlines() {
    within_a_band(false).await;
}

async fn within_a_band(quick: bool) {
    for &model in Model::ALL {
        for efuse in [Efuse::ordinary_of(model), Efuse::external_pa_of(model)] {
            let bench = Bench::new(model.builder().efuse(efuse));
            let wlan = bench.attach().await.unwrap();
            for (from, to) in PLACES.iter().flat_map(|from| PLACES.map(|to| (*from, to))) {
                if from == to || channel(from).band() != channel(to).band() {
                    continue;
                }
                wlan.set_channel(channel(from)).await.unwrap();
                let powers = bench.probe.tx_powers();
                let (transfers, waits) = cost(&bench, go(&wlan, to, quick)).await;
                let powers = changed_powers(&bench, &powers);
                let mainline = mainlines(model, channel(to));
                println!(
                    "{model} {from} to {to}: {transfers} transfers, {powers} through the port, {waits} waits; \
                     mainline {mainline}, beside its port"
                );
                assert!(!quick || powers == 0, "{model} {from} to {to}: a hop sets {powers} powers");
                let transfers = transfers - powers;
                // A change of width is more than one of channel: half.
                let (most, of) = match channel(from).width() == channel(to).width() {
                    true => (1, 3),
                    false => (1, 2),
                };
                assert!(transfers * of <= mainline * most, "{model} {from} to {to}: {transfers}");
            }
            wlan.down().await.unwrap();
        }
    }
}

#[tokio::test]
async fn w1_frames_are_heard_on_every_channel_of_a_round() {
    for &model in Model::ALL {
        let air = Air::default_scene(9);
        let bench = Bench::new(model.builder().air(&air));
        let wlan = bench.attach().await.unwrap();
        let mut frames = wlan.frames();
        // The default scene is on these.
        for to in ["11", "36", "6", "11", "36"] {
            wlan.hop(channel(to)).await.unwrap();
            let tuning = bench.probe.tuning().map(|tuning| tuning.primary_mhz());
            assert_eq!(tuning, Some(channel(to).frequency_mhz()));
            while frames.next().await.expect("a frame").channel() != Some(channel(to)) {}
        }
        wlan.down().await.unwrap();
        bench.assert_no_violations();
    }
}

/// An adapter behind a layer that sees each URB as it is submitted, and may fail it.
async fn watched(
    model: Model,
    see: impl Fn(&FaultTarget) -> bool + Send + Sync + 'static,
) -> (Kernel, HostController, MockPort, Probe, Wlan) {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let adapter = model.builder().air(&Air::quiet(9)).build();
    let probe = adapter.probe();
    let faults = Faults::new().when(see, Fault::Fail(TransferError::Timeout));
    let port = controller.plug_with(adapter, &[&faults]);
    let wlan = Wlan::attach(port.device(), options_of(model)).await.unwrap();
    (kernel, controller, port, probe, wlan)
}

/// What is behind the port, or in the registers, but for CCK: its powers stay where there is no CCK.
fn powers_but_cck(probe: &Probe) -> impl PartialEq + std::fmt::Debug {
    let registers = probe.registers();
    let registers: Vec<_> =
        power_registers().filter(|at| at & 0xff >= 0x24).map(|at| registers[at]).collect();
    let mut port = probe.tx_powers();
    port.retain(|(_, rate), _| *rate > 3);
    (registers, port)
}

#[tokio::test]
async fn w3_the_first_frame_after_a_hop_is_sent_when_its_power_is_set() {
    for &model in Model::ALL {
        for (from, to) in [("1", "11"), ("36", "149"), ("11", "36")] {
            // What is written of powers, and what is sent, in the order of their submission.
            let submitted = Arc::new(Mutex::new(Vec::new()));
            let seen = submitted.clone();
            let (kernel, controller, port, probe, wlan) = watched(model, move |target| {
                let is_power = |at: usize| at == 0x1998 || power_registers().any(|power| power == at);
                match target.setup {
                    Some(setup) if !setup.is_in() && is_power(usize::from(setup.value)) => {
                        seen.lock().unwrap().push("power");
                    }
                    None if target.endpoint & 0x80 == 0 => seen.lock().unwrap().push("frame"),
                    _ => {}
                }
                false
            })
            .await;
            let submitted = || std::mem::take(&mut *submitted.lock().unwrap());
            wlan.set_channel(channel(to)).await.unwrap();
            let theirs = powers_but_cck(&probe);
            wlan.set_channel(channel(from)).await.unwrap();
            let ours = powers_but_cck(&probe);
            assert!(ours != theirs, "{model}: {from} and {to} have powers of their own");
            submitted();
            wlan.hop(channel(to)).await.unwrap();
            assert!(powers_but_cck(&probe) == ours && submitted().is_empty(), "{model}: nothing is sent yet");
            wlan.inject(frame()).await.unwrap();
            assert!(powers_but_cck(&probe) == theirs, "{model}: {from} to {to}");
            let order = submitted();
            assert_eq!(order.iter().position(|what| *what == "frame"), Some(order.len() - 1), "{order:?}");
            assert!(order.len() > 1);
            // From now on it is one that sends: its power is there before it is on the channel.
            wlan.hop(channel(from)).await.unwrap();
            assert!(powers_but_cck(&probe) == ours && !submitted().is_empty(), "{model}: {to} to {from}");
            wlan.inject(frame()).await.unwrap();
            assert_eq!(submitted(), ["frame"], "{model}");
            wlan.down().await.unwrap();
            drop((port, controller));
            kernel.shutdown().await;
        }
    }
}

/// Setting the powers takes the RTL8814A longer than it stays.
#[tokio::test]
async fn w1_an_interface_that_hops_all_the_time_sends_its_frames() {
    for &model in Model::ALL {
        for dwell_ms in [2, 5] {
            let bench = Bench::new(model.builder().air(&Air::quiet(9)));
            let wlan = bench.attach().await.unwrap();
            let sender = wlan.clone();
            let sending = Box::pin(async move {
                for _ in 0..5 {
                    sender.inject(frame()).await.unwrap();
                }
            });
            let clock = bench.clock.clone();
            let hopping = Box::pin(async {
                for hop in 0..40 {
                    wlan.hop(channel(["1", "11"][hop % 2])).await.unwrap();
                    drop(clock.run_until(clock.now() + Duration::from_millis(dwell_ms)).await);
                }
            });
            let sent = matches!(select(sending, hopping).await, Either::Left(_));
            assert!(sent, "{model}, a hop every {dwell_ms} ms");
            wlan.down().await.unwrap();
        }
    }
}

#[tokio::test]
async fn w6_a_power_that_cannot_be_set_fails_the_frame_with_its_cause_and_the_next_one_tries_again() {
    for &model in Model::ALL {
        let fails = Arc::new(AtomicBool::new(false));
        let armed = fails.clone();
        let (kernel, controller, port, probe, wlan) =
            watched(model, move |target| target.setup.is_some() && armed.load(Ordering::Relaxed)).await;
        wlan.set_channel(channel("1")).await.unwrap();
        wlan.hop(channel("11")).await.unwrap();
        fails.store(true, Ordering::Relaxed);
        let error = wlan.inject(frame()).await.unwrap_err();
        let InjectErrorKind::Interface(cause) = error.kind() else { panic!("{model}: {error:?}") };
        assert_eq!((cause.stage(), cause.is_unplugged()), (Stage::Channel, false), "{model}: {cause:?}");
        // The radio is where the hop has left it.
        assert_eq!((probe.transmit_stats().sent, wlan.channel()), (0, Some(channel("11"))), "{model}");
        fails.store(false, Ordering::Relaxed);
        wlan.inject(frame()).await.unwrap();
        let power = powers_but_cck(&probe);
        wlan.set_channel(channel("11")).await.unwrap();
        assert!(power == powers_but_cck(&probe), "{model}");
        wlan.down().await.unwrap();
        drop((port, controller));
        kernel.shutdown().await;
    }
}

/// Where the radio is after a change that failed halfway nobody knows: frames carry no channel then, not the old one.
#[tokio::test]
async fn w3_after_a_change_that_failed_frames_have_no_channel() {
    for &model in Model::ALL {
        for quick in [false, true] {
            let clock = Clock::virtual_time();
            let kernel = Kernel::builder().clock(clock.clone()).build().unwrap();
            let controller = HostController::new(&kernel.handle()).unwrap();
            let fails = Arc::new(AtomicBool::new(false));
            let armed = fails.clone();
            let faults = Faults::new().when(
                move |target| target.setup.is_some() && armed.load(Ordering::Relaxed),
                Fault::Fail(TransferError::Timeout),
            );
            let adapter = model.builder().air(&Air::default_scene(9)).build();
            let port = controller.plug_with(adapter, &[&faults]);
            let wlan = Wlan::attach(port.device(), options_of(model)).await.unwrap();
            wlan.set_channel(channel("11")).await.unwrap();
            let mut frames = wlan.frames();
            while frames.next().await.unwrap().channel() != Some(channel("11")) {}

            fails.store(true, Ordering::Relaxed);
            let change = match quick {
                true => wlan.hop(channel("6")).await,
                false => wlan.set_channel(channel("6")).await,
            };
            assert!(change.is_err() && wlan.channel().is_none(), "{model}");
            fails.store(false, Ordering::Relaxed);
            // The first may have been on the air before.
            while frames.next().await.unwrap().channel().is_some() {}
            for _ in 0..20 {
                assert_eq!(frames.next().await.unwrap().channel(), None, "{model}");
            }
            wlan.set_channel(channel("36")).await.unwrap();
            while frames.next().await.unwrap().channel() != Some(channel("36")) {}
            wlan.down().await.unwrap();
            drop((port, controller));
            kernel.shutdown().await;
        }
    }
}

/// What is told of the channel is true at any time: neither the old one nor the new one while the radio is between them.
#[tokio::test]
async fn w1_while_the_channel_is_being_changed_none_is_told() {
    for &model in Model::ALL {
        for quick in [false, true] {
            let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
            let controller = HostController::new(&kernel.handle()).unwrap();
            let (round_trip, posted) = (Duration::from_micros(125), Duration::ZERO);
            let slow = Latency::new(LatencyModel { round_trip, posted });
            let port = controller.plug_with(model.builder().air(&Air::quiet(9)).build(), &[&slow]);
            let wlan = Wlan::attach(port.device(), options_of(model)).await.unwrap();
            wlan.set_channel(channel("11")).await.unwrap();
            let (watched, mut told) = (wlan.clone(), vec![wlan.channel()]);
            let watching = kernel.handle().spawn("watch", move |cpu| async move {
                while told.last() != Some(&Some(channel("6"))) {
                    cpu.sleep(round_trip / 4).await;
                    told.push(watched.channel());
                    told.dedup();
                }
                told
            });
            match quick {
                true => wlan.hop(channel("6")).await.unwrap(),
                false => wlan.set_channel(channel("6")).await.unwrap(),
            }
            let told = watching.unwrap().await.unwrap();
            assert_eq!(told, [Some(channel("11")), None, Some(channel("6"))], "{model}, quick: {quick}");
            wlan.down().await.unwrap();
            drop((port, controller));
            kernel.shutdown().await;
        }
    }
}
