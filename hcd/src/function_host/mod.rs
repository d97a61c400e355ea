//! [`FunctionHost`]: the host's side of one [`UsbFunction`], without I/O and without a clock.
//!
//! It owns the function and does for it what every device does alike: it answers the standard requests
//! (`standard`), keeps the URBs of each endpoint in order, holds back those that end after a delay, remembers
//! halted endpoints, and takes everything back when a URB is cancelled, the configuration changes or the device
//! is unplugged. The mock backend and the USB/IP server both drive one: they hand it URBs and the time, carry
//! its [`Reply`]s away, and call it again at [`next_deadline`](FunctionHost::next_deadline).
//!
//! As on a bus, an endpoint carries one transfer at a time: the function is handed the next URB of an endpoint
//! when the one before has ended, so a [`Submit::After`] delay occupies its endpoint.

mod standard;

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use crate::backend::DeviceOp;
use crate::descriptor::{Configuration, EndpointMap, TransferType, endpoint_slot};
use crate::function::{Departure, Descriptors, FunctionUrb, Reply, Submit, UrbId, UsbFunction};
use crate::status::TransferError;

/// A function's own endless stream of replies to URBs that nobody submitted is cut here, per poll.
const STRAY_REPLIES_MAX: u32 = 64;

/// How much later a function is polled again that names a deadline already past. It keeps a function with a
/// stuck deadline from holding time still.
const STUCK_DEADLINE_STEP: Duration = Duration::from_micros(1);

/// One [`UsbFunction`] with its endpoints' queues. See the module's text.
///
/// After every [`submit`](Self::submit), [`cancel`](Self::cancel), [`unplug`](Self::unplug) or
/// [`reset`](Self::reset), when the waker given at [`plug`](Self::plug) was woken, and whenever
/// [`next_deadline`](Self::next_deadline) has passed, call [`poll`](Self::poll) until it says `None`.
pub struct FunctionHost {
    function: Box<dyn UsbFunction>,
    descriptors: Descriptors,
    /// `None` if the function's own configuration bytes cannot be read: only endpoint 0 works then.
    parsed: Option<Configuration>,
    state: DeviceState,
    queues: [Queue; 32],
    /// Bit per queue that holds anything.
    active: u32,
    /// Ended URBs that wait to be carried away.
    finished: VecDeque<Reply>,
    /// Counts up for each URB that is started, to break ties among equal due times.
    sequence: u64,
    /// When the function last said that it has nothing to give back.
    polled_at: Option<Duration>,
    unplugged: bool,
    departure: Option<Departure>,
}

/// What standard requests set and ask (USB 2.0, section 9.4).
#[derive(Debug, Default)]
struct DeviceState {
    address: u8,
    configuration: u8,
    remote_wakeup: bool,
    endpoints: EndpointMap,
    /// Interfaces that are not at alternate setting 0: (interface, setting).
    alternates: Vec<(u8, u8)>,
    /// Bit per halted endpoint, by `endpoint_slot`.
    halted: u32,
}

#[derive(Default)]
struct Queue {
    current: Option<Current>,
    waiting: VecDeque<FunctionUrb>,
}

/// The URB that an endpoint is at.
struct Current {
    id: UrbId,
    is_in: bool,
    length: usize,
    stage: Stage,
}

enum Stage {
    /// The function holds it.
    Parked,
    /// It has ended, and counts as ended from `due` on.
    Ended { due: Duration, sequence: u64, reply: Reply },
}

impl FunctionHost {
    /// Takes a function over. Nothing is connected until [`plug`](Self::plug).
    pub fn new(function: impl UsbFunction) -> Self {
        Self::of(Box::new(function))
    }

    /// The same for one that is in a box already.
    pub(crate) fn of(function: Box<dyn UsbFunction>) -> Self {
        let descriptors = function.descriptors();
        let parsed = Configuration::parse(Bytes::copy_from_slice(&descriptors.configuration)).ok();
        Self {
            function,
            descriptors,
            parsed,
            state: DeviceState::default(),
            queues: Default::default(),
            active: 0,
            finished: VecDeque::new(),
            sequence: 0,
            polled_at: None,
            unplugged: false,
            departure: None,
        }
    }

    /// What the function said of itself when it was taken over.
    pub fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// The value of the configuration that is set; 0: none.
    pub fn configuration(&self) -> u8 {
        self.state.configuration
    }

    /// The value of the configuration that a host chooses first.
    pub(crate) fn first_configuration(&self) -> Option<u8> {
        self.parsed.as_ref().map(Configuration::value)
    }

    /// The interfaces that are at another alternate setting than 0, as (interface, setting).
    pub fn alternates(&self) -> &[(u8, u8)] {
        &self.state.alternates
    }

    /// The endpoints that are there under the present configuration and alternate settings.
    pub fn endpoints(&self) -> &EndpointMap {
        &self.state.endpoints
    }

    /// Connects the function. `waker` is woken, from any thread, when the function wants to be polled.
    pub fn plug(&mut self, now: Duration, waker: Waker) {
        self.function.plugged(now, waker);
    }

    /// Hands an URB over. It comes back from [`poll`](Self::poll) or [`cancel`](Self::cancel), exactly once.
    pub fn submit(&mut self, now: Duration, urb: FunctionUrb) {
        if let Some(error) = self.refusal(&urb) {
            self.finished.push_back(urb.fail(error));
            return;
        }
        let slot = endpoint_slot(urb.endpoint);
        self.queues[slot].waiting.push_back(urb);
        self.active |= 1 << slot;
        self.start_next(now, slot);
    }

    /// Why an URB cannot even be queued.
    fn refusal(&self, urb: &FunctionUrb) -> Option<TransferError> {
        if self.unplugged {
            return Some(TransferError::Shutdown);
        }
        let control = urb.endpoint & 0x0f == 0;
        if control != urb.setup.is_some() {
            return Some(TransferError::Invalid);
        }
        if control {
            return None;
        }
        match self.state.endpoints.get(urb.endpoint) {
            Some(endpoint)
                if matches!(endpoint.transfer_type, TransferType::Bulk | TransferType::Interrupt) =>
            {
                None
            }
            Some(endpoint) if endpoint.transfer_type == TransferType::Isochronous => {
                Some(TransferError::Isochronous)
            }
            _ => Some(TransferError::Invalid),
        }
    }

    /// Gives back one URB that has ended by `now`, or `None` when there is none.
    pub fn poll(&mut self, now: Duration) -> Option<Reply> {
        let mut strays = 0;
        loop {
            if let Some(reply) = self.finished.pop_front() {
                return Some(reply);
            }
            self.look_whether_it_departs(now);
            if self.unplugged {
                match self.finished.is_empty() {
                    true => return None,
                    false => continue,
                }
            }
            self.start_all(now);
            if !self.finished.is_empty() {
                continue;
            }
            if let Some(slot) = self.due_slot(now) {
                if let Some(reply) = self.release(slot) {
                    self.start_next(now, slot);
                    return Some(reply);
                }
                continue;
            }
            match self.function.poll(now) {
                Some(reply) => {
                    if self.end_at(now, now, reply) {
                        continue;
                    }
                    strays += 1;
                    if strays >= STRAY_REPLIES_MAX {
                        tracing::warn!("function gives back URBs that nobody submitted; polling it later");
                        self.polled_at = Some(now);
                        return None;
                    }
                }
                None => {
                    self.polled_at = Some(now);
                    return None;
                }
            }
        }
    }

    /// When [`poll`](Self::poll) has something to do next, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.finished.is_empty() {
            return Some(Duration::ZERO);
        }
        if self.unplugged {
            return None;
        }
        let mut earliest = self.function.next_deadline();
        if let (Some(due), Some(polled_at)) = (earliest, self.polled_at)
            && due <= polled_at
        {
            earliest = Some(polled_at.saturating_add(STUCK_DEADLINE_STEP));
        }
        for queue in self.active_slots().map(|slot| &self.queues[slot]) {
            let due = match &queue.current {
                Some(Current { stage: Stage::Ended { due, .. }, .. }) => *due,
                Some(_) => continue,
                None => Duration::ZERO,
            };
            earliest = Some(earliest.map_or(due, |other| other.min(due)));
        }
        earliest
    }

    /// Takes an URB back, with [`TransferError::Cancelled`]; `None` if it is not here (any more).
    ///
    /// What the function did for it already is not undone: the bytes of an OUT transfer may have been taken.
    pub fn cancel(&mut self, id: UrbId) -> Option<Reply> {
        if let Some(at) = self.finished.iter().position(|reply| reply.id == id) {
            return self.finished.remove(at);
        }
        for slot in self.active_slots() {
            if self.queues[slot].current.as_ref().is_some_and(|current| current.id == id) {
                return self.take_current(slot, TransferError::Cancelled);
            }
            let queue = &mut self.queues[slot];
            if let Some(at) = queue.waiting.iter().position(|urb| urb.id == id) {
                let urb = queue.waiting.remove(at)?;
                self.settle(slot);
                return Some(urb.fail(TransferError::Cancelled));
            }
        }
        None
    }

    /// The bus is reset: every URB comes back with [`TransferError::Cancelled`] from [`poll`](Self::poll), and
    /// the device is unconfigured.
    pub fn reset(&mut self, now: Duration) {
        self.flush(u32::MAX, TransferError::Cancelled);
        self.state = DeviceState::default();
        self.function.reset(now);
    }

    /// Resets as a hub's driver does: the configuration and the alternate settings are chosen anew afterwards, by
    /// requests that come back under the name `own`.
    pub(crate) fn reset_and_restore(&mut self, now: Duration, own: UrbId) {
        let configuration = DeviceOp::SetConfiguration(self.configuration());
        let alternates = self.alternates().to_vec();
        self.reset(now);
        let settings = alternates
            .into_iter()
            .map(|(interface, alternate)| DeviceOp::SetInterface { interface, alternate });
        for op in core::iter::once(configuration).chain(settings) {
            self.submit(now, FunctionUrb::new(own, 0, op.setup(), BytesMut::new(), 0));
        }
    }

    /// How the function dropped itself off the bus, once it has. It is as [unplugged](Self::unplug) then; to have it
    /// back take [`into_function`](Self::into_function) to a new host when its time has come.
    pub fn departure(&self) -> Option<Departure> {
        self.departure
    }

    fn look_whether_it_departs(&mut self, now: Duration) {
        if self.unplugged {
            return;
        }
        let Some(departure) = self.function.departs(now) else { return };
        // What has ended has ended, the transfer that made it leave among it.
        while let Some(slot) = self.due_slot(now) {
            let reply = self.release(slot);
            self.finished.extend(reply);
        }
        self.unplug();
        self.departure = Some(departure);
    }

    /// The device is gone: every URB, and every later one, comes back with [`TransferError::Shutdown`].
    pub fn unplug(&mut self) {
        self.flush(u32::MAX, TransferError::Shutdown);
        self.unplugged = true;
    }

    /// Gives the function back, e.g. to plug it in elsewhere; URBs that it holds are dropped.
    pub fn into_function(self) -> Box<dyn UsbFunction> {
        self.function
    }

    fn active_slots(&self) -> impl Iterator<Item = usize> + use<> {
        let mut bits = self.active;
        core::iter::from_fn(move || {
            let slot = bits.trailing_zeros();
            bits &= bits.checked_sub(1)?;
            Some(slot as usize)
        })
    }

    fn settle(&mut self, slot: usize) {
        let queue = &self.queues[slot];
        if queue.current.is_none() && queue.waiting.is_empty() {
            self.active &= !(1 << slot);
        }
    }

    fn start_all(&mut self, now: Duration) {
        for slot in self.active_slots() {
            self.start_next(now, slot);
        }
    }

    /// Hands the function the next URB of an endpoint that is at none.
    fn start_next(&mut self, now: Duration, slot: usize) {
        // A halt or another configuration can end URBs without making them current: look again after each.
        while self.queues[slot].current.is_none() {
            let Some(urb) = self.queues[slot].waiting.pop_front() else {
                self.settle(slot);
                return;
            };
            if slot != 0 && self.state.halted & (1 << slot) != 0 {
                self.finished.push_back(urb.fail(TransferError::Stall));
                continue;
            }
            let current =
                Current { id: urb.id, is_in: urb.is_in(), length: urb.length, stage: Stage::Parked };
            self.queues[slot].current = Some(current);
            let submit = match urb.setup {
                Some(setup) => self.control(now, setup, urb),
                None => self.function.submit(now, urb),
            };
            // The reply may name another URB that was parked before; then this one is parked.
            match submit {
                Submit::Done(reply) => _ = self.end_at(now, now, reply),
                Submit::After(delay, reply) => _ = self.end_at(now, now.saturating_add(delay), reply),
                Submit::Parked => {}
            }
            self.look_whether_it_departs(now);
        }
    }

    /// Notes that the function is done with an URB. `false`: it did not hold that one.
    fn end_at(&mut self, now: Duration, due: Duration, mut reply: Reply) -> bool {
        let id = reply.id;
        let held = |queue: &Queue| {
            queue.current.as_ref().is_some_and(|c| c.id == id && matches!(c.stage, Stage::Parked))
        };
        let Some(slot) = self.active_slots().find(|&slot| held(&self.queues[slot])) else {
            return false;
        };
        let Some(current) = self.queues[slot].current.as_mut() else { return false };
        bound(&mut reply, current.is_in, current.length);
        if slot != 0 && reply.status == Err(TransferError::Stall) {
            self.state.halted |= 1 << slot;
        }
        self.sequence += 1;
        current.stage = Stage::Ended { due: due.max(now), sequence: self.sequence, reply };
        true
    }

    /// The endpoint whose URB has ended first by `now`.
    fn due_slot(&self, now: Duration) -> Option<usize> {
        let ended = |slot: usize| match self.queues[slot].current.as_ref()?.stage {
            Stage::Ended { due, sequence, .. } if due <= now => Some((due, sequence, slot)),
            _ => None,
        };
        self.active_slots().filter_map(ended).min().map(|(_, _, slot)| slot)
    }

    /// Takes an endpoint's ended URB away from it.
    fn release(&mut self, slot: usize) -> Option<Reply> {
        let current = self.queues[slot].current.take()?;
        self.settle(slot);
        match current.stage {
            Stage::Ended { reply, .. } => Some(reply),
            Stage::Parked => None,
        }
    }

    /// Takes the URB back that an endpoint is at, wherever it is.
    fn take_current(&mut self, slot: usize, error: TransferError) -> Option<Reply> {
        let current = self.queues[slot].current.take()?;
        self.settle(slot);
        let id = current.id;
        Some(match current.stage {
            Stage::Ended { mut reply, .. } => {
                reply.status = Err(error);
                reply
            }
            Stage::Parked => match self.function.cancel(id) {
                Some(mut urb) => {
                    urb.id = id;
                    urb.fail(error)
                }
                // The function parked it and cannot find it again: its buffer is lost, the URB is not.
                None => Reply { id, status: Err(error), buffer: BytesMut::new() },
            },
        })
    }

    /// Ends everything on the endpoints of `mask` (a bit per slot).
    fn flush(&mut self, mask: u32, error: TransferError) {
        for slot in self.active_slots().filter(|slot| mask & (1 << slot) != 0) {
            if let Some(reply) = self.take_current(slot, error) {
                self.finished.push_back(reply);
            }
            let waiting = core::mem::take(&mut self.queues[slot].waiting);
            self.finished.extend(waiting.into_iter().map(|urb| urb.fail(error)));
            self.settle(slot);
        }
    }
}

/// Holds a reply to what the URB allows, whatever the function filled in.
fn bound(reply: &mut Reply, is_in: bool, length: usize) {
    let Ok(actual) = reply.status else { return };
    if !is_in {
        reply.status = Ok(actual.min(length));
    } else if actual > length {
        reply.buffer.truncate(length);
        reply.status = Err(TransferError::Overflow);
    } else {
        let actual = actual.min(reply.buffer.len());
        reply.buffer.truncate(actual);
        reply.status = Ok(actual);
    }
}

impl fmt::Debug for FunctionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionHost")
            .field("state", &self.state)
            .field("active", &format_args!("{:#010x}", self.active))
            .field("finished", &self.finished.len())
            .field("unplugged", &self.unplugged)
            .finish_non_exhaustive()
    }
}
