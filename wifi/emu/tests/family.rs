//! E1, E3, E4: what holds for every chip of the family, each by its own sequences.

mod common;

use std::time::Duration;

use airlift_emu::{Air, AirFrame, Efuse, Model, Personality, RadioOptions, Rate, ResetValues, Rule, Tuning};
use airlift_hcd::{Speed, UsbFunction};
use common::{Host, outgoing, packets};

fn host(model: Model) -> Host {
    Host::new(model.builder().air(&Air::quiet(1)))
}

fn frame(length: usize, from: u8) -> Vec<u8> {
    let mut frame = vec![from; length];
    frame[0] = 0x80;
    frame[1] = 0;
    frame[4..10].fill(0xff);
    frame[10..16].copy_from_slice(&[2, 0, 0, 0, 0, from]);
    frame
}

#[test]
fn e1_each_chip_powers_on_and_off_and_on_again() {
    for model in Model::ALL {
        let mut host = host(*model);
        assert_eq!(host.read8(0x100), Ok(0xea), "{model}");
        for _ in 0..2 {
            host.power_on(&[]).unwrap();
            assert_eq!(host.read(0x100, 2), Ok(0x063f), "{model}");
            host.power_off(&[]).unwrap();
            assert_eq!(host.read8(0x100), Ok(0xea), "{model}");
        }
        assert_eq!(host.probe.violations(), [], "{model}");
    }
}

#[test]
fn e1_each_chips_fuses_are_read_through_the_port() {
    for model in Model::ALL {
        for efuse in [Efuse::ordinary_of(*model), Efuse::external_pa_of(*model), Efuse::blank_of(*model)] {
            let mut host = Host::new(model.builder().efuse(efuse.clone()));
            host.power_on(&[]).unwrap();
            host.efuse_grant(&[]).unwrap();
            let read: Vec<u8> = (0..1024).map(|at| host.efuse_byte(at).unwrap().unwrap()).collect();
            assert_eq!(read, efuse.physical(), "{model}");
            assert_eq!(host.probe.violations(), [], "{model}");
        }
    }
}

#[test]
fn e1_each_chips_firmware_arrives_is_summed_and_runs() {
    for model in Model::ALL {
        let mut host = host(*model);
        let image = model.stand_in_firmware();
        for _ in 0..2 {
            host.power_on(&[]).unwrap();
            assert_eq!(host.firmware(&image), Ok((true, true)), "{model}");
            assert!(host.probe.firmware_runs());
            host.power_off(&[]).unwrap();
            assert!(!host.probe.firmware_runs());
        }
        assert_eq!(host.probe.violations(), [], "{model}");
        let mut damaged = image.clone();
        *damaged.last_mut().unwrap() ^= 0x10;
        host.power_on(&[]).unwrap();
        assert_eq!(host.firmware(&damaged), Ok((false, false)), "{model}");
    }
}

#[test]
fn e3_each_chip_has_the_personalities_of_its_mcu() {
    for model in Model::ALL {
        let image = model.stand_in_firmware();
        for (personality, outcome) in [
            (Personality::ChecksumFails, (false, false)),
            (Personality::McuNeverBoots, (true, false)),
            (Personality::Slow(10), (true, true)),
        ] {
            let mut host = Host::new(model.builder().personality(personality));
            host.power_on(&[]).unwrap();
            assert_eq!(host.firmware(&image), Ok(outcome), "{model}, {personality:?}");
        }
    }
}

#[test]
fn e1_each_chip_hears_both_bands_and_only_its_channel() {
    for model in Model::ALL {
        for channel in [1, 11, 36, 100, 149, 165] {
            let air = Air::quiet(1);
            let mut senders = [channel, if channel == 1 { 6 } else { 1 }].map(|channel| {
                let mut radio = air.join(RadioOptions::default());
                radio.tune(Duration::ZERO, Tuning::channel(channel));
                radio
            });
            let mut host = Host::new(model.builder().air(&air));
            host.receive_on(channel).unwrap();
            assert_eq!(host.probe.tuning(), Tuning::channel(channel), "{model}");
            for (number, sender) in senders.iter_mut().enumerate() {
                let frame = AirFrame::new(frame(100, number as u8 + 1).into(), Rate::OFDM_6M);
                sender.transmit(host.now, frame).unwrap();
            }
            host.post_receive();
            let until = host.now + Duration::from_millis(10);
            let heard: Vec<_> = host.receive_until(until).into_iter().flat_map(packets).collect();
            assert_eq!(heard.len(), 1, "{model} on {channel}");
            assert_eq!(heard[0].payload[..100], frame(100, 1));
            assert_eq!(heard[0].info.len(), 32);
            assert_eq!(host.probe.violations(), [], "{model}");
        }
    }
}

#[test]
fn e1_each_chip_sends_on_its_channel() {
    for model in Model::ALL {
        let air = Air::quiet(1);
        let mut listener = air.join(RadioOptions::default());
        listener.tune(Duration::ZERO, Tuning::channel(6));
        let mut host = Host::new(model.builder().air(&air));
        host.receive_on(6).unwrap();
        let data = outgoing(&frame(200, 7), 4, None);
        assert_eq!(host.send(host.bulk_out(), &data), Some(Ok(())), "{model}");
        let heard = listener.receive(host.now + Duration::from_secs(1)).expect("a frame on the air");
        assert_eq!(heard.bytes[..], frame(200, 7)[..]);
        assert_eq!(host.probe.transmit_stats().sent, 1);
    }
}

#[test]
fn e1_a_scrambled_chip_of_each_model_works_as_any() {
    for model in Model::ALL {
        let builder = model.builder().air(&Air::quiet(1)).reset_values(ResetValues::Scrambled(3));
        let mut host = Host::new(builder);
        host.receive_on(36).unwrap();
        assert_eq!(host.probe.tuning(), Tuning::channel(36), "{model}");
        host.power_off(&[]).unwrap();
        host.receive_on(1).unwrap();
        assert_eq!(host.probe.tuning(), Tuning::channel(1), "{model}");
        assert_eq!(host.probe.violations(), [], "{model}");
    }
}

#[test]
fn e3_only_a_chip_with_usb_3_comes_back_at_super_speed() {
    for model in Model::ALL {
        let switches = *model != Model::Rtl8821au;
        let efuse = Efuse::ordinary_of(*model);
        assert_eq!(efuse.clone().with_usb3_switch() != efuse, switches, "{model}");
        let mut host = Host::new(model.builder().efuse(efuse.with_usb3_switch()).usb3_port(true));
        assert_eq!(host.switch_usb_mode().is_some(), switches, "{model}");
        assert_eq!(host.probe.departures(), u64::from(switches), "{model}");
        // One without USB 3 would go down and stay there.
        let rules: Vec<Rule> = host.probe.violations().iter().map(|violation| violation.rule).collect();
        assert_eq!(rules == [Rule::UsbDownUnprepared], !switches, "{model}: {rules:?}");
        let speed = if switches { Speed::Super } else { Speed::High };
        assert_eq!(host.device.descriptors().speed, speed, "{model}");
        let made = model.builder().speed(Speed::Super).build();
        assert_eq!(made.descriptors().speed, speed, "{model}");
    }
}

#[test]
fn e3_each_chip_falls_silent_and_gives_back_what_is_cancelled() {
    for model in Model::ALL {
        let mut host = Host::new(model.builder().personality(Personality::Silent { after: 2 }));
        host.read8(0x100).unwrap();
        host.read8(0x100).unwrap();
        assert!(host.control(airlift_hcd::Setup::vendor_in(0x05, 0x100, 0, 1), &[]).is_none());
        let held = host.device.cancel(airlift_hcd::UrbId(3)).expect("the adapter holds the URB");
        assert_eq!(held.id(), airlift_hcd::UrbId(3));
    }
}

#[test]
fn e4_the_same_seed_gives_the_same_accesses_and_transfers() {
    let run = |model: Model, seed: u64| {
        let efuse = Efuse::seeded_of(model, seed);
        let mut host = Host::new(model.builder().seed(seed).efuse(efuse).air(&Air::default_scene(seed)));
        host.probe.start_log();
        host.receive_on(11).unwrap();
        host.efuse_grant(&[]).unwrap();
        for address in 0..512 {
            host.efuse_byte(address).unwrap();
        }
        host.post_receive();
        let until = host.now + Duration::from_millis(300);
        (host.receive_until(until), host.probe.take_log())
    };
    for model in Model::ALL {
        let first = run(*model, 1);
        assert!(!first.0.is_empty(), "{model}");
        assert_eq!(first, run(*model, 1), "{model}");
        assert_ne!(first, run(*model, 2), "{model}");
    }
}
