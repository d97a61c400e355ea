//! `--usb-trace`: a capture's USB transfers in a file of their own.
//!
//! Neighbours: [`crate::session`] puts it above the adapter.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use airlift_hcd::{Trace, TraceOptions};
use airlift_runtime::Clock;

use crate::escape::escaped;
use crate::exit::Failure;
use crate::progress::notice;
use crate::render::{counted, grouped};

/// A trace that is being written.
#[derive(Debug)]
pub(crate) struct UsbTrace {
    pub(crate) layer: Trace,
    path: PathBuf,
}

impl UsbTrace {
    /// Creates the file and begins.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn start(path: &Path, clock: &Clock) -> Result<Self, Failure> {
        let failed = |error| Failure::failed(format!("cannot write {}: {error}", path.display()));
        let file = File::create(path).map_err(failed)?;
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let options = TraceOptions::new()
            .application(concat!("airlift ", env!("CARGO_PKG_VERSION")))
            .clock_origin(since_1970.saturating_sub(clock.now()));
        let layer = Trace::start(file, options).map_err(failed)?;
        Ok(Self { layer, path: path.to_owned() })
    }

    /// Completes the file and says what is in it.
    ///
    /// # Errors
    /// Writing failed, now or before.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self { layer, path } = self;
        let name = path.display().to_string();
        let summary = layer
            .finish_blocking()
            .map_err(|error| Failure::failed(format!("cannot write {name}: {error}")))?;
        let left_out = match summary.dropped {
            0 => String::new(),
            dropped => format!(" ({} left out: the disk was too slow)", grouped(dropped)),
        };
        notice(format_args!(
            "{}{left_out} \u{2192} {}",
            counted(summary.records, "USB record"),
            escaped(&name)
        ));
        Ok(())
    }
}
