//! Transmit: what arrives by bulk OUT, from the descriptor's checks to the air and the report.
//!
//! A transfer holds one frame or several, each behind a descriptor of 40 bytes (`rtw88 tx.h`), padded to 8
//! bytes. The descriptor's first 32 bytes XOR to zero in 16-bit words (`fill_txdesc_checksum_common`). A frame
//! takes pages of 512 bytes until it has been sent.

use core::time::Duration;
use std::collections::VecDeque;

use airlift_hcd::{FunctionUrb, TransferError};
use airlift_regs::mac;
use bytes::BytesMut;

use super::Chip;
use super::front_end::rate_of;
use crate::Rule;
use crate::air::{AirFrame, Width};
use crate::model::Mcu;

/// Bytes of a transmit descriptor.
const DESCRIPTOR: usize = 40;
/// The queue whose frames stay in the chip.
const QUEUE_BEACON: u32 = 16;
/// The queue of command packets to the firmware.
const QUEUE_COMMAND: u32 = 19;
/// The message that reports what became of a frame.
const MESSAGE_REPORT: u8 = 0x03;

/// What became of the frames that the host sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TransmitStats {
    /// Frames that went on the air.
    pub sent: u64,
    /// Times that one of them was sent again for want of an answer.
    pub retries: u64,
    /// Frames that had to stay: the radio was not tuned.
    pub dropped: u64,
}

#[derive(Debug, Default)]
pub(super) struct Transmit {
    /// When frames are over and how many pages that frees.
    in_flight: VecDeque<(Duration, usize)>,
    /// Reports that are due when their frame is over.
    reports: VecDeque<(Duration, [u8; 7])>,
    sequence: u16,
    report_sequence: u8,
    /// The firmware reports nothing.
    pub(super) mute: bool,
    pub(super) stats: TransmitStats,
}

impl Transmit {
    pub(super) fn reset(&mut self) {
        *self = Self { stats: self.stats, mute: self.mute, ..Self::default() };
    }
}

/// What a transfer comes to.
pub(crate) enum Outgoing {
    /// Its frames were taken, or thrown away with an error.
    Done(Result<(), TransferError>),
    /// There is no room for it yet.
    Wait,
}

impl Chip {
    /// Whether frames get from the host to the antenna.
    pub(super) fn is_sending(&self) -> bool {
        self.radio_is_on(0) && self.mcu.running && self.byte(mac::CR.addr()) & 0x45 == 0x45
    }

    /// A transfer to one of the endpoints for frames.
    pub(crate) fn send(&mut self, urb: &FunctionUrb) -> Outgoing {
        let data = urb.data();
        let broken = self.transmit_rule(data);
        if let Some(rule) = broken {
            let admitted = self.admit(Some(rule), u16::from(urb.endpoint()), None);
            // Silicon throws away what it cannot read; a strict chip says so.
            return Outgoing::Done(if admitted { Ok(()) } else { Err(TransferError::Stall) });
        }
        let frames = parse(data).unwrap_or_default();
        let pages: usize = frames.iter().map(|frame| self.pages_of(frame)).sum();
        let used: usize = self.transmit.in_flight.iter().map(|(_, pages)| pages).sum();
        let paused = self.byte(mac::TXPAUSE.addr()) != 0;
        if paused || used > 0 && used + pages > self.pages() {
            return Outgoing::Wait;
        }
        for frame in frames {
            self.send_frame(&frame);
        }
        Outgoing::Done(Ok(()))
    }

    /// Pages that the queues were given altogether.
    fn pages(&self) -> usize {
        let buffer = &self.facts.buffer;
        let of = |reserved: u16| {
            (0..buffer.queue_width)
                .rev()
                .fold(0, |sum, at| sum << 8 | usize::from(self.byte(reserved + at as u16)))
        };
        buffer.queues.iter().map(|(reserved, _)| of(*reserved)).sum()
    }

    /// Pages that a frame takes.
    fn pages_of(&self, frame: &Outbound<'_>) -> usize {
        (DESCRIPTOR + frame.payload.len()).div_ceil(self.facts.buffer.page)
    }

    /// The rule that a reserved page breaks: one of the 3081's, which get there before any firmware does.
    fn reserved_page_rule(&self) -> Option<Rule> {
        let broken = [
            (self.byte(mac::CR.addr()) & 0x05 != 0x05, Rule::TransmitDisabled),
            (self.byte(mac::CR.addr() + 1) & 0x01 == 0, Rule::ReservedPageDisabled),
            (!self.mac.pages_loaded, Rule::TransmitWithoutPages),
        ];
        broken.into_iter().find_map(|(broken, rule)| broken.then_some(rule))
    }

    fn transmit_rule(&self, data: &[u8]) -> Option<Rule> {
        let reserved = |frames: &[Outbound<'_>]| frames.iter().all(|frame| frame.queue() == QUEUE_BEACON);
        if matches!(self.facts.mcu, Mcu::I3081 { .. }) && parse(data).is_ok_and(|frames| reserved(&frames)) {
            return self.reserved_page_rule();
        }
        if !self.mcu.running {
            return Some(Rule::TransmitBeforeFirmware);
        }
        if self.byte(mac::CR.addr()) & 0x75 != 0x75 {
            return Some(Rule::TransmitDisabled);
        }
        if !self.page_list.is_complete() {
            return Some(Rule::TransmitWithoutPageList);
        }
        if !self.mac.pages_loaded {
            return Some(Rule::TransmitWithoutPages);
        }
        match parse(data) {
            Err(rule) => Some(rule),
            Ok(frames) => {
                let most = usize::from(self.byte(mac::DWBCN0_CTRL.addr()) >> 4).max(1);
                (frames.len() > most).then_some(Rule::TransmitTooMany)
            }
        }
    }

    fn send_frame(&mut self, frame: &Outbound<'_>) {
        if frame.queue() == QUEUE_BEACON {
            let (register, bit) = self.facts.buffer.beacon_valid;
            self.change(register, 0, bit);
            if let Mcu::I3081 { .. } = self.facts.mcu {
                self.page_arrived(frame.descriptor, frame.payload);
            }
            return;
        }
        if frame.queue() == QUEUE_COMMAND {
            self.packet_arrived(frame.payload);
            return;
        }
        let mut bytes = BytesMut::from(frame.payload);
        if frame.field(8, 15, 1) != 0 && bytes.len() >= 24 {
            self.transmit.sequence = self.transmit.sequence.wrapping_add(1) & 0x0fff;
            let control = self.transmit.sequence << 4 | u16::from(bytes[22] & 0x0f);
            bytes[22..24].copy_from_slice(&control.to_le_bytes());
        }
        let code = frame.field(4, 0, 7) as u8;
        let width = match frame.field(5, 5, 2) {
            1 => Width::Mhz40,
            2 => Width::Mhz80,
            _ => Width::Mhz20,
        };
        let power = self.power_dbm(code);
        // The descriptor's own limit, if it says that it has one, or the MAC's.
        let limit = match frame.field(4, 17, 1) {
            0 => usize::from(self.byte(mac::RETRY_LIMIT.addr()) & 0x3f),
            _ => frame.field(4, 18, 6) as usize,
        };
        // One frame after the other, in the order in which they came.
        let before = self.transmit.in_flight.back().map_or(Duration::ZERO, |(end, _)| *end);
        let mut now = self.host_now.max(before);
        let (mut retries, mut acknowledged) = (0, None);
        let tuned = self.tuning();
        let Some((radio, tuned)) = self.front_end.radio.as_mut().zip(tuned) else {
            self.transmit.stats.dropped += 1;
            return self.report(frame, 0, false, now);
        };
        let mut rate = rate_of(code, self.facts.streams);
        rate.width = width.min(tuned.width());
        rate.short_gi = frame.field(5, 4, 1) != 0;
        rate.ldpc = frame.field(5, 7, 1) != 0;
        rate.stbc = frame.field(5, 8, 2) != 0;
        radio.set_power(power);
        loop {
            let Ok(sent) = radio.transmit(now, AirFrame::new(bytes.clone().freeze(), rate)) else {
                self.transmit.stats.dropped += 1;
                return self.report(frame, retries, false, now);
            };
            now = sent.end;
            acknowledged = sent.acknowledged.or(acknowledged);
            if sent.acknowledged != Some(false) || retries >= limit {
                break;
            }
            retries += 1;
            bytes[1] |= 0x08; // the retry flag
        }
        self.transmit.stats.sent += 1;
        self.transmit.stats.retries += retries as u64;
        let pages = self.pages_of(frame);
        self.transmit.in_flight.push_back((now, pages));
        self.report(frame, retries, acknowledged != Some(false), now);
    }

    /// Keeps a report for a frame that asked for one (SPE_RPT): queue and failure, retries, rate, and the
    /// driver's own number in the last byte (`rtw88 fw.h`, `GET_CCX_REPORT_*_V0`).
    fn report(&mut self, frame: &Outbound<'_>, retries: usize, good: bool, at: Duration) {
        if frame.field(2, 19, 1) != 0 && !self.transmit.mute {
            let failure = if good { 0 } else { 0x80 };
            let number = frame.field(6, 0, 12) as u8;
            let (queue, mac_id) = (frame.queue() as u8 & 0x1f, frame.field(1, 0, 8) as u8);
            let rate = frame.field(4, 0, 7) as u8;
            self.transmit
                .reports
                .push_back((at, [failure | queue, mac_id, retries as u8 & 0x3f, 0, 0, rate, number]));
        }
    }

    /// Frees the pages of frames that are over, and lets their reports go.
    pub(super) fn pump_transmitter(&mut self) {
        while self.transmit.in_flight.front().is_some_and(|(end, _)| *end <= self.host_now) {
            self.transmit.in_flight.pop_front();
        }
        while let Some((at, report)) = self.transmit.reports.front().copied() {
            if at > self.host_now {
                break;
            }
            self.transmit.reports.pop_front();
            self.transmit.report_sequence = self.transmit.report_sequence.wrapping_add(1);
            self.message(MESSAGE_REPORT, self.transmit.report_sequence, &report, at);
        }
    }

    pub(super) fn transmit_deadline(&self) -> Option<Duration> {
        let frame = self.transmit.in_flight.front().map(|(end, _)| *end);
        frame.into_iter().chain(self.transmit.reports.front().map(|(at, _)| *at)).min()
    }
}

/// One frame of a transfer, behind its descriptor.
struct Outbound<'a> {
    descriptor: &'a [u8],
    payload: &'a [u8],
}

impl Outbound<'_> {
    /// A field of the descriptor: word, lowest bit, number of bits.
    fn field(&self, word: usize, shift: u32, bits: u32) -> u32 {
        let at = word * 4;
        let bytes =
            [self.descriptor[at], self.descriptor[at + 1], self.descriptor[at + 2], self.descriptor[at + 3]];
        u32::from_le_bytes(bytes) >> shift & (u32::MAX >> (32 - bits))
    }

    fn queue(&self) -> u32 {
        self.field(1, 8, 5)
    }
}

/// The frames of a transfer, or the rule that it breaks.
fn parse(data: &[u8]) -> Result<Vec<Outbound<'_>>, Rule> {
    let mut frames = Vec::new();
    let mut rest = data;
    let mut expected = 1;
    while frames.len() < expected {
        let descriptor = rest.get(..DESCRIPTOR).ok_or(Rule::TransmitBadDescriptor)?;
        let sum =
            descriptor[..32].chunks(2).fold(0, |sum, word| sum ^ u16::from_le_bytes([word[0], word[1]]));
        if sum != 0 {
            return Err(Rule::TransmitBadChecksum);
        }
        let head = Outbound { descriptor, payload: &[] };
        let (length, offset) = (head.field(0, 0, 16) as usize, head.field(0, 16, 8) as usize);
        if frames.is_empty() {
            expected = (head.field(7, 24, 8) as usize).max(1);
        }
        // Bytes of room that the driver may leave behind the descriptor, in units of 8.
        let start = DESCRIPTOR + head.field(1, 24, 5) as usize * 8;
        // Mainline leaves a command packet's offset at zero (`rtw88 usb.c`, `rtw_usb_write_data_h2c`).
        let fits = offset == DESCRIPTOR || offset == 0 && head.queue() == QUEUE_COMMAND;
        if !fits || length < 10 || rest.len() < start + length {
            return Err(Rule::TransmitBadDescriptor);
        }
        frames.push(Outbound { descriptor, payload: &rest[start..start + length] });
        rest = rest.get((start + length).next_multiple_of(8)..).unwrap_or(&[]);
    }
    if rest.len() >= 8 { Err(Rule::TransmitBadDescriptor) } else { Ok(frames) }
}
