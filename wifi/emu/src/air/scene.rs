//! The default scene: what an emulated adapter hears when nobody scripted anything else.
//!
//! Neighbours: [`super::Air::default_scene`] calls it; [`super::cell`] says what the parts mean.

use super::cell::{AccessPoint, Station, Traffic};
use super::link::{Quality, Sender, Signal};
use super::{Air, Rate, Tuning, Width};

/// Every 20 MHz channel of the 5 GHz band on which only a distant neighbour beacons.
const NEIGHBOURS_5GHZ: [u8; 20] =
    [52, 56, 60, 64, 100, 104, 108, 112, 116, 120, 124, 128, 132, 136, 140, 144, 165, 169, 173, 177];

/// Address of the `number`-th access point of the scene.
const fn ap(number: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, 0x0a, number]
}

/// Address of the `number`-th station of the scene.
const fn sta(number: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, 0x0b, number]
}

const fn at(x: f32, y: f32) -> Signal {
    Signal::ByDistance { power_dbm: 20, position_m: [x, y] }
}

/// Puts the scene on `air`.
pub(crate) fn populate(air: &Air) {
    coffee(air);
    others_2ghz(air);
    others_5ghz(air);
}

/// Channel 11: about a hundred frames a second of every common type, a few of them damaged.
fn coffee(air: &Air) {
    let (Some(tuning), Some(mcs3), Some(mcs7), Some(mcs15), Some(g54)) =
        (Tuning::channel(11), Rate::ht(3), Rate::ht(7), Rate::ht(15), Rate::legacy(108))
    else {
        return;
    };
    let coffee = AccessPoint::new(ap(1), "coffee", tuning).with_signal(at(4.0, 3.0));
    let base = Traffic::default();
    let stations = [
        // Uploads a frame, gets two back in an aggregate, in every beacon interval.
        Station { address: sta(7), signal: at(9.0, 6.0), rate: mcs7, traffic: Traffic { down: 2, ..base } },
        // Sends bursts behind RTS and CTS.
        Station {
            address: sta(8),
            signal: at(2.0, 2.0),
            rate: mcs15.with_short_gi(true),
            traffic: Traffic { every: 2, phase: 1, up: 3, rts: true, ..base },
        },
        // Sleeps mostly.
        Station {
            address: sta(9),
            signal: at(12.0, 9.0),
            rate: mcs3,
            traffic: Traffic { every: 4, phase: 2, bytes: 180, null: true, ..base },
        },
        // An 802.11g device that also looks for networks.
        Station {
            address: sta(10),
            signal: at(6.0, 1.0),
            rate: g54,
            traffic: Traffic { every: 5, phase: 3, bytes: 600, down: 1, probe: true, ..base },
        },
    ];
    for station in &stations {
        air.set_link(Sender::Scripted(station.address), None, Quality { loss: 0.0, damage: 0.04 });
    }
    air.add_cell(coffee, stations);
}

fn others_2ghz(air: &Air) {
    let (Some(one), Some(six), Some(fourteen), Some(mcs5), Some(mcs12)) =
        (Tuning::channel(1), Tuning::new(6, Width::Mhz40, 8), Tuning::channel(14), Rate::ht(5), Rate::ht(12))
    else {
        return;
    };
    let base = Traffic::default();
    let library = AccessPoint { protected: false, ..AccessPoint::new(ap(2), "library", one) };
    air.add_cell(
        library.with_signal(at(15.0, 0.0)),
        [Station {
            address: sta(0x21),
            signal: at(11.0, 2.0),
            rate: mcs5,
            traffic: Traffic { every: 2, ..base },
        }],
    );
    let books = AccessPoint::new(ap(3), "books & tea", six).with_signal(at(0.0, 8.0));
    let narrow = Station { address: sta(0x31), signal: at(2.0, 9.0), rate: mcs5, traffic: base };
    let wide = Station {
        address: sta(0x32),
        signal: at(3.0, 7.0),
        rate: mcs12.with_width(Width::Mhz40),
        traffic: Traffic { every: 2, phase: 1, up: 4, down: 2, rts: true, ..base },
    };
    air.add_cell(books, [narrow, wide]);
    let far = AccessPoint { ht: false, ..AccessPoint::new(ap(4), "tower", fourteen) };
    air.add_cell(far.with_signal(at(25.0, 10.0)), []);
}

fn others_5ghz(air: &Air) {
    for (number, primary, center, ssid) in [(5u8, 36, 42, "coffee-5G"), (6, 149, 155, "studio")] {
        let (Some(tuning), Some(vht), Some(narrow)) =
            (Tuning::new(primary, Width::Mhz80, center), Rate::vht(8, 2), Rate::vht(4, 1))
        else {
            continue;
        };
        let base = Traffic::default();
        let wide = Station {
            address: sta(number * 16 + 1),
            signal: at(3.0, 4.0),
            rate: vht.with_width(Width::Mhz80).with_short_gi(true).with_ldpc(true),
            traffic: Traffic { up: 4, down: 8, rts: true, ..base },
        };
        let narrow = Station {
            address: sta(number * 16 + 2),
            signal: at(5.0, 1.0),
            rate: narrow,
            traffic: Traffic { every: 2, up: 1, down: 1, null: true, ..base },
        };
        let access_point = AccessPoint::new(ap(number), ssid, tuning);
        air.add_cell(access_point.with_signal(at(4.0, 3.0)), [wide, narrow]);
    }
    // The other parts of those two 80 MHz channels, and all the rest: beacons only.
    let rest = [40, 44, 48, 153, 157, 161].into_iter().chain(NEIGHBOURS_5GHZ);
    for (number, channel) in (0x10..).zip(rest) {
        if let Some(tuning) = Tuning::channel(channel) {
            let neighbour = AccessPoint::new(ap(number), format!("office-{channel}"), tuning);
            air.add_cell(neighbour.with_signal(at(10.0, f32::from(number) / 4.0)), []);
        }
    }
}
