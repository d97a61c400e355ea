//! Power: the steps from "card disabled" to a running MAC and back, for chips with a 3081.
//!
//! The sequences are data of the chip ([`ChipInfo::power_on`]); what is around them follows rtw88 `mac.c`,
//! `rtw_mac_power_on`, `rtw_mac_pre_system_cfg`, `rtw_mac_power_switch`, `__rtw_mac_init_system_cfg`.

use airlift_regs::bits::{
    cpu_dmem_con, gpio_muxcfg, led_cfg, mcufw_ctrl, pad_ctrl1, rf_ctrl, sys_func_en, wlrf1,
};
use airlift_regs::{mac, more, sys, usb};

use super::super::power::{CR_POWERED_OFF, run};
use crate::chip::{ChipInfo, Mac3081};
use crate::coex;
use crate::error::Error;
use crate::regio::Regs;

/// What MCUFW_CTRL reads while firmware runs.
const RUNNING: u16 = 0xc078;

/// Brings the MAC to "active". A chip that was left on is switched off first.
pub(in crate::driver) async fn power_on(regs: &Regs, chip: &ChipInfo, own: &Mac3081) -> Result<(), Error> {
    pre_config(regs).await?;
    if is_on(regs).await? {
        run(regs, chip.power_off).await?;
        regs.forget();
        pre_config(regs).await?;
    }
    run(regs, chip.power_on).await?;

    regs.set_bits(sys::CPU_DMEM_CON, cpu_dmem_con::DDMA_EN | cpu_dmem_con::WL_PLATFORM_RST).await?;
    regs.update_bytes(&[
        (sys::SYS_FUNC_EN.byte(1).addr(), own.functions, u8::MAX),
        (more::CR_EXT.byte(3).addr(), 0x0f, 0x0c),
    ])
    .await?;
    let boot = regs.read(sys::MCUFW_CTRL).await?;
    if boot & mcufw_ctrl::BOOT_FSPI_EN != 0 {
        // The MCU would boot from flash.
        regs.write(sys::MCUFW_CTRL, boot & !mcufw_ctrl::BOOT_FSPI_EN).await?;
        regs.clear_bits(sys::GPIO_MUXCFG, gpio_muxcfg::FSPI_EN).await?;
    }
    regs.barrier().await
}

/// Unlocks, gives the pins of amplifiers and front end to the radio, and switches baseband and radio off.
async fn pre_config(regs: &Regs) -> Result<(), Error> {
    regs.write(sys::RSV_CTRL, 0).await?;
    let clear = |addr, bits: u8| (addr, bits, 0);
    regs.update(&[
        (sys::PAD_CTRL1.addr(), pad_ctrl1::PAPE_WLBT_SEL | pad_ctrl1::LNAON_WLBT_SEL, u32::MAX),
        (sys::LED_CFG.addr(), led_cfg::PAPE_SEL_EN | led_cfg::LNAON_SEL_EN, 0),
        (sys::GPIO_MUXCFG.addr(), gpio_muxcfg::WLRFE_4_5_EN, u32::MAX),
        (sys::WLRF1.addr(), wlrf1::WLRF1_BBRF_EN, 0),
    ])
    .await?;
    regs.update_bytes(&[
        clear(
            sys::SYS_FUNC_EN.byte(0).addr(),
            (sys_func_en::FEN_BB_RSTB | sys_func_en::FEN_BB_GLB_RST) as u8,
        ),
        clear(sys::RF_CTRL.addr(), (rf_ctrl::RF_EN | rf_ctrl::RF_RSTB | rf_ctrl::RF_SDM_RSTB) as u8),
    ])
    .await
}

/// Whether the MAC has power. Firmware that still runs is woken, so that it lets go of the chip.
async fn is_on(regs: &Regs) -> Result<bool, Error> {
    let request = regs.start_read(usb::USB_HRPWM).await?;
    let mcu = regs.start_read(sys::MCUFW_CTRL.cast::<u16>(0)).await?;
    let cr = regs.start_read(mac::CR.byte(0)).await?;
    let (request, mcu, cr) = (request.value().await?, mcu.value().await?, cr.value().await?);
    if mcu == RUNNING {
        let toggle = mcufw_ctrl::RPWM_TOGGLE as u8;
        regs.write(usb::USB_HRPWM, !request & toggle).await?;
    }
    Ok(cr != CR_POWERED_OFF)
}

/// Switches off a chip that was up or on its way there (rtw88 `main.c`, `rtw_power_off`): before anything else Bluetooth is
/// told. A chip without power is left alone.
pub(in crate::driver) async fn power_off(regs: &Regs, chip: &ChipInfo, bt_coex: bool) -> Result<(), Error> {
    if regs.read(mac::CR.byte(0)).await? != CR_POWERED_OFF {
        coex::tell_power_off(regs, chip, bt_coex).await?;
    }
    mac_power_off(regs, chip).await
}

/// Switches the chip off, of which Bluetooth knows nothing yet (rtw88 `mac.c`, `rtw_mac_power_off`). A chip without power
/// is left alone.
pub(in crate::driver) async fn mac_power_off(regs: &Regs, chip: &ChipInfo) -> Result<(), Error> {
    if is_on(regs).await? {
        run(regs, chip.power_off).await?;
        regs.forget();
    }
    regs.barrier().await
}
