//! What a user may do to the program out of spite or by mistake: it says so, or ends, and never hangs.
#![cfg(target_os = "linux")]

use std::fs::{self, OpenOptions};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airlift"));
    command.env_remove("AIRLIFT_FIRMWARE_DIR").env_remove("AIRLIFT_LOG");
    command
}

fn airlift(line: &str) -> Output {
    program().args(line.split_whitespace()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Looks until `done` comes true; whether it did, within a time that no machine needs.
fn until(mut done: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > Duration::from_secs(120) {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Whether the program hears of interrupts: its mask of signals with handlers (proc(5)) has SIGINT, number 2.
fn hears_interrupts(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 << (2 - 1) != 0
}

#[test]
fn the_first_interrupt_ends_it_while_a_named_pipe_has_nobody_at_its_other_end() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile-user-pipe");
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for line in
        ["capture --write", "capture --usb-trace", "capture --replay", "export --replay", "inject --read"]
    {
        let mut child = program()
            .args(line.split_whitespace())
            .arg(&pipe)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(until(|| hears_interrupts(&child)), "{line}");
        let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(interrupted.success());
        let ended = until(|| child.try_wait().unwrap().is_some());
        // Only one that hangs is still there.
        _ = child.kill();
        let output = child.wait_with_output().unwrap();
        assert!(ended, "{line} still waits for the pipe");
        assert_eq!(output.status.code(), Some(130), "{line}: {}", text(&output.stderr));
    }
}

#[test]
fn a_log_that_cannot_be_written_does_not_disturb_the_driver() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program()
        .args(["capture", "--device", "emulated:rtl8812au", "--count", "3"])
        .env("AIRLIFT_LOG", "trace")
        .stderr(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout).lines().count(), 3);
}

#[test]
fn a_negative_number_is_refused_as_the_value_that_it_is() {
    for (line, value) in [
        ("capture --count -3", "invalid value '-3' for '--count"),
        ("capture --duration -1.5", "invalid value '-1.5' for '--duration"),
        ("capture --seed -1", "invalid value '-1' for '--seed"),
        ("capture --width -20", "invalid value '-20' for '--width"),
        ("inject --read a --rate-limit -1", "invalid value '-1' for '--rate-limit"),
        ("export --seed -1", "invalid value '-1' for '--seed"),
    ] {
        let output = airlift(line);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {told}");
        assert!(told.contains(value), "{line}: {told}");
    }
}

#[test]
fn a_folder_is_not_read_and_no_adapter_is_started_for_it() {
    for line in ["inject --read /", "capture --replay /"] {
        let output = airlift(line);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {told}");
        assert!(told.contains("directory") && !told.contains("up in"), "{line}: {told}");
    }
}
