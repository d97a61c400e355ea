//! The EFUSE: fuse cells that hold what was measured and chosen when the adapter was made.
//!
//! The cells hold *blocks*: a header names a block of eight bytes and which of its four words follow. Later
//! blocks override earlier ones; a header of 0xff ends the list. [`Parser`] asks for cells and builds the logical map:
//! the headers, which tell how long a block is, and of the words only those in which a field of [`EfuseInfo`] stands
//! (the maker's name and the USB descriptors take a third of an ordinary EFUSE, and steer nothing). It names several
//! cells at once where what they hold does not matter for which come next, so that the reader may have several reads
//! on their way and yet touches no cell beyond the end.
//!
//! Facts: rtw88 `efuse.c`, `rtw_dump_logical_efuse_map`; `rtw88xxa.h`, `struct rtw88xxa_efuse`; `rtw88xxa.c`,
//! `rtw88xxa_read_efuse`; `main.c`, `rtw_chip_efuse_info_setup`. Neighbours: `driver::efuse_read` has the
//! registers, [`front_end`] what the map says of the board's amplifiers.

mod front_end;
#[cfg(test)]
mod tests;

use core::fmt;

pub(crate) use front_end::{
    AmplifierTypes, BoardFrontEnd, FrontEnd, RTL8812A_OFFSETS, RTL8814A_OFFSETS, RTL8821A_OFFSETS,
    amplifier_front_end, rtl8812a_front_end, rtl8814a_front_end,
};

/// What an unprogrammed cell reads.
pub(crate) const BLANK: u8 = 0xff;

/// Builds the logical map from the cells, in order. Words that nothing uses stay blank.
pub(crate) struct Parser<'a> {
    map: Vec<u8>,
    physical_size: u16,
    uses: &'a dyn Fn(usize) -> bool,
    next: u16,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    Extended {
        first: u8,
    },
    /// At `word` of a block, which is one that follows and is used; those of `enabled` whose bit is 0 follow.
    Word {
        block: u16,
        enabled: u8,
        word: u8,
        low: Option<u8>,
    },
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

impl<'a> Parser<'a> {
    /// `uses` tells of an offset in the logical map whether any field stands there.
    pub(crate) fn new(physical_size: u16, logical_size: usize, uses: &'a dyn Fn(usize) -> bool) -> Self {
        Self { map: vec![BLANK; logical_size], physical_size, uses, next: 0, state: State::Header }
    }

    /// The cell that [`feed`](Self::feed) takes next; `None` when the list has ended.
    pub(crate) fn next_cell(&self) -> Option<u16> {
        match self.state {
            State::Done => None,
            _ if self.next >= self.physical_size => None,
            _ => Some(self.next),
        }
    }

    /// The cells that will be wanted from [`next_cell`](Self::next_cell) on whatever they hold: the rest of the
    /// block, and the header after it.
    pub(crate) fn wanted(&self) -> Vec<u16> {
        let mut cells = Vec::with_capacity(9);
        let mut at = self.next;
        if let State::Word { block, enabled, word, low } = self.state {
            if low.is_some() {
                cells.push(at);
                at += 1;
            }
            for word in word + u8::from(low.is_some())..4 {
                if enabled & (1 << word) == 0 {
                    if self.is_used(block, word) {
                        cells.extend([at, at + 1]);
                    }
                    at += 2;
                }
            }
        }
        if !matches!(self.state, State::Done) {
            cells.push(at);
        }
        cells.retain(|cell| *cell < self.physical_size);
        cells
    }

    /// Takes what [`next_cell`](Self::next_cell) holds.
    pub(crate) fn feed(&mut self, byte: u8) -> Result<(), Malformed> {
        self.take(byte)?;
        // Mainline takes a last word of which only the first half is there: rtw88 `efuse.c`,
        // `rtw_dump_logical_efuse_map`. The other half was never programmed.
        let half = matches!(self.state, State::Word { low: Some(_), .. }) && self.next == self.physical_size;
        if half {
            self.take(BLANK)?;
        }
        let runs_on = matches!(self.state, State::Word { .. }) && self.next >= self.physical_size;
        if runs_on || self.next > self.physical_size + 1 {
            return Err(Malformed::PastEnd { cell: self.physical_size });
        }
        Ok(())
    }

    fn take(&mut self, byte: u8) -> Result<(), Malformed> {
        let cell = self.next;
        self.next += 1;
        self.state = match self.state {
            State::Header if byte == BLANK => State::Done,
            State::Header if byte & 0x1f == 0x0f => State::Extended { first: byte },
            State::Header => self.begin(u16::from(byte >> 4), byte & 0x0f)?,
            State::Extended { .. } if byte == BLANK => State::Done,
            State::Extended { first } => {
                let block = u16::from(byte & 0xf0) >> 1 | u16::from(first >> 5);
                self.begin(block, byte & 0x0f)?
            }
            State::Word { block, enabled, word, low: None } => {
                State::Word { block, enabled, word, low: Some(byte) }
            }
            State::Word { block, enabled, word, low: Some(low) } => {
                let at = Self::offset(block, word);
                match self.map.get_mut(at..at + 2) {
                    Some(place) => place.copy_from_slice(&[low, byte]),
                    None => return Err(Malformed::OutsideMap { cell, block }),
                }
                self.word_from(block, enabled, word + 1)
            }
            State::Done => State::Done,
        };
        Ok(())
    }

    fn offset(block: u16, word: u8) -> usize {
        usize::from(block) * 8 + usize::from(word) * 2
    }

    fn is_used(&self, block: u16, word: u8) -> bool {
        let at = Self::offset(block, word);
        (self.uses)(at) || (self.uses)(at + 1)
    }

    fn begin(&mut self, block: u16, enabled: u8) -> Result<State, Malformed> {
        // A block without words says nothing, wherever it would be.
        if enabled != 0x0f && Self::offset(block, 3) + 1 >= self.map.len() {
            return Err(Malformed::OutsideMap { cell: self.next, block });
        }
        Ok(self.word_from(block, enabled, 0))
    }

    /// Passes over what is not used, up to the first word of `block` from `word` on that follows and is.
    fn word_from(&mut self, block: u16, enabled: u8, word: u8) -> State {
        for word in (word..4).filter(|n| enabled & (1 << n) == 0) {
            if self.is_used(block, word) {
                return State::Word { block, enabled, word, low: None };
            }
            self.next += 2;
        }
        State::Header
    }

    /// The map, and how many cells the list takes with its end.
    pub(crate) fn finish(self) -> (Vec<u8>, u16) {
        (self.map, self.next.min(self.physical_size))
    }
}

/// Bytes of power settings a path in the logical map.
pub(crate) const TX_POWER_BYTES: usize = 42;

/// What stands where in a chip's EFUSE, as far as it differs in the family.
#[derive(Debug)]
pub(crate) struct EfuseLayout {
    /// Cells.
    pub(crate) physical_size: u16,
    /// Bytes of the map that the cells hold.
    pub(crate) logical_size: usize,
    /// Where the MAC address stands.
    pub(crate) mac_address: usize,
    /// Offset and bit that let the host switch the adapter to USB 3.
    pub(crate) usb_switch: Option<(usize, u8)>,
    /// Paths whose power settings are used.
    pub(crate) tx_power_paths: usize,
    /// Offsets that [`front_end`](Self::front_end) looks at.
    pub(crate) own_offsets: &'static [usize],
    /// What the map says of the board's front end.
    pub(crate) front_end: fn(&Map<'_>) -> BoardFrontEnd,
    /// The crystal's trim where the map tells none.
    pub(crate) blank_crystal_cap: u8,
    /// How a Bluetooth radio on the board is known.
    pub(crate) bt_coex: BtCoex,
    /// How chains and widths are known.
    pub(crate) options: Options,
}

impl EfuseLayout {
    /// Whether a field stands at `offset`. What is not used is not read.
    pub(crate) fn uses(&self, offset: usize) -> bool {
        let tx_power = at::TX_POWER..at::TX_POWER + self.tx_power_paths * TX_POWER_BYTES;
        let mac_address = self.mac_address..self.mac_address + 6;
        tx_power.contains(&offset)
            || mac_address.contains(&offset)
            || self.usb_switch.is_some_and(|(at, _)| at == offset)
            || self.own_offsets.contains(&offset)
            || matches!(
                offset,
                at::CHANNEL_PLAN
                    | at::XTAL_K
                    | at::THERMAL_METER
                    | at::RF_BOARD_OPTION
                    | at::BB_SWING_2G
                    | at::BB_SWING_5G
                    | at::COUNTRY
                    | at::COUNTRY_END
            )
    }
}

/// How it is known whether a Bluetooth radio shares the board. The conditions of the tables always ask the map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BtCoex {
    /// The board option in the map says so.
    BoardOption,
    /// The chip says that its Bluetooth part is in use (WL_BT_PWR_CTRL).
    FunctionEnable,
}

/// How the number of chains and the widths of an adapter are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Options {
    /// Four cells behind the map may take some away.
    Cells,
    /// All of the chip's.
    Fixed,
}

/// A logical map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'a>(&'a [u8]);

impl Map<'_> {
    /// The byte at `offset`; blank beyond the end.
    pub(crate) fn byte(&self, offset: usize) -> u8 {
        self.0.get(offset).copied().unwrap_or(BLANK)
    }

    /// The byte at `offset`, with 0 for a blank one.
    pub(crate) fn or_zero(&self, offset: usize) -> u8 {
        match self.byte(offset) {
            BLANK => 0,
            byte => byte,
        }
    }
}

/// What the EFUSE's logical map says.
#[derive(Clone, Debug)]
pub(crate) struct EfuseInfo {
    /// Cells that the list of blocks takes.
    pub(crate) cells: u16,
    /// Which RF front end the board has.
    pub(crate) rfe_option: u8,
    /// Amplifiers as the conditions of the tables ask for them (one bit each).
    pub(crate) table_front_end: FrontEnd,
    /// Amplifiers as band switch and calibration ask for them (two bits each must agree).
    pub(crate) front_end: FrontEnd,
    /// Types of the amplifiers, for the conditions of the tables.
    pub(crate) amplifier_types: AmplifierTypes,
    /// How many of the antennas the board has connected, as the RTL8814A's map codes it; 0 on other chips.
    pub(crate) antenna_option: u8,
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
    /// Whether a Bluetooth radio shares the board, as the conditions of the tables ask for it.
    pub(crate) table_bt_coex: bool,
    /// Whether a Bluetooth radio shares the board.
    pub(crate) bt_coex: bool,
    /// Whether Bluetooth and Wi-Fi share antennas, on chips that ask.
    pub(crate) shares_antennas: bool,
    /// Whether the EFUSE lets the host switch the adapter to USB 3.
    pub(crate) usb_mode_switch: bool,
    /// Transmit power settings of the chip's paths as they stand in the map; blank for those that it has not.
    pub(crate) tx_power: [[u8; TX_POWER_BYTES]; TX_POWER_PATHS],
    /// The MAC address, if the map holds a valid one.
    pub(crate) mac_address: Option<[u8; 6]>,
}

/// Offsets in the logical map (rtw88 `rtw88xxa.h`, `struct rtw88xxa_efuse`).
mod at {
    pub(super) const TX_POWER: usize = 0x10;
    pub(super) const CHANNEL_PLAN: usize = 0xb8;
    pub(super) const XTAL_K: usize = 0xb9;
    pub(super) const THERMAL_METER: usize = 0xba;
    pub(super) const PA_TYPE: usize = 0xbc;
    pub(super) const LNA_TYPE_2G: usize = 0xbd;
    pub(super) const LNA_TYPE_5G: usize = 0xbf;
    pub(super) const RF_BOARD_OPTION: usize = 0xc1;
    pub(super) const RF_BT_SETTING: usize = 0xc3;
    pub(super) const BB_SWING_2G: usize = 0xc6;
    pub(super) const BB_SWING_5G: usize = 0xc7;
    pub(super) const TRX_ANTENNA_OPTION: usize = 0xc9;
    pub(super) const RFE_OPTION: usize = 0xca;
    pub(super) const COUNTRY: usize = 0xcb;
    pub(super) const COUNTRY_END: usize = 0xcc;
}

/// Paths whose power settings the map has room for.
const TX_POWER_PATHS: usize = 4;

impl EfuseInfo {
    /// The fields of `map`, which holds `layout.logical_size` bytes.
    pub(crate) fn new(layout: &EfuseLayout, map: &[u8], cells: u16) -> Self {
        let view = Map(map);
        let board = (layout.front_end)(&view);
        let mut tx_power = [[BLANK; TX_POWER_BYTES]; TX_POWER_PATHS];
        for (path, values) in tx_power.iter_mut().enumerate().take(layout.tx_power_paths) {
            let start = at::TX_POWER + path * TX_POWER_BYTES;
            if let Some(bytes) = map.get(start..start + TX_POWER_BYTES) {
                values.copy_from_slice(bytes);
            }
        }
        let mac_address = map
            .get(layout.mac_address..layout.mac_address + 6)
            .and_then(|bytes| <[u8; 6]>::try_from(bytes).ok())
            .filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6]);
        let bt_coex = view.or_zero(at::RF_BOARD_OPTION) & 0xe0 == 0x20;
        Self {
            cells,
            rfe_option: board.rfe_option,
            table_front_end: board.table,
            front_end: board.own,
            amplifier_types: board.types,
            antenna_option: board.antenna_option,
            crystal_cap: match view.byte(at::XTAL_K) {
                BLANK => layout.blank_crystal_cap,
                value => value,
            },
            thermal_meter: view.byte(at::THERMAL_METER),
            bb_swing_2g: view.or_zero(at::BB_SWING_2G),
            bb_swing_5g: view.or_zero(at::BB_SWING_5G),
            channel_plan: match view.byte(at::CHANNEL_PLAN) {
                BLANK => 0x7f,
                plan => plan,
            },
            country: [view.byte(at::COUNTRY), view.byte(at::COUNTRY_END)],
            table_bt_coex: bt_coex,
            bt_coex,
            shares_antennas: layout.uses(at::RF_BT_SETTING) && view.byte(at::RF_BT_SETTING) & 1 != 0,
            usb_mode_switch: layout.usb_switch.is_some_and(|(at, bit)| view.byte(at) & bit != 0),
            tx_power,
            mac_address,
        }
    }
}
