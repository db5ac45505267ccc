//! Random numbers that are the same on every machine.

/// SplitMix64 (Steele, Lea and Flood, 2014): one addition and a mixing of bits for each number.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `bound`: the upper half of a product, which needs no division. 0 for a bound of 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// One of some words.
    pub(super) fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let i = self.below(words.len() as u64) as usize;
        words.get(i).copied().unwrap_or_default()
    }
}
