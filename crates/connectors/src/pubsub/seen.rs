//! Which messages were seen lately. Pure: the time comes in as a parameter.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How long ids are remembered at least, in microseconds: ten minutes, as Beam says.
const HORIZON_US: i64 = 600_000_000;
/// Ids that are remembered at most, in two generations; some 60 bytes each.
const IDS_MAX: usize = 2_000_000;

type Ids = HashSet<u128, ahash::RandomState>;

/// The ids of the messages of the last ten to twenty minutes, or of the last million if there were more.
#[derive(Debug)]
pub(super) struct Seen {
    present: Ids,
    past: Ids,
    /// When the present generation began.
    since_us: i64,
    ids_max: usize,
}

impl Seen {
    /// Nothing seen yet at `now`.
    pub(super) fn new(now: i64) -> Self {
        Seen { present: Ids::default(), past: Ids::default(), since_us: now, ids_max: IDS_MAX }
    }

    /// True if this id has not been seen lately.
    pub(super) fn is_new(&mut self, id: u128, now: i64) -> bool {
        if now.saturating_sub(self.since_us) >= HORIZON_US || self.present.len() >= self.ids_max / 2 {
            self.past = std::mem::take(&mut self.present);
            self.since_us = now;
        }
        !self.past.contains(&id) && self.present.insert(id)
    }
}

/// The id that the service gave: a number, as Google and most brokers have it, else any text.
pub(super) fn of_message_id(text: &str) -> u128 {
    const DIGITS_MAX: usize = 19;
    let plain =
        text.len() <= DIGITS_MAX && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u64>() {
        // Below 2^64: no hash of a text, which has its highest bit set.
        Ok(n) if plain => u128::from(n),
        _ => of_text(text),
    }
}

/// An id of the author's: 127 bits of hash, so that two of them never meet in practice.
pub(super) fn of_text(text: &str) -> u128 {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, text).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    1 << 127 | half(1) << 64 | half(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_new_once_in_ten_minutes() {
        let mut s = Seen::new(0);
        assert!(s.is_new(1, 0) && !s.is_new(1, HORIZON_US - 1) && s.is_new(2, HORIZON_US - 1));
        assert!(!s.is_new(1, HORIZON_US), "what came late in a generation is kept as long");
        assert!(!s.is_new(2, HORIZON_US + HORIZON_US - 2));
        assert!(s.is_new(1, 3 * HORIZON_US), "after twenty it is forgotten");
    }

    #[test]
    fn memory_is_bounded() {
        let mut s = Seen { ids_max: 100, ..Seen::new(0) };
        assert!((0..1000).all(|i| s.is_new(i, 0)));
        assert!(s.present.len() + s.past.len() <= 100);
        assert!(!s.is_new(999, 0) && !s.is_new(951, 0));
    }

    #[test]
    fn ids_do_not_meet() {
        let ids = ["1", "01", "001", "18446744073709551616", "x", "", "1 "];
        let distinct: HashSet<u128> = ids.iter().map(|i| of_message_id(i)).collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(of_message_id("12345"), 12345);
        assert_ne!(of_text("1"), of_message_id("1"));
    }
}
