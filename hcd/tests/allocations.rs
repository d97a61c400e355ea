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
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let controller = HostController::new(&kernel.handle()).unwrap();
    let port = controller.plug(Bulk);
    let device = port.device();
    let task = kernel.handle().spawn("load", move |_cpu| async move {
        let mut buffers = (BytesMut::zeroed(1_500), BytesMut::with_capacity(512));
        let mut region = Region::new(ALLOCATOR);
        for pair in 0..PAIRS + 100 {
            if pair == 100 {
                region = Region::new(ALLOCATOR);
            }
            let (out, room) = buffers;
            let limit = Duration::from_secs(1);
            let out: UrbHandle = device.submit(Urb::bulk_out(0x02, out).timeout(limit));
            let read = device.submit(Urb::bulk_in(0x81, (room, 512)).timeout(limit));
            buffers = (out.await.into_result().unwrap(), read.await.into_result().unwrap());
        }
        region.change().allocations
    });
    let allocations = block_on(task.unwrap()).unwrap();
    // A token in 31 begins a new block of the IRQ channel.
    assert!(allocations * 10 < 2 * PAIRS, "{allocations} allocations of {} URBs", 2 * PAIRS);
}
