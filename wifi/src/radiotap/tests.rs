use proptest::prelude::*;

use super::*;
use crate::channel::Channel;
use crate::frame::{Ampdu, ChainSignals, Frame, LegacyRate};

fn parse(bytes: &[u8]) -> Result<Fields, RadiotapError> {
    Fields::parse(&Radiotap::new(bytes)?)
}

#[test]
fn w3_a_header_of_every_kind_of_field_has_its_bytes() {
    let frame = Frame::builder(vec![0xd4; 14])
        .fcs(Fcs::Bad)
        .tsf(0x0123_4567_89ab_cdef)
        .rate(Rate::Legacy(LegacyRate::M54))
        .channel(Channel::parse("6+", None).unwrap())
        .chains(&[-40, -52])
        .ampdu(Ampdu { reference: 7, last: Some(true) })
        .build();
    let header = frame.radiotap();
    let view = Radiotap::new(&header).unwrap();
    assert_eq!(view.present().collect::<Vec<_>>(), [0xa010_002f, 0xa000_0820, 0x0000_0820]);
    #[rustfmt::skip]
    assert_eq!(*header, [
        0, 0, 44, 0,
        0x2f, 0x00, 0x10, 0xa0,
        0x20, 0x08, 0x00, 0xa0,
        0x20, 0x08, 0x00, 0x00,
        0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
        0x50, 108,
        0x85, 0x09, 0xc0, 0x00,
        0xd8, 0,
        7, 0, 0, 0, 0x0c, 0, 0, 0,
        0xd8, 0,
        0xcc, 1,
    ]);
}

#[test]
fn w3_what_the_chip_did_not_tell_is_absent() {
    let bare = Frame::builder(vec![0xd4; 10]).build();
    assert_eq!(*bare.radiotap(), [0, 0, 9, 0, 0x02, 0, 0, 0, 0x00]);
    let no_status = Frame::builder(vec![0xd4; 10]).append_fcs().rate(Rate::Ht { mcs: 3 }).build();
    let fields = parse(&no_status.radiotap()).unwrap();
    assert_eq!(fields.flags, Some(flag::FCS));
    assert_eq!(fields.mcs, Some(Mcs { known: Mcs::KNOWN_MCS, flags: 0, mcs: 3 }));
    assert_eq!((fields.rate, fields.signal_dbm, fields.tsft, fields.ampdu), (None, None, None, None));
}

#[test]
fn w3_ht_and_vht_say_width_guard_interval_and_coding() {
    let told = |rate, bandwidth| Modulation {
        bandwidth: Some(bandwidth),
        short_gi: Some(true),
        ldpc: Some(true),
        stbc: Some(true),
        ..Modulation::new(rate)
    };
    let frame = |modulation| Frame::builder(vec![0x88; 30]).rate(modulation).build();
    let ht = parse(&frame(told(Rate::Ht { mcs: 15 }, Width::Mhz40)).radiotap()).unwrap();
    assert_eq!(ht.mcs, Some(Mcs { known: 0x37, flags: 0x35, mcs: 15 }));
    let vht = parse(&frame(told(Rate::Vht { mcs: 9, nss: 2 }, Width::Mhz80)).radiotap()).unwrap();
    let expected = Vht {
        known: 0x45,
        flags: 0x05,
        bandwidth: 4,
        mcs_nss: [0x92, 0, 0, 0],
        coding: 1,
        group_id: 0,
        partial_aid: 0,
    };
    assert_eq!(vht.vht, Some(expected));
}

#[test]
fn w3_the_channel_flags_are_those_of_linux() {
    let flags = |channel: &str, rate: Option<Rate>| {
        let mut builder = Frame::builder(vec![0xd4; 10]).channel(channel.parse().unwrap());
        if let Some(rate) = rate {
            builder = builder.rate(rate);
        }
        parse(&builder.build().radiotap()).unwrap().channel.unwrap().flags
    };
    assert_eq!(flags("11", Some(Rate::Legacy(LegacyRate::M11))), 0x00a0);
    assert_eq!(flags("11", Some(Rate::Legacy(LegacyRate::M6))), 0x00c0);
    assert_eq!(flags("11", Some(Rate::Ht { mcs: 0 })), 0x0480);
    assert_eq!(flags("11", None), 0x0080);
    assert_eq!(flags("36", Some(Rate::Vht { mcs: 0, nss: 1 })), 0x0140);
}

/// The example of the specification's page on the header: TSFT after a channel would be at 8, so that it needs
/// no padding, and a 16-bit field after one byte needs one.
#[test]
fn fields_are_aligned_from_the_headers_start() {
    #[rustfmt::skip]
    let bytes = [
        0, 0, 26, 0, 0x0e, 0x08, 0x08, 0x00, // flags, rate, channel, antenna, MCS
        0x10, 0x02, // flags, rate: 1 Mbit/s
        0x6c, 0x09, 0xa0, 0x00, // 2412 MHz
        3,
        0x07, 0x05, 15, // MCS 15, 40 MHz, short guard interval
        0, 0, 0, 0, 0, 0, 0, 0, // padding that the length covers
    ];
    let view = Radiotap::new(&bytes).unwrap();
    assert_eq!(view.len(), 26);
    let fields = Fields::parse(&view).unwrap();
    assert_eq!(fields.channel, Some(ChannelField { frequency_mhz: 2412, flags: 0xa0 }));
    assert_eq!(fields.antenna, Some(3));
    assert_eq!(fields.mcs, Some(Mcs { known: 7, flags: 5, mcs: 15 }));
}

/// As tshark reads it: the hop set stands at an even offset.
#[test]
fn a_frequency_hoppers_field_is_aligned_to_two() {
    let bytes = [
        0, 0, 14, 0, 0x32, 0, 0, 0, /* flags */ 0x10, 0, /* hops */ 0x22, 0x33,
        /* dBm */ 0xc4, 0,
    ];
    let fields = parse(&bytes).unwrap();
    assert_eq!((fields.flags, fields.signal_dbm), (Some(flag::FCS), Some(-60)));
}

#[test]
fn vendor_namespaces_and_tlvs_are_walked_over() {
    #[rustfmt::skip]
    let bytes = [
        0, 0, 48, 0,
        0x02, 0, 0, 0xc0, // flags; then a vendor's namespace
        0xff, 0x00, 0, 0xa0, // eight of the vendor's fields; then radiotap again
        0x20, 0x08, 0, 0xa0, // signal, antenna
        0x20, 0x08, 0, 0x10, // signal, antenna, TLVs
        0x10, 0, // flags, padding
        0x00, 0x11, 0x22, 9, 5, 0, // vendor, 5 bytes
        1, 2, 3, 4, 5,
        0xd8, 0, // -40 dBm, antenna 0
        0xc4, 1, // -60 dBm, antenna 1
        0, 0, 0, // to a multiple of 4
        0x20, 0, 2, 0, 0xaa, 0xbb, // a TLV with two bytes
        0, 0,
    ];
    let view = Radiotap::new(&bytes).unwrap();
    let fields: Vec<_> = view.iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(fields[1].namespace, Namespace::Vendor { oui: [0x00, 0x11, 0x22], sub_namespace: 9 });
    assert_eq!(fields[1].data, [1, 2, 3, 4, 5]);
    assert_eq!(fields[2], Field { namespace: Namespace::Radiotap { index: 1 }, bit: 5, data: &[0xd8] });
    assert_eq!(fields.last().unwrap().namespace, Namespace::Tlv { kind: 0x20 });
    assert_eq!(fields.last().unwrap().data, [0xaa, 0xbb]);
    let parsed = Fields::parse(&view).unwrap();
    assert_eq!(parsed.flags, Some(0x10));
    assert_eq!(parsed.chains, ChainSignals::new(&[-40, -60]));
}

#[test]
fn hostile_headers_are_refused_by_name() {
    let refused = |bytes: &[u8]| parse(bytes).unwrap_err();
    assert_eq!(refused(&[0, 0, 8]), RadiotapError::Short { need: 8, have: 3 });
    assert_eq!(refused(&[1, 0, 8, 0, 0, 0, 0, 0]), RadiotapError::Version(1));
    assert_eq!(refused(&[0, 0, 9, 0, 0, 0, 0, 0]), RadiotapError::Short { need: 9, have: 8 });
    assert_eq!(refused(&[0, 0, 7, 0, 0, 0, 0, 0]), RadiotapError::Length { length: 7 });
    assert_eq!(refused(&[0, 0, 8, 0, 0, 0, 0, 0x80]), RadiotapError::Length { length: 8 });
    assert_eq!(refused(&[0, 0, 8, 0, 1, 0, 0, 0]), RadiotapError::FieldShort { bit: 0, need: 8, have: 0 });
    // Bit 0 of a second word of the same namespace is number 32, which nobody has defined.
    assert_eq!(refused(&[0, 0, 12, 0, 0, 0, 0, 0x80, 1, 0, 0, 0]), RadiotapError::UnknownField { bit: 32 });
    // A vendor that claims more than there is.
    assert_eq!(
        refused(&[0, 0, 14, 0, 0, 0, 0, 0x40, 1, 2, 3, 4, 0xff, 0xff]),
        RadiotapError::FieldShort { bit: 30, need: 0xffff, have: 0 }
    );
}

fn some_fields() -> impl Strategy<Value = Fields> {
    let first = (
        any::<Option<u64>>(),
        any::<Option<u8>>(),
        any::<Option<u8>>(),
        any::<Option<(u16, u16)>>(),
        any::<Option<i8>>(),
        any::<Option<i8>>(),
        any::<Option<u8>>(),
    );
    let second = (
        any::<Option<u16>>(),
        any::<Option<u16>>(),
        any::<Option<u8>>(),
        any::<Option<(u8, u8, u8)>>(),
        any::<Option<(u32, u16)>>(),
        any::<Option<[u8; 12]>>(),
        proptest::collection::vec(any::<i8>(), 0..=4),
    );
    (first, second).prop_map(|((tsft, flags, rate, channel, signal, power, antenna), b)| Fields {
        tsft,
        flags,
        rate,
        channel: channel.map(|(frequency_mhz, flags)| ChannelField { frequency_mhz, flags }),
        signal_dbm: signal,
        noise_dbm: power,
        tx_power_dbm: power,
        antenna,
        rx_flags: b.0,
        tx_flags: b.1,
        data_retries: b.2,
        mcs: b.3.map(|(known, flags, mcs)| Mcs { known, flags, mcs }),
        ampdu: b.4.map(|(reference, flags)| AmpduStatus { reference, flags }),
        vht: b.5.map(|v| Vht {
            known: u16::from_le_bytes([v[0], v[1]]),
            flags: v[2],
            bandwidth: v[3],
            mcs_nss: [v[4], v[5], v[6], v[7]],
            coding: v[8],
            group_id: v[9],
            partial_aid: u16::from_le_bytes([v[10], v[11]]),
        }),
        chains: ChainSignals::new(&b.6),
    })
}

proptest! {
    #[test]
    fn fields_round_trip_through_bytes(fields in some_fields()) {
        let header = fields.emit();
        prop_assert_eq!(Radiotap::new(&header).unwrap().len(), header.len());
        prop_assert_eq!(parse(&header), Ok(fields));
    }

    #[test]
    fn any_bytes_are_walked_in_bounds_and_end(mut bytes in proptest::collection::vec(any::<u8>(), 8..300)) {
        bytes[0] = 0;
        let len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_le_bytes());
        if let Ok(view) = Radiotap::new(&bytes) {
            let total: usize = view.iter().map_while(Result::ok).map(|field| field.data.len()).sum();
            prop_assert!(total <= bytes.len());
            prop_assert!(view.iter().count() <= 32 * bytes.len());
        }
    }
}
