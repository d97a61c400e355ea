//! What is the RTL8821AU's alone: its list of transmit pages. The rest stands in `family.rs`.

mod common;

use airlift_emu::Rtl8821au;
use common::Bench;

#[tokio::test]
async fn w1_every_page_of_its_list_is_linked() {
    let bench = Bench::new(Rtl8821au::builder());
    let wlan = bench.attach().await.unwrap();
    assert!(bench.probe.llt().iter().all(Option::is_some));
    wlan.down().await.unwrap();
    bench.assert_no_violations();
}
