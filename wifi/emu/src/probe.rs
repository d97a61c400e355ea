//! [`Probe`]: a look into an emulated chip from outside, and a hand in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use airlift_hcd::Speed;

use crate::air::RadioId;
use crate::chip::{Access, Chip, ReceiveStats, TransmitStats};
use crate::personality::Poll;
use crate::{Efuse, Model, Tuning, Violation};

/// Shared by the adapter and its probes.
pub(crate) type Shared = Arc<Mutex<Chip>>;

/// A handle to the chip inside an adapter: what a test or a trace may look at, and faults to inject while it
/// runs. Clones look at the same chip; none keeps the adapter plugged.
#[derive(Clone)]
pub struct Probe {
    pub(crate) chip: Shared,
}

impl core::fmt::Debug for Probe {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let chip = self.chip();
        write!(f, "Probe({} transfers, {} violations)", chip.transfers(), chip.violations_seen)
    }
}

impl Probe {
    fn chip(&self) -> MutexGuard<'_, Chip> {
        self.chip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the bus would answer to a read of `length` bytes (1 to 4), without any effect.
    ///
    /// # Panics
    ///
    /// If `length` is above 4.
    pub fn register(&self, address: u16, length: usize) -> u32 {
        self.chip().peek(address, length)
    }

    /// Every register: 65,536 entries by bus address, `None` where the chip has none.
    pub fn registers(&self) -> Vec<Option<u8>> {
        self.chip().snapshot()
    }

    /// The model that is emulated.
    pub fn model(&self) -> Model {
        self.chip().model
    }

    /// An RF register (20 bits) of a path, from 0 on.
    ///
    /// # Panics
    ///
    /// If the model has no such path; see [`Model::radios`].
    pub fn rf(&self, path: usize, address: u8) -> u32 {
        self.chip().rf(path, address)
    }

    /// A path's mode tables: by the value of RF 0x30 the values of RF 0x31 and 0x32.
    ///
    /// # Panics
    ///
    /// If the model has no such path.
    pub fn rf_modes(&self, path: usize) -> BTreeMap<u32, (u32, u32)> {
        self.chip().rf_modes(path)
    }

    /// The page list: for each page the one that follows, `None` if it was never written. Empty where the chip
    /// makes the list by itself.
    pub fn llt(&self) -> Vec<Option<u8>> {
        self.chip().page_list()
    }

    /// The gain tables behind 0x81c: by table and entry (the low 24 bits of what was written) the high byte.
    pub fn agc(&self) -> BTreeMap<u32, u8> {
        self.chip().gain_tables()
    }

    /// The key store: 64 entries of eight words.
    pub fn keys(&self) -> Vec<[u32; 8]> {
        self.chip().keys()
    }

    /// The program memory up to the last byte written; of the RTL8814AU data memory first, then instructions, as they
    /// stand in an image.
    pub fn firmware(&self) -> Vec<u8> {
        self.chip().firmware()
    }

    /// Command packets that the firmware took, oldest first; the first 1,024. Only the RTL8814AU has any.
    pub fn command_packets(&self) -> Vec<Vec<u8>> {
        self.chip().command_packets()
    }

    /// Transmit powers behind the RTL8814AU's port, by path and rate code; elsewhere they are registers.
    pub fn tx_powers(&self) -> BTreeMap<(u8, u8), u8> {
        self.chip().tx_powers()
    }

    /// The program of the RTL8814AU's calibration engine, by address.
    pub fn calibration_program(&self) -> BTreeMap<u16, u16> {
        self.chip().engine_program()
    }

    /// A path's own registers of the RTL8814AU's calibration engine, 0x1b00 to 0x1bfc; zero where it has none.
    pub fn calibration_registers(&self, path: usize) -> [u32; 64] {
        self.chip().engine_registers(path)
    }

    /// Whether the MCU runs downloaded firmware.
    pub fn firmware_runs(&self) -> bool {
        self.chip().firmware_runs()
    }

    /// Host commands that the firmware took, oldest first: extension word, command word. The first 1,024.
    pub fn commands(&self) -> Vec<(u32, u32)> {
        self.chip().commands()
    }

    /// The fuses.
    pub fn efuse(&self) -> Efuse {
        self.chip().fuses().clone()
    }

    /// Accesses that broke a rule, oldest first; the first 1,024.
    pub fn violations(&self) -> Vec<Violation> {
        self.chip().violations().to_vec()
    }

    /// Frames that passed the filter into the receive buffer: what the driver gets to see or loses by itself.
    pub fn frames_admitted(&self) -> u64 {
        self.chip().receive_stats().admitted
    }

    /// What became of the frames that reached the antenna.
    pub fn receive_stats(&self) -> ReceiveStats {
        self.chip().receive_stats()
    }

    /// What became of the frames that the host sent.
    pub fn transmit_stats(&self) -> TransmitStats {
        self.chip().transmit_stats()
    }

    /// Whether the firmware keeps what became of sent frames to itself, although it is asked.
    pub fn mute_reports(&self, mute: bool) {
        self.chip().mute_reports(mute);
    }

    /// The adapter's name on its air, for the quality of links from and to it; `None` if it is on none.
    pub fn radio_id(&self) -> Option<RadioId> {
        self.chip().radio_id()
    }

    /// Where the chip listens; `None` while it does not, or its parts are tuned to different places.
    pub fn tuning(&self) -> Option<Tuning> {
        self.chip().tuning()
    }

    /// Control transfers so far.
    pub fn transfers(&self) -> u64 {
        self.chip().transfers()
    }

    /// How often the device has dropped itself off the bus: to switch its USB mode, or because it is as a
    /// [`Personality`](crate::Personality) has it.
    pub fn departures(&self) -> u64 {
        self.chip().departures()
    }

    /// The speed at which it is connected, or will be when it is back.
    pub fn speed(&self) -> Speed {
        self.chip().speed
    }

    /// Changes a byte behind the driver's back.
    pub fn poke(&self, address: u16, value: u8) {
        self.chip().poke(address, value);
    }

    /// Changes an RF register behind the driver's back.
    ///
    /// # Panics
    ///
    /// If the model has no such path.
    pub fn poke_rf(&self, path: usize, address: u8, value: u32) {
        self.chip().poke_rf(path, address, value);
    }

    /// From now on reads show the bits of `mask` in the byte at `address` as in `value`.
    pub fn stick(&self, address: u16, mask: u8, value: u8) {
        self.chip().stick((address, mask, value & mask));
    }

    /// From now on every write of the host arrives with the bits of `mask` in the byte at `address` as in `value`,
    /// as if its driver had left out the step that sets or clears them.
    pub fn bend(&self, address: u16, mask: u8, value: u8) {
        self.chip().bend((address, mask, value));
    }

    /// From now on this poll never ends well.
    pub fn stick_poll(&self, poll: Poll) {
        self.chip().stick_poll(poll);
    }

    /// Every poll ends well again.
    pub fn unstick(&self) {
        self.chip().unstick();
    }

    /// Starts to record every register access.
    pub fn start_log(&self) {
        self.chip().start_log();
    }

    /// The accesses recorded since the last call, oldest first; recording goes on.
    pub fn take_log(&self) -> Vec<Access> {
        self.chip().take_log()
    }
}
