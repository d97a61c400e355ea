//! Captures: what is read from a file, how it comes over the air, and how bad files are refused.

use std::io::Write;
use std::time::Duration;

use airlift_emu::air::{
    Air, CHAINS, Capture, CaptureError, Modulation, RadioOptions, ReplayOptions, Tuning, fcs,
};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Radiotap with flags, rate, and signal.
fn radiotap(flags: u8, rate: u8, dbm: i8) -> Vec<u8> {
    vec![0, 0, 11, 0, 0b10_0110, 0, 0, 0, flags, rate, dbm as u8]
}

fn frame(number: u8) -> Vec<u8> {
    let mut bytes = vec![0x08, 0, 0, 0];
    bytes.extend([number; 60]);
    bytes
}

/// The frame with its FCS, exclusive or `error`.
fn with_fcs(bytes: &[u8], error: u32) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.extend((fcs(bytes) ^ error).to_le_bytes());
    out
}

fn word(big: bool, value: u32) -> [u8; 4] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn half(big: bool, value: u16) -> [u8; 2] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn pcap(big: bool, nanoseconds: bool, link: u32, records: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(word(big, if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    out.extend(half(big, 2));
    out.extend(half(big, 4));
    for value in [0, 0, 65_535, link] {
        out.extend(word(big, value));
    }
    for (seconds, fraction, bytes) in records {
        let length = bytes.len() as u32;
        for value in [*seconds, *fraction, length, length] {
            out.extend(word(big, value));
        }
        out.extend(bytes);
    }
    out
}

fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = word(big, padded as u32 + 12);
    let mut out = word(big, kind).to_vec();
    out.extend(length);
    out.extend(body);
    out.resize(8 + padded, 0);
    out.extend(length);
    out
}

fn section(big: bool) -> Vec<u8> {
    let mut body = word(big, 0x1a2b_3c4d).to_vec();
    body.extend(half(big, 1));
    body.extend(half(big, 0));
    body.extend([0xff; 8]);
    block(big, 0x0a0d_0d0a, &body)
}

fn interface(big: bool, link: u16, resolution: u8) -> Vec<u8> {
    let mut body = half(big, link).to_vec();
    body.extend([0; 6]);
    body.extend(half(big, 9));
    body.extend(half(big, 1));
    body.extend([resolution, 0, 0, 0, 0, 0, 0, 0]);
    block(big, 1, &body)
}

fn packet(big: bool, interface: u32, units: u64, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let length = bytes.len() as u32;
    for value in [interface, (units >> 32) as u32, units as u32, length, length] {
        body.extend(word(big, value));
    }
    body.extend(bytes);
    block(big, 6, &body)
}

fn read(bytes: &[u8]) -> Result<Capture, CaptureError> {
    Capture::read(bytes)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn e2_pcap_of_both_byte_orders_and_resolutions_is_read() {
    for big in [false, true] {
        for (nanoseconds, fractions, expected_ns) in
            [(false, [999_999, 3], 4_000), (true, [999_999_999, 3], 4)]
        {
            let mut with_header = radiotap(0x10, 22, -61);
            with_header.extend(with_fcs(&frame(1), 0));
            let records = [(7, fractions[0], with_header.clone()), (8, fractions[1], with_header)];
            let capture = read(&pcap(big, nanoseconds, 127, &records)).unwrap();
            assert_eq!(capture.frames().len(), 2);
            for captured in capture.frames() {
                assert_eq!((&captured.bytes[..], captured.fcs_error), (&frame(1)[..], 0));
                assert_eq!(captured.rate.unwrap().modulation, Modulation::Legacy(22));
                assert_eq!(captured.signal_dbm, Some([-61; CHAINS]));
            }
            assert_eq!(capture.duration(), Duration::from_nanos(expected_ns));
        }
    }
}

#[test]
fn e2_pcapng_of_both_byte_orders_any_resolution_and_several_interfaces_is_read() {
    for big in [false, true] {
        let mut tapped = radiotap(0, 12, -30);
        tapped.extend(frame(2));
        let mut file = section(big);
        file.extend(interface(big, 105, 9));
        // Interface 1 counts in 2^-10 s.
        file.extend(interface(big, 127, 0x8a));
        file.extend(packet(big, 0, 5_000_000_000, &frame(1)));
        file.extend(packet(big, 1, 5 * 1024 + 512, &tapped));
        // Blocks that hold no packets are passed over: statistics, and one nobody knows.
        file.extend(block(big, 5, &[0; 12]));
        file.extend(block(big, 0x7777, &[1, 2, 3, 4]));
        // A second section, in the other byte order, with interfaces of its own.
        file.extend(section(!big));
        file.extend(interface(!big, 105, 6));
        file.extend(packet(!big, 0, 6_000_000, &frame(3)));
        for file in [file.clone(), gzip(&file)] {
            let capture = read(&file).unwrap();
            let times: Vec<u128> = capture.frames().iter().map(|frame| frame.at.as_millis()).collect();
            assert_eq!(times, [0, 500, 1000]);
            let bytes: Vec<&[u8]> = capture.frames().iter().map(|frame| &frame.bytes[..]).collect();
            assert_eq!(bytes, [&frame(1)[..], &frame(2), &frame(3)]);
            assert_eq!(capture.frames()[0].rate, None);
            assert_eq!(capture.frames()[1].rate.unwrap().modulation, Modulation::Legacy(12));
        }
    }
}

#[test]
fn e2_an_fcs_is_taken_off_and_a_bad_one_stays_bad_to_the_bit() {
    let mut good = radiotap(0x10, 2, -50);
    good.extend(with_fcs(&frame(1), 0));
    let mut bad = radiotap(0x10, 2, -50);
    bad.extend(with_fcs(&frame(1), 0x0100_0001));
    let mut said_to_be_bad = radiotap(0x40, 2, -50);
    said_to_be_bad.extend(frame(1));
    let records = [(0, 0, good), (0, 1, bad), (0, 2, said_to_be_bad)];
    let capture = read(&pcap(false, false, 127, &records)).unwrap();
    assert!(capture.frames().iter().all(|captured| captured.bytes == frame(1)));
    let air = Air::replay(capture, ReplayOptions::default());
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, Tuning::channel(3));
    let heard: Vec<_> = std::iter::from_fn(|| radio.receive(Duration::from_secs(1))).collect();
    assert_eq!(heard.iter().map(|frame| frame.bad_fcs()).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(heard[1].fcs(), (fcs(&frame(1)) ^ 0x0100_0001).to_le_bytes());

    // Without radiotap, pcap's link type itself tells of an FCS of two 16-bit words.
    let records = [(0, 0, with_fcs(&frame(1), 0))];
    let capture = read(&pcap(false, false, 0x2400_0000 | 105, &records)).unwrap();
    assert_eq!((&capture.frames()[0].bytes[..], capture.frames()[0].fcs_error), (&frame(1)[..], 0));
}

#[test]
fn e2_padding_between_header_and_body_is_taken_out() {
    // A QoS header of 26 bytes, two of padding.
    let mut whole = vec![0x88, 0x01];
    whole.extend([7; 24]);
    let body = [9; 20];
    let mut padded = radiotap(0x20, 2, -50);
    padded.extend(&whole);
    padded.extend([0, 0]);
    padded.extend(body);
    whole.extend(body);
    let capture = read(&pcap(false, false, 127, &[(0, 0, padded)])).unwrap();
    assert_eq!(capture.frames()[0].bytes, whole);
}

#[test]
fn e2_a_replay_keeps_the_gaps_goes_where_the_radio_listens_and_ends() {
    let records: Vec<_> = [0u32, 10, 10, 250_000].map(|us| (5, us, frame(us as u8))).to_vec();
    let capture = read(&pcap(false, false, 105, &records)).unwrap();
    let air = Air::replay(capture, ReplayOptions { signal_dbm: -42, ..ReplayOptions::default() });
    let mut radio = air.join(RadioOptions::default());
    assert_eq!(radio.next_arrival(), None, "nobody listens");
    let begin = Duration::from_secs(3);
    radio.tune(begin, Tuning::channel(36));
    let mut heard = Vec::new();
    while let Some(at) = radio.next_arrival() {
        assert!(!air.is_finished());
        heard.extend(radio.receive(at));
        if heard.len() == 2 {
            radio.tune(at, Tuning::channel(40));
        }
    }
    assert!(air.is_finished());
    let times: Vec<u128> = heard.iter().map(|frame| (frame.start - heard[0].start).as_micros()).collect();
    assert_eq!(times, [0, 10, 10, 250_000]);
    assert!(heard.windows(2).all(|pair| pair[0].end <= pair[1].end && pair[1].start <= pair[1].end));
    assert_eq!(heard[0].start, begin + Duration::from_millis(1));
    let channels: Vec<u8> = heard.iter().map(|frame| frame.tuning.primary_channel()).collect();
    assert_eq!(channels, [36, 36, 40, 40]);
    assert!(heard.iter().all(|frame| frame.signal_dbm == [-42; CHAINS]));
    assert!(heard.iter().zip(&records).all(|(frame, record)| frame.bytes == record.2));
}

#[test]
fn e2_a_replay_that_was_told_to_wait_waits() {
    let capture = read(&pcap(false, false, 105, &[(0, 0, frame(1))])).unwrap();
    let air = Air::replay(capture, ReplayOptions { wait_for_start: true, ..ReplayOptions::default() });
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, Tuning::channel(1));
    assert_eq!(radio.next_arrival(), None);
    assert_eq!(radio.receive(Duration::from_secs(60)), None);
    air.start_replay();
    let now = Duration::from_secs(61);
    assert_eq!(radio.next_arrival(), Some(Duration::ZERO), "ask now");
    assert_eq!(radio.receive(now), None);
    let end = radio.next_arrival().unwrap();
    assert_eq!(radio.receive(end).unwrap().start, now + Duration::from_millis(1));
}

#[test]
fn e2_the_end_of_a_replay_can_be_awaited() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let capture = read(&pcap(false, false, 105, &[(0, 0, frame(1))])).unwrap();
    let air = Air::replay(capture, ReplayOptions::default());
    let mut cx = Context::from_waker(Waker::noop());
    let mut finished = pin!(air.finished());
    assert_eq!(finished.as_mut().poll(&mut cx), Poll::Pending);
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, Tuning::channel(1));
    assert!(radio.receive(Duration::from_secs(1)).is_some());
    assert_eq!(finished.as_mut().poll(&mut cx), Poll::Ready(()));
    assert!(
        Air::replay(Capture::default(), ReplayOptions::default()).is_finished(),
        "an empty one is over at once"
    );
}

#[test]
fn e2_every_truncation_of_a_capture_is_an_error_or_whole_frames() {
    let mut tapped = radiotap(0, 12, -30);
    tapped.extend(frame(2));
    let pcap = pcap(false, false, 127, &[(0, 0, tapped.clone()), (1, 0, tapped.clone())]);
    let mut pcapng = section(true);
    pcapng.extend(interface(true, 127, 6));
    pcapng.extend(packet(true, 0, 1, &tapped));
    for file in [pcap, pcapng] {
        let whole = read(&file).unwrap();
        let mut readable = 0;
        for length in 0..file.len() {
            match read(&file[..length]) {
                Ok(capture) => {
                    assert!(whole.frames().starts_with(capture.frames()));
                    readable += 1;
                }
                Err(CaptureError::Empty) => assert_eq!(length, 0),
                Err(CaptureError::NotACapture { .. }) => assert!(length < 4),
                Err(error) => assert!(matches!(error, CaptureError::Truncated { .. }), "{length}: {error}"),
            }
        }
        assert_eq!(readable, 2, "after the header(s), and after one frame or block");
        let cut = gzip(&file);
        let error = read(&cut[..cut.len() - 9]).unwrap_err();
        assert!(matches!(error, CaptureError::Io { kind: std::io::ErrorKind::UnexpectedEof, .. }), "{error}");
    }
}

#[test]
fn e2_foreign_files_are_refused_with_what_was_expected() {
    let says = |bytes: &[u8], expected: &str| {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    says(b"", "the file is empty; expected a pcap or pcapng capture");
    says(
        b"GIF89a",
        "not a capture: expected pcap or pcapng, plain or gzip, but the file begins with 47 49 46 38",
    );
    says(&gzip(b"hello"), "begins with 68 65 6c 6c");
    says(&pcap(false, false, 1, &[]), "link type 1 (Ethernet) is not supported; expected 127");
    let mut file = section(false);
    file.extend(interface(false, 1, 6));
    file.extend(packet(false, 0, 0, &[0; 60]));
    says(&file, "link type 1 (Ethernet)");
    let mut file = section(false);
    file.extend(packet(false, 3, 0, &[0; 60]));
    says(&file, "an interface that was not described");
    says(
        &pcap(false, false, 127, &[(0, 0, vec![0, 0, 99, 0, 0, 0, 0, 0])]),
        "frame 1 has a malformed radiotap header",
    );
    says(&pcap(false, false, 105, &[(0, 0, vec![0; 20_000])]), "frame 1 has 20000 bytes");
    let error = Capture::open("/nonexistent/air.pcap").unwrap_err();
    assert!(matches!(error, CaptureError::Io { kind: std::io::ErrorKind::NotFound, .. }));
}

#[test]
fn e2_a_decompression_bomb_is_refused() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let chunk = vec![0; 1 << 20];
    for _ in 0..257 {
        encoder.write_all(&chunk).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert_eq!(read(&bomb).unwrap_err(), CaptureError::TooLarge { limit: 256 << 20 });
}

/// Records without content cost the file little and memory much.
#[test]
fn e2_a_flood_of_empty_records_is_refused() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&pcap(false, false, 105, &[])).unwrap();
    let chunk = vec![0; 16 << 16];
    for _ in 0..62 {
        encoder.write_all(&chunk).unwrap();
    }
    let flood = encoder.finish().unwrap();
    assert_eq!(read(&flood).unwrap_err(), CaptureError::TooMany { limit: 4_000_000 });
}

#[test]
fn e2_damaged_captures_neither_panic_nor_loop() {
    let mut tapped = radiotap(0x10, 12, -30);
    tapped.extend(with_fcs(&frame(2), 0));
    let mut ng = section(false);
    ng.extend(interface(false, 127, 9));
    ng.extend(packet(false, 0, 1, &tapped));
    ng.extend(packet(false, 0, 2, &tapped));
    for file in [pcap(true, true, 127, &[(0, 0, tapped.clone()), (1, 0, tapped.clone())]), ng] {
        for at in 0..file.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = value;
                // Whatever it gives, it gives it, and never more frames than the file has room for.
                assert!(read(&damaged).map_or(0, |capture| capture.frames().len()) <= 2);
            }
        }
    }
}

#[test]
fn e2_time_stamps_that_run_backwards_do_not() {
    let records = [(9, 0, frame(1)), (3, 0, frame(2)), (10, 0, frame(3))];
    let capture = read(&pcap(false, false, 105, &records)).unwrap();
    let times: Vec<u64> = capture.frames().iter().map(|frame| frame.at.as_secs()).collect();
    assert_eq!(times, [0, 0, 1]);
}

/// Years of four digits are damage, and no time to wait for.
#[test]
fn e2_time_stamps_of_another_age_are_a_century_away_at_most() {
    let file = [section(false), interface(false, 105, 0), packet(false, 0, 1, &frame(1))].concat();
    let file = [file, packet(false, 0, 1 << 63, &frame(2)), packet(false, 0, u64::MAX, &frame(3))].concat();
    let times: Vec<_> = read(&file).unwrap().frames().iter().map(|frame| frame.at).collect();
    assert_eq!(times[0], Duration::ZERO);
    assert!(times[1] == times[2] && times[1] <= Duration::from_secs(100 * 366 * 86_400), "{times:?}");
}

/// Real frames: 1,093 of them, with radiotap and FCS, from Wireshark's test suite.
#[test]
#[ignore = "reads wpa-Induction.pcap.gz from the folder that AIRLIFT_CAPTURES names"]
fn e2_wpa_induction_comes_over_the_air_complete_and_byte_for_byte() {
    let folder = std::env::var("AIRLIFT_CAPTURES").expect("AIRLIFT_CAPTURES names a folder");
    let path = std::path::Path::new(&folder).join("wpa-Induction.pcap.gz");
    let mut raw = Vec::new();
    let file = std::fs::File::open(&path).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut raw).unwrap();
    // Taken apart by hand: 24 bytes of file header, then records of 16 bytes and their length, radiotap of 24.
    let mut expected = Vec::new();
    let mut rest = &raw[24..];
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        expected.push(&rest[16 + 24..16 + length]);
        rest = &rest[16 + length..];
    }
    assert_eq!(expected.len(), 1093);

    let air = Air::replay(Capture::open(&path).unwrap(), ReplayOptions::default());
    let mut radio = air.join(RadioOptions::default());
    radio.tune(Duration::ZERO, Tuning::channel(1));
    let mut heard = Vec::new();
    while let Some(at) = radio.next_arrival() {
        heard.extend(radio.receive(at).map(|frame| [&frame.bytes[..], &frame.fcs()].concat()));
    }
    assert_eq!(heard.len(), 1093);
    for (number, (heard, expected)) in heard.iter().zip(expected).enumerate() {
        assert_eq!(heard, expected, "frame {}", number + 1);
    }
}
