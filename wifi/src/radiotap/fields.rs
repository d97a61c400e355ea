//! [`Fields`]: the values of a header, and [`HeaderBytes`]: a header as bytes.

use core::fmt;
use core::ops::Deref;

use super::bit;
use super::view::{Namespace, Radiotap, RadiotapError};
use crate::frame::ChainSignals;

/// The channel field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ChannelField {
    /// The middle of the primary channel in MHz.
    pub frequency_mhz: u16,
    /// See [`channel_flag`](super::channel_flag).
    pub flags: u16,
}

/// The MCS field (HT).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Mcs {
    /// Which of the others are known.
    pub known: u8,
    /// Bandwidth, guard interval, coding.
    pub flags: u8,
    /// The MCS index.
    pub mcs: u8,
}

#[allow(missing_docs, reason = "the names are those of the specification")]
impl Mcs {
    pub const KNOWN_BANDWIDTH: u8 = 0x01;
    pub const KNOWN_MCS: u8 = 0x02;
    pub const KNOWN_GUARD_INTERVAL: u8 = 0x04;
    pub const KNOWN_FORMAT: u8 = 0x08;
    pub const KNOWN_FEC: u8 = 0x10;
    pub const KNOWN_STBC: u8 = 0x20;
    pub const BANDWIDTH_20: u8 = 0x00;
    pub const BANDWIDTH_40: u8 = 0x01;
    pub const BANDWIDTH_MASK: u8 = 0x03;
    pub const SHORT_GI: u8 = 0x04;
    pub const GREENFIELD: u8 = 0x08;
    pub const LDPC: u8 = 0x10;
    pub const STBC_ONE_STREAM: u8 = 0x20;
    pub const STBC_MASK: u8 = 0x60;
}

/// The A-MPDU status field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct AmpduStatus {
    /// Equal for all frames of one A-MPDU.
    pub reference: u32,
    /// What is known of it.
    pub flags: u16,
}

impl AmpduStatus {
    /// Whether this frame is the last one is known.
    pub const LAST_KNOWN: u16 = 0x0004;
    /// This frame is the last one.
    pub const LAST: u16 = 0x0008;
}

/// The VHT field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Vht {
    /// Which of the others are known.
    pub known: u16,
    /// Guard interval, STBC, beamforming.
    pub flags: u8,
    /// 0 is 20 MHz, 1 is 40, 4 is 80, 11 is 160; others are parts of these.
    pub bandwidth: u8,
    /// Of each of four users: the MCS in the upper half, the streams in the lower.
    pub mcs_nss: [u8; 4],
    /// Bit n: user n is coded with LDPC.
    pub coding: u8,
    /// The group.
    pub group_id: u8,
    /// Part of the association identifier.
    pub partial_aid: u16,
}

#[allow(missing_docs, reason = "the names are those of the specification")]
impl Vht {
    pub const KNOWN_STBC: u16 = 0x0001;
    pub const KNOWN_GUARD_INTERVAL: u16 = 0x0004;
    pub const KNOWN_BEAMFORMED: u16 = 0x0020;
    pub const KNOWN_BANDWIDTH: u16 = 0x0040;
    pub const STBC: u8 = 0x01;
    pub const SHORT_GI: u8 = 0x04;
    pub const BEAMFORMED: u8 = 0x20;
}

/// The values of a header. What is not present is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fields {
    /// TSF at the frame's start in microseconds.
    pub tsft: Option<u64>,
    /// See [`flag`](super::flag).
    pub flags: Option<u8>,
    /// Legacy rate in units of 500 kbit/s.
    pub rate: Option<u8>,
    /// Channel.
    pub channel: Option<ChannelField>,
    /// Overall signal in dBm.
    pub signal_dbm: Option<i8>,
    /// Noise in dBm.
    pub noise_dbm: Option<i8>,
    /// Transmit power in dBm.
    pub tx_power_dbm: Option<i8>,
    /// The antenna.
    pub antenna: Option<u8>,
    /// Flags of reception.
    pub rx_flags: Option<u16>,
    /// Flags of transmission.
    pub tx_flags: Option<u16>,
    /// How often to send again.
    pub data_retries: Option<u8>,
    /// HT.
    pub mcs: Option<Mcs>,
    /// A-MPDU.
    pub ampdu: Option<AmpduStatus>,
    /// VHT.
    pub vht: Option<Vht>,
    /// The signal of each chain, from one further namespace each.
    pub chains: ChainSignals,
}

impl Fields {
    /// The values in a header. Of a field that is there twice the first is taken; fields that have no place
    /// here are skipped.
    ///
    /// # Errors
    /// [`RadiotapError`] at the first field that cannot be read.
    pub fn parse(header: &Radiotap<'_>) -> Result<Self, RadiotapError> {
        let mut fields = Self::default();
        let (mut chain_signal, mut chain_index) = (None, 0);
        for field in header.iter() {
            let field = field?;
            match field.namespace {
                Namespace::Radiotap { index: 0 } => fields.take(field.bit, field.data),
                Namespace::Radiotap { index } => {
                    if chain_index != index {
                        (chain_signal, chain_index) = (None, index);
                    }
                    match (field.bit, field.data) {
                        (bit::DBM_SIGNAL, &[signal]) => chain_signal = Some(signal as i8),
                        // The antenna comes after the signal, and says whose it is.
                        (bit::ANTENNA, &[antenna]) => {
                            if let Some(signal) = chain_signal {
                                fields.chains.set(usize::from(antenna), signal);
                            }
                        }
                        _ => {}
                    }
                }
                Namespace::Vendor { .. } | Namespace::Tlv { .. } => {}
            }
        }
        Ok(fields)
    }

    fn take(&mut self, bit: u8, data: &[u8]) {
        fn once<T>(slot: &mut Option<T>, value: T) {
            slot.get_or_insert(value);
        }
        match (bit, data) {
            (bit::TSFT, _) => {
                if let Some(&tsft) = data.first_chunk() {
                    once(&mut self.tsft, u64::from_le_bytes(tsft));
                }
            }
            (bit::FLAGS, &[flags]) => once(&mut self.flags, flags),
            (bit::RATE, &[rate]) => once(&mut self.rate, rate),
            (bit::CHANNEL, &[a, b, c, d]) => once(
                &mut self.channel,
                ChannelField { frequency_mhz: u16::from_le_bytes([a, b]), flags: u16::from_le_bytes([c, d]) },
            ),
            (bit::DBM_SIGNAL, &[dbm]) => once(&mut self.signal_dbm, dbm as i8),
            (bit::DBM_NOISE, &[dbm]) => once(&mut self.noise_dbm, dbm as i8),
            (bit::DBM_TX_POWER, &[dbm]) => once(&mut self.tx_power_dbm, dbm as i8),
            (bit::ANTENNA, &[antenna]) => once(&mut self.antenna, antenna),
            (bit::RX_FLAGS, &[a, b]) => once(&mut self.rx_flags, u16::from_le_bytes([a, b])),
            (bit::TX_FLAGS, &[a, b]) => once(&mut self.tx_flags, u16::from_le_bytes([a, b])),
            (bit::DATA_RETRIES, &[retries]) => once(&mut self.data_retries, retries),
            (bit::MCS, &[known, flags, mcs]) => once(&mut self.mcs, Mcs { known, flags, mcs }),
            (bit::AMPDU, &[a, b, c, d, e, f, _, _]) => once(
                &mut self.ampdu,
                AmpduStatus {
                    reference: u32::from_le_bytes([a, b, c, d]),
                    flags: u16::from_le_bytes([e, f]),
                },
            ),
            (bit::VHT, &[a, b, flags, bandwidth, u0, u1, u2, u3, coding, group_id, c, d]) => once(
                &mut self.vht,
                Vht {
                    known: u16::from_le_bytes([a, b]),
                    flags,
                    bandwidth,
                    mcs_nss: [u0, u1, u2, u3],
                    coding,
                    group_id,
                    partial_aid: u16::from_le_bytes([c, d]),
                },
            ),
            _ => {}
        }
    }

    /// The header that says this.
    pub fn emit(&self) -> HeaderBytes {
        let mut out = Emitter::new(self.chains.iter().count());
        if let Some(tsft) = self.tsft {
            out.field(bit::TSFT, 8, &tsft.to_le_bytes());
        }
        if let Some(flags) = self.flags {
            out.field(bit::FLAGS, 1, &[flags]);
        }
        if let Some(rate) = self.rate {
            out.field(bit::RATE, 1, &[rate]);
        }
        if let Some(channel) = self.channel {
            let ([a, b], [c, d]) = (channel.frequency_mhz.to_le_bytes(), channel.flags.to_le_bytes());
            out.field(bit::CHANNEL, 2, &[a, b, c, d]);
        }
        if let Some(dbm) = self.signal_dbm {
            out.field(bit::DBM_SIGNAL, 1, &[dbm as u8]);
        }
        if let Some(dbm) = self.noise_dbm {
            out.field(bit::DBM_NOISE, 1, &[dbm as u8]);
        }
        if let Some(dbm) = self.tx_power_dbm {
            out.field(bit::DBM_TX_POWER, 1, &[dbm as u8]);
        }
        if let Some(antenna) = self.antenna {
            out.field(bit::ANTENNA, 1, &[antenna]);
        }
        if let Some(flags) = self.rx_flags {
            out.field(bit::RX_FLAGS, 2, &flags.to_le_bytes());
        }
        if let Some(flags) = self.tx_flags {
            out.field(bit::TX_FLAGS, 2, &flags.to_le_bytes());
        }
        if let Some(retries) = self.data_retries {
            out.field(bit::DATA_RETRIES, 1, &[retries]);
        }
        if let Some(Mcs { known, flags, mcs }) = self.mcs {
            out.field(bit::MCS, 1, &[known, flags, mcs]);
        }
        if let Some(AmpduStatus { reference, flags }) = self.ampdu {
            let ([a, b, c, d], [e, f]) = (reference.to_le_bytes(), flags.to_le_bytes());
            // The delimiter's CRC is not among what is known, and the last byte is reserved.
            out.field(bit::AMPDU, 4, &[a, b, c, d, e, f, 0, 0]);
        }
        if let Some(vht) = self.vht {
            let ([a, b], [c, d]) = (vht.known.to_le_bytes(), vht.partial_aid.to_le_bytes());
            let [u0, u1, u2, u3] = vht.mcs_nss;
            let bytes = [a, b, vht.flags, vht.bandwidth, u0, u1, u2, u3, vht.coding, vht.group_id, c, d];
            out.field(bit::VHT, 2, &bytes);
        }
        for (antenna, signal) in self.chains.iter() {
            out.namespace();
            out.field(bit::DBM_SIGNAL, 1, &[signal as u8]);
            out.field(bit::ANTENNA, 1, &[antenna]);
        }
        out.finish()
    }
}

/// The longest header that [`Fields::emit`] makes: every field, and four chains.
const MAX_LEN: usize = 88;

/// A radiotap header as bytes, without an allocation. It derefs to `[u8]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeaderBytes {
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl Deref for HeaderBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for HeaderBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for HeaderBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Writes fields, which must come by rising bit within a namespace.
struct Emitter {
    header: HeaderBytes,
    /// Where the presence word of this namespace stands.
    word: usize,
}

impl Emitter {
    fn new(more_namespaces: usize) -> Self {
        let mut header = HeaderBytes { bytes: [0; MAX_LEN], len: (8 + 4 * more_namespaces) as u8 };
        for word in 0..more_namespaces {
            // Bits 29 and 31 of every word but the last.
            header.bytes[4 + 4 * word + 3] = 0xa0;
        }
        Self { header, word: 4 }
    }

    fn field(&mut self, bit: u8, align: usize, data: &[u8]) {
        let start = usize::from(self.header.len).next_multiple_of(align);
        let end = start + data.len();
        self.header.bytes[start..end].copy_from_slice(data);
        self.header.bytes[self.word + usize::from(bit / 8)] |= 1 << (bit % 8);
        self.header.len = end as u8;
    }

    fn namespace(&mut self) {
        self.word += 4;
    }

    fn finish(mut self) -> HeaderBytes {
        self.header.bytes[2] = self.header.len;
        self.header
    }
}
