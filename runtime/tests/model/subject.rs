//! A program, run on the kernel.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use airlift_runtime::{
    Clock, Cpu, IrqFlags, IrqLine, IrqReturn, JoinHandle, Kernel, Softirq, SpinLock, Timer, Woken,
};
use futures::executor::block_on;
use futures::{FutureExt, StreamExt};

use crate::observed::{Counts, Entry, LineCounts, Run, What, Who};
use crate::program::{LINES, LOCKS, Op, Program, Step, TIMERS, Taking, VECTORS};

/// Longer than any program.
const END: Duration = Duration::from_secs(3600);

/// The name of the kernel's thread, whose panics are the programs'.
pub(crate) const KERNEL: &str = "model";

/// Runs `program`; with a seed under chaos.
pub(crate) fn run(program: &Program, chaos: Option<u64>) -> Run {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let builder = Kernel::builder().name(KERNEL).clock(clock.clone());
    let kernel = match chaos {
        Some(seed) => builder.chaos(seed),
        None => builder,
    }
    .build()
    .unwrap();
    let handle = kernel.handle();
    let lines: Vec<_> = (0..LINES).map(|line| handle.irq_line(&format!("line {line}")).unwrap()).collect();
    let mut edges: Vec<_> = lines.iter().map(IrqLine::edges).collect();
    let triggers = Arc::new(Triggers::default());
    let device = device(&clock, program.device.clone(), lines.clone(), triggers.clone());
    // The device waits for its first instant before any timer is armed.
    let quiet = block_on(clock.run_until(Duration::ZERO));

    // Busy, this thread stops the clock until all is set up.
    let busy = clock.host_timer("set-up");
    let mut end = Box::pin(clock.run_until(END));
    assert!(end.as_mut().now_or_never().is_none());
    let log = Arc::new(Mutex::new(Vec::new()));
    let (entries, whole, on_kernel) = (log.clone(), program.clone(), (lines.clone(), triggers.clone()));
    let begin = move |cpu| World::begin(cpu, whole, on_kernel, entries);
    drop(handle.spawn_service("world", begin).unwrap());
    drop(busy);
    let end = block_on(end);

    let stats = handle.stats();
    let edges = edges.iter_mut().map(|edges| edges.next().now_or_never().flatten().unwrap_or(0));
    let counts = Counts {
        lines: lines
            .iter()
            .zip(edges)
            .enumerate()
            .map(|(at, (line, edges))| {
                let stats = stats.line(line.number()).unwrap();
                let &airlift_runtime::LineStats { raised, delivered, coalesced, panics, pending, .. } = stats;
                assert_eq!(raised, triggers.of(at), "{stats:?}");
                LineCounts { raised, delivered, coalesced, panics, edges, pending }
            })
            .collect(),
        softirqs: [Softirq::Timer].iter().chain(&VECTORS).map(|&v| stats.softirqs[v as usize]).collect(),
        tasks_finished: stats.tasks_finished,
        tasks_cancelled: stats.tasks_cancelled,
        tasks_panicked: stats.tasks_panicked,
        softirq_panics: stats.softirq_panics,
        timer_panics: stats.timer_panics,
        suspended_with_irqs_off: stats.suspended_with_irqs_off,
        handler_left_irqs_on: stats.handler_left_irqs_on,
    };
    drop((hold, quiet, end));
    kernel.shutdown_blocking();
    device.join().unwrap();
    let log = std::mem::take(&mut *log.lock().unwrap());
    Run { log, counts }
}

/// How often each line was triggered, by those who did it.
#[derive(Default)]
struct Triggers([AtomicU64; LINES]);

impl Triggers {
    fn trigger(&self, lines: &[IrqLine], at: usize) {
        self.0[at].fetch_add(1, Ordering::Relaxed);
        lines[at].trigger().unwrap();
    }

    fn of(&self, at: usize) -> u64 {
        self.0[at].load(Ordering::Relaxed)
    }
}

/// A host thread in the kernel's time.
fn device(
    clock: &Clock,
    raises: Vec<(u64, usize)>,
    lines: Vec<IrqLine>,
    triggers: Arc<Triggers>,
) -> thread::JoinHandle<()> {
    let mut timer = clock.host_timer("device");
    thread::spawn(move || {
        for (after_ms, line) in raises {
            let due = timer.now() + Duration::from_millis(after_ms);
            assert_eq!(timer.wait_until(Some(due)), Woken::Due);
            triggers.trigger(&lines, line);
        }
    })
}

/// What the program's pieces share on the kernel's thread.
struct World {
    program: Program,
    lines: Vec<IrqLine>,
    triggers: Arc<Triggers>,
    timers: RefCell<Vec<Timer>>,
    locks: Vec<SpinLock<()>>,
    tasks: RefCell<Vec<JoinHandle<()>>>,
    ended: Vec<Cell<bool>>,
    log: Arc<Mutex<Vec<Entry>>>,
    /// A host thread out of the kernel's time: raises a line and says that it has.
    host: (mpsc::Sender<usize>, mpsc::Receiver<()>),
}

impl World {
    async fn begin(
        cpu: Cpu,
        program: Program,
        (lines, triggers): (Vec<IrqLine>, Arc<Triggers>),
        log: Arc<Mutex<Vec<Entry>>>,
    ) {
        let (raise, to_raise) = mpsc::channel::<usize>();
        let (done, raised) = mpsc::channel();
        let (of_host, by_host) = (lines.clone(), triggers.clone());
        thread::spawn(move || {
            for line in to_raise {
                by_host.trigger(&of_host, line);
                done.send(()).unwrap();
            }
        });
        let world = Rc::new(Self {
            lines,
            triggers,
            timers: RefCell::default(),
            locks: (0..LOCKS).map(|_| SpinLock::new("", ())).collect(),
            tasks: RefCell::default(),
            ended: program.tasks.iter().map(|_| Cell::new(false)).collect(),
            log,
            host: (raise, raised),
            program,
        });
        let weak = Rc::downgrade(&world);
        let actions: Vec<_> = (0..LINES).map(|line| Self::handler(&weak, &cpu, line)).collect();
        let softirqs: Vec<_> = (0..VECTORS.len()).map(|vector| Self::softirq(&weak, &cpu, vector)).collect();
        *world.timers.borrow_mut() = (0..TIMERS).map(|timer| Self::timer(&weak, &cpu, timer)).collect();
        for task in 0..world.program.tasks.len() {
            let end = End { world: world.clone(), cpu: cpu.clone(), task };
            let spawned = cpu.spawn(format!("task {task}"), move |cpu| Self::task(end, cpu));
            world.tasks.borrow_mut().push(spawned);
        }
        std::future::pending::<()>().await;
        drop((actions, softirqs));
    }

    fn handler(world: &Weak<Self>, cpu: &Cpu, line: usize) -> airlift_runtime::IrqAction {
        let weak = world.clone();
        let (on, mut runs) = (cpu.clone(), 0);
        let handler = move |_: &mut airlift_runtime::HardIrq<'_>| {
            let world = weak.upgrade().expect("the program runs");
            let lists = &world.program.handlers[line];
            world.activation(&on, Who::Handler(line), lists, &mut runs);
            IrqReturn::Handled
        };
        let world = world.upgrade().expect("it is being made");
        cpu.request_irq(&world.lines[line], "handler", handler).unwrap()
    }

    fn softirq(world: &Weak<Self>, cpu: &Cpu, vector: usize) -> airlift_runtime::SoftirqAction {
        let weak = world.clone();
        let (on, mut runs) = (cpu.clone(), 0);
        let handler = move |_: &mut airlift_runtime::SoftIrq<'_>| {
            let world = weak.upgrade().expect("the program runs");
            world.activation(&on, Who::Softirq(vector), &world.program.softirqs[vector], &mut runs);
        };
        cpu.open_softirq(VECTORS[vector], handler).unwrap()
    }

    fn timer(world: &Weak<Self>, cpu: &Cpu, timer: usize) -> Timer {
        let weak = world.clone();
        let (on, mut runs) = (cpu.clone(), 0);
        cpu.timer("", move |_| {
            let world = weak.upgrade().expect("the program runs");
            world.activation(&on, Who::Timer(timer), &world.program.timers[timer], &mut runs);
        })
    }

    /// The next list of a handler, softirq or timer.
    fn activation(&self, cpu: &Cpu, who: Who, lists: &[Vec<Op>], runs: &mut usize) {
        self.note(cpu, who, What::Begins);
        let ops = lists.get(*runs);
        *runs += 1;
        self.perform_all(cpu, who, ops.map_or(&[], Vec::as_slice), &mut Vec::new());
    }

    async fn task(end: End, cpu: Cpu) {
        let world = end.world.clone();
        let who = Who::Task(end.task);
        let mut saved = Vec::new();
        world.note(&cpu, who, What::Begins);
        for step in &world.program.tasks[end.task] {
            match step {
                Step::Do(op) => {
                    world.perform(&cpu, who, op, &mut saved);
                    continue;
                }
                Step::Yield => cpu.yield_now().await,
                Step::CondResched => cpu.cond_resched().await,
                Step::Sleep(ms) => cpu.msleep(*ms).await,
            }
            world.note(&cpu, who, What::Did(true));
        }
    }

    fn perform_all(&self, cpu: &Cpu, who: Who, ops: &[Op], saved: &mut Vec<IrqFlags>) {
        ops.iter().for_each(|op| self.perform(cpu, who, op, saved));
    }

    fn perform(&self, cpu: &Cpu, who: Who, op: &Op, saved: &mut Vec<IrqFlags>) {
        let mut outcome = true;
        match *op {
            Op::Save => saved.push(cpu.local_irq_save()),
            Op::Restore => match saved.pop() {
                Some(flags) => cpu.local_irq_restore(flags),
                None => outcome = false,
            },
            Op::Disable => cpu.local_irq_disable(),
            Op::Enable => cpu.local_irq_enable(),
            Op::Trigger(line) => self.triggers.trigger(&self.lines, line),
            Op::HostTrigger(line) => {
                self.host.0.send(line).unwrap();
                self.host.1.recv().unwrap();
            }
            Op::Relax => cpu.cpu_relax(),
            Op::Raise(vector) => cpu.raise_softirq(VECTORS[vector]),
            Op::Arm(timer, delay) => {
                let now = u64::try_from(cpu.now().as_millis()).unwrap();
                outcome = self.timers.borrow()[timer].mod_timer(now + delay);
            }
            Op::Delete(timer) => outcome = self.timers.borrow()[timer].timer_delete(),
            Op::DisableLine(line) => cpu.disable_irq_nosync(&self.lines[line]).unwrap(),
            Op::EnableLine(line) => outcome = cpu.enable_irq(&self.lines[line]).is_ok(),
            Op::Abort(task) => {
                outcome = self.ended.get(task).is_some_and(|ended| !ended.get());
                if outcome {
                    self.tasks.borrow()[task].abort();
                }
            }
            Op::Panic => panic!("as the program says"),
            Op::IrqsOff(ref ops) => cpu.with_irqs_off(|| self.perform_all(cpu, who, ops, saved)),
            Op::SoftirqsOff(ref ops) => cpu.with_softirqs_off(|| self.perform_all(cpu, who, ops, saved)),
            Op::PreemptOff(ref ops) => cpu.with_preempt_off(|| self.perform_all(cpu, who, ops, saved)),
            Op::Locked(lock, taking, ref ops) => {
                let work = |(): &mut ()| self.perform_all(cpu, who, ops, saved);
                let lock = &self.locks[lock];
                match taking {
                    Taking::Plain => lock.with(cpu, work),
                    Taking::Irqsave => lock.with_irqsave(cpu, work),
                    Taking::Bh => lock.with_bh(cpu, work),
                }
            }
        }
        self.note(cpu, who, What::Did(outcome));
    }

    fn note(&self, cpu: &Cpu, who: Who, what: What) {
        let pending = self.lines.iter().enumerate().map(|(bit, line)| u8::from(line.is_pending()) << bit);
        let entry = Entry {
            who,
            what,
            irqs_on: cpu.irqs_enabled(),
            preempt_count: cpu.preempt_count(),
            pending: pending.sum(),
            now_ms: u64::try_from(cpu.now().as_millis()).unwrap(),
            jiffies: cpu.jiffies(),
            need_resched: cpu.need_resched() && matches!(who, Who::Task(_)),
        };
        self.log.lock().unwrap().push(entry);
    }
}

/// A task's future is gone.
struct End {
    world: Rc<World>,
    cpu: Cpu,
    task: usize,
}

impl Drop for End {
    fn drop(&mut self) {
        self.world.ended[self.task].set(true);
        self.world.note(&self.cpu, Who::Task(self.task), What::Dropped);
    }
}
