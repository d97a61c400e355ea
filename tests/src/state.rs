//! [`State`]: everything in an emulated chip that a driver leaves behind, as text that can be compared.
//!
//! Registers stand sixteen bytes a line (`--`: the chip has none there), so do RF registers and the page list;
//! other memories one entry a line, the firmware as its length and hash. Two drivers that did the same leave the
//! same text.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use airlift_emu::Probe;

use crate::trace::hash;

/// The state of a chip.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct State {
    /// Registers by address.
    pub registers: BTreeMap<u16, u8>,
    /// RF registers by path and address.
    pub rf: BTreeMap<(usize, u8), u32>,
    /// The page list: page to page, `None` if never written.
    pub llt: BTreeMap<u8, Option<u8>>,
    /// Other memories behind ports, `agc 01ff00` for example, to values in hexadecimal.
    pub memories: BTreeMap<String, String>,
}

impl State {
    /// Reads a chip's state.
    pub fn of(probe: &Probe) -> Self {
        let registers = probe.registers();
        let registers = registers.iter().enumerate();
        let registers =
            registers.filter_map(|(address, byte)| Some((u16::try_from(address).ok()?, (*byte)?)));
        let radios = probe.model().radios();
        let paths = (0..radios).flat_map(|path| (0..=0xff).map(move |address| (path, address)));
        let rf = paths.map(|(path, address)| ((path, address), probe.rf(path, address))).collect();
        let llt = (0..=0xff).zip(probe.llt()).collect();
        let mut memories = BTreeMap::new();
        let mut put = |name: String, value: String| _ = memories.insert(name, value);
        for path in 0..radios {
            for (mode, (first, second)) in probe.rf_modes(path) {
                put(format!("rfmode {path} {mode:05x}"), format!("{first:05x} {second:05x}"));
            }
        }
        for (entry, gain) in probe.agc() {
            put(format!("agc {entry:06x}"), format!("{gain:02x}"));
        }
        for (index, key) in
            probe.keys().iter().enumerate().filter(|(_, key)| key.iter().any(|word| *word != 0))
        {
            put(format!("key {index:02x}"), format!("{key:08x?}"));
        }
        let firmware = probe.firmware();
        put("firmware".into(), format!("{} bytes {:016x}", firmware.len(), hash([&firmware[..]])));
        put("firmware runs".into(), probe.firmware_runs().to_string());
        for (index, (extension, command)) in probe.commands().iter().enumerate() {
            put(format!("command {index:04}"), format!("{extension:08x} {command:08x}"));
        }
        for ((path, rate), power) in probe.tx_powers() {
            put(format!("power {path} {rate:02x}"), format!("{power:02x}"));
        }
        for (address, data) in probe.calibration_program() {
            put(format!("calibration program {address:03x}"), format!("{data:04x}"));
        }
        for path in 0..radios {
            let words = probe.calibration_registers(path);
            for (index, word) in words.iter().enumerate().filter(|(_, word)| **word != 0) {
                put(format!("calibration {path} {:02x}", index * 4), format!("{word:08x}"));
            }
        }
        for (index, packet) in probe.command_packets().iter().enumerate() {
            put(format!("command packet {index:04}"), format!("{packet:02x?}"));
        }
        Self { registers: registers.collect(), rf, llt, memories }
    }

    /// Reads what [`Display`](fmt::Display) wrote. Lines that are no part of a state are passed over.
    pub fn parse(text: &str) -> Self {
        let mut state = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, value)) = line.split_once(" = ") {
                state.memories.insert(name.to_owned(), value.to_owned());
            } else if let Some((place, values)) = line.split_once(':') {
                state.parse_row(place, values);
            }
        }
        state
    }

    /// A line of up to sixteen values that follow one another.
    fn parse_row(&mut self, place: &str, values: &str) {
        let words: Vec<&str> = place.split_whitespace().collect();
        let hex = |word: &str| u32::from_str_radix(word, 16).ok();
        let values = values.split_whitespace().map(hex);
        match words[..] {
            ["reg", first] => {
                let Some(first) = hex(first) else { return };
                for (address, value) in (first..).zip(values) {
                    if let Some(value) = value {
                        self.registers.insert(address as u16, value as u8);
                    }
                }
            }
            ["rf", path, first] => {
                let (Ok(path), Some(first)) = (path.parse(), hex(first)) else { return };
                for (address, value) in (first..).zip(values) {
                    self.rf.insert((path, address as u8), value.unwrap_or_default());
                }
            }
            ["llt", first] => {
                let Some(first) = hex(first) else { return };
                for (page, next) in (first..).zip(values) {
                    self.llt.insert(page as u8, next.map(|next| next as u8));
                }
            }
            _ => {}
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: BTreeSet<u16> = self.registers.keys().map(|address| address & !0xf).collect();
        for row in rows {
            write!(f, "reg {row:04x}:")?;
            for address in row..=row | 0xf {
                match self.registers.get(&address) {
                    Some(byte) => write!(f, " {byte:02x}")?,
                    None => write!(f, " --")?,
                }
            }
            writeln!(f)?;
        }
        for (&(path, address), value) in &self.rf {
            match address & 0xf {
                0x0 => write!(f, "rf {path} {address:02x}: {value:05x}")?,
                0xf => writeln!(f, " {value:05x}")?,
                _ => write!(f, " {value:05x}")?,
            }
        }
        for (page, next) in &self.llt {
            if page & 0xf == 0 {
                write!(f, "llt {page:02x}:")?;
            }
            match next {
                Some(next) => write!(f, " {next:02x}")?,
                None => write!(f, " --")?,
            }
            if page & 0xf == 0xf {
                writeln!(f)?;
            }
        }
        self.memories.iter().try_for_each(|(name, value)| writeln!(f, "{name} = {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlift_emu::Rtl8812au;

    #[test]
    fn v2_a_state_reads_back_as_it_was_written() {
        let probe = Rtl8812au::builder().build().probe();
        probe.poke_rf(1, 0x18, 0x12345);
        let state = State::of(&probe);
        assert_eq!(state.rf[&(1, 0x18)], 0x12345);
        assert_eq!(State::parse(&state.to_string()), state);
    }
}
