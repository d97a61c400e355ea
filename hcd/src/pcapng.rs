//! [`Block`]: what every part of a pcapng file is made of, for those who write one.
//!
//! [`Trace`](crate::Trace) does, and a capture of frames does. All numbers are little-endian.
//!
//! Source: draft-ietf-opsawg-pcapng, sections 3.1 (blocks), 3.5 (options) and 4 (the blocks).

/// Section header block.
pub const SECTION_HEADER: u32 = 0x0a0d_0d0a;
/// Interface description block.
pub const INTERFACE_DESCRIPTION: u32 = 1;
/// Interface statistics block.
pub const INTERFACE_STATISTICS: u32 = 5;
/// Enhanced packet block.
pub const ENHANCED_PACKET: u32 = 6;

const END_OF_OPTIONS: u16 = 0;
/// Option of every block: a comment.
pub const COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
/// Option of the interface description: its name.
pub const IF_NAME: u16 = 2;
/// What it is.
pub const IF_DESCRIPTION: u16 = 3;
/// Its MAC address.
pub const IF_MAC_ADDR: u16 = 6;
/// The unit of its time stamps: 9 for nanoseconds.
pub const IF_TSRESOL: u16 = 9;
/// What hardware it is.
pub const IF_HARDWARE: u16 = 15;
/// Option of a packet: how many were lost since the one before.
pub const EPB_DROPCOUNT: u16 = 4;
/// Option of the statistics: when the capture began.
pub const ISB_STARTTIME: u16 = 2;
/// When it ended.
pub const ISB_ENDTIME: u16 = 3;
/// Packets received.
pub const ISB_IFRECV: u16 = 4;
/// Packets lost by the interface.
pub const ISB_IFDROP: u16 = 5;
/// Packets that a filter let pass.
pub const ISB_FILTERACCEPT: u16 = 6;
/// Packets lost by the operating system.
pub const ISB_OSDROP: u16 = 7;
/// Packets delivered.
pub const ISB_USRDELIV: u16 = 8;

/// A block that is being written. It is complete after [`end`](Self::end).
#[derive(Debug)]
pub struct Block<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    has_options: bool,
}

impl<'a> Block<'a> {
    /// Begins a block; its length is filled in at its end.
    pub fn new(out: &'a mut Vec<u8>, kind: u32) -> Self {
        let start = out.len();
        out.extend(kind.to_le_bytes());
        out.extend([0; 4]);
        Self { out, start, has_options: false }
    }

    /// Sixteen bits.
    pub fn u16(&mut self, value: u16) {
        self.out.extend(value.to_le_bytes());
    }

    /// Thirty-two bits.
    pub fn u32(&mut self, value: u32) {
        self.out.extend(value.to_le_bytes());
    }

    /// Bytes as they are, without padding.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A time stamp: the upper half comes first, whatever the byte order.
    pub fn timestamp(&mut self, stamp: u64) {
        self.u32((stamp >> 32) as u32);
        self.u32(stamp as u32);
    }

    /// Fills up to a multiple of four bytes.
    pub fn pad(&mut self) {
        let length = (self.out.len() - self.start).next_multiple_of(4);
        self.out.resize(self.start + length, 0);
    }

    /// An option. Longer ones than a length can say are cut.
    pub fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.u16(code);
        self.u16(value.len() as u16);
        self.bytes(value);
        self.pad();
        self.has_options = true;
    }

    /// An option that is text.
    pub fn text(&mut self, code: u16, text: &str) {
        self.option(code, text.as_bytes());
    }

    /// An option that is a time stamp, in the unit of the interface.
    pub fn timestamp_option(&mut self, code: u16, stamp: u64) {
        let ([a, b, c, d], [e, f, g, h]) =
            (((stamp >> 32) as u32).to_le_bytes(), (stamp as u32).to_le_bytes());
        self.option(code, &[a, b, c, d, e, f, g, h]);
    }

    /// Ends the block, filled up to a multiple of four bytes: its length stands before and behind it.
    pub fn end(mut self) {
        self.pad();
        if self.has_options {
            self.u16(END_OF_OPTIONS);
            self.u16(0);
        }
        let length = (self.out.len() - self.start + 4) as u32;
        self.u32(length);
        self.out[self.start + 4..self.start + 8].copy_from_slice(&length.to_le_bytes());
    }
}

/// The block that begins a file (section 4.1), of a section whose length is not known.
pub fn section_header(out: &mut Vec<u8>, application: &str) {
    let mut block = Block::new(out, SECTION_HEADER);
    block.u32(0x1a2b_3c4d);
    block.u16(1);
    block.u16(0);
    block.bytes(&u64::MAX.to_le_bytes());
    block.text(SHB_USERAPPL, application);
    block.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: u32, write: impl FnOnce(&mut Block<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut block = Block::new(&mut out, kind);
        write(&mut block);
        block.end();
        out
    }

    /// Section 4.1 of the draft: type, length, magic, version 1.0, a section length of -1, options, the length again.
    #[test]
    fn a_section_header_has_its_magic_and_an_unknown_length() {
        let mut out = Vec::new();
        section_header(&mut out, "air 1");
        #[rustfmt::skip]
        let expected = [
            0x0a, 0x0d, 0x0d, 0x0a, 44, 0, 0, 0,
            0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            4, 0, 5, 0, b'a', b'i', b'r', b' ', b'1', 0, 0, 0,
            0, 0, 0, 0, 44, 0, 0, 0,
        ];
        assert_eq!(out, expected);
    }

    /// Section 4.2: link type, two reserved bytes, the snap length, options.
    #[test]
    fn an_interface_description_has_its_options_padded_and_ended() {
        let out = written(INTERFACE_DESCRIPTION, |block| {
            block.u16(127);
            block.u16(0);
            block.u32(0x0004_0000);
            block.text(IF_NAME, "wlan0");
            block.option(IF_MAC_ADDR, &[2, 0, 0, 0, 0x0a, 1]);
            block.option(IF_TSRESOL, &[9]);
        });
        #[rustfmt::skip]
        let expected = [
            1, 0, 0, 0, 56, 0, 0, 0,
            127, 0, 0, 0, 0, 0, 4, 0,
            2, 0, 5, 0, b'w', b'l', b'a', b'n', b'0', 0, 0, 0,
            6, 0, 6, 0, 2, 0, 0, 0, 0x0a, 1, 0, 0,
            9, 0, 1, 0, 9, 0, 0, 0,
            0, 0, 0, 0, 56, 0, 0, 0,
        ];
        assert_eq!(out, expected);
    }

    /// Section 4.3: interface, time stamp (upper half first), captured and original length, the packet, options.
    #[test]
    fn an_enhanced_packet_is_padded_before_its_options() {
        let out = written(ENHANCED_PACKET, |block| {
            block.u32(3);
            block.timestamp(0x0011_2233_4455_6677);
            block.u32(5);
            block.u32(1500);
            block.bytes(&[0xa1, 0xa2, 0xa3, 0xa4, 0xa5]);
            block.pad();
            block.option(EPB_DROPCOUNT, &7_u64.to_le_bytes());
            block.text(COMMENT, "late");
        });
        #[rustfmt::skip]
        let expected = [
            6, 0, 0, 0, 64, 0, 0, 0,
            3, 0, 0, 0,
            0x33, 0x22, 0x11, 0x00, 0x77, 0x66, 0x55, 0x44,
            5, 0, 0, 0, 0xdc, 0x05, 0, 0,
            0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0, 0, 0,
            4, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 4, 0, b'l', b'a', b't', b'e',
            0, 0, 0, 0, 64, 0, 0, 0,
        ];
        assert_eq!(out, expected);
    }

    /// Section 3.5: without options there is no end of options either; what is not whole is padded.
    #[test]
    fn a_packet_without_options_ends_with_its_padding() {
        let out = written(ENHANCED_PACKET, |block| {
            block.u32(0);
            block.timestamp(1);
            block.u32(2);
            block.u32(2);
            block.bytes(&[0xee, 0xff]);
        });
        #[rustfmt::skip]
        let expected = [
            6, 0, 0, 0, 36, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0,
            0xee, 0xff, 0, 0,
            36, 0, 0, 0,
        ];
        assert_eq!(out, expected);
    }

    /// Section 4.6: interface, time stamp, options, of which those that are times have the upper half first as well.
    #[test]
    fn interface_statistics_have_times_and_counts() {
        let out = written(INTERFACE_STATISTICS, |block| {
            block.u32(0);
            block.timestamp(0x0000_0001_0000_0002);
            block.timestamp_option(ISB_STARTTIME, 0x0000_0003_0000_0004);
            block.option(ISB_IFRECV, &0x0102_u64.to_le_bytes());
        });
        #[rustfmt::skip]
        let expected = [
            5, 0, 0, 0, 52, 0, 0, 0,
            0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,
            2, 0, 8, 0, 3, 0, 0, 0, 4, 0, 0, 0,
            4, 0, 8, 0, 0x02, 0x01, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 52, 0, 0, 0,
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn an_option_that_is_too_long_is_cut_to_what_its_length_can_say() {
        let out = written(INTERFACE_DESCRIPTION, |block| block.option(IF_DESCRIPTION, &[b'x'; 70_000]));
        assert_eq!(out[8..12], [3, 0, 0xff, 0xff]);
        assert_eq!(out.len(), 8 + 4 + 65_536 + 4 + 4);
        assert_eq!(out[12 + 65_535], 0, "the padding");
    }
}
