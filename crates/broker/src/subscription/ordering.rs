//! Order within ordering keys.
//!
//! A key's messages go to one holder at a time, in order. When one of them fails (nacked or expired), it and all later
//! ones of its key that are out come again, in order. Other keys go on meanwhile.

use super::Micros;
use super::lease::Holder;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One key with messages that are out or wait.
#[derive(Debug, Default)]
struct Key {
    /// Who holds what is out.
    holder: Holder,
    out: BTreeSet<u64>,
    /// Messages that wait for their turn, with how often they were delivered.
    waiting: BTreeMap<u64, u32>,
    /// Not before this may the first that waits be delivered.
    not_before: Micros,
    scheduled: bool,
}

/// The keys of a subscription, by hash. Keys with equal hashes are treated as one key, which keeps more order than asked.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_hash: HashMap<u64, Key>,
    /// Keys of which nothing is out and something waits.
    due: BTreeSet<(Micros, u64)>,
    /// The key of each message that waits.
    waiting: HashMap<u64, u64>,
}

impl Keys {
    /// How many messages wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a message that was never delivered may go to `holder` now. If not, it waits here.
    pub(crate) fn admit(&mut self, hash: u64, offset: u64, holder: Holder) -> bool {
        let key = self.by_hash.entry(hash).or_default();
        if key.waiting.is_empty() && (key.out.is_empty() || key.holder == holder) {
            return true;
        }
        key.waiting.insert(offset, 0);
        self.waiting.insert(offset, hash);
        false
    }

    /// A message of the key went out. It waits no more.
    pub(crate) fn sent(&mut self, hash: u64, offset: u64, holder: Holder) {
        let key = self.by_hash.entry(hash).or_default();
        key.holder = holder;
        key.out.insert(offset);
        if key.waiting.remove(&offset).is_some() {
            self.waiting.remove(&offset);
        }
    }

    /// A message is acknowledged, whether out or waiting.
    pub(crate) fn acked(&mut self, hash: u64, offset: u64, now: Micros) {
        let Some(key) = self.by_hash.get_mut(&hash) else { return };
        key.out.remove(&offset);
        if key.waiting.remove(&offset).is_some() {
            self.waiting.remove(&offset);
        }
        self.settle(hash, now);
    }

    /// A message failed: it and what is out behind it wait, not before `due`. Answers what else has to come back.
    pub(crate) fn failed(&mut self, hash: u64, offset: u64, attempts: u32, due: Micros) -> Vec<u64> {
        let key = self.by_hash.entry(hash).or_default();
        let behind = key.out.split_off(&offset).into_iter().filter(|o| *o != offset).collect();
        key.waiting.insert(offset, attempts);
        self.waiting.insert(offset, hash);
        key.not_before = key.not_before.max(due);
        self.settle(hash, due);
        behind
    }

    /// A message that [`failed`](Self::failed) brought back waits, delivered `attempts` times before.
    pub(crate) fn came_back(&mut self, hash: u64, offset: u64, attempts: u32) {
        let key = self.by_hash.entry(hash).or_default();
        key.waiting.insert(offset, attempts);
        self.waiting.insert(offset, hash);
    }

    /// Takes a key of which the first that waits may be delivered.
    pub(crate) fn pop_due(&mut self, now: Micros) -> Option<u64> {
        let (due, hash) = *self.due.first()?;
        if due > now {
            return None;
        }
        self.due.pop_first();
        if let Some(key) = self.by_hash.get_mut(&hash) {
            key.scheduled = false;
        }
        Some(hash)
    }

    /// The first message of a key that waits, and how often it was delivered.
    pub(crate) fn first_waiting(&self, hash: u64) -> Option<(u64, u32)> {
        self.by_hash.get(&hash)?.waiting.first_key_value().map(|(o, a)| (*o, *a))
    }

    /// To be called when a key taken by [`pop_due`](Self::pop_due) was served as far as there was room.
    pub(crate) fn served(&mut self, hash: u64, now: Micros) {
        self.settle(hash, now);
    }

    /// When a key is due.
    pub(crate) fn next_due(&self) -> Option<Micros> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A message without a lease is acknowledged after all. Refused if it waits behind an earlier one of its key.
    pub(crate) fn acked_late(&mut self, offset: u64, now: Micros) -> bool {
        let Some(hash) = self.waiting.get(&offset).copied() else { return true };
        let is_first = self.first_waiting(hash).is_some_and(|(first, _)| first == offset);
        if is_first {
            self.acked(hash, offset, now);
        }
        is_first
    }

    /// A waiting message is kept no more.
    pub(crate) fn dropped(&mut self, offset: u64, now: Micros) {
        if let Some(hash) = self.waiting.get(&offset).copied() {
            self.acked(hash, offset, now);
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = Keys::default();
    }

    fn settle(&mut self, hash: u64, now: Micros) {
        let Some(key) = self.by_hash.get_mut(&hash) else { return };
        if !key.out.is_empty() || key.scheduled {
            return;
        }
        if key.waiting.is_empty() {
            self.by_hash.remove(&hash);
        } else {
            key.scheduled = true;
            self.due.insert((now.max(key.not_before), hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_with_its_holder_until_nothing_is_out() {
        let mut keys = Keys::default();
        assert!(keys.admit(1, 10, 5));
        keys.sent(1, 10, 5);
        assert!(keys.admit(1, 11, 5));
        keys.sent(1, 11, 5);
        assert!(!keys.admit(1, 12, 6));
        assert!(keys.admit(2, 13, 6));
        keys.acked(1, 10, 0);
        assert_eq!(keys.pop_due(0), None);
        keys.acked(1, 11, 0);
        assert_eq!(keys.pop_due(0), Some(1));
        assert_eq!(keys.first_waiting(1), Some((12, 0)));
    }

    #[test]
    fn what_is_behind_a_failed_message_comes_back() {
        let mut keys = Keys::default();
        for offset in 1..=3 {
            assert!(keys.admit(1, offset, 5));
            keys.sent(1, offset, 5);
        }
        assert_eq!(keys.failed(1, 2, 1, 50), [3]);
        keys.came_back(1, 3, 0);
        assert_eq!(keys.waiting(), 2);
        assert_eq!(keys.next_due(), None, "1 is out still");
        keys.acked(1, 1, 10);
        assert_eq!((keys.pop_due(49), keys.pop_due(50)), (None, Some(1)));
        assert_eq!(keys.first_waiting(1), Some((2, 1)));
        keys.sent(1, 2, 6);
        keys.sent(1, 3, 6);
        keys.served(1, 60);
        keys.acked(1, 2, 70);
        keys.acked(1, 3, 70);
        assert_eq!((keys.waiting(), keys.by_hash.len(), keys.due.len()), (0, 0, 0));
    }
}
