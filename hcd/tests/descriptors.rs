//! Descriptors from hostile devices: whatever the bytes, a walk stays inside them and ends.

mod common;

use airlift_hcd::{
    Configuration, DescriptorError, DeviceDescriptor, Endpoint, EndpointMap, TransferType, Walk, parse_string,
};
use bytes::Bytes;
use common::*;
use proptest::prelude::*;

#[test]
fn h2_a_configuration_is_walked_as_it_stands() {
    let parsed = Configuration::parse(configuration().into()).unwrap();
    assert_eq!(
        (parsed.value(), parsed.interface_count(), parsed.attributes(), parsed.max_power()),
        (1, 1, 0xc0, 50)
    );
    let settings: Vec<_> =
        parsed.alternates().map(|s| (s.interface(), s.alternate(), s.endpoints().count())).collect();
    assert_eq!(settings, [(0, 0, 4), (0, 1, 1)]);
    let first = parsed.alternate(0, 0).unwrap();
    assert_eq!((first.class(), first.subclass(), first.protocol(), first.string_index()), (0xff, 0, 0, 3));
    let endpoint =
        Endpoint { address: BULK_IN, transfer_type: TransferType::Bulk, max_packet_size: 512, interval: 0 };
    assert_eq!(first.endpoints().next(), Some(endpoint));
    let mut map = EndpointMap::new(&parsed);
    assert_eq!(map.get(INTERRUPT_IN).unwrap().transfer_type, TransferType::Interrupt);
    map.select(&parsed.alternate(0, 1).unwrap());
    assert_eq!(map.iter().collect::<Vec<_>>(), [endpoint]);
}

#[test]
fn h2_class_descriptors_between_interface_and_endpoint_are_walked_over() {
    let mut bytes = vec![9, 2, 0, 0, 2, 1, 0, 0x80, 50];
    bytes.extend([8, 11, 0, 2, 1, 2, 3, 4]);
    bytes.extend([9, 4, 0, 0, 1, 3, 1, 1, 0]);
    bytes.extend([9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0]);
    bytes.extend([9, 5, 0x81, 3, 8, 0, 10, 0, 0]);
    bytes.extend([6, 0x30, 0, 0, 0, 0]);
    bytes.extend([9, 4, 1, 0, 0, 10, 0, 0, 0]);
    bytes[2] = bytes.len() as u8;
    let parsed = Configuration::parse(bytes.into()).unwrap();
    let kinds: Vec<_> = parsed.walk().map(|found| found.kind()).collect();
    assert_eq!(kinds, [11, 4, 0x21, 5, 0x30, 4]);
    let first = parsed.alternate(0, 0).unwrap();
    assert_eq!(first.walk().map(|found| found.kind()).collect::<Vec<_>>(), [0x21, 5, 0x30]);
    assert_eq!(first.endpoints().count(), 1);
}

#[test]
fn h2_descriptors_that_lie_about_lengths_end_the_walk() {
    let whole = configuration();
    for (at, length) in [(9, 0), (9, 1), (9, 255), (18, 0), (18, 255)] {
        let mut bytes = whole.clone();
        bytes[at] = length;
        let parsed = Configuration::parse(bytes.into()).unwrap();
        assert!(parsed.walk().count() <= 1, "length {length} at {at}");
    }
    // A total beyond the bytes, and one that ends within a descriptor.
    for total in [0xffff_u16, 20, 0] {
        let mut bytes = whole.clone();
        bytes[2..4].copy_from_slice(&total.to_le_bytes());
        let parsed = Configuration::parse(bytes.into()).unwrap();
        assert_eq!(parsed.as_bytes().len(), usize::from(total).clamp(9, whole.len()));
        assert_eq!(parsed.walk().count(), if total == 0xffff { 7 } else { usize::from(total == 20) });
    }
    // Its own length reaches beyond everything.
    let mut bytes = whole.clone();
    bytes[0] = 255;
    assert_eq!(Configuration::parse(bytes.into()).unwrap().walk().count(), 0);
    let short = Configuration::parse(Bytes::from_static(&[9, 2, 9])).unwrap_err();
    assert_eq!(short, DescriptorError::Truncated { what: "configuration", needed: 9, got: 3 });
    let other = DeviceDescriptor::parse(&[18; 18]).unwrap_err();
    assert_eq!(other.to_string(), "expected a device descriptor (type 1), got type 18");
}

#[test]
fn h2_impossible_endpoints_are_left_out_and_a_taken_address_stays() {
    let mut bytes = vec![9, 2, 0, 0, 2, 1, 0, 0x80, 50];
    bytes.extend([9, 4, 0, 0, 3, 0xff, 0, 0, 0]);
    bytes.extend([7, 5, 0x80, 2, 0, 2, 0]);
    bytes.extend([6, 5, 0x81, 2, 0, 2]);
    bytes.extend([7, 5, 0x82, 2, 0, 2, 0]);
    bytes.extend([9, 4, 1, 0, 1, 0xff, 0, 0, 0]);
    bytes.extend([7, 5, 0x82, 3, 8, 0, 1]);
    bytes[2] = bytes.len() as u8;
    let parsed = Configuration::parse(bytes.into()).unwrap();
    let map = EndpointMap::new(&parsed);
    assert_eq!(map.iter().count(), 1);
    assert_eq!(map.get(0x82).unwrap().transfer_type, TransferType::Bulk);
    assert!(map.get(0x80).is_none() && map.get(0x02).is_none());
    assert_eq!(map.of_interface(0).collect::<Vec<_>>(), [0x82]);
    assert_eq!(map.of_interface(1).count(), 0);
}

#[test]
fn h2_a_device_with_unreadable_descriptors_still_has_its_control_endpoint() {
    for bytes in [vec![], vec![0; 9], vec![9, 2, 255, 255, 255, 1, 0, 0, 0, 9, 4, 0]] {
        let (mut gadget, seen) = Gadget::new();
        gadget.configuration = Some(bytes);
        let rig = rig_with((gadget, seen));
        assert_eq!(rig.device.endpoints().iter().count(), 0);
        assert_eq!(block_on(rig.device.submit(echo(5))).buffer[..], [5, 0]);
    }
}

#[test]
fn h2_strings_that_are_none_are_errors() {
    assert_eq!(parse_string(&[4, 3, 0x41, 0]).unwrap(), "A");
    assert_eq!(parse_string(&[5, 3, 0x41, 0, 0x42]).unwrap(), "A", "an odd byte is left out");
    assert_eq!(parse_string(&[255, 3, 0x41, 0]).unwrap(), "A", "a length beyond the bytes");
    assert_eq!(parse_string(&[4, 3, 0x00, 0xd8]), Err(DescriptorError::NotUtf16));
    assert!(parse_string(&[]).is_err() && parse_string(&[1]).is_err() && parse_string(&[2, 2]).is_err());
}

proptest! {
    #[test]
    fn h2_no_bytes_make_a_walk_panic_or_leave_them(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let walked: usize = Walk::new(&bytes).map(|found| found.as_bytes().len()).sum();
        prop_assert!(walked <= bytes.len());
        let _ = parse_string(&bytes);
        let _ = DeviceDescriptor::parse(&bytes);
        let mut framed = vec![9, 2, 0xff, 0xff, 9, 1, 0, 0, 0];
        framed.extend(&bytes);
        let parsed = Configuration::parse(framed.into()).unwrap();
        let mut map = EndpointMap::new(&parsed);
        for setting in parsed.alternates() {
            map.select(&setting);
            prop_assert!(setting.endpoints().all(|endpoint| endpoint.address & 0x70 == 0));
        }
        prop_assert!(map.iter().all(|endpoint| map.get(endpoint.address) == Some(endpoint)));
    }

    #[test]
    fn h2_a_damaged_configuration_never_panics(at in 0usize..64, value in any::<u8>()) {
        let mut bytes = configuration();
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(parsed) = Configuration::parse(bytes.into()) {
            let _ = format!("{parsed:?} {:?}", EndpointMap::new(&parsed));
        }
    }
}
