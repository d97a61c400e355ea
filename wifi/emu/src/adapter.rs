//! [`Adapter`]: an emulated adapter as a USB function, its [`Builder`], and the names under which to begin.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use airlift_hcd::{
    Departure, Descriptors, FunctionUrb, Reply, Setup, Speed, Submit, TransferError, UrbId, UsbFunction,
};

use crate::chip::{Chip, Host, Options, Outgoing};
use crate::descriptors;
use crate::model::Endpoint;
use crate::probe::Shared;
use crate::{Air, Efuse, Model, Personality, Probe, ResetValues, Rule};

/// The vendor request that reads and writes registers.
const REGISTER_REQUEST: u8 = 0x05;
/// The longest block that one request writes.
const LONGEST_BLOCK: usize = 254;

/// The RTL8812AU: two antennas, USB 3.
///
/// ```
/// use airlift_emu::{Air, Rtl8812au};
///
/// let adapter = Rtl8812au::builder().air(&Air::default_scene(1)).build();
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Rtl8812au;

impl Rtl8812au {
    /// A healthy adapter at high speed, strict, with an ordinary EFUSE, out of anybody's reach.
    pub fn builder() -> Builder {
        Model::Rtl8812au.builder()
    }
}

/// The RTL8821AU, or RTL8811AU: one antenna, USB 2.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Rtl8821au;

impl Rtl8821au {
    /// A healthy adapter, strict, with an ordinary EFUSE, out of anybody's reach.
    pub fn builder() -> Builder {
        Model::Rtl8821au.builder()
    }
}

/// The RTL8814AU: four antennas, USB 3.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Rtl8814au;

impl Rtl8814au {
    /// A healthy adapter at high speed, strict, with an ordinary EFUSE, out of anybody's reach.
    pub fn builder() -> Builder {
        Model::Rtl8814au.builder()
    }
}

/// An emulated adapter: give it to a host controller, keep its [`Probe`].
///
/// [`Rtl8812au::builder`] and its like begin one, or [`Model::builder`] where the model is chosen at run time.
#[derive(Debug)]
pub struct Adapter {
    chip: Shared,
    model: Model,
    identity: (u16, u16),
    /// Bulk IN: the host waits for received packets.
    receivers: VecDeque<FunctionUrb>,
    /// Bulk OUT: frames for which there was no room yet, in the order in which they came.
    senders: VecDeque<FunctionUrb>,
    /// Whatever is never answered.
    parked: Vec<FunctionUrb>,
}

/// What an [`Adapter`] is to be like.
#[derive(Clone, Debug)]
pub struct Builder {
    options: Options,
    air: Option<Air>,
    position_m: [f32; 2],
    identity: (u16, u16),
}

impl Adapter {
    /// Its model.
    pub fn model(&self) -> Model {
        self.model
    }

    /// A handle to look into the chip.
    pub fn probe(&self) -> Probe {
        Probe { chip: Arc::clone(&self.chip) }
    }

    fn chip(&self) -> MutexGuard<'_, Chip> {
        self.chip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&mut self, now: Duration, urb: FunctionUrb) -> Submit {
        let mut chip = self.chip();
        if chip.is_silent() {
            drop(chip);
            self.parked.push(urb);
            return Submit::Parked;
        }
        chip.begin_transfer(now);
        let Some(setup) = urb.setup() else { return urb.fail(TransferError::Invalid).into() };
        let reply = if setup.is_in() { read(&mut chip, setup, urb) } else { write(&mut chip, setup, urb) };
        reply.into()
    }
}

/// A read: 1, 2 or 4 bytes at `wValue`.
fn read(chip: &mut Chip, setup: Setup, urb: FunctionUrb) -> Reply {
    let length = usize::from(setup.length);
    let form = setup.request_type == 0xc0 && setup.request == REGISTER_REQUEST && setup.index == 0;
    if !form || !matches!(length, 1 | 2 | 4) {
        chip.admit(Some(Rule::UnknownRequest), setup.value, None);
        return urb.fail(TransferError::Stall);
    }
    let broken = chip.broken_rule(setup.value, Host::Read(length));
    if !chip.admit(broken, setup.value, None) {
        return urb.fail(TransferError::Stall);
    }
    let value = chip.read(setup.value, length);
    urb.reply(&value.to_le_bytes()[..length])
}

/// A write: 1, 2 or 4 bytes, or a block of at most 254.
fn write(chip: &mut Chip, setup: Setup, urb: FunctionUrb) -> Reply {
    let data = urb.data();
    let head = data.iter().take(4).rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
    let form = setup.request_type == 0x40 && setup.request == REGISTER_REQUEST && setup.index == 0;
    let fits = (1..=LONGEST_BLOCK).contains(&data.len()) && data.len() == usize::from(setup.length);
    if !form || !fits || usize::from(setup.value) + data.len() > 0x1_0000 {
        chip.admit(Some(Rule::UnknownRequest), setup.value, Some(head));
        return urb.fail(TransferError::Stall);
    }
    let arriving = chip.as_bent(setup.value, data);
    let broken = chip.broken_rule(setup.value, Host::Write(&arriving));
    if !chip.admit(broken, setup.value, Some(head)) {
        return urb.fail(TransferError::Stall);
    }
    chip.write(setup.value, &arriving);
    urb.ok()
}

impl UsbFunction for Adapter {
    fn descriptors(&self) -> Descriptors {
        descriptors::descriptors(&self.model.facts().usb, self.identity, self.chip().speed)
    }

    fn departs(&mut self, _now: Duration) -> Option<Departure> {
        self.chip().departs()
    }

    fn plugged(&mut self, now: Duration, waker: Waker) {
        self.receivers.clear();
        self.senders.clear();
        self.parked.clear();
        let mut chip = self.chip();
        chip.advance_to(now);
        chip.plugged();
        chip.set_waker(waker);
    }

    fn submit(&mut self, now: Duration, urb: FunctionUrb) -> Submit {
        if matches!(urb.endpoint(), 0x00 | 0x80) {
            return self.control(now, urb);
        }
        match self.model.facts().usb.kind(urb.endpoint()) {
            Some(Endpoint::BulkIn(_)) => {
                self.receivers.push_back(urb);
                Submit::Parked
            }
            Some(Endpoint::InterruptIn(_)) => {
                self.parked.push(urb);
                Submit::Parked
            }
            Some(Endpoint::BulkOut(_)) => {
                self.chip().advance_to(now);
                if self.senders.is_empty() && !self.chip().is_silent() {
                    match self.chip().send(&urb) {
                        Outgoing::Done(Ok(())) => return urb.ok().into(),
                        Outgoing::Done(Err(error)) => return urb.fail(error).into(),
                        Outgoing::Wait => {}
                    }
                }
                self.senders.push_back(urb);
                Submit::Parked
            }
            None => urb.fail(TransferError::Invalid).into(),
        }
    }

    fn poll(&mut self, now: Duration) -> Option<Reply> {
        let mut chip = self.chip.lock().unwrap_or_else(PoisonError::into_inner);
        chip.advance_to(now);
        if let Some(urb) = self.senders.pop_front() {
            let outcome = if chip.is_silent() { Outgoing::Wait } else { chip.send(&urb) };
            match outcome {
                Outgoing::Done(Ok(())) => return Some(urb.ok()),
                Outgoing::Done(Err(error)) => return Some(urb.fail(error)),
                Outgoing::Wait => self.senders.push_front(urb),
            }
        }
        if chip.is_silent() || !chip.has_delivery() {
            return None;
        }
        let urb = self.receivers.pop_front()?;
        Some(chip.deliver(urb))
    }

    fn next_deadline(&self) -> Option<Duration> {
        let chip = self.chip();
        if chip.is_silent() { None } else { chip.deadline(!self.receivers.is_empty()) }
    }

    fn cancel(&mut self, id: UrbId) -> Option<FunctionUrb> {
        for queue in [&mut self.receivers, &mut self.senders] {
            if let Some(at) = queue.iter().position(|urb| urb.id() == id) {
                return queue.remove(at);
            }
        }
        let at = self.parked.iter().position(|urb| urb.id() == id)?;
        Some(self.parked.remove(at))
    }

    fn reset(&mut self, now: Duration) {
        let mut chip = self.chip();
        chip.advance_to(now);
        chip.bus_reset();
    }
}

impl Builder {
    pub(crate) fn new(model: Model) -> Self {
        Self {
            options: Options {
                model,
                efuse: Efuse::ordinary_of(model),
                strict: true,
                cut: model.facts().registers.cut,
                seed: 0,
                speed: Speed::High,
                usb3_port: false,
                reset_values: ResetValues::Zero,
                bluetooth: false,
                personalities: Vec::new(),
            },
            air: None,
            position_m: [0.0, 0.0],
            identity: model.identity(),
        }
    }

    /// The model that is built.
    pub fn model(&self) -> Model {
        self.options.model
    }

    /// The fuses; [`Efuse::ordinary_of`] the model unless told otherwise. They are bytes: those made for another
    /// model are read as they stand.
    #[must_use]
    pub fn efuse(mut self, efuse: Efuse) -> Self {
        self.options.efuse = efuse;
        self
    }

    /// The air that it hears and is heard on; none unless told otherwise.
    #[must_use]
    pub fn air(mut self, air: &Air) -> Self {
        self.air = Some(air.clone());
        self
    }

    /// Where it stands in that air, in metres; at the origin unless told otherwise.
    #[must_use]
    pub fn position_m(mut self, position_m: [f32; 2]) -> Self {
        self.position_m = position_m;
        self
    }

    /// Whether an access that breaks a [`Rule`] stalls (it is noted in any case). On unless told otherwise.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.options.strict = strict;
        self
    }

    /// A fault; several add up.
    #[must_use]
    pub fn personality(mut self, personality: Personality) -> Self {
        self.options.personalities.push(personality);
        self
    }

    /// What makes this adapter differ from others of its kind: its calibration's numbers, its temperature.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// The speed at which it connects; high unless told otherwise, and at most for a chip that has no USB 3.
    #[must_use]
    pub fn speed(mut self, speed: Speed) -> Self {
        let at_most_high = speed == Speed::Super && !self.options.model.facts().usb.super_speed;
        self.options.speed = if at_most_high { Speed::High } else { speed };
        self
    }

    /// Whether the port that it sits in could do super speed, so that a switch of the USB mode succeeds; it could not
    /// unless told otherwise. A driver does that with an adapter whose [EFUSE](Efuse::with_usb3_switch) asks for it: it
    /// drops off the bus, and comes back at super speed, or in a port without at high speed again.
    #[must_use]
    pub fn usb3_port(mut self, usb3_port: bool) -> Self {
        self.options.usb3_port = usb3_port;
        self
    }

    /// What registers hold before anybody writes them; zero unless told otherwise.
    #[must_use]
    pub fn reset_values(mut self, values: ResetValues) -> Self {
        self.options.reset_values = values;
        self
    }

    /// Whether the Bluetooth part of an RTL8821AU is in use, as the chip tells; it is not unless told otherwise. The
    /// others have none: of a board's, their [EFUSE](crate::efuse::offset::RF_BOARD_OPTION) tells.
    #[must_use]
    pub fn bluetooth(mut self, bluetooth: bool) -> Self {
        self.options.bluetooth = bluetooth;
        self
    }

    /// The cut as the version register tells it: 1 unless told otherwise, which a driver calls B, or C for the
    /// RTL8812AU.
    #[must_use]
    pub fn cut(mut self, cut: u8) -> Self {
        self.options.cut = cut;
        self
    }

    /// USB vendor and product identity; those of Realtek's own adapter unless told otherwise.
    #[must_use]
    pub fn identity(mut self, vendor: u16, product: u16) -> Self {
        self.identity = (vendor, product);
        self
    }

    /// The adapter.
    pub fn build(self) -> Adapter {
        let model = self.options.model;
        let mut chip = Chip::new(self.options);
        if let Some(air) = &self.air {
            chip.join(air, self.position_m);
        }
        Adapter {
            model,
            chip: Arc::new(Mutex::new(chip)),
            identity: self.identity,
            receivers: VecDeque::new(),
            senders: VecDeque::new(),
            parked: Vec::new(),
        }
    }
}
