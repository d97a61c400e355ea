//! The list of contract lines is complete, and so are the proofs of the lines about the API and the kernel core.

use airlift_tests::contracts::{LINES, proofs, sources, workspace};

#[test]
fn every_line_has_a_proof_and_every_proof_a_line() {
    let found = proofs(&workspace()).unwrap();
    for line in LINES {
        // What stands beside the tests helps nobody who only runs them: the core's lines need tests of their own.
        let core = line.id.starts_with(['A', 'R']);
        // A test that is ignored proves nothing to who runs the tests.
        let proven = found.get(line.id).is_some_and(|proofs| proofs.iter().any(|proof| !proof.ignored));
        assert!(proven || (!core && line.also.is_some()), "nothing proves {}", line.id);
    }
    for (id, proofs) in &found {
        assert!(LINES.iter().any(|line| line.id == id), "{id} is no line: {proofs:?}");
    }
}

#[test]
fn h7_unsafe_code_is_forbidden_but_in_the_libusb_backend_where_each_block_says_why() {
    let root = workspace();
    let mut crates = 0;
    for file in sources(&root).unwrap() {
        let name = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        if name.ends_with("src/lib.rs") || name.ends_with("src/main.rs") {
            crates += 1;
            let rule =
                if name == "hcd/src/lib.rs" { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
            assert!(text.contains(rule), "{name} allows unsafe code");
        }
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let uses = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
            if name == "tests/tests/contracts.rs" || !uses.iter().any(|form| code.contains(form)) {
                continue;
            }
            // The bare loop that the backend is measured against is no part of the library.
            let allowed =
                name.starts_with("hcd/src/backend/libusb") || name == "hcd/examples/libusb_overhead.rs";
            assert!(allowed, "{name}:{} has unsafe code", at + 1);
            // The reason stands right above, below other comments and attributes at most.
            let above = lines[..at].iter().rev().take_while(|line| {
                let line = line.trim_start();
                line.starts_with("//") || line.starts_with("#[") || line.contains("unsafe impl")
            });
            let reasoned = above.into_iter().chain([line]).any(|line| line.contains("SAFETY"));
            let declares = code.contains("unsafe fn") || code.contains("unsafe extern");
            assert!(reasoned || declares, "{name}:{} does not say why it is sound", at + 1);
        }
    }
    assert!(crates >= 9, "{crates} crates");
}
