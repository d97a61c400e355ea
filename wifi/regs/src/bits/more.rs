//! Bits of registers of blocks that only the newer chips of the family have (0x1100-0x18ff).

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

/// Bits of the register at 0x2d38.
pub mod edcca_report {
    /// `EDCCA_FLAG` (bit 24).
    pub const EDCCA_FLAG: u32 = 0x1000000;
}
