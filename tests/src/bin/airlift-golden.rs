//! Writes the golden files from a run of the harness: `airlift-golden KERNEL RUN-FOLDER GOLDEN-FOLDER STEP...`,
//! with the steps as `mainline/run.sh` takes them. That script calls it; nothing else should.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::process::ExitCode;

use airlift_tests::golden::{Recorded, parse_trace};
use airlift_tests::state::State;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, run, golden, steps @ ..] = &arguments[..] else {
        eprintln!("usage: airlift-golden KERNEL RUN-FOLDER GOLDEN-FOLDER STEP...");
        return ExitCode::from(2);
    };
    let recorded: io::Result<Vec<Recorded>> = steps.iter().map(|step| read(Path::new(run), step)).collect();
    let adapter = "emulated RTL8812AU, high speed, ordinary EFUSE, stand-in firmware";
    match recorded.and_then(|runs| Recorded::write_all(runs, kernel, adapter, Path::new(golden))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("airlift-golden: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(folder: &Path, step: &str) -> io::Result<Recorded> {
    let mut parts = step.split(':');
    let (id, channel, width) = (parts.next(), parts.next(), parts.next());
    let (Some(id), Some(channel), Some(width)) = (id, channel, width) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("step {step} not understood")));
    };
    let width = match width {
        "HT20" => "20",
        "HT40+" => "40",
        "HT40-" => "40minus",
        "80MHz" => "80",
        other => other,
    };
    let trace = |label: &str| {
        let text = std::fs::read_to_string(folder.join(format!("{id}.{label}.trace")))?;
        let what = format!("{id}.{label}.trace is no trace");
        parse_trace(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, what))
    };
    Ok(Recorded {
        channel: format!("{channel}-{width}"),
        probe: trace("probed")?.len(),
        accesses: trace("tuned")?,
        state: State::parse(&std::fs::read_to_string(folder.join(format!("{id}.tuned.state")))?),
    })
}
