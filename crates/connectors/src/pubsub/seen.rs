//! Which messages were seen lately, by all lanes of a reader.

use purlin_api::key::hash;
use std::collections::{HashMap, HashSet};

/// Ids that are remembered, each as often as lanes remember it: see [`Given`](super::given::Given).
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<u128, ahash::RandomState>,
    /// How often more than once.
    again: HashMap<u128, u32, ahash::RandomState>,
}

impl Seen {
    /// Remembers an id once more; true if it was not known.
    pub(super) fn add(&mut self, id: u128) -> bool {
        let is_new = self.ids.insert(id);
        if !is_new {
            *self.again.entry(id).or_default() += 1;
        }
        is_new
    }

    /// Forgets it once.
    pub(super) fn remove(&mut self, id: u128) {
        match self.again.get_mut(&id) {
            Some(1) => {
                self.again.remove(&id);
            }
            Some(more) => *more -= 1,
            None => {
                self.ids.remove(&id);
            }
        }
    }

    /// How many different ones.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// True if it is remembered.
    #[cfg(test)]
    pub(super) fn has(&self, id: u128) -> bool {
        self.ids.contains(&id)
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

/// An id of the author's: 127 bits of hash, so that two of them never meet in practice. Checkpoints keep them: the hash
/// must stay as it is.
pub(super) fn of_text(text: &str) -> u128 {
    let other = [text.as_bytes(), &[1]].concat();
    1 << 127 | u128::from(hash(text.as_bytes())) << 64 | u128::from(hash(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted() {
        let mut s = Seen::default();
        assert!(s.add(1) && !s.add(1) && !s.add(1));
        s.remove(1);
        s.remove(1);
        assert!(s.has(1));
        s.remove(1);
        s.remove(2);
        assert!(s.len() == 0 && s.again.is_empty());
    }

    #[test]
    fn ids_do_not_meet() {
        let ids = ["1", "01", "001", "18446744073709551616", "x", "", "1 "];
        let distinct: HashSet<u128> = ids.iter().map(|i| of_message_id(i)).collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(of_message_id("12345"), 12345);
        assert_ne!(of_text("1"), of_message_id("1"));
    }

    #[test]
    fn checkpoints_know_ids_by_the_same_hash_for_ever() {
        assert_eq!(format!("{:x}", of_text("order-1")), "dfc46503368e2876f45161ece42eb2a8");
    }
}
