//! Against the RTL8814A's spurs, tones of its own clocks in some channels: a narrow notch in the receiver, and the
//! subcarriers around it left out of the channel estimate.
//!
//! Facts: rtw88 `rtw8814a.c`, `rtw8814a_spur_calibration`, `rtw8814a_spur_calibration_ch140`,
//! `rtw8814a_spur_nbi_setting`, `rtw8814a_nbi_setting`, `rtw8814a_set_nbi_reg`.

use airlift_regs::bits::nbi_setting::NBI_ENABLE;
use airlift_regs::{Reg, bb};

use super::super::Phy;
use super::super::info::FieldWrite;
use crate::channel::{Channel, Width};
use crate::error::Error;

/// Where the notch is.
const PLACE: u32 = 0x000f_e000;
/// Where the notch against a tone of the crystal is.
const TONE: u32 = 0x000f_c000;

/// Subcarriers that are left out, one bit each, in four registers.
const LEFT_OUT: [Reg<u32>; 4] = [bb::CSI_FIX_MASK0, bb::CSI_FIX_MASK1, bb::CSI_FIX_MASK6, bb::CSI_FIX_MASK7];

/// The notch's place, and which register and bit of [`LEFT_OUT`] goes with it.
type Notch = (u32, usize, u32);

fn notch(option: u8, center: u8, width: Width) -> Option<Notch> {
    match (option, width, center) {
        (0, Width::Mhz40, 54 | 118) => Some((0x3e >> 1, 1, 0)),
        (0, Width::Mhz80, 58 | 122) => Some((0x3a >> 1, 3, 0)),
        (0..=2, Width::Mhz20, 153) => Some((0x1e >> 1, 3, 16)),
        (0..=2, Width::Mhz40, 151) => Some((0x1e >> 1, 0, 16)),
        (0..=2, Width::Mhz80, 155) => Some((0x5a >> 1, 2, 16)),
        _ => None,
    }
}

/// The notch of a channel, or what removes that of the channel before.
pub(super) fn notch_writes(option: u8, channel: Channel) -> Vec<FieldWrite> {
    let notch = notch(option, channel.center(), channel.width());
    let place = notch.map_or(0xfc >> 1, |(place, ..)| place);
    let mut writes = vec![
        FieldWrite::field(bb::NBI_SETTING, PLACE, place),
        FieldWrite::field(bb::CSI_MASK_SETTING1, 1, u32::from(notch.is_some())),
    ];
    writes.extend(LEFT_OUT.into_iter().enumerate().map(|(n, reg)| match notch {
        Some((_, which, bit)) if which == n => FieldWrite::field(reg, 1 << bit, 1),
        _ => FieldWrite::whole(reg, 0),
    }));
    writes
}

/// A notch against harmonics of the crystal at 2.4 GHz, on the front ends that need it.
pub(super) fn tone_writes(option: u8, primary: u8) -> Vec<FieldWrite> {
    let enable = |on| FieldWrite::field(bb::NBI_SETTING, NBI_ENABLE, on);
    let interferer = match (option, primary) {
        (0 | 1 | 6 | 7, 14) => 2480,
        (0 | 1 | 6 | 7, 4..=8) => 2440,
        (0 | 1 | 6 | 7, _) => return vec![enable(0)],
        _ => return Vec::new(),
    };
    let frequency = 2412_u32 + (u32::from(primary) - 1) * 5;
    // In tenths of a subcarrier, 0.3125 MHz each.
    let tone = frequency.abs_diff(interferer) << 5;
    vec![FieldWrite::field(bb::NBI_SETTING, TONE, tone_place(tone)), enable(1)]
}

/// The first of the notch's places that lies above `tone`, counted from 1; 0 if none does.
fn tone_place(tone: u32) -> u32 {
    const PLACES: [u32; 27] = [
        25, 55, 85, 115, 135, 155, 185, 205, 225, 245, 265, 285, 305, 335, 355, 375, 395, 415, 435, 455, 485,
        505, 525, 555, 585, 615, 635,
    ];
    (1..).zip(PLACES).find(|(_, place)| tone < *place).map_or(0, |(number, _)| number)
}

/// Thresholds for channel 140, in place of those that hold elsewhere.
const CHANNEL_140: [(Reg<u32>, u32); 2] = [(bb::CCASEL, 0x7543_8170), (bb::PDMFTH, 0x79a1_8a0a)];

impl Phy {
    /// Channel 140 has thresholds of its own at 20 MHz; what was there before comes back on the next channel, unless
    /// something else has changed it since.
    pub(super) async fn thresholds_of_140(&self, center: u8) -> Result<(), Error> {
        let mut kept = self.kept.get();
        for ((reg, special), kept) in CHANNEL_140.into_iter().zip(&mut kept) {
            if center == 140 {
                if *kept == 0 {
                    *kept = self.regs.current(reg).await?;
                }
                self.regs.write(reg, special).await?;
            } else {
                if *kept != 0 && self.regs.current(reg).await? == special {
                    self.regs.write(reg, *kept).await?;
                }
                *kept = self.regs.current(reg).await?;
            }
        }
        self.kept.set(kept);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_between_two_places_takes_the_upper_one() {
        // Channel 14 as the formula has it lies at 2477 MHz, 3 MHz from 2480.
        assert_eq!(tone_place(3 << 5), 4);
        assert_eq!((tone_place(24), tone_place(25), tone_place(634), tone_place(635)), (1, 2, 27, 0));
        // Channel 5 is 2432 MHz, 8 MHz from 2440.
        let writes = tone_writes(1, 5);
        assert_eq!(writes[0].value, tone_place(256));
        assert_eq!(writes[1], FieldWrite::field(bb::NBI_SETTING, NBI_ENABLE, 1));
        assert_eq!(tone_writes(1, 36), [FieldWrite::field(bb::NBI_SETTING, NBI_ENABLE, 0)]);
        assert!(tone_writes(2, 5).is_empty(), "not on this front end");
    }

    #[test]
    fn a_channel_without_a_spur_takes_the_last_ones_notch_away() {
        let quiet = notch_writes(1, Channel::new(36, Width::Mhz20).unwrap());
        assert_eq!(quiet[0], FieldWrite::field(bb::NBI_SETTING, PLACE, 0x7e));
        assert_eq!(quiet[1].value, 0);
        assert!(quiet[2..].iter().all(|write| write.mask == u32::MAX && write.value == 0));

        let notched = notch_writes(1, Channel::new(149, Width::Mhz80).unwrap());
        assert_eq!(notched[0].value, 0x2d);
        assert_eq!(notched[1].value, 1);
        assert_eq!(notched[4], FieldWrite::field(bb::CSI_FIX_MASK6, 1 << 16, 1));
        assert_eq!(notch(1, 54, Width::Mhz40), None, "only with front end 0");
        assert!(notch(0, 54, Width::Mhz40).is_some());
        assert_eq!(notch(3, 153, Width::Mhz20), None);
    }
}
