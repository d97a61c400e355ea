//! What stands in an adapter's EFUSE: all that its maker may have chosen, and what no maker would.

mod common;

use airlift_emu::efuse::offset;
use airlift_emu::{Efuse, Model};
use airlift_wifi::{Channel, Error, ErrorKind, Stage, Width, Wlan};
use common::random::Random;
use common::{Bench, options};

async fn attach(efuse: Efuse) -> (Bench, Result<Wlan, Error>) {
    let bench = Bench::without_latency(efuse.model().builder().efuse(efuse));
    let wlan = bench.attach().await;
    (bench, wlan)
}

/// It comes up and tunes to every kind of channel that it allows, or says what is wrong with its EFUSE and is off.
/// Whether it came up.
async fn comes_up_or_says_why(efuse: Efuse) -> bool {
    let (bench, wlan) = attach(efuse).await;
    let came_up = wlan.is_ok();
    match wlan {
        Ok(wlan) => {
            for (primary, width) in [(36, Width::Mhz80), (6, Width::Mhz40), (165, Width::Mhz20)] {
                match wlan.set_channel(Channel::new(primary, width).unwrap()).await {
                    Ok(()) => {}
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::Channel(_)), "{error:?}");
                        assert_eq!(width, Width::Mhz80, "{error}");
                    }
                }
            }
            wlan.set_tx_power(Some(0)).await.unwrap();
            wlan.down().await.unwrap();
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Efuse(_) | ErrorKind::Unsupported(_)), "{error:?}");
            assert!(!error.is_retryable(), "the fuses will hold the same next time: {error}");
        }
    }
    bench.assert_no_violations();
    assert!(!bench.probe.firmware_runs(), "it is off");
    bench.shutdown().await;
    came_up
}

#[tokio::test]
async fn w6_any_bytes_in_the_efuse_bring_an_adapter_up_or_are_refused_by_name() {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    for &model in Model::ALL {
        for round in 0..24 {
            // All random; or random up to somewhere, and blank behind.
            let length = if round % 3 == 0 { 1024 } else { usize::from(random.byte()) * 2 };
            let bytes = random.bytes(length);
            comes_up_or_says_why(Efuse::from_physical_of(model, &bytes)).await;
        }
    }
}

/// Well-formed lists of blocks, with any contents: every field has values that nobody has seen.
#[tokio::test]
async fn w6_any_values_of_its_fields_bring_an_adapter_up_or_are_refused_by_name() {
    for &model in Model::ALL {
        let mut random = Random::new(0x2545_f491_4f6c_dd1d);
        let mut came_up = 0;
        for round in 0..24 {
            let bytes = fields(&mut random, round % 2 == 0);
            came_up += usize::from(comes_up_or_says_why(Efuse::from_physical_of(model, &bytes)).await);
        }
        assert!(came_up >= 8, "{came_up} of 24 {model:?}");
    }
}

/// Every block up to 0x21 once, some of its words, and random straps; the front end is one that exists, if asked for.
fn fields(random: &mut Random, known_front_end: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in 0..=0x21_u8 {
        let skip = random.byte() & random.byte() & 0x0f;
        if block < 16 && (block << 4 | skip) & 0x1f != 0x0f {
            bytes.push(block << 4 | skip);
        } else {
            bytes.extend([block << 5 | 0x0f, block << 1 & 0xf0 | skip]);
        }
        for word in (0..4).filter(|word| skip & (1 << word) == 0) {
            let mut data = random.bytes(2);
            if block == 0x19 && word == 1 && known_front_end {
                data[0] = random.byte() % 4;
            }
            bytes.extend(data);
        }
    }
    let straps = random.bytes(4);
    bytes.resize(1024, 0xff);
    bytes[1018..1022].copy_from_slice(&straps);
    bytes
}

#[tokio::test]
async fn w1_every_front_end_that_mainline_has_tables_for_comes_up_and_others_are_refused_by_number() {
    for option in [0, 1, 2, 3, 4, 5, 6, 0x2a] {
        let (bench, wlan) = attach(Efuse::ordinary().with_rfe_option(option)).await;
        match wlan {
            Ok(wlan) => {
                assert!(option <= 3, "{option}");
                wlan.set_channel(Channel::new(149, Width::Mhz80).unwrap()).await.unwrap();
                wlan.calibrate().await.unwrap();
                wlan.down().await.unwrap();
            }
            Err(error) => {
                assert!(option > 3, "front end {option}: {error}");
                assert!(error.to_string().contains(&option.to_string()), "{error}");
            }
        }
        bench.assert_no_violations();
    }
}

#[tokio::test]
async fn w1_the_crystal_is_trimmed_as_the_efuse_says() {
    for (value, trim) in [(0x00, 0x00), (0x1f, 0x1f), (0x3f, 0x3f), (0xc5, 0x05), (0xff, 0x20)] {
        let (bench, wlan) = attach(Efuse::ordinary().with(offset::CRYSTAL_CAP, &[value])).await;
        let wlan = wlan.unwrap();
        let held = bench.probe.register(0x002c, 4) >> 19 & 0xfff;
        assert_eq!(held, trim | trim << 6, "{value:#x}");
        wlan.down().await.unwrap();
    }
}

/// Option cells: antennas at 1018 and 1019, modes at 1020 and 1021.
fn with_options(antennas: u8, mode: u8) -> Efuse {
    let mut bytes = *Efuse::ordinary().physical();
    bytes[1018..1022].copy_from_slice(&[antennas << 5, antennas << 5, mode << 2, mode << 2]);
    Efuse::from_physical(&bytes)
}

#[tokio::test]
async fn w1_an_adapter_with_one_antenna_comes_up_with_one_chain() {
    for (antennas, chains) in [(1, 1), (2, 2), (0, 2)] {
        let (bench, wlan) = attach(with_options(antennas, 3)).await;
        let wlan = wlan.unwrap();
        assert_eq!(wlan.chains(), chains);
        wlan.set_channel(Channel::new(36, Width::Mhz80).unwrap()).await.unwrap();
        wlan.calibrate().await.unwrap();
        wlan.down().await.unwrap();
        bench.assert_no_violations();
    }
}

#[tokio::test]
async fn w1_where_the_efuse_rules_out_vht_80_mhz_is_refused_and_the_adapter_stays_where_it_is() {
    let (bench, wlan) = attach(with_options(2, 2)).await;
    let wlan = wlan.unwrap();
    let before = wlan.channel();
    let error = wlan.set_channel(Channel::new(36, Width::Mhz80).unwrap()).await.unwrap_err();
    assert_eq!(error.stage(), Stage::Channel);
    let text = error.to_string();
    assert!(text.contains("80 MHz") && text.contains("possible: 20 and 40 MHz"), "{text}");
    assert_eq!(wlan.channel(), before);
    wlan.set_channel(Channel::new(36, Width::Mhz40).unwrap()).await.unwrap();
    wlan.down().await.unwrap();
    // Asked for from the start it does not come up, and says the same.
    let error = bench
        .attach_with(options().channel(Channel::new(36, Width::Mhz80).unwrap()))
        .await
        .expect_err("a width that it has not");
    assert!(error.to_string().contains("possible: 20 and 40 MHz"), "{error}");
    bench.assert_no_violations();
}

#[tokio::test]
async fn w1_a_blank_efuse_gives_an_adapter_without_an_address() {
    let (bench, wlan) = attach(Efuse::blank()).await;
    let wlan = wlan.unwrap();
    assert_eq!((wlan.mac_address(), wlan.chains()), (None, 2));
    wlan.down().await.unwrap();
    bench.assert_no_violations();
}
