//! [`Flights`]: the frames that the chip has, and what its firmware reports of them.
//!
//! As many places as there are [numbers](super::numbers) for reports. A place is free again when the report came, when it
//! did not come in time, or when the transfer failed; frames for which there is no place or no number wait in the queue,
//! and their senders with them. The tasks of one interface share the table, on the kernel's thread:
//! [`transmit`](super::transmit) enters frames, the receive task hands over reports, and the control task
//! [pauses](Flights::pause) it for a change of channel, so that no frame goes out on a channel other than the one that it
//! was checked against, but for those that the chip has had for [`SETTLE`] and not sent.
//!
//! The chip sends one frame after the other, and one that nobody answers takes it more than half a second (48 times
//! 1,500 bytes at 1 Mbit/s). So the wait for a report begins anew for all frames whenever one comes, as mainline's
//! begins anew with each frame (rtw88 `tx.c`, `rtw_tx_report_enqueue`); not for one that was overtaken, whose report is
//! lost.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;

use airlift_hcd::TransferError;
use airlift_runtime::Cpu;

use super::numbers::{self, Key, Numbers};
use crate::error::{Error, ErrorKind, Stage};
use crate::rx::C2h;
use crate::tx::{Delivery, InjectErrorKind, Job, Outcome, Plan, Report, Status, TxQueue, Unknown};

/// How long a report may take from when the chip has the frame, or from the report before.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The same with a firmware that has not reported any of the last [`PATIENCE`] frames.
const HURRIED_TIMEOUT: Duration = Duration::from_millis(10);
const PATIENCE: u32 = 64;
/// How long it may take once a later frame of its queue was reported.
const OVERTAKEN_TIMEOUT: Duration = Duration::from_millis(100);
/// How long it may take at all, however many others are reported: other queues may keep the air from one.
const LONGEST: Duration = Duration::from_secs(30);
/// How long frames that the chip has may take to be sent before the channel changes, or the interface goes down.
pub(super) const SETTLE: Duration = Duration::from_millis(50);

/// A frame that the chip has, or is being given.
pub(super) struct Flight {
    pub(super) job: Job,
    pub(super) plan: Plan,
    /// When waiting for it is given up.
    pub(super) deadline: Duration,
    /// Since when the report is waited for: the transfer is over.
    since: Option<Duration>,
    /// A later frame of its queue was reported.
    overtaken: bool,
    serial: u64,
}

/// The frames that the chip has. Shared by the tasks of one interface, on the kernel's thread.
pub(super) struct Flights {
    inner: RefCell<Inner>,
    pub(super) queue: Arc<TxQueue>,
}

struct Inner {
    places: Vec<Option<Flight>>,
    taken: usize,
    numbers: Numbers,
    /// Of the frame that comes next.
    next_serial: u64,
    /// No deadline is before this; `None` if there is none.
    earliest: Option<Duration>,
    /// Frames without a report one after the other.
    missed: u32,
    paused: bool,
    /// A frame has been given to the chip, or waits for its power.
    sends: bool,
    power: Power,
    /// Who sets the power.
    keeper: Option<Waker>,
    /// The transmit task.
    sender: Option<Waker>,
    /// Who waits for the table to be empty.
    settled: Option<Waker>,
}

/// Whether frames have the power that the channel wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    Set,
    /// It is another channel's; no frame is given to the chip.
    Stale,
    /// The same, and a frame waits.
    Wanted,
}

impl Flights {
    pub(super) fn new(queue: Arc<TxQueue>) -> Rc<Self> {
        let inner = Inner {
            places: (0..numbers::COUNT).map(|_| None).collect(),
            taken: 0,
            numbers: Numbers::new(),
            next_serial: 0,
            earliest: None,
            missed: 0,
            paused: false,
            sends: false,
            power: Power::Set,
            keeper: None,
            sender: None,
            settled: None,
        };
        Rc::new(Self { inner: RefCell::new(inner), queue })
    }

    /// A message of the firmware came; if it is a report, the frame is over.
    pub(super) fn report(&self, message: &C2h, now: Duration) {
        let Some(report) = Report::parse(message) else { return };
        let flight = {
            let mut inner = self.inner.borrow_mut();
            let reported = inner.numbers.reported(report.number);
            reported.and_then(|(key, queue)| {
                let flight = inner.vacate(key);
                inner.put_off(now, key.serial, queue);
                flight
            })
        };
        let Some(flight) = flight else {
            self.queue.stray_report();
            tracing::debug!(?report, "a report of a frame that nobody waits for");
            return;
        };
        let delivery = match (flight.plan.answered, report.status) {
            (_, Status::Expired) => Delivery::Expired,
            (true, Status::Good) => Delivery::Acknowledged,
            (true, Status::RetriesExhausted) => Delivery::NotAcknowledged,
            // The chip may have waited for an answer that nobody was to give.
            (false, _) => Delivery::Sent,
        };
        flight.over(delivery, Some(&report));
    }

    /// Has no more frames sent, and waits until those that the chip has are over, or [`SETTLE`] has passed.
    pub(super) async fn pause(&self, cpu: &Cpu) -> Paused<'_> {
        self.inner.borrow_mut().paused = true;
        let paused = Paused(self);
        let empty = poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            if inner.taken == 0 {
                return Poll::Ready(());
            }
            inner.settled = Some(context.waker().clone());
            Poll::Pending
        });
        let _ = cpu.timeout(SETTLE, empty).await;
        paused
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inner.borrow().taken == 0
    }

    /// Whether a frame could be given to the chip now. While frames with numbers are out and no number is free, the next
    /// one waits for theirs; once all numbers are withdrawn, it goes without.
    pub(super) fn has_place(&self, now: Duration) -> bool {
        let inner = self.inner.borrow();
        let numbered = || inner.numbers.free(now).is_some() || !inner.numbers.any_given();
        !inner.paused && inner.power == Power::Set && inner.taken < inner.places.len() && numbered()
    }

    /// The number for the report of the next frame, if there is one.
    pub(super) fn next_number(&self, now: Duration) -> Option<u8> {
        self.inner.borrow().numbers.free(now)
    }

    /// The chip is given a frame, to be transferred until `deadline`; its plan has the number of its report, if it has
    /// one. There must [be a place](Self::has_place).
    pub(super) fn enter(&self, mut job: Job, plan: Plan, deadline: Duration) -> Key {
        let mut inner = self.inner.borrow_mut();
        let place =
            inner.places.iter().position(Option::is_none).expect("a frame is taken if there is a place");
        let serial = inner.next_serial;
        inner.next_serial += 1;
        inner.sends = true;
        job.given_to_chip();
        // There are as many places as numbers, which are bytes.
        let key = Key { place: place as u8, serial };
        if let Some(number) = plan.repr.report {
            inner.numbers.give(number, key, plan.repr.queue.code());
        }
        inner.watch(deadline);
        inner.places[place] = Some(Flight { job, plan, deadline, since: None, overtaken: false, serial });
        inner.taken += 1;
        key
    }

    /// A transfer is over. Of a frame that is over already, nothing more is to be said.
    pub(super) fn transferred(&self, key: Key, status: Result<(), TransferError>, now: Duration) {
        let mut inner = self.inner.borrow_mut();
        let patient = inner.missed < PATIENCE;
        let Some(flight) = inner.flight(key) else { return };
        if let Err(error) = status {
            let flight = inner.give_up(key, now);
            drop(inner);
            if let Some(flight) = flight {
                flight.job.failed(failure(error));
            }
        } else if flight.plan.repr.report.is_some() {
            let deadline = now + if patient { REPORT_TIMEOUT } else { HURRIED_TIMEOUT };
            flight.since = Some(now);
            flight.deadline = deadline;
            inner.watch(deadline);
        } else {
            let flight = inner.vacate(key);
            drop(inner);
            if let Some(flight) = flight {
                let asked = flight.job.frame().report;
                let unknown = if asked { Unknown::NoNumber } else { Unknown::NotAsked };
                flight.over(Delivery::Unknown(unknown), None);
            }
        }
    }

    /// When to look for frames that are late.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.inner.borrow().earliest
    }

    /// Gives up on frames whose report did not come. Tells which transfers take too long.
    pub(super) fn expire(&self, now: Duration) -> Vec<Key> {
        let mut missed = Vec::new();
        let mut slow = Vec::new();
        let mut next: Option<Duration> = None;
        {
            let mut inner = self.inner.borrow_mut();
            for place in 0..inner.places.len() {
                let Some(flight) = &inner.places[place] else { continue };
                let key = Key { place: place as u8, serial: flight.serial };
                if flight.deadline > now {
                    next = Some(next.map_or(flight.deadline, |next| next.min(flight.deadline)));
                } else if flight.since.is_some() {
                    missed.extend(inner.give_up(key, now));
                    inner.missed = inner.missed.saturating_add(1);
                } else {
                    slow.push(key);
                }
            }
            inner.earliest = next;
        }
        for flight in missed {
            flight.over(Delivery::Unknown(Unknown::NoReport), None);
        }
        slow
    }

    /// Ends everything that is to be sent, for `reason`: what the chip has, and what waits.
    pub(super) fn end(&self, reason: &Error) {
        self.queue.close(reason);
        let flights: Vec<Flight> = {
            let mut inner = self.inner.borrow_mut();
            inner.earliest = None;
            inner.taken = 0;
            inner.places.iter_mut().filter_map(Option::take).collect()
        };
        for flight in flights {
            flight.job.failed(InjectErrorKind::Interface(reason.clone()));
        }
    }
}

/// Power that is set when the first frame is to have it: the control task says so, the transmit task asks for it.
impl Flights {
    /// Whether this interface is one that sends: the chip may have frames, and its power must be the channel's always.
    pub(super) fn sends(&self) -> bool {
        self.inner.borrow().sends
    }

    /// Ends what waits to be given to the chip, for `error`.
    pub(super) fn fail_waiting(&self, error: &Error) {
        // One that comes when its sender hears of this has its own try.
        let waiting: Vec<Job> = core::iter::from_fn(|| self.queue.take_if(|_| true)).collect();
        for job in waiting {
            job.failed(InjectErrorKind::Interface(error.clone()));
        }
    }

    /// From now on the power is right, or it is another channel's.
    pub(super) fn set_power(&self, right: bool) {
        let mut inner = self.inner.borrow_mut();
        inner.power = if right { Power::Set } else { Power::Stale };
        if let Some(sender) = &inner.sender {
            sender.wake_by_ref();
        }
    }

    /// Ends when a frame waits for its power.
    pub(super) async fn power_wanted(&self) {
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            if inner.power == Power::Wanted {
                return Poll::Ready(());
            }
            inner.keeper = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Asks for the power, if a frame waits for that alone. For the transmit task.
    pub(super) fn ask_for_power(&self, context: &mut Context<'_>) {
        let stale = |inner: &Inner| !inner.paused && inner.power == Power::Stale;
        if stale(&self.inner.borrow()) && self.queue.poll_waiting(context).is_ready() {
            let mut inner = self.inner.borrow_mut();
            inner.power = Power::Wanted;
            inner.sends = true;
            if let Some(keeper) = inner.keeper.take() {
                keeper.wake();
            }
        }
    }
}

impl Flights {
    /// Has `context` woken when a place is free, or frames may be sent again. For the transmit task.
    pub(super) fn watch_places(&self, context: &Context<'_>) {
        match &mut self.inner.borrow_mut().sender {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }
}

impl Inner {
    /// The firmware reported the frame of that serial and queue. Those of its queue that were there before are given up
    /// soon, all others later.
    fn put_off(&mut self, now: Duration, serial: u64, queue: u8) {
        self.missed = 0;
        let mut earliest: Option<Duration> = None;
        for flight in self.places.iter_mut().flatten() {
            if let Some(since) = flight.since
                && !flight.overtaken
            {
                flight.overtaken = flight.plan.repr.queue.code() == queue && flight.serial < serial;
                flight.deadline = if flight.overtaken {
                    flight.deadline.min(now + OVERTAKEN_TIMEOUT)
                } else {
                    flight.deadline.max(now + REPORT_TIMEOUT).min(since + LONGEST)
                };
            }
            earliest = Some(earliest.map_or(flight.deadline, |earliest| earliest.min(flight.deadline)));
        }
        self.earliest = earliest;
    }

    fn watch(&mut self, deadline: Duration) {
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
    }

    fn flight(&mut self, key: Key) -> Option<&mut Flight> {
        self.places.get_mut(usize::from(key.place))?.as_mut().filter(|flight| flight.serial == key.serial)
    }

    /// A frame is over, and its report may still come.
    fn give_up(&mut self, key: Key, now: Duration) -> Option<Flight> {
        let flight = self.vacate(key)?;
        if let Some(number) = flight.plan.repr.report {
            self.numbers.withdraw(number, self.next_serial, now);
        }
        Some(flight)
    }

    fn vacate(&mut self, key: Key) -> Option<Flight> {
        self.flight(key)?;
        let flight = self.places[usize::from(key.place)].take()?;
        self.taken -= 1;
        if self.taken == 0 {
            self.earliest = None;
        }
        if let Some(sender) = &self.sender {
            sender.wake_by_ref();
        }
        if self.taken == 0
            && let Some(settled) = self.settled.take()
        {
            settled.wake();
        }
        Some(flight)
    }
}

impl Flight {
    fn over(self, delivery: Delivery, report: Option<&Report>) {
        self.job.done(Outcome {
            delivery,
            retries: report.map(|report| report.retries),
            rate: report.and_then(|report| report.rate),
            unhonoured: self.plan.unhonoured,
        });
    }
}

/// While it lives no frame is given to the chip.
pub(super) struct Paused<'a>(&'a Flights);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.borrow_mut();
        inner.paused = false;
        if let Some(sender) = &inner.sender {
            sender.wake_by_ref();
        }
    }
}

fn failure(error: TransferError) -> InjectErrorKind {
    match error {
        TransferError::Shutdown => InjectErrorKind::Interface(Error::new(Stage::Up, ErrorKind::Unplugged)),
        TransferError::Cancelled => InjectErrorKind::Interface(Error::new(Stage::Up, ErrorKind::Down)),
        error => InjectErrorKind::Transfer(error),
    }
}

#[cfg(test)]
#[path = "flights_tests.rs"]
mod tests;
