//! Descriptors: a typed walk over the bytes with which a device describes itself (USB 2.0, chapter 9.5 and 9.6).
//!
//! [`DeviceDescriptor`] and [`Configuration`] hold the bytes and read fields on demand; [`Configuration::walk`]
//! yields every descriptor, [`Configuration::alternates`] the interfaces' settings, and
//! [`AlternateSetting::endpoints`] their [`Endpoint`]s. The bytes come from a device and are hostile: whatever
//! they say, a walk stays inside them, always moves forward and ends. [`EndpointMap`] is what the controller
//! and the function's host look an URB's endpoint up in.

use core::fmt;

use bytes::Bytes;

/// `bDescriptorType` of a device descriptor.
pub(crate) const DEVICE: u8 = 1;
/// `bDescriptorType` of a configuration descriptor.
pub(crate) const CONFIGURATION: u8 = 2;
/// `bDescriptorType` of a string descriptor.
pub(crate) const STRING: u8 = 3;
/// `bDescriptorType` of an interface descriptor.
pub(crate) const INTERFACE: u8 = 4;
/// `bDescriptorType` of an endpoint descriptor.
pub(crate) const ENDPOINT: u8 = 5;
/// `bDescriptorType` of a binary device object store (USB 3.2, section 9.6.2).
pub(crate) const BOS: u8 = 15;

/// Why bytes are not the descriptor that they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The bytes end before the descriptor does.
    #[error("{what} descriptor needs {needed} bytes, got {got}")]
    Truncated {
        /// Which descriptor.
        what: &'static str,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that there are.
        got: usize,
    },
    /// Another descriptor stands where this one was expected.
    #[error("expected a {what} descriptor (type {expected}), got type {got}")]
    WrongType {
        /// Which descriptor.
        what: &'static str,
        /// Its `bDescriptorType`.
        expected: u8,
        /// The `bDescriptorType` that came.
        got: u8,
    },
    /// A string descriptor's text is not UTF-16.
    #[error("string descriptor is not valid UTF-16")]
    NotUtf16,
}

fn check(what: &'static str, bytes: &[u8], expected: u8, needed: usize) -> Result<(), DescriptorError> {
    let got = bytes.len();
    if got < needed || usize::from(bytes[0]) < needed {
        let got = got.min(bytes.first().map_or(0, |&length| usize::from(length)));
        return Err(DescriptorError::Truncated { what, needed, got });
    }
    if bytes[1] != expected {
        return Err(DescriptorError::WrongType { what, expected, got: bytes[1] });
    }
    Ok(())
}

/// The text of a string descriptor.
///
/// # Errors
/// The bytes are too short, of another type, or not UTF-16.
pub fn parse_string(bytes: &[u8]) -> Result<String, DescriptorError> {
    check("string", bytes, STRING, 2)?;
    let end = usize::from(bytes[0]).min(bytes.len());
    let units = bytes[2..end].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).collect::<Result<String, _>>().map_err(|_| DescriptorError::NotUtf16)
}

/// The 18 bytes of a device descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeviceDescriptor([u8; 18]);

impl DeviceDescriptor {
    /// Reads a device descriptor.
    ///
    /// # Errors
    /// Fewer than 18 bytes, or another type.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        check("device", bytes, DEVICE, 18)?;
        let mut own = [0; 18];
        own.copy_from_slice(&bytes[..18]);
        Ok(Self(own))
    }

    /// Takes 18 bytes as they are, whatever their length and type fields say.
    pub(crate) fn from_bytes(bytes: [u8; 18]) -> Self {
        Self(bytes)
    }

    /// The bytes as they stand on the bus.
    pub fn as_bytes(&self) -> &[u8; 18] {
        &self.0
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    /// `bcdUSB`: 0x0200 is USB 2.0.
    pub fn usb_version(&self) -> u16 {
        self.word(2)
    }

    /// `bDeviceClass`; 0: each interface has its own.
    pub fn class(&self) -> u8 {
        self.0[4]
    }

    /// `bDeviceSubClass`.
    pub fn subclass(&self) -> u8 {
        self.0[5]
    }

    /// `bDeviceProtocol`.
    pub fn protocol(&self) -> u8 {
        self.0[6]
    }

    /// `bMaxPacketSize0` as it stands there: bytes, or a power of two at super speed.
    pub fn max_packet_size_0(&self) -> u8 {
        self.0[7]
    }

    /// `idVendor`.
    pub fn vendor_id(&self) -> u16 {
        self.word(8)
    }

    /// `idProduct`.
    pub fn product_id(&self) -> u16 {
        self.word(10)
    }

    /// `bcdDevice`.
    pub fn device_version(&self) -> u16 {
        self.word(12)
    }

    /// Index of the maker's name; 0: none.
    pub fn manufacturer_index(&self) -> u8 {
        self.0[14]
    }

    /// Index of the product's name; 0: none.
    pub fn product_index(&self) -> u8 {
        self.0[15]
    }

    /// Index of the serial number; 0: none.
    pub fn serial_index(&self) -> u8 {
        self.0[16]
    }

    /// How many configurations the device has.
    pub fn configuration_count(&self) -> u8 {
        self.0[17]
    }
}

impl fmt::Debug for DeviceDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceDescriptor")
            .field("vendor_id", &format_args!("{:#06x}", self.vendor_id()))
            .field("product_id", &format_args!("{:#06x}", self.product_id()))
            .field("usb_version", &format_args!("{:#06x}", self.usb_version()))
            .field("class", &self.class())
            .field("configuration_count", &self.configuration_count())
            .finish_non_exhaustive()
    }
}

/// A configuration descriptor with everything that follows it: interfaces, endpoints, class-specific ones.
#[derive(Clone, PartialEq, Eq)]
pub struct Configuration(Bytes);

impl Configuration {
    /// Reads a configuration. Bytes beyond `wTotalLength` are left out; fewer than that are accepted as far as
    /// they go, since devices exist whose total is wrong.
    ///
    /// # Errors
    /// The first nine bytes are missing or of another type.
    pub fn parse(bytes: Bytes) -> Result<Self, DescriptorError> {
        check("configuration", &bytes, CONFIGURATION, 9)?;
        let total = usize::from(u16::from_le_bytes([bytes[2], bytes[3]])).max(9);
        let end = total.min(bytes.len());
        Ok(Self(bytes.slice(..end)))
    }

    /// The bytes as they stand on the bus.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// `bConfigurationValue`: what [`UsbDevice::set_configuration`](crate::UsbDevice::set_configuration) takes.
    pub fn value(&self) -> u8 {
        self.0[5]
    }

    /// `bNumInterfaces`, as the device claims it.
    pub fn interface_count(&self) -> u8 {
        self.0[4]
    }

    /// `bmAttributes`: bit 6 self-powered, bit 5 remote wake-up.
    pub fn attributes(&self) -> u8 {
        self.0[7]
    }

    /// `bMaxPower` as it stands there: units of 2 mA, or 8 mA at super speed.
    pub fn max_power(&self) -> u8 {
        self.0[8]
    }

    /// Every descriptor after the configuration's own, in order.
    pub fn walk(&self) -> Walk<'_> {
        let own = usize::from(self.0[0]).min(self.0.len());
        Walk { rest: &self.0[own..] }
    }

    /// Every alternate setting of every interface, in order.
    pub fn alternates(&self) -> impl Iterator<Item = AlternateSetting<'_>> {
        let mut walk = self.walk();
        core::iter::from_fn(move || {
            loop {
                let found = walk.next()?;
                if let Some(setting) = AlternateSetting::new(found.bytes, walk.rest) {
                    return Some(setting);
                }
            }
        })
    }

    /// One alternate setting; the first, if the device lists it twice.
    pub fn alternate(&self, interface: u8, alternate: u8) -> Option<AlternateSetting<'_>> {
        self.alternates().find(|s| s.interface() == interface && s.alternate() == alternate)
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration")
            .field("value", &self.value())
            .field("alternates", &self.alternates().collect::<Vec<_>>())
            .finish()
    }
}

/// An iterator over descriptors. It ends at the first whose length is below two or beyond the bytes.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    /// Walks over descriptors that stand one behind the other.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = RawDescriptor<'a>;

    fn next(&mut self) -> Option<RawDescriptor<'a>> {
        let length = usize::from(*self.rest.first()?);
        if length < 2 || length > self.rest.len() {
            self.rest = &[];
            return None;
        }
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(RawDescriptor { bytes })
    }
}

/// One descriptor of any type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawDescriptor<'a> {
    bytes: &'a [u8],
}

impl<'a> RawDescriptor<'a> {
    /// `bDescriptorType`.
    pub fn kind(&self) -> u8 {
        self.bytes[1]
    }

    /// All its bytes, length and type included; at least two.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// One alternate setting of an interface.
#[derive(Clone, Copy)]
pub struct AlternateSetting<'a> {
    own: &'a [u8],
    rest: &'a [u8],
}

impl<'a> AlternateSetting<'a> {
    fn new(own: &'a [u8], rest: &'a [u8]) -> Option<Self> {
        check("interface", own, INTERFACE, 9).ok()?;
        Some(Self { own, rest })
    }

    /// `bInterfaceNumber`.
    pub fn interface(&self) -> u8 {
        self.own[2]
    }

    /// `bAlternateSetting`.
    pub fn alternate(&self) -> u8 {
        self.own[3]
    }

    /// `bInterfaceClass`.
    pub fn class(&self) -> u8 {
        self.own[5]
    }

    /// `bInterfaceSubClass`.
    pub fn subclass(&self) -> u8 {
        self.own[6]
    }

    /// `bInterfaceProtocol`.
    pub fn protocol(&self) -> u8 {
        self.own[7]
    }

    /// Index of its name; 0: none.
    pub fn string_index(&self) -> u8 {
        self.own[8]
    }

    /// The descriptors that belong to it: those up to the next interface.
    pub fn walk(&self) -> impl Iterator<Item = RawDescriptor<'a>> + use<'a> {
        Walk { rest: self.rest }.take_while(|found| found.kind() != INTERFACE)
    }

    /// Its endpoints, malformed ones left out.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + use<'a> {
        self.walk().filter_map(|found| Endpoint::parse(found.bytes))
    }
}

impl fmt::Debug for AlternateSetting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlternateSetting")
            .field("interface", &self.interface())
            .field("alternate", &self.alternate())
            .field("class", &self.class())
            .field("endpoints", &self.endpoints().collect::<Vec<_>>())
            .finish()
    }
}

/// The four kinds of transfer (`bmAttributes` bits 1:0 of an endpoint).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TransferType {
    /// Request and answer, on endpoint 0.
    Control,
    /// Timed and unacknowledged; this controller refuses it.
    Isochronous,
    /// Large and whenever the bus is free.
    Bulk,
    /// Small and polled.
    Interrupt,
}

/// One endpoint, read from its descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// `bEndpointAddress`: bit 7 set is device to host, bits 3:0 the number.
    pub address: u8,
    /// What it carries.
    pub transfer_type: TransferType,
    /// `wMaxPacketSize` bits 10:0, in bytes.
    pub max_packet_size: u16,
    /// `bInterval` as it stands there; its unit depends on speed and type.
    pub interval: u8,
}

impl Endpoint {
    fn parse(bytes: &[u8]) -> Option<Self> {
        check("endpoint", bytes, ENDPOINT, 7).ok()?;
        let address = bytes[2] & 0x8f;
        if address & 0x0f == 0 {
            return None;
        }
        let transfer_type = match bytes[3] & 3 {
            0 => TransferType::Control,
            1 => TransferType::Isochronous,
            2 => TransferType::Bulk,
            _ => TransferType::Interrupt,
        };
        let max_packet_size = u16::from_le_bytes([bytes[4], bytes[5]]) & 0x7ff;
        Some(Self { address, transfer_type, max_packet_size, interval: bytes[6] })
    }

    /// Whether data runs from the device to the host.
    pub fn is_in(&self) -> bool {
        self.address & 0x80 != 0
    }
}

/// The endpoints that are there under the present configuration and alternate settings.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EndpointMap {
    slots: [Option<Endpoint>; 32],
    /// Owner of each slot, so that another alternate setting replaces its own endpoints only.
    owners: [u8; 32],
}

/// Where an address stands in tables of endpoints: 0..=15 OUT (and control), 16..=31 IN.
pub(crate) fn endpoint_slot(address: u8) -> usize {
    let number = usize::from(address & 0x0f);
    if number != 0 && address & 0x80 != 0 { 16 + number } else { number }
}

impl EndpointMap {
    /// The endpoints of `configuration` with every interface at its alternate setting 0.
    pub fn new(configuration: &Configuration) -> Self {
        let mut map = Self::default();
        for setting in configuration.alternates().filter(|setting| setting.alternate() == 0) {
            map.add(&setting);
        }
        map
    }

    /// Puts one interface to another setting: its endpoints go, those of `setting` come.
    pub fn select(&mut self, setting: &AlternateSetting<'_>) {
        for slot in 0..self.slots.len() {
            if self.owners[slot] == setting.interface() {
                self.slots[slot] = None;
            }
        }
        self.add(setting);
    }

    fn add(&mut self, setting: &AlternateSetting<'_>) {
        for endpoint in setting.endpoints() {
            let slot = endpoint_slot(endpoint.address);
            // An address that another interface holds already stays with it.
            if self.slots[slot].is_none() {
                self.slots[slot] = Some(endpoint);
                self.owners[slot] = setting.interface();
            }
        }
    }

    /// The endpoint at an address, if the present settings have it. Endpoint 0 has no descriptor.
    pub fn get(&self, address: u8) -> Option<Endpoint> {
        if address & 0x0f == 0 { None } else { self.slots[endpoint_slot(address)] }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Endpoint> + '_ {
        self.slots.iter().flatten().copied()
    }

    /// Addresses of the endpoints of one interface.
    pub fn of_interface(&self, interface: u8) -> impl Iterator<Item = u8> + '_ {
        let owned = move |(slot, &owner): (usize, &u8)| {
            self.slots[slot].filter(|_| owner == interface).map(|endpoint| endpoint.address)
        };
        self.owners.iter().enumerate().filter_map(owned)
    }
}

impl fmt::Debug for EndpointMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
