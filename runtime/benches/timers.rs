//! What kernel timers cost, by how many are armed: why they are kept in an ordered map and not in a wheel.
//!
//! `cargo bench -p airlift-runtime --bench timers`. The map's cost grows with the logarithm of the number of timers;
//! a wheel's would not, but it would round instants to its slots, and R9 wants sleeps to the nanosecond.

use std::time::{Duration, Instant};

use airlift_runtime::{Clock, JIFFY, Kernel, Timer};
use futures::executor::block_on;

fn main() {
    println!("{:>9} {:>12} {:>12} {:>12}", "timers", "arm", "move", "delete");
    for timers in [100u32, 1_000, 10_000, 100_000] {
        let [arm, again, delete] = block_on(kernel_task(timers));
        println!("{timers:>9} {arm:>12.0?} {again:>12.0?} {delete:>12.0?}");
    }
    println!("each, with that many armed; then 10,000 that fire, in virtual time:");
    println!("{:>9} {:>12.0?}", "", block_on(fire(10_000)));
}

async fn kernel_task(count: u32) -> [Duration; 3] {
    let kernel = Kernel::new().unwrap();
    let task = kernel.handle().spawn("bench", move |cpu| async move {
        let timers: Vec<Timer> = (0..count).map(|_| cpu.timer("", |_| {})).collect();
        // Far enough that none fires, and in no order.
        let at = |number: u32| 10_000_000 + u64::from(number.wrapping_mul(2_654_435_761) % 1_000_000);
        let measure = |work: &dyn Fn(&Timer, u32)| {
            let start = Instant::now();
            timers.iter().zip(0..).for_each(|(timer, number)| work(timer, number));
            start.elapsed() / count
        };
        [
            measure(&|timer, number| _ = timer.mod_timer(at(number))),
            measure(&|timer, number| _ = timer.mod_timer(at(number + 1))),
            measure(&|timer, _| _ = timer.timer_delete()),
        ]
    });
    let costs = task.unwrap().await.unwrap();
    kernel.shutdown().await;
    costs
}

async fn fire(count: u32) -> Duration {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let task = kernel.handle().spawn("bench", move |cpu| async move {
        let timers: Vec<Timer> = (0..count).map(|_| cpu.timer("", |_| {})).collect();
        timers.iter().zip(1..).for_each(|(timer, at)| _ = timer.mod_timer(at));
        let start = Instant::now();
        cpu.sleep_until(JIFFY * (count + 1)).await;
        start.elapsed() / count
    });
    let cost = task.unwrap().await.unwrap();
    kernel.shutdown().await;
    cost
}
