//! What the kernel core costs, beside the floor that this machine sets, measured in the same run.
//!
//! ```text
//! cargo bench -p airlift-runtime --bench kernel                              all
//! cargo bench -p airlift-runtime --bench kernel -- parked storm              some
//! cargo bench -p airlift-runtime --bench kernel --features lock-validator -- spinlocks
//! cargo bench -p airlift-runtime --bench timers                              timers by their number
//! cargo bench -p airlift-hcd --bench control_round_trips                     8,000 control transfers
//! ```
//!
//! The figures and what is to be said of them stand in `BENCHMARKS.md`, which is part of the crate's documentation.

mod endurance;
mod latency;
mod pairs;
mod throughput;

use std::time::{Duration, Instant};

const ALL: [(&str, fn()); 9] = [
    ("parked", latency::parked),
    ("spinning", latency::spinning),
    ("coalescing", throughput::coalescing),
    ("tokens", throughput::distinct_tokens),
    ("tasks", throughput::tasks),
    ("own", throughput::own_trigger),
    ("storm", endurance::storm),
    ("idle", endurance::idle),
    ("spinlocks", endurance::spinlocks),
];

fn main() {
    // Cargo's own arguments begin with dashes.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, run) in ALL {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            run();
        }
    }
}

/// Keeps the processor busy: a thread that sleeps instead would be woken late itself.
fn spin_for(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}
