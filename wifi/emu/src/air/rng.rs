//! A small seeded generator: the air must be the same for the same seed, on every machine and for good.
//!
//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014). It is a
//! counter run through a mixing function, so a generator for "slot 7 of cell 2" is made in one step, without
//! running through the slots before it. Neighbours: [`super::cell`] seeds one per slot, [`super::link`] one
//! per frame and receiver.

/// A stream of pseudo-random numbers that is a function of its seed alone.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The generator named by `path`: every different path gives an unrelated stream.
    pub(crate) fn at(seed: u64, path: &[u64]) -> Self {
        let start = mix(seed.wrapping_add(GOLDEN));
        Self(path.iter().fold(start, |state, step| mix(state.wrapping_add(GOLDEN) ^ mix(*step))))
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform over `0..bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product: uniform up to 2^-64 times the bound, and free of a division.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with probability `p` (0 or less: never, 1 or more: always).
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        let unit = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        unit < p
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn e4_the_same_path_gives_the_same_stream_and_another_path_another() {
        let take = |path: &[u64]| {
            let mut rng = Rng::at(7, path);
            [rng.next_u64(), rng.next_u64(), rng.next_u64()]
        };
        assert_eq!(take(&[1, 2]), take(&[1, 2]));
        assert_ne!(take(&[1, 2]), take(&[2, 1]));
        assert_ne!(take(&[1]), take(&[1, 0]));
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::at(1, &[]);
        let mut seen = [0u32; 6];
        for _ in 0..600 {
            seen[rng.below(6) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (50..150).contains(n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }
}
