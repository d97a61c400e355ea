//! [`UrbMap`]: what is known of the URBs of a device, by their names.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

use crate::function::UrbId;

/// A map from URBs' names. These are counted up by the controller, so that nobody outside chooses them and a hash
/// that resists nobody will do; each URB is hashed several times on its way.
pub(crate) type UrbMap<T> = HashMap<UrbId, T, BuildHasherDefault<UrbIdHasher>>;

/// Spreads consecutive numbers over all bits: Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4).
#[derive(Default)]
pub(crate) struct UrbIdHasher(u64);

impl Hasher for UrbIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }
}
