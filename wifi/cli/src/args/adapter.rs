//! The options that every command has that brings an adapter up.

use std::path::PathBuf;

use airlift_wifi::{Channel, Chip, Width};
use clap::Args;
use clap::error::ErrorKind;

use super::{Device, usage};

/// Which adapter, and how, as typed.
#[derive(Args, Debug)]
pub(crate) struct AdapterArgs {
    /// The adapter: emulated:CHIP, VID:PID, BUS-PORT, serial:TEXT or
    /// usbip:HOST:PORT/BUSID [default: the first one, else emulated:rtl8812au]
    ///
    /// Behind an emulated chip with USB 3 may stand how it is on its bus: emulated:rtl8812au,super is at super speed,
    /// emulated:rtl8812au,usb3-switch has an EFUSE that asks for the switch to USB 3,
    /// emulated:rtl8812au,usb3-switch-fails the same in a port that has no USB 3.
    #[arg(long, value_name = "DEVICE")]
    device: Option<Device>,

    /// The adapter's chip, if its USB id is not known to carry one
    #[arg(long, value_name = "CHIP", requires = "device")]
    chip: Option<Chip>,

    /// Take the adapter from the system's driver, and give it back at the end
    #[arg(long)]
    detach: bool,

    /// The channel; 6+ and 6- are 40 MHz wide with the second half above and below, 36/80 is 80 MHz wide
    #[arg(long, value_name = "N|N+|N-|N/WIDTH", default_value = "11", allow_hyphen_values = true)]
    channel: String,

    /// Width of the channel in MHz [default: 20, and 40 for N+ and N-]
    #[arg(long, value_name = "20|40|80", allow_negative_numbers = true)]
    width: Option<u16>,

    /// Write every USB transfer as pcapng, in the format of Linux's usbmon
    #[arg(long, value_name = "FILE.pcapng")]
    usb_trace: Option<PathBuf>,

    /// Look for firmware files here, and nowhere else
    #[arg(long, value_name = "DIR")]
    firmware_dir: Option<PathBuf>,

    /// Seed of the emulated air and adapter: the same seed gives the same frames
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,

    /// Wait for every USB transfer, as the Linux driver does, instead of posting writes
    #[arg(long)]
    serial_io: bool,

    /// Leave an adapter at USB 2 whose EFUSE asks for the switch to USB 3
    ///
    /// Such an adapter connects at high speed; the driver, as Linux's does, tells it to leave the bus and to come back
    /// at super speed, and waits for it for up to five seconds. In a port without USB 3 it comes back at high speed.
    /// One that Linux's own USB/IP server exports is left as it is: that server lets go of an adapter that leaves.
    #[arg(long)]
    no_usb3_switch: bool,
}

/// Which adapter, and how, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Adapter {
    pub(crate) device: Option<Device>,
    pub(crate) chip: Option<Chip>,
    pub(crate) detach: bool,
    pub(crate) channel: Channel,
    pub(crate) usb_trace: Option<PathBuf>,
    pub(crate) firmware_dir: Option<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) serial_io: bool,
    pub(crate) usb3_switch: bool,
}

impl AdapterArgs {
    /// The same on another channel.
    pub(super) fn on(mut self, channel: &str) -> Self {
        channel.clone_into(&mut self.channel);
        self
    }

    /// The width that was asked for, if it is one.
    pub(super) fn width(&self) -> Option<Width> {
        self.width.and_then(|mhz| Width::from_mhz(mhz).ok())
    }

    /// Checks what the options mean together; `command` is whose they are.
    ///
    /// # Errors
    /// A usage error as clap shows it.
    pub(super) fn check(self, command: &str) -> Result<Adapter, clap::Error> {
        let invalid = |message: String| usage(command, ErrorKind::InvalidValue, message);
        let width =
            self.width.map(Width::from_mhz).transpose().map_err(|error| invalid(error.to_string()))?;
        let channel = Channel::parse(&self.channel, width).map_err(|error| invalid(error.to_string()))?;
        if self.usb_trace.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            let message = "--usb-trace writes to a file, not to standard output; ./- is a file of that name";
            return Err(invalid(message.into()));
        }
        Ok(Adapter {
            device: self.device,
            chip: self.chip,
            detach: self.detach,
            channel,
            usb_trace: self.usb_trace,
            firmware_dir: self.firmware_dir,
            seed: self.seed,
            serial_io: self.serial_io,
            usb3_switch: !self.no_usb3_switch,
        })
    }
}
