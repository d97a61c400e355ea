//! Any bytes at the USB/IP codec, and any message through it and back; any bytes at a running server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use airlift_hcd::usbip::protocol::*;
use airlift_hcd::usbip::{Limits, Server};
use airlift_hcd::{Descriptors, FunctionUrb, Setup, Speed, Submit, TransferError, UsbFunction};
use proptest::prelude::*;

fn header() -> impl Strategy<Value = [u8; HEADER_LEN]> {
    // The command is one of the four more often than not, so that what is behind it gets looked at.
    (prop::array::uniform16(any::<[u8; 3]>()), prop_oneof![1..5_u32, any::<u32>()]).prop_map(
        |(bytes, command)| {
            let mut header: [u8; HEADER_LEN] = bytes.concat().try_into().unwrap();
            header[..4].copy_from_slice(&command.to_be_bytes());
            header
        },
    )
}

fn setup() -> impl Strategy<Value = Setup> {
    any::<[u8; 8]>().prop_map(Setup::from_bytes)
}

proptest! {
    #[test]
    fn h4_any_command_header_is_refused_or_within_its_bounds(mut bytes in header(), small in any::<bool>()) {
        if small {
            // Direction, endpoint, length and packets that make sense.
            for at in [12, 16, 24, 32] {
                bytes[at..at + 3].fill(0);
                bytes[at + 3] &= 1;
            }
        }
        match Command::parse(&bytes, 4096) {
            Ok(Command::Submit { endpoint, length, .. }) => {
                prop_assert!(length <= 4096 && endpoint & 0x70 == 0);
            }
            Ok(command @ Command::Unlink { .. }) => prop_assert_eq!(Command::parse(&command.emit(), 0), Ok(command)),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn h4_any_answer_header_is_refused_or_within_its_bounds(bytes in header()) {
        match Answer::parse(&bytes, 4096) {
            Ok(answer) => {
                let beyond = matches!(answer, Answer::Submit { actual, .. } if actual > 4096);
                prop_assert!(!beyond);
                prop_assert_eq!(Answer::parse(&answer.emit(), 4096), Ok(answer));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn h4_a_submit_survives_the_wire(
        (sequence, device, flags) in any::<(u32, u32, u32)>(),
        (number, is_in) in (0..16_u8, any::<bool>()),
        length in 0..4097_usize,
        setup in setup(),
    ) {
        let endpoint = number | if is_in { 0x80 } else { 0 };
        let command = Command::Submit { sequence, device, endpoint, flags, length, setup };
        prop_assert_eq!(Command::parse(&command.emit(), 4096), Ok(command));
    }

    #[test]
    fn h4_any_device_record_is_refused_or_stays_as_it_is(bytes in prop::collection::vec(any::<u8>(), DEVICE_LEN)) {
        let mut bytes: [u8; DEVICE_LEN] = bytes.try_into().unwrap();
        let _ = DeviceRecord::parse(&bytes);
        // With an id and a speed that make sense, all of it is read.
        bytes[256..288].copy_from_slice(&emit_bus_id("1-1"));
        bytes[296..300].copy_from_slice(&3_u32.to_be_bytes());
        let record = DeviceRecord::parse(&bytes).unwrap();
        prop_assert_eq!(&record.emit()[256..], &bytes[256..]);
    }

    #[test]
    fn h4_any_bus_id_is_refused_or_survives(bytes in any::<[u8; BUS_ID_LEN]>(), id in "[0-9.-]{0,40}") {
        if let Ok(id) = parse_bus_id(&bytes) {
            let emitted = emit_bus_id(id);
            prop_assert_eq!(parse_bus_id(&emitted), Ok(id));
        }
        let cut = &id[..id.len().min(BUS_ID_LEN - 1)];
        let emitted = emit_bus_id(&id);
        prop_assert_eq!(parse_bus_id(&emitted), Ok(cut));
    }

    #[test]
    fn h4_any_descriptors_make_a_record(configuration in prop::collection::vec(any::<u8>(), 0..300), device in any::<[u8; 18]>()) {
        let descriptors = Descriptors { device, configuration, strings: Vec::new(), speed: Speed::High };
        let record = DeviceRecord::new("1-1", 2, &descriptors);
        prop_assert_eq!(record.interfaces.len(), usize::from(record.counts[2]));
    }
}

/// Stalls everything.
struct Stalling;

impl UsbFunction for Stalling {
    fn descriptors(&self) -> Descriptors {
        let device = [18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 1, 0, 0, 1, 0, 0, 0, 1];
        let configuration = vec![9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 0xff, 0, 0, 0];
        Descriptors { device, configuration, strings: Vec::new(), speed: Speed::High }
    }
    fn submit(&mut self, _: Duration, urb: FunctionUrb) -> Submit {
        urb.fail(TransferError::Stall).into()
    }
}

/// Messages that begin well, with any bytes in them and behind them.
fn talk() -> impl Strategy<Value = Vec<u8>> {
    let import = [&[1, 0x11, 0x80, 3, 0, 0, 0, 0], &emit_bus_id("1-1")[..]].concat();
    let opening = prop_oneof![Just(Vec::new()), Just(import), Just(vec![1, 0x11, 0x80, 5, 0, 0, 0, 0])];
    let message = prop_oneof![
        header().prop_map(|header| header.to_vec()),
        (any::<u32>(), 0..16_u8, 0..64_usize, setup()).prop_map(|(sequence, endpoint, length, setup)| {
            let submit = Command::Submit { sequence, device: 0x10002, endpoint, flags: 0, length, setup };
            [&submit.emit()[..], &vec![0; length]].concat()
        }),
        prop::collection::vec(any::<u8>(), 0..100),
    ];
    (opening, prop::collection::vec(message, 0..6))
        .prop_map(|(opening, messages)| [opening, messages.concat()].concat())
}

#[test]
fn h4_whatever_peers_say_the_server_serves_the_next_one() {
    let limits = Limits { patience: Duration::from_secs(2), ..Limits::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().limits(limits).export("1-1", Box::new(Stalling));
    let server = server.start().unwrap();
    let address = server.address();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    runner
        .run(&talk(), |bytes| {
            let mut stream = TcpStream::connect(address).unwrap();
            // It may have hung up by then.
            let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(Shutdown::Write));
            let _ = stream.read_to_end(&mut Vec::new());
            Ok(())
        })
        .unwrap();
    while server.is_imported("1-1") {
        std::thread::yield_now();
    }
    let mut last = TcpStream::connect(address).unwrap();
    last.write_all(&[1, 0x11, 0x80, 5, 0, 0, 0, 0]).unwrap();
    let mut list = [0; OP_HEADER_LEN + 4];
    last.read_exact(&mut list).unwrap();
    assert_eq!(list[8..], [0, 0, 0, 1]);
    server.stop_blocking();
}
