//! Offers emulated RTL8812AU adapters on one virtual air over USB/IP to the guest of the ground-truth harness,
//! each fresh, six of each [kind](airlift_tests::adapters) as bus ids 1-1 to 1-6, 2-1 and so on:
//! `airlift-export FOLDER [--lenient]`. `mainline/run.sh` starts it; it ends when its standard input does.
//!
//! Number 7 of each kind receives made-up packets, the [`vectors`], only. Number 8 is on a quiet air, where
//! what it sends is judged by what the guest was to [`inject`].
//!
//! `--lenient` lets accesses pass that break a rule of strict mode. They are listed either way.
//! `--stand-in-firmware` writes the firmware that the golden files are made with to standard output, and ends;
//! `--frames` writes the frames to inject.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use airlift_emu::{Air, Probe, RadioOptions};
use airlift_tests::adapters::ADAPTERS;
use airlift_tests::export::{Exporter, Snapshot};
use airlift_tests::state::State;
use airlift_tests::{inject, vectors};

fn main() -> ExitCode {
    let mut folder = None;
    let mut strict = true;
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--lenient") => strict = false,
            Some("--stand-in-firmware") => return print(&airlift_emu::stand_in_firmware()),
            Some("--frames") => return print(&inject::file(&inject::frames())),
            _ => folder = Some(PathBuf::from(argument)),
        }
    }
    let Some(folder) = folder else {
        eprintln!("usage: airlift-export FOLDER [--lenient]");
        return ExitCode::from(2);
    };
    match run(folder, strict) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("airlift-export: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(bytes: &[u8]) -> ExitCode {
    match std::io::stdout().write_all(bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(folder: PathBuf, strict: bool) -> std::io::Result<()> {
    let mut exporter = Exporter::bind(0, &folder)?;
    let air = Air::default_scene(1);
    for kind in ADAPTERS {
        let builder = || (kind.builder)().strict(strict);
        for number in 1..=6 {
            let adapter = builder().air(&air).build();
            let (id, probe) = (format!("{}-{number}", kind.bus), adapter.probe());
            exporter = exporter.export(&id, adapter, Box::new(move || describe(&probe)));
        }
        let adapter = builder().build();
        let (id, probe) = (format!("{}-7", kind.bus), adapter.probe());
        let packets = vectors::transfers(&vectors::vectors(vectors::SEED));
        exporter = exporter.export_fed(&id, adapter, Box::new(move || describe(&probe)), packets);
        let quiet = Air::quiet(1);
        let adapter = builder().air(&quiet).build();
        let snapshot = listen(&quiet, adapter.probe());
        exporter = exporter.export(&format!("{}-8", kind.bus), adapter, snapshot);
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
