//! [`AmpduTracker`]: which frames came in one A-MPDU.

use crate::frame::{Ampdu, Modulation};

/// The longest that a PPDU is on the air, in microseconds (aPPDUMaxTime, IEEE 802.11-2020, table 19-25).
const MAX_PPDU_US: u64 = 5484;

/// Numbers A-MPDUs. The chip marks frames that were part of one and counts PPDUs in two bits, but does not
/// mark the first or the last; a new one begins when the count, the rate or the time says so.
#[derive(Debug, Default)]
pub(super) struct AmpduTracker {
    reference: u32,
    current: Option<Current>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Current {
    ppdu_count: u8,
    modulation: Modulation,
    tsf: u64,
}

impl AmpduTracker {
    /// The A-MPDU of the next frame, if it is part of one.
    pub(super) fn next(
        &mut self,
        is_ampdu: bool,
        ppdu_count: u8,
        modulation: Modulation,
        tsf: u64,
    ) -> Option<Ampdu> {
        if !is_ampdu {
            self.current = None;
            return None;
        }
        let goes_on = self.current.is_some_and(|current| {
            current.ppdu_count == ppdu_count
                && current.modulation == modulation
                && tsf.abs_diff(current.tsf) <= MAX_PPDU_US
        });
        if !goes_on {
            self.reference = self.reference.wrapping_add(1);
            self.current = Some(Current { ppdu_count, modulation, tsf });
        }
        Some(Ampdu { reference: self.reference, last: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Rate;

    #[test]
    fn w3_frames_of_one_ampdu_share_a_reference() {
        let mut tracker = AmpduTracker::default();
        let mcs = |mcs| Modulation::new(Rate::Ht { mcs });
        let mut next = |is, count, rate, tsf| tracker.next(is, count, rate, tsf).map(|a| a.reference);
        assert_eq!(next(true, 0, mcs(7), 100), Some(1));
        assert_eq!(next(true, 0, mcs(7), 100), Some(1));
        assert_eq!(next(true, 1, mcs(7), 900), Some(2), "the count moved on");
        assert_eq!(next(true, 1, mcs(6), 950), Some(3), "another rate");
        assert_eq!(next(false, 1, mcs(6), 1000), None);
        assert_eq!(next(true, 1, mcs(6), 1100), Some(4), "a single frame came between");
        assert_eq!(next(true, 1, mcs(6), 1100 + 5485), Some(5), "longer than any PPDU");
    }
}
