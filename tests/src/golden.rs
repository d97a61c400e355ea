//! Golden files: what mainline's driver wrote and left, for comparison with ours.
//!
//! `golden/CHIP/ADAPTER/bring-up.txt` holds what is common to all channels: every write of the probe, which ends with the
//! chip switched off, and after the line `up` every write from `ip link set up` on.
//! `golden/CHIP/ADAPTER/NUMBER-WIDTH.txt` holds the writes that follow on that channel, and the state at the end, before
//! the driver's first watchdog. All lines are text:
//!
//! ```text
//! # kernel 7.2.13+deb14-amd64
//! # trace 9ad1… of 3604 accesses
//! write 0838 16c88f31          width by the number of digits
//! block 1000 196               bytes of firmware; the state has their hash
//! up                           what went before was the probe
//! delay 221412                 microseconds that passed at least before the next access
//! reg 0100: ff 06 --           state, as `State` writes it
//! ```
//!
//! `golden/CHIP/ADAPTER/aggregation.txt` has those writes with which the driver, when there is traffic, has the chip put
//! several received packets into one transfer.
//!
//! Only the harness writes them ([`Recorded::write_all`]); tests read them ([`Golden::load`]).

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::state::State;
use crate::trace::{Access, hash};

/// A pause that all runs of mainline's driver show is taken for one that it means from this length on; below, it
/// cannot be told from those of a busy machine.
const DELAY_MIN: Duration = Duration::from_millis(100);

/// Whether an access is one that mac80211's timer makes to blink the LED while a driver does something else: such stand
/// anywhere in a trace, in no two runs at the same place, and are left out. It is a byte of LED_CFG, on the RTL8821A with
/// a word of GPIO_PIN_CTRL_2 (`rtw88 rtw8812a.c`, `rtw8812a_led_set`, and its like).
fn is_leds(access: &Access) -> bool {
    matches!((access.address, access.data.len()), (0x004c | 0x004e, 1) | (0x0060, 4))
}

/// RCR. The last time that it is written is at the end of `up`, when mac80211 sets its filter: a pause behind that is the
/// guest's script, which then starts `iw`.
const RCR: u16 = 0x0608;

/// One write, or a pause before one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A register write of 1, 2 or 4 bytes.
    Write {
        /// The register's address.
        address: u16,
        /// Bytes.
        width: usize,
        /// The value.
        value: u32,
    },
    /// A longer write, of firmware.
    Block {
        /// Where it begins.
        address: u16,
        /// Bytes.
        length: usize,
    },
    /// At least this long passes before the next step.
    Delay(Duration),
}

impl Step {
    /// The step that an access is; `None` for reads.
    pub fn of(access: &Access) -> Option<Self> {
        let (address, width) = (access.address, access.data.len());
        match access.value() {
            _ if !access.write => None,
            Some(value) if matches!(width, 1 | 2 | 4) => Some(Self::Write { address, width, value }),
            _ => Some(Self::Block { address, length: width }),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["write", address, value] => Some(Self::Write {
                address: u16::from_str_radix(address, 16).ok()?,
                width: value.len() / 2,
                value: u32::from_str_radix(value, 16).ok()?,
            }),
            ["block", address, length] => {
                let address = u16::from_str_radix(address, 16).ok()?;
                Some(Self::Block { address, length: length.parse().ok()? })
            }
            ["delay", us] => Some(Self::Delay(Duration::from_micros(us.parse().ok()?))),
            _ => None,
        }
    }
}

impl core::fmt::Display for Step {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Write { address, width, value } => {
                write!(f, "write {address:04x} {value:0digits$x}", digits = width * 2)
            }
            Self::Block { address, length } => write!(f, "block {address:04x} {length}"),
            Self::Delay(time) => write!(f, "delay {}", time.as_micros()),
        }
    }
}

/// What mainline's driver wrote and left on one channel.
#[derive(Clone, Debug)]
pub struct Golden {
    /// What it wrote in its probe.
    pub probe: Vec<Step>,
    /// Everything that it wrote from `up` to the end of the channel switch.
    pub steps: Vec<Step>,
    /// The state after that.
    pub state: State,
}

impl Golden {
    /// Reads the golden files of a channel, `11-20` for example, from `folder`.
    pub fn load(folder: &Path, channel: &str) -> io::Result<Self> {
        let common = std::fs::read_to_string(folder.join("bring-up.txt"))?;
        let own = std::fs::read_to_string(folder.join(format!("{channel}.txt")))?;
        let (probe, common) = common.split_once("\nup\n").ok_or_else(|| invalid("no line `up`".into()))?;
        let steps = common.lines().chain(own.lines()).filter_map(Step::parse).collect();
        let probe = probe.lines().filter_map(Step::parse).collect();
        Ok(Self { probe, steps, state: State::parse(&own) })
    }
}

/// Where a driver sets up the aggregation of received packets: TXDMA_PQ_MAP has the switch, RXDMA_AGG_PG_TH size and time.
const AGGREGATION: [u16; 3] = [0x010c, 0x0280, 0x0283];

/// The writes of an access and its neighbours that have packets aggregated, the first time that the driver does so.
fn aggregating(accesses: &[Access]) -> Option<Vec<Step>> {
    /// Reads and writes that belong together at most.
    const TOGETHER: usize = 6;
    let at = accesses.iter().position(|access| {
        access.write && access.address == AGGREGATION[1] && access.data.first().is_some_and(|size| *size != 0)
    })?;
    let near = &accesses[at.saturating_sub(TOGETHER)..accesses.len().min(at + TOGETHER)];
    let of_it = near.iter().filter(|access| access.write && AGGREGATION.contains(&access.address));
    // The switch may only be on its way.
    of_it.clone().find(|access| access.address == AGGREGATION[0])?;
    Some(of_it.filter_map(Step::of).collect())
}

/// Whether a driver has begun to aggregate received packets.
pub fn has_aggregated(accesses: &[Access]) -> bool {
    aggregating(accesses).is_some()
}

/// Writes `aggregation.txt`.
///
/// # Errors
///
/// If the driver did not aggregate, or the file cannot be written.
pub fn write_aggregation(accesses: &[Access], kernel: &str, folder: &Path) -> io::Result<()> {
    let steps = aggregating(accesses).ok_or_else(|| invalid("no packets were aggregated".into()))?;
    let mut text = format!(
        "# What rtw88 writes to aggregate received packets.\n\
         # Written by tests/mainline/run.sh --golden; not to be edited.\n# kernel {kernel}\n",
    );
    for step in steps {
        let _ = writeln!(text, "{step}");
    }
    std::fs::write(folder.join("aggregation.txt"), text)
}

/// Reads `aggregation.txt`.
///
/// # Errors
///
/// If it cannot be read.
pub fn aggregation(folder: &Path) -> io::Result<Vec<Step>> {
    let text = std::fs::read_to_string(folder.join("aggregation.txt"))?;
    Ok(text.lines().filter_map(Step::parse).collect())
}

/// What one run of the harness recorded on one channel.
#[derive(Debug)]
pub struct Recorded {
    /// `11-20`, for example.
    pub channel: String,
    /// Accesses before `up`: the probe.
    pub probe: usize,
    /// Every access up to the end of the channel switch.
    pub accesses: Vec<Access>,
    /// The state then.
    pub state: State,
}

impl Recorded {
    /// Writes the golden files of runs on several channels of the same chip.
    ///
    /// # Errors
    ///
    /// If the runs differ before `up`, if one contains accesses of its watchdog, or if a file cannot be written.
    pub fn write_all(mut runs: Vec<Self>, kernel: &str, adapter: &str, folder: &Path) -> io::Result<()> {
        for run in &mut runs {
            run.probe -= run.accesses[..run.probe].iter().filter(|access| is_leds(access)).count();
            run.accesses.retain(|access| !is_leds(access));
        }
        let runs = &runs[..];
        let Some(first) = runs.first() else { return Err(invalid("no runs".into())) };
        for run in runs {
            if run.accesses.iter().any(is_watchdogs) {
                return Err(invalid(format!(
                    "{}: the watchdog came before the state was taken",
                    run.channel
                )));
            }
        }
        let same = |at: usize| {
            let of = |run: &Self| run.accesses.get(at).map(|a| (a.address, a.write, a.data.clone()));
            of(first).is_some() && runs.iter().all(|run| of(run) == of(first))
        };
        let common = (0..).take_while(|at| same(*at)).count();
        if common < first.probe || runs.iter().any(|run| run.probe != first.probe) {
            return Err(invalid(format!("the probes differ after {common} accesses")));
        }
        let header = |what: &str, run: &Self, end: usize| {
            format!(
                "# {what}\n# Written by tests/mainline/run.sh --golden; not to be edited.\n# kernel {kernel}\n\
                 # adapter {adapter}\n# trace {:016x} of {end} accesses, {} of them before `up`\n",
                trace_hash(&run.accesses[..end]),
                run.probe,
            )
        };
        let mut text =
            header("What rtw88 writes in its probe, and from `up` on, on every channel.", first, common);
        write_steps(&mut text, &runs[..1], 0..first.probe);
        text.push_str("up\n");
        write_steps(&mut text, runs, first.probe..common);
        std::fs::write(folder.join("bring-up.txt"), text)?;
        for run in runs {
            let what =
                format!("What rtw88 writes after bring-up.txt for channel {}, and leaves.", run.channel);
            let mut text = header(&what, run, run.accesses.len());
            write_steps(&mut text, core::slice::from_ref(run), common..run.accesses.len());
            let _ = write!(text, "{}", run.state);
            std::fs::write(folder.join(format!("{}.txt", run.channel)), text)?;
        }
        Ok(())
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Whether an access is one that only the driver's watchdog makes: it begins with a Bluetooth part's counters
/// (`rtw88 coex.c`, `rtw_coex_monitor_bt_ctr`), and writes RF 0x42 through the window of either path to read the
/// temperature.
pub fn is_watchdogs(access: &Access) -> bool {
    let counters = matches!(access.address, 0x0770 | 0x0774);
    let thermal = access.write
        && matches!(access.address, 0x0c90 | 0x0e90)
        && access.value().is_some_and(|value| value >> 20 & 0xff == 0x42);
    counters || thermal
}

/// The hash of the accesses without their times.
fn trace_hash(accesses: &[Access]) -> u64 {
    let text: Vec<String> = accesses
        .iter()
        .map(|a| format!("{}{:04x}{:02x?}\n", if a.write { 'W' } else { 'R' }, a.address, a.data))
        .collect();
    hash(text.iter().map(String::as_bytes))
}

/// Writes the steps of a range that is the same in all runs, with the pauses that all of them make.
fn write_steps(text: &mut String, runs: &[Recorded], range: core::ops::Range<usize>) {
    let script = runs[0].accesses.iter().rposition(|access| access.write && access.address == RCR);
    let mut pause = Duration::ZERO;
    for at in range {
        let gaps = runs.iter().map(|run| {
            let before = at.checked_sub(1).map_or(run.accesses[at].at, |before| run.accesses[before].at);
            run.accesses[at].at.saturating_sub(before)
        });
        let gap = gaps.min().unwrap_or_default();
        // One run alone cannot tell a pause from the machine's own: it only tells in company.
        if runs.len() > 1 && gap >= DELAY_MIN && at > runs[0].probe && script != Some(at - 1) {
            pause += gap;
        }
        if let Some(step) = Step::of(&runs[0].accesses[at]) {
            if pause > Duration::ZERO {
                let _ = writeln!(text, "{}", Step::Delay(core::mem::take(&mut pause)));
            }
            let _ = writeln!(text, "{step}");
        }
    }
}

/// Parses a trace that the exporter wrote; firmware blocks keep their length but not their bytes.
pub fn parse_trace(text: &str) -> Option<Vec<Access>> {
    text.lines().map(parse_access).collect()
}

fn parse_access(line: &str) -> Option<Access> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [at, kind, address, mark, value] = words[..] else { return None };
    let (direction, width) = kind.split_at_checked(1)?;
    let width: usize = width.parse().ok()?;
    let number = u64::from_str_radix(value, 16).ok()?;
    let mut data = number.to_le_bytes().to_vec();
    data.resize(width, 0);
    Some(Access {
        at: Duration::from_micros(at.parse().ok()?),
        address: u16::from_str_radix(address, 16).ok()?,
        write: direction == "W",
        data,
        ok: mark != "!",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(at: u64, address: u16, value: u32) -> Access {
        let data = value.to_le_bytes().to_vec();
        Access { at: Duration::from_millis(at), address, write: true, data, ok: true }
    }

    fn run(channel: &str, last: u32) -> Recorded {
        let accesses = vec![
            write(0, 0x0004, 1),
            write(200, 0x0838, 2),
            write(201, 0x0838, 3),
            write(600, 0x0c90, 4),
            write(601, 0x0c90, last),
        ];
        let mut state = State::default();
        state.registers.insert(0x0838, 3);
        Recorded { channel: channel.into(), probe: 1, accesses, state }
    }

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("airlift-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn v2_golden_files_give_back_what_was_recorded() {
        let folder = folder("golden-round-trip");
        Recorded::write_all(vec![run("1-20", 5), run("2-20", 6)], "k", "a", &folder).unwrap();
        let golden = Golden::load(&folder, "2-20").unwrap();
        let step = |address, value| Step::Write { address, width: 4, value };
        assert_eq!(golden.probe, [step(0x0004, 1)]);
        let pause = Step::Delay(Duration::from_millis(399));
        assert_eq!(golden.steps, [step(0x0838, 2), step(0x0838, 3), pause, step(0x0c90, 4), step(0x0c90, 6)],);
        assert_eq!(golden.state, run("2-20", 6).state);
    }

    #[test]
    fn v2_what_aggregates_packets_is_what_stands_around_the_size() {
        let short =
            |at: u64, address: u16, data: &[u8]| Access { data: data.to_vec(), ..write(at, address, 0) };
        let off = [short(0, 0x0280, &[0, 1]), short(1, 0x010c, &[0xb4])];
        let others: Vec<Access> = (0..9).map(|at| write(at, 0x0c90, 0)).collect();
        let on = [short(2, 0x0280, &[5, 0x20]), short(3, 0x010c, &[0xb4])];
        let folder = folder("golden-aggregation");
        let trace = [&off[..], &others, &on, &others].concat();
        write_aggregation(&trace, "k", &folder).unwrap();
        let step = |address, width, value| Step::Write { address, width, value };
        assert_eq!(aggregation(&folder).unwrap(), [step(0x0280, 2, 0x2005), step(0x010c, 1, 0xb4)]);
        assert!(!has_aggregated(&trace[..11]) && !has_aggregated(&trace[..12]) && has_aggregated(&trace));
    }

    #[test]
    fn v2_a_trace_with_the_watchdog_in_it_is_rejected() {
        let mut counters = run("2-20", 6);
        counters.accesses.push(Access { write: false, ..write(602, 0x0770, 0) });
        for bad in [run("2-20", 0x0420_0000), counters] {
            let runs = vec![run("1-20", 5), bad];
            let error = Recorded::write_all(runs, "k", "a", &folder("golden-watchdog")).unwrap_err();
            assert!(error.to_string().contains("watchdog"), "{error}");
        }
    }

    #[test]
    fn v2_a_trace_reads_back_as_it_was_written() {
        let read = Access { write: false, data: vec![0xea], ok: false, ..write(7, 0x0100, 0) };
        let accesses = [write(1, 0x0838, 0x1234_5678), read];
        let text: Vec<String> = accesses.iter().map(ToString::to_string).collect();
        assert_eq!(parse_trace(&text.join("\n")).unwrap(), accesses);
    }
}
