//! The MAC of chips with a 3081: queues and their pages, filters, protocol timers.
//!
//! Order and values: rtw88 `mac.c`, `rtw_mac_init` and what it calls; `rtw8814a.c`, `rtw8814a_mac_init`,
//! `rtw8814a_phy_set_param`; `usb.c`, `rtw_usb_init_burst_pkt_len`.

use core::time::Duration;

use airlift_hcd::Speed;
use airlift_regs::bits::{
    auto_llt_v1, cr, fwhw_txq_ctrl, gpio_muxcfg, h2cq_csr, misc_ctrl, rqpn_ctrl_2, sw_ampdu_burst_mode_ctrl,
    txdma_offset_chk, txdma_pq_map,
};
use airlift_regs::{Reg, mac, more, sys, usb};

use super::super::{mac as common, queues};
use super::introduction::introduce;
use super::packet::PacketSink;
use crate::chip::{Board, Mac3081};
use crate::error::{Error, ErrorKind};
use crate::phy::Phy;
use crate::regio::Regs;

/// Bytes at the receive buffer's end that are kept for reports.
const REPORT_BUFFER: u32 = 256;
/// Transmitters, receivers and their DMA.
const ALL_ENABLED: u32 = cr::HCI_TXDMA_EN
    | cr::HCI_RXDMA_EN
    | cr::TXDMA_EN
    | cr::RXDMA_EN
    | cr::PROTOCOL_EN
    | cr::SCHEDULE_EN
    | cr::MACTXEN
    | cr::MACRXEN;

/// 1,000 looks, 10 us apart.
const INTERVAL: Duration = Duration::from_micros(10);
const TIMEOUT: Duration = Duration::from_millis(10);

/// Bus settings that keep commands to the firmware from failing at super speed.
const USB3_COMMANDS: Reg<u16> = Reg::new(0xf002);

/// From the queues on to the transmitters and receivers being enabled, with the MAC table in between.
pub(in crate::driver) async fn configure(
    regs: &Regs,
    board: &Board,
    own: &Mac3081,
    phy: &Phy,
) -> Result<(), Error> {
    share_out(regs, board).await?;
    command_queue(regs, board, own).await?;

    let enabled = ALL_ENABLED | cr::MAC_SEC_EN | cr::CAL_32K_TMR_EN;
    regs.write(mac::CR.cast::<u16>(0), enabled as u16).await?;
    phy.load_mac().await?;
    super::super::mac::shut_filter(regs).await?;
    regs.write(mac::AUTO_LLT_V1.byte(3), board.chip.tx_aggregate_descriptors << 1).await?;

    regs.write(sys::HIMR0, 0).await?;
    regs.write(sys::HIMR1, 0).await?;
    regs.set_field(mac::RRSR, 0x000f_ffff, 0x000f_ffff).await?;
    common::subtypes(regs).await?;
    regs.write(mac::MAX_AGGR_NUM, 0x3636).await?;
    common::timing(regs).await?;
    regs.set_bits(mac::FWHW_TXQ_CTRL.byte(0), 0x80).await?;
    regs.write(mac::ACKTO, 0x80).await?;
    // Coexistence wants the beacon function on every board.
    common::beacon(regs, true).await?;
    regs.write(more::FAST_EDCA_VOVI_SETTING, 0x0807_0807).await?;
    regs.write(more::FAST_EDCA_BEBK_SETTING, 0x0807_0807).await?;
    if board.speed == Speed::Super {
        // U1 and U2 make a spur at 2.5 GHz.
        regs.clear_bits(usb::USB_MOD, 0x18).await?;
        regs.write(USB3_COMMANDS, 0).await?;
        regs.clear_bits(mac::SW_AMPDU_BURST_MODE_CTRL, sw_ampdu_burst_mode_ctrl::PRE_TX_CMD as u8).await?;
    }

    regs.write(mac::RX_DRVINFO_SZ, common::PHY_STATUS_UNITS).await?;
    // A descriptor must not say that its packet has no length.
    let last = mac::TRXFF_BNDY.byte(1).addr();
    regs.update_bytes(&[(last, 0x0f, 0x0f)]).await?;
    regs.clear_bits(mac::WMAC_OPTION_FUNCTION.cast::<u32>(4), 0x0300).await?;
    common::burst(regs, board.speed).await?;
    regs.set_bits(mac::TXDMA_OFFSET_CHK.cast::<u16>(0), txdma_offset_chk::DROP_DATA_EN as u16).await?;
    regs.barrier().await
}

/// Connects traffic classes to DMA queues and shares the transmit buffer out among them. The chip makes the list of its
/// pages by itself.
async fn share_out(regs: &Regs, board: &Board) -> Result<(), Error> {
    let chip = board.chip;
    let pages = queues::layout(regs, chip, board.bulk_out)?;
    let boundary = chip.reserved_boundary();
    let map = pages.dma_map() | txdma_pq_map::RXDMA_ARBBW_EN as u16;
    regs.write(mac::TXDMA_PQ_MAP, map).await?;
    regs.write(mac::CR.byte(0), 0).await?;
    regs.write(mac::CR.byte(0), ALL_ENABLED as u8).await?;
    regs.write(more::H2CQ_CSR, h2cq_csr::H2CQ_FULL).await?;

    regs.write(mac::FIFOPAGE_INFO_1, pages.high).await?;
    regs.write(mac::FIFOPAGE_INFO_2, pages.low).await?;
    regs.write(mac::FIFOPAGE_INFO_3, pages.normal).await?;
    regs.write(mac::FIFOPAGE_INFO_4, pages.extra).await?;
    regs.write(mac::FIFOPAGE_INFO_5, boundary - pages.taken()).await?;
    regs.set_bits(mac::RQPN_CTRL_2, rqpn_ctrl_2::LD_RQPN).await?;

    regs.write(mac::FIFOPAGE_CTRL_2, boundary).await?;
    regs.set_bits(mac::FWHW_TXQ_CTRL.byte(2), (fwhw_txq_ctrl::EN_WR_FREE_TAIL >> 16) as u8).await?;
    regs.write(mac::BCNQ_BDNY_V1, boundary).await?;
    regs.write(mac::FIFOPAGE_CTRL_2.cast::<u16>(2), boundary).await?;
    regs.write(mac::BCNQ1_BDNY_V1, boundary).await?;
    regs.write(mac::RXFF_BNDY, u32::from(chip.rx_fifo_size) - REPORT_BUFFER - 1).await?;

    let frames = chip.tx_aggregate_descriptors;
    regs.set_field(mac::AUTO_LLT_V1, auto_llt_v1::MASK_BLK_DESC_NUM as u8, frames).await?;
    regs.write(mac::AUTO_LLT_V1.byte(3), frames).await?;
    regs.set_bits(mac::TXDMA_OFFSET_CHK.byte(1), (txdma_offset_chk::DROP_DATA_EN >> 8) as u8).await?;
    let make = auto_llt_v1::AUTO_INIT_LLT_V1 as u8;
    regs.set_bits(mac::AUTO_LLT_V1, make).await?;
    let what = "the list of pages made by the chip";
    regs.poll(mac::AUTO_LLT_V1, make, 0, INTERVAL, TIMEOUT, what).await?;
    regs.write(mac::CR.byte(3), 0).await
}

/// Gives the queue of commands its pages.
async fn command_queue(regs: &Regs, board: &Board, own: &Mac3081) -> Result<(), Error> {
    /// What the registers hold of an address.
    const ADDRESS: u32 = 0x3_ffff;
    let bytes = |pages: u16| u32::from(pages) * u32::from(board.chip.page_size);
    let start = bytes(board.chip.tx_pages() - own.pages.firmware - own.pages.commands);
    let size = bytes(own.pages.commands);

    let places = [(mac::H2C_HEAD, start), (mac::H2C_READ_ADDR, start), (mac::H2C_TAIL, start + size)];
    let mut old = Vec::with_capacity(places.len());
    for (reg, _) in places {
        old.push(regs.start_read(reg).await?);
    }
    let info = regs.start_read(mac::H2C_INFO).await?;
    for ((reg, place), old) in places.into_iter().zip(old) {
        regs.write(reg, old.value().await? & !ADDRESS | place).await?;
    }
    regs.write(mac::H2C_INFO, info.value().await? & 0xfc | 0x01).await?;
    regs.set_bits(mac::H2C_INFO, 0x04).await?;
    regs.set_bits(mac::TXDMA_OFFSET_CHK.byte(1), 0x80).await?;

    let (write, read) =
        (regs.start_read(sys::H2C_PKT_WRITEADDR).await?, regs.start_read(sys::H2C_PKT_READADDR).await?);
    let (write, read) = (write.value().await? & ADDRESS, read.value().await? & ADDRESS);
    let free = if write >= read { size.wrapping_sub(write - read) } else { read - write };
    if free != size {
        return Err(regs.error(ErrorKind::Unexpected {
            register: sys::H2C_PKT_WRITEADDR.addr(),
            got: write,
            expected: "the firmware's queue of commands to be empty",
        }));
    }
    Ok(())
}

/// What is written between the radio and the first channel: sequence numbers, reports, the firmware's commands.
pub(in crate::driver) async fn finish(
    regs: &Regs,
    sink: &dyn PacketSink,
    board: &Board,
    own: &Mac3081,
) -> Result<(), Error> {
    regs.write(mac::HWSEQ_CTRL, 0xff).await?;
    regs.write(mac::BAR_MODE_CTRL, 0x0201_ffff).await?;
    regs.write(mac::MISC_CTRL, misc_ctrl::DIS_SECOND_CCA as u8).await?;
    let pta = (sys::GPIO_MUXCFG.byte(0).addr(), gpio_muxcfg::BT_PTA_EN as u8, 0);
    regs.update_bytes(&[pta, (mac::QUEUE_CTRL.addr(), 0x08, 0)]).await?;
    regs.write(mac::NAV_CTRL.byte(2), 235).await?;
    regs.write(mac::FWHW_TXQ_CTRL.byte(1), 0x1f).await?;
    regs.write(sys::SYS_SDIO_CTRL.byte(0), 0).await?;
    regs.write(sys::ACLK_MON, 0).await?;
    introduce(regs, sink, board, own).await
}

/// Several frames to a bulk transfer (rtw88 `usb.c`, `rtw_usb_dynamic_rx_agg_v1`).
pub(in crate::driver) async fn receive_aggregation(regs: &Regs, on: bool) -> Result<(), Error> {
    // Size in KiB, time-out in 32 us.
    let (size, timeout) = if on { (0x05, 0x20) } else { (0x00, 0x01) };
    let enable = txdma_pq_map::RXDMA_AGG_EN as u8;
    regs.update_bytes(&[
        (mac::TXDMA_PQ_MAP.byte(0).addr(), enable, enable),
        (mac::RXDMA_AGG_PG_TH.byte(3).addr(), 0x80, 0),
    ])
    .await?;
    regs.write(mac::RXDMA_AGG_PG_TH.cast::<u16>(0), timeout << 8 | size).await
}
