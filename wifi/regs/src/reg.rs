//! [`Reg`], an address with the type of its value, and the table of names.

use core::fmt;
use core::marker::PhantomData;

/// A register's width: implemented for `u8`, `u16` and `u32`.
pub trait Width: Copy + Into<u32> + fmt::LowerHex + 'static {
    /// Width in bytes: 1, 2 or 4.
    const BYTES: u16;
    /// The low bits of `value`.
    fn truncate(value: u32) -> Self;
}

impl Width for u8 {
    const BYTES: u16 = 1;
    fn truncate(value: u32) -> Self {
        value as u8
    }
}

impl Width for u16 {
    const BYTES: u16 = 2;
    fn truncate(value: u32) -> Self {
        value as u16
    }
}

impl Width for u32 {
    const BYTES: u16 = 4;
    fn truncate(value: u32) -> Self {
        value
    }
}

/// A register of the chip: a 16-bit bus address that fixes the type of its value.
///
/// The bus allows other widths at the same address; [`Reg::byte`] and [`Reg::cast`] say so in the code.
pub struct Reg<T> {
    addr: u16,
    width: PhantomData<T>,
}

impl<T> Clone for Reg<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Reg<T> {}

impl<T: Width> Reg<T> {
    /// The register at `addr`.
    pub const fn new(addr: u16) -> Self {
        Self { addr, width: PhantomData }
    }

    /// The bus address.
    pub const fn addr(self) -> u16 {
        self.addr
    }

    /// Byte `n` of the register (0 is the least significant).
    pub const fn byte(self, n: u16) -> Reg<u8> {
        Reg::new(self.addr + n)
    }

    /// The same address `offset` bytes on, in another width.
    pub const fn cast<U: Width>(self, offset: u16) -> Reg<U> {
        Reg::new(self.addr + offset)
    }

    /// The name in the register documentation, or the bare address.
    pub fn name(self) -> String {
        name_of(self.addr)
    }
}

impl<T: Width> fmt::Debug for Reg<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", name_of(self.addr))
    }
}

impl<T: Width> fmt::Display for Reg<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", name_of(self.addr))
    }
}

/// One row of a block's table: address, width in bytes, name.
pub(crate) type Entry = (u16, u16, &'static str);

/// The name of the register that holds the byte at `addr`: `CR`, `CR+1`, or the address itself (`0x0abc`)
/// where no register of that name is known.
pub fn name_of(addr: u16) -> String {
    let tables: [&[Entry]; 5] =
        [crate::sys::TABLE, crate::mac::TABLE, crate::bb::TABLE, crate::more::TABLE, crate::usb::TABLE];
    let covering = tables
        .iter()
        .flat_map(|table| table.iter())
        .filter(|(start, width, _)| addr >= *start && addr - *start < *width)
        .max_by_key(|(start, width, _)| (*start, core::cmp::Reverse(*width)));
    match covering {
        Some((start, _, name)) if *start == addr => (*name).to_owned(),
        Some((start, _, name)) => format!("{name}+{}", addr - start),
        None => format!("{addr:#06x}"),
    }
}

/// Declares registers: `NAME: width = address;` a line. Each becomes a constant, and a row of the block's table.
macro_rules! registers {
    ($($(#[$meta:meta])* $name:ident: $width:ty = $addr:literal;)+) => {
        $(
            #[doc = concat!("`", stringify!($name), "`, `", stringify!($width), "` at `", stringify!($addr), "`.")]
            $(#[$meta])*
            pub const $name: $crate::Reg<$width> = $crate::Reg::new($addr);
        )+
        /// Every register of this block: address, width in bytes, name.
        pub(crate) const TABLE: &[$crate::reg::Entry] =
            &[$(($addr, <$width as $crate::Width>::BYTES, stringify!($name)),)+];
    };
}
pub(crate) use registers;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_inside_a_register_is_named_after_it() {
        assert_eq!(name_of(crate::mac::CR.addr() + 1), "CR+1");
        assert_eq!(name_of(0x0000), "0x0000");
    }
}
