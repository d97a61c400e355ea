//! E1: the chip comes up step by step, and says so the way silicon does.

mod common;

use airlift_emu::{Efuse, Rtl8812au, stand_in_firmware};
use common::Host;

fn host() -> Host {
    Host::new(Rtl8812au::builder())
}

#[test]
fn e1_the_mac_answers_ea_until_it_is_powered() {
    let mut host = host();
    assert_eq!(host.read8(0x100), Ok(0xea));
    assert_eq!(host.read8(0xf5).map(|status| status & 1), Ok(1));
    host.power_on(&[]).unwrap();
    assert_eq!(host.read(0x100, 2), Ok(0x063f));
    assert_eq!(host.read8(0xf5).map(|status| status & 1), Ok(0));
    host.power_off(&[]).unwrap();
    assert_eq!(host.read8(0x100), Ok(0xea));
    // And again: what a power-off leaves is what a power-on starts from.
    host.power_on(&[]).unwrap();
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e1_every_efuse_byte_is_read_through_the_port() {
    let mut host = host();
    host.power_on(&[]).unwrap();
    host.efuse_grant(&[]).unwrap();
    let read: Vec<u8> = (0..1024).map(|address| host.efuse_byte(address).unwrap().unwrap()).collect();
    assert_eq!(read, Efuse::ordinary().physical());
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e1_the_page_list_is_what_was_written() {
    let mut host = host();
    host.power_on(&[]).unwrap();
    host.page_list().unwrap();
    let list = host.probe.llt();
    assert_eq!((list[0], list[246], list[255]), (Some(1), Some(255), Some(247)));
}

#[test]
fn e1_firmware_arrives_is_summed_and_runs() {
    let mut host = host();
    host.power_on(&[]).unwrap();
    let image = stand_in_firmware();
    assert_eq!(host.firmware(&image), Ok((true, true)));
    assert_eq!(host.probe.firmware(), image[32..]);
    // A second download after a power cycle starts from nothing.
    host.power_off(&[]).unwrap();
    assert!(!host.probe.firmware_runs());
    host.power_on(&[]).unwrap();
    assert_eq!(host.firmware(&image), Ok((true, true)));
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e1_a_damaged_image_is_never_reported_as_good() {
    for at in [32, 4_200, 27_029] {
        let mut host = host();
        host.power_on(&[]).unwrap();
        let mut image = stand_in_firmware();
        image[at] ^= 0x40;
        assert_eq!(host.firmware(&image), Ok((false, false)));
    }
}

#[test]
fn e1_the_mailbox_is_emptied_by_the_firmware() {
    let mut host = host();
    host.power_on(&[]).unwrap();
    host.firmware(&stand_in_firmware()).unwrap();
    host.write32(0x1f0, 0x1122_3344).unwrap();
    host.write32(0x1d0, 0x5566_7788).unwrap();
    assert!(host.poll8(0x1cc, 1, 0).unwrap());
    assert_eq!(host.probe.commands(), [(0x1122_3344, 0x5566_7788)]);
}

#[test]
fn e1_rf_registers_read_back_through_the_window_that_the_mode_selects() {
    let mut host = host();
    host.receive_on(6).unwrap();
    host.write32(0xc90, 0x0561_2345).unwrap();
    host.write8(0x8b0, 0x56).unwrap();
    assert_eq!(host.read32(0xd04).unwrap() & 0xf_ffff, 0x1_2345);
    host.write8(0xc00, 0x03).unwrap();
    assert_eq!(host.read32(0xd08).unwrap() & 0xf_ffff, 0x1_2345);
    assert_eq!(host.probe.rf(0, 0x56), 0x1_2345);
    assert_eq!(host.probe.rf(1, 0x56), 0);
    assert_eq!(host.probe.violations(), []);
}

#[test]
fn e1_a_scrambled_chip_starts_from_other_values_and_works_as_any() {
    use airlift_emu::ResetValues;
    let scrambled = |seed| Host::new(Rtl8812au::builder().reset_values(ResetValues::Scrambled(seed)));
    let mut host = scrambled(7);
    host.power_on(&[]).unwrap();
    let values = |host: &mut Host| [0x0420, 0x0500, 0x0614, 0x0640].map(|at| host.read(at, 4).unwrap());
    let first = values(&mut host);
    assert!(first.iter().all(|value| value.to_le_bytes().iter().all(|byte| *byte != 0)), "{first:x?}");
    assert_eq!(host.firmware(&stand_in_firmware()), Ok((true, true)));
    // What a driver left does not outlive the power.
    host.write32(0x0614, 0).unwrap();
    host.power_off(&[]).unwrap();
    host.power_on(&[]).unwrap();
    assert_eq!(values(&mut host), first);
    assert_eq!(host.probe.violations(), []);
    let mut other = scrambled(8);
    other.power_on(&[]).unwrap();
    assert_ne!(values(&mut other), first);
}
