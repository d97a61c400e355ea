//! Time: R9 and R16 as tasks see them.
use std::time::Duration;

use airlift_runtime::{Clock, Kernel};
use futures::executor::block_on;

#[test]
fn r9_msleep_is_never_early_on_either_clock() {
    for clock in [Clock::system(), Clock::virtual_time()] {
        let kernel = Kernel::builder().clock(clock).build().unwrap();
        let task = kernel.handle().spawn("sleeper", |cpu| async move {
            let before = cpu.now();
            cpu.msleep(3).await;
            cpu.now() - before
        });
        assert!(block_on(task.unwrap()).unwrap() >= Duration::from_millis(3));
        assert!(kernel.shutdown_blocking().is_clean());
    }
}

#[test]
fn r16_sleeping_for_a_year_takes_no_time() {
    let kernel = Kernel::builder().clock(Clock::virtual_time()).build().unwrap();
    let year = Duration::from_secs(365 * 24 * 3600);
    let task = kernel.handle().spawn("sleeper", move |cpu| async move {
        cpu.sleep(year).await;
        cpu.now()
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), year);
}

#[test]
fn r16_host_threads_take_turns_with_kernel_timers() {
    let clock = Clock::virtual_time();
    let kernel = Kernel::builder().clock(clock.clone()).build().unwrap();
    let mut timer = clock.host_timer("device");
    let line = kernel.handle().irq_line("device").unwrap();
    let raise = line.clone();
    let thread = std::thread::spawn(move || {
        for ms in [5u64, 10, 15] {
            timer.wait_until(Some(Duration::from_millis(ms)));
            raise.trigger().unwrap();
        }
    });
    let task = kernel.handle().spawn("main", move |cpu| async move {
        use futures::StreamExt;
        let mut log = Vec::new();
        let mut edges = line.edges();
        for _ in 0..3 {
            edges.next().await;
            log.push(cpu.now().as_millis());
            cpu.msleep(2).await;
            log.push(cpu.now().as_millis());
        }
        log
    });
    assert_eq!(block_on(task.unwrap()).unwrap(), [5, 7, 10, 12, 15, 17]);
    thread.join().unwrap();
}
