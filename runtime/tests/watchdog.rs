//! R11: the watchdog; and R15: the policy that it is needed for.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use airlift_runtime::{
    Clock, Completion, Cpu, Hold, IrqLine, IrqPolicy, IrqReturn, JoinHandle, Kernel, Softirq, Stall,
    Watchdog, WatchdogReport,
};
use common::receive;
use futures::executor::block_on;

const SECOND: Duration = Duration::from_secs(1);

/// A host clock of the test's own, moved by a kernel that does nothing else.
struct Host {
    clock: Clock,
    hold: Hold,
    _mover: Kernel,
}

impl Host {
    fn new() -> Self {
        let clock = Clock::virtual_time();
        let hold = clock.hold();
        let mover = Kernel::builder().name("host").clock(clock.clone()).build().unwrap();
        Self { clock, hold, _mover: mover }
    }

    /// Lets time pass until `at`, and all that is due by then happen.
    fn run_until(&mut self, at: Duration) {
        self.hold = block_on(self.clock.run_until(at));
    }

    /// The same, giving the kernel that is watched the time, every second, to take its timer interrupt.
    fn run_with(&mut self, timer: &IrqLine, until: Duration) {
        while self.clock.now() < until {
            self.run_until(self.clock.now() + SECOND);
            while timer.is_pending() {
                thread::yield_now();
            }
        }
    }

    fn watch(&self, kernel: &Kernel) -> Watchdog {
        Watchdog::builder().clock(self.clock.clone()).watch(&kernel.handle()).unwrap()
    }
}

/// A task whose poll does not return before it is told to. It is in there when this returns.
fn stuck(kernel: &Kernel, spin: impl Fn(&Cpu) + Send + 'static) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let release = Arc::new(AtomicBool::new(false));
    let (released, (entered, is_in)) = (release.clone(), mpsc::channel());
    let task = kernel.handle().spawn("sticky", move |cpu| async move {
        // Whatever it does to its processor is done by then.
        spin(&cpu);
        entered.send(()).unwrap();
        while !released.load(Ordering::Acquire) {
            spin(&cpu);
        }
    });
    receive(&is_in);
    (release, task.unwrap())
}

fn all(watchdog: &Watchdog) -> Vec<WatchdogReport> {
    std::iter::from_fn(|| watchdog.try_report()).collect()
}

/// A requested line.
fn served_line(kernel: &Kernel, name: &'static str) -> IrqLine {
    let line = kernel.handle().irq_line(name).unwrap();
    let ours = line.clone();
    let task = kernel.handle().spawn("server", move |cpu| async move {
        // For ever.
        std::mem::forget(cpu.request_irq(&ours, name, |_| IrqReturn::Handled).unwrap());
    });
    block_on(task.unwrap()).unwrap();
    line
}

#[test]
fn r11_a_stuck_executor_is_reported_with_its_task_flag_context_and_pending_lines() {
    let mut host = Host::new();
    let kernel = Kernel::builder().name("ill").build().unwrap();
    let line = served_line(&kernel, "usb");
    let watchdog = host.watch(&kernel);
    let (release, task) = stuck(&kernel, |cpu| cpu.local_irq_disable());
    line.trigger().unwrap();

    host.run_until(Duration::from_millis(9_999));
    assert_eq!(all(&watchdog), []);
    host.run_until(14 * SECOND);
    let reports = all(&watchdog);
    let stalls: Vec<_> = reports.iter().map(|report| report.stall.clone()).collect();
    let pending = Stall::LinePending { number: line.number(), name: "usb".to_owned() };
    assert_eq!(stalls, [Stall::JiffiesFrozen, pending]);
    for report in &reports {
        assert_eq!(report.lasted, 10 * SECOND, "Linux's hard lockup");
        let text = report.to_string();
        for part in ["sticky", "irqs off", "in a task", r#"irq 1 "usb" is pending"#] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        assert_eq!(report.state.task.as_ref().unwrap().1, "sticky");
        assert!(!report.state.irqs_enabled);
    }

    host.run_until(24 * SECOND);
    let reports = all(&watchdog);
    assert_eq!(reports.len(), 1, "{reports:#?}");
    assert_eq!((&reports[0].stall, reports[0].lasted), (&Stall::PollStuck, 20 * SECOND), "a soft lockup");
    // Once each.
    host.run_until(1_000 * SECOND);
    assert_eq!(all(&watchdog), []);

    release.store(true, Ordering::Release);
    block_on(task).unwrap();
    let timer = kernel.handle().irq_line_at(0, "timer").unwrap();
    host.run_with(&timer, 1_030 * SECOND);
    assert_eq!(all(&watchdog), [], "it lives again");
    // And again.
    let (release, task) = stuck(&kernel, |_| thread::yield_now());
    host.run_until(1_045 * SECOND);
    assert_eq!(all(&watchdog)[0].stall, Stall::JiffiesFrozen);
    release.store(true, Ordering::Release);
    block_on(task).unwrap();
}

#[test]
fn r11_a_poll_that_takes_interrupts_and_does_not_return_is_a_soft_lockup_only() {
    let mut host = Host::new();
    let kernel = Kernel::new().unwrap();
    let watchdog = host.watch(&kernel);
    let (release, task) = stuck(&kernel, Cpu::cpu_relax);
    let timer = kernel.handle().irq_line_at(0, "timer").unwrap();
    host.run_with(&timer, 19 * SECOND);
    assert_eq!(all(&watchdog), []);
    host.run_with(&timer, 60 * SECOND);
    let reports = all(&watchdog);
    assert_eq!(reports.len(), 1, "{reports:#?}");
    assert_eq!(reports[0].stall, Stall::PollStuck);
    assert!(reports[0].to_string().contains("sticky"), "{}", reports[0]);
    release.store(true, Ordering::Release);
    block_on(task).unwrap();
}

#[test]
fn r11_a_healthy_kernel_is_not_reported_idle_or_busy() {
    let mut host = Host::new();
    let kernel = Kernel::new().unwrap();
    let watchdog = host.watch(&kernel);
    // Raised, and nobody's, or nobody's any more: they may wait.
    let nobodys = kernel.handle().irq_line("nobody's").unwrap();
    nobodys.trigger().unwrap();
    let freed = kernel.handle().irq_line("freed").unwrap();
    let ours = freed.clone();
    let free = kernel.handle().spawn("frees", move |cpu| async move {
        drop(cpu.request_irq(&ours, "freed", |_| IrqReturn::Handled).unwrap());
    });
    block_on(free.unwrap()).unwrap();
    freed.trigger().unwrap();
    let timer = kernel.handle().irq_line_at(0, "timer").unwrap();
    host.run_with(&timer, 300 * SECOND);
    let busy = kernel.handle().spawn("busy", |cpu| async move {
        loop {
            cpu.yield_now().await;
        }
    });
    host.run_with(&timer, 600 * SECOND);
    busy.unwrap().abort();
    assert_eq!(all(&watchdog), []);
    assert!(nobodys.is_pending() && freed.is_pending());
}

#[test]
fn r11_the_thresholds_are_configurable_and_a_watchdog_ends_with_its_kernel_or_its_owner() {
    let mut host = Host::new();
    let kernel = Kernel::new().unwrap();
    let builder = Watchdog::builder().threshold(Duration::from_millis(50)).clock(host.clock.clone());
    let watchdog = builder.watch(&kernel.handle()).unwrap();
    let other = host.watch(&kernel);
    drop(other);
    let (release, task) = stuck(&kernel, |_| thread::yield_now());
    host.run_until(Duration::from_millis(49));
    assert_eq!(all(&watchdog), []);
    host.run_until(Duration::from_millis(200));
    let stalls: Vec<_> = all(&watchdog).into_iter().map(|report| report.stall).collect();
    assert_eq!(stalls, [Stall::JiffiesFrozen, Stall::PollStuck]);
    release.store(true, Ordering::Release);
    block_on(task).unwrap();
    kernel.shutdown_blocking();
    host.run_until(SECOND);
    assert_eq!(block_on(watchdog.next_report()), None);
}

#[test]
fn a5_a_cancelled_wait_for_a_report_loses_none() {
    let mut host = Host::new();
    let kernel = Kernel::new().unwrap();
    let watchdog = host.watch(&kernel);
    let (release, task) = stuck(&kernel, |_| thread::yield_now());
    let mut cancelled = Box::pin(watchdog.next_report());
    let waker = futures::task::noop_waker();
    assert!(cancelled.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    host.run_until(11 * SECOND);
    drop(cancelled);
    assert_eq!(block_on(watchdog.next_report()).unwrap().stall, Stall::JiffiesFrozen);
    release.store(true, Ordering::Release);
    block_on(task).unwrap();
}

/// A driver that waits, with IRQs off, for a device that answers after a millisecond; and its kernel.
fn leaky_driver(policy: IrqPolicy) -> (Kernel, JoinHandle<u64>, IrqLine, thread::JoinHandle<()>) {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().name("leaky").clock(clock.clone()).irq_policy(policy).build().unwrap();
    let line = kernel.handle().irq_line("device").unwrap();
    let mut timer = clock.host_timer("device");
    let (raise, to_device) = (line.clone(), timer.notifier());
    let device = thread::spawn(move || {
        timer.wait_until(None);
        timer.wait_until(Some(timer.now() + Cpu::JIFFY));
        raise.trigger().unwrap();
    });
    let ours = line.clone();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let done = Rc::new(Completion::new());
        let complete = done.clone();
        let _irq = cpu.request_irq(&ours, "device", move |_| {
            complete.complete();
            IrqReturn::Handled
        });
        let flags = cpu.local_irq_save();
        to_device.notify();
        done.wait(&cpu).await;
        cpu.local_irq_restore(flags);
        cpu.jiffies()
    });
    (kernel, task.unwrap(), line, device)
}

#[test]
fn r15_per_task_a_suspended_tasks_flag_defers_nothing() {
    let (kernel, task, _line, device) = leaky_driver(IrqPolicy::PerTask);
    assert_eq!(block_on(task).unwrap(), 1);
    device.join().unwrap();
    assert_eq!(kernel.handle().stats().suspended_with_irqs_off, 1);
}

#[test]
fn r15_global_a_host_token_pends_behind_a_suspended_tasks_flag_and_the_watchdog_says_so() {
    let (kernel, mut task, line, device) = leaky_driver(IrqPolicy::Global);
    let handle = kernel.handle();
    let watchdog = Watchdog::builder().clock(handle.clock()).watch(&handle).unwrap();
    device.join().unwrap();
    let report = block_on(watchdog.next_report()).unwrap();
    assert_eq!(report.stall, Stall::JiffiesFrozen);
    assert!(report.lasted <= 10 * SECOND, "{report}");
    assert_eq!(report.state.jiffies, 0, "{report}");
    assert!(!report.state.irqs_enabled);
    assert_eq!(report.suspended_with_irqs_off.len(), 1);
    assert_eq!(report.suspended_with_irqs_off[0].1, "driver");
    assert!(line.is_pending());
    let waker = futures::task::noop_waker();
    let pending = std::pin::Pin::new(&mut task).poll(&mut std::task::Context::from_waker(&waker));
    assert!(pending.is_pending());
    // Tasks still run, and none is interrupted, nor blamed; until one turns IRQs on.
    let bystander = handle.spawn("bystander", |cpu| async move { (cpu.irqs_enabled(), cpu.jiffies()) });
    assert_eq!(block_on(bystander.unwrap()).unwrap(), (false, 0));
    assert_eq!(handle.stats().suspended_with_irqs_off, 1);
    let rescuer = handle.spawn("rescuer", |cpu| async move { cpu.local_irq_enable() });
    block_on(rescuer.unwrap()).unwrap();
    assert!(block_on(task).unwrap() >= 10_000);
    assert!(handle.stats().tasks.iter().all(|task| !task.irqs_off));
}

#[test]
fn r15_global_the_report_blames_the_task_whose_flag_it_is_and_names_its_line_and_where_jiffies_stand() {
    let clock = Clock::virtual_time();
    let hold = clock.hold();
    let kernel = Kernel::builder().clock(clock.clone()).irq_policy(IrqPolicy::Global).build().unwrap();
    let handle = kernel.handle();
    let line = served_line(&kernel, "device");
    let watchdog = Watchdog::builder().clock(clock.clone()).watch(&handle).unwrap();
    let (said, says) = mpsc::channel();
    let off = said.clone();
    let guilty = handle.spawn("guilty", move |cpu| async move {
        cpu.msleep(5).await;
        cpu.local_irq_disable();
        off.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    // It waits for a timer that nobody takes the interrupt of, and turns that do not end the failure.
    let (wake, woken) = futures::channel::oneshot::channel();
    let innocent = handle.spawn("innocent", move |cpu| async move {
        woken.await.unwrap();
        said.send(()).unwrap();
        cpu.msleep(1).await;
        cpu.jiffies()
    });
    drop(hold);
    receive(&says);
    // At whatever time: its turn begins and ends with IRQs off.
    wake.send(()).unwrap();
    receive(&says);
    line.trigger().unwrap();
    let guilty_id = handle.stats().task("guilty").unwrap().id;
    let pending = Stall::LinePending { number: line.number(), name: "device".to_owned() };
    let mut stalls = Vec::new();
    while stalls.len() < 2 {
        let report = block_on(watchdog.next_report()).unwrap();
        assert_eq!(report.suspended_with_irqs_off, [(guilty_id, "guilty".to_owned())], "{report}");
        assert_eq!((report.state.jiffies, report.state.irqs_enabled), (5, false), "{report}");
        let text = report.to_string();
        let blame = format!("task #{guilty_id} \"guilty\" is suspended with irqs off");
        assert!(text.contains(&blame), "{text}");
        if report.stall == pending {
            assert!(text.contains(&format!("irq {} \"device\" has been pending", line.number())), "{text}");
        } else {
            assert!(text.contains("jiffies have stood at 5"), "{text}");
        }
        assert!(report.lasted <= 10 * SECOND, "{report}");
        stalls.push(report.stall);
    }
    assert!(stalls.contains(&Stall::JiffiesFrozen) && stalls.contains(&pending), "{stalls:?}");
    // Somebody turns them on: that is over for all, though the guilty one never has another turn.
    let hold = clock.hold();
    let rescuer = handle.spawn("rescuer", |cpu| async move { cpu.local_irq_enable() });
    block_on(rescuer.unwrap()).unwrap();
    assert!(!line.is_pending());
    // The rescuer's turn is over when another's begins.
    block_on(handle.spawn("next", |_| async {}).unwrap()).unwrap();
    assert!(!handle.stats().task("guilty").unwrap().irqs_off);
    drop(hold);
    assert!(block_on(innocent.unwrap()).unwrap() >= 10_000);
    drop(guilty);
}

#[test]
fn r15_global_no_softirq_runs_behind_a_suspended_tasks_flag() {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().clock(clock).irq_policy(IrqPolicy::Global).build().unwrap();
    let handle = kernel.handle();
    let (said, says) = mpsc::channel();
    let guilty = handle.spawn("guilty", move |cpu| async move {
        cpu.local_irq_disable();
        said.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    receive(&says);
    let task = handle.spawn("driver", |cpu| async move {
        let runs = Rc::new(Cell::new(0));
        let count = runs.clone();
        let _softirq = cpu.open_softirq(Softirq::NetRx, move |_| count.set(count.get() + 1)).unwrap();
        cpu.raise_softirq(Softirq::NetRx);
        // `ksoftirqd` has its turns.
        for _ in 0..5 {
            cpu.yield_now().await;
        }
        let behind = (runs.get(), cpu.irqs_enabled());
        cpu.local_irq_enable();
        for _ in 0..5 {
            cpu.yield_now().await;
        }
        (behind, runs.get())
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), ((0, false), 1));
    drop(guilty);
}
