//! Sending: from an application's [`TxFrame`] to the chip's descriptor, and back to an [`Outcome`].
//!
//! ```text
//!   inject / send / Transmitter ──Job──► queue ──► the kernel task "wlan0 tx" ──URB──► chip
//!        ▲                                           plan, descriptor
//!        └────────────── Outcome or InjectError ◄── report of the firmware ◄── receive path
//! ```
//!
//! An application hands a [`TxFrame`] to [`Wlan::inject`](crate::Wlan::inject), [`Wlan::send`](crate::Wlan::send) or a
//! [`Transmitter`]. It waits in `queue`, bounded, until the driver's task takes it; `plan` decides how it can be sent,
//! `descriptor` says it to the chip, `queue_select` chooses queue and endpoint. `report` reads what the firmware tells
//! of it afterwards. Whatever happens, the one who handed it in is told, and gets the frame back if it was not sent.
//!
//! There is no I/O, no clock and no task in here: `driver::transmit` has those.

mod descriptor;
mod frame;
mod outcome;
mod plan;
mod queue;
mod queue_select;
mod report;
mod sink;
mod ticket;

pub use frame::TxFrame;
pub use outcome::{Delivery, InjectError, InjectErrorKind, Outcome, Refusal, TxStats, Unhonoured, Unknown};
pub use sink::{SinkStats, Transmitter};
pub use ticket::Ticket;

pub(crate) use descriptor::{LEN as DESCRIPTOR_LEN, MAX_NUMBER, set_frames};
pub(crate) use plan::{Plan, Planner};
pub(crate) use queue::{Job, TxQueue};
pub(crate) use queue_select::EndpointMap;
pub(crate) use report::{Report, Status};
