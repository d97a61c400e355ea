//! Writes the golden files from a run of the harness: `airlift-golden CHIP KERNEL RUN-FOLDER GOLDEN-FOLDER STEP...`,
//! with the steps as `mainline/run.sh` takes them. `airlift-golden --compare
//! GOLDEN-FOLDER OTHER-FOLDER` tells where the files of the other folder are about something else than those of the
//! first. That script calls it; nothing else should.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::process::ExitCode;

use airlift_hcd::Speed;
use airlift_tests::adapters::{CHIPS, Chip};
use airlift_tests::compare::{self, On};
use airlift_tests::golden::{Golden, Recorded, aggregation, parse_trace, write_aggregation};
use airlift_tests::plan::Step;
use airlift_tests::state::State;
use airlift_tests::trace::Access;
use airlift_tests::{inject, received, sent, vectors};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [compare, golden, other] = &arguments[..]
        && compare == "--compare"
    {
        let differences = match differences(Path::new(golden), Path::new(other)) {
            Ok(differences) => differences,
            Err(error) => vec![error.to_string()],
        };
        differences.iter().for_each(|difference| println!("{difference}"));
        return if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let [chip, kernel, run, golden, steps @ ..] = &arguments[..] else {
        eprintln!("usage: airlift-golden CHIP KERNEL RUN-FOLDER GOLDEN-FOLDER STEP...");
        return ExitCode::from(2);
    };
    let Some(chip) = Chip::named(chip) else {
        eprintln!("airlift-golden: no chip {chip}");
        return ExitCode::from(2);
    };
    match write(chip, kernel, Path::new(run), Path::new(golden), steps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("airlift-golden: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a folder of golden files for each kind of adapter that the steps name.
fn write(chip: &Chip, kernel: &str, run: &Path, golden: &Path, steps: &[String]) -> io::Result<()> {
    let steps = steps.iter().map(|step| Step::parse(chip, step)).collect::<io::Result<Vec<_>>>()?;
    for adapter in chip.adapters {
        let of_it = steps
            .iter()
            .filter(|step| ["no", "switch"].contains(&step.mode) && step.adapter.name == adapter.name);
        let runs = of_it.map(|step| read(step, run)).collect::<io::Result<Vec<_>>>()?;
        if !runs.is_empty() {
            let speed = if adapter.speed == Speed::Super { "super" } else { "high" };
            let what = format!("emulated {}, {speed} speed, {}, stand-in firmware", chip.model, adapter.what);
            let folder = golden.join(adapter.name);
            std::fs::create_dir_all(&folder)?;
            Recorded::write_all(runs, kernel, &what, &folder)?;
        }
    }
    for step in steps.iter().filter(|step| step.mode == "feed") {
        let capture = std::fs::read(run.join(format!("{}.pcap", step.id)))?;
        let headers = received::headers(&capture, &vectors::vectors(vectors::SEED))?;
        let folder = golden.join("received");
        std::fs::create_dir_all(&folder)?;
        let text = received::to_text(&headers, kernel, &step.file());
        std::fs::write(folder.join(format!("{}.txt", step.file())), text)?;
    }
    for step in steps.iter().filter(|step| step.mode == "busy") {
        let folder = golden.join(step.adapter.name);
        std::fs::create_dir_all(&folder)?;
        write_aggregation(&trace(step, run, "aggregated")?, kernel, &folder)?;
    }
    for step in steps.iter().filter(|step| step.mode == "inject") {
        let transfers = std::fs::read_to_string(run.join(format!("{}.injected.bulk", step.id)))?;
        let sent = sent::find(&inject::frames(), &sent::transfers(&transfers)?)?;
        let folder = golden.join("sent");
        std::fs::create_dir_all(&folder)?;
        let text = sent::to_text(&sent, kernel, &step.file());
        std::fs::write(folder.join(format!("{}.txt", step.file())), text)?;
    }
    Ok(())
}

/// What a run recorded of a step.
fn read(step: &Step<'_>, folder: &Path) -> io::Result<Recorded> {
    let id = step.id;
    Ok(Recorded {
        probe: trace(step, folder, "probed")?.len(),
        accesses: trace(step, folder, "tuned")?,
        state: State::parse(&std::fs::read_to_string(folder.join(format!("{id}.tuned.state")))?),
        channel: step.file(),
    })
}

/// The trace up to a mark.
fn trace(step: &Step<'_>, folder: &Path, label: &str) -> io::Result<Vec<Access>> {
    let name = format!("{}.{label}.trace", step.id);
    let text = std::fs::read_to_string(folder.join(&name))?;
    parse_trace(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{name} is no trace")))
}

/// Where the files in the subfolders of `other` differ from those of the same name in `golden`, in more than each run
/// does from the one before.
fn differences(golden: &Path, other: &Path) -> io::Result<Vec<String>> {
    /// What is told of one file at most.
    const TOLD: usize = 10;
    let folder = golden.file_name().unwrap_or_default();
    let chip = CHIPS.iter().find(|chip| folder == chip.folder).map(|chip| chip.model);
    let chip = chip.ok_or_else(|| {
        io::Error::other(format!("{} is not the folder of a chip's golden files", golden.display()))
    })?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(other)? {
        let (name, now) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        let before = golden.join(&name);
        for file in std::fs::read_dir(&now)? {
            let file = file?.path();
            let Some(stem) = file.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let mut differing = if name == "received" {
                let headers = |folder: &Path| {
                    received::parse(&std::fs::read_to_string(folder.join(format!("{stem}.txt")))?)
                };
                let (before, now) = (headers(&before)?, headers(&now)?);
                let differ = |number: &u32| before.get(number) != now.get(number);
                (0..vectors::COUNT).filter(differ).map(|number| format!("vector {number}")).collect()
            } else if name == "sent" {
                let sent = |folder: &Path| {
                    sent::parse(&std::fs::read_to_string(folder.join(format!("{stem}.txt")))?)
                };
                sent::differences(&sent(&before)?, &sent(&now)?)
            } else if stem == "aggregation" {
                let (before, now) = (aggregation(&before)?, aggregation(&now)?);
                if before == now { Vec::new() } else { vec![format!("then {before:?}, now {now:?}")] }
            } else if stem == "bring-up" {
                continue;
            } else {
                let on = On { chip, adapter: name.to_str().unwrap_or_default() };
                compare::runs(on, &Golden::load(&before, stem)?, &Golden::load(&now, stem)?)
            };
            let count = differing.len();
            differing.truncate(TOLD);
            let place = Path::new(&name).join(stem);
            found.extend(differing.iter().map(|what| format!("{}: {what}", place.display())));
            if count > TOLD {
                found.push(format!("{}: and {} differences more", place.display(), count - TOLD));
            }
        }
    }
    Ok(found)
}
