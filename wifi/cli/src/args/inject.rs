//! The options of `airlift inject`.

use std::path::PathBuf;

use clap::Args;

use super::{Adapter, AdapterArgs};

/// What `--help` adds.
pub(super) const HELP: &str = "\
Examples:
  airlift inject --read frames.pcapng --channel 6
      Every frame of the file, in its order, as fast as the adapter takes them.
  airlift inject --read - --rate-limit 100 --count 1000
      Frames from standard input as they come, at most a hundred a second.
  airlift inject --read beacon.pcap --device 0bda:8812 --detach --channel 36/80
      By a real adapter, taken from the system's driver and given back at the end.

The file is pcap or pcapng, of 802.11 frames with radiotap (link type 127) or without (105). Of a radiotap header these
are honoured:
  rate; MCS with bandwidth, guard interval, LDPC, STBC; VHT with the same;
  data retries; the TX flags \"no acknowledgement\" and \"no sequence number\";
  the flag that a check sequence stands at the end (the chip makes its own)
Without a rate, the lowest of the band is taken: 1 or 6 Mbit/s. Fields that describe a reception ask for nothing. What
else is asked for (power, RTS, short preamble, encryption and the like) is not done, and told at the end. A frame that
cannot be sent at all (too long, more streams than the adapter has, wider than the channel) is left out and told with
the reason; the exit code is 1 then.

What became of each frame is asked of the adapter's firmware: acknowledged, not acknowledged after so many retries, or
sent where nobody answers. What the firmware does not tell, or a transfer that failed leaves open, is told as unknown.
At an interrupt what the adapter has is sent, and what became of every frame so far is told.

JSON (--json): one object a line for each frame, in the order in which it is known what became of them; what is not
known is left out.
  v            1, the version of this shape; keys may be added without changing it
  frame        its number in the file, from 1
  outcome      \"acknowledged\", \"not-acknowledged\", \"sent\" (nobody was to answer), \"expired\" (waited too long
               in the adapter), \"unknown\" (it may have been sent), \"refused\" (it cannot be), \"not-sent\"
  reason       why it is unknown, refused or not sent
  retries      how often it was sent again
  rate         {\"mbps\":1.0}, {\"mcs\":7} or {\"mcs\":9,\"nss\":2}: the last one
  not_honoured what was asked for and not done

Radio law: this program sends what you give it, where and when you say. It knows the most power that the adapter's maker
and the strictest of the regulations in the Linux driver's tables allow for a channel and a rate, and keeps below that.
It does not know in which country you are, whether the channel is allowed there or indoors only, whether a radar uses it
(no DFS), and how much of the time you may send. To send is your responsibility; disturb only networks that are yours.";

/// The options of `inject` as they are typed.
#[derive(Args, Debug)]
pub(crate) struct InjectArgs {
    /// The frames: a pcap or pcapng file; - is standard input
    #[arg(long, value_name = "FILE.pcapng|-")]
    read: PathBuf,

    /// Stop after this many frames of the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    count: Option<u64>,

    /// Send at most this many frames a second
    #[arg(long, value_name = "FRAMES_PER_S", value_parser = rate_limit, allow_negative_numbers = true)]
    rate_limit: Option<f64>,

    /// What became of each frame as JSON on standard output, one object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    adapter: AdapterArgs,
}

/// Where the frames come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// An injection as it was asked for, checked.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Inject {
    pub(crate) adapter: Adapter,
    pub(crate) read: Source,
    pub(crate) count: Option<u64>,
    /// Frames a second.
    pub(crate) rate_limit: Option<f64>,
    pub(crate) json: bool,
}

impl InjectArgs {
    /// Checks what the options mean together.
    ///
    /// # Errors
    /// A usage error as clap shows it.
    pub(crate) fn check(self) -> Result<Inject, clap::Error> {
        let read = match self.read.as_os_str() == "-" {
            true => Source::Stdin,
            false => Source::File(self.read),
        };
        let adapter = self.adapter.check("inject")?;
        Ok(Inject { adapter, read, count: self.count, rate_limit: self.rate_limit, json: self.json })
    }
}

/// A number of frames a second: not so few that an hour passes between two, nor more than are ever sent.
fn rate_limit(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1.0 / 3600.0..=1e6).contains(&rate) => Ok(rate),
        _ => Err("expected a number of frames a second, such as 100 or 0.5".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn inject(line: &str) -> Result<Inject, clap::Error> {
        let words = ["airlift", "inject"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Inject(args) => args.check(),
            _ => unreachable!("the line says inject"),
        }
    }

    #[test]
    fn frames_come_from_a_file_or_standard_input() {
        let args = inject("--read - --count 5 --rate-limit 0.5 --json --channel 36/80").unwrap();
        assert!(args.json);
        assert_eq!((args.read, args.count, args.rate_limit), (Source::Stdin, Some(5), Some(0.5)));
        assert_eq!(args.adapter.channel, "36/80".parse().unwrap());
        assert_eq!(inject("--read ./-").unwrap().read, Source::File("./-".into()));
        assert!(inject("").unwrap_err().to_string().contains("--read"));
        for limit in ["0", "-1", "nan", "inf", "1e9", "x"] {
            let error = inject(&format!("--read a --rate-limit={limit}")).unwrap_err().to_string();
            assert!(error.contains("number of frames a second"), "{limit}: {error}");
        }
        assert!(inject("--read a --channel 15").unwrap_err().to_string().contains("channel 15"));
    }
}
