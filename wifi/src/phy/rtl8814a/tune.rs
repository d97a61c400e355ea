//! Tuning of the RTL8814A: synthesizer and filter of each path, CCK's transmit filter, width, spurs.
//!
//! Facts: rtw88 `rtw8814a.c`, `rtw8814a_set_channel`, `rtw8814a_switch_channel`, `rtw8814a_24g_cck_tx_dfir`,
//! `rtw8814a_set_bw_mode`, `rtw8814a_set_bw_rf`, `rtw8814a_adc_clk`.

use airlift_regs::bits::prectrl::IQ_WGT;
use airlift_regs::{Reg, bb, mac, more, rf};

use super::super::Phy;
use super::super::info::FieldWrite;
use super::super::tune::{cfgch, clock_tracking, filter, sub_band, subchannel};
use super::band::clock_writes;
use super::spur;
use crate::channel::{Band, Channel, Width};
use crate::error::Error;

/// Which gain table serves a channel, where the channel decides: bits 4:0 of AGC_TABLE.
fn gain_table(center: u8) -> Option<u32> {
    match center {
        36..=64 => Some(1),
        100..=144 => Some(2),
        149.. => Some(3),
        _ => None,
    }
}

/// The transmit filter of CCK, which is narrower at the upper end of the band.
fn cck_filter(center: u8) -> Vec<FieldWrite> {
    let values = match center {
        1..=11 => [0x1a1b_0030, 0x090e_1317, 0x0000_0204],
        12..=13 => [0x1a1b_0030, 0x090e_1217, 0x0000_0305],
        14 => [0x1a1b_0030, 0x0000_0e17, 0x0000_0000],
        _ => return Vec::new(),
    };
    let registers = [bb::CCK0_TX_FILTER1, bb::CCK0_TX_FILTER2, bb::CCK0_DEBUG_PORT];
    registers.into_iter().zip(values).map(|(reg, value)| FieldWrite::whole(reg, value)).collect()
}

/// Converters and sub-channel of a width.
fn width_writes(channel: Channel) -> Vec<FieldWrite> {
    let subchannel = u32::from(subchannel(channel));
    let mut writes = clock_writes(channel.band(), channel.width()).to_vec();
    if channel.width() != Width::Mhz20 {
        writes.push(FieldWrite::field(bb::ADCCLK, 0x3c, subchannel));
    }
    if channel.width() == Width::Mhz40 {
        writes.push(FieldWrite::field(bb::RXSB, 1 << 4, u32::from(subchannel == 1)));
    }
    writes
}

/// Cut A, as rtw88 `main.h` numbers cuts (`RTW_CHIP_VER_CUT_A`).
const CUT_A: u8 = 0;

/// I/Q corrections of the receivers that cut A's change of clock loses: those of the first two paths as seen from
/// each path, then of the other two.
const CORRECTIONS: [(Reg<u32>, Reg<u32>); 4] = [
    (bb::RX_IQC_AB_A, bb::RX_IQC_CD_A),
    (bb::RX_IQC_AB_B, bb::RX_IQC_CD_B),
    (more::RX_IQC_AB_C, more::RX_IQC_CD_C),
    (bb::RX_IQC_AB_D, bb::RX_IQC_CD_D),
];
const CONVERTERS: [Reg<u32>; 4] = [bb::AFE_PWR1_A, bb::AFE_PWR1_B, more::AFE_PWR1_C, bb::AFE_PWR1_D];
const CLOCKS: [Reg<u32>; 4] = [bb::CK_MONHA, bb::CK_MONHB, more::CK_MONHC, bb::CK_MONHD];
/// Bits of the debug report that say that the MAC is busy.
const MAC_BUSY: u32 = 0x803e_0008;

impl Phy {
    /// Sets everything that depends on the channel and not on the band.
    pub(super) async fn tune_8814a(&self, channel: Channel) -> Result<(), Error> {
        let (regs, center) = (&self.regs, channel.center());
        regs.set_field(bb::CLKTRK, 0x1ffe_0000, clock_tracking(center)).await?;
        let tuned = sub_band(center) << 8 | u32::from(center);
        self.write_rf_everywhere(rf::CFGCH, cfgch::BAND | cfgch::CHANNEL, tuned).await?;
        if let Some(table) = gain_table(center) {
            regs.set_field(bb::AGC_TABLE, 0x1f, table).await?;
        }
        regs.apply(&cck_filter(center)).await?;

        self.set_mac_width(channel).await?;
        regs.apply(&width_writes(channel)).await?;
        self.write_rf_everywhere(rf::CFGCH, cfgch::WIDTH, filter(channel.width())).await?;
        if self.board.cut == CUT_A {
            self.restart_converters().await?;
        }
        let option = self.board.efuse.rfe_option;
        regs.apply(&spur::notch_writes(option, channel)).await?;
        if option == 0 && channel.width() == Width::Mhz20 {
            self.thresholds_of_140(center).await?;
        }
        regs.apply(&spur::tone_writes(option, channel.primary())).await
    }

    /// Changes what must change between two channels of one band, each path's CFGCH as one word.
    pub(super) async fn retune_8814a(&self, from: Channel, to: Channel) -> Result<(), Error> {
        let (regs, center) = (&self.regs, to.center());
        let option = self.board.efuse.rfe_option;
        self.change_mac_width(from, to).await?;
        let mut writes = vec![FieldWrite::field(bb::CLKTRK, 0x1ffe_0000, clock_tracking(center))];
        writes.extend(gain_table(center).map(|table| FieldWrite::field(bb::AGC_TABLE, 0x1f, table)));
        writes.extend(cck_filter(center));
        writes.extend(width_writes(to));
        regs.apply_changes(&writes).await?;
        self.change_synthesizers(to).await?;
        // Only another width is another clock.
        if self.board.cut == CUT_A && from.width() != to.width() {
            self.restart_converters().await?;
        }
        let mut spurs = spur::notch_writes(option, to);
        if option == 0 && to.width() == Width::Mhz20 {
            self.thresholds_of_140(center).await?;
        }
        spurs.extend(spur::tone_writes(option, to.primary()));
        regs.apply_changes(&spurs).await
    }

    /// Lets cut A's converters take on another clock: with the MAC idle they are switched off and on, and what that
    /// costs is put back.
    async fn restart_converters(&self) -> Result<(), Error> {
        let regs = &self.regs;
        let pause = mac::TXPAUSE.byte(0);
        let reset = |on| FieldWrite::field(bb::DAC_RSTB, 1 << 13, on);
        let grant = |bits, value| FieldWrite::byte(mac::GNT_BT, bits, value);
        let report = |on| FieldWrite::field(bb::CCK_RPT_FORMAT, 1 << 2, on);
        let everywhere = |registers: [Reg<u32>; 4], values: &[u32]| -> Vec<FieldWrite> {
            registers.iter().flat_map(|reg| values.iter().map(|v| FieldWrite::whole(*reg, *v))).collect()
        };

        let paused = regs.read(pause).await?;
        let (debug, receivers) = (regs.current(bb::DBGSEL).await?, regs.current(bb::RXPSEL).await?);
        regs.write(pause, 0x3f).await?;
        let mut corrections = [0; 4];
        for (kept, (own, other)) in corrections.iter_mut().zip(CORRECTIONS) {
            *kept = regs.current(own).await?;
            regs.write(own, 0).await?;
            regs.write(other, 0).await?;
        }
        regs.set_field(bb::PRECTRL, IQ_WGT, 3).await?;
        regs.write(bb::DBGSEL, 0).await?;
        // Mainline looks 1,001 times and goes on in any case.
        for _ in 0..=1000 {
            if regs.read(bb::DBGRPT).await? & MAC_BUSY == 0 {
                break;
            }
        }

        regs.write(bb::RXPSEL.byte(0), 0x11).await?;
        regs.apply(&[reset(1), grant(0x06, 3), report(1)]).await?;
        regs.apply(&everywhere(CONVERTERS, &[0x1580_0002, 0x0180_8003])).await?;
        regs.apply(&[grant(0x04, 0), report(0)]).await?;
        regs.apply(&everywhere(CLOCKS, &[0x0d08_0058])).await?;
        regs.apply(&everywhere(CLOCKS, &[0x0d00_0058])).await?;
        regs.apply(&everywhere(CONVERTERS, &[0x0580_8032])).await?;
        regs.apply(&[grant(0x04, 1), report(1)]).await?;
        regs.apply(&everywhere(CONVERTERS, &[0x0580_8032])).await?;
        regs.apply(&everywhere(CONVERTERS, &[0x0580_0002, 0x0780_8003])).await?;
        regs.apply(&[grant(0x06, 0), report(0), reset(0)]).await?;

        regs.write(pause, paused).await?;
        regs.write(bb::DBGSEL, debug).await?;
        regs.write(bb::RXPSEL, receivers).await?;
        for (kept, (own, other)) in corrections.into_iter().zip(CORRECTIONS) {
            regs.write(own, kept).await?;
            regs.write(other, 0x0100_0000).await?;
        }
        regs.set_field(bb::PRECTRL, IQ_WGT, 0).await
    }

    /// Finds out which band the chip is set to: powered up it is 2.4 GHz, and mainline takes it as it is.
    pub(super) async fn find_band(&self) -> Result<(), Error> {
        let check = airlift_regs::bits::cck_check::CHECK_CCK_EN as u8;
        let without_cck = self.regs.read(mac::CCK_CHECK.byte(0)).await? & check != 0;
        self.band.set(Some(if without_cck { Band::Ghz5 } else { Band::Ghz2 }));
        Ok(())
    }
}
