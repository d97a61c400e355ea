//! The command line.
//!
//! Everything that can be judged without an adapter is judged here, so that a mistake is told before anything
//! starts. [`Device`] names an adapter, [`Adapter`] says how it is brought up; each command has its file, where its
//! options become what was asked for. Neighbours: [`crate::devices`], [`crate::capture`], [`crate::inject`] and
//! [`crate::export`] carry the commands out.

mod adapter;
mod capture;
mod device;
mod emulated;
mod export;
mod inject;

use std::fmt::Display;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

pub(crate) use adapter::{Adapter, AdapterArgs};
pub(crate) use capture::{Capture, CaptureArgs, Hop, ReplaySpeed, Target};
pub(crate) use device::Device;
pub(crate) use emulated::Emulated;
#[cfg(test)]
pub(crate) use emulated::Usb;
pub(crate) use export::{Export, ExportArgs};
pub(crate) use inject::{Inject, InjectArgs, Source};

const ABOUT: &str =
    "Capture and inject Wi-Fi frames with a driver that runs in this program, not in the kernel";

const EXAMPLES: &str = "\
Examples:
  airlift capture                            frames of channel 11, until Ctrl-C
  airlift capture --channel 36 --width 80 --count 100 --write air.pcapng
  airlift capture --write - | wireshark -k -i -
  airlift inject --read frames.pcapng --channel 6
  airlift devices
  airlift export                             an emulated adapter for a Linux kernel's own driver, over USB/IP
  airlift udev | sudo tee /etc/udev/rules.d/70-airlift.rules

No adapter is needed to try it: without one, the same driver runs on an emulated RTL8812AU.";

const EXIT_CODES: &str = "\
Exit codes:
  0 done             1 failed        2 usage            3 no adapter
  4 permission/busy  5 firmware      6 unplugged        130 interrupted before it was done

Environment:
  AIRLIFT_FIRMWARE_DIR  where firmware files are looked for before the system's own folder
  AIRLIFT_LOG           what is logged to standard error, in tracing's directives: debug, airlift_hcd=trace
                        [default: warn]";

/// The program's command line.
#[derive(Parser, Debug)]
#[command(name = "airlift", version, about = ABOUT, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// List the adapters that can be used
    Devices,
    /// Print udev rules that let you open the adapters without being root
    Udev,
    /// Show frames of a channel, and write them to a file
    #[command(after_help = "More, with examples and the JSON shape: airlift capture --help", after_long_help = format!("{}\n\n{EXIT_CODES}", capture::HELP))]
    Capture(CaptureArgs),
    /// Send the frames of a file, and tell what became of them
    #[command(after_help = "More, with examples and radio law: airlift inject --help", after_long_help = format!("{}\n\n{EXIT_CODES}", inject::HELP))]
    Inject(InjectArgs),
    /// Offer emulated adapters over USB/IP, for the driver of a Linux kernel or for airlift elsewhere
    #[command(after_long_help = format!("{}\n\n{EXIT_CODES}", export::HELP))]
    Export(ExportArgs),
}

/// A usage error of the command `name`, as clap shows it.
fn usage(name: &str, kind: ErrorKind, message: impl Display) -> clap::Error {
    let mut cli = Cli::command();
    cli.build();
    match cli.find_subcommand_mut(name) {
        Some(command) => command.error(kind, message),
        None => cli.error(kind, message),
    }
}

/// A number of seconds, perhaps with a fraction: more than none, and at most a year's.
fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR_S: f64 = 366.0 * 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= YEAR_S => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number of seconds above 0, such as 10 or 0.5".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
