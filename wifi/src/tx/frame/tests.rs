//! What radiotap headers ask for.

use super::*;
use crate::radiotap::Fields;
use crate::tx::InjectErrorKind;

const MPDU: [u8; 26] = [0xc0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 2, 0x10, 0, 7, 0];

fn packet(fields: &Fields) -> Vec<u8> {
    [&fields.emit()[..], &MPDU].concat()
}

fn read(fields: &Fields) -> TxFrame {
    TxFrame::from_radiotap(packet(fields)).unwrap()
}

fn refused(fields: &Fields) -> String {
    let error = TxFrame::from_radiotap(packet(fields)).unwrap_err();
    assert!(matches!(error.kind(), InjectErrorKind::Refused(_)) && !error.may_have_been_sent());
    // The packet comes back whole.
    assert_eq!(error.frame().bytes()[..], packet(fields)[..]);
    error.to_string()
}

#[test]
fn w3_an_empty_header_asks_for_nothing() {
    assert_eq!(read(&Fields::default()), TxFrame::new(MPDU.to_vec()));
}

#[test]
fn w3_rates_are_read_vht_before_mcs_before_rate() {
    let mut fields = Fields { rate: Some(108), ..Fields::default() };
    assert_eq!(read(&fields).modulation().unwrap().rate, Rate::Legacy(LegacyRate::M54));
    let known =
        Mcs::KNOWN_MCS | Mcs::KNOWN_BANDWIDTH | Mcs::KNOWN_GUARD_INTERVAL | Mcs::KNOWN_FEC | Mcs::KNOWN_STBC;
    let flags = Mcs::BANDWIDTH_40 | Mcs::SHORT_GI | Mcs::LDPC | Mcs::STBC_ONE_STREAM;
    fields.mcs = Some(Mcs { known, flags, mcs: 7 });
    let all = Modulation {
        rate: Rate::Ht { mcs: 7 },
        bandwidth: Some(Width::Mhz40),
        short_gi: Some(true),
        ldpc: Some(true),
        stbc: Some(true),
    };
    assert_eq!(read(&fields).modulation(), Some(all));
    // Flags that are not said to be known ask for nothing.
    fields.mcs = Some(Mcs { known: Mcs::KNOWN_MCS, flags, mcs: 7 });
    let bare = read(&fields).modulation().unwrap();
    assert_eq!((bare.bandwidth, bare.short_gi, bare.ldpc), (Some(Width::Mhz20), Some(false), Some(false)));
    fields.vht = Some(Vht {
        known: Vht::KNOWN_BANDWIDTH | Vht::KNOWN_GUARD_INTERVAL | Vht::KNOWN_STBC,
        flags: Vht::SHORT_GI | Vht::STBC,
        bandwidth: 4,
        mcs_nss: [0x91, 0, 0, 0],
        coding: 1,
        ..Vht::default()
    });
    let vht = Modulation { rate: Rate::Vht { mcs: 9, nss: 1 }, bandwidth: Some(Width::Mhz80), ..all };
    assert_eq!(read(&fields).modulation(), Some(vht));
}

#[test]
fn w3_retries_and_flags_are_read() {
    let flags = tx_flag::NO_ACK | tx_flag::NO_SEQUENCE;
    let frame = read(&Fields { data_retries: Some(3), tx_flags: Some(flags), ..Fields::default() });
    assert_eq!(frame, TxFrame::new(MPDU.to_vec()).retries(3).no_ack().keep_sequence());
}

#[test]
fn w3_a_check_sequence_at_the_end_is_cut_off() {
    let fields = Fields { flags: Some(flag::FCS), ..Fields::default() };
    assert_eq!(read(&fields).bytes()[..], MPDU[..22]);
    let header = fields.emit();
    let short = TxFrame::from_radiotap([&header[..], &[1, 2, 3]].concat()).unwrap_err();
    assert_eq!(short.to_string(), "frame refused: frame check sequence needs 4 bytes, 3 came");
}

#[test]
fn w3_what_cannot_be_honoured_is_named() {
    let unhonoured = |fields: Fields| read(&fields).unhonoured();
    let power = Fields { tx_power_dbm: Some(20), ..Fields::default() };
    assert_eq!(unhonoured(power), Unhonoured::TX_POWER);
    let protection = Fields { tx_flags: Some(tx_flag::RTS | tx_flag::CTS), ..Fields::default() };
    assert_eq!(unhonoured(protection), Unhonoured::RTS | Unhonoured::CTS_TO_SELF);
    assert_eq!(unhonoured(protection).to_string(), "rts, cts to self");
    let flags =
        Fields { flags: Some(flag::WEP | flag::SHORT_PREAMBLE | flag::FRAGMENT), ..Fields::default() };
    let expected = Unhonoured::ENCRYPTION | Unhonoured::SHORT_PREAMBLE | Unhonoured::FRAGMENTATION;
    assert_eq!(unhonoured(flags), expected);
    // RTS retries, a vendor's field behind them.
    let header = [0, 0, 23, 0, 0, 0, 1, 0xc0, 0, 0, 0, 0, 9, 0, 1, 2, 3, 0, 3, 0, 0xaa, 0xbb, 0xcc];
    let frame = TxFrame::from_radiotap([&header[..], &MPDU].concat()).unwrap();
    let expected = Unhonoured::RTS_RETRIES | Unhonoured::VENDOR;
    assert_eq!((frame.unhonoured(), frame.bytes().len()), (expected, MPDU.len()));
}

#[test]
fn w3_what_describes_a_reception_asks_for_nothing() {
    let received = Fields {
        tsft: Some(1),
        signal_dbm: Some(-40),
        noise_dbm: Some(-90),
        antenna: Some(1),
        rx_flags: Some(0),
        channel: Some(radiotap::ChannelField { frequency_mhz: 2412, flags: 0xa0 }),
        chains: crate::frame::ChainSignals::new(&[-40, -50]),
        ..Fields::default()
    };
    assert_eq!(read(&received), TxFrame::new(MPDU.to_vec()));
}

#[test]
fn w3_headers_that_ask_for_the_impossible_are_refused() {
    let mcs = |mcs| Fields { mcs: Some(Mcs { known: Mcs::KNOWN_MCS, flags: 0, mcs }), ..Fields::default() };
    assert_eq!(refused(&mcs(32)), "frame refused: MCS 32, expected 0 to 31");
    let rate = Fields { rate: Some(7), ..Fields::default() };
    assert!(refused(&rate).contains("7 times 500 kbit/s"));
    let vht = |mcs_nss, bandwidth| Fields {
        vht: Some(Vht { known: Vht::KNOWN_BANDWIDTH, mcs_nss, bandwidth, ..Vht::default() }),
        ..Fields::default()
    };
    assert!(refused(&vht([0xa1, 0, 0, 0], 0)).contains("MCS 10"));
    assert!(refused(&vht([0x90, 0, 0, 0], 0)).contains("0 streams"));
    assert!(refused(&vht([0x91, 0x91, 0, 0], 0)).contains("one user"));
    assert!(refused(&vht([0x91, 0, 0, 0], 11)).contains("VHT bandwidth 11"));
    let padded = Fields { flags: Some(flag::DATA_PAD), ..Fields::default() };
    assert!(refused(&padded).contains("padding"));
}

#[test]
fn w3_headers_that_cannot_be_read_are_refused() {
    for bytes in
        [&[][..], &[0; 7], &[1, 0, 8, 0, 0, 0, 0, 0], &[0, 0, 9, 0, 0, 0, 0, 0], &[0, 0, 8, 0, 4, 0, 0, 0]]
    {
        let error = TxFrame::from_radiotap(bytes.to_vec()).unwrap_err();
        assert!(error.to_string().starts_with("frame refused: radiotap: "), "{error}");
        assert_eq!(error.into_frame().bytes()[..], *bytes);
    }
}

proptest::proptest! {
    #[test]
    fn w3_any_packet_is_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        match TxFrame::from_radiotap(bytes.clone()) {
            Ok(frame) => assert!(bytes.windows(frame.bytes().len()).any(|part| part == &frame.bytes()[..])),
            Err(error) => assert_eq!(error.frame().bytes()[..], bytes[..]),
        }
    }
}
