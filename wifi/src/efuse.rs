//! The EFUSE: fuse cells that hold what was measured and chosen when the adapter was made.
//!
//! The cells hold *blocks*: a header names a block of eight bytes and which of its four words follow. Later
//! blocks override earlier ones; a header of 0xff ends the list. [`Parser`] takes the cells byte by byte and builds
//! the logical map, and says how many cells it can name before it has seen them, so that the reader may have
//! several reads on their way and yet touches no cell beyond the end. [`EfuseInfo`] is the map with its fields.
//!
//! Facts: rtw88 `efuse.c`, `rtw_dump_logical_efuse_map`; `rtw88xxa.h`, `struct rtw88xxa_efuse`; `rtw88xxa.c`,
//! `rtw88xxa_read_efuse`; `main.c`, `rtw_chip_efuse_info_setup`. Neighbour: `driver::efuse_read` has the registers.

use core::fmt;

use crate::chip::ChipInfo;

/// What an unprogrammed cell reads.
pub(crate) const BLANK: u8 = 0xff;

/// Builds the logical map from the cells, in order.
#[derive(Debug)]
pub(crate) struct Parser {
    map: Vec<u8>,
    physical_size: u16,
    next: u16,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    Extended { first: u8 },
    Word { block: u16, enabled: u8, word: u8, low: Option<u8> },
    Done,
}

/// A block that names a place outside the map, or runs past the last cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Malformed {
    OutsideMap { cell: u16, block: u16 },
    PastEnd { cell: u16 },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideMap { cell, block } => {
                write!(f, "cell {cell:#x} belongs to block {block:#x}, which is outside the map")
            }
            Self::PastEnd { cell } => write!(f, "the block before cell {cell:#x} runs past the last cell"),
        }
    }
}

impl Parser {
    pub(crate) fn new(physical_size: u16, logical_size: usize) -> Self {
        Self { map: vec![BLANK; logical_size], physical_size, next: 0, state: State::Header }
    }

    /// The cell that [`feed`](Self::feed) takes next; `None` when the list has ended.
    pub(crate) fn next_cell(&self) -> Option<u16> {
        match self.state {
            State::Done => None,
            _ if self.next >= self.physical_size => None,
            _ => Some(self.next),
        }
    }

    /// How many cells from [`next_cell`](Self::next_cell) on will be wanted whatever they hold: the rest of the
    /// block, and the header after it.
    pub(crate) fn wanted(&self) -> u16 {
        let rest = match self.state {
            State::Header | State::Extended { .. } => 1,
            State::Word { enabled, word, low, .. } => {
                let words = (word..4).filter(|n| enabled & (1 << n) == 0).count();
                2 * u16::try_from(words).unwrap_or(0) - u16::from(low.is_some()) + 1
            }
            State::Done => 0,
        };
        rest.min(self.physical_size.saturating_sub(self.next))
    }

    /// Takes the next cell.
    pub(crate) fn feed(&mut self, byte: u8) -> Result<(), Malformed> {
        let cell = self.next;
        self.next += 1;
        self.state = match self.state {
            State::Header if byte == BLANK => State::Done,
            State::Header if byte & 0x1f == 0x0f => State::Extended { first: byte },
            State::Header => self.begin(u16::from(byte >> 4), byte & 0x0f),
            State::Extended { .. } if byte == BLANK => State::Done,
            State::Extended { first } => {
                let block = u16::from(byte & 0xf0) >> 1 | u16::from(first >> 5);
                self.begin(block, byte & 0x0f)
            }
            State::Word { block, enabled, word, low: None } => {
                State::Word { block, enabled, word, low: Some(byte) }
            }
            State::Word { block, enabled, word, low: Some(low) } => {
                let at = usize::from(block) * 8 + usize::from(word) * 2;
                match self.map.get_mut(at..at + 2) {
                    Some(place) => place.copy_from_slice(&[low, byte]),
                    None => return Err(Malformed::OutsideMap { cell, block }),
                }
                Self::word_from(block, enabled, word + 1)
            }
            State::Done => State::Done,
        };
        if self.next >= self.physical_size && matches!(self.state, State::Word { .. }) {
            return Err(Malformed::PastEnd { cell: self.next });
        }
        Ok(())
    }

    fn begin(&self, block: u16, enabled: u8) -> State {
        Self::word_from(block, enabled, 0)
    }

    /// The state at the first word of `block` from `word` on that follows (its bit is 0).
    fn word_from(block: u16, enabled: u8, word: u8) -> State {
        match (word..4).find(|n| enabled & (1 << n) == 0) {
            Some(word) => State::Word { block, enabled, word, low: None },
            None => State::Header,
        }
    }

    /// The map and how many cells were looked at.
    pub(crate) fn finish(self) -> (Vec<u8>, u16) {
        (self.map, self.next)
    }
}

/// Which amplifiers the board has outside the chip.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FrontEnd {
    /// Power amplifier, 2.4 GHz.
    pub(crate) ext_pa_2g: bool,
    /// Low-noise amplifier, 2.4 GHz.
    pub(crate) ext_lna_2g: bool,
    /// Power amplifier, 5 GHz.
    pub(crate) ext_pa_5g: bool,
    /// Low-noise amplifier, 5 GHz.
    pub(crate) ext_lna_5g: bool,
}

/// Types of the amplifiers outside the chip: (path B << 2) | path A.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AmplifierTypes {
    /// 2.4 GHz power amplifier.
    pub(crate) gpa: u8,
    /// 5 GHz power amplifier.
    pub(crate) apa: u8,
    /// 2.4 GHz low-noise amplifier.
    pub(crate) glna: u8,
    /// 5 GHz low-noise amplifier.
    pub(crate) alna: u8,
}

/// Bytes of power settings a path in the logical map.
pub(crate) const TX_POWER_BYTES: usize = 42;

/// What the EFUSE's logical map says.
#[derive(Clone, Debug)]
pub(crate) struct EfuseInfo {
    /// Cells that were read.
    pub(crate) cells: u16,
    /// Which RF front end the board has.
    pub(crate) rfe_option: u8,
    /// Amplifiers as the conditions of the tables ask for them (one bit each).
    pub(crate) table_front_end: FrontEnd,
    /// Amplifiers as band switch and calibration ask for them (two bits each must agree).
    pub(crate) front_end: FrontEnd,
    /// Types of the amplifiers, for the conditions of the tables.
    pub(crate) amplifier_types: AmplifierTypes,
    /// Crystal trim, 6 bits.
    pub(crate) crystal_cap: u8,
    /// Thermal meter at calibration time.
    pub(crate) thermal_meter: u8,
    /// TX baseband swing, 2.4 GHz: two bits a path, path A lowest.
    pub(crate) bb_swing_2g: u8,
    /// TX baseband swing, 5 GHz.
    pub(crate) bb_swing_5g: u8,
    /// Channel plan.
    pub(crate) channel_plan: u8,
    /// Two letters, or 0xff.
    pub(crate) country: [u8; 2],
    /// Whether a Bluetooth radio shares the board.
    pub(crate) bt_coex: bool,
    /// Whether the EFUSE lets the host switch the adapter to USB 3.
    pub(crate) usb_mode_switch: bool,
    /// Transmit power settings of four paths as they stand in the map.
    pub(crate) tx_power: [[u8; TX_POWER_BYTES]; 4],
    /// The MAC address, if the map holds a valid one.
    pub(crate) mac_address: Option<[u8; 6]>,
}

/// Offsets in the logical map (rtw88 `rtw88xxa.h`, `struct rtw88xxa_efuse`).
mod at {
    pub(super) const USB_MODE: usize = 0x08;
    pub(super) const TX_POWER: usize = 0x10;
    pub(super) const CHANNEL_PLAN: usize = 0xb8;
    pub(super) const XTAL_K: usize = 0xb9;
    pub(super) const THERMAL_METER: usize = 0xba;
    pub(super) const PA_TYPE: usize = 0xbc;
    pub(super) const LNA_TYPE_2G: usize = 0xbd;
    pub(super) const LNA_TYPE_5G: usize = 0xbf;
    pub(super) const RF_BOARD_OPTION: usize = 0xc1;
    pub(super) const BB_SWING_2G: usize = 0xc6;
    pub(super) const BB_SWING_5G: usize = 0xc7;
    pub(super) const RFE_OPTION: usize = 0xca;
    pub(super) const COUNTRY: usize = 0xcb;
}

impl EfuseInfo {
    /// The fields of `map`, which holds `chip.efuse_logical_size` bytes.
    pub(crate) fn new(chip: &ChipInfo, map: &[u8], cells: u16) -> Self {
        let byte = |offset: usize| map.get(offset).copied().unwrap_or(BLANK);
        let or_zero = |offset: usize| Some(byte(offset)).filter(|b| *b != BLANK).unwrap_or(0);

        let raw = Amplifiers {
            pa: byte(at::PA_TYPE),
            lna_2g: byte(at::LNA_TYPE_2G),
            lna_5g: byte(at::LNA_TYPE_5G),
        };
        let clean = Amplifiers {
            pa: or_zero(at::PA_TYPE),
            lna_2g: or_zero(at::LNA_TYPE_2G),
            lna_5g: or_zero(at::LNA_TYPE_5G),
        };
        let table_front_end = FrontEnd {
            ext_pa_2g: clean.pa & 0x10 != 0,
            ext_lna_2g: clean.lna_2g & 0x08 != 0,
            ext_pa_5g: clean.pa & 0x01 != 0,
            ext_lna_5g: clean.lna_5g & 0x08 != 0,
        };
        let mut tx_power = [[BLANK; TX_POWER_BYTES]; 4];
        for (path, values) in tx_power.iter_mut().enumerate() {
            let start = at::TX_POWER + path * TX_POWER_BYTES;
            if let Some(bytes) = map.get(start..start + TX_POWER_BYTES) {
                values.copy_from_slice(bytes);
            }
        }
        let mac_address = map
            .get(chip.efuse_mac_address..chip.efuse_mac_address + 6)
            .and_then(|bytes| <[u8; 6]>::try_from(bytes).ok())
            .filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6]);
        let crystal_cap = match byte(at::XTAL_K) {
            BLANK => 0x20,
            value => value,
        };
        Self {
            cells,
            rfe_option: rfe_option(byte(at::RFE_OPTION), raw.front_end()),
            table_front_end,
            front_end: clean.front_end(),
            // Mainline derives the types before it takes blank bytes for zero, and never clears them after.
            amplifier_types: raw.types(),
            crystal_cap,
            thermal_meter: byte(at::THERMAL_METER),
            bb_swing_2g: or_zero(at::BB_SWING_2G),
            bb_swing_5g: or_zero(at::BB_SWING_5G),
            channel_plan: match byte(at::CHANNEL_PLAN) {
                BLANK => 0x7f,
                plan => plan,
            },
            country: [byte(at::COUNTRY), byte(at::COUNTRY + 1)],
            bt_coex: or_zero(at::RF_BOARD_OPTION) & 0xe0 == 0x20,
            usb_mode_switch: byte(at::USB_MODE) & 0x02 != 0,
            tx_power,
            mac_address,
        }
    }
}

#[derive(Clone, Copy)]
struct Amplifiers {
    pa: u8,
    lna_2g: u8,
    lna_5g: u8,
}

impl Amplifiers {
    fn front_end(self) -> FrontEnd {
        let all = |value: u8, bits: u8| value & bits == bits;
        FrontEnd {
            ext_pa_2g: all(self.pa, 0x30),
            ext_lna_2g: all(self.lna_2g, 0x88),
            ext_pa_5g: all(self.pa, 0x03),
            ext_lna_5g: all(self.lna_5g, 0x88),
        }
    }

    fn types(self) -> AmplifierTypes {
        let ext = self.front_end();
        // The PA's type stands in bits 2 (path A) and 6 (path B) of the LNA's byte, the LNA's in 1:0 and 5:4.
        let pa = |lna: u8| (lna >> 6 & 1) << 2 | (lna >> 2 & 1);
        let lna = |lna: u8| (lna >> 4 & 3) << 2 | (lna & 3);
        let when = |present: bool, value: u8| if present { value } else { 0 };
        AmplifierTypes {
            gpa: when(ext.ext_pa_2g, pa(self.lna_2g)),
            apa: when(ext.ext_pa_5g, pa(self.lna_5g)),
            glna: when(ext.ext_lna_2g, lna(self.lna_2g)),
            alna: when(ext.ext_lna_5g, lna(self.lna_5g)),
        }
    }
}

/// rtw88 `rtw88xxa.c`, `rtw8812a_read_rfe_type`, for USB.
fn rfe_option(value: u8, ext: FrontEnd) -> u8 {
    let any = ext.ext_pa_2g || ext.ext_pa_5g || ext.ext_lna_2g || ext.ext_lna_5g;
    match value {
        BLANK => 0,
        v if v & 0x80 != 0 => match (ext.ext_lna_5g, ext.ext_pa_5g) {
            (false, _) => 4,
            (true, false) => 2,
            (true, true) if ext.ext_lna_2g && ext.ext_pa_2g => 3,
            (true, true) => 0,
        },
        v if v & 0x3f == 4 && any => 0,
        v => v & 0x3f,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::Chip;

    fn parse(cells: &[u8]) -> Result<(Vec<u8>, u16), Malformed> {
        let mut parser = Parser::new(512, 512);
        while let Some(cell) = parser.next_cell() {
            assert!(parser.wanted() >= 1);
            parser.feed(cells.get(usize::from(cell)).copied().unwrap_or(BLANK))?;
        }
        Ok(parser.finish())
    }

    #[test]
    fn one_and_two_byte_headers_place_their_words() {
        // Block 1, words 0 and 3; then block 0x1a (extended), word 2 only; then the end.
        let cells = [0x16, 0xaa, 0xbb, 0xcc, 0xdd, 0x4f, 0x3b, 0x11, 0x22, 0xff];
        let (map, seen) = parse(&cells).unwrap();
        assert_eq!(&map[8..16], &[0xaa, 0xbb, 0xff, 0xff, 0xff, 0xff, 0xcc, 0xdd]);
        assert_eq!(&map[0x1a * 8 + 4..0x1a * 8 + 6], &[0x11, 0x22]);
        assert_eq!(seen, 10, "reading stops at the end marker");
    }

    #[test]
    fn a_blank_efuse_costs_one_cell_and_gives_defaults() {
        let (map, seen) = parse(&[]).unwrap();
        assert_eq!(seen, 1);
        let info = EfuseInfo::new(Chip::Rtl8812au.info(), &map, seen);
        assert_eq!((info.rfe_option, info.crystal_cap, info.mac_address), (0, 0x20, None));
        assert_eq!(info.front_end, FrontEnd::default());
        assert!(!info.bt_coex);
    }

    #[test]
    fn the_wanted_cells_never_reach_past_the_header_after_the_block() {
        let mut parser = Parser::new(512, 512);
        assert_eq!(parser.wanted(), 1);
        parser.feed(0x10).unwrap();
        assert_eq!(parser.wanted(), 9, "four words and the next header");
        parser.feed(0).unwrap();
        assert_eq!(parser.wanted(), 8);
        for _ in 0..7 {
            parser.feed(0).unwrap();
        }
        parser.feed(0xff).unwrap();
        assert_eq!((parser.wanted(), parser.next_cell()), (0, None));
    }

    #[test]
    fn a_block_outside_the_map_is_an_error() {
        // Extended header of block 0x7f in a map of 64 blocks.
        assert_eq!(parse(&[0xef, 0xf0, 1, 2]), Err(Malformed::OutsideMap { cell: 3, block: 0x7f }));
    }

    #[test]
    fn a_block_that_runs_past_the_last_cell_is_an_error() {
        let cells = [[0x1f, 0x0f].repeat(255), vec![0x00, 0x10]].concat();
        assert!(matches!(parse(&cells), Err(Malformed::PastEnd { .. })));
    }

    #[test]
    fn any_bytes_end_without_a_panic() {
        let mut state = 0x1234_5678_u32;
        for _ in 0..2_000 {
            let cells: Vec<u8> = (0..512)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            if let Ok((map, seen)) = parse(&cells) {
                assert!(seen <= 512);
                EfuseInfo::new(Chip::Rtl8812au.info(), &map, seen);
            }
        }
    }
}
