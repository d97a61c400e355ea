//! [`Tally`]: what became of the frames of a file.

use std::collections::BTreeMap;

use airlift_wifi::tx::{Unhonoured, Unknown};
use airlift_wifi::{Delivery, InjectError, Outcome};

use crate::escape::escaped;
use crate::render::{counted, grouped};

/// Reasons that are told apart; a file may have as many as frames.
const REASONS: usize = 16;

/// The account: `read` is the sum of all that was sent and all that was not, once nothing is under way any more.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Frames that were read.
    pub(super) read: u64,
    acknowledged: u64,
    not_acknowledged: u64,
    expired: u64,
    sent: u64,
    no_report: u64,
    retries: u64,
    /// Why frames were not sent: how many, and the first one's number in the file.
    not_sent: BTreeMap<String, (u64, u64)>,
    /// What was asked for and not done, and for how many frames.
    unhonoured: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// It is known what became of a frame.
    pub(super) fn sent(&mut self, number: u64, sent: Result<Outcome, InjectError>) {
        let outcome = match sent {
            Ok(outcome) => outcome,
            Err(error) => return self.left_out(number, super::reason(&error)),
        };
        *match outcome.delivery {
            Delivery::Acknowledged => &mut self.acknowledged,
            Delivery::NotAcknowledged => &mut self.not_acknowledged,
            Delivery::Expired => &mut self.expired,
            Delivery::Unknown(Unknown::NoReport) => &mut self.no_report,
            _ => &mut self.sent,
        } += 1;
        self.retries += u64::from(outcome.retries.unwrap_or(0));
        for (name, _) in outcome.unhonoured.iter_names() {
            *self.unhonoured.entry(name).or_default() += 1;
        }
    }

    /// A frame was not sent.
    pub(super) fn left_out(&mut self, number: u64, reason: String) {
        let known = self.not_sent.contains_key(&reason) || self.not_sent.len() < REASONS;
        let reason = if known { reason } else { "other reasons".into() };
        self.not_sent.entry(reason).or_insert((0, number)).0 += 1;
    }

    /// How many were not sent.
    pub(super) fn not_sent(&self) -> u64 {
        self.not_sent.values().map(|(count, _)| count).sum()
    }

    /// The account in lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut parts = Vec::new();
        for (count, words) in [
            (self.acknowledged, "acknowledged"),
            (self.not_acknowledged, "not acknowledged"),
            (self.sent, "sent without waiting for an answer"),
            (self.expired, "expired in the adapter"),
            (self.no_report, "sent, outcome unknown: the adapter reported nothing"),
            (self.not_sent(), "not sent"),
        ] {
            if count > 0 {
                parts.push(format!("{} {words}", grouped(count)));
            }
        }
        let retries =
            if self.retries == 1 { "1 retry".into() } else { format!("{} retries", grouped(self.retries)) };
        parts.push(retries);
        let mut lines = vec![parts.join(", ")];
        for (name, count) in &self.unhonoured {
            let wish = Unhonoured::from_name(name).map(|wish| wish.to_string()).unwrap_or_default();
            lines.push(format!("not honoured: {wish}, for {}", counted(*count, "frame")));
        }
        for (reason, (count, first)) in &self.not_sent {
            let which = match count {
                1 => format!("frame {}", grouped(*first)),
                _ => format!("{}, the first is frame {}", counted(*count, "frame"), grouped(*first)),
            };
            lines.push(format!("not sent: {} ({which})", escaped(reason)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_once_with_how_many_and_where() {
        let mut tally = Tally { read: 40, acknowledged: 3, retries: 1, ..Tally::default() };
        for number in [4, 9] {
            tally.left_out(number, "too long".into());
        }
        assert_eq!(
            tally.lines(),
            ["3 acknowledged, 2 not sent, 1 retry", "not sent: too long (2 frames, the first is frame 4)"]
        );
        for number in 10..40 {
            tally.left_out(number, format!("reason {number}"));
        }
        assert_eq!(tally.not_sent(), 32);
        assert_eq!(tally.lines().len(), 1 + REASONS + 1);
        assert!(
            tally
                .lines()
                .iter()
                .any(|line| line.contains("other reasons (15 frames, the first is frame 25)"))
        );
    }
}
