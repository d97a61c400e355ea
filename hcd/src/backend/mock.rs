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
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, JoinHandle};

use airlift_runtime::{Clock, HostTimer, Notifier};
use bytes::BytesMut;

use super::{Backend, DeviceOp, FlatUrb, Upcall};
use crate::function::{Departure, FunctionUrb, Reply, UrbId, UsbFunction};
use crate::function_host::FunctionHost;
use crate::setup::Setup;
use crate::status::TransferError;

/// URBs of the backend's own, which choose the configuration at the start and after a reset. The controller never
/// counts so far.
const OWN_URB: UrbId = UrbId(u64::MAX);

enum Command {
    Submit(FlatUrb),
    Operate(UrbId, DeviceOp),
    Cancel(UrbId),
}

#[derive(Default)]
struct Mailbox {
    commands: Vec<Command>,
    closing: bool,
    /// The thread reads no more.
    closed: bool,
}

struct Shared {
    mailbox: Mutex<Mailbox>,
    notifier: Notifier,
    upcall: Arc<dyn Upcall>,
}

/// Takes a function that has dropped itself off the bus. Called when its device is gone.
pub(crate) type Departed = Box<dyn FnOnce(Box<dyn UsbFunction>, Departure) + Send>;

/// The handle on the thread that serves one function.
pub(crate) struct MockBackend {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
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
        let shared = Arc::new(Shared { mailbox: Mutex::default(), notifier: timer.notifier(), upcall });
        let served = Server { shared: shared.clone(), clock: clock.clone(), host, replies: Vec::new() };
        let thread =
            thread::Builder::new().name(name.to_owned()).spawn(move || served.run(timer, departed))?;
        Ok(Arc::new(Self { shared, thread: Mutex::new(Some(thread)) }))
    }
}

impl Shared {
    /// Puts a command into the mailbox; gives it back if nobody reads it any more.
    fn send(&self, command: Command) -> Result<(), Command> {
        {
            let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
            if mailbox.closed {
                return Err(command);
            }
            mailbox.commands.push(command);
        }
        self.notifier.notify();
        Ok(())
    }

    fn refuse(&self, id: UrbId, buffer: BytesMut) {
        self.upcall.give_back(&mut vec![Reply { id, status: Err(TransferError::Shutdown), buffer }]);
    }
}

impl Backend for MockBackend {
    fn submit(&self, urb: FlatUrb) {
        if let Err(Command::Submit(urb)) = self.shared.send(Command::Submit(urb)) {
            self.shared.refuse(urb.id, urb.buffer);
        }
    }

    fn cancel(&self, id: UrbId) {
        _ = self.shared.send(Command::Cancel(id));
    }

    fn operate(&self, id: UrbId, op: DeviceOp) {
        if self.shared.send(Command::Operate(id, op)).is_err() {
            self.shared.refuse(id, BytesMut::new());
        }
    }

    fn close(&self) {
        self.shared.mailbox.lock().unwrap_or_else(PoisonError::into_inner).closing = true;
        self.shared.notifier.notify();
    }

    fn reap(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            _ = thread.join();
        }
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
}

impl Server {
    fn run(mut self, mut timer: HostTimer, departed: Departed) {
        // A function that panics is a device that fell off the bus: its URBs end, the rest runs on.
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut timer)));
        if served.is_err() {
            tracing::error!("USB function panicked; its device is unplugged");
        }
        let (commands, closing) = {
            let mut mailbox = self.shared.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
            mailbox.closed = true;
            (core::mem::take(&mut mailbox.commands), mailbox.closing)
        };
        _ = catch_unwind(AssertUnwindSafe(|| {
            self.host.unplug();
            self.collect(self.clock.now());
        }));
        for command in commands {
            let (id, buffer) = match command {
                Command::Submit(urb) => (urb.id, urb.buffer),
                Command::Operate(id, _) => (id, BytesMut::new()),
                Command::Cancel(_) => continue,
            };
            self.replies.push(Reply { id, status: Err(TransferError::Shutdown), buffer });
        }
        let Self { shared, host, mut replies, .. } = self;
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
        let mut commands = Vec::new();
        loop {
            let closing = {
                let mut mailbox = self.shared.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
                core::mem::swap(&mut mailbox.commands, &mut commands);
                mailbox.closing
            };
            let now = self.clock.now();
            for command in commands.drain(..) {
                self.obey(now, command);
            }
            self.collect(now);
            if !self.replies.is_empty() {
                self.shared.upcall.give_back(&mut self.replies);
            }
            if closing || self.host.departure().is_some() {
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
