//! `airlift devices`: the adapters that can be used.
//!
//! So far these are the emulated ones; adapters on the USB bus join the table with the backend that reaches them.

use std::io::{self, Write};

use crate::args::Device;
use crate::exit::{Exit, Failure};

/// One row of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    device: String,
    chip: &'static str,
    usb: &'static str,
    state: &'static str,
}

fn rows() -> Vec<Row> {
    vec![Row { device: Device::Emulated.to_string(), chip: "RTL8812AU", usb: "in-process", state: "ready" }]
}

/// Writes the table.
///
/// # Errors
/// Writing failed.
pub(crate) fn list(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:<18}  {:<9}  {:<10}  STATE", "DEVICE", "CHIP", "USB")?;
    for row in rows() {
        writeln!(out, "{:<18}  {:<9}  {:<10}  {}", row.device, row.chip, row.usb, row.state)?;
    }
    out.flush()
}

/// The adapter to use, and whether it was chosen for want of another.
///
/// # Errors
/// The adapter that was asked for is not there.
pub(crate) fn choose(asked: Option<&Device>) -> Result<bool, Failure> {
    match asked {
        None => Ok(true),
        Some(Device::Emulated) => Ok(false),
        Some(device @ (Device::Id(..) | Device::Port(_))) => {
            let message = format!("no adapter {device}: this build reaches emulated adapters only");
            Err(Failure::new(Exit::NoAdapter, message)
                .help("airlift devices lists what can be used; without --device the emulated one is"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_the_emulated_adapter() {
        let mut out = Vec::new();
        list(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "DEVICE              CHIP       USB         STATE");
        assert_eq!(lines[1], "emulated:rtl8812au  RTL8812AU  in-process  ready");
    }

    #[test]
    fn an_adapter_that_cannot_be_reached_is_named() {
        let failure = choose(Some(&Device::Id(0x0bda, 0x8812))).unwrap_err();
        assert_eq!(failure.exit, Exit::NoAdapter);
        assert!(failure.render().starts_with("error: no adapter 0bda:8812"));
        assert!(failure.render().contains("help:  airlift devices"));
    }
}
