//! Capture files of other writers, and of none.

use proptest::prelude::*;

use super::*;
use crate::pcapng::{PcapngOptions, PcapngWriter};
use crate::{Frame, StreamStats};

fn read(file: &[u8]) -> Vec<Result<Packet, String>> {
    PacketReader::new(file).map(|packet| packet.map_err(|error| error.to_string())).collect()
}

fn packet(bytes: &[u8], link_type: u16, has_fcs: bool) -> Packet {
    let bytes = Bytes::copy_from_slice(bytes);
    Packet { original_length: bytes.len(), bytes, link_type, has_fcs }
}

/// A 32-bit word in either order.
fn word(value: u32, big: bool) -> [u8; 4] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn pcap(network: u32, records: &[&[u8]], big: bool) -> Vec<u8> {
    let mut file = Vec::new();
    for value in [0xa1b2_c3d4, if big { 0x0002_0004 } else { 0x0004_0002 }, 0, 0, 65_535, network] {
        file.extend(word(value, big));
    }
    for record in records {
        for value in [1, 2, record.len() as u32, record.len() as u32 + 3] {
            file.extend(word(value, big));
        }
        file.extend(*record);
    }
    file
}

fn block(kind: u32, body: &[u8], big: bool) -> Vec<u8> {
    let length = word(body.len().next_multiple_of(4) as u32 + 12, big);
    let mut out = [&word(kind, big)[..], &length, body].concat();
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(length);
    out
}

fn section(big: bool) -> Vec<u8> {
    let version = if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] };
    block(0x0a0d_0d0a, &[&word(0x1a2b_3c4d, big)[..], &version, &[0xff; 8]].concat(), big)
}

fn interface(link: u16, options: &[u8], big: bool) -> Vec<u8> {
    let link = if big { link.to_be_bytes() } else { link.to_le_bytes() };
    block(1, &[&link[..], &[0, 0, 0, 0, 0, 0], options].concat(), big)
}

fn enhanced(interface: u32, bytes: &[u8], big: bool) -> Vec<u8> {
    let words = [interface, 0, 7, bytes.len() as u32, bytes.len() as u32].map(|value| word(value, big));
    block(6, &[words.as_flattened(), bytes].concat(), big)
}

#[test]
fn w2_pcap_files_are_read_in_both_byte_orders() {
    for big in [false, true] {
        let packets = read(&pcap(127, &[&[1, 2, 3], &[]], big));
        let expected =
            |bytes: &[u8]| Packet { original_length: bytes.len() + 3, ..packet(bytes, 127, false) };
        assert_eq!(packets, [Ok(expected(&[1, 2, 3])), Ok(expected(&[]))]);
        assert!(packets[0].as_ref().unwrap().is_cut_short());
    }
    // Two 16-bit words of check sequence.
    let file = pcap(0x2400_0000 | 105, &[&[9; 10]], false);
    assert!(read(&file)[0].as_ref().is_ok_and(|packet| packet.has_fcs && packet.link_type == 105));
}

#[test]
fn w2_pcapng_sections_interfaces_and_byte_orders_may_change() {
    let fcs = [13, 0, 1, 0, 32, 0, 0, 0, 0, 0, 0, 0];
    let simple = block(3, &[&word(5, false)[..], &[4, 4, 4, 4, 4]].concat(), false);
    let file = [
        section(false),
        interface(127, &[], false),
        interface(105, &fcs, false),
        enhanced(1, &[1, 2, 3], false),
        block(5, &[0; 12], false),
        simple,
        section(true),
        interface(105, &[], true),
        enhanced(0, &[5; 8], true),
    ]
    .concat();
    let expected = [packet(&[1, 2, 3], 105, true), packet(&[4; 5], 127, false), packet(&[5; 8], 105, false)];
    assert_eq!(read(&file), expected.map(Ok));
}

#[test]
fn w2_what_our_writer_writes_is_read_back() {
    let frame = Frame::builder(&[0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1][..]).append_fcs().build();
    let mut file = Vec::new();
    let mut writer = PcapngWriter::new(&mut file, &PcapngOptions::new("wlan0")).unwrap();
    writer.write(&frame).unwrap();
    writer.finish(&StreamStats::default()).unwrap();
    let expected = [&frame.radiotap()[..], &frame.bytes()[..]].concat();
    assert_eq!(read(&file), [Ok(packet(&expected, 127, false))]);
}

#[test]
fn w2_files_that_are_none_or_damaged_say_where() {
    let only = |file: &[u8]| match &read(file)[..] {
        [Err(text)] => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(read(&[]), []);
    assert!(only(b"P").contains("ends within the first four bytes, after 0 packets"));
    assert!(only(b"RIFFxxxx").contains("expected a pcap or pcapng capture, it begins with [52, 49, 46, 46]"));
    assert!(only(&[0x1f, 0x8b, 8, 0]).contains("gzip"));
    let whole = [section(false), interface(127, &[], false), enhanced(0, &[1; 9], false)].concat();
    assert_eq!(read(&whole).len(), 1);
    assert!(only(&whole[..whole.len() - 1]).contains("ends within a block, after 0 packets"));
    let mut disagreeing = whole.clone();
    *disagreeing.last_mut().unwrap() = 1;
    assert!(only(&disagreeing).contains("disagree"));
    let file = [section(false), enhanced(0, &[1; 9], false)].concat();
    assert!(only(&file).contains("an interface that was not described"));
    let file = [&section(false)[..], &word(6, false), &word(0x7fff_fff0, false)].concat();
    assert!(only(&file).contains("more than a MiB"));
    let file = [&section(false)[..], &word(6, false), &word(8, false)].concat();
    assert!(only(&file).contains("too small"));
    let mut long = enhanced(0, &[1; 9], false);
    long[20] = 200;
    let file = [section(false), interface(127, &[], false), long].concat();
    assert!(only(&file).contains("longer than its block"));
    let mut huge = pcap(127, &[&[1; 4]], false);
    huge[35] = 0x7f;
    assert!(only(&huge).contains("more than a MiB"));
}

proptest! {
    #[test]
    fn w2_any_file_is_read_or_refused(
        mut file in prop_oneof![
            Just([section(false), interface(127, &[], false), enhanced(0, &[1; 30], false)].concat()),
            Just(pcap(127, &[&[1; 30], &[2; 7]], true)),
        ],
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        rest in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        for (at, value) in damage {
            let at = at.index(file.len());
            file[at] = value;
        }
        file.extend(rest);
        // Ends, and gives no more bytes than the file has.
        let length: usize = PacketReader::new(&file[..]).flatten().map(|packet| packet.bytes.len()).sum();
        assert!(length <= file.len());
    }
}
