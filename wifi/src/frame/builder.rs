//! [`FrameBuilder`]: frames made by hand.

use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Ampdu, ChainSignals, Fcs, Frame, Meta, Modulation};
use crate::channel::Channel;
use crate::ieee80211;

/// Makes a [`Frame`] without an adapter. What is not set stays unknown.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct FrameBuilder {
    bytes: Bytes,
    meta: Meta,
}

impl FrameBuilder {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, meta: Meta::default() }
    }

    /// Appends the right frame check sequence.
    pub fn append_fcs(mut self) -> Self {
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + ieee80211::FCS_LEN);
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(&ieee80211::fcs(&self.bytes));
        self.bytes = bytes.freeze();
        self.meta.fcs = Fcs::Good;
        self
    }

    /// Says what is known of the frame check sequence among the bytes given.
    pub fn fcs(mut self, fcs: Fcs) -> Self {
        self.meta.fcs = fcs;
        self
    }

    /// The chip's TSF in microseconds.
    pub fn tsf(mut self, tsf: u64) -> Self {
        self.meta.tsf = Some(tsf);
        self
    }

    /// When it was on the air and received, on the kernel's clock.
    pub fn time(mut self, time: Duration) -> Self {
        self.meta.time = time;
        self.meta.received_at = time;
        self
    }

    /// The channel that the radio was tuned to.
    pub fn channel(mut self, channel: Channel) -> Self {
        self.meta.channel = Some(channel);
        self
    }

    /// A [`Rate`](super::Rate), or a [`Modulation`] with all that the preamble tells.
    pub fn rate(mut self, modulation: impl Into<Modulation>) -> Self {
        self.meta.modulation = Some(modulation.into());
        self
    }

    /// The overall signal in dBm.
    pub fn signal_dbm(mut self, dbm: i8) -> Self {
        self.meta.signal_dbm = Some(dbm);
        self
    }

    /// The signal of each chain in dBm, chain A first; the overall signal becomes the strongest of them.
    pub fn chains(mut self, dbm: &[i8]) -> Self {
        self.meta.chains = ChainSignals::new(dbm);
        self.meta.signal_dbm = self.meta.chains.strongest();
        self
    }

    /// The A-MPDU that it was a part of.
    pub fn ampdu(mut self, ampdu: Ampdu) -> Self {
        self.meta.ampdu = Some(ampdu);
        self
    }

    /// How many frames a reader lost before it.
    pub fn lost_before(mut self, frames: u64) -> Self {
        self.meta.lost_before = frames;
        self
    }

    /// The frame.
    pub fn build(self) -> Frame {
        Frame::new(self.bytes, self.meta)
    }
}
