//! The containers: gzip, pcap and pcapng.
//!
//! `pcap-parser` takes the blocks apart; this adds what it leaves to its caller: endianness by section, time
//! resolution by interface, and errors that say where the file broke.

use std::io::{Cursor, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use pcap_parser::nom::{self, IResult};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, InterfaceDescriptionBlock, OptionCode, PcapError, pcap, pcapng};

use super::{BARE, CaptureError, Record};

/// First bytes of a gzip member (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// All bytes of a file, decompressed if it is gzip.
pub(super) fn contents(mut reader: impl Read, limit: u64) -> Result<Bytes, CaptureError> {
    let mut head = Vec::new();
    reader.by_ref().take(2).read_to_end(&mut head).map_err(CaptureError::io)?;
    let gzip = head == GZIP;
    let whole = Cursor::new(head).chain(reader);
    let mut contents = Vec::new();
    // One byte more than allowed tells a file of just that size from a larger one.
    let read = if gzip {
        MultiGzDecoder::new(whole).take(limit + 1).read_to_end(&mut contents)
    } else {
        whole.take(limit + 1).read_to_end(&mut contents)
    };
    read.map_err(CaptureError::io)?;
    if contents.len() as u64 > limit {
        return Err(CaptureError::TooLarge { limit });
    }
    Ok(contents.into())
}

/// Where records go, one by one, as they stand in the file.
type Take<'a> = &'a mut dyn FnMut(Record) -> Result<(), CaptureError>;

/// Hands on each record of a capture, until one is refused.
pub(super) fn each_record(contents: &Bytes, take: Take<'_>) -> Result<(), CaptureError> {
    match contents.get(..4) {
        None if contents.is_empty() => Err(CaptureError::Empty),
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng_records(contents, take),
        Some(
            [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0xc3, 0xd4]
            | [0x4d, 0x3c, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d],
        ) => pcap_records(contents, take),
        _ => Err(CaptureError::NotACapture { found: contents[..contents.len().min(4)].to_vec() }),
    }
}

/// Runs one of the library's parsers on what is left of the file.
fn step<'a, T>(
    rest: &mut &'a [u8],
    frames: usize,
    missing: &'static str,
    parser: impl Fn(&'a [u8]) -> IResult<&'a [u8], T, PcapError<&'a [u8]>>,
) -> Result<T, CaptureError> {
    match parser(rest) {
        Ok((after, value)) if after.len() < rest.len() => {
            *rest = after;
            Ok(value)
        }
        Ok(_) => Err(CaptureError::Malformed { frames, reason: "a block without length" }),
        Err(nom::Err::Incomplete(_)) => Err(CaptureError::Truncated { frames, missing }),
        Err(_) => Err(CaptureError::Malformed { frames, reason: "a block whose lengths disagree" }),
    }
}

fn pcap_records(contents: &Bytes, take: Take<'_>) -> Result<(), CaptureError> {
    let mut rest = &contents[..];
    let header = step(&mut rest, 0, "within the file header", pcap::parse_pcap_header)?;
    let frame = if header.is_bigendian() { pcap::parse_pcap_frame_be } else { pcap::parse_pcap_frame };
    let unit_ns = if header.is_nanosecond_precision() { 1 } else { 1000 };
    let network = header.network.0 as u32;
    // libpcap keeps the length of the FCS in 16-bit words above the link type, with a bit to say so.
    let has_fcs = network & 0x0400_0000 != 0 && network >> 28 == 2;
    let link = network & 0x03ff_ffff;
    refuse(link)?;
    let mut frames = 0;
    while !rest.is_empty() {
        let record = step(&mut rest, frames, "within a record", frame)?;
        let at_ns = u64::from(record.ts_sec) * 1_000_000_000 + u64::from(record.ts_usec) * unit_ns;
        take(Record {
            bytes: contents.slice_ref(record.data),
            at_ns: Some(at_ns),
            link,
            has_fcs,
            complete: record.origlen <= record.caplen,
        })?;
        frames += 1;
    }
    Ok(())
}

fn refuse(link: u32) -> Result<(), CaptureError> {
    if matches!(link, super::RADIOTAP | BARE) { Ok(()) } else { Err(CaptureError::LinkType { found: link }) }
}

/// What a pcapng file says of one interface.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    /// Time units a second.
    resolution: u128,
    offset_s: i64,
    has_fcs: bool,
}

impl Interface {
    fn of(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let exponent = u32::from(block.if_tsresol & 0x7f);
        // Bit 7 chooses powers of two. What is finer than a nanosecond by far saturates, and reads as 0.
        let base: u128 = if block.if_tsresol & 0x80 == 0 { 10 } else { 2 };
        let resolution = base.checked_pow(exponent).unwrap_or(u128::MAX);
        let fcs = block.options.iter().find(|option| option.code == OptionCode(13));
        // The length in bits by the specification; some write bytes.
        let has_fcs = fcs.is_some_and(|option| matches!(option.value.first(), Some(32 | 4)));
        Self { link: block.linktype.0 as u32, resolution, offset_s: block.if_tsoffset, has_fcs }
    }

    fn ns(&self, high: u32, low: u32) -> u64 {
        let units = u128::from(high) << 32 | u128::from(low);
        let ns = match units.checked_mul(1_000_000_000) {
            Some(scaled) => scaled / self.resolution,
            None => units / self.resolution * 1_000_000_000,
        };
        let ns = i128::try_from(ns).unwrap_or(i128::MAX);
        let ns = ns.saturating_add(i128::from(self.offset_s) * 1_000_000_000);
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

fn pcapng_records(contents: &Bytes, take: Take<'_>) -> Result<(), CaptureError> {
    let mut rest = &contents[..];
    let mut frames = 0;
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut big_endian = false;
    while !rest.is_empty() {
        let parser = if big_endian { pcapng::parse_block_be } else { pcapng::parse_block_le };
        match step(&mut rest, frames, "within a block", parser)? {
            Block::SectionHeader(section) => {
                big_endian = section.big_endian();
                interfaces.clear();
            }
            Block::InterfaceDescription(block) => interfaces.push(Interface::of(&block)),
            Block::EnhancedPacket(block) => {
                let index = usize::try_from(block.if_id).unwrap_or(usize::MAX);
                let interface = *interfaces.get(index).ok_or_else(|| no_interface(frames))?;
                refuse(interface.link)?;
                take(Record {
                    bytes: contents.slice_ref(block.packet_data()),
                    at_ns: Some(interface.ns(block.ts_high, block.ts_low)),
                    link: interface.link,
                    has_fcs: interface.has_fcs,
                    complete: block.origlen <= block.caplen,
                })?;
                frames += 1;
            }
            Block::SimplePacket(block) => {
                let interface = *interfaces.first().ok_or_else(|| no_interface(frames))?;
                refuse(interface.link)?;
                let data = block.packet_data();
                take(Record {
                    bytes: contents.slice_ref(data),
                    at_ns: None,
                    link: interface.link,
                    has_fcs: interface.has_fcs,
                    complete: block.origlen as usize <= data.len(),
                })?;
                frames += 1;
            }
            // Statistics, names, comments, secrets.
            _ => {}
        }
    }
    Ok(())
}

fn no_interface(frames: usize) -> CaptureError {
    CaptureError::Malformed { frames, reason: "a packet of an interface that was not described" }
}
