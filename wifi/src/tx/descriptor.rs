//! [`Descriptor`] and [`Repr`]: the 40 bytes that go to the chip before every frame to be sent.
//!
//! Sources: rtw88 `tx.h` and `tx.c`, `rtw_tx_fill_tx_desc` (the fields and their places, the checksum over the first
//! 32 bytes); FreeBSD `sys/dev/rtwn/rtl8812a/r12a_tx_desc.h` (BSD licence) for the two that rtw88 leaves alone: the
//! limit of retries (word 4, bits 17 to 23) and "more fragments follow" (word 2, bit 17).

use super::queue_select::Qsel;
use crate::channel::Width;
use crate::frame::{LegacyRate, Rate};

/// Bytes of a descriptor.
pub(crate) const LEN: usize = 40;
/// How many of them the checksum covers.
const CHECKED: usize = 32;
/// The largest limit of retries that the field holds.
pub(crate) const MAX_RETRIES: u8 = 0x3f;
/// The numbers that tell one report from another: 0 to this.
pub(crate) const MAX_NUMBER: u8 = 0x3f;

/// Bits of the ten little-endian words: word, shift, width.
mod field {
    pub(super) type Field = (usize, u32, u32);
    pub(super) const PKT_SIZE: Field = (0, 0, 16);
    pub(super) const OFFSET: Field = (0, 16, 8);
    pub(super) const BMC: Field = (0, 24, 1);
    pub(super) const LS: Field = (0, 26, 1);
    pub(super) const DIS_QSEL_SEQ: Field = (0, 31, 1);
    pub(super) const QSEL: Field = (1, 8, 5);
    pub(super) const RATE_ID: Field = (1, 16, 5);
    pub(super) const MORE_FRAG: Field = (2, 17, 1);
    pub(super) const SPE_RPT: Field = (2, 19, 1);
    pub(super) const USE_RATE: Field = (3, 8, 1);
    pub(super) const DIS_DATA_FB: Field = (3, 10, 1);
    pub(super) const DATARATE: Field = (4, 0, 7);
    pub(super) const DATARATE_FB_LIMIT: Field = (4, 8, 5);
    pub(super) const RETRY_LIMIT_ENABLE: Field = (4, 17, 1);
    pub(super) const RETRY_LIMIT: Field = (4, 18, 6);
    pub(super) const DATA_SHORT: Field = (5, 4, 1);
    pub(super) const DATA_BW: Field = (5, 5, 2);
    pub(super) const DATA_LDPC: Field = (5, 7, 1);
    pub(super) const DATA_STBC: Field = (5, 8, 2);
    pub(super) const SW_DEFINE: Field = (6, 0, 12);
    pub(super) const CHECKSUM: Field = (7, 0, 16);
    pub(super) const AGG_NUM: Field = (7, 24, 8);
    pub(super) const EN_HWSEQ: Field = (8, 15, 1);
    pub(super) const SW_SEQ: Field = (9, 12, 12);
}

use field::Field;

/// A view of a transmit descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor<T>(T);

impl<T: AsRef<[u8]>> Descriptor<T> {
    /// The descriptor that `bytes` begin with; `None` if there are fewer than [`LEN`].
    pub(crate) fn new(bytes: T) -> Option<Self> {
        (bytes.as_ref().len() >= LEN).then_some(Self(bytes))
    }

    fn word(&self, word: usize) -> u32 {
        let at = word * 4;
        let bytes = self.0.as_ref().get(at..at + 4).and_then(|b| b.try_into().ok()).unwrap_or([0; 4]);
        u32::from_le_bytes(bytes)
    }

    #[cfg(test)]
    fn get(&self, (word, shift, width): Field) -> u32 {
        self.word(word) >> shift & (u32::MAX >> (32 - width))
    }

    /// The exclusive or of the words that the checksum covers; 0 if it is right.
    pub(crate) fn residue(&self) -> u16 {
        (0..CHECKED / 4)
            .map(|word| self.word(word))
            .fold(0, |sum, word| sum ^ word as u16 ^ (word >> 16) as u16)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Descriptor<T> {
    /// Values are those of a [`Repr`], which fit; others would be cut to the field.
    fn set(&mut self, (word, shift, width): Field, value: u32) {
        let mask = u32::MAX >> (32 - width);
        debug_assert!(value <= mask, "{value:#x} does not fit {width} bits");
        let new = self.word(word) & !(mask << shift) | (value & mask) << shift;
        self.0.as_mut()[word * 4..word * 4 + 4].copy_from_slice(&new.to_le_bytes());
    }

    fn set_checksum(&mut self) {
        self.set(field::CHECKSUM, 0);
        let sum = self.residue();
        self.set(field::CHECKSUM, u32::from(sum));
    }
}

/// Says, in the first descriptor of a transfer, how many frames the transfer carries. Without a descriptor there is
/// nothing to say it in.
pub(crate) fn set_frames(transfer: &mut [u8], frames: u8) {
    if let Some(mut first) = Descriptor::new(transfer) {
        first.set(field::AGG_NUM, u32::from(frames));
        first.set_checksum();
    }
}

/// How a frame is numbered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sequence {
    /// The chip writes its next number into the header.
    Hardware,
    /// The header's number stays.
    Header(u16),
}

/// What a descriptor says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Repr {
    /// Bytes of the frame, without its check sequence.
    pub(crate) length: u16,
    /// The queue inside the chip.
    pub(crate) queue: Qsel,
    /// The frame is for a group: nobody acknowledges it.
    pub(crate) group: bool,
    /// More fragments of the same MSDU follow.
    pub(crate) more_fragments: bool,
    /// Who numbers it.
    pub(crate) sequence: Sequence,
    /// The rate.
    pub(crate) rate: Rate,
    /// The PPDU's bandwidth.
    pub(crate) bandwidth: Width,
    /// Short guard interval.
    pub(crate) short_gi: bool,
    /// LDPC.
    pub(crate) ldpc: bool,
    /// Space-time block coding.
    pub(crate) stbc: bool,
    /// How often to send again without an answer, 0 to [`MAX_RETRIES`]; else the MAC's own limit holds.
    pub(crate) retries: Option<u8>,
    /// The number of the report that is wanted, 0 to [`MAX_NUMBER`].
    pub(crate) report: Option<u8>,
    /// Fill in the limit of the fall-back although there is none, as mainline does for the older of these chips
    /// (rtw88 `old_datarate_fb_limit`).
    pub(crate) fallback_limit: bool,
}

impl Repr {
    /// Writes the descriptor with its checksum into the first [`LEN`] bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn emit(&self, bytes: &mut [u8]) {
        let bytes = &mut bytes[..LEN];
        bytes.fill(0);
        let mut to = Descriptor(bytes);
        to.set(field::PKT_SIZE, u32::from(self.length));
        to.set(field::OFFSET, LEN as u32);
        to.set(field::BMC, u32::from(self.group));
        to.set(field::LS, 1);
        to.set(field::QSEL, u32::from(self.queue.code()));
        to.set(field::RATE_ID, u32::from(rate_id(self.rate)));
        to.set(field::MORE_FRAG, u32::from(self.more_fragments));
        // This rate and no other.
        to.set(field::USE_RATE, 1);
        to.set(field::DIS_DATA_FB, 1);
        to.set(field::DATARATE, u32::from(rate_code(self.rate)));
        if self.fallback_limit {
            to.set(field::DATARATE_FB_LIMIT, 0x1f);
        }
        if let Some(retries) = self.retries {
            to.set(field::RETRY_LIMIT_ENABLE, 1);
            to.set(field::RETRY_LIMIT, u32::from(retries.min(MAX_RETRIES)));
        }
        to.set(field::DATA_SHORT, u32::from(self.short_gi));
        to.set(
            field::DATA_BW,
            match self.bandwidth {
                Width::Mhz20 => 0,
                Width::Mhz40 => 1,
                Width::Mhz80 => 2,
            },
        );
        to.set(field::DATA_LDPC, u32::from(self.ldpc));
        to.set(field::DATA_STBC, u32::from(self.stbc));
        if let Some(number) = self.report {
            to.set(field::SPE_RPT, 1);
            // The two lowest bits are the firmware's.
            to.set(field::SW_DEFINE, u32::from(number.min(MAX_NUMBER)) << 2);
        }
        match self.sequence {
            Sequence::Hardware => {
                to.set(field::DIS_QSEL_SEQ, 1);
                to.set(field::EN_HWSEQ, 1);
            }
            Sequence::Header(number) => to.set(field::SW_SEQ, u32::from(number & 0xfff)),
        }
        to.set_checksum();
    }
}

/// The chip's number of a rate (rtw88 `main.h`, `enum rtw_trx_desc_rate`): twelve legacy ones, 32 of HT, ten of VHT for
/// each number of streams.
pub(crate) fn rate_code(rate: Rate) -> u8 {
    match rate {
        Rate::Legacy(rate) => LegacyRate::ALL.iter().position(|&known| known == rate).unwrap_or(0) as u8,
        Rate::Ht { mcs } => 0x0c + mcs.min(31),
        Rate::Vht { mcs, nss } => 0x2c + (nss.clamp(1, 4) - 1) * 10 + mcs.min(9),
    }
}

/// The set of rates that the firmware would fall back on, were it asked to (rtw88 `main.h`, `RTW_RATEID_*`; `tx.c`,
/// `rtw_tx_pkt_info_update_rate` for the legacy ones).
fn rate_id(rate: Rate) -> u8 {
    const GN_N2SS: u8 = 4;
    const GN_N1SS: u8 = 5;
    const G: u8 = 7;
    const B_20M: u8 = 8;
    const ARFR0_AC_2SS: u8 = 9;
    const ARFR1_AC_1SS: u8 = 10;
    const ARFR4_AC_3SS: u8 = 13;
    const ARFR5_N_3SS: u8 = 14;
    const ARFR7_N_4SS: u8 = 15;
    const ARFR6_AC_4SS: u8 = 16;
    match (rate, rate.streams()) {
        (Rate::Legacy(rate), _) if rate.is_cck() => B_20M,
        (Rate::Legacy(_), _) => G,
        (Rate::Ht { .. }, 1) => GN_N1SS,
        (Rate::Ht { .. }, 2) => GN_N2SS,
        (Rate::Ht { .. }, 3) => ARFR5_N_3SS,
        (Rate::Ht { .. }, _) => ARFR7_N_4SS,
        (Rate::Vht { .. }, 1) => ARFR1_AC_1SS,
        (Rate::Vht { .. }, 2) => ARFR0_AC_2SS,
        (Rate::Vht { .. }, 3) => ARFR4_AC_3SS,
        (Rate::Vht { .. }, _) => ARFR6_AC_4SS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rx::rate_of_code;

    /// A probe request at 1 Mbit/s.
    fn probe() -> Repr {
        Repr {
            length: 42,
            queue: Qsel::MANAGEMENT,
            group: true,
            more_fragments: false,
            sequence: Sequence::Hardware,
            rate: Rate::Legacy(LegacyRate::M1),
            bandwidth: Width::Mhz20,
            short_gi: false,
            ldpc: false,
            stbc: false,
            retries: None,
            report: Some(1),
            fallback_limit: true,
        }
    }

    fn bytes(repr: &Repr) -> [u8; LEN] {
        let mut bytes = [0xff; LEN];
        repr.emit(&mut bytes);
        bytes
    }

    /// Written by hand from `rtw_tx_fill_tx_desc` with the values of `rtw_tx_mgmt_pkt_info_update`.
    #[test]
    fn w3_a_management_frame_has_mainlines_descriptor() {
        #[rustfmt::skip]
        let expected = [
            0x2a, 0x00, 0x28, 0x85, // 42 bytes behind 40, group, last segment, number not by queue
            0x00, 0x12, 0x08, 0x00, // management queue, rates of 802.11b
            0x00, 0x00, 0x08, 0x00, // report
            0x00, 0x05, 0x00, 0x00, // this rate, no fall-back
            0x00, 0x1f, 0x00, 0x00, // 1 Mbit/s, limit of the fall-back
            0x00, 0x00, 0x00, 0x00,
            0x04, 0x00, 0x00, 0x00, // report 1
            0x06, 0x8d, 0x00, 0x00, // checksum
            0x00, 0x80, 0x00, 0x00, // numbered by the chip
            0x00, 0x00, 0x00, 0x00,
        ];
        assert_eq!(bytes(&probe()), expected, "{:02x?}", bytes(&probe()));
    }

    #[test]
    fn w3_every_field_lands_where_it_belongs() {
        let repr = Repr {
            length: 1500,
            queue: Qsel::tid(5),
            group: false,
            more_fragments: true,
            sequence: Sequence::Header(0xabc),
            rate: Rate::Vht { mcs: 9, nss: 2 },
            bandwidth: Width::Mhz80,
            short_gi: true,
            ldpc: true,
            stbc: true,
            retries: Some(5),
            report: Some(0x3f),
            fallback_limit: false,
        };
        #[rustfmt::skip]
        let expected = [
            0xdc, 0x05, 0x28, 0x04,
            0x00, 0x05, 0x09, 0x00,
            0x00, 0x00, 0x0a, 0x00,
            0x00, 0x05, 0x00, 0x00,
            0x3f, 0x00, 0x16, 0x00,
            0xd0, 0x01, 0x00, 0x00,
            0xfc, 0x00, 0x00, 0x00,
            0xf2, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00,
            0x00, 0xc0, 0xab, 0x00,
        ];
        assert_eq!(bytes(&repr), expected, "{:02x?}", bytes(&repr));
    }

    #[test]
    fn w3_the_checksum_covers_the_first_32_bytes() {
        let clean = bytes(&probe());
        assert_eq!(Descriptor::new(&clean).unwrap().residue(), 0);
        for bit in 0..LEN * 8 {
            let mut flipped = clean;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = Descriptor::new(&flipped).unwrap().residue() != 0;
            assert_eq!(found, bit / 8 < CHECKED, "bit {bit}");
        }
    }

    #[test]
    fn w3_the_number_of_frames_is_under_the_checksum() {
        let mut aggregate = bytes(&probe());
        set_frames(&mut aggregate, 3);
        let view = Descriptor::new(&aggregate).unwrap();
        assert_eq!((view.get(field::AGG_NUM), view.residue()), (3, 0));
    }

    #[test]
    fn w3_rates_have_the_numbers_under_which_they_are_received() {
        for code in 0..0x54 {
            let rate = rate_of_code(code).unwrap();
            assert_eq!(rate_code(rate), code, "{rate}");
        }
    }

    #[test]
    fn w3_fewer_bytes_are_no_descriptor() {
        assert!(Descriptor::new(&[0; LEN - 1][..]).is_none());
    }
}
