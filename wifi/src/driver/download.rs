//! Firmware into the 8051's RAM, and the 8051 started.
//!
//! Facts: rtw88 `mac.c`, `__rtw_download_firmware_legacy` and what it calls; `usb.c`,
//! `rtw_usb_write_firmware_page`. Mainline downloads twice, once to read the EFUSE and once when the interface
//! goes up; once is enough where the chip stays powered in between.

use core::time::Duration;

use airlift_regs::{bits::mcufw_ctrl as bit, sys};

use crate::error::Error;
use crate::firmware::Image;
use crate::regio::Regs;

/// Where a page shows in the register space.
const WINDOW: u16 = 0x1000;
const PAGE: usize = 0x1000;
/// The largest block in one transfer; what is left of a page goes in blocks of 8, then byte by byte.
const BLOCK: usize = 196;

/// rtw88 `util.c`, `check_hw_ready`: 1,000 looks, 10 us apart.
const CHECKSUM_INTERVAL: Duration = Duration::from_micros(10);
const CHECKSUM_TIMEOUT: Duration = Duration::from_millis(10);
/// rtw88 `mac.c`, `download_firmware_validate_legacy`: 10 looks, 20 ms apart.
const READY_INTERVAL: Duration = Duration::from_millis(20);
const READY_TIMEOUT: Duration = Duration::from_millis(200);

/// Downloads `image` and starts it. `progress` hears of bytes written so far.
pub(super) async fn download(
    regs: &Regs,
    image: &Image,
    progress: &dyn Fn(usize, usize),
) -> Result<(), Error> {
    let control = sys::MCUFW_CTRL;
    restart_cpu(regs).await?;

    let enable = bit::MCUFWDL_EN as u8;
    regs.set_bits(control.byte(0), enable).await?;
    let mut looks = 0;
    while regs.read(control.byte(0)).await? & enable == 0 && looks < 10 {
        regs.set_bits(control.byte(0), enable).await?;
        regs.delay(READY_INTERVAL).await?;
        looks += 1;
    }
    regs.clear_bits(control, bit::ROM_DLEN).await?;

    regs.set_bits(control.byte(0), bit::FWDL_CHK_RPT as u8).await?;
    let code = image.code();
    for (number, page) in code.chunks(PAGE).enumerate() {
        write_page(regs, number, page).await?;
        progress((number * PAGE + page.len()).min(code.len()), code.len());
    }
    regs.barrier().await?;
    let checked = regs
        .poll(
            control,
            bit::FWDL_CHK_RPT,
            bit::FWDL_CHK_RPT,
            CHECKSUM_INTERVAL,
            CHECKSUM_TIMEOUT,
            "the chip's report that the firmware's checksum is right",
        )
        .await;
    // Download mode ends whether or not the checksum was right.
    regs.clear_bits(control.byte(0), enable).await?;
    checked?;

    let value = regs.read(control).await?;
    regs.write(control, (value | bit::MCUFWDL_RDY) & !bit::WINTINI_RDY).await?;
    restart_cpu(regs).await?;
    let ready = bit::MCUFWDL_RDY | bit::FWDL_CHK_RPT | bit::WINTINI_RDY | bit::RAM_DL_SEL;
    regs.poll(control, ready, ready, READY_INTERVAL, READY_TIMEOUT, "the MCU running its firmware").await?;
    Ok(())
}

/// One page: its number into the page field, then the bytes through the window.
async fn write_page(regs: &Regs, number: usize, page: &[u8]) -> Result<(), Error> {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    regs.set_field(sys::MCUFW_CTRL, bit::ROM_PGE, number).await?;
    let mut addr = WINDOW;
    let mut rest = page;
    while !rest.is_empty() {
        let length = match rest.len() {
            BLOCK.. => BLOCK,
            8.. => 8,
            _ => 1,
        };
        let (block, after) = rest.split_at(length);
        regs.write_block(addr, block).await?;
        addr += length as u16;
        rest = after;
    }
    Ok(())
}

/// Stops the 8051 and starts it again (rtw88 `mac.c`, `wlan_cpu_enable`, off and on).
async fn restart_cpu(regs: &Regs) -> Result<(), Error> {
    const CPU: u8 = 0x04;
    const WRAPPER: u8 = airlift_regs::bits::rsv_ctrl::WLMCU_IOIF as u8;
    let (enable, wrapper) = (sys::SYS_FUNC_EN.byte(1), sys::RSV_CTRL.byte(1));
    let (on, off) = (|addr, bits| (addr, bits, bits), |addr, bits| (addr, bits, 0));
    regs.update_bytes(&[off(enable.addr(), CPU), off(wrapper.addr(), WRAPPER)]).await?;
    regs.update_bytes(&[on(wrapper.addr(), WRAPPER), on(enable.addr(), CPU)]).await
}
