//! Adapters whose EFUSE asks for USB 3, on the virtual clock.

use core::time::Duration;

use airlift_emu::{Access, Builder, Efuse, Model, Probe};
use airlift_hcd::{HostController, Layer, Port};
use airlift_runtime::{Clock, Kernel};
use airlift_wifi::{Error, Wlan, WlanOptions};

use super::options_of;

pub const SWITCHED: [Model; 2] = [Model::Rtl8812au, Model::Rtl8814au];

/// The writes of the switch, in mainline's order.
pub const WRITES: [(u16, u32); 5] = [(0x74, 0x08), (0x70, 0x02), (0x3e, 0x01), (0x3d, 0x03), (0x05, 0x80)];

/// An adapter whose EFUSE asks for USB 3, at high speed in a port that has it.
pub fn asking(model: Model) -> Builder {
    model.builder().efuse(Efuse::ordinary_of(model).with_usb3_switch()).usb3_port(true)
}

pub struct Rig {
    pub clock: Clock,
    pub kernel: Kernel,
    pub controller: HostController,
    pub port: Port,
    pub probe: Probe,
    pub model: Model,
}

impl Rig {
    pub fn new(adapter: Builder) -> Self {
        Self::behind(adapter, &[])
    }

    pub fn behind(adapter: Builder, layers: &[&dyn Layer]) -> Self {
        let clock = Clock::virtual_time();
        let kernel = Kernel::builder().clock(clock.clone()).build().unwrap();
        let controller = HostController::new(&kernel.handle()).unwrap();
        let adapter = adapter.build();
        let (probe, model) = (adapter.probe(), adapter.model());
        probe.start_log();
        let port = controller.plug_with(adapter, layers);
        Self { clock, kernel, controller, port, probe, model }
    }

    pub async fn attach(&self) -> Result<Wlan, Error> {
        self.attach_with(options_of(self.model)).await
    }

    pub async fn attach_with(&self, options: WlanOptions) -> Result<Wlan, Error> {
        Wlan::attach(self.port.device(), options).await
    }

    /// Lets time pass on the kernel.
    pub async fn pause(&self, time: Duration) {
        let paused = self.kernel.handle().spawn("pause", move |cpu| async move { cpu.sleep(time).await });
        paused.unwrap().await.unwrap();
    }

    /// Nothing of any interface is left on the kernel or on the bus.
    pub async fn end(self) {
        assert_eq!(self.probe.violations(), []);
        let device = self.port.device();
        drop(self.port);
        device.closed().await;
        assert_eq!(device.pending(), 0);
        drop((device, self.controller));
        // Whoever waits for a device hears that there is none.
        let paused = self.kernel.handle().spawn("last", |cpu| async move { cpu.msleep(1).await });
        paused.unwrap().await.unwrap();
        let report = self.kernel.shutdown().await;
        assert!(report.is_clean(), "{report:?}");
    }
}

/// The log's writes to the registers of the switch that carry out a switch: from the first to the last of them.
pub fn switches(log: &[Access]) -> usize {
    let writes: Vec<_> = log.iter().filter(|access| access.write && access.length == 1).collect();
    let made = |window: &[&Access]| window.iter().zip(WRITES).all(|(a, w)| (a.address, a.value) == w);
    writes.windows(WRITES.len()).filter(|window| made(window)).count()
}
