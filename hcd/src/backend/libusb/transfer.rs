//! [`Transfer`]: one URB in libusb's hands. The only file of the crate with unsafe code.
//!
//! A transfer owns the memory that libusb (and the kernel below it) reads and writes, and libusb's own record of
//! it. While it is in flight libusb holds a reference on it, so that nothing of it can be freed or moved whoever
//! drops what; the callback takes that reference back. Who may touch the memory follows from the state:
//!
//! ```text
//!   IDLE ──start──► STARTING ──► FLYING ──callback──► DONE    memory: owner │ libusb │ nobody (taken by the callback)
//!    ▲▲───refused──────┘                               │
//!    │└──reclaim──► DONE                               │
//!    └─────────────────────prepare─────────────────────┘
//! ```
//!
//! The callback may come while it is still `STARTING`. A transfer that is cancelled then is `RECALLED`, and `start`
//! cancels it as soon as libusb has it: libusb may not be asked to cancel what it is just taking.
//!
//! | state | memory may be touched by |
//! |---|---|
//! | `IDLE` | the one who moves it on: `start`, `reclaim` |
//! | `STARTING`, `RECALLED`, `FLYING` | libusb until it calls back, then the callback alone |
//! | `DONE` | nobody; it was handed on |
//!
//! A transfer that is `DONE` and that nobody else holds may be [prepared](Transfer::prepare) for another URB, so that
//! libusb's record and the memory of control transfers are made once and not for each URB.
//!
//! AddressSanitizer (with its leak check) found nothing in two rounds of `libusb_overhead` on a device that the kernel
//! of a virtual machine had enumerated, some 9,700 transfers of endpoint 0 and bulk-in; libusb's own code was not
//! instrumented, so that of it only calls to the C library were checked:
//!
//! ```text
//! RUSTFLAGS=-Zsanitizer=address cargo +nightly build --target x86_64-unknown-linux-gnu -p airlift-hcd \
//!     --example libusb_overhead
//! AIRLIFT_LIBUSB_BENCH=target/x86_64-unknown-linux-gnu/debug/examples/libusb_overhead \
//!     tests/mainline/run.sh --libusb-bench
//! ```
//!
//! Neighbours: [`schedule`](super::schedule) decides when a transfer starts and is cancelled, and hears of its end.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering};
use std::ffi::{c_int, c_void};
use std::sync::Arc;

use bytes::BytesMut;
use rusb::ffi::{self, libusb_transfer};
use rusb::{Context, DeviceHandle};

use super::status;
use crate::backend::FlatUrb;
use crate::descriptor::TransferType;
use crate::function::{Reply, UrbId};
use crate::setup::Setup;
use crate::status::TransferError;

const IDLE: u8 = 0;
const FLYING: u8 = 1;
const STARTING: u8 = 3;
const RECALLED: u8 = 4;
const DONE: u8 = 2;

/// A control transfer's memory that is larger is not kept.
const SPARE_SIZE: usize = 1_024;

/// Bytes of the set-up packet, which libusb wants in front of a control transfer's data.
const SETUP: usize = 8;

/// Hears of ended transfers, on the thread that handles libusb's events. It must not panic.
pub(super) trait Ended: Send + Sync + 'static {
    fn ended(&self, reply: Reply);
}

/// See the module's documentation.
pub(super) struct Transfer<E: Ended> {
    /// libusb's record. Never null, ours alone, freed when this is dropped.
    raw: NonNull<libusb_transfer>,
    /// Keeps the device open, and with it libusb's context, for as long as the record lives.
    handle: Arc<DeviceHandle<Context>>,
    owner: Arc<E>,
    id: UrbId,
    is_in: bool,
    is_control: bool,
    length: usize,
    state: AtomicU8,
    memory: UnsafeCell<Memory>,
}

/// What libusb reads and writes.
struct Memory {
    /// The URB's buffer, which goes back to the submitter.
    buffer: BytesMut,
    /// Set-up packet and data of a control transfer; the data is copied from or to `buffer`. Of another transfer: what
    /// an earlier one left.
    control: Vec<u8>,
}

// SAFETY: `raw` points to memory of libusb's that any thread may use (libusb guards it by its own locks, and this
// type writes to it only before it is shared or while the state is STARTING, in which one thread alone has it), and the
// other fields are `Send`. The record is freed by the thread that drops the last reference, which libusb allows.
unsafe impl<E: Ended> Send for Transfer<E> {}

// SAFETY: shared access reaches `raw` only through libusb's submit and cancel, which lock; and `memory` only by
// the rule of the table above: `state` moves by compare-and-swap, and each move has exactly one winner, who alone
// touches the memory afterwards. The orderings make the loser's and the callback's view follow the winner's.
unsafe impl<E: Ended> Sync for Transfer<E> {}

impl<E: Ended> Transfer<E> {
    /// Lays an URB out for libusb, in the record of a transfer of the same device that is over if there is one.
    ///
    /// # Errors
    /// Why it cannot be, with the URB's buffer.
    pub(super) fn prepare(
        spare: Option<Arc<Self>>,
        urb: FlatUrb,
        handle: &Arc<DeviceHandle<Context>>,
        owner: &Arc<E>,
    ) -> Result<Arc<Self>, (TransferError, BytesMut)> {
        let is_in = urb.is_in();
        let FlatUrb { id, transfer_type, endpoint, setup, mut buffer, length, zero_packet } = urb;
        let kind = match transfer_type {
            TransferType::Control => rusb::constants::LIBUSB_TRANSFER_TYPE_CONTROL,
            TransferType::Bulk => rusb::constants::LIBUSB_TRANSFER_TYPE_BULK,
            TransferType::Interrupt => rusb::constants::LIBUSB_TRANSFER_TYPE_INTERRUPT,
            TransferType::Isochronous => return Err((TransferError::Isochronous, buffer)),
        };
        if (transfer_type == TransferType::Control) != setup.is_some() {
            return Err((TransferError::Invalid, buffer));
        }
        let length = setup.map_or(length, |setup| usize::from(setup.length));
        let size = if setup.is_some() { SETUP + length } else { length };
        let Ok(size) = c_int::try_from(size) else { return Err((TransferError::Invalid, buffer)) };
        if !is_in && buffer.len() != length {
            return Err((TransferError::Invalid, buffer));
        }
        // One that a thread still looks at, at the end of its submission say, is of no use.
        let spare = spare.filter(|spare| Arc::strong_count(spare) == 1);
        let Some(mut transfer) = spare.or_else(|| Self::new(handle, owner)) else {
            return Err((TransferError::NoMemory, buffer));
        };
        let Some(this) = Arc::get_mut(&mut transfer) else { return Err((TransferError::NoMemory, buffer)) };
        (this.id, this.is_in, this.length, this.is_control) = (id, is_in, length, setup.is_some());
        *this.state.get_mut() = IDLE;
        let Memory { buffer: held, control } = this.memory.get_mut();
        if let Some(setup) = setup {
            lay_out_control(control, setup, is_in, &buffer);
        }
        if is_in {
            buffer.clear();
            // A control transfer's data arrives in its own memory first.
            buffer.reserve(length);
        }
        *held = buffer;
        let data = match setup {
            Some(_) => control.as_mut_ptr(),
            // The room for an IN transfer is the buffer's spare part: it is empty.
            None => held.as_mut_ptr(),
        };
        // SAFETY: `raw` was allocated by libusb, and `this` is the only reference on the transfer: nobody else has
        // the record, and it is not submitted, because a flying transfer holds a reference. `data` points to `size`
        // bytes that may be read and written (to the reserved capacity of an empty buffer for IN, to `length`
        // initialized bytes for OUT, to all of `control`); they are heap memory that stays where it is, because until
        // the state is DONE nobody touches `memory`.
        unsafe {
            let record = this.raw.as_ptr();
            (*record).dev_handle = this.handle.as_raw();
            (*record).flags = if zero_packet { rusb::constants::LIBUSB_TRANSFER_ADD_ZERO_PACKET } else { 0 };
            (*record).endpoint = if setup.is_some() { 0 } else { endpoint };
            (*record).transfer_type = kind;
            // The controller keeps the time limits, by the kernel core's clock.
            (*record).timeout = 0;
            (*record).buffer = data;
            (*record).length = size;
            (*record).callback = on_end::<E>;
            (*record).num_iso_packets = 0;
        }
        Ok(transfer)
    }

    /// A transfer of no URB yet; `None` without memory.
    fn new(handle: &Arc<DeviceHandle<Context>>, owner: &Arc<E>) -> Option<Arc<Self>> {
        // SAFETY: a plain allocation; no isochronous packets.
        let raw = NonNull::new(unsafe { ffi::libusb_alloc_transfer(0) })?;
        Some(Arc::new(Self {
            raw,
            handle: handle.clone(),
            owner: owner.clone(),
            id: UrbId(0),
            is_in: false,
            is_control: false,
            length: 0,
            state: AtomicU8::new(DONE),
            memory: UnsafeCell::new(Memory { buffer: BytesMut::new(), control: Vec::new() }),
        }))
    }

    /// Gives the transfer to libusb. The callback may come before this returns, on libusb's event thread.
    ///
    /// # Errors
    /// libusb refuses it: there will be no callback, and [`reclaim`](Self::reclaim) gives the buffer back.
    pub(super) fn start(self: &Arc<Self>) -> Result<(), TransferError> {
        let begun = self.state.compare_exchange(IDLE, STARTING, Ordering::AcqRel, Ordering::Relaxed);
        if begun.is_err() {
            return Err(TransferError::Invalid);
        }
        // The reference that libusb holds while the transfer is in flight.
        let held = Arc::into_raw(self.clone());
        // SAFETY: the record is complete but for the reference, and belongs to no flight: the state was IDLE and
        // this call made it STARTING, in which nobody else touches it before libusb calls back. Its device is open:
        // `handle` says so and outlives the record. Memory and record live until the callback, by `held`.
        let code = unsafe {
            (*self.raw.as_ptr()).user_data = held.cast_mut().cast::<c_void>();
            ffi::libusb_submit_transfer(self.raw.as_ptr())
        };
        if code == 0 {
            let recalled = self.state.compare_exchange(STARTING, FLYING, Ordering::AcqRel, Ordering::Acquire);
            // Neither of the two holds if it has ended already.
            if recalled == Err(RECALLED)
                && self.state.compare_exchange(RECALLED, FLYING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                self.cancel();
            }
            return Ok(());
        }
        // SAFETY: `held` came from `into_raw` above, and libusb, which refused, will not call back for it.
        drop(unsafe { Arc::from_raw(held) });
        self.state.store(IDLE, Ordering::Release);
        Err(status::refused(code))
    }

    /// Asks libusb to give the transfer back early. It comes through the callback as ever; without effect unless it
    /// is in flight.
    pub(super) fn cancel(&self) {
        // One that is on its way to libusb is recalled by `start`, when libusb has it.
        let state = self.state.compare_exchange(STARTING, RECALLED, Ordering::AcqRel, Ordering::Acquire);
        if state == Err(FLYING) {
            // SAFETY: the record is alive, as `self` is, and its submission is over, as FLYING says. Whether the
            // transfer is still in flight libusb knows; the result says just that.
            unsafe { ffi::libusb_cancel_transfer(self.raw.as_ptr()) };
        }
    }

    /// The buffer of a transfer that is not in flight; empty if it was handed on before.
    pub(super) fn reclaim(&self) -> BytesMut {
        match self.state.compare_exchange(IDLE, DONE, Ordering::AcqRel, Ordering::Relaxed) {
            // SAFETY: the state was IDLE and this call made it DONE, so that libusb does not have the memory and
            // nobody else will touch it.
            Ok(_) => core::mem::take(unsafe { &mut (*self.memory.get()).buffer }),
            Err(_) => BytesMut::new(),
        }
    }

    /// libusb has let go of the transfer: its end, with the buffer.
    fn reply(&self, status: c_int, actual: c_int) -> Reply {
        // What a device or a kernel claims to have moved is never more than was asked for.
        let actual = usize::try_from(actual).unwrap_or(0).min(self.length);
        // SAFETY: called by the callback alone, once for each flight: libusb is done with the memory, and the
        // state is still that of a flight, in which nobody else touches it.
        let Memory { buffer, control } = unsafe { &mut *self.memory.get() };
        let mut buffer = core::mem::take(buffer);
        if self.is_in {
            if self.is_control {
                buffer.extend_from_slice(&control[SETUP..SETUP + actual]);
            } else {
                // SAFETY: libusb wrote `actual` bytes from the buffer's start on, and `actual` is at most `length`,
                // for which room was reserved.
                unsafe { buffer.set_len(actual) };
            }
        }
        if control.capacity() > SPARE_SIZE {
            *control = Vec::new();
        }
        self.state.store(DONE, Ordering::Release);
        Reply { id: self.id, status: status::ended(status).map(|()| actual), buffer }
    }
}

impl<E: Ended> Drop for Transfer<E> {
    fn drop(&mut self) {
        // SAFETY: the record came from `libusb_alloc_transfer` and is freed here alone. It is not in flight: a
        // flying transfer holds a reference on this, which is being dropped. The context is alive, by `handle`,
        // whose field is dropped after this.
        unsafe { ffi::libusb_free_transfer(self.raw.as_ptr()) };
    }
}

/// Called by libusb, on the thread that handles its events, when it gives a transfer back.
extern "system" fn on_end<E: Ended>(record: *mut libusb_transfer) {
    // SAFETY: libusb calls this once for each flight with the record that was submitted, and `user_data` is the
    // pointer of the reference that `start` made for it with `into_raw`; taking it back ends libusb's hold. The
    // record's fields are libusb's result, and it is alive: this reference keeps it.
    let (transfer, status, actual) = unsafe {
        let transfer = Arc::from_raw((*record).user_data.cast::<Transfer<E>>().cast_const());
        (transfer, (*record).status, (*record).actual_length)
    };
    let reply = transfer.reply(status, actual);
    transfer.owner.ended(reply);
}

/// Set-up packet and data stage in one piece, as libusb wants them.
fn lay_out_control(memory: &mut Vec<u8>, setup: Setup, is_in: bool, data: &[u8]) {
    memory.clear();
    memory.extend_from_slice(&setup.to_bytes());
    if !is_in {
        memory.extend_from_slice(data);
    }
    // What is sent has this length already.
    memory.resize(SETUP + usize::from(setup.length), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(before: &[u8], setup: Setup, is_in: bool, data: &[u8]) -> Vec<u8> {
        let mut memory = before.to_vec();
        lay_out_control(&mut memory, setup, is_in, data);
        memory
    }

    #[test]
    fn h1_a_control_transfer_stands_behind_its_setup_packet() {
        let out = laid_out(&[], Setup::vendor_out(5, 0x0102, 0, 3), false, &[7, 8, 9]);
        assert_eq!(*out, [0x40, 5, 2, 1, 0, 0, 3, 0, 7, 8, 9]);
        let read = laid_out(&[], Setup::vendor_in(5, 0x0102, 0, 4), true, &[]);
        assert_eq!(*read, [0xc0, 5, 2, 1, 0, 0, 4, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn h1_memory_that_is_used_again_holds_nothing_of_the_transfer_before() {
        let read = laid_out(&[0xee; 64], Setup::vendor_in(5, 0x0102, 0, 4), true, &[]);
        assert_eq!(*read, [0xc0, 5, 2, 1, 0, 0, 4, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn h1_data_that_does_not_match_the_setup_packet_stays_inside_the_transfer() {
        assert_eq!(laid_out(&[], Setup::vendor_out(5, 0, 0, 1), false, &[7, 8, 9]).len(), SETUP + 1);
        assert_eq!(laid_out(&[], Setup::vendor_out(5, 0, 0, 4), false, &[7])[SETUP..], [7, 0, 0, 0]);
    }
}
