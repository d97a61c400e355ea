//! The answers that a station's hardware gives at once: acknowledgement and CTS.
//!
//! IEEE 802.11-2020, 10.3.2.9 (CTS), 10.3.2.11 (ACK), 10.6.6.5 (rates of control responses). Neighbours:
//! [`super::medium`] uses it for radios, [`super::cell`] for scripted stations.

use bytes::{BufMut, BytesMut};

use super::medium::{SIFS_2GHZ, SIFS_5GHZ};
use super::{AirFrame, Modulation, Rate};

const TYPE_MANAGEMENT: u8 = 0;
const TYPE_CONTROL: u8 = 1;
const TYPE_DATA: u8 = 2;
/// Frame control of RTS: control, subtype 11.
const RTS: u8 = 0xb4;
pub(crate) const CTS: u8 = 0xc4;
pub(crate) const ACK: u8 = 0xd4;

fn kind(frame: &AirFrame) -> Option<(u8, u8)> {
    let control = *frame.bytes.first()?;
    Some((control >> 2 & 3, control >> 4))
}

/// Whether the sender of `frame` waits for an answer.
pub(crate) fn wants_answer(frame: &AirFrame) -> bool {
    let Some(to) = frame.receiver() else { return false };
    if to[0] & 1 != 0 {
        return false;
    }
    match kind(frame) {
        Some((TYPE_MANAGEMENT, subtype)) => subtype != 14,
        Some((TYPE_CONTROL, _)) => frame.bytes[0] == RTS || frame.bytes[0] == 0xa4,
        // QoS data may ask for none: the ack policy stands in bits 5 and 6 of the QoS control field.
        Some((TYPE_DATA, subtype)) if subtype & 8 != 0 => {
            let four_addresses = frame.bytes.get(1).is_some_and(|flags| flags & 3 == 3);
            let qos = frame.bytes.get(if four_addresses { 30 } else { 24 });
            qos.is_none_or(|qos| qos & 0x60 == 0)
        }
        Some((TYPE_DATA, _)) => true,
        _ => false,
    }
}

/// The rate of the answer: the highest mandatory one not above that of `rate`.
pub(crate) fn answer_rate(rate: Rate) -> Rate {
    let half_mbps = match rate.modulation {
        Modulation::Legacy(2) => 2,
        Modulation::Legacy(4) => 4,
        Modulation::Legacy(11) => 11,
        Modulation::Legacy(22) => 22,
        Modulation::Legacy(12 | 18) => 12,
        Modulation::Legacy(24 | 36) => 24,
        Modulation::Legacy(_) => 48,
        Modulation::Ht { mcs } if mcs % 8 == 0 => 12,
        Modulation::Ht { mcs } if mcs % 8 < 3 => 24,
        Modulation::Vht { mcs: 0, .. } => 12,
        Modulation::Vht { mcs: 1 | 2, .. } => 24,
        _ => 48,
    };
    Rate::legacy(half_mbps).unwrap_or(Rate::OFDM_6M)
}

/// A CTS or ACK to `to`.
pub(crate) fn control(frame_control: u8, duration_us: u16, to: [u8; 6], rate: Rate) -> AirFrame {
    let mut bytes = BytesMut::with_capacity(10);
    bytes.put_slice(&[frame_control, 0]);
    bytes.put_u16_le(duration_us);
    bytes.put_slice(&to);
    AirFrame::new(bytes.freeze(), rate)
}

/// The answer to `frame` with its times and tuning, if it asks for one and its sender can be told.
pub(crate) fn immediate(frame: &AirFrame) -> Option<AirFrame> {
    if !wants_answer(frame) {
        return None;
    }
    let band_2ghz = !frame.tuning.is_5ghz();
    let sifs = if band_2ghz { SIFS_2GHZ } else { SIFS_5GHZ };
    let rate = answer_rate(frame.rate);
    let air_time = rate.air_time(14, band_2ghz);
    let control_byte = if frame.bytes[0] == RTS { CTS } else { ACK };
    // What the sender reserved, less this answer and the gap before it.
    let reserved = frame.bytes.get(2..4).map_or(0, |d| u16::from_le_bytes([d[0], d[1]]));
    let spent = u16::try_from((sifs + air_time).as_micros()).unwrap_or(u16::MAX);
    let left = if reserved & 0x8000 == 0 { reserved.saturating_sub(spent) } else { 0 };
    let mut answer = control(control_byte, left, frame.transmitter()?, rate);
    answer.tuning = frame.tuning;
    answer.start = frame.end + sifs;
    answer.end = answer.start + air_time;
    Some(answer)
}
