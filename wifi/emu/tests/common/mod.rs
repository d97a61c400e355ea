//! A host in a test's hands: register accesses one after the other, and the bring-up as a list of steps that a
//! test can leave out. The steps and figures are those of `rtw88` (`mac.c`, `rtw88xxa.c`, `rtw8812a_table.c`).
#![allow(dead_code)]

mod power;
pub(crate) mod rtl8814a;

use std::task::Waker;
use std::time::Duration;

use airlift_emu::{Adapter, Builder, Model, Probe};
use airlift_hcd::{Departure, FunctionUrb, Reply, Setup, Submit, TransferError, UrbId, UsbFunction};
use bytes::{Bytes, BytesMut};
use power::{PowerStep, Sequence};

/// A round trip of the bus in the test's time.
pub(crate) const ROUND_TRIP: Duration = Duration::from_micros(125);

pub(crate) struct Host {
    pub(crate) device: Adapter,
    pub(crate) probe: Probe,
    pub(crate) now: Duration,
    next_id: u64,
}

/// A step of the bring-up, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Step(pub(crate) &'static str);

pub(crate) type Outcome<T> = Result<T, TransferError>;

impl Host {
    pub(crate) fn new(builder: Builder) -> Self {
        let mut device = builder.build();
        let probe = device.probe();
        device.plugged(Duration::ZERO, Waker::noop().clone());
        Self { device, probe, now: Duration::from_millis(100), next_id: 0 }
    }

    pub(crate) fn id(&mut self) -> UrbId {
        self.next_id += 1;
        UrbId(self.next_id)
    }

    pub(crate) fn control(&mut self, setup: Setup, data: &[u8]) -> Option<Reply> {
        let id = self.id();
        self.now += ROUND_TRIP;
        let urb = FunctionUrb::new(id, 0, Some(setup), BytesMut::from(data), usize::from(setup.length));
        match self.device.submit(self.now, urb) {
            Submit::Done(reply) => Some(reply),
            Submit::After(delay, reply) => {
                self.now += delay;
                Some(reply)
            }
            Submit::Parked => None,
        }
    }

    pub(crate) fn read(&mut self, address: u16, length: u16) -> Outcome<u32> {
        let reply =
            self.control(Setup::vendor_in(0x05, address, 0, length), &[]).expect("the device is silent");
        reply.status?;
        let mut bytes = [0; 4];
        bytes[..reply.buffer.len()].copy_from_slice(&reply.buffer);
        Ok(u32::from_le_bytes(bytes))
    }

    pub(crate) fn read8(&mut self, address: u16) -> Outcome<u8> {
        Ok(self.read(address, 1)? as u8)
    }

    pub(crate) fn read32(&mut self, address: u16) -> Outcome<u32> {
        self.read(address, 4)
    }

    pub(crate) fn block(&mut self, address: u16, data: &[u8]) -> Outcome<()> {
        let setup = Setup::vendor_out(0x05, address, 0, data.len() as u16);
        self.control(setup, data).expect("the device is silent").status.map(drop)
    }

    pub(crate) fn write8(&mut self, address: u16, value: u8) -> Outcome<()> {
        self.block(address, &[value])
    }

    pub(crate) fn write16(&mut self, address: u16, value: u16) -> Outcome<()> {
        self.block(address, &value.to_le_bytes())
    }

    pub(crate) fn write32(&mut self, address: u16, value: u32) -> Outcome<()> {
        self.block(address, &value.to_le_bytes())
    }

    pub(crate) fn change8(&mut self, address: u16, clear: u8, set: u8) -> Outcome<()> {
        let old = self.read8(address)?;
        self.write8(address, old & !clear | set)
    }

    pub(crate) fn change32(&mut self, address: u16, clear: u32, set: u32) -> Outcome<()> {
        let old = self.read32(address)?;
        self.write32(address, old & !clear | set)
    }

    pub(crate) fn sleep(&mut self, time: Duration) {
        self.now += time;
        while self.device.poll(self.now).is_some() {}
    }

    /// Reads until the bits are as wanted, 50 us apart; `false` after 100 looks.
    pub(crate) fn poll8(&mut self, address: u16, mask: u8, want: u8) -> Outcome<bool> {
        for _ in 0..100 {
            if self.read8(address)? & mask == want {
                return Ok(true);
            }
            self.sleep(Duration::from_micros(50));
        }
        Ok(false)
    }

    /// The power-on sequence, without the steps in `skip` (named by register and bit).
    pub(crate) fn power_on(&mut self, skip: &[Step]) -> Outcome<()> {
        let sequence = Sequence::of(self.model());
        self.steps(sequence.wake, skip)?;
        if !skip.contains(&Step("low power")) {
            self.change8(0x05, 0x04, 0)?;
        }
        if !skip.contains(&Step("power ready")) {
            self.poll8(0x06, 0x02, 0x02)?;
        }
        self.steps(sequence.ready, skip)?;
        self.change8(0x05, 0, 0x01)?;
        if !self.poll8(0x05, 0x01, 0)? {
            return Ok(());
        }
        self.steps(sequence.on, skip)?;
        self.write16(0x100, 0)?;
        self.write16(0x100, 0x063f)
    }

    /// Switches the device to USB 3, and plugs it in again if it has left and comes back.
    pub(crate) fn switch_usb_mode(&mut self) -> Option<Departure> {
        for (address, value) in [(0x74, 0x08), (0x70, 0x02), (0x3e, 0x01), (0x3d, 0x03), (0x05, 0x80)] {
            if self.write8(address, value).is_err() {
                return None;
            }
        }
        let departure = self.device.departs(self.now)?;
        if let Some(away) = departure.back_after {
            self.now += away;
            self.device.plugged(self.now, Waker::noop().clone());
        }
        Some(departure)
    }

    /// The power-off sequence.
    pub(crate) fn power_off(&mut self, skip: &[Step]) -> Outcome<()> {
        let sequence = Sequence::of(self.model());
        self.steps(sequence.stop, skip)?;
        if !skip.contains(&Step("mac off")) {
            self.change8(0x05, 0, 0x02)?;
            self.poll8(0x05, 0x02, 0)?;
        }
        self.steps(sequence.sleep, skip)
    }

    fn steps(&mut self, steps: &[PowerStep], skip: &[Step]) -> Outcome<()> {
        let taken = steps.iter().filter(|step| !skip.contains(&Step(step.0)));
        taken.copied().try_for_each(|(_, address, mask, value)| self.change8(address, mask, value))
    }

    pub(crate) fn model(&self) -> Model {
        self.device.model()
    }

    /// The page list with its boundary at 247.
    pub(crate) fn page_list(&mut self) -> Outcome<()> {
        if self.model() == Model::Rtl8814au {
            return self.page_list_8814a();
        }
        for page in 0..=255_u32 {
            let next = match page {
                246 => 255,
                255 => 247,
                page => page + 1,
            };
            self.write32(0x1e0, 0x4000_0000 | page << 8 | next)?;
            while self.read32(0x1e0)? & 0xc000_0000 != 0 {}
        }
        Ok(())
    }

    pub(crate) fn mcu_enable(&mut self, on: bool) -> Outcome<()> {
        if on {
            self.change8(0x1d, 0, 0x01)?;
            self.change8(0x03, 0, 0x04)
        } else {
            self.change8(0x03, 0x04, 0)?;
            self.change8(0x1d, 0x01, 0)
        }
    }

    /// Downloads `image` and starts it; whether the sum was reported, and whether the firmware runs.
    pub(crate) fn firmware(&mut self, image: &[u8]) -> Outcome<(bool, bool)> {
        if self.model() == Model::Rtl8814au {
            return self.firmware_3081(image, &[]);
        }
        self.mcu_enable(false)?;
        self.mcu_enable(true)?;
        self.change8(0x80, 0, 0x01)?;
        self.change32(0x80, 0x0008_0000, 0)?;
        self.change8(0x80, 0, 0x04)?;
        for (page, code) in image[32..].chunks(0x1000).enumerate() {
            self.change32(0x80, 0x0007_0000, (page as u32) << 16)?;
            let mut at = 0;
            while at < code.len() {
                let left = code.len() - at;
                let n = if left >= 196 {
                    196
                } else if left >= 8 {
                    8
                } else {
                    1
                };
                self.block(0x1000 + at as u16, &code[at..at + n])?;
                at += n;
            }
        }
        let sum = self.poll8(0x80, 0x04, 0x04)?;
        self.change8(0x80, 0x01, 0)?;
        if !sum {
            return Ok((false, false));
        }
        self.change32(0x80, 0x40, 0x02)?;
        self.mcu_enable(false)?;
        self.mcu_enable(true)?;
        let runs = self.poll8(0x80, 0xc6, 0xc6)?;
        Ok((sum, runs))
    }

    /// Grants access to the EFUSE.
    pub(crate) fn efuse_grant(&mut self, skip: &[Step]) -> Outcome<()> {
        if !skip.contains(&Step("grant")) {
            self.write8(0xcf, 0x69)?;
        }
        if !skip.contains(&Step("loader")) {
            self.change8(0x03, 0, 0x10)?;
        }
        if !skip.contains(&Step("clock")) {
            self.change8(0x08, 0, 0x22)?;
        }
        Ok(())
    }

    /// One physical byte; `None` if it never came.
    pub(crate) fn efuse_byte(&mut self, address: u16) -> Outcome<Option<u8>> {
        self.write32(0x30, u32::from(address) << 8)?;
        if !self.poll8(0x33, 0x80, 0x80)? {
            return Ok(None);
        }
        Ok(Some(self.read32(0x30)? as u8))
    }

    /// From the plug to the point where frames come in on `channel` at 20 MHz.
    pub(crate) fn receive_on(&mut self, channel: u8) -> Outcome<()> {
        self.power_on(&[])?;
        if self.model() == Model::Rtl8814au {
            assert_eq!(self.firmware(&self.model().stand_in_firmware())?, (true, true));
            self.queues_8814a()?;
        } else {
            self.page_list()?;
            assert_eq!(self.firmware(&self.model().stand_in_firmware())?, (true, true));
            self.write32(0x214, 0)?;
            self.write32(0x200, 0x80d7_1010)?;
            self.write16(0x116, 0x3e7f)?;
            self.write8(0x104, 0x30)?;
        }
        self.write8(0x1cc, 0x0f)?;
        self.write16(0x10c, 0xf5a0)?;
        self.write8(0x60f, 4)?;
        self.change32(0x100, 0x30000, 0x20000)?;
        self.write16(0x6a0, 0xffff)?;
        self.write16(0x6a2, 0x0400)?;
        self.write16(0x6a4, 0xffff)?;
        self.write8(0x290, 0x1e)?;
        self.change8(0x100, 0, 0xc0)?;
        self.baseband_on()?;
        self.tune(channel)?;
        // Everything: own, foreign, group and broadcast, with FCS and PHY status.
        self.write32(0x608, 0xf410_400f)
    }

    pub(crate) fn baseband_on(&mut self) -> Outcome<()> {
        self.change8(0x02, 0, 0x04)?;
        if self.model() == Model::Rtl8814au {
            return self.baseband_on_8814a();
        }
        self.change8(0x02, 0, 0x03)?;
        self.write8(0x1f, 7)?;
        self.write8(0x76, 7)?;
        self.write32(0x82c, 0x0020_83dc)?;
        self.write32(0xc00, 0x07)?;
        if self.model().radios() > 1 { self.write32(0xe00, 0x07) } else { Ok(()) }
    }

    /// Posts a bulk IN transfer of 32 KiB.
    pub(crate) fn post_receive(&mut self) {
        let id = self.id();
        let urb = FunctionUrb::new(id, self.bulk_in(), None, BytesMut::new(), 0x8000);
        assert!(matches!(self.device.submit(self.now, urb), Submit::Parked));
    }

    /// The endpoint of received packets.
    pub(crate) fn bulk_in(&self) -> u8 {
        if self.model() == Model::Rtl8821au { 0x84 } else { 0x81 }
    }

    /// The first endpoint of frames to send.
    pub(crate) fn bulk_out(&self) -> u8 {
        if self.model() == Model::Rtl8821au { 0x05 } else { 0x02 }
    }

    /// Runs the device until `until`, and collects what bulk IN transfers bring; each is posted again.
    pub(crate) fn receive_until(&mut self, until: Duration) -> Vec<Bytes> {
        let mut transfers = Vec::new();
        loop {
            while let Some(reply) = self.device.poll(self.now) {
                assert_eq!(reply.status, Ok(reply.buffer.len()));
                transfers.push(reply.buffer.freeze());
                self.post_receive();
            }
            match self.device.next_deadline() {
                Some(at) if at <= until => self.now = self.now.max(at),
                _ => break,
            }
        }
        self.now = self.now.max(until);
        transfers
    }

    /// A bulk OUT transfer; `None` if the device keeps it.
    pub(crate) fn send(&mut self, endpoint: u8, data: &[u8]) -> Option<Outcome<()>> {
        let id = self.id();
        let urb = FunctionUrb::new(id, endpoint, None, BytesMut::from(data), data.len());
        match self.device.submit(self.now, urb) {
            Submit::Done(reply) | Submit::After(_, reply) => Some(reply.status.map(drop)),
            Submit::Parked => None,
        }
    }

    /// Channels 1-14 or 36 and above, 20 MHz.
    pub(crate) fn tune(&mut self, channel: u8) -> Outcome<()> {
        let (area, band) = match channel {
            0..=14 => (0x96a, 0),
            36..=48 => (0x494, 0x1_0100),
            49..=64 => (0x453, 0x1_0100),
            100..=116 => (0x452, 0x3_0100),
            117..=140 => (0x412, 0x3_0100),
            _ => (0x412, 0x5_0100),
        };
        self.write32(0x834, if channel > 14 { 0x0037_a706 } else { 0x0037_a705 })?;
        self.write8(0x454, if channel > 14 { 0x80 } else { 0 })?;
        self.write32(0x860, area << 17)?;
        self.write32(0x8ac, 0x0030_0200)?;
        if self.model() == Model::Rtl8821au {
            self.write32(0xc1c, if channel > 14 { 0x4000_0100 } else { 0x4000_0000 })?;
        }
        if self.model() == Model::Rtl8814au {
            self.write32(
                0x958,
                [0, 1, 2, 3]
                    [usize::from(channel > 14) + usize::from(channel > 64) + usize::from(channel > 144)],
            )?;
        }
        for window in &[0xc90, 0xe90, 0x1890, 0x1a90][..self.model().radios()] {
            let window = *window;
            self.write32(window, 0x0180_0000 | band | 0x0c00 | u32::from(channel))?;
        }
        Ok(())
    }
}

/// A packet of a bulk IN transfer, taken apart by the figures of `rtw88 rx.h`.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) words: [u32; 6],
    pub(crate) info: Bytes,
    pub(crate) payload: Bytes,
}

impl Packet {
    pub(crate) fn is_message(&self) -> bool {
        self.words[2] & 1 << 28 != 0
    }
    pub(crate) fn bad_fcs(&self) -> bool {
        self.words[0] & 1 << 14 != 0
    }
    pub(crate) fn rate(&self) -> u8 {
        self.words[3] as u8 & 0x7f
    }
}

/// The packets of a transfer; panics if they do not fill it.
pub(crate) fn packets(mut transfer: Bytes) -> Vec<Packet> {
    let mut packets = Vec::new();
    while !transfer.is_empty() {
        let words: [u32; 6] =
            std::array::from_fn(|i| u32::from_le_bytes(transfer[i * 4..i * 4 + 4].try_into().unwrap()));
        let length = (words[0] & 0x3fff) as usize;
        let info = (words[0] >> 16 & 0x0f) as usize * 8;
        assert_eq!(words[0] >> 24 & 3, 0, "no shift");
        let end = 24 + info + length;
        packets.push(Packet {
            words,
            info: transfer.slice(24..24 + info),
            payload: transfer.slice(24 + info..end),
        });
        transfer = transfer.slice(end.next_multiple_of(8)..);
    }
    packets
}

/// A transfer with one frame: a descriptor as `rtw88 tx.c` fills it, then `frame`.
pub(crate) fn outgoing(frame: &[u8], rate: u8, report: Option<u8>) -> Vec<u8> {
    let mut words = [0_u32; 10];
    words[0] = frame.len() as u32 | 40 << 16 | 1 << 26;
    words[1] = 18 << 8;
    words[3] = 1 << 8 | 1 << 10;
    words[4] = u32::from(rate) | 0x1f00;
    if let Some(number) = report {
        words[2] = 1 << 19;
        words[6] = u32::from(number);
    }
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    seal(&mut bytes);
    bytes.extend_from_slice(frame);
    bytes
}

/// Makes the descriptor's checksum right.
pub(crate) fn seal(bytes: &mut [u8]) {
    bytes[28..30].fill(0);
    let sum = bytes[..32].chunks(2).fold(0, |sum, word| sum ^ u16::from_le_bytes([word[0], word[1]]));
    bytes[28..30].copy_from_slice(&sum.to_le_bytes());
}
