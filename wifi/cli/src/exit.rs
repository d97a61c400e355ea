//! [`Failure`]: an error as the program shows it, and the [`Exit`] code that goes with it.
//!
//! Neighbours: every command returns one; `main` prints it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use airlift_hcd::ReturnProblem;
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

/// How a user comes by the permission to open an adapter.
pub(crate) const UDEV_HELP: &str = "airlift udev | sudo tee /etc/udev/rules.d/70-airlift.rules\n\
                                    sudo udevadm control --reload, then replug";

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::of(error.kind(), error.to_string(), error.hint())
    }
}

impl Failure {
    /// An error of `kind`; `hint` is what the library says is to be done.
    fn of(kind: &ErrorKind, message: String, hint: Option<Cow<'_, str>>) -> Self {
        let failure = match kind {
            ErrorKind::FirmwareMissing { name, looked, dir_set } => {
                // A directory on the command line is the only place.
                let system = looked.iter().any(|place| place.starts_with("/lib/firmware"));
                let unset = if system && !dir_set { "$AIRLIFT_FIRMWARE_DIR (unset), " } else { "" };
                Self::new(Exit::Firmware, format!("firmware: {name} not found"))
                    .detail(format!("looked in: {unset}{}", places(looked)))
            }
            ErrorKind::FirmwareInvalid { .. } => Self::new(Exit::Firmware, message),
            ErrorKind::NotBack {
                problem: Some(ReturnProblem::Permission(_) | ReturnProblem::Busy(_)),
                ..
            } => Self::new(Exit::Busy, message),
            ErrorKind::Unplugged | ErrorKind::NotBack { .. } => Self::new(Exit::Unplugged, message),
            ErrorKind::Channel(_) => Self::new(Exit::Usage, message),
            _ => Self::failed(message),
        };
        // Where the library speaks of its own options, the program has one on the command line.
        match kind {
            ErrorKind::FirmwareMissing { .. } => failure.help(
                "Debian: apt install firmware-realtek (non-free-firmware); elsewhere --firmware-dir DIR",
            ),
            ErrorKind::FirmwareInvalid { .. } => failure.help(
                "install the file anew (Debian: apt install --reinstall firmware-realtek),\n\
                 or name the directory of another one with --firmware-dir DIR",
            ),
            ErrorKind::NotBack { problem: None, .. } => {
                failure.help("plug it into a USB 3 port, or keep it at USB 2 with --no-usb3-switch")
            }
            ErrorKind::NotBack { problem: Some(ReturnProblem::Permission(_)), .. } => {
                failure.help(format!("{UDEV_HELP},\nor keep the adapter at USB 2 with --no-usb3-switch"))
            }
            ErrorKind::NotBack { problem: Some(_), .. } => {
                failure.help("see to that, or keep the adapter at USB 2 with --no-usb3-switch")
            }
            ErrorKind::UnknownDevice { .. } => {
                failure.help("if it is one of these under another id, add --chip rtl8812au")
            }
            _ => match hint {
                Some(hint) => failure.help(hint),
                None => failure,
            },
        }
    }
}

/// The files, each once with its packed forms: `a.bin (.xz, .zst), b.bin`.
fn places(looked: &[PathBuf]) -> String {
    let mut text = String::new();
    let mut plain = String::new();
    let mut packed = false;
    for place in looked {
        let place = place.display().to_string();
        match place.strip_prefix(&plain).filter(|_| !plain.is_empty()) {
            Some(extension) => {
                text.push_str(if packed { ", " } else { " (" });
                text.push_str(extension);
                packed = true;
            }
            None => {
                text.push_str(if packed { ")" } else { "" });
                text.push_str(if text.is_empty() { "" } else { ", " });
                text.push_str(&place);
                (plain, packed) = (place, false);
            }
        }
    }
    text.push_str(if packed { ")" } else { "" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_were_looked_for_are_named_once() {
        let looked = ["/a/x.bin", "/a/x.bin.xz", "/a/x.bin.zst", "/b/x.bin", "/c/x.bin", "/c/x.bin.xz"];
        let looked = looked.map(PathBuf::from);
        assert_eq!(places(&looked), "/a/x.bin (.xz, .zst), /b/x.bin, /c/x.bin (.xz)");
        assert_eq!(places(&[]), "");
    }

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
    fn an_adapter_that_came_back_where_it_cannot_be_had_is_not_one_that_was_unplugged() {
        let of = |problem: Option<ReturnProblem>| {
            let kind = ErrorKind::NotBack { waited: core::time::Duration::from_secs(5), problem };
            let failure = Failure::of(&kind, kind.to_string(), None);
            (failure.exit, failure.render())
        };
        let node = String::from("permission denied on /dev/bus/usb/004/002");
        let (exit, text) = of(Some(ReturnProblem::Permission(node.clone())));
        assert_eq!(exit, Exit::Busy);
        assert!(text.contains(&node), "{text}");
        assert!(
            text.contains("help:  airlift udev | sudo tee") && text.contains("--no-usb3-switch"),
            "{text}"
        );
        let (exit, text) = of(Some(ReturnProblem::Busy("held by rtw88_8812au".into())));
        assert_eq!(exit, Exit::Busy);
        assert!(text.contains("--no-usb3-switch") && !text.contains("udev"), "{text}");
        assert_eq!(of(Some(ReturnProblem::Other("there is none at 4-1".into()))).0, Exit::Unplugged);
        assert_eq!(of(None).0, Exit::Unplugged);
    }

    #[test]
    fn an_error_cannot_send_control_characters_to_the_terminal() {
        let text = Failure::failed("cannot open \u{1b}[2Jfile\u{7}").render();
        assert_eq!(text, "error: cannot open \\u{1b}[2Jfile\\u{7}\n");
    }
}
