//! `--json`: a frame as one object a line. The shape is told by `airlift capture --help`; [`VERSION`] names it.
//!
//! Neighbours: [`crate::render`] is the other way to show a frame; [`crate::inject`] makes lines of its own of the same
//! parts.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use airlift_wifi::frame::Fcs;
use airlift_wifi::ieee80211::{Header, Management, is_printable};
use airlift_wifi::{Frame, Rate};

/// The shape's version. Keys may be added without raising it; none is removed or changes its meaning.
pub(crate) const VERSION: u32 = 1;

/// The line for a frame, without its end; `since` is the start of the capture.
pub(crate) fn line(frame: &Frame, since: Duration) -> String {
    let mut object = Object::new();
    let meta = frame.meta();
    object.number("v", VERSION);
    object.number("time", format_args!("{:.6}", frame.time().saturating_sub(since).as_secs_f64()));
    object.some("tsf", meta.tsf);
    if let Some(channel) = meta.channel {
        object.number("channel", channel.primary());
        object.number("frequency", channel.frequency_mhz());
        object.number("width", channel.width().mhz());
        object.number("center", channel.center_frequency_mhz());
    }
    if let Some(modulation) = meta.modulation {
        let mut rate = rate(modulation.rate);
        rate.some("bandwidth", modulation.bandwidth.map(|width| width.mhz()));
        rate.some("short_gi", modulation.short_gi);
        object.raw("rate", &rate.finish());
    }
    object.some("signal", meta.signal_dbm);
    let chains: Vec<String> = meta.chains.iter().map(|(_, dbm)| dbm.to_string()).collect();
    if !chains.is_empty() {
        object.raw("chains", &format!("[{}]", chains.join(",")));
    }
    object.text(
        "fcs",
        match frame.fcs() {
            Fcs::Good => "good",
            Fcs::Bad => "bad",
            Fcs::Absent => "absent",
        },
    );
    object.number("length", frame.bytes().len());
    match frame.header() {
        Ok(header) => parts(&mut object, &header),
        Err(malformed) => object.text("malformed", &malformed.to_string()),
    }
    object.some("ampdu", meta.ampdu.map(|ampdu| ampdu.reference));
    object.text("info", &frame.info().to_string());
    object.number("lost_before", frame.lost_before());
    object.finish()
}

/// A rate; keys may be added to it.
pub(crate) fn rate(rate: Rate) -> Object {
    let mut object = Object::new();
    match rate {
        Rate::Legacy(legacy) => {
            object.number("mbps", format_args!("{:.1}", f32::from(legacy.half_mbps()) / 2.0));
        }
        Rate::Ht { mcs } => object.number("mcs", mcs),
        Rate::Vht { mcs, nss } => {
            object.number("mcs", mcs);
            object.number("nss", nss);
        }
    }
    object
}

/// What the 802.11 header and a management body say.
fn parts(object: &mut Object, header: &Header<'_>) {
    object.text("type", header.subtype().name());
    for (key, address) in
        [("from", header.transmitter()), ("to", header.receiver()), ("bssid", header.bssid())]
    {
        if let Some(address) = address {
            object.text(key, &address.to_string());
        }
    }
    object.some("sequence", header.sequence().map(|sequence| sequence.number()));
    let control = header.frame_control();
    object.number("retry", control.retry());
    object.number("protected", control.protected());
    let body = Management::new(header).ok();
    if let Some(ssid) = body.and_then(|body| body.elements()?.ssid()) {
        match std::str::from_utf8(ssid.bytes()) {
            Ok(text) => object.text("ssid", text),
            Err(_) => object
                .text("ssid_hex", &ssid.bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        }
    }
}

/// A JSON object (RFC 8259), written key by key.
#[derive(Debug)]
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self("{".into())
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{key}\":");
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.0.push_str(value);
    }

    /// A number, or `true` and `false`.
    pub(crate) fn number(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    pub(crate) fn some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    /// A string. Beyond what JSON asks for, everything that a terminal should not see is escaped too.
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.0.push('"');
        for c in value.chars() {
            match c {
                '"' | '\\' => {
                    self.0.push('\\');
                    self.0.push(c);
                }
                c if is_printable(c) => self.0.push(c),
                c => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.0, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.0.push('"');
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use airlift_wifi::LegacyRate;

    use super::*;

    fn beacon(ssid: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80, 0, 0, 0];
        bytes.extend([0xff; 6]);
        bytes.extend([2, 0, 0, 0, 0x0a, 1]);
        bytes.extend([2, 0, 0, 0, 0x0a, 1]);
        bytes.extend([0x50, 0x01]);
        bytes.extend([0; 8]);
        bytes.extend([100, 0, 1, 0, 0, ssid.len() as u8]);
        bytes.extend(ssid);
        bytes
    }

    #[test]
    fn a_beacon_is_one_line_of_the_documented_shape() {
        let frame = Frame::builder(beacon(b"coffee"))
            .append_fcs()
            .rate(Rate::Legacy(LegacyRate::M5_5))
            .signal_dbm(-48)
            .channel("11".parse().unwrap())
            .build();
        assert_eq!(
            line(&frame, Duration::ZERO),
            "{\"v\":1,\"time\":0.000000,\"channel\":11,\"frequency\":2462,\"width\":20,\"center\":2462,\"rate\":{\"mbps\":5.5},\
             \"signal\":-48,\"fcs\":\"good\",\"length\":48,\"type\":\"beacon\",\"from\":\"02:00:00:00:0a:01\",\
             \"to\":\"ff:ff:ff:ff:ff:ff\",\"bssid\":\"02:00:00:00:0a:01\",\"sequence\":21,\"retry\":false,\
             \"protected\":false,\"ssid\":\"coffee\",\"info\":\"\\\"coffee\\\"\",\"lost_before\":0}"
        );
    }

    #[test]
    fn a_hostile_ssid_stays_one_json_string_on_one_line() {
        let shown = |ssid: &[u8]| line(&Frame::builder(beacon(ssid)).build(), Duration::ZERO);
        let text = shown("\"},{\n\u{1b}[2J\u{202e}\u{e0001}".as_bytes());
        assert!(text.contains(r#""ssid":"\"},{\u000a\u001b[2J\u202e\udb40\udc01""#), "{text}");
        assert!(text.chars().all(is_printable));
        assert!(shown(&[0xff, 0x00]).contains("\"ssid_hex\":\"ff00\""));
    }

    #[test]
    fn a_malformed_frame_says_so_and_has_no_type() {
        let text = line(&Frame::builder(vec![0x80]).build(), Duration::ZERO);
        assert!(text.contains("\"malformed\":") && !text.contains("\"type\":"), "{text}");
    }
}
