//! What a host thread holds of a kernel: its futures on any runtime (A3), drops that wait for nothing (A4), and what the
//! watchdog tells `tracing` (R11).

mod common;

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use airlift_runtime::{Clock, JoinHandle, Kernel, Stall, Watchdog};
use common::{OnDrop, kernel, receive};
use futures::executor::block_on;
use tracing::field::{Field, Visit};

/// A kernel whose only task does not return before it is told to.
fn stuck(name: &str) -> (Kernel, Arc<AtomicBool>, JoinHandle<()>) {
    let kernel = Kernel::builder().name(name).build().unwrap();
    let release = Arc::new(AtomicBool::new(false));
    let (released, (entered, is_in)) = (release.clone(), mpsc::channel());
    let task = kernel.handle().spawn("sticky", move |_| async move {
        entered.send(()).unwrap();
        while !released.load(Ordering::Acquire) {
            thread::yield_now();
        }
    });
    receive(&is_in);
    (kernel, release, task.unwrap())
}

async fn a3_reports_come() -> Duration {
    let clock = Clock::virtual_time();
    let _mover = Kernel::builder().clock(clock.clone()).build().unwrap();
    let hold = clock.hold();
    let (kernel, release, task) = stuck("ill");
    let watchdog = Watchdog::builder().clock(clock.clone()).watch(&kernel.handle()).unwrap();
    let until = clock.run_until(Duration::from_secs(11)).await;
    drop((hold, until));
    let report = watchdog.next_report().await.unwrap();
    assert_eq!(report.stall, Stall::JiffiesFrozen);
    release.store(true, Ordering::Release);
    task.await.unwrap();
    report.lasted
}

#[test]
fn a3_run_until_and_reports_need_nothing_of_tokio() {
    // Neither I/O nor time is enabled.
    let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(one.block_on(a3_reports_come()), Duration::from_secs(10));
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let on_a_worker = many.block_on(async { tokio::spawn(a3_reports_come()).await.unwrap() });
    assert_eq!(on_a_worker, Duration::from_secs(10));
    assert_eq!(block_on(a3_reports_come()), Duration::from_secs(10));
}

/// Takes what the watchdog of the kernel "watched" says, and keeps the thread that says it.
struct Listener {
    told: Mutex<mpsc::Sender<String>>,
    ended: Mutex<mpsc::Sender<()>>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?};");
    }
}

type Callback = Box<dyn FnMut()>;

thread_local! {
    /// Called when its thread ends.
    static AT_END: RefCell<Option<OnDrop<Callback>>> = const { RefCell::new(None) };
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::ERROR
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if !fields.0.contains(r#"kernel="watched""#) {
            return;
        }
        let ended = self.ended.lock().unwrap().clone();
        AT_END.set(Some(OnDrop(Box::new(move || ended.send(()).unwrap()))));
        self.told.lock().unwrap().send(fields.0).unwrap();
        receive(&self.go_on.lock().unwrap());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a4_dropping_what_a_host_holds_waits_for_nothing_and_the_watchdog_ends_with_its_owner() {
    let (told, is_told) = mpsc::channel();
    let (ended, has_ended) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let listener =
        Listener { told: Mutex::new(told), ended: Mutex::new(ended), go_on: Mutex::new(may_go_on) };
    tracing::subscriber::set_global_default(listener).unwrap();

    let (kernel, release, task) = stuck("watched");
    let edges = kernel.handle().irq_line("usb").unwrap().edges();
    let clock = Clock::virtual_time();
    // It moves the watchdog's time.
    let _mover = Kernel::builder().clock(clock.clone()).build().unwrap();
    let timer = clock.host_timer("idle");
    drop(timer.notifier());
    let watchdog = Watchdog::builder().clock(clock.clone()).watch(&kernel.handle()).unwrap();
    let (dropped, is_dropped) = mpsc::channel();
    let dropper = thread::spawn(move || {
        // Until it is gone, time stands still.
        drop(timer);
        // R11: the report is an event.
        let event = receive(&is_told);
        // The kernel is stuck, and so is the watchdog's thread.
        drop((watchdog, edges, task));
        dropped.send(()).unwrap();
        event
    });
    receive(&is_dropped);
    let event = dropper.join().unwrap();
    for part in ["watchdog", "jiffies have stood at", "sticky"] {
        assert!(event.contains(part), "no {part:?} in {event}");
    }
    assert!(has_ended.try_recv().is_err());
    go_on.send(()).unwrap();
    receive(&has_ended);
    release.store(true, Ordering::Release);
    kernel.shutdown_blocking();
}

#[test]
fn a4_a_host_timer_that_is_dropped_with_a_notification_on_its_way_waits_for_nothing() {
    let kernel = kernel();
    let timer = kernel.handle().clock().host_timer("device");
    let notifier = timer.notifier();
    notifier.notify();
    drop(timer);
    notifier.notify();
    // Nor does time wait for it.
    let task = kernel.handle().spawn("sleeper", |cpu| async move {
        cpu.msleep(5).await;
        cpu.now()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), Duration::from_millis(5));
}
