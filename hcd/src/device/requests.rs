//! What a host asks of a device beside transfers: configurations, settings, the end of a halt, a reset, descriptors and
//! the texts among them.
//!
//! Source: USB 2.0, sections 9.4 (standard requests) and 9.6.7 (strings).

use bytes::BytesMut;

use super::{REQUEST_LIMIT, UsbDevice};
use crate::backend::DeviceOp;
use crate::descriptor::{self, DescriptorError, parse_string};
use crate::setup::Setup;
use crate::status::TransferError;
use crate::urb::Urb;

const GET_DESCRIPTOR: u8 = 6;

/// The longest string descriptor (its length is one byte).
const STRING_DESCRIPTOR_MAX: u16 = 255;

/// US English, which every device with strings has in practice.
const LANGUAGE: u16 = 0x0409;

/// Why a string could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StringError {
    /// The transfer failed; a stall means that the device has no such string.
    #[error("cannot read a string descriptor: {0}")]
    Transfer(#[from] TransferError),
    /// What the device sent is no string descriptor.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
}

/// The device's names, those that it has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Strings {
    /// The maker's name.
    pub manufacturer: Option<String>,
    /// The product's name.
    pub product: Option<String>,
    /// The serial number.
    pub serial: Option<String>,
}

impl UsbDevice {
    /// Chooses a configuration, 0 for none. URBs on endpoints other than 0 end with
    /// [`TransferError::Cancelled`].
    ///
    /// # Errors
    /// [`TransferError::Stall`] if the device has no such configuration, and those of a control transfer.
    pub async fn set_configuration(&self, value: u8) -> Result<(), TransferError> {
        self.operate(DeviceOp::SetConfiguration(value)).await
    }

    /// Chooses an interface's alternate setting. URBs on the endpoints of the setting before end with
    /// [`TransferError::Cancelled`].
    ///
    /// # Errors
    /// [`TransferError::Stall`] if the device has no such setting, and those of a control transfer.
    pub async fn set_interface(&self, interface: u8, alternate: u8) -> Result<(), TransferError> {
        self.operate(DeviceOp::SetInterface { interface, alternate }).await
    }

    /// Ends an endpoint's halt after a stall. As in Linux, URBs that were submitted before end with a stall each.
    ///
    /// # Errors
    /// [`TransferError::Stall`] if there is no such endpoint, and those of a control transfer.
    pub async fn clear_halt(&self, endpoint: u8) -> Result<(), TransferError> {
        self.operate(DeviceOp::ClearHalt(endpoint)).await
    }

    /// Resets the device; its configuration and alternate settings are restored. Pending URBs end with
    /// [`TransferError::Cancelled`].
    ///
    /// # Errors
    /// [`TransferError::Shutdown`] if the device is gone.
    pub async fn reset(&self) -> Result<(), TransferError> {
        self.operate(DeviceOp::Reset).await
    }

    /// Reads a descriptor, at most `length` bytes of it.
    ///
    /// # Errors
    /// Those of a control transfer; a stall means that the device has no such descriptor.
    pub async fn descriptor(
        &self,
        kind: u8,
        index: u8,
        language: u16,
        length: u16,
    ) -> Result<BytesMut, TransferError> {
        let setup = Setup {
            request_type: 0x80,
            request: GET_DESCRIPTOR,
            value: u16::from_le_bytes([index, kind]),
            index: language,
            length,
        };
        self.submit(Urb::control_in(setup).timeout(REQUEST_LIMIT)).await.into_result()
    }

    /// Reads a string by its index.
    ///
    /// # Errors
    /// The transfer failed, or what came is no string.
    pub async fn string(&self, index: u8) -> Result<String, StringError> {
        let bytes = self.descriptor(descriptor::STRING, index, LANGUAGE, STRING_DESCRIPTOR_MAX).await?;
        Ok(parse_string(&bytes)?)
    }

    /// Reads the names of maker and product and the serial number. One that the device names but cannot send
    /// properly is left out.
    ///
    /// # Errors
    /// [`TransferError::Shutdown`] if the device is gone.
    pub async fn strings(&self) -> Result<Strings, TransferError> {
        let descriptor = self.device_descriptor();
        let indexes =
            [descriptor.manufacturer_index(), descriptor.product_index(), descriptor.serial_index()];
        let mut texts = [None, None, None];
        for (text, index) in texts.iter_mut().zip(indexes).filter(|(_, index)| *index != 0) {
            *text = match self.string(index).await {
                Ok(text) => Some(text),
                Err(StringError::Transfer(error)) if error.is_unplugged() => return Err(error),
                Err(_) => None,
            };
        }
        let [manufacturer, product, serial] = texts;
        Ok(Strings { manufacturer, product, serial })
    }
}
