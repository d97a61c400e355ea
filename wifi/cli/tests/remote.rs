//! `airlift export` and `airlift capture --device usbip:…` against each other, and the trace of the transfers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;

use airlift_hcd::usbip::ImportOptions;
use airlift_hcd::{HostController, Setup, TransferError, Urb};
use airlift_runtime::Kernel;
use futures::executor::block_on;

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airlift"));
    command.env_remove("AIRLIFT_FIRMWARE_DIR").env_remove("AIRLIFT_LOG").args(args);
    command
}

fn run(args: &[&str]) -> Output {
    program(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An exporting program; killed at the end of the test.
struct Exporter {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl Exporter {
    fn start(args: &[&str]) -> Self {
        let mut command = program(&[&["export", "--listen", "127.0.0.1:0"], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("exporting to this machine only, on ").unwrap_or_else(|| {
            let mut errors = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut errors);
            panic!("{line}{errors}")
        });
        let address = address.trim_end_matches(':').to_owned();
        Self { child, out, address }
    }

    fn device(&self, bus_id: &str) -> String {
        format!("usbip:{}/{bus_id}", self.address)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_exported_adapter_is_captured_with_as_if_it_were_local() {
    let mut exporter = Exporter::start(&["--device", "emulated:rtl8812au", "--device", "emulated:rtl8821au"]);
    let mut told = String::new();
    while !told.contains("Ctrl-C") {
        assert!(exporter.out.read_line(&mut told).unwrap() > 0, "{told}");
    }
    let device = exporter.device("1-1");
    assert!(
        told.contains("  1-2  emulated:rtl8821au") && told.contains("attach --remote 127.0.0.1 --busid 1-1")
    );
    assert!(told.contains(&format!("airlift capture --device {device}\n")), "{told}");
    // Twice, since it is given back; and the second one beside it.
    let other = (exporter.device("1-2"), "RTL8821AU");
    for (device, chip) in [(device.clone(), "RTL8812AU"), (device, "RTL8812AU"), other] {
        let output = run(&["capture", "--device", &device, "--count", "10"]);
        let notices = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{notices}");
        assert_eq!(text(&output.stdout).lines().count(), 10);
        assert!(
            notices.starts_with("up in ") && notices.contains(&format!(": {chip}, channel 11")),
            "{notices}"
        );
    }
}

/// As one of a few lines may be: it knows of one device, and of one client.
#[test]
fn a_server_that_has_no_list_and_takes_one_connection_will_do() {
    let exporter = Exporter::start(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let device = format!("usbip:{}/1-1", listener.local_addr().unwrap());
    let behind = exporter.address.clone();
    let server = thread::spawn(move || {
        let client = listener.accept().unwrap().0;
        drop(listener);
        let mut wanted = [0; 8];
        (&client).read_exact(&mut wanted).unwrap();
        assert_eq!(wanted, [1, 0x11, 0x80, 3, 0, 0, 0, 0], "an import");
        let device = TcpStream::connect(behind).unwrap();
        (&device).write_all(&wanted).unwrap();
        let (mut answers, mut to_client) = (device.try_clone().unwrap(), client.try_clone().unwrap());
        let back = thread::spawn(move || {
            let _ = io::copy(&mut answers, &mut to_client);
        });
        let _ = io::copy(&mut &client, &mut &device);
        device.shutdown(Shutdown::Both).unwrap();
        back.join().unwrap();
    });
    // It also is one of ours, by what it says at the import: the stand-in firmware is taken.
    let output = run(&["capture", "--device", &device, "--count", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    server.join().unwrap();
}

#[test]
fn an_access_that_breaks_a_rule_is_named_where_the_adapter_is_exported() {
    let mut exporter = Exporter::start(&[]);
    let kernel = Kernel::new().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let import = controller.import(&exporter.address, "1-1", ImportOptions::new(), &[]);
    let port = block_on(import).unwrap();
    // Firmware, written into a chip that has no power.
    let urb = Urb::control_out(Setup::vendor_out(5, 0x1000, 0, 4), [0x95, 0, 0, 0]);
    assert_eq!(block_on(port.device().submit(urb)).status, Err(TransferError::Stall));
    let mut told = String::new();
    BufReader::new(exporter.child.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert!(told.contains(" WARN ") && told.contains("write 0x95 to "), "{told}");
    assert!(told.contains("while the MAC is powered off") && !told.contains('\u{1b}'), "{told}");
}

#[test]
fn the_end_of_the_exporter_is_an_unplug() {
    let exporter = Exporter::start(&[]);
    let mut capture = program(&["capture", "--device", &exporter.device("1-1")]);
    let mut capture = capture.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(capture.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    drop(exporter);
    let _ = lines.read_to_end(&mut Vec::new());
    let output = capture.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("unplugged from the other machine, or the connection to it was lost"), "{said}");
    assert!(said.contains("help:  see whether 127.0.0.1:"), "{said}");
}

#[test]
fn a_server_or_device_that_is_not_there_is_named_with_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&["capture", "--device", &format!("usbip:{free}/1-1")]);
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stderr);
    assert!(told.contains(&format!("error: cannot connect to USB/IP server {free}")), "{told}");
    assert!(told.contains("help:  on the other machine: airlift export"), "{told}");

    let exporter = Exporter::start(&[]);
    let output = run(&["capture", "--device", &exporter.device("7-7")]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("exports no device 7-7"), "{}", text(&output.stderr));
}

#[test]
fn an_export_beyond_this_machine_is_allowed_and_said() {
    let mut command = program(&["export", "--listen", "0.0.0.0:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notice = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut notice).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        notice.contains("is open to the network") && notice.contains("neither authenticates"),
        "{notice}"
    );
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["export", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains(&format!("cannot listen on {address}")) && told.contains("--listen"), "{told}");
}

#[test]
fn a_traced_capture_leaves_every_transfer_in_a_file() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("usb.pcapng");
    let output = run(&[
        "capture",
        "--device",
        "emulated:rtl8812au",
        "--count",
        "5",
        "--usb-trace",
        path.to_str().unwrap(),
    ]);
    let notices = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{notices}");
    let line = notices.lines().find(|line| line.contains(" USB records \u{2192} ")).expect("its account");
    let count: usize = line.split(' ').next().unwrap().replace(',', "").parse().unwrap();
    let file = std::fs::read(&path).unwrap();
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut events) = (0, Vec::new());
    while at < file.len() {
        if word(at) == 6 {
            events.push(file[at + 28 + 8]);
        }
        at += word(at + 4) as usize;
    }
    assert_eq!(events.len(), count);
    let of = |kind| events.iter().filter(|event| **event == kind).count();
    assert!(of(b'S') == of(b'C') && of(b'S') > 2_000, "{} submitted, {} ended", of(b'S'), of(b'C'));

    // A device that cannot be opened does not cost the trace of one that could.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("usbip:{closed}/1-1");
    let output = run(&["capture", "--device", &nobody, "--usb-trace", path.to_str().unwrap()]);
    assert!(text(&output.stderr).contains("cannot connect"), "{}", text(&output.stderr));
    assert!(std::fs::read(&path).unwrap() == file, "the trace of before is gone");

    let output = run(&["capture", "--count", "1", "--usb-trace", "/nonexistent/usb.pcapng"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write /nonexistent/usb.pcapng"));
}
