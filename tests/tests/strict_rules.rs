//! E1: the driver with a step left out fails on the strict chip, and the chip says which step it was; the driver
//! as it is breaks no rule.

use airlift_emu::{Air, Builder, Efuse, Model, Personality, Probe, Rule};
use airlift_runtime::{Clock, Kernel};
use airlift_wifi::{Error, Firmware, Wlan, WlanOptions};

/// A step that the driver takes, left out: the bits that it would have changed arrive as they were before.
struct Mutation {
    model: Model,
    rule: Rule,
    /// Address, mask, value of the bytes bent on their way to the chip.
    bends: &'static [(u16, u8, u8)],
}

const fn without(rule: Rule, bends: &'static [(u16, u8, u8)]) -> Mutation {
    Mutation { model: Model::Rtl8812au, rule, bends }
}

const fn on_8821a(rule: Rule, bends: &'static [(u16, u8, u8)]) -> Mutation {
    Mutation { model: Model::Rtl8821au, rule, bends }
}

const fn on_8814a(rule: Rule, bends: &'static [(u16, u8, u8)]) -> Mutation {
    Mutation { model: Model::Rtl8814au, rule, bends }
}

const BRING_UP: &[Mutation] = &[
    on_8821a(Rule::MacOnInLowPower, &[(0x05, 0x04, 0x04)]),
    on_8821a(Rule::MacOnWithRegulatorAsleep, &[(0x20, 0x01, 0x00)]),
    on_8821a(Rule::MacOnIsolated, &[(0x00, 0x20, 0x20)]),
    on_8821a(Rule::MacOnWithPadsParked, &[(0x4a, 0x01, 0x01)]),
    on_8821a(Rule::MacOnWithPadsParked, &[(0x67, 0x10, 0x10)]),
    on_8821a(Rule::MacOnInReset, &[(0x06, 0x01, 0x00)]),
    on_8821a(Rule::McuStartWithoutIo, &[(0x1d, 0x01, 0x00)]),
    on_8821a(Rule::RfWhileOff, &[(0x1f, 0x02, 0x00)]),
    on_8814a(Rule::MacOnInLowPower, &[(0x05, 0x04, 0x04)]),
    on_8814a(Rule::MacOnWithRegulatorAsleep, &[(0x12, 0x40, 0x00)]),
    on_8814a(Rule::MacOnWithRegulatorAsleep, &[(0x15, 0x20, 0x20)]),
    on_8814a(Rule::MacOnWithRegulatorAsleep, &[(0x15, 0x40, 0x40)]),
    on_8814a(Rule::MacOnWithRegulatorAsleep, &[(0x23, 0x10, 0x10)]),
    on_8814a(Rule::MacOnWithPadsParked, &[(0x46, 0xff, 0xff)]),
    on_8814a(Rule::MacOnWithoutMcuClock, &[(0x81, 0x30, 0x30)]),
    on_8814a(Rule::DdmaWithoutPlatform, &[(0x1081, 0x01, 0x00)]),
    on_8814a(Rule::DdmaWithoutPlatform, &[(0x1082, 0x01, 0x00)]),
    on_8814a(Rule::FirmwareWithoutEnable, &[(0x80, 0x01, 0x00)]),
    on_8814a(Rule::ReservedPageDisabled, &[(0x101, 0x01, 0x00)]),
    on_8814a(Rule::TransmitWithoutPages, &[(0x22f, 0x80, 0x00)]),
    on_8814a(Rule::McuStartWithoutClock, &[(0x09, 0x40, 0x00)]),
    on_8814a(Rule::McuStartWithoutIo, &[(0x1d, 0x01, 0x00)]),
    on_8814a(Rule::McuStartWhileDownloading, &[(0x80, 0x01, 0x01)]),
    on_8814a(Rule::BasebandWhileReset, &[(0x1002, 0x02, 0x00)]),
    on_8814a(Rule::RfWhileOff, &[(0x20, 0x02, 0x00)]),
    on_8814a(Rule::RfWhileOff, &[(0x21, 0x02, 0x00)]),
    on_8814a(Rule::RfWhileOff, &[(0x76, 0x02, 0x00)]),
    on_8814a(Rule::ReceiveWithoutBoundary, &[(0x11c, 0xff, 0x00), (0x11d, 0xff, 0x00)]),
    without(Rule::MacOnInLowPower, &[(0x05, 0x04, 0x04)]),
    without(Rule::MacOnWithRegulatorAsleep, &[(0x12, 0x01, 0x00)]),
    without(Rule::MacOnWithRegulatorAsleep, &[(0x14, 0x80, 0x80)]),
    without(Rule::MacOnWithRegulatorAsleep, &[(0x15, 0x01, 0x01)]),
    without(Rule::MacOnWithRegulatorAsleep, &[(0x23, 0x10, 0x10)]),
    without(Rule::MacOnWithPadsParked, &[(0x43, 0xff, 0x07)]),
    without(Rule::MacOnWithPadsParked, &[(0x46, 0xff, 0xff)]),
    without(Rule::MacOnWithoutMcuBlock, &[(0x03, 0x04, 0x00)]),
    without(Rule::MacOnWithoutPll, &[(0x24, 0x02, 0x00)]),
    without(Rule::MacOnWithoutPll, &[(0x28, 0x08, 0x00)]),
    without(Rule::MacWithPllForced, &[(0x24, 0x02, 0x02)]),
    without(Rule::MacWithPllForced, &[(0x28, 0x08, 0x08)]),
    without(Rule::EfuseWithoutGrant, &[(0xcf, 0xff, 0x00)]),
    without(Rule::EfuseWithoutLoader, &[(0x03, 0x10, 0x00)]),
    without(Rule::EfuseWithoutClock, &[(0x08, 0x22, 0x00)]),
    without(Rule::EfuseProgram, &[(0x33, 0x80, 0x80)]),
    without(Rule::McuStartWithoutIo, &[(0x1d, 0x09, 0x00)]),
    without(Rule::McuStartWhileDownloading, &[(0x80, 0x01, 0x01)]),
    without(Rule::ReceiveWithoutBoundary, &[(0x116, 0xff, 0x00), (0x117, 0xff, 0x00)]),
    without(Rule::BasebandWhileReset, &[(0x02, 0x01, 0x00)]),
    without(Rule::RfWhileOff, &[(0x1f, 0x02, 0x00)]),
    without(Rule::RfWhileOff, &[(0x76, 0x02, 0x00)]),
];

const DOWN: &[Mutation] = &[
    on_8821a(Rule::MacOffWithBasebandRunning, &[(0x02, 0x01, 0x01)]),
    on_8821a(Rule::MacOffWithRadioOn, &[(0x1f, 0x01, 0x01)]),
    on_8814a(Rule::MacOffWithBasebandRunning, &[(0x1002, 0x01, 0x01)]),
    on_8814a(Rule::MacOffWithRadioOn, &[(0x1f, 0x01, 0x01)]),
    on_8814a(Rule::SuspendWithMcuEnabled, &[(0x03, 0x04, 0x04)]),
    without(Rule::MacOffWithBasebandRunning, &[(0x02, 0x01, 0x01)]),
    without(Rule::SuspendWithMcuEnabled, &[(0x03, 0x04, 0x04)]),
];

const USB_SWITCH: &[Mutation] = &[
    without(Rule::UsbDownUnprepared, &[(0x74, 0x0c, 0x00)]),
    without(Rule::UsbDownUnprepared, &[(0x3d, 0x03, 0x00)]),
    on_8814a(Rule::UsbDownUnprepared, &[(0x70, 0x02, 0x00)]),
    on_8814a(Rule::UsbDownUnprepared, &[(0x3e, 0x01, 0x00)]),
];

async fn open(kernel: &Kernel, model: Model, bends: &[(u16, u8, u8)]) -> (Probe, Result<Wlan, Error>) {
    open_adapter(kernel, model.builder(), bends).await
}

async fn open_adapter(
    kernel: &Kernel,
    builder: Builder,
    bends: &[(u16, u8, u8)],
) -> (Probe, Result<Wlan, Error>) {
    let model = builder.model();
    let adapter = builder.air(&Air::quiet(1)).build();
    let probe = adapter.probe();
    for (address, mask, value) in bends {
        probe.bend(*address, *mask, *value);
    }
    let options = WlanOptions::new()
        .kernel(&kernel.handle())
        .firmware(Firmware::bytes("stand-in", model.stand_in_firmware()));
    (probe, Wlan::open(adapter, options).await)
}

fn kernel() -> Kernel {
    Kernel::builder().clock(Clock::virtual_time()).build().unwrap()
}

fn broken(probe: &Probe) -> Vec<Rule> {
    probe.violations().iter().map(|violation| violation.rule).collect()
}

#[tokio::test]
async fn e1_the_driver_as_it_is_breaks_no_rule() {
    for model in Model::ALL {
        let kernel = kernel();
        let (probe, wlan) = open(&kernel, *model, &[]).await;
        let wlan = wlan.unwrap_or_else(|error| panic!("{model}: {error}; {:?}", probe.violations()));
        for channel in ["6", "6+", "36", "149", "1"] {
            wlan.set_channel(channel.parse().unwrap()).await.unwrap();
        }
        wlan.down().await.unwrap();
        assert_eq!(probe.violations(), [], "{model}");
        kernel.shutdown().await;
    }
}

#[tokio::test]
async fn e1_the_driver_without_a_step_of_the_bring_up_fails_with_the_rule_of_that_step() {
    let kernel = kernel();
    for (number, Mutation { model, rule, bends }) in BRING_UP.iter().enumerate() {
        let (probe, wlan) = open(&kernel, *model, bends).await;
        assert!(wlan.is_err(), "mutation {number}: the driver came up without what {rule} asks for");
        assert_eq!(broken(&probe).first(), Some(rule), "mutation {number}: {:?}", probe.violations());
    }
    kernel.shutdown().await;
}

#[tokio::test]
async fn e1_the_driver_without_a_step_of_the_switch_to_usb_3_fails_with_the_rule_of_that_step() {
    let kernel = kernel();
    for (number, Mutation { model, rule, bends }) in USB_SWITCH.iter().enumerate() {
        let asking = model.builder().efuse(Efuse::ordinary_of(*model).with_usb3_switch()).usb3_port(true);
        let (probe, wlan) = open_adapter(&kernel, asking, bends).await;
        assert!(wlan.is_err(), "mutation {number}: the driver switched without what {rule} asks for");
        assert_eq!(broken(&probe), [*rule], "mutation {number}");
        assert_eq!(probe.departures(), 0, "mutation {number}");
    }
    kernel.shutdown().await;
}

#[tokio::test]
async fn e1_the_driver_without_a_step_of_the_way_down_breaks_the_rule_of_that_step() {
    let kernel = kernel();
    for (number, Mutation { model, rule, bends }) in DOWN.iter().enumerate() {
        let (probe, wlan) = open(&kernel, *model, &[]).await;
        let wlan = wlan.unwrap();
        for (address, mask, value) in *bends {
            probe.bend(*address, *mask, *value);
        }
        // Whether the driver minds or not: the chip does.
        let _ = wlan.down().await;
        assert_eq!(broken(&probe).first(), Some(rule), "mutation {number}: {:?}", probe.violations());
    }
    kernel.shutdown().await;
}

/// A driver that does not wait: on a slow chip it is told at once that what it waits for is over. Model, rule, and
/// address, mask and value of the byte that tells it so.
const HASTY: &[(Model, Rule, (u16, u8, u8))] = &[
    (Model::Rtl8812au, Rule::MacOnBeforePowerReady, (0x06, 0x02, 0x02)),
    (Model::Rtl8812au, Rule::EfuseBusy, (0x33, 0x80, 0x80)),
    (Model::Rtl8812au, Rule::LltBusy, (0x1e3, 0xc0, 0x00)),
    (Model::Rtl8821au, Rule::MacOnBeforePowerReady, (0x06, 0x02, 0x02)),
    (Model::Rtl8821au, Rule::EfuseBusy, (0x33, 0x80, 0x80)),
    (Model::Rtl8821au, Rule::LltBusy, (0x1e3, 0xc0, 0x00)),
    (Model::Rtl8814au, Rule::MacOnBeforePowerReady, (0x06, 0x02, 0x02)),
    (Model::Rtl8814au, Rule::EfuseBusy, (0x33, 0x80, 0x80)),
    (Model::Rtl8814au, Rule::DdmaBusy, (0x120b, 0x80, 0x00)),
];

#[tokio::test]
async fn e1_the_driver_without_a_wait_fails_with_the_rule_of_what_it_did_not_wait_for() {
    let kernel = kernel();
    for (model, rule, stuck) in HASTY {
        let slow = model.builder().air(&Air::quiet(1)).personality(Personality::Slow(100));
        let adapter = slow.build();
        let probe = adapter.probe();
        probe.stick(stuck.0, stuck.1, stuck.2);
        let options = WlanOptions::new()
            .kernel(&kernel.handle())
            .firmware(Firmware::bytes("stand-in", model.stand_in_firmware()));
        let wlan = Wlan::open(adapter, options).await;
        assert!(wlan.is_err(), "{model} came up without the wait that {rule} asks for");
        assert_eq!(broken(&probe).first(), Some(rule), "{model}: {:?}", probe.violations());
    }
    kernel.shutdown().await;
}
