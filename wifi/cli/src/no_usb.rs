//! In place of `usb` in a program that was built without the feature `libusb`: there are no adapters on any bus.

use std::convert::Infallible;

use airlift_hcd::{HostController, Layer, Port};
use airlift_wifi::Chip;

use crate::args::Device;
use crate::exit::{Exit, Failure};

/// See `usb`. There is none.
#[derive(Clone, Debug)]
pub(crate) struct Adapter(Infallible);

pub(crate) fn adapters() -> Vec<Adapter> {
    Vec::new()
}

pub(crate) fn find(asked: &Device, _: Option<Chip>) -> Result<Adapter, Failure> {
    let message = format!("no adapter {asked}: this program was built without USB (feature libusb)");
    Err(Failure::new(Exit::NoAdapter, message)
        .help("airlift devices lists what can be used; without --device it is the first of these"))
}

impl Adapter {
    pub(crate) fn name(&self) -> String {
        match self.0 {}
    }

    pub(crate) fn chip(&self) -> Chip {
        match self.0 {}
    }

    pub(crate) fn usb(&self) -> &'static str {
        match self.0 {}
    }

    pub(crate) fn state(&self) -> String {
        match self.0 {}
    }

    pub(crate) fn is_ready(&self, _: bool) -> bool {
        match self.0 {}
    }

    pub(crate) async fn open(&self, _: &HostController, _: bool, _: &[&dyn Layer]) -> Result<Port, Failure> {
        match self.0 {}
    }
}
