//! [`Item`]: what layers hold back and pass on, an URB or an operation on the device.

use bytes::BytesMut;

use crate::backend::{Backend, DeviceOp, FlatUrb};
use crate::function::{Reply, UrbId};
use crate::status::TransferError;

/// What a controller hands to a backend, to come back once.
pub(super) enum Item {
    Urb(FlatUrb),
    Operation(UrbId, DeviceOp),
}

impl Item {
    pub(super) fn id(&self) -> UrbId {
        match self {
            Self::Urb(urb) => urb.id,
            Self::Operation(id, _) => *id,
        }
    }

    /// Hands it to the backend below.
    pub(super) fn pass(self, below: &dyn Backend) {
        match self {
            Self::Urb(urb) => below.submit(urb),
            Self::Operation(id, op) => below.operate(id, op),
        }
    }

    /// Ends it here.
    pub(super) fn end(self, error: TransferError) -> Reply {
        let (id, buffer) = match self {
            Self::Urb(urb) => (urb.id, urb.buffer),
            Self::Operation(id, _) => (id, BytesMut::new()),
        };
        Reply { id, status: Err(error), buffer }
    }
}
