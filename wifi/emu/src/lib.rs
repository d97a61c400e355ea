//! Emulated RTL8812AU adapters and the virtual air between them.
#![forbid(unsafe_code)]

pub mod air;

pub use air::{
    Air, AirFrame, Capture, CaptureError, Radio, RadioOptions, Rate, ReplayOptions, Tuning, Width,
};
