//! A scripted cell: an access point that beacons and answers, and stations that talk with it.
//!
//! Time is cut into slots of one beacon interval, and what is said in slot *k* is a function of the seed and
//! *k* alone: two radios, or the same radio after a detour, hear the same air without anything being kept.
//! That is why the counts of frames in a slot are fixed and only their timing, lengths and contents are drawn:
//! sequence numbers and packet numbers then follow from *k*. Neighbours: [`super::exchange`] writes the frames
//! of a slot, [`super::medium`] pulls slots, [`super::scene`] sets cells up.

use core::time::Duration;

use bytes::{BufMut, BytesMut};

use super::exchange::Script;
use super::link::{Emission, Signal, overlap_loss_db};
use super::rng::Rng;
use super::{AirFrame, Rate, Tuning, elements, respond};

/// One beacon interval: 100 time units of 1,024 us.
pub(crate) const SLOT: Duration = Duration::from_micros(102_400);
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];
/// Room that a frame needs for all the elements of an access point.
const ELEMENTS: usize = 320;

/// A scripted access point.
#[derive(Clone, PartialEq, Debug)]
pub struct AccessPoint {
    /// Its MAC address.
    pub bssid: [u8; 6],
    /// Its network's name; any bytes, of which the first 32 are sent.
    pub ssid: Vec<u8>,
    /// Its channel.
    pub tuning: Tuning,
    /// How strong it arrives.
    pub signal: Signal,
    /// Whether the network is encrypted (WPA2-PSK with CCMP).
    pub protected: bool,
    /// Whether it speaks HT.
    pub ht: bool,
    /// Whether it speaks VHT.
    pub vht: bool,
}

impl AccessPoint {
    /// An encrypted HT network (VHT too at 5 GHz) that arrives at -50 dBm.
    pub fn new(bssid: [u8; 6], ssid: impl Into<Vec<u8>>, tuning: Tuning) -> Self {
        let signal = Signal::Fixed(-50);
        Self { bssid, ssid: ssid.into(), tuning, signal, protected: true, ht: true, vht: tuning.is_5ghz() }
    }

    /// The access point with another signal.
    #[must_use]
    pub fn with_signal(mut self, signal: Signal) -> Self {
        self.signal = signal;
        self
    }
}

/// What a station and its access point say to each other, in every slot in which the station is active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// The station is active in one slot (102.4 ms) of this many; at least 1.
    pub every: u32,
    /// In which of them.
    pub phase: u32,
    /// Data frames to the access point, as one A-MPDU if there are several (and the rate is not a legacy one).
    pub up: u8,
    /// Data frames from the access point.
    pub down: u8,
    /// Bytes of each data frame's payload.
    pub bytes: u16,
    /// Whether RTS and CTS go before the data.
    pub rts: bool,
    /// Whether the station sends a null-data frame (power save) as well.
    pub null: bool,
    /// Whether the station looks for networks with a probe request as well.
    pub probe: bool,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { every: 1, phase: 0, up: 1, down: 0, bytes: 1436, rts: false, null: false, probe: false }
    }
}

/// A scripted station.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Station {
    /// Its MAC address.
    pub address: [u8; 6],
    /// How strong it arrives.
    pub signal: Signal,
    /// Rate of its data frames and of those sent to it.
    pub rate: Rate,
    /// What it says.
    pub traffic: Traffic,
}

/// A scripted sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) address: [u8; 6],
    pub(crate) signal: Signal,
}

/// An answer to a radio's frame: the frame, its sender, and whether it is the one that the radio waits for.
pub(crate) type Answer = (AirFrame, Who, bool);

#[derive(Debug)]
pub(crate) struct Cell {
    seed: u64,
    number: u64,
    pub(crate) ap: AccessPoint,
    pub(crate) stations: Vec<Station>,
    /// How late this cell's slots begin, so that not all access points beacon at once.
    phase: Duration,
}

impl Cell {
    pub(crate) fn new(seed: u64, number: usize, ap: AccessPoint, stations: Vec<Station>) -> Self {
        let number = number as u64;
        // 17 ms apart, and never a whole slot.
        let phase = Duration::from_micros(number * 17_000 % 102_000);
        Self { seed, number, ap, stations, phase }
    }

    /// Whether a radio at `tuning` can hear any of this cell's frames.
    pub(crate) fn reaches(&self, tuning: Tuning) -> bool {
        let apart = tuning.primary_mhz().abs_diff(self.ap.tuning.center_mhz());
        // DSSS leaks 10 MHz; everything else needs the primary inside the cell's channel.
        apart <= if tuning.is_5ghz() { self.ap.tuning.width().mhz() / 2 } else { 30 }
    }

    pub(crate) fn beacon_rate(&self) -> Rate {
        if self.ap.tuning.is_5ghz() { Rate::OFDM_6M } else { Rate::DSSS_1M }
    }

    pub(crate) fn access_point(&self) -> Who {
        Who { address: self.ap.bssid, signal: self.ap.signal }
    }

    /// All that is said in slot `number`, in order and without overlap.
    pub(crate) fn slot(&self, number: u64) -> Vec<Emission> {
        let start = SLOT.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)) + self.phase;
        let rng = Rng::at(self.seed, &[0x6365_6c6c, self.number, number]);
        Script::new(self, number, start, rng, self.number << 48 | number << 12).write()
    }

    /// A beacon or probe response, with the time stamp `tsf_us`.
    pub(crate) fn announcement(
        &self,
        to: Option<[u8; 6]>,
        sequence: u16,
        tsf_us: u64,
        slot: u64,
    ) -> BytesMut {
        let ap = &self.ap;
        let mut bytes = BytesMut::with_capacity(36 + ELEMENTS);
        // Beacon: subtype 8; probe response: subtype 5, acknowledged.
        let (control, duration_us) = if to.is_some() { (0x50, 314) } else { (0x80, 0) };
        management(&mut bytes, control, duration_us, to.unwrap_or(BROADCAST), ap.bssid, ap.bssid, sequence);
        bytes.put_u64_le(tsf_us);
        bytes.put_u16_le(100);
        // ESS, short preamble and short slot at 2.4 GHz, privacy.
        let band = if ap.tuning.is_5ghz() { 0 } else { 0x0420 };
        bytes.put_u16_le(0x0001 | band | if ap.protected { 0x0010 } else { 0 });
        let tim = to.is_none().then_some((2 - slot % 3) as u8);
        elements::of_access_point(&mut bytes, ap, tim);
        bytes
    }

    /// What the cell's hardware and its access point answer to a radio's frame.
    pub(crate) fn respond(&self, frame: &AirFrame, nonce: u64) -> Vec<Answer> {
        let heard = overlap_loss_db(self.ap.tuning, frame.tuning, frame.rate).is_some();
        let Some(to) = frame.receiver().filter(|_| heard && !frame.bad_fcs()) else { return Vec::new() };
        let mut answers = Vec::new();
        let station = self.stations.iter().find(|station| station.address == to);
        let addressed = match station {
            Some(station) => Some(Who { address: station.address, signal: station.signal }),
            None => (to == self.ap.bssid).then(|| self.access_point()),
        };
        let mut free = frame.end;
        if let (Some(who), Some(mut answer)) = (addressed, respond::immediate(frame)) {
            answer.tuning = self.ap.tuning;
            free = answer.end;
            answers.push((answer, who, true));
        }
        if (to == BROADCAST || to == self.ap.bssid) && self.is_probed_by(frame) {
            answers.extend(self.probe_response(frame, free, nonce));
        }
        answers
    }

    /// Whether `frame` is a probe request for any network or for this one.
    fn is_probed_by(&self, frame: &AirFrame) -> bool {
        if frame.bytes.first() != Some(&0x40) {
            return false;
        }
        // The SSID stands first in what follows the header.
        match frame.bytes.get(24..) {
            Some([0, length, rest @ ..]) => {
                let wanted = rest.get(..usize::from(*length));
                wanted.is_some_and(|ssid| {
                    ssid.is_empty() || ssid == &self.ap.ssid[..self.ap.ssid.len().min(32)]
                })
            }
            _ => false,
        }
    }

    fn probe_response(&self, request: &AirFrame, free: Duration, nonce: u64) -> Option<Answer> {
        let mut rng = Rng::at(self.seed, &[0x7072_6f62, self.number, nonce]);
        // DIFS and up to 15 slots of back-off.
        let start = free + Duration::from_micros(28 + 9 * rng.below(16));
        let tsf_us = u64::try_from(start.as_micros()).unwrap_or(u64::MAX);
        let sequence = (rng.next_u64() & 0xfff) as u16;
        let bytes = self.announcement(Some(request.transmitter()?), sequence, tsf_us, 0);
        let mut frame = AirFrame::new(bytes.freeze(), self.beacon_rate());
        frame.tuning = self.ap.tuning;
        frame.start = start;
        frame.end = start + frame.rate.air_time(frame.air_length(), !frame.tuning.is_5ghz());
        Some((frame, self.access_point(), false))
    }
}

/// The header of a management frame.
pub(crate) fn management(
    out: &mut BytesMut,
    control: u8,
    duration_us: u16,
    to: [u8; 6],
    from: [u8; 6],
    bssid: [u8; 6],
    sequence: u16,
) {
    out.put_slice(&[control, 0]);
    out.put_u16_le(duration_us);
    out.put_slice(&to);
    out.put_slice(&from);
    out.put_slice(&bssid);
    out.put_u16_le(sequence << 4);
}
