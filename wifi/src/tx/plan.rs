//! [`Planner`]: whether and how a frame can be sent by this adapter on this channel.
//!
//! Pure: it looks at the frame and at facts, and makes a descriptor's [`Repr`] or a [`Refusal`].
//!
//! Sources: rtw88 `tx.c`, `rtw_tx_pkt_info_update_rate` (the rate when none is asked for); IEEE 802.11-2020, 9.3 (which
//! frames are answered), 17.3.4 and 16.2.3 (longest legacy PPDU), table 9-25 (longest MPDU), 21.5 (VHT rates that are
//! left out).

use super::descriptor::{MAX_RETRIES, Repr, Sequence};
use super::queue_select::Qsel;
use super::{Refusal, TxFrame, Unhonoured};
use crate::channel::{Band, Channel, Width};
use crate::frame::{LegacyRate, Modulation, Rate};
use crate::ieee80211::{FCS_LEN, FrameType, Header, Malformed, Subtype};

/// The longest MPDU, check sequence counted: VHT's.
pub(crate) const MAX_MPDU: usize = 11_454;
/// The longest PSDU of a legacy rate: the length field has twelve bits.
const MAX_LEGACY: usize = 4_095;
/// Up to address 1: what every frame has, and the chip reads.
const MIN_MPDU: usize = 10;

/// The facts of an adapter that decide how it sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planner {
    /// Transmit chains in use.
    pub(crate) chains: u8,
    /// See [`Repr::fallback_limit`].
    pub(crate) fallback_limit: bool,
}

/// How a frame will be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    pub(crate) repr: Repr,
    /// The one to whom it goes is to answer it.
    pub(crate) answered: bool,
    pub(crate) unhonoured: Unhonoured,
}

impl Planner {
    /// Looks at the frame. The number of its report is set later.
    pub(crate) fn plan(&self, frame: &TxFrame, channel: Option<Channel>) -> Result<Plan, Refusal> {
        let channel = channel.ok_or(Refusal::NoChannel)?;
        let mpdu = frame.bytes();
        let have = mpdu.len();
        if have < MIN_MPDU {
            return Err(Malformed::Short { what: "a frame to be sent", need: MIN_MPDU, have }.into());
        }
        let header = Header::new(mpdu)?;
        let mut unhonoured = frame.unhonoured;
        let modulation = self.modulation(frame, channel, &mut unhonoured)?;
        let rate = modulation.rate;
        let most = if matches!(rate, Rate::Legacy(_)) { MAX_LEGACY } else { MAX_MPDU };
        let length = have + FCS_LEN;
        if length > most {
            return Err(Refusal::TooLong { length, rate, most });
        }
        let answered = wants_answer(&header) && !frame.no_ack;
        let retries = match frame.retries {
            _ if frame.no_ack => Some(0),
            Some(most) if most > MAX_RETRIES => {
                unhonoured |= Unhonoured::RETRIES;
                Some(MAX_RETRIES)
            }
            asked => asked,
        };
        let group = header.receiver().is_some_and(|to| to.0[0] & 1 != 0);
        Ok(Plan {
            repr: Repr {
                // At most `MAX_MPDU`.
                length: have as u16,
                queue: Qsel::of(&header),
                group,
                more_fragments: header.frame_control().more_fragments(),
                sequence: sequence(frame, &header),
                rate,
                bandwidth: modulation.bandwidth.unwrap_or(Width::Mhz20),
                short_gi: modulation.short_gi == Some(true),
                ldpc: modulation.ldpc == Some(true),
                stbc: modulation.stbc == Some(true),
                retries,
                report: None,
                fallback_limit: self.fallback_limit,
            },
            answered,
            unhonoured,
        })
    }

    /// Rate and coding, as they can be done.
    fn modulation(
        &self,
        frame: &TxFrame,
        channel: Channel,
        unhonoured: &mut Unhonoured,
    ) -> Result<Modulation, Refusal> {
        let lowest = match channel.band() {
            Band::Ghz2 => LegacyRate::M1,
            Band::Ghz5 => LegacyRate::M6,
        };
        let mut modulation = frame.modulation.unwrap_or(Rate::Legacy(lowest).into());
        let rate = modulation.rate;
        let width = modulation.bandwidth.unwrap_or(Width::Mhz20);
        match rate {
            Rate::Ht { mcs } if mcs > 31 => return Err(Refusal::Mcs { mcs }),
            Rate::Vht { mcs, nss } if mcs > 9 || !(1..=4).contains(&nss) => {
                return Err(Refusal::Vht { mcs, nss });
            }
            _ => {}
        }
        if rate.streams() > self.chains {
            return Err(Refusal::Streams { rate, chains: self.chains });
        }
        if rate.is_cck() && channel.band() == Band::Ghz5 {
            return Err(Refusal::CckAt5Ghz { rate, channel });
        }
        if !exists(rate, width) {
            return Err(Refusal::NoSuchRate { rate, width });
        }
        if width > channel.width() {
            return Err(Refusal::TooWide { width, channel });
        }
        let coded = [modulation.short_gi, modulation.ldpc, modulation.stbc].contains(&Some(true));
        if coded && matches!(rate, Rate::Legacy(_)) {
            *unhonoured |= Unhonoured::CODING;
            modulation = Modulation::new(rate);
        }
        if modulation.stbc == Some(true) && rate.streams() * 2 > self.chains {
            *unhonoured |= Unhonoured::STBC;
            modulation.stbc = Some(false);
        }
        Ok(modulation)
    }
}

/// Whether the standard has that rate at that bandwidth.
fn exists(rate: Rate, width: Width) -> bool {
    match (rate, width) {
        (Rate::Legacy(_), width) => width == Width::Mhz20,
        (Rate::Ht { .. }, width) => width != Width::Mhz80,
        (Rate::Vht { mcs: 9, nss }, Width::Mhz20) => nss == 3,
        (Rate::Vht { mcs: 6, nss: 3 }, Width::Mhz80) => false,
        (Rate::Vht { .. }, _) => true,
    }
}

/// Who numbers the frame. Control frames have no number; fragments of an MSDU share one, which the chip, counting
/// frames, would not give them.
fn sequence(frame: &TxFrame, header: &Header<'_>) -> Sequence {
    match header.sequence() {
        None => Sequence::Header(0),
        Some(own) => {
            let fragment = own.fragment() != 0 || header.frame_control().more_fragments();
            if frame.keep_sequence || fragment { Sequence::Header(own.number()) } else { Sequence::Hardware }
        }
    }
}

/// Whether the one that the frame goes to answers it.
fn wants_answer(header: &Header<'_>) -> bool {
    if header.receiver().is_none_or(|to| to.0[0] & 1 != 0) {
        return false;
    }
    match (header.frame_control().kind(), header.subtype()) {
        (_, Subtype::ActionNoAck) => false,
        (FrameType::Management, _) => true,
        (FrameType::Control, subtype) => {
            matches!(subtype, Subtype::Rts | Subtype::PsPoll | Subtype::BlockAckReq)
        }
        // Of the policies of QoS data only "normal" asks for an answer to the single frame.
        (FrameType::Data, _) => header.qos().is_none_or(|qos| qos.ack_policy() == 0),
        (FrameType::Extension, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Planner = Planner { chains: 2, fallback_limit: true };

    fn on(channel: &str) -> Option<Channel> {
        Some(channel.parse().unwrap())
    }

    /// A frame with three addresses to `to` and some body.
    fn frame(control: [u8; 2], to: u8, length: usize) -> TxFrame {
        let mut bytes = vec![control[0], control[1], 0, 0, to, 0, 0, 0, 0, 1];
        bytes.resize(length, 0);
        if length >= 24 {
            bytes[22..24].copy_from_slice(&0x1230_u16.to_le_bytes());
        }
        TxFrame::new(bytes)
    }

    fn data() -> TxFrame {
        frame([0x08, 0], 2, 100)
    }

    fn vht(mcs: u8, nss: u8, bandwidth: Width) -> Modulation {
        Modulation { bandwidth: Some(bandwidth), ..Modulation::new(Rate::Vht { mcs, nss }) }
    }

    #[test]
    fn w3_without_a_wish_the_lowest_rate_of_the_band_is_taken() {
        for (channel, rate) in [("11", LegacyRate::M1), ("36/80", LegacyRate::M6)] {
            let plan = TWO.plan(&data(), on(channel)).unwrap();
            assert_eq!(plan.repr.rate, Rate::Legacy(rate));
            assert_eq!(plan.repr.bandwidth, Width::Mhz20);
            assert_eq!(plan.repr.retries, None);
        }
    }

    #[test]
    fn w3_what_cannot_be_on_the_air_is_refused_with_the_reason() {
        let refused = |frame: &TxFrame, channel: &str| TWO.plan(frame, on(channel)).unwrap_err().to_string();
        let at = |modulation: Modulation| data().rate(modulation);
        let ht = |mcs| Modulation::new(Rate::Ht { mcs });
        for (text, frame, channel) in [
            ("MCS16 needs 3 chains, the adapter has 2", at(ht(16)), "11"),
            ("MCS 32, expected 0 to 31", at(ht(32)), "11"),
            (
                "5.5 Mbit/s exists at 2.4 GHz only, the radio is on channel 36",
                at(Rate::Legacy(LegacyRate::M5_5).into()),
                "36",
            ),
            ("VHT9x1 does not exist at 20 MHz", at(vht(9, 1, Width::Mhz20)), "36/80"),
            (
                "MCS7 does not exist at 80 MHz",
                at(Modulation { bandwidth: Some(Width::Mhz80), ..ht(7) }),
                "36/80",
            ),
            ("80 MHz asked for, the radio is on channel 36+", at(vht(9, 1, Width::Mhz80)), "36+"),
            (
                "VHT MCS 10 with 1 streams, expected MCS 0 to 9, 1 to 4 streams, one user",
                at(vht(10, 1, Width::Mhz20)),
                "36",
            ),
            ("a frame to be sent needs 10 bytes, 9 came", frame([0xd4, 0], 2, 9), "11"),
            ("data header needs 24 bytes, 23 came", frame([0x08, 0], 2, 23), "11"),
            ("protocol version is 1, expected 0", frame([0x09, 0], 2, 30), "11"),
            (
                "4096 bytes, a PPDU at 1.0 carries at most 4095 with the check sequence",
                frame([0x08, 0], 2, 4092),
                "11",
            ),
            (
                "11455 bytes, a PPDU at MCS7 carries at most 11454 with the check sequence",
                frame([0x08, 0], 2, 11_451).rate(ht(7)),
                "11",
            ),
        ] {
            assert_eq!(refused(&frame, channel), text);
        }
        assert_eq!(TWO.plan(&data(), None), Err(Refusal::NoChannel));
        assert!(TWO.plan(&frame([0x08, 0], 2, 4091), on("11")).is_ok());
        assert!(TWO.plan(&frame([0x08, 0], 2, 11_450).rate(ht(7)), on("11")).is_ok());
    }

    #[test]
    fn w3_what_cannot_be_done_is_told_and_the_rest_is() {
        let coded = Modulation {
            short_gi: Some(true),
            ldpc: Some(true),
            stbc: Some(true),
            ..Modulation::new(Rate::Ht { mcs: 15 })
        };
        let plan = TWO.plan(&data().rate(coded), on("11")).unwrap();
        assert!(plan.repr.short_gi && plan.repr.ldpc && !plan.repr.stbc);
        assert_eq!(plan.unhonoured, Unhonoured::STBC);
        let one_stream = Modulation { rate: Rate::Ht { mcs: 7 }, ..coded };
        let plan = TWO.plan(&data().rate(one_stream), on("11")).unwrap();
        assert!(plan.repr.stbc && plan.unhonoured.is_empty());
        let legacy = Modulation { rate: Rate::Legacy(LegacyRate::M54), ..coded };
        let plan = TWO.plan(&data().rate(legacy), on("11")).unwrap();
        assert!(!plan.repr.stbc && !plan.repr.short_gi && plan.unhonoured == Unhonoured::CODING);
        let plan = TWO.plan(&data().retries(200), on("11")).unwrap();
        assert_eq!((plan.repr.retries, plan.unhonoured), (Some(63), Unhonoured::RETRIES));
    }

    #[test]
    fn w3_without_acknowledgement_it_is_sent_once() {
        let plan = TWO.plan(&data().retries(7).no_ack(), on("11")).unwrap();
        assert!(!plan.answered);
        assert_eq!(plan.repr.retries, Some(0));
    }

    #[test]
    fn w3_the_chip_numbers_what_has_a_number_of_its_own() {
        let sequence = |frame: TxFrame| TWO.plan(&frame, on("11")).unwrap().repr.sequence;
        assert_eq!(sequence(data()), Sequence::Hardware);
        assert_eq!(sequence(data().keep_sequence()), Sequence::Header(0x123));
        // More fragments follow.
        assert_eq!(sequence(frame([0x08, 0x04], 2, 100)), Sequence::Header(0x123));
        // A control frame.
        assert_eq!(sequence(frame([0xb4, 0], 2, 16)), Sequence::Header(0));
    }

    #[test]
    fn w3_frames_that_nobody_answers_are_known() {
        let answered = |frame: TxFrame| TWO.plan(&frame, on("11")).unwrap().answered;
        assert!(answered(data()) && answered(frame([0xb4, 0], 2, 16)) && answered(frame([0xc0, 0], 2, 26)));
        assert!(!answered(frame([0x08, 0], 1, 100)), "a group");
        assert!(!answered(frame([0xe0, 0], 2, 100)), "action, no ack");
        assert!(!answered(frame([0xd4, 0], 2, 10)), "an acknowledgement");
        let mut qos = frame([0x88, 0], 2, 100).bytes().to_vec();
        qos[24] = 0x20;
        assert!(!answered(TxFrame::new(qos)), "QoS data without acknowledgement");
    }
}
