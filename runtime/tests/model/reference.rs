//! The contract as one sequential program: no threads, no futures, no channels, no wakers.
//!
//! It says what R3 to R9 and R12 say, in the plainest way that can be run.

use std::collections::{BTreeMap, VecDeque};

use crate::observed::{Counts, Entry, LineCounts, Run, What, Who};
use crate::program::{LINES, LOCKS, Op, Program, Step, TIMERS, Taking, VECTORS};

/// Passes over the pending softirqs before `ksoftirqd` goes on.
const PASSES: u32 = 10;

/// The end of whoever panicked.
struct Panic;

#[derive(Clone, Copy, PartialEq)]
enum Token {
    Line(usize),
    /// Sent again, at the unmasking.
    Again(usize),
    Clock(Due),
}

/// Who waits for an instant.
#[derive(Clone, Copy, PartialEq)]
enum Due {
    Sleep(usize),
    Timer(usize),
    Device(usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Ready {
    Task(usize),
    Ksoftirqd,
}

#[derive(Default)]
struct Task {
    at: usize,
    /// The step at `at` has given up the turn, and is over at the next one.
    waits: bool,
    saved: Vec<bool>,
    irqs_off: bool,
    queued: bool,
    aborted: bool,
    ended: bool,
}

#[derive(Default)]
struct Line {
    counts: LineCounts,
    depth: u32,
    runs: usize,
    panicked: bool,
    /// `Token::Again` is queued.
    again: bool,
}

#[derive(Default)]
struct Timer {
    key: Option<(u64, u64)>,
    expired: bool,
    runs: usize,
    panicked: bool,
}

pub(crate) struct Model<'p> {
    program: &'p Program,
    log: Vec<Entry>,
    counts: Counts,
    now: u64,
    waiting: BTreeMap<(u64, u64), Due>,
    sequence: u64,
    tokens: VecDeque<Token>,
    ready: VecDeque<Ready>,
    tasks: Vec<Task>,
    lines: [Line; LINES],
    timers: [Timer; TIMERS],
    expired: VecDeque<usize>,
    locked: [bool; LOCKS],
    softirq_runs: [usize; VECTORS.len()],
    softirq_panicked: [bool; VECTORS.len()],
    /// Bit 0: the timers'.
    softirqs: u8,
    overflown: bool,
    // The processor.
    irqs_on: bool,
    in_handler: bool,
    in_softirq: bool,
    softirqs_off: u32,
    preempt_off: u32,
    locks: u32,
    need_resched: bool,
}

impl<'p> Model<'p> {
    pub(crate) fn run(program: &'p Program) -> Run {
        let mut model = Self {
            program,
            log: Vec::new(),
            counts: Counts { softirqs: vec![0; 1 + VECTORS.len()], ..Counts::default() },
            now: 0,
            waiting: BTreeMap::new(),
            sequence: 0,
            tokens: VecDeque::new(),
            ready: VecDeque::new(),
            tasks: program.tasks.iter().map(|_| Task::default()).collect(),
            lines: Default::default(),
            timers: Default::default(),
            expired: VecDeque::new(),
            locked: [false; LOCKS],
            softirq_runs: [0; VECTORS.len()],
            softirq_panicked: [false; VECTORS.len()],
            softirqs: 0,
            overflown: false,
            irqs_on: true,
            in_handler: false,
            in_softirq: false,
            softirqs_off: 0,
            preempt_off: 0,
            locks: 0,
            need_resched: false,
        };
        model.device_waits(0);
        for task in 0..program.tasks.len() {
            model.wake(task);
        }
        model.execute();
        let lines = model.lines.into_iter().map(|line| line.counts);
        let counts = Counts { lines: lines.collect(), ..model.counts };
        Run { log: model.log, counts }
    }

    // ---- the executor ----------------------------------------------------------------------------------------

    fn execute(&mut self) {
        loop {
            self.deliver();
            if self.softirqs != 0 {
                self.wake_ksoftirqd();
            }
            match self.ready.pop_front() {
                Some(Ready::Task(task)) => self.poll(task),
                Some(Ready::Ksoftirqd) => {
                    self.need_resched = false;
                    self.overflown = false;
                    self.run_softirqs();
                }
                // All is quiet: time moves to the next that is due.
                None => match self.waiting.pop_first() {
                    Some(((due, _), party)) => {
                        self.now = self.now.max(due);
                        match party {
                            Due::Device(at) => {
                                self.raise(self.program.device[at].1);
                                self.device_waits(at + 1);
                            }
                            _ => self.tokens.push_back(Token::Clock(party)),
                        }
                    }
                    None => return,
                },
            }
        }
    }

    fn device_waits(&mut self, at: usize) {
        if let Some(&(after, _)) = self.program.device.get(at) {
            self.wait(self.now + after, Due::Device(at));
        }
    }

    fn wait(&mut self, due: u64, party: Due) -> (u64, u64) {
        self.sequence += 1;
        self.waiting.insert((due, self.sequence), party);
        (due, self.sequence)
    }

    fn wake(&mut self, task: usize) {
        if !std::mem::replace(&mut self.tasks[task].queued, true) {
            self.ready.push_back(Ready::Task(task));
        }
    }

    fn wake_ksoftirqd(&mut self) {
        if !self.ready.contains(&Ready::Ksoftirqd) {
            self.ready.push_back(Ready::Ksoftirqd);
        }
    }

    /// A turn: the flag is the task's, and the task's again after.
    fn poll(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        if task.ended {
            return;
        }
        task.queued = false;
        self.irqs_on = !task.irqs_off;
        self.need_resched = false;
        if task.aborted {
            self.counts.tasks_cancelled += 1;
            self.waiting.retain(|_, party| *party != Due::Sleep(number));
            self.end(number);
        } else {
            let mut saved = std::mem::take(&mut task.saved);
            let turn = self.turn(number, &mut saved);
            self.counts.suspended_with_irqs_off += u64::from(!self.irqs_on);
            match turn {
                Ok(true) => {
                    self.tasks[number].saved = saved;
                    self.tasks[number].irqs_off = !self.irqs_on;
                }
                ended => {
                    self.counts.tasks_panicked += u64::from(ended.is_err());
                    self.counts.tasks_finished += 1;
                    self.end(number);
                }
            }
        }
        self.irqs_on = true;
    }

    fn end(&mut self, number: usize) {
        self.tasks[number].ended = true;
        self.note(Who::Task(number), What::Dropped);
    }

    /// True: the turn is given up; false: the task is done.
    fn turn(&mut self, number: usize, saved: &mut Vec<bool>) -> Result<bool, Panic> {
        let program = self.program;
        let who = Who::Task(number);
        if self.tasks[number].at == 0 && !self.tasks[number].waits {
            self.note(who, What::Begins);
        }
        while let Some(step) = program.tasks[number].get(self.tasks[number].at) {
            if std::mem::take(&mut self.tasks[number].waits) {
                self.note(who, What::Did(true));
            } else {
                let gives_up = match step {
                    Step::Do(op) => {
                        self.perform(who, op, saved)?;
                        false
                    }
                    Step::Yield => {
                        self.wake(number);
                        true
                    }
                    Step::CondResched => {
                        self.deliver();
                        self.check_resched();
                        if self.need_resched {
                            self.wake(number);
                        } else {
                            self.note(who, What::Did(true));
                        }
                        self.need_resched
                    }
                    Step::Sleep(ms) => {
                        self.wait(self.now + ms, Due::Sleep(number));
                        true
                    }
                };
                if gives_up {
                    self.tasks[number].waits = true;
                    return Ok(true);
                }
            }
            self.tasks[number].at += 1;
        }
        Ok(false)
    }

    // ---- interrupts ------------------------------------------------------------------------------------------

    fn raise(&mut self, line: usize) {
        let counts = &mut self.lines[line].counts;
        counts.raised += 1;
        if std::mem::replace(&mut counts.pending, true) {
            counts.coalesced += 1;
        } else {
            self.tokens.push_back(Token::Line(line));
        }
    }

    /// A delivery point.
    fn deliver(&mut self) {
        if self.in_handler || !self.irqs_on {
            return;
        }
        while let Some(token) = self.tokens.pop_front() {
            self.interrupt(token);
        }
    }

    fn interrupt(&mut self, token: Token) {
        if let Token::Again(line) = token {
            self.lines[line].again = false;
            return self.interrupt(Token::Line(line));
        }
        if let Token::Line(line) = token {
            let Line { counts, depth, .. } = &mut self.lines[line];
            if *depth > 0 || !std::mem::take(&mut counts.pending) {
                return;
            }
            counts.delivered += 1;
            counts.edges = counts.raised;
        }
        let (locks, preempt_off) = (std::mem::take(&mut self.locks), std::mem::take(&mut self.preempt_off));
        self.irqs_on = false;
        self.in_handler = true;
        match token {
            Token::Line(line) | Token::Again(line) => self.handle(line),
            Token::Clock(Due::Sleep(task)) => self.wake(task),
            Token::Clock(Due::Timer(timer)) => {
                self.timers[timer].key = None;
                self.timers[timer].expired = true;
                self.expired.push_back(timer);
                self.softirqs |= 1;
            }
            Token::Clock(Due::Device(_)) => unreachable!("a device raises a line"),
        }
        self.irqs_on = false;
        self.in_handler = false;
        if self.softirqs != 0 && !self.in_softirq && self.softirqs_off == 0 && !self.overflown {
            self.irqs_on = true;
            self.run_softirqs();
        }
        (self.locks, self.preempt_off) = (locks, preempt_off);
        // Interrupts are taken with IRQs on only.
        self.irqs_on = true;
        self.check_resched();
    }

    fn handle(&mut self, line: usize) {
        if self.lines[line].panicked {
            return;
        }
        let run = self.lines[line].runs;
        self.lines[line].runs += 1;
        let ops = self.program.handlers[line].get(run).map_or(&[][..], Vec::as_slice);
        if self.activation(Who::Handler(line), ops).is_err() {
            self.lines[line].panicked = true;
            self.lines[line].counts.panics += 1;
        }
        self.counts.handler_left_irqs_on += u64::from(self.irqs_on);
    }

    /// A handler, softirq or timer, with a stack of saved flags of its own.
    fn activation(&mut self, who: Who, ops: &[Op]) -> Result<(), Panic> {
        self.note(who, What::Begins);
        self.perform_all(who, ops, &mut Vec::new())
    }

    // ---- softirqs --------------------------------------------------------------------------------------------

    fn run_softirqs(&mut self) {
        let busy = self.in_handler || self.in_softirq || self.softirqs_off > 0 || !self.irqs_on;
        if self.softirqs == 0 || busy {
            return;
        }
        let (locks, preempt_off) = (std::mem::take(&mut self.locks), std::mem::take(&mut self.preempt_off));
        self.in_softirq = true;
        self.deliver();
        for _ in 0..PASSES {
            let pending = std::mem::take(&mut self.softirqs);
            for vector in (0..8).filter(|vector| pending & 1 << vector != 0) {
                self.run_vector(vector);
                self.irqs_on = true;
                self.deliver();
            }
            if self.softirqs == 0 {
                break;
            }
        }
        self.in_softirq = false;
        (self.locks, self.preempt_off) = (locks, preempt_off);
        if self.softirqs != 0 {
            self.overflown = true;
            self.wake_ksoftirqd();
        }
    }

    fn run_vector(&mut self, vector: usize) {
        self.counts.softirqs[vector] += 1;
        let Some(vector) = vector.checked_sub(1) else { return self.run_timers() };
        if self.softirq_panicked[vector] {
            return;
        }
        let run = self.softirq_runs[vector];
        self.softirq_runs[vector] += 1;
        let ops = self.program.softirqs[vector].get(run).map_or(&[][..], Vec::as_slice);
        if self.activation(Who::Softirq(vector), ops).is_err() {
            self.softirq_panicked[vector] = true;
            self.counts.softirq_panics += 1;
        }
    }

    fn run_timers(&mut self) {
        for number in std::mem::take(&mut self.expired) {
            if !std::mem::take(&mut self.timers[number].expired) {
                continue;
            }
            let run = self.timers[number].runs;
            self.timers[number].runs += 1;
            let ops = self.program.timers[number].get(run).map_or(&[][..], Vec::as_slice);
            if self.activation(Who::Timer(number), ops).is_err() {
                self.timers[number].panicked = true;
                self.delete(number);
                self.counts.timer_panics += 1;
            }
        }
    }

    fn delete(&mut self, number: usize) -> bool {
        let timer = &mut self.timers[number];
        let armed = timer.key.take().is_some_and(|key| self.waiting.remove(&key).is_some());
        std::mem::take(&mut timer.expired) | armed
    }

    // ---- what programs do ------------------------------------------------------------------------------------

    fn perform_all(&mut self, who: Who, ops: &[Op], saved: &mut Vec<bool>) -> Result<(), Panic> {
        ops.iter().try_for_each(|op| self.perform(who, op, saved))
    }

    fn perform(&mut self, who: Who, op: &Op, saved: &mut Vec<bool>) -> Result<(), Panic> {
        let mut outcome = true;
        match *op {
            Op::Save => saved.push(std::mem::take(&mut self.irqs_on)),
            Op::Restore => match saved.pop() {
                Some(irqs_on) => self.set_irqs(irqs_on),
                None => outcome = false,
            },
            Op::Disable => self.irqs_on = false,
            Op::Enable => self.set_irqs(true),
            Op::Trigger(line) => {
                self.raise(line);
                self.deliver();
            }
            Op::HostTrigger(line) => self.raise(line),
            Op::Relax => self.deliver(),
            Op::Raise(vector) => {
                self.softirqs |= 2 << vector;
                if !self.in_handler && !self.in_softirq && self.softirqs_off == 0 {
                    self.wake_ksoftirqd();
                }
            }
            Op::Arm(timer, delay) => {
                outcome = self.delete(timer);
                if !self.timers[timer].panicked {
                    // A jiffy that has begun means the next one.
                    self.timers[timer].key = Some(self.wait(self.now + delay.max(1), Due::Timer(timer)));
                }
            }
            Op::Delete(timer) => outcome = self.delete(timer),
            Op::DisableLine(line) => self.lines[line].depth += 1,
            Op::EnableLine(line) => {
                outcome = self.lines[line].depth > 0;
                if outcome {
                    self.lines[line].depth -= 1;
                    if self.lines[line].depth == 0 && self.lines[line].counts.pending {
                        if !std::mem::replace(&mut self.lines[line].again, true) {
                            self.tokens.push_back(Token::Again(line));
                        }
                        self.deliver();
                    }
                }
            }
            Op::Abort(task) => {
                outcome = self.tasks.get(task).is_some_and(|task| !task.ended);
                if outcome {
                    self.tasks[task].aborted = true;
                    self.wake(task);
                }
            }
            Op::Panic => return Err(Panic),
            Op::IrqsOff(ref ops) => {
                let irqs_on = std::mem::take(&mut self.irqs_on);
                let result = self.perform_all(who, ops, saved);
                self.set_irqs(irqs_on);
                result?;
            }
            Op::SoftirqsOff(ref ops) => {
                self.softirqs_off += 1;
                let result = self.perform_all(who, ops, saved);
                self.enable_softirqs();
                result?;
            }
            Op::PreemptOff(ref ops) => {
                self.preempt_off += 1;
                let result = self.perform_all(who, ops, saved);
                self.preempt_off -= 1;
                self.check_resched();
                result?;
            }
            Op::Locked(lock, taking, ref ops) => self.locked(who, lock, taking, ops, saved)?,
        }
        self.note(who, What::Did(outcome));
        Ok(())
    }

    fn locked(
        &mut self,
        who: Who,
        lock: usize,
        taking: Taking,
        ops: &[Op],
        saved: &mut Vec<bool>,
    ) -> Result<(), Panic> {
        let irqs_on = self.irqs_on;
        match taking {
            Taking::Plain => {}
            Taking::Irqsave => self.irqs_on = false,
            Taking::Bh => self.softirqs_off += 1,
        }
        let result = if std::mem::replace(&mut self.locked[lock], true) {
            // On one processor it would spin for ever.
            Err(Panic)
        } else {
            self.locks += 1;
            let result = self.perform_all(who, ops, saved);
            self.locks -= 1;
            self.locked[lock] = false;
            result
        };
        match taking {
            Taking::Plain => {}
            Taking::Irqsave => self.set_irqs(irqs_on),
            Taking::Bh => self.enable_softirqs(),
        }
        result
    }

    fn set_irqs(&mut self, irqs_on: bool) {
        let were_on = std::mem::replace(&mut self.irqs_on, irqs_on);
        if irqs_on && !were_on {
            self.deliver();
        }
    }

    fn enable_softirqs(&mut self) {
        self.softirqs_off -= 1;
        if self.softirqs_off == 0 && self.irqs_on {
            if !self.overflown {
                self.run_softirqs();
            }
            self.check_resched();
        }
    }

    // ---- what is seen ----------------------------------------------------------------------------------------

    fn preempt_count(&self) -> u32 {
        let interrupts = u32::from(self.in_handler) * 0x10000 + u32::from(self.in_softirq) * 0x100;
        self.preempt_off + self.locks + self.softirqs_off * 0x200 + interrupts
    }

    fn check_resched(&mut self) {
        self.need_resched |= self.irqs_on && self.preempt_count() == 0 && !self.ready.is_empty();
    }

    fn note(&mut self, who: Who, what: What) {
        let pending = self.lines.iter().enumerate().map(|(line, it)| u8::from(it.counts.pending) << line);
        self.log.push(Entry {
            who,
            what,
            irqs_on: self.irqs_on,
            preempt_count: self.preempt_count(),
            pending: pending.sum(),
            now_ms: self.now,
            jiffies: self.now,
            need_resched: self.need_resched && matches!(who, Who::Task(_)),
        });
    }
}
