//! [`TxQueue`]: the frames on their way from applications to the kernel task that sends them.
//!
//! Any number of senders on any thread, one taker. Bounded by frames and by bytes; senders that find it full wait in
//! the order in which they came. Each frame is a [`Job`], which answers whoever handed it in exactly once, whatever
//! becomes of it: also when the queue is closed, or the task that took it is dropped.

use core::fmt;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;

use super::sink::SinkState;
use super::{InjectError, InjectErrorKind, Outcome, TxFrame, TxStats};
use crate::error::{Error, ErrorKind, Stage};

/// Frames in the queue.
const FRAMES: usize = 64;
/// Bytes of the frames in the queue; one frame fits in any case.
const BYTES: usize = 256 * 1024;

/// What became of a frame.
pub(crate) type Sent = Result<Outcome, InjectError>;

/// Who is told what became of a frame.
pub(crate) enum Asker {
    Ticket(oneshot::Sender<Sent>),
    Sink(Arc<SinkState>),
}

/// A frame to be sent.
pub(crate) struct Job {
    /// Both are `None` once the asker was told.
    frame: Option<TxFrame>,
    asker: Option<Asker>,
    counts: Arc<Mutex<TxStats>>,
    /// It was taken into the queue, and counted.
    accepted: bool,
    /// The chip was given the frame.
    given_to_chip: bool,
}

impl Job {
    pub(crate) fn frame(&self) -> &TxFrame {
        self.frame.as_ref().expect("a job has its frame until it is over")
    }

    /// Says that the chip was given the frame.
    pub(crate) fn given_to_chip(&mut self) {
        self.given_to_chip = true;
    }

    /// Whether nobody is interested any more. The frame is sent all the same.
    #[cfg(test)]
    fn is_abandoned(&self) -> bool {
        matches!(&self.asker, Some(Asker::Ticket(ticket)) if ticket.is_canceled())
    }

    /// The frame was sent.
    pub(crate) fn done(mut self, outcome: Outcome) {
        self.frame = None;
        self.tell(Ok(outcome), true);
    }

    /// The frame was not sent, or it is not known whether it was.
    pub(crate) fn failed(mut self, kind: InjectErrorKind) {
        self.fail(kind, true);
    }

    fn fail(&mut self, kind: InjectErrorKind, in_flight: bool) {
        if let Some(frame) = self.frame.take() {
            let error = InjectError::new(frame, kind);
            let error = if self.given_to_chip { error.after_transfer() } else { error };
            self.tell(Err(error), in_flight);
        }
    }

    fn tell(&mut self, sent: Sent, in_flight: bool) {
        if self.accepted {
            let mut counts = lock(&self.counts);
            if in_flight {
                counts.in_flight = counts.in_flight.saturating_sub(1);
            }
            counts.count(&sent);
        }
        match self.asker.take() {
            Some(Asker::Ticket(ticket)) => {
                // Nobody may be waiting any more.
                let _ = ticket.send(sent);
            }
            Some(Asker::Sink(sink)) => sink.over(sent),
            None => {}
        }
    }
}

impl Drop for Job {
    /// One that is not over is told that the kernel has dropped its task.
    fn drop(&mut self) {
        if self.frame.is_some() {
            let gone = Error::new(Stage::Up, ErrorKind::Kernel("shut down".into()));
            self.fail(InjectErrorKind::Interface(gone), true);
        }
    }
}

/// The queue. See the module.
pub(crate) struct TxQueue {
    inner: Mutex<Inner>,
    counts: Arc<Mutex<TxStats>>,
}

struct Inner {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// Why nothing is taken any more.
    closed: Option<Error>,
    taker: Option<Waker>,
    /// Senders that wait for room, in order.
    waiting: VecDeque<(u64, Waker)>,
    next_key: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TxQueue {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                jobs: VecDeque::with_capacity(FRAMES),
                bytes: 0,
                closed: None,
                taker: None,
                waiting: VecDeque::new(),
                next_key: 0,
            }),
            counts: Arc::default(),
        }
    }

    pub(crate) fn stats(&self) -> TxStats {
        *lock(&self.counts)
    }

    /// Notes a report that no frame waited for.
    pub(crate) fn stray_report(&self) {
        lock(&self.counts).stray_reports += 1;
    }

    /// A frame that is to be handed in.
    pub(crate) fn job(&self, frame: TxFrame, asker: Asker) -> Job {
        let counts = self.counts.clone();
        Job { frame: Some(frame), asker: Some(asker), counts, accepted: false, given_to_chip: false }
    }

    /// Hands in `job`, or waits for room. `place` is the sender's place among those that wait; whoever stops waiting
    /// must [`leave`](Self::leave) it. A queue that is closed takes the job too, and answers it.
    pub(crate) fn poll_push(
        &self,
        context: &mut Context<'_>,
        job: &mut Option<Job>,
        place: &mut Option<u64>,
    ) -> Poll<()> {
        let mut inner = lock(&self.inner);
        if let Some(reason) = inner.closed.clone() {
            *place = None;
            drop(inner);
            if let Some(mut job) = job.take() {
                job.fail(InjectErrorKind::Interface(reason), false);
            }
            return Poll::Ready(());
        }
        // Those ahead keep their room, whether they come for it or not; what is beyond that is anybody's.
        let waits = |key| inner.waiting.iter().position(|(other, _)| *other == key);
        let ahead = place.and_then(waits).unwrap_or(inner.waiting.len());
        let length = job.as_ref().map_or(0, |job| job.frame().bytes().len());
        if ahead != 0 && ahead >= inner.free() || !inner.has_room(length) {
            inner.wait(place, context.waker());
            return Poll::Pending;
        }
        if let Some(key) = place.take() {
            inner.waiting.retain(|(other, _)| *other != key);
        }
        if let Some(mut job) = job.take() {
            job.accepted = true;
            {
                let mut counts = lock(&self.counts);
                counts.accepted += 1;
                counts.waiting += 1;
            }
            inner.bytes += length;
            inner.jobs.push_back(job);
        }
        let taker = inner.taker.take();
        let next = inner.next_senders();
        drop(inner);
        for waker in taker.into_iter().chain(next) {
            waker.wake();
        }
        Poll::Ready(())
    }

    /// Gives up a place among those that wait.
    pub(crate) fn leave(&self, place: &mut Option<u64>) {
        let Some(key) = place.take() else { return };
        let mut inner = lock(&self.inner);
        inner.waiting.retain(|(other, _)| *other != key);
        // It may have been the one that was woken.
        let next = inner.next_senders();
        drop(inner);
        next.into_iter().for_each(Waker::wake);
    }

    /// The next frame. For the one task that sends.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Job> {
        let mut inner = lock(&self.inner);
        let Some(job) = inner.jobs.pop_front() else {
            inner.taker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let next = self.taken(&mut inner, &job);
        drop(inner);
        next.into_iter().for_each(Waker::wake);
        Poll::Ready(job)
    }

    /// Ready when there is a next frame. For the one task that sends.
    pub(crate) fn poll_waiting(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = lock(&self.inner);
        if !inner.jobs.is_empty() {
            return Poll::Ready(());
        }
        inner.taker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The next frame, if one is there and `wanted`. Asked with the queue locked.
    pub(crate) fn take_if(&self, wanted: impl FnOnce(&TxFrame) -> bool) -> Option<Job> {
        let mut inner = lock(&self.inner);
        let is_wanted = inner.jobs.front().is_some_and(|job| wanted(job.frame()));
        let job = if is_wanted { inner.jobs.pop_front() } else { None }?;
        let next = self.taken(&mut inner, &job);
        drop(inner);
        next.into_iter().for_each(Waker::wake);
        Some(job)
    }

    /// Counts a job that left the queue, and tells which senders have room now.
    fn taken(&self, inner: &mut Inner, job: &Job) -> Vec<Waker> {
        inner.bytes -= job.frame().bytes().len();
        let mut counts = lock(&self.counts);
        counts.waiting -= 1;
        counts.in_flight += 1;
        inner.next_senders()
    }

    /// Nothing is taken any more, and what waits fails for `reason`. The first reason stays.
    pub(crate) fn close(&self, reason: &Error) {
        let (jobs, waiting, reason) = {
            let mut inner = lock(&self.inner);
            let reason = inner.closed.get_or_insert_with(|| reason.clone()).clone();
            inner.bytes = 0;
            let jobs = core::mem::take(&mut inner.jobs);
            let mut counts = lock(&self.counts);
            counts.waiting -= jobs.len() as u64;
            counts.in_flight += jobs.len() as u64;
            (jobs, core::mem::take(&mut inner.waiting), reason)
        };
        for job in jobs {
            job.failed(InjectErrorKind::Interface(reason.clone()));
        }
        for (_, waker) in waiting {
            waker.wake();
        }
    }
}

impl Inner {
    fn has_room(&self, length: usize) -> bool {
        self.jobs.is_empty() || self.jobs.len() < FRAMES && self.bytes + length <= BYTES
    }

    fn wait(&mut self, place: &mut Option<u64>, waker: &Waker) {
        let waiting = place.and_then(|key| self.waiting.iter_mut().find(|(other, _)| *other == key));
        match waiting {
            Some((_, old)) => old.clone_from(waker),
            None => {
                *place = Some(self.next_key);
                self.waiting.push_back((self.next_key, waker.clone()));
                self.next_key += 1;
            }
        }
    }

    /// Frames for which there is room.
    fn free(&self) -> usize {
        FRAMES.saturating_sub(self.jobs.len())
    }

    /// The senders that may try now. Not the first alone: it may have been set aside, and is no reason to stand still.
    fn next_senders(&self) -> Vec<Waker> {
        let free = if self.has_room(0) { self.free().max(1) } else { 0 };
        self.waiting.iter().take(free).map(|(_, waker)| waker.clone()).collect()
    }
}

impl fmt::Debug for TxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxQueue").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
