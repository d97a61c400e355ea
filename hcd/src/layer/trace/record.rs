//! Records of a trace: the header of Linux's usbmon, in blocks of a pcapng file.
//!
//! Sources: Linux, `Documentation/usb/usbmon.rst` and `drivers/usb/mon/mon_bin.c` (the 64-byte header);
//! LINKTYPE_USB_LINUX_MMAPPED of the link types' registry; draft-ietf-opsawg-pcapng, sections 4.1 to 4.3 and 4.6.

use core::time::Duration;

use super::TraceSummary;
use crate::descriptor::TransferType;
use crate::pcapng::{self, Block};
use crate::setup::Setup;
use crate::status::TransferError;
use crate::usbip::protocol::errno;

/// LINKTYPE_USB_LINUX_MMAPPED.
const LINK_TYPE: u16 = 220;
/// The number of the bus that all devices are shown on.
const BUS: u16 = 1;

/// Bytes of usbmon's header.
pub(super) const HEADER_LEN: usize = 64;
/// Bytes of an enhanced packet block around its packet, without padding.
const BLOCK_LEN: usize = 32;

/// Status of an URB that is on its way: `-EINPROGRESS`.
const IN_PROGRESS: i32 = -115;
/// `flag_setup` of a record without a set-up packet.
const NO_SETUP: u8 = b'-';
/// `flag_data` of a submission that has no data because the device is to send it.
const DATA_COMES: u8 = b'<';
/// `flag_data` of an end that has no data because the device was sent it.
const DATA_WENT: u8 = b'>';
/// `xfer_flags`: data runs to the host (`URB_DIR_IN`).
const DIR_IN: u32 = 0x0200;

/// An URB begins or ends.
pub(super) enum Event<'a> {
    /// It is submitted.
    Submit {
        /// The set-up packet of a control transfer.
        setup: Option<Setup>,
        /// Bytes to send or to receive.
        length: usize,
        /// The bytes to send.
        data: &'a [u8],
    },
    /// It is given back.
    Complete {
        /// How it ended.
        status: Result<(), TransferError>,
        /// Bytes transferred.
        actual: usize,
        /// The bytes received.
        data: &'a [u8],
    },
}

/// One record.
pub(super) struct Record<'a> {
    /// The URB's number: the same in both of its records.
    pub(super) urb: u64,
    pub(super) transfer_type: TransferType,
    /// Bit 7 set: device to host.
    pub(super) endpoint: u8,
    pub(super) device: u8,
    pub(super) event: Event<'a>,
}

/// A time stamp in the file's unit.
pub(super) fn nanoseconds(stamp: Duration) -> u64 {
    u64::try_from(stamp.as_nanos()).unwrap_or(u64::MAX)
}

impl Record<'_> {
    fn data(&self) -> &[u8] {
        match self.event {
            Event::Submit { data, .. } | Event::Complete { data, .. } => data,
        }
    }

    /// Bytes that it takes in the file.
    pub(super) fn len(&self) -> usize {
        BLOCK_LEN + (HEADER_LEN + self.data().len()).next_multiple_of(4)
    }

    /// Appends the record as a block.
    pub(super) fn emit(&self, stamp: Duration, out: &mut Vec<u8>) {
        let packet = HEADER_LEN + self.data().len();
        let mut block = Block::new(out, pcapng::ENHANCED_PACKET);
        block.u32(0);
        block.timestamp(nanoseconds(stamp));
        block.u32(packet as u32);
        block.u32(packet as u32);
        block.bytes(&self.header(stamp));
        block.bytes(self.data());
        block.end();
    }

    /// The header, little-endian as the section.
    fn header(&self, stamp: Duration) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            header[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        let is_in = self.endpoint & 0x80 != 0;
        let data = self.data();
        let (event, status, length, setup, absent) = match self.event {
            Event::Submit { setup, length, .. } => {
                (b'S', IN_PROGRESS, length, setup, if is_in { DATA_COMES } else { 0 })
            }
            Event::Complete { status, actual, .. } => {
                let status = status.map_or_else(errno, |()| 0);
                (b'C', status, actual, None, if is_in { 0 } else { DATA_WENT })
            }
        };
        let kind = match self.transfer_type {
            TransferType::Isochronous => 0,
            TransferType::Interrupt => 1,
            TransferType::Control => 2,
            TransferType::Bulk => 3,
        };
        put(&self.urb.to_le_bytes());
        put(&[event, kind, self.endpoint, self.device]);
        put(&BUS.to_le_bytes());
        put(&[if setup.is_some() { 0 } else { NO_SETUP }, if data.is_empty() { absent } else { 0 }]);
        put(&stamp.as_secs().to_le_bytes());
        put(&stamp.subsec_micros().to_le_bytes());
        put(&status.to_le_bytes());
        put(&(length as u32).to_le_bytes());
        put(&(data.len() as u32).to_le_bytes());
        put(&setup.map_or([0; 8], Setup::to_bytes));
        put(&[0; 8]); // interval and start frame, of periodic transfers
        put(&(if is_in { DIR_IN } else { 0 }).to_le_bytes());
        put(&[0; 4]); // isochronous descriptors
        header
    }
}

/// What opens the file.
pub(super) fn head(out: &mut Vec<u8>, application: &str) {
    pcapng::section_header(out, application);
    let mut block = Block::new(out, pcapng::INTERFACE_DESCRIPTION);
    block.u16(LINK_TYPE);
    block.u16(0);
    block.u32(0); // no limit to a packet's length
    block.text(pcapng::IF_NAME, "usbmon1");
    block.option(pcapng::IF_TSRESOL, &[9]);
    block.end();
}

/// What closes it. `span`: the first stamp and the last.
pub(super) fn statistics(out: &mut Vec<u8>, span: Option<(u64, u64)>, summary: TraceSummary) {
    let (first, last) = span.unwrap_or_default();
    let mut block = Block::new(out, pcapng::INTERFACE_STATISTICS);
    block.u32(0);
    block.timestamp(last);
    block.timestamp_option(pcapng::ISB_STARTTIME, first);
    block.timestamp_option(pcapng::ISB_ENDTIME, last);
    block.option(pcapng::ISB_IFRECV, &(summary.records + summary.dropped).to_le_bytes());
    block.option(pcapng::ISB_IFDROP, &summary.dropped.to_le_bytes());
    block.end();
}
