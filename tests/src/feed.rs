//! [`Fed`]: a device whose received packets are made up, descriptor, PHY status and all, and not its own.
//!
//! Register accesses and what the host sends reach the device inside. Bulk IN transfers never do: they wait until
//! a [`Feed`] has something for them.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use airlift_hcd::{Departure, Descriptors, FunctionUrb, Reply, Submit, UrbId, UsbFunction};

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
    /// The endpoint that received packets come from.
    bulk_in: Option<u8>,
    waiting: VecDeque<FunctionUrb>,
}

impl<F: UsbFunction> Fed<F> {
    /// Wraps `inner`.
    pub fn new(inner: F) -> (Self, Feed) {
        let feed = Feed::default();
        let bulk_in = bulk_in(&inner.descriptors().configuration);
        (Self { inner, feed: feed.clone(), bulk_in, waiting: VecDeque::new() }, feed)
    }
}

impl<F: UsbFunction> UsbFunction for Fed<F> {
    fn descriptors(&self) -> Descriptors {
        self.inner.descriptors()
    }

    fn departs(&mut self, now: Duration) -> Option<Departure> {
        self.inner.departs(now)
    }

    fn plugged(&mut self, now: Duration, waker: Waker) {
        self.waiting.clear();
        self.feed.lock().waker = Some(waker.clone());
        self.inner.plugged(now, waker);
    }

    fn submit(&mut self, now: Duration, urb: FunctionUrb) -> Submit {
        if Some(urb.endpoint()) == self.bulk_in {
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

/// The first bulk IN endpoint of a configuration (USB 2.0, section 9.6.6).
fn bulk_in(mut configuration: &[u8]) -> Option<u8> {
    while let [length, kind, rest @ ..] = configuration {
        if let (5, [address @ 0x80..=0xff, 2, ..]) = (kind, rest) {
            return Some(*address);
        }
        configuration = configuration.get(usize::from(*length).max(2)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlift_emu::Model;

    #[test]
    fn v5_packets_arrive_where_the_chip_has_its_bulk_in_endpoint() {
        let endpoint = |model: Model| bulk_in(&model.builder().build().descriptors().configuration);
        assert_eq!(endpoint(Model::Rtl8812au), Some(0x81));
        assert_eq!(endpoint(Model::Rtl8821au), Some(0x84));
        assert_eq!(bulk_in(&[9, 2, 9, 0]), None);
    }
}
