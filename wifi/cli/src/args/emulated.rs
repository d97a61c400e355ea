//! [`Emulated`]: an emulated adapter, as it is named on the command line.

use std::fmt;
use std::str::FromStr;

use airlift_emu::{Builder, Efuse, Model};
use airlift_hcd::Speed;

/// How an emulated adapter is on its USB bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Usb {
    /// At high speed.
    #[default]
    High,
    /// At super speed.
    Super,
    /// At high speed, with an EFUSE that asks for the switch to USB 3.
    Switch,
    /// The same in a port that has no USB 3.
    SwitchFails,
}

impl Usb {
    const ALL: [Self; 4] = [Self::High, Self::Super, Self::Switch, Self::SwitchFails];

    /// What follows the chip's name.
    const fn suffix(self) -> &'static str {
        match self {
            Self::High => "",
            Self::Super => ",super",
            Self::Switch => ",usb3-switch",
            Self::SwitchFails => ",usb3-switch-fails",
        }
    }
}

/// An emulated adapter: `rtl8812au`, `rtl8812au,usb3-switch`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Emulated {
    pub(crate) model: Model,
    pub(crate) usb: Usb,
}

impl Emulated {
    /// One at high speed.
    pub(crate) const fn ordinary(model: Model) -> Self {
        Self { model, usb: Usb::High }
    }

    /// Whether it leaves its bus to come back at another speed.
    pub(crate) fn switches(self) -> bool {
        matches!(self.usb, Usb::Switch | Usb::SwitchFails)
    }

    /// Begins one.
    pub(crate) fn builder(self) -> Builder {
        let builder = self.model.builder();
        let asking = || Efuse::ordinary_of(self.model).with_usb3_switch();
        match self.usb {
            Usb::High => builder,
            Usb::Super => builder.speed(Speed::Super),
            Usb::Switch => builder.efuse(asking()).usb3_port(true),
            Usb::SwitchFails => builder.efuse(asking()),
        }
    }
}

impl fmt::Display for Emulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.model.name(), self.usb.suffix())
    }
}

impl FromStr for Emulated {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (chip, suffix) = text.split_at(text.find(',').unwrap_or(text.len()));
        let model: Model = chip.parse().map_err(|_| {
            let all: Vec<String> =
                Model::ALL.iter().map(|model| format!("emulated:{}", model.name())).collect();
            format!("emulated adapters are {}", all.join(", "))
        })?;
        let usb = Usb::ALL.into_iter().find(|usb| usb.suffix() == suffix).ok_or_else(|| {
            let all: Vec<&str> = Usb::ALL[1..].iter().map(|usb| usb.suffix()).collect();
            format!("behind an emulated chip's name may stand {}", all.join(" or "))
        })?;
        if usb != Usb::High && !model.has_usb3() {
            return Err(format!("the {model} has no USB 3"));
        }
        Ok(Self { model, usb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulated_adapters_are_named_by_their_chip_and_by_how_they_are_on_their_bus() {
        for model in Model::ALL {
            for usb in Usb::ALL {
                let emulated = Emulated { model: *model, usb };
                let parsed = emulated.to_string().parse::<Emulated>();
                if usb == Usb::High || model.has_usb3() {
                    assert_eq!(parsed, Ok(emulated));
                } else {
                    assert_eq!(parsed, Err("the RTL8821AU has no USB 3".into()));
                }
            }
        }
        assert_eq!("rtl8814au,usb3-switch".parse::<Emulated>().unwrap().usb, Usb::Switch);
        for (text, expected) in [
            ("", "emulated adapters are emulated:rtl8812au, "),
            ("rtl8812au,", ",super or ,usb3-switch or ,usb3-switch-fails"),
            ("rtl8812au,fast", ",super or ,usb3-switch"),
            ("rtl8812au,super,super", ",super or ,usb3-switch"),
        ] {
            let error = text.parse::<Emulated>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
