//! Bits and masks, one module a register, in the register's own numbering (bit 0 is the least significant bit of its first byte).

/// Bits of the register at 0x0002.
pub mod sys_func_en {
    /// `FEN_ELDR`.
    pub const FEN_ELDR: u32 = 0x1000;
    /// `FEN_PCIEA`.
    pub const FEN_PCIEA: u32 = 0x40;
    /// `FEN_CPUEN`.
    pub const FEN_CPUEN: u32 = 0x4;
    /// `FEN_USBA`.
    pub const FEN_USBA: u32 = 0x4;
    /// `FEN_BB_GLB_RST`.
    pub const FEN_BB_GLB_RST: u32 = 0x2;
    /// `FEN_BB_RSTB`.
    pub const FEN_BB_RSTB: u32 = 0x1;
}

/// Bits of the register at 0x0004.
pub mod sys_pw_ctrl {
    /// `PFM_WOWL`.
    pub const PFM_WOWL: u32 = 0x8;
    /// `APFM_OFFMAC`.
    pub const APFM_OFFMAC: u32 = 0x200;
}

/// Bits of the register at 0x0004.
pub mod aps_fsmco {
    /// `APS_FSMCO_MAC_ENABLE`.
    pub const APS_FSMCO_MAC_ENABLE: u32 = 0x100;
    /// `APS_FSMCO_MAC_OFF`.
    pub const APS_FSMCO_MAC_OFF: u32 = 0x200;
    /// `APS_FSMCO_HW_POWERDOWN`.
    pub const APS_FSMCO_HW_POWERDOWN: u32 = 0x8000;
}

/// Bits of the register at 0x0008.
pub mod sys_clk_ctrl {
    /// `CPU_CLK_EN`.
    pub const CPU_CLK_EN: u32 = 0x4000;
}

/// Bits of the register at 0x0008.
pub mod sys_clkr {
    /// `ANA8M`.
    pub const ANA8M: u32 = 0x2;
    /// `WAKEPAD_EN`.
    pub const WAKEPAD_EN: u32 = 0x8;
    /// `LOADER_CLK_EN`.
    pub const LOADER_CLK_EN: u32 = 0x20;
}

/// Bits of the register at 0x001c.
pub mod rsv_ctrl {
    /// `WLMCU_IOIF`.
    pub const WLMCU_IOIF: u32 = 0x1;
}

/// Bits of the register at 0x001f.
pub mod rf_ctrl {
    /// `RF_SDM_RSTB`.
    pub const RF_SDM_RSTB: u32 = 0x4;
    /// `RF_RSTB`.
    pub const RF_RSTB: u32 = 0x2;
    /// `RF_EN`.
    pub const RF_EN: u32 = 0x1;
}

/// Bits of the register at 0x0024.
pub mod afe_ctrl1 {
    /// `MAC_CLK_SEL`.
    pub const MAC_CLK_SEL: u32 = 0x300000;
}

/// Bits of the register at 0x0030.
pub mod efuse_ctrl {
    /// `EF_FLAG`.
    pub const EF_FLAG: u32 = 0x80000000;
    /// `SHIFT_EF_ADDR`.
    pub const SHIFT_EF_ADDR: u32 = 0x8;
    /// `MASK_EF_ADDR`.
    pub const MASK_EF_ADDR: u32 = 0x3ff;
    /// `MASK_EF_DATA`.
    pub const MASK_EF_DATA: u32 = 0xff;
}

/// Bits of the register at 0x0034.
pub mod ldo_efuse_ctrl {
    /// `MASK_EFUSE_BANK_SEL`.
    pub const MASK_EFUSE_BANK_SEL: u32 = 0x300;
}

/// Bits of the register at 0x0040.
pub mod gpio_muxcfg {
    /// `FSPI_EN`.
    pub const FSPI_EN: u32 = 0x80000;
    /// `EN_SIC`.
    pub const EN_SIC: u32 = 0x1000;
    /// `BT_PTA_EN`.
    pub const BT_PTA_EN: u32 = 0x20;
    /// `WLRFE_4_5_EN`.
    pub const WLRFE_4_5_EN: u32 = 0x4;
}

/// Bits of the register at 0x004c.
pub mod led_cfg {
    /// `LNAON_SEL_EN`.
    pub const LNAON_SEL_EN: u32 = 0x4000000;
    /// `PAPE_SEL_EN`.
    pub const PAPE_SEL_EN: u32 = 0x2000000;
    /// `DPDT_WL_SEL`.
    pub const DPDT_WL_SEL: u32 = 0x1000000;
    /// `DPDT_SEL_EN`.
    pub const DPDT_SEL_EN: u32 = 0x800000;
}

/// Bits of the register at 0x0064.
pub mod pad_ctrl1 {
    /// `PAPE_WLBT_SEL`.
    pub const PAPE_WLBT_SEL: u32 = 0x20000000;
    /// `LNAON_WLBT_SEL`.
    pub const LNAON_WLBT_SEL: u32 = 0x10000000;
}

/// Bits of the register at 0x0068.
pub mod wl_bt_pwr_ctrl {
    /// `BT_FUNC_EN`.
    pub const BT_FUNC_EN: u32 = 0x40000;
}

/// Bits of the register at 0x0070.
pub mod sys_sdio_ctrl {
    /// `LTE_MUX_CTRL_PATH`.
    pub const LTE_MUX_CTRL_PATH: u32 = 0x4000000;
}

/// Bits of the register at 0x0074.
pub mod hci_opt_ctrl {
    /// `USB_SUS_DIS`.
    pub const USB_SUS_DIS: u32 = 0x100;
    /// `SDIO_PAD_E5`.
    pub const SDIO_PAD_E5: u32 = 0x40000;
}

/// Bits of the register at 0x007c.
pub mod ldo_swr_ctrl {
    /// `LDO_SEL`.
    pub const LDO_SEL: u32 = 0xc3;
    /// `SPS_SEL`.
    pub const SPS_SEL: u32 = 0x83;
}

/// Bits of the register at 0x0080.
pub mod mcufw_ctrl {
    /// `BOOT_FSPI_EN`.
    pub const BOOT_FSPI_EN: u32 = 0x100000;
    /// `ROM_DLEN`.
    pub const ROM_DLEN: u32 = 0x80000;
    /// `ROM_PGE`.
    pub const ROM_PGE: u32 = 0x70000;
    /// `SHIFT_ROM_PGE`.
    pub const SHIFT_ROM_PGE: u32 = 0x10;
    /// `FW_DW_RDY`.
    pub const FW_DW_RDY: u32 = 0x4000;
    /// `RPWM_TOGGLE`.
    pub const RPWM_TOGGLE: u32 = 0x80;
    /// `RAM_DL_SEL`.
    pub const RAM_DL_SEL: u32 = 0x80;
    /// `DMEM_CHKSUM_OK`.
    pub const DMEM_CHKSUM_OK: u32 = 0x40;
    /// `WINTINI_RDY`.
    pub const WINTINI_RDY: u32 = 0x40;
    /// `DMEM_DW_OK`.
    pub const DMEM_DW_OK: u32 = 0x20;
    /// `IMEM_CHKSUM_OK`.
    pub const IMEM_CHKSUM_OK: u32 = 0x10;
    /// `IMEM_DW_OK`.
    pub const IMEM_DW_OK: u32 = 0x8;
    /// `FWDL_CHK_RPT`.
    pub const FWDL_CHK_RPT: u32 = 0x4;
    /// `MCUFWDL_RDY`.
    pub const MCUFWDL_RDY: u32 = 0x2;
    /// `MCUFWDL_EN`.
    pub const MCUFWDL_EN: u32 = 0x1;
    /// `CHECK_SUM_OK`.
    pub const CHECK_SUM_OK: u32 = 0x50;
}

/// Bits of the register at 0x0084.
pub mod mcu_tst_cfg {
    /// `VAL_FW_TRIGGER`.
    pub const VAL_FW_TRIGGER: u32 = 0x1;
}

/// Bits of the register at 0x00c4.
pub mod pad_ctrl2 {
    /// `RSM_EN_V1`.
    pub const RSM_EN_V1: u32 = 0x10000;
    /// `NO_PDN_CHIPOFF_V1`.
    pub const NO_PDN_CHIPOFF_V1: u32 = 0x20000;
    /// `MASK_USB23_SW_MODE_V1`.
    pub const MASK_USB23_SW_MODE_V1: u32 = 0xc0000;
    /// `USB3_USB2_TRANSITION`.
    pub const USB3_USB2_TRANSITION: u32 = 0x100000;
    /// `USB_MODE_U3`.
    pub const USB_MODE_U3: u32 = 0x2;
}

/// Bits of the register at 0x00cf.
pub mod efuse_access {
    /// `EFUSE_ACCESS_ON`.
    pub const EFUSE_ACCESS_ON: u32 = 0x69;
    /// `EFUSE_ACCESS_OFF`.
    pub const EFUSE_ACCESS_OFF: u32 = 0x0;
}

/// Bits of the register at 0x00ec.
pub mod wlrf1 {
    /// `WLRF1_BBRF_EN`.
    pub const WLRF1_BBRF_EN: u32 = 0x7000000;
}

/// Bits of the register at 0x00f0.
pub mod sys_cfg1 {
    /// `RTL_ID`.
    pub const RTL_ID: u32 = 0x800000;
    /// `LDO`.
    pub const LDO: u32 = 0x1000000;
    /// `RF_TYPE_ID`.
    pub const RF_TYPE_ID: u32 = 0x8000000;
}

/// Bits of the register at 0x0100.
pub mod cr {
    /// `32K_CAL_TMR_EN`.
    pub const CAL_32K_TMR_EN: u32 = 0x400;
    /// `MAC_SEC_EN`.
    pub const MAC_SEC_EN: u32 = 0x200;
    /// `ENSWBCN`.
    pub const ENSWBCN: u32 = 0x100;
    /// `MACRXEN`.
    pub const MACRXEN: u32 = 0x80;
    /// `MACTXEN`.
    pub const MACTXEN: u32 = 0x40;
    /// `SCHEDULE_EN`.
    pub const SCHEDULE_EN: u32 = 0x20;
    /// `PROTOCOL_EN`.
    pub const PROTOCOL_EN: u32 = 0x10;
    /// `RXDMA_EN`.
    pub const RXDMA_EN: u32 = 0x8;
    /// `TXDMA_EN`.
    pub const TXDMA_EN: u32 = 0x4;
    /// `HCI_RXDMA_EN`.
    pub const HCI_RXDMA_EN: u32 = 0x2;
    /// `HCI_TXDMA_EN`.
    pub const HCI_TXDMA_EN: u32 = 0x1;
}

/// Bits of the register at 0x0104.
pub mod pbp {
    /// `PBP_RX_MASK`.
    pub const PBP_RX_MASK: u32 = 0xf;
    /// `PBP_TX_MASK`.
    pub const PBP_TX_MASK: u32 = 0xf0;
    /// `PBP_64`.
    pub const PBP_64: u32 = 0x0;
    /// `PBP_512`.
    pub const PBP_512: u32 = 0x3;
}

/// Bits of the register at 0x010c.
pub mod txdma_pq_map {
    /// `RXDMA_ARBBW_EN`.
    pub const RXDMA_ARBBW_EN: u32 = 0x1;
    /// `RXDMA_AGG_EN`.
    pub const RXDMA_AGG_EN: u32 = 0x4;
    /// `SHIFT_MAC_CLK_SEL`.
    pub const SHIFT_MAC_CLK_SEL: u32 = 0x14;
    /// `MAC_CLK_HW_DEF_80M`.
    pub const MAC_CLK_HW_DEF_80M: u32 = 0x0;
    /// `MAC_CLK_SPEED`.
    pub const MAC_CLK_SPEED: u32 = 0x50;
}

/// Bits of the register at 0x0130.
pub mod fwimr {
    /// `FS_H2CCMD_INT_EN`.
    pub const FS_H2CCMD_INT_EN: u32 = 0x10;
    /// `FS_HRCV_INT_EN`.
    pub const FS_HRCV_INT_EN: u32 = 0x20;
}

/// Bits of the register at 0x0134.
pub mod fwisr {
    /// `FS_H2CCMD_INT`.
    pub const FS_H2CCMD_INT: u32 = 0x10;
    /// `FS_HRCV_INT`.
    pub const FS_HRCV_INT: u32 = 0x20;
}

/// Bits of the register at 0x01e0.
pub mod llt_init {
    /// `LLT_WRITE_ACCESS`.
    pub const LLT_WRITE_ACCESS: u32 = 0x40000000;
}

/// Bits of the register at 0x0204.
pub mod fifopage_ctrl_2 {
    /// `BCN_VALID_V1`.
    pub const BCN_VALID_V1: u32 = 0x8000;
    /// `MASK_BCN_HEAD_1_V1`.
    pub const MASK_BCN_HEAD_1_V1: u32 = 0xfff;
}

/// Bits of the register at 0x0208.
pub mod auto_llt_v1 {
    /// `AUTO_INIT_LLT_V1`.
    pub const AUTO_INIT_LLT_V1: u32 = 0x1;
    /// `MASK_BLK_DESC_NUM`.
    pub const MASK_BLK_DESC_NUM: u32 = 0xf0;
}

/// Bits of the register at 0x0208.
pub mod dwbcn0_ctrl {
    /// `BCN_VALID`.
    pub const BCN_VALID: u32 = 0x10000;
}

/// Bits of the register at 0x020c.
pub mod txdma_offset_chk {
    /// `DROP_DATA_EN`.
    pub const DROP_DATA_EN: u32 = 0x200;
}

/// Bits of the register at 0x0210.
pub mod txdma_status {
    /// `BTI_PAGE_OVF`.
    pub const BTI_PAGE_OVF: u32 = 0x4;
}

/// Bits of the register at 0x0224.
pub mod auto_llt {
    /// `AUTO_INIT_LLT`.
    pub const AUTO_INIT_LLT: u32 = 0x10000;
}

/// Bits of the register at 0x022c.
pub mod rqpn_ctrl_2 {
    /// `LD_RQPN`.
    pub const LD_RQPN: u32 = 0x80000000;
}

/// Bits of the register at 0x0280.
pub mod rxdma_agg_pg_th {
    /// `RXDMA_AGG_PG_TH`.
    pub const RXDMA_AGG_PG_TH: u32 = 0xff;
    /// `DMA_AGG_TO_V1`.
    pub const DMA_AGG_TO_V1: u32 = 0xff00;
}

/// Bits of the register at 0x0290.
pub mod rxdma_mode {
    /// `DMA_MODE`.
    pub const DMA_MODE: u32 = 0x2;
    /// `DMA_BURST_CNT`.
    pub const DMA_BURST_CNT: u32 = 0xc;
    /// `DMA_BURST_SIZE`.
    pub const DMA_BURST_SIZE: u32 = 0x30;
    /// `DMA_BURST_SIZE_64`.
    pub const DMA_BURST_SIZE_64: u32 = 0x2;
    /// `DMA_BURST_SIZE_512`.
    pub const DMA_BURST_SIZE_512: u32 = 0x1;
    /// `DMA_BURST_SIZE_1024`.
    pub const DMA_BURST_SIZE_1024: u32 = 0x0;
}

/// Bits of the register at 0x0420.
pub mod fwhw_txq_ctrl {
    /// `EN_BCNQ_DL`.
    pub const EN_BCNQ_DL: u32 = 0x400000;
    /// `EN_WR_FREE_TAIL`.
    pub const EN_WR_FREE_TAIL: u32 = 0x100000;
}

/// Bits of the register at 0x0454.
pub mod cck_check {
    /// `CHECK_CCK_EN`.
    pub const CHECK_CCK_EN: u32 = 0x80;
}

/// Bits of the register at 0x0494.
pub mod arfr3_v1 {
    /// `EXC_CODE`.
    pub const EXC_CODE: u32 = 0x7c;
}

/// Bits of the register at 0x04bc.
pub mod sw_ampdu_burst_mode_ctrl {
    /// `PRE_TX_CMD`.
    pub const PRE_TX_CMD: u32 = 0x40;
}

/// Bits of the register at 0x04c7.
pub mod single_ampdu_ctrl {
    /// `EN_SINGLE_APMDU`.
    pub const EN_SINGLE_APMDU: u32 = 0x80;
}

/// Bits of the register at 0x050c.
pub mod edca_bk_param {
    /// `MASK_TXOP_LMT`.
    pub const MASK_TXOP_LMT: u32 = 0x7ff0000;
    /// `MASK_CWMAX`.
    pub const MASK_CWMAX: u32 = 0xf000;
    /// `MASK_CWMIN`.
    pub const MASK_CWMIN: u32 = 0xf00;
    /// `MASK_AIFS`.
    pub const MASK_AIFS: u32 = 0xff;
}

/// Bits of the register at 0x0522.
pub mod txpause {
    /// `HIGH_QUEUE`.
    pub const HIGH_QUEUE: u32 = 0x20;
}

/// Bits of the register at 0x0550.
pub mod bcn_ctrl {
    /// `DIS_TSF_UDT`.
    pub const DIS_TSF_UDT: u32 = 0x10;
    /// `EN_BCN_FUNCTION`.
    pub const EN_BCN_FUNCTION: u32 = 0x8;
}

/// Bits of the register at 0x0577.
pub mod misc_ctrl {
    /// `DIS_SECOND_CCA`.
    pub const DIS_SECOND_CCA: u32 = 0x3;
}

/// Bits of the register at 0x0604.
pub mod tcr {
    /// `TCR_UPDATE_TIMIE`.
    pub const TCR_UPDATE_TIMIE: u32 = 0x20;
    /// `TCR_UPDATE_HGQMD`.
    pub const TCR_UPDATE_HGQMD: u32 = 0x10;
}

/// Bits of the register at 0x0608.
pub mod rcr {
    /// `APP_FCS`.
    pub const APP_FCS: u32 = 0x80000000;
    /// `APP_MIC`.
    pub const APP_MIC: u32 = 0x40000000;
    /// `APP_ICV`.
    pub const APP_ICV: u32 = 0x20000000;
    /// `APP_PHYSTS`.
    pub const APP_PHYSTS: u32 = 0x10000000;
    /// `VHT_DACK`.
    pub const VHT_DACK: u32 = 0x4000000;
    /// `PKTCTL_DLEN`.
    pub const PKTCTL_DLEN: u32 = 0x100000;
    /// `DISGCLK`.
    pub const DISGCLK: u32 = 0x80000;
    /// `HTC_LOC_CTRL`.
    pub const HTC_LOC_CTRL: u32 = 0x4000;
    /// `ACRC32`.
    pub const ACRC32: u32 = 0x100;
    /// `CBSSID_BCN`.
    pub const CBSSID_BCN: u32 = 0x80;
    /// `CBSSID_DATA`.
    pub const CBSSID_DATA: u32 = 0x40;
    /// `AB`.
    pub const AB: u32 = 0x8;
    /// `AM`.
    pub const AM: u32 = 0x4;
    /// `APM`.
    pub const APM: u32 = 0x2;
    /// `AAP`.
    pub const AAP: u32 = 0x1;
}

/// Bits of the register at 0x060f.
pub mod rx_drvinfo_sz {
    /// `APP_PHYSTS`.
    pub const APP_PHYSTS: u32 = 0x10000000;
}

/// Bits of the register at 0x0668.
pub mod wmac_trxptcl_ctl {
    /// `RFMOD`.
    pub const RFMOD: u32 = 0x180;
    /// `RFMOD_80M`.
    pub const RFMOD_80M: u32 = 0x100;
    /// `RFMOD_40M`.
    pub const RFMOD_40M: u32 = 0x80;
}

/// Bits of the register at 0x0765.
pub mod gnt_bt {
    /// `PTA_SW_CTL`.
    pub const PTA_SW_CTL: u32 = 0x18;
}

/// Bits of the register at 0x076e.
pub mod bt_coex_enh_intr_ctrl {
    /// `R_GRANTALL_WLMASK`.
    pub const R_GRANTALL_WLMASK: u32 = 0x8;
    /// `STATIS_BT_EN`.
    pub const STATIS_BT_EN: u32 = 0x4;
}

/// Bits of the register at 0x0790.
pub mod bt_tdma_time {
    /// `MASK_SAMPLE_RATE`.
    pub const MASK_SAMPLE_RATE: u32 = 0x3f;
}

/// Bits of the register at 0x0804.
pub mod cck_rpt_format {
    /// `CCK_RPT_FORMAT`.
    pub const CCK_RPT_FORMAT: u32 = 0x10000;
}

/// Bits of the register at 0x0808.
pub mod rxpsel {
    /// `RX_PSEL_RST`.
    pub const RX_PSEL_RST: u32 = 0x30000000;
}

/// Bits of the register at 0x087c.
pub mod nbi_setting {
    /// `NBI_ENABLE`.
    pub const NBI_ENABLE: u32 = 0x2000;
}

/// Bits of the register at 0x0910.
pub mod psd {
    /// `PSD_INI`.
    pub const PSD_INI: u32 = 0xc00000;
}

/// Bits of the register at 0x0a00.
pub mod rxsb {
    /// `RXSB_ANA_DIV`.
    pub const RXSB_ANA_DIV: u32 = 0x8000;
}

/// Bits of the register at 0x0a14.
pub mod prectrl {
    /// `DIS_CO_PATHSEL`.
    pub const DIS_CO_PATHSEL: u32 = 0x80;
    /// `IQ_WGT`.
    pub const IQ_WGT: u32 = 0x300;
}

/// Bits of the register at 0x0a20.
pub mod cca_mf {
    /// `MBC_WIN`.
    pub const MBC_WIN: u32 = 0x30;
}

/// Bits of the register at 0x0a2c.
pub mod cck0_fareport {
    /// `CCK0_2RX`.
    pub const CCK0_2RX: u32 = 0x40000;
    /// `CCK0_MRC`.
    pub const CCK0_MRC: u32 = 0x400000;
}

/// Bits of the register at 0x0a70.
pub mod cca {
    /// `CCA_CO`.
    pub const CCA_CO: u32 = 0x80;
}

/// Bits of the register at 0x0a74.
pub mod antsel {
    /// `ANT_BYCO`.
    pub const ANT_BYCO: u32 = 0x100;
}

/// Bits of the register at 0x0a84.
pub mod ccktx {
    /// `CMB_CCA_2R`.
    pub const CMB_CCA_2R: u32 = 0x10000000;
}

/// Bits of the register at 0x0c1c.
pub mod txscale_a {
    /// `BB_SWING_MASK`.
    pub const BB_SWING_MASK: u32 = 0xffe00000;
}

/// Bits of the register at 0x0cb4.
pub mod rfe_ctrl8 {
    /// `PTA_CTRL_PIN`.
    pub const PTA_CTRL_PIN: u32 = 0x66;
    /// `DPDT_CTRL_PIN`.
    pub const DPDT_CTRL_PIN: u32 = 0x77;
    /// `RFE_INV_MASK`.
    pub const RFE_INV_MASK: u32 = 0x3ff00000;
}

/// Bits of the register at 0x1080.
pub mod cpu_dmem_con {
    /// `WL_PLATFORM_RST`.
    pub const WL_PLATFORM_RST: u32 = 0x10000;
    /// `DDMA_EN`.
    pub const DDMA_EN: u32 = 0x100;
}

/// Bits of the register at 0x10fc.
pub mod fw_dbg7 {
    /// `FW_KEY_MASK`.
    pub const FW_KEY_MASK: u32 = 0xffffff00;
}

/// Bits of the register at 0x1138.
pub mod ft1imr {
    /// `FS_H2C_CMD_OK_INT_EN`.
    pub const FS_H2C_CMD_OK_INT_EN: u32 = 0x2000000;
}

/// Bits of the register at 0x113c.
pub mod ft1isr {
    /// `FS_H2C_CMD_OK_INT`.
    pub const FS_H2C_CMD_OK_INT: u32 = 0x2000000;
}

/// Bits of the register at 0x1208.
pub mod ddma_ch0ctrl {
    /// `DDMACH0_OWN`.
    pub const DDMACH0_OWN: u32 = 0x80000000;
    /// `DDMACH0_CHKSUM_EN`.
    pub const DDMACH0_CHKSUM_EN: u32 = 0x20000000;
    /// `DDMACH0_CHKSUM_STS`.
    pub const DDMACH0_CHKSUM_STS: u32 = 0x8000000;
    /// `DDMACH0_DDMA_MODE`.
    pub const DDMACH0_DDMA_MODE: u32 = 0x4000000;
    /// `DDMACH0_RESET_CHKSUM_STS`.
    pub const DDMACH0_RESET_CHKSUM_STS: u32 = 0x2000000;
    /// `DDMACH0_CHKSUM_CONT`.
    pub const DDMACH0_CHKSUM_CONT: u32 = 0x1000000;
    /// `MASK_DDMACH0_DLEN`.
    pub const MASK_DDMACH0_DLEN: u32 = 0x3ffff;
}

/// Bits of the register at 0x1330.
pub mod h2cq_csr {
    /// `H2CQ_FULL`.
    pub const H2CQ_FULL: u32 = 0x80000000;
}

/// Bits of the register at 0x1abc.
pub mod rfe_invsel_d {
    /// `RFE_SELSW0_D`.
    pub const RFE_SELSW0_D: u32 = 0xff00000;
}

/// Bits of the register at 0x2d38.
pub mod edcca_report {
    /// `EDCCA_FLAG`.
    pub const EDCCA_FLAG: u32 = 0x1000000;
}

/// Bits of the register at 0xfe42.
pub mod usb2_phy_cmd {
    /// `USB2_PHY_CMD_TRG`.
    pub const USB2_PHY_CMD_TRG: u32 = 0x81;
}

/// Bits of the register at 0xff0e.
pub mod usb3_phy_dat_h {
    /// `USB3_PHY_ADR_WR`.
    pub const USB3_PHY_ADR_WR: u32 = 0x80;
    /// `RF_DTXLOK`.
    pub const RF_DTXLOK: u32 = 0x8;
    /// `RF_CFGCH`.
    pub const RF_CFGCH: u32 = 0x18;
    /// `RF18_BAND_MASK`.
    pub const RF18_BAND_MASK: u32 = 0x10300;
    /// `RF18_RFSI_MASK`.
    pub const RF18_RFSI_MASK: u32 = 0x60000;
    /// `RF_RCK1_V1`.
    pub const RF_RCK1_V1: u32 = 0x1c;
    /// `RF_MODE_TABLE_ADDR`.
    pub const RF_MODE_TABLE_ADDR: u32 = 0x30;
    /// `RF_MODE_TABLE_DATA0`.
    pub const RF_MODE_TABLE_DATA0: u32 = 0x31;
    /// `RF_MODE_TABLE_DATA1`.
    pub const RF_MODE_TABLE_DATA1: u32 = 0x32;
    /// `RF_T_METER`.
    pub const RF_T_METER: u32 = 0x42;
    /// `RF_GAINTX`.
    pub const RF_GAINTX: u32 = 0x56;
    /// `RF_TXMOD`.
    pub const RF_TXMOD: u32 = 0x58;
    /// `RF_TXA_PREPAD`.
    pub const RF_TXA_PREPAD: u32 = 0x65;
    /// `RF_RXBB2`.
    pub const RF_RXBB2: u32 = 0x8f;
    /// `RF_LCK`.
    pub const RF_LCK: u32 = 0xb4;
    /// `RF_LUTDBG`.
    pub const RF_LUTDBG: u32 = 0xdf;
    /// `RF_LUTWE`.
    pub const RF_LUTWE: u32 = 0xef;
    /// `RTW_USB_MAX_RXTX_COUNT`.
    pub const RTW_USB_MAX_RXTX_COUNT: u32 = 0x80;
    /// `RTW_USB_CMD_READ`.
    pub const RTW_USB_CMD_READ: u32 = 0xc0;
    /// `RTW_USB_CMD_WRITE`.
    pub const RTW_USB_CMD_WRITE: u32 = 0x40;
    /// `RTW_USB_CMD_REQ`.
    pub const RTW_USB_CMD_REQ: u32 = 0x5;
    /// `RTW_USB_VENQT_CMD_IDX`.
    pub const RTW_USB_VENQT_CMD_IDX: u32 = 0x0;
    /// `RTW_USB_MAX_RECVBUF_SZ`.
    pub const RTW_USB_MAX_RECVBUF_SZ: u32 = 0x8000;
    /// `RTW_USB_RXCB_NUM`.
    pub const RTW_USB_RXCB_NUM: u32 = 0x4;
    /// `RTW_USB_RX_SKB_NUM`.
    pub const RTW_USB_RX_SKB_NUM: u32 = 0x8;
}
