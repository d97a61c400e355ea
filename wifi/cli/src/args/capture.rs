//! The options of `airlift capture`.

use std::path::PathBuf;
use std::time::Duration;

use airlift_wifi::Channel;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};

use super::{Adapter, AdapterArgs, Device, seconds, usage};

/// What `--help` adds.
pub(super) const HELP: &str = "\
Examples:
  airlift capture --count 20
      Twenty frames of channel 11. Frame lines go to standard output, everything else to standard error.
  airlift capture --channel 6+ --duration 10 --write air.pcapng
      Ten seconds of the 40 MHz channel 6 and 10, also into a file for Wireshark.
  airlift capture --hop 1,6,11,36 --dwell-ms 250
      A quarter of a second on each of four channels, round and round.
  airlift capture --write - | tshark -r -
      The file goes to standard output; no lines are shown.
  airlift capture --replay old.pcap.gz --replay-speed max --json
      The frames of an older capture through emulated adapter and driver, as fast as they go.
  airlift capture --device 0bda:8812 --detach --channel 36 --width 80
      A real adapter, taken from the system's driver and given back at the end.
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

/// The options of `capture` as they are typed.
#[derive(Args, Debug)]
pub(crate) struct CaptureArgs {
    #[command(flatten)]
    adapter: AdapterArgs,

    /// Go round these channels, written as for --channel, over and over
    #[arg(
        long,
        value_name = "N,N,...",
        value_delimiter = ',',
        conflicts_with = "channel",
        allow_hyphen_values = true
    )]
    hop: Vec<String>,

    /// How long to stay on each channel of --hop
    #[arg(long, value_name = "MS", default_value_t = 250, requires = "hop", value_parser = clap::value_parser!(u64).range(1..=3_600_000), allow_negative_numbers = true)]
    dwell_ms: u64,

    /// Stop after this many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    count: Option<u64>,

    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    duration: Option<Duration>,

    /// Write the frames as pcapng; - is standard output, and shows no lines
    #[arg(long, value_name = "FILE.pcapng|-")]
    write: Option<PathBuf>,

    /// Put the frames of a pcap or pcapng file (plain or gzip) on the emulated air, and stop at its end
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,

    /// Replay with the file's own timing, or as fast as it goes (on a virtual clock)
    #[arg(long, value_name = "SPEED", value_enum, requires = "replay", default_value = "real")]
    replay_speed: ReplaySpeed,

    /// One JSON object a line instead of the table; --help tells its shape
    #[arg(long)]
    json: bool,
}

/// How fast a capture is replayed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReplaySpeed {
    /// With the gaps of the file.
    Real,
    /// Without waiting.
    Max,
}

/// Where the pcapng goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// Channels to go round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hop {
    /// In order; one at least.
    pub(crate) channels: Vec<Channel>,
    /// How long to stay on each.
    pub(crate) dwell: Duration,
}

/// A capture as it was asked for, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Capture {
    pub(crate) adapter: Adapter,
    pub(crate) hop: Option<Hop>,
    pub(crate) count: Option<u64>,
    pub(crate) duration: Option<Duration>,
    pub(crate) write: Option<Target>,
    pub(crate) replay: Option<(PathBuf, ReplaySpeed)>,
    pub(crate) json: bool,
}

impl CaptureArgs {
    /// Checks what the options mean together.
    ///
    /// # Errors
    /// A usage error as clap shows it.
    pub(crate) fn check(self) -> Result<Capture, clap::Error> {
        let usage = |kind, message: String| Err(usage("capture", kind, message));
        let dwell = Duration::from_millis(self.dwell_ms);
        let width = self.adapter.width();
        let adapter = match self.hop.first() {
            Some(first) => self.adapter.on(first).check("capture")?,
            None => self.adapter.check("capture")?,
        };
        let parse = |text: &String| Channel::parse(text, width);
        let channels = match self.hop.iter().map(parse).collect::<Result<Vec<_>, _>>() {
            Ok(channels) => channels,
            Err(error) => return usage(ErrorKind::InvalidValue, error.to_string()),
        };
        let hop = (!channels.is_empty()).then_some(Hop { channels, dwell });
        let write = self.write.map(|path| match path.as_os_str() == "-" {
            true => Target::Stdout,
            false => Target::File(path),
        });
        if self.json && write == Some(Target::Stdout) {
            let message = "--json and --write - both want standard output; write to a file instead";
            return usage(ErrorKind::ArgumentConflict, message.into());
        }
        if let (Some(device), Some(_)) = (&adapter.device, &self.replay)
            && !matches!(device, Device::Emulated(_))
        {
            let message = format!("--replay puts frames on the emulated air, which {device} does not hear");
            return usage(ErrorKind::ArgumentConflict, message);
        }
        Ok(Capture {
            adapter,
            hop,
            count: self.count,
            duration: self.duration,
            write,
            replay: self.replay.map(|path| (path, self.replay_speed)),
            json: self.json,
        })
    }
}

#[cfg(test)]
mod tests {
    use airlift_wifi::Chip;
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

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
    fn without_options_channel_11_is_captured_until_interrupted() {
        let args = capture("").unwrap();
        assert_eq!(args.adapter.channel, "11".parse().unwrap());
        assert_eq!((args.adapter.device, args.count, args.duration, args.write), (None, None, None, None));
    }

    #[test]
    fn channels_and_widths_are_read_together() {
        assert_eq!(capture("--channel 6+").unwrap().adapter.channel.to_string(), "6+");
        assert_eq!(capture("--channel 6-").unwrap().adapter.channel.to_string(), "6-");
        assert_eq!(capture("--channel 36 --width 80").unwrap().adapter.channel.to_string(), "36/80");
        assert_eq!(capture("--channel 36/80").unwrap().adapter.channel.to_string(), "36/80");
        assert!(refused("--channel 15").contains("channel 15"));
        assert!(refused("--width 160").contains("unknown channel width 160 MHz"));
        assert!(refused("--channel 11 --width 80").contains("cannot be 80 MHz wide"));
        assert!(refused("--channel 6+ --width 80").contains("leave out one of them"));
    }

    #[test]
    fn channels_to_hop_over_are_listed_with_the_width_of_all() {
        let hop = |line: &str| capture(line).unwrap().hop;
        assert_eq!(hop(""), None);
        let round = hop("--hop 1,6+,11,36/80").unwrap();
        assert_eq!(round.dwell, Duration::from_millis(250));
        let shown: Vec<String> = round.channels.iter().map(Channel::to_string).collect();
        assert_eq!(shown, ["1", "6+", "11", "36/80"]);
        let wide = capture("--hop 36,149 --width 80 --dwell-ms 40").unwrap();
        assert_eq!(
            (wide.adapter.channel.to_string(), wide.hop.unwrap().dwell.as_millis()),
            ("36/80".into(), 40)
        );
        assert!(refused("--hop 1,15").contains("channel 15"));
        assert!(refused("--hop 1,,6").contains("expected a channel"));
        assert!(refused("--hop 1,6 --channel 11").contains("--channel"));
        assert!(refused("--dwell-ms 100").contains("--hop"));
        assert!(refused("--hop 1,6 --dwell-ms 0").contains('0'));
    }

    #[test]
    fn a_chip_is_named_for_a_device_that_is_named() {
        assert_eq!(
            capture("--device 0bda:b812 --chip rtl8812au").unwrap().adapter.chip,
            Some(Chip::Rtl8812au)
        );
        assert!(refused("--device 3-2 --chip rtl9999").contains("expected rtl8812au"));
        assert!(refused("--chip rtl8812au").contains("--device"));
        assert!(capture("--detach").unwrap().adapter.detach);
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
        assert!(refused("--usb-trace -").contains("not to standard output"));
        assert!(refused("--replay-speed max").contains("--replay"));
        assert_eq!(capture("--write -").unwrap().write, Some(Target::Stdout));
        assert_eq!(capture("--write ./-").unwrap().write, Some(Target::File("./-".into())));
    }
}
