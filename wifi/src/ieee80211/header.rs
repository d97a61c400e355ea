//! [`Header`]: the MAC header.
//!
//! Which addresses stand where depends on type, ToDS and FromDS (IEEE 802.11-2020, 9.3.1 to 9.3.3, table 9-30).

use super::{FrameControl, FrameType, MacAddr, Malformed, Subtype, le16, le32, need};

/// Offsets of the fields from the start of the frame.
mod field {
    pub(super) const DURATION: usize = 2;
    pub(super) const ADDR1: usize = 4;
    pub(super) const ADDR2: usize = 10;
    pub(super) const ADDR3: usize = 16;
    pub(super) const SEQUENCE: usize = 22;
    pub(super) const ADDR4: usize = 24;
    pub(super) const THREE_ADDRESSES: usize = 24;
    pub(super) const FOUR_ADDRESSES: usize = 30;
}

/// The MAC header of a frame, and what comes after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    bytes: &'a [u8],
    control: FrameControl,
    len: usize,
}

impl<'a> Header<'a> {
    /// The header of `mpdu`: a frame from its frame control on, without the check sequence.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes end before the header that the frame control announces, or the protocol
    /// version is not 0.
    pub fn new(mpdu: &'a [u8]) -> Result<Self, Malformed> {
        need(mpdu, "frame control", 2)?;
        let control = FrameControl(le16(mpdu, 0));
        if control.version() != 0 {
            let got = u32::from(control.version());
            return Err(Malformed::Value { what: "protocol version", expected: "0", got });
        }
        let (what, len) = length(control);
        need(mpdu, what, len)?;
        Ok(Self { bytes: mpdu, control, len })
    }

    /// The frame control field.
    pub fn frame_control(&self) -> FrameControl {
        self.control
    }

    /// The type and subtype.
    pub fn subtype(&self) -> Subtype {
        self.control.subtype()
    }

    /// The duration in microseconds, or the association identifier of a PS-Poll, as it stands there.
    pub fn duration_id(&self) -> u16 {
        le16(self.bytes, field::DURATION)
    }

    /// How many bytes the header takes: 10 to 36.
    #[allow(clippy::len_without_is_empty)] // a header is never empty
    pub fn len(&self) -> usize {
        self.len
    }

    /// What comes after the header; of an encrypted frame with its cipher's header and trailer.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[self.len..]
    }

    fn addr(&self, at: usize) -> Option<MacAddr> {
        (at + 6 <= self.len).then(|| MacAddr::at(self.bytes, at))
    }

    /// Address 1: the receiver on the air (RA).
    pub fn receiver(&self) -> Option<MacAddr> {
        self.addr(field::ADDR1)
    }

    /// Address 2: the transmitter on the air (TA). An acknowledgement or a CTS has none.
    ///
    /// The group bit, by which RTS and some others signal a bandwidth, is cleared (9.3.1.2).
    pub fn transmitter(&self) -> Option<MacAddr> {
        let mut addr = self.addr(field::ADDR2)?;
        if self.control.kind() == FrameType::Control {
            addr.0[0] &= !1;
        }
        Some(addr)
    }

    /// Address 3 as it stands there.
    pub fn addr3(&self) -> Option<MacAddr> {
        match self.control.kind() {
            FrameType::Management | FrameType::Data => self.addr(field::ADDR3),
            FrameType::Control | FrameType::Extension => None,
        }
    }

    /// Address 4, which only data frames between access points have.
    pub fn addr4(&self) -> Option<MacAddr> {
        self.has_four_addresses().then(|| MacAddr::at(self.bytes, field::ADDR4))
    }

    fn has_four_addresses(&self) -> bool {
        self.control.kind() == FrameType::Data && self.control.to_ds() && self.control.from_ds()
    }

    /// The final destination (DA): in infrastructure, not always the receiver on the air.
    pub fn destination(&self) -> Option<MacAddr> {
        match self.control.kind() {
            FrameType::Data if self.control.to_ds() => self.addr3(),
            _ => self.receiver(),
        }
    }

    /// The origin (SA).
    pub fn source(&self) -> Option<MacAddr> {
        match self.control.kind() {
            FrameType::Data => match (self.control.to_ds(), self.control.from_ds()) {
                (_, false) => self.transmitter(),
                (false, true) => self.addr3(),
                (true, true) => self.addr4(),
            },
            _ => self.transmitter(),
        }
    }

    /// The BSSID: the access point's address, where the header tells it.
    pub fn bssid(&self) -> Option<MacAddr> {
        match self.control.kind() {
            FrameType::Management => self.addr3(),
            FrameType::Data => match (self.control.to_ds(), self.control.from_ds()) {
                (false, false) => self.addr3(),
                (true, false) => self.receiver(),
                (false, true) => self.transmitter(),
                (true, true) => None,
            },
            FrameType::Control if self.subtype() == Subtype::PsPoll => self.receiver(),
            FrameType::Control | FrameType::Extension => None,
        }
    }

    /// Sequence and fragment number of a management or data frame.
    pub fn sequence(&self) -> Option<SequenceControl> {
        matches!(self.control.kind(), FrameType::Management | FrameType::Data)
            .then(|| SequenceControl(le16(self.bytes, field::SEQUENCE)))
    }

    /// The QoS control field of a QoS data frame.
    pub fn qos(&self) -> Option<QosControl> {
        is_qos(self.control).then(|| {
            let at = if self.has_four_addresses() { field::FOUR_ADDRESSES } else { field::THREE_ADDRESSES };
            QosControl(le16(self.bytes, at))
        })
    }

    /// The HT control field, if the header has one.
    pub fn ht_control(&self) -> Option<u32> {
        has_ht_control(self.control).then(|| le32(self.bytes, self.len - 4))
    }
}

fn is_qos(control: FrameControl) -> bool {
    control.kind() == FrameType::Data && control.0 & 0x0080 != 0
}

/// 9.2.4.6: in management frames and QoS data frames the last flag announces an HT control field.
fn has_ht_control(control: FrameControl) -> bool {
    control.htc_order() && (control.kind() == FrameType::Management || is_qos(control))
}

/// The name and the length of the header that a frame control announces.
fn length(control: FrameControl) -> (&'static str, usize) {
    let ht_control = if has_ht_control(control) { 4 } else { 0 };
    match control.kind() {
        FrameType::Management => ("management header", field::THREE_ADDRESSES + ht_control),
        FrameType::Data => {
            let addresses = if control.to_ds() && control.from_ds() {
                field::FOUR_ADDRESSES
            } else {
                field::THREE_ADDRESSES
            };
            let qos = if is_qos(control) { 2 } else { 0 };
            ("data header", addresses + qos + ht_control)
        }
        FrameType::Control => match control.subtype() {
            Subtype::Ack | Subtype::Cts => ("control header", field::ADDR2),
            Subtype::Reserved { .. } | Subtype::ControlWrapper | Subtype::ControlExtension => {
                ("control header", field::ADDR2)
            }
            _ => ("control header", field::ADDR3),
        },
        // Each extension subtype has a header of its own; only the frame control is common.
        FrameType::Extension => ("extension header", field::DURATION),
    }
}

/// Sequence control: the number of an MSDU and of its fragment (9.2.4.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SequenceControl(pub u16);

impl SequenceControl {
    /// The MSDU's number, 0 to 4095.
    pub const fn number(self) -> u16 {
        self.0 >> 4
    }

    /// The fragment's number, 0 to 15.
    pub const fn fragment(self) -> u8 {
        (self.0 & 15) as u8
    }
}

/// QoS control (9.2.4.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct QosControl(pub u16);

impl QosControl {
    /// The traffic identifier, 0 to 15.
    pub const fn tid(self) -> u8 {
        (self.0 & 15) as u8
    }

    /// Whether the body is an A-MSDU.
    pub const fn is_amsdu(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// The acknowledgement policy, 0 to 3: normal, none, no explicit one, block.
    pub const fn ack_policy(self) -> u8 {
        (self.0 >> 5 & 3) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
    const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);
    const C: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xc]);
    const D: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xd]);

    fn frame(control: [u8; 2], four: bool, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![control[0], control[1], 0x2c, 0];
        for addr in [A, B, C] {
            bytes.extend(addr.0);
        }
        bytes.extend([0x30, 0x12]);
        if four {
            bytes.extend(D.0);
        }
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn addresses_follow_to_ds_and_from_ds() {
        let adhoc = frame([0x08, 0x00], false, &[]);
        let header = Header::new(&adhoc).unwrap();
        assert_eq!((header.destination(), header.source(), header.bssid()), (Some(A), Some(B), Some(C)));

        let to_ap = frame([0x08, 0x01], false, &[]);
        let header = Header::new(&to_ap).unwrap();
        assert_eq!((header.destination(), header.source(), header.bssid()), (Some(C), Some(B), Some(A)));

        let from_ap = frame([0x08, 0x02], false, &[]);
        let header = Header::new(&from_ap).unwrap();
        assert_eq!((header.destination(), header.source(), header.bssid()), (Some(A), Some(C), Some(B)));

        let bridge = frame([0x08, 0x03], true, &[]);
        let header = Header::new(&bridge).unwrap();
        assert_eq!((header.destination(), header.source(), header.bssid()), (Some(C), Some(D), None));
        assert_eq!((header.receiver(), header.transmitter(), header.addr4()), (Some(A), Some(B), Some(D)));
        assert_eq!(header.len(), 30);
    }

    #[test]
    fn qos_and_ht_control_stand_behind_the_addresses() {
        let tail = [0xa7, 0x00, 1, 2, 3, 4, 0xee];
        let bytes = frame([0x88, 0x83], true, &tail);
        let header = Header::new(&bytes).unwrap();
        assert_eq!(header.len(), 36);
        let qos = header.qos().unwrap();
        assert_eq!((qos.tid(), qos.is_amsdu(), qos.ack_policy()), (7, true, 1));
        assert_eq!(header.ht_control(), Some(0x0403_0201));
        assert_eq!(header.body(), [0xee]);
        let sequence = header.sequence().unwrap();
        assert_eq!((sequence.number(), sequence.fragment()), (0x123, 0));

        // On plain data the last flag says something else.
        let plain = frame([0x08, 0x80], false, &[]);
        assert_eq!(Header::new(&plain).unwrap().ht_control(), None);
    }

    #[test]
    fn an_ack_has_one_address_and_an_rts_two() {
        let ack = [0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 0xa];
        let header = Header::new(&ack).unwrap();
        assert_eq!((header.receiver(), header.transmitter(), header.sequence()), (Some(A), None, None));

        let rts = [0xb4, 0, 0x40, 1, 2, 0, 0, 0, 0, 0xa, 3, 0, 0, 0, 0, 0xb];
        let header = Header::new(&rts).unwrap();
        assert_eq!((header.transmitter(), header.bssid()), (Some(B), None), "the signalling bit is cleared");
        assert_eq!(header.duration_id(), 0x140);
    }

    #[test]
    fn every_cut_of_a_header_is_refused() {
        let whole = frame([0x88, 0x83], true, &[0; 6]);
        for len in 0..whole.len() {
            assert!(Header::new(&whole[..len]).is_err(), "{len} bytes");
        }
        let error = Header::new(&whole[..35]).unwrap_err();
        assert_eq!(error.to_string(), "data header needs 36 bytes, 35 came");
        let error = Header::new(&[0x81, 0]).unwrap_err();
        assert_eq!(error.to_string(), "protocol version is 1, expected 0");
    }
}
