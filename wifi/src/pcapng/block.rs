//! [`Block`]: what every part of a pcapng file is made of.
//!
//! Source: draft-ietf-opsawg-pcapng, sections 3.1 (blocks) and 3.5 (options).

/// Block types.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
pub(super) const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;

/// Options of every block.
const END_OF_OPTIONS: u16 = 0;
pub(super) const COMMENT: u16 = 1;
/// Options of the section header block.
const SHB_USERAPPL: u16 = 4;
/// Options of the interface description block.
pub(super) const IF_NAME: u16 = 2;
pub(super) const IF_DESCRIPTION: u16 = 3;
pub(super) const IF_MAC_ADDR: u16 = 6;
pub(super) const IF_TSRESOL: u16 = 9;
pub(super) const IF_HARDWARE: u16 = 15;
/// Options of the enhanced packet block.
pub(super) const EPB_DROPCOUNT: u16 = 4;
/// Options of the interface statistics block.
pub(super) const ISB_STARTTIME: u16 = 2;
pub(super) const ISB_ENDTIME: u16 = 3;
pub(super) const ISB_IFRECV: u16 = 4;
pub(super) const ISB_IFDROP: u16 = 5;
pub(super) const ISB_FILTERACCEPT: u16 = 6;
pub(super) const ISB_OSDROP: u16 = 7;
pub(super) const ISB_USRDELIV: u16 = 8;

/// A block that is being written, in little-endian order.
pub(super) struct Block<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    has_options: bool,
}

impl<'a> Block<'a> {
    /// Begins a block; its length is filled in at its end.
    pub(super) fn new(out: &'a mut Vec<u8>, kind: u32) -> Self {
        let start = out.len();
        out.extend(kind.to_le_bytes());
        out.extend([0; 4]);
        Self { out, start, has_options: false }
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.out.extend(value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.out.extend(value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A time stamp: the upper half comes first, whatever the byte order.
    pub(super) fn timestamp(&mut self, stamp: u64) {
        self.u32((stamp >> 32) as u32);
        self.u32(stamp as u32);
    }

    /// Fills up to a multiple of four bytes.
    pub(super) fn pad(&mut self) {
        let length = (self.out.len() - self.start).next_multiple_of(4);
        self.out.resize(self.start + length, 0);
    }

    /// An option. Longer ones than a length can say are cut.
    pub(super) fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.u16(code);
        self.u16(value.len() as u16);
        self.bytes(value);
        self.pad();
        self.has_options = true;
    }

    pub(super) fn text(&mut self, code: u16, text: &str) {
        self.option(code, text.as_bytes());
    }

    pub(super) fn timestamp_option(&mut self, code: u16, stamp: u64) {
        let ([a, b, c, d], [e, f, g, h]) =
            (((stamp >> 32) as u32).to_le_bytes(), (stamp as u32).to_le_bytes());
        self.option(code, &[a, b, c, d, e, f, g, h]);
    }

    /// Ends the block: its length stands before and behind it.
    pub(super) fn end(mut self) {
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
pub(super) fn section_header(out: &mut Vec<u8>, application: &str) {
    let mut block = Block::new(out, SECTION_HEADER);
    block.u32(0x1a2b_3c4d);
    block.u16(1);
    block.u16(0);
    block.bytes(&u64::MAX.to_le_bytes());
    block.text(SHB_USERAPPL, application);
    block.end();
}
