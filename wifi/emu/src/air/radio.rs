//! [`Radio`]: one emulated radio's place on the air.
//!
//! It has no clock and no thread: its owner (the emulated chip, a test) hands in `now` and asks when to come
//! back. Neighbours: [`super::Air::join`] makes one, [`super::AirFrame`] is what it sends and gets.

use core::time::Duration;
use std::task::Waker;

use super::{Air, AirFrame, Tuning, Width};

/// Names a radio on its air; counted up from 0 in the order of joining.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RadioId(pub u32);

/// What the air knows of a radio.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RadioOptions {
    /// Where it stands, in metres.
    pub position_m: [f32; 2],
    /// Its transmit power in dBm.
    pub power_dbm: i8,
    /// The MAC address for which it acknowledges frames, as a chip's hardware does; `None`: for none.
    pub address: Option<[u8; 6]>,
}

impl Default for RadioOptions {
    fn default() -> Self {
        Self { position_m: [0.0, 0.0], power_dbm: 20, address: None }
    }
}

/// When a frame was on the air, and whether it was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmission {
    /// When its preamble began: at once, or when the channel became free.
    pub start: Duration,
    /// When it was over.
    pub end: Duration,
    /// Whether the sender heard the acknowledgement or CTS that the frame asks for; `None` if it asks for none.
    pub acknowledged: Option<bool>,
}

/// Why a frame did not go on the air.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransmitError {
    /// The radio is off.
    #[error("the radio is not tuned to a channel")]
    NotTuned,
    /// The frame needs more bandwidth than the radio's channel has.
    #[error("a frame of {} MHz does not fit the radio's channel of {} MHz", .frame.mhz(), .radio.mhz())]
    TooWide {
        /// Bandwidth of the frame.
        frame: Width,
        /// Width of the radio's channel.
        radio: Width,
    },
}

/// One radio on an [`Air`]. It starts switched off; dropping it takes it off the air.
#[derive(Debug)]
pub struct Radio {
    air: Air,
    id: RadioId,
}

impl Radio {
    pub(crate) fn new(air: Air, id: RadioId) -> Self {
        Self { air, id }
    }

    /// The radio's name on its air.
    pub fn id(&self) -> RadioId {
        self.id
    }

    /// The air that the radio is on.
    pub fn air(&self) -> &Air {
        &self.air
    }

    /// Listens at `tuning` from `now` on; `None` switches the receiver off. What was still to be received at
    /// another tuning is gone; the same tuning again changes nothing.
    pub fn tune(&mut self, now: Duration, tuning: Option<Tuning>) {
        self.air.lock().tune(self.id, now, tuning);
    }

    /// Where the radio listens; `None` while it is off.
    pub fn tuning(&self) -> Option<Tuning> {
        self.air.lock().tuning(self.id)
    }

    /// When [`receive`](Self::receive) should be asked next: the end of the next frame, or a moment at which
    /// the air looks further ahead. `None`: not before the waker calls, or the radio is tuned.
    pub fn next_arrival(&self) -> Option<Duration> {
        self.air.lock().next_arrival(self.id)
    }

    /// The next frame that was over by `now`, in the order in which they ended; `None` when there is no more.
    pub fn receive(&mut self, now: Duration) -> Option<AirFrame> {
        let (frame, finished) = {
            let mut medium = self.air.lock();
            let frame = medium.receive(self.id, now);
            (frame, medium.replay.as_mut().map(super::replay::Replay::take_finished).unwrap_or_default())
        };
        finished.into_iter().for_each(Waker::wake);
        frame
    }

    /// Puts `frame` on the air at `now`, or as soon as the channel is free. Its tuning, times and signal are
    /// filled in; other radios get it when it is over, and so do scripted stations, which may answer.
    ///
    /// # Errors
    /// The radio is off, or the frame is wider than its channel.
    pub fn transmit(&mut self, now: Duration, frame: AirFrame) -> Result<Transmission, TransmitError> {
        let (sent, wakers) = {
            let mut medium = self.air.lock();
            (medium.transmit(self.id, now, frame)?, medium.wakers())
        };
        wakers.into_iter().for_each(Waker::wake);
        Ok(sent)
    }

    /// Has `waker` woken whenever something may have made [`next_arrival`](Self::next_arrival) earlier: a frame
    /// of another radio, a new station, a replay that starts.
    pub fn set_waker(&mut self, waker: Waker) {
        self.air.lock().set_waker(self.id, waker);
    }

    /// The MAC address for which the radio acknowledges frames; `None`: for none.
    pub fn set_address(&mut self, address: Option<[u8; 6]>) {
        self.air.lock().options_mut(self.id).address = address;
    }

    /// The transmit power in dBm of the frames that follow.
    pub fn set_power(&mut self, power_dbm: i8) {
        self.air.lock().options_mut(self.id).power_dbm = power_dbm;
    }
}

impl Drop for Radio {
    fn drop(&mut self) {
        self.air.lock().leave(self.id);
    }
}
