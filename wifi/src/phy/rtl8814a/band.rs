//! The RTL8814A's switch of bands: front end, receivers and transmitters of CCK, swing, converter clock.
//!
//! Facts: rtw88 `rtw8814a.c`, `rtw8814a_switch_band`, `rtw8814a_set_rfe_reg_24g`, `rtw8814a_set_rfe_reg_5g`,
//! `rtw8814a_set_channel_bb_swing`, `rtw8814a_set_bw_reg_adc`, `rtw8814a_set_bw_reg_agc`, `rtw8814a_init_rfe_reg`.

use airlift_regs::bits::{cck_check, rfe_invsel_d, rxpsel, txscale_a};
use airlift_regs::{Reg, bb, mac, more, sys};

use super::super::bb::swing;
use super::super::info::FieldWrite;
use crate::channel::{Band, Width};
use crate::chip::Board;

/// Clocks of CCK and OFDM, bit 16 of SYS_CFG3.
const MODEMS: Reg<u8> = sys::SYS_CFG3_8814A.byte(2);
/// CCK sends even while it does not receive (bit 18).
const CCK_TX: Reg<u32> = Reg::new(0x0a80);
/// Who drives the front end's pins.
const PIN_OWNER: Reg<u32> = Reg::new(0x1994);

/// Everything that depends on the band. The modems stand still meanwhile.
pub(super) fn switch_writes(board: &Board, band: Band, width: Width) -> Vec<FieldWrite> {
    let field = FieldWrite::field;
    let receivers = |value| field(bb::RXPSEL, rxpsel::RX_PSEL_RST, value);
    let cck = |sends, receives| {
        [field(bb::TXPSEL, 0xf0, sends), field(bb::CCK_RX, 0x0f00_0000, receives)].into_iter()
    };
    let mut writes = vec![FieldWrite::byte(MODEMS, 1, 0)];
    match band {
        Band::Ghz2 => {
            writes.push(field(bb::AGC_TABLE, 0x1f, 0));
            writes.extend(pins(board.efuse.rfe_option, band));
            writes.extend(cck(2, 5));
            writes.push(receivers(3));
            writes.push(FieldWrite::byte(mac::CCK_CHECK.byte(0), 0xff, 0));
            writes.push(field(CCK_TX, 1 << 18, 0));
        }
        Band::Ghz5 => {
            writes.push(FieldWrite::byte(mac::CCK_CHECK.byte(0), 0xff, cck_check::CHECK_CCK_EN as u8));
            writes.push(field(CCK_TX, 1 << 18, 1));
            writes.extend(pins(board.efuse.rfe_option, band));
            writes.extend(cck(0, 0xf));
            writes.push(receivers(2));
        }
    }
    let scales = [bb::TXSCALE_A, bb::TXSCALE_B, more::TXSCALE_C, bb::TXSCALE_D];
    for (path, scale) in scales.into_iter().enumerate() {
        writes.push(field(scale, txscale_a::BB_SWING_MASK, swing(board, band, path)));
    }
    writes.extend(clock_writes(band, width));
    writes.push(FieldWrite::byte(MODEMS, 1, 1));
    writes
}

/// The converters' clock, and the gain control that goes with it.
pub(super) fn clock_writes(band: Band, width: Width) -> [FieldWrite; 2] {
    let (clock, gain) = match (width, band) {
        (Width::Mhz20, _) => (0, 6),
        (Width::Mhz40, Band::Ghz2) => (1, 7),
        (Width::Mhz40, Band::Ghz5) => (1, 8),
        (Width::Mhz80, _) => (2, 3),
    };
    [FieldWrite::field(bb::ADCCLK, 0x3, clock), FieldWrite::field(bb::CCASEL, 0xf000, gain)]
}

/// Which signal drives each pin of the front end. Option 0 leaves path D's alone at 2.4 GHz.
fn pins(option: u8, band: Band) -> Vec<FieldWrite> {
    let (abc, d, selected) = match (option, band) {
        (2, Band::Ghz2) => (0x7270_7270, Some(0x7770_7770), 0x72),
        (1, Band::Ghz2) => (0x7777_7777, Some(0x7777_7777), 0x77),
        (_, Band::Ghz2) => (0x7777_7777, None, 0x77),
        (2, Band::Ghz5) => (0x3717_3717, Some(0x7717_7717), 0x37),
        (1, Band::Ghz5) => (0x3317_3317, Some(0x7717_7717), 0x33),
        (_, Band::Ghz5) => (0x5477_5477, Some(0x5477_5477), 0x54),
    };
    let each =
        [bb::RFE_PINMUX_A, bb::RFE_PINMUX_B, more::RFE_PINMUX_C].map(|pins| FieldWrite::whole(pins, abc));
    let mut writes = each.to_vec();
    writes.extend(d.map(|d| FieldWrite::whole(bb::RFE_PINMUX_D, d)));
    writes.push(FieldWrite::field(bb::RFE_INVSEL_D, rfe_invsel_d::RFE_SELSW0_D, selected));
    writes
}

/// Gives the front end's pins to the radio, as bring-up does once.
pub(super) fn own_pins(option: u8) -> Vec<FieldWrite> {
    let upper = match option {
        0 => 0xc0,
        1 | 2 => 0xf0,
        _ => return Vec::new(),
    };
    vec![
        FieldWrite::field(PIN_OWNER, 0xf, 0xf),
        FieldWrite::byte(sys::GPIO_MUXCFG.byte(2), upper, upper >> upper.trailing_zeros()),
    ]
}
