//! [`Meddled`]: a device with a [`Meddler`] on its cable, who sees each URB before the device does and each answer
//! before the host does.

use core::task::Waker;
use core::time::Duration;

use airlift_hcd::{Departure, Descriptors, FunctionUrb, Reply, Setup, Submit, UrbId, UsbFunction};

/// Who meddles. By itself it lets everything pass.
pub trait Meddler: Send + 'static {
    /// Lets an URB pass, or ends it before the device sees it.
    ///
    /// # Errors
    /// The end of an URB that does not pass.
    fn urb(&mut self, urb: FunctionUrb) -> Result<FunctionUrb, Reply> {
        Ok(urb)
    }

    /// Changes the device's answer; `setup` is that of a control transfer that was answered without delay.
    fn answer(&mut self, setup: Option<Setup>, reply: &mut Reply) {
        let _ = (setup, reply);
    }
}

/// A device with a meddler on its cable.
#[derive(Debug)]
pub struct Meddled<F, M> {
    device: F,
    meddler: M,
}

impl<F: UsbFunction, M: Meddler> Meddled<F, M> {
    /// Puts `meddler` between `device` and its host.
    pub fn new(device: F, meddler: M) -> Self {
        Self { device, meddler }
    }
}

impl<F: UsbFunction, M: Meddler> UsbFunction for Meddled<F, M> {
    fn descriptors(&self) -> Descriptors {
        self.device.descriptors()
    }

    fn departs(&mut self, now: Duration) -> Option<Departure> {
        self.device.departs(now)
    }

    fn plugged(&mut self, now: Duration, waker: Waker) {
        self.device.plugged(now, waker);
    }

    fn submit(&mut self, now: Duration, urb: FunctionUrb) -> Submit {
        let setup = urb.setup();
        let urb = match self.meddler.urb(urb) {
            Ok(urb) => urb,
            Err(reply) => return reply.into(),
        };
        let mut submit = self.device.submit(now, urb);
        if let Submit::Done(reply) | Submit::After(_, reply) = &mut submit {
            self.meddler.answer(setup, reply);
        }
        submit
    }

    fn poll(&mut self, now: Duration) -> Option<Reply> {
        let mut reply = self.device.poll(now)?;
        self.meddler.answer(None, &mut reply);
        Some(reply)
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.device.next_deadline()
    }

    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        self.device.cancel(id)
    }

    fn set_configuration(&mut self, now: Duration, value: u8) {
        self.device.set_configuration(now, value);
    }

    fn reset(&mut self, now: Duration) {
        self.device.reset(now);
    }
}
