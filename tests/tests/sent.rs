//! V1: of the same frames, mainline's driver and ours make the same transmit descriptors and take the same endpoints, but
//! for the differences in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use airlift_hcd::HostController;
use airlift_runtime::{Clock, Kernel};
use airlift_tests::adapters::{CHIPS, Chip};
use airlift_tests::inject::{self, Injected};
use airlift_tests::sent::{self, Sent};
use airlift_tests::trace::Traced;
use airlift_wifi::{Band, Channel, Firmware, LegacyRate, Rate, TxFrame, Width, Wlan, WlanOptions};
use futures::executor::block_on;

/// The golden files, with the channel that each is about as the program names it.
const CHANNELS: [(&str, &str, u16); 6] = [
    ("11-20", "11", 20),
    ("6-40", "6+", 40),
    ("36-20", "36", 20),
    ("36-40", "36+", 40),
    ("36-80", "36", 80),
    ("149-20", "149", 20),
];

/// The queue of best effort, in QSEL.
const BEST_EFFORT: u32 = 0;

/// A field that may differ.
struct Difference {
    field: &'static str,
    /// Word, lowest bit, bits; `None` is the endpoint, which then must be mainline's for data of best effort to somebody.
    place: Option<(usize, u32, u32)>,
    reason: &'static str,
    /// In which frames it may on which band, and how: mainline's value, ours.
    is: fn(&Injected, Band, u32, u32) -> bool,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        field: "QSEL",
        place: Some((1, 8, 5)),
        reason: "mainline puts group-addressed data into the queue for what an access point holds back until its next \
                 DTIM beacon; a monitor sends no beacons, and we take the queue of the class",
        is: |frame, _, theirs, ours| is_group_data(frame) && (theirs, ours) == (17, BEST_EFFORT),
    },
    Difference {
        field: "MORE_DATA",
        place: Some((1, 29, 1)),
        reason: "the flag that belongs to that queue, see QSEL",
        is: |frame, _, theirs, ours| is_group_data(frame) && (theirs, ours) == (1, 0),
    },
    Difference {
        field: "endpoint",
        place: None,
        reason: "that of the queue, see QSEL",
        is: |frame, _, theirs, ours| is_group_data(frame) && theirs != ours,
    },
    Difference {
        field: "USE_RATE",
        place: Some((3, 8, 1)),
        reason: "mainline leaves the rate of data to the firmware, and tells nothing about control frames; we send at the \
                 rate that was asked for",
        is: |frame, _, theirs, ours| is_data_or_control(frame) && (theirs, ours) == (0, 1),
    },
    Difference {
        field: "DISDATAFB",
        place: Some((3, 10, 1)),
        reason: "and at no other, see USE_RATE",
        is: |frame, _, theirs, ours| is_data_or_control(frame) && (theirs, ours) == (0, 1),
    },
    Difference {
        field: "RATE_ID",
        place: Some((1, 16, 5)),
        reason: "the set of rates that the firmware falls back on, of which it makes no use with USE_RATE; mainline takes \
                 802.11b and g for data to nobody it knows, and none for control frames; ours is that of the rate, OFDM \
                 or, for control frames at 2.4 GHz, CCK",
        is: |frame, band, theirs, ours| match (frame.is_data(), band) {
            (true, _) => (theirs, ours) == (6, 7),
            (false, Band::Ghz2) => frame.is_control() && (theirs, ours) == (0, 8),
            (false, Band::Ghz5) => frame.is_control() && (theirs, ours) == (0, 7),
        },
    },
    Difference {
        field: "DATARATE",
        place: Some((4, 0, 7)),
        reason: "for a control frame mainline leaves that of 1 Mbit/s, which is none of 5 GHz; we take the lowest one that is",
        is: |frame, band, theirs, ours| band == Band::Ghz5 && frame.is_control() && (theirs, ours) == (0, 4),
    },
    Difference {
        field: "MORE_FRAG",
        place: Some((2, 17, 1)),
        reason: "rtw88 does not tell the chip that more fragments follow",
        is: |frame, _, theirs, ours| frame.has_more_fragments() && (theirs, ours) == (0, 1),
    },
    Difference {
        field: "SW_DEFINE",
        place: Some((6, 2, 6)),
        reason: "the number of the report: mainline counts frames, we give one that no frame in the chip has",
        is: |_, _, _, _| true,
    },
    Difference {
        field: "DMA_TXAGG_NUM",
        place: Some((7, 24, 8)),
        reason: "how many frames share the transfer: mainline put those together that waited, we were given one by one",
        is: |_, _, theirs, ours| theirs > 1 && ours == 0,
    },
];

fn is_group_data(frame: &Injected) -> bool {
    frame.is_data() && !frame.is_unicast()
}

fn is_data_or_control(frame: &Injected) -> bool {
    frame.is_data() || frame.is_control()
}

/// The frame for our driver, with the wishes that come to what mainline always does: data at 6 Mbit/s with the number
/// that it has, all else at the lowest rate with the chip's number.
fn wished(frame: &Injected) -> TxFrame {
    let plain = TxFrame::new(frame.frame().to_vec());
    if frame.is_data() { plain.rate(Rate::Legacy(LegacyRate::M6)).keep_sequence() } else { plain }
}

/// How our driver hands over the frames, one by one, in virtual time.
fn ours(chip: &Chip, channel: Channel, frames: &[Injected]) -> Vec<Sent> {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().expect("a kernel");
    let controller = HostController::new(&kernel.handle()).expect("a controller");
    let air = airlift_emu::Air::quiet(1);
    let (adapter, trace) = Traced::new(chip.model.builder().air(&air).build());
    let port = controller.plug(adapter);
    let options = WlanOptions::new()
        .channel(channel)
        .firmware(Firmware::bytes("stand-in", chip.model.stand_in_firmware()));
    let wlan = block_on(Wlan::attach(port.device(), options)).expect("the interface comes up");
    trace.clear();
    for frame in frames {
        block_on(wlan.inject(wished(frame))).expect("the chip takes the frame");
    }
    let sent = sent::find(frames, &trace.transfers()).expect("each frame once");
    block_on(wlan.down()).expect("the interface goes down");
    kernel.shutdown_blocking();
    sent
}

/// Puts mainline's value into each field of ours that differs and may, and the checksum over them. Which rows of the table
/// were needed is noted. `data` is mainline's endpoint for data of best effort to somebody.
fn excuse(
    (frame, band): (&Injected, Band),
    theirs: &Sent,
    ours: &mut Sent,
    data: u8,
    needed: &mut BTreeSet<usize>,
) {
    for (at, row) in DIFFERENCES.iter().enumerate() {
        let Some((word, shift, bits)) = row.place else {
            if ours.endpoint == data && (row.is)(frame, band, theirs.endpoint.into(), ours.endpoint.into()) {
                ours.endpoint = theirs.endpoint;
                needed.insert(at);
            }
            continue;
        };
        let mask = u32::MAX >> (32 - bits);
        let value = |sent: &Sent| sent.word(word) >> shift & mask;
        let (their_value, our_value) = (value(theirs), value(ours));
        if their_value != our_value && (row.is)(frame, band, their_value, our_value) {
            let changed = ours.word(word) & !(mask << shift) | their_value << shift;
            ours.descriptor[word * 4..][..4].copy_from_slice(&changed.to_le_bytes());
            needed.insert(at);
        }
    }
    // Over what it is now.
    ours.set_checksum();
}

#[test]
fn v1_our_transmit_descriptors_are_mainlines_but_for_the_table() {
    let frames = inject::frames();
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut needed = BTreeSet::new();
    for (chip, (file, name, mhz)) in CHIPS.iter().flat_map(|chip| CHANNELS.map(|channel| (chip, channel))) {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{}/sent/{file}.txt", chip.folder));
        let golden = sent::parse(&std::fs::read_to_string(path).expect("a golden file")).expect("frames");
        assert_eq!(golden.len(), frames.len(), "{} {file}", chip.folder);
        let to_somebody = |(frame, sent): &(&Injected, &Sent)| {
            frame.is_data() && frame.is_unicast() && sent.word(1) >> 8 & 0x1f == BEST_EFFORT
        };
        let data: BTreeSet<u8> =
            frames.iter().zip(&golden).filter(to_somebody).map(|(_, sent)| sent.endpoint).collect();
        let [data] = data.into_iter().collect::<Vec<_>>()[..] else { panic!("one endpoint for data") };
        let width = Width::from_mhz(mhz).expect("a width");
        let channel = Channel::parse(name, Some(width)).expect("a channel");
        let ours = ours(chip, channel, &frames);
        for (at, ((frame, theirs), mut ours)) in frames.iter().zip(&golden).zip(ours).enumerate() {
            assert_eq!((theirs.residue(), ours.residue()), (0, 0), "the checksums of frame {at}");
            excuse((frame, channel.band()), theirs, &mut ours, data, &mut needed);
            if ours.endpoint != theirs.endpoint {
                let what = format!(
                    "{} {file}: endpoint {:02x}, mainline's {:02x}",
                    chip.folder, ours.endpoint, theirs.endpoint
                );
                found.entry(what).or_default().push(at);
            }
            for word in (0..10).filter(|word| ours.word(*word) != theirs.word(*word)) {
                let what = format!(
                    "{} {file}: word {word}: ours {:08x}, mainline's {:08x}",
                    chip.folder,
                    ours.word(word),
                    theirs.word(word)
                );
                found.entry(what).or_default().push(at);
            }
        }
    }
    for (at, row) in DIFFERENCES.iter().enumerate().filter(|(at, _)| !needed.contains(at)) {
        found.insert(
            format!("row {at} of the table is not needed: {}: {}", row.field, row.reason),
            Vec::new(),
        );
    }
    assert!(found.is_empty(), "{} differences:\n{found:#?}", found.len());
}
