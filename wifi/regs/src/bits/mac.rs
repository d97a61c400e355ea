//! Bits of registers of the MAC: DMA, queues, protocol, EDCA, WMAC (0x0100-0x07ff).

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
