//! Offers emulated RTL8812AU adapters on one virtual air over USB/IP to the guest of the ground-truth harness,
//! each fresh, as bus ids 1-1 to 1-8: `airlift-export FOLDER [--lenient]`. `mainline/run.sh` starts it; it ends when its standard
//! input does.
//!
//! `--lenient` lets accesses pass that break a rule of strict mode. They are listed either way.
//! `--stand-in-firmware` writes the firmware that the golden files are made with to standard output, and ends.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use airlift_emu::{Air, Probe, Rtl8812au};
use airlift_tests::export::Exporter;
use airlift_tests::state::State;

fn main() -> ExitCode {
    let mut folder = None;
    let mut strict = true;
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--lenient") => strict = false,
            Some("--stand-in-firmware") => {
                return match std::io::stdout().write_all(&airlift_emu::stand_in_firmware()) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(_) => ExitCode::FAILURE,
                };
            }
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

fn run(folder: PathBuf, strict: bool) -> std::io::Result<()> {
    let mut exporter = Exporter::bind(0, &folder)?;
    let air = Air::default_scene(1);
    for number in 1..=8 {
        let adapter = Rtl8812au::builder().strict(strict).air(&air).build();
        let probe = adapter.probe();
        exporter = exporter.export(&format!("1-{number}"), adapter, Box::new(move || describe(&probe)));
    }
    exporter.run()
}

fn describe(probe: &Probe) -> String {
    let mut text = String::new();
    for violation in probe.violations() {
        let _ = writeln!(text, "violation {violation}");
    }
    let _ = write!(text, "{}", State::of(probe));
    text
}
