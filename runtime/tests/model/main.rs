//! Random programs on the kernel and on a reference model of its contract: everything that can be observed agrees.
//!
//! A [`program`] is tasks, handlers, softirqs and timers that save and restore, trigger, lock, yield, sleep, panic and
//! cancel each other, and a device. [`subject`] runs it on the kernel, [`reference`] on some hundred lines of
//! sequential code, and what both [`observed`] is compared: each step with its IRQ flag, preempt count, pending lines
//! and jiffies, and the counters at the end. All in virtual time: the same programs, the same runs, every time.
//!
//! `AIRLIFT_MODEL_CASES=100000 cargo test -p airlift-runtime --test model` runs more of them, and
//! `AIRLIFT_MODEL_SEED=7` others.

mod observed;
mod program;
mod reference;
mod subject;

use std::collections::BTreeMap;
use std::sync::Once;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use observed::{Entry, Run, What, Who};
use program::{Op, Program, Step, program};
use reference::Model;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|number| number.parse().expect(variable))
}

fn cases(default: u32) -> u32 {
    number("AIRLIFT_MODEL_CASES").map_or(default, |cases| cases.try_into().unwrap_or(u32::MAX))
}

/// The programs are the same in every run of the tests that is not told to run others.
fn runner(cases: u32) -> TestRunner {
    quiet();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    // Spread by two odd constants, since a generator that begins with few bits set gives few for a while.
    let seed = number("AIRLIFT_MODEL_SEED").unwrap_or(0).wrapping_add(1);
    let mut state = [0; 16];
    state[..8].copy_from_slice(&seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    state[8..].copy_from_slice(&seed.wrapping_mul(0xBF58_476D_1CE4_E5B9).to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &state))
}

/// The panics of programs are part of them, and not told.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(subject::KERNEL) {
                tell(info);
            }
        }));
    });
}

/// Compares, and on a difference shows where it begins.
fn assert_same(ours: &Run, reference: &Run) {
    let both = ours.log.iter().zip(&reference.log);
    let same = both.take_while(|(ours, reference)| ours == reference).count();
    let (ours_on, reference_on) = (ours.log.get(same), reference.log.get(same));
    let before = &ours.log[same.saturating_sub(5)..same];
    assert!(
        ours_on.is_none() && reference_on.is_none(),
        "after {before:#?}\nthe kernel goes on with {ours_on:?}\nand the contract with   {reference_on:?}"
    );
    assert_eq!(ours.counts, reference.counts);
}

#[test]
fn r3_any_program_runs_as_the_contract_says() {
    runner(cases(300))
        .run(&program(), |program| {
            assert_same(&subject::run(&program, None), &Model::run(&program));
            Ok(())
        })
        .unwrap();
}

/// The programs reach what they are there for.
#[test]
fn the_programs_contain_everything_that_the_contract_tells_apart() {
    let mut runner = runner(0);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for _ in 0..400 {
        let program = program().new_tree(&mut runner).unwrap().current();
        let Run { log, counts } = Model::run(&program);
        let by = |pick: fn(&Who) -> bool| log.iter().filter(move |entry| pick(&entry.who));
        let begins = |entry: &&Entry| entry.what == What::Begins;
        let nested = |entry: &&Entry| entry.preempt_count & 0x10100 == 0x10100;
        let sum = |pick: fn(&observed::LineCounts) -> u64| counts.lines.iter().map(pick).sum();
        for (what, times) in [
            ("handlers", by(|who| matches!(who, Who::Handler(_))).filter(begins).count() as u64),
            ("softirqs", by(|who| matches!(who, Who::Softirq(_))).filter(begins).count() as u64),
            ("timers", by(|who| matches!(who, Who::Timer(_))).filter(begins).count() as u64),
            ("handlers within softirqs", log.iter().filter(nested).count() as u64),
            ("steps with a line pending", log.iter().filter(|entry| entry.pending != 0).count() as u64),
            ("turns to be given up", log.iter().filter(|entry| entry.need_resched).count() as u64),
            ("coalesced", sum(|line| line.coalesced)),
            ("left pending, disabled", sum(|line| line.pending.into())),
            ("panics in handlers", sum(|line| line.panics)),
            ("panics in softirqs", counts.softirq_panics),
            ("panics in timers", counts.timer_panics),
            ("panics in tasks", counts.tasks_panicked),
            ("cancelled", counts.tasks_cancelled),
            ("suspended with irqs off", counts.suspended_with_irqs_off),
            ("handlers that returned with irqs on", counts.handler_left_irqs_on),
        ] {
            *seen.entry(what).or_default() += times;
        }
    }
    for (what, times) in &seen {
        assert!(*times >= 10, "{what}: {times} in all");
    }
}

/// Under chaos the model cannot know when an interrupt lands. But where handlers may not run, they do not.
#[test]
fn r16_any_program_keeps_its_accounts_under_chaos_and_repeats_itself() {
    let seeds = 0..u64::MAX;
    runner(cases(80))
        .run(&(program(), seeds), |(program, seed)| {
            let run = subject::run(&program, Some(seed));
            assert_same(&subject::run(&program, Some(seed)), &run);
            check_accounts(&program, &run);
            Ok(())
        })
        .unwrap();
}

fn check_accounts(program: &Program, run: &Run) {
    let Run { log, counts } = run;
    for (number, line) in counts.lines.iter().enumerate() {
        // `raised` has been compared with what the program did.
        let begins = |entry: &&Entry| entry.who == Who::Handler(number) && entry.what == What::Begins;
        let runs = log.iter().filter(begins).count() as u64;
        // Without a run are deliveries after the handler's panic, and under chaos those of what the device has raised
        // before the handler was there.
        let device = program.device.iter().filter(|(_, line)| *line == number).count() as u64;
        let most = if line.panics > 0 { line.raised } else { runs + device };
        assert!((runs..=most).contains(&line.delivered), "{runs} runs, {line:?}");
        assert_eq!(line.coalesced, line.raised - line.delivered - u64::from(line.pending), "{line:?}");
        assert!(line.edges <= line.raised && (line.pending || line.edges == line.raised), "{line:?}");
    }
    assert_eq!(counts.tasks_finished + counts.tasks_cancelled, program.tasks.len() as u64);
    for (at, entry) in log.iter().enumerate() {
        let in_handler = matches!(entry.who, Who::Handler(_));
        assert_eq!(in_handler, entry.preempt_count & 0xf0000 != 0, "{entry:?}");
        if entry.what == What::Begins && in_handler {
            assert!(!entry.irqs_on, "{entry:?}");
        }
        assert!(entry.jiffies <= entry.now_ms, "{entry:?}");
        // A handler never breaks into another: whatever a handler does, it goes on doing.
        let next = log.get(at + 1).map(|next| next.who);
        if in_handler && next.is_some_and(|next| next != entry.who && !matches!(next, Who::Handler(_))) {
            assert!(ends_here(program, log, at), "{entry:?} and then {next:?}");
        }
    }
}

/// Whether the handler's activation that `at` belongs to has nothing more to do after it.
fn ends_here(program: &Program, log: &[Entry], at: usize) -> bool {
    let Who::Handler(line) = log[at].who else { return true };
    let own = |entry: &&Entry| entry.who == log[at].who;
    let begun = log[..=at].iter().filter(own).filter(|entry| entry.what == What::Begins).count();
    let done = log[..=at].iter().rev().filter(own).take_while(|entry| entry.what != What::Begins).count();
    let Some(ops) = program.handlers[line].get(begun - 1) else { return done == 0 };
    done == count(ops) || panics(ops)
}

fn count(ops: &[Op]) -> usize {
    ops.iter()
        .map(|op| match op {
            Op::IrqsOff(ops) | Op::SoftirqsOff(ops) | Op::PreemptOff(ops) | Op::Locked(_, _, ops) => {
                1 + count(ops)
            }
            _ => 1,
        })
        .sum()
}

/// Whether the list may end early.
fn panics(ops: &[Op]) -> bool {
    ops.iter().any(|op| match op {
        Op::Panic | Op::Locked(..) => true,
        Op::IrqsOff(ops) | Op::SoftirqsOff(ops) | Op::PreemptOff(ops) => panics(ops),
        _ => false,
    })
}

#[test]
fn the_reference_runs_a_program_as_told_by_hand() {
    let program = Program {
        tasks: vec![vec![
            Step::Do(Op::Save),
            Step::Do(Op::Trigger(0)),
            Step::Do(Op::HostTrigger(0)),
            Step::Yield,
            Step::Do(Op::Restore),
        ]],
        handlers: vec![vec![vec![Op::Raise(0)]], vec![], vec![]],
        softirqs: vec![vec![], vec![]],
        timers: vec![vec![], vec![]],
        device: vec![],
    };
    let run = Model::run(&program);
    let told: Vec<_> = run.log.iter().map(|entry| (entry.who, entry.irqs_on, entry.pending)).collect();
    let task = Who::Task(0);
    assert_eq!(
        told,
        [
            (task, true, 0),
            (task, false, 0),
            (task, false, 1),
            (task, false, 1),
            // The turn ends with IRQs off, which defers nobody's interrupts.
            (Who::Handler(0), false, 0),
            (Who::Handler(0), false, 0),
            (Who::Softirq(0), true, 0),
            (task, false, 0),
            (task, true, 0),
            (task, true, 0),
        ]
    );
    assert_eq!(run.counts.suspended_with_irqs_off, 1);
    assert_eq!((run.counts.lines[0].raised, run.counts.lines[0].delivered), (2, 1));
    assert_same(&subject::run(&program, None), &run);
}
