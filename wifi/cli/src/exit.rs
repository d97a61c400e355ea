//! [`Failure`]: an error as the program shows it, and the [`Exit`] code that goes with it.
//!
//! Neighbours: every command returns one; `main` prints it.

use std::fmt::Write as _;
use std::process::ExitCode;

use airlift_wifi::{Error, ErrorKind};

use crate::escape::escaped;

/// How the program ends. The numbers are part of its interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was asked for was done.
    Done = 0,
    /// Something failed that has no code of its own.
    Failed = 1,
    /// The command line asks for something that cannot be.
    Usage = 2,
    /// There is no such adapter.
    NoAdapter = 3,
    /// The adapter is there, but others have it or this user may not open it.
    #[cfg_attr(not(feature = "libusb"), expect(dead_code, reason = "nothing can be busy"))]
    Busy = 4,
    /// The firmware is missing or cannot be used.
    Firmware = 5,
    /// The adapter was unplugged.
    Unplugged = 6,
    /// Interrupted before what was asked for was done.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed: what happened, more about it, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    details: Vec<String>,
    help: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), help: None }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// The lines for standard error. Whatever in it came from outside is made safe for a terminal.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("error: {}\n", escaped(&self.message));
        for detail in &self.details {
            let _ = writeln!(text, "  {}", escaped(detail));
        }
        for (number, line) in self.help.iter().flat_map(|help| help.lines()).enumerate() {
            let _ = writeln!(text, "{}{}", if number == 0 { "help:  " } else { "       " }, escaped(line));
        }
        text
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = match error.kind() {
            ErrorKind::FirmwareMissing { name, looked, dir_set } => {
                let places: Vec<String> = looked.iter().map(|place| place.display().to_string()).collect();
                let unset = if *dir_set { "" } else { "$AIRLIFT_FIRMWARE_DIR (unset), " };
                Self::new(Exit::Firmware, format!("firmware: {name} not found"))
                    .detail(format!("looked in: {unset}{}", places.join(", ")))
            }
            ErrorKind::FirmwareInvalid { .. } => Self::new(Exit::Firmware, error.to_string()),
            ErrorKind::Unplugged => Self::new(Exit::Unplugged, error.to_string()),
            ErrorKind::Channel(_) => Self::new(Exit::Usage, error.to_string()),
            _ => Self::failed(error.to_string()),
        };
        match error.hint() {
            Some(hint) => failure.help(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_details_and_what_to_do_in_aligned_lines() {
        let failure = Failure::new(Exit::Firmware, "firmware: x.bin not found")
            .detail("looked in: /a, /b")
            .help("first line\nsecond line");
        assert_eq!(
            failure.render(),
            "error: firmware: x.bin not found\n  looked in: /a, /b\nhelp:  first line\n       second line\n"
        );
    }

    #[test]
    fn an_error_cannot_send_control_characters_to_the_terminal() {
        let text = Failure::failed("cannot open \u{1b}[2Jfile\u{7}").render();
        assert_eq!(text, "error: cannot open \\u{1b}[2Jfile\\u{7}\n");
    }
}
