//! [`Packets`]: takes one bulk-in transfer apart.
//!
//! A transfer carries one or more packets, each `descriptor | shift | PHY status | packet`, each starting at a
//! multiple of 8 bytes. Nothing in it is trusted: a packet that cannot be is dropped by a named
//! [`DropCause`], and the next one is looked for where this one would end; if it would end beyond the
//! transfer, the rest is discarded.
//!
//! Source: rtw88 `usb.c`, `rtw_usb_rx_handler`; `rx.c`, `rtw_rx_query_rx_desc` (limits). rtw88 discards the
//! rest of a transfer at the first packet that it refuses.

use core::ops::Range;

use super::descriptor::{self, Descriptor};
use super::phy_status;
use crate::ieee80211::FCS_LEN;
use crate::stats::DropCause;

/// Packets start at multiples of this.
const ALIGNMENT: usize = 8;

/// The longest packet: a VHT MPDU (IEEE 802.11-2020, table 9-25, 11,454 bytes).
const MAX_PACKET: usize = 11_454;

/// Units of driver info that a PHY status takes.
const PHY_STATUS_UNITS: usize = phy_status::LEN / 8;

/// One packet of a transfer.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    /// An 802.11 frame.
    Frame {
        /// What the chip says of it.
        descriptor: Descriptor<&'a [u8]>,
        /// The PHY's report, if the descriptor says that it is filled in.
        phy_status: Option<phy_status::PhyStatus<'a>>,
        /// Where its bytes stand in the transfer.
        bytes: Range<usize>,
    },
    /// A message from the firmware.
    C2h {
        /// Where its bytes stand in the transfer.
        bytes: Range<usize>,
    },
    /// Something that is neither.
    Dropped(DropCause),
}

/// The packets of a transfer, in order. Each step moves on by at least a descriptor, so it always ends.
#[derive(Debug)]
pub(crate) struct Packets<'a> {
    transfer: &'a [u8],
    at: usize,
}

impl<'a> Packets<'a> {
    pub(crate) fn new(transfer: &'a [u8]) -> Self {
        Self { transfer, at: 0 }
    }

    /// Gives up on the rest of the transfer.
    fn discard(&mut self, cause: DropCause) -> Packet<'a> {
        self.at = self.transfer.len();
        Packet::Dropped(cause)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let transfer = self.transfer;
        let rest = transfer.get(self.at..).filter(|rest| !rest.is_empty())?;
        let Some(descriptor) = Descriptor::new(&rest[..rest.len().min(descriptor::LEN)]) else {
            // Padding behind the last packet is no frame.
            if rest.iter().all(|&byte| byte == 0) {
                self.at = transfer.len();
                return None;
            }
            return Some(self.discard(DropCause::Truncated));
        };
        let (len, units) = (descriptor.packet_len(), descriptor.driver_info_units());
        if len == 0 && rest.iter().all(|&byte| byte == 0) {
            return Some(self.discard(DropCause::Blank));
        }
        let info = descriptor::LEN + descriptor.shift();
        let start = info + units * 8;
        let Some(packet) = rest.get(start..start + len) else {
            return Some(self.discard(DropCause::Truncated));
        };
        let bytes = self.at + start..self.at + start + packet.len();
        self.at += (start + len).next_multiple_of(ALIGNMENT);

        let has_phy_status = descriptor.has_phy_status();
        Some(if units != 0 && units != PHY_STATUS_UNITS || has_phy_status && units == 0 {
            Packet::Dropped(DropCause::BadDriverInfo)
        } else if len > MAX_PACKET {
            Packet::Dropped(DropCause::TooLong)
        } else if descriptor.is_c2h() {
            Packet::C2h { bytes }
        } else if descriptor::rate(descriptor.rate_code()).is_none() {
            Packet::Dropped(DropCause::BadRate)
        } else if len <= FCS_LEN {
            Packet::Dropped(DropCause::TooShort)
        } else {
            let phy_status = rest.get(info..).filter(|_| has_phy_status).and_then(phy_status::PhyStatus::new);
            Packet::Frame { descriptor, phy_status, bytes }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Raw, aggregate};
    use super::*;
    use proptest::prelude::*;

    fn summary(transfer: &[u8]) -> Vec<String> {
        Packets::new(transfer)
            .map(|packet| match packet {
                Packet::Frame { bytes, phy_status, .. } => {
                    format!("frame {}{}", bytes.len(), if phy_status.is_some() { " phy" } else { "" })
                }
                Packet::C2h { bytes } => format!("c2h {}", bytes.len()),
                Packet::Dropped(cause) => cause.name().to_owned(),
            })
            .collect()
    }

    #[test]
    fn w5_packets_are_found_with_shift_driver_info_and_alignment() {
        let plain = Raw::new(&[1; 14]);
        let mut shifted = Raw::new(&[2; 33]);
        shifted.descriptor.shift = 3;
        let mut bare = Raw::new(&[3; 40]);
        bare.descriptor.driver_info_units = 0;
        bare.descriptor.phy_status = false;
        let mut message = Raw::new(&[4; 9]);
        message.descriptor.c2h = true;
        let bytes = aggregate(&[plain, shifted, bare, message]);
        assert_eq!(summary(&bytes), ["frame 14 phy", "frame 33 phy", "frame 40", "c2h 9"]);
        // The bytes are those of the packets.
        for (packet, value) in Packets::new(&bytes).zip([1, 2, 3, 4]) {
            let (Packet::Frame { bytes: range, .. } | Packet::C2h { bytes: range }) = packet else {
                panic!()
            };
            assert!(bytes[range].iter().all(|&byte| byte == value));
        }
    }

    #[test]
    fn w5_what_cannot_be_is_dropped_by_name_and_the_next_packet_found() {
        let good = || Raw::new(&[9; 20]);
        let mut bad_rate = good();
        bad_rate.descriptor.rate_code = 0x54;
        let mut bad_info = good();
        bad_info.descriptor.driver_info_units = 3;
        let mut no_info = good();
        no_info.descriptor.driver_info_units = 0;
        let short = Raw::new(&[9; 4]);
        let long = Raw::new(&vec![9; MAX_PACKET + 1]);
        let bytes =
            aggregate(&[bad_rate, good(), bad_info, good(), no_info, good(), short, good(), long, good()]);
        assert_eq!(
            summary(&bytes),
            [
                "bad rate",
                "frame 20 phy",
                "bad driver info",
                "frame 20 phy",
                "bad driver info",
                "frame 20 phy",
                "too short",
                "frame 20 phy",
                "too long",
                "frame 20 phy"
            ]
        );
    }

    #[test]
    fn w5_a_length_beyond_the_transfer_discards_the_rest() {
        let mut bytes = aggregate(&[Raw::new(&[9; 20]), Raw::new(&[9; 20])]);
        bytes[80] = 0xff; // the second packet's length: it ends far beyond
        assert_eq!(summary(&bytes), ["frame 20 phy", "truncated"]);
        assert_eq!(summary(&bytes[..80 + 10]), ["frame 20 phy", "truncated"]);
        // Padding after the last packet may be there, and may be missing.
        let whole = aggregate(&[Raw::new(&[9; 21])]);
        assert_eq!(summary(&whole), ["frame 21 phy"]);
        assert_eq!(summary(&whole[..24 + 32 + 21]), ["frame 21 phy"]);
        assert_eq!(summary(&[whole, vec![0; 16]].concat()), ["frame 21 phy"]);
    }

    #[test]
    fn w5_zeros_are_one_drop_and_nothing_is_nothing() {
        assert_eq!(summary(&[0; 16_384]), ["blank"]);
        assert_eq!(summary(&[0; 24]), ["blank"]);
        assert!(summary(&[]).is_empty());
        assert_eq!(summary(&[0xff; 16_384]).last().map(String::as_str), Some("truncated"));
    }

    proptest! {
        #[test]
        fn w5_any_bytes_are_taken_apart_in_bounds_and_in_bounded_steps(
            bytes in proptest::collection::vec(any::<u8>(), 0..2048)
        ) {
            let mut steps = 0;
            let mut last = 0;
            for packet in Packets::new(&bytes) {
                steps += 1;
                if let Packet::Frame { bytes: range, .. } | Packet::C2h { bytes: range } = packet {
                    prop_assert!(range.start >= last && range.end <= bytes.len());
                    last = range.end;
                }
            }
            prop_assert!(steps <= bytes.len() / descriptor::LEN + 1);
        }
    }
}
