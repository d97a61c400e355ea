//! Aggregates made by hand, for tests.

use super::descriptor::Repr;
use super::phy_status;
use crate::channel::Width;

/// One packet of an aggregate.
pub(crate) struct Raw {
    pub(crate) descriptor: Repr,
    pub(crate) phy_status: [u8; phy_status::LEN],
    pub(crate) bytes: Vec<u8>,
}

impl Raw {
    /// A packet of `bytes` at 6 Mbit/s with an empty PHY status, as the chip would send it.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            descriptor: Repr {
                packet_len: bytes.len() as u16,
                crc_error: false,
                driver_info_units: 4,
                shift: 0,
                phy_status: true,
                ampdu: false,
                c2h: false,
                ppdu_count: 0,
                rate_code: 4,
                short_gi: false,
                ldpc: false,
                stbc: false,
                bandwidth: Width::Mhz20,
                tsf_low: 0,
            },
            phy_status: [0; phy_status::LEN],
            bytes: bytes.to_vec(),
        }
    }
}

/// The transfer that carries these packets.
pub(crate) fn aggregate(packets: &[Raw]) -> Vec<u8> {
    let mut transfer: Vec<u8> = Vec::new();
    for packet in packets {
        transfer.resize(transfer.len().next_multiple_of(8), 0);
        transfer.extend(packet.descriptor.emit());
        transfer.resize(transfer.len() + usize::from(packet.descriptor.shift), 0);
        let mut info = packet.phy_status.to_vec();
        info.resize(usize::from(packet.descriptor.driver_info_units) * 8, 0);
        transfer.extend(info);
        transfer.extend(&packet.bytes);
    }
    transfer
}
