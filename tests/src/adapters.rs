//! [`Adapter`]: the emulated adapters that mainline's driver and ours are compared on.
//!
//! The harness offers each on a bus of its own, so that the bus id `2-1` is the first of the second kind.

use airlift_emu::efuse::offset;
use airlift_emu::{Builder, Efuse, ResetValues, Rtl8812au};

/// One kind of adapter.
#[derive(Clone, Copy, Debug)]
pub struct Adapter {
    /// Its name, and that of the folder with its golden files.
    pub name: &'static str,
    /// The bus that it is offered on.
    pub bus: u8,
    /// What is special about it.
    pub what: &'static str,
    /// Makes one.
    pub builder: fn() -> Builder,
}

/// All of them.
pub const ADAPTERS: &[Adapter] = &[
    Adapter { name: "ordinary", bus: 1, what: "ordinary EFUSE", builder: Rtl8812au::builder },
    Adapter {
        name: "external-pa",
        bus: 2,
        what: "EFUSE with external amplifiers and front-end option 3",
        builder: || Rtl8812au::builder().efuse(Efuse::external_pa()),
    },
    Adapter {
        name: "blank",
        bus: 3,
        what: "EFUSE blank but for MAC address and USB mode",
        builder: || Rtl8812au::builder().efuse(blank()),
    },
    Adapter {
        name: "scrambled",
        bus: 4,
        what: "ordinary EFUSE, registers other than zero after a reset",
        builder: || Rtl8812au::builder().reset_values(ResetValues::Scrambled(0x8812)),
    },
];

/// Nothing but a MAC address, without which Linux makes up a new one each time, and a USB mode that does not ask
/// for super speed, for which the adapter would leave the bus.
fn blank() -> Efuse {
    Efuse::blank().with(offset::USB_MODE, &[0xfd]).with_mac_address([0x02, 0x88, 0x12, 0, 0, 3])
}

impl Adapter {
    /// The adapter behind a bus id.
    pub fn of_bus_id(id: &str) -> Option<&'static Self> {
        let bus: u8 = id.split_once('-')?.0.parse().ok()?;
        ADAPTERS.iter().find(|adapter| adapter.bus == bus)
    }

    /// The adapter of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ADAPTERS.iter().find(|adapter| adapter.name == name)
    }
}
