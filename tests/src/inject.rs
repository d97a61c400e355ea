//! Frames that the guest injects with mainline's driver, and what must then be on the air.
//!
//! Mainline's driver takes no rate from an injected frame's radiotap header: data frames go at 6 Mbit/s, all others at
//! the lowest rate of the band, those without a body among the data frames too (`rtw88 tx.c`, `rtw_tx_pkt_info_update`).
//! Of control frames it tells the chip nothing, which reads as 1 Mbit/s, at 5 GHz too.
//! The chip numbers management frames, mac80211 fills in durations, and a frame to a station that does not answer is
//! sent again.

use core::fmt::Write as _;

use airlift_emu::{AirFrame, Rate, Tuning};

/// How many frames are injected.
pub const COUNT: usize = PLAIN as usize + KINDS.len();

/// Frames of the first kind: beacons, probe requests and data, to everyone and to one station, of many lengths.
const PLAIN: u16 = 48;

/// The others, one of each: frame control, and what follows after three addresses or in place of them.
const KINDS: &[(u16, Form)] = &[
    // QoS data of every class, and one that asks for no answer.
    (0x0088, Form::Qos(0x00)),
    (0x0088, Form::Qos(0x01)),
    (0x0088, Form::Qos(0x02)),
    (0x0088, Form::Qos(0x03)),
    (0x0088, Form::Qos(0x04)),
    (0x0088, Form::Qos(0x05)),
    (0x0088, Form::Qos(0x06)),
    (0x0088, Form::Qos(0x07)),
    (0x0088, Form::Qos(0x23)),
    // Without a body.
    (0x0048, Form::Plain(&[])),
    (0x00c8, Form::Qos(0x06)),
    // Deauthentication and authentication.
    (0x00c0, Form::Plain(&[3, 0])),
    (0x00b0, Form::Plain(&[0, 0, 1, 0, 0, 0])),
    // A first fragment.
    (0x0408, Form::Plain(&[0x55; 64])),
    // RTS, PS-Poll, CTS, ACK.
    (0x00b4, Form::Control(16)),
    (0x00a4, Form::Control(16)),
    (0x00c4, Form::Control(10)),
    (0x00d4, Form::Control(10)),
];

/// What a frame looks like behind its first address.
#[derive(Clone, Copy)]
enum Form {
    /// Three addresses, sequence control, this body.
    Plain(&'static [u8]),
    /// The same with a QoS control field.
    Qos(u8),
    /// A control frame of this length: one address, or two.
    Control(usize),
}

/// One injected frame.
#[derive(Clone, Debug)]
pub struct Injected {
    /// Radiotap header and frame.
    pub record: Vec<u8>,
    header: usize,
}

impl Injected {
    /// The frame.
    pub fn frame(&self) -> &[u8] {
        &self.record[self.header..]
    }

    /// Whether it is a control frame.
    pub fn is_control(&self) -> bool {
        self.frame()[0] & 0x0c == 0x04
    }

    /// Whether it is data, with a body.
    pub fn is_data(&self) -> bool {
        self.frame()[0] & 0x4c == 0x08
    }

    /// Whether it goes to one station.
    pub fn is_unicast(&self) -> bool {
        self.frame()[4] & 1 == 0
    }

    /// Whether more fragments follow.
    pub fn has_more_fragments(&self) -> bool {
        self.frame()[1] & 0x04 != 0
    }

    /// Whether its sender waits for an answer.
    fn is_answered(&self) -> bool {
        let frame = self.frame();
        let asks = match frame[0] {
            0xb4 | 0xa4 => true,
            // QoS data says by itself.
            0x88 | 0xc8 => frame[24] & 0x60 == 0,
            _ => !self.is_control(),
        };
        self.is_unicast() && asks
    }

    /// Whether a frame on the air is this one: all bytes but the retry flag, the duration and the sequence number,
    /// which driver and chip may fill in.
    pub fn is(&self, air: &[u8]) -> bool {
        let plain = |frame: &[u8]| {
            let mut frame = frame.to_vec();
            frame[1] &= !0x08;
            frame[2..4].fill(0);
            if let Some(number) = frame.get_mut(22..24) {
                number.fill(0);
            }
            frame
        };
        air.len() == self.frame().len() && plain(air) == plain(self.frame())
    }

    /// The rate that mainline sends it at.
    fn rate(&self, tuning: Tuning) -> Rate {
        let ofdm = self.is_data() || tuning.is_5ghz() && !self.is_control();
        if ofdm { Rate::OFDM_6M } else { Rate::DSSS_1M }
    }
}

/// The frames.
pub fn frames() -> Vec<Injected> {
    let plain = (0..PLAIN).map(plain);
    plain
        .chain((PLAIN..).zip(KINDS).map(|(number, (control, form))| other(number, *control, *form)))
        .collect()
}

const OWN: [u8; 6] = [0x02, 0x1e, 0xc7, 0x00, 0x00, 0x01];

fn plain(number: u16) -> Injected {
    let everyone = [0xff; 6];
    let someone = [0x02, 0x1e, 0xc7, 0x00, 0x00, 0x02];
    let (control, to): (u16, _) = match number % 4 {
        0 => (0x0080, everyone),
        1 => (0x0040, everyone),
        2 => (0x0008, everyone),
        _ => (0x0008, someone),
    };
    let mut record = match number % 3 {
        // No field at all.
        0 => vec![0, 0, 8, 0, 0, 0, 0, 0],
        // A rate of 24 Mbit/s.
        1 => vec![0, 0, 9, 0, 0x04, 0, 0, 0, 48],
        // Transmit flags: none.
        _ => vec![0, 0, 10, 0, 0x00, 0x80, 0, 0, 0, 0],
    };
    let header = record.len();
    record.extend(control.to_le_bytes());
    record.extend([0, 0]);
    for address in [to, OWN, OWN] {
        record.extend(address);
    }
    record.extend((number << 4).to_le_bytes());
    record.extend(number.to_le_bytes());
    // From a frame that a minimum length would pad to one that fills several pages of the transmit buffer.
    let length = [1, 10, 37, 64, 255, 512, 1_023, 1_400][usize::from(number / 4) % 8];
    record.extend((0..length).map(|at: u16| (at.wrapping_mul(31) ^ number) as u8));
    Injected { record, header }
}

/// A frame to a station of its own, by which it is known.
fn other(number: u16, control: u16, form: Form) -> Injected {
    let mut record = vec![0, 0, 8, 0, 0, 0, 0, 0];
    let header = record.len();
    record.extend(control.to_le_bytes());
    record.extend([0, 0]);
    record.extend([0x02, 0x1e, 0xc7, 0x00, 0x01, number as u8]);
    match form {
        Form::Control(length) => {
            record.extend(OWN);
            record.truncate(header + length);
        }
        Form::Plain(body) => {
            record.extend([OWN, OWN].as_flattened());
            record.extend((number << 4).to_le_bytes());
            record.extend(body);
        }
        Form::Qos(qos) => {
            record.extend([OWN, OWN].as_flattened());
            record.extend((number << 4).to_le_bytes());
            record.extend([qos, 0]);
            if control & 0x40 == 0 {
                record.extend([0x5a; 40]);
            }
        }
    }
    Injected { record, header }
}

/// The file that `mainline/inject.c` reads.
pub fn file(frames: &[Injected]) -> Vec<u8> {
    let record = |frame: &Injected| {
        let length = (frame.record.len() as u16).to_le_bytes();
        [&length[..], &frame.record].concat()
    };
    frames.iter().flat_map(record).collect()
}

/// What is wrong with what was on the air, a line each; nothing if all frames were there, and nothing else.
pub fn judge(frames: &[Injected], air: &[AirFrame]) -> String {
    let mut found = String::new();
    let mut times = vec![0_usize; frames.len()];
    for heard in air {
        let bytes = &heard.bytes[..];
        let Some(at) = (bytes.len() >= 10).then(|| frames.iter().position(|frame| frame.is(bytes))).flatten()
        else {
            let _ = writeln!(found, "on the air, and not injected: {} bytes {bytes:02x?}", bytes.len());
            continue;
        };
        times[at] += 1;
        let want = frames[at].rate(heard.tuning);
        if heard.rate != want {
            let _ = writeln!(found, "frame {at}: sent at {}, mainline asks for {want}", heard.rate);
        }
        let again = bytes[1] & 0x08 != 0;
        if again != (times[at] > 1) {
            let _ = writeln!(found, "frame {at}: its time {} has the retry flag at {again}", times[at]);
        }
    }
    for (at, (frame, times)) in frames.iter().zip(times).enumerate() {
        // Nobody answers on a quiet air.
        if times == 0 || times > 1 && !frame.is_answered() || times == 1 && frame.is_answered() {
            let _ = writeln!(found, "frame {at}: {times} times on the air");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn air() -> Vec<AirFrame> {
        let tuning = Tuning::channel(11).unwrap();
        let mut air = Vec::new();
        for frame in frames() {
            let mut bytes = frame.frame().to_vec();
            bytes[2..4].copy_from_slice(&[1, 2]);
            for again in [false, true] {
                bytes[1] = frame.frame()[1] | if again { 0x08 } else { 0 };
                if !again || frame.is_answered() {
                    air.push(AirFrame::new(bytes.clone().into(), frame.rate(tuning)));
                }
            }
        }
        air
    }

    #[test]
    fn v1_each_injected_frame_must_be_on_the_air_once_as_it_is() {
        assert_eq!(judge(&frames(), &air()), "");
        let broken = |change: fn(&mut Vec<AirFrame>)| {
            let mut air = air();
            change(&mut air);
            judge(&frames(), &air).lines().count()
        };
        assert_eq!(broken(|air| _ = air.remove(0)), 1);
        assert_eq!(broken(|air| air[0].rate = Rate::OFDM_6M), 1);
        assert_eq!(broken(|air| air.push(air[0].clone())), 2);
        assert_eq!(broken(|air| air[0].bytes = vec![0x80; 30].into()), 2);
    }
}
