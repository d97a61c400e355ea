//! The radiotap header of a captured frame: what of it steers how the frame is put on the air.
//!
//! Fields stand in the order of their bits, each aligned to its own size from the start of the header
//! (radiotap.org, "Radiotap"); further words of bits describe further antennas. Type-length-value fields come
//! behind all others and are left unread.

use super::super::{Ampdu, CHAINS, Rate, Width};

/// Alignment and size of the fields with the bits 0 to 27.
const FIELDS: [(usize, usize); 28] = [
    (8, 8),  // TSFT
    (1, 1),  // flags
    (1, 1),  // rate
    (2, 4),  // channel
    (2, 2),  // FHSS
    (1, 1),  // antenna signal, dBm
    (1, 1),  // antenna noise, dBm
    (2, 2),  // lock quality
    (2, 2),  // TX attenuation
    (2, 2),  // TX attenuation, dB
    (1, 1),  // TX power, dBm
    (1, 1),  // antenna
    (1, 1),  // antenna signal, dB
    (1, 1),  // antenna noise, dB
    (2, 2),  // RX flags
    (2, 2),  // TX flags
    (1, 1),  // RTS retries
    (1, 1),  // data retries
    (4, 8),  // XChannel
    (1, 3),  // MCS
    (4, 8),  // A-MPDU status
    (2, 12), // VHT
    (8, 12), // timestamp
    (2, 12), // HE
    (2, 12), // HE-MU
    (2, 6),  // HE-MU, another user
    (1, 1),  // no PSDU
    (2, 4),  // L-SIG
];

/// Bits of a word that are no fields.
const NAMESPACE: u32 = 29;
const VENDOR: u32 = 30;
const MORE: u32 = 31;
/// The others.
const FIELD_BITS: u32 = (1 << NAMESPACE) - 1;

/// Where a frame's signal in dB over a floor stands for dBm: the floor of a 20 MHz receiver with a noise figure
/// of 6 dB.
const FLOOR_DBM: i16 = -95;

/// What a radiotap header tells of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Info {
    pub(super) rate: Option<Rate>,
    pub(super) signal_dbm: Option<[i8; CHAINS]>,
    pub(super) has_fcs: bool,
    pub(super) bad_fcs: bool,
    pub(super) data_pad: bool,
    pub(super) ampdu: Option<Ampdu>,
}

/// Reads the header at the start of `bytes`: what it tells, and its length.
pub(super) fn parse(bytes: &[u8]) -> Result<(Info, usize), &'static str> {
    let [version, _, length_low, length_high, ..] = *bytes else {
        return Err("shorter than its fixed part of 8 bytes");
    };
    if version != 0 {
        return Err("its version is not 0");
    }
    let length = usize::from(u16::from_le_bytes([length_low, length_high]));
    if length < 8 {
        return Err("its length is less than its fixed part of 8 bytes");
    }
    let header = bytes.get(..length).ok_or("its length is more than the record's")?;

    let mut words = Vec::new();
    loop {
        let word = u32_at(header, 4 + 4 * words.len()).ok_or("its words of field bits do not end")?;
        words.push(word);
        if word >> MORE & 1 == 0 {
            break;
        }
    }
    let mut walk = Walk { header, at: 4 + 4 * words.len() };
    let mut found = Found::default();
    let mut kind = Word::Fields;
    for word in words {
        match kind {
            Word::Fields => walk.word(word, &mut found)?,
            // Where a field ends that nobody has defined cannot be told, nor what comes behind it.
            Word::Undefined if word & FIELD_BITS != 0 => break,
            Word::Undefined | Word::Vendor => {}
        }
        if word >> VENDOR & 1 != 0 {
            walk.skip_vendor()?;
        }
        kind = match kind {
            _ if word >> NAMESPACE & 1 != 0 => Word::Fields,
            _ if word >> VENDOR & 1 != 0 => Word::Vendor,
            Word::Vendor => Word::Vendor,
            Word::Fields | Word::Undefined => Word::Undefined,
        };
    }
    Ok((found.info(), length))
}

/// What the bits of a word stand for.
enum Word {
    /// radiotap's own fields, from bit 0.
    Fields,
    /// radiotap's own fields, from bit 32 on: none is defined yet.
    Undefined,
    /// Fields of a vendor's, which are skipped as a whole.
    Vendor,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

struct Walk<'a> {
    header: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn field(&mut self, align: usize, size: usize) -> Result<&'a [u8], &'static str> {
        let start = self.at.next_multiple_of(align);
        let field = self.header.get(start..start + size).ok_or("a field lies behind its end")?;
        self.at = start + size;
        Ok(field)
    }

    fn word(&mut self, word: u32, found: &mut Found) -> Result<(), &'static str> {
        let mut chain = Chain::default();
        for (bit, &(align, size)) in FIELDS.iter().enumerate() {
            if word >> bit & 1 == 1 {
                found.take(bit, self.field(align, size)?, &mut chain);
            }
        }
        found.chain(chain);
        Ok(())
    }

    fn skip_vendor(&mut self) -> Result<(), &'static str> {
        let intro = self.field(2, 6)?;
        self.at += usize::from(u16::from_le_bytes([intro[4], intro[5]]));
        if self.at > self.header.len() { Err("a vendor's fields lie behind its end") } else { Ok(()) }
    }
}

/// The signal that one word tells.
#[derive(Debug, Default)]
struct Chain {
    dbm: Option<i8>,
    antenna: Option<u8>,
}

#[derive(Debug, Default)]
struct Found {
    flags: u8,
    legacy: Option<Rate>,
    ht: Option<Rate>,
    vht: Option<Rate>,
    ampdu: Option<Ampdu>,
    /// Signal of the first word: the whole receiver's, or that of the only antenna.
    overall: Option<i8>,
    above_floor_db: Option<u8>,
    chains: [Option<i8>; CHAINS],
    words: usize,
}

impl Found {
    fn take(&mut self, bit: usize, field: &[u8], chain: &mut Chain) {
        match (bit, field) {
            (1, [flags]) if self.words == 0 => self.flags = *flags,
            (2, [rate]) => self.legacy = Rate::legacy(*rate),
            (5, [dbm]) => chain.dbm = Some(*dbm as i8),
            (11, [antenna]) => chain.antenna = Some(*antenna),
            (12, [db]) => self.above_floor_db = Some(*db),
            (19, [known, flags, mcs]) => self.ht = ht(*known, *flags, *mcs),
            (20, [a, b, c, d, flags, ..]) => {
                let reference = u32::from_le_bytes([*a, *b, *c, *d]);
                self.ampdu = Some(Ampdu { reference, last: flags & 0x0c == 0x0c });
            }
            (21, [_, _, flags, bandwidth, user, _, _, _, coding, ..]) => {
                self.vht = vht(*flags, *bandwidth, *user, *coding);
            }
            _ => {}
        }
    }

    fn chain(&mut self, chain: Chain) {
        if let Some(dbm) = chain.dbm {
            if self.words == 0 {
                self.overall = Some(dbm);
            } else {
                let index = chain.antenna.map_or(self.words - 1, usize::from);
                if let Some(slot) = self.chains.get_mut(index) {
                    *slot = Some(dbm);
                }
            }
        }
        self.words += 1;
    }

    fn info(self) -> Info {
        let strongest = self.chains.iter().flatten().copied().max();
        let floor = self.above_floor_db.map(|db| (FLOOR_DBM + i16::from(db)).min(0) as i8);
        let overall = self.overall.or(strongest).or(floor);
        let mut rate = self.vht.or(self.ht).or(self.legacy);
        if let Some(rate) = &mut rate {
            rate.short_preamble = self.flags & 0x02 != 0 && rate.is_cck();
        }
        Info {
            rate,
            signal_dbm: overall.map(|overall| self.chains.map(|chain| chain.unwrap_or(overall))),
            has_fcs: self.flags & 0x10 != 0,
            bad_fcs: self.flags & 0x40 != 0,
            data_pad: self.flags & 0x20 != 0,
            ampdu: self.ampdu,
        }
    }
}

fn ht(known: u8, flags: u8, mcs: u8) -> Option<Rate> {
    // Bandwidth, MCS, guard interval, format, coding and STBC are each known or not.
    let flags = |bit: u8, mask: u8| if known & bit != 0 { flags & mask } else { 0 };
    let rate = if known & 0x02 != 0 { Rate::ht(mcs)? } else { return None };
    let width = if flags(0x01, 0x03) == 1 { Width::Mhz40 } else { Width::Mhz20 };
    let mut rate =
        rate.with_width(width).with_short_gi(flags(0x04, 0x04) != 0).with_ldpc(flags(0x10, 0x10) != 0);
    rate.stbc = flags(0x20, 0x60) != 0;
    Some(rate)
}

fn vht(flags: u8, bandwidth: u8, user: u8, coding: u8) -> Option<Rate> {
    let rate = Rate::vht(user >> 4, user & 0x0f)?;
    let width = match bandwidth & 0x1f {
        0 | 2 | 3 | 7..=10 => Width::Mhz20,
        1 | 5 | 6 => Width::Mhz40,
        _ => Width::Mhz80,
    };
    let mut rate = rate.with_width(width).with_short_gi(flags & 0x04 != 0).with_ldpc(coding & 1 != 0);
    rate.stbc = flags & 0x01 != 0;
    Some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(words: &[u32], fields: &[u8]) -> Vec<u8> {
        let length = 4 + 4 * words.len() + fields.len();
        let mut out = vec![0, 0, length as u8, (length >> 8) as u8];
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        out.extend_from_slice(fields);
        out
    }

    #[test]
    fn e2_flags_rate_and_signal_are_read_behind_aligned_fields() {
        // TSFT, flags (short preamble, FCS), rate 11 Mbit/s, channel, signal -61.
        let mut fields = vec![1; 8];
        fields.extend([0x12, 22, 0x9e, 0x09, 0, 0, -61i8 as u8]);
        let (info, length) = parse(&header(&[0b10_1111], &fields)).unwrap();
        assert_eq!(length, 8 + 15);
        assert!(info.has_fcs && !info.bad_fcs);
        let rate = info.rate.unwrap();
        assert_eq!((rate.modulation, rate.short_preamble), (Rate::legacy(22).unwrap().modulation, true));
        assert_eq!(info.signal_dbm, Some([-61; 4]));
    }

    #[test]
    fn e2_each_antenna_has_its_own_signal() {
        // Overall -40; antenna 1: -44; antenna 0: -41.
        let next = 1 << NAMESPACE | 1 << MORE;
        let words = [1 << 5 | next, 1 << 5 | 1 << 11 | next, 1 << 5 | 1 << 11];
        let fields = [-40i8 as u8, -44i8 as u8, 1, -41i8 as u8, 0];
        let (info, _) = parse(&header(&words, &fields)).unwrap();
        assert_eq!(info.signal_dbm, Some([-41, -44, -40, -40]));
    }

    #[test]
    fn e2_mcs_and_vht_are_read_with_what_is_known_of_them() {
        let (info, _) = parse(&header(&[1 << 19], &[0x07, 0x05, 15])).unwrap();
        assert_eq!(info.rate, Some(Rate::ht(15).unwrap().with_width(Width::Mhz40).with_short_gi(true)));
        let (info, _) = parse(&header(&[1 << 19], &[0x02, 0xff, 7])).unwrap();
        assert_eq!(info.rate, Rate::ht(7));
        let (info, _) = parse(&header(&[1 << 21], &[0xff, 1, 0x04, 4, 0x92, 0, 0, 0, 1, 0, 0, 0])).unwrap();
        let expected = Rate::vht(9, 2).unwrap().with_width(Width::Mhz80).with_short_gi(true).with_ldpc(true);
        assert_eq!(info.rate, Some(expected));
    }

    #[test]
    fn e2_an_antenna_is_found_behind_fields_that_are_not_replayed() {
        // HE and L-SIG of the whole frame; then antenna 1 with a signal of -44.
        let words = [1 << 23 | 1 << 27 | 1 << NAMESPACE | 1 << MORE, 1 << 5 | 1 << 11];
        let mut fields = [0x55; 18];
        (fields[16], fields[17]) = (-44i8 as u8, 1);
        let (info, _) = parse(&header(&words, &fields)).unwrap();
        assert_eq!(info.signal_dbm, Some([-44; 4]));
    }

    #[test]
    fn e2_a_vendors_fields_are_skipped() {
        // A vendor's namespace of 3 bytes with one field bit set, then radiotap again with a signal.
        let words = [1 << VENDOR | 1 << MORE, 1 << 5 | 1 << NAMESPACE | 1 << MORE, 1 << 5];
        let fields = [1, 2, 3, 0, 3, 0, 9, 9, 9, -33i8 as u8];
        let (info, _) = parse(&header(&words, &fields)).unwrap();
        assert_eq!(info.signal_dbm.map(|dbm| dbm[0]), Some(-33));
    }

    #[test]
    fn e2_a_header_is_read_up_to_a_field_that_nobody_has_defined() {
        // A second word without a namespace of its own: the bits 32 and 34, of unknown sizes, then antenna 1's signal.
        let words = [1 << 5 | 1 << MORE, 0b101 | 1 << NAMESPACE | 1 << MORE, 1 << 5];
        let (info, length) = parse(&header(&words, &[-44i8 as u8, 9])).unwrap();
        assert_eq!(info.signal_dbm, Some([-44; 4]));
        assert_eq!(length, 18);
        // With none of its fields present it only leads on to the next namespace.
        let words = [1 << MORE, 1 << NAMESPACE | 1 << MORE, 1 << 5];
        let (info, _) = parse(&header(&words, &[-33i8 as u8])).unwrap();
        assert_eq!(info.signal_dbm, Some([-33; 4]));
    }

    #[test]
    fn malformed_headers_say_what_is_wrong() {
        assert_eq!(parse(&[]), Err("shorter than its fixed part of 8 bytes"));
        assert_eq!(parse(&[1, 0, 8, 0, 0, 0, 0, 0]), Err("its version is not 0"));
        assert_eq!(
            parse(&[0, 0, 7, 0, 0, 0, 0, 0]),
            Err("its length is less than its fixed part of 8 bytes")
        );
        assert_eq!(parse(&[0, 0, 9, 0, 0, 0, 0, 0]), Err("its length is more than the record's"));
        assert_eq!(parse(&header(&[1 << MORE], &[])), Err("its words of field bits do not end"));
        assert_eq!(parse(&header(&[1], &[0; 7])), Err("a field lies behind its end"));
        assert_eq!(
            parse(&header(&[1 << VENDOR], &[0, 0, 0, 0, 200, 0])),
            Err("a vendor's fields lie behind its end")
        );
    }
}
