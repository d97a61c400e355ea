//! Receive: filter, buffer, descriptor and PHY status, and the aggregates that leave by bulk IN.
//!
//! A packet is a descriptor of 24 bytes (`rtw88 rx.h`; the bits that `rtw88` leaves alone, A-MPDU, short guard
//! interval, LDPC and STBC, by Realtek's names for them), the PHY status if RCR asks for it
//! (`rtw88 rtw88xxa.h`, `struct rtw_jaguar_phy_status_rpt`), the frame and its FCS, padded to 8 bytes.
//! Aggregates end at RXDMA_AGG_PG_TH: a size in 4 KiB (the buffer's own size is the limit) or a time in 32 us
//! after their first packet, whichever comes first. `rtw88` gives no units; these are the common ones.

use core::time::Duration;
use std::collections::VecDeque;

use airlift_hcd::{FunctionUrb, Reply};
use airlift_regs::{bb, mac};
use bytes::{BufMut, Bytes, BytesMut};

use super::Chip;
use super::front_end::rate_code;
use crate::air::{AirFrame, Modulation, Width};

/// Bytes of a receive descriptor.
const DESCRIPTOR: usize = 24;

/// What became of the frames that reached the antenna; each counts once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ReceiveStats {
    /// Frames heard on the tuned channel while the receiver ran.
    pub heard: u64,
    /// Frames that passed the filter and found room in the buffer: the driver gets to see these.
    pub admitted: u64,
    /// Frames that the filter turned away.
    pub filtered: u64,
    /// Frames that passed the filter and found the buffer full.
    pub overflowed: u64,
    /// Of those admitted, how many are in the buffer now.
    pub waiting: u64,
    /// Of those admitted, how many were in the buffer when the MAC lost its power.
    pub discarded: u64,
}

#[derive(Debug)]
struct Packet {
    bytes: Bytes,
    ready: Duration,
    /// A frame, and no message of the firmware.
    is_frame: bool,
}

#[derive(Debug, Default)]
pub(super) struct Receive {
    packets: VecDeque<Packet>,
    buffered: usize,
    /// A frame of a replay that found the buffer full, and waits for room. It is not admitted yet.
    held: Option<Packet>,
    /// The rest of a packet for which the last URB was too short.
    rest: Bytes,
    pub(super) stats: ReceiveStats,
    ppdu: u32,
}

/// A bandwidth as descriptors and reports number it.
fn width_code(width: Width) -> u32 {
    match width {
        Width::Mhz20 => 0,
        Width::Mhz40 => 1,
        Width::Mhz80 => 2,
    }
}

impl Receive {
    /// The buffer is emptied; the counters are the adapter's and stay.
    pub(super) fn reset(&mut self) {
        let mut stats = self.stats;
        stats.discarded += stats.waiting;
        stats.overflowed += u64::from(self.held.is_some());
        stats.waiting = 0;
        *self = Self { stats, ..Self::default() };
    }
}

impl Chip {
    /// Bytes of the receive buffer, by its boundary register.
    pub(super) fn buffer_size(&self) -> usize {
        let register = self.facts.buffer.receive_end;
        match u16::from_le_bytes([self.byte(register), self.byte(register + 1)]) {
            0 => 0,
            last => usize::from(last) + 1,
        }
    }

    /// Takes from the air what has arrived by `now`.
    pub(super) fn pump_receiver(&mut self) {
        while self.is_receiving() && self.release_held() {
            let Some(frame) = self.front_end.radio.as_mut().and_then(|radio| radio.receive(self.host_now))
            else {
                break;
            };
            // More streams than antennas are noise; a replay must come out complete all the same.
            if frame.rate.streams() > self.facts.streams && !self.front_end.patient {
                continue;
            }
            self.receive.stats.heard += 1;
            self.count(&frame);
            if !self.passes(&frame) {
                self.receive.stats.filtered += 1;
                continue;
            }
            let packet = Packet { bytes: self.packet(&frame), ready: frame.end, is_frame: true };
            if self.front_end.patient && self.receive.buffered > 0 && !self.has_room(&packet) {
                self.receive.held = Some(packet);
                break;
            }
            self.admit_frame(packet);
        }
    }

    /// Whether a frame may be taken from the air: none is held for want of room, or it has found some by now.
    fn release_held(&mut self) -> bool {
        match self.receive.held.take() {
            Some(packet) if self.receive.buffered > 0 && !self.has_room(&packet) => {
                self.receive.held = Some(packet);
                false
            }
            Some(packet) => {
                self.admit_frame(packet);
                true
            }
            None => true,
        }
    }

    fn has_room(&self, packet: &Packet) -> bool {
        self.receive.buffered + packet.bytes.len() <= self.buffer_size()
    }

    fn admit_frame(&mut self, packet: Packet) {
        if self.has_room(&packet) {
            self.receive.stats.admitted += 1;
            self.receive.stats.waiting += 1;
            self.buffer(packet);
        } else {
            self.receive.stats.overflowed += 1;
        }
    }

    fn buffer(&mut self, packet: Packet) {
        self.receive.buffered += packet.bytes.len();
        self.receive.packets.push_back(packet);
    }

    /// A message of the firmware (C2H) joins the received packets.
    pub(super) fn message(&mut self, id: u8, sequence: u8, payload: &[u8], at: Duration) {
        let length = payload.len() + 2;
        let mut packet = BytesMut::with_capacity(DESCRIPTOR + length + 8);
        packet.put_u32_le(length as u32);
        packet.put_u32_le(0);
        packet.put_u32_le(1 << 28);
        packet.put_bytes(0, 12);
        packet.put_u8(id);
        packet.put_u8(sequence);
        packet.put_slice(payload);
        pad(&mut packet);
        let packet = Packet { bytes: packet.freeze(), ready: at, is_frame: false };
        if self.has_room(&packet) {
            self.buffer(packet);
        }
    }

    /// The receive filter: RCR, RXFLTMAP0-2, own address and BSSID.
    fn passes(&self, frame: &AirFrame) -> bool {
        let rcr = self.word(mac::RCR.addr());
        let bytes = &frame.bytes[..];
        let limit = usize::from(self.byte(mac::RX_PKT_LIMIT.addr())) * 512;
        let (Some(control), Some(receiver)) = (bytes.first(), frame.receiver()) else { return false };
        if frame.bad_fcs() && rcr & 0x100 == 0 || limit > 0 && bytes.len() + 4 > limit {
            return false;
        }
        let (kind, subtype) = (control >> 2 & 3, control >> 4);
        let map = match kind {
            0 => Some(mac::RXFLTMAP0.addr()),
            1 => Some(mac::RXFLTMAP1.addr()),
            2 => Some(mac::RXFLTMAP2.addr()),
            // There is no map for the reserved type, which damaged frames may have; promiscuity decides below.
            _ => None,
        };
        let taken = map.is_none_or(|map| {
            let map = u16::from_le_bytes([self.byte(map), self.byte(map + 1)]);
            map & 1 << subtype != 0
        });
        if !taken {
            return false;
        }
        let to_us = if receiver == [0xff; 6] {
            rcr & 0x08 != 0
        } else if receiver[0] & 1 != 0 {
            rcr & 0x04 != 0
        } else {
            rcr & 0x01 != 0 || rcr & 0x02 != 0 && receiver == self.address(mac::MACID.addr())
        };
        let own_bss = || bssid(bytes).is_some_and(|bssid| bssid == self.address(mac::BSSID.addr()));
        let beacon = kind == 0 && matches!(subtype, 5 | 8);
        to_us && (rcr & 0x80 == 0 || !beacon || own_bss()) && (rcr & 0x40 == 0 || kind != 2 || own_bss())
    }

    fn packet(&mut self, frame: &AirFrame) -> Bytes {
        let rcr = self.word(mac::RCR.addr());
        let with_fcs = rcr & 0x8000_0000 != 0;
        let length = frame.bytes.len() + if with_fcs { 4 } else { 0 };
        let info_units = match rcr & 0x1000_0000 {
            0 => 0,
            _ => usize::from(self.byte(mac::RX_DRVINFO_SZ.addr()) & 0x0f),
        };
        let code = rate_code(frame.rate);
        if frame.ampdu.is_none_or(|ampdu| ampdu.reference != self.receive.ppdu) {
            self.receive.ppdu =
                frame.ampdu.map_or(self.receive.ppdu.wrapping_add(1), |ampdu| ampdu.reference);
        }
        let control = frame.bytes[0];
        let qos = control & 0x8c == 0x88;
        let sequence = frame.bytes.get(22..24).map_or(0, |s| u32::from(u16::from_le_bytes([s[0], s[1]])));
        let encrypted = frame.bytes.get(1).is_some_and(|flags| flags & 0x40 != 0);

        let mut packet = BytesMut::with_capacity(DESCRIPTOR + info_units * 8 + length + 8);
        packet.put_u32_le(
            length as u32 & 0x3fff
                | u32::from(frame.bad_fcs()) << 14
                | (info_units as u32) << 16
                | u32::from(qos) << 23
                | u32::from(info_units > 0) << 26
                | u32::from(encrypted) << 27,
        );
        packet.put_u32_le(u32::from(frame.ampdu.is_some()) << 15);
        packet.put_u32_le(
            sequence >> 4 | (sequence & 0x0f) << 12 | u32::from(qos) << 16 | (self.receive.ppdu & 3) << 29,
        );
        packet.put_u32_le(u32::from(code));
        let width = width_code(frame.rate.width);
        packet.put_u32_le(
            u32::from(frame.rate.short_gi)
                | u32::from(frame.rate.ldpc) << 1
                | u32::from(frame.rate.stbc) << 2
                | width << 4,
        );
        packet.put_u32_le(self.tsf_at(frame.start) as u32);
        if info_units > 0 {
            let mut status = [0; 32];
            self.phy_status(frame, &mut status);
            let info = info_units * 8;
            packet.put_slice(&status[..info.min(status.len())]);
            packet.put_bytes(0, info.saturating_sub(status.len()));
        }
        packet.put_slice(&frame.bytes);
        if with_fcs {
            packet.put_slice(&frame.fcs());
        }
        pad(&mut packet);
        packet.freeze()
    }

    /// The PHY's report: gains, and for CCK the amplifiers' steps that stand for the signal.
    fn phy_status(&self, frame: &AirFrame, status: &mut [u8; 32]) {
        let gain = |dbm: i8| (i16::from(dbm) + 110).clamp(0, 127) as u8;
        let channel = self.rf(0, 0x18) & 0xff;
        let signal = &frame.signal_dbm[..self.facts.paths.len()];
        let a = signal[0];
        status[0] = gain(a);
        if let Some(b) = signal.get(1) {
            status[1] = gain(*b);
        }
        // The width that the radio is set to, and the part of it that the frame took: 0 is all of it, 1 to 4 is one
        // of 20 MHz, 9 and 10 are the upper and the lower 40 MHz of 80.
        let place = u32::from(self.byte(mac::DATA_SC.addr()) & 0x0f);
        let tuned = self.tuning().map_or(frame.rate.width, |tuning| tuning.width());
        let part = match frame.rate.width {
            width if width == tuned => 0,
            Width::Mhz40 => 10 - (place & 1),
            _ => place,
        };
        let high = channel | part << 10 | width_code(tuned) << 14;
        status[2..4].copy_from_slice(&(high as u16).to_le_bytes());
        if frame.rate.is_cck() {
            let (lna, vga) = self.cck_gain(a);
            status[4] = 60; // signal quality
            status[5] = lna << 5 | vga;
            status[6] = gain(a); // baseband power
        } else {
            status[4] = gain(signal.iter().copied().max().unwrap_or(a)); // power of all chains
            let snr = |dbm: i8| (i16::from(dbm) + 95).clamp(0, 60) as u8 * 2;
            let streams = frame.rate.streams();
            status[13] = (-(i16::from(snr(a)) / 2)) as u8; // error vector, stream 1
            let b = signal.get(1).copied();
            status[14] = b.filter(|_| streams > 1).map_or(0x80, |b| (-(i16::from(snr(b)) / 2)) as u8);
            status[15] = snr(a);
            status[16] = b.map_or(0, snr);
            // Chains C and D.
            for (chain, dbm) in signal.iter().enumerate().skip(2) {
                status[19 + chain - 2] =
                    if usize::from(streams) > chain { (-(i16::from(snr(*dbm)) / 2)) as u8 } else { 0x80 };
                status[21 + chain - 2] = snr(*dbm);
                status[23 + chain - 2] = gain(*dbm);
            }
            if signal.len() > 2 {
                status[25] = status[13]; // error vector of the frame's own symbols
            }
        }
    }

    /// Steps of the low-noise and the variable amplifier that stand for a CCK signal: the inverse of what a driver
    /// makes of them (`rtw88 rtw8812a.c`, `rtw8812a_cck_rx_pwr`, and its like), which tells even dBm only.
    fn cck_gain(&self, dbm: i8) -> (u8, u8) {
        let baseband = &self.facts.baseband;
        cck_gain(baseband.cck_stages, baseband.cck_weakest, dbm)
    }

    /// The baseband's counters of frames by kind, good and bad.
    fn count(&mut self, frame: &AirFrame) {
        let (register, cck) = match frame.rate.modulation {
            Modulation::Legacy(_) if frame.rate.is_cck() => (bb::CRC_CCK, true),
            Modulation::Legacy(_) => (bb::CRC_OFDM, false),
            Modulation::Ht { .. } => (bb::CRC_HT, false),
            Modulation::Vht { .. } => (bb::CRC_VHT, false),
        };
        let half = if frame.bad_fcs() { 2 } else { 0 };
        self.bump(register.addr() + half);
        self.bump(if cck { bb::CCA_CCK.addr() } else { bb::CCA_OFDM.addr() + 2 });
    }

    fn bump(&mut self, register: u16) {
        let old = u16::from_le_bytes([self.byte(register), self.byte(register + 1)]);
        let new = old.saturating_add(1).to_le_bytes();
        self.set_byte(register, new[0]);
        self.set_byte(register + 1, new[1]);
    }

    /// Whether a bulk IN transfer may end now, with what is buffered.
    pub(crate) fn has_delivery(&self) -> bool {
        if !self.receive.rest.is_empty() {
            return true;
        }
        let Some(first) = self.receive.packets.front() else { return false };
        let Some((threshold, timeout)) = self.aggregation() else { return true };
        self.receive.held.is_some()
            || self.receive.buffered >= threshold
            || first.ready + timeout <= self.host_now
    }

    /// Ends a bulk IN transfer with the packets that are to go together.
    pub(crate) fn deliver(&mut self, urb: FunctionUrb) -> Reply {
        let room = urb.length();
        if !self.receive.rest.is_empty() {
            let part = self.receive.rest.split_to(room.min(self.receive.rest.len()));
            return urb.reply(&part);
        }
        let together = self.aggregation().is_some();
        let packets = &mut self.receive.packets;
        let mut taken = 0;
        let mut rest = Bytes::new();
        let (mut buffered, mut waiting) = (self.receive.buffered, self.receive.stats.waiting);
        let reply = urb.fill(|buffer| {
            while let Some(packet) = packets.front() {
                let fits = taken + packet.bytes.len() <= room;
                if taken > 0 && (!together || !fits) {
                    break;
                }
                let Some(mut packet) = packets.pop_front() else { break };
                buffered -= packet.bytes.len();
                waiting -= u64::from(packet.is_frame);
                if !fits {
                    rest = packet.bytes.split_off(room);
                }
                taken += packet.bytes.len();
                buffer.extend_from_slice(&packet.bytes);
            }
        });
        (self.receive.buffered, self.receive.stats.waiting, self.receive.rest) = (buffered, waiting, rest);
        reply
    }

    /// Size and time at which an aggregate ends; `None` if every packet goes by itself.
    fn aggregation(&self) -> Option<(usize, Duration)> {
        let enabled = self.byte(mac::TXDMA_PQ_MAP.addr()) & 0x04 != 0;
        let size = usize::from(self.byte(mac::RXDMA_AGG_PG_TH.addr())) * 4096;
        let timeout = Duration::from_micros(32) * u32::from(self.byte(mac::RXDMA_AGG_PG_TH.addr() + 1));
        (enabled && size > 0).then(|| (size.min(self.buffer_size() * 3 / 4), timeout))
    }

    /// When the receiver has something to do by itself. `waiting`: the host waits for packets.
    pub(super) fn receive_deadline(&self, waiting: bool) -> Option<Duration> {
        let arrival = if self.receive.held.is_none() { self.next_arrival() } else { None };
        let end = self.receive.packets.front().filter(|_| waiting).map(|first| {
            let timeout = self.aggregation().map_or(Duration::ZERO, |(_, timeout)| timeout);
            first.ready + timeout
        });
        arrival.into_iter().chain(end).min()
    }
}

/// The BSSID of a frame, by its type and direction bits.
fn bssid(bytes: &[u8]) -> Option<[u8; 6]> {
    let at = match (bytes[0] >> 2 & 3, bytes.get(1)? & 3) {
        (2, 1) => 4,
        (2, 2) => 10,
        (0, _) | (2, 0) => 16,
        _ => return None,
    };
    bytes.get(at..at + 6)?.try_into().ok()
}

fn pad(packet: &mut BytesMut) {
    let short = packet.len().next_multiple_of(8) - packet.len();
    packet.put_bytes(0, short);
}

/// The step of each amplifier for a signal: the first stage that reaches it.
fn cck_gain(stages: &[(u8, i16)], weakest: i16, dbm: i8) -> (u8, u8) {
    let (last, strongest) = stages.last().copied().unwrap_or_default();
    let dbm = i16::from(dbm).clamp(weakest, strongest);
    let stage = stages.iter().copied().find(|(_, strongest)| dbm <= *strongest).unwrap_or((last, strongest));
    (stage.0, ((stage.1 - dbm) / 2) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;

    /// What a driver makes of the steps.
    fn power(lna: u8, vga: u8) -> i16 {
        let vga = i16::from(vga);
        match lna {
            7 => -94 + 2 * (27 - vga).max(0),
            6 => -42 + 2 * (2 - vga),
            5 => -36 + 2 * (7 - vga),
            4 => -30 + 2 * (7 - vga),
            3 => -18 + 2 * (7 - vga),
            2 => 2 * (5 - vga),
            1 => 14 - 2 * vga,
            _ => 20 - 2 * vga,
        }
    }

    #[test]
    fn a_cck_signal_is_told_within_a_step() {
        for dbm in -94..=-10_i8 {
            let baseband = &Model::Rtl8812au.facts().baseband;
            let (lna, vga) = cck_gain(baseband.cck_stages, baseband.cck_weakest, dbm);
            assert!(vga < 32 && lna < 8);
            let told = power(lna, vga);
            assert!((told - i16::from(dbm)).abs() <= 1, "{dbm} dBm is told as {told}");
        }
    }
}
