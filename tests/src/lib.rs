//! Whole-system tests of Airlift, and the harness that lets the Linux kernel's own driver judge the emulated
//! chips.
//!
//! [`trace`] records what a driver does to a device, whichever driver it is; [`export`] offers devices over
//! USB/IP and takes orders from the guest in which that driver runs, [`state`] is what it leaves behind. `mainline/run.sh` in this package puts
//! them together, and [`golden`] are the files that it leaves for ordinary tests to compare with.
#![forbid(unsafe_code)]

pub mod compare;
pub mod export;
pub mod golden;
pub mod state;
pub mod trace;

/// The README's snippets, compiled and run like any documentation test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
