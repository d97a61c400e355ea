//! Reading the EFUSE, cell by cell, as far as it is programmed.
//!
//! Facts: rtw88 `efuse.c`, `rtw_dump_physical_efuse_map`, `rtw_read8_physical_efuse`; `rtw88xxa.c`,
//! `rtw88xxa_efuse_grant`, `rtw88xxa_read_usb_type`.
//!
//! A cell is read by writing its address and reading the control register until bit 31 has risen. Mainline reads
//! all 512 cells, one after the other. Here the cells whose reading does not depend on what an earlier one holds
//! (the words of a block and the header after it) have their write and read submitted together: the control
//! endpoint is first in, first out, and one transfer takes longer on the bus than the 1 us that mainline waits
//! between write and read. A read that comes too early shows bit 31 low; from that cell on they are read one at a
//! time. The first cell is a header, which is always read alone, so a chip that is slow shows it before anything
//! is on its way together.

use core::time::Duration;

use airlift_regs::{bits, bits::efuse_ctrl as bit, sys};

use crate::chip::ChipInfo;
use crate::efuse::{BLANK, EfuseInfo, Parser};
use crate::error::{Error, ErrorKind};
use crate::regio::{Reading, Regs};

const ADDRESS: u32 = bit::MASK_EF_ADDR << bit::SHIFT_EF_ADDR;
const POLL_INTERVAL: Duration = Duration::from_micros(10);
const POLL_TIMEOUT: Duration = Duration::from_millis(10);

/// What was found.
pub(super) struct Found {
    pub(super) info: EfuseInfo,
    pub(super) chains: u8,
    pub(super) allows_80_mhz: bool,
}

/// Reads the programmed cells and the chip's option cells.
pub(super) async fn read(regs: &Regs, chip: &ChipInfo) -> Result<Found, Error> {
    regs.write(sys::EFUSE_ACCESS, bits::efuse_access::EFUSE_ACCESS_ON as u8).await?;
    regs.set_bits(sys::SYS_FUNC_EN, bits::sys_func_en::FEN_ELDR as u16).await?;
    let clocks = bits::sys_clkr::LOADER_CLK_EN | bits::sys_clkr::ANA8M;
    regs.set_bits(sys::SYS_CLKR, clocks as u16).await?;
    regs.set_field(sys::LDO_EFUSE_CTRL, bits::ldo_efuse_ctrl::MASK_EFUSE_BANK_SEL, 0).await?;

    let control = regs.read(sys::EFUSE_CTRL).await? & !(bit::EF_FLAG | ADDRESS | bit::MASK_EF_DATA);
    let mut parser = Parser::new(chip.efuse_physical_size, chip.efuse_logical_size);
    let mut slow = false;
    while let Some(first) = parser.next_cell() {
        let count = if slow { 1 } else { parser.wanted() };
        for byte in read_run(regs, control, first, count, &mut slow).await? {
            parser.feed(byte).map_err(|bad| regs.error(ErrorKind::Efuse(bad.to_string())))?;
        }
    }
    regs.write(sys::EFUSE_ACCESS, bits::efuse_access::EFUSE_ACCESS_OFF as u8).await?;

    let (map, cells) = parser.finish();
    let info = EfuseInfo::new(chip, &map, cells);
    let (chains, allows_80_mhz) = read_options(regs, chip, control).await?;
    regs.barrier().await?;
    Ok(Found { info, chains, allows_80_mhz })
}

/// Chains and width from the option cells near the end of the address space (rtw88 `rtw88xxa_read_usb_type`).
/// The second cell of each pair is read only if the first says nothing.
async fn read_options(regs: &Regs, chip: &ChipInfo, control: u32) -> Result<(u8, bool), Error> {
    let antenna = |byte: u8| match byte >> 5 {
        0 => byte >> 1 & 7,
        value => value,
    };
    let mode = |byte: u8| byte >> 2 & 3;
    let mut antennas = antenna(read_cell(regs, control, 1019).await?);
    if antennas == 0 {
        antennas = antenna(read_cell(regs, control, 1018).await?);
    }
    let mut wireless = mode(read_cell(regs, control, 1021).await?);
    if wireless == 0 {
        wireless = mode(read_cell(regs, control, 1020).await?);
    }
    let chains = if antennas == 1 { 1 } else { chip.chains };
    Ok((chains, !(antennas == 2 && wireless == 2)))
}

async fn start_cell(regs: &Regs, control: u32, cell: u16) -> Result<Reading<u32>, Error> {
    regs.write(sys::EFUSE_CTRL, control | u32::from(cell) << bit::SHIFT_EF_ADDR & ADDRESS).await?;
    regs.start_read(sys::EFUSE_CTRL).await
}

/// Reads `count` cells from `first` on.
async fn read_run(
    regs: &Regs,
    control: u32,
    first: u16,
    count: u16,
    slow: &mut bool,
) -> Result<Vec<u8>, Error> {
    let mut readings = Vec::with_capacity(usize::from(count));
    for cell in first..first + count {
        readings.push(start_cell(regs, control, cell).await?);
    }
    let mut bytes = Vec::with_capacity(readings.len());
    let mut ready = true;
    for reading in readings {
        let value = reading.value().await?;
        ready &= value & bit::EF_FLAG != 0;
        if ready {
            bytes.push((value & bit::MASK_EF_DATA) as u8);
        }
    }
    let missing = first + bytes.len() as u16..first + count;
    if !missing.is_empty() {
        *slow = true;
        if count == 1 {
            // Nothing followed it: it only needs more time.
            bytes.push(wait_for_cell(regs).await?);
            return Ok(bytes);
        }
    }
    // Once one was not ready, those after it may show another cell's data.
    for cell in missing {
        bytes.push(read_cell(regs, control, cell).await?);
    }
    Ok(bytes)
}

/// Reads one cell, waiting as long as it takes.
async fn read_cell(regs: &Regs, control: u32, cell: u16) -> Result<u8, Error> {
    let value = start_cell(regs, control, cell).await?.value().await?;
    if value & bit::EF_FLAG == 0 {
        return wait_for_cell(regs).await;
    }
    Ok(u8::try_from(value & bit::MASK_EF_DATA).unwrap_or(BLANK))
}

async fn wait_for_cell(regs: &Regs) -> Result<u8, Error> {
    let flag = bit::EF_FLAG;
    let what = "the EFUSE cell's byte ready";
    let value = regs.poll(sys::EFUSE_CTRL, flag, flag, POLL_INTERVAL, POLL_TIMEOUT, what).await?;
    Ok(u8::try_from(value & bit::MASK_EF_DATA).unwrap_or(BLANK))
}
