//! The USB mode: an adapter that begins at USB 2 is switched to USB 3, where its EFUSE asks for it.
//!
//! The chip is switched off, told how to come back ([`ToUsb3`]) and to leave. It drops off the bus and comes back as
//! another device in the same port, whose bring-up begins afresh. Source: rtw88 `usb.c`, `rtw_usb_switch_mode` and
//! `rtw_usb_switch_mode_old`; mainline does so after it has read the EFUSE and switched the chip off again, unless its
//! parameter `switch_usb_mode` forbids it.
//!
//! An adapter in a port without USB 3 comes back at high speed. It remembers that it was told, and mainline does not
//! tell it again as long as it does. Here one bring-up tells an adapter once, whatever that remembers, so that
//! it cannot have the driver go in circles.

use core::pin::pin;
use core::time::Duration;

use airlift_hcd::{ReturnError, Speed, UsbDevice};
use airlift_regs::Reg;
use airlift_runtime::Cpu;
use futures::future::{Either, select};

use crate::chip::{Board, ToUsb3};
use crate::error::{Error, ErrorKind, Stage};
use crate::regio::Regs;

/// How long an adapter may take to drop off the bus, and the system to say so: where it tells no events, its devices are
/// looked at once a second.
const LEAVES_WITHIN: Duration = Duration::from_secs(4);
/// How long it may stay away: its own start, the hub's look at it, and the system's.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// What became of the switch from USB 2 to USB 3 that an adapter's EFUSE may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum UsbSwitch {
    /// There was nothing to switch: the EFUSE does not ask for it, the chip has no USB 3, or the adapter was not at
    /// high speed.
    #[default]
    NotAsked,
    /// The EFUSE asks for it, [`WlanOptions::usb3_switch`](crate::WlanOptions::usb3_switch) did not let it.
    Off,
    /// The adapter left and came back at super speed.
    Done,
    /// The adapter left and came back without super speed: its port, its cable or a hub has no USB 3.
    NoUsb3,
    /// The adapter was told to leave and did not; it goes on at high speed.
    Stayed,
    /// The adapter is at high speed and remembers, since it got its power, that it was told to use USB 3. It is not told
    /// again. What became of that is not known; most likely its port has no USB 3.
    ToldBefore,
}

/// Whether this bring-up may still tell the adapter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Permit {
    /// It may.
    Once,
    /// The application forbids it.
    Forbidden,
    /// It has.
    Spent {
        /// The adapter did not leave.
        stayed: bool,
    },
}

/// What is to be done.
pub(super) enum Decision {
    /// The adapter stays.
    Stay(UsbSwitch),
    /// It is told to go.
    Go(&'static ToUsb3),
}

/// Decides by EFUSE, speed, permission, and what the chip remembers.
pub(super) async fn decide(regs: &Regs, board: &Board, permit: Permit) -> Result<Decision, Error> {
    let way = board.chip.to_usb3.as_ref().filter(|_| board.efuse.usb_mode_switch);
    let stay = match (way, board.speed, permit) {
        (Some(_), Speed::Super, Permit::Spent { .. }) => UsbSwitch::Done,
        (Some(way), Speed::High, Permit::Once) => {
            let (addr, mask, told) = way.told;
            if regs.read(Reg::<u8>::new(addr)).await? & mask != told {
                return Ok(Decision::Go(way));
            }
            tracing::info!("the adapter was told before to use USB 3, and does not; it is not told again");
            UsbSwitch::ToldBefore
        }
        (Some(_), Speed::High, Permit::Forbidden) => UsbSwitch::Off,
        (Some(_), _, Permit::Spent { stayed: true }) => UsbSwitch::Stayed,
        (Some(_), _, Permit::Spent { stayed: false }) => UsbSwitch::NoUsb3,
        _ => UsbSwitch::NotAsked,
    };
    Ok(Decision::Stay(stay))
}

/// Tells a chip that is switched off to leave. The last write's end is handed on: the device may be gone before it
/// has answered.
///
/// Dropping the future before the last write leaves a chip that knows how it could come back, and stays.
pub(super) async fn leave(regs: &Regs, way: &ToUsb3) -> Result<Result<(), Error>, Error> {
    for &(addr, value) in way.choice {
        regs.write_at::<u8>(addr, value).await?;
    }
    regs.barrier().await?;
    tracing::info!("the adapter leaves to come back at USB 3 speed");
    let (addr, value) = way.leave;
    let told = regs.write_at::<u8>(addr, value).await;
    Ok(match told {
        Ok(()) => regs.barrier().await,
        failed => failed,
    })
}

/// Waits until the device that was told to leave is back. One that does not leave is the one that it was, if it took
/// what it was told.
pub(super) async fn back(cpu: &Cpu, left: &UsbDevice, told: Result<(), Error>) -> Result<UsbDevice, Error> {
    let begin = cpu.now();
    let gone = pin!(left.closed());
    if let Either::Right(_) = select(gone, pin!(cpu.sleep(LEAVES_WITHIN))).await {
        told?;
        tracing::warn!("the adapter was told to leave for USB 3 and stays; it goes on as it is");
        return Ok(left.clone());
    }
    let back = left.returned(BACK_WITHIN).await.map_err(|error| {
        let kind = match error {
            ReturnError::Late { limit, problem } => ErrorKind::NotBack { waited: limit, problem },
            _ => ErrorKind::Unplugged,
        };
        Error::new(Stage::UsbSwitch, kind)
    })?;
    let away = cpu.now().saturating_sub(begin);
    if back.speed() == Speed::Super {
        tracing::info!(?away, "the adapter is back at super speed");
    } else {
        tracing::warn!(
            speed = ?back.speed(),
            "the adapter came back without USB 3, which its port, its cable or a hub does not have; it goes on so"
        );
    }
    Ok(back)
}
