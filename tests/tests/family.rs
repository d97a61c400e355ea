//! What holds for every chip of the family: what the RTL8812AU's tests prove of the driver, as far as a chip could make
//! a difference. What is one chip's alone stands in a file of its own.

mod common;

use core::ops::Range;
use core::time::Duration;

use airlift_emu::{Air, Efuse, Model};
use airlift_wifi::{Channel, ChannelError, Chip, StreamEnd, Width};
use common::{Bench, options_of};
use futures::StreamExt;

/// A chip, and what its tests must know of it.
struct Facts {
    model: Model,
    chip: Chip,
    chains: u8,
    /// EFUSEs, and how many bytes of each are programmed.
    efuses: fn(Model) -> [(Efuse, Range<usize>); 2],
    /// What its bring-up may take with each.
    transfers: u64,
    waits: u64,
    /// Registers beyond those that differ from one bring-up to the next on every chip.
    restless: &'static [usize],
}

const FAMILY: [Facts; 2] = [
    // Mainline needs 3,383 transfers and waits for each.
    Facts {
        model: Model::Rtl8821au,
        chip: Chip::Rtl8821au,
        chains: 1,
        efuses: |model| [(Efuse::ordinary_of(model), 180..200), (reworked(model), 235..255)],
        transfers: 2_200,
        waits: 250,
        restless: &[],
    },
    // Mainline needs 7,616.
    Facts {
        model: Model::Rtl8814au,
        chip: Chip::Rtl8814au,
        chains: 4,
        efuses: |model| [(Efuse::ordinary_of(model), 0..512), (Efuse::seeded_of(model, 7), 0..512)],
        transfers: 5_200 - 200,
        waits: 350 - 150,
        // The firmware was woken by a bit that toggles.
        restless: &[0xfe58],
    },
];

impl Facts {
    fn bench(&self) -> Bench {
        Bench::new(self.model.builder())
    }
}

/// As it came from the shop, and then programmed again in part: blocks later in the list count.
fn reworked(model: Model) -> Efuse {
    let mut efuse = Efuse::ordinary_of(model).with_mac_address([2, 0, 0, 0, 0, 1]);
    for trim in 0x18..0x20 {
        efuse = efuse.with(0xb8, &[0x7f, trim, 0x1c, 0]);
    }
    efuse
}

fn channel(primary: u16, width: Width) -> Channel {
    Channel::new(primary, width).unwrap()
}

#[tokio::test]
async fn w1_each_comes_up_on_channel_11_without_breaking_a_rule() {
    for facts in &FAMILY {
        let bench = facts.bench();
        let wlan = bench.attach().await.unwrap();
        assert_eq!((wlan.chip(), wlan.chains()), (facts.chip, facts.chains));
        assert_eq!(wlan.channel(), Some(channel(11, Width::Mhz20)));
        assert_eq!(wlan.mac_address().unwrap().0, bench.probe.efuse().mac_address());
        assert!(bench.probe.firmware_runs());
        assert_eq!(bench.probe.tuning().unwrap().to_string(), "channel 11 (2462 MHz), 20 MHz");
        wlan.down().await.unwrap();
        assert!(!bench.probe.firmware_runs());
        assert_eq!(bench.probe.tuning(), None);
        bench.assert_no_violations();
        bench.shutdown().await;
    }
}

#[tokio::test]
async fn w1_a_bring_up_stays_within_its_transfers_and_waits() {
    for facts in &FAMILY {
        for (efuse, range) in (facts.efuses)(facts.model) {
            let programmed = efuse.programmed();
            assert!(range.contains(&programmed), "{programmed}");
            let bench = Bench::new(facts.model.builder().efuse(efuse));
            let wlan = bench.attach().await.unwrap();
            let counted = bench.latency.counters();
            println!("{}, {programmed} programmed bytes: {counted:?}", facts.model);
            assert!(counted.control_transfers <= facts.transfers, "{}: {counted:?}", facts.model);
            assert!(counted.waits <= facts.waits, "{}: {counted:?}", facts.model);
            wlan.down().await.unwrap();
            bench.assert_no_violations();
        }
    }
}

#[tokio::test]
async fn w1_every_channel_and_width_is_tuned_from_every_other_band() {
    for facts in &FAMILY {
        let bench = Bench::without_latency(facts.model.builder());
        let wlan = bench.attach().await.unwrap();
        let mut tuned = 0;
        for primary in (0..200).chain((0..200).rev()) {
            for width in [Width::Mhz80, Width::Mhz20, Width::Mhz40] {
                let wanted = match Channel::new(primary, width) {
                    Ok(wanted) => wanted,
                    Err(ChannelError::UnknownChannel(_) | ChannelError::Width { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                wlan.set_channel(wanted).await.unwrap();
                let heard = bench.probe.tuning().expect("a radio that is tuned");
                assert_eq!(heard.primary_mhz(), wanted.frequency_mhz(), "{wanted}");
                assert_eq!(heard.center_mhz(), wanted.center_frequency_mhz(), "{wanted}");
                tuned += 1;
            }
        }
        assert_eq!(tuned, 2 * (14 + 13 + 25 + 24 + 24));
        wlan.down().await.unwrap();
        bench.assert_no_violations();
    }
}

#[tokio::test]
async fn w1_serial_and_posted_writes_leave_each_alike() {
    for facts in &FAMILY {
        for (primary, width) in [(6, Width::Mhz40), (36, Width::Mhz80), (165, Width::Mhz20)] {
            let [posted, serial] = [facts.bench(), facts.bench()];
            let on = |serial| options_of(facts.model).channel(channel(primary, width)).serial_io(serial);
            let first = posted.attach_with(on(false)).await.unwrap();
            let second = serial.attach_with(on(true)).await.unwrap();
            let state = |bench: &Bench| {
                let mut registers = bench.probe.registers();
                // The TSF runs on, and the two ways take different times.
                registers[0x560..0x568].fill(None);
                let radio: Vec<u32> = (0..facts.model.radios())
                    .flat_map(|path| (0..=0xff).map(move |reg| (path, reg)))
                    .map(|(path, reg)| bench.probe.rf(path, reg))
                    .collect();
                (registers, radio, bench.probe.llt(), bench.probe.agc(), bench.probe.firmware())
            };
            assert!(state(&posted) == state(&serial), "{} on channel {primary}", facts.model);
            first.down().await.unwrap();
            second.down().await.unwrap();
            posted.assert_no_violations();
            serial.assert_no_violations();
        }
    }
}

#[tokio::test]
async fn w1_beacons_carry_the_signal_of_each_chain_and_every_frame_is_accounted_for() {
    for facts in &FAMILY {
        let air = Air::default_scene(7);
        let bench = Bench::new(facts.model.builder().air(&air));
        let wlan = bench.attach().await.unwrap();
        let mut frames = wlan.frames();
        let mut delivered = 0_u64;
        let mut of_all = 0;
        while delivered < 100 {
            let frame = frames.next().await.expect("the air is never quiet here");
            delivered += 1;
            assert_eq!(frame.channel(), wlan.channel());
            let chains: Vec<_> = frame.meta().chains.iter().collect();
            let numbers = chains.iter().map(|(chain, _)| *chain);
            // CCK is heard on one of them alone.
            let all = numbers.clone().eq(0..facts.chains);
            assert!(all || numbers.eq([0]), "{frame:?}");
            of_all += u64::from(all);
            assert!(chains.iter().any(|(_, dbm)| Some(*dbm) == frame.signal_dbm()), "{frame:?}");
            assert!(chains.iter().all(|(_, dbm)| (-110..0).contains(dbm)), "{frame:?}");
            assert!(frame.meta().time > Duration::ZERO);
        }
        assert!(of_all > 0, "some are OFDM");
        wlan.down().await.unwrap();
        while frames.next().await.is_some() {
            delivered += 1;
        }
        assert!(matches!(frames.end(), Some(StreamEnd::Down)));
        let stream = frames.stats();
        assert!(stream.is_balanced() && stream.delivered == delivered, "{stream:?}");
        assert_eq!(wlan.stats().chip, bench.probe.frames_admitted());
        bench.assert_no_violations();
    }
}

#[tokio::test]
async fn w1_each_calibrates_and_receives_on() {
    for facts in &FAMILY {
        let air = Air::default_scene(7);
        let bench = Bench::new(facts.model.builder().air(&air));
        let wlan = bench.attach().await.unwrap();
        for text in ["11", "6+", "36/80"] {
            wlan.set_channel(text.parse().unwrap()).await.unwrap();
            wlan.calibrate().await.unwrap();
            assert_eq!(wlan.channel(), Some(text.parse().unwrap()));
        }
        wlan.set_channel("11".parse().unwrap()).await.unwrap();
        assert!(wlan.frames().next().await.is_some());
        wlan.down().await.unwrap();
        bench.assert_no_violations();
    }
}

#[tokio::test]
async fn w6_blank_and_odd_efuses_come_up() {
    for model in FAMILY.iter().map(|facts| facts.model) {
        for efuse in [Efuse::blank_of(model), Efuse::external_pa_of(model), Efuse::seeded_of(model, 99)] {
            let bench = Bench::without_latency(model.builder().efuse(efuse));
            let wlan = bench.attach().await.unwrap();
            wlan.set_channel("36/80".parse().unwrap()).await.unwrap();
            wlan.set_channel("6-".parse().unwrap()).await.unwrap();
            wlan.down().await.unwrap();
            bench.assert_no_violations();
        }
    }
}

#[tokio::test]
async fn w4_the_firmware_of_another_chip_is_refused_by_name() {
    for facts in &FAMILY {
        let bench = facts.bench();
        let error = bench.attach_with(options_of(Model::Rtl8812au)).await.err().unwrap();
        assert!(error.to_string().contains("RTL8812A"), "{error}");
    }
}

#[tokio::test]
async fn w6_one_that_was_left_on_is_switched_off_and_comes_up_again() {
    for facts in &FAMILY {
        let bench = facts.bench();
        let first = bench.attach().await.unwrap();
        let fresh = bench.probe.registers();
        // Its driver goes away in the middle of things: a second one finds the chip running.
        let second = bench.attach().await.unwrap();
        assert!(bench.probe.firmware_runs());
        let again = bench.probe.registers();
        // The TSF runs on.
        let ours = |at: &usize| (0x560..0x568).contains(at) || facts.restless.contains(at);
        let differing = (0x100..fresh.len()).filter(|at| !ours(at) && fresh[*at] != again[*at]);
        let names: Vec<_> = differing.map(|at| airlift_regs::name_of(at as u16)).collect();
        assert!(names.is_empty(), "{}: {names:?}", facts.model);
        second.down().await.unwrap();
        drop(first);
        bench.assert_no_violations();
    }
}
