//! The life of URBs between submitter and wire, on a wire that does what a test says.

use std::collections::HashMap;
use std::sync::mpsc;

use super::*;
use crate::descriptor::TransferType;
use crate::setup::Setup;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Flight {
    id: UrbId,
    endpoint: u8,
}

#[derive(Default)]
struct Log {
    started: Vec<u64>,
    cancelled: Vec<u64>,
    buffers: HashMap<UrbId, BytesMut>,
    operated: Vec<DeviceOp>,
    wakes: usize,
}

/// A wire that starts everything and ends nothing by itself.
#[derive(Default)]
struct Fake {
    log: Mutex<Log>,
    /// What `start` answers for this URB.
    refuses: Option<(u64, TransferError)>,
    /// Happens while an URB is being started.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Operations wait here until the test lets them go on.
    gate: Option<Mutex<mpsc::Receiver<Result<(), TransferError>>>>,
}

impl Fake {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }
}

impl Wire for Fake {
    type Flight = Flight;

    fn prepare(&self, urb: FlatUrb, _: &Arc<Schedule<Self>>) -> Result<Flight, (TransferError, BytesMut)> {
        let endpoint = if urb.setup.is_some() { 0 } else { urb.endpoint };
        self.log().buffers.insert(urb.id, urb.buffer);
        Ok(Flight { id: urb.id, endpoint })
    }

    fn start(&self, flight: &Flight) -> Result<(), TransferError> {
        match self.refuses {
            Some((id, error)) if flight.id.0 == id => Err(error),
            _ => {
                if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
                    meanwhile();
                }
                self.log().started.push(flight.id.0);
                Ok(())
            }
        }
    }

    fn cancel(&self, flight: &Flight) {
        // As with libusb, asking for what does not fly has no effect.
        let mut log = self.log();
        if log.started.contains(&flight.id.0) {
            log.cancelled.push(flight.id.0);
        }
    }

    fn retire(&self, _: Flight) {}

    fn reclaim(&self, flight: &Flight) -> BytesMut {
        self.log().buffers.remove(&flight.id).unwrap_or_default()
    }

    fn displaces(&self, op: DeviceOp, endpoint: u8) -> bool {
        match op {
            DeviceOp::Reset => true,
            DeviceOp::SetConfiguration(_) => endpoint != 0,
            DeviceOp::SetInterface { .. } | DeviceOp::ClearHalt(_) => false,
        }
    }

    fn operate(&self, op: DeviceOp) -> Result<(), TransferError> {
        let result = self.gate.as_ref().map_or(Ok(()), |gate| gate.lock().unwrap().recv().unwrap());
        self.log().operated.push(op);
        result
    }

    fn wake(&self) {
        self.log().wakes += 1;
    }
}

/// An URB that came up: its name, its status, its bytes.
type Given = (u64, Result<usize, TransferError>, Vec<u8>);

#[derive(Default)]
struct Top(Mutex<Vec<Given>>);

impl Upcall for Top {
    fn give_back(&self, replies: &mut Vec<Reply>) {
        let given = replies.drain(..).map(|reply| (reply.id.0, reply.status, reply.buffer.to_vec()));
        self.0.lock().unwrap().extend(given);
    }

    fn gone(&self) {}
}

struct Bench {
    schedule: Arc<Schedule<Fake>>,
    top: Arc<Top>,
}

impl Bench {
    fn new(wire: Fake) -> Self {
        let top = Arc::new(Top::default());
        Self { schedule: Schedule::new(wire, top.clone()), top }
    }

    /// A bench whose operations end when the test says how.
    fn gated() -> (Self, mpsc::Sender<Result<(), TransferError>>) {
        let (go, gate) = mpsc::channel();
        (Self::new(Fake { gate: Some(Mutex::new(gate)), ..Fake::default() }), go)
    }

    fn control(&self, id: u64) {
        let setup = Setup::vendor_out(1, 0, 0, 1);
        self.submit(id, TransferType::Control, 0, Some(setup));
    }

    fn bulk(&self, id: u64) {
        self.submit(id, TransferType::Bulk, 2, None);
    }

    fn submit(&self, id: u64, transfer_type: TransferType, endpoint: u8, setup: Option<Setup>) {
        let buffer = BytesMut::from(&[id as u8][..]);
        self.schedule.submit(FlatUrb {
            id: UrbId(id),
            transfer_type,
            endpoint,
            setup,
            buffer,
            length: 1,
            zero_packet: false,
        });
    }

    /// The wire gives an URB back.
    fn end(&self, id: u64, status: Result<usize, TransferError>) {
        let buffer = self.schedule.wire().log().buffers.remove(&UrbId(id)).unwrap();
        self.schedule.ended(Reply { id: UrbId(id), status, buffer });
    }

    /// A round of the event thread.
    fn turn(&self) -> bool {
        let over = self.schedule.turn();
        if !over {
            self.schedule.advance();
        }
        over
    }

    fn started(&self) -> Vec<u64> {
        self.schedule.wire().log().started.clone()
    }

    fn cancelled(&self) -> Vec<u64> {
        let mut cancelled = self.schedule.wire().log().cancelled.clone();
        cancelled.sort_unstable();
        cancelled
    }

    fn given(&self) -> Vec<(u64, Result<usize, TransferError>)> {
        self.top.0.lock().unwrap().iter().map(|(id, status, _)| (*id, *status)).collect()
    }
}

#[test]
fn h1_an_urb_starts_at_once_and_goes_up_with_its_buffer() {
    let bench = Bench::new(Fake::default());
    bench.bulk(1);
    bench.control(2);
    assert_eq!(bench.started(), [1, 2]);
    bench.end(2, Ok(1));
    bench.end(1, Err(TransferError::Stall));
    assert_eq!(bench.given(), [], "up they go on the event thread's round");
    assert!(!bench.turn());
    let given = bench.top.0.lock().unwrap().clone();
    assert_eq!(given, [(2, Ok(1), vec![2]), (1, Err(TransferError::Stall), vec![1])]);
}

#[test]
fn h2_an_operation_that_comes_while_an_urb_is_being_started_takes_it_back_too() {
    let bench = Bench::new(Fake::default());
    let schedule = bench.schedule.clone();
    *bench.schedule.wire().meanwhile.lock().unwrap() = Some(Box::new(move || {
        schedule.operate(UrbId(9), DeviceOp::Reset);
        schedule.turn();
        schedule.advance();
    }));
    bench.bulk(1);
    assert_eq!(bench.cancelled(), [1]);
    bench.end(1, Err(TransferError::Cancelled));
    assert!(!bench.turn());
    bench.schedule.join_helper();
    assert_eq!(bench.schedule.wire().log().operated, [DeviceOp::Reset]);
}

#[test]
fn h1_an_urb_that_the_wire_refuses_comes_back_with_its_buffer() {
    let bench = Bench::new(Fake { refuses: Some((1, TransferError::NoMemory)), ..Fake::default() });
    bench.bulk(1);
    assert_eq!(*bench.top.0.lock().unwrap(), [(1, Err(TransferError::NoMemory), vec![1])]);
    assert!(!bench.turn(), "the device is still there");
    bench.bulk(2);
    assert_eq!(bench.started(), [2]);
}

#[test]
fn h6_a_device_that_is_gone_at_submission_ends_everything() {
    let bench = Bench::new(Fake { refuses: Some((2, TransferError::Shutdown)), ..Fake::default() });
    bench.bulk(1);
    bench.bulk(2);
    assert!(!bench.turn(), "one is still in flight");
    assert_eq!(bench.cancelled(), [1]);
    bench.end(1, Err(TransferError::Cancelled));
    assert!(bench.turn());
    bench.bulk(3);
    let lost = Err(TransferError::Shutdown);
    assert_eq!(bench.given(), [(2, lost), (1, lost), (3, lost)], "a cancel by unplugging is no cancel");
}

#[test]
fn h6_one_transfer_that_tells_of_the_unplugging_ends_all() {
    let bench = Bench::new(Fake::default());
    (1..=3).for_each(|id| bench.bulk(id));
    bench.end(2, Err(TransferError::Shutdown));
    assert!(!bench.turn());
    assert_eq!(bench.cancelled(), [1, 3]);
    bench.bulk(4);
    assert_eq!(bench.started(), [1, 2, 3], "nothing is taken any more");
    bench.end(1, Err(TransferError::Cancelled));
    // This one had ended before the cancel reached it.
    bench.end(3, Ok(1));
    assert!(bench.turn());
    let lost = Err(TransferError::Shutdown);
    assert_eq!(bench.given(), [(2, lost), (4, lost), (1, lost), (3, Ok(1))]);
}

#[test]
fn h2_a_close_waits_until_the_wire_has_given_everything_back() {
    let bench = Bench::new(Fake::default());
    bench.bulk(1);
    bench.schedule.end();
    assert!(!bench.turn() && !bench.turn() && !bench.turn());
    assert_eq!(bench.cancelled(), [1], "it is asked for once");
    assert_eq!(bench.given(), []);
    bench.end(1, Err(TransferError::Cancelled));
    assert!(bench.turn());
    assert_eq!(bench.given(), [(1, Err(TransferError::Shutdown))]);
}

#[test]
fn h2_a_cancel_asks_the_wire_and_an_unknown_one_is_ignored() {
    let bench = Bench::new(Fake::default());
    bench.bulk(1);
    bench.schedule.cancel(UrbId(7));
    bench.schedule.cancel(UrbId(1));
    assert_eq!(bench.cancelled(), [1]);
    assert_eq!(bench.given(), [], "the buffer is the wire's until it gives it back");
    bench.end(1, Err(TransferError::Cancelled));
    bench.turn();
    bench.schedule.cancel(UrbId(1));
    assert_eq!((bench.given(), bench.cancelled()), (vec![(1, Err(TransferError::Cancelled))], vec![1]));
}

#[test]
fn h2_an_operation_waits_for_control_transfers_and_later_urbs_wait_for_it() {
    let (bench, go) = Bench::gated();
    bench.control(1);
    bench.bulk(2);
    bench.schedule.operate(UrbId(3), DeviceOp::ClearHalt(2));
    bench.control(4);
    bench.bulk(5);
    bench.turn();
    assert!(bench.schedule.lock().operating.is_none(), "a control transfer is before it");
    bench.end(1, Ok(1));
    bench.turn();
    assert!(bench.schedule.lock().operating.is_some());
    bench.turn();
    assert_eq!((bench.started(), bench.cancelled()), (vec![1, 2], vec![]));
    go.send(Ok(())).unwrap();
    bench.schedule.join_helper();
    bench.turn();
    assert_eq!(bench.started(), [1, 2, 4, 5]);
    assert_eq!(bench.given(), [(1, Ok(1)), (3, Ok(0))]);
    assert_eq!(bench.schedule.wire().log().operated, [DeviceOp::ClearHalt(2)]);
}

#[test]
fn h2_a_reset_begins_when_all_urbs_are_back() {
    let (bench, go) = Bench::gated();
    bench.control(1);
    bench.bulk(2);
    bench.schedule.operate(UrbId(3), DeviceOp::Reset);
    bench.turn();
    assert_eq!(bench.cancelled(), [1, 2]);
    bench.end(1, Err(TransferError::Cancelled));
    bench.turn();
    assert!(bench.schedule.lock().operating.is_none());
    bench.end(2, Err(TransferError::Cancelled));
    bench.turn();
    assert_eq!(bench.cancelled(), [1, 2], "asked for once");
    go.send(Ok(())).unwrap();
    bench.schedule.join_helper();
    bench.turn();
    let cancelled = Err(TransferError::Cancelled);
    assert_eq!(bench.given(), [(1, cancelled), (2, cancelled), (3, Ok(0))]);
}

#[test]
fn h2_what_is_held_can_be_cancelled_at_once() {
    let bench = Bench::new(Fake::default());
    bench.control(1);
    bench.schedule.operate(UrbId(2), DeviceOp::SetConfiguration(1));
    bench.bulk(3);
    bench.schedule.cancel(UrbId(3));
    bench.schedule.cancel(UrbId(2));
    let cancelled = Err(TransferError::Cancelled);
    assert_eq!(*bench.top.0.lock().unwrap(), [(3, cancelled, vec![3]), (2, cancelled, vec![])]);
    bench.bulk(4);
    bench.turn();
    assert_eq!(bench.started(), [1, 4], "nothing is in the way any more");
    assert_eq!(bench.schedule.wire().log().operated, []);
}

#[test]
fn h6_an_unplugging_found_by_an_operation_ends_all_that_is_held() {
    let (bench, go) = Bench::gated();
    bench.schedule.operate(UrbId(1), DeviceOp::Reset);
    bench.turn();
    bench.bulk(2);
    bench.schedule.operate(UrbId(3), DeviceOp::ClearHalt(2));
    go.send(Err(TransferError::Shutdown)).unwrap();
    bench.schedule.join_helper();
    assert!(bench.turn());
    let lost = Err(TransferError::Shutdown);
    assert_eq!(bench.given(), [(1, lost), (2, lost), (3, lost)]);
}

#[test]
fn h2_a_close_waits_for_the_operation_that_runs() {
    let (bench, go) = Bench::gated();
    bench.schedule.operate(UrbId(1), DeviceOp::ClearHalt(2));
    bench.turn();
    bench.schedule.end();
    assert!(!bench.turn());
    go.send(Ok(())).unwrap();
    bench.schedule.join_helper();
    assert!(bench.turn());
    assert_eq!(bench.given(), [(1, Ok(0))]);
}

#[test]
fn h2_a_held_urb_that_the_wire_refuses_lets_the_next_one_go() {
    let (go, gate) = mpsc::channel();
    let refuses = Some((2, TransferError::NoMemory));
    let bench = Bench::new(Fake { refuses, gate: Some(Mutex::new(gate)), ..Fake::default() });
    bench.schedule.operate(UrbId(1), DeviceOp::ClearHalt(2));
    bench.turn();
    bench.bulk(2);
    bench.bulk(3);
    go.send(Err(TransferError::Stall)).unwrap();
    bench.schedule.join_helper();
    bench.turn();
    assert_eq!(bench.started(), [3]);
    assert_eq!(bench.given(), [(1, Err(TransferError::Stall)), (2, Err(TransferError::NoMemory))]);
}

#[test]
fn h3_urbs_end_while_others_are_submitted_from_another_thread() {
    let bench = Bench::new(Fake::default());
    let count = 500;
    thread::scope(|scope| {
        scope.spawn(|| (1..=count).for_each(|id| bench.bulk(id)));
        let mut back = 0;
        while back < count {
            let started = bench.started();
            for id in &started[usize::try_from(back).unwrap()..] {
                bench.end(*id, Ok(1));
                back += 1;
            }
            bench.turn();
            thread::yield_now();
        }
    });
    bench.turn();
    assert_eq!(bench.given().len(), 500);
    bench.schedule.end();
    assert!(bench.turn(), "nothing is left in flight");
}
