//! [`Flights`]: the frames that the chip has, and what its firmware reports of them.
//!
//! One place for each number that a report can carry. A place is free again when the report came, when it did not come
//! in time, or when the transfer failed; frames for which there is no place wait in the queue, and their senders with
//! them. The tasks of one interface share the table, on the kernel's thread: [`transmit`](super::transmit) enters
//! frames, the receive task hands over reports, and the control task [pauses](Flights::pause) it for a change of
//! channel, so that no frame goes out on a channel other than the one that it was checked against, but for those that the
//! chip has had for [`SETTLE`] and not sent.
//!
//! The chip sends one frame after the other, and one that nobody answers takes it more than half a second (48 times
//! 1,500 bytes at 1 Mbit/s). So the wait for a report begins anew for all frames whenever one comes, as mainline's
//! begins anew with each frame (rtw88 `tx.c`, `rtw_tx_report_enqueue`).

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;

use airlift_hcd::TransferError;
use airlift_runtime::Cpu;

use crate::error::{Error, ErrorKind, Stage};
use crate::rx::C2h;
use crate::tx::{
    Delivery, InjectErrorKind, Job, MAX_NUMBER, Outcome, Plan, Report, Status, TxQueue, Unknown,
};

/// How long a report may take from when the chip has the frame, or from the report before.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The same with a firmware that has not reported any of the last [`PATIENCE`] frames.
const HURRIED_TIMEOUT: Duration = Duration::from_millis(10);
const PATIENCE: u32 = 64;
/// How long frames that the chip has may take to be sent before the channel changes, or the interface goes down.
pub(super) const SETTLE: Duration = Duration::from_millis(50);

/// A frame that the chip has, or is being given.
pub(super) struct Flight {
    pub(super) job: Job,
    pub(super) plan: Plan,
    /// When waiting for it is given up.
    pub(super) deadline: Duration,
    /// The transfer is over: the report is waited for.
    pub(super) transferred: bool,
}

/// The frames that the chip has. Shared by the tasks of one interface, on the kernel's thread.
pub(super) struct Flights {
    inner: RefCell<Inner>,
    pub(super) queue: Arc<TxQueue>,
}

struct Inner {
    /// By report number.
    places: Vec<Option<Flight>>,
    taken: usize,
    /// The number that was given last.
    last: usize,
    /// No deadline is before this; `None` if there is none.
    earliest: Option<Duration>,
    /// Frames without a report one after the other.
    missed: u32,
    paused: bool,
    /// The transmit task.
    sender: Option<Waker>,
    /// Who waits for the table to be empty.
    settled: Option<Waker>,
}

impl Flights {
    pub(super) fn new(queue: Arc<TxQueue>) -> Rc<Self> {
        let places = (0..=MAX_NUMBER).map(|_| None).collect();
        let inner = Inner {
            places,
            taken: 0,
            last: 0,
            earliest: None,
            missed: 0,
            paused: false,
            sender: None,
            settled: None,
        };
        Rc::new(Self { inner: RefCell::new(inner), queue })
    }

    /// A message of the firmware came; if it is a report, the frame is over.
    pub(super) fn report(&self, message: &C2h, now: Duration) {
        let Some(report) = Report::parse(message) else { return };
        self.inner.borrow_mut().put_off(now + REPORT_TIMEOUT);
        let number = usize::from(report.number);
        let flight = {
            let mut inner = self.inner.borrow_mut();
            let known = inner.places.get(number).and_then(Option::as_ref);
            let fits = known.is_some_and(|flight| {
                flight.plan.repr.report.is_some() && flight.plan.repr.queue.code() == report.queue
            });
            if fits { inner.vacate(number) } else { None }
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

    /// Whether a frame could be given to the chip now.
    pub(super) fn has_place(&self) -> bool {
        let inner = self.inner.borrow();
        !inner.paused && inner.taken < inner.places.len()
    }

    /// The next number that is free. Numbers go round, so that one is not used again soon.
    pub(super) fn next_number(&self) -> Option<usize> {
        let inner = self.inner.borrow();
        let count = inner.places.len();
        (1..=count).map(|step| (inner.last + step) % count).find(|&number| inner.places[number].is_none())
    }

    pub(super) fn enter(&self, number: usize, flight: Flight) {
        let mut inner = self.inner.borrow_mut();
        inner.watch(flight.deadline);
        inner.places[number] = Some(flight);
        inner.taken += 1;
        inner.last = number;
    }

    /// A transfer is over.
    pub(super) fn transferred(&self, number: usize, status: Result<(), TransferError>, now: Duration) {
        let mut inner = self.inner.borrow_mut();
        let patient = inner.missed < PATIENCE;
        let Some(flight) = inner.places[number].as_mut() else { return };
        if let Err(error) = status {
            let flight = inner.vacate(number);
            drop(inner);
            if let Some(flight) = flight {
                flight.job.failed(failure(error));
            }
        } else if flight.plan.repr.report.is_some() {
            let deadline = now + if patient { REPORT_TIMEOUT } else { HURRIED_TIMEOUT };
            flight.transferred = true;
            flight.deadline = deadline;
            inner.watch(deadline);
        } else {
            let flight = inner.vacate(number);
            drop(inner);
            if let Some(flight) = flight {
                flight.over(Delivery::Unknown(Unknown::NotAsked), None);
            }
        }
    }

    /// When to look for frames that are late.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.inner.borrow().earliest
    }

    /// Gives up on frames whose report did not come. Tells which transfers take too long.
    pub(super) fn expire(&self, now: Duration) -> Vec<usize> {
        let mut missed = Vec::new();
        let mut slow = Vec::new();
        let mut next: Option<Duration> = None;
        {
            let mut inner = self.inner.borrow_mut();
            for number in 0..inner.places.len() {
                let Some(flight) = &inner.places[number] else { continue };
                if flight.deadline > now {
                    next = Some(next.map_or(flight.deadline, |next| next.min(flight.deadline)));
                } else if flight.transferred {
                    missed.extend(inner.vacate(number));
                    inner.missed = inner.missed.saturating_add(1);
                } else {
                    slow.push(number);
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
            (0..inner.places.len()).filter_map(|number| inner.vacate(number)).collect()
        };
        for flight in flights {
            flight.job.failed(InjectErrorKind::Interface(reason.clone()));
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
    /// The firmware reports: nothing that the chip has is given up before `deadline`.
    fn put_off(&mut self, deadline: Duration) {
        self.missed = 0;
        let mut earliest: Option<Duration> = None;
        for flight in self.places.iter_mut().flatten() {
            if flight.transferred {
                flight.deadline = flight.deadline.max(deadline);
            }
            earliest = Some(earliest.map_or(flight.deadline, |earliest| earliest.min(flight.deadline)));
        }
        self.earliest = earliest;
    }

    fn watch(&mut self, deadline: Duration) {
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
    }

    fn vacate(&mut self, number: usize) -> Option<Flight> {
        let flight = self.places[number].take()?;
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
