//! [`Numbers`]: which frame a report is of.
//!
//! A report names its frame by a number of six bits, and nothing says which of the frames that ever had that number it
//! means. So a number goes to another frame only when no report of the last one can come any more. (The vendor's
//! firmware writes the queue too, which Linux's driver does not look at: rtw88 `tx.c`, `rtw_tx_report_handle`. Nor is it
//! asked for here, so that firmware which does without it is understood.)
//!
//! ```text
//!            give                      report came
//!   free ──────────► given ───────────────────────────────────────► free
//!     ▲                │ given up, or its transfer failed             ▲
//!     │ QUARANTINE     ▼                                              │
//!     ├──────────── withdrawn ── its report came after all ───────────┤
//!     │ QUARANTINE     │ a report came of a frame that went           │
//!     │                ▼ into the same queue afterwards               │
//!     └──────────── overtaken ── likewise, or too few are left ───────┘
//! ```
//!
//! The chip sends the frames of a queue in their order, and its firmware's messages come in theirs: a report of a later
//! frame of a queue says that an earlier one's is lost. That is relied on only where so many are lost that fewer than
//! [`ENOUGH`] numbers are left. When all are withdrawn and none overtaken, frames go out without one.
//!
//! No I/O and no clock: [`flights`](super::flights) hands in the time.

use core::time::Duration;

use crate::tx::MAX_NUMBER;

/// Numbers that a report can carry.
pub(super) const COUNT: usize = MAX_NUMBER as usize + 1;
/// How long after it was given up a report may still come. The chip keeps a frame for as long as the air is busy, so
/// that there is no figure for it; this is fifteen times as long as a report is waited for when none comes.
pub(super) const QUARANTINE: Duration = Duration::from_secs(30);

/// Numbers that keep the chip busy: with as many, no overtaken one is needed.
const ENOUGH: usize = 16;

/// A frame that the chip was given, told from all others: the place that it has in a table, and its running number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Key {
    pub(super) place: u8,
    pub(super) serial: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Number {
    Free,
    /// It is that of a frame in this queue, which the chip has.
    Given {
        key: Key,
        queue: u8,
    },
    /// It was that of a frame in this queue, and no report came. Frames with a serial from `next` on came later; whether
    /// one of them was reported.
    Withdrawn {
        queue: u8,
        next: u64,
        until: Duration,
        overtaken: bool,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Numbers {
    all: [Number; COUNT],
    /// The one that was given last. Numbers go round, so that one is not used again soon.
    last: usize,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self { all: [Number::Free; COUNT], last: COUNT - 1 }
    }

    /// A number that no report can come for.
    pub(super) fn free(&self, now: Duration) -> Option<u8> {
        let free =
            (1..=COUNT).map(|step| (self.last + step) % COUNT).find(|&number| match self.all[number] {
                Number::Free => true,
                Number::Given { .. } => false,
                Number::Withdrawn { until, .. } => until <= now,
            });
        // They are bytes.
        free.or_else(|| self.longest_overtaken()).map(|number| number as u8)
    }

    fn longest_overtaken(&self) -> Option<usize> {
        let withdrawn = self.all.iter().filter(|number| matches!(number, Number::Withdrawn { .. })).count();
        if COUNT - withdrawn >= ENOUGH {
            return None;
        }
        let overtaken = |(number, state): (usize, &Number)| match *state {
            Number::Withdrawn { until, overtaken: true, .. } => Some((until, number)),
            _ => None,
        };
        self.all.iter().enumerate().filter_map(overtaken).min().map(|(_, number)| number)
    }

    /// Whether a frame that the chip has has one.
    pub(super) fn any_given(&self) -> bool {
        self.all.iter().any(|number| matches!(number, Number::Given { .. }))
    }

    /// Gives a [free](Self::free) number to a frame.
    pub(super) fn give(&mut self, number: u8, key: Key, queue: u8) {
        let number = usize::from(number) % COUNT;
        self.all[number] = Number::Given { key, queue };
        self.last = number;
    }

    /// A report came: of which frame, and in which queue, if one waits for it.
    pub(super) fn reported(&mut self, number: u8) -> Option<(Key, u8)> {
        let number = self.all.get_mut(usize::from(number))?;
        let Number::Given { key, queue: reported_queue } = core::mem::replace(number, Number::Free) else {
            return None;
        };
        for other in &mut self.all {
            if let Number::Withdrawn { queue, next, overtaken, .. } = other
                && *queue == reported_queue
                && *next <= key.serial
            {
                *overtaken = true;
            }
        }
        Some((key, reported_queue))
    }

    /// No report is waited for any more; `next` is the serial of the frame that comes next.
    pub(super) fn withdraw(&mut self, number: u8, next: u64, now: Duration) {
        if let Some(number) = self.all.get_mut(usize::from(number))
            && let Number::Given { queue, .. } = *number
        {
            *number = Number::Withdrawn { queue, next, until: now + QUARANTINE, overtaken: false };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(serial: u64) -> Key {
        Key { place: (serial % 64) as u8, serial }
    }

    const NOW: Duration = Duration::from_secs(100);

    /// Gives the next number to a frame.
    fn give(numbers: &mut Numbers, serial: u64, queue: u8) -> u8 {
        let number = numbers.free(NOW).unwrap();
        numbers.give(number, key(serial), queue);
        number
    }

    #[test]
    fn w3_a_number_is_not_given_again_while_a_report_of_its_last_frame_may_come() {
        for queue in [0, 18] {
            let mut numbers = Numbers::new();
            let late = give(&mut numbers, 0, 0);
            numbers.withdraw(late, 1, NOW);
            // As often round as one likes, in another queue or the same one.
            for serial in 1..1_000 {
                let number = give(&mut numbers, serial, queue);
                assert_ne!(number, late);
                assert_eq!(numbers.reported(number), Some((key(serial), queue)));
            }
            // Its own report frees it, and is nobody's.
            assert_eq!(numbers.reported(late), None);
            let mut seen = (0..64).map(|serial| give(&mut numbers, 1_000 + serial, 0));
            assert!(seen.any(|number| number == late));
        }
    }

    #[test]
    fn w3_when_numbers_run_out_those_come_first_whose_report_was_overtaken() {
        let mut numbers = Numbers::new();
        let given: Vec<u8> =
            (0..64).map(|serial| give(&mut numbers, serial, 5 + (serial % 2) as u8)).collect();
        for (number, later) in given.iter().zip(0..62) {
            numbers.withdraw(*number, 64, NOW + Duration::from_millis(later));
        }
        // Given to the chip before the others were given up: it says nothing of them.
        assert_eq!(numbers.reported(given[62]), Some((key(62), 5)));
        assert_eq!(give(&mut numbers, 64, 5), given[62]);
        assert_eq!(numbers.free(NOW), None);
        assert_eq!(numbers.reported(given[62]), Some((key(64), 5)));
        // That one says it of its queue.
        assert_eq!(give(&mut numbers, 65, 5), given[62]);
        assert_eq!(give(&mut numbers, 66, 5), given[0]);
        assert_eq!(give(&mut numbers, 67, 5), given[2]);
    }

    #[test]
    fn w3_numbers_that_are_withdrawn_come_back_in_time() {
        let mut numbers = Numbers::new();
        for serial in 0..64 {
            let number = give(&mut numbers, serial, 0);
            numbers.withdraw(number, serial + 1, NOW);
        }
        assert!(!numbers.any_given());
        assert_eq!(numbers.free(NOW + QUARANTINE - Duration::from_nanos(1)), None);
        assert_eq!(numbers.free(NOW + QUARANTINE), Some(0));
    }

    #[test]
    fn w3_a_report_with_no_such_number_is_nobodys() {
        let mut numbers = Numbers::new();
        let number = give(&mut numbers, 0, 0);
        assert_eq!((numbers.reported(number + 1), numbers.reported(255)), (None, None));
        assert_eq!(numbers.reported(number), Some((key(0), 0)));
        assert_eq!(numbers.reported(number), None);
    }
}
