//! MAC: timer, queues' pages, the registers' reset values.

use core::time::Duration;

use airlift_regs::mac;

use super::Chip;

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

    /// The load bit was written: the queues take the pages that are reserved for them.
    pub(super) fn pages_written(&mut self) {
        let buffer = &self.facts.buffer;
        if self.byte(buffer.load) & 0x80 == 0 {
            return;
        }
        self.change(buffer.load, 0x80, 0);
        self.mac.pages_loaded = true;
        for (reserved, available) in buffer.queues {
            for byte in 0..buffer.queue_width as u16 {
                let pages = self.byte(reserved + byte);
                self.set_byte(available + byte, pages);
            }
        }
    }
}
