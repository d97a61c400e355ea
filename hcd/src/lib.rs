//! Airlift's virtual USB host controller.
#![forbid(unsafe_code)]

mod function;
mod setup;
mod status;

pub use function::{Descriptors, FunctionUrb, Reply, Speed, Submit, UrbId, UsbFunction};
pub use setup::Setup;
pub use status::TransferError;
