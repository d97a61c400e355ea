//! [`HostController`]: the virtual USB host controller of one kernel core.
//!
//! Backends give ended URBs back from host threads: they queue them here and raise the controller's IRQ line. The
//! handler, on the kernel core, takes all that is queued, finishes the URBs and wakes who awaits them: one IRQ
//! may give back many. A task of the controller's own, `hcd`, holds the IRQ action and watches the URBs' time
//! limits; when it ends, because the kernel shuts down or nobody uses the controller any more, every URB ends.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use airlift_runtime::{Clock, Cpu, IrqLine, IrqReturn, KernelGone, KernelHandle};
use bytes::BytesMut;
use futures::FutureExt as _;
use futures::future::{Either, select};

use crate::backend::Upcall;
use crate::deadline::Deadlines;
use crate::device::{DeviceId, DeviceInner, UsbDevice};
use crate::function::{Reply, UsbFunction};
use crate::hand_over::HandOver;
use crate::hotplug::{Hotplug, HotplugEvent, Listeners};
use crate::layer::Layer;
use crate::outside::WayBack;
use crate::seat::{Emptied, Hold, Seat};
use crate::status::TransferError;

/// Name of the controller's IRQ line and of its kernel task.
const NAME: &str = "hcd";

/// A virtual USB host controller on a kernel core. Clones are the same controller.
///
/// It lives while anything made by it does: a clone, a [`Port`], a [`UsbDevice`], a pending
/// [`UrbHandle`](crate::UrbHandle) or a [`Hotplug`] stream. When the kernel core shuts down, every pending URB
/// ends with [`TransferError::Shutdown`] and the devices' threads end.
#[derive(Clone)]
pub struct HostController {
    user: Arc<User>,
}

/// Held by every handle that keeps the controller alive.
pub(crate) struct User {
    pub(crate) core: Arc<Core>,
}

impl Drop for User {
    fn drop(&mut self) {
        self.core.abandoned.store(true, Ordering::Release);
        self.core.deadlines.ring();
    }
}

/// What the controller's handles, its kernel task and its devices share.
pub(crate) struct Core {
    clock: Clock,
    pub(crate) kernel: KernelHandle,
    line: IrqLine,
    pub(crate) deadlines: Deadlines,
    /// Between the host threads and the IRQ handler. Closed when no handler will come any more: whoever gives back
    /// finishes on its own thread then.
    ended: HandOver<Ended>,
    /// Those that URBs may come back from.
    connected: Mutex<BTreeMap<DeviceId, Weak<DeviceInner>>>,
    registry: Mutex<Registry>,
    next_device: AtomicU32,
    abandoned: AtomicBool,
    /// Of ports that let go: what they had may not be given back yet.
    leaving: Mutex<Vec<Emptied>>,
}

/// What a backend has told. A device goes by its name: its count of references would be one more cache line that
/// the threads pass to and fro.
pub(crate) enum Ended {
    Urb(DeviceId, Reply),
    Device(Arc<DeviceInner>),
}

#[derive(Default)]
struct Registry {
    devices: BTreeMap<DeviceId, Arc<DeviceInner>>,
    listeners: Listeners,
    dead: bool,
}

impl HostController {
    /// A controller on `kernel`, without devices.
    ///
    /// # Errors
    /// The kernel core was shut down.
    pub fn new(kernel: &KernelHandle) -> Result<Self, KernelGone> {
        let line = kernel.irq_line(NAME)?;
        let core = Arc::new(Core {
            clock: kernel.clock(),
            kernel: kernel.clone(),
            line,
            deadlines: Deadlines::default(),
            ended: HandOver::default(),
            connected: Mutex::default(),
            registry: Mutex::default(),
            next_device: AtomicU32::new(1),
            abandoned: AtomicBool::new(false),
            leaving: Mutex::default(),
        });
        let user = Arc::new(User { core: core.clone() });
        // The guard is made here, so that a task that is dropped before its first poll ends the controller too.
        let kernel_side = KernelSide(core);
        drop(kernel.spawn_service(NAME, move |cpu| run(cpu, kernel_side))?);
        Ok(Self { user })
    }

    /// Plugs a function into a port of its own, served by a host thread of its own, and chooses its first
    /// configuration. The device is there when this returns.
    ///
    /// A function that [departs](UsbFunction::departs) and comes back is another device in the same port: see
    /// [`UsbDevice::returned`].
    ///
    /// After the kernel core has shut down (and if the system refuses a thread) the device is one that was
    /// unplugged at once.
    pub fn plug(&self, function: impl UsbFunction) -> Port {
        self.plug_with(function, &[])
    }

    /// Like [`plug`](Self::plug), with layers between the controller and the device: the first is the outermost,
    /// next to the controller.
    pub fn plug_with(&self, function: impl UsbFunction, layers: &[&dyn Layer]) -> Port {
        let sitting = self.sit(layers, None);
        let (device, _) = sitting.seat().plug(sitting.seat().hold(), Box::new(function), None);
        Port { sitting, device, user: self.user.clone() }
    }

    /// A place for a device, below `layers`.
    pub(crate) fn sit(&self, layers: &[&dyn Layer], way_back: Option<Box<dyn WayBack>>) -> Sitting {
        Sitting(Seat::new(&self.user, layers, way_back))
    }

    #[cfg(test)]
    pub(crate) fn user(&self) -> Arc<User> {
        self.user.clone()
    }

    /// Waits until no device is left of those whose [`Port`] was dropped, and of those whose opening was given up:
    /// what was taken from the system's drivers is theirs again. Devices whose ports are there are not waited for.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect on the devices.
    pub async fn closed(&self) {
        let leaving = self.user.core.leaving.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for emptied in leaving {
            _ = emptied.await;
        }
    }

    /// The devices that are there.
    pub fn devices(&self) -> Vec<UsbDevice> {
        self.present(&self.user.core.registry())
    }

    fn present(&self, registry: &Registry) -> Vec<UsbDevice> {
        registry.devices.values().map(|inner| UsbDevice::new(inner.clone(), self.user.clone())).collect()
    }

    /// Devices that come and go from now on, those that are there first.
    pub fn hotplug(&self) -> Hotplug {
        let mut registry = self.user.core.registry();
        let present = self.present(&registry);
        registry.listeners.listen(present, self.user.clone())
    }

    /// The clock that time limits and delays are measured by.
    pub fn clock(&self) -> Clock {
        self.user.core.clock.clone()
    }
}

impl fmt::Debug for HostController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostController")
            .field("devices", &self.user.core.registry().devices.len())
            .finish_non_exhaustive()
    }
}

/// The port that a device is plugged into. Dropping it unplugs the device, or, if its hardware is not ours to
/// unplug, lets go of it.
///
/// A device that drops itself off the bus and comes back is another [`UsbDevice`] in the same port.
#[must_use = "dropping the port unplugs the device"]
pub struct Port {
    sitting: Sitting,
    /// The first one.
    device: Arc<DeviceInner>,
    user: Arc<User>,
}

/// The port of a function in this process.
pub type MockPort = Port;

impl Port {
    /// The port of the device that sits there; `None` if none does.
    pub(crate) fn of(sitting: Sitting, controller: &HostController) -> Option<Self> {
        let device = sitting.seat().occupant()?;
        Some(Self { sitting, device, user: controller.user.clone() })
    }

    /// The device in this port; the one that was there last, if it is gone.
    pub fn device(&self) -> UsbDevice {
        let device = self.sitting.seat().occupant().unwrap_or_else(|| self.device.clone());
        UsbDevice::new(device, self.user.clone())
    }

    /// Unplugs the device, for good: one that has dropped itself off the bus does not come back. Its pending URBs end
    /// with [`TransferError::Shutdown`] and its thread ends soon after; [`UsbDevice::closed`] waits for both. Again:
    /// without effect.
    pub fn unplug(&self) {
        self.sitting.seat().close();
    }

    /// Unplugs the device, and waits until nothing is left of it: its URBs are back, the threads that served it have
    /// ended, and what was taken from the system's drivers is theirs again. One that is away, or is just being opened
    /// again, is waited for as well.
    ///
    /// # Cancel safety
    /// Once polled, or dropped, the device is unplugged, whether or not its end is waited for.
    pub async fn close(self) {
        self.unplug();
        let emptied = self.sitting.seat().emptied();
        self.device().closed().await;
        _ = emptied.await;
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("device", &self.device()).finish()
    }
}

/// Somebody's place: dropping it lets go of whoever sits there, or would sit there later.
pub(crate) struct Sitting(Arc<Seat>);

impl Sitting {
    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.0
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a device's backend reports to.
pub(crate) struct DeviceUpcall {
    id: DeviceId,
    device: Weak<DeviceInner>,
    core: Arc<Core>,
    /// Its hold of the seat, until it is gone.
    hold: Mutex<Option<Hold>>,
}

impl Upcall for DeviceUpcall {
    fn give_back(&self, replies: &mut Vec<Reply>) {
        self.core.queue(replies.drain(..).map(|reply| Ended::Urb(self.id, reply)));
    }

    fn gone(&self) {
        if let Some(device) = self.device.upgrade() {
            self.core.leave(&device);
            self.core.queue([Ended::Device(device)]);
        }
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(hold);
    }
}

impl Core {
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A name for a device that is about to be connected.
    pub(crate) fn next_id(&self) -> DeviceId {
        DeviceId(self.next_device.fetch_add(1, Ordering::Relaxed))
    }

    /// A port let go: remembers what tells when all that it had is given back.
    pub(crate) fn leaving(&self, emptied: Emptied) {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|other| other.clone().now_or_never().is_none());
        leaving.push(emptied);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Weak<DeviceInner>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the backend of a device reports to that is about to be connected.
    /// It holds the device's seat with `hold`.
    pub(crate) fn upcall_of(
        self: &Arc<Self>,
        device: &Arc<DeviceInner>,
        hold: Option<Hold>,
    ) -> Arc<dyn Upcall> {
        let id = device.identity.info.id;
        self.connected().insert(id, Arc::downgrade(device));
        let (device, hold) = (Arc::downgrade(device), Mutex::new(hold));
        Arc::new(DeviceUpcall { id, device, core: self.clone(), hold })
    }

    /// The last who knew a device has forgotten it. A pending URB keeps its device, so nobody waits for what still
    /// comes back.
    pub(crate) fn forget(&self, id: DeviceId) {
        self.connected().remove(&id);
    }

    /// Queues what ended for the IRQ handler, and raises the line.
    pub(crate) fn queue(&self, entries: impl IntoIterator<Item = Ended>) {
        if !self.ended.push(entries) {
            self.finish_ended();
        } else if self.line.trigger().is_err() {
            self.die();
        }
    }

    /// Finishes all that is queued. On the kernel core, except after its end. What is queued meanwhile raises the line
    /// again.
    fn finish_ended(&self) {
        self.ended.drain(|entry| {
            // Wakers are foreign code: one that panics must not keep the other URBs from ending.
            let finished = catch_unwind(AssertUnwindSafe(|| match entry {
                Ended::Urb(id, reply) => {
                    let device = self.connected().get(&id).and_then(Weak::upgrade);
                    if let Some(device) = device {
                        device.finish(reply);
                    }
                }
                Ended::Device(device) => device.finish_all(),
            }));
            if finished.is_err() {
                tracing::error!("a waker panicked as an URB was given back");
            }
        });
    }

    /// Makes a device known, unless it is gone already.
    pub(crate) fn arrive(&self, device: &UsbDevice) {
        let (dead, wakers) = {
            let mut registry = self.registry();
            if registry.dead || device.is_unplugged() {
                (registry.dead, Vec::new())
            } else {
                registry.devices.insert(device.id(), device.inner.clone());
                (false, registry.listeners.tell(&HotplugEvent::Arrived(device.clone())).0)
            }
        };
        wakers.into_iter().for_each(|waker| waker.wake());
        if dead {
            device.inner.unplug();
        }
    }

    /// Marks a device as gone and makes it unknown; once.
    pub(crate) fn leave(&self, device: &DeviceInner) {
        let (wakers, dropped, known) = {
            let mut registry = self.registry();
            device.mark_unplugged();
            let id = device.identity.info.id;
            match registry.devices.remove(&id) {
                Some(known) => {
                    let (wakers, dropped) = registry.listeners.tell(&HotplugEvent::Left(id));
                    (wakers, dropped, Some(known))
                }
                None => return,
            }
        };
        wakers.into_iter().for_each(|waker| waker.wake());
        drop((dropped, known));
    }

    /// The kernel core gives nothing back any more: ends every URB, device and stream.
    fn die(&self) {
        self.ended.close();
        let (devices, wakers) = {
            let mut registry = self.registry();
            registry.dead = true;
            (registry.devices.values().cloned().collect::<Vec<_>>(), registry.listeners.end())
        };
        wakers.into_iter().for_each(|waker| waker.wake());
        for device in devices {
            device.unplug();
        }
        self.finish_ended();
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("line", &self.line).finish_non_exhaustive()
    }
}

/// Ends the controller when its kernel task does, however that ends.
struct KernelSide(Arc<Core>);

impl Drop for KernelSide {
    fn drop(&mut self) {
        self.0.die();
    }
}

/// The controller's task on the kernel core.
async fn run(cpu: Cpu, side: KernelSide) {
    let core = &side.0;
    let handled = core.clone();
    let handler = move |_: &mut airlift_runtime::HardIrq<'_>| {
        handled.finish_ended();
        // An earlier run may have taken what this edge was raised for; it is ours all the same.
        IrqReturn::Handled
    };
    let action = match cpu.request_irq(&core.line, NAME, handler) {
        Ok(action) => action,
        Err(error) => {
            tracing::error!(%error, "the host controller cannot have its IRQ line");
            return;
        }
    };
    // What was raised before anybody listened.
    core.finish_ended();
    while !core.abandoned.load(Ordering::Acquire) {
        let now = cpu.now();
        let (due, next) = core.deadlines.due(now);
        for urb in due {
            urb.time_out();
        }
        let bell = core::pin::pin!(core.deadlines.bell());
        match next {
            Some(next) => {
                let sleep = core::pin::pin!(cpu.sleep(next.saturating_sub(now)));
                match select(bell, sleep).await {
                    Either::Left(_) | Either::Right(_) => {}
                }
            }
            None => bell.await,
        }
    }
    drop(action);
}

/// An URB's end that no backend tells of.
pub(crate) fn shutdown_reply(id: crate::function::UrbId) -> Reply {
    Reply { id, status: Err(TransferError::Shutdown), buffer: BytesMut::new() }
}
