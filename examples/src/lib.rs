//! Small programs that show Airlift, one idea each.
//!
//! | program | shows |
//! |---|---|
//! | `embed` | an adapter in a tokio application that does other work, with errors and a shutdown |
//! | `readers` | `wlan0` as a stream with several readers, filters, and one that is too slow |
//! | `thermometer` | a USB device of one's own and a kernel driver for it, no Wi-Fi |
//! | [`twins`] and `tests/evil_twin.rs` | an application and its integration test, without an adapter, in virtual time |
#![forbid(unsafe_code)]

pub mod twins;
