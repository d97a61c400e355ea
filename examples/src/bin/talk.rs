//! Four adapters on one air: one injects frames, two of other kinds receive them, one on another channel hears nothing.
//!
//! `cargo run -p airlift-examples --bin talk`

use airlift_emu::{Air, Model};
use airlift_wifi::frame::Modulation;
use airlift_wifi::{Clock, Filter, Firmware, HostController, Kernel, LegacyRate, MacAddr, Rate};
use airlift_wifi::{TxFrame, Width, Wlan, WlanOptions};
use futures::StreamExt;

/// The address that the frames come from.
const OWN: MacAddr = MacAddr([0x02, 0xa1, 0, 0, 0, 1]);
/// An access point of the emulated air, on channel 36.
const ACCESS_POINT: MacAddr = MacAddr([0x02, 0, 0, 0, 0x0a, 0x05]);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build()?;
    let controller = HostController::new(&kernel.handle())?;
    let air = Air::default_scene(7);
    let mut ports = Vec::new();
    let mut up = async |model: Model, channel: &str| {
        let port = controller.plug(model.builder().air(&air).build());
        let firmware = Firmware::bytes("stand-in", model.stand_in_firmware());
        let options = WlanOptions::new().channel(channel.parse()?).firmware(firmware);
        let wlan = Wlan::attach(port.device(), options).await?;
        ports.push(port);
        Ok::<_, airlift_wifi::Error>(wlan)
    };
    let sender = up(Model::Rtl8812au, "36/80").await?;
    let listeners = [up(Model::Rtl8821au, "36/80").await?, up(Model::Rtl8814au, "36/80").await?];
    let elsewhere = up(Model::Rtl8812au, "149").await?;

    let mut heard = listeners.each_ref().map(|wlan| wlan.frames_with(Filter::transmitter(OWN)));
    let heard_elsewhere = elsewhere.frames_with(Filter::transmitter(OWN));

    // To everyone, at three rates. One after the other: each outcome is awaited.
    let vht = Modulation {
        bandwidth: Some(Width::Mhz80),
        short_gi: Some(true),
        ..Modulation::new(Rate::Vht { mcs: 9, nss: 1 })
    };
    let rates = [Rate::Legacy(LegacyRate::M6).into(), Rate::Ht { mcs: 7 }.into(), vht];
    for (number, rate) in rates.into_iter().enumerate() {
        let outcome = sender.inject(TxFrame::new(data(MacAddr([0xff; 6]), number as u8)).rate(rate)).await?;
        println!("{}", outcome.delivery);
        for (wlan, heard) in listeners.iter().zip(&mut heard) {
            let frame = heard.next().await.ok_or("the listener is up")?;
            let (rate, length) = (frame.rate().ok_or("a rate")?, frame.mpdu().len());
            println!("  {} heard {length} bytes at {rate}, {:?} dBm", wlan.chip(), frame.signal_dbm());
        }
    }

    // To one station, many at a time: tickets tell who answered.
    let mut tickets = Vec::new();
    for number in 0..100 {
        let frame = TxFrame::new(data(ACCESS_POINT, number)).rate(Rate::Legacy(LegacyRate::M54)).retries(3);
        tickets.push(sender.send(frame).await);
    }
    for ticket in tickets {
        ticket.await?;
    }
    println!("{}", sender.tx_stats());

    // An error gives the frame back.
    let error = sender.inject(TxFrame::new(data(OWN, 0)).rate(Rate::Ht { mcs: 31 })).await.unwrap_err();
    println!("{error}; it has {} bytes", error.frame().bytes().len());

    for wlan in listeners.iter().chain([&sender, &elsewhere]) {
        wlan.down().await?;
    }
    println!("on channel 149: {} of our frames", heard_elsewhere.count().await);
    drop(ports);
    kernel.shutdown().await;
    Ok(())
}

/// A data frame of 1,500 bytes.
fn data(to: MacAddr, number: u8) -> Vec<u8> {
    let mut frame = vec![0x08, 0, 0, 0];
    for address in [to, OWN, OWN] {
        frame.extend(address.0);
    }
    frame.resize(1_500, number);
    frame
}
