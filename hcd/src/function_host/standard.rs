//! The standard requests of chapter 9, answered for a function (USB 2.0, section 9.4; USB 3.2, section 9.4).
//!
//! Vendor and class requests go to the function, as do descriptors of an interface that only it knows (those of
//! a HID interface, for example). Whatever is left is refused with a stall, as a device does.

use core::time::Duration;

use bytes::BufMut;

use super::FunctionHost;
use crate::descriptor::{self, EndpointMap, endpoint_slot};
use crate::function::{FunctionUrb, Reply, Speed, Submit};
use crate::setup::Setup;
use crate::status::TransferError;

const GET_STATUS: u8 = 0;
const CLEAR_FEATURE: u8 = 1;
const SET_FEATURE: u8 = 3;
const SET_ADDRESS: u8 = 5;
const GET_DESCRIPTOR: u8 = 6;
const GET_CONFIGURATION: u8 = 8;
const SET_CONFIGURATION: u8 = 9;
const GET_INTERFACE: u8 = 10;
const SET_INTERFACE: u8 = 11;
const SET_SEL: u8 = 48;
const SET_ISOCH_DELAY: u8 = 49;

const ENDPOINT_HALT: u16 = 0;
const FUNCTION_SUSPEND: u16 = 0;
const DEVICE_REMOTE_WAKEUP: u16 = 1;
const U1_ENABLE: u16 = 48;
const LTM_ENABLE: u16 = 50;

const DEVICE_IN: u8 = 0x80;
const DEVICE_OUT: u8 = 0x00;
const INTERFACE_IN: u8 = 0x81;
const INTERFACE_OUT: u8 = 0x01;
const ENDPOINT_IN: u8 = 0x82;
const ENDPOINT_OUT: u8 = 0x02;

/// US English, the one language of the strings (USB language identifiers, 1.0).
const LANGUAGE: u16 = 0x0409;

/// Two bytes of length and type, and at most as many UTF-16 units as the length byte allows.
const STRING_UNITS_MAX: usize = 126;

impl FunctionHost {
    /// Answers a request on endpoint 0, or hands it to the function.
    pub(super) fn control(&mut self, now: Duration, setup: Setup, urb: FunctionUrb) -> Submit {
        if setup.request_type & 0x60 != 0 {
            return self.function.submit(now, urb);
        }
        let answer = match (setup.request_type, setup.request) {
            (DEVICE_IN, GET_DESCRIPTOR) => self.get_descriptor(setup.value),
            (INTERFACE_IN, GET_DESCRIPTOR) => return self.function.submit(now, urb),
            (DEVICE_IN, GET_STATUS) => Some(self.device_status()),
            (INTERFACE_IN, GET_STATUS) => self.has_interface(setup.index).then(|| vec![0, 0]),
            (ENDPOINT_IN, GET_STATUS) => {
                self.endpoint(setup.index).map(|slot| vec![u8::from(self.state.halted & (1 << slot) != 0), 0])
            }
            (DEVICE_IN, GET_CONFIGURATION) => Some(vec![self.state.configuration]),
            (INTERFACE_IN, GET_INTERFACE) => self.get_interface(setup.index),
            (DEVICE_OUT, SET_ADDRESS) => self.set_address(setup.value),
            (DEVICE_OUT, SET_CONFIGURATION) => self.set_configuration(now, setup.value),
            (INTERFACE_OUT, SET_INTERFACE) => self.set_interface(setup.index, setup.value),
            (DEVICE_OUT, SET_FEATURE | CLEAR_FEATURE) => self.device_feature(setup),
            (INTERFACE_OUT, SET_FEATURE | CLEAR_FEATURE) => (self.descriptors.speed == Speed::Super
                && setup.value == FUNCTION_SUSPEND
                && self.has_interface(setup.index & 0xff))
            .then(Vec::new),
            (ENDPOINT_OUT, SET_FEATURE | CLEAR_FEATURE) => self.endpoint_feature(setup),
            (DEVICE_OUT, SET_SEL | SET_ISOCH_DELAY) => {
                (self.descriptors.speed == Speed::Super).then(Vec::new)
            }
            _ => None,
        };
        Submit::Done(answered(setup, urb, answer))
    }

    fn get_descriptor(&self, value: u16) -> Option<Vec<u8>> {
        let [index, kind] = value.to_le_bytes();
        match (kind, index) {
            (descriptor::DEVICE, 0) => Some(self.descriptors.device.to_vec()),
            (descriptor::CONFIGURATION, 0) => Some(self.descriptors.configuration.clone()),
            (descriptor::STRING, 0) if !self.descriptors.strings.is_empty() => {
                let [low, high] = LANGUAGE.to_le_bytes();
                Some(vec![4, descriptor::STRING, low, high])
            }
            (descriptor::STRING, 1..) => {
                self.descriptors.strings.get(usize::from(index) - 1).map(|text| string_descriptor(text))
            }
            (descriptor::BOS, 0) if self.descriptors.speed == Speed::Super => {
                Some(BOS_OF_SUPER_SPEED.to_vec())
            }
            _ => None,
        }
    }

    fn device_status(&self) -> Vec<u8> {
        let attributes = self.parsed.as_ref().map_or(0, |configuration| configuration.attributes());
        vec![attributes >> 6 & 1 | u8::from(self.state.remote_wakeup) << 1, 0]
    }

    fn get_interface(&self, interface: u16) -> Option<Vec<u8>> {
        let number = self.has_interface(interface).then_some(interface as u8)?;
        let set = self.state.alternates.iter().find(|(other, _)| *other == number);
        Some(vec![set.map_or(0, |&(_, alternate)| alternate)])
    }

    /// Whether the present configuration has an interface of that number.
    fn has_interface(&self, interface: u16) -> bool {
        self.state.configuration != 0
            && self.parsed.as_ref().is_some_and(|configuration| {
                configuration.alternates().any(|setting| u16::from(setting.interface()) == interface)
            })
    }

    /// The slot of an endpoint that is there now; endpoint 0 always is.
    fn endpoint(&self, index: u16) -> Option<usize> {
        let address = u8::try_from(index).ok().filter(|address| address & 0x70 == 0)?;
        (address & 0x0f == 0 || self.state.endpoints.get(address).is_some()).then(|| endpoint_slot(address))
    }

    fn set_address(&mut self, value: u16) -> Option<Vec<u8>> {
        self.state.address = u8::try_from(value).ok().filter(|address| *address < 128)?;
        Some(Vec::new())
    }

    fn set_configuration(&mut self, now: Duration, value: u16) -> Option<Vec<u8>> {
        let value = u8::try_from(value).ok()?;
        let endpoints = match &self.parsed {
            _ if value == 0 => EndpointMap::default(),
            Some(configuration) if configuration.value() == value => EndpointMap::new(configuration),
            _ => return None,
        };
        // Endpoint 0 stays as it is: this very request is on it.
        self.flush(!1, TransferError::Cancelled);
        self.state.configuration = value;
        self.state.endpoints = endpoints;
        self.state.alternates.clear();
        self.state.halted = 0;
        self.function.set_configuration(now, value);
        Some(Vec::new())
    }

    fn set_interface(&mut self, interface: u16, alternate: u16) -> Option<Vec<u8>> {
        if self.state.configuration == 0 {
            return None;
        }
        let (interface, alternate) = (u8::try_from(interface).ok()?, u8::try_from(alternate).ok()?);
        let configuration = self.parsed.clone()?;
        let setting = configuration.alternate(interface, alternate)?;
        let before = self.slots_of(interface);
        self.flush(before, TransferError::Cancelled);
        self.state.endpoints.select(&setting);
        self.state.halted &= !(before | self.slots_of(interface));
        self.state.alternates.retain(|(other, _)| *other != interface);
        if alternate != 0 {
            self.state.alternates.push((interface, alternate));
        }
        Some(Vec::new())
    }

    fn slots_of(&self, interface: u8) -> u32 {
        let bits = self.state.endpoints.of_interface(interface).map(|address| 1 << endpoint_slot(address));
        bits.fold(0, |mask, bit: u32| mask | bit)
    }

    fn device_feature(&mut self, setup: Setup) -> Option<Vec<u8>> {
        match setup.value {
            DEVICE_REMOTE_WAKEUP => self.state.remote_wakeup = setup.request == SET_FEATURE,
            U1_ENABLE..=LTM_ENABLE if self.descriptors.speed == Speed::Super => {}
            _ => return None,
        }
        Some(Vec::new())
    }

    fn endpoint_feature(&mut self, setup: Setup) -> Option<Vec<u8>> {
        let slot = self.endpoint(setup.index).filter(|_| setup.value == ENDPOINT_HALT)?;
        // A halt of endpoint 0 ends with the next set-up packet, that is, at once.
        if setup.request == SET_FEATURE && slot != 0 {
            self.state.halted |= 1 << slot;
            self.flush(1 << slot, TransferError::Stall);
        } else {
            self.state.halted &= !(1 << slot);
        }
        Some(Vec::new())
    }
}

/// Ends a standard request with its answer, cut to what was asked for; a stall if there is none.
fn answered(setup: Setup, urb: FunctionUrb, answer: Option<Vec<u8>>) -> Reply {
    match answer {
        None => urb.fail(TransferError::Stall),
        Some(bytes) if setup.is_in() => {
            let length = bytes.len().min(urb.length);
            urb.reply(&bytes[..length])
        }
        Some(_) => urb.ok(),
    }
}

fn string_descriptor(text: &str) -> Vec<u8> {
    let mut bytes = vec![0, descriptor::STRING];
    text.encode_utf16().take(STRING_UNITS_MAX).for_each(|unit| bytes.put_u16_le(unit));
    bytes[0] = bytes.len() as u8;
    bytes
}

/// The least that a super-speed device must say (USB 3.2, section 9.6.2): the USB 2.0 extension without link
/// power management, and super speed from full speed on.
const BOS_OF_SUPER_SPEED: [u8; 22] =
    [5, descriptor::BOS, 22, 0, 2, 7, 16, 2, 0, 0, 0, 0, 10, 16, 3, 0, 0x0e, 0, 1, 10, 0xff, 0x07];
