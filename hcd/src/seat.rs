//! [`Seat`]: the place of a device behind a [`Port`](crate::Port), which outlives the device when that drops itself
//! off the bus and comes back as another one.
//!
//! ```text
//!   HostController ── connect ──► Seat ── occupant ──► device 1 ──► backend
//!                                  │  ▲                   │ leaves by itself
//!                                  │  └── way back ◄──────┘
//!                                  └── occupant ──► device 2 (another id, the same location)
//! ```
//!
//! A function in this process is put back by the seat itself, when its time has come. A device outside does not say
//! that it is about to come back, so it is looked for only while [`UsbDevice::returned`] waits for it.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;

use airlift_runtime::Cpu;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{Either, Shared, select};

use crate::backend::Connect;
use crate::controller::{Core, Ended, User};
use crate::device::{DeviceId, DeviceInner, Identity, UsbDevice};
use crate::function::{Departure, UsbFunction};
use crate::function_host::FunctionHost;
use crate::layer::{Layer, LayerContext, stack};
use crate::outside::{ReturnProblem, WayBack};

/// How long after an attempt to open a device outside that came back the next one is made.
const ATTEMPT_EVERY: Duration = Duration::from_millis(100);

/// The name of the task and of the thread that see to a function's return.
const RETURN: &str = "hcd return";

/// Why a device that left is not there again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReturnError {
    /// Its time is over.
    #[error("it did not come back within {} s{}", .limit.as_secs_f32(), shown(.problem.as_ref()))]
    Late {
        /// How long it was waited for.
        limit: Duration,
        /// What the last look for it showed, where there is something to look at.
        problem: Option<ReturnProblem>,
    },
    /// Its port was dropped or let go of it, or the kernel core has shut down: nobody waits for it any more. Or its
    /// function panicked instead of coming back.
    #[error("its port let go of it")]
    LetGo,
}

fn shown(problem: Option<&ReturnProblem>) -> String {
    problem.map(|problem| format!(": {problem}")).unwrap_or_default()
}

/// Held by whoever has a device of the seat, or is about to have one: its backend, the thread that opens it, the
/// thread that keeps a function which is away.
pub(crate) type Hold = Arc<oneshot::Sender<()>>;

/// Ends when every [`Hold`] has been dropped.
pub(crate) type Emptied = Shared<oneshot::Receiver<()>>;

/// See the module's text.
pub(crate) struct Seat {
    core: Arc<Core>,
    user: Weak<User>,
    layers: Vec<Box<dyn Layer>>,
    /// `None`: who sits here comes back by itself.
    way_back: Option<Box<dyn WayBack>>,
    state: Mutex<State>,
    emptied: Emptied,
}

#[derive(Default)]
struct State {
    /// What holds are made of; `None` once the port let go.
    hold: Option<Hold>,
    occupant: Option<Arc<DeviceInner>>,
    /// The port let go: nobody sits here any more.
    closed: bool,
    /// Whoever was to come back cannot.
    lost: bool,
    next_watch: u64,
    /// Of those who wait for a change.
    wakers: Vec<(u64, Waker)>,
}

/// Waits for changes of a seat. What it left there goes with it.
struct Watch {
    seat: Weak<Seat>,
    number: u64,
}

impl Watch {
    fn new(seat: &Weak<Seat>) -> Self {
        let mut watch = Self { seat: seat.clone(), number: 0 };
        if let Some(seat) = seat.upgrade() {
            let mut state = seat.lock();
            watch.number = state.next_watch;
            state.next_watch += 1;
        }
        watch
    }

    /// Looks at the state until that helps, each time that it changes; `None` if the seat is gone.
    fn until<T>(&self, look: impl Fn(&State) -> Option<T>) -> impl Future<Output = Option<T>> {
        poll_fn(move |context| {
            let Some(seat) = self.seat.upgrade() else { return Poll::Ready(None) };
            let mut state = seat.lock();
            if let Some(found) = look(&state) {
                return Poll::Ready(Some(found));
            }
            match state.wakers.iter_mut().find(|(number, _)| *number == self.number) {
                Some((_, waker)) => waker.clone_from(context.waker()),
                None => state.wakers.push((self.number, context.waker().clone())),
            }
            Poll::Pending
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.upgrade() {
            seat.lock().wakers.retain(|(number, _)| *number != self.number);
        }
    }
}

impl Seat {
    pub(crate) fn new(
        user: &Arc<User>,
        layers: &[&dyn Layer],
        way_back: Option<Box<dyn WayBack>>,
    ) -> Arc<Self> {
        let (hold, emptied) = oneshot::channel();
        Arc::new(Self {
            core: user.core.clone(),
            user: Arc::downgrade(user),
            layers: layers.iter().map(|layer| layer.boxed()).collect(),
            way_back,
            state: Mutex::new(State { hold: Some(Arc::new(hold)), ..State::default() }),
            emptied: emptied.shared(),
        })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// For whoever is to be waited for when the port has let go; `None` if it has.
    pub(crate) fn hold(&self) -> Option<Hold> {
        self.lock().hold.clone()
    }

    /// Whether the port has let go.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends when nobody has a device of this seat any more. Not before it is [closed](Self::close).
    pub(crate) fn emptied(&self) -> Emptied {
        self.emptied.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who sits here, or sat here last.
    pub(crate) fn occupant(&self) -> Option<Arc<DeviceInner>> {
        self.lock().occupant.clone()
    }

    /// Connects a device through whatever backend `bottom` makes, below the layers. If that fails, or the port has let
    /// go, the device is one that was unplugged at once. One that could not be connected does not sit here, nor does
    /// one that has left, and whose successor is here, before this returns.
    ///
    /// The device has `hold` until it is gone: it was asked for before, so that the port, if it lets go meanwhile,
    /// waits for this one too.
    pub(crate) fn connect(
        self: &Arc<Self>,
        hold: Option<Hold>,
        identity: Identity,
        bottom: Box<Connect<'_>>,
    ) -> (Arc<DeviceInner>, io::Result<()>) {
        let core = &self.core;
        let name = identity.info.location.clone();
        let inner = Arc::new(DeviceInner::new(core.clone(), identity, Arc::downgrade(self)));
        let upcall = core.upcall_of(&inner, hold);
        let context = LayerContext { clock: core.clock(), name: &name };
        let layers: Vec<&dyn Layer> = self.layers.iter().map(|layer| &**layer).collect();
        let connected = stack(&layers, &context, upcall, bottom).map(|backend| inner.connected(backend));
        if connected.is_err() {
            core.queue([Ended::Device(inner.clone())]);
        }
        let (stays, wakers) = {
            let mut state = self.lock();
            let id = |device: &Arc<DeviceInner>| device.identity.info.id;
            let sits =
                connected.is_ok() && state.occupant.as_ref().is_none_or(|other| id(other) < id(&inner));
            if sits {
                state.occupant = Some(inner.clone());
            }
            (sits && !state.closed, core::mem::take(&mut state.wakers))
        };
        match self.user.upgrade().filter(|_| stays) {
            Some(user) => core.arrive(&UsbDevice::new(inner.clone(), user)),
            None => inner.unplug(),
        }
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
        (inner, connected)
    }

    /// Plugs a function in, at `location` if it has one already. It has `hold` for as long as it is there or away.
    pub(crate) fn plug(
        self: &Arc<Self>,
        hold: Option<Hold>,
        function: Box<dyn UsbFunction>,
        location: Option<String>,
    ) -> (Arc<DeviceInner>, io::Result<()>) {
        let host = FunctionHost::of(function);
        let mut identity = Identity::of_function(self.core.next_id(), host.descriptors());
        if let Some(location) = location {
            identity.info.location = location;
        }
        let (name, clock, seat) = (identity.info.location.clone(), self.core.clock(), Arc::downgrade(self));
        let (at, kept_with) = (name.clone(), hold.clone());
        let departed = move |function, departure| {
            match seat.upgrade() {
                Some(seat) => seat.departed(function, departure, at, kept_with.as_ref()),
                None => drop(function),
            }
            // Not before: its device, which is gone, has none any more.
            drop(kept_with);
        };
        let bottom =
            |upcall| crate::backend::mock::MockBackend::start(clock, &name, host, upcall, Box::new(departed));
        let (device, connected) = self.connect(hold, identity, Box::new(bottom));
        if let Err(error) = &connected {
            tracing::error!(device = %name, %error, "cannot start the threads of a mock device");
        }
        (device, connected)
    }

    /// A function has dropped itself off the bus: keeps it until it is to be plugged in again.
    ///
    /// Its code, that of layers too, never runs on the kernel core: a thread has it meanwhile, and plugs it in or drops
    /// it when a task, which can wait for the kernel's time, says so.
    fn departed(
        self: &Arc<Self>,
        function: Box<dyn UsbFunction>,
        departure: Departure,
        location: String,
        hold: Option<&Hold>,
    ) {
        let Some(absence) = departure.absence() else { return };
        let (hold, seat) = (hold.cloned(), Arc::downgrade(self));
        let (tell, told) = mpsc::channel();
        let keep = {
            let seat = seat.clone();
            move || {
                // Until the function is dropped, or plugged in.
                let held = hold.clone();
                // With a timer comes virtual time that waits until this is done. No word at all: the kernel core has
                // shut down.
                let word = told.recv();
                let back = matches!(word, Ok((true, _)));
                let seat = seat.upgrade();
                let done = catch_unwind(AssertUnwindSafe(|| match seat.as_ref().filter(|_| back) {
                    Some(seat) => seat.plug(hold, function, Some(location)).1.is_ok(),
                    None => {
                        drop(function);
                        true
                    }
                }));
                if let Some(seat) = seat.filter(|_| !matches!(done, Ok(true))) {
                    tracing::error!("a USB function that left the bus cannot come back");
                    seat.lose();
                }
                drop((word, held));
            }
        };
        if let Err(error) = thread::Builder::new().name(RETURN.into()).spawn(keep) {
            tracing::error!(%error, "cannot start the thread that keeps a USB function that left the bus");
            return self.lose();
        }
        let clock = self.core.clock().clone();
        // Asked for before it is handed over, so that no port is kept by what waits for it.
        let kept = self.core.kernel.spawn_service(RETURN, move |cpu| async move {
            let watch = Watch::new(&seat);
            let let_go = pin!(watch.until(|state| state.closed.then_some(())));
            let back = matches!(select(let_go, pin!(cpu.sleep(absence))).await, Either::Right(_));
            _ = tell.send((back, clock.host_timer(RETURN)));
        });
        drop(kept);
    }

    /// Nobody comes back any more.
    fn lose(&self) {
        let wakers = {
            let mut state = self.lock();
            state.lost = true;
            core::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// The port lets go of whoever sits here, or would sit here later.
    pub(crate) fn close(&self) {
        let (occupant, hold, wakers) = {
            let mut state = self.lock();
            state.closed = true;
            (state.occupant.clone(), state.hold.take(), core::mem::take(&mut state.wakers))
        };
        if hold.is_some() {
            self.core.leaving(self.emptied());
        }
        drop(hold);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
        if let Some(occupant) = occupant {
            occupant.unplug();
        }
    }

    /// Who sits here after `left`; `Err` when nobody will.
    fn successor(state: &State, left: DeviceId) -> Option<Result<Arc<DeviceInner>, ReturnError>> {
        if state.closed {
            return Some(Err(ReturnError::LetGo));
        }
        match state.occupant.as_ref().filter(|occupant| occupant.identity.info.id != left) {
            Some(occupant) => Some(Ok(occupant.clone())),
            None => state.lost.then_some(Err(ReturnError::LetGo)),
        }
    }

    /// Waits until somebody else than `left` sits here; looks for a device outside meanwhile.
    async fn wait(
        self: &Arc<Self>,
        cpu: &Cpu,
        left: &UsbDevice,
        limit: Duration,
    ) -> Result<Arc<DeviceInner>, ReturnError> {
        let problem = Mutex::new(None);
        let watch = Watch::new(&Arc::downgrade(self));
        let changed = pin!(watch.until(|state| Self::successor(state, left.id())));
        let looking = async {
            let Some(way_back) = &self.way_back else { return core::future::pending().await };
            // What it had is to be given back before it is opened again.
            left.closed().await;
            loop {
                match way_back.look(self).await {
                    // Whoever sits here now is seen by the other half.
                    Ok(()) => return core::future::pending().await,
                    Err(error) => *problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
                }
                cpu.sleep(ATTEMPT_EVERY).await;
            }
        };
        let looking = pin!(looking);
        match select(select(changed, looking), pin!(cpu.sleep(limit))).await {
            Either::Left((Either::Left((found, _)) | Either::Right((found, _)), _)) => {
                found.unwrap_or(Err(ReturnError::LetGo))
            }
            Either::Right(_) => {
                let problem = problem.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(ReturnError::Late { limit, problem })
            }
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("occupant", &self.occupant()).finish_non_exhaustive()
    }
}

impl UsbDevice {
    /// Waits until the device, which has dropped itself off the bus or is about to, is there again in the same place,
    /// and returns it as the new device that it is: another id, maybe other descriptors, another speed, behind layers
    /// as before. Its port has it from now on.
    ///
    /// A [function](UsbFunction) comes back by itself, whether or not anybody waits. A device on the system's bus is
    /// looked for ten times a second and opened as it was opened before: one with the same ids and serial number at
    /// the same port or, since that of USB 3 is another one on another bus, at the one that Linux calls its peer; where
    /// the system tells of no peer, at the same ports of any bus, or anywhere if it is the only one of its kind that
    /// was not there before. A device imported over USB/IP is imported anew under the same bus id: a server of this
    /// crate offers it again as soon as it is back, Linux's only after `usbip bind`, and under the new bus id, if it
    /// came back on another bus.
    ///
    /// # Cancel safety
    /// Dropping the future gives the wait up. One that is being opened or was opened meanwhile stays in the port.
    ///
    /// # Errors
    /// Every [`ReturnError`]; after `limit` at the latest.
    pub async fn returned(&self, limit: Duration) -> Result<Self, ReturnError> {
        let seat = self.inner.seat.upgrade().ok_or(ReturnError::LetGo)?;
        let (mut tell, told) = oneshot::channel();
        let left = self.clone();
        let waiting = self.kernel().spawn_service("hcd wait", move |cpu| async move {
            let back = async {
                let found = seat.wait(&cpu, &left, limit).await;
                drop((seat, left));
                found
            };
            match select(pin!(back), tell.cancellation()).await {
                Either::Left((found, _)) => _ = tell.send(found),
                Either::Right(_) => {}
            }
        });
        drop(waiting.map_err(|_| ReturnError::LetGo)?);
        let inner = told.await.unwrap_or(Err(ReturnError::LetGo))?;
        Ok(self.beside(inner))
    }
}

#[cfg(test)]
mod tests {
    use airlift_runtime::{Clock, Kernel};
    use futures::task::noop_waker;

    use super::*;
    use crate::controller::HostController;

    #[test]
    fn a5_a_wait_that_was_given_up_leaves_nothing_in_the_seat() {
        let kernel = Kernel::builder().name("seat").clock(Clock::virtual_time()).build().unwrap();
        let controller = HostController::new(&kernel.handle()).unwrap();
        let seat = Seat::new(&controller.user(), &[], None);
        let wakers = || seat.lock().wakers.len();
        let (waker, watch) = (noop_waker(), Watch::new(&Arc::downgrade(&seat)));
        let mut context = core::task::Context::from_waker(&waker);
        for _ in 0..3 {
            let given_up = Watch::new(&Arc::downgrade(&seat));
            for watch in [&watch, &given_up, &watch] {
                let closed = pin!(watch.until(|state| state.closed.then_some(())));
                assert!(closed.poll(&mut context).is_pending());
            }
            assert_eq!(wakers(), 2);
            drop(given_up);
            assert_eq!(wakers(), 1);
        }
        seat.close();
        let closed = pin!(watch.until(|state| state.closed.then_some(())));
        assert!(closed.poll(&mut context).is_ready());
    }
}
