//! The fault layer above one device: a lane for each endpoint, and one list of what is to be done.
//!
//! Each lane holds back what may not go on yet: behind a silent or delayed URB, or, since failures come in their
//! turn, behind those that the backend below still has. Whatever is to be done (pass on, give back, cancel, report
//! the end) is put on a list under the lock and done outside it, by whoever finds nobody at it: so the order is
//! one, and a backend that gives back from within `submit` finds no lock taken.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;

use airlift_runtime::{Clock, HostTimer, Notifier};

use super::{Fault, Faults};
use crate::backend::{Backend, Connect, DeviceOp, FlatUrb, Upcall};
use crate::descriptor::endpoint_slot;
use crate::function::{Reply, UrbId};
use crate::layer::LayerContext;
use crate::layer::item::Item;
use crate::status::TransferError;
use crate::threads::Threads;
use crate::urb_map::UrbMap;

/// What waits in a lane.
struct Held {
    item: Item,
    fault: Option<Fault>,
    /// Since it came to the front: when its delay is over.
    due: Option<Duration>,
}

/// One endpoint.
#[derive(Default)]
struct Lane {
    held: VecDeque<Held>,
    /// URBs that the backend below has.
    below: usize,
    halted: bool,
}

enum Action {
    Pass(Item),
    Cancel(UrbId),
    GiveBack(Reply),
    Close,
    Gone,
}

/// What the backend below has.
struct Passed {
    slot: usize,
    is_in: bool,
    fault: Option<Fault>,
}

#[derive(Default)]
struct State {
    lanes: [Lane; 32],
    below: UrbMap<Passed>,
    actions: VecDeque<Action>,
    /// Somebody is doing what is on the list.
    acting: bool,
    /// Nothing is passed on any more.
    unplugged: bool,
    gone: bool,
}

impl State {
    /// Lets go on what may, and says when to look again.
    fn pump(&mut self, slot: usize, now: Duration) -> Option<Duration> {
        loop {
            let lane = &mut self.lanes[slot];
            let front = lane.held.front_mut()?;
            let mut fault = front.fault;
            if lane.halted {
                fault = Some(Fault::Fail(TransferError::Stall));
            }
            match fault {
                Some(Fault::Silence) => return None,
                Some(Fault::Fail(_)) if lane.below > 0 => return None,
                Some(Fault::Delay(delay)) => {
                    let due = *front.due.get_or_insert(now.saturating_add(delay));
                    if due > now {
                        return Some(due);
                    }
                }
                _ => {}
            }
            let Held { item, .. } = lane.held.pop_front()?;
            if let Some(Fault::Fail(error)) = fault {
                lane.halted |= error == TransferError::Stall && slot != 0;
                self.actions.push_back(Action::GiveBack(item.end(error)));
                continue;
            }
            self.pass(slot, item, fault);
        }
    }

    fn pass(&mut self, slot: usize, item: Item, fault: Option<Fault>) {
        match &item {
            Item::Operation(_, DeviceOp::ClearHalt(endpoint)) => {
                self.lanes[endpoint_slot(*endpoint)].halted = false;
            }
            Item::Operation(..) => self.lanes.iter_mut().for_each(|lane| lane.halted = false),
            Item::Urb(_) => {}
        }
        let is_in = matches!(&item, Item::Urb(urb) if urb.is_in());
        self.lanes[slot].below += 1;
        self.below.insert(item.id(), Passed { slot, is_in, fault });
        self.actions.push_back(Action::Pass(item));
    }

    /// An URB has come back from below: does to it what its fault says. Returns its lane.
    fn returned(&mut self, reply: &mut Reply) -> Option<usize> {
        let Passed { slot, is_in, fault } = self.below.remove(&reply.id)?;
        self.lanes[slot].below -= 1;
        if let Ok(actual) = reply.status {
            match fault {
                Some(Fault::Short(length)) => {
                    reply.status = Ok(actual.min(length));
                    if is_in {
                        reply.buffer.truncate(length);
                    }
                }
                Some(Fault::Overflow) => reply.status = Err(TransferError::Overflow),
                Some(Fault::Lose(error)) => {
                    reply.status = Err(error);
                    if is_in {
                        reply.buffer.clear();
                    }
                }
                _ => {}
            }
        }
        Some(slot)
    }

    /// Ends whatever is held back.
    fn flush(&mut self, error: TransferError) {
        for lane in &mut self.lanes {
            self.actions.extend(lane.held.drain(..).map(|held| Action::GiveBack(held.item.end(error))));
        }
    }
}

pub(super) struct Link {
    faults: Faults,
    clock: Clock,
    upcall: Arc<dyn Upcall>,
    below: OnceLock<Arc<dyn Backend>>,
    /// Of the thread that ends delays; none if there is no such fault.
    notifier: Option<Notifier>,
    state: Mutex<State>,
    threads: Threads,
}

impl Link {
    pub(super) fn connect(
        faults: Faults,
        context: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<Self>> {
        let name = format!("{}-faults", context.name);
        let timer = faults.may_delay().then(|| context.clock.host_timer(&name));
        let link = Arc::new(Self {
            faults,
            clock: context.clock.clone(),
            upcall,
            below: OnceLock::new(),
            notifier: timer.as_ref().map(HostTimer::notifier),
            state: Mutex::default(),
            threads: Threads::default(),
        });
        let connected = below(Arc::new(LinkUpcall(Arc::downgrade(&link))))?;
        _ = link.below.set(connected);
        if let Some(timer) = timer {
            let served = link.clone();
            match thread::Builder::new().name(name).spawn(move || served.run(timer)) {
                Ok(thread) => link.threads.add(thread),
                Err(error) => {
                    link.close();
                    return Err(error);
                }
            }
        }
        Ok(link)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: lets delayed URBs go when their time has come.
    fn run(&self, mut timer: HostTimer) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.gone {
                    return;
                }
                let now = self.clock.now();
                (0..32).filter_map(|slot| state.pump(slot, now)).min()
            };
            self.act();
            timer.wait_until(next);
        }
    }

    /// Does what is on the list, unless somebody is at it.
    fn act(&self) {
        let mut state = self.lock();
        if state.acting {
            return;
        }
        while let Some(action) = state.actions.pop_front() {
            state.acting = true;
            drop(state);
            self.carry_out(action);
            state = self.lock();
            state.acting = false;
        }
    }

    fn carry_out(&self, action: Action) {
        match (action, self.below.get()) {
            (Action::GiveBack(reply), _) => self.upcall.give_back(&mut vec![reply]),
            (Action::Gone, _) => self.upcall.gone(),
            (Action::Pass(item), Some(below)) => item.pass(&**below),
            (Action::Cancel(id), Some(below)) => below.cancel(id),
            (Action::Close, Some(below)) => below.close(),
            // Nothing is connected below: nobody can have submitted anything.
            (_, None) => {}
        }
    }

    fn enter(&self, slot: usize, item: Item, fault: Option<Fault>) {
        let look_again = {
            let mut state = self.lock();
            if fault == Some(Fault::Unplug) && !state.unplugged {
                state.unplugged = true;
                state.flush(TransferError::Shutdown);
                state.actions.push_back(Action::Close);
            }
            if state.unplugged || state.gone {
                state.actions.push_back(Action::GiveBack(item.end(TransferError::Shutdown)));
                None
            } else {
                state.lanes[slot].held.push_back(Held { item, fault, due: None });
                state.pump(slot, self.clock.now())
            }
        };
        self.act();
        self.look_again(look_again);
    }

    fn look_again(&self, due: Option<Duration>) {
        if let (Some(_), Some(notifier)) = (due, &self.notifier) {
            notifier.notify();
        }
    }
}

impl Backend for Link {
    fn submit(&self, urb: FlatUrb) {
        let fault = self.faults.judge(urb.transfer_type, urb.endpoint, urb.setup, urb.length);
        self.enter(endpoint_slot(urb.endpoint), Item::Urb(urb), fault);
    }

    fn operate(&self, id: UrbId, op: DeviceOp) {
        let control = crate::descriptor::TransferType::Control;
        let fault = op.setup().and_then(|setup| self.faults.judge(control, 0, Some(setup), 0));
        self.enter(0, Item::Operation(id, op), fault);
    }

    fn cancel(&self, id: UrbId) {
        let due = {
            let mut state = self.lock();
            let found = (0..32).find_map(|slot| {
                let at = state.lanes[slot].held.iter().position(|held| held.item.id() == id)?;
                Some((slot, state.lanes[slot].held.remove(at)?))
            });
            match found {
                Some((slot, held)) => {
                    state.actions.push_back(Action::GiveBack(held.item.end(TransferError::Cancelled)));
                    // It may have been what the others waited for.
                    state.pump(slot, self.clock.now())
                }
                None => {
                    state.actions.push_back(Action::Cancel(id));
                    None
                }
            }
        };
        self.act();
        self.look_again(due);
    }

    fn close(&self) {
        self.lock().actions.push_back(Action::Close);
        self.act();
    }

    fn reap(&self) {
        self.threads.join_blocking();
        if let Some(below) = self.below.get() {
            below.reap();
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("faults", &self.faults).finish_non_exhaustive()
    }
}

/// What the backend below reports to. It holds no more than a weak handle, for the link holds that backend.
struct LinkUpcall(Weak<Link>);

impl Upcall for LinkUpcall {
    fn give_back(&self, replies: &mut Vec<Reply>) {
        let Some(link) = self.0.upgrade() else {
            replies.clear();
            return;
        };
        let due = {
            let (mut state, now) = (link.lock(), link.clock.now());
            let mut slots = 0_u32;
            for mut reply in replies.drain(..) {
                slots |= state.returned(&mut reply).map_or(0, |slot| 1 << slot);
                state.actions.push_back(Action::GiveBack(reply));
            }
            (0..32).filter(|slot| slots & 1 << slot != 0).filter_map(|slot| state.pump(slot, now)).min()
        };
        link.act();
        link.look_again(due);
    }

    fn gone(&self) {
        let Some(link) = self.0.upgrade() else { return };
        {
            let mut state = link.lock();
            state.gone = true;
            state.flush(TransferError::Shutdown);
            state.actions.push_back(Action::Gone);
        }
        link.act();
        if let Some(notifier) = &link.notifier {
            notifier.notify();
        }
    }
}
