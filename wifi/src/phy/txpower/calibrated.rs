//! The base power that was measured when the adapter was made: one block of the EFUSE a path.
//!
//! Facts: rtw88 `main.h`, `struct rtw_txpwr_idx`; `phy.c`, `rtw_get_channel_group`,
//! `rtw_phy_get_2g_tx_power_index`, `rtw_phy_get_5g_tx_power_index`.

use super::rates::{CCK_11, Section};
use crate::channel::{Band, Channel, Width};
use crate::efuse::TX_POWER_BYTES;

/// Differences for one, two, three and four streams; each further stream adds its own.
type ByStreams = [i8; 4];

/// The decoded block of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calibrated {
    cck: [u8; 6],
    bw40_2g: [u8; 5],
    ofdm_2g: i8,
    bw20_2g: ByStreams,
    bw40_diff_2g: ByStreams,
    bw40_5g: [u8; 14],
    ofdm_5g: i8,
    bw20_5g: ByStreams,
    bw40_diff_5g: ByStreams,
    bw80_5g: ByStreams,
}

/// The low nibble as a signed number.
fn low(byte: u8) -> i8 {
    (byte << 4) as i8 >> 4
}

/// The high nibble as a signed number.
fn high(byte: u8) -> i8 {
    byte as i8 >> 4
}

fn bytes<const N: usize>(block: &[u8; TX_POWER_BYTES], start: usize) -> [u8; N] {
    std::array::from_fn(|n| block[start + n])
}

impl Calibrated {
    /// Decodes a block. 40 MHz is the base, so one stream has no difference for it.
    pub(super) fn new(block: &[u8; TX_POWER_BYTES]) -> Calibrated {
        Calibrated {
            cck: bytes(block, 0),
            bw40_2g: bytes(block, 6),
            ofdm_2g: low(block[11]),
            bw20_2g: [high(block[11]), low(block[12]), low(block[14]), low(block[16])],
            bw40_diff_2g: [0, high(block[12]), high(block[14]), high(block[16])],
            bw40_5g: bytes(block, 18),
            ofdm_5g: low(block[32]),
            bw20_5g: [high(block[32]), low(block[33]), low(block[34]), low(block[35])],
            bw40_diff_5g: [0, high(block[33]), high(block[34]), high(block[35])],
            bw80_5g: [high(block[38]), high(block[39]), high(block[40]), high(block[41])],
        }
    }

    /// The base index of a descriptor rate, with the differences of its section. Sums wrap at 8 bits.
    pub(super) fn base(&self, rate: u8, channel: Channel) -> u8 {
        let Some(section) = Section::of(rate) else { return 0 };
        let group = group(channel.center(), rate);
        let ghz5 = channel.band() == Band::Ghz5;
        let base = match channel.band() {
            Band::Ghz2 if rate <= CCK_11 => self.cck.get(group),
            Band::Ghz2 => self.bw40_2g.get(group),
            Band::Ghz5 => self.bw40_5g.get(group),
        };
        let base = base.copied().unwrap_or(0);
        if !section.is_mcs() {
            let difference = match (ghz5, section) {
                (true, _) => self.ofdm_5g,
                (false, Section::Ofdm) => self.ofdm_2g,
                (false, _) => 0,
            };
            return base.wrapping_add_signed(difference);
        }
        let (base, differences) = match (ghz5, channel.width()) {
            (false, Width::Mhz40) => (base, &self.bw40_diff_2g),
            (false, _) => (base, &self.bw20_2g),
            (true, Width::Mhz20) => (base, &self.bw20_5g),
            (true, Width::Mhz40) => (base, &self.bw40_diff_5g),
            (true, Width::Mhz80) => {
                let upper = self.bw40_5g.get(group + 1).copied().unwrap_or(base);
                (((u16::from(base) + u16::from(upper)) / 2) as u8, &self.bw80_5g)
            }
        };
        differences.iter().take(section.streams()).fold(base, |sum, diff| sum.wrapping_add_signed(*diff))
    }
}

/// The group of channels that a centre belongs to: the index of its base.
fn group(center: u8, rate: u8) -> usize {
    match center {
        3..=5 | 44..=50 => 1,
        6..=8 | 52..=58 => 2,
        9..=11 | 60..=64 => 3,
        12..=13 | 100..=106 => 4,
        14 if rate <= CCK_11 => 5,
        14 => 4,
        108..=114 => 5,
        116..=122 => 6,
        124..=130 => 7,
        132..=138 => 8,
        140..=144 => 9,
        149..=155 => 10,
        157..=161 => 11,
        165..=171 => 12,
        173..=177 => 13,
        // 1, 2 and 36 to 42.
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> [u8; TX_POWER_BYTES] {
        let mut block = [0; TX_POWER_BYTES];
        block[..6].copy_from_slice(&[0x20, 0x21, 0x22, 0x23, 0x24, 0x25]);
        block[6..11].copy_from_slice(&[0x28, 0x29, 0x2a, 0x2b, 0x2c]);
        block[11] = 0x2e; // 20 MHz +2, OFDM -2
        block[12] = 0xf1; // two streams: 40 MHz -1, 20 MHz +1
        for (n, byte) in block[18..32].iter_mut().enumerate() {
            *byte = 0x10 + 2 * n as u8;
        }
        block[32] = 0x34; // 20 MHz +3, OFDM +4
        block[33] = 0xe5; // two streams: 40 MHz -2, 20 MHz +5
        block[38] = 0x70; // 80 MHz +7
        block[39] = 0x80; // two streams -8
        block
    }

    fn base(rate: u8, primary: u16, width: Width) -> u8 {
        Calibrated::new(&block()).base(rate, Channel::new(primary, width).unwrap())
    }

    #[test]
    fn w1_2_4_ghz_takes_its_group_and_its_differences() {
        assert_eq!(base(0x00, 1, Width::Mhz20), 0x20);
        assert_eq!(base(0x03, 14, Width::Mhz20), 0x25);
        assert_eq!(base(0x04, 11, Width::Mhz20), 0x2b - 2);
        assert_eq!(base(0x0c, 11, Width::Mhz20), 0x2b + 2);
        assert_eq!(base(0x14, 11, Width::Mhz20), 0x2b + 2 + 1);
        assert_eq!(base(0x0c, 6, Width::Mhz40), 0x2a);
        assert_eq!(base(0x36, 6, Width::Mhz40), 0x2a - 1);
        assert_eq!(base(0x04, 14, Width::Mhz20), 0x2c - 2);
    }

    #[test]
    fn w1_80_mhz_lies_between_two_groups() {
        assert_eq!(base(0x04, 36, Width::Mhz20), 0x10 + 4);
        assert_eq!(base(0x0c, 36, Width::Mhz20), 0x10 + 3);
        assert_eq!(base(0x14, 36, Width::Mhz40), 0x10 - 2);
        assert_eq!(base(0x2c, 36, Width::Mhz80), 0x11 + 7);
        assert_eq!(base(0x36, 36, Width::Mhz80), 0x11 + 7 - 8);
        assert_eq!(base(0x2c, 149, Width::Mhz80), 0x25 + 7);
    }

    #[test]
    fn a_blank_block_wraps_and_does_not_panic() {
        let blank = Calibrated::new(&[0xff; TX_POWER_BYTES]);
        for (primary, width) in
            [(1, Width::Mhz20), (6, Width::Mhz40), (36, Width::Mhz80), (165, Width::Mhz20)]
        {
            let channel = Channel::new(primary, width).unwrap();
            for rate in 0..=u8::MAX {
                blank.base(rate, channel);
            }
            assert_eq!(blank.base(0x04, channel), 0xfe);
        }
    }
}
