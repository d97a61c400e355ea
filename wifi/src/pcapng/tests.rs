use std::process::{Command, Stdio};

use super::*;
use crate::frame::{Ampdu, Fcs, LegacyRate, Modulation, Rate};
use crate::stats::StreamStats;

fn ack() -> Frame {
    Frame::builder(&[0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1][..])
        .append_fcs()
        .time(Duration::new(1, 5))
        .lost_before(3)
        .build()
}

#[test]
fn v4_a_file_has_the_bytes_of_the_specification() {
    let options = PcapngOptions::new("wlan0").application("test").clock_origin(Duration::from_secs(4));
    let mut writer = PcapngWriter::new(Vec::new(), &options).unwrap();
    writer.write(&ack()).unwrap();
    let stats = StreamStats { chip: 5, delivered: 1, queue: 3, filtered: 1, ..StreamStats::default() };
    let bytes = writer.finish(&stats).unwrap();
    let fcs = crate::ieee80211::fcs(&[0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1]);
    #[rustfmt::skip]
    let head = [
        0x0a, 0x0d, 0x0d, 0x0a, 40, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        4, 0, 4, 0, b't', b'e', b's', b't', 0, 0, 0, 0,
        40, 0, 0, 0,
        1, 0, 0, 0, 44, 0, 0, 0, 127, 0, 0, 0, 0, 0, 0, 0,
        2, 0, 5, 0, b'w', b'l', b'a', b'n', b'0', 0, 0, 0,
        9, 0, 1, 0, 9, 0, 0, 0,
        0, 0, 0, 0,
        44, 0, 0, 0,
        // 5.000000005 s is 0x1_2a05f205 ns.
        6, 0, 0, 0, 72, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x05, 0xf2, 0x05, 0x2a,
        23, 0, 0, 0, 23, 0, 0, 0,
        0, 0, 9, 0, 2, 0, 0, 0, 0x10,
        0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1, fcs[0], fcs[1], fcs[2], fcs[3],
        0,
        4, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0,
        72, 0, 0, 0,
    ];
    assert_eq!(bytes[..head.len()], head);
    // The statistics: each counter has eight bytes behind its number.
    let tail = &bytes[head.len()..];
    assert_eq!(tail[..4], [5, 0, 0, 0]);
    for (code, count) in [(4u8, 5u8), (5, 3), (6, 4), (7, 0), (8, 1)] {
        let option = [code, 0, 8, 0, count, 0, 0, 0, 0, 0, 0, 0];
        assert!(tail.windows(12).any(|window| window == option), "option {code}");
    }
    let text = stats.to_string();
    assert!(tail.windows(text.len()).any(|window| window == text.as_bytes()));
    assert_eq!(tail[4..8], tail[tail.len() - 4..]);
    assert_eq!(usize::from(tail[4]), tail.len());
}

/// A place that takes so many bytes, a few at a time.
#[derive(Debug)]
struct Full {
    room: usize,
    took: Vec<u8>,
}

impl Write for &mut Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room).min(50);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= count;
        self.took.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a8_an_error_tells_what_was_written_and_what_is_lost() {
    let options = PcapngOptions::new("wlan0").application("test");
    // The head takes 84 bytes, each frame 72.
    for flush in [FlushPolicy::Gather, FlushPolicy::EachFrame] {
        let mut place = Full { room: 84 + 2 * 72 + 30, took: Vec::new() };
        let mut writer = PcapngWriter::new(&mut place, &options.clone().flush(flush)).unwrap();
        let results: Vec<_> = (0..5).map(|_| writer.write(&ack()).is_ok()).collect();
        match flush {
            FlushPolicy::Gather => assert_eq!(results, [true; 5], "nothing is written yet"),
            FlushPolicy::EachFrame => assert_eq!(results, [true, true, false, false, false]),
        }
        let error = writer.flush().unwrap_err();
        assert_eq!((error.frames_written(), error.frames_lost()), (2, 3));
        assert_eq!(error.io_kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().ends_with("(2 frames were written, 3 are lost)"), "{error}");
        let error = writer.finish(&StreamStats::default()).unwrap_err();
        assert_eq!((error.frames_written(), error.frames_lost()), (2, 3));
        assert_eq!(place.took.len(), 84 + 2 * 72 + 30);
    }
}

#[test]
fn a8_a_place_that_cannot_be_written_to_is_found_at_once() {
    let mut place = Full { room: 10, took: Vec::new() };
    let error = PcapngWriter::new(&mut place, &PcapngOptions::new("wlan0")).unwrap_err();
    assert_eq!((error.frames_written(), error.frames_lost()), (0, 0));
}

#[test]
fn a_dropped_writer_writes_what_it_gathered() {
    let mut place = Full { room: 10_000, took: Vec::new() };
    let mut writer = PcapngWriter::new(&mut place, &PcapngOptions::new("wlan0").application("test")).unwrap();
    writer.write(&ack()).unwrap();
    drop(writer);
    assert_eq!(place.took.len(), 84 + 72);
}

/// What tshark prints of these fields of a file, or `None` where there is no tshark.
fn tshark(file: &[u8], fields: &[&str]) -> Option<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r", "-", "-o", "wlan.check_checksum:TRUE", "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let required = std::env::var_os("AIRLIFT_REQUIRE_TSHARK").is_some();
            assert!(!required, "tshark cannot be run: {error}");
            eprintln!("SKIPPED: tshark cannot be run ({error}): the file was not read by another program");
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(file).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark: {said}");
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

/// A beacon of "coffee" on channel 11.
fn beacon() -> Vec<u8> {
    let mut bytes = vec![0x80, 0, 0, 0];
    bytes.extend([0xff; 6]);
    bytes.extend([2, 0, 0, 0, 0x0a, 1].repeat(2));
    bytes.extend([0x10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 100, 0, 1, 0]);
    bytes.extend(b"\x00\x06coffee\x01\x04\x82\x84\x8b\x96\x03\x01\x0b");
    bytes
}

#[test]
fn v4_tshark_reads_what_was_written() {
    let channel = "11".parse().unwrap();
    let options =
        PcapngOptions::new("wlan0").hardware("RTL8812AU").clock_origin(Duration::from_secs(1_700_000_000));
    let mut writer = PcapngWriter::new(Vec::new(), &options).unwrap();
    let frame = Frame::builder(beacon())
        .append_fcs()
        .tsf(102_401)
        .time(Duration::new(3, 141_592_653))
        .rate(Rate::Legacy(LegacyRate::M1))
        .channel(channel)
        .chains(&[-48])
        .build();
    writer.write(&frame).unwrap();
    let mut data = vec![0x88, 0x41, 0, 0];
    data.extend([2, 0, 0, 0, 0x0a, 1, 2, 0, 0, 0, 0x0b, 7, 2, 0, 0, 0, 0x0c, 9, 0x20, 0, 0, 0]);
    data.extend([0; 64]);
    let modulation = |rate, width| Modulation {
        bandwidth: Some(width),
        short_gi: Some(true),
        ldpc: Some(true),
        stbc: Some(false),
        ..Modulation::new(rate)
    };
    let ht = Frame::builder(data.clone())
        .append_fcs()
        .rate(modulation(Rate::Ht { mcs: 7 }, crate::Width::Mhz40))
        .channel("6+".parse().unwrap())
        .chains(&[-61, -70])
        .ampdu(Ampdu { reference: 9, last: None })
        .build();
    writer.write(&ht).unwrap();
    let vht = Frame::builder(data)
        .append_fcs()
        .rate(modulation(Rate::Vht { mcs: 9, nss: 2 }, crate::Width::Mhz80))
        .channel(crate::Channel::new(36, crate::Width::Mhz80).unwrap())
        .chains(&[-50, -40])
        .build();
    writer.write(&Frame::builder(vht.bytes().clone()).fcs(Fcs::Bad).build()).unwrap();
    writer.write(&vht).unwrap();
    let file = writer.finish(&StreamStats::default()).unwrap();

    let fields = [
        "frame.time_epoch",
        "radiotap.mactime",
        "radiotap.channel.freq",
        "radiotap.datarate",
        "radiotap.dbm_antsignal",
        "radiotap.mcs.index",
        "radiotap.mcs.bw",
        "radiotap.ampdu.reference",
        "radiotap.vht.mcs.0",
        "radiotap.vht.nss.0",
        "radiotap.vht.bw",
        "radiotap.flags.badfcs",
        "wlan.fcs.status",
        "wlan.fc.type_subtype",
        "wlan.ssid",
        "frame.comment",
        "_ws.malformed",
    ];
    let Some(lines) = tshark(&file, &fields) else { return };
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 4, "{lines:?}");
    let time = rows[0][0];
    assert!(time.contains("1700000003.141592653") || time.contains("22:13:23.141592653"), "{time}");
    assert_eq!(rows[0][1..6], ["102401", "2462", "1", "-48,-48", ""]);
    assert!(rows[0][14] == "coffee" || rows[0][14] == "636f66666565", "{}", rows[0][14]);
    assert_eq!(rows[1][2..8], ["2437", "150", "-61,-61,-70", "7", "1", "9"]);
    assert_eq!(rows[3][8..11], ["9", "2", "4"]);
    assert!(["1", "True"].contains(&rows[2][11]), "{}", rows[2][11]);
    for row in &rows {
        assert_eq!(row[16], "", "malformed: {row:?}");
        assert!(["1", "Good"].contains(&row[12]), "check sequence: {row:?}");
    }
}
