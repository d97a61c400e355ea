//! MAC: timer, queues' pages, the registers' reset values.

use core::time::Duration;

use airlift_regs::mac;

use super::{Chip, at};

#[derive(Debug)]
pub(super) struct Mac {
    /// When the timer stood at zero.
    pub(super) tsf_origin: Duration,
    /// Whether pages were given to the queues.
    pub(super) pages_loaded: bool,
}

impl Mac {
    pub(super) fn new() -> Self {
        Self { tsf_origin: Duration::ZERO, pages_loaded: false }
    }
}

impl Chip {
    /// The timer, in microseconds.
    pub(super) fn tsf(&self) -> u64 {
        self.tsf_at(self.host_now)
    }

    /// Where the timer stood at that time.
    pub(super) fn tsf_at(&self, time: Duration) -> u64 {
        u64::try_from(time.saturating_sub(self.mac.tsf_origin).as_micros()).unwrap_or(u64::MAX)
    }

    /// Values that the MAC and baseband hold when they get their power.
    pub(super) fn mac_registers(&mut self) {
        // All transmit queues are empty.
        self.set_byte(mac::TXPKT_EMPTY.addr(), 0xff);
        self.set_byte(mac::TXPKT_EMPTY.addr() + 1, 0xff);
    }

    /// RQPN with bit 31: the queues take the pages that 0x200 and 0x214 name.
    pub(super) fn pages_written(&mut self) {
        if self.byte(at::PAGES_LOAD) & 0x80 == 0 {
            return;
        }
        self.change(at::PAGES_LOAD, 0x80, 0);
        self.mac.pages_loaded = true;
        // High, low, public; normal and extra beside their own reservations.
        for (reserved, available) in
            [(0x0200, 0x0204), (0x0201, 0x0205), (0x0202, 0x0206), (0x0214, 0x0215), (0x0216, 0x0217)]
        {
            let pages = self.byte(reserved);
            self.set_byte(available, pages);
        }
    }
}
