//! Blocks that only the newer chips of the family have (0x1100-0x18ff).

use crate::registers;

registers! {
    CR_EXT: u32 = 0x1100;
    FT1IMR: u32 = 0x1138;
    FT1ISR: u32 = 0x113c;
    DDMA_CH0SA: u32 = 0x1200;
    DDMA_CH0DA: u32 = 0x1204;
    DDMA_CH0CTRL: u32 = 0x1208;
    H2CQ_CSR: u32 = 0x1330;
    FAST_EDCA_VOVI_SETTING: u32 = 0x1448;
    FAST_EDCA_BEBK_SETTING: u32 = 0x144c;
    RX_IQC_AB_C: u32 = 0x1810;
    RX_IQC_CD_C: u32 = 0x1814;
    TXSCALE_C: u32 = 0x181c;
    CK_MONHC: u32 = 0x185c;
    AFE_PWR1_C: u32 = 0x1860;
    TX_AGC_C: u32 = 0x1894;
    RFE_PINMUX_C: u32 = 0x18b4;
    EDCCA_REPORT: u32 = 0x2d38;
}
