//! [`Info`]: one line that says what a frame is.

use core::fmt;

use super::{Header, Management, Subtype};

/// Displays a frame in a few words, for the last column of a table. Text from the air is escaped.
///
/// `"coffee"` (beacons, probes, association), `open, step 1`, `reason 3`, `1500 B, protected`, `300 us` (RTS,
/// CTS), `malformed: ...`; nothing where the subtype says all.
#[derive(Clone, Copy, Debug)]
pub struct Info<'a> {
    mpdu: &'a [u8],
}

impl<'a> Info<'a> {
    /// The line for `mpdu`, a frame without its check sequence.
    pub fn new(mpdu: &'a [u8]) -> Self {
        Self { mpdu }
    }
}

impl fmt::Display for Info<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = match Header::new(self.mpdu) {
            Ok(header) => header,
            Err(error) => return write!(f, "malformed: {error}"),
        };
        match header.subtype().kind() {
            super::FrameType::Management => match Management::new(&header) {
                Ok(body) => management(f, &header, &body),
                Err(error) => write!(f, "malformed: {error}"),
            },
            super::FrameType::Control => match header.subtype() {
                Subtype::Rts | Subtype::Cts => write!(f, "{} us", header.duration_id() & 0x7fff),
                Subtype::PsPoll => write!(f, "aid {}", header.duration_id() & 0x3fff),
                _ => Ok(()),
            },
            super::FrameType::Data => {
                let mut separator = "";
                if !header.body().is_empty() {
                    write!(f, "{} B", header.body().len())?;
                    separator = ", ";
                }
                let control = header.frame_control();
                let amsdu = header.qos().is_some_and(super::QosControl::is_amsdu);
                for (flag, word) in
                    [(control.protected(), "protected"), (amsdu, "A-MSDU"), (control.retry(), "retry")]
                {
                    if flag {
                        write!(f, "{separator}{word}")?;
                        separator = ", ";
                    }
                }
                Ok(())
            }
            super::FrameType::Extension => Ok(()),
        }
    }
}

fn management(f: &mut fmt::Formatter<'_>, header: &Header<'_>, body: &Management<'_>) -> fmt::Result {
    match body {
        Management::Beacon(beacon) => {
            let elements = beacon.elements();
            match elements.ssid() {
                Some(ssid) => write!(f, "{ssid}")?,
                None => f.write_str("no SSID")?,
            }
            match elements.rsn() {
                Some(rsn) => write!(f, ", {rsn}"),
                None if beacon.privacy() => f.write_str(", privacy"),
                None => Ok(()),
            }
        }
        Management::ProbeRequest { elements } => match elements.ssid() {
            Some(ssid) if !ssid.is_hidden() => write!(f, "{ssid}"),
            _ => f.write_str("any"),
        },
        Management::AssociationRequest { elements, .. } => match elements.ssid() {
            Some(ssid) => write!(f, "{ssid}"),
            None => Ok(()),
        },
        Management::AssociationResponse { status: 0, aid, .. } => write!(f, "aid {aid}"),
        Management::AssociationResponse { status, .. } => write!(f, "refused, status {status}"),
        Management::Authentication { algorithm, transaction, status, .. } => {
            match algorithm {
                0 => f.write_str("open")?,
                1 => f.write_str("shared key")?,
                3 => f.write_str("SAE")?,
                other => write!(f, "algorithm {other}")?,
            }
            write!(f, ", step {transaction}")?;
            if *status == 0 { Ok(()) } else { write!(f, ", status {status}") }
        }
        Management::Leave { reason } => write!(f, "reason {reason}"),
        Management::Action { category, .. } => write!(f, "category {category}"),
        Management::Other(body) => {
            write!(f, "{} B", body.len())?;
            if header.frame_control().protected() { f.write_str(", protected") } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(control: [u8; 2], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![control[0], control[1], 0x2c, 1];
        bytes.extend([2; 18]);
        bytes.extend([0, 0]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_line_says_what_a_frame_is() {
        let beacon = [0, 0, 0, 0, 0, 0, 0, 0, 100, 0, 1, 0, 0, 6, b'c', b'o', b'f', b'f', b'e', b'e'];
        let shown = |control, body: &[u8]| Info::new(&frame(control, body)).to_string();
        assert_eq!(shown([0x80, 0], &beacon), "\"coffee\"");
        assert_eq!(shown([0x40, 0], &[0, 0]), "any");
        assert_eq!(shown([0xb0, 0], &[0, 0, 1, 0, 0, 0]), "open, step 1");
        assert_eq!(shown([0xc0, 0], &[3, 0]), "reason 3");
        assert_eq!(shown([0x88, 0x41], &[0; 1502]), "1500 B, protected");
        assert_eq!(shown([0x48, 0x01], &[]), "");
        assert_eq!(shown([0xb4, 0], &[]), "300 us");
        assert_eq!(shown([0x80, 0], &[1, 2, 3]), "malformed: beacon body needs 12 bytes, 3 came");
        assert_eq!(Info::new(&[]).to_string(), "malformed: frame control needs 2 bytes, 0 came");
    }
}
