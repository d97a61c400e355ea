//! The application under test: it watches a stream of frames for *evil twins*, access points that use a known
//! network's name under another address.
//!
//! It takes any stream of frames, so it runs on `wlan0` of a real adapter, of an emulated one, or on frames that a
//! test made. `tests/evil_twin.rs` is its integration test.

use std::collections::BTreeMap;

use airlift_wifi::ieee80211::Management;
use airlift_wifi::{Channel, Frame, MacAddr};
use futures::{Stream, StreamExt};

/// An access point that uses another one's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Twin {
    /// The name that both use.
    pub ssid: Vec<u8>,
    /// Who is meant to use it.
    pub genuine: MacAddr,
    /// Who does.
    pub twin: MacAddr,
    /// Where it was heard.
    pub channel: Option<Channel>,
}

/// Ends with the first beacon of a network in `known` that comes from another address, or with the stream.
pub async fn first_twin(
    mut frames: impl Stream<Item = Frame> + Unpin,
    known: &BTreeMap<Vec<u8>, MacAddr>,
) -> Option<Twin> {
    while let Some(frame) = frames.next().await {
        // What the air says is never trusted: a view parses lazily, and refuses what is malformed.
        let Ok(header) = frame.header() else { continue };
        let Ok(Management::Beacon(beacon)) = Management::new(&header) else { continue };
        let (Some(ssid), Some(twin)) = (beacon.elements().ssid(), header.transmitter()) else { continue };
        if let Some(&genuine) = known.get(ssid.bytes()).filter(|genuine| **genuine != twin) {
            return Some(Twin { ssid: ssid.bytes().to_vec(), genuine, twin, channel: frame.channel() });
        }
    }
    None
}
