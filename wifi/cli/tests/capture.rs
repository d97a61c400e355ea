//! The program from end to end on the emulated adapter: its lines, its files, its errors and its end.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airlift"));
    command.env_remove("AIRLIFT_FIRMWARE_DIR").env_remove("AIRLIFT_LOG");
    command
}

fn capture(args: &[&str]) -> Output {
    program().arg("capture").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An empty folder of this test's own.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The packets of a pcapng file (little-endian, as this program writes): link type and bytes with radiotap.
fn packets(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut packets, mut statistics) = (0, Vec::new(), 0);
    assert_eq!(word(0), 0x0a0d_0d0a);
    while at < file.len() {
        let length = word(at + 4) as usize;
        assert_eq!(word(at + length - 4) as usize, length, "both lengths of a block agree");
        match word(at) {
            1 => assert_eq!(word(at + 8) & 0xffff, 127, "link type"),
            5 => statistics += 1,
            6 => {
                let captured = word(at + 20) as usize;
                assert_eq!(word(at + 20), word(at + 24), "nothing was cut off");
                let stamp = u64::from(word(at + 12)) << 32 | u64::from(word(at + 16));
                packets.push((stamp, file[at + 28..at + 28 + captured].to_vec()));
            }
            _ => {}
        }
        at += length;
    }
    assert_eq!(statistics, 1, "an interface statistics block ends the file");
    packets
}

#[test]
fn a_file_that_is_read_is_not_written_over_by_whatever_name() {
    let folder = folder("apart");
    let old = folder.join("old.pcap");
    fs::write(&old, b"precious").unwrap();
    let (plain, detour) = (old.to_str().unwrap(), folder.join("../apart/old.pcap"));
    let detour = detour.to_str().unwrap();
    for args in [
        ["--replay", plain, "--write", detour],
        ["--replay", plain, "--usb-trace", detour],
        ["--write", plain, "--usb-trace", detour],
    ] {
        let output = capture(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains("name the same file"), "{}", text(&output.stderr));
        assert_eq!(fs::read(&old).unwrap(), b"precious");
    }
}

/// A packet without its radiotap header.
fn frame(packet: &[u8]) -> &[u8] {
    &packet[usize::from(u16::from_le_bytes([packet[2], packet[3]]))..]
}

fn fcs(bytes: &[u8]) -> [u8; 4] {
    airlift_emu::air::fcs(bytes).to_le_bytes()
}

/// A pcap file of 802.11 frames with radiotap (rate 1 Mbit/s, -40 dBm, FCS at the end), 1 ms apart.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut out = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    out.extend([2, 0, 4, 0]);
    for value in [0u32, 0, 65_535, 127] {
        out.extend(value.to_le_bytes());
    }
    for (number, bytes) in frames.iter().enumerate() {
        let mut packet = vec![0, 0, 11, 0, 0b10_0110, 0, 0, 0, 0x10, 2, -40i8 as u8];
        packet.extend(bytes);
        for value in
            [number as u32 / 1000, number as u32 % 1000 * 1000, packet.len() as u32, packet.len() as u32]
        {
            out.extend(value.to_le_bytes());
        }
        out.extend(packet);
    }
    out
}

/// A beacon of a network named `ssid`, with its FCS.
fn beacon(number: u16, ssid: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, 0, 0, 0];
    bytes.extend([0xff; 6]);
    bytes.extend([2, 0, 0, 0, 0x0c, 9]);
    bytes.extend([2, 0, 0, 0, 0x0c, 9]);
    bytes.extend((number << 4).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend([100, 0, 1, 0, 0, ssid.len() as u8]);
    bytes.extend(ssid);
    bytes.extend([1, 1, 0x82]);
    bytes.extend(fcs(&bytes));
    bytes
}

#[test]
fn twenty_frames_are_twenty_lines_and_the_account_balances() {
    let output = capture(&["--count", "20"]);
    let (lines, notices) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{notices}");
    assert_eq!(lines.lines().count(), 20);
    assert!(lines.lines().any(|line| line.contains("beacon") && line.contains("\"coffee\"")), "{lines}");
    assert!(lines.lines().all(|line| line.contains("  11  ")), "{lines}");
    assert!(
        notices.starts_with("no adapter found: using emulated:rtl8812au (stand-in firmware)\n"),
        "{notices}"
    );
    assert!(notices.contains(": RTL8812AU, channel 11 (2462 MHz), 20 MHz, "), "{notices}");
    assert!(notices.contains("\n20 frames in "), "{notices}");
    assert!(notices.contains("delivered 20 "), "{notices}");
    assert!(
        !notices.contains('\u{1b}') && !notices.contains("[1/9]"),
        "no progress where there is no terminal"
    );
}

#[test]
fn wide_and_5_ghz_channels_are_captured() {
    for (args, channel, chip) in [
        (["--channel", "36", "--width", "80"], "36 (5180 MHz), 80 MHz", "rtl8812au"),
        (["--channel", "6+", "--width", "40"], "6 (2437 MHz), 40 MHz", "rtl8812au"),
        (["--channel", "36", "--width", "80"], "36 (5180 MHz), 80 MHz", "rtl8821au"),
    ] {
        let device = format!("emulated:{chip}");
        let output = capture(&[&args[..], &["--count", "5", "--device", &device]].concat());
        let notices = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{notices}");
        assert!(notices.contains(channel) && notices.contains(&chip.to_uppercase()), "{notices}");
        assert!(!notices.contains("no adapter found"), "it was asked for");
    }
}

#[test]
fn hopping_hears_frames_of_every_channel_in_turn() {
    for chip in ["rtl8812au", "rtl8821au"] {
        let device = format!("emulated:{chip}");
        let hop =
            ["--hop", "11,36/80,6+", "--dwell-ms", "220", "--duration", "1.6", "--json", "--device", &device];
        let output = capture(&hop);
        let notices = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{notices}");
        assert!(notices.contains("channel 11 (2462 MHz), 20 MHz"), "{notices}");
        let mut seen: Vec<u16> = Vec::new();
        for line in text(&output.stdout).lines() {
            // What was on the air while the radio was tuned elsewhere is of no channel.
            let Some(channel) = line.split("\"channel\":").nth(1) else { continue };
            let channel = channel.split(',').next().unwrap().parse().unwrap();
            if seen.last() != Some(&channel) {
                seen.push(channel);
            }
        }
        assert!([11, 36, 6].iter().all(|channel| seen.contains(channel)), "{chip}: {seen:?}");
        let next = |channel| {
            if channel == 11 {
                36
            } else if channel == 36 {
                6
            } else {
                11
            }
        };
        assert!(seen.windows(2).all(|pair| next(pair[0]) == pair[1]), "{chip}: {seen:?}");
    }
}

#[test]
fn a_written_file_holds_the_frames_that_were_shown() {
    let path = folder("written").join("air.pcapng");
    fs::write(&path, vec![0x55; 1 << 20]).unwrap();
    let output = capture(&["--count", "30", "--write", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 30);
    let packets = packets(&fs::read(&path).unwrap());
    assert_eq!(packets.len(), 30);
    assert!(packets.windows(2).all(|pair| pair[0].0 <= pair[1].0), "time stamps rise");
    // Time stamps are nanoseconds since 1970, and this was written after 2020.
    assert!(packets[0].0 > 1_577_836_800_000_000_000, "{}", packets[0].0);
    for (_, packet) in &packets {
        let (body, sequence) = frame(packet).split_last_chunk::<4>().unwrap();
        assert_eq!(fcs(body), *sequence);
    }
    assert!(text(&output.stderr).contains(&format!(" \u{2192} {}", path.display())));
}

#[test]
fn pcapng_on_stdout_comes_without_lines() {
    let output = capture(&["--count", "10", "--write", "-"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(packets(&output.stdout).len(), 10);
}

#[test]
fn json_is_one_object_a_line() {
    let output = capture(&["--count", "15", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    assert_eq!(lines.lines().count(), 15);
    for line in lines.lines() {
        assert!(line.starts_with("{\"v\":1,\"time\":") && line.ends_with('}'), "{line}");
        assert!(line.contains("\"channel\":11,\"frequency\":2462,\"width\":20,"), "{line}");
    }
    assert!(lines.contains("\"ssid\":\"coffee\""));
}

#[test]
fn the_time_limit_ends_a_capture() {
    let output = capture(&["--duration", "0.3"]);
    let lines = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(lines.lines().count() >= 5, "{lines}");
}

#[test]
fn a_replay_at_full_speed_comes_out_complete_and_byte_for_byte() {
    let folder = folder("replay");
    let mut frames: Vec<Vec<u8>> =
        (0..3000).map(|number| beacon(number, format!("network {number}").as_bytes())).collect();
    // One that was damaged on its way stays damaged.
    frames[1500][40] ^= 0xff;
    let file = folder.join("in.pcap");
    fs::write(&file, pcap(&frames)).unwrap();
    let out = folder.join("out.pcapng");
    let output = capture(&[
        "--replay",
        file.to_str().unwrap(),
        "--replay-speed",
        "max",
        "--write",
        out.to_str().unwrap(),
        "--json",
    ]);
    let notices = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{notices}");
    let packets = packets(&fs::read(&out).unwrap());
    assert_eq!(packets.len(), frames.len(), "{notices}");
    for (number, ((_, packet), expected)) in packets.iter().zip(&frames).enumerate() {
        let (body, sequence) = frame(packet).split_last_chunk::<4>().unwrap();
        let (expected, expected_fcs) = expected.split_last_chunk::<4>().unwrap();
        assert_eq!(body, expected, "frame {number}");
        assert_eq!(sequence, expected_fcs, "frame {number}");
    }
    for pair in packets.windows(2) {
        // The adapter's clock and the kernel's may drift apart by 50 ppm, and are not related at once.
        let gap_ns = pair[1].0 - pair[0].0;
        assert!((900_000..=1_100_000).contains(&gap_ns), "{gap_ns} ns, 1 ms in the file");
    }
    let lines = text(&output.stdout);
    assert!(
        lines.lines().all(|line| line.contains("\"rate\":{\"mbps\":1.0") && line.contains("\"signal\":-40")),
        "{}",
        lines.lines().next().unwrap()
    );
    assert_eq!(lines.lines().filter(|line| line.contains("\"fcs\":\"bad\"")).count(), 1);
    assert!(notices.contains("3,000 frames in ") && notices.contains(" on the air)"), "{notices}");
    assert!(notices.contains("delivered 3000 ") && !notices.contains("lost in the adapter"), "{notices}");
}

#[test]
fn a_replay_in_real_time_ends_at_its_end() {
    let file = folder("replay-real").join("in.pcap");
    fs::write(&file, pcap(&(0..40).map(|number| beacon(number, b"tea")).collect::<Vec<_>>())).unwrap();
    let output = capture(&["--replay", file.to_str().unwrap(), "--channel", "149"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    assert_eq!(lines.lines().count(), 40, "{}", text(&output.stderr));
    assert!(lines.lines().all(|line| line.contains(" 149 ") && line.contains("\"tea\"")), "{lines}");
}

#[test]
fn what_the_air_says_cannot_reach_the_terminal_unescaped() {
    let file = folder("hostile").join("in.pcap");
    fs::write(&file, pcap(&[beacon(0, b"\x1b[2J\n\xff\"x"), beacon(1, "\u{202e}evil".as_bytes())])).unwrap();
    let replay = ["--replay", file.to_str().unwrap(), "--replay-speed", "max"];
    for output in [capture(&replay), capture(&[&replay[..], &["--json"]].concat())] {
        let lines = text(&output.stdout);
        assert_eq!(lines.lines().count(), 2, "{lines:?}");
        assert!(!lines.chars().any(|c| c != '\n' && c.is_control()), "{lines:?}");
        assert!(!lines.contains('\u{202e}'), "{lines:?}");
    }
}

#[test]
fn files_that_are_no_captures_are_refused_with_what_was_expected() {
    let folder = folder("foreign");
    let whole = pcap(&[beacon(0, b"a"), beacon(1, b"b")]);
    let path = folder.join("in");
    for (bytes, expected) in [
        (&b""[..], "the file is empty"),
        (b"hello, world", "not a capture: expected pcap or pcapng"),
        (&whole[..whole.len() - 1], "cut short: it ends within a record after 1 whole frames"),
    ] {
        fs::write(&path, bytes).unwrap();
        let output = capture(&["--replay", path.to_str().unwrap()]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(error.starts_with("error: cannot replay ") && error.contains(expected), "{error}");
        assert!(error.contains("\nhelp:  --replay takes pcap and pcapng"), "{error}");
    }
    let output = capture(&["--replay", folder.join("none").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("No such file"), "{}", text(&output.stderr));
    // The file that is replayed is not overwritten.
    fs::write(&path, &whole).unwrap();
    let output = capture(&["--replay", path.to_str().unwrap(), "--write", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn missing_firmware_exits_with_5_and_says_where_it_was_looked_for() {
    let folder = folder("firmware");
    let output = capture(&["--firmware-dir", folder.to_str().unwrap()]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.contains("error: firmware: rtw88/rtw8812a_fw.bin not found"), "{error}");
    assert!(
        error.contains("  looked in: ") && error.contains("help:  Debian: apt install firmware-realtek"),
        "{error}"
    );
    // Truncated, and of no chip at all.
    for bytes in [&[0x12, 0x95][..], &[0xaa; 4096]] {
        fs::write(folder.join("rtw8812a_fw.bin"), bytes).unwrap();
        let output = capture(&["--firmware-dir", folder.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("rtw8812a_fw.bin"));
    }
}

#[test]
fn a_missing_directory_is_told_before_anything_starts() {
    let path = folder("missing").join("no/air.pcapng");
    let output = capture(&["--count", "1", "--write", path.to_str().unwrap()]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.starts_with("error: cannot write ") && error.contains("help:  its directory does not exist"),
        "{error}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_capture_with_an_error_and_not_with_a_shorter_file() {
    let output = capture(&["--count", "2000", "--write", "/dev/full"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("error: cannot write /dev/full: No space left on device"), "{error}");
    assert!(error.contains("  it holds 0 frames; "), "{error}");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program().args(["capture", "--count", "5"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error: cannot write standard output: No space left"));
}

fn spawn(args: &[&str]) -> Child {
    program().arg("capture").args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let mut child = spawn(&[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert!(first.contains("  11  "), "{first}");
    drop(lines);
    let output = child.wait_with_output().unwrap();
    let notices = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{notices}");
    assert!(!notices.contains("error") && !notices.contains("panicked"), "{notices}");
}

#[test]
fn a_file_is_written_on_when_nobody_reads_the_lines() {
    let path = folder("unread").join("air.pcapng");
    let mut child = spawn(&["--count", "60", "--write", path.to_str().unwrap()]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(packets(&fs::read(&path).unwrap()).len(), 60);
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

#[cfg(unix)]
#[test]
fn an_interrupt_before_the_end_exits_with_130_and_after_none_was_asked_for_with_0() {
    for (args, code) in [(&["--count", "1000000"][..], 130), (&[], 0)] {
        let path = folder(&format!("interrupt-{code}")).join("air.pcapng");
        let mut child = spawn(&[args, &["--write", path.to_str().unwrap()]].concat());
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        interrupt(&child);
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        let output = child.wait_with_output().unwrap();
        let notices = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{notices}");
        let shown = 1 + rest.lines().count();
        assert_eq!(packets(&fs::read(&path).unwrap()).len(), shown, "what was shown was written");
        assert!(notices.contains(&format!("{shown} frame")), "{notices}");
    }
}

#[test]
fn closed_standard_error_is_borne() {
    let mut child = spawn(&["--count", "3"]);
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout).lines().count(), 3);
}

#[test]
fn standard_input_is_left_alone() {
    let mut child = program()
        .args(["capture", "--count", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"q\n").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout).lines().count(), 2);
}
