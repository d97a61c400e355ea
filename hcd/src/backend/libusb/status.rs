//! What libusb says, in this crate's words: transfer statuses, errors of calls, speeds.

use std::ffi::c_int;

use rusb::constants::{
    LIBUSB_ERROR_ACCESS, LIBUSB_ERROR_BUSY, LIBUSB_ERROR_INVALID_PARAM, LIBUSB_ERROR_NO_DEVICE,
    LIBUSB_ERROR_NO_MEM, LIBUSB_ERROR_NOT_FOUND, LIBUSB_ERROR_NOT_SUPPORTED, LIBUSB_ERROR_OVERFLOW,
    LIBUSB_ERROR_PIPE, LIBUSB_ERROR_TIMEOUT, LIBUSB_TRANSFER_CANCELLED, LIBUSB_TRANSFER_COMPLETED,
    LIBUSB_TRANSFER_NO_DEVICE, LIBUSB_TRANSFER_OVERFLOW, LIBUSB_TRANSFER_STALL, LIBUSB_TRANSFER_TIMED_OUT,
};

use crate::function::Speed;
use crate::status::TransferError;

/// How a transfer ended (`libusb_transfer_status`). One that libusb has no name for is a protocol error.
pub(super) fn ended(status: c_int) -> Result<(), TransferError> {
    match status {
        LIBUSB_TRANSFER_COMPLETED => Ok(()),
        LIBUSB_TRANSFER_TIMED_OUT => Err(TransferError::Timeout),
        LIBUSB_TRANSFER_CANCELLED => Err(TransferError::Cancelled),
        LIBUSB_TRANSFER_STALL => Err(TransferError::Stall),
        LIBUSB_TRANSFER_NO_DEVICE => Err(TransferError::Shutdown),
        LIBUSB_TRANSFER_OVERFLOW => Err(TransferError::Overflow),
        _ => Err(TransferError::Protocol),
    }
}

/// Why a transfer could not be started (`libusb_error`, what `libusb_submit_transfer` returns).
pub(super) fn refused(code: c_int) -> TransferError {
    match code {
        LIBUSB_ERROR_NO_DEVICE => TransferError::Shutdown,
        LIBUSB_ERROR_PIPE => TransferError::Stall,
        LIBUSB_ERROR_TIMEOUT => TransferError::Timeout,
        LIBUSB_ERROR_OVERFLOW => TransferError::Overflow,
        LIBUSB_ERROR_NO_MEM => TransferError::NoMemory,
        LIBUSB_ERROR_INVALID_PARAM
        | LIBUSB_ERROR_NOT_SUPPORTED
        | LIBUSB_ERROR_NOT_FOUND
        | LIBUSB_ERROR_ACCESS
        | LIBUSB_ERROR_BUSY => TransferError::Invalid,
        _ => TransferError::Protocol,
    }
}

/// How an operation on the device (configuration, alternate setting, halt, reset) failed. libusb says "not found"
/// where the device refuses a setting or has no such endpoint, which a host controller calls a stall.
pub(super) fn operation(error: rusb::Error) -> TransferError {
    match error {
        rusb::Error::NoDevice => TransferError::Shutdown,
        rusb::Error::Pipe | rusb::Error::NotFound => TransferError::Stall,
        rusb::Error::Timeout => TransferError::Timeout,
        rusb::Error::Overflow => TransferError::Overflow,
        rusb::Error::NoMem => TransferError::NoMemory,
        rusb::Error::InvalidParam | rusb::Error::NotSupported | rusb::Error::Access | rusb::Error::Busy => {
            TransferError::Invalid
        }
        _ => TransferError::Protocol,
    }
}

/// The speed of a connection. One that the system does not know is told from the version of USB that the device
/// speaks; what is faster than 5 Gbit/s counts as that.
pub(super) fn speed(speed: rusb::Speed, usb_version: u16) -> Speed {
    match speed {
        rusb::Speed::Low => Speed::Low,
        rusb::Speed::Full => Speed::Full,
        rusb::Speed::High => Speed::High,
        rusb::Speed::Super | rusb::Speed::SuperPlus => Speed::Super,
        _ if usb_version >= 0x0300 => Speed::Super,
        _ if usb_version >= 0x0200 => Speed::High,
        _ => Speed::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_every_status_of_libusb_has_its_meaning() {
        let meanings: Vec<_> = (-1..=7).map(ended).collect();
        assert_eq!(
            meanings,
            [
                Err(TransferError::Protocol), // no such status
                Ok(()),
                Err(TransferError::Protocol),
                Err(TransferError::Timeout),
                Err(TransferError::Cancelled),
                Err(TransferError::Stall),
                Err(TransferError::Shutdown),
                Err(TransferError::Overflow),
                Err(TransferError::Protocol), // no such status
            ]
        );
    }

    #[test]
    fn h1_a_transfer_that_cannot_start_says_why() {
        let expected = [
            (-1, TransferError::Protocol),
            (-2, TransferError::Invalid),
            (-3, TransferError::Invalid),
            (-4, TransferError::Shutdown),
            (-5, TransferError::Invalid),
            (-6, TransferError::Invalid),
            (-7, TransferError::Timeout),
            (-8, TransferError::Overflow),
            (-9, TransferError::Stall),
            (-10, TransferError::Protocol),
            (-11, TransferError::NoMemory),
            (-12, TransferError::Invalid),
            (-99, TransferError::Protocol),
        ];
        for (code, error) in expected {
            assert_eq!(refused(code), error, "libusb_error {code}");
        }
    }

    #[test]
    fn h2_an_operation_that_the_device_refuses_is_a_stall_and_a_lost_device_a_shutdown() {
        assert_eq!(operation(rusb::Error::NotFound), TransferError::Stall);
        assert_eq!(operation(rusb::Error::Pipe), TransferError::Stall);
        assert_eq!(operation(rusb::Error::NoDevice), TransferError::Shutdown);
        assert_eq!(operation(rusb::Error::Busy), TransferError::Invalid);
        assert_eq!(operation(rusb::Error::NoMem), TransferError::NoMemory);
        assert_eq!(operation(rusb::Error::Io), TransferError::Protocol);
    }

    #[test]
    fn speeds_that_the_system_does_not_know_follow_from_the_version_of_usb() {
        assert_eq!(speed(rusb::Speed::Low, 0x0200), Speed::Low);
        assert_eq!(speed(rusb::Speed::SuperPlus, 0x0320), Speed::Super);
        assert_eq!(speed(rusb::Speed::Unknown, 0x0300), Speed::Super);
        assert_eq!(speed(rusb::Speed::Unknown, 0x0210), Speed::High);
        assert_eq!(speed(rusb::Speed::Unknown, 0x0110), Speed::Full);
    }
}
