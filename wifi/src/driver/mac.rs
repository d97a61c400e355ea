//! The MAC: DMA, filters, protocol timers, USB aggregation, and the receive filter of monitor mode.
//!
//! Order and values: rtw88 `rtw88xxa.c`, `rtw88xxa_power_on` and the `rtw88xxa_init_*` functions that it calls;
//! `usb.c`, `rtw_usb_init_burst_pkt_len`, `rtw_usb_dynamic_rx_agg_v2`; `main.c`, `rtw_core_start`;
//! `mac80211.c`, `rtw_ops_configure_filter`. The MAC table itself is a data file of `phy`.

use airlift_hcd::Speed;
use airlift_regs::{Reg, bits, bits::rcr, mac, sys, usb};

use super::queues;
use crate::chip::{Board, Mac8051};
use crate::error::Error;
use crate::regio::Regs;

/// Words of PHY status before each frame, in units of 8 bytes.
pub(super) const PHY_STATUS_UNITS: u8 = 4;
/// Bytes at the receive buffer's end that are kept for reports.
const REPORT_BUFFER: u16 = 128;

/// Security engine: command and configuration.
const SEC_COMMAND: Reg<u32> = Reg::new(0x0670);
const SEC_CONFIG: Reg<u16> = Reg::new(0x0680);

/// What mainline's receive filter holds in monitor mode: everything is taken, broken frames too if `bad_fcs`, with
/// FCS and PHY status appended, and no BSSID is looked at.
///
/// rtw88 `main.c`, `rtw_core_init` (the default) and `rtw_chip_parameter_setup` (`VHT_DACK`); `mac80211.c`,
/// `rtw_ops_configure_filter` (`FIF_OTHER_BSS`, `FIF_FCSFAIL`).
pub(super) fn receive_filter(bad_fcs: bool) -> u32 {
    let taken = rcr::APP_FCS
        | rcr::APP_MIC
        | rcr::APP_ICV
        | rcr::APP_PHYSTS
        | rcr::VHT_DACK
        | rcr::PKTCTL_DLEN
        | rcr::HTC_LOC_CTRL
        | rcr::AB
        | rcr::AM
        | rcr::APM
        | rcr::AAP;
    if bad_fcs { taken | rcr::ACRC32 } else { taken }
}

/// From the MAC table on to the transmitters and receivers being enabled. The MAC table comes before.
pub(super) async fn configure(regs: &Regs, board: &Board, own: &Mac8051) -> Result<(), Error> {
    let chip = board.chip;
    queues::configure(regs, chip, board.bulk_out).await?;

    regs.write(mac::TRXFF_BNDY.cast::<u16>(2), chip.rx_fifo_size - REPORT_BUFFER - 1).await?;
    regs.write(mac::RX_DRVINFO_SZ, PHY_STATUS_UNITS).await?;

    regs.write(sys::HIMR0, 0).await?;
    regs.write(sys::HIMR1, 0).await?;
    regs.set_field(mac::CR, 0x0003_0000, 2).await?;

    subtypes(regs).await?;
    regs.write(mac::MAR, u32::MAX).await?;
    regs.write(mac::MAR.cast::<u32>(4), u32::MAX).await?;
    regs.set_field(mac::RRSR, 0x000f_ffff, 0x000f_fff1).await?;
    timing(regs).await?;

    regs.write(mac::ACKTO, 0x80).await?;
    regs.set_field(mac::DWBCN0_CTRL, 0xf0, u32::from(chip.tx_aggregate_descriptors)).await?;
    beacon(regs, board.efuse.bt_coex).await?;
    usb_interface(regs, board.speed).await?;

    regs.write(mac::AMPDU_MAX_LENGTH, u32::MAX).await?;
    regs.write(mac::USTIME_TSF, 0x50).await?;
    regs.write(mac::USTIME_EDCA, 0x50).await?;
    if board.speed == Speed::Super {
        // U1 and U2 make a spur at 2.5 GHz.
        regs.clear_bits(usb::USB_MOD, 0x18).await?;
    }
    regs.set_bits(mac::SINGLE_AMPDU_CTRL, bits::single_ampdu_ctrl::EN_SINGLE_APMDU as u8).await?;
    // Frames of up to 11 KiB.
    regs.write(mac::RX_PKT_LIMIT, 0x18).await?;
    regs.write(mac::PIFS, 0).await?;
    regs.write(mac::MAX_AGGR_NUM, 0x1f1f).await?;
    regs.apply(own.own_fields).await?;
    // The bus may not reset the MAC.
    regs.set_bits(sys::RSV_CTRL, 0x60).await?;

    for (reg, value) in [
        (mac::ARFR0, 0x0000_0010),
        (mac::ARFRH0, 0xffff_f000),
        (mac::ARFR1_V1, 0x0000_0010),
        (mac::ARFRH1_V1, 0x003f_f000),
        (mac::ARFR2_V1, 0x0000_0015),
        (mac::ARFRH2_V1, 0x003f_f000),
        (mac::ARFR3_V1, 0x0000_0015),
        (mac::ARFRH3_V1, 0xffcf_f000),
    ] {
        regs.write(reg, value).await?;
    }
    regs.set_bits(mac::CR.byte(0), (bits::cr::MACTXEN | bits::cr::MACRXEN) as u8).await?;
    regs.barrier().await
}

/// Which management, control and data subtypes are taken at all.
pub(super) async fn subtypes(regs: &Regs) -> Result<(), Error> {
    regs.write(mac::RXFLTMAP0.cast::<u16>(0), 0xffff).await?;
    regs.write(mac::RXFLTMAP1, 0x0400).await?;
    regs.write(mac::RXFLTMAP2, 0xffff).await
}

/// Retries, spaces between frames, and the contention of each traffic class.
pub(super) async fn timing(regs: &Regs) -> Result<(), Error> {
    regs.write(mac::RETRY_LIMIT, 0x3030).await?;

    regs.write(mac::SPEC_SIFS, 0x100a).await?;
    regs.write(mac::MAC_SPEC_SIFS, 0x100a).await?;
    regs.write(mac::SIFS.cast::<u16>(0), 0x100a).await?;
    regs.write(mac::SIFS.cast::<u16>(2), 0x100a).await?;
    regs.write(mac::EDCA_BE_PARAM, 0x005e_a42b).await?;
    regs.write(mac::EDCA_BK_PARAM, 0x0000_a44f).await?;
    regs.write(mac::EDCA_VI_PARAM, 0x005e_a324).await?;
    regs.write(mac::EDCA_VO_PARAM, 0x002f_a226).await
}

/// The beacon port, whose function coexistence wants to run.
pub(super) async fn beacon(regs: &Regs, bt_coex: bool) -> Result<(), Error> {
    let off = bits::bcn_ctrl::DIS_TSF_UDT;
    let function = if bt_coex { bits::bcn_ctrl::EN_BCN_FUNCTION } else { 0 };
    regs.write(mac::BCN_CTRL.cast::<u16>(0), (off << 8 | off | function) as u16).await?;
    // Hold 100, prohibit 4, in units of 32 us.
    regs.set_field(mac::TBTT_PROHIBIT, 0x000f_ffff, 0x64 << 8 | 0x04).await?;
    regs.write(mac::DRVERLYINT, 0x05).await?;
    regs.write(mac::BCNDMATIM, 0x02).await?;
    regs.write(mac::BCNTCFG, 0x4413).await?;
    regs.write(mac::BCN_MAX_ERR, 0xff).await
}

/// Burst size by speed.
pub(super) async fn burst(regs: &Regs, speed: Speed) -> Result<(), Error> {
    let burst = match speed {
        Speed::Super => bits::rxdma_mode::DMA_BURST_SIZE_1024,
        Speed::High => bits::rxdma_mode::DMA_BURST_SIZE_512,
        Speed::Low | Speed::Full => bits::rxdma_mode::DMA_BURST_SIZE_64,
    };
    let mode = bits::rxdma_mode::DMA_BURST_CNT | bits::rxdma_mode::DMA_MODE | burst << 4;
    regs.write(mac::RXDMA_MODE, mode as u8).await
}

/// Bursts, and the DMA's burst length.
async fn usb_interface(regs: &Regs, speed: Speed) -> Result<(), Error> {
    burst(regs, speed).await?;
    regs.write(usb::USB3_RXITV, 0x01).await?;
    regs.write(mac::RXDMA_STATUS, 0x7400).await?;
    regs.write(mac::RXDMA_STATUS.byte(1), 0xf5).await
}

/// What is written between the radio and the first channel: security engine, sequence numbers, reports.
pub(super) async fn finish(regs: &Regs) -> Result<(), Error> {
    regs.write(SEC_COMMAND, 0xc000_0000).await?;
    regs.write(mac::HWSEQ_CTRL, 0xff).await?;
    regs.write(mac::BAR_MODE_CTRL, 0x0201_ffff).await?;
    regs.write(mac::NAV_CTRL.byte(2), 0).await?;
    regs.clear_bits(sys::GPIO_MUXCFG.byte(0), bits::gpio_muxcfg::BT_PTA_EN as u8).await?;

    regs.clear_bits(mac::QUEUE_CTRL, 0x08).await?;
    regs.write(mac::FWHW_TXQ_CTRL.byte(1), 0x0f).await?;
    regs.write(mac::EARLY_MODE_CONTROL.byte(3), 0x01).await?;
    regs.write(mac::TX_RPT_TIME, 0x3df0).await?;
    regs.write(sys::SYS_SDIO_CTRL.byte(0), 0).await?;
    regs.write(sys::ACLK_MON, 0).await?;
    regs.write(usb::USB_HRPWM, 0).await?;
    regs.set_bits(mac::FWHW_TXQ_CTRL, 1 << 12).await
}

/// The security engine as mainline leaves it (rtw88 `sec.c`, `rtw_sec_enable_sec_engine`): on, with default keys.
/// No key is ever given to it; frames pass as they came.
pub(super) async fn security_engine(regs: &Regs) -> Result<(), Error> {
    let cr = mac::CR.cast::<u16>(0);
    let (old, config) = (regs.start_read(cr).await?, regs.start_read(SEC_CONFIG).await?);
    regs.write(cr, old.value().await? | bits::cr::MAC_SEC_EN as u16).await?;
    regs.write(SEC_CONFIG, config.value().await? | 0x00cf).await
}

/// Opens the receive filter. `control_frames` takes all control frames, where mainline takes PS-Poll alone
/// (rtw88 `rtw88xxa.c`, `rtw88xxa_init_wmac_setting`), so that its monitor sees no RTS, CTS, ACK or block ack.
pub(super) async fn open_filter(regs: &Regs, bad_fcs: bool, control_frames: bool) -> Result<(), Error> {
    if control_frames {
        regs.write(mac::RXFLTMAP1, 0xffff).await?;
    }
    regs.write(mac::RCR, receive_filter(bad_fcs)).await
}

/// Several frames to a bulk transfer. Mainline's watchdog turns this on when traffic is heavy and off when it is
/// not (rtw88 `usb.c`, `rtw_usb_dynamic_rx_agg_v2`); a monitor wants every frame and leaves it on.
pub(super) async fn receive_aggregation(regs: &Regs, speed: Speed, on: bool) -> Result<(), Error> {
    // Size in KiB, time-out in 32 us.
    let (size, timeout) = match (on, speed) {
        (false, _) => (0x00, 0x01),
        (true, Speed::Super) => (0x06, 0x1a),
        (true, _) => (0x05, 0x20),
    };
    regs.write(mac::RXDMA_AGG_PG_TH.cast::<u16>(0), timeout << 8 | size).await?;
    regs.set_bits(mac::TXDMA_PQ_MAP.byte(0), bits::txdma_pq_map::RXDMA_AGG_EN as u8).await
}

/// The chip's TSF. Its halves are two transfers; the upper one is read on both sides of the lower.
pub(super) async fn tsf(regs: &Regs) -> Result<u64, Error> {
    let (lower, upper) = (mac::TSFTR.cast::<u32>(0), mac::TSFTR.cast::<u32>(4));
    let before = regs.start_read(upper).await?;
    let low = regs.start_read(lower).await?;
    let after = regs.start_read(upper).await?;
    let (before, low, after) = (before.value().await?, low.value().await?, after.value().await?);
    // If the lower half wrapped meanwhile, it tells on which side of that it was read.
    let high = if low > u32::MAX / 2 { before } else { after };
    Ok(u64::from(high) << 32 | u64::from(low))
}

/// Shuts the receive filter: no frame passes.
pub(super) async fn shut_filter(regs: &Regs) -> Result<(), Error> {
    regs.write(mac::RCR, 0).await
}
