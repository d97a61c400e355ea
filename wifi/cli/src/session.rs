//! An adapter from plugging in to switching off: kernel core, host controller, adapter, interface.
//!
//! Neighbours: [`crate::capture`] reads frames from it, [`crate::inject`] sends some.

use std::time::{Duration, Instant};

use airlift_emu::{Air, Capture, Model, ReplayOptions};
use airlift_hcd::{HostController, Layer, Port, UsbDevice};
use airlift_runtime::{Clock, Kernel, KernelHandle};
use airlift_wifi::{Chip, Firmware, StreamEnd, UsbSwitch, Wlan, WlanOptions};
use futures::channel::mpsc;
use futures::{FutureExt as _, StreamExt as _, pin_mut};

use crate::args::{self, ReplaySpeed};
use crate::devices::Choice;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::{BringUp, notice, shown};
use crate::remote::is_ours;
use crate::render::counted;
use crate::usb_trace::UsbTrace;

/// How long an adapter may take to go back to the system's driver before the user is told why the program waits.
const QUIET: Duration = Duration::from_secs(2);

/// An adapter that is up, and all that it hangs on.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) wlan: Wlan,
    /// The adapter in a few words: its chip, and where it is.
    pub(crate) hardware: String,
    pub(crate) air: Air,
    pub(crate) clock: Clock,
    pub(crate) kernel: KernelHandle,
    owner: Kernel,
    port: Port,
    usb_trace: Option<UsbTrace>,
    /// The server that an adapter on another machine is exported by.
    server: Option<String>,
    _controller: HostController,
}

impl Session {
    /// Brings the adapter of `choice` up as `options` ask, and says on standard error how it went. An emulated one
    /// is on an air with the frames of `replay` or the default scene.
    ///
    /// # Errors
    /// The adapter cannot be had or does not come up, or the user interrupts.
    pub(crate) async fn start(
        options: &args::Adapter,
        choice: Choice,
        replay: Option<(Capture, ReplaySpeed)>,
        interrupt: &mut Interrupt,
    ) -> Result<Self, Failure> {
        if let Choice::Emulated { adapter, for_want: true } = choice {
            let firmware = if options.firmware_dir.is_some() { "" } else { " (stand-in firmware)" };
            notice(format_args!("no adapter found: using emulated:{adapter}{firmware}"));
        }
        let fast = matches!(replay, Some((_, ReplaySpeed::Max)));
        let air = match replay {
            Some((capture, _)) => {
                Air::replay(capture, ReplayOptions { wait_for_start: true, ..ReplayOptions::default() })
            }
            None => Air::default_scene(options.seed),
        };
        let clock = if fast { Clock::virtual_time() } else { Clock::system() };
        let gone =
            |error: &dyn std::fmt::Display| Failure::failed(format!("cannot start the kernel core: {error}"));
        let owner =
            Kernel::builder().name("airlift").clock(clock.clone()).build().map_err(|error| gone(&error))?;
        let kernel = owner.handle();
        let controller = HostController::new(&kernel).map_err(|error| gone(&error))?;
        let usb_trace = options.usb_trace.as_deref().map(|path| UsbTrace::start(path, &clock)).transpose()?;
        let layers: Vec<&dyn Layer> =
            usb_trace.as_ref().map(|trace| &trace.layer as &dyn Layer).into_iter().collect();
        let opened = tokio::select! {
            opened = open(&choice, options, &air, &controller, &layers) => opened,
            () = interrupt.come() => {
                Err(Failure::new(Exit::Interrupted, "interrupted while the adapter was opened"))
            }
        };
        let (port, place) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                // One that was just being opened goes back to the system's driver. Not one on another machine: its
                // connection ends with the program, and until then it may be a name that is looked up for long.
                if !matches!(choice, Choice::Remote(_)) {
                    given_back(&controller, &kernel, options.detach).await;
                }
                owner.shutdown().await;
                return Err(failure);
            }
        };
        let traced = match &usb_trace {
            Some(trace) => interrupt.unless(trace.create()).await,
            None => Ok(()),
        };
        if let Err(failure) = traced {
            port.close().await;
            owner.shutdown().await;
            return Err(failure);
        }
        let begin = Instant::now();
        let attached = attach(port.device(), options, place, interrupt).await;
        let took = begin.elapsed();
        match attached {
            Ok(wlan) => {
                let stats = wlan.bring_up_stats();
                notice(format_args!(
                    "up in {}: {}, channel {} ({} MHz), {} MHz, {}, {}{}",
                    shown(took),
                    wlan.chip(),
                    options.channel.primary(),
                    options.channel.frequency_mhz(),
                    options.channel.width().mhz(),
                    counted(stats.transfers, "transfer"),
                    counted(stats.waits, "wait"),
                    match stats.usb_switch {
                        UsbSwitch::Done =>
                            format!(", switched to USB 3, now at {}", wlan.device_info().location),
                        _ => String::new(),
                    },
                ));
                let hardware = match &choice {
                    Choice::Emulated { .. } => format!("{} (emulated)", wlan.chip()),
                    Choice::Real(_) | Choice::Remote(_) => {
                        format!("{} at {}", wlan.chip(), wlan.device_info().location)
                    }
                };
                let server = match choice {
                    Choice::Remote(remote) => Some(remote.server),
                    Choice::Emulated { .. } | Choice::Real(_) => None,
                };
                Ok(Self {
                    wlan,
                    hardware,
                    air,
                    clock,
                    kernel,
                    owner,
                    port,
                    usb_trace,
                    server,
                    _controller: controller,
                })
            }
            Err(failure) => {
                port.close().await;
                owner.shutdown().await;
                // What went wrong is in there.
                if let Some(Err(trace)) = usb_trace.map(UsbTrace::finish) {
                    notice(trace.render().trim_end());
                }
                Err(failure)
            }
        }
    }

    /// Sleeps on the kernel's clock, which may be virtual.
    pub(crate) fn sleep(&self, time: Duration) -> impl Future<Output = ()> + use<> {
        sleep(&self.kernel, time)
    }

    /// The error that an interface's end is to somebody who wanted more.
    pub(crate) fn ended(&self, end: StreamEnd) -> Failure {
        match (end, &self.server) {
            (StreamEnd::Failed(error), _) => error.into(),
            (StreamEnd::Unplugged, None) => {
                Failure::new(Exit::Unplugged, "the adapter was unplugged").help("plug the adapter in again")
            }
            (StreamEnd::Unplugged, Some(server)) => {
                let lost =
                    "the adapter was unplugged from the other machine, or the connection to it was lost";
                Failure::new(Exit::Unplugged, lost).help(format!("see whether {server} still exports it"))
            }
            (end, _) => Failure::failed(end.to_string()),
        }
    }

    /// Switches the radio off and waits until nothing of the session is left.
    ///
    /// # Errors
    /// The chip could not be switched off properly.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        let Self { wlan, owner, port, usb_trace, .. } = self;
        let down = wlan.down().await;
        drop(wlan);
        port.close().await;
        owner.shutdown().await;
        let traced = usb_trace.map_or(Ok(()), UsbTrace::finish);
        down.map_err(Failure::from)?;
        traced
    }
}

fn sleep(kernel: &KernelHandle, time: Duration) -> impl Future<Output = ()> + use<> {
    let slept = kernel.spawn("airlift-sleep", move |cpu| async move { cpu.sleep(time).await });
    async move {
        if let Ok(slept) = slept {
            let _ = slept.await;
        }
    }
}

/// Waits until an adapter that was just being opened is closed, and the system's driver's again if it may have been taken
/// from it; says so if that takes long.
async fn given_back(controller: &HostController, kernel: &KernelHandle, detach: bool) {
    let closed = controller.closed();
    pin_mut!(closed);
    tokio::select! {
        biased;
        () = &mut closed => return,
        () = sleep(kernel, QUIET) => {}
    }
    let until = match detach {
        true => "the adapter is given back to the system",
        false => "the system has done with opening the adapter, which can then be closed",
    };
    notice(format_args!("waiting until {until}; another interrupt ends the program at once"));
    closed.await;
}

/// What an adapter's driver has to know of where it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// It is an adapter in software: it also runs firmware that was made for it.
    emulated: bool,
    /// One that leaves the bus can come back there.
    lets_back: bool,
}

/// The port that the adapter of `choice` is in.
async fn open(
    choice: &Choice,
    options: &args::Adapter,
    air: &Air,
    controller: &HostController,
    layers: &[&dyn Layer],
) -> Result<(Port, Place), Failure> {
    match choice {
        Choice::Emulated { adapter, .. } => {
            let adapter = adapter.builder().air(air).seed(options.seed).build();
            Ok((controller.plug_with(adapter, layers), Place { emulated: true, lets_back: true }))
        }
        Choice::Real(adapter) => {
            let port = adapter.open(controller, options.detach, layers).await?;
            Ok((port, Place { emulated: false, lets_back: true }))
        }
        // Linux's own server lets go of an adapter that leaves.
        Choice::Remote(remote) => {
            let port = remote.open(controller, layers).await?;
            let ours = is_ours(&port.device());
            Ok((port, Place { emulated: ours, lets_back: ours }))
        }
    }
}

/// Where the firmware comes from: an emulated chip also runs one that was made for it.
fn firmware(options: &args::Adapter, device: &UsbDevice, emulated: bool) -> Firmware {
    let info = device.info();
    let chip = options.chip.or_else(|| Chip::from_usb_id(info.vendor_id, info.product_id));
    let model = chip.and_then(|chip| chip.name().parse::<Model>().ok()).filter(|_| emulated);
    match (&options.firmware_dir, model) {
        (Some(dir), _) => Firmware::Directory(dir.clone()),
        (None, Some(model)) => Firmware::bytes("stand-in firmware", model.stand_in_firmware()),
        (None, None) => Firmware::System,
    }
}

/// Brings the interface up, with its progress on the terminal.
async fn attach(
    device: UsbDevice,
    options: &args::Adapter,
    place: Place,
    interrupt: &mut Interrupt,
) -> Result<Wlan, Failure> {
    let firmware = firmware(options, &device, place.emulated);
    let (tell, mut told) = mpsc::unbounded();
    let wlan_options = WlanOptions::new()
        .channel(options.channel)
        .firmware(firmware)
        .serial_io(options.serial_io)
        .usb3_switch(options.usb3_switch && place.lets_back)
        .bad_fcs(true)
        .control_frames(true)
        .on_progress(move |progress| {
            let _ = tell.unbounded_send(progress);
        });
    let wlan_options = match options.chip {
        Some(chip) => wlan_options.chip(chip),
        None => wlan_options,
    };
    let line = BringUp::new();
    let attach = Wlan::attach(device, wlan_options).fuse();
    pin_mut!(attach);
    loop {
        tokio::select! {
            attached = &mut attach => return attached.map_err(Failure::from),
            Some(progress) = told.next() => line.show(progress),
            () = interrupt.come() => {
                return Err(Failure::new(Exit::Interrupted, "interrupted while the adapter was brought up"));
            }
        }
    }
}
