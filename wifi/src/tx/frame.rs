//! [`TxFrame`]: a frame to be sent, and how.
//!
//! Made from bytes, from a received [`Frame`], or from a packet of a capture file with its radiotap header
//! ([`TxFrame::from_radiotap`]). What is asked for and cannot be done is either refused before anything is sent
//! ([`Refusal`](super::Refusal)) or told with the outcome ([`Unhonoured`]); never passed over.

use core::fmt;

use bytes::Bytes;

use super::{InjectError, InjectErrorKind, Refusal, Unhonoured};
use crate::channel::Width;
use crate::frame::{Fcs, Frame, LegacyRate, Modulation, Rate};
use crate::ieee80211::FCS_LEN;
use crate::radiotap::{self, Mcs, Radiotap, Vht, bit, flag, tx_flag};

/// A frame to be sent: an MPDU without its check sequence, and how to send it.
///
/// What is not set is left to the driver: the lowest rate of the band (1 or 6 Mbit/s), as many retries as the MAC is set
/// up for, a sequence number from the chip. Cloning copies no bytes.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a frame goes nowhere until it is injected"]
pub struct TxFrame {
    bytes: Bytes,
    pub(crate) modulation: Option<Modulation>,
    pub(crate) retries: Option<u8>,
    pub(crate) no_ack: bool,
    pub(crate) keep_sequence: bool,
    pub(crate) report: bool,
    pub(crate) unhonoured: Unhonoured,
}

impl TxFrame {
    /// The frame whose MPDU is `bytes`: from the frame control on, without check sequence.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            modulation: None,
            retries: None,
            no_ack: false,
            keep_sequence: false,
            report: true,
            unhonoured: Unhonoured::empty(),
        }
    }

    /// The frame of a packet that begins with a radiotap header, as capture files of link type 127 hold them.
    ///
    /// Taken from the header: rate, MCS or VHT (VHT before MCS before rate), data retries, of the TX flags "no
    /// acknowledgement" and "no sequence number", of the flags whether a check sequence stands at the end (it is cut
    /// off). What describes a reception (TSFT, channel, signal, noise, A-MPDU status and the like) asks for nothing.
    /// Every other field that is there asks for what the driver cannot do, and is told by
    /// [`unhonoured`](Self::unhonoured) and with the outcome.
    ///
    /// # Errors
    /// The header cannot be read, or asks for a rate that 802.11n and 802.11ac do not have. The error gives the packet
    /// back as [`InjectError::frame`]'s bytes.
    pub fn from_radiotap(packet: impl Into<Bytes>) -> Result<Self, InjectError> {
        let packet = packet.into();
        match Wishes::read(&packet) {
            Ok((header, wishes)) => {
                let end = packet.len() - if wishes.has_fcs { FCS_LEN } else { 0 };
                Ok(Self {
                    modulation: wishes.modulation,
                    retries: wishes.retries,
                    no_ack: wishes.tx_flags & tx_flag::NO_ACK != 0,
                    keep_sequence: wishes.tx_flags & tx_flag::NO_SEQUENCE != 0,
                    unhonoured: wishes.unhonoured,
                    ..Self::new(packet.slice(header..end))
                })
            }
            Err(refusal) => Err(InjectError::new(Self::new(packet), InjectErrorKind::Refused(refusal))),
        }
    }

    /// At this rate and no other: a [`Rate`], or a [`Modulation`] with bandwidth, guard interval and coding. What that
    /// leaves open is 20 MHz, a long guard interval, the convolutional code, no space-time coding.
    pub fn rate(mut self, modulation: impl Into<Modulation>) -> Self {
        self.modulation = Some(modulation.into());
        self
    }

    /// Sent again at most so often when no answer comes. The chip counts to 63.
    pub fn retries(mut self, most: u8) -> Self {
        self.retries = Some(most);
        self
    }

    /// Sent once, whether or not an answer comes.
    pub fn no_ack(mut self) -> Self {
        self.no_ack = true;
        self
    }

    /// With the sequence number that stands in its header, where the chip would write its own.
    pub fn keep_sequence(mut self) -> Self {
        self.keep_sequence = true;
        self
    }

    /// Whether the firmware is asked what became of the frame. It is unless told otherwise; without, the outcome is
    /// [`Unknown::NotAsked`](super::Unknown::NotAsked), and each frame costs the chip less.
    pub fn report(mut self, wanted: bool) -> Self {
        self.report = wanted;
        self
    }

    /// The MPDU.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The rate that was asked for, if any was.
    pub fn modulation(&self) -> Option<Modulation> {
        self.modulation
    }

    /// What its radiotap header asked for that this driver cannot do. The outcome may name more.
    pub fn unhonoured(&self) -> Unhonoured {
        self.unhonoured
    }
}

impl From<Bytes> for TxFrame {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes)
    }
}

impl From<Vec<u8>> for TxFrame {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl From<&Frame> for TxFrame {
    /// A received frame, to be sent again at the rate at which it came; its check sequence is left out.
    fn from(frame: &Frame) -> Self {
        let end = match frame.fcs() {
            Fcs::Absent => frame.bytes().len(),
            Fcs::Good | Fcs::Bad => frame.bytes().len().saturating_sub(FCS_LEN),
        };
        Self { modulation: frame.meta().modulation, ..Self::new(frame.bytes().slice(..end)) }
    }
}

impl From<Frame> for TxFrame {
    fn from(frame: Frame) -> Self {
        Self::from(&frame)
    }
}

impl fmt::Debug for TxFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxFrame")
            .field("len", &self.bytes.len())
            .field("modulation", &self.modulation)
            .field("retries", &self.retries)
            .field("no_ack", &self.no_ack)
            .field("keep_sequence", &self.keep_sequence)
            .field("report", &self.report)
            .field("unhonoured", &self.unhonoured)
            .finish()
    }
}

/// What a radiotap header asks for.
#[derive(Default)]
struct Wishes {
    modulation: Option<Modulation>,
    retries: Option<u8>,
    tx_flags: u16,
    has_fcs: bool,
    unhonoured: Unhonoured,
}

impl Wishes {
    /// Reads them, and tells how long the header is.
    fn read(packet: &[u8]) -> Result<(usize, Self), Refusal> {
        let header = Radiotap::new(packet)?;
        let mut wishes = Self::default();
        // Also walks every field, so that a header with one that cannot be read is refused.
        for field in header.iter() {
            let field = field?;
            wishes.unhonoured |= match field.namespace {
                radiotap::Namespace::Radiotap { .. } => cannot_do(field.bit),
                radiotap::Namespace::Vendor { .. } | radiotap::Namespace::Tlv { .. } => Unhonoured::VENDOR,
            };
        }
        let fields = radiotap::Fields::parse(&header)?;
        let flags = fields.flags.unwrap_or(0);
        if flags & flag::DATA_PAD != 0 {
            return Err(Refusal::Padded);
        }
        wishes.has_fcs = flags & flag::FCS != 0;
        for (bit, wish) in [
            (flag::SHORT_PREAMBLE, Unhonoured::SHORT_PREAMBLE),
            (flag::WEP, Unhonoured::ENCRYPTION),
            (flag::FRAGMENT, Unhonoured::FRAGMENTATION),
        ] {
            if flags & bit != 0 {
                wishes.unhonoured |= wish;
            }
        }
        wishes.tx_flags = fields.tx_flags.unwrap_or(0);
        for (bit, wish) in [
            (tx_flag::CTS, Unhonoured::CTS_TO_SELF),
            (tx_flag::RTS, Unhonoured::RTS),
            (tx_flag::ORDER, Unhonoured::ORDER),
        ] {
            if wishes.tx_flags & bit != 0 {
                wishes.unhonoured |= wish;
            }
        }
        wishes.retries = fields.data_retries;
        wishes.modulation = if let Some(field) = fields.vht {
            Some(wishes.vht(field)?)
        } else if let Some(field) = fields.mcs {
            wishes.ht(field)?
        } else if let Some(half_mbps) = fields.rate.filter(|&rate| rate != 0) {
            let rate = LegacyRate::from_half_mbps(half_mbps).ok_or(Refusal::LegacyRate { half_mbps })?;
            Some(Rate::Legacy(rate).into())
        } else {
            None
        };
        let fcs = if wishes.has_fcs { FCS_LEN } else { 0 };
        let body = packet.len() - header.len();
        if body < fcs {
            let what = "frame check sequence";
            return Err(crate::ieee80211::Malformed::Short { what, need: fcs, have: body }.into());
        }
        Ok((header.len(), wishes))
    }

    fn ht(&mut self, field: Mcs) -> Result<Option<Modulation>, Refusal> {
        if field.known & Mcs::KNOWN_MCS == 0 {
            return Ok(None);
        }
        let known = |bit, flags: u8| field.known & bit != 0 && field.flags & flags != 0;
        if field.mcs > 31 {
            return Err(Refusal::Mcs { mcs: field.mcs });
        }
        if known(Mcs::KNOWN_FORMAT, Mcs::GREENFIELD) {
            self.unhonoured |= Unhonoured::GREENFIELD;
        }
        let bandwidth =
            if field.known & Mcs::KNOWN_BANDWIDTH == 0 { 0 } else { field.flags & Mcs::BANDWIDTH_MASK };
        Ok(Some(Modulation {
            rate: Rate::Ht { mcs: field.mcs },
            // 2 and 3 are the lower and the upper half of 40 MHz: the primary is the one that the radio is tuned to.
            bandwidth: Some(if bandwidth == Mcs::BANDWIDTH_40 { Width::Mhz40 } else { Width::Mhz20 }),
            short_gi: Some(known(Mcs::KNOWN_GUARD_INTERVAL, Mcs::SHORT_GI)),
            ldpc: Some(known(Mcs::KNOWN_FEC, Mcs::LDPC)),
            stbc: Some(known(Mcs::KNOWN_STBC, Mcs::STBC_MASK)),
        }))
    }

    fn vht(&mut self, field: Vht) -> Result<Modulation, Refusal> {
        let [user, others @ ..] = field.mcs_nss;
        let (mcs, nss) = (user >> 4, user & 15);
        if mcs > 9 || !(1..=4).contains(&nss) || others.iter().any(|other| other & 15 != 0) {
            return Err(Refusal::Vht { mcs, nss });
        }
        let known = |bit, flags: u8| field.known & bit != 0 && field.flags & flags != 0;
        let bandwidth = if field.known & Vht::KNOWN_BANDWIDTH == 0 { 0 } else { field.bandwidth };
        if known(Vht::KNOWN_BEAMFORMED, Vht::BEAMFORMED) {
            self.unhonoured |= Unhonoured::BEAMFORMING;
        }
        Ok(Modulation {
            rate: Rate::Vht { mcs, nss },
            bandwidth: Some(match bandwidth {
                0 => Width::Mhz20,
                1 => Width::Mhz40,
                4 => Width::Mhz80,
                code => return Err(Refusal::VhtBandwidth { code }),
            }),
            short_gi: Some(known(Vht::KNOWN_GUARD_INTERVAL, Vht::SHORT_GI)),
            // Known without a bit that says so.
            ldpc: Some(field.coding & 1 != 0),
            stbc: Some(known(Vht::KNOWN_STBC, Vht::STBC)),
        })
    }
}

/// What a field asks for that cannot be done; nothing for those that are honoured or describe a reception.
fn cannot_do(field: u8) -> Unhonoured {
    match field {
        bit::TX_ATTENUATION | bit::DB_TX_ATTENUATION | bit::DBM_TX_POWER => Unhonoured::TX_POWER,
        bit::RTS_RETRIES => Unhonoured::RTS_RETRIES,
        bit::HE | bit::HE_MU | bit::HE_MU_OTHER_USER => Unhonoured::HE,
        bit::FHSS => Unhonoured::FHSS,
        _ => Unhonoured::empty(),
    }
}

#[cfg(test)]
mod tests;
