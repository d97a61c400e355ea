//! Compares what two drivers did to the same device: the state that they left, and what they wrote on the way.
//!
//! A difference is a line of text that names the register. [`Exception`]s, each with its reason, take registers
//! out of a comparison; one that is not needed is a difference too, so that the table cannot outlive its reasons.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use airlift_emu::Model;

use crate::golden::{Golden, Step};
use crate::state::State;
use crate::trace::Access;

/// Registers behind which there is a memory: gain tables, the radios' serial windows, the page list, the RTL8814A's
/// transmit power. Each write counts, in order, as a whole.
const PORTS: [u16; 7] = [0x081c, 0x0c90, 0x0e90, 0x1890, 0x1a90, 0x01e0, 0x1998];

/// The windows among them.
const WINDOWS: [u16; 4] = [0x0c90, 0x0e90, 0x1890, 0x1a90];

/// The radio's register CFGCH, of which we write less: between two channels of a band those of its three fields that
/// differ, as one word, where mainline's driver writes each as a word of its own whether it differs or not.
const CFGCH: u32 = 0x18;

/// The port of the RTL8814A's transmit power, of which we write less: rates whose power stays are left out, where
/// mainline's driver tells it all of them at every change of channel.
const POWER: u16 = 0x1998;

/// A difference that is meant, with the reason.
#[derive(Clone, Debug)]
pub struct Exception {
    /// Where: byte addresses.
    pub addresses: RangeInclusive<u16>,
    /// Of which chips; none are all.
    pub chips: &'static [Model],
    /// Of which adapters, by name; none are all.
    pub adapters: &'static [&'static str],
    /// Why.
    pub reason: &'static str,
}

impl Exception {
    /// One for every chip and adapter.
    pub const fn new(addresses: RangeInclusive<u16>, reason: &'static str) -> Self {
        Self { addresses, chips: &[], adapters: &[], reason }
    }

    /// For these chips alone.
    pub const fn of(self, chips: &'static [Model]) -> Self {
        Self { chips, ..self }
    }

    /// For these adapters alone.
    pub const fn on(self, adapters: &'static [&'static str]) -> Self {
        Self { adapters, ..self }
    }

    fn holds(&self, on: On<'_>, address: u16) -> bool {
        self.addresses.contains(&address)
            && (self.chips.is_empty() || self.chips.contains(&on.chip))
            && (self.adapters.is_empty() || self.adapters.contains(&on.adapter))
    }
}

/// What a comparison is about.
#[derive(Clone, Copy, Debug)]
pub struct On<'a> {
    /// The chip.
    pub chip: Model,
    /// The adapter's name.
    pub adapter: &'a str,
}

/// Registers that no two runs of the same driver leave alike.
pub const VOLATILE: &[Exception] = &[
    Exception::new(0x004c..=0x004c, "mac80211 blinks the LED"),
    Exception::new(0x004e..=0x004e, "mac80211 blinks the LED").of(&[Model::Rtl8821au, Model::Rtl8814au]),
    Exception::new(0x0060..=0x0063, "mac80211 blinks the LED").of(&[Model::Rtl8821au, Model::Rtl8814au]),
    Exception::new(0x0560..=0x0567, "the TSF runs"),
    Exception::new(0x0f00..=0x0fff, "counters of what the virtual air held meanwhile"),
];

/// Looks for the exception of an address and remembers that it was needed.
struct Excuses<'a> {
    table: &'a [Exception],
    on: On<'a>,
    used: Vec<bool>,
}

impl<'a> Excuses<'a> {
    fn new(table: &'a [Exception], on: On<'a>) -> Self {
        Self { table, on, used: vec![false; table.len()] }
    }

    fn excuse(&mut self, address: u16) -> bool {
        let found = self.table.iter().position(|exception| exception.holds(self.on, address));
        found.inspect(|at| self.used[*at] = true).is_some()
    }
}

/// Where the state that we left differs from mainline's. `exceptions` are about registers; memories behind ports
/// have none. Which exceptions were needed comes with it, by index.
pub fn states(
    on: On<'_>,
    golden: &State,
    ours: &State,
    exceptions: &[Exception],
) -> (Vec<String>, Vec<usize>) {
    let mut excuses = Excuses::new(exceptions, on);
    let mut found = Vec::new();
    for (address, want) in &golden.registers {
        let got = ours.registers.get(address);
        if got != Some(want) && !excuses.excuse(*address) {
            found.push(format!("register {address:04x}: mainline leaves {want:02x}, here it is {got:02x?}"));
        }
    }
    maps(&mut found, "rf", &golden.rf, &ours.rf);
    maps(&mut found, "llt", &golden.llt, &ours.llt);
    maps(&mut found, "memory", &golden.memories, &ours.memories);
    (found, needed(&excuses))
}

/// Where two runs of mainline's driver on the same channel differ. How long they paused is left out: no two pause for
/// the same time.
pub fn runs(on: On<'_>, before: &Golden, now: &Golden) -> Vec<String> {
    let (mut found, _) = states(on, &before.state, &now.state, VOLATILE);
    for (what, before, now) in [("probe", &before.probe, &now.probe), ("bring-up", &before.steps, &now.steps)]
    {
        let steps = |steps: &[Step]| -> Vec<Step> {
            steps.iter().filter(|step| !matches!(step, Step::Delay(_))).cloned().collect()
        };
        let (before, now) = (steps(before), steps(now));
        if let Some(at) = (0..before.len().max(now.len())).find(|at| before.get(*at) != now.get(*at)) {
            found.push(format!("{what}, write {at}: then {:?}, now {:?}", before.get(at), now.get(at)));
        }
    }
    found
}

fn needed(excuses: &Excuses<'_>) -> Vec<usize> {
    excuses.used.iter().enumerate().filter(|(_, used)| **used).map(|(at, _)| at).collect()
}

fn maps<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    found: &mut Vec<String>,
    what: &str,
    golden: &BTreeMap<K, V>,
    ours: &BTreeMap<K, V>,
) {
    for (key, want) in golden {
        if ours.get(key) != Some(want) {
            let got = ours.get(key);
            found.push(format!("{what} {key:x?}: mainline leaves {want:x?}, here it is {got:x?}"));
        }
    }
    for key in ours.keys().filter(|key| !golden.contains_key(key)) {
        found.push(format!("{what} {key:x?}: mainline leaves nothing, here it is {:x?}", ours.get(key)));
    }
}

/// The writes of a run, by byte address and by port.
#[derive(Default)]
struct Written {
    bytes: BTreeMap<u16, Vec<u8>>,
    ports: BTreeMap<u16, Vec<u32>>,
}

impl Written {
    fn of(steps: &[Step]) -> Self {
        let mut written = Self::default();
        for step in steps {
            let Step::Write { address, width, value } = *step else { continue };
            if PORTS.contains(&address) {
                written.ports.entry(address).or_default().push(value);
                continue;
            }
            for (address, byte) in (address..).zip(value.to_le_bytes()).take(width) {
                written.bytes.entry(address).or_default().push(byte);
            }
        }
        written
    }
}

/// Where what we wrote is not what mainline wrote: for each byte of a register our values must be a subsequence of
/// its own in probe and bring-up (we do in one what it does in two), for ports the sequence must be the whole one
/// of its bring-up, but for `CFGCH` and `POWER`.
pub fn writes(
    on: On<'_>,
    golden: &Golden,
    ours: &[Step],
    exceptions: &[Exception],
) -> (Vec<String>, Vec<usize>) {
    let up = Written::of(&golden.steps);
    let both = Written::of(&[&golden.probe[..], &golden.steps[..]].concat());
    let ours = Written::of(ours);
    let mut excuses = Excuses::new(exceptions, on);
    let mut found = Vec::new();
    for (address, values) in &ours.bytes {
        let theirs = both.bytes.get(address).map_or(&[][..], Vec::as_slice);
        if let Some((at, value)) = beyond(theirs, values)
            && !excuses.excuse(*address)
        {
            found.push(format!(
                "byte {address:04x}: our write number {} of {value:02x} is not in mainline's order; ours \
                 {values:02x?}, mainline's {theirs:02x?}",
                at + 1,
            ));
        }
    }
    for (address, theirs) in &up.bytes {
        if !ours.bytes.contains_key(address) && !excuses.excuse(*address) {
            found.push(format!("byte {address:04x}: mainline writes {theirs:02x?}, we never do"));
        }
    }
    for address in PORTS {
        let empty = Vec::new();
        let theirs = up.ports.get(&address).unwrap_or(&empty);
        let values = ours.ports.get(&address).unwrap_or(&empty);
        let fewer = |word: &u32| address == POWER || WINDOWS.contains(&address) && word >> 20 & 0xff == CFGCH;
        let apart = |words: &[u32]| -> (Vec<u32>, Vec<u32>) { words.iter().partition(|word| fewer(word)) };
        let ((their_fewer, theirs), (our_fewer, values)) = (apart(theirs), apart(values));
        if let Some((at, word)) = beyond(&their_fewer, &our_fewer) {
            found.push(format!(
                "port {address:04x}: our word number {}, {word:x}, is not in mainline's order; ours {our_fewer:x?}, \
                 mainline's {their_fewer:x?}",
                at + 1
            ));
        }
        if theirs == values || excuses.excuse(address) {
            continue;
        }
        let at = theirs.iter().zip(&values).take_while(|(a, b)| a == b).count();
        found.push(format!(
            "port {address:04x}: {} writes, mainline makes {}; the first difference is number {}: ours {:x?}, \
             mainline's {:x?}",
            values.len(),
            theirs.len(),
            at + 1,
            values.get(at..).map(|rest| &rest[..rest.len().min(4)]),
            theirs.get(at..).map(|rest| &rest[..rest.len().min(4)]),
        ));
    }
    (found, needed(&excuses))
}

/// The first of `values` that a walk along `theirs` does not find.
fn beyond<T: PartialEq + Copy>(theirs: &[T], values: &[T]) -> Option<(usize, T)> {
    let mut rest = theirs.iter();
    values.iter().enumerate().find(|(_, value)| !rest.any(|their| their == *value)).map(|(at, v)| (at, *v))
}

/// What a pause of the guest's is longer than what its driver asked for: its timers' slack, and the transfer.
const SLACK: f64 = 0.8;

/// Where we go on sooner after a write than mainline does after the same. How many pauses were compared comes
/// with it.
pub fn pauses(golden: &Golden, ours: &[Access]) -> (Vec<String>, usize) {
    let mut found = Vec::new();
    let mut compared = 0;
    for (at, pair) in golden.steps.windows(2).enumerate() {
        let [before @ Step::Write { .. }, Step::Delay(theirs)] = pair else { continue };
        let count = golden.steps[..=at].iter().filter(|step| *step == before).count();
        let same = |(_, access): &(usize, &Access)| Step::of(access).as_ref() == Some(before);
        let Some((here, access)) = ours.iter().enumerate().filter(same).nth(count - 1) else {
            found.push(format!("after `{before}`: mainline pauses, we never write that"));
            continue;
        };
        compared += 1;
        let next = ours.get(here + 1).map_or(Duration::MAX, |next| next.at);
        let pause = next.saturating_sub(access.at);
        if pause < theirs.mul_f64(SLACK) {
            found.push(format!("after `{before}`: mainline pauses for {theirs:?}, we for {pause:?}"));
        }
    }
    (found, compared)
}

/// Exceptions that no comparison needed.
pub fn idle<'a>(exceptions: &'a [Exception], needed: &[usize]) -> Vec<&'a Exception> {
    exceptions
        .iter()
        .enumerate()
        .filter(|(at, _)| !needed.contains(at))
        .map(|(_, exception)| exception)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: On<'_> = On { chip: Model::Rtl8812au, adapter: "ordinary" };

    fn write(address: u16, value: u32) -> Step {
        Step::Write { address, width: 4, value }
    }

    fn golden(steps: Vec<Step>) -> Golden {
        Golden { probe: vec![write(0x0200, 1)], steps, state: State::default() }
    }

    #[test]
    fn v2_fewer_writes_of_a_register_are_mainlines_and_others_are_not() {
        let golden = golden(vec![write(0x0100, 1), write(0x0100, 2), write(0x0100, 3)]);
        let differences = |ours: &[Step]| writes(ON, &golden, ours, &[]).0;
        assert_eq!(differences(&[write(0x0100, 1), write(0x0100, 3)]), Vec::<String>::new());
        assert_eq!(differences(&[write(0x0200, 1), write(0x0100, 3)]), Vec::<String>::new());
        assert_eq!(differences(&[write(0x0100, 3), write(0x0100, 1)]).len(), 1);
        assert_eq!(differences(&[write(0x0100, 4)]).len(), 1);
        assert_eq!(differences(&[write(0x0100, 1), write(0x0300, 0)]).len(), 4);
        assert_eq!(differences(&[]).len(), 4);
    }

    #[test]
    fn v2_a_port_takes_the_whole_sequence() {
        let golden = golden(vec![write(0x0c90, 1), write(0x0c90, 2)]);
        let differences = |ours: &[Step]| writes(ON, &golden, ours, &[]).0.len();
        assert_eq!(differences(&[write(0x0c90, 1), write(0x0c90, 2)]), 0);
        assert_eq!(differences(&[write(0x0c90, 2)]), 1);
        assert_eq!(differences(&[write(0x0c90, 1), write(0x0c90, 2), write(0x0c90, 2)]), 1);
    }

    #[test]
    fn v2_of_the_power_of_rates_what_has_changed_is_enough_in_mainlines_order() {
        let golden = golden(vec![write(POWER, 1), write(POWER, 2), write(POWER, 3)]);
        let differences = |ours: &[Step]| writes(ON, &golden, ours, &[]).0.len();
        assert_eq!(differences(&[write(POWER, 1), write(POWER, 3)]), 0);
        assert_eq!(differences(&[write(POWER, 3), write(POWER, 1)]), 1);
        assert_eq!(differences(&[write(POWER, 4)]), 1);
    }

    #[test]
    fn v2_states_differ_where_any_part_does_and_idle_exceptions_are_told() {
        let mut theirs = State::default();
        theirs.registers.insert(0x0100, 1);
        theirs.rf.insert((0, 0x18), 1);
        theirs.llt.insert(0, Some(1));
        theirs.memories.insert("agc 01".into(), "02".into());
        assert_eq!(states(ON, &theirs, &theirs.clone(), &[]).0.len(), 0);
        assert_eq!(states(ON, &theirs, &State::default(), &[]).0.len(), 4);
        assert_eq!(states(ON, &State::default(), &theirs, &[]).0.len(), 3);
        let table = [Exception::new(0x0100..=0x0100, ""), Exception::new(0x0200..=0x0200, "")];
        let (found, needed) =
            states(ON, &theirs, &State { registers: BTreeMap::new(), ..theirs.clone() }, &table);
        assert_eq!((found.len(), needed.clone()), (0, vec![0]));
        assert_eq!(idle(&table, &needed).len(), 1);
    }

    #[test]
    fn v2_an_exception_is_for_the_chip_and_adapter_that_it_names() {
        let mut theirs = State::default();
        theirs.registers.insert(0x0100, 1);
        let excused =
            |exception: Exception| states(ON, &theirs, &State::default(), &[exception]).0.is_empty();
        let plain = || Exception::new(0x0100..=0x0100, "");
        assert!(excused(plain()));
        assert!(excused(plain().of(&[Model::Rtl8814au, Model::Rtl8812au]).on(&["ordinary"])));
        assert!(!excused(plain().of(&[Model::Rtl8814au])));
        assert!(!excused(plain().on(&["scrambled"])));
        assert!(!excused(plain().of(&[Model::Rtl8812au]).on(&["scrambled"])));
    }

    #[test]
    fn v2_two_runs_of_mainline_differ_by_writes_and_state_and_not_by_what_each_run_has_of_its_own() {
        let mut before =
            golden(vec![write(0x0100, 1), Step::Delay(Duration::from_secs(1)), write(0x0100, 2)]);
        before.state.registers.extend([(0x0100, 2), (0x0560, 7)]);
        let mut now = before.clone();
        now.steps.remove(1);
        now.state.registers.insert(0x0560, 8);
        assert_eq!(runs(ON, &before, &now), Vec::<String>::new());
        let changed = |change: fn(&mut Golden)| {
            let mut now = before.clone();
            change(&mut now);
            runs(ON, &before, &now).len()
        };
        assert_eq!(changed(|now| _ = now.steps.pop()), 1);
        assert_eq!(changed(|now| now.steps.push(write(0x0100, 3))), 1);
        assert_eq!(changed(|now| now.probe[0] = write(0x0200, 2)), 1);
        assert_eq!(changed(|now| _ = now.state.registers.insert(0x0100, 3)), 1);
    }

    #[test]
    fn v2_going_on_sooner_than_mainline_is_told() {
        let golden =
            golden(vec![write(0x0c90, 1), Step::Delay(Duration::from_millis(220)), write(0x0c90, 2)]);
        let access = |at: u64, value: u32| Access {
            at: Duration::from_millis(at),
            address: 0x0c90,
            write: true,
            data: value.to_le_bytes().to_vec(),
            ok: true,
        };
        assert_eq!(pauses(&golden, &[access(0, 1), access(200, 2)]), (Vec::new(), 1));
        assert_eq!(pauses(&golden, &[access(0, 1), access(50, 2)]).0.len(), 1);
        assert_eq!(pauses(&golden, &[access(0, 2)]).0.len(), 1);
    }
}
