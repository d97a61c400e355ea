//! The program `airlift`: Wi-Fi frames by a driver that runs in the application.
//!
//! [`args`] is the command line; [`devices`], [`capture`] and [`inject`] carry its commands out; [`exit`] says how the
//! program ends. Frames go to standard output, everything else to standard error.
#![forbid(unsafe_code)]

mod args;
mod capture;
mod devices;
mod escape;
mod exit;
mod export;
mod inject;
mod interrupt;
mod json;
mod output;
mod progress;
mod remote;
mod render;
mod session;
mod udev;
#[cfg(feature = "libusb")]
mod usb;
#[cfg(not(feature = "libusb"))]
#[path = "no_usb.rs"]
mod usb;
mod usb_trace;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use args::{Cli, Command};
use exit::{Exit, Failure};

/// The environment variable that says what is logged to standard error, in `tracing`'s directives; warnings unless it
/// says otherwise.
const LOG_VARIABLE: &str = "AIRLIFT_LOG";

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::builder()
                .with_default_directive(LevelFilter::WARN.into())
                .with_env_var(LOG_VARIABLE)
                .from_env_lossy(),
        )
        .with_writer(io::stderr)
        // It would be told on standard error, where it came from, and a task that logs would panic.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
    let result = match cli.command {
        Command::Devices => written(devices::list(&mut io::stdout().lock())),
        Command::Udev => written(udev::rules(&mut io::stdout().lock())),
        Command::Capture(args) => match args.check() {
            Ok(options) => run(capture::run(options)),
            Err(error) => error.exit(),
        },
        Command::Inject(args) => match args.check() {
            Ok(options) => run(inject::run(options)),
            Err(error) => error.exit(),
        },
        Command::Export(args) => match args.check() {
            Ok(options) => run(export::run(options)),
            Err(error) => error.exit(),
        },
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            progress::notice(failure.render().trim_end());
            failure.exit.into()
        }
    }
}

/// How a command ends that only writes to standard output.
fn written(result: io::Result<()>) -> Result<Exit, Failure> {
    match result {
        Ok(()) => Ok(Exit::Done),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => Err(Failure::failed(format!("cannot write standard output: {error}"))),
    }
}

/// Runs a command on a runtime with one worker, which hears signals while this thread writes.
fn run(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(command);
    // The task that waits for a second signal would not end by itself.
    runtime.shutdown_background();
    result
}
