//! Devices imported over loopback: from our own server, and from servers that misbehave.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use airlift_hcd::usbip::protocol::*;
use airlift_hcd::usbip::{ImportError, ImportOptions, Server, ServerHandle, list_blocking};
use airlift_hcd::{
    Descriptors, HostController, HotplugEvent, Port, Setup, Speed, Trace, TraceOptions, TransferError, Urb,
    UsbDevice,
};
use airlift_runtime::{Clock, Kernel};
use common::*;
use futures::StreamExt as _;

/// Short enough that a test of silence does not take long; nothing else depends on it.
const SHORT: Duration = Duration::from_millis(200);
/// Where nobody is to be given up, however busy the machine is.
const LONG: Duration = Duration::from_secs(60);

struct Remote {
    kernel: Kernel,
    controller: HostController,
    server: ServerHandle,
    port: Port,
    device: UsbDevice,
    seen: Arc<Mutex<Seen>>,
}

fn controller() -> (Kernel, HostController) {
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    (kernel, controller)
}

fn remote() -> Remote {
    let (gadget, seen) = Gadget::new();
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(gadget)).start().unwrap();
    let (kernel, controller) = controller();
    let address = server.address().to_string();
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[])).unwrap();
    let device = port.device();
    Remote { kernel, controller, server, port, device, seen }
}

/// Lets the gadget send `bytes` on bulk IN.
fn send(seen: &Mutex<Seen>, bytes: &[u8]) {
    let mut seen = seen.lock().unwrap();
    seen.outbox.push_back(bytes.to_vec());
    seen.waker.as_ref().unwrap().wake_by_ref();
}

#[test]
fn h4_an_imported_device_looks_like_a_local_one() {
    let Remote { kernel: _kernel, controller, server, port, device, seen } = remote();
    assert_eq!((device.info().vendor_id, device.info().product_id), (0x1209, 1));
    assert_eq!((device.speed(), device.configuration_value()), (Speed::High, 1));
    assert_eq!(device.info().location, format!("{}/1-1", server.address()));
    assert_eq!(device.configuration().unwrap().as_bytes()[..], configuration());
    assert_eq!(seen.lock().unwrap().configurations, [1]);
    assert!(controller.devices().contains(&device));
    block_on(async {
        assert_eq!(device.strings().await.unwrap().product.as_deref(), Some("Gadget π"));
        assert_eq!(device.submit(echo(0x1234)).await.into_result().unwrap()[..], [0x34, 0x12]);
        device.submit(note(77)).await.status.unwrap();
        let unknown = device.submit(Urb::control_in(Setup::vendor_in(99, 0, 0, 4))).await;
        assert_eq!(unknown.status, Err(TransferError::Stall));
        assert_eq!(device.submit(Urb::bulk_out(BULK_OUT, &b"hello"[..])).await.actual_length, 5);
        let reading = device.submit(Urb::bulk_in(BULK_IN, 512));
        send(&seen, b"frame");
        assert_eq!(reading.await.into_result().unwrap()[..], *b"frame");
        let short = device.submit(Urb::bulk_in(BULK_IN, 512).short_not_ok());
        send(&seen, b"short");
        let short = short.await;
        assert_eq!((short.status, &short.buffer[..]), (Err(TransferError::Short), &b"short"[..]));
        let much = device.submit(Urb::control_in(Setup::vendor_in(TOO_MUCH, 0, 0, 4))).await;
        assert_eq!((much.status, much.actual_length), (Err(TransferError::Overflow), 4));
    });
    assert_eq!(seen.lock().unwrap().notes, [77]);
    assert_eq!(seen.lock().unwrap().received, [b"hello"]);
    drop(port);
    block_on(device.closed());
    server.stop_blocking();
}

#[test]
fn h2_many_urbs_are_in_flight_and_come_back_in_order() {
    let remote = remote();
    let Remote { device, seen, .. } = &remote;
    block_on(async {
        let reads: Vec<_> = (0..64).map(|_| device.submit(Urb::bulk_in(BULK_IN, 64))).collect();
        // They hold nobody up.
        let echoes: Vec<_> = (0..300).map(|n| device.submit(echo(n))).collect();
        for (n, echo) in (0..300_u16).zip(echoes) {
            assert_eq!(echo.await.into_result().unwrap()[..], n.to_le_bytes());
        }
        (0..64).for_each(|n| send(seen, &[n; 3]));
        for (n, read) in (0..64).zip(reads) {
            assert_eq!(read.await.into_result().unwrap()[..], [n; 3]);
        }
    });
}

#[test]
fn h2_an_urb_is_taken_back_and_its_bytes_are_not_lost() {
    let remote = remote();
    let Remote { device, seen, .. } = &remote;
    block_on(async {
        let [first, second] = [(); 2].map(|()| device.submit(Urb::bulk_in(BULK_IN, 64)));
        first.kill();
        assert_eq!(first.await.status, Err(TransferError::Cancelled));
        send(seen, b"kept");
        assert_eq!(second.await.into_result().unwrap()[..], *b"kept");
        let parked = device.submit(park().timeout(Duration::from_millis(50)));
        assert_eq!(parked.await.status, Err(TransferError::Timeout));
        drop(device.submit(park()));
        while device.pending() > 0 {
            thread::yield_now();
        }
    });
    assert_eq!(seen.lock().unwrap().parked, 0);
}

#[test]
fn h2_halts_settings_and_resets_reach_the_device() {
    let remote = remote();
    let Remote { device, seen, .. } = &remote;
    block_on(async {
        let stalled = device.submit(Urb::bulk_out(BULK_OUT, &[0xee_u8][..])).await;
        assert_eq!(stalled.status, Err(TransferError::Stall));
        assert_eq!(device.submit(Urb::bulk_out(BULK_OUT, &b"x"[..])).await.status, Err(TransferError::Stall));
        device.clear_halt(BULK_OUT).await.unwrap();
        device.submit(Urb::bulk_out(BULK_OUT, &b"x"[..])).await.status.unwrap();
        device.set_interface(0, 1).await.unwrap();
        assert!(device.endpoints().get(BULK_OUT).is_none());
        let pending = device.submit(Urb::bulk_in(BULK_IN, 64));
        device.reset().await.unwrap();
        assert_eq!(pending.await.status, Err(TransferError::Cancelled));
        // The setting is as it was.
        let pending = device.submit(Urb::bulk_in(BULK_IN, 64));
        send(seen, b"again");
        assert_eq!(pending.await.into_result().unwrap()[..], *b"again");
    });
    let seen = seen.lock().unwrap();
    assert_eq!((seen.resets, &seen.configurations[..]), (1, &[1, 1][..]));
}

#[test]
fn h6_a_lost_connection_is_an_unplug() {
    let Remote { kernel: _kernel, controller, server, device, port, .. } = remote();
    let mut hotplug = controller.hotplug();
    assert!(matches!(block_on(hotplug.next()), Some(HotplugEvent::Arrived(_))));
    let pending = [(); 8].map(|()| device.submit(Urb::bulk_in(BULK_IN, 512)));
    server.stop_blocking();
    for urb in pending {
        assert_eq!(block_on(urb).status, Err(TransferError::Shutdown));
    }
    assert!(matches!(block_on(hotplug.next()), Some(HotplugEvent::Left(id)) if id == device.id()));
    block_on(device.closed());
    assert!(device.is_unplugged());
    assert_eq!(block_on(device.submit(echo(1))).status, Err(TransferError::Shutdown));
    drop(port);
}

#[test]
fn h6_letting_go_gives_the_device_back_to_the_server() {
    let Remote { kernel, controller, server, device, port, .. } = remote();
    let pending = device.submit(Urb::bulk_in(BULK_IN, 512));
    drop(port);
    assert_eq!(block_on(pending).status, Err(TransferError::Shutdown));
    block_on(device.closed());
    while server.is_imported("1-1") {
        thread::yield_now();
    }
    let address = server.address().to_string();
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[])).unwrap();
    let again = port.device();
    block_on(again.submit(echo(1))).status.unwrap();
    // The kernel's end is the device's.
    block_on(kernel.shutdown());
    block_on(again.closed());
    while server.is_imported("1-1") {
        thread::yield_now();
    }
}

#[test]
fn h5_layers_lie_above_an_imported_device() {
    let (gadget, _) = Gadget::new();
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(gadget)).start().unwrap();
    let (_kernel, controller) = controller();
    let trace = Trace::start(std::io::sink(), TraceOptions::new()).unwrap();
    let address = server.address().to_string();
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[&trace])).unwrap();
    block_on(port.device().submit(echo(1))).status.unwrap();
    assert_eq!(trace.finish_blocking().unwrap().records, 2);
}

#[test]
fn h4_a_server_is_asked_what_it_has_and_says_why_not() {
    let Remote { kernel: _kernel, server, controller, port, .. } = remote();
    let address = server.address().to_string();
    assert_eq!(list_blocking(&address, &ImportOptions::new()).unwrap(), []);
    let import = |id: &str| {
        let error = block_on(controller.import(&address, id, ImportOptions::new(), &[])).unwrap_err();
        error.to_string()
    };
    assert_eq!(import("1-1"), format!("device 1-1 of USB/IP server {address} is in use by somebody else"));
    assert_eq!(import("9-9"), format!("USB/IP server {address} exports no device 9-9"));
    drop(port);
    while server.is_imported("1-1") {
        thread::yield_now();
    }
    let [device] = &list_blocking(&address, &ImportOptions::new()).unwrap()[..] else { panic!("one device") };
    assert_eq!((device.bus_id.as_str(), device.vendor, device.interfaces.len()), ("1-1", 0x1209, 1));
    server.stop_blocking();
    let gone = list_blocking(&address, &ImportOptions::new()).unwrap_err();
    assert!(matches!(gone, ImportError::Connect { .. }), "{gone}");
}

#[test]
fn h4_a_device_elsewhere_does_not_follow_virtual_time() {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let refused = block_on(controller.import("127.0.0.1:1", "1-1", ImportOptions::new(), &[]));
    assert_eq!(refused.unwrap_err(), ImportError::VirtualTime);
}

/// A server that serves one connection by a script.
fn scripted(script: impl FnOnce(TcpStream) + Send + 'static) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, thread::spawn(move || script(listener.accept().unwrap().0)))
}

fn try_import(address: &str) -> Result<(Kernel, Port), ImportError> {
    import_within(address, SHORT, SHORT)
}

fn import_within(address: &str, limit: Duration, patience: Duration) -> Result<(Kernel, Port), ImportError> {
    let (kernel, controller) = controller();
    let options = ImportOptions::new().timeout(limit).patience(patience);
    block_on(controller.import(address, "1-1", options, &[])).map(|port| (kernel, port))
}

/// Waits until the client has hung up.
fn until_closed(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn h4_a_server_that_hangs_is_given_up_in_time_and_named() {
    let (address, silent) = scripted(until_closed);
    let error = try_import(&address).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("USB/IP server {address} did not answer within 0.2 s while importing")
    );
    silent.join().unwrap();
    // Nor does a byte now and then keep it waiting.
    let (address, trickling) = scripted(|mut stream| {
        let header = OpHeader { code: OP_REP_IMPORT, status: ST_OK }.emit();
        for byte in header.into_iter().chain([0; DEVICE_LEN]) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::park_timeout(SHORT / 4);
        }
        panic!("somebody waited for all of it");
    });
    assert!(matches!(try_import(&address).unwrap_err(), ImportError::Timeout { .. }));
    trickling.join().unwrap();
}

#[test]
fn h4_what_is_no_usbip_server_is_told_apart() {
    let answers: [(&[u8], &str); 6] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol version 0x4854"),
        (&[1, 0x11, 0, 5, 0, 0, 0, 0], "operation 0x0005 is not known"),
        (&[1, 0x11, 0, 3, 0, 0, 0, 1], "refused device 1-1 with status 1"),
        (&[1, 0x11, 0, 3, 0, 0, 0, 0, 0, 0], "ended the connection while importing"),
        (&[], "ended the connection while importing: it closed it"),
        (&[1, 0x11, 0, 3, 0, 0, 0, 4], "exports no device 1-1"),
    ];
    for (answer, says) in answers {
        let (address, server) = scripted(move |mut stream| {
            stream.read_exact(&mut [0; OP_HEADER_LEN + BUS_ID_LEN]).unwrap();
            stream.write_all(answer).unwrap();
        });
        let error = try_import(&address).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        server.join().unwrap();
    }
    let (address, server) = scripted(|mut stream| {
        stream.read_exact(&mut [0; OP_HEADER_LEN]).unwrap();
        stream.write_all(&OpHeader { code: OP_REP_DEVLIST, status: 0 }.emit()).unwrap();
        stream.write_all(&[0xff; 4]).unwrap();
        until_closed(stream);
    });
    let error = list_blocking(&address, &ImportOptions::new()).unwrap_err().to_string();
    assert!(error.contains("a list of 4294967295 devices"), "{error}");
    server.join().unwrap();
}

/// The server's side of a connection, honest up to the configuration.
struct Honest(TcpStream);

impl Honest {
    fn serve(mut stream: TcpStream) -> Self {
        let descriptors = Descriptors {
            device: DEVICE,
            configuration: configuration(),
            strings: Vec::new(),
            speed: Speed::High,
        };
        stream.read_exact(&mut [0; OP_HEADER_LEN + BUS_ID_LEN]).unwrap();
        stream.write_all(&OpHeader { code: OP_REP_IMPORT, status: ST_OK }.emit()).unwrap();
        stream.write_all(&DeviceRecord::new("1-1", 2, &descriptors).emit()).unwrap();
        let mut honest = Self(stream);
        for data in [&DEVICE[..], &configuration()[..9], &configuration()[..], &[]] {
            let (sequence, length) = honest.submitted();
            assert_eq!(length, data.len());
            honest.answer(Answer::Submit { sequence, status: 0, actual: data.len() }, data);
        }
        honest
    }

    /// The number and length of the next URB.
    fn submitted(&mut self) -> (u32, usize) {
        let mut header = [0; HEADER_LEN];
        self.0.read_exact(&mut header).unwrap();
        match Command::parse(&header, 1 << 20).unwrap() {
            Command::Submit { sequence, length, .. } => (sequence, length),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, answer: Answer, data: &[u8]) {
        self.0.write_all(&[&answer.emit()[..], data].concat()).unwrap();
    }
}

#[test]
fn h6_an_imported_devices_server_that_misbehaves_is_hung_up_on() {
    type Attack = fn(&mut Honest, u32);
    let attacks: [(&str, Attack); 9] = [
        ("more than was asked for", |s, sequence| {
            s.answer(Answer::Submit { sequence, status: 0, actual: 65 }, &[0; 65]);
        }),
        ("two gigabytes", |s, sequence| {
            s.answer(Answer::Submit { sequence, status: 0, actual: i32::MAX as usize }, &[]);
        }),
        ("less than nothing", |s, sequence| {
            let mut header = Answer::Submit { sequence, status: 0, actual: 0 }.emit();
            header[24..28].copy_from_slice(&[0xff; 4]);
            s.0.write_all(&header).unwrap();
        }),
        ("an URB that is not in flight", |s, sequence| {
            s.answer(Answer::Submit { sequence: sequence + 5, status: 0, actual: 0 }, &[]);
        }),
        ("an unlink that nobody asked for", |s, sequence| {
            s.answer(Answer::Unlink { sequence, status: 0 }, &[]);
        }),
        ("a command instead of an answer", |s, sequence| {
            s.0.write_all(&Command::Unlink { sequence, device: 2, victim: 1 }.emit()).unwrap();
        }),
        ("stops within a header", |s, _| s.0.write_all(&[0; 7]).unwrap()),
        ("stops within the data", |s, sequence| {
            s.answer(Answer::Submit { sequence, status: 0, actual: 64 }, &[0; 63]);
        }),
        ("never says anything again", |_, _| {}),
    ];
    for (name, attack) in attacks {
        let (address, server) = scripted(move |stream| {
            let mut honest = Honest::serve(stream);
            let (sequence, _) = honest.submitted();
            attack(&mut honest, sequence);
            until_closed(honest.0);
        });
        let stops = name.starts_with("stops") || name.starts_with("never");
        let patience = if stops { SHORT } else { LONG };
        let imported = import_within(&address, LONG, patience);
        let (_kernel, port) = imported.unwrap_or_else(|error| panic!("{name}: {error}"));
        let device = port.device();
        let urbs = [(); 2].map(|()| device.submit(Urb::bulk_in(BULK_IN, 64)));
        for urb in urbs {
            assert_eq!(block_on(urb).status, Err(TransferError::Shutdown), "{name}");
        }
        block_on(device.closed());
        assert_eq!(device.pending(), 0);
        server.join().unwrap();
    }
}

#[test]
fn h6_an_unlink_that_is_never_answered_ends_the_connection_however_busy_it_is() {
    let (address, server) = scripted(|stream| {
        let mut honest = Honest::serve(stream);
        let mut header = [0; HEADER_LEN];
        // Answers every URB but the first, and no unlink, until the other side hangs up.
        for number in 0.. {
            if honest.0.read_exact(&mut header).is_err() {
                return;
            }
            if let Command::Submit { sequence, .. } = Command::parse(&header, 1 << 20).unwrap()
                && number > 0
                && honest.0.write_all(&Answer::Submit { sequence, status: 0, actual: 0 }.emit()).is_err()
            {
                return;
            }
        }
    });
    let (_kernel, port) = import_within(&address, LONG, SHORT).unwrap();
    let device = port.device();
    let forgotten = device.submit(Urb::bulk_in(BULK_IN, 64));
    forgotten.kill();
    while block_on(device.submit(Urb::bulk_in(BULK_IN, 64))).status.is_ok() {}
    assert_eq!(block_on(forgotten).status, Err(TransferError::Shutdown));
    block_on(device.closed());
    server.join().unwrap();
}

/// As a server may: it answers the unlink without the URB's end.
#[test]
fn h2_an_unlink_that_is_answered_ends_the_urb_whatever_its_status() {
    let (address, server) = scripted(|stream| {
        let mut honest = Honest::serve(stream);
        honest.submitted();
        let mut header = [0; HEADER_LEN];
        honest.0.read_exact(&mut header).unwrap();
        let Command::Unlink { sequence, .. } = Command::parse(&header, 0).unwrap() else { panic!() };
        honest.answer(Answer::Unlink { sequence, status: 0 }, &[]);
        until_closed(honest.0);
    });
    let (_kernel, port) = import_within(&address, LONG, SHORT).unwrap();
    let urb = port.device().submit(Urb::bulk_in(BULK_IN, 64));
    urb.kill();
    assert_eq!(block_on(urb).status, Err(TransferError::Cancelled));
    drop(port);
    server.join().unwrap();
}

impl Honest {
    /// The number of the next URB, a probe.
    fn probed(&mut self) -> u32 {
        let mut header = [0; HEADER_LEN];
        self.0.read_exact(&mut header).unwrap();
        let Command::Submit { sequence, endpoint: 0x80, length, setup, .. } =
            Command::parse(&header, 1 << 20).unwrap()
        else {
            panic!("a probe");
        };
        assert_eq!((length, setup), (18, Setup::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0])));
        sequence
    }

    /// The number of the next unlink, and what it takes back.
    fn unlinked(&mut self) -> (u32, u32) {
        let mut header = [0; HEADER_LEN];
        self.0.read_exact(&mut header).unwrap();
        match Command::parse(&header, 0).unwrap() {
            Command::Unlink { sequence, victim, .. } => (sequence, victim),
            other => panic!("{other:?}"),
        }
    }
}

/// A device may keep its control pipe waiting; the server is there all the same, and says so by the unlink's answer.
#[test]
fn h6_an_idle_server_whose_device_keeps_the_probe_waiting_is_kept_until_it_owes_the_unlink_too() {
    // Time enough for the script, however busy the machine is.
    const PATIENCE: Duration = Duration::from_millis(800);
    let (address, server) = scripted(|stream| {
        let mut honest = Honest::serve(stream);
        let (probe, (sequence, victim)) = (honest.probed(), honest.unlinked());
        assert_eq!(victim, probe);
        honest.answer(Answer::Unlink { sequence, status: -104 }, &[]);
        // The next one's end and its unlink cross.
        let (probe, (sequence, victim)) = (honest.probed(), honest.unlinked());
        assert_eq!(victim, probe);
        honest.answer(Answer::Submit { sequence: probe, status: 0, actual: 18 }, &DEVICE);
        honest.answer(Answer::Unlink { sequence, status: 0 }, &[]);
        // It was kept, then.
        let (probe, (_, victim)) = (honest.probed(), honest.unlinked());
        assert_eq!(victim, probe);
        until_closed(honest.0);
    });
    let (_kernel, port) = import_within(&address, LONG, PATIENCE).unwrap();
    server.join().unwrap();
    block_on(port.device().closed());
}

/// An idle connection is asked for a sign of life, and lives on when there is one.
#[test]
fn h6_an_idle_server_that_answers_probes_is_kept() {
    let (address, server) = scripted(|stream| {
        let mut honest = Honest::serve(stream);
        for (status, data) in [(0, &DEVICE[..]), (-32, &[]), (0, &DEVICE[..8])] {
            let sequence = honest.probed();
            honest.answer(Answer::Submit { sequence, status, actual: data.len() }, data);
        }
        // It was kept, then; but not for more than was asked for.
        let sequence = honest.probed();
        honest.answer(Answer::Submit { sequence, status: 0, actual: 19 }, &[0; 19]);
        until_closed(honest.0);
    });
    let (_kernel, port) = import_within(&address, LONG, SHORT).unwrap();
    server.join().unwrap();
    block_on(port.device().closed());
}

#[test]
fn h4_where_a_device_sits_is_told_as_its_server_says_it() {
    let (address, server) = scripted(|stream| until_closed(Honest::serve(stream).0));
    let (_kernel, port) = import_within(&address, LONG, LONG).unwrap();
    assert_eq!(port.device().info().remote_path.as_deref(), Some("/airlift/1-1"));
    drop(port);
    server.join().unwrap();
    let (_kernel, controller) = controller();
    let local = controller.plug(Gadget::new().0);
    assert_eq!(local.device().info().remote_path, None);
}
