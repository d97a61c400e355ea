//! E3: adapters with faults, seen from the bus.

mod common;

use airlift_emu::{Air, Efuse, Personality, Poll, Rtl8812au, efuse, stand_in_firmware};
use airlift_hcd::{Departure, Setup, Speed, TransferError, UsbFunction};
use common::Host;

fn with(personality: Personality) -> Host {
    Host::new(Rtl8812au::builder().personality(personality))
}

#[test]
fn e3_a_blank_efuse_reads_as_ones() {
    let mut host = Host::new(Rtl8812au::builder().efuse(Efuse::blank()));
    host.power_on(&[]).unwrap();
    host.efuse_grant(&[]).unwrap();
    for address in [0, 1, 511, 512, 1019, 1023] {
        assert_eq!(host.efuse_byte(address), Ok(Some(0xff)));
    }
}

#[test]
fn e3_an_odd_efuse_is_what_its_maker_wrote() {
    let odd = Efuse::from_physical(&[0x0f, 0xf0, 0xff, 0x3e, 0xaa, 0x55]);
    let mut host = Host::new(Rtl8812au::builder().efuse(odd.clone()));
    host.power_on(&[]).unwrap();
    host.efuse_grant(&[]).unwrap();
    let read: Vec<_> = (0..8).map(|address| host.efuse_byte(address).unwrap().unwrap()).collect();
    assert_eq!(read, odd.physical()[..8]);
    let amplified = Efuse::external_pa().logical();
    assert_eq!(amplified[usize::from(efuse::offset::PA_TYPE)], 0x33);
    assert_eq!(amplified[usize::from(efuse::offset::RFE_OPTION)], 3);
}

#[test]
fn e3_a_checksum_that_fails_is_never_reported_as_good() {
    let mut host = with(Personality::ChecksumFails);
    host.power_on(&[]).unwrap();
    for _ in 0..2 {
        assert_eq!(host.firmware(&stand_in_firmware()), Ok((false, false)));
    }
    assert!(!host.probe.firmware_runs());
}

#[test]
fn e3_an_mcu_that_never_boots_takes_its_firmware_all_the_same() {
    let mut host = with(Personality::McuNeverBoots);
    host.power_on(&[]).unwrap();
    assert_eq!(host.firmware(&stand_in_firmware()), Ok((true, false)));
}

/// Brings the chip as far as `poll`, and tells whether the poll ended well.
fn reaches(host: &mut Host, poll: Poll) -> bool {
    if poll == Poll::PowerReady {
        host.change8(0x05, 0x08, 0).unwrap();
        return host.poll8(0x06, 0x02, 0x02).unwrap();
    }
    host.power_on(&[]).unwrap();
    match poll {
        Poll::PowerReady => unreachable!(),
        Poll::MacOn => host.poll8(0x05, 0x01, 0).unwrap(),
        Poll::MacOff => {
            host.change8(0x05, 0, 0x02).unwrap();
            host.poll8(0x05, 0x02, 0).unwrap()
        }
        Poll::Efuse => {
            host.efuse_grant(&[]).unwrap();
            host.efuse_byte(0).unwrap().is_some()
        }
        Poll::PageList => {
            host.write32(0x1e0, 0x4000_0001).unwrap();
            host.poll8(0x1e3, 0xc0, 0).unwrap()
        }
        Poll::DownloadEnable => {
            host.change8(0x80, 0, 0x01).unwrap();
            host.poll8(0x80, 0x01, 0x01).unwrap()
        }
        Poll::Checksum => host.firmware(&stand_in_firmware()).unwrap().0,
        Poll::FirmwareReady => host.firmware(&stand_in_firmware()).unwrap().1,
        Poll::Mailbox => {
            host.firmware(&stand_in_firmware()).unwrap();
            host.write32(0x1d0, 0).unwrap();
            host.poll8(0x1cc, 1, 0).unwrap()
        }
    }
}

#[test]
fn e3_each_stuck_poll_is_stuck_and_no_other_is() {
    for poll in Poll::ALL {
        assert!(!reaches(&mut with(Personality::StuckPoll(*poll)), *poll), "{poll:?}");
        let mut healthy = Host::new(Rtl8812au::builder());
        assert!(reaches(&mut healthy, *poll), "{poll:?}");
        assert_eq!(healthy.probe.violations(), []);
        // Taken off, the fault leaves nothing behind.
        let mut healed = with(Personality::StuckPoll(*poll));
        healed.probe.unstick();
        assert!(reaches(&mut healed, *poll), "{poll:?}");
    }
}

#[test]
fn e3_a_slow_chip_gets_there_in_the_end() {
    let mut host = with(Personality::Slow(20));
    host.power_on(&[]).unwrap();
    assert_eq!(host.firmware(&stand_in_firmware()), Ok((true, true)));
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e3_a_silent_adapter_answers_nothing_and_gives_back_what_is_cancelled() {
    let mut host = with(Personality::Silent { after: 3 });
    for _ in 0..3 {
        host.read8(0x100).unwrap();
    }
    assert!(host.control(Setup::vendor_in(0x05, 0x100, 0, 1), &[]).is_none());
    let id = airlift_hcd::UrbId(4);
    assert!(host.device.poll(host.now).is_none() && host.device.next_deadline().is_none());
    let urb = host.device.cancel(id).expect("the adapter holds the URB");
    assert_eq!(urb.fail(TransferError::Cancelled).id, id);
    assert!(host.device.cancel(id).is_none());
}

#[test]
fn e3_a_host_that_switches_the_usb_mode_finds_the_device_at_super_speed() {
    let builder = Rtl8812au::builder().efuse(Efuse::ordinary().with_usb3_switch()).usb3_port(true);
    let mut host = Host::new(builder);
    assert_eq!(host.device.descriptors().speed, Speed::High);
    assert_eq!(host.read8(0x74).unwrap() & 0x0c, 0, "nobody has switched it yet");
    assert!(host.switch_usb_mode().is_some());
    let descriptors = host.device.descriptors();
    assert_eq!((descriptors.speed, descriptors.device[3], descriptors.device[7]), (Speed::Super, 3, 9));
    assert_eq!((host.read8(0x74).unwrap(), host.read8(0xff).unwrap()), (0x08, 0x20));
    assert_eq!((host.probe.departures(), host.probe.violations()), (1, vec![]));
    assert_eq!(Efuse::ordinary().with_usb3_switch().logical()[8] & 2, 2);
}

#[test]
fn e3_in_a_port_without_usb_3_the_device_comes_back_at_high_speed_and_knows_that_it_was_switched() {
    let builder = Rtl8812au::builder().efuse(Efuse::ordinary().with_usb3_switch());
    let mut host = Host::new(builder.clone());
    assert!(host.switch_usb_mode().is_some());
    assert_eq!((host.device.descriptors().speed, host.probe.speed()), (Speed::High, Speed::High));
    assert_eq!((host.read8(0x74).unwrap(), host.read8(0xff).unwrap()), (0x08, 0x00));
    // Also after a reset of the bus, but not without power.
    host.device.reset(host.now);
    assert_eq!(host.read8(0x74).unwrap(), 0x08);
    host.device.plugged(host.now, std::task::Waker::noop().clone());
    assert_eq!(host.read8(0x74).unwrap(), 0x00);
    // One that forgets.
    let mut host = Host::new(builder.personality(Personality::ForgetsUsbMode));
    assert!(host.switch_usb_mode().is_some());
    assert_eq!(host.read8(0x74).unwrap(), 0x00);
}

#[test]
fn e3_a_device_that_does_not_come_back_says_so() {
    let builder = Rtl8812au::builder().usb3_port(true).personality(Personality::NeverReturns);
    let mut host = Host::new(builder);
    assert_eq!(host.switch_usb_mode(), Some(Departure { back_after: None }));
}

#[test]
fn e3_a_device_that_leaves_by_itself_does_so_each_time_it_is_there() {
    let mut host = with(Personality::Leaves { after: 3 });
    for departures in 1..=3 {
        for _ in 0..3 {
            host.read8(0x100).unwrap();
            assert_eq!(host.device.departs(host.now), None);
        }
        host.read8(0x100).unwrap();
        assert!(host.device.departs(host.now).is_some_and(|departure| departure.back_after.is_some()));
        assert_eq!(host.device.departs(host.now), None, "it says so once");
        host.device.plugged(host.now, std::task::Waker::noop().clone());
        assert_eq!((host.probe.departures(), host.probe.speed()), (departures, Speed::High));
    }
}

#[test]
fn e4_adapters_of_one_seed_are_alike_and_of_others_not() {
    let log = |seed: u64| {
        let mut host = Host::new(
            Rtl8812au::builder().seed(seed).efuse(Efuse::seeded(seed)).air(&Air::default_scene(seed)),
        );
        host.probe.start_log();
        host.power_on(&[]).unwrap();
        host.efuse_grant(&[]).unwrap();
        for address in 0..512 {
            host.efuse_byte(address).unwrap();
        }
        host.probe.take_log()
    };
    assert_eq!(log(1), log(1));
    assert_ne!(log(1), log(2));
}
