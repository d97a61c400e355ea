//! [`Latency`]: a model of the time that control transfers take, and a count of them.
//!
//! The model: a control transfer that is submitted while none is in flight takes `round_trip`; one that is
//! submitted behind others takes `posted`, counted from the end of the one before. The device sees a transfer at
//! the end of that time. Everything else passes through at once. The times are the kernel clock's, so that on a
//! virtual clock they are exact and cost nothing.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;

use airlift_runtime::{Clock, HostTimer, Notifier};

use super::item::Item;
use super::{Layer, LayerContext};
use crate::backend::{Backend, Connect, DeviceOp, FlatUrb, Upcall};
use crate::descriptor::TransferType;
use crate::function::{Reply, UrbId};
use crate::status::TransferError;
use crate::threads::Threads;

/// What control transfers cost. Zero throughout: they are only counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LatencyModel {
    /// For a transfer that is submitted while none is in flight: its submitter waited for the one before.
    pub round_trip: Duration,
    /// For a transfer that is submitted behind others.
    pub posted: Duration,
}

/// What was counted so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct LatencyCounters {
    /// Control transfers, `SET_CONFIGURATION` and the like included.
    pub control_transfers: u64,
    /// Those of them that read from the device.
    pub control_reads: u64,
    /// Those of them that wrote to it.
    pub control_writes: u64,
    /// Control transfers that were submitted while none was in flight.
    pub waits: u64,
    /// Bulk and interrupt transfers.
    pub other_transfers: u64,
    /// What the control transfers cost under the model.
    pub control_time: Duration,
}

#[derive(Debug, Default)]
struct Counters {
    control_reads: AtomicU64,
    control_writes: AtomicU64,
    waits: AtomicU64,
    other_transfers: AtomicU64,
    control_ns: AtomicU64,
}

/// The latency layer. Clones share their counters; keep one to read them.
///
/// Counts are exact on a virtual clock under a model that is not zero. Otherwise a posted transfer may have ended
/// before the next is submitted, depending on how the threads run, and that counts as a wait.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    model: LatencyModel,
    counters: Arc<Counters>,
}

impl Latency {
    /// A layer under `model`.
    pub fn new(model: LatencyModel) -> Self {
        Self { model, counters: Arc::default() }
    }

    /// What was counted so far, over all devices that this layer (or a clone) was put above.
    pub fn counters(&self) -> LatencyCounters {
        let counters = &*self.counters;
        let control_reads = counters.control_reads.load(Ordering::Acquire);
        let control_writes = counters.control_writes.load(Ordering::Acquire);
        LatencyCounters {
            control_transfers: control_reads + control_writes,
            control_reads,
            control_writes,
            waits: counters.waits.load(Ordering::Acquire),
            other_transfers: counters.other_transfers.load(Ordering::Acquire),
            control_time: Duration::from_nanos(counters.control_ns.load(Ordering::Acquire)),
        }
    }
}

impl Layer for Latency {
    fn wrap(
        &self,
        context: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<dyn Backend>> {
        let name = format!("{}-latency", context.name);
        let timer = (self.model != LatencyModel::default()).then(|| context.clock.host_timer(&name));
        let link = Arc::new(Link {
            model: self.model,
            counters: self.counters.clone(),
            clock: context.clock.clone(),
            upcall,
            below: OnceLock::new(),
            notifier: timer.as_ref().map(HostTimer::notifier),
            order: Mutex::new(()),
            state: Mutex::default(),
            threads: Threads::default(),
        });
        let connected = below(Arc::new(LinkUpcall(Arc::downgrade(&link))))?;
        _ = link.below.set(connected);
        if let Some(timer) = timer {
            let served = link.clone();
            let started = thread::Builder::new().name(name).spawn(move || served.run(timer));
            match started {
                Ok(thread) => link.threads.add(thread),
                Err(error) => {
                    link.close();
                    return Err(error);
                }
            }
        }
        Ok(link)
    }
}

/// The layer above one device.
struct Link {
    model: LatencyModel,
    counters: Arc<Counters>,
    clock: Clock,
    upcall: Arc<dyn Upcall>,
    below: OnceLock<Arc<dyn Backend>>,
    /// Of the thread that lets held transfers go; none under a model of zero.
    notifier: Option<Notifier>,
    /// Held while transfers move from `held` to the backend below, so that a cancel meets each in one of the two.
    order: Mutex<()>,
    state: Mutex<State>,
    threads: Threads,
}

#[derive(Default)]
struct State {
    held: VecDeque<(Duration, Item)>,
    in_flight: HashSet<UrbId>,
    /// When the control endpoint is free.
    free_at: Duration,
    /// The backend below is gone.
    gone: bool,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a control transfer and puts it on its way. `reads`: `None` for what is no transfer (a reset).
    fn control(&self, item: Item, reads: Option<bool>) {
        let passing = {
            let mut state = self.lock();
            let cost = match reads {
                None => Duration::ZERO,
                Some(reads) => {
                    let counters = &*self.counters;
                    let counter = if reads { &counters.control_reads } else { &counters.control_writes };
                    counter.fetch_add(1, Ordering::AcqRel);
                    let waited = state.in_flight.is_empty();
                    counters.waits.fetch_add(waited.into(), Ordering::AcqRel);
                    state.in_flight.insert(item.id());
                    let cost = if waited { self.model.round_trip } else { self.model.posted };
                    counters.control_ns.fetch_add(cost.as_nanos() as u64, Ordering::AcqRel);
                    cost
                }
            };
            if self.notifier.is_none() || state.gone {
                Some(item)
            } else {
                state.free_at = state.free_at.max(self.clock.now()).saturating_add(cost);
                let due = state.free_at;
                state.held.push_back((due, item));
                None
            }
        };
        match (passing, &self.notifier) {
            (Some(item), _) => self.pass(item),
            (None, Some(notifier)) => notifier.notify(),
            (None, None) => {}
        }
    }

    fn pass(&self, item: Item) {
        let Some(below) = self.below.get() else { return };
        item.pass(&**below);
    }

    /// The thread: lets each held transfer go when its time has come.
    fn run(&self, mut timer: HostTimer) {
        loop {
            let (next, gone) = {
                let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
                loop {
                    let (item, now) = {
                        let mut state = self.lock();
                        let now = self.clock.now();
                        match state.held.front() {
                            Some((due, _)) if *due <= now && !state.gone => (state.held.pop_front(), now),
                            next => break (next.map(|(due, _)| *due), state.gone),
                        }
                    };
                    debug_assert!(item.as_ref().is_none_or(|(due, _)| *due <= now), "let go early");
                    if let Some((_, item)) = item {
                        self.pass(item);
                    }
                }
            };
            if gone {
                break;
            }
            timer.wait_until(next);
        }
        let held = core::mem::take(&mut self.lock().held);
        let mut replies: Vec<_> =
            held.into_iter().map(|(_, item)| item.end(TransferError::Shutdown)).collect();
        if !replies.is_empty() {
            self.upcall.give_back(&mut replies);
        }
        self.upcall.gone();
    }
}

impl Backend for Link {
    fn submit(&self, urb: FlatUrb) {
        if urb.transfer_type == TransferType::Control {
            let reads = urb.is_in();
            self.control(Item::Urb(urb), Some(reads));
        } else {
            self.counters.other_transfers.fetch_add(1, Ordering::AcqRel);
            self.pass(Item::Urb(urb));
        }
    }

    fn cancel(&self, id: UrbId) {
        let held = {
            let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state = self.lock();
            let at = state.held.iter().position(|(_, item)| item.id() == id);
            let held = at.and_then(|at| state.held.remove(at));
            if held.is_some() {
                state.in_flight.remove(&id);
            }
            held
        };
        match (held, self.below.get()) {
            (Some((_, item)), _) => self.upcall.give_back(&mut vec![item.end(TransferError::Cancelled)]),
            (None, Some(below)) => below.cancel(id),
            (None, None) => {}
        }
    }

    fn operate(&self, id: UrbId, op: DeviceOp) {
        let reads = if op == DeviceOp::Reset { None } else { Some(false) };
        self.control(Item::Operation(id, op), reads);
    }

    fn close(&self) {
        if let Some(below) = self.below.get() {
            below.close();
        }
    }

    fn reap(&self) {
        self.threads.join_blocking();
        if let Some(below) = self.below.get() {
            below.reap();
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("model", &self.model).finish_non_exhaustive()
    }
}

/// What the backend below reports to. It holds no more than a weak handle, for the link holds that backend.
struct LinkUpcall(Weak<Link>);

impl Upcall for LinkUpcall {
    fn give_back(&self, replies: &mut Vec<Reply>) {
        let Some(link) = self.0.upgrade() else {
            replies.clear();
            return;
        };
        {
            let mut state = link.lock();
            for reply in replies.iter() {
                state.in_flight.remove(&reply.id);
            }
        }
        link.upcall.give_back(replies);
    }

    fn gone(&self) {
        let Some(link) = self.0.upgrade() else { return };
        link.lock().gone = true;
        match &link.notifier {
            Some(notifier) => notifier.notify(),
            None => link.upcall.gone(),
        }
    }
}
