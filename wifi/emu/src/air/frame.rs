//! [`AirFrame`]: one frame on the air, as its sender gives it and as one receiver hears it.
//!
//! Neighbours: [`super::Radio`] sends and receives them; [`fcs`] is the check sum that ends every frame.

use core::time::Duration;

use bytes::Bytes;

use super::{Rate, Tuning};

/// Receive chains for which a frame carries a signal.
pub const CHAINS: usize = 4;

/// Membership of a frame in an aggregate (A-MPDU).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ampdu {
    /// The same number in all frames of one aggregate.
    pub reference: u32,
    /// Whether this is its last frame.
    pub last: bool,
}

/// A frame on the air.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AirFrame {
    /// The 802.11 frame, header first, without FCS.
    pub bytes: Bytes,
    /// Modulation and bandwidth.
    pub rate: Rate,
    /// Where it was sent. The air fills it in for a radio's own frames.
    pub tuning: Tuning,
    /// Signal in dBm at each of the receiver's chains. The air fills it in.
    pub signal_dbm: [i8; CHAINS],
    /// When the preamble began. The air fills it in.
    pub start: Duration,
    /// When the frame was over, which is when a receiver has it. The air fills it in.
    pub end: Duration,
    /// The difference (exclusive or) between the FCS as received and the right one for `bytes`; 0 if it holds.
    pub fcs_error: u32,
    /// The aggregate to which the frame belongs.
    pub ampdu: Option<Ampdu>,
}

impl AirFrame {
    /// A frame to hand to [`Radio::transmit`](super::Radio::transmit), which fills in the rest.
    pub fn new(bytes: Bytes, rate: Rate) -> Self {
        let tuning = Tuning::channel(1).expect("channel 1 exists");
        Self {
            bytes,
            rate,
            tuning,
            signal_dbm: [0; CHAINS],
            start: Duration::ZERO,
            end: Duration::ZERO,
            fcs_error: 0,
            ampdu: None,
        }
    }

    /// Whether the frame was received with a wrong FCS.
    pub fn bad_fcs(&self) -> bool {
        self.fcs_error != 0
    }

    /// The FCS as received, as it stands at the end of the frame.
    pub fn fcs(&self) -> [u8; 4] {
        (fcs(&self.bytes) ^ self.fcs_error).to_le_bytes()
    }

    /// Length on the air in bytes, FCS included.
    pub fn air_length(&self) -> usize {
        self.bytes.len() + 4
    }

    /// Address 1, to whom the frame goes; `None` if the frame is too short to have one.
    pub fn receiver(&self) -> Option<[u8; 6]> {
        self.bytes.get(4..10)?.try_into().ok()
    }

    /// Address 2, who sent it; `None` for frames that have none (ACK, CTS) or are too short.
    pub fn transmitter(&self) -> Option<[u8; 6]> {
        // Type and subtype of CTS and ACK: 0xc4 and 0xd4.
        if matches!(self.bytes.first(), Some(0xc4 | 0xd4)) {
            return None;
        }
        self.bytes.get(10..16)?.try_into().ok()
    }
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xedb8_8320 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// The frame check sequence of `bytes`: CRC-32 of IEEE 802.3 (IEEE 802.11-2020, 9.2.4.8). It is sent low byte
/// first.
pub fn fcs(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fcs_is_the_crc32_of_ieee_802_3() {
        assert_eq!(fcs(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn short_frames_have_no_addresses() {
        for length in 0..16 {
            let frame = AirFrame::new(Bytes::from(vec![0x80; length]), Rate::DSSS_1M);
            assert_eq!(frame.receiver().is_some(), length >= 10);
            assert_eq!(frame.transmitter(), None);
        }
    }
}
