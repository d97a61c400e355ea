//! USB glue: host interface, PHYs (0xf000-0xffff).

use crate::registers;

registers! {
    USB_MOD: u8 = 0xf008;
    USB3_RXITV: u8 = 0xf050;
    USB2_PHY_ADR: u8 = 0xfe40;
    USB2_PHY_DAT: u8 = 0xfe41;
    USB2_PHY_CMD: u8 = 0xfe42;
    USB_HRPWM: u8 = 0xfe58;
    USB3_PHY_ADR: u8 = 0xff0c;
    USB3_PHY_DAT_L: u8 = 0xff0d;
    USB3_PHY_DAT_H: u8 = 0xff0e;
}
