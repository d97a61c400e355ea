//! Frames a second from full transfers to an application's stream, with allocations and copies a frame.
//!
//! `cargo bench -p airlift-wifi --bench rx` prints a line for each mix of frames and each way to read; what is
//! shown is the best of all rounds, since others may want the processor too. What is timed: taking the transfer
//! apart, metadata, queueing, waking, and the reader's taking and dropping of each frame. What is not: filling
//! the buffers, which the USB controller does.

use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

use airlift_wifi::{Chip, FrameStream, Receiver, StreamOptions};
use bytes::BytesMut;
use futures::StreamExt;
use futures::executor::block_on;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Transfers that are filled at a time.
const ROUND: usize = 64;

/// A transfer, full as the driver has room, of frames of `len` bytes (check sequence counted), and how many there are.
fn aggregate(len: usize) -> (Vec<u8>, usize) {
    let mut bytes: Vec<u8> = Vec::new();
    let mut frames = 0;
    while bytes.len().next_multiple_of(8) + 24 + 32 + len <= Receiver::TRANSFER {
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        // Length, four units of PHY status which is filled in; MCS 7 with a short guard interval.
        bytes.extend((len as u32 | 4 << 16 | 1 << 26).to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(0x13u32.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend((1000 * frames as u32).to_le_bytes());
        bytes.extend([60; 32]);
        let mut frame = vec![0x88, 0x41, 0, 0, 2, 0, 0, 0, 0, 1];
        frame.resize(len, 0);
        bytes.extend(frame);
        frames += 1;
    }
    (bytes, frames)
}

fn fill(template: &[u8]) -> Vec<BytesMut> {
    (0..ROUND)
        .map(|_| {
            let mut buffer = BytesMut::with_capacity(Receiver::TRANSFER);
            buffer.extend_from_slice(template);
            buffer
        })
        .collect()
}

struct Measured {
    frames: u64,
    time: Duration,
    allocations: usize,
    copied: u64,
}

impl Measured {
    fn print(&self, name: &str, len: usize) {
        let frames = self.frames as f64;
        println!(
            "{name:<24} {len:>5} B  {:>12.0} frames/s  {:>6.3} allocations/frame  {:>5.3} copies/frame",
            frames / self.time.as_secs_f64(),
            self.allocations as f64 / frames,
            self.copied as f64 / frames,
        );
    }
}

/// Reads what a round brought.
fn drain(stream: &mut FrameStream) {
    while let Some(frame) = stream.try_next() {
        black_box(frame.signal_dbm());
    }
}

/// One thread feeds the receiver and reads `readers` streams in turn.
fn same_thread(template: &[u8], per_aggregate: usize, readers: usize, rounds: usize) -> Measured {
    let mut receiver = Receiver::new(Chip::Rtl8812au, 2);
    let mut streams: Vec<_> = (0..readers).map(|_| receiver.source().open(StreamOptions::new())).collect();
    let (mut time, mut allocations) = (Duration::MAX, 0);
    for round in 0..=rounds {
        let transfers = fill(template);
        let region = Region::new(ALLOCATOR);
        let start = Instant::now();
        for (at, transfer) in transfers.into_iter().enumerate() {
            receiver.aggregate(transfer, Duration::from_micros(at as u64));
            for stream in &mut streams {
                drain(stream);
            }
        }
        // The first round warms up the memory that is kept.
        if round > 0 {
            time = time.min(start.elapsed());
            allocations = region.change().allocations;
        }
    }
    let copied = streams.iter().map(|stream| stream.stats().copied).sum();
    assert!(streams.iter().all(|stream| stream.stats().queue == 0), "nothing may be lost");
    Measured { frames: (ROUND * per_aggregate) as u64, time, allocations, copied }
}

/// The receiver's thread feeds, another one awaits the stream.
fn two_threads(template: &[u8], per_aggregate: usize, rounds: usize) -> Measured {
    let mut receiver = Receiver::new(Chip::Rtl8812au, 2);
    let options = StreamOptions::new().budget(4 * ROUND * Receiver::TRANSFER);
    let mut stream = receiver.source().open(options);
    let (done, finished) = std::sync::mpsc::channel();
    let per_round = ROUND * per_aggregate;
    let reader = std::thread::spawn(move || {
        let mut taken = 0;
        while let Some(frame) = block_on(stream.next()) {
            black_box(frame.signal_dbm());
            taken += 1;
            if taken % per_round == 0 && done.send(Instant::now()).is_err() {
                break;
            }
        }
        stream.stats()
    });
    let (mut time, mut allocations) = (Duration::MAX, 0);
    for round in 0..=rounds {
        let transfers = fill(template);
        let region = Region::new(ALLOCATOR);
        let start = Instant::now();
        for (at, transfer) in transfers.into_iter().enumerate() {
            receiver.aggregate(transfer, Duration::from_micros(at as u64));
        }
        let end = finished.recv().expect("the reader takes every frame");
        if round > 0 {
            time = time.min(end - start);
            allocations = region.change().allocations;
        }
    }
    drop(receiver);
    let stats = reader.join().expect("the reader does not panic");
    assert_eq!(stats.queue, 0, "nothing may be lost");
    Measured { frames: per_round as u64, time, allocations, copied: stats.copied }
}

fn main() {
    // `cargo test --benches` runs this too, to see that it works.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { 50 } else { 1 };
    for len in [1500, 300, 14] {
        let (template, frames) = aggregate(len);
        same_thread(&template, frames, 1, rounds).print("one thread, one reader", len);
        same_thread(&template, frames, 4, rounds).print("one thread, 4 readers", len);
        two_threads(&template, frames, rounds).print("reader on a thread", len);
    }
}
