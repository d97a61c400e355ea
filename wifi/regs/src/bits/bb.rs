//! Bits of registers of the baseband (0x0800-0x0fff, 0x1900-0x1cff).

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

/// Bits of the register at 0x1abc.
pub mod rfe_invsel_d {
    /// `RFE_SELSW0_D` (bits 27:20).
    pub const RFE_SELSW0_D: u32 = 0xff00000;
}
