//! Information elements of the scripted beacons and probe responses (IEEE 802.11-2020, 9.4.2).
//!
//! Neighbour: [`super::cell`] puts them into frames.

use bytes::{BufMut, BytesMut};

use super::cell::AccessPoint;
use super::{Tuning, Width};

/// Rates of the 2.4 GHz band in the order of the elements, in 500 kbit/s; bit 7 marks the basic ones.
const RATES_2GHZ: [u8; 12] = [0x82, 0x84, 0x8b, 0x96, 12, 18, 24, 36, 48, 72, 96, 108];
/// Rates of the 5 GHz band.
const RATES_5GHZ: [u8; 8] = [0x8c, 18, 0x98, 36, 0xb0, 72, 96, 108];
/// OUI of the suites that IEEE 802.11 itself defines.
const OUI: [u8; 3] = [0x00, 0x0f, 0xac];

fn element(out: &mut BytesMut, id: u8, body: &[u8]) {
    let body = &body[..body.len().min(255)];
    out.put_u8(id);
    out.put_u8(body.len() as u8);
    out.put_slice(body);
}

/// SSID and supported rates: what a probe request carries.
pub(crate) fn ssid_and_rates(out: &mut BytesMut, ssid: &[u8], is_5ghz: bool) {
    element(out, 0, &ssid[..ssid.len().min(32)]);
    if is_5ghz {
        element(out, 1, &RATES_5GHZ);
    } else {
        element(out, 1, &RATES_2GHZ[..8]);
        element(out, 50, &RATES_2GHZ[8..]);
    }
}

/// All elements of `ap`'s beacon (with TIM) or probe response (without).
pub(crate) fn of_access_point(out: &mut BytesMut, ap: &AccessPoint, tim_count: Option<u8>) {
    let tuning = ap.tuning;
    let is_5ghz = tuning.is_5ghz();
    let rates: &[u8] = if is_5ghz { &RATES_5GHZ } else { &RATES_2GHZ[..8] };
    element(out, 0, &ap.ssid[..ap.ssid.len().min(32)]);
    element(out, 1, rates);
    element(out, 3, &[tuning.primary_channel()]);
    if let Some(count) = tim_count {
        // DTIM count, DTIM period 3, no group frames buffered, an empty partial bitmap.
        element(out, 5, &[count, 3, 0, 0]);
    }
    if !is_5ghz {
        // ERP: no protection needed.
        element(out, 42, &[0]);
        element(out, 50, &RATES_2GHZ[8..]);
    }
    if ap.protected {
        let mut rsn = BytesMut::with_capacity(20);
        rsn.put_u16_le(1);
        for suite in [4u8, 4, 2] {
            // Group cipher, then one pairwise cipher (both CCMP), then one key management (PSK).
            if rsn.len() > 2 {
                rsn.put_u16_le(1);
            }
            rsn.put_slice(&OUI);
            rsn.put_u8(suite);
        }
        rsn.put_u16_le(0);
        element(out, 48, &rsn);
    }
    if ap.ht {
        element(out, 45, &ht_capabilities(tuning.width() != Width::Mhz20));
        element(out, 61, &ht_operation(tuning));
    }
    if ap.vht {
        element(out, 191, &vht_capabilities());
        element(out, 192, &vht_operation(tuning));
    }
    // WMM parameters: access categories BE, BK, VI, VO with their AIFSN, contention windows and TXOP limits.
    element(
        out,
        221,
        &[
            0x00, 0x50, 0xf2, 2, 1, 1, 0x80, 0, 0x03, 0xa4, 0, 0, 0x27, 0xa4, 0, 0, 0x42, 0x43, 0x5e, 0,
            0x62, 0x32, 0x2f, 0,
        ],
    );
}

fn ht_capabilities(wide: bool) -> [u8; 26] {
    let mut body = [0; 26];
    // LDPC, SM power save disabled, short GI 20 (and 40 MHz with its short GI), one RX STBC stream.
    let info: u16 = 0x012d | if wide { 0x0042 } else { 0 };
    body[..2].copy_from_slice(&info.to_le_bytes());
    // A-MPDU up to 64 KiB, 4 us apart.
    body[2] = 0x17;
    // MCS 0-15.
    body[3..5].copy_from_slice(&[0xff, 0xff]);
    body
}

fn ht_operation(tuning: Tuning) -> [u8; 22] {
    let mut body = [0; 22];
    body[0] = tuning.primary_channel();
    body[1] = match tuning.part(Width::Mhz40) {
        // Any channel width, and the secondary channel above (1) or below (3).
        Some(center) if center > tuning.primary_mhz() => 0x04 | 1,
        Some(_) => 0x04 | 3,
        None => 0,
    };
    body
}

fn vht_capabilities() -> [u8; 12] {
    let mut body = [0; 12];
    // MPDUs up to 11,454 bytes, RX LDPC, short GI at 80 MHz, one RX STBC stream, A-MPDU exponent 7.
    let info: u32 = 0x0380_0132;
    body[..4].copy_from_slice(&info.to_le_bytes());
    // MCS 0-9 on two streams, both directions; the other six not supported.
    body[4..6].copy_from_slice(&0xfffa_u16.to_le_bytes());
    body[8..10].copy_from_slice(&0xfffa_u16.to_le_bytes());
    body
}

fn vht_operation(tuning: Tuning) -> [u8; 5] {
    let wide = tuning.width() == Width::Mhz80;
    let center = if wide { (tuning.center_mhz() - 5000) / 5 } else { 0 };
    [u8::from(wide), center as u8, 0, 0xfc, 0xff]
}
