//! [`Radiotap`]: a view that walks a header field by field.

use super::bit;

/// Offsets of the fixed part.
mod field {
    pub(super) const VERSION: usize = 0;
    pub(super) const LENGTH: usize = 2;
    pub(super) const PRESENT: usize = 4;
}

/// Alignment and size of the fields of the radiotap namespace, by bit.
const LAYOUT: [(u8, u8); 28] = [
    (8, 8),  // TSFT
    (1, 1),  // flags
    (1, 1),  // rate
    (2, 4),  // channel
    (2, 2),  // FHSS
    (1, 1),  // dBm signal
    (1, 1),  // dBm noise
    (2, 2),  // lock quality
    (2, 2),  // TX attenuation
    (2, 2),  // dB TX attenuation
    (1, 1),  // dBm TX power
    (1, 1),  // antenna
    (1, 1),  // dB signal
    (1, 1),  // dB noise
    (2, 2),  // RX flags
    (2, 2),  // TX flags
    (1, 1),  // RTS retries
    (1, 1),  // data retries
    (4, 8),  // XChannel
    (1, 3),  // MCS
    (4, 8),  // A-MPDU status
    (2, 12), // VHT
    (8, 12), // timestamp
    (2, 12), // HE
    (2, 12), // HE-MU
    (2, 6),  // HE-MU of another user
    (1, 1),  // no PSDU
    (2, 4),  // L-SIG
];

/// A header that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RadiotapError {
    /// The bytes end before the header does.
    #[error("radiotap: the header needs {need} bytes, {have} came")]
    Short {
        /// How many bytes it takes, as far as known.
        need: usize,
        /// How many there are.
        have: usize,
    },
    /// A version that is not 0.
    #[error("radiotap: version {0}, expected 0")]
    Version(u8),
    /// The length that the header states does not hold its own presence words.
    #[error("radiotap: a header length of {length} does not hold the presence words")]
    Length {
        /// The length stated.
        length: usize,
    },
    /// A field reaches beyond the header's length.
    #[error("radiotap: field {bit} needs {need} bytes, {have} are left")]
    FieldShort {
        /// The field's bit.
        bit: u8,
        /// How many bytes it takes with its alignment.
        need: usize,
        /// How many are left in the header.
        have: usize,
    },
    /// A field that is not defined: what comes after it cannot be found.
    #[error("radiotap: field {bit} is not defined")]
    UnknownField {
        /// The field's bit, counted on through the words of one namespace.
        bit: u16,
    },
}

/// A view of a radiotap header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Radiotap<'a> {
    /// Exactly the header.
    header: &'a [u8],
    /// Where the fields begin.
    fields: usize,
}

impl<'a> Radiotap<'a> {
    /// The header that `bytes` begin with.
    ///
    /// # Errors
    /// [`RadiotapError`] if the version is not 0, the header is longer than the bytes, or its length does not
    /// hold its presence words. Fields are checked when they are walked.
    pub fn new(bytes: &'a [u8]) -> Result<Self, RadiotapError> {
        const FIXED: usize = field::PRESENT + 4;
        let have = bytes.len();
        if have < FIXED {
            return Err(RadiotapError::Short { need: FIXED, have });
        }
        if bytes[field::VERSION] != 0 {
            return Err(RadiotapError::Version(bytes[field::VERSION]));
        }
        let length = usize::from(u16::from_le_bytes([bytes[field::LENGTH], bytes[field::LENGTH + 1]]));
        let header = bytes.get(..length).ok_or(RadiotapError::Short { need: length, have })?;
        let mut fields = field::PRESENT;
        loop {
            let word = word(header, fields).ok_or(RadiotapError::Length { length })?;
            fields += 4;
            if word >> bit::EXTENDED & 1 == 0 {
                return Ok(Self { header, fields });
            }
        }
    }

    /// Bytes that the header takes: the frame begins there.
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        self.header.len()
    }

    /// The presence words.
    pub fn present(&self) -> impl Iterator<Item = u32> + use<'a> {
        let header = self.header;
        (field::PRESENT..self.fields).step_by(4).map_while(move |at| word(header, at))
    }

    /// The fields in order. After an error there are none.
    pub fn iter(&self) -> Iter<'a> {
        Iter {
            header: self.header,
            at: self.fields,
            next_word: field::PRESENT,
            end_of_words: self.fields,
            word: 0,
            bit: 32,
            base: 0,
            namespace: Namespace::Radiotap { index: 0 },
            radiotap_namespaces: 0,
            after: After::Continue,
            tlvs: false,
        }
    }
}

impl<'a> IntoIterator for Radiotap<'a> {
    type Item = Result<Field<'a>, RadiotapError>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

fn word(header: &[u8], at: usize) -> Option<u32> {
    header.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
}

/// To whom a field belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Namespace {
    /// Radiotap's own.
    Radiotap {
        /// 0 for the first one: the whole frame. Each later one is about one chain.
        index: u16,
    },
    /// A vendor's: the fields are not told apart, all of their bytes are one.
    Vendor {
        /// The vendor.
        oui: [u8; 3],
        /// The vendor's number for the namespace.
        sub_namespace: u8,
    },
    /// A type-length-value field; its bit is 0.
    Tlv {
        /// Its type.
        kind: u16,
    },
}

/// One field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// To whom it belongs.
    pub namespace: Namespace,
    /// Its number, see [`bit`](super::bit).
    pub bit: u8,
    /// Its bytes; numbers in them are little-endian.
    pub data: &'a [u8],
}

/// What the word after this one is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    /// The same namespace goes on.
    Continue,
    Radiotap,
    Vendor,
}

/// The fields of a header.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    header: &'a [u8],
    /// Where the next field may begin.
    at: usize,
    next_word: usize,
    end_of_words: usize,
    word: u32,
    /// The next bit to look at; 32 when the word is done.
    bit: u8,
    /// What bit 0 of this word counts as: namespaces may take several words.
    base: u16,
    namespace: Namespace,
    /// How many radiotap namespaces came after the first.
    radiotap_namespaces: u16,
    after: After,
    tlvs: bool,
}

impl<'a> Iter<'a> {
    /// No more fields.
    fn stop(&mut self) {
        self.next_word = self.end_of_words;
        self.bit = 32;
        self.after = After::Continue;
        self.tlvs = false;
    }

    /// Takes the next bytes of the header.
    fn take(&mut self, bit: u8, align: usize, size: usize) -> Result<&'a [u8], RadiotapError> {
        // Alignment counts from the start of the header.
        let start = self.at.next_multiple_of(align);
        let end = start + size;
        let data = self.header.get(start..end).ok_or(RadiotapError::FieldShort {
            bit,
            need: end - self.at,
            have: self.header.len().saturating_sub(self.at),
        })?;
        self.at = end;
        Ok(data)
    }

    fn vendor(&mut self) -> Result<Field<'a>, RadiotapError> {
        let bit = bit::VENDOR_NAMESPACE;
        let head = self.take(bit, 2, 6)?;
        let namespace = Namespace::Vendor { oui: [head[0], head[1], head[2]], sub_namespace: head[3] };
        let skip = usize::from(u16::from_le_bytes([head[4], head[5]]));
        let data = self.take(bit, 1, skip)?;
        self.namespace = namespace;
        Ok(Field { namespace, bit, data })
    }

    fn tlv(&mut self) -> Result<Field<'a>, RadiotapError> {
        let head = self.take(bit::TLV, 4, 4)?;
        let kind = u16::from_le_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let data = self.take(bit::TLV, 1, len)?;
        Ok(Field { namespace: Namespace::Tlv { kind }, bit: 0, data })
    }

    fn step(&mut self) -> Result<Option<Field<'a>>, RadiotapError> {
        loop {
            while self.bit < 32 {
                let bit = self.bit;
                self.bit += 1;
                if self.word >> bit & 1 == 0 {
                    continue;
                }
                match (bit, self.namespace) {
                    (bit::EXTENDED, _) => {}
                    (bit::RADIOTAP_NAMESPACE, _) => self.after = After::Radiotap,
                    (bit::VENDOR_NAMESPACE, _) => self.after = After::Vendor,
                    // A vendor's own bits: their data was skipped as one.
                    (_, Namespace::Vendor { .. } | Namespace::Tlv { .. }) => {}
                    (bit::TLV, Namespace::Radiotap { .. }) if self.base == 0 => self.tlvs = true,
                    (_, namespace @ Namespace::Radiotap { .. }) => {
                        let number = self.base + u16::from(bit);
                        let &(align, size) = LAYOUT
                            .get(usize::from(number))
                            .ok_or(RadiotapError::UnknownField { bit: number })?;
                        let data = self.take(bit, usize::from(align), usize::from(size))?;
                        return Ok(Some(Field { namespace, bit, data }));
                    }
                }
            }
            // The word is done. A vendor's data stands before the fields of the words that follow it.
            let after = core::mem::replace(&mut self.after, After::Continue);
            let field = match after {
                After::Continue => None,
                After::Radiotap => {
                    self.radiotap_namespaces = self.radiotap_namespaces.saturating_add(1);
                    self.namespace = Namespace::Radiotap { index: self.radiotap_namespaces };
                    None
                }
                After::Vendor => Some(self.vendor()?),
            };
            match word(&self.header[..self.end_of_words], self.next_word) {
                Some(word) => {
                    self.next_word += 4;
                    self.word = word;
                    self.bit = 0;
                    let restarts = after != After::Continue || self.next_word == field::PRESENT + 4;
                    self.base = if restarts { 0 } else { self.base.saturating_add(32) };
                }
                None if field.is_some() => return Ok(field),
                // Padding behind the last one may be part of the header.
                None if self.tlvs && self.at.next_multiple_of(4) < self.header.len() => {
                    return self.tlv().map(Some);
                }
                None => return Ok(None),
            }
            if field.is_some() {
                return Ok(field);
            }
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Result<Field<'a>, RadiotapError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.stop();
        }
        step.transpose()
    }
}
