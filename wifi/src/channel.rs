//! [`Channel`]: where the radio listens: a primary 20 MHz channel, a width, and with them the centre.
//!
//! A channel is always one that the chip family can be tuned to; what cannot be is an error when it is made,
//! and the error says what is possible. [`Channel::parse`] reads the forms of the command line (`6`, `6+`,
//! `6-`, `36` with a width). `phy::set_channel` programs one; the RX path stamps its frequency on frames.
//!
//! Channels: rtw88 `main.c`, `rtw_channeltable_2g` and `rtw_channeltable_5g`; the pairs and quadruples of
//! wider channels: IEEE 802.11-2020 annex E.

use std::fmt;
use std::str::FromStr;

/// Frequency band.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Band {
    /// 2.4 GHz: channels 1 to 14.
    Ghz2,
    /// 5 GHz: channels 36 to 165.
    Ghz5,
}

/// Width of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// 20 MHz.
    Mhz20,
    /// 40 MHz (HT40, VHT40).
    Mhz40,
    /// 80 MHz (VHT80, 5 GHz only).
    Mhz80,
}

impl Width {
    /// The width in MHz.
    pub const fn mhz(self) -> u16 {
        match self {
            Width::Mhz20 => 20,
            Width::Mhz40 => 40,
            Width::Mhz80 => 80,
        }
    }

    /// The width of `mhz` MHz.
    ///
    /// # Errors
    /// [`ChannelError::UnknownWidth`] for anything but 20, 40 and 80.
    pub fn from_mhz(mhz: u16) -> Result<Width, ChannelError> {
        match mhz {
            20 => Ok(Width::Mhz20),
            40 => Ok(Width::Mhz40),
            80 => Ok(Width::Mhz80),
            other => Err(ChannelError::UnknownWidth(other)),
        }
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MHz", self.mhz())
    }
}

/// Where the second 20 MHz of a 40 MHz channel lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Above the primary channel: `6+`, HT40+.
    Above,
    /// Below the primary channel: `6-`, HT40-.
    Below,
}

/// Why there is no such channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// No 20 MHz channel has this number.
    #[error("unknown channel {0} (2.4 GHz: 1 to 14; 5 GHz: 36, 40 … 64, 100, 104 … 144, 149, 153 … 165)")]
    UnknownChannel(u16),
    /// No channel has this width.
    #[error("unknown channel width {0} MHz (20, 40 and 80 are possible)")]
    UnknownWidth(u16),
    /// The channel exists, but not this wide.
    #[error("channel {channel} cannot be {width} wide (possible: {possible})")]
    Width {
        /// The primary channel asked for.
        channel: u8,
        /// The width asked for.
        width: Width,
        /// What can be had, as text: `20 MHz; 40 MHz as 1+`.
        possible: String,
    },
    /// The 40 MHz channel lies on the other side, or nowhere.
    #[error("channel {channel} has no 40 MHz channel {}it (possible: {possible})",
        match side { Side::Above => "above ", Side::Below => "below " })]
    Side {
        /// The primary channel asked for.
        channel: u8,
        /// The side asked for.
        side: Side,
        /// What can be had, as text.
        possible: String,
    },
    /// The channel names a width, as `6+` and `36/80` do, and another one was asked for beside it.
    #[error("`{text}` means {means}, but the width asked for is {width}; leave out one of them")]
    TwoWidths {
        /// The channel as given.
        text: String,
        /// The width that it names.
        means: Width,
        /// The width as given.
        width: Width,
    },
    /// The text is no channel.
    #[error("expected a channel such as `11`, `6+`, `6-` or `36/80`, got `{0}`")]
    Syntax(String),
}

/// A channel that the chip family can be tuned to. Copy it freely; two are equal when they tune alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Channel {
    primary: u8,
    center: u8,
    width: Width,
}

impl Channel {
    /// The channel with primary number `primary` and `width`. A 40 MHz channel in the 2.4 GHz band takes its
    /// second half above where there is room (1 to 9) and below where not; [`Channel::with_side`] chooses.
    ///
    /// # Errors
    /// [`ChannelError::UnknownChannel`]; [`ChannelError::Width`] where the channel cannot be that wide.
    pub fn new(primary: u16, width: Width) -> Result<Channel, ChannelError> {
        let primary = known(primary)?;
        let center = match width {
            Width::Mhz20 => Some(primary),
            Width::Mhz40 => center_40(primary, Side::Above).or_else(|| center_40(primary, Side::Below)),
            Width::Mhz80 => center_80(primary),
        };
        match center {
            Some(center) => Ok(Channel { primary, center, width }),
            None => Err(ChannelError::Width { channel: primary, width, possible: possible(primary) }),
        }
    }

    /// The 40 MHz channel with primary number `primary` whose other half lies on `side`.
    ///
    /// # Errors
    /// [`ChannelError::UnknownChannel`]; [`ChannelError::Side`] where there is none.
    pub fn with_side(primary: u16, side: Side) -> Result<Channel, ChannelError> {
        let primary = known(primary)?;
        match center_40(primary, side) {
            Some(center) => Ok(Channel { primary, center, width: Width::Mhz40 }),
            None => Err(ChannelError::Side { channel: primary, side, possible: possible(primary) }),
        }
    }

    /// Reads `11`, `6+`, `6-` or `36/80`; `width` is what was asked for beside it, if anything was. Without it a
    /// bare number is 20 MHz wide; `+` and `-` are 40 MHz.
    ///
    /// # Errors
    /// Every [`ChannelError`].
    pub fn parse(text: &str, width: Option<Width>) -> Result<Channel, ChannelError> {
        let syntax = || ChannelError::Syntax(text.chars().take(32).collect());
        let number = |digits: &str| -> Result<u16, ChannelError> {
            let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|_| plain).ok_or_else(syntax)
        };
        let (digits, side, own) = if let Some(digits) = text.strip_suffix('+') {
            (digits, Some(Side::Above), Some(Width::Mhz40))
        } else if let Some(digits) = text.strip_suffix('-') {
            (digits, Some(Side::Below), Some(Width::Mhz40))
        } else if let Some((digits, mhz)) = text.split_once('/') {
            (digits, None, Some(Width::from_mhz(number(mhz)?)?))
        } else {
            (text, None, None)
        };
        let primary = number(digits)?;
        if let (Some(means), Some(width)) = (own, width)
            && means != width
        {
            return Err(ChannelError::TwoWidths { text: text.to_owned(), means, width });
        }
        match side {
            Some(side) => Channel::with_side(primary, side),
            None => Channel::new(primary, own.or(width).unwrap_or(Width::Mhz20)),
        }
    }

    /// Number of the primary 20 MHz channel: beacons and legacy frames are here.
    pub const fn primary(self) -> u8 {
        self.primary
    }

    /// Number of the centre: the primary's own at 20 MHz, 8 for `6+`, 42 for 36 at 80 MHz.
    pub const fn center(self) -> u8 {
        self.center
    }

    /// Width.
    pub const fn width(self) -> Width {
        self.width
    }

    /// Band.
    pub const fn band(self) -> Band {
        band_of(self.primary)
    }

    /// Where the second half of a 40 MHz channel lies; `None` for other widths.
    pub const fn side(self) -> Option<Side> {
        match self.width {
            Width::Mhz40 if self.center > self.primary => Some(Side::Above),
            Width::Mhz40 => Some(Side::Below),
            _ => None,
        }
    }

    /// Frequency of the primary channel's centre in MHz, as radiotap tells it.
    pub const fn frequency_mhz(self) -> u16 {
        frequency_mhz(self.primary)
    }

    /// Frequency of the whole channel's centre in MHz.
    pub const fn center_frequency_mhz(self) -> u16 {
        frequency_mhz(self.center)
    }

    /// Centre number of the part of this channel that is `width` wide and holds the primary channel; `None`
    /// for a width greater than this channel's.
    pub fn center_at(self, width: Width) -> Option<u8> {
        match (self.width, width) {
            (_, Width::Mhz20) => Some(self.primary),
            (own, asked) if own == asked => Some(self.center),
            (Width::Mhz80, Width::Mhz40) => {
                Some(if self.primary > self.center { self.center + 4 } else { self.center - 4 })
            }
            _ => None,
        }
    }
}

impl FromStr for Channel {
    type Err = ChannelError;

    /// [`Channel::parse`] without a width beside.
    fn from_str(text: &str) -> Result<Channel, ChannelError> {
        Channel::parse(text, None)
    }
}

impl fmt::Display for Channel {
    /// `11`, `6+`, `6-` or `36/80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.width, self.side()) {
            (Width::Mhz80, _) => write!(f, "{}/80", self.primary),
            (_, Some(Side::Above)) => write!(f, "{}+", self.primary),
            (_, Some(Side::Below)) => write!(f, "{}-", self.primary),
            (_, None) => write!(f, "{}", self.primary),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({self}, {} MHz)", self.frequency_mhz())
    }
}

const fn band_of(number: u8) -> Band {
    if number > 14 { Band::Ghz5 } else { Band::Ghz2 }
}

/// IEEE 802.11-2020 17.3.8.4.2 and 15.4.4.3: 5 MHz a number; channel 14 stands apart.
const fn frequency_mhz(number: u8) -> u16 {
    match band_of(number) {
        Band::Ghz2 if number == 14 => 2484,
        Band::Ghz2 => 2407 + 5 * number as u16,
        Band::Ghz5 => 5000 + 5 * number as u16,
    }
}

/// The number as a primary channel, if there is one.
fn known(number: u16) -> Result<u8, ChannelError> {
    let on_grid = match number {
        1..=14 => true,
        36..=64 | 100..=144 => number.is_multiple_of(4),
        149..=165 => number % 4 == 1,
        _ => false,
    };
    match u8::try_from(number) {
        Ok(number) if on_grid => Ok(number),
        _ => Err(ChannelError::UnknownChannel(number)),
    }
}

/// Centre of the 40 MHz channel of `primary` on `side`. At 5 GHz the pairs are fixed, so one side is wrong.
fn center_40(primary: u8, side: Side) -> Option<u8> {
    match (band_of(primary), side) {
        (Band::Ghz2, Side::Above) if (1..=9).contains(&primary) => Some(primary + 2),
        (Band::Ghz2, Side::Below) if (5..=13).contains(&primary) => Some(primary - 2),
        (Band::Ghz2, _) => None,
        (Band::Ghz5, side) => {
            let first = block_start(primary, 8)?;
            match side {
                Side::Above if primary == first => Some(first + 2),
                Side::Below if primary == first + 4 => Some(first + 2),
                _ => None,
            }
        }
    }
}

/// Centre of the 80 MHz channel that holds `primary`.
fn center_80(primary: u8) -> Option<u8> {
    match band_of(primary) {
        Band::Ghz2 => None,
        Band::Ghz5 => Some(block_start(primary, 16)? + 6),
    }
}

/// First primary channel of the block of `span` numbers that holds `primary`; blocks start anew in each
/// sub-band, and the last one must be whole: 165 is alone.
fn block_start(primary: u8, span: u8) -> Option<u8> {
    let (first, last) = match primary {
        36..=64 => (36, 64),
        100..=144 => (100, 144),
        149..=165 => (149, 161),
        _ => return None,
    };
    let start = primary - (primary - first) % span;
    (start + span - 4 <= last).then_some(start)
}

/// What `primary` can be, for an error: `20 MHz; 40 MHz as 36+; 80 MHz`.
fn possible(primary: u8) -> String {
    let mut text = String::from("20 MHz");
    let above = center_40(primary, Side::Above).map(|_| format!("{primary}+"));
    let below = center_40(primary, Side::Below).map(|_| format!("{primary}-"));
    match (above, below) {
        (Some(above), Some(below)) => text += &format!("; 40 MHz as {above} or {below}"),
        (Some(one), None) | (None, Some(one)) => text += &format!("; 40 MHz as {one}"),
        (None, None) => {}
    }
    if center_80(primary).is_some() {
        text += "; 80 MHz";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centre(text: &str, width: u16) -> Result<u8, ChannelError> {
        Channel::parse(text, Some(Width::from_mhz(width)?)).map(Channel::center)
    }

    #[test]
    fn w1_the_command_line_forms_name_primary_and_centre() {
        let six = Channel::parse("6", None).unwrap();
        assert_eq!((six.primary(), six.center(), six.width()), (6, 6, Width::Mhz20));
        assert_eq!(six.frequency_mhz(), 2437);

        let plus = Channel::parse("6+", None).unwrap();
        assert_eq!((plus.primary(), plus.center(), plus.width()), (6, 8, Width::Mhz40));
        assert_eq!(plus.center_frequency_mhz(), 2447);
        let minus: Channel = "6-".parse().unwrap();
        assert_eq!((minus.center(), minus.side()), (4, Some(Side::Below)));

        assert_eq!(centre("6", 40), Ok(8));
        assert_eq!(centre("13", 40), Ok(11));
        assert_eq!(centre("36", 40), Ok(38));
        assert_eq!(centre("40", 40), Ok(38));
        assert_eq!(centre("36", 80), Ok(42));
        assert_eq!(centre("48", 80), Ok(42));
        assert_eq!(centre("104", 80), Ok(106));
        assert_eq!(centre("144", 80), Ok(138));
        assert_eq!(centre("161", 80), Ok(155));
    }

    #[test]
    fn w1_channel_14_stands_apart_and_is_only_20_mhz_wide() {
        let channel = Channel::new(14, Width::Mhz20).unwrap();
        assert_eq!(channel.frequency_mhz(), 2484);
        let error = Channel::new(14, Width::Mhz40).unwrap_err();
        assert_eq!(error.to_string(), "channel 14 cannot be 40 MHz wide (possible: 20 MHz)");
        assert_eq!(
            Channel::new(165, Width::Mhz40).unwrap_err().to_string(),
            "channel 165 cannot be 40 MHz wide (possible: 20 MHz)"
        );
    }

    #[test]
    fn w1_an_unknown_channel_or_width_says_what_is_possible() {
        for number in [0, 15, 34, 37, 66, 96, 146, 169, 300, 65535] {
            let error = Channel::new(number, Width::Mhz20).unwrap_err();
            assert_eq!(error, ChannelError::UnknownChannel(number));
            assert!(error.to_string().contains("2.4 GHz: 1 to 14; 5 GHz: 36"), "{error}");
        }
        assert_eq!(
            Width::from_mhz(160).unwrap_err().to_string(),
            "unknown channel width 160 MHz (20, 40 and 80 are possible)"
        );
        assert_eq!(
            centre("11", 80).unwrap_err().to_string(),
            "channel 11 cannot be 80 MHz wide (possible: 20 MHz; 40 MHz as 11-)"
        );
        assert_eq!(
            "36-".parse::<Channel>().unwrap_err().to_string(),
            "channel 36 has no 40 MHz channel below it (possible: 20 MHz; 40 MHz as 36+; 80 MHz)"
        );
        assert_eq!(
            Channel::parse("6+", Some(Width::Mhz80)).unwrap_err().to_string(),
            "`6+` means 40 MHz, but the width asked for is 80 MHz; leave out one of them"
        );
        assert_eq!(
            Channel::parse("36/80", Some(Width::Mhz20)).unwrap_err().to_string(),
            "`36/80` means 80 MHz, but the width asked for is 20 MHz; leave out one of them"
        );
        assert_eq!("36/160".parse::<Channel>(), Err(ChannelError::UnknownWidth(160)));
    }

    #[test]
    fn w1_text_that_is_no_channel_is_refused() {
        for text in [
            "",
            "+",
            "-",
            "x",
            "6x",
            "-6",
            "6++",
            "１",
            " 6",
            "999999",
            "\u{1b}[31m",
            "/80",
            "36/",
            "36/+80",
            "6+/40",
        ] {
            assert!(matches!(text.parse::<Channel>(), Err(ChannelError::Syntax(_))), "{text:?}");
        }
    }

    #[test]
    fn a_primary_channel_lies_inside_its_whole_channel() {
        for number in 0..=300 {
            for width in [Width::Mhz20, Width::Mhz40, Width::Mhz80] {
                let Ok(channel) = Channel::new(number, width) else { continue };
                let distance = channel.center_frequency_mhz().abs_diff(channel.frequency_mhz());
                let expected: &[u16] = match width {
                    Width::Mhz20 => &[0],
                    Width::Mhz40 => &[10],
                    Width::Mhz80 => &[10, 30],
                };
                assert!(expected.contains(&distance), "{channel:?}");
                assert_eq!(channel.center_at(Width::Mhz20), Some(channel.primary()));
                assert_eq!(channel.center_at(width), Some(channel.center()));
            }
        }
    }

    #[test]
    fn the_forty_inside_an_eighty_holds_the_primary() {
        let at_40 = |primary| Channel::new(primary, Width::Mhz80).unwrap().center_at(Width::Mhz40);
        assert_eq!([at_40(36), at_40(40), at_40(44), at_40(48)], [Some(38), Some(38), Some(46), Some(46)]);
        assert_eq!(Channel::new(6, Width::Mhz40).unwrap().center_at(Width::Mhz80), None);
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for text in ["11", "6+", "6-", "165", "36/80"] {
            assert_eq!(text.parse::<Channel>().unwrap().to_string(), text);
        }
        assert_eq!("36/40".parse::<Channel>().unwrap().to_string(), "36+");
    }
}
