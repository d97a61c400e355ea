//! [`Wlan`]: a wireless interface in monitor mode.
//!
//! [`Wlan::attach`] brings an adapter up and returns when frames flow. A `Wlan` is a handle: cheap to clone, usable
//! from any thread and any executor; what it asks is done by tasks on the kernel core. [`Wlan::frames`] opens
//! streams; [`Wlan::down`] ends them, switches the chip off, and returns when that is done.
//!
//! Neighbours: `driver` holds the tasks, [`stream`](crate::stream) the streams, [`firmware`](crate::firmware) what
//! the chip needs to run.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use airlift_hcd::{DeviceInfo, HostController, UsbDevice, UsbFunction};
use airlift_runtime::{Kernel, KernelHandle};
use futures::channel::oneshot;

use crate::channel::{Channel, Width};
use crate::chip::Chip;
use crate::driver::{
    self, Belongings, BringUpStats, Command, Link, Own, Progress, ProgressSink, Settings, Up,
};
use crate::error::{Error, ErrorKind, Stage};
use crate::firmware::{Firmware, Image};
use crate::ieee80211::MacAddr;
use crate::regio::Io;
use crate::stats::RxStats;
use crate::stream::{FrameSource, FrameStream, StreamEnd, StreamOptions};
use crate::tx::{InjectError, Outcome, Ticket, Transmitter, TxFrame, TxStats};

/// How an interface is brought up.
#[derive(Clone)]
#[must_use]
pub struct WlanOptions {
    kernel: Option<KernelHandle>,
    chip: Option<Chip>,
    channel: Channel,
    firmware: Firmware,
    io: Io,
    bad_fcs: bool,
    control_frames: bool,
    aggregation: bool,
    usb3_switch: bool,
    progress: Option<ProgressSink>,
}

impl WlanOptions {
    /// Channel 11 at 20 MHz, the system's firmware, posted register writes, several frames to a transfer, no frames
    /// with a wrong check sequence, USB 3 where the adapter asks for it.
    pub fn new() -> Self {
        Self {
            kernel: None,
            chip: None,
            channel: Channel::new(11, Width::Mhz20).expect("channel 11 is one of 2.4 GHz"),
            firmware: Firmware::System,
            io: Io::Posted,
            bad_fcs: false,
            control_frames: false,
            aggregation: true,
            usb3_switch: true,
            progress: None,
        }
    }

    /// The kernel core that [`Wlan::open`] uses in place of one of its own.
    pub fn kernel(mut self, kernel: &KernelHandle) -> Self {
        self.kernel = Some(kernel.clone());
        self
    }

    /// The chip, for an adapter whose USB id is not known to carry it.
    pub fn chip(mut self, chip: Chip) -> Self {
        self.chip = Some(chip);
        self
    }

    /// The first channel.
    pub fn channel(mut self, channel: Channel) -> Self {
        self.channel = channel;
        self
    }

    /// Where the firmware comes from.
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// Waits for every control transfer before the next one is submitted, as mainline's driver does. Slower; for
    /// adapters that do not bear transfers one right after the other.
    pub fn serial_io(mut self, serial: bool) -> Self {
        self.io = if serial { Io::Serial } else { Io::Posted };
        self
    }

    /// Whether the chip hands over frames whose check sequence is wrong. Streams drop them unless they are
    /// [told not to](StreamOptions::bad_fcs).
    pub fn bad_fcs(mut self, wanted: bool) -> Self {
        self.bad_fcs = wanted;
        self
    }

    /// Whether the chip hands over control frames: RTS, CTS, acknowledgements and the like. Off unless asked for,
    /// as in mainline's monitor mode.
    pub fn control_frames(mut self, wanted: bool) -> Self {
        self.control_frames = wanted;
        self
    }

    /// Whether the chip packs several frames into one USB transfer: less work for each frame, up to a millisecond
    /// later.
    pub fn rx_aggregation(mut self, on: bool) -> Self {
        self.aggregation = on;
        self
    }

    /// Whether an adapter whose EFUSE asks for it is switched from USB 2 to USB 3, as mainline does unless its module
    /// parameter `switch_usb_mode` says no. On unless told otherwise.
    ///
    /// The adapter then leaves the bus during bring-up and comes back at super speed, as another device in the same
    /// place ([`UsbDevice::returned`] says how it is found there), or at high speed again where the port has no more.
    /// It is told once; with what it comes back as the bring-up goes on. [`BringUpStats::usb_switch`] says what became
    /// of it.
    ///
    /// Linux's USB/IP server lets go of an adapter that leaves, so turn this off for one that it exports.
    pub fn usb3_switch(mut self, wanted: bool) -> Self {
        self.usb3_switch = wanted;
        self
    }

    /// Hears of the stages of bring-up. Called on the kernel's thread: it must not block.
    pub fn on_progress(mut self, hear: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(hear));
        self
    }
}

impl Default for WlanOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WlanOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WlanOptions")
            .field("chip", &self.chip)
            .field("channel", &self.channel)
            .field("firmware", &self.firmware)
            .field("io", &self.io)
            .field("bad_fcs", &self.bad_fcs)
            .field("control_frames", &self.control_frames)
            .field("rx_aggregation", &self.aggregation)
            .field("usb3_switch", &self.usb3_switch)
            .finish_non_exhaustive()
    }
}

/// A wireless interface in monitor mode. Clones are the same interface.
///
/// When the last clone is dropped the interface goes down by itself, in the background; [`Wlan::down`] says when.
#[derive(Clone)]
pub struct Wlan {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    own: Own,
    chip: Chip,
    mac_address: Option<MacAddr>,
    chains: u8,
    stats: BringUpStats,
    device: DeviceInfo,
    frames: FrameSource,
}

impl Wlan {
    /// Brings up the adapter `device` on its controller's kernel core, and returns when it receives.
    ///
    /// On an error the chip has been switched off again, if it still answers, and the call can be made anew. An adapter
    /// that was [switched to USB 3](WlanOptions::usb3_switch) is another [`UsbDevice`] then; its
    /// [`Port`](airlift_hcd::Port) has it.
    ///
    /// # Cancel safety
    /// Dropping the future gives the interface up: the bring-up stops between two transfers and the chip is
    /// switched off in the background. An adapter that is away for USB 3 comes back switched off.
    ///
    /// # Errors
    /// Unknown device, firmware missing or unfit, transfer errors, a chip that does not answer as it should,
    /// unplugged, kernel gone. See [`ErrorKind`].
    pub async fn attach(device: UsbDevice, options: WlanOptions) -> Result<Self, Error> {
        let kernel = device.kernel();
        Self::bring_up(kernel, device, options, Own::default()).await
    }

    /// Plugs `function`, a device in software, into a controller of its own and brings it up: on the kernel core of
    /// [`WlanOptions::kernel`], or on a private one that ends with the interface's last user.
    ///
    /// # Cancel safety
    /// As [`attach`](Self::attach).
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub async fn open(function: impl UsbFunction, options: WlanOptions) -> Result<Self, Error> {
        let failed = |problem: String| Error::new(Stage::Power, ErrorKind::Kernel(problem));
        let mut belongings = Belongings::default();
        let kernel = match &options.kernel {
            Some(kernel) => kernel.clone(),
            None => {
                let kernel = Kernel::new().map_err(|error| failed(error.to_string()))?;
                belongings.kernel.insert(kernel).handle()
            }
        };
        let controller = HostController::new(&kernel).map_err(|gone| failed(gone.to_string()))?;
        let port = controller.plug(function);
        let device = port.device();
        belongings.port = Some(port);
        Self::bring_up(kernel, device, options, Arc::new(Mutex::new(belongings))).await
    }

    async fn bring_up(
        kernel: KernelHandle,
        device: UsbDevice,
        options: WlanOptions,
        own: Own,
    ) -> Result<Self, Error> {
        let info = device.info();
        let chip = options.chip.or_else(|| Chip::from_usb_id(info.vendor_id, info.product_id));
        let chip = chip.ok_or_else(|| {
            Error::new(
                Stage::Power,
                ErrorKind::UnknownDevice {
                    vendor: info.vendor_id,
                    product: info.product_id,
                    location: info.location.clone(),
                },
            )
        })?;
        let image = load(&kernel, options.firmware, chip).await?;
        let settings = Settings {
            chip,
            channel: options.channel,
            io: options.io,
            bad_fcs: options.bad_fcs,
            control_frames: options.control_frames,
            aggregation: options.aggregation,
            usb3_switch: options.usb3_switch,
            progress: options.progress,
        };
        let (link, up) = driver::start(&kernel, device, settings, image, own.clone())?;
        let up = match up.await {
            Ok(up) => up?,
            // The kernel dropped the task.
            Err(oneshot::Canceled) => return Err(ended(&link)),
        };
        let mac_address = up.mac_address.map(MacAddr::from);
        let Up { chains, stats, frames, device, .. } = up;
        let shared = Shared { link, own, chip, mac_address, chains, stats, device, frames };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The chip.
    pub fn chip(&self) -> Chip {
        self.shared.chip
    }

    /// The address that was burnt into the adapter, if there is one.
    pub fn mac_address(&self) -> Option<MacAddr> {
        self.shared.mac_address
    }

    /// Receive chains in use.
    pub fn chains(&self) -> u8 {
        self.shared.chains
    }

    /// The adapter as it is on its bus: after a [switch to USB 3](WlanOptions::usb3_switch) it is another device than
    /// the one that was attached.
    pub fn device_info(&self) -> &DeviceInfo {
        &self.shared.device
    }

    /// What bringing the interface up took.
    pub fn bring_up_stats(&self) -> BringUpStats {
        self.shared.stats
    }

    /// The channel that the radio is on; `None` while it is being changed, and after a change that failed: a frame that
    /// is received then has no channel either.
    pub fn channel(&self) -> Option<Channel> {
        lock(&self.shared.link.state).channel
    }

    /// Tunes to another channel. On another band, and if it is the present one, everything that depends on it is set
    /// anew; else what differs.
    ///
    /// # Cancel safety
    /// Once polled the change is made, whether or not its end is waited for.
    ///
    /// # Errors
    /// A width that the adapter cannot do, transfer errors, or why the interface has ended.
    pub async fn set_channel(&self, channel: Channel) -> Result<(), Error> {
        self.ask(|answer| Command::SetChannel(channel, answer)).await
    }

    /// Tunes to another channel as quickly as can be: what the last change of channel left in the radio's synthesizers
    /// is not read back, and as long as the interface has sent nothing, the transmit power is left for its first frame,
    /// which waits for it. Between two channels of a sub-band (2.4 GHz is one) with the same width this takes a transfer
    /// for each path of the radio and a single round trip, and for an interface that sends, the powers that differ before
    /// it. [`set_channel`](Self::set_channel) leaves the same chip, power included, and looks at what it holds.
    ///
    /// # Cancel safety
    /// As [`set_channel`](Self::set_channel).
    ///
    /// # Errors
    /// As [`set_channel`](Self::set_channel).
    pub async fn hop(&self, channel: Channel) -> Result<(), Error> {
        self.ask(|answer| Command::Hop(channel, answer)).await
    }

    /// Limits the transmit power to `dbm`, or with `None` to what EFUSE and tables allow. It can only be lowered.
    ///
    /// # Cancel safety
    /// As [`set_channel`](Self::set_channel).
    ///
    /// # Errors
    /// Transfer errors, or why the interface has ended.
    pub async fn set_tx_power(&self, dbm: Option<i8>) -> Result<(), Error> {
        self.ask(|answer| Command::SetTxPower(dbm, answer)).await
    }

    /// Calibrates the radio on the present channel (LC tank and IQ imbalance). Takes up to half a second, in which
    /// nothing is received. A monitor gets on without.
    ///
    /// # Cancel safety
    /// As [`set_channel`](Self::set_channel).
    ///
    /// # Errors
    /// Transfer errors, or why the interface has ended.
    pub async fn calibrate(&self) -> Result<(), Error> {
        self.ask(Command::Calibrate).await
    }

    /// Opens a stream of the frames that come from now on: each whose check sequence is right, in a queue of
    /// 4 MiB. Every stream is its own: its queue, its losses, its pace.
    pub fn frames(&self) -> FrameStream {
        self.frames_with(StreamOptions::new())
    }

    /// The same for a reader with wishes: a [`Filter`](crate::filter::Filter), or [`StreamOptions`] that also
    /// tell how large its queue is and what is dropped when that is full.
    pub fn frames_with(&self, options: impl Into<StreamOptions>) -> FrameStream {
        self.shared.frames.open(options)
    }

    /// What was received so far, whoever read it.
    pub fn stats(&self) -> RxStats {
        self.shared.frames.stats()
    }

    /// Sends a frame, and tells what became of it: it returns when the chip has reported the frame, or it is known
    /// that none will be. `frame` is anything that makes a [`TxFrame`]: the bytes of an MPDU, a received
    /// [`Frame`](crate::Frame), or a `TxFrame` with a rate, retries and the like.
    ///
    /// One after the other, each frame takes a round trip to the chip. To have several on their way use
    /// [`send`](Self::send) or [`sink`](Self::sink).
    ///
    /// # Cancel safety
    /// Dropped while the queue has no room for the frame, the frame is not sent; after that it is, and nobody learns of
    /// its outcome.
    ///
    /// # Errors
    /// The frame cannot be sent as it is, its transfer failed, or the interface ended. The error has the frame.
    pub async fn inject(&self, frame: impl Into<TxFrame>) -> Result<Outcome, InjectError> {
        self.send(frame).await.await
    }

    /// Hands over a frame to be sent, and returns a [`Ticket`] for its outcome as soon as the queue has taken it. The
    /// queue holds 64 frames or 256 KiB; while it is full this waits, in the order of the calls, and nothing is ever
    /// dropped. Frames of one class go out in the order in which they were handed over.
    ///
    /// # Cancel safety
    /// Dropped before it returned, the frame is not sent. Dropping the ticket does not take the frame back.
    pub async fn send(&self, frame: impl Into<TxFrame>) -> Ticket {
        Ticket::issue(self.shared.link.queue.clone(), frame.into()).await
    }

    /// A [`Sink`](futures::Sink) of frames to be sent.
    pub fn sink(&self) -> Transmitter {
        Transmitter::new(self.shared.link.queue.clone())
    }

    /// What became of the frames that were to be sent so far.
    pub fn tx_stats(&self) -> TxStats {
        self.shared.link.queue.stats()
    }

    /// Takes the interface down: reception stops, what the chip has taken in is still delivered, the chip is
    /// switched off. When it returns no URB of the interface is on its way; a private kernel core and its threads
    /// are gone. On an interface that has ended already it waits for just that.
    ///
    /// # Cancel safety
    /// Once polled the interface goes down, whether or not its end is waited for.
    ///
    /// # Errors
    /// The chip could not be switched off properly. The interface is down all the same.
    pub async fn down(&self) -> Result<(), Error> {
        let (answer, told) = oneshot::channel();
        let asked = self.shared.link.commands.send(Command::Down(answer)).await.is_ok();
        let result = if asked { told.await.unwrap_or(Ok(())) } else { Ok(()) };
        self.closed().await;
        let belongings = core::mem::take(&mut *lock(&self.shared.own));
        if let Some(port) = belongings.port {
            port.close().await;
        }
        if let Some(kernel) = belongings.kernel {
            kernel.shutdown().await;
        }
        result
    }

    /// Waits until the interface has ended, for whatever reason, and tells it. The chip is off (or gone) and no URB
    /// of the interface is on its way.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn closed(&self) -> StreamEnd {
        // Nothing is ever sent: it ends when the task has.
        let _ = self.shared.link.ended.recv().await;
        driver::stream_end(ended(&self.shared.link))
    }

    /// Why the interface has ended; `None` while it is up.
    pub fn end(&self) -> Option<StreamEnd> {
        lock(&self.shared.link.state).end.clone().map(driver::stream_end)
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), Error>>) -> Command,
    ) -> Result<(), Error> {
        let (answer, told) = oneshot::channel();
        if self.shared.link.commands.send(command(answer)).await.is_err() {
            return Err(ended(&self.shared.link));
        }
        match told.await {
            Ok(result) => result,
            Err(oneshot::Canceled) => {
                // The task ended first; it says why when it is through.
                let _ = self.shared.link.ended.recv().await;
                Err(ended(&self.shared.link))
            }
        }
    }
}

impl fmt::Debug for Wlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wlan")
            .field("chip", &self.shared.chip)
            .field("channel", &self.channel())
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

/// Why the interface behind `link` ended.
fn ended(link: &Link) -> Error {
    let end = lock(&link.state).end.clone();
    end.unwrap_or_else(|| Error::new(Stage::Up, ErrorKind::Down))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads the firmware on a thread of its own: files are read there, and nobody else waits for the disk.
async fn load(kernel: &KernelHandle, firmware: Firmware, chip: Chip) -> Result<Image, Error> {
    if let Firmware::Bytes { .. } = firmware {
        return firmware.load(chip.info());
    }
    let failed = |problem: String| Error::new(Stage::Firmware, ErrorKind::Kernel(problem));
    // A disk's time is not part of virtual time.
    let hold = kernel.clock().hold();
    let (done, loaded) = oneshot::channel();
    std::thread::Builder::new()
        .name("airlift firmware".into())
        .spawn(move || {
            let _ = done.send(firmware.load(chip.info()));
        })
        .map_err(|error| failed(error.to_string()))?;
    let image = loaded.await.unwrap_or_else(|_| Err(failed("the firmware's reader ended".into())));
    drop(hold);
    image
}
