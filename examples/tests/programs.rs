//! Each example program runs to its end and says what it promises.

use std::process::Command;

fn run(program: &str) -> String {
    let output = Command::new(program).output().expect("the program starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} failed: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[test]
fn embed_receives_while_the_application_works() {
    let out = run(env!("CARGO_BIN_EXE_embed"));
    assert_eq!(out.lines().filter(|line| line.contains(" dBm ")).count(), 25, "{out}");
    assert!(out.contains("\"coffee\""), "{out}");
    assert!(out.contains("the application works on"), "{out}");
}

#[test]
fn readers_each_get_what_they_asked_for() {
    let out = run(env!("CARGO_BIN_EXE_readers"));
    assert!(out.contains("beacons of \"coffee\""), "{out}");
    assert!(out.contains("bytes of strong data"), "{out}");
    let lost = out.lines().find_map(|line| line.strip_prefix("the sluggard lost "));
    let lost: u64 =
        lost.and_then(|rest| rest.split(' ').next()).and_then(|n| n.parse().ok()).expect("a count");
    assert!(lost > 0, "{out}");
}

#[test]
fn thermometer_interrupts_its_driver() {
    let out = run(env!("CARGO_BIN_EXE_thermometer"));
    assert!(out.contains("[irq] alarm at 200ms, 21 degrees"), "{out}");
    assert!(out.contains("last reading: 23 degrees"), "{out}");
}

#[test]
fn r15_irq_leak_shows_what_a_flag_for_each_task_removes() {
    let out = run(env!("CARGO_BIN_EXE_irq_leak"));
    let (global, per_task) = out.split_once("PerTask: ").expect("both policies");
    // Under one flag for all: not one transfer, jiffies stand, and the watchdog says why, within its threshold.
    for part in ["Global: 0 of 8000 transfers, 5 jiffies", "jiffies have stood at 5 for 10.0 s", "irqs off"] {
        assert!(global.contains(part), "no {part:?} in {out}");
    }
    for part in [r#"irq 1 "hcd" is pending"#, r#""driver" is suspended with irqs off"#] {
        assert!(global.contains(part), "no {part:?} in {out}");
    }
    assert!(per_task.starts_with("8000 of 8000 transfers, 10 jiffies"), "{out}");
    assert!(!per_task.contains("watchdog"), "{out}");
}

#[test]
fn talk_is_heard_on_its_channel_and_nowhere_else() {
    let out = run(env!("CARGO_BIN_EXE_talk"));
    for rate in ["6.0", "MCS7", "VHT9x1"] {
        for chip in ["RTL8821AU", "RTL8814AU"] {
            assert!(out.contains(&format!("{chip} heard 1500 bytes at {rate}, ")), "{chip} {rate}: {out}");
        }
    }
    assert!(out.contains("accepted 103 = acknowledged 100 + not acknowledged 0 + sent 3;"), "{out}");
    assert!(out.contains("MCS31 needs 4 chains, the adapter has 2; it has 1500 bytes"), "{out}");
    assert!(out.contains("on channel 149: 0 of our frames"), "{out}");
}
