//! `airlift inject`: sends the frames of a file, and tells what became of them.
//!
//! A thread reads the file, so that a pipe may keep it waiting; at most [`AHEAD`] packets wait here, and frames go to
//! the interface as fast as its queue takes them or as the user allows. An interrupt takes the interface down, which
//! tells what became of every frame that it had. Neighbours: [`crate::session`] brings the adapter up, [`fate`] says
//! how a frame ended, [`tally`] keeps the account.

mod fate;
mod tally;

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use airlift_wifi::pcapng::{LINK_IEEE802_11, LINK_IEEE802_11_RADIOTAP, Packet, PacketReader, ReadError};
use airlift_wifi::{StreamEnd, Ticket, TxFrame};
use flate2::read::MultiGzDecoder;
use futures::channel::mpsc;
use futures::future::{FusedFuture as _, OptionFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _, pin_mut};

use crate::args::{self, Source};
use crate::capture::apart;
use crate::devices;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::{Counter, notice, shown};
use crate::render::counted;
use crate::session::Session;
use fate::Fate;
use tally::Tally;

/// Packets that are read ahead.
const AHEAD: usize = 64;
/// Bytes of a frame's check sequence.
const FCS_LEN: usize = 4;
/// First bytes of a gzip member (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why no more frames are sent.
#[derive(Debug)]
enum Ending {
    /// The file is over, or as many as asked for were sent.
    Enough,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// The file cannot be read further.
    Source(ReadError),
    /// The interface ended first.
    Interface(StreamEnd),
}

/// Carries the command out.
///
/// # Errors
/// Everything that ends it before all frames were sent, and frames that could not be.
pub(crate) async fn run(options: args::Inject) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::listen();
    let choice = devices::choose(&options.adapter, false)?;
    let read_from = match &options.read {
        Source::File(path) => Some(path.as_path()),
        Source::Stdin => None,
    };
    apart([("--read", read_from), ("--usb-trace", options.adapter.usb_trace.as_deref())])?;
    // Opened before the adapter is, so that a wrong name costs nothing.
    let source = options.read.clone();
    let packets = interrupt.unless(move || read(&source)).await?;
    let session = Session::start(&options.adapter, choice, None, &mut interrupt).await?;
    let result = send(&options, &session, packets, &mut interrupt).await;
    let end = session.end().await;
    let exit = result?;
    end?;
    Ok(exit)
}

/// Begins to read the packets.
fn read(source: &Source) -> Result<mpsc::Receiver<Result<Packet, ReadError>>, Failure> {
    let input: Box<dyn Read + Send> = match source {
        Source::Stdin => Box::new(io::stdin()),
        Source::File(path) => {
            let failed =
                |error: io::Error| Failure::failed(format!("cannot read {}: {error}", path.display()));
            let file = File::open(path).map_err(failed)?;
            // It can be opened, and fails when it is read.
            if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                return Err(failed(io::ErrorKind::IsADirectory.into()));
            }
            Box::new(file)
        }
    };
    let (mut give, packets) = mpsc::channel(AHEAD);
    let reader = std::thread::Builder::new().name("airlift reader".into()).spawn(move || {
        let (packets, unreadable) = match unpacked(input) {
            Ok(plain) => (Some(PacketReader::new(BufReader::new(plain))), None),
            Err(error) => (None, Some(Err(ReadError::Io(Arc::new(error))))),
        };
        for packet in packets.into_iter().flatten().chain(unreadable) {
            // Nobody wants any more.
            if futures::executor::block_on(give.send(packet)).is_err() {
                break;
            }
        }
    });
    // The thread ends with the file or with the program: it may wait for a pipe on which nothing comes.
    reader.map(drop).map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
    Ok(packets)
}

/// What a file holds, unpacked if it is packed with gzip.
fn unpacked(mut input: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut head = Vec::new();
    input.by_ref().take(GZIP.len() as u64).read_to_end(&mut head)?;
    let packed = head == GZIP;
    let whole = Cursor::new(head).chain(input);
    Ok(if packed { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) })
}

/// What is told of frames: the account, and a line of JSON for each if that is asked for.
struct Told {
    tally: Tally,
    line: Counter,
    /// The way to standard output, until it cannot be written to any more.
    json: bool,
    failed: Option<Failure>,
}

impl Told {
    fn over(&mut self, number: u64, fate: impl Into<Fate>) {
        let fate = fate.into();
        self.tally.add(number, &fate);
        self.line.show(self.tally.read);
        if !self.json {
            return;
        }
        if let Err(error) = writeln!(io::stdout().lock(), "{}", fate.json(number)) {
            // Frames are sent whether or not somebody reads of them.
            self.json = false;
            self.failed = (error.kind() != io::ErrorKind::BrokenPipe)
                .then(|| Failure::failed(format!("cannot write standard output: {error}")));
        }
    }
}

/// Sends the packets, waits for what becomes of them, and tells the account.
async fn send(
    options: &args::Inject,
    session: &Session,
    mut packets: mpsc::Receiver<Result<Packet, ReadError>>,
    interrupt: &mut Interrupt,
) -> Result<Exit, Failure> {
    let begin = Instant::now();
    let mut told = Told { tally: Tally::default(), line: Counter::new(), json: options.json, failed: None };
    let mut tickets = FuturesUnordered::new();
    let mut ending = pass_on(options, session, &mut packets, &mut tickets, &mut told, interrupt).await;
    while !tickets.is_empty() && !matches!(ending, Ending::Interrupted) {
        tokio::select! {
            biased;
            Some((number, fate)) = tickets.next() => told.over(number, fate),
            () = interrupt.come() => ending = Ending::Interrupted,
        }
    }
    // What the adapter has is sent, all else is given back, and every ticket tells which.
    let down = if tickets.is_empty() { Ok(()) } else { session.wlan.down().await };
    while let Some((number, fate)) = tickets.next().await {
        told.over(number, fate);
    }
    let Told { tally, line, failed, .. } = told;
    drop(line);
    if let Some(end) = session.wlan.end().filter(|_| matches!(ending, Ending::Enough)) {
        ending = Ending::Interface(end);
    }
    notice(format_args!("{} in {}", counted(tally.read, "frame"), shown(begin.elapsed())));
    for text in tally.lines() {
        notice(text);
    }
    debug_assert!(tally.is_complete(), "{tally:?}");
    down?;
    match ending {
        Ending::Interrupted => Ok(Exit::Interrupted),
        Ending::Source(error) => Err(cannot_read(&options.read, &error)),
        Ending::Interface(end) => Err(session.ended(end)),
        Ending::Enough if tally.not_sent() > 0 => {
            Err(Failure::failed(format!("{} could not be sent", counted(tally.not_sent(), "frame"))))
        }
        Ending::Enough => failed.map_or(Ok(Exit::Done), Err),
    }
}

fn cannot_read(source: &Source, error: &ReadError) -> Failure {
    let name = match source {
        Source::Stdin => "standard input".into(),
        Source::File(path) => path.display().to_string(),
    };
    Failure::failed(format!("cannot read {name}: {error}"))
        .help("--read takes pcap and pcapng files with 802.11 frames, plain or gzip")
}

/// A ticket with the frame's number in the file.
struct Numbered {
    number: u64,
    ticket: Ticket,
}

impl Future for Numbered {
    type Output = (u64, Fate);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let number = self.number;
        Pin::new(&mut self.ticket).poll(context).map(|sent| (number, sent.into()))
    }
}

/// Hands packets to the interface until something ends it.
async fn pass_on(
    options: &args::Inject,
    session: &Session,
    packets: &mut mpsc::Receiver<Result<Packet, ReadError>>,
    tickets: &mut FuturesUnordered<Numbered>,
    told: &mut Told,
    interrupt: &mut Interrupt,
) -> Ending {
    let gap = options.rate_limit.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let mut due = session.clock.now();
    while options.count.is_none_or(|count| told.tally.read < count) {
        let wait = due.saturating_sub(session.clock.now());
        let turn = OptionFuture::from((!wait.is_zero()).then(|| session.sleep(wait))).fuse();
        pin_mut!(turn);
        let packet = loop {
            let next = async {
                if !turn.is_terminated() {
                    (&mut turn).await;
                }
                packets.next().await
            };
            tokio::select! {
                biased;
                () = interrupt.come() => return Ending::Interrupted,
                end = session.wlan.closed() => return Ending::Interface(end),
                Some((number, fate)) = tickets.next() => told.over(number, fate),
                packet = next => break packet,
            }
        };
        let packet = match packet {
            None => return Ending::Enough,
            Some(Err(error)) => return Ending::Source(error),
            Some(Ok(packet)) => packet,
        };
        told.tally.read += 1;
        let number = told.tally.read;
        // Behind with the pace, nothing is caught up: a limit is a limit.
        if let Some(gap) = gap {
            due = due.max(session.clock.now()) + gap;
        }
        let frame = match frame(packet) {
            Ok(frame) => frame,
            Err(fate) => {
                told.over(number, fate);
                continue;
            }
        };
        tokio::select! {
            biased;
            ticket = session.wlan.send(frame) => tickets.push(Numbered { number, ticket }),
            () = interrupt.come() => {
                told.over(number, Fate::NotSent("interrupted before the adapter had room for it".into()));
                return Ending::Interrupted;
            }
        }
    }
    Ending::Enough
}

/// The frame in a packet, or why there is none that can be sent.
fn frame(packet: Packet) -> Result<TxFrame, Fate> {
    if packet.is_cut_short() {
        return Err(Fate::Refused("the capture holds only its beginning".into()));
    }
    match packet.link_type {
        LINK_IEEE802_11_RADIOTAP => {
            TxFrame::from_radiotap(packet.bytes).map_err(|error| Fate::from(Err(error)))
        }
        LINK_IEEE802_11 => {
            let end = packet.bytes.len().saturating_sub(if packet.has_fcs { FCS_LEN } else { 0 });
            Ok(TxFrame::new(packet.bytes.slice(..end)))
        }
        other => Err(Fate::Refused(format!(
            "link type {other}, expected {LINK_IEEE802_11_RADIOTAP} (802.11 with radiotap) or {LINK_IEEE802_11} (802.11)"
        ))),
    }
}
