//! What only the RTL8814AU is brought up by: firmware through reserved pages and DMA, its queues, its radios.
//! The steps and figures are those of `rtw88` (`mac.c`, `fw.c`, `rtw8814a.c`).

use super::{Host, Outcome, Step, seal};

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 40;

/// A transfer to one of the queues that are not for the air: beacon (16) or commands (19).
pub(crate) fn internal(queue: u32, offset: u32, payload: &[u8]) -> Vec<u8> {
    let mut words = [0_u32; DESCRIPTOR / 4];
    words[0] = payload.len() as u32 | offset << 16 | 1 << 26;
    words[1] = queue << 8;
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    seal(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

impl Host {
    /// The list of pages, made by the chip.
    pub(crate) fn page_list_8814a(&mut self) -> Outcome<()> {
        self.change8(0x208, 0, 0x01)?;
        assert!(self.poll8(0x208, 0x01, 0x00)?, "the list is never made");
        Ok(())
    }

    /// Everything between power and the download.
    pub(crate) fn download_begin(&mut self, skip: &[Step]) -> Outcome<()> {
        if !skip.contains(&Step("platform")) {
            self.change32(0x1080, 0, 0x0001_0100)?;
        }
        self.change8(0x03, 0, 0xdc)?;
        self.mcu_enable(false)?;
        self.write8(0x100, 0x05)?;
        if !skip.contains(&Step("pages")) {
            self.write16(0x230, 0x200)?;
            self.change32(0x22c, 0, 0x8000_0000)?;
        }
        if !skip.contains(&Step("platform")) {
            self.change8(0x1082, 0x01, 0)?;
            self.change8(0x09, 0x40, 0)?;
            self.change8(0x1082, 0, 0x01)?;
        }
        if !skip.contains(&Step("mcu clock on")) {
            self.change8(0x09, 0, 0x40)?;
        }
        if !skip.contains(&Step("download enable")) {
            let control = self.read(0x80, 2)? as u16 & 0x3800;
            self.write16(0x80, control | 0x01)?;
        }
        Ok(())
    }

    /// Sends a reserved page to the start of the packet buffer; whether it is reported as in.
    pub(crate) fn reserved_page(&mut self, data: &[u8], skip: &[Step]) -> Outcome<bool> {
        self.write16(0x204, 0x8000)?;
        if !skip.contains(&Step("beacon queue")) {
            self.change8(0x101, 0, 0x01)?;
        }
        assert_eq!(self.read8(0x205)? & 0x80, 0, "the bit is cleared by writing it");
        self.send(self.bulk_out(), &internal(16, 40, data)).expect("there is room for a reserved page")?;
        let there = self.poll8(0x205, 0x80, 0x80)?;
        self.change8(0x101, 0x01, 0)?;
        Ok(there)
    }

    /// Copies the reserved page on; whether that ends.
    pub(crate) fn copy_page(&mut self, to: u32, length: usize, goes_on: bool) -> Outcome<bool> {
        self.write32(0x1200, 0x1878_0000 + DESCRIPTOR as u32)?;
        self.write32(0x1204, to)?;
        let goes_on = if goes_on { 1 << 24 } else { 0 };
        self.write32(0x1208, 1 << 31 | 1 << 29 | goes_on | length as u32)?;
        self.poll8(0x120b, 0x80, 0x00)
    }

    /// Downloads `image` and starts it; whether the sums were right, and whether the firmware runs.
    pub(crate) fn firmware_3081(&mut self, image: &[u8], skip: &[Step]) -> Outcome<(bool, bool)> {
        self.download_begin(skip)?;
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        let mut rest = &image[64..];
        for (address, length, bits) in [(word(0x20), word(0x24), 0x60), (word(0x3c), word(0x30), 0x18)] {
            let (section, after) = rest.split_at(length as usize + 8);
            rest = after;
            self.change32(0x1208, 0, 1 << 25)?;
            for (number, chunk) in section.chunks(0x1000).enumerate() {
                let to = (address & 0x7fff_ffff) + number as u32 * 0x1000;
                if !self.reserved_page(chunk, skip)? || !self.copy_page(to, chunk.len(), number > 0)? {
                    return Ok((false, false));
                }
            }
            if self.read32(0x1208)? & 1 << 27 != 0 {
                return Ok((false, false));
            }
            self.change8(0x80, 0, bits)?;
        }
        let control = self.read(0x80, 2)? as u16;
        self.write16(0x80, (control | 0x4000) & !0x01)?;
        if skip.contains(&Step("mcu io")) {
            self.change8(0x03, 0, 0x04)?;
        } else {
            self.mcu_enable(true)?;
        }
        for _ in 0..100 {
            if self.read(0x80, 2)? & 0xcfff == 0xc078 {
                return Ok((true, true));
            }
            self.sleep(std::time::Duration::from_micros(50));
        }
        Ok((true, false))
    }

    /// Pages for the queues, the end of the receive buffer, the list of pages, the queue of commands.
    pub(crate) fn queues_8814a(&mut self) -> Outcome<()> {
        self.write8(0x100, 0x3f)?;
        for (register, pages) in [(0x230, 32), (0x234, 32), (0x238, 32), (0x23c, 32), (0x240, 1858)] {
            self.write16(register, pages)?;
        }
        self.change32(0x22c, 0, 0x8000_0000)?;
        self.write16(0x204, 1986)?;
        self.write32(0x11c, 0x5aff)?;
        self.write8(0x208, 0x30)?;
        self.page_list_8814a()?;
        self.write32(0x244, 0x3_f000)?;
        self.write32(0x24c, 0x3_f000)?;
        self.change8(0x254, 0, 0x05)
    }

    pub(crate) fn baseband_on_8814a(&mut self) -> Outcome<()> {
        self.change8(0x1002, 0, 0x03)?;
        for radio in [0x1f, 0x20, 0x21, 0x76] {
            self.write8(radio, 7)?;
        }
        Ok(())
    }
}
