//! [`Chip`] and [`Adapter`]: the emulated adapters that mainline's driver and ours are compared on.
//!
//! The harness offers each kind of adapter on a bus of its own, so that the bus id `2-1` is one of the second kind. A
//! further chip of the family is a further row of [`CHIPS`].

use airlift_emu::efuse::offset;
use airlift_emu::{Builder, Efuse, Model, ResetValues};
use airlift_hcd::Speed;

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
        // None with Bluetooth: mainline's driver calls a function that it has not got (its `coex_set_gnt_debug`), and Linux
        // 7.2 ends there.
        adapters: &[ORDINARY, EXTERNAL_PA, BLANK, SCRAMBLED, SUPER_SPEED, SWITCHING, SWITCHING_IN_VAIN],
    },
    Chip {
        model: Model::Rtl8821au,
        folder: "rtl8821a",
        module: "rtw88_8821au",
        firmware: "rtw8821a_fw.bin",
        adapters: &[ORDINARY, EXTERNAL_PA, SCRAMBLED, BLANK, BLUETOOTH, BLUETOOTH_APART],
    },
    Chip {
        model: Model::Rtl8814au,
        folder: "rtl8814a",
        module: "rtw88_8814au",
        firmware: "rtw8814a_fw.bin",
        adapters: &[
            ORDINARY,
            EXTERNAL_PA,
            SCRAMBLED,
            BLANK,
            SUPER_SPEED,
            SWITCHING,
            SWITCHING_IN_VAIN,
            BLUETOOTH,
        ],
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
        (adapter.special)(self.model.builder(), self.model).speed(adapter.speed)
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
    /// The speed at which it is plugged in.
    pub speed: Speed,
    /// The golden files that there are of it.
    pub places: &'static [Place],
    /// Makes one of the plain ones special.
    pub special: fn(Builder, Model) -> Builder,
}

/// Where a golden file is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The channels that a driver is tuned to one after the other, from channel 1 on.
    pub route: &'static [u16],
    /// The width, as `iw` calls it.
    pub width: &'static str,
}

const fn place(route: &'static [u16], width: &'static str) -> Place {
    Place { route, width }
}

const ONE: &[Place] = &[place(&[11], "HT20")];

/// Both bands, all widths.
const THREE: &[Place] = &[place(&[11], "HT20"), place(&[36], "80MHz"), place(&[149], "HT40+")];

/// The edges of bands and sub-bands too, and channel 1 reached from another.
const EIGHT: &[Place] = &[
    place(&[11], "HT20"),
    place(&[6, 1], "HT20"),
    place(&[6], "HT40+"),
    place(&[36], "HT20"),
    place(&[36], "80MHz"),
    place(&[100], "HT20"),
    place(&[149], "HT40+"),
    place(&[165], "HT20"),
];

const ORDINARY: Adapter = Adapter {
    name: "ordinary",
    what: "ordinary EFUSE",
    speed: Speed::High,
    places: EIGHT,
    special: |plain, _| plain,
};

const EXTERNAL_PA: Adapter = Adapter {
    name: "external-pa",
    what: "EFUSE with external amplifiers",
    special: |plain, model| plain.efuse(Efuse::external_pa_of(model)),
    ..ORDINARY
};

const BLANK: Adapter = Adapter {
    name: "blank",
    what: "EFUSE blank but for MAC address and USB mode",
    special: |plain, model| plain.efuse(blank(model)),
    ..ORDINARY
};

const SCRAMBLED: Adapter = Adapter {
    name: "scrambled",
    what: "ordinary EFUSE, registers other than zero after a reset",
    places: THREE,
    special: |plain, _| plain.reset_values(ResetValues::Scrambled(0x8812)),
    ..ORDINARY
};

/// Only chips with USB 3 have it.
const SUPER_SPEED: Adapter = Adapter { name: "super-speed", speed: Speed::Super, places: THREE, ..ORDINARY };

/// A driver finds it at high speed and has it leave the bus, and it comes back at super speed.
const SWITCHING: Adapter = Adapter {
    name: "switching",
    what: "EFUSE that asks for super speed, in a port that has it",
    places: ONE,
    special: |plain, model| switching(plain, model).usb3_port(true),
    ..ORDINARY
};

/// It leaves the bus too, and comes back as it was.
const SWITCHING_IN_VAIN: Adapter = Adapter {
    name: "switching-in-vain",
    what: "EFUSE that asks for super speed, in a port that has none",
    special: switching,
    ..SWITCHING
};

/// By the chip itself, or by its EFUSE.
const BLUETOOTH: Adapter = Adapter {
    name: "bluetooth",
    what: "EFUSE that shares antennas with Bluetooth",
    places: THREE,
    special: |plain, model| bluetooth(plain, model, true),
    ..ORDINARY
};

const BLUETOOTH_APART: Adapter = Adapter {
    name: "bluetooth-apart",
    what: "Bluetooth with antennas of its own",
    special: |plain, model| bluetooth(plain, model, false),
    ..BLUETOOTH
};

fn bluetooth(plain: Builder, model: Model, shared: bool) -> Builder {
    let option = Efuse::ordinary_of(model).logical()[usize::from(offset::RF_BOARD_OPTION)] & 0x1f | 0x20;
    let efuse = Efuse::ordinary_of(model)
        .with(offset::RF_BOARD_OPTION, &[option])
        .with(offset::RF_BT_SETTING, &[shared.into()]);
    plain.efuse(efuse).bluetooth(true)
}

fn switching(plain: Builder, model: Model) -> Builder {
    let (at, _) = usb_mode(model);
    plain.efuse(Efuse::ordinary_of(model).with(at, &[0xff]))
}

/// Where the USB mode stands, and the bit with which it asks for super speed.
fn usb_mode(model: Model) -> (u16, u8) {
    match model {
        Model::Rtl8814au => (offset::USB_MODE_8814A, 0x10),
        _ => (offset::USB_MODE, 0x02),
    }
}

/// Nothing but a MAC address, without which Linux makes up a new one each time, and a USB mode that does not ask
/// for super speed, for which the adapter would leave the bus.
fn blank(model: Model) -> Efuse {
    let (at, bit) = usb_mode(model);
    Efuse::blank_of(model).with(at, &[!bit]).with_mac_address([0x02, 0x88, 0x12, 0, 0, 3])
}
