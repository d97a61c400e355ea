//! Bulk-out transfers: the task that sends frames.
//!
//! A task of its own takes frames from the [`TxQueue`](crate::tx::TxQueue), lays each behind its descriptor in a buffer
//! (the one copy on their way; buffers come back and are used again), enters it in [`Flights`] and submits it on the
//! endpoint of its queue. Frames that wait together share a transfer, if the chip takes several in one; no frame waits
//! for another. An endpoint that stalls is freed beside all that, which may take its time: frames wait for it, going
//! down does not.
//!
//! Sources: rtw88 `usb.c`, `rtw_usb_tx_agg_skb` (several frames to a transfer), `rtw_usb_write_port` (the empty packet
//! at its end).

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use airlift_hcd::{Completion, TransferError, Urb, UrbHandle, UsbDevice};
use airlift_runtime::{Cpu, Sleep};
use bytes::BytesMut;

use super::control::State;
use super::flights::{Flights, SETTLE};
use super::numbers::Key;
use crate::stream::{FrameSource, TimeRuns};
use crate::tx::{DESCRIPTOR_LEN, EndpointMap, InjectErrorKind, Job, Plan, Planner, set_frames};

/// Transfers on their way to one endpoint.
const IN_FLIGHT: usize = 8;
/// How long the chip may take to accept a frame.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a transfer that carries several frames (rtw88 `usb.h`, `RTW_USB_MAX_XMITBUF_SZ`).
const AGGREGATE: usize = 20 * 1024;
/// Where the frames in one begin.
const ALIGNMENT: usize = 8;
/// Buffers that are kept, and the largest that is.
const SPARE: usize = 2 * IN_FLIGHT;
const SPARE_SIZE: usize = AGGREGATE;

/// What the task needs.
pub(super) struct Transmit {
    pub(super) cpu: Cpu,
    pub(super) device: UsbDevice,
    pub(super) endpoints: EndpointMap,
    pub(super) planner: Planner,
    /// Frames that one transfer may carry.
    pub(super) most_frames: usize,
    pub(super) flights: Rc<Flights>,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) frames: FrameSource,
}

/// The frames in a transfer.
#[derive(Clone, Copy, Default)]
struct Carried {
    keys: [Key; Self::MOST],
    count: u8,
}

impl Carried {
    const MOST: usize = 8;

    fn push(&mut self, key: Key) {
        self.keys[usize::from(self.count)] = key;
        self.count += 1;
    }

    fn iter(self) -> impl Iterator<Item = Key> {
        self.keys.into_iter().take(usize::from(self.count))
    }
}

/// A transfer on its way, and its frames.
type Transfer = (UrbHandle, Carried);

/// An endpoint's halt, being ended.
struct Halt {
    clearing: Pin<Box<dyn Future<Output = ()>>>,
    /// Another stall came meanwhile.
    again: bool,
}

/// When to look for frames that are late. One that is set for too early costs a look; to set it for each frame would cost
/// more.
struct Timer {
    sleep: Sleep,
    /// When it rings, if it is to.
    set: Option<Duration>,
}

impl Timer {
    fn set(&mut self, deadline: Option<Duration>) {
        let early = deadline.is_some_and(|due| self.set.is_some_and(|set| set <= due));
        if self.set != deadline && !early {
            self.sleep.reset(deadline.unwrap_or(Duration::MAX));
            self.set = deadline;
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.set.is_none() {
            return Poll::Pending;
        }
        let rung = Pin::new(&mut self.sleep).poll(context);
        if rung.is_ready() {
            self.set = None;
        }
        rung
    }
}

struct Task {
    with: Transmit,
    /// By endpoint, in order.
    flying: Vec<VecDeque<Transfer>>,
    /// By endpoint.
    halts: Vec<Option<Halt>>,
    spare: Vec<BytesMut>,
    /// Readers must not hold virtual time while a frame is on its way: who awaits it may be one of them.
    time_runs: Option<TimeRuns>,
}

/// What happened.
enum Event {
    /// A transfer on an endpoint ended.
    Ended(usize, Completion, Carried),
    /// A frame is to be sent.
    Frame(Job),
    /// The halt of an endpoint is over, as far as the device was willing.
    Freed(usize),
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
    let halts = (0..with.endpoints.len()).map(|_| None).collect();
    let mut task = Task { with, flying, halts, spare: Vec::new(), time_runs: None };
    let cpu = task.with.cpu.clone();
    let mut stopped = pin!(stop.recv());
    let mut stopping: Option<Duration> = None;
    let mut timer = Timer { sleep: cpu.sleep_until(Duration::ZERO), set: None };
    loop {
        timer.set(task.with.flights.deadline().into_iter().chain(stopping).min());
        let event = poll_fn(|context| {
            if stopping.is_none() && stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(Event::Stopped);
            }
            if let Poll::Ready(event) = task.poll(context, stopping.is_none()) {
                return Poll::Ready(event);
            }
            timer.poll(context).map(|()| Event::Late)
        })
        .await;
        match event {
            Event::Ended(endpoint, completion, frames) => task.ended(endpoint, completion, frames),
            Event::Frame(job) => task.send(job),
            Event::Freed(endpoint) => task.freed(endpoint),
            Event::Late => task.expire(),
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
            if let Some((handle, frames)) = flying.front_mut()
                && let Poll::Ready(completion) = Pin::new(handle).poll(context)
            {
                let frames = *frames;
                flying.pop_front();
                return Poll::Ready(Event::Ended(endpoint, completion, frames));
            }
        }
        for (endpoint, halt) in self.halts.iter_mut().enumerate() {
            if let Some(halt) = halt
                && halt.clearing.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(Event::Freed(endpoint));
            }
        }
        // A transfer that leads nowhere must not keep the others from being sent, so each endpoint has room of its own;
        // the frame that comes next is not known before it is taken, and so there must be room on all.
        let room = self.flying.iter().all(|flying| flying.len() < IN_FLIGHT);
        let room = room && self.halts.iter().all(Option::is_none);
        if takes && room && self.with.flights.has_place(self.with.cpu.now()) {
            if let Poll::Ready(job) = self.with.flights.queue.poll_take(context) {
                return Poll::Ready(Event::Frame(job));
            }
            if self.with.flights.is_empty() {
                self.time_runs = None;
            }
        }
        if takes && room {
            self.with.flights.ask_for_power(context);
        }
        self.with.flights.watch_places(context);
        Poll::Pending
    }

    /// Sends a frame, and with it others that wait, if the chip takes several in one transfer.
    fn send(&mut self, job: Job) {
        let channel = self.with.state.lock().unwrap_or_else(PoisonError::into_inner).channel;
        let plan = match self.with.planner.plan(job.frame(), channel) {
            Ok(plan) => plan,
            Err(refusal) => return job.failed(InjectErrorKind::Refused(refusal)),
        };
        if self.time_runs.is_none() {
            self.time_runs = Some(self.with.frames.let_time_run());
        }
        let (endpoint, address) = self.with.endpoints.endpoint(plan.repr.queue);
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        let mut frames = Carried::default();
        self.load(&mut buffer, &mut frames, job, plan);
        let most = self.with.most_frames.min(Carried::MOST);
        while usize::from(frames.count) < most && self.with.flights.has_place(self.with.cpu.now()) {
            let mut next = None;
            let job = self.with.flights.queue.take_if(|frame| {
                let start = buffer.len().next_multiple_of(ALIGNMENT);
                // One that is refused ends the transfer; it is told so when it is the first.
                next = self.with.planner.plan(frame, channel).ok().filter(|plan| {
                    self.with.endpoints.endpoint(plan.repr.queue).0 == endpoint
                        && start + DESCRIPTOR_LEN + frame.bytes().len() <= AGGREGATE
                });
                next.is_some()
            });
            let Some((job, plan)) = job.zip(next) else { break };
            buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
            self.load(&mut buffer, &mut frames, job, plan);
        }
        if frames.count > 1 {
            set_frames(&mut buffer, frames.count);
        }
        // A transfer that fills its last packet would go on with the next frame, as the chip sees it.
        let handle = self.with.device.submit(Urb::bulk_out(address, buffer).zero_packet());
        self.flying[endpoint].push_back((handle, frames));
    }

    /// Lays a frame behind its descriptor, and gives it a place in the table.
    fn load(&mut self, buffer: &mut BytesMut, frames: &mut Carried, job: Job, mut plan: Plan) {
        let now = self.with.cpu.now();
        plan.repr.report = if job.frame().report { self.with.flights.next_number(now) } else { None };
        let mpdu = job.frame().bytes();
        let start = buffer.len();
        buffer.reserve(DESCRIPTOR_LEN + mpdu.len());
        buffer.resize(start + DESCRIPTOR_LEN, 0);
        plan.repr.emit(&mut buffer[start..]);
        buffer.extend_from_slice(mpdu);
        frames.push(self.with.flights.enter(job, plan, now + TRANSFER_TIMEOUT));
    }

    /// Gives up on what takes too long.
    fn expire(&mut self) {
        let slow = self.with.flights.expire(self.with.cpu.now());
        for (handle, frames) in self.flying.iter().flatten() {
            if frames.iter().any(|key| slow.contains(&key)) {
                handle.kill();
            }
        }
    }

    fn ended(&mut self, endpoint: usize, completion: Completion, frames: Carried) {
        let Completion { status, buffer, .. } = completion;
        if self.spare.len() < SPARE && buffer.capacity() <= SPARE_SIZE {
            self.spare.push(buffer);
        }
        // One that was called back is one that took too long.
        let status = match status {
            Err(TransferError::Cancelled) => Err(TransferError::Timeout),
            status => status,
        };
        for key in frames.iter() {
            self.with.flights.transferred(key, status, self.with.cpu.now());
        }
        if let Err(source) = status {
            tracing::warn!(%source, endpoint, "a transmit transfer failed");
        }
        if status == Err(TransferError::Stall) {
            self.halted(endpoint);
        }
    }

    /// Ends an endpoint's halt. Each URB behind the one that stalled ends with a stall of its own.
    fn halted(&mut self, endpoint: usize) {
        if let Some(halt) = &mut self.halts[endpoint] {
            halt.again = true;
            return;
        }
        let (device, address) = (self.with.device.clone(), self.with.endpoints.address(endpoint));
        let clearing = Box::pin(async move {
            // If it does not obey, the next transfer tells.
            let _ = device.clear_halt(address).await;
        });
        self.halts[endpoint] = Some(Halt { clearing, again: false });
    }

    fn freed(&mut self, endpoint: usize) {
        if self.halts[endpoint].take().is_some_and(|halt| halt.again) {
            self.halted(endpoint);
        }
    }

    /// Takes every transfer back. Frames whose transfer took place and of which no report came are failed by the caller.
    async fn recall(&mut self) {
        self.halts.clear();
        for (handle, _) in self.flying.iter().flatten() {
            handle.kill();
        }
        let now = self.with.cpu.now();
        for (handle, frames) in core::mem::take(&mut self.flying).into_iter().flatten() {
            let completion = handle.await;
            for key in frames.iter() {
                self.with.flights.transferred(key, completion.status, now);
            }
        }
    }
}
