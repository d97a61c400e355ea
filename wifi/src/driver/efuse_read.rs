//! Reading the EFUSE, cell by cell, as far as it is programmed and its words are used.
//!
//! Facts: rtw88 `efuse.c`, `rtw_dump_physical_efuse_map`, `rtw_read8_physical_efuse`; `rtw88xxa.c`,
//! `rtw88xxa_efuse_grant`, `rtw88xxa_read_usb_type`.
//!
//! A cell is read by writing its address and reading the control register until bit 31 has risen. Mainline reads
//! all 512 cells, one after the other; a cell's reading does not depend on the one before, since each is asked for by
//! its address. Here the cells whose reading does not depend on what an earlier one holds
//! (the words of a block and the header after it) have their write and read submitted together: the control
//! endpoint is first in, first out, and one transfer takes longer on the bus than the 1 us that mainline waits
//! between write and read. A read that comes too early shows bit 31 low; from that cell on they are read one at a
//! time. The first cell is a header, which is always read alone, so a chip that is slow shows it before anything
//! is on its way together.

use core::time::Duration;

use airlift_regs::{bits, bits::efuse_ctrl as bit, sys};

use crate::chip::ChipInfo;
use crate::efuse::{BtCoex, EfuseInfo, Options, Parser};
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

    let mut cells = Cells { regs, control: 0, slow: false };
    cells.looked(regs.read(sys::EFUSE_CTRL).await?);
    let layout = &chip.efuse;
    let uses = |offset| layout.uses(offset);
    let mut parser = Parser::new(layout.physical_size, layout.logical_size, &uses);
    while let Some(next) = parser.next_cell() {
        let wanted = if cells.slow { vec![next] } else { parser.wanted() };
        for byte in cells.read_run(&wanted).await? {
            if let Err(bad) = parser.feed(byte) {
                // A cell whose address did not reach the chip reads as another one: then that is what went wrong.
                regs.barrier().await?;
                return Err(regs.error(ErrorKind::Efuse(bad.to_string())));
            }
        }
    }
    regs.write(sys::EFUSE_ACCESS, bits::efuse_access::EFUSE_ACCESS_OFF as u8).await?;

    let (map, length) = parser.finish();
    let mut info = EfuseInfo::new(layout, &map, length);
    info.bt_coex = match layout.bt_coex {
        BtCoex::BoardOption => info.table_bt_coex,
        BtCoex::FunctionEnable => {
            regs.read(sys::WL_BT_PWR_CTRL).await? & bits::wl_bt_pwr_ctrl::BT_FUNC_EN != 0
        }
    };
    let (chains, allows_80_mhz) = match layout.options {
        Options::Cells => read_options(&mut cells, chip).await?,
        Options::Fixed => (chip.chains, true),
    };
    regs.barrier().await?;
    Ok(Found { info, chains, allows_80_mhz })
}

/// Chains and width from the option cells near the end of the address space (rtw88 `rtw88xxa_read_usb_type`).
/// The second cell of each pair is read only if the first says nothing.
async fn read_options(cells: &mut Cells<'_>, chip: &ChipInfo) -> Result<(u8, bool), Error> {
    let antenna = |byte: u8| match byte >> 5 {
        0 => byte >> 1 & 7,
        value => value,
    };
    let mode = |byte: u8| byte >> 2 & 3;
    let mut antennas = antenna(cells.option(1019).await?);
    if antennas == 0 {
        antennas = antenna(cells.option(1018).await?);
    }
    let mut wireless = mode(cells.option(1021).await?);
    if wireless == 0 {
        wireless = mode(cells.option(1020).await?);
    }
    let chains = if antennas == 1 { 1 } else { chip.chains };
    Ok((chains, !(antennas == 2 && wireless == 2)))
}

/// The cells behind the control register.
struct Cells<'a> {
    regs: &'a Regs,
    /// What else the control register held when it was last looked at.
    control: u32,
    /// A byte was not there at once: each is waited for from now on.
    slow: bool,
}

impl Cells<'_> {
    /// The control register reads `value`.
    fn looked(&mut self, value: u32) -> u32 {
        self.control = value & !(bit::EF_FLAG | ADDRESS | bit::MASK_EF_DATA);
        value
    }

    async fn start(&self, cell: u16) -> Result<Reading<u32>, Error> {
        let address = u32::from(cell) << bit::SHIFT_EF_ADDR & ADDRESS;
        self.regs.write(sys::EFUSE_CTRL, self.control | address).await?;
        self.regs.start_read(sys::EFUSE_CTRL).await
    }

    /// Reads `cells` with all of them on their way together.
    async fn read_run(&mut self, cells: &[u16]) -> Result<Vec<u8>, Error> {
        let mut readings = Vec::with_capacity(cells.len());
        for cell in cells {
            readings.push(self.start(*cell).await?);
        }
        let mut bytes = Vec::with_capacity(cells.len());
        let mut ready = true;
        for reading in readings {
            let value = self.looked(reading.value().await?);
            ready &= value & bit::EF_FLAG != 0;
            if ready {
                bytes.push((value & bit::MASK_EF_DATA) as u8);
            }
        }
        if ready {
            return Ok(bytes);
        }
        self.slow = true;
        if cells.len() == 1 {
            // Nothing followed it: it only needs more time.
            return Ok(vec![self.wait().await?]);
        }
        // Once one was not ready, those after it may show another cell's data.
        for cell in &cells[bytes.len()..] {
            bytes.push(self.read(*cell).await?);
        }
        Ok(bytes)
    }

    /// Reads one cell, waiting as long as it takes.
    async fn read(&mut self, cell: u16) -> Result<u8, Error> {
        let value = self.start(cell).await?.value().await?;
        if self.looked(value) & bit::EF_FLAG == 0 {
            return self.wait().await;
        }
        Ok((value & bit::MASK_EF_DATA) as u8)
    }

    /// Reads an option cell. One whose byte never comes is blank, as for mainline's driver: a chip may have no cells
    /// but those of the list (rtw88 `efuse.c`, `rtw_read8_physical_efuse`, whose result nobody looks at).
    async fn option(&mut self, cell: u16) -> Result<u8, Error> {
        match self.read(cell).await {
            Err(error) if matches!(error.kind(), ErrorKind::Timeout { .. }) => {
                tracing::warn!(cell, "an option cell of the EFUSE cannot be read and counts as blank");
                Ok(u8::MAX)
            }
            read => read,
        }
    }

    async fn wait(&mut self) -> Result<u8, Error> {
        let flag = bit::EF_FLAG;
        let what = "the EFUSE cell's byte ready";
        let value = self.regs.poll(sys::EFUSE_CTRL, flag, flag, POLL_INTERVAL, POLL_TIMEOUT, what).await?;
        Ok((self.looked(value) & bit::MASK_EF_DATA) as u8)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::chip::Chip;
    use crate::regio::Io;
    use crate::regio::fake::FakeBus;

    /// Reads an EFUSE whose cells are blank; the byte comes for those of which `there` says so.
    fn read_where(there: fn(u32) -> bool) -> Result<Found, Error> {
        let fake = FakeBus::new();
        fake.answer(sys::EFUSE_CTRL.addr(), move |held| {
            let cell = (held & ADDRESS) >> bit::SHIFT_EF_ADDR;
            if there(cell) { held | bit::EF_FLAG | bit::MASK_EF_DATA } else { held }
        });
        let chip = Chip::Rtl8812au.info();
        block_on(read(&Regs::new(fake, Io::Posted, chip.shadow), chip))
    }

    #[test]
    fn w6_option_cells_that_a_chip_does_not_have_count_as_blank() {
        for there in [|_| true, |cell| cell < 512] {
            let found = read_where(there).unwrap();
            assert_eq!((found.chains, found.allows_80_mhz), (2, true));
        }
        // Those of the list it must have.
        let error = read_where(|cell| cell >= 512).err().unwrap();
        assert!(error.to_string().contains("the EFUSE cell's byte ready"), "{error}");
    }
}
