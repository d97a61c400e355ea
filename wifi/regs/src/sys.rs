//! System block: power, clocks, pads, EFUSE, MCU (0x0000-0x00ff, 0x1000-0x10ff).

use crate::registers;

registers! {
    SYS_FUNC_EN: u16 = 0x0002;
    APS_FSMCO: u16 = 0x0004;
    SYS_PW_CTRL: u16 = 0x0004;
    SYS_CLKR: u16 = 0x0008;
    SYS_CLK_CTRL: u32 = 0x0008;
    RSV_CTRL: u8 = 0x001c;
    RF_CTRL: u8 = 0x001f;
    RF_CTRL1: u8 = 0x0020;
    RF_CTRL2: u8 = 0x0021;
    AFE_CTRL1: u32 = 0x0024;
    AFE_CTRL3: u32 = 0x002c;
    EFUSE_CTRL: u32 = 0x0030;
    LDO_EFUSE_CTRL: u32 = 0x0034;
    ACLK_MON: u8 = 0x003e;
    GPIO_MUXCFG: u32 = 0x0040;
    GPIO_PIN_CTRL: u32 = 0x0044;
    LED_CFG: u32 = 0x004c;
    GPIO_PIN_CTRL_2: u32 = 0x0060;
    PAD_CTRL1: u32 = 0x0064;
    WL_BT_PWR_CTRL: u32 = 0x0068;
    SYS_SDIO_CTRL: u32 = 0x0070;
    HCI_OPT_CTRL: u32 = 0x0074;
    RF_B_CTRL: u8 = 0x0076;
    RF_CTRL3: u8 = 0x0076;
    LDO_SWR_CTRL: u32 = 0x007c;
    MCUFW_CTRL: u32 = 0x0080;
    MCU_TST_CFG: u8 = 0x0084;
    WIFI_BT_INFO: u16 = 0x00aa;
    HIMR0: u32 = 0x00b0;
    HISR0: u32 = 0x00b4;
    HIMR1: u32 = 0x00b8;
    HISR1: u32 = 0x00bc;
    PAD_CTRL2: u32 = 0x00c4;
    EFUSE_ACCESS: u8 = 0x00cf;
    WLRF1: u32 = 0x00ec;
    SYS_CFG1: u32 = 0x00f0;
    SYS_STATUS1: u32 = 0x00f4;
    SYS_CFG2: u32 = 0x00fc;
    SYS_CFG3_8814A: u32 = 0x1000;
    CPU_DMEM_CON: u32 = 0x1080;
    SW_MDIO: u32 = 0x10c0;
    H2C_PKT_READADDR: u32 = 0x10d0;
    H2C_PKT_WRITEADDR: u32 = 0x10d4;
    FW_DBG6: u32 = 0x10f8;
    FW_DBG7: u32 = 0x10fc;
}
