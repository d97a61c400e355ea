//! A USB device of your own and a little kernel driver for it, no Wi-Fi in sight: the device is a state
//! machine, the driver requests a line, spawns a task, sleeps, locks and awaits its interrupt.
//!
//! `cargo run -p airlift-examples --bin thermometer`

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use airlift_hcd::{Descriptors, FunctionUrb, HostController, Reply, Setup, Speed, Submit};
use airlift_hcd::{TransferError, Urb, UrbId, UsbFunction};
use airlift_runtime::{Clock, Cpu, IrqReturn, Kernel, SpinLock};
use futures::StreamExt;

/// Sends one reading, in degrees, on its interrupt endpoint whenever the period (request 1) has passed.
#[derive(Default)]
struct Thermometer {
    period: Duration,
    next: Option<Duration>,
    readings: u8,
    parked: VecDeque<FunctionUrb>,
}

impl UsbFunction for Thermometer {
    fn descriptors(&self) -> Descriptors {
        let device = [18, 1, 0, 2, 0xff, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 0, 1, 0, 1];
        let interface = [9, 4, 0, 0, 1, 0xff, 0, 0, 0, /* endpoint */ 7, 5, 0x81, 3, 1, 0, 1];
        let configuration = [&[9, 2, 25, 0, 1, 1, 0, 0x80, 50][..], &interface].concat();
        Descriptors { device, configuration, strings: vec!["Thermometer".into()], speed: Speed::Full }
    }

    fn submit(&mut self, now: Duration, urb: FunctionUrb) -> Submit {
        match urb.setup() {
            Some(Setup { request: 1, value, .. }) => {
                self.period = Duration::from_millis(value.into());
                self.next = Some(now + self.period);
                urb.ok().into()
            }
            Some(_) => urb.fail(TransferError::Stall).into(),
            None => {
                self.parked.push_back(urb);
                Submit::Parked
            }
        }
    }

    fn poll(&mut self, now: Duration) -> Option<Reply> {
        let due = self.next.filter(|due| *due <= now)?;
        let urb = self.parked.pop_front()?;
        self.next = Some(due + self.period);
        self.readings += 1;
        Some(urb.reply(&[20 + self.readings % 5]))
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.next.filter(|_| !self.parked.is_empty())
    }

    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        let at = self.parked.iter().position(|urb| urb.id() == id)?;
        self.parked.remove(at)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // On the virtual clock the two seconds of this example pass at once.
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build()?;
    let controller = HostController::new(&kernel.handle())?;
    let port = controller.plug(Thermometer::default());
    let device = port.device();

    let alarm = kernel.handle().irq_line("thermometer-alarm")?;
    let mut alarms = alarm.edges();
    let driver = kernel.handle().spawn("thermometer", move |cpu: Cpu| async move {
        let last_seen = Rc::new(SpinLock::new("last_seen", 0u8));
        let seen_by_irq = Rc::clone(&last_seen);
        let _action = cpu.request_irq(&alarm, "alarm", move |irq| {
            println!("[irq] alarm at {:?}, {} degrees", irq.now(), seen_by_irq.with(irq, |degrees| *degrees));
            IrqReturn::Handled
        })?;

        device.submit(Urb::control_out(Setup::vendor_out(1, 200, 0, 0), [])).await.status?;
        for _ in 0..8 {
            let reading = device.submit(Urb::interrupt_in(0x81, 1)).await;
            reading.status?;
            let degrees = reading.buffer[0];
            if last_seen.with_irqsave(&cpu, |last_seen| std::mem::replace(last_seen, degrees)) < degrees {
                alarm.trigger()?; // interrupts are on: the handler has run when this returns
            }
            cpu.msleep(50).await;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(last_seen.with_irqsave(&cpu, |degrees| *degrees))
    })?;

    let last = driver.await?.map_err(|error| error.to_string())?;
    println!("last reading: {last} degrees; edges awaited: {:?}", alarms.next().await);
    println!("{:?}", kernel.shutdown().await);
    Ok(())
}
