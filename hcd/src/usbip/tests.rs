//! The server seen from a peer: a small client on loopback.
//!
//! The device under test does nothing by the clock: bulk IN is answered only by bytes that bulk OUT brought.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use super::protocol::*;
use super::{Limits, Server, ServerHandle};
use crate::function::{Descriptors, FunctionUrb, Reply, Speed, Submit, UrbId, UsbFunction};
use crate::setup::Setup;

/// Bulk OUT 0x02 feeds bulk IN 0x81. Vendor request 7 reads how many URBs were cancelled, 8 is answered late, 9 when
/// another thread says so, and at 10 it panics.
#[derive(Default)]
struct Echo {
    waker: Option<Waker>,
    awaiting_waker: Option<FunctionUrb>,
    woken: Arc<AtomicBool>,
    parked: VecDeque<FunctionUrb>,
    bytes: VecDeque<Vec<u8>>,
    cancelled: u8,
}

impl UsbFunction for Echo {
    fn descriptors(&self) -> Descriptors {
        let device = [18, 1, 0, 2, 0, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 1, 0, 0, 1];
        let configuration = vec![
            9, 2, 32, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 2, 0xff, 1, 2, 0, 7, 5, 0x81, 2, 0, 2, 0, 7, 5, 2, 2,
            0, 2, 0,
        ];
        Descriptors { device, configuration, strings: vec!["Echo".into()], speed: Speed::High }
    }

    fn plugged(&mut self, _now: Duration, waker: Waker) {
        self.waker = Some(waker);
    }

    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        match urb.endpoint() {
            0x81 => {
                self.parked.push_back(urb);
                Submit::Parked
            }
            0x02 => {
                self.bytes.push_back(urb.data().to_vec());
                urb.ok().into()
            }
            _ => match urb.setup().map(|s| s.request) {
                Some(7) => {
                    let cancelled = self.cancelled;
                    urb.reply(&[cancelled]).into()
                }
                Some(8) => Submit::After(Duration::from_millis(3), urb.reply(b"late")),
                Some(9) => {
                    self.awaiting_waker = Some(urb);
                    let (waker, woken) = (self.waker.clone().unwrap(), self.woken.clone());
                    std::thread::spawn(move || {
                        woken.store(true, Ordering::SeqCst);
                        waker.wake();
                    });
                    Submit::Parked
                }
                Some(10) => panic!("a function that panics"),
                _ => urb.fail(crate::TransferError::Stall).into(),
            },
        }
    }

    fn poll(&mut self, _now: Duration) -> Option<Reply> {
        if self.woken.load(Ordering::SeqCst)
            && let Some(urb) = self.awaiting_waker.take()
        {
            return Some(urb.reply(b"woken"));
        }
        if self.parked.is_empty() {
            return None;
        }
        let bytes = self.bytes.pop_front()?;
        Some(self.parked.pop_front()?.reply(&bytes))
    }

    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        let at = self.parked.iter().position(|urb| urb.id() == id)?;
        self.cancelled += 1;
        self.parked.remove(at)
    }
}

fn serve(limits: Limits) -> ServerHandle {
    let server = Server::bind("127.0.0.1:0").unwrap().limits(limits);
    server.export("1-1", Box::new(Echo::default())).start().unwrap()
}

struct Client {
    stream: TcpStream,
    device: u32,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, device: 0 }
    }

    fn imported(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        assert_eq!(client.import("1-1"), ST_OK);
        client.configure();
        client
    }

    fn import(&mut self, id: &str) -> u32 {
        self.stream.write_all(&OpHeader { code: OP_REQ_IMPORT, status: 0 }.emit()).unwrap();
        self.stream.write_all(&emit_bus_id(id)).unwrap();
        let header = OpHeader::parse(&self.take()).unwrap();
        assert_eq!(header.code, OP_REP_IMPORT);
        if header.status == ST_OK {
            self.device = DeviceRecord::parse(&self.take()).unwrap().device_id();
        }
        header.status
    }

    fn configure(&mut self) {
        let set = Setup { request_type: 0, request: 9, value: 1, index: 0, length: 0 };
        self.submit(u32::MAX, 0, 0, set, &[]);
        assert_eq!(self.answer().0, Answer::Submit { sequence: u32::MAX, status: 0, actual: 0 });
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn send(&mut self, command: Command, data: &[u8]) {
        self.stream.write_all(&[&command.emit()[..], data].concat()).unwrap();
    }

    fn submit(&mut self, sequence: u32, endpoint: u8, length: usize, setup: Setup, data: &[u8]) {
        let device = self.device;
        self.send(Command::Submit { sequence, device, endpoint, flags: 0, length, setup }, data);
    }

    fn bulk_in(&mut self, sequence: u32) {
        self.submit(sequence, 0x81, 512, Setup::from_bytes([0; 8]), &[]);
    }

    fn bulk_out(&mut self, sequence: u32, data: &[u8]) {
        self.submit(sequence, 0x02, data.len(), Setup::from_bytes([0; 8]), data);
    }

    fn unlink(&mut self, sequence: u32, victim: u32) {
        let device = self.device;
        self.send(Command::Unlink { sequence, device, victim }, &[]);
    }

    /// The next answer, and the bytes that follow it if its sequence number is one of an IN transfer here
    /// (below 1,000).
    fn answer(&mut self) -> (Answer, Vec<u8>) {
        let answer = Answer::parse(&self.take(), 1 << 20).unwrap();
        let mut data = Vec::new();
        if let Answer::Submit { sequence: 0..1000, actual, .. } = answer {
            data.resize(actual, 0);
            self.stream.read_exact(&mut data).unwrap();
        }
        (answer, data)
    }

    /// Waits for the server to hang up; `false` if it has not within the time that the client waits for anything.
    fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(got) => got == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

fn ok(sequence: u32, actual: usize) -> Answer {
    Answer::Submit { sequence, status: 0, actual }
}

#[test]
fn h4_the_server_lists_what_it_exports_and_not_what_is_taken() {
    let server = serve(Limits::default());
    let mut client = Client::connect(server.address());
    let list = |client: &mut Client| {
        client.stream.write_all(&OpHeader { code: OP_REQ_DEVLIST, status: 0 }.emit()).unwrap();
        assert_eq!(OpHeader::parse(&client.take()).unwrap(), OpHeader { code: OP_REP_DEVLIST, status: 0 });
        u32::from_be_bytes(client.take())
    };
    assert_eq!(list(&mut client), 1);
    let record = DeviceRecord::parse(&client.take()).unwrap();
    assert_eq!((record.vendor, record.product, record.bus_id.as_str()), (0x1234, 0x5678, "1-1"));
    assert_eq!(client.take(), [0xff, 1, 2, 0]);

    let owner = Client::imported(server.address());
    assert_eq!(list(&mut client), 0);
    assert_eq!(client.import("1-1"), ST_DEV_BUSY);
    assert_eq!(client.import("9-9"), ST_NODEV);
    owner.stream.shutdown(std::net::Shutdown::Both).unwrap();
    while server.is_imported("1-1") {
        std::thread::yield_now();
    }
    assert_eq!(client.import("1-1"), ST_OK);
    server.stop_blocking();
    assert!(client.is_closed());
}

#[test]
fn h4_the_server_answers_standard_requests_and_stalls_unknown_ones() {
    let server = serve(Limits::default());
    let mut client = Client::imported(server.address());
    let get = Setup { request_type: 0x80, request: 6, value: 0x0100, index: 0, length: 8 };
    client.submit(1, 0x80, 8, get, &[]);
    assert_eq!(client.answer(), (ok(1, 8), vec![18, 1, 0, 2, 0, 0, 0, 64]));
    client.submit(2, 0x80, 4, Setup::vendor_in(99, 0, 0, 4), &[]);
    assert_eq!(client.answer().0, Answer::Submit { sequence: 2, status: -32, actual: 0 });
    // Set-up and header disagree about the direction.
    client.submit(1003, 0, 4, Setup::vendor_in(7, 0, 0, 4), &[0; 4]);
    assert_eq!(client.answer().0, Answer::Submit { sequence: 1003, status: -22, actual: 0 });
    server.stop_blocking();
}

#[test]
fn h2_many_transfers_pend_and_end_in_order_while_others_pass_them() {
    let server = serve(Limits::default());
    let mut client = Client::imported(server.address());
    for sequence in 0..32 {
        client.bulk_in(sequence);
    }
    // The pending ones block nobody: a control transfer comes back at once.
    client.submit(900, 0x80, 1, Setup::vendor_in(7, 0, 0, 1), &[]);
    assert_eq!(client.answer(), (ok(900, 1), vec![0]));
    for sequence in 0..32u32 {
        client.bulk_out(1000 + sequence, &[sequence as u8; 3]);
    }
    let (mut ins, mut outs) = (Vec::new(), Vec::new());
    for _ in 0..64 {
        match client.answer() {
            (Answer::Submit { sequence: sequence @ 0..1000, status: 0, .. }, data) => {
                assert_eq!(data, [sequence as u8; 3]);
                ins.push(sequence);
            }
            (Answer::Submit { sequence, status: 0, actual: 3 }, _) => outs.push(sequence - 1000),
            other => panic!("{other:?}"),
        }
    }
    let all: Vec<u32> = (0..32).collect();
    assert_eq!((ins, outs), (all.clone(), all));
    server.stop_blocking();
}

#[test]
fn h4_unlink_takes_the_transfer_back_for_good() {
    let server = serve(Limits::default());
    let mut client = Client::imported(server.address());
    for sequence in 1..=3 {
        client.bulk_in(sequence);
    }
    // The second waits behind the first, which is with the function.
    client.unlink(50, 2);
    client.unlink(51, 1);
    for sequence in [50, 51] {
        assert_eq!(client.answer().0, Answer::Unlink { sequence, status: UNLINKED });
    }
    client.submit(900, 0x80, 1, Setup::vendor_in(7, 0, 0, 1), &[]);
    assert_eq!(client.answer(), (ok(900, 1), vec![1]));
    // What comes now is for the third: nothing was lost into an URB that is gone.
    client.bulk_out(1000, b"abc");
    let mut both = [client.answer(), client.answer()];
    both.sort_by_key(|(answer, _)| answer.emit());
    assert_eq!(both, [(ok(3, 3), b"abc".to_vec()), (ok(1000, 3), Vec::new())]);
    client.unlink(52, 3);
    assert_eq!(client.answer().0, Answer::Unlink { sequence: 52, status: 0 });
    server.stop_blocking();
}

#[test]
fn h4_what_ends_later_is_answered_without_being_asked_for() {
    let server = serve(Limits::default());
    let mut client = Client::imported(server.address());
    client.submit(1, 0x80, 8, Setup::vendor_in(8, 0, 0, 8), &[]);
    assert_eq!(client.answer(), (ok(1, 4), b"late".to_vec()));
    client.submit(2, 0x80, 8, Setup::vendor_in(9, 0, 0, 8), &[]);
    assert_eq!(client.answer(), (ok(2, 5), b"woken".to_vec()));
    server.stop_blocking();
}

#[test]
fn h4_a_function_that_panics_ends_its_import_and_no_other() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let server = server.export("1-1", Box::new(Echo::default())).export("1-2", Box::new(Echo::default()));
    let server = server.start().unwrap();
    let mut other = Client::connect(server.address());
    assert_eq!(other.import("1-2"), ST_OK);
    let mut client = Client::imported(server.address());
    client.submit(1, 0x80, 8, Setup::vendor_in(10, 0, 0, 8), &[]);
    assert!(client.is_closed());
    other.configure();
    server.stop_blocking();
}

#[test]
fn h4_a_function_that_panicked_is_on_offer_no_more_and_its_connection_is_given_up() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().limits(limits);
    let server = server.export("1-1", Box::new(Echo::default())).export("1-2", Box::new(Echo::default()));
    let server = server.start().unwrap();
    let mut client = Client::imported(server.address());
    client.submit(1, 0x80, 8, Setup::vendor_in(10, 0, 0, 8), &[]);
    assert!(client.is_closed());
    // The one place among the connections is free as soon as the thread has ended.
    let mut client = loop {
        let mut client = Client::connect(server.address());
        if client.stream.write_all(&OpHeader { code: OP_REQ_DEVLIST, status: 0 }.emit()).is_ok()
            && client.stream.read_exact(&mut [0; OP_HEADER_LEN]).is_ok()
        {
            break client;
        }
    };
    // One device is left in the list: the other one.
    assert_eq!(u32::from_be_bytes(client.take()), 1);
    let record = DeviceRecord::parse(&client.take()).unwrap();
    assert_eq!(record.bus_id, "1-2");
    server.stop_blocking();
}

#[test]
fn h4_a_peer_that_does_not_read_is_given_up() {
    let limits = Limits { patience: Duration::from_millis(300), ..Limits::default() };
    let server = serve(limits);
    let request = OpHeader { code: OP_REQ_DEVLIST, status: 0 }.emit();
    let mut asking = Client::connect(server.address());
    // Its questions fill the buffers of both sides until it stands still itself; then it is hung up on.
    while asking.stream.write_all(&request).is_ok() {}

    let mut importing = Client::imported(server.address());
    let setup = Setup::vendor_in(7, 0, 0, 1);
    let command = |sequence| {
        let device = importing.device;
        Command::Submit { sequence, device, endpoint: 0x80, flags: 0, length: 1, setup }.emit()
    };
    let mut sequence = 0;
    while importing.stream.write_all(&command(sequence)).is_ok() {
        sequence += 1;
    }
    while server.is_imported("1-1") {
        std::thread::yield_now();
    }
    server.stop_blocking();
}

#[test]
fn h4_a_peer_that_leaves_gives_everything_back() {
    let server = serve(Limits::default());
    let mut client = Client::imported(server.address());
    for sequence in 0..4 {
        client.bulk_in(sequence);
    }
    drop(client);
    while server.is_imported("1-1") {
        std::thread::yield_now();
    }
    let mut client = Client::imported(server.address());
    client.bulk_out(1000, b"new");
    assert_eq!(client.answer().0, ok(1000, 3));
    client.bulk_in(1);
    assert_eq!(client.answer(), (ok(1, 3), b"new".to_vec()));
    server.stop_blocking();
}

#[test]
fn h4_hostile_peers_are_hung_up_on_and_the_device_stays_on_offer() {
    let limits = Limits { urbs: 4, bytes: 4096, transfer: 2048, ..Limits::default() };
    let server = serve(limits);
    let address = server.address();

    let mut wrong_version = Client::connect(address);
    wrong_version.stream.write_all(&[0x09, 0x99, 0x80, 0x03, 0, 0, 0, 0]).unwrap();
    assert!(wrong_version.is_closed());

    let attacks: [fn(&mut Client); 7] = [
        |c| c.submit(1, 0x02, 2049, Setup::from_bytes([0; 8]), &[]),
        |c| c.stream.write_all(&[0xff; HEADER_LEN]).unwrap(),
        |c| {
            c.device += 1;
            c.bulk_in(1);
        },
        |c| (0..5).for_each(|sequence| c.bulk_in(sequence)),
        |c| (0..3).for_each(|s| c.submit(s, 0x81, 2048, Setup::from_bytes([0; 8]), &[])),
        |c| [1, 1].into_iter().for_each(|sequence| c.bulk_in(sequence)),
        |c| c.stream.write_all(&Answer::Unlink { sequence: 1, status: 0 }.emit()).unwrap(),
    ];
    for attack in attacks {
        let mut client = Client::imported(address);
        attack(&mut client);
        while server.is_imported("1-1") {
            std::thread::yield_now();
        }
        assert!(client.is_closed());
    }
    drop(Client::imported(address));
    server.stop_blocking();
}

#[test]
fn h4_a_half_open_peer_is_given_up() {
    let limits = Limits { patience: Duration::from_millis(300), ..Limits::default() };
    let server = serve(limits);
    let mut silent = Client::connect(server.address());
    assert!(silent.is_closed());
    let mut halfway = Client::imported(server.address());
    halfway.stream.write_all(&[0, 0, 0, 1]).unwrap();
    assert!(halfway.is_closed());
    server.stop_blocking();
}

#[test]
fn h4_stopping_ends_imports_in_the_middle() {
    let server = serve(Limits::default());
    let mut client = Client::imported(server.address());
    client.bulk_in(1);
    server.stop_blocking();
    assert!(client.is_closed());
}

/// The server takes connections in as they come: once it answers one, those before it have all had a place.
#[test]
fn h4_connections_that_ask_nothing_keep_nobody_out() {
    let limits = Limits { connections: 8, patience: Duration::from_secs(3600), ..Limits::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().limits(limits);
    let server = server.export("1-1", Box::new(Echo::default())).export("1-2", Box::new(Echo::default()));
    let server = server.start().unwrap();
    let mut owner = Client::connect(server.address());
    assert_eq!(owner.import("1-2"), ST_OK);
    let mut half_open: Vec<Client> = (0..30).map(|_| Client::connect(server.address())).collect();
    // Only somebody's going can let it in.
    let mut client = Client::imported(server.address());
    client.bulk_in(1);
    client.bulk_out(1000, b"in");
    let mut both = [client.answer(), client.answer()];
    both.sort_by_key(|(answer, _)| answer.emit());
    assert_eq!(both, [(ok(1, 2), b"in".to_vec()), (ok(1000, 2), Vec::new())]);
    // Beside the two with a device there is room for six.
    assert!(half_open[..24].iter_mut().all(Client::is_closed));
    half_open.extend((0..10).map(|_| Client::connect(server.address())));
    owner.configure();
    client.submit(900, 0x80, 1, Setup::vendor_in(7, 0, 0, 1), &[]);
    assert_eq!(client.answer(), (ok(900, 1), vec![0]));
    // The newest is there, and with it nobody left but those who came last.
    let mut newest = half_open.pop().unwrap();
    assert_eq!(newest.import("1-1"), ST_DEV_BUSY);
    assert!(half_open[..34].iter_mut().all(Client::is_closed));
    server.stop_blocking();
    assert!(half_open.iter_mut().all(Client::is_closed));
}

#[test]
fn h4_a_connection_beyond_the_limit_is_closed_when_all_others_have_devices() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = serve(limits);
    let mut owner = Client::imported(server.address());
    assert!(Client::connect(server.address()).is_closed());
    owner.submit(1, 0x80, 1, Setup::vendor_in(7, 0, 0, 1), &[]);
    assert_eq!(owner.answer(), (ok(1, 1), vec![0]));
    server.stop_blocking();
}
