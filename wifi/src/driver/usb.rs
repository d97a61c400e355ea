//! The adapter's USB interface: its endpoints, and its registers as vendor requests.
//!
//! Facts: rtw88 `usb.c`, `rtw_usb_parse`, `rtw_usb_read`, `rtw_usb_write`. A register is request 5 with the address
//! in `wValue`; reads may take a second, writes half of one.

use core::time::Duration;

use airlift_hcd::{Anchor, Configuration, Setup, TransferError, TransferType, Urb, UrbHandle, UsbDevice};
use airlift_runtime::Cpu;
use bytes::BytesMut;

use crate::error::{Error, ErrorKind, Stage};
use crate::regio::{Bus, Local};

const REQUEST: u8 = 0x05;
const READ_TIMEOUT: Duration = Duration::from_millis(1000);
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

/// The bulk endpoints of the adapter's one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// The interface's number.
    pub(super) interface: u8,
    /// Where received frames come from.
    pub(super) bulk_in: u8,
    /// Where frames to send go, in the order of the descriptors; 2 to 4 of them.
    pub(super) bulk_out: Vec<u8>,
}

impl Endpoints {
    /// The endpoint of the high queue: the first one.
    pub(super) fn high(&self) -> u8 {
        self.bulk_out.first().copied().unwrap_or_default()
    }

    /// The endpoints of the first vendor-specific interface that has what the driver needs.
    pub(super) fn find(configuration: Option<&Configuration>) -> Result<Self, Error> {
        let unsupported = |what: String| Error::new(Stage::Power, ErrorKind::Unsupported(what));
        let configuration = configuration
            .ok_or_else(|| unsupported("the device's configuration descriptor cannot be read".into()))?;
        let interface = configuration
            .alternates()
            .find(|setting| setting.class() == 0xff && setting.alternate() == 0)
            .ok_or_else(|| unsupported("the device has no vendor-specific interface".into()))?;
        let bulk: Vec<_> =
            interface.endpoints().filter(|ep| ep.transfer_type == TransferType::Bulk).collect();
        let bulk_out: Vec<u8> = bulk.iter().filter(|ep| !ep.is_in()).map(|ep| ep.address).collect();
        let bulk_in: Vec<u8> = bulk.iter().filter(|ep| ep.is_in()).map(|ep| ep.address).collect();
        match (bulk_in.as_slice(), bulk_out.len()) {
            ([bulk_in], 2..=4) => Ok(Self { interface: interface.interface(), bulk_in: *bulk_in, bulk_out }),
            (ins, outs) => Err(unsupported(format!(
                "the interface has {} bulk-in and {outs} bulk-out endpoints, expected 1 and 2 to 4",
                ins.len()
            ))),
        }
    }
}

/// The control endpoint of an adapter, with a kernel task's clock.
pub(super) struct UsbBus {
    device: UsbDevice,
    cpu: Cpu,
    anchor: Anchor,
}

impl UsbBus {
    pub(super) fn new(device: UsbDevice, cpu: Cpu) -> Self {
        Self { device, cpu, anchor: Anchor::default() }
    }

    fn submit_write(&self, addr: u16, data: &[u8]) -> UrbHandle {
        // Never more than a firmware block.
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        let setup = Setup::vendor_out(REQUEST, addr, 0, length);
        self.device.submit(Urb::control_out(setup, data).timeout(WRITE_TIMEOUT))
    }
}

impl Bus for UsbBus {
    fn read(&self, addr: u16, length: u16) -> Local<Result<u32, TransferError>> {
        let setup = Setup::vendor_in(REQUEST, addr, 0, length);
        let handle = self.device.submit(Urb::control_in(setup).short_not_ok().timeout(READ_TIMEOUT));
        Box::pin(async move { handle.await.into_result().map(|bytes| little_endian(&bytes)) })
    }

    fn write(&self, addr: u16, data: &[u8]) -> Local<Result<(), TransferError>> {
        let handle = self.submit_write(addr, data);
        Box::pin(async move { handle.await.status })
    }

    fn post(&self, addr: u16, data: &[u8]) {
        self.submit_write(addr, data).post(&self.anchor, u32::from(addr));
    }

    fn flush(&self) -> Local<Result<(), (u16, TransferError)>> {
        let anchor = self.anchor.clone();
        Box::pin(async move { anchor.barrier().await.map_err(|failed| (failed.tag as u16, failed.error)) })
    }

    fn sleep(&self, time: Duration) -> Local<()> {
        let cpu = self.cpu.clone();
        Box::pin(async move { cpu.sleep(time).await })
    }
}

fn little_endian(bytes: &BytesMut) -> u32 {
    bytes.iter().take(4).rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}
