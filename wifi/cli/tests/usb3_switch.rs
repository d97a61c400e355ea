//! The switch to USB 3 from the command line: local, over USB/IP, forbidden, in vain, and for good.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use airlift_emu::{Air, Efuse, Personality, Rtl8812au};
use airlift_hcd::usbip::{ImportOptions, Server, list_blocking};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airlift"));
    command.env_remove("AIRLIFT_FIRMWARE_DIR").env_remove("AIRLIFT_LOG");
    command
}

fn capture(device: &str, more: &[&str]) -> Output {
    program().args(["capture", "--count", "5", "--device", device]).args(more).output().unwrap()
}

/// Whether `done` comes true within a minute, which no machine needs for it.
fn until(done: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Captures five frames; what was said beside them.
fn captured(device: &str, more: &[&str]) -> String {
    let output = capture(device, more);
    let notices = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{device}: {notices}");
    assert_eq!(text(&output.stdout).lines().count(), 5, "{device}");
    notices
}

#[test]
fn an_emulated_adapter_that_asks_for_usb_3_is_switched_and_frames_come() {
    for device in ["emulated:rtl8812au,usb3-switch", "emulated:rtl8814au,usb3-switch"] {
        let notices = captured(device, &[]);
        assert!(notices.contains(", switched to USB 3, now at ") && !notices.contains("WARN"), "{notices}");
    }
    let notices = captured("emulated:rtl8812au,super", &[]);
    assert!(!notices.contains("USB 3"), "it was there already: {notices}");
}

#[test]
fn one_that_is_left_at_usb_2_or_finds_no_usb_3_goes_on_at_high_speed() {
    let notices = captured("emulated:rtl8812au,usb3-switch", &["--no-usb3-switch"]);
    assert!(!notices.contains("USB 3"), "{notices}");
    let notices = captured("emulated:rtl8812au,usb3-switch-fails", &[]);
    assert!(notices.contains("WARN") && notices.contains("came back without USB 3"), "{notices}");
    assert!(notices.contains("up in "), "{notices}");
}

#[test]
fn an_exported_adapter_is_switched_through_the_network() {
    let mut export = program();
    export.args(["export", "--listen", "127.0.0.1:0", "--device", "emulated:rtl8814au,usb3-switch"]);
    let mut export = export.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    let mut told = BufReader::new(export.stdout.take().unwrap());
    told.read_line(&mut line).unwrap();
    let address = line.trim().trim_end_matches(':').rsplit(' ').next().unwrap().to_owned();
    let device = format!("usbip:{address}/1-1");
    let first = captured(&device, &[]);
    // The server may still be taking it back.
    let listed = || !list_blocking(&address, &ImportOptions::new()).unwrap().is_empty();
    assert!(until(listed), "the server took the adapter back within a minute");
    // It is at super speed by now, and stays there.
    let second = captured(&device, &[]);
    export.kill().unwrap();
    export.wait().unwrap();
    assert!(first.contains(", switched to USB 3, now at "), "{first}");
    assert!(!second.contains("USB 3"), "{second}");
}

#[test]
fn one_that_does_not_come_back_is_told_with_what_to_do() {
    let adapter = Rtl8812au::builder()
        .air(&Air::quiet(1))
        .efuse(Efuse::ordinary().with_usb3_switch())
        .personality(Personality::NeverReturns)
        .build();
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(adapter)).start().unwrap();
    let output = capture(&format!("usbip:{}/1-1", server.address()), &[]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("the adapter left for USB 3 and did not come back within 5 s ("), "{told}");
    assert!(told.contains("exports no device 1-1)"), "{told}");
    assert!(
        told.contains("\nhelp:  see to that, or keep the adapter at USB 2 with --no-usb3-switch\n"),
        "{told}"
    );
    server.stop_blocking();
}
