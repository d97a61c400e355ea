//! [`Error`]: what went wrong with an adapter, at which [`Stage`], and what to do about it.
//!
//! An `Error` is cheap to clone and may cross threads: one failure is told to every reader of the interface.
//! It says what was expected and what came instead, and names the register. Neighbours:
//! `regio` makes those that come from a transfer, [`Wlan`](crate::Wlan) hands them out.

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use airlift_hcd::{ReturnProblem, TransferError};
use airlift_regs::name_of;

use crate::channel::ChannelError;

/// Where an interface is between being opened and being down.
///
/// The first nine are the stages of bring-up, in order; [`Stage::number`] counts them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// The USB interface is looked at, the chip identified and its power sequence run.
    Power,
    /// The link list of the transmit buffer is written.
    Queues,
    /// Firmware is found, checked, downloaded and started.
    Firmware,
    /// The EFUSE is read.
    Efuse,
    /// DMA, queues, filters and protocol timers are set up.
    Mac,
    /// The baseband and AGC tables are written.
    Baseband,
    /// The radio tables are written.
    Radio,
    /// Band, channel, width and transmit power are set.
    Channel,
    /// The receive filter opens and bulk transfers start.
    Receive,
    /// The interface is up.
    Up,
    /// IQ and LC calibration runs.
    Calibrate,
    /// The chip is being switched off.
    Down,
    /// The adapter leaves the bus to come back at USB 3 speed; bring-up then begins afresh.
    UsbSwitch,
}

impl Stage {
    /// How many stages bring-up has.
    pub const BRING_UP: u8 = 9;

    /// The stage's place in bring-up, 1 to [`Stage::BRING_UP`]; `None` for those that come after it.
    pub const fn number(self) -> Option<u8> {
        Some(match self {
            Self::Power => 1,
            Self::Queues => 2,
            Self::Firmware => 3,
            Self::Efuse => 4,
            Self::Mac => 5,
            Self::Baseband => 6,
            Self::Radio => 7,
            Self::Channel => 8,
            Self::Receive => 9,
            Self::Up | Self::Calibrate | Self::Down | Self::UsbSwitch => return None,
        })
    }

    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Queues => "queues",
            Self::Firmware => "firmware",
            Self::Efuse => "efuse",
            Self::Mac => "mac",
            Self::Baseband => "baseband",
            Self::Radio => "radio",
            Self::Channel => "channel",
            Self::Receive => "receive",
            Self::Up => "up",
            Self::Calibrate => "calibrate",
            Self::Down => "down",
            Self::UsbSwitch => "usb 3 switch",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of failure it was.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A transfer failed.
    #[error("{operation}: {source}")]
    Transfer {
        /// What was being done: `reading MCUFW_CTRL`.
        operation: String,
        /// How the transfer ended.
        source: TransferError,
    },
    /// A register did not take the value that was waited for.
    #[error(
        "{} reads {got:#x}, expected {want:#x} under mask {mask:#x} within {waited_ms} ms ({expected})",
        name_of(*register)
    )]
    Timeout {
        /// The register's address.
        register: u16,
        /// The bits that were looked at.
        mask: u32,
        /// What they should have been.
        want: u32,
        /// What the register read last.
        got: u32,
        /// How long the driver waited, in milliseconds.
        waited_ms: u64,
        /// What the value would have meant.
        expected: &'static str,
    },
    /// A register answers with a value that no chip of this kind gives.
    #[error("{} reads {got:#x}: {expected}", name_of(*register))]
    Unexpected {
        /// The register's address.
        register: u16,
        /// What it read.
        got: u32,
        /// What was expected.
        expected: &'static str,
    },
    /// The device is none that this driver knows, or lacks an endpoint that the driver needs.
    #[error("{0}")]
    Unsupported(String),
    /// The device's id is none that is known to carry a chip of the family.
    #[error("{vendor:04x}:{product:04x} at {location} is not supported ({} are)", known_chips())]
    UnknownDevice {
        /// `idVendor`.
        vendor: u16,
        /// `idProduct`.
        product: u16,
        /// Where it is plugged in.
        location: String,
    },
    /// No firmware file was found.
    #[error("firmware: {name} not found; looked in: {}", places(.looked))]
    FirmwareMissing {
        /// The file's name below the firmware directory: `rtw88/rtw8812a_fw.bin`.
        name: &'static str,
        /// The places that were tried, in order.
        looked: Vec<PathBuf>,
        /// Whether `AIRLIFT_FIRMWARE_DIR` was set.
        dir_set: bool,
    },
    /// A firmware file was found and cannot be used.
    #[error("firmware: {origin}: {problem}")]
    FirmwareInvalid {
        /// The file, or what the application said of its bytes.
        origin: String,
        /// What was expected and what came.
        problem: String,
    },
    /// The EFUSE holds a map that cannot be.
    #[error("efuse: {0}")]
    Efuse(String),
    /// The channel or its width is none that this chip can be tuned to.
    #[error("{0}")]
    Channel(String),
    /// The calibration found no solution.
    #[error("calibration: {0}")]
    Calibration(String),
    /// A receive transfer failed again and again.
    #[error("receiving failed {attempts} times in a row: {source}")]
    Receive {
        /// Failures in a row.
        attempts: u32,
        /// How the last one ended.
        source: TransferError,
    },
    /// The adapter was unplugged.
    #[error("the adapter was unplugged")]
    Unplugged,
    /// The adapter was told to switch to USB 3, left the bus, and is not there again.
    #[error("the adapter left for USB 3 and did not come back within {} s{}", .waited.as_secs_f32(), reason(.problem.as_ref()))]
    NotBack {
        /// How long it was waited for.
        waited: Duration,
        /// What the last look for it showed, if there was anything to see.
        problem: Option<ReturnProblem>,
    },
    /// The interface is down.
    #[error("the interface is down")]
    Down,
    /// The kernel that drove the adapter has shut down, or could not be started.
    #[error("kernel: {0}")]
    Kernel(String),
}

fn reason(problem: Option<&ReturnProblem>) -> String {
    problem.map(|problem| format!(" ({problem})")).unwrap_or_default()
}

fn known_chips() -> String {
    let names: Vec<&str> = crate::Chip::ALL.iter().map(|chip| chip.name()).collect();
    names.join(", ")
}

fn places(looked: &[PathBuf]) -> String {
    looked.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A failure of the driver: its kind, the stage, and what to do about it.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    stage: Stage,
    kind: ErrorKind,
}

impl Error {
    /// An error of `kind` at `stage`. An unplugged device is [`ErrorKind::Unplugged`] however it was noticed.
    pub(crate) fn new(stage: Stage, kind: ErrorKind) -> Self {
        let kind = match kind {
            ErrorKind::Transfer { source, .. } | ErrorKind::Receive { source, .. }
                if source.is_unplugged() =>
            {
                ErrorKind::Unplugged
            }
            kind => kind,
        };
        Self { inner: Arc::new(Inner { stage, kind }) }
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// At which stage it happened.
    pub fn stage(&self) -> Stage {
        self.inner.stage
    }

    /// Whether the adapter is gone. One that came back where it cannot be had is not.
    pub fn is_unplugged(&self) -> bool {
        match &self.inner.kind {
            ErrorKind::Unplugged => true,
            ErrorKind::NotBack { problem, .. } => {
                !matches!(problem, Some(ReturnProblem::Permission(_) | ReturnProblem::Busy(_)))
            }
            _ => false,
        }
    }

    /// Whether the same call may well succeed on the same adapter, without anything being changed by hand.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.inner.kind,
            ErrorKind::Transfer { .. }
                | ErrorKind::Timeout { .. }
                | ErrorKind::Unexpected { .. }
                | ErrorKind::Calibration(_)
                | ErrorKind::Receive { .. }
        )
    }

    /// What to do about it, if there is something to be done: in terms of this library, for a person who embeds it.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match &self.inner.kind {
            ErrorKind::FirmwareMissing { .. } => {
                "Debian: apt install firmware-realtek (non-free-firmware); elsewhere name the file's directory in \
                 AIRLIFT_FIRMWARE_DIR"
                    .into()
            }
            ErrorKind::FirmwareInvalid { .. } => {
                "install the file anew (Debian: apt install --reinstall firmware-realtek), or name the directory \
                 of another one in AIRLIFT_FIRMWARE_DIR"
                    .into()
            }
            ErrorKind::UnknownDevice { .. } => {
                "if it carries that chip under another id, name the chip in WlanOptions::chip".into()
            }
            ErrorKind::Timeout { .. } | ErrorKind::Unexpected { .. } | ErrorKind::Transfer { .. } => {
                "try again; if it stays, unplug the adapter and plug it in again, without a hub".into()
            }
            ErrorKind::Receive { .. } => "try another port or cable, without a hub".into(),
            ErrorKind::Unplugged => "plug the adapter in again".into(),
            ErrorKind::NotBack { problem: None, .. } => {
                "plug it into a USB 3 port, or keep it at USB 2 with WlanOptions::usb3_switch(false)".into()
            }
            ErrorKind::NotBack { problem: Some(ReturnProblem::Permission(_)), .. } => {
                "let this user open it at its USB 3 port too (for example by the udev rules of `airlift udev`), or \
                 keep it at USB 2 with WlanOptions::usb3_switch(false)"
                    .into()
            }
            ErrorKind::NotBack { problem: Some(_), .. } => {
                "see to that, or keep the adapter at USB 2 with WlanOptions::usb3_switch(false)".into()
            }
            ErrorKind::Down => "open the interface again".into(),
            _ => return None,
        })
    }
}

impl From<ChannelError> for Error {
    /// For the `?` behind a channel that is parsed where an interface is brought up.
    fn from(error: ChannelError) -> Self {
        Self::new(Stage::Channel, ErrorKind::Channel(error.to_string()))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("stage", &self.inner.stage).field("kind", &self.inner.kind).finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inner.kind {
            // These speak of their stage themselves, or have none that would help.
            ErrorKind::FirmwareMissing { .. }
            | ErrorKind::FirmwareInvalid { .. }
            | ErrorKind::Efuse(_)
            | ErrorKind::Channel(_)
            | ErrorKind::Unsupported(_)
            | ErrorKind::UnknownDevice { .. }
            | ErrorKind::Down
            | ErrorKind::NotBack { .. }
            | ErrorKind::Kernel(_)
            | ErrorKind::Calibration(_) => write!(f, "{}", self.inner.kind),
            _ => write!(f, "{}: {}", self.inner.stage, self.inner.kind),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.inner.kind {
            ErrorKind::Transfer { source, .. } | ErrorKind::Receive { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_clone_send_sync<T: Clone + Send + Sync + 'static>() {}

    #[test]
    fn a8_errors_are_clone_send_and_sync() {
        is_clone_send_sync::<Error>();
        is_clone_send_sync::<ErrorKind>();
    }

    #[test]
    fn a8_a_timeout_names_stage_register_and_what_was_expected() {
        let error = Error::new(
            Stage::Firmware,
            ErrorKind::Timeout {
                register: airlift_regs::sys::MCUFW_CTRL.addr(),
                mask: 4,
                want: 4,
                got: 0xc6,
                waited_ms: 20,
                expected: "checksum report",
            },
        );
        let text = error.to_string();
        for part in ["firmware", "MCUFW_CTRL", "0xc6", "0x4", "20 ms", "checksum report"] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        assert!(error.is_retryable() && !error.is_unplugged() && error.hint().is_some());
    }

    #[test]
    fn a8_a_transfer_that_ends_with_shutdown_is_an_unplug() {
        let kind = ErrorKind::Transfer { operation: "reading CR".into(), source: TransferError::Shutdown };
        let error = Error::new(Stage::Mac, kind);
        assert!(error.is_unplugged() && !error.is_retryable());
        assert_eq!(error.stage(), Stage::Mac);
    }

    #[test]
    fn a8_an_adapter_that_left_for_usb_3_is_told_with_what_to_do() {
        let kind = |problem| ErrorKind::NotBack { waited: Duration::from_secs(5), problem };
        let error = Error::new(Stage::UsbSwitch, kind(None));
        assert_eq!(error.to_string(), "the adapter left for USB 3 and did not come back within 5 s");
        assert!(error.is_unplugged() && !error.is_retryable() && error.stage().number().is_none());
        let hint = error.hint().unwrap();
        assert!(hint.contains("USB 3 port") && hint.contains("usb3_switch(false)"), "{hint}");
        let held = ReturnProblem::Busy("held by rtw88_8812au".into());
        let error = Error::new(Stage::UsbSwitch, kind(Some(held)));
        assert!(error.to_string().ends_with("5 s (held by rtw88_8812au)"), "{error}");
        assert!(!error.is_unplugged(), "it is there");
        let denied = ReturnProblem::Permission("permission denied on /dev/bus/usb/004/002".into());
        let error = Error::new(Stage::UsbSwitch, kind(Some(denied)));
        assert!(!error.is_unplugged() && error.hint().unwrap().contains("airlift udev"), "{error:?}");
        let gone = Error::new(Stage::UsbSwitch, kind(Some(ReturnProblem::Other("none at 3-2".into()))));
        assert!(gone.is_unplugged());
    }

    #[test]
    fn a8_a_channel_that_cannot_be_is_an_error_of_its_stage() {
        let error = "15".parse::<crate::Channel>().map_err(Error::from).unwrap_err();
        assert_eq!(error.stage(), Stage::Channel);
        assert!(error.to_string().starts_with("unknown channel 15"), "{error}");
    }

    #[test]
    fn a8_missing_firmware_lists_where_it_looked_and_names_the_package() {
        let error = Error::new(
            Stage::Firmware,
            ErrorKind::FirmwareMissing {
                name: "rtw88/rtw8812a_fw.bin",
                looked: vec!["/a/x.bin".into(), "/b/x.xz".into()],
                dir_set: false,
            },
        );
        let text = error.to_string();
        assert!(text.contains("/a/x.bin") && text.contains("/b/x.xz") && text.contains("rtw8812a_fw.bin"));
        assert!(error.hint().is_some_and(|hint| hint.contains("firmware-realtek")));
    }
}
