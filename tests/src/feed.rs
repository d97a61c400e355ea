//! [`Fed`]: a device whose received packets are made up, descriptor, PHY status and all, and not its own.
//!
//! Register accesses and what the host sends reach the device inside. Bulk IN transfers never do: they wait until
//! a [`Feed`] has something for them.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use airlift_hcd::{Descriptors, FunctionUrb, Reply, Submit, UrbId, UsbFunction};

/// The endpoint that received packets come from.
const BULK_IN: u8 = 0x81;

#[derive(Default)]
struct Shared {
    transfers: VecDeque<Vec<u8>>,
    waker: Option<Waker>,
}

/// Feeds a [`Fed`] device.
#[derive(Clone, Default)]
pub struct Feed(Arc<Mutex<Shared>>);

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has these transfers arrive, each by itself, as fast as the host asks for them.
    pub fn offer(&self, transfers: impl IntoIterator<Item = Vec<u8>>) {
        let waker = {
            let mut shared = self.lock();
            shared.transfers.extend(transfers);
            shared.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Forgets what has not arrived yet.
    pub fn clear(&self) {
        self.lock().transfers.clear();
    }

    /// How many have not arrived yet.
    pub fn left(&self) -> usize {
        self.lock().transfers.len()
    }

    fn take(&self) -> Option<Vec<u8>> {
        self.lock().transfers.pop_front()
    }
}

impl core::fmt::Debug for Feed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Feed").field("left", &self.left()).finish_non_exhaustive()
    }
}

/// A device with a [`Feed`].
#[derive(Debug)]
pub struct Fed<F> {
    inner: F,
    feed: Feed,
    waiting: VecDeque<FunctionUrb>,
}

impl<F: UsbFunction> Fed<F> {
    /// Wraps `inner`.
    pub fn new(inner: F) -> (Self, Feed) {
        let feed = Feed::default();
        (Self { inner, feed: feed.clone(), waiting: VecDeque::new() }, feed)
    }
}

impl<F: UsbFunction> UsbFunction for Fed<F> {
    fn descriptors(&self) -> Descriptors {
        self.inner.descriptors()
    }

    fn plugged(&mut self, now: Duration, waker: Waker) {
        self.waiting.clear();
        self.feed.lock().waker = Some(waker.clone());
        self.inner.plugged(now, waker);
    }

    fn submit(&mut self, now: Duration, urb: FunctionUrb) -> Submit {
        if urb.endpoint() == BULK_IN {
            self.waiting.push_back(urb);
            return Submit::Parked;
        }
        self.inner.submit(now, urb)
    }

    fn poll(&mut self, now: Duration) -> Option<Reply> {
        if let Some(urb) = self.waiting.pop_front() {
            match self.feed.take() {
                Some(transfer) => return Some(urb.reply(&transfer)),
                None => self.waiting.push_front(urb),
            }
        }
        self.inner.poll(now)
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.inner.next_deadline()
    }

    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        match self.waiting.iter().position(|urb| urb.id() == id) {
            Some(at) => self.waiting.remove(at),
            None => self.inner.cancel(id),
        }
    }

    fn set_configuration(&mut self, now: Duration, value: u8) {
        self.inner.set_configuration(now, value);
    }

    fn reset(&mut self, now: Duration) {
        self.inner.reset(now);
    }
}
