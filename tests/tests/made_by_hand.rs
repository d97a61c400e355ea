//! What a test of an application needs and no shop sells: frames, an air and a device of its own making.

use core::time::Duration;

use airlift_emu::air::{AirFrame, RadioOptions, Rate, Tuning};
use airlift_emu::{Air, Rtl8812au, stand_in_firmware};
use airlift_hcd::{Descriptors, FunctionUrb, HostController, Setup, Speed, Submit, Urb, UsbFunction};
use airlift_runtime::{Clock, Kernel};
use airlift_wifi::{Channel, Firmware, Frame, FrameSender, StreamEnd, StreamOptions, Wlan, WlanOptions};
use futures::StreamExt;
use futures::executor::block_on;

/// A broadcast data frame.
fn data(number: u16) -> Vec<u8> {
    let mut bytes = vec![0x08, 0, 0, 0];
    bytes.extend([0xff; 6]);
    bytes.extend([2, 0, 0, 0, 0, 0xaa]);
    bytes.extend([2; 6]);
    bytes.extend((number << 4).to_le_bytes());
    bytes.extend([0x5a; 40]);
    bytes
}

#[test]
fn a9_frames_and_their_stream_are_made_without_an_adapter() {
    let mut sender = FrameSender::new();
    let mut stream = sender.source().open(StreamOptions::new());
    let frame = Frame::builder(data(7)).append_fcs().build();
    sender.send(frame.clone());
    sender.end(StreamEnd::Unplugged);
    let got = block_on(stream.by_ref().collect::<Vec<_>>());
    assert_eq!(got, [frame]);
    assert!(matches!(stream.end(), Some(StreamEnd::Unplugged)));
}

#[test]
fn a9_an_air_and_its_adapters_are_made_without_any_of_silicon() {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().clock(clock.clone()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let air = Air::quiet(1);
    let port = controller.plug(Rtl8812au::builder().air(&air).build());
    block_on(async {
        let options = WlanOptions::new()
            .channel(Channel::parse("11", None).unwrap())
            .firmware(Firmware::bytes("stand-in", stand_in_firmware()));
        let wlan = Wlan::attach(port.device(), options).await.unwrap();
        let mut frames = wlan.frames();
        let hold = clock.run_until(clock.now()).await;
        let mut station = air.join(RadioOptions::default());
        station.tune(clock.now(), Tuning::channel(11));
        let sent = AirFrame::new(data(1).into(), Rate::ht(3).unwrap());
        station.transmit(clock.now() + Duration::from_millis(1), sent.clone()).unwrap();
        drop(hold);
        let heard = frames.next().await.unwrap();
        assert_eq!(heard.mpdu(), &sent.bytes[..]);
        wlan.down().await.unwrap();
    });
    kernel.shutdown_blocking();
}

/// Answers every request by its value, twice over.
struct Doubling;

impl UsbFunction for Doubling {
    fn descriptors(&self) -> Descriptors {
        Descriptors {
            device: [18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 0x01, 0x00, 0, 1, 0, 0, 0, 1],
            configuration: vec![9, 2, 9, 0, 0, 1, 0, 0x80, 50],
            strings: Vec::new(),
            speed: Speed::High,
        }
    }

    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        let value = urb.setup().map_or(0, |setup| setup.value);
        urb.reply(&(2 * value).to_le_bytes()).into()
    }
}

#[test]
fn a9_a_device_is_made_in_a_few_lines() {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = controller.plug(Doubling);
    let answer = block_on(port.device().submit(Urb::control_in(Setup::vendor_in(1, 21, 0, 2))));
    assert_eq!((answer.status, &answer.buffer[..]), (Ok(()), &[42, 0][..]));
    kernel.shutdown_blocking();
}
