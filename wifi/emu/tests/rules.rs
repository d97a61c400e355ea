//! E1: each rule of strict mode, broken once. The bring-up without one of its steps, or with one too early, is
//! refused, and the violation names the rule; the bring-up as it is breaks none (`bring_up.rs`, `air.rs`).

mod common;

use airlift_emu::{Air, Model, Rule};
use airlift_hcd::{Setup, TransferError};
use common::rtl8814a::internal;
use common::{Host, Outcome, Step, outgoing, seal};

type Script = fn(&mut Host) -> Outcome<()>;

fn without_power_step(host: &mut Host, step: &'static str) -> Outcome<()> {
    host.power_on(&[Step(step)])
}

/// Powered, with a running firmware, up to the point before the transmit queues are set up.
fn running(host: &mut Host) -> Outcome<()> {
    host.power_on(&[])?;
    host.firmware(&host.model().stand_in_firmware()).map(drop)
}

/// A stall of a bulk OUT transfer.
fn send(host: &mut Host, data: &[u8]) -> Outcome<()> {
    host.send(0x02, data).expect("a broken rule is told at once")
}

fn frame() -> Vec<u8> {
    let mut frame = vec![0; 40];
    frame[0] = 0x80;
    frame[4..10].fill(0xff);
    outgoing(&frame, 0, None)
}

fn efuse_without(host: &mut Host, step: &'static str) -> Outcome<()> {
    host.power_on(&[])?;
    host.efuse_grant(&[Step(step)])?;
    host.efuse_byte(0).map(drop)
}

/// The switch of the USB mode without the write to `register`.
fn usb_down_without(host: &mut Host, register: u16) -> Outcome<()> {
    let steps = [(0x74, 0x08), (0x70, 0x02), (0x3e, 0x01), (0x3d, 0x03), (0x05, 0x80)];
    steps
        .into_iter()
        .filter(|step| step.0 != register)
        .try_for_each(|(address, value)| host.write8(address, value))
}

const A: Model = Model::Rtl8812au;
const B: Model = Model::Rtl8821au;
const C: Model = Model::Rtl8814au;

/// How each rule is broken, on the chip that has it.
const BREAKERS: &[(Model, Rule, Script)] = &[
    (A, Rule::UnknownRequest, |host| {
        host.control(Setup::vendor_in(0x05, 0x0000, 0, 3), &[]).unwrap().status.map(drop)
    }),
    (A, Rule::UnknownRegister, |host| {
        host.power_on(&[])?;
        host.read8(0x0108).map(drop)
    }),
    (A, Rule::ReadOnlyRegister, |host| host.write32(0x00f0, 0)),
    (A, Rule::BlockOutsideFirmware, |host| host.block(0x0040, &[0; 16])),
    (A, Rule::MacWhileOff, |host| host.read32(0x0608).map(drop)),
    (A, Rule::BasebandWhileReset, |host| {
        host.power_on(&[])?;
        host.write32(0x0804, 0)
    }),
    (A, Rule::MacOnWhileSuspended, |host| {
        // Everything but the step that wakes the card, without waiting for power in vain.
        host.power_on(&[Step("suspend"), Step("power ready")])
    }),
    (A, Rule::MacOnInLowPower, |host| {
        host.change8(0x05, 0, 0x04)?;
        host.power_on(&[Step("low power")])
    }),
    (A, Rule::MacOnBeforePowerReady, |host| {
        // A slow supply, and a driver that does not look whether it is there.
        host.power_on(&[Step("power ready")])
    }),
    (A, Rule::MacOnWithRegulatorAsleep, |host| without_power_step(host, "0x12")),
    (A, Rule::MacOnWithRegulatorAsleep, |host| without_power_step(host, "0x14")),
    (A, Rule::MacOnWithRegulatorAsleep, |host| without_power_step(host, "0x15")),
    (A, Rule::MacOnWithRegulatorAsleep, |host| without_power_step(host, "0x23")),
    (A, Rule::MacOnWithPadsParked, |host| without_power_step(host, "0x43")),
    (A, Rule::MacOnWithPadsParked, |host| without_power_step(host, "0x46")),
    (A, Rule::MacOnWithoutMcuBlock, |host| without_power_step(host, "mcu block")),
    (A, Rule::MacOnWithoutPll, |host| without_power_step(host, "0x24")),
    (A, Rule::MacOnWithoutPll, |host| without_power_step(host, "0x28")),
    (A, Rule::MacWithPllForced, |host| without_power_step(host, "0x24 back")),
    (A, Rule::MacWithPllForced, |host| without_power_step(host, "0x28 back")),
    (A, Rule::MacOffWithBasebandRunning, |host| {
        host.receive_on(6)?;
        host.power_off(&[Step("baseband reset")])
    }),
    (B, Rule::MacOnWithRegulatorAsleep, |host| without_power_step(host, "0x20")),
    (B, Rule::MacOnIsolated, |host| without_power_step(host, "isolation")),
    (B, Rule::MacOnWithPadsParked, |host| without_power_step(host, "0x4a")),
    (B, Rule::MacOnWithPadsParked, |host| without_power_step(host, "0x67")),
    (B, Rule::MacOnInReset, |host| without_power_step(host, "release")),
    (B, Rule::MacOffWithBasebandRunning, |host| {
        host.receive_on(6)?;
        host.power_off(&[Step("baseband reset")])
    }),
    (B, Rule::MacOffWithRadioOn, |host| {
        host.receive_on(6)?;
        host.power_off(&[Step("radio off")])
    }),
    (B, Rule::UnknownRegister, |host| {
        // There is no second path.
        host.receive_on(6)?;
        host.write32(0xe90, 0x0180_0c06)
    }),
    (C, Rule::MacOnWithRegulatorAsleep, |host| without_power_step(host, "0x12")),
    (C, Rule::MacOnWithRegulatorAsleep, |host| without_power_step(host, "0x15 first")),
    (C, Rule::MacOnWithRegulatorAsleep, |host| without_power_step(host, "0x15 second")),
    (C, Rule::MacOnWithRegulatorAsleep, |host| without_power_step(host, "0x23")),
    (C, Rule::MacOnWithPadsParked, |host| without_power_step(host, "0x46")),
    (C, Rule::MacOnWithoutMcuClock, |host| without_power_step(host, "mcu clock")),
    (C, Rule::MacOffWithBasebandRunning, |host| {
        host.receive_on(6)?;
        host.power_off(&[Step("baseband reset")])
    }),
    (C, Rule::MacOffWithRadioOn, |host| {
        host.receive_on(6)?;
        host.power_off(&[Step("radio off")])
    }),
    (C, Rule::SuspendWithMcuEnabled, |host| {
        host.power_on(&[])?;
        host.mcu_enable(true)?;
        host.power_off(&[Step("mcu block off")])
    }),
    (C, Rule::BasebandWhileReset, |host| {
        host.power_on(&[])?;
        host.write32(0x1b00, 0xf800_0000)
    }),
    (C, Rule::UnknownRegister, |host| {
        // The windows of the other chips are not there.
        host.receive_on(6)?;
        host.read32(0xd04).map(drop)
    }),
    (C, Rule::ReadOnlyRegister, |host| {
        host.receive_on(6)?;
        host.write32(0x2800 + 4 * 0x56, 0)
    }),
    (C, Rule::RfWhileOff, |host| {
        host.receive_on(6)?;
        host.write8(0x20, 0)?;
        host.read32(0x2c00).map(drop)
    }),
    (C, Rule::RfWhileOff, |host| {
        host.receive_on(6)?;
        host.write8(0x21, 0)?;
        host.write32(0x1890, 0x0180_0c06)
    }),
    (C, Rule::LltBusy, |host| {
        running(host)?;
        host.write8(0x208, 0x01)?;
        host.write8(0x208, 0x01)
    }),
    (C, Rule::DdmaBusy, |host| {
        host.power_on(&[])?;
        host.download_begin(&[])?;
        host.reserved_page(&[0; 4096], &[])?;
        host.write32(0x1208, 0xa000_1000)?;
        host.write32(0x1208, 0xa000_1000)
    }),
    (C, Rule::DdmaWithoutPlatform, |host| {
        host.power_on(&[])?;
        host.firmware_3081(&Model::Rtl8814au.stand_in_firmware(), &[Step("platform")]).map(drop)
    }),
    (C, Rule::FirmwareWithoutEnable, |host| {
        host.power_on(&[])?;
        let image = Model::Rtl8814au.stand_in_firmware();
        host.firmware_3081(&image, &[Step("download enable")]).map(drop)
    }),
    (C, Rule::FirmwareWhileRunning, |host| {
        running(host)?;
        host.change8(0x80, 0, 0x01)
    }),
    (C, Rule::McuStartWithoutClock, |host| {
        host.power_on(&[])?;
        let image = Model::Rtl8814au.stand_in_firmware();
        host.firmware_3081(&image, &[Step("mcu clock on")]).map(drop)
    }),
    (C, Rule::McuStartWithoutIo, |host| {
        host.power_on(&[])?;
        host.firmware_3081(&Model::Rtl8814au.stand_in_firmware(), &[Step("mcu io")]).map(drop)
    }),
    (C, Rule::ReservedPageDisabled, |host| {
        host.power_on(&[])?;
        host.download_begin(&[])?;
        host.reserved_page(&[0; 100], &[Step("beacon queue")]).map(drop)
    }),
    (C, Rule::TransmitWithoutPages, |host| {
        host.power_on(&[])?;
        host.download_begin(&[Step("pages")])?;
        host.reserved_page(&[0; 100], &[]).map(drop)
    }),
    (C, Rule::TransmitBeforeFirmware, |host| {
        // A command packet is for the firmware, so there must be one.
        host.power_on(&[])?;
        host.download_begin(&[])?;
        send(host, &internal(19, 0, &[0; 32]))
    }),
    (C, Rule::ReceiveWithoutBoundary, |host| {
        running(host)?;
        host.write8(0x100, 0xff)?;
        host.change8(0x1002, 0, 0x03)
    }),
    (A, Rule::SuspendWithMacOn, |host| {
        host.power_on(&[])?;
        host.power_off(&[Step("mac off")])
    }),
    (A, Rule::SuspendWithMcuEnabled, |host| {
        host.power_on(&[])?;
        host.power_off(&[Step("mcu block off")])
    }),
    (A, Rule::UsbDownWithMacOn, |host| {
        host.power_on(&[])?;
        usb_down_without(host, 0)
    }),
    (C, Rule::UsbDownWithMacOn, |host| {
        host.power_on(&[])?;
        usb_down_without(host, 0)
    }),
    (A, Rule::UsbDownUnprepared, |host| usb_down_without(host, 0x74)),
    (A, Rule::UsbDownUnprepared, |host| usb_down_without(host, 0x70)),
    (C, Rule::UsbDownUnprepared, |host| usb_down_without(host, 0x3e)),
    (C, Rule::UsbDownUnprepared, |host| usb_down_without(host, 0x3d)),
    (B, Rule::UsbDownUnprepared, |host| usb_down_without(host, 0)),
    (A, Rule::EfuseWithoutGrant, |host| efuse_without(host, "grant")),
    (A, Rule::EfuseWithoutLoader, |host| efuse_without(host, "loader")),
    (A, Rule::EfuseWithoutClock, |host| efuse_without(host, "clock")),
    (A, Rule::EfuseBusy, |host| {
        // Slow fuses, and a driver that does not wait for them.
        host.power_on(&[])?;
        host.efuse_grant(&[])?;
        host.write32(0x30, 0)?;
        host.write32(0x30, 0x100)
    }),
    (A, Rule::EfuseProgram, |host| {
        host.power_on(&[])?;
        host.efuse_grant(&[])?;
        host.write32(0x30, 0x8000_0000)
    }),
    (A, Rule::LltBusy, |host| {
        host.power_on(&[])?;
        host.write32(0x1e0, 0x4000_0001)?;
        host.write32(0x1e0, 0x4000_0102)
    }),
    (A, Rule::FirmwareWithoutEnable, |host| {
        host.power_on(&[])?;
        host.block(0x1000, &[0; 196])
    }),
    (A, Rule::FirmwareWhileRunning, |host| {
        running(host)?;
        host.change8(0x80, 0, 0x01)
    }),
    (A, Rule::McuStartWhileDownloading, |host| {
        host.power_on(&[])?;
        host.change8(0x80, 0, 0x03)?;
        host.mcu_enable(false)?;
        host.mcu_enable(true)
    }),
    (A, Rule::McuStartWithoutIo, |host| {
        host.power_on(&[])?;
        host.change8(0x80, 0, 0x02)?;
        host.mcu_enable(false)?;
        host.change8(0x03, 0, 0x04)
    }),
    (A, Rule::MailboxBeforeFirmware, |host| {
        host.power_on(&[])?;
        host.write32(0x1d0, 0)
    }),
    (A, Rule::MailboxFull, |host| {
        running(host)?;
        host.write32(0x1d0, 0)?;
        host.write32(0x1d0, 0)
    }),
    (A, Rule::RfWhileOff, |host| {
        host.receive_on(6)?;
        host.write8(0x1f, 0)?;
        host.write32(0xc90, 0x0180_0c06)
    }),
    (A, Rule::RfWhileOff, |host| {
        host.receive_on(6)?;
        host.write8(0x76, 0)?;
        host.read32(0xd44).map(drop)
    }),
    (A, Rule::RfReadbackNotSelected, |host| {
        host.receive_on(6)?;
        host.read32(0xd08).map(drop)
    }),
    (A, Rule::RfReadWithoutCcaOff, |host| {
        host.receive_on(6)?;
        host.write8(0x8b0, 0x18)?;
        host.read32(0xd04).map(drop)
    }),
    (A, Rule::ReceiveBeforeFirmware, |host| {
        host.power_on(&[])?;
        host.write16(0x116, 0x3e7f)?;
        host.change8(0x100, 0, 0xc0)?;
        host.baseband_on()
    }),
    (A, Rule::ReceiveWithoutBoundary, |host| {
        running(host)?;
        host.change8(0x100, 0, 0xc0)?;
        host.baseband_on()
    }),
    (A, Rule::TransmitBeforeFirmware, |host| {
        host.power_on(&[])?;
        send(host, &frame())
    }),
    (A, Rule::TransmitDisabled, |host| {
        running(host)?;
        send(host, &frame())
    }),
    (A, Rule::TransmitWithoutPageList, |host| {
        running(host)?;
        host.change8(0x100, 0, 0x40)?;
        send(host, &frame())
    }),
    (A, Rule::TransmitWithoutPages, |host| {
        running(host)?;
        host.page_list()?;
        host.change8(0x100, 0, 0x40)?;
        send(host, &frame())
    }),
    (A, Rule::TransmitBadChecksum, |host| {
        host.receive_on(6)?;
        let mut data = frame();
        data[28] ^= 1;
        send(host, &data)
    }),
    (A, Rule::TransmitBadDescriptor, |host| {
        host.receive_on(6)?;
        let mut data = frame();
        data[0] = 200;
        seal(&mut data);
        send(host, &data)
    }),
    (A, Rule::TransmitTooMany, |host| {
        host.receive_on(6)?;
        let mut data = frame();
        data.extend(frame());
        data[31] = 2;
        seal(&mut data);
        send(host, &data)
    }),
];

/// Rules about things that take time show themselves on a chip that takes more of it; one about early cuts on
/// such a cut.
fn host_for(model: Model, rule: Rule, strict: bool) -> Host {
    let builder = model.builder().air(&Air::quiet(0)).strict(strict);
    Host::new(match rule {
        Rule::MacOnBeforePowerReady
        | Rule::EfuseBusy
        | Rule::LltBusy
        | Rule::MailboxFull
        | Rule::DdmaBusy => builder.personality(airlift_emu::Personality::Slow(100)),
        Rule::RfReadWithoutCcaOff => builder.cut(0),
        _ => builder,
    })
}

#[test]
fn e1_every_rule_is_broken_by_a_test() {
    for rule in Rule::ALL {
        assert!(BREAKERS.iter().any(|(_, broken, _)| broken == rule), "no test breaks {rule}");
    }
}

#[test]
fn e1_an_access_that_breaks_a_rule_stalls_and_is_named() {
    for (number, (model, rule, script)) in BREAKERS.iter().enumerate() {
        let mut host = host_for(*model, *rule, true);
        let outcome = script(&mut host);
        assert_eq!(outcome, Err(TransferError::Stall), "breaker {number} of {rule}");
        let violations = host.probe.violations();
        assert_eq!(violations.iter().map(|v| v.rule).collect::<Vec<_>>(), [*rule], "breaker {number}");
        let text = violations[0].to_string();
        assert!(text.contains(&violations[0].register) && text.contains(rule.name()), "{text}");
    }
}

#[test]
fn e1_a_lenient_chip_notes_what_a_strict_one_refuses() {
    for (model, rule, script) in BREAKERS {
        if *rule == Rule::UnknownRequest {
            continue; // no chip can answer that
        }
        let mut host = host_for(*model, *rule, false);
        assert_eq!(script(&mut host), Ok(()), "{rule}");
        assert!(host.probe.violations().iter().any(|violation| violation.rule == *rule), "{rule}");
    }
}

#[test]
fn e1_accesses_at_either_end_of_the_bus_never_upset_the_chip() {
    for (model, strict) in Model::ALL.iter().flat_map(|model| [(model, true), (model, false)]) {
        let mut host = Host::new(model.builder().air(&Air::quiet(1)).strict(strict));
        host.receive_on(11).unwrap();
        for address in (0xff00..=0xffff).chain(0..8) {
            // Whatever it answers, it answers.
            let _ = (host.read8(address), host.read32(address), host.write8(address, 0xff));
            let _ = (host.write32(address, 0xffff_ffff), host.block(address, &[0xff; 254]));
        }
        assert!(host.read8(0xf0).is_ok() || strict);
    }
}

#[test]
fn e1_random_accesses_never_upset_the_chip() {
    let mut state = 0x1234_5678_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    for (model, strict) in Model::ALL.iter().flat_map(|model| [(model, true), (model, false)]) {
        let mut host = Host::new(model.builder().air(&Air::default_scene(1)).strict(strict));
        host.receive_on(11).unwrap();
        let out = host.bulk_out();
        for round in 0..40_000 {
            let address = if random() & 3 == 0 { random() as u16 } else { (random() & 0x1fff) as u16 };
            let bytes: Vec<u8> = (0..random() % 255).map(|_| random() as u8).collect();
            let _ = match random() % 6 {
                0 => host.read32(address).map(drop),
                1 => host.read8(address).map(drop),
                2 => host.write32(address, random()),
                3 => host.write8(address, random() as u8),
                4 => host.block(address, &bytes[..bytes.len().max(1).min(bytes.len())]),
                _ => host.send(out, &bytes).unwrap_or(Ok(())),
            };
            if round % 100 == 0 {
                host.post_receive();
                host.sleep(std::time::Duration::from_micros(200));
            }
        }
    }
}
