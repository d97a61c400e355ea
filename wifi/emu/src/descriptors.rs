//! The USB descriptors of an adapter, as bytes (USB 2.0, section 9.6; USB 3.1, section 9.6.7).
//!
//! One vendor-specific interface with the chip's endpoints. The Linux driver matches the identity and class
//! (`rtw88 rtw8812au.c` and its like) and takes the endpoints as they come (`rtw88 usb.c`, `rtw_usb_parse`).

use airlift_hcd::{Descriptors, Speed};

use crate::model::{Endpoint, Usb};

pub(crate) fn descriptors(usb: &Usb, (vendor, product): (u16, u16), speed: Speed) -> Descriptors {
    let (v, p) = (vendor.to_le_bytes(), product.to_le_bytes());
    let super_speed = speed == Speed::Super;
    let (version, ep0): ([u8; 2], u8) = if super_speed { ([0x00, 0x03], 9) } else { ([0x00, 0x02], 64) };
    let device =
        [18, 0x01, version[0], version[1], 0, 0, 0, ep0, v[0], v[1], p[0], p[1], 0x00, 0x00, 1, 2, 3, 1];

    let bulk_size: u16 = match speed {
        Speed::Super => 1024,
        Speed::High => 512,
        Speed::Full | Speed::Low => 64,
    };
    let max_power = if super_speed { 0x3f } else { 0xfa };
    let mut configuration = vec![9, 0x02, 0, 0, 1, 1, 0, 0x80, max_power];
    let count = usb.endpoints.len() as u8;
    configuration.extend_from_slice(&[9, 0x04, 0, 0, count, 0xff, 0xff, 0xff, 2]);
    let mut endpoint = |address: u8, attributes: u8, size: u16, interval: u8, burst: u8| {
        let size = size.to_le_bytes();
        configuration.extend_from_slice(&[7, 0x05, address, attributes, size[0], size[1], interval]);
        if super_speed {
            // What an interrupt endpoint sends in an interval; bulk endpoints have none.
            let interval = if attributes == 0x03 { size } else { [0; 2] };
            configuration.extend_from_slice(&[6, 0x30, burst, 0, interval[0], interval[1]]);
        }
    };
    for which in usb.endpoints {
        match which {
            Endpoint::BulkIn(address) | Endpoint::BulkOut(address) => {
                endpoint(*address, 0x02, bulk_size, 0, 3)
            }
            Endpoint::InterruptIn(address) => {
                endpoint(*address, 0x03, 64, if speed == Speed::Full { 1 } else { 3 }, 0);
            }
        }
    }
    let total = (configuration.len() as u16).to_le_bytes();
    configuration[2..4].copy_from_slice(&total);

    let strings = vec!["Realtek".to_owned(), usb.product.to_owned(), "123456".to_owned()];
    Descriptors { device, configuration, strings, speed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;

    #[test]
    fn the_configuration_is_as_long_as_it_says_and_every_part_is_whole() {
        let models = Model::ALL.iter().map(|model| &model.facts().usb);
        let speeds = [Speed::Full, Speed::High, Speed::Super];
        for (usb, speed) in models.flat_map(|usb| speeds.map(|speed| (usb, speed))) {
            let bytes = descriptors(usb, usb.identity, speed).configuration;
            assert_eq!(usize::from(u16::from_le_bytes([bytes[2], bytes[3]])), bytes.len());
            let mut rest = &bytes[..];
            let mut kinds = Vec::new();
            while let Some(&length) = rest.first() {
                kinds.push(rest[1]);
                rest = &rest[usize::from(length)..];
            }
            assert_eq!(kinds.iter().filter(|kind| **kind == 0x05).count(), usb.endpoints.len());
            assert_eq!(kinds.contains(&0x30), speed == Speed::Super);
        }
    }
}
