//! [`TransferError`]: how an URB ends when it does not end well.

/// Why a transfer failed; small and `Copy`. The names follow the Linux status that a kernel driver would see.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The endpoint is halted or the control request was refused (`-EPIPE`).
    #[error("endpoint stalled")]
    Stall,
    /// The URB's own time limit passed (`-ETIMEDOUT`).
    #[error("transfer timed out")]
    Timeout,
    /// The URB was killed or its handle dropped (`-ENOENT`, `-ECONNRESET`).
    #[error("transfer cancelled")]
    Cancelled,
    /// The device is gone or the controller is shutting down (`-ESHUTDOWN`, `-ENODEV`).
    #[error("device unplugged")]
    Shutdown,
    /// The device sent more than was asked for (`-EOVERFLOW`).
    #[error("device sent more data than requested")]
    Overflow,
    /// A bus error: bad CRC, no answer, bit stuffing (`-EPROTO`, `-EILSEQ`).
    #[error("USB protocol error")]
    Protocol,
    /// Fewer bytes than asked for, on an URB that forbids it (`-EREMOTEIO`).
    #[error("short transfer")]
    Short,
    /// The request itself is not one that this endpoint or controller takes (`-EINVAL`).
    #[error("request not supported by the endpoint")]
    Invalid,
    /// The endpoint is isochronous, and this controller carries no such transfers (`-ENOSYS`).
    #[error("isochronous transfers are not supported")]
    Isochronous,
    /// The system has no memory for the transfer, or allows no more of it to USB (`-ENOMEM`).
    #[error("no memory for the transfer")]
    NoMemory,
}

impl TransferError {
    /// Whether the device is gone.
    pub fn is_unplugged(self) -> bool {
        self == Self::Shutdown
    }
}
