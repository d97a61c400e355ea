//! Bytes that look random and are the same each time.

/// A xorshift generator (Marsaglia, "Xorshift RNGs", 2003: 13, 7, 17).
pub struct Random(u64);

impl Random {
    /// With a seed, which must not be 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// True once in `many`.
    pub fn one_in(&mut self, many: u64) -> bool {
        (self.next() >> 16).is_multiple_of(many)
    }

    pub fn byte(&mut self) -> u8 {
        (self.next() >> 32) as u8
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}
