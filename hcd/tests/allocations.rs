//! What the way of an URB to a device and back takes from the heap, once it is warm.

use std::alloc::System;
use std::time::Duration;

use airlift_hcd::{Descriptors, FunctionUrb, HostController, Speed, Submit, Urb, UrbHandle, UsbFunction};
use airlift_runtime::{Clock, Kernel};
use bytes::BytesMut;
use futures::executor::block_on;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Takes and gives bulk transfers, each at once.
struct Bulk;

impl UsbFunction for Bulk {
    fn descriptors(&self) -> Descriptors {
        let mut configuration = vec![9, 2, 32, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 2, 0xff, 0, 0, 0];
        configuration.extend([7, 5, 0x81, 2, 0, 2, 0, 7, 5, 0x02, 2, 0, 2, 0]);
        Descriptors {
            device: [18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 0x01, 0x00, 0, 1, 0, 0, 0, 1],
            configuration,
            strings: Vec::new(),
            speed: Speed::High,
        }
    }

    fn submit(&mut self, _now: Duration, urb: FunctionUrb) -> Submit {
        if urb.is_in() { urb.reply(&[0x5a; 512]).into() } else { urb.ok().into() }
    }
}

#[test]
fn h2_an_urb_takes_nothing_from_the_heap_that_one_before_it_left() {
    const PAIRS: usize = 2_000;
    for in_flight in [2, 8] {
        let allocations = allocations_of(PAIRS, in_flight / 2);
        // A token in 31 begins a new block of the IRQ channel.
        assert!(
            allocations * 10 < 2 * PAIRS,
            "{allocations} allocations of {} URBs, {in_flight} in flight",
            2 * PAIRS
        );
    }
}

/// How often the heap is asked by `pairs` of URBs, out and in, of which `at_once` are in flight.
fn allocations_of(pairs: usize, at_once: usize) -> usize {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = controller.plug(Bulk);
    let device = port.device();
    let task = kernel.handle().spawn("load", move |_cpu| async move {
        let buffers = || (BytesMut::zeroed(1_500), BytesMut::with_capacity(512));
        let mut idle: Vec<_> = (0..at_once).map(|_| buffers()).collect();
        let mut flying: Vec<(UrbHandle, UrbHandle)> = Vec::with_capacity(at_once);
        let mut region = Region::new(ALLOCATOR);
        for round in 0..(pairs + 100) / at_once {
            if round == 100 / at_once {
                region = Region::new(ALLOCATOR);
            }
            let limit = Duration::from_secs(1);
            for (out, room) in idle.drain(..) {
                let out = device.submit(Urb::bulk_out(0x02, out).timeout(limit));
                let read = device.submit(Urb::bulk_in(0x81, (room, 512)).timeout(limit));
                flying.push((out, read));
            }
            for (out, read) in flying.drain(..) {
                idle.push((out.await.into_result().unwrap(), read.await.into_result().unwrap()));
            }
        }
        region.change().allocations
    });
    block_on(task.unwrap()).unwrap()
}
