//! Statistics and spans: R13.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use airlift_runtime::{IrqReturn, Softirq};
use common::kernel;
use futures::executor::block_on;

#[test]
fn r13_statistics_look_like_proc_interrupts() {
    let kernel = kernel();
    let handle = kernel.handle();
    let line = handle.irq_line("wlan0").unwrap();
    let unheard = handle.irq_line_at(7, "nobody").unwrap();
    unheard.trigger().unwrap();
    let task = handle.spawn("driver", move |cpu| async move {
        let _irq = cpu.request_irq(&line, "wlan0", |irq| {
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        cpu.with_irqs_off(|| (0..3).for_each(|_| line.trigger().unwrap()));
        cpu.msleep(5).await;
        cpu.local_irq_disable();
        cpu.yield_now().await;
        let stats = cpu.kernel().stats();
        cpu.local_irq_enable();
        (stats.to_string(), stats)
    });
    let (text, stats) = block_on(task.unwrap()).unwrap();
    let expected = "
            DELIVERED       RAISED    COALESCED
      0:            1            1            0  timer
      1:            1            3            2  wlan0
      7:            0            1            0  nobody, pending
  NET_RX:           1  softirq
      #1:           3  task driver, suspended with irqs off
     ERR:           1  tasks suspended with irqs off
";
    assert_eq!(format!("\n{text}"), expected);
    assert_eq!(
        (stats.jiffies, stats.line(1).unwrap().raised, stats.task("driver").unwrap().polls),
        (5, 3, 3)
    );
}

/// Notes the names of the spans that are made.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<&'static str>>>, Arc<AtomicU64>);

impl tracing::Subscriber for Spans {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.0.lock().unwrap().push(span.metadata().name());
        tracing::span::Id::from_u64(self.1.fetch_add(1, Ordering::Relaxed) + 1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn r13_polls_interrupts_and_softirqs_are_spans() {
    let spans = Spans::default();
    tracing::subscriber::set_global_default(spans.clone()).unwrap();
    let kernel = kernel();
    let line = kernel.handle().irq_line("traced").unwrap();
    let task = kernel.handle().spawn("driver", move |cpu| async move {
        let _irq = cpu.request_irq(&line, "traced", |irq| {
            irq.raise_softirq(Softirq::NetRx);
            IrqReturn::Handled
        });
        line.trigger().unwrap();
    });
    block_on(task.unwrap()).unwrap();
    // Other tests of this file may add to them.
    let spans = spans.0.lock().unwrap();
    for name in ["poll", "irq", "softirq"] {
        assert!(spans.contains(&name), "{name}: {spans:?}");
    }
}
