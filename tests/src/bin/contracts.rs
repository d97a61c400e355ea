//! `cargo run -p airlift-tests --bin contracts [R R8 …]`: the contract lines, and the tests that prove each.
//!
//! Without arguments all lines; otherwise those of the groups and lines named. Fails if a line has no proof.

use std::process::ExitCode;

use airlift_tests::contracts::{LINES, proofs, workspace};

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).map(|arg| arg.to_uppercase()).collect();
    let found = match proofs(&workspace()) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("error: cannot read the workspace's sources: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut bare = Vec::new();
    let mut tests = 0;
    for line in LINES {
        let group = &line.id[..1];
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == line.id || wanted == group) {
            continue;
        }
        let proofs = found.get(line.id).map_or(&[][..], Vec::as_slice);
        tests += proofs.len();
        println!("{:<4} {}", line.id, line.title);
        for proof in proofs {
            let on_request = if proof.ignored { "  (on request)" } else { "" };
            println!("       {}  {}:{}{on_request}", proof.test, proof.file.display(), proof.line);
        }
        if let Some(also) = line.also {
            println!("       and {also}");
        } else if proofs.is_empty() {
            println!("       NOTHING");
            bare.push(line.id);
        }
    }
    println!("{tests} tests");
    if bare.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: nothing proves {}", bare.join(", "));
    ExitCode::FAILURE
}
