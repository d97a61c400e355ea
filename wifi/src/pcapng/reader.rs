//! [`PacketReader`]: packets of a capture file, pcap or pcapng, one by one as they come.
//!
//! It reads no further than the packet that it gives, so that it serves a pipe whose writer is still at work. Files are
//! hostile: lengths are checked before anything is read for them, and memory is bounded by [`LONGEST_BLOCK`]. Both
//! byte orders, several sections, interfaces and link types are understood; blocks that hold no packet are skipped.
//!
//! Sources: draft-ietf-opsawg-pcap (file header, link type and FCS length); draft-ietf-opsawg-pcapng, sections 3.1,
//! 4.1 to 4.4 and appendix A.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;

use bytes::Bytes;

use airlift_hcd::pcapng::{ENHANCED_PACKET, INTERFACE_DESCRIPTION, SECTION_HEADER};

const SIMPLE_PACKET: u32 = 3;
const OBSOLETE_PACKET: u32 = 2;
/// Option of the interface description block: the length of the FCS in bits.
const IF_FCSLEN: u16 = 13;
/// What a section header holds in the byte order of its section.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// First four bytes of pcap files, in their byte order: micro- and nanoseconds.
const PCAP: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Bytes of a block or record beyond which a file is taken to be damaged.
const LONGEST_BLOCK: u32 = 1 << 20;
/// Interfaces of a section beyond which a file is refused.
const MOST_INTERFACES: usize = 1 << 12;

/// 802.11 frames.
pub const LINK_IEEE802_11: u16 = 105;
/// 802.11 frames, each behind a radiotap header.
pub const LINK_IEEE802_11_RADIOTAP: u16 = 127;

/// One packet of a capture file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Its bytes, as far as they were captured.
    pub bytes: Bytes,
    /// How many bytes it had on the link; more than there are if it was cut short.
    pub original_length: usize,
    /// What kind of packet it is: [`LINK_IEEE802_11`], [`LINK_IEEE802_11_RADIOTAP`] or anything else.
    pub link_type: u16,
    /// Whether the file says that packets without radiotap end with their check sequence.
    pub has_fcs: bool,
}

impl Packet {
    /// Whether its end was not captured.
    pub fn is_cut_short(&self) -> bool {
        self.original_length > self.bytes.len()
    }
}

/// Why a capture file cannot be read, or not further.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It could not be read.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// It does not begin as a capture does.
    #[error("expected a pcap or pcapng capture, it begins with {0:02x?}")]
    NotACapture([u8; 4]),
    /// It is packed.
    #[error("it is packed with gzip, expected plain pcap or pcapng")]
    Gzip,
    /// It ends within a block or record.
    #[error("it ends within {what}, after {packets} packets")]
    CutShort {
        /// Where.
        what: &'static str,
        /// Whole packets before that.
        packets: u64,
    },
    /// It contradicts itself.
    #[error("it is damaged after {packets} packets: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// Whole packets before that.
        packets: u64,
    },
}

/// What a file says of the packets of one interface.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: u16,
    has_fcs: bool,
}

#[derive(Debug)]
enum Format {
    /// Nothing was read yet.
    Unknown,
    Pcap(Interface),
    Pcapng(Vec<Interface>),
}

/// Reads the packets of a capture file. An iterator: after an error there are none.
#[derive(Debug)]
pub struct PacketReader<R> {
    input: R,
    format: Format,
    big_endian: bool,
    packets: u64,
    block: Vec<u8>,
    over: bool,
}

impl<R: Read> PacketReader<R> {
    /// A reader of `input`, which may be a pipe. Gather small reads with a
    /// [`BufReader`](std::io::BufReader).
    pub fn new(input: R) -> Self {
        let format = Format::Unknown;
        Self { input, format, big_endian: false, packets: 0, block: Vec::new(), over: false }
    }

    /// The next packet; `None` at the end of the file.
    fn read(&mut self) -> Result<Option<Packet>, ReadError> {
        if let Format::Unknown = self.format {
            let mut head = [0; 4];
            if !self.fill(&mut head, "the first four bytes")? {
                return Ok(None);
            }
            let magic = u32::from_le_bytes(head);
            if magic == SECTION_HEADER {
                self.format = Format::Pcapng(Vec::new());
                self.section()?;
            } else if PCAP.contains(&magic) || PCAP.contains(&magic.swap_bytes()) {
                self.big_endian = !PCAP.contains(&magic);
                self.pcap_header()?;
            } else if head.starts_with(&GZIP) {
                return Err(ReadError::Gzip);
            } else {
                return Err(ReadError::NotACapture(head));
            }
        }
        match self.format {
            Format::Pcap(interface) => self.record(interface),
            _ => self.blocks(),
        }
    }

    /// Fills `bytes`; `false` if the file ends before the first of them.
    fn fill(&mut self, bytes: &mut [u8], what: &'static str) -> Result<bool, ReadError> {
        let mut have = 0;
        while have < bytes.len() {
            match self.input.read(&mut bytes[have..]) {
                Ok(0) if have == 0 => return Ok(false),
                Ok(0) => return Err(self.cut_short(what)),
                Ok(more) => have += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Io(Arc::new(error))),
            }
        }
        Ok(true)
    }

    /// Fills `bytes`, which must be there.
    fn need(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), ReadError> {
        if bytes.is_empty() || self.fill(bytes, what)? { Ok(()) } else { Err(self.cut_short(what)) }
    }

    /// Reads so many bytes into `self.block`.
    fn body(&mut self, length: usize, what: &'static str) -> Result<(), ReadError> {
        let mut block = core::mem::take(&mut self.block);
        block.clear();
        block.resize(length, 0);
        let result = self.need(&mut block, what);
        self.block = block;
        result
    }

    fn cut_short(&self, what: &'static str) -> ReadError {
        ReadError::CutShort { what, packets: self.packets }
    }

    fn damaged(&self, what: &'static str) -> ReadError {
        ReadError::Damaged { what, packets: self.packets }
    }

    fn u32(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// The 32 bits at `at` of the block, 0 beyond its end.
    fn u32_at(&self, at: usize) -> u32 {
        self.block.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, |bytes| self.u32(bytes))
    }

    fn u16_at(&self, at: usize) -> u16 {
        let bytes = self.block.get(at..at + 2).map_or([0; 2], |bytes| [bytes[0], bytes[1]]);
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    /// What follows the first four bytes of a pcap file.
    fn pcap_header(&mut self) -> Result<(), ReadError> {
        self.body(20, "the file header")?;
        let network = self.u32_at(16);
        // The length of the FCS in 16-bit words stands in the upper four bits, with a bit that says so.
        let has_fcs = network & 0x0400_0000 != 0 && network >> 28 == 2;
        self.format = Format::Pcap(Interface { link_type: network as u16, has_fcs });
        Ok(())
    }

    /// A record of a pcap file.
    fn record(&mut self, interface: Interface) -> Result<Option<Packet>, ReadError> {
        let mut header = [0; 16];
        if !self.fill(&mut header, "a record's header")? {
            return Ok(None);
        }
        let word = |at: usize| self.u32([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (captured, original) = (word(8), word(12));
        if captured > LONGEST_BLOCK {
            return Err(self.damaged("a record of more than a MiB"));
        }
        self.body(captured as usize, "a record")?;
        Ok(Some(self.packet(0..captured as usize, original, interface)))
    }

    fn packet(&mut self, bytes: core::ops::Range<usize>, original: u32, interface: Interface) -> Packet {
        self.packets += 1;
        Packet {
            bytes: Bytes::copy_from_slice(&self.block[bytes]),
            original_length: original as usize,
            link_type: interface.link_type,
            has_fcs: interface.has_fcs,
        }
    }

    /// The blocks of a pcapng file, up to the next packet.
    fn blocks(&mut self) -> Result<Option<Packet>, ReadError> {
        loop {
            let mut kind = [0; 4];
            if !self.fill(&mut kind, "a block's type")? {
                return Ok(None);
            }
            // The same in both orders, so that the order may change with the section.
            if u32::from_le_bytes(kind) == SECTION_HEADER {
                self.section()?;
                continue;
            }
            let kind = self.u32(kind);
            let mut length = [0; 4];
            self.need(&mut length, "a block's length")?;
            let length = self.u32(length);
            self.rest_of_block(length, 8)?;
            match kind {
                INTERFACE_DESCRIPTION => self.interface()?,
                ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET => {
                    return self.packet_block(kind).map(Some);
                }
                // Statistics, names, comments, secrets.
                _ => {}
            }
        }
    }

    /// Reads what follows the first `have` bytes of a block, and checks both of its lengths.
    fn rest_of_block(&mut self, length: u32, have: u32) -> Result<(), ReadError> {
        if length > LONGEST_BLOCK {
            return Err(self.damaged("a block of more than a MiB"));
        }
        if length < have + 4 || !length.is_multiple_of(4) {
            return Err(self.damaged("a block's length is too small, or no multiple of four"));
        }
        self.body((length - have) as usize, "a block")?;
        let end = self.block.len() - 4;
        if self.u32_at(end) != length {
            return Err(self.damaged("the two lengths of a block disagree"));
        }
        self.block.truncate(end);
        Ok(())
    }

    /// What follows the first four bytes of a section header.
    fn section(&mut self) -> Result<(), ReadError> {
        let mut head = [0; 8];
        self.need(&mut head, "a section header")?;
        let [a, b, c, d, order @ ..] = head;
        self.big_endian = match u32::from_le_bytes(order) {
            BYTE_ORDER => false,
            order if order.swap_bytes() == BYTE_ORDER => true,
            _ => return Err(self.damaged("a section in no known byte order")),
        };
        let length = self.u32([a, b, c, d]);
        self.rest_of_block(length, 12)?;
        self.format = Format::Pcapng(Vec::new());
        Ok(())
    }

    fn interface(&mut self) -> Result<(), ReadError> {
        let mut has_fcs = false;
        let mut at = 8;
        while at + 4 <= self.block.len() {
            let (code, length) = (self.u16_at(at), usize::from(self.u16_at(at + 2)));
            if code == 0 {
                break;
            }
            // In bits by the specification; some write bytes.
            if code == IF_FCSLEN && length >= 1 {
                has_fcs = matches!(self.block.get(at + 4), Some(32 | 4));
            }
            at += 4 + length.next_multiple_of(4);
        }
        if self.block.len() < 8 {
            return Err(self.damaged("an interface that is not described"));
        }
        let interface = Interface { link_type: self.u16_at(0), has_fcs };
        match &mut self.format {
            Format::Pcapng(interfaces) if interfaces.len() < MOST_INTERFACES => interfaces.push(interface),
            _ => return Err(self.damaged("more than 4,096 interfaces")),
        }
        Ok(())
    }

    fn packet_block(&mut self, kind: u32) -> Result<Packet, ReadError> {
        // Where interface, captured length, original length and bytes stand.
        let (interface, captured, original, start) = match kind {
            ENHANCED_PACKET => (self.u32_at(0) as usize, self.u32_at(12), self.u32_at(16), 20),
            OBSOLETE_PACKET => (usize::from(self.u16_at(0)), self.u32_at(12), self.u32_at(16), 20),
            _ => {
                let original = self.u32_at(0);
                let room = self.block.len().saturating_sub(4) as u32;
                (0, original.min(room), original, 4)
            }
        };
        let interfaces: &[Interface] = match &self.format {
            Format::Pcapng(interfaces) => interfaces,
            _ => &[],
        };
        let Some(&interface) = interfaces.get(interface) else {
            return Err(self.damaged("a packet of an interface that was not described"));
        };
        let end = start + captured as usize;
        if end > self.block.len() {
            return Err(self.damaged("a packet that is longer than its block"));
        }
        Ok(self.packet(start..end, original, interface))
    }
}

impl<R: Read> Iterator for PacketReader<R> {
    type Item = Result<Packet, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let packet = self.read().transpose();
        self.over = !matches!(packet, Some(Ok(_)));
        packet
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
