//! What lies under the controller: [`Backend`]s that carry URBs, seen flat, and the [`Upcall`] on which they give
//! them back.
//!
//! A backend serves one device. `mock` is the one for a [`UsbFunction`](crate::UsbFunction) in this process; one
//! for real adapters and one for adapters on another machine have the same shape. A
//! [`Layer`](crate::Layer) is a backend with another one below it.

#[cfg(feature = "libusb")]
pub mod libusb;
pub(crate) mod mock;
pub(crate) mod usbip;

use core::fmt;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;

use crate::descriptor::TransferType;
use crate::function::{Reply, UrbId};
use crate::setup::Setup;

const CLEAR_FEATURE: u8 = 1;
const SET_CONFIGURATION: u8 = 9;
const SET_INTERFACE: u8 = 11;

/// An URB without what belongs to its submitter: the flat view that backends and layers pass on.
pub struct FlatUrb {
    /// Its name among the URBs of this device.
    pub id: UrbId,
    /// What kind of transfer the endpoint carries.
    pub transfer_type: TransferType,
    /// The endpoint's address; bit 7 set: device to host. 0 for control transfers.
    pub endpoint: u8,
    /// The set-up packet; present exactly for control transfers.
    pub setup: Option<Setup>,
    /// The bytes to send, or room for `length` bytes. It stays here until the URB is given back.
    pub buffer: BytesMut,
    /// Bytes asked for (IN) or to send (OUT).
    pub length: usize,
    /// An empty packet follows if the last one is full. Only of bulk OUT transfers.
    pub zero_packet: bool,
}

impl FlatUrb {
    /// Whether data runs from the device to the host.
    pub fn is_in(&self) -> bool {
        match self.setup {
            Some(setup) => setup.is_in(),
            None => self.endpoint & 0x80 != 0,
        }
    }
}

impl fmt::Debug for FlatUrb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlatUrb")
            .field("id", &self.id)
            .field("transfer_type", &self.transfer_type)
            .field("endpoint", &format_args!("{:#04x}", self.endpoint))
            .field("setup", &self.setup)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// What a host does to a device beside transfers. Operating systems reserve these to calls of their own, so a
/// backend must be able to tell them from an ordinary control transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceOp {
    /// Choose a configuration; 0: none.
    SetConfiguration(u8),
    /// Choose an interface's alternate setting.
    SetInterface {
        /// `bInterfaceNumber`.
        interface: u8,
        /// `bAlternateSetting`.
        alternate: u8,
    },
    /// End an endpoint's halt.
    ClearHalt(u8),
    /// Reset the port; configuration and alternate settings are restored.
    Reset,
}

impl DeviceOp {
    /// The standard request that stands for it on the bus (USB 2.0, section 9.4); a reset has none.
    pub fn setup(self) -> Option<Setup> {
        let (recipient, request, value, index) = match self {
            Self::SetConfiguration(value) => (0, SET_CONFIGURATION, value.into(), 0),
            Self::SetInterface { interface, alternate } => {
                (1, SET_INTERFACE, alternate.into(), interface.into())
            }
            Self::ClearHalt(endpoint) => (2, CLEAR_FEATURE, 0, endpoint.into()),
            Self::Reset => return None,
        };
        Some(Setup { request_type: recipient, request, value, index, length: 0 })
    }
}

/// One device's way to its hardware, or to what stands for it.
///
/// None of these calls blocks, and none fails: whatever is submitted comes back through the [`Upcall`] exactly
/// once. After [`close`](Self::close) it comes back with
/// [`TransferError::Shutdown`](crate::TransferError::Shutdown).
pub trait Backend: Send + Sync {
    /// Takes an URB. Those of one endpoint are carried out in the order in which they were submitted.
    fn submit(&self, urb: FlatUrb);

    /// Asks for an URB back early; it comes with [`TransferError::Cancelled`](crate::TransferError::Cancelled)
    /// unless it ended first. An unknown id is ignored.
    fn cancel(&self, id: UrbId);

    /// Does `op`, behind the control transfers that were submitted before; ends as an URB of that id does.
    fn operate(&self, id: UrbId, op: DeviceOp);

    /// Lets go of the device: everything comes back, then [`Upcall::gone`] is called, then the backend's threads
    /// end. May be called again.
    fn close(&self);

    /// Waits until the backend's threads have ended. Called after [`Upcall::gone`], so there is nothing left to
    /// wait for but their last instructions.
    fn reap(&self);
}

/// The way back up from a [`Backend`].
pub trait Upcall: Send + Sync {
    /// Gives ended URBs back, in this order. `replies` is drained.
    fn give_back(&self, replies: &mut Vec<Reply>);

    /// The device is gone, and whatever was not given back never will be.
    fn gone(&self);
}

/// Connects a backend below the given upcall.
pub type Connect<'a> = dyn FnOnce(Arc<dyn Upcall>) -> io::Result<Arc<dyn Backend>> + 'a;
