//! Bits and masks, one module a register, in the register's own numbering (bit 0 is the least significant bit of its first byte).

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

/// Bits of the register at 0x0100.
pub mod cr {
    /// Calibration of the 32 kHz timer (bit 10).
    pub const CAL_32K_TMR_EN: u32 = 0x400;
    /// The security engine (bit 9).
    pub const MAC_SEC_EN: u32 = 0x200;
    /// Beacons from software (bit 8).
    pub const ENSWBCN: u32 = 0x100;
    /// The receiver (bit 7).
    pub const MACRXEN: u32 = 0x80;
    /// The transmitter (bit 6).
    pub const MACTXEN: u32 = 0x40;
    /// The transmit scheduler (bit 5).
    pub const SCHEDULE_EN: u32 = 0x20;
    /// The protocol engine (bit 4).
    pub const PROTOCOL_EN: u32 = 0x10;
    /// Receive DMA (bit 3).
    pub const RXDMA_EN: u32 = 0x8;
    /// Transmit DMA (bit 2).
    pub const TXDMA_EN: u32 = 0x4;
    /// Receive DMA on the host's side (bit 1).
    pub const HCI_RXDMA_EN: u32 = 0x2;
    /// Transmit DMA on the host's side (bit 0).
    pub const HCI_TXDMA_EN: u32 = 0x1;
}

/// Bits of the register at 0x0104.
pub mod pbp {
    /// Size of a receive page (bits 3:0).
    pub const PBP_RX_MASK: u32 = 0xf;
    /// Size of a transmit page (bits 7:4).
    pub const PBP_TX_MASK: u32 = 0xf0;
    /// Value: 64 bytes.
    pub const PBP_64: u32 = 0x0;
    /// Value: 512 bytes.
    pub const PBP_512: u32 = 0x3;
}

/// Bits of the register at 0x010c.
pub mod txdma_pq_map {
    /// Bandwidth arbitration of receive DMA (bit 0).
    pub const RXDMA_ARBBW_EN: u32 = 0x1;
    /// Received packets are aggregated (bit 2).
    pub const RXDMA_AGG_EN: u32 = 0x4;
    /// Where the MAC clock's field starts (of AFE_CTRL1).
    pub const SHIFT_MAC_CLK_SEL: u32 = 0x14;
    /// Value: 80 MHz.
    pub const MAC_CLK_HW_DEF_80M: u32 = 0x0;
    /// 80, in MHz, for the timers' microsecond.
    pub const MAC_CLK_SPEED: u32 = 0x50;
}

/// Bits of the register at 0x0130.
pub mod fwimr {
    /// `FS_H2CCMD_INT_EN` (bit 4).
    pub const FS_H2CCMD_INT_EN: u32 = 0x10;
    /// `FS_HRCV_INT_EN` (bit 5).
    pub const FS_HRCV_INT_EN: u32 = 0x20;
}

/// Bits of the register at 0x0134.
pub mod fwisr {
    /// `FS_H2CCMD_INT` (bit 4).
    pub const FS_H2CCMD_INT: u32 = 0x10;
    /// `FS_HRCV_INT` (bit 5).
    pub const FS_HRCV_INT: u32 = 0x20;
}

/// Bits of the register at 0x01e0.
pub mod llt_init {
    /// Write an entry; falls when it is written (bit 30).
    pub const LLT_WRITE_ACCESS: u32 = 0x40000000;
}

/// Bits of the register at 0x0204.
pub mod fifopage_ctrl_2 {
    /// `BCN_VALID_V1` (bit 15).
    pub const BCN_VALID_V1: u32 = 0x8000;
    /// `MASK_BCN_HEAD_1_V1` (bits 11:0).
    pub const MASK_BCN_HEAD_1_V1: u32 = 0xfff;
}

/// Bits of the register at 0x0208.
pub mod auto_llt_v1 {
    /// `AUTO_INIT_LLT_V1` (bit 0).
    pub const AUTO_INIT_LLT_V1: u32 = 0x1;
    /// `MASK_BLK_DESC_NUM` (bits 7:4).
    pub const MASK_BLK_DESC_NUM: u32 = 0xf0;
}

/// Bits of the register at 0x0208.
pub mod dwbcn0_ctrl {
    /// A reserved page has arrived; cleared by writing 1 (bit 16).
    pub const BCN_VALID: u32 = 0x10000;
}

/// Bits of the register at 0x020c.
pub mod txdma_offset_chk {
    /// Drop what does not fit (bit 9).
    pub const DROP_DATA_EN: u32 = 0x200;
}

/// Bits of the register at 0x0210.
pub mod txdma_status {
    /// `BTI_PAGE_OVF` (bit 2).
    pub const BTI_PAGE_OVF: u32 = 0x4;
}

/// Bits of the register at 0x0224.
pub mod auto_llt {
    /// `AUTO_INIT_LLT` (bit 16).
    pub const AUTO_INIT_LLT: u32 = 0x10000;
}

/// Bits of the register at 0x022c.
pub mod rqpn_ctrl_2 {
    /// Load the queues' pages (bit 31).
    pub const LD_RQPN: u32 = 0x80000000;
}

/// Bits of the register at 0x0280.
pub mod rxdma_agg_pg_th {
    /// Size at which an aggregate ends (bits 7:0).
    pub const RXDMA_AGG_PG_TH: u32 = 0xff;
    /// Time after which it ends (bits 15:8).
    pub const DMA_AGG_TO_V1: u32 = 0xff00;
}

/// Bits of the register at 0x0290.
pub mod rxdma_mode {
    /// Burst mode (bit 1).
    pub const DMA_MODE: u32 = 0x2;
    /// Bursts in a row (bits 3:2).
    pub const DMA_BURST_CNT: u32 = 0xc;
    /// Size of a burst (bits 5:4).
    pub const DMA_BURST_SIZE: u32 = 0x30;
    /// Value: 64 bytes (full speed).
    pub const DMA_BURST_SIZE_64: u32 = 0x2;
    /// Value: 512 bytes (high speed).
    pub const DMA_BURST_SIZE_512: u32 = 0x1;
    /// Value: 1,024 bytes (super speed).
    pub const DMA_BURST_SIZE_1024: u32 = 0x0;
}

/// Bits of the register at 0x0420.
pub mod fwhw_txq_ctrl {
    /// `EN_BCNQ_DL` (bit 22).
    pub const EN_BCNQ_DL: u32 = 0x400000;
    /// `EN_WR_FREE_TAIL` (bit 20).
    pub const EN_WR_FREE_TAIL: u32 = 0x100000;
}

/// Bits of the register at 0x0454.
pub mod cck_check {
    /// No CCK: the 5 GHz band (bit 7).
    pub const CHECK_CCK_EN: u32 = 0x80;
}

/// Bits of the register at 0x0494.
pub mod arfr3_v1 {
    /// `EXC_CODE` (bits 6:2).
    pub const EXC_CODE: u32 = 0x7c;
}

/// Bits of the register at 0x04bc.
pub mod sw_ampdu_burst_mode_ctrl {
    /// `PRE_TX_CMD` (bit 6).
    pub const PRE_TX_CMD: u32 = 0x40;
}

/// Bits of the register at 0x04c7.
pub mod single_ampdu_ctrl {
    /// A single frame may be an A-MPDU (bit 7).
    pub const EN_SINGLE_APMDU: u32 = 0x80;
}

/// Bits of the register at 0x050c.
pub mod edca_bk_param {
    /// `MASK_TXOP_LMT` (bits 26:16).
    pub const MASK_TXOP_LMT: u32 = 0x7ff0000;
    /// `MASK_CWMAX` (bits 15:12).
    pub const MASK_CWMAX: u32 = 0xf000;
    /// `MASK_CWMIN` (bits 11:8).
    pub const MASK_CWMIN: u32 = 0xf00;
    /// `MASK_AIFS` (bits 7:0).
    pub const MASK_AIFS: u32 = 0xff;
}

/// Bits of the register at 0x0522.
pub mod txpause {
    /// The high queue (bit 5).
    pub const HIGH_QUEUE: u32 = 0x20;
}

/// Bits of the register at 0x0550.
pub mod bcn_ctrl {
    /// The timer does not follow received beacons (bit 4).
    pub const DIS_TSF_UDT: u32 = 0x10;
    /// The beacon function of the port (bit 3).
    pub const EN_BCN_FUNCTION: u32 = 0x8;
}

/// Bits of the register at 0x0577.
pub mod misc_ctrl {
    /// No CCA on secondary channels (bits 1:0).
    pub const DIS_SECOND_CCA: u32 = 0x3;
}

/// Bits of the register at 0x0604.
pub mod tcr {
    /// `TCR_UPDATE_TIMIE` (bit 5).
    pub const TCR_UPDATE_TIMIE: u32 = 0x20;
    /// `TCR_UPDATE_HGQMD` (bit 4).
    pub const TCR_UPDATE_HGQMD: u32 = 0x10;
}

/// Bits of the register at 0x0608.
pub mod rcr {
    /// Append the FCS (bit 31).
    pub const APP_FCS: u32 = 0x80000000;
    /// Append the MIC (bit 30).
    pub const APP_MIC: u32 = 0x40000000;
    /// Append the ICV (bit 29).
    pub const APP_ICV: u32 = 0x20000000;
    /// Put the PHY status before the frame (bit 28).
    pub const APP_PHYSTS: u32 = 0x10000000;
    /// Acknowledge as VHT asks (bit 26).
    pub const VHT_DACK: u32 = 0x4000000;
    /// Length check by the packet's control (bit 20).
    pub const PKTCTL_DLEN: u32 = 0x100000;
    /// No clock gating (bit 19).
    pub const DISGCLK: u32 = 0x80000;
    /// Look for the HT control field where the header says (bit 14).
    pub const HTC_LOC_CTRL: u32 = 0x4000;
    /// Accept frames with a wrong FCS (bit 8).
    pub const ACRC32: u32 = 0x100;
    /// Beacons and probe responses of the own BSSID only (bit 7).
    pub const CBSSID_BCN: u32 = 0x80;
    /// Data of the own BSSID only (bit 6).
    pub const CBSSID_DATA: u32 = 0x40;
    /// Accept broadcast (bit 3).
    pub const AB: u32 = 0x8;
    /// Accept multicast (bit 2).
    pub const AM: u32 = 0x4;
    /// Accept what is sent to the own address (bit 1).
    pub const APM: u32 = 0x2;
    /// Accept what is sent to any address (bit 0).
    pub const AAP: u32 = 0x1;
}

/// Bits of the register at 0x060f.
pub mod rx_drvinfo_sz {
    /// `APP_PHYSTS` (bit 28).
    pub const APP_PHYSTS: u32 = 0x10000000;
}

/// Bits of the register at 0x0668.
pub mod wmac_trxptcl_ctl {
    /// Bandwidth: 0 is 20 MHz (bits 8:7).
    pub const RFMOD: u32 = 0x180;
    /// 80 MHz (bit 8).
    pub const RFMOD_80M: u32 = 0x100;
    /// 40 MHz (bit 7).
    pub const RFMOD_40M: u32 = 0x80;
}

/// Bits of the register at 0x0765.
pub mod gnt_bt {
    /// `PTA_SW_CTL` (bits 4:3).
    pub const PTA_SW_CTL: u32 = 0x18;
}

/// Bits of the register at 0x076e.
pub mod bt_coex_enh_intr_ctrl {
    /// `R_GRANTALL_WLMASK` (bit 3).
    pub const R_GRANTALL_WLMASK: u32 = 0x8;
    /// `STATIS_BT_EN` (bit 2).
    pub const STATIS_BT_EN: u32 = 0x4;
}

/// Bits of the register at 0x0790.
pub mod bt_tdma_time {
    /// `MASK_SAMPLE_RATE` (bits 5:0).
    pub const MASK_SAMPLE_RATE: u32 = 0x3f;
}

/// Bits of the register at 0x0804.
pub mod cck_rpt_format {
    /// The report of CCK frames is of the high-power form (bit 16).
    pub const CCK_RPT_FORMAT: u32 = 0x10000;
}

/// Bits of the register at 0x0808.
pub mod rxpsel {
    /// CCK and OFDM receivers on (bits 29:28).
    pub const RX_PSEL_RST: u32 = 0x30000000;
}

/// Bits of the register at 0x087c.
pub mod nbi_setting {
    /// `NBI_ENABLE` (bit 13).
    pub const NBI_ENABLE: u32 = 0x2000;
}

/// Bits of the register at 0x0910.
pub mod psd {
    /// `PSD_INI` (bits 23:22).
    pub const PSD_INI: u32 = 0xc00000;
}

/// Bits of the register at 0x0a00.
pub mod rxsb {
    /// `RXSB_ANA_DIV` (bit 15).
    pub const RXSB_ANA_DIV: u32 = 0x8000;
}

/// Bits of the register at 0x0a14.
pub mod prectrl {
    /// `DIS_CO_PATHSEL` (bit 7).
    pub const DIS_CO_PATHSEL: u32 = 0x80;
    /// `IQ_WGT` (bits 9:8).
    pub const IQ_WGT: u32 = 0x300;
}

/// Bits of the register at 0x0a20.
pub mod cca_mf {
    /// `MBC_WIN` (bits 5:4).
    pub const MBC_WIN: u32 = 0x30;
}

/// Bits of the register at 0x0a2c.
pub mod cck0_fareport {
    /// `CCK0_2RX` (bit 18).
    pub const CCK0_2RX: u32 = 0x40000;
    /// `CCK0_MRC` (bit 22).
    pub const CCK0_MRC: u32 = 0x400000;
}

/// Bits of the register at 0x0a70.
pub mod cca {
    /// `CCA_CO` (bit 7).
    pub const CCA_CO: u32 = 0x80;
}

/// Bits of the register at 0x0a74.
pub mod antsel {
    /// `ANT_BYCO` (bit 8).
    pub const ANT_BYCO: u32 = 0x100;
}

/// Bits of the register at 0x0a84.
pub mod ccktx {
    /// `CMB_CCA_2R` (bit 28).
    pub const CMB_CCA_2R: u32 = 0x10000000;
}

/// Bits of the register at 0x0c1c.
pub mod txscale_a {
    /// Swing of the baseband's output (bits 31:21).
    pub const BB_SWING_MASK: u32 = 0xffe00000;
}

/// Bits of the register at 0x0cb4.
pub mod rfe_ctrl8 {
    /// `PTA_CTRL_PIN`.
    pub const PTA_CTRL_PIN: u32 = 0x66;
    /// `DPDT_CTRL_PIN`.
    pub const DPDT_CTRL_PIN: u32 = 0x77;
    /// Which front-end pins are inverted (bits 29:20).
    pub const RFE_INV_MASK: u32 = 0x3ff00000;
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

/// Bits of the register at 0x1138.
pub mod ft1imr {
    /// `FS_H2C_CMD_OK_INT_EN` (bit 25).
    pub const FS_H2C_CMD_OK_INT_EN: u32 = 0x2000000;
}

/// Bits of the register at 0x113c.
pub mod ft1isr {
    /// `FS_H2C_CMD_OK_INT` (bit 25).
    pub const FS_H2C_CMD_OK_INT: u32 = 0x2000000;
}

/// Bits of the register at 0x1208.
pub mod ddma_ch0ctrl {
    /// `DDMACH0_OWN` (bit 31).
    pub const DDMACH0_OWN: u32 = 0x80000000;
    /// `DDMACH0_CHKSUM_EN` (bit 29).
    pub const DDMACH0_CHKSUM_EN: u32 = 0x20000000;
    /// `DDMACH0_CHKSUM_STS` (bit 27).
    pub const DDMACH0_CHKSUM_STS: u32 = 0x8000000;
    /// `DDMACH0_DDMA_MODE` (bit 26).
    pub const DDMACH0_DDMA_MODE: u32 = 0x4000000;
    /// `DDMACH0_RESET_CHKSUM_STS` (bit 25).
    pub const DDMACH0_RESET_CHKSUM_STS: u32 = 0x2000000;
    /// `DDMACH0_CHKSUM_CONT` (bit 24).
    pub const DDMACH0_CHKSUM_CONT: u32 = 0x1000000;
    /// `MASK_DDMACH0_DLEN` (bits 17:0).
    pub const MASK_DDMACH0_DLEN: u32 = 0x3ffff;
}

/// Bits of the register at 0x1330.
pub mod h2cq_csr {
    /// `H2CQ_FULL` (bit 31).
    pub const H2CQ_FULL: u32 = 0x80000000;
}

/// Bits of the register at 0x1abc.
pub mod rfe_invsel_d {
    /// `RFE_SELSW0_D` (bits 27:20).
    pub const RFE_SELSW0_D: u32 = 0xff00000;
}

/// Bits of the register at 0x2d38.
pub mod edcca_report {
    /// `EDCCA_FLAG` (bit 24).
    pub const EDCCA_FLAG: u32 = 0x1000000;
}

/// Bits of the register at 0xfe42.
pub mod usb2_phy_cmd {
    /// Value: do it.
    pub const USB2_PHY_CMD_TRG: u32 = 0x81;
}

/// Bits of the register at 0xff0e.
pub mod usb3_phy_dat_h {
    /// Of USB3_PHY_ADR: write (bit 7).
    pub const USB3_PHY_ADR_WR: u32 = 0x80;
}
