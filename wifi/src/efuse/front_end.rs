//! What the EFUSE says of the board's RF front end: amplifiers outside the chip, and which of the known boards it is.
//!
//! Each chip has its own way to say it, and names it in its [`EfuseLayout`](super::EfuseLayout) with the offsets that it
//! looks at.

use super::{BLANK, Map, at};

/// Which amplifiers the board has outside the chip.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FrontEnd {
    /// Power amplifier, 2.4 GHz.
    pub(crate) ext_pa_2g: bool,
    /// Low-noise amplifier, 2.4 GHz.
    pub(crate) ext_lna_2g: bool,
    /// Power amplifier, 5 GHz.
    pub(crate) ext_pa_5g: bool,
    /// Low-noise amplifier, 5 GHz.
    pub(crate) ext_lna_5g: bool,
}

/// Types of the amplifiers outside the chip: (path B << 2) | path A.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AmplifierTypes {
    /// 2.4 GHz power amplifier.
    pub(crate) gpa: u8,
    /// 5 GHz power amplifier.
    pub(crate) apa: u8,
    /// 2.4 GHz low-noise amplifier.
    pub(crate) glna: u8,
    /// 5 GHz low-noise amplifier.
    pub(crate) alna: u8,
}

/// What the map says of the board's front end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BoardFrontEnd {
    /// Which RF front end the board has.
    pub(crate) rfe_option: u8,
    /// See [`super::EfuseInfo::table_front_end`].
    pub(crate) table: FrontEnd,
    /// See [`super::EfuseInfo::front_end`].
    pub(crate) own: FrontEnd,
    /// See [`super::EfuseInfo::amplifier_types`].
    pub(crate) types: AmplifierTypes,
    /// See [`super::EfuseInfo::antenna_option`].
    pub(crate) antenna_option: u8,
}

/// What [`amplifier_front_end`] looks at, and how antennas are shared.
pub(crate) const RTL8821A_OFFSETS: &[usize] =
    &[at::PA_TYPE, at::LNA_TYPE_2G, at::LNA_TYPE_5G, at::RF_BT_SETTING];

/// A front end that is known by its amplifiers alone (rtw88 `main.c`, `rtw_chip_efuse_info_setup`).
pub(crate) fn amplifier_front_end(map: &Map<'_>) -> BoardFrontEnd {
    let amplifiers = Amplifiers::of(|at| map.or_zero(at)).any_bit();
    BoardFrontEnd { table: amplifiers, own: amplifiers, ..BoardFrontEnd::default() }
}

/// What [`rtl8812a_front_end`] looks at.
pub(crate) const RTL8812A_OFFSETS: &[usize] =
    &[at::PA_TYPE, at::LNA_TYPE_2G, at::LNA_TYPE_5G, at::RFE_OPTION];

/// The RTL8812A's front end: amplifiers by two bits each, and an option that old maps got wrong
/// (rtw88 `rtw88xxa.c`, `rtw8812a_read_amplifier_type`, `rtw8812a_read_rfe_type`).
pub(crate) fn rtl8812a_front_end(map: &Map<'_>) -> BoardFrontEnd {
    let raw = Amplifiers::of(|at| map.byte(at));
    let clean = Amplifiers::of(|at| map.or_zero(at));
    BoardFrontEnd {
        rfe_option: rfe_option(map.byte(at::RFE_OPTION), raw.front_end()),
        table: clean.any_bit(),
        own: clean.front_end(),
        // Mainline derives the types before it takes blank bytes for zero, and never clears them after.
        types: raw.types(),
        antenna_option: 0,
    }
}

/// What [`rtl8814a_front_end`] looks at.
pub(crate) const RTL8814A_OFFSETS: &[usize] = &[at::TRX_ANTENNA_OPTION, at::RFE_OPTION];

/// The RTL8814A's front end: its option says everything. A blank or old one is the usual board of USB adapters
/// (rtw88 `rtw8814a.c`, `rtw8814a_read_rfe_type`, `rtw8814a_read_rf_type`).
pub(crate) fn rtl8814a_front_end(map: &Map<'_>) -> BoardFrontEnd {
    let rfe_option = match map.byte(at::RFE_OPTION) {
        option if option & 0x80 != 0 => 1,
        option => option,
    };
    BoardFrontEnd { rfe_option, antenna_option: map.byte(at::TRX_ANTENNA_OPTION), ..BoardFrontEnd::default() }
}

#[derive(Clone, Copy)]
struct Amplifiers {
    pa: u8,
    lna_2g: u8,
    lna_5g: u8,
}

impl Amplifiers {
    fn of(byte: impl Fn(usize) -> u8) -> Self {
        Self { pa: byte(at::PA_TYPE), lna_2g: byte(at::LNA_TYPE_2G), lna_5g: byte(at::LNA_TYPE_5G) }
    }

    /// One bit each, as the conditions of the tables ask for them (rtw88 `main.c`, `rtw_chip_efuse_info_setup`).
    fn any_bit(self) -> FrontEnd {
        FrontEnd {
            ext_pa_2g: self.pa & 0x10 != 0,
            ext_lna_2g: self.lna_2g & 0x08 != 0,
            ext_pa_5g: self.pa & 0x01 != 0,
            ext_lna_5g: self.lna_5g & 0x08 != 0,
        }
    }

    /// Two bits each must agree.
    fn front_end(self) -> FrontEnd {
        let all = |value: u8, bits: u8| value & bits == bits;
        FrontEnd {
            ext_pa_2g: all(self.pa, 0x30),
            ext_lna_2g: all(self.lna_2g, 0x88),
            ext_pa_5g: all(self.pa, 0x03),
            ext_lna_5g: all(self.lna_5g, 0x88),
        }
    }

    fn types(self) -> AmplifierTypes {
        let ext = self.front_end();
        // The PA's type stands in bits 2 (path A) and 6 (path B) of the LNA's byte, the LNA's in 1:0 and 5:4.
        let pa = |lna: u8| (lna >> 6 & 1) << 2 | (lna >> 2 & 1);
        let lna = |lna: u8| (lna >> 4 & 3) << 2 | (lna & 3);
        let when = |present: bool, value: u8| if present { value } else { 0 };
        AmplifierTypes {
            gpa: when(ext.ext_pa_2g, pa(self.lna_2g)),
            apa: when(ext.ext_pa_5g, pa(self.lna_5g)),
            glna: when(ext.ext_lna_2g, lna(self.lna_2g)),
            alna: when(ext.ext_lna_5g, lna(self.lna_5g)),
        }
    }
}

/// rtw88 `rtw88xxa.c`, `rtw8812a_read_rfe_type`, for USB.
fn rfe_option(value: u8, ext: FrontEnd) -> u8 {
    let any = ext.ext_pa_2g || ext.ext_pa_5g || ext.ext_lna_2g || ext.ext_lna_5g;
    match value {
        BLANK => 0,
        v if v & 0x80 != 0 => match (ext.ext_lna_5g, ext.ext_pa_5g) {
            (false, _) => 4,
            (true, false) => 2,
            (true, true) if ext.ext_lna_2g && ext.ext_pa_2g => 3,
            (true, true) => 0,
        },
        v if v & 0x3f == 4 && any => 0,
        v => v & 0x3f,
    }
}
