//! Where captured frames go: lines or JSON to standard output, pcapng to a file or to standard output.
//!
//! A write that fails ends the capture with an error that names the place and says how many frames came before
//! it. Only a reader of standard output that has gone away is no error: it has what it wanted. Neighbours:
//! [`crate::capture`] hands frames over; [`crate::render`] and [`crate::json`] make the lines.

use std::error::Error as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::time::{Duration, SystemTime};

use airlift_wifi::pcapng::{PcapngOptions, PcapngWriter, WriteError};
use airlift_wifi::{Frame, StreamStats};

use crate::args::{self, Target};
use crate::exit::{Exit, Failure};
use crate::render::counted;
use crate::session::Session;
use crate::{json, render};

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Written {
    /// It went where it should.
    Yes,
    /// Whoever read standard output has gone, and nobody else wants the frames.
    Unread,
}

/// The lines on standard output.
struct Lines {
    out: BufWriter<io::Stdout>,
    json: bool,
}

/// The pcapng, and what to call it in an error.
struct Pcapng {
    writer: PcapngWriter<Box<dyn Write + Send>>,
    name: String,
    to_stdout: bool,
}

/// A place for pcapng that can be written to, before there is anything to write.
pub(crate) struct Place {
    sink: Box<dyn Write + Send>,
    name: String,
    to_stdout: bool,
    /// The file, whose old content goes when there is something new.
    old: Option<File>,
}

impl Place {
    /// Opens `target`. A file keeps its old content until [`Output::begin`].
    ///
    /// # Errors
    /// It cannot be opened for writing, or is a terminal.
    pub(crate) fn open(target: &Target) -> Result<Self, Failure> {
        match target {
            Target::Stdout if io::stdout().is_terminal() => {
                Err(Failure::new(Exit::Usage, "pcapng is not for a terminal")
                    .help("airlift capture --write - | wireshark -k -i -, or --write FILE.pcapng"))
            }
            Target::Stdout => Ok(Self {
                sink: Box::new(io::stdout()),
                name: "standard output".into(),
                to_stdout: true,
                old: None,
            }),
            Target::File(path) => {
                let name = path.display().to_string();
                let failed = |error: io::Error| {
                    let failure = Failure::failed(format!("cannot write {name}: {error}"));
                    if error.kind() == io::ErrorKind::NotFound {
                        failure.help("its directory does not exist; make it first")
                    } else {
                        failure
                    }
                };
                let file =
                    OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
                let old = file.try_clone().map_err(failed)?;
                Ok(Self { sink: Box::new(file), name, to_stdout: false, old: Some(old) })
            }
        }
    }
}

impl Pcapng {
    /// Empties the place and writes the file's head.
    fn begin(place: Place, session: &Session, now: Duration) -> Result<Self, Failure> {
        let Place { sink, name, to_stdout, old } = place;
        if let Some(old) = old
            && old.metadata().is_ok_and(|metadata| metadata.is_file())
        {
            old.set_len(0).map_err(|error| Failure::failed(format!("cannot write {name}: {error}")))?;
        }
        // Frames are stamped on the kernel's clock, which counts from its own origin.
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut options = PcapngOptions::new("wlan0")
            .application(concat!("airlift ", env!("CARGO_PKG_VERSION")))
            .hardware(&*session.hardware)
            .clock_origin(since_1970.saturating_sub(now));
        if let Some(channel) = session.wlan.channel() {
            options = options.description(format!("monitor, channel {channel}"));
        }
        if let Some(address) = session.wlan.mac_address() {
            options = options.mac_address(address);
        }
        match PcapngWriter::new(sink, &options) {
            Ok(writer) => Ok(Self { writer, name, to_stdout }),
            Err(error) => Err(pcapng_failure(&name, &error)),
        }
    }

    /// What a write came to.
    fn written(&self, result: Result<(), WriteError>) -> Result<Written, Failure> {
        match result {
            Ok(()) => Ok(Written::Yes),
            Err(error) if self.to_stdout && error.io_kind() == io::ErrorKind::BrokenPipe => {
                Ok(Written::Unread)
            }
            Err(error) => Err(pcapng_failure(&self.name, &error)),
        }
    }
}

fn pcapng_failure(name: &str, error: &WriteError) -> Failure {
    let source = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let (written, lost) = (error.frames_written(), error.frames_lost());
    let failure = Failure::failed(format!("cannot write {name}: {source}"));
    failure.detail(format!("it holds {}; {lost} more were captured and are lost", counted(written, "frame")))
}

/// All places that frames go to.
pub(crate) struct Output {
    lines: Option<Lines>,
    pcapng: Option<Pcapng>,
    /// Start of the capture on the kernel's clock.
    since: Duration,
}

impl Output {
    /// Begins the output of a capture on `session` that starts now, at `since` on the kernel's clock.
    ///
    /// # Errors
    /// The place for pcapng cannot be written to.
    pub(crate) fn begin(
        options: &args::Capture,
        place: Option<Place>,
        session: &Session,
        since: Duration,
    ) -> Result<Self, Failure> {
        let pcapng = place.map(|place| Pcapng::begin(place, session, since)).transpose()?;
        let lines = (options.write != Some(Target::Stdout))
            .then(|| Lines { out: BufWriter::new(io::stdout()), json: options.json });
        Ok(Self { lines, pcapng, since })
    }

    /// Whether frames are shown as a table to a person, who wants its head; a file or a pipe gets the lines alone.
    pub(crate) fn wants_head(&self) -> bool {
        io::stdout().is_terminal() && self.lines.as_ref().is_some_and(|lines| !lines.json)
    }

    /// Puts a frame out everywhere.
    ///
    /// # Errors
    /// A place cannot be written to.
    pub(crate) fn put(&mut self, frame: &Frame) -> Result<Written, Failure> {
        if let Some(pcapng) = &mut self.pcapng {
            let result = pcapng.writer.write(frame);
            if pcapng.written(result)? == Written::Unread {
                return Ok(Written::Unread);
            }
        }
        let Some(lines) = &mut self.lines else { return Ok(Written::Yes) };
        let line = if lines.json { json::line(frame, self.since) } else { render::line(frame, self.since) };
        let result = writeln!(lines.out, "{line}");
        self.line_written(result)
    }

    /// Lets everything put out so far be seen.
    ///
    /// # Errors
    /// A place cannot be written to.
    pub(crate) fn flush(&mut self) -> Result<Written, Failure> {
        if let Some(pcapng) = &mut self.pcapng {
            let result = pcapng.writer.flush();
            if pcapng.written(result)? == Written::Unread {
                return Ok(Written::Unread);
            }
        }
        let Some(lines) = &mut self.lines else { return Ok(Written::Yes) };
        let result = lines.out.flush();
        self.line_written(result)
    }

    /// Ends the pcapng with the account of the capture.
    ///
    /// # Errors
    /// A place cannot be written to.
    pub(crate) fn finish(mut self, stats: &StreamStats) -> Result<(), Failure> {
        if let Some(Pcapng { writer, name, to_stdout }) = self.pcapng.take() {
            match writer.finish(stats) {
                Err(error) if !(to_stdout && error.io_kind() == io::ErrorKind::BrokenPipe) => {
                    return Err(pcapng_failure(&name, &error));
                }
                _ => {}
            }
        }
        self.flush().map(drop)
    }

    fn line_written(&mut self, result: io::Result<()>) -> Result<Written, Failure> {
        match result {
            Ok(()) => Ok(Written::Yes),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.lines = None;
                // A file is written on even if nobody looks.
                Ok(if self.pcapng.is_some() { Written::Yes } else { Written::Unread })
            }
            Err(error) => Err(Failure::failed(format!("cannot write standard output: {error}"))),
        }
    }
}
