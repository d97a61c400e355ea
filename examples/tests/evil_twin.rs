//! An application's integration test without an adapter: the whole path (chip, USB, driver, streams) runs on the
//! emulated adapter, and its minute of air passes at once on the virtual clock.

use std::collections::BTreeMap;
use std::time::Duration;

use airlift_emu::air::{AccessPoint, Air, Tuning};
use airlift_emu::{Rtl8812au, stand_in_firmware};
use airlift_examples::twins::first_twin;
use airlift_wifi::{Clock, Firmware, Kernel, MacAddr, Wlan, WlanOptions};

const GENUINE: [u8; 6] = [2, 0, 0, 0, 0x0a, 1];
const TWIN: [u8; 6] = [2, 0, 0, 0, 0x66, 6];

/// An air with the access points, and a radio on channel 6.
async fn listen(access_points: &[AccessPoint]) -> (Kernel, Wlan) {
    let air = Air::quiet(1);
    for access_point in access_points {
        air.add_cell(access_point.clone(), []);
    }
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().expect("a kernel core");
    let options = WlanOptions::new()
        .kernel(&kernel.handle())
        .firmware(Firmware::bytes("stand-in", stand_in_firmware()))
        .channel("6".parse().expect("a channel"));
    let wlan0 = Wlan::open(Rtl8812au::builder().air(&air).build(), options).await.expect("an interface");
    (kernel, wlan0)
}

fn access_point(bssid: [u8; 6]) -> AccessPoint {
    AccessPoint::new(bssid, "coffee", Tuning::channel(6).expect("channel 6"))
}

fn known() -> BTreeMap<Vec<u8>, MacAddr> {
    BTreeMap::from([(b"coffee".to_vec(), MacAddr::from(GENUINE))])
}

#[tokio::test]
async fn an_evil_twin_is_found() {
    let (kernel, wlan0) = listen(&[access_point(GENUINE), access_point(TWIN)]).await;
    let twin = first_twin(wlan0.frames(), &known()).await.expect("a twin");
    assert_eq!(twin.twin, MacAddr::from(TWIN));
    assert_eq!(twin.channel, Some("6".parse().expect("a channel")));
    wlan0.down().await.expect("the chip is switched off");
    kernel.shutdown().await;
}

#[tokio::test]
async fn a_minute_without_a_twin_raises_no_alarm() {
    let (kernel, wlan0) = listen(&[access_point(GENUINE)]).await;
    let clock = kernel.handle().clock();
    let known = known();
    let search = first_twin(wlan0.frames(), &known);
    let minute = async {
        drop(clock.run_until(clock.now() + Duration::from_secs(60)).await);
        let stats = wlan0.stats();
        wlan0.down().await.expect("the chip is switched off");
        stats
    };
    let (found, stats) = futures::join!(search, minute);
    assert_eq!(found, None);
    assert!(stats.frames >= 580, "60 s hold 585 beacons; came: {stats}");
    kernel.shutdown().await;
}
