//! A frame as a line of the table.
//!
//! Neighbours: [`crate::json`] is the other way to show one; what the last column says comes from
//! `airlift_wifi` with text from the air escaped.

use std::time::Duration;

use airlift_wifi::Frame;
use airlift_wifi::frame::Fcs;

/// The table's head, in the columns of [`line()`].
pub(crate) const HEAD: &str =
    "      TIME  CH    RATE  DBM  TYPE        FROM \u{2192} TO                              INFO";

/// The line for a frame, without its end; `since` is the start of the capture.
pub(crate) fn line(frame: &Frame, since: Duration) -> String {
    let time = frame.time().saturating_sub(since);
    let dash = || String::from("-");
    let channel = frame.channel().map_or_else(dash, |channel| channel.primary().to_string());
    let rate = frame.rate().map_or_else(dash, |rate| rate.to_string());
    let signal = frame.signal_dbm().map_or_else(dash, |dbm| dbm.to_string());
    let (kind, from, to) = match frame.header() {
        Ok(header) => (
            header.subtype().name(),
            // Acknowledgements do not say from whom.
            header.transmitter().map_or_else(|| "-".repeat(17), |address| address.to_string()),
            header.receiver().map_or_else(|| "-".repeat(17), |address| address.to_string()),
        ),
        Err(_) => ("malformed", "-".repeat(17), "-".repeat(17)),
    };
    let bad = if frame.fcs() == Fcs::Bad { "bad FCS; " } else { "" };
    let lost = match frame.lost_before() {
        0 => String::new(),
        lost => format!("({lost} lost before) "),
    };
    let (seconds, micros) = (time.as_secs(), time.subsec_micros());
    let line = format!(
        "{seconds:>3}.{micros:06}  {channel:>2}  {rate:>6}  {signal:>3}  {kind:<10}  {from} \u{2192} {to}  {lost}{bad}{}",
        frame.info()
    );
    line.trim_end().to_owned()
}

/// A number with a comma between each three digits: `2,251`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 frame`, `20 frames`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use airlift_wifi::{LegacyRate, Rate};

    use super::*;

    #[test]
    fn a_frame_is_a_line_in_the_columns_of_the_head() {
        let mut bytes = vec![0x88, 0x41, 0, 0];
        bytes.extend([2, 0, 0, 0, 0x0a, 1]);
        bytes.extend([2, 0, 0, 0, 0x0b, 7]);
        bytes.extend([0; 10]);
        bytes.extend([0; 1500]);
        let frame = Frame::builder(bytes)
            .append_fcs()
            .rate(Rate::Ht { mcs: 7 })
            .signal_dbm(-61)
            .channel("11".parse().unwrap())
            .time(Duration::from_micros(5_117_093))
            .build();
        let text = line(&frame, Duration::from_secs(5));
        assert_eq!(
            text,
            "  0.117093  11    MCS7  -61  qos-data    02:00:00:00:0b:07 \u{2192} 02:00:00:00:0a:01  1500 B, protected"
        );
        let column = |line: &str, word: &str| {
            let at = line.find(word).unwrap();
            line[..at].chars().count()
        };
        assert_eq!(column(HEAD, "TYPE"), column(&text, "qos-data"));
        assert_eq!(column(HEAD, "FROM"), column(&text, "02:00:00:00:0b"));
        assert_eq!(column(HEAD, "INFO"), column(&text, "1500 B"));
        assert_eq!(column(HEAD, "DBM"), column(&text, "-61"));
    }

    #[test]
    fn what_is_unknown_is_a_dash_and_what_is_wrong_is_said() {
        let ack = Frame::builder(&[0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1, 1, 2, 3, 4][..])
            .fcs(Fcs::Bad)
            .rate(Rate::Legacy(LegacyRate::M24))
            .build();
        assert_eq!(
            line(&ack, Duration::ZERO),
            "  0.000000   -    24.0    -  ack         ----------------- \u{2192} 02:00:00:00:00:01  bad FCS;"
        );
        let nothing = line(&Frame::builder(Vec::new()).build(), Duration::ZERO);
        assert!(nothing.contains("malformed"), "{nothing}");
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        let shown: Vec<String> = [0, 12, 999, 1000, 2251, 1_234_567].map(grouped).to_vec();
        assert_eq!(shown, ["0", "12", "999", "1,000", "2,251", "1,234,567"]);
        assert_eq!((counted(1, "frame"), counted(20, "frame")), ("1 frame".into(), "20 frames".into()));
    }
}
