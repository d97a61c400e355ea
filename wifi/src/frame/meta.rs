//! What is known of a frame beside its bytes: [`Meta`] and the small types in it.

use core::time::Duration;

use super::rate::{Modulation, Rate};
use crate::channel::{Channel, Width};

/// The most receive chains that a chip of the family has (the RTL8814A's four).
pub const MAX_CHAINS: usize = 4;

/// What is known of a received frame beside its bytes. What the chip did not tell is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Meta {
    /// The chip's TSF at the frame's start, in microseconds, unwrapped to 64 bits.
    pub tsf: Option<u64>,
    /// When the frame was on the air, on the kernel's clock (since its origin), as well as can be told
    /// from the TSF and from when the transfer ended.
    pub time: Duration,
    /// When the transfer that carried the frame was handed over, on the kernel's clock.
    pub received_at: Duration,
    /// The channel that the radio was tuned to; the frame's own bandwidth is in `modulation`.
    pub channel: Option<Channel>,
    /// Rate, bandwidth and coding.
    pub modulation: Option<Modulation>,
    /// The overall signal in dBm.
    pub signal_dbm: Option<i8>,
    /// The signal of each receive chain in dBm.
    pub chains: ChainSignals,
    /// Which A-MPDU the frame was a part of.
    pub ampdu: Option<Ampdu>,
    /// What is known of the frame check sequence.
    pub fcs: Fcs,
    /// How many frames this reader lost between the one before and this one.
    pub lost_before: u64,
}

impl Meta {
    /// The rate, if it is known.
    pub fn rate(&self) -> Option<Rate> {
        self.modulation.map(|modulation| modulation.rate)
    }

    /// The PPDU's bandwidth, if it is known.
    pub fn bandwidth(&self) -> Option<Width> {
        self.modulation.and_then(|modulation| modulation.bandwidth)
    }
}

/// The signal of each receive chain, chain A first, in dBm; `None` where a chain reported none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ChainSignals([Option<i8>; MAX_CHAINS]);

impl ChainSignals {
    /// No chain reported anything.
    pub const NONE: Self = Self([None; MAX_CHAINS]);

    /// The signals of chains A, B, ... in dBm. More than [`MAX_CHAINS`] are cut off.
    pub fn new(dbm: &[i8]) -> Self {
        let mut chains = Self::NONE;
        for (slot, &signal) in chains.0.iter_mut().zip(dbm) {
            *slot = Some(signal);
        }
        chains
    }

    /// The signal of one chain in dBm (0 is chain A).
    pub fn get(&self, chain: usize) -> Option<i8> {
        self.0.get(chain).copied().flatten()
    }

    /// Sets the signal of one chain. A chain beyond [`MAX_CHAINS`] is ignored.
    pub fn set(&mut self, chain: usize, dbm: i8) {
        if let Some(slot) = self.0.get_mut(chain) {
            *slot = Some(dbm);
        }
    }

    /// Chain number and signal in dBm, of the chains that reported one.
    pub fn iter(&self) -> impl Iterator<Item = (u8, i8)> + '_ {
        self.0.iter().enumerate().filter_map(|(chain, dbm)| dbm.map(|dbm| (chain as u8, dbm)))
    }

    /// The strongest chain's signal in dBm.
    pub fn strongest(&self) -> Option<i8> {
        self.0.iter().flatten().copied().max()
    }
}

/// What is known of a frame's check sequence, the last four bytes of an 802.11 frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Fcs {
    /// It is there, and the chip found it right.
    Good,
    /// It is there, and the chip found it wrong.
    Bad,
    /// It is not among the frame's bytes.
    #[default]
    Absent,
}

/// The A-MPDU that a frame was a part of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ampdu {
    /// Equal for all frames of one A-MPDU.
    pub reference: u32,
    /// Whether it was the last of them; `None` if the chip does not tell.
    pub last: Option<bool>,
}
