//! [`Schedule`]: which URBs of a device are in flight, which wait, and how all of them end.
//!
//! What carries the URBs is a [`Wire`]: libusb, or a fake in the tests below. URBs start on their submitter's
//! thread, at once, unless an operation on the device (a reset, another configuration) is due: it waits for the
//! control transfers before it, and everything that is submitted meanwhile waits for it. Ended URBs are collected
//! and go up from the event thread, which calls [`turn`](Schedule::turn) after each round of events.
//!
//! ```text
//!   submit ──► flying ───────────────► ended ──turn──► upcall
//!      └──► held ──turn──► flying        ▲
//!   operate ──► held ──turn──► helper thread
//! ```
//!
//! It ends by [`end`](Schedule::end), or when a transfer tells that the device is gone: nothing more is taken, what
//! flies is cancelled, and `turn` says so when all of it is back. The wire decides when that is.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::BytesMut;

use super::transfer::Ended;
use crate::backend::{DeviceOp, FlatUrb, Upcall};
use crate::function::{Reply, UrbId};
use crate::status::TransferError;
use crate::urb_map::UrbMap;

/// What carries transfers.
pub(super) trait Wire: Send + Sync + Sized + 'static {
    /// A transfer, from its preparation to its end.
    type Flight: Clone + Send;

    /// Lays an URB out; or says why it cannot be carried, with its buffer.
    fn prepare(
        &self,
        urb: FlatUrb,
        schedule: &Arc<Schedule<Self>>,
    ) -> Result<Self::Flight, (TransferError, BytesMut)>;

    /// Starts it without waiting. Its end is told by [`Schedule::ended`], perhaps before this returns and on another
    /// thread; never if this fails.
    fn start(&self, flight: &Self::Flight) -> Result<(), TransferError>;

    /// Asks for one that was started back. It still ends by [`Schedule::ended`].
    fn cancel(&self, flight: &Self::Flight);

    /// Takes back one that has ended, for another URB. Called within [`Schedule::ended`].
    fn retire(&self, flight: Self::Flight);

    /// The buffer of one that is not in flight.
    fn reclaim(&self, flight: &Self::Flight) -> BytesMut;

    /// Whether `op` takes URBs of `endpoint` (0: control) away.
    fn displaces(&self, op: DeviceOp, endpoint: u8) -> bool;

    /// Does `op`; may block.
    fn operate(&self, op: DeviceOp) -> Result<(), TransferError>;

    /// Makes the event thread call [`Schedule::turn`] soon.
    fn wake(&self);
}

struct Flying<F> {
    flight: F,
    endpoint: u8,
}

enum Held<F> {
    Urb(UrbId, Flying<F>),
    Op { id: UrbId, op: DeviceOp, cleared: bool },
}

impl<F> Held<F> {
    fn id(&self) -> UrbId {
        match self {
            Self::Urb(id, _) | Self::Op { id, .. } => *id,
        }
    }
}

struct State<F> {
    flying: UrbMap<Flying<F>>,
    /// Control transfers among them.
    control: usize,
    held: VecDeque<Held<F>>,
    /// The operation that the helper does.
    operating: Option<UrbId>,
    helper: Option<JoinHandle<()>>,
    ended: Vec<Reply>,
    /// Everything in flight was told to come back.
    recalled: bool,
}

/// See the module's documentation.
pub(super) struct Schedule<W: Wire> {
    wire: W,
    upcall: Arc<dyn Upcall>,
    ending: AtomicBool,
    state: Mutex<State<W::Flight>>,
}

impl<W: Wire> Schedule<W> {
    pub(super) fn new(wire: W, upcall: Arc<dyn Upcall>) -> Arc<Self> {
        let state = State {
            flying: UrbMap::default(),
            control: 0,
            held: VecDeque::new(),
            operating: None,
            helper: None,
            ended: Vec::new(),
            recalled: false,
        };
        Arc::new(Self { wire, upcall, ending: AtomicBool::new(false), state: Mutex::new(state) })
    }

    pub(super) fn wire(&self) -> &W {
        &self.wire
    }

    pub(super) fn upcall(&self) -> &Arc<dyn Upcall> {
        &self.upcall
    }

    fn lock(&self) -> MutexGuard<'_, State<W::Flight>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is taken any more. [`turn`](Self::turn) does the rest.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.wire.wake();
    }

    /// Takes an URB: starts it, or holds it behind an operation.
    pub(super) fn submit(self: &Arc<Self>, urb: FlatUrb) {
        let (id, endpoint) = (urb.id, if urb.setup.is_some() { 0 } else { urb.endpoint });
        let flight = match self.wire.prepare(urb, self) {
            Ok(flight) => flight,
            Err((error, buffer)) => return self.give_back(id, Err(error), buffer),
        };
        {
            let mut state = self.lock();
            if self.ending.load(Ordering::SeqCst) {
                drop(state);
                return self.give_back(id, Err(TransferError::Shutdown), self.wire.reclaim(&flight));
            }
            let flying = Flying { flight: flight.clone(), endpoint };
            if state.operating.is_some() || !state.held.is_empty() {
                state.held.push_back(Held::Urb(id, flying));
                return;
            }
            state.enter(id, flying);
        }
        // Outside the lock, which the event thread needs for each URB that ends. While the URB is among the flying
        // the device stays open.
        match self.wire.start(&flight) {
            // Whoever recalled the URB meanwhile may have done so before it flew.
            Ok(()) if self.is_recalled(endpoint) => self.wire.cancel(&flight),
            Ok(()) => {}
            Err(error) => {
                self.give_back(id, Err(error), self.wire.reclaim(&flight));
                // Last, so that the device does not count as gone before.
                self.lock().leave(id);
                self.after_failure(error);
            }
        }
    }

    /// Whether what flies on `endpoint` was told to come back: the schedule ends, or an operation takes it away.
    fn is_recalled(&self, endpoint: u8) -> bool {
        self.ending.load(Ordering::SeqCst)
            || matches!(self.lock().held.front(), Some(Held::Op { op, cleared: true, .. })
                if self.wire.displaces(*op, endpoint))
    }

    /// Does `op` behind the control transfers before it.
    pub(super) fn operate(&self, id: UrbId, op: DeviceOp) {
        {
            let mut state = self.lock();
            if self.ending.load(Ordering::SeqCst) {
                drop(state);
                return self.give_back(id, Err(TransferError::Shutdown), BytesMut::new());
            }
            state.held.push_back(Held::Op { id, op, cleared: false });
        }
        self.wire.wake();
    }

    /// Asks for an URB back. One that is held comes at once; an operation that has begun is not stopped.
    pub(super) fn cancel(&self, id: UrbId) {
        let mut state = self.lock();
        if let Some(flying) = state.flying.get(&id) {
            let flight = flying.flight.clone();
            drop(state);
            return self.wire.cancel(&flight);
        }
        let Some(at) = state.held.iter().position(|held| held.id() == id) else { return };
        let held = state.held.remove(at);
        drop(state);
        if let Some(held) = held {
            self.refuse(held, TransferError::Cancelled);
            // What stood behind it may go.
            self.wire.wake();
        }
    }

    /// One round of the event thread: sends up what has ended and starts what was held. `true` once the schedule has
    /// ended and everything is back.
    pub(super) fn turn(&self) -> bool {
        let (mut ended, refused, recalled) = {
            let mut state = self.lock();
            let (mut refused, mut recalled) = (VecDeque::new(), Vec::new());
            if self.ending.load(Ordering::SeqCst) {
                refused = core::mem::take(&mut state.held);
                if !state.recalled {
                    state.recalled = true;
                    recalled = state.flying.values().map(|flying| flying.flight.clone()).collect();
                }
            }
            (core::mem::take(&mut state.ended), refused, recalled)
        };
        recalled.iter().for_each(|flight| self.wire.cancel(flight));
        if !ended.is_empty() {
            self.upcall.give_back(&mut ended);
        }
        for held in refused {
            self.refuse(held, TransferError::Shutdown);
        }
        let mut state = self.lock();
        if self.ending.load(Ordering::SeqCst) {
            return state.flying.is_empty()
                && state.held.is_empty()
                && state.ended.is_empty()
                && state.operating.is_none();
        }
        if state.ended.capacity() == 0 {
            // The vector that went up, for the next round.
            state.ended = ended;
        }
        false
    }

    /// The second half of a round: moves on what was held. Needs the reference that operations keep.
    pub(super) fn advance(self: &Arc<Self>) {
        let mut failed = Vec::new();
        let mut state = self.lock();
        while state.operating.is_none() && !self.ending.load(Ordering::SeqCst) {
            match state.held.front_mut() {
                None => break,
                Some(Held::Op { id, op, cleared }) => {
                    let (id, op) = (*id, *op);
                    if !*cleared {
                        *cleared = true;
                        let displaced = state.flying.values().filter(|f| self.wire.displaces(op, f.endpoint));
                        displaced.for_each(|flying| self.wire.cancel(&flying.flight));
                    }
                    let displaced = state.flying.values().any(|f| self.wire.displaces(op, f.endpoint));
                    if state.control > 0 || displaced {
                        break;
                    }
                    state.held.pop_front();
                    state.operating = Some(id);
                    self.help(&mut state, id, op);
                }
                Some(Held::Urb(..)) => {
                    // Under the lock, so that an URB that is submitted now cannot overtake, and a cancel finds it
                    // flying. Starting does not wait.
                    let Some(Held::Urb(id, flying)) = state.held.pop_front() else { break };
                    let flight = flying.flight.clone();
                    state.enter(id, flying);
                    if let Err(error) = self.wire.start(&flight) {
                        state.leave(id);
                        failed.push((id, error, self.wire.reclaim(&flight)));
                    }
                }
            }
        }
        drop(state);
        for (id, error, buffer) in failed {
            self.give_back(id, Err(error), buffer);
            self.after_failure(error);
        }
    }

    /// Has a thread do the operation, which may block: events go on meanwhile.
    fn help(self: &Arc<Self>, state: &mut State<W::Flight>, id: UrbId, op: DeviceOp) {
        let schedule = self.clone();
        let operate = move || {
            let result = schedule.wire.operate(op);
            schedule.operated(id, result);
        };
        match thread::Builder::new().name("usb operation".into()).spawn(operate) {
            // The one before has ended: it cleared `operating` as its last act.
            Ok(thread) => state.helper = Some(thread),
            Err(error) => {
                tracing::error!(%error, "cannot start a thread for an operation on a USB device");
                state.operating = None;
                let status = Err(TransferError::NoMemory);
                state.ended.push(Reply { id, status, buffer: BytesMut::new() });
                self.wire.wake();
            }
        }
    }

    fn operated(&self, id: UrbId, result: Result<(), TransferError>) {
        if result == Err(TransferError::Shutdown) {
            self.ending.store(true, Ordering::SeqCst);
        }
        {
            let mut state = self.lock();
            state.operating = None;
            state.ended.push(Reply { id, status: result.map(|()| 0), buffer: BytesMut::new() });
        }
        self.wire.wake();
    }

    /// Waits for the last operation's thread. After [`turn`](Self::turn) said that everything is back.
    pub(super) fn join_helper(&self) {
        let helper = self.lock().helper.take();
        if let Some(helper) = helper {
            _ = helper.join();
        }
    }

    fn after_failure(&self, error: TransferError) {
        if error.is_unplugged() {
            self.end();
        }
    }

    fn refuse(&self, held: Held<W::Flight>, error: TransferError) {
        let id = held.id();
        let buffer = match held {
            Held::Urb(_, flying) => self.wire.reclaim(&flying.flight),
            Held::Op { .. } => BytesMut::new(),
        };
        self.give_back(id, Err(error), buffer);
    }

    fn give_back(&self, id: UrbId, status: Result<usize, TransferError>, buffer: BytesMut) {
        self.upcall.give_back(&mut vec![Reply { id, status, buffer }]);
    }
}

impl<W: Wire> Ended for Schedule<W> {
    /// A transfer is back. Called on the event thread, which sends it up with its next [`turn`](Self::turn).
    fn ended(&self, mut reply: Reply) {
        if reply.status == Err(TransferError::Shutdown) {
            self.ending.store(true, Ordering::SeqCst);
        } else if reply.status == Err(TransferError::Cancelled) && self.ending.load(Ordering::SeqCst) {
            reply.status = Err(TransferError::Shutdown);
        }
        let flight = {
            let mut state = self.lock();
            let flight = state.leave(reply.id);
            state.ended.push(reply);
            flight
        };
        if let Some(flight) = flight {
            self.wire.retire(flight);
        }
    }
}

impl<F> State<F> {
    fn enter(&mut self, id: UrbId, flying: Flying<F>) {
        self.control += usize::from(flying.endpoint == 0);
        self.flying.insert(id, flying);
    }

    fn leave(&mut self, id: UrbId) -> Option<F> {
        let flying = self.flying.remove(&id)?;
        self.control -= usize::from(flying.endpoint == 0);
        Some(flying.flight)
    }
}

impl<W: Wire> fmt::Debug for Schedule<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Schedule")
            .field("flying", &state.flying.len())
            .field("held", &state.held.len())
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
