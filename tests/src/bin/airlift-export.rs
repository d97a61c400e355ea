//! Offers emulated adapters on one virtual air over USB/IP to the guest of the ground-truth harness, a fresh one for
//! each step: `airlift-export FOLDER CHIP [--lenient] STEP...`, with the steps as `mainline/run.sh` takes them. That
//! script starts it; it ends when its standard input does.
//!
//! The adapter of a step `feed` receives made-up packets, the [`vectors`], only, that of a step `busy` more of them than
//! mainline leaves unaggregated. That of a step `inject` is on a quiet air, where what it sends is judged by what the
//! guest was to [`inject`]. That of a step `load` has a [`gadget::load`] on its air, and that of a step `bench` is a
//! [`Source`].
//!
//! `--lenient` lets accesses pass that break a rule of strict mode. They are listed either way.
//! `--facts CHIP` writes the chip's module, firmware file, USB identity and folder of golden files to standard output,
//! and ends; `--steps CHIP [--quick]` the steps of its golden files; `--stand-in-firmware CHIP` the firmware that the
//! golden files are made with; `--frames` the frames to inject.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use airlift_emu::{Air, Probe, RadioOptions, ReplayOptions};
use airlift_tests::adapters::{CHIPS, Chip};
use airlift_tests::export::{Exporter, Snapshot};
use airlift_tests::gadget::{self, Source};
use airlift_tests::plan::{self, Step};
use airlift_tests::state::State;
use airlift_tests::{inject, vectors};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let chip = |name: &str| {
        Chip::named(name).ok_or_else(|| {
            let known: Vec<&str> = CHIPS.iter().map(|chip| chip.model.name()).collect();
            std::io::Error::other(format!("no chip {name}; there are {}", known.join(", ")))
        })
    };
    let done = match words[..] {
        ["--frames"] => print(&inject::file(&inject::frames())),
        ["--facts", name] => chip(name).and_then(|chip| {
            let Chip { model, module, firmware, folder, .. } = chip;
            let (vendor, product) = model.identity();
            let identity = format!("{vendor:04x}:{product:04x}");
            print(format!("{module} {firmware} {identity} {folder}\n").as_bytes())
        }),
        ["--steps", name] | ["--steps", name, "--quick"] => chip(name)
            .and_then(|chip| print(format!("{}\n", plan::steps(chip, words.len() > 2).join(" ")).as_bytes())),
        ["--stand-in-firmware", name] => chip(name).and_then(|chip| print(&chip.model.stand_in_firmware())),
        [folder, name, "--lenient", ref steps @ ..] if plain(folder, name, steps) => {
            chip(name).and_then(|chip| run(Path::new(folder), chip, false, steps))
        }
        [folder, name, ref steps @ ..] if plain(folder, name, steps) => {
            chip(name).and_then(|chip| run(Path::new(folder), chip, true, steps))
        }
        _ => Err(std::io::Error::other("usage: airlift-export FOLDER CHIP [--lenient] STEP...")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("airlift-export: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether none of these is an option that is unknown, or in the wrong place.
fn plain(folder: &str, name: &str, steps: &[&str]) -> bool {
    ![folder, name].iter().chain(steps).any(|word| word.starts_with("--"))
}

fn print(bytes: &[u8]) -> std::io::Result<()> {
    std::io::stdout().write_all(bytes)
}

fn run(folder: &Path, chip: &Chip, strict: bool, steps: &[&str]) -> std::io::Result<()> {
    let mut exporter = Exporter::bind(0, folder)?;
    let air = Air::default_scene(1);
    for step in steps {
        let step = Step::parse(chip, step)?;
        let builder = chip.builder(step.adapter).strict(strict);
        exporter = match step.mode {
            "feed" | "busy" => {
                let adapter = builder.build();
                let probe = adapter.probe();
                let packets = match step.mode {
                    "busy" => vectors::traffic(),
                    _ => vectors::transfers(&vectors::vectors(vectors::SEED)),
                };
                exporter.export_fed(step.id, adapter, Box::new(move || describe(&probe)), packets)
            }
            "bench" => exporter.export(step.id, Source, Box::new(String::new)),
            "load" | "load-ours" => {
                let options = ReplayOptions { wait_for_start: true, ..ReplayOptions::default() };
                let air = Air::replay(gadget::load(), options);
                let adapter = builder.air(&air).build();
                let probe = adapter.probe();
                exporter.export_on_air(step.id, adapter, Box::new(move || describe(&probe)), air)
            }
            "inject" => {
                let quiet = Air::quiet(1);
                let adapter = builder.air(&quiet).build();
                let (snapshot, probe) = (listen(&quiet, adapter.probe()), adapter.probe());
                let handed = move || {
                    let stats = probe.transmit_stats();
                    stats.sent + stats.dropped
                };
                exporter.export_sending(step.id, adapter, snapshot, Box::new(handed))
            }
            _ => {
                let adapter = builder.air(&air).build();
                let probe = adapter.probe();
                exporter.export(step.id, adapter, Box::new(move || describe(&probe)))
            }
        };
    }
    exporter.run()
}

/// A radio beside an adapter that listens on its channel, from the first mark at which there is one. Each mark tells
/// what it has heard.
fn listen(air: &Air, probe: Probe) -> Snapshot {
    /// Later than any frame; a quiet air holds no others than those that were sent.
    const LATER: Duration = Duration::from_secs(1 << 32);
    let listener = Mutex::new((air.join(RadioOptions::default()), Vec::new()));
    Box::new(move || {
        let mut listener = listener.lock().unwrap_or_else(PoisonError::into_inner);
        let (radio, heard) = &mut *listener;
        while let Some(frame) = radio.receive(LATER) {
            heard.push(frame);
        }
        match probe.tuning() {
            Some(tuning) => radio.tune(Duration::ZERO, Some(tuning)),
            // The adapter is only just there, or there again.
            None => heard.clear(),
        }
        let mut text = String::new();
        for line in inject::judge(&inject::frames(), heard).lines() {
            let _ = writeln!(text, "injected wrongly: {line}");
        }
        let _ = writeln!(text, "on the air: {} frames", heard.len());
        text + &describe(&probe)
    })
}

fn describe(probe: &Probe) -> String {
    let mut text = String::new();
    for violation in probe.violations() {
        let _ = writeln!(text, "violation {violation}");
    }
    let _ = write!(text, "{}", State::of(probe));
    text
}
