//! Hotplug: devices that come and go, as a stream.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::Stream;

use crate::controller::User;
use crate::device::{DeviceId, UsbDevice};

/// A device came or went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HotplugEvent {
    /// A device is there. It is enumerated and configured.
    Arrived(UsbDevice),
    /// A device that had arrived is gone.
    Left(DeviceId),
}

/// A stream of [`HotplugEvent`]s; made by [`HostController::hotplug`](crate::HostController::hotplug).
///
/// It opens with the devices that are there already, and ends when the kernel core was shut down. A reader that
/// falls behind pins no memory for devices that came and went meanwhile: it hears of neither. Cancelling a `next`
/// loses nothing.
pub struct Hotplug {
    queue: Arc<Queue>,
    /// Keeps the controller: a device may still arrive.
    _user: Arc<User>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: VecDeque<HotplugEvent>,
    waker: Option<Waker>,
    ended: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The controller's side: everybody who listens.
#[derive(Default)]
pub(crate) struct Listeners {
    queues: Vec<Weak<Queue>>,
    ended: bool,
}

impl Listeners {
    /// Adds a listener to whom `present` arrived already.
    pub(crate) fn listen(&mut self, present: Vec<UsbDevice>, user: Arc<User>) -> Hotplug {
        let events = present.into_iter().map(HotplugEvent::Arrived).collect();
        let state = State { events, waker: None, ended: self.ended };
        let queue = Arc::new(Queue { state: Mutex::new(state) });
        if !self.ended {
            self.queues.push(Arc::downgrade(&queue));
        }
        Hotplug { queue, _user: user }
    }

    /// Queues an event for all; the wakers are to be woken, and what is to be dropped dropped, without a lock.
    pub(crate) fn tell(&mut self, event: &HotplugEvent) -> (Vec<Waker>, Vec<HotplugEvent>) {
        let (mut wakers, mut dropped) = (Vec::new(), Vec::new());
        self.queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let mut state = queue.lock();
            let unread = match event {
                HotplugEvent::Left(id) => state
                    .events
                    .iter()
                    .position(|other| matches!(other, HotplugEvent::Arrived(device) if device.id() == *id)),
                HotplugEvent::Arrived(_) => None,
            };
            match unread {
                Some(at) => dropped.extend(state.events.remove(at)),
                None => state.events.push_back(event.clone()),
            }
            wakers.extend(state.waker.take());
            drop(state);
            true
        });
        (wakers, dropped)
    }

    /// Ends all streams, behind what is queued.
    pub(crate) fn end(&mut self) -> Vec<Waker> {
        self.ended = true;
        let queues = self.queues.drain(..).filter_map(|queue| queue.upgrade());
        queues
            .filter_map(|queue| {
                let mut state = queue.lock();
                state.ended = true;
                state.waker.take()
            })
            .collect()
    }
}

impl Stream for Hotplug {
    type Item = HotplugEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<HotplugEvent>> {
        let mut state = self.queue.lock();
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for Hotplug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hotplug").field("queued", &self.queue.lock().events.len()).finish_non_exhaustive()
    }
}
