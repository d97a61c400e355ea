//! The state behind an [`Air`](super::Air): who is on it, and each radio's view of what comes next.
//!
//! Scripted frames are not queued: every radio has a *cursor* on each source and pulls the next frame when it
//! asks, and since a source is a function of the seed and the time, two radios pull the same frames. Only what
//! radios send, and the answers to it, stands in queues (inboxes), and those are bounded. Neighbours:
//! [`super::cell`] and [`super::replay`] are the sources, [`super::link`] decides what a radio hears.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::cell::{Cell, SLOT};
use super::link::{self, Emission, Links, Receiver, Sender, Signal};
use super::radio::{RadioOptions, Transmission, TransmitError};
use super::replay::Replay;
use super::{AirFrame, AirStats, RadioId, Tuning, respond};

/// Bytes that wait in one radio's inbox before further ones are lost.
const INBOX_BYTES: usize = 4 << 20;
/// Frame gap after which a radio may send once the channel is free (DIFS at 9 us slots).
const DIFS: Duration = Duration::from_micros(28);
/// Time from the end of a frame to the answer that must follow at once.
pub(crate) const SIFS_2GHZ: Duration = Duration::from_micros(10);
/// The same at 5 GHz.
pub(crate) const SIFS_5GHZ: Duration = Duration::from_micros(16);
/// Slots looked through at once for a frame that a radio hears; then it is asked to come back.
const LOOK_AHEAD: u64 = 4;
/// Transmissions of radios remembered, over which no other may talk.
const RECENT: usize = 4096;
/// Own transmissions remembered, in which a radio is deaf.
const DEAF_SPANS: usize = 64;

#[derive(Debug)]
pub(crate) struct Medium {
    pub(crate) seed: u64,
    pub(crate) cells: Vec<Arc<Cell>>,
    pub(crate) replay: Option<Replay>,
    pub(crate) links: Links,
    pub(crate) stats: AirStats,
    radios: Vec<Listener>,
    next_radio: u32,
    /// Serial numbers of what radios send; scripted frames have theirs by cell and slot.
    sent: u64,
    /// When and where radios were last heard, to keep them from talking over each other.
    recent: VecDeque<(Duration, Duration, Tuning)>,
}

/// One radio's view.
#[derive(Debug)]
struct Listener {
    id: RadioId,
    options: RadioOptions,
    tuning: Option<Tuning>,
    waker: Option<Waker>,
    inbox: VecDeque<AirFrame>,
    inbox_bytes: usize,
    cursors: Vec<Cursor>,
    replay_next: usize,
    deaf: VecDeque<(Duration, Duration)>,
    /// The latest time that its owner handed in.
    seen: Duration,
}

/// A radio's place in one cell.
#[derive(Clone, Debug)]
struct Cursor {
    /// Frames that began before are past.
    from: Duration,
    /// The slot that is looked into when `ready` is empty.
    slot: u64,
    ready: VecDeque<AirFrame>,
}

impl Cursor {
    fn at(from: Duration) -> Self {
        // A cell's slots begin up to one slot late (its phase), so the one before may still run.
        Self { from, slot: slot_of(from).saturating_sub(1), ready: VecDeque::new() }
    }
}

impl Medium {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            cells: Vec::new(),
            replay: None,
            links: Links::default(),
            stats: AirStats::default(),
            radios: Vec::new(),
            next_radio: 0,
            sent: 0,
            recent: VecDeque::new(),
        }
    }

    pub(crate) fn join(&mut self, options: RadioOptions) -> RadioId {
        let id = RadioId(self.next_radio);
        self.next_radio += 1;
        self.radios.push(Listener {
            id,
            options,
            tuning: None,
            waker: None,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            cursors: Vec::new(),
            replay_next: 0,
            deaf: VecDeque::new(),
            seen: Duration::ZERO,
        });
        id
    }

    pub(crate) fn leave(&mut self, id: RadioId) {
        self.radios.retain(|radio| radio.id != id);
    }

    fn index(&self, id: RadioId) -> usize {
        self.radios
            .iter()
            .position(|radio| radio.id == id)
            .expect("a radio is on its air until it is dropped")
    }

    pub(crate) fn options_mut(&mut self, id: RadioId) -> &mut RadioOptions {
        let index = self.index(id);
        &mut self.radios[index].options
    }

    pub(crate) fn set_waker(&mut self, id: RadioId, waker: Waker) {
        let index = self.index(id);
        self.radios[index].waker = Some(waker);
    }

    /// The wakers of all radios, to be woken once the lock is released.
    pub(crate) fn wakers(&self) -> Vec<Waker> {
        self.radios.iter().filter_map(|radio| radio.waker.clone()).collect()
    }

    pub(crate) fn tuning(&self, id: RadioId) -> Option<Tuning> {
        self.radios[self.index(id)].tuning
    }

    pub(crate) fn tune(&mut self, id: RadioId, now: Duration, tuning: Option<Tuning>) {
        let index = self.index(id);
        let radio = &mut self.radios[index];
        if radio.tuning == tuning {
            return;
        }
        radio.tuning = tuning;
        radio.seen = now;
        radio.inbox.clear();
        radio.inbox_bytes = 0;
        radio.cursors = vec![Cursor::at(now); self.cells.len()];
        if tuning.is_some()
            && let Some(replay) = &mut self.replay
        {
            replay.listen(now);
        }
    }

    /// When the radio should be asked next, and what it would get then if that is known.
    fn look(&mut self, index: usize, now: Option<Duration>) -> Option<Next> {
        let radio = &mut self.radios[index];
        let tuning = radio.tuning?;
        let receiver = Receiver { id: radio.id, tuning, position_m: radio.options.position_m };
        // Cells that joined while this radio was listening are heard from where it left off.
        radio.cursors.resize(self.cells.len(), Cursor::at(radio.seen));
        if let Some(now) = now {
            radio.seen = now;
        }
        let mut best: Option<Next> =
            radio.inbox.front().map(|frame| Next { at: frame.end, which: Which::Inbox });
        for (which, (cursor, cell)) in radio.cursors.iter_mut().zip(&self.cells).enumerate() {
            if !cell.reaches(tuning) {
                continue;
            }
            let looked = cursor.slot;
            while cursor.ready.is_empty() && cursor.slot < looked + LOOK_AHEAD {
                let slot = cursor.slot;
                cursor.slot += 1;
                for emission in cell.slot(slot).iter().filter(|emission| emission.frame.start >= cursor.from)
                {
                    if let Some(frame) = link::hear(self.seed, &self.links, receiver, emission) {
                        cursor.ready.push_back(frame);
                    }
                }
            }
            let next = match cursor.ready.front() {
                Some(frame) => Next { at: frame.end, which: Which::Cell(which) },
                None => {
                    Next { at: SLOT * u32::try_from(cursor.slot).unwrap_or(u32::MAX), which: Which::Nothing }
                }
            };
            best = Next::sooner(best, next);
        }
        if let Some(replay) = &self.replay
            && let Some(at) = replay.due(radio.replay_next)
        {
            best = Next::sooner(best, Next { at, which: Which::Replay });
        }
        best
    }

    pub(crate) fn next_arrival(&mut self, id: RadioId) -> Option<Duration> {
        let index = self.index(id);
        self.look(index, None).map(|next| next.at)
    }

    /// The next frame that was over by `now`.
    pub(crate) fn receive(&mut self, id: RadioId, now: Duration) -> Option<AirFrame> {
        let index = self.index(id);
        if self.radios[index].tuning.is_some()
            && let Some(replay) = &mut self.replay
        {
            replay.listen(now);
        }
        loop {
            let next = self.look(index, Some(now))?;
            if next.at > now {
                return None;
            }
            let radio = &mut self.radios[index];
            let frame = match next.which {
                Which::Inbox => {
                    let frame = radio.inbox.pop_front()?;
                    radio.inbox_bytes -= frame.air_length();
                    frame
                }
                Which::Cell(which) => radio.cursors[which].ready.pop_front()?,
                Which::Replay => {
                    let number = radio.replay_next;
                    radio.replay_next += 1;
                    let tuning = radio.tuning?;
                    self.replay.as_mut()?.take(number, tuning)?
                }
                // Nothing within reach in the slots looked through: go on with the next ones.
                Which::Nothing => continue,
            };
            // A radio that sends does not hear; a replay stands for what was heard, so it is not held against it.
            let deaf = radio.deaf.iter().any(|&(start, end)| frame.start < end && start < frame.end);
            if deaf && next.which != Which::Replay {
                self.stats.missed_while_sending += 1;
                continue;
            }
            self.stats.received += 1;
            return Some(frame);
        }
    }

    /// Puts a radio's frame on the air, and the answers to it.
    pub(crate) fn transmit(
        &mut self,
        id: RadioId,
        now: Duration,
        mut frame: AirFrame,
    ) -> Result<Transmission, TransmitError> {
        let index = self.index(id);
        let tuning = self.radios[index].tuning.ok_or(TransmitError::NotTuned)?;
        if tuning.part(frame.rate.width).is_none() {
            return Err(TransmitError::TooWide { frame: frame.rate.width, radio: tuning.width() });
        }
        frame.tuning = tuning;
        let air_time = frame.rate.air_time(frame.air_length(), !tuning.is_5ghz());
        frame.start = self.first_free(now, air_time, tuning);
        frame.end = frame.start + air_time;

        let options = self.radios[index].options;
        let signal = Signal::ByDistance { power_dbm: options.power_dbm, position_m: options.position_m };
        let sender = Sender::Radio(id);
        let emission = Emission { frame, sender, signal, serial: self.serial() };
        let deaf = &mut self.radios[index].deaf;
        deaf.push_back((emission.frame.start, emission.frame.end));
        if deaf.len() > DEAF_SPANS {
            deaf.pop_front();
        }
        self.stats.sent += 1;
        self.spread(&emission, Some(id));

        let mut acknowledged = None;
        for answer in self.answers(&emission, id) {
            let solicited = answer.solicited;
            // Who answers does not hear itself.
            let answerer = match answer.emission.sender {
                Sender::Radio(radio) => Some(radio),
                _ => None,
            };
            let heard = self.spread(&answer.emission, answerer);
            if solicited {
                acknowledged = Some(heard.contains(&id));
            }
        }
        if acknowledged.is_none() && respond::wants_answer(&emission.frame) {
            acknowledged = Some(false);
        }
        Ok(Transmission { start: emission.frame.start, end: emission.frame.end, acknowledged })
    }

    fn serial(&mut self) -> u64 {
        self.sent += 1;
        // The top bit keeps these apart from the serial numbers of scripted frames.
        self.sent | 1 << 63
    }

    /// The first moment from `now` at which nobody on the channel talks, and no radio will that has its turn
    /// already, for `air_time`. What is scripted comes as a surprise.
    fn first_free(&mut self, now: Duration, air_time: Duration, tuning: Tuning) -> Duration {
        self.recent.retain(|&(_, end, _)| end + SLOT > now);
        let mut spans: Vec<(Duration, Duration, Duration)> = (self.recent.iter())
            .filter(|(_, _, at)| covers(*at, tuning))
            .map(|&(start, end, _)| (start, end, air_time))
            .collect();
        for cell in self.cells.iter().filter(|cell| cell.reaches(tuning)) {
            for slot in slot_of(now).saturating_sub(1)..=slot_of(now) + 1 {
                let cell = cell.slot(slot);
                spans.extend(
                    cell.iter().map(|emission| (emission.frame.start, emission.frame.end, Duration::ZERO)),
                );
            }
        }
        spans.sort_unstable();
        spans.into_iter().fold(now, |free, (start, end, needed)| {
            if start <= free + needed && free < end + DIFS { end + DIFS } else { free }
        })
    }

    /// Puts an emission into the inboxes of all radios that hear it, and tells who those are.
    fn spread(&mut self, emission: &Emission, except: Option<RadioId>) -> Vec<RadioId> {
        let frame = &emission.frame;
        self.recent.push_back((frame.start, frame.end, frame.tuning));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        let mut heard = Vec::new();
        for radio in self.radios.iter_mut().filter(|radio| Some(radio.id) != except) {
            let Some(tuning) = radio.tuning else { continue };
            let receiver = Receiver { id: radio.id, tuning, position_m: radio.options.position_m };
            let Some(frame) = link::hear(self.seed, &self.links, receiver, emission) else { continue };
            if radio.inbox_bytes + frame.air_length() > INBOX_BYTES {
                self.stats.inbox_overruns += 1;
                continue;
            }
            heard.push(radio.id);
            radio.inbox_bytes += frame.air_length();
            let place = radio.inbox.partition_point(|other| other.end <= frame.end);
            radio.inbox.insert(place, frame);
        }
        heard
    }

    /// What radios and scripted stations send back to an emission of the radio `from`.
    fn answers(&mut self, emission: &Emission, from: RadioId) -> Vec<Answer> {
        let mut answers = Vec::new();
        if let Some(to) = emission.frame.receiver() {
            let radio =
                self.radios.iter().find(|radio| radio.id != from && radio.options.address == Some(to));
            if let Some(radio) = radio
                && let Some(tuning) = radio.tuning
                && let Some(frame) = respond::immediate(&emission.frame)
            {
                let receiver = Receiver { id: radio.id, tuning, position_m: radio.options.position_m };
                let signal = Signal::ByDistance {
                    power_dbm: radio.options.power_dbm,
                    position_m: radio.options.position_m,
                };
                let sender = Sender::Radio(radio.id);
                let heard = link::hear(self.seed, &self.links, receiver, emission);
                if heard.is_some_and(|frame| !frame.bad_fcs()) {
                    let answer = Emission { frame, sender, signal, serial: self.serial() };
                    answers.push(Answer { emission: answer, solicited: true });
                }
            }
        }
        for cell in self.cells.clone() {
            if !cell.reaches(emission.frame.tuning) {
                continue;
            }
            for (frame, who, solicited) in cell.respond(&emission.frame, self.sent) {
                let sender = Sender::Scripted(who.address);
                let emission = Emission { frame, sender, signal: who.signal, serial: self.serial() };
                answers.push(Answer { emission, solicited });
            }
        }
        answers
    }
}

struct Answer {
    emission: Emission,
    /// Whether this is the acknowledgement (or CTS, or block-ack) for which the sender waits.
    solicited: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Which {
    Inbox,
    Cell(usize),
    Replay,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    at: Duration,
    which: Which,
}

impl Next {
    fn sooner(best: Option<Self>, other: Self) -> Option<Self> {
        match best {
            Some(best) if best.at <= other.at => Some(best),
            _ => Some(other),
        }
    }
}

fn slot_of(at: Duration) -> u64 {
    u64::try_from(at.as_nanos() / SLOT.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether two channels share spectrum.
fn covers(a: Tuning, b: Tuning) -> bool {
    a.center_mhz().abs_diff(b.center_mhz()) < (a.width().mhz() + b.width().mhz()) / 2
}
