//! Devices outside that drop themselves off the bus: over USB/IP, where the other end tells nothing of a return.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use airlift_hcd::usbip::{ImportError, ImportOptions, Server, list_blocking};
use airlift_hcd::{HostController, ReturnError, ReturnProblem, Setup, Speed, TransferError, Urb};
use airlift_runtime::Kernel;
use common::chameleon::{Chameleon, LEAVE_FOR_LONG, Odd, count, leave};
use common::{BULK_IN, block_on};

#[test]
fn h4_a_device_that_leaves_its_usbip_server_is_imported_anew_at_its_new_speed() {
    let (chameleon, seen) = Chameleon::new();
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(chameleon)).start().unwrap();
    let address = server.address().to_string();
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[])).unwrap();
    let first = port.device();
    let reading = first.submit(Urb::bulk_in(BULK_IN, 64));
    assert_eq!(block_on(first.submit(leave(0))).status, Ok(()));
    assert_eq!(block_on(reading).status, Err(TransferError::Shutdown));
    block_on(first.closed());
    let second = block_on(first.returned(Duration::from_secs(300))).unwrap();
    assert_eq!((first.speed(), second.speed()), (Speed::High, Speed::Super));
    assert_eq!(second.info().location, first.info().location);
    assert_eq!(second.endpoints().get(BULK_IN).map(|endpoint| endpoint.max_packet_size), Some(1024));
    assert_eq!(block_on(second.submit(count())).into_result().unwrap()[..], [2]);
    assert_eq!(port.device(), second);
    // A server that lost it for good says so.
    assert_eq!(block_on(second.submit(leave(0xffff))).status, Ok(()));
    block_on(second.closed());
    let late = block_on(second.returned(Duration::from_millis(300))).unwrap_err();
    let ReturnError::Late { problem: Some(problem), .. } = late else { panic!("{late:?}") };
    assert!(problem.to_string().contains("exports no device 1-1"), "{problem}");
    assert_eq!(seen.dropped.load(Ordering::SeqCst), 1);
    drop(port);
    server.stop_blocking();
}

#[test]
fn h4_a_device_that_is_away_is_not_on_its_servers_list() {
    let (chameleon, _seen) = Chameleon::new();
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(chameleon)).start().unwrap();
    let address = server.address().to_string();
    let list = || list_blocking(&address, &ImportOptions::new()).unwrap();
    let before = list();
    assert_eq!(before.len(), 1);
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[])).unwrap();
    let device = port.device();
    let hour = Urb::control_out(Setup::vendor_out(LEAVE_FOR_LONG, 3_600, 0, 0), []);
    assert_eq!(block_on(device.submit(hour)).status, Ok(()));
    block_on(device.closed());
    while server.is_imported("1-1") {
        std::thread::yield_now();
    }
    assert_eq!(list(), []);
    drop(port);
    server.stop_blocking();
}

#[test]
fn h4_a_function_that_panics_instead_of_coming_back_is_off_its_servers_list() {
    let (mut chameleon, seen) = Chameleon::new();
    chameleon.broken = true;
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(chameleon)).start().unwrap();
    let address = server.address().to_string();
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let import = || block_on(controller.import(&address, "1-1", ImportOptions::new(), &[]));
    let port = import().unwrap();
    block_on(port.device().submit(leave(0))).status.unwrap();
    block_on(port.device().closed());
    while seen.dropped.load(Ordering::SeqCst) == 0 || server.is_imported("1-1") {
        std::thread::yield_now();
    }
    let error = import().unwrap_err();
    assert!(matches!(error, ImportError::NoDevice { .. }), "{error:?}");
    server.stop_blocking();
}

#[test]
fn h6_a_device_outside_that_cannot_be_connected_is_no_device_that_came_back() {
    let (chameleon, _seen) = Chameleon::new();
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(chameleon)).start().unwrap();
    let address = server.address().to_string();
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let layer = Odd { attempts: Arc::default(), fails: 2..4, until: None };
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[&layer])).unwrap();
    let first = port.device();
    block_on(first.submit(leave(0))).status.unwrap();
    let second = block_on(first.returned(Duration::from_secs(300))).unwrap();
    assert!(!second.is_unplugged());
    assert!(controller.devices().iter().eq([&second]), "those that failed never were there");
    assert_eq!(block_on(second.submit(count())).into_result().unwrap()[..], [4]);
    assert_eq!(layer.attempts.load(Ordering::SeqCst), 4);
    drop(port);
    server.stop_blocking();
}

#[test]
fn h6_another_device_under_the_same_bus_id_is_not_taken_for_the_one_that_left() {
    let (mut chameleon, _seen) = Chameleon::new();
    chameleon.disguised = true;
    let server = Server::bind("127.0.0.1:0").unwrap().export("1-1", Box::new(chameleon)).start().unwrap();
    let address = server.address().to_string();
    let kernel = Kernel::builder().name("client").build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let layer = Odd { attempts: Arc::default(), fails: 0..0, until: None };
    let port = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[&layer])).unwrap();
    let first = port.device();
    block_on(first.submit(leave(0))).status.unwrap();
    block_on(first.closed());
    // The last look may have been before it could be imported again.
    let looks = (0..1000).map(|_| {
        let late = block_on(first.returned(Duration::from_millis(300))).unwrap_err();
        let ReturnError::Late { problem: Some(problem), .. } = late else { panic!("{late:?}") };
        problem
    });
    let problem = { looks }.find(|problem| !problem.to_string().contains("exports no device")).unwrap();
    let info = first.info();
    let (vendor, product) = (info.vendor_id, info.product_id);
    let expected = format!(
        "another device at 1-1 now: {vendor:04x}:{:04x}, expected {vendor:04x}:{product:04x}",
        product ^ 1
    );
    assert!(matches!(problem, ReturnProblem::Other(_)), "{problem:?}");
    assert!(problem.to_string().ends_with(&expected), "{problem}");
    assert_eq!(layer.attempts.load(Ordering::SeqCst), 1, "nobody else was connected");
    assert!(controller.devices().is_empty() && port.device() == first);
    drop(port);
    // It was given back.
    let other = block_on(controller.import(&address, "1-1", ImportOptions::new(), &[])).unwrap();
    assert_eq!(other.device().info().product_id, product ^ 1);
    drop(other);
    server.stop_blocking();
}
