//! Bulk-out transfers: the task that sends frames, and what the firmware reports of them.
//!
//! A task of its own takes frames from the [`TxQueue`], lays each behind its descriptor in a buffer (the one copy on
//! their way; buffers come back and are used again) and submits it on the endpoint of its queue. What it knows of the
//! frames that the chip has is the [`Flights`] table, one place for each number that a report can carry. A place is
//! free again when the report came, when it did not come in time, or when the transfer failed; frames for which there
//! is no place wait in the queue, and their senders with them.
//!
//! The receive task hands reports to [`Flights::report`]. A change of channel [pauses](Flights::pause) the task, so that
//! no frame goes out on a channel other than the one that it was checked against.
//!
//! Figures: rtw88 `tx.h`, `RTW_TX_PROBE_TIMEOUT` (how long a report may take).

use core::cell::RefCell;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use airlift_hcd::{Completion, TransferError, Urb, UrbHandle, UsbDevice};
use airlift_runtime::{Cpu, Sleep};
use bytes::BytesMut;

use super::control::State;
use crate::error::{Error, ErrorKind, Stage};
use crate::rx::C2h;
use crate::stream::{FrameSource, TimeRuns};
use crate::tx::{
    DESCRIPTOR_LEN, Delivery, EndpointMap, InjectErrorKind, Job, MAX_NUMBER, Outcome, Plan, Planner, Report,
    Status, TxQueue, Unknown,
};

/// Transfers on their way to one endpoint.
const IN_FLIGHT: usize = 8;
/// How long a report may take from when the chip has the frame.
const REPORT_TIMEOUT: Duration = Duration::from_millis(500);
/// The same with a firmware that has not reported any of the last [`PATIENCE`] frames.
const HURRIED_TIMEOUT: Duration = Duration::from_millis(10);
const PATIENCE: u32 = 64;
/// How long the chip may take to accept a frame.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long frames that the chip has may take to be sent before the channel changes, or the interface goes down.
const SETTLE: Duration = Duration::from_millis(50);
/// Buffers that are kept, and the largest that is.
const SPARE: usize = 2 * IN_FLIGHT;
const SPARE_SIZE: usize = 2048;

/// A frame that the chip has, or is being given.
struct Flight {
    job: Job,
    plan: Plan,
    /// When waiting for it is given up.
    deadline: Duration,
    /// The transfer is over: the report is waited for.
    transferred: bool,
}

/// The frames that the chip has. Shared by the tasks of one interface, on the kernel's thread.
pub(super) struct Flights {
    inner: RefCell<Inner>,
    queue: Arc<TxQueue>,
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
    pub(super) fn report(&self, message: &C2h) {
        let Some(report) = Report::parse(message) else { return };
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
        self.inner.borrow_mut().missed = 0;
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

    fn is_empty(&self) -> bool {
        self.inner.borrow().taken == 0
    }

    /// Whether a frame could be given to the chip now.
    fn has_place(&self) -> bool {
        let inner = self.inner.borrow();
        !inner.paused && inner.taken < inner.places.len()
    }

    /// The next number that is free. Numbers go round, so that one is not used again soon.
    fn next_number(&self) -> Option<usize> {
        let inner = self.inner.borrow();
        let count = inner.places.len();
        (1..=count).map(|step| (inner.last + step) % count).find(|&number| inner.places[number].is_none())
    }

    fn enter(&self, number: usize, flight: Flight) {
        let mut inner = self.inner.borrow_mut();
        inner.watch(flight.deadline);
        inner.places[number] = Some(flight);
        inner.taken += 1;
        inner.last = number;
    }

    /// A transfer is over.
    fn transferred(&self, number: usize, status: Result<(), TransferError>, now: Duration) {
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
    fn deadline(&self) -> Option<Duration> {
        self.inner.borrow().earliest
    }

    /// Gives up on frames whose report did not come. Tells which transfers take too long.
    fn expire(&self, now: Duration) -> Vec<usize> {
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

    /// Ends all of them for `reason`.
    fn fail(&self, reason: &Error) {
        let flights: Vec<Flight> = {
            let mut inner = self.inner.borrow_mut();
            (0..inner.places.len()).filter_map(|number| inner.vacate(number)).collect()
        };
        for flight in flights {
            flight.job.failed(InjectErrorKind::Interface(reason.clone()));
        }
    }
}

impl Inner {
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

/// What the task needs.
pub(super) struct Transmit {
    pub(super) cpu: Cpu,
    pub(super) device: UsbDevice,
    pub(super) endpoints: EndpointMap,
    pub(super) planner: Planner,
    pub(super) flights: Rc<Flights>,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) frames: FrameSource,
}

/// A transfer on its way, and the number of its frame.
type Transfer = (UrbHandle, usize);

struct Task {
    with: Transmit,
    /// By endpoint, in order.
    flying: Vec<VecDeque<Transfer>>,
    spare: Vec<BytesMut>,
    /// Readers must not hold virtual time while a frame is on its way: who awaits it may be one of them.
    time_runs: Option<TimeRuns>,
}

/// What happened.
enum Event {
    /// A transfer on an endpoint ended.
    Ended(usize, Completion, usize),
    /// A frame is to be sent.
    Frame(Job),
    /// It is time to look at the deadlines.
    Late,
    /// The interface goes down.
    Stopped,
}

/// Sends until `stop` is closed or the device is gone. The caller then closes the queue.
///
/// Dropping the future cancels the transfers; their frames are answered as the kernel having gone.
pub(super) async fn run(with: Transmit, stop: async_channel::Receiver<()>) {
    let flying = (0..with.endpoints.len()).map(|_| VecDeque::new()).collect();
    let mut task = Task { with, flying, spare: Vec::new(), time_runs: None };
    let cpu = task.with.cpu.clone();
    let mut stopped = pin!(stop.recv());
    let mut stopping: Option<Duration> = None;
    // A timer that is set for too early costs a look; one for each frame would cost more.
    let mut timer: Option<(Duration, Pin<Box<Sleep>>)> = None;
    loop {
        let deadline = task.with.flights.deadline().into_iter().chain(stopping).min();
        match deadline {
            None => timer = None,
            Some(due) if timer.as_ref().is_none_or(|(set, _)| due < *set) => {
                timer = Some((due, Box::pin(cpu.sleep_until(due))));
            }
            Some(_) => {}
        }
        let event = poll_fn(|context| {
            if stopping.is_none() && stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(Event::Stopped);
            }
            if let Poll::Ready(event) = task.poll(context, stopping.is_none()) {
                return Poll::Ready(event);
            }
            match &mut timer {
                Some((_, sleep)) => sleep.as_mut().poll(context).map(|()| Event::Late),
                None => Poll::Pending,
            }
        })
        .await;
        match event {
            Event::Ended(endpoint, completion, number) => task.ended(endpoint, completion, number).await,
            Event::Frame(job) => task.send(job),
            Event::Late => {
                timer = None;
                task.expire();
            }
            Event::Stopped => stopping = Some(cpu.now() + SETTLE),
        }
        let over = stopping.is_some_and(|due| task.with.flights.is_empty() || cpu.now() >= due);
        if over || task.with.device.is_unplugged() {
            break;
        }
        cpu.cond_resched().await;
    }
    task.recall().await;
}

impl Task {
    fn poll(&mut self, context: &mut Context<'_>, takes: bool) -> Poll<Event> {
        for (endpoint, flying) in self.flying.iter_mut().enumerate() {
            if let Some((handle, number)) = flying.front_mut()
                && let Poll::Ready(completion) = Pin::new(handle).poll(context)
            {
                let number = *number;
                flying.pop_front();
                return Poll::Ready(Event::Ended(endpoint, completion, number));
            }
        }
        // A transfer that leads nowhere must not keep the others from being sent, so each endpoint has room of its own;
        // the frame that comes next is not known before it is taken, and so there must be room on all.
        let room = self.flying.iter().all(|flying| flying.len() < IN_FLIGHT);
        if takes && room && self.with.flights.has_place() {
            if let Poll::Ready(job) = self.with.flights.queue.poll_take(context) {
                return Poll::Ready(Event::Frame(job));
            }
            if self.with.flights.is_empty() {
                self.time_runs = None;
            }
        }
        let mut inner = self.with.flights.inner.borrow_mut();
        match &mut inner.sender {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn send(&mut self, mut job: Job) {
        let channel = self.with.state.lock().unwrap_or_else(PoisonError::into_inner).channel;
        let mut plan = match self.with.planner.plan(job.frame(), channel) {
            Ok(plan) => plan,
            Err(refusal) => return job.failed(InjectErrorKind::Refused(refusal)),
        };
        // There is a place, or the frame would not have been taken.
        let Some(number) = self.with.flights.next_number() else { return };
        if self.time_runs.is_none() {
            self.time_runs = Some(self.with.frames.let_time_run());
        }
        plan.repr.report = job.frame().report.then_some(number as u8);
        let mut buffer = self.spare.pop().unwrap_or_default();
        let mpdu = job.frame().bytes();
        buffer.clear();
        buffer.reserve(DESCRIPTOR_LEN + mpdu.len());
        buffer.resize(DESCRIPTOR_LEN, 0);
        plan.repr.emit(&mut buffer);
        buffer.extend_from_slice(mpdu);
        job.given_to_chip();
        let (endpoint, address) = self.with.endpoints.endpoint(plan.repr.queue);
        let deadline = self.with.cpu.now() + TRANSFER_TIMEOUT;
        self.with.flights.enter(number, Flight { job, plan, deadline, transferred: false });
        // A transfer that fills its last packet would go on with the next frame, as the chip sees it.
        let handle = self.with.device.submit(Urb::bulk_out(address, buffer).zero_packet());
        self.flying[endpoint].push_back((handle, number));
    }

    /// Gives up on what takes too long.
    fn expire(&mut self) {
        let slow = self.with.flights.expire(self.with.cpu.now());
        for (handle, number) in self.flying.iter().flatten() {
            if slow.contains(number) {
                handle.kill();
            }
        }
    }

    async fn ended(&mut self, endpoint: usize, completion: Completion, number: usize) {
        let Completion { status, buffer, .. } = completion;
        if self.spare.len() < SPARE && buffer.capacity() <= SPARE_SIZE {
            self.spare.push(buffer);
        }
        // One that was called back is one that took too long.
        let status = match status {
            Err(TransferError::Cancelled) => Err(TransferError::Timeout),
            status => status,
        };
        self.with.flights.transferred(number, status, self.with.cpu.now());
        if let Err(source) = status {
            tracing::warn!(%source, endpoint, "a transmit transfer failed");
        }
        if status == Err(TransferError::Stall) {
            // Each URB behind it ends with a stall of its own; the halt is ended all the same.
            let address = self.with.endpoints.address(endpoint);
            let _ = self.with.device.clear_halt(address).await;
        }
    }

    /// Takes every transfer back. Frames whose transfer took place and of which no report came are failed by the caller.
    async fn recall(&mut self) {
        for (handle, _) in self.flying.iter().flatten() {
            handle.kill();
        }
        let now = self.with.cpu.now();
        for (handle, number) in core::mem::take(&mut self.flying).into_iter().flatten() {
            let completion = handle.await;
            self.with.flights.transferred(number, completion.status, now);
        }
    }
}

/// Ends everything that is to be sent, for `reason`.
pub(super) fn end(flights: &Flights, reason: &Error) {
    flights.queue.close(reason);
    flights.fail(reason);
}
