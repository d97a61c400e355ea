//! [`FakeBus`]: a register RAM that logs what is done to it, for unit tests of the driver's parts.

use core::cell::RefCell;
use core::future::ready;
use core::time::Duration;
use std::collections::HashMap;
use std::rc::Rc;

use airlift_hcd::TransferError;

use super::{Bus, Local};

/// One thing that was done to the bus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// A read of so many bytes.
    Read(u16, u16),
    /// A write.
    Write(u16, Vec<u8>),
    /// A wait for posted writes.
    Flush,
    /// Time passing.
    Sleep(Duration),
}

type Answer = Box<dyn FnMut(u32) -> u32>;

#[derive(Default)]
struct Inner {
    ram: HashMap<u16, u8>,
    log: Vec<Op>,
    failing: HashMap<u16, TransferError>,
    answers: HashMap<u16, Answer>,
    posted: Option<(u16, TransferError)>,
}

/// A register RAM behind [`Bus`]. Every transfer ends at once; time is only logged.
#[derive(Clone, Default)]
pub(crate) struct FakeBus {
    inner: Rc<RefCell<Inner>>,
}

impl FakeBus {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets bytes behind the driver's back.
    pub(crate) fn poke(&self, addr: u16, data: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        for (at, byte) in (addr..=u16::MAX).zip(data) {
            inner.ram.insert(at, *byte);
        }
    }

    /// The 32-bit value at `addr`; nothing is beyond the last address.
    pub(crate) fn peek(&self, addr: u16) -> u32 {
        let inner = self.inner.borrow();
        (0..4)
            .rev()
            .map(|n| addr.checked_add(n).and_then(|at| inner.ram.get(&at)).copied().unwrap_or(0))
            .fold(0, |value, byte| value << 8 | u32::from(byte))
    }

    /// From now on reads at `addr` give `answer` of what the RAM holds.
    pub(crate) fn answer(&self, addr: u16, answer: impl FnMut(u32) -> u32 + 'static) {
        self.inner.borrow_mut().answers.insert(addr, Box::new(answer));
    }

    /// From now on transfers at `addr` fail.
    pub(crate) fn fail(&self, addr: u16, error: TransferError) {
        self.inner.borrow_mut().failing.insert(addr, error);
    }

    /// From now on transfers at `addr` succeed again.
    pub(crate) fn heal(&self, addr: u16) {
        self.inner.borrow_mut().failing.remove(&addr);
    }

    /// What was done since the last call.
    pub(crate) fn take_log(&self) -> Vec<Op> {
        core::mem::take(&mut self.inner.borrow_mut().log)
    }

    /// The writes since the last call, with their values.
    pub(crate) fn take_writes(&self) -> Vec<(u16, Vec<u8>)> {
        self.take_log()
            .into_iter()
            .filter_map(|op| match op {
                Op::Write(addr, data) => Some((addr, data)),
                _ => None,
            })
            .collect()
    }

    fn store(&self, addr: u16, data: &[u8]) -> Result<(), TransferError> {
        self.inner.borrow_mut().log.push(Op::Write(addr, data.to_vec()));
        if let Some(error) = self.inner.borrow().failing.get(&addr) {
            return Err(*error);
        }
        self.poke(addr, data);
        Ok(())
    }
}

impl Bus for FakeBus {
    fn read(&self, addr: u16, length: u16) -> Local<Result<u32, TransferError>> {
        let held = self.peek(addr) & u32::MAX >> (32 - 8 * length);
        let mut inner = self.inner.borrow_mut();
        inner.log.push(Op::Read(addr, length));
        let result = match inner.failing.get(&addr) {
            Some(error) => Err(*error),
            None => Ok(match inner.answers.get_mut(&addr) {
                Some(answer) => answer(held),
                None => held,
            }),
        };
        Box::pin(ready(result))
    }

    fn write(&self, addr: u16, data: &[u8]) -> Local<Result<(), TransferError>> {
        Box::pin(ready(self.store(addr, data)))
    }

    fn post(&self, addr: u16, data: &[u8]) {
        if let Err(error) = self.store(addr, data) {
            self.inner.borrow_mut().posted.get_or_insert((addr, error));
        }
    }

    fn flush(&self) -> Local<Result<(), (u16, TransferError)>> {
        self.inner.borrow_mut().log.push(Op::Flush);
        let failed = self.inner.borrow_mut().posted.take();
        Box::pin(ready(failed.map_or(Ok(()), Err)))
    }

    fn sleep(&self, time: Duration) -> Local<()> {
        self.inner.borrow_mut().log.push(Op::Sleep(time));
        Box::pin(ready(()))
    }
}
