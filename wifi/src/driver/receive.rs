//! Bulk-in transfers, kept going.
//!
//! A task of its own has [`IN_FLIGHT`] URBs on their way. The buffer of each that comes back goes to the
//! [`Receiver`], whose frames are slices of it, and an URB with a fresh one takes its place. An URB that ends in
//! error is counted and replaced too, after a pause that grows; after [`ATTEMPTS`] failures in a row reception
//! ends with a reason. It never falls silent.
//!
//! Figure: rtw88 `usb.h`, `RTW_USB_RXCB_NUM`: four URBs, each of [`Receiver::TRANSFER`] bytes.

use core::cell::RefCell;
use core::pin::pin;
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use airlift_hcd::{Completion, TransferError, Urb, UrbHandle, UsbDevice};
use airlift_runtime::Cpu;
use futures::future::{Either, select};

use crate::error::{Error, ErrorKind, Stage};
use crate::rx::{C2h, Receiver};

/// URBs on their way.
const IN_FLIGHT: usize = 4;
/// Failures in a row before reception ends.
const ATTEMPTS: u32 = 8;
/// Pause after the first failure; it doubles with each one that follows.
const FIRST_PAUSE: Duration = Duration::from_micros(500);

/// Where received bytes go; empty once the interface has ended.
pub(super) type Sink = Rc<RefCell<Option<Receiver>>>;

/// Receives until `stop` is closed (then all URBs are taken back, and what they brought is still delivered), the
/// device is gone, or transfers keep failing. What the firmware says goes to `messages`.
///
/// Dropping the future cancels the URBs.
pub(super) async fn run(
    cpu: Cpu,
    device: UsbDevice,
    endpoint: u8,
    sink: Sink,
    messages: impl Fn(&C2h),
    stop: async_channel::Receiver<()>,
) -> Result<(), Error> {
    let mut transfers = Transfers { device, endpoint, flying: VecDeque::new() };
    for _ in 0..IN_FLIGHT {
        transfers.submit();
    }
    let mut failures = 0;
    while let Some(mut front) = transfers.flying.pop_front() {
        let completion = match select(pin!(stop.recv()), &mut front).await {
            Either::Left(_) => {
                transfers.flying.push_front(front);
                drain(&cpu, transfers, &sink, &messages).await;
                return Ok(());
            }
            Either::Right((completion, _)) => completion,
        };
        match transfers.take(&cpu, completion, &sink, &messages) {
            Ok(()) => failures = 0,
            Err(TransferError::Shutdown) => return Err(Error::new(Stage::Up, ErrorKind::Unplugged)),
            Err(source) => {
                failures += 1;
                tracing::warn!(%source, failures, "a receive transfer failed");
                if failures >= ATTEMPTS {
                    return Err(Error::new(Stage::Up, ErrorKind::Receive { attempts: failures, source }));
                }
                let recover = async {
                    if source == TransferError::Stall {
                        // Each URB behind it ends with a stall of its own; the halt is ended all the same.
                        let _ = transfers.device.clear_halt(endpoint).await;
                    }
                    cpu.sleep(FIRST_PAUSE * 2_u32.pow(failures - 1)).await;
                };
                // A device that does not answer must not hold up the end.
                let stopped = matches!(select(pin!(stop.recv()), pin!(recover)).await, Either::Left(_));
                if stopped {
                    drain(&cpu, transfers, &sink, &messages).await;
                    return Ok(());
                }
            }
        }
        transfers.submit();
        cpu.cond_resched().await;
    }
    Ok(())
}

/// Takes every URB back; frames that they brought are delivered.
async fn drain(cpu: &Cpu, mut transfers: Transfers, sink: &Sink, messages: &impl Fn(&C2h)) {
    for handle in &transfers.flying {
        handle.kill();
    }
    while let Some(handle) = transfers.flying.pop_front() {
        let completion = handle.await;
        // Cancelled is what was asked for; anything else is no news any more.
        let _ = transfers.take(cpu, completion, sink, messages);
    }
}

struct Transfers {
    device: UsbDevice,
    endpoint: u8,
    flying: VecDeque<UrbHandle>,
}

impl Transfers {
    fn submit(&mut self) {
        self.flying.push_back(self.device.submit(Urb::bulk_in(self.endpoint, Receiver::TRANSFER)));
    }

    /// Hands on what a transfer brought.
    fn take(
        &mut self,
        cpu: &Cpu,
        completion: Completion,
        sink: &Sink,
        messages: &impl Fn(&C2h),
    ) -> Result<(), TransferError> {
        let Completion { status, buffer, .. } = completion;
        let mut sink = sink.borrow_mut();
        let Some(receiver) = sink.as_mut() else { return status };
        match status {
            Ok(()) if !buffer.is_empty() => {
                for message in receiver.aggregate(buffer, cpu.now()) {
                    tracing::trace!(
                        id = message.id,
                        sequence = message.sequence,
                        "message from the firmware"
                    );
                    messages(&message);
                }
            }
            Ok(()) | Err(TransferError::Cancelled | TransferError::Shutdown) => {}
            Err(_) => receiver.transfer_failed(),
        }
        status
    }
}
