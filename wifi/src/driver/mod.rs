//! The driver: from an adapter without power to received frames, and back.
//!
//! [`Adapter::bring_up`] runs the stages of [`Stage`] in order, as mainline does for an interface in monitor mode
//! (rtw88 `rtw88xxa.c`, `rtw88xxa_power_on`; `main.c`, `rtw_core_start`), but powers the chip up once, downloads its
//! firmware once and reads its EFUSE in between. [`control`] owns the adapter in a kernel task and serves
//! [`Wlan`](crate::Wlan); [`receive`] is a second task that keeps bulk transfers going.
//!
//! Where it differs from mainline on purpose:
//!
//! | mainline | here |
//! |---|---|
//! | power-on and firmware at probe, again when the interface goes up | once |
//! | CR = 0xff, HWSEQ_CTRL = 0x7f, CR = 0x2ff at probe, 2 ms apart | left out: `up` sets both anew |
//! | all 512 EFUSE cells | as far as they are programmed; of words that nothing uses the header alone |
//! | receive filter as the MAC table leaves it, then as for a station, then as for a monitor | shut once the MAC table is loaded, since what comes through has neither check sequence nor signal; the last value after the channel is set |
//! | USB receive aggregation by its watchdog, on traffic | once, when reception starts |
//! | FWHW_TXQ_CTRL bit 7 set and cleared again, USTIME_* and DROP_DATA_EN set twice | the last value, once |
//! | reads the old value of whole bytes that it overwrites | writes them |
//! | never looks at the TSF | reads it once, so that the upper half of time stamps is known |
//! | Bluetooth coexistence as the other part's traffic and messages want it | as it is set up, by band |
//! | on another channel of the same band sets all that depends on the channel | sets what differs; the three fields of RF CFGCH as one word |
//! | on any channel sets the powers of all rates | as long as nothing is sent, a hop leaves them to the first frame |
//! | at super speed clears the USB mode's bits in SYS_SDIO_CTRL and ACLK_MON at probe, and both registers at every start | at every start |
//! | watchdog: initial gain, power tracking, every 2 s | none |

mod control;
mod download;
mod efuse_read;
mod flights;
mod mac;
mod mac3081;
mod numbers;
mod power;
mod queues;
mod receive;
mod serve;
mod transmit;
mod usb;
mod usb_mode;

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use airlift_hcd::UsbDevice;
use airlift_regs::mac as mac_regs;
use airlift_runtime::Cpu;

pub use usb_mode::UsbSwitch;

pub(crate) use control::{Belongings, Command, Link, Own, Up, start, stream_end};

use crate::channel::Channel;
use crate::chip::{Board, Chip, Mac};
use crate::error::{Error, Stage};
use crate::firmware::Image;
use crate::phy::Phy;
use crate::regio::{Io, Regs};
use mac3081::packet::HighEndpoint;
use usb::{Endpoints, UsbBus};
use usb_mode::{Decision, Permit};

/// What bring-up needs to know.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) chip: Chip,
    pub(crate) channel: Channel,
    pub(crate) io: Io,
    pub(crate) bad_fcs: bool,
    pub(crate) control_frames: bool,
    pub(crate) aggregation: bool,
    pub(crate) usb3_switch: bool,
    pub(crate) progress: Option<ProgressSink>,
}

/// Hears of bring-up's progress.
pub(crate) type ProgressSink = std::sync::Arc<dyn Fn(Progress) + Send + Sync>;

/// How far bring-up has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// The stage that runs; its number counts towards [`Stage::BRING_UP`].
    pub stage: Stage,
    /// How much of the stage is done, 0 to 100.
    pub percent: u8,
}

/// What bringing an interface up took, the way to USB 3 with the bring-up before it included.
///
/// The counts follow from what the driver did and from what the adapter answered, not from how threads happened to
/// run: the same adapter in the same state gives the same counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct BringUpStats {
    /// Control transfers.
    pub transfers: u64,
    /// Those of them that read.
    pub reads: u64,
    /// Those of them before which the driver waited until none was on its way: a round trip on the bus each. With
    /// [`WlanOptions::serial_io`](crate::WlanOptions::serial_io) that is all of them.
    pub waits: u64,
    /// Whether the adapter was switched to USB 3.
    pub usb_switch: UsbSwitch,
    /// How long it took on the kernel's clock, from the first transfer to frames being let in.
    pub duration: Duration,
}

/// An adapter that has power: its registers, radio and facts. Lives in the control task.
struct Adapter {
    device: UsbDevice,
    endpoints: Endpoints,
    regs: Regs,
    settings: Settings,
    /// What is known of the board; `None` until its EFUSE was read.
    board: RefCell<Option<Rc<Board>>>,
}

/// What bring-up found out.
struct Found {
    board: Rc<Board>,
    phy: Phy,
    usb_switch: UsbSwitch,
}

/// How bring-up ended.
enum Brought {
    /// The channel is set.
    Up(Box<Found>),
    /// The adapter, switched off, was told to leave the bus; the end of the transfer that told it so.
    Leaving(Result<(), Error>),
}

impl Adapter {
    /// Looks at the USB interface. Touches no register.
    fn new(cpu: Cpu, device: UsbDevice, settings: Settings) -> Result<Self, Error> {
        let endpoints = Endpoints::find(device.configuration())?;
        let bus = UsbBus::new(device.clone(), cpu);
        let regs = Regs::new(bus, settings.io, settings.chip.info().shadow);
        Ok(Self { device, endpoints, regs, settings, board: RefCell::new(None) })
    }

    fn enter(&self, stage: Stage) {
        self.regs.enter(stage);
        self.report(stage, 0);
    }

    fn report(&self, stage: Stage, percent: u8) {
        if let Some(progress) = &self.settings.progress {
            progress(Progress { stage, percent });
        }
    }

    /// From power-on to the channel being set; the receive filter is still shut.
    ///
    /// If the EFUSE asks for USB 3 and `permit` lets it, the adapter is told to leave instead.
    ///
    /// Dropping the future leaves the chip between two states; [`power_off`](Self::power_off) gets it out of there.
    async fn bring_up(&self, image: &Image, permit: Permit) -> Result<Brought, Error> {
        let (regs, chip) = (&self.regs, self.settings.chip.info());
        self.enter(Stage::Power);
        let version = power::identify(regs, chip).await?;
        match &chip.mac {
            Mac::With8051(own) => power::power_on(regs, chip, own, version).await?,
            Mac::With3081(own) => mac3081::power::power_on(regs, chip, own).await?,
        }

        let sink = HighEndpoint { device: self.device.clone(), endpoint: self.endpoints.high() };
        match &chip.mac {
            Mac::With8051(_) => {
                self.enter(Stage::Queues);
                queues::write_page_list(regs, chip).await?;
            }
            // The chip makes the list by itself when the queues are set up.
            Mac::With3081(_) => {}
        }

        self.enter(Stage::Firmware);
        let percent = |done: usize, all: usize| u8::try_from(done * 100 / all.max(1)).unwrap_or(100);
        let report = |done, all| self.report(Stage::Firmware, percent(done, all));
        match &chip.mac {
            Mac::With8051(_) => download::download(regs, image, &report).await?,
            Mac::With3081(_) => mac3081::download::download(regs, &sink, image, &report).await?,
        }

        self.enter(Stage::Efuse);
        let efuse = efuse_read::read(regs, chip).await?;
        let found = &efuse.info;
        tracing::debug!(
            cells = found.cells,
            cut = version.cut,
            chains = efuse.chains,
            rfe_option = found.rfe_option,
            channel_plan = found.channel_plan,
            country = ?found.country,
            thermal_meter = found.thermal_meter,
            may_switch_to_usb3 = found.usb_mode_switch,
            "read the EFUSE"
        );
        let board = Rc::new(Board {
            chip,
            cut: version.cut,
            chains: efuse.chains,
            allows_80_mhz: efuse.allows_80_mhz,
            efuse: efuse.info,
            speed: self.device.speed(),
            bulk_out: u8::try_from(self.endpoints.bulk_out.len()).unwrap_or(u8::MAX),
        });
        self.board.replace(Some(board.clone()));
        let usb_switch = match usb_mode::decide(regs, &board, permit).await? {
            Decision::Stay(usb_switch) => usb_switch,
            Decision::Go(way) => {
                self.enter(Stage::UsbSwitch);
                self.switch_off(true).await?;
                return usb_mode::leave(regs, way).await.map(Brought::Leaving);
            }
        };
        let phy = Phy::new(regs, board.clone())?;

        self.enter(Stage::Mac);
        match &chip.mac {
            Mac::With8051(own) => {
                regs.write(mac_regs::HMETFR, 0x0f).await?;
                phy.load_mac().await?;
                mac::shut_filter(regs).await?;
                mac::configure(regs, &board, own).await?;
            }
            Mac::With3081(own) => mac3081::configure::configure(regs, &board, own, &phy).await?,
        }

        self.enter(Stage::Baseband);
        phy.init_baseband().await?;
        self.enter(Stage::Radio);
        phy.init_radio().await?;

        self.enter(Stage::Channel);
        phy.init_band().await?;
        match &chip.mac {
            Mac::With8051(_) => mac::finish(regs).await?,
            Mac::With3081(own) => mac3081::configure::finish(regs, &sink, &board, own).await?,
        }
        phy.coex().set_up().await?;
        mac::security_engine(regs).await?;
        phy.set_channel(self.settings.channel).await?;
        regs.barrier().await?;
        Ok(Brought::Up(Box::new(Found { board, phy, usb_switch })))
    }

    /// Sets up how frames are packed, and reads the TSF.
    async fn prepare(&self) -> Result<u64, Error> {
        self.enter(Stage::Receive);
        if self.settings.aggregation {
            match self.settings.chip.info().mac {
                Mac::With8051(_) => mac::receive_aggregation(&self.regs, self.device.speed(), true).await?,
                Mac::With3081(_) => mac3081::configure::receive_aggregation(&self.regs, true).await?,
            }
        }
        mac::tsf(&self.regs).await
    }

    /// Lets frames in. Bulk transfers are waiting for them already.
    async fn open(&self) -> Result<(), Error> {
        mac::open_filter(&self.regs, self.settings.bad_fcs, self.settings.control_frames).await?;
        self.regs.barrier().await?;
        self.report(Stage::Receive, 100);
        self.regs.enter(Stage::Up);
        Ok(())
    }

    /// Shuts the receive filter: what the chip has taken in still comes, nothing new does.
    async fn shut(&self) -> Result<(), Error> {
        self.regs.enter(Stage::Down);
        mac::shut_filter(&self.regs).await?;
        self.regs.barrier().await
    }

    /// Switches the chip off, whatever state it is in.
    async fn power_off(&self) -> Result<(), Error> {
        self.regs.enter(Stage::Down);
        // Writes of a sequence that was given up may still be on their way, and may fail.
        let _ = self.regs.barrier().await;
        self.regs.bypass_shadow(false);
        self.switch_off(false).await
    }

    /// Switches the chip off; `leaving`: before any of coexistence was set up, so that it leaves the bus.
    async fn switch_off(&self, leaving: bool) -> Result<(), Error> {
        let bt_coex = self.board.borrow().as_ref().is_some_and(|board| board.efuse.bt_coex);
        let chip = self.settings.chip.info();
        match &chip.mac {
            Mac::With8051(own) => power::power_off(&self.regs, chip, own, self.device.speed(), bt_coex).await,
            Mac::With3081(_) if leaving => mac3081::power::mac_power_off(&self.regs, chip).await,
            Mac::With3081(_) => mac3081::power::power_off(&self.regs, chip, bt_coex).await,
        }
    }
}
