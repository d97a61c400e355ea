//! [`TunedLog`]: to which channel the radio was tuned when.
//!
//! A transfer brings frames of some milliseconds, and the radio may have been tuned elsewhere meanwhile. So each frame
//! gets the channel of the time when it was on the air.

use core::time::Duration;
use std::collections::VecDeque;

use crate::channel::Channel;

/// Entries that are kept: some changes of channel, each of which makes two.
const ENTRIES: usize = 16;

/// The channels of late, each with the time from which on it held.
#[derive(Debug, Default)]
pub(super) struct TunedLog {
    entries: VecDeque<(Duration, Option<Channel>)>,
    /// Some were thrown away, so that the oldest says nothing of the time before it.
    forgetful: bool,
}

impl TunedLog {
    /// From `since` on the radio is tuned to `channel`; `None` while that is not known.
    pub(super) fn set(&mut self, channel: Option<Channel>, since: Duration) {
        if self.entries.len() == ENTRIES {
            self.entries.pop_front();
            self.forgetful = true;
        }
        self.entries.push_back((since, channel));
    }

    /// The channel at that time. What is older than the first that was set counts as that.
    pub(super) fn at(&self, time: Duration) -> Option<Channel> {
        let held = self.entries.iter().rev().find(|(since, _)| *since <= time);
        let first = self.entries.front().filter(|_| !self.forgetful);
        held.or(first).and_then(|(_, channel)| *channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w3_a_frame_has_the_channel_of_its_time_and_none_while_that_is_not_known() {
        let ms = Duration::from_millis;
        let channel = |text: &str| text.parse::<Channel>().ok();
        let mut log = TunedLog::default();
        assert_eq!(log.at(ms(5)), None);
        log.set(channel("11"), ms(10));
        assert_eq!(log.at(ms(5)), channel("11"));
        log.set(None, ms(100));
        log.set(channel("36/80"), ms(102));
        for (time, held) in [(99, "11"), (100, ""), (101, ""), (102, "36/80"), (9_999, "36/80")] {
            assert_eq!(log.at(ms(time)), channel(held), "{time}");
        }
        for change in 0..1_000 {
            log.set(channel("1"), ms(200 + change));
        }
        assert!(log.entries.len() <= ENTRIES && log.at(ms(9_999)) == channel("1"));
        assert_eq!(log.at(ms(5)), None, "it is not known any more");
    }
}
