//! Packets for the chip itself: pages of its transmit buffer, and commands to its firmware. They take the way of frames,
//! with a descriptor that says what they are.
//!
//! Facts: rtw88 `usb.c`, `rtw_usb_write_data_rsvd_page`, `rtw_usb_write_data_h2c`; `tx.h`, `enum
//! rtw_tx_desc_queue_select`; `tx.c`, `rtw_tx_fill_tx_desc`, `fill_txdesc_checksum_common`.

use core::time::Duration;

use airlift_hcd::{TransferError, Urb, UsbDevice};

use crate::regio::Local;

/// Bytes of a descriptor.
pub(in crate::driver) const DESCRIPTOR: usize = 40;
/// How many of them the checksum covers.
const CHECKED: usize = 32;
/// How long a packet may take.
const TIMEOUT: Duration = Duration::from_millis(500);

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::driver) enum Kind {
    /// Goes into the pages that the beacon queue is set to, descriptor included.
    ReservedPage,
    /// A command to the firmware.
    Command,
}

/// `data` behind its descriptor.
pub(in crate::driver) fn packet(kind: Kind, data: &[u8]) -> Vec<u8> {
    // Queue; offset of the data; whether it is the last segment.
    let (queue, offset, last): (u32, u32, u32) = match kind {
        Kind::ReservedPage => (16, DESCRIPTOR as u32, 1),
        Kind::Command => (19, 0, 0),
    };
    let mut packet = vec![0; DESCRIPTOR];
    let length = u32::from(u16::try_from(data.len()).unwrap_or(u16::MAX));
    packet[..4].copy_from_slice(&(length | offset << 16 | last << 26).to_le_bytes());
    packet[4..8].copy_from_slice(&(queue << 8).to_le_bytes());
    let sum =
        packet[..CHECKED].chunks_exact(2).fold(0, |sum, pair| sum ^ u16::from_le_bytes([pair[0], pair[1]]));
    packet[28..30].copy_from_slice(&sum.to_le_bytes());
    packet.extend_from_slice(data);
    packet
}

/// Where packets go.
pub(in crate::driver) trait PacketSink {
    /// Sends `packet`; ends when the chip has taken it.
    fn send(&self, packet: Vec<u8>) -> Local<Result<(), TransferError>>;
}

/// The bulk endpoint of the high queue, which leads to beacon queue and firmware too: the first one.
pub(in crate::driver) struct HighEndpoint {
    pub(in crate::driver) device: UsbDevice,
    pub(in crate::driver) endpoint: u8,
}

impl PacketSink for HighEndpoint {
    fn send(&self, packet: Vec<u8>) -> Local<Result<(), TransferError>> {
        let urb = Urb::bulk_out(self.endpoint, packet.as_slice()).timeout(TIMEOUT);
        let handle = self.device.submit(urb);
        Box::pin(async move { handle.await.status })
    }
}
