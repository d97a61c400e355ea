//! [`Rule`]: what silicon does not forgive, one row each, and [`Violation`], an access that broke one.
//!
//! In strict mode the chip refuses such an access (the transfer stalls) and remembers it. The rules come from
//! what the Linux driver takes care to do: each names a step of `rtw88` that has a reason on silicon. They are
//! enumerable ([`Rule::ALL`]), so that a test can prove for each that leaving its step out is noticed.

use core::fmt;
use core::time::Duration;

macro_rules! rules {
    ($($name:ident: $text:literal,)+) => {
        /// A rule of strict mode.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = concat!("Broken by: ", $text, ".")] $name,)+
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The rule's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What breaks the rule, in a few words.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

rules! {
    UnknownRequest: "a control request that is no register access of 1, 2 or 4 bytes and no firmware block",
    UnknownRegister: "an access to an address where the chip has no register",
    ReadOnlyRegister: "a write to a register that only the hardware changes",
    BlockOutsideFirmware: "a block write outside the firmware window",
    MacWhileOff: "an access to the MAC, baseband or DMA while the MAC is powered off",
    BasebandWhileReset: "an access to the baseband while it is held in reset",
    MacOnWhileSuspended: "MAC power-on requested while the card is suspended (0x05 bit 3)",
    MacOnInLowPower: "MAC power-on requested in software low-power state (0x05 bit 2)",
    MacOnBeforePowerReady: "MAC power-on requested before power is ready (0x06 bit 1)",
    MacOnWithRegulatorAsleep: "MAC power-on requested with a regulator asleep (of 0x12, 0x14, 0x15, 0x20, 0x23 those of the chip)",
    MacOnWithPadsParked: "MAC power-on requested with pads still parked (of 0x43, 0x46, 0x4a, 0x62, 0x67 those of the chip)",
    MacOnIsolated: "MAC power-on requested with the digital part still isolated from the analogue one (0x00 bit 5)",
    MacOnInReset: "MAC power-on requested with the chip's functions in reset (0x06 bit 0)",
    MacOnWithoutMcuBlock: "MAC power-on requested with the MCU block off (0x03 bit 2)",
    MacOnWithoutPll: "MAC power-on requested out of card-disable without the start-up clock (0x24 bit 1, 0x28 bit 3)",
    MacWithPllForced: "a MAC access while the start-up clock is still forced (0x24 bit 1, 0x28 bit 3)",
    MacOffWithBasebandRunning: "MAC power-off requested while the baseband runs (bit 0 of 0x02, RTL8814A: 0x1002)",
    MacOffWithRadioOn: "MAC power-off requested while a radio is on (0x1f)",
    SuspendWithMacOn: "the card suspended while the MAC is powered",
    SuspendWithMcuEnabled: "the card suspended while the MCU block is on (0x03 bit 2)",
    MacOnWithoutMcuClock: "MAC power-on requested with the MCU's clock not chosen (0x81 bits 5:4)",
    UsbDownWithMacOn: "the chip's USB powered down while the MAC is powered (0x05 bit 7)",
    UsbDownUnprepared: "the chip's USB powered down without USB 3 chosen to come back by (0x3d bits 1:0, 0x3e bit 0, 0x70 bit 1, 0x74 bits 3:2)",
    EfuseWithoutGrant: "an EFUSE read before access was ever granted (0xcf = 0x69)",
    EfuseWithoutLoader: "an EFUSE read without the loader (0x03 bit 4)",
    EfuseWithoutClock: "an EFUSE read without the loader's clocks (0x08 bits 1 and 5)",
    EfuseBusy: "an EFUSE read started before the one before it was over",
    EfuseProgram: "an EFUSE programming cycle: it would burn fuses",
    LltBusy: "a page-list write before the one before it was over",
    FirmwareWithoutEnable: "firmware written or copied without the download enabled (0x80 bit 0)",
    FirmwareWhileRunning: "the download enabled while the MCU runs firmware",
    McuStartWhileDownloading: "the MCU released into RAM while the download is still enabled",
    McuStartWithoutIo: "the MCU released into RAM with its bus interface shut (0x1d bit 0)",
    McuStartWithoutClock: "the MCU released into its image without its clock or platform (0x09 bit 6, 0x1082 bit 0)",
    DdmaBusy: "a DMA to the MCU's memories started before the one before it was over (0x1208 bit 31)",
    DdmaWithoutPlatform: "a DMA to the MCU's memories without their platform (0x1080 bits 16 and 8)",
    ReservedPageDisabled: "a reserved page sent without the beacon queue open to software (0x101 bit 0)",
    MailboxBeforeFirmware: "a host command written while no firmware runs",
    MailboxFull: "a host command written into a box that the firmware has not emptied",
    RfWhileOff: "an RF register accessed while that radio is not powered (0x1f or 0x76)",
    RfReadbackNotSelected: "an RF value read from the window that the 3-wire mode does not drive",
    RfReadWithoutCcaOff: "an RF register read without the CCA shut off, on a cut that needs it (0x838 bit 3)",
    ReceiveBeforeFirmware: "the receiver running before firmware",
    ReceiveWithoutBoundary: "the receiver running without the end of its buffer set (0x116)",
    TransmitBeforeFirmware: "a frame sent before firmware runs",
    TransmitDisabled: "a frame sent while the transmit path is not enabled (0x100)",
    TransmitWithoutPageList: "a frame sent before the page list was written",
    TransmitWithoutPages: "a frame sent before pages were given to the queues (0x200 bit 31)",
    TransmitBadChecksum: "a transmit descriptor whose checksum is wrong",
    TransmitBadDescriptor: "a transmit descriptor whose lengths do not fit the transfer",
    TransmitTooMany: "more frames in one transfer than the aggregation was set up for (0x208 bits 7:4)",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An access that broke a [`Rule`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The bus address of the access (for a bulk transfer: the endpoint's address).
    pub address: u16,
    /// The register's name.
    pub register: String,
    /// The value written, if it was a write.
    pub written: Option<u32>,
    /// How many control transfers came before this one.
    pub transfer: u64,
    /// When.
    pub at: Duration,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.written {
            Some(value) => write!(f, "write {value:#x} to {}", self.register)?,
            None => write!(f, "access to {}", self.register)?,
        }
        write!(f, " (transfer {}): {}: {}", self.transfer, self.rule.name(), self.rule.text())
    }
}
