//! Frames from the emulated air to readers: order, account, loss, and what is written down of them.

use core::time::Duration;

use airlift_emu::{Air, Probe, Rtl8812au, stand_in_firmware};
use airlift_hcd::{HostController, MockPort};
use airlift_runtime::{Clock, Kernel};
use airlift_wifi::filter::Filter;
use airlift_wifi::frame::Fcs;
use airlift_wifi::ieee80211::{FrameType, Subtype};
use airlift_wifi::radiotap::{Fields, Radiotap};
use airlift_wifi::{Channel, Firmware, FrameStream, StreamEnd, StreamOptions, Wlan, WlanOptions};
use futures::StreamExt;

/// An adapter on the default scene's channel 11, up, in virtual time.
struct Set {
    kernel: Kernel,
    clock: Clock,
    _controller: HostController,
    port: MockPort,
    probe: Probe,
    wlan: Wlan,
}

async fn up() -> Set {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().name("readers").clock(clock.clone()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let adapter = Rtl8812au::builder().air(&Air::default_scene(7)).seed(7).build();
    let probe = adapter.probe();
    let port = controller.plug(adapter);
    let options = WlanOptions::new()
        .kernel(&kernel.handle())
        .channel(Channel::parse("11", None).unwrap())
        .firmware(Firmware::bytes("stand-in", stand_in_firmware()));
    let wlan = Wlan::attach(port.device(), options).await.unwrap();
    Set { kernel, clock, _controller: controller, port, probe, wlan }
}

/// Reads until nothing is queued and the stream has ended.
async fn read_to_end(stream: &mut FrameStream) -> u64 {
    stream.fold(0, |count, _| async move { count + 1 }).await
}

#[tokio::test]
async fn w5_what_the_chip_admits_is_delivered_or_dropped_by_name_for_every_reader() {
    let set = up().await;
    // All is quiet, and stays so until the hold is dropped.
    let hold = set.clock.run_until(set.clock.now()).await;
    let before = set.wlan.stats().chip;
    let everything = StreamOptions::new().hold_virtual_time(false);
    let mut all = set.wlan.frames_with(everything.clone().bad_fcs(true));
    let mut data = set.wlan.frames_with(everything.clone().filter(Filter::kind(FrameType::Data)));
    let mut slow = set.wlan.frames_with(everything.budget(0));
    // The slow one reads nothing for ten seconds of air.
    let until = set.clock.now() + Duration::from_secs(10);
    drop(hold);
    let held = set.clock.run_until(until).await;
    for stream in [&all, &data, &slow] {
        let stats = stream.stats();
        assert!(stats.is_balanced(), "{stats}");
        assert_eq!(before + stats.chip, set.wlan.stats().chip);
    }
    assert!(slow.stats().queue > 0, "{}", slow.stats());
    drop(held);

    set.wlan.down().await.unwrap();
    let received = set.probe.receive_stats();
    let total = set.wlan.stats();
    // What the chip admitted reached the driver, but for what was in its buffer when it lost its power.
    assert_eq!(total.chip, received.admitted - received.discarded - received.waiting, "{received:?} {total}");
    assert_eq!(total.chip, total.frames + total.malformed.total());
    for stream in [&mut all, &mut data, &mut slow] {
        let first = stream.try_next();
        let count = read_to_end(stream).await + u64::from(first.is_some());
        let stats = stream.stats();
        assert_eq!((stats.delivered, stats.waiting), (count, 0));
        assert!(stats.is_balanced() && before + stats.chip == total.chip, "{stats}");
        assert!(matches!(stream.end(), Some(StreamEnd::Down)));
    }
    assert_eq!((all.stats().filtered, all.stats().dropped()), (0, 0), "{}", all.stats());
    assert!(data.stats().filtered > 0 && data.stats().delivered > 0, "{}", data.stats());
}

#[tokio::test]
async fn a7_the_air_waits_for_a_reader_that_is_slower() {
    let set = up().await;
    let mut stream = set.wlan.frames_with(StreamOptions::new().budget(256 * 1024).bad_fcs(true));
    let mut lost = 0;
    for _ in 0..3000 {
        lost += stream.next().await.unwrap().lost_before();
    }
    assert_eq!(lost, 0, "{}", stream.stats());
    // The one who reads no more can still tune and switch off.
    while stream.stats().pinned_bytes <= 128 * 1024 {
        tokio::task::yield_now().await;
    }
    set.wlan.set_channel(Channel::parse("6", None).unwrap()).await.unwrap();
    set.wlan.down().await.unwrap();
    set.kernel.shutdown().await;
}

#[tokio::test]
async fn w2_frames_of_the_scene_parse_and_carry_what_the_chip_told() {
    let set = up().await;
    let mut stream = set.wlan.frames();
    let mut last_tsf = 0;
    let mut beacons = 0;
    for _ in 0..500 {
        let frame = stream.next().await.unwrap();
        let tsf = frame.tsf().unwrap();
        assert!(tsf >= last_tsf, "the air goes on");
        last_tsf = tsf;
        assert_eq!((frame.fcs(), frame.fcs_matches()), (Fcs::Good, Some(true)));
        assert_eq!(frame.channel().map(|channel| channel.primary()), Some(11));
        assert!(frame.time() <= frame.meta().received_at && frame.meta().received_at <= set.clock.now());
        let fields = Fields::parse(&Radiotap::new(&frame.radiotap()).unwrap()).unwrap();
        assert_eq!(fields.tsft, Some(tsf));
        assert_eq!(fields.channel.map(|channel| channel.frequency_mhz), Some(2462));
        assert_eq!(fields.signal_dbm, frame.signal_dbm());
        assert_eq!(
            [fields.rate.is_some(), fields.mcs.is_some(), fields.vht.is_some()]
                .map(u8::from)
                .iter()
                .sum::<u8>(),
            1
        );
        let header = frame.header().unwrap();
        assert!(!frame.info().to_string().contains("malformed"), "{frame:?}");
        if header.subtype() == Subtype::Beacon {
            beacons += 1;
            assert!(frame.info().to_string().starts_with('"'), "{}", frame.info());
        }
    }
    assert!(beacons > 0);
}

#[tokio::test]
async fn a6_an_unplugged_adapter_ends_the_stream_after_its_queue() {
    let set = up().await;
    let mut stream = set.wlan.frames();
    let first = stream.next().await;
    assert!(first.is_some());
    drop(set.port);
    read_to_end(&mut stream).await;
    assert!(matches!(stream.end(), Some(StreamEnd::Unplugged)), "{:?}", stream.end());
    assert!(stream.stats().is_balanced());
    let mut late = set.wlan.frames().try_frames();
    assert!(matches!(late.next().await, Some(Err(StreamEnd::Unplugged))));
}
