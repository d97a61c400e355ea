//! Turns the table source of a distribution's `rtw88` driver into Airlift's data files.
//!
//! ```text
//! cargo run -p airlift-tablegen -- --source DIR --chip rtl8812a --out wifi/tables
//! ```
//!
//! `DIR` is the folder that holds `rtw8812a_table.c` (`drivers/net/wireless/realtek/rtw88` of a kernel source
//! package). The files land in `OUT/CHIP/`, one a table, with `SHA256SUMS` beside them; what a file looks like
//! is told in `wifi/tables/README.md`. [`source`] reads the C initialisers, [`data`] writes the files.
#![forbid(unsafe_code)]

mod data;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use sha2::{Digest, Sha256};

/// Reads the numeric tables of the rtw88 driver into data files.
#[derive(Parser, Debug)]
struct Arguments {
    /// Folder with the driver's source (…/drivers/net/wireless/realtek/rtw88)
    #[arg(long)]
    source: PathBuf,
    /// Chip, as `rtl8812a`, `rtl8821a` or `rtl8814a`
    #[arg(long)]
    chip: String,
    /// Folder to write to; the files go into a subfolder named after the chip
    #[arg(long)]
    out: PathBuf,
    /// Kernel version that the source belongs to; default: from a `linux-source-X.Y` or `linux-X.Y` folder in
    /// the source's path
    #[arg(long)]
    kernel: Option<String>,
}

/// What can go wrong between a source folder and a table folder.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("chip must be `rtl` and a number as in `rtl8812a`, got `{0}`")]
    Chip(String),
    #[error("no kernel version in the path {0}; give one with --kernel")]
    Kernel(PathBuf),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("{path}: {error}")]
    Source { path: PathBuf, error: source::SourceError },
    #[error("{0}: no tables found")]
    Empty(PathBuf),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(files) => {
            println!("{files} tables");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Writes every table of the chip; returns how many.
fn run(arguments: &Arguments) -> Result<usize, Failure> {
    let number = arguments
        .chip
        .strip_prefix("rtl")
        .filter(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_alphanumeric()))
        .ok_or_else(|| Failure::Chip(arguments.chip.clone()))?;
    let kernel = match &arguments.kernel {
        Some(version) => version.clone(),
        None => kernel_version(&arguments.source).ok_or_else(|| Failure::Kernel(arguments.source.clone()))?,
    };

    let file = format!("rtw{number}_table.c");
    let path = arguments.source.join(&file);
    let text = fs::read_to_string(&path).map_err(|error| Failure::Io { path: path.clone(), error })?;
    let tables = source::tables(&text, &format!("rtw{number}_"))
        .map_err(|error| Failure::Source { path: path.clone(), error })?;
    if tables.is_empty() {
        return Err(Failure::Empty(path));
    }

    let folder = arguments.out.join(&arguments.chip);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| Failure::Io { path, error }
    };
    fs::create_dir_all(&folder).map_err(io(&folder))?;
    let origin = data::Origin { file: &file, kernel: &kernel };
    let mut sums = String::new();
    for table in &tables {
        let name = format!("{}.txt", table.file_stem);
        let content = data::render(table, &origin);
        let path = folder.join(&name);
        fs::write(&path, &content).map_err(io(&path))?;
        let digest = Sha256::digest(content.as_bytes());
        sums.extend(digest.iter().map(|byte| format!("{byte:02x}")));
        sums.push_str("  ");
        sums.push_str(&name);
        sums.push('\n');
    }
    let path = folder.join("SHA256SUMS");
    fs::write(&path, sums).map_err(io(&path))?;
    Ok(tables.len())
}

/// The version in the last path component of the form `linux-source-7.2` or `linux-7.2`.
fn kernel_version(source: &Path) -> Option<String> {
    source.components().rev().find_map(|component| {
        let name = component.as_os_str().to_str()?;
        let rest = name.strip_prefix("linux-")?;
        let version = rest.strip_prefix("source-").unwrap_or(rest);
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_version_comes_from_the_innermost_source_folder() {
        let path = Path::new("/a/linux-6.1/usr/src/linux-source-7.2/drivers/net/wireless/realtek/rtw88");
        assert_eq!(kernel_version(path).as_deref(), Some("7.2"));
        assert_eq!(kernel_version(Path::new("/usr/src/linux-headers/rtw88")), None);
    }
}
