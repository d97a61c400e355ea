//! What the RTL8812A and the RTL8821A have in common.

use core::ops::RangeInclusive;

/// Bytes that the hardware alone changes.
pub(super) const READ_ONLY: &[RangeInclusive<u16>] = &[
    0x00f0..=0x00ff,
    0x0204..=0x0207,
    0x0215..=0x0215,
    0x0217..=0x0217,
    0x041a..=0x041b,
    0x0560..=0x0567,
    0x05f8..=0x05fb,
    0x0d00..=0x0d4f,
    0x0f00..=0x0fff,
];

/// Interrupts, mailboxes, reserved page.
pub(super) const CLEAR_BY_ONE: &[(u16, u8)] = &[
    (0x00b4, 0xff),
    (0x00b5, 0xff),
    (0x00b6, 0xff),
    (0x00b7, 0xff),
    (0x00bc, 0xff),
    (0x00bd, 0xff),
    (0x00be, 0xff),
    (0x00bf, 0xff),
    (0x01cc, 0x0f),
    BEACON_VALID,
];

/// Bit 16 of DWBCN0_CTRL.
pub(super) const BEACON_VALID: (u16, u8) = (0x020a, 0x01);

/// High, low, public; normal and extra beside their own reservations (`rtw88 rtw8812a.c`, `prioq_addrs_8812a`).
pub(super) const QUEUES: &[(u16, u16)] =
    &[(0x0200, 0x0204), (0x0201, 0x0205), (0x0202, 0x0206), (0x0214, 0x0215), (0x0216, 0x0217)];

/// The baseband's registers.
pub(super) const BASEBAND: &[RangeInclusive<u16>] = &[0x0800..=0x0fff];

/// The power-off sequence parks the 3-wire interfaces and a reset gates the clock whether the baseband runs or
/// not.
pub(super) const PARKING: &[u16] = &[0x0c00, 0x0e00, 0x08b4, 0x08b5, 0x08b6, 0x08b7];
