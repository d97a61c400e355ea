//! The transfer messages: an URB on its way and back, or called back.

use super::{ProtocolError, be32};
use crate::setup::Setup;

/// Bytes of the header of every transfer message.
pub const HEADER_LEN: usize = 48;
/// `transfer_flags`: a transfer that ends short is an error (`URB_SHORT_NOT_OK`).
pub const SHORT_NOT_OK: u32 = 0x0001;
/// `transfer_flags`: an OUT transfer that fills its last packet is followed by an empty one (`URB_ZERO_PACKET`).
pub const ZERO_PACKET: u32 = 0x0040;

const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;

/// A transfer message from client to server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// `USBIP_CMD_SUBMIT`; for OUT, `length` bytes follow.
    Submit {
        /// Names the URB on this connection.
        sequence: u32,
        /// The device id that the import gave.
        device: u32,
        /// Endpoint address, bit 7 set for IN; 0 or 0x80 is the control endpoint.
        endpoint: u8,
        /// `transfer_flags` of the URB.
        flags: u32,
        /// Bytes to send or to receive.
        length: usize,
        /// The set-up packet; meaningful on the control endpoint.
        setup: Setup,
    },
    /// `USBIP_CMD_UNLINK`.
    Unlink {
        /// Names this request.
        sequence: u32,
        /// The device id that the import gave.
        device: u32,
        /// The URB to take back.
        victim: u32,
    },
}

impl Command {
    /// Reads a header of which a transfer may have at most `limit` bytes.
    ///
    /// # Errors
    /// An unknown command, or a field that cannot be: a length below 0 or above `limit`, for example.
    pub fn parse(bytes: &[u8; HEADER_LEN], limit: usize) -> Result<Self, ProtocolError> {
        let (sequence, device) = (be32(bytes, 4), be32(bytes, 8));
        match be32(bytes, 0) {
            CMD_SUBMIT => {
                let direction = be32(bytes, 12);
                if direction > 1 {
                    return Err(ProtocolError::Direction(direction));
                }
                let number = be32(bytes, 16);
                let number =
                    u8::try_from(number).ok().filter(|n| *n < 16).ok_or(ProtocolError::Endpoint(number))?;
                let length = be32(bytes, 24) as i32;
                let length = usize::try_from(length)
                    .ok()
                    .filter(|n| *n <= limit)
                    .ok_or(ProtocolError::Length(length, limit))?;
                // A client says 0 or, by another reading of the text, -1 where there are no packets.
                let packets = be32(bytes, 32) as i32;
                if packets > 0 {
                    return Err(ProtocolError::Isochronous(packets));
                }
                let mut setup = [0; 8];
                setup.copy_from_slice(&bytes[40..48]);
                Ok(Self::Submit {
                    sequence,
                    device,
                    endpoint: number | (direction as u8) << 7,
                    flags: be32(bytes, 20),
                    length,
                    setup: Setup::from_bytes(setup),
                })
            }
            CMD_UNLINK => Ok(Self::Unlink { sequence, device, victim: be32(bytes, 20) }),
            other => Err(ProtocolError::Command(other)),
        }
    }

    /// Writes the header.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        match *self {
            Self::Submit { sequence, device, endpoint, flags, length, setup } => {
                let words =
                    [CMD_SUBMIT, sequence, device, u32::from(endpoint >> 7), u32::from(endpoint & 15)];
                emit_words(&mut bytes, &words);
                bytes[20..24].copy_from_slice(&flags.to_be_bytes());
                bytes[24..28].copy_from_slice(&(length as u32).to_be_bytes());
                bytes[40..48].copy_from_slice(&setup.to_bytes());
            }
            Self::Unlink { sequence, device, victim } => {
                emit_words(&mut bytes, &[CMD_UNLINK, sequence, device, 0, 0, victim]);
            }
        }
        bytes
    }
}

/// Sets the interval of an interrupt transfer, in frames or microframes, in a header that
/// [`Command::emit`] made.
pub fn set_interval(header: &mut [u8; HEADER_LEN], interval: u32) {
    header[36..40].copy_from_slice(&interval.to_be_bytes());
}

/// A transfer message from server to client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// `USBIP_RET_SUBMIT`; for an IN transfer, `actual` bytes follow.
    Submit {
        /// The URB that ended.
        sequence: u32,
        /// 0 or a negative errno.
        status: i32,
        /// Bytes transferred.
        actual: usize,
    },
    /// `USBIP_RET_UNLINK`.
    Unlink {
        /// The request that this answers.
        sequence: u32,
        /// `-ECONNRESET` if the URB was taken back, 0 if it had ended before.
        status: i32,
    },
}

impl Answer {
    /// Reads a header of an answer that may have at most `limit` bytes.
    ///
    /// # Errors
    /// An unknown answer, or a length below 0 or above `limit`.
    pub fn parse(bytes: &[u8; HEADER_LEN], limit: usize) -> Result<Self, ProtocolError> {
        let (sequence, status) = (be32(bytes, 4), be32(bytes, 20) as i32);
        match be32(bytes, 0) {
            RET_SUBMIT => {
                let actual = be32(bytes, 24) as i32;
                let actual = usize::try_from(actual)
                    .ok()
                    .filter(|n| *n <= limit)
                    .ok_or(ProtocolError::Length(actual, limit))?;
                Ok(Self::Submit { sequence, status, actual })
            }
            RET_UNLINK => Ok(Self::Unlink { sequence, status }),
            other => Err(ProtocolError::Command(other)),
        }
    }

    /// Writes the header. Device, direction and endpoint are zero: only the sequence number counts.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        match *self {
            Self::Submit { sequence, status, actual } => {
                emit_words(&mut bytes, &[RET_SUBMIT, sequence, 0, 0, 0, status as u32, actual as u32]);
            }
            Self::Unlink { sequence, status } => {
                emit_words(&mut bytes, &[RET_UNLINK, sequence, 0, 0, 0, status as u32]);
            }
        }
        bytes
    }
}

fn emit_words(bytes: &mut [u8], words: &[u32]) {
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usbip::protocol::UNLINKED;

    /// A control read as Linux's vhci puts it on the wire.
    const SUBMIT: [u8; HEADER_LEN] = [
        0, 0, 0, 1, 0, 0, 0x0d, 0x05, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 4, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0x05, 0xf0, 0x00, 0, 0, 4, 0,
    ];

    #[test]
    fn h4_submit_header_carries_endpoint_length_and_setup() {
        let command = Command::parse(&SUBMIT, 4096).unwrap();
        let expected = Command::Submit {
            sequence: 0x0d05,
            device: 0x0001_0002,
            endpoint: 0x80,
            flags: 0x200,
            length: 4,
            setup: Setup::vendor_in(5, 0x00f0, 0, 4),
        };
        assert_eq!(command, expected);
        assert_eq!(expected.emit(), SUBMIT);
    }

    #[test]
    fn h4_a_submit_header_that_lies_is_refused() {
        let with = |at: usize, word: u32| {
            let mut bytes = SUBMIT;
            bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            Command::parse(&bytes, 4096).unwrap_err()
        };
        assert_eq!(with(0, 3), ProtocolError::Command(3));
        assert_eq!(with(12, 2), ProtocolError::Direction(2));
        assert_eq!(with(16, 16), ProtocolError::Endpoint(16));
        assert_eq!(with(16, 0x101), ProtocolError::Endpoint(0x101));
        assert_eq!(with(24, 4097), ProtocolError::Length(4097, 4096));
        assert_eq!(with(24, u32::MAX), ProtocolError::Length(-1, 4096));
        assert_eq!(with(32, 8), ProtocolError::Isochronous(8));
    }

    #[test]
    fn h4_unlink_and_answers_round_trip() {
        let unlink = Command::Unlink { sequence: 9, device: 0x10002, victim: 7 };
        assert_eq!(Command::parse(&unlink.emit(), 0), Ok(unlink));
        assert_eq!(
            unlink.emit()[..24],
            [0, 0, 0, 2, 0, 0, 0, 9, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]
        );
        let answers = [
            Answer::Submit { sequence: 7, status: 0, actual: 512 },
            Answer::Submit { sequence: 7, status: -32, actual: 0 },
            Answer::Unlink { sequence: 9, status: UNLINKED },
        ];
        for answer in answers {
            assert_eq!(Answer::parse(&answer.emit(), 512), Ok(answer));
        }
        assert_eq!(Answer::Unlink { sequence: 9, status: UNLINKED }.emit()[20..24], [0xff, 0xff, 0xff, 0x98]);
    }
}
