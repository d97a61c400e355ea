//! Replay of a capture: the frames of a file, put on the channel of whoever listens.
//!
//! A record's time stamp is taken for the start of its frame, as the TSF of a receiver tells it, so that what
//! is captured of a replay has the time stamps of the file. A frame that is still on the air when the next one
//! begins (the file's stamps may be coarse) delays the next one's end: frames end in the order of the file.
//!
//! Neighbours: [`super::capture`] reads the file, [`super::medium`] hands each radio the frames in turn.

use core::time::Duration;
use std::task::Waker;

use super::capture::{Capture, CapturedFrame};
use super::{AirFrame, Rate, Tuning};

/// How a capture is replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayOptions {
    /// Whether the replay waits for [`Air::start_replay`](super::Air::start_replay). Otherwise it starts when
    /// the first radio listens, which for an adapter is in the middle of its bring-up.
    pub wait_for_start: bool,
    /// From the start of the replay to the first frame.
    pub lead: Duration,
    /// Signal in dBm of frames whose capture does not tell it.
    pub signal_dbm: i8,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { wait_for_start: false, lead: Duration::from_millis(1), signal_dbm: -50 }
    }
}

#[derive(Debug)]
pub(crate) struct Replay {
    frames: Vec<CapturedFrame>,
    /// When each frame is over, from the start of the first.
    ends: Vec<Duration>,
    options: ReplayOptions,
    started: bool,
    /// When the first frame is on the air; known once somebody listens.
    epoch: Option<Duration>,
    finished: bool,
    wakers: Vec<Waker>,
}

impl Replay {
    pub(crate) fn new(capture: Capture, options: ReplayOptions) -> Self {
        let frames = capture.into_frames();
        let finished = frames.is_empty();
        let mut over = Duration::ZERO;
        let ends = (frames.iter())
            .map(|frame| {
                let rate = frame.rate.unwrap_or(Rate::OFDM_6M);
                over = over.max(frame.at + rate.air_time(frame.bytes.len() + 4, true));
                over
            })
            .collect();
        Self {
            frames,
            ends,
            options,
            started: !options.wait_for_start,
            epoch: None,
            finished,
            wakers: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self) {
        self.started = true;
    }

    /// Somebody listens at `now`.
    pub(crate) fn listen(&mut self, now: Duration) {
        if self.started && self.epoch.is_none() {
            self.epoch = Some(now + self.options.lead);
        }
    }

    /// When frame `number` is over; [`Duration::ZERO`] ("ask now") if the replay is yet to be started by the
    /// first who asks.
    pub(crate) fn due(&self, number: usize) -> Option<Duration> {
        let end = self.ends.get(number)?;
        match self.epoch {
            Some(epoch) => Some(epoch.saturating_add(*end)),
            None => self.started.then_some(Duration::ZERO),
        }
    }

    /// Frame `number` as it is on the air at `tuning`.
    pub(crate) fn take(&mut self, number: usize, tuning: Tuning) -> Option<AirFrame> {
        let end = self.due(number)?;
        let frame = self.frames.get(number)?;
        let fallback = if tuning.is_5ghz() { Rate::OFDM_6M } else { Rate::DSSS_1M };
        let rate = frame.rate.unwrap_or(fallback);
        let air_frame = AirFrame {
            bytes: frame.bytes.clone(),
            rate,
            tuning,
            signal_dbm: frame.signal_dbm.unwrap_or([self.options.signal_dbm; super::CHAINS]),
            start: self.epoch?.saturating_add(frame.at),
            end,
            fcs_error: frame.fcs_error,
            ampdu: frame.ampdu,
        };
        self.finished |= number + 1 == self.frames.len();
        Some(air_frame)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Keeps `waker` for the end of the replay.
    pub(crate) fn wake_when_finished(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|known| known.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    /// The wakers to wake, once the replay is finished.
    pub(crate) fn take_finished(&mut self) -> Vec<Waker> {
        if self.finished { core::mem::take(&mut self.wakers) } else { Vec::new() }
    }
}
