//! Radiotap: the header that says how a frame was received, or is to be sent.
//!
//! [`Radiotap`] is a view that walks the fields of any header, whoever wrote it: extended presence words,
//! several radiotap namespaces, vendor namespaces, TLVs. [`Fields`] holds the values of those that matter here,
//! parsed from a view, or emitted into [`HeaderBytes`]. Headers come from capture files and are hostile:
//! parsing never panics and looks at no byte outside of the header.
//!
//! Where the header of a received frame differs from the one that Linux writes for the same chip (rtw88
//! `rtw_rx_fill_rx_status`, mac80211 `ieee80211_add_rx_radiotap_header`):
//!
//! | field | Linux | here | why |
//! |---|---|---|---|
//! | TSFT | lower 32 bits | 64 bits | unwrapped |
//! | RX flags | always 0 | absent | the chip reports no PLCP check |
//! | antenna of a frame without a PHY status | 0 | absent | nobody knows |
//! | signal of chain B of a CCK frame | 0 dBm | absent | CCK is received on chain A alone |
//! | guard interval, LDPC, STBC (HT, VHT) | long, none, none | as the descriptor says | rtw88 does not read these bits |
//! | A-MPDU status | absent | reference number | rtw88 does not read these bits |
//! | rate of a CCK frame at 5 GHz | 6 Mbit/s | as the descriptor says | an index without a meaning there |
//!
//! Neighbours: [`frame`](crate::frame) has [`Frame::radiotap`](crate::Frame::radiotap),
//! [`pcapng`](crate::pcapng) writes it before each frame.
//!
//! Source: <https://www.radiotap.org> (fields, alignment, namespaces).

mod fields;
mod view;

pub use fields::{AmpduStatus, ChannelField, Fields, HeaderBytes, Mcs, Vht};
pub use view::{Field, Iter, Namespace, Radiotap, RadiotapError};

use crate::channel::{Band, Width};
use crate::frame::{Fcs, Meta, Modulation, Rate};

/// Numbers of the fields: bits of the presence words.
pub mod bit {
    /// TSF timer in microseconds, 64 bits.
    pub const TSFT: u8 = 0;
    /// See [`flag`](super::flag).
    pub const FLAGS: u8 = 1;
    /// Legacy rate in units of 500 kbit/s.
    pub const RATE: u8 = 2;
    /// Frequency in MHz, and flags.
    pub const CHANNEL: u8 = 3;
    /// Frequency hopping.
    pub const FHSS: u8 = 4;
    /// Signal in dBm.
    pub const DBM_SIGNAL: u8 = 5;
    /// Noise in dBm.
    pub const DBM_NOISE: u8 = 6;
    /// How far below the most the transmit power is, without a unit.
    pub const TX_ATTENUATION: u8 = 8;
    /// The same in dB.
    pub const DB_TX_ATTENUATION: u8 = 9;
    /// Transmit power in dBm.
    pub const DBM_TX_POWER: u8 = 10;
    /// The antenna's number.
    pub const ANTENNA: u8 = 11;
    /// Flags of reception.
    pub const RX_FLAGS: u8 = 14;
    /// Flags of transmission.
    pub const TX_FLAGS: u8 = 15;
    /// Retries of RTS.
    pub const RTS_RETRIES: u8 = 16;
    /// Retries of data.
    pub const DATA_RETRIES: u8 = 17;
    /// HT: what is known, flags, MCS.
    pub const MCS: u8 = 19;
    /// A-MPDU: reference and flags.
    pub const AMPDU: u8 = 20;
    /// VHT.
    pub const VHT: u8 = 21;
    /// HE (802.11ax).
    pub const HE: u8 = 23;
    /// HE for several users.
    pub const HE_MU: u8 = 24;
    /// HE for another of them.
    pub const HE_MU_OTHER_USER: u8 = 25;
    /// Type-length-value fields follow.
    pub const TLV: u8 = 28;
    /// The next word is of the radiotap namespace, from its bit 0.
    pub const RADIOTAP_NAMESPACE: u8 = 29;
    /// The next word is of a vendor's namespace.
    pub const VENDOR_NAMESPACE: u8 = 30;
    /// Another presence word follows.
    pub const EXTENDED: u8 = 31;
}

/// Bits of the flags field.
pub mod flag {
    /// Short preamble.
    pub const SHORT_PREAMBLE: u8 = 0x02;
    /// Encrypted with WEP; to be sent: to be encrypted.
    pub const WEP: u8 = 0x04;
    /// Sent in fragments; to be sent: to be fragmented.
    pub const FRAGMENT: u8 = 0x08;
    /// The frame ends with its check sequence.
    pub const FCS: u8 = 0x10;
    /// The header is padded to 32 bits.
    pub const DATA_PAD: u8 = 0x20;
    /// The check sequence is wrong.
    pub const BAD_FCS: u8 = 0x40;
}

/// Bits of the TX flags field.
pub mod tx_flag {
    /// Send a CTS to oneself first.
    pub const CTS: u16 = 0x0002;
    /// Send an RTS first.
    pub const RTS: u16 = 0x0004;
    /// Do not wait for an acknowledgement.
    pub const NO_ACK: u16 = 0x0008;
    /// Leave the sequence number in the header as it is.
    pub const NO_SEQUENCE: u16 = 0x0010;
    /// Do not reorder with others that have this flag.
    pub const ORDER: u16 = 0x0020;
}

/// Flags of the channel field.
pub mod channel_flag {
    /// CCK.
    pub const CCK: u16 = 0x0020;
    /// OFDM.
    pub const OFDM: u16 = 0x0040;
    /// 2.4 GHz band.
    pub const GHZ2: u16 = 0x0080;
    /// 5 GHz band.
    pub const GHZ5: u16 = 0x0100;
    /// CCK and OFDM mixed.
    pub const DYNAMIC: u16 = 0x0400;
}

/// The header of a received frame: what the chip told, and nothing that it did not.
///
/// The choice of channel flags and of one namespace a chain follows Linux's (`net/mac80211/rx.c`), so that
/// tools see what they are used to.
pub(crate) fn of_received(meta: &Meta) -> HeaderBytes {
    let mut fields = Fields {
        tsft: meta.tsf,
        flags: Some(match meta.fcs {
            Fcs::Good => flag::FCS,
            Fcs::Bad => flag::FCS | flag::BAD_FCS,
            Fcs::Absent => 0,
        }),
        channel: meta.channel.map(|channel| ChannelField {
            frequency_mhz: channel.frequency_mhz(),
            flags: match (channel.band(), meta.rate()) {
                (Band::Ghz5, _) => channel_flag::OFDM | channel_flag::GHZ5,
                (Band::Ghz2, Some(Rate::Legacy(rate))) if rate.is_cck() => {
                    channel_flag::CCK | channel_flag::GHZ2
                }
                (Band::Ghz2, Some(Rate::Legacy(_))) => channel_flag::OFDM | channel_flag::GHZ2,
                (Band::Ghz2, Some(_)) => channel_flag::DYNAMIC | channel_flag::GHZ2,
                (Band::Ghz2, None) => channel_flag::GHZ2,
            },
        }),
        signal_dbm: meta.signal_dbm,
        ampdu: meta.ampdu.map(|ampdu| AmpduStatus {
            reference: ampdu.reference,
            flags: match ampdu.last {
                None => 0,
                Some(false) => AmpduStatus::LAST_KNOWN,
                Some(true) => AmpduStatus::LAST_KNOWN | AmpduStatus::LAST,
            },
        }),
        chains: meta.chains,
        ..Fields::default()
    };
    if let Some(modulation) = meta.modulation {
        match modulation.rate {
            Rate::Legacy(rate) => fields.rate = Some(rate.half_mbps()),
            Rate::Ht { mcs } => fields.mcs = Some(ht(mcs, &modulation)),
            Rate::Vht { mcs, nss } => fields.vht = Some(vht(mcs, nss, &modulation)),
        }
    }
    fields.emit()
}

fn ht(mcs: u8, modulation: &Modulation) -> Mcs {
    let mut field = Mcs { known: Mcs::KNOWN_MCS, flags: 0, mcs };
    if let Some(width) = modulation.bandwidth {
        field.known |= Mcs::KNOWN_BANDWIDTH;
        field.flags |= if width == Width::Mhz20 { Mcs::BANDWIDTH_20 } else { Mcs::BANDWIDTH_40 };
    }
    for (value, known, flag) in [
        (modulation.short_gi, Mcs::KNOWN_GUARD_INTERVAL, Mcs::SHORT_GI),
        (modulation.ldpc, Mcs::KNOWN_FEC, Mcs::LDPC),
        // How many streams are coded so: with two chains it cannot be more than one.
        (modulation.stbc, Mcs::KNOWN_STBC, Mcs::STBC_ONE_STREAM),
    ] {
        if let Some(value) = value {
            field.known |= known;
            field.flags |= if value { flag } else { 0 };
        }
    }
    field
}

fn vht(mcs: u8, nss: u8, modulation: &Modulation) -> Vht {
    let mut field = Vht { mcs_nss: [mcs << 4 | nss & 15, 0, 0, 0], ..Vht::default() };
    if let Some(width) = modulation.bandwidth {
        field.known |= Vht::KNOWN_BANDWIDTH;
        field.bandwidth = match width {
            Width::Mhz20 => 0,
            Width::Mhz40 => 1,
            Width::Mhz80 => 4,
        };
    }
    for (value, known, flag) in [
        (modulation.stbc, Vht::KNOWN_STBC, Vht::STBC),
        (modulation.short_gi, Vht::KNOWN_GUARD_INTERVAL, Vht::SHORT_GI),
    ] {
        if let Some(value) = value {
            field.known |= known;
            field.flags |= if value { flag } else { 0 };
        }
    }
    field.coding = u8::from(modulation.ldpc == Some(true));
    field
}

#[cfg(test)]
mod tests;
