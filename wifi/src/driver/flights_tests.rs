//! Frames on their way and their reports, in orders that a test chooses.

use bytes::Bytes;
use futures::FutureExt;
use futures::task::noop_waker;

use super::*;
use crate::tx::{InjectError, Planner, Ticket, TxFrame};

const AT_ONCE: Duration = Duration::ZERO;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A table of flights, and what hands frames in.
struct Table {
    flights: Rc<Flights>,
    tag: u8,
}

/// A frame that the chip was given.
struct Sent {
    key: Key,
    number: Option<u8>,
    ticket: Ticket,
}

impl Sent {
    fn outcome(&mut self) -> Option<Result<Delivery, InjectError>> {
        (&mut self.ticket).now_or_never().map(|sent| sent.map(|outcome| outcome.delivery))
    }

    fn delivery(&mut self) -> Option<Delivery> {
        self.outcome().map(|outcome| outcome.expect("it was sent"))
    }
}

impl Table {
    fn new() -> Self {
        Self { flights: Flights::new(Arc::new(TxQueue::new())), tag: 0 }
    }

    /// Gives the chip a data frame, which is for the best-effort queue, or a management frame.
    fn send_as(&mut self, kind: u8, now: Duration) -> Sent {
        assert!(self.flights.has_place(now));
        self.tag = self.tag.wrapping_add(1);
        let mut frame = vec![kind, 0, 0, 0, 2];
        frame.resize(40, self.tag);
        let queue = &self.flights.queue;
        let ticket = Ticket::issue(queue.clone(), TxFrame::new(frame)).now_or_never().expect("room");
        let Poll::Ready(job) = queue.poll_take(&mut Context::from_waker(&noop_waker())) else {
            panic!("the frame that was handed in")
        };
        let planner = Planner { chains: 2, fallback_limit: false };
        let mut plan = planner.plan(job.frame(), "36".parse().ok()).unwrap();
        let number = self.flights.next_number(now);
        plan.repr.report = number;
        let key = self.flights.enter(job, plan, now + seconds(5.0));
        Sent { key, number, ticket }
    }

    fn send(&mut self, now: Duration) -> Sent {
        let sent = self.send_as(0x08, now);
        self.flights.transferred(sent.key, Ok(()), now);
        sent
    }

    fn report(&self, number: u8, queue: u8, now: Duration) {
        let payload = Bytes::copy_from_slice(&[queue, 0, 0, 0, 0, 4, number << 2]);
        self.flights.report(&C2h { id: 3, sequence: 0, payload }, now);
    }

    fn strays(&self) -> u64 {
        self.flights.queue.stats().stray_reports
    }
}

#[test]
fn w3_a_very_late_report_is_booked_on_no_newer_frame() {
    let mut table = Table::new();
    let mut late = table.send(AT_ONCE);
    let number = late.number.unwrap();
    assert!(table.flights.expire(seconds(2.0)).is_empty());
    assert_eq!(late.delivery(), Some(Delivery::Unknown(Unknown::NoReport)));
    // Numbers have gone round many times, and as many frames as possible are out, when it comes.
    for _ in 0..300 {
        let mut sent = table.send(seconds(2.0));
        table.report(sent.number.unwrap(), 0, seconds(2.0));
        assert_eq!(sent.delivery(), Some(Delivery::Acknowledged));
    }
    let mut out: Vec<Sent> = (0..63).map(|_| table.send(seconds(2.5))).collect();
    assert!(!table.flights.has_place(seconds(2.5)), "no 64th number");
    table.report(number, 0, seconds(2.6));
    assert_eq!(table.strays(), 1);
    assert!(out.iter_mut().all(|sent| sent.outcome().is_none()));
    // Now it is free.
    assert_eq!(table.send(seconds(2.7)).number, Some(number));
}

/// Mainline's driver looks at the number alone.
#[test]
fn w3_a_report_is_booked_whatever_queue_it_names() {
    for queue in [0, 6, 18] {
        let mut table = Table::new();
        let mut sent = table.send(AT_ONCE);
        table.report(sent.number.unwrap(), queue, AT_ONCE);
        assert_eq!(sent.delivery(), Some(Delivery::Acknowledged));
        assert_eq!(table.strays(), 0);
    }
}

#[test]
fn w3_a_transfer_that_ends_after_its_report_says_nothing_of_a_newer_frame() {
    let mut table = Table::new();
    let mut first = table.send_as(0x08, AT_ONCE);
    table.report(first.number.unwrap(), 0, AT_ONCE);
    assert_eq!(first.delivery(), Some(Delivery::Acknowledged));
    let mut second = table.send_as(0x08, AT_ONCE);
    assert_eq!(first.key.place, second.key.place);
    table.flights.transferred(first.key, Err(TransferError::Stall), AT_ONCE);
    assert!(second.outcome().is_none());
    table.flights.transferred(second.key, Ok(()), AT_ONCE);
    table.report(second.number.unwrap(), 0, AT_ONCE);
    assert_eq!(second.delivery(), Some(Delivery::Acknowledged));
}

#[test]
fn w3_the_number_of_a_failed_transfer_is_not_given_again_either() {
    let mut table = Table::new();
    let mut failed = table.send_as(0x08, AT_ONCE);
    table.flights.transferred(failed.key, Err(TransferError::Timeout), AT_ONCE);
    assert!(failed.outcome().unwrap().unwrap_err().may_have_been_sent());
    assert!((0..63).all(|_| table.send(AT_ONCE).number != failed.number));
    table.report(failed.number.unwrap(), 0, AT_ONCE);
    assert_eq!(table.strays(), 1);
}

#[test]
fn w3_without_a_free_number_frames_go_out_and_are_told_to_be_unknown() {
    let mut table = Table::new();
    let sent: Vec<Sent> = (0..64).map(|_| table.send(AT_ONCE)).collect();
    assert!(!table.flights.has_place(AT_ONCE));
    table.flights.expire(seconds(2.0));
    assert!(sent.into_iter().all(|mut sent| sent.delivery() == Some(Delivery::Unknown(Unknown::NoReport))));
    let mut without = table.send(seconds(2.0));
    assert_eq!(without.number, None);
    assert_eq!(without.delivery(), Some(Delivery::Unknown(Unknown::NoNumber)));
    // In time they are asked for again.
    assert!(table.send(seconds(2.0) + numbers::QUARANTINE).number.is_some());
}

#[test]
fn w3_a_frame_whose_report_was_lost_is_not_waited_for_as_long_as_others_are_reported() {
    let mut table = Table::new();
    let mut lost = table.send(AT_ONCE);
    let mut other_queue = table.send_as(0x80, AT_ONCE);
    table.flights.transferred(other_queue.key, Ok(()), AT_ONCE);
    // One of its queue is reported, and then another each 50 ms.
    for step in 0..80 {
        let now = seconds(0.05 * f64::from(step));
        table.flights.expire(now);
        assert_eq!(lost.outcome().is_some(), step == 2, "step {step}");
        if step == 2 {
            lost = table.send_as(0x80, now);
        }
        let sent = table.send(now);
        table.report(sent.number.unwrap(), 0, now);
    }
    // The other queue may have to wait, but not for ever.
    assert!(other_queue.outcome().is_none());
    for step in 0..600 {
        let now = seconds(4.0 + 0.05 * f64::from(step));
        table.flights.expire(now);
        let sent = table.send(now);
        table.report(sent.number.unwrap(), 0, now);
    }
    assert_eq!(other_queue.delivery(), Some(Delivery::Unknown(Unknown::NoReport)));
}
