//! `airlift export`: offers emulated adapters over USB/IP, to a Linux kernel or to `airlift` elsewhere.
//!
//! Neighbours: [`crate::remote`] is the other end of it.

use std::io::{self, Write};
use std::net::SocketAddr;

use airlift_emu::{Air, Capture, ReplayOptions};
use airlift_hcd::usbip::protocol::PORT;
use airlift_hcd::usbip::{Server, ServerHandle};

use crate::args::{self, Emulated};
use crate::capture::open_replay;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::notice;

/// Carries the command out: serves until it is interrupted.
///
/// # Errors
/// The address cannot be listened on, or the replay not read.
pub(crate) async fn run(options: args::Export) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::listen();
    let replay = match options.replay.clone() {
        Some(path) => Some(interrupt.unless(move || open_replay(&path)).await?),
        None => None,
    };
    let server = start(&options, replay)?;
    let address = server.address();
    if !address.ip().is_loopback() {
        notice(format_args!(
            "{address} is open to the network: USB/IP neither authenticates nor encrypts, and whoever connects \
             gets the adapters"
        ));
    }
    let told = instructions(&mut io::stdout().lock(), address, &options.adapters);
    match told {
        // Whoever read has seen enough; the server goes on.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::failed(format!("cannot write standard output: {error}")));
        }
        _ => {}
    }
    interrupt.come().await;
    let stopped = tokio::task::spawn_blocking(move || server.stop_blocking());
    stopped.await.map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Exit::Done)
}

/// The adapters' names on the server: one bus, one port each.
fn bus_id(number: usize) -> String {
    format!("1-{number}")
}

fn start(options: &args::Export, replay: Option<Capture>) -> Result<ServerHandle, Failure> {
    let air = match replay {
        Some(capture) => Air::replay(capture, ReplayOptions::default()),
        None => Air::default_scene(options.seed),
    };
    let failed = |error: io::Error| {
        let failure = Failure::failed(format!("cannot listen on {}: {error}", options.listen));
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                failure.help("another server has that port; --listen takes another one")
            }
            _ => failure,
        }
    };
    let mut server = Server::bind(options.listen).map_err(failed)?;
    for (number, adapter) in (1..).zip(&options.adapters) {
        // Each adapter its own seed: no two are alike, and each run is like the last.
        let seed = options.seed.wrapping_add(number as u64 - 1);
        let adapter = adapter.builder().air(&air).seed(seed).build();
        server = server.export(&bus_id(number), Box::new(adapter));
    }
    server.start().map_err(failed)
}

/// Says what is served, and what to run on the other side.
fn instructions(out: &mut impl Write, address: SocketAddr, adapters: &[Emulated]) -> io::Result<()> {
    let reach = if address.ip().is_loopback() { "this machine only" } else { "the network" };
    writeln!(out, "exporting to {reach}, on {address}:")?;
    for (number, adapter) in (1..).zip(adapters) {
        writeln!(out, "  {:<4} emulated:{adapter}", bus_id(number))?;
    }
    let host = match address.ip() {
        ip if ip.is_unspecified() => "ADDRESS-OF-THIS-MACHINE".to_owned(),
        ip => ip.to_string(),
    };
    let port = if address.port() == PORT { String::new() } else { format!(" --tcp-port {}", address.port()) };
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    writeln!(out, "to drive it with a Linux kernel's own driver, as root:")?;
    writeln!(out, "  modprobe vhci-hcd && usbip{port} attach --remote {host} --busid {}", bus_id(1))?;
    if adapters.iter().any(|adapter| adapter.switches()) {
        writeln!(out, "  and the same again once the driver has switched it to USB 3, for which it leaves")?;
    }
    writeln!(out, "to drive it with airlift:")?;
    writeln!(out, "  airlift capture --device usbip:{shown}:{}/{}", address.port(), bus_id(1))?;
    if address.ip().is_loopback() {
        writeln!(out, "from another machine, first: ssh -L {}:{address} THIS-MACHINE", address.port())?;
    }
    writeln!(out, "Ctrl-C ends it")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use airlift_emu::Model;

    use super::*;

    fn told(address: &str, models: &[Model]) -> String {
        let adapters: Vec<_> = models.iter().copied().map(Emulated::ordinary).collect();
        let mut out = Vec::new();
        instructions(&mut out, address.parse().unwrap(), &adapters).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_instructions_name_what_to_run_on_the_other_side() {
        assert_eq!(
            told("127.0.0.1:3240", &[Model::Rtl8812au, Model::Rtl8821au]),
            "exporting to this machine only, on 127.0.0.1:3240:\n  \
             1-1  emulated:rtl8812au\n  1-2  emulated:rtl8821au\n\
             to drive it with a Linux kernel's own driver, as root:\n  \
             modprobe vhci-hcd && usbip attach --remote 127.0.0.1 --busid 1-1\n\
             to drive it with airlift:\n  airlift capture --device usbip:127.0.0.1:3240/1-1\n\
             from another machine, first: ssh -L 3240:127.0.0.1:3240 THIS-MACHINE\n\
             Ctrl-C ends it\n"
        );
        let open = told("0.0.0.0:4000", &[Model::Rtl8812au]);
        assert!(open.contains("exporting to the network, on 0.0.0.0:4000:"), "{open}");
        assert!(open.contains("usbip --tcp-port 4000 attach --remote ADDRESS-OF-THIS-MACHINE"), "{open}");
        assert!(!open.contains("ssh"), "{open}");
        let switching = [Emulated { model: Model::Rtl8814au, usb: args::Usb::Switch }];
        let mut out = Vec::new();
        instructions(&mut out, "127.0.0.1:3240".parse().unwrap(), &switching).unwrap();
        let switching = String::from_utf8(out).unwrap();
        assert!(switching.contains("  1-1  emulated:rtl8814au,usb3-switch\n"), "{switching}");
        assert!(switching.contains("--busid 1-1\n  and the same again once"), "{switching}");
        assert!(told("[::1]:3240", &[Model::Rtl8812au]).contains("usbip:[::1]:3240/1-1"));
    }
}
