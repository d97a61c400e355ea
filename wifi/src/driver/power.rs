//! Power: the steps from "card disabled" to a running MAC and back.
//!
//! The sequences are data of the chip ([`ChipInfo::power_on`]); what is around them follows rtw88 `mac.c`
//! (`rtw_mac_power_on`, `rtw_mac_pre_system_cfg`, `rtw_pwr_seq_parser`) and `rtw88xxa.c` (`rtw88xxa_power_on`,
//! `rtw88xxau_hw_reset`, `rtw88xxa_power_off`). Mainline powers a chip up twice, once to read its EFUSE and once
//! when the interface goes up; here it is done once, with the lasting writes of both.

use core::time::Duration;

use airlift_hcd::Speed;
use airlift_regs::{Reg, bb, bits, mac, name_of, sys, usb};

use crate::chip::{ChipInfo, Mac8051, PowerStep};
use crate::coex;
use crate::error::{Error, ErrorKind};
use crate::regio::Regs;

/// rtw88 `mac.c`, `do_pwr_poll_cmd`: every 50 us, 20,000 times.
const POLL_INTERVAL: Duration = Duration::from_micros(50);
const POLL_TIMEOUT: Duration = Duration::from_secs(1);

/// Bit of LDO_SWR_CTRL that [`Mac8051::trims_supply`] is about.
const SUPPLY_TRIM: u8 = 0x40;

/// What CR reads while the MAC has no power.
pub(super) const CR_POWERED_OFF: u8 = 0xea;

/// What the chip says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    pub(super) cut: u8,
    /// The chip feeds itself from its own regulator.
    own_regulator: bool,
    /// Its supply may want trimming ([`Mac8051::trims_supply`]).
    trimmed_supply: bool,
}

/// Reads and checks the chip's version register.
pub(super) async fn identify(regs: &Regs, chip: &ChipInfo) -> Result<Version, Error> {
    let version = regs.read(sys::SYS_CFG1).await?;
    // A bus that answers with all zeros or all ones has no chip behind it.
    if version == 0 || version == u32::MAX {
        return Err(regs.error(ErrorKind::Unexpected {
            register: sys::SYS_CFG1.addr(),
            got: version,
            expected: "the version of a chip",
        }));
    }
    let cut = u8::try_from(version >> 12 & 0xf).unwrap_or(0);
    Ok(Version {
        cut: cut + chip.cut_offset,
        own_regulator: version & bits::sys_cfg1::LDO != 0,
        trimmed_supply: version & 1 << 24 != 0,
    })
}

/// Brings the MAC to "active". A chip that was left on is switched off first.
pub(super) async fn power_on(
    regs: &Regs,
    chip: &ChipInfo,
    own: &Mac8051,
    version: Version,
) -> Result<(), Error> {
    pre_config(regs, version).await?;
    if is_on(regs).await? {
        run(regs, chip.power_off).await?;
        regs.forget();
        pre_config(regs, version).await?;
    }

    if own.releases_radios {
        for (reg, value) in [(sys::RF_CTRL, 5), (sys::RF_CTRL, 7), (sys::RF_B_CTRL, 5), (sys::RF_B_CTRL, 7)] {
            regs.write(reg, value).await?;
        }
    }
    hardware_reset(regs, own).await?;
    run(regs, chip.power_on).await?;

    regs.set_bits(sys::SYS_CLKR.cast::<u8>(0), bits::sys_clkr::WAKEPAD_EN as u8).await?;
    regs.clear_bits(sys::GPIO_MUXCFG.cast::<u16>(0), bits::gpio_muxcfg::EN_SIC as u16).await?;

    let cr = mac::CR.cast::<u16>(0);
    regs.write(cr, 0).await?;
    let enable = bits::cr::HCI_TXDMA_EN
        | bits::cr::HCI_RXDMA_EN
        | bits::cr::TXDMA_EN
        | bits::cr::RXDMA_EN
        | bits::cr::PROTOCOL_EN
        | bits::cr::SCHEDULE_EN
        | bits::cr::MAC_SEC_EN
        | bits::cr::CAL_32K_TMR_EN;
    regs.set_bits(cr, enable as u16).await?;
    if own.trims_supply && version.trimmed_supply {
        regs.set_bits(sys::LDO_SWR_CTRL.byte(0), SUPPLY_TRIM).await?;
    }
    regs.barrier().await
}

/// rtw88 `mac.c`, `rtw_mac_pre_system_cfg`: unlock, and choose between regulator and switching supply.
async fn pre_config(regs: &Regs, version: Version) -> Result<(), Error> {
    regs.write(sys::RSV_CTRL, 0).await?;
    let supply =
        if version.own_regulator { bits::ldo_swr_ctrl::LDO_SEL } else { bits::ldo_swr_ctrl::SPS_SEL };
    regs.write(sys::LDO_SWR_CTRL.cast::<u8>(0), supply as u8).await
}

/// rtw88 `mac.c`, `rtw_mac_power_switch`: two registers tell whether the MAC has power.
async fn is_on(regs: &Regs) -> Result<bool, Error> {
    let cr = regs.start_read(mac::CR.byte(0)).await?;
    let status = regs.start_read(sys::SYS_STATUS1.byte(1)).await?;
    let (cr, status) = (cr.value().await?, status.value().await?);
    Ok(cr != CR_POWERED_OFF && status & 1 == 0)
}

/// Resets a chip whose MCU still runs from an earlier life (rtw88 `rtw88xxau_hw_reset`).
async fn hardware_reset(regs: &Regs, own: &Mac8051) -> Result<(), Error> {
    let mcu = regs.read(sys::MCUFW_CTRL.byte(0)).await?;
    if u32::from(mcu) & bits::mcufw_ctrl::RAM_DL_SEL == 0 {
        return Ok(());
    }
    reset_mcu(regs, own).await?;
    regs.write(sys::MCUFW_CTRL.byte(0), 0).await?;
    // The baseband's clock is gated before its reset.
    regs.set_bits(bb::FPGA0_XCD_RF_PARA, 1 << 6).await?;
    regs.clear_bits(sys::SYS_FUNC_EN.byte(0), 0x03).await?;
    regs.write(sys::RF_CTRL, 0).await?;
    regs.write(mac::CR.cast::<u16>(0), 0).await?;

    let fsm = sys::APS_FSMCO.byte(1);
    let off = (bits::aps_fsmco::APS_FSMCO_MAC_OFF >> 8) as u8;
    regs.set_bits(fsm, off).await?;
    let value = regs.poll(fsm, off, 0, POLL_INTERVAL, POLL_TIMEOUT, "MAC switched off").await?;
    regs.write(fsm, value | (bits::aps_fsmco::APS_FSMCO_MAC_ENABLE >> 8) as u8).await?;

    let enable = sys::SYS_FUNC_EN.byte(1);
    regs.clear_bits(enable, 0x90).await?;
    regs.set_bits(enable, 0x90).await?;
    regs.forget();
    Ok(())
}

/// Resets the 8051 and its bus wrapper (rtw88 `rtw88xxa_reset_8051`).
async fn reset_mcu(regs: &Regs, own: &Mac8051) -> Result<(), Error> {
    let wrapper = 1 << own.wrapper_bit;
    regs.clear_bits(sys::RSV_CTRL, 0x02).await?;
    regs.clear_bits(sys::RSV_CTRL.byte(1), wrapper).await?;
    let enable = sys::SYS_FUNC_EN.byte(1);
    regs.clear_bits(enable, 0x04).await?;
    regs.clear_bits(sys::RSV_CTRL, 0x02).await?;
    regs.set_bits(sys::RSV_CTRL.byte(1), wrapper).await?;
    regs.set_bits(enable, 0x04).await
}

/// Switches the chip off (rtw88 `rtw88xxa_power_off`). A chip without power is left alone.
pub(super) async fn power_off(
    regs: &Regs,
    chip: &ChipInfo,
    own: &Mac8051,
    speed: Speed,
    bt_coex: bool,
) -> Result<(), Error> {
    release_forced(regs, chip).await?;
    let cr = regs.read(mac::CR.byte(0)).await?;
    if cr == 0 || cr == CR_POWERED_OFF {
        return Ok(());
    }
    if !bt_coex {
        regs.clear_bits(sys::GPIO_MUXCFG.cast::<u16>(0), bits::gpio_muxcfg::EN_SIC as u16).await?;
    }
    if speed == Speed::Super {
        // U1 and U2 are allowed again.
        regs.set_bits(usb::USB_MOD, 0x18).await?;
    }
    regs.write(sys::HISR0, u32::MAX).await?;
    regs.write(sys::HISR1, u32::MAX).await?;
    regs.write(sys::HIMR0, 0).await?;
    regs.write(sys::HIMR1, 0).await?;
    coex::tell_power_off(regs, chip, bt_coex).await?;

    let powerdown = bits::aps_fsmco::APS_FSMCO_HW_POWERDOWN as u16;
    let fsm = regs.read(sys::APS_FSMCO).await?;
    regs.write(sys::APS_FSMCO, fsm & !powerdown).await?;
    regs.clear_bits(mac::TX_RPT_CTRL, 0x02).await?;
    // No more frames from here on.
    regs.write(mac::CR.byte(0), 0).await?;

    // Should its queues not run empty, it is switched off all the same, as by mainline's driver.
    match run(regs, chip.enter_lps).await {
        Err(error) if matches!(error.kind(), ErrorKind::Timeout { .. }) => {
            tracing::warn!(%error, "switching off in spite of it");
        }
        done => done?,
    }
    let mcu = regs.read(sys::MCUFW_CTRL.byte(0)).await?;
    if u32::from(mcu) & bits::mcufw_ctrl::RAM_DL_SEL != 0 {
        reset_mcu(regs, own).await?;
    }
    regs.clear_bits(sys::SYS_FUNC_EN.byte(1), 0x04).await?;
    regs.write(sys::MCUFW_CTRL.byte(0), 0).await?;
    run(regs, chip.power_off).await?;
    if fsm & powerdown != 0 {
        regs.set_bits(sys::APS_FSMCO, powerdown).await?;
    }
    regs.forget();
    regs.barrier().await
}

/// Releases the clocks that a broken-off power-on left forced: with them no MAC register may be looked at.
async fn release_forced(regs: &Regs, chip: &ChipInfo) -> Result<(), Error> {
    for &(addr, forced) in chip.power_forced {
        let value = regs.read_at::<u8>(addr).await?;
        if value & forced != 0 {
            regs.write_at::<u8>(addr, value & !forced).await?;
        }
    }
    Ok(())
}

/// Runs a sequence. Writes between two polls go to different registers mostly; their old values are then asked
/// for together.
pub(super) async fn run(regs: &Regs, steps: &[PowerStep]) -> Result<(), Error> {
    let mut batch: Vec<(u16, u8, u8)> = Vec::new();
    for step in steps {
        match *step {
            PowerStep::Write { addr, mask, value } => {
                if batch.iter().any(|(other, ..)| *other == addr) {
                    regs.update_bytes(&core::mem::take(&mut batch)).await?;
                }
                batch.push((addr, mask, value));
            }
            PowerStep::Poll { addr, mask, value } => {
                regs.update_bytes(&core::mem::take(&mut batch)).await?;
                tracing::trace!(register = %name_of(addr), mask, value, "waiting for the power sequence");
                let reg = Reg::<u8>::new(addr);
                regs.poll(reg, mask, value, POLL_INTERVAL, POLL_TIMEOUT, "power sequence").await?;
            }
            PowerStep::Delay(time) => {
                regs.update_bytes(&core::mem::take(&mut batch)).await?;
                regs.delay(time).await?;
            }
        }
    }
    regs.update_bytes(&batch).await
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::chip::{Chip, Mac};
    use crate::regio::Io;
    use crate::regio::fake::FakeBus;

    #[test]
    fn a4_a_chip_whose_queues_do_not_run_empty_is_switched_off_all_the_same() {
        for chip in [Chip::Rtl8812au.info(), Chip::Rtl8821au.info()] {
            let Mac::With8051(own) = &chip.mac else { unreachable!("they have an 8051") };
            let fake = FakeBus::new();
            fake.poke(mac::CR.addr(), &[0xff]);
            fake.answer(0x05f8, |_| 1);
            // Bit 1 starts the switching off, and falls when it is done.
            fake.answer(0x0005, |held| held & !2);
            let regs = Regs::new(fake.clone(), Io::Posted, chip.shadow);
            block_on(power_off(&regs, chip, own, Speed::High, false)).unwrap();
            let writes = fake.take_writes();
            assert!(writes.iter().any(|(addr, data)| *addr == 0x0005 && data[0] & 2 != 0), "{writes:02x?}");
            // Whether it was switched off is not left to chance.
            fake.poke(mac::CR.addr(), &[0xff]);
            fake.answer(0x0005, |held| held | 2);
            let error = block_on(power_off(&regs, chip, own, Speed::High, false)).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout { register: 0x0005, .. }), "{error}");
        }
    }
}
