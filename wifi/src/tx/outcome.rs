//! What became of a frame: [`Outcome`], [`InjectError`], and the account in [`TxStats`].

use core::fmt;

use airlift_hcd::TransferError;
use std::borrow::Cow;

use super::TxFrame;
use crate::channel::{Channel, Width};
use crate::error::Error;
use crate::frame::Rate;
use crate::ieee80211::Malformed;
use crate::radiotap::RadiotapError;

bitflags::bitflags! {
    /// What was asked for and not done; the frame was sent without it.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Unhonoured: u32 {
        /// A transmit power of its own: the descriptor has none, [`Wlan::set_tx_power`](crate::Wlan::set_tx_power)
        /// sets it for all.
        const TX_POWER = 1 << 0;
        /// RTS before the frame.
        const RTS = 1 << 1;
        /// CTS to oneself before the frame.
        const CTS_TO_SELF = 1 << 2;
        /// How often to send the RTS again.
        const RTS_RETRIES = 1 << 3;
        /// Not to be overtaken by others; frames of one queue never are.
        const ORDER = 1 << 4;
        /// A short preamble.
        const SHORT_PREAMBLE = 1 << 5;
        /// To be encrypted by the driver.
        const ENCRYPTION = 1 << 6;
        /// To be fragmented by the driver.
        const FRAGMENTATION = 1 << 7;
        /// HT greenfield format.
        const GREENFIELD = 1 << 8;
        /// Beamforming.
        const BEAMFORMING = 1 << 9;
        /// Space-time block coding with more streams than the chains can code.
        const STBC = 1 << 10;
        /// A short guard interval, LDPC or STBC at a legacy rate, which has none of them.
        const CODING = 1 << 11;
        /// More retries than the chip counts: 63 instead.
        const RETRIES = 1 << 12;
        /// An 802.11ax format.
        const HE = 1 << 13;
        /// Frequency hopping.
        const FHSS = 1 << 14;
        /// A vendor's field.
        const VENDOR = 1 << 15;
    }
}

impl fmt::Display for Unhonoured {
    /// A few lower-case words, separated by commas: `tx power, rts`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, _) in self.iter_names() {
            write!(f, "{separator}{}", name.to_ascii_lowercase().replace('_', " "))?;
            separator = ", ";
        }
        Ok(())
    }
}

/// Whether a frame that went to the chip arrived.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// It was answered.
    Acknowledged,
    /// It was sent as often as allowed, and no answer came.
    NotAcknowledged,
    /// It waited longer in the chip than the chip keeps frames, and was not sent to the end.
    Expired,
    /// It was sent; nobody answers such a frame, or the answer was not to be waited for.
    Sent,
    /// The chip did not tell.
    Unknown(Unknown),
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Acknowledged => "acknowledged",
            Self::NotAcknowledged => "not acknowledged",
            Self::Expired => "expired in the chip",
            Self::Sent => "sent",
            Self::Unknown(Unknown::NoReport) => "unknown: no report came",
            Self::Unknown(Unknown::NotAsked) => "unknown: no report was asked for",
            Self::Unknown(Unknown::NoNumber) => "unknown: no number was free for a report",
        })
    }
}

/// Why it is not known what became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Unknown {
    /// The chip took it, and its firmware did not report it in time.
    NoReport,
    /// The chip took it, and no report [was asked for](TxFrame::report).
    NotAsked,
    /// The chip took it, and no report could be asked for: of the 64 numbers that tell reports apart, each was that of a
    /// frame whose report is overdue and may still come.
    NoNumber,
}

/// What became of a frame that went to the chip, as far as the chip tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Whether it arrived.
    pub delivery: Delivery,
    /// How often it was sent again; `None` if that is unknown.
    pub retries: Option<u8>,
    /// The rate at which it was sent last; `None` if that is unknown.
    pub rate: Option<Rate>,
    /// What was asked for and not done.
    pub unhonoured: Unhonoured,
}

/// Why a frame was not given to the chip at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its radiotap header cannot be read.
    #[error(transparent)]
    Radiotap(#[from] RadiotapError),
    /// It is no 802.11 frame.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its radiotap header says that there is padding behind the MAC header, which would go on the air.
    #[error("padding between header and body, expected none")]
    Padded,
    /// It is too long.
    #[error("{length} bytes, a PPDU at {rate} carries at most {most} with the check sequence")]
    TooLong {
        /// Its bytes, with the check sequence.
        length: usize,
        /// The rate.
        rate: Rate,
        /// How many may be sent at that rate.
        most: usize,
    },
    /// No legacy rate.
    #[error("a rate of {half_mbps} times 500 kbit/s, which 802.11 does not have")]
    LegacyRate {
        /// The rate in units of 500 kbit/s.
        half_mbps: u8,
    },
    /// No HT MCS that a chip of the family sends.
    #[error("MCS {mcs}, expected 0 to 31")]
    Mcs {
        /// The MCS index.
        mcs: u8,
    },
    /// No VHT rate, or one for several users.
    #[error("VHT MCS {mcs} with {nss} streams, expected MCS 0 to 9, 1 to 4 streams, one user")]
    Vht {
        /// The MCS index.
        mcs: u8,
        /// Spatial streams.
        nss: u8,
    },
    /// A VHT bandwidth that the family does not send.
    #[error("VHT bandwidth {code}, expected 0 (20 MHz), 1 (40 MHz) or 4 (80 MHz)")]
    VhtBandwidth {
        /// Radiotap's number of it.
        code: u8,
    },
    /// The standard leaves this combination out.
    #[error("{rate} does not exist at {} MHz", .width.mhz())]
    NoSuchRate {
        /// The rate.
        rate: Rate,
        /// The bandwidth.
        width: Width,
    },
    /// More streams than the adapter has chains.
    #[error("{rate} needs {} chains, the adapter has {chains}", .rate.streams())]
    Streams {
        /// The rate.
        rate: Rate,
        /// The adapter's chains.
        chains: u8,
    },
    /// DSSS and CCK exist at 2.4 GHz only.
    #[error("{rate} Mbit/s exists at 2.4 GHz only, the radio is on channel {channel}")]
    CckAt5Ghz {
        /// The rate.
        rate: Rate,
        /// The radio's channel.
        channel: Channel,
    },
    /// The bandwidth is larger than that of the channel.
    #[error("{} MHz asked for, the radio is on channel {channel}", .width.mhz())]
    TooWide {
        /// The bandwidth.
        width: Width,
        /// The radio's channel.
        channel: Channel,
    },
    /// The radio is on no channel since a change of channel failed.
    #[error("the radio is on no channel")]
    NoChannel,
}

/// What kind of failure it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum InjectErrorKind {
    /// The frame cannot be sent as it is; the chip never saw it.
    Refused(Refusal),
    /// The transfer to the chip failed; whether the chip took it is not known.
    Transfer(TransferError),
    /// The interface ended before it was known what became of the frame.
    Interface(Error),
}

/// Why a frame was not sent, or cannot be told to have been; with the frame.
#[derive(Clone)]
pub struct InjectError {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    frame: TxFrame,
    kind: InjectErrorKind,
    given_to_chip: bool,
}

impl InjectError {
    pub(crate) fn new(frame: TxFrame, kind: InjectErrorKind) -> Self {
        Self { inner: Box::new(Inner { frame, kind, given_to_chip: false }) }
    }

    /// The same, of a frame that the chip may have sent.
    pub(crate) fn after_transfer(mut self) -> Self {
        self.inner.given_to_chip = true;
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> &InjectErrorKind {
        &self.inner.kind
    }

    /// The frame.
    pub fn frame(&self) -> &TxFrame {
        &self.inner.frame
    }

    /// Gives the frame back.
    pub fn into_frame(self) -> TxFrame {
        self.inner.frame
    }

    /// Why the frame was refused, if it was.
    pub fn refusal(&self) -> Option<Refusal> {
        match self.inner.kind {
            InjectErrorKind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the frame may have been on the air all the same: the chip had been given it.
    pub fn may_have_been_sent(&self) -> bool {
        self.inner.given_to_chip
    }

    fn sent_or_not(&self) -> &'static str {
        if self.inner.given_to_chip { "unknown whether the frame was sent" } else { "frame not sent" }
    }

    /// Whether the adapter is gone.
    pub fn is_unplugged(&self) -> bool {
        match &self.inner.kind {
            InjectErrorKind::Interface(error) => error.is_unplugged(),
            InjectErrorKind::Transfer(error) => error.is_unplugged(),
            InjectErrorKind::Refused(_) => false,
        }
    }

    /// Whether the same frame may well be sent by the same call, without anything being changed by hand.
    pub fn is_retryable(&self) -> bool {
        match &self.inner.kind {
            InjectErrorKind::Transfer(error) => !error.is_unplugged(),
            InjectErrorKind::Interface(error) => error.is_retryable(),
            InjectErrorKind::Refused(_) => false,
        }
    }

    /// What to do about it, if there is something to be done.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        match &self.inner.kind {
            InjectErrorKind::Interface(error) => error.hint(),
            InjectErrorKind::Transfer(_) => Some("try another port or cable, without a hub".into()),
            InjectErrorKind::Refused(refusal) => Some(match refusal {
                Refusal::TooWide { .. } => "tune to a channel of that width, or ask for less".into(),
                Refusal::CckAt5Ghz { .. } => "leave the rate open, or ask for 6 Mbit/s or more".into(),
                Refusal::NoChannel => "set the channel again".into(),
                Refusal::Streams { .. } => "ask for a rate with fewer streams".into(),
                _ => return None,
            }),
        }
    }
}

impl fmt::Display for InjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.kind {
            InjectErrorKind::Refused(refusal) => write!(f, "frame refused: {refusal}"),
            InjectErrorKind::Transfer(error) => write!(f, "{}: {error}", self.sent_or_not()),
            InjectErrorKind::Interface(error) => write!(f, "{}: {error}", self.sent_or_not()),
        }
    }
}

impl fmt::Debug for InjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InjectError")
            .field("kind", &self.inner.kind)
            .field("frame", &self.inner.frame)
            .field("may_have_been_sent", &self.inner.given_to_chip)
            .finish()
    }
}

impl std::error::Error for InjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.inner.kind {
            InjectErrorKind::Refused(refusal) => Some(refusal),
            InjectErrorKind::Transfer(error) => Some(error),
            InjectErrorKind::Interface(error) => Some(error),
        }
    }
}

/// What became of the frames that an interface was asked to send.
///
/// `accepted == waiting + in_flight + acknowledged + not_acknowledged + expired + sent + unknown + cut_off + refused +
/// failed` at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TxStats {
    /// Frames taken into the queue.
    pub accepted: u64,
    /// Those that are in the queue now.
    pub waiting: u64,
    /// Those that the chip was given, and of which nothing is known yet.
    pub in_flight: u64,
    /// [`Delivery::Acknowledged`].
    pub acknowledged: u64,
    /// [`Delivery::NotAcknowledged`].
    pub not_acknowledged: u64,
    /// [`Delivery::Expired`].
    pub expired: u64,
    /// [`Delivery::Sent`].
    pub sent: u64,
    /// [`Delivery::Unknown`].
    pub unknown: u64,
    /// Those that were [refused](InjectErrorKind::Refused).
    pub refused: u64,
    /// Those that the chip was given and whose transfer failed, or whose interface ended first: whether they were sent is
    /// unknown ([`InjectError::may_have_been_sent`]).
    pub cut_off: u64,
    /// Those whose interface ended before the chip was given them: they were not sent.
    pub failed: u64,
    /// Times that a frame was sent again, as reported.
    pub retries: u64,
    /// Reports of the firmware that no frame waited for.
    pub stray_reports: u64,
}

impl TxStats {
    /// Whether every frame is accounted for; always, unless there is a bug in this crate.
    pub fn is_balanced(&self) -> bool {
        self.accepted
            == self.waiting
                + self.in_flight
                + self.acknowledged
                + self.not_acknowledged
                + self.expired
                + self.sent
                + self.unknown
                + self.cut_off
                + self.refused
                + self.failed
    }

    pub(crate) fn count(&mut self, result: &Result<Outcome, InjectError>) {
        match result {
            Ok(outcome) => {
                *match outcome.delivery {
                    Delivery::Acknowledged => &mut self.acknowledged,
                    Delivery::NotAcknowledged => &mut self.not_acknowledged,
                    Delivery::Expired => &mut self.expired,
                    Delivery::Sent => &mut self.sent,
                    Delivery::Unknown(_) => &mut self.unknown,
                } += 1;
                self.retries += u64::from(outcome.retries.unwrap_or(0));
            }
            Err(error) if error.refusal().is_some() => self.refused += 1,
            Err(error) if error.may_have_been_sent() => self.cut_off += 1,
            Err(_) => self.failed += 1,
        }
    }
}

impl fmt::Display for TxStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "accepted {} = acknowledged {} + not acknowledged {} + sent {}",
            self.accepted, self.acknowledged, self.not_acknowledged, self.sent
        )?;
        for (count, word) in [
            (self.expired, "expired"),
            (self.unknown, "unknown"),
            (self.cut_off, "unknown since cut off"),
            (self.refused, "refused"),
            (self.failed, "not sent"),
            (self.waiting, "waiting"),
            (self.in_flight, "in flight"),
        ] {
            if count > 0 {
                write!(f, " + {word} {count}")?;
            }
        }
        write!(f, "; {} retries", self.retries)
    }
}
