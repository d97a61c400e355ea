//! Two adapters on one air, of which one sends and the other listens.

use airlift_emu::{Air, Probe, Rtl8812au};
use airlift_hcd::MockPort;
use airlift_wifi::{Channel, Filter, Frame, FrameStream, MacAddr, StreamOptions, Wlan};

use super::{Bench, options};

pub const OWN: [u8; 6] = [0x02, 0xa1, 0, 0, 0, 1];
pub const EVERYONE: [u8; 6] = [0xff; 6];
pub const NOBODY: [u8; 6] = [0x02, 0xdd, 0, 0, 0, 9];
/// The access point "coffee" of the default scene, on channel 11.
pub const COFFEE: [u8; 6] = [0x02, 0, 0, 0, 0x0a, 0x01];

/// A data frame from us with `body` bytes of `fill`.
pub fn data(to: [u8; 6], body: usize, fill: u8) -> Vec<u8> {
    let mut frame = vec![0x08, 0, 0, 0];
    for address in [to, OWN, OWN] {
        frame.extend(address);
    }
    frame.extend([0xb0, 0x0b]);
    frame.resize(24 + body, fill);
    frame
}

/// Two adapters on one air: one that sends, one that listens.
pub struct Pair {
    pub bench: Bench,
    pub wlan: Wlan,
    pub listener: Wlan,
    _port: MockPort,
    pub probe: Probe,
}

impl Pair {
    pub async fn on(channel: &str, air: &Air) -> Self {
        let bench = Bench::without_latency(Rtl8812au::builder().air(air));
        let other = Rtl8812au::builder().air(air).seed(2).build();
        let probe = other.probe();
        let port = bench.controller.plug(other);
        let channel: Channel = channel.parse().unwrap();
        let wlan = bench.attach_with(options().channel(channel)).await.unwrap();
        let listener = Wlan::attach(port.device(), options().channel(channel)).await.unwrap();
        Self { bench, wlan, listener, _port: port, probe }
    }

    /// What the listener hears from us, from now on.
    pub fn heard(&self) -> FrameStream {
        let ours = Filter::transmitter(MacAddr(OWN));
        self.listener.frames_with(StreamOptions::new().filter(ours))
    }

    pub async fn end(self) {
        self.wlan.down().await.unwrap();
        self.listener.down().await.unwrap();
        self.bench.assert_no_violations();
        let violations = self.probe.violations();
        assert!(violations.is_empty(), "{violations:#?}");
        assert!(self.wlan.tx_stats().is_balanced(), "{:?}", self.wlan.tx_stats());
    }
}

/// The same frame but for what the chip fills in: the sequence number.
pub fn assert_same(heard: &Frame, sent: &[u8]) {
    let mut mpdu = heard.mpdu().to_vec();
    mpdu[22..24].copy_from_slice(&sent[22..24]);
    assert_eq!(mpdu, sent);
}
