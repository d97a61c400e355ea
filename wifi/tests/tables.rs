//! The numeric tables that lie in the repository are the ones that the tool has written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn chips() -> Vec<PathBuf> {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("tables");
    let entries = fs::read_dir(tables).expect("tables").map(|entry| entry.expect("entry").path());
    entries.filter(|path| path.is_dir()).collect()
}

fn sums(chip: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(chip.join("SHA256SUMS")).expect("checksums");
    let pair = |line: &str| line.split_once("  ").map(|(sum, name)| (name.to_owned(), sum.to_owned()));
    text.lines().map(|line| pair(line).expect("a sum and a name")).collect()
}

#[test]
fn every_table_has_the_checksum_that_it_was_written_with() {
    let chips = chips();
    assert!(!chips.is_empty());
    for chip in chips {
        for (name, sum) in sums(&chip) {
            let bytes = fs::read(chip.join(&name)).expect("a listed table");
            let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, sum, "{} of {}", name, chip.display());
        }
    }
}

#[test]
fn every_file_is_listed_and_tells_origin_kernel_and_licence() {
    for chip in chips() {
        let listed: BTreeSet<_> = sums(&chip).into_iter().map(|(name, _)| name).collect();
        let entries = fs::read_dir(&chip).expect("folder").map(|entry| entry.expect("entry").file_name());
        let names = entries.map(|name| name.into_string().expect("a name"));
        let there: BTreeSet<_> = names.filter(|name| name != "SHA256SUMS").collect();
        assert_eq!(listed, there);
        for name in there {
            let text = fs::read_to_string(chip.join(&name)).expect("text");
            for header in
                ["# airlift-table: 1\n", "\n# origin: linux/", "\n# kernel: ", "\n# licence: BSD-3-Clause"]
            {
                assert!(text.contains(header), "{name} lacks {header:?}");
            }
        }
    }
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables/LICENSE").is_file());
}
