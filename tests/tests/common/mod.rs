//! An emulated adapter on a kernel in virtual time, ready to be brought up.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test takes what it needs")]

pub mod pair;
pub mod random;
pub mod usb3;

use core::time::Duration;

use airlift_emu::{Access, Builder, Model, Probe, Rtl8812au};
use airlift_hcd::{HostController, Latency, LatencyModel, MockPort, UsbDevice};
use airlift_runtime::{Clock, Kernel};
use airlift_wifi::{Error, Firmware, Wlan, WlanOptions};

/// What a transfer costs in the published figures.
pub const MODEL: LatencyModel =
    LatencyModel { round_trip: Duration::from_micros(125), posted: Duration::from_micros(30) };

/// A kernel in virtual time with one emulated adapter behind the latency layer.
pub struct Bench {
    pub clock: Clock,
    pub kernel: Kernel,
    pub controller: HostController,
    pub port: MockPort,
    pub probe: Probe,
    pub latency: Latency,
    pub model: Model,
}

impl Bench {
    pub fn new(adapter: Builder) -> Self {
        Self::behind(adapter, Some(Latency::new(MODEL)))
    }

    /// On a bus that takes no time, which is quicker to simulate.
    pub fn without_latency(adapter: Builder) -> Self {
        Self::behind(adapter, None)
    }

    fn behind(adapter: Builder, latency: Option<Latency>) -> Self {
        let clock = Clock::virtual_time();
        let kernel = Kernel::builder().clock(clock.clone()).build().expect("a kernel");
        let controller = HostController::new(&kernel.handle()).expect("a controller");
        let adapter = adapter.build();
        let (probe, model) = (adapter.probe(), adapter.model());
        let port = match &latency {
            Some(latency) => controller.plug_with(adapter, &[latency]),
            None => controller.plug(adapter),
        };
        Self { clock, kernel, controller, port, probe, latency: latency.unwrap_or_default(), model }
    }

    /// A healthy adapter with an ordinary EFUSE.
    pub fn ordinary() -> Self {
        Self::new(Rtl8812au::builder())
    }

    pub fn device(&self) -> UsbDevice {
        self.port.device()
    }

    pub async fn attach(&self) -> Result<Wlan, Error> {
        self.attach_with(options_of(self.model)).await
    }

    pub async fn attach_with(&self, options: WlanOptions) -> Result<Wlan, Error> {
        Wlan::attach(self.device(), options).await
    }

    /// Fails with the list if the chip was handled in a way that silicon would not survive.
    pub fn assert_no_violations(&self) {
        let violations = self.probe.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    pub async fn shutdown(self) {
        drop(self.port);
        drop(self.controller);
        let report = self.kernel.shutdown().await;
        let ours: Vec<_> = report.tasks_dropped.iter().filter(|name| name.starts_with("wlan0")).collect();
        assert!(ours.is_empty(), "{report:?}");
    }
}

/// Options with the stand-in firmware of the RTL8812AU.
pub fn options() -> WlanOptions {
    options_of(Model::Rtl8812au)
}

/// Options with the stand-in firmware of `model`.
pub fn options_of(model: Model) -> WlanOptions {
    WlanOptions::new().firmware(Firmware::bytes("stand-in", model.stand_in_firmware()))
}

/// The writes of a log: address, length, value.
pub fn writes(log: &[Access]) -> Vec<String> {
    log.iter().map(|access| format!("{access:?}")).filter(|text| text.contains("rite")).collect()
}
