//! [`Qsel`]: the queue inside the chip for a frame, and [`EndpointMap`]: the endpoint that leads to each.
//!
//! Source: rtw88 `tx.h`, `enum rtw_tx_desc_queue_select`; `usb.c`, `rtw_usb_tx_queue_mapping_to_qsel`,
//! `rtw_usb_parse`, `dma_mapping_to_ep`; `net/mac80211/wme.c`, `ieee80211_select_queue_80211` (priorities).
//!
//! Group-addressed data goes into the queue of its class here. Mainline puts it into the queue for what an access
//! point holds back until its next DTIM beacon, and has the chip set the "more data" flag in it; a monitor sends no
//! beacon, and sends frames as they are.

use crate::chip::QueuePages;
use crate::ieee80211::{FrameType, Header};

/// A queue inside the chip, as descriptors number them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Qsel(u8);

impl Qsel {
    /// Management and control frames.
    pub(crate) const MANAGEMENT: Self = Self(18);

    /// Data of a traffic identifier, of which the chip knows the lower eight.
    pub(crate) const fn tid(tid: u8) -> Self {
        Self(tid & 7)
    }

    /// The queue for a frame.
    pub(crate) fn of(header: &Header<'_>) -> Self {
        match header.frame_control().kind() {
            FrameType::Data => Self::tid(header.qos().map_or(0, |qos| qos.tid())),
            _ => Self::MANAGEMENT,
        }
    }

    /// The number in descriptors and reports.
    pub(crate) const fn code(self) -> u8 {
        self.0
    }
}

/// Which of the adapter's bulk-out endpoints leads to which queue.
#[derive(Clone, Debug)]
pub(crate) struct EndpointMap {
    /// By DMA queue: high, normal, low, extra.
    endpoints: Vec<u8>,
    pages: QueuePages,
}

impl EndpointMap {
    /// The map for `endpoints` in the order of their descriptors, and the share-out of DMA queues that belongs to
    /// so many.
    pub(crate) fn new(endpoints: &[u8], pages: QueuePages) -> Self {
        Self { endpoints: endpoints.to_vec(), pages }
    }

    /// Number (from 0) and address of the endpoint for a queue.
    pub(crate) fn endpoint(&self, queue: Qsel) -> (usize, u8) {
        let [voice, video, best_effort, background, management, _high] = self.pages.map;
        let dma = match queue.code() {
            0 | 3 => best_effort,
            1 | 2 => background,
            4 | 5 => video,
            6 | 7 => voice,
            _ => management,
        };
        // DMA queues count from extra (0) to high (3), endpoints the other way round.
        let number = usize::from(3_u8.saturating_sub(dma)).min(self.endpoints.len().saturating_sub(1));
        (number, self.endpoints.get(number).copied().unwrap_or_default())
    }

    /// The address of the endpoint of that number.
    pub(crate) fn address(&self, number: usize) -> u8 {
        self.endpoints.get(number).copied().unwrap_or_default()
    }

    /// How many endpoints there are.
    pub(crate) fn len(&self) -> usize {
        self.endpoints.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chip;

    fn header(bytes: &[u8]) -> Vec<u8> {
        let mut header = bytes.to_vec();
        header.resize(36, 0xff);
        header
    }

    #[test]
    fn w3_each_kind_of_frame_has_its_queue() {
        let of = |bytes: &[u8]| Qsel::of(&Header::new(&header(bytes)).unwrap()).code();
        assert_eq!(of(&[0x40, 0]), 18, "probe request");
        assert_eq!(of(&[0x80, 0]), 18, "beacon");
        assert_eq!(of(&[0xb4, 0]), 18, "RTS");
        assert_eq!(of(&[0x08, 0]), 0, "data without a class, for a group");
        let mut qos = header(&[0x88, 0]);
        qos[24] = 0x0e; // class 14: of its lower three bits the sixth
        assert_eq!(Qsel::of(&Header::new(&qos).unwrap()).code(), 6);
    }

    /// Against `rqpn_table_8812a` and `dma_mapping_to_ep`.
    #[test]
    fn w3_queues_lead_to_the_endpoints_that_mainline_takes() {
        let info = Chip::Rtl8812au.info();
        let endpoints = [2, 3, 4, 5];
        for (count, expected) in [
            // best effort, background, video, voice, management
            (2, [3, 3, 2, 2, 2]),
            (3, [4, 4, 3, 2, 2]),
            (4, [4, 4, 3, 3, 5]),
        ] {
            let map = EndpointMap::new(&endpoints[..count], info.queue_pages[count - 2]);
            let queues = [Qsel::tid(0), Qsel::tid(1), Qsel::tid(4), Qsel::tid(6), Qsel::MANAGEMENT];
            assert_eq!(queues.map(|queue| map.endpoint(queue).1), expected, "{count} endpoints");
        }
    }
}
