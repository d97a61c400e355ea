//! The frames of one slot of a cell: beacon, data with its acknowledgements, RTS and CTS, null-data, probes.
//!
//! [`Script`] writes them one after the other with the gaps that the standard asks for, so that they never
//! overlap. Neighbours: [`super::cell`] says who talks, [`super::respond`] builds the short answers.

use core::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::cell::{BROADCAST, Cell, SLOT, Station, Who, management};
use super::link::{Emission, Sender};
use super::medium::{SIFS_2GHZ, SIFS_5GHZ};
use super::respond::{self, ACK, CTS};
use super::rng::Rng;
use super::{AirFrame, Ampdu, Modulation, Rate, Width, elements};

/// The last moment of a slot in which something may begin: the longest exchange ends before the next beacon.
const LAST_START: Duration = Duration::from_millis(75);

/// The frames of one slot, as they are written.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    cell: &'a Cell,
    slot: u64,
    /// When the slot begins.
    base: Duration,
    /// When the frame written last was over.
    now: Duration,
    rng: Rng,
    serial: u64,
    out: Vec<Emission>,
}

impl<'a> Script<'a> {
    pub(crate) fn new(cell: &'a Cell, slot: u64, base: Duration, rng: Rng, serial: u64) -> Self {
        Self { cell, slot, base, now: base, rng, serial, out: Vec::new() }
    }

    pub(crate) fn write(mut self) -> Vec<Emission> {
        self.beacon();
        let cell = self.cell;
        let active: Vec<&Station> = (cell.stations.iter())
            .filter(|station| {
                let every = u64::from(station.traffic.every.max(1));
                self.slot % every == u64::from(station.traffic.phase) % every
            })
            .collect();
        let share = LAST_START / u32::try_from(active.len().max(1)).unwrap_or(u32::MAX);
        for (number, station) in active.into_iter().enumerate() {
            // Each has a part of the slot, and begins somewhere in its first half.
            let part = share * u32::try_from(number).unwrap_or(0);
            let late = self.rng.below(u64::try_from(share.as_micros() / 2).unwrap_or(0));
            self.now = self.now.max(self.base + part + Duration::from_micros(late));
            self.station(station);
        }
        // A slot that was asked for too much is cut rather than run into the next one.
        let end = self.base + SLOT;
        self.out.retain(|emission| emission.frame.end < end);
        self.out
    }

    fn is_2ghz(&self) -> bool {
        !self.cell.ap.tuning.is_5ghz()
    }

    fn sifs(&self) -> Duration {
        if self.is_2ghz() { SIFS_2GHZ } else { SIFS_5GHZ }
    }

    /// Waits for the channel: DIFS and a drawn back-off.
    fn contend(&mut self) {
        self.now += Duration::from_micros(28 + 9 * self.rng.below(16));
    }

    fn push(&mut self, who: Who, mut frame: AirFrame, start: Duration, end: Duration) {
        frame.tuning = self.cell.ap.tuning;
        (frame.start, frame.end) = (start, end);
        let (sender, signal) = (Sender::Scripted(who.address), who.signal);
        self.out.push(Emission { frame, sender, signal, serial: self.serial });
        self.serial += 1;
        self.now = end;
    }

    fn send(&mut self, who: Who, bytes: Bytes, rate: Rate) {
        let frame = AirFrame::new(bytes, rate);
        let end = self.now + rate.air_time(frame.air_length(), self.is_2ghz());
        self.push(who, frame, self.now, end);
    }

    fn beacon(&mut self) {
        let cell = self.cell;
        let rate = cell.beacon_rate();
        // The time stamp is that of its own first bit: after the preamble and the 24 bytes of the header.
        let header = rate.air_time(24, false);
        let tsf_us = u64::try_from((self.now + header).as_micros()).unwrap_or(u64::MAX);
        let bytes = cell.announcement(None, (self.slot & 0xfff) as u16, tsf_us, self.slot);
        self.send(cell.access_point(), bytes.freeze(), rate);
    }

    fn station(&mut self, station: &Station) {
        let traffic = station.traffic;
        // How often the station was active before.
        let turn = self.slot / u64::from(traffic.every.max(1));
        let who = Who { address: station.address, signal: station.signal };
        let ap = self.cell.access_point();
        if traffic.probe {
            self.probe(who, turn);
        }
        if traffic.null {
            self.null(who, turn);
        }
        self.data(who, ap, station, turn, traffic.up, true);
        self.data(ap, who, station, turn, traffic.down, false);
    }

    /// A probe request to everybody and the access point's response.
    fn probe(&mut self, who: Who, turn: u64) {
        let cell = self.cell;
        let rate = cell.beacon_rate();
        let mut request = BytesMut::with_capacity(64);
        management(&mut request, 0x40, 0, BROADCAST, who.address, BROADCAST, (turn & 0xfff) as u16);
        elements::ssid_and_rates(&mut request, &[], !self.is_2ghz());
        self.contend();
        self.send(who, request.freeze(), rate);
        self.contend();
        let tsf_us = u64::try_from((self.now + rate.air_time(24, false)).as_micros()).unwrap_or(u64::MAX);
        // Probe responses count apart from beacons here, half a cycle away.
        let sequence = ((turn + 2048) & 0xfff) as u16;
        let response = cell.announcement(Some(who.address), sequence, tsf_us, self.slot);
        self.send(cell.access_point(), response.freeze(), rate);
        self.acknowledge(who, cell.ap.bssid, rate);
    }

    /// "I go to sleep" or "I am awake", by turns.
    fn null(&mut self, who: Who, turn: u64) {
        let bssid = self.cell.ap.bssid;
        let rate = Rate::legacy(48).unwrap_or(Rate::OFDM_6M);
        let mut bytes = BytesMut::with_capacity(24);
        // Null data to the access point; the power-management flag tells which.
        management(&mut bytes, 0x48, 44, bssid, who.address, bssid, (turn & 0xfff) as u16);
        bytes[1] = if turn.is_multiple_of(2) { 0x11 } else { 0x01 };
        self.contend();
        self.send(who, bytes.freeze(), rate);
        self.acknowledge(self.cell.access_point(), who.address, rate);
    }

    fn acknowledge(&mut self, who: Who, to: [u8; 6], rate: Rate) {
        let frame = respond::control(ACK, 0, to, respond::answer_rate(rate));
        self.now += self.sifs();
        self.send(who, frame.bytes, frame.rate);
    }

    /// Data frames from `from` to `to`, reserved and acknowledged as their number and rate ask for.
    fn data(&mut self, from: Who, to: Who, station: &Station, turn: u64, count: u8, up: bool) {
        if count == 0 {
            return;
        }
        let rate = station.rate;
        let aggregate = count > 1 && !matches!(rate.modulation, Modulation::Legacy(_));
        self.contend();
        if station.traffic.rts {
            self.reserve(from, to, rate, station, count);
        }
        let first = turn * u64::from(count);
        let (mut sent, ppdu) = (0, self.now);
        for number in first..first + u64::from(count) {
            let bytes = self.data_frame(station, number, up, rate);
            let mut frame = AirFrame::new(bytes, rate);
            if aggregate {
                let last = number + 1 == first + u64::from(count);
                frame.ampdu = Some(Ampdu { reference: (self.serial >> 4) as u32, last });
                // A delimiter of four bytes, and every frame padded to four.
                sent += 4 + frame.air_length().next_multiple_of(4);
                let end = ppdu + rate.air_time(sent, self.is_2ghz());
                self.push(from, frame, ppdu, end);
            } else {
                if number > first {
                    self.contend();
                }
                let length = frame.air_length();
                let end = self.now + rate.air_time(length, self.is_2ghz());
                self.push(from, frame, self.now, end);
                self.acknowledge(to, from.address, rate);
            }
        }
        if aggregate {
            self.block_ack(to, from.address, first, count, rate);
        }
    }

    fn reserve(&mut self, from: Who, to: Who, rate: Rate, station: &Station, count: u8) {
        let width = rate.width;
        // Duplicated on every 20 MHz that the data will use.
        let control = Rate::legacy(48).unwrap_or(Rate::OFDM_6M).with_width(width);
        let band = self.is_2ghz();
        let length = (usize::from(station.traffic.bytes) + 50) * usize::from(count);
        let answer = control.air_time(14, band);
        let rest = self.sifs() * 3 + answer + rate.air_time(length, band) + control.air_time(32, band);
        let reserved = u16::try_from(rest.as_micros()).unwrap_or(0x7fff).min(0x7fff);
        let mut rts = BytesMut::with_capacity(16);
        rts.put_slice(&[0xb4, 0]);
        rts.put_u16_le(reserved);
        rts.put_slice(&to.address);
        rts.put_slice(&from.address);
        self.send(from, rts.freeze(), control);
        self.now += self.sifs();
        let spent = u16::try_from((self.sifs() + answer).as_micros()).unwrap_or(0);
        let cts = respond::control(CTS, reserved.saturating_sub(spent), from.address, control);
        self.send(to, cts.bytes, control);
        self.now += self.sifs();
    }

    fn block_ack(&mut self, who: Who, to: [u8; 6], first: u64, count: u8, rate: Rate) {
        let mut bytes = BytesMut::with_capacity(28);
        bytes.put_slice(&[0x94, 0, 0, 0]);
        bytes.put_slice(&to);
        bytes.put_slice(&who.address);
        // Compressed, TID 0; the sequence number at which the bitmap begins.
        bytes.put_u16_le(0x0004);
        bytes.put_u16_le(((first & 0xfff) << 4) as u16);
        bytes.put_u64_le(u64::MAX >> (64 - u32::from(count.clamp(1, 64))));
        self.now += self.sifs();
        let width = if rate.width == Width::Mhz20 { Width::Mhz20 } else { rate.width };
        self.send(who, bytes.freeze(), respond::answer_rate(rate).with_width(width));
    }

    /// A QoS data frame (plain data at legacy rates), encrypted if the network is.
    fn data_frame(&mut self, station: &Station, number: u64, up: bool, rate: Rate) -> Bytes {
        let cell = self.cell;
        let bssid = cell.ap.bssid;
        let qos = !matches!(rate.modulation, Modulation::Legacy(_));
        let payload = usize::from(station.traffic.bytes);
        let mut bytes = BytesMut::with_capacity(payload + 42);
        let control = if qos { 0x88 } else { 0x08 };
        // To the access point, or from it.
        let (flags, to, from) = if up { (1, bssid, station.address) } else { (2, station.address, bssid) };
        let ack = respond::answer_rate(rate).air_time(14, self.is_2ghz()) + self.sifs();
        let duration_us = u16::try_from(ack.as_micros()).unwrap_or(0);
        // Address 3 is the other end behind the access point: its own wired side.
        management(&mut bytes, control, duration_us, to, from, bssid, (number & 0xfff) as u16);
        bytes[1] = flags | if cell.ap.protected { 0x40 } else { 0 };
        if qos {
            bytes.put_u16_le(0);
        }
        if cell.ap.protected {
            // CCMP header: the packet number, counted from 1 and never repeated, around key id 0.
            let pn = (number + 1).to_le_bytes();
            bytes.put_slice(&[pn[0], pn[1], 0, 0x20, pn[2], pn[3], pn[4], pn[5]]);
        } else {
            // LLC/SNAP with the EtherType of local experiments (IEEE 802, 9.2.4).
            bytes.put_slice(&[0xaa, 0xaa, 3, 0, 0, 0, 0x88, 0xb5]);
        }
        let from = bytes.len();
        bytes.resize(from + payload + if cell.ap.protected { 8 } else { 0 }, 0);
        self.rng.fill(&mut bytes[from..]);
        bytes.freeze()
    }
}
