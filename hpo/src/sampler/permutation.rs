//! A keyed permutation of `0..n`: a Feistel network over the next even power of two, applied again
//! until the result is in the range.

use crate::rng::{Purpose, stream};

/// A permutation of `0..n`, or of `0..2^126` if `n` is larger: more than any study needs.
#[derive(Debug, Clone)]
pub(super) struct Permutation {
    n: u128,
    half_bits: u32,
    keys: [u64; 6],
}

impl Permutation {
    pub(super) fn new(n: u128, seed: u64) -> Permutation {
        let n = n.min(1 << 126);
        let bits = 128 - n.saturating_sub(1).leading_zeros();
        let mut rng = stream(seed, Purpose::Permutation, 0, 0);
        Permutation { n, half_bits: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| rng.next_u64()) }
    }

    /// The image of `index`; none from `n` on.
    pub(super) fn get(&self, index: u128) -> Option<u128> {
        if index >= self.n {
            return None;
        }
        // The network covers less than 4 n, and a cycle that leaves the range always returns to it.
        let mut image = self.encrypt(index);
        while image >= self.n {
            image = self.encrypt(image);
        }
        Some(image)
    }

    fn encrypt(&self, block: u128) -> u128 {
        let mask = (1u128 << self.half_bits) - 1;
        let (mut left, mut right) = ((block >> self.half_bits) as u64, (block & mask) as u64);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask as u64));
        }
        (u128::from(left) << self.half_bits) | u128::from(right)
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood 2014).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_one_image() {
        for n in [1, 2, 3, 7, 64, 1000, 4097] {
            let permutation = Permutation::new(n, 5);
            let mut images: Vec<u128> = (0..n).filter_map(|index| permutation.get(index)).collect();
            assert_eq!(permutation.get(n), None);
            assert!(n < 60 || images.windows(2).any(|pair| pair[0] > pair[1]), "{n} is in order");
            images.sort_unstable();
            assert_eq!(images, (0..n).collect::<Vec<_>>());
        }
        assert!(Permutation::new(u128::MAX, 1).get(12345).is_some());
    }
}
