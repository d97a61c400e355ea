//! Where the chip's firmware comes from, and whether it is the chip's.
//!
//! [`Firmware`] says where to look; an `Image` is a file that was found, unpacked and checked. Distributions pack
//! the files (`.xz`, `.zst`) or leave them plain (`.bin`). No vendor firmware is part of this repository.
//! Neighbour: `driver::download` puts an image into the chip.

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
                        name: chip.firmware_name,
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
    let name = Path::new(chip.firmware_name);
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
    Err(Error::new(Stage::Firmware, ErrorKind::FirmwareMissing { name: chip.firmware_name, looked, dir_set }))
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

/// A firmware file that fits the chip.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    data: Bytes,
}

/// The header of 8051 firmware (rtw88 `fw.h`, `struct rtw_fw_hdr_legacy`): signature first, the code's size at 12.
const HEADER: usize = 32;
const SIZE_AT: usize = 12;
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
    /// Checks signature and size.
    pub(crate) fn new(chip: &ChipInfo, origin: String, data: Bytes) -> Result<Self, Error> {
        let field = |at: usize| Some(u16::from_le_bytes([*data.get(at)?, *data.get(at + 1)?]));
        let (Some(signature), Some(size), true) = (field(0), field(SIZE_AT), data.len() > HEADER) else {
            return Err(invalid(
                origin,
                format!("truncated: {} bytes, expected a header of {HEADER} and code after it", data.len()),
            ));
        };
        let family = signature & !VARIANT_BITS;
        if family != chip.firmware_signature {
            let whose = OTHERS.iter().find(|(other, _)| *other == family);
            let whose = whose.map_or("no chip that is known here", |(_, name)| name);
            return Err(invalid(
                origin,
                format!(
                    "signature {signature:#06x} is of {whose}, expected {:#05x}x ({})",
                    chip.firmware_signature >> 4,
                    chip.chip
                ),
            ));
        }
        let code = data.len() - HEADER;
        let said = usize::from(size);
        if code < said {
            return Err(invalid(origin, format!("truncated: {code} bytes of code, the header says {said}")));
        }
        if code > said {
            return Err(invalid(
                origin,
                format!("{code} bytes of code, the header says {said}: not one firmware file alone"),
            ));
        }
        if code > chip.firmware_max_size {
            return Err(invalid(
                origin,
                format!("{code} bytes of code, the {} takes {} at most", chip.chip, chip.firmware_max_size),
            ));
        }
        Ok(Self { data })
    }

    /// What goes into the chip's RAM.
    pub(crate) fn code(&self) -> &[u8] {
        &self.data[HEADER..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::Chip;

    fn file(signature: u16, code: usize) -> Vec<u8> {
        let mut data = vec![0_u8; HEADER];
        data[..2].copy_from_slice(&signature.to_le_bytes());
        data[SIZE_AT..SIZE_AT + 2].copy_from_slice(&(code as u16).to_le_bytes());
        data.extend((0..code).map(|n| (n * 7) as u8));
        data
    }

    fn check(data: Vec<u8>) -> Result<Image, Error> {
        Firmware::bytes("test", data).load(Chip::Rtl8812au.info())
    }

    #[test]
    fn w4_a_file_of_the_chip_is_taken_without_its_header() {
        let data = file(0x9501, 5000);
        assert_eq!(check(data.clone()).unwrap().code(), &data[HEADER..]);
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
                assert_eq!(image.code(), &plain[HEADER..], "{suffix}");
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
