//! The options of `airlift export`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::error::ErrorKind;

use super::{Device, Emulated, usage};

/// What `--help` adds.
pub(super) const HELP: &str = "\
Examples:
  airlift export
      One adapter, for this machine only; says what to run to attach it.
  airlift export --device emulated:rtl8812au --device emulated:rtl8821au --seed 7
      Two that hear each other on the same emulated air.
  airlift export --listen 0.0.0.0:3240 --replay old.pcap.gz
      For the whole network, which needs no password; the air plays the frames of a capture.
  airlift export --device emulated:rtl8814au,super --device emulated:rtl8812au,usb3-switch
      One at super speed, and one at high speed whose EFUSE asks for the switch to USB 3: a driver that obliges, as
      Linux's does, has it leave the bus, which ends its connection. Half a second later it is on offer again, at
      super speed; airlift imports it anew by itself, for a Linux kernel run usbip attach once more.";

/// The options of `export` as they are typed.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// An adapter to offer; may be given several times
    #[arg(long, value_name = "DEVICE", default_values = ["emulated:rtl8812au"])]
    device: Vec<Device>,

    /// Where to listen; other addresses than loopback offer the adapters to everybody who can connect
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3240")]
    listen: SocketAddr,

    /// Seed of the emulated air and adapters
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,

    /// Play the frames of a pcap or pcapng file (plain or gzip) on the air, from when an adapter first listens
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

/// An export as it was asked for, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Export {
    /// Emulated adapters.
    pub(crate) adapters: Vec<Emulated>,
    pub(crate) listen: SocketAddr,
    pub(crate) seed: u64,
    pub(crate) replay: Option<PathBuf>,
}

/// Adapters that one server may export: a bus has that many addresses.
const EXPORTS_MAX: usize = 127;

impl ExportArgs {
    /// Checks what the options mean together.
    ///
    /// # Errors
    /// A usage error as clap shows it.
    pub(crate) fn check(self) -> Result<Export, clap::Error> {
        let usage = |message: String| Err(usage("export", ErrorKind::InvalidValue, message));
        let mut adapters = Vec::with_capacity(self.device.len());
        for device in self.device {
            match device {
                Device::Emulated(adapter) => adapters.push(adapter),
                device => {
                    return usage(format!(
                        "only emulated adapters are exported, not {device}; for real ones: usbipd"
                    ));
                }
            }
        }
        if adapters.len() > EXPORTS_MAX {
            return usage(format!("{} adapters, expected at most {EXPORTS_MAX}", adapters.len()));
        }
        Ok(Export { adapters, listen: self.listen, seed: self.seed, replay: self.replay })
    }
}

#[cfg(test)]
mod tests {
    use airlift_emu::Model;
    use clap::Parser;

    use crate::args::{Cli, Command, Emulated};

    #[test]
    fn exports_are_emulated_and_for_this_machine_unless_told_otherwise() {
        let export = |line: &str| {
            let words = ["airlift", "export"].into_iter().chain(line.split_whitespace());
            match Cli::try_parse_from(words)?.command {
                Command::Export(args) => args.check(),
                _ => unreachable!("the line says export"),
            }
        };
        let plain = export("").unwrap();
        assert_eq!((plain.listen, plain.seed), ("127.0.0.1:3240".parse().unwrap(), 1));
        assert_eq!(plain.adapters, [Emulated::ordinary(Model::Rtl8812au)]);
        let two = "--device emulated:rtl8812au --device emulated:rtl8821au --listen 0.0.0.0:1 --seed 9";
        let two = export(two).unwrap();
        assert_eq!(two.adapters, [Model::Rtl8812au, Model::Rtl8821au].map(Emulated::ordinary));
        let switching = export("--device emulated:rtl8814au,usb3-switch").unwrap();
        assert!(switching.adapters[0].switches() && !two.adapters[0].switches());
        assert_eq!((two.listen, two.seed), ("0.0.0.0:1".parse().unwrap(), 9));
        assert!(export("--device 3-2").unwrap_err().to_string().contains("only emulated adapters"));
        assert!(export("--listen nowhere").is_err());
    }
}
