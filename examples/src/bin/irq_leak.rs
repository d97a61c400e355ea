//! Why every task has an IRQ flag of its own. A driver turns IRQs off and then awaits a control transfer, a bug that
//! compiles. With one flag for all, as a processor has, nothing is ever delivered again: not the transfer's completion,
//! not the timer. With a flag for each task only the sleeping driver has its IRQs off, and nobody looks at that flag.
//!
//! `cargo run -p airlift-examples --bin irq_leak`

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use airlift_hcd::{Descriptors, FunctionUrb, HostController, Setup, Speed, Submit, Urb, UsbFunction};
use airlift_runtime::{Clock, IrqPolicy, Kernel, Watchdog};
use futures::future::{Either, select};

const TRANSFERS: u32 = 8_000;

/// Answers every control request.
struct Agreeable;

impl UsbFunction for Agreeable {
    fn descriptors(&self) -> Descriptors {
        let device = [18, 1, 0, 2, 0xff, 0, 0, 64, 0x34, 0x12, 0x79, 0x56, 0, 1, 0, 0, 0, 1];
        let configuration = vec![9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 0xff, 0, 0, 0];
        Descriptors { device, configuration, strings: Vec::new(), speed: Speed::High }
    }

    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        urb.ok().into()
    }
}

/// What became of the driver, and what the watchdog says if the driver does not end.
async fn run(policy: IrqPolicy) -> Result<(), Box<dyn std::error::Error>> {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).irq_policy(policy).build()?;
    let controller = HostController::new(&kernel.handle())?;
    let port = controller.plug(Agreeable);
    let device = port.device();
    let done = Arc::new(AtomicU32::new(0));
    let count = done.clone();
    let driver = kernel.handle().spawn("driver", move |cpu| async move {
        cpu.msleep(5).await;
        for _ in 0..TRANSFERS {
            let flags = cpu.local_irq_save();
            let transfer = device.submit(Urb::control_out(Setup::vendor_out(5, 0, 0, 0), [])).await;
            cpu.local_irq_restore(flags);
            transfer.status.expect("the device agrees to everything");
            count.fetch_add(1, Ordering::Relaxed);
        }
        cpu.msleep(5).await;
        cpu.jiffies()
    })?;
    // It lives by the kernel's clock here, on which its ten seconds pass at once.
    let watchdog = Watchdog::builder().clock(kernel.handle().clock()).watch(&kernel.handle())?;
    let (jiffies, stuck) = match select(driver, pin!(watchdog.next_report())).await {
        Either::Left((ended, _)) => (ended?, None),
        Either::Right((report, _)) => (kernel.handle().stats().jiffies, report),
    };
    let stats = kernel.handle().stats();
    println!("{policy:?}: {} of {TRANSFERS} transfers, {jiffies} jiffies", done.load(Ordering::Relaxed));
    match stuck {
        Some(report) => println!("  watchdog: {report}"),
        None => println!("  the driver slept with its irqs off {} times", stats.suspended_with_irqs_off),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(IrqPolicy::Global).await?;
    run(IrqPolicy::PerTask).await
}
