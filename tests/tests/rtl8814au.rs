//! The RTL8814AU: what the RTL8812AU's tests prove of the driver, as far as the chip could make a difference.

mod common;

use core::time::Duration;

use airlift_emu::{Air, Efuse, Model, Personality, Poll, Rtl8814au};
use airlift_wifi::{Channel, ChannelError, Chip, Stage, StreamEnd, Width};
use common::{Bench, options_of};
use futures::StreamExt;

fn ordinary() -> Bench {
    Bench::new(Rtl8814au::builder())
}

fn options() -> airlift_wifi::WlanOptions {
    options_of(Model::Rtl8814au)
}

fn channel(primary: u16, width: Width) -> Channel {
    Channel::new(primary, width).unwrap()
}

#[tokio::test]
async fn w1_it_comes_up_on_channel_11_without_breaking_a_rule() {
    let bench = ordinary();
    let wlan = bench.attach().await.unwrap();
    assert_eq!((wlan.chip(), wlan.chains()), (Chip::Rtl8814au, 4));
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

/// Mainline needs 7,616 transfers and waits for each.
#[tokio::test]
async fn w1_its_bring_up_stays_within_5200_transfers_and_350_waits() {
    let model = Model::Rtl8814au;
    for efuse in [Efuse::ordinary_of(model), Efuse::seeded_of(model, 7)] {
        let programmed = efuse.programmed();
        let bench = Bench::new(Rtl8814au::builder().efuse(efuse));
        let wlan = bench.attach().await.unwrap();
        let counted = bench.latency.counters();
        println!("{programmed} programmed bytes: {counted:?}");
        assert!(counted.control_transfers <= 5_200 - 200, "{counted:?}");
        assert!(counted.waits <= 350 - 150, "{counted:?}");
        wlan.down().await.unwrap();
        bench.assert_no_violations();
    }
}

#[tokio::test]
async fn w1_every_channel_and_width_that_it_has_is_tuned_from_every_other_band() {
    let bench = Bench::without_latency(Rtl8814au::builder());
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

#[tokio::test]
async fn w1_serial_and_posted_writes_leave_it_alike() {
    for (primary, width) in [(6, Width::Mhz40), (36, Width::Mhz80), (165, Width::Mhz20)] {
        let [posted, serial] = [ordinary(), ordinary()];
        let on = |serial| options().channel(channel(primary, width)).serial_io(serial);
        let first = posted.attach_with(on(false)).await.unwrap();
        let second = serial.attach_with(on(true)).await.unwrap();
        let state = |bench: &Bench| {
            let mut registers = bench.probe.registers();
            // The TSF runs on, and the two ways take different times.
            registers[0x560..0x568].fill(None);
            let radio: Vec<u32> = (0..4)
                .flat_map(|path| (0..=0xff).map(move |reg| (path, reg)))
                .map(|(path, reg)| bench.probe.rf(path, reg))
                .collect();
            (registers, radio, bench.probe.llt(), bench.probe.agc(), bench.probe.firmware())
        };
        assert!(state(&posted) == state(&serial), "channel {primary}");
        first.down().await.unwrap();
        second.down().await.unwrap();
        posted.assert_no_violations();
        serial.assert_no_violations();
    }
}

#[tokio::test]
async fn w1_beacons_carry_the_signal_of_its_four_chains_and_every_frame_is_accounted_for() {
    let air = Air::default_scene(7);
    let bench = Bench::new(Rtl8814au::builder().air(&air));
    let wlan = bench.attach().await.unwrap();
    let mut frames = wlan.frames();
    let mut delivered = 0_u64;
    let mut of_four = 0;
    while delivered < 100 {
        let frame = frames.next().await.expect("the air is never quiet here");
        delivered += 1;
        assert_eq!(frame.channel(), wlan.channel());
        let chains: Vec<_> = frame.meta().chains.iter().collect();
        let numbers: Vec<_> = chains.iter().map(|(chain, _)| *chain).collect();
        // CCK is heard on one of them alone.
        assert!(numbers == [0] || numbers == [0, 1, 2, 3], "{frame:?}");
        of_four += u64::from(numbers.len() == 4);
        assert!(chains.iter().any(|(_, dbm)| Some(*dbm) == frame.signal_dbm()), "{frame:?}");
        assert!(chains.iter().all(|(_, dbm)| (-110..0).contains(dbm)), "{frame:?}");
        assert!(frame.meta().time > Duration::ZERO);
    }
    assert!(of_four > 0, "some are OFDM");
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

#[tokio::test]
async fn w1_it_calibrates_and_receives_on() {
    let air = Air::default_scene(7);
    let bench = Bench::new(Rtl8814au::builder().air(&air));
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

#[tokio::test]
async fn w6_blank_and_odd_efuses_come_up() {
    let model = Model::Rtl8814au;
    for efuse in [Efuse::blank_of(model), Efuse::external_pa_of(model), Efuse::seeded_of(model, 99)] {
        let bench = Bench::without_latency(Rtl8814au::builder().efuse(efuse));
        let wlan = bench.attach().await.unwrap();
        wlan.set_channel("36/80".parse().unwrap()).await.unwrap();
        wlan.set_channel("6-".parse().unwrap()).await.unwrap();
        wlan.down().await.unwrap();
        bench.assert_no_violations();
    }
}

#[tokio::test]
async fn w6_one_that_fails_names_its_stage_and_register_and_is_switched_off() {
    let stuck = Personality::StuckPoll;
    for (personality, stage, register) in [
        (Personality::ChecksumFails, Stage::Firmware, "DDMA_CH0CTRL"),
        (Personality::McuNeverBoots, Stage::Firmware, "MCUFW_CTRL"),
        (stuck(Poll::MacOn), Stage::Power, "SYS_PW_CTRL+1"),
        (stuck(Poll::Efuse), Stage::Efuse, "EFUSE_CTRL"),
        (stuck(Poll::PageList), Stage::Mac, "AUTO_LLT_V1"),
    ] {
        let bench = Bench::without_latency(Rtl8814au::builder().personality(personality));
        let error = bench.attach().await.err().unwrap_or_else(|| panic!("{personality:?} came up"));
        assert_eq!(error.stage(), stage, "{personality:?}: {error}");
        assert!(error.to_string().contains(register), "{personality:?}: {error}");
        assert!(!bench.probe.firmware_runs(), "{personality:?}");
    }
}

#[tokio::test]
async fn w4_the_firmware_of_another_chip_is_refused_by_name() {
    let bench = ordinary();
    let error = bench.attach_with(options_of(Model::Rtl8812au)).await.err().unwrap();
    assert!(error.to_string().contains("RTL8812A"), "{error}");
}

#[tokio::test]
async fn w6_one_that_was_left_on_is_switched_off_and_comes_up_again() {
    let bench = ordinary();
    let first = bench.attach().await.unwrap();
    let fresh = bench.probe.registers();
    // Its driver goes away in the middle of things: a second one finds the chip running.
    let second = bench.attach().await.unwrap();
    assert!(bench.probe.firmware_runs());
    let again = bench.probe.registers();
    // The TSF runs on, and the firmware was woken by a bit that toggles.
    let ours = |at: &usize| (0x560..0x568).contains(at) || *at == 0xfe58;
    let differing = (0x100..fresh.len()).filter(|at| !ours(at) && fresh[*at] != again[*at]);
    let names: Vec<_> = differing.map(|at| airlift_regs::name_of(at as u16)).collect();
    assert!(names.is_empty(), "{names:?}");
    second.down().await.unwrap();
    drop(first);
    bench.assert_no_violations();
}
