//! E1: the driver with a step left out fails on the strict chip, and the chip says which step it was; the driver
//! as it is breaks no rule.

use airlift_emu::{Air, Probe, Rtl8812au, Rule, stand_in_firmware};
use airlift_runtime::{Clock, Kernel};
use airlift_wifi::{Error, Firmware, Wlan, WlanOptions};

/// A step that the driver takes, left out: the bits that it would have changed arrive as they were before.
struct Mutation {
    rule: Rule,
    /// Address, mask, value of the bytes bent on their way to the chip.
    bends: &'static [(u16, u8, u8)],
}

const fn without(rule: Rule, bends: &'static [(u16, u8, u8)]) -> Mutation {
    Mutation { rule, bends }
}

const BRING_UP: &[Mutation] = &[
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
    without(Rule::MacOffWithBasebandRunning, &[(0x02, 0x01, 0x01)]),
    without(Rule::SuspendWithMcuEnabled, &[(0x03, 0x04, 0x04)]),
];

async fn open(kernel: &Kernel, bends: &[(u16, u8, u8)]) -> (Probe, Result<Wlan, Error>) {
    let adapter = Rtl8812au::builder().air(&Air::quiet(1)).build();
    let probe = adapter.probe();
    for (address, mask, value) in bends {
        probe.bend(*address, *mask, *value);
    }
    let options = WlanOptions::new()
        .kernel(&kernel.handle())
        .firmware(Firmware::bytes("stand-in", stand_in_firmware()));
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
    let kernel = kernel();
    let (probe, wlan) = open(&kernel, &[]).await;
    let wlan = wlan.unwrap();
    for channel in ["6", "6+", "36", "149", "1"] {
        wlan.set_channel(channel.parse().unwrap()).await.unwrap();
    }
    wlan.down().await.unwrap();
    assert_eq!(probe.violations(), []);
    kernel.shutdown().await;
}

#[tokio::test]
async fn e1_the_driver_without_a_step_of_the_bring_up_fails_with_the_rule_of_that_step() {
    let kernel = kernel();
    for (number, Mutation { rule, bends }) in BRING_UP.iter().enumerate() {
        let (probe, wlan) = open(&kernel, bends).await;
        assert!(wlan.is_err(), "mutation {number}: the driver came up without what {rule} asks for");
        assert_eq!(broken(&probe).first(), Some(rule), "mutation {number}: {:?}", probe.violations());
    }
    kernel.shutdown().await;
}

#[tokio::test]
async fn e1_the_driver_without_a_step_of_the_way_down_breaks_the_rule_of_that_step() {
    let kernel = kernel();
    for (number, Mutation { rule, bends }) in DOWN.iter().enumerate() {
        let (probe, wlan) = open(&kernel, &[]).await;
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
