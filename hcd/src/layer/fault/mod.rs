//! [`Faults`]: has transfers fail as buses, devices and cables do, at the k-th or wherever a predicate says.
//!
//! A [`Fault`] strikes an URB when it is submitted; [`link`] keeps the order of each endpoint all the same: what
//! fails does so in its turn, and what a silent or slow URB holds up waits behind it, as on a bus.
//!
//! ```
//! use airlift_hcd::{Fault, Faults, TransferError};
//! let faults = Faults::new()
//!     .at(100, Fault::Fail(TransferError::Stall))
//!     .when(|target| target.endpoint == 0x81 && target.number % 5 == 0, Fault::Fail(TransferError::Protocol));
//! // controller.plug_with(function, &[&faults]);
//! # assert_eq!(faults.seen(), 0);
//! ```

mod link;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use self::link::Link;
use super::{Layer, LayerContext};
use crate::backend::{Backend, Connect, Upcall};
use crate::descriptor::TransferType;
use crate::setup::Setup;
use crate::status::TransferError;

/// What goes wrong with an URB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// It ends with this error, and the device never sees it. A stall on another endpoint than 0 halts that: what
    /// follows stalls too, until [`clear_halt`](crate::UsbDevice::clear_halt).
    Fail(TransferError),
    /// The device does it, but the host hears this error instead of the answer.
    Lose(TransferError),
    /// Nobody answers: it ends by its time limit, by being killed or with its device. The endpoint is occupied
    /// until then.
    Silence,
    /// It ends well with at most so many bytes.
    Short(usize),
    /// The device does it, and sends more than was asked for.
    Overflow,
    /// The device sees it this much later. The endpoint is occupied until then.
    Delay(Duration),
    /// The device is pulled out just now: this URB and whatever pends end with [`TransferError::Shutdown`].
    Unplug,
}

/// An URB that may be struck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FaultTarget {
    /// How many URBs came before it through this layer, and it: the first is 1. `SET_CONFIGURATION` and the like
    /// count, a reset does not.
    pub number: u64,
    /// What kind of transfer it is.
    pub transfer_type: TransferType,
    /// The endpoint's address; 0 for control transfers.
    pub endpoint: u8,
    /// The set-up packet of a control transfer.
    pub setup: Option<Setup>,
    /// Bytes to send or to receive.
    pub length: usize,
}

enum Where {
    At(u64),
    When(Box<dyn Fn(&FaultTarget) -> bool + Send + Sync>),
}

/// The fault layer: a list of rules, of which the first that fits an URB strikes it.
///
/// Clones, and all devices that it is put above, share the count of URBs.
#[derive(Clone, Default)]
#[must_use]
pub struct Faults {
    rules: Arc<Vec<(Where, Fault)>>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    seen: AtomicU64,
    struck: AtomicU64,
}

impl Faults {
    /// A layer that counts URBs and has none fail.
    pub fn new() -> Self {
        Self::default()
    }

    /// Strikes the URB of this number (see [`FaultTarget::number`]).
    ///
    /// # Panics
    /// When the layer was cloned or put above a device already.
    pub fn at(self, number: u64, fault: Fault) -> Self {
        self.rule(Where::At(number), fault)
    }

    /// Strikes every URB that fits. The predicate runs on the thread that submits.
    ///
    /// # Panics
    /// As [`at`](Self::at).
    pub fn when(self, fits: impl Fn(&FaultTarget) -> bool + Send + Sync + 'static, fault: Fault) -> Self {
        self.rule(Where::When(Box::new(fits)), fault)
    }

    fn rule(mut self, at: Where, fault: Fault) -> Self {
        Arc::get_mut(&mut self.rules).expect("rules are given before the layer is used").push((at, fault));
        self
    }

    /// URBs so far.
    pub fn seen(&self) -> u64 {
        self.counters.seen.load(Ordering::Acquire)
    }

    /// URBs that a fault has struck so far.
    pub fn struck(&self) -> u64 {
        self.counters.struck.load(Ordering::Acquire)
    }

    /// Counts an URB and says what is to become of it.
    fn judge(
        &self,
        transfer_type: TransferType,
        endpoint: u8,
        setup: Option<Setup>,
        length: usize,
    ) -> Option<Fault> {
        let number = self.counters.seen.fetch_add(1, Ordering::AcqRel) + 1;
        let target = FaultTarget { number, transfer_type, endpoint, setup, length };
        let fits = |at: &Where| match at {
            Where::At(number) => *number == target.number,
            Where::When(fits) => fits(&target),
        };
        let (_, fault) = self.rules.iter().find(|(at, _)| fits(at))?;
        self.counters.struck.fetch_add(1, Ordering::AcqRel);
        Some(*fault)
    }

    fn may_delay(&self) -> bool {
        self.rules.iter().any(|(_, fault)| matches!(fault, Fault::Delay(_)))
    }
}

impl Layer for Faults {
    fn wrap(
        &self,
        context: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<dyn Backend>> {
        Ok(Link::connect(self.clone(), context, upcall, below)?)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("rules", &self.rules.len())
            .field("seen", &self.seen())
            .field("struck", &self.struck())
            .finish()
    }
}
