//! `--usb-trace`: a capture's USB transfers in a file of their own.
//!
//! Neighbours: [`crate::session`] puts it above the adapter.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
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
    file: Arc<OnceLock<File>>,
}

impl UsbTrace {
    /// Begins. The file is left as it is until [`create`](Self::create): a device that cannot be opened must not cost
    /// the trace of one that could.
    ///
    /// # Errors
    /// There is no place for such a file, or the system refuses a thread.
    pub(crate) fn start(path: &Path, clock: &Clock) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::failed(format!("cannot write {}: {error}", path.display()));
        // Told before anything is done to the device.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.metadata().map_err(failed)?.is_dir() {
            return Err(failed(ErrorKind::NotADirectory.into()));
        }
        if path.is_dir() {
            return Err(failed(ErrorKind::IsADirectory.into()));
        }
        let file = Arc::new(OnceLock::new());
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let options = TraceOptions::new()
            .application(concat!("airlift ", env!("CARGO_PKG_VERSION")))
            .clock_origin(since_1970.saturating_sub(clock.now()));
        let output = Output { file: file.clone(), held: Vec::new() };
        let layer = Trace::start(output, options).map_err(failed)?;
        Ok(Self { layer, path: path.to_owned(), file })
    }

    /// What creates the file, when the device is open. It fails if the file cannot be created, and may block.
    pub(crate) fn create(&self) -> impl FnOnce() -> Result<(), Failure> + Send + use<> {
        let (path, place) = (self.path.clone(), self.file.clone());
        move || {
            let file = File::create(&path)
                .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
            // Once: there is one session to a trace.
            _ = place.set(file);
            Ok(())
        }
    }

    /// Completes the file and says what is in it.
    ///
    /// # Errors
    /// Writing failed, now or before.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self { layer, path, .. } = self;
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

/// The file, and what was written before there was one: the trace's head, for the device is not open yet.
#[derive(Debug)]
struct Output {
    file: Arc<OnceLock<File>>,
    held: Vec<u8>,
}

impl Output {
    /// The file, if there is one, with all in it that was held.
    fn caught_up(&mut self) -> io::Result<Option<&File>> {
        let Some(mut file) = self.file.get() else { return Ok(None) };
        file.write_all(&self.held)?;
        self.held.clear();
        Ok(Some(file))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.caught_up()? {
            Some(mut file) => file.write(bytes),
            None => {
                self.held.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.caught_up()?.map_or(Ok(()), |mut file| file.flush())
    }
}
