//! [`Fate`]: what became of a frame of the file, and its line of JSON. The shape is told by `airlift inject --help`.
//!
//! Neighbours: [`super::tally`] counts them.

use airlift_wifi::tx::Unknown;
use airlift_wifi::{Delivery, InjectError, InjectErrorKind, Outcome};

use crate::json::{self, Object, VERSION};

/// What became of a frame. Each frame that was read has one, once.
#[derive(Debug)]
pub(super) enum Fate {
    /// The adapter had it, and told what it knows.
    Told(Outcome),
    /// The adapter may have had it; why it is not known what it did.
    Unknown(String),
    /// It cannot be sent, and never was; why.
    Refused(String),
    /// It was not sent, though it could have been; why.
    NotSent(String),
}

impl From<Result<Outcome, InjectError>> for Fate {
    fn from(sent: Result<Outcome, InjectError>) -> Self {
        let error = match sent {
            Ok(Outcome { delivery: Delivery::Unknown(unknown), .. }) => {
                return Self::Unknown(
                    match unknown {
                        Unknown::NoNumber => "too many reports of other frames are overdue to ask for one",
                        _ => "the adapter reported nothing",
                    }
                    .into(),
                );
            }
            Ok(outcome) => return Self::Told(outcome),
            Err(error) => error,
        };
        let reason = match error.kind() {
            InjectErrorKind::Refused(refusal) => refusal.to_string(),
            InjectErrorKind::Transfer(error) => error.to_string(),
            InjectErrorKind::Interface(error) => error.to_string(),
            _ => error.to_string(),
        };
        match error.refusal() {
            Some(_) => Self::Refused(reason),
            None if error.may_have_been_sent() => Self::Unknown(reason),
            None => Self::NotSent(reason),
        }
    }
}

impl Fate {
    /// The object for frame `number` of the file, without the line's end.
    pub(super) fn json(&self, number: u64) -> String {
        let mut object = Object::new();
        object.number("v", VERSION);
        object.number("frame", number);
        let (outcome, reason) = match self {
            Self::Told(outcome) => (
                match outcome.delivery {
                    Delivery::Acknowledged => "acknowledged",
                    Delivery::NotAcknowledged => "not-acknowledged",
                    Delivery::Expired => "expired",
                    _ => "sent",
                },
                None,
            ),
            Self::Unknown(reason) => ("unknown", Some(reason)),
            Self::Refused(reason) => ("refused", Some(reason)),
            Self::NotSent(reason) => ("not-sent", Some(reason)),
        };
        object.text("outcome", outcome);
        if let Some(reason) = reason {
            object.text("reason", reason);
        }
        if let Self::Told(outcome) = self {
            object.some("retries", outcome.retries);
            if let Some(rate) = outcome.rate {
                object.raw("rate", &json::rate(rate).finish());
            }
            if !outcome.unhonoured.is_empty() {
                object.text("not_honoured", &outcome.unhonoured.to_string());
            }
        }
        object.finish()
    }
}

#[cfg(test)]
mod tests {
    use airlift_wifi::Rate;
    use airlift_wifi::TxFrame;

    use super::*;

    #[test]
    fn w3_each_fate_is_one_object_of_the_documented_shape() {
        for (fate, rest) in [
            (Fate::Unknown("a \"b\"".into()), r#""outcome":"unknown","reason":"a \"b\""}"#),
            (Fate::NotSent("down".into()), r#""outcome":"not-sent","reason":"down"}"#),
        ] {
            assert_eq!(fate.json(7), format!("{{\"v\":1,\"frame\":7,{rest}"));
        }
        let packet = [&[0, 0, 11, 0, 0, 0, 8, 0, 2, 0, 32][..], &[0; 30]].concat();
        let refused = Fate::from(Err(TxFrame::from_radiotap(packet).unwrap_err()));
        let expected = r#"{"v":1,"frame":1,"outcome":"refused","reason":"MCS 32, expected 0 to 31"}"#;
        assert_eq!(refused.json(1), expected);
        assert_eq!(json::rate(Rate::Ht { mcs: 7 }).finish(), r#"{"mcs":7}"#);
    }
}
