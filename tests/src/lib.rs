//! Whole-system tests of Airlift, and the harness that lets the Linux kernel's own driver judge the emulated
//! chips.
//!
//! [`trace`] records what a driver does to a device, whichever driver it is, and [`state`] is what it leaves
//! behind; [`export`] offers [`adapters`] over USB/IP and takes orders from the guest in which that driver runs.
//! A [`plan`] says which of them go where. [`feed`] has made-up packets, the [`vectors`], arrive at a device,
//! [`meddled`] spoils what passes over its cable; [`inject`] knows what the guest sends. Benchmarks ask [`processor`].
//! `mainline/run.sh` in this package puts them together, and [`golden`], [`received`] and [`sent`] are the files
//! that it leaves for ordinary tests to [`compare`] with.
#![forbid(unsafe_code)]

pub mod adapters;
pub mod compare;
pub mod contracts;
pub mod export;
pub mod feed;
pub mod gadget;
pub mod golden;
pub mod inject;
pub mod meddled;
pub mod plan;
pub mod processor;
pub mod received;
pub mod sent;
pub mod state;
pub mod trace;
pub mod vectors;

/// The README's snippets, compiled and run like any documentation test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
