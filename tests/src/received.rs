//! Golden files of what mainline's driver makes of [received packets](crate::vectors): `golden/CHIP/received/` has
//! one for each channel, a line for each vector.
//!
//! ```text
//! 17 00003800…       its number, and the radiotap header in hexadecimal
//! 18 -               mainline passes it to nobody
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use crate::vectors::{self, Vector};

/// The radiotap headers of a run, by the vector's number.
pub type Headers = BTreeMap<u32, Vec<u8>>;

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// The headers in a capture that `tcpdump` wrote while these vectors arrived.
///
/// # Errors
///
/// If it is no capture of a monitor interface, or a frame is not the one that arrived, or one is there twice.
pub fn headers(capture: &[u8], vectors: &[Vector]) -> io::Result<Headers> {
    /// Little-endian, microseconds, and link type 127: what the guest writes.
    const MAGIC: [u8; 4] = [0xd4, 0xc3, 0xb2, 0xa1];
    let word = |at: usize| {
        let bytes = capture.get(at..at + 4).ok_or_else(|| invalid("the capture is truncated"))?;
        Ok::<_, io::Error>(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    if capture.get(..4) != Some(&MAGIC) || word(20)? != 127 {
        return Err(invalid("no capture of a monitor interface"));
    }
    let mut headers = Headers::new();
    let mut at = 24;
    while at < capture.len() {
        let length = word(at + 8)? as usize;
        let packet = capture.get(at + 16..at + 16 + length).ok_or_else(|| invalid("truncated"))?;
        at += 16 + length;
        let header =
            packet.get(2..4).map_or(0, |length| usize::from(length[0]) | usize::from(length[1]) << 8);
        let (header, frame) = packet.split_at_checked(header).ok_or_else(|| invalid("no radiotap header"))?;
        let Some(number) = vectors::number_of(frame) else { return Err(invalid("a frame of no vector")) };
        let vector = vectors.get(number as usize).ok_or_else(|| invalid("no such vector"))?;
        if vector.frame() != frame {
            return Err(invalid(format!("vector {number} has other bytes than those that arrived")));
        }
        if headers.insert(number, header.to_vec()).is_some() {
            return Err(invalid(format!("vector {number} is there twice")));
        }
    }
    Ok(headers)
}

/// The text of a golden file.
pub fn to_text(headers: &Headers, kernel: &str, channel: &str) -> String {
    let mut text = format!(
        "# The radiotap header that rtw88 and mac80211 make of each received packet, on channel {channel}.\n\
         # Written by tests/mainline/run.sh --golden; not to be edited.\n# kernel {kernel}\n",
    );
    for number in 0..vectors::COUNT {
        let _ = match headers.get(&number) {
            None => writeln!(text, "{number} -"),
            Some(header) => {
                let hex: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(text, "{number} {hex}")
            }
        };
    }
    text
}

/// What [`to_text`] wrote.
///
/// # Errors
///
/// At the first line that is none of these.
pub fn parse(text: &str) -> io::Result<Headers> {
    let mut headers = Headers::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let bad = || invalid(format!("line not understood: {line}"));
        let (number, hex) = line.split_once(' ').ok_or_else(bad)?;
        let number = number.parse().map_err(|_| bad())?;
        if hex == "-" {
            continue;
        }
        let bytes: Option<Vec<u8>> = (0..hex.len())
            .step_by(2)
            .map(|at| hex.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
            .collect();
        headers.insert(number, bytes.ok_or_else(bad)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut capture = vec![0xd4, 0xc3, 0xb2, 0xa1];
        capture.extend([0; 16]);
        capture.extend(127_u32.to_le_bytes());
        for packet in packets {
            capture.extend([0; 8]);
            capture.extend([(packet.len() as u32).to_le_bytes(); 2].as_flattened());
            capture.extend(packet);
        }
        capture
    }

    #[test]
    fn v5_a_captures_headers_read_back_from_the_golden_file() {
        let vectors = vectors::vectors(1);
        let packet = |number: usize| [&[0, 0, 8, 0, 0, 0, 0, 0], vectors[number].frame()].concat();
        let found = headers(&capture(&[packet(3), packet(0)]), &vectors).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), [&0, &3]);
        assert_eq!(parse(&to_text(&found, "k", "1-20")).unwrap(), found);
        // A frame twice, a changed one, one cut short.
        assert!(headers(&capture(&[packet(3), packet(3)]), &vectors).is_err());
        let mut changed = packet(3);
        changed[9] ^= 1;
        assert!(headers(&capture(&[changed]), &vectors).is_err());
        let whole = capture(&[packet(3)]);
        assert!(headers(&whole[..whole.len() - 1], &vectors).is_err());
    }
}
