//! The set-up packet of a control transfer (USB 2.0, section 9.3).

/// The eight bytes that open a control transfer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Setup {
    /// `bmRequestType`: bit 7 direction (1 = device to host), bits 6:5 type, bits 4:0 recipient.
    pub request_type: u8,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
    /// `wLength`: bytes of the data stage.
    pub length: u16,
}

impl Setup {
    /// A vendor request to the device that reads `length` bytes (`bmRequestType` 0xC0).
    pub const fn vendor_in(request: u8, value: u16, index: u16, length: u16) -> Self {
        Self { request_type: 0xc0, request, value, index, length }
    }

    /// A vendor request to the device that writes `length` bytes (`bmRequestType` 0x40).
    pub const fn vendor_out(request: u8, value: u16, index: u16, length: u16) -> Self {
        Self { request_type: 0x40, request, value, index, length }
    }

    /// Whether the data stage runs from the device to the host.
    pub const fn is_in(self) -> bool {
        self.request_type & 0x80 != 0
    }

    /// The packet as it stands on the bus.
    pub const fn to_bytes(self) -> [u8; 8] {
        let (v, i, l) = (self.value.to_le_bytes(), self.index.to_le_bytes(), self.length.to_le_bytes());
        [self.request_type, self.request, v[0], v[1], i[0], i[1], l[0], l[1]]
    }

    /// The packet read back from the bus.
    pub const fn from_bytes(b: [u8; 8]) -> Self {
        Self {
            request_type: b[0],
            request: b[1],
            value: u16::from_le_bytes([b[2], b[3]]),
            index: u16::from_le_bytes([b[4], b[5]]),
            length: u16::from_le_bytes([b[6], b[7]]),
        }
    }
}
