//! Two measurements at a time: of the kernel, and of the floor that the machine sets.
//!
//! The machine is shared, and its neighbours come and go. So both are measured in turns, each pair within
//! milliseconds, and what counts is the median of the pairs' ratios. `criterion` measures one thing for seconds and
//! then the other, and has no word for a ratio; the medians here are all that is needed of it.

use std::fmt;
use std::time::Duration;

/// What is asked of the ratio of ours to the floor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Our time, at most so many times the floor's.
    AtMost(f64),
    /// Our throughput, at least so many times the floor's.
    AtLeast(f64),
    /// Told only.
    None,
}

/// Runs both `pairs` times and prints the medians. Each returns what one of `each` things took.
pub(crate) fn compare(
    what: &str,
    goal: Goal,
    pairs: usize,
    each: u32,
    mut ours: impl FnMut() -> Duration,
    mut floor: impl FnMut() -> Duration,
) {
    // Once for the caches, the branch predictor and the adaptive spinning.
    floor();
    ours();
    let mut samples = Vec::with_capacity(pairs);
    for _ in 0..pairs {
        let floor = floor().as_secs_f64();
        samples.push((ours().as_secs_f64(), floor));
    }
    let each = f64::from(each);
    let ours = median(samples.iter().map(|sample| sample.0 / each));
    let floor = median(samples.iter().map(|sample| sample.1 / each));
    let ratio = median(samples.iter().map(|sample| sample.0 / sample.1));
    let (told, met) = match goal {
        Goal::AtMost(limit) => {
            (format!("{ratio:.2} x the time"), Some((format!("<= {limit}"), ratio <= limit)))
        }
        Goal::AtLeast(limit) => {
            (format!("{:.2} x the rate", 1.0 / ratio), Some((format!(">= {limit}"), 1.0 / ratio >= limit)))
        }
        Goal::None => (format!("{ratio:.2} x the time"), None),
    };
    row(what, &format!("{} (floor {})", Nanos(ours), Nanos(floor)), &told, met);
}

/// One line of the table.
pub(crate) fn row(what: &str, measured: &str, told: &str, goal: Option<(String, bool)>) {
    let goal =
        goal.map_or(String::new(), |(goal, met)| format!("{goal}: {}", if met { "met" } else { "MISSED" }));
    println!("{what:<46} {measured:<32} {told:<16} {goal}");
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds, printed to three places.
pub(crate) struct Nanos(pub(crate) f64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s < 1e-6 => write!(f, "{:.1} ns", s * 1e9),
            s if s < 1e-3 => write!(f, "{:.2} us", s * 1e6),
            s => write!(f, "{:.2} ms", s * 1e3),
        }
    }
}
