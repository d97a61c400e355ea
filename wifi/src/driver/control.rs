//! The control task: brings the adapter up, serves commands one after the other ([`serve`]), and takes it down.
//!
//! ```text
//!   Wlan ──Command──► control ──────► Adapter (registers, radio)
//!    │                  │  ▲
//!    │                  ▼  │ ends with a reason
//!    │                receive ──► Receiver ──► streams
//!    │                  │ reports
//!    │                  ▼
//!    └────frames────► transmit
//! ```
//!
//! The task ends in one of four ways: told to go down, every [`Wlan`](crate::Wlan) dropped, unplugged, or reception
//! failed. In each all URBs are back and, if the adapter is still there, it has no power. A command runs to
//! its end even if nobody waits for its answer any more.

use core::pin::pin;
use core::time::Duration;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use airlift_hcd::{DeviceInfo, MockPort, UsbDevice};
use airlift_runtime::{Cpu, Kernel, KernelHandle};
use futures::channel::oneshot;
use futures::future::{Either, select};

use super::flights::Flights;
use super::receive::{self, Sink};
use super::serve::serve;
use super::transmit::{self, Transmit};
use super::usb_mode::{self, Permit};
use super::{Adapter, BringUpStats, Brought, Found, Settings, queues};
use crate::channel::Channel;
use crate::error::{Error, ErrorKind, Stage};
use crate::firmware::Image;
use crate::rx::Receiver;
use crate::stream::{FrameSource, StreamEnd};
use crate::tx::{EndpointMap, Planner, TxQueue};

/// How long what the chip has taken in may need to come over the bus once the filter is shut: the aggregation's
/// time-out, and then some.
const DRAIN: Duration = Duration::from_millis(5);

pub(super) type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What a [`Wlan`](crate::Wlan) asks of the control task.
pub(crate) enum Command {
    SetChannel(Channel, Answer<()>),
    Hop(Channel, Answer<()>),
    SetTxPower(Option<i8>, Answer<()>),
    Calibrate(Answer<()>),
    Down(Answer<()>),
}

/// What bring-up tells.
#[derive(Clone, Debug)]
pub(crate) struct Up {
    pub(crate) mac_address: Option<[u8; 6]>,
    pub(crate) chains: u8,
    pub(crate) frames: FrameSource,
    pub(crate) stats: BringUpStats,
    pub(crate) device: DeviceInfo,
}

/// Between an interface's handles and its control task.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) commands: async_channel::Sender<Command>,
    /// Closed when the control task has ended.
    pub(crate) ended: async_channel::Receiver<()>,
    pub(crate) state: Arc<Mutex<State>>,
    /// Frames to be sent.
    pub(crate) queue: Arc<TxQueue>,
}

/// What handles can look at without asking the task.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) channel: Option<Channel>,
    /// Why the interface ended, once it has; [`ErrorKind::Down`] when it was told to.
    pub(crate) end: Option<Error>,
}

/// What belongs to the interface because nobody gave it: its kernel, and the port in which its device is. They
/// live as long as a handle or the control task does.
pub(crate) type Own = Arc<Mutex<Belongings>>;

/// See [`Own`].
#[derive(Debug, Default)]
pub(crate) struct Belongings {
    pub(crate) port: Option<MockPort>,
    pub(crate) kernel: Option<Kernel>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the control task on `kernel`. The receiver of the answer hears of bring-up; dropping it gives up.
pub(crate) fn start(
    kernel: &KernelHandle,
    device: UsbDevice,
    settings: Settings,
    image: Image,
    own: Own,
) -> Result<(Link, oneshot::Receiver<Result<Up, Error>>), Error> {
    let (commands, inbox) = async_channel::bounded(16);
    let (alive, ended) = async_channel::bounded(1);
    let (answer, up) = oneshot::channel();
    let state = Arc::new(Mutex::new(State::default()));
    let queue = Arc::new(TxQueue::new());
    let (shared, frames) = (state.clone(), queue.clone());
    let task = move |cpu: Cpu| async move {
        let inbox = Inbox(inbox);
        let flights = Flights::new(frames);
        let end = End { state: shared, sink: Rc::default(), flights, _own: own, _alive: alive };
        run(cpu, device, settings, image, inbox, answer, end).await;
    };
    match kernel.spawn("wlan0 control", task) {
        Ok(join) => drop(join),
        Err(gone) => return Err(Error::new(Stage::Power, ErrorKind::Kernel(gone.to_string()))),
    }
    Ok((Link { commands, ended, state, queue }, up))
}

/// The commands' receiving end. When it is gone nobody waits for an answer any more.
pub(super) struct Inbox(pub(super) async_channel::Receiver<Command>);

impl Inbox {
    fn close(&self) {
        self.0.close();
        // A queue outlives its receiver; an answer that is dropped says that none will come.
        while self.0.try_recv().is_ok() {}
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tells everybody how the interface ended, even if the kernel drops the task.
pub(super) struct End {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) sink: Sink,
    pub(super) flights: Rc<Flights>,
    _own: Own,
    _alive: async_channel::Sender<()>,
}

impl End {
    fn set(&self, reason: Error) {
        lock(&self.state).end.get_or_insert(reason);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.set(Error::new(Stage::Up, ErrorKind::Kernel("shut down".into())));
        let reason = lock(&self.state).end.clone();
        let receiver = self.sink.try_borrow_mut().ok().and_then(|mut sink| sink.take());
        if let Some(reason) = reason {
            self.flights.end(&reason);
            if let Some(receiver) = receiver {
                receiver.end(stream_end(reason));
            }
        }
    }
}

/// How streams end when the interface ends so.
pub(crate) fn stream_end(reason: Error) -> StreamEnd {
    match reason.kind() {
        ErrorKind::Down | ErrorKind::Kernel(_) => StreamEnd::Down,
        _ => StreamEnd::from_error(reason),
    }
}

async fn run(
    cpu: Cpu,
    device: UsbDevice,
    settings: Settings,
    image: Image,
    inbox: Inbox,
    mut answer: oneshot::Sender<Result<Up, Error>>,
    end: End,
) {
    let channel = settings.channel;
    let begin = cpu.now();
    let risen = rise(&cpu, device, settings, &image, &mut answer).await;
    let Risen { device, adapter, found, spent } = match risen {
        Ok(risen) => risen,
        Err(failure) => {
            end.set(failure.clone().unwrap_or_else(|| Error::new(Stage::Down, ErrorKind::Down)));
            if let Some(error) = failure {
                let _ = answer.send(Err(error));
            }
            return;
        }
    };
    drop(image);

    let mut receiver = Receiver::new(found.board.chip.chip, found.board.chains).with_clock(&cpu.clock());
    receiver.set_channel(Some(channel), cpu.now());
    let frames = receiver.source();
    end.sink.replace(Some(receiver));
    lock(&end.state).channel = Some(channel);

    // Transfers wait before the first frame may come.
    let (stop, stopped) = async_channel::bounded::<()>(1);
    let bulk_in = adapter.endpoints.bulk_in;
    let (flights, clock) = (end.flights.clone(), cpu.clock());
    let messages = move |message: &_| flights.report(message, clock.now());
    let receiving = receive::run(cpu.clone(), device.clone(), bulk_in, end.sink.clone(), messages, stopped);
    let (report, mut failed) = oneshot::channel();
    let receiving = cpu.spawn("wlan0 rx", move |_| async move {
        if let Err(error) = receiving.await {
            let _ = report.send(error);
        }
    });
    let opened = async {
        let tsf = adapter.prepare().await?;
        let transmit = transmit(&cpu, &device, &adapter, &found, &end, frames.clone())?;
        if let Some(receiver) = end.sink.borrow_mut().as_mut() {
            receiver.set_tsf(tsf, cpu.now());
        }
        adapter.open().await?;
        Ok::<_, Error>(transmit)
    };
    let transmit = match opened.await {
        Ok(transmit) => transmit,
        Err(error) => {
            drop(stop);
            let _ = receiving.await;
            give_up(&adapter, &device).await;
            end.set(error.clone());
            let _ = answer.send(Err(error));
            return;
        }
    };
    let (stop_sending, stopped) = async_channel::bounded::<()>(1);
    let sending = cpu.spawn("wlan0 tx", move |_| transmit::run(transmit, stopped));
    let stats = BringUpStats {
        usb_switch: found.usb_switch,
        duration: cpu.now().saturating_sub(begin),
        ..spent.with(&adapter)
    };
    let up = Up {
        mac_address: found.board.efuse.mac_address,
        chains: found.board.chains,
        frames,
        stats,
        device: device.info().clone(),
    };
    // An answer that nobody takes is an interface that nobody has: its commands are closed, which ends it below.
    let _ = answer.send(Ok(up));

    let (reason, told) = serve(&cpu, &device, &adapter, &found, &inbox, &end, &mut failed).await;
    inbox.close();
    // Switching off takes time, and the one who waits for it may be a reader that is behind.
    let _time_runs = frames_of(&end).map(|frames| frames.let_time_run());
    // What the chip was given is sent and reported, while there is still power.
    drop(stop_sending);
    let _ = sending.await;
    let mut outcome = Ok(());
    if !device.is_unplugged() {
        outcome = adapter.shut().await;
        cpu.sleep(DRAIN).await;
    }
    drop(stop);
    let _ = receiving.await;
    if !device.is_unplugged() {
        outcome = adapter.power_off().await.and(outcome);
    }
    let unplugged = device.is_unplugged() && !matches!(reason.kind(), ErrorKind::Down);
    end.set(if unplugged { Error::new(Stage::Up, ErrorKind::Unplugged) } else { reason });
    drop(end);
    if let Some(told) = told {
        // Down with nothing there to be switched off is down.
        let outcome = outcome.or_else(|error| if error.is_unplugged() { Ok(()) } else { Err(error) });
        let _ = told.send(outcome);
    }
}

/// An adapter whose channel is set, and what it took to get there before it came back to its bus.
struct Risen {
    device: UsbDevice,
    adapter: Adapter,
    found: Box<Found>,
    spent: BringUpStats,
}

impl BringUpStats {
    /// With the transfers of `adapter`.
    fn with(self, adapter: &Adapter) -> Self {
        let counts = adapter.regs.counts();
        Self {
            transfers: self.transfers + counts.transfers,
            reads: self.reads + counts.reads,
            waits: self.waits + counts.waits,
            ..self
        }
    }
}

/// Brings the adapter up, by way of another USB mode if need be: then once more, as the device that it came back as.
///
/// # Errors
/// Why it failed; `None`: the one who asked for the interface has gone away. The chip is off, if it still answers.
async fn rise(
    cpu: &Cpu,
    mut device: UsbDevice,
    settings: Settings,
    image: &Image,
    answer: &mut oneshot::Sender<Result<Up, Error>>,
) -> Result<Risen, Option<Error>> {
    let mut permit = if settings.usb3_switch { Permit::Once } else { Permit::Forbidden };
    let mut spent = BringUpStats::default();
    loop {
        let adapter = Adapter::new(cpu.clone(), device.clone(), settings.clone())?;
        let brought = match select(pin!(adapter.bring_up(image, permit)), answer.cancellation()).await {
            Either::Left((brought, _)) => Some(brought),
            Either::Right(_) => None,
        };
        let told = match brought {
            Some(Ok(Brought::Up(found))) => return Ok(Risen { device, adapter, found, spent }),
            Some(Ok(Brought::Leaving(told))) => told,
            failed => {
                give_up(&adapter, &device).await;
                return Err(failed.and_then(Result::err));
            }
        };
        spent = spent.with(&adapter);
        let back = match select(pin!(usb_mode::back(cpu, &device, told)), answer.cancellation()).await {
            Either::Left((back, _)) => back?,
            Either::Right(_) => return Err(None),
        };
        permit = Permit::Spent { stayed: back == device };
        device = back;
    }
}

/// What the transmit task needs.
fn transmit(
    cpu: &Cpu,
    device: &UsbDevice,
    adapter: &Adapter,
    found: &Found,
    end: &End,
    frames: FrameSource,
) -> Result<Transmit, Error> {
    let board = &found.board;
    let pages = queues::layout(&adapter.regs, board.chip, board.bulk_out)?;
    Ok(Transmit {
        cpu: cpu.clone(),
        device: device.clone(),
        endpoints: EndpointMap::new(&adapter.endpoints.bulk_out, pages),
        planner: Planner { chains: board.chains, fallback_limit: board.chip.tx_fallback_limit },
        most_frames: usize::from(board.chip.tx_aggregate_descriptors),
        flights: end.flights.clone(),
        state: end.state.clone(),
        frames,
    })
}

/// Where the interface's streams are opened, while it receives.
pub(super) fn frames_of(end: &End) -> Option<FrameSource> {
    end.sink.borrow().as_ref().map(Receiver::source)
}

/// After a bring-up that failed or was given up: no power, if the chip still answers.
async fn give_up(adapter: &Adapter, device: &UsbDevice) {
    if !device.is_unplugged()
        && let Err(error) = adapter.power_off().await
    {
        tracing::debug!(%error, "the adapter could not be switched off after its bring-up failed");
    }
}
