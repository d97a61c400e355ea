//! [`Management`]: the bodies of management frames.
//!
//! Source: IEEE 802.11-2020, 9.3.3 (bodies) and 9.4.1 (fixed fields).

use super::{Elements, FrameType, Header, MacAddr, Malformed, Subtype, le16, need};

/// The body of a management frame.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Management<'a> {
    /// A beacon or a probe response.
    Beacon(Beacon<'a>),
    /// A probe request.
    ProbeRequest {
        /// Its elements; the SSID is empty if it asks for any network.
        elements: Elements<'a>,
    },
    /// An association or reassociation request.
    AssociationRequest {
        /// Capabilities.
        capabilities: u16,
        /// How many beacon intervals it may sleep.
        listen_interval: u16,
        /// The access point that it comes from, of a reassociation.
        current_ap: Option<MacAddr>,
        /// Its elements.
        elements: Elements<'a>,
    },
    /// An association or reassociation response.
    AssociationResponse {
        /// Capabilities.
        capabilities: u16,
        /// 0 is success (table 9-50).
        status: u16,
        /// The association identifier.
        aid: u16,
        /// Its elements.
        elements: Elements<'a>,
    },
    /// Authentication.
    Authentication {
        /// 0 is open, 1 shared key, 3 SAE.
        algorithm: u16,
        /// The step of the exchange.
        transaction: u16,
        /// 0 is success (table 9-50).
        status: u16,
        /// What comes after.
        rest: &'a [u8],
    },
    /// Deauthentication or disassociation.
    Leave {
        /// Why (table 9-49).
        reason: u16,
    },
    /// An action frame.
    Action {
        /// The category (table 9-51).
        category: u8,
        /// What comes after the category.
        rest: &'a [u8],
    },
    /// A body that is encrypted, or of a kind without a view here.
    Other(&'a [u8]),
}

impl<'a> Management<'a> {
    /// The body of the management frame with this header.
    ///
    /// # Errors
    /// [`Malformed`] if it is no management frame, or the body ends within its fixed part. Elements are
    /// checked when they are iterated.
    pub fn new(header: &Header<'a>) -> Result<Self, Malformed> {
        let control = header.frame_control();
        if control.kind() != FrameType::Management {
            let got = u32::from(control.0 >> 2 & 3);
            return Err(Malformed::Value { what: "frame type", expected: "0 (management)", got });
        }
        let body = header.body();
        if control.protected() && control.subtype() != Subtype::Auth {
            return Ok(Self::Other(body));
        }
        Ok(match control.subtype() {
            Subtype::Beacon | Subtype::ProbeResp => Self::Beacon(Beacon::new(body)?),
            Subtype::ProbeReq => Self::ProbeRequest { elements: Elements::new(body) },
            Subtype::AssocReq => {
                need(body, "association request", 4)?;
                Self::AssociationRequest {
                    capabilities: le16(body, 0),
                    listen_interval: le16(body, 2),
                    current_ap: None,
                    elements: Elements::new(&body[4..]),
                }
            }
            Subtype::ReassocReq => {
                need(body, "reassociation request", 10)?;
                Self::AssociationRequest {
                    capabilities: le16(body, 0),
                    listen_interval: le16(body, 2),
                    current_ap: Some(MacAddr::at(body, 4)),
                    elements: Elements::new(&body[10..]),
                }
            }
            Subtype::AssocResp | Subtype::ReassocResp => {
                need(body, "association response", 6)?;
                Self::AssociationResponse {
                    capabilities: le16(body, 0),
                    status: le16(body, 2),
                    aid: le16(body, 4) & 0x3fff,
                    elements: Elements::new(&body[6..]),
                }
            }
            Subtype::Auth if !control.protected() => {
                need(body, "authentication", 6)?;
                Self::Authentication {
                    algorithm: le16(body, 0),
                    transaction: le16(body, 2),
                    status: le16(body, 4),
                    rest: &body[6..],
                }
            }
            Subtype::Deauth | Subtype::Disassoc => {
                need(body, "reason code", 2)?;
                Self::Leave { reason: le16(body, 0) }
            }
            Subtype::Action | Subtype::ActionNoAck => {
                let (&category, rest) = body.split_first().ok_or(Malformed::Short {
                    what: "action category",
                    need: 1,
                    have: 0,
                })?;
                Self::Action { category, rest }
            }
            _ => Self::Other(body),
        })
    }

    /// The elements of a body that has some.
    pub fn elements(&self) -> Option<Elements<'a>> {
        match self {
            Self::Beacon(beacon) => Some(beacon.elements()),
            Self::ProbeRequest { elements }
            | Self::AssociationRequest { elements, .. }
            | Self::AssociationResponse { elements, .. } => Some(elements.clone()),
            _ => None,
        }
    }
}

/// The body of a beacon or a probe response (9.3.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beacon<'a>(&'a [u8]);

impl<'a> Beacon<'a> {
    /// The view of a body.
    ///
    /// # Errors
    /// [`Malformed`] if it is shorter than time stamp, interval and capabilities.
    pub fn new(body: &'a [u8]) -> Result<Self, Malformed> {
        need(body, "beacon body", 12)?;
        Ok(Self(body))
    }

    /// The access point's TSF in microseconds.
    pub fn timestamp(&self) -> u64 {
        self.0.first_chunk().map_or(0, |&bytes| u64::from_le_bytes(bytes))
    }

    /// From one beacon to the next, in time units of 1,024 microseconds.
    pub fn interval_tu(&self) -> u16 {
        le16(self.0, 8)
    }

    /// The capabilities (9.4.1.4).
    pub fn capabilities(&self) -> u16 {
        le16(self.0, 10)
    }

    /// Whether data must be encrypted.
    pub fn privacy(&self) -> bool {
        self.capabilities() & 0x0010 != 0
    }

    /// The elements.
    pub fn elements(&self) -> Elements<'a> {
        Elements::new(&self.0[12..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn management(control: [u8; 2], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![control[0], control[1], 0, 0];
        bytes.extend([0xff; 6]);
        bytes.extend([2, 0, 0, 0, 0, 0xa].repeat(2));
        bytes.extend([0, 0]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_beacon_tells_its_clock_its_interval_and_its_name() {
        let body = [1, 0, 0, 0, 0, 0, 0, 0x80, 0x64, 0, 0x11, 0x04, 0, 6, b'c', b'o', b'f', b'f', b'e', b'e'];
        let bytes = management([0x80, 0], &body);
        let Management::Beacon(beacon) = Management::new(&Header::new(&bytes).unwrap()).unwrap() else {
            panic!("no beacon")
        };
        assert_eq!(beacon.timestamp(), 0x8000_0000_0000_0001);
        assert_eq!((beacon.interval_tu(), beacon.privacy()), (100, true));
        assert_eq!(beacon.elements().ssid().unwrap().bytes(), b"coffee");
    }

    #[test]
    fn fixed_parts_that_are_cut_are_refused() {
        for (subtype, fixed) in
            [(0x80, 12), (0x50, 12), (0x00, 4), (0x20, 10), (0x10, 6), (0xb0, 6), (0xc0, 2)]
        {
            let whole = management([subtype, 0], &[0; 12][..fixed]);
            assert!(Management::new(&Header::new(&whole).unwrap()).is_ok(), "{subtype:#x}");
            let cut = &whole[..whole.len() - 1];
            assert!(Management::new(&Header::new(cut).unwrap()).is_err(), "{subtype:#x}");
        }
    }

    #[test]
    fn an_encrypted_body_is_not_taken_for_fields() {
        let bytes = management([0xc0, 0x40], &[7, 0, 1]);
        let body = Management::new(&Header::new(&bytes).unwrap()).unwrap();
        assert!(matches!(body, Management::Other([7, 0, 1])));
    }
}
