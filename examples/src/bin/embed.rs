//! A tokio application with a Wi-Fi adapter inside: frames arrive while it does other work, and every way
//! out (enough frames, Ctrl-C, an adapter that fails or is unplugged) ends with the radio off.
//!
//! `cargo run -p airlift-examples --bin embed`

use std::time::Duration;

use airlift_emu::{Air, Rtl8812au, stand_in_firmware};
use airlift_wifi::{Firmware, Wlan, WlanOptions};
use futures::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An emulated adapter on an air with access points; it takes an image made here in place of firmware.
    let adapter = Rtl8812au::builder().air(&Air::default_scene(1)).build();
    let firmware = Firmware::bytes("stand-in", stand_in_firmware());

    let options = WlanOptions::new().firmware(firmware).channel("11".parse()?);
    let wlan0 = match Wlan::open(adapter, options).await {
        Ok(wlan0) => wlan0,
        Err(error) => {
            // Every failure names the stage, the register and what was expected; most know what to do.
            eprintln!("error: {error}");
            error.hint().inspect(|hint| eprintln!("help:  {hint}"));
            return Err(error.into());
        }
    };

    let mut frames = wlan0.frames();
    let mut other_work = tokio::time::interval(Duration::from_millis(100));
    let mut seen = 0;
    while seen < 25 {
        tokio::select! {
            frame = frames.next() => match frame {
                Some(frame) => {
                    seen += 1;
                    println!("{:>4} dBm  {}", frame.signal_dbm().unwrap_or_default(), frame.info());
                }
                // All frames that were queued came first; now the stream says why it ended.
                None => {
                    println!("wlan0 ended: {:?}", frames.end());
                    break;
                }
            },
            _ = other_work.tick() => println!("(the application works on; {})", wlan0.stats()),
            _ = tokio::signal::ctrl_c() => break,
        }
    }

    // When this returns the chip is off, every URB is back and the kernel core's thread is gone.
    wlan0.down().await?;
    Ok(())
}
