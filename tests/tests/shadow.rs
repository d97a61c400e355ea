//! Registers that somebody besides the host changes: whatever the driver does not itself mean to change stays as it
//! is found.
//!
//! The driver runs twice on the same adapter. The first run tells which reads are followed by a write of the same
//! register: a part of it is changed. In the second run each of these reads shows, at once and in every such
//! register, all those bits changed that the driver leaves alone, as if somebody had changed them a moment before.
//! The write that follows must carry them on; the chip then gets what it got in the first run. Everything else that
//! the driver does must be as in the first run: a write that is not has used what it should have read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use airlift_emu::Model;
use airlift_hcd::{FunctionUrb, HostController, Reply, Setup};
use airlift_runtime::{Clock, Kernel};
use airlift_tests::meddled::{Meddled, Meddler};
use airlift_wifi::{Channel, Firmware, Width, Wlan, WlanOptions};
use bytes::BytesMut;
use futures::executor::block_on;

/// Bytes that the host alone changes: baseband and gain control, without counters and read-back windows. Those of the
/// RTL8814A's paths C and D stand apart.
fn is_host_only(model: Model, address: u16) -> bool {
    let further = model == Model::Rtl8814au && (0x1800..=0x1aff).contains(&address);
    (further || (0x0800..=0x0eff).contains(&address))
        && !(0x0a5c..=0x0a5f).contains(&address)
        && !(0x0b58..=0x0b5b).contains(&address)
        && !(0x0d00..=0x0d7f).contains(&address)
}

/// Registers that are read for what they tell, and written as a whole after: `(address, reason)`.
const PORTS: &[(u16, &str)] = &[
    (0x0030, "EFUSE_CTRL: a cell's byte, then the next one's address"),
    (0x01e0, "LLT_INIT: whether an entry is written, then the next entry"),
    (0x0204, "FIFOPAGE_CTRL_2: whether a page has arrived, then where the next one goes"),
    (0x1208, "DDMA_CH0CTRL: whether a page is copied, then the next one's length"),
];

/// Registers that the RTL8814A's download of firmware borrows and puts back as it found them.
const BORROWED: &[u16] = &[0x010d, 0x022c, 0x0230, 0x0550];

/// Registers that are written as a whole where it so happens that they were read before: `(address, reason)`.
const WHOLE: &[(u16, &str)] =
    &[(0x0080, "MCUFW_CTRL, switching off: whether the MCU runs decides on its reset; then all is cleared")];

const WHOLE_8814A: &[(u16, &str)] = &[
    (
        0x0454,
        "CCK_CHECK: looked at once, to find the band that the chip is on; a change of bands writes all of it",
    ),
    (
        0xfe58,
        "USB_HRPWM, switching off: the firmware is woken by one bit, the other way round, and nothing else",
    ),
];

/// Registers that are updated on a chip; the test is about them.
const UPDATED: &[u16] = &[0x0002, 0x0003, 0x0005, 0x001c, 0x0080, 0x0100, 0x010c, 0x0440, 0x0454, 0x0668];
const UPDATED_8814A: &[u16] =
    &[0x0002, 0x0003, 0x0005, 0x0040, 0x0064, 0x00ec, 0x0208, 0x0244, 0x0440, 0x0668, 0x1080];

/// Bits that the driver also decides by: `(address, bits, reason)`.
const DECIDING: &[(u16, u32, &str)] =
    &[(0x0004, 0x8000, "APS_FSMCO: whether the power-down pin was in use, which is then restored")];

#[derive(Clone, PartialEq, Eq, Debug)]
struct Access {
    address: u16,
    write: bool,
    data: Vec<u8>,
}

impl Access {
    fn bytes(&self) -> core::ops::Range<usize> {
        usize::from(self.address)..usize::from(self.address) + self.data.len()
    }

    fn touches(&self, other: &Self) -> bool {
        self.bytes().start < other.bytes().end && other.bytes().start < self.bytes().end
    }

    fn value(&self) -> u32 {
        self.data.iter().take(4).rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
    }
}

/// The first run, and which of its reads belong to which write: by number of the access.
#[derive(Default)]
struct Reference {
    accesses: Vec<Access>,
    /// Read to bits that are to look changed.
    flips: BTreeMap<usize, u32>,
    /// Write to the read before it.
    reads: BTreeMap<usize, usize>,
}

impl Reference {
    fn new(model: Model, accesses: Vec<Access>) -> Self {
        let mut flips = BTreeMap::new();
        let mut reads = BTreeMap::new();
        for (at, read) in accesses.iter().enumerate().filter(|(_, access)| !access.write) {
            let port = PORTS.iter().any(|(address, _)| read.address == *address)
                || model == Model::Rtl8814au && BORROWED.contains(&read.address);
            if port || read.bytes().all(|byte| is_host_only(model, byte as u16)) {
                continue;
            }
            let next = (at + 1..accesses.len()).find(|next| accesses[*next].touches(read));
            let Some(next) = next.filter(|next| {
                let write = &accesses[*next];
                write.write && write.bytes() == read.bytes()
            }) else {
                continue;
            };
            let deciding = DECIDING.iter().filter(|(address, ..)| *address == read.address);
            let deciding = deciding.fold(0, |all, (_, bits, _)| all | bits);
            let all = u32::MAX >> (32 - 8 * read.data.len());
            let kept = all & !(read.value() ^ accesses[next].value()) & !deciding;
            if kept != 0 {
                flips.insert(at, kept);
                reads.insert(next, at);
            }
        }
        Self { accesses, flips, reads }
    }
}

#[derive(Default)]
struct Run {
    reference: Option<Reference>,
    accesses: Vec<Access>,
    /// Writes that carried on what looked changed, by address.
    carried: BTreeMap<u16, usize>,
    /// Writes that carried nothing on, by address.
    whole: BTreeSet<u16>,
    faults: Vec<String>,
}

impl Run {
    /// What the driver is to see of a read that gave `data`.
    fn read(&mut self, address: u16, mut data: Vec<u8>) -> Vec<u8> {
        let at = self.accesses.len();
        self.accesses.push(Access { address, write: false, data: data.clone() });
        let Some(reference) = &self.reference else { return data };
        match reference.accesses.get(at) {
            Some(first) if !first.write && first.bytes() == self.accesses[at].bytes() => {}
            other => self.faults.push(format!("access {at}: reads {address:#06x}, not {other:x?}")),
        }
        let flip = reference.flips.get(&at).copied().unwrap_or(0);
        data.iter_mut().zip(flip.to_le_bytes()).for_each(|(byte, flip)| *byte ^= flip);
        data
    }

    /// What the chip is to get of a write of `data`.
    fn write(&mut self, address: u16, data: Vec<u8>) -> Vec<u8> {
        let at = self.accesses.len();
        let access = Access { address, write: true, data };
        let mut arriving = access.data.clone();
        if let Some(reference) = &self.reference {
            match (reference.accesses.get(at), reference.reads.get(&at)) {
                (Some(first), Some(read)) if first.write && first.bytes() == access.bytes() => {
                    let flip = reference.flips[read];
                    let carried = (first.value() ^ access.value()) & flip;
                    if carried == 0 && flip != 0 && first == &access {
                        self.whole.insert(address);
                    } else if (first.value() ^ access.value()) & !flip != 0 {
                        self.faults.push(format!(
                            "access {at}: {address:#06x} was {:#x} with {flip:#x} changed, and is written \
                             {:#x}; it was {:#x} before",
                            reference.accesses[*read].value() ^ flip,
                            access.value(),
                            first.value(),
                        ));
                    }
                    *self.carried.entry(address).or_default() += usize::from(carried != 0);
                    arriving.clone_from(&first.data);
                }
                (Some(first), None) if *first == access => {}
                (other, _) => {
                    self.faults
                        .push(format!("access {at}: {access:x?} without a look at it, not {other:x?}"));
                }
            }
        }
        self.accesses.push(access);
        arriving
    }
}

/// Between the host controller and the chip.
struct Shadow(Arc<Mutex<Run>>);

/// The request of vendor control transfers that reads and writes registers.
const REGISTER: u8 = 5;

impl Meddler for Shadow {
    fn urb(&mut self, urb: FunctionUrb) -> Result<FunctionUrb, Reply> {
        let Some(setup) = urb.setup().filter(|setup| setup.request == REGISTER && !setup.is_in()) else {
            return Ok(urb);
        };
        let data = self.0.lock().unwrap().write(setup.value, urb.data().to_vec());
        Ok(FunctionUrb::new(urb.id(), urb.endpoint(), Some(setup), BytesMut::from(&data[..]), urb.length()))
    }

    fn answer(&mut self, setup: Option<Setup>, reply: &mut Reply) {
        if let Some(setup) = setup.filter(|setup| setup.request == REGISTER && setup.is_in()) {
            let data = self.0.lock().unwrap().read(setup.value, reply.buffer.to_vec());
            reply.buffer = BytesMut::from(&data[..]);
        }
    }
}

/// Up, over channels of both bands and all widths, at another power, and down.
fn life(model: Model, reference: Option<Reference>, serial: bool) -> Run {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let run = Arc::new(Mutex::new(Run { reference, ..Run::default() }));
    let port = controller.plug(Meddled::new(model.builder().build(), Shadow(run.clone())));
    let options = WlanOptions::new()
        .serial_io(serial)
        .control_frames(true)
        .firmware(Firmware::bytes("stand-in", model.stand_in_firmware()));
    let wlan = block_on(Wlan::attach(port.device(), options)).expect("the interface comes up");
    for (primary, width) in
        [(36, Width::Mhz80), (6, Width::Mhz40), (149, Width::Mhz40), (165, Width::Mhz20), (1, Width::Mhz20)]
    {
        block_on(wlan.set_channel(Channel::new(primary, width).unwrap())).expect("the channel is there");
    }
    block_on(wlan.set_tx_power(Some(5))).expect("the power is set");
    block_on(wlan.down()).expect("the interface goes down");
    drop(port);
    kernel.shutdown_blocking();
    core::mem::take(&mut *run.lock().unwrap())
}

#[test]
fn w1_what_changes_behind_the_drivers_back_stays_changed_in_every_register_that_is_not_the_hosts_alone() {
    meddle(Model::Rtl8812au, WHOLE, UPDATED);
}

#[test]
fn w1_the_same_holds_for_the_rtl8814au() {
    meddle(Model::Rtl8814au, WHOLE_8814A, UPDATED_8814A);
}

fn meddle(model: Model, written_whole: &[(u16, &str)], updated: &[u16]) {
    for serial in [false, true] {
        let reference = Reference::new(model, life(model, None, serial).accesses);
        let changed: BTreeSet<u16> =
            reference.flips.keys().map(|at| reference.accesses[*at].address).collect();
        let updates = reference.flips.len();
        let second = life(model, Some(reference), serial);
        let shown = second.faults.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(second.faults.is_empty(), "{} faults:\n{shown}", second.faults.len());
        let first = second.reference.expect("kept");
        assert_eq!(second.accesses.len(), first.accesses.len());
        // Nothing that the test is about was passed over.
        let carried: BTreeSet<u16> = second.carried.keys().copied().collect();
        assert_eq!(carried, changed);
        let whole: Vec<u16> = second.whole.iter().copied().collect();
        assert_eq!(whole, written_whole.iter().map(|(address, _)| *address).collect::<Vec<_>>());
        assert_eq!(second.carried.values().sum::<usize>(), updates - whole.len());
        for address in updated {
            assert!(changed.contains(address), "{address:#06x} is not updated any more; the test expects it");
        }
        println!("{updates} updates of {} registers", changed.len());
    }
}
