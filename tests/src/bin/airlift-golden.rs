//! Writes the golden files from a run of the harness: `airlift-golden KERNEL RUN-FOLDER GOLDEN-FOLDER STEP...`,
//! with the steps as `mainline/run.sh` takes them. That script calls it; nothing else should.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::process::ExitCode;

use airlift_tests::adapters::{ADAPTERS, Adapter};
use airlift_tests::golden::{Recorded, parse_trace};
use airlift_tests::state::State;
use airlift_tests::{received, vectors};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, run, golden, steps @ ..] = &arguments[..] else {
        eprintln!("usage: airlift-golden KERNEL RUN-FOLDER GOLDEN-FOLDER STEP...");
        return ExitCode::from(2);
    };
    match write(kernel, Path::new(run), Path::new(golden), steps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("airlift-golden: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a folder of golden files for each kind of adapter that the steps name.
fn write(kernel: &str, run: &Path, golden: &Path, steps: &[String]) -> io::Result<()> {
    for kind in ADAPTERS {
        let mut runs = Vec::new();
        for step in steps.iter().map(|step| Planned::parse(step)).collect::<io::Result<Vec<_>>>()? {
            if step.mode == "no" && step.kind.bus == kind.bus {
                runs.push(step.read(run)?);
            }
        }
        if !runs.is_empty() {
            let adapter = format!("emulated RTL8812AU, high speed, {}, stand-in firmware", kind.what);
            let folder = golden.join(kind.name);
            std::fs::create_dir_all(&folder)?;
            Recorded::write_all(runs, kernel, &adapter, &folder)?;
        }
    }
    for step in steps.iter().map(|step| Planned::parse(step)).collect::<io::Result<Vec<_>>>()? {
        if step.mode == "feed" {
            let capture = std::fs::read(run.join(format!("{}.pcap", step.id)))?;
            let headers = received::headers(&capture, &vectors::vectors(vectors::SEED))?;
            let folder = golden.join("received");
            std::fs::create_dir_all(&folder)?;
            let text = received::to_text(&headers, kernel, &step.channel);
            std::fs::write(folder.join(format!("{}.txt", step.channel)), text)?;
        }
    }
    Ok(())
}

/// A step of the harness.
struct Planned<'a> {
    id: &'a str,
    kind: &'static Adapter,
    /// `11-20`, for example.
    channel: String,
    mode: &'a str,
}

impl<'a> Planned<'a> {
    fn parse(step: &'a str) -> io::Result<Self> {
        let parts: Vec<&str> = step.split(':').collect();
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("step {step} not understood"));
        let [id, channel, width, _, mode] = parts[..] else { return Err(bad()) };
        let width = match width {
            "HT20" => "20",
            "HT40+" => "40",
            "HT40-" => "40minus",
            "80MHz" => "80",
            other => other,
        };
        let kind = Adapter::of_bus_id(id).ok_or_else(bad)?;
        Ok(Self { id, kind, channel: format!("{channel}-{width}"), mode })
    }

    fn read(self, folder: &Path) -> io::Result<Recorded> {
        let id = self.id;
        let trace = |label: &str| {
            let text = std::fs::read_to_string(folder.join(format!("{id}.{label}.trace")))?;
            let what = format!("{id}.{label}.trace is no trace");
            parse_trace(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, what))
        };
        Ok(Recorded {
            probe: trace("probed")?.len(),
            accesses: trace("tuned")?,
            state: State::parse(&std::fs::read_to_string(folder.join(format!("{id}.tuned.state")))?),
            channel: self.channel,
        })
    }
}
