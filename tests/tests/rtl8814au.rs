//! What is the RTL8814AU's alone: its 3081 and the polls of its own. The rest stands in `family.rs`.

mod common;

use airlift_emu::{Personality, Poll, Rtl8814au};
use airlift_wifi::Stage;
use common::Bench;

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
