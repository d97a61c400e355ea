//! The system's USB buses without an adapter on them, as on the machines that run the tests: clear answers, whatever
//! is plugged in there.
#![cfg(feature = "libusb")]

use airlift_hcd::libusb::{OpenError, Selector, WatchEvent, devices_blocking, find_blocking, watch_blocking};
use futures::StreamExt as _;
use futures::executor::block_on;

/// An id that no vendor has.
const NOBODY: Selector = Selector::Id { vendor: 0xffff, product: 0xfffe };

fn usb_is_there() -> bool {
    std::fs::read_dir("/dev/bus/usb").is_ok_and(|mut entries| entries.next().is_some())
}

#[test]
fn h4_a_system_without_usb_says_so_and_panics_nowhere() {
    match devices_blocking() {
        Ok(devices) => assert!(devices.windows(2).all(|pair| pair[0].bus <= pair[1].bus)),
        Err(error) => {
            assert!(matches!(error, OpenError::NoUsb(_)), "{error:?}");
            assert!(error.to_string().starts_with("this system offers no USB: "), "{error}");
            if cfg!(target_os = "linux") && !usb_is_there() {
                assert!(error.to_string().ends_with("there is no device node in /dev/bus/usb"), "{error}");
            }
            assert_eq!(watch_blocking().err(), Some(error));
        }
    }
}

#[test]
fn h4_a_device_that_is_not_there_is_not_found() {
    let error = find_blocking(&NOBODY).unwrap_err();
    match error {
        OpenError::NotFound(what) => assert_eq!(what, "ffff:fffe"),
        error => assert!(matches!(error, OpenError::NoUsb(_)), "{error:?}"),
    }
}

#[test]
fn h6_a_watch_opens_with_the_devices_that_are_there() {
    match (devices_blocking(), watch_blocking()) {
        (Ok(present), Ok(mut watch)) => {
            for device in present {
                assert_eq!(block_on(watch.next()), Some(WatchEvent::Arrived(device)));
            }
        }
        (Err(listing), Err(watching)) => assert_eq!(listing, watching),
        (listing, watching) => panic!("the list says {listing:?}, the watch {watching:?}"),
    }
}
