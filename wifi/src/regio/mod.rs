//! [`Regs`]: the chip's registers over the control endpoint.
//!
//! Reads are futures; writes are *posted*: submitted in order on the control endpoint, which carries transfers
//! first in, first out, and not waited for. [`Regs::barrier`] waits for them and tells the first that failed, by
//! register. Reads that do not depend on each other are started together ([`Regs::start_read`]) and awaited after.
//! A read-modify-write of a register that the host alone changes takes the old value from a *shadow*: which
//! registers those are is data of the chip ([`ShadowPolicy`]), and everything else is read from the chip each time.
//!
//! With [`Io::Serial`] every transfer is waited for, and nothing is answered from the shadow's absence of a
//! round trip that the posted way would not also have made: both ways leave the chip in the same state.
//!
//! [`Regs::counts`] tells what all this has cost in transfers, and how often one had to be waited for.
//!
//! [`Bus`] is what lies below: [`hcd`](airlift_hcd) in the driver, a recording stand-in in unit tests.

#[cfg(test)]
pub(crate) mod fake;
mod field;
#[cfg(test)]
mod tests;

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use airlift_hcd::TransferError;
use airlift_regs::{Reg, Width, name_of};

use crate::chip::ShadowPolicy;
use crate::error::{Error, ErrorKind, Stage};

pub(crate) use field::FieldWrite;

/// A future that stays on the kernel's thread.
pub(crate) type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// The control endpoint and the clock, as [`Regs`] needs them.
pub(crate) trait Bus {
    /// Starts reading `length` bytes (1 to 4) at `addr`; the transfer runs before the future is polled.
    /// The value is little-endian.
    fn read(&self, addr: u16, length: u16) -> Local<Result<u32, TransferError>>;
    /// Starts writing `data` at `addr`; the transfer runs before the future is polled.
    fn write(&self, addr: u16, data: &[u8]) -> Local<Result<(), TransferError>>;
    /// Writes `data` at `addr` without anybody waiting; a failure is told by the next [`flush`](Self::flush).
    fn post(&self, addr: u16, data: &[u8]);
    /// Ends when no posted write is on its way; the first failed one's address and error.
    fn flush(&self) -> Local<Result<(), (u16, TransferError)>>;
    /// Waits; never shorter than `time`.
    fn sleep(&self, time: Duration) -> Local<()>;
}

/// Whether transfers are waited for one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Io {
    /// Writes are posted, independent reads overlap.
    #[default]
    Posted,
    /// One transfer at a time.
    Serial,
}

/// The least that a control transfer takes on the bus and in the chip's USB block when transfers follow each other
/// without a pause. Each has three stages.
const POSTED_TRANSFER: Duration = Duration::from_micros(30);

/// Of so many writes one is submitted with a handle of its own, which tells how far the device has come.
const MARK_EVERY: u32 = 16;
/// So many marks may be on their way: 64 writes at most are in flight beyond the oldest unfinished mark.
const MARKS: usize = 4;

/// Transfers that were submitted, and how they were.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Control transfers.
    pub(crate) transfers: u64,
    /// Those of them that read.
    pub(crate) reads: u64,
    /// Those that were submitted when all before them were known to have ended: each stands for a round trip that
    /// somebody waited for.
    pub(crate) waits: u64,
    /// So many transfers, the first ones, are known to have ended.
    ended: u64,
}

/// A posted write that tells how far the device has come: address, place among all transfers, its end.
type Mark = (u16, u64, Local<Result<(), TransferError>>);

/// The registers of one chip. Lives on the kernel's thread; clones share everything.
#[derive(Clone)]
pub(crate) struct Regs {
    shared: Rc<Shared>,
}

struct Shared {
    bus: Box<dyn Bus>,
    io: Io,
    policy: ShadowPolicy,
    stage: Cell<Stage>,
    shadow: RefCell<HashMap<u16, u8>>,
    bypass: Cell<bool>,
    since_mark: Cell<u32>,
    marks: RefCell<VecDeque<Mark>>,
    failed: Cell<Option<(u16, TransferError)>>,
    counts: Cell<Counts>,
    /// Place of the last write among all transfers.
    last_write: Cell<u64>,
}

/// A read on its way.
pub(crate) struct Reading<T> {
    regs: Regs,
    addr: u16,
    /// Its place among all transfers.
    place: u64,
    pending: Local<Result<u32, TransferError>>,
    width: core::marker::PhantomData<T>,
}

impl<T: Width> Reading<T> {
    /// The value.
    pub(crate) async fn value(self) -> Result<T, Error> {
        let result = self.pending.await;
        self.regs.ended(self.place);
        match result {
            Ok(value) => {
                self.regs.note(self.addr, T::BYTES, value);
                Ok(T::truncate(value))
            }
            Err(source) => Err(self.regs.transfer_error("reading", self.addr, source)),
        }
    }
}

impl core::fmt::Debug for Regs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Regs")
            .field("io", &self.shared.io)
            .field("stage", &self.shared.stage.get())
            .finish_non_exhaustive()
    }
}

impl Regs {
    pub(crate) fn new(bus: impl Bus + 'static, io: Io, policy: ShadowPolicy) -> Self {
        Self {
            shared: Rc::new(Shared {
                bus: Box::new(bus),
                io,
                policy,
                stage: Cell::new(Stage::Power),
                shadow: RefCell::default(),
                bypass: Cell::new(false),
                since_mark: Cell::new(0),
                marks: RefCell::default(),
                failed: Cell::new(None),
                counts: Cell::default(),
                last_write: Cell::new(0),
            }),
        }
    }

    /// Errors from here on belong to `stage`.
    pub(crate) fn enter(&self, stage: Stage) {
        self.shared.stage.set(stage);
    }

    /// The stage that errors belong to.
    pub(crate) fn stage(&self) -> Stage {
        self.shared.stage.get()
    }

    /// An error of `kind` at the current stage.
    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(self.stage(), kind)
    }

    /// Whether transfers are waited for one by one.
    pub(crate) fn is_serial(&self) -> bool {
        self.shared.io == Io::Serial
    }

    /// What was submitted so far. Like the sequence of transfers it depends on nothing but what the chip answers.
    pub(crate) fn counts(&self) -> Counts {
        self.shared.counts.get()
    }

    /// Counts a transfer that is submitted now; its place among all.
    fn submitted(&self, reads: bool) -> u64 {
        let mut counts = self.shared.counts.get();
        counts.waits += u64::from(counts.ended == counts.transfers);
        counts.transfers += 1;
        counts.reads += u64::from(reads);
        self.shared.counts.set(counts);
        counts.transfers
    }

    /// The transfer at `place` has ended, and so have all before it: the endpoint is first in, first out.
    fn ended(&self, place: u64) {
        let mut counts = self.shared.counts.get();
        counts.ended = counts.ended.max(place);
        self.shared.counts.set(counts);
    }

    // --- one register ---

    /// Reads `reg` from the chip.
    pub(crate) async fn read<T: Width>(&self, reg: Reg<T>) -> Result<T, Error> {
        self.start_read(reg).await?.value().await
    }

    /// Reads a register by address.
    pub(crate) async fn read_at<T: Width>(&self, addr: u16) -> Result<T, Error> {
        self.read(Reg::<T>::new(addr)).await
    }

    /// Submits a read of `reg`; its value comes from [`Reading::value`]. In serial mode it has already ended.
    pub(crate) async fn start_read<T: Width>(&self, reg: Reg<T>) -> Result<Reading<T>, Error> {
        let place = self.submitted(true);
        let mut pending = self.shared.bus.read(reg.addr(), T::BYTES);
        if self.is_serial() {
            let done = pending.await;
            self.ended(place);
            pending = Box::pin(core::future::ready(done));
        }
        Ok(Reading { regs: self.clone(), addr: reg.addr(), place, pending, width: core::marker::PhantomData })
    }

    /// Writes `value` to `reg`: returns when the write is submitted and few enough are in flight.
    pub(crate) async fn write<T: Width>(&self, reg: Reg<T>, value: T) -> Result<(), Error> {
        let bytes = value.into().to_le_bytes();
        self.write_block(reg.addr(), &bytes[..usize::from(T::BYTES)]).await
    }

    /// Writes a register by address.
    pub(crate) async fn write_at<T: Width>(&self, addr: u16, value: T) -> Result<(), Error> {
        self.write(Reg::<T>::new(addr), value).await
    }

    /// Writes `data` at `addr` in one transfer.
    pub(crate) async fn write_block(&self, addr: u16, data: &[u8]) -> Result<(), Error> {
        let shared = &self.shared;
        self.note_bytes(addr, data);
        let place = self.submitted(false);
        shared.last_write.set(place);
        if self.is_serial() {
            let result = shared.bus.write(addr, data).await;
            self.ended(place);
            return match result {
                Ok(()) => Ok(()),
                Err(source) => Err(self.write_failed(addr, source)),
            };
        }
        let count = shared.since_mark.get() + 1;
        if count < MARK_EVERY {
            shared.since_mark.set(count);
            shared.bus.post(addr, data);
            return Ok(());
        }
        shared.since_mark.set(0);
        let mark = shared.bus.write(addr, data);
        shared.marks.borrow_mut().push_back((addr, place, mark));
        if shared.marks.borrow().len() > MARKS {
            self.retire_mark().await;
        }
        // A write that already failed stops the sequence here rather than at the next barrier.
        match shared.failed.get() {
            Some(_) => self.barrier().await,
            None => Ok(()),
        }
    }

    /// Waits for the oldest mark: everything submitted before it has ended too.
    async fn retire_mark(&self) {
        let oldest = self.shared.marks.borrow_mut().pop_front();
        let Some((addr, place, mark)) = oldest else { return };
        let result = mark.await;
        self.ended(place);
        if let Err(source) = result
            && self.shared.failed.get().is_none()
        {
            self.shared.failed.set(Some((addr, source)));
        }
    }

    /// Writes `value` (a plain number, not yet shifted) into the field that `mask` names: the other bits keep
    /// what they hold. The old value comes from the shadow where the policy allows it, else from the chip.
    pub(crate) async fn set_field<T: Width>(&self, reg: Reg<T>, mask: T, value: T) -> Result<(), Error> {
        let (mask, value): (u32, u32) = (mask.into(), value.into());
        let full = T::truncate(u32::MAX).into();
        let field = if mask == 0 { 0 } else { (value << mask.trailing_zeros()) & mask };
        if mask == full {
            return self.write(reg, T::truncate(field)).await;
        }
        let old: u32 = self.current(reg).await?.into();
        self.write(reg, T::truncate((old & !mask) | field)).await
    }

    /// Sets `bits` of `reg`.
    pub(crate) async fn set_bits<T: Width>(&self, reg: Reg<T>, bits: T) -> Result<(), Error> {
        let old: u32 = self.current(reg).await?.into();
        self.write(reg, T::truncate(old | bits.into())).await
    }

    /// Clears `bits` of `reg`.
    pub(crate) async fn clear_bits<T: Width>(&self, reg: Reg<T>, bits: T) -> Result<(), Error> {
        let old: u32 = self.current(reg).await?.into();
        self.write(reg, T::truncate(old & !bits.into())).await
    }

    /// Changes bytes of different registers under a mask each: see [`update`](Self::update).
    pub(crate) async fn update_bytes(&self, changes: &[(u16, u8, u8)]) -> Result<(), Error> {
        self.update(changes).await
    }

    /// Changes different registers under a mask each: `(address, mask, value)`, the value in place. The old values are
    /// asked for together, then the new ones written in order. No address may come twice.
    pub(crate) async fn update<T: Width>(&self, changes: &[(u16, T, T)]) -> Result<(), Error> {
        let all: u32 = T::truncate(u32::MAX).into();
        let mut old = Vec::with_capacity(changes.len());
        for &(addr, mask, _) in changes {
            let whole = mask.into() == all;
            old.push(if whole { None } else { Some(self.start_read(Reg::<T>::new(addr)).await?) });
        }
        for (&(addr, mask, value), old) in changes.iter().zip(old) {
            let kept: u32 = match old {
                Some(reading) => reading.value().await?.into() & !mask.into(),
                None => 0,
            };
            self.write_at(addr, T::truncate(kept | (value.into() & mask.into()))).await?;
        }
        Ok(())
    }

    /// What `reg` holds: from the shadow if the host alone changes it and it is known, else from the chip.
    pub(crate) async fn current<T: Width>(&self, reg: Reg<T>) -> Result<T, Error> {
        match self.shadowed(reg.addr(), T::BYTES) {
            Some(value) => Ok(T::truncate(value)),
            None => self.read(reg).await,
        }
    }

    // --- order and time ---

    /// Ends when every write submitted so far is done. Tells the first that failed, once.
    pub(crate) async fn barrier(&self) -> Result<(), Error> {
        self.shared.since_mark.set(0);
        let last_write = self.shared.last_write.get();
        let flushed = self.shared.bus.flush().await;
        while !self.shared.marks.borrow().is_empty() {
            self.retire_mark().await;
        }
        // Reads behind the last write may still be on their way.
        self.ended(last_write);
        let marked = self.shared.failed.take();
        match flushed.err().or(marked) {
            Some((addr, source)) => Err(self.write_failed(addr, source)),
            None => Ok(()),
        }
    }

    /// Lets `time` pass between the writes before and those after: never shorter than that.
    pub(crate) async fn delay(&self, time: Duration) -> Result<(), Error> {
        self.barrier().await?;
        self.shared.bus.sleep(time).await;
        Ok(())
    }

    /// Keeps a short time between the write before and the transfer after. One control transfer takes
    /// [`POSTED_TRANSFER`] at the least, so that a shorter time needs no waiting where writes are posted; in serial
    /// mode, and for longer times, it is waited for.
    pub(crate) async fn pace(&self, time: Duration) -> Result<(), Error> {
        if self.is_serial() || time > POSTED_TRANSFER { self.delay(time).await } else { Ok(()) }
    }

    /// Reads `reg` until the bits of `mask` are `want`, every `interval`, for `timeout` at most (counted in
    /// intervals, so that a slow bus gives the chip as many looks as a fast one).
    pub(crate) async fn poll<T: Width>(
        &self,
        reg: Reg<T>,
        mask: T,
        want: T,
        interval: Duration,
        timeout: Duration,
        expected: &'static str,
    ) -> Result<T, Error> {
        let (mask, want): (u32, u32) = (mask.into(), want.into());
        let tries = (timeout.as_micros() / interval.as_micros().max(1)).max(1);
        let mut got = 0;
        for attempt in 0..=tries {
            if attempt > 0 {
                self.shared.bus.sleep(interval).await;
            }
            let value = self.read(reg).await?;
            got = value.into();
            if got & mask == want & mask {
                return Ok(value);
            }
        }
        // A write that failed is a better reason than the value that it did not bring about.
        self.barrier().await?;
        Err(self.error(ErrorKind::Timeout {
            register: reg.addr(),
            mask,
            want,
            got,
            waited_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            expected,
        }))
    }

    // --- shadow ---

    /// While `true`, nothing is answered from the shadow nor kept in it (another page of registers shows at the
    /// same addresses). Either way the shadow starts anew.
    pub(crate) fn bypass_shadow(&self, bypass: bool) {
        self.shared.bypass.set(bypass);
        self.forget();
    }

    /// Forgets all register values: the chip was reset.
    pub(crate) fn forget(&self) {
        self.shared.shadow.borrow_mut().clear();
    }

    fn shadowed(&self, addr: u16, length: u16) -> Option<u32> {
        if self.shared.bypass.get() {
            return None;
        }
        let shadow = self.shared.shadow.borrow();
        let mut value = 0;
        for n in (0..length).rev() {
            value = value << 8 | u32::from(*shadow.get(&(addr + n))?);
        }
        Some(value)
    }

    fn note(&self, addr: u16, length: u16, value: u32) {
        self.note_bytes(addr, &value.to_le_bytes()[..usize::from(length)]);
    }

    fn note_bytes(&self, addr: u16, data: &[u8]) {
        if self.shared.bypass.get() {
            return;
        }
        let mut shadow = self.shared.shadow.borrow_mut();
        for (at, &byte) in (addr..=u16::MAX).zip(data) {
            if self.shared.policy.is_host_only(at) {
                shadow.insert(at, byte);
            }
        }
    }

    /// A write that did not arrive: the shadow holds what the chip does not.
    fn write_failed(&self, addr: u16, source: TransferError) -> Error {
        self.forget();
        self.transfer_error("writing", addr, source)
    }

    fn transfer_error(&self, doing: &str, addr: u16, source: TransferError) -> Error {
        self.error(ErrorKind::Transfer { operation: format!("{doing} {}", name_of(addr)), source })
    }
}
