//! Offers devices over USB/IP to the guest of the ground-truth harness, and takes its orders.
//!
//! The guest knows when its driver has reached a point, the exporter knows the device. So the guest says so at
//! a second port, one line a connection: `mark DEVICE LABEL` has the exporter write down how far the trace has
//! come and what state the device is in, `begin DEVICE` forgets what was recorded of it so far, `sent DEVICE COUNT`
//! asks whether it was handed that many frames to send, `feed DEVICE` has made-up packets arrive and asks whether
//! all have, `aggregated DEVICE` asks whether its driver aggregates received packets, `replay DEVICE` has the frames
//! of a capture be on its air and asks whether all were, `file NAME` and then bytes leaves a file. The answer is `ok`,
//! `not yet`, or why not; to a mark `late` if the driver's watchdog has come before it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use airlift_emu::Air;
use airlift_hcd::UsbFunction;
use airlift_hcd::usbip::{Server, ServerHandle};

use crate::feed::{Fed, Feed};
use crate::golden::{has_aggregated, is_watchdogs};
use crate::sent;
use crate::trace::{Access, Trace, Traced};

/// What the guest may leave in one file.
const FILE_MAX: u64 = 64 << 20;

/// The state of a device as text, called at each mark.
pub type Snapshot = Box<dyn Fn() -> String + Send>;

/// How many frames a device was handed to send so far.
pub type Sent = Box<dyn Fn() -> u64 + Send>;

/// Packets that are to arrive at a device, as transfers.
pub type Packets = Vec<Vec<u8>>;

/// One device on offer.
struct Exported {
    trace: Trace,
    snapshot: Snapshot,
    /// How many frames it was handed to send.
    sent: Option<Sent>,
    /// What feeds it, and with what.
    feed: Option<(Feed, Packets)>,
    /// Whether that has begun.
    fed: bool,
    /// Its air, where a replay waits for the guest.
    air: Option<Air>,
    /// Where the trace stood at the last mark.
    marked: usize,
}

/// Devices, to be offered together.
pub struct Exporter {
    server: Server,
    control: TcpListener,
    devices: BTreeMap<String, Exported>,
    folder: PathBuf,
}

impl Exporter {
    /// Binds a server to `port` of the loopback interface (0: any), and the control port beside it. Results go
    /// to `folder`, which is created.
    pub fn bind(port: u16, folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            server: Server::bind((Ipv4Addr::LOCALHOST, port))?,
            control: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
            devices: BTreeMap::new(),
            folder: folder.to_owned(),
        })
    }

    /// Offers a device; `snapshot` describes its state at a mark.
    pub fn export(mut self, bus_id: &str, function: impl UsbFunction, snapshot: Snapshot) -> Self {
        let (traced, trace) = Traced::new(function);
        self.server = self.server.export(bus_id, Box::new(traced));
        self.devices.insert(
            bus_id.to_owned(),
            Exported { trace, snapshot, sent: None, feed: None, fed: false, air: None, marked: 0 },
        );
        self
    }

    /// Offers a device that tells how many frames it was handed to send; a driver may put several into a transfer.
    pub fn export_sending(
        self,
        bus_id: &str,
        function: impl UsbFunction,
        snapshot: Snapshot,
        sent: Sent,
    ) -> Self {
        let mut exporter = self.export(bus_id, function, snapshot);
        if let Some(device) = exporter.devices.get_mut(bus_id) {
            device.sent = Some(sent);
        }
        exporter
    }

    /// Offers a device that receives nothing but `packets`, when the guest asks for them.
    pub fn export_fed(
        self,
        bus_id: &str,
        function: impl UsbFunction,
        snapshot: Snapshot,
        packets: Packets,
    ) -> Self {
        let (fed, feed) = Fed::new(function);
        let mut exporter = self.export(bus_id, fed, snapshot);
        if let Some(device) = exporter.devices.get_mut(bus_id) {
            device.feed = Some((feed, packets));
        }
        exporter
    }

    /// Offers a device on the air of a replay, which starts when the guest asks for it.
    pub fn export_on_air(
        self,
        bus_id: &str,
        function: impl UsbFunction,
        snapshot: Snapshot,
        air: Air,
    ) -> Self {
        let mut exporter = self.export(bus_id, function, snapshot);
        if let Some(device) = exporter.devices.get_mut(bus_id) {
            device.air = Some(air);
        }
        exporter
    }

    /// Serves until standard input ends. The first line on standard output names the two ports.
    pub fn run(self) -> io::Result<()> {
        let handle = self.server.start()?;
        let mut orders = Orders { devices: self.devices, folder: self.folder };
        let control = self.control;
        println!("ports {} {}", handle.address().port(), control.local_addr()?.port());
        io::stdout().flush()?;
        let ending = watch_stdin(control.local_addr()?)?;
        for connection in control.incoming() {
            if ending.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
            if let Err(error) = connection.and_then(|stream| orders.serve(stream)) {
                println!("control: {error}");
            }
        }
        finish(handle, &mut orders)
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("devices", &self.devices.keys()).finish_non_exhaustive()
    }
}

/// Knocks at the control port when standard input ends, so that the loop there sees it.
fn watch_stdin(control: std::net::SocketAddr) -> io::Result<std::sync::Arc<std::sync::atomic::AtomicBool>> {
    let ending = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let raised = ending.clone();
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        raised.store(true, std::sync::atomic::Ordering::SeqCst);
        let _ = TcpStream::connect(control);
    })?;
    Ok(ending)
}

fn finish(handle: ServerHandle, orders: &mut Orders) -> io::Result<()> {
    handle.stop_blocking();
    for (id, device) in &orders.devices {
        if !device.trace.is_empty() {
            orders.write(&format!("{id}.trace"), &trace_text(&device.trace.accesses()))?;
            orders.write(&format!("{id}.end.state"), &(device.snapshot)())?;
        }
    }
    Ok(())
}

fn trace_text(accesses: &[Access]) -> String {
    let mut text = String::new();
    for access in accesses {
        let _ = writeln!(text, "{access}");
    }
    text
}

/// What the guest's orders work on.
struct Orders {
    devices: BTreeMap<String, Exported>,
    folder: PathBuf,
}

impl Orders {
    fn serve(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut reader = BufReader::new(stream.try_clone()?).take(FILE_MAX);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["mark", id, label] => self.mark(id, label)?,
            ["begin", id] => self.begin(id),
            ["sent", id, count] => self.sent(id, count),
            ["feed", id] => self.feed(id),
            ["aggregated", id] => self.aggregated(id),
            ["replay", id] => self.replay(id),
            ["file", name] if is_plain(name) => {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes)?;
                fs::write(self.folder.join(name), &bytes)?;
                println!("file {name}: {} bytes", bytes.len());
                "ok"
            }
            _ => "order not understood",
        };
        writeln!(stream, "{answer}")
    }

    fn begin(&mut self, id: &str) -> &'static str {
        let Some(device) = self.devices.get_mut(id) else { return "no such device" };
        device.trace.clear();
        device.marked = 0;
        device.fed = false;
        if let Some((feed, _)) = &device.feed {
            feed.clear();
        }
        "ok"
    }

    fn sent(&self, id: &str, count: &str) -> &'static str {
        let device = self.devices.get(id).and_then(|device| device.sent.as_ref());
        let (Some(sent), Ok(count)) = (device, count.parse::<u64>()) else {
            return "no such device or number";
        };
        if sent() >= count { "ok" } else { "not yet" }
    }

    fn feed(&mut self, id: &str) -> &'static str {
        let Some(device) = self.devices.get_mut(id) else { return "no such device" };
        let Some((feed, packets)) = &device.feed else { return "this device is not fed" };
        if !core::mem::replace(&mut device.fed, true) {
            feed.offer(packets.iter().cloned());
        }
        if feed.left() == 0 { "ok" } else { "not yet" }
    }

    fn aggregated(&self, id: &str) -> &'static str {
        let Some(device) = self.devices.get(id) else { return "no such device" };
        if has_aggregated(&device.trace.accesses()) { "ok" } else { "not yet" }
    }

    fn replay(&self, id: &str) -> &'static str {
        let Some(air) = self.devices.get(id).and_then(|device| device.air.as_ref()) else {
            return "no such device, or no replay on its air";
        };
        air.start_replay();
        if air.is_finished() { "ok" } else { "not yet" }
    }

    fn mark(&mut self, id: &str, label: &str) -> io::Result<&'static str> {
        if !is_plain(label) {
            return Ok("label not plain");
        }
        let Some(device) = self.devices.get_mut(id) else { return Ok("no such device") };
        // The state first: whatever may have changed it stands in the trace then.
        let state = (device.snapshot)();
        let accesses = device.trace.accesses();
        let reads = accesses.iter().filter(|access| !access.write).count();
        let failed = accesses.iter().filter(|access| !access.ok).count();
        println!(
            "mark {id} {label}: {} control transfers ({} since the mark before), {reads} of them reads, \
             {failed} failed, {} bulk out",
            accesses.len(),
            accesses.len() - device.marked,
            device.trace.bulk_out(),
        );
        device.marked = accesses.len();
        let late = accesses.iter().any(is_watchdogs);
        let transfers = device.sent.is_some().then(|| device.trace.transfers());
        self.write(&format!("{id}.{label}.trace"), &trace_text(&accesses))?;
        self.write(&format!("{id}.{label}.state"), &state)?;
        if let Some(transfers) = transfers {
            self.write(&format!("{id}.{label}.bulk"), &sent::transfers_to_text(&transfers))?;
        }
        Ok(if late { "late" } else { "ok" })
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.folder.join(name), text)
    }
}

/// Whether a name from the guest stays within the folder.
fn is_plain(name: &str) -> bool {
    !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
