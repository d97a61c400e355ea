//! [`stand_in_firmware`]: an image with a valid header and checksum, made at run time.
//!
//! The shape is that of the vendor's 8051 images as `rtw88` `fw.h`, `struct rtw_fw_hdr_legacy` lays it out: a
//! header of 32 bytes that stays with the driver, then the code. The XOR of the code's 16-bit words is zero:
//! so it is in the images that `linux-firmware` ships for this family (their last word makes it so), and this
//! is the sum that the emulated chip forms over what arrives.

use crate::Model;
use crate::model::Mcu;

/// Bytes of an 8051 image's header.
const HEADER_LENGTH: usize = 32;

/// The code's length: like the vendor's, no multiple of a page, of a block or of eight.
const CODE_LENGTH: usize = 26_998;

/// A stand-in for the vendor's firmware of the RTL8812AU: a header with signature 0x9501, and code that the
/// emulated MCU takes for firmware. It holds no instruction of the vendor's; real silicon would not run it.
/// [`Model::stand_in_firmware`] makes that of any model.
pub fn stand_in_firmware() -> Vec<u8> {
    stand_in(Model::Rtl8812au)
}

pub(crate) fn stand_in(model: Model) -> Vec<u8> {
    let facts = model.facts();
    let seed = u32::from(facts.usb.identity.1);
    match facts.mcu {
        Mcu::I8051 { signature, version, .. } => stand_in_8051(signature, version, seed),
        Mcu::I3081 { signature, version } => stand_in_3081(signature, version, seed),
    }
}

fn stand_in_8051(signature: u16, version: (u16, u8), seed: u32) -> Vec<u8> {
    let mut image = vec![0_u8; HEADER_LENGTH];
    image[0..2].copy_from_slice(&signature.to_le_bytes());
    image[2] = 0x10; // category
    image[4..6].copy_from_slice(&version.0.to_le_bytes());
    image[6] = version.1; // subversion
    image[8..12].copy_from_slice(&[0x01, 0x01, 0x00, 0x00]); // month, day, hour, minute
    image[12..14].copy_from_slice(&(CODE_LENGTH as u16).to_le_bytes());
    code(&mut image, CODE_LENGTH - 2, seed);
    let sum = checksum(&image[HEADER_LENGTH..]);
    image.extend_from_slice(&sum.to_le_bytes());
    image
}

/// A header of 64 bytes (`rtw88 fw.h`, `struct rtw_fw_hdr`), then data and instructions, each with eight bytes
/// behind it of which the first two make its sum zero.
fn stand_in_3081(signature: u16, version: (u16, u8), seed: u32) -> Vec<u8> {
    /// Where each memory stands, and its length without the eight bytes; lengths are like the vendor's.
    const DATA: (u32, usize) = (0x8020_0000, 5_772);
    const INSTRUCTIONS: (u32, usize) = (0x8000_0000, 62_440);
    let mut image = vec![0_u8; 64];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x00, &signature.to_le_bytes());
    put(0x02, &[0x10]); // category
    put(0x04, &version.0.to_le_bytes());
    put(0x06, &[version.1]);
    put(0x10, &[0x01, 0x01, 0x00, 0x00]); // month, day, hour, minute
    put(0x14, &2026_u16.to_le_bytes());
    put(0x18, &[0x08]); // no extended memory
    put(0x20, &DATA.0.to_le_bytes());
    put(0x24, &(DATA.1 as u32).to_le_bytes());
    put(0x30, &(INSTRUCTIONS.1 as u32).to_le_bytes());
    put(0x3c, &INSTRUCTIONS.0.to_le_bytes());
    for (at, length) in [DATA, INSTRUCTIONS] {
        let start = image.len();
        code(&mut image, length, seed ^ at);
        let sum = checksum(&image[start..]);
        image.extend_from_slice(&sum.to_le_bytes());
        image.extend_from_slice(&[0; 6]);
    }
    image
}

/// Appends bytes that look like code to a checksum, the same at every run.
fn code(image: &mut Vec<u8>, length: usize, seed: u32) {
    let mut state = seed;
    image.extend((0..length).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
}

/// The XOR of the 16-bit words of `code`; zero for an intact image. An odd last byte counts as a low byte.
pub fn checksum(code: &[u8]) -> u16 {
    code.chunks(2).fold(0, |sum, pair| sum ^ u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_has_the_length_and_the_sum_that_its_header_promises() {
        let image = stand_in_firmware();
        assert_eq!(image.len(), HEADER_LENGTH + usize::from(u16::from_le_bytes([image[12], image[13]])));
        assert_eq!(checksum(&image[HEADER_LENGTH..]), 0);
        assert_eq!(u16::from_le_bytes([image[0], image[1]]), 0x9501);
    }
}
