//! [`Latch`]: the pending bit of an IRQ line, and its counters.
//!
//! Raising a line that is already pending only counts (*coalesces*); otherwise the caller sends one token. So at
//! most one token a line is ever queued, and an IRQ storm needs no memory. Counters obey
//! `raised == delivered + coalesced` whenever nothing is pending.

use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Pending bit and counters of one line.
#[derive(Debug)]
pub(crate) struct Latch {
    pending: AtomicBool,
    raised: AtomicU64,
    coalesced: AtomicU64,
    delivered: AtomicU64,
}

impl Latch {
    pub(crate) fn new() -> Self {
        Self {
            pending: AtomicBool::new(false),
            raised: AtomicU64::new(0),
            coalesced: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }

    /// Counts one edge. True: the line was not pending, and the caller must send its token.
    pub(crate) fn raise(&self) -> bool {
        self.raised.fetch_add(1, Ordering::Release);
        if self.pending.swap(true, Ordering::AcqRel) {
            self.coalesced.fetch_add(1, Ordering::Release);
            return false;
        }
        true
    }

    /// Takes back a [`raise`](Self::raise) whose token could not be sent.
    pub(crate) fn unraise(&self) {
        self.pending.store(false, Ordering::Release);
        self.raised.fetch_sub(1, Ordering::Release);
    }

    /// The executor, token in hand: edges from here on need a token of their own. Returns how many were raised
    /// so far. False pending means that the token was a duplicate, sent again for one believed lost.
    pub(crate) fn take(&self) -> Option<u64> {
        if !self.pending.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.delivered.fetch_add(1, Ordering::Release);
        Some(self.raised.load(Ordering::Acquire))
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    pub(crate) fn raised(&self) -> u64 {
        self.raised.load(Ordering::Acquire)
    }

    pub(crate) fn coalesced(&self) -> u64 {
        self.coalesced.load(Ordering::Acquire)
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }
}
