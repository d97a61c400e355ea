//! [`PcapngWriter`]: writes frames to a capture file that Wireshark, tcpdump and tshark open. [`PacketReader`] reads
//! such files, and pcap.
//!
//! One section with one interface: link type 127 (802.11 with radiotap), time stamps in nanoseconds. Each frame
//! is an enhanced packet block with its radiotap header; one before which the reader lost frames says how many
//! (`epb_dropcount`). [`PcapngWriter::finish`] adds an interface statistics block with the drops.
//!
//! It writes to any [`Write`], from any thread; it knows no stream and no clock. Neighbours:
//! [`frame`](crate::frame) and [`radiotap`](crate::radiotap) give the bytes, [`stats`](crate::stats) the account.
//!
//! Source: PCAP Next Generation Capture File Format, draft-ietf-opsawg-pcapng (sections are named at the blocks).

mod reader;

pub use reader::{LINK_IEEE802_11, LINK_IEEE802_11_RADIOTAP, Packet, PacketReader, ReadError};

use core::fmt;
use core::time::Duration;
use std::io::{self, Write};
use std::sync::Arc;

use airlift_hcd::pcapng::{self, Block};

use crate::frame::Frame;
use crate::ieee80211::MacAddr;
use crate::stats::StreamStats;

/// LINKTYPE_IEEE802_11_RADIOTAP.
const LINK_TYPE: u16 = LINK_IEEE802_11_RADIOTAP;

/// Bytes that are gathered before they are written, unless a flush comes first.
const BUFFER: usize = 64 * 1024;

/// When what was written reaches the file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum FlushPolicy {
    /// When some 64 KiB have gathered, and at [`PcapngWriter::flush`] and [`PcapngWriter::finish`].
    #[default]
    Gather,
    /// After each frame: for a pipe with somebody waiting at its end.
    EachFrame,
}

/// What a capture file says of itself and of its interface.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct PcapngOptions {
    application: String,
    interface: String,
    description: Option<String>,
    hardware: Option<String>,
    mac_address: Option<MacAddr>,
    origin: Duration,
    flush: FlushPolicy,
}

impl PcapngOptions {
    /// An interface of this name (`wlan0`), of which nothing else is told; the clock's origin is taken for the
    /// start of 1970.
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            application: concat!("airlift ", env!("CARGO_PKG_VERSION")).to_owned(),
            interface: interface.into(),
            description: None,
            hardware: None,
            mac_address: None,
            origin: Duration::ZERO,
            flush: FlushPolicy::default(),
        }
    }

    /// The program that writes; this crate, if it is not said.
    pub fn application(mut self, name: impl Into<String>) -> Self {
        self.application = name.into();
        self
    }

    /// A line about the interface: `monitor, channel 11`.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// The adapter: `RTL8812AU at 3-2`.
    pub fn hardware(mut self, text: impl Into<String>) -> Self {
        self.hardware = Some(text.into());
        self
    }

    /// The adapter's address.
    pub fn mac_address(mut self, addr: MacAddr) -> Self {
        self.mac_address = Some(addr);
        self
    }

    /// When the origin of the clock was by which frames are stamped ([`Frame::time`]), since the start of 1970.
    pub fn clock_origin(mut self, since_1970: Duration) -> Self {
        self.origin = since_1970;
        self
    }

    /// When what was written reaches the file.
    pub fn flush(mut self, policy: FlushPolicy) -> Self {
        self.flush = policy;
        self
    }
}

/// A capture file could not be written. It stays usable up to the last frame that was written.
#[derive(Clone, Debug)]
pub struct WriteError {
    source: Arc<io::Error>,
    written: u64,
    lost: u64,
}

impl WriteError {
    /// How many frames the file has whole.
    pub fn frames_written(&self) -> u64 {
        self.written
    }

    /// How many frames were given to the writer and did not reach the file.
    pub fn frames_lost(&self) -> u64 {
        self.lost
    }

    /// What the operating system said.
    pub fn io_kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, written, lost } = self;
        write!(f, "writing the capture: {source} ({written} frames were written, {lost} are lost)")
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// Writes a capture file. See the [module](self).
///
/// After an error nothing more is written, and every call gives an error that counts on. Dropped without
/// [`PcapngWriter::finish`] it writes what it gathered, without statistics and without telling of an error.
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    /// `None` after `finish`.
    out: Option<W>,
    gathered: Vec<u8>,
    /// Where in `gathered` each frame's block ends.
    ends: Vec<usize>,
    origin: Duration,
    flush: FlushPolicy,
    written: u64,
    error: Option<Arc<io::Error>>,
    lost: u64,
    /// Time stamps of the first and the last frame, in nanoseconds.
    span: Option<(u64, u64)>,
}

impl<W: Write> PcapngWriter<W> {
    /// Starts a capture file, and writes and flushes its head, so that a place that cannot be written to is
    /// found out before the first frame.
    ///
    /// # Errors
    /// [`WriteError`] if the head cannot be written.
    pub fn new(out: W, options: &PcapngOptions) -> Result<Self, WriteError> {
        let mut writer = Self {
            out: Some(out),
            gathered: Vec::with_capacity(BUFFER + 4096),
            ends: Vec::new(),
            origin: options.origin,
            flush: options.flush,
            written: 0,
            error: None,
            lost: 0,
            span: None,
        };
        pcapng::section_header(&mut writer.gathered, &options.application);
        writer.interface_description(options);
        writer.flush()?;
        Ok(writer)
    }

    /// Section 4.2.
    fn interface_description(&mut self, options: &PcapngOptions) {
        let mut block = Block::new(&mut self.gathered, pcapng::INTERFACE_DESCRIPTION);
        block.u16(LINK_TYPE);
        block.u16(0);
        // No limit on the bytes of a frame.
        block.u32(0);
        block.text(pcapng::IF_NAME, &options.interface);
        if let Some(description) = &options.description {
            block.text(pcapng::IF_DESCRIPTION, description);
        }
        if let Some(MacAddr(addr)) = options.mac_address {
            block.option(pcapng::IF_MAC_ADDR, &addr);
        }
        // Time stamps count in 10^-9 s.
        block.option(pcapng::IF_TSRESOL, &[9]);
        if let Some(hardware) = &options.hardware {
            block.text(pcapng::IF_HARDWARE, hardware);
        }
        block.end();
    }

    /// Writes a frame with its radiotap header. Frames in order of time make the nicest file, but any will do.
    ///
    /// # Errors
    /// [`WriteError`] if what was gathered could not be written, now or before.
    pub fn write(&mut self, frame: &Frame) -> Result<(), WriteError> {
        if self.error.is_some() {
            self.lost += 1;
            return self.check();
        }
        let stamp = nanoseconds(self.origin.saturating_add(frame.time()));
        self.span = Some(match self.span {
            None => (stamp, stamp),
            Some((first, last)) => (first.min(stamp), last.max(stamp)),
        });
        let radiotap = frame.radiotap();
        let length = (radiotap.len() + frame.bytes().len()) as u32;
        // Section 4.3.
        let mut block = Block::new(&mut self.gathered, pcapng::ENHANCED_PACKET);
        block.u32(0);
        block.timestamp(stamp);
        block.u32(length);
        block.u32(length);
        block.bytes(&radiotap);
        block.bytes(frame.bytes());
        block.pad();
        if frame.lost_before() > 0 {
            block.option(pcapng::EPB_DROPCOUNT, &frame.lost_before().to_le_bytes());
        }
        block.end();
        self.ends.push(self.gathered.len());
        match self.flush {
            FlushPolicy::EachFrame => self.flush(),
            FlushPolicy::Gather if self.gathered.len() >= BUFFER => self.pass_on(),
            FlushPolicy::Gather => Ok(()),
        }
    }

    /// Writes out what was gathered, and flushes the file.
    ///
    /// # Errors
    /// [`WriteError`] if that failed, now or before.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.pass_on()?;
        if let Some(Err(error)) = self.out.as_mut().map(Write::flush) {
            self.error = Some(Arc::new(error));
        }
        self.check()
    }

    /// Adds the statistics, flushes the file, and gives it back.
    ///
    /// # Errors
    /// [`WriteError`] if that failed, now or before.
    pub fn finish(mut self, stats: &StreamStats) -> Result<W, WriteError> {
        self.check()?;
        // Section 4.6.
        let begin = nanoseconds(self.origin);
        let (first, last) = self.span.unwrap_or((begin, begin));
        let mut block = Block::new(&mut self.gathered, pcapng::INTERFACE_STATISTICS);
        block.u32(0);
        block.timestamp(last);
        block.text(pcapng::COMMENT, &stats.to_string());
        if self.span.is_some() {
            block.timestamp_option(pcapng::ISB_STARTTIME, first);
            block.timestamp_option(pcapng::ISB_ENDTIME, last);
        }
        for (code, count) in [
            (pcapng::ISB_IFRECV, stats.chip),
            (pcapng::ISB_IFDROP, stats.dropped()),
            (pcapng::ISB_FILTERACCEPT, stats.chip.saturating_sub(stats.filtered)),
            (pcapng::ISB_OSDROP, 0),
            (pcapng::ISB_USRDELIV, stats.delivered),
        ] {
            block.option(code, &count.to_le_bytes());
        }
        block.end();
        self.flush()?;
        // There until here, and only here.
        match self.out.take() {
            Some(out) => Ok(out),
            None => unreachable!("finish takes the writer"),
        }
    }

    /// How many frames the file has whole. Those that are still gathered are not counted.
    pub fn frames_written(&self) -> u64 {
        self.written
    }

    /// Hands what was gathered to the file.
    fn pass_on(&mut self) -> Result<(), WriteError> {
        let Some(out) = self.out.as_mut().filter(|_| self.error.is_none()) else { return self.check() };
        let mut done = 0;
        while done < self.gathered.len() {
            match out.write(&self.gathered[done..]) {
                Ok(0) => {
                    self.error = Some(Arc::new(io::ErrorKind::WriteZero.into()));
                    break;
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(Arc::new(error));
                    break;
                }
            }
        }
        let whole = self.ends.partition_point(|&end| end <= done);
        self.written += whole as u64;
        self.lost += (self.ends.len() - whole) as u64;
        self.gathered.clear();
        self.ends.clear();
        self.check()
    }

    fn check(&self) -> Result<(), WriteError> {
        match &self.error {
            None => Ok(()),
            Some(source) => {
                Err(WriteError { source: source.clone(), written: self.written, lost: self.lost })
            }
        }
    }
}

impl<W: Write> Drop for PcapngWriter<W> {
    fn drop(&mut self) {
        if self.out.is_some() && !self.gathered.is_empty() {
            // Nobody is left to be told: `finish` is for those who want to know.
            let _ = self.flush();
        }
    }
}

/// What a time stamp can hold: until the year 2554.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
