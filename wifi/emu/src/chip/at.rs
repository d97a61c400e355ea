//! Bytes inside registers that the state machines look at, by what they hold.
//!
//! [`airlift_regs`] names whole registers; these are single bytes of them, since the bus may write any.

use airlift_regs::{bb, mac, sys};

/// Functions: bit 2 releases the MCU, bit 4 is the EFUSE loader.
pub(super) const FUNCTIONS: u16 = sys::SYS_FUNC_EN.addr() + 1;
/// Power requests: see the power state machine.
pub(super) const POWER: u16 = sys::APS_FSMCO.addr() + 1;
/// Bit 1: power is ready.
pub(super) const POWER_READY: u16 = sys::APS_FSMCO.addr() + 2;
/// Bits 1 and 5: the clocks of the EFUSE loader.
pub(super) const CLOCKS: u16 = sys::SYS_CLKR.addr();
/// Bit 0 (bit 3 in a reset): the MCU's bus interface is open.
pub(super) const MCU_BUS: u16 = sys::RSV_CTRL.addr() + 1;
/// The byte that was read.
pub(super) const EFUSE_DATA: u16 = sys::EFUSE_CTRL.addr();
/// Bit 7: the byte is there.
pub(super) const EFUSE_FLAG: u16 = sys::EFUSE_CTRL.addr() + 3;
/// Firmware control.
pub(super) const FIRMWARE: u16 = sys::MCUFW_CTRL.addr();
/// Its second byte. 3081: bit 6 says that the image is in, bit 7 that it runs.
pub(super) const FIRMWARE_UPPER: u16 = sys::MCUFW_CTRL.addr() + 1;
/// Bits of it that choose the 3081's clock.
pub(super) const MCU_CLOCK: u8 = 0x30;
/// Bit 6: the 3081's clock runs.
pub(super) const MCU_CLOCK_ON: u16 = sys::SYS_CLKR.addr() + 1;
/// Bit 0: the 3081's platform is out of reset.
pub(super) const PLATFORM: u16 = sys::CPU_DMEM_CON.addr() + 2;
/// Bits 2:0: the page that the firmware window shows.
pub(super) const FIRMWARE_PAGE: u16 = sys::MCUFW_CTRL.addr() + 2;
/// Bit 0: the MAC is off.
pub(super) const STATUS: u16 = sys::SYS_STATUS1.addr() + 1;
/// A bit for each mailbox that holds a command.
pub(super) const MAILBOXES: u16 = mac::HMETFR.addr();
/// The page that follows.
pub(super) const LIST_NEXT: u16 = mac::LLT_INIT.addr();
/// The page.
pub(super) const LIST_PAGE: u16 = mac::LLT_INIT.addr() + 1;
/// Bits 7:6: 01 writes; both fall.
pub(super) const LIST_COMMAND: u16 = mac::LLT_INIT.addr() + 3;
/// Bit 7: page C1 in place of page C.
pub(super) const PAGE_C1: u16 = bb::CCASEL.addr() + 3;
