//! Devices outside this process: opened on a thread of their own, seated, and found again when they left by themselves.
//!
//! ```text
//!   open / import / look ──► thread: open the device ─► wrap the layers, sit down ─► tell
//!                               │ nobody wants it any more
//!                               └──► give it back
//! ```
//!
//! Opening blocks, and a layer may open files; so all of it happens on that thread, the first time and each time that
//! the device is opened again, and never on the kernel core. Whoever waits may go away meanwhile. Then the thread
//! gives the device back as soon as it has it, and holds the [`Seat`] until that is done: see [`Port::close`] and
//! [`HostController::closed`].
//!
//! Neighbours: `backend::libusb` and `usbip::client` open devices; [`Seat`] connects them.

use core::future::Future;
use core::pin::Pin;
use std::io;
use std::sync::Arc;
use std::thread;

use futures::channel::oneshot;

use crate::backend::Connect;
use crate::controller::{HostController, Port};
use crate::device::{DeviceId, Identity};
use crate::layer::Layer;
use crate::seat::Seat;

/// What the last look for a device that left showed: why it is not there again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReturnProblem {
    /// It is there, and this user may not open it.
    #[error("{0}")]
    Permission(String),
    /// It is there, and somebody else has it.
    #[error("{0}")]
    Busy(String),
    /// It is not there, or cannot be opened for another reason.
    #[error("{0}")]
    Other(String),
}

/// A device that is open: what it says of itself, and what connects it. Dropping it gives the device back.
pub(crate) type Found = (Identity, Box<Connect<'static>>);

/// Looks once for a device that left; it sits where it sat when this is done, else this tells what is wrong.
pub(crate) type Look<'a> = Pin<Box<dyn Future<Output = Result<(), ReturnProblem>> + 'a>>;

/// How a device outside is found again.
pub(crate) trait WayBack: Send + Sync {
    /// Looks for it. If it is there, it is opened, and takes its place in `seat`.
    fn look<'a>(&'a self, seat: &'a Arc<Seat>) -> Look<'a>;
}

/// Why a device outside does not sit where it should.
pub(crate) enum Unseated<E> {
    /// It cannot be opened.
    Open(E),
    /// A thread cannot be started, or a layer fails.
    Start(io::Error),
    /// The port lets go, or the thread panicked.
    LetGo,
}

/// Has a thread open a device as `open` does, and `seat` connect it.
///
/// Dropping the future leaves the thread to itself: the device will sit there, unless the port lets go.
pub(crate) async fn open<E: Send + 'static>(
    seat: &Arc<Seat>,
    name: String,
    open: impl FnOnce(DeviceId) -> Result<Found, E> + Send + 'static,
) -> Result<(), Unseated<E>> {
    let hold = seat.hold().ok_or(Unseated::LetGo)?;
    let (tell, told) = oneshot::channel();
    let (id, seat) = (seat.core().next_id(), Arc::downgrade(seat));
    let opening = move || {
        // Until the device is given back, if it is.
        let _held = hold.clone();
        let seated = open(id).map_err(Unseated::Open).and_then(|(identity, bottom)| {
            let seat = seat.upgrade().filter(|seat| !seat.is_closed()).ok_or(Unseated::LetGo)?;
            seat.connect(Some(hold), identity, bottom).1.map_err(Unseated::Start)
        });
        _ = tell.send(seated);
    };
    thread::Builder::new().name(name).spawn(opening).map_err(Unseated::Start)?;
    told.await.unwrap_or(Err(Unseated::LetGo))
}

impl HostController {
    /// Opens a device outside for the first time, in a port of its own below `layers`; `way_back` finds it again when
    /// it has left by itself. Dropping the future gives it back.
    pub(crate) async fn open_outside<W: WayBack + Clone + 'static, E: Send + 'static>(
        &self,
        layers: &[&dyn Layer],
        way_back: &W,
        name: String,
        first: impl FnOnce(DeviceId) -> Result<Found, E> + Send + 'static,
    ) -> Result<Port, Unseated<E>> {
        let sitting = self.sit(layers, Some(Box::new(way_back.clone())));
        open(sitting.seat(), name, first).await?;
        Port::of(sitting, self).ok_or(Unseated::LetGo)
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::task::{Context, Poll};
    use core::time::Duration;
    use std::sync::{Mutex, mpsc};

    use airlift_runtime::{Clock, Kernel};
    use futures::executor::block_on;
    use futures::task::noop_waker;

    use super::*;
    use crate::backend::{Backend, DeviceOp, FlatUrb, Upcall};
    use crate::descriptor::DeviceDescriptor;
    use crate::device::UsbDevice;
    use crate::function::{Speed, UrbId};
    use crate::layer::LayerContext;
    use crate::seat::ReturnError;

    /// A device that is taken from the system until it is dropped.
    struct Taken(Arc<Outside>);

    impl Drop for Taken {
        fn drop(&mut self) {
            self.0.taken.store(false, Ordering::SeqCst);
        }
    }

    /// A bus on which opening lasts until the test lets it go on.
    struct Outside {
        taken: AtomicBool,
        gate: Mutex<mpsc::Receiver<()>>,
        wrapped_on: Mutex<Vec<String>>,
    }

    #[derive(Clone)]
    struct Bus(Arc<Outside>);

    impl Bus {
        fn new() -> (Self, mpsc::Sender<()>) {
            let (go_on, gate) = mpsc::channel();
            let (taken, gate) = (AtomicBool::new(false), Mutex::new(gate));
            (Self(Arc::new(Outside { taken, gate, wrapped_on: Mutex::default() })), go_on)
        }

        fn open(&self, id: DeviceId) -> Result<Found, String> {
            self.0.taken.store(true, Ordering::SeqCst);
            let taken = Taken(self.0.clone());
            self.0.gate.lock().unwrap().recv().map_err(|_| "the test is over".to_owned())?;
            let descriptor = DeviceDescriptor::from_bytes([18; 18]);
            let identity = Identity::new(id, "outside".into(), Speed::High, descriptor, None);
            let bottom: Box<Connect<'static>> =
                Box::new(move |upcall| Ok(Arc::new(Served { upcall, taken: Mutex::new(Some(taken)) }) as _));
            Ok((identity, bottom))
        }

        fn is_taken(&self) -> bool {
            self.0.taken.load(Ordering::SeqCst)
        }
    }

    impl WayBack for Bus {
        fn look<'a>(&'a self, seat: &'a Arc<Seat>) -> Look<'a> {
            let bus = self.clone();
            Box::pin(async move {
                let seated = open(seat, "again".into(), move |id| bus.open(id)).await;
                seated.map_err(|_| ReturnProblem::Other("not there".into()))
            })
        }
    }

    /// A layer that only tells where it was put in.
    impl Layer for Bus {
        fn wrap(
            &self,
            _: &LayerContext<'_>,
            upcall: Arc<dyn Upcall>,
            below: Box<Connect<'_>>,
        ) -> io::Result<Arc<dyn Backend>> {
            self.0.wrapped_on.lock().unwrap().push(thread::current().name().unwrap_or_default().into());
            below(upcall)
        }
    }

    struct Served {
        upcall: Arc<dyn Upcall>,
        taken: Mutex<Option<Taken>>,
    }

    impl Backend for Served {
        fn submit(&self, _: FlatUrb) {}
        fn cancel(&self, _: UrbId) {}
        fn operate(&self, _: UrbId, _: DeviceOp) {}
        fn close(&self) {
            drop(self.taken.lock().unwrap().take());
            self.upcall.gone();
        }
        fn reap(&self) {}
    }

    struct Rig {
        kernel: Kernel,
        controller: HostController,
        bus: Bus,
        go_on: mpsc::Sender<()>,
    }

    fn rig() -> Rig {
        let kernel = Kernel::builder().name("core").clock(Clock::system()).build().unwrap();
        let controller = HostController::new(&kernel.handle()).unwrap();
        let (bus, go_on) = Bus::new();
        Rig { kernel, controller, bus, go_on }
    }

    impl Rig {
        async fn opening(&self) -> Result<Port, Unseated<String>> {
            let bus = self.bus.clone();
            let first = move |id| bus.open(id);
            self.controller.open_outside(&[&self.bus], &self.bus, "first".into(), first).await
        }

        fn until_taken(&self) {
            while !self.bus.is_taken() {
                thread::yield_now();
            }
        }
    }

    fn opened(rig: &Rig) -> Port {
        rig.go_on.send(()).unwrap();
        block_on(rig.opening()).unwrap_or_else(|_| panic!("it opens"))
    }

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(&noop_waker()))
    }

    #[test]
    fn a4_an_opening_that_is_given_up_gives_back_what_it_took_and_closed_waits_for_that() {
        let rig = rig();
        {
            let mut opening = Box::pin(rig.opening());
            assert!(poll(opening.as_mut()).is_pending());
            rig.until_taken();
        }
        let mut closed = Box::pin(rig.controller.closed());
        assert!(poll(closed.as_mut()).is_pending(), "it is taken all the same");
        rig.go_on.send(()).unwrap();
        block_on(closed);
        assert!(!rig.bus.is_taken());
        assert!(rig.bus.0.wrapped_on.lock().unwrap().is_empty(), "nobody wants it any more");
        assert!(rig.controller.devices().is_empty());
    }

    /// A device that left, and a thread that is just opening it again.
    fn opening_again(rig: &Rig) -> (Port, UsbDevice, impl Future<Output = Result<UsbDevice, ReturnError>>) {
        let port = opened(rig);
        let left = port.device();
        left.inner.unplug();
        block_on(left.closed());
        let waiting = rig.kernel.handle().spawn("driver", {
            let left = left.clone();
            move |_| async move { left.returned(Duration::from_secs(3600)).await }
        });
        rig.until_taken();
        (port, left, async { waiting.unwrap().await.unwrap() })
    }

    #[test]
    fn a4_a_port_that_closes_waits_for_a_device_that_is_just_being_opened_again() {
        let rig = rig();
        let (port, _left, waiting) = opening_again(&rig);
        let mut close = Box::pin(port.close());
        assert!(poll(close.as_mut()).is_pending());
        assert_eq!(block_on(waiting), Err(ReturnError::LetGo));
        assert!(poll(close.as_mut()).is_pending() && rig.bus.is_taken());
        rig.go_on.send(()).unwrap();
        block_on(close);
        assert!(!rig.bus.is_taken());
        block_on(rig.controller.closed());
    }

    /// Gives its device back when the test says so.
    struct Slow(Mutex<Option<Arc<dyn Upcall>>>, mpsc::Sender<Arc<dyn Upcall>>);

    impl Backend for Slow {
        fn submit(&self, _: FlatUrb) {}
        fn cancel(&self, _: UrbId) {}
        fn operate(&self, _: UrbId, _: DeviceOp) {}
        fn close(&self) {
            if let Some(upcall) = self.0.lock().unwrap().take() {
                self.1.send(upcall).unwrap();
            }
        }
        fn reap(&self) {}
    }

    #[test]
    fn a4_a_device_that_is_connected_as_its_port_closes_is_waited_for_until_it_is_given_back() {
        let rig = rig();
        let sitting = rig.controller.sit(&[], None);
        let seat = sitting.seat();
        let hold = seat.hold().unwrap();
        // Between the last look at the port and the connecting.
        seat.close();
        let (closing, closes) = mpsc::channel();
        let descriptor = DeviceDescriptor::from_bytes([18; 18]);
        let identity = Identity::new(seat.core().next_id(), "outside".into(), Speed::High, descriptor, None);
        let bottom = |upcall| Ok(Arc::new(Slow(Mutex::new(Some(upcall)), closing)) as Arc<dyn Backend>);
        let (device, connected) = seat.connect(Some(hold), identity, Box::new(bottom));
        connected.unwrap();
        let upcall = closes.try_recv().unwrap();
        let mut emptied = seat.emptied();
        assert!(poll(Pin::new(&mut emptied)).is_pending());
        let mut closed = Box::pin(rig.controller.closed());
        assert!(poll(closed.as_mut()).is_pending());
        upcall.gone();
        block_on(closed);
        assert!(poll(Pin::new(&mut emptied)).is_ready());
        drop(device);
    }

    #[test]
    fn a4_closed_waits_for_no_device_whose_port_is_there() {
        let rig = rig();
        let port = opened(&rig);
        block_on(rig.controller.closed());
        assert!(rig.bus.is_taken());
        block_on(port.close());
        assert!(!rig.bus.is_taken());
    }

    #[test]
    fn a2_layers_never_run_on_the_kernel_core_when_a_device_outside_is_opened_again() {
        let rig = rig();
        let (port, left, waiting) = opening_again(&rig);
        rig.go_on.send(()).unwrap();
        let back = block_on(waiting).unwrap();
        assert!(back != left && port.device() == back);
        assert_eq!(*rig.bus.0.wrapped_on.lock().unwrap(), ["first", "again"]);
        block_on(port.close());
    }
}
