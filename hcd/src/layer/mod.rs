//! Layers: backends with another backend below, which see every URB go down and come back up.
//!
//! [`Latency`] models the time that a bus takes and counts transfers, [`Trace`] writes them down, [`Faults`] has
//! them fail.

mod fault;
mod item;
mod latency;
mod trace;

use std::io;
use std::sync::Arc;

use airlift_runtime::Clock;

use crate::backend::{Backend, Connect, Upcall};

pub use fault::{Fault, FaultTarget, Faults};
pub use latency::{Latency, LatencyCounters, LatencyModel};
pub use trace::{Trace, TraceOptions, TraceSummary};

/// Where a layer is put in.
#[derive(Clone, Copy, Debug)]
pub struct LayerContext<'a> {
    /// The clock of the kernel core.
    pub clock: &'a Clock,
    /// The device's location, for the names of threads.
    pub name: &'a str,
}

/// Something that can be put between the controller and a device, any number of times.
///
/// A clone of a layer is the same layer: a port keeps one, to put it above a device that left and came back.
pub trait Layer: LayerClone + Send + Sync {
    /// Connects what is `below`, with an upcall of the layer's own, and returns the layer as a backend that
    /// reports to `upcall`.
    ///
    /// It may block: it is called on the thread that plugs a function in, or that opens a device outside, the first
    /// time and each time that the device comes back; never on the kernel core, unless a function is plugged in there.
    ///
    /// # Errors
    /// Those of `below`, and of starting threads.
    fn wrap(
        &self,
        context: &LayerContext<'_>,
        upcall: Arc<dyn Upcall>,
        below: Box<Connect<'_>>,
    ) -> io::Result<Arc<dyn Backend>>;
}

/// What every [`Layer`] that is `Clone` can do.
pub trait LayerClone {
    /// The same layer.
    fn boxed(&self) -> Box<dyn Layer>;
}

impl<T: Layer + Clone + 'static> LayerClone for T {
    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

/// Puts `layers` above `bottom`; the first is the outermost.
pub(crate) fn stack(
    layers: &[&dyn Layer],
    context: &LayerContext<'_>,
    upcall: Arc<dyn Upcall>,
    bottom: Box<Connect<'_>>,
) -> io::Result<Arc<dyn Backend>> {
    match layers {
        [] => bottom(upcall),
        [outermost, rest @ ..] => {
            let below = Box::new(move |upcall| stack(rest, context, upcall, bottom));
            outermost.wrap(context, upcall, below)
        }
    }
}
