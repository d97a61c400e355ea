//! The radio front end: where the registers tune the chip on the air, and at what rates and power it talks.
//!
//! The chip hears something only where everything agrees: the synthesizer (RF 0x18) and its band, the
//! baseband's band, clock and bandwidth, and the MAC's bandwidth. A step of a channel switch that a driver
//! forgets therefore leaves it deaf, as silicon would be, and not tuned by half.

use core::time::Duration;

use airlift_regs::{bb, mac};

use super::Chip;
use super::check::receives;
use crate::air::{Modulation, Radio, RadioId, Rate, Tuning, Width};
use crate::model::TxPower;

/// The radio, if the adapter is within reach of an air.
#[derive(Debug, Default)]
pub(super) struct FrontEnd {
    pub(super) radio: Option<Radio>,
    /// A replay waits for its readers, so nothing is taken from it that the buffer has no room for.
    pub(super) patient: bool,
    tuning: Option<Tuning>,
    address: Option<[u8; 6]>,
}

impl Chip {
    /// Puts the chip within reach of an air.
    pub(crate) fn join(&mut self, air: &crate::Air, position_m: [f32; 2]) {
        let options = crate::RadioOptions { position_m, ..crate::RadioOptions::default() };
        self.front_end.patient = air.waits_for_readers();
        self.front_end.radio = Some(air.join(options));
    }

    /// Its name on the air.
    pub(crate) fn radio_id(&self) -> Option<RadioId> {
        self.front_end.radio.as_ref().map(Radio::id)
    }

    /// Has `waker` woken when something on the air may concern the chip.
    pub(crate) fn set_waker(&mut self, waker: core::task::Waker) {
        if let Some(radio) = &mut self.front_end.radio {
            radio.set_waker(waker);
        }
    }

    /// Something that decides whether and where the chip receives may have changed.
    pub(super) fn reception_changed(&mut self) {
        let tuning = self.tuning();
        let address = self
            .power
            .mac_is_on()
            .then(|| self.address(mac::MACID.addr()))
            .filter(|address| *address != [0; 6]);
        let front_end = &mut self.front_end;
        let Some(radio) = &mut front_end.radio else { return };
        if front_end.tuning != tuning {
            front_end.tuning = tuning;
            radio.tune(self.host_now, tuning);
        }
        if front_end.address != address {
            front_end.address = address;
            radio.set_address(address);
        }
    }

    /// Six bytes of registers, as a MAC address.
    pub(super) fn address(&self, register: u16) -> [u8; 6] {
        core::array::from_fn(|i| self.byte(register + i as u16))
    }

    /// Whether frames get from the antenna to the buffer.
    pub(super) fn is_receiving(&self) -> bool {
        self.radio_is_on(0)
            && self.mcu.running
            && receives(self.byte(mac::CR.addr()))
            && self.buffer_size() > 0
    }

    /// Where the chip listens; `None` if it does not, or its parts disagree.
    pub(crate) fn tuning(&self) -> Option<Tuning> {
        if !self.is_receiving() && !self.is_sending() {
            return None;
        }
        let synthesizer = self.rf(0, 0x18);
        let center = synthesizer as u8;
        let high_band = center > 14;
        let band_bits = synthesizer & 0x1_0300;
        let check_cck = self.byte(mac::CCK_CHECK.addr()) & 0x80 != 0;
        let (register, mask, low, high) = self.facts.baseband.band;
        let baseband_band = self.page_c_byte(register) & mask;
        let high = high.iter().find(|(last, _)| center <= *last).map(|(_, value)| *value);
        let bands_agree = match high_band {
            true => band_bits & 0x1_0000 != 0 && check_cck && high == Some(baseband_band),
            false => band_bits == 0 && !check_cck && baseband_band == low,
        };
        let area = self.word(bb::CLKTRK.addr()) >> 17 & 0xfff;
        if !bands_agree || area != clock_area(center) {
            return None;
        }
        let radio_width = match synthesizer >> 10 & 3 {
            3 => Width::Mhz20,
            1 => Width::Mhz40,
            0 => Width::Mhz80,
            _ => return None,
        };
        let baseband_width = match self.byte(bb::ADCCLK.addr()) & 3 {
            0 => Width::Mhz20,
            1 => Width::Mhz40,
            2 => Width::Mhz80,
            _ => return None,
        };
        let mac_width = match self.word(mac::WMAC_TRXPTCL_CTL.addr()) >> 7 & 3 {
            0 => Width::Mhz20,
            1 => Width::Mhz40,
            2 => Width::Mhz80,
            _ => return None,
        };
        if radio_width != baseband_width || baseband_width != mac_width {
            return None;
        }
        // Which 20 MHz of the whole is the primary: 1 above the centre, 2 below, 3 and 4 at the edges.
        let place = self.byte(mac::DATA_SC.addr()) & 0x0f;
        let primary = match (radio_width, place) {
            (Width::Mhz20, _) => i16::from(center),
            (_, 1) => i16::from(center) + 2,
            (_, 2) => i16::from(center) - 2,
            (Width::Mhz80, 3) => i16::from(center) + 6,
            (Width::Mhz80, 4) => i16::from(center) - 6,
            _ => return None,
        };
        Tuning::new(u8::try_from(primary).ok()?, radio_width, center)
    }

    /// When the air should be asked next.
    pub(super) fn next_arrival(&self) -> Option<Duration> {
        self.front_end.radio.as_ref().filter(|_| self.is_receiving()).and_then(Radio::next_arrival)
    }

    /// Transmit power in dBm of a rate code: the index of path A in half decibels, less the cable.
    pub(super) fn power_dbm(&self, code: u8) -> i8 {
        let index = match self.facts.baseband.tx_power {
            TxPower::Registers => {
                let row = if code >= 0x2c { code.saturating_sub(0x10) } else { code };
                self.page_c_byte(bb::TX_AGC_A_CCK_11_CCK_1.addr() + u16::from(row.min(0x2f)))
            }
            TxPower::Port => self.engine.powers.get(&(0, code)).copied().unwrap_or(0),
        };
        (index.min(0x3f) / 2) as i8
    }
}

/// The clock's area code of a channel (`rtw88 rtw88xxa.c`, `rtw88xxa_switch_channel`).
fn clock_area(center: u8) -> u32 {
    match center {
        36..=48 => 0x494,
        50..=64 => 0x453,
        100..=116 => 0x452,
        118.. => 0x412,
        _ => 0x96a,
    }
}

/// The chip's code of a rate (`rtw88 main.h`, `enum rtw_trx_desc_rate`).
pub(super) fn rate_code(rate: Rate) -> u8 {
    const LEGACY: [u8; 12] = [2, 4, 11, 22, 12, 18, 24, 36, 48, 72, 96, 108];
    match rate.modulation {
        Modulation::Legacy(half_mbps) => {
            LEGACY.iter().position(|known| *known == half_mbps).unwrap_or(0) as u8
        }
        Modulation::Ht { mcs } => 0x0c + mcs.min(31),
        Modulation::Vht { mcs, nss } => 0x2c + (nss.clamp(1, 4) - 1) * 10 + mcs.min(9),
    }
}

/// The rate of a code; the lowest for codes that a chip of so many streams cannot send.
pub(super) fn rate_of(code: u8, streams: u8) -> Rate {
    const LEGACY: [u8; 12] = [2, 4, 11, 22, 12, 18, 24, 36, 48, 72, 96, 108];
    let rate = match code {
        0x00..=0x0b => Rate::legacy(LEGACY[usize::from(code)]),
        0x0c..=0x2b => Rate::ht(code - 0x0c),
        0x2c..=0x53 => Rate::vht((code - 0x2c) % 10, (code - 0x2c) / 10 + 1),
        _ => None,
    };
    rate.filter(|rate| rate.streams() <= streams).unwrap_or(Rate::DSSS_1M)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_rates_that_the_chip_can_send_come_back() {
        for code in (0..=0x1b).chain(0x2c..=0x3f) {
            assert_eq!(rate_code(rate_of(code, 2)), code);
        }
        for code in 0..=0x53 {
            assert_eq!(rate_code(rate_of(code, 4)), code);
        }
        for code in [0x14, 0x36, 0x54, 0x7f] {
            assert_eq!(rate_of(code, 1), Rate::DSSS_1M);
        }
    }
}
