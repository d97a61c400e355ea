//! [`Step`]: one step of the ground-truth harness, as `mainline/run.sh` takes it:
//! `BUSID:CHANNEL[/CHANNEL...]:WIDTH:FRAMES:MODE`; and [`steps`], those of the golden files.

use std::io;

use crate::adapters::{Adapter, Chip, Place};

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
    /// What is done: `no`, `switch`, `scan`, `inject`, `feed`, `busy`, `ours`, `detach`.
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
        file(&self.route.replace('/', "-"), self.width)
    }
}

impl Place {
    /// It as channel and width of a step, `6/1:HT20`.
    fn step(&self) -> String {
        let route: Vec<String> = self.route.iter().map(u16::to_string).collect();
        format!("{}:{}", route.join("/"), self.width)
    }

    /// What its golden file is called: `36-80`, or `6-1-20` for channel 1 reached from 6.
    pub fn file(&self) -> String {
        let route: Vec<String> = self.route.iter().map(u16::to_string).collect();
        file(&route.join("-"), self.width)
    }
}

/// The name of a golden file: the route with dashes, and the width in MHz.
fn file(route: &str, width: &str) -> String {
    let width = match width {
        "HT20" => "20",
        "HT40+" => "40",
        "HT40-" => "40minus",
        "80MHz" => "80",
        other => other,
    };
    format!("{route}-{width}")
}

/// The steps that all golden files of a chip are taken with, the first with a capture; or, if it is to be `quick`, one
/// of each mode, in both bands.
pub fn steps(chip: &Chip, quick: bool) -> Vec<String> {
    let mut steps = Vec::new();
    for (bus, adapter) in (1..).zip(chip.adapters) {
        for (number, place) in (1..).zip(adapter.places) {
            // Of a quick one: capture, the widest channel, another EFUSE, super speed, the way there.
            let chosen = match (adapter.name, place.file().as_str()) {
                ("ordinary", "11-20" | "36-80") | ("external-pa" | "super-speed", "149-40") => true,
                ("switching" | "switching-in-vain", _) => true,
                _ => !quick,
            };
            if chosen {
                let frames = if steps.is_empty() { 20 } else { 0 };
                let mode = if adapter.name.starts_with("switching") { "switch" } else { "no" };
                steps.push(format!("{bus}-{number}:{}:{frames}:{mode}", place.step()));
            }
        }
    }
    steps.push("1-9:11:HT20:0:feed".into());
    steps.push("1-11:11:HT20:0:inject".into());
    for (bus, adapter) in (1..).zip(chip.adapters) {
        // It goes by the speed.
        if ["ordinary", "super-speed"].contains(&adapter.name) {
            steps.push(format!("{bus}-13:11:HT20:0:busy"));
        }
    }
    if !quick {
        steps.push("1-10:36:80MHz:0:feed".into());
        steps.push("1-12:6:HT40+:0:inject".into());
    }
    // Last, since a country's rules come into force for them.
    steps.push("1-14:36:80MHz:0:inject".into());
    if !quick {
        let others = [(15, "36:HT20"), (16, "36:HT40+"), (17, "149:HT20")];
        steps.extend(others.map(|(number, place)| format!("1-{number}:{place}:0:inject")));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::CHIPS;

    #[test]
    fn v2_the_steps_of_a_chip_are_understood_and_no_two_share_a_device() {
        for chip in CHIPS {
            let all = steps(chip, false);
            let mut ids: Vec<&str> =
                all.iter().map(|step| Step::parse(chip, step).expect("a step").id).collect();
            let places: usize = chip.adapters.iter().map(|adapter| adapter.places.len()).sum();
            let speeds = if chip.adapter("super-speed").is_some() { 2 } else { 1 };
            assert_eq!(ids.len(), places + 8 + speeds);
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), places + 8 + speeds);
            assert!(steps(chip, true).iter().all(|step| all.contains(step)));
        }
    }

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
