//! [`Personality`]: faults that adapters in the field show, to be built into an emulated one.

/// A poll of the bring-up, for [`Personality::StuckPoll`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Poll {
    /// APS_FSMCO bit 17 never says that power is ready.
    PowerReady,
    /// APS_FSMCO bit 8 never clears: the MAC does not power on.
    MacOn,
    /// APS_FSMCO bit 9 never clears: the MAC does not power off.
    MacOff,
    /// EFUSE_CTRL bit 31 never rises.
    Efuse,
    /// LLT_INIT bits 31:30 never fall.
    PageList,
    /// MCUFW_CTRL bit 0 never reads back as set.
    DownloadEnable,
    /// MCUFW_CTRL bit 2 never reports the checksum.
    Checksum,
    /// MCUFW_CTRL bit 6 never says that the firmware is ready.
    FirmwareReady,
    /// HMETFR never says that a mailbox is free.
    Mailbox,
}

impl Poll {
    /// Every poll.
    pub const ALL: &'static [Self] = &[
        Self::PowerReady,
        Self::MacOn,
        Self::MacOff,
        Self::Efuse,
        Self::PageList,
        Self::DownloadEnable,
        Self::Checksum,
        Self::FirmwareReady,
        Self::Mailbox,
    ];
}

/// How an emulated adapter differs from a healthy one. Several can be combined; an odd or blank EFUSE is
/// given as such to the builder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Personality {
    /// One bit of every firmware download is lost on its way, so that the checksum never comes right.
    ChecksumFails,
    /// The MCU takes its firmware and never reports that it runs.
    McuNeverBoots,
    /// A poll whose condition never comes true.
    StuckPoll(Poll),
    /// Everything inside takes this many times as long.
    Slow(u32),
    /// Answers this many register accesses, then falls silent on every endpoint: nothing fails, nothing comes
    /// back. It still enumerates.
    Silent {
        /// Register accesses that are still answered.
        after: u64,
    },
    /// Drops off the bus after this many register accesses, and comes back as it was; each time anew.
    Leaves {
        /// Register accesses since it was plugged in that are still answered.
        after: u64,
    },
    /// Once it has dropped off the bus, to switch its USB mode for example, it does not come back.
    NeverReturns,
    /// Comes back from a switch of its USB mode without a memory of it.
    ForgetsUsbMode,
}
