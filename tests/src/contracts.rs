//! What Airlift promises, line by line, and the tests that prove each line.
//!
//! A test that proves a line is named after it: `r3_a_suspended_tasks_flag_defers_no_host_token` proves R3.
//! [`proofs`] reads the workspace's sources for such names; `cargo run -p airlift-tests --bin contracts` prints them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A line of the contract.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Line {
    /// Group and number: `R3`.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// What proves it besides tests: a script, a doc-test.
    pub also: Option<&'static str>,
}

const fn line(id: &'static str, title: &'static str) -> Line {
    Line { id, title, also: None }
}

const fn line_and(id: &'static str, title: &'static str, also: &'static str) -> Line {
    Line { id, title, also: Some(also) }
}

/// All lines, in order: the public API (A), the kernel core (R), the USB host controller (H), the driver (W), the
/// emulated adapters (E), and how it is known to be right (V).
pub const LINES: &[Line] = &[
    line("A1", "who owns what, and which handles keep nothing alive"),
    line_and("A2", "being on the kernel is a type", "doc-tests of airlift-runtime that must not compile"),
    line("A3", "futures for the host are Send and need nothing of any runtime"),
    line("A4", "nothing blocks but what says so; the end is something to await"),
    line("A5", "what cancelling each future does"),
    line("A6", "streams end with a reason, and loss is told within them"),
    line("A7", "queues are bounded by the bytes that they hold; slow readers harm nobody"),
    line("A8", "errors: kinds, stages, hints, and what was lent comes back"),
    line("A9", "frames, air and devices are made without an adapter"),
    line("R1", "a kernel is a thread; several in a process; its end is told"),
    line("R2", "interrupts are tokens on a channel; storms coalesce and are counted"),
    line("R3", "the flag of the task being polled decides when an interrupt is taken"),
    line("R4", "delivery points, budgets, and no lost wake-up"),
    line("R5", "the IRQ flag belongs to its task; suspending with IRQs off is reported"),
    line("R6", "save and restore nest; nothing opens a window in a handler"),
    line("R7", "the entry protocol, preemption, and NMIs apart from both"),
    line("R8", "softirqs, tasklets, workqueues, and lines shared, threaded, disabled, spurious"),
    line("R9", "jiffies, sleeps and timers: never early, never stopped by a lost token"),
    line("R10", "locks, and the validator that watches them"),
    line("R11", "the watchdog and its reports"),
    line("R12", "panics end their owner and nobody else"),
    line("R13", "statistics like /proc/interrupts, and spans"),
    line("R14", "a line is a future and a stream of counted edges"),
    line_and("R15", "one flag for all: the failure shown", "cargo run -p airlift-examples --bin irq_leak"),
    line("R16", "the virtual clock, and seeded chaos"),
    line("H1", "URBs: submitted at once, awaited or detached; statuses mean what Linux's do"),
    line("H2", "any number in flight, order, cancelling, buffers, resets, descriptors"),
    line("H3", "completions come from a host thread through an interrupt"),
    line("H4", "backends: mock, libusb, USB/IP; devices written in a few lines; the server"),
    line("H5", "layers: trace, fault, latency"),
    line("H6", "hotplug, and unplug at any moment"),
    line("H7", "unsafe code in the libusb backend alone, each block with its reason"),
    line("W1", "wlan0: its operations"),
    line("W2", "frames: cheap clones, lazy views, malformed input refused"),
    line("W3", "radiotap: what the chip tells and what it is told, nothing made up"),
    line("W4", "where firmware comes from"),
    line("W5", "every frame is accounted for; reception never goes silent"),
    line("W6", "failures name stage and register; unplug and drop anywhere leave nothing behind"),
    line("E1", "the chips as state machines that are strict"),
    line("E2", "the virtual air"),
    line("E3", "personalities from the field"),
    line("E4", "the same seed, the same transfers"),
    line_and("V1", "mainline's driver drives the emulated chips", "tests/mainline/run.sh"),
    line("V2", "mainline's driver and ours leave the same registers"),
    line_and("V3", "our driver through libusb on a device that a kernel enumerated", "tests/mainline/run.sh"),
    line("V4", "what we write is read by others"),
    line_and("V5", "mainline's reception and ours agree", "tests/mainline/run.sh"),
];

/// A test, by the line that it is named after.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Proof {
    /// The name of its function.
    pub test: String,
    /// Its file, from the workspace's root.
    pub file: PathBuf,
    /// Where in the file, from 1.
    pub line: usize,
    /// It runs on request only.
    pub ignored: bool,
}

/// The root of the workspace that this was built from.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// The tests named after contract lines in all Rust sources below `root`, by identity of the line. Identities that
/// are not among [`LINES`] come too.
///
/// # Errors
///
/// What the file system says.
pub fn proofs(root: &Path) -> io::Result<BTreeMap<String, Vec<Proof>>> {
    let mut found: BTreeMap<String, Vec<Proof>> = BTreeMap::new();
    for file in sources(root)? {
        let text = fs::read_to_string(&file)?;
        let file = file.strip_prefix(root).unwrap_or(&file);
        for (id, proof) in tests_of(file, &text) {
            found.entry(id).or_default().push(proof);
        }
    }
    Ok(found)
}

/// All Rust sources below `root`, in order, without what builds leave behind.
///
/// # Errors
///
/// What the file system says.
pub fn sources(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(entry.path());
                }
            } else if name.ends_with(".rs") {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn tests_of<'a>(file: &'a Path, text: &'a str) -> impl Iterator<Item = (String, Proof)> + 'a {
    // The attributes since the last line that was none.
    let (mut is_test, mut ignored) = (false, false);
    text.lines().zip(1..).filter_map(move |(text, line)| {
        let text = text.trim_start();
        if text.starts_with("#[") {
            is_test |= text.contains("test]") || text.contains("test(");
            ignored |= text.starts_with("#[ignore");
            return None;
        }
        let (was_test, ignored) = (std::mem::take(&mut is_test), std::mem::take(&mut ignored));
        let name = text.strip_prefix("async ").unwrap_or(text).strip_prefix("fn ")?;
        let name = &name[..name.find(|c: char| !c.is_alphanumeric() && c != '_')?];
        let id = id_of(name).filter(|_| was_test)?;
        Some((id, Proof { test: name.to_owned(), file: file.to_owned(), line, ignored }))
    })
}

/// `r3_…` is of line R3; a letter behind the number tells parts of a line apart.
fn id_of(name: &str) -> Option<String> {
    let (id, _) = name.split_once('_')?;
    let group = id.chars().next().filter(|group| "arhwev".contains(*group))?;
    let number = id[1..].trim_end_matches(|part: char| part.is_ascii_lowercase());
    let numbered = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    numbered.then(|| format!("{}{number}", group.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_line() {
        assert_eq!(id_of("r10_a_lock").as_deref(), Some("R10"));
        assert_eq!(id_of("v1b_frames").as_deref(), Some("V1"));
        for name in ["reads_all", "r_1", "wifi", "x3_y", "e_1", "a3"] {
            assert_eq!(id_of(name), None, "{name}");
        }
    }

    #[test]
    fn only_tests_count_and_ignored_ones_say_so() {
        let text = "#[test]\nfn r1_yes() {\n}\nfn r2_helper() {}\n#[tokio::test(flavor = \"x\")]\n#[ignore = \"why\"]\n\
                    async fn a3_yes() {}\n#[inline]\nfn r4_no(x: u8) {}\n";
        let found: Vec<_> = tests_of(Path::new("x.rs"), text).collect();
        let told: Vec<_> = found.iter().map(|(id, proof)| (id.as_str(), proof.line, proof.ignored)).collect();
        assert_eq!(told, [("R1", 2, false), ("A3", 7, true)]);
    }
}
