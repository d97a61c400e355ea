//! The link list of the transmit buffer's pages, and how the pages are shared out among the queues.
//!
//! Facts: rtw88 `rtw88xxa.c`, `rtw88xxa_llt_init`, `rtw88xxau_init_queue_reserved_page`,
//! `rtw88xxau_init_tx_buffer_boundary`, `rtw88xxau_init_queue_priority`.

use core::time::Duration;

use airlift_regs::{bits, mac};

use crate::chip::{ChipInfo, QueuePages};
use crate::error::{Error, ErrorKind};
use crate::regio::Regs;

const LAST_PAGE: u16 = 255;
const END_OF_LIST: u16 = 0xff;
/// The bits that fall when an entry is written.
const BUSY: u32 = 0xc000_0000;
/// Entries whose writes and read-backs may be on their way together.
const BATCH: usize = 32;
/// Mainline looks 21 times.
const POLL_INTERVAL: Duration = Duration::from_micros(50);
const POLL_TIMEOUT: Duration = Duration::from_micros(21 * 50);

/// Writes the page list: pages below the boundary are one chain, those above a ring of their own.
///
/// Each entry's write is followed by a read of the busy bits, and an entry must be done before the next is written.
/// FIFO order puts each read between its write and the next, so on a chip that is done by then several of these
/// pairs can be on their way together: first one, then two, and so on up to [`BATCH`]. The first that reads busy
/// ends that; from there on each entry is waited for.
pub(super) async fn write_page_list(regs: &Regs, chip: &ChipInfo) -> Result<(), Error> {
    let boundary = chip.reserved_boundary();
    let entries: Vec<(u16, u16)> = (0..=LAST_PAGE)
        .map(|page| match page {
            p if p == boundary - 1 => (p, END_OF_LIST),
            LAST_PAGE => (LAST_PAGE, boundary),
            p => (p, p + 1),
        })
        .collect();
    let mut rest = entries.as_slice();
    let mut together = 1;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(together.min(rest.len()));
        rest = after;
        let mut readings = Vec::with_capacity(batch.len());
        for &(page, next) in batch {
            regs.write(mac::LLT_INIT, entry(page, next)).await?;
            readings.push(regs.start_read(mac::LLT_INIT).await?);
        }
        let mut first_busy = None;
        for (n, reading) in readings.into_iter().enumerate() {
            if reading.value().await? & BUSY != 0 && first_busy.is_none() {
                first_busy = Some(n);
            }
        }
        let Some(first_busy) = first_busy else {
            together = (together * 2).min(BATCH);
            continue;
        };
        wait(regs).await?;
        // Entries behind the busy one may have been lost.
        for &(page, next) in batch[first_busy + 1..].iter().chain(rest) {
            regs.write(mac::LLT_INIT, entry(page, next)).await?;
            wait(regs).await?;
        }
        rest = &[];
    }
    regs.set_bits(mac::TXDMA_OFFSET_CHK, bits::txdma_offset_chk::DROP_DATA_EN).await?;
    regs.barrier().await
}

fn entry(page: u16, next: u16) -> u32 {
    bits::llt_init::LLT_WRITE_ACCESS | u32::from(page) << 8 | u32::from(next)
}

async fn wait(regs: &Regs) -> Result<(), Error> {
    regs.poll(mac::LLT_INIT, BUSY, 0, POLL_INTERVAL, POLL_TIMEOUT, "page list entry written").await.map(drop)
}

/// The queue layout for so many bulk-out endpoints.
pub(super) fn layout(regs: &Regs, chip: &ChipInfo, bulk_out: u8) -> Result<QueuePages, Error> {
    match bulk_out {
        2..=4 => Ok(chip.queue_pages[usize::from(bulk_out) - 2]),
        n => Err(regs.error(ErrorKind::Unsupported(format!("{n} bulk-out endpoints, expected 2 to 4")))),
    }
}

/// Shares the pages out and connects traffic classes to DMA queues.
pub(super) async fn configure(regs: &Regs, chip: &ChipInfo, bulk_out: u8) -> Result<(), Error> {
    let pages = layout(regs, chip, bulk_out)?;
    let boundary = chip.reserved_boundary();
    let public = u32::from(boundary - pages.taken());

    regs.write(mac::RQPN_NPQ, u32::from(pages.normal) | u32::from(pages.extra) << 16).await?;
    let rqpn = bits::rqpn_ctrl_2::LD_RQPN | public << 16 | u32::from(pages.low) << 8 | u32::from(pages.high);
    regs.write(mac::RQPN, rqpn).await?;

    // Chips with an 8051 have 256 pages at most.
    let boundary = u8::try_from(boundary).unwrap_or(u8::MAX);
    regs.write(mac::BCNQ_BDNY, boundary).await?;
    regs.write(mac::MGQ_BDNY, boundary).await?;
    regs.write(mac::WMAC_LBK_BF_HD, boundary).await?;
    regs.write(mac::TRXFF_BNDY, boundary).await?;
    regs.write(mac::DWBCN0_CTRL.byte(1), boundary).await?;

    let old = regs.read(mac::TXDMA_PQ_MAP).await? & 0x7;
    regs.write(mac::TXDMA_PQ_MAP, old | pages.dma_map()).await?;
    if bulk_out == 4 {
        regs.write(mac::HIQ_NO_LMT_EN, 0xff).await?;
    }
    Ok(())
}
