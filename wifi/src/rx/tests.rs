use futures::FutureExt;
use futures::stream::StreamExt;
use proptest::prelude::*;

use super::testing::{Raw, aggregate};
use super::*;
use crate::channel::Width;
use crate::frame::LegacyRate;
use crate::ieee80211;
use crate::stream::StreamOptions;

fn receiver() -> Receiver {
    Receiver::new(Chip::Rtl8812au, 2)
}

/// An ACK with its check sequence.
fn ack() -> Vec<u8> {
    let mut bytes = vec![0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1];
    bytes.extend(ieee80211::fcs(&bytes));
    bytes
}

#[test]
fn w2_frames_are_slices_of_the_transfers_buffer() {
    let mut receiver = receiver();
    let mut stream = receiver.source().open(StreamOptions::new());
    let bytes = Bytes::from(aggregate(&[Raw::new(&ack()), Raw::new(&ack())]));
    let within = bytes.as_ptr_range();
    receiver.aggregate(bytes, Duration::ZERO);
    for _ in 0..2 {
        let frame = stream.try_next().unwrap();
        assert_eq!(frame.bytes()[..], ack()[..]);
        assert!(within.contains(&frame.bytes().as_ptr()), "no copy was made");
        assert_eq!(frame.fcs_matches(), Some(true));
    }
}

#[test]
fn w3_a_frame_carries_what_descriptor_and_phy_status_say() {
    let mut receiver = receiver();
    let channel: Channel = Channel::new(36, Width::Mhz80).unwrap();
    receiver.set_channel(Some(channel), Duration::ZERO);
    receiver.set_tsf(9 << 32, Duration::ZERO);
    let mut stream = receiver.source().open(StreamOptions::new().bad_fcs(true));
    let mut raw = Raw::new(&ack());
    raw.descriptor.rate_code = 0x3f;
    raw.descriptor.bandwidth = Width::Mhz80;
    raw.descriptor.short_gi = true;
    raw.descriptor.ldpc = true;
    raw.descriptor.ampdu = true;
    raw.descriptor.crc_error = true;
    raw.descriptor.tsf_low = 123_456;
    raw.phy_status[..2].copy_from_slice(&[60, 50]);
    let at = Duration::from_millis(130);
    receiver.aggregate(Bytes::from(aggregate(&[raw])), at);
    let frame = stream.try_next().unwrap();
    let meta = frame.meta();
    assert_eq!(meta.tsf, Some(9 << 32 | 123_456));
    assert_eq!((meta.received_at, meta.channel), (at, Some(channel)));
    assert_eq!(
        meta.modulation,
        Some(Modulation {
            rate: Rate::Vht { mcs: 9, nss: 2 },
            bandwidth: Some(Width::Mhz80),
            short_gi: Some(true),
            ldpc: Some(true),
            stbc: Some(false),
        })
    );
    assert_eq!((meta.signal_dbm, meta.chains), (Some(-50), ChainSignals::new(&[-50, -60])));
    assert_eq!(meta.ampdu.map(|ampdu| ampdu.last), Some(None));
    assert_eq!(meta.fcs, Fcs::Bad);
}

#[test]
fn w3_each_coding_bit_is_told_by_itself() {
    let mut receiver = receiver();
    let mut stream = receiver.source().open(StreamOptions::new());
    for told in [[true, false, false], [false, true, false], [false, false, true]] {
        let mut raw = Raw::new(&ack());
        raw.descriptor.rate_code = 0x0c;
        [raw.descriptor.short_gi, raw.descriptor.ldpc, raw.descriptor.stbc] = told;
        receiver.aggregate(Bytes::from(aggregate(&[raw])), Duration::ZERO);
        let modulation = stream.try_next().unwrap().meta().modulation.unwrap();
        assert_eq!([modulation.short_gi, modulation.ldpc, modulation.stbc], told.map(Some));
    }
}

#[test]
fn w3_a_frame_without_phy_status_has_no_signal_and_cck_no_guard_interval() {
    let mut receiver = receiver();
    let mut stream = receiver.source().open(StreamOptions::new());
    let mut raw = Raw::new(&ack());
    raw.descriptor.phy_status = false;
    raw.descriptor.rate_code = 3;
    raw.descriptor.short_gi = true;
    raw.descriptor.bandwidth = Width::Mhz40;
    receiver.aggregate(Bytes::from(aggregate(&[raw])), Duration::ZERO);
    let meta = *stream.try_next().unwrap().meta();
    assert_eq!((meta.signal_dbm, meta.chains), (None, ChainSignals::NONE));
    let modulation = meta.modulation.unwrap();
    assert_eq!(modulation.rate, Rate::Legacy(LegacyRate::M11));
    assert_eq!((modulation.short_gi, modulation.bandwidth), (None, Some(Width::Mhz20)));
}

#[test]
fn w5_firmware_messages_are_separated_and_no_frames() {
    let mut receiver = receiver();
    let mut stream = receiver.source().open(StreamOptions::new());
    let mut message = Raw::new(&[0x0c, 7, 1, 2, 3]);
    message.descriptor.c2h = true;
    let mut empty = Raw::new(&[0x0c]);
    empty.descriptor.c2h = true;
    let bytes = aggregate(&[Raw::new(&ack()), message, empty, Raw::new(&ack())]);
    let messages = receiver.aggregate(Bytes::from(bytes), Duration::ZERO);
    assert_eq!(messages, [C2h { id: 0x0c, sequence: 7, payload: Bytes::from_static(&[1, 2, 3]) }]);
    assert_eq!(stream.by_ref().take(2).count().now_or_never(), Some(2));
    let stats = receiver.source().stats();
    assert_eq!((stats.chip, stats.frames, stats.firmware_messages, stats.transfers), (2, 2, 2, 1));
}

#[test]
fn w5_drops_are_counted_by_cause_and_told_before_the_next_frame() {
    let mut receiver = receiver();
    let mut stream = receiver.source().open(StreamOptions::new());
    let mut bad = Raw::new(&ack());
    bad.descriptor.rate_code = 0x7f;
    receiver.aggregate(Bytes::from(aggregate(&[bad, Raw::new(&ack())])), Duration::ZERO);
    receiver.aggregate(Bytes::from(vec![0; 64]), Duration::ZERO);
    receiver.aggregate(Bytes::from(aggregate(&[Raw::new(&ack())])), Duration::ZERO);
    receiver.transfer_failed();
    // Within a transfer the place of a malformed packet is not told: the first frame has it before it.
    let lost: Vec<_> = core::iter::from_fn(|| stream.try_next()).map(|frame| frame.lost_before()).collect();
    assert_eq!(lost, [1, 1]);
    let stats = stream.stats();
    assert_eq!(
        stats.to_string(),
        "chip 4 = delivered 2 + dropped 2 (bad FCS 0, queue 0, malformed 2: blank 1, bad rate 1)"
    );
    let total = receiver.source().stats();
    assert_eq!((total.chip, total.frames, total.transfers, total.failed_transfers), (4, 2, 3, 1));
}

#[test]
fn a7_the_whole_buffer_counts_as_pinned_and_not_only_its_bytes() {
    let mut receiver = receiver();
    let stream = receiver.source().open(StreamOptions::new());
    let mut buffer = BytesMut::with_capacity(32_768);
    buffer.extend_from_slice(&aggregate(&[Raw::new(&ack())]));
    receiver.aggregate(buffer, Duration::ZERO);
    assert!(stream.stats().pinned_bytes >= 32_768, "{}", stream.stats().pinned_bytes);
}

proptest! {
    #[test]
    fn w5_any_transfers_leave_every_account_balanced(
        transfers in proptest::collection::vec(transfer(), 1..8), takes in 0usize..6
    ) {
        let mut receiver = receiver();
        receiver.set_channel("11".parse().ok(), Duration::ZERO);
        let source = receiver.source();
        let mut first = source.open(StreamOptions::new());
        let all = source.open(StreamOptions::new().bad_fcs(true));
        for (at, bytes) in transfers.into_iter().enumerate() {
            receiver.aggregate(Bytes::from(bytes), Duration::from_millis(at as u64));
            for _ in 0..takes {
                if let Some(frame) = first.try_next() {
                    // Whatever came, a view of it is made or refused.
                    let _ = (frame.header().is_ok(), frame.info().to_string(), frame.radiotap());
                }
            }
            let total = source.stats();
            prop_assert_eq!(total.chip, total.frames + total.malformed.total());
            for stream in [&first, &all] {
                prop_assert!(stream.stats().is_balanced(), "{}", stream.stats());
                prop_assert_eq!(stream.stats().chip, total.chip);
            }
        }
    }
}

/// A transfer of random bytes, or one of packets with a few bytes of it changed.
fn transfer() -> impl Strategy<Value = Vec<u8>> {
    let packets = (
        proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 5..200), 0u8..0x54, any::<bool>()),
            1..6,
        ),
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    )
        .prop_map(|(packets, changes)| {
            let packets: Vec<_> = packets
                .into_iter()
                .map(|(bytes, rate_code, crc_error)| {
                    let mut raw = Raw::new(&bytes);
                    raw.descriptor.rate_code = rate_code;
                    raw.descriptor.crc_error = crc_error;
                    raw
                })
                .collect();
            let mut bytes = aggregate(&packets);
            for (index, value) in changes {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            bytes
        });
    prop_oneof![packets, proptest::collection::vec(any::<u8>(), 0..600)]
}
