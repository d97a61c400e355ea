//! What the USB/IP server makes of loopback, beside the floor: a bare echo of messages of the same sizes.
//!
//! Both are asked by the same client, with the same number of requests in flight, in turns; the floor answers each
//! 48-byte request with as many bytes and does nothing else.
//!
//! `cargo bench -p airlift-hcd --bench usbip`

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use airlift_hcd::usbip::Server;
use airlift_hcd::usbip::protocol::*;
use airlift_hcd::{Descriptors, FunctionUrb, Setup, Speed, Submit, UsbFunction};

const RUNS: usize = 9;
const DEVICE_ID: u32 = 0x0001_0002;

/// Answers every IN transfer in full.
struct Full(Vec<u8>);

impl UsbFunction for Full {
    fn descriptors(&self) -> Descriptors {
        Descriptors {
            device: [18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 0x01, 0x00, 0, 1, 0, 0, 0, 1],
            configuration: vec![
                9, 2, 25, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 0xff, 0, 0, 0, 7, 5, 0x81, 2, 0, 2, 0,
            ],
            strings: Vec::new(),
            speed: Speed::High,
        }
    }

    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        let length = urb.length().min(self.0.len());
        urb.reply(&self.0[..length]).into()
    }
}

/// What is asked for, over and over.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    endpoint: u8,
    length: usize,
    in_flight: u32,
    requests: u32,
}

const LOADS: [Load; 3] = [
    Load { name: "control reads, one at a time", endpoint: 0x80, length: 4, in_flight: 1, requests: 10_000 },
    Load { name: "control reads, 16 in flight", endpoint: 0x80, length: 4, in_flight: 16, requests: 60_000 },
    Load {
        name: "bulk in of 16 KiB, 4 in flight",
        endpoint: 0x81,
        length: 16_384,
        in_flight: 4,
        requests: 20_000,
    },
];

impl Load {
    fn request(self, sequence: u32) -> [u8; HEADER_LEN] {
        let setup = match self.endpoint {
            0x80 => Setup::vendor_in(5, 0, 0, self.length as u16),
            _ => Setup::from_bytes([0; 8]),
        };
        let Self { endpoint, length, .. } = self;
        Command::Submit { sequence, device: DEVICE_ID, endpoint, flags: 0, length, setup }.emit()
    }
}

fn drive(stream: &TcpStream, load: Load) -> Duration {
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut writer = stream;
    let mut answer = vec![0; HEADER_LEN + load.length];
    let started = Instant::now();
    let (mut sent, mut received) = (0, 0);
    let mut requests = Vec::new();
    while received < load.requests {
        requests.clear();
        while sent < load.requests && sent - received < load.in_flight {
            requests.extend_from_slice(&load.request(sent + 1));
            sent += 1;
        }
        writer.write_all(&requests).expect("the request");
        // Takes what has come together, as a client that is awake would.
        loop {
            reader.read_exact(&mut answer).expect("the answer");
            received += 1;
            if reader.buffer().len() < answer.len() {
                break;
            }
        }
    }
    started.elapsed()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream
}

fn through_the_server(load: Load) -> Duration {
    let function = Full(vec![0x5a; load.length]);
    let server = Server::bind("127.0.0.1:0").expect("a server").export("1-1", Box::new(function));
    let server = server.start().expect("a server");
    let mut stream = connect(server.address());
    stream.write_all(&OpHeader { code: OP_REQ_IMPORT, status: 0 }.emit()).expect("import");
    stream.write_all(&emit_bus_id("1-1")).expect("import");
    stream.read_exact(&mut [0; OP_HEADER_LEN + DEVICE_LEN]).expect("imported");
    let setup = Setup { request_type: 0, request: 9, value: 1, index: 0, length: 0 };
    let configure =
        Command::Submit { sequence: u32::MAX, device: DEVICE_ID, endpoint: 0, flags: 0, length: 0, setup };
    stream.write_all(&configure.emit()).expect("configure");
    stream.read_exact(&mut [0; HEADER_LEN]).expect("configured");
    let took = drive(&stream, load);
    drop(stream);
    server.stop_blocking();
    took
}

fn through_an_echo(load: Load) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let echo = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let mut reader = BufReader::with_capacity(64 * 1024, &stream);
        let answer = vec![0x5a; HEADER_LEN + load.length];
        let mut out = Vec::new();
        let mut header = [0; HEADER_LEN];
        while reader.read_exact(&mut header).is_ok() {
            out.extend_from_slice(&answer);
            if reader.buffer().len() < HEADER_LEN || out.len() >= 64 * 1024 {
                if (&stream).write_all(&out).is_err() {
                    return;
                }
                out.clear();
            }
        }
    });
    let stream = connect(address);
    let took = drive(&stream, load);
    drop(stream);
    echo.join().expect("the echo");
    took
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    println!("{RUNS} pairs of runs, medians");
    for load in LOADS {
        let (mut ours, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let rate = |took: Duration| f64::from(load.requests) / took.as_secs_f64();
            let (floor, our) = (rate(through_an_echo(load)), rate(through_the_server(load)));
            ours.push(our);
            floors.push(floor);
            ratios.push(our / floor);
        }
        let (worst, best) =
            (ratios.iter().copied().fold(f64::MAX, f64::min), ratios.iter().copied().fold(0.0, f64::max));
        let mib = |rate: f64| rate * load.length as f64 / f64::from(1 << 20);
        let (our, floor) = (median(ours), median(floors));
        println!(
            "{:<32} {our:>9.0}/s ({:>7.1} MiB/s)  echo {floor:>9.0}/s ({:>7.1} MiB/s)  ratio {:.2} ({worst:.2} to {best:.2})",
            load.name,
            mib(our),
            mib(floor),
            median(ratios),
        );
    }
}
