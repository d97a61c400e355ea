//! [`Chip`] and [`Adapter`]: the emulated adapters that mainline's driver and ours are compared on.
//!
//! The harness offers each kind of adapter on a bus of its own, so that the bus id `2-1` is one of the second kind. A further chip of the family is a further row of [`CHIPS`].

use airlift_emu::efuse::offset;
use airlift_emu::{Builder, Efuse, Model, ResetValues};

/// A chip of the family, as the harness knows it.
#[derive(Clone, Copy, Debug)]
pub struct Chip {
    /// Which one.
    pub model: Model,
    /// The folder of its golden files.
    pub folder: &'static str,
    /// Mainline's driver, as a module.
    pub module: &'static str,
    /// The file that mainline's driver loads its firmware from.
    pub firmware: &'static str,
    /// Its adapters.
    pub adapters: &'static [Adapter],
}

/// All chips.
pub const CHIPS: &[Chip] = &[
    Chip {
        model: Model::Rtl8812au,
        folder: "rtl8812a",
        module: "rtw88_8812au",
        firmware: "rtw8812a_fw.bin",
        adapters: &[ORDINARY, EXTERNAL_PA, BLANK, SCRAMBLED],
    },
    Chip {
        model: Model::Rtl8821au,
        folder: "rtl8821a",
        module: "rtw88_8821au",
        firmware: "rtw8821a_fw.bin",
        adapters: &[ORDINARY, EXTERNAL_PA, SCRAMBLED],
    },
    Chip {
        model: Model::Rtl8814au,
        folder: "rtl8814a",
        module: "rtw88_8814au",
        firmware: "rtw8814a_fw.bin",
        adapters: &[ORDINARY, EXTERNAL_PA, SCRAMBLED],
    },
];

impl Chip {
    /// The chip of this name, `rtl8812au`.
    pub fn named(name: &str) -> Option<&'static Self> {
        CHIPS.iter().find(|chip| chip.model.name() == name)
    }

    /// The adapter of this name.
    pub fn adapter(&self, name: &str) -> Option<&'static Adapter> {
        self.adapters.iter().find(|adapter| adapter.name == name)
    }

    /// Begins one.
    pub fn builder(&self, adapter: &Adapter) -> Builder {
        (adapter.special)(self.model.builder(), self.model)
    }

    /// The adapter that is offered on a bus; the first one's number is 1.
    pub fn on_bus(&self, bus: usize) -> Option<&'static Adapter> {
        self.adapters.get(bus.checked_sub(1)?)
    }
}

/// One kind of adapter.
#[derive(Clone, Copy, Debug)]
pub struct Adapter {
    /// Its name, and that of the folder with its golden files.
    pub name: &'static str,
    /// What is special about it.
    pub what: &'static str,
    /// Makes one of the plain ones special.
    pub special: fn(Builder, Model) -> Builder,
}

const ORDINARY: Adapter = Adapter { name: "ordinary", what: "ordinary EFUSE", special: |plain, _| plain };

const EXTERNAL_PA: Adapter = Adapter {
    name: "external-pa",
    what: "EFUSE with external amplifiers",
    special: |plain, model| plain.efuse(Efuse::external_pa_of(model)),
};

const BLANK: Adapter = Adapter {
    name: "blank",
    what: "EFUSE blank but for MAC address and USB mode",
    special: |plain, model| plain.efuse(blank(model)),
};

const SCRAMBLED: Adapter = Adapter {
    name: "scrambled",
    what: "ordinary EFUSE, registers other than zero after a reset",
    special: |plain, _| plain.reset_values(ResetValues::Scrambled(0x8812)),
};

/// Nothing but a MAC address, without which Linux makes up a new one each time, and a USB mode that does not ask
/// for super speed, for which the adapter would leave the bus.
fn blank(model: Model) -> Efuse {
    Efuse::blank_of(model).with(offset::USB_MODE, &[0xfd]).with_mac_address([0x02, 0x88, 0x12, 0, 0, 3])
}
