//! [`H2c`]: host-to-chip commands, short messages to the firmware through its mailboxes.
//!
//! Facts: rtw88 `fw.c`, `rtw_fw_send_h2c_command`.

use core::cell::Cell;
use core::time::Duration;

use airlift_regs::{Reg, mac};

use crate::error::{Error, ErrorKind};
use crate::regio::Regs;

/// The boxes: what goes beyond four bytes, then the first four, which send the command off.
const BOXES: [(Reg<u32>, Reg<u32>); 4] = [
    (mac::HMEBOX0_EX, mac::HMEBOX0),
    (mac::HMEBOX1_EX, mac::HMEBOX1),
    (mac::HMEBOX2_EX, mac::HMEBOX2),
    (mac::HMEBOX3_EX, mac::HMEBOX3),
];

/// rtw88 looks every 100 us, for 3 ms.
const INTERVAL: Duration = Duration::from_micros(100);
const TIMEOUT: Duration = Duration::from_millis(3);

/// The mailboxes of a firmware that has just begun; commands take them in turn.
pub(super) struct H2c {
    regs: Regs,
    next: Cell<usize>,
    /// One was found full: that is told once.
    full: Cell<bool>,
}

impl H2c {
    pub(super) fn new(regs: &Regs) -> Self {
        Self { regs: regs.clone(), next: Cell::new(0), full: Cell::new(false) }
    }

    /// Sends a command of seven bytes, the first of which is its number; whether it was sent. If the firmware has not taken
    /// the one before from the box whose turn it is, this one is not, and things go on without, as in mainline's driver.
    ///
    /// The writes are posted: that they arrived is known from the next barrier on.
    ///
    /// # Errors
    /// Transfer errors.
    pub(super) async fn send(&self, command: [u8; 7]) -> Result<bool, Error> {
        let regs = &self.regs;
        let number = self.next.get();
        let empty = "a mailbox that the firmware has emptied";
        match regs.poll(mac::HMETFR, 1 << number, 0, INTERVAL, TIMEOUT, empty).await {
            Err(error) if matches!(error.kind(), ErrorKind::Timeout { .. }) => {
                if !self.full.replace(true) {
                    tracing::warn!(%error, "the firmware is not told of Bluetooth");
                }
                return Ok(false);
            }
            read => _ = read?,
        }
        let [a, b, c, d, e, f, g] = command;
        let (rest, first) = BOXES[number];
        regs.write(rest, u32::from_le_bytes([e, f, g, 0])).await?;
        regs.write(first, u32::from_le_bytes([a, b, c, d])).await?;
        self.next.set((number + 1) % BOXES.len());
        Ok(true)
    }
}
