//! What the program says without bringing an adapter up: help, usage errors, exit codes.

use std::process::{Command, Output};

fn airlift(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_airlift")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn devices_lists_the_emulated_adapter_on_stdout() {
    let output = airlift(&["devices"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("emulated:rtl8812au  RTL8812AU  in-process  ready"));
    assert_eq!(stderr(&output), "");
}

#[test]
fn help_teaches_with_examples_exit_codes_and_the_json_shape() {
    let output = airlift(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    for text in ["airlift capture --write - | wireshark", "130 interrupted", "No adapter is needed"] {
        assert!(stdout(&output).contains(text), "{text}");
    }
    let output = airlift(&["capture", "--help"]);
    for text in [
        "--device",
        "--chip",
        "--detach",
        "--channel",
        "--width",
        "--count",
        "--duration",
        "--write",
        "--replay",
        "--replay-speed",
        "--firmware-dir",
        "--seed",
        "--serial-io",
        "--no-usb3-switch",
        "emulated:rtl8812au,usb3-switch",
        "--json",
        "lost_before",
        "the version of this shape",
    ] {
        assert!(stdout(&output).contains(text), "{text}");
    }
}

#[test]
fn usage_errors_exit_with_2_and_say_what_is_possible() {
    for (args, text) in [
        (&[][..], "Usage"),
        (&["fly"], "unrecognized subcommand"),
        (&["capture", "--channel", "15"], "channel 15"),
        (&["capture", "--width", "33"], "unknown channel width 33 MHz"),
        (&["capture", "--channel", "165", "--width", "80"], "channel 165 cannot be 80 MHz wide"),
        (&["capture", "--count", "0"], "0"),
        (&["capture", "--device", "dongle"], "expected emulated:CHIP such as emulated:rtl8812au, VID:PID"),
        (&["capture", "--device", "3-2", "--chip", "rtl8192eu"], "expected rtl8812au"),
        (&["capture", "--json", "--write", "-"], "both want standard output"),
    ] {
        let output = airlift(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(text), "{args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn udev_prints_a_rule_for_each_adapter_that_the_driver_knows() {
    let output = airlift(&["udev"]);
    assert_eq!(output.status.code(), Some(0));
    for text in ["# RTL8812AU\n", "ATTR{idVendor}==\"0bda\", ATTR{idProduct}==\"8812\", TAG+=\"uaccess\"\n"] {
        assert!(stdout(&output).contains(text), "{text}");
    }
    assert_eq!(stderr(&output), "");
}

#[test]
fn an_adapter_that_is_not_there_exits_with_3() {
    for device in ["ffff:fffe", "99-99.9", "serial:nobody's"] {
        let output = airlift(&["capture", "--device", device]);
        assert_eq!(output.status.code(), Some(3));
        let text = stderr(&output);
        assert!(
            text.starts_with(&format!("error: no adapter {device}")) && text.contains("\nhelp:  "),
            "{text}"
        );
    }
}

#[test]
fn a_usage_error_cannot_send_control_characters_to_the_terminal() {
    for args in [["--channel", "\u{1b}[2J"], ["--device", "\u{1b}[2J"], ["--duration", "\u{1b}[2J"]] {
        let output = airlift(&["capture", args[0], args[1]]);
        assert_eq!(output.status.code(), Some(2));
        assert!(!stderr(&output).contains('\u{1b}'), "{args:?}: {:?}", stderr(&output));
    }
}
