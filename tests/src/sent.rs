//! Golden files of how mainline's driver hands over the frames that it is to [inject](crate::inject): `golden/CHIP/sent/`
//! has one for each channel, a line for each frame.
//!
//! ```text
//! 3 02 2b002884…     the frame's number, the endpoint, and the descriptor of 40 bytes in hexadecimal
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use crate::inject::Injected;

/// Bytes of a transmit descriptor.
pub const DESCRIPTOR: usize = 40;

/// The queues of beacons and of commands to the firmware: what goes there is no frame to be sent now.
const NOT_SENT: [u32; 2] = [16, 19];

/// A frame on its way to the chip.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The bulk OUT endpoint.
    pub endpoint: u8,
    /// What stands before the frame.
    pub descriptor: [u8; DESCRIPTOR],
}

impl Sent {
    /// One of the ten words of the descriptor.
    pub fn word(&self, word: usize) -> u32 {
        let bytes = &self.descriptor[word * 4..][..4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// The words of 16 bits that the checksum covers, taken together: 0 if it is right.
    pub fn residue(&self) -> u16 {
        self.descriptor[..32].chunks(2).fold(0, |sum, word| sum ^ u16::from_le_bytes([word[0], word[1]]))
    }

    /// Puts the right checksum in.
    pub fn set_checksum(&mut self) {
        self.descriptor[28..30].fill(0);
        let sum = self.residue();
        self.descriptor[28..30].copy_from_slice(&sum.to_le_bytes());
    }
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// The frames of a bulk OUT transfer with what stands before each: several may share one, each at a multiple of 8 bytes.
fn split(endpoint: u8, mut transfer: &[u8]) -> Option<Vec<(Sent, &[u8])>> {
    let mut frames = Vec::new();
    while transfer.len() >= 8 {
        let descriptor = *transfer.first_chunk::<DESCRIPTOR>()?;
        let sent = Sent { endpoint, descriptor };
        let (length, room) = (sent.word(0) & 0xffff, sent.word(1) >> 24 & 0x1f);
        let start = DESCRIPTOR + room as usize * 8;
        let end = start + length as usize;
        frames.push((sent, transfer.get(start..end)?));
        transfer = transfer.get(end.next_multiple_of(8)..).unwrap_or_default();
    }
    Some(frames)
}

/// How each of the frames was handed over in these bulk OUT transfers, in their order.
///
/// # Errors
///
/// If one was not, or twice, or there is another.
pub fn find(frames: &[Injected], transfers: &[(u8, Vec<u8>)]) -> io::Result<Vec<Sent>> {
    let mut found: BTreeMap<usize, Sent> = BTreeMap::new();
    for (endpoint, transfer) in transfers {
        let in_it = split(*endpoint, transfer).ok_or_else(|| invalid("a transfer ends within a frame"))?;
        for (sent, bytes) in in_it {
            if NOT_SENT.contains(&(sent.word(1) >> 8 & 0x1f)) {
                continue;
            }
            let at = frames.iter().position(|frame| bytes.len() >= 10 && frame.is(bytes));
            let at = at.ok_or_else(|| invalid(format!("a frame that was not injected: {bytes:02x?}")))?;
            if found.insert(at, sent).is_some() {
                return Err(invalid(format!("frame {at} was handed over twice")));
            }
        }
    }
    (0..frames.len())
        .map(|at| found.remove(&at).ok_or_else(|| invalid(format!("frame {at} was not handed over"))))
        .collect()
}

/// Where two runs of mainline's driver differ, a line each. How many frames share a transfer is left out, and the checksum
/// over that number: it is the machine's doing.
pub fn differences(before: &[Sent], now: &[Sent]) -> Vec<String> {
    let alone = |sent: &Sent| {
        let right = sent.residue() == 0;
        let mut sent = sent.clone();
        sent.descriptor[28..30].fill(0);
        sent.descriptor[31] = 0;
        (sent, right)
    };
    (0..before.len().max(now.len()))
        .filter(|at| before.get(*at).map(alone) != now.get(*at).map(alone))
        .map(|at| format!("frame {at}: then {:02x?}, now {:02x?}", before.get(at), now.get(at)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = (0..hex.len()).step_by(2).map(|at| hex.get(at..at + 2));
    digits.map(|digits| u8::from_str_radix(digits?, 16).ok()).collect()
}

/// Transfers as text, one a line, for [`transfers`] to read.
pub fn transfers_to_text(transfers: &[(u8, Vec<u8>)]) -> String {
    transfers.iter().map(|(endpoint, transfer)| format!("{endpoint:02x} {}\n", hex(transfer))).collect()
}

/// What [`transfers_to_text`] wrote.
///
/// # Errors
///
/// At the first line that is none of these.
pub fn transfers(text: &str) -> io::Result<Vec<(u8, Vec<u8>)>> {
    let parse = |line: &str| {
        let (endpoint, transfer) = line.split_once(' ')?;
        Some((u8::from_str_radix(endpoint, 16).ok()?, bytes(transfer)?))
    };
    text.lines().map(|line| parse(line).ok_or_else(|| invalid("no transfer"))).collect()
}

/// The text of a golden file.
pub fn to_text(sent: &[Sent], kernel: &str, channel: &str) -> String {
    let mut text = format!(
        "# How rtw88 hands over each injected frame on channel {channel}: endpoint and descriptor.\n\
         # Written by tests/mainline/run.sh --golden; not to be edited.\n# kernel {kernel}\n",
    );
    for (number, Sent { endpoint, descriptor }) in sent.iter().enumerate() {
        let _ = writeln!(text, "{number} {endpoint:02x} {}", hex(descriptor));
    }
    text
}

/// What [`to_text`] wrote.
///
/// # Errors
///
/// At the first line that is none of these, or not the next one's.
pub fn parse(text: &str) -> io::Result<Vec<Sent>> {
    let parse = |number: usize, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [at, endpoint, descriptor] = words[..] else { return None };
        let endpoint = u8::from_str_radix(endpoint, 16).ok()?;
        let descriptor = bytes(descriptor)?.try_into().ok()?;
        (at.parse() == Ok(number)).then_some(Sent { endpoint, descriptor })
    };
    let lines = text.lines().filter(|line| !line.starts_with('#')).enumerate();
    lines
        .map(|(number, line)| {
            parse(number, line).ok_or_else(|| invalid(format!("line not understood: {line}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject;

    fn descriptor(length: usize, queue: u32, number: u8) -> [u8; DESCRIPTOR] {
        let mut bytes = [0; DESCRIPTOR];
        bytes[..4].copy_from_slice(&(length as u32 | 0x28_0000).to_le_bytes());
        bytes[4..8].copy_from_slice(&(queue << 8).to_le_bytes());
        bytes[24] = number;
        let mut sent = Sent { endpoint: 2, descriptor: bytes };
        sent.set_checksum();
        assert_eq!(sent.residue(), 0);
        sent.descriptor
    }

    fn transfer(frames: &[(usize, u8)]) -> Vec<u8> {
        let all = inject::frames();
        let mut transfer = Vec::new();
        for &(at, number) in frames {
            transfer.resize(transfer.len().next_multiple_of(8), 0);
            transfer.extend(descriptor(all[at].frame().len(), 18, number));
            transfer.extend(all[at].frame());
        }
        transfer
    }

    #[test]
    fn v1_frames_are_found_in_transfers_that_several_share_and_golden_files_give_them_back() {
        let frames = &inject::frames()[..4];
        let mut page = descriptor(16, 16, 0).to_vec();
        page.resize(DESCRIPTOR + 16, 0);
        let transfers = vec![(2, page), (2, transfer(&[(1, 7), (0, 8), (3, 9)])), (3, transfer(&[(2, 10)]))];
        let found = find(frames, &super::transfers(&transfers_to_text(&transfers)).unwrap()).unwrap();
        let told: Vec<(u8, u8)> = found.iter().map(|sent| (sent.endpoint, sent.descriptor[24])).collect();
        assert_eq!(told, [(2, 8), (2, 7), (3, 10), (2, 9)]);
        assert_eq!(parse(&to_text(&found, "k", "1-20")).unwrap(), found);

        let error = |transfers: &[(u8, Vec<u8>)]| find(frames, transfers).unwrap_err().to_string();
        assert_eq!(error(&transfers[..2]), "frame 2 was not handed over");
        assert_eq!(error(&[&transfers[..], &transfers[2..]].concat()), "frame 2 was handed over twice");
        assert!(error(&[(2, transfer(&[(9, 0)]))]).starts_with("a frame that was not injected"));
        assert_eq!(error(&[(2, transfer(&[(0, 0)])[..50].to_vec())]), "a transfer ends within a frame");
    }
}
