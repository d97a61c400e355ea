//! [`Tuning`]: where in the spectrum a radio listens and a frame is sent.
//!
//! Neighbours: [`super::Radio`] is tuned with one, [`super::AirFrame`] carries one, [`super::link`] asks
//! whether a receiver hears a frame.

use core::fmt;

/// Bandwidth of a channel or of a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Width {
    /// 20 MHz.
    #[default]
    Mhz20,
    /// 40 MHz.
    Mhz40,
    /// 80 MHz.
    Mhz80,
}

impl Width {
    /// The bandwidth in MHz.
    pub const fn mhz(self) -> u16 {
        match self {
            Self::Mhz20 => 20,
            Self::Mhz40 => 40,
            Self::Mhz80 => 80,
        }
    }
}

/// A place in the spectrum: the primary 20 MHz channel and the whole channel around it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuning {
    primary_mhz: u16,
    center_mhz: u16,
    width: Width,
}

/// Centre frequency in MHz of a channel number (IEEE 802.11-2020, 17.3.8.4.2 and annex E), 1-14 and 32-177.
fn frequency(channel: u8) -> Option<u16> {
    match channel {
        14 => Some(2484),
        1..=13 => Some(2407 + 5 * u16::from(channel)),
        32..=177 => Some(5000 + 5 * u16::from(channel)),
        _ => None,
    }
}

impl Tuning {
    /// `channel` at 20 MHz; `None` if there is no such number.
    pub fn channel(channel: u8) -> Option<Self> {
        let mhz = frequency(channel)?;
        Some(Self { primary_mhz: mhz, center_mhz: mhz, width: Width::Mhz20 })
    }

    /// `primary` inside a channel of `width` around `center` (both channel numbers, so 36 in 80 MHz is
    /// `new(36, Width::Mhz80, 42)`); `None` if there is no such number or the primary lies outside.
    pub fn new(primary: u8, width: Width, center: u8) -> Option<Self> {
        Self::from_mhz(frequency(primary)?, width, frequency(center)?)
    }

    /// The same from frequencies in MHz; `None` if the primary channel is not a 20 MHz part of the whole.
    pub fn from_mhz(primary_mhz: u16, width: Width, center_mhz: u16) -> Option<Self> {
        let offset = primary_mhz.abs_diff(center_mhz);
        let fits = match width {
            Width::Mhz20 => offset == 0,
            Width::Mhz40 => offset == 10,
            Width::Mhz80 => offset == 10 || offset == 30,
        };
        fits.then_some(Self { primary_mhz, center_mhz, width })
    }

    /// Centre of the primary 20 MHz channel, in MHz.
    pub const fn primary_mhz(self) -> u16 {
        self.primary_mhz
    }

    /// Centre of the whole channel, in MHz.
    pub const fn center_mhz(self) -> u16 {
        self.center_mhz
    }

    /// Width of the whole channel.
    pub const fn width(self) -> Width {
        self.width
    }

    /// Whether this is the 5 GHz band.
    pub const fn is_5ghz(self) -> bool {
        self.primary_mhz >= 5000
    }

    /// Number of the primary channel.
    pub const fn primary_channel(self) -> u8 {
        match self.primary_mhz {
            2484 => 14,
            mhz @ 0..2484 => ((mhz.saturating_sub(2407)) / 5) as u8,
            mhz => ((mhz.saturating_sub(5000)) / 5) as u8,
        }
    }

    /// Centre of the part of `width` that holds the primary channel: that is where a frame of that bandwidth
    /// is sent. `None` if the channel is narrower.
    pub fn part(self, width: Width) -> Option<u16> {
        if width > self.width {
            return None;
        }
        if width == self.width {
            return Some(self.center_mhz);
        }
        Some(match width {
            Width::Mhz20 => self.primary_mhz,
            // 40 MHz out of 80: the half on the primary's side.
            _ if self.primary_mhz < self.center_mhz => self.center_mhz - 20,
            _ => self.center_mhz + 20,
        })
    }
}

impl fmt::Debug for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { primary_mhz, center_mhz, width } = self;
        write!(f, "channel {} ({primary_mhz} MHz), {} MHz", self.primary_channel(), width.mhz())?;
        if *width == Width::Mhz20 { Ok(()) } else { write!(f, " around {center_mhz} MHz") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_numbers_and_frequencies_agree() {
        for channel in (1..=14).chain(32..=177) {
            assert_eq!(Tuning::channel(channel).unwrap().primary_channel(), channel);
        }
        assert_eq!(Tuning::channel(11).unwrap().primary_mhz(), 2462);
        assert_eq!(Tuning::channel(149).unwrap().primary_mhz(), 5745);
        for none in [0, 15, 31, 178, 255] {
            assert!(Tuning::channel(none).is_none());
        }
    }

    #[test]
    fn a_wide_channel_holds_its_primary_and_its_parts() {
        let wide = Tuning::new(36, Width::Mhz80, 42).unwrap();
        assert_eq!(wide.part(Width::Mhz80), Some(5210));
        assert_eq!(wide.part(Width::Mhz40), Some(5190));
        assert_eq!(wide.part(Width::Mhz20), Some(5180));
        assert_eq!(Tuning::new(48, Width::Mhz80, 42).unwrap().part(Width::Mhz40), Some(5230));
        assert_eq!(Tuning::new(6, Width::Mhz40, 8).unwrap().part(Width::Mhz80), None);
        assert!(Tuning::new(36, Width::Mhz80, 58).is_none());
        assert!(Tuning::new(11, Width::Mhz20, 9).is_none());
    }
}
