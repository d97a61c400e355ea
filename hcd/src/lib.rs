//! Airlift's virtual USB host controller.
#![forbid(unsafe_code)]

mod descriptor;
mod function;
mod function_host;
mod setup;
mod status;
pub mod usbip;

pub use descriptor::{
    AlternateSetting, Configuration, DescriptorError, DeviceDescriptor, Endpoint, EndpointMap, RawDescriptor,
    TransferType, Walk, parse_string,
};
pub use function::{Descriptors, FunctionUrb, Reply, Speed, Submit, UrbId, UsbFunction};
pub use function_host::FunctionHost;
pub use setup::Setup;
pub use status::TransferError;
