//! The trace layer above a device, and what tshark reads in its file.

mod common;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use airlift_hcd::{HostController, Setup, Trace, TraceOptions, TransferError, Urb};
use airlift_runtime::{Clock, Kernel};
use common::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One record of a file: type, transfer, endpoint, status, length, flags, the rest; and its number and time.
#[derive(Debug)]
struct Seen {
    urb: u64,
    event: char,
    kind: u8,
    endpoint: u8,
    status: i32,
    length: u32,
    setup: Option<[u8; 8]>,
    data: Vec<u8>,
    time_us: u64,
}

fn records(file: &[u8]) -> Vec<Seen> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut found) = (0, Vec::new());
    while at < file.len() {
        if word(at) == 6 {
            let packet = &file[at + 28..at + 28 + word(at + 20) as usize];
            let word = |at: usize| u32::from_le_bytes(packet[at..at + 4].try_into().unwrap());
            let long = |at: usize| u64::from_le_bytes(packet[at..at + 8].try_into().unwrap());
            found.push(Seen {
                urb: long(0),
                event: packet[8].into(),
                kind: packet[9],
                endpoint: packet[10],
                status: word(28) as i32,
                length: word(32),
                setup: (packet[14] == 0).then(|| packet[40..48].try_into().unwrap()),
                data: packet[64..].to_vec(),
                time_us: long(16) * 1_000_000 + u64::from(word(24)),
            });
        }
        at += word(at + 4) as usize;
    }
    found
}

/// A read, a write of a megabyte's share, a stall, a slow one, a bulk transfer that is killed, an unplug.
fn traced() -> Vec<u8> {
    let sink = Sink::default();
    let trace = Trace::start(sink.clone(), TraceOptions::new()).unwrap();
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = controller.plug_with(Gadget::new().0, &[&trace]);
    let device = port.device();
    let task = kernel.handle().spawn("driver", move |_| async move {
        device.submit(echo(0x1234)).await.status.unwrap();
        device.submit(Urb::bulk_out(BULK_OUT, &b"hello"[..])).await.status.unwrap();
        let unknown = device.submit(Urb::control_in(Setup::vendor_in(99, 1, 2, 3))).await;
        assert_eq!(unknown.status, Err(TransferError::Stall));
        device.submit(Urb::control_out(Setup::vendor_out(SLOW, 250, 0, 2), [7, 8])).await.status.unwrap();
        let killed = device.submit(Urb::bulk_in(BULK_IN, 512));
        killed.kill();
        assert_eq!(killed.await.status, Err(TransferError::Cancelled));
        device.clear_halt(BULK_IN).await.unwrap();
        let left = device.submit(Urb::interrupt_in(INTERRUPT_IN, 16));
        drop(port);
        assert_eq!(left.await.status, Err(TransferError::Shutdown));
        device.closed().await;
    });
    block_on(task.unwrap()).unwrap();
    block_on(kernel.shutdown());
    let summary = trace.finish_blocking().unwrap();
    assert_eq!((summary.records, summary.dropped), (14, 0));
    let file = sink.0.lock().unwrap();
    file.clone()
}

#[test]
fn h5_each_urb_is_a_record_when_submitted_and_one_when_given_back() {
    let records = records(&traced());
    let find = |number: u64, event| {
        records.iter().find(|r| r.urb & 0xffff == number && r.event == event).unwrap_or_else(|| {
            panic!("no {event} of URB {number}: {records:#?}");
        })
    };
    assert_eq!(records.len(), 14);
    for number in 1..=7 {
        let (submit, complete) = (find(number, 'S'), find(number, 'C'));
        assert_eq!(
            (submit.urb, submit.kind, submit.endpoint),
            (complete.urb, complete.kind, complete.endpoint)
        );
        assert_eq!((submit.status, complete.setup), (-115, None));
    }
    let read = (find(1, 'S'), find(1, 'C'));
    assert_eq!(read.0.setup, Some(Setup::vendor_in(ECHO, 0x1234, 0, 2).to_bytes()));
    assert_eq!((read.0.length, read.0.endpoint, &read.1.data[..]), (2, 0x80, &[0x34, 0x12][..]));
    assert_eq!(
        (&find(2, 'S').data[..], &find(2, 'C').data[..], find(2, 'C').length),
        (&b"hello"[..], &[][..], 5)
    );
    assert_eq!(find(3, 'C').status, -32);
    let slow = (find(4, 'S'), find(4, 'C'));
    assert_eq!((slow.1.time_us - slow.0.time_us, slow.1.status), (250, 0));
    assert_eq!((find(5, 'S').kind, find(5, 'S').length, find(5, 'C').status), (3, 512, -104));
    assert_eq!(find(6, 'S').setup, Some([2, 1, 0, 0, BULK_IN, 0, 0, 0]));
    assert_eq!((find(7, 'S').kind, find(7, 'C').status), (1, -108));
}

#[test]
fn h5_devices_in_one_trace_are_told_apart() {
    let sink = Sink::default();
    let trace = Trace::start(sink.clone(), TraceOptions::new().clock_origin(Duration::from_secs(9))).unwrap();
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let ports = [(); 2].map(|()| controller.plug_with(Gadget::new().0, &[&trace]));
    for port in &ports {
        block_on(port.device().submit(echo(1))).status.unwrap();
    }
    trace.finish_blocking().unwrap();
    let file = sink.0.lock().unwrap().clone();
    let mut numbers: Vec<u64> = records(&file).iter().map(|record| record.urb).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 2);
    assert!(records(&file).iter().all(|record| record.time_us == 9_000_000));
}

/// V4: what we write is read by others.
#[test]
fn v4_tshark_reads_the_trace_as_usbmons() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gadget.pcapng");
    std::fs::write(&path, traced()).unwrap();
    let fields = [
        "usb.urb_type",
        "usb.transfer_type",
        "usb.endpoint_address",
        "usb.urb_status",
        "usb.data_len",
        "usb.setup.bRequest",
        "usb.capdata",
        "usb.control.Response",
        "usb.request_in",
        "_ws.malformed",
    ];
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=;"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if std::env::var_os("AIRLIFT_REQUIRE_TSHARK").is_none() => {
            eprintln!("SKIPPED: tshark cannot be run ({error}): the file was not read by another program");
            return;
        }
        Err(error) => panic!("tshark: {error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 14, "{text}");
    let expected = [
        "S;0x02;0x80;-115;0;1;;;;",
        "C;0x02;0x80;0;2;;;3412;1;",
        "S;0x03;0x02;-115;5;;68656c6c6f;;;",
        "C;0x03;0x02;0;0;;;;3;",
        "S;0x02;0x80;-115;0;99;;;;",
        "C;0x02;0x80;-32;0;;;;5;",
    ];
    let plain: Vec<String> = lines.iter().map(|line| line.replace('\'', "")).collect();
    assert_eq!(plain[..6], expected, "{text}");
    assert!(plain.iter().all(|line| line.ends_with(';')), "malformed: {text}");
}
