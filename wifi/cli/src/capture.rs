//! `airlift capture`: frames of a channel, shown and written down, until enough was seen.
//!
//! Neighbours: [`crate::session`] brings the adapter up, [`crate::output`] is where frames go.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use airlift_emu::Capture;
use airlift_wifi::{Frame, FrameStream, StreamEnd, StreamOptions};
use futures::future::{self, OptionFuture};
use futures::{FutureExt as _, StreamExt as _, pin_mut};

use crate::args::{self, Target};
use crate::devices;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{Output, Place, Written};
use crate::progress::{notice, shown};
use crate::render::{self, counted, grouped};
use crate::session::Session;

/// How often, and in how small steps of the kernel's time, frames of a finished replay are waited for that are
/// still inside the adapter.
const DRAIN_STEPS: u32 = 50;
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Why a capture ended.
#[derive(Debug)]
enum Ending {
    /// As many frames as asked for, the time asked for, or the end of the replay.
    Enough,
    /// Nobody reads standard output any more.
    Unread,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// The interface ended first.
    Stream(StreamEnd),
    /// The adapter did not go on to the next channel.
    Hop(Failure),
}

/// Carries the command out.
///
/// # Errors
/// Everything that ends a capture before what was asked for was done.
pub(crate) async fn run(options: args::Capture) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::listen();
    let choice = devices::choose(&options.adapter, options.replay.is_some())?;
    let written = match &options.write {
        Some(Target::File(path)) => Some(path.as_path()),
        _ => None,
    };
    apart([
        ("--replay", options.replay.as_ref().map(|(path, _)| path.as_path())),
        ("--write", written),
        ("--usb-trace", options.adapter.usb_trace.as_deref()),
    ])?;
    let replay = match &options.replay {
        Some((path, speed)) => {
            let path = path.clone();
            Some((interrupt.unless(move || open_replay(&path)).await?, *speed))
        }
        None => None,
    };
    let place = match options.write.clone() {
        Some(target) => Some(interrupt.unless(move || Place::open(&target)).await?),
        None => None,
    };
    let session = Session::start(&options.adapter, choice, replay, &mut interrupt).await?;
    let result = watch(&options, &session, place, &mut interrupt).await;
    let end = session.end().await;
    let exit = result?;
    end?;
    Ok(exit)
}

/// Whether the files that are read and written are different ones, by whatever names they go.
pub(crate) fn apart<'a>(
    files: impl IntoIterator<Item = (&'static str, Option<&'a Path>)>,
) -> Result<(), Failure> {
    let files: Vec<_> =
        files.into_iter().filter_map(|(option, path)| Some((option, resolved(path?)))).collect();
    for (number, (option, path)) in files.iter().enumerate() {
        if let Some((other, _)) = files[..number].iter().find(|(_, earlier)| earlier == path) {
            let message = format!("{other} and {option} name the same file, which would be lost");
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    Ok(())
}

/// The path without links and detours, also that of a file which is not there yet.
fn resolved(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    };
    let fresh = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(fresh).unwrap_or_else(|| path.to_owned())
}

/// Reads a capture that is to be put on the air.
///
/// # Errors
/// It cannot be read, or holds something else.
pub(crate) fn open_replay(path: &Path) -> Result<Capture, Failure> {
    Capture::open(path).map_err(|error| {
        Failure::failed(format!("cannot replay {}: {error}", path.display()))
            .help("--replay takes pcap and pcapng files with 802.11 frames, plain or gzip")
    })
}

/// Takes frames from the interface to the output until the end, and tells the account.
async fn watch(
    options: &args::Capture,
    session: &Session,
    place: Option<Place>,
    interrupt: &mut Interrupt,
) -> Result<Exit, Failure> {
    // A replay is to come out complete; on the air, damaged frames are counted but not shown.
    let wanted = StreamOptions::new().bad_fcs(options.replay.is_some());
    let mut stream = session.wlan.frames_with(wanted);
    let mut output = Output::begin(options, place, session, session.clock.now())?;
    if output.wants_head() {
        notice(render::HEAD);
    }
    let (begin, begin_kernel) = (Instant::now(), session.clock.now());
    session.air.start_replay();

    let mut taken = 0;
    let ending = take(options, session, &mut stream, &mut output, interrupt, &mut taken).await?;
    let (took, took_kernel) = (begin.elapsed(), session.clock.now() - begin_kernel);
    let stats = stream.stats();
    output.finish(&stats)?;

    let on_the_air = match session.clock.is_virtual() {
        true => format!(" ({} on the air)", shown(took_kernel)),
        false => String::new(),
    };
    let target = match &options.write {
        Some(Target::File(path)) => {
            format!(" \u{2192} {}", crate::escape::escaped(&path.display().to_string()))
        }
        _ => String::new(),
    };
    notice(format_args!("{} in {}{on_the_air}{target}", counted(taken, "frame"), shown(took)));
    notice(stats);
    if options.replay.is_some() && session.air.is_finished() {
        let played = session.air.stats().received;
        if played > stats.chip {
            let missing = grouped(played - stats.chip);
            notice(format_args!(
                "replay {} = chip {} + lost in the adapter {missing}",
                grouped(played),
                stats.chip
            ));
        }
    }
    match ending {
        Ending::Enough | Ending::Unread => Ok(Exit::Done),
        // Without a limit the user's word is the end that was asked for.
        Ending::Interrupted
            if options.count.is_none() && options.duration.is_none() && options.replay.is_none() =>
        {
            Ok(Exit::Done)
        }
        Ending::Interrupted => Ok(Exit::Interrupted),
        Ending::Hop(failure) => Err(failure),
        Ending::Stream(end) => Err(session.ended(end)),
    }
}

/// The loop: frames, until something ends it.
async fn take(
    options: &args::Capture,
    session: &Session,
    stream: &mut FrameStream,
    output: &mut Output,
    interrupt: &mut Interrupt,
    taken: &mut u64,
) -> Result<Ending, Failure> {
    let time_up = OptionFuture::from(options.duration.map(|duration| session.sleep(duration)));
    // An absent limit never comes.
    let time_up = async {
        if time_up.await.is_none() {
            future::pending().await
        }
    }
    .fuse();
    let replay_over = async {
        if options.replay.is_none() {
            future::pending::<()>().await;
        }
        session.air.finished().await;
    }
    .fuse();
    let hopping = hop(options.hop.as_ref(), session).fuse();
    pin_mut!(time_up, replay_over, hopping);
    loop {
        tokio::select! {
            biased;
            () = interrupt.come() => return Ok(Ending::Interrupted),
            () = &mut time_up => return Ok(Ending::Enough),
            failed = &mut hopping => {
                if let Some(end) = stream.end() {
                    return Ok(Ending::Stream(end));
                }
                // What came before it is not lost.
                let frame = stream.try_next();
                let ending = put(options, stream, output, taken, frame)?;
                return Ok(ending.unwrap_or(Ending::Hop(failed)));
            }
            frame = stream.next() => {
                let Some(frame) = frame else {
                    return Ok(stream.end().map_or(Ending::Enough, Ending::Stream));
                };
                if let Some(ending) = put(options, stream, output, taken, Some(frame))? {
                    return Ok(ending);
                }
            }
            () = &mut replay_over => {
                return Ok(drain(options, session, stream, output, taken).await?.unwrap_or(Ending::Enough));
            }
        }
    }
}

/// Goes round the channels, from the second one on; ends only if that fails.
async fn hop(round: Option<&args::Hop>, session: &Session) -> Failure {
    let round = round.filter(|round| round.channels.len() > 1);
    for channel in round.iter().flat_map(|round| &round.channels).cycle().skip(1) {
        session.sleep(round.map_or(Duration::ZERO, |round| round.dwell)).await;
        if let Err(error) = session.wlan.hop(*channel).await {
            return error.into();
        }
    }
    future::pending().await
}

/// Puts out `frame` and whatever else is queued, then lets it be seen.
fn put(
    options: &args::Capture,
    stream: &mut FrameStream,
    output: &mut Output,
    taken: &mut u64,
    mut frame: Option<Frame>,
) -> Result<Option<Ending>, Failure> {
    while let Some(next) = frame {
        *taken += 1;
        if output.put(&next)? == Written::Unread {
            return Ok(Some(Ending::Unread));
        }
        if options.count == Some(*taken) {
            output.flush()?;
            return Ok(Some(Ending::Enough));
        }
        frame = stream.try_next();
    }
    Ok((output.flush()? == Written::Unread).then_some(Ending::Unread))
}

/// After a replay's last frame: takes those that are still between the adapter and here.
async fn drain(
    options: &args::Capture,
    session: &Session,
    stream: &mut FrameStream,
    output: &mut Output,
    taken: &mut u64,
) -> Result<Option<Ending>, Failure> {
    let played = session.air.stats().received;
    for _ in 0..DRAIN_STEPS {
        let frame = stream.try_next();
        if let Some(ending) = put(options, stream, output, taken, frame)? {
            return Ok(Some(ending));
        }
        if stream.stats().chip >= played && stream.stats().waiting == 0 {
            break;
        }
        session.sleep(DRAIN_STEP).await;
    }
    Ok(None)
}
