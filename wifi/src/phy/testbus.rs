//! [`RadioBus`]: the register RAM of unit tests with radios behind its serial windows.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use airlift_hcd::TransferError;
use airlift_regs::bb;

use super::Path;
use crate::channel::Channel;
use crate::chip::{Board, Chip};
use crate::efuse::EfuseInfo;
use crate::phy::Phy;
use crate::regio::fake::FakeBus;
use crate::regio::{Bus, Io, Local, Regs};

/// A [`FakeBus`] whose LSSI windows write to 256 RF registers a path, and whose read-back windows show the one
/// that HSSI_READ names. All of them are mapped as well, as the RTL8814A does it.
#[derive(Clone)]
pub(super) struct RadioBus {
    pub(super) fake: FakeBus,
    radios: Rc<RefCell<[[u32; 256]; 4]>>,
    /// Bits that fall by themselves right after they were written, by path and RF register.
    falling: Rc<RefCell<HashMap<(usize, u8), u32>>>,
    /// Registers whose last written value somebody follows.
    followed: Rc<RefCell<HashMap<u16, Rc<Cell<u32>>>>>,
}

impl RadioBus {
    pub(super) fn new() -> RadioBus {
        let fake = FakeBus::new();
        let radios = Rc::new(RefCell::new([[0; 256]; 4]));
        for (n, window) in [(0, bb::SI_READ_A), (1, bb::SI_READ_B), (0, bb::PI_READ_A), (1, bb::PI_READ_B)] {
            // The window's own RAM keeps the register's number; see `shift`.
            let radios = radios.clone();
            fake.answer(window.addr(), move |held| {
                let radios: &[[u32; 256]; 4] = &radios.borrow();
                radios[n][(held & 0xff) as usize]
            });
        }
        for (path, first) in [0x2800, 0x2c00, 0x3800, 0x3c00].into_iter().enumerate() {
            for reg in 0..256 {
                let radios = radios.clone();
                fake.answer(first + 4 * reg as u16, move |_| {
                    let radios: &[[u32; 256]; 4] = &radios.borrow();
                    radios[path][reg]
                });
            }
        }
        RadioBus { fake, radios, falling: Rc::default(), followed: Rc::default() }
    }

    /// The value last written to the register at `addr`, from now on.
    pub(super) fn last_written(&self, addr: u16) -> Rc<Cell<u32>> {
        self.followed.borrow_mut().entry(addr).or_default().clone()
    }

    /// From now on `bits` of an RF register fall as soon as they are set.
    pub(super) fn clears(&self, path: Path, reg: u8, bits: u32) {
        self.falling.borrow_mut().insert((path.index(), reg), bits);
    }

    /// From now on nothing falls by itself on `path`.
    pub(super) fn stays(&self, path: Path) {
        self.falling.borrow_mut().retain(|(index, _), _| *index != path.index());
    }

    /// What an RF register holds.
    pub(super) fn rf(&self, path: Path, reg: u8) -> u32 {
        self.radios.borrow()[path.index()][usize::from(reg)]
    }

    /// Sets an RF register behind the driver's back.
    pub(super) fn poke_rf(&self, path: Path, reg: u8, value: u32) {
        self.radios.borrow_mut()[path.index()][usize::from(reg)] = value;
    }

    fn shift(&self, addr: u16, data: &[u8]) {
        if addr == bb::HSSI_READ.addr() {
            for window in [bb::SI_READ_A, bb::SI_READ_B, bb::PI_READ_A, bb::PI_READ_B] {
                self.fake.poke(window.addr(), &[data[0]]);
            }
        } else if let Ok(bytes) = <[u8; 4]>::try_from(data) {
            let word = u32::from_le_bytes(bytes);
            if let Some(followed) = self.followed.borrow().get(&addr) {
                followed.set(word);
            }
            let path = match addr {
                _ if addr == bb::LSSI_WRITE_A.addr() => Path::A,
                _ if addr == bb::LSSI_WRITE_B.addr() => Path::B,
                _ if addr == bb::LSSI_WRITE_C.addr() => Path::C,
                _ if addr == bb::LSSI_WRITE_D.addr() => Path::D,
                _ => return,
            };
            let reg = (word >> 20) as u8;
            let falling = self.falling.borrow().get(&(path.index(), reg)).copied().unwrap_or(0);
            self.poke_rf(path, reg, word & 0xf_ffff & !falling);
        }
    }
}

impl Bus for RadioBus {
    fn read(&self, addr: u16, length: u16) -> Local<Result<u32, TransferError>> {
        self.fake.read(addr, length)
    }

    fn write(&self, addr: u16, data: &[u8]) -> Local<Result<(), TransferError>> {
        self.shift(addr, data);
        self.fake.write(addr, data)
    }

    fn post(&self, addr: u16, data: &[u8]) {
        self.shift(addr, data);
        self.fake.post(addr, data);
    }

    fn flush(&self) -> Local<Result<(), (u16, TransferError)>> {
        self.fake.flush()
    }

    fn sleep(&self, time: Duration) -> Local<()> {
        self.fake.sleep(time)
    }
}

/// A blank RTL8812A of cut B with two paths; `fill` programs its EFUSE's map.
pub(super) fn board(fill: impl FnOnce(&mut [u8])) -> Board {
    board_of(Chip::Rtl8812au, fill)
}

/// A blank board of cut B with all paths of `chip`; `fill` programs its EFUSE's map.
pub(super) fn board_of(chip: Chip, fill: impl FnOnce(&mut [u8])) -> Board {
    let chip = chip.info();
    let mut map = vec![0xff; chip.efuse.logical_size];
    fill(&mut map);
    Board {
        chip,
        cut: 1,
        chains: chip.chains,
        allows_80_mhz: true,
        efuse: EfuseInfo::new(&chip.efuse, &map, 512),
        speed: airlift_hcd::Speed::High,
        bulk_out: 3,
    }
}

/// A radio on a bus of its own.
pub(super) fn radio(board: Board) -> (Phy, RadioBus) {
    let bus = RadioBus::new();
    let regs = Regs::new(bus.clone(), Io::Posted, board.chip.shadow);
    let phy = Phy::new(&regs, Rc::new(board)).expect("a board that tables are for");
    (phy, bus)
}

/// A channel by its command-line form and width.
pub(super) fn channel(primary: u16, mhz: u16) -> Channel {
    let width = crate::channel::Width::from_mhz(mhz).expect("a width");
    Channel::new(primary, width).expect("a channel")
}
