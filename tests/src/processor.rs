//! Processor time of each thread of this process, as Linux tells it. For benchmarks.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;

/// What each thread has used so far, by its name; threads of one name together.
#[derive(Clone, Debug, Default)]
pub struct Times(BTreeMap<String, Duration>);

impl Times {
    /// The times of now; empty where there is no `/proc`.
    pub fn now() -> Self {
        let mut times = BTreeMap::<String, Duration>::new();
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let ns = read("schedstat").split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
            *times.entry(read("comm").trim().to_owned()).or_default() += Duration::from_nanos(ns);
        }
        Self(times)
    }

    /// What each thread has used since `before` for one of `count` things, if anything.
    pub fn since(&self, before: &Self, count: u32) -> Vec<(String, Duration)> {
        let used = |(thread, time): (&String, &Duration)| {
            let used = time.saturating_sub(before.0.get(thread).copied().unwrap_or_default());
            (thread.clone(), used / count.max(1))
        };
        self.0.iter().map(used).filter(|(_, time)| !time.is_zero()).collect()
    }
}

/// The sum, and the threads in words: `app 1.2µs, airlift 3.4µs`.
pub fn told(used: &[(String, Duration)]) -> (Duration, String) {
    let each: Vec<String> = used.iter().map(|(thread, time)| format!("{thread} {time:.2?}")).collect();
    (used.iter().map(|(_, time)| *time).sum(), each.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_shared_out() {
        let times = |ns: u64| Times([("a".to_owned(), Duration::from_nanos(ns))].into());
        let used = times(5_000).since(&times(1_000), 4);
        assert_eq!(used, [("a".to_owned(), Duration::from_nanos(1_000))]);
        assert_eq!(told(&used), (Duration::from_nanos(1_000), "a 1.00µs".to_owned()));
        assert!(times(7).since(&times(7), 0).is_empty());
    }
}
