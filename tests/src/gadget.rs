//! [`Source`], a device that has an answer to every request at once, and [`load`], more frames than any air has: to
//! measure what lies between them and a program.

use core::time::Duration;

use airlift_emu::air::CapturedFrame;
use airlift_emu::{Capture, Rate};
use airlift_hcd::{Descriptors, FunctionUrb, Speed, Submit, UsbFunction};

/// Vendor and product identity, of the numbers that are nobody's.
pub const IDENTITY: (u16, u16) = (0x1209, 0x0001);

/// Answers reads of endpoint 0 with as many bytes as are asked for, is a bulk IN endpoint 0x81 that is never empty,
/// and takes whatever comes to a bulk OUT endpoint 0x02.
#[derive(Debug, Default)]
pub struct Source;

impl UsbFunction for Source {
    fn descriptors(&self) -> Descriptors {
        let [vendor, product] = [IDENTITY.0.to_le_bytes(), IDENTITY.1.to_le_bytes()];
        let mut device = [18, 1, 0, 2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        device[8..10].copy_from_slice(&vendor);
        device[10..12].copy_from_slice(&product);
        let mut configuration = vec![9, 2, 32, 0, 1, 1, 0, 0x80, 50];
        // One vendor-specific interface with its two endpoints, of 512 bytes.
        configuration.extend([9, 4, 0, 0, 2, 0xff, 0, 0, 0]);
        configuration.extend([7, 5, 0x81, 2, 0, 2, 0]);
        configuration.extend([7, 5, 0x02, 2, 0, 2, 0]);
        Descriptors { device, configuration, strings: Vec::new(), speed: Speed::High }
    }

    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        /// More than any request of the measurement asks for.
        static BYTES: [u8; 64 << 10] = [0x5a; 64 << 10];
        if urb.is_in() {
            let length = urb.length().min(BYTES.len());
            urb.reply(&BYTES[..length]).into()
        } else {
            urb.ok().into()
        }
    }
}

/// 20,000 data frames within ten seconds, of lengths from an acknowledgement's to an Ethernet frame's.
pub fn load() -> Capture {
    let frame = |number: u32| {
        let length = [60, 124, 300, 1_500][number as usize % 4];
        let mut bytes = vec![0x08, 0x00, 0, 0];
        bytes.extend([0xff; 6]);
        bytes.extend([0x02, 0x10, 0xad, 0, 0, 1]);
        bytes.extend([0x02, 0x10, 0xad, 0, 0, 1]);
        bytes.extend((((number & 0x0fff) << 4) as u16).to_le_bytes());
        bytes.resize(length, number as u8);
        CapturedFrame {
            at: Duration::from_micros(500) * number,
            bytes: bytes.into(),
            rate: Rate::legacy(108),
            signal_dbm: None,
            fcs_error: 0,
            ampdu: None,
        }
    };
    Capture::from_frames((0..20_000).map(frame))
}
