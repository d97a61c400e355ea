//! The life of an interface, what cuts it, and what must hold after.

use core::fmt::Debug;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use airlift_emu::{Air, Model, Probe};
use airlift_hcd::{
    Backend, Connect, DeviceOp, Fault, Faults, FlatUrb, HostController, Layer, LayerContext, MockPort, Reply,
    Upcall, UrbId, UsbDevice,
};
use airlift_runtime::{Clock, Cpu, Kernel};
use airlift_wifi::{Error, StreamEnd, Wlan, WlanOptions};
use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::{Either, select};

use super::common::options_of;

/// Frames that a life waits for.
const FRAMES: usize = 5;
/// Virtual time after which a life counts as hung.
const HANG: Duration = Duration::from_secs(300);

/// Host time within which Linux forgets a thread that was joined.
const STRUCK: Duration = Duration::from_secs(30);
/// Virtual time within which a driver that was let go of has switched its chip off.
const SETTLED_MS: u64 = 5_000;
/// Lives that share a kernel.
const BATCH: usize = 12;

/// What cuts a life short.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Never,
    /// Its future is dropped when this many transfers were submitted.
    AtTransfer(u64),
    /// Its future is dropped after so many polls.
    AfterPolls(u64),
}

/// How a life ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Lived,
    Failed(Error),
    Dropped,
}

/// How long an undisturbed life is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// Transfers until the interface is up.
    pub(crate) up: u64,
    /// Transfers until it is down.
    pub(crate) whole: u64,
    /// Polls until it is down.
    pub(crate) polls: u64,
}

/// Counts URBs down and up: each comes back exactly once.
#[derive(Clone, Default)]
struct Ledger {
    out: Arc<Mutex<HashMap<UrbId, usize>>>,
    strays: Arc<AtomicU64>,
    gone: Arc<AtomicU64>,
    /// Held by the link of each device that is not freed yet.
    links: Arc<()>,
}

struct LedgerLink {
    ledger: Ledger,
    _alive: Arc<()>,
    below: OnceLock<Arc<dyn Backend>>,
}

struct LedgerUpcall(Ledger, Arc<dyn Upcall>);

impl Layer for Ledger {
    fn wrap(
        &self,
        _: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<dyn Backend>> {
        let below = below(Arc::new(LedgerUpcall(self.clone(), upcall)))?;
        Ok(Arc::new(LedgerLink { ledger: self.clone(), _alive: self.links.clone(), below: below.into() }))
    }
}

impl LedgerLink {
    fn below(&self) -> &dyn Backend {
        &**self.below.get().expect("connected")
    }

    fn enter(&self, id: UrbId, bytes: usize) {
        assert!(self.ledger.out.lock().unwrap().insert(id, bytes).is_none(), "{id:?} is submitted twice");
    }
}

impl Backend for LedgerLink {
    fn submit(&self, urb: FlatUrb) {
        self.enter(urb.id, urb.length);
        self.below().submit(urb);
    }
    fn cancel(&self, id: UrbId) {
        self.below().cancel(id);
    }
    fn operate(&self, id: UrbId, op: DeviceOp) {
        self.enter(id, 0);
        self.below().operate(id, op);
    }
    fn close(&self) {
        self.below().close();
    }
    fn reap(&self) {
        self.below().reap();
    }
}

impl Upcall for LedgerUpcall {
    fn give_back(&self, replies: &mut Vec<Reply>) {
        for reply in replies.iter() {
            if self.0.out.lock().unwrap().remove(&reply.id).is_none() {
                self.0.strays.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.1.give_back(replies);
    }
    fn gone(&self) {
        self.0.gone.fetch_add(1, Ordering::SeqCst);
        self.1.gone();
    }
}

/// A kernel on which several lives are led one after the other, each on a device of its own.
pub(crate) struct Batch {
    model: Model,
    kernel: Kernel,
    clock: Clock,
    controller: HostController,
    ledger: Ledger,
    /// Held by every option that a driver was given.
    token: Arc<()>,
    /// The device of the life before.
    last: Option<(MockPort, Probe)>,
}

impl Batch {
    fn new(model: Model) -> Self {
        let clock = Clock::virtual_time();
        let kernel = Kernel::builder().name("sweep").clock(clock.clone()).build().unwrap();
        let controller = HostController::new(&kernel.handle()).unwrap();
        let (ledger, token, last) = (Ledger::default(), Arc::default(), None);
        Self { model, kernel, clock, controller, ledger, token, last }
    }

    fn options(&self) -> WlanOptions {
        let token = self.token.clone();
        options_of(self.model).on_progress(move |_| {
            let _ = &token;
        })
    }

    fn plug(&mut self, faults: &Faults) -> UsbDevice {
        let adapter = self.model.builder().air(&Air::default_scene(1)).build();
        let probe = adapter.probe();
        // A device of one life numbers its URBs as the one of the next does.
        self.ledger.out.lock().unwrap().clear();
        let port = self.controller.plug_with(adapter, &[&self.ledger, faults]);
        let device = port.device();
        self.last = Some((port, probe));
        device
    }

    /// Runs `work` on the kernel; it must end in virtual time.
    fn on_kernel<T: Send + 'static, F: Future<Output = T> + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(Cpu) -> F + Send + 'static,
    ) -> T {
        let task = self.kernel.handle().spawn("life", move |cpu| async move {
            let late = cpu.sleep(HANG);
            match select(Box::pin(work(cpu.clone())), pin!(late)).await {
                Either::Left((value, _)) => Some(value),
                Either::Right(_) => None,
            }
        });
        let ended = block_on(task.unwrap()).unwrap_or_else(|error| panic!("{what}: {error}"));
        ended.unwrap_or_else(|| {
            let out = self.ledger.out.lock().unwrap();
            panic!("{what}: hangs with {} URBs on their way: {:?}", out.len(), self.kernel.handle().stats())
        })
    }

    /// Leads a life on a fresh device.
    pub(crate) fn live(&mut self, faults: Faults, cut: Cut) -> Outcome {
        self.live_measured(faults, cut).0
    }

    fn live_measured(&mut self, faults: Faults, cut: Cut) -> (Outcome, Length) {
        self.ledger = Ledger { out: Arc::default(), ..self.ledger.clone() };
        let (signal, told) = oneshot::channel();
        let signal = Mutex::new(Some(signal));
        // The rules of the cut come last: they only listen.
        let faults = match cut {
            Cut::AtTransfer(k) => faults.when(
                move |target| {
                    if target.number == k
                        && let Some(signal) = signal.lock().unwrap().take()
                    {
                        let _ = signal.send(());
                    }
                    false
                },
                Fault::Silence,
            ),
            _ => faults,
        };
        let device = self.plug(&faults);
        let options = self.options();
        self.on_kernel("a life", move |_| async move {
            let seen = faults.clone();
            let up_at = Arc::new(AtomicU64::new(0));
            let mut life = Box::pin(life(device, options, faults, up_at.clone()));
            let mut polls = 0;
            let limited = poll_fn(|context| {
                if matches!(cut, Cut::AfterPolls(limit) if polls == limit) {
                    return Poll::Ready(Outcome::Dropped);
                }
                polls += 1;
                life.as_mut().poll(context).map(|result| match result {
                    Ok(()) => Outcome::Lived,
                    Err(error) => Outcome::Failed(error),
                })
            });
            let outcome = match cut {
                Cut::AtTransfer(_) => match select(limited, told).await {
                    Either::Left((outcome, _)) => outcome,
                    Either::Right((Ok(()), _)) => Outcome::Dropped,
                    Either::Right((Err(_), limited)) => limited.await,
                },
                _ => limited.await,
            };
            drop(life);
            (outcome, Length { up: up_at.load(Ordering::SeqCst), whole: seen.seen(), polls })
        })
    }

    /// The device was unplugged: nothing of it is left.
    pub(crate) fn assert_gone(&mut self) {
        let (port, _) = self.last.take().expect("a life was led");
        let device = port.device();
        self.on_kernel("the device's end", move |cpu| async move {
            // A driver that was let go of may just be hearing of it.
            cpu.msleep(SETTLED_MS).await;
            drop(port);
            device.closed().await;
            assert_eq!(device.pending(), 0);
        });
        self.assert_back();
    }

    /// The device is there: once the driver before has let go of it, it comes up again, then it is unplugged.
    pub(crate) fn assert_lives_again(&mut self) {
        let (port, probe) = self.last.take().expect("a life was led");
        let (device, options) = (port.device(), self.options());
        self.on_kernel("a second life", move |cpu| async move {
            cpu.msleep(SETTLED_MS).await;
            assert_eq!(device.pending(), 0, "nobody uses it");
            let again = life(device.clone(), options, Faults::new(), Arc::default());
            again.await.unwrap_or_else(|error| panic!("a second life: {error}"));
            assert!(!probe.firmware_runs(), "switched off");
            drop(port);
            device.closed().await;
            assert_eq!(device.pending(), 0);
        });
        self.assert_back();
    }

    fn assert_back(&self) {
        let out = self.ledger.out.lock().unwrap();
        assert!(out.is_empty(), "URBs never came back: {out:?}");
        assert_eq!(self.ledger.strays.load(Ordering::SeqCst), 0, "URBs came back that nobody submitted");
    }

    /// A fresh device comes up on the same kernel, and after that nothing is left.
    fn end(mut self) {
        let outcome = self.live(Faults::new(), Cut::Never);
        assert!(matches!(outcome, Outcome::Lived), "a fresh device: {outcome:?}");
        self.assert_gone();
        let Self { kernel, clock, controller, ledger, token, .. } = self;
        assert_eq!(kernel.handle().stats().tasks_panicked, 0);
        drop((controller, clock));
        let report = block_on(kernel.shutdown());
        assert!(!report.tasks_dropped.iter().any(|name| name.starts_with("wlan0")), "{report:?}");
        assert_eq!(Arc::strong_count(&ledger.links), 1, "links of devices were not freed");
        assert_eq!(Arc::strong_count(&token), 1, "options of drivers were not freed");
    }
}

async fn life(
    device: UsbDevice,
    options: WlanOptions,
    faults: Faults,
    up_at: Arc<AtomicU64>,
) -> Result<(), Error> {
    let wlan = Wlan::attach(device, options).await?;
    up_at.store(faults.seen(), Ordering::SeqCst);
    let mut frames = wlan.frames();
    for _ in 0..FRAMES {
        if frames.next().await.is_none() {
            return Err(match wlan.closed().await {
                StreamEnd::Failed(error) => error,
                // The error of a device that is gone, as a command has it.
                _ => wlan.set_tx_power(None).await.expect_err("it has ended"),
            });
        }
    }
    wlan.down().await
}

/// Measures a life that nothing cuts.
pub(crate) fn life_length(model: Model) -> Length {
    let mut batch = Batch::new(model);
    let (outcome, length) = batch.live_measured(Faults::new(), Cut::Never);
    assert!(matches!(outcome, Outcome::Lived), "{outcome:?}");
    assert!(length.up > 1_500 && length.whole > length.up, "{length:?}");
    batch.end();
    length
}

/// One of every `stride` numbers up to `whole`, chosen by the seed and `salt`; or all of them.
pub(crate) fn sample(whole: u64, stride: u64, salt: u64) -> Vec<u64> {
    if std::env::var_os("AIRLIFT_SWEEP").is_some_and(|value| value == "all") {
        return (1..=whole).collect();
    }
    let seed = std::env::var("AIRLIFT_SWEEP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03) | 1;
    let pick = |from: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        from + state % stride.min(whole - from + 1)
    };
    // The very first transfer is always among them.
    core::iter::once(1).chain((2..=whole).step_by(stride as usize).map(pick)).collect()
}

/// Leads a life for each cut, in batches, on two threads; then no thread is left.
pub(crate) fn sweep<C: Copy + Debug + Send + Sync>(
    model: Model,
    cuts: Vec<C>,
    live: impl Fn(&mut Batch, C) + Sync,
) {
    assert!(!cuts.is_empty());
    let batches: VecDeque<&[C]> = cuts.chunks(BATCH).collect();
    let batches = Mutex::new(batches);
    let next = || batches.lock().unwrap().pop_front();
    let work = || {
        while let Some(cuts) = next() {
            let mut batch = Batch::new(model);
            for cut in cuts {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| live(&mut batch, *cut))) {
                    eprintln!("the life of an {model} that was cut by {cut:?}:");
                    resume_unwind(panic);
                }
            }
            batch.end();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    assert_no_threads();
}

/// No thread of a kernel or a device is left in this process.
///
/// They were joined, but Linux may take a moment more to strike a thread from its list.
fn assert_no_threads() {
    let begin = Instant::now();
    loop {
        let left = threads();
        if left.is_empty() {
            return;
        }
        assert!(begin.elapsed() < STRUCK, "threads are left: {left:?}");
        std::thread::yield_now();
    }
}

/// Names of this process's threads that belong to a kernel or a device.
fn threads() -> Vec<String> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("mock-") || name.starts_with("sweep")).collect()
}

#[test]
fn samples_are_within_the_life_and_hit_each_stretch_of_it() {
    let sample = sample(100, 16, 3);
    assert!(sample.len() == 8 || sample.len() == 100);
    assert!(sample.is_sorted() && sample[0] == 1 && *sample.last().unwrap() <= 100, "{sample:?}");
}
