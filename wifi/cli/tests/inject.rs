//! `airlift inject` from end to end on the emulated adapter: what it reads, what it says, how it ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The access point "coffee" of the emulated air, on channel 11.
const COFFEE: [u8; 6] = [0x02, 0, 0, 0, 0x0a, 0x01];
const EVERYONE: [u8; 6] = [0xff; 6];
const NOBODY: [u8; 6] = [0x02, 0xdd, 0, 0, 0, 9];

/// No field at all; 54 Mbit/s and power; MCS 23.
const PLAIN: &[u8] = &[0, 0, 8, 0, 0, 0, 0, 0];
const POWER: &[u8] = &[0, 0, 10, 0, 0x04, 0x04, 0, 0, 108, 20];
const MCS_23: &[u8] = &[0, 0, 11, 0, 0, 0, 0x08, 0, 2, 0, 23];
/// Two retries.
const RETRIES: &[u8] = &[0, 0, 9, 0, 0, 0, 0x02, 0, 2];

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airlift"));
    command.env_remove("AIRLIFT_FIRMWARE_DIR").env_remove("AIRLIFT_LOG").arg("inject").args(args);
    command.args(["--device", "emulated:rtl8812au"]);
    command
}

fn piped(args: &[&str], input: &[u8]) -> Output {
    let mut command = program(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who has read enough hangs up.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "nothing belongs on standard output");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn data(to: [u8; 6], length: usize) -> Vec<u8> {
    let own = [0x02, 0xa1, 0, 0, 0, 1];
    let mut frame = [&[0x08, 0, 0, 0][..], &to, &own, &own, &[0, 0]].concat();
    frame.resize(length, 0x5a);
    frame
}

/// A pcap file of packets.
fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    out.extend([2, 0, 4, 0]);
    for value in [0, 0, 65_535, link] {
        out.extend(value.to_le_bytes());
    }
    for packet in packets {
        for value in [0, 0, packet.len() as u32, packet.len() as u32] {
            out.extend(value.to_le_bytes());
        }
        out.extend(packet);
    }
    out
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn w1_each_frame_of_a_file_is_sent_and_its_outcome_told() {
    let packets = [
        [PLAIN, &data(COFFEE, 100)].concat(),
        [POWER, &data(COFFEE, 200)].concat(),
        [RETRIES, &data(NOBODY, 300)].concat(),
        [PLAIN, &data(EVERYONE, 400)].concat(),
    ];
    let path = file("outcomes.pcap", &pcap(127, &packets));
    let output = program(&["--read", path.to_str().unwrap()]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("4 frames in "), "{said}");
    let outcomes = "2 acknowledged, 1 not acknowledged, 1 sent without waiting for an answer, ";
    // Neighbours talk too, so that one or the other frame to the access point may be sent twice.
    assert!(said.contains(outcomes) && said.contains(" retries"), "{said}");
    assert!(said.contains("not honoured: tx power, for 1 frame\n"), "{said}");
}

#[test]
fn w1_frames_come_from_standard_input_without_radiotap_and_with_a_limit() {
    let packets: Vec<_> = (0..30).map(|n| data(EVERYONE, 60 + n)).collect();
    let begin = std::time::Instant::now();
    let output = piped(&["--read", "-", "--count", "12", "--rate-limit", "100"], &pcap(105, &packets));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("12 frames in ") && said.contains("12 sent without waiting"), "{said}");
    // Never faster than allowed, whatever the machine does.
    assert!(begin.elapsed().as_millis() >= 110);
}

#[test]
fn w3_frames_that_cannot_be_sent_are_told_with_the_reason_and_the_others_sent() {
    let packets = [
        [PLAIN, &data(EVERYONE, 100)].concat(),
        [MCS_23, &data(EVERYONE, 100)].concat(),
        [PLAIN, &[8, 0][..]].concat(),
        [MCS_23, &data(EVERYONE, 100)].concat(),
        vec![1, 0, 8, 0, 0, 0, 0, 0],
        [PLAIN, &data(EVERYONE, 100)].concat(),
    ];
    let output = piped(&["--read", "-"], &pcap(127, &packets));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for line in [
        "6 frames in ",
        "2 sent without waiting for an answer, 4 refused, ",
        "refused: MCS23 needs 3 chains, the adapter has 2 (2 frames, the first is frame 2)\n",
        "refused: a frame to be sent needs 10 bytes, 2 came (frame 3)\n",
        "refused: radiotap: version 1, expected 0 (frame 5)\n",
        "error: 4 frames could not be sent\n",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
}

#[test]
fn w1_what_is_no_capture_is_an_error_that_says_what_to_do() {
    for (input, what) in [
        (&b"GIF89a"[..], "error: cannot read standard input: expected a pcap or pcapng capture"),
        (&b"GIF89a"[..], "help:  --read takes pcap and pcapng files with 802.11 frames, plain or gzip"),
        (&[0x1f, 0x8b, 8, 0], "error: cannot read standard input: "),
        (&pcap(127, &[vec![0; 40]])[..50], "it ends within a record, after 0 packets"),
    ] {
        let output = piped(&["--read", "-"], input);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(what), "{said}");
    }
    let output = program(&["--read", "/nonexistent/file"]).output().unwrap();
    let said = said(&output);
    // Before any adapter is touched.
    assert!(said.starts_with("error: cannot read /nonexistent/file: "), "{said}");
    assert_eq!(output.status.code(), Some(1));
    // What is packed is unpacked.
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&pcap(105, &[data(EVERYONE, 60)])).unwrap();
    let said = self::said(&piped(&["--read", "-"], &packed.finish().unwrap()));
    assert!(said.contains("1 sent without waiting for an answer"), "{said}");
    // Nothing to send is done.
    assert_eq!(piped(&["--read", "-"], &[]).status.code(), Some(0));
}

#[test]
fn the_help_says_what_it_knows_of_radio_law_and_what_not() {
    let output = Command::new(env!("CARGO_BIN_EXE_airlift")).args(["inject", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for words in ["Radio law", "does not know in which country", "radar", "Exit codes"] {
        assert!(help.contains(words), "{words}");
    }
}

#[test]
fn w3_json_tells_what_became_of_each_frame() {
    let packets = [
        [POWER, &data(EVERYONE, 100)].concat(),
        [MCS_23, &data(EVERYONE, 100)].concat(),
        [RETRIES, &data(NOBODY, 100)].concat(),
    ];
    let output = piped(&["--read", "-", "--json"], &pcap(127, &packets));
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    let rate = r#""rate":{"mbps":54.0},"not_honoured":"tx power"}"#;
    assert_eq!(
        lines,
        [
            &format!(r#"{{"v":1,"frame":1,"outcome":"sent","retries":0,{rate}"#),
            r#"{"v":1,"frame":2,"outcome":"refused","reason":"MCS23 needs 3 chains, the adapter has 2"}"#,
            r#"{"v":1,"frame":3,"outcome":"not-acknowledged","retries":2,"rate":{"mbps":1.0}}"#,
        ]
    );
}

#[test]
fn w3_an_empty_capture_is_told_in_one_line() {
    let output = piped(&["--read", "-"], &pcap(127, &[]));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("0 frames in ") && !said.contains("retries"), "{said}");
}

/// Frames that nobody answers take the adapter half a second each: when the interrupt comes, right after the first
/// frame was told, most are waiting.
#[cfg(unix)]
#[test]
fn w3_at_an_interrupt_every_frame_is_told() {
    let packets: Vec<_> = (0..300).map(|n| data(if n == 0 { EVERYONE } else { NOBODY }, 1_500)).collect();
    let path = file("interrupted.pcap", &pcap(105, &packets));
    let mut command = program(&["--read", path.to_str().unwrap(), "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains(r#""frame":1,"outcome":"sent""#), "{first}");
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
    let mut numbers: Vec<u64> = lines
        .map(|line| {
            let line = line.unwrap();
            let rest = line.strip_prefix(r#"{"v":1,"frame":"#).unwrap();
            rest.split(',').next().unwrap().parse().unwrap()
        })
        .collect();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    numbers.push(1);
    numbers.sort_unstable();
    let read = numbers.len() as u64;
    assert!(numbers.iter().copied().eq(1..=read), "{numbers:?}");
    assert!(read > 1 && said.contains(&format!("{read} frames in ")), "{read}: {said}");
    assert!(said.contains(" not sent"), "{said}");
}
