//! V5: of the same descriptors and PHY statuses, mainline's driver and ours make the same radiotap header, but for
//! the differences in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use airlift_hcd::HostController;
use airlift_runtime::{Clock, Kernel};
use airlift_tests::adapters::Chip;
use airlift_tests::feed::Fed;
use airlift_tests::received::{self, Headers};
use airlift_tests::vectors::{self, Flaw, Vector};
use airlift_wifi::radiotap::{Fields, Mcs, Radiotap, Vht};
use airlift_wifi::{Channel, Firmware, StreamOptions, Width, Wlan, WlanOptions};
use futures::StreamExt;
use futures::executor::block_on;

/// The golden files, with the channel that each is about as the program names it.
const CHANNELS: [(&str, &str, u16); 2] = [("11-20", "11", 20), ("36-80", "36", 80)];

/// A field that may differ, and how.
struct Difference {
    field: &'static str,
    reason: &'static str,
    /// Whether the field differs in this way: vector, mainline's header, ours.
    is: fn(&Vector, &Fields, &Fields) -> bool,
}

/// The table of `airlift_wifi::radiotap`.
const DIFFERENCES: &[Difference] = &[
    Difference {
        field: "TSFT",
        reason: "mainline has the lower 32 bits, we unwrap them",
        is: |_, theirs, ours| match (theirs.tsft, ours.tsft) {
            (Some(theirs), Some(ours)) => theirs <= u64::from(u32::MAX) && ours as u32 == theirs as u32,
            _ => false,
        },
    },
    Difference {
        field: "RX flags",
        reason: "mainline has them always, as 0; the chip reports no PLCP check",
        is: |_, theirs, ours| theirs.rx_flags == Some(0) && ours.rx_flags.is_none(),
    },
    Difference {
        field: "chains",
        reason: "CCK is received on chain A alone; mainline tells 0 dBm for the others",
        is: |vector, theirs, ours| {
            code(vector) < 4
                && theirs.chains.get(0) == ours.chains.get(0)
                && (1..4).all(|chain| matches!(theirs.chains.get(chain), None | Some(0)))
                && (1..4).all(|chain| ours.chains.get(chain).is_none())
        },
    },
    Difference {
        field: "MCS",
        reason: "rtw88 does not read guard interval, LDPC and STBC",
        is: |vector, theirs, ours| {
            let (Some(theirs), Some(ours)) = (theirs.mcs, ours.mcs) else { return false };
            let [short_gi, ldpc, stbc] = coding(vector);
            let told = Mcs::KNOWN_GUARD_INTERVAL | Mcs::KNOWN_FEC | Mcs::KNOWN_STBC;
            let flags = if short_gi { Mcs::SHORT_GI } else { 0 }
                | if ldpc { Mcs::LDPC } else { 0 }
                | if stbc { Mcs::STBC_ONE_STREAM } else { 0 };
            ours.mcs == theirs.mcs
                && ours.known == theirs.known & !told | told
                && theirs.flags & !Mcs::BANDWIDTH_MASK == 0
                && ours.flags == theirs.flags | flags
        },
    },
    Difference {
        field: "VHT",
        reason: "rtw88 does not read guard interval, LDPC and STBC",
        is: |vector, theirs, ours| {
            let (Some(theirs), Some(ours)) = (theirs.vht, ours.vht) else { return false };
            let [short_gi, ldpc, stbc] = coding(vector);
            let told = Vht::KNOWN_GUARD_INTERVAL | Vht::KNOWN_STBC;
            let flags = if short_gi { Vht::SHORT_GI } else { 0 } | if stbc { Vht::STBC } else { 0 };
            let plain = Vht { known: ours.known & !told, flags: 0, coding: 0, ..ours };
            plain == Vht { known: theirs.known & !told, ..theirs }
                && ours.known & told == told
                && (ours.flags, ours.coding) == (flags, u8::from(ldpc))
        },
    },
    Difference {
        field: "antenna",
        reason: "without a PHY status nobody knows it; mac80211 tells 0",
        is: |vector, theirs, ours| {
            vector.words[0] & 1 << 26 == 0 && theirs.antenna == Some(0) && ours.antenna.is_none()
        },
    },
    Difference {
        field: "A-MPDU",
        reason: "rtw88 does not read whether a frame is part of one",
        is: |vector, theirs, ours| {
            theirs.ampdu.is_none() && ours.ampdu.is_some() && vector.words[1] & 1 << 15 != 0
        },
    },
    Difference {
        field: "rate",
        reason: "mainline has no number for a CCK rate at 5 GHz, and tells its first, 6 Mbit/s",
        is: |vector, theirs, ours| {
            let told = [2, 4, 11, 22].get(code(vector) as usize);
            theirs.rate == Some(12) && ours.rate.as_ref() == told
        },
    },
];

/// The rate's number in the descriptor.
fn code(vector: &Vector) -> u32 {
    vector.words[3] & 0x7f
}

/// Short guard interval, LDPC, STBC.
fn coding(vector: &Vector) -> [bool; 3] {
    [0, 1, 2].map(|bit| vector.words[4] & 1 << bit != 0)
}

/// The names of the fields that differ.
fn differing(theirs: &Fields, ours: &Fields) -> Vec<&'static str> {
    let equal = [
        ("TSFT", theirs.tsft == ours.tsft),
        ("flags", theirs.flags == ours.flags),
        ("rate", theirs.rate == ours.rate),
        ("channel", theirs.channel == ours.channel),
        ("signal", theirs.signal_dbm == ours.signal_dbm),
        ("noise", theirs.noise_dbm == ours.noise_dbm),
        ("antenna", theirs.antenna == ours.antenna),
        ("RX flags", theirs.rx_flags == ours.rx_flags),
        ("MCS", theirs.mcs == ours.mcs),
        ("A-MPDU", theirs.ampdu == ours.ampdu),
        ("VHT", theirs.vht == ours.vht),
        ("chains", theirs.chains == ours.chains),
    ];
    equal.into_iter().filter(|(_, equal)| !equal).map(|(name, _)| name).collect()
}

/// What our driver makes of the vectors on a channel, in virtual time.
fn ours(chip: &Chip, name: &str, mhz: u16, vectors: &[Vector]) -> Headers {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().expect("a kernel");
    let controller = HostController::new(&kernel.handle()).expect("a controller");
    let (adapter, feed) = Fed::new(chip.model.builder().build());
    let port = controller.plug(adapter);
    let options = WlanOptions::new()
        .channel(Channel::parse(name, Some(Width::from_mhz(mhz).expect("a width"))).expect("a channel"))
        .firmware(Firmware::bytes("stand-in", chip.model.stand_in_firmware()))
        .bad_fcs(true);
    let wlan = block_on(Wlan::attach(port.device(), options)).expect("the interface comes up");
    let mut frames = wlan.frames_with(StreamOptions::new().bad_fcs(true));
    feed.offer(vectors::transfers(vectors));
    let good = vectors.iter().filter(|vector| vector.flaw == Flaw::None).count();
    let mut headers = Headers::new();
    for _ in 0..good {
        let frame = block_on(frames.next()).expect("a frame for each good vector");
        let number = vectors::number_of(frame.bytes()).expect("a vector's frame");
        assert_eq!(frame.bytes(), vectors[number as usize].frame(), "vector {number}");
        assert!(headers.insert(number, frame.radiotap().to_vec()).is_none(), "vector {number} twice");
    }
    assert_eq!(feed.left(), 0);
    block_on(wlan.down()).expect("the interface goes down");
    assert!(block_on(frames.next()).is_none(), "a frame of a malformed vector");
    kernel.shutdown_blocking();
    headers
}

fn fields(header: &[u8]) -> Fields {
    Fields::parse(&Radiotap::new(header).expect("a header")).expect("its fields")
}

#[test]
fn v5_our_radiotap_is_mainlines_but_for_the_table() {
    let vectors = vectors::vectors(vectors::SEED);
    assert!(vectors.len() >= 500);
    let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut needed = BTreeSet::new();
    let chips = ["rtl8812au", "rtl8821au", "rtl8814au"].map(|chip| Chip::named(chip).expect("a chip"));
    for (chip, (file, name, mhz)) in chips.iter().flat_map(|chip| CHANNELS.map(|channel| (chip, channel))) {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{}/received/{file}.txt", chip.folder));
        let file = format!("{} {file}", chip.folder);
        let golden =
            received::parse(&std::fs::read_to_string(path).expect("a golden file")).expect("headers");
        let told =
            golden.values().filter(|header| fields(header).chains.iter().count() == chip.model.radios());
        assert!(told.count() >= 500, "{file}: mainline tells every path's signal");
        let ours = ours(chip, name, mhz, &vectors);
        for vector in &vectors {
            let (theirs, ours) = match (golden.get(&vector.number), ours.get(&vector.number)) {
                (Some(theirs), Some(ours)) => (fields(theirs), fields(ours)),
                (None, None) => continue,
                (theirs, _) => {
                    let who = if theirs.is_some() { "mainline" } else { "our driver" };
                    let what = format!("{file}: only {who} passes it on ({:?})", vector.flaw);
                    found.entry(what).or_default().push(vector.number);
                    continue;
                }
            };
            for field in differing(&theirs, &ours) {
                let row =
                    DIFFERENCES.iter().position(|row| row.field == field && (row.is)(vector, &theirs, &ours));
                match row {
                    Some(row) => _ = needed.insert(row),
                    None => {
                        let what = format!(
                            "{file}: {field} of rate {:#04x}: mainline {theirs:?}, ours {ours:?}",
                            code(vector)
                        );
                        found.entry(what).or_default().push(vector.number);
                    }
                }
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
