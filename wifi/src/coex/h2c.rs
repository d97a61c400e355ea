//! [`H2c`]: host-to-chip commands, short messages to the firmware through its mailboxes.
//!
//! Facts: rtw88 `fw.c`, `rtw_fw_send_h2c_command`.

use core::cell::{Cell, RefCell};
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
///
/// What finds no room waits here and goes before what comes later. A command takes the place of an older one of its
/// number, so that no more wait than there are numbers.
pub(super) struct H2c {
    regs: Regs,
    next: Cell<usize>,
    waiting: RefCell<Vec<[u8; 7]>>,
    /// One was found full: that is told once.
    full: Cell<bool>,
}

impl H2c {
    pub(super) fn new(regs: &Regs) -> Self {
        Self { regs: regs.clone(), next: Cell::new(0), waiting: RefCell::default(), full: Cell::new(false) }
    }

    /// Whether a command waits for room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Sends a command of seven bytes, the first of which is its number. If the firmware has not taken the one before
    /// from the box whose turn it is, this one waits for a [`catch_up`](Self::catch_up), and things go on without;
    /// mainline's driver would drop it.
    ///
    /// The writes are posted: that they arrived is known from the next barrier on.
    ///
    /// # Errors
    /// Transfer errors; the command waits.
    pub(super) async fn send(&self, command: [u8; 7]) -> Result<(), Error> {
        // Where one waits the box was full a moment ago, and has been waited for.
        let patience = if self.is_waiting() { Duration::ZERO } else { TIMEOUT };
        self.queue(command);
        self.flush(patience).await
    }

    /// Sends what waits, as far as there is room now: a look at the boxes for each command, and one more for the first
    /// that finds none.
    ///
    /// # Errors
    /// Transfer errors, those of the writes too; all of it still waits.
    pub(super) async fn catch_up(&self) -> Result<(), Error> {
        let all = self.waiting.borrow().clone();
        let sent = match self.flush(Duration::ZERO).await {
            Ok(()) => self.regs.barrier().await,
            failed => {
                // Others that are still on their way belong to this, and so do their failures.
                let _ = self.regs.barrier().await;
                failed
            }
        };
        if sent.is_err() {
            self.waiting.replace(all);
        }
        sent
    }

    /// Lets go of the command of this number, if it waits.
    pub(super) fn withdraw(&self, number: u8) {
        self.waiting.borrow_mut().retain(|waiting| waiting[0] != number);
    }

    fn queue(&self, command: [u8; 7]) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.iter_mut().find(|waiting| waiting[0] == command[0]) {
            Some(older) => *older = command,
            None => waiting.push(command),
        }
    }

    async fn flush(&self, patience: Duration) -> Result<(), Error> {
        let regs = &self.regs;
        loop {
            let Some(command) = self.waiting.borrow().first().copied() else { return Ok(()) };
            let number = self.next.get();
            if !self.is_empty(number, patience).await? {
                return Ok(());
            }
            let [a, b, c, d, e, f, g] = command;
            let (rest, first) = BOXES[number];
            regs.write(rest, u32::from_le_bytes([e, f, g, 0])).await?;
            regs.write(first, u32::from_le_bytes([a, b, c, d])).await?;
            self.next.set((number + 1) % BOXES.len());
            self.waiting.borrow_mut().remove(0);
        }
    }

    /// Whether the firmware has emptied a box, or does within `patience`.
    async fn is_empty(&self, number: usize, patience: Duration) -> Result<bool, Error> {
        let regs = &self.regs;
        if patience.is_zero() {
            return Ok(regs.read(mac::HMETFR).await? & 1 << number == 0);
        }
        let empty = "a mailbox that the firmware has emptied";
        match regs.poll(mac::HMETFR, 1 << number, 0, INTERVAL, patience, empty).await {
            Err(error) if matches!(error.kind(), ErrorKind::Timeout { .. }) => {
                if !self.full.replace(true) {
                    tracing::warn!(%error, "the firmware is not told of Bluetooth yet");
                }
                Ok(false)
            }
            read => read.map(|_| true),
        }
    }
}
