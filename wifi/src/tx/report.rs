//! [`Report`]: what the firmware tells of a frame that was sent.
//!
//! A message of kind 3 whose seven bytes are: failure (and the queue), MAC id, retries, time in the queue (two), rate, and
//! the driver's own number. Sources: rtw88 `fw.h`, `C2H_CCX_TX_RPT`, `GET_CCX_REPORT_SEQNUM_V0`,
//! `GET_CCX_REPORT_STATUS_V0`; FreeBSD `sys/dev/rtwn/rtl8812a/r12a_fw_cmd.h`, `r12a_c2h_tx_rpt` (BSD licence), for the
//! bits of the failure, the retries and the rate.

use crate::frame::Rate;
use crate::rx::{C2h, rate_of_code};

/// The message's kind.
pub(crate) const ID: u8 = 0x03;

/// Offsets of the payload's bytes.
mod field {
    pub(super) const STATUS: usize = 0;
    pub(super) const RETRIES: usize = 2;
    pub(super) const RATE: usize = 5;
    pub(super) const NUMBER: usize = 6;
    pub(super) const LEN: usize = 7;
}

const LIFE_EXPIRED: u8 = 0x40;
const RETRIES_EXHAUSTED: u8 = 0x80;
const RETRY_COUNT: u8 = 0x3f;

/// How sending ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Well: an answer came, or none was needed.
    Good,
    /// No answer came however often it was sent.
    RetriesExhausted,
    /// It waited too long in the chip.
    Expired,
}

/// What the firmware tells of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    /// The driver's number for it.
    pub(crate) number: u8,
    /// How it ended.
    pub(crate) status: Status,
    /// How often it was sent again.
    pub(crate) retries: u8,
    /// The rate at last.
    pub(crate) rate: Option<Rate>,
}

impl Report {
    /// The report in a message; `None` if it is none, or too short for one.
    pub(crate) fn parse(message: &C2h) -> Option<Self> {
        let payload = &message.payload;
        if message.id != ID || payload.len() < field::LEN {
            return None;
        }
        let status = payload[field::STATUS];
        Some(Self {
            number: payload[field::NUMBER] >> 2,
            status: if status & RETRIES_EXHAUSTED != 0 {
                Status::RetriesExhausted
            } else if status & LIFE_EXPIRED != 0 {
                Status::Expired
            } else {
                Status::Good
            },
            retries: payload[field::RETRIES] & RETRY_COUNT,
            rate: rate_of_code(payload[field::RATE] & 0x7f),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LegacyRate;
    use bytes::Bytes;

    fn message(id: u8, payload: &[u8]) -> C2h {
        C2h { id, sequence: 9, payload: Bytes::copy_from_slice(payload) }
    }

    #[test]
    fn w3_a_report_tells_number_end_and_retries() {
        let good = Report::parse(&message(3, &[0x12, 0, 0, 0, 0, 0x04, 0x14])).unwrap();
        let rate = Some(Rate::Legacy(LegacyRate::M6));
        assert_eq!(good, Report { number: 5, status: Status::Good, retries: 0, rate });
        let failed = Report::parse(&message(3, &[0x80, 0, 0x70, 0, 0, 0x13, 0xfc, 0])).unwrap();
        let rate = Some(Rate::Ht { mcs: 7 });
        assert_eq!(failed, Report { number: 63, status: Status::RetriesExhausted, retries: 48, rate });
        let expired = Report::parse(&message(3, &[0x40, 0, 1, 0, 0, 0, 0])).unwrap();
        assert_eq!((expired.status, expired.retries), (Status::Expired, 1));
    }

    #[test]
    fn w3_what_is_no_report_is_none() {
        assert_eq!(Report::parse(&message(3, &[0; 6])), None);
        assert_eq!(Report::parse(&message(4, &[0; 7])), None);
        assert_eq!(Report::parse(&message(3, &[])), None);
        // A rate without a number leaves the rest.
        assert_eq!(Report::parse(&message(3, &[0, 0, 0, 0, 0, 0x7f, 0])).unwrap().rate, None);
    }
}
