//! The command line.
//!
//! Everything that can be judged without an adapter is judged here, so that a mistake is told before anything
//! starts. Neighbours: [`crate::devices`] and [`crate::capture`] carry the commands out.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use airlift_hcd::usbip::protocol::{BUS_ID_LEN, PORT};
use airlift_wifi::{Channel, Chip, Width};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::remote::Remote;

const ABOUT: &str = "Capture Wi-Fi frames with a driver that runs in this program, not in the kernel";

const EXAMPLES: &str = "\
Examples:
  airlift capture                            frames of channel 11, until Ctrl-C
  airlift capture --channel 36 --width 80 --count 100 --write air.pcapng
  airlift capture --write - | wireshark -k -i -
  airlift devices
  airlift export                             an emulated adapter for a Linux kernel's own driver, over USB/IP
  airlift udev | sudo tee /etc/udev/rules.d/70-airlift.rules

No adapter is needed to try it: without one, the same driver runs on an emulated RTL8812AU.";

const EXIT_CODES: &str = "\
Exit codes:
  0 done             1 failed        2 usage            3 no adapter
  4 permission/busy  5 firmware      6 unplugged        130 interrupted before it was done";

const CAPTURE_HELP: &str = "\
Examples:
  airlift capture --count 20
      Twenty frames of channel 11. Frame lines go to standard output, everything else to standard error.
  airlift capture --channel 6+ --duration 10 --write air.pcapng
      Ten seconds of the 40 MHz channel 6 and 10, also into a file for Wireshark.
  airlift capture --write - | tshark -r -
      The file goes to standard output; no lines are shown.
  airlift capture --replay old.pcap.gz --replay-speed max --json
      The frames of an older capture through emulated adapter and driver, as fast as they go.
  airlift capture --device usbip:192.0.2.7:3240/1-1 --usb-trace usb.pcapng
      An adapter that another machine exports; each USB transfer goes into a file for Wireshark.

JSON (--json): one object a line, in UTF-8; what adapter or frame does not tell
is left out.
  v            1, the version of this shape; keys may be added without changing it
  time         seconds since the capture began
  tsf          the adapter's clock in us
  channel      number of the primary channel
  frequency    of its centre in MHz
  width        of the whole channel in MHz
  center       frequency of the whole channel's centre in MHz
  rate         {\"mbps\":1.0}, {\"mcs\":7} or {\"mcs\":9,\"nss\":2}, with
               \"bandwidth\" in MHz and \"short_gi\"
  signal       in dBm
  chains       the signal of each chain in dBm
  fcs          \"good\", \"bad\" or \"absent\"
  length       in bytes, with the FCS if it is there
  type         \"beacon\", \"qos-data\", ...
  from, to, bssid   addresses
  sequence     number
  retry, protected  true or false
  ssid         the network's name if it is UTF-8, else ssid_hex
  ampdu        number of the aggregate that the frame was in
  info         what the last column of the table says
  malformed    why the frame has no type
  lost_before  frames lost just before this one";

const EXPORT_HELP: &str = "\
Examples:
  airlift export
      One adapter, for this machine only; says what to run to attach it.
  airlift export --device emulated:rtl8812au --device emulated:rtl8812au --seed 7
      Two that hear each other on the same emulated air.
  airlift export --listen 0.0.0.0:3240 --replay old.pcap.gz
      For the whole network, which needs no password; the air plays the frames of a capture.";

/// The program's command line.
#[derive(Parser, Debug)]
#[command(name = "airlift", version, about = ABOUT, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// List the adapters that can be used
    Devices,
    /// Print udev rules that let you open the adapters without being root
    Udev,
    /// Show frames of a channel, and write them to a file
    #[command(after_help = "More, with examples and the JSON shape: airlift capture --help", after_long_help = format!("{CAPTURE_HELP}\n\n{EXIT_CODES}"))]
    Capture(CaptureArgs),
    /// Offer emulated adapters over USB/IP, for the driver of a Linux kernel or for airlift elsewhere
    #[command(after_long_help = format!("{EXPORT_HELP}\n\n{EXIT_CODES}"))]
    Export(ExportArgs),
}

/// The options of `capture` as they are typed.
#[derive(Args, Debug)]
pub(crate) struct CaptureArgs {
    /// The adapter: emulated:rtl8812au, VID:PID, BUS-PORT, serial:TEXT or
    /// usbip:HOST:PORT/BUSID [default: the first one, else emulated]
    #[arg(long, value_name = "DEVICE")]
    device: Option<Device>,

    /// The adapter's chip, if its USB id is not known to carry one
    #[arg(long, value_name = "CHIP", requires = "device")]
    chip: Option<Chip>,

    /// Take the adapter from the system's driver, and give it back at the end
    #[arg(long)]
    detach: bool,

    /// The channel; 6+ and 6- are 40 MHz wide with the second half above and below, 36/80 is 80 MHz wide
    #[arg(long, value_name = "N|N+|N-|N/WIDTH", default_value = "11", allow_hyphen_values = true)]
    channel: String,

    /// Width of the channel in MHz [default: 20, and 40 for N+ and N-]
    #[arg(long, value_name = "20|40|80")]
    width: Option<u16>,

    /// Stop after this many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,

    /// Write the frames as pcapng; - is standard output, and shows no lines
    #[arg(long, value_name = "FILE.pcapng|-")]
    write: Option<PathBuf>,

    /// Write every USB transfer as pcapng, in the format of Linux's usbmon
    #[arg(long, value_name = "FILE.pcapng")]
    usb_trace: Option<PathBuf>,

    /// Put the frames of a pcap or pcapng file (plain or gzip) on the emulated air, and stop at its end
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,

    /// Replay with the file's own timing, or as fast as it goes (on a virtual clock)
    #[arg(long, value_name = "SPEED", value_enum, requires = "replay", default_value = "real")]
    replay_speed: ReplaySpeed,

    /// Look for firmware files here, and nowhere else
    #[arg(long, value_name = "DIR")]
    firmware_dir: Option<PathBuf>,

    /// Seed of the emulated air and adapter: the same seed gives the same frames
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Wait for every USB transfer, as the Linux driver does, instead of posting writes
    #[arg(long)]
    serial_io: bool,

    /// One JSON object a line instead of the table; --help tells its shape
    #[arg(long)]
    json: bool,
}

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
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Play the frames of a pcap or pcapng file (plain or gzip) on the air, from when an adapter first listens
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

/// How fast a capture is replayed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReplaySpeed {
    /// With the gaps of the file.
    Real,
    /// Without waiting.
    Max,
}

/// Which adapter is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Device {
    /// The emulated RTL8812AU.
    Emulated,
    /// USB vendor and product.
    Id(u16, u16),
    /// Bus and ports, as Linux names them: `3-2`, `1-4.1`.
    Port(String),
    /// The serial number.
    Serial(String),
    /// One that a USB/IP server exports.
    Usbip(Remote),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emulated => f.write_str("emulated:rtl8812au"),
            Self::Id(vendor, product) => write!(f, "{vendor:04x}:{product:04x}"),
            Self::Port(port) => f.write_str(port),
            Self::Serial(serial) => write!(f, "serial:{serial}"),
            Self::Usbip(Remote { server, bus_id }) => write!(f, "usbip:{server}/{bus_id}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(chip) = text.strip_prefix("emulated:") {
            return match chip {
                "rtl8812au" => Ok(Self::Emulated),
                _ => Err("the only emulated adapter is emulated:rtl8812au".into()),
            };
        }
        if let Some(serial) = text.strip_prefix("serial:").filter(|serial| !serial.is_empty()) {
            return Ok(Self::Serial(serial.to_owned()));
        }
        if let Some(remote) = text.strip_prefix("usbip:") {
            let expected = || "expected usbip:HOST:PORT/BUSID such as usbip:192.0.2.7:3240/1-1".to_owned();
            let (server, bus_id) = remote.rsplit_once('/').ok_or_else(expected)?;
            // The port may be left out; what is in brackets is an address of version 6.
            let bare = server.rfind(':').is_none_or(|colon| server[colon..].contains(']'));
            let server = if bare { format!("{server}:{PORT}") } else { server.to_owned() };
            let (host, port) = server.rsplit_once(':').ok_or_else(expected)?;
            let named = !host.is_empty() && !bus_id.is_empty() && bus_id.len() < BUS_ID_LEN;
            return match port.parse::<u16>() {
                Ok(1..) if named => {
                    Ok(Self::Usbip(Remote { bus_id: bus_id.to_owned(), server: server.clone() }))
                }
                _ => Err(expected()),
            };
        }
        let hex = |part: &str| {
            let digits = part.len() == 4 && part.bytes().all(|b| b.is_ascii_hexdigit());
            u16::from_str_radix(part, 16).ok().filter(|_| digits)
        };
        if let Some((vendor, product)) = text.split_once(':')
            && let (Some(vendor), Some(product)) = (hex(vendor), hex(product))
        {
            return Ok(Self::Id(vendor, product));
        }
        if let Some((bus, ports)) = text.split_once('-') {
            let number = |part: &str| part.len() <= 3 && part.parse::<u8>().is_ok_and(|n| n > 0);
            if number(bus) && ports.split('.').all(number) {
                return Ok(Self::Port(text.to_owned()));
            }
        }
        Err("expected emulated:rtl8812au, VID:PID such as 0bda:8812, or BUS-PORT such as 3-2".into())
    }
}

/// Where the pcapng goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// A capture as it was asked for, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Capture {
    pub(crate) device: Option<Device>,
    pub(crate) chip: Option<Chip>,
    pub(crate) detach: bool,
    pub(crate) channel: Channel,
    pub(crate) count: Option<u64>,
    pub(crate) duration: Option<Duration>,
    pub(crate) write: Option<Target>,
    pub(crate) usb_trace: Option<PathBuf>,
    pub(crate) replay: Option<(PathBuf, ReplaySpeed)>,
    pub(crate) firmware_dir: Option<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) serial_io: bool,
    pub(crate) json: bool,
}

impl CaptureArgs {
    /// Checks what the options mean together.
    ///
    /// # Errors
    /// A usage error as clap shows it.
    pub(crate) fn check(self) -> Result<Capture, clap::Error> {
        let usage = |kind, message: String| {
            let mut cli = Cli::command();
            cli.build();
            let capture = cli.find_subcommand_mut("capture").map(|command| command.clone()).unwrap_or(cli);
            Err(capture.clone().error(kind, message))
        };
        let width = match self.width.map(Width::from_mhz).transpose() {
            Ok(width) => width,
            Err(error) => return usage(ErrorKind::InvalidValue, error.to_string()),
        };
        let channel = match Channel::parse(&self.channel, width) {
            Ok(channel) => channel,
            Err(error) => return usage(ErrorKind::InvalidValue, error.to_string()),
        };
        let write = self.write.map(|path| match path.as_os_str() == "-" {
            true => Target::Stdout,
            false => Target::File(path),
        });
        if self.json && write == Some(Target::Stdout) {
            let message = "--json and --write - both want standard output; write to a file instead";
            return usage(ErrorKind::ArgumentConflict, message.into());
        }
        if let (Some(Target::File(frames)), Some(trace)) = (&write, &self.usb_trace)
            && frames == trace
        {
            let message = "--write and --usb-trace name the same file; each needs its own";
            return usage(ErrorKind::ArgumentConflict, message.into());
        }
        if let (Some(device), Some(_)) = (&self.device, &self.replay)
            && *device != Device::Emulated
        {
            let message = format!("--replay puts frames on the emulated air, which {device} does not hear");
            return usage(ErrorKind::ArgumentConflict, message);
        }
        Ok(Capture {
            device: self.device,
            chip: self.chip,
            detach: self.detach,
            channel,
            count: self.count,
            duration: self.duration,
            write,
            usb_trace: self.usb_trace,
            replay: self.replay.map(|path| (path, self.replay_speed)),
            firmware_dir: self.firmware_dir,
            seed: self.seed,
            serial_io: self.serial_io,
            json: self.json,
        })
    }
}

/// An export as it was asked for, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Export {
    /// Emulated adapters.
    pub(crate) count: usize,
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
        let usage = |message: String| {
            let mut cli = Cli::command();
            cli.build();
            let export = cli.find_subcommand_mut("export").map(|command| command.clone()).unwrap_or(cli);
            Err(export.clone().error(ErrorKind::InvalidValue, message))
        };
        if let Some(device) = self.device.iter().find(|device| **device != Device::Emulated) {
            return usage(format!(
                "only emulated adapters are exported, not {device}; for real ones: usbipd"
            ));
        }
        if self.device.len() > EXPORTS_MAX {
            return usage(format!("{} adapters, expected at most {EXPORTS_MAX}", self.device.len()));
        }
        Ok(Export { count: self.device.len(), listen: self.listen, seed: self.seed, replay: self.replay })
    }
}

/// A number of seconds, perhaps with a fraction: more than none, and at most a year's.
fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR_S: f64 = 366.0 * 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= YEAR_S => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number of seconds above 0, such as 10 or 0.5".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(line: &str) -> Result<Capture, clap::Error> {
        let words = ["airlift", "capture"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Capture(args) => args.check(),
            _ => unreachable!("the line says capture"),
        }
    }

    fn refused(line: &str) -> String {
        let error = capture(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_options_channel_11_is_captured_until_interrupted() {
        let args = capture("").unwrap();
        assert_eq!(args.channel, "11".parse().unwrap());
        assert_eq!((args.device, args.count, args.duration, args.write), (None, None, None, None));
    }

    #[test]
    fn channels_and_widths_are_read_together() {
        assert_eq!(capture("--channel 6+").unwrap().channel.to_string(), "6+");
        assert_eq!(capture("--channel 6-").unwrap().channel.to_string(), "6-");
        assert_eq!(capture("--channel 36 --width 80").unwrap().channel.to_string(), "36/80");
        assert_eq!(capture("--channel 36/80").unwrap().channel.to_string(), "36/80");
        assert!(refused("--channel 15").contains("channel 15"));
        assert!(refused("--width 160").contains("unknown channel width 160 MHz"));
        assert!(refused("--channel 11 --width 80").contains("cannot be 80 MHz wide"));
        assert!(refused("--channel 6+ --width 80").contains("leave out one of them"));
    }

    #[test]
    fn devices_are_named_in_four_ways() {
        assert_eq!("emulated:rtl8812au".parse(), Ok(Device::Emulated));
        assert_eq!("0bda:8812".parse(), Ok(Device::Id(0x0bda, 0x8812)));
        assert_eq!("3-2".parse(), Ok(Device::Port("3-2".into())));
        assert_eq!("1-4.1.2".parse(), Ok(Device::Port("1-4.1.2".into())));
        assert_eq!("serial:00e04c".parse(), Ok(Device::Serial("00e04c".into())));
        for text in [
            "",
            "serial:",
            "emulated",
            "emulated:rtl8821au",
            "bda:8812",
            "0bda:+812",
            "3-",
            "-2",
            "0-1",
            "3-2.",
            "a-b",
        ] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_remote_device_is_named_by_server_and_bus_id() {
        let remote = |server: &str, bus_id: &str| {
            Ok(Device::Usbip(Remote { server: server.into(), bus_id: bus_id.into() }))
        };
        assert_eq!("usbip:192.0.2.7:4000/1-1".parse(), remote("192.0.2.7:4000", "1-1"));
        assert_eq!("usbip:lab.example/3-2.1".parse(), remote("lab.example:3240", "3-2.1"));
        assert_eq!("usbip:[::1]/1-1".parse(), remote("[::1]:3240", "1-1"));
        assert_eq!("usbip:[::1]:9/1-1".parse(), remote("[::1]:9", "1-1"));
        let long = format!("usbip:host:1/{}", "1".repeat(32));
        for text in
            ["usbip:", "usbip:host", "usbip:host/", "usbip:/1-1", "usbip:host:0/1-1", "usbip:h:x/1-1", &long]
        {
            assert!(text.parse::<Device>().unwrap_err().contains("usbip:HOST:PORT/BUSID"), "{text}");
        }
    }

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
        assert_eq!((plain.count, plain.listen, plain.seed), (1, "127.0.0.1:3240".parse().unwrap(), 1));
        let two = "--device emulated:rtl8812au --device emulated:rtl8812au --listen 0.0.0.0:1 --seed 9";
        let two = export(two).unwrap();
        assert_eq!((two.count, two.listen, two.seed), (2, "0.0.0.0:1".parse().unwrap(), 9));
        assert!(export("--device 3-2").unwrap_err().to_string().contains("only emulated adapters"));
        assert!(export("--listen nowhere").is_err());
    }

    #[test]
    fn a_chip_is_named_for_a_device_that_is_named() {
        assert_eq!(capture("--device 0bda:b812 --chip rtl8812au").unwrap().chip, Some(Chip::Rtl8812au));
        assert!(refused("--device 3-2 --chip rtl9999").contains("expected rtl8812au"));
        assert!(refused("--chip rtl8812au").contains("--device"));
        assert!(capture("--detach").unwrap().detach);
    }

    #[test]
    fn limits_are_positive() {
        assert!(refused("--count 0").contains('0'));
        assert_eq!(capture("--duration 0.5").unwrap().duration, Some(Duration::from_millis(500)));
        for text in ["0", "-1", "nan", "inf", "1e300", "x"] {
            assert!(refused(&format!("--duration={text}")).contains("number of seconds above 0"), "{text}");
        }
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        assert!(refused("--json --write -").contains("both want standard output"));
        assert!(refused("--replay a.pcap --device 3-2").contains("emulated air"));
        assert!(refused("--write a.pcapng --usb-trace a.pcapng").contains("the same file"));
        assert!(refused("--replay-speed max").contains("--replay"));
        assert_eq!(capture("--write -").unwrap().write, Some(Target::Stdout));
        assert_eq!(capture("--write ./-").unwrap().write, Some(Target::File("./-".into())));
    }
}
