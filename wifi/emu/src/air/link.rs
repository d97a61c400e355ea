//! What becomes of a frame between its sender and one receiver: whether the receiver's channel catches it, how
//! strong it arrives, whether it is lost or damaged.
//!
//! Every decision is a function of the air's seed, the frame and the receiver, so that it does not depend on
//! who asks first. Neighbours: [`super::medium`] asks [`hear`] for every frame and radio.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::frame::fcs;
use super::rng::Rng;
use super::{AirFrame, CHAINS, Modulation, RadioId, Rate, Tuning, Width};

/// How strong a sender arrives at a receiver.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Signal {
    /// At this strength in dBm wherever the receiver stands, with no fading.
    Fixed(i8),
    /// By distance: 40 dB lost over the first metre (47 dB at 5 GHz) and 30 dB for each tenfold of it (a
    /// log-distance model with the exponent 3 of an office), with up to 2 dB of fading for each frame and chain.
    ByDistance {
        /// Transmit power in dBm.
        power_dbm: i8,
        /// Where the sender stands, in metres.
        position_m: [f32; 2],
    },
}

/// Who sends, as the end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sender {
    /// An emulated radio.
    Radio(RadioId),
    /// A scripted access point or station, by its MAC address.
    Scripted([u8; 6]),
}

/// How reliable a link is. Both are probabilities for each frame, from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Quality {
    /// The receiver does not notice the frame at all.
    pub loss: f64,
    /// The receiver gets it with some bytes changed, so that its FCS is wrong.
    pub damage: f64,
}

/// The quality of all links: one for most of them, others by sender and perhaps receiver.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) default: Quality,
    pub(crate) special: BTreeMap<(Sender, Option<RadioId>), Quality>,
}

impl Links {
    fn of(&self, sender: Sender, receiver: RadioId) -> Quality {
        let named = self.special.get(&(sender, Some(receiver)));
        *named.or_else(|| self.special.get(&(sender, None))).unwrap_or(&self.default)
    }
}

/// A frame on its way, before any receiver's view of it.
#[derive(Clone, Debug)]
pub(crate) struct Emission {
    pub(crate) frame: AirFrame,
    pub(crate) sender: Sender,
    pub(crate) signal: Signal,
    /// Different for every emission of the air, the same in every run.
    pub(crate) serial: u64,
}

/// A receiver's end of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver {
    pub(crate) id: RadioId,
    pub(crate) tuning: Tuning,
    pub(crate) position_m: [f32; 2],
}

/// By how many dB a receiver's channel filter weakens a frame; `None` if it cannot decode it at all.
///
/// A receiver synchronises on its primary 20 MHz and follows wider frames that cover it, up to its own width.
/// DSSS is spread so well that it is still decoded one or two channels off; legacy frames wider than 20 MHz are
/// duplicates on every 20 MHz.
pub(crate) fn overlap_loss_db(receiver: Tuning, sender: Tuning, rate: Rate) -> Option<u8> {
    let center = sender.part(rate.width)?;
    if receiver.part(rate.width) == Some(center) {
        return Some(0);
    }
    let offset = receiver.primary_mhz().abs_diff(center);
    match rate.modulation {
        // The centres of the 20 MHz parts lie 10 and 30 MHz off the whole's.
        Modulation::Legacy(_) if rate.width != Width::Mhz20 => {
            (offset < rate.width.mhz() / 2 && offset % 20 == 10).then_some(0)
        }
        Modulation::Legacy(_) if rate.is_cck() => match offset {
            5 => Some(10),
            10 => Some(22),
            _ => None,
        },
        _ => None,
    }
}

fn distance_loss_db(from: [f32; 2], to: [f32; 2], is_5ghz: bool) -> f32 {
    let metres = (from[0] - to[0]).hypot(from[1] - to[1]).max(1.0);
    (if is_5ghz { 47.0 } else { 40.0 }) + 30.0 * metres.log10()
}

/// The emission as `receiver` gets it, or `None` if it does not.
pub(crate) fn hear(seed: u64, links: &Links, receiver: Receiver, emission: &Emission) -> Option<AirFrame> {
    let Emission { frame, sender, signal, serial } = emission;
    let filter_db = overlap_loss_db(receiver.tuning, frame.tuning, frame.rate)?;
    let mut rng = Rng::at(seed, &[0x6c69_6e6b, *serial, receiver.id.0.into()]);

    let mut signal_dbm = [0i8; CHAINS];
    for chain in &mut signal_dbm {
        let dbm = match *signal {
            Signal::Fixed(dbm) => f32::from(dbm),
            Signal::ByDistance { power_dbm, position_m } => {
                let fading = rng.below(5) as f32 - 2.0;
                f32::from(power_dbm) + fading
                    - distance_loss_db(position_m, receiver.position_m, frame.tuning.is_5ghz())
            }
        };
        // A strength that does not fit an i8 saturates, which is far below any sensitivity.
        *chain = (dbm - f32::from(filter_db)) as i8;
    }
    let strongest = signal_dbm.iter().copied().max().unwrap_or(i8::MIN);
    if i16::from(strongest) < frame.rate.sensitivity_dbm() {
        return None;
    }

    let quality = links.of(*sender, receiver.id);
    // Both are drawn always, so that changing one probability leaves the other's decisions as they were.
    let (lost, damaged) = (rng.chance(quality.loss), rng.chance(quality.damage));
    if lost {
        return None;
    }
    let mut heard = AirFrame { signal_dbm, ..frame.clone() };
    if damaged {
        damage(&mut heard, &mut rng);
    }
    Some(heard)
}

/// Changes one to four bytes, so that the FCS as it was sent no longer fits.
fn damage(frame: &mut AirFrame, rng: &mut Rng) {
    if frame.bytes.is_empty() {
        return;
    }
    let mut bytes = BytesMut::from(&frame.bytes[..]);
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 + rng.below(255) as u8;
    }
    let bytes: Bytes = bytes.freeze();
    let error = frame.fcs_error ^ fcs(&frame.bytes) ^ fcs(&bytes);
    // Two changes of the same byte can cancel out; then the frame came through whole after all.
    frame.bytes = bytes;
    frame.fcs_error = error;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(channel: u8) -> Tuning {
        Tuning::channel(channel).unwrap()
    }

    #[test]
    fn e2_a_receiver_hears_what_covers_its_primary_channel_up_to_its_width() {
        let wide = Tuning::new(36, Width::Mhz80, 42).unwrap();
        let ofdm = Rate::OFDM_6M;
        let vht = Rate::vht(5, 2).unwrap();
        let hears = |receiver, rate| overlap_loss_db(receiver, wide, rate).is_some();
        assert!(hears(at(36), ofdm) && !hears(at(40), ofdm));
        assert!(hears(wide, vht.with_width(Width::Mhz80)));
        assert!(hears(Tuning::new(48, Width::Mhz80, 42).unwrap(), vht.with_width(Width::Mhz80)));
        assert!(!hears(at(36), vht.with_width(Width::Mhz80)));
        assert!(hears(Tuning::new(40, Width::Mhz40, 38).unwrap(), vht.with_width(Width::Mhz40)));
        assert!(!hears(Tuning::new(44, Width::Mhz40, 46).unwrap(), vht.with_width(Width::Mhz40)));
        assert!(hears(at(48), ofdm.with_width(Width::Mhz80)), "a duplicate is on every 20 MHz");
        let six = Tuning::new(6, Width::Mhz40, 8).unwrap();
        let duplicate = ofdm.with_width(Width::Mhz40);
        assert_eq!(overlap_loss_db(at(10), six, duplicate), Some(0));
        assert_eq!(overlap_loss_db(at(11), six, duplicate), None, "but not between them");
    }

    #[test]
    fn e2_dsss_leaks_two_channels_wide_and_ofdm_does_not() {
        assert_eq!(overlap_loss_db(at(10), at(11), Rate::DSSS_1M), Some(10));
        assert_eq!(overlap_loss_db(at(9), at(11), Rate::DSSS_1M), Some(22));
        assert_eq!(overlap_loss_db(at(8), at(11), Rate::DSSS_1M), None);
        assert_eq!(overlap_loss_db(at(10), at(11), Rate::ht(0).unwrap()), None);
    }
}
