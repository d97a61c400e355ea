//! [`FrameControl`], the first two bytes of every frame, and the [`Subtype`] in it.
//!
//! Source: IEEE 802.11-2020, 9.2.4.1 and table 9-1.

use core::fmt;

/// The kind of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum FrameType {
    /// Management: beacons, probes, authentication, ...
    Management,
    /// Control: acknowledgements, RTS, CTS, ...
    Control,
    /// Data.
    Data,
    /// Extension: DMG beacons, S1G.
    Extension,
}

impl FrameType {
    /// One lower-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Control => "control",
            Self::Data => "data",
            Self::Extension => "extension",
        }
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

macro_rules! subtypes {
    ($($(#[$doc:meta])* $variant:ident = ($kind:ident, $bits:literal, $name:literal);)*) => {
        /// Type and subtype of a frame in one.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum Subtype {
            $($(#[$doc])* $variant,)*
            /// A value that the standard reserves, or that belongs to a band of its own.
            Reserved {
                /// The type.
                kind: FrameType,
                /// The four bits of the subtype.
                bits: u8,
            },
        }

        impl Subtype {
            /// Every subtype that has a name.
            pub const NAMED: &'static [Self] = &[$(Self::$variant,)*];

            /// The subtype of a type and the four bits beside it.
            pub const fn from_bits(kind: FrameType, bits: u8) -> Self {
                match (kind, bits & 15) {
                    $((FrameType::$kind, $bits) => Self::$variant,)*
                    (kind, bits) => Self::Reserved { kind, bits },
                }
            }

            /// The type and the four bits of the subtype.
            pub const fn to_bits(self) -> (FrameType, u8) {
                match self {
                    $(Self::$variant => (FrameType::$kind, $bits),)*
                    Self::Reserved { kind, bits } => (kind, bits & 15),
                }
            }

            /// A lower-case name without spaces: `beacon`, `qos-data`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Reserved { .. } => "reserved",
                }
            }

            /// The subtype of a name as [`Subtype::name`] gives it.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::NAMED.iter().copied().find(|subtype| subtype.name() == name)
            }
        }
    };
}

subtypes! {
    /// Association request.
    AssocReq = (Management, 0, "assoc-req");
    /// Association response.
    AssocResp = (Management, 1, "assoc-resp");
    /// Reassociation request.
    ReassocReq = (Management, 2, "reassoc-req");
    /// Reassociation response.
    ReassocResp = (Management, 3, "reassoc-resp");
    /// Probe request.
    ProbeReq = (Management, 4, "probe-req");
    /// Probe response.
    ProbeResp = (Management, 5, "probe-resp");
    /// Timing advertisement.
    TimingAdvert = (Management, 6, "timing-advert");
    /// Beacon.
    Beacon = (Management, 8, "beacon");
    /// ATIM.
    Atim = (Management, 9, "atim");
    /// Disassociation.
    Disassoc = (Management, 10, "disassoc");
    /// Authentication.
    Auth = (Management, 11, "auth");
    /// Deauthentication.
    Deauth = (Management, 12, "deauth");
    /// Action.
    Action = (Management, 13, "action");
    /// Action without acknowledgement.
    ActionNoAck = (Management, 14, "action-no-ack");
    /// Trigger.
    Trigger = (Control, 2, "trigger");
    /// TACK.
    Tack = (Control, 3, "tack");
    /// Beamforming report poll.
    BeamformingPoll = (Control, 4, "bf-report-poll");
    /// VHT or HE NDP announcement.
    NdpAnnouncement = (Control, 5, "ndp-announcement");
    /// Control frame extension.
    ControlExtension = (Control, 6, "ctrl-extension");
    /// Control wrapper.
    ControlWrapper = (Control, 7, "ctrl-wrapper");
    /// Block acknowledgement request.
    BlockAckReq = (Control, 8, "block-ack-req");
    /// Block acknowledgement.
    BlockAck = (Control, 9, "block-ack");
    /// PS-Poll.
    PsPoll = (Control, 10, "ps-poll");
    /// Request to send.
    Rts = (Control, 11, "rts");
    /// Clear to send.
    Cts = (Control, 12, "cts");
    /// Acknowledgement.
    Ack = (Control, 13, "ack");
    /// End of the contention-free period.
    CfEnd = (Control, 14, "cf-end");
    /// End of the contention-free period, with an acknowledgement.
    CfEndAck = (Control, 15, "cf-end-ack");
    /// Data.
    Data = (Data, 0, "data");
    /// Data + CF-Ack.
    DataCfAck = (Data, 1, "data-cf-ack");
    /// Data + CF-Poll.
    DataCfPoll = (Data, 2, "data-cf-poll");
    /// Data + CF-Ack + CF-Poll.
    DataCfAckPoll = (Data, 3, "data-cf-ack-poll");
    /// Null: no data, only the header.
    Null = (Data, 4, "null");
    /// CF-Ack without data.
    CfAck = (Data, 5, "cf-ack");
    /// CF-Poll without data.
    CfPoll = (Data, 6, "cf-poll");
    /// CF-Ack + CF-Poll without data.
    CfAckPoll = (Data, 7, "cf-ack-poll");
    /// QoS data.
    QosData = (Data, 8, "qos-data");
    /// QoS data + CF-Ack.
    QosDataCfAck = (Data, 9, "qos-data-cf-ack");
    /// QoS data + CF-Poll.
    QosDataCfPoll = (Data, 10, "qos-data-cf-poll");
    /// QoS data + CF-Ack + CF-Poll.
    QosDataCfAckPoll = (Data, 11, "qos-data-cf-ack-poll");
    /// QoS null.
    QosNull = (Data, 12, "qos-null");
    /// QoS CF-Poll without data.
    QosCfPoll = (Data, 14, "qos-cf-poll");
    /// QoS CF-Ack + CF-Poll without data.
    QosCfAckPoll = (Data, 15, "qos-cf-ack-poll");
}

impl Subtype {
    /// The type that it belongs to.
    pub const fn kind(self) -> FrameType {
        self.to_bits().0
    }
}

impl fmt::Display for Subtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The frame control field: the first two bytes of a frame, least significant byte first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FrameControl(pub u16);

impl FrameControl {
    /// A frame control of `subtype` with all flags clear.
    pub const fn new(subtype: Subtype) -> Self {
        let (kind, bits) = subtype.to_bits();
        let kind = match kind {
            FrameType::Management => 0,
            FrameType::Control => 1,
            FrameType::Data => 2,
            FrameType::Extension => 3,
        };
        Self(kind << 2 | (bits as u16) << 4)
    }

    /// The protocol version; only 0 has the header that this module knows.
    pub const fn version(self) -> u8 {
        (self.0 & 3) as u8
    }

    /// The type.
    pub const fn kind(self) -> FrameType {
        match self.0 >> 2 & 3 {
            0 => FrameType::Management,
            1 => FrameType::Control,
            2 => FrameType::Data,
            _ => FrameType::Extension,
        }
    }

    /// The type and subtype.
    pub const fn subtype(self) -> Subtype {
        Subtype::from_bits(self.kind(), (self.0 >> 4 & 15) as u8)
    }

    /// To the distribution system: towards an access point.
    pub const fn to_ds(self) -> bool {
        self.0 & 0x0100 != 0
    }

    /// From the distribution system: from an access point.
    pub const fn from_ds(self) -> bool {
        self.0 & 0x0200 != 0
    }

    /// More fragments of the same MSDU follow.
    pub const fn more_fragments(self) -> bool {
        self.0 & 0x0400 != 0
    }

    /// Sent before already.
    pub const fn retry(self) -> bool {
        self.0 & 0x0800 != 0
    }

    /// The sender goes to sleep afterwards.
    pub const fn power_management(self) -> bool {
        self.0 & 0x1000 != 0
    }

    /// More frames are buffered for the receiver.
    pub const fn more_data(self) -> bool {
        self.0 & 0x2000 != 0
    }

    /// The body is encrypted.
    pub const fn protected(self) -> bool {
        self.0 & 0x4000 != 0
    }

    /// An HT control field is present (QoS data and management), or strictly ordered service.
    pub const fn htc_order(self) -> bool {
        self.0 & 0x8000 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subtype_round_trips_through_its_bits_and_its_name() {
        for &subtype in Subtype::NAMED {
            let (kind, bits) = subtype.to_bits();
            assert_eq!(Subtype::from_bits(kind, bits), subtype);
            assert_eq!(Subtype::from_name(subtype.name()), Some(subtype));
            assert_eq!(FrameControl::new(subtype).subtype(), subtype);
        }
        for value in 0..=u16::MAX {
            let control = FrameControl(value);
            assert_eq!(FrameControl::new(control.subtype()).0, value & 0x00fc);
        }
    }

    #[test]
    fn flags_stand_where_the_standard_puts_them() {
        // A protected QoS data frame to an access point, sent again: 0x88 0x49 on the air.
        let control = FrameControl(u16::from_le_bytes([0x88, 0x49]));
        assert_eq!(control.subtype(), Subtype::QosData);
        assert!(control.to_ds() && !control.from_ds() && control.retry() && control.protected());
        assert!(!control.more_fragments() && !control.htc_order() && !control.more_data());
        assert_eq!(control.version(), 0);
    }
}
