//! The file, byte by byte.

use super::*;
use crate::setup::Setup;

/// Somewhere to write to that a test can look into.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn submit(setup: Option<Setup>, data: &[u8], length: usize, endpoint: u8) -> Record<'_> {
    Record {
        urb: 0x0001_0000_0000_0007,
        transfer_type: if setup.is_some() { TransferType::Control } else { TransferType::Bulk },
        endpoint,
        device: 1,
        event: Event::Submit { setup, length, data },
    }
}

fn packet(record: &Record<'_>) -> Vec<u8> {
    let mut block = Vec::new();
    record.emit(Duration::new(5, 6_007), &mut block);
    assert_eq!(block.len(), record.len());
    let length = u32::from_le_bytes(block[20..24].try_into().unwrap()) as usize;
    assert_eq!(block[4..8], block[block.len() - 4..], "both lengths agree");
    let stamp = 5_000_006_007_u64;
    assert_eq!(block[12..16], ((stamp >> 32) as u32).to_le_bytes());
    assert_eq!(block[16..20], (stamp as u32).to_le_bytes());
    block[28..28 + length].to_vec()
}

#[test]
fn h5_a_control_submission_carries_its_setup_packet() {
    let setup = Setup::vendor_in(5, 0x00f0, 0, 4);
    let packet = packet(&submit(Some(setup), &[], 4, 0x80));
    let expected = [
        7, 0, 0, 0, 0, 0, 1, 0, b'S', 2, 0x80, 1, 1, 0, 0,
        b'<', // id, type, transfer, endpoint, device, bus, flags
        5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0x8d, 0xff, 0xff,
        0xff, // seconds, microseconds, -EINPROGRESS
        4, 0, 0, 0, 0, 0, 0, 0, 0xc0, 5, 0xf0, 0, 0, 0, 4, 0, // lengths, set-up packet
        0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, // interval, start frame, flags, descriptors
    ];
    assert_eq!(packet, expected);
}

#[test]
fn h5_data_goes_with_the_submission_out_and_with_the_end_in() {
    let out = packet(&submit(None, &[1, 2, 3, 4, 5], 5, 0x02));
    assert_eq!((out[8], out[9], out[10], out[14], out[15]), (b'S', 3, 2, b'-', 0));
    assert_eq!(out[64..], [1, 2, 3, 4, 5]);
    let end = |endpoint, status, actual, data| {
        let event = Event::Complete { status, actual, data };
        packet(&Record { event, ..submit(None, &[], 0, endpoint) })
    };
    let sent = end(0x02, Ok(()), 5, &[]);
    assert_eq!((sent[8], sent[15], sent.len()), (b'C', b'>', 64));
    assert_eq!((&sent[28..32], &sent[32..36], &sent[36..40]), (&[0; 4][..], &[5, 0, 0, 0][..], &[0; 4][..]));
    let came = end(0x81, Ok(()), 2, &[8, 9]);
    assert_eq!((came[15], &came[64..]), (0, &[8, 9][..]));
    let stalled = end(0x81, Err(TransferError::Stall), 0, &[]);
    assert_eq!(stalled[28..32], (-32_i32).to_le_bytes());
}

#[test]
fn h5_a_file_is_head_records_and_statistics() {
    let sink = Sink::default();
    let trace = Trace::start(sink.clone(), TraceOptions::new().application("a test")).unwrap();
    trace.file.shared.put(Duration::from_secs(1), &submit(None, &[1; 3], 3, 0x02));
    let summary = trace.finish_blocking().unwrap();
    assert_eq!((summary.records, summary.dropped), (1, 0));
    assert_eq!(trace.finish_blocking().unwrap(), summary);
    let file = sink.0.lock().unwrap().clone();
    let (mut at, mut kinds) = (0, Vec::new());
    while at < file.len() {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let length = word(at + 4) as usize;
        assert!(length.is_multiple_of(4) && word(at + length - 4) as usize == length, "block at {at}");
        kinds.push(word(at));
        at += length;
    }
    assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 5]);
    assert!(file.windows(6).any(|bytes| bytes == b"a test"));
}

#[test]
fn h5_a_trace_that_falls_behind_counts_what_it_leaves_out() {
    /// Blocks until told, so that nothing is written meanwhile.
    struct Stuck(std::sync::mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (go, told) = std::sync::mpsc::channel();
    let trace = Trace::start(Stuck(told), TraceOptions::new().budget(10_000)).unwrap();
    for _ in 0..1_000 {
        trace.file.shared.put(Duration::ZERO, &submit(None, &[0; 900], 900, 0x02));
    }
    assert!(trace.file.shared.lock().waiting.len() <= 10_000);
    drop(go);
    let summary = trace.finish_blocking().unwrap();
    assert_eq!(summary.records + summary.dropped, 1_000);
    assert!((1..=20).contains(&summary.records), "{summary:?}");
}

#[test]
fn h5_a_disk_that_fails_ends_the_trace_with_its_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let trace = Trace::start(Full, TraceOptions::new()).unwrap();
    assert_eq!(trace.finish_blocking().unwrap_err().kind(), io::ErrorKind::StorageFull);
    trace.file.shared.put(Duration::ZERO, &submit(None, &[], 0, 0x02));
    assert_eq!(trace.file.shared.lock().summary.dropped, 1);
    assert!(trace.file.shared.lock().waiting.is_empty());
}
