//! `airlift udev`: rules that let whoever sits at the machine open the adapters that the driver knows.
//!
//! Each device gets the tag `uaccess`, on which systemd-logind gives the user of the active seat access; it works in
//! files that sort before `73-seat-late.rules`.

use std::io::{self, Write};

use airlift_wifi::Chip;

const HEAD: &str = "\
# USB Wi-Fi adapters that airlift drives, for whoever sits at this machine.
#   airlift udev | sudo tee /etc/udev/rules.d/70-airlift.rules
#   sudo udevadm control --reload, then replug
# Over ssh there is no seat: append, for example, , GROUP=\"plugdev\", MODE=\"0660\" to the lines.
";

/// Writes the rules, a line for each USB id.
///
/// # Errors
/// Writing failed.
pub(crate) fn rules(out: &mut impl Write) -> io::Result<()> {
    out.write_all(HEAD.as_bytes())?;
    for chip in Chip::ALL {
        writeln!(out, "\n# {chip}")?;
        for (vendor, product) in chip.usb_ids() {
            writeln!(
                out,
                "ACTION!=\"remove\", SUBSYSTEM==\"usb\", ENV{{DEVTYPE}}==\"usb_device\", \
                 ATTR{{idVendor}}==\"{vendor:04x}\", ATTR{{idProduct}}==\"{product:04x}\", TAG+=\"uaccess\""
            )?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_that_the_driver_knows_has_one_rule() {
        let mut out = Vec::new();
        rules(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for chip in Chip::ALL {
            for (vendor, product) in chip.usb_ids() {
                let ids = format!("ATTR{{idVendor}}==\"{vendor:04x}\", ATTR{{idProduct}}==\"{product:04x}\"");
                assert_eq!(text.matches(&ids).count(), 1, "{ids}");
            }
        }
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(line.starts_with("ACTION!=\"remove\", SUBSYSTEM==\"usb\", "), "{line}");
            assert!(line.ends_with(", TAG+=\"uaccess\""), "{line}");
        }
    }
}
