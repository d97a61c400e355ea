//! What the control task does while the interface is up: it serves commands one after the other, sets the power that a
//! hop has left out when a frame wants it, and tells the firmware what it had no room for.

use core::pin::pin;
use core::time::Duration;

use airlift_hcd::UsbDevice;
use airlift_runtime::Cpu;
use futures::channel::oneshot;
use futures::{FutureExt as _, select_biased};

use super::control::{Answer, Command, End, Inbox, frames_of, lock};
use super::{Adapter, Found};
use crate::channel::Channel;
use crate::error::{Error, ErrorKind, Stage};

/// How long the firmware is left to make room for what it could not be told: at first, and, doubled each time, at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Says everywhere where the radio is, as far as anybody knows.
fn tell_channel(cpu: &Cpu, end: &End, channel: Option<Channel>) {
    lock(&end.state).channel = channel;
    if let Some(receiver) = end.sink.borrow_mut().as_mut() {
        receiver.set_channel(channel, cpu.now());
    }
}

/// Has the radio `change` its channel, and says everywhere where it is: nowhere while that lasts, nor after a failure,
/// since what is received then may be of either channel.
async fn tune(
    cpu: &Cpu,
    found: &Found,
    end: &End,
    change: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let _paused = end.flights.pause(cpu).await;
    tell_channel(cpu, end, None);
    let result = change.await;
    arrived(cpu, found, end);
    result
}

/// After a change of channel, whatever came of it.
fn arrived(cpu: &Cpu, found: &Found, end: &End) {
    tell_channel(cpu, end, found.phy.channel());
    end.flights.set_power(!found.phy.power_is_stale());
}

/// Sets the power that a hop has left out. If that fails the frames that wait for it fail, and the next one has it tried
/// again.
async fn freshen_power(found: &Found, end: &End) -> Result<(), Error> {
    let result = found.phy.freshen_power().await;
    if let Err(error) = &result {
        end.flights.fail_waiting(error);
    }
    end.flights.set_power(!found.phy.power_is_stale());
    result
}

/// Tells the firmware what it had no room for, as far as it has now. Whatever else is asked for does not depend on that.
async fn catch_up(found: &Found, pause: &mut Duration) {
    if !found.phy.coex().owes() {
        return;
    }
    if let Err(error) = found.phy.coex().catch_up().await {
        tracing::debug!(%error, "the firmware could not be told what it had no room for");
    }
    *pause = if found.phy.coex().owes() { (*pause * 2).min(LAST_PAUSE) } else { FIRST_PAUSE };
}

/// The end of an interface that nobody wants any more.
fn down() -> Error {
    Error::new(Stage::Up, ErrorKind::Down)
}

/// What the control task is to do next.
enum Next {
    Command(Command),
    /// The power that a hop has left out is wanted.
    Power,
    /// It is time to look whether the firmware has room.
    CatchUp,
    /// The interface ends, and why.
    End(Error),
}

/// Waits for it. Dropping the future loses nothing.
async fn next(
    cpu: &Cpu,
    device: &UsbDevice,
    found: &Found,
    inbox: &Inbox,
    end: &End,
    mut failed: &mut oneshot::Receiver<Error>,
    pause: Duration,
) -> Next {
    let time_to_catch_up = async {
        if !found.phy.coex().owes() {
            return core::future::pending().await;
        }
        cpu.sleep(pause).await;
    };
    let (mut inbox, mut wanted) = (pin!(inbox.0.recv().fuse()), pin!(end.flights.power_wanted().fuse()));
    let (mut closed, mut time_to_catch_up) = (pin!(device.closed().fuse()), pin!(time_to_catch_up.fuse()));
    select_biased! {
        // Without an error every handle was dropped.
        command = inbox => command.map_or_else(|_| Next::End(down()), Next::Command),
        () = wanted => Next::Power,
        () = closed => Next::End(Error::new(Stage::Up, ErrorKind::Unplugged)),
        error = failed => Next::End(error.unwrap_or_else(|_| down())),
        () = time_to_catch_up => Next::CatchUp,
    }
}

/// Serves commands until the interface ends; why, and who is to be told.
pub(super) async fn serve(
    cpu: &Cpu,
    device: &UsbDevice,
    adapter: &Adapter,
    found: &Found,
    inbox: &Inbox,
    end: &End,
    failed: &mut oneshot::Receiver<Error>,
) -> (Error, Option<Answer<()>>) {
    let mut pause = FIRST_PAUSE;
    loop {
        // A command may have told all of it itself, or have had it forgotten.
        if !found.phy.coex().owes() {
            pause = FIRST_PAUSE;
        }
        let next = next(cpu, device, found, inbox, end, failed, pause).await;
        // As for switching off: a command gets its time however far a reader is behind.
        let _time_runs = frames_of(end).map(|frames| frames.let_time_run());
        let command = match next {
            Next::Command(command) => command,
            Next::Power => {
                if let Err(error) = freshen_power(found, end).await {
                    tracing::warn!(%error, "the power for frames could not be set");
                }
                // The frames that waited for it come before the next command.
                cpu.yield_now().await;
                continue;
            }
            Next::CatchUp => {
                catch_up(found, &mut pause).await;
                continue;
            }
            Next::End(reason) => return (reason, None),
        };
        if !matches!(command, Command::Down(_)) {
            catch_up(found, &mut pause).await;
        }
        match command {
            Command::SetChannel(channel, answer) => {
                let _ = answer.send(tune(cpu, found, end, found.phy.set_channel(channel)).await);
            }
            Command::Hop(channel, answer) => {
                // Asked when nothing more is sent: an interface that sends has its power set before it is on the channel.
                let change = async { found.phy.hop(channel, end.flights.sends()).await };
                let _ = answer.send(tune(cpu, found, end, change).await);
            }
            Command::SetTxPower(power, answer) => {
                let half_dbm = power.map(|dbm| i16::from(dbm) * 2);
                let result = found.phy.set_tx_power(half_dbm).await;
                end.flights.set_power(!found.phy.power_is_stale());
                let _ = answer.send(result);
            }
            Command::Calibrate(answer) => {
                adapter.regs.enter(Stage::Calibrate);
                let result = match freshen_power(found, end).await {
                    Ok(()) => found.phy.calibrate().await,
                    failed => failed,
                };
                adapter.regs.enter(Stage::Up);
                let _ = answer.send(result);
            }
            Command::Down(answer) => return (down(), Some(answer)),
        }
        cpu.cond_resched().await;
    }
}
