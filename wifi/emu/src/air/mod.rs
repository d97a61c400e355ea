//! The virtual air: what one emulated radio sends, others on an overlapping channel receive, among scripted
//! access points and stations or the frames of a capture.
//!
//! [`Air`] is the medium; [`Radio`] a place on it; [`AirFrame`] what travels, at a [`Rate`] and a [`Tuning`].
//! [`AccessPoint`] and [`Station`] script a cell; [`Capture`] holds the frames of a file. There is no clock and
//! no thread here: radios hand in `now`, scripted frames are made when somebody asks for them, and everything
//! is a function of the seed and the times asked for. Neighbours: the emulated adapter owns a radio.

mod capture;
mod cell;
mod elements;
mod exchange;
mod frame;
mod link;
mod medium;
mod radio;
mod rate;
mod replay;
mod respond;
mod rng;
mod scene;
mod tuning;

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

pub use capture::{Capture, CaptureError, CapturedFrame};
pub use cell::{AccessPoint, Station, Traffic};
pub use frame::{AirFrame, Ampdu, CHAINS, fcs};
pub use link::{Quality, Sender, Signal};
pub use radio::{Radio, RadioId, RadioOptions, Transmission, TransmitError};
pub use rate::{Modulation, Rate};
pub use replay::ReplayOptions;
pub use tuning::{Tuning, Width};

use medium::Medium;

/// What happened on an air so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct AirStats {
    /// Frames that radios sent.
    pub sent: u64,
    /// Frames that radios received.
    pub received: u64,
    /// Frames that a radio did not hear because it was sending itself.
    pub missed_while_sending: u64,
    /// Frames that were lost because a radio did not fetch what other radios had sent.
    pub inbox_overruns: u64,
}

/// A medium that radios share. Clones are the same air.
#[derive(Clone)]
pub struct Air(Arc<Mutex<Medium>>);

impl Air {
    /// An air on which nobody talks but the radios.
    pub fn quiet(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Medium::new(seed))))
    }

    /// An air with access points and stations on all channels; "coffee" (02:00:00:00:0a:01) is on channel 11.
    pub fn default_scene(seed: u64) -> Self {
        let air = Self::quiet(seed);
        scene::populate(&air);
        air
    }

    /// An air on which the frames of `capture` are on whichever channel a radio listens to.
    pub fn replay(capture: Capture, options: ReplayOptions) -> Self {
        let air = Self::quiet(0);
        air.lock().replay = Some(replay::Replay::new(capture, options));
        air
    }

    /// Puts a radio on the air, switched off.
    pub fn join(&self, options: RadioOptions) -> Radio {
        let id = self.lock().join(options);
        Radio::new(self.clone(), id)
    }

    /// Adds an access point with the stations of its cell. Radios hear them from the next time they look.
    pub fn add_cell(&self, access_point: AccessPoint, stations: impl IntoIterator<Item = Station>) {
        let wakers = {
            let mut medium = self.lock();
            let cell = cell::Cell::new(
                medium.seed,
                medium.cells.len(),
                access_point,
                stations.into_iter().collect(),
            );
            medium.cells.push(Arc::new(cell));
            medium.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The quality of all links that [`set_link`](Self::set_link) does not name.
    pub fn set_quality(&self, quality: Quality) {
        self.lock().links.default = quality;
    }

    /// The quality of the link from `sender` to one radio, or to all of them (`None`) but those named.
    pub fn set_link(&self, sender: Sender, receiver: Option<RadioId>, quality: Quality) {
        self.lock().links.special.insert((sender, receiver), quality);
    }

    /// Lets a replay run that was told to wait ([`ReplayOptions::wait_for_start`]); without one nothing happens.
    pub fn start_replay(&self) {
        let wakers = {
            let mut medium = self.lock();
            if let Some(replay) = &mut medium.replay {
                replay.start();
            }
            medium.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether a radio has received the last frame of the replay. False without a replay, which never ends.
    pub fn is_finished(&self) -> bool {
        self.lock().replay.as_ref().is_some_and(replay::Replay::is_finished)
    }

    /// Waits until [`is_finished`](Self::is_finished).
    pub fn finished(&self) -> Finished {
        Finished(self.clone())
    }

    /// Whether frames stay until they are taken: a replay does, since it must come out complete.
    pub(crate) fn waits_for_readers(&self) -> bool {
        self.lock().replay.is_some()
    }

    /// What happened so far.
    pub fn stats(&self) -> AirStats {
        self.lock().stats
    }

    fn lock(&self) -> MutexGuard<'_, Medium> {
        // A panic while the lock was held left the medium between two frames at worst.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Air {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let medium = self.lock();
        f.debug_struct("Air")
            .field("seed", &medium.seed)
            .field("stats", &medium.stats)
            .finish_non_exhaustive()
    }
}

/// Waits for the end of a replay; made by [`Air::finished`]. Dropping it changes nothing.
#[derive(Clone, Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Finished(Air);

impl Future for Finished {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0.lock().replay {
            Some(replay) if replay.is_finished() => Poll::Ready(()),
            Some(replay) => {
                replay.wake_when_finished(cx.waker());
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}
