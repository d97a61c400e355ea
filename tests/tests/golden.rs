//! V2: on the same emulated adapter, mainline's driver and ours write the same and leave the same.

use std::path::{Path, PathBuf};

use airlift_emu::Model;
use airlift_hcd::HostController;
use airlift_runtime::{Clock, Kernel};
use airlift_tests::adapters::{Adapter, CHIPS, Chip, Place};
use airlift_tests::compare::{self, Exception, On};
use airlift_tests::golden::{self, Golden, Step};
use airlift_tests::state::State;
use airlift_tests::trace::{Access, Traced};
use airlift_wifi::{Channel, Firmware, Width, Wlan, WlanOptions};
use futures::executor::block_on;

/// A golden file: the chip, the adapter, and where it was taken.
#[derive(Clone, Copy)]
struct Run {
    chip: &'static Chip,
    adapter: &'static Adapter,
    place: &'static Place,
}

fn runs() -> impl Iterator<Item = Run> {
    CHIPS.iter().flat_map(|chip| {
        chip.adapters
            .iter()
            .flat_map(move |adapter| adapter.places.iter().map(move |place| Run { chip, adapter, place }))
    })
}

/// Registers that may differ at the end, beside the [`VOLATILE`](compare::VOLATILE) ones.
const STATE: &[Exception] = &[
    Exception::new(
        0x0007..=0x0008,
        "mainline comes from the power-off at the end of its probe, which changes them; we come from the bus's reset",
    ),
    Exception::new(
        0x010c..=0x010c,
        "bit 2, receive aggregation: mainline's watchdog turns it on when there is traffic, we at once",
    ),
    Exception::new(0x0280..=0x0281, "size and time of an aggregate, as 0x010c"),
    Exception::new(
        0x0031..=0x0032,
        "the address of the byte of the EFUSE that was read last; mainline reads all, we those words that a field \
         stands in",
    )
    .of(&[Model::Rtl8821au, Model::Rtl8814au]),
    Exception::new(0x0041..=0x0041, "the power-off at the end of mainline's probe")
        .of(&[Model::Rtl8814au])
        .on(&["scrambled"]),
    Exception::new(0x0066..=0x0066, "the power-off at the end of mainline's probe")
        .of(&[Model::Rtl8814au])
        .on(&["scrambled"]),
    Exception::new(0x0091..=0x0091, "the power-off at the end of mainline's probe").of(&[Model::Rtl8814au]),
    Exception::new(
        0x1998..=0x199b,
        "the last word for the port of the power of rates, which hears of what has changed",
    )
    .of(&[Model::Rtl8814au]),
    Exception::new(
        0xfe58..=0xfe58,
        "mainline downloads twice, and wakes the firmware of its probe by a bit that toggles",
    )
    .of(&[Model::Rtl8814au]),
];

/// Registers that may be written otherwise.
const WRITES: &[Exception] = &[
    Exception::new(
        0x010c..=0x010c,
        "bit 2, receive aggregation: mainline's watchdog turns it on when there is traffic, we at once",
    ),
    Exception::new(0x0280..=0x0281, "size and time of an aggregate, as 0x010c"),
    Exception::new(0x0283..=0x0283, "time of an aggregate; see 0x010c").of(&[Model::Rtl8814au]),
    Exception::new(
        0x0608..=0x060b,
        "the receive filter is shut before the MAC starts, so that nothing comes that has no check sequence",
    ),
    Exception::new(0x0073..=0x0073, "the bit that mainline sets is set already, and then we write nothing")
        .on(&["scrambled"]),
    Exception::new(
        0x004e..=0x004e,
        "mac80211 blinks the LED; we change other bits of the word and leave its",
    )
    .of(&[Model::Rtl8821au])
    .on(&["scrambled"]),
];

impl Run {
    fn folder(&self) -> PathBuf {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        golden.join(self.chip.folder).join(self.adapter.name)
    }

    fn on(&self) -> On<'static> {
        On { chip: self.chip.model, adapter: self.adapter.name }
    }

    fn golden(&self) -> Golden {
        Golden::load(&self.folder(), &self.place.file()).expect("golden files")
    }

    /// The channels that our driver is to go to. mac80211 has mainline's go to the second one twice.
    fn route(&self) -> Vec<Channel> {
        let (width, side) = match self.place.width {
            "HT20" => (Width::Mhz20, ""),
            "HT40+" => (Width::Mhz40, "+"),
            "80MHz" => (Width::Mhz80, ""),
            other => panic!("no width {other}"),
        };
        let again = self.place.route.last().filter(|_| self.place.route.len() > 1);
        let route = self.place.route.iter().chain(again);
        route
            .map(|channel| Channel::parse(&format!("{channel}{side}"), Some(width)).expect("a channel"))
            .collect()
    }

    /// What our driver does and leaves, on an adapter like the one that mainline had, in virtual time. Like mainline's
    /// it comes up on channel 1 and goes on from there.
    fn ours(&self) -> (Vec<Access>, State) {
        let kernel = Kernel::builder().clock(Clock::virtual_time()).build().expect("a kernel");
        let controller = HostController::new(&kernel.handle()).expect("a controller");
        let adapter = self.chip.builder(self.adapter).build();
        let probe = adapter.probe();
        let (traced, trace) = Traced::new(adapter);
        let port = controller.plug(traced);
        let options = WlanOptions::new()
            .channel(Channel::new(1, Width::Mhz20).expect("a channel"))
            .firmware(Firmware::bytes("stand-in", self.chip.model.stand_in_firmware()));
        let wlan = block_on(Wlan::attach(port.device(), options)).expect("the interface comes up");
        for channel in self.route() {
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
        write!(f, "{} {} {}", self.chip.model, self.adapter.name, self.place.file())
    }
}

#[test]
fn v2_we_leave_the_chip_as_mainline_does() {
    let exceptions = [compare::VOLATILE, STATE].concat();
    let mut found = Vec::new();
    let mut needed = Vec::new();
    for run in runs() {
        let (differences, used) = compare::states(run.on(), &run.golden().state, &run.ours().1, &exceptions);
        found.extend(differences.into_iter().map(|difference| format!("{run}: {difference}")));
        needed.extend(used);
    }
    for exception in compare::idle(&exceptions, &needed) {
        found.push(format!("exception not needed: {exception:x?}"));
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// What a driver writes before an adapter has left the bus and since; the first is empty if it was not told to.
fn around_departure(steps: &[Step]) -> (&[Step], &[Step]) {
    /// The USB's power-down (`rtw88 usb.c`, `rtw_usb_switch_mode_old`).
    const DOWN: Step = Step::Write { address: 0x0005, width: 1, value: 0x80 };
    let at = steps.iter().position(|step| *step == DOWN).map_or(0, |at| at + 1);
    steps.split_at(at)
}

/// What follows the last read of the EFUSE: the chip is switched off, and the adapter told to leave.
fn after_the_efuse(steps: &[Step]) -> &[Step] {
    // What reads it, and what guards it.
    let efuse = |step: &Step| matches!(step, Step::Write { address: 0x0030..=0x0033 | 0x00cf, .. });
    &steps[steps.iter().rposition(efuse).map_or(0, |at| at + 1)..]
}

/// Whether two writes are the same but for the radio's being on: its power-off changes one bit of these, and mainline's
/// probe has not turned it on.
fn same(ours: &Step, theirs: &Step) -> bool {
    /// Bits 0 and 2, enable and the reset of the synthesizer's modulator, in RF_CTRL of either path.
    const ON: u32 = 0x05;
    match (ours, theirs) {
        (
            &Step::Write { address: at @ (0x001f | 0x0076), width: 1, value },
            &Step::Write { address, width: 1, value: their_value },
        ) => at == address && value & !ON == their_value,
        _ => ours == theirs,
    }
}

#[test]
fn v2_our_writes_are_mainlines_in_its_order() {
    let mut found = Vec::new();
    let mut needed = Vec::new();
    for run in runs() {
        let ours: Vec<Step> = run.ours().0.iter().filter_map(Step::of).collect();
        let mut golden = run.golden();
        let (leaving, ours) = around_departure(&ours);
        let (theirs, probe) = around_departure(&golden.probe);
        assert_eq!(leaving.is_empty(), theirs.is_empty(), "{run}: whether the adapter is told to leave");
        let theirs = after_the_efuse(theirs);
        // We come from a stop that leaves nothing running, which mainline's probe has none of.
        // Golden files have no writes of the byte with the LED of an RTL8814A, which its power-off writes too.
        let leds = |step: &Step| matches!(step, Step::Write { address: 0x004e, width: 1, .. });
        let leaving: Vec<&Step> = after_the_efuse(leaving).iter().filter(|step| !leds(step)).collect();
        let leaving = &leaving[leaving.len().saturating_sub(theirs.len())..];
        let differ: Vec<String> = (0..theirs.len().max(leaving.len()))
            .filter(|at| {
                !leaving.get(*at).zip(theirs.get(*at)).is_some_and(|(ours, theirs)| same(ours, theirs))
            })
            .map(|at| format!("{:?}, mainline {:?}", leaving.get(at), theirs.get(at)))
            .collect();
        found.extend(differ.into_iter().map(|what| format!("{run}: on the way off the bus: {what}")));
        golden.probe = probe.to_vec();
        let (differences, used) = compare::writes(run.on(), &golden, ours, WRITES);
        found.extend(differences.into_iter().map(|difference| format!("{run}: {difference}")));
        needed.extend(used);
    }
    for exception in compare::idle(WRITES, &needed) {
        found.push(format!("exception not needed: {exception:x?}"));
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// What the exceptions about aggregates leave out, with traffic, at each speed that the chip has.
#[test]
fn v2_we_aggregate_packets_as_mainline_does_when_there_is_traffic() {
    for run in runs().filter(|run| ["ordinary", "super-speed"].contains(&run.adapter.name)) {
        let theirs = golden::aggregation(&run.folder()).expect("a golden file");
        assert!(theirs.len() >= 2, "{run}: {theirs:?}");
        let (_, ours) = run.ours();
        for step in theirs {
            let Step::Write { address, width, value } = step else { panic!("{run}: {step}") };
            for (address, theirs) in (address..).zip(value.to_le_bytes()).take(width) {
                let ours = ours.registers[&address];
                assert_eq!(ours, theirs, "{run}: register {address:04x}: mainline leaves {theirs:02x}");
            }
        }
    }
}

#[test]
fn v2_no_pause_is_shorter_than_mainlines() {
    for chip in CHIPS {
        let run = runs().find(|run| run.chip.model == chip.model).expect("a run");
        let (found, compared) = compare::pauses(&run.golden(), &run.ours().0);
        assert!(found.is_empty(), "{run}: {}", found.join("\n"));
        assert_eq!(compared, 1, "{run}: the radio table of path A has long pauses");
    }
}
