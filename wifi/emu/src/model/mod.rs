//! [`Model`]: which chip of the family an emulated adapter has, and what is special about each.
//!
//! The state machines in [`crate::chip`] are written once; what they have to know of a chip stands in its
//! `Facts`, a file each. A further chip of the family is a further file here.

mod facts;
mod rtl8812a;
mod rtl8814a;
mod rtl8821a;
mod rtl88xxa;

use core::fmt;
use core::str::FromStr;

pub(crate) use facts::*;

use crate::{Builder, firmware};

/// A chip of the family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Model {
    /// Two antennas, USB 3.
    Rtl8812au,
    /// One antenna, USB 2; the RTL8811AU too.
    Rtl8821au,
    /// Four antennas, USB 3.
    Rtl8814au,
}

impl Model {
    /// Every model.
    pub const ALL: &'static [Self] = &[Self::Rtl8812au, Self::Rtl8821au, Self::Rtl8814au];

    /// The name in lower case, as programs take it: `rtl8812au`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rtl8812au => "rtl8812au",
            Self::Rtl8821au => "rtl8821au",
            Self::Rtl8814au => "rtl8814au",
        }
    }

    /// A healthy adapter of this model, strict, with an ordinary EFUSE, out of anybody's reach.
    pub fn builder(self) -> Builder {
        Builder::new(self)
    }

    /// A stand-in for the vendor's firmware of this model, made at run time; its emulated MCU takes it.
    pub fn stand_in_firmware(self) -> Vec<u8> {
        firmware::stand_in(self)
    }

    /// USB vendor and product identity of Realtek's own adapter.
    pub fn identity(self) -> (u16, u16) {
        self.facts().usb.identity
    }

    /// Whether it can do super speed.
    pub fn has_usb3(self) -> bool {
        self.facts().usb.super_speed
    }

    /// Radios, and with them antennas.
    pub fn radios(self) -> usize {
        self.facts().paths.len()
    }

    pub(crate) fn facts(self) -> &'static Facts {
        match self {
            Self::Rtl8812au => &rtl8812a::FACTS,
            Self::Rtl8821au => &rtl8821a::FACTS,
            Self::Rtl8814au => &rtl8814a::FACTS,
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name().to_ascii_uppercase())
    }
}

/// A name that is none of [`Model::ALL`]'s.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no emulated chip is called {0:?}")]
pub struct UnknownModel(String);

impl FromStr for Model {
    type Err = UnknownModel;

    /// By [`Model::name`], in upper or lower case.
    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        let known = Self::ALL.iter().find(|model| model.name().eq_ignore_ascii_case(name));
        known.copied().ok_or_else(|| UnknownModel(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_their_names() {
        for model in Model::ALL {
            assert_eq!(model.name().parse(), Ok(*model));
            assert_eq!(model.to_string().parse(), Ok(*model));
        }
        assert_eq!("rtl8811bu".parse::<Model>(), Err(UnknownModel("rtl8811bu".into())));
    }

    #[test]
    fn known_ranges_rise_and_hold_whole_words() {
        for model in Model::ALL {
            let known = model.facts().registers.known;
            assert!(known.windows(2).all(|pair| pair[0].1 < pair[1].0), "{model}");
            assert!(known.iter().all(|range| range.0 % 4 == 0 && range.1 % 4 == 0 && range.0 < range.1));
        }
    }
}
