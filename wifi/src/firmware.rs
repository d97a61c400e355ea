//! Where the chip's firmware comes from, and whether it is the chip's.
//!
//! [`Firmware`] says where to look; an `Image` is a file that was found, unpacked and checked. Distributions pack
//! the files (`.xz`, `.zst`) or leave them plain (`.bin`). No vendor firmware is part of this repository.
//! Neighbour: `driver::download` puts an image into the chip.

use core::ops::Range;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::chip::ChipInfo;
use crate::error::{Error, ErrorKind, Stage};

/// The environment variable that names a firmware directory.
pub const FIRMWARE_DIR_VARIABLE: &str = "AIRLIFT_FIRMWARE_DIR";

const SYSTEM_DIR: &str = "/lib/firmware";

/// No firmware of the family is larger, packed or not.
const LARGEST_FILE: u64 = 1 << 20;

/// Where to take the firmware from.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Firmware {
    /// The directory that `AIRLIFT_FIRMWARE_DIR` names, then `/lib/firmware`.
    #[default]
    System,
    /// This directory and no other. The file may stand in it or in its `rtw88/`.
    Directory(PathBuf),
    /// This file.
    File(PathBuf),
    /// These bytes, unpacked; `origin` names them in errors.
    Bytes {
        /// What the bytes are, for error messages.
        origin: String,
        /// The file's content.
        data: Bytes,
    },
}

impl Firmware {
    /// Firmware from memory: an application's own, or an emulated chip's stand-in.
    pub fn bytes(origin: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self::Bytes { origin: origin.into(), data: data.into() }
    }

    /// Finds, unpacks and checks the firmware of `chip`. Reads files: not for the kernel's thread.
    pub(crate) fn load(&self, chip: &ChipInfo) -> Result<Image, Error> {
        match self {
            Self::System => {
                let named = std::env::var_os(FIRMWARE_DIR_VARIABLE).filter(|dir| !dir.is_empty());
                let dirs: Vec<PathBuf> =
                    named.iter().map(PathBuf::from).chain([PathBuf::from(SYSTEM_DIR)]).collect();
                search(chip, &dirs, named.is_some())
            }
            Self::Directory(dir) => search(chip, std::slice::from_ref(dir), false),
            Self::File(path) => match read_file(path) {
                Ok(data) => Image::new(chip, path.display().to_string(), data),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::new(
                    Stage::Firmware,
                    ErrorKind::FirmwareMissing {
                        name: chip.firmware.name,
                        looked: vec![path.clone()],
                        dir_set: false,
                    },
                )),
                Err(error) => Err(invalid(path.display().to_string(), error.to_string())),
            },
            Self::Bytes { origin, data } => Image::new(chip, origin.clone(), data.clone()),
        }
    }
}

fn invalid(origin: String, problem: String) -> Error {
    Error::new(Stage::Firmware, ErrorKind::FirmwareInvalid { origin, problem })
}

/// Tries `dir/rtw88/NAME` and `dir/NAME`, plain and packed, in each of `dirs`.
fn search(chip: &ChipInfo, dirs: &[PathBuf], dir_set: bool) -> Result<Image, Error> {
    let name = Path::new(chip.firmware.name);
    let mut looked = Vec::new();
    for dir in dirs {
        let in_tree = dir.join(name);
        let flat = name.file_name().map(|file| dir.join(file));
        for base in [Some(in_tree), flat].into_iter().flatten() {
            for suffix in ["", ".xz", ".zst"] {
                let mut path = OsString::from(base.as_os_str());
                path.push(suffix);
                let path = PathBuf::from(path);
                match read_file(&path) {
                    Ok(data) => return Image::new(chip, path.display().to_string(), data),
                    Err(error) if is_absent(&error) => looked.push(path),
                    Err(error) => return Err(invalid(path.display().to_string(), error.to_string())),
                }
            }
        }
    }
    Err(Error::new(Stage::Firmware, ErrorKind::FirmwareMissing { name: chip.firmware.name, looked, dir_set }))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The file's content, unpacked by its suffix, and no more than [`LARGEST_FILE`] of it.
fn read_file(path: &Path) -> io::Result<Bytes> {
    let mut packed = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut packed)?;
    if packed.len() as u64 > LARGEST_FILE {
        return Err(too_large());
    }
    let data = match path.extension().and_then(|ext| ext.to_str()) {
        Some("xz") => unpack_xz(&packed)?,
        Some("zst") => unpack_zstd(&packed)?,
        _ => packed,
    };
    Ok(data.into())
}

fn too_large() -> io::Error {
    io::Error::other("larger than any firmware of this family (1 MiB)")
}

#[cfg(feature = "xz")]
fn unpack_xz(packed: &[u8]) -> io::Result<Vec<u8>> {
    /// Takes no more than a firmware may be, so that a small file cannot unpack to a large one.
    struct Bounded(Vec<u8>);
    impl io::Write for Bounded {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            if self.0.len() as u64 + data.len() as u64 > LARGEST_FILE {
                return Err(too_large());
            }
            self.0.extend_from_slice(data);
            Ok(data.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut out = Bounded(Vec::new());
    lzma_rs::xz_decompress(&mut &packed[..], &mut out)
        .map_err(|error| io::Error::other(format!("not a valid .xz file: {error:?}")))?;
    Ok(out.0)
}

#[cfg(not(feature = "xz"))]
fn unpack_xz(_: &[u8]) -> io::Result<Vec<u8>> {
    Err(io::Error::other("this build cannot unpack .xz files (feature `xz` is off)"))
}

#[cfg(feature = "zstd")]
fn unpack_zstd(packed: &[u8]) -> io::Result<Vec<u8>> {
    let bad = |error: &dyn std::fmt::Display| io::Error::other(format!("not a valid .zst file: {error}"));
    let decoder = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|error| bad(&error))?;
    let mut out = Vec::new();
    decoder.take(LARGEST_FILE + 1).read_to_end(&mut out).map_err(|error| bad(&error))?;
    if out.len() as u64 > LARGEST_FILE {
        return Err(too_large());
    }
    Ok(out)
}

#[cfg(not(feature = "zstd"))]
fn unpack_zstd(_: &[u8]) -> io::Result<Vec<u8>> {
    Err(io::Error::other("this build cannot unpack .zst files (feature `zstd` is off)"))
}

/// A chip's firmware file.
#[derive(Debug)]
pub(crate) struct FirmwareInfo {
    /// Its name, below the firmware directory's parent.
    pub(crate) name: &'static str,
    /// Signature in its header, without the low four bits, which tell the variant.
    pub(crate) signature: u16,
    /// Its shape, and how it gets into the chip.
    pub(crate) format: FirmwareFormat,
}

/// The shape of a firmware file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FirmwareFormat {
    /// For the 8051: a header of 32 bytes and one run of code, of `max_size` bytes at most, which goes into the chip
    /// page by page through a window of registers (rtw88 `fw.h`, `struct rtw_fw_hdr_legacy`).
    Legacy {
        /// The most that the code may take, header not counted.
        max_size: usize,
    },
    /// For the 3081: a header of 64 bytes and a run of code for each of its memories, which go into the chip as
    /// reserved pages of the transmit buffer and from there by DMA (rtw88 `fw.h`, `struct rtw_fw_hdr`).
    Sections,
}

/// A firmware file that fits the chip.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    data: Bytes,
    sections: Vec<Section>,
}

/// What goes into one place of the chip's memories.
#[derive(Clone, Debug)]
struct Section {
    address: u32,
    range: Range<usize>,
}

/// The header of 8051 firmware: signature first, the code's size at 12.
const LEGACY_HEADER: usize = 32;
/// The header of 3081 firmware.
const SECTIONS_HEADER: usize = 64;
/// Each section is followed by its checksum, which its size does not count.
const SECTION_CHECKSUM: usize = 8;
const VARIANT_BITS: u16 = 0x000f;

/// Signatures of the family's other files, so that a mix-up is named.
const OTHERS: &[(u16, &str)] = &[
    (0x2100, "RTL8821A"),
    (0x9500, "RTL8812A"),
    (0x8810, "RTL8814A"),
    (0x23d0, "RTL8723D"),
    (0x03b0, "RTL8703B"),
    (0x5300, "RTL8723B"),
];

impl Image {
    /// Checks signature and sizes.
    pub(crate) fn new(chip: &ChipInfo, origin: String, data: Bytes) -> Result<Self, Error> {
        Self::check(chip, &data)
            .map(|sections| Self { data, sections })
            .map_err(|problem| invalid(origin, problem))
    }

    fn check(chip: &ChipInfo, data: &[u8]) -> Result<Vec<Section>, String> {
        let info = &chip.firmware;
        let header = match info.format {
            FirmwareFormat::Legacy { .. } => LEGACY_HEADER,
            FirmwareFormat::Sections => SECTIONS_HEADER,
        };
        if data.len() <= header {
            let length = data.len();
            return Err(format!(
                "truncated: {length} bytes, expected a header of {header} and code after it"
            ));
        }
        let signature = u16::from_le_bytes([data[0], data[1]]);
        let family = signature & !VARIANT_BITS;
        if family != info.signature {
            let whose = OTHERS.iter().find(|(other, _)| *other == family);
            let whose = whose.map_or("no chip that is known here", |(_, name)| name);
            return Err(format!(
                "signature {signature:#06x} is of {whose}, expected {:#05x}x ({})",
                info.signature >> 4,
                chip.chip
            ));
        }
        let code = data.len() - header;
        let sections = match info.format {
            FirmwareFormat::Legacy { .. } => {
                let size = usize::from(u16::from_le_bytes([data[12], data[13]]));
                vec![Section { address: 0, range: header..header + size }]
            }
            FirmwareFormat::Sections => sections(data)?,
        };
        let said = sections.iter().map(|section| section.range.len()).sum::<usize>();
        if code < said {
            return Err(format!("truncated: {code} bytes of code, the header says {said}"));
        }
        if code > said {
            return Err(format!("{code} bytes of code, the header says {said}: not one firmware file alone"));
        }
        match info.format {
            FirmwareFormat::Legacy { max_size } if code > max_size => {
                Err(format!("{code} bytes of code, the {} takes {max_size} at most", chip.chip))
            }
            _ => Ok(sections),
        }
    }

    /// What goes into the chip's RAM, all sections one after the other.
    pub(crate) fn code(&self) -> &[u8] {
        let start = self.sections.first().map_or(0, |section| section.range.start);
        &self.data[start..]
    }

    /// Where each part goes in the MCU's address space, and the part with its checksum, in order.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.sections.iter().map(|section| (section.address, &self.data[section.range.clone()]))
    }
}

/// The sections that a header of 3081 firmware names: data, instructions, and a third one if bit 4 of the usage byte
/// says so (rtw88 `mac.c`, `check_firmware_size`, `start_download_firmware`).
fn sections(data: &[u8]) -> Result<Vec<Section>, String> {
    let word = |at: usize| u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
    let mut named = vec![(word(0x20), word(0x24)), (word(0x3c), word(0x30))];
    let third = word(0x34);
    if data[0x18] & 0x10 != 0 && third != 0 {
        named.push((word(0x38), third));
    }
    let mut sections = Vec::with_capacity(named.len());
    let mut start = SECTIONS_HEADER;
    for (address, size) in named {
        if u64::from(size) > LARGEST_FILE {
            return Err(format!("the header names a section of {size} bytes"));
        }
        let end = start + size as usize + SECTION_CHECKSUM;
        // The highest bit is not part of the address.
        sections.push(Section { address: address & !(1 << 31), range: start..end });
        start = end;
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::Chip;

    fn file(signature: u16, code: usize) -> Vec<u8> {
        let mut data = vec![0_u8; LEGACY_HEADER];
        data[..2].copy_from_slice(&signature.to_le_bytes());
        data[12..14].copy_from_slice(&(code as u16).to_le_bytes());
        data.extend((0..code).map(|n| (n * 7) as u8));
        data
    }

    fn check(data: Vec<u8>) -> Result<Image, Error> {
        Firmware::bytes("test", data).load(Chip::Rtl8812au.info())
    }

    /// An RTL8814A's file: 0x20 bytes of data, 0x18 of instructions, 0x10 of the third memory if `third`.
    fn sectioned(third: bool) -> Vec<u8> {
        let mut data = vec![0_u8; SECTIONS_HEADER];
        data[..2].copy_from_slice(&0x8814_u16.to_le_bytes());
        data[0x18] = u8::from(third) << 4;
        for (at, word) in [
            (0x20, 0x8020_0000_u32),
            (0x24, 0x20),
            (0x30, 0x18),
            (0x34, 0x10),
            (0x38, 0x1000),
            (0x3c, 0x8000_0000),
        ] {
            data[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let code = 0x28 + 0x20 + if third { 0x18 } else { 0 };
        data.extend((0..code).map(|n: u8| n));
        data
    }

    #[test]
    fn w4_a_file_of_sections_says_where_each_goes() {
        let places = |data: &[u8]| {
            sections(data).map(|found| found.into_iter().map(|s| (s.address, s.range)).collect::<Vec<_>>())
        };
        let two = [(0x0020_0000, 64..104), (0, 104..136)];
        assert_eq!(places(&sectioned(false)).unwrap(), two);
        assert_eq!(places(&sectioned(true)).unwrap()[2], (0x1000, 136..160));
        let mut hostile = sectioned(false);
        hostile[0x24..0x28].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(places(&hostile).is_err());
    }

    #[test]
    fn w4_a_file_of_the_chip_is_taken_without_its_header() {
        let data = file(0x9501, 5000);
        assert_eq!(check(data.clone()).unwrap().code(), &data[LEGACY_HEADER..]);
    }

    #[test]
    fn w4_a_truncated_file_says_how_much_is_missing() {
        for keep in [0, 1, 31, 32, 33, 5000] {
            let error = check(file(0x9501, 5000)[..keep].to_vec()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("truncated"), "{keep}: {text}");
            assert_eq!(error.stage(), Stage::Firmware);
            assert!(!error.is_retryable() && error.hint().is_some());
        }
    }

    #[test]
    fn w4_another_chips_file_is_named() {
        let text = check(file(0x2101, 5000)).unwrap_err().to_string();
        assert!(text.contains("RTL8821A") && text.contains("RTL8812AU"), "{text}");
    }

    #[test]
    fn w4_a_file_that_does_not_fit_the_chip_is_refused() {
        assert!(check(file(0x9501, 0x8001)).unwrap_err().to_string().contains("at most"));
    }

    #[test]
    fn w4_missing_firmware_lists_every_place_and_names_the_package() {
        let dir = scratch("missing");
        let error = Firmware::Directory(dir.clone()).load(Chip::Rtl8812au.info()).unwrap_err();
        let ErrorKind::FirmwareMissing { name, looked, .. } = error.kind() else { panic!("{error:?}") };
        assert_eq!(*name, "rtw88/rtw8812a_fw.bin");
        for place in ["rtw88/rtw8812a_fw.bin", "rtw88/rtw8812a_fw.bin.xz", "rtw8812a_fw.bin.zst"] {
            assert!(looked.contains(&dir.join(place)), "{place}");
        }
        assert!(error.hint().unwrap().contains("firmware-realtek"));
    }

    #[test]
    fn w4_plain_and_packed_files_are_found() {
        let plain = file(0x9501, 3000);
        let mut xz = Vec::new();
        #[cfg(feature = "xz")]
        lzma_rs::xz_compress(&mut &plain[..], &mut xz).unwrap();
        let zst = ruzstd_raw_frame(&plain);
        for (suffix, content) in [("", plain.clone()), (".xz", xz), (".zst", zst)] {
            let on = match suffix {
                ".xz" => cfg!(feature = "xz"),
                ".zst" => cfg!(feature = "zstd"),
                _ => true,
            };
            let dir = scratch(&format!("packed{suffix}"));
            std::fs::create_dir_all(dir.join("rtw88")).unwrap();
            std::fs::write(dir.join(format!("rtw88/rtw8812a_fw.bin{suffix}")), content).unwrap();
            let loaded = Firmware::Directory(dir).load(Chip::Rtl8812au.info());
            assert_eq!(loaded.is_ok(), on, "{suffix}: {loaded:?}");
            if let Ok(image) = loaded {
                assert_eq!(image.code(), &plain[LEGACY_HEADER..], "{suffix}");
            }
        }
    }

    #[test]
    fn w4_a_damaged_packed_file_is_named_and_not_passed_over() {
        let dir = scratch("damaged");
        std::fs::write(dir.join("rtw8812a_fw.bin.xz"), b"not xz at all").unwrap();
        let error = Firmware::Directory(dir).load(Chip::Rtl8812au.info()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::FirmwareInvalid { .. }), "{error:?}");
    }

    /// A Zstandard frame of one raw block (RFC 8878): magic, single-segment header with a 2-byte size, block.
    fn ruzstd_raw_frame(data: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x60];
        frame.extend(((data.len() - 256) as u16).to_le_bytes());
        let block = (data.len() as u32) << 3 | 1;
        frame.extend(&block.to_le_bytes()[..3]);
        frame.extend(data);
        frame
    }

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("airlift-firmware-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }
}
