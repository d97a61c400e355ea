//! Bits of registers of the USB glue: host interface, PHYs (0xf000-0xffff).

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
