//! The mock backend: a [`UsbFunction`](crate::UsbFunction) served by a host thread of its own.
//!
//! The thread owns the function's [`FunctionHost`]. Submissions and cancellations reach it through a mailbox, and
//! what it gives back goes up as one batch, so that the controller raises its IRQ line once for all of it. The
//! thread sleeps on the kernel's clock and so takes part in virtual time; between events it is parked. A function that
//! drops itself off the bus ends its thread, and goes to whoever plugs it in again.

use core::fmt;
use core::time::Duration;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread;

use airlift_runtime::{Clock, HostTimer, Notifier};
use bytes::BytesMut;

use super::{Backend, DeviceOp, FlatUrb, Upcall};
use crate::function::{Departure, FunctionUrb, Reply, UrbId, UsbFunction};
use crate::function_host::FunctionHost;
use crate::hand_over::HandOver;
use crate::setup::Setup;
use crate::status::TransferError;
use crate::threads::Threads;

/// URBs of the backend's own, which choose the configuration at the start and after a reset. The controller never
/// counts so far.
const OWN_URB: UrbId = UrbId(u64::MAX);

enum Command {
    Submit(FlatUrb),
    Operate(UrbId, DeviceOp),
    Cancel(UrbId),
    /// The host lets go of the device.
    Close,
}

struct Shared {
    /// Closed when the thread reads no more.
    mailbox: HandOver<Command>,
    notifier: Notifier,
    upcall: Arc<dyn Upcall>,
}

/// Takes a function that has dropped itself off the bus. Called when its device is gone.
pub(crate) type Departed = Box<dyn FnOnce(Box<dyn UsbFunction>, Departure) + Send>;

/// The handle on the thread that serves one function.
pub(crate) struct MockBackend {
    shared: Arc<Shared>,
    threads: Threads,
}

impl MockBackend {
    /// Starts the thread that serves `host`, not plugged in yet.
    pub(crate) fn start(
        clock: &Clock,
        name: &str,
        host: FunctionHost,
        upcall: Arc<dyn Upcall>,
        departed: Departed,
    ) -> io::Result<Arc<dyn Backend>> {
        let timer = clock.host_timer(name);
        let shared = Arc::new(Shared { mailbox: HandOver::default(), notifier: timer.notifier(), upcall });
        let served = Server {
            shared: shared.clone(),
            clock: clock.clone(),
            host,
            replies: Vec::new(),
            closing: false,
        };
        let thread =
            thread::Builder::new().name(name.to_owned()).spawn(move || served.run(timer, departed))?;
        Ok(Arc::new(Self { shared, threads: Threads::new([thread]) }))
    }
}

impl Shared {
    /// Puts a command into the mailbox.
    fn send(&self, command: Command) {
        if self.mailbox.push([command]) {
            self.notifier.notify();
            return;
        }
        let mut refused = Vec::new();
        self.mailbox.drain(|command| refused.extend(command.refused()));
        if !refused.is_empty() {
            self.upcall.give_back(&mut refused);
        }
    }
}

impl Command {
    /// What comes back of it if nobody obeys.
    fn refused(self) -> Option<Reply> {
        let (id, buffer) = match self {
            Self::Submit(urb) => (urb.id, urb.buffer),
            Self::Operate(id, _) => (id, BytesMut::new()),
            Self::Cancel(_) | Self::Close => return None,
        };
        Some(Reply { id, status: Err(TransferError::Shutdown), buffer })
    }
}

impl Backend for MockBackend {
    fn submit(&self, urb: FlatUrb) {
        self.shared.send(Command::Submit(urb));
    }

    fn cancel(&self, id: UrbId) {
        self.shared.send(Command::Cancel(id));
    }

    fn operate(&self, id: UrbId, op: DeviceOp) {
        self.shared.send(Command::Operate(id, op));
    }

    fn close(&self) {
        self.shared.send(Command::Close);
    }

    fn reap(&self) {
        self.threads.join_blocking();
    }
}

impl fmt::Debug for MockBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockBackend").finish_non_exhaustive()
    }
}

/// The waker that a function may keep: the thread polls the function each time it wakes.
struct PollRequest(Notifier);

impl Wake for PollRequest {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify();
    }
}

/// What the thread owns.
struct Server {
    shared: Arc<Shared>,
    clock: Clock,
    host: FunctionHost,
    /// Ended URBs on their way up.
    replies: Vec<Reply>,
    /// The host has let go of the device.
    closing: bool,
}

impl Server {
    fn run(mut self, mut timer: HostTimer, departed: Departed) {
        // A function that panics is a device that fell off the bus: its URBs end, the rest runs on.
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut timer)));
        if served.is_err() {
            tracing::error!("USB function panicked; its device is unplugged");
        }
        self.shared.mailbox.close();
        _ = catch_unwind(AssertUnwindSafe(|| {
            self.host.unplug();
            self.collect(self.clock.now());
        }));
        self.shared.mailbox.drain(|command| {
            self.closing |= matches!(command, Command::Close);
            self.replies.extend(command.refused());
        });
        let Self { shared, host, mut replies, closing, .. } = self;
        if !replies.is_empty() {
            shared.upcall.give_back(&mut replies);
        }
        match host.departure().filter(|_| served.is_ok() && !closing) {
            Some(departure) => {
                shared.upcall.gone();
                departed(host.into_function(), departure);
            }
            None => {
                // The function's own `Drop` may panic as well.
                _ = catch_unwind(AssertUnwindSafe(|| drop(host)));
                shared.upcall.gone();
            }
        }
    }

    fn serve(&mut self, timer: &mut HostTimer) {
        let waker = Waker::from(Arc::new(PollRequest(self.shared.notifier.clone())));
        let now = self.clock.now();
        self.host.plug(now, waker);
        // A function whose configuration cannot be read stays unconfigured.
        if let Some(value) = self.host.first_configuration() {
            self.restore(now, DeviceOp::SetConfiguration(value));
        }
        let shared = self.shared.clone();
        loop {
            // After the commands are here, so that none counts as older than it is.
            let mut now = None;
            shared.mailbox.drain(|command| {
                let now = *now.get_or_insert_with(|| self.clock.now());
                self.obey(now, command);
            });
            let now = now.unwrap_or_else(|| self.clock.now());
            self.collect(now);
            if !self.replies.is_empty() {
                self.shared.upcall.give_back(&mut self.replies);
            }
            if self.closing || self.host.departure().is_some() {
                return;
            }
            timer.wait_until(self.host.next_deadline());
        }
    }

    /// Takes what has ended by `now`.
    fn collect(&mut self, now: Duration) {
        while let Some(reply) = self.host.poll(now) {
            if reply.id != OWN_URB {
                self.replies.push(reply);
            }
        }
    }

    fn obey(&mut self, now: Duration, command: Command) {
        match command {
            Command::Submit(urb) => {
                let urb = FunctionUrb::new(urb.id, urb.endpoint, urb.setup, urb.buffer, urb.length);
                self.host.submit(now, urb);
            }
            Command::Cancel(id) => {
                // What has ended is not cancelled any more: the device did it, and its status says so.
                self.collect(now);
                if let Some(reply) = self.host.cancel(id) {
                    self.replies.push(reply);
                }
            }
            Command::Close => self.closing = true,
            Command::Operate(id, op) => match op.setup() {
                Some(setup) => self.standard(now, id, setup),
                None => {
                    self.host.reset_and_restore(now, OWN_URB);
                    self.replies.push(Reply { id, status: Ok(0), buffer: BytesMut::new() });
                }
            },
        }
    }

    /// Does what the controller does by itself.
    fn restore(&mut self, now: Duration, op: DeviceOp) {
        if let Some(setup) = op.setup() {
            self.standard(now, OWN_URB, setup);
        }
    }

    /// Sends a standard request without a data stage, as the host would.
    fn standard(&mut self, now: Duration, id: UrbId, setup: Setup) {
        self.host.submit(now, FunctionUrb::new(id, 0, Some(setup), BytesMut::new(), 0));
    }
}
