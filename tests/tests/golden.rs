//! V2: on the same emulated adapter, mainline's driver and ours write the same and leave the same.

use std::path::{Path, PathBuf};

use airlift_hcd::HostController;
use airlift_runtime::{Clock, Kernel};
use airlift_tests::adapters::Chip;
use airlift_tests::compare::{self, Exception};
use airlift_tests::golden::{Golden, Step};
use airlift_tests::state::State;
use airlift_tests::trace::{Access, Traced};
use airlift_wifi::{Channel, Firmware, Width, Wlan, WlanOptions};
use futures::executor::block_on;

/// The golden files: adapter, file, and the channel that it is about as the program names it.
const RUNS: [(&str, &str, &str, u16); 15] = [
    ("ordinary", "11-20", "11", 20),
    ("ordinary", "6-40", "6+", 40),
    ("ordinary", "36-20", "36", 20),
    ("ordinary", "36-80", "36", 80),
    ("ordinary", "149-40", "149+", 40),
    ("ordinary", "165-20", "165", 20),
    ("external-pa", "11-20", "11", 20),
    ("external-pa", "36-80", "36", 80),
    ("external-pa", "149-40", "149+", 40),
    ("blank", "11-20", "11", 20),
    ("blank", "36-80", "36", 80),
    ("blank", "149-40", "149+", 40),
    ("scrambled", "11-20", "11", 20),
    ("scrambled", "36-80", "36", 80),
    ("scrambled", "149-40", "149+", 40),
];

/// Registers that may differ at the end, beside the [`VOLATILE`](compare::VOLATILE) ones.
const STATE: &[Exception] = &[
    Exception {
        addresses: 0x0007..=0x0008,
        reason: "mainline comes from the power-off at the end of its probe, which changes them; we come from the \
                 bus's reset",
    },
    Exception {
        addresses: 0x010c..=0x010c,
        reason: "bit 2, receive aggregation: mainline's watchdog turns it on when there is traffic, we at once",
    },
    Exception { addresses: 0x0280..=0x0281, reason: "size and time of an aggregate; see 0x010c" },
];

/// Registers that may be written otherwise.
const WRITES: &[Exception] = &[
    Exception {
        addresses: 0x010c..=0x010c,
        reason: "bit 2, receive aggregation: mainline's watchdog turns it on when there is traffic, we at once",
    },
    Exception { addresses: 0x0280..=0x0281, reason: "size and time of an aggregate; see 0x010c" },
    Exception {
        addresses: 0x0073..=0x0073,
        reason: "scrambled: the bit that mainline sets is set already, and then we write nothing",
    },
];

/// The chip.
const CHIP: &str = "rtl8812au";

fn golden(adapter: &str, file: &str) -> Golden {
    let chip = Chip::named(CHIP).expect("a chip");
    let folder: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(chip.folder).join(adapter);
    Golden::load(&folder, file).expect("golden files")
}

/// What our driver does and leaves on a channel, on an adapter like the one that mainline had, in virtual time. Like
/// mainline's it comes up on channel 1 and goes to the channel from there.
fn ours(adapter: &str, name: &str, mhz: u16) -> (Vec<Access>, State) {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().expect("a kernel");
    let controller = HostController::new(&kernel.handle()).expect("a controller");
    let chip = Chip::named(CHIP).expect("a chip");
    let adapter = chip.builder(chip.adapter(adapter).expect("an adapter")).build();
    let probe = adapter.probe();
    let (traced, trace) = Traced::new(adapter);
    let port = controller.plug(traced);
    let width = Width::from_mhz(mhz).expect("a width");
    let channel = Channel::parse(name, Some(width)).expect("a channel");
    let options = WlanOptions::new()
        .channel(Channel::new(1, Width::Mhz20).expect("a channel"))
        .firmware(Firmware::bytes("stand-in", chip.model.stand_in_firmware()));
    let wlan = block_on(Wlan::attach(port.device(), options)).expect("the interface comes up");
    block_on(wlan.set_channel(channel)).expect("the channel is there");
    let (accesses, state) = (trace.accesses(), State::of(&probe));
    assert_eq!(probe.violations(), [], "strict mode on {name}");
    block_on(wlan.down()).expect("the interface goes down");
    kernel.shutdown_blocking();
    (accesses, state)
}

#[test]
fn v2_we_leave_the_chip_as_mainline_does() {
    let exceptions = [compare::VOLATILE, STATE].concat();
    let mut found = Vec::new();
    let mut needed = Vec::new();
    for (adapter, file, name, mhz) in RUNS {
        let golden = golden(adapter, file);
        let (differences, used) = compare::states(&golden.state, &ours(adapter, name, mhz).1, &exceptions);
        found.extend(differences.into_iter().map(|difference| format!("{adapter} {file}: {difference}")));
        needed.extend(used);
    }
    for exception in compare::idle(&exceptions, &needed) {
        found.push(format!("exception not needed: {exception:x?}"));
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn v2_our_writes_are_mainlines_in_its_order() {
    let mut found = Vec::new();
    let mut needed = Vec::new();
    for (adapter, file, name, mhz) in RUNS {
        let golden = golden(adapter, file);
        let steps: Vec<Step> = ours(adapter, name, mhz).0.iter().filter_map(Step::of).collect();
        let (differences, used) = compare::writes(&golden, &steps, WRITES);
        found.extend(differences.into_iter().map(|difference| format!("{adapter} {file}: {difference}")));
        needed.extend(used);
    }
    for exception in compare::idle(WRITES, &needed) {
        found.push(format!("exception not needed: {exception:x?}"));
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn v2_no_pause_is_shorter_than_mainlines() {
    let golden = golden("ordinary", "11-20");
    let (found, compared) = compare::pauses(&golden, &ours("ordinary", "11", 20).0);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(compared, 1, "the radio table of path A has one long pause");
}
