//! The USB descriptors of an RTL8812AU, as bytes (USB 2.0, section 9.6; USB 3.1, section 9.6.7).
//!
//! One vendor-specific interface: bulk IN 0x81, bulk OUT 0x02, 0x03 and 0x04, interrupt IN 0x85. The Linux
//! driver matches the identity and class (`rtw88 rtw8812au.c`) and takes the endpoints as they come
//! (`rtw88 usb.c`, `rtw_usb_parse`).

use airlift_hcd::{Descriptors, Speed};

/// The endpoint that received frames come from.
pub(crate) const BULK_IN: u8 = 0x81;
/// The endpoints that frames to send go to: high, normal and low priority in the order of their addresses.
pub(crate) const BULK_OUT: [u8; 3] = [0x02, 0x03, 0x04];
/// The endpoint of reports that nobody reads.
pub(crate) const INTERRUPT_IN: u8 = 0x85;

/// Realtek's vendor identity and the product identity of its own RTL8812AU.
pub(crate) const IDENTITY: (u16, u16) = (0x0bda, 0x8812);

pub(crate) fn descriptors((vendor, product): (u16, u16), speed: Speed) -> Descriptors {
    let (v, p) = (vendor.to_le_bytes(), product.to_le_bytes());
    let super_speed = speed == Speed::Super;
    let (usb, ep0): ([u8; 2], u8) = if super_speed { ([0x00, 0x03], 9) } else { ([0x00, 0x02], 64) };
    let device = [18, 0x01, usb[0], usb[1], 0, 0, 0, ep0, v[0], v[1], p[0], p[1], 0x00, 0x00, 1, 2, 3, 1];

    let bulk_size: u16 = match speed {
        Speed::Super => 1024,
        Speed::High => 512,
        Speed::Full | Speed::Low => 64,
    };
    let max_power = if super_speed { 0x3f } else { 0xfa };
    let mut configuration = vec![9, 0x02, 0, 0, 1, 1, 0, 0x80, max_power];
    configuration.extend_from_slice(&[9, 0x04, 0, 0, 5, 0xff, 0xff, 0xff, 2]);
    let mut endpoint = |address: u8, attributes: u8, size: u16, interval: u8, burst: u8| {
        let size = size.to_le_bytes();
        configuration.extend_from_slice(&[7, 0x05, address, attributes, size[0], size[1], interval]);
        if super_speed {
            configuration.extend_from_slice(&[6, 0x30, burst, 0, 0, 0]);
        }
    };
    endpoint(BULK_IN, 0x02, bulk_size, 0, 3);
    for address in BULK_OUT {
        endpoint(address, 0x02, bulk_size, 0, 3);
    }
    endpoint(INTERRUPT_IN, 0x03, 64, if speed == Speed::Full { 1 } else { 3 }, 0);
    let total = (configuration.len() as u16).to_le_bytes();
    configuration[2..4].copy_from_slice(&total);

    let strings = vec!["Realtek".to_owned(), "802.11n NIC".to_owned(), "123456".to_owned()];
    Descriptors { device, configuration, strings, speed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_as_long_as_it_says_and_every_part_is_whole() {
        for speed in [Speed::Full, Speed::High, Speed::Super] {
            let bytes = descriptors(IDENTITY, speed).configuration;
            assert_eq!(usize::from(u16::from_le_bytes([bytes[2], bytes[3]])), bytes.len());
            let mut rest = &bytes[..];
            let mut kinds = Vec::new();
            while let Some(&length) = rest.first() {
                kinds.push(rest[1]);
                rest = &rest[usize::from(length)..];
            }
            assert_eq!(kinds.iter().filter(|kind| **kind == 0x05).count(), 5);
            assert_eq!(kinds.contains(&0x30), speed == Speed::Super);
        }
    }
}
