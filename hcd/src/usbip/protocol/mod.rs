//! The messages of USB/IP 1.1.1, as views over bytes: what a client asks, what a server answers.
//!
//! Two families share one TCP connection. The `OP_*` messages come first (list the devices, import one); after
//! a successful import only 48-byte transfer headers follow, each with its data. All integers are big-endian.
//! Both directions of each message are here: the server parses what a client emits and the other way round.
//!
//! `op` has the first family, `transfer` the second; what both go by is here.
//!
//! Source of the layouts: Linux, `Documentation/usb/usbip_protocol.rst` and `drivers/usb/usbip/usbip_common.h`.

mod op;
mod transfer;

pub use op::*;
pub use transfer::*;

use crate::status::TransferError;

/// The protocol version in binary-coded decimal: 1.1.1.
pub const VERSION: u16 = 0x0111;

/// The TCP port that IANA has assigned to USB/IP.
pub const PORT: u16 = 3240;

/// Where [`Server`](super::Server)'s devices say that they sit: so a client can tell a device in software.
pub const EXPORT_PATH: &str = "/airlift/";

/// Why bytes are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The peer speaks another version.
    #[error("protocol version {0:#06x}, expected {VERSION:#06x}")]
    Version(u16),
    /// An `OP_*` code that is not known here.
    #[error("operation {0:#06x} is not known")]
    Operation(u16),
    /// A transfer command that is not known here, or that only the other side sends.
    #[error("transfer command {0:#x} is not known")]
    Command(u32),
    /// The direction is neither 0 nor 1.
    #[error("direction {0}, expected 0 (out) or 1 (in)")]
    Direction(u32),
    /// The endpoint number is above 15.
    #[error("endpoint number {0}, expected at most 15")]
    Endpoint(u32),
    /// The length is negative or above what a peer may ask for.
    #[error("transfer of {0} bytes, expected 0 to {1}")]
    Length(i32, usize),
    /// Isochronous packets, which are not served.
    #[error("isochronous transfer of {0} packets is not supported")]
    Isochronous(i32),
    /// The bus id is not NUL-terminated text.
    #[error("bus id is not NUL-terminated text")]
    BusId,
    /// The speed is none of USB's.
    #[error("speed code {0} is not known")]
    Speed(u32),
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The status of an URB that was taken back: `-ECONNRESET`.
pub const UNLINKED: i32 = -104;

/// The negative errno (Linux, asm-generic numbers) under which a transfer error travels.
pub const fn errno(error: TransferError) -> i32 {
    match error {
        TransferError::Stall => -32,
        TransferError::Timeout => -110,
        TransferError::Cancelled => UNLINKED,
        TransferError::Shutdown => -108,
        TransferError::Overflow => -75,
        TransferError::Protocol => -71,
        TransferError::Short => -121,
        TransferError::Invalid => -22,
        TransferError::Isochronous => -38,
        TransferError::NoMemory => -12,
    }
}

/// The transfer error that a status from the wire stands for.
///
/// # Errors
/// That error, for every status but 0; an unknown one is [`TransferError::Protocol`].
pub const fn from_errno(status: i32) -> Result<(), TransferError> {
    match status {
        0 => Ok(()),
        -32 => Err(TransferError::Stall),
        -110 | -62 => Err(TransferError::Timeout),
        -104 | -2 => Err(TransferError::Cancelled),
        -108 | -19 => Err(TransferError::Shutdown),
        -75 => Err(TransferError::Overflow),
        -121 => Err(TransferError::Short),
        -22 => Err(TransferError::Invalid),
        -38 => Err(TransferError::Isochronous),
        -12 => Err(TransferError::NoMemory),
        _ => Err(TransferError::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h4_every_transfer_error_survives_the_wire() {
        use TransferError::*;
        for error in [Stall, Timeout, Cancelled, Shutdown, Overflow, Protocol, Short, Invalid] {
            assert_eq!(from_errno(errno(error)), Err(error));
        }
        assert_eq!(from_errno(0), Ok(()));
        assert_eq!(from_errno(-9999), Err(Protocol));
    }
}
