//! [`Tally`]: what became of the frames of a file.

use std::collections::BTreeMap;

use airlift_wifi::Delivery;
use airlift_wifi::tx::Unhonoured;

use super::fate::Fate;
use crate::escape::escaped;
use crate::render::{counted, grouped};

/// Reasons that are told apart; a file may have as many as frames.
const REASONS: usize = 16;

/// Why frames ended so: how many, and the first one's number in the file.
#[derive(Debug, Default)]
struct Reasons(BTreeMap<String, (u64, u64)>);

impl Reasons {
    fn add(&mut self, number: u64, reason: &str) {
        let known = self.0.contains_key(reason) || self.0.len() < REASONS;
        let reason = if known { reason } else { "other reasons" };
        let (count, _) = self.0.entry(reason.into()).or_insert((0, number));
        *count += 1;
    }

    fn count(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    fn lines(&self, what: &str) -> impl Iterator<Item = String> {
        self.0.iter().map(move |(reason, (count, first))| {
            let which = match count {
                1 => format!("frame {}", grouped(*first)),
                _ => format!("{}, the first is frame {}", counted(*count, "frame"), grouped(*first)),
            };
            format!("{what}: {} ({which})", escaped(reason))
        })
    }
}

/// The account: `read` is the sum of all others, once nothing is under way any more.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Frames that were read.
    pub(super) read: u64,
    acknowledged: u64,
    not_acknowledged: u64,
    expired: u64,
    sent: u64,
    retries: u64,
    unknown: Reasons,
    refused: Reasons,
    not_sent: Reasons,
    /// What was asked for and not done, and for how many frames.
    unhonoured: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// It is known what became of a frame, or that it will not be known.
    pub(super) fn add(&mut self, number: u64, fate: &Fate) {
        let outcome = match fate {
            Fate::Told(outcome) => outcome,
            Fate::Unknown(reason) => return self.unknown.add(number, reason),
            Fate::Refused(reason) => return self.refused.add(number, reason),
            Fate::NotSent(reason) => return self.not_sent.add(number, reason),
        };
        *match outcome.delivery {
            Delivery::Acknowledged => &mut self.acknowledged,
            Delivery::NotAcknowledged => &mut self.not_acknowledged,
            Delivery::Expired => &mut self.expired,
            _ => &mut self.sent,
        } += 1;
        self.retries += u64::from(outcome.retries.unwrap_or(0));
        for (name, _) in outcome.unhonoured.iter_names() {
            *self.unhonoured.entry(name).or_default() += 1;
        }
    }

    /// How many were certainly not sent.
    pub(super) fn not_sent(&self) -> u64 {
        self.refused.count() + self.not_sent.count()
    }

    fn told(&self) -> u64 {
        self.acknowledged + self.not_acknowledged + self.expired + self.sent
    }

    /// Whether every frame that was read is in it.
    pub(super) fn is_complete(&self) -> bool {
        self.read == self.told() + self.unknown.count() + self.not_sent()
    }

    /// The account in lines; none if nothing was read.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut parts = Vec::new();
        for (count, words) in [
            (self.acknowledged, "acknowledged"),
            (self.not_acknowledged, "not acknowledged"),
            (self.sent, "sent without waiting for an answer"),
            (self.expired, "expired in the adapter"),
            (self.unknown.count(), "unknown"),
            (self.refused.count(), "refused"),
            (self.not_sent.count(), "not sent"),
        ] {
            if count > 0 {
                parts.push(format!("{} {words}", grouped(count)));
            }
        }
        if self.told() > 0 {
            parts.push(match self.retries {
                1 => "1 retry".into(),
                retries => format!("{} retries", grouped(retries)),
            });
        }
        let mut lines = Vec::new();
        if !parts.is_empty() {
            lines.push(parts.join(", "));
        }
        for (name, count) in &self.unhonoured {
            let wish = Unhonoured::from_name(name).map(|wish| wish.to_string()).unwrap_or_default();
            lines.push(format!("not honoured: {wish}, for {}", counted(*count, "frame")));
        }
        lines.extend(self.unknown.lines("unknown"));
        lines.extend(self.refused.lines("refused"));
        lines.extend(self.not_sent.lines("not sent"));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_once_with_how_many_and_where() {
        let mut tally = Tally { read: 37, acknowledged: 3, retries: 1, ..Tally::default() };
        for number in [4, 9] {
            tally.add(number, &Fate::Refused("too long".into()));
        }
        tally.add(10, &Fate::Unknown("stalled".into()));
        assert_eq!(
            tally.lines(),
            [
                "3 acknowledged, 1 unknown, 2 refused, 1 retry",
                "unknown: stalled (frame 10)",
                "refused: too long (2 frames, the first is frame 4)"
            ]
        );
        for number in 10..40 {
            tally.add(number, &Fate::Refused(format!("reason {number}")));
        }
        assert_eq!(tally.not_sent(), 32);
        assert!(!tally.is_complete());
        tally.add(40, &Fate::NotSent("interrupted".into()));
        assert!(tally.is_complete());
        assert_eq!(tally.lines().len(), 1 + 1 + REASONS + 1 + 1);
        let others = "other reasons (15 frames, the first is frame 25)";
        assert!(tally.lines().iter().any(|line| line.contains(others)));
    }

    #[test]
    fn where_nothing_was_read_nothing_is_told() {
        assert!(Tally::default().lines().is_empty());
    }
}
