//! A device that lies: registers that hold what no chip would, answers that are too short, packets of rubbish.
//!
//! Whatever it says, bring-up ends within the driver's own limits, up or with an error; a life on the interface
//! goes on or ends; and nothing is left of it.

mod common;

use core::pin::pin;
use core::time::Duration;

use airlift_emu::{Air, Model};
use airlift_hcd::{HostController, Reply, Setup, UsbFunction};
use airlift_runtime::{Clock, Kernel};
use airlift_tests::meddled::{Meddled, Meddler};
use airlift_wifi::{TxFrame, Wlan};
use common::options_of;
use common::random::Random;
use futures::StreamExt;
use futures::future::{ready, select};

/// Longer than any honest adapter takes for a life, on the clock of the kernel: stages have limits of their own.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lies once in so many answers.
struct Liar {
    random: Random,
    registers: u64,
    packets: u64,
}

impl Meddler for Liar {
    fn answer(&mut self, setup: Option<Setup>, reply: &mut Reply) {
        let Ok(actual) = reply.status else { return };
        let lies = match setup {
            Some(setup) => {
                setup.is_in() && setup.request_type & 0x60 == 0x40 && self.random.one_in(self.registers)
            }
            None => actual > 0 && self.random.one_in(self.packets),
        };
        if !lies {
            return;
        }
        let random = &mut self.random;
        match random.next() % 4 {
            // Fewer bytes than were asked for, or none.
            0 => {
                let actual = random.next() as usize % (actual + 1);
                reply.buffer.truncate(actual);
                reply.status = Ok(actual);
            }
            1 => reply.buffer.fill(0xff),
            2 => reply.buffer.fill(0),
            // A quarter of its bytes, so that what frames the rest is believed.
            _ => reply.buffer.iter_mut().for_each(|byte| {
                if random.one_in(4) {
                    *byte = random.next() as u8;
                }
            }),
        }
    }
}

/// A beacon of nobody's, to everyone.
fn beacon() -> TxFrame {
    let mut frame = vec![0x80, 0, 0, 0];
    frame.extend([0xff; 6]);
    frame.extend([0x02, 0xa1, 0, 0, 0, 1].repeat(2));
    frame.resize(60, 0);
    TxFrame::new(frame)
}

/// Brings the adapter up, hears and sends a little, changes the channel, and takes it down. Whether it came up, and
/// whether it still was when it was taken down.
async fn lives(model: Model, liar: Liar) -> (bool, bool) {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let clock = kernel.handle().clock();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let air = Air::default_scene(3);
    let device: Box<dyn UsbFunction> = Box::new(model.builder().air(&air).strict(false).build());
    let port = controller.plug(Meddled::new(device, liar));
    let begin = clock.now();
    let wlan = Wlan::attach(port.device(), options_of(model)).await;
    let came_up = wlan.is_ok();
    let mut lived_on = false;
    if let Ok(wlan) = wlan {
        let mut frames = wlan.frames();
        for channel in ["6", "36", "11"] {
            // A radio that was lied into deafness hears nothing; the others hear five frames in that time.
            let enough = kernel.handle().spawn("listen", |cpu| async move { cpu.msleep(500).await }).unwrap();
            let heard = (&mut frames).take(5).for_each(|_| ready(()));
            select(pin!(heard), pin!(enough)).await;
            // Each may fail, and says so.
            drop(wlan.send(beacon()).await);
            drop(wlan.set_channel(channel.parse().unwrap()).await);
        }
        lived_on = wlan.end().is_none();
        drop(wlan.down().await);
        assert!(wlan.end().is_some(), "{model:?}: down is down");
    }
    let took = clock.now() - begin;
    assert!(took < PATIENCE, "{model:?}: {took:?}");
    drop((port, controller));
    let report = kernel.shutdown().await;
    let ours: Vec<_> = report.tasks_dropped.iter().filter(|name| name.starts_with("wlan0")).collect();
    assert!(ours.is_empty(), "{report:?}");
    (came_up, lived_on)
}

#[tokio::test]
async fn w6_a_device_that_lies_is_told_from_a_chip_or_used_and_never_waited_for_without_end() {
    let mut came_up = 0;
    let mut lived = 0;
    for &model in Model::ALL {
        for seed in 1..=15 {
            // From one that lies now and then to one that hardly ever tells the truth.
            let registers = [4000, 1000, 100, 20, 2][seed as usize % 5];
            let random = Random::new(0x9e37_79b9_7f4a_7c15 ^ seed << 32 ^ seed);
            came_up += usize::from(lives(model, Liar { random, registers, packets: 3 }).await.0);
            lived += 1;
        }
    }
    assert!(came_up > 0 && came_up < lived, "{came_up} of {lived}: some lies are found out, some are not");
}

#[tokio::test]
async fn w5_packets_of_rubbish_end_neither_reception_nor_the_kernel() {
    for &model in Model::ALL {
        let random = Random::new(0x2545_f491_4f6c_dd1d);
        let life = lives(model, Liar { random, registers: u64::MAX, packets: 1 }).await;
        assert_eq!(life, (true, true), "{model:?}: it came up, and lived on");
    }
}
