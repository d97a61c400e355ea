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
use core::pin::{Pin, pin};
use core::task::{Poll, Waker};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use airlift_runtime::Cpu;
use futures::channel::oneshot;
use futures::future::{Either, select};

use crate::backend::{Connect, Upcall};
use crate::controller::{Core, DeviceUpcall, Ended, User};
use crate::device::{DeviceId, DeviceInner, Identity, UsbDevice};
use crate::function::{Departure, UsbFunction};
use crate::function_host::FunctionHost;
use crate::layer::{Layer, LayerContext, stack};

/// How long after an attempt to open a device outside that came back the next one is made.
const ATTEMPT_EVERY: Duration = Duration::from_millis(100);

/// Why a device that left is not there again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReturnError {
    /// Its time is over.
    #[error("it did not come back within {} s{}", .limit.as_secs_f32(), shown(.problem.as_deref()))]
    Late {
        /// How long it was waited for.
        limit: Duration,
        /// What the last look for it showed, where there is something to look at.
        problem: Option<String>,
    },
    /// Its port was dropped or let go of it, or the kernel core has shut down: nobody waits for it any more.
    #[error("its port let go of it")]
    LetGo,
}

fn shown(problem: Option<&str>) -> String {
    problem.map(|problem| format!(": {problem}")).unwrap_or_default()
}

/// A device that was found again: what it says of itself, and what connects it.
pub(crate) type Found = (Identity, Box<Connect<'static>>);

/// Looks once for a device outside, and opens it; else tells what is wrong.
pub(crate) type Look<'a> = Pin<Box<dyn Future<Output = Result<Found, String>> + 'a>>;

/// How a device outside is found again.
pub(crate) trait WayBack: Send + Sync {
    /// Looks for it. If it is there, it is opened, and has the name `id` from now on.
    fn look(&self, id: DeviceId) -> Look<'_>;
}

/// See the module's text.
pub(crate) struct Seat {
    core: Arc<Core>,
    user: Weak<User>,
    layers: Vec<Box<dyn Layer>>,
    /// `None`: who sits here comes back by itself.
    way_back: Option<Box<dyn WayBack>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    occupant: Option<Arc<DeviceInner>>,
    /// The port let go: nobody sits here any more.
    closed: bool,
    wakers: Vec<Waker>,
}

impl Seat {
    pub(crate) fn new(
        user: &Arc<User>,
        layers: &[&dyn Layer],
        way_back: Option<Box<dyn WayBack>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            core: user.core.clone(),
            user: Arc::downgrade(user),
            layers: layers.iter().map(|layer| layer.boxed()).collect(),
            way_back,
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who sits here, or sat here last.
    pub(crate) fn occupant(&self) -> Option<Arc<DeviceInner>> {
        self.lock().occupant.clone()
    }

    /// Connects a device through whatever backend `bottom` makes, below the layers. If that fails, or the port has let
    /// go, the device is one that was unplugged at once.
    pub(crate) fn connect(
        self: &Arc<Self>,
        identity: Identity,
        bottom: Box<Connect<'_>>,
    ) -> (Arc<DeviceInner>, io::Result<()>) {
        let core = &self.core;
        let name = identity.info.location.clone();
        let inner = Arc::new(DeviceInner::new(core.clone(), identity, Arc::downgrade(self)));
        let upcall: Arc<dyn Upcall> = Arc::new(DeviceUpcall(Arc::downgrade(&inner)));
        let context = LayerContext { clock: core.clock(), name: &name };
        let layers: Vec<&dyn Layer> = self.layers.iter().map(|layer| &**layer).collect();
        let connected = stack(&layers, &context, upcall, bottom).map(|backend| inner.connected(backend));
        if connected.is_err() {
            core.queue([Ended::Device(inner.clone())]);
        }
        let (closed, wakers) = {
            let mut state = self.lock();
            state.occupant = Some(inner.clone());
            (state.closed, core::mem::take(&mut state.wakers))
        };
        match self.user.upgrade().filter(|_| !closed) {
            Some(user) => core.arrive(&UsbDevice::new(inner.clone(), user)),
            None => inner.unplug(),
        }
        wakers.into_iter().for_each(|waker| waker.wake());
        (inner, connected)
    }

    /// Plugs a function in, at `location` if it has one already.
    pub(crate) fn plug(
        self: &Arc<Self>,
        function: Box<dyn UsbFunction>,
        location: Option<String>,
    ) -> Arc<DeviceInner> {
        let host = FunctionHost::of(function);
        let mut identity = Identity::of_function(self.core.next_id(), host.descriptors());
        if let Some(location) = location {
            identity.info.location = location;
        }
        let (name, clock, seat) = (identity.info.location.clone(), self.core.clock(), Arc::downgrade(self));
        let at = name.clone();
        let departed = move |function, departure| {
            if let Some(seat) = seat.upgrade() {
                seat.departed(function, departure, at);
            }
        };
        let bottom =
            |upcall| crate::backend::mock::MockBackend::start(clock, &name, host, upcall, Box::new(departed));
        let (device, connected) = self.connect(identity, Box::new(bottom));
        if let Err(error) = connected {
            tracing::error!(device = %name, %error, "cannot start the threads of a mock device");
        }
        device
    }

    /// A function has dropped itself off the bus: keeps it until it is to be plugged in again.
    fn departed(self: &Arc<Self>, function: Box<dyn UsbFunction>, departure: Departure, location: String) {
        let Some(absence) = departure.absence() else { return };
        let seat = Arc::downgrade(self);
        // Asked for before it is handed over, so that no port is kept by what waits for it.
        let kept = self.core.kernel.spawn_service("hcd return", move |cpu| async move {
            let back = pin!(cpu.sleep(absence));
            if let Either::Right(_) = select(Self::let_go(&seat), back).await
                && let Some(seat) = seat.upgrade()
            {
                drop(seat.plug(function, Some(location)));
            }
        });
        drop(kept);
    }

    /// Ends when the port has let go.
    fn let_go(seat: &Weak<Self>) -> impl Future<Output = ()> + Unpin {
        poll_fn(|context| match seat.upgrade() {
            Some(seat) => seat.poll(context.waker(), |state| state.closed.then_some(())),
            None => Poll::Ready(()),
        })
    }

    /// Looks at the state; if that does not help, at its next change again.
    fn poll<T>(&self, waker: &Waker, look: impl FnOnce(&State) -> Option<T>) -> Poll<T> {
        let mut state = self.lock();
        if let Some(found) = look(&state) {
            return Poll::Ready(found);
        }
        if !state.wakers.iter().any(|other| other.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        Poll::Pending
    }

    /// The port lets go of whoever sits here, or would sit here later.
    pub(crate) fn close(&self) {
        let (occupant, wakers) = {
            let mut state = self.lock();
            state.closed = true;
            (state.occupant.clone(), core::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(|waker| waker.wake());
        if let Some(occupant) = occupant {
            occupant.unplug();
        }
    }

    /// Who sits here after `left`; `Err` when nobody will.
    fn successor(state: &State, left: DeviceId) -> Option<Result<Arc<DeviceInner>, ReturnError>> {
        if state.closed {
            return Some(Err(ReturnError::LetGo));
        }
        let occupant = state.occupant.as_ref().filter(|occupant| occupant.identity.info.id != left)?;
        Some(Ok(occupant.clone()))
    }

    /// Waits until somebody else than `left` sits here; looks for a device outside meanwhile.
    async fn wait(
        self: &Arc<Self>,
        cpu: &Cpu,
        left: &UsbDevice,
        limit: Duration,
    ) -> Result<Arc<DeviceInner>, ReturnError> {
        let problem = Mutex::new(None);
        let changed =
            poll_fn(|context| self.poll(context.waker(), |state| Self::successor(state, left.id())));
        let looking = async {
            let Some(way_back) = &self.way_back else { return core::future::pending().await };
            // What it had is to be given back before it is opened again.
            left.closed().await;
            loop {
                let id = self.core.next_id();
                match way_back.look(id).await {
                    Ok((identity, bottom)) => {
                        // Whoever sits here now is seen by the other half.
                        drop(self.connect(identity, bottom));
                        return core::future::pending().await;
                    }
                    Err(error) => *problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
                }
                cpu.sleep(ATTEMPT_EVERY).await;
            }
        };
        let looking = pin!(looking);
        match select(select(changed, looking), pin!(cpu.sleep(limit))).await {
            Either::Left((Either::Left((found, _)) | Either::Right((found, _)), _)) => found,
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
    /// the system tells of no peer, at the same ports of any bus, or anywhere if it is the only one of its kind that was
    /// not there before. A device imported over USB/IP is imported anew under the same bus id: a server of this
    /// crate offers it again as soon as it is back, Linux's only after `usbip bind`, and under the new bus id, if it came
    /// back on another bus.
    ///
    /// # Cancel safety
    /// Dropping the future gives the wait up. One that was opened meanwhile stays in the port.
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
