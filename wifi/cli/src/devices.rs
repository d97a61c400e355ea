//! `airlift devices`: the adapters that can be used; and which one is.
//!
//! Neighbours: [`crate::usb`] knows those on the system's buses.

use std::io::{self, Write};

use airlift_emu::Model;

use crate::args::{self, Device, Emulated};
use crate::escape::escaped;
use crate::exit::Failure;
use crate::remote::Remote;
use crate::usb::{self, Adapter};

/// One row of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    device: String,
    chip: String,
    usb: &'static str,
    state: String,
}

fn rows(adapters: &[Adapter]) -> Vec<Row> {
    let real = adapters.iter().map(|adapter| Row {
        device: adapter.name(),
        chip: adapter.chip().to_string(),
        usb: adapter.usb(),
        state: adapter.state(),
    });
    let emulated = Model::ALL.iter().map(|model| Row {
        device: Device::Emulated(Emulated::ordinary(*model)).to_string(),
        chip: model.to_string(),
        usb: "in-process",
        state: "ready".into(),
    });
    real.chain(emulated).collect()
}

/// Writes the table.
///
/// # Errors
/// Writing failed.
pub(crate) fn list(out: &mut impl Write) -> io::Result<()> {
    table(&rows(&usb::adapters()), out)
}

fn table(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:<18}  {:<9}  {:<10}  STATE", "DEVICE", "CHIP", "USB")?;
    for row in rows {
        let state = escaped(&row.state);
        writeln!(out, "{:<18}  {:<9}  {:<10}  {state}", row.device, row.chip, row.usb)?;
    }
    out.flush()
}

/// The adapter to use.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// The emulated one, because it was asked for or `for_want` of another.
    Emulated { adapter: Emulated, for_want: bool },
    /// One on a bus.
    Real(Adapter),
    /// One on another machine.
    Remote(Remote),
}

/// The emulated adapter that is used where none is asked for.
pub(crate) const DEFAULT: Emulated = Emulated::ordinary(Model::Rtl8812au);

/// Chooses the adapter that was asked for; else the first on a bus that can be had; else the first that is there,
/// so that what is wrong with it gets told; else the emulated one, which is also the only one that hears a replay.
///
/// # Errors
/// The adapter that was asked for is not there, or none that the driver knows.
pub(crate) fn choose(options: &args::Adapter, replays: bool) -> Result<Choice, Failure> {
    match &options.device {
        Some(Device::Emulated(adapter)) => Ok(Choice::Emulated { adapter: *adapter, for_want: false }),
        Some(Device::Usbip(remote)) => Ok(Choice::Remote(remote.clone())),
        Some(asked) => usb::find(asked, options.chip).map(Choice::Real),
        None => {
            let adapters = usb::adapters();
            if replays {
                return Ok(Choice::Emulated { adapter: DEFAULT, for_want: adapters.is_empty() });
            }
            let ready = adapters.iter().find(|adapter| adapter.is_ready(options.detach));
            Ok(match ready.or(adapters.first()) {
                Some(adapter) => Choice::Real(adapter.clone()),
                None => Choice::Emulated { adapter: DEFAULT, for_want: true },
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_the_emulated_adapters_behind_the_real_ones() {
        let real = |device: &str, usb, state: &str| Row {
            device: device.into(),
            chip: "RTL8812AU".into(),
            usb,
            state: state.into(),
        };
        let mut all = vec![
            real("3-2  0bda:8812", "480M", "ready"),
            real("1-4  2357:0101", "5G", "held by rtw88_8812au (wlan1, down); --detach takes it"),
        ];
        all.extend(rows(&[]));
        let mut out = Vec::new();
        table(&all, &mut out).unwrap();
        let emulated: String = Model::ALL
            .iter()
            .map(|model| format!("emulated:{}  {model}  in-process  ready\n", model.name()))
            .collect();
        assert!(emulated.starts_with("emulated:rtl8812au  RTL8812AU  in-process  ready\n"));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "DEVICE              CHIP       USB         STATE\n\
             3-2  0bda:8812      RTL8812AU  480M        ready\n\
             1-4  2357:0101      RTL8812AU  5G          held by rtw88_8812au (wlan1, down); --detach takes it\n"
                .to_owned()
                + &emulated
        );
    }

    #[test]
    fn what_the_system_calls_a_driver_cannot_reach_the_terminal() {
        let row = Row {
            device: "3-2".into(),
            chip: "RTL8812AU".into(),
            usb: "480M",
            state: "held by \u{1b}[2J".into(),
        };
        let mut out = Vec::new();
        table(&[row], &mut out).unwrap();
        assert!(!out.contains(&0x1b));
    }
}
