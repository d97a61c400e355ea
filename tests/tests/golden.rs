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

/// A golden file, and how our driver gets to where it was taken.
#[derive(Clone, Copy)]
struct Run {
    chip: &'static str,
    adapter: &'static str,
    file: &'static str,
    /// The channels that it is tuned to one after the other, from channel 1 on, as the program names them.
    route: &'static [&'static str],
    mhz: u16,
}

/// What there is of a chip: all channels of an ordinary adapter, three of the others.
fn runs_of(
    chip: &'static str,
    others: &'static [&'static str],
    ordinary: &'static [Place],
) -> impl Iterator<Item = Run> {
    let run = move |adapter| move |&(file, route, mhz): &Place| Run { chip, adapter, file, route, mhz };
    let others = others.iter().flat_map(move |adapter| THREE.iter().map(run(*adapter)));
    ordinary.iter().map(run("ordinary")).chain(others)
}

/// A golden file's name, the route and the width.
type Place = (&'static str, &'static [&'static str], u16);

const THREE: &[Place] = &[("11-20", &["11"], 20), ("36-80", &["36"], 80), ("149-40", &["149+"], 40)];

const ORDINARY: &[Place] = &[
    ("11-20", &["11"], 20),
    // mac80211 has mainline's driver go to the second channel twice.
    ("6-1-20", &["6", "1", "1"], 20),
    ("6-40", &["6+"], 40),
    ("36-20", &["36"], 20),
    ("36-80", &["36"], 80),
    ("100-20", &["100"], 20),
    ("149-40", &["149+"], 40),
    ("165-20", &["165"], 20),
];

fn runs() -> impl Iterator<Item = Run> {
    let rtl8812a = runs_of("rtl8812au", &["external-pa", "blank", "scrambled"], ORDINARY);
    let rtl8821a = runs_of("rtl8821au", &["external-pa", "scrambled"], ORDINARY);
    let rtl8814a = runs_of("rtl8814au", &["external-pa", "scrambled"], ORDINARY);
    rtl8812a.chain(rtl8821a).chain(rtl8814a)
}

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
    Exception {
        addresses: 0x0031..=0x0032,
        reason: "RTL8821A and RTL8814A: the address of the byte of the EFUSE that was read last; mainline reads all, we \
                 those words that a field stands in",
    },
    Exception {
        addresses: 0x0041..=0x0041,
        reason: "scrambled RTL8814A: the power-off at the end of mainline's probe",
    },
    Exception {
        addresses: 0x0066..=0x0066,
        reason: "scrambled RTL8814A: the power-off at the end of mainline's probe",
    },
    Exception {
        addresses: 0x0091..=0x0091,
        reason: "RTL8814A: the power-off at the end of mainline's probe",
    },
    Exception {
        addresses: 0x1998..=0x199b,
        reason: "RTL8814A: the last word for the port of the power of rates, which hears of what has changed",
    },
    Exception {
        addresses: 0xfe58..=0xfe58,
        reason: "RTL8814A: mainline downloads twice, and wakes the firmware of its probe by a bit that toggles",
    },
];

/// What mainline's driver sets for the Bluetooth half of an RTL8821A, with one on the board or without: the arbiter's
/// tables, and messages to the firmware. We leave the arbiter as it comes out of reset.
const COEXISTENCE: &[Exception] = &[
    Exception { addresses: 0x01d0..=0x01d7, reason: "mailboxes with messages about Bluetooth" },
    Exception { addresses: 0x01f0..=0x01f7, reason: "mailboxes with messages about Bluetooth" },
    Exception { addresses: 0x06c0..=0x06cb, reason: "tables of who may use the antenna when" },
];

/// Registers that may be written otherwise.
const WRITES: &[Exception] = &[
    Exception {
        addresses: 0x010c..=0x010c,
        reason: "bit 2, receive aggregation: mainline's watchdog turns it on when there is traffic, we at once",
    },
    Exception { addresses: 0x0280..=0x0281, reason: "size and time of an aggregate; see 0x010c" },
    Exception { addresses: 0x0283..=0x0283, reason: "RTL8814A: time of an aggregate; see 0x010c" },
    Exception {
        addresses: 0x0608..=0x060b,
        reason: "the receive filter is shut before the MAC starts, so that nothing comes that has no check sequence",
    },
    Exception {
        addresses: 0x0073..=0x0073,
        reason: "scrambled: the bit that mainline sets is set already, and then we write nothing",
    },
    Exception {
        addresses: 0x004e..=0x004e,
        reason: "scrambled RTL8821A: mac80211 blinks the LED; we change other bits of the word and leave its",
    },
];

impl Run {
    fn chip(&self) -> &'static Chip {
        Chip::named(self.chip).expect("a chip")
    }

    fn golden(&self) -> Golden {
        let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(self.chip().folder);
        Golden::load(&folder.join(self.adapter), self.file).expect("golden files")
    }

    /// What our driver does and leaves, on an adapter like the one that mainline had, in virtual time. Like mainline's
    /// it comes up on channel 1 and goes on from there.
    fn ours(&self) -> (Vec<Access>, State) {
        let kernel = Kernel::builder().clock(Clock::virtual_time()).build().expect("a kernel");
        let controller = HostController::new(&kernel.handle()).expect("a controller");
        let adapter = self.chip().adapter(self.adapter).expect("an adapter");
        let adapter = self.chip().builder(adapter).build();
        let probe = adapter.probe();
        let (traced, trace) = Traced::new(adapter);
        let port = controller.plug(traced);
        let width = Width::from_mhz(self.mhz).expect("a width");
        let options = WlanOptions::new()
            .channel(Channel::new(1, Width::Mhz20).expect("a channel"))
            .firmware(Firmware::bytes("stand-in", self.chip().model.stand_in_firmware()));
        let wlan = block_on(Wlan::attach(port.device(), options)).expect("the interface comes up");
        for name in self.route {
            let channel = Channel::parse(name, Some(width)).expect("a channel");
            block_on(wlan.set_channel(channel)).expect("the channel is there");
        }
        let (accesses, state) = (trace.accesses(), State::of(&probe));
        assert_eq!(probe.violations(), [], "strict mode, {self}");
        block_on(wlan.down()).expect("the interface goes down");
        kernel.shutdown_blocking();
        (accesses, state)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.chip, self.adapter, self.file)
    }
}

#[test]
fn v2_we_leave_the_chip_as_mainline_does() {
    let exceptions = [compare::VOLATILE, STATE, COEXISTENCE].concat();
    let mut found = Vec::new();
    let mut needed = Vec::new();
    for run in runs() {
        let mut golden = run.golden().state;
        if run.chip == "rtl8821au" {
            // Those about Bluetooth, as the mailboxes'.
            golden.memories.retain(|name, _| !name.starts_with("command "));
        }
        // Mainline introduces itself to the firmware anew whenever mac80211 has let it sleep.
        let mut told = Vec::new();
        golden.memories.retain(|name, content| {
            let again = name.starts_with("command packet") && told.contains(content);
            told.push(content.clone());
            !again
        });
        let (differences, used) = compare::states(&golden, &run.ours().1, &exceptions);
        found.extend(differences.into_iter().map(|difference| format!("{run}: {difference}")));
        needed.extend(used);
    }
    for exception in compare::idle(&exceptions, &needed) {
        found.push(format!("exception not needed: {exception:x?}"));
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn v2_our_writes_are_mainlines_in_its_order() {
    let exceptions = [WRITES, COEXISTENCE].concat();
    let mut found = Vec::new();
    let mut needed = Vec::new();
    for run in runs() {
        let steps: Vec<Step> = run.ours().0.iter().filter_map(Step::of).collect();
        let (differences, used) = compare::writes(&run.golden(), &steps, &exceptions);
        found.extend(differences.into_iter().map(|difference| format!("{run}: {difference}")));
        needed.extend(used);
    }
    for exception in compare::idle(&exceptions, &needed) {
        found.push(format!("exception not needed: {exception:x?}"));
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn v2_no_pause_is_shorter_than_mainlines() {
    for (chip, pauses) in [("rtl8812au", 1), ("rtl8821au", 1), ("rtl8814au", 1)] {
        let run = runs().find(|run| run.chip == chip).expect("a run");
        let (found, compared) = compare::pauses(&run.golden(), &run.ours().0);
        assert!(found.is_empty(), "{run}: {}", found.join("\n"));
        assert_eq!(compared, pauses, "{run}: the radio table of path A has long pauses");
    }
}
