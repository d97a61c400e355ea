//! [`RxStats`] and [`StreamStats`]: where the received frames went, as values.
//!
//! Every frame that the chip hands over is counted once as `chip`, and once more as what became of it; the two
//! sides are equal at any time. Neighbours: [`rx`](crate::rx) and [`stream`](crate::stream) count.

use core::fmt;

/// Why something that came from the chip was no frame that could be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum DropCause {
    /// A packet's end lies beyond the transfer's; the rest of the transfer was discarded.
    Truncated,
    /// Nothing but zeros where a packet should be.
    Blank,
    /// A rate that the chip's numbering does not know.
    BadRate,
    /// A size of the PHY status that is none, or a PHY status announced and not there.
    BadDriverInfo,
    /// Longer than any 802.11 frame.
    TooLong,
    /// Too short to hold anything but the check sequence.
    TooShort,
}

impl DropCause {
    /// All causes.
    pub const ALL: [Self; 6] =
        [Self::Truncated, Self::Blank, Self::BadRate, Self::BadDriverInfo, Self::TooLong, Self::TooShort];

    /// A few lower-case words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Blank => "blank",
            Self::BadRate => "bad rate",
            Self::BadDriverInfo => "bad driver info",
            Self::TooLong => "too long",
            Self::TooShort => "too short",
        }
    }
}

impl fmt::Display for DropCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How many packets were malformed, by cause.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MalformedCounts([u64; DropCause::ALL.len()]);

impl MalformedCounts {
    /// How many for this cause.
    pub fn get(&self, cause: DropCause) -> u64 {
        self.0[cause as usize]
    }

    /// How many for all causes together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, cause: DropCause) {
        self.0[cause as usize] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }
}

impl fmt::Display for MalformedCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {}", self.total())?;
        let mut separator = ": ";
        for cause in DropCause::ALL.into_iter().filter(|&cause| self.get(cause) != 0) {
            write!(f, "{separator}{cause} {}", self.get(cause))?;
            separator = ", ";
        }
        Ok(())
    }
}

/// What an interface received.
///
/// `chip == frames + malformed.total()` at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RxStats {
    /// Packets that the chip handed over as frames.
    pub chip: u64,
    /// Those that were frames, and were offered to every stream.
    pub frames: u64,
    /// Those of `frames` whose check sequence is wrong.
    pub bad_fcs: u64,
    /// Those that were none.
    pub malformed: MalformedCounts,
    /// Bytes of `frames`, check sequences counted.
    pub bytes: u64,
    /// Messages from the firmware, which are no frames.
    pub firmware_messages: u64,
    /// Transfers that carried all this.
    pub transfers: u64,
    /// Transfers that ended in an error; what they would have carried was never handed over.
    pub failed_transfers: u64,
}

impl fmt::Display for RxStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chip {} = frames {} + {}", self.chip, self.frames, self.malformed)?;
        write!(f, "; bad FCS {}, {} bytes in {} transfers", self.bad_fcs, self.bytes, self.transfers)?;
        if self.failed_transfers > 0 { write!(f, ", {} failed", self.failed_transfers) } else { Ok(()) }
    }
}

/// What became of the frames of one stream, from when it was opened.
///
/// `chip == delivered + waiting + filtered + dropped()` at any time. Displayed as
/// `chip 21 = delivered 20 + dropped 1 (bad FCS 1, queue 0, malformed 0)`, with what is filtered or waiting in
/// between if there is any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct StreamStats {
    /// Packets that the chip handed over as frames.
    pub chip: u64,
    /// Frames that the reader took.
    pub delivered: u64,
    /// Frames in the queue.
    pub waiting: u64,
    /// Frames that the stream's filter does not match.
    pub filtered: u64,
    /// Frames dropped since their check sequence is wrong and the reader did not ask for such.
    pub bad_fcs: u64,
    /// Frames dropped since the reader was slower than the air and the queue was full.
    pub queue: u64,
    /// Packets that were no frames.
    pub malformed: MalformedCounts,
    /// Bytes that the queue keeps alive now.
    pub pinned_bytes: usize,
    /// Frames that were copied out of their transfer's buffer, since the queue kept much alive already.
    pub copied: u64,
}

impl StreamStats {
    /// Everything that was dropped.
    pub fn dropped(&self) -> u64 {
        self.bad_fcs + self.queue + self.malformed.total()
    }

    /// Whether every frame of the chip is accounted for; always, unless there is a bug in this crate.
    pub fn is_balanced(&self) -> bool {
        self.chip == self.delivered + self.waiting + self.filtered + self.dropped()
    }
}

impl fmt::Display for StreamStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chip {} = delivered {}", self.chip, self.delivered)?;
        for (count, word) in [(self.filtered, "filtered"), (self.waiting, "waiting")] {
            if count > 0 {
                write!(f, " + {word} {count}")?;
            }
        }
        write!(f, " + dropped {} (bad FCS {}, queue {}", self.dropped(), self.bad_fcs, self.queue)?;
        write!(f, ", {})", self.malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w5_the_account_is_shown_as_the_program_shows_it() {
        let mut stats = StreamStats { chip: 21, delivered: 20, bad_fcs: 1, ..StreamStats::default() };
        assert!(stats.is_balanced());
        assert_eq!(stats.to_string(), "chip 21 = delivered 20 + dropped 1 (bad FCS 1, queue 0, malformed 0)");
        stats.chip += 6;
        stats.waiting = 2;
        stats.filtered = 1;
        stats.malformed.count(DropCause::BadRate);
        stats.malformed.count(DropCause::BadRate);
        assert!(!stats.is_balanced());
        stats.malformed.count(DropCause::Truncated);
        assert!(stats.is_balanced());
        assert_eq!(
            stats.to_string(),
            "chip 27 = delivered 20 + filtered 1 + waiting 2 + dropped 4 (bad FCS 1, queue 0, malformed 3: \
             truncated 1, bad rate 2)"
        );
    }
}
