//! [`Vector`]: a received packet with a seeded descriptor and PHY status, for two drivers to make a radiotap
//! header of.
//!
//! Each field of the descriptor is random within what the chip's documentation allows, rates run through all that
//! there are; some packets are malformed on purpose. The frame behind it carries the vector's number, so that a
//! capture tells which packet it is about.
//!
//! Source of the layout: `rtw88 rx.h`; for the bits that `rtw88` does not read, Realtek's
//! `GET_RX_STATUS_DESC_*_8812`.

use airlift_emu::air::fcs;

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 24;
/// Bytes of a PHY status.
const PHY_STATUS: usize = 32;
/// Rates from 1 Mbit/s to VHT MCS 9 on four streams.
const RATES: u32 = 0x54;
/// The seed of the golden files.
pub const SEED: u64 = 0x8812;
/// How many vectors there are.
pub const COUNT: u32 = 768;
/// Packets of one transfer at most.
const TOGETHER: usize = 6;

/// What is wrong with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Nothing.
    None,
    /// A rate that does not exist.
    Rate,
    /// A PHY status of another size.
    InfoSize,
    /// A PHY status is said to be there, of size zero.
    NoInfo,
    /// Nothing but a check sequence.
    Empty,
    /// Longer than any frame.
    TooLong,
}

/// One packet.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Its number.
    pub number: u32,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// The descriptor's six words.
    pub words: [u32; 6],
    /// The packet as it stands in a transfer, not padded.
    pub bytes: Vec<u8>,
    /// Where in it the frame begins.
    start: usize,
}

impl Vector {
    /// The frame, with its check sequence.
    pub fn frame(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
}

/// The frame that carries a vector's number in its sender's address, with a payload of a random length.
fn frame(number: u32, rng: &mut Rng) -> Vec<u8> {
    let [_, _, high, low] = number.to_be_bytes();
    let mut frame = vec![0x08, 0x00, 0, 0];
    frame.extend([0xff; 6]);
    frame.extend([0x02, 0x56, 0x35, 0x00, high, low]);
    frame.extend([0x02, 0x56, 0x35, 0xff, 0xff, 0xff]);
    frame.extend((((number & 0x0fff) << 4) as u16).to_le_bytes());
    frame.extend((0..rng.below(96)).map(|_| rng.next() as u8).collect::<Vec<_>>());
    frame
}

/// The number in a frame of a vector; `None` if it is none.
pub fn number_of(frame: &[u8]) -> Option<u32> {
    let sender = frame.get(10..16)?;
    (sender[..4] == [0x02, 0x56, 0x35, 0x00]).then(|| u32::from(sender[4]) << 8 | u32::from(sender[5]))
}

fn flaw(number: u32, rng: &mut Rng) -> Flaw {
    // The first round of rates is well-formed throughout.
    if number < RATES || !rng.one_in(24) {
        return Flaw::None;
    }
    [Flaw::Rate, Flaw::InfoSize, Flaw::NoInfo, Flaw::Empty, Flaw::TooLong][rng.below(5) as usize]
}

fn vector(number: u32, rng: &mut Rng) -> Vector {
    let flaw = flaw(number, rng);
    let mut frame = frame(number, rng);
    let bad_fcs = rng.one_in(8);
    let sum = fcs(&frame) ^ if bad_fcs { rng.next() | 1 } else { 0 };
    frame.extend(sum.to_le_bytes());
    if flaw == Flaw::Empty {
        frame.drain(..frame.len() - 4);
    }
    let has_status = !rng.one_in(8);
    let units = match flaw {
        Flaw::InfoSize => [1, 2, 3, 5, 15][rng.below(5) as usize],
        Flaw::NoInfo => 0,
        // Room for a status that is not filled in is what most frames of an aggregate have.
        _ if has_status || rng.one_in(2) => 4,
        _ => 0,
    };
    let shift = rng.below(4);
    let rate = match flaw {
        Flaw::Rate => RATES + rng.below(0x80 - RATES),
        _ if number < 4 * RATES => number % RATES,
        _ => rng.below(RATES),
    };
    let length = if flaw == Flaw::TooLong { 11_455 + rng.below(4_000) } else { frame.len() as u32 };
    let noise = |rng: &mut Rng, mask: u32| rng.next() & mask;
    let words = [
        // Left alone: SWDEC with an encryption type would have mac80211 take the frame for a decrypted one.
        length
            | u32::from(bad_fcs) << 14
            | units << 16
            | noise(rng, 0x0080_0000)
            | shift << 24
            | u32::from(has_status || flaw == Flaw::NoInfo) << 26
            | 1 << 27,
        // Aggregation at bit 15.
        noise(rng, 0xffff_ffff),
        // No message of the firmware at bit 28.
        noise(rng, 0xefff_ffff),
        rate | noise(rng, 0xffff_ff80),
        // Short guard interval, LDPC and STBC at bits 0 to 2, and a bandwidth of 20, 40 or 80 MHz.
        noise(rng, 0x0000_0007) | rng.below(3) << 4,
        noise(rng, 0xffff_ffff),
    ];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    debug_assert_eq!(bytes.len(), DESCRIPTOR);
    bytes.resize(DESCRIPTOR + shift as usize, 0);
    let mut status = [0; PHY_STATUS];
    if has_status {
        status.fill_with(|| rng.next() as u8);
    }
    bytes.extend(status.iter().cycle().take(units as usize * 8));
    let start = bytes.len();
    bytes.extend(&frame);
    Vector { number, flaw, words, bytes, start }
}

/// The vectors of a seed.
pub fn vectors(seed: u64) -> Vec<Vector> {
    let mut rng = Rng(seed);
    (0..COUNT).map(|number| vector(number, &mut rng)).collect()
}

/// Packets of more than 1 Mbit/s over the two seconds between one look of mainline's watchdog and the next: data to one
/// station without PHY status, at 54 Mbit/s. As transfers.
pub fn traffic() -> Vec<Vec<u8>> {
    let packet = |number: u16| {
        let mut frame = vec![0x08, 0x00, 0, 0, 0x02, 0x56, 0x35, 0x01, 0, 0];
        frame.extend([[0x02, 0x56, 0x35, 0x00, 0xff, 0xff]; 2].as_flattened());
        frame.extend((number << 4).to_le_bytes());
        frame.resize(1_500, number as u8);
        frame.extend(fcs(&frame).to_le_bytes());
        let words = [frame.len() as u32, 0, 0, 0x0b, 0, u32::from(number) << 8];
        let mut packet: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        packet.extend(frame);
        packet.resize(packet.len().next_multiple_of(8), 0);
        packet
    };
    let packets: Vec<Vec<u8>> = (0..512).map(packet).collect();
    packets.chunks(TOGETHER).map(<[_]>::concat).collect()
}

/// Puts vectors into transfers, several into each. What follows a malformed packet cannot be found: it ends its
/// transfer.
pub fn transfers(vectors: &[Vector]) -> Vec<Vec<u8>> {
    let mut transfers = Vec::new();
    let (mut transfer, mut count) = (Vec::<u8>::new(), 0);
    for vector in vectors {
        transfer.resize(transfer.len().next_multiple_of(8), 0);
        transfer.extend(&vector.bytes);
        count += 1;
        if count == 1 + vector.number as usize % TOGETHER || vector.flaw != Flaw::None {
            transfers.push(core::mem::take(&mut transfer));
            count = 0;
        }
    }
    if !transfer.is_empty() {
        transfers.push(transfer);
    }
    transfers
}
