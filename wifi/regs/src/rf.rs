//! Registers behind the RF serial window, one set a path (20 bits each).

/// An RF register: an 8-bit address in one path's radio, 20 bits of value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RfReg(pub u8);

/// `MODE`.
pub const MODE: RfReg = RfReg(0x00);
/// `MODOPT`.
pub const MODOPT: RfReg = RfReg(0x01);
/// `WLINT`.
pub const WLINT: RfReg = RfReg(0x01);
/// `WLSEL`.
pub const WLSEL: RfReg = RfReg(0x02);
/// `DTXLOK`.
pub const DTXLOK: RfReg = RfReg(0x08);
/// `CFGCH`.
pub const CFGCH: RfReg = RfReg(0x18);
/// `RCK1_V1`.
pub const RCK1_V1: RfReg = RfReg(0x1c);
/// `RCK`.
pub const RCK: RfReg = RfReg(0x1d);
/// `MODE_TABLE_ADDR`.
pub const MODE_TABLE_ADDR: RfReg = RfReg(0x30);
/// `MODE_TABLE_DATA0`.
pub const MODE_TABLE_DATA0: RfReg = RfReg(0x31);
/// `MODE_TABLE_DATA1`.
pub const MODE_TABLE_DATA1: RfReg = RfReg(0x32);
/// `LUTWA`.
pub const LUTWA: RfReg = RfReg(0x33);
/// `LUTWD1`.
pub const LUTWD1: RfReg = RfReg(0x3e);
/// `LUTWD0`.
pub const LUTWD0: RfReg = RfReg(0x3f);
/// `T_METER`.
pub const T_METER: RfReg = RfReg(0x42);
/// `BSPAD`.
pub const BSPAD: RfReg = RfReg(0x54);
/// `GAINTX`.
pub const GAINTX: RfReg = RfReg(0x56);
/// `TXMOD`.
pub const TXMOD: RfReg = RfReg(0x58);
/// `TXATANK`.
pub const TXATANK: RfReg = RfReg(0x64);
/// `TXA_PREPAD`.
pub const TXA_PREPAD: RfReg = RfReg(0x65);
/// `TRXIQ`.
pub const TRXIQ: RfReg = RfReg(0x66);
/// `RXIQGEN`.
pub const RXIQGEN: RfReg = RfReg(0x8d);
/// `RXBB2`.
pub const RXBB2: RfReg = RfReg(0x8f);
/// `SYN_PFD`.
pub const SYN_PFD: RfReg = RfReg(0xb0);
/// `LCK`.
pub const LCK: RfReg = RfReg(0xb4);
/// `XTALX2`.
pub const XTALX2: RfReg = RfReg(0xb8);
/// `SYN_CTRL`.
pub const SYN_CTRL: RfReg = RfReg(0xbb);
/// `MALSEL`.
pub const MALSEL: RfReg = RfReg(0xbe);
/// `SYN_AAC`.
pub const SYN_AAC: RfReg = RfReg(0xc9);
/// `AAC_CTRL`.
pub const AAC_CTRL: RfReg = RfReg(0xca);
/// `FAST_LCK`.
pub const FAST_LCK: RfReg = RfReg(0xcc);
/// `RCKD`.
pub const RCKD: RfReg = RfReg(0xde);
/// `TXADBG`.
pub const TXADBG: RfReg = RfReg(0xde);
/// `LUTDBG`.
pub const LUTDBG: RfReg = RfReg(0xdf);
/// `LUTWE2`.
pub const LUTWE2: RfReg = RfReg(0xee);
/// `LUTWE`.
pub const LUTWE: RfReg = RfReg(0xef);
