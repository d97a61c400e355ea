//! `wlan0` as a stream with several readers: each has its own filter, its own queue and its own pace, and a slow
//! one costs nobody else a frame.
//!
//! `cargo run -p airlift-examples --bin readers`

use std::time::Duration;

use airlift_emu::{Air, Rtl8812au, stand_in_firmware};
use airlift_wifi::{Clock, DropPolicy, Filter, Firmware, FrameType, Kernel};
use airlift_wifi::{StreamOptions, Subtype, Wlan, WlanOptions};
use futures::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Ten seconds of air pass at once: virtual time runs when everyone has done their work.
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().clock(clock.clone()).build()?;
    let options = WlanOptions::new()
        .kernel(&kernel.handle())
        .firmware(Firmware::bytes("stand-in", stand_in_firmware()))
        .channel("11".parse()?);
    let adapter = Rtl8812au::builder().air(&Air::default_scene(7)).build();
    let wlan0 = Wlan::open(adapter, options).await?;
    let start = clock.hold(); // until all readers have their streams, time stands still

    let mut beacons = wlan0.frames_with(Filter::subtype(Subtype::Beacon));
    let mut strong_data = wlan0.frames_with(Filter::kind(FrameType::Data) & Filter::min_signal_dbm(-45));
    // Reads nothing until the end, in a queue of 64 KiB: it keeps the newest frames and knows what it lost.
    let mut sluggard = wlan0.frames_with(
        StreamOptions::new()
            .budget(StreamOptions::MIN_BUDGET)
            .policy(DropPolicy::Oldest)
            .hold_virtual_time(false),
    );

    let beacons = tokio::spawn(async move {
        let mut networks = std::collections::BTreeMap::<String, u32>::new();
        while let Some(frame) = beacons.next().await {
            *networks.entry(frame.info().to_string()).or_default() += 1;
        }
        networks
    });
    let data = tokio::spawn(async move {
        let mut bytes = 0;
        while let Some(frame) = strong_data.next().await {
            bytes += frame.mpdu().len();
        }
        (bytes, strong_data.stats())
    });

    let until = clock.now() + Duration::from_secs(10);
    drop(start);
    drop(clock.run_until(until).await);
    wlan0.down().await?; // streams end when they have handed out what was queued

    for (network, count) in beacons.await? {
        println!("{count:>4} beacons of {network}");
    }
    let (bytes, stats) = data.await?;
    println!("{bytes:>4} bytes of strong data; {stats}");

    let first = sluggard.next().await.ok_or("the newest frames are still there")?;
    println!("the sluggard lost {} frames before its first, and kept the newest", first.lost_before());
    println!("{}; {}", wlan0.stats(), sluggard.stats());
    kernel.shutdown().await;
    Ok(())
}
