//! Bits of registers of the system block: power, clocks, pads, EFUSE, MCU (0x0000-0x00ff, 0x1000-0x10ff).

/// Bits of the register at 0x0002.
pub mod sys_func_en {
    /// The EFUSE loader has its function on (bit 12).
    pub const FEN_ELDR: u32 = 0x1000;
    /// The PCIe part has its function on (bit 6).
    pub const FEN_PCIEA: u32 = 0x40;
    /// In the upper byte: the MCU runs (bit 2).
    pub const FEN_CPUEN: u32 = 0x4;
    /// In the lower byte: the USB part's analogue half is on (bit 2).
    pub const FEN_USBA: u32 = 0x4;
    /// The baseband as a whole is out of reset (bit 1).
    pub const FEN_BB_GLB_RST: u32 = 0x2;
    /// The baseband's logic is out of reset (bit 0).
    pub const FEN_BB_RSTB: u32 = 0x1;
}

/// Bits of the register at 0x0004.
pub mod sys_pw_ctrl {
    /// Wake on WLAN (bit 3).
    pub const PFM_WOWL: u32 = 0x8;
    /// MAC power-off requested; falls when it is off (bit 9).
    pub const APFM_OFFMAC: u32 = 0x200;
}

/// Bits of the register at 0x0004.
pub mod aps_fsmco {
    /// MAC power-on requested; falls when it is on (bit 8).
    pub const APS_FSMCO_MAC_ENABLE: u32 = 0x100;
    /// MAC power-off requested; falls when it is off (bit 9).
    pub const APS_FSMCO_MAC_OFF: u32 = 0x200;
    /// The pin may power the chip down (bit 15).
    pub const APS_FSMCO_HW_POWERDOWN: u32 = 0x8000;
}

/// Bits of the register at 0x0008.
pub mod sys_clk_ctrl {
    /// The 3081's clock (bit 14).
    pub const CPU_CLK_EN: u32 = 0x4000;
}

/// Bits of the register at 0x0008.
pub mod sys_clkr {
    /// The 8 MHz clock (bit 1).
    pub const ANA8M: u32 = 0x2;
    /// The wake-up pad (bit 3).
    pub const WAKEPAD_EN: u32 = 0x8;
    /// The EFUSE loader's clock (bit 5).
    pub const LOADER_CLK_EN: u32 = 0x20;
}

/// Bits of the register at 0x001c.
pub mod rsv_ctrl {
    /// In the upper byte: the MCU's bus interface is open (bit 0).
    pub const WLMCU_IOIF: u32 = 0x1;
}

/// Bits of the register at 0x001f.
pub mod rf_ctrl {
    /// The sigma-delta modulator is out of reset (bit 2).
    pub const RF_SDM_RSTB: u32 = 0x4;
    /// The radio is out of reset (bit 1).
    pub const RF_RSTB: u32 = 0x2;
    /// The radio has its power (bit 0).
    pub const RF_EN: u32 = 0x1;
}

/// Bits of the register at 0x0024.
pub mod afe_ctrl1 {
    /// The MAC's clock (bits 21:20).
    pub const MAC_CLK_SEL: u32 = 0x300000;
}

/// Bits of the register at 0x0030.
pub mod efuse_ctrl {
    /// Reads: the byte is there; written as 0: read one (bit 31).
    pub const EF_FLAG: u32 = 0x80000000;
    /// Where the address starts.
    pub const SHIFT_EF_ADDR: u32 = 0x8;
    /// The address, once shifted down (bits 9:0).
    pub const MASK_EF_ADDR: u32 = 0x3ff;
    /// The byte (bits 7:0).
    pub const MASK_EF_DATA: u32 = 0xff;
}

/// Bits of the register at 0x0034.
pub mod ldo_efuse_ctrl {
    /// Which bank of fuses: 0 is Wi-Fi (bits 9:8).
    pub const MASK_EFUSE_BANK_SEL: u32 = 0x300;
}

/// Bits of the register at 0x0040.
pub mod gpio_muxcfg {
    /// Boot from flash (bit 19).
    pub const FSPI_EN: u32 = 0x80000;
    /// The serial debug interface on the pins (bit 12).
    pub const EN_SIC: u32 = 0x1000;
    /// Coexistence on the pins (bit 5).
    pub const BT_PTA_EN: u32 = 0x20;
    /// Front-end pins 4 and 5 (bit 2).
    pub const WLRFE_4_5_EN: u32 = 0x4;
}

/// Bits of the register at 0x004c.
pub mod led_cfg {
    /// `LNAON_SEL_EN` (bit 26).
    pub const LNAON_SEL_EN: u32 = 0x4000000;
    /// `PAPE_SEL_EN` (bit 25).
    pub const PAPE_SEL_EN: u32 = 0x2000000;
    /// `DPDT_WL_SEL` (bit 24).
    pub const DPDT_WL_SEL: u32 = 0x1000000;
    /// `DPDT_SEL_EN` (bit 23).
    pub const DPDT_SEL_EN: u32 = 0x800000;
}

/// Bits of the register at 0x0064.
pub mod pad_ctrl1 {
    /// `PAPE_WLBT_SEL` (bit 29).
    pub const PAPE_WLBT_SEL: u32 = 0x20000000;
    /// `LNAON_WLBT_SEL` (bit 28).
    pub const LNAON_WLBT_SEL: u32 = 0x10000000;
}

/// Bits of the register at 0x0068.
pub mod wl_bt_pwr_ctrl {
    /// `BT_FUNC_EN` (bit 18).
    pub const BT_FUNC_EN: u32 = 0x40000;
}

/// Bits of the register at 0x0070.
pub mod sys_sdio_ctrl {
    /// `LTE_MUX_CTRL_PATH` (bit 26).
    pub const LTE_MUX_CTRL_PATH: u32 = 0x4000000;
}

/// Bits of the register at 0x0074.
pub mod hci_opt_ctrl {
    /// No USB suspend (bit 8).
    pub const USB_SUS_DIS: u32 = 0x100;
    /// `SDIO_PAD_E5` (bit 18).
    pub const SDIO_PAD_E5: u32 = 0x40000;
}

/// Bits of the register at 0x007c.
pub mod ldo_swr_ctrl {
    /// Value: linear regulator.
    pub const LDO_SEL: u32 = 0xc3;
    /// Value: switching regulator.
    pub const SPS_SEL: u32 = 0x83;
}

/// Bits of the register at 0x0080.
pub mod mcufw_ctrl {
    /// Boot from flash (bit 20).
    pub const BOOT_FSPI_EN: u32 = 0x100000;
    /// Download into ROM's place (bit 19).
    pub const ROM_DLEN: u32 = 0x80000;
    /// The 4 KiB page that the window 0x1000 shows (bits 18:16).
    pub const ROM_PGE: u32 = 0x70000;
    /// Where the page starts.
    pub const SHIFT_ROM_PGE: u32 = 0x10;
    /// 3081: the image is in (bit 14).
    pub const FW_DW_RDY: u32 = 0x4000;
    /// Power-mode toggle (bit 7).
    pub const RPWM_TOGGLE: u32 = 0x80;
    /// 8051: the MCU runs from RAM; rises with the download (bit 7).
    pub const RAM_DL_SEL: u32 = 0x80;
    /// 3081: the data memory's sum is right (bit 6).
    pub const DMEM_CHKSUM_OK: u32 = 0x40;
    /// 8051: the firmware runs (bit 6).
    pub const WINTINI_RDY: u32 = 0x40;
    /// 3081: the data memory is in (bit 5).
    pub const DMEM_DW_OK: u32 = 0x20;
    /// 3081: the instruction memory's sum is right (bit 4).
    pub const IMEM_CHKSUM_OK: u32 = 0x10;
    /// 3081: the instruction memory is in (bit 3).
    pub const IMEM_DW_OK: u32 = 0x8;
    /// 8051: written as 1: begin the sum; reads: the sum is right (bit 2).
    pub const FWDL_CHK_RPT: u32 = 0x4;
    /// 8051: the image is in and may start (bit 1).
    pub const MCUFWDL_RDY: u32 = 0x2;
    /// The download is enabled (bit 0).
    pub const MCUFWDL_EN: u32 = 0x1;
    /// 3081: both sums.
    pub const CHECK_SUM_OK: u32 = 0x50;
}

/// Bits of the register at 0x0084.
pub mod mcu_tst_cfg {
    /// `VAL_FW_TRIGGER` (bit 0).
    pub const VAL_FW_TRIGGER: u32 = 0x1;
}

/// Bits of the register at 0x00c4.
pub mod pad_ctrl2 {
    /// `RSM_EN_V1` (bit 16).
    pub const RSM_EN_V1: u32 = 0x10000;
    /// `NO_PDN_CHIPOFF_V1` (bit 17).
    pub const NO_PDN_CHIPOFF_V1: u32 = 0x20000;
    /// `MASK_USB23_SW_MODE_V1` (bits 19:18).
    pub const MASK_USB23_SW_MODE_V1: u32 = 0xc0000;
    /// `USB3_USB2_TRANSITION` (bit 20).
    pub const USB3_USB2_TRANSITION: u32 = 0x100000;
    /// `USB_MODE_U3` (bit 1).
    pub const USB_MODE_U3: u32 = 0x2;
}

/// Bits of the register at 0x00cf.
pub mod efuse_access {
    /// Value: fuses may be accessed.
    pub const EFUSE_ACCESS_ON: u32 = 0x69;
    /// Value: they may not.
    pub const EFUSE_ACCESS_OFF: u32 = 0x0;
}

/// Bits of the register at 0x00ec.
pub mod wlrf1 {
    /// Baseband and radios (bits 26:24).
    pub const WLRF1_BBRF_EN: u32 = 0x7000000;
}

/// Bits of the register at 0x00f0.
pub mod sys_cfg1 {
    /// Not a test chip (bit 23).
    pub const RTL_ID: u32 = 0x800000;
    /// Supplied by the linear regulator (bit 24).
    pub const LDO: u32 = 0x1000000;
    /// Two radios (bit 27).
    pub const RF_TYPE_ID: u32 = 0x8000000;
}

/// Bits of the register at 0x1080.
pub mod cpu_dmem_con {
    /// `WL_PLATFORM_RST` (bit 16).
    pub const WL_PLATFORM_RST: u32 = 0x10000;
    /// `DDMA_EN` (bit 8).
    pub const DDMA_EN: u32 = 0x100;
}

/// Bits of the register at 0x10fc.
pub mod fw_dbg7 {
    /// `FW_KEY_MASK` (bits 31:8).
    pub const FW_KEY_MASK: u32 = 0xffffff00;
}
