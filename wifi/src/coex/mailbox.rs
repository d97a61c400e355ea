//! [`Mailboxes`]: short messages to the firmware.
//!
//! Facts: rtw88 `fw.c`, `rtw_fw_send_h2c_command`.

use core::cell::Cell;
use core::time::Duration;

use airlift_regs::{Reg, mac};

use crate::error::{Error, ErrorKind};
use crate::regio::Regs;

/// The boxes: what goes beyond four bytes, then the first four, which send the message off.
const BOXES: [(Reg<u32>, Reg<u32>); 4] = [
    (mac::HMEBOX0_EX, mac::HMEBOX0),
    (mac::HMEBOX1_EX, mac::HMEBOX1),
    (mac::HMEBOX2_EX, mac::HMEBOX2),
    (mac::HMEBOX3_EX, mac::HMEBOX3),
];

/// rtw88 looks every 100 us, for 3 ms.
const INTERVAL: Duration = Duration::from_micros(100);
const TIMEOUT: Duration = Duration::from_millis(3);

/// The mailboxes of a firmware that has just begun; messages take them in turn.
pub(super) struct Mailboxes {
    regs: Regs,
    next: Cell<usize>,
    /// One was found full: that is told once.
    full: Cell<bool>,
}

impl Mailboxes {
    pub(super) fn new(regs: &Regs) -> Self {
        Self { regs: regs.clone(), next: Cell::new(0), full: Cell::new(false) }
    }

    /// Sends a message of seven bytes; the first one says what it is. If the firmware has not taken the one before from
    /// the box whose turn it is, this one is not sent, and things go on without, as in mainline's driver.
    ///
    /// # Errors
    /// Transfer errors.
    pub(super) async fn send(&self, message: [u8; 7]) -> Result<(), Error> {
        let regs = &self.regs;
        let number = self.next.get();
        let empty = "a mailbox that the firmware has emptied";
        match regs.poll(mac::HMETFR, 1 << number, 0, INTERVAL, TIMEOUT, empty).await {
            Err(error) if matches!(error.kind(), ErrorKind::Timeout { .. }) => {
                if !self.full.replace(true) {
                    tracing::warn!(%error, "the firmware is not told of Bluetooth");
                }
                return Ok(());
            }
            read => _ = read?,
        }
        let [a, b, c, d, e, f, g] = message;
        let (rest, first) = BOXES[number];
        regs.write(rest, u32::from_le_bytes([e, f, g, 0])).await?;
        regs.write(first, u32::from_le_bytes([a, b, c, d])).await?;
        self.next.set((number + 1) % BOXES.len());
        Ok(())
    }
}
