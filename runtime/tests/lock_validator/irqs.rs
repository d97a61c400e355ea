//! The calls of interrupt lines and tasklets that may sleep, each with its own site.

use super::*;

/// All of them, polled once; the sites of the calls.
fn call_all(cpu: &Cpu, action: IrqAction, tasklet: &Tasklet) -> Vec<String> {
    fn poll(work: impl Future) {
        let mut work = std::pin::pin!(work);
        let _ = work.as_mut().poll(&mut Context::from_waker(futures::task::noop_waker_ref()));
    }
    let handled = |_: &mut HardIrq<'_>| IrqReturn::Handled;
    let (line, other) = (action.line(), cpu.kernel().irq_line("other").unwrap());
    let options = IrqOptions::new;
    let mut sites = Vec::new();
    let requested = (cpu.request_irq(&other, "plain", handled), here());
    sites.push(requested.1);
    drop(requested.0);
    let requested = (cpu.request_irq_with(&other, "with", options(), handled), here());
    sites.push(requested.1);
    drop(requested.0);
    let thread = |_: Cpu| async { IrqReturn::Handled };
    let threaded = (cpu.request_threaded_irq(&other, "thread", options(), handled, thread), here());
    sites.push(threaded.1);
    drop(threaded.0);
    sites.push((poll(cpu.disable_irq(&line)), here()).1);
    sites.push((poll(cpu.synchronize_irq(&line)), here()).1);
    sites.push((poll(action.free()), here()).1);
    sites.push((poll(tasklet.kill(cpu)), here()).1);
    sites
}

fn requested(cpu: &Cpu) -> IrqAction {
    let line = cpu.kernel().irq_line("mine").unwrap();
    cpu.request_irq(&line, "mine", |_| IrqReturn::Handled).unwrap()
}

/// The reports' sites, each of a sleep that `context` made.
fn sites(found: &[LockReport], context: &str) -> Vec<String> {
    let sites = found.iter().map(|report| {
        assert_eq!((report.problem, report.event.context.as_str()), (LockProblem::SleepInAtomic, context));
        report.event.site.to_string().rsplit_once(':').unwrap().0.to_owned()
    });
    sites.collect()
}

#[test]
fn r10_each_call_of_irqs_that_may_sleep_is_reported_in_atomic_context_with_its_own_site() {
    let called: &'static std::sync::Mutex<Vec<String>> = Box::leak(Box::default());
    let expected = || {
        let expected = std::mem::take(&mut *called.lock().unwrap());
        assert_eq!(expected.len(), 7);
        expected
    };
    // In a handler.
    let found = reports(move |cpu| async move {
        let (inside, tasklet) = (cpu.clone(), cpu.tasklet("test", |_| {}));
        let mut mine = Some(requested(&cpu));
        in_handler(&cpu, move |_| {
            *called.lock().unwrap() = call_all(&inside, mine.take().unwrap(), &tasklet);
        });
    });
    assert_eq!(sites(&found, r#"irq handler "rx""#), expected());
    // With a spinlock held.
    let found = reports(move |cpu| async move {
        let (lock, tasklet) = (SpinLock::new("held", ()), cpu.tasklet("test", |_| {}));
        let mine = requested(&cpu);
        lock.with(&cpu, |()| *called.lock().unwrap() = call_all(&cpu, mine, &tasklet));
    });
    assert_eq!(sites(&found, r#"task "test""#), expected());
    assert!(found.iter().all(|report| report.against[0].what.contains(r#""held" taken"#)));
    // Where one may sleep, there is nothing to report.
    let found = reports(move |cpu| async move {
        drop(call_all(&cpu, requested(&cpu), &cpu.tasklet("test", |_| {})));
    });
    assert_eq!(found, []);
}
