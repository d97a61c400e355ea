//! [`State`]: everything in an emulated chip that a driver leaves behind, as text that can be compared.
//!
//! Registers stand sixteen bytes a line (`--`: the chip has none there), memories behind ports one entry a
//! line, the firmware as its length and hash. Two drivers that did the same leave the same text.

use core::fmt;
use std::collections::BTreeMap;

use airlift_emu::Probe;

use crate::trace::hash;

/// The state of a chip.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct State {
    /// Registers by address.
    pub registers: BTreeMap<u16, u8>,
    /// Memories behind ports: `rf 0 18`, `llt 03`, `agc 01ff00`, ... to values in hexadecimal.
    pub memories: BTreeMap<String, String>,
}

impl State {
    /// Reads a chip's state.
    pub fn of(probe: &Probe) -> Self {
        let registers = probe.registers();
        let registers = registers.iter().enumerate();
        let registers =
            registers.filter_map(|(address, byte)| Some((u16::try_from(address).ok()?, (*byte)?)));
        let mut memories = BTreeMap::new();
        let mut put = |name: String, value: String| _ = memories.insert(name, value);
        for path in 0..2 {
            for address in 0..=0xff {
                put(format!("rf {path} {address:02x}"), format!("{:05x}", probe.rf(path, address)));
            }
            for (mode, (first, second)) in probe.rf_modes(path) {
                put(format!("rfmode {path} {mode:05x}"), format!("{first:05x} {second:05x}"));
            }
        }
        for (page, next) in probe.llt().iter().enumerate() {
            let next = next.map_or("--".to_owned(), |next| format!("{next:02x}"));
            put(format!("llt {page:02x}"), next);
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
        Self { registers: registers.collect(), memories }
    }

    /// Reads what [`Display`](fmt::Display) wrote. Lines that are no part of a state are passed over.
    pub fn parse(text: &str) -> Self {
        let mut state = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((address, bytes)) = line.strip_prefix("reg ").and_then(|rest| rest.split_once(':')) {
                let Ok(first) = u16::from_str_radix(address, 16) else { continue };
                for (address, byte) in (first..).zip(bytes.split_whitespace()) {
                    if let Ok(byte) = u8::from_str_radix(byte, 16) {
                        state.registers.insert(address, byte);
                    }
                }
            } else if let Some((name, value)) = line.split_once(" = ") {
                state.memories.insert(name.to_owned(), value.to_owned());
            }
        }
        state
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = None;
        for address in self.registers.keys() {
            let first = address & !0xf;
            if line == Some(first) {
                continue;
            }
            line = Some(first);
            write!(f, "reg {first:04x}:")?;
            for address in first..=first | 0xf {
                match self.registers.get(&address) {
                    Some(byte) => write!(f, " {byte:02x}")?,
                    None => write!(f, " --")?,
                }
            }
            writeln!(f)?;
        }
        self.memories.iter().try_for_each(|(name, value)| writeln!(f, "{name} = {value}"))
    }
}
