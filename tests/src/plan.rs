//! [`Step`]: one step of the ground-truth harness, as `mainline/run.sh` takes it:
//! `BUSID:CHANNEL[/CHANNEL...]:WIDTH:FRAMES:MODE`.

use std::io;

use crate::adapters::{Adapter, Chip};

/// A step.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The device's bus id: `1-3`.
    pub id: &'a str,
    /// What kind of adapter it is.
    pub adapter: &'static Adapter,
    /// The channels that it is tuned to one after the other: `11`, or `6/1`.
    route: &'a str,
    width: &'a str,
    /// What is done: `no`, `scan`, `inject`, `feed`, `ours`, `detach`.
    pub mode: &'a str,
}

impl<'a> Step<'a> {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// If it is none, or the chip has no adapter on its bus.
    pub fn parse(chip: &Chip, step: &'a str) -> io::Result<Self> {
        let bad = || {
            let what = format!("step {step} not understood, or there is no such {}", chip.model);
            io::Error::new(io::ErrorKind::InvalidInput, what)
        };
        let parts: Vec<&str> = step.split(':').collect();
        let [id, route, width, _, mode] = parts[..] else { return Err(bad()) };
        let bus = id.split_once('-').and_then(|(bus, _)| bus.parse().ok()).ok_or_else(bad)?;
        let adapter = chip.on_bus(bus).ok_or_else(bad)?;
        if route.is_empty() || !route.bytes().all(|b| b.is_ascii_digit() || b == b'/') {
            return Err(bad());
        }
        Ok(Self { id, adapter, route, width, mode })
    }

    /// Where it ends, as golden files are called: `36-80`, or `6-1-20` for channel 1 reached from 6.
    pub fn file(&self) -> String {
        let width = match self.width {
            "HT20" => "20",
            "HT40+" => "40",
            "HT40-" => "40minus",
            "80MHz" => "80",
            other => other,
        };
        format!("{}-{width}", self.route.replace('/', "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::CHIPS;

    #[test]
    fn v1_steps_say_which_adapter_goes_where() {
        let chip = &CHIPS[0];
        let step = Step::parse(chip, "2-3:6/1:HT40+:5:no").unwrap();
        assert_eq!((step.id, step.adapter.name, step.mode), ("2-3", "external-pa", "no"));
        assert_eq!(step.file(), "6-1-40");
        for bad in [
            "",
            "1-1:11:HT20:5",
            "0-1:11:HT20:5:no",
            "9-1:11:HT20:5:no",
            "x:11:HT20:5:no",
            "1-1:../x:HT20:5:no",
        ] {
            assert!(Step::parse(chip, bad).is_err(), "{bad}");
        }
    }
}
