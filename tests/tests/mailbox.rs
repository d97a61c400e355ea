//! What the firmware is told through its mailboxes, when it takes its time to empty them.

mod common;

use core::time::Duration;

use airlift_emu::air::{AccessPoint, Air, Tuning};
use airlift_emu::{Poll, Rtl8821au};
use airlift_runtime::Hold;
use airlift_wifi::{Channel, Wlan};
use common::Bench;
use futures::future::join;

/// How time is dealt out at 2.4 GHz and at 5 GHz (rtw88 `coex.c`, `rtw_coex_tdma`, by `rtw8821a.c`,
/// `tdma_nsant_8821a`): extension word, command word.
const GHZ2: (u32, u32) = (0x0000_1011, 0x0330_6160);
const GHZ5: (u32, u32) = (0x0000_0040, 0x0000_0060);

fn channel(text: &str) -> Channel {
    text.parse().unwrap()
}

/// Lets so much time pass; then it stands while what is returned lives.
async fn pass(bench: &Bench, time: Duration) -> Hold {
    bench.clock.run_until(bench.clock.now() + time).await
}

/// Beacons and control transfers of a minute that begins at once.
async fn minute(bench: &Bench, wlan: &Wlan) -> (u64, u64) {
    let begin = pass(bench, Duration::from_millis(1)).await;
    let (frames, transfers) = (wlan.stats().frames, bench.probe.transfers());
    let end = pass(bench, Duration::from_secs(60)).await;
    drop(begin);
    let counts = (wlan.stats().frames - frames, bench.probe.transfers() - transfers);
    drop(end);
    counts
}

/// The commands that the firmware took. Of those that it takes at once the order is that of their boxes.
fn taken(bench: &Bench) -> Vec<(u32, u32)> {
    let mut commands = bench.probe.commands();
    commands.sort();
    commands
}

/// An interface on channel 36 with an access point there. `stuck`: its firmware has a command in each of its four
/// mailboxes and takes none, and there is one more.
async fn on_36(stuck: bool) -> (Bench, Wlan) {
    let air = Air::quiet(1);
    air.add_cell(AccessPoint::new([2, 0, 0, 0, 0x66, 6], "coffee", Tuning::channel(36).unwrap()), []);
    let bench = Bench::new(Rtl8821au::builder().air(&air));
    let wlan = bench.attach().await.unwrap();
    drop(pass(&bench, Duration::from_millis(100)).await);
    assert_eq!(bench.probe.commands(), [GHZ2]);
    if stuck {
        bench.probe.stick_poll(Poll::Mailbox);
    }
    for text in ["36", "6", "36", "6", "36"] {
        wlan.set_channel(channel(text)).await.unwrap();
        if !stuck {
            drop(pass(&bench, Duration::from_millis(10)).await);
        }
    }
    (bench, wlan)
}

const ALL: [(u32, u32); 6] = [GHZ5, GHZ5, GHZ5, GHZ2, GHZ2, GHZ2];

#[tokio::test]
async fn w6_a_command_that_found_the_mailboxes_full_goes_out_by_itself_once_there_is_room() {
    let (twin, in_time) = on_36(false).await;
    assert_eq!(taken(&twin), ALL);
    let (bench, wlan) = on_36(true).await;
    let (beacons, looks) = minute(&bench, &wlan).await;
    assert_eq!(bench.probe.commands(), [GHZ2], "nothing was taken");
    assert!((59..=66).contains(&looks), "{looks} looks in a minute");
    let (of_twin, none) = minute(&twin, &in_time).await;
    assert_eq!(none, 0);
    assert!(beacons >= 580 && beacons.abs_diff(of_twin) <= 1, "{beacons} beacons, {of_twin} without looks");

    bench.probe.unstick();
    drop(pass(&bench, Duration::from_millis(1_100)).await);
    assert_eq!(taken(&bench), ALL);
    assert_eq!(minute(&bench, &wlan).await.1, 0, "nothing is left to be told");
    bench.assert_no_violations();
    wlan.down().await.unwrap();
    in_time.down().await.unwrap();
}

#[tokio::test]
async fn w6_the_next_hop_or_command_takes_along_what_found_the_mailboxes_full() {
    for hops in [true, false] {
        let (bench, wlan) = on_36(true).await;
        // By now the driver looks once a second; it has just done so.
        let mut standing = pass(&bench, Duration::from_secs(60)).await;
        let before = bench.probe.transfers();
        while bench.probe.transfers() == before {
            standing = pass(&bench, Duration::from_millis(5)).await;
        }
        bench.probe.unstick();
        let asked =
            async { if hops { wlan.hop(channel("40")).await } else { wlan.set_tx_power(Some(10)).await } };
        let (done, end) = join(asked, pass(&bench, Duration::from_millis(500))).await;
        done.unwrap();
        assert_eq!(taken(&bench), ALL, "hops: {hops}");
        drop((standing, end));
        wlan.down().await.unwrap();
    }
}
