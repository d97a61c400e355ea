//! What is said on standard error: notices, and the line that shows how far bring-up is (on a terminal only,
//! and gone when it is done).
//!
//! Neighbours: [`crate::session`] and [`crate::capture`] speak through it.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use airlift_wifi::{Progress, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Bring-up's progress on standard error. Erased when dropped.
#[derive(Debug)]
pub(crate) struct BringUp(ProgressBar);

impl BringUp {
    /// A line on standard error, if that is a terminal (`indicatif` sees to it), else nothing.
    pub(crate) fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(100), target);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:10} {percent:>3} %") {
            bar.set_style(style.progress_chars("\u{2588}\u{2588}\u{2591}"));
        }
        Self(bar)
    }

    pub(crate) fn show(&self, progress: Progress) {
        let Some(number) = progress.stage.number() else {
            if progress.stage == Stage::UsbSwitch {
                self.0.set_message("switching to USB 3");
            }
            return;
        };
        self.0.set_position(u64::from(progress.percent.min(100)));
        self.0.set_message(format!("[{number}/{}] {:<9}", Stage::BRING_UP, progress.stage.name()));
    }
}

impl Drop for BringUp {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How many frames were sent so far, on standard error. Erased when dropped.
#[derive(Debug)]
pub(crate) struct Counter(ProgressBar);

impl Counter {
    /// A line on standard error, if that is a terminal, else nothing.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{pos} frames, {per_sec}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn show(&self, frames: u64) {
        self.0.set_position(frames);
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A time for a person: `0.21 s`, `75 s`.
pub(crate) fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 { format!("{seconds:.2} s") } else { format!("{seconds:.0} s") }
}

/// Says something on standard error. Nobody there to hear it is no reason to fail.
pub(crate) fn notice(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
